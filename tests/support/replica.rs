//! What a replica's directory holds, record by record.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::ops::ControlFlow;
use std::path::Path;

use logdir::batch::Frame;
use logdir::batch::record::Records;
use logdir::batch::scan::Depth;
use logdir::storage::leader_epochs;
use logdir::storage::partition::{Checkpoints, Partition};
use logdir::storage::reader::{LogReader, ReadStep};

/// A record as it lies in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lies {
    /// Its offset.
    pub offset: u64,
    /// Leader epoch it was appended in.
    pub epoch: u32,
    /// Which record it is: N of a value that begins with `mN.`.
    pub record: u32,
}

/// A log and its leader-epoch checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// Records in the order of their offsets.
    pub records: Vec<Lies>,
    /// Epochs and their start offsets.
    pub epochs: Vec<(u32, u64)>,
}

impl OnDisk {
    /// Reads the partition directory `dir`, which must be sound; a broker may be writing to it.
    pub fn read(dir: &Path) -> OnDisk {
        let partition = Partition::open(dir, Checkpoints::default()).unwrap();
        let mut reader = LogReader::new(&partition, Depth::Crc, 1 << 20);
        let mut found = OnDisk::default();
        loop {
            match reader.next().unwrap() {
                ReadStep::Entry { entry, .. } => {
                    assert_eq!(entry.doubt, None, "{}", dir.display());
                    let Frame::Batch(batch) = entry.frame else { panic!("{}: an old message", dir.display()) };
                    let epoch = u32::try_from(batch.leader_epoch().0).unwrap();
                    let visited = Records::new(batch.record_context(), batch.payload()).visit(|record| {
                        let value = std::str::from_utf8(record.value.unwrap()).unwrap();
                        let number = value.strip_prefix('m').and_then(|value| value.split('.').next());
                        let number = number.and_then(|number| number.parse().ok()).unwrap();
                        let offset = u64::try_from(record.offset.get()).unwrap();
                        found.records.push(Lies { offset, epoch, record: number });
                        ControlFlow::<()>::Continue(())
                    });
                    visited.unwrap();
                }
                ReadStep::Damage { damage, .. } => panic!("{}: {damage:?}", dir.display()),
                ReadStep::Gone { segment } => panic!("{}: segment {segment} is gone", dir.display()),
                ReadStep::End { .. } => break,
            }
        }
        let epochs = leader_epochs::read(&dir.join(leader_epochs::FILE_NAME)).unwrap();
        let entry = |entry: &leader_epochs::EpochEntry| {
            (u32::try_from(entry.epoch.0).unwrap(), u64::try_from(entry.start.get()).unwrap())
        };
        found.epochs = epochs.entries().iter().map(entry).collect();
        found
    }

    /// Log end offset.
    pub fn end(&self) -> u64 {
        self.records.last().map_or(0, |last| last.offset + 1)
    }

    /// Whether it holds this record.
    pub fn has(&self, record: u32) -> bool {
        self.records.iter().any(|lies| lies.record == record)
    }
}
