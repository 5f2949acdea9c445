//! `logdir topics`: topics of log directories, listed, described, made, deleted, and taken in from elsewhere.

mod adopt;
mod catalog;
pub(in crate::cli) mod create;
mod delete;
mod describe;
mod list;
pub mod problem;

use std::path::PathBuf;

pub use self::create::say_made;
use super::args::{GlobalArgs, OutputFormat};
use super::recover::lock_problem;
use super::table::{Column, Listing, ListingStyle};
use super::ui::{Problem, Ui};
use super::{Outcome, man};
use crate::storage::lock::DirLock;
use crate::types::Uuid;

/// Topics of log directories: list, describe, make, delete and adopt them
///
/// What changes or removes something prints its plan, and does it with --execute.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("topics"))]
pub struct TopicsArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with topics.
#[expect(missing_docs, reason = "a comment here would replace the help that stands at the arguments")]
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Create(create::CreateArgs),
    Delete(delete::DeleteArgs),
    Adopt(Box<adopt::AdoptArgs>),
}

/// Whether the verb changes nothing.
pub(in crate::cli) const fn only_reads(args: &TopicsArgs) -> bool {
    matches!(args.verb, Verb::List(_) | Verb::Describe(_))
}

/// Does it.
pub fn run(args: &TopicsArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    match &args.verb {
        Verb::List(args) => list::run(args, global, ui),
        Verb::Describe(args) => describe::run(args, global, ui),
        Verb::Create(args) => create::run(args, global, ui),
        Verb::Delete(args) => delete::run(args, global, ui),
        Verb::Adopt(args) => adopt::run(args, global, ui),
    }
}

fn topic_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse(text).filter(|id| !id.is_reserved()).ok_or_else(|| "expected 22 characters of base64".to_owned())
}

/// Rows of a plan: a table, or nothing where the output is JSON.
fn listing(columns: &'static [Column], global: &GlobalArgs, ui: &Ui) -> anyhow::Result<Option<Listing>> {
    Ok(match global.output() {
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Tsv) => Some(Listing::new(columns, ListingStyle::Tsv)),
        Some(OutputFormat::Table) | None => Some(Listing::new(columns, ui.table_style())),
        Some(OutputFormat::Kafka | OutputFormat::Prometheus) => {
            return Err(Problem::usage("kafka-topics.sh prints no such plan: --output kafka is not offered")
                .hint("use --output table, json or tsv")
                .into());
        }
    })
}

/// Until the end of the run: nobody starts on directories that are about to change.
fn lock_all(dirs: &[PathBuf]) -> anyhow::Result<Vec<DirLock>> {
    dirs.iter().map(|dir| DirLock::exclusive(dir).map_err(|error| lock_problem(&error).into())).collect()
}
