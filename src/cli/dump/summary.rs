//! Totals instead of rows: of each file, of each directory, of everything.
//!
//! Logs are read in parallel; the order of the result is that of the files. In JSON each row is a
//! `summary` with `scope` (`file`, `directory`, `total`) and `path`; sizes and times are exact.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use rayon::prelude::*;

use super::json::Line;
use super::paths::Input;
use super::table::{size_text, time_text};
use super::walk::{Event, Flow, walk};
use super::{DumpOptions, DumpOutcome, Output, Report, Selection, Severity, Telling, payload_code};
use crate::batch::{Decompressor, Frame};
use crate::types::{Codec, Offset};

pub(super) fn dump(
    options: &DumpOptions,
    inputs: &[Input],
    out: &mut dyn Write,
    telling: &mut Telling<'_>,
) -> io::Result<()> {
    let logs: Vec<&Input> = inputs.iter().filter(|input| input.kind.is_some_and(|kind| kind.has_batches())).collect();
    let read: Vec<(Totals, DumpOutcome, Vec<Report>)> = logs.par_iter().map(|input| of_log(options, input)).collect();
    let mut rows = Vec::new();
    let mut total = Totals::default();
    let mut directory = Totals::default();
    for (at, (totals, outcome, reports)) in read.into_iter().enumerate() {
        telling.outcome.damage |= outcome.damage;
        telling.outcome.unreadable |= outcome.unreadable;
        reports.into_iter().for_each(|report| telling.say(report));
        if telling.is_over(options) {
            break;
        }
        let Some(input) = logs.get(at) else { continue };
        total.add(&totals);
        directory.add(&totals);
        rows.push(("file", input.path.display().to_string(), totals));
        if logs.get(at + 1).is_none_or(|next| next.group != input.group) {
            let whole = std::mem::take(&mut directory);
            if logs.len() > 1 {
                rows.push(("directory", input.group_name.display().to_string(), whole));
            }
        }
    }
    rows.push(("total", String::new(), total));
    if options.output == Output::Json {
        return json(&rows, out);
    }
    // The total of a single file is the file's.
    if logs.len() == 1 {
        rows.truncate(1);
    }
    table(options, &rows, out)
}

/// Smallest, largest and sum of some sizes.
#[derive(Debug, Clone, Default)]
struct Sizes {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Sizes {
    fn push(&mut self, size: u64) {
        self.min = if self.count == 0 { size } else { self.min.min(size) };
        self.max = self.max.max(size);
        self.sum += size;
        self.count += 1;
    }

    fn add(&mut self, other: &Sizes) {
        if other.count > 0 {
            self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
            self.max = self.max.max(other.max);
            self.sum += other.sum;
            self.count += other.count;
        }
    }

    fn average(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct CodecTotals {
    batches: u64,
    /// Bytes of the record section as stored, and decompressed.
    stored: u64,
    plain: u64,
}

#[derive(Debug, Clone, Default)]
struct Totals {
    files: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    codecs: BTreeMap<Codec, CodecTotals>,
    magics: BTreeMap<i8, u64>,
    producers: HashSet<i64>,
    keys: Sizes,
    values: Sizes,
    first_offset: Option<i64>,
    last_offset: Option<i64>,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    tombstones: u64,
    control_batches: u64,
    transactional_batches: u64,
    damages: u64,
    damaged_bytes: u64,
    doubts: u64,
}

fn lower(into: &mut Option<i64>, other: Option<i64>) {
    *into = into.iter().chain(&other).copied().min();
}

fn higher(into: &mut Option<i64>, other: Option<i64>) {
    *into = into.iter().chain(&other).copied().max();
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.files += other.files;
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
        for (codec, totals) in &other.codecs {
            let own = self.codecs.entry(*codec).or_default();
            own.batches += totals.batches;
            own.stored += totals.stored;
            own.plain += totals.plain;
        }
        for (magic, batches) in &other.magics {
            *self.magics.entry(*magic).or_default() += batches;
        }
        self.producers.extend(&other.producers);
        self.keys.add(&other.keys);
        self.values.add(&other.values);
        lower(&mut self.first_offset, other.first_offset);
        higher(&mut self.last_offset, other.last_offset);
        lower(&mut self.first_ms, other.first_ms);
        higher(&mut self.last_ms, other.last_ms);
        self.tombstones += other.tombstones;
        self.control_batches += other.control_batches;
        self.transactional_batches += other.transactional_batches;
        self.damages += other.damages;
        self.damaged_bytes += other.damaged_bytes;
        self.doubts += other.doubts;
    }

    /// Counts one sound batch; what ended its records early.
    fn batch(
        &mut self,
        select: &Selection,
        frame: &Frame<'_>,
        decompressor: &mut Decompressor,
    ) -> Result<(), crate::batch::PayloadError> {
        let codec = frame.codec()?;
        self.batches += 1;
        self.bytes += frame.size_bytes();
        *self.magics.entry(frame.magic()).or_default() += 1;
        if frame.producer_id().is_some() {
            self.producers.insert(frame.producer_id().0);
        }
        self.control_batches += u64::from(frame.is_control());
        self.transactional_batches += u64::from(frame.is_transactional());
        higher(&mut self.last_offset, Some(frame.last_offset().get()));
        lower(&mut self.first_offset, frame.base_offset().map(Offset::get));
        let of_codec = self.codecs.entry(codec).or_default();
        of_codec.batches += 1;
        let stored = match frame {
            Frame::Batch(batch) => batch.payload().len(),
            Frame::Message(message) => message.value().map_or(0, <[u8]>::len),
        };
        of_codec.stored += stored as u64;
        let mut plain = 0;
        let mut ended = Ok(());
        for record in frame.records(decompressor)? {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            };
            // A message's stored bytes leave out offset and length.
            plain += record.raw.len() as u64 + if frame.magic() < 2 { 12 } else { 0 };
            if !select.holds(&record) {
                continue;
            }
            self.records += 1;
            lower(&mut self.first_offset, Some(record.offset.get()));
            if record.timestamp_ms >= 0 {
                lower(&mut self.first_ms, Some(record.timestamp_ms));
                higher(&mut self.last_ms, Some(record.timestamp_ms));
            }
            if !frame.is_control() {
                self.tombstones += u64::from(record.is_tombstone());
                record.key.iter().for_each(|key| self.keys.push(key.len() as u64));
                record.value.iter().for_each(|value| self.values.push(value.len() as u64));
            }
        }
        if let Some(of_codec) = self.codecs.get_mut(&codec) {
            // What is not compressed is stored as it is, whatever a message's own fields add.
            of_codec.plain += if codec == Codec::None { stored as u64 } else { plain };
        }
        ended
    }
}

fn of_log(options: &DumpOptions, input: &Input) -> (Totals, DumpOutcome, Vec<Report>) {
    let mut totals = Totals { files: 1, ..Totals::default() };
    let mut outcome = DumpOutcome::default();
    let mut reports = Vec::new();
    let mut report = |report| reports.push(report);
    let mut telling = Telling { report: &mut report, outcome: &mut outcome };
    let mut decompressor = Decompressor::with_cap(options.max_batch_bytes);
    let walked = walk(options, input, &mut telling, &mut |event, telling| {
        match event {
            Event::Batch { wrong: Some(_), .. } => {}
            Event::Batch { position, frame, doubt, .. } => {
                totals.doubts += u64::from(doubt.is_some());
                let selected =
                    input.select.key.is_none() || super::rows::holds_selected(&input.select, &frame, &mut decompressor);
                if selected && let Err(error) = totals.batch(&input.select, &frame, &mut decompressor) {
                    totals.damages += 1;
                    let message = format!("records: {error}");
                    let report = Report::new(Severity::Error, payload_code(&error), &input.path, message);
                    telling.damage(report.at(position, frame.base_offset().map(Offset::get)));
                }
            }
            Event::Damage(damage) => {
                totals.damages += 1;
                totals.damaged_bytes += damage.end.get() - damage.position.get();
            }
            Event::Tail(..) => {}
        }
        Ok(Flow::On)
    });
    debug_assert!(walked.is_ok(), "nothing is written while a log is summed up");
    (totals, outcome, reports)
}

fn json(rows: &[(&'static str, String, Totals)], out: &mut dyn Write) -> io::Result<()> {
    let mut line = Line::default();
    for (scope, path, totals) in rows {
        line.open("summary").text("scope", scope);
        match *scope {
            "total" => line.null("path"),
            _ => line.text("path", path),
        };
        line.int("files", totals.files).int("batches", totals.batches).int("records", totals.records);
        line.int("size_bytes", totals.bytes);
        line.optional("first_offset", totals.first_offset).optional("last_offset", totals.last_offset);
        line.optional("first_timestamp_ms", totals.first_ms).optional("last_timestamp_ms", totals.last_ms);
        line.int("producers", totals.producers.len());
        for (name, sizes) in [("key", &totals.keys), ("value", &totals.values)] {
            let some = |value: u64| (sizes.count > 0).then_some(value);
            line.int(&format!("{name}s"), sizes.count).optional(&format!("{name}_min_bytes"), some(sizes.min));
            line.optional(&format!("{name}_avg_bytes"), some(sizes.average()));
            line.optional(&format!("{name}_max_bytes"), some(sizes.max));
        }
        line.int("tombstones", totals.tombstones);
        line.int("control_batches", totals.control_batches).int("transactional_batches", totals.transactional_batches);
        line.array("codecs", totals.codecs.iter(), |line, (codec, of)| {
            line.text("codec", codec.name()).int("batches", of.batches);
            line.int("stored_bytes", of.stored).int("uncompressed_bytes", of.plain);
        });
        line.array("magics", totals.magics.iter(), |line, (magic, batches)| {
            line.int("magic", *magic).int("batches", *batches);
        });
        line.int("damages", totals.damages).int("damaged_bytes", totals.damaged_bytes).int("doubts", totals.doubts);
        line.close(out)?;
    }
    line.flush(out)
}

fn table(options: &DumpOptions, rows: &[(&'static str, String, Totals)], out: &mut dyn Write) -> io::Result<()> {
    for (at, (scope, path, totals)) in rows.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        match *scope {
            "total" => writeln!(out, "total, {} files", totals.files)?,
            "directory" => writeln!(out, "{path}, {} files", totals.files)?,
            _ => writeln!(out, "{path}")?,
        }
        let size = |bytes| size_text(bytes, options.exact_bytes);
        let mut line = |name: &str, value: String| writeln!(out, "  {name:<15}{value}");
        line("batches", totals.batches.to_string())?;
        line("records", totals.records.to_string())?;
        line("bytes", size(totals.bytes))?;
        if let (Some(first), Some(last)) = (totals.first_offset, totals.last_offset) {
            line("offsets", format!("{first} to {last}"))?;
        }
        if let (Some(first), Some(last)) = (totals.first_ms, totals.last_ms) {
            line("timestamps", format!("{} to {}", time_text(first), time_text(last)))?;
        }
        let codecs: Vec<String> = totals.codecs.iter().map(|(codec, of)| codec_line(*codec, of)).collect();
        line("codecs", if codecs.is_empty() { "-".to_owned() } else { codecs.join(", ") })?;
        let magics: Vec<String> = totals.magics.iter().map(|(magic, count)| format!("{magic}: {count}")).collect();
        line("magic", if magics.is_empty() { "-".to_owned() } else { magics.join(", ") })?;
        line("producers", totals.producers.len().to_string())?;
        for (name, sizes) in [("keys", &totals.keys), ("values", &totals.values)] {
            let text = match sizes.count {
                0 => "none".to_owned(),
                count => {
                    format!("{count}, {} to {}, average {}", size(sizes.min), size(sizes.max), size(sizes.average()))
                }
            };
            line(name, text)?;
        }
        line("tombstones", totals.tombstones.to_string())?;
        line("control", format!("{} batches", totals.control_batches))?;
        line("transactional", format!("{} batches", totals.transactional_batches))?;
        if totals.damages > 0 {
            line("damage", format!("{} places, {}", totals.damages, size(totals.damaged_bytes)))?;
        }
        if totals.doubts > 0 {
            line("out of place", format!("{} batches", totals.doubts))?;
        }
    }
    Ok(())
}

/// `zstd: 12 batches, ratio 3.4`
fn codec_line(codec: Codec, of: &CodecTotals) -> String {
    let ratio = (of.plain * 10 + of.stored / 2).checked_div(of.stored).unwrap_or(0);
    match codec {
        Codec::None => format!("none: {} batches", of.batches),
        codec => format!("{codec}: {} batches, ratio {}.{}", of.batches, ratio / 10, ratio % 10),
    }
}
