use super::shrink::{first_violation, shrink};
use super::*;
use crate::replication::event::{Acks, Event};
use crate::replication::rules::{Era, Rules};
use crate::replication::witness::Violation;

fn options(era: Era, min_isr: u32, faults: &[Fault]) -> Options {
    let mut rules = Rules { min_insync_replicas: min_isr, idempotence: true, ..Rules::of(era, 3) };
    rules.switches.wait_for_joining = era >= Era::Fetch;
    Options { rules, acks: Acks::All, faults: faults.to_vec(), swarm: true, steps: 300, times: Times::default() }
}

fn is_lost(run: &Run) -> bool {
    run.at_end.iter().any(|violation| matches!(violation, Violation::AckedLost(_)))
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let options = options(Era::Elr, 2, &Fault::USUAL);
    assert_eq!(simulate(&options, 7, 3), simulate(&options, 7, 3));
    assert_ne!(simulate(&options, 7, 3).events, simulate(&options, 8, 3).events);
}

#[test]
fn no_rule_of_the_protocol_is_broken_in_any_era() {
    for era in Era::ALL {
        for number in 0..60 {
            let run = simulate(&options(era, 2, &Fault::ALL), 1, number);
            assert!(run.broken.is_empty(), "{era} run {number}: {:?}", run.broken);
        }
    }
}

/// Invariants I1, I3 and I4 in the eras that promise them.
#[test]
fn without_power_losses_the_newer_eras_lose_nothing_and_all_logs_come_together() {
    let harmless: Vec<Fault> =
        Fault::USUAL.into_iter().filter(|fault| !matches!(fault, Fault::PowerLoss | Fault::Election)).collect();
    for era in [Era::Fenced, Era::Fetch, Era::Elr] {
        for number in 0..100 {
            let run = simulate(&options(era, 2, &harmless), 5, number);
            assert!(run.at_end.is_empty() && run.first.is_empty(), "{era} run {number}: {:?}", run.first);
            assert!(run.witness.acked().count() > 5, "{era} run {number}");
        }
    }
}

#[test]
fn what_is_lost_is_shown_in_a_few_steps() {
    let options = Options { acks: Acks::Leader, ..options(Era::Fetch, 1, &Fault::USUAL) };
    let run = (0..50).map(|number| simulate(&options, 7, number)).find(is_lost).unwrap();
    let events: Vec<Event> = run.events.iter().map(|(_, event)| *event).collect();
    let small = shrink(&options.rules, &events, "ACKED-LOST", &|| true).unwrap();
    assert!(small.len() <= 6, "{small:?}");
    assert_eq!(first_violation(&options.rules, &small, "ACKED-LOST"), Some(small));
}

/// S25: time from the acknowledgement to the next fetch of b1 that its leader counts, and whether the record is lost when the
/// leader is killed half a second after it acknowledged.
fn skipped_epoch(clear_rem: bool, kill: bool) -> (u64, bool) {
    let mut options = options(Era::Elr, 2, &[]);
    options.rules.switches.clear_rem = clear_rem;
    options.times.record_interval_max = u32::MAX;
    let mut simulator = Simulator::new(options, 1, 0);
    // b2 is in the ISR and behind; the preferred leader is it, and then it is gone again. b0 hears of both at once.
    simulator.plan(0, Planned::Fault(Fault::SlowFollower, 2, 20_000));
    simulator.plan(100, Planned::Fault(Fault::SlowMetadata, 0, 300));
    simulator.plan(101, Planned::Event(Event::Elect(Some(2))));
    simulator.plan(150, Planned::Event(Event::Fence(2)));
    let mut acked = None;
    let mut fetched = None;
    while simulator.now() < 3_000 && simulator.step() {
        let now = simulator.now();
        if acked.is_none() && simulator.witness().acked().count() > 0 {
            acked = Some(now);
            if kill {
                simulator.plan(500, Planned::Fault(Fault::Kill, 0, 1_000));
                simulator.plan(501, Planned::Event(Event::Fence(0)));
            }
        }
        let caught_up = |&&(at, event): &&(u64, Event)| at > 160 && event == Event::Fetch { broker: 1, lost: false };
        fetched = fetched.or(simulator.events().iter().find(caught_up).map(|(at, _)| *at).filter(|_| now > 400));
    }
    let lost = simulator.witness().violations(&Rules::of(Era::Elr, 3), simulator.state());
    let window = fetched.unwrap_or(3_000).saturating_sub(acked.unwrap_or(0));
    (window, lost.iter().any(|violation| matches!(violation, Violation::AckedLost(_))))
}

#[test]
fn a_skipped_leader_epoch_leaves_a_window_of_the_fetch_back_off() {
    let (window, lost) = skipped_epoch(false, false);
    assert!((500..1_100).contains(&window) && !lost, "{window} ms, lost: {lost}");
    assert!(skipped_epoch(false, true).1, "killed within the window");
    let (window, _) = skipped_epoch(true, false);
    assert_eq!(window, 0, "acknowledged when it is fetched");
    assert!(!skipped_epoch(true, true).1, "what was acknowledged is there");
}
