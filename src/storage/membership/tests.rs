use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use super::*;
use crate::schema::coordinator::group::ClassicGroup;
use crate::storage::log_dir::LogDir;
use crate::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use crate::types::{Offset, Uuid};

fn session() -> SessionOptions {
    SessionOptions { config: LogConfig::default(), durability: Durability::Synced, allow_truncate: false }
}

fn log_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut session = AppendSession::open(dir.path(), session()).unwrap();
    let partitions: Vec<_> = (0..3).map(|number| TopicPartition::new("__consumer_offsets", number)).collect();
    session.create_partitions(&partitions, Uuid([7; 16])).unwrap();
    session.close(now_ms()).unwrap();
    dir
}

fn member_with(dir: &Path, change: impl FnOnce(&mut MemberOptions)) -> GroupMember {
    let mut options = MemberOptions {
        group: "g".to_owned(),
        client_id: "logdir".to_owned(),
        instance_id: None,
        assignors: vec![ClientAssignor::Range, ClientAssignor::CooperativeSticky],
        session_timeout: Duration::from_millis(400),
        max_poll_interval: Duration::from_secs(60),
        rack: None,
    };
    change(&mut options);
    let log = GroupLog::find(&[LogDir::open(dir).unwrap()], None, session()).unwrap();
    GroupMember::new(log, options).unwrap()
}

fn member(dir: &Path) -> GroupMember {
    member_with(dir, |_| {})
}

fn offer() -> Offer {
    Offer { counts: BTreeMap::from([("t".to_owned(), 4)]), wanted: BTreeSet::from(["t".to_owned()]) }
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn at(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset::new(offset),
        leader_epoch: None,
        metadata: String::new(),
        commit_ms: now_ms(),
        expire_ms: None,
        topic_id: None,
    }
}

/// Polls until nothing happens any more; what is asked for is given up at offset `give_up_at`.
fn settle(member: &mut GroupMember, give_up_at: i64) -> Vec<Polled> {
    let mut seen = Vec::new();
    let mut given_up: Option<GivenUp> = None;
    loop {
        let polled = member.poll(given_up.take().as_ref(), &mut offer).unwrap();
        match &polled {
            Polled::Nothing if !member.is_due => return seen,
            Polled::Nothing => continue,
            Polled::Revoke(partitions) => {
                given_up = Some(partitions.iter().map(|it| (it.clone(), Some(at(give_up_at)))).collect());
            }
            _ => {}
        }
        seen.push(polled);
    }
}

fn record(dir: &Path) -> ClassicGroup {
    let mut remarks = Remarks::default();
    let read = crate::storage::coordinator::groups::GroupCoordinator::read(&[LogDir::open(dir).unwrap()], &mut remarks);
    assert!(remarks.failures.is_empty());
    match &read.group("g").unwrap().protocol {
        Protocol::Classic(classic) => classic.clone(),
        other => panic!("{other:?}"),
    }
}

fn files(dir: &Path) -> usize {
    let named = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".logdir-group");
    std::fs::read_dir(dir).unwrap().flatten().map(named).filter(|it| *it).count()
}

#[test]
fn members_share_partitions_and_go_on_where_the_other_was() {
    let dir = log_dir();
    let mut first = member(dir.path());
    settle(&mut first, 0);
    assert_eq!((first.owned().len(), first.generation(), first.assignor()), (4, 1, Some(ClientAssignor::Range)));
    assert!(first.is_settled());
    assert_eq!(first.commit(&BTreeMap::from([(partition(3), at(30))])).unwrap(), Ok(()));

    let mut second = member(dir.path());
    settle(&mut second, 0);
    assert_eq!(second.owned().len(), 0, "the first one has to give up first");
    assert!(!second.is_settled());
    settle(&mut first, 20);
    let seen = settle(&mut second, 0);
    let Some(Polled::Assigned(assigned)) = seen.last() else { panic!("{seen:?}") };
    let offsets: Vec<_> =
        assigned.added.iter().map(|(it, offset)| (it.partition, offset.as_ref().unwrap().offset.get())).collect();
    // All of them were given up at 20: the eager protocol of the range assignor.
    assert!(offsets == [(2, 20), (3, 20)] || offsets == [(0, 20), (1, 20)], "{offsets:?}");
    settle(&mut first, 0);
    assert_eq!((first.owned().len(), second.owned().len(), second.generation()), (2, 2, 2));
    let record = record(dir.path());
    assert_eq!((record.generation, record.members.len(), record.state()), (2, 2, "Stable"));

    // One leaves: the other has everything.
    first.leave().unwrap();
    settle(&mut second, 5);
    assert_eq!((second.owned().len(), second.generation()), (4, 3));
    second.leave().unwrap();
    let record = self::record(dir.path());
    assert_eq!((record.generation, record.members.len(), record.state()), (4, 0, "Empty"));
    assert_eq!(files(dir.path()), 0);
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn who_is_gone_without_a_word_is_out_at_once_and_static_members_are_waited_for() {
    let dir = log_dir();
    let mut stays = member(dir.path());
    settle(&mut stays, 0);
    let mut dynamic = member(dir.path());
    settle(&mut dynamic, 0);
    settle(&mut stays, 0);
    settle(&mut dynamic, 0);
    assert_eq!(stays.owned().len(), 2);
    drop(dynamic);
    stays.next_tend_ms = 0;
    settle(&mut stays, 0);
    assert_eq!(stays.owned().len(), 4);

    let named = |options: &mut MemberOptions| options.instance_id = Some("named".to_owned());
    let mut fixed = member_with(dir.path(), named);
    settle(&mut fixed, 0);
    settle(&mut stays, 0);
    settle(&mut fixed, 0);
    let (had, generation) = (fixed.owned().clone(), fixed.generation());
    assert_eq!(had.len(), 2);
    let former = fixed.id().to_owned();
    drop(fixed);
    stays.next_tend_ms = 0;
    settle(&mut stays, 0);
    assert_eq!((stays.owned().len(), stays.generation()), (2, generation), "it may come back");
    let mut back = member_with(dir.path(), named);
    let seen = settle(&mut back, 0);
    assert_eq!((back.owned(), back.generation()), (&had, generation), "{seen:?}");
    assert_ne!(back.id(), former);
    drop(back);
    let started = Instant::now();
    while stays.owned().len() < 4 && started.elapsed() < Duration::from_secs(20) {
        settle(&mut stays, 0);
        sleep(Duration::from_millis(10));
    }
    assert_eq!(stays.owned().len(), 4, "it did not come back in time");
}

#[test]
fn who_does_not_poll_is_out_and_its_commits_count_no_more() {
    let dir = log_dir();
    let quick = |options: &mut MemberOptions| options.max_poll_interval = Duration::from_millis(50);
    let mut busy = member_with(dir.path(), quick);
    settle(&mut busy, 0);
    let mut other = member_with(dir.path(), quick);
    let started = Instant::now();
    while other.owned().len() < 4 && started.elapsed() < Duration::from_secs(20) {
        settle(&mut other, 0);
        sleep(Duration::from_millis(10));
    }
    assert_eq!(other.owned().len(), 4);
    let refused = busy.commit(&BTreeMap::from([(partition(0), at(99))])).unwrap();
    assert!(matches!(refused, Err(Fenced::UnknownMember { .. })), "{refused:?}");
    let seen = settle(&mut busy, 0);
    assert!(matches!(&seen[0], Polled::Lost(Fenced::UnknownMember { .. })), "{seen:?}");
    settle(&mut other, 7);
    let seen = settle(&mut busy, 0);
    let Some(Polled::Assigned(assigned)) = seen.last() else { panic!("{seen:?}") };
    assert!(assigned.added.values().all(|offset| offset.as_ref().unwrap().offset.get() == 7), "{assigned:?}");
}

#[test]
fn a_group_that_everybody_was_killed_of_starts_from_its_record() {
    let dir = log_dir();
    let mut first = member(dir.path());
    settle(&mut first, 0);
    let _ = first.commit(&BTreeMap::from([(partition(1), at(11))])).unwrap();
    drop(first);
    assert_eq!(record(dir.path()).members.len(), 1, "it stands there still");
    assert_eq!(files(dir.path()), 2);
    let mut next = member(dir.path());
    let seen = settle(&mut next, 0);
    assert_eq!((next.generation(), next.owned().len()), (2, 4));
    let Some(Polled::Assigned(assigned)) = seen.last() else { panic!("{seen:?}") };
    let offsets: Vec<_> = assigned.added.values().map(|offset| offset.as_ref().map(|it| it.offset.get())).collect();
    assert_eq!(offsets, [None, Some(11), None, None]);
    assert_eq!(record(dir.path()).members.len(), 1);
}

#[test]
fn in_the_cooperative_protocol_only_what_moves_is_given_up() {
    let dir = log_dir();
    let cooperative = |options: &mut MemberOptions| options.assignors = vec![ClientAssignor::CooperativeSticky];
    let mut first = member_with(dir.path(), cooperative);
    settle(&mut first, 0);
    let mut second = member_with(dir.path(), cooperative);
    settle(&mut second, 0);
    let seen = settle(&mut first, 40);
    let revoked: Vec<_> =
        seen.iter().filter_map(|it| if let Polled::Revoke(it) = it { Some(it.len()) } else { None }).collect();
    assert_eq!(revoked, [2], "{seen:?}");
    let seen = settle(&mut second, 0);
    let Some(Polled::Assigned(assigned)) = seen.last() else { panic!("{seen:?}") };
    assert!(assigned.added.len() == 2 && assigned.added.values().flatten().all(|it| it.offset.get() == 40), "{seen:?}");
    assert_eq!((first.owned().len(), second.owned().len()), (2, 2));
}

#[test]
fn new_partitions_and_topics_are_one_rebalance_each() {
    let dir = log_dir();
    let mut first = member(dir.path());
    settle(&mut first, 0);
    let mut second = member(dir.path());
    settle(&mut second, 0);
    settle(&mut first, 0);
    settle(&mut second, 0);
    let before = first.generation();
    let settle_all = |first: &mut GroupMember, second: &mut GroupMember, offer: &dyn Fn() -> Offer| {
        let mut given_up: [Option<GivenUp>; 2] = [None, None];
        for _ in 0..10 {
            for (number, member) in [&mut *first, &mut *second].into_iter().enumerate() {
                // As if the time for it had come.
                member.listed_ms = TimestampMs::MIN;
                let polled = member.poll(given_up[number].take().as_ref(), &mut || offer()).unwrap();
                if let Polled::Revoke(partitions) = polled {
                    given_up[number] = Some(partitions.into_iter().map(|it| (it, None)).collect());
                }
            }
        }
    };
    let grown = || Offer { counts: BTreeMap::from([("t".to_owned(), 6)]), ..offer() };
    settle_all(&mut first, &mut second, &grown);
    assert_eq!((first.owned().len(), second.owned().len()), (3, 3));
    assert_eq!((first.generation(), second.generation()), (before + 1, before + 1));
    let more = || Offer {
        counts: BTreeMap::from([("t".to_owned(), 6), ("u".to_owned(), 2)]),
        wanted: BTreeSet::from(["t".to_owned(), "u".to_owned()]),
    };
    settle_all(&mut first, &mut second, &more);
    assert_eq!((first.owned().len(), second.owned().len()), (4, 4));
    assert!(first.generation() <= before + 3, "both learn of it one after the other: {}", first.generation());
    assert!(first.is_settled() && second.is_settled());
}
