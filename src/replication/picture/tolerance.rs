//! How many lossy restarts a configuration tolerates at a time, and how many there were.
//!
//! A restart is lossy when it loses records: in a power loss, or with the disk. It lasts until the replica has as many records
//! again, or joins the ISR anew.

use std::fmt;

use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::effect::{CutBy, Effect};
use crate::replication::play::Timeline;
use crate::replication::rules::{Flush, Strategy};

/// What a configuration relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliance {
    /// Every record is flushed before it is acknowledged: all replicas but one may lose their power, and none its disk.
    Flush,
    /// Eligible leader replicas: `min.insync.replicas` - 1 lossy restarts.
    Elr,
    /// The ISR alone: all of its members but one, so none once it is down to one.
    Isr,
    /// A majority, each of whose members may be the only one left of it that answers.
    Majority,
}

/// Lossy restarts that were tolerated, and that there were, at the time when there were most in excess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// What it relies on.
    pub reliance: Reliance,
    /// How many could overlap without loss.
    pub tolerated: u32,
    /// How many overlapped.
    pub lossy: u32,
    /// Number of the step in which there were so many.
    pub step: Option<usize>,
    /// The ISR then.
    pub isr: BrokerSet,
}

impl Tolerance {
    /// Reads a timeline.
    pub fn of(timeline: &Timeline) -> Tolerance {
        let rules = &timeline.rules;
        // With every record flushed only a disk is lost, and against that only the replicas themselves help.
        let without_flush = match rules.strategy {
            Strategy::Majority => Reliance::Majority,
            Strategy::AllIsr if rules.switches.elr => Reliance::Elr,
            Strategy::AllIsr => Reliance::Isr,
        };
        let reliance = if rules.flush == Flush::Every(1) { Reliance::Flush } else { without_flush };
        let tolerates = |reliance: Reliance, isr: BrokerSet| match reliance {
            Reliance::Flush => u32::from(rules.replicas).saturating_sub(1),
            Reliance::Elr => rules.min_isr().saturating_sub(1),
            Reliance::Isr => isr.len().saturating_sub(1),
            Reliance::Majority => 0,
        };
        let isr = timeline.initial.controller.isr;
        let mut most = Tolerance { reliance, tolerated: tolerates(reliance, isr), lossy: 0, step: None, isr };
        let mut lossy = Lossy { of: Vec::new() };
        let mut before = isr;
        for (row, number) in timeline.rows.iter().zip(1..) {
            let controller = &row.state.controller;
            let could_lead =
                before.or(if number == 1 { BrokerSet::NONE } else { timeline.rows[number - 2].state.controller.elr });
            for effect in &row.effects {
                if let Effect::Cut { broker, from, why: CutBy::Power | CutBy::Wipe, .. } = *effect
                    && (could_lead.has(broker) || rules.strategy == Strategy::Majority)
                {
                    lossy.add(broker, from);
                }
            }
            let joined = controller.isr.minus(before);
            let has_elected = |broker: Broker| {
                row.effects.iter().any(|it| matches!(*it, Effect::Elected { broker: elected, .. } if elected == broker))
            };
            lossy.of.retain(|&(broker, from)| {
                row.state.replica(broker).leo() < from && (!joined.has(broker) || has_elected(broker))
            });
            before = controller.isr;
            let counts = |broker: Broker| without_flush != Reliance::Isr || controller.isr.has(broker);
            let count = lossy.of.iter().filter(|(broker, _)| counts(*broker)).count();
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let tolerated = tolerates(if count > 0 { without_flush } else { reliance }, controller.isr);
            let excess = |lossy: u32, tolerated: u32| i64::from(lossy) - i64::from(tolerated);
            let is_first = most.step.is_none();
            if count > 0 && (is_first || excess(count, tolerated) > excess(most.lossy, most.tolerated)) {
                most = Tolerance { reliance: without_flush, tolerated, lossy: count, step: Some(number), isr: before };
            }
        }
        most
    }

    /// Whether there were more than are tolerated.
    pub const fn is_exceeded(&self) -> bool {
        self.lossy > self.tolerated
    }
}

/// Brokers whose last restart lost records, with the log end offset that they have to reach.
struct Lossy {
    of: Vec<(Broker, u64)>,
}

impl Lossy {
    fn add(&mut self, broker: Broker, end: u64) {
        match self.of.iter_mut().find(|(known, _)| *known == broker) {
            Some((_, to)) => *to = end.max(*to),
            None => self.of.push((broker, end)),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tolerated = match (self.tolerated, self.reliance) {
            (_, Reliance::Isr) if self.step.is_none() => {
                "one lossy restart fewer at a time than the ISR has members, none once it is down to one".to_owned()
            }
            (0, _) => "no lossy restart".to_owned(),
            (1, _) => "1 lossy restart at a time".to_owned(),
            (many, _) => format!("{many} lossy restarts at a time"),
        };
        let by = match self.reliance {
            Reliance::Flush => "flushed before it is acknowledged; disk loss excluded".to_owned(),
            Reliance::Elr => "ELR: min.insync.replicas - 1".to_owned(),
            Reliance::Isr if self.step.is_none() => "neither flush nor ELR".to_owned(),
            Reliance::Isr => format!("neither flush nor ELR; ISR {}", self.isr),
            Reliance::Majority => "a majority, without flush".to_owned(),
        };
        write!(f, "{tolerated} ({by}); there were {}", self.lossy)?;
        match self.step {
            Some(step) if self.is_exceeded() => write!(f, ": tolerance exceeded in step {step}"),
            _ => Ok(()),
        }
    }
}
