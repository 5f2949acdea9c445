//! Producer state of a log that is being loaded (`UnifiedLog.rebuildProducerState`).

use super::LoadError;
use super::model::{Content, Model, ModelSegment};
use crate::batch::Frame;
use crate::batch::walk::{Stop, Walker};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::producer_state::{self, ProducerSnapshot};
use crate::storage::producer_states::ProducerStates;
use crate::types::{Offset, Position};

impl Model<'_> {
    /// Brings `producers`, which are new, to what they were at `end`: from the newest snapshot that can be
    /// read, and the log behind it. Writes snapshots where Kafka does.
    pub(super) fn rebuild_producers(
        &mut self,
        producers: &mut ProducerStates,
        log_start: Offset,
        end: Offset,
        trust_no_snapshot: bool,
    ) -> Result<(), LoadError> {
        let mut snapshot_at: Vec<Offset> = self.segments.keys().rev().take(2).rev().copied().collect();
        if self.snapshots.is_empty() && trust_no_snapshot {
            // The way up from a version without snapshots: the state is taken for empty.
            snapshot_at.push(end);
            for offset in snapshot_at {
                producers.set_map_end(offset);
                self.take_snapshot(producers);
            }
            return Ok(());
        }
        let nothing_known = producers.is_empty() && producers.map_end() >= end;
        self.snapshots.retain(|offset, _| *offset <= end && *offset > log_start);
        if end != producers.map_end() {
            self.load_snapshot(producers, log_start)?;
        } else {
            producers.on_log_start(log_start, self.snapshots.keys().next_back().copied());
        }
        if end > producers.map_end() && !nothing_known {
            let from = producers.map_end();
            let floor = self.segments.range(..=from).next_back().map_or(Offset::new(i64::MIN), |(base, _)| *base);
            let last = self.segments.range(..=end).next_back().map(|(base, _)| *base);
            let bases: Vec<Offset> = self.segments.range(floor..end).map(|(base, _)| *base).collect();
            for base in bases {
                let start = base.max(producers.map_end()).max(log_start);
                producers.set_map_end(start);
                if snapshot_at.contains(&base) {
                    self.take_snapshot(producers);
                }
                if let Some(segment) = self.segments.get(&base) {
                    let limit = if last == Some(base) { segment.translate(end)? } else { None };
                    replay(segment, start, limit, producers)?;
                }
            }
        }
        producers.set_map_end(end);
        self.take_snapshot(producers);
        Ok(())
    }

    /// `ProducerStateManager.takeSnapshot`: only if something came in since the last one.
    pub(super) fn take_snapshot(&mut self, producers: &mut ProducerStates) {
        if let Some(offset) = producers.snapshot_due() {
            let bytes = producer_state::to_bytes(&producers.to_entries());
            let same = match self.snapshots.get(&offset) {
                Some(Content::OnDisk(path)) => std::fs::read(path).is_ok_and(|stored| stored == bytes),
                _ => false,
            };
            if !same {
                self.snapshots.insert(offset, Content::New(bytes));
            }
            producers.snapshot_written();
        }
    }

    fn load_snapshot(&mut self, producers: &mut ProducerStates, log_start: Offset) -> Result<(), LoadError> {
        let (now_ms, expiration_ms) = (self.options.now_ms, self.options.config.producer_id_expiration_ms);
        while let Some((&offset, content)) = self.snapshots.last_key_value() {
            let parsed: Option<ProducerSnapshot> = match content {
                Content::New(bytes) => producer_state::parse(bytes).ok(),
                Content::OnDisk(path) => match producer_state::read(path) {
                    Ok(snapshot) => Some(snapshot),
                    Err(StorageError { kind: crate::storage::fs::StorageErrorKind::Snapshot(_), .. }) => None,
                    Err(error) => return Err(error.into()),
                },
                Content::Missing => None,
            };
            match parsed {
                Some(snapshot) => {
                    *producers = ProducerStates::from_snapshot(&snapshot, offset, now_ms, expiration_ms);
                    return Ok(());
                }
                None => self.snapshots.remove(&offset),
            };
        }
        *producers = ProducerStates::new(log_start);
        Ok(())
    }
}

/// Replays the batches of one segment from the one that holds `start` up to `limit`.
fn replay(
    segment: &ModelSegment,
    start: Offset,
    limit: Option<Position>,
    producers: &mut ProducerStates,
) -> Result<(), LoadError> {
    let Some(position) = segment.translate(start)? else { return Ok(()) };
    let unreadable = |error| LoadError::from(StorageError::new(&segment.log, error));
    let len = limit.map_or(segment.len, |limit| limit.get().min(segment.len));
    let file = std::fs::File::open(&segment.log).map_err(unreadable)?;
    let mut walker = Walker::trusting(FileSource::up_to(file, len).map_err(unreadable)?, position);
    loop {
        match walker.step().map_err(unreadable)? {
            Ok(walked) => {
                let Frame::Batch(batch) = walked.frame else { continue };
                if batch.producer_id().is_some() {
                    producers
                        .replay(&batch)
                        .map_err(|refusal| LoadError::Producer { path: segment.log.clone(), refusal })?;
                }
            }
            Err(Stop::End | Stop::Cut { .. }) => return Ok(()),
            Err(Stop::Corrupt(reason)) => {
                return Err(LoadError::Corrupt { path: segment.log.clone(), position: walker.position(), reason });
            }
        }
    }
}
