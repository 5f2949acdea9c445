//! `groups assign`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::books::Books;
use super::write::file_problem;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::topic_not_found;
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Pipe, Problem, Ui};
use crate::cli::{Outcome, man};
use crate::group::assignor::{ClientAssignor, GroupAssignment, Member, ServerAssignor, ServerMember, Topics, moves};
use crate::storage::coordinator::groups::{Group, Protocol};
use crate::types::{TopicPartition, Uuid};

/// Show who gets which partitions, and what moves, when an assignor of Kafka decides
///
/// Of a group in these directories, with what its members have now; or of members and topics that are described. Nothing is
/// written.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups assign"))]
pub struct AssignArgs {
    /// A group: its members, their subscriptions and what they have
    #[arg(value_name = "GROUP", required_unless_present = "members")]
    group: Option<String>,
    /// Topics of all members: one of the directories, or NAME=PARTITIONS (repeatable). Default: those of the group
    #[arg(short, long, value_name = "TOPIC[=N]", value_delimiter = ',')]
    topic: Vec<String>,
    /// So many members C0, C1, ...; or a file with a JSON object a line: id, and topics, instance, rack, owned, generation
    ///
    /// For example: {"id":"C0","topics":["orders"],"owned":{"orders":[0,1]},"generation":4}
    #[arg(long, value_name = "N|FILE", conflicts_with = "group")]
    members: Option<String>,
    /// So many members more, N0, N1, ..., with the topics of the first
    #[arg(long, value_name = "N", default_value_t = 0)]
    add: usize,
    /// Without this member (repeatable)
    #[arg(long, value_name = "ID")]
    remove: Vec<String>,
    /// Who decides: range, roundrobin, sticky, cooperative-sticky; of a broker's: uniform, server-range. Default: the group's
    #[arg(long, value_name = "NAME", value_parser = assignor)]
    assignor: Option<Assignor>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

/// An assignor of either side.
#[derive(Debug, Clone, Copy)]
enum Assignor {
    Client(ClientAssignor),
    Server(ServerAssignor),
}

fn assignor(text: &str) -> Result<Assignor, String> {
    let client = ClientAssignor::from_name(text).map(Assignor::Client);
    let server = match text {
        "uniform" => Some(Assignor::Server(ServerAssignor::Uniform)),
        "server-range" => Some(Assignor::Server(ServerAssignor::Range)),
        _ => None,
    };
    let all = "range, roundrobin, sticky, cooperative-sticky, uniform, server-range";
    client.or(server).ok_or_else(|| format!("no assignor of Kafka; there are {all}"))
}

/// A line of a file of members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    id: String,
    #[serde(default)]
    topics: Vec<String>,
    instance: Option<String>,
    rack: Option<String>,
    #[serde(default)]
    owned: BTreeMap<String, Vec<i32>>,
    generation: Option<i32>,
}

/// What is decided about.
struct Case {
    members: Vec<Member>,
    /// How many partitions each topic has, with the racks of their replicas where they are known.
    topics: BTreeMap<String, (u32, Vec<Vec<String>>)>,
}

const COLUMNS: &[Column] = &[
    Column::left("MEMBER", 24),
    Column::right("PARTITIONS", 10),
    Column::right("KEPT", 5),
    Column::right("GAINED", 6),
    Column::right("LOST", 5),
    Column::left("ASSIGNMENT", 0),
];

/// Decides, and prints it.
pub fn run(args: &AssignArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let is_made_up = args.group.is_none() && args.topic.iter().all(|topic| topic.contains('='));
    let books = if is_made_up && !args.topic.is_empty() { None } else { Some(Books::open(global, ui)?) };
    let outcome = books.as_ref().map_or(Outcome::Done, Books::outcome);
    let group = match (&args.group, &books) {
        (Some(id), Some(books)) => Some(books.group(id).map_err(|problem| *problem)?),
        _ => None,
    };
    let case = case(args, books.as_ref(), group)?;
    let assignor =
        args.assignor.or_else(|| group.and_then(of_group)).unwrap_or(Assignor::Client(ClientAssignor::Range));
    let mut before = GroupAssignment::new();
    for member in &case.members {
        before.add_member(&member.id);
        member.owned.iter().for_each(|it| before.add(&member.id, it.topic.clone(), it.partition));
    }
    let after = match assignor {
        Assignor::Client(assignor) => assignor.assign(&case.known_topics(), &case.members),
        Assignor::Server(assignor) => case.assign_on_broker(assignor)?,
    };
    print(args, &before, &after, global, ui)?;
    Ok(outcome)
}

/// The assignor that a group uses.
fn of_group(group: &Group) -> Option<Assignor> {
    match &group.protocol {
        Protocol::Simple => None,
        Protocol::Classic(classic) => {
            classic.protocol.as_deref().and_then(ClientAssignor::from_name).map(Assignor::Client)
        }
        Protocol::Modern(modern) => ServerAssignor::from_name(modern.assignor()).map(Assignor::Server),
    }
}

fn case(args: &AssignArgs, books: Option<&Books>, group: Option<&Group>) -> anyhow::Result<Case> {
    let mut members = match (&args.members, group, books) {
        (Some(text), ..) => described(text)?,
        (None, Some(group), Some(books)) => of_directory(group, books)?,
        _ => Vec::new(),
    };
    let named: Vec<(&str, Option<u32>)> = args.topic.iter().map(|text| named(text)).collect::<anyhow::Result<_>>()?;
    let first = members.first().map(|member| member.topics.clone()).unwrap_or_default();
    for number in 0..args.add {
        members.push(Member::new(format!("N{number}"), first.clone()));
    }
    for id in &args.remove {
        let count = members.len();
        members.retain(|member| member.id != *id);
        if members.len() == count {
            let there: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
            let problem = Problem::new("not_found", format!("--remove: there is no member '{id}'"));
            return Err(problem.hint(format!("there are: {}", there.join(" "))).into());
        }
    }
    if !named.is_empty() {
        for member in &mut members {
            member.topics = named.iter().map(|(name, _)| (*name).to_owned()).collect();
        }
    }
    if members.is_empty() {
        let problem = Problem::new("not_found", "the group has no members");
        return Err(problem.hint("describe some with --members").into());
    }
    let wanted: BTreeSet<&String> = members.iter().flat_map(|member| &member.topics).collect();
    let mut topics = BTreeMap::new();
    for topic in wanted {
        let given = named.iter().find(|(name, _)| name == topic).and_then(|(_, count)| *count);
        let found = given.map(|count| (count, Vec::new())).or_else(|| books.and_then(|books| partitions(books, topic)));
        match found {
            Some(found) => drop(topics.insert(topic.clone(), found)),
            // What a member of a real group subscribes to need not exist.
            None if group.is_some() && named.is_empty() => {}
            None => {
                let paths = books.map(|books| books.paths.clone()).unwrap_or_default();
                let all = books.map(all_topics).unwrap_or_default();
                let all: BTreeSet<&str> = all.iter().map(String::as_str).collect();
                return Err(topic_not_found(topic, &all, &paths).into());
            }
        }
    }
    Ok(Case { members, topics })
}

fn named(text: &str) -> anyhow::Result<(&str, Option<u32>)> {
    let Some((name, count)) = text.split_once('=') else { return Ok((text, None)) };
    let bad = || Problem::usage(format!("-t {text}: '{count}' is no number of partitions"));
    let count = count.parse().map_err(|_| bad())?;
    Ok((name, Some(count)))
}

fn all_topics(books: &Books) -> BTreeSet<String> {
    let names = books.log_dirs.iter().flat_map(crate::storage::log_dir::LogDir::partitions);
    names.map(|(name, _)| name.topic_partition.topic.clone()).collect()
}

/// How many partitions a topic has, and the racks of their replicas: as the metadata knows, else by its directories.
fn partitions(books: &Books, topic: &str) -> Option<(u32, Vec<Vec<String>>)> {
    if let Some((image, known)) = books.image.as_ref().and_then(|image| Some((image, image.topic_named(topic)?))) {
        let rack = |broker: &i32| image.broker(*broker)?.rack.clone();
        let racks = known.partitions.values().map(|it| it.replicas.iter().filter_map(rack).collect()).collect();
        return Some((u32::try_from(known.partitions.len()).ok()?, racks));
    }
    let names = books.log_dirs.iter().flat_map(crate::storage::log_dir::LogDir::partitions);
    let of_topic = names.map(|(name, _)| &name.topic_partition).filter(|it| it.topic == topic);
    let highest = of_topic.map(|it| it.partition).max()?;
    Some((u32::try_from(highest).ok()? + 1, Vec::new()))
}

/// Members that are counted or described in a file.
fn described(text: &str) -> anyhow::Result<Vec<Member>> {
    if let Ok(count) = text.parse::<usize>() {
        return Ok((0..count).map(|number| Member::new(format!("C{number}"), [""; 0])).collect());
    }
    let path = Path::new(text);
    let content =
        if text == "-" { std::io::read_to_string(std::io::stdin().lock()) } else { std::fs::read_to_string(path) };
    let content = content.map_err(|error| file_problem(path, error))?;
    let mut members = Vec::new();
    for (number, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let described: Described = serde_json::from_str(line)
            .map_err(|error| Problem::new("malformed", format!("line {}: {error}", number + 1)).path(path))?;
        let owned = described.owned.iter();
        let owned = owned.flat_map(|(topic, all)| all.iter().map(|number| TopicPartition::new(topic.clone(), *number)));
        members.push(Member {
            owned: owned.collect(),
            id: described.id,
            instance: described.instance,
            rack: described.rack,
            topics: described.topics,
            generation: described.generation,
            subscription_generation: described.generation,
        });
    }
    Ok(members)
}

/// Members of a group in the directories, with what they have.
fn of_directory(group: &Group, books: &Books) -> anyhow::Result<Vec<Member>> {
    let has: HashMap<String, Vec<TopicPartition>> =
        books.members(group).into_iter().map(|member| (member.id, member.assigned.into_iter().collect())).collect();
    let owned = |id: &String| has.get(id).cloned().unwrap_or_default();
    match &group.protocol {
        Protocol::Simple => Ok(Vec::new()),
        Protocol::Classic(classic) => classic
            .members
            .iter()
            .map(|member| {
                let subscription = member.parse_subscription().map_err(|error| {
                    Problem::new("malformed", format!("subscription of member '{}': {error}", member.id))
                })?;
                Ok(Member {
                    id: member.id.clone(),
                    instance: member.instance_id.clone(),
                    rack: subscription.rack.clone(),
                    topics: subscription.topics,
                    owned: owned(&member.id),
                    generation: Some(classic.generation),
                    subscription_generation: Some(classic.generation),
                })
            })
            .collect(),
        Protocol::Modern(modern) => {
            let topics = |member: &crate::schema::coordinator::group::ModernMember| {
                let resolved = member.topic_regex.as_ref().and_then(|regex| modern.resolved.get(regex));
                let mut topics: Vec<String> =
                    member.topics.iter().chain(resolved.into_iter().flatten()).cloned().collect();
                topics.sort();
                topics.dedup();
                topics
            };
            let member = |(id, member): (&String, &crate::schema::coordinator::group::ModernMember)| Member {
                id: id.clone(),
                instance: member.instance_id.clone(),
                rack: member.rack_id.clone(),
                topics: topics(member),
                owned: owned(id),
                generation: Some(member.epoch),
                subscription_generation: Some(member.epoch),
            };
            Ok(modern.members.iter().map(member).collect())
        }
    }
}

impl Case {
    fn known_topics(&self) -> Topics {
        let mut topics = Topics::new();
        for (name, (count, racks)) in &self.topics {
            topics.insert(name.clone(), *count, racks.clone());
        }
        topics
    }

    /// As the coordinator does it, which knows topics by their ids: here each gets one by the order of the names.
    fn assign_on_broker(&self, assignor: ServerAssignor) -> anyhow::Result<GroupAssignment<String>> {
        let names: Vec<&String> = self.topics.keys().collect();
        let id_of = |name: &str| {
            let number = names.iter().position(|known| *known == name)?;
            let mut id = [0; 16];
            id[8..].copy_from_slice(&(number as u64 + 1_000).to_be_bytes());
            Some(Uuid(id))
        };
        let topics: BTreeMap<Uuid, u32> =
            self.topics.iter().filter_map(|(name, (count, _))| Some((id_of(name)?, *count))).collect();
        let members: Vec<ServerMember> = self
            .members
            .iter()
            .map(|member| {
                let mut current: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
                for partition in &member.owned {
                    if let Some(id) = id_of(&partition.topic) {
                        current.entry(id).or_default().push(partition.partition);
                    }
                }
                ServerMember {
                    id: member.id.clone(),
                    instance: member.instance.clone(),
                    topics: member.topics.iter().filter_map(|name| id_of(name)).collect(),
                    current: current.into_iter().collect(),
                }
            })
            .collect();
        let assigned =
            assignor.assign(&topics, &members).map_err(|error| Problem::new("not_found", error.to_string()))?;
        let mut named = GroupAssignment::new();
        for (member, partitions) in assigned.members() {
            named.add_member(member);
            for (id, numbers) in partitions {
                let Some(name) = names.iter().find(|name| id_of(name) == Some(*id)) else { continue };
                numbers.iter().for_each(|number| named.add(member, (*name).clone(), *number));
            }
        }
        Ok(named)
    }
}

fn print(
    args: &AssignArgs,
    before: &GroupAssignment<String>,
    after: &GroupAssignment<String>,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    let style = match global.output() {
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
        Some(OutputFormat::Kafka) => {
            return Err(Problem::usage("--output kafka: no tool of Kafka does this").hint("use --json").into());
        }
        Some(OutputFormat::Table | OutputFormat::Prometheus) | None => Some(ui.table_style()),
    };
    let mut listing = Listing::new(COLUMNS, style.unwrap_or(ListingStyle::Tsv));
    if style.is_some() && !args.no_header {
        listing.header(ui.out().buffer());
    }
    let moves = moves(before, after);
    let names = |partitions: &[(String, i32)]| -> Vec<String> {
        partitions.iter().map(|(topic, number)| format!("{topic}-{number}")).collect()
    };
    for (member, moves) in &moves {
        let mut all: Vec<(String, i32)> = moves.kept.iter().chain(&moves.gained).cloned().collect();
        all.sort();
        let out = ui.out().buffer();
        if style.is_none() {
            JsonRow::new("member")
                .field("member", member.clone())
                .field("partitions", all.len())
                .field("assignment", names(&all))
                .field("gained", names(&moves.gained))
                .field("lost", names(&moves.lost))
                .write(out);
        } else {
            listing.text(member.as_bytes(), out);
            listing.number(all.len(), out);
            listing.number(moves.kept.len(), out);
            listing.number(moves.gained.len(), out);
            listing.number(moves.lost.len(), out);
            let all = names(&all);
            listing.text(if all.is_empty() { "-".to_owned() } else { all.join(",") }.as_bytes(), out);
            listing.end_row(out);
        }
        if ui.out().drain()? == Pipe::Closed {
            return Ok(());
        }
    }
    let sizes: Vec<usize> = after.members().map(|(member, _)| after.size(member)).collect();
    let lost: usize = moves.values().map(|moves| moves.lost.len()).sum();
    let (least, most, all) = (
        sizes.iter().min().copied().unwrap_or(0),
        sizes.iter().max().copied().unwrap_or(0),
        sizes.iter().sum::<usize>(),
    );
    if style.is_none() {
        JsonRow::new("summary")
            .field("members", sizes.len())
            .field("partitions", all)
            .field("least", least)
            .field("most", most)
            .field("moved", lost)
            .write(ui.out().buffer());
    } else {
        let count = sizes.len();
        ui.note(&format!(
            "{all} partitions to {count} members, {least} to {most} each; {lost} taken from their owners"
        ));
    }
    Ok(())
}
