//! The threads, what is under way on them, and what of it is finished.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::lane::{End, Job, Lane, Report, Runner, Shared};
use super::{Abort, BeginError, DeadLetters, Progress, Task, WorkError, Worker};
use crate::partitioner::murmur2;
use crate::types::{Offset, TopicPartition};

/// How long workers that were aborted may take to end before they are left to themselves.
const ABORT_MAX: Duration = Duration::from_secs(2);

/// What to do with a record that could not be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Everything stops: no worker begins another record, and the position does not pass this one.
    Stop,
    /// The same worker processes it again, and what is behind it on this worker waits.
    Retry {
        /// How often.
        retries: u32,
        /// The pause before the first time; twice as long each time, at most 30 s.
        backoff: Duration,
        /// What to do after the last time.
        then: Then,
    },
    /// It is put aside; finished once it is stored there. Where that fails everything stops.
    DeadLetter,
}

/// What to do with a record that was tried often enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// As [`OnFailure::Stop`].
    Stop,
    /// As [`OnFailure::DeadLetter`].
    DeadLetter,
}

/// How many workers there are, and how much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Workers, each with a thread; 0 is taken as 1.
    pub workers: usize,
    /// Records queued for or in process at one worker. Of one partition, so many times the number of workers may lie
    /// between the position and the last record handed out: that is what a crash repeats at most.
    pub records_max: usize,
    /// Bytes of all records queued or in process; one that is larger goes alone.
    pub bytes_max: usize,
    /// What to do with a record that could not be processed.
    pub on_failure: OnFailure,
}

impl Default for Options {
    /// One worker, 64 records for each, 16 MiB, stop.
    fn default() -> Self {
        Options { workers: 1, records_max: 64, bytes_max: 16 << 20, on_failure: OnFailure::Stop }
    }
}

/// What became of a record that was submitted.
#[derive(Debug)]
#[must_use = "a record that was not taken has to be submitted again"]
pub enum Submission {
    /// A worker has it, or will.
    Submitted,
    /// There is no room for it yet: do what has to be done meanwhile, and submit it again.
    Full(Task),
    /// Nothing is processed any more: see [`Workers::failure`].
    Stopped(Task),
    /// It cannot be handed out.
    Refused(Task, BeginError),
}

/// The record that stopped everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its offset. The partition's position stays at or below it.
    pub offset: Offset,
    /// Why it was not processed, at the last attempt.
    pub error: WorkError,
    /// Why it was not put aside either, where it was to be.
    pub dead_letter: Option<WorkError>,
}

/// Something about a record that people may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It failed and is processed again.
    Retry {
        /// Its partition.
        partition: TopicPartition,
        /// Its offset.
        offset: Offset,
        /// Why it failed.
        error: WorkError,
        /// Which attempt follows, from 1, not counting the first.
        attempt: u32,
        /// How long it waits before.
        pause: Duration,
    },
    /// It failed and was put aside; for the position it is finished.
    Diverted {
        /// Its partition.
        partition: TopicPartition,
        /// Its offset.
        offset: Offset,
        /// Why it failed, at the last attempt.
        error: WorkError,
    },
    /// It failed and stops everything. Told once for each worker it happened to at the same time; the first is
    /// [`Workers::failure`].
    Failed(Failure),
}

/// Workers with their threads.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use logdir::batch::{Headers, RecordRef};
/// use logdir::types::{LeaderEpoch, Offset, TimestampType, TopicPartition};
/// use logdir::workers::{Options, Submission, Task, WorkError, Workers};
///
/// let orders = Arc::new(TopicPartition::new("orders", 0));
/// let print = |task: &Task| {
///     println!("{} {}", task.partition, task.offset);
///     Ok::<(), WorkError>(())
/// };
/// let mut workers = Workers::start(Options { workers: 4, ..Options::default() }, None, |_| Ok(Box::new(print)))?;
/// workers.assign(&orders, 1, Offset::ZERO);
/// let record = RecordRef {
///     offset: Offset::ZERO, timestamp_ms: -1, timestamp_type: TimestampType::Create, sequence: -1,
///     key: Some(b"k"), value: None, headers: Headers::default(), raw: &[],
/// };
/// let task = Task::of(&orders, &record, LeaderEpoch::NONE, Vec::new());
/// assert!(matches!(workers.submit(task, Duration::from_secs(1)), Submission::Submitted));
/// assert!(workers.drain(Duration::from_secs(10)));
/// assert_eq!(workers.position(&orders), Some(Offset::new(1)));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Workers {
    options: Options,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    aborts: Vec<Abort>,
    reports: Receiver<Report>,
    progress: Progress,
    /// Records queued for or in process at each worker.
    under_way: Vec<usize>,
    /// Bytes of them all.
    bytes: usize,
    failure: Option<Failure>,
    events: Vec<Event>,
    closed: bool,
    finished: u64,
}

impl Workers {
    /// Starts the threads. `make` gives the worker of each, by its number from 0, and is called on this thread.
    ///
    /// Without `dead_letters` a record that should be put aside stops everything.
    pub fn start(
        options: Options,
        dead_letters: Option<Box<dyn DeadLetters>>,
        mut make: impl FnMut(usize) -> io::Result<Box<dyn Worker>>,
    ) -> io::Result<Workers> {
        let options = Options { workers: options.workers.max(1), records_max: options.records_max.max(1), ..options };
        let shared = Arc::new(Shared {
            lanes: std::iter::repeat_with(Lane::default).take(options.workers).collect(),
            on_failure: options.on_failure,
            dead_letters: dead_letters.map(Mutex::new),
            halted: AtomicBool::new(false),
        });
        let (sender, reports) = channel();
        let mut workers = Workers {
            options,
            shared,
            threads: Vec::new(),
            aborts: Vec::new(),
            reports,
            progress: Progress::default(),
            under_way: vec![0; options.workers],
            bytes: 0,
            failure: None,
            events: Vec::new(),
            closed: false,
            finished: 0,
        };
        for number in 0..options.workers {
            let worker = make(number)?;
            workers.aborts.extend(worker.abort());
            let runner = Runner { number, worker, shared: Arc::clone(&workers.shared), reports: sender.clone() };
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || runner.run())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Takes records of a partition from now on, `position` being the first one not finished; see [`Progress::assign`].
    ///
    /// One that is still assigned is to be revoked first: else what is queued of it is processed and counts for nothing.
    pub fn assign(&mut self, partition: &Arc<TopicPartition>, assignment: u64, position: Offset) {
        self.progress.assign(partition, assignment, position);
    }

    /// Says that nothing below `next` will be submitted; see [`Progress::pass`].
    pub fn pass(&mut self, partition: &TopicPartition, next: Offset) {
        self.progress.pass(partition, next);
    }

    /// Gives a record to the worker of its key, waiting for room up to `timeout`.
    ///
    /// Records of a partition come in offset order. A record without a key has no order to keep: it goes to the worker
    /// with the least to do.
    pub fn submit(&mut self, task: Task, timeout: Duration) -> Submission {
        let until = Instant::now() + timeout;
        self.poll(Duration::ZERO);
        loop {
            if self.closed || self.is_halted() {
                return Submission::Stopped(task);
            }
            let (lane, bytes) = (self.lane_of(&task), task.size_bytes());
            if self.has_room(lane, bytes, &task.partition) {
                return match self.progress.begin(&task.partition, task.offset) {
                    Ok(ticket) => {
                        self.take_in(lane, Job { ticket, task, bytes });
                        Submission::Submitted
                    }
                    Err(error) => Submission::Refused(task, error),
                };
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Submission::Full(task);
            }
            self.poll(left);
        }
    }

    fn take_in(&mut self, lane: usize, job: Job) {
        self.bytes += job.bytes;
        if let Some(under_way) = self.under_way.get_mut(lane) {
            *under_way += 1;
        }
        if let Some(lane) = self.shared.lanes.get(lane) {
            lane.push(job);
        }
    }

    fn give_back(&mut self, lane: usize, bytes: usize) {
        self.bytes -= bytes;
        if let Some(under_way) = self.under_way.get_mut(lane) {
            *under_way -= 1;
        }
    }

    fn has_room(&self, lane: usize, bytes: usize, partition: &TopicPartition) -> bool {
        self.under_way.get(lane).is_some_and(|under_way| *under_way < self.options.records_max)
            && (self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.options.bytes_max)
            && self.progress.span(partition) < self.options.records_max.saturating_mul(self.options.workers)
    }

    fn lane_of(&self, task: &Task) -> usize {
        let lanes = self.options.workers;
        match &task.key {
            Some(key) => lane_of_key(key, lanes),
            None => {
                // From another one each time, so that nobody is preferred when all have as little to do.
                let first =
                    task.offset.get().wrapping_add(i64::from(task.partition.partition)).rem_euclid(lanes as i64);
                let first = usize::try_from(first).unwrap_or_default();
                let turn = (first..lanes).chain(0..first);
                turn.min_by_key(|lane| self.under_way.get(*lane)).unwrap_or_default()
            }
        }
    }

    /// Takes in what the workers have finished; waits for something up to `timeout` when there is nothing yet. Returns
    /// how many records are under way no longer.
    pub fn poll(&mut self, timeout: Duration) -> usize {
        let mut ended = 0;
        let mut wait = timeout;
        loop {
            match self.reports.recv_timeout(wait) {
                Ok(report) => {
                    ended += usize::from(matches!(report, Report::End { .. }));
                    self.take_report(report);
                    wait = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return ended,
            }
        }
    }

    fn take_report(&mut self, report: Report) {
        match report {
            Report::Again { ticket, error, attempt, pause } => {
                let (partition, offset) = (ticket.partition().clone(), ticket.offset());
                self.events.push(Event::Retry { partition, offset, error, attempt, pause });
            }
            Report::End { lane, bytes, ticket, end } => {
                self.give_back(lane, bytes);
                let (partition, offset) = (ticket.partition().clone(), ticket.offset());
                match end {
                    End::Done => self.finished += u64::from(self.progress.finish(&ticket)),
                    End::Diverted(error) => {
                        self.finished += u64::from(self.progress.finish(&ticket));
                        self.events.push(Event::Diverted { partition, offset, error });
                    }
                    End::GivenUp => {}
                    End::Failed { error, dead_letter } => {
                        let failure = Failure { partition, offset, error, dead_letter };
                        self.events.push(Event::Failed(failure.clone()));
                        self.failure.get_or_insert(failure);
                    }
                }
            }
        }
    }

    fn is_halted(&self) -> bool {
        self.failure.is_some() || self.shared.halted.load(Ordering::Acquire)
    }

    /// The offset to commit of a partition; `None` when it is not assigned. As of the last call that waited or polled.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.progress.position(partition)
    }

    /// The offset to commit of every partition.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.progress.positions()
    }

    /// What is handed out and finished.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Records finished, those put aside included.
    pub const fn finished(&self) -> u64 {
        self.finished
    }

    /// What happened that people may want to know, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The record that stopped everything: commit the positions, tell of it, and end.
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Waits until everything submitted is finished; false when it is not after `timeout`, or never will be.
    pub fn drain(&mut self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        self.poll(Duration::ZERO);
        while self.under_way.iter().any(|under_way| *under_way > 0) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.closed || self.is_halted() {
                return false;
            }
            self.poll(left);
        }
        self.failure.is_none()
    }

    /// Gives a partition back: drops what is queued of it, waits up to `timeout` for what is in process, and forgets it.
    /// Returns the offset to commit, `None` when it was not assigned.
    ///
    /// A record that fails meanwhile is neither tried again nor put aside: that is for the partition's next owner. What
    /// is in process after the time is not waited for, and its end counts for nothing.
    pub fn revoke(&mut self, partition: &TopicPartition, timeout: Duration) -> Option<Offset> {
        let until = Instant::now() + timeout;
        let shared = Arc::clone(&self.shared);
        for (number, lane) in shared.lanes.iter().enumerate() {
            for job in lane.revoke(partition) {
                self.give_back(number, job.bytes);
            }
        }
        while shared.lanes.iter().any(|lane| lane.is_processing(partition)) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Reports of other lanes end the waiting too, and a lane comes to rest just behind its report.
            self.poll(left.min(Duration::from_millis(10)));
        }
        self.poll(Duration::ZERO);
        self.progress.revoke(partition)
    }

    /// Ends the workers: drops what is queued, waits up to `timeout` for what is in process, then aborts it. Positions
    /// can be asked for still, and are final. Call [`Workers::drain`] before to have the queues worked off.
    pub fn close(&mut self, timeout: Duration) {
        let shared = Arc::clone(&self.shared);
        self.closed = true;
        for (number, lane) in shared.lanes.iter().enumerate() {
            for job in lane.close() {
                self.give_back(number, job.bytes);
            }
        }
        self.wait_for_threads(timeout);
        if !self.threads.is_empty() {
            self.aborts.iter().for_each(|abort| abort());
            self.wait_for_threads(ABORT_MAX);
        }
        self.poll(Duration::ZERO);
    }

    /// Waits for the threads to end; those that do not are left in [`Workers::threads`].
    fn wait_for_threads(&mut self, timeout: Duration) {
        let until = Instant::now() + timeout;
        loop {
            let (ended, running): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.threads).into_iter().partition(JoinHandle::is_finished);
            self.threads = running;
            for thread in ended {
                // A worker's panic was taken for its failure.
                let _ = thread.join();
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.threads.is_empty() || left.is_zero() {
                return;
            }
            match self.reports.recv_timeout(left.min(Duration::from_millis(5))) {
                Ok(report) => self.take_report(report),
                Err(RecvTimeoutError::Timeout) => {}
                // Every runner is gone, and its thread as good as ended.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Ends at once, and aborts what is in process.
impl Drop for Workers {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.close(Duration::ZERO);
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers")
            .field("options", &self.options)
            .field("progress", &self.progress)
            .field("under_way", &self.under_way)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// The worker of a key: by the upper bits of its hash.
///
/// The lower ones chose the partition: among the keys of one partition of 8, all would have the same worker of 8.
pub(super) fn lane_of_key(key: &[u8], lanes: usize) -> usize {
    let scaled = u128::from(murmur2(key)) * lanes as u128;
    usize::try_from(scaled >> 32).unwrap_or_default()
}
