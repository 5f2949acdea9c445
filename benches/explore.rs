//! How fast the search goes through states, on one thread and on two, and what a state takes.
//!
//! `cargo bench --bench explore` goes through the published models of log truncation. One thread and two take turns;
//! the best time of each counts, because the machine is shared: on a machine with one free core two threads cannot be
//! faster.
//!
//! Environment: `LOGDIR_BENCH_ROUNDS` (9).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]
#![allow(clippy::cast_precision_loss, reason = "figures")]

#[path = "support/rounds.rs"]
mod rounds;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use logdir::replication::explorer::search::FoundOf;
use logdir::replication::explorer::{Limits, search};
use logdir::replication::published::{Invariant, Published, Rules, Scope};
use rounds::env;

struct Case {
    name: &'static str,
    model: Published,
    /// What has to come out: states generated, and distinct ones.
    counts: (u64, u64),
    /// Best time of one thread and of two.
    best: [Duration; 2],
    bytes: usize,
}

fn case(name: &'static str, rules: Rules, scope: [u8; 4], invariant: Invariant, counts: (u64, u64)) -> Case {
    let [replicas, log_size, records, epoch_max] = scope;
    let scope = Scope::new(replicas, log_size, records, epoch_max).unwrap();
    let model = Published::new(rules, scope, invariant);
    let model = if name.ends_with("symmetry") { model.with_symmetry() } else { model };
    Case { name, model, counts, best: [Duration::MAX; 2], bytes: 0 }
}

fn found(model: &Published, threads: usize) -> FoundOf<Published> {
    search(model, &Limits { threads, ..Limits::default() }, &mut |_| ControlFlow::Continue(()))
}

fn main() {
    use Invariant::{Nothing, StrongIsr};
    let mut cases = [
        case("hw 3/2/2/2", Rules::HighWatermark, [3, 2, 2, 2], Nothing, (7_491_589, 1_988_158)),
        case("hw 3/2/2/2, symmetry", Rules::HighWatermark, [3, 2, 2, 2], Nothing, (1_251_670, 332_037)),
        case("KIP-320 3/2/2/2, strong ISR", Rules::Kip320, [3, 2, 2, 2], StrongIsr, (1_929_154, 737_794)),
        case("KIP-320 3/3/2/3, strong ISR, symmetry", Rules::Kip320, [3, 3, 2, 3], StrongIsr, (4_441_142, 1_665_204)),
    ];
    for _ in 0..env("LOGDIR_BENCH_ROUNDS", 9) {
        for case in &mut cases {
            for (threads, best) in (1..).zip(&mut case.best) {
                let start = Instant::now();
                let found = found(&case.model, threads);
                *best = (*best).min(start.elapsed());
                assert_eq!((found.generated, found.distinct), case.counts, "{}", case.name);
                case.bytes = case.bytes.max(found.bytes + found.buffer_bytes);
            }
        }
    }
    println!(
        "{:<38} {:>10} {:>12} {:>12} {:>6} {:>8}",
        "model", "distinct", "M/s, 1 thr.", "M/s, 2 thr.", "ratio", "B/state"
    );
    for Case { name, counts: (generated, distinct), best: [one, two], bytes, .. } in &cases {
        let rate = |time: &Duration| *generated as f64 / time.as_secs_f64() / 1e6;
        println!(
            "{name:<38} {distinct:>10} {:>12.2} {:>12.2} {:>6.2} {:>8.1}",
            rate(one),
            rate(two),
            one.as_secs_f64() / two.as_secs_f64(),
            *bytes as f64 / *distinct as f64,
        );
    }
    println!(
        "\nM/s: millions of generated states a second. Aims, of the first line: 4 on one thread, a ratio of 1.6, 32 bytes."
    );
}
