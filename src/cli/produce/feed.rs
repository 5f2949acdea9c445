//! Where records come from: stdin and files, read when there is something to read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ProduceArgs;
use crate::cli::input::{Grammar, Input, InputError};
use crate::cli::ui::{Problem, Ui};

/// One source of records.
pub struct Feed {
    pub input: Input<Counted>,
    /// For waiting: of a pipe or terminal.
    poll: Option<File>,
    name: String,
    path: Option<PathBuf>,
    len: Option<u64>,
}

/// A reader that remembers what the last read brought.
pub struct Counted {
    source: File,
    read: u64,
    /// What was read and is still to be copied.
    copy: Option<Vec<u8>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.read += read as u64;
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
        Ok(read)
    }
}

/// Whether there is something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    Yes,
    No,
    Interrupted,
}

impl Feed {
    /// The sources the arguments name.
    pub fn of(args: &ProduceArgs, grammar: &Grammar) -> anyhow::Result<Vec<Feed>> {
        if !args.files.is_empty() {
            return args.files.iter().map(|path| Feed::open(path, args, grammar)).collect();
        }
        match &args.lines {
            Some(path) => Ok(vec![Feed::open(path, args, grammar)?]),
            None => Ok(vec![Feed::stdin(args, grammar)?]),
        }
    }

    fn open(path: &Path, args: &ProduceArgs, grammar: &Grammar) -> anyhow::Result<Feed> {
        if path == Path::new("-") {
            return Feed::stdin(args, grammar);
        }
        let problem = |error: io::Error| {
            let code = if error.kind() == io::ErrorKind::NotFound { "not_found" } else { "io" };
            Problem::new(code, error.to_string()).path(path)
        };
        let file = File::open(path).map_err(problem)?;
        if file.metadata().map_err(problem)?.is_dir() {
            return Err(Problem::new("wrong_kind", "is a directory, expected a file with records").path(path).into());
        }
        Feed::over(file, path.display().to_string(), Some(path.to_owned()), args, grammar)
    }

    fn stdin(args: &ProduceArgs, grammar: &Grammar) -> anyhow::Result<Feed> {
        // The descriptor itself: the buffer of `std::io::Stdin` would hide what is there to read.
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Feed::over(file, "stdin".to_owned(), None, args, grammar)
    }

    fn over(
        file: File,
        name: String,
        path: Option<PathBuf>,
        args: &ProduceArgs,
        grammar: &Grammar,
    ) -> anyhow::Result<Feed> {
        let metadata = file.metadata()?;
        let is_file = metadata.is_file();
        let poll = if is_file { None } else { Some(file.try_clone()?) };
        let source = Counted { source: file, read: 0, copy: args.tee.then(Vec::new) };
        let len = is_file.then_some(metadata.len());
        Ok(Feed { input: Input::new(source, grammar.clone()), poll, name, path, len })
    }

    /// Bytes there are to read, where that is known.
    pub const fn len(&self) -> Option<u64> {
        self.len
    }

    /// Bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.input.source().read
    }

    /// Waits until there is something to read, or the end of it; at most for `limit`.
    pub fn wait(&self, limit: Option<Duration>) -> anyhow::Result<Ready> {
        let Some(file) = &self.poll else { return Ok(Ready::Yes) };
        let limit = limit.map(|limit| Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }));
        match poll(&mut [PollFd::new(file, PollFlags::IN)], limit.as_ref()) {
            Ok(0) => Ok(Ready::No),
            Ok(_) => Ok(Ready::Yes),
            Err(rustix::io::Errno::INTR) => Ok(Ready::Interrupted),
            // A kind of file that cannot be waited for is always ready.
            Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => Ok(Ready::Yes),
            Err(errno) => Err(anyhow::Error::new(io::Error::from(errno)).context(self.name.clone())),
        }
    }

    /// Reads more; `false` at the end. With `-T`, copies it to stdout.
    pub fn fill(&mut self, tee: bool, ui: &mut Ui) -> anyhow::Result<bool> {
        let more = self.input.fill().map_err(|error| anyhow::Error::new(error).context(self.name.clone()))?;
        if tee && let Some(copy) = &mut self.input.source_mut().copy {
            // A reader of the copy that went away does not end the writing.
            let _ = ui.out().pass_on(copy)?;
            copy.clear();
        }
        Ok(more)
    }

    /// A record that cannot be read, as a person is told of it.
    pub fn problem(&self, error: &InputError) -> Problem {
        self.place(error.record, error.position, error.problem.to_string())
    }

    /// A record that cannot be stored, as a person is told of it.
    pub fn refused(&self, record: u64, position: u64, reason: &str) -> Problem {
        self.place(record, position, reason.to_owned())
    }

    fn place(&self, record: u64, position: u64, reason: String) -> Problem {
        let problem = Problem::new("bad_input", format!("record {record}: {reason}")).position(position);
        let problem = match &self.path {
            Some(path) => problem.path(path),
            None => problem.path(&self.name),
        };
        let start = self.input.record_position();
        let rest = match &self.path {
            Some(path) => format!("tail -c +{} {}", start + 1, path.display()),
            None => format!("the input from byte {start} on"),
        };
        problem.hint(format!(
            "all records before it are stored; correct it and go on with: {rest}, or leave such records out with --on-error skip"
        ))
    }
}
