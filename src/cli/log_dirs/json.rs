//! The inventory as JSON lines: log directories, then the rows asked for, problems, and a summary.

use serde_json::{Value, json};

use super::{By, Report, kind_word};
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Pipe, Ui};
use crate::cli::verify::finding_hint;
use crate::storage::inventory::content::{Content, Magics};
use crate::storage::inventory::partition::TopicId;
use crate::storage::inventory::totals::Kinds;
use crate::storage::inventory::{LogDirFacts, PartitionFacts, Totals, TotalsKey};
use crate::types::Offset;

/// Prints all rows.
pub fn print(report: &Report<'_>, ui: &mut Ui) -> anyhow::Result<()> {
    for (facts, totals) in report.dirs.facts().iter().zip(report.by_dir()) {
        log_dir(facts, &totals, report, ui.out().buffer());
    }
    match report.by {
        By::Partition => {
            for row in report.rows() {
                partition(row, report, ui.out().buffer());
                if ui.out().drain()? == Pipe::Closed {
                    return Ok(());
                }
            }
        }
        By::Topic | By::Broker => {
            for (key, totals) in report.totals() {
                sums(&key, &totals, report, ui.out().buffer());
                if ui.out().drain()? == Pipe::Closed {
                    return Ok(());
                }
            }
        }
        By::Dir => {}
    }
    for finding in report.findings {
        JsonRow::new("problem")
            .field("grade", finding.grade.word())
            .field("code", finding.fault.code())
            .field("path", finding.path.display().to_string())
            .field("message", finding.message.clone())
            .field("hint", finding_hint(finding))
            .write(ui.out().buffer());
    }
    let all = report.all();
    let row = JsonRow::new("summary")
        .field("log_dirs", report.dirs.facts().len())
        .field("unreadable_log_dirs", report.unreadable.len());
    counts(row, &all).field("problems", report.findings.len()).write(ui.out().buffer());
    Ok(())
}

fn log_dir(facts: &LogDirFacts, totals: &Totals, report: &Report<'_>, out: &mut Vec<u8>) {
    let inside = |finding: &&crate::storage::verify::Finding| finding.path.starts_with(&facts.path);
    let row = JsonRow::new("log_dir")
        .field("path", facts.path.display().to_string())
        .field("cluster_id", facts.cluster_id.clone())
        .field("node_id", facts.node_id)
        .field("directory_id", facts.directory_id.map(|id| id.to_string()))
        .field("meta_properties_version", facts.meta_version)
        .field("clean_shutdown", facts.is_clean)
        .field("clean_shutdown_broker_epoch", facts.broker_epoch)
        .field("file_system_size_bytes", facts.file_system.map(|system| system.size_bytes))
        .field("file_system_free_bytes", facts.file_system.map(|system| system.free_bytes))
        .field("file_system_device", facts.file_system.map(|system| system.device))
        .field("own_files_apparent_bytes", facts.own.apparent_bytes)
        .field("own_files_allocated_bytes", facts.own.allocated_bytes);
    counts(row, totals).field("problems", report.findings.iter().filter(inside).count()).write(out);
}

fn sums(key: &TotalsKey, totals: &Totals, report: &Report<'_>, out: &mut Vec<u8>) {
    let row = match key {
        TotalsKey::Topic(name) => {
            let internal = name.starts_with("__");
            JsonRow::new("topic").field("topic", name.clone()).field("internal", internal)
        }
        TotalsKey::Broker(number) => {
            let dirs: Vec<&LogDirFacts> = report.dirs.facts().iter().filter(|facts| facts.broker == *number).collect();
            let paths: Vec<String> = dirs.iter().map(|facts| facts.path.display().to_string()).collect();
            JsonRow::new("broker")
                .field("node_id", dirs.iter().find_map(|facts| facts.node_id))
                .field("cluster_id", dirs.iter().find_map(|facts| facts.cluster_id.clone()))
                .field("log_dirs", paths)
        }
        TotalsKey::LogDir(_) | TotalsKey::All => JsonRow::new("total"),
    };
    counts(row, totals).write(out);
}

/// The numbers every sum has.
fn counts(row: JsonRow, totals: &Totals) -> JsonRow {
    let kinds: serde_json::Map<String, Value> =
        Kinds::ALL.into_iter().map(|kind| (kind_word(kind).to_owned(), totals.kinds.of(kind).into())).collect();
    let row = row
        .field("partitions", totals.partitions())
        .field("directories", totals.directories())
        .field("directories_by_kind", kinds)
        .field("segments", totals.segments)
        .field("files", totals.usage.files)
        .field("size_bytes", totals.log_bytes)
        .field("apparent_bytes", totals.usage.apparent_bytes)
        .field("allocated_bytes", totals.usage.allocated_bytes)
        .field("offset_span", totals.offsets)
        .field("open_transactions", totals.open_transactions)
        .field("oldest_ms", totals.oldest_ms)
        .field("newest_ms", totals.newest_ms)
        .field("last_write_ms", totals.last_write_ms)
        .field("magics", magics(totals.magics));
    content(row, totals.content.as_ref())
}

fn partition(facts: &PartitionFacts, report: &Report<'_>, out: &mut Vec<u8>) {
    let log_dir = report.dirs.facts().get(facts.log_dir);
    let topic_id = match facts.topic_id {
        TopicId::Known(id) => Some(id.to_string()),
        TopicId::None | TopicId::Unreadable => None,
    };
    let cleaning = facts.cleaning;
    let row = JsonRow::new("partition")
        .field("topic", facts.name.topic_partition.topic.clone())
        .field("partition", facts.name.topic_partition.partition)
        .field("kind", kind_word(facts.name.kind))
        .field("topic_id", topic_id)
        .field("node_id", log_dir.and_then(|facts| facts.node_id))
        .field("log_dir", log_dir.map(|facts| facts.path.display().to_string()))
        .field("path", facts.path.display().to_string())
        .field("segments", facts.segments)
        .field("files", facts.usage.files)
        .field("size_bytes", facts.log_bytes)
        .field("apparent_bytes", facts.usage.apparent_bytes)
        .field("allocated_bytes", facts.usage.allocated_bytes)
        .field("log_start_offset", facts.log_start.get())
        .field("recovery_point", facts.checkpoints.recovery_point.map(Offset::get))
        .field("high_watermark", facts.high_watermark().map(Offset::get))
        .field("last_stable_offset", facts.last_stable().map(Offset::get))
        .field("log_end_offset", facts.log_end.get())
        .field("torn_tail", facts.is_torn)
        .field("oldest_ms", facts.oldest_ms)
        .field("newest_ms", facts.newest_ms)
        .field("last_write_ms", facts.last_write_ms)
        .field("leader_epoch", facts.last_epoch.map(|entry| entry.epoch.0))
        .field("leader_epoch_start_offset", facts.last_epoch.map(|entry| entry.start.get()))
        .field("leader_epochs", facts.leader_epochs)
        .field("open_transactions", facts.open_transactions.map(|open| open.count))
        .field("first_open_offset", facts.open_transactions.and_then(|open| open.first).map(Offset::get))
        .field("cleaner_offset", facts.checkpoints.cleaner.map(Offset::get))
        .field("first_dirty_offset", cleaning.map(|cleaning| cleaning.first_dirty.get()))
        .field("clean_bytes", cleaning.map(|cleaning| cleaning.clean_bytes))
        .field("cleanable_bytes", cleaning.map(|cleaning| cleaning.cleanable_bytes))
        .field("dirty_ratio", cleaning.and_then(|cleaning| cleaning.dirty_ratio()))
        .field("magics", magics(facts.magics));
    content(row, facts.content.as_ref()).write(out);
}

fn magics(magics: Magics) -> Value {
    magics.iter().collect::<Vec<i8>>().into()
}

/// What the batches hold: absent where they were not read.
fn content(row: JsonRow, content: Option<&Content>) -> JsonRow {
    let codecs: Option<Vec<Value>> = content.map(|content| {
        let one = |(codec, facts): (crate::types::Codec, &crate::storage::inventory::content::CodecFacts)| {
            json!({
                "codec": codec.name(), "batches": facts.batches, "records": facts.records,
                "stored_bytes": facts.stored_bytes, "uncompressed_bytes": facts.uncompressed_bytes,
                "ratio": facts.ratio(),
            })
        };
        content.codecs().map(one).collect()
    });
    let total = content.map(Content::total);
    row.field("batches", total.map(|total| total.batches))
        .field("records", total.and_then(|total| total.records))
        .field("compression_ratio", total.and_then(|total| total.ratio()))
        .field("damaged", content.map(|content| content.damaged))
        .field("codecs", codecs)
}
