//! What of a plan can be done with its brokers stopped, by bringing directories to other places; and what cannot.
//!
//! The replica list of a partition is the controllers': only they change it. A directory on a broker that is not in the list
//! is set aside as stray when the broker starts, and a broker in the list that has no directory makes an empty one. So a
//! directory goes to another broker when that is in the list already, as it is while the controllers are adding it, and it
//! goes from a broker when that is not in the list any more. Within a broker a directory goes where it is wanted: the broker
//! tells the controllers at its start.

use std::collections::{BTreeMap, BTreeSet};

use super::plan_json::{ANY_LOG_DIR, PlannedPartition};

/// The topic of the controllers' log (`Topic.CLUSTER_METADATA_TOPIC_NAME`).
const METADATA: &str = "__cluster_metadata";

/// Topic and number.
pub type Name = (String, i32);

/// A directory of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// The number of the log directory it is in.
    pub log_dir: usize,
    /// How far it reaches: its newest leader epoch, where it tells, and its log end.
    pub reach: (Option<i32>, i64),
}

/// What the controllers say of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its replicas, also those on their way in or out.
    pub replicas: Vec<i32>,
    /// Those on their way in.
    pub adding: Vec<i32>,
    /// Those on their way out.
    pub removing: Vec<i32>,
    /// Those that have all that was acknowledged: in sync (ISR), or eligible to lead without being so (ELR, KIP-966), as those
    /// are that were shut down cleanly last.
    pub complete: Vec<i32>,
}

/// A log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its broker.
    pub broker: i32,
    /// Its path, as the broker names it.
    pub path: String,
    /// Partitions in it.
    pub partitions: usize,
}

/// Log directories of brokers, and what is known of the partitions in them.
#[derive(Debug, Default)]
pub struct Site {
    /// The log directories.
    pub log_dirs: Vec<Place>,
    /// The directories of each partition.
    pub held: BTreeMap<Name, Vec<Replica>>,
    /// Partitions that a broker was bringing to another of its log directories when it stopped.
    pub future: BTreeSet<(Name, i32)>,
    /// What the controllers say; `None` where there is no metadata log.
    pub listed: Option<BTreeMap<Name, Listed>>,
}

/// What is done with a directory, between log directories by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It goes to another log directory of its broker.
    Move {
        /// Where it is.
        from: usize,
        /// Where it goes.
        to: usize,
    },
    /// Another broker gets a copy.
    Copy {
        /// Where it is.
        from: usize,
        /// Where the copy goes.
        to: usize,
        /// In the place of what that broker has of it.
        replaces: bool,
    },
    /// It goes.
    Drop {
        /// Where it is.
        at: usize,
        /// Where those are that stay: one of them at least has to be sound.
        keeps: Vec<usize>,
    },
}

/// Why a part of a plan is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// No log directory of a broker is named: nothing is known of what it has.
    Unseen(i32),
    /// A log directory of the plan is none of those that are named.
    NoLogDir {
        /// The broker.
        broker: i32,
        /// The log directory.
        log_dir: String,
    },
    /// The controllers do not have a broker in the replica list: it would set the copy aside.
    NotListed(i32),
    /// The controllers have it in the list: the broker would make an empty one in its place. Where it is on its way out the
    /// broker removes it by itself.
    StillListed(i32),
    /// Nothing says who holds the partition.
    Unknown(i32),
    /// The controllers' own log, which only they move.
    Metadata,
    /// The controllers know no such partition: a broker would set a copy aside.
    NoTopic,
    /// There is no directory to copy.
    NoSource,
    /// None of the directories here is one of those in sync: records may be missing in them.
    NotInSync,
    /// It reaches further than all that stay.
    Furthest(i32),
    /// A broker has it in two log directories, and does not start.
    Twice(i32),
    /// A broker was moving it itself; it goes on when it starts.
    BeingMoved(i32),
}

impl Obstacle {
    /// Whether it can be got past by who knows better.
    pub const fn yields(&self) -> bool {
        matches!(self, Obstacle::NotListed(_) | Obstacle::Unknown(_) | Obstacle::NotInSync | Obstacle::Furthest(_))
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Obstacle::Unseen(broker) => write!(f, "no log directory of broker {broker} is named"),
            Obstacle::NoLogDir { broker, log_dir } => {
                write!(f, "{log_dir} is none of the log directories of broker {broker} that are named")
            }
            Obstacle::NotListed(broker) => write!(
                f,
                "broker {broker} is not in the replica list that the controllers have, and would set a copy aside as stray"
            ),
            Obstacle::StillListed(broker) => write!(
                f,
                "broker {broker} is in the replica list that the controllers have, and would begin with an empty log"
            ),
            Obstacle::Unknown(broker) => {
                write!(f, "without a metadata log it is not known whether broker {broker} holds it still")
            }
            Obstacle::Metadata => f.write_str("it is the controllers' own log, which is not moved"),
            Obstacle::NoTopic => {
                f.write_str("the controllers know no such partition, and its broker would set it aside as stray")
            }
            Obstacle::NoSource => f.write_str("it is in none of the log directories that are named"),
            Obstacle::NotInSync => f.write_str("none of the replicas in sync is in the log directories that are named"),
            Obstacle::Furthest(broker) => {
                write!(f, "what broker {broker} has reaches further than all that would stay")
            }
            Obstacle::Twice(broker) => write!(f, "broker {broker} has it in two log directories, and does not start"),
            Obstacle::BeingMoved(broker) => write!(
                f,
                "broker {broker} was moving it to another log directory itself, and goes on with that when it starts"
            ),
        }
    }
}

/// What is done of a plan, and what is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offline {
    /// What is done, in the order of the plan; copies of a partition before directories of it go.
    pub steps: Vec<(Name, Step)>,
    /// What is not done.
    pub obstacles: Vec<(Name, Obstacle)>,
    /// What only a running controller can do: these partitions have another replica list there.
    pub for_controllers: Vec<PlannedPartition>,
}

/// Finds out what of a plan can be done. With `force` obstacles that [yield](Obstacle::yields) are got past.
pub fn offline(plan: &[PlannedPartition], site: &Site, force: bool) -> Offline {
    let mut done = Offline::default();
    let mut counts: Vec<usize> = site.log_dirs.iter().map(|place| place.partitions).collect();
    for planned in plan {
        let name = (planned.topic.clone(), planned.partition);
        let first_step = done.steps.len();
        let mut one = One { planned, site, force, name: &name, done: &mut done, first_step, counts: &mut counts };
        one.decide();
        let lists = site.listed.as_ref().and_then(|listed| listed.get(&name));
        let stays = |listed: &Listed| -> Vec<i32> {
            listed.replicas.iter().copied().filter(|id| !listed.removing.contains(id)).collect()
        };
        if lists.is_some_and(|listed| stays(listed) != planned.replicas) {
            done.for_controllers.push(planned.clone());
        }
    }
    done
}

/// One partition of the plan.
struct One<'a> {
    planned: &'a PlannedPartition,
    site: &'a Site,
    force: bool,
    name: &'a Name,
    done: &'a mut Offline,
    /// The number of its first step.
    first_step: usize,
    counts: &'a mut [usize],
}

impl One<'_> {
    fn broker_of(&self, replica: &Replica) -> i32 {
        self.site.log_dirs.get(replica.log_dir).map_or(-1, |place| place.broker)
    }

    fn held(&self) -> &[Replica] {
        self.site.held.get(self.name).map_or(&[], Vec::as_slice)
    }

    fn on(&self, broker: i32) -> Vec<Replica> {
        self.held().iter().copied().filter(|replica| self.broker_of(replica) == broker).collect()
    }

    fn listed(&self) -> Option<&Listed> {
        self.site.listed.as_ref()?.get(self.name)
    }

    fn step(&mut self, step: Step) {
        if let Step::Move { to, .. } | Step::Copy { to, .. } = &step
            && let Some(count) = self.counts.get_mut(*to)
        {
            *count += 1;
        }
        self.done.steps.push((self.name.clone(), step));
    }

    /// Whether to go on in spite of it.
    fn meets(&mut self, obstacle: Obstacle) -> bool {
        if self.force && obstacle.yields() {
            return true;
        }
        self.done.obstacles.push((self.name.clone(), obstacle));
        false
    }

    fn decide(&mut self) {
        if self.name.0 == METADATA {
            self.meets(Obstacle::Metadata);
            return;
        }
        let mut is_complete = true;
        let wanted: Vec<(i32, Option<String>)> = (self.planned.replicas.iter().enumerate())
            .map(|(number, broker)| {
                let log_dir = self.planned.log_dirs.as_ref().and_then(|log_dirs| log_dirs.get(number)).cloned();
                (*broker, log_dir.filter(|log_dir| log_dir != ANY_LOG_DIR))
            })
            .collect();
        for (broker, log_dir) in wanted {
            is_complete &= self.place(broker, log_dir);
        }
        let gone: BTreeSet<i32> = self.held().iter().map(|replica| self.broker_of(replica)).collect();
        for broker in gone.into_iter().filter(|broker| !self.planned.replicas.contains(broker)) {
            self.let_go(broker, is_complete);
        }
    }

    /// Brings a replica to where it is wanted; whether it is there then.
    fn place(&mut self, broker: i32, log_dir: Option<String>) -> bool {
        let of_broker = |place: &&(usize, &Place)| place.1.broker == broker;
        let places: Vec<(usize, &Place)> = self.site.log_dirs.iter().enumerate().collect();
        let places: Vec<(usize, &Place)> = places.iter().filter(of_broker).copied().collect();
        if places.is_empty() {
            self.meets(Obstacle::Unseen(broker));
            // Nothing says that it is not there.
            return false;
        }
        let target = match &log_dir {
            None => None,
            Some(log_dir) => match places.iter().find(|(_, place)| place.path == *log_dir) {
                Some((number, _)) => Some(*number),
                None => {
                    self.meets(Obstacle::NoLogDir { broker, log_dir: log_dir.clone() });
                    return !self.on(broker).is_empty();
                }
            },
        };
        match (self.on(broker).as_slice(), target) {
            ([], target) => {
                // As a broker does (`LogManager.nextLogDirs`): where the fewest partitions are.
                let emptiest = || {
                    let count = |number: usize| self.counts.get(number).copied().unwrap_or(usize::MAX);
                    places.iter().map(|(number, _)| *number).min_by_key(|number| (count(*number), *number))
                };
                let Some(to) = target.or_else(emptiest) else { return false };
                self.copy(broker, to)
            }
            // It was made when the controllers added the broker, and never caught up.
            ([replica], _) if self.falls_short(broker, replica) && target.is_none_or(|to| to == replica.log_dir) => {
                self.copy_to(replica.log_dir, true)
            }
            ([replica], Some(to)) if replica.log_dir != to => {
                if self.site.future.contains(&(self.name.clone(), broker)) {
                    self.meets(Obstacle::BeingMoved(broker));
                } else {
                    self.step(Step::Move { from: replica.log_dir, to });
                }
                true
            }
            ([_], _) => true,
            _ => {
                self.meets(Obstacle::Twice(broker));
                true
            }
        }
    }

    /// Gives a broker a copy of the directory that reaches furthest, of those in sync.
    fn copy(&mut self, broker: i32, to: usize) -> bool {
        let obstacle = match self.listed() {
            Some(listed) if !listed.replicas.contains(&broker) => Some(Obstacle::NotListed(broker)),
            None if self.site.listed.is_some() => Some(Obstacle::NoTopic),
            _ if self.site.future.contains(&(self.name.clone(), broker)) => Some(Obstacle::BeingMoved(broker)),
            _ => None,
        };
        if obstacle.is_some_and(|obstacle| !self.meets(obstacle)) {
            return false;
        }
        self.copy_to(to, false)
    }

    /// Whether a replica is on its way in, not in sync, and behind one that is.
    fn falls_short(&self, broker: i32, replica: &Replica) -> bool {
        let Some(listed) = self.listed() else { return false };
        let is_new = listed.adding.contains(&broker) && !listed.complete.contains(&broker);
        let in_sync = self.held().iter().filter(|other| listed.complete.contains(&self.broker_of(other)));
        is_new && in_sync.map(|other| self.reach(other)).max() > Some(self.reach(replica))
    }

    fn copy_to(&mut self, to: usize, replaces: bool) -> bool {
        if self.held().is_empty() {
            return self.meets(Obstacle::NoSource);
        }
        let in_sync = |replica: &&Replica| {
            let broker = self.broker_of(replica);
            self.listed().is_none_or(|listed| listed.complete.contains(&broker))
        };
        let best = self.held().iter().filter(in_sync).max_by_key(|replica| self.reach(replica)).copied();
        let best = match best {
            Some(best) => best,
            None if !self.meets(Obstacle::NotInSync) => return false,
            None => match self.held().iter().max_by_key(|replica| self.reach(replica)).copied() {
                Some(best) => best,
                None => return false,
            },
        };
        self.step(Step::Copy { from: best.log_dir, to, replaces });
        true
    }

    /// Leader epochs count where all directories have one (KIP-966).
    fn reach(&self, replica: &Replica) -> (Option<i32>, i64) {
        let all_tell = self.held().iter().all(|replica| replica.reach.0.is_some());
        (replica.reach.0.filter(|_| all_tell), replica.reach.1)
    }

    /// Lets a broker's directory go, where it is not needed any more.
    fn let_go(&mut self, broker: i32, is_complete: bool) {
        let obstacle = match self.listed() {
            Some(listed) if listed.replicas.contains(&broker) => Some(Obstacle::StillListed(broker)),
            _ if self.site.future.contains(&(self.name.clone(), broker)) => Some(Obstacle::BeingMoved(broker)),
            None if self.site.listed.is_some() => Some(Obstacle::NoTopic),
            None => Some(Obstacle::Unknown(broker)),
            Some(_) => None,
        };
        if obstacle.is_some_and(|obstacle| !self.meets(obstacle)) || !is_complete {
            return;
        }
        let gone = self.on(broker);
        let stays = |replica: &&Replica| self.planned.replicas.contains(&self.broker_of(replica));
        let steps = self.done.steps.get(self.first_step..).unwrap_or_default();
        let moved = |log_dir: usize| {
            let moves = steps.iter().find_map(|(_, step)| match step {
                Step::Move { from, to } if *from == log_dir => Some(*to),
                _ => None,
            });
            moves.unwrap_or(log_dir)
        };
        let (mut copied, mut keeps) = (BTreeSet::new(), Vec::new());
        for (_, step) in steps {
            if let Step::Copy { from, to, .. } = step {
                copied.insert(*from);
                keeps.push(*to);
            }
        }
        keeps.extend(self.held().iter().filter(stays).map(|replica| moved(replica.log_dir)));
        let furthest = |replica: &Replica| self.reach(replica);
        let kept = self.held().iter().filter(|replica| stays(replica) || copied.contains(&replica.log_dir));
        let kept = kept.map(furthest).max();
        if gone.iter().map(furthest).max() > kept && !self.meets(Obstacle::Furthest(broker)) {
            return;
        }
        for replica in gone {
            self.step(Step::Drop { at: replica.log_dir, keeps: keeps.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brokers 1 and 2 with two log directories each, 3 with one.
    fn site(held: &[(usize, i64)], listed: Option<(&[i32], &[i32], &[i32])>) -> Site {
        let place = |(broker, path): (i32, &str)| Place { broker, path: path.to_owned(), partitions: 0 };
        let name = ("t".to_owned(), 0);
        let replicas = held.iter().map(|(log_dir, end)| Replica { log_dir: *log_dir, reach: (Some(4), *end) });
        Site {
            log_dirs: [(1, "/1a"), (1, "/1b"), (2, "/2a"), (2, "/2b"), (3, "/3a")].map(place).to_vec(),
            held: BTreeMap::from([(name.clone(), replicas.collect())]),
            future: BTreeSet::new(),
            listed: listed.map(|(replicas, removing, isr)| {
                let (replicas, removing, isr) = (replicas.to_vec(), removing.to_vec(), isr.to_vec());
                let listed = Listed { replicas, adding: vec![3], removing, complete: isr };
                BTreeMap::from([(name, listed)])
            }),
        }
    }

    fn plan(replicas: &[i32], log_dirs: &[&str]) -> Vec<PlannedPartition> {
        let log_dirs = log_dirs.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let log_dirs = Some(log_dirs).filter(|log_dirs| !log_dirs.is_empty());
        vec![PlannedPartition { topic: "t".to_owned(), partition: 0, replicas: replicas.to_vec(), log_dirs }]
    }

    fn decided(done: &Offline) -> (Vec<Step>, Vec<Obstacle>, usize) {
        let steps = done.steps.iter().map(|(_, step)| step.clone()).collect();
        (steps, done.obstacles.iter().map(|(_, it)| it.clone()).collect(), done.for_controllers.len())
    }

    #[test]
    fn within_a_broker_a_directory_goes_where_it_is_wanted() {
        let site = site(&[(0, 9), (2, 9)], Some((&[1, 2], &[], &[1, 2])));
        let done = offline(&plan(&[1, 2], &["/1b", "any"]), &site, false);
        assert_eq!(decided(&done), (vec![Step::Move { from: 0, to: 1 }], vec![], 0));
        let done = offline(&plan(&[1, 2], &["/1a", "/2a"]), &site, false);
        assert_eq!(decided(&done), (vec![], vec![], 0));
        let done = offline(&plan(&[1, 2], &["/2b", "any"]), &site, true);
        let obstacle = Obstacle::NoLogDir { broker: 1, log_dir: "/2b".to_owned() };
        assert_eq!(decided(&done), (vec![], vec![obstacle], 0));
        let mut moving = site;
        moving.future.insert((("t".to_owned(), 0), 1));
        let done = offline(&plan(&[1, 2], &["/1b", "any"]), &moving, true);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::BeingMoved(1)], 0));
    }

    #[test]
    fn another_broker_gets_a_copy_when_the_controllers_have_it_in_the_list() {
        // They are bringing it from 1 to 3; 1 lets it go by itself when 3 has caught up.
        let added = site(&[(0, 9)], Some((&[3, 1], &[1], &[1])));
        let done = offline(&plan(&[3], &[]), &added, false);
        assert_eq!(
            decided(&done),
            (vec![Step::Copy { from: 0, to: 4, replaces: false }], vec![Obstacle::StillListed(1)], 0)
        );
        // 3 was up when they began, and 1 was not: 3 has an empty log.
        let begun = site(&[(0, 9), (4, 0)], Some((&[3, 1], &[1], &[1])));
        let done = offline(&plan(&[3], &[]), &begun, false);
        let replaced = Step::Copy { from: 0, to: 4, replaces: true };
        assert_eq!(decided(&done), (vec![replaced], vec![Obstacle::StillListed(1)], 0));
        let caught_up = site(&[(0, 9), (4, 9)], Some((&[3, 1], &[1], &[1])));
        let done = offline(&plan(&[3], &[]), &caught_up, false);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::StillListed(1)], 0));
        // They know nothing of it yet.
        let unlisted = site(&[(0, 9)], Some((&[1], &[], &[1])));
        let done = offline(&plan(&[3], &[]), &unlisted, false);
        let obstacles = vec![Obstacle::NotListed(3), Obstacle::StillListed(1)];
        assert_eq!(decided(&done), (vec![], obstacles, 1));
        let done = offline(&plan(&[3], &[]), &unlisted, true);
        assert_eq!(
            decided(&done),
            (vec![Step::Copy { from: 0, to: 4, replaces: false }], vec![Obstacle::StillListed(1)], 1)
        );
        // It has left the list: what is on 1 is stray.
        let left = site(&[(0, 9), (4, 9)], Some((&[3], &[], &[3])));
        let done = offline(&plan(&[3], &[]), &left, false);
        assert_eq!(decided(&done), (vec![Step::Drop { at: 0, keeps: vec![4] }], vec![], 0));
    }

    #[test]
    fn the_copy_is_of_the_furthest_of_those_in_sync_and_nothing_further_goes() {
        let three = |isr: &'static [i32]| site(&[(0, 9), (2, 12)], Some((&[1, 2, 3], &[], isr)));
        let copied = |from| Step::Copy { from, to: 4, replaces: false };
        let done = offline(&plan(&[1, 2, 3], &[]), &three(&[1, 2]), false);
        assert_eq!(decided(&done), (vec![copied(2)], vec![], 0));
        let done = offline(&plan(&[1, 2, 3], &[]), &three(&[1]), false);
        assert_eq!(decided(&done), (vec![copied(0)], vec![], 0));
        let done = offline(&plan(&[1, 2, 3], &[]), &three(&[3]), false);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::NotInSync], 0));
        let done = offline(&plan(&[1, 2, 3], &[]), &three(&[3]), true);
        assert_eq!(decided(&done), (vec![copied(2)], vec![], 0));
        let stray = site(&[(0, 9), (2, 12)], Some((&[1], &[], &[1])));
        let done = offline(&plan(&[1], &[]), &stray, false);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::Furthest(2)], 0));
        let done = offline(&plan(&[1], &[]), &stray, true);
        assert_eq!(decided(&done), (vec![Step::Drop { at: 2, keeps: vec![0] }], vec![], 0));
    }

    #[test]
    fn what_is_not_known_is_not_done() {
        let unknown = site(&[(0, 9), (2, 9)], None);
        let done = offline(&plan(&[2, 3], &[]), &unknown, false);
        assert_eq!(
            decided(&done),
            (vec![Step::Copy { from: 2, to: 4, replaces: false }], vec![Obstacle::Unknown(1)], 0)
        );
        let done = offline(&plan(&[2, 7], &[]), &unknown, true);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::Unseen(7)], 0), "nothing goes while one is not there");
        let twice = site(&[(0, 9), (1, 9)], None);
        let done = offline(&plan(&[1], &["/1b"]), &twice, true);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::Twice(1)], 0));
        let nowhere = site(&[], None);
        let done = offline(&plan(&[1], &[]), &nowhere, true);
        assert_eq!(decided(&done), (vec![], vec![Obstacle::NoSource], 0));
    }
}
