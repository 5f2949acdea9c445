use super::*;

fn topics(count: u32) -> BTreeMap<String, u32> {
    BTreeMap::from([("t".to_owned(), count)])
}

fn joining(attendance: &Attendance, assignors: &[ClientAssignor]) -> Join {
    Join {
        id: attendance.id().to_owned(),
        instance_id: attendance.instance_id().map(str::to_owned),
        client_id: "logdir".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        assignors: assignors.to_vec(),
        interest: attendance.interest(),
        presence: None,
    }
}

struct Bench {
    group: Membership,
    members: Vec<Attendance>,
    assignors: Vec<ClientAssignor>,
}

impl Bench {
    fn new(assignor: ClientAssignor) -> Bench {
        Bench { group: Membership::default(), members: Vec::new(), assignors: vec![assignor] }
    }

    fn add(&mut self, id: &str, instance_id: Option<&str>) {
        let instance_id = instance_id.map(str::to_owned);
        let attendance = Attendance::new(id, instance_id, &self.assignors, Interest::of_topics(["t"]));
        self.group.join(joining(&attendance, &self.assignors), 0).unwrap();
        self.members.push(attendance);
    }

    /// Everybody does what is asked of it until nothing is.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.group.complete(&topics(4), 1);
            let mut is_quiet = true;
            for member in &mut self.members {
                match member.look(&self.group) {
                    Demand::Nothing => continue,
                    Demand::Lost(_) => continue,
                    Demand::Take { .. } => member.take(&self.group),
                    Demand::Join { give_up } => {
                        member.release(&give_up);
                        self.group.join(joining(member, &self.assignors), 2).unwrap();
                        member.joined();
                    }
                }
                is_quiet = false;
            }
            if is_quiet && self.group.state() != State::PreparingRebalance {
                return;
            }
        }
        panic!("does not settle: {:?}", self.group);
    }

    fn sizes(&self) -> Vec<usize> {
        self.members.iter().map(|member| member.owned().len()).collect()
    }
}

#[test]
fn members_come_and_go_and_all_partitions_are_read() {
    for assignor in ClientAssignor::ALL {
        let mut bench = Bench::new(assignor);
        bench.add("a", None);
        bench.settle();
        assert_eq!((bench.sizes(), bench.group.generation()), (vec![4], 1), "{assignor:?}");
        bench.add("b", None);
        bench.settle();
        // The cooperative protocol takes a second round to hand over.
        let generation = if assignor == ClientAssignor::CooperativeSticky { 3 } else { 2 };
        assert_eq!((bench.sizes(), bench.group.generation()), (vec![2, 2], generation), "{assignor:?}");
        assert_eq!(bench.group.leader(), Some("a"));
        assert!(bench.group.check("a", None, 1).is_err());
        assert!(bench.group.check("a", None, generation).is_ok());
        assert!(bench.group.leave("a", 5));
        assert!(matches!(bench.members[0].look(&bench.group), Demand::Lost(Fenced::UnknownMember { .. })));
        bench.members.remove(0);
        bench.settle();
        assert_eq!((bench.sizes(), bench.group.leader()), (vec![4], Some("b")), "{assignor:?}");
        let record = bench.group.record(9).unwrap();
        assert_eq!((record.members.len(), record.state()), (1, "Stable"));
        assert_eq!(record.members[0].parse_assignment().unwrap().partitions.len(), 4);
        assert!(bench.group.leave("b", 9));
        assert!(bench.group.complete(&topics(4), 9), "an empty group is a generation too");
        assert_eq!(bench.group.state(), State::Empty);
        let record = bench.group.record(9).unwrap();
        assert_eq!((record.protocol, record.leader, record.state_ms), (None, None, Some(9)));
    }
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut bench = Bench::new(ClientAssignor::Range);
    bench.add("a-1", Some("a"));
    bench.add("b-1", Some("b"));
    bench.settle();
    let generation = bench.group.generation();
    let had = bench.members[0].owned().clone();
    assert!(!bench.group.leave("a-1", 5), "it does not leave");
    let old = bench.members.remove(0);
    let back = Attendance::new("a-2", Some("a".to_owned()), &bench.assignors, Interest::of_topics(["t"]));
    assert_eq!(bench.group.join(joining(&back, &bench.assignors), 6), Ok(Joined::Replaced));
    bench.members.push(back);
    bench.settle();
    assert_eq!((bench.group.generation(), bench.members[1].owned()), (generation, &had));
    assert!(matches!(old.look(&bench.group), Demand::Lost(Fenced::FencedInstance { .. })));
    assert!(matches!(bench.group.check("a-1", Some("a"), generation), Err(Fenced::FencedInstance { .. })));

    // Over a restart of everything the record remembers it.
    let record = bench.group.record(7).unwrap();
    let mut loaded = Membership::of_record(&record, 8);
    assert_eq!((loaded.state(), loaded.generation()), (State::Stable, generation));
    let again = Attendance::new("b-2", Some("b".to_owned()), &bench.assignors, Interest::of_topics(["t"]));
    assert_eq!(loaded.join(joining(&again, &bench.assignors), 9), Ok(Joined::Replaced));
    assert_eq!(again.look(&loaded), {
        let added = loaded.member("b-2").unwrap().assignment.iter().cloned().collect();
        Demand::Take { revoked: BTreeSet::new(), lost: BTreeSet::new(), added }
    });
}

#[test]
fn who_does_not_join_in_time_is_out() {
    let mut bench = Bench::new(ClientAssignor::RoundRobin);
    bench.add("a", None);
    bench.settle();
    bench.add("b", None);
    assert!(!bench.group.complete(&topics(4), 59_999), "a has not joined");
    assert!(bench.group.complete(&topics(4), 60_000));
    assert_eq!(bench.group.members().keys().collect::<Vec<_>>(), ["b"]);
    assert!(matches!(bench.members[0].look(&bench.group), Demand::Lost(_)));
}

#[test]
fn assignors_have_to_agree() {
    let mut bench = Bench::new(ClientAssignor::Range);
    bench.add("a", None);
    let other = Attendance::new("b", None, &[ClientAssignor::Sticky], Interest::of_topics(["t"]));
    let refused = bench.group.join(joining(&other, &[ClientAssignor::Sticky]), 0).unwrap_err();
    let told = "the other members of the group know none of the assignors sticky: theirs are range";
    assert_eq!(refused.to_string(), told);
    let both = [ClientAssignor::Sticky, ClientAssignor::Range];
    assert!(bench.group.join(joining(&other, &both), 0).is_ok());
}

#[test]
fn new_partitions_are_one_rebalance() {
    let mut bench = Bench::new(ClientAssignor::CooperativeSticky);
    bench.add("a", None);
    bench.add("b", None);
    bench.settle();
    assert!(!bench.group.refresh(&topics(4), 3));
    let other = BTreeMap::from([("t".to_owned(), 4), ("unrelated".to_owned(), 1)]);
    assert!(!bench.group.refresh(&other, 3));
    assert!(bench.group.refresh(&topics(6), 3));
    assert_eq!(bench.group.state(), State::PreparingRebalance);
}

/// The successor took what its predecessor had in the generation that was ending, while the others waited for no more joins:
/// a moment later somebody else was to read it.
#[test]
fn a_static_member_that_comes_back_during_a_rebalance_waits_for_its_end() {
    let mut bench = Bench::new(ClientAssignor::Range);
    bench.add("a-1", Some("a"));
    bench.settle();
    bench.members.clear();
    bench.add("b-1", Some("b"));
    assert_eq!(bench.group.state(), State::PreparingRebalance);
    bench.add("a-2", Some("a"));
    assert_eq!(bench.members[1].look(&bench.group), Demand::Nothing);
    bench.settle();
    assert_eq!((bench.sizes(), bench.group.generation()), (vec![2, 2], 2));
}

/// What the predecessor had to let go of was given to nobody, and its successor did not know of it: nobody read it.
#[test]
fn a_static_member_comes_back_for_one_that_had_to_let_go() {
    let mut bench = Bench::new(ClientAssignor::CooperativeSticky);
    bench.add("a-1", Some("a"));
    bench.settle();
    bench.add("b-1", Some("b"));
    bench.group.join(joining(&bench.members[0], &bench.assignors), 2).unwrap();
    assert!(bench.group.complete(&topics(4), 3), "b has nothing yet, a is to let go of two");
    bench.members.remove(0);
    bench.add("a-2", Some("a"));
    bench.settle();
    assert_eq!((bench.sizes(), bench.group.generation()), (vec![2, 2], 3));
}

/// It would have committed, in the generation of those that read on in its place, how far it had come itself.
#[test]
fn a_static_member_that_missed_a_rebalance_loses_what_it_did_not_tell_of() {
    let mut bench = Bench::new(ClientAssignor::CooperativeSticky);
    bench.add("a-1", Some("a"));
    bench.settle();
    bench.add("b-1", Some("b"));
    assert!(bench.group.complete(&topics(4), 60_000), "a has not joined");
    let assigned: BTreeSet<_> = bench.group.member("a-1").unwrap().assignment.iter().cloned().collect();
    assert_eq!(assigned.len(), 2, "and is in the group all the same");
    let lost = bench.members[0].owned().clone();
    assert_eq!(lost.len(), 4);
    let demand = Demand::Take { revoked: BTreeSet::new(), lost, added: assigned };
    assert_eq!(bench.members[0].look(&bench.group), demand);
    bench.settle();
    assert_eq!(bench.sizes(), [2, 2]);
}
