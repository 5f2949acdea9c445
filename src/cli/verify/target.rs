//! What a check goes over: whole log directories, or partitions and segments named one by one.

use std::path::{Path, PathBuf};

use crate::cli::args::{GlobalArgs, TopicArg, each_once};
use crate::cli::consume::select::{gone, is_partition_dir, storage_problem, topic_not_found};
use crate::cli::dirs;
use crate::cli::range::Partitions;
use crate::cli::ui::{Problem, Ui};
use crate::storage::fs::StorageError;
use crate::storage::log_dir::{LogDir, open_partition_dir};
use crate::storage::names::{DirKind, PartitionFile, SegmentFileKind, segment_file_name};
use crate::storage::partition::{Partition, present};
use crate::storage::verify::log_dir::{self, CheckedDir, ClusterTopics};
use crate::storage::verify::partition::Around;
use crate::storage::{clean_shutdown, meta_properties};

/// Which partitions are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Directories and files named one by one; none: the log directories of the options.
    pub paths: &'a [PathBuf],
    /// Topics; none for all.
    pub topics: &'a [TopicArg],
    /// Partitions; `None` for all.
    pub partitions: Option<&'a Partitions>,
}

/// A partition to check.
#[derive(Debug)]
pub struct Target {
    /// The partition, or one segment of it.
    pub partition: Partition,
    /// What its log directory says.
    pub around: Around,
}

/// What there is to check.
#[derive(Debug, Default)]
pub struct Targets {
    /// Whole log directories.
    pub dirs: Vec<CheckedDir>,
    /// What the metadata log in them says of topics.
    pub cluster: ClusterTopics,
    /// Their partitions and those named one by one.
    pub partitions: Vec<Target>,
    /// Paths that could not be used.
    pub failures: Vec<Problem>,
}

impl Targets {
    /// Finds them. Fails when what is named makes no sense or is nowhere.
    pub fn find(wanted: &Wanted<'_>, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Targets> {
        let mut targets = Targets::default();
        let mut dirs = dirs::beside_settings(wanted.paths, global)?;
        for path in &each_once(wanted.paths.to_vec()) {
            match one(path) {
                Ok(One::LogDir) => dirs.push(path.clone()),
                Ok(One::Target(target)) => targets.partitions.push(*target),
                Err(error) => targets.failures.push(Problem::of(&error)),
            }
        }
        let mut readable = Vec::new();
        for dir in dirs {
            match std::fs::read_dir(&dir) {
                Ok(_) => readable.push(dir),
                Err(error) => targets.failures.push(storage_problem(&StorageError::new(&dir, error))),
            }
        }
        targets.dirs = log_dir::check(&readable).map_err(|error| storage_problem(&error))?;
        targets.cluster = ClusterTopics::read(&mut targets.dirs);
        targets.list(wanted, ui);
        let places = if wanted.paths.is_empty() { &readable } else { wanted.paths };
        targets.missing_topics(wanted, places)?;
        Ok(targets)
    }

    /// The partitions of the log directories. Deleted ones are none any more.
    fn list(&mut self, wanted: &Wanted<'_>, ui: &mut Ui) {
        for CheckedDir { log_dir, around, .. } in &self.dirs {
            for (name, path) in log_dir.partitions().filter(|(name, _)| name.kind != DirKind::Delete) {
                let partition = &name.topic_partition;
                let by_topic = wanted.topics.is_empty() || wanted.topics.iter().any(|t| t.matches(&partition.topic));
                let by_number = wanted.partitions.is_none_or(|wanted| wanted.contains(partition.partition));
                if !by_topic || !by_number {
                    continue;
                }
                match log_dir.open_partition(name, path) {
                    Ok(opened) => {
                        let is_compacted = self.cluster.is_compacted(&partition.topic);
                        self.partitions.push(Target { partition: opened, around: Around { is_compacted, ..*around } });
                    }
                    Err(error) if error.is_not_found() => gone(&error).show(ui),
                    Err(error) => self.failures.push(storage_problem(&error)),
                }
            }
        }
    }

    fn missing_topics(&self, wanted: &Wanted<'_>, places: &[PathBuf]) -> anyhow::Result<()> {
        let topics = self.dirs.iter().flat_map(|dir| dir.log_dir.partitions()).map(|(name, _)| &name.topic_partition);
        let topics = topics.chain(self.partitions.iter().map(|target| target.partition.topic_partition()));
        let topics = topics.map(|partition| partition.topic.as_str()).collect();
        for topic in wanted.topics {
            let TopicArg::Names(names) = topic else { continue };
            if let Some(name) = names.iter().find(|name| !std::collections::BTreeSet::contains(&topics, name.as_str()))
            {
                return Err(topic_not_found(name, &topics, places).into());
            }
        }
        Ok(())
    }

    /// Bytes of all logs.
    pub fn size_bytes(&self) -> u64 {
        self.partitions.iter().flat_map(|target| target.partition.segments()).map(|segment| segment.log_len).sum()
    }
}

enum One {
    LogDir,
    Target(Box<Target>),
}

/// Takes one path for what it is: an index stands for its segment.
fn one(path: &Path) -> anyhow::Result<One> {
    let metadata = std::fs::metadata(path).map_err(|error| storage_problem(&StorageError::new(path, error)))?;
    if metadata.is_dir() {
        if is_partition_dir(path) {
            let (partition, _) = open_partition_dir(path).map_err(|error| storage_problem(&error))?;
            let around = around(path);
            return Ok(One::Target(Box::new(Target { partition, around })));
        }
        if LogDir::is_one(path) {
            return Ok(One::LogDir);
        }
        return Err(Problem::new("wrong_kind", "neither a log directory nor a partition directory")
            .path(path)
            .hint("a log directory holds meta.properties or NAME-N directories, a partition directory .log files")
            .into());
    }
    let log = match PartitionFile::parse(path.file_name().unwrap_or_default()) {
        PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log => Some(path.to_owned()),
        PartitionFile::Segment(file) if file.kind != SegmentFileKind::Snapshot => {
            let log = segment_file_name(file.offset, SegmentFileKind::Log) + file.state.suffix();
            Some(path.with_file_name(log))
        }
        _ => None,
    };
    let log = log.ok_or_else(|| {
        Problem::new("wrong_kind", "neither a segment's log nor one of its indexes")
            .path(path)
            .hint("check the partition directory it is in; every small file in it is checked along")
    })?;
    match Partition::of_file(&log).map_err(|error| storage_problem(&error))? {
        Some(partition) => Ok(One::Target(Box::new(Target { partition, around: Around::default() }))),
        None => Err(Problem::new("wrong_kind", "its name holds no offset").path(path).into()),
    }
}

/// What the log directory around a partition directory says.
fn around(partition: &Path) -> Around {
    let Ok(absolute) = partition.canonicalize() else { return Around::default() };
    let Some(dir) = absolute.parent() else { return Around::default() };
    let meta = present(meta_properties::read(&dir.join(meta_properties::FILE_NAME))).unwrap_or(None);
    Around {
        is_trusted: dir.join(clean_shutdown::FILE_NAME).exists(),
        is_kraft: meta.is_some_and(|meta| meta.version() > 0),
        is_compacted: false,
    }
}
