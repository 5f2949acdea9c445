//! What a timeline's effects say, put in order once, to look back from any row.

use std::collections::{BTreeMap, HashMap};

use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect};
use crate::replication::event::{Acks, Event};
use crate::replication::log::{Record, Stored};
use crate::replication::play::Timeline;
use crate::replication::state::State;

/// A timeline that can be asked what happened before a row. Rows are counted from 0 here; the step's number is one more.
pub struct History<'a> {
    /// The timeline.
    pub timeline: &'a Timeline,
    told: HashMap<Record, Vec<Told>>,
    appended: HashMap<Record, Vec<Appended>>,
    cuts: HashMap<Broker, Vec<Cut>>,
    elections: HashMap<Broker, Vec<Election>>,
    starts: HashMap<Broker, Vec<usize>>,
    consumed: Vec<Told>,
    consumed_stored: Vec<Stored>,
    level: BTreeMap<Record, Acks>,
}

/// A producer was told that its record is stored, or a consumer read it.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Row.
    pub row: usize,
    /// By this broker.
    pub broker: Broker,
    /// Offset.
    pub offset: u64,
    /// Level.
    pub acks: Acks,
}

/// A leader appended a record.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    /// Row.
    pub row: usize,
    /// The leader.
    pub broker: Broker,
    /// Offset.
    pub offset: u64,
}

/// A log lost its end.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Row.
    pub row: usize,
    /// From this log end offset.
    pub from: u64,
    /// To this one.
    pub to: u64,
    /// Why.
    pub why: CutBy,
}

/// A broker was elected.
#[derive(Debug, Clone, Copy)]
pub struct Election {
    /// Row.
    pub row: usize,
    /// Leader epoch.
    pub epoch: u32,
    /// Whether it need not have what was committed.
    pub unclean: bool,
}

impl<'a> History<'a> {
    /// Reads a timeline.
    pub fn new(timeline: &'a Timeline) -> History<'a> {
        let mut history = History {
            timeline,
            told: HashMap::new(),
            appended: HashMap::new(),
            cuts: HashMap::new(),
            elections: HashMap::new(),
            starts: HashMap::new(),
            consumed: Vec::new(),
            consumed_stored: Vec::new(),
            level: BTreeMap::new(),
        };
        let mut next_record = timeline.initial.next_record;
        for (row, at) in timeline.rows.iter().enumerate() {
            match at.event {
                Event::Produce { acks, .. } => {
                    history.sent(next_record, acks);
                    next_record += 1;
                }
                Event::Retry { record, acks, .. } => history.sent(record, acks),
                Event::Start(broker) => history.starts.entry(broker).or_default().push(row),
                _ => {}
            }
            let mut actor = 0;
            for effect in &at.effects {
                actor = answerer(effect).unwrap_or(actor);
                history.note(row, actor, effect, &at.state);
            }
        }
        history
    }

    fn sent(&mut self, record: Record, acks: Acks) {
        let level = self.level.entry(record).or_insert(acks);
        *level = (*level).max(acks);
    }

    fn note(&mut self, row: usize, actor: Broker, effect: &Effect, state: &State) {
        match *effect {
            // The effect names no broker: whoever appended, or moved its high watermark, just before.
            Effect::Acked { record, offset, acks } => {
                self.told.entry(record).or_default().push(Told { row, broker: actor, offset, acks });
            }
            Effect::Appended { broker, offset, stored, .. } => {
                self.appended.entry(stored.record).or_default().push(Appended { row, broker, offset });
            }
            Effect::Cut { broker, from, to, why } => {
                self.cuts.entry(broker).or_default().push(Cut { row, from, to, why });
            }
            Effect::Elected { broker, epoch, unclean } => {
                self.elections.entry(broker).or_default().push(Election { row, epoch, unclean });
            }
            Effect::Consumed { broker, to } => {
                let log = &state.replica(broker).log;
                for offset in self.consumed_stored.len() as u64..to {
                    let Some(stored) = log.get(offset) else { break };
                    self.consumed_stored.push(stored);
                    self.consumed.push(Told { row, broker, offset, acks: Acks::All });
                }
            }
            _ => {}
        }
    }

    /// The partition before a row.
    pub fn before(&self, row: usize) -> &'a State {
        match row.checked_sub(1) {
            Some(before) => self.after(before),
            None => &self.timeline.initial,
        }
    }

    /// The partition after a row.
    pub fn after(&self, row: usize) -> &'a State {
        self.timeline.rows.get(row).map_or_else(|| self.timeline.last(), |row| &row.state)
    }

    /// The highest level each record was sent at.
    pub fn levels(&self) -> impl Iterator<Item = (Record, Acks)> + '_ {
        self.level.iter().map(|(&record, &acks)| (record, acks))
    }

    /// The highest level a record was sent at.
    pub fn level(&self, record: Record) -> Option<Acks> {
        self.level.get(&record).copied()
    }

    /// When a record was first acknowledged at the highest level that it was acknowledged at up to a row.
    pub fn told(&self, record: Record, row: usize) -> Option<Told> {
        let told = self.told.get(&record)?.iter().filter(|told| told.row <= row);
        told.copied().reduce(|best, told| if told.acks > best.acks { told } else { best })
    }

    /// What a consumer read at an offset, and when.
    pub fn consumed(&self, offset: u64) -> Option<(Stored, Told)> {
        let at = usize::try_from(offset).ok()?;
        Some((*self.consumed_stored.get(at)?, *self.consumed.get(at)?))
    }

    /// What was consumed, from offset 0 on.
    pub fn all_consumed(&self) -> &[Stored] {
        &self.consumed_stored
    }

    /// Where a record was appended, by leaders, up to a row.
    pub fn appended(&self, record: Record, row: usize) -> impl DoubleEndedIterator<Item = Appended> + '_ {
        let all = self.appended.get(&record).map_or(&[][..], Vec::as_slice);
        all.iter().copied().filter(move |appended| appended.row <= row)
    }

    /// The last time that a broker had a record and lost it, up to a row.
    pub fn lost(&self, broker: Broker, record: Record, row: usize) -> Option<Cut> {
        let cuts = self.cuts.get(&broker)?.iter().rev().filter(|cut| cut.row <= row);
        let has = |cut: &&Cut| {
            let offset = self.before(cut.row).replica(broker).log.find(record);
            offset.is_some_and(|offset| (cut.to..cut.from).contains(&offset))
        };
        cuts.copied().find(|cut| has(&cut))
    }

    /// The last election of a broker up to a row.
    pub fn election(&self, broker: Broker, row: usize) -> Option<Election> {
        self.elections.get(&broker)?.iter().rev().find(|election| election.row <= row).copied()
    }

    /// Whether the election that gave a broker this epoch was unclean.
    pub fn was_unclean(&self, broker: Broker, epoch: u32) -> bool {
        let elections = self.elections.get(&broker).map_or(&[][..], Vec::as_slice);
        elections.iter().any(|election| election.epoch == epoch && election.unclean)
    }

    /// Whether a broker started in a row behind `after`, up to `row`.
    pub fn has_started(&self, broker: Broker, after: usize, row: usize) -> bool {
        self.starts.get(&broker).is_some_and(|starts| starts.iter().any(|start| (after + 1..=row).contains(start)))
    }
}

/// Whose effect it is, of those that an answer to a producer can follow in a step.
pub fn answerer(effect: &Effect) -> Option<Broker> {
    match *effect {
        Effect::Appended { broker, .. }
        | Effect::Known { broker, .. }
        | Effect::HwMoved { broker, .. }
        | Effect::Leads { broker, .. }
        | Effect::Follows { broker, .. }
        | Effect::IsrRefused { broker, .. } => Some(broker),
        _ => None,
    }
}

/// Records by their names; runs of more than eight by the first and the last.
pub fn names(records: &[Record]) -> String {
    if records.len() <= 8 {
        return records.iter().map(|record| format!("m{record}")).collect::<Vec<_>>().join(",");
    }
    let mut texts: Vec<String> = Vec::new();
    for run in records.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        match run {
            [first, .., last] => texts.push(format!("m{first} to m{last}")),
            rest => texts.extend(rest.iter().map(|record| format!("m{record}"))),
        }
    }
    let more = texts.len().saturating_sub(8);
    texts.truncate(8);
    if more > 0 { format!("{} and {more} more", texts.join(",")) } else { texts.join(",") }
}
