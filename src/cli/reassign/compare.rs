//! Before and after for a person: a table with bars, and what it all comes to.

use crate::cli::size::SizeStyle;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::Ui;
use crate::reassign::cluster::{BrokerState, Cluster};
use crate::reassign::report::{Load, Report, Row};
use crate::reassign::waves::Wave;

const BROKERS: &[Column] = &[
    Column::right("BROKER", 6),
    Column::left("RACK", 6),
    Column::left("STATE", 5),
    Column::right("REPLICAS", 12),
    Column::right("LEADERS", 12),
    Column::right("BYTES", 22),
    Column::right("SHARE", 5),
    Column::left("", 0),
];

const RACKS: &[Column] = &[
    Column::left("RACK", 13),
    Column::left("", 5),
    Column::right("REPLICAS", 12),
    Column::right("LEADERS", 12),
    Column::right("BYTES", 22),
    Column::right("SHARE", 5),
    Column::left("", 0),
];

const DISKS: &[Column] = &[
    Column::right("BROKER", 6),
    Column::left("DISK", 20),
    Column::right("REPLICAS", 12),
    Column::right("BYTES", 22),
    Column::right("FULL", 15),
    Column::left("", 0),
];

/// Characters of a bar that stand for what is fair.
const BAR: f64 = 12.0;
/// Most characters of a bar.
const BAR_MAX: f64 = 24.0;

/// Says what becomes of brokers, racks and disks.
pub fn say(cluster: &Cluster, report: &Report, ui: &mut Ui) {
    let sizes = ui.size_style();
    let style = ListingStyle::Table { bold: false };
    let mut out = Vec::new();
    let mut listing = Listing::new(BROKERS, style);
    listing.header(&mut out);
    for (broker, row) in cluster.brokers.iter().zip(&report.brokers) {
        listing.number(broker.id, &mut out);
        listing.text(broker.rack.as_deref().unwrap_or("-").as_bytes(), &mut out);
        listing.text(state(broker.state).as_bytes(), &mut out);
        loads(&mut listing, row, sizes, &mut out);
        listing.end_row(&mut out);
    }
    if report.racks.len() > 1 {
        out.push(b'\n');
        let mut listing = Listing::new(RACKS, style);
        listing.header(&mut out);
        for (rack, row) in &report.racks {
            listing.text(rack.as_bytes(), &mut out);
            listing.text(b"", &mut out);
            loads(&mut listing, row, sizes, &mut out);
            listing.end_row(&mut out);
        }
    }
    if cluster.brokers.iter().any(|broker| broker.disks.len() > 1) {
        out.push(b'\n');
        disks(cluster, report, sizes, &mut Listing::new(DISKS, style), &mut out);
    }
    lines(&out, ui);
    ui.note("");
}

/// Word for what becomes of a broker.
pub const fn state(state: BrokerState) -> &'static str {
    match state {
        BrokerState::Keep => "keep",
        BrokerState::New => "new",
        BrokerState::Drain => "drain",
        BrokerState::Dead => "dead",
    }
}

fn loads(listing: &mut Listing, row: &Row, sizes: SizeStyle, out: &mut Vec<u8>) {
    let Row { before, after, .. } = row;
    for text in [
        step(&before.replicas, &after.replicas),
        step(&before.leaders, &after.leaders),
        step(&sizes.text(before.bytes), &sizes.text(after.bytes)),
        row.share().map_or_else(|| "-".to_owned(), |share| format!("{share:.2}")),
        row.share().map(bar).unwrap_or_default(),
    ] {
        listing.text(text.as_bytes(), out);
    }
}

fn disks(cluster: &Cluster, report: &Report, sizes: SizeStyle, listing: &mut Listing, out: &mut Vec<u8>) {
    listing.header(out);
    for (broker, rows) in cluster.brokers.iter().zip(&report.disks) {
        for (disk, row) in broker.disks.iter().zip(rows) {
            let full = |load: &Load| Some(part(load.bytes, disk.capacity?));
            let percent = |full: Option<f64>| full.map_or_else(|| "-".to_owned(), |it| format!("{:.1} %", it * 100.0));
            let (before, after) = (full(&row.before), full(&row.after));
            listing.number(broker.id, out);
            for text in [
                disk.path.clone(),
                step(&row.before.replicas, &row.after.replicas),
                step(&sizes.text(row.before.bytes), &sizes.text(row.after.bytes)),
                step(&percent(before), &percent(after)),
                row.share().map(bar).unwrap_or_default(),
            ] {
                listing.text(text.as_bytes(), out);
            }
            listing.end_row(out);
        }
    }
}

/// One value where nothing changes, else both.
fn step(before: &(impl std::fmt::Display + PartialEq), after: &(impl std::fmt::Display + PartialEq)) -> String {
    let (before, after) = (before.to_string(), after.to_string());
    if before == after { after } else { format!("{before} → {after}") }
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn part(bytes: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { bytes as f64 / of as f64 }
}

/// A bar in eighths of characters.
fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let length = (part * BAR).clamp(0.0, BAR_MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 192")]
    let eighths = (length * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn lines(text: &[u8], ui: &mut Ui) {
    let text = String::from_utf8_lossy(text);
    text.trim_end_matches('\n').lines().for_each(|line| ui.note(line.trim_end()));
}

const SUMMARY: &[Column] =
    &[Column::left("", 14), Column::right("BEFORE", 10), Column::right("AFTER", 10), Column::right("BOUND", 10)];

/// Says what the plan comes to.
pub fn sum_up(
    cluster: &Cluster,
    report: &Report,
    changed: usize,
    waves: Option<&[Wave]>,
    throttle: Option<u64>,
    ui: &mut Ui,
) {
    let sizes = ui.size_style();
    let most = |of: &dyn Fn(&Row) -> u64| report.brokers.iter().map(of).max().unwrap_or(0);
    let size = |bytes: u64| sizes.text(bytes);
    let has_sizes = report.mean_bytes > 0 || most(&|it| it.before.bytes) > 0;
    let mut rows = Vec::new();
    if has_sizes {
        let (before, after) = (size(most(&|it| it.before.bytes)), size(most(&|it| it.after.bytes)));
        rows.push(["max broker".to_owned(), before, after, size(report.mean_bytes)]);
    }
    let fullest = |of: &dyn Fn(&Row) -> u64| {
        let disks = cluster.brokers.iter().zip(&report.disks).flat_map(|(broker, rows)| broker.disks.iter().zip(rows));
        let full = disks.filter_map(|(disk, row)| Some(part(of(row), disk.capacity?)));
        full.max_by(f64::total_cmp).map(|full| format!("{:.1} %", full * 100.0))
    };
    if let (Some(before), Some(after)) = (fullest(&|it| it.before.bytes), fullest(&|it| it.after.bytes)) {
        rows.push(["fullest disk".to_owned(), before, after, "-".to_owned()]);
    }
    let moves = &report.moves;
    let nothing = || "-".to_owned();
    rows.push(["moved replicas".to_owned(), nothing(), moves.replicas.to_string(), report.bounds.replicas.to_string()]);
    if has_sizes {
        rows.push(["moved bytes".to_owned(), nothing(), size(moves.bytes), size(report.bounds.bytes)]);
    }
    if moves.disk_replicas > 0 || report.bounds.disk_bytes > 0 {
        rows.push(["disk to disk".to_owned(), nothing(), size(moves.disk_bytes), size(report.bounds.disk_bytes)]);
    }
    let (before, after) = (most(&|it| it.before.leaders), most(&|it| it.after.leaders));
    rows.push(["leaders max".to_owned(), before.to_string(), after.to_string(), report.leaders_max.to_string()]);
    let (before, after) = report.breaches;
    rows.push(["rule breaches".to_owned(), before.to_string(), after.to_string(), "0".to_owned()]);
    let mut out = Vec::new();
    let mut listing = Listing::new(SUMMARY, ListingStyle::Table { bold: false });
    listing.header(&mut out);
    for row in rows {
        row.iter().for_each(|cell| listing.text(cell.as_bytes(), &mut out));
        listing.end_row(&mut out);
    }
    lines(&out, ui);
    let times = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let (replicas, bytes) = report.ratios();
    let bytes = if has_sizes { format!(" and {} times the bytes", times(bytes)) } else { String::new() };
    ui.note(&format!(
        "{} times the replicas{bytes} that any plan must move; {changed} partitions change, {} their preferred leader",
        times(replicas),
        moves.leaders
    ));
    let Some(waves) = waves else { return };
    let count = format!("{} {}", waves.len(), if waves.len() == 1 { "wave" } else { "waves" });
    if has_sizes {
        let largest = waves.iter().map(|wave| wave.bytes).max().unwrap_or(0);
        let inflow = size(moves.largest_inflow);
        ui.note(&format!("largest inflow of a broker {inflow}; {count}, the largest {}", size(largest)));
    } else {
        ui.note(&count);
    }
    if let Some(throttle) = throttle.filter(|_| has_sizes) {
        let seconds = waves.iter().map(|wave| wave.seconds(throttle)).fold(0, u64::saturating_add);
        ui.note(&format!("at least {} at {}/s", duration(seconds), size(throttle)));
    }
}

/// `2 d 3 h`, `4 min`, `12 s`: two units, rounded up.
pub fn duration(seconds: u64) -> String {
    let two = |large: u64, small: u64, names: [&str; 2]| match small {
        0 => format!("{large} {}", names[0]),
        _ => format!("{large} {} {small} {}", names[0], names[1]),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, seconds % 60, ["min", "s"]),
        3_600..86_400 => {
            let minutes = seconds.div_ceil(60);
            two(minutes / 60, minutes % 60, ["h", "min"])
        }
        _ => {
            let hours = seconds.div_ceil(3_600);
            two(hours / 24, hours % 24, ["d", "h"])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_times_are_short() {
        for (share, expected) in [(0.0, ""), (0.01, "▏"), (1.0, "████████████"), (9.0, "████████████████████████")]
        {
            assert_eq!(bar(share), expected, "{share}");
        }
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_601, "1 h 1 min"),
            (86_400, "1 d"),
            (90_001, "1 d 2 h"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }
}
