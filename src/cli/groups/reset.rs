//! `groups reset-offsets`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::books::Books;
use super::changes::{self, ChangeRow, Printing};
use super::csv;
use super::offsets_file::{self, Planned};
use super::write::{Making, check_whole, prepare, why_not, write};
use crate::batch::compression::MAX_BATCH_BYTES;
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::{storage_problem, topic_not_found};
use crate::cli::message::show_remarks;
use crate::cli::range::{self, Partitions};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::group::reset::{Moved, NewOffset, Place, Reset};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::coordinator::group_log::Change;
use crate::storage::list_offsets::{Isolation, ListOffsets, OffsetSpec};
use crate::storage::remarks::Remarks;
use crate::storage::replicas;
use crate::types::{Offset, TimestampMs, TopicPartition};

/// Set where groups go on reading; says what it would do, and does it with --execute
///
/// A group that has members is left alone, as by a broker, unless --force says that they are gone. Offsets beyond the log are
/// set to its nearest end.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups reset-offsets"))]
#[command(group = clap::ArgGroup::new("where").required(true))]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct ResetArgs {
    /// Groups; one that is not there is made
    #[arg(value_name = "GROUP", required_unless_present_any = ["all_groups", "group"], conflicts_with = "all_groups")]
    groups: Vec<String>,
    /// The same, as kafka-consumer-groups.sh has it (repeatable)
    #[arg(long, value_name = "GROUP", conflicts_with = "all_groups")]
    group: Vec<String>,
    /// Every group that has no members
    #[arg(long)]
    all_groups: bool,
    /// A topic, or some of its partitions: orders, orders:0,2 (repeatable)
    #[arg(short, long, value_name = "TOPIC[:N,N]", value_parser = TopicPartitions::parse, group = "what")]
    topic: Vec<TopicPartitions>,
    /// Every partition that a group has committed an offset for
    #[arg(long, group = "what")]
    all_topics: bool,
    /// To the first offset
    #[arg(long, group = "where", help_heading = "Where")]
    to_earliest: bool,
    /// To the log end
    #[arg(long, group = "where", help_heading = "Where")]
    to_latest: bool,
    /// Where they are; to the log end where nothing was committed
    #[arg(long, group = "where", help_heading = "Where")]
    to_current: bool,
    /// To this offset
    #[arg(long, value_name = "N", group = "where", allow_negative_numbers = true, help_heading = "Where")]
    to_offset: Option<i64>,
    /// So many records further, or back
    #[arg(long, value_name = "N", group = "where", allow_negative_numbers = true, help_heading = "Where")]
    shift_by: Option<i64>,
    /// To the first record of this moment or later: 2026-11-22T10:00:00.000, RFC 3339, 13 digits
    #[arg(long, value_name = "T", group = "where", value_parser = moment, help_heading = "Where")]
    to_datetime: Option<TimestampMs>,
    /// To the first record that is no older: PT1H30M, P1D, 90m
    #[arg(long, value_name = "DURATION", group = "where", value_parser = ago, help_heading = "Where")]
    by_duration: Option<TimestampMs>,
    /// To what a CSV file says: topic,partition,offset or group,topic,partition,offset; - for stdin
    #[arg(long, value_name = "FILE", groups = ["where", "what"], conflicts_with_all = ["topic", "all_topics"], help_heading = "Where")]
    from_file: Option<PathBuf>,
    /// Write it
    #[arg(long)]
    execute: bool,
    /// Only say what would be written (the default)
    #[arg(short = 'n', long, conflicts_with = "execute")]
    dry_run: bool,
    /// Print the new offsets as the CSV that --from-file reads
    #[arg(long)]
    export: bool,
    /// Groups that have members too: those are gone
    #[arg(long)]
    force: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

/// One `-t`.
#[derive(Debug, Clone)]
struct TopicPartitions {
    topic: String,
    partitions: Option<Partitions>,
}

impl TopicPartitions {
    fn parse(text: &str) -> Result<TopicPartitions, String> {
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, list)) => (topic, Some(Partitions::parse(list).map_err(|error| error.to_string())?)),
            None => (text, None),
        };
        if topic.is_empty() {
            return Err("a topic is missing in front of the colon".to_owned());
        }
        Ok(TopicPartitions { topic: topic.to_owned(), partitions })
    }

    fn holds(&self, partition: &TopicPartition) -> bool {
        self.topic == partition.topic
            && self.partitions.as_ref().is_none_or(|wanted| wanted.contains(partition.partition))
    }
}

fn moment(text: &str) -> Result<TimestampMs, range::RangeError> {
    range::parse_time(text, now_ms())
}

/// A moment so long ago: Java's `Duration.parse` counts a day as 24 hours.
fn ago(text: &str) -> Result<TimestampMs, String> {
    if let Ok(moment) = range::parse_time(&format!("-{text}"), now_ms()) {
        return Ok(moment);
    }
    let bad = || format!("'{text}' is no duration such as PT1H30M, P1D or 90m");
    let span: jiff::Span = text.parse().map_err(|_| bad())?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    i64::try_from(length.as_millis()).ok().and_then(|ms| now_ms().checked_sub(ms)).ok_or_else(bad)
}

/// Where one group goes in one partition.
struct Row<'b> {
    group: &'b str,
    partition: TopicPartition,
    committed: Option<Offset>,
    new: NewOffset,
    log_end: Offset,
}

/// Says where groups go, and with --execute writes it.
pub fn run(args: &ResetArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if args.execute {
        prepare(global, ui)?;
    }
    let books = Books::open(global, ui)?;
    let mut outcome = books.outcome();
    let file = args.from_file.as_ref().map(|path| offsets_file::read(path, ui)).transpose()?;
    let mut groups: Vec<&str> = args.groups.iter().chain(&args.group).map(String::as_str).collect();
    if args.all_groups {
        groups.extend(
            books.coordinator.groups().iter().filter(|(_, group)| group.members() == 0).map(|(id, _)| id.as_str()),
        );
    }
    groups.sort_unstable();
    groups.dedup();
    check_whole(&books, &groups)?;
    for id in &groups {
        if let Some(problem) = books.coordinator.group(id).and_then(|group| why_not(id, group, args.force)) {
            return Err(problem.into());
        }
    }
    let wanted = wanted(args, &books, &groups, file.as_deref())?;
    let (places, told) = places(args, &books, &wanted, ui)?;
    outcome |= told;
    let mut rows = Vec::new();
    for (group, partition, asked) in wanted {
        let Some(place) = places.get(&partition) else {
            let text = format!("partition {partition} is not in these directories");
            return Err(Problem::new("not_found", text).hint("name the directories that hold it with -d").into());
        };
        let known = books.coordinator.group(group).and_then(|group| group.offsets.get(&partition));
        let place = Place { committed: known.map(|known| known.committed.offset), ..*place };
        let reset = asked.unwrap_or_else(|| args.reset());
        let new =
            reset.apply(&place).map_err(|error| Problem::new("refused", format!("{group}, {partition}: {error}")))?;
        rows.push(Row { group, partition, committed: place.committed, new, log_end: place.log_end });
    }
    // A plan that is only exported may be for other directories.
    let is_here = args.execute || !args.export;
    let making = if is_here { Making::of(&books, &groups, global)? } else { None };
    if args.execute {
        write(&books, &changes_of(&rows, &groups), making.as_ref(), ui)?;
    }
    print(args, &rows, global, ui)?;
    match (args.execute, rows.len()) {
        (true, count) => ui.note(&format!("{count} offsets committed")),
        (false, _) => {
            if let Some(making) = &making {
                making.say_planned(ui);
            }
            ui.note("nothing written; run again with --execute");
        }
    }
    Ok(outcome)
}

impl ResetArgs {
    fn reset(&self) -> Reset {
        if self.to_earliest {
            Reset::Earliest
        } else if self.to_latest {
            Reset::Latest
        } else if let Some(offset) = self.to_offset {
            Reset::To(Offset::new(offset))
        } else if let Some(by) = self.shift_by {
            Reset::Shift(by)
        } else if self.to_datetime.or(self.by_duration).is_some() {
            Reset::Time
        } else {
            Reset::Current
        }
    }
}

type Wanted<'b> = Vec<(&'b str, TopicPartition, Option<Reset>)>;

/// Which offsets are set: of which group, where, and to what if a file says so.
fn wanted<'b>(
    args: &ResetArgs,
    books: &'b Books,
    groups: &[&'b str],
    file: Option<&[Planned]>,
) -> anyhow::Result<Wanted<'b>> {
    let mut wanted = Vec::new();
    if let Some(file) = file {
        for row in file {
            // A file without groups is of all that are named.
            let of: Vec<&&str> =
                groups.iter().filter(|id| row.group.as_ref().is_none_or(|group| group == **id)).collect();
            wanted.extend(of.into_iter().map(|id| (*id, row.partition.clone(), Some(Reset::To(row.offset)))));
        }
        if wanted.is_empty() {
            return Err(Problem::new("not_found", "the file says nothing of these groups").into());
        }
        return Ok(wanted);
    }
    let all: BTreeSet<TopicPartition> = books.all_partitions();
    let topics: BTreeSet<&str> = all.iter().map(|partition| partition.topic.as_str()).collect();
    for topic in &args.topic {
        if !topics.contains(topic.topic.as_str()) {
            return Err(topic_not_found(&topic.topic, &topics, &books.paths).into());
        }
        if !all.iter().any(|partition| topic.holds(partition)) {
            let text = format!("topic '{}' has none of these partitions here", topic.topic);
            return Err(Problem::new("not_found", text).into());
        }
    }
    for id in groups {
        let committed = books.coordinator.group(id).into_iter().flat_map(|group| group.offsets.keys());
        let partitions: BTreeSet<TopicPartition> = match args.all_topics {
            true => committed.cloned().collect(),
            false => {
                let is_named = |partition: &&TopicPartition| args.topic.iter().any(|topic| topic.holds(partition));
                all.iter().filter(is_named).cloned().collect()
            }
        };
        wanted.extend(partitions.into_iter().map(|partition| (*id, partition, None)));
    }
    if wanted.is_empty() {
        return Err(Problem::new("not_found", "these groups have committed nothing")
            .hint("name topics with -t")
            .into());
    }
    Ok(wanted)
}

/// Where the logs begin and end, and for a moment the offset of it.
fn places(
    args: &ResetArgs,
    books: &Books,
    wanted: &Wanted<'_>,
    ui: &mut Ui,
) -> anyhow::Result<(BTreeMap<TopicPartition, Place>, Outcome)> {
    let names: BTreeSet<&TopicPartition> = wanted.iter().map(|(_, partition, _)| partition).collect();
    let mut remarks = Remarks::default();
    let found = replicas::furthest(&books.log_dirs, &|partition| names.contains(partition), &mut remarks.failures);
    let moment = args.to_datetime.or(args.by_duration);
    let mut places = BTreeMap::new();
    for (partition, chosen) in found {
        let mut offsets = ListOffsets::new(&chosen.partition, MAX_BATCH_BYTES);
        let log_end = offsets.log_end().map_err(|error| storage_problem(&error))?;
        let at_time = match moment {
            Some(ms) => offsets.answer(OffsetSpec::Timestamp(ms), Isolation::ReadUncommitted),
            None => Ok(None),
        };
        let at_time = at_time.map_err(|error| storage_problem(&error))?.map(|found| found.offset);
        remarks.merge(offsets.take_remarks());
        places.insert(partition, Place { log_start: chosen.partition.log_start(), log_end, committed: None, at_time });
    }
    Ok((places, show_remarks(remarks, ui)))
}

fn changes_of<'b>(rows: &[Row<'b>], groups: &[&'b str]) -> Vec<(&'b str, Vec<Change>)> {
    let of = |id: &str| {
        let rows = rows.iter().filter(|row| row.group == id);
        rows.map(|row| {
            // As AdminClient.alterConsumerGroupOffsets has it: no epoch, no metadata.
            let offset = CommittedOffset {
                offset: row.new.offset,
                leader_epoch: None,
                metadata: String::new(),
                commit_ms: now_ms(),
                expire_ms: None,
                topic_id: None,
            };
            Change::Commit(row.partition.clone(), offset)
        })
        .collect()
    };
    groups.iter().map(|id| (*id, of(id))).collect()
}

fn note(row: &Row<'_>) -> Option<String> {
    Some(match row.new.moved? {
        Moved::AboveEnd(asked) => format!("{asked} is above the log end"),
        Moved::BelowStart(asked) => format!("{asked} is below the log start"),
        Moved::NothingSoLate => "no record so late".to_owned(),
    })
}

fn print(args: &ResetArgs, rows: &[Row<'_>], global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<()> {
    if args.export {
        let with_group = args.groups.len() + args.group.len() != 1;
        for row in rows {
            csv::write_row(with_group.then_some(row.group), &row.partition, row.new.offset, ui.out().buffer());
        }
        return Ok(());
    }
    let rows: Vec<ChangeRow<'_>> = rows
        .iter()
        .map(|row| ChangeRow {
            group: row.group,
            partition: &row.partition,
            current: row.committed,
            new: row.new.offset,
            log_end: Some(row.log_end),
            note: note(row),
        })
        .collect();
    changes::print(&rows, Printing { is_executed: args.execute, no_header: args.no_header }, global, ui)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_javas_or_ours() {
        for (text, ms) in [("PT1H", 3_600_000), ("P1DT1S", 86_401_000), ("90m", 5_400_000), ("1h", 3_600_000)] {
            assert_eq!(ago(text), Ok(now_ms() - ms), "{text}");
        }
        for bad in ["", "x", "P1Y", "PT"] {
            assert!(ago(bad).is_err(), "{bad:?}");
        }
    }
}
