//! What an event did, for whoever watches: the timeline, the witness of what clients saw, the real directories.

use std::fmt;

use super::broker_set::{Broker, BrokerSet};
use super::event::Acks;
use super::log::{Record, Stored};

/// One consequence of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A leader appended a record.
    Appended {
        /// The leader.
        broker: Broker,
        /// Offset.
        offset: u64,
        /// Record and epoch.
        stored: Stored,
        /// Level it was sent at.
        acks: Acks,
    },
    /// A producer was told that its record is stored.
    Acked {
        /// Record.
        record: Record,
        /// Offset it was told.
        offset: u64,
        /// Level.
        acks: Acks,
    },
    /// A producer was refused before anything was stored.
    Refused {
        /// Record.
        record: Record,
        /// Why.
        why: Refusal,
    },
    /// A producer got an error though its record had been stored: it does not know.
    Unknown {
        /// Record.
        record: Record,
        /// Why.
        why: Refusal,
    },
    /// A leader knew the record by its producer's sequence, and answered with the offset it has.
    Known {
        /// Leader.
        broker: Broker,
        /// Record.
        record: Record,
        /// Offset.
        offset: u64,
    },
    /// A follower appended what it fetched.
    Copied {
        /// Follower.
        broker: Broker,
        /// Leader.
        leader: Broker,
        /// First offset.
        from: u64,
        /// Behind the last.
        to: u64,
    },
    /// A leader answered a fetch from this offset, and the answer was lost.
    AnswerLost {
        /// Follower.
        broker: Broker,
        /// Leader.
        leader: Broker,
    },
    /// A fetch was answered with nothing new.
    Idle {
        /// Follower.
        broker: Broker,
        /// Leader.
        leader: Broker,
    },
    /// A fetch or a question was refused.
    NotServed {
        /// Follower.
        broker: Broker,
        /// Whom it asked.
        leader: Broker,
        /// Why.
        why: Refusal,
    },
    /// A high watermark moved.
    HwMoved {
        /// Whose.
        broker: Broker,
        /// From.
        from: u64,
        /// To.
        to: u64,
    },
    /// A log lost its end.
    Cut {
        /// Whose.
        broker: Broker,
        /// From this log end offset.
        from: u64,
        /// To this one.
        to: u64,
        /// Why.
        why: CutBy,
    },
    /// A leader epoch without records was forgotten, because another log goes on differently there.
    EpochsCut {
        /// Whose.
        broker: Broker,
        /// Epochs that begin here or later.
        to: u64,
    },
    /// A broker became leader, or leads in a new epoch.
    Leads {
        /// Who.
        broker: Broker,
        /// Leader epoch.
        epoch: u32,
    },
    /// A broker follows another, or nobody.
    Follows {
        /// Who.
        broker: Broker,
        /// Whom.
        leader: Option<Broker>,
        /// Leader epoch.
        epoch: u32,
    },
    /// A leader asked for another ISR.
    IsrAsked {
        /// Leader.
        broker: Broker,
        /// The ISR it wants.
        isr: BrokerSet,
    },
    /// The controller refused an ISR.
    IsrRefused {
        /// Leader.
        broker: Broker,
        /// Why.
        why: Refusal,
    },
    /// The controller changed ISR or ELR.
    IsrChanged {
        /// ISR now.
        isr: BrokerSet,
        /// ELR now.
        elr: BrokerSet,
    },
    /// The controller chose a leader.
    Elected {
        /// Who.
        broker: Broker,
        /// Leader epoch.
        epoch: u32,
        /// Whether it need not have what was committed.
        unclean: bool,
    },
    /// The controller finds nobody to lead.
    NoLeader {
        /// Leader epoch.
        epoch: u32,
    },
    /// A consumer has read up to here.
    Consumed {
        /// Of this leader.
        broker: Broker,
        /// High watermark.
        to: u64,
    },
}

/// What cut a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutBy {
    /// Its own high watermark, because it follows a new epoch or the leader knows nothing of its last one.
    HighWatermark,
    /// The leader's answer where its last epoch ends.
    EpochEnd,
    /// A fetch that diverged.
    Divergence,
    /// A fetch beyond the leader's end.
    OutOfRange,
    /// A power loss.
    Power,
    /// An empty disk.
    Wipe,
}

/// Why something was refused, in Kafka's names of errors where a client sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The broker does not lead.
    NotLeader,
    /// Nobody leads.
    LeaderNotAvailable,
    /// It does not answer.
    Down,
    /// Fewer in sync than `min.insync.replicas`.
    NotEnoughReplicas,
    /// The same, found after the append.
    NotEnoughReplicasAfterAppend,
    /// A sequence beyond the next one.
    OutOfOrderSequence,
    /// A sequence older than the batches remembered.
    DuplicateSequence,
    /// The leader epoch is older than the one asked.
    FencedLeaderEpoch,
    /// The leader epoch is newer than the one asked.
    UnknownLeaderEpoch,
    /// The offset is beyond the log.
    OutOfRange,
    /// The controller knows a newer state.
    StaleEpoch,
    /// Who is to join is fenced, or registered anew.
    IneligibleReplica,
}

impl Refusal {
    /// Kafka's name of it (`Errors`).
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::NotLeader => "NOT_LEADER_OR_FOLLOWER",
            Refusal::LeaderNotAvailable => "LEADER_NOT_AVAILABLE",
            Refusal::Down => "no connection",
            Refusal::NotEnoughReplicas => "NOT_ENOUGH_REPLICAS",
            Refusal::NotEnoughReplicasAfterAppend => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
            Refusal::OutOfOrderSequence => "OUT_OF_ORDER_SEQUENCE_NUMBER",
            Refusal::DuplicateSequence => "DUPLICATE_SEQUENCE_NUMBER",
            Refusal::FencedLeaderEpoch => "FENCED_LEADER_EPOCH",
            Refusal::UnknownLeaderEpoch => "UNKNOWN_LEADER_EPOCH",
            Refusal::OutOfRange => "OFFSET_OUT_OF_RANGE",
            Refusal::StaleEpoch => "INVALID_UPDATE_VERSION",
            Refusal::IneligibleReplica => "INELIGIBLE_REPLICA",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CutBy {
    /// In a few words.
    pub const fn name(self) -> &'static str {
        match self {
            CutBy::HighWatermark => "its high watermark",
            CutBy::EpochEnd => "the end of the epoch at the leader",
            CutBy::Divergence => "the logs diverge there",
            CutBy::OutOfRange => "the leader's log ends there",
            CutBy::Power => "power loss",
            CutBy::Wipe => "an empty disk",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Effect::Appended { broker, offset, stored, .. } => {
                write!(f, "b{broker} appends m{} at {offset}", stored.record)
            }
            Effect::Acked { record, acks: Acks::None, .. } => write!(f, "sent m{record}"),
            Effect::Acked { record, .. } => write!(f, "ack m{record}"),
            Effect::Refused { record, why } => write!(f, "m{record} refused: {why}"),
            Effect::Unknown { record, why } => write!(f, "m{record} unknown to its producer: {why}"),
            Effect::Known { broker, record, offset } => write!(f, "b{broker} has m{record} already at {offset}"),
            Effect::Copied { broker, from, to, .. } if to - from == 1 => write!(f, "b{broker} gets {from}"),
            Effect::Copied { broker, from, to, .. } => write!(f, "b{broker} gets {from} to {}", to - 1),
            Effect::AnswerLost { leader, .. } => write!(f, "b{leader}'s answer is lost"),
            Effect::Idle { broker, .. } => write!(f, "b{broker} gets nothing new"),
            Effect::NotServed { broker, leader, why } => write!(f, "b{leader} refuses b{broker}: {why}"),
            Effect::HwMoved { broker, from, to } => write!(f, "HW of b{broker} {from} -> {to}"),
            Effect::Cut { broker, from, to, why } => write!(f, "b{broker} cut {from} -> {to}: {}", why.name()),
            Effect::EpochsCut { broker, to } => write!(f, "b{broker} forgets an epoch without records at {to}"),
            Effect::Leads { broker, epoch } => write!(f, "b{broker} leads in e{epoch}"),
            Effect::Follows { broker, leader: Some(leader), epoch } => {
                write!(f, "b{broker} follows b{leader} in e{epoch}")
            }
            Effect::Follows { broker, leader: None, epoch } => write!(f, "b{broker} follows nobody in e{epoch}"),
            Effect::IsrAsked { broker, isr } => write!(f, "b{broker} asks for ISR {isr}"),
            Effect::IsrRefused { broker, why } => write!(f, "ISR of b{broker} refused: {why}"),
            Effect::IsrChanged { isr, elr } if elr.is_empty() => write!(f, "ISR {isr}"),
            Effect::IsrChanged { isr, elr } => write!(f, "ISR {isr} ELR {elr}"),
            Effect::Elected { broker, epoch, unclean } => {
                write!(f, "b{broker} elected{} in e{epoch}", if unclean { " uncleanly" } else { "" })
            }
            Effect::NoLeader { epoch } => write!(f, "no leader in e{epoch}"),
            Effect::Consumed { to: 0, .. } => f.write_str("a consumer finds nothing"),
            Effect::Consumed { to, .. } => write!(f, "a consumer reads to {}", to - 1),
        }
    }
}
