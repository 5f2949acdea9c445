//! Files of offsets: Kafka's CSV, or the JSON of `groups export`, a row a line.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::csv;
use super::write::file_problem;
use crate::cli::ui::{Problem, Ui};
use crate::schema::coordinator::group::CommittedOffset;
use crate::storage::names::check_topic_name;
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition, Uuid};

/// Lines that are told one by one.
const TOLD_MAX: usize = 20;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Whose; `None` where the file leaves it to its reader.
    pub group: Option<String>,
    /// Where.
    pub partition: TopicPartition,
    /// What was committed there.
    pub offset: Offset,
    /// What the file says beside it; CSV says nothing.
    pub beside: Option<Beside>,
}

/// What stands beside an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    leader_epoch: Option<LeaderEpoch>,
    metadata: String,
    commit_ms: Option<TimestampMs>,
    expire_ms: Option<TimestampMs>,
    topic_id: Option<Uuid>,
}

impl Planned {
    /// What is to be committed: at `now_ms`, where the file does not say when. As `AdminClient.alterConsumerGroupOffsets` has
    /// it where the file says nothing: no epoch, no metadata.
    pub fn committed(&self, now_ms: TimestampMs) -> CommittedOffset {
        let beside = self.beside.as_ref();
        CommittedOffset {
            offset: self.offset,
            leader_epoch: beside.and_then(|it| it.leader_epoch),
            metadata: beside.map(|it| it.metadata.clone()).unwrap_or_default(),
            commit_ms: beside.and_then(|it| it.commit_ms).unwrap_or(now_ms),
            expire_ms: beside.and_then(|it| it.expire_ms),
            topic_id: beside.and_then(|it| it.topic_id),
        }
    }
}

/// A line of JSON, as `groups export --json` writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(rename = "type")]
    kind: Option<String>,
    group: String,
    topic: String,
    partition: i32,
    offset: i64,
    leader_epoch: Option<i32>,
    metadata: Option<String>,
    commit_ms: Option<TimestampMs>,
    expire_ms: Option<TimestampMs>,
    topic_id: Option<String>,
}

/// Reads a file, `-` for stdin, as a whole: one line that is not understood, and nothing of it counts. Such lines are told
/// each with its number.
pub fn read(path: &Path, ui: &mut Ui) -> anyhow::Result<Vec<Planned>> {
    let is_stdin = path.as_os_str() == "-";
    let text = if is_stdin { std::io::read_to_string(std::io::stdin().lock()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|error| file_problem(path, error))?;
    let (rows, mut wrong) = parse(&text);
    let more = wrong.len().saturating_sub(TOLD_MAX);
    wrong.truncate(TOLD_MAX);
    let mut problems = wrong.into_iter().map(|said| Problem::new("malformed", said).path(path));
    let last = problems.next_back();
    problems.for_each(|problem| ui.error(problem));
    match last {
        None if rows.is_empty() => Err(Problem::new("malformed", "holds no offsets").path(path).into()),
        None => Ok(rows),
        Some(last) => {
            let rest = if more > 0 { format!("{more} more lines are wrong; ") } else { String::new() };
            Err(last.hint(format!("{rest}nothing of the file is taken while a line of it is wrong")).into())
        }
    }
}

/// The rows of a text, and what is wrong with its other lines.
fn parse(text: &str) -> (Vec<Planned>, Vec<String>) {
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    let mut seen: HashMap<(Option<String>, TopicPartition), usize> = HashMap::new();
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut lines = lines.filter(|(_, line)| !line.trim().is_empty()).peekable();
    // A group's name may begin with a brace, but no CSV line ends with one.
    let is_json =
        lines.peek().is_some_and(|(_, line)| line.trim_start().starts_with('{') && line.trim_end().ends_with('}'));
    for (number, line) in lines {
        let row = match if is_json { parse_json(line) } else { parse_csv(line) } {
            Ok(row) => row,
            Err(said) => {
                wrong.push(format!("line {number}: {said}"));
                continue;
            }
        };
        let key = (row.group.clone(), row.partition.clone());
        if let Some(first) = seen.insert(key, number) {
            wrong.push(format!("line {number}: {} is in line {first} already", row.partition));
        }
        rows.push(row);
    }
    (rows, wrong)
}

fn parse_csv(line: &str) -> Result<Planned, String> {
    let (group, partition, offset) = csv::parse_row(line)?;
    checked(Planned { group, partition, offset: Offset::new(offset), beside: None }, 0)
}

fn parse_json(line: &str) -> Result<Planned, String> {
    let row: Row = serde_json::from_str(line).map_err(|error| error.to_string().replace(" at line 1", ""))?;
    if let Some(kind) = row.kind.filter(|kind| kind != "offset") {
        return Err(format!("a row of type '{kind}', not 'offset'"));
    }
    let topic_id = match row.topic_id {
        Some(text) => Some(Uuid::parse(&text).ok_or_else(|| format!("'{text}' is no topic id"))?),
        None => None,
    };
    if let Some(time) = [row.commit_ms, row.expire_ms].into_iter().flatten().find(|time| *time < 0) {
        return Err(format!("{time} is no time in ms"));
    }
    if let Some(epoch) = row.leader_epoch.filter(|epoch| *epoch < 0) {
        return Err(format!("{epoch} is no leader epoch"));
    }
    let beside = Beside {
        leader_epoch: row.leader_epoch.map(LeaderEpoch),
        metadata: row.metadata.unwrap_or_default(),
        commit_ms: row.commit_ms,
        expire_ms: row.expire_ms,
        topic_id,
    };
    let partition = TopicPartition::new(row.topic, row.partition);
    // -1 stands in directories that old clients wrote to: nothing is committed there.
    checked(Planned { group: Some(row.group), partition, offset: Offset::new(row.offset), beside: Some(beside) }, -1)
}

fn checked(row: Planned, least: i64) -> Result<Planned, String> {
    check_topic_name(&row.partition.topic).map_err(|reason| format!("topic '{}': {reason}", row.partition.topic))?;
    if row.partition.partition < 0 {
        return Err(format!("partition {} is below 0", row.partition.partition));
    }
    if row.offset.get() < least {
        return Err(format!("offset {} is below 0", row.offset));
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_the_first_line() {
        let (rows, wrong) = parse("\n{a},orders,0,5\ng,orders,1,6\n\n");
        assert_eq!((rows.len(), wrong), (2, Vec::new()));
        assert_eq!(rows[0].group.as_deref(), Some("{a}"));
        let json = r#"{"type":"offset","group":"g","topic":"t","partition":1,"offset":7,"leader_epoch":3,"metadata":"m","commit_ms":5,"expire_ms":null,"topic_id":null}"#;
        let (rows, wrong) = parse(json);
        assert_eq!(wrong, Vec::<String>::new());
        let committed = rows[0].committed(99);
        assert_eq!(
            (committed.offset, committed.leader_epoch, committed.commit_ms),
            (Offset::new(7), Some(LeaderEpoch(3)), 5)
        );
        assert_eq!((committed.metadata.as_str(), committed.expire_ms, committed.topic_id), ("m", None, None));
        let (rows, wrong) = parse(&format!("{json}\ng,t,1,5"));
        assert!(rows.len() == 1 && wrong[0].starts_with("line 2: expected"), "{wrong:?}");
    }

    #[test]
    fn every_bad_line_is_told() {
        for (text, said) in [
            ("orders,0", "line 1: 2 cells"),
            ("\n\norders,-1,5", "line 3: partition -1 is below 0"),
            ("orders,0,-5", "line 1: offset -5 is below 0"),
            ("or/ders,0,5", "line 1: topic 'or/ders'"),
            ("g,orders,0,5\ng,orders,0,6", "line 2: orders-0 is in line 1 already"),
            (r#"{"group":"g","topic":"t","partition":0}"#, "line 1: missing field `offset`"),
            (r#"{"group":"g","topic":"t","partition":0,"offset":1,"x":1}"#, "line 1: unknown field `x`"),
            (r#"{"group":"g","topic":"t","partition":0,"offset":-2}"#, "offset -2 is below 0"),
            (r#"{"group":"g","topic":"t","partition":0,"offset":1,"topic_id":"x"}"#, "'x' is no topic id"),
            (r#"{"group":"g","topic":"t","partition":0,"offset":1,"commit_ms":-2}"#, "-2 is no time"),
            (r#"{"type":"error","group":"g","topic":"t","partition":0,"offset":1}"#, "of type 'error'"),
        ] {
            let (_, wrong) = parse(text);
            assert!(wrong.len() == 1 && wrong[0].contains(said), "{text:?}: {wrong:?}");
        }
        assert_eq!(parse("a\nb\nc,0,1\nd").1.len(), 3);
    }
}
