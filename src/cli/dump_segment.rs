//! `logdir dump-segment`: what is in the files of a log directory, batch by batch or record by record.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args::{GlobalArgs, offset_arg};
use super::range::{OffsetArg, Offsets};
use super::ui::{Problem, Ui};
use super::{Outcome, man, size};

/// What a file is, whatever its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileKind {
    /// Batches (.log)
    Log,
    /// Offset index (.index)
    Index,
    /// Time index (.timeindex)
    #[value(name = "timeindex")]
    TimeIndex,
    /// Aborted transactions (.txnindex)
    #[value(name = "txnindex")]
    TxnIndex,
    /// Producer state (.snapshot)
    Snapshot,
    /// A checkpoint of offsets (recovery-point-offset-checkpoint and its like)
    Checkpoint,
    /// leader-epoch-checkpoint
    #[value(name = "leader-epoch-checkpoint")]
    LeaderEpochCheckpoint,
    /// partition.metadata
    #[value(name = "partition-metadata")]
    PartitionMetadata,
    /// meta.properties
    #[value(name = "meta-properties")]
    MetaProperties,
}

/// Print batches and records of segment, index, snapshot and checkpoint files
///
/// Three outputs: a table, JSON lines, and --output kafka, the text of kafka-dump-log.sh.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("dump-segment"))]
pub struct DumpSegmentArgs {
    /// Files, partition directories, log directories or globs; - is stdin
    #[arg(value_name = "PATH", required_unless_present = "files")]
    pub paths: Vec<PathBuf>,
    /// Files, as a comma list (kafka-dump-log.sh)
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub files: Vec<PathBuf>,
    /// Take the files for this kind, whatever their names say
    #[arg(long = "as", value_name = "KIND", hide_short_help = true)]
    pub kind: Option<FileKind>,
    /// Only batches with offsets in this range: 5, 5:10, -10, @-1h, ... (see consume)
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, value_parser = offset_arg)]
    pub offset: Vec<OffsetArg>,
    /// Stop after N rows of each file
    #[arg(short, long, value_name = "N", aliases = ["max-messages", "num"])]
    pub count: Option<u64>,
    /// One row per batch (default)
    #[arg(long, conflicts_with = "records")]
    pub batches: bool,
    /// One row per record
    #[arg(long)]
    pub records: bool,
    /// Show a batch field by field, with its bytes
    #[arg(long, conflicts_with_all = ["records", "summary"])]
    pub hex: bool,
    /// One row per file: counts, offsets, times, codecs
    #[arg(long, conflicts_with_all = ["records", "batches"])]
    pub summary: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
    /// Stop at the first file that cannot be read
    #[arg(long, hide_short_help = true)]
    pub fail_fast: bool,
    /// Largest batch, decompressed; one beyond it is damage
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,

    /// Only batches of this producer (repeatable)
    #[arg(long, value_name = "ID", help_heading = "Selection", allow_negative_numbers = true)]
    pub producer_id: Vec<i64>,
    /// Only batches written in this leader epoch (repeatable)
    #[arg(long, value_name = "N", help_heading = "Selection", allow_negative_numbers = true)]
    pub leader_epoch: Vec<i32>,
    /// Only batches of transactions
    #[arg(long, help_heading = "Selection")]
    pub transactional: bool,
    /// Only control batches
    #[arg(long, help_heading = "Selection")]
    pub control: bool,
    /// Only records with exactly this key, and batches that hold one (repeatable)
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, help_heading = "Selection")]
    pub key: Vec<OsString>,

    /// Records too, even of uncompressed batches
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub deep_iteration: bool,
    /// Records with their keys and values
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub print_data_log: bool,
    /// Leave the metadata of records out
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub skip_record_metadata: bool,
    /// Check an index by itself, without printing it
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub index_sanity_check: bool,
    /// Check an index against its log, without printing it
    #[arg(long, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub verify_index_only: bool,
    /// Read at most this much of each log
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Options of kafka-dump-log.sh", hide_short_help = true)]
    pub max_bytes: Option<u64>,
    /// Largest message looked at when an index is checked
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = size::parse,
        default_value = "5MiB",
        help_heading = "Options of kafka-dump-log.sh",
        hide_short_help = true
    )]
    pub max_message_size: u64,
}

impl DumpSegmentArgs {
    /// The range to show.
    pub fn offsets(&self) -> anyhow::Result<Offsets> {
        Offsets::new(&self.offset).map_err(|error| Problem::usage(format!("--offset: {error}")).into())
    }

    /// Everything named, in the order given, `--files` last.
    pub fn all_paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().chain(&self.files)
    }
}

/// Prints what the files hold.
pub fn run(_args: &DumpSegmentArgs, _global: &GlobalArgs, _ui: &mut Ui) -> anyhow::Result<Outcome> {
    // MERGE: the body of the command goes here.
    anyhow::bail!("not wired")
}
