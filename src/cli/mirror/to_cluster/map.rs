//! `--map`: which offsets of the source became which offsets of the target, in runs.
//!
//! A file that is there is added to. A run that was killed may have left half a line, which goes, and may not have come to
//! writing what it had committed: the cluster's syncs tell of that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::json_row::JsonRow;
use crate::cli::ui::Problem;
use crate::cluster::mm2::Span;
use crate::cluster::runs::Mapped;
use crate::types::TopicPartition;

const HEADER: &str = "topic,partition,source_offset,target_offset,count\n";
/// How a line of JSON begins.
const ROW: &str = "{\"type\":\"run\",";
/// Longest line: names of topics are short.
const LINE_BYTES_MAX: u64 = 4096;

/// A file of runs.
pub struct MapFile {
    path: PathBuf,
    out: BufWriter<File>,
    is_json: bool,
    last: BTreeMap<TopicPartition, Last>,
}

/// The last run of a partition in the file.
struct Last {
    run: Mapped,
    /// It was added in this look at the syncs: what they tell of next comes right behind it.
    is_new: bool,
    /// Runs that the cluster tells of, and that may come behind it.
    behind: Vec<Mapped>,
}

impl MapFile {
    /// Opens a file for adding to it, or makes it; its name says which of the two forms it has. One that holds something else
    /// is left alone.
    pub fn open(path: &Path) -> anyhow::Result<MapFile> {
        let shown = || path.display().to_string();
        let is_json = path.extension().is_some_and(|kind| kind == "json" || kind == "ndjson");
        let is_there = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
        let (len, last) = if is_there { look(path, is_json)? } else { (0, BTreeMap::new()) };
        let file = File::options().append(true).create(true).open(path).with_context(shown)?;
        if is_there {
            file.set_len(len).with_context(shown)?;
        }
        let mut map = MapFile { path: path.to_owned(), out: BufWriter::new(file), is_json, last };
        if !is_json && len == 0 {
            map.written(|out| out.write_all(HEADER.as_bytes()))?;
        }
        map.flush()?;
        Ok(map)
    }

    /// Compares the file with a sync of the cluster; they come in the order in which they were written.
    pub fn compare(&mut self, partition: &TopicPartition, span: &Span) -> anyhow::Result<()> {
        let Some(newest) = span.runs.last().copied() else { return Ok(()) };
        match self.last.get_mut(partition) {
            Some(last) if !last.is_new => {
                if let Some(at) = span.runs.iter().rposition(|run| *run == last.run) {
                    last.behind.clear();
                    last.behind.extend_from_slice(&span.runs[at + 1..]);
                } else if newest.source_end() > last.run.source_end() || newest.target_end() > last.run.target_end() {
                    last.behind.extend_from_slice(&span.runs);
                }
                return Ok(());
            }
            Some(last) => last.run = newest,
            None => {
                self.last.insert(partition.clone(), Last { run: newest, is_new: true, behind: Vec::new() });
            }
        }
        self.add(partition, &span.runs)
    }

    /// Adds what the file does not have, once all syncs were compared.
    pub fn catch_up(&mut self) -> anyhow::Result<()> {
        let mut last = std::mem::take(&mut self.last);
        for (partition, last) in &mut last {
            let behind = std::mem::take(&mut last.behind);
            self.add(partition, &behind)?;
            (last.run, last.is_new) = (behind.last().copied().unwrap_or(last.run), false);
        }
        self.last = last;
        self.flush()
    }

    fn written(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> anyhow::Result<()> {
        write(&mut self.out).with_context(|| self.path.display().to_string())
    }

    /// Adds runs of a partition. Those of a transaction belong here once it is committed.
    pub fn add(&mut self, partition: &TopicPartition, runs: &[Mapped]) -> anyhow::Result<()> {
        let is_json = self.is_json;
        self.written(|out| {
            for run in runs {
                let mut line = Vec::new();
                if is_json {
                    JsonRow::new("run")
                        .field("topic", partition.topic.clone())
                        .field("partition", partition.partition)
                        .field("source_offset", run.source)
                        .field("target_offset", run.target)
                        .field("count", run.count)
                        .write(&mut line);
                } else {
                    // A topic's name needs no quotes.
                    let Mapped { source, target, count } = run;
                    writeln!(line, "{},{},{source},{target},{count}", partition.topic, partition.partition)?;
                }
                out.write_all(&line)?;
            }
            Ok(())
        })
    }

    /// What was added goes to the file.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.written(Write::flush)
    }
}

/// Bytes of whole lines in a file of runs, and the last run of each partition.
fn look(path: &Path, is_json: bool) -> anyhow::Result<(u64, BTreeMap<TopicPartition, Last>)> {
    let foreign = |line: u64| {
        let problem = Problem::usage(format!("--map: line {line} is none of a map: the file is left as it is"));
        anyhow::Error::from(problem.path(path).hint("name a file that is not there, or one that --map has written"))
    };
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    let (mut whole, mut last) = (0, BTreeMap::new());
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.with_context(|| path.display().to_string())?;
        let start = if is_json { ROW } else { HEADER }.as_bytes();
        if line.last() != Some(&b'\n') {
            let is_cut = (number > 1 && !is_json) || start.starts_with(&line) || line.starts_with(start);
            let is_last = (line.len() as u64) < LINE_BYTES_MAX;
            return if is_cut && is_last { Ok((whole, last)) } else { Err(foreign(number)) };
        }
        whole += line.len() as u64;
        if number == 1 && !is_json {
            if line != start {
                return Err(foreign(number));
            }
            continue;
        }
        let parsed =
            std::str::from_utf8(&line).ok().and_then(|line| if is_json { of_json(line) } else { of_csv(line) });
        let (partition, run) = parsed.ok_or_else(|| foreign(number))?;
        last.insert(partition, Last { run, is_new: false, behind: Vec::new() });
    }
    Ok((whole, last))
}

fn of_csv(line: &str) -> Option<(TopicPartition, Mapped)> {
    let mut fields = line.trim_end().split(',');
    let partition = TopicPartition::new(fields.next()?, fields.next()?.parse().ok()?);
    let (source, target) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let run = Mapped { source, target, count: fields.next()?.parse().ok()? };
    fields.next().is_none().then_some((partition, run))
}

fn of_json(line: &str) -> Option<(TopicPartition, Mapped)> {
    let row: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| row[name].as_i64();
    let partition = TopicPartition::new(row["topic"].as_str()?, i32::try_from(number("partition")?).ok()?);
    let (source, target) = (number("source_offset")?, number("target_offset")?);
    Some((partition, Mapped { source, target, count: row["count"].as_u64()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_csv_or_json_by_the_name_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for (name, expected) in [
            ("map.csv", "topic,partition,source_offset,target_offset,count\norders,3,7,5,2\n"),
            (
                "map.ndjson",
                "{\"type\":\"run\",\"topic\":\"orders\",\"partition\":3,\"source_offset\":7,\"target_offset\":5,\"count\":2}\n",
            ),
        ] {
            let path = dir.path().join(name);
            let mut map = MapFile::open(&path).unwrap();
            map.add(&TopicPartition::new("orders", 3), &[Mapped { source: 7, target: 5, count: 2 }]).unwrap();
            map.flush().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "{name}");
        }
    }

    const PARTITION: (&str, i32) = ("orders", 3);

    fn partition() -> TopicPartition {
        TopicPartition::new(PARTITION.0, PARTITION.1)
    }

    fn run(source: i64, target: i64) -> Mapped {
        Mapped { source, target, count: 2 }
    }

    fn span(runs: &[Mapped]) -> Span {
        let (upstream, downstream) = runs.last().map_or((0, 0), |run| (run.source_end(), run.target_end()));
        Span { from: 0, upstream, downstream, runs: runs.to_vec() }
    }

    fn written(name: &str, runs: &[Mapped]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut map = MapFile::open(&dir.path().join(name)).unwrap();
        map.add(&partition(), runs).unwrap();
        map.flush().unwrap();
        std::fs::read_to_string(dir.path().join(name)).unwrap()
    }

    #[test]
    fn a_map_is_added_to_wherever_it_was_cut() {
        let all = [run(0, 0), run(2, 3), run(7, 8), run(9, 11)];
        // Two transactions; compaction of the syncs may have taken the first.
        let syncs = [span(&all[..2]), span(&all[2..])];
        for name in ["map.csv", "map.json"] {
            let whole = written(name, &all);
            for len in 0..=whole.len() {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join(name);
                std::fs::write(&path, &whole[..len]).unwrap();
                let mut map = MapFile::open(&path).unwrap();
                // Looked at twice: nothing is added twice.
                for _ in 0..2 {
                    syncs.iter().for_each(|sync| map.compare(&partition(), sync).unwrap());
                    map.catch_up().unwrap();
                }
                drop(map);
                assert_eq!(std::fs::read_to_string(&path).unwrap(), whole, "{name}, cut at {len}");
            }
        }
    }

    #[test]
    fn a_run_of_a_topic_that_was_made_again_is_missing_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.csv");
        std::fs::write(&path, written("map.csv", &[run(70, 80)])).unwrap();
        let mut map = MapFile::open(&path).unwrap();
        for sync in [span(&[run(50, 60)]), span(&[run(70, 80)]), span(&[run(0, 90)])] {
            map.compare(&partition(), &sync).unwrap();
        }
        map.catch_up().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written("map.csv", &[run(70, 80), run(0, 90)]));
    }

    #[test]
    fn a_file_of_somebody_elses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let header = HEADER.trim_end();
        for (name, text) in [
            ("map.csv", "important\n".to_owned()),
            ("map.csv", "important".to_owned()),
            ("map.csv", format!("{HEADER}a,b,c\n")),
            ("map.csv", format!("{header},more\n")),
            ("map.csv", format!("{HEADER}{}", "x".repeat(10_000))),
            ("map.json", "{\"type\":\"other\"}\n".to_owned()),
            ("map.json", "[1, 2".to_owned()),
            ("map.json", "[1, 2]\n".to_owned()),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, &text).unwrap();
            let error = MapFile::open(&path).err().unwrap();
            assert!(error.to_string().contains("is none of a map"), "{text}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
