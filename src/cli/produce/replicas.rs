//! The replicas of a partition on several brokers' log directories: what is known of them, and what is said of them.

use super::target::Target;
use super::{Acks, MinInsync, ProduceArgs};
use crate::cli::Outcome;
use crate::cli::consume::select::storage_problem;
use crate::cli::ui::{Problem, Ui};
use crate::replication::event;
use crate::storage::assess::{min_insync_replicas_in, view_in};
use crate::storage::checkpoint;
use crate::storage::log_dir::open_partition_dir;
use crate::storage::partition::present;
use crate::storage::partition_metadata;
use crate::storage::replicated::{Deed, LogView, Member, ReplicaSet, Unreplicable};
use crate::types::{Offset, TopicPartition, Uuid};

/// Who leads, who follows, and what makes them level. `dirs` and `logs` are the replicas'.
pub fn plan(
    partition: &TopicPartition,
    dirs: &[usize],
    logs: Vec<LogView>,
    args: &ProduceArgs,
    min_insync: MinInsync,
    target: &mut Target,
) -> anyhow::Result<ReplicaSet> {
    let topic_id = same_topic_id(partition, dirs, target)?;
    let mut members = Vec::with_capacity(logs.len());
    for (dir, log) in dirs.iter().zip(logs) {
        let path = target.dirs[*dir].join(checkpoint::HIGH_WATERMARK);
        let stored = present(checkpoint::read(&path)).map_err(|error| storage_problem(&error))?;
        let high_watermark = stored.and_then(|stored| stored.get(partition)).unwrap_or(Offset::ZERO);
        members.push(Member { broker: target.node_of(*dir), dir: *dir, log, high_watermark });
    }
    let mut min_insync_replicas = min_insync.asked;
    let mut registered = None;
    if let Some(image) = target.metadata()? {
        registered = view_in(image, topic_id, partition);
        min_insync_replicas = min_insync_replicas.or(min_insync_replicas_in(image, &partition.topic));
    }
    let min_insync_replicas = min_insync_replicas.or(min_insync.broker).unwrap_or(1);
    let acks = match args.acks {
        Acks::None => event::Acks::None,
        Acks::Leader => event::Acks::Leader,
        Acks::All => event::Acks::All,
    };
    ReplicaSet::plan(partition, members, registered.as_ref(), min_insync_replicas, acks)
        .map_err(|error| problem(partition, &error).into())
}

/// The id that all replicas name; an error where they name several.
fn same_topic_id(partition: &TopicPartition, dirs: &[usize], target: &Target) -> anyhow::Result<Option<Uuid>> {
    let mut known: Option<(Uuid, usize)> = None;
    for dir in dirs {
        let path = target.dirs[*dir].join(partition.to_string()).join(partition_metadata::FILE_NAME);
        let read = present(partition_metadata::read(&path)).map_err(|error| storage_problem(&error))?;
        let Some(id) = read.map(|metadata| metadata.topic_id) else { continue };
        match known {
            Some((first, _)) if first == id => {}
            Some((first, at)) => {
                let text = format!(
                    "{partition} is of topic id {id} in {}, and of {first} in {}",
                    target.dirs[*dir].display(),
                    target.dirs[at].display()
                );
                return Err(Problem::new("refused", text)
                    .outcome(Outcome::Refused)
                    .hint("one of them was deleted and made again: name the log directories of the others only")
                    .into());
            }
            None => known = Some((id, *dir)),
        }
    }
    Ok(known.map(|(id, _)| id))
}

/// Refuses what would remove records from a follower, unless that is allowed.
pub fn check(partition: &TopicPartition, set: &ReplicaSet, args: &ProduceArgs, target: &Target) -> anyhow::Result<()> {
    for step in set.steps() {
        if let Deed::Cut { from, to, why: Some(_) } = step.deed
            && !args.allow_truncate
        {
            let name = set.name(step.member);
            let text = format!(
                "{partition}: from offset {to} on the log of {name} is not that of {}: it would be cut there, it goes to {from}",
                set.name(set.leader())
            );
            return Err(Problem::new("would_lose", text)
                .outcome(Outcome::Refused)
                .hint(format!(
                    "see what it is with: logdir consume {} -o {to}: ; then cut it with --allow-truncate",
                    target.dirs[set.dir(step.member)].join(partition.to_string()).display()
                ))
                .into());
        }
    }
    Ok(())
}

/// Refuses logs that hold other records of the same leader epoch.
pub fn check_ends(partition: &TopicPartition, set: &ReplicaSet, target: &Target) -> anyhow::Result<()> {
    let open = |member: usize| {
        let path = target.dirs[set.dir(member)].join(partition.to_string());
        open_partition_dir(&path).map(|(opened, _)| opened)
    };
    let checked = set.check_ends(open).map_err(|error| storage_problem(&error))?;
    Ok(checked.map_err(|error| problem(partition, &error))?)
}

/// Says who leads and follows, and what was done to make them level.
pub fn tell(partition: &TopicPartition, set: &ReplicaSet, is_dry: bool, ui: &mut Ui) {
    let leader = set.name(set.leader());
    let followers: Vec<String> =
        (0..set.members().len()).filter(|member| *member != set.leader()).map(|member| set.name(member)).collect();
    let (in_sync, min) = set.in_sync();
    ui.detail(&format!(
        "{partition}: {leader} leads from offset {}, {}; {in_sync} in sync, min.insync.replicas {min}",
        set.log_end(),
        match followers.len() {
            0 => "nobody follows".to_owned(),
            1 => format!("{} follows", followers.join("")),
            _ => format!("{} follow", followers.join(" and ")),
        }
    ));
    for step in set.steps() {
        let name = set.name(step.member);
        let would = if is_dry { "would " } else { "" };
        let text = match step.deed {
            Deed::Cut { to, why: None, .. } => {
                format!(
                    "{name} {would}{} the leader epochs from offset {to} on",
                    if is_dry { "forget" } else { "forgot" }
                )
            }
            Deed::Cut { from, to, .. } => {
                format!("the log of {name} {} cut at {to}, it went to {from}", if is_dry { "would be" } else { "was" })
            }
            Deed::Copy { from, to } => {
                format!("{name} {would}{} offsets {from}..{to} from {leader}", if is_dry { "copy" } else { "copied" })
            }
        };
        ui.note(&format!("{partition}: {text}"));
    }
}

fn problem(partition: &TopicPartition, error: &Unreplicable) -> Problem {
    let hint = match error {
        Unreplicable::TooMany(_) => "name the log directories of fewer brokers",
        Unreplicable::NoReplica { .. } => "leave the log directories of that broker out",
        Unreplicable::NobodyMayLead(_) => {
            "name those of one of them: whoever else writes loses it as soon as one of them leads"
        }
        Unreplicable::LeaderMissing(_) => {
            "name its log directories with -d too: it may hold other records of the same leader epoch, which nobody would find out"
        }
        Unreplicable::NotEnoughReplicas { .. } => {
            "name the log directories of more brokers, lower --min-insync-replicas, or take --acks 1"
        }
        Unreplicable::BeforeStart { .. } => {
            "leave its log directories out; its broker fetches the partition anew when it starts"
        }
        Unreplicable::UnknownEpoch { .. }
        | Unreplicable::Nameless(_)
        | Unreplicable::SameEpoch { .. }
        | Unreplicable::NothingInCommon { .. } => {
            "compare them with: logdir simulate-failover assess; leave out the directories of the one that is not to be kept"
        }
    };
    let hint = match error {
        Unreplicable::Nameless(_) => "name its broker in meta.properties, or leave it out",
        Unreplicable::SameEpoch { .. } | Unreplicable::NothingInCommon { .. } => {
            "see what each has with: logdir simulate-failover assess; leave out the directories of the one that is not to be kept"
        }
        _ => hint,
    };
    let code = match error {
        Unreplicable::NotEnoughReplicas { .. } => "not_enough_replicas",
        _ => "refused",
    };
    Problem::new(code, format!("{partition}: {error}")).outcome(Outcome::Refused).hint(hint)
}
