//! The dead-letter topic: records that could not be processed, appended to a topic on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::select::topic_not_found;
use crate::batch::Compressor;
use crate::batch::builder::{BatchBuilder, BatchSpec, NewHeader, NewRecord};
use crate::cli::Outcome;
use crate::cli::session::session_problem;
use crate::cli::ui::Problem;
use crate::partitioner::{PartitionCount, Partitioner, Strategy};
use crate::storage::log_dir::LogDir;
use crate::storage::names::DirKind;
use crate::storage::writer::log::now_ms;
use crate::storage::writer::session::Event;
use crate::storage::writer::{AppendSession, Appended, SessionError, SessionOptions};
use crate::types::{NO_TIMESTAMP, TopicPartition, is_internal_topic};
use crate::workers::{DeadLetter, DeadLetters, WorkError, dead_letter_headers};

/// Bytes after which records without a key go to another partition: `batch.size` of the Java producer.
const BATCH_SIZE: u64 = 16_384;

/// A topic that takes dead letters, in the log directories that hold its partitions.
///
/// A letter keeps the record's key, value, headers and timestamp; its key decides the partition, as for any producer.
#[derive(Debug)]
pub struct DeadLetterTopic {
    topic: String,
    group: String,
    options: SessionOptions,
    partitioner: Partitioner,
    /// The log directory of each partition that is here.
    places: BTreeMap<i32, PathBuf>,
    sessions: BTreeMap<PathBuf, AppendSession>,
}

impl DeadLetterTopic {
    /// Finds the topic's partitions. Nothing is locked or opened before the first letter.
    ///
    /// `count`: how many partitions the topic has, where the cluster's metadata tells; else those that are here must be
    /// all. `group`: for the headers. `seed` decides where records without a key go.
    pub fn find(
        topic: &str,
        group: &str,
        log_dirs: &[LogDir],
        count: Option<PartitionCount>,
        options: SessionOptions,
        seed: u64,
    ) -> anyhow::Result<DeadLetterTopic> {
        if is_internal_topic(topic) {
            let text = format!("topic '{topic}' is Kafka's own: dead letters do not belong there");
            return Err(Problem::new("refused", text).outcome(Outcome::Refused).into());
        }
        let mut places = BTreeMap::new();
        let mut topics = BTreeSet::new();
        for log_dir in log_dirs {
            for (name, _) in log_dir.partitions().filter(|(name, _)| name.kind == DirKind::Live) {
                topics.insert(name.topic_partition.topic.as_str());
                if name.topic_partition.topic == topic {
                    places.entry(name.topic_partition.partition).or_insert_with(|| log_dir.dir().to_owned());
                }
            }
        }
        let Some(highest) = places.keys().next_back().copied() else {
            let dirs: Vec<PathBuf> = log_dirs.iter().map(|log_dir| log_dir.dir().to_owned()).collect();
            let hint = format!("make it with: logdir topics create {topic} --partitions N");
            return Err(topic_not_found(topic, &topics, &dirs).hint(hint).into());
        };
        let count = match count {
            Some(count) => count,
            None => {
                let missing: Vec<i32> = (0..highest).filter(|number| !places.contains_key(number)).collect();
                let count = u32::try_from(highest).ok().and_then(|highest| PartitionCount::new(highest + 1));
                match (missing.is_empty(), count) {
                    (true, Some(count)) => count,
                    _ => {
                        let text = format!(
                            "partitions {missing:?} of '{topic}' are not in these directories: how many it has is not known"
                        );
                        let hint = "name all log directories of the cluster with -d";
                        return Err(Problem::new("not_found", text).hint(hint).into());
                    }
                }
            }
        };
        let partitioner = Partitioner::new(Strategy::Murmur2, count, BATCH_SIZE, seed);
        let (topic, group) = (topic.to_owned(), group.to_owned());
        Ok(DeadLetterTopic { topic, group, options, partitioner, places, sessions: BTreeMap::new() })
    }

    /// What was done that people should know, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.sessions.values_mut().flat_map(AppendSession::take_events).collect()
    }

    /// Ends all sessions, in good order.
    pub fn close(&mut self) -> Result<Vec<Event>, SessionError> {
        let mut events = Vec::new();
        for session in std::mem::take(&mut self.sessions).into_values() {
            events.extend(session.close(now_ms())?);
        }
        Ok(events)
    }

    fn append(&mut self, letter: &DeadLetter<'_>) -> Result<(), WorkError> {
        let task = letter.task;
        let now_ms = now_ms();
        let partition = self.partitioner.partition(task.key.as_deref(), task.size_bytes());
        let home = TopicPartition::new(self.topic.as_str(), partition);
        let not_stored = |reason: String| WorkError::new(format!("{home}: {reason}"));
        let Some(dir) = self.places.get(&partition) else {
            return Err(not_stored(
                "is not in these directories; name all log directories of the cluster with -d".into(),
            ));
        };
        let headers = dead_letter_headers(letter, &self.group);
        let headers: Vec<NewHeader<'_>> =
            headers.iter().map(|(key, value)| NewHeader { key, value: value.as_deref() }).collect();
        // A producer puts its own time where there is none.
        let timestamp_ms = if task.timestamp_ms == NO_TIMESTAMP { now_ms } else { task.timestamp_ms };
        let record =
            NewRecord { timestamp_ms, key: task.key.as_deref(), value: task.value.as_deref(), headers: &headers };
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&record).map_err(|error| not_stored(error.to_string()))?;
        let mut batch = builder.seal(&mut Compressor::default()).map_err(|error| not_stored(error.to_string()))?;
        let problem = |error: &SessionError| not_stored(session_problem(error).to_string());
        if !self.sessions.contains_key(dir) {
            let session = AppendSession::open(dir, self.options).map_err(|error| problem(&error))?;
            self.sessions.insert(dir.clone(), session);
        }
        let Some(session) = self.sessions.get_mut(dir) else { return Ok(()) };
        match session.append(&home, &mut batch, now_ms).map_err(|error| problem(&error))? {
            Appended::Stored { .. } | Appended::Duplicate { .. } => {}
            Appended::Refused(refusal) => return Err(not_stored(refusal.to_string())),
        }
        // With what the durability promises, the record may be committed from here on. Others get their turn: the next letter may never come.
        session.flush().and_then(|()| session.end_turns()).map_err(|error| problem(&error.into()))
    }
}

impl DeadLetters for DeadLetterTopic {
    fn put(&mut self, letter: &DeadLetter<'_>) -> Result<(), WorkError> {
        self.append(letter)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::batch::Decompressor;
    use crate::cli::consume::stream::{PartitionStream, StreamOptions};
    use crate::cli::consume::{IsolationLevel, OnCorrupt};
    use crate::cli::range::OffsetRange;
    use crate::storage::create;
    use crate::storage::partition::{Checkpoints, Partition};
    use crate::storage::writer::{Durability, LogConfig};
    use crate::types::{LeaderEpoch, Offset, TimestampMs, TimestampType, Uuid};
    use crate::workers::Task;

    fn options() -> SessionOptions {
        SessionOptions { config: LogConfig::default(), durability: Durability::Synced, allow_truncate: false }
    }

    fn log_dir(partitions: &[(&str, i32)]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        create::log_dir(dir, "cluster", 1, Uuid([7; 16])).unwrap();
        for (topic, partition) in partitions {
            create::partition(dir, &TopicPartition::new(*topic, *partition), Uuid([9; 16])).unwrap();
        }
        let marker = br#"{"version":0,"brokerEpoch":-1}"#;
        std::fs::write(dir.join(crate::storage::clean_shutdown::FILE_NAME), marker).unwrap();
        temp
    }

    fn find(topic: &str, dir: &Path) -> anyhow::Result<DeadLetterTopic> {
        DeadLetterTopic::find(topic, "billing", &[LogDir::open(dir).unwrap()], None, options(), 1)
    }

    fn task(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: TimestampMs) -> Task {
        let partition = Arc::new(TopicPartition::new("orders", 3));
        let record = crate::batch::RecordRef {
            offset: Offset::new(offset),
            timestamp_ms,
            timestamp_type: TimestampType::Create,
            sequence: -1,
            key,
            value,
            headers: crate::batch::Headers::default(),
            raw: &[],
        };
        Task::of(&partition, &record, LeaderEpoch(0), Vec::new())
    }

    /// Key, value, timestamp, and the header that says which offset it had.
    type Found = (Option<Vec<u8>>, Option<Vec<u8>>, TimestampMs, String);

    fn read(dir: &Path) -> Vec<Found> {
        let partition = Partition::open(dir, Checkpoints::default()).unwrap();
        let options = StreamOptions {
            range: OffsetRange::ALL,
            isolation: IsolationLevel::ReadUncommitted,
            until_high_watermark: false,
            control: false,
            on_corrupt: OnCorrupt::Stop,
            max_batch_bytes: 1 << 20,
            follow: false,
            skip_gone: false,
        };
        let mut stream = PartitionStream::open(&partition, options, &mut |message| panic!("{message:?}")).unwrap();
        let (mut found, mut decompressor) = (Vec::new(), Decompressor::default());
        while let Some(batch) = stream.next(&mut |message| panic!("{message:?}")).unwrap() {
            for record in batch.records(&mut decompressor).unwrap().map(Result::unwrap) {
                let offset = record.headers.iter().find(|(key, _)| *key == b"__connect.errors.offset").unwrap().1;
                let offset = String::from_utf8(offset.unwrap().to_vec()).unwrap();
                let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                found.push((bytes(record.key), bytes(record.value), record.timestamp_ms, offset));
            }
        }
        found
    }

    #[test]
    fn letters_are_appended_by_key_beside_another_session() {
        let temp = log_dir(&[("dead", 0), ("dead", 1), ("dead", 2), ("other", 0)]);
        let dir = temp.path();
        // As the log of the group's offsets is, in the same process.
        let mut other = AppendSession::open(dir, options()).unwrap();
        let mut append = || {
            let mut builder = BatchBuilder::new(BatchSpec::default());
            builder.push(&NewRecord { value: Some(b"x"), ..NewRecord::default() }).unwrap();
            let mut batch = builder.seal(&mut Compressor::default()).unwrap();
            other.append(&TopicPartition::new("other", 0), &mut batch, now_ms()).unwrap();
        };
        append();
        let topic = Arc::new(Mutex::new(find("dead", dir).unwrap()));
        let mut sink = Arc::clone(&topic);
        let error = WorkError::new("no");
        let count = PartitionCount::new(3).unwrap();
        let before = now_ms();
        for (offset, key) in [(5, Some(&b"a"[..])), (6, Some(b"b")), (9, Some(b"a")), (10, None)] {
            let value = (offset != 6).then_some(&b"v"[..]);
            let task = task(offset, key, value, if offset == 9 { -1 } else { 1_000 + offset });
            sink.put(&DeadLetter { task: &task, error: &error, worker: 0 }).unwrap();
            append();
        }
        let of_key = |key: &[u8]| crate::partitioner::partition_for_key(key, count);
        let of_a = read(&dir.join(format!("dead-{}", of_key(b"a"))));
        let of_a: Vec<&Found> = of_a.iter().filter(|found| found.0.as_deref() == Some(b"a")).collect();
        assert_eq!(of_a[0], &(Some(b"a".to_vec()), Some(b"v".to_vec()), 1_005, "5".to_owned()));
        assert!(of_a[1].3 == "9" && of_a[1].2 >= before, "a producer's own time: {of_a:?}");
        let of_b = read(&dir.join(format!("dead-{}", of_key(b"b"))));
        assert!(of_b.contains(&(Some(b"b".to_vec()), None, 1_006, "6".to_owned())), "{of_b:?}");
        let all: usize = (0..3).map(|number| read(&dir.join(format!("dead-{number}"))).len()).sum();
        assert_eq!(all, 4);
        topic.lock().unwrap().close().unwrap();
        other.close(now_ms()).unwrap();
        assert!(dir.join(crate::storage::clean_shutdown::FILE_NAME).exists(), "a clean end of both");
    }

    #[test]
    fn a_topic_that_cannot_take_letters_is_named() {
        let temp = log_dir(&[("dead", 0), ("gaps", 2)]);
        let at = temp.path().display().to_string();
        let cases = [
            ("deaf", format!("topic 'deaf' not found in {at} (2 topics)")),
            ("gaps", "partitions [0, 1] of 'gaps' are not in these directories: how many it has is not known".into()),
            ("__x", "topic '__x' is Kafka's own: dead letters do not belong there".into()),
        ];
        for (topic, expected) in cases {
            assert_eq!(find(topic, temp.path()).unwrap_err().to_string(), expected);
        }
        let mut small = find("dead", temp.path()).unwrap();
        small.options.config.max_message_bytes = 400;
        let large = task(1, None, Some(&[0; 600]), 1);
        let error = WorkError::new("no");
        let refused = small.put(&DeadLetter { task: &large, error: &error, worker: 0 }).unwrap_err().to_string();
        assert!(refused.starts_with("dead-0: ") && refused.contains("400"), "{refused}");
        assert_eq!(read(&temp.path().join("dead-0")), []);
    }
}
