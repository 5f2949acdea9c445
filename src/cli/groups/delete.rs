//! `groups delete` and `groups delete-offsets`.

use super::books::Books;
use super::write::{check_whole, why_not, write};
use crate::cli::args::{GlobalArgs, OutputFormat, TopicArg};
use crate::cli::json_row::JsonRow;
use crate::cli::range::Partitions;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::storage::coordinator::group_log::{Change, removal_of};
use crate::types::TopicPartition;

/// Delete groups with all they have committed; says what it would do, and does it with --execute
///
/// Writes what a coordinator writes: records without a value. A group that has members is left alone, as by a broker, unless
/// --force says that they are gone.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups delete"))]
pub struct DeleteArgs {
    /// Groups
    #[arg(value_name = "GROUP", required_unless_present = "group")]
    groups: Vec<String>,
    /// The same, as kafka-consumer-groups.sh has it (repeatable)
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Write it
    #[arg(long)]
    execute: bool,
    /// Groups that have members too: those are gone
    #[arg(long)]
    force: bool,
}

/// Delete what groups have committed for some topics; says what it would do, and does it with --execute
///
/// A topic that a member of the group subscribes to is left alone, as by a broker, unless --force says that the members are
/// gone.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups delete-offsets"))]
pub struct DeleteOffsetsArgs {
    /// Groups
    #[arg(value_name = "GROUP", required_unless_present = "group")]
    groups: Vec<String>,
    /// The same, as kafka-consumer-groups.sh has it (repeatable)
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Of this topic (repeatable, or a comma list; re:PATTERN)
    #[arg(short, long, value_name = "NAME", required = true, value_parser = TopicArg::parse)]
    topic: Vec<TopicArg>,
    /// Of these partitions only: 3, 0-2, 1,5
    #[arg(short, long, value_name = "N", value_parser = Partitions::parse)]
    partition: Option<Partitions>,
    /// Write it
    #[arg(long)]
    execute: bool,
    /// Topics that members subscribe to too: those are gone
    #[arg(long)]
    force: bool,
}

/// Deletes groups.
pub fn run(args: &DeleteArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let ids: Vec<&str> = args.groups.iter().chain(&args.group).map(String::as_str).collect();
    check_whole(&books, &ids)?;
    let mut changes: Vec<(&str, Vec<Change>)> = Vec::new();
    for id in ids {
        let group = books.group(id).map_err(|problem| *problem)?;
        if let Some(problem) = why_not(id, group, args.force) {
            return Err(problem.into());
        }
        changes.push((id, removal_of(group)));
    }
    if args.execute {
        write(&books, &changes, None, ui)?;
    }
    let is_json = global.output() == Some(OutputFormat::Json);
    for (id, _) in &changes {
        let group = books.group(id).map_err(|problem| *problem)?;
        let offsets = group.offsets.len();
        let out = ui.out().buffer();
        if is_json {
            JsonRow::new("group")
                .field("group", *id)
                .field("offsets", offsets)
                .field("deleted", args.execute)
                .write(out);
        } else {
            let verb = if args.execute { "deleted" } else { "would delete" };
            out.extend_from_slice(format!("{verb} group '{id}' with {offsets} committed offsets\n").as_bytes());
        }
    }
    if !args.execute {
        ui.note("nothing written; run again with --execute");
    }
    Ok(books.outcome())
}

/// Deletes offsets of groups.
pub fn run_offsets(args: &DeleteOffsetsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let ids: Vec<&str> = args.groups.iter().chain(&args.group).map(String::as_str).collect();
    check_whole(&books, &ids)?;
    let is_wanted = |partition: &TopicPartition| {
        args.topic.iter().any(|topic| topic.matches(&partition.topic))
            && args.partition.as_ref().is_none_or(|wanted| wanted.contains(partition.partition))
    };
    let mut changes: Vec<(&str, Vec<Change>)> = Vec::new();
    for id in ids {
        let group = books.group(id).map_err(|problem| *problem)?;
        if let Some(problem) = why_not(id, group, true) {
            return Err(problem.into());
        }
        let partitions: Vec<&TopicPartition> = group.offsets.keys().filter(|partition| is_wanted(partition)).collect();
        if partitions.is_empty() {
            let text = format!("group '{id}' has committed nothing there");
            return Err(Problem::new("not_found", text).hint("see what it has with: logdir groups describe").into());
        }
        let subscribed = partitions.iter().find(|partition| group.is_subscribed(&partition.topic));
        if let (Some(partition), false) = (subscribed, args.force) {
            // As the coordinator refuses it (`GROUP_SUBSCRIBED_TO_TOPIC`).
            let text = format!("members of group '{id}' subscribe to topic '{}'", partition.topic);
            let hint = "go past it with --force if they are gone";
            return Err(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint).into());
        }
        changes.push((id, partitions.into_iter().cloned().map(Change::Forget).collect()));
    }
    if args.execute {
        write(&books, &changes, None, ui)?;
    }
    let is_json = global.output() == Some(OutputFormat::Json);
    for (id, changes) in &changes {
        for change in changes {
            let Change::Forget(partition) = change else { continue };
            let out = ui.out().buffer();
            if is_json {
                JsonRow::new("offset")
                    .field("group", *id)
                    .field("topic", partition.topic.clone())
                    .field("partition", partition.partition)
                    .field("deleted", args.execute)
                    .write(out);
            } else {
                let verb = if args.execute { "deleted" } else { "would delete" };
                out.extend_from_slice(format!("{verb} the offset of group '{id}' for {partition}\n").as_bytes());
            }
        }
    }
    if !args.execute {
        ui.note("nothing written; run again with --execute");
    }
    Ok(books.outcome())
}
