//! `logdir topics create`: empty partition directories, as a broker makes them.

use std::path::PathBuf;

use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::storage_problem;
use crate::cli::json_row::JsonRow;
use crate::cli::recover::{checkpoint_problem, tend_interrupted};
use crate::cli::table::Column;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::coordinator::CoordinatorTopic;
use crate::storage::create::{self, Standing, TopicPlan};
use crate::storage::metadata_log;
use crate::storage::node::Node;
use crate::storage::swap;
use crate::storage::writer::session::SessionError;
use crate::storage::writer::{AppendSession, Durability, LogConfig, SessionOptions};
use crate::types::Uuid;

use super::problem::{create_problem, node_problem};

const COLUMNS: &[Column] =
    &[Column::left("TOPIC", 20), Column::right("PARTITION", 9), Column::left("TOPIC_ID", 22), Column::left("DIR", 3)];

/// Make a topic's partitions, empty
///
/// Acts at once; -n says what it would do. Where the cluster's metadata lies in one of the log directories and knows the
/// topic, its id and the partitions of this node are taken from it. A topic that it does not know is put aside by a
/// broker at its start (-stray): create it in the cluster first.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("topics create"))]
pub struct CreateArgs {
    /// Name of the topic
    #[arg(value_name = "TOPIC")]
    pub name: String,
    /// Number of partitions; may be left out where the cluster's metadata knows it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX))]
    pub partitions: Option<i32>,
    /// The topic's id [default: the one the cluster has, else a random one]
    #[arg(long, value_name = "ID", value_parser = super::topic_id)]
    pub topic_id: Option<Uuid>,
    /// Settings are kept by the cluster, in no file of a partition: refused, with the command that sets them
    #[arg(long, value_name = "K=V", hide_short_help = true)]
    pub config: Vec<String>,
    /// A topic that is there is no error
    #[arg(long)]
    pub if_not_exists: bool,
    /// Say what would be made, make nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// Makes them.
pub fn run(args: &CreateArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let listing = super::listing(COLUMNS, global, ui)?;
    if args.name == metadata_log::TOPIC {
        let text = format!("topic '{}' is made by the controllers only", args.name);
        let hint = "format a log directory with: kafka-storage.sh format";
        return Err(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint).into());
    }
    if !args.config.is_empty() {
        return Err(refuse_config(args).into());
    }
    let dirs = global.log_dirs()?;
    if !args.dry_run {
        finish_interrupted(&dirs, ui)?;
    }
    let node = Node::open(&dirs).map_err(|error| node_problem(&error))?;
    if let Some(dir) = node.dirs.iter().find(|dir| dir.listed.is_none()) {
        let hint =
            format!("make it with: kafka-storage.sh format, or: logdir produce -d {} --create", dir.path.display());
        return Err(Problem::new("not_found", "there is no such log directory").path(&dir.path).hint(hint).into());
    }
    let plan = create::plan_topic(&node, &args.name, args.partitions, args.topic_id);
    let plan = plan.map_err(|error| create_problem(&error))?;
    if plan.missing.is_empty() {
        let text =
            format!("topic '{}' is there, with {} partitions and the id {}", plan.topic, plan.count, plan.topic_id);
        if args.if_not_exists {
            ui.note(&text);
            return Ok(Outcome::Done);
        }
        let problem = Problem::new("exists", text).outcome(Outcome::Refused);
        return Err(problem.hint("--if-not-exists takes that for success").into());
    }
    if args.name.contains(['.', '_']) {
        // As TopicCommand says it.
        ui.warning(Problem::new(
            "collision",
            "Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid \
             issues it is best to use either, but not both.",
        ));
    }
    say_unsure(&plan, ui);
    if !args.dry_run {
        make(&plan, &node, ui)?;
    }
    let mut listing = listing;
    let mut header = !args.no_header;
    for (partition, dir) in &plan.missing {
        let path = &node.dirs[*dir].path;
        let out = ui.out().buffer();
        match &mut listing {
            Some(listing) => {
                if std::mem::take(&mut header) {
                    listing.header(out);
                }
                listing.text(plan.topic.as_bytes(), out);
                listing.number(*partition, out);
                listing.text(plan.topic_id.to_string().as_bytes(), out);
                listing.text(path.as_os_str().as_encoded_bytes(), out);
                listing.end_row(out);
            }
            None => JsonRow::new("partition")
                .field("topic", plan.topic.clone())
                .field("partition", *partition)
                .field("topic_id", plan.topic_id.to_string())
                .field("dir", path.to_string_lossy().into_owned())
                .field("created", !args.dry_run)
                .write(out),
        }
    }
    if listing.is_none() {
        JsonRow::new("summary")
            .field("partitions", plan.missing.len())
            .field("elsewhere", plan.elsewhere.len())
            .field(
                "known_to_cluster",
                (plan.standing != Standing::NoMetadata).then_some(plan.standing == Standing::Known),
            )
            .field("executed", !args.dry_run)
            .write(ui.out().buffer());
    }
    if !plan.elsewhere.is_empty() {
        ui.note(&format!("partitions {} are assigned to other nodes", numbers(&plan.elsewhere)));
    }
    if args.dry_run {
        ui.note("nothing made; run again without -n");
        warn_of_stray(&plan, ui);
    }
    Ok(Outcome::Done)
}

/// Partitions of a topic that are made: more than any cluster of Kafka can serve.
pub const PARTITIONS_MAX: i64 = 1_000_000;

/// Finishes what interrupted runs left: a partition that is not there now may be about to come back.
pub fn finish_interrupted(dirs: &[PathBuf], ui: &mut Ui) -> anyhow::Result<()> {
    for dir in dirs.iter().filter(|dir| dir.is_dir()) {
        let left = swap::find_interrupted(dir).map_err(|error| storage_problem(&error))?;
        if !left.is_empty() {
            let _lock = super::lock_all(std::slice::from_ref(dir))?;
            tend_interrupted(std::iter::once(dir), true, ui)?;
        }
    }
    Ok(())
}

fn refuse_config(args: &CreateArgs) -> Problem {
    let text =
        "settings of a topic are kept in the cluster's metadata, in no file of its partitions: --config cannot be kept";
    let settings = args.config.join(",");
    Problem::new("refused", text).outcome(Outcome::Refused).hint(format!(
        "set them with a running broker: kafka-configs.sh --bootstrap-server HOST:9092 --alter --entity-type topics \
         --entity-name {} --add-config {settings}",
        args.name
    ))
}

fn make(plan: &TopicPlan, node: &Node, ui: &mut Ui) -> anyhow::Result<()> {
    let options =
        SessionOptions { config: LogConfig::default(), durability: Durability::Synced, allow_truncate: false };
    let mut sessions = Vec::new();
    // All locks first: nothing is made where something could not be.
    for (dir, partitions) in plan.by_dir() {
        let path = &node.dirs[dir].path;
        sessions.push((AppendSession::open(path, options).map_err(|error| session_problem(&error))?, partitions));
    }
    for (mut session, partitions) in sessions {
        session.create_partitions(&partitions, plan.topic_id).map_err(|error| create_problem(&error))?;
        session.close(now_ms()).map_err(|error| session_problem(&error))?;
    }
    say_made(plan, ui);
    Ok(())
}

fn session_problem(error: &SessionError) -> Problem {
    match error {
        SessionError::Lock(error) => super::lock_problem(error),
        SessionError::Storage(error) => checkpoint_problem(error),
        _ => Problem::new("error", error.to_string()),
    }
}

/// Says which topic was made, and whether a broker will serve it.
pub fn say_made(plan: &TopicPlan, ui: &mut Ui) {
    let (topic, count, made) = (&plan.topic, plan.count, plan.missing.len());
    let plural = if count == 1 { "" } else { "s" };
    let all = i32::try_from(made).is_ok_and(|made| made == count);
    let made = match plan.standing {
        _ if all => "made".to_owned(),
        Standing::Known => format!("made {made} of"),
        _ => format!("made {made} more of"),
    };
    ui.note(&format!("{made} topic '{topic}' with {count} partition{plural}, id {}", plan.topic_id));
    warn_of_stray(plan, ui);
}

/// Says that nobody can tell here whether a broker will serve it.
pub fn say_unsure(plan: &TopicPlan, ui: &mut Ui) {
    if plan.standing == Standing::NoMetadata {
        ui.note(
            "no metadata log is in these directories: a broker whose cluster does not know the topic under this id renames \
             its partitions -stray",
        );
    }
}

/// Warns of a topic that a broker will put aside.
pub fn warn_of_stray(plan: &TopicPlan, ui: &mut Ui) {
    let (topic, count) = (&plan.topic, plan.count);
    if plan.standing != Standing::Unknown {
        return;
    }
    let text = format!(
        "the cluster's metadata does not know topic '{topic}' (id {}): a broker renames its partitions -stray at its start",
        plan.topic_id
    );
    if plan.topic == CoordinatorTopic::Group.topic() {
        ui.warning(Problem::new("notice", text).hint(
            "before a broker starts here, take the offsets along: logdir groups export --all-groups --json > FILE; let the \
             cluster make the topic (the first commit of a consumer does), stop the broker, and run: logdir groups import \
             FILE --execute",
        ));
        return;
    }
    ui.warning(Problem::new("notice", text).hint(format!(
        "no tool of Kafka's makes a topic with a given id: create it in the cluster (kafka-topics.sh --bootstrap-server \
         HOST:9092 --create --topic {topic} --partitions {count}), stop the broker, and take the directories in under \
         the cluster's id: logdir topics adopt {topic}-0.*-stray --to LOG_DIR --execute"
    )));
}

fn numbers(partitions: &[i32]) -> String {
    let shown: Vec<String> = partitions.iter().take(20).map(ToString::to_string).collect();
    let more = if partitions.len() > 20 { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
