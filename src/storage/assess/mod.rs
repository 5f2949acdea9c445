//! Replicas of one partition on their disks, brought into the form that [`crate::replication::assess`] judges.
//!
//! Reads only. Every replica is walked through once, all of them side by side, and of their batches only those at hand are
//! in memory (`walk`). What a log is worth ends where its first damage begins.

mod knowledge;
mod replica;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

pub use self::knowledge::{Knowledge, min_insync_replicas_in, view_in};
pub use self::replica::ReplicaDir;
pub use self::walk::{DamageFound, Fate, WalkOptions, Walked};
use crate::replication::assess::compare::{Next, compare};
use crate::replication::assess::{Replica, Situation};
use crate::replication::epochs::Epochs;
use crate::replication::rules::Era;
use crate::types::Offset;

/// Batches that go from the thread that reads a log to the one that compares, at a time.
const CHUNK: usize = 1 << 10;
/// Chunks that may wait.
const CHUNKS_WAITING: usize = 4;

/// What was found on the disks.
#[derive(Debug)]
pub struct Found {
    /// For [`crate::replication::assess::Assessment::of`].
    pub situation: Situation,
    /// By replica: how the walk through its log went.
    pub walked: Vec<Walked>,
    /// The leader epoch that the metadata logs end in, where a replica has a later one: they are too old to tell who is in
    /// the ISR, and [`Situation::newest`] is none.
    pub stale_epoch: Option<u32>,
}

/// Walks through `replicas`, all of one partition, and puts what is known of them together. `progress` is told of bytes that
/// were read, as the walk goes on.
pub fn read(
    replicas: &[ReplicaDir],
    knowledge: &Knowledge,
    era: Era,
    options: &WalkOptions,
    mut progress: impl FnMut(u64),
) -> Found {
    let starts: Vec<u64> = replicas.iter().map(|replica| raw(replica.partition.log_start())).collect();
    let done = AtomicU64::new(0);
    let (comparison, walked) = std::thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(replicas.len());
        let mut walkers = Vec::with_capacity(replicas.len());
        for replica in replicas {
            let (sender, receiver) = mpsc::sync_channel::<Vec<Next>>(CHUNKS_WAITING);
            let done = &done;
            walkers.push(
                scope.spawn(move || walk::walk(replica, options, CHUNK, done, &|chunk| sender.send(chunk).is_ok())),
            );
            receivers.push((receiver, Vec::new().into_iter()));
        }
        let mut told = 0;
        let next = |number: usize| -> Result<Next, std::convert::Infallible> {
            let Some((receiver, chunk)) = receivers.get_mut(number) else { return Ok(Next::End(0)) };
            if let Some(next) = chunk.next() {
                return Ok(next);
            }
            let now = done.load(Ordering::Relaxed);
            progress(now - told);
            told = now;
            // A walker ends with an end; without one it has panicked, and joining it says so.
            *chunk = receiver.recv().unwrap_or_else(|_| vec![Next::End(0)]).into_iter();
            Ok(chunk.next().unwrap_or(Next::End(0)))
        };
        let comparison =
            compare(&starts, knowledge.cleaned_below(replicas), next).unwrap_or_else(|never| match never {});
        let walked: Vec<Walked> =
            walkers.into_iter().map(|walker| walker.join().unwrap_or_else(|_| Walked::failed())).collect();
        (comparison, walked)
    });
    let described = replicas.iter().zip(&walked).zip(&starts).map(|((replica, walked), &start)| Replica {
        broker: replica.broker,
        start,
        end: raw(walked.end),
        high_watermark: replica.partition.checkpoints().high_watermark.map(raw),
        epochs: epochs(walked),
        view: knowledge.view_of(replica),
    });
    let described: Vec<Replica> = described.collect();
    let latest = described.iter().filter_map(|replica| replica.epochs.last()).max();
    let (mut newest, mut stale_epoch) = (knowledge.newest(replicas), None);
    if let Some(view) = newest.take_if(|view| latest > Some(view.leader_epoch)) {
        stale_epoch = Some(view.leader_epoch);
    }
    Found { situation: Situation { replicas: described, comparison, newest, era }, walked, stale_epoch }
}

fn epochs(walked: &Walked) -> Epochs {
    let mut epochs = Epochs::default();
    for entry in walked.epochs.entries() {
        epochs.assign(u32::try_from(entry.epoch.0).unwrap_or(0), raw(entry.start));
    }
    epochs
}

/// As the pure part counts. No offset of a log is below 0.
fn raw(offset: Offset) -> u64 {
    u64::try_from(offset.get()).unwrap_or(0)
}

/// The log directory around a partition directory, as far as there is one.
fn log_dir_of(partition: &Path) -> Option<PathBuf> {
    match partition.parent() {
        Some(parent) if partition.file_name().is_some() => {
            Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
        }
        _ => partition.canonicalize().ok()?.parent().map(Path::to_owned),
    }
}
