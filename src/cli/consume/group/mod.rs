//! `logdir consume --group`: read as a member of a consumer group.
//!
//! A loop of four steps: take part in the group ([`GroupMember::poll`]), read a piece of each partition that is owned, hand it
//! to stdout, and commit what was handed over.

mod args;
mod crew;
mod disk;
mod owned;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use self::args::{CommitWhen, GroupArgs};
use self::crew::{Crew, NotTaken};
use self::disk::Disk;
use self::owned::Owned;
use super::stream::PartitionStream;
use super::{ConsumeArgs, Consumer, Stamp, Visited, show};
use crate::cli::args::GlobalArgs;
use crate::cli::consume::storage_problem;
use crate::cli::groups::{log_problem, open_log, prepare};
use crate::cli::interrupt::Interrupt;
use crate::cli::message::show_remarks;
use crate::cli::range::{Bound, OffsetRange};
use crate::cli::record_format::Formatter;
use crate::cli::session::tell;
use crate::cli::ui::{Pipe, Problem, Progress, Ui};
use crate::cli::{Outcome, dirs};
use crate::group::membership::Fenced;
use crate::partitioner::PartitionCount;
use crate::schema::coordinator::CoordinatorTopic;
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::membership::{Assigned, GivenUp, GroupMember, MemberError, MemberOptions, Polled};
use crate::storage::partition::Partition;
use crate::types::{Offset, TopicPartition};

/// How long one partition is read before the group is looked at again, and the next partition read.
const PIECE_TIME: Duration = Duration::from_millis(100);
/// How many bytes of it at the most.
const PIECE_BYTES: u64 = 4 << 20;
/// Pause when there is nothing to do but to wait for the group.
const GROUP_PAUSE: Duration = Duration::from_millis(5);
/// Pause when there is nothing to read.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

/// Reads as a member of `group`.
pub(super) fn run(group: &str, args: &ConsumeArgs, global: &GlobalArgs, ui: &mut Ui) -> Result<Outcome> {
    args.group.check(args)?;
    let plan = args.workers.plan(Some(group), &args.topic)?;
    let policy = args.group.reset_policy(args)?;
    let format = args.record_format(global.output(), ui.table_style())?;
    let interrupt = Interrupt::listen()?;
    let paths = global.log_dirs()?;
    prepare(global, ui)?;
    let opened = dirs::open(&paths, ui);
    let (believed, told) = dirs::believed_metadata(&opened.dirs, ui);
    let image = believed.map(|believed| believed.image);
    let known: BTreeMap<String, u32> = image
        .iter()
        .flat_map(|image| image.topics())
        .filter_map(|topic| Some((topic.name.clone(), u32::try_from(topic.partitions.len()).ok()?)))
        .collect();
    let count_of = |topic: &str| known.get(topic).copied().and_then(PartitionCount::new);
    let crew = match &plan {
        Some(plan) => Some(Crew::start(plan, &opened.dirs, &count_of)?),
        None => None,
    };
    let internal = args.include_internal || args.decode.is_some();
    let count = count_of(CoordinatorTopic::Group.topic());
    let disk = Disk { paths, known, topics: &args.topic, internal };
    if let Some(missing) = disk.missing(&disk.offer()).filter(|_| !args.follow) {
        return Err(missing.into());
    }
    let log = open_log(group, &opened.dirs, &disk.paths, count, global, ui)?;
    let options = MemberOptions {
        group: group.to_owned(),
        client_id: args.group.client_id.clone(),
        instance_id: args.group.instance_id.clone(),
        assignors: args.group.assignor.clone(),
        session_timeout: args.group.session_timeout,
        max_poll_interval: args.group.max_poll_interval,
        rack: args.group.rack.clone(),
    };
    let member = GroupMember::new(log, options).map_err(|error| member_problem(&error))?;
    let formatter = Formatter::new(format, ui.time_text()).decoding(args.decode);
    let mut consumer = Consumer::new(args, policy, formatter);
    consumer.outcome |= opened.outcome | told;
    let mut reading = Reading {
        group,
        consumer,
        member,
        disk,
        owned: BTreeMap::new(),
        crew,
        committed_at: Instant::now(),
        commits: 0,
        interrupt,
    };
    if !args.no_header && plan.is_none() {
        reading.consumer.formatter.header(ui.out().buffer());
    }
    let ended = reading.work(ui);
    reading.finish(ended, ui)
}

/// A member, and what it reads.
struct Reading<'a> {
    group: &'a str,
    consumer: Consumer<'a>,
    member: GroupMember,
    disk: Disk<'a>,
    owned: BTreeMap<TopicPartition, Owned>,
    /// Who has the records; stdout where there is none.
    crew: Option<Crew>,
    committed_at: Instant,
    /// Offsets committed so far.
    commits: u64,
    interrupt: Interrupt,
}

/// Why the reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All is read, or as much as was wanted.
    Enough,
    /// Nobody reads stdout any more.
    Closed,
    /// A signal came.
    Interrupted,
}

/// Why a piece ends before its time.
enum Halt {
    /// Stdout is closed, or failed.
    Out(std::io::Result<Pipe>),
    /// The group has news.
    News,
    /// What was read does not count: the member is of an old generation.
    Fenced(Fenced),
    /// The commit failed.
    Failed(anyhow::Error),
    /// The workers do not take the record.
    NotTaken(NotTaken),
}

impl Reading<'_> {
    fn args(&self) -> &GroupArgs {
        &self.consumer.args.group
    }

    fn work(&mut self, ui: &mut Ui) -> Result<End> {
        loop {
            if self.interrupt.is_asked() {
                return Ok(End::Interrupted);
            }
            self.attend(ui)?;
            self.look_after_crew(Duration::ZERO, ui)?;
            let mut has_read = false;
            let names: Vec<TopicPartition> = self.owned.keys().cloned().collect();
            for name in names {
                if !self.is_to_read(&name) {
                    continue;
                }
                has_read = true;
                if let Some(end) = self.read_piece(&name, ui)? {
                    return Ok(end);
                }
                if self.interrupt.is_asked() || self.member.has_news().map_err(|error| member_problem(&error))? {
                    break;
                }
            }
            let every = self.args().commit_records;
            let is_time = self.crew.as_mut().zip(every).is_some_and(|(crew, every)| crew.is_time_to_commit(every));
            if is_time || self.committed_at.elapsed() >= self.args().commit_interval {
                self.commit(ui)?;
            }
            if has_read {
                continue;
            }
            let is_busy = self.crew.as_ref().is_some_and(|crew| crew.is_busy(self.owned.keys()));
            let is_done = !is_busy && self.owned.values().all(|owned| owned.is_at_end || owned.is_stopped);
            if !self.consumer.args.follow && is_done && self.member.is_settled() {
                return Ok(End::Enough);
            }
            let pause = if self.consumer.args.follow { IDLE_PAUSE } else { GROUP_PAUSE };
            if self.crew.is_some() {
                self.look_after_crew(pause, ui)?;
            } else {
                std::thread::sleep(pause);
                if ui.out().look() == Pipe::Closed {
                    return Ok(End::Closed);
                }
            }
        }
    }

    /// Takes in what the workers have done; an error when one of them has stopped the work.
    fn look_after_crew(&mut self, timeout: Duration, ui: &mut Ui) -> Result<()> {
        let Some(crew) = &mut self.crew else { return Ok(()) };
        crew.look(timeout, ui);
        for (name, owned) in &mut self.owned {
            if let Some(position) = crew.position(name) {
                owned.deliver_to(position);
            }
        }
        match crew.failure() {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    /// Has the workers end what they have, taking part in the group meanwhile.
    fn work_off(&mut self, ui: &mut Ui) -> Result<()> {
        while self.crew.as_ref().is_some_and(|crew| crew.is_busy(self.owned.keys())) && !self.interrupt.is_asked() {
            self.look_after_crew(IDLE_PAUSE, ui)?;
            self.attend(ui)?;
        }
        Ok(())
    }

    /// Takes part in the group until nothing is left to do.
    fn attend(&mut self, ui: &mut Ui) -> Result<()> {
        let mut given_up: Option<GivenUp> = None;
        loop {
            let disk = &self.disk;
            let polled = self.member.poll(given_up.take().as_ref(), &mut || disk.offer());
            self.member.take_events().iter().for_each(|event| tell(event, ui));
            self.consumer.outcome |= show_remarks(self.member.take_remarks(), ui);
            match polled.map_err(|error| member_problem(&error))? {
                Polled::Nothing => return Ok(()),
                Polled::Revoke(partitions) => given_up = Some(self.give_up(&partitions, ui)?),
                Polled::Assigned(assigned) => self.take(assigned, ui)?,
                Polled::Lost(fenced) => {
                    if let Some(crew) = &mut self.crew {
                        self.owned.keys().for_each(|name| crew.lose(name));
                    }
                    self.owned.clear();
                    ui.warning(Problem::new("fenced", format!("{fenced}; joining again")).hint(
                        "records since its last commit are read again; see --session-timeout and --max-poll-interval",
                    ));
                }
            }
        }
    }

    /// What is to be committed of partitions that go to others; they are read no more.
    fn give_up(&mut self, partitions: &BTreeSet<TopicPartition>, ui: &mut Ui) -> Result<GivenUp> {
        let _ = ui.out().send()?;
        let metadata = self.args().commit_metadata.clone();
        let never = self.args().commit == CommitWhen::Never;
        let mut given_up = GivenUp::new();
        for partition in partitions {
            let mut owned = self.owned.remove(partition);
            if let Some(crew) = &mut self.crew
                && let (Some(position), Some(owned)) = (crew.give_up(partition), &mut owned)
            {
                owned.deliver_to(position);
            }
            let offset = owned.filter(|owned| !never && owned.is_dirty()).map(|owned| owned.to_commit(&metadata));
            self.commits += u64::from(offset.is_some());
            given_up.insert(partition.clone(), offset);
        }
        self.committed_at = Instant::now();
        Ok(given_up)
    }

    fn take(&mut self, assigned: Assigned, ui: &mut Ui) -> Result<()> {
        for partition in &assigned.lost {
            self.owned.remove(partition);
            if let Some(crew) = &mut self.crew {
                crew.lose(partition);
            }
        }
        let added: BTreeSet<TopicPartition> = assigned.added.keys().cloned().collect();
        let (mut partitions, failures) = self.disk.open(&added);
        for failure in &failures {
            self.consumer.fail(failure, ui);
        }
        for (name, committed) in assigned.added {
            let Some(partition) = partitions.remove(&name) else {
                if failures.is_empty() {
                    let problem = Problem::new("not_found", format!("{name} is not in these log directories"));
                    ui.warn_once(&name.to_string(), problem.hint("name the directories of all brokers with -d"));
                }
                continue;
            };
            let number = name.partition;
            let start = self.start_of(&name, committed.as_ref(), &partition, ui)?;
            let range = self.consumer.offsets.for_partition(number);
            let range = start.map_or(range, |offset| OffsetRange { start: Bound::At(offset), ..range });
            self.owned.insert(name, Owned::new(partition, range, start));
        }
        let names = self.member.owned().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let assignor = self.member.assignor().map_or("none", |assignor| assignor.name());
        let (generation, members) = (assigned.generation, self.member.members());
        ui.detail(&format!(
            "generation {generation} ({assignor}, {members} members): {}",
            if names.is_empty() { "no partitions" } else { &names }
        ));
        Ok(())
    }

    /// Where a partition is to be read from; `None`: where the policy says.
    fn start_of(
        &self,
        name: &TopicPartition,
        committed: Option<&CommittedOffset>,
        partition: &Partition,
        ui: &mut Ui,
    ) -> Result<Option<Offset>> {
        let policy = self.consumer.offsets.for_partition(name.partition);
        let group = self.group;
        let text = match committed {
            None if policy.start != Bound::Stored => return Ok(None),
            None => format!("group '{group}' has committed no offset of {name}"),
            Some(committed) => {
                let (offset, log_start) = (committed.offset, partition.log_start());
                let log_end = partition.log_end().map_err(|error| storage_problem(&error))?;
                if (log_start..=log_end).contains(&offset) {
                    return Ok(Some(offset));
                }
                format!(
                    "group '{group}' has committed offset {offset} of {name}, which is outside of the log: {log_start} to {log_end}"
                )
            }
        };
        if policy.start == Bound::Stored {
            // As a consumer with auto.offset.reset=none: an error (`NoOffsetForPartitionException`).
            let hint = "let -o say where to start then, or set the offset with: logdir groups reset-offsets";
            return Err(Problem::new("out_of_range", text).hint(hint).outcome(Outcome::Failed).into());
        }
        ui.warning(Problem::new("out_of_range", format!("{text}; starting where -o says")).path(partition.dir()));
        Ok(None)
    }

    fn is_to_read(&self, name: &TopicPartition) -> bool {
        let Some(owned) = self.owned.get(name) else { return false };
        if owned.is_stopped {
            return false;
        }
        if !owned.is_at_end {
            return true;
        }
        // At its end it is looked at again when it has changed.
        self.consumer.args.follow && owned.has_changed()
    }

    /// Reads a piece of one partition and hands it over.
    fn read_piece(&mut self, name: &TopicPartition, ui: &mut Ui) -> Result<Option<End>> {
        let Some(owned) = self.owned.get_mut(name) else { return Ok(None) };
        let stamp = Stamp::of(&owned.partition);
        if owned.stamp.as_ref() != Some(&stamp) && owned.is_started() && owned.partition.refresh().is_err() {
            return Ok(None);
        }
        owned.stamp = Some(stamp);
        let args = self.consumer.args;
        let before = args.group.commit == CommitWhen::Before;
        let partition = owned.partition.clone();
        let mut options = self.consumer.options(&partition);
        options.range = owned.range;
        let mut said = Vec::new();
        let opened = PartitionStream::open(&partition, options, &mut |message| said.push(message));
        show(&mut said, ui);
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                self.consumer.fail(&error, ui);
                owned.is_stopped = true;
                return Ok(args.fail_fast.then_some(End::Enough));
            }
        };
        let is_first = !owned.is_assigned;
        owned.start_at(stream.position());
        if let Some(crew) = self.crew.as_mut().filter(|_| is_first) {
            crew.assign(&owned.name, owned.next().unwrap_or(stream.position()));
        }
        owned.is_assigned = true;
        let mut progress = Progress::none();
        let begun = Instant::now();
        let mut since_commit = 0u64;
        let mut bytes = 0;
        let mut end = None;
        let (consumer, member, commits) = (&mut self.consumer, &mut self.member, &mut self.commits);
        let mut crew = self.crew.as_mut();
        loop {
            let unbuffered = args.unbuffered;
            let visited = consumer.visit_batch(&mut stream, &mut said, &mut progress, |formatter, row| {
                if let Some(crew) = &mut crew {
                    if let Err(why) = crew.take(&owned.name, row, formatter) {
                        return ControlFlow::Break(Halt::NotTaken(why));
                    }
                    owned.pass(row.record.offset.next());
                    return ControlFlow::Continue(());
                }
                formatter.write(row, ui.out().buffer());
                bytes += row.record.value.map_or(0, <[u8]>::len) as u64;
                since_commit += 1;
                owned.read(row.record.offset.next(), row.batch.leader_epoch);
                if args.group.commit_records.is_some_and(|every| since_commit >= every) {
                    since_commit = 0;
                    if let Err(halt) = hand_over(name, owned, member, args, commits, ui) {
                        return ControlFlow::Break(halt);
                    }
                    if begun.elapsed() >= PIECE_TIME || member.has_news().unwrap_or(true) {
                        return ControlFlow::Break(Halt::News);
                    }
                    return ControlFlow::Continue(());
                }
                if before {
                    return ControlFlow::Continue(());
                }
                match if unbuffered { ui.out().send() } else { ui.out().drain() } {
                    Ok(Pipe::Open) => ControlFlow::Continue(()),
                    closed_or_failed => ControlFlow::Break(Halt::Out(closed_or_failed)),
                }
            });
            show(&mut said, ui);
            let Visited { read, next, broken } = match visited {
                Ok(visited) => visited,
                Err(error) => {
                    consumer.count_damage(&stream);
                    consumer.fail(&error, ui);
                    owned.is_stopped = true;
                    end = args.fail_fast.then_some(End::Enough);
                    break;
                }
            };
            match broken {
                None => {}
                Some(Halt::News) => break,
                Some(Halt::NotTaken(why)) => {
                    // It is read again when there is room.
                    if args.count.is_some() {
                        consumer.left += 1;
                    }
                    match why {
                        NotTaken::Full => break,
                        NotTaken::Stopped => return Ok(None),
                    }
                }
                Some(Halt::Out(Ok(_))) => return Ok(Some(End::Closed)),
                Some(Halt::Out(Err(error))) => return Err(error.into()),
                Some(Halt::Failed(error)) => return Err(error),
                Some(Halt::Fenced(fenced)) => {
                    ui.detail(&format!("not committed: {fenced}"));
                    return Ok(None);
                }
            }
            match (read, next) {
                (super::BatchRead::End, _) => {
                    owned.is_at_end = !stream.is_outdated();
                    owned.is_stopped = stream.is_stopped();
                    if !owned.is_stopped {
                        owned.pass(stream.position());
                    }
                    if stream.is_outdated() {
                        owned.stamp = None;
                    }
                    break;
                }
                (read, Some(next)) => {
                    owned.pass(next);
                    if matches!(read, super::BatchRead::Stop) {
                        end = Some(End::Enough);
                        break;
                    }
                }
                (_, None) => break,
            }
            if bytes >= PIECE_BYTES || begun.elapsed() >= PIECE_TIME {
                break;
            }
        }
        if stream.is_damaged() {
            consumer.outcome |= Outcome::Findings;
            if args.fail_fast {
                end = Some(End::Enough);
            }
        }
        if let Some(crew) = crew {
            if let Some(next) = owned.next() {
                crew.pass(name, next);
            }
        } else if before {
            // What is printed was committed; nothing is printed of what the group does not take.
            match hand_over(name, owned, member, args, commits, ui) {
                Ok(()) => {}
                Err(Halt::Out(Ok(_))) => return Ok(Some(End::Closed)),
                Err(Halt::Out(Err(error))) => return Err(error.into()),
                Err(Halt::Failed(error)) => return Err(error),
                Err(Halt::Fenced(_) | Halt::News | Halt::NotTaken(_)) => return Ok(None),
            }
        } else if ui.out().send()? == Pipe::Closed {
            return Ok(Some(End::Closed));
        } else {
            owned.deliver();
        }
        Ok(end)
    }

    /// Commits what was handed over of all partitions.
    fn commit(&mut self, ui: &mut Ui) -> Result<()> {
        self.committed_at = Instant::now();
        if self.args().commit == CommitWhen::Never {
            return Ok(());
        }
        let metadata = &self.consumer.args.group.commit_metadata;
        let offsets: BTreeMap<TopicPartition, CommittedOffset> = self
            .owned
            .iter()
            .filter(|(_, owned)| owned.is_dirty())
            .map(|(name, owned)| (name.clone(), owned.to_commit(metadata)))
            .collect();
        match self.member.commit(&offsets).map_err(|error| member_problem(&error))? {
            Ok(()) => {
                self.commits += offsets.len() as u64;
                let committed = self.owned.iter_mut().filter(|(name, _)| offsets.contains_key(*name));
                committed.for_each(|(_, owned)| owned.note_committed());
            }
            Err(fenced) => ui.detail(&format!("not committed: {fenced}")),
        }
        Ok(())
    }

    /// Commits and leaves, however the reading ended.
    fn finish(mut self, ended: Result<End>, ui: &mut Ui) -> Result<Outcome> {
        let mut failed = None;
        let mut keep = |result: Result<()>| {
            if let Err(error) = result {
                failed.get_or_insert(error);
            }
        };
        let is_orderly = ended.is_ok();
        match ended {
            Ok(End::Enough) => keep(self.work_off(ui)),
            Ok(End::Closed) => {}
            Ok(End::Interrupted) => self.consumer.outcome |= Outcome::Interrupted,
            Err(error) => keep(Err(error)),
        }
        if let Some(crew) = &mut self.crew {
            crew.stop();
        }
        let _ = self.look_after_crew(Duration::ZERO, ui);
        if is_orderly {
            // A generation that it has not taken yet would refuse its commits.
            keep(self.attend(ui));
        }
        keep(self.commit(ui));
        let (group, commits, generation) = (self.group, self.commits, self.member.generation());
        let records = self.crew.as_ref().map_or(self.consumer.formatter.written(), Crew::finished);
        match self.member.leave() {
            Ok(events) => events.iter().for_each(|event| tell(event, ui)),
            Err(error) => keep(Err(member_problem(&error).into())),
        }
        if let Some(crew) = self.crew {
            keep(crew.close(ui));
        }
        let text =
            format!("group '{group}': {records} records, {commits} offsets committed, left in generation {generation}");
        ui.note(&text);
        match failed {
            Some(error) => Err(error),
            None => Ok(self.consumer.outcome),
        }
    }
}

/// Sends what was read of one partition and commits it, in the order that the options ask for.
fn hand_over(
    name: &TopicPartition,
    owned: &mut Owned,
    member: &mut GroupMember,
    args: &ConsumeArgs,
    commits: &mut u64,
    ui: &mut Ui,
) -> Result<(), Halt> {
    let commit = |owned: &mut Owned, member: &mut GroupMember, commits: &mut u64| {
        owned.deliver();
        if !owned.is_dirty() {
            return Ok(());
        }
        let offsets = BTreeMap::from([(name.clone(), owned.to_commit(&args.group.commit_metadata))]);
        match member.commit(&offsets) {
            Ok(Ok(())) => {
                owned.note_committed();
                *commits += 1;
                Ok(())
            }
            Ok(Err(fenced)) => Err(Halt::Fenced(fenced)),
            Err(error) => Err(Halt::Failed(member_problem(&error).into())),
        }
    };
    let send = |ui: &mut Ui| match ui.out().send() {
        Ok(Pipe::Open) => Ok(()),
        closed_or_failed => Err(Halt::Out(closed_or_failed)),
    };
    match args.group.commit {
        CommitWhen::After => {
            send(ui)?;
            commit(owned, member, commits)
        }
        CommitWhen::Before => {
            if let Err(halt) = commit(owned, member, commits) {
                ui.out().buffer().clear();
                return Err(halt);
            }
            send(ui)
        }
        CommitWhen::Never => send(ui),
    }
}

/// Why a member cannot go on, as a person is told of it.
fn member_problem(error: &MemberError) -> Problem {
    let text = error.to_string();
    match error {
        MemberError::Storage(error) => storage_problem(error),
        MemberError::Log(error) => log_problem(error),
        MemberError::Refused(_) => {
            Problem::new("refused", text).outcome(Outcome::Refused).hint("name one of theirs with --assignor")
        }
        MemberError::Replaced(_) => Problem::new("fenced", text)
            .outcome(Outcome::Refused)
            .hint("every static member needs an --instance-id of its own"),
        MemberError::OtherProtocol { .. } => Problem::new("refused", text)
            .outcome(Outcome::Refused)
            .hint("use another group; if its members are gone: logdir groups delete NAME --force, or name it anew"),
        MemberError::Damaged { .. } => Problem::new("refused", text)
            .outcome(Outcome::Refused)
            .hint("see where with: logdir verify; mend it with: logdir recover --mode salvage"),
        MemberError::Record { .. } => Problem::new("refused", text).outcome(Outcome::Refused),
    }
}
