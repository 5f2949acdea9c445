//! Directories written by real brokers, unpacked where they are archives.

use std::path::{Path, PathBuf};

/// One case: its name, its log directories and what a live broker said about them.
pub struct Case {
    pub name: String,
    pub truth: PathBuf,
    data: PathBuf,
    _unpacked: Option<tempfile::TempDir>,
}

impl Case {
    /// All cases, in order; none when the folder is absent.
    pub fn all() -> Vec<Case> {
        let Some(dir) = super::kafka_data_dir() else { return Vec::new() };
        let mut dirs: Vec<_> =
            std::fs::read_dir(dir.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
        dirs.sort();
        dirs.iter().map(|dir| Case::open(dir)).collect()
    }

    /// One case by its folder.
    pub fn open(dir: &Path) -> Case {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let truth = dir.join("truth");
        let archive = dir.join("data.tar.gz");
        if !archive.is_file() {
            return Case { name, truth, data: dir.join("data"), _unpacked: None };
        }
        let temp = tempfile::tempdir().unwrap();
        unpack(&archive, temp.path());
        Case { name, truth, data: temp.path().join("data"), _unpacked: Some(temp) }
    }

    /// The state that the truth speaks of: the whole, or what was there after the story (or before the damage).
    pub fn root(&self) -> PathBuf {
        let candidates = ["after", "clean"].map(|sub| self.data.join(sub));
        candidates.into_iter().find(|dir| dir.is_dir()).unwrap_or_else(|| self.data.clone())
    }

    /// The whole data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Log directories below the root: those with a `meta.properties`.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        log_dirs_below(&self.root())
    }

    /// Lines of a truth file that may be absent.
    pub fn truth_lines(&self, name: &str) -> Option<Vec<serde_json::Value>> {
        let path = self.truth.join(name);
        path.is_file().then(|| super::json_lines(&path))
    }

    /// A truth document that may be absent.
    pub fn truth_json(&self, name: &str) -> Option<serde_json::Value> {
        let text = std::fs::read(self.truth.join(name)).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }
}

/// Unpacks a `.tar.gz` into `into`.
pub fn unpack(archive: &Path, into: &Path) {
    let file = std::fs::File::open(archive).unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(into).unwrap();
}

/// Directories with a `meta.properties`, at any depth.
pub fn log_dirs_below(root: &Path) -> Vec<PathBuf> {
    if root.join("meta.properties").is_file() {
        return vec![root.to_owned()];
    }
    let mut dirs: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|path| log_dirs_below(&path))
        .collect();
    dirs.sort();
    dirs
}
