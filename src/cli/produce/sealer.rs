//! Compressing and checksumming batches on several threads, handed back in the order they came.
//!
//! One thread reads, builds and appends; with a codec that is the smaller part of the work. Full batches go
//! into a queue that the other threads empty; when it is full, the first thread takes its share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::batch::builder::{BatchBuf, BatchBuilder, BuildError};
use crate::batch::compression::Compressor;

/// A batch with its builder, which is empty and keeps its memory.
#[derive(Debug)]
pub struct Sealed {
    /// The lane it came from.
    pub lane: usize,
    /// Bytes of its records before compression.
    pub uncompressed_bytes: usize,
    /// Records in it.
    pub records: u64,
    pub builder: BatchBuilder,
    pub batch: Result<BatchBuf, BuildError>,
}

/// A full batch on its way.
#[derive(Debug)]
struct Job {
    number: u64,
    lane: usize,
    builder: BatchBuilder,
}

impl Job {
    fn seal(self, compressor: &mut Compressor) -> (u64, Sealed) {
        let Job { number, lane, mut builder } = self;
        let uncompressed_bytes = builder.uncompressed_size();
        let records = u64::try_from(builder.record_count()).unwrap_or_default();
        let batch = builder.seal(compressor);
        (number, Sealed { lane, uncompressed_bytes, records, builder, batch })
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    done: BTreeMap<u64, Sealed>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// A job came, or the queue was closed.
    work: Condvar,
    /// A job was done.
    done: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A thread that panicked left whole values behind: they are moved in and out.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seals batches.
pub struct Sealer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    compressor: Compressor,
    /// Number of the next job, and of the next one to hand out.
    next: u64,
    out: u64,
    /// Batches under way before the first thread takes part.
    limit: u64,
}

impl Sealer {
    /// With `threads` threads in all, this one included.
    pub fn new(threads: usize) -> Sealer {
        let shared = Arc::new(Shared::default());
        let threads: Vec<_> = (1..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || work(&shared))
            })
            .collect();
        let limit = 4 * threads.len() as u64;
        Sealer { shared, threads, compressor: Compressor::default(), next: 0, out: 0, limit }
    }

    /// Takes a batch to be sealed. Call [`Sealer::next`] until it has none.
    pub fn submit(&mut self, lane: usize, builder: BatchBuilder) {
        let job = Job { number: self.next, lane, builder };
        self.next += 1;
        if self.threads.is_empty() {
            let (number, sealed) = job.seal(&mut self.compressor);
            self.shared.queue().done.insert(number, sealed);
            return;
        }
        self.shared.queue().waiting.push_back(job);
        self.shared.work.notify_one();
        if self.next - self.out > self.limit {
            self.help();
        }
    }

    /// Seals the oldest batch that waits, if one does.
    fn help(&mut self) -> bool {
        let Some(job) = self.shared.queue().waiting.pop_front() else { return false };
        let (number, sealed) = job.seal(&mut self.compressor);
        self.shared.queue().done.insert(number, sealed);
        true
    }

    /// The next batch in order, if it is sealed; with `wait`, `None` only when none is under way.
    pub fn next(&mut self, wait: bool) -> Option<Sealed> {
        loop {
            if self.out == self.next {
                return None;
            }
            let mut queue = self.shared.queue();
            if let Some(sealed) = queue.done.remove(&self.out) {
                self.out += 1;
                return Some(sealed);
            }
            if !wait {
                return None;
            }
            if queue.waiting.is_empty() {
                drop(self.shared.done.wait(queue).unwrap_or_else(PoisonError::into_inner));
            } else {
                drop(queue);
                self.help();
            }
        }
    }
}

fn work(shared: &Shared) {
    let mut compressor = Compressor::default();
    loop {
        let mut queue = shared.queue();
        let job = loop {
            if let Some(job) = queue.waiting.pop_front() {
                break job;
            }
            if queue.is_closed {
                return;
            }
            queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        };
        drop(queue);
        let (number, sealed) = job.seal(&mut compressor);
        shared.queue().done.insert(number, sealed);
        shared.done.notify_one();
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::builder::{BatchSpec, NewRecord};
    use crate::batch::compression::Compression;

    #[test]
    fn batches_come_back_in_order_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let mut sealer = Sealer::new(threads);
            let mut seen = Vec::new();
            for n in 0..200u32 {
                let spec = BatchSpec {
                    compression: Compression::parse("gzip").unwrap(),
                    base_sequence: -1,
                    ..BatchSpec::default()
                };
                let mut builder = BatchBuilder::new(spec);
                let value = vec![b'x'; 1 + (n as usize * 7_919) % 20_000];
                builder
                    .push(&NewRecord { timestamp_ms: i64::from(n), value: Some(&value), ..NewRecord::default() })
                    .unwrap();
                sealer.submit(n as usize, builder);
                while let Some(sealed) = sealer.next(false) {
                    seen.push((sealed.lane, sealed.batch.unwrap().view().max_timestamp_ms()));
                }
            }
            while let Some(sealed) = sealer.next(true) {
                seen.push((sealed.lane, sealed.batch.unwrap().view().max_timestamp_ms()));
            }
            let expected: Vec<(usize, i64)> = (0..200).zip(0..).collect();
            assert_eq!(seen, expected, "{threads} threads");
        }
    }
}
