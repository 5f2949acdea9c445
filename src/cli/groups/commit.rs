//! `groups commit`.

use std::collections::BTreeSet;

use super::books::{Books, Ends};
use super::changes::{self, ChangeRow, Printing};
use super::write::{Making, broker_number, check_whole, prepare, why_not, write};
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::topic_not_found;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::coordinator::group_log::Change;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// Commit offsets of a group by hand
///
/// Acts at once; -n says what it would do. What stands there is the next offset the group reads, as a consumer commits it.
/// A group that has members is left alone, as by a broker, and so is an offset that the log does not reach, unless --force
/// says otherwise. reset-offsets finds offsets by time, by distance or by end.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups commit"))]
pub struct CommitArgs {
    /// The group; one that is not there is made
    #[arg(value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    group: String,
    /// What it commits: the next offset to be read, and if known the leader epoch of the record before it
    #[arg(value_name = "TOPIC:PARTITION=OFFSET[,EPOCH]", required = true, value_parser = Committing::parse)]
    offsets: Vec<Committing>,
    /// What stands beside each of them, as a client's own metadata does
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    metadata: String,
    /// Say what would be committed, write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Offsets outside the log too, and of a group that has members: those are gone
    #[arg(long)]
    force: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

/// One offset.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Committing {
    partition: TopicPartition,
    offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
}

impl Committing {
    fn parse(text: &str) -> Result<Committing, String> {
        let bad = || "expected TOPIC:PARTITION=OFFSET, or TOPIC:PARTITION=OFFSET,EPOCH".to_owned();
        let (place, position) = text.rsplit_once('=').ok_or_else(bad)?;
        let (topic, partition) = place.rsplit_once(':').filter(|(topic, _)| !topic.is_empty()).ok_or_else(bad)?;
        let (offset, epoch) = match position.split_once(',') {
            Some((offset, epoch)) => (offset, Some(epoch)),
            None => (position, None),
        };
        let partition: i32 = number(partition, "partition")?;
        let offset: i64 = number(offset, "offset")?;
        let epoch = epoch.map(|epoch| number(epoch, "leader epoch")).transpose()?;
        Ok(Committing {
            partition: TopicPartition::new(topic, partition),
            offset: Offset::new(offset),
            leader_epoch: epoch.map(LeaderEpoch),
        })
    }
}

/// A number that is not below zero.
fn number<N: std::str::FromStr + PartialOrd + Default>(text: &str, what: &str) -> Result<N, String> {
    text.parse().ok().filter(|number| *number >= N::default()).ok_or_else(|| format!("'{text}' is no {what}"))
}

/// `offset.metadata.max.bytes` of a broker that is not told otherwise.
const METADATA_MAX: i64 = 4096;

/// Commits them.
pub fn run(args: &CommitArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = args.offsets.iter().find(|it| !seen.insert(&it.partition)) {
        return Err(Problem::usage(format!("{} is named twice", twice.partition)).into());
    }
    let metadata_max = broker_number(global, "offset.metadata.max.bytes")?.unwrap_or(METADATA_MAX);
    let length = args.metadata.encode_utf16().count();
    if i64::try_from(length).unwrap_or(i64::MAX) > metadata_max {
        // As the coordinator refuses it (`OFFSET_METADATA_TOO_LARGE`).
        let text = format!("--metadata is of {length} characters; a broker takes {metadata_max}");
        return Err(Problem::usage(text).hint("offset.metadata.max.bytes of -F allows more").into());
    }
    if !args.dry_run {
        prepare(global, ui)?;
    }
    let books = Books::open(global, ui)?;
    let id = args.group.as_str();
    check_whole(&books, &[id])?;
    let group = books.coordinator.group(id);
    if let Some(problem) = group.and_then(|group| why_not(id, group, args.force)) {
        return Err(problem.into());
    }
    let wanted: BTreeSet<TopicPartition> = args.offsets.iter().map(|it| it.partition.clone()).collect();
    let (ends, told) = books.ends(&wanted, global, ui)?;
    let outcome = books.outcome() | told;
    let mut rows = Vec::new();
    let mut commits = Vec::new();
    for it in &args.offsets {
        let ends = ends.get(&it.partition).copied();
        let note = check(it, ends, &books, args.force)?;
        let current = group.and_then(|group| group.offsets.get(&it.partition)).map(|it| it.committed.offset);
        let log_end = ends.map(|ends| ends.log_end);
        rows.push(ChangeRow { group: id, partition: &it.partition, current, new: it.offset, log_end, note });
        let committed = CommittedOffset {
            offset: it.offset,
            leader_epoch: it.leader_epoch,
            metadata: args.metadata.clone(),
            commit_ms: now_ms(),
            expire_ms: None,
            topic_id: None,
        };
        commits.push(Change::Commit(it.partition.clone(), committed));
    }
    let making = Making::of(&books, &[id], global)?;
    if !args.dry_run {
        write(&books, &[(id, commits)], making.as_ref(), ui)?;
    }
    changes::print(&rows, Printing { is_executed: !args.dry_run, no_header: args.no_header }, global, ui)?;
    let plural = if rows.len() == 1 { "offset" } else { "offsets" };
    if args.dry_run {
        if let Some(making) = &making {
            making.say_planned(ui);
        }
        ui.note("nothing written; run again without -n");
    } else {
        ui.note(&format!("{} {plural} committed", rows.len()));
    }
    Ok(outcome)
}

/// Whether a consumer could go on from there: what should be known of it, or why not.
fn check(it: &Committing, ends: Option<Ends>, books: &Books, force: bool) -> anyhow::Result<Option<String>> {
    let partition = &it.partition;
    let Some(ends) = ends else {
        if books.is_known(partition) {
            return Ok(Some("no such log here".to_owned()));
        }
        let all = books.all_partitions();
        let topics: BTreeSet<&str> = all.iter().map(|partition| partition.topic.as_str()).collect();
        if !topics.contains(partition.topic.as_str()) {
            return Err(topic_not_found(&partition.topic, &topics, &books.paths).into());
        }
        let text = format!("topic '{}' has no partition {} here", partition.topic, partition.partition);
        return Err(Problem::new("not_found", text).hint("see which it has with: logdir topics describe").into());
    };
    let outside = if it.offset > ends.log_end {
        Some(format!("{} is above the log end of {partition}, {}", it.offset, ends.log_end))
    } else if it.offset < ends.log_start {
        Some(format!("{} is below the log start of {partition}, {}", it.offset, ends.log_start))
    } else {
        let newest = it.leader_epoch.and_then(|epoch| books.leader_epoch(partition).filter(|newest| epoch > *newest));
        newest
            .zip(it.leader_epoch)
            .map(|(newest, epoch)| format!("leader epoch {epoch} is above the newest of {partition}, {newest}"))
    };
    match outside {
        Some(text) if !force => {
            let hint = format!(
                "a consumer would not resume there; the log has {} to {} (its end); go past it with --force",
                ends.log_start, ends.log_end
            );
            Err(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint).into())
        }
        outside => Ok(outside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_of_a_partition_and_may_have_an_epoch() {
        let parsed = |text: &str| {
            let it = Committing::parse(text)?;
            Ok((it.partition.to_string(), it.offset.get(), it.leader_epoch.map(|epoch| epoch.0)))
        };
        assert_eq!(parsed("orders:0=42"), Ok(("orders-0".to_owned(), 42, None)));
        assert_eq!(parsed("a.b-c:12=0,7"), Ok(("a.b-c-12".to_owned(), 0, Some(7))));
        for (bad, said) in [
            ("orders=5", "expected TOPIC:PARTITION=OFFSET"),
            ("orders:0", "expected TOPIC:PARTITION=OFFSET"),
            (":0=5", "expected TOPIC:PARTITION=OFFSET"),
            ("orders:x=5", "'x' is no partition"),
            ("orders:-1=5", "'-1' is no partition"),
            ("orders:0=-5", "'-5' is no offset"),
            ("orders:0=latest", "'latest' is no offset"),
            ("orders:0=5,x", "'x' is no leader epoch"),
        ] {
            let error: Result<_, String> = parsed(bad);
            assert!(error.as_ref().is_err_and(|error| error.contains(said)), "{bad}: {error:?}");
        }
    }
}
