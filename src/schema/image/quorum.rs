//! What the control records of the metadata log say of its quorum. Kafka keeps this apart from the image
//! (`PartitionListener`, `KRaftControlRecordStateMachine`).

use super::super::metadata::{ControlRecord, Voter};
use crate::types::LeaderEpoch;

/// Leader and voters of the metadata log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quorum {
    /// The last leader, and its epoch; `None` where no record says it: a snapshot does not, and a leader says it once.
    pub leader: Option<(i32, LeaderEpoch)>,
    /// Level of `kraft.version`; `None` before a record says it, which means 0.
    pub kraft_version: Option<i32>,
    /// The voters as the last record names them: with endpoints where the quorum is dynamic.
    pub voters: Vec<Voter>,
}

impl Quorum {
    /// Takes the next control record, written in `epoch`.
    pub(super) fn apply(&mut self, record: &ControlRecord, epoch: LeaderEpoch) {
        match record {
            ControlRecord::LeaderChange { leader_id, voters } => {
                self.leader = Some((*leader_id, epoch));
                // Where a record of the voters says more, that counts.
                let same = |a: &[Voter]| a.iter().map(|voter| voter.voter_id).eq(voters.iter().map(|v| v.voter_id));
                if !same(&self.voters) {
                    self.voters.clone_from(voters);
                }
            }
            ControlRecord::KRaftVersion { level } => self.kraft_version = Some(*level),
            ControlRecord::Voters { voters } => self.voters.clone_from(voters),
            ControlRecord::SnapshotHeader { .. } | ControlRecord::SnapshotFooter | ControlRecord::Unknown { .. } => {}
        }
    }

    /// How many voters there are; `None` where no record says it.
    pub fn voter_count(&self) -> Option<usize> {
        Some(self.voters.len()).filter(|count| *count > 0)
    }
}
