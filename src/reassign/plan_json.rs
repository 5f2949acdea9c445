//! The JSON of `kafka-reassign-partitions.sh`: plans, topics to move, and what `--generate` prints
//! (`ReassignPartitionsCommand` of Kafka 4.3).

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use serde::Deserialize;
use thiserror::Error;

/// What the tool calls a log directory that is left to the broker (`ReassignPartitionsCommand.ANY_LOG_DIR`).
pub const ANY_LOG_DIR: &str = "any";

/// The replicas of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PlannedPartition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Ids of brokers; the first is the preferred leader.
    pub replicas: Vec<i32>,
    /// The log directory of each, or [`ANY_LOG_DIR`]; none where nothing is said.
    #[serde(default)]
    pub log_dirs: Option<Vec<String>>,
}

/// Why a text is no plan.
#[derive(Debug, Error)]
pub enum PlanJsonError {
    /// It is not JSON of the right shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error("its version is {0}; only 1 is known")]
    Version(i64),
    /// A partition or topic comes twice.
    #[error("{0} is named twice")]
    Twice(String),
    /// As many log directories as replicas are needed.
    #[error("{partition}: {log_dirs} log_dirs for {replicas} replicas")]
    LogDirs {
        /// The partition.
        partition: String,
        /// How many there are.
        log_dirs: usize,
        /// How many replicas there are.
        replicas: usize,
    },
    /// A replica list that no partition can have.
    #[error("{partition}: {reason}")]
    Replicas {
        /// The partition.
        partition: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no JSON object in it.
    #[error("there is no JSON object in it")]
    Nothing,
}

#[derive(Deserialize)]
struct PlanText {
    #[serde(default = "version_1")]
    version: i64,
    partitions: Vec<PlannedPartition>,
}

#[derive(Deserialize)]
struct TopicsText {
    #[serde(default = "version_1")]
    version: i64,
    topics: Vec<TopicText>,
}

#[derive(Deserialize)]
struct TopicText {
    topic: String,
}

const fn version_1() -> i64 {
    1
}

/// Reads a plan, or the output of `--generate` and `--execute`, of which the first object is the current state.
///
/// Unknown keys are ignored, as the tool does.
pub fn parse_plan(text: &str) -> Result<Vec<PlannedPartition>, PlanJsonError> {
    let start = text.find('{').ok_or(PlanJsonError::Nothing)?;
    let mut objects = serde_json::Deserializer::from_str(text.get(start..).unwrap_or_default()).into_iter::<PlanText>();
    let plan = objects.next().ok_or(PlanJsonError::Nothing)??;
    check_version(plan.version)?;
    let mut seen = HashSet::with_capacity(plan.partitions.len());
    let mut sorted = Vec::new();
    for it in &plan.partitions {
        let name = || format!("{}-{}", it.topic, it.partition);
        if !seen.insert((&it.topic, it.partition)) {
            return Err(PlanJsonError::Twice(name()));
        }
        if let Some(log_dirs) = it.log_dirs.as_ref().filter(|log_dirs| log_dirs.len() != it.replicas.len()) {
            let (log_dirs, replicas) = (log_dirs.len(), it.replicas.len());
            return Err(PlanJsonError::LogDirs { partition: name(), log_dirs, replicas });
        }
        let replicas = |reason: String| Err(PlanJsonError::Replicas { partition: name(), reason });
        if it.partition < 0 {
            return replicas("partitions are numbered from 0".to_owned());
        }
        if it.replicas.is_empty() {
            return replicas("it has no replica".to_owned());
        }
        sorted.clone_from(&it.replicas);
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return replicas(format!("a broker is named twice in {:?}", it.replicas));
        }
    }
    Ok(plan.partitions)
}

/// Reads the topics to move.
pub fn parse_topics(text: &str) -> Result<Vec<String>, PlanJsonError> {
    let topics: TopicsText = serde_json::from_str(text)?;
    check_version(topics.version)?;
    let mut seen = BTreeSet::new();
    for topic in &topics.topics {
        if !seen.insert(&topic.topic) {
            return Err(PlanJsonError::Twice(format!("topic '{}'", topic.topic)));
        }
    }
    Ok(topics.topics.into_iter().map(|it| it.topic).collect())
}

const fn check_version(version: i64) -> Result<(), PlanJsonError> {
    if version == 1 { Ok(()) } else { Err(PlanJsonError::Version(version)) }
}

/// The line that the tool prints: no spaces, in the order of topics and partitions that it is given in.
pub fn write_plan(partitions: &[PlannedPartition]) -> String {
    let mut out = String::from("{\"version\":1,\"partitions\":[");
    for (number, it) in partitions.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        let topic = serde_json::Value::String(it.topic.clone());
        let _ = write!(out, "{{\"topic\":{topic},\"partition\":{},\"replicas\":[", it.partition);
        for (number, replica) in it.replicas.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            let _ = write!(out, "{comma}{replica}");
        }
        out.push_str("],\"log_dirs\":[");
        for number in 0..it.replicas.len() {
            let log_dir = it.log_dirs.as_ref().and_then(|log_dirs| log_dirs.get(number));
            let log_dir = serde_json::Value::String(log_dir.map_or(ANY_LOG_DIR, String::as_str).to_owned());
            let comma = if number > 0 { "," } else { "" };
            let _ = write!(out, "{comma}{log_dir}");
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"{"version":1,"partitions":[{"topic":"alpha","partition":0,"replicas":[2,1],"log_dirs":["any","/data/d1"]},{"topic":"beta","partition":1,"replicas":[3],"log_dirs":["any"]}]}"#;

    #[test]
    fn a_plan_comes_back_to_the_byte() {
        let plan = parse_plan(PLAN).unwrap();
        assert_eq!(plan.len(), 2);
        assert_eq!(write_plan(&plan), PLAN);
        assert_eq!(write_plan(&[]), r#"{"version":1,"partitions":[]}"#);
    }

    #[test]
    fn of_the_tools_output_the_first_object_counts() {
        let text = format!(
            "Current partition replica assignment\n{PLAN}\n\nProposed partition reassignment configuration\n{{\"version\":1,\"partitions\":[]}}\n"
        );
        assert_eq!(parse_plan(&text).unwrap(), parse_plan(PLAN).unwrap());
        let bare = r#"{"partitions":[{"topic":"a","partition":0,"replicas":[1],"other":5}]}"#;
        assert_eq!(parse_plan(bare).unwrap()[0].log_dirs, None);
    }

    #[test]
    fn what_the_tool_refuses_is_refused() {
        for (text, said) in [
            ("nothing", "there is no JSON object in it"),
            (r#"{"version":2,"partitions":[]}"#, "its version is 2; only 1 is known"),
            (
                r#"{"partitions":[{"topic":"a","partition":0,"replicas":[1]},{"topic":"a","partition":0,"replicas":[2]}]}"#,
                "a-0 is named twice",
            ),
            (
                r#"{"partitions":[{"topic":"a","partition":0,"replicas":[1,2],"log_dirs":["any"]}]}"#,
                "a-0: 1 log_dirs for 2 replicas",
            ),
            (
                r#"{"partitions":[{"topic":"a","partition":0,"replicas":[1,1]}]}"#,
                "a-0: a broker is named twice in [1, 1]",
            ),
            (r#"{"partitions":[{"topic":"a","partition":0,"replicas":[]}]}"#, "a-0: it has no replica"),
            (r#"{"partitions":[{"topic":"a","replicas":[1]}]}"#, "missing field `partition`"),
        ] {
            let error = parse_plan(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        let twice = r#"{"topics":[{"topic":"a"},{"topic":"a"}]}"#;
        assert_eq!(parse_topics(twice).unwrap_err().to_string(), "topic 'a' is named twice");
        assert_eq!(parse_topics(r#"{"version":1,"topics":[{"topic":"a"},{"topic":"b"}]}"#).unwrap(), ["a", "b"]);
    }
}
