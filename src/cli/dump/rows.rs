//! Rows: what table and JSON have in common. The files are read here; how a row looks is theirs.

use std::io;

use super::paths::{FileKind, Input};
use super::walk::{Event, Flow, walk};
use super::{DumpOptions, Level, Report, Selection, Severity, Telling, batch_code, payload_code};
use crate::batch::scan::{Damage, Doubt, Tail};
use crate::batch::{BatchError, Decompressor, Frame, PayloadError, RecordRef};
use crate::cli::decode::Decoder;
use crate::storage::fs::{self, StorageError};
use crate::storage::index::offset::OffsetIndex;
use crate::storage::index::time::TimeIndex;
use crate::storage::index::txn::TxnIndex;
use crate::storage::index::{self};
use crate::storage::names::PartitionFile;
use crate::storage::{checkpoint, leader_epochs, meta_properties, partition_metadata, producer_state, quorum_state};
use crate::types::{Offset, Position};

/// A batch as a row.
pub(super) struct BatchRow<'a> {
    pub position: u64,
    pub frame: Frame<'a>,
    pub wrong: Option<BatchError>,
}

/// A record as a row, with the batch it is in.
pub(super) struct RecordRow<'a> {
    pub position: u64,
    pub frame: &'a Frame<'a>,
    pub record: RecordRef<'a>,
    /// What reads the record's key and value.
    pub decoder: Option<Decoder>,
}

/// Bytes that cannot be shown as rows.
pub(super) struct DamageRow {
    pub position: u64,
    pub end_position: u64,
    pub code: &'static str,
    pub message: String,
    pub expected_offset: Option<i64>,
    pub next_offset: Option<i64>,
}

/// A field of an entry of a small file.
pub(super) enum Field {
    Int(i64),
    Text(String),
    Null,
}

impl From<Offset> for Field {
    fn from(offset: Offset) -> Self {
        Field::Int(offset.get())
    }
}

impl<T: Into<i64>> From<Option<T>> for Field {
    fn from(value: Option<T>) -> Self {
        value.map_or(Field::Null, |value| Field::Int(value.into()))
    }
}

/// An entry of anything but a log: its type and its named fields.
pub(super) type Entry<'a> = (&'static str, &'a [(&'static str, Field)]);

/// Where rows go.
pub(super) trait Rows {
    /// Rows of this file follow.
    fn file(&mut self, input: &Input) -> io::Result<()>;
    fn batch(&mut self, row: &BatchRow<'_>) -> io::Result<()>;
    fn record(&mut self, row: &RecordRow<'_>) -> io::Result<()>;
    fn damage(&mut self, row: &DamageRow) -> io::Result<()>;
    fn doubt(&mut self, position: u64, doubt: &Doubt) -> io::Result<()>;
    fn tail(&mut self, position: Position, tail: Tail) -> io::Result<()>;
    fn entry(&mut self, entry: Entry<'_>) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
}

/// Reads all inputs into `rows`.
pub(super) fn drive(
    options: &DumpOptions,
    inputs: &[Input],
    rows: &mut dyn Rows,
    telling: &mut Telling<'_>,
) -> io::Result<()> {
    let mut driver = Driver {
        options,
        rows,
        decompressor: Decompressor::with_cap(options.max_batch_bytes),
        left: options.count.unwrap_or(u64::MAX),
    };
    for input in inputs {
        if driver.left == 0 || telling.is_over(options) {
            break;
        }
        driver.file(input, telling)?;
    }
    driver.rows.finish()
}

struct Driver<'o, 'r> {
    options: &'o DumpOptions,
    rows: &'r mut dyn Rows,
    decompressor: Decompressor,
    left: u64,
}

impl Driver<'_, '_> {
    fn file(&mut self, input: &Input, telling: &mut Telling<'_>) -> io::Result<()> {
        let Some(kind) = input.kind else { return Ok(()) };
        self.rows.file(input)?;
        if kind.has_batches() {
            return self.log(input, telling);
        }
        match self.small(input, kind, telling) {
            Ok(()) => Ok(()),
            Err(SmallError::Out(error)) => Err(error),
            Err(SmallError::File(error)) => {
                telling.unreadable(&error);
                Ok(())
            }
        }
    }

    fn log(&mut self, input: &Input, telling: &mut Telling<'_>) -> io::Result<()> {
        let Driver { options, rows, decompressor, left } = self;
        let decoder = options.decode.and_then(|decode| decode.of_path(&input.path));
        walk(options, input, telling, &mut |event, telling| {
            match event {
                Event::Batch { position, frame, wrong, doubt } => {
                    if let Some(doubt) = &doubt {
                        rows.doubt(position, doubt)?;
                    }
                    match options.level {
                        Level::Batches => {
                            if input.select.key.is_some() && !holds_selected(&input.select, &frame, decompressor) {
                                return Ok(Flow::On);
                            }
                            rows.batch(&BatchRow { position, frame, wrong })?;
                            *left -= 1;
                        }
                        Level::Records => {
                            let end = position + frame.size_bytes();
                            if let Err(error) =
                                records(&input.select, &mut **rows, decompressor, left, position, &frame, decoder)?
                            {
                                let message = format!("records: {error}");
                                let base = frame.base_offset().map(Offset::get);
                                let code = payload_code(&error);
                                if wrong.is_none() {
                                    let report = Report::new(Severity::Error, code, &input.path, message.clone());
                                    telling.damage(report.at(position, base));
                                }
                                rows.damage(&DamageRow {
                                    position,
                                    end_position: end,
                                    code,
                                    message,
                                    expected_offset: base,
                                    next_offset: None,
                                })?;
                            }
                        }
                    }
                }
                Event::Damage(damage) => rows.damage(&damage_row(&damage))?,
                Event::Tail(position, tail) => rows.tail(position, tail)?,
            }
            Ok(if *left == 0 { Flow::Stop } else { Flow::On })
        })?;
        Ok(())
    }

    fn entry(&mut self, name: &'static str, fields: &[(&'static str, Field)]) -> Result<(), SmallError> {
        if self.left > 0 {
            self.left -= 1;
            self.rows.entry((name, fields)).map_err(SmallError::Out)?;
        }
        Ok(())
    }

    fn small(&mut self, input: &Input, kind: FileKind, telling: &mut Telling<'_>) -> Result<(), SmallError> {
        let path = input.path.as_path();
        let base = match path.file_name().map(PartitionFile::parse) {
            Some(PartitionFile::Segment(file)) => file.offset,
            _ => Offset::ZERO,
        };
        let mut violated = |violation: Option<String>| {
            if let Some(violation) = violation {
                let hint = format!(
                    "compare it with its log: logdir dump-segment --output kafka --verify-index-only {}",
                    path.display()
                );
                telling.damage(Report::new(Severity::Error, "bad_index", path, violation).hint(hint));
            }
        };
        match kind {
            FileKind::OffsetIndex => {
                let bytes = index::read(path)?;
                let index = OffsetIndex::from_file(base, &bytes);
                violated(index.first_violation().map(|violation| violation.to_string()));
                for entry in index.entries() {
                    let position = Field::Int(entry.raw_position.into());
                    self.entry("index_entry", &[("offset", entry.offset.into()), ("position", position)])?;
                }
            }
            FileKind::TimeIndex => {
                let bytes = index::read(path)?;
                let index = TimeIndex::from_file(base, &bytes);
                violated(index.first_violation().map(|violation| violation.to_string()));
                for entry in index.entries() {
                    let fields = [("timestamp_ms", Field::Int(entry.timestamp)), ("offset", entry.offset.into())];
                    self.entry("time_index_entry", &fields)?;
                }
            }
            FileKind::TxnIndex => {
                let bytes = fs::read_small(path, index::INDEX_BYTES_MAX)?;
                let index = TxnIndex::new(base, &bytes);
                violated(index.first_violation().map(|violation| violation.to_string()));
                for txn in index.entries() {
                    let fields = [
                        ("version", Field::Int(txn.version.into())),
                        ("producer_id", Field::Int(txn.producer_id.0)),
                        ("first_offset", txn.first_offset.into()),
                        ("last_offset", txn.last_offset.into()),
                        ("last_stable_offset", txn.last_stable_offset.into()),
                    ];
                    self.entry("aborted_transaction", &fields)?;
                }
            }
            FileKind::ProducerSnapshot => {
                for entry in producer_state::read(path)?.entries {
                    let fields = [
                        ("producer_id", Field::Int(entry.producer_id.0)),
                        ("producer_epoch", Field::Int(entry.producer_epoch.into())),
                        ("last_sequence", Field::Int(entry.last_sequence.into())),
                        ("last_offset", entry.last_offset.into()),
                        ("offset_delta", Field::Int(entry.offset_delta.into())),
                        ("timestamp_ms", Field::Int(entry.timestamp)),
                        ("coordinator_epoch", Field::Int(entry.coordinator_epoch.into())),
                        ("current_txn_first_offset", entry.current_txn_first_offset.into()),
                    ];
                    self.entry("producer", &fields)?;
                }
            }
            FileKind::OffsetCheckpoint => {
                for (partition, offset) in checkpoint::read(path)?.entries() {
                    let fields = [
                        ("topic", Field::Text(partition.topic.clone())),
                        ("partition", Field::Int(partition.partition.into())),
                        ("offset", (*offset).into()),
                    ];
                    self.entry("checkpoint", &fields)?;
                }
            }
            FileKind::LeaderEpochs => {
                for entry in leader_epochs::read(path)?.entries() {
                    let epoch = Field::Int(entry.epoch.0.into());
                    self.entry("leader_epoch", &[("epoch", epoch), ("start_offset", entry.start.into())])?;
                }
            }
            FileKind::PartitionMetadata => {
                let metadata = partition_metadata::read(path)?;
                let id = Field::Text(metadata.topic_id.to_string());
                self.entry(
                    "partition_metadata",
                    &[("version", Field::Int(metadata.version.into())), ("topic_id", id)],
                )?;
            }
            FileKind::QuorumState => {
                let state = quorum_state::read(path)?;
                let fields = [
                    ("data_version", Field::Int(state.version.data_version().into())),
                    ("leader_id", state.leader_id.into()),
                    ("leader_epoch", Field::Int(state.leader_epoch.0.into())),
                    ("voted_id", state.voted_id.into()),
                ];
                self.entry("quorum_state", &fields)?;
            }
            FileKind::MetaProperties => {
                let meta = meta_properties::read(path)?;
                let text = |text: Option<String>| text.map_or(Field::Null, Field::Text);
                let fields = [
                    ("version", Field::Int(meta.version().into())),
                    ("cluster_id", text(meta.cluster_id().map(str::to_owned))),
                    ("node_id", meta.node_id().into()),
                    ("directory_id", text(meta.directory_id().map(|id| id.to_string()))),
                ];
                self.entry("meta_properties", &fields)?;
            }
            FileKind::Log | FileKind::MetadataSnapshot => {}
        }
        Ok(())
    }
}

enum SmallError {
    Out(io::Error),
    File(StorageError),
}

impl From<StorageError> for SmallError {
    fn from(error: StorageError) -> Self {
        SmallError::File(error)
    }
}

pub(super) fn damage_row(damage: &Damage) -> DamageRow {
    DamageRow {
        position: damage.position.get(),
        end_position: damage.end.get(),
        code: batch_code(&damage.reason),
        message: damage.reason.to_string(),
        expected_offset: damage.expected.map(Offset::get),
        next_offset: damage.next.map(Offset::get),
    }
}

/// Whether a record of the batch is selected; damage inside counts as no.
pub(super) fn holds_selected(select: &Selection, frame: &Frame<'_>, decompressor: &mut Decompressor) -> bool {
    let Ok(records) = frame.records(decompressor) else { return false };
    records.map_while(Result::ok).any(|record| select.holds(&record))
}

/// The selected records of a batch as rows; what ends them early.
fn records(
    select: &Selection,
    rows: &mut dyn Rows,
    decompressor: &mut Decompressor,
    left: &mut u64,
    position: u64,
    frame: &Frame<'_>,
    decoder: Option<Decoder>,
) -> io::Result<Result<(), PayloadError>> {
    let decoder = decoder.filter(|_| !frame.is_control());
    let records = match frame.records(decompressor) {
        Ok(records) => records,
        Err(error) => return Ok(Err(error)),
    };
    for record in records {
        match record {
            Ok(record) if *left > 0 && select.holds(&record) => {
                rows.record(&RecordRow { position, frame, record, decoder })?;
                *left -= 1;
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
        if *left == 0 {
            break;
        }
    }
    Ok(Ok(()))
}
