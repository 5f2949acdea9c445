//! Outcomes as text.

use std::fmt::Write;

use super::Strategy;
use super::outcome::{Outcome, ROUGH_BELOW};
use super::rates::{Rates, YEAR_S};

/// What has to be said under every table.
pub const CAVEAT: &str = "The rates are yours: these figures are what follows from them, no more. Losses that were not seen \
                          are given as a bound, not as zero.";

/// One configuration, a fact a line.
pub fn outcome(it: &Outcome) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<22} {value}");
    };
    line("configuration", it.configuration.to_string());
    line("simulated", format!("{:.3e} partition-years in {:.0} cycles", it.years, it.cycles));
    line("acknowledged loss", format!("{}, {}", it.losses, nines(it)));
    let rough =
        if it.losses.effective_samples < ROUGH_BELOW { "; too few to rely on: simulate more years" } else { "" };
    let sample = format!("{} cycles, effective {:.0}{rough}", it.losses.seen, it.losses.effective_samples);
    line("events seen", sample);
    if let Some(records) = it.losses.records {
        line("records lost", format!("{records:.1} in an event, on average"));
    }
    for (cause, per_year) in &it.causes {
        line("  by", format!("{cause}: {per_year:.1e} a year, {:.1} %", 100.0 * per_year / it.losses.per_year));
    }
    for (name, fraction) in [("no writes", it.no_writes), ("no reads", it.no_reads)] {
        let minutes = fraction.value * 365.25 * 1_440.0;
        line(
            name,
            format!(
                "{:.3e} +- {:.1e} of the time, {minutes:.2} minutes a year, {:.1} nines",
                fraction.value,
                fraction.standard_error,
                fraction.nines()
            ),
        );
    }
    for (wait, part) in &it.waits {
        line("  because of", format!("{wait}: {part:.1e}, {:.1} %", 100.0 * part / it.no_writes.value));
    }
    text
}

fn nines(it: &Outcome) -> String {
    let bound = if it.losses.seen == 0 { "at least " } else { "" };
    format!("{bound}{:.1} nines", it.losses.nines())
}

/// Many configurations, one a line, in the order given; a `~` marks losses of which too few were seen.
pub fn table(rows: &[Outcome]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:>2} {:>3} {:>4} {:>7} {:>5} {:>3} {:<8}  {:>6}  {:>8} {:>17} {:>8} {:>8} {:>8} {:>8}  main cause",
        "rf",
        "min",
        "acks",
        "unclean",
        "flush",
        "elr",
        "strategy",
        "nines",
        "loss/y",
        "95 %",
        "records",
        "n_eff",
        "no write",
        "no read"
    );
    for it in rows {
        let settings = &it.configuration;
        let on = |is_on| if is_on { "on" } else { "off" };
        let (min, unclean, elr) = match settings.strategy {
            Strategy::AllIsr => (settings.min_isr().to_string(), on(settings.is_unclean_allowed), on(settings.has_elr)),
            Strategy::Majority => ("-".to_owned(), "-", "-"),
        };
        let losses = &it.losses;
        let is_seen = losses.seen > 0;
        let mark = match losses.effective_samples {
            _ if !is_seen => ">",
            few if few < ROUGH_BELOW => "~",
            _ => "",
        };
        let rate = if is_seen { format!("{:.1e}", losses.per_year) } else { "-".to_owned() };
        let range =
            if is_seen { format!("{:.1e}..{:.1e}", losses.low, losses.high) } else { format!("< {:.1e}", losses.high) };
        let records = losses.records.map_or("-".to_owned(), |records| format!("{records:.1}"));
        let _ = writeln!(
            text,
            "{:>2} {min:>3} {:>4} {unclean:>7} {:>5} {elr:>3} {:<8}  {:>6}  {rate:>8} {range:>17} {records:>8} {:>8.0} {:>8.1e} {:>8.1e}  {}",
            settings.replication_factor,
            settings.acks,
            settings.flush,
            settings.strategy,
            format!("{mark}{:.1}", losses.nines()),
            losses.effective_samples,
            it.no_writes.value,
            it.no_reads.value,
            it.main_cause().map_or("-".to_owned(), |cause| cause.to_string()),
        );
    }
    text
}

/// The rates that were assumed, one a line, and whose they are.
pub fn rates(it: &Rates) -> String {
    let time = |seconds: f64| match seconds {
        _ if seconds.is_infinite() => "never".to_owned(),
        _ if seconds >= 2.0 * YEAR_S => format!("{:.1} years", seconds / YEAR_S),
        _ if seconds >= 86_400.0 => format!("{:.1} d", seconds / 86_400.0),
        _ if seconds >= 120.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{seconds} s"),
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<28} {value}");
    };
    line("between crashes", format!("{}, {:.1} % of them power losses", time(it.mtbf_s), 100.0 * it.power_share));
    line("until repaired", time(it.mttr_s));
    line("between disk losses", time(it.disk_mtbf_s));
    line("between power losses, zone", format!("{}, {} zones", time(it.zone_mtbf_s), it.zones));
    line("between power losses, site", time(it.site_mtbf_s));
    line("between slow episodes", format!("{}, each of {}", time(it.slow_mtbf_s), time(it.slow_s)));
    line("broker.session.timeout.ms", time(it.broker_session_timeout_s));
    line("replica.lag.time.max.ms", time(it.replica_lag_time_max_s));
    line("election", time(it.election_s));
    line("replication delay", format!("{}, sending {}", time(it.replication_delay_s), time(it.send_delay_s)));
    line("records a second", format!("{}, catching up {}", it.records_per_s, it.catch_up_records_per_s));
    line("records kept", it.partition_records.to_string());
    line("writeback", time(it.writeback_s));
    text
}
