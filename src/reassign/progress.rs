//! How far a cluster is from a plan, in the words of `kafka-reassign-partitions.sh --verify`
//! (`ReassignPartitionsCommand.verifyAssignment` of Kafka 4.3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::inventory::Partition;
use super::plan_json::{ANY_LOG_DIR, PlannedPartition};

/// What the cluster's metadata says of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Some of them are on their way in or out.
    pub is_moving: bool,
}

/// Where a broker has a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The log directory it is in.
    pub current: Option<String>,
    /// The log directory that a copy is on its way to.
    pub future: Option<String>,
}

/// What was seen of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// By partition; `None` where no metadata tells.
    pub assigned: Option<BTreeMap<Partition, Assigned>>,
    /// By partition and broker.
    pub held: BTreeMap<(Partition, i32), Held>,
    /// Brokers whose log directories were looked into.
    pub brokers: BTreeSet<i32>,
}

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionStatus {
    /// Its replicas are those of the plan.
    Completed,
    /// Replicas are on their way in or out.
    InProgress,
    /// They are others, and nothing moves.
    Differs {
        /// The replicas it has.
        replicas: Vec<i32>,
        /// Those of the plan.
        wanted: Vec<i32>,
    },
}

/// How far a replica is that the plan gives a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaStatus {
    /// It is there.
    Completed,
    /// A copy is on its way there.
    InProgress,
    /// A copy is on its way to another one.
    MovesElsewhere {
        /// The log directory that it is on its way to.
        future: String,
        /// That of the plan.
        wanted: String,
    },
    /// It is in another one, and nothing moves.
    Elsewhere {
        /// The log directory that it is in.
        current: String,
        /// That of the plan.
        wanted: String,
    },
    /// The broker's directories have no such replica.
    NotFound,
    /// Nobody looked into the broker's directories.
    Unknown,
}

/// How far a plan is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// By partition.
    pub partitions: BTreeMap<Partition, PartitionStatus>,
    /// By broker and partition: replicas to which the plan gives a log directory.
    pub replicas: BTreeMap<(i32, Partition), ReplicaStatus>,
    /// Replicas of the plan that are in no directory of their broker, though it was looked into.
    pub missing: Vec<(Partition, i32)>,
    /// Brokers of the plan that nobody looked into, where no metadata tells what they have.
    pub unseen: BTreeSet<i32>,
}

impl Progress {
    /// Of a plan, by what was seen.
    ///
    /// Without metadata a partition's replicas are the brokers that have a directory of it, in no order; brokers that nobody
    /// looked into are taken to have what the plan gives them.
    pub fn of(plan: &[PlannedPartition], seen: &Seen) -> Progress {
        let mut progress = Progress::default();
        for it in plan {
            let partition = (it.topic.clone(), it.partition);
            let status = match &seen.assigned {
                Some(assigned) => by_metadata(it, assigned.get(&partition)),
                None => {
                    progress.unseen.extend(it.replicas.iter().filter(|id| !seen.brokers.contains(id)));
                    by_directories(it, &partition, seen)
                }
            };
            let is_held = |id: i32| seen.held.get(&(partition.clone(), id)).is_some_and(|held| held.current.is_some());
            for id in it.replicas.iter().filter(|id| seen.brokers.contains(id) && !is_held(**id)) {
                progress.missing.push((partition.clone(), *id));
            }
            for (broker, wanted) in it.replicas.iter().zip(it.log_dirs.iter().flatten()) {
                if wanted != ANY_LOG_DIR {
                    let status = replica(seen, &partition, *broker, wanted);
                    progress.replicas.insert((*broker, partition.clone()), status);
                }
            }
            progress.partitions.insert(partition, status);
        }
        progress
    }

    /// Whether all of the plan is done.
    pub fn is_completed(&self) -> bool {
        self.partitions.values().all(|status| *status == PartitionStatus::Completed)
            && self.replicas.values().all(|status| *status == ReplicaStatus::Completed)
            && self.missing.is_empty()
    }
}

fn by_metadata(planned: &PlannedPartition, assigned: Option<&Assigned>) -> PartitionStatus {
    let replicas = assigned.map(|assigned| assigned.replicas.clone()).unwrap_or_default();
    if assigned.is_some_and(|assigned| assigned.is_moving) {
        PartitionStatus::InProgress
    } else if replicas == planned.replicas {
        PartitionStatus::Completed
    } else {
        PartitionStatus::Differs { replicas, wanted: planned.replicas.clone() }
    }
}

fn by_directories(planned: &PlannedPartition, partition: &Partition, seen: &Seen) -> PartitionStatus {
    let of_partition = (partition.clone(), i32::MIN)..=(partition.clone(), i32::MAX);
    let mut replicas: BTreeSet<i32> =
        seen.held.range(of_partition).filter(|(_, held)| held.current.is_some()).map(|((_, id), _)| *id).collect();
    replicas.extend(planned.replicas.iter().filter(|id| !seen.brokers.contains(id)));
    if replicas == planned.replicas.iter().copied().collect() {
        PartitionStatus::Completed
    } else {
        PartitionStatus::Differs { replicas: replicas.into_iter().collect(), wanted: planned.replicas.clone() }
    }
}

fn replica(seen: &Seen, partition: &Partition, broker: i32, wanted: &str) -> ReplicaStatus {
    if !seen.brokers.contains(&broker) {
        return ReplicaStatus::Unknown;
    }
    let held = seen.held.get(&(partition.clone(), broker)).cloned().unwrap_or_default();
    match (held.current, held.future) {
        (None, _) => ReplicaStatus::NotFound,
        (Some(current), None) if current == wanted => ReplicaStatus::Completed,
        (Some(current), None) => ReplicaStatus::Elsewhere { current, wanted: wanted.to_owned() },
        (Some(_), Some(future)) if future == wanted => ReplicaStatus::InProgress,
        (Some(_), Some(future)) => ReplicaStatus::MovesElsewhere { future, wanted: wanted.to_owned() },
    }
}

/// The lines that the tool prints: partitions, then replicas with a log directory; an empty line where there is none of those
/// (`partitionReassignmentStatesToString`, `replicaMoveStatesToString`).
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Status of partition reassignment:")?;
        for ((topic, number), status) in &self.partitions {
            match status {
                PartitionStatus::Completed => {
                    writeln!(f, "Reassignment of partition {topic}-{number} is completed.")?;
                }
                PartitionStatus::InProgress => {
                    writeln!(f, "Reassignment of partition {topic}-{number} is still in progress.")?;
                }
                PartitionStatus::Differs { replicas, wanted } => writeln!(
                    f,
                    "There is no active reassignment of partition {topic}-{number}, but replica set is {} rather than {}.",
                    joined(replicas),
                    joined(wanted)
                )?,
            }
        }
        if self.replicas.is_empty() {
            writeln!(f)?;
        }
        for ((broker, (topic, number)), status) in &self.replicas {
            let partition = format!("Partition {topic}-{number}");
            match status {
                ReplicaStatus::Completed => {
                    writeln!(f, "Reassignment of replica {topic}-{number}-{broker} completed successfully.")?;
                }
                ReplicaStatus::InProgress => {
                    writeln!(f, "Reassignment of replica {topic}-{number}-{broker} is still in progress.")?;
                }
                ReplicaStatus::MovesElsewhere { future, wanted } => writeln!(
                    f,
                    "{partition} on broker {broker} is being moved to log dir {future} instead of {wanted}."
                )?,
                ReplicaStatus::Elsewhere { current, wanted } => writeln!(
                    f,
                    "{partition} on broker {broker} is not being moved from log dir {current} to {wanted}."
                )?,
                ReplicaStatus::NotFound => writeln!(
                    f,
                    "{partition} is not found in any live log dir on broker {broker}. There is likely an offline log \
                     directory on the broker."
                )?,
                ReplicaStatus::Unknown => {
                    writeln!(f, "{partition} cannot be found in any live log directory on broker {broker}.")?;
                }
            }
        }
        Ok(())
    }
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::plan_json::parse_plan;
    use super::*;

    fn key(number: i32) -> Partition {
        ("t".to_owned(), number)
    }

    fn held(current: &str, future: Option<&str>) -> Held {
        Held { current: Some(current.to_owned()), future: future.map(str::to_owned) }
    }

    const PLAN: &str = r#"{"partitions":[
        {"topic":"t","partition":3,"replicas":[4],"log_dirs":["/a"]},
        {"topic":"t","partition":2,"replicas":[1],"log_dirs":["/a"]},
        {"topic":"t","partition":1,"replicas":[1,2],"log_dirs":["/a","any"]},
        {"topic":"t","partition":0,"replicas":[2,1],"log_dirs":["/a","/b"]}]}"#;

    #[test]
    fn every_state_has_the_tools_words() {
        let assigned = |replicas: &[i32], is_moving| Assigned { replicas: replicas.to_vec(), is_moving };
        let seen = Seen {
            assigned: Some(BTreeMap::from([
                (key(0), assigned(&[2, 1], false)),
                (key(1), assigned(&[1, 2, 3], true)),
                (key(2), assigned(&[3, 2], false)),
            ])),
            held: BTreeMap::from([
                ((key(0), 2), held("/a", None)),
                ((key(0), 1), held("/c", None)),
                ((key(1), 1), held("/c", Some("/a"))),
                ((key(1), 2), held("/x", None)),
                ((key(2), 1), held("/c", Some("/d"))),
            ]),
            brokers: [1, 2].into(),
        };
        let progress = Progress::of(&parse_plan(PLAN).unwrap(), &seen);
        let expected = "Status of partition reassignment:\n\
            Reassignment of partition t-0 is completed.\n\
            Reassignment of partition t-1 is still in progress.\n\
            There is no active reassignment of partition t-2, but replica set is 3,2 rather than 1.\n\
            There is no active reassignment of partition t-3, but replica set is  rather than 4.\n\
            Partition t-0 on broker 1 is not being moved from log dir /c to /b.\n\
            Reassignment of replica t-1-1 is still in progress.\n\
            Partition t-2 on broker 1 is being moved to log dir /d instead of /a.\n\
            Reassignment of replica t-0-2 completed successfully.\n\
            Partition t-3 cannot be found in any live log directory on broker 4.\n";
        assert_eq!(progress.to_string(), expected);
        assert!(!progress.is_completed());
        let gone = Seen { held: BTreeMap::new(), ..seen };
        let progress = Progress::of(&parse_plan(PLAN).unwrap(), &gone);
        let said = "Partition t-0 is not found in any live log dir on broker 2. There is likely an offline log directory on the broker.\n";
        assert!(progress.to_string().contains(said), "{progress}");
        assert_eq!(progress.missing.len(), 5);
    }

    #[test]
    fn without_metadata_directories_tell_who_has_a_partition() {
        let plan = parse_plan(r#"{"partitions":[{"topic":"t","partition":0,"replicas":[3,1]}]}"#).unwrap();
        let cases: [(&[i32], &[i32], &str); 4] = [
            (&[1, 2, 3], &[1, 3], "is completed."),
            (&[1, 2], &[1], "is completed."),
            (&[1, 2], &[1, 2], "but replica set is 1,2,3 rather than 3,1."),
            (&[1, 2, 3], &[2], "but replica set is 2 rather than 3,1."),
        ];
        for (brokers, holders, expected) in cases {
            let seen = Seen {
                assigned: None,
                held: holders.iter().map(|id| ((key(0), *id), held("/a", None))).collect(),
                brokers: brokers.iter().copied().collect(),
            };
            let progress = Progress::of(&plan, &seen);
            assert!(progress.to_string().contains(expected), "{brokers:?} {holders:?}: {progress}");
            assert_eq!(progress.unseen.is_empty(), brokers.contains(&3), "{brokers:?}");
        }
    }
}
