//! `transactions describe`.

use super::books::{Books, Open, TxnScope};
use super::list::{listing_style, say_missing};
use super::rows::{IDS, OPEN, PARTITIONS, id_json, id_row, open_json, open_row, partition_row};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::table::Listing;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, kafka_table, man};
use crate::partitioner::partition_for_id;
use crate::storage::coordinator::transactions::TransactionalId;

/// Show what the coordinator knows of transactional ids, and where their transactions are open
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("transactions describe"))]
pub struct DescribeArgs {
    /// Transactional ids
    #[arg(value_name = "ID", required_unless_present = "transactional_id")]
    ids: Vec<String>,
    /// The same, as kafka-transactions.sh has it
    #[arg(long, value_name = "ID")]
    transactional_id: Option<String>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
    #[command(flatten)]
    scope: TxnScope,
}

/// Describes them.
pub fn run(args: &DescribeArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let now_ms = args.scope.now_ms();
    let (open, mut outcome) = books.open_transactions(&args.scope, global, ui)?;
    outcome |= books.outcome();
    let mut kafka_rows = Vec::new();
    for (number, id) in args.ids.iter().chain(&args.transactional_id).enumerate() {
        let Some(known) = books.coordinator.id(id) else {
            let problem = unknown(id, &books);
            outcome |= problem.ends_with();
            ui.error(problem);
            continue;
        };
        let open: Vec<&Open> = open.iter().filter(|open| open.transactional_id.as_ref() == Some(id)).collect();
        match global.output() {
            Some(OutputFormat::Kafka) => kafka_rows.push(kafka_row(id, known, &books, now_ms)),
            Some(OutputFormat::Json) => {
                id_json(id, known, &books, now_ms).write(ui.out().buffer());
                open.iter().for_each(|open| open_json(open, &books, now_ms).write(ui.out().buffer()));
            }
            style => {
                let style = listing_style(style, ui);
                let mut listing = Listing::new(IDS, style);
                if number > 0 {
                    ui.out().buffer().push(b'\n');
                }
                if !args.no_header {
                    listing.header(ui.out().buffer());
                }
                id_row(&mut listing, id, known, now_ms, ui);
                if !known.state.partitions.is_empty() {
                    let mut listing = Listing::new(PARTITIONS, style);
                    if !args.no_header {
                        listing.header(ui.out().buffer());
                    }
                    let mut row = |partition| partition_row(&mut listing, id, partition, ui.out().buffer());
                    known.state.partitions.iter().for_each(&mut row);
                }
                if !open.is_empty() {
                    let mut listing = Listing::new(OPEN, style);
                    if !args.no_header {
                        listing.header(ui.out().buffer());
                    }
                    open.iter().for_each(|open| open_row(&mut listing, open, now_ms, ui));
                }
            }
        }
    }
    if !kafka_rows.is_empty() {
        let head = [
            "CoordinatorId",
            "TransactionalId",
            "ProducerId",
            "ProducerEpoch",
            "TransactionState",
            "TransactionTimeoutMs",
            "CurrentTransactionStartTimeMs",
            "TransactionDurationMs",
            "TopicPartitions",
        ];
        kafka_table::write(&head, &kafka_rows, ui.out().buffer());
    }
    say_missing(&books, ui);
    Ok(outcome)
}

/// `DescribeTransactionsCommand`. A coordinator gives a start where it has one.
fn kafka_row(id: &str, known: &TransactionalId, books: &Books, now_ms: i64) -> Vec<String> {
    let state = &known.state;
    let started = Some(state.start_ms).filter(|ms| *ms >= 0);
    let or_none = |ms: Option<i64>| ms.map_or_else(|| "None".to_owned(), |ms| ms.to_string());
    vec![
        books.broker_of(known.coordinator_partition).to_string(),
        id.to_owned(),
        state.producer_id.to_string(),
        state.producer_epoch.to_string(),
        state.status.name().to_owned(),
        state.timeout_ms.to_string(),
        or_none(started),
        or_none(started.map(|ms| now_ms.saturating_sub(ms))),
        state.partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    ]
}

fn unknown(id: &str, books: &Books) -> Problem {
    let all = books.coordinator.ids().len();
    let problem = Problem::new("not_found", format!("transactional id '{id}' not found ({all} are known)"));
    let Some(count) = books.count else {
        return problem.hint("no __transaction_state is in these directories; name all brokers' with -d");
    };
    let number = partition_for_id(id, count);
    if books.coordinator.damaged().contains(&number) {
        return problem.hint(format!(
            "it would stand in __transaction_state-{number}, where records cannot be read; see: logdir verify"
        ));
    }
    if books.coordinator.partitions().contains(&number) {
        return problem.hint(format!(
            "it would stand in __transaction_state-{number}, which is here: it was never used, or has expired; list \
             them with: logdir transactions list"
        ));
    }
    problem.hint(format!("it belongs to __transaction_state-{number}, which is not in these directories"))
}
