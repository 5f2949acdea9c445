//! States in words.

use std::fmt;

use super::Published;
use super::state::{EPOCH, HIGH_WATERMARK, ISR, LEADER, NONE, RECORD_EPOCH_AT, State};

/// A state in words, one line: what each broker believes and holds, and what the controller has said last.
pub struct Described<'s> {
    state: &'s State,
    replicas: u8,
}

impl Published {
    /// The state in words.
    pub const fn describe<'s>(&self, state: &'s State) -> Described<'s> {
        Described { state, replicas: self.scope.replicas }
    }
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state;
        for broker in 0..self.replicas {
            match (state.get(broker, LEADER), state.get(broker, EPOCH)) {
                (_, 0) => write!(f, "b{broker} knows no epoch")?,
                (leader, epoch) if leader == u32::from(broker) => write!(f, "b{broker} leads e{}", epoch - 1)?,
                (leader, epoch) => write!(f, "b{broker} follows b{leader} e{}", epoch - 1)?,
            }
            write!(f, " ISR {} LEO/HW ", Brokers(state.get(broker, ISR)))?;
            write!(f, "{}/{}", state.log_end(broker), state.get(broker, HIGH_WATERMARK))?;
            for offset in 0..state.log_end(broker) {
                let id = state.record(broker, offset) & ((1 << RECORD_EPOCH_AT) - 1);
                write!(f, " m{id}@e{}", state.record_epoch(broker, offset))?;
            }
            f.write_str("; ")?;
        }
        match (state.quorum_leader(), state.requests()) {
            (_, 0) => f.write_str("controller: no epoch")?,
            (NONE, epochs) => write!(f, "controller: no leader e{}", epochs - 1)?,
            (leader, epochs) => write!(f, "controller: b{leader} e{}", epochs - 1)?,
        }
        write!(f, " ISR {}", Brokers(state.quorum_isr()))
    }
}

/// A set of brokers.
struct Brokers(u32);

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brokers: Vec<String> = (0..3).filter(|it| self.0 >> it & 1 == 1).map(|it| format!("b{it}")).collect();
        write!(f, "{{{}}}", brokers.join(","))
    }
}
