//! The inventory in Prometheus' text exposition format, one family after the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Report, kind_word};
use crate::cli::ui::{Pipe, Ui};
use crate::storage::inventory::totals::Kinds;
use crate::storage::inventory::{LogDirFacts, PartitionFacts};
use crate::storage::names::DirKind;
use crate::storage::verify::Grade;
use crate::types::TimestampMs;

/// Prints all families. Those without a single sample are left out.
pub fn print(report: &Report<'_>, ui: &mut Ui) -> anyhow::Result<()> {
    let dirs = report.dirs.facts();
    let by_dir = report.by_dir();
    let mut family = |name: &str, help: &str, samples: &mut dyn Iterator<Item = (String, String)>| {
        let mut is_first = true;
        for (labels, value) in samples {
            let out = ui.out().buffer();
            if is_first {
                let head = format!("# HELP {name} {}\n# TYPE {name} gauge\n", escape_help(help));
                out.extend_from_slice(head.as_bytes());
                is_first = false;
            }
            out.extend_from_slice(format!("{name}{{{labels}}} {value}\n").as_bytes());
        }
        Ok::<bool, std::io::Error>(ui.out().drain()? == Pipe::Open)
    };
    let each_dir = |value: &dyn Fn(usize, &LogDirFacts) -> Option<String>| -> Vec<(String, String)> {
        let sample = |(number, facts): (usize, &LogDirFacts)| Some((dir_labels(facts), value(number, facts)?));
        dirs.iter().enumerate().filter_map(sample).collect()
    };
    let info = |facts: &LogDirFacts| {
        let id = facts.directory_id.map(|id| id.to_string()).unwrap_or_default();
        let cluster = facts.cluster_id.clone().unwrap_or_default();
        format!("{},{},{}", dir_labels(facts), label("cluster_id", &cluster), label("directory_id", &id))
    };
    let read = dirs.iter().map(|facts| (dir_labels(facts), "1".to_owned()));
    let not_read = report.unreadable.iter().map(|dir| (label("log_dir", &path_text(dir)), "0".to_owned()));
    family("logdir_readable", "Whether a log directory could be read.", &mut read.chain(not_read))?;
    family("logdir_info", "Identity of a log directory.", &mut dirs.iter().map(|facts| (info(facts), "1".to_owned())))?;
    type DirValue<'a> = (&'static str, &'static str, &'a dyn Fn(usize, &LogDirFacts) -> Option<String>);
    let dir_families: [DirValue<'_>; 7] = [
        ("logdir_clean_shutdown", "Whether a log directory has the marker of a clean shutdown.", &|_, facts| {
            Some(u8::from(facts.is_clean).to_string())
        }),
        ("logdir_file_system_size_bytes", "Size of the file system of a log directory.", &|_, facts| {
            Some(facts.file_system?.size_bytes.to_string())
        }),
        ("logdir_file_system_free_bytes", "Bytes a broker may still fill.", &|_, facts| {
            Some(facts.file_system?.free_bytes.to_string())
        }),
        ("logdir_size_bytes", "Bytes of the logs in a log directory.", &|number, _| {
            Some(by_dir.get(number)?.log_bytes.to_string())
        }),
        ("logdir_apparent_bytes", "Sum of the lengths of all files in a log directory.", &|number, facts| {
            Some((by_dir.get(number)?.usage.apparent_bytes + facts.own.apparent_bytes).to_string())
        }),
        ("logdir_allocated_bytes", "Bytes allocated on disk for all files in a log directory.", &|number, facts| {
            Some((by_dir.get(number)?.usage.allocated_bytes + facts.own.allocated_bytes).to_string())
        }),
        ("logdir_segments", "Segments in a log directory.", &|number, _| {
            Some(by_dir.get(number)?.segments.to_string())
        }),
    ];
    for (name, help, value) in dir_families {
        if !family(name, help, &mut each_dir(value).into_iter())? {
            return Ok(());
        }
    }
    let mut kinds = dirs.iter().zip(&by_dir).flat_map(|(facts, totals)| {
        Kinds::ALL.into_iter().map(|kind| {
            let labels = format!("{},{}", dir_labels(facts), label("kind", kind_word(kind)));
            (labels, totals.kinds.of(kind).to_string())
        })
    });
    family("logdir_partitions", "Partition directories of each kind in a log directory.", &mut kinds)?;
    type Value = (&'static str, &'static str, fn(&PartitionFacts) -> Option<String>);
    let partition_families: [Value; 19] = [
        ("logdir_partition_size_bytes", "Bytes of a partition's logs.", |p| Some(p.log_bytes.to_string())),
        ("logdir_partition_apparent_bytes", "Sum of the lengths of a partition's files.", |p| {
            Some(p.usage.apparent_bytes.to_string())
        }),
        ("logdir_partition_allocated_bytes", "Bytes allocated on disk for a partition's files.", |p| {
            Some(p.usage.allocated_bytes.to_string())
        }),
        ("logdir_partition_segments", "Segments of a partition.", |p| Some(p.segments.to_string())),
        ("logdir_partition_log_start_offset", "First offset of a partition a reader may see.", |p| {
            Some(p.log_start.to_string())
        }),
        ("logdir_partition_recovery_point_offset", "First offset not known to be on disk.", |p| {
            Some(p.checkpoints.recovery_point?.to_string())
        }),
        ("logdir_partition_high_watermark_offset", "High watermark of a partition's checkpoint.", |p| {
            Some(p.high_watermark()?.to_string())
        }),
        ("logdir_partition_last_stable_offset", "End of what read_committed may see of a partition.", |p| {
            Some(p.last_stable()?.to_string())
        }),
        ("logdir_partition_log_end_offset", "Offset the next record of a partition would get.", |p| {
            Some(p.log_end.to_string())
        }),
        ("logdir_partition_leader_epoch", "Last leader epoch of a partition.", |p| {
            Some(p.last_epoch?.epoch.0.to_string())
        }),
        ("logdir_partition_open_transactions", "Transactions of a partition without a marker.", |p| {
            Some(p.open_transactions?.count.to_string())
        }),
        ("logdir_partition_damaged_places", "Places without a sound batch among those looked at.", |p| {
            Some(p.damaged.to_string())
        }),
        ("logdir_partition_dirty_ratio", "Share of a compacted log the cleaner has not seen.", |p| {
            Some(p.cleaning?.dirty_ratio()?.to_string())
        }),
        ("logdir_partition_oldest_timestamp_seconds", "Timestamp of a partition's first batch.", |p| {
            Some(seconds(p.oldest_ms?))
        }),
        ("logdir_partition_newest_timestamp_seconds", "Largest timestamp of a partition.", |p| {
            Some(seconds(p.newest_ms?))
        }),
        ("logdir_partition_last_write_timestamp_seconds", "Last write of a partition's log files.", |p| {
            Some(seconds(p.last_write_ms?))
        }),
        ("logdir_partition_batches", "Batches of a partition.", |p| Some(p.content?.total().batches.to_string())),
        ("logdir_partition_records", "Records of a partition.", |p| Some(p.content?.total().records?.to_string())),
        ("logdir_partition_compression_ratio", "Uncompressed by stored bytes of a partition's records.", |p| {
            Some(p.content?.total().ratio()?.to_string())
        }),
    ];
    for (name, help, value) in partition_families {
        let mut samples = report.partitions.iter().filter_map(|partition| {
            Some((partition_labels(partition, dirs.get(partition.log_dir)), value(partition)?))
        });
        if !family(name, help, &mut samples)? {
            return Ok(());
        }
    }
    let (by_grade, by_code) = problems(report);
    let text = |counts: BTreeMap<String, usize>| counts.into_iter().map(|(labels, count)| (labels, count.to_string()));
    family("logdir_problems", "What a broker would refuse, set aside or stumble over.", &mut text(by_grade))?;
    family("logdir_problems_by_code", "The same by kind; a kind that was not found is absent.", &mut text(by_code))?;
    Ok(())
}

/// How often problems of each grade, and of each kind, were found in each log directory.
fn problems(report: &Report<'_>) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let grades = [Grade::Slows, Grade::LosesData, Grade::StopsBroker];
    let of_grade =
        |facts: &LogDirFacts, grade: Grade| format!("{},{}", dir_labels(facts), label("grade", grade.word()));
    // A rule on a series that comes into being with the first problem never sees it begin: zero is told too.
    let all = report.dirs.facts().iter().flat_map(|facts| grades.map(|grade| (of_grade(facts, grade), 0)));
    let (mut by_grade, mut by_code): (BTreeMap<_, _>, BTreeMap<_, _>) = (all.collect(), BTreeMap::new());
    for finding in report.findings {
        let Some(facts) = report.dirs.facts().iter().find(|facts| finding.path.starts_with(&facts.path)) else {
            continue;
        };
        let labels = of_grade(facts, finding.grade);
        *by_code.entry(format!("{labels},{}", label("code", finding.fault.code()))).or_default() += 1;
        *by_grade.entry(labels).or_default() += 1;
    }
    (by_grade, by_code)
}

/// A path as text; bytes that are none stand as `\xNN`, so that no two paths become one series.
fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

fn dir_labels(facts: &LogDirFacts) -> String {
    let mut labels = label("log_dir", &path_text(&facts.path));
    if let Some(id) = facts.node_id {
        let _ = write!(labels, ",{}", label("node_id", &id.to_string()));
    }
    labels
}

fn partition_labels(facts: &PartitionFacts, dir: Option<&LogDirFacts>) -> String {
    let mut labels = dir.map(dir_labels).unwrap_or_default();
    let name = &facts.name;
    for (key, value) in [
        ("topic", name.topic_partition.topic.as_str()),
        ("partition", &name.topic_partition.partition.to_string()),
        ("kind", kind_word(name.kind)),
    ] {
        let _ = write!(labels, ",{}", label(key, value));
    }
    // Several deleted directories of one partition may wait side by side.
    if let (Some(id), false) = (&name.unique_id, name.kind == DirKind::Live) {
        let _ = write!(labels, ",{}", label("unique_id", id));
    }
    labels
}

/// `name="value"`, with backslash, quote and line end escaped.
fn label(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// Milliseconds as seconds, without a binary fraction's noise.
fn seconds(ms: TimestampMs) -> String {
    let (whole, rest) = (ms.unsigned_abs() / 1_000, ms.unsigned_abs() % 1_000);
    let sign = if ms < 0 { "-" } else { "" };
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:03}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_times_are_escaped_and_exact() {
        assert_eq!(label("log_dir", "/a \\b\"c\nd"), r#"log_dir="/a \\b\"c\nd""#);
        assert_eq!(escape_help("a\\b\nc"), "a\\\\b\\nc");
        let (a, b) = (std::ffi::OsStr::from_bytes(b"/a\xff"), std::ffi::OsStr::from_bytes(b"/a\xfe"));
        assert_eq!((path_text(Path::new(a)), path_text(Path::new(b))), ("/a\\xff".to_owned(), "/a\\xfe".to_owned()));
        for (ms, expected) in [(0, "0"), (1_700_000_000_123, "1700000000.123"), (-1_500, "-1.500"), (7, "0.007")] {
            assert_eq!(seconds(ms), expected, "{ms}");
        }
    }
}
