//! A failing run made small: as few events as still show the fault.

use crate::replication::event::Event;
use crate::replication::machine::apply;
use crate::replication::rules::Rules;
use crate::replication::state::State;
use crate::replication::witness::Witness;

/// The events of `events` that can happen, up to the first after which a violation of this word holds; none when it never does.
pub fn first_violation(rules: &Rules, events: &[Event], word: &str) -> Option<Vec<Event>> {
    let mut state: State = State::initial(rules);
    let mut witness = Witness::default();
    let mut taken = Vec::new();
    for &event in events {
        let before = state.clone();
        let mut effects = Vec::new();
        if apply(rules, &mut state, event, &mut |effect| effects.push(effect)).is_err() {
            continue;
        }
        effects.iter().for_each(|effect| witness.see(effect, &state));
        // What changes nothing and tells nothing is not needed.
        if state != before || event == Event::Consume {
            taken.push(event);
        }
        if witness.violations(rules, &state).iter().any(|violation| violation.word() == word) {
            return Some(taken);
        }
    }
    None
}

/// The smallest run that could be found with a violation of this word: events are left out in halves, then singly, for as long
/// as it stays; power losses become kills where that is enough. `None` when `events` do not show it.
///
/// Records are numbered anew by leaving their sending out, so what is sent again is left out with it. Where `goes_on` says no the
/// smallest so far is given.
pub fn shrink(rules: &Rules, events: &[Event], word: &str, goes_on: &dyn Fn() -> bool) -> Option<Vec<Event>> {
    let mut best = first_violation(rules, events, word)?;
    // Otherwise every record before the end that stays would be needed.
    let to_nothing = |event: &Event| match *event {
        Event::PowerLoss { broker, .. } => Event::PowerLoss { broker, keep: 0 },
        event => event,
    };
    if let Some(same) = first_violation(rules, &best.iter().map(to_nothing).collect::<Vec<_>>(), word) {
        best = same;
    }
    loop {
        let before = best.len();
        let mut size = best.len().div_ceil(2);
        while size >= 1 {
            let mut at = 0;
            while at < best.len() && goes_on() {
                let end = (at + size).min(best.len());
                let tried = without(&best, at, end);
                match first_violation(rules, &tried, word) {
                    Some(shorter) if shorter.len() < best.len() => best = shorter,
                    _ => at = end,
                }
            }
            size /= 2;
        }
        if best.len() == before {
            break;
        }
    }
    for at in 0..best.len() {
        if !goes_on() {
            break;
        }
        if let Event::PowerLoss { broker, .. } = best[at] {
            let mut tried = best.clone();
            tried[at] = Event::Kill(broker);
            if let Some(same) = first_violation(rules, &tried, word).filter(|same| same.len() <= best.len()) {
                best = same;
            }
        }
    }
    Some(best)
}

/// Without events `from` to `to`; records keep their numbers' meaning, as those sent before them may be left out.
fn without(events: &[Event], from: usize, to: usize) -> Vec<Event> {
    let sent = |events: &[Event]| {
        u32::try_from(events.iter().filter(|event| matches!(event, Event::Produce { .. })).count()).unwrap_or(0)
    };
    let (first, gone) = (sent(&events[..from]), sent(&events[from..to]));
    let renumber = |event: &Event| match *event {
        Event::Retry { record, .. } if (first..first + gone).contains(&record) => None,
        Event::Retry { record, acks, at } if record >= first => Some(Event::Retry { record: record - gone, acks, at }),
        event => Some(event),
    };
    events[..from].iter().chain(&events[to..]).filter_map(renumber).collect()
}
