//! `groups describe`.

use std::collections::BTreeSet;

use super::books::{Books, Ends, Member};
use super::kafka;
use super::list::epoch_and_assignor;
use super::write::retention_ms;
use crate::cli::args::{GlobalArgs, OutputFormat, now_ms};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Pipe, Ui};
use crate::cli::{Outcome, man};
use crate::storage::coordinator::groups::{Committed, Group, Protocol};
use crate::types::{ProducerId, TopicPartition};

/// Show what groups have committed and how far behind they are, their members, or their state
///
/// An offset below the log start or above the log end is pointed out: a consumer that resumes there follows its
/// auto.offset.reset. What open transactions are about to commit stands in a row of its own. An offset that a broker removes
/// at its next look is expired: offsets.retention.minutes of -F, else seven days, have passed.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups describe"))]
pub struct DescribeArgs {
    /// Groups
    #[arg(value_name = "GROUP", required_unless_present_any = ["all_groups", "group"], conflicts_with = "all_groups")]
    groups: Vec<String>,
    /// The same, as kafka-consumer-groups.sh has it (repeatable)
    #[arg(long, value_name = "GROUP", conflicts_with = "all_groups")]
    group: Vec<String>,
    /// Every group
    #[arg(long)]
    all_groups: bool,
    /// Committed offsets and lag (the default)
    #[arg(long)]
    offsets: bool,
    /// Members and what they are assigned
    #[arg(long, conflicts_with_all = ["offsets", "state"])]
    members: bool,
    /// State, assignor, epochs, coordinator
    #[arg(long, conflicts_with = "offsets")]
    state: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

/// What a group has committed for a partition, or a partition one of its members has.
pub struct OffsetRow<'b> {
    /// The partition; `None` for a group that has neither.
    pub partition: Option<&'b TopicPartition>,
    /// What was committed.
    pub committed: Option<&'b Committed>,
    /// The transaction that is about to commit it.
    pub pending: Option<ProducerId>,
    /// Where its log begins and ends; `None` where it is not in these directories.
    pub ends: Option<Ends>,
    /// Who has the partition.
    pub member: Option<&'b Member>,
    /// A broker removes it at its next look.
    pub is_expired: bool,
}

impl OffsetRow<'_> {
    /// How many offsets there are still to be read, as Kafka reckons: below zero above the log end.
    pub fn lag(&self) -> Option<i64> {
        let committed = self.committed?.committed.offset.get();
        Some(self.ends?.log_end.get() - committed).filter(|_| committed != -1)
    }

    /// What is wrong with where it stands.
    fn trouble(&self) -> Option<&'static str> {
        let (committed, ends) = (self.committed?.committed.offset, self.ends?);
        if committed > ends.log_end {
            Some("above the log end")
        } else if committed < ends.log_start {
            Some("below the log start")
        } else {
            None
        }
    }
}

const OFFSETS: &[Column] = &[
    Column::left("GROUP", 16),
    Column::left("TOPIC", 16),
    Column::right("PARTITION", 9),
    Column::right("CURRENT-OFFSET", 14),
    Column::right("LOG-END-OFFSET", 14),
    Column::right("LAG", 8),
    Column::left("COMMITTED-AT", 24),
    Column::left("MEMBER", 12),
    Column::left("NOTE", 12),
    Column::left("METADATA", 0),
];

const MEMBERS: &[Column] = &[
    Column::left("GROUP", 16),
    Column::left("MEMBER", 40),
    Column::left("INSTANCE", 8),
    Column::left("CLIENT", 12),
    Column::left("HOST", 12),
    Column::right("EPOCH", 5),
    Column::right("PARTITIONS", 10),
    Column::left("ASSIGNMENT", 0),
];

const STATES: &[Column] = &[
    Column::left("GROUP", 24),
    Column::left("TYPE", 8),
    Column::left("STATE", 11),
    Column::left("ASSIGNOR", 18),
    Column::right("EPOCH", 6),
    Column::right("TARGET-EPOCH", 12),
    Column::right("MEMBERS", 7),
    Column::left("LEADER", 16),
    Column::left("COORDINATOR", 0),
];

/// Describes them.
pub fn run(args: &DescribeArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let mut outcome = books.outcome();
    let mut groups: Vec<(&str, &Group)> = Vec::new();
    if args.all_groups {
        let all = books.coordinator.groups().iter().map(|(id, group)| (id.as_str(), group));
        let is_kafka = global.output() == Some(OutputFormat::Kafka);
        groups.extend(all.filter(|(_, group)| !is_kafka || kafka::is_consumer_group(group)));
    }
    for id in args.groups.iter().chain(&args.group) {
        match books.group(id) {
            Ok(group) => groups.push((id, group)),
            Err(problem) => {
                outcome |= problem.ends_with();
                ui.error(*problem);
            }
        }
    }
    if args.members {
        print_members(args, &books, &groups, global, ui)?;
    } else if args.state {
        print_states(args, &books, &groups, global, ui)?;
    } else {
        outcome |= print_offsets(args, &books, &groups, global, ui)?;
    }
    Ok(outcome)
}

/// The style of a table; `None` for JSON and Kafka's text.
fn table_style(global: &GlobalArgs, ui: &Ui) -> Option<ListingStyle> {
    match global.output() {
        Some(OutputFormat::Json | OutputFormat::Kafka) => None,
        Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
        Some(OutputFormat::Table | OutputFormat::Prometheus) | None => Some(ui.table_style()),
    }
}

/// Says on stderr what the tool of Kafka says there.
fn say(said: Option<String>, ui: &mut Ui) {
    if let Some(said) = said {
        ui.verbatim(format!("{said}\n").as_bytes());
    }
}

fn print_offsets(
    args: &DescribeArgs,
    books: &Books,
    groups: &[(&str, &Group)],
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    let members: Vec<Vec<Member>> = groups.iter().map(|(_, group)| books.members(group)).collect();
    let of_members = members.iter().flatten().flat_map(|member| &member.assigned);
    let of_groups = groups.iter().flat_map(|(_, group)| group.offsets.keys().chain(group.pending.keys()));
    let wanted: BTreeSet<TopicPartition> = of_members.chain(of_groups).cloned().collect();
    let (ends, mut outcome) = books.ends(&wanted, global, ui)?;
    let style = table_style(global, ui);
    let mut listing = Listing::new(OFFSETS, style.unwrap_or(ListingStyle::Tsv));
    if style.is_some() && !args.no_header {
        listing.header(ui.out().buffer());
    }
    let is_kafka = global.output() == Some(OutputFormat::Kafka);
    let retention_ms = retention_ms(global)?;
    for ((id, group), members) in groups.iter().zip(&members) {
        let mut rows = rows(group, members, retention_ms, &|partition| ends.get(partition).copied());
        if is_kafka {
            rows.retain(|row| row.pending.is_none());
            let (said, is_shown) = kafka::said_of(id, group, rows.len());
            say(said, ui);
            if is_shown {
                kafka::offsets(id, &rows, ui.verbose() > 0, ui.out().buffer());
            }
        }
        for row in rows.iter().filter(|_| !is_kafka) {
            if row.trouble().is_some() && row.pending.is_none() {
                outcome |= Outcome::Findings;
            }
            match style {
                None => offset_json(id, row, ui.out().buffer()),
                Some(_) => offset_row(&mut listing, id, row, ui),
            }
        }
        if ui.out().drain()? == Pipe::Closed {
            break;
        }
    }
    Ok(outcome)
}

/// In Kafka's order: what members have, those with most first; then the rest; last what transactions will commit.
fn rows<'b>(
    group: &'b Group,
    members: &'b [Member],
    retention_ms: i64,
    ends: &dyn Fn(&TopicPartition) -> Option<Ends>,
) -> Vec<OffsetRow<'b>> {
    let expired: BTreeSet<&TopicPartition> = group.expired(retention_ms, now_ms()).into_iter().collect();
    let row = |partition: &'b TopicPartition, member| OffsetRow {
        is_expired: expired.contains(partition),
        partition: Some(partition),
        committed: group.offsets.get(partition),
        pending: None,
        ends: ends(partition),
        member,
    };
    let mut by_size: Vec<&Member> = members.iter().filter(|member| !member.assigned.is_empty()).collect();
    by_size.sort_by_key(|member| std::cmp::Reverse(member.assigned.len()));
    let mut rows: Vec<OffsetRow<'b>> = Vec::new();
    for member in by_size {
        rows.extend(member.assigned.iter().map(|partition| row(partition, Some(member))));
    }
    let assigned: BTreeSet<&TopicPartition> = members.iter().flat_map(|member| &member.assigned).collect();
    rows.extend(group.offsets.keys().filter(|it| !assigned.contains(it)).map(|partition| row(partition, None)));
    for (partition, all) in &group.pending {
        rows.extend(all.iter().map(|(producer, committed)| OffsetRow {
            partition: Some(partition),
            committed: Some(committed),
            pending: Some(*producer),
            ends: ends(partition),
            member: None,
            is_expired: false,
        }));
    }
    rows
}

fn note(row: &OffsetRow<'_>) -> String {
    if let Some(producer) = row.pending {
        return format!("pending, producer {producer}");
    }
    let is_elsewhere = row.partition.is_some() && row.ends.is_none();
    let notes = [row.trouble(), is_elsewhere.then_some("no such log here"), row.is_expired.then_some("expired")];
    let notes: Vec<&str> = notes.into_iter().flatten().collect();
    if notes.is_empty() { "-".to_owned() } else { notes.join(", ") }
}

fn offset_row(listing: &mut Listing, id: &str, row: &OffsetRow<'_>, ui: &mut Ui) {
    let mut times = ui.time_text();
    let out = ui.out().buffer();
    let committed = row.committed.map(|it| &it.committed);
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    listing.text(id.as_bytes(), out);
    listing.text(row.partition.map_or("-", |partition| &partition.topic).as_bytes(), out);
    listing.text(number(row.partition.map(|partition| partition.partition.into())).as_bytes(), out);
    listing.text(number(committed.map(|it| it.offset.get())).as_bytes(), out);
    listing.text(number(row.ends.map(|ends| ends.log_end.get())).as_bytes(), out);
    listing.text(number(row.lag()).as_bytes(), out);
    match committed {
        Some(committed) => listing.with(out, |out| times.write(committed.commit_ms, out)),
        None => listing.text(b"-", out),
    }
    listing.text(row.member.map_or("-", |member| &member.id).as_bytes(), out);
    listing.text(note(row).as_bytes(), out);
    let metadata = committed.map_or("", |committed| &committed.metadata);
    listing.text(if metadata.is_empty() { b"-" } else { metadata.as_bytes() }, out);
    listing.end_row(out);
}

fn offset_json(id: &str, row: &OffsetRow<'_>, out: &mut Vec<u8>) {
    let committed = row.committed.map(|it| &it.committed);
    JsonRow::new("offset")
        .field("group", id)
        .field("topic", row.partition.map(|partition| partition.topic.clone()))
        .field("partition", row.partition.map(|partition| partition.partition))
        .field("current_offset", committed.map(|it| it.offset.get()))
        .field("log_start_offset", row.ends.map(|ends| ends.log_start.get()))
        .field("log_end_offset", row.ends.map(|ends| ends.log_end.get()))
        .field("lag", row.lag())
        .field("commit_ms", committed.map(|it| it.commit_ms))
        .field("expire_ms", committed.and_then(|it| it.expire_ms))
        .field("leader_epoch", committed.and_then(|it| it.leader_epoch).map(|epoch| epoch.0))
        .field("metadata", committed.map(|it| it.metadata.clone()))
        .field("topic_id", committed.and_then(|it| it.topic_id).map(|id| id.to_string()))
        .field("record_offset", row.committed.map(|it| it.record_offset.get()))
        .field("pending_producer_id", row.pending.map(|producer| producer.0))
        .field("member", row.member.map(|member| member.id.clone()))
        .field("trouble", row.trouble())
        .field("expired", row.is_expired)
        .write(out);
}

fn print_members(
    args: &DescribeArgs,
    books: &Books,
    groups: &[(&str, &Group)],
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    let style = table_style(global, ui);
    let mut listing = Listing::new(MEMBERS, style.unwrap_or(ListingStyle::Tsv));
    if style.is_some() && !args.no_header {
        listing.header(ui.out().buffer());
    }
    for (id, group) in groups {
        let members = books.members(group);
        if global.output() == Some(OutputFormat::Kafka) {
            let (said, _) = kafka::said_of(id, group, members.len());
            say(said, ui);
            kafka::members(id, group, &members, ui.verbose() > 0, ui.out().buffer());
        } else {
            for member in &members {
                match style {
                    None => member_json(id, member, ui.out().buffer()),
                    Some(_) => member_row(&mut listing, id, member, ui.out().buffer()),
                }
            }
        }
        if ui.out().drain()? == Pipe::Closed {
            break;
        }
    }
    Ok(())
}

fn names(partitions: &BTreeSet<TopicPartition>) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}

fn member_row(listing: &mut Listing, id: &str, member: &Member, out: &mut Vec<u8>) {
    listing.text(id.as_bytes(), out);
    listing.text(member.id.as_bytes(), out);
    listing.text(member.instance_id.as_deref().unwrap_or("-").as_bytes(), out);
    listing.text(member.client_id.as_bytes(), out);
    listing.text(member.host.as_bytes(), out);
    listing.text(member.epoch.map_or("-".to_owned(), |epoch| epoch.to_string()).as_bytes(), out);
    listing.number(member.assigned.len(), out);
    let assigned = names(&member.assigned);
    listing.text(if assigned.is_empty() { "-".to_owned() } else { assigned.join(",") }.as_bytes(), out);
    listing.end_row(out);
}

fn member_json(id: &str, member: &Member, out: &mut Vec<u8>) {
    JsonRow::new("member")
        .field("group", id)
        .field("member", member.id.clone())
        .field("instance_id", member.instance_id.clone())
        .field("client_id", member.client_id.clone())
        .field("host", member.host.clone())
        .field("epoch", member.epoch)
        .field("assignment", names(&member.assigned))
        .field("target_assignment", member.target.as_ref().map(names))
        .field("upgraded", member.is_upgraded)
        .write(out);
}

fn print_states(
    args: &DescribeArgs,
    books: &Books,
    groups: &[(&str, &Group)],
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    let style = table_style(global, ui);
    let mut listing = Listing::new(STATES, style.unwrap_or(ListingStyle::Tsv));
    if style.is_some() && !args.no_header {
        listing.header(ui.out().buffer());
    }
    for (id, group) in groups {
        let (epoch, assignor) = epoch_and_assignor(group);
        let (target_epoch, leader) = match &group.protocol {
            Protocol::Simple => (None, None),
            Protocol::Classic(classic) => (None, classic.leader.as_deref()),
            Protocol::Modern(modern) => (Some(modern.assignment_epoch), None),
        };
        let coordinator = books.coordinator_of(group.coordinator_partition);
        let number = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
        if global.output() == Some(OutputFormat::Kafka) {
            say(kafka::said_of(id, group, 1).0, ui);
            kafka::state(id, group, books, ui.verbose() > 0, ui.out().buffer());
        } else if style.is_none() {
            JsonRow::new("group")
                .field("group", *id)
                .field("group_type", group.type_name())
                .field("state", group.state_name())
                .field("protocol_type", group.protocol_type())
                .field("assignor", assignor)
                .field("epoch", epoch)
                .field("target_assignment_epoch", target_epoch)
                .field("members", group.members())
                .field("leader", leader)
                .field("coordinator_partition", group.coordinator_partition)
                .field("coordinator_id", coordinator.as_ref().map(|(node, _)| *node))
                .write(ui.out().buffer());
        } else {
            let out = ui.out().buffer();
            listing.text(id.as_bytes(), out);
            listing.text(group.type_name().as_bytes(), out);
            listing.text(group.state_name().as_bytes(), out);
            listing.text(assignor.unwrap_or("-").as_bytes(), out);
            listing.text(number(epoch).as_bytes(), out);
            listing.text(number(target_epoch).as_bytes(), out);
            listing.number(group.members(), out);
            listing.text(leader.unwrap_or("-").as_bytes(), out);
            let node = coordinator.map_or("-".to_owned(), |(node, _)| format!("node {node}"));
            listing.text(format!("__consumer_offsets-{}, {node}", group.coordinator_partition).as_bytes(), out);
            listing.end_row(out);
        }
        if ui.out().drain()? == Pipe::Closed {
            break;
        }
    }
    Ok(())
}
