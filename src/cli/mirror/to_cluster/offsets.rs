//! Committed offsets of the source's groups, carried over in the target's numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::lane::{Lane, State};
use super::problem::failed;
use crate::cli::Outcome;
use crate::cli::json_row::JsonRow;
use crate::cli::message::show_remarks;
use crate::cli::ui::{Problem, Ui};
use crate::cluster::client::Cluster;
use crate::cluster::groups::{self, Commit, Committed};
use crate::cluster::mm2::Checkpoint;
use crate::cluster::progress::Progress;
use crate::cluster::translate::{Answer, Translator};
use crate::storage::coordinator::groups::GroupCoordinator;
use crate::storage::log_dir::LogDir;
use crate::storage::remarks::Remarks;
use crate::types::TopicPartition;

/// What a group has committed in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    offset: i64,
    metadata: String,
}

/// Groups that go along.
#[derive(Debug, Default)]
pub struct Groups {
    /// What is known of their offsets.
    pub translator: Translator,
    positions: BTreeMap<String, BTreeMap<TopicPartition, Position>>,
    /// Checkpoints in the target, by group and partition: offsets there and here.
    checkpoints: BTreeMap<(String, TopicPartition), (i64, i64)>,
    /// Those that held no more when the run began: others take their place, and are exact only where a span says so.
    outdated: BTreeSet<(String, TopicPartition)>,
}

impl Groups {
    /// Reads what the named groups, or all, have committed for partitions that are mirrored.
    pub fn read(
        named: &[String],
        log_dirs: &[LogDir],
        mirrored: &BTreeSet<TopicPartition>,
        ui: &mut Ui,
    ) -> anyhow::Result<(Groups, Outcome)> {
        let mut all = Groups::default();
        if named.is_empty() {
            return Ok((all, Outcome::Done));
        }
        let mut remarks = Remarks::default();
        let coordinator = GroupCoordinator::read(log_dirs, &mut remarks);
        let outcome = show_remarks(remarks, ui);
        let is_all = named.iter().any(|name| name == "all");
        if let Some(unknown) = named.iter().find(|name| !is_all && coordinator.group(name).is_none()) {
            let problem =
                Problem::new("not_found", format!("group '{unknown}' has committed nothing in these directories"));
            return Err(problem.hint("see which groups there are with: logdir groups list").into());
        }
        for (id, group) in coordinator.groups() {
            if !is_all && !named.contains(id) {
                continue;
            }
            let mut positions = BTreeMap::new();
            for (partition, committed) in group.offsets.iter().filter(|(partition, _)| mirrored.contains(*partition)) {
                let offset = committed.committed.offset.get();
                if offset < 0 {
                    continue;
                }
                all.translator.ask(partition, offset);
                positions
                    .insert(partition.clone(), Position { offset, metadata: committed.committed.metadata.clone() });
            }
            if !positions.is_empty() {
                all.positions.insert(id.clone(), positions);
            }
        }
        Ok((all, outcome))
    }

    /// Whether none goes along.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Reads the checkpoints that earlier runs wrote.
    pub fn read_checkpoints(&mut self, progress: &Progress<'_>, topic: &str) -> anyhow::Result<()> {
        let (positions, checkpoints) = (&self.positions, &mut self.checkpoints);
        let read = progress.read_checkpoints(topic, |found| {
            if positions.get(&found.group).is_some_and(|group| group.contains_key(&found.partition)) {
                checkpoints.insert((found.group, found.partition), (found.upstream, found.downstream));
            }
        });
        read.map_err(failed)
    }

    /// The target's partition ends at `end`, in front of what was mirrored to it: what was known of it is no longer so.
    pub fn cut(&mut self, partition: &TopicPartition, end: i64) {
        self.translator.cut(partition, end);
        let old = self.checkpoints.extract_if(.., |(_, of), _| of == partition);
        self.outdated.extend(old.map(|(at, _)| at));
    }

    /// Partitions that a group reads.
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        self.positions.values().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Checkpoints of these partitions that are known by now, and not in the target.
    pub fn new_checkpoints<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>) -> Vec<Checkpoint> {
        let mut new = Vec::new();
        if self.positions.is_empty() {
            return new;
        }
        for partition in partitions {
            let exact: BTreeMap<i64, i64> = self.translator.exact(partition).into_iter().collect();
            for (group, positions) in &self.positions {
                let Some(position) = positions.get(partition) else { continue };
                let at = (group.clone(), partition.clone());
                let downstream = match exact.get(&position.offset) {
                    Some(downstream) => *downstream,
                    None => match self.translator.answer(partition, position.offset) {
                        Answer::AtLeast(bound) if self.outdated.contains(&at) => bound,
                        _ => continue,
                    },
                };
                let known = self.checkpoints.get(&at);
                if known != Some(&(position.offset, downstream)) {
                    new.push(Checkpoint {
                        group: group.clone(),
                        partition: partition.clone(),
                        upstream: position.offset,
                        downstream,
                        metadata: position.metadata.clone(),
                    });
                }
            }
        }
        new
    }

    /// These are in the target now.
    pub fn written(&mut self, checkpoints: Vec<Checkpoint>) {
        for checkpoint in checkpoints {
            let at = (checkpoint.group, checkpoint.partition);
            self.checkpoints.insert(at, (checkpoint.upstream, checkpoint.downstream));
        }
    }

    fn answer(&self, group: &str, partition: &TopicPartition, offset: i64) -> Answer {
        let at = (group.to_owned(), partition.clone());
        match self.translator.answer(partition, offset) {
            Answer::Exact(target) => Answer::Exact(target),
            other => match self.checkpoints.get(&at) {
                Some(_) if self.outdated.contains(&at) => other,
                Some((upstream, downstream)) if *upstream == offset => Answer::Exact(*downstream),
                Some((upstream, downstream)) if *upstream < offset => match other {
                    Answer::AtLeast(bound) => Answer::AtLeast(bound.max(*downstream)),
                    _ => Answer::AtLeast(*downstream),
                },
                _ => other,
            },
        }
    }

    /// Commits them in the target, group by group.
    pub fn commit(&self, cluster: &Cluster, lanes: &[Lane<'_>], is_json: bool, ui: &mut Ui) -> anyhow::Result<Outcome> {
        let unfinished: BTreeSet<&TopicPartition> =
            lanes.iter().filter(|lane| lane.state != State::Done).map(Lane::name).collect();
        let mut outcome = Outcome::Done;
        for (group, positions) in &self.positions {
            let mut offsets = BTreeMap::new();
            let mut exact = BTreeSet::new();
            for (partition, position) in positions {
                let offset = match self.answer(group, partition, position.offset) {
                    Answer::Exact(target) => {
                        exact.insert(partition);
                        target
                    }
                    Answer::AtLeast(target) => {
                        let why = match unfinished.contains(partition) {
                            true => "it lies behind what is mirrored",
                            false => "the cluster no longer has the syncs around it, or it is in an open transaction",
                        };
                        let text = format!(
                            "group '{group}': offset {} of {partition} is not exact: it goes on at {target} in the cluster, \
                             and may read records again: {why}",
                            position.offset
                        );
                        ui.warning(Problem::new("notice", text));
                        target
                    }
                    Answer::Unknown => {
                        let text = format!(
                            "group '{group}': nothing tells which offset in the cluster stands for {} of {partition}: left out",
                            position.offset
                        );
                        ui.warning(Problem::new("notice", text));
                        outcome |= Outcome::Findings;
                        continue;
                    }
                };
                offsets.insert(partition.clone(), Commit { offset, metadata: position.metadata.clone() });
            }
            if offsets.is_empty() {
                continue;
            }
            let ahead = match groups::commit(cluster, group, &offsets).map_err(failed)? {
                Committed::Done { ahead } => ahead,
                Committed::InUse => {
                    let text =
                        format!("group '{group}' has members in the cluster: its offsets there are left as they are");
                    ui.warning(Problem::new("in_use", text).hint("stop them, and run again"));
                    outcome |= Outcome::Findings;
                    continue;
                }
            };
            ui.note(&format!(
                "group '{group}': {} offsets committed, {} were there or further on already",
                offsets.len() - ahead.len(),
                ahead.len()
            ));
            if is_json {
                for (partition, commit) in &offsets {
                    JsonRow::new("group_offset")
                        .field("group", group.clone())
                        .field("topic", partition.topic.clone())
                        .field("partition", partition.partition)
                        .field("source_offset", positions[partition].offset)
                        .field("target_offset", commit.offset)
                        .field("exact", exact.contains(partition))
                        .field("ahead_at", ahead.get(partition).copied())
                        .write(ui.out().buffer());
                }
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::mm2::Span;
    use crate::cluster::runs::Mapped;

    #[test]
    fn a_checkpoint_of_a_target_that_was_made_again_is_replaced() {
        let partition = TopicPartition::new("t", 0);
        let mut groups = Groups::default();
        groups.translator.ask(&partition, 50);
        let position = Position { offset: 50, metadata: String::new() };
        groups.positions.insert("g".into(), BTreeMap::from([(partition.clone(), position)]));
        groups.checkpoints.insert(("g".into(), partition.clone()), (50, 50));
        let runs = vec![Mapped { source: 0, target: 0, count: 100 }];
        groups.translator.learn(&partition, None, &Span { from: 0, upstream: 100, downstream: 100, runs });
        assert_eq!(groups.answer("g", &partition, 50), Answer::Exact(50));
        assert!(groups.new_checkpoints([&partition].into_iter()).is_empty());
        groups.cut(&partition, 0);
        assert_eq!(groups.answer("g", &partition, 50), Answer::AtLeast(0));
        let new = groups.new_checkpoints([&partition].into_iter());
        assert_eq!(new.iter().map(|new| (new.upstream, new.downstream)).collect::<Vec<_>>(), [(50, 0)]);
        groups.written(new);
        assert_eq!(groups.answer("g", &partition, 50), Answer::AtLeast(0), "it may read again, and that is said");
        assert!(groups.new_checkpoints([&partition].into_iter()).is_empty());
    }
}
