//! `transactions describe-producers`.

use super::books::{Books, TxnScope};
use super::list::listing_style;
use super::rows::{PRODUCERS, producer_json, producer_row};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::consume::storage_problem;
use crate::cli::message::show_remarks;
use crate::cli::table::Listing;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, dirs, kafka_table, man};
use crate::storage::active_producers::active_producers;
use crate::storage::remarks::Remarks;

/// Show the producers that partitions know: epochs, last sequences, open transactions
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("transactions describe-producers"))]
pub struct ProducersArgs {
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
    #[command(flatten)]
    scope: TxnScope,
}

/// Describes them.
pub fn run(args: &ProducersArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let (partitions, mut outcome) = books.partitions(&args.scope, ui)?;
    outcome |= books.outcome();
    let as_kafka = global.output() == Some(OutputFormat::Kafka);
    if as_kafka && partitions.len() != 1 {
        let text = format!("kafka-transactions.sh describes one partition, and {} are meant", partitions.len());
        return Err(Problem::usage(text).hint("name it with -t TOPIC -p N, or leave --output kafka out").into());
    }
    if partitions.is_empty() && outcome < Outcome::Failed {
        let problem = Problem::new("not_found", "no partition in these directories");
        return Err(problem.hint("see what there is with: logdir log-dirs").into());
    }
    let mut listing = Listing::new(PRODUCERS, listing_style(global.output(), ui));
    if !args.no_header && !matches!(global.output(), Some(OutputFormat::Json | OutputFormat::Kafka)) {
        listing.header(ui.out().buffer());
    }
    let mut rows = Vec::new();
    for (name, partition) in &partitions {
        let mut remarks = Remarks::default();
        let states = active_producers(partition, &mut remarks);
        outcome |= show_remarks(remarks, ui);
        let states = match states {
            Ok(states) => states,
            Err(error) => {
                outcome |= dirs::show_all([storage_problem(&error)], ui);
                continue;
            }
        };
        let mut producers: Vec<_> = states.producers().collect();
        producers.sort_by_key(|state| state.producer_id);
        for state in producers {
            match global.output() {
                Some(OutputFormat::Json) => producer_json(name, state).write(ui.out().buffer()),
                Some(OutputFormat::Kafka) => rows.push(vec![
                    state.producer_id.to_string(),
                    state.producer_epoch.to_string(),
                    state.coordinator_epoch.to_string(),
                    state.last_sequence().to_string(),
                    state.last_timestamp_ms.to_string(),
                    state.open_txn.map_or_else(|| "None".to_owned(), |first| first.to_string()),
                ]),
                _ => producer_row(&mut listing, name, state, ui),
            }
        }
    }
    if as_kafka {
        let head = [
            "ProducerId",
            "ProducerEpoch",
            "LatestCoordinatorEpoch",
            "LastSequence",
            "LastTimestamp",
            "CurrentTransactionStartOffset",
        ];
        kafka_table::write(&head, &rows, ui.out().buffer());
    }
    Ok(outcome)
}
