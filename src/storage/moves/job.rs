//! One partition directory that goes somewhere, and the names it has on its way.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::MoveError;
use crate::storage::fs::{self, StorageError};
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::swap;
use crate::types::TopicPartition;

/// File systems give room in blocks of this size.
const BLOCK_BYTES: u64 = 4 << 10;

/// What becomes of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It goes to another log directory of its broker, with what the checkpoints say of it.
    Move,
    /// Another broker gets a copy of it.
    Copy,
    /// It goes, because its broker is no replica any more.
    Drop,
}

impl Act {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Act::Move => "move",
            Act::Copy => "copy",
            Act::Drop => "drop",
        }
    }
}

/// How far a job came. What is noted here is on disk before the next step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was done.
    Planned,
    /// The copy is being made, under a name that a broker removes.
    Copying,
    /// It is whole and was read back.
    Verified,
    /// The original gets a name that a broker refuses, then the copy gets its own.
    Retiring,
    /// The partition is in its new place.
    Committed,
    /// The checkpoints of where it was say nothing of it any more.
    Checkpointed,
    /// Nothing is left to do.
    Done,
    /// It was taken back.
    Undone,
}

/// A file of the directory, as it was when the job was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// When it was last written to: seconds and nanoseconds.
    pub modified: (i64, i64),
}

/// A partition directory that goes somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// 32 hexadecimal digits that no other directory has.
    pub id: String,
    /// Its topic.
    topic: String,
    /// Its number.
    number: i32,
    /// What becomes of it.
    pub act: Act,
    /// The log directory it is in.
    #[serde(with = "path_text")]
    pub from: PathBuf,
    /// The log directory it goes to; where it is dropped, the one it is in.
    #[serde(with = "path_text")]
    pub to: PathBuf,
    /// It gets another name, in one step: both are on one file system.
    pub renames: bool,
    /// The copy takes the place of what the other broker has of it, which is not in sync and falls short of it.
    pub replaces: bool,
    /// What is in it: by this it is known again under another name.
    pub files: Vec<FileFacts>,
    /// Bytes that a copy of them takes on disk: holes take none.
    pub stored_bytes: u64,
    /// Where it is dropped, directories of the partition that stay: one of them at least has to be sound.
    #[serde(with = "path_text::list", default)]
    pub keeps: Vec<PathBuf>,
}

/// What is under a name that a job's directory has, had or is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    /// The directory of the job, or the copy of it, as it was when it was planned.
    Ours,
    /// Another one, or ours that was written to since.
    Other,
    /// None.
    Nothing,
}

impl Job {
    /// A job, after a look at the directory: it is there, a broker made all that is in it, and its place is not taken.
    pub fn new(
        id: String,
        partition: &TopicPartition,
        act: Act,
        from: &Path,
        to: Option<&Path>,
    ) -> Result<Job, MoveError> {
        Job::with(id, partition, (act, false), from, to)
    }

    /// A copy for another broker, in the place of what that has of it.
    pub fn replacing(id: String, partition: &TopicPartition, from: &Path, to: &Path) -> Result<Job, MoveError> {
        Job::with(id, partition, (Act::Copy, true), from, Some(to))
    }

    /// The end of a replica in `at`, when one of the directories in `keeps` is found to be sound.
    pub fn dropping(
        id: String,
        partition: &TopicPartition,
        at: &Path,
        keeps: impl IntoIterator<Item = PathBuf>,
    ) -> Result<Job, MoveError> {
        let absolute = |dir: PathBuf| dir.canonicalize().map_err(|error| StorageError::new(dir, error));
        let place = |log_dir: PathBuf| Ok(absolute(log_dir)?.join(partition.to_string()));
        let keeps = keeps.into_iter().map(place).collect::<Result<_, StorageError>>()?;
        Ok(Job { keeps, ..Job::with(id, partition, (Act::Drop, false), at, None)? })
    }

    fn with(
        id: String,
        partition: &TopicPartition,
        (act, replaces): (Act, bool),
        from: &Path,
        to: Option<&Path>,
    ) -> Result<Job, MoveError> {
        // A rerun may have another working directory.
        let absolute = |dir: &Path| dir.canonicalize().map_err(|error| StorageError::new(dir, error));
        let (from, to) = (absolute(from)?, absolute(to.unwrap_or(from))?);
        let (from, to) = (from.as_path(), to.as_path());
        let renames = act == Act::Move && on_one_file_system(from, to)?;
        let TopicPartition { topic, partition: number } = partition.clone();
        let (from, to) = (from.to_owned(), to.to_owned());
        let (files, stored_bytes) = (Vec::new(), 0);
        let keeps = Vec::new();
        let mut job = Job { id, topic, number, act, from, to, renames, replaces, files, stored_bytes, keeps };

        let source = job.source();
        let found = std::fs::symlink_metadata(&source).map_err(|error| StorageError::new(&source, error))?;
        if !found.is_dir() {
            return Err(MoveError::Link { path: source });
        }
        if act != Act::Drop {
            let target = job.target();
            match target.symlink_metadata() {
                Ok(found) if replaces && !found.is_dir() => return Err(MoveError::Link { path: target }),
                Ok(_) if !replaces => return Err(MoveError::Exists { path: target }),
                _ => {}
            }
        }
        job.look()?;
        Ok(job)
    }

    /// Notes what is in the directory now.
    pub(super) fn look(&mut self) -> Result<(), MoveError> {
        let source = self.source();
        self.files = facts_of(&source)?;
        self.stored_bytes = 0;
        for file in &self.files {
            let path = source.join(&file.name);
            let metadata = std::fs::metadata(&path).map_err(|error| StorageError::new(&path, error))?;
            // A file may be spread over blocks that hold less than they could.
            self.stored_bytes +=
                metadata.blocks().saturating_mul(512).min(metadata.len().next_multiple_of(BLOCK_BYTES));
        }
        Ok(())
    }

    /// What is there under one of its names.
    pub(super) fn under(&self, dir: &Path) -> Result<Under, MoveError> {
        if !fs::is_dir(dir)? {
            return Ok(Under::Nothing);
        }
        match facts_of(dir) {
            Ok(files) if files == self.files => Ok(Under::Ours),
            Err(MoveError::Storage(error)) => Err(error.into()),
            _ => Ok(Under::Other),
        }
    }

    /// Whether bytes are copied.
    pub fn copies(&self) -> bool {
        self.act != Act::Drop && !self.renames
    }

    /// The partition.
    pub fn partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.number)
    }

    /// Bytes that are written to the new place.
    pub fn bytes(&self) -> u64 {
        if self.copies() { self.files.iter().map(|file| file.len).sum() } else { 0 }
    }

    /// Where it is.
    pub fn source(&self) -> PathBuf {
        self.from.join(self.partition().to_string())
    }

    /// Where it goes.
    pub fn target(&self) -> PathBuf {
        self.to.join(self.partition().to_string())
    }

    /// The copy while it is made: a broker that starts removes it, and serves the partition itself.
    pub fn temporary(&self) -> PathBuf {
        self.to.join(PartitionDirName::suffixed(&self.partition(), DirKind::Delete, &self.id).to_string())
    }

    /// The original once the copy is whole: a broker does not start over such a name (`LogManager.loadLogs`), so that it never
    /// makes the partition anew and empty, and never removes one of the two.
    ///
    /// What follows the last hyphen is no number: `a-1.moved-2` would be partition 2 of a topic `a-1.moved`.
    pub fn retired(&self) -> PathBuf {
        let condemned = PartitionDirName::suffixed(&self.partition(), DirKind::Delete, &self.id);
        self.from.join(format!("{}.{}.moved", condemned.topic_partition, self.id))
    }

    /// The original when nothing needs it any more: a broker removes it.
    pub fn condemned(&self) -> PathBuf {
        self.from.join(PartitionDirName::suffixed(&self.partition(), DirKind::Delete, &self.id).to_string())
    }
}

/// Whether a rename brings a directory from one to the other. Two mounts of one file system are two.
fn on_one_file_system(from: &Path, to: &Path) -> Result<bool, StorageError> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let of = |dir: &Path| -> Result<(u64, Option<u64>), StorageError> {
        let device = std::fs::metadata(dir).map_err(|error| StorageError::new(dir, error))?.dev();
        let mount = statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID).ok();
        let told = |found: &rustix::fs::Statx| found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok((device, mount.filter(told).map(|found| found.stx_mnt_id)))
    };
    Ok(of(from)? == of(to)?)
}

/// What is in a partition directory. A broker makes plain files only: everything else is an error.
pub(super) fn facts_of(dir: &Path) -> Result<Vec<FileFacts>, MoveError> {
    let error = |error| StorageError::new(dir, error);
    let mut facts = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let path = entry.path();
        let metadata = std::fs::symlink_metadata(&path).map_err(|error| StorageError::new(&path, error))?;
        let name = match entry.file_name().into_string() {
            Ok(name) if metadata.is_file() => name,
            Ok(name) if name == swap::KEPT => return Err(MoveError::Kept { path }),
            _ => return Err(MoveError::NoFile { path }),
        };
        facts.push(FileFacts { name, len: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) });
    }
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(facts)
}

/// A path as text where it is text, else as bytes.
pub(super) mod path_text {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(serializer),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Text::deserialize(deserializer)? {
            Text::Text(text) => PathBuf::from(text),
            Text::Bytes(bytes) => PathBuf::from(OsStr::from_bytes(&bytes)),
        })
    }

    /// The same for several.
    pub mod list {
        use super::*;

        #[derive(Serialize, Deserialize)]
        struct One(#[serde(with = "super")] PathBuf);

        pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(paths.iter().map(|path| One(path.clone())))
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
            Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|one| one.0).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn job(topic: &str, from: &OsStr) -> Job {
        Job {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            topic: topic.to_owned(),
            number: 7,
            act: Act::Move,
            from: PathBuf::from(from),
            to: PathBuf::from("/d1"),
            renames: false,
            replaces: false,
            files: vec![FileFacts { name: "00000000000000000000.log".to_owned(), len: 5, modified: (6, 7) }],
            stored_bytes: 4096,
            keeps: vec![PathBuf::from("/d1/orders-7")],
        }
    }

    #[test]
    fn a_broker_refuses_the_name_of_a_retired_original_and_removes_an_unfinished_copy() {
        for topic in ["orders".to_owned(), "a-1.moved".to_owned(), "x".repeat(249)] {
            let job = job(&topic, OsStr::new("/d0"));
            let retired = job.retired();
            assert!(PartitionDirName::parse(retired.file_name().unwrap()).is_err(), "{}", retired.display());
            for gone in [job.temporary(), job.condemned()] {
                let parsed = PartitionDirName::parse(gone.file_name().unwrap()).unwrap();
                assert_eq!((parsed.kind, parsed.topic_partition.partition), (DirKind::Delete, 7), "{}", gone.display());
            }
            for path in [job.retired(), job.temporary(), job.condemned()] {
                assert!(path.file_name().unwrap().len() <= 255, "{}", path.display());
            }
        }
    }

    #[test]
    fn a_job_comes_back_from_its_text() {
        for from in [OsStr::new("/data/ü"), OsStr::from_bytes(b"/data/\xff")] {
            let job = job("orders", from);
            let text = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
        }
    }
}
