//! `logdir transactions`: what became of transactions, from the coordinator's topic and from the partitions they are in.

mod books;
mod describe;
mod list;
mod producers;
mod rows;

pub use self::books::TxnScope;

use super::args::GlobalArgs;
use super::ui::Ui;
use super::{Outcome, man};

/// Transactions: by transactional id, by partition, and those that hang
///
/// Reads __transaction_state and the partitions' producer snapshots and logs. With many brokers' directories, name
/// them all with -d: of replicas the one that reaches furthest is read.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("transactions"))]
pub struct TransactionsArgs {
    /// What to show.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to show of transactions.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    DescribeProducers(producers::ProducersArgs),
    FindHanging(list::HangingArgs),
}

/// Shows it.
pub fn run(args: &TransactionsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::List(args) => list::run(args, global, ui),
        Verb::Describe(args) => describe::run(args, global, ui),
        Verb::DescribeProducers(args) => producers::run(args, global, ui),
        Verb::FindHanging(args) => list::find_hanging(args, global, ui),
    }
}
