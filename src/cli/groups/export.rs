//! `groups export`.

use super::books::Books;
use super::csv;
use super::write::retention_ms;
use crate::cli::args::{GlobalArgs, OutputFormat, now_ms};
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Pipe, Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::coordinator::groups::Group;
use crate::types::TopicPartition;

/// Print what groups have committed, for groups import or kafka-consumer-groups.sh --from-file
///
/// CSV as Kafka's tool exports it: topic,partition,offset of one group, group,topic,partition,offset of several. With --json
/// everything that is committed: leader epochs, metadata and times too. What open transactions are about to commit is not
/// among it.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups export"))]
pub struct ExportArgs {
    /// Groups; every group where none is named
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// The same, as kafka-consumer-groups.sh has it (repeatable)
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Every group (the default)
    #[arg(long, conflicts_with_all = ["groups", "group"])]
    all_groups: bool,
}

/// Prints them.
pub fn run(args: &ExportArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let is_json = match global.output() {
        Some(OutputFormat::Json) => true,
        Some(OutputFormat::Table | OutputFormat::Kafka) | None => false,
        Some(OutputFormat::Tsv | OutputFormat::Prometheus) => {
            let problem = Problem::usage("offsets are exported as Kafka's CSV or as JSON");
            return Err(problem.hint("leave --output out, or say --json").into());
        }
    };
    let books = Books::open(global, ui)?;
    let mut outcome = books.outcome();
    let mut ids: Vec<&str> = args.groups.iter().chain(&args.group).map(String::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    let is_one = ids.len() == 1;
    if ids.is_empty() {
        ids.extend(books.coordinator.groups().keys().map(String::as_str));
    }
    let mut groups: Vec<(&str, &Group)> = Vec::new();
    for id in ids {
        match books.group(id) {
            Ok(group) => groups.push((id, group)),
            Err(problem) => {
                outcome |= problem.ends_with();
                ui.error(*problem);
            }
        }
    }
    let retention_ms = retention_ms(global)?;
    let (mut expired, mut pending, mut plain) = (0, 0, 0);
    'all: for (id, group) in groups {
        expired += group.expired(retention_ms, now_ms()).len();
        pending += group.pending.values().map(Vec::len).sum::<usize>();
        for (partition, committed) in &group.offsets {
            let committed = &committed.committed;
            if is_json {
                row_json(id, partition, committed, ui.out().buffer());
            } else if committed.offset.get() < 0 || id.contains(['\n', '\r']) {
                let text =
                    format!("the offset of group {id:?} for {partition}, {}, has no place in CSV", committed.offset);
                ui.warning(Problem::new("notice", text).hint("export it with --json"));
            } else {
                plain += usize::from(!committed.metadata.is_empty() || committed.expire_ms.is_some());
                csv::write_row((!is_one).then_some(id), partition, committed.offset, ui.out().buffer());
            }
            if ui.out().drain()? == Pipe::Closed {
                break 'all;
            }
        }
    }
    for (count, said) in [
        (expired, "are expired: a broker removes them at its next look"),
        (pending, "stand in open transactions and were left out"),
        (plain, "have metadata or a time of expiry, which CSV leaves out; --json keeps them"),
    ] {
        if count > 0 {
            ui.note(&format!("{count} offsets {said}"));
        }
    }
    Ok(outcome)
}

fn row_json(id: &str, partition: &TopicPartition, committed: &CommittedOffset, out: &mut Vec<u8>) {
    JsonRow::new("offset")
        .field("group", id)
        .field("topic", partition.topic.clone())
        .field("partition", partition.partition)
        .field("offset", committed.offset.get())
        .field("leader_epoch", committed.leader_epoch.map(|epoch| epoch.0))
        .field("metadata", committed.metadata.clone())
        .field("commit_ms", committed.commit_ms)
        .field("expire_ms", committed.expire_ms)
        .field("topic_id", committed.topic_id.map(|id| id.to_string()))
        .write(out);
}
