//! All that three members of a group can do, in every order: nobody reads what another one may commit, no committed offset
//! goes back, and whatever has happened, the group comes to rest with every partition read once.
//!
//! External events are starts, leaves, deaths (`kill -9`), stops and wakings of processes, and commits. In between, everything that
//! the members do by themselves happens in every order. There are up to six events, for static members five, or as many as
//! `LOGDIR_EXPLORE` says (`LOGDIR_EXPLORE=full`: six for all).

#![expect(
    clippy::cast_possible_truncation,
    reason = "slots, ranks and partitions are few, worlds and visits below 2^32"
)]

mod laws;
mod records;
mod search;
mod world;

use logdir::group::assignor::ClientAssignor;
use search::{Violation, explore};
use world::{Fault, SLOTS, Setting};

const DYNAMIC: [Option<&str>; SLOTS] = [None; SLOTS];
const STATIC: [Option<&str>; SLOTS] = [Some("x"), Some("y"), Some("z")];
/// Two processes that take the place of one another.
const SHARED: [Option<&str>; SLOTS] = [Some("x"), Some("y"), Some("x")];

/// How many external events there are: those of a plain run, or what `LOGDIR_EXPLORE` says.
fn events(plain: u8) -> u8 {
    let number = |text: String| text.parse().unwrap_or(6);
    std::env::var("LOGDIR_EXPLORE").map_or(plain, number)
}

fn holds(setting: &Setting) {
    match explore(setting) {
        Ok(explored) => {
            println!("{} {}, {} events: {explored}", setting.assignor.name(), setting.name, setting.events);
        }
        Err(Violation { law, trace }) => {
            panic!("{} {}: {law}\n  {}", setting.assignor.name(), setting.name, trace.join("\n  "))
        }
    }
}

fn dynamic(assignor: ClientAssignor) -> Setting {
    Setting { name: "dynamic", assignor, instances: DYNAMIC, events: events(6), fault: Fault::None }
}

#[test]
fn range() {
    holds(&dynamic(ClientAssignor::Range));
}

#[test]
fn round_robin() {
    holds(&dynamic(ClientAssignor::RoundRobin));
}

#[test]
fn sticky() {
    holds(&dynamic(ClientAssignor::Sticky));
}

#[test]
fn cooperative_sticky() {
    holds(&dynamic(ClientAssignor::CooperativeSticky));
}

#[test]
fn static_members() {
    for assignor in ClientAssignor::ALL {
        for (name, instances) in [("static", STATIC), ("shared instance", SHARED)] {
            holds(&Setting { name, assignor, instances, events: events(5), fault: Fault::None });
        }
    }
}

/// A driver that does one thing wrong breaks the law that is there for it.
#[test]
fn mistakes_of_a_driver_are_noticed() {
    use ClientAssignor::{CooperativeSticky, Range};
    let cases = [
        (Fault::ReleasesLate, Range, "one owner: "),
        (Fault::ReleasesUncommitted, Range, "records: record 0 of t-0 is read twice"),
        (Fault::LeavesBlindly, CooperativeSticky, "records: record 0 of t-0 is read twice"),
        (Fault::CommitsFenced, Range, "records: slot 1 is at 0 of t-0, committed is 1"),
        (Fault::LoadsNothing, Range, "records: slot 0 is at 0 of t-0, committed is 1"),
        (Fault::StaysOut, Range, "settles: "),
    ];
    for (fault, assignor, expected) in cases {
        let setting = Setting { fault, events: 5, ..dynamic(assignor) };
        let Err(Violation { law, trace }) = explore(&setting) else { panic!("{fault:?} goes unnoticed") };
        assert!(law.starts_with(expected), "{fault:?}: {law}\n  {}", trace.join("\n  "));
        println!("{fault:?}: {law}, after {} steps", trace.len());
    }
}
