//! The group and its processes: what a step does to them, and to what is read.
//!
//! A turn is one step: processes have the group to themselves while they change it. Reading records happens between turns.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use logdir::group::assignor::ClientAssignor;
use logdir::group::membership::{Attendance, Demand, Fenced, Interest, Join, Membership, State};
use logdir::types::{TimestampMs, TopicPartition};

pub const SLOTS: usize = 3;
pub const PARTITIONS: u8 = 4;
const TOPIC: &str = "t";
const REBALANCE_TIMEOUT_MS: i32 = 60_000;

/// What is explored.
#[derive(Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    pub assignor: ClientAssignor,
    /// `group.instance.id` of what runs in each slot.
    pub instances: [Option<&'static str>; SLOTS],
    /// How many external events there are.
    pub events: u8,
    /// What the driver does wrong.
    pub fault: Fault,
}

impl Setting {
    pub fn is_dynamic(&self) -> bool {
        self.instances.iter().all(Option::is_none)
    }
}

/// A mistake of a driver, which the laws have to notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// It goes on reading what it should have given up before it joined.
    ReleasesLate,
    /// It gives up without a commit.
    ReleasesUncommitted,
    /// It leaves without a look, and without the generation that it has not taken yet.
    LeavesBlindly,
    /// It commits without asking whether it may, even when it is out.
    CommitsFenced,
    /// It reads what it gets from the start instead of from the committed offset.
    LoadsNothing,
    /// It does not join again when it is out.
    StaysOut,
}

/// A process: a member, or one that was a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    pub attendance: Attendance,
    pub is_stalled: bool,
    /// It is in the group and has taken the assignment of the last rebalance: it alone may commit. Told from the steps, not
    /// from the group.
    pub is_current: bool,
}

/// The group and its processes; copies share what is the same.
#[derive(Clone, PartialEq, Eq)]
pub struct World {
    pub group: Rc<Membership>,
    pub processes: [Option<Rc<Process>>; SLOTS],
    /// Not part of what is told apart: it only ever stands still, or jumps over the rebalance timeout.
    now_ms: TimestampMs,
}

/// Something that happens, in one piece. Members are named by slot and number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    // External.
    Start(u8),
    Leave(u8),
    Die(u8),
    /// It commits what its turn asks it to commit, and gets no further.
    DieInTurn(u8),
    Stall(u8),
    Resume(u8),
    Commit(u8),
    // Internal.
    /// It looks at the group and does what is asked of it.
    Turn(u8),
    /// Somebody sees that this member is gone or silent.
    Remove(u8, u8),
    /// Somebody sees that all have joined.
    Complete,
    /// Somebody sees that those who are stopped or gone have had their time to join.
    TimeOut,
    Read(u8),
}

impl Step {
    pub fn is_external(self) -> bool {
        !matches!(self, Step::Turn(_) | Step::Remove(..) | Step::Complete | Step::TimeOut | Step::Read(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |slot: &u8| char::from(b'a' + slot);
        match self {
            Step::Start(slot) => write!(f, "{} starts and joins", name(slot)),
            Step::Leave(slot) => write!(f, "{} leaves", name(slot)),
            Step::Die(slot) => write!(f, "{} dies", name(slot)),
            Step::DieInTurn(slot) => write!(f, "{} commits in its turn and dies", name(slot)),
            Step::Stall(slot) => write!(f, "{} stalls", name(slot)),
            Step::Resume(slot) => write!(f, "{} resumes", name(slot)),
            Step::Commit(slot) => write!(f, "{} commits", name(slot)),
            Step::Turn(slot) => write!(f, "{} has its turn", name(slot)),
            Step::Remove(slot, number) => write!(f, "{}{number} is removed", name(slot)),
            Step::Complete => write!(f, "the rebalance is completed"),
            Step::TimeOut => write!(f, "the rebalance is completed without those who are late"),
            Step::Read(slot) => write!(f, "{} reads", name(slot)),
        }
    }
}

/// What a step does to partitions, in this order; a bit for each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    pub slot: u8,
    /// Their read positions are committed.
    pub committed: u8,
    /// Not read any more.
    pub dropped: u8,
    /// Read from the committed offset.
    pub loaded: u8,
    /// One record of one of them is read.
    pub read: u8,
    /// Somebody cannot commit any more what it has read.
    pub is_loss: bool,
}

pub fn bits<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> u8 {
    partitions.into_iter().fold(0, |bits, partition| bits | 1 << partition.partition)
}

fn counts() -> std::collections::BTreeMap<String, u32> {
    [(TOPIC.to_owned(), u32::from(PARTITIONS))].into()
}

fn id(slot: u8, number: u8) -> String {
    format!("{}{number}", char::from(b'a' + slot))
}

/// Slot and number of a member's id.
pub fn named(id: &str) -> (u8, u8) {
    let [slot, number] = id.as_bytes() else { panic!("no id of ours: {id}") };
    (slot - b'a', number - b'0')
}

/// Whether the one loses its place in the group to the other.
fn is_replaced(old: &Attendance, new: &Attendance) -> bool {
    old.instance_id().is_some() && old.instance_id() == new.instance_id() && old.id() != new.id()
}

impl World {
    pub fn new() -> World {
        World { group: Rc::default(), processes: [const { None }; SLOTS], now_ms: 0 }
    }

    pub fn process(&self, slot: u8) -> Option<&Process> {
        self.processes[usize::from(slot)].as_deref()
    }

    /// Whether it can do anything.
    pub fn is_awake(&self, slot: u8) -> bool {
        self.process(slot).is_some_and(|process| !process.is_stalled)
    }

    /// Whether a process that can do something is this member.
    fn is_member_awake(&self, id: &str) -> bool {
        let slot = named(id).0;
        self.is_awake(slot) && self.process(slot).is_some_and(|process| process.attendance.id() == id)
    }

    /// All that may happen, whether it changes anything or not.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(24);
        for slot in 0..SLOTS as u8 {
            match self.process(slot) {
                None => steps.push(Step::Start(slot)),
                Some(process) if process.is_stalled => steps.extend([Step::Die(slot), Step::Resume(slot)]),
                Some(_) => steps.extend([
                    Step::Turn(slot),
                    Step::Read(slot),
                    Step::Commit(slot),
                    Step::Leave(slot),
                    Step::Die(slot),
                    Step::DieInTurn(slot),
                    Step::Stall(slot),
                ]),
            }
        }
        if (0..SLOTS as u8).any(|slot| self.is_awake(slot)) {
            let silent = self.group.members().keys().filter(|id| !self.is_member_awake(id)).map(|id| named(id));
            steps.extend(silent.map(|(slot, number)| Step::Remove(slot, number)));
            steps.extend([Step::Complete, Step::TimeOut]);
        }
        steps
    }

    /// The world after the step, and what became of partitions; `None` when nothing happens.
    pub fn after(&self, step: Step, setting: &Setting) -> Option<(World, Effect)> {
        let mut world = self.clone();
        let effect = match step {
            Step::Start(slot) => world.start(slot, setting),
            Step::Leave(slot) => world.leave(slot, setting),
            Step::Die(slot) => world.die(slot),
            Step::DieInTurn(slot) => {
                let committed = world.turn(slot, setting)?.committed;
                if committed == 0 {
                    return None;
                }
                world = self.clone();
                Effect { committed, ..world.die(slot) }
            }
            Step::Stall(slot) => {
                world.processes[usize::from(slot)].as_mut().map(Rc::make_mut)?.is_stalled = true;
                Effect { is_loss: true, ..Effect::default() }
            }
            Step::Resume(slot) => {
                world.processes[usize::from(slot)].as_mut().map(Rc::make_mut)?.is_stalled = false;
                Effect::default()
            }
            Step::Commit(slot) => {
                let attendance = &self.process(slot)?.attendance;
                Effect { slot, committed: self.to_commit(attendance, attendance.owned(), setting), ..Effect::default() }
            }
            Step::Read(slot) => {
                Effect { slot, read: bits(self.process(slot)?.attendance.owned()), ..Effect::default() }
            }
            Step::Turn(slot) => world.turn(slot, setting)?,
            Step::Remove(slot, number) => {
                let id = id(slot, number);
                Rc::make_mut(&mut world.group).remove(&id, world.now_ms);
                world.no_longer_current(|process| process.attendance.id() == id);
                Effect::default()
            }
            // Not even looked at: most of the time there is nothing to complete.
            Step::Complete if self.group.state() == State::Stable => return None,
            Step::Complete => {
                if Rc::make_mut(&mut world.group).complete(&counts(), world.now_ms) {
                    world.no_longer_current(|_| true);
                }
                Effect::default()
            }
            Step::TimeOut => world.time_out()?,
        };
        let is_change = world != *self || effect.committed | effect.read | effect.dropped | effect.loaded != 0;
        is_change.then_some((world, effect))
    }

    /// Members that live on are never late: who is slow has stalled.
    fn time_out(&mut self) -> Option<Effect> {
        let mut late = self.group.members().iter().filter(|(_, member)| !member.has_joined).peekable();
        late.peek()?;
        if self.group.state() != State::PreparingRebalance || late.any(|(id, _)| self.is_member_awake(id)) {
            return None;
        }
        let before = Rc::clone(&self.group);
        let now_ms = self.now_ms + i64::from(REBALANCE_TIMEOUT_MS);
        if Rc::make_mut(&mut self.group).complete(&counts(), now_ms) {
            self.no_longer_current(|_| true);
        } else {
            let is_out = |id: &str| before.member(id).is_some_and(|it| !it.has_joined && it.instance_id.is_none());
            self.no_longer_current(|process| is_out(process.attendance.id()));
            // Another round for static members: nothing else has changed, least of all for who sees no clock.
            if *self.group.members() == *before.members() {
                return None;
            }
        }
        self.now_ms = now_ms;
        Some(Effect::default())
    }

    fn no_longer_current(&mut self, is_it: impl Fn(&Process) -> bool) {
        for process in self.processes.iter_mut().flatten() {
            if process.is_current && is_it(process) {
                Rc::make_mut(process).is_current = false;
            }
        }
    }

    /// The id for a member that is new: all that nobody has are as good, so the first of them is taken.
    fn free_id(&self, slot: u8) -> String {
        let own = self.process(slot).map(|process| process.attendance.id());
        let is_free = |id: &String| self.group.member(id).is_none() && own != Some(id.as_str());
        (0..9).map(|number| id(slot, number)).find(is_free).expect("few ids are in use")
    }

    fn join(&mut self, attendance: &Attendance, setting: &Setting) {
        let join = Join {
            id: attendance.id().to_owned(),
            instance_id: attendance.instance_id().map(str::to_owned),
            client_id: String::new(),
            client_host: String::new(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            assignors: vec![setting.assignor],
            interest: attendance.interest(),
            presence: None,
        };
        Rc::make_mut(&mut self.group).join(join, self.now_ms).expect("all have the same assignor");
        // Whoever had its instance id before is over.
        self.no_longer_current(|process| is_replaced(&process.attendance, attendance));
    }

    fn start(&mut self, slot: u8, setting: &Setting) -> Effect {
        let instance = setting.instances[usize::from(slot)];
        let interest = Interest::of_topics([TOPIC]);
        let id = self.free_id(slot);
        let attendance = Attendance::new(id, instance.map(str::to_owned), &[setting.assignor], interest);
        self.join(&attendance, setting);
        // If there is another one with its instance id, that one is fenced in the middle of its work.
        let is_loss = self.processes.iter().flatten().any(|other| is_replaced(&other.attendance, &attendance));
        self.processes[usize::from(slot)] = Some(Rc::new(Process { attendance, is_stalled: false, is_current: false }));
        Effect { slot, is_loss, ..Effect::default() }
    }

    fn die(&mut self, slot: u8) -> Effect {
        let gone = self.processes[usize::from(slot)].take();
        let dropped = gone.map_or(0, |process| bits(process.attendance.owned()));
        Effect { slot, dropped, is_loss: true, ..Effect::default() }
    }

    /// It commits what it may, and goes.
    fn leave(&mut self, slot: u8, setting: &Setting) -> Effect {
        let Some(process) = self.processes[usize::from(slot)].take() else { return Effect::default() };
        let mut committed = self.to_commit(&process.attendance, process.attendance.owned(), setting);
        if let (Demand::Take { lost, .. }, false) =
            (process.attendance.look(&self.group), setting.fault == Fault::LeavesBlindly)
        {
            // The assignment that it has not taken yet makes what it has read count in the new generation.
            committed = bits(process.attendance.owned()) & !bits(&lost);
        }
        Rc::make_mut(&mut self.group).leave(process.attendance.id(), self.now_ms);
        Effect { slot, committed, dropped: bits(process.attendance.owned()), ..Effect::default() }
    }

    fn to_commit(&self, member: &Attendance, partitions: &BTreeSet<TopicPartition>, setting: &Setting) -> u8 {
        let may = self.group.check(member.id(), member.instance_id(), member.generation()).is_ok();
        if may || setting.fault == Fault::CommitsFenced { bits(partitions) } else { 0 }
    }

    /// What a member does when it has its turn; `None`: nothing is asked of it.
    fn turn(&mut self, slot: u8, setting: &Setting) -> Option<Effect> {
        let mut process = self.process(slot)?.clone();
        let member = &mut process.attendance;
        let mut effect = Effect { slot, ..Effect::default() };
        match member.look(&self.group) {
            Demand::Nothing => return None,
            Demand::Take { revoked, lost, added } => {
                let generation = self.group.generation();
                if self.group.check(member.id(), member.instance_id(), generation).is_ok() {
                    effect.committed = bits(&revoked);
                }
                effect.dropped = bits(&revoked) | bits(&lost);
                effect.loaded = bits(&added);
                member.take(&self.group);
                process.is_current = true;
            }
            Demand::Join { give_up } => {
                if setting.fault != Fault::ReleasesUncommitted {
                    effect.committed = self.to_commit(member, &give_up, setting);
                }
                if setting.fault != Fault::ReleasesLate {
                    effect.dropped = bits(&give_up);
                    member.release(&give_up);
                }
                self.join(member, setting);
                member.joined();
            }
            Demand::Lost(fenced) => {
                if setting.fault == Fault::StaysOut && !member.owned().is_empty() {
                    return None;
                }
                effect.committed = self.to_commit(member, member.owned(), setting);
                effect.dropped = bits(member.owned());
                effect.is_loss = true;
                if matches!(fenced, Fenced::FencedInstance { .. }) {
                    self.processes[usize::from(slot)] = None;
                    return Some(effect);
                }
                member.lose(self.free_id(slot));
                self.join(member, setting);
                member.joined();
            }
        }
        self.processes[usize::from(slot)] = Some(Rc::new(process));
        Some(effect)
    }

    /// All that tells this world from others, in few bytes.
    ///
    /// Generations only ever grow and are only ever compared: their order is kept, their numbers are not. Of the joins'
    /// numbers only the choice of a leader depends, and of the leader nothing: both are left out, as is what every completed
    /// rebalance sets anew.
    pub fn key(&self) -> Vec<u8> {
        let mut generations = vec![self.group.generation()];
        generations.extend(self.group.members().values().map(|member| member.interest.generation));
        generations.extend(self.processes.iter().flatten().map(|process| process.attendance.generation()));
        generations.sort_unstable();
        generations.dedup();
        let rank = |generation: i32| match generation {
            // "None yet" is told apart from all others.
            -1 => u8::MAX,
            _ => {
                generations.partition_point(|it| *it < generation) as u8
                    - generations.partition_point(|it| *it < 0) as u8
            }
        };
        let mut key = Vec::with_capacity(64);
        let list = |key: &mut Vec<u8>, partitions: &[TopicPartition]| {
            key.push(partitions.len() as u8);
            key.extend(partitions.iter().map(|partition| partition.partition as u8));
        };
        // An empty group may have a rebalance to complete, too; it does not tell.
        let is_due = self.group.members().is_empty() && Membership::clone(&self.group).complete(&counts(), 0);
        key.extend([self.group.state() as u8, u8::from(is_due), rank(self.group.generation())]);
        for (id, member) in self.group.members() {
            let (slot, number) = named(id);
            key.extend([1, slot, number, u8::from(member.has_joined)]);
            key.push(u8::from(self.group.generation() > member.joined_in));
            key.push(rank(member.interest.generation));
            list(&mut key, &member.assignment);
            list(&mut key, &member.interest.owned);
            list(&mut key, &member.interest.previous);
        }
        for process in &self.processes {
            let Some(process) = process else {
                key.push(2);
                continue;
            };
            let member = &process.attendance;
            key.extend([3, named(member.id()).1, rank(member.generation())]);
            key.push(
                u8::from(process.is_stalled) | u8::from(process.is_current) << 1 | u8::from(member.must_join()) << 2,
            );
            key.push(bits(member.owned()));
            list(&mut key, &member.interest().previous);
        }
        key
    }
}
