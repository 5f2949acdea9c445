//! `logdir topics delete`: partition directories renamed as a broker renames those of a deleted topic.

use std::collections::BTreeSet;

use crate::cli::args::{GlobalArgs, TopicArg};
use crate::cli::consume::select::{storage_problem, topic_not_found};
use crate::cli::json_row::JsonRow;
use crate::cli::range::Partitions;
use crate::cli::recover::{checkpoint_problem, say_holders, tend_interrupted};
use crate::cli::table::Column;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::storage::delete::{self, DeletePlan};
use crate::storage::metadata_log;
use crate::storage::names::DirKind;
use crate::storage::node::{Held, Node};
use crate::types::TopicPartition;

use super::problem::node_problem;

const COLUMNS: &[Column] =
    &[Column::left("PARTITION", 20), Column::left("ACTION", 6), Column::right("SIZE", 10), Column::left("DETAIL", 6)];

/// Delete topics, or partitions of them
///
/// Prints what would be done; --execute does it. Each directory gets the name a broker gives it (-delete), and a broker
/// removes it a minute after its start (file.delete.delay.ms). Until then the name can be given back.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("topics delete"))]
pub struct DeleteArgs {
    /// Topics
    #[arg(value_name = "TOPIC", required_unless_present = "topic")]
    pub names: Vec<String>,
    /// Topic; re:PATTERN for several (repeatable)
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Only these partitions: 3, 0-2, 1,5
    #[arg(short, long, value_name = "LIST", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// Do it
    #[arg(long, conflicts_with = "dry_run")]
    pub execute: bool,
    /// Say what would be done, which is what happens without --execute
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Delete internal topics too
    #[arg(long)]
    pub force: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

impl DeleteArgs {
    fn wants(&self, partition: &TopicPartition) -> bool {
        let topic = &partition.topic;
        let named = self.names.contains(topic) || self.topics().any(|name| name == topic);
        let by_pattern = || self.topic.iter().any(|arg| matches!(arg, TopicArg::Pattern(_)) && arg.matches(topic));
        // A pattern passes over what is internal; a name of it is refused before.
        let wanted = named || (by_pattern() && (self.force || !partition.is_internal()));
        let by_number = self.partition.as_ref().is_none_or(|wanted| wanted.contains(partition.partition));
        wanted && by_number && *topic != metadata_log::TOPIC
    }

    /// Topics that are named outright.
    fn topics(&self) -> impl Iterator<Item = &String> {
        fn of(arg: &TopicArg) -> &[String] {
            match arg {
                TopicArg::Names(names) => names,
                TopicArg::Pattern(_) => &[],
            }
        }
        self.names.iter().chain(self.topic.iter().flat_map(of))
    }
}

/// Plans, and with `--execute` deletes.
pub fn run(args: &DeleteArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut listing = super::listing(COLUMNS, global, ui)?;
    for name in args.topics() {
        refuse_internal(name, args.force)?;
    }
    let dirs = global.log_dirs()?;
    let _locks = if args.execute { super::lock_all(&dirs)? } else { say_holders(&dirs, ui)? };
    // What has a partition's name after that is what is to be deleted, and nothing puts another in its place later.
    tend_interrupted(dirs.iter(), args.execute, ui)?;
    let node = Node::open(&dirs).map_err(|error| node_problem(&error))?;
    let mut plans = Vec::new();
    for listed in node.dirs.iter().filter_map(|dir| dir.listed.as_ref()) {
        plans
            .push(delete::plan(listed, |partition| args.wants(partition)).map_err(|error| checkpoint_problem(&error))?);
    }
    missing(args, &node, &plans)?;
    let mut header = !args.no_header;
    let mut rows = 0;
    for plan in &plans {
        for rename in &plan.renames {
            rows += 1;
            let to = rename.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let size = ui.size_style().text(rename.size_bytes);
            let out = ui.out().buffer();
            let Some(listing) = &mut listing else {
                JsonRow::new("partition")
                    .field("topic", rename.partition.topic.clone())
                    .field("partition", rename.partition.partition)
                    .field("dir", rename.from.to_string_lossy().into_owned())
                    .field("renamed_to", to)
                    .field("size_bytes", rename.size_bytes)
                    .write(out);
                continue;
            };
            if std::mem::take(&mut header) {
                listing.header(out);
            }
            let from = rename.from.file_name().unwrap_or_default().as_encoded_bytes();
            listing.text(from, out);
            listing.text(b"rename", out);
            listing.text(size.as_bytes(), out);
            listing.text(format!("{} to {to}", plan.log_dir.display()).as_bytes(), out);
            listing.end_row(out);
        }
        for (file, gone) in &plan.entries {
            rows += 1;
            let out = ui.out().buffer();
            let names: Vec<String> = gone.iter().map(ToString::to_string).collect();
            let Some(listing) = &mut listing else {
                JsonRow::new("checkpoint")
                    .field("dir", plan.log_dir.to_string_lossy().into_owned())
                    .field("file", *file)
                    .field("entries", names)
                    .write(out);
                continue;
            };
            if std::mem::take(&mut header) {
                listing.header(out);
            }
            listing.text(b"-", out);
            listing.text(b"write", out);
            listing.text(b"-", out);
            let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
            let names = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            listing.text(format!("{}/{file}: without {names}{more}", plan.log_dir.display()).as_bytes(), out);
            listing.end_row(out);
        }
    }
    if args.execute {
        plans.iter().try_for_each(DeletePlan::execute).map_err(|error| storage_problem(&error))?;
    }
    let renamed: usize = plans.iter().map(|plan| plan.renames.len()).sum();
    if listing.is_none() {
        JsonRow::new("summary").field("partitions", renamed).field("executed", args.execute).write(ui.out().buffer());
    }
    say_what_follows(args, &node, &plans, rows, ui);
    Ok(Outcome::Done)
}

fn refuse_internal(topic: &str, force: bool) -> anyhow::Result<()> {
    let refused = |text: String| Problem::new("refused", text).outcome(Outcome::Refused);
    if topic == metadata_log::TOPIC {
        return Err(refused(format!("topic '{topic}' is the cluster's metadata: without it the cluster is gone"))
            .hint("to make a new cluster of the directories, format them: kafka-storage.sh format")
            .into());
    }
    if TopicPartition::new(topic, 0).is_internal() && !force {
        return Err(refused(format!("topic '{topic}' is internal to Kafka: offsets or transactions go with it"))
            .hint("if that is meant: --force")
            .into());
    }
    Ok(())
}

/// A topic that was named and is nowhere, nor left half deleted, is an error.
fn missing(args: &DeleteArgs, node: &Node, plans: &[DeletePlan]) -> anyhow::Result<()> {
    let topics: BTreeSet<&str> =
        node.dirs.iter().flat_map(|dir| dir.partitions(DirKind::Live)).map(|(name, _)| name.topic.as_str()).collect();
    let entries = plans.iter().flat_map(|plan| plan.entries.iter().flat_map(|(_, gone)| gone));
    let planned: BTreeSet<&str> = plans
        .iter()
        .flat_map(|plan| plan.renames.iter().map(|rename| &rename.partition))
        .chain(entries)
        .map(|partition| partition.topic.as_str())
        .collect();
    let places: Vec<_> = node.dirs.iter().map(|dir| dir.path.clone()).collect();
    if let Some(name) = args.topics().find(|name| !planned.contains(name.as_str())) {
        if topics.contains(name.as_str()) {
            return Err(Problem::new("not_found", format!("topic '{name}' has no such partition here"))
                .hint("leave -p out for all of them")
                .into());
        }
        return Err(topic_not_found(name, &topics, &places).into());
    }
    if planned.is_empty() {
        return Err(Problem::new("not_found", "no topic matches")
            .hint("a pattern passes over internal topics, but for --force")
            .into());
    }
    Ok(())
}

fn say_what_follows(args: &DeleteArgs, node: &Node, plans: &[DeletePlan], rows: usize, ui: &mut Ui) {
    let renames = || plans.iter().flat_map(|plan| &plan.renames);
    match (args.execute, rows) {
        (false, _) => ui.note("nothing deleted; run again with --execute"),
        (true, _) if renames().next().is_some() => {
            ui.note("a broker removes the -delete directories a minute after its start (file.delete.delay.ms)");
        }
        (true, _) => {}
    }
    let Some(cluster) = &node.cluster else { return };
    let known: BTreeSet<&str> = renames()
        .map(|rename| &rename.partition)
        .filter(|partition| {
            let topic = cluster.image.topic_named(&partition.topic);
            topic.is_some_and(|topic| matches!(cluster.holds(topic, partition.partition), Held::Here { .. }))
        })
        .map(|partition| partition.topic.as_str())
        .collect();
    for topic in known {
        let text = format!("the cluster still knows topic '{topic}': a broker makes its partitions anew, empty");
        ui.warning(Problem::new("notice", text).hint(format!(
            "delete it in the cluster too: kafka-topics.sh --bootstrap-server HOST:9092 --delete --topic {topic}"
        )));
    }
}
