//! What is known: the shortest ways to go wrong under each set of rules, and scopes in which there is none.

use super::{Find, Scope};
use crate::replication::event::Acks;
use crate::replication::rules::{Era, Rules};

/// One row of what is known.
#[derive(Debug, Clone)]
pub struct Known {
    /// Name.
    pub name: &'static str,
    /// What holds.
    pub rules: Rules,
    /// Within which bounds.
    pub scope: Scope,
    /// Steps of the shortest way to a violation; none: there is none in this scope.
    pub shortest: Option<usize>,
    /// States in a scope without violation. How many there are depends on what a state keeps of what can not matter any more; here
    /// it keeps nothing of it.
    pub states: Option<u64>,
}

/// Records, fences, elections, power losses, kills.
fn scope(find: Find, [records, fences, elections, power_losses, kills]: [u8; 5]) -> Scope {
    Scope { records: u32::from(records), fences, elections, power_losses, kills, find, ..Scope::default() }
}

fn rules(era: Era, replicas: u8, min_isr: u32) -> Rules {
    Rules { min_insync_replicas: min_isr, records_per_fetch: Some(1), ..Rules::of(era, replicas) }
}

fn without(mut rules: Rules, switch: &str, on: bool) -> Rules {
    for (name, value) in rules.switches.named() {
        if name == switch {
            *value = on;
        }
    }
    rules
}

/// All rows, in the order of the eras.
pub fn known() -> Vec<Known> {
    let lost = Find::AckedLost;
    let row = |name, rules, scope, shortest, states| Known { name, rules, scope, shortest, states };
    let with_lost_responses = |scope| Scope { lost_responses: true, ..scope };
    vec![
        row("hw-lost", rules(Era::Hw, 2, 1), with_lost_responses(scope(lost, [1, 0, 3, 0, 0])), Some(8), None),
        row("hw-diverged", rules(Era::Hw, 2, 1), scope(Find::Diverged, [2, 0, 3, 0, 0]), Some(8), None),
        row("epoch-diverged", rules(Era::Epoch, 2, 1), scope(Find::Diverged, [3, 0, 2, 0, 0]), Some(11), None),
        row("epoch-lost", rules(Era::Epoch, 2, 1), with_lost_responses(scope(lost, [1, 0, 3, 0, 0])), None, Some(596)),
        row("epoch2-lost", rules(Era::Epoch2, 3, 1), scope(lost, [1, 1, 3, 0, 0]), Some(10), None),
        row(
            "acks-one",
            rules(Era::Fetch, 3, 1),
            Scope { acks: Acks::Leader, ..scope(lost, [1, 0, 1, 0, 0]) },
            Some(3),
            None,
        ),
        row(
            "unclean",
            Rules { unclean_leader_election: true, ..rules(Era::Fetch, 3, 1) },
            scope(lost, [1, 2, 0, 0, 1]),
            Some(8),
            None,
        ),
        row("no-elr", rules(Era::Fetch, 3, 2), scope(lost, [1, 2, 0, 1, 0]), Some(11), None),
        row("elr", rules(Era::Elr, 3, 2), scope(lost, [1, 2, 0, 1, 0]), None, Some(688_918)),
        row("elr-exhausted", rules(Era::Elr, 3, 2), scope(lost, [1, 1, 0, 2, 0]), Some(13), None),
        row(
            "no-maximal-isr",
            without(rules(Era::Fetch, 3, 2), "maximal_isr", false),
            scope(lost, [1, 1, 1, 0, 0]),
            Some(10),
            None,
        ),
        row(
            "no-epoch-start",
            without(without(rules(Era::Fetch, 3, 2), "leso", false), "clear_rem", true),
            with_lost_responses(scope(lost, [2, 1, 2, 0, 0])),
            Some(13),
            None,
        ),
        row(
            "no-broker-epochs",
            without(rules(Era::Elr, 3, 2), "broker_epoch_check", false),
            scope(lost, [1, 2, 0, 1, 0]),
            Some(15),
            None,
        ),
        row(
            "no-fence",
            without(without(rules(Era::Fetch, 3, 1), "clear_rem", true), "fence", false),
            scope(lost, [1, 1, 3, 0, 0]),
            Some(15),
            None,
        ),
        row(
            "fence",
            without(rules(Era::Fetch, 3, 1), "clear_rem", true),
            scope(lost, [1, 1, 3, 0, 0]),
            None,
            Some(725_499),
        ),
        row(
            "no-hw-min-isr",
            without(rules(Era::Elr, 3, 2), "hw_needs_min_isr", false),
            scope(Find::Consumer, [1, 2, 0, 1, 0]),
            Some(8),
            None,
        ),
        row("hw-min-isr", rules(Era::Elr, 3, 2), scope(Find::Consumer, [1, 2, 0, 1, 0]), None, Some(757_271)),
        row("skipped-epoch", rules(Era::Elr, 3, 2), scope(lost, [1, 2, 1, 0, 0]), Some(11), None),
        row(
            "offsets-forgotten",
            without(rules(Era::Elr, 3, 2), "clear_rem", true),
            scope(lost, [1, 2, 1, 0, 0]),
            None,
            Some(243_407),
        ),
    ]
}
