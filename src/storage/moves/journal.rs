//! What a run is about to do, on disk before it does it.
//!
//! A plain file in one of the log directories, which a broker ignores:
//! ```text
//! 9f3a01c4 [{"run":{"version":1,"id":"…","log_dirs":["/d0","/d1"]}}]
//! 1c00b2d7 [{"job":[0,{"id":"…","topic":"orders","number":0,"act":"move","from":"/d0","to":"/d1",…}]}]
//! 77e012aa [{"state":[0,"copying"]},{"state":[1,"copying"]}]
//! e01b33c0 [{"file":[0,"00000000000000000000.log",1048576,305419896]}]
//! ```
//! Each line is what was noted at once, and begins with the CRC-32C of the rest of it. A last line that is cut or does not
//! match does not count: what it announced had not begun. Anywhere else it is damage. The other log directories have a
//! marker, which says where the journal is.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::MoveError;
use super::job::{Job, State, path_text};
use crate::crc::crc32c;
use crate::storage::fs::{self, Opening, StorageError};
use crate::storage::meta_properties;

/// How the names of journals and markers begin.
const NAME: &str = ".logdir-reassign-";
/// How the name of a marker ends.
const MARKER: &str = ".at";
/// How the name of a journal of a finished run ends.
const DONE: &str = ".done";
/// The only version.
const VERSION: u32 = 1;
/// A million jobs of a hundred files each stay below this.
const BYTES_MAX: u64 = 16 << 30;

/// One thing that is noted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Run {
        version: u32,
        id: String,
        #[serde(with = "path_text::list")]
        log_dirs: Vec<PathBuf>,
        #[serde(default)]
        undoes: Option<String>,
        #[serde(default)]
        throttle: Option<u64>,
    },
    /// A job, or one that is planned anew.
    Job(usize, Job),
    State(usize, State),
    /// A file that was copied: its length and the CRC-32C of its bytes.
    File(usize, String, u64, u32),
    /// Every job is done or undone.
    End,
}

/// A job and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// What is to be done.
    pub job: Job,
    /// How far it came.
    pub state: State,
    /// Files that were copied: name, length, CRC-32C.
    pub copied: Vec<(String, u64, u32)>,
}

/// A run, as its journal tells.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    id: String,
    log_dirs: Vec<PathBuf>,
    /// The jobs.
    pub jobs: Vec<Tracked>,
    /// The run that this one takes back.
    pub undoes: Option<String>,
    /// Bytes a second that it was begun with.
    pub throttle: Option<u64>,
    /// Whether nothing is left to do.
    pub has_ended: bool,
    file: Option<File>,
    /// Something could not be noted: what is on disk behind what was noted before is not known.
    is_broken: bool,
    end: u64,
}

/// What is found of runs in log directories.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Journals of runs that were interrupted.
    pub open: Vec<PathBuf>,
    /// Journals of runs that came to their end, the newest last.
    pub done: Vec<PathBuf>,
    /// What a crash left of a run that never began, or has ended: markers whose journal is gone, and temporary files.
    pub stale: Vec<PathBuf>,
    /// Journals that markers speak of, in log directories that are not there.
    pub unreachable: Vec<PathBuf>,
}

/// Looks for journals in `log_dirs`, and where markers in them say there is one. Reads only.
pub fn find(log_dirs: &[PathBuf]) -> Result<Found, StorageError> {
    let mut found = Found::default();
    let mut done = Vec::new();
    for dir in log_dirs {
        let error = |error| StorageError::new(dir, error);
        for entry in std::fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(rest) = name.strip_prefix(NAME) else { continue };
            let path = entry.path();
            if !fs::is_file(&path)? {
                continue;
            }
            if rest.ends_with(".tmp") {
                found.stale.push(path);
            } else if rest.ends_with(DONE) {
                let metadata = entry.metadata().map_err(error)?;
                done.push((metadata.modified().map_err(error)?, path));
            } else if rest.ends_with(MARKER) {
                let bytes = fs::read_small(&path, fs::PROPERTIES_BYTES_MAX)?;
                let journal = PathBuf::from(OsString::from_vec(bytes));
                let is_log_dir = |dir: &Path| dir.join(meta_properties::FILE_NAME).is_file();
                if fs::is_file(&journal)? {
                    found.open.push(journal);
                } else if journal.parent().is_some_and(is_log_dir) {
                    found.stale.push(path);
                } else {
                    // Its disk is not mounted.
                    found.unreachable.push(journal);
                }
            } else {
                found.open.push(path);
            }
        }
    }
    let absolute = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    found.open.sort_by_key(absolute);
    found.open.dedup_by_key(|path| absolute(path));
    done.sort();
    found.unreachable.sort();
    found.unreachable.dedup();
    found.done = done.into_iter().map(|(_, path)| path).collect();
    found.done.dedup();
    Ok(found)
}

impl Journal {
    fn new(
        path: PathBuf,
        id: String,
        log_dirs: Vec<PathBuf>,
        undoes: Option<String>,
        throttle: Option<u64>,
    ) -> Journal {
        let (jobs, has_ended, file, is_broken, end) = (Vec::new(), false, None, false, 0);
        Journal { path, id, log_dirs, jobs, undoes, throttle, has_ended, file, is_broken, end }
    }

    /// Begins a run; on disk when it returns. The log directories are those that it touches.
    pub(super) fn begin(
        id: String,
        log_dirs: &[PathBuf],
        jobs: Vec<Job>,
        undoes: Option<String>,
        throttle: Option<u64>,
    ) -> Result<Journal, MoveError> {
        let absolute = |dir: &PathBuf| dir.canonicalize().map_err(|error| StorageError::new(dir, error));
        let log_dirs = log_dirs.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
        let Some((first, others)) = log_dirs.split_first() else { return Err(MoveError::Nothing) };
        let path = first.join(format!("{NAME}{id}"));
        for dir in others {
            fs::replace_atomic(&dir.join(format!("{NAME}{id}{MARKER}")), path.as_os_str().as_bytes())?;
        }
        let tracked = |job| Tracked { job, state: State::Planned, copied: Vec::new() };
        let mut journal = Journal::new(path, id, log_dirs, undoes, throttle);
        journal.jobs = jobs.into_iter().map(tracked).collect();
        let mut text = text_of(&[journal.head()]);
        for (number, tracked) in journal.jobs.iter().enumerate() {
            text.push_str(&text_of(&[Note::Job(number, tracked.job.clone())]));
        }
        fs::replace_atomic(&journal.path, text.as_bytes())?;
        journal.end = text.len() as u64;
        Ok(journal)
    }

    fn head(&self) -> Note {
        let (id, log_dirs) = (self.id.clone(), self.log_dirs.clone());
        Note::Run { version: VERSION, id, log_dirs, undoes: self.undoes.clone(), throttle: self.throttle }
    }

    /// Reads the journal at `path`. Reads only.
    pub fn read(path: &Path) -> Result<Journal, MoveError> {
        let bytes = fs::read_small(path, BYTES_MAX)?;
        let damaged = |position: usize, what: &str| {
            Err(MoveError::Journal { path: path.to_owned(), position: position as u64, what: what.to_owned() })
        };
        let mut journal: Option<Journal> = None;
        let mut position = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(notes) = parse(line) else {
                // Cut by a crash it is the last one.
                let rest = bytes.get(position + line.len()..).unwrap_or_default();
                if rest.split_inclusive(|byte| *byte == b'\n').any(|line| parse(line).is_some()) {
                    return damaged(position, "a line does not have its checksum, and others follow that have theirs");
                }
                break;
            };
            for note in notes {
                match (note, &mut journal) {
                    (Note::Run { version, id, log_dirs, undoes, throttle }, None) => {
                        if version != VERSION {
                            return damaged(position, &format!("its version is {version}, expected {VERSION}"));
                        }
                        journal = Some(Journal::new(path.to_owned(), id, log_dirs, undoes, throttle));
                    }
                    (note, Some(journal)) => {
                        if !journal.take(note) {
                            return damaged(position, "what it says does not follow from what it said before");
                        }
                    }
                    (_, None) => return damaged(position, "it does not begin as a journal does"),
                }
            }
            position += line.len();
        }
        let Some(mut journal) = journal.filter(|journal| !journal.jobs.is_empty()) else {
            return damaged(0, "it has no jobs");
        };
        journal.end = position as u64;
        Ok(journal)
    }

    /// Takes in a note; `false` where it speaks of what is not there.
    fn take(&mut self, note: Note) -> bool {
        match note {
            Note::Job(number, job) if number == self.jobs.len() => {
                self.jobs.push(Tracked { job, state: State::Planned, copied: Vec::new() });
            }
            Note::Job(number, job) => match self.jobs.get_mut(number) {
                Some(tracked) => *tracked = Tracked { job, state: State::Planned, copied: Vec::new() },
                None => return false,
            },
            Note::State(number, state) => match self.jobs.get_mut(number) {
                Some(tracked) => tracked.state = state,
                None => return false,
            },
            Note::File(number, name, len, crc) => match self.jobs.get_mut(number) {
                Some(tracked) => {
                    tracked.copied.retain(|(known, ..)| *known != name);
                    tracked.copied.push((name, len, crc));
                }
                None => return false,
            },
            Note::End => self.has_ended = true,
            Note::Run { .. } => return false,
        }
        true
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log directories that the run touches.
    pub fn log_dirs(&self) -> &[PathBuf] {
        &self.log_dirs
    }

    /// Notes something; on disk when it returns. After a failure nothing is noted any more.
    fn append(&mut self, notes: Vec<Note>) -> Result<(), MoveError> {
        if std::mem::replace(&mut self.is_broken, true) {
            let error = std::io::Error::other("it could not be written to before");
            return Err(StorageError::new(&self.path, error).into());
        }
        let text = text_of(&notes);
        let error = |error| StorageError::new(&self.path, error);
        if self.file.is_none() {
            let file = fs::open_to_write(&self.path, Opening::Existing).map_err(error)?;
            // What a crash cut off would stand between what was noted before and what is noted now.
            fs::set_len(&file, &self.path, self.end).map_err(error)?;
            self.file = Some(file);
        }
        let Some(file) = &self.file else { return Ok(()) };
        fs::write_at(file, &self.path, text.as_bytes(), self.end).map_err(error)?;
        fs::sync_file(file, &self.path).map_err(error)?;
        self.end += text.len() as u64;
        self.is_broken = false;
        for note in notes {
            self.take(note);
        }
        Ok(())
    }

    /// Notes how far jobs have come.
    pub(super) fn note(&mut self, jobs: &[usize], state: State) -> Result<(), MoveError> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.append(jobs.iter().map(|job| Note::State(*job, state)).collect())
    }

    /// Notes files that were copied: their job, name, length, CRC-32C.
    pub(super) fn note_files(&mut self, files: Vec<(usize, String, u64, u32)>) -> Result<(), MoveError> {
        self.note_whole(files, &[])
    }

    /// Notes files that were copied, and jobs whose copies are whole with them.
    pub(super) fn note_whole(
        &mut self,
        files: Vec<(usize, String, u64, u32)>,
        whole: &[usize],
    ) -> Result<(), MoveError> {
        let files = files.into_iter().map(|(job, name, len, crc)| Note::File(job, name, len, crc));
        let notes: Vec<Note> = files.chain(whole.iter().map(|job| Note::State(*job, State::Verified))).collect();
        if notes.is_empty() { Ok(()) } else { self.append(notes) }
    }

    /// Notes that a job begins anew, with what is in its directory now.
    pub(super) fn note_anew(&mut self, number: usize, job: Job) -> Result<(), MoveError> {
        self.append(vec![Note::Job(number, job)])
    }

    /// Ends the run, every job of which is done or undone: the journal gets another name, which is returned, and the markers
    /// go.
    pub fn close(mut self) -> Result<PathBuf, MoveError> {
        if !self.has_ended {
            self.append(vec![Note::End])?;
        }
        let mut done = self.path.clone().into_os_string();
        done.push(DONE);
        let done = PathBuf::from(done);
        fs::rename(&self.path, &done)?;
        fs::sync_dir(fs::parent_of(&done))?;
        for dir in self.log_dirs.iter().skip(1) {
            fs::remove_if_present(&dir.join(format!("{NAME}{}{MARKER}", self.id)))?;
        }
        Ok(done)
    }
}

/// The line that notes something.
fn text_of(notes: &[Note]) -> String {
    // Nothing in it can fail to be written: strings, numbers and lists.
    let json = serde_json::to_string(notes).unwrap_or_default();
    format!("{:08x} {json}\n", crc32c(json.as_bytes()))
}

fn parse(line: &[u8]) -> Option<Vec<Note>> {
    let line = line.strip_suffix(b"\n")?;
    let (crc, json) = line.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc.strip_suffix(b" ")?).ok()?, 16).ok()?;
    if crc32c(json) != crc {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_cut_off_does_not_count_and_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("d0"), dir.path().join("d1")];
        for dir in &dirs {
            std::fs::create_dir(dir).unwrap();
            std::fs::write(dir.join("meta.properties"), "version=1\n").unwrap();
        }
        std::fs::create_dir(dirs[0].join("t-0")).unwrap();
        let partition = crate::types::TopicPartition::new("t", 0);
        let job = || Job::new("0".repeat(32), &partition, super::super::Act::Move, &dirs[0], Some(&dirs[1])).unwrap();
        let mut journal = Journal::begin("run".to_owned(), &dirs, vec![job()], None, None).unwrap();
        journal.note(&[0], State::Copying).unwrap();
        journal.note_files(vec![(0, "a.log".to_owned(), 5, 7)]).unwrap();
        let path = journal.path().to_owned();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let Ok(mut read) = Journal::read(&path) else {
                let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
                assert!(lines < 2, "only a journal without its first lines is none");
                continue;
            };
            if read.jobs.is_empty() {
                continue;
            }
            read.note(&[0], State::Verified).unwrap();
            let again = Journal::read(&path).unwrap();
            assert_eq!(again.jobs[0].state, State::Verified, "cut at {cut}");
        }
        std::fs::write(&path, &whole).unwrap();
        let read = Journal::read(&path).unwrap();
        assert_eq!(read.jobs, journal.jobs);
        assert_eq!(read.jobs[0].copied, [("a.log".to_owned(), 5, 7)]);
        let found = find(&dirs).unwrap();
        assert_eq!((found.open.len(), found.done.len(), found.stale.len()), (1, 0, 0), "the marker leads there too");
        assert_eq!(find(&dirs[1..]).unwrap().open, [dirs[0].canonicalize().unwrap().join(".logdir-reassign-run")]);
        let done = read.close().unwrap();
        let found = find(&dirs).unwrap();
        assert_eq!((found.open.len(), found.done.as_slice(), found.stale.len()), (0, &[done][..], 0));
    }
}
