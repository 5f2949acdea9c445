//! Waves of plans: all of the plan and nothing else, within their limits, and never more on a disk than it holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use logdir::reassign::changes::{Change, Layout, Place, settled};
use logdir::reassign::cluster::{Assignment, Broker, BrokerIndex, BrokerState, Cluster, Disk, Topic};
use logdir::reassign::inventory::Inventory;
use logdir::reassign::waves::{Limits, Wave, waves};
use proptest::prelude::*;

/// A cluster, and what it is to become.
#[derive(Debug, Clone)]
struct Case {
    cluster: Cluster,
    after: Assignment,
    disks: Vec<Option<u16>>,
}

impl Case {
    fn changes(&self) -> Vec<Change> {
        Change::all(&self.cluster, self.layout())
    }

    fn layout(&self) -> Layout<'_> {
        Layout { assignment: &self.after, disks: &self.disks }
    }
}

/// Bytes on each disk of each broker.
type Used = BTreeMap<Place, u64>;

fn used(cluster: &Cluster, layout: Layout<'_>) -> Used {
    let mut used = Used::new();
    for partition in 0..cluster.partitions() {
        for place in layout.places(cluster, partition) {
            *used.entry(place).or_default() += cluster.sizes[partition];
        }
    }
    used
}

/// A replica by broker and disk, from two numbers that may be any.
fn list(raw: &[(u16, u16)], brokers: u16, disks: u16) -> (Vec<BrokerIndex>, Vec<Option<u16>>) {
    let mut list: Vec<(BrokerIndex, Option<u16>)> = Vec::new();
    for (broker, disk) in raw {
        let broker = BrokerIndex(broker % brokers);
        if list.iter().all(|(it, _)| *it != broker) {
            list.push((broker, Some(disk % disks)));
        }
    }
    list.into_iter().unzip()
}

prop_compose! {
    fn case()(brokers in 2u16..6, disks in 1u16..4, spare in 0u64..60)(
        partitions in prop::collection::vec(
            (0u64..40, prop::collection::vec((0u16..99, 0u16..99), 1..4), prop::collection::vec((0u16..99, 0u16..99), 1..4)),
            0..40,
        ),
        brokers in Just(brokers), disks in Just(disks), spare in Just(spare),
    ) -> Case {
        let (mut current, mut after) = (Assignment::new(), Assignment::new());
        let (mut current_disks, mut after_disks, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for (size, old, new) in &partitions {
            let (replicas, places) = list(old, brokers, disks);
            current.push(&replicas);
            current_disks.extend(places);
            let (replicas, places) = list(new, brokers, disks);
            after.push(&replicas);
            after_disks.extend(places);
            sizes.push(*size);
        }
        let broker = |id: u16| Broker {
            id: i32::from(id),
            rack: None,
            state: BrokerState::Keep,
            disks: (0..disks).map(|disk| Disk { path: format!("/d{disk}"), capacity: None }).collect(),
        };
        let mut cluster = Cluster {
            brokers: (0..brokers).map(broker).collect(),
            topics: vec![Topic { name: "t".to_owned(), partitions: 0..sizes.len() }],
            sizes,
            current,
            disks: current_disks,
        };
        let disks = settled(&cluster, &after, &after_disks);
        // Room for what is there and for what is to come, and little more.
        let (now, then) = (used(&cluster, Layout::current(&cluster)), used(&cluster, Layout { assignment: &after, disks: &disks }));
        for (broker, index) in cluster.brokers.iter_mut().zip(0u16..) {
            for (disk, number) in broker.disks.iter_mut().zip(0u16..) {
                let place = Place { broker: BrokerIndex(index), disk: Some(number) };
                let of = |used: &Used| used.get(&place).copied().unwrap_or(0);
                disk.capacity = Some(of(&now).max(of(&then)) + spare);
            }
        }
        Case { cluster, after, disks }
    }
}

/// Goes through waves as a cluster does: first all that is new, then what is given up goes. Answers what is used at the end.
fn go_through(case: &Case, changes: &[Change], waves: &[Wave]) -> Used {
    let mut used = used(&case.cluster, Layout::current(&case.cluster));
    for wave in waves {
        for change in wave.changes.iter().map(|number| &changes[*number]) {
            for gain in &change.gains {
                let bytes = used.entry(*gain).or_default();
                *bytes += change.bytes;
                let disks = &case.cluster.brokers[gain.broker.at()].disks;
                let capacity = disks[usize::from(gain.disk.unwrap())].capacity.unwrap();
                assert!(*bytes <= capacity || change.bytes == 0, "{gain:?}: {bytes} of {capacity}");
            }
        }
        for change in wave.changes.iter().map(|number| &changes[*number]) {
            change.leaves.iter().for_each(|leave| *used.get_mut(leave).unwrap() -= change.bytes);
        }
    }
    used
}

/// What has something on it.
fn filled(used: Used) -> Used {
    used.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn waves_come_to_the_plan_and_never_overfill_a_disk(
        case in case(),
        bytes in prop::option::of(1u64..120),
        partitions in prop::option::of(1usize..8),
        per_broker in prop::option::of(1usize..5),
    ) {
        let changes = case.changes();
        let limits = Limits { bytes, partitions, per_broker, headroom: 0.0 };
        let (done, stuck) = match waves(&case.cluster, &changes, &limits) {
            Ok(waves) => (waves, None),
            Err(no_room) => (no_room.waves.clone(), Some(no_room)),
        };
        let again = waves(&case.cluster, &changes, &limits).unwrap_or_else(|no_room| no_room.waves);
        prop_assert_eq!(&again, &done);
        for wave in &done {
            let of_wave = || wave.changes.iter().map(|number| &changes[*number]);
            prop_assert!(!wave.changes.is_empty());
            prop_assert!(partitions.is_none_or(|most| wave.changes.len() <= most));
            let copied: u64 = of_wave().map(|change| change.bytes * change.gains.len() as u64).sum();
            prop_assert_eq!(copied, wave.bytes);
            prop_assert!(wave.changes.len() == 1 || bytes.is_none_or(|most| copied <= most));
            for broker in (0..case.cluster.brokers.len()).map(|at| BrokerIndex(u16::try_from(at).unwrap())) {
                let takes_part = |change: &&Change| change.gains.iter().chain(&change.leaves).any(|it| it.broker == broker);
                prop_assert!(per_broker.is_none_or(|most| of_wave().filter(takes_part).count() <= most));
                let inflow: u64 = of_wave().flat_map(|it| it.gains.iter().filter(|gain| gain.broker == broker).map(|_| it.bytes)).sum();
                prop_assert!(wave.largest_flow >= inflow);
            }
        }
        let used = go_through(&case, &changes, &done);
        let mut in_waves: Vec<usize> = done.iter().flat_map(|wave| wave.changes.clone()).collect();
        in_waves.sort_unstable();
        match stuck {
            None => {
                prop_assert_eq!(in_waves, (0..changes.len()).collect::<Vec<_>>());
                prop_assert_eq!(filled(used), filled(self::used(&case.cluster, case.layout())));
            }
            Some(no_room) => {
                prop_assert_eq!(in_waves.len() + no_room.stuck, changes.len());
                let mut least = u64::MAX;
                for change in (0..changes.len()).filter(|it| in_waves.binary_search(it).is_err()).map(|it| &changes[it]) {
                    let lacking = change.gains.iter().map(|gain| {
                        let disk = &case.cluster.brokers[gain.broker.at()].disks[usize::from(gain.disk.unwrap())];
                        (used.get(gain).copied().unwrap_or(0) + change.bytes).saturating_sub(disk.capacity.unwrap())
                    });
                    let lacking = lacking.max().unwrap_or(0);
                    prop_assert!(lacking > 0, "{:?} could go", change);
                    least = least.min(lacking);
                }
                prop_assert_eq!(least, no_room.lacking);
            }
        }
    }
}

#[test]
fn two_full_disks_cannot_exchange_and_the_error_says_what_is_lacking() {
    let disk = |path: &str| vec![Disk { path: path.to_owned(), capacity: Some(100) }];
    let broker = |id: i32| Broker { id, rack: None, state: BrokerState::Keep, disks: disk(&format!("/d{id}")) };
    let mut current = Assignment::new();
    current.push(&[BrokerIndex(0)]);
    current.push(&[BrokerIndex(1)]);
    let cluster = Cluster {
        brokers: vec![broker(1), broker(2)],
        topics: vec![Topic { name: "t".to_owned(), partitions: 0..2 }],
        sizes: vec![90, 70],
        current,
        disks: Vec::new(),
    };
    let mut after = Assignment::new();
    after.push(&[BrokerIndex(1)]);
    after.push(&[BrokerIndex(0)]);
    let changes = Change::all(&cluster, Layout { assignment: &after, disks: &[] });
    let no_room = waves(&cluster, &changes, &Limits::default()).unwrap_err();
    assert_eq!(
        (no_room.stuck, no_room.told(&Inventory::of(cluster.clone())).as_str()),
        (2, "/d2 of broker 2 lacks 60 bytes for t-0")
    );
}

/// A hundred thousand partitions of which a third move, as brokers join that have room for them.
#[test]
fn many_partitions_take_a_moment() {
    let (brokers, joining) = (100u16, 50u16);
    let size = |partition: usize| 1 + (partition as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000;
    let broker = |id: u16| Broker {
        id: i32::from(id),
        rack: None,
        state: BrokerState::Keep,
        disks: vec![Disk { path: "/d".to_owned(), capacity: Some(3_000_000) }],
    };
    let (mut current, mut after) = (Assignment::new(), Assignment::new());
    let sizes: Vec<u64> = (0..100_000).map(size).collect();
    for partition in 0..sizes.len() {
        let first = u16::try_from(partition % usize::from(brokers)).unwrap();
        let old = [0, 1, 2].map(|it| BrokerIndex((first + it) % brokers));
        let new = BrokerIndex(brokers + u16::try_from(partition % usize::from(joining)).unwrap());
        current.push(&old);
        after.push(&[old[0], old[1], new]);
    }
    let cluster = Cluster {
        brokers: (0..brokers + joining).map(broker).collect(),
        topics: vec![Topic { name: "t".to_owned(), partitions: 0..sizes.len() }],
        sizes,
        current,
        disks: Vec::new(),
    };
    let changes = Change::all(&cluster, Layout { assignment: &after, disks: &[] });
    let limits = Limits { bytes: Some(100_000), ..Limits::default() };
    let waves = waves(&cluster, &changes, &limits).unwrap();
    assert_eq!(waves.iter().map(|wave| wave.changes.len()).sum::<usize>(), changes.len());
    let total: u64 = changes.iter().map(|change| change.bytes).sum();
    // Waves are nearly full.
    assert!(waves.len() as u64 <= total / 100_000 * 11 / 10 + 1, "{} waves for {total} bytes", waves.len());
}
