//! Topics of the target beside those of the source: what is made, what is refused, and what Kafka would undo.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::refused;
use crate::cli::Outcome;
use crate::cli::range::Partitions;
use crate::cli::ui::{Problem, Ui};
use crate::cluster::topics::{TargetConfigs, TargetTopic, Wanted};
use crate::types::TimestampMs;

/// Partitions that are named one by one.
const SHOWN_MAX: usize = 20;

/// A topic of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Partitions that a given directory holds.
    pub held: BTreeSet<i32>,
    /// Its own settings, as far as they are known.
    pub configs: BTreeMap<String, String>,
    /// The settings are known.
    pub is_known: bool,
    /// The largest timestamp at the start of what is to be mirrored.
    pub oldest_ms: Option<TimestampMs>,
}

impl SourceTopic {
    /// Whether the log cleaner makes holes in it.
    pub fn is_compacted(&self) -> bool {
        self.configs.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    }

    /// Its settings that mean something in another cluster.
    fn carried(&self) -> impl Iterator<Item = (&String, &String)> {
        const OF_ONE_CLUSTER: [&str; 2] =
            ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
        self.configs.iter().filter(|(name, _)| {
            let of_storage = ["remote.", "local.retention.", "internal."].iter().any(|part| name.starts_with(part));
            !of_storage && !OF_ONE_CLUSTER.contains(&name.as_str())
        })
    }
}

/// Partitions that are asked for, and that no given directory holds.
pub fn not_held(topics: &[SourceTopic], wanted: Option<&Partitions>) -> Vec<Problem> {
    let missing = topics.iter().filter_map(|topic| {
        let is_missing =
            |number: &i32| !topic.held.contains(number) && wanted.is_none_or(|some| some.contains(*number));
        let mut missing = (0..topic.partitions).filter(is_missing);
        let shown: Vec<String> = missing.by_ref().take(SHOWN_MAX).map(|number| number.to_string()).collect();
        let list = match (shown.len(), missing.count()) {
            (0, _) => return None,
            (_, 0) => shown.join(","),
            (_, more) => format!("{} and {more} more", shown.join(",")),
        };
        let text = format!("topic '{}': partitions {list} are in none of these directories: not mirrored", topic.name);
        let problem = Problem::new("not_found", text).outcome(Outcome::Findings);
        Some(
            problem
                .hint("name the directories of the other brokers and disks too (-d, comma-separated), or choose: -p"),
        )
    });
    missing.collect()
}

/// Says how many partitions topics are taken to have that are made, and that no metadata log knows.
pub fn say_taken_counts(topics: &[SourceTopic], there: &BTreeMap<String, TargetTopic>, ui: &mut Ui) {
    for topic in topics.iter().filter(|topic| !topic.is_known && !there.contains_key(&topic.name)) {
        let (name, partitions) = (&topic.name, topic.partitions);
        let text = format!("no metadata log here knows topic '{name}': taken to have {partitions} partitions");
        ui.warning(
            Problem::new("notice", text).hint(
                "where there are more, make it there first: kafka-topics.sh --bootstrap-server HOST:PORT --create",
            ),
        );
    }
}

/// Topics that are there with another number of partitions.
pub fn wrong_counts(topics: &[SourceTopic], there: &BTreeMap<String, TargetTopic>) -> Vec<Problem> {
    let wrong = topics.iter().filter_map(|topic| {
        let target = there.get(&topic.name).filter(|target| target.partitions != topic.partitions)?;
        let text = format!(
            "topic '{}' has {} partitions here and {} in the cluster: records would not keep theirs",
            topic.name, topic.partitions, target.partitions
        );
        let problem = refused(text);
        Some(if target.partitions < topic.partitions {
            problem.hint(format!(
                "give it as many: kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic {} --partitions {}",
                topic.name, topic.partitions
            ))
        } else {
            problem.hint(
                "the source's directories may not be all of its cluster's: name those of every broker with -d, \
                 comma-separated",
            )
        })
    });
    wrong.collect()
}

/// Topics to which nothing can be written: they have fewer replicas than min.insync.replicas asks for.
pub fn too_few_replicas(
    topics: &[SourceTopic],
    there: &BTreeMap<String, TargetTopic>,
    configs: &BTreeMap<String, TargetConfigs>,
    replication_factor: i32,
) -> Vec<Problem> {
    let few = topics.iter().filter_map(|topic| {
        let replicas = match there.get(&topic.name) {
            Some(target) => target.replicas,
            // What the cluster's default is shows once the topic is made.
            None => usize::try_from(replication_factor).ok()?,
        };
        let needed: usize = effective(topic, configs.get(&topic.name), "min.insync.replicas")?.parse().ok()?;
        (needed > replicas).then(|| {
            let text = format!(
                "topic '{}': min.insync.replicas={needed}, and its partitions have {replicas} replicas in the cluster: \
                 brokers would take no record",
                topic.name
            );
            refused(text).hint(format!(
                "make it with more: --replication-factor; or lower what it needs: kafka-configs.sh --bootstrap-server \
                 HOST:PORT --alter --entity-type topics --entity-name {} --add-config min.insync.replicas={replicas}",
                topic.name
            ))
        })
    });
    few.collect()
}

/// Topics to be made, as the source has them.
pub fn to_make(topics: &[SourceTopic], there: &BTreeMap<String, TargetTopic>, replication_factor: i32) -> Vec<Wanted> {
    let missing = topics.iter().filter(|topic| !there.contains_key(&topic.name));
    let wanted = missing.map(|topic| Wanted {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor,
        configs: topic.carried().map(|(name, value)| (name.clone(), value.clone())).collect(),
    });
    wanted.collect()
}

/// A topic of progress: one partition, compacted, as MirrorMaker makes it.
pub fn of_progress(name: &str, replication_factor: i32) -> Wanted {
    let configs = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    Wanted { name: name.to_owned(), partitions: 1, replication_factor, configs }
}

/// Says where the settings of topics that are there differ.
pub fn say_differences(topics: &[SourceTopic], configs: &BTreeMap<String, TargetConfigs>, ui: &mut Ui) {
    for topic in topics.iter().filter(|topic| topic.is_known) {
        let Some(there) = configs.get(&topic.name) else { continue };
        let mine: BTreeMap<&String, &String> = topic.carried().collect();
        let own = there.iter().filter(|(_, config)| config.is_own).map(|(name, _)| name);
        let names: BTreeSet<&String> = mine.keys().copied().chain(own).collect();
        for name in names {
            let (here, target) = (mine.get(name), there.get(name));
            if here.map(|value| value.as_str()) == target.map(|config| config.value.as_str()) {
                continue;
            }
            let shown = |value: Option<&str>| value.map_or("not set".to_owned(), |value| format!("'{value}'"));
            let text = format!(
                "topic '{}': {name} is {} here and {} in the cluster, which is left as it is",
                topic.name,
                shown(here.map(|value| value.as_str())),
                shown(target.map(|config| config.value.as_str())),
            );
            ui.warning(Problem::new("notice", text));
        }
    }
}

/// The value that a topic has, or will have, in the target.
fn effective<'a>(topic: &'a SourceTopic, there: Option<&'a TargetConfigs>, name: &str) -> Option<&'a str> {
    match there {
        Some(configs) => configs.get(name).map(|config| config.value.as_str()),
        None => topic.configs.get(name).map(String::as_str),
    }
}

/// Says what the target's brokers would change or remove of the records.
pub fn say_undone(topics: &[SourceTopic], configs: &BTreeMap<String, TargetConfigs>, now_ms: TimestampMs, ui: &mut Ui) {
    for topic in topics {
        let name = &topic.name;
        let setting = |setting: &str| effective(topic, configs.get(name), setting);
        let mut warn = |text: String, hint: &str| ui.warning(Problem::new("notice", text).hint(hint.to_owned()));
        if setting("message.timestamp.type") == Some("LogAppendTime") {
            warn(
                format!("topic '{name}': message.timestamp.type=LogAppendTime: records get the time of their arrival"),
                "keep theirs with message.timestamp.type=CreateTime while mirroring (kafka-configs.sh --alter)",
            );
        }
        let retention_ms = setting("retention.ms").and_then(|value| value.parse::<i64>().ok());
        let is_deleting = setting("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
        if let (Some(retention_ms), Some(oldest_ms), true) =
            (retention_ms.filter(|ms| *ms >= 0), topic.oldest_ms, is_deleting)
            && oldest_ms >= 0
            && oldest_ms < now_ms.saturating_sub(retention_ms)
        {
            warn(
                format!(
                    "topic '{name}': retention.ms={retention_ms} is shorter than the records' age: brokers remove them \
                     soon after they arrive"
                ),
                "lengthen it while mirroring (kafka-configs.sh --alter --add-config retention.ms=-1)",
            );
        }
        if setting("cleanup.policy").is_some_and(|policy| policy.contains("compact")) && !topic.is_compacted() {
            warn(
                format!("topic '{name}': cleanup.policy=compact in the cluster: records without a key are refused"),
                "see which there are with: logdir consume --json | jq 'select(.key == null)'",
            );
        }
        let bytes_max = |value: &str| value.parse::<u64>().ok();
        let here = topic.configs.get("max.message.bytes").and_then(|value| bytes_max(value));
        let target = setting("max.message.bytes").and_then(bytes_max);
        if let (Some(here), Some(target)) = (here, target)
            && target < here
        {
            warn(
                format!(
                    "topic '{name}': max.message.bytes is {here} here and {target} in the cluster: larger records are refused"
                ),
                "raise it there (kafka-configs.sh --alter --add-config max.message.bytes=...)",
            );
        }
    }
}

/// The largest batch that every topic takes, with room for its header.
pub fn batch_bytes(topics: &[SourceTopic], configs: &BTreeMap<String, TargetConfigs>) -> u64 {
    const DEFAULT: u64 = 1 << 20;
    const HEADROOM: u64 = 4096;
    let of_topic = |topic: &SourceTopic| {
        let value = effective(topic, configs.get(&topic.name), "max.message.bytes")?;
        value.parse::<u64>().ok()
    };
    let least = topics.iter().filter_map(of_topic).min().unwrap_or(DEFAULT).min(DEFAULT);
    least.saturating_sub(HEADROOM).max(least / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: i32, configs: &[(&str, &str)]) -> SourceTopic {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let held = (0..partitions).collect();
        SourceTopic { name: "t".into(), partitions, held, configs, is_known: true, oldest_ms: None }
    }

    fn there(partitions: i32) -> BTreeMap<String, TargetTopic> {
        BTreeMap::from([("t".to_owned(), TargetTopic { partitions, replicas: 1, has_leaders: true })])
    }

    #[test]
    fn another_number_of_partitions_is_refused() {
        for (here, target, refusals) in [(3, 3, 0), (3, 2, 1), (3, 4, 1)] {
            assert_eq!(wrong_counts(&[topic(here, &[])], &there(target)).len(), refusals, "{here} and {target}");
        }
        assert!(wrong_counts(&[topic(3, &[])], &BTreeMap::new()).is_empty());
    }

    #[test]
    fn partitions_that_no_directory_holds_are_named() {
        let some = Partitions::parse("0,4").unwrap();
        let cases: &[(&[i32], Option<&Partitions>, Option<&str>)] = &[
            (&[0, 1, 2, 3, 4, 5], None, None),
            (&[0, 2, 4], None, Some("partitions 1,3,5 are in none")),
            (&[0, 2, 4], Some(&some), None),
            (&[0, 2], Some(&some), Some("partitions 4 are in none")),
        ];
        for (held, wanted, expected) in cases {
            let topic = SourceTopic { held: held.iter().copied().collect(), ..topic(6, &[]) };
            let told = not_held(&[topic], *wanted);
            assert_eq!(told.len(), usize::from(expected.is_some()), "{held:?}");
            for (problem, expected) in told.iter().zip(*expected) {
                assert!(problem.to_string().contains(expected), "{held:?}: {problem}");
                assert_eq!(problem.ends_with(), Outcome::Findings);
            }
        }
        let many = SourceTopic { held: BTreeSet::from([0]), ..topic(31, &[]) };
        assert!(not_held(&[many], None)[0].to_string().contains("19,20 and 10 more are in none"));
    }

    #[test]
    fn topics_are_made_with_the_settings_that_mean_something_elsewhere() {
        let configs = [
            ("cleanup.policy", "compact"),
            ("leader.replication.throttled.replicas", "0:1"),
            ("remote.storage.enable", "true"),
            ("retention.ms", "5"),
        ];
        let made = to_make(&[topic(3, &configs)], &BTreeMap::new(), -1);
        let carried = [("cleanup.policy", "compact"), ("retention.ms", "5")];
        let carried = carried.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(made[0].configs, carried);
        assert!(to_make(&[topic(3, &configs)], &there(3), -1).is_empty());
    }

    #[test]
    fn a_batch_fits_every_topic() {
        for (max, expected) in [(None, (1 << 20) - 4096), (Some("100000"), 95_904), (Some("1000"), 500)] {
            let configs: Vec<_> = max.iter().map(|max| ("max.message.bytes", *max)).collect();
            assert_eq!(batch_bytes(&[topic(1, &configs)], &BTreeMap::new()), expected, "{max:?}");
        }
    }
}
