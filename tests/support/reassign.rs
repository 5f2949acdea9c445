//! The recorded instances of reassignments, and their judge.

#![allow(dead_code, reason = "every test binary uses its own part")]

use std::path::PathBuf;

use logdir::reassign::instance::Instance;

/// The folder that holds them; `None`, with a word, where there is none.
pub fn reassign_dir() -> Option<PathBuf> {
    let named = std::env::var_os("LOGDIR_REASSIGN").map(PathBuf::from);
    let dir = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reassign"));
    if dir.join("check.py").is_file() {
        return Some(dir);
    }
    eprintln!("skipped: there is no {}", dir.display());
    None
}

/// All of them by name, each with its file.
pub fn instances(dir: &std::path::Path) -> Vec<(PathBuf, Instance)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir.join("instances")).unwrap().flatten().map(|it| it.path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let instance = Instance::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        (file, instance)
    };
    files.into_iter().map(read).collect()
}
