//! Which partitions a command reads: by path, or by topic and partition in log directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cli::args::TopicArg;
use crate::cli::message::Message;
use crate::cli::range::Partitions;
use crate::cli::ui::Problem;
use crate::storage::fs::StorageError;
use crate::storage::log_dir::{LogDir, open_partition_dir};
use crate::storage::names::{DirKind, PartitionDirName, PartitionFile, SegmentFileKind};
use crate::storage::partition::{Notice, Partition};
use crate::storage::replicas::{Chosen, Other};
use crate::types::TopicPartition;

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Directories and files named one by one.
    pub paths: &'a [PathBuf],
    /// Log directories to look in when there are no paths.
    pub log_dirs: &'a [PathBuf],
    /// Topics; none for all.
    pub topics: &'a [TopicArg],
    /// Partitions; `None` for all.
    pub partitions: Option<&'a Partitions>,
    /// Internal topics too.
    pub internal: bool,
    /// Which replica of a partition is meant that is in several log directories.
    pub of_replicas: OfReplicas,
}

/// Which replica of a partition is meant that is in several log directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfReplicas {
    /// The one whose log reaches furthest: it has the answer.
    Furthest,
    /// The one in the directory that is named first: it is to be changed.
    First,
}

/// Partitions to read, and what was said while looking for them.
#[derive(Debug, Default)]
pub struct Selected {
    /// By topic and partition; those named one by one in the order named.
    pub partitions: Vec<Partition>,
    /// Replicas of them in other log directories, which are not read.
    pub others: BTreeMap<TopicPartition, Vec<Other>>,
    /// Paths that could not be used.
    pub failures: Vec<Problem>,
    /// What the user should know.
    pub messages: Vec<Message>,
}

impl Selected {
    fn notices(&mut self, notices: &[Notice]) {
        let messages = notices.iter().map(|notice| Message::warning("notice", notice.message.clone()).of(&notice.path));
        self.messages.extend(messages);
    }
}

/// Finds the partitions, of several replicas one. Fails when nothing that was named exists, or when what was named is refused.
pub fn select(wanted: &Selection<'_>) -> anyhow::Result<Selected> {
    let mut selected = Selected::default();
    let mut seen = BTreeSet::new();
    let mut log_dirs = Vec::new();
    for path in wanted.paths {
        if let Err(error) = name_path(path, wanted, &mut selected, &mut log_dirs, &mut seen) {
            selected.failures.push(Problem::of(&error));
        }
    }
    if wanted.paths.is_empty() {
        log_dirs.extend(wanted.log_dirs.iter().cloned());
    }
    let mut opened = Vec::new();
    for dir in &log_dirs {
        match LogDir::open(dir) {
            Ok(log_dir) => opened.push(log_dir),
            Err(error) => selected.failures.push(storage_problem(&error)),
        }
    }
    let mut replicas: BTreeMap<TopicPartition, Vec<Partition>> = BTreeMap::new();
    for log_dir in &opened {
        selected.notices(log_dir.notices());
        for (name, path) in log_dir.partitions() {
            if name.kind != DirKind::Live {
                continue;
            }
            seen.insert(name.topic_partition.clone());
            if !is_wanted(&name.topic_partition, wanted)? {
                continue;
            }
            match log_dir.open_partition(name, path) {
                Ok(replica) => replicas.entry(name.topic_partition.clone()).or_default().push(replica),
                Err(error) if error.is_not_found() => selected.messages.push(gone(&error)),
                Err(error) => selected.failures.push(storage_problem(&error)),
            }
        }
    }
    let mut failures = Vec::new();
    for (name, replicas) in replicas {
        let chosen = match wanted.of_replicas {
            OfReplicas::Furthest => Chosen::of(replicas, &mut failures),
            OfReplicas::First => Chosen::first(replicas, &mut failures),
        };
        let Some(chosen) = chosen else { continue };
        if let Some(told) = chosen.told() {
            selected.messages.push(Message::warning("duplicate", told).of(chosen.partition.dir()));
        }
        selected.partitions.push(chosen.partition);
        selected.others.insert(name, chosen.others);
    }
    selected.failures.extend(failures.iter().map(storage_problem));
    if wanted.paths.is_empty() || !log_dirs.is_empty() {
        selected.partitions.sort_by(|a, b| a.topic_partition().cmp(b.topic_partition()));
    }
    let places = if wanted.paths.is_empty() { wanted.log_dirs } else { wanted.paths };
    // A directory that cannot be read is the reason why a topic is missing, not one more problem.
    if selected.failures.is_empty() {
        missing_topics(wanted, &seen, places)?;
    }
    if selected.partitions.is_empty() && selected.failures.is_empty() {
        return Err(nothing_selected(wanted, &seen, places).into());
    }
    Ok(selected)
}

/// Why there is nothing to read, though everything named is there.
pub fn nothing_selected(wanted: &Selection<'_>, seen: &BTreeSet<TopicPartition>, places: &[PathBuf]) -> Problem {
    let dirs = joined(places);
    let of_topic = |name: &&TopicPartition| {
        wanted.topics.is_empty() || wanted.topics.iter().any(|topic| topic.matches(&name.topic))
    };
    let by_topic: Vec<_> = seen.iter().filter(of_topic).collect();
    let shown = |names: &mut dyn Iterator<Item = String>| names.take(20).collect::<Vec<_>>().join(" ");
    if seen.is_empty() {
        return Problem::new("not_found", format!("no partitions in {dirs}"))
            .hint("a log directory holds directories named NAME-N, such as orders-0");
    }
    if by_topic.is_empty() {
        let topics: BTreeSet<_> = seen.iter().map(|name| name.topic.clone()).collect();
        return Problem::new("not_found", format!("no topic in {dirs} matches"))
            .hint(format!("there are: {}", shown(&mut topics.into_iter())));
    }
    if !wanted.internal && by_topic.iter().all(|name| name.is_internal()) {
        return Problem::new("not_found", format!("only internal topics match in {dirs}")).hint(
            "read them with --decode, which shows their records field by field; --include-internal prints bytes",
        );
    }
    let there =
        shown(&mut by_topic.iter().filter(|name| wanted.internal || !name.is_internal()).map(ToString::to_string));
    Problem::new("not_found", format!("no partition in {dirs} has that number")).hint(format!("there are: {there}"))
}

fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn is_wanted(name: &TopicPartition, wanted: &Selection<'_>) -> anyhow::Result<bool> {
    if wanted.partitions.is_some_and(|partitions| !partitions.contains(name.partition)) {
        return Ok(false);
    }
    if wanted.topics.is_empty() {
        return Ok(wanted.internal || !name.is_internal());
    }
    let named = |topic: &&TopicArg| topic.matches(&name.topic);
    let Some(topic) = wanted.topics.iter().find(named) else { return Ok(false) };
    if name.is_internal() && !wanted.internal {
        // Named outright it is a mistake worth a word; a pattern just passes over it.
        return match topic {
            TopicArg::Names(_) => Err(refuse_internal(&name.topic).into()),
            TopicArg::Pattern(_) => Ok(false),
        };
    }
    Ok(true)
}

fn refuse_internal(topic: &str) -> Problem {
    Problem::usage(format!("topic '{topic}' is internal to Kafka"))
        .hint("read it with --decode, which shows its records field by field; --include-internal prints their bytes")
}

/// Takes one path for what it is.
fn name_path(
    path: &Path,
    wanted: &Selection<'_>,
    selected: &mut Selected,
    log_dirs: &mut Vec<PathBuf>,
    seen: &mut BTreeSet<TopicPartition>,
) -> anyhow::Result<()> {
    let metadata = std::fs::metadata(path).map_err(|error| storage_problem(&StorageError::new(path, error)))?;
    let partition = if metadata.is_file() {
        Partition::of_file(path).map_err(|error| storage_problem(&error))?.ok_or_else(|| {
            Problem::new("wrong_kind", "not a segment's .log file")
                .path(path)
                .hint(format!("see what is in it with: logdir dump-segment {}", path.display()))
        })?
    } else if is_partition_dir(path) {
        let (partition, notices) = open_partition_dir(path).map_err(|error| storage_problem(&error))?;
        selected.notices(&notices);
        partition
    } else if LogDir::is_one(path) {
        log_dirs.push(path.to_owned());
        return Ok(());
    } else {
        return Err(Problem::new("wrong_kind", "neither a log directory nor a partition directory")
            .path(path)
            .hint("a log directory holds meta.properties or NAME-N directories, a partition directory .log files")
            .into());
    };
    let name = partition.topic_partition();
    if name.is_internal() && !wanted.internal {
        return Err(refuse_internal(&name.topic).into());
    }
    seen.insert(name.clone());
    if is_wanted(name, wanted)? {
        selected.partitions.push(partition);
    }
    Ok(())
}

/// Its name says so, or it holds a segment.
pub fn is_partition_dir(path: &Path) -> bool {
    let named = path
        .canonicalize()
        .is_ok_and(|path| path.file_name().is_some_and(|name| PartitionDirName::parse(name).is_ok()));
    let holds_log = || {
        std::fs::read_dir(path).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                matches!(PartitionFile::parse(&entry.file_name()),
                    PartitionFile::Segment(file) if file.kind == SegmentFileKind::Log)
            })
        })
    };
    (named && !path.join(crate::storage::meta_properties::FILE_NAME).is_file()) || holds_log()
}

/// A topic that was named and is nowhere is an error that names the nearest.
fn missing_topics(wanted: &Selection<'_>, seen: &BTreeSet<TopicPartition>, places: &[PathBuf]) -> anyhow::Result<()> {
    let topics: BTreeSet<&str> = seen.iter().map(|name| name.topic.as_str()).collect();
    match missing_topic(wanted.topics, &topics) {
        Some(name) => Err(topic_not_found(name, &topics, places).into()),
        None => Ok(()),
    }
}

/// The first topic that is named outright and not among `topics`.
pub fn missing_topic<'w>(wanted: &'w [TopicArg], topics: &BTreeSet<&str>) -> Option<&'w str> {
    let names = wanted.iter().filter_map(|topic| match topic {
        TopicArg::Names(names) => Some(names),
        TopicArg::Pattern(_) => None,
    });
    names.flatten().map(String::as_str).find(|name| !topics.contains(name))
}

/// Topic `name` is not among `topics`, which are all of those in `places`; the nearest is suggested.
pub fn topic_not_found(name: &str, topics: &BTreeSet<&str>, places: &[PathBuf]) -> Problem {
    let count = topics.iter().filter(|topic| !topic.starts_with("__")).count();
    let plural = if count == 1 { "topic" } else { "topics" };
    let text = format!("topic '{name}' not found in {} ({count} {plural})", joined(places));
    let near = topics.iter().map(|topic| (distance(name, topic), *topic)).min();
    let hint = match near {
        Some((distance, topic)) if distance <= 1 + name.len() / 4 => format!("did you mean '{topic}'?"),
        _ if topics.is_empty() => "there are no partition directories at all".to_owned(),
        _ => format!("there are: {}", topics.iter().take(20).copied().collect::<Vec<_>>().join(" ")),
    };
    Problem::new("not_found", text).hint(hint)
}

/// Edits that turn one name into the other (Levenshtein).
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What was listed and is not there any more: a running broker deleted it, which is no failure.
pub fn gone(error: &StorageError) -> Message {
    Message::warning("not_found", "deleted while it was about to be read").of(&error.path)
}

/// A storage error as a problem with its path apart.
pub fn storage_problem(error: &StorageError) -> Problem {
    use crate::storage::fs::StorageErrorKind;
    let code = match &error.kind {
        StorageErrorKind::Io(io) => match io.kind() {
            std::io::ErrorKind::NotFound => "not_found",
            std::io::ErrorKind::PermissionDenied => "permission_denied",
            _ => "io",
        },
        _ => "wrong_kind",
    };
    Problem::new(code, error.kind.to_string()).path(&error.path)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn near_names_are_near() {
        for (a, b, expected) in [("ordrs", "orders", 1), ("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
