//! `--map`: which offsets of the source became which offsets of the target, in runs, as this run wrote them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::json_row::JsonRow;
use crate::cluster::runs::Mapped;
use crate::types::TopicPartition;

/// A file of runs.
pub struct MapFile {
    path: PathBuf,
    out: BufWriter<File>,
    is_json: bool,
}

impl MapFile {
    /// Makes the file; its name says which of the two forms it has.
    pub fn create(path: &Path) -> anyhow::Result<MapFile> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let is_json = path.extension().is_some_and(|kind| kind == "json" || kind == "ndjson");
        let mut map = MapFile { path: path.to_owned(), out: BufWriter::new(file), is_json };
        if !is_json {
            map.written(|out| out.write_all(b"topic,partition,source_offset,target_offset,count\n"))?;
        }
        Ok(map)
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
            let mut map = MapFile::create(&path).unwrap();
            map.add(&TopicPartition::new("orders", 3), &[Mapped { source: 7, target: 5, count: 2 }]).unwrap();
            map.flush().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "{name}");
        }
    }
}
