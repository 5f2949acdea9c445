//! What `simulate-failover assess` says of directories from which a real cluster went on: which records it then lost, and
//! where the old leaders truncated.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use logdir::batch::scan::Depth;
use logdir::replication::assess::candidate::{Candidate, Standing};
use logdir::replication::assess::{Assessment, Proof, Situation};
use logdir::replication::effect::Effect;
use logdir::replication::event::Event;
use logdir::replication::play::play;
use logdir::replication::rules::{Era, Rules};
use logdir::storage::assess::{self, Knowledge, ReplicaDir, WalkOptions};
use logdir::storage::cluster_metadata;
use logdir::storage::replicated::Initial;
use support::kafka_data::{Case, log_dirs_below};

/// A partition of a case at one moment, assessed.
struct Look {
    brokers: Vec<i32>,
    situation: Situation,
    assessment: Assessment,
}

impl Look {
    fn at(case: &Case, moment: &str, partition: &str, era: Era) -> Look {
        Look::below(&case.data().join(moment), partition, era)
    }

    fn below(root: &Path, partition: &str, era: Era) -> Look {
        let log_dirs = log_dirs_below(root);
        let dirs: Vec<PathBuf> = log_dirs.iter().map(|dir| dir.join(partition)).filter(|dir| dir.is_dir()).collect();
        let replicas: Vec<ReplicaDir> = dirs.iter().map(|dir| ReplicaDir::open(dir).unwrap()).collect();
        let newest = cluster_metadata::choose(log_dirs.iter().map(PathBuf::as_path)).believed;
        let knowledge = Knowledge::read(&log_dirs, newest);
        let options = WalkOptions { depth: Depth::Crc, max_batch_bytes: 128 << 20 };
        let mut bytes = 0;
        let found = assess::read(&replicas, &knowledge, era, &options, |more| bytes += more);
        assert!(found.walked.iter().all(|walked| walked.damage.is_none()), "{partition}");
        assert!(bytes <= replicas.iter().map(ReplicaDir::size_bytes).sum(), "{partition}");
        let brokers = replicas.iter().map(|replica| replica.broker.unwrap()).collect();
        Look { brokers, assessment: Assessment::of(&found.situation), situation: found.situation }
    }

    fn number(&self, broker: i32) -> usize {
        self.brokers.iter().position(|it| *it == broker).unwrap()
    }

    fn leader(&self, broker: i32) -> &Candidate {
        &self.assessment.candidates[self.number(broker)]
    }

    /// Where `broker` cuts its log when `leader` leads.
    fn cut(&self, leader: i32, broker: i32) -> Option<u64> {
        let number = self.number(broker);
        self.leader(leader).followers.iter().find(|it| it.replica == number).unwrap().followed.cut_to()
    }

    fn best(&self) -> i32 {
        self.brokers[self.assessment.choice.as_ref().unwrap().best()]
    }
}

/// Offsets that `candidate` would lose, of a loss that `is_wanted`.
fn lost(candidate: &Candidate, is_wanted: impl Fn(&Standing) -> bool) -> Vec<u64> {
    candidate.lost.iter().filter(|lost| is_wanted(&lost.standing)).flat_map(|lost| lost.offsets.clone()).collect()
}

fn truth(case: &Case) -> serde_json::Value {
    case.truth_json("losses.json").unwrap()
}

fn lost_in_truth(case: &Case, partition: &str) -> Vec<u64> {
    truth(case)[partition]["lost_offsets_in_old_log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_u64().unwrap())
        .collect()
}

/// Offsets that were acknowledged in these phases, with the level.
fn sent(case: &Case, partition: &str, phase: &str) -> BTreeMap<u64, String> {
    let lines = case.truth_lines("sent.ndjson.gz").unwrap();
    let of_phase = lines.iter().filter(|line| line["tp"] == partition && line["phase"] == phase);
    of_phase.filter_map(|line| Some((line["offset"].as_u64()?, line["acks"].as_str()?.to_owned()))).collect()
}

fn case(name: &str) -> Option<Case> {
    Some(Case::open(&support::kafka_data_dir()?.join("cases").join(name)))
}

#[test]
fn an_old_leaders_records_are_told_as_the_cluster_lost_them() {
    let Some(case) = case("07-failover-divergence") else { return };
    // Followers paused, acks=1 to broker 1, broker 1 killed: who led then, and where broker 1 truncated.
    for (partition, leader, truncated, end) in [("div-0", 2, 57, 90), ("div-1", 3, 45, 50)] {
        let look = Look::at(&case, "before", partition, Era::Fetch);
        let candidate = look.leader(leader);
        let is_open = |standing: &Standing| match standing {
            // Both followers were in the ISR of that leader epoch, and never had them.
            Standing::Open { in_sync_without } => in_sync_without.len() == 2,
            Standing::Committed(_) => false,
        };
        let told = lost(candidate, is_open);
        assert_eq!(told, lost_in_truth(&case, partition), "{partition}");
        let sent = sent(&case, partition, "acks1-while-followers-paused");
        assert_eq!(told, sent.keys().copied().collect::<Vec<_>>(), "{partition}: exactly what was acknowledged");
        assert!(sent.values().all(|acks| acks == "1"), "{partition}: and at acks=1 only");
        assert_eq!((candidate.loses_committed(), candidate.keeps()), (0, end), "{partition}");
        assert_eq!(look.cut(leader, 1), Some(truncated), "{partition}: as the broker's log says");
        assert!([2, 3].iter().filter(|it| **it != leader).all(|it| look.cut(leader, *it).is_none()), "{partition}");
        let [fork] = &look.assessment.forks[..] else { panic!("{partition}: {:?}", look.assessment.forks) };
        assert_eq!((fork.at, fork.branches.len(), fork.same_epoch), (truncated, 2, false), "{partition}");
        // What was then written with acks=all is what the old leader would have lost.
        assert_eq!(look.leader(1).loses_committed(), end - truncated, "{partition}");
        assert_eq!(
            (look.best(), look.assessment.surely_loses()),
            (leader, false),
            "{partition}: whom the controller chose"
        );
        assert_eq!(look.assessment.choice.as_ref().unwrap().is_unclean, Some(false), "{partition}");
        let hw = Look::at(&case, "before", partition, Era::Hw);
        assert_eq!(hw.cut(leader, 1), Some(truncated), "{partition}: the old leader's own high watermark");
    }
    // Broker 1 held nothing of its own there.
    for partition in ["div-2", "div-3"] {
        let look = Look::at(&case, "before", partition, Era::Fetch);
        assert!(lost_in_truth(&case, partition).is_empty() && look.assessment.forks.is_empty(), "{partition}");
        assert_eq!((look.leader(2).lost.len(), look.cut(2, 1)), (0, None), "{partition}");
        assert!(!look.assessment.surely_loses() && look.best() != 1 || partition == "div-3", "{partition}");
    }
}

#[test]
fn an_unclean_election_loses_what_is_told() {
    let Some(case) = case("07-failover-divergence") else { return };
    for (partition, leader, proof) in [
        // The last checkpoint of broker 3 was in time for the one, and not for the other.
        ("unc-0", 1, Proof::HighWatermark { replica: 2, at: 60 }),
        ("unc-1", 2, Proof::LedAlone { replica: 2 }),
    ] {
        let look = Look::at(&case, "before-unclean", partition, Era::Fetch);
        assert_eq!(look.brokers, [1, 2, 3]);
        let told = lost(look.leader(leader), |standing| *standing == Standing::Committed(proof));
        assert_eq!(told, lost_in_truth(&case, partition), "{partition}");
        let sent = sent(&case, partition, "only-on-3");
        assert_eq!(told, sent.keys().copied().collect::<Vec<_>>(), "{partition}: exactly what was acknowledged");
        assert!(sent.values().all(|acks| acks == "all"), "{partition}");
        assert_eq!(
            look.leader(leader).loses_perhaps_committed() + look.leader(leader).loses_unreplicated(),
            0,
            "{partition}"
        );
        assert_eq!(look.cut(leader, 3), Some(40), "{partition}: as the broker's log says");
        // By then each branch has acknowledged records of its own: 20 against 15.
        assert_eq!((look.best(), look.leader(3).loses_committed()), (3, 15), "{partition}");
        assert!(look.assessment.surely_loses(), "{partition}");
        assert_eq!(look.assessment.choice.as_ref().unwrap().is_unclean, Some(true), "{partition}");
    }
}

#[test]
fn forks_of_two_unclean_elections_are_told_and_cut_as_they_were() {
    let Some(case) = case("07b-multi-epoch-fork") else { return };
    for (partition, epochs) in [("zig-0", [vec![0, 2], vec![1]]), ("zig-1", [vec![1, 3], vec![2]])] {
        let look = Look::at(&case, "before", partition, Era::Fetch);
        let told = lost(look.leader(1), |standing| matches!(standing, Standing::Committed(_)));
        let sent = sent(&case, partition, "only-on-2");
        assert_eq!(told, sent.keys().copied().collect::<Vec<_>>(), "{partition}");
        assert_eq!(told.len() as u64, truth(&case)[partition]["lost"].as_u64().unwrap(), "{partition}");
        assert_eq!((look.leader(1).lost.len(), look.cut(1, 2)), (1, Some(20)), "{partition}: as the broker's log says");
        let [fork] = &look.assessment.forks[..] else { panic!("{partition}: {:?}", look.assessment.forks) };
        let of_branch = |branch: &logdir::replication::assess::fork::Branch| {
            branch.epochs.iter().filter_map(|range| range.epoch).collect::<Vec<_>>()
        };
        assert_eq!(fork.at, 20, "{partition}");
        assert_eq!(fork.branches.iter().map(of_branch).collect::<Vec<_>>(), epochs, "{partition}");
        assert_eq!((look.best(), look.leader(2).loses_committed()), (1, 14), "{partition}");
        let follower = &look.leader(2).followers[0].followed;
        assert_eq!(follower.cuts, [30, 20], "{partition}: the other way round it takes two fetches");
        // KIP-101 alone left the epochs that the other never saw in place where their ends fit.
        let epoch = Look::at(&case, "before", partition, Era::Epoch);
        let differs: BTreeSet<u64> = epoch.leader(1).followers[0].differs.iter().flat_map(Clone::clone).collect();
        assert_eq!(differs, (20..26).collect(), "{partition}");
    }
}

#[test]
fn what_the_cluster_came_to_has_nothing_left_to_lose() {
    let mut partitions = 0;
    for name in ["07-failover-divergence", "07b-multi-epoch-fork"] {
        let Some(case) = case(name) else { return };
        let offsets = case.truth_json("offsets.json").unwrap();
        for (partition, truth) in offsets.as_object().unwrap() {
            let look = Look::at(&case, "after", partition, Era::Fetch);
            assert!(look.brokers.len() > 1 && look.assessment.forks.is_empty(), "{partition}");
            let end = truth["endOffset"].as_u64().unwrap();
            for candidate in &look.assessment.candidates {
                assert_eq!((candidate.lost.len(), candidate.keeps()), (0, end), "{partition}");
                assert!(candidate.followers.iter().all(|it| it.followed.cut_to().is_none()), "{partition}");
                assert!(
                    candidate.followers.iter().all(|it| it.followed.end == end && it.differs.is_empty()),
                    "{partition}"
                );
            }
            assert!(look.situation.replicas.iter().all(|replica| replica.high_watermark == Some(end)), "{partition}");
            assert!(!look.assessment.surely_loses() && look.assessment.gone.is_empty(), "{partition}");
            partitions += 1;
        }
    }
    println!("after: {partitions} partitions");
    assert_eq!(partitions, 8);
}

/// Plays on from the directories what the cluster did next: the old leader comes back, and follows.
#[test]
fn played_on_from_the_directories_the_old_leader_cuts_where_it_did() {
    let Some(case) = case("07-failover-divergence") else { return };
    for partition in ["div-0", "div-1"] {
        let log_dirs = log_dirs_below(&case.data().join("before"));
        let dirs: Vec<PathBuf> = log_dirs.iter().map(|dir| dir.join(partition)).filter(|dir| dir.is_dir()).collect();
        let replicas: Vec<ReplicaDir> = dirs.iter().map(|dir| ReplicaDir::open(dir).unwrap()).collect();
        let newest = cluster_metadata::choose(log_dirs.iter().map(PathBuf::as_path)).believed;
        let rules = Rules::of(Era::Elr, 3);
        let initial = Initial::read(&replicas, &Knowledge::read(&log_dirs, newest), &rules).unwrap().unwrap();
        let old = u8::try_from(initial.brokers.iter().position(|broker| *broker == Some(1)).unwrap()).unwrap();
        let leader = initial.state.controller.leader.unwrap();
        // The others never went away: they are as they were, but that nobody has told them of it.
        let mut events = vec![Event::Start(old), Event::Unfence(old)];
        for broker in initial.state.controller.unfenced.iter().filter(|broker| *broker != leader) {
            events.extend([Event::Fence(broker), Event::Start(broker), Event::Unfence(broker)]);
        }
        events.extend([Event::Fence(leader), Event::Start(leader), Event::Unfence(leader)]);
        events.extend((0..3).map(Event::Metadata));
        events.extend([Event::Fetch { broker: old, lost: false }; 3]);
        let timeline = play(&rules, initial.state.clone(), &events).unwrap();
        let cuts: Vec<i64> = timeline
            .rows
            .iter()
            .flat_map(|row| &row.effects)
            .filter_map(|effect| match effect {
                Effect::Cut { broker, to, .. } if *broker == old => {
                    Some(initial.places[usize::try_from(*to).unwrap()].get())
                }
                _ => None,
            })
            .collect();
        let first_lost = i64::try_from(lost_in_truth(&case, partition)[0]).unwrap();
        assert_eq!(cuts, [first_lost], "{partition}");
        assert_eq!(timeline.last().replica(old).log, timeline.last().replica(leader).log, "{partition}");
        assert!(timeline.at_end.is_empty(), "what was committed is kept: {:?}", timeline.at_end);
    }
}

/// A killed broker's checkpoint is older than its log: what all in sync have may be committed, what they lack is not.
#[test]
fn with_old_high_watermarks_a_member_of_the_isr_is_still_the_best_choice() {
    let Some(case) = case("07-failover-divergence") else { return };
    let before = case.data().join("before");
    for dir in log_dirs_below(&before) {
        let path = dir.join("replication-offset-checkpoint");
        let text = std::fs::read_to_string(&path).unwrap();
        let is_there = dir.join("div-1").is_dir();
        let older: Vec<&str> =
            text.lines().map(|line| if line.starts_with("div 1 ") { "div 1 45" } else { line }).collect();
        assert!(!is_there || text.contains("div 1 "), "{}", path.display());
        std::fs::write(&path, older.join("\n") + "\n").unwrap();
    }
    let look = Look::below(&before, "div-1", Era::Fetch);
    assert!([2, 3].contains(&look.best()), "not the old leader, whose records nobody in sync has: {}", look.best());
    let choice = look.assessment.choice.as_ref().unwrap();
    assert_eq!(choice.is_unclean, Some(false));
    assert_eq!((look.leader(1).loses_committed(), look.leader(1).loses_perhaps_committed()), (0, 5));
    assert_eq!((look.leader(2).loses_unreplicated(), look.leader(2).loses_perhaps_committed()), (10, 0));
    // Without one of them it is said that it was not looked at.
    for dir in log_dirs_below(&before).iter().filter(|dir| dir.join("div-1").is_dir()) {
        if dir.parent().is_some_and(|node| node.ends_with("n2")) {
            std::fs::remove_dir_all(dir.join("div-1")).unwrap();
        }
    }
    let look = Look::below(&before, "div-1", Era::Fetch);
    assert_eq!(look.situation.not_looked_at(), [(2, true)]);
}
