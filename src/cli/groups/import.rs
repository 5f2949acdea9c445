//! `groups import`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::books::{Books, Ends};
use super::changes::{self, ChangeRow, Printing};
use super::offsets_file::{self, Planned};
use super::write::{Making, check_whole, prepare, retention_ms, why_not, write};
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::coordinator::group_log::Change;
use crate::storage::coordinator::groups::{Committed, Group};
use crate::types::{Offset, TopicPartition};

/// Commit what a file of groups export says; says what it would do, and does it with --execute
///
/// Reads Kafka's CSV and the JSON of groups export, whichever it is. Offsets are taken as they are: one that the log here
/// does not reach is pointed out (reset-offsets --from-file sets it to the nearest end). With one line that is not
/// understood nothing is taken. A group that has members is left alone, as by a broker, unless --force says that they are
/// gone.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups import"))]
pub struct ImportArgs {
    /// The file; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only of this group (repeatable); of CSV that names no groups: for this group
    #[arg(short = 'G', long, value_name = "GROUP")]
    group: Vec<String>,
    /// As if committed now: what JSON says of times is left out, so that nothing is expired
    #[arg(long)]
    renew: bool,
    /// Write it
    #[arg(long)]
    execute: bool,
    /// Only say what would be written (the default)
    #[arg(short = 'n', long, conflicts_with = "execute")]
    dry_run: bool,
    /// Groups that have members too: those are gone
    #[arg(long)]
    force: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

/// What one group commits for one partition.
struct Row<'a> {
    group: &'a str,
    partition: &'a TopicPartition,
    /// What it has committed.
    before: Option<&'a CommittedOffset>,
    after: CommittedOffset,
    notes: Vec<String>,
}

/// Says what would be committed, and with --execute commits it.
pub fn run(args: &ImportArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let planned = offsets_file::read(&args.file, ui)?;
    if args.execute {
        prepare(global, ui)?;
    }
    let books = Books::open(global, ui)?;
    let mut rows = rows(args, &planned, &books)?;
    let ids: Vec<&str> = rows.iter().map(|row| row.group).collect::<BTreeSet<_>>().into_iter().collect();
    check_whole(&books, &ids)?;
    for id in &ids {
        if let Some(problem) = books.coordinator.group(id).and_then(|group| why_not(id, group, args.force)) {
            return Err(problem.into());
        }
    }
    let wanted = rows.iter().map(|row| row.partition.clone()).collect();
    let (ends, told) = books.ends(&wanted, global, ui)?;
    let outcome = books.outcome() | told;
    for row in &mut rows {
        row.fit(&books, ends.get(row.partition).copied());
    }
    note_expired(&mut rows, &ids, &books, retention_ms(global)?);
    let making = Making::of(&books, &ids, global)?;
    let changed = |row: &&Row<'_>| row.before != Some(&row.after);
    let count = rows.iter().filter(changed).count();
    if args.execute {
        let of_group = |id: &str| {
            let rows = rows.iter().filter(|row| row.group == id).filter(changed);
            rows.map(|row| Change::Commit(row.partition.clone(), row.after.clone())).collect::<Vec<_>>()
        };
        let changes: Vec<(&str, Vec<Change>)> = ids.iter().map(|id| (*id, of_group(id))).collect();
        write(&books, &changes, making.as_ref(), ui)?;
    }
    let shown: Vec<ChangeRow<'_>> = rows.iter().map(|row| row.shown(ends.get(row.partition).copied())).collect();
    changes::print(&shown, Printing { is_executed: args.execute, no_header: args.no_header }, global, ui)?;
    let same = rows.len() - count;
    let same = if same > 0 { format!(", {same} stood there already") } else { String::new() };
    if args.execute {
        ui.note(&format!("{count} offsets of {} groups committed{same}", ids.len()));
    } else {
        if let Some(making) = &making {
            making.say_planned(ui);
        }
        ui.note("nothing written; run again with --execute");
    }
    Ok(outcome)
}

/// The file's rows of the groups that are meant, by group and partition.
fn rows<'a>(args: &'a ImportArgs, planned: &'a [Planned], books: &'a Books) -> anyhow::Result<Vec<Row<'a>>> {
    if args.group.is_empty() && planned.iter().any(|row| row.group.is_none()) {
        let problem = Problem::usage("the file does not say whose offsets these are").path(&args.file);
        return Err(problem.hint("name the group with --group").into());
    }
    let mut rows: BTreeMap<(&str, &TopicPartition), Row<'_>> = BTreeMap::new();
    for line in planned {
        let of: Vec<&str> = match &line.group {
            Some(group) if args.group.is_empty() || args.group.contains(group) => vec![group],
            Some(_) => Vec::new(),
            None => args.group.iter().map(String::as_str).collect(),
        };
        for group in of {
            let mut after = line.committed(now_ms());
            if args.renew {
                (after.commit_ms, after.expire_ms) = (now_ms(), None);
            }
            let partition = &line.partition;
            let before = books.coordinator.group(group).and_then(|group| group.offsets.get(partition));
            let before = before.map(|committed| &committed.committed);
            rows.insert((group, partition), Row { group, partition, before, after, notes: Vec::new() });
        }
    }
    if rows.is_empty() {
        return Err(Problem::new("not_found", "the file says nothing of these groups").path(&args.file).into());
    }
    Ok(rows.into_values().collect())
}

impl Row<'_> {
    /// Leaves out what would be wrong here, and notes what a person should know.
    fn fit(&mut self, books: &Books, ends: Option<Ends>) {
        let Some(ends) = ends else {
            self.notes.push("no such log here".to_owned());
            return;
        };
        if self.after.offset > ends.log_end {
            self.notes.push("above the log end".to_owned());
        } else if self.after.offset < ends.log_start {
            self.notes.push("below the log start".to_owned());
        }
        // A broker hides an offset of another topic id (`OffsetMetadataManager.fetchOffsets`), and a consumer that resumes
        // with a leader epoch its topic has not reached waits for a leader that is never there.
        let here = books.topic_id(&self.partition.topic);
        if self.after.topic_id.is_some_and(|id| here.is_some_and(|here| here != id)) {
            self.after.topic_id = None;
            self.after.leader_epoch = None;
            self.notes.push("of a topic with another id: left out with its leader epoch".to_owned());
        }
        let newest = self.after.leader_epoch.and_then(|_| books.leader_epoch(self.partition));
        if let Some((newest, epoch)) = newest.zip(self.after.leader_epoch).filter(|(newest, epoch)| epoch > newest) {
            self.after.leader_epoch = None;
            self.notes.push(format!("leader epoch {epoch} is above the log's {newest}: left out"));
        }
    }

    fn shown(&self, ends: Option<Ends>) -> ChangeRow<'_> {
        let mut notes = self.notes.clone();
        if self.before == Some(&self.after) {
            notes.insert(0, "stands there already".to_owned());
        }
        ChangeRow {
            group: self.group,
            partition: self.partition,
            current: self.before.map(|before| before.offset),
            new: self.after.offset,
            log_end: ends.map(|ends| ends.log_end),
            note: (!notes.is_empty()).then(|| notes.join(", ")),
        }
    }
}

/// Notes what a broker would remove right away.
fn note_expired(rows: &mut [Row<'_>], ids: &[&str], books: &Books, retention_ms: i64) {
    for id in ids {
        let mut group = books.coordinator.group(id).cloned().unwrap_or_else(|| Group::new(0));
        for row in rows.iter().filter(|row| row.group == *id) {
            let committed = Committed { committed: row.after.clone(), record_offset: Offset::ZERO };
            group.offsets.insert(row.partition.clone(), committed);
        }
        let expired: BTreeSet<&TopicPartition> = group.expired(retention_ms, now_ms()).into_iter().collect();
        for row in rows.iter_mut().filter(|row| row.group == *id && expired.contains(row.partition)) {
            row.notes.push("expired: a broker removes it at its next look, unless --renew".to_owned());
        }
    }
}
