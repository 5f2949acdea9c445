//! What `dump-segment` prints: the contents of any file of a log directory, for people, for programs
//! and for scripts that parse the output of `kafka-dump-log.sh`.
//!
//! [`run`] is the whole command behind its arguments: it finds the files, reads them, writes to one
//! stream and says what is wrong with them on another. Damage never ends a dump.
//!
//! - `kafka`: the text of Kafka's own tool, byte for byte ([`kafka`] lists where we leave it, and why);
//! - `json`: one object a line ([`json`] documents the rows);
//! - `table`: columns for people;
//! - a hex view of single batches, and a summary instead of rows.

mod control_json;
mod hex;
mod java_text;
pub mod json;
pub mod kafka;
mod paths;
mod rows;
mod selection;
mod summary;
mod table;
mod walk;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use paths::FileKind;
pub use selection::Selection;

use crate::cli::decode::Decode;
use crate::cli::message::{batch_code, payload_code};
use crate::cli::range::Offsets;
use crate::storage::fs::{StorageError, StorageErrorKind};

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// One object a line.
    Json,
    /// The text of `kafka-dump-log.sh`.
    Kafka,
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// One batch.
    #[default]
    Batches,
    /// One record.
    Records,
}

/// Bytes of logs gone through so far, for whoever shows progress on another thread.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// The bytes so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What to dump and how.
#[derive(Debug, Clone)]
pub struct DumpOptions {
    /// Files, partition directories, log directories and glob patterns.
    pub paths: Vec<PathBuf>,
    /// Form of the output.
    pub output: Output,
    /// What a row stands for (table and JSON).
    pub level: Level,
    /// `--deep-iteration` (Kafka's text).
    pub deep_iteration: bool,
    /// `--print-data-log`: keys and values too (Kafka's text).
    pub print_data_log: bool,
    /// `--skip-record-metadata` (Kafka's text).
    pub skip_record_metadata: bool,
    /// Records as fields of what they say.
    pub decode: Option<Decode>,
    /// `--index-sanity-check`: only the check a broker makes of an index.
    pub index_sanity_check: bool,
    /// `--verify-index-only`: check indexes against the log, print no entries.
    pub verify_index_only: bool,
    /// `--max-bytes`: how much of each log to read; `i32::MAX` for all.
    pub max_bytes: i32,
    /// `--max-message-size`: how far an index entry's batch may reach.
    pub max_message_size: i32,
    /// Which batches and records to show (table, JSON, hex and summary).
    pub select: Selection,
    /// The offsets or times of them, by partition.
    pub ranges: Offsets,
    /// Stop at the first file that cannot be read.
    pub fail_fast: bool,
    /// Stop after this many rows (table, JSON and hex).
    pub count: Option<u64>,
    /// Field-by-field view of every batch instead of rows.
    pub hex: bool,
    /// Totals instead of rows.
    pub summary: bool,
    /// Take every file for this, whatever its name says.
    pub as_kind: Option<FileKind>,
    /// Cap of one decompressed batch.
    pub max_batch_bytes: usize,
    /// Leave the table's head out.
    pub no_header: bool,
    /// Exact byte counts in tables.
    pub exact_bytes: bool,
    /// Counts on as logs are read.
    pub progress: Counter,
}

impl Default for DumpOptions {
    fn default() -> Self {
        DumpOptions {
            paths: Vec::new(),
            output: Output::Table,
            level: Level::Batches,
            deep_iteration: false,
            print_data_log: false,
            skip_record_metadata: false,
            decode: None,
            index_sanity_check: false,
            verify_index_only: false,
            max_bytes: i32::MAX,
            max_message_size: 5 << 20,
            select: Selection::default(),
            ranges: Offsets::default(),
            fail_fast: false,
            count: None,
            hex: false,
            summary: false,
            as_kind: None,
            max_batch_bytes: crate::batch::compression::MAX_BATCH_BYTES,
            no_header: false,
            exact_bytes: false,
            progress: Counter::default(),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Damage, or a file that cannot be read.
    Error,
    /// Odd, but nothing is lost by it: a torn tail, for example.
    Warning,
    /// Worth knowing.
    Notice,
}

/// Something to tell the person, on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for it.
    pub code: &'static str,
    /// The file.
    pub path: Option<PathBuf>,
    /// Byte in the file.
    pub position: Option<u64>,
    /// Base offset of the batch.
    pub base_offset: Option<i64>,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Report {
    fn new(severity: Severity, code: &'static str, path: &std::path::Path, message: impl Into<String>) -> Self {
        Report {
            severity,
            code,
            path: Some(path.to_owned()),
            position: None,
            base_offset: None,
            message: message.into(),
            hint: None,
        }
    }

    fn at(mut self, position: u64, base_offset: Option<i64>) -> Self {
        self.position = Some(position);
        self.base_offset = base_offset;
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What the dump met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpOutcome {
    /// Damage was met: exit 1.
    pub damage: bool,
    /// A file or directory could not be read: exit 3.
    pub unreadable: bool,
    /// What `kafka-dump-log.sh` prints on stderr, with `--output kafka`; to be printed there as it is.
    pub kafka_stderr: Vec<u8>,
}

impl DumpOutcome {
    /// The exit code it asks for.
    pub const fn exit_code(&self) -> u8 {
        match (self.unreadable, self.damage) {
            (true, _) => 3,
            (_, true) => 1,
            _ => 0,
        }
    }
}

/// Dumps what `options` names to `out`, and tells `report` what is wrong with it.
///
/// Fails only when `out` does: a reader that went away is `BrokenPipe`.
pub fn run(options: &DumpOptions, out: &mut dyn Write, report: &mut dyn FnMut(Report)) -> io::Result<DumpOutcome> {
    let mut outcome = DumpOutcome::default();
    let inputs = {
        let mut telling = Telling { report, outcome: &mut outcome };
        paths::expand(options, &mut telling)
    };
    let mut telling = Telling { report, outcome: &mut outcome };
    if options.output == Output::Kafka {
        kafka::dump(options, &inputs, out, &mut telling)?;
    } else if options.summary {
        summary::dump(options, &inputs, out, &mut telling)?;
    } else if options.hex {
        hex::dump(options, &inputs, out, &mut telling)?;
    } else if options.output == Output::Json {
        json::dump(options, &inputs, out, &mut telling)?;
    } else {
        table::dump(options, &inputs, out, &mut telling)?;
    }
    out.flush()?;
    Ok(outcome)
}

/// Where reports go, and the outcome they make.
struct Telling<'a> {
    report: &'a mut dyn FnMut(Report),
    outcome: &'a mut DumpOutcome,
}

impl Telling<'_> {
    /// Damage: exit 1.
    fn damage(&mut self, report: Report) {
        self.outcome.damage = true;
        (self.report)(report);
    }

    /// A file that cannot be read: exit 3.
    fn unreadable(&mut self, error: &StorageError) {
        // A parser's refusal is damage; the file itself was read.
        match &error.kind {
            StorageErrorKind::Io(_) | StorageErrorKind::NotAFile | StorageErrorKind::TooLarge { .. } => {
                self.outcome.unreadable = true;
            }
            _ => self.outcome.damage = true,
        }
        let code = match &error.kind {
            StorageErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => "not_found",
            StorageErrorKind::Io(_) => "io",
            StorageErrorKind::NotAFile => "wrong_kind",
            StorageErrorKind::TooLarge { .. } => "too_large",
            _ => "malformed",
        };
        (self.report)(Report::new(Severity::Error, code, &error.path, error.kind.to_string()));
    }

    /// Whether no more files are to be read.
    const fn is_over(&self, options: &DumpOptions) -> bool {
        options.fail_fast && self.outcome.unreadable
    }

    /// No consequence for the exit code.
    fn say(&mut self, report: Report) {
        (self.report)(report);
    }
}
