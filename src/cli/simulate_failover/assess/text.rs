//! An assessment for people: a table of the replicas, the forks, each candidate, the best choice.

use std::io::Write as _;

use super::{Assessed, words};
use crate::cli::table::{Column, Listing};
use crate::cli::ui::Ui;
use crate::replication::assess::candidate::{Candidate, Follower, Lost};
use crate::replication::assess::{Replica, View};

const COLUMNS: &[Column] = &[
    Column::right("BROKER", 6),
    Column::right("LOG_START", 9),
    Column::right("LOG_END", 9),
    Column::right("HIGH_WATERMARK", 14),
    Column::left("IN_SYNC", 7),
    Column::left("STOPPED", 7),
    Column::left("LOG", 7),
    Column::left("EPOCHS", 24),
    Column::left("DIRECTORY", 0),
];

/// Leader epochs in a row of the table: the newest ones tell.
const EPOCHS_SHOWN: usize = 6;
/// Lines of one kind about one candidate.
const LINES_MAX: usize = 50;

/// Writes all of it.
pub fn write(assessed: &Assessed<'_>, with_header: bool, ui: &mut Ui) {
    let style = ui.table_style();
    let out = ui.out().buffer();
    let count = assessed.target.replicas.len();
    line(out, &format!("{}: {count} {}", assessed.target.partition, if count == 1 { "replica" } else { "replicas" }));
    out.push(b'\n');
    let mut listing = Listing::new(COLUMNS, style);
    if with_header {
        listing.header(out);
    }
    for (number, replica) in assessed.found.situation.replicas.iter().enumerate() {
        row(assessed, number, replica, &mut listing, out);
    }
    out.push(b'\n');
    damage(assessed, out);
    forks(assessed, out);
    for &number in assessed.assessment.choice.iter().flat_map(|choice| choice.order()) {
        if let Some(it) = assessed.assessment.candidates.get(number) {
            candidate(assessed, it, out);
        }
    }
    for gone in &assessed.assessment.gone {
        let text = format!(
            "lost whoever leads: {} of {}, committed, as {} knew; no replica here has them",
            words::offsets(&gone.offsets),
            words::epoch(gone.epoch),
            assessed.names.one(gone.replica)
        );
        line(out, &text);
    }
    let Some(best) = words::best(assessed) else { return };
    let missing = assessed.found.situation.not_looked_at();
    let among = if missing.is_empty() { "" } else { " of those looked at" };
    line(out, &format!("best{among}: {best}"));
    let choice = assessed.assessment.choice.as_ref();
    if let (Some(view), Some(choice)) = (&assessed.found.situation.newest, choice)
        && let Some(unclean) = choice.is_unclean
    {
        let broker = assessed.found.situation.replicas.get(choice.best()).and_then(|replica| replica.broker);
        line(out, &format!("      {}", words::election(view, unclean, broker)));
    }
}

fn line(out: &mut Vec<u8>, text: &str) {
    // Writing to memory cannot fail.
    let _ = writeln!(out, "{text}");
}

fn row(assessed: &Assessed<'_>, number: usize, replica: &Replica, listing: &mut Listing, out: &mut Vec<u8>) {
    let dir = assessed.target.replicas.get(number);
    let walked = assessed.found.walked.get(number);
    let optional = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let epochs = replica.epochs.entries();
    let mut shown: Vec<String> = Vec::new();
    if epochs.len() > EPOCHS_SHOWN {
        shown.push("..".to_owned());
    }
    let newest = epochs.iter().skip(epochs.len().saturating_sub(EPOCHS_SHOWN));
    shown.extend(newest.map(|entry| format!("{}@{}", entry.epoch, entry.start)));
    let log = match walked.map(|walked| (walked.damage.is_some(), walked.tail)) {
        Some((true, _)) => "damaged",
        Some((false, crate::batch::scan::Tail::Torn { .. })) => "torn",
        _ => "sound",
    };
    listing.text(optional(replica.broker.map(|it| it.to_string())).as_bytes(), out);
    listing.number(replica.start, out);
    listing.number(replica.end, out);
    listing.text(optional(replica.high_watermark.map(|it| it.to_string())).as_bytes(), out);
    listing.text(member(assessed.found.situation.newest.as_ref(), replica.broker).as_bytes(), out);
    listing.text(if dir.is_some_and(|dir| dir.is_clean) { b"clean" } else { b"unclean" }, out);
    listing.text(log.as_bytes(), out);
    listing.text(if shown.is_empty() { "-".to_owned() } else { shown.join(",") }.as_bytes(), out);
    listing.text(assessed.names.dir(number).as_bytes(), out);
    listing.end_row(out);
}

/// Which set a broker is in.
fn member(view: Option<&View>, broker: Option<i32>) -> &'static str {
    let (Some(view), Some(broker)) = (view, broker) else { return "?" };
    if view.isr.contains(&broker) {
        "isr"
    } else if view.elr.contains(&broker) {
        "elr"
    } else {
        "-"
    }
}

fn damage(assessed: &Assessed<'_>, out: &mut Vec<u8>) {
    let mut any = false;
    for (number, walked) in assessed.found.walked.iter().enumerate() {
        let Some(damage) = &walked.damage else { continue };
        any = true;
        let name = assessed.names.one(number);
        line(out, &format!("{name}: damaged from offset {}: {damage}; {}", walked.end, words::fate(damage.fate)));
        if let Some(behind) = damage.behind {
            let text = "logdir recover --mode merge takes them in, and fills the hole from a replica";
            line(out, &format!("  sound batches behind it reach to {}: {text}", behind.get().saturating_sub(1)));
        }
    }
    if any {
        out.push(b'\n');
    }
}

fn forks(assessed: &Assessed<'_>, out: &mut Vec<u8>) {
    let forks = &assessed.assessment.forks;
    for fork in forks.iter().take(LINES_MAX) {
        let branches = fork.branches.iter().map(|branch| {
            let epochs = branch
                .epochs
                .iter()
                .map(|range| format!("{} at {}", words::epoch(range.epoch), words::offsets(&range.offsets)));
            format!("{} with {}", assessed.names.several(&branch.replicas), epochs.collect::<Vec<_>>().join(", "))
        });
        let branches = branches.collect::<Vec<_>>().join("; ");
        line(out, &format!("the logs part at {}: {branches}", fork.at));
        if fork.same_epoch {
            line(out, "  the same leader epoch and other bytes: no leader writes that, and followers do not find it");
        }
    }
    more(forks.len(), out);
    if forks.is_empty() && assessed.target.replicas.len() > 1 {
        line(out, "the logs are the same as far as they reach");
    }
    let cleaned = assessed.found.situation.comparison.cleaned;
    if cleaned > 0 {
        line(out, &format!("{cleaned} batches differ in their bytes only, below where the log cleaner was"));
    }
    out.push(b'\n');
}

fn more(len: usize, out: &mut Vec<u8>) {
    if len > LINES_MAX {
        line(out, &format!("  .. {} more (--json has all)", len - LINES_MAX));
    }
}

fn candidate(assessed: &Assessed<'_>, candidate: &Candidate, out: &mut Vec<u8>) {
    let names = &assessed.names;
    line(out, &format!("{} as leader", names.one(candidate.replica)));
    if let Some(range) = &candidate.below_start {
        line(
            out,
            &format!(
                "  has not   {}: below its log start, removed by retention or DeleteRecords",
                words::offsets(range)
            ),
        );
    }
    for kept in candidate.kept.iter().take(LINES_MAX) {
        let with =
            if kept.with.is_empty() { "no other has".to_owned() } else { format!("as {}", names.several(&kept.with)) };
        line(out, &format!("  keeps     {} ({with})", words::offsets(&kept.offsets)));
    }
    more(candidate.kept.len(), out);
    let lost = joined(&candidate.lost);
    for lost in lost.iter().take(LINES_MAX) {
        let (range, epoch) = (words::offsets(&lost.offsets), words::epoch(lost.epoch));
        let (holders, standing) = (names.several(&lost.holders), words::standing(lost, names));
        line(out, &format!("  loses     {range} of {epoch}, on {holders} ({}): {standing}", words::count(lost.len())));
    }
    more(lost.len(), out);
    for follower in &candidate.followers {
        follows(assessed, follower, out);
    }
    out.push(b'\n');
}

/// The losses, without what the leader has in their place.
fn joined(lost: &[Lost]) -> Vec<Lost> {
    let mut joined: Vec<Lost> = Vec::new();
    for it in lost {
        let goes_on = |last: &&mut Lost| {
            last.offsets.end == it.offsets.start
                && (last.epoch, &last.holders, &last.standing) == (it.epoch, &it.holders, &it.standing)
        };
        match joined.iter_mut().rev().take(16).find(goes_on) {
            Some(last) => last.offsets.end = it.offsets.end,
            None => joined.push(it.clone()),
        }
    }
    joined
}

fn follows(assessed: &Assessed<'_>, follower: &Follower, out: &mut Vec<u8>) {
    let name = assessed.names.one(follower.replica);
    let (followed, replica) = (&follower.followed, assessed.found.situation.replicas.get(follower.replica));
    let text = match (followed.restarts_at, followed.cuts.last()) {
        (Some(start), _) => format!("{name} drops its log and begins anew at {start}"),
        (None, Some(to)) => {
            let end = replica.map_or(0, |replica| replica.end);
            let below = replica.and_then(|replica| replica.high_watermark).filter(|mark| mark > to);
            let below = below.map(|mark| format!(", below its high watermark {mark}")).unwrap_or_default();
            format!("{name} truncates to {to} ({} of its own go{below})", words::offsets(&(*to..end)))
        }
        (None, None) => format!("{name} truncates nothing, and fetches from {}", followed.end),
    };
    line(out, &format!("  then      {text}"));
    for differs in follower.differs.iter().take(LINES_MAX) {
        let text =
            format!("{name} keeps what it has at {}, though the leader has not the same", words::offsets(differs));
        line(out, &format!("            {text}"));
    }
    more(follower.differs.len(), out);
}
