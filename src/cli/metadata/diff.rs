//! `logdir metadata diff`: what is otherwise at another moment, and the records that made it so.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::source::MomentArg;
use super::{SourceArgs, leaf_json, source};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::select::storage_problem;
use crate::cli::json_row::JsonRow;
use crate::cli::table::TimeText;
use crate::cli::ui::{Pipe, Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::image::{Change, Leaf, MetadataImage, Secrets, diff, touched};
use crate::schema::metadata::Decoded;
use crate::storage::metadata_log::{Content, Entry, MetadataLog, Moment};
use crate::types::{Offset, TimestampMs};

/// Records that are named of all that touched a node: the last ones.
const RECORDS_MAX: usize = 8;

/// Show what changed between two moments, and which records did it
///
/// Added, removed and changed nodes of the tree, with the old and the new value, and offset, time and type of the
/// records that touched them. FROM and TO may also be two snapshots or metadata logs: then there are no records to name.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("metadata diff"))]
pub struct DiffArgs {
    /// Moment (N, -N, @T, start) or file to begin with
    #[arg(value_name = "FROM", allow_hyphen_values = true, value_parser = End::parse)]
    pub from: End,
    /// Moment or file to compare it with
    #[arg(value_name = "TO", allow_hyphen_values = true, value_parser = End::parse)]
    pub to: End,
    /// Where the metadata comes from.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// One side of the comparison.
#[derive(Debug, Clone)]
pub enum End {
    /// A moment of the metadata log.
    Moment(MomentArg),
    /// Another file or directory.
    File(PathBuf),
}

impl End {
    /// What the grammar of offsets knows is a moment, all else a file.
    pub fn parse(text: &str) -> Result<End, String> {
        match MomentArg::parse(text) {
            Ok(moment) => Ok(End::Moment(moment)),
            Err(_) if Path::new(text).exists() => Ok(End::File(PathBuf::from(text))),
            Err(error) => Err(format!("{error}; and no file of this name is there")),
        }
    }
}

/// Prints what changed.
pub fn run(args: &DiffArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let form = Form {
        json: match global.output() {
            None | Some(OutputFormat::Table) => false,
            Some(OutputFormat::Json) => true,
            Some(OutputFormat::Tsv | OutputFormat::Kafka | OutputFormat::Prometheus) => {
                return Err(Problem::usage("diff prints text or JSON").hint("use --json").into());
            }
        },
        secrets: args.source.secrets(),
    };
    match (&args.from, &args.to) {
        (End::Moment(from), End::Moment(to)) => {
            let log = source::open(args.source.path.as_deref(), global)?;
            moments(&log, from, to, form, ui)
        }
        (from, to) => {
            let (from, mut outcome) = side(from, args, global, ui)?;
            let (to, other) = side(to, args, global, ui)?;
            outcome |= other;
            let counts = show(&from, &to, &Touches::default(), form, ui)?;
            if let (Some(Counts { added, removed, changed }), false) = (counts, form.json) {
                ui.note(&format!("{added} added, {removed} removed, {changed} changed"));
            }
            Ok(outcome)
        }
    }
}

fn side(end: &End, args: &DiffArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<(MetadataImage, Outcome)> {
    match end {
        End::Moment(moment) => source::image(&source::open(args.source.path.as_deref(), global)?, moment, ui),
        End::File(path) => {
            let log = MetadataLog::open(path).map_err(|error| source::problem(&error))?;
            source::image(&log, &MomentArg::parse("end").map_err(Problem::usage)?, ui)
        }
    }
}

fn moments(log: &MetadataLog, from: &MomentArg, to: &MomentArg, form: Form, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let (start, end) = (from.of(log)?, to.of(log)?);
    for (moment, arg) in [(start, from), (end, to)] {
        within(log, moment, arg)?;
    }
    if is_reversed(log, start, end)? {
        let text = format!("TO ({}) is before FROM ({})", to.text(), from.text());
        return Err(Problem::usage(text).hint(format!("logdir metadata diff {} {}", to.text(), from.text())).into());
    }
    let mut replay = log.replay(start).map_err(|error| source::problem(&error))?;
    replay.advance(start, &mut |_, _| {}).map_err(|error| storage_problem(&error))?;
    let (before, first) = (replay.image().clone(), replay.next_offset());
    let mut touches = Touches::default();
    replay.advance(end, &mut |entry, image| touches.add(entry, image)).map_err(|error| storage_problem(&error))?;
    let outcome = source::report(log, &replay, end, ui);
    let last = replay.next_offset();
    if let Some(Counts { added, removed, changed }) = show(&before, replay.image(), &touches, form, ui)? {
        if form.json {
            JsonRow::new("summary")
                .field("from_offset", first.get())
                .field("to_offset", last.get())
                .field("added", added)
                .field("removed", removed)
                .field("changed", changed)
                .write(ui.out().buffer());
        } else {
            ui.note(&format!("offsets {first} to {last}: {added} added, {removed} removed, {changed} changed"));
        }
    }
    Ok(outcome)
}

/// Refuses an offset behind the end: what was not written yet is not the same as what did not change.
fn within(log: &MetadataLog, moment: Moment, arg: &MomentArg) -> anyhow::Result<()> {
    let Moment::At(offset) = moment else { return Ok(()) };
    // A snapshot may reach further than the log it is beside.
    let newest = log.snapshots().first().and_then(|snapshot| snapshot.id).map(|(end, _)| end);
    let end = Some(log.log_end().map_err(|error| storage_problem(&error))?).max(newest).unwrap_or_default();
    if offset <= end {
        return Ok(());
    }
    let text = format!("offset {offset} is behind the end of the log, {end}");
    let hint = format!("the end is 'end', its last ten records begin at -10; '{}' was given", arg.text());
    Err(Problem::new("out_of_range", text).path(log.path()).hint(hint).into())
}

/// Whether `end` comes before `start`. An offset and a time are compared by what is read up to them.
fn is_reversed(log: &MetadataLog, start: Moment, end: Moment) -> anyhow::Result<bool> {
    let offset_at = |moment: Moment| -> anyhow::Result<Offset> {
        if let Moment::At(offset) = moment {
            return Ok(offset);
        }
        let mut replay = log.replay(moment).map_err(|error| source::problem(&error))?;
        replay.advance(moment, &mut |_, _| {}).map_err(|error| storage_problem(&error))?;
        Ok(replay.next_offset())
    };
    Ok(match (start, end) {
        (Moment::At(start), Moment::At(end)) => end < start,
        (Moment::Time(start), Moment::Time(end)) => end < start,
        (_, Moment::End) => false,
        (start, end) => offset_at(end)? < offset_at(start)?,
    })
}

#[derive(Debug, Clone, Copy)]
struct Form {
    json: bool,
    secrets: Secrets,
}

/// A record that touched a node.
#[derive(Debug, Clone, Copy)]
struct Touch {
    offset: Offset,
    timestamp_ms: TimestampMs,
    name: &'static str,
}

/// The records that touched each node. Memory: the nodes that were touched, not the records.
#[derive(Debug, Default)]
struct Touches(HashMap<String, (u64, VecDeque<Touch>)>);

impl Touches {
    fn add(&mut self, entry: &Entry<'_>, image: &MetadataImage) {
        let (offset, timestamp_ms) = (entry.offset, entry.timestamp_ms);
        match &entry.content {
            Content::Data(Decoded::Known(known)) => {
                let touch = Touch { offset, timestamp_ms, name: known.message.name };
                touched(&known.typed(), image).into_iter().for_each(|path| self.note(path, touch));
            }
            Content::Control { record, kind } => {
                let touch = Touch { offset, timestamp_ms, name: kind.kafka_name() };
                record.touched().iter().for_each(|path| self.note((*path).to_owned(), touch));
            }
            Content::Data(Decoded::Unknown { .. }) | Content::Unreadable(_) => {}
        }
    }

    fn note(&mut self, path: String, touch: Touch) {
        let (count, last) = self.0.entry(path).or_default();
        *count += 1;
        if last.len() == RECORDS_MAX {
            last.pop_front();
        }
        last.push_back(touch);
    }

    /// The last records that touched the node at `path` or one above it, and how many more did.
    fn of(&self, path: &str) -> (Vec<Touch>, u64) {
        let (mut found, mut count) = (Vec::new(), 0);
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for (more, last) in ends.filter_map(|end| self.0.get(path.get(..end)?)) {
            found.extend(last.iter().copied());
            count += more;
        }
        found.sort_by_key(|touch| touch.offset);
        found.drain(..found.len().saturating_sub(RECORDS_MAX));
        let more = count - found.len() as u64;
        (found, more)
    }
}

fn kind_of(change: &Change<'_>) -> &'static str {
    match (change.old, change.new) {
        (None, _) => "added",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) => "changed",
    }
}

/// How many leaves there are of each kind of change.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
}

/// Prints the changes; `None` when nobody reads them any more.
fn show(
    from: &MetadataImage,
    to: &MetadataImage,
    touches: &Touches,
    form: Form,
    ui: &mut Ui,
) -> anyhow::Result<Option<Counts>> {
    let (mut times, mut counts) = (ui.time_text(), Counts::default());
    for change in diff(from, to) {
        match (change.old, change.new) {
            (None, _) => counts.added += 1,
            (_, None) => counts.removed += 1,
            _ => counts.changed += 1,
        }
        let (records, more) = touches.of(&change.path);
        let out = ui.out().buffer();
        if form.json {
            json_row(&change, &records, more, form.secrets, out);
        } else {
            text_block(&change, &records, more, form.secrets, &mut times, out);
        }
        if ui.out().drain()? == Pipe::Closed {
            return Ok(None);
        }
    }
    Ok(Some(counts))
}

fn json_row(change: &Change<'_>, records: &[Touch], more: u64, secrets: Secrets, out: &mut Vec<u8>) {
    let value = |leaf: Option<Leaf<'_>>| leaf.map(|leaf| leaf_json::leaf(&leaf, secrets));
    let record = |touch: &Touch| json!({ "offset": touch.offset.get(), "timestamp_ms": touch.timestamp_ms, "record_type": touch.name });
    JsonRow::new("change")
        .field("change", kind_of(change))
        .field("path", change.path.as_str())
        .field("old", value(change.old))
        .field("new", value(change.new))
        .field("records", records.iter().map(record).collect::<Vec<_>>())
        .field("more_records", more)
        .write(out);
}

fn text_block(
    change: &Change<'_>,
    records: &[Touch],
    more: u64,
    secrets: Secrets,
    times: &mut TimeText,
    out: &mut Vec<u8>,
) {
    let mut line = |text: String| {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    };
    line(format!("{:<7}  {}", kind_of(change), change.path));
    match (change.old, change.new) {
        (Some(old), Some(new)) => {
            for (field, old, new) in fields(&old, &new, secrets) {
                let name = if field.is_empty() { String::new() } else { format!("{field}: ") };
                line(format!("         {name}{old} -> {new}"));
            }
        }
        (leaf, None) | (None, leaf) => {
            line(format!("         {}", leaf.map(|leaf| leaf.text(secrets)).unwrap_or_default()))
        }
    }
    if more > 0 {
        line(format!("         by {more} earlier records, and"));
    }
    for touch in records {
        let mut time = Vec::new();
        times.write(touch.timestamp_ms, &mut time);
        line(format!("         by offset {}  {}  {}", touch.offset, String::from_utf8_lossy(&time), touch.name));
    }
}

/// What of a leaf is otherwise: of one with fields those that are, else the whole.
fn fields(old: &Leaf<'_>, new: &Leaf<'_>, secrets: Secrets) -> Vec<(String, String, String)> {
    if let (Value::Object(before), Value::Object(after)) =
        (leaf_json::leaf(old, secrets), leaf_json::leaf(new, secrets))
    {
        let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
        let differing = after.keys().filter(|name| before.get(*name) != after.get(*name));
        let found: Vec<_> =
            differing.map(|name| (name.clone(), text(before.get(name)), text(after.get(name)))).collect();
        if !found.is_empty() {
            return found;
        }
    }
    vec![(String::new(), old.text(secrets), new.text(secrets))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_above_a_node_touch_it_and_only_the_last_are_named() {
        let mut touches = Touches::default();
        let touch = |offset| Touch { offset: Offset::new(offset), timestamp_ms: 0, name: "X" };
        for offset in 0..10 {
            touches.note("/image/topics/byName/a/0".to_owned(), touch(offset));
        }
        touches.note("/image/topics/byName/a".to_owned(), touch(3));
        touches.note("/image/topics/byName/ab".to_owned(), touch(5));
        let (found, more) = touches.of("/image/topics/byName/a/0");
        let offsets: Vec<i64> = found.iter().map(|touch| touch.offset.get()).collect();
        assert_eq!((offsets, more), (vec![3, 3, 4, 5, 6, 7, 8, 9], 3));
        assert_eq!(touches.of("/image/topics/byName/a/1").0.len(), 1);
        assert_eq!(touches.of("/image/topics/byName/b").0.len(), 0);
    }
}
