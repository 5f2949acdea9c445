//! What is observed of one partition: lines of the brokers' logs and records of the metadata log, each with its time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use logdir::schema::metadata::{PartitionChangeRecord, Record};
use logdir::storage::metadata_log::{Content, MetadataLog};
use logdir::types::{Offset, Uuid};
use regex::Regex;

use crate::replica::OnDisk;

/// Lines of two processes, or of two threads, that are closer than this may be told of in the other order.
pub const CLOSE_MS: i64 = 200;

/// A broker by its id: 1, 2, 3.
pub type Id = i32;

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Records of one batch of the metadata log, of those that matter.
    Metadata(Vec<Decided>),
    /// A line of a broker's log.
    Said(Id, Line),
    /// The test killed it; its replica was read while it was down.
    Killed(Id, OnDisk),
    /// Its process ended after a controlled shutdown.
    Stopped(Id),
}

/// One record of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// The partition begins: leader epoch and partition epoch are 0.
    Created,
    /// The partition changes.
    Changed(Box<PartitionChangeRecord>),
    /// A broker registers.
    Registered(Id),
    /// A broker may not lead any more: its session is over, or it is about to stop.
    Fenced(Id),
    /// A broker may lead again.
    Unfenced(Id),
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `Partition.makeLeader` in a new leader epoch.
    Leads { epoch: u32, version: u32, from: u64, hw: u64 },
    /// `Partition.makeFollower` in a new leader epoch.
    Follows { epoch: u32, version: u32, from: u64, hw: u64 },
    /// The same in the leader epoch that it is in.
    Again { version: u32 },
    /// A leader gets the answer to `AlterPartition`.
    IsrUpdated { version: u32 },
    /// A leader asks to remove these.
    Shrinks { out: Vec<Id> },
    /// The controller refuses a leader's ISR for good.
    IsrRefused,
    /// A leader appends a batch of one record.
    Appended { offset: u64, record: u32 },
    /// A leader counts a follower's fetch (`Partition.updateFollowerFetchState`), and asks to add it to the ISR.
    Recorded { follower: Id, offset: u64, asks: bool },
    /// A follower has processed an answer.
    Received { from: u64, to: u64, hw: u64 },
    /// A follower cuts its log, as the answer to a fetch asks.
    Cut { to: u64 },
    /// A follower without any epoch cuts its log to its high watermark.
    CutToHw { to: u64 },
    /// A leader's high watermark has moved.
    HwUpdated { to: u64 },
    /// A broker that starts has read the checkpointed high watermark.
    Loaded { hw: u64 },
}

/// Size of the batch that holds only record `number`: its value is `number + 32` bytes long.
fn batch_bytes(number: u32) -> u32 {
    // Zigzag: one byte up to 63.
    let varint = |value: u32| if value < 64 { 1 } else { 2 };
    let value = number + 32;
    let body = 4 + varint(value) + value + 1;
    61 + varint(body) + body
}

/// Records a schedule may send.
pub const RECORDS_MAX: u32 = 120;

/// Reads the lines of one broker's log that are about one partition.
pub struct Lines {
    stamp: Regex,
    leads: Regex,
    follows: Regex,
    version: Regex,
    updated: Regex,
    shrinks: Regex,
    appended: Regex,
    recorded: Regex,
    received: Regex,
    copied: Regex,
    cut: Regex,
    hw: Regex,
    loaded: Regex,
}

/// A line's time and thread, to put together what one thread says in several lines.
struct Stamped<'a> {
    time_ms: i64,
    thread: &'a str,
    text: &'a str,
}

fn number<T: std::str::FromStr>(captures: &regex::Captures<'_>, at: usize) -> T {
    captures[at].parse().ok().expect("a number")
}

impl Lines {
    pub fn new() -> Lines {
        let regex = |text: &str| Regex::new(text).unwrap();
        Lines {
            stamp: regex(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})(\S+) \[([^\]]*)\] [A-Z]+ \S+ - (.*)$"),
            leads: regex(
                r"\] Leader \S+ .*starts at leader epoch (\d+) from offset (\d+) with partition epoch (\d+), high watermark (\d+),",
            ),
            follows: regex(
                r"\] Follower \S+ starts at leader epoch (\d+) from offset (\d+) with partition epoch (\d+) and high watermark (\d+)\.",
            ),
            version: regex(r"since it is already .*|partitionEpoch=(\d+)"),
            updated: regex(r"\] ISR updated to .* and version updated to (\d+)"),
            shrinks: regex(r"\] Shrinking ISR from ([0-9,]+) to ([0-9,]+)\."),
            appended: regex(
                r"Appended message set with last offset: (\d+), first offset: (\d+), .*MemoryRecords\(size=(\d+),",
            ),
            recorded: regex(r"Recorded replica (\d+) log end offset \(LEO\) position (\d+) "),
            received: regex(
                r"Follower has replica log end offset (\d+) for partition \S+\. Received \d+ bytes of messages and leader hw (\d+)",
            ),
            copied: regex(r"Follower has replica log end offset (\d+) after appending "),
            cut: regex(r"\] Truncating to (?:offset )?(\d+)(?: has no effect.*)?$"),
            hw: regex(r"High watermark updated from .* to \(offset=(\d+),"),
            loaded: regex(r"Log loaded for partition \S+ with initial high watermark (\d+)"),
        }
    }

    fn stamped<'a>(&self, line: &'a str) -> Option<Stamped<'a>> {
        let found = self.stamp.captures(line)?;
        let group = |at| found.get(at).map_or("", |group| group.as_str());
        let time: jiff::Timestamp = format!("{}{}", group(1), group(2)).parse().ok()?;
        Some(Stamped { time_ms: time.as_millisecond(), thread: group(3), text: group(4) })
    }

    /// All that broker `id` says of `topic`, with its time, in its order.
    pub fn read(&self, id: Id, log: &str, topic: &str) -> Vec<(i64, Seen)> {
        let names = [format!(" {topic}-0"), format!("={topic}-0")];
        let mut found: Vec<(i64, Seen)> = Vec::new();
        // What a thread said last: an answer that it processes, a cut that it announces.
        let (mut received, mut to_hw) = (None, false);
        // A fetch that makes its leader ask for another ISR counts from there, not from its own line.
        let mut asked: Option<(String, i64)> = None;
        // And one that moves the high watermark from where its thread tells of that. An append may move it too.
        let (mut moved, mut appended): (BTreeMap<String, (u64, i64)>, BTreeSet<String>) = Default::default();
        let mut last_ms = i64::MIN;
        for line in log.lines().filter(|line| names.iter().any(|name| line.contains(name.as_str()))) {
            let Some(stamped) = self.stamped(line) else { continue };
            let Stamped { thread, text, .. } = stamped;
            last_ms = last_ms.max(stamped.time_ms);
            let mut time_ms = last_ms;
            let said = if let Some(is) = self.leads.captures(text) {
                Line::Leads { epoch: number(&is, 1), from: number(&is, 2), version: number(&is, 3), hw: number(&is, 4) }
            } else if let Some(is) = self.follows.captures(text) {
                Line::Follows {
                    epoch: number(&is, 1),
                    from: number(&is, 2),
                    version: number(&is, 3),
                    hw: number(&is, 4),
                }
            } else if text.contains("Skipped the become-") {
                if !text.contains("since it is already") {
                    continue;
                }
                let version = self.version.captures_iter(text).find_map(|is| is.get(1)?.as_str().parse().ok());
                Line::Again { version: version.expect("a registration has a partition epoch") }
            } else if let Some(is) = self.updated.captures(text) {
                Line::IsrUpdated { version: number(&is, 1) }
            } else if let Some(is) = self.shrinks.captures(text) {
                let ids = |at: usize| -> Vec<Id> { is[at].split(',').map(|id| id.parse().unwrap()).collect() };
                let stay = ids(2);
                Line::Shrinks { out: ids(1).into_iter().filter(|id| !stay.contains(id)).collect() }
            } else if text.contains("since the controller rejected the request with") {
                Line::IsrRefused
            } else if text.contains("Submitting ISR state change PendingExpandIsr") {
                asked = Some((thread.to_owned(), time_ms));
                continue;
            } else if let Some(is) = self.appended.captures(text) {
                if thread.starts_with("ReplicaFetcherThread") {
                    continue;
                }
                appended.insert(thread.to_owned());
                let bytes: u32 = number(&is, 3);
                let record = (0..RECORDS_MAX).find(|&record| batch_bytes(record) == bytes);
                Line::Appended { offset: number(&is, 2), record: record.expect("a batch of one of our records") }
            } else if let Some(is) = self.recorded.captures(text) {
                let submitted = asked.take_if(|asked| asked.0 == thread);
                time_ms = submitted.as_ref().map_or(time_ms, |submitted| submitted.1);
                Line::Recorded { follower: number(&is, 1), offset: number(&is, 2), asks: submitted.is_some() }
            } else if let Some(is) = self.received.captures(text) {
                received = Some((number::<u64>(&is, 1), number::<u64>(&is, 2)));
                continue;
            } else if let Some(is) = self.copied.captures(text) {
                let Some((from, hw)) = received.take() else { continue };
                Line::Received { from, to: number(&is, 1), hw }
            } else if text.contains("due to local high watermark") {
                to_hw = true;
                continue;
            } else if let Some(is) = self.cut.captures(text) {
                let to = number(&is, 1);
                if std::mem::take(&mut to_hw) { Line::CutToHw { to } } else { Line::Cut { to } }
            } else if let Some(is) = self.hw.captures(text) {
                let to = number(&is, 1);
                moved.remove(thread);
                if !appended.remove(thread) {
                    moved.insert(thread.to_owned(), (to, time_ms));
                }
                Line::HwUpdated { to }
            } else if let Some(is) = self.loaded.captures(text) {
                Line::Loaded { hw: number(&is, 1) }
            } else {
                continue;
            };
            if matches!(said, Line::Recorded { .. })
                && !appended.remove(thread)
                && let Some((to, at_ms)) = moved.remove(thread)
                && time_ms - at_ms <= CLOSE_MS
            {
                let is_it = |seen: &(i64, Seen)| seen.1 == Seen::Said(id, Line::HwUpdated { to });
                if let Some(place) = found.iter().rposition(is_it) {
                    found.insert(place, (found[place].0.min(time_ms), Seen::Said(id, said)));
                    continue;
                }
            }
            // A follower counts no fetch: it was counted before its thread came to tell of it.
            if matches!(said, Line::Recorded { .. }) {
                let is_role = |seen: &&(usize, &(i64, Seen))| {
                    matches!(seen.1.1, Seen::Said(_, Line::Leads { .. } | Line::Follows { .. }))
                };
                let roles = found.iter().enumerate().rev().filter(|entry| is_role(&entry));
                let follows = |entry: &(usize, &(i64, Seen))| matches!(entry.1.1, Seen::Said(_, Line::Follows { .. }));
                if let Some((place, (at_ms, _))) = roles.take_while(follows).last() {
                    let at_ms = *at_ms;
                    found.insert(place, (at_ms, Seen::Said(id, said)));
                    continue;
                }
            }
            // A fetch that counts from earlier goes before what other threads said since.
            let place = found.iter().rposition(|(at, _)| *at <= time_ms).map_or(0, |at| at + 1);
            found.insert(place, (time_ms, Seen::Said(id, said)));
        }
        found
    }
}

/// What the metadata log says of a topic's partition and of the brokers, from its creation on, with the time of each batch.
pub fn decided(log_dir: &Path, topic: &str) -> Vec<(i64, Seen)> {
    let log = MetadataLog::open(log_dir).unwrap();
    let (mut topic_id, mut batch_at) = (None::<Uuid>, None);
    let mut found: Vec<(i64, Vec<Decided>)> = Vec::new();
    let problems = log.read(Offset::ZERO, &mut |entry| {
        let Content::Data(decoded) = &entry.content else { return ControlFlow::Continue(()) };
        let is_ours = |id: Uuid| topic_id == Some(id);
        let fencing = |id: Id, fenced: i32, stops: i32| match (fenced, stops) {
            (1, _) | (_, 1) => vec![Decided::Fenced(id)],
            (-1, _) => vec![Decided::Unfenced(id)],
            _ => vec![],
        };
        let now = match decoded.typed() {
            Record::Topic { name, topic_id: id } => {
                topic_id = topic_id.or((name == topic).then_some(id));
                vec![]
            }
            Record::Partition(partition) if is_ours(partition.topic_id) => vec![Decided::Created],
            Record::PartitionChange(change) if is_ours(change.topic_id) => vec![Decided::Changed(Box::new(change))],
            Record::RegisterBroker(broker) => vec![Decided::Registered(broker.broker_id)],
            Record::BrokerRegistrationChange(change) => {
                fencing(change.broker_id, change.fenced, change.in_controlled_shutdown)
            }
            Record::FenceBroker { broker_id, .. } => fencing(broker_id, 1, 0),
            Record::UnfenceBroker { broker_id, .. } => fencing(broker_id, -1, 0),
            _ => vec![],
        };
        if batch_at != Some(entry.base_offset) {
            batch_at = Some(entry.base_offset);
            found.push((entry.timestamp_ms, Vec::new()));
        }
        found.last_mut().expect("pushed just now").1.extend(now);
        ControlFlow::Continue(())
    });
    assert_eq!(problems.unwrap(), []);
    let created = found.iter().position(|(_, batch)| batch.iter().any(|record| matches!(record, Decided::Created)));
    let since = found.split_off(created.expect("the topic was created"));
    since.into_iter().filter(|(_, batch)| !batch.is_empty()).map(|(at, batch)| (at, Seen::Metadata(batch))).collect()
}
