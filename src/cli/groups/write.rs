//! What the verbs that write share: which groups may be changed, and the log they are written to.

use std::path::PathBuf;

use super::books::Books;
use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::storage_problem;
use crate::cli::session::{session_problem, tell};
use crate::cli::topics::create::{finish_interrupted, say_made, say_unsure, warn_of_stray};
use crate::cli::topics::problem::{create_problem, node_problem};
use crate::cli::ui::{Problem, Ui};
use crate::partitioner::PartitionCount;
use crate::schema::coordinator::group::ModernKind;
use crate::storage::coordinator::group_log::{self, Change, GroupLog, GroupLogError};
use crate::storage::coordinator::groups::{Group, OFFSETS_RETENTION_MS, Protocol};
use crate::storage::create::{CreateError, TopicPlan};
use crate::storage::log_dir::LogDir;
use crate::storage::node::Node;
use crate::storage::writer::{Durability, LogConfig, SessionError, SessionOptions};

/// Whether a group may be changed from outside: `None`, or why not.
pub fn why_not(id: &str, group: &Group, force: bool) -> Option<Problem> {
    if let Protocol::Modern(modern) = &group.protocol
        && modern.kind != ModernKind::Consumer
    {
        let text = format!("'{id}' is a {} group; only those of consumers are changed here", group.protocol_type());
        return Some(Problem::new("refused", text).outcome(Outcome::Refused));
    }
    if group.members() == 0 || force {
        return None;
    }
    // As the coordinator refuses it (`NonEmptyGroupException`).
    let text = format!("group '{id}' is not empty: it is {} and has {} members", group.state_name(), group.members());
    let hint = "members that did not leave before their broker stopped stand there still; go past it with --force if they are gone";
    Some(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint))
}

/// Why nothing can be written of a group, as a person is told of it.
pub fn log_problem(error: &GroupLogError) -> Problem {
    match error {
        GroupLogError::Session(error) => session_problem(error),
        GroupLogError::NoTopic => Problem::new("not_found", error.to_string()).hint(
            "in a cluster's directory, start its broker once and let a consumer commit; else make it with: logdir topics create __consumer_offsets --partitions 50",
        ),
        GroupLogError::Incomplete { .. } => Problem::new("not_found", error.to_string()).hint(
            "name all log directories of the cluster with -d; where a run that made them ended in between, make the rest with: logdir topics create __consumer_offsets --partitions N",
        ),
        GroupLogError::Elsewhere { .. } => {
            Problem::new("not_found", error.to_string()).hint("name all log directories of the cluster with -d")
        }
        GroupLogError::Create(error) => create_problem(error),
        GroupLogError::Record { .. } | GroupLogError::Build(_) => Problem::new("refused", error.to_string()),
    }
}

const fn session_options(config: LogConfig) -> SessionOptions {
    SessionOptions { config, durability: Durability::Synced, allow_truncate: false }
}

fn found(log_dirs: &[LogDir], count: Option<PartitionCount>) -> Result<GroupLog, GroupLogError> {
    GroupLog::find(log_dirs, count, session_options(group_log::log_config()))
}

/// The log that a group is to be written to, made where it is missing. `paths`: those of `log_dirs`; `count`: how many
/// partitions the cluster's metadata gives it.
pub fn open_log(
    id: &str,
    log_dirs: &[LogDir],
    paths: &[PathBuf],
    count: Option<PartitionCount>,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<GroupLog> {
    let log = match Making::in_dirs(log_dirs, paths, count, &[id], global)? {
        Some(making) => making.make(ui),
        None => found(log_dirs, count),
    };
    Ok(log.map_err(|error| log_problem(&error))?)
}

/// Before a run that writes looks at anything: finishes what interrupted runs left. A partition of the topic that is not
/// there now may be about to come back.
pub fn prepare(global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<()> {
    finish_interrupted(&global.log_dirs()?, ui)
}

/// `__consumer_offsets`, or the part of it that is needed, where it is still to be made.
pub struct Making {
    node: Node,
    plan: TopicPlan,
}

impl Making {
    /// What has to be made so that these groups can commit; `None` where nothing has to. Reads only.
    ///
    /// The rules are those of `topics create`: what the cluster's metadata knows is made as it says; without any, the topic
    /// gets `offsets.topic.num.partitions` of `-F`, else 50.
    pub fn of(books: &Books, ids: &[&str], global: &GlobalArgs) -> anyhow::Result<Option<Making>> {
        Making::in_dirs(&books.log_dirs, &books.paths, books.partition_count(), ids, global)
    }

    fn in_dirs(
        log_dirs: &[LogDir],
        paths: &[PathBuf],
        count: Option<PartitionCount>,
        ids: &[&str],
        global: &GlobalArgs,
    ) -> anyhow::Result<Option<Making>> {
        let elsewhere = match found(log_dirs, count) {
            Ok(log) => match ids.iter().find_map(|id| log.home(id).err()) {
                Some(elsewhere) => Some(elsewhere),
                None => return Ok(None),
            },
            Err(GroupLogError::NoTopic) => None,
            Err(GroupLogError::Incomplete { .. }) if group_log::is_unused(log_dirs) => None,
            Err(error) => return Err(log_problem(&error).into()),
        };
        match (Making::plan(paths, ids, global), elsewhere) {
            (Ok(making), _) => Ok(Some(making)),
            // The topic is there, only not where these groups belong.
            (Err(_), Some(elsewhere)) => Err(log_problem(&elsewhere).into()),
            (Err(error), None) => Err(error),
        }
    }

    fn plan(paths: &[PathBuf], ids: &[&str], global: &GlobalArgs) -> anyhow::Result<Making> {
        let node = Node::open(paths).map_err(|error| node_problem(&error))?;
        if let Some(dir) = node.dirs.iter().find(|dir| dir.listed.is_none()) {
            return Err(Problem::new("not_found", "there is no such log directory").path(&dir.path).into());
        }
        let count = match broker_number(global, "offsets.topic.num.partitions")? {
            Some(count) => i32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
                Problem::new("malformed", format!("offsets.topic.num.partitions={count} is no number of partitions"))
            })?,
            None => group_log::PARTITIONS,
        };
        let plan = group_log::plan(&node, count).map_err(|error| create_problem(&error))?;
        if let Some(id) = ids.iter().find(|id| group_log::planned_home(&plan, id).is_none()) {
            let text = format!("the partition of {} that group '{id}' belongs to is on another node", plan.topic);
            return Err(Problem::new("not_found", text).hint("name the log directories of that node with -d").into());
        }
        Ok(Making { node, plan })
    }

    /// Says what a dry run leaves undone.
    pub fn say_planned(&self, ui: &mut Ui) {
        let (made, topic, count) = (self.plan.missing.len(), &self.plan.topic, self.plan.count);
        let which = if i32::try_from(made).is_ok_and(|made| made == count) {
            format!("topic '{topic}' with {count} partitions")
        } else {
            format!("{made} of the {count} partitions of topic '{topic}'")
        };
        ui.note(&format!("would make {which} first"));
        say_unsure(&self.plan, ui);
        warn_of_stray(&self.plan, ui);
    }

    fn make(&self, ui: &mut Ui) -> Result<GroupLog, GroupLogError> {
        let options = session_options(group_log::log_config());
        match GroupLog::create(&self.node, &self.plan, options) {
            Ok(log) => {
                say_unsure(&self.plan, ui);
                say_made(&self.plan, ui);
                Ok(log)
            }
            // By another run, since it was looked at.
            Err(GroupLogError::Create(CreateError::Exists { .. })) => {
                let opened: Result<Vec<LogDir>, _> =
                    self.node.dirs.iter().map(|dir| LogDir::open(&dir.path).map_err(SessionError::from)).collect();
                let count = u32::try_from(self.plan.count).ok().and_then(PartitionCount::new);
                GroupLog::find(&opened?, count, options)
            }
            Err(error) => Err(error),
        }
    }
}

/// A setting of the broker that `-F` names, where it is a number.
pub fn broker_number(global: &GlobalArgs, name: &str) -> anyhow::Result<Option<i64>> {
    let settings = global.broker_settings()?;
    let Some(text) = settings.get(name) else { return Ok(None) };
    let number = text.trim().parse().map_err(|_| {
        let problem = Problem::new("malformed", format!("{name}={text} is no number"));
        global.properties.iter().fold(problem, |problem, path| problem.path(path))
    })?;
    Ok(Some(number))
}

/// How long a broker keeps what an empty group has committed: `offsets.retention.minutes` of `-F`, else seven days.
pub fn retention_ms(global: &GlobalArgs) -> anyhow::Result<i64> {
    let minutes = broker_number(global, "offsets.retention.minutes")?;
    Ok(minutes.map_or(OFFSETS_RETENTION_MS, |minutes| minutes.saturating_mul(60_000)))
}

/// Writes what changes of each group, all of it on disk when this returns; `making`: what is made first.
pub fn write(
    books: &Books,
    changes: &[(&str, Vec<Change>)],
    making: Option<&Making>,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    let problem = |error: GroupLogError| log_problem(&error);
    let written = changes.iter().filter(|(_, changes)| !changes.is_empty());
    if written.clone().next().is_none() {
        return Ok(());
    }
    let mut log = match making {
        Some(making) => making.make(ui).map_err(problem)?,
        None => found(&books.log_dirs, books.partition_count()).map_err(problem)?,
    };
    // All locks first: nothing is written where something could not be.
    log.lock(written.clone().map(|(group, _)| *group)).map_err(problem)?;
    for (group, changes) in written {
        log.append(group, changes, now_ms()).map_err(problem)?;
    }
    let mut events = log.take_events();
    events.extend(log.close(now_ms()).map_err(problem)?);
    events.iter().for_each(|event| tell(event, ui));
    Ok(())
}

/// Refuses what was read in part: what stands in the rest may be newer.
pub fn check_whole(books: &Books, ids: &[&str]) -> anyhow::Result<()> {
    for id in ids {
        let Some(group) = books.coordinator.group(id) else { continue };
        if books.coordinator.damaged().contains(&group.coordinator_partition) {
            let text = format!(
                "__consumer_offsets-{} is damaged: what is known of group '{id}' may be old",
                group.coordinator_partition
            );
            let hint = "see where with: logdir verify; mend it with: logdir recover --mode salvage";
            return Err(Problem::new("refused", text).outcome(Outcome::Refused).hint(hint).into());
        }
    }
    Ok(())
}

/// An error of a file that the user named.
pub fn file_problem(path: &std::path::Path, error: std::io::Error) -> Problem {
    storage_problem(&crate::storage::fs::StorageError::new(path, error))
}
