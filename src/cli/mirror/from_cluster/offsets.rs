//! Committed offsets of groups of the cluster, into the `__consumer_offsets` of the copies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cli::Outcome;
use crate::cli::args::now_ms;
use crate::cli::groups::write::log_problem;
use crate::cli::mirror::to_cluster::failed;
use crate::cli::topics::problem::{create_problem, node_problem};
use crate::cli::ui::{Problem, Ui};
use crate::cluster::client::{Cluster, Reader};
use crate::cluster::groups::{Commit, committed, names};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::coordinator::group_log::{self, Change, GroupLog, GroupLogError};
use crate::storage::coordinator::groups::GroupCoordinator;
use crate::storage::log_dir::LogDir;
use crate::storage::node::Node;
use crate::storage::remarks::Remarks;
use crate::storage::writer::{Durability, SessionOptions};
use crate::types::{Offset, TopicPartition};

/// Commits what `groups` (or all, for "all") have committed in the cluster, for the partitions in `ends`, and not beyond them.
///
/// What is committed already as it is there is left alone, so that a second run writes nothing.
pub fn carry(
    groups: &[String],
    cluster: &Cluster,
    reader: &Reader,
    to: &Path,
    ends: &BTreeMap<TopicPartition, Offset>,
    ui: &mut Ui,
) -> anyhow::Result<Outcome> {
    if groups.is_empty() {
        return Ok(Outcome::Done);
    }
    let known = names(cluster, reader).map_err(failed)?;
    let (mut wanted, mut outcome) = (BTreeSet::new(), Outcome::Done);
    for group in groups {
        match group.as_str() {
            "all" => wanted.extend(known.iter().cloned()),
            group if known.contains(group) => drop(wanted.insert(group.to_owned())),
            group => {
                ui.error(Problem::new("not_found", format!("group '{group}' is not in the cluster")));
                outcome |= Outcome::Failed;
            }
        }
    }
    let partitions: Vec<&TopicPartition> = ends.keys().collect();
    let mut there: BTreeMap<String, BTreeMap<TopicPartition, Commit>> = BTreeMap::new();
    for group in wanted {
        let offsets = committed(cluster, &group, &partitions).map_err(failed)?;
        if offsets.is_empty() {
            ui.detail(&format!("group '{group}' has committed nothing of what is copied"));
            continue;
        }
        there.insert(group, offsets);
    }
    let opened = LogDir::open(to).map_err(|error| crate::cli::consume::select::storage_problem(&error))?;
    let known = GroupCoordinator::read(std::slice::from_ref(&opened), &mut Remarks::default());
    let mut changes: Vec<(String, Vec<Change>)> = Vec::new();
    for (group, offsets) in there {
        let mut of_group = Vec::new();
        for (partition, commit) in offsets {
            let end = ends.get(&partition).copied().unwrap_or(Offset::ZERO);
            // What was committed after the copy ended is committed when the copy has it.
            let offset = Offset::new(commit.offset).min(end);
            let before = known.group(&group).and_then(|group| group.offsets.get(&partition));
            if before.is_some_and(|before| before.committed.offset == offset) {
                continue;
            }
            let committed = CommittedOffset {
                offset,
                leader_epoch: None,
                metadata: commit.metadata,
                commit_ms: now_ms(),
                expire_ms: None,
                topic_id: None,
            };
            of_group.push(Change::Commit(partition, committed));
        }
        if !of_group.is_empty() {
            changes.push((group, of_group));
        }
    }
    if changes.is_empty() {
        return Ok(outcome);
    }
    write(to, &opened, &changes)?;
    let count = changes.len();
    ui.note(&format!("committed offsets of {count} {} came over", if count == 1 { "group" } else { "groups" }));
    Ok(outcome)
}

fn write(to: &Path, opened: &LogDir, changes: &[(String, Vec<Change>)]) -> anyhow::Result<()> {
    let problem = |error: GroupLogError| -> Problem { log_problem(&error) };
    let options =
        SessionOptions { config: group_log::log_config(), durability: Durability::Synced, allow_truncate: true };
    let mut log = match GroupLog::find(std::slice::from_ref(opened), None, options) {
        Err(GroupLogError::NoTopic | GroupLogError::Incomplete { .. }) => {
            let node = Node::open(&[to.to_owned()]).map_err(|error| node_problem(&error))?;
            let plan = group_log::plan(&node, group_log::PARTITIONS).map_err(|error| create_problem(&error))?;
            GroupLog::create(&node, &plan, options).map_err(problem)?
        }
        found => found.map_err(problem)?,
    };
    for (group, changes) in changes {
        log.append(group, changes, now_ms()).map_err(problem)?;
    }
    log.close(now_ms()).map_err(problem)?;
    Ok(())
}
