//! How long a million partition-years of faults take, and how well rare losses are known after them.
//!
//! `cargo bench --bench failover_stats` simulates the default configuration and others with one thread and with two, then the
//! default grid. The machine is shared.
//!
//! Environment: `LOGDIR_BENCH_ROUNDS` (3), `LOGDIR_BENCH_YEARS` (1 000 000).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures")]

#[path = "support/rounds.rs"]
mod rounds;

use std::time::Instant;

use logdir::replication::stats::{Acks, Configuration, Effort, Flush, Grid, Rates, Strategy, report, simulate};
use rounds::env;

fn main() {
    let years = env("LOGDIR_BENCH_YEARS", 1_000_000) as f64;
    let rounds = env("LOGDIR_BENCH_ROUNDS", 3);
    let rates = Rates::default();
    let usual = Configuration::default();
    let cases = [
        (usual, 1, "< 10 s"),
        (usual, 2, "< 10 s"),
        (Configuration { flush: Flush::EveryRecord, ..usual }, 1, ""),
        (Configuration { acks: Acks::Leader, ..usual }, 1, ""),
        (Configuration { strategy: Strategy::Majority, ..usual }, 1, ""),
        (Configuration { replication_factor: 5, min_insync_replicas: 3, ..usual }, 1, ""),
    ];
    println!("{years:e} partition-years\n");
    println!("{:>7} {:>8} {:>10} {:>8} {:>10}  configuration", "threads", "s", "M cycles/s", "n_eff", "loss/y");
    for (configuration, threads, aim) in cases {
        let mut times = Vec::new();
        let mut outcome = None;
        for _ in 0..rounds {
            let start = Instant::now();
            outcome = Some(simulate(&configuration, &rates, &Effort { years, seed: 1, threads }).unwrap());
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let (seconds, outcome) = (times[times.len() / 2], outcome.unwrap());
        let (rate, losses) = (outcome.cycles / seconds / 1e6, outcome.losses);
        println!(
            "{threads:>7} {seconds:>8.2} {rate:>10.2} {:>8.0} {:>10.2e}  {configuration}  {aim}",
            losses.effective_samples, losses.per_year
        );
    }
    let grid = Grid { replication_factors: vec![2, 3, 5], min_insync_replicas: vec![1, 2, 3], ..Grid::default() };
    let start = Instant::now();
    let rows = grid.run(&rates, &Effort { years: years / 100.0, seed: 1, threads: 2 }, |_| ()).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "\n{} configurations, {:e} partition-years each, two threads: {seconds:.2} s\n",
        rows.len(),
        years / 100.0
    );
    print!("{}", report::table(&rows));
}
