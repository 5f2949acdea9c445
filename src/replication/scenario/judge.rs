//! Whether what came out is what was expected.

use super::Expect;
use crate::replication::broker_set::BrokerSet;
use crate::replication::play::Timeline;
use crate::replication::state::State;
use crate::replication::witness::Violation;

impl Expect {
    /// What is not as expected, each in one line: `b1: LEO 2, expected 1`. A violation that is not named is not expected.
    pub fn unmet(&self, timeline: &Timeline) -> Vec<String> {
        let (mut unmet, state) = (Vec::new(), timeline.last());
        let mut check = |what: &str, found: String, expected: Option<String>| {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                unmet.push(format!("{what}: {found}, expected {expected}"));
            }
        };
        let list = |texts: &Option<Vec<String>>| texts.as_ref().map(|texts| texts.join(", "));
        check("leader", leader(state), self.leader.clone());
        check("ISR", brokers(state.controller.isr), list(&self.isr));
        check("ELR", brokers(state.controller.elr), list(&self.elr));
        let acked: Vec<String> = timeline.witness.acked().map(|(record, _)| format!("m{record}")).collect();
        check("acknowledged", acked.join(", "), list(&self.acked));
        let lost = timeline.at_end.iter().find_map(|violation| match violation {
            Violation::AckedLost(records) => Some(records.as_slice()),
            _ => None,
        });
        let lost: Vec<String> = lost.unwrap_or(&[]).iter().map(|record| format!("m{record}")).collect();
        let diverged = timeline.at_end.iter().any(|violation| matches!(violation, Violation::Diverged { .. }));
        check("acknowledged and lost", lost.join(", "), list(&self.acked_lost));
        check("diverged", diverged.to_string(), self.diverged.map(|diverged| diverged.to_string()));
        let texts = |violations: &mut dyn Iterator<Item = &Violation>| -> String {
            violations.map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let join = |texts: &Option<Vec<String>>| texts.as_ref().map(|texts| texts.join("; "));
        let all = texts(&mut timeline.violations.iter().map(|(_, violation)| violation));
        check("violations", all, join(&self.violations));
        check("violations in the end", texts(&mut timeline.at_end.iter()), join(&self.at_end));
        for (broker, expected) in &self.replicas {
            let replica = state.replica(*broker);
            let mut check = |what: &str, found: String, expected: Option<String>| {
                check(&format!("b{broker}: {what}"), found, expected)
            };
            check("LEO", replica.leo().to_string(), expected.leo.map(|leo| leo.to_string()));
            check("HW", replica.hw.to_string(), expected.hw.map(|hw| hw.to_string()));
            check("leads", replica.leads().to_string(), expected.leader.map(|leads| leads.to_string()));
            check("runs", replica.up.to_string(), expected.up.map(|up| up.to_string()));
            check("log", log(state, *broker), expected.log.clone());
        }
        unmet.extend(self.unexpected(timeline).map(|violation| format!("not expected: {violation}")));
        unmet
    }

    /// Violations that nothing above names.
    fn unexpected<'a>(&'a self, timeline: &'a Timeline) -> impl Iterator<Item = &'a Violation> {
        let is_named = |violation: &Violation| match violation {
            _ if self.violations.is_some() || self.at_end.is_some() => true,
            Violation::AckedLost(_) if self.acked_lost.is_some() => true,
            Violation::Diverged { .. } if self.diverged.is_some() => true,
            _ => false,
        };
        timeline.at_end.iter().filter(move |violation| !is_named(violation))
    }
}

/// `b1 e3`, as the controller has it.
pub fn leader(state: &State) -> String {
    let leader = state.controller.leader.map_or_else(|| "none".to_owned(), |leader| format!("b{leader}"));
    format!("{leader} e{}", state.controller.leader_epoch)
}

/// `m0@e0 m1@e0`.
pub fn log(state: &State, broker: u8) -> String {
    let entries = state.replica(broker).log.entries();
    entries.map(|stored| format!("m{}@e{}", stored.record, stored.epoch)).collect::<Vec<_>>().join(" ")
}

fn brokers(set: BrokerSet) -> String {
    set.iter().map(|broker| format!("b{broker}")).collect::<Vec<_>>().join(", ")
}
