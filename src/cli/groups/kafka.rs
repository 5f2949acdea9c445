//! The text of kafka-consumer-groups.sh (`ConsumerGroupCommand` of Kafka 4.3), row by row.
//!
//! Its order is that of hash maps where ours is by name; what it says on stderr is said there too.

use std::collections::BTreeMap;

use super::books::{Books, Member};
use super::describe::OffsetRow;
use crate::storage::coordinator::groups::{Group, Protocol};
use crate::types::{Offset, TopicPartition};

/// Whether the tool knows such groups at all (`ListGroupsOptions.forConsumerGroups`).
pub fn is_consumer_group(group: &Group) -> bool {
    matches!(group.type_name(), "Classic" | "Consumer") && matches!(group.protocol_type(), "" | "consumer")
}

/// `--list`.
pub fn list<'g>(
    groups: impl Iterator<Item = (&'g String, &'g Group)>,
    with_type: bool,
    with_state: bool,
    out: &mut Vec<u8>,
) {
    let groups: Vec<_> = groups.filter(|(_, group)| is_consumer_group(group)).collect();
    if !with_type && !with_state {
        groups.iter().for_each(|(id, _)| line(&[(id, 0)], out));
        return;
    }
    let widest = groups.iter().map(|(id, _)| width(id).max(15)).max().unwrap_or(15) + 10;
    let mut row = |id: &str, group_type: &str, state: &str| {
        let mut cells = vec![(id, widest)];
        if with_type {
            cells.push((group_type, 20));
        }
        if with_state {
            cells.push((state, 20));
        }
        line(&cells, out);
    };
    row("GROUP", "TYPE", "STATE");
    groups.iter().for_each(|(id, group)| row(id, group.type_name(), group.state_name()));
}

/// What is said in front of a group, on stderr; and whether its rows follow.
pub fn said_of(id: &str, group: &Group, rows: usize) -> (Option<String>, bool) {
    let said = match group.state_name() {
        "Empty" => Some(format!("\nConsumer group '{id}' has no active members.")),
        "Stable" => None,
        _ => Some(format!("\nWarning: Consumer group '{id}' is rebalancing.")),
    };
    (said, rows > 0)
}

/// `--describe --offsets` of one group.
pub fn offsets(id: &str, rows: &[OffsetRow<'_>], is_verbose: bool, out: &mut Vec<u8>) {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells: Vec<[String; 10]> = rows
        .iter()
        .map(|row| {
            let member = |of: fn(&Member) -> &String| or_dash(row.member.map(|member| of(member).clone()));
            [
                id.to_owned(),
                or_dash(row.partition.map(|partition| partition.topic.clone())),
                or_dash(row.partition.map(|partition| partition.partition.to_string())),
                or_dash(row.committed.and_then(|it| it.committed.leader_epoch).map(|epoch| epoch.0.to_string())),
                or_dash(row.committed.map(|it| it.committed.offset.to_string())),
                or_dash(row.ends.map(|ends| ends.log_end.to_string())),
                or_dash(row.lag().map(|lag| lag.to_string())),
                member(|member| &member.id),
                member(|member| &member.host),
                member(|member| &member.client_id),
            ]
        })
        .collect();
    let head = [
        "GROUP",
        "TOPIC",
        "PARTITION",
        "LEADER-EPOCH",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]
    .map(str::to_owned);
    let widest = |at: usize| cells.iter().map(|row| width(&row[at])).max().unwrap_or(0).max(15);
    let widths = [widest(0), widest(1), 10, 15, 15, 15, 15, widest(7), widest(8), 0];
    for row in std::iter::once(&head).chain(&cells) {
        out.push(b'\n');
        let cells = row.iter().zip(widths).enumerate().filter(|(at, _)| is_verbose || *at != 3);
        pad(&cells.map(|(_, (cell, width))| (cell.as_str(), width)).collect::<Vec<_>>(), out);
    }
    out.push(b'\n');
}

/// `--describe --members` of one group.
pub fn members(id: &str, group: &Group, members: &[Member], is_verbose: bool, out: &mut Vec<u8>) {
    let target_epoch = match &group.protocol {
        Protocol::Modern(modern) => Some(modern.assignment_epoch),
        Protocol::Simple | Protocol::Classic(_) => None,
    };
    let number = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    let text = |member: &Member| -> [String; 11] {
        [
            id.to_owned(),
            member.id.clone(),
            member.instance_id.clone().unwrap_or_default(),
            member.host.clone(),
            member.client_id.clone(),
            member.assigned.len().to_string(),
            number(member.epoch),
            assignment(member.assigned.iter()),
            number(target_epoch),
            assignment(member.target.iter().flatten()),
            member.is_upgraded.map_or("-".to_owned(), |upgraded| upgraded.to_string()),
        ]
    };
    let cells: Vec<[String; 11]> = members.iter().map(text).collect();
    let widest = |at: usize, least: usize| cells.iter().map(|row| width(&row[at])).max().unwrap_or(0).max(least);
    let widths = [
        widest(0, 15),
        widest(1, 15),
        widest(2, 17),
        widest(3, 15),
        widest(4, 15),
        15,
        15,
        widest(7, 20),
        15,
        widest(9, 20),
        0,
    ];
    let has_instances = members.iter().any(|member| member.instance_id.as_deref().is_some_and(|id| !id.is_empty()));
    let is_mixed = members.iter().any(|member| member.is_upgraded == Some(false))
        && members.iter().any(|member| member.is_upgraded == Some(true));
    let head = [
        "GROUP",
        "CONSUMER-ID",
        "GROUP-INSTANCE-ID",
        "HOST",
        "CLIENT-ID",
        "#PARTITIONS",
        "CURRENT-EPOCH",
        "CURRENT-ASSIGNMENT",
        "TARGET-EPOCH",
        "TARGET-ASSIGNMENT",
        "UPGRADED",
    ]
    .map(str::to_owned);
    out.push(b'\n');
    for row in std::iter::once(&head).chain(&cells) {
        let mut shown: Vec<(&str, usize)> = Vec::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let is_shown = match at {
                2 => has_instances,
                0..=5 => true,
                10 => is_verbose && is_mixed,
                _ => is_verbose,
            };
            if is_shown {
                shown.push((cell, width));
            }
        }
        pad(&shown, out);
        // The first half of a row ends in a blank, whether or not the second follows.
        if !is_verbose {
            out.push(b' ');
        }
        out.push(b'\n');
    }
}

/// `--describe --state` of one group.
pub fn state(id: &str, group: &Group, books: &Books, is_verbose: bool, out: &mut Vec<u8>) {
    let coordinator = match books.coordinator_of(group.coordinator_partition) {
        Some((node, Some((host, port)))) => format!("{host}:{port}  ({node})"),
        Some((node, None)) => format!("-  ({node})"),
        None => "-".to_owned(),
    };
    let (epoch, assignor) = super::list::epoch_and_assignor(group);
    let assignor = assignor.filter(|assignor| !assignor.is_empty()).unwrap_or("-");
    let (epoch, target) = match &group.protocol {
        Protocol::Modern(modern) => (epoch, Some(modern.assignment_epoch)),
        Protocol::Simple | Protocol::Classic(_) => (None, None),
    };
    let number = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    let widths = [width(id).max(15), width(&coordinator).max(25), 20, 20, 15, 25, 0];
    let head = [
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        "GROUP-EPOCH",
        "TARGET-ASSIGNMENT-EPOCH",
        "#MEMBERS",
    ];
    let (epoch, target, count) = (number(epoch), number(target), group.members().to_string());
    let row = [id, &coordinator, assignor, group.state_name(), &epoch, &target, &count];
    for cells in [head, row] {
        out.push(b'\n');
        let shown = cells.into_iter().zip(widths).enumerate().filter(|(at, _)| is_verbose || !matches!(at, 4 | 5));
        pad(&shown.map(|(_, cell)| cell).collect::<Vec<_>>(), out);
    }
    out.push(b'\n');
}

/// `--reset-offsets` (`OffsetsUtils.printOffsetsToReset`).
pub fn new_offsets(rows: &[(&str, &TopicPartition, Offset)], out: &mut Vec<u8>) {
    let group = rows.iter().map(|(group, ..)| width(group)).max().unwrap_or(0).max(15);
    let topic = rows.iter().map(|(_, partition, _)| width(&partition.topic)).max().unwrap_or(0).max(15);
    let mut row = |cells: [&str; 4]| {
        out.push(b'\n');
        pad(&cells.into_iter().zip([group, topic, 10, 0]).collect::<Vec<_>>(), out);
    };
    row(["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]);
    for (group, partition, offset) in rows {
        row([group, &partition.topic, &partition.partition.to_string(), &offset.to_string()]);
    }
    out.push(b'\n');
}

/// `t0:0,1;t1:2`; a dash for nothing.
fn assignment<'p>(partitions: impl Iterator<Item = &'p TopicPartition>) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    if topics.is_empty() {
        return "-".to_owned();
    }
    let text = |(topic, mut numbers): (&str, Vec<i32>)| {
        numbers.sort_unstable();
        let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
        format!("{topic}:{}", numbers.join(","))
    };
    topics.into_iter().map(text).collect::<Vec<_>>().join(";")
}

/// As Java counts.
fn width(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Cells padded to their widths, a blank between them.
fn pad(cells: &[(&str, usize)], out: &mut Vec<u8>) {
    for (at, (cell, least)) in cells.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(cell.as_bytes());
        out.resize(out.len() + least.saturating_sub(width(cell)), b' ');
    }
}

fn line(cells: &[(&str, usize)], out: &mut Vec<u8>) {
    pad(cells, out);
    out.push(b'\n');
}
