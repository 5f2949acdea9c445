//! What must hold in every state.

use std::fmt;

use super::Invariant;
use super::state::{ISR, State};

/// A leader's high watermark counts what a broker that may be elected does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Who believes to lead.
    pub leader: u8,
    /// Its high watermark.
    pub high_watermark: u8,
    /// A member of the ISR whose log differs below it.
    pub member: u8,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { leader, high_watermark, member } = self;
        write!(
            f,
            "b{member} is in the ISR and does not have what b{leader} has below its high watermark {high_watermark}"
        )
    }
}

/// The first pair that breaks the invariant.
#[inline]
pub(super) fn verdict(invariant: Invariant, replicas: u8, state: &State) -> Option<Violation> {
    if invariant == Invariant::Nothing {
        return None;
    }
    let all = 0..replicas;
    let mut leaders = all.clone().filter(|it| state.presumes_leadership(*it) && state.high_watermark(*it) > 0);
    leaders.find_map(|leader| {
        let isr = if invariant == Invariant::WeakIsr { state.get(leader, ISR) } else { state.quorum_isr() };
        let end = state.high_watermark(leader);
        let member = all.clone().find(|it| isr >> it & 1 == 1 && !state.is_same_below(leader, *it, end))?;
        Some(Violation { leader, high_watermark: u8::try_from(end).ok()?, member })
    })
}
