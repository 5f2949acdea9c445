//! Causes of violations, and the sentence for each.

use std::fmt;

use super::history::names;
use crate::replication::broker_set::Broker;
use crate::replication::effect::CutBy;
use crate::replication::event::Acks;
use crate::replication::log::Record;

/// Why records are where they must not be, or are not where they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Number of the step that made it so.
    pub step: usize,
    /// The records.
    pub records: Vec<Record>,
    /// What was done to them.
    pub why: Why,
}

/// What was done to records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A follower cut them to its own high watermark.
    CutToHighWatermark {
        /// The follower.
        broker: Broker,
        /// Offsets it cut, without the end, of these records.
        offsets: (u64, u64),
        /// Its high watermark.
        hw: u64,
        /// Whether they were acknowledged, or read, before that.
        after: bool,
    },
    /// A follower cut them though the leader that it follows has them.
    CutWrongly {
        /// The follower.
        broker: Broker,
        /// The leader.
        leader: Broker,
        /// What made it cut.
        by: CutBy,
    },
    /// Whoever had lost them was elected.
    ElectedAfterLoss {
        /// Who.
        broker: Broker,
        /// A power loss, or an empty disk.
        by: CutBy,
        /// Whether it need not have had them.
        unclean: bool,
    },
    /// A leader lost them and leads on.
    LeadsAfterLoss {
        /// Who.
        broker: Broker,
        /// A power loss, or an empty disk.
        by: CutBy,
    },
    /// Whoever never had them was elected uncleanly.
    ElectedUncleanly {
        /// Who.
        broker: Broker,
    },
    /// A leader acknowledged them before any other had to have them.
    AckedAlone {
        /// The leader.
        broker: Broker,
        /// Level.
        acks: Acks,
        /// Who leads without them.
        leader: Broker,
        /// Leader epochs of the two, where the former was deposed already.
        deposed: Option<(u32, u32)>,
    },
    /// A leader that was deposed already acknowledged them.
    AckedDeposed {
        /// The leader.
        broker: Broker,
        /// Its leader epoch.
        epoch: u32,
        /// Who leads.
        leader: Broker,
        /// The newest leader epoch then.
        newest: u32,
        /// Whether whoever leads had cut them before.
        had_cut: bool,
    },
    /// A leader counted an offset that a follower does not reach any more.
    StaleOffset {
        /// The leader.
        broker: Broker,
        /// The follower.
        counted: Broker,
        /// Leader epoch that the offset is from.
        epoch: u32,
    },
    /// A leader did not wait for a follower that it had asked to add to the ISR.
    NotCounted {
        /// The leader.
        broker: Broker,
        /// The follower.
        joins: Broker,
    },
    /// A broker joined the ISR by a request from before it started anew.
    JoinedByOldRequest {
        /// Who.
        broker: Broker,
        /// What it had lost them by, if it had had them.
        by: Option<CutBy>,
    },
    /// A broker joined the ISR without them.
    JoinedBehind {
        /// Who.
        broker: Broker,
        /// Its log end offset when the leader asked to add it.
        offset: u64,
        /// That leader.
        leader: Broker,
        /// The leader's high watermark then.
        hw: u64,
        /// Where the leader's epoch begins.
        start: u64,
    },
    /// A leader does not have them, and nothing above is why.
    Lacks {
        /// The leader.
        broker: Broker,
    },
    /// A replica kept a record where another has a different one.
    Kept {
        /// The replica.
        broker: Broker,
        /// Offset.
        offset: u64,
        /// The other.
        other: Broker,
        /// What the other has there.
        instead: Option<Record>,
        /// Why it was not cut.
        how: Kept,
    },
    /// A leader appended a record that it has already.
    AppendedAgain {
        /// The leader.
        broker: Broker,
        /// Offset of the second copy.
        offset: u64,
        /// Whether producers are idempotent.
        idempotent: bool,
    },
    /// A leader appended a record behind a later one.
    AppendedBehind {
        /// The leader.
        broker: Broker,
        /// Offset.
        offset: u64,
        /// The later one.
        later: Record,
    },
}

/// Why a replica did not cut a record that others do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It cuts nothing below its high watermark (before KIP-101).
    BelowHighWatermark(u64),
    /// The leader does not have the record's epoch, and gave the start of its next one as the end (before KIP-279).
    EpochUnknown {
        /// The leader.
        leader: Broker,
        /// Epoch asked for.
        epoch: u32,
        /// The answer.
        end: u64,
    },
    /// It has not compared its log with the new leader's yet; the cause is that of the other's lacking the record.
    NotYet(Option<Box<Cause>>),
    /// For no reason known.
    Unknown,
}

impl Cause {
    /// Whether it is why replicas differ though they have compared their logs.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self.why,
            Why::Kept { how: Kept::BelowHighWatermark(_) | Kept::EpochUnknown { .. } | Kept::Unknown, .. }
        )
    }

    /// Number of the step that made it so, of the loss behind it where there is one.
    pub fn root(&self) -> usize {
        match &self.why {
            Why::Kept { how: Kept::NotYet(Some(cause)), .. } => cause.root(),
            _ => self.step,
        }
    }
}

fn lost_by(by: CutBy) -> &'static str {
    if by == CutBy::Wipe { "with its disk" } else { "in a power loss" }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, them) = (names(&self.records), if self.records.len() == 1 { "it" } else { "them" });
        match &self.why {
            Why::CutToHighWatermark { broker, offsets: (from, to), hw, after } => {
                let what =
                    if to - from == 1 { format!("offset {from}") } else { format!("offsets {from} to {}", to - 1) };
                let acknowledged = if *after { "acknowledged " } else { "" };
                write!(f, "b{broker} cut {acknowledged}{what} to its high watermark {hw}")
            }
            Why::CutWrongly { broker, leader, by } => {
                write!(f, "b{broker} cut {records} though b{leader}, which it follows, has {them} ({})", by.name())
            }
            Why::ElectedAfterLoss { broker, by, unclean } => {
                let uncleanly = if *unclean { " uncleanly" } else { "" };
                write!(f, "b{broker} was elected{uncleanly} though it had lost {records} {}", lost_by(*by))
            }
            Why::LeadsAfterLoss { broker, by } => write!(f, "b{broker} lost {records} {} and leads on", lost_by(*by)),
            Why::ElectedUncleanly { broker } => write!(f, "b{broker} was elected uncleanly without {records}"),
            Why::AckedAlone { broker, acks: Acks::None, leader, .. } => {
                write!(f, "b{broker} took {records}, sent at acks=0, and b{leader} leads without {them}")
            }
            Why::AckedAlone { broker, acks, leader, deposed: None } => {
                let acks = acks.name();
                write!(f, "b{broker} acknowledged {records} at acks={acks} without waiting for others, ")?;
                write!(f, "and b{leader} leads without {them}")
            }
            Why::AckedAlone { broker, acks, leader, deposed: Some((epoch, newest)) } => {
                let acks = acks.name();
                write!(
                    f,
                    "b{broker} acknowledged {records} at acks={acks} in e{epoch} though b{leader} had been elected in e{newest}"
                )
            }
            Why::AckedDeposed { broker, epoch, leader, newest, had_cut } => {
                write!(f, "b{broker} acknowledged {records} in e{epoch} though e{newest} had begun")?;
                if *had_cut { write!(f, " and b{leader} had cut {them}") } else { Ok(()) }
            }
            Why::StaleOffset { broker, counted, epoch } => write!(
                f,
                "b{broker} counted an offset of b{counted} from epoch {epoch} and acknowledged {records} that b{counted} had cut"
            ),
            Why::NotCounted { broker, joins } => {
                write!(f, "b{broker} acknowledged {records} without b{joins}, which it had asked to add to the ISR")
            }
            Why::JoinedByOldRequest { broker, by } => {
                write!(f, "b{broker} joined the ISR by a request from before it started anew, ")?;
                match by {
                    Some(by) => write!(f, "though it had lost {records} {}", lost_by(*by)),
                    None => write!(f, "without {records}"),
                }
            }
            Why::JoinedBehind { broker, offset, leader, hw, start } => {
                write!(f, "b{broker} joined the ISR without {records}: its end {offset} had reached ")?;
                write!(f, "b{leader}'s high watermark {hw}")?;
                if start > offset { write!(f, ", not the start {start} of its epoch") } else { Ok(()) }
            }
            Why::Lacks { broker } => write!(f, "b{broker} leads without {records}"),
            Why::Kept { broker, offset, other, instead, how } => {
                let instead = instead.map_or_else(|| "nothing".to_owned(), |record| format!("m{record}"));
                match how {
                    Kept::BelowHighWatermark(hw) => write!(
                        f,
                        "b{broker} kept {records} at offset {offset}, below its high watermark {hw}, where b{other} has {instead}"
                    ),
                    Kept::EpochUnknown { leader, epoch, end } => write!(
                        f,
                        "b{broker} kept {records} at offset {offset}, where b{other} has {instead}: b{leader} has no epoch \
                         {epoch} and gave the start of its next one, {end}, as the end"
                    ),
                    Kept::NotYet(None) | Kept::Unknown => {
                        write!(f, "b{broker} has {records} at offset {offset}, where b{other} has {instead}")
                    }
                    Kept::NotYet(Some(cause)) => {
                        write!(
                            f,
                            "b{broker} still has {records} at offset {offset}, where b{other} has {instead}: {cause}"
                        )
                    }
                }
            }
            Why::AppendedAgain { broker, offset, idempotent } => {
                let why = if *idempotent { "though producers are idempotent" } else { "producers are not idempotent" };
                write!(f, "b{broker} had {records} and appended it again at offset {offset}: {why}")
            }
            Why::AppendedBehind { broker, offset, later } => {
                write!(f, "b{broker} appended {records} at offset {offset}, behind m{later} of the same producer")
            }
        }
    }
}
