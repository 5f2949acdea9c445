//! The assignors of consumer groups, compared with what those of Kafka 4.3.0 chose.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use logdir::group::assignor::{ClientAssignor, GroupAssignment, Member, ServerAssignor, ServerMember, Topics};
use logdir::types::{TopicPartition, Uuid};
use serde_json::Value as Json;
use support::{ints, list, text};

fn narrow(number: i64) -> i32 {
    i32::try_from(number).unwrap()
}

fn words(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn word(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn topics(case: &Json) -> Topics {
    let mut topics = Topics::new();
    for topic in list(case, "topics") {
        let replicas = |racks: &Json| racks.as_array().unwrap().iter().filter_map(word).collect();
        let racks = topic["racks"].as_array().into_iter().flatten().map(replicas).collect();
        topics.insert(text(topic, "name"), u32::try_from(topic["partitions"].as_u64().unwrap()).unwrap(), racks);
    }
    topics
}

fn members(case: &Json) -> Vec<Member> {
    let member = |json: &Json| {
        let owned = json["owned"].as_object().into_iter().flatten();
        let generation = json["generation"].as_i64().map(narrow);
        Member {
            instance: word(&json["instance"]),
            rack: word(&json["rack"]),
            owned: owned
                .flat_map(|(topic, list)| ints(list).into_iter().map(move |n| TopicPartition::new(topic, narrow(n))))
                .collect(),
            generation,
            subscription_generation: generation,
            ..Member::new(text(json, "id"), words(&json["topics"]))
        }
    };
    list(case, "members").iter().map(member).collect()
}

/// What each member has, without topics of which it has nothing.
type Flat = BTreeMap<String, BTreeMap<String, Vec<i32>>>;

fn expected(case: &Json) -> Flat {
    let of_topics = |topics: &Json| {
        let topics = topics.as_object().unwrap().iter();
        let topics =
            topics.map(|(topic, list)| (topic.clone(), ints(list).into_iter().map(narrow).collect::<Vec<_>>()));
        topics.filter(|(_, list)| !list.is_empty()).collect()
    };
    case["assignment"].as_object().unwrap().iter().map(|(member, topics)| (member.clone(), of_topics(topics))).collect()
}

fn flat<T: Ord + ToString>(assignment: &GroupAssignment<T>) -> Flat {
    let topics =
        |topics: &BTreeMap<T, Vec<i32>>| topics.iter().map(|(topic, list)| (topic.to_string(), list.clone())).collect();
    assignment.members().map(|(member, of_member)| (member.to_owned(), topics(of_member))).collect()
}

/// Everything goes to a member that wants it, to one alone, and exists; nothing is left over, but for what a
/// cooperative assignor may withhold: partitions that another member says it has.
fn valid(case: &Json, assignment: &Flat) {
    let id = &case["id"];
    let cooperative = text(case, "assignor") == "cooperative-sticky";
    let mut left: BTreeSet<(String, i64)> = BTreeSet::new();
    let wanted: BTreeSet<String> = list(case, "members").iter().flat_map(|member| words(&member["topics"])).collect();
    for topic in list(case, "topics").iter().filter(|topic| wanted.contains(text(topic, "name"))) {
        left.extend((0..topic["partitions"].as_i64().unwrap()).map(|number| (text(topic, "name").to_owned(), number)));
    }
    for member in list(case, "members") {
        let wants = words(&member["topics"]);
        for (topic, partitions) in &assignment[text(member, "id")] {
            assert!(wants.contains(topic), "{id}: {} does not want {topic}", member["id"]);
            for partition in partitions {
                let taken = left.remove(&(topic.clone(), i64::from(*partition)));
                assert!(taken, "{id}: {topic}-{partition} does not exist, or is given twice");
            }
        }
    }
    let owned = |(topic, number): &(String, i64)| {
        let mut owned = list(case, "members").iter().map(|member| &member["owned"][topic]);
        owned.any(|partitions| partitions.is_array() && ints(partitions).contains(number))
    };
    left.retain(|partition| !(cooperative && owned(partition)));
    assert!(left.is_empty(), "{id}: {left:?} are given to nobody");
}

/// How many answers are those of Kafka.
#[derive(Default, Debug)]
struct Counts {
    /// Equal; Kafka gives the same answer whatever the order in its hash maps.
    stable: usize,
    /// Equal; Kafka's answer depends on that order.
    by_hash_order: usize,
    /// Kafka's own answer breaks a rule or is an exception: ours keeps the rules.
    kafka_broke_a_rule: usize,
}

fn compare_client(cases: &[&Json]) -> Counts {
    let mut counts = Counts::default();
    for case in cases {
        let id = text(case, "id");
        let assignor = ClientAssignor::from_name(text(case, "assignor")).unwrap();
        let (topics, members) = (topics(case), members(case));
        let assignment = flat(&assignor.assign(&topics, &members));
        assert_eq!(assignment.len(), members.len(), "{id}: every member is in the answer");
        valid(case, &assignment);
        if case["anomalies"].is_array() || case["error"].is_string() {
            counts.kafka_broke_a_rule += 1;
            continue;
        }
        assert_eq!(assignment, expected(case), "{id}: {:?}", case["tags"]);
        match case["stable"].as_bool().unwrap() {
            true => counts.stable += 1,
            false => counts.by_hash_order += 1,
        }
    }
    counts
}

fn server_member(json: &Json) -> ServerMember {
    let uuid = |text: &str| Uuid::parse(text).unwrap();
    let current = json["current"].as_object().into_iter().flatten();
    ServerMember {
        id: text(json, "id").to_owned(),
        instance: word(&json["instance"]),
        topics: words(&json["topics"]).iter().map(|id| uuid(id)).collect(),
        current: current.map(|(id, list)| (uuid(id), ints(list).into_iter().map(narrow).collect())).collect(),
    }
}

/// How many answers are equal, and how many groups are refused as Kafka refuses them.
fn compare_server(cases: &[&Json]) -> (usize, usize) {
    let (mut equal, mut refused) = (0, 0);
    for case in cases {
        let id = text(case, "id");
        let assignor = text(case, "assignor").strip_prefix("server-").and_then(ServerAssignor::from_name).unwrap();
        let topics = list(case, "topics").iter().map(|topic| {
            (Uuid::parse(text(topic, "id")).unwrap(), u32::try_from(topic["partitions"].as_u64().unwrap()).unwrap())
        });
        let topics: BTreeMap<Uuid, u32> = topics.collect();
        let members: Vec<ServerMember> = list(case, "members").iter().map(server_member).collect();
        match assignor.assign(&topics, &members) {
            Ok(assignment) => {
                assert_eq!(flat(&assignment), expected(case), "{id}");
                equal += 1;
            }
            Err(error) => {
                assert_eq!(case["error"], "PartitionAssignorException", "{id}: {error}");
                assert!(!topics.contains_key(&error.topic), "{id}: {error}");
                refused += 1;
            }
        }
    }
    (equal, refused)
}

#[test]
fn members_of_classic_groups_get_what_kafkas_leader_gives_them() {
    for assignor in ClientAssignor::ALL {
        let name = format!("assign-client-{}", assignor.name());
        let Some(cases) = support::lines(&name) else { return };
        let counts = compare_client(&cases.iter().collect::<Vec<_>>());
        println!("{name}: {counts:?}");
        let compared = counts.stable + counts.by_hash_order + counts.kafka_broke_a_rule;
        support::compared_all(&name, compared, cases.len());
    }
}

#[test]
fn members_of_the_brokers_groups_get_what_kafkas_broker_gives_them() {
    for assignor in ServerAssignor::ALL {
        let name = format!("assign-server-{}", assignor.name());
        let Some(cases) = support::lines(&name) else { return };
        let (equal, refused) = compare_server(&cases.iter().collect::<Vec<_>>());
        println!("{name}: {equal} equal, {refused} refused as Kafka refuses them");
        support::compared_all(&name, equal + refused, cases.len());
    }
}

/// The examples of Kafka's documentation, and small groups of every kind.
#[test]
fn the_examples_in_this_repository_come_out_as_in_kafka() {
    let cases = support::json_lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/assignors/assignors.ndjson"));
    let (server, client): (Vec<&Json>, Vec<&Json>) =
        cases.iter().partition(|case| text(case, "assignor").starts_with("server-"));
    let counts = compare_client(&client);
    let (equal, refused) = compare_server(&server);
    println!("{counts:?}, on the broker {equal} equal, {refused} refused");
    assert!(counts.stable > 30 && counts.by_hash_order > 5 && equal > 10 && refused == 2);
}
