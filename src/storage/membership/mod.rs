//! A member of a consumer group at work, with no broker: it joins, takes over partitions, commits and leaves, beside other
//! processes that do the same.
//!
//! The rules are those of [`crate::group::membership`]. Every process of a group takes its turn at the group and moves it one
//! step. Where the group's coordinator partition is, in its log directory, are two plain files that a broker ignores:
//!
//! - `.logdir-group-ID.lock` (`roll`): who is present, and whose turn it is;
//! - `.logdir-group-ID.json` (`book`): the group's state, as long as somebody is present.
//!
//! What outlasts them is Kafka's: committed offsets, and a record of every generation, in `__consumer_offsets`.
//!
//! Whoever has the turn looks after the others: who is gone, whose heart has stopped for longer than its session timeout, and
//! who has not polled for longer than its maximum poll interval is taken out.

mod book;
mod roll;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use self::book::Book;
use self::roll::{Presence, Roll, monotonic_ms};
use super::coordinator::followed::FollowedGroup;
use super::coordinator::group_log::{Change, GroupLog, GroupLogError};
use super::coordinator::groups::{Group, Protocol};
use super::create::random_uuid;
use super::fs::StorageError;
use super::remarks::Remarks;
use super::writer::session::Event;
use crate::group::assignor::ClientAssignor;
use crate::group::membership::{
    Attendance, Demand, Fenced, Interest, Join, Joined, Member, Membership, Refusal, State,
};
use crate::schema::coordinator::group::classic::new_member_id;
use crate::schema::coordinator::group::{CommittedOffset, ModernKind};
use crate::schema::message::SchemaError;
use crate::storage::writer::log::now_ms;
use crate::types::{TimestampMs, TopicPartition};

/// How often a member looks after the others, at the most.
const TEND_EVERY_MAX: Duration = Duration::from_millis(500);
/// How often it looks for new topics and partitions.
const LIST_EVERY_MS: TimestampMs = 2_000;
/// Longest time between two heartbeats.
const HEARTBEAT_EVERY_MAX: Duration = Duration::from_secs(1);

/// How a member takes part.
#[derive(Debug, Clone)]
pub struct MemberOptions {
    /// The group's id.
    pub group: String,
    /// `client.id`.
    pub client_id: String,
    /// `group.instance.id` of a static member, which keeps its partitions when it comes back in time.
    pub instance_id: Option<String>,
    /// `partition.assignment.strategy`: the assignors it knows, those it likes best first.
    pub assignors: Vec<ClientAssignor>,
    /// `session.timeout.ms`: after how much silence it is out.
    pub session_timeout: Duration,
    /// `max.poll.interval.ms`: after how long without [`GroupMember::poll`] it is out.
    pub max_poll_interval: Duration,
    /// `client.rack`.
    pub rack: Option<String>,
}

/// What there is to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// All topics, and how many partitions they have.
    pub counts: BTreeMap<String, u32>,
    /// Those that the member wants.
    pub wanted: BTreeSet<String>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Nothing.
    Nothing,
    /// These partitions are to be given up: stop reading them, finish what is in flight, and poll again with what is to be
    /// committed of them.
    Revoke(BTreeSet<TopicPartition>),
    /// A new generation.
    Assigned(Assigned),
    /// The member was out: it has nothing any more, and nothing of it counts that was not committed. It joins again with the
    /// next poll.
    Lost(Fenced),
}

/// What a new generation brings to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Its number.
    pub generation: i32,
    /// Partitions that the member has no more, nothing of which was committed: others may have read on.
    pub lost: BTreeSet<TopicPartition>,
    /// Partitions that it has from now on, with what is committed of them.
    pub added: BTreeMap<TopicPartition, Option<CommittedOffset>>,
}

/// What is to be committed of partitions that are given up; `None`: nothing.
pub type GivenUp = BTreeMap<TopicPartition, Option<CommittedOffset>>;

/// Why a member cannot go on.
#[derive(Debug, Error)]
pub enum MemberError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// `__consumer_offsets` cannot be written to.
    #[error(transparent)]
    Log(#[from] GroupLogError),
    /// The group does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another process has joined under its instance id (`FENCED_INSTANCE_ID`).
    #[error(transparent)]
    Replaced(Fenced),
    /// The group is at work with another protocol.
    #[error("group '{group}' has members that speak another protocol: it is a {kind} group")]
    OtherProtocol {
        /// The group.
        group: String,
        /// What it is.
        kind: String,
    },
    /// Records of the group's partition cannot be read: what it has committed is not known.
    #[error("{partition} is damaged: what group '{group}' has committed is not known for certain")]
    Damaged {
        /// The group.
        group: String,
        /// Its partition of `__consumer_offsets`.
        partition: TopicPartition,
    },
    /// The group's record cannot be written.
    #[error("group '{group}': {reason}")]
    Record {
        /// The group.
        group: String,
        /// What is wrong.
        reason: SchemaError,
    },
}

/// A member of a group.
#[derive(Debug)]
pub struct GroupMember {
    options: MemberOptions,
    log: GroupLog,
    followed: FollowedGroup,
    remarks: Remarks,
    book: Book,
    roll: Roll,
    membership: Membership,
    /// The book's, when it was read.
    version: Option<u64>,
    attendance: Attendance,
    is_in: bool,
    offer: Offer,
    listed_ms: TimestampMs,
    next_tend_ms: TimestampMs,
    /// There is more to do without waiting.
    is_due: bool,
}

impl GroupMember {
    /// Prepares to join: takes the log directory's lock, opens the group's partition, and takes a place among the members.
    /// The first [`GroupMember::poll`] joins.
    pub fn new(mut log: GroupLog, options: MemberOptions) -> Result<GroupMember, MemberError> {
        log.lock([options.group.as_str()])?;
        let book = Book::new(log.dir_of(&options.group)?, &options.group);
        let roll = Roll::enter(&book.roll(), heartbeat_every(&options))?;
        let attendance = Attendance::new(
            member_id(&options, &book)?,
            options.instance_id.clone(),
            &options.assignors,
            Interest { rack: options.rack.clone(), ..Interest::of_topics(Vec::<String>::new()) },
        );
        let mut member = GroupMember {
            followed: FollowedGroup::new(&options.group),
            options,
            log,
            remarks: Remarks::default(),
            book,
            roll,
            membership: Membership::default(),
            version: None,
            attendance,
            is_in: false,
            offer: Offer::default(),
            listed_ms: TimestampMs::MIN,
            next_tend_ms: TimestampMs::MIN,
            is_due: true,
        };
        let entered = member.enter();
        member.end_turn()?;
        entered?;
        Ok(member)
    }

    fn enter(&mut self) -> Result<(), MemberError> {
        self.load()?;
        let has_changed = self.tend(monotonic_ms())?;
        // Who had this place before is gone: nobody else would see that any more. And a book of members that are all gone is
        // not to be taken for true now that somebody is present.
        if has_changed || !self.roll.has_others()? { self.save() } else { Ok(()) }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.attendance.id()
    }

    /// The group's generation as far as this member takes part in it; -1 before the first.
    pub const fn generation(&self) -> i32 {
        self.attendance.generation()
    }

    /// The assignor of the group's generation.
    pub const fn assignor(&self) -> Option<ClientAssignor> {
        self.membership.assignor()
    }

    /// How many members the group had at the last look.
    pub fn members(&self) -> usize {
        self.membership.members().len()
    }

    /// The partitions it has.
    pub const fn owned(&self) -> &BTreeSet<TopicPartition> {
        self.attendance.owned()
    }

    /// Whether it has what it will have, until something happens.
    pub fn is_settled(&self) -> bool {
        self.is_in
            && !self.is_due
            && self.membership.state() == State::Stable
            && self.attendance.generation() == self.membership.generation()
            && self.attendance.look(&self.membership) == Demand::Nothing
    }

    /// Whether the group has changed since the last poll; asked cheaply.
    pub fn has_news(&self) -> Result<bool, MemberError> {
        Ok(self.is_due || Some(self.roll.version()?) != self.version)
    }

    /// Takes part: to be called again and again, at least once in the maximum poll interval; cheap where nothing happens.
    ///
    /// `offer` lists what there is to read. `given_up`: what is to be committed of the partitions that the last call asked to
    /// give up.
    pub fn poll(
        &mut self,
        given_up: Option<&GivenUp>,
        offer: &mut dyn FnMut() -> Offer,
    ) -> Result<Polled, MemberError> {
        let now = monotonic_ms();
        self.roll.note_poll()?;
        if now >= self.listed_ms.saturating_add(LIST_EVERY_MS) {
            self.listed_ms = now;
            let found = offer();
            if found != self.offer {
                self.offer = found;
                self.is_due = true;
            }
        }
        if !(self.has_news()? || now >= self.next_tend_ms || given_up.is_some()) {
            return Ok(Polled::Nothing);
        }
        self.next_tend_ms = now.saturating_add(millis(tend_every(&self.options)));
        if !self.take_turn()? {
            return Ok(Polled::Lost(Fenced::UnknownMember { id: self.attendance.id().to_owned() }));
        }
        let polled = self.load().and_then(|()| self.step(given_up, now));
        self.end_turn()?;
        match polled {
            Ok(Polled::Lost(fenced @ Fenced::FencedInstance { .. })) => Err(MemberError::Replaced(fenced)),
            polled => polled,
        }
    }

    /// Commits, as a member of the generation it takes part in. The inner error: it does not count any more, and nothing was
    /// written.
    pub fn commit(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<Result<(), Fenced>, MemberError> {
        if offsets.is_empty() {
            return Ok(Ok(()));
        }
        if !self.take_turn()? {
            return Ok(Err(Fenced::UnknownMember { id: self.attendance.id().to_owned() }));
        }
        let done = self.load().and_then(|()| self.write_commit(offsets));
        self.end_turn()?;
        done
    }

    /// Leaves the group, and ends the session: everything committed is on disk when this returns. What is to be committed is
    /// committed before, and before that [`GroupMember::poll`] is to say that nothing is left to do: a generation that this
    /// member has not taken yet would refuse its commits. A static member stays in the group until its session times out.
    pub fn leave(mut self) -> Result<Vec<Event>, MemberError> {
        if self.take_turn()? {
            let done = self.load().and_then(|()| self.step_out());
            self.end_turn()?;
            done?;
        }
        drop(self.roll);
        Ok(self.log.close(now_ms())?)
    }

    /// What was done to logs that the user should know, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.log.take_events()
    }

    /// What was noticed while the group's partition was read, since the last call.
    pub fn take_remarks(&mut self) -> Remarks {
        std::mem::take(&mut self.remarks)
    }

    /// Waits for the turn. `false`: the group has ended without this member, which has a new place now, and is out.
    fn take_turn(&mut self) -> Result<bool, MemberError> {
        if self.roll.take_turn()? {
            return Ok(true);
        }
        self.roll.end_turn()?;
        self.roll = Roll::enter(&self.book.roll(), heartbeat_every(&self.options))?;
        self.version = None;
        self.get_out()?;
        self.roll.end_turn()?;
        Ok(false)
    }

    fn end_turn(&mut self) -> Result<(), MemberError> {
        self.log.end_turns()?;
        Ok(self.roll.end_turn()?)
    }

    fn get_out(&mut self) -> Result<(), MemberError> {
        self.attendance.lose(member_id(&self.options, &self.book)?);
        self.is_in = false;
        self.is_due = true;
        Ok(())
    }

    /// Brings the group's state to what it is; in a turn.
    fn load(&mut self) -> Result<(), MemberError> {
        let version = self.roll.version()?;
        if self.version == Some(version) {
            return Ok(());
        }
        self.is_due = true;
        // The book of members that are all gone is no use: they may have gone in the middle of it.
        let at_work = if self.is_in || self.roll.has_others()? { self.book.read()? } else { None };
        self.membership = match at_work {
            Some(membership) => membership,
            None => self.load_record()?,
        };
        self.version = Some(version);
        Ok(())
    }

    /// What the group's record says of a group that nobody is present of.
    fn load_record(&mut self) -> Result<Membership, MemberError> {
        let Some(group) = self.look()? else { return Ok(Membership::default()) };
        let other = |kind: &str| {
            let (group, kind) = (self.options.group.clone(), kind.to_owned());
            MemberError::OtherProtocol { group, kind }
        };
        match &group.protocol {
            Protocol::Simple => Ok(Membership::default()),
            Protocol::Classic(classic) if classic.is_consumer() || classic.members.is_empty() => {
                Ok(Membership::of_record(classic, monotonic_ms()))
            }
            Protocol::Classic(classic) => Err(other(classic.protocol_type.as_deref().unwrap_or("nameless"))),
            // As a coordinator does with one that is empty (`GroupMetadataManager.maybeDeleteEmptyConsumerGroup`).
            Protocol::Modern(modern) if modern.kind == ModernKind::Consumer && modern.members.is_empty() => {
                self.log.append(&self.options.group, &[Change::Remove(Box::new(group.protocol.clone()))], now_ms())?;
                Ok(Membership::default())
            }
            Protocol::Modern(_) => Err(other(group.type_name())),
        }
    }

    /// The group as its partition has it.
    fn look(&mut self) -> Result<Option<Group>, MemberError> {
        let (followed, remarks) = (&mut self.followed, &mut self.remarks);
        let group = self.log.look(&self.options.group, now_ms(), |partition| followed.look(partition, remarks))?;
        if !self.followed.is_whole() {
            let (group, partition) = (self.options.group.clone(), self.log.home(&self.options.group)?);
            return Err(MemberError::Damaged { group, partition });
        }
        Ok(group)
    }

    /// Keeps the group's state; in a turn.
    fn save(&mut self) -> Result<(), MemberError> {
        self.version = Some(self.roll.count_change()?);
        Ok(self.book.write(&self.membership)?)
    }

    fn write_record(&mut self) -> Result<(), MemberError> {
        let record = self.membership.record(now_ms()).map_err(|reason| {
            let group = self.options.group.clone();
            MemberError::Record { group, reason }
        })?;
        Ok(self.log.append(&self.options.group, &[Change::Classic(record)], now_ms())?)
    }

    /// Does what is to be done now; in a turn.
    fn step(&mut self, given_up: Option<&GivenUp>, now: TimestampMs) -> Result<Polled, MemberError> {
        let mut has_changed = self.tend(now)?;
        if self.is_in {
            has_changed |= self.membership.refresh(&self.offer.counts, now);
            let interest = Interest::of_topics(self.offer.wanted.iter().cloned());
            self.attendance.subscribe(interest);
        }
        let polled = self.answer(given_up, now, &mut has_changed);
        if has_changed {
            self.save()?;
        }
        polled
    }

    fn answer(
        &mut self,
        given_up: Option<&GivenUp>,
        now: TimestampMs,
        has_changed: &mut bool,
    ) -> Result<Polled, MemberError> {
        self.is_due = false;
        loop {
            if !self.is_in {
                self.attendance.subscribe(Interest::of_topics(self.offer.wanted.iter().cloned()));
                self.join(now)?;
                *has_changed = true;
                self.is_in = true;
            }
            if self.membership.complete(&self.offer.counts, now) {
                *has_changed = true;
                self.write_record()?;
            }
            match self.attendance.look(&self.membership) {
                Demand::Nothing => return Ok(Polled::Nothing),
                Demand::Join { give_up } => {
                    let Some(offsets) = said_of(&give_up, given_up) else { return Ok(Polled::Revoke(give_up)) };
                    // If it is over with this generation they are read again by whoever gets them.
                    let _ = self.write_commit(&offsets)?;
                    self.attendance.release(&give_up);
                    self.join(now)?;
                    *has_changed = true;
                }
                Demand::Take { revoked, lost, added } => {
                    let Some(offsets) = said_of(&revoked, given_up) else { return Ok(Polled::Revoke(revoked)) };
                    self.attendance.take(&self.membership);
                    let _ = self.write_commit(&offsets)?;
                    let known = if added.is_empty() { None } else { self.look()? };
                    let committed = |partition: &TopicPartition| {
                        known.as_ref().and_then(|group| group.offsets.get(partition)).map(|it| it.committed.clone())
                    };
                    let added = added.into_iter().map(|partition| (partition.clone(), committed(&partition))).collect();
                    self.is_due = true;
                    return Ok(Polled::Assigned(Assigned { generation: self.membership.generation(), lost, added }));
                }
                Demand::Lost(fenced) => {
                    self.get_out()?;
                    return Ok(Polled::Lost(fenced));
                }
            }
        }
    }

    fn join(&mut self, now: TimestampMs) -> Result<(), MemberError> {
        let join = Join {
            id: self.attendance.id().to_owned(),
            instance_id: self.options.instance_id.clone(),
            client_id: self.options.client_id.clone(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: millis_i32(self.options.session_timeout),
            rebalance_timeout_ms: millis_i32(self.options.max_poll_interval),
            assignors: self.options.assignors.clone(),
            interest: self.attendance.interest(),
            presence: Some(self.roll.place()),
        };
        let joined = self.membership.join(join, now)?;
        self.attendance.joined();
        if joined == Joined::Replaced {
            self.write_record()?;
        }
        Ok(())
    }

    /// Commits, if the group takes it from this member; in a turn.
    fn write_commit(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<Result<(), Fenced>, MemberError> {
        if offsets.is_empty() {
            return Ok(Ok(()));
        }
        let (id, instance_id) = (self.attendance.id(), self.attendance.instance_id());
        if let Err(fenced) = self.membership.check(id, instance_id, self.attendance.generation()) {
            self.is_due = true;
            return Ok(Err(fenced));
        }
        let changes: Vec<Change> =
            offsets.iter().map(|(partition, offset)| Change::Commit(partition.clone(), offset.clone())).collect();
        self.log.append(&self.options.group, &changes, now_ms())?;
        Ok(Ok(()))
    }

    /// Takes those out that are gone or silent. Says whether anything has changed.
    fn tend(&mut self, now: TimestampMs) -> Result<bool, MemberError> {
        let mut has_changed = false;
        let others: Vec<String> = self.membership.members().keys().filter(|id| **id != self.id()).cloned().collect();
        for id in others {
            let Some(member) = self.membership.member(&id) else { continue };
            let session_ms = i64::from(member.session_timeout_ms);
            let is_static = member.instance_id.is_some();
            let silent_since = match self.presence(member)? {
                Some(seen) => {
                    let poll_until = seen.poll_ms.saturating_add(member.rebalance_timeout_ms.into());
                    // Who does not poll leaves, or is silent from then on.
                    if poll_until >= now || is_static { seen.heartbeat_ms.min(poll_until) } else { TimestampMs::MIN }
                }
                None if !is_static => TimestampMs::MIN,
                None => {
                    if member.presence.is_some() {
                        self.membership.note_away(&id, now);
                        has_changed = true;
                    }
                    self.membership.member(&id).map_or(now, |member| member.silent_since_ms)
                }
            };
            if now.saturating_sub(silent_since) > session_ms {
                has_changed |= self.membership.remove(&id, now);
            }
        }
        Ok(has_changed)
    }

    /// What is seen of another member; `None` when its process is gone.
    fn presence(&self, member: &Member) -> Result<Option<Presence>, MemberError> {
        // Its place may have become that of this process.
        let Some(place) = member.presence.filter(|place| *place != self.roll.place()) else { return Ok(None) };
        Ok(Some(self.roll.presence(place)?).filter(|seen| seen.is_held))
    }

    fn step_out(&mut self) -> Result<(), MemberError> {
        let now = monotonic_ms();
        let mut has_changed = self.tend(now)?;
        has_changed |= self.membership.leave(self.attendance.id(), now);
        if self.membership.complete(&self.offer.counts, now) {
            has_changed = true;
            self.write_record()?;
        }
        if self.roll.has_others()? {
            if has_changed {
                self.save()?;
            }
            return Ok(());
        }
        // The group's record says what is left of it.
        self.roll.count_change()?;
        self.book.remove()?;
        Ok(self.roll.remove()?)
    }
}

/// What was said of these partitions; `None`: nothing was said of one of them.
fn said_of(
    partitions: &BTreeSet<TopicPartition>,
    given_up: Option<&GivenUp>,
) -> Option<BTreeMap<TopicPartition, CommittedOffset>> {
    let mut offsets = BTreeMap::new();
    for partition in partitions {
        if let Some(offset) = given_up?.get(partition)? {
            offsets.insert(partition.clone(), offset.clone());
        }
    }
    Some(offsets)
}

fn member_id(options: &MemberOptions, book: &Book) -> Result<String, MemberError> {
    let random = random_uuid().map_err(|error| StorageError::new(book.roll(), error))?;
    Ok(new_member_id(&options.client_id, options.instance_id.as_deref(), random))
}

fn heartbeat_every(options: &MemberOptions) -> Duration {
    (options.session_timeout / 4).clamp(Duration::from_millis(1), HEARTBEAT_EVERY_MAX)
}

fn tend_every(options: &MemberOptions) -> Duration {
    (options.session_timeout / 4).min(TEND_EVERY_MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn millis_i32(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
