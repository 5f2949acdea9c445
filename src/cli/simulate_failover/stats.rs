//! `simulate-failover stats`.

use super::rules::acks;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::range::parse_duration;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::replication::stats::report::{self, CAVEAT};
use crate::replication::stats::{self, Acks, Effort, Flush, Grid, Rates, Strategy, YEAR_S};

/// Tell how often a partition loses acknowledged records, and how long it takes no writes or reads, at given rates of faults
///
/// Settings take several values, each combination is a row then, sorted by nines. The rates are yours to say: the figures are
/// what follows from them. Losses that were not seen are given as a bound, not as zero.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover stats"))]
pub struct StatsArgs {
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    rates: RateArgs,
    /// Partition-years to go through for each row
    #[arg(long, value_name = "N", default_value = "1e6", value_parser = positive)]
    years: f64,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Every combination of settings for three replicas
    #[arg(long)]
    grid: bool,
}

/// What is compared.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Settings (several: comma list)")]
struct SettingArgs {
    /// Replication factors, 1 to 9
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "3", value_parser = clap::value_parser!(u8).range(1..=9))]
    rf: Vec<u8>,
    /// min.insync.replicas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "2", value_parser = clap::value_parser!(u8).range(1..=9))]
    min_isr: Vec<u8>,
    /// 0, 1 or all
    #[arg(long, value_name = "ACKS", value_delimiter = ',', default_value = "all", value_parser = acks)]
    acks: Vec<Acks>,
    /// unclean.leader.election.enable: false or true
    #[arg(long, value_name = "BOOL", value_delimiter = ',', default_value = "false", action = clap::ArgAction::Append)]
    unclean: Vec<bool>,
    /// never or every-record
    #[arg(long, value_name = "WHEN", value_delimiter = ',', default_value = "never", value_parser = flush)]
    flush: Vec<Flush>,
    /// Eligible leader replicas: true or false
    #[arg(long, value_name = "BOOL", value_delimiter = ',', default_value = "true", action = clap::ArgAction::Append)]
    elr: Vec<bool>,
    /// all-isr or majority
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "all-isr", value_parser = strategy)]
    strategy: Vec<Strategy>,
}

/// How often what happens, and how long it takes.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Rates (times: 90d, 10m, 9s; never)")]
struct RateArgs {
    /// Between a broker's start and its next crash, on average
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = seconds)]
    mtbf: f64,
    /// Until a crashed broker is back, on average
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    mttr: f64,
    /// Part of the crashes that are power losses of one machine, 0 to 1
    #[arg(long, value_name = "PART", default_value = "0.2", value_parser = part)]
    power_share: f64,
    /// Between losses of a broker's disk
    #[arg(long, value_name = "TIME", default_value = "18262d", value_parser = seconds)]
    disk_mtbf: f64,
    /// Zones; broker b is in zone b mod N
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    zones: u8,
    /// Between power losses of one zone
    #[arg(long, value_name = "TIME", default_value = "never", value_parser = seconds)]
    zone_mtbf: f64,
    /// Between power losses of everything
    #[arg(long, value_name = "TIME", default_value = "never", value_parser = seconds)]
    site_mtbf: f64,
    /// Between times in which a follower does not fetch though it runs
    #[arg(long, value_name = "TIME", default_value = "180d", value_parser = seconds)]
    slow_mtbf: f64,
    /// How long such a time is, on average
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = seconds)]
    slow: f64,
    /// broker.session.timeout.ms
    #[arg(long, value_name = "TIME", default_value = "9s", value_parser = seconds)]
    session_timeout: f64,
    /// replica.lag.time.max.ms
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    lag_time: f64,
    /// Records written in a second
    #[arg(long, value_name = "N", default_value = "1000", value_parser = positive)]
    records_per_second: f64,
    /// Records in a second that a replica catches up with
    #[arg(long, value_name = "N", default_value = "20000", value_parser = positive)]
    catch_up_per_second: f64,
    /// Records the partition keeps
    #[arg(long, value_name = "N", default_value = "1e7", value_parser = positive)]
    partition_records: f64,
    /// How long a record waits in the page cache before it is on the disk
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    writeback: f64,
    /// Crashes and repairs alone: no delays, no disks, no slow followers, as closed forms have it
    #[arg(long)]
    ideal: bool,
}

/// An error with the options in place of the rates' names. A time in it is in seconds.
fn in_options(mut text: String) -> String {
    const OPTIONS: [(&str, &str); 13] = [
        ("catch_up_records_per_s", "--catch-up-per-second"),
        ("broker_session_timeout_s", "--session-timeout"),
        ("replica_lag_time_max_s", "--lag-time"),
        ("disk_mtbf_s", "--disk-mtbf"),
        ("zone_mtbf_s", "--zone-mtbf"),
        ("site_mtbf_s", "--site-mtbf"),
        ("slow_mtbf_s", "--slow-mtbf"),
        ("partition_records", "--partition-records"),
        ("records_per_s", "--records-per-second"),
        ("writeback_s", "--writeback"),
        ("mtbf_s", "--mtbf"),
        ("mttr_s", "--mttr"),
        ("slow_s", "--slow"),
    ];
    for (name, option) in OPTIONS {
        text = text.replace(name, option);
    }
    text.replace(" inf,", " never,")
}

fn flush(text: &str) -> Result<Flush, String> {
    match text {
        "never" => Ok(Flush::Never),
        "every-record" | "every" => Ok(Flush::EveryRecord),
        _ => Err("expected never or every-record".to_owned()),
    }
}

fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::parse(text).ok_or_else(|| "expected all-isr or majority".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "ms of centuries are exact")]
fn seconds(text: &str) -> Result<f64, String> {
    if text == "never" {
        return Ok(f64::INFINITY);
    }
    let ms = parse_duration(text).filter(|ms| *ms >= 0);
    ms.map(|ms| ms as f64 / 1000.0).ok_or_else(|| "expected a duration such as 90d, 10m or 9s, or never".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or_else(|| "expected a number above 0".to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|part: &f64| (0.0..=1.0).contains(part))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl RateArgs {
    fn rates(&self) -> Rates {
        if self.ideal {
            return Rates::ideal(self.mtbf, self.mttr);
        }
        Rates {
            mtbf_s: self.mtbf,
            power_share: self.power_share,
            mttr_s: self.mttr,
            disk_mtbf_s: self.disk_mtbf,
            zones: self.zones,
            zone_mtbf_s: self.zone_mtbf,
            site_mtbf_s: self.site_mtbf,
            slow_mtbf_s: self.slow_mtbf,
            slow_s: self.slow,
            broker_session_timeout_s: self.session_timeout,
            replica_lag_time_max_s: self.lag_time,
            records_per_s: self.records_per_second,
            catch_up_records_per_s: self.catch_up_per_second,
            partition_records: self.partition_records,
            writeback_s: self.writeback,
            ..Rates::default()
        }
    }
}

/// Goes through the years.
pub fn run(args: &StatsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[OutputFormat::Table, OutputFormat::Json])?;
    let settings = &args.settings;
    let grid = if args.grid {
        Grid { replication_factors: settings.rf.clone(), ..Grid::default() }
    } else {
        Grid {
            replication_factors: settings.rf.clone(),
            min_insync_replicas: settings.min_isr.clone(),
            acks: settings.acks.clone(),
            is_unclean_allowed: settings.unclean.clone(),
            flush: settings.flush.clone(),
            has_elr: settings.elr.clone(),
            strategies: settings.strategy.clone(),
        }
    };
    let count = grid.configurations().len();
    if count == 0 {
        return Err(Problem::usage("min.insync.replicas is above every replication factor").into());
    }
    let rates = args.rates.rates();
    let effort = Effort { years: args.years, seed: args.seed, threads: global.threads().get() };
    let mut done = 0;
    let rows = grid.run(&rates, &effort, |outcome| {
        done += 1;
        if count > 1 {
            ui.detail(&format!("{done} of {count}: {}", outcome.configuration));
        }
    });
    let rows = rows.map_err(|error| Problem::usage(in_options(error.to_string())))?;
    let out = ui.out().buffer();
    if global.output() == Some(OutputFormat::Json) {
        rows.iter().for_each(|outcome| row(outcome).write(out));
        return Ok(Outcome::Done);
    }
    match rows.as_slice() {
        [only] => out.extend_from_slice(report::outcome(only).as_bytes()),
        rows => out.extend_from_slice(report::table(rows).as_bytes()),
    }
    out.extend_from_slice(format!("\n{}\n{CAVEAT}\n", report::rates(&rates)).as_bytes());
    Ok(Outcome::Done)
}

fn row(outcome: &stats::Outcome) -> JsonRow {
    let settings = &outcome.configuration;
    let causes: serde_json::Map<String, serde_json::Value> =
        outcome.causes.iter().map(|(cause, per_year)| (cause.to_string(), (*per_year).into())).collect();
    // JSON has no infinity.
    let finite = |number: f64| number.is_finite().then_some(number);
    JsonRow::new("stats")
        .field("replication_factor", settings.replication_factor)
        .field("min_insync_replicas", settings.min_insync_replicas)
        .field("acks", settings.acks.to_string())
        .field("unclean", settings.is_unclean_allowed)
        .field("flush", settings.flush.to_string())
        .field("elr", settings.has_elr)
        .field("strategy", settings.strategy.to_string())
        .field("years", outcome.years)
        .field("losses_per_year", outcome.losses.per_year)
        .field("losses_low", outcome.losses.low)
        .field("losses_high", outcome.losses.high)
        .field("nines", finite(outcome.losses.nines()))
        .field("seen", outcome.losses.seen)
        .field("effective_samples", outcome.losses.effective_samples)
        .field("records_per_loss", outcome.losses.records)
        .field("causes", causes)
        .field("no_writes", outcome.no_writes.value)
        .field("no_writes_standard_error", outcome.no_writes.standard_error)
        .field("no_reads", outcome.no_reads.value)
        .field("no_reads_standard_error", outcome.no_reads.standard_error)
        .field("hours_without_writes_per_year", outcome.no_writes.value * YEAR_S / 3600.0)
}
