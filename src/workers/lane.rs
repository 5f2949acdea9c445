//! One worker's thread: its queue, and what it does with a record that fails.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::{OnFailure, Then};
use super::{DeadLetter, DeadLetters, Task, Ticket, WorkError, Worker};
use crate::types::TopicPartition;

/// The longest pause before another attempt.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A record on its way through a lane.
#[derive(Debug)]
pub struct Job {
    pub ticket: Ticket,
    pub task: Task,
    /// What it counts for while it is under way.
    pub bytes: usize,
}

/// What a lane tells.
#[derive(Debug)]
pub enum Report {
    /// A record failed and will be processed again.
    Again { ticket: Ticket, error: WorkError, attempt: u32, pause: Duration },
    /// A record is under way no longer.
    End { lane: usize, bytes: usize, ticket: Ticket, end: End },
}

/// How the processing of a record ended.
#[derive(Debug)]
pub enum End {
    Done,
    /// It failed and was put aside.
    Diverted(WorkError),
    /// It failed and no one is to wait for it: its partition was revoked, or everything stops.
    GivenUp,
    /// It failed, and so everything stops.
    Failed {
        error: WorkError,
        dead_letter: Option<WorkError>,
    },
}

/// The queue of one worker.
#[derive(Debug, Default)]
pub struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    in_process: Option<Ticket>,
    /// The record in process is not to be tried again.
    given_up: bool,
    closed: bool,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a record at the end of the queue.
    pub fn push(&self, job: Job) {
        self.lock().queue.push_back(job);
        self.changed.notify_all();
    }

    /// Takes out what is queued of a partition, and has the record in process not tried again if it is one of it.
    pub fn revoke(&self, partition: &TopicPartition) -> Vec<Job> {
        let mut state = self.lock();
        let of_it = |ticket: &Ticket| ticket.partition() == partition;
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.queue).into_iter().partition(|job| of_it(&job.ticket));
        state.queue = kept.into();
        state.given_up |= state.in_process.as_ref().is_some_and(of_it);
        self.changed.notify_all();
        gone
    }

    /// Whether the record in process is one of this partition.
    pub fn is_processing(&self, partition: &TopicPartition) -> bool {
        self.lock().in_process.as_ref().is_some_and(|ticket| ticket.partition() == partition)
    }

    /// Takes out everything that is queued; the lane ends with the record in process, which is not tried again.
    pub fn close(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.closed = true;
        state.given_up = true;
        self.changed.notify_all();
        state.queue.drain(..).collect()
    }

    /// The next record, waited for; `None` once the lane is closed.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                state.in_process = Some(job.ticket.clone());
                state.given_up = false;
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits before another attempt; false when there is to be none.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.given_up || left.is_zero() {
                return !state.given_up;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    /// Nothing is in process any more.
    fn rest(&self) {
        self.lock().in_process = None;
    }
}

/// What the lanes of one pool have in common.
pub struct Shared {
    pub lanes: Vec<Lane>,
    pub on_failure: OnFailure,
    pub dead_letters: Option<Mutex<Box<dyn DeadLetters>>>,
    /// A record failed for good: none is begun any more.
    pub halted: AtomicBool,
}

impl Shared {
    /// Begins no record any more. What is queued stays there: it was not processed.
    fn halt(&self) {
        self.halted.store(true, Ordering::Release);
        for lane in &self.lanes {
            let mut state = lane.lock();
            state.closed = true;
            state.given_up = true;
            lane.changed.notify_all();
        }
    }
}

/// A worker with its lane.
pub struct Runner {
    pub number: usize,
    pub worker: Box<dyn Worker>,
    pub shared: Arc<Shared>,
    pub reports: Sender<Report>,
}

impl Runner {
    /// Processes what comes until the lane is closed.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(lane) = shared.lanes.get(self.number) else { return };
        while let Some(Job { ticket, task, bytes }) = lane.next() {
            // What a panic leaves behind is in no known state: nothing else may run on it.
            let panicked = |_| End::Failed { error: WorkError::new("the worker panicked"), dead_letter: None };
            let end = catch_unwind(AssertUnwindSafe(|| self.bring_to_end(lane, &ticket, &task)));
            let end = end.unwrap_or_else(panicked);
            if let End::Failed { .. } = end {
                shared.halt();
            }
            // Whoever listened may be gone: then nothing is to be told. Before the rest, so that who sees the lane at
            // rest finds the report.
            let _ = self.reports.send(Report::End { lane: self.number, bytes, ticket, end });
            lane.rest();
        }
    }

    fn bring_to_end(&mut self, lane: &Lane, ticket: &Ticket, task: &Task) -> End {
        let (retries, mut pause, then) = match self.shared.on_failure {
            OnFailure::Stop => (0, Duration::ZERO, Then::Stop),
            OnFailure::DeadLetter => (0, Duration::ZERO, Then::DeadLetter),
            OnFailure::Retry { retries, backoff, then } => (retries, backoff.min(BACKOFF_MAX), then),
        };
        let mut attempt = 0;
        loop {
            let Err(error) = self.worker.process(task) else { return End::Done };
            if lane.is_given_up() {
                return End::GivenUp;
            }
            if attempt == retries {
                return self.fail(task, error, then);
            }
            attempt += 1;
            let _ = self.reports.send(Report::Again { ticket: ticket.clone(), error, attempt, pause });
            if !lane.pause(pause) {
                return End::GivenUp;
            }
            pause = pause.saturating_mul(2).min(BACKOFF_MAX);
        }
    }

    fn fail(&self, task: &Task, error: WorkError, then: Then) -> End {
        match (then, &self.shared.dead_letters) {
            (Then::DeadLetter, Some(dead_letters)) => {
                let mut dead_letters = dead_letters.lock().unwrap_or_else(PoisonError::into_inner);
                match dead_letters.put(&DeadLetter { task, error: &error, worker: self.number }) {
                    Ok(()) => End::Diverted(error),
                    Err(dead_letter) => End::Failed { error, dead_letter: Some(dead_letter) },
                }
            }
            (Then::Stop, _) | (_, None) => End::Failed { error, dead_letter: None },
        }
    }
}
