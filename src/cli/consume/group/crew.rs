//! The workers of a member: records go to them instead of stdout.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::cli::Outcome;
use crate::cli::consume::dead_letter::DeadLetterTopic;
use crate::cli::consume::workers::WorkerPlan;
use crate::cli::record_format::{Formatter, Row};
use crate::cli::session::{session_problem, tell};
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::PartitionCount;
use crate::storage::log_dir::LogDir;
use crate::storage::writer::{Durability, LogConfig, SessionOptions};
use crate::types::{Offset, TopicPartition};
use crate::workers::process::{Ack, ProcessWorker};
use crate::workers::{DeadLetters, Event, Submission, Task, Workers};

/// How long room is waited for before the group is looked at again.
const ROOM_TIME: Duration = Duration::from_millis(20);
/// How long records in process are waited for when their partition goes to another member, or the process is to end.
const GIVE_UP_TIME: Duration = Duration::from_secs(30);

/// Workers, and the topic that takes what they could not process.
pub struct Crew {
    workers: Workers,
    letters: Option<Arc<Mutex<DeadLetterTopic>>>,
    takes_lines: bool,
    assignments: u64,
    /// Records finished when positions were last committed.
    finished: u64,
}

/// Why a record was not taken.
pub enum NotTaken {
    /// There is no room for it yet.
    Full,
    /// No record is processed any more.
    Stopped,
}

impl Crew {
    /// Starts them.
    pub fn start(
        plan: &WorkerPlan,
        log_dirs: &[LogDir],
        count_of: &dyn Fn(&str) -> Option<PartitionCount>,
    ) -> Result<Crew> {
        let letters = match &plan.dead_letter_topic {
            None => None,
            Some(topic) => {
                let options = SessionOptions {
                    config: LogConfig::default(),
                    durability: Durability::Synced,
                    allow_truncate: false,
                };
                let seed = u64::from(std::process::id());
                let (group, count) = (&plan.process.group, count_of(topic));
                let found = DeadLetterTopic::find(topic, group, log_dirs, count, options, seed)?;
                Some(Arc::new(Mutex::new(found)))
            }
        };
        let sink = letters.as_ref().map(|letters| Box::new(Arc::clone(letters)) as Box<dyn DeadLetters>);
        let workers = Workers::start(plan.options, sink, |number| {
            Ok(Box::new(ProcessWorker::new(plan.process.clone(), number)))
        })?;
        Ok(Crew { workers, letters, takes_lines: plan.process.ack == Ack::Line, assignments: 0, finished: 0 })
    }

    /// Has records of a partition from now on.
    pub fn assign(&mut self, partition: &Arc<TopicPartition>, position: Offset) {
        self.assignments += 1;
        self.workers.assign(partition, self.assignments, position);
    }

    /// Takes one record.
    pub fn take(
        &mut self,
        partition: &Arc<TopicPartition>,
        row: Row<'_>,
        formatter: &mut Formatter,
    ) -> std::result::Result<(), NotTaken> {
        let mut line = Vec::new();
        if self.takes_lines {
            formatter.write(row, &mut line);
        }
        let task = Task::of(partition, row.record, row.batch.leader_epoch, line);
        match self.workers.submit(task, ROOM_TIME) {
            Submission::Submitted => Ok(()),
            Submission::Full(_) => Err(NotTaken::Full),
            Submission::Stopped(_) | Submission::Refused(..) => Err(NotTaken::Stopped),
        }
    }

    /// Nothing below `next` is still to come.
    pub fn pass(&mut self, partition: &TopicPartition, next: Offset) {
        self.workers.pass(partition, next);
    }

    /// Up to where everything is processed.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.workers.position(partition)
    }

    /// Gives a partition back: what is queued is dropped, what is in process is waited for. Says up to where it is done.
    pub fn give_up(&mut self, partition: &TopicPartition) -> Option<Offset> {
        self.workers.revoke(partition, GIVE_UP_TIME)
    }

    /// Gives a partition back that another member has already.
    pub fn lose(&mut self, partition: &TopicPartition) {
        let _ = self.workers.revoke(partition, Duration::ZERO);
    }

    /// Takes in what is finished, waiting for something up to `timeout`, and tells what people should know.
    pub fn look(&mut self, timeout: Duration, ui: &mut Ui) {
        self.workers.poll(timeout);
        for event in self.workers.take_events() {
            match event {
                Event::Retry { partition, offset, error, attempt, pause } => {
                    let text = format!("{partition} offset {offset}: {error}; attempt {attempt} follows in {pause:?}");
                    ui.warn_once("retry", Problem::new("retry", text));
                }
                Event::Diverted { partition, offset, error } => {
                    let text = format!("{partition} offset {offset}: {error}; it is in the dead-letter topic");
                    ui.warn_once("dead letter", Problem::new("dead_letter", text));
                }
                // Told at the end, of the first one.
                Event::Failed(_) => {}
            }
        }
        let letters = self.letters.iter();
        let events = letters.flat_map(|letters| letters.lock().unwrap_or_else(PoisonError::into_inner).take_events());
        events.collect::<Vec<_>>().iter().for_each(|event| tell(event, ui));
    }

    /// Whether anything of these partitions is under way.
    pub fn is_busy<'p>(&self, mut partitions: impl Iterator<Item = &'p TopicPartition>) -> bool {
        partitions.any(|partition| self.workers.progress().unfinished(partition) > 0)
    }

    /// Records processed, or put aside.
    pub const fn finished(&self) -> u64 {
        self.workers.finished()
    }

    /// Whether so many records were finished since the last time this was true.
    pub const fn is_time_to_commit(&mut self, every: u64) -> bool {
        let finished = self.workers.finished();
        let is_time = finished.saturating_sub(self.finished) >= every;
        if is_time {
            self.finished = finished;
        }
        is_time
    }

    /// What stopped the work.
    pub fn failure(&self) -> Option<Problem> {
        let failure = self.workers.failure()?;
        let mut text = format!("{} offset {} was not processed: {}", failure.partition, failure.offset, failure.error);
        if let Some(error) = &failure.dead_letter {
            text += &format!("; nor put into the dead-letter topic: {error}");
        }
        let hint = "it is the first one when the group goes on; see --on-failure for other ways";
        Some(Problem::new("failed_record", text).outcome(Outcome::Findings).hint(hint))
    }

    /// Drops what is queued, and waits for what is in process.
    pub fn stop(&mut self) {
        self.workers.close(GIVE_UP_TIME);
    }

    /// Ends the dead-letter topic's session.
    pub fn close(self, ui: &mut Ui) -> Result<()> {
        drop(self.workers);
        let Some(letters) = self.letters else { return Ok(()) };
        let closed = letters.lock().unwrap_or_else(PoisonError::into_inner).close();
        closed.map_err(|error| session_problem(&error))?.iter().for_each(|event| tell(event, ui));
        Ok(())
    }
}
