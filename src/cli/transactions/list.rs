//! `transactions list` and `transactions find-hanging`.

use std::time::Duration;

use regex::Regex;

use super::books::{Books, Open, TxnScope};
use super::rows::{IDS, OPEN, id_json, id_row, open_json, open_row, status};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::table::{Listing, ListingStyle};
use crate::cli::ui::Ui;
use crate::cli::{Outcome, kafka_table, man};
use crate::schema::coordinator::transaction::TransactionStatus;
use crate::storage::coordinator::transactions::{TransactionalId, Unsure, Verdict};

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum By {
    /// A transactional id, as the coordinator knows it
    #[default]
    Id,
    /// A transaction that is open in a partition
    Partition,
}

/// List transactional ids with their state, or the transactions open in partitions
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("transactions list"))]
pub struct ListArgs {
    /// What a row stands for
    #[arg(long, value_name = "WHAT", default_value = "id")]
    by: By,
    /// Only in these states: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, ...
    #[arg(long, value_name = "STATE", value_parser = status, value_delimiter = ',')]
    state: Vec<TransactionStatus>,
    /// Only transactional ids that match from end to end
    #[arg(long, value_name = "RE", value_parser = whole_pattern)]
    transactional_id_pattern: Option<Regex>,
    /// Only transactions that run for longer than this many ms
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    duration_filter: Option<i64>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
    #[command(flatten)]
    scope: TxnScope,
}

/// As Java's `matches` has it: from end to end.
fn whole_pattern(text: &str) -> Result<Regex, regex::Error> {
    // By itself first, so that an error speaks of what was given.
    Regex::new(text).and_then(|_| Regex::new(&format!("^(?:{text})$")))
}

impl ListArgs {
    fn holds(&self, id: &str, known: Option<&TransactionalId>, now_ms: i64) -> bool {
        let by_state = |known: &TransactionalId| self.state.is_empty() || self.state.contains(&known.state.status);
        let by_duration = |known: &TransactionalId| match self.duration_filter {
            Some(least) if least >= 0 => {
                known.state.status.is_pending() && now_ms.saturating_sub(known.state.start_ms) > least
            }
            _ => true,
        };
        let by_pattern = self.transactional_id_pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
        by_pattern
            && match known {
                Some(known) => by_state(known) && by_duration(known),
                None => self.state.is_empty() && self.duration_filter.is_none_or(|least| least < 0),
            }
    }
}

/// Lists them.
pub fn run(args: &ListArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let now_ms = args.scope.now_ms();
    if args.by == By::Partition {
        let (mut open, outcome) = books.open_transactions(&args.scope, global, ui)?;
        open.retain(|open| {
            let id = open.transactional_id.as_deref().unwrap_or_default();
            args.holds(id, books.coordinator.id(id), now_ms)
        });
        print_open(&open, &books, now_ms, args.no_header, global, ui);
        return Ok(outcome | books.outcome());
    }
    books.check(&args.scope)?;
    let in_scope = |known: &TransactionalId| {
        let all = args.scope.topic.is_empty() && args.scope.partition.is_none();
        all || known.state.partitions.iter().any(|partition| args.scope.holds(partition))
    };
    let ids: Vec<_> =
        books.coordinator.ids().filter(|(id, known)| in_scope(known) && args.holds(id, Some(known), now_ms)).collect();
    match global.output() {
        Some(OutputFormat::Kafka) => {
            let row = |(id, known): &(&str, &TransactionalId)| {
                let broker = books.broker_of(known.coordinator_partition);
                vec![
                    (*id).to_owned(),
                    broker.to_string(),
                    known.state.producer_id.to_string(),
                    known.state.status.name().to_owned(),
                ]
            };
            let rows: Vec<_> = ids.iter().map(row).collect();
            let head = ["TransactionalId", "Coordinator", "ProducerId", "TransactionState"];
            kafka_table::write(&head, &rows, ui.out().buffer());
        }
        Some(OutputFormat::Json) => {
            for (id, known) in ids {
                id_json(id, known, &books, now_ms).write(ui.out().buffer());
            }
        }
        style => {
            let mut listing = Listing::new(IDS, listing_style(style, ui));
            if !args.no_header {
                listing.header(ui.out().buffer());
            }
            for (id, known) in ids {
                id_row(&mut listing, id, known, now_ms, ui);
            }
        }
    }
    say_missing(&books, ui);
    Ok(books.outcome())
}

/// Find transactions that nobody will end, and those past their timeout
///
/// A transaction hangs when it is open in a partition and its coordinator knows nothing of it (KIP-664): consumers with
/// read_committed stop in front of it for ever. Exits 1 when there is one, or one past its timeout.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("transactions find-hanging"))]
pub struct HangingArgs {
    /// Look only at transactions with no batch for this many minutes; with --output kafka the default is 15
    #[arg(long, value_name = "MINUTES")]
    max_transaction_timeout: Option<u32>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
    #[command(flatten)]
    scope: TxnScope,
}

/// The least age of what kafka-transactions looks at, in minutes.
const KAFKA_MINUTES: u32 = 15;

/// Finds them.
pub fn find_hanging(args: &HangingArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let now_ms = args.scope.now_ms();
    let as_kafka = global.output() == Some(OutputFormat::Kafka);
    let minutes = args.max_transaction_timeout.or(as_kafka.then_some(KAFKA_MINUTES));
    let (mut found, outcome) = books.open_transactions(&args.scope, global, ui)?;
    let count = |unsure| found.iter().filter(|open| open.verdict == Verdict::Unknown(unsure)).count();
    let (no_coordinator, damaged) = (count(Unsure::Coordinator), count(Unsure::Log));
    found.retain(|open| {
        let is_old =
            minutes.is_none_or(|minutes| now_ms.saturating_sub(open.last_timestamp_ms) > i64::from(minutes) * 60_000);
        let is_meant = if as_kafka { matches!(open.verdict, Verdict::Hanging(_)) } else { open.verdict.is_trouble() };
        is_old && is_meant
    });
    print_open(&found, &books, now_ms, args.no_header, global, ui);
    if no_coordinator > 0 {
        let why = "their part of __transaction_state is missing or damaged";
        ui.note(&format!("{no_coordinator} open transactions cannot be judged: {why}"));
    }
    if damaged > 0 {
        let why = "their marker may have stood where the log is damaged";
        ui.note(&format!("{damaged} open transactions cannot be judged: {why}"));
    }
    say_missing(&books, ui);
    let found = if found.is_empty() { Outcome::Done } else { Outcome::Findings };
    Ok(found | outcome | books.outcome())
}

fn print_open(open: &[Open], books: &Books, now_ms: i64, no_header: bool, global: &GlobalArgs, ui: &mut Ui) {
    match global.output() {
        Some(OutputFormat::Kafka) => {
            let rows: Vec<_> = open.iter().map(|open| kafka_row(open, now_ms)).collect();
            let head = [
                "Topic",
                "Partition",
                "ProducerId",
                "ProducerEpoch",
                "CoordinatorEpoch",
                "StartOffset",
                "LastTimestamp",
                "Duration(min)",
            ];
            kafka_table::write(&head, &rows, ui.out().buffer());
        }
        Some(OutputFormat::Json) => {
            open.iter().for_each(|open| open_json(open, books, now_ms).write(ui.out().buffer()));
        }
        style => {
            let mut listing = Listing::new(OPEN, listing_style(style, ui));
            if !no_header {
                listing.header(ui.out().buffer());
            }
            open.iter().for_each(|open| open_row(&mut listing, open, now_ms, ui));
        }
    }
}

/// `FindHangingTransactionsCommand.printHangingTransactions`.
fn kafka_row(open: &Open, now_ms: i64) -> Vec<String> {
    let age = Duration::from_millis(u64::try_from(now_ms.saturating_sub(open.last_timestamp_ms)).unwrap_or(0));
    vec![
        open.txn.partition.topic.clone(),
        open.txn.partition.partition.to_string(),
        open.txn.producer_id.to_string(),
        open.producer_epoch.to_string(),
        open.coordinator_epoch.to_string(),
        open.txn.first.to_string(),
        open.last_timestamp_ms.to_string(),
        (age.as_secs() / 60).to_string(),
    ]
}

/// How tables go to this stdout.
pub fn listing_style(output: Option<OutputFormat>, ui: &Ui) -> ListingStyle {
    if output == Some(OutputFormat::Tsv) { ListingStyle::Tsv } else { ui.table_style() }
}

/// Which part of the coordinator's state is not there.
pub fn say_missing(books: &Books, ui: &mut Ui) {
    let there = books.coordinator.partitions();
    let Some(count) = books.count else {
        if there.is_empty() {
            ui.note("no partition of __transaction_state is in these directories: transactional ids are not known");
        } else {
            ui.note(
                "without a sound __cluster_metadata-0 it is not known how many partitions __transaction_state has elsewhere",
            );
        }
        return;
    };
    if !books.coordinator.is_whole(count) {
        let missing = i64::from(count.get()) - i64::try_from(there.len()).unwrap_or(0);
        ui.note(&format!(
            "{missing} of {count} partitions of __transaction_state are not in these directories (name all brokers' with -d)"
        ));
    }
}
