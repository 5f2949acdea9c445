//! A worker that is a child process: a command, run by `/bin/sh -c`.
//!
//! Two ways for it to say that a record is done:
//!
//! - [`Ack::Exit`]: one process per record. The value is on its stdin, byte for byte; exit status 0 says done, anything
//!   else failed. Its stdout is ours. A process that does not read its stdin may end all the same.
//! - [`Ack::Line`]: one process for all records of a worker. Each record is written to its stdin as the consumer's
//!   format writes it, and answered by one line on its stdout before the next one is written: `ok` or an empty line for
//!   done, `error TEXT` for failed. Its end, or any other line, fails the record in process; the next one gets a new
//!   process.
//!
//! What the record is stands in the environment:
//!
//! ```text
//!  LOGDIR_GROUP, LOGDIR_WORKER                      both ways; the worker's number counts from 0
//!  LOGDIR_TOPIC, LOGDIR_PARTITION, LOGDIR_OFFSET    with Ack::Exit only, as what follows
//!  LOGDIR_TIMESTAMP                                 ms; -1 for none
//!  LOGDIR_KEY_SIZE, LOGDIR_VALUE_SIZE               bytes; -1 for null, which stdin alone does not tell from empty
//!  LOGDIR_KEY                                       the key, when it is UTF-8 without a NUL
//!  LOGDIR_KEY_BASE64                                the key otherwise
//! ```
//!
//! Neither of the last two is there for a null key, and for one above 64 KiB: the system's limit for one variable is
//! 128 KiB.
//!
//! A child is the leader of its own process group, so Ctrl-C in a terminal is for us alone to heed: what is in process
//! can end in good order. Its stdin ends with us, however we end; dropped or aborted, the whole group is killed. Its
//! stderr is ours.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Abort, Task, WorkError, Worker};

/// A longer key is in no variable.
const KEY_BYTES_MAX: usize = 64 << 10;
/// A longer answer is none.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How often a wait for pipes looks whether the process is still there.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How long a process may take to end after its stdin has, before it is killed.
const END_MAX: Duration = Duration::from_secs(5);
/// How long a process that reads or answers no more may take to end before it is killed.
const RETIRE_MAX: Duration = Duration::from_secs(1);

/// How a process says that a record is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// By its exit status: one process per record.
    Exit,
    /// By a line on its stdout.
    Line,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessOptions {
    /// For `/bin/sh -c`.
    pub command: OsString,
    /// How it says that a record is done.
    pub ack: Ack,
    /// The group, for `LOGDIR_GROUP`.
    pub group: String,
}

/// Processes records by a command.
#[derive(Debug)]
pub struct ProcessWorker {
    options: ProcessOptions,
    number: usize,
    running: Arc<Running>,
    /// With [`Ack::Line`]: the process, once it was needed.
    talk: Option<Talk>,
}

/// What another thread needs to know to end the process.
#[derive(Debug, Default)]
struct Running {
    state: Mutex<RunningState>,
}

#[derive(Debug, Default)]
struct RunningState {
    /// Its process group; none once it was waited for, as the number may then be another's.
    group: Option<Pid>,
    aborted: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, RunningState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        if let Some(group) = self.lock().group {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn abort(&self) {
        self.lock().aborted = true;
        self.kill();
    }

    fn is_aborted(&self) -> bool {
        self.lock().aborted
    }
}

impl ProcessWorker {
    /// Worker `number`, from 0. Nothing is run yet.
    pub fn new(options: ProcessOptions, number: usize) -> ProcessWorker {
        ProcessWorker { options, number, running: Arc::default(), talk: None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.options.command).process_group(0).stdin(Stdio::piped());
        command.env("LOGDIR_GROUP", &self.options.group).env("LOGDIR_WORKER", self.number.to_string());
        command
    }

    fn run_once(&self, task: &Task) -> io::Result<Result<(), WorkError>> {
        let mut command = self.command();
        set_record(&mut command, task);
        let mut process = Process::start(&mut command, &self.running)?;
        if let Some(stdin) = process.child.stdin.take() {
            process.feed(stdin, task.value.as_deref().unwrap_or_default())?;
        }
        let status = process.wait()?;
        Ok(if status.success() { Ok(()) } else { Err(WorkError::new(status.to_string())) })
    }

    fn ask(&mut self, line: &[u8]) -> io::Result<Result<(), WorkError>> {
        let before = match self.talk.take() {
            Some(talk) => talk.if_idle()?,
            None => None,
        };
        let mut talk = match before {
            Some(talk) => talk,
            None => Talk::start(&mut self.command(), &self.running)?,
        };
        match talk.exchange(line)? {
            Answer::Line(answer) => {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let result = match answer.trim() {
                    "" | "ok" => Ok(()),
                    error if error.starts_with("error") => Err(WorkError::new(told(error))),
                    other => {
                        // What the following lines would answer is not known any more.
                        let text = format!("it answered '{}', expected 'ok' or 'error TEXT'", shortened(other));
                        return Ok(Err(WorkError::new(text)));
                    }
                };
                if talk.stdin.is_some() {
                    self.talk = Some(talk);
                } else {
                    talk.retire();
                }
                Ok(result)
            }
            Answer::TooLong => {
                Ok(Err(WorkError::new(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes, expected 'ok'"))))
            }
            Answer::End => Ok(Err(WorkError::new(match talk.retire() {
                Some(status) => format!("it ended before it answered: {status}"),
                None => "it closed its stdout before it answered".to_owned(),
            }))),
        }
    }
}

impl Worker for ProcessWorker {
    fn process(&mut self, task: &Task) -> Result<(), WorkError> {
        let ran = match self.options.ack {
            Ack::Exit => self.run_once(task),
            Ack::Line => self.ask(&task.line),
        };
        ran.unwrap_or_else(|error| Err(WorkError::new(format!("{error}"))))
    }

    fn abort(&self) -> Option<Abort> {
        let running = Arc::clone(&self.running);
        Some(Arc::new(move || running.abort()))
    }
}

/// Ends the process of [`Ack::Line`]: its stdin ends, and if it does not end by itself soon it is killed.
impl Drop for ProcessWorker {
    fn drop(&mut self) {
        if let Some(mut talk) = self.talk.take() {
            talk.stdin = None;
            let _ = talk.process.wait_for(END_MAX);
        }
    }
}

/// Puts what the record is into the environment.
fn set_record(command: &mut Command, task: &Task) {
    let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or("-1".to_owned(), |bytes| bytes.len().to_string());
    command
        .env("LOGDIR_TOPIC", &task.partition.topic)
        .env("LOGDIR_PARTITION", task.partition.partition.to_string())
        .env("LOGDIR_OFFSET", task.offset.to_string())
        .env("LOGDIR_TIMESTAMP", task.timestamp_ms.to_string())
        .env("LOGDIR_KEY_SIZE", size(&task.key))
        .env("LOGDIR_VALUE_SIZE", size(&task.value))
        .env_remove("LOGDIR_KEY")
        .env_remove("LOGDIR_KEY_BASE64");
    let Some(key) = task.key.as_deref().filter(|key| key.len() <= KEY_BYTES_MAX) else { return };
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains('\0') => command.env("LOGDIR_KEY", text),
        _ => command.env("LOGDIR_KEY_BASE64", data_encoding::BASE64.encode(key)),
    };
}

/// A child that does not outlive its value.
#[derive(Debug)]
struct Process {
    child: Child,
    pid: Pid,
    running: Arc<Running>,
    status: Option<ExitStatus>,
}

impl Process {
    fn start(command: &mut Command, running: &Arc<Running>) -> io::Result<Process> {
        // Held over the start: an abort comes before it, or finds what to kill.
        let mut state = running.lock();
        if state.aborted {
            return Err(io::Error::other("the workers are being stopped"));
        }
        let child = command.spawn().map_err(|error| io::Error::other(format!("cannot run /bin/sh: {error}")))?;
        let pid = Pid::from_child(&child);
        state.group = Some(pid);
        drop(state);
        Ok(Process { child, pid, running: Arc::clone(running), status: None })
    }

    /// Whether it has ended; it stays there to be waited for.
    fn has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        Ok(self.status.is_some() || waitid(WaitId::Pid(self.pid), options)?.is_some())
    }

    /// Waits for its end.
    fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        loop {
            match waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // From here on its number may be another's: nobody may kill it any more.
        self.running.lock().group = None;
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// Waits for its end up to `limit`; `None` when it goes on.
    fn wait_for(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        let mut pause = Duration::from_micros(100);
        while !self.has_ended()? {
            if Instant::now() >= until || self.running.is_aborted() {
                return Ok(None);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        self.wait().map(Some)
    }

    /// Writes `bytes` to its stdin and ends that. A process that ends or closes it unread has all it wants.
    fn feed(&mut self, stdin: ChildStdin, bytes: &[u8]) -> io::Result<()> {
        let mut stdin = stdin;
        let mut rest = bytes;
        rustix::io::ioctl_fionbio(&stdin, true)?;
        while !rest.is_empty() {
            match stdin.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Something it has started may keep the pipe open beyond its end.
                    if !wait_until(&mut [PollFd::new(&stdin, PollFlags::OUT)])? && self.has_ended()? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Kills it, if it has not ended.
impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.running.kill();
            let _ = self.wait();
        }
    }
}

/// Waits until one of them is ready; false when none is for [`LOOK_EVERY`].
fn wait_until(ready: &mut [PollFd<'_>]) -> io::Result<bool> {
    match poll(ready, Some(&LOOK_EVERY)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A process that is asked by lines and answers by lines.
#[derive(Debug)]
struct Talk {
    process: Process,
    /// None once it was closed, by either side.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Read and not yet taken.
    heard: Vec<u8>,
}

enum Answer {
    Line(Vec<u8>),
    TooLong,
    End,
}

/// What reading gave.
#[derive(PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
    End,
}

impl Talk {
    fn start(command: &mut Command, running: &Arc<Running>) -> io::Result<Talk> {
        let mut process = Process::start(command.stdout(Stdio::piped()), running)?;
        let (Some(stdin), Some(stdout)) = (process.child.stdin.take(), process.child.stdout.take()) else {
            return Err(io::Error::other("it has no stdin and stdout"));
        };
        rustix::io::ioctl_fionbio(&stdin, true)?;
        rustix::io::ioctl_fionbio(&stdout, true)?;
        Ok(Talk { process, stdin: Some(stdin), stdout, heard: Vec::new() })
    }

    /// The process, if it is still there and waits for a record; an error when it has said something unasked.
    fn if_idle(mut self) -> io::Result<Option<Talk>> {
        match self.hear()? {
            Heard::Nothing if self.heard.is_empty() => Ok(Some(self)),
            // It ended when nothing was asked of it: no record fails by that.
            Heard::End if self.heard.is_empty() => {
                self.retire();
                Ok(None)
            }
            _ => Err(io::Error::other(format!(
                "it has written '{}' after it had answered, expected one line for each record",
                shortened(&String::from_utf8_lossy(&self.heard))
            ))),
        }
    }

    /// Reads what there is.
    fn hear(&mut self) -> io::Result<Heard> {
        let mut chunk = [0; 4096];
        loop {
            return match self.stdout.read(&mut chunk) {
                Ok(0) => Ok(Heard::End),
                Ok(read) => {
                    self.heard.extend_from_slice(chunk.get(..read).unwrap_or_default());
                    Ok(Heard::Something)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Heard::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Writes a record and reads the answer, side by side: neither waits for the other's pipe to have room.
    fn exchange(&mut self, line: &[u8]) -> io::Result<Answer> {
        let mut rest = line;
        let mut looked_in_vain = false;
        loop {
            while let (Some(stdin), false) = (&mut self.stdin, rest.is_empty()) {
                match stdin.write(rest) {
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // It reads no more; it may have answered all the same.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.stdin = None,
                    Err(error) => return Err(error),
                }
            }
            // An answer to a record that is not written whole stands, but the rest must be written first.
            let is_written = rest.is_empty() || self.stdin.is_none();
            if let (true, Some(end)) = (is_written, memchr::memchr(b'\n', &self.heard)) {
                let mut answer: Vec<u8> = self.heard.drain(..=end).collect();
                answer.pop();
                return Ok(Answer::Line(answer));
            }
            if self.heard.len() > ANSWER_BYTES_MAX {
                return Ok(Answer::TooLong);
            }
            let is_over = match self.hear()? {
                Heard::Something => continue,
                Heard::End => true,
                // Something it has started may keep its stdout open beyond its end.
                Heard::Nothing => looked_in_vain && self.process.has_ended()? && self.hear()? == Heard::Nothing,
            };
            if is_over && is_written {
                return Ok(Answer::End);
            }
            if is_over {
                // It reads no more; it may have answered all the same.
                self.stdin = None;
                continue;
            }
            let stdout = PollFd::new(&self.stdout, PollFlags::IN);
            let ready = match &self.stdin {
                Some(stdin) if !rest.is_empty() => wait_until(&mut [stdout, PollFd::new(stdin, PollFlags::OUT)])?,
                _ => wait_until(&mut [stdout])?,
            };
            looked_in_vain = !ready;
        }
    }

    /// Lets it end by itself, for a moment.
    fn retire(mut self) -> Option<ExitStatus> {
        self.stdin = None;
        self.process.wait_for(RETIRE_MAX).ok().flatten()
    }
}

/// The text behind `error`.
fn told(answer: &str) -> String {
    let text = answer.strip_prefix("error").unwrap_or(answer).trim_start_matches(':').trim();
    if text.is_empty() { "it answered 'error'".to_owned() } else { shortened(text) }
}

/// The first 1,000 characters.
fn shortened(text: &str) -> String {
    const MAX: usize = 1_000;
    if text.chars().count() <= MAX { text.to_owned() } else { text.chars().take(MAX).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::task::task;
    use super::super::{OnFailure, Options, Submission, Then, Workers};
    use super::*;
    use crate::types::{Offset, TopicPartition};

    const SOON: Duration = Duration::from_secs(20);

    fn partition() -> Arc<TopicPartition> {
        Arc::new(TopicPartition::new("orders", 3))
    }

    fn worker(ack: Ack, command: &str) -> ProcessWorker {
        let options = ProcessOptions { command: command.into(), ack, group: "billing".to_owned() };
        ProcessWorker::new(options, 2)
    }

    fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> Task {
        task(&partition(), 42, key, value)
    }

    fn line(text: &str) -> Task {
        let mut task = record(None, None);
        task.line = format!("{text}\n").into_bytes();
        task
    }

    fn text(result: Result<(), WorkError>) -> String {
        result.map_or_else(|error| error.to_string(), |()| "done".to_owned())
    }

    #[test]
    fn the_exit_status_answers_and_the_value_is_on_stdin() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let cat = format!("cat > {}", out.display());
        let all: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        for value in [&b""[..], b"one\n", b"two\0\xff", &all] {
            assert_eq!(text(worker(Ack::Exit, &cat).process(&record(None, Some(value)))), "done");
            assert!(std::fs::read(&out).unwrap() == value, "{} bytes", value.len());
        }
        let cases = [
            ("exit 7", "exit status: 7"),
            ("kill -TERM $$", "signal: 15 (SIGTERM)"),
            ("/no/such/command 2>&-", "exit status: 127"),
            // None of these read the value, of which a pipe takes 64 KiB.
            ("exit 0", "done"),
            ("exec <&-; sleep 0.1", "done"),
            ("sleep 60 <&0 >&- 2>&- & exit 0", "done"),
        ];
        for (command, expected) in cases {
            let started = Instant::now();
            assert_eq!(text(worker(Ack::Exit, command).process(&record(None, Some(&all)))), expected, "{command}");
            assert!(started.elapsed() < Duration::from_secs(10), "{command}");
        }
    }

    #[test]
    fn the_environment_says_what_the_record_is() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let command = format!("env | grep ^LOGDIR_ | grep -v ^LOGDIR_DIR= | sort > {}", out.display());
        static LONG: [u8; KEY_BYTES_MAX + 1] = [b'k'; KEY_BYTES_MAX + 1];
        type Bytes = Option<&'static [u8]>;
        let cases: [(Bytes, Bytes, &str); 5] = [
            (Some(b"k 1"), Some(b"abc"), "LOGDIR_KEY=k 1\nLOGDIR_KEY_SIZE=3\n|3"),
            (Some(b""), None, "LOGDIR_KEY=\nLOGDIR_KEY_SIZE=0\n|-1"),
            (Some(b"a\0b"), Some(b""), "LOGDIR_KEY_BASE64=YQBi\nLOGDIR_KEY_SIZE=3\n|0"),
            (None, Some(b""), "LOGDIR_KEY_SIZE=-1\n|0"),
            (Some(&LONG), Some(b""), "LOGDIR_KEY_SIZE=65537\n|0"),
        ];
        for (key, value, expected) in cases {
            worker(Ack::Exit, &command).process(&record(key, value)).unwrap();
            let (key, size) = expected.split_once('|').unwrap();
            let expected = format!(
                "LOGDIR_GROUP=billing\n{key}LOGDIR_OFFSET=42\nLOGDIR_PARTITION=3\nLOGDIR_TIMESTAMP=1700000000042\n\
                 LOGDIR_TOPIC=orders\nLOGDIR_VALUE_SIZE={size}\nLOGDIR_WORKER=2\n"
            );
            assert_eq!(std::fs::read_to_string(&out).unwrap(), expected);
        }
        // The longest key that is passed on is one the system takes.
        let command = format!("printf %s \"$LOGDIR_KEY_BASE64\" | wc -c > {}", out.display());
        worker(Ack::Exit, &command).process(&record(Some(&[0xff; KEY_BYTES_MAX]), None)).unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap().trim(), "87384");
    }

    #[test]
    fn a_line_answers_and_one_process_stays() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let command = format!(
            "echo start >> {0}; while read -r line; do echo $line >> {0}; case $line in bad*) echo error: $line is bad;; \
             empty) echo;; odd) echo what;; two) printf 'ok\\nok\\n';; die) exit 3;; once) echo ok; exit 0;; *) echo ok;; \
             esac; done",
            out.display()
        );
        let mut worker = worker(Ack::Line, &command);
        let cases = [
            ("1", "done"),
            ("empty", "done"),
            ("bad 3", "bad 3 is bad"),
            ("4", "done"),
            ("die", "it ended before it answered: exit status: 3"),
            ("6", "done"),
            ("odd", "it answered 'what', expected 'ok' or 'error TEXT'"),
            ("8", "done"),
            ("once", "done"),
        ];
        for (asked, expected) in cases {
            assert_eq!(text(worker.process(&line(asked))), expected, "{asked}");
        }
        // It ends when nothing is asked of it: no record fails by that.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(text(worker.process(&line("9"))), "done");
        // An answer too many would be taken for the next record's.
        assert_eq!(text(worker.process(&line("two"))), "done");
        std::thread::sleep(Duration::from_millis(100));
        let unasked = "it has written 'ok\n' after it had answered, expected one line for each record";
        assert_eq!(text(worker.process(&line("11"))), unasked);
        assert_eq!(text(worker.process(&line("12"))), "done");
        let expected = "start 1 empty bad 3 4 die start 6 odd start 8 once start 9 two start 12 ";
        assert_eq!(std::fs::read_to_string(&out).unwrap().replace('\n', " "), expected);
    }

    #[test]
    fn large_lines_go_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let large = "x".repeat(1 << 20);
        // Reads slowly, and answers before it has read all.
        let command = format!("while read -r line; do echo ${{#line}} >> {}; echo ok; done", out.display());
        let mut reader = worker(Ack::Line, &command);
        assert_eq!(text(reader.process(&line(&large))), "done");
        assert_eq!(text(reader.process(&line(&large))), "done");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "1048576\n1048576\n");
        let cases = [
            ("head -c 10 > /dev/null; echo ok", "done"),
            ("exec <&-; echo ok", "done"),
            ("exec <&-; exit 4", "it ended before it answered: exit status: 4"),
            ("exit 5", "it ended before it answered: exit status: 5"),
            ("exec >&-; exec sleep 30", "it closed its stdout before it answered"),
            ("read -r line; head -c 300000 /dev/zero", "its answer is longer than 65536 bytes, expected 'ok'"),
        ];
        for (command, expected) in cases {
            let started = Instant::now();
            assert_eq!(text(worker(Ack::Line, command).process(&line(&large))), expected, "{command}");
            assert!(started.elapsed() < Duration::from_secs(5), "{command}");
        }
    }

    #[test]
    fn a_process_ends_with_its_worker() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let command = format!("while read -r line; do echo ok; done; sleep 0.2; echo end of stdin > {}", out.display());
        let mut worker = worker(Ack::Line, &command);
        worker.process(&line("1")).unwrap();
        drop(worker);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "end of stdin\n");
    }

    #[test]
    fn workers_that_are_closed_kill_what_does_not_end() {
        let dir = tempfile::tempdir().unwrap();
        for ack in [Ack::Exit, Ack::Line] {
            let begun = dir.path().join(format!("{ack:?}"));
            // A child of the shell, which a kill of the shell alone would leave behind.
            let command = format!("echo $$ > {0}.tmp; mv {0}.tmp {0}; sleep 1000; exit 0", begun.display());
            let options = ProcessOptions { command: command.into(), ack, group: "g".to_owned() };
            let mut workers = Workers::start(Options::default(), None, |number| {
                Ok(Box::new(ProcessWorker::new(options.clone(), number)))
            })
            .unwrap();
            workers.assign(&partition(), 1, Offset::new(42));
            assert!(matches!(workers.submit(line("1"), SOON), Submission::Submitted));
            let started = Instant::now();
            while !begun.exists() {
                assert!(started.elapsed() < SOON);
                std::thread::sleep(Duration::from_millis(1));
            }
            workers.close(Duration::from_millis(50));
            assert!(started.elapsed() < Duration::from_secs(10), "{ack:?}");
            assert_eq!(workers.position(&partition()), Some(Offset::new(42)), "{ack:?}");
            assert_eq!(workers.failure(), None, "{ack:?}: it was not the record's fault");
            let group: i32 = std::fs::read_to_string(&begun).unwrap().trim().parse().unwrap();
            let group = Pid::from_raw(group).unwrap();
            let started = Instant::now();
            // Zombies of the group wait for init.
            while rustix::process::test_kill_process_group(group).is_ok() && is_any_running(group) {
                assert!(started.elapsed() < SOON, "{ack:?}: something of the group goes on");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Whether a process of the group is more than a zombie.
    fn is_any_running(group: Pid) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { return false };
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            matches!(fields.as_slice(), [state, _, of, ..] if *state != "Z" && of.parse() == Ok(group.as_raw_pid()))
        })
    }

    #[test]
    fn a_process_that_fails_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count");
        let body = format!("echo x >> {0}; test $(wc -l < {0}) -gt 2", count.display());
        for (ack, command) in [
            (Ack::Exit, body.clone()),
            (Ack::Line, format!("while read -r line; do {body} || exit 1; echo ok; done")),
            (Ack::Line, format!("while read -r line; do {body} && echo ok || echo error; done")),
        ] {
            let _ = std::fs::remove_file(&count);
            let options = ProcessOptions { command: command.into(), ack, group: "g".to_owned() };
            let on_failure = OnFailure::Retry { retries: 2, backoff: Duration::from_millis(1), then: Then::Stop };
            let mut workers = Workers::start(Options { on_failure, ..Options::default() }, None, |number| {
                Ok(Box::new(ProcessWorker::new(options.clone(), number)))
            })
            .unwrap();
            workers.assign(&partition(), 1, Offset::new(42));
            assert!(matches!(workers.submit(line("1"), SOON), Submission::Submitted));
            assert!(workers.drain(SOON), "{:?}", workers.failure());
            assert_eq!(workers.take_events().len(), 2, "{ack:?}");
            assert_eq!(workers.position(&partition()), Some(Offset::new(43)));
        }
    }
}
