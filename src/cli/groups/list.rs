//! `groups list`.

use super::books::Books;
use super::kafka;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Pipe, Ui};
use crate::cli::{Outcome, man};
use crate::storage::coordinator::groups::{Group, Protocol};

/// Types of groups, as Kafka's tools have them.
const TYPES: [&str; 4] = ["Classic", "Consumer", "Share", "Streams"];
/// States of groups on disk, as Kafka's tools have them.
const STATES: [&str; 5] = ["Empty", "Assigning", "Reconciling", "Stable", "NotReady"];

/// List groups with their type, state, members and committed offsets
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("groups list"))]
pub struct ListArgs {
    /// Only groups in these states: Empty, Stable, Assigning, Reconciling (a comma list); with --output kafka, states
    #[arg(long, value_name = "STATE", num_args = 0..=1, default_missing_value = "", value_parser = state)]
    state: Option<Words>,
    /// Only groups of these types: Classic, Consumer, Share, Streams (a comma list); with --output kafka, types
    #[arg(long = "type", value_name = "TYPE", num_args = 0..=1, default_missing_value = "", value_parser = group_type)]
    group_type: Option<Words>,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    no_header: bool,
}

/// Words of a comma list; none for all.
#[derive(Debug, Clone)]
struct Words(Vec<&'static str>);

fn words(text: &str, all: &[&'static str], what: &str) -> Result<Words, String> {
    let word = |part: &str| {
        let known = all.iter().find(|word| word.eq_ignore_ascii_case(part.trim()));
        known.copied().ok_or_else(|| format!("no {what} of groups; there are {}", all.join(", ")))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(word).collect::<Result<_, _>>().map(Words)
}

fn state(text: &str) -> Result<Words, String> {
    words(text, &STATES, "state")
}

fn group_type(text: &str) -> Result<Words, String> {
    words(text, &TYPES, "type")
}

impl ListArgs {
    fn holds(&self, group: &Group) -> bool {
        let one_of = |wanted: &Option<Words>, found: &str| {
            wanted.as_ref().is_none_or(|Words(wanted)| wanted.is_empty() || wanted.contains(&found))
        };
        one_of(&self.state, group.state_name()) && one_of(&self.group_type, group.type_name())
    }
}

const COLUMNS: &[Column] = &[
    Column::left("GROUP", 24),
    Column::left("TYPE", 8),
    Column::left("STATE", 11),
    Column::right("EPOCH", 6),
    Column::left("ASSIGNOR", 18),
    Column::right("MEMBERS", 7),
    Column::right("OFFSETS", 7),
    Column::right("PENDING", 7),
    Column::left("LAST-COMMIT", 24),
    Column::right("COORDINATOR", 11),
];

/// Lists them.
pub fn run(args: &ListArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let books = Books::open(global, ui)?;
    let groups = books.coordinator.groups().iter().filter(|(_, group)| args.holds(group));
    let style = match global.output() {
        Some(OutputFormat::Kafka) => {
            kafka::list(groups, args.group_type.is_some(), args.state.is_some(), ui.out().buffer());
            return Ok(books.outcome());
        }
        Some(OutputFormat::Json) => None,
        Some(OutputFormat::Tsv) => Some(ListingStyle::Tsv),
        Some(OutputFormat::Table | OutputFormat::Prometheus) | None => Some(ui.table_style()),
    };
    let mut listing = Listing::new(COLUMNS, style.unwrap_or(ListingStyle::Tsv));
    if style.is_some() && !args.no_header {
        listing.header(ui.out().buffer());
    }
    let mut times = ui.time_text();
    for (id, group) in groups {
        let (epoch, assignor) = epoch_and_assignor(group);
        let last_commit = group.offsets.values().map(|committed| committed.committed.commit_ms).max();
        let out = ui.out().buffer();
        if style.is_none() {
            JsonRow::new("group")
                .field("group", id.clone())
                .field("group_type", group.type_name())
                .field("state", group.state_name())
                .field("protocol_type", group.protocol_type())
                .field("epoch", epoch)
                .field("assignor", assignor)
                .field("members", group.members())
                .field("offsets", group.offsets.len())
                .field("pending_offsets", group.pending.len())
                .field("last_commit_ms", last_commit)
                .field("coordinator_partition", group.coordinator_partition)
                .write(out);
        } else {
            listing.text(id.as_bytes(), out);
            listing.text(group.type_name().as_bytes(), out);
            listing.text(group.state_name().as_bytes(), out);
            listing.text(epoch.map_or("-".to_owned(), |epoch| epoch.to_string()).as_bytes(), out);
            listing.text(assignor.unwrap_or("-").as_bytes(), out);
            listing.number(group.members(), out);
            listing.number(group.offsets.len(), out);
            listing.number(group.pending.len(), out);
            match last_commit {
                Some(ms) => listing.with(out, |out| times.write(ms, out)),
                None => listing.text(b"-", out),
            }
            listing.number(group.coordinator_partition, out);
            listing.end_row(out);
        }
        if ui.out().drain()? == Pipe::Closed {
            break;
        }
    }
    Ok(books.outcome())
}

/// The generation or epoch of a group, and the assignor it uses.
pub fn epoch_and_assignor(group: &Group) -> (Option<i32>, Option<&str>) {
    match &group.protocol {
        Protocol::Simple => (None, None),
        Protocol::Classic(classic) => (Some(classic.generation), classic.protocol.as_deref()),
        Protocol::Modern(modern) => (Some(modern.epoch), Some(modern.assignor())),
    }
}
