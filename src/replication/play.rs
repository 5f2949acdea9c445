//! Plays events through, and keeps what there is to see: one row a step, then the verdict.

use thiserror::Error;

use super::effect::Effect;
use super::event::Event;
use super::machine::{Impossible, apply};
use super::rules::Rules;
use super::state::State;
use super::witness::{Violation, Witness};

/// A step that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("step {number} ({event}): {why}")]
pub struct PlayError {
    /// Its number, from 1.
    pub number: usize,
    /// The step.
    pub event: Event,
    /// Why not.
    pub why: Impossible,
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What happened.
    pub event: Event,
    /// What came of it.
    pub effects: Vec<Effect>,
    /// Whether nothing changed.
    pub idle: bool,
    /// The partition afterwards.
    pub state: State,
    /// Violations that hold now and did not before.
    pub new_violations: Vec<Violation>,
    /// Rules of the protocol that are broken now.
    pub broken: Vec<&'static str>,
    /// Whether nobody could lead.
    pub unavailable: bool,
}

/// What was played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// What holds.
    pub rules: Rules,
    /// The partition before the first step.
    pub initial: State,
    /// A row a step.
    pub rows: Vec<Row>,
    /// What clients have seen in the end.
    pub witness: Witness,
    /// Violations that held after any step, each once, in the order in which they came up; with the number of the step.
    pub violations: Vec<(usize, Violation)>,
    /// Violations that hold in the end.
    pub at_end: Vec<Violation>,
}

impl Timeline {
    /// The partition after the last step.
    pub fn last(&self) -> &State {
        self.rows.last().map_or(&self.initial, |row| &row.state)
    }
}

/// Plays steps that were written for other rules: questions are put where these rules need them and left out where they do
/// not, and what cannot happen is left out. Gives the numbers of the steps left out, from 1.
pub fn play_adapted(rules: &Rules, initial: State, events: &[Event]) -> (Timeline, Vec<usize>) {
    let mut player = Player::new(rules.clone(), initial);
    let (mut rows, mut left_out) = (Vec::with_capacity(events.len()), Vec::new());
    for (&event, number) in events.iter().zip(1..) {
        if let Event::Fetch { broker, .. } = event {
            while player.state.replica(broker).asks
                && let Ok(row) = player.step(Event::EpochQuery(broker))
            {
                let is_stuck = row.idle;
                rows.push(row);
                if is_stuck {
                    break;
                }
            }
        }
        match player.step(event) {
            Ok(row) => rows.push(row),
            // It was put already, or is not needed.
            Err(Impossible::NothingToAsk(_)) => {}
            Err(_) => left_out.push(number),
        }
    }
    (player.finish(rows), left_out)
}

/// Plays `events` from `initial`.
///
/// # Errors
///
/// The first event that cannot happen.
pub fn play(rules: &Rules, initial: State, events: &[Event]) -> Result<Timeline, PlayError> {
    let mut player = Player::new(rules.clone(), initial);
    let mut rows = Vec::with_capacity(events.len());
    for (at, &event) in events.iter().enumerate() {
        rows.push(player.step(event).map_err(|why| PlayError { number: at + 1, event, why })?);
    }
    Ok(player.finish(rows))
}

/// Takes one step after the other.
#[derive(Debug, Clone)]
pub struct Player {
    rules: Rules,
    initial: State,
    state: State,
    witness: Witness,
    steps: usize,
    violations: Vec<(usize, Violation)>,
    now: Vec<Violation>,
}

impl Player {
    /// Begins at `initial`.
    pub fn new(rules: Rules, initial: State) -> Player {
        let (state, witness) = (initial.clone(), Witness::of(&initial));
        Player { rules, initial, state, witness, steps: 0, violations: Vec::new(), now: Vec::new() }
    }

    /// The partition now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes a step.
    ///
    /// # Errors
    ///
    /// It cannot be taken; nothing has changed.
    pub fn step(&mut self, event: Event) -> Result<Row, Impossible> {
        let mut effects = Vec::new();
        let before = self.state.clone();
        apply(&self.rules, &mut self.state, event, &mut |effect| effects.push(effect))?;
        self.steps += 1;
        effects.iter().for_each(|effect| self.witness.see(effect, &self.state));
        let now = self.witness.violations(&self.rules, &self.state);
        let new_violations: Vec<Violation> = now.iter().filter(|held| !self.now.contains(held)).cloned().collect();
        for violation in &now {
            if !self.violations.iter().any(|(_, known)| known == violation) {
                self.violations.push((self.steps, violation.clone()));
            }
        }
        self.now = now;
        Ok(Row {
            event,
            idle: before == self.state && !matches!(event, Event::Consume),
            effects,
            broken: self.witness.broken_rules(&self.rules, &self.state),
            unavailable: !self.state.is_available(&self.rules),
            state: self.state.clone(),
            new_violations,
        })
    }

    /// What was played.
    pub fn finish(self, rows: Vec<Row>) -> Timeline {
        Timeline {
            rules: self.rules,
            initial: self.initial,
            rows,
            witness: self.witness,
            violations: self.violations,
            at_end: self.now,
        }
    }
}
