//! The small files of a log directory made good: checkpoints and `meta.properties`.
//!
//! A broker takes the directory offline, or does not start, over one that cannot be read. Of a checkpoint the lines that
//! are entries are kept; a partition without an entry is read from its start. An identity is never made up: cluster and
//! node come from the file itself as far as it can be read, from other log directories of the node, and the cluster
//! from replicas.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Action, Step};
use crate::storage::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use crate::storage::create;
use crate::storage::fs::{self, StorageError};
use crate::storage::meta_properties::{self, MetaProperties};
use crate::storage::partition::present;
use crate::storage::properties;
use crate::types::Uuid;

/// What is to be done with the small files of one log directory.
#[derive(Debug)]
pub struct DirJob {
    dir: PathBuf,
    steps: Vec<Step>,
    writes: Vec<(&'static str, Vec<u8>)>,
    missing: Option<String>,
}

/// Plans it. `others` are log directories of the same node, `replicas` some of the same cluster. Reads only.
pub fn plan(dir: &Path, others: &[PathBuf], replicas: &[PathBuf]) -> Result<DirJob, StorageError> {
    let mut job = DirJob { dir: dir.to_owned(), steps: Vec::new(), writes: Vec::new(), missing: None };
    for name in [RECOVERY_POINT, LOG_START, HIGH_WATERMARK, CLEANER] {
        let Some(bytes) = present(fs::read_small(&dir.join(name), fs::CHECKPOINT_BYTES_MAX))? else { continue };
        if let Err(error) = checkpoint::parse(&bytes) {
            let rescued = checkpoint::rescue(&bytes);
            let detail = format!("{error}; {} entries can be read", rescued.len());
            job.write(name, rescued.to_text().into_bytes(), detail, Some(bytes.len() as u64));
        }
    }
    job.plan_meta(others, replicas)?;
    Ok(job)
}

impl DirJob {
    /// Every change of a file.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What would have to be known for `meta.properties`, where it is not good and cannot be made so.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Makes the changes; each file holds its old bytes or the new ones at any moment.
    ///
    /// The caller holds the directory's exclusive lock.
    pub fn apply(&self) -> Result<(), StorageError> {
        self.writes.iter().try_for_each(|(name, bytes)| fs::replace_atomic(&self.dir.join(name), bytes))
    }

    fn write(&mut self, name: &'static str, bytes: Vec<u8>, detail: String, before: Option<u64>) {
        let (action, after) = (Action::Write, Some(bytes.len() as u64));
        self.steps.push(Step { file: name.to_owned(), action, detail, bytes_before: before, bytes_after: after });
        self.writes.push((name, bytes));
    }

    fn plan_meta(&mut self, others: &[PathBuf], replicas: &[PathBuf]) -> Result<(), StorageError> {
        let path = self.dir.join(meta_properties::FILE_NAME);
        let bytes = present(fs::read_small(&path, fs::PROPERTIES_BYTES_MAX))?;
        let why = match bytes.as_deref().map(meta_properties::parse) {
            Some(Ok(meta)) if meta.cluster_id().is_some() || meta.node_id().is_some() => return Ok(()),
            Some(Ok(_)) => "it names neither a cluster nor a node".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "it is not there".to_owned(),
        };
        let own = readable(bytes.as_deref().unwrap_or_default());
        let known = |dirs: &[PathBuf]| -> Vec<MetaProperties> {
            let files = dirs.iter().filter(|dir| **dir != self.dir).map(|dir| dir.join(meta_properties::FILE_NAME));
            files.filter_map(|path| meta_properties::read(&path).ok()).collect()
        };
        let (others, replicas) = (known(others), known(replicas));
        let cluster = own.get("cluster.id").filter(|id| !id.is_empty()).cloned();
        let cluster = cluster
            .or_else(|| one(others.iter().chain(&replicas).filter_map(|meta| meta.cluster_id().map(str::to_owned))));
        let node = own.get("node.id").and_then(|id| id.parse().ok());
        let node = node.or_else(|| one(others.iter().filter_map(MetaProperties::node_id)));
        let (Some(cluster_id), Some(node_id)) = (cluster.clone(), node) else {
            let lacking = match (cluster.is_some(), node.is_some()) {
                (true, _) => "the node's id is not known",
                (_, true) => "the cluster's id is not known",
                _ => "neither the cluster's nor the node's id is known",
            };
            self.missing = Some(format!("{why}, and {lacking}"));
            return Ok(());
        };
        let directory_id = match own.get("directory.id").and_then(|id| Uuid::parse(id)) {
            Some(id) => id,
            None => create::random_uuid().map_err(|error| StorageError::new(&path, error))?,
        };
        let detail = format!("{why}; cluster {cluster_id}, node {node_id}, directory {directory_id}");
        let meta = MetaProperties::V1 { cluster_id, node_id, directory_id: Some(directory_id) };
        self.write(
            meta_properties::FILE_NAME,
            meta.to_text().into_bytes(),
            detail,
            bytes.map(|bytes| bytes.len() as u64),
        );
        Ok(())
    }
}

/// The one value that all agree on.
fn one<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// The settings that can be read, line by line, of a file that may be cut or overwritten in part.
fn readable(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        settings.extend(properties::parse(line).unwrap_or_default());
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file, other directories of the node, replicas, what comes of it.
    type Case<'a> = (Option<&'a str>, &'a [&'a tempfile::TempDir], &'a [&'a tempfile::TempDir], Result<i32, &'a str>);

    const WHOLE: &str =
        "node.id=1\ndirectory.id=9IeDSnKmSqOco9U4PUMEBQ\nversion=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n";

    fn dir(meta: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        if let Some(meta) = meta {
            std::fs::write(dir.path().join(meta_properties::FILE_NAME), meta).unwrap();
        }
        dir
    }

    #[test]
    fn an_identity_is_put_together_from_what_is_known_and_never_made_up() {
        let of_node = dir(Some(&WHOLE.replace("9IeDSnKmSqOco9U4PUMEBQ", "AAeDSnKmSqOco9U4PUMEBQ")));
        let of_cluster = dir(Some(&WHOLE.replace("node.id=1", "node.id=2")));
        let other_cluster = dir(Some(&WHOLE.replace("4L6g", "5L6g")));
        let paths = |dirs: &[&tempfile::TempDir]| dirs.iter().map(|dir| dir.path().to_owned()).collect::<Vec<_>>();
        let none: &[&tempfile::TempDir] = &[];
        // The file, other directories of the node, replicas: node and cluster, or what is missing.
        let cases: [Case<'_>; 8] = [
            (None, none, none, Err("neither the cluster's nor the node's id is known")),
            (None, &[&of_node], none, Ok(1)),
            (None, none, &[&of_cluster], Err("the node's id is not known")),
            (Some("node.id=7\nversion=1\nclus"), none, &[&of_cluster], Ok(7)),
            (
                Some("version=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\nnode.i"),
                none,
                none,
                Err("the node's id is not known"),
            ),
            (Some("\0\0\0\0\0\0"), &[&of_node], &[&of_cluster], Ok(1)),
            (None, &[&of_node, &other_cluster], none, Err("the cluster's id is not known")),
            (Some("version=1\nnode.id=3\n"), &[&of_node], none, Ok(3)),
        ];
        for (number, (meta, others, replicas, expected)) in cases.into_iter().enumerate() {
            let broken = dir(meta);
            let job = plan(broken.path(), &paths(others), &paths(replicas)).unwrap();
            job.apply().unwrap();
            let made = meta_properties::read(&broken.path().join(meta_properties::FILE_NAME)).ok();
            match expected {
                Ok(node) => {
                    let made = made.unwrap_or_else(|| panic!("case {number}: {job:?}"));
                    assert_eq!(
                        (made.node_id(), made.cluster_id()),
                        (Some(node), Some("4L6g3nShT-eMCtK--X86sw")),
                        "case {number}"
                    );
                    assert_ne!(
                        made.directory_id(),
                        Uuid::parse("AAeDSnKmSqOco9U4PUMEBQ"),
                        "case {number}: an id of its own"
                    );
                    assert_eq!(plan(broken.path(), &[], &[]).unwrap().steps(), [], "case {number}");
                }
                Err(text) => {
                    assert!(job.missing().is_some_and(|missing| missing.ends_with(text)), "case {number}: {job:?}");
                    assert_eq!(job.steps(), [], "case {number}");
                }
            }
        }
    }

    #[test]
    fn checkpoints_keep_the_lines_that_can_be_read() {
        let dir = dir(Some(WHOLE));
        let path = dir.path().join(RECOVERY_POINT);
        std::fs::write(&path, "0\n5\norders 0 1500\norders 1 x\norders 2 17").unwrap();
        let job = plan(dir.path(), &[], &[]).unwrap();
        assert_eq!(job.steps().len(), 1);
        assert!(job.steps()[0].detail.ends_with("; 1 entries can be read"), "{:?}", job.steps());
        job.apply().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\norders 0 1500\n");
    }
}
