//! How long plans of reassignments take, what they move beside the least that any could, and how they stand beside other planners.
//!
//! `cargo bench --bench reassign` plans clusters of 10,000, 100,000 and 1,000,000 partitions to which a tenth of their brokers is
//! added, and then every recorded instance (`../shared/reassign`, or `LOGDIR_REASSIGN`). One thread; the machine is shared.
//!
//! Environment: `LOGDIR_BENCH_ROUNDS` (3).

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(dead_code, reason = "what the benchmarks share is more than this one needs")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures")]

#[path = "support/clusters.rs"]
mod clusters;
#[path = "../tests/support/reassign.rs"]
mod reassign;
#[path = "support/rounds.rs"]
mod rounds;

use std::path::Path;
use std::time::{Duration, Instant};

use clusters::{Growth, grown};
use logdir::reassign::bounds::Bounds;
use logdir::reassign::cluster::{Cluster, Problem, Rules};
use logdir::reassign::instance::Instance;
use logdir::reassign::measure::{Balance, Moves, breach};
use logdir::reassign::planner;
use logdir::reassign::quota::Quotas;
use reassign::{instances, reassign_dir};
use rounds::{env, peak_memory_mib};
use serde_json::Value;

/// The argument after which this program makes one plan, so that its memory can be measured.
const ONE: &str = "--one-plan-of";

const GROWTHS: [(Growth, &str); 4] = [
    (Growth { partitions: 10_000, topics: 200, brokers: 30, added: 3, racks: 3 }, "< 100 ms"),
    (Growth { partitions: 100_000, topics: 2_000, brokers: 300, added: 30, racks: 15 }, "< 1 s"),
    (Growth { partitions: 1_000_000, topics: 20_000, brokers: 300, added: 30, racks: 15 }, "< 10 s, 2 GiB"),
    (Growth { partitions: 1_000_000, topics: 1_000_000, brokers: 300, added: 30, racks: 15 }, "< 10 s, 2 GiB"),
];

/// A plan and what it comes to.
struct Outcome {
    time: Duration,
    replicas: u64,
    replicas_over_bound: f64,
    bytes_over_bound: f64,
    balance: Balance,
    counts: (u64, u64),
    leaders: (u64, u64),
    breaches: usize,
}

fn over(value: f64, bound: f64) -> f64 {
    match (value, bound) {
        (0.0, 0.0) => 1.0,
        (_, 0.0) => f64::INFINITY,
        _ => value / bound,
    }
}

/// Makes a plan in as many rounds, and measures it; `known` tells of bounds that a solver found.
fn planned(cluster: &Cluster, rules: &Rules, known: &dyn Fn(&str) -> f64, rounds: u64) -> Outcome {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let problem = Problem::new(cluster, rules);
        std::hint::black_box(planner::plan(&problem, &Quotas::of(&problem)));
        times.push(start.elapsed());
    }
    times.sort();
    let problem = Problem::new(cluster, rules);
    let quotas = Quotas::of(&problem);
    let plan = planner::plan(&problem, &quotas);
    let bounds = Bounds::of(&problem, &quotas);
    let moves = Moves::to_disks(&problem, &plan.assignment, &plan.disks);
    let (replicas, bytes, bound) = if rules.only_disks {
        (moves.disk_replicas, moves.disk_bytes, bounds.disk_bytes)
    } else {
        (moves.replicas, moves.bytes, bounds.bytes)
    };
    let replicas_bound = if rules.only_disks { replicas } else { bounds.replicas };
    let balance = Balance::of(&problem, &quotas, &plan.assignment);
    let ends = |all: &[u64]| {
        let targets = || all.iter().zip(&problem.is_target).filter(|(_, is_target)| **is_target).map(|(it, _)| *it);
        (targets().min().unwrap_or(0), targets().max().unwrap_or(0))
    };
    Outcome {
        time: times[times.len() / 2],
        replicas,
        replicas_over_bound: over(replicas as f64, (replicas_bound as f64).max(known("replicas_count_rack"))),
        bytes_over_bound: over(bytes as f64, (bound as f64).max(known("bytes_count_and_tolerance"))),
        counts: ends(&balance.counts),
        leaders: ends(&balance.leaders),
        breaches: plan.assignment.iter().enumerate().filter(|(it, list)| breach(&problem, *it, list).is_some()).count(),
        balance,
    }
}

fn grow(number: usize, program: &Path, rounds: u64) {
    let (growth, aim) = &GROWTHS[number];
    let (cluster, rules) = grown(growth);
    let it = planned(&cluster, &rules, &|_| 0.0, rounds);
    let memory = peak_memory_mib(program, &[ONE, &number.to_string()]).unwrap_or(f64::NAN);
    println!(
        "{:>9} {:>9} {:>4}+{:<3} {:>9.0} {memory:>8.0} {:>9} ({:.3}) {:>7.3} {:>6}..{:<6} {:>5.3}..{:.3} {:>5}..{:<5} {:>4} {:>4}  {aim}",
        growth.partitions,
        growth.topics,
        growth.brokers,
        growth.added,
        it.time.as_secs_f64() * 1e3,
        it.replicas,
        it.replicas_over_bound,
        it.bytes_over_bound,
        it.counts.0,
        it.counts.1,
        it.balance.bytes_under_share,
        it.balance.bytes_over_share,
        it.leaders.0,
        it.leaders.1,
        it.balance.count_excess,
        it.breaches,
    );
}

/// A row as other planners' rows are recorded.
fn row(name: &str, tool: &str, replicas: (f64, f64), bytes: f64, ends: [u64; 4], topics: u64, ms: f64) {
    let [count_min, count_max, leaders_min, leaders_max] = ends;
    println!(
        "{name:<17} {tool:<9} {:>6} ({:>7.3}) {bytes:>7.3} {count_min:>6}..{count_max:<6} {leaders_min:>5}..{leaders_max:<5} {topics:>6} {ms:>9.1}",
        replicas.0, replicas.1
    );
}

/// A number of a recorded row; "inf" is a word there.
fn number(row: &Value, key: &str) -> Option<f64> {
    let value = &row[key];
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The columns where the recorded row is ahead of ours, and whether it keeps to every rule.
fn behind(instance: &Instance, row: &Value, ours: &Outcome) -> Option<(bool, String)> {
    let spread = |key: &str| Some(row[key][1].as_f64()? - row[key][0].as_f64()?);
    let gap = |(low, high): (u64, u64)| (high - low) as f64;
    let columns = [
        ("replicas", number(row, "replicas_over_bound"), ours.replicas_over_bound, 5e-4),
        ("bytes", number(row, "bytes_over_bound"), ours.bytes_over_bound, 5e-4),
        ("counts", number(row, "count_excess"), ours.balance.count_excess as f64, 0.0),
        ("leaders", spread("leaders"), gap(ours.leaders), 0.0),
        ("topic excess", number(row, "topic_excess"), ours.balance.topic_excess as f64, 0.0),
        // Recorded to a tenth of a millisecond.
        ("ms", number(row, "milliseconds"), ours.time.as_secs_f64() * 1e3, 0.05),
    ];
    let words = row["missed"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missed: Vec<&str> =
        words.map(|it| it.split(':').next().unwrap_or(it).split(" outside").next().unwrap_or(it)).collect();
    let ahead = columns.into_iter().filter_map(|(name, theirs, ours, slack)| {
        let theirs = theirs.filter(|it| *it < ours - slack)?;
        Some(format!("{name} {theirs} against {ours:.3}"))
    });
    let tool = short(row["tool"].as_str().unwrap_or(""));
    let ahead: Vec<String> = ahead.collect();
    let why = if missed.is_empty() { String::new() } else { format!("; it missed the rules of {}", missed.join(", ")) };
    if ahead.is_empty() {
        None
    } else {
        Some((missed.is_empty(), format!("{} {tool}: {}{why}", instance.name, ahead.join(", "))))
    }
}

/// What the recorded rows call the planners for short.
fn short(tool: &str) -> &'static str {
    let names =
        [("kafka-re", "kafka"), ("topicmappr", "tm"), ("linkedin", "kt"), ("Cruise", "cc"), ("reference", "rp")];
    names.iter().find(|(start, _)| tool.starts_with(start)).map_or("?", |(_, name)| name)
}

fn compare(dir: &Path, rounds: u64) {
    println!(
        "\n{:<17} {:<9} {:>16} {:>7} {:>14} {:>12} {:>6} {:>9}",
        "instance", "tool", "replicas (x)", "bytes x", "count", "leaders", "topics", "ms"
    );
    let mut behinds = Vec::new();
    for (file, instance) in instances(dir) {
        let text: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let known = |key: &str| instance.bounds.get(key).copied().unwrap_or(0.0);
        let ours = planned(&instance.cluster, &instance.rules, &known, rounds);
        let ends = [ours.counts.0, ours.counts.1, ours.leaders.0, ours.leaders.1];
        let replicas = (ours.replicas as f64, ours.replicas_over_bound);
        let ms = ours.time.as_secs_f64() * 1e3;
        row(&instance.name, "logdir", replicas, ours.bytes_over_bound, ends, ours.balance.topic_excess, ms);
        let rows = text["baselines"].as_array().cloned().unwrap_or_default();
        // The best of those that keep to the same rules: by bytes, then by replicas.
        let level = rows.iter().filter(|it| it["missed"].as_array().is_some_and(Vec::is_empty));
        let key = |it: &&Value| {
            [number(it, "bytes_over_bound"), number(it, "replicas_over_bound")].map(|it| it.unwrap_or(f64::NAN))
        };
        let best = level.min_by(|a, b| key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal));
        if let Some(best) = best {
            let end = |key: &str, at: usize| best[key][at].as_u64().unwrap_or(0);
            let ends = [end("count", 0), end("count", 1), end("leaders", 0), end("leaders", 1)];
            let of = |key: &str| number(best, key).unwrap_or(f64::NAN);
            let replicas = (of("moved_replicas"), of("replicas_over_bound"));
            let tool = format!("best: {}", short(best["tool"].as_str().unwrap_or("")));
            row("", &tool, replicas, of("bytes_over_bound"), ends, of("topic_excess") as u64, of("milliseconds"));
        }
        behinds.extend(rows.iter().filter_map(|row| behind(&instance, row, &ours)));
    }
    println!("\nbest: of the recorded planners that miss no rule, the one with the fewest bytes");
    for (is_level, head) in [(true, "ahead on a column, and level:"), (false, "ahead on a column, and not level:")] {
        println!("{head}");
        behinds.iter().filter(|(it, _)| *it == is_level).for_each(|(_, text)| println!("  {text}"));
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too; it is no test.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    if let Some(at) = args.iter().position(|arg| arg == ONE) {
        let (cluster, rules) = grown(&GROWTHS[args[at + 1].parse::<usize>().unwrap()].0);
        let problem = Problem::new(&cluster, &rules);
        std::hint::black_box(planner::plan(&problem, &Quotas::of(&problem)));
        return;
    }
    let rounds = env("LOGDIR_BENCH_ROUNDS", 3).max(1);
    let program = std::env::current_exe().unwrap();
    println!(
        "{:>9} {:>9} {:>8} {:>9} {:>8} {:>17} {:>7} {:>14} {:>12} {:>12} {:>4} {:>4}  aim",
        "partition",
        "topics",
        "brokers",
        "ms",
        "MiB",
        "replicas (x)",
        "bytes x",
        "count",
        "share",
        "leaders",
        "off",
        "bad"
    );
    (0..GROWTHS.len()).for_each(|number| grow(number, &program, rounds));
    println!(
        "MiB: peak of a process that makes the cluster and one plan; off: count excess; bad: partitions that break a rule"
    );
    match reassign_dir() {
        Some(dir) => compare(&dir, rounds),
        None => println!("no recorded instances"),
    }
}
