//! The two streams: data on stdout, everything said to the person on stderr.
//!
//! Stdout is one buffer that goes to the descriptor in large writes. A reader that went away is an
//! answer, not an error: [`Pipe::Closed`]. Stderr gets `error:`, `hint:`, `warning:` lines, or one JSON
//! object a line when the output is JSON, and the progress bar.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Outcome;
use super::args::{ColorMode, ProgressMode};
use super::json_row::JsonRow;
use super::size::SizeStyle;
use super::table::{ListingStyle, TimeText};

/// Words an error line's `code` can be, with their meaning.
pub const CODES: &[(&str, &str)] = &[
    ("usage", "the command line asks for something that cannot be"),
    ("not_found", "a file, directory or topic does not exist"),
    ("permission_denied", "the system does not let this user at it"),
    ("disk_full", "no space is left"),
    ("io", "the system reported another error"),
    ("wrong_kind", "a file is not of the kind its name or an option says"),
    ("locked", "another process holds the directory"),
    ("bad_pattern", "a pattern of file names cannot be read"),
    ("unknown_file", "a file is none of Kafka's"),
    ("truncated", "a batch ends after the file does"),
    ("torn_tail", "a log ends inside a batch, as a crash leaves it; the end, not damage"),
    ("zero_tail", "a log ends in zeros, as a preallocated segment does"),
    ("bad_length", "a batch's length field is below what its header takes"),
    ("unknown_magic", "a batch's magic is not 0, 1 or 2"),
    ("unknown_codec", "a batch's codec is not 0 to 4"),
    ("bad_message", "a message of magic 0 or 1 cannot be read as it declares itself"),
    ("crc_mismatch", "a batch's stored and computed checksums differ"),
    ("bad_compression", "a batch's payload does not decompress"),
    ("bad_record", "a batch's records cannot be read as it declares them"),
    ("no_key", "a record of a coordinator's topic has no key"),
    ("bad_control", "a control record cannot be read as its type declares it"),
    ("too_large", "a batch is beyond --max-batch-bytes, a file beyond what its kind can be"),
    ("offset_order", "a batch's offsets do not fit between its neighbours'"),
    ("leader_epoch", "a batch's leader epoch is below that of the batch before"),
    ("bad_index", "an index breaks its own rules, or disagrees with its log"),
    ("bad_name", "a file's name does not say what the file holds"),
    ("malformed", "a small file cannot be read as what it is"),
    ("unchecked", "something could not be checked"),
    ("notice", "a file beside the log could not be used and was made up for"),
    ("duplicate", "a partition is in several log directories"),
    ("out_of_range", "an offset lies outside the log"),
    ("bad_input", "a record of the input cannot be read or stored"),
    ("would_lose", "opening a log for appending would remove data"),
    ("lost", "opening a log for appending has removed data"),
    ("collision", "a topic's name differs from another's only by . and _"),
    ("exists", "what is to be made is there already"),
    ("topic_id", "a topic has another id"),
    ("fenced", "a newer epoch of the producer wrote to the partition"),
    ("out_of_sequence", "a producer's sequence does not follow the partition's last one"),
    ("refused", "a log does not take a batch"),
    ("no_plan", "a rule keeps a plan from being level or valid"),
    ("no_start", "a broker would refuse to start"),
    ("offline", "a broker would take a log directory offline"),
    ("gap", "offsets that are to be mirrored are missing, or are not those that were mirrored before"),
    ("damage", "a log that is to be mirrored is damaged"),
    ("shorter", "a log ends before what was mirrored of it does"),
    ("diverged", "a log holds other records than were mirrored of it"),
    ("recreated", "a topic was deleted and made again since it was mirrored"),
    ("unreachable", "no broker of a cluster answers"),
    ("error", "anything else"),
];

/// One thing that went wrong: what, where, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: &'static str,
    message: String,
    path: Option<PathBuf>,
    position: Option<u64>,
    base_offset: Option<i64>,
    hint: Option<String>,
    outcome: Outcome,
}

impl Problem {
    /// With one of [`CODES`]; ends the command with 3 when it is returned as an error.
    pub fn new(code: &'static str, message: impl Into<String>) -> Problem {
        let outcome = if code == "usage" { Outcome::Usage } else { Outcome::Failed };
        Problem { code, message: message.into(), path: None, position: None, base_offset: None, hint: None, outcome }
    }

    /// A mistake in the command line.
    pub fn usage(message: impl Into<String>) -> Problem {
        Problem::new("usage", message)
    }

    /// In this file. Text output puts it, as given, in front of the message.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Problem {
        self.path = Some(path.into());
        self
    }

    /// At this byte. Only JSON output shows it by itself; the message says it in words.
    pub fn position(mut self, position: u64) -> Problem {
        self.position = Some(position);
        self
    }

    /// In the batch with this base offset. Only JSON output shows it by itself.
    pub fn base_offset(mut self, base_offset: i64) -> Problem {
        self.base_offset = Some(base_offset);
        self
    }

    /// What to do next, if possible a command to paste.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the command this way when returned as an error.
    pub fn outcome(mut self, outcome: Outcome) -> Problem {
        self.outcome = outcome;
        self
    }

    /// How the command ends when this is returned as an error.
    pub fn ends_with(&self) -> Outcome {
        self.outcome
    }

    /// The problem inside `error`, or one made of its whole chain.
    pub fn of(error: &anyhow::Error) -> Problem {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return problem.clone();
        }
        let code = match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => "not_found",
            Some(io::ErrorKind::PermissionDenied) => "permission_denied",
            Some(io::ErrorKind::StorageFull) => "disk_full",
            Some(_) => "io",
            None => "error",
        };
        Problem::new(code, format!("{error:#}"))
    }

    fn json(&self, kind: &str) -> String {
        JsonRow::new(kind)
            .field("code", self.code)
            .some("path", self.path.as_ref().map(|path| path.to_string_lossy().into_owned()))
            .some("position", self.position)
            .some("base_offset", self.base_offset)
            .field("message", self.message.clone())
            .some("hint", self.hint.clone())
            .finish()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Problem::new("error", message)
    }
}

impl From<&str> for Problem {
    fn from(message: &str) -> Self {
        Problem::new("error", message)
    }
}

/// Whether somebody still reads stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pipe {
    /// Go on.
    Open,
    /// The reader went away: stop, with success.
    Closed,
}

/// Bytes held back before they are written.
const FLUSH_BYTES: usize = 64 << 10;

/// Stdout: bytes are appended to a buffer, which leaves in writes of 64 KiB.
pub struct Out {
    buffer: Vec<u8>,
    sink: Box<dyn Write + Send>,
    pipe: Pipe,
    /// The descriptor behind it, to see whether somebody reads.
    descriptor: Option<OwnedFd>,
    /// What is drawn on the same terminal, and has to make way for what is written.
    bar: Option<ProgressBar>,
}

impl Out {
    fn new(sink: Box<dyn Write + Send>) -> Out {
        Out { buffer: Vec::with_capacity(FLUSH_BYTES * 2), sink, pipe: Pipe::Open, descriptor: None, bar: None }
    }

    /// Whether somebody reads it still, as far as can be told without writing: to be asked while there is nothing to write.
    pub fn look(&mut self) -> Pipe {
        let is_left = |descriptor: &OwnedFd| {
            let mut asked = [PollFd::new(descriptor, PollFlags::empty())];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut asked, Some(&now)).is_ok_and(|_| asked[0].revents().contains(PollFlags::ERR))
        };
        if self.descriptor.as_ref().is_some_and(is_left) {
            self.pipe = Pipe::Closed;
        }
        self.pipe
    }

    /// The buffer to append to; call [`Out::drain`] after each row or batch.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer out when it is large enough.
    #[inline]
    pub fn drain(&mut self) -> io::Result<Pipe> {
        if self.buffer.len() >= FLUSH_BYTES { self.send() } else { Ok(self.pipe) }
    }

    /// Writes the buffer out now.
    pub fn send(&mut self) -> io::Result<Pipe> {
        if self.pipe == Pipe::Open && !self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            let written = self.write_out(&buffer);
            self.buffer = buffer;
            self.buffer.clear();
            written?;
        }
        self.buffer.clear();
        Ok(self.pipe)
    }

    fn write_out(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sink = &mut self.sink;
        let mut write = || sink.write_all(bytes).and_then(|()| sink.flush());
        let written = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.pipe = Pipe::Closed;
                Ok(())
            }
            other => other,
        }
    }

    /// Writes `bytes` behind what is in the buffer; many at once go to the descriptor as they are.
    pub fn pass_on(&mut self, bytes: &[u8]) -> io::Result<Pipe> {
        if bytes.len() < FLUSH_BYTES {
            self.buffer.extend_from_slice(bytes);
            return self.drain();
        }
        if self.send()? == Pipe::Open {
            self.write_out(bytes)?;
        }
        Ok(self.pipe)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        // Whoever writes through this interface learns of a reader that went away the usual way.
        match self.drain()? {
            Pipe::Open => Ok(bytes.len()),
            Pipe::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.send()? {
            Pipe::Open => Ok(()),
            Pipe::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// What the global options say about output.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Errors as JSON lines.
    pub json: bool,
    /// `-q`s given: one hides remarks, hints and progress, two hide warnings.
    pub quiet: u8,
    /// `-v`s given.
    pub verbose: u8,
    /// `--color`.
    pub color: ColorMode,
    /// `--progress`.
    pub progress: ProgressMode,
    /// `--bytes`.
    pub size: SizeStyle,
    /// `--local`.
    pub local: bool,
}

/// A warning that may come often.
#[derive(Debug)]
struct Repeated {
    first: String,
    more: u64,
}

/// Both streams and what is said on them.
pub struct Ui {
    out: Out,
    err: Box<dyn Write + Send>,
    settings: Settings,
    repeated: BTreeMap<String, Repeated>,
    bar: Option<ProgressBar>,
    out_terminal: bool,
    out_color: bool,
    err_terminal: bool,
}

impl Ui {
    /// On this process's stdout and stderr.
    pub fn new(settings: Settings) -> Ui {
        let stdout = io::stdout();
        // A descriptor of its own: std's stdout would look for line ends in every write.
        let sink: Box<dyn Write + Send> = match stdout.as_fd().try_clone_to_owned() {
            Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
            Err(_) => Box::new(io::stdout()),
        };
        let choice = |auto: anstream::ColorChoice| match settings.color {
            ColorMode::Auto => auto,
            ColorMode::Always => anstream::ColorChoice::Always,
            ColorMode::Never => anstream::ColorChoice::Never,
        };
        let out_color = choice(anstream::AutoStream::choice(&stdout)) != anstream::ColorChoice::Never;
        let stderr = io::stderr();
        let err_choice = choice(anstream::AutoStream::choice(&stderr));
        Ui {
            out: Out { descriptor: stdout.as_fd().try_clone_to_owned().ok(), ..Out::new(sink) },
            err_terminal: stderr.is_terminal(),
            err: Box::new(anstream::AutoStream::new(stderr, err_choice)),
            settings,
            repeated: BTreeMap::new(),
            bar: None,
            out_terminal: stdout.is_terminal(),
            out_color,
        }
    }

    /// On any two writers, for tests: no terminal, no colour.
    pub fn on(settings: Settings, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Ui {
        Ui {
            out: Out::new(out),
            err: Box::new(anstream::StripStream::new(err)),
            settings,
            repeated: BTreeMap::new(),
            bar: None,
            out_terminal: false,
            out_color: false,
            err_terminal: false,
        }
    }

    /// Stdout apart from the rest, for an engine that prints and reports in turn.
    pub fn with_out<T>(&mut self, work: impl FnOnce(&mut Out, &mut Ui) -> T) -> T {
        let mut out = std::mem::replace(&mut self.out, Out::new(Box::new(io::sink())));
        let done = work(&mut out, self);
        self.out = out;
        done
    }

    /// Stdout.
    #[inline]
    pub fn out(&mut self) -> &mut Out {
        &mut self.out
    }

    /// Whether stdout is a terminal.
    pub fn out_is_terminal(&self) -> bool {
        self.out_terminal
    }

    /// How many `-v` were given.
    pub fn verbose(&self) -> u8 {
        self.settings.verbose
    }

    /// Whether stdout takes colour.
    pub fn has_colour(&self) -> bool {
        self.out_color
    }

    /// How sizes are written in tables.
    pub fn size_style(&self) -> SizeStyle {
        self.settings.size
    }

    /// How times are written in tables.
    pub fn time_text(&self) -> TimeText {
        if self.settings.local { TimeText::local() } else { TimeText::utc() }
    }

    /// How a table is written to stdout.
    pub fn table_style(&self) -> ListingStyle {
        ListingStyle::Table { bold: self.out_color }
    }

    /// An error, with its hint. Always shown.
    pub fn error(&mut self, problem: impl Into<Problem>) {
        let problem = problem.into();
        self.say("error", "\x1b[1;31m", &problem);
    }

    /// A warning, with its hint.
    pub fn warning(&mut self, problem: impl Into<Problem>) {
        if self.settings.quiet < 2 {
            let problem = problem.into();
            self.say("warning", "\x1b[1;33m", &problem);
        }
    }

    /// A warning of which only the first with the same `key` is shown; [`Ui::finish`] tells how many more there were.
    pub fn warn_once(&mut self, key: &str, problem: impl Into<Problem>) {
        if let Some(repeated) = self.repeated.get_mut(key) {
            repeated.more += 1;
            return;
        }
        let problem = problem.into();
        self.repeated.insert(key.to_owned(), Repeated { first: problem.to_string(), more: 0 });
        self.warning(problem);
    }

    /// What to do next. Hidden by `-q`; part of the error line in JSON, so give it to the problem where there is one.
    pub fn hint(&mut self, hint: &str) {
        if self.settings.quiet == 0 && !self.settings.json {
            self.line(&format!("\x1b[1;36mhint:\x1b[0m {hint}"));
        }
    }

    /// Bytes for stderr as they are: what another tool would have said there.
    pub fn verbatim(&mut self, bytes: &[u8]) {
        let _ = self.err.write_all(bytes);
        let _ = self.err.flush();
    }

    /// A remark or summary. Hidden by `-q`.
    pub fn note(&mut self, text: &str) {
        if self.settings.quiet == 0 {
            self.line(text);
        }
    }

    /// A detail for `-v`.
    pub fn detail(&mut self, text: &str) {
        if self.settings.verbose > 0 {
            self.line(text);
        }
    }

    fn say(&mut self, kind: &str, style: &str, problem: &Problem) {
        if self.settings.json {
            let line = problem.json(kind);
            self.line(&line);
            return;
        }
        self.line(&format!("{style}{kind}:\x1b[0m {problem}"));
        if let Some(hint) = &problem.hint {
            self.hint(hint);
        }
    }

    /// Nothing can be done about a stderr that does not take the line.
    fn line(&mut self, text: &str) {
        // What was printed before it stays before it, where both end in one terminal.
        if self.out_terminal && self.err_terminal {
            let _ = self.out.send();
        }
        let err = &mut self.err;
        let mut write = || {
            let _ = err.write_all(format!("{text}\n").as_bytes());
            let _ = err.flush();
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// A bar over `total` bytes of work, seen once the work has lasted half a second.
    ///
    /// Rows on the same terminal go above it, so each piece that is sent to stdout has to end a line; what does
    /// not has [`Ui::progress_if_apart`].
    pub fn progress(&mut self, total: u64, label: &str) -> Progress {
        let shown = match self.settings.progress {
            ProgressMode::Auto => self.err_terminal && self.settings.quiet == 0 && !self.settings.json,
            ProgressMode::Always => true,
            ProgressMode::Never => false,
        };
        if !shown {
            return Progress::none();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if !self.err_terminal {
            let lines = Lines { label: label.to_owned(), bar, next: Instant::now() + LINE_EVERY };
            return Progress { state: ProgressState::Lines(lines) };
        }
        let template = "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        self.bar = Some(bar.clone());
        if self.out_terminal {
            self.out.bar = Some(bar.clone());
        }
        Progress { state: ProgressState::Bar { bar, visible_at: Some(Instant::now() + VISIBLE_AFTER) } }
    }

    /// As [`Ui::progress`], for work that fills stdout with what it finds: not drawn while that is a terminal too,
    /// unless `--progress always`.
    pub fn progress_if_apart(&mut self, total: u64, label: &str) -> Progress {
        if self.out_terminal && self.settings.progress == ProgressMode::Auto {
            return Progress::none();
        }
        self.progress(total, label)
    }

    /// Counts of repeated warnings, then the last of stdout. The outcome is worse when stdout did not take it.
    pub fn finish(&mut self, outcome: Outcome) -> Outcome {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.out.bar = None;
        for repeated in std::mem::take(&mut self.repeated).into_values().filter(|repeated| repeated.more > 0) {
            self.warning(format!("{} more like this: {}", repeated.more, repeated.first));
        }
        match self.out.send() {
            Ok(_) => outcome,
            Err(error) => {
                self.error(Problem::of(&anyhow::Error::new(error).context("stdout")));
                outcome.and(Outcome::Failed)
            }
        }
    }
}

const VISIBLE_AFTER: Duration = Duration::from_millis(500);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Progress of one piece of work. Count per batch or per MiB, never per record.
pub struct Progress {
    state: ProgressState,
}

enum ProgressState {
    Off,
    Lines(Lines),
    Bar { bar: ProgressBar, visible_at: Option<Instant> },
}

/// Progress on a stderr that is no terminal: a line a second. The bar is never drawn; it counts, and knows the rate.
struct Lines {
    label: String,
    bar: ProgressBar,
    next: Instant,
}

impl Lines {
    /// `moving: 12 MiB of 2 GiB, 310 MiB/s, 6 s left`; what is not known yet is left out.
    fn text(&self) -> String {
        let size = |bytes| SizeStyle::Human.text(bytes);
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        let of = if total > 0 { format!(" of {}", size(total)) } else { String::new() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, for people")]
        let rate = self.bar.per_sec().round().clamp(0.0, 1e18) as u64;
        let rate = if rate > 0 { format!(", {}/s", size(rate)) } else { String::new() };
        let left = if total > done && !rate.is_empty() {
            format!(", {} left", HumanDuration(self.bar.eta()))
        } else {
            String::new()
        };
        format!("{}: {}{of}{rate}{left}", self.label, size(done))
    }
}

impl Progress {
    /// Shows nothing.
    pub const fn none() -> Progress {
        Progress { state: ProgressState::Off }
    }

    /// Whether anybody would see it.
    pub const fn is_shown(&self) -> bool {
        !matches!(self.state, ProgressState::Off)
    }

    /// How much there is to do, where that is found out late.
    pub fn set_total(&mut self, total: u64) {
        match &mut self.state {
            ProgressState::Off => {}
            ProgressState::Lines(lines) => lines.bar.set_length(total),
            ProgressState::Bar { bar, .. } => bar.set_length(total),
        }
    }

    /// `bytes` more are done.
    pub fn add(&mut self, bytes: u64) {
        match &mut self.state {
            ProgressState::Off => {}
            ProgressState::Lines(lines) => {
                lines.bar.inc(bytes);
                let now = Instant::now();
                if now >= lines.next {
                    lines.next = now + LINE_EVERY;
                    let _ = writeln!(io::stderr(), "{}", lines.text());
                }
            }
            ProgressState::Bar { bar, visible_at } => {
                if visible_at.is_some_and(|at| Instant::now() >= at) {
                    *visible_at = None;
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                bar.inc(bytes);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let ProgressState::Bar { bar, .. } = &self.state {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink {
        bytes: Arc<Mutex<Vec<u8>>>,
        fail: Option<io::ErrorKind>,
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.fail {
                return Err(kind.into());
            }
            self.bytes.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ui(settings: Settings, out: &Sink) -> (Ui, Sink) {
        let err = Sink::default();
        (Ui::on(settings, Box::new(out.clone()), Box::new(err.clone())), err)
    }

    #[test]
    fn a_line_of_progress_says_how_much_how_fast_and_how_long() {
        let bar = ProgressBar::with_draw_target(Some(4 << 30), ProgressDrawTarget::hidden());
        let lines = Lines { label: "moving".into(), bar, next: Instant::now() };
        assert_eq!(lines.text(), "moving: 0 B of 4.0 GiB", "no rate yet");
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(2));
            lines.bar.inc(10 << 20);
        }
        let text = lines.text();
        assert!(text.starts_with("moving: 1000.0 MiB of 4.0 GiB, "), "{text}");
        assert!(text.contains("/s, ") && text.ends_with(" left"), "{text}");
    }

    fn problem() -> Problem {
        Problem::new("crc_mismatch", "batch at position 81920 (base offset 4021): stored CRC 0x1, computed 0x2")
            .path("data/orders-0/0.log")
            .position(81_920)
            .base_offset(4_021)
            .hint("read what is sound with: logdir consume data/orders-0 --on-corrupt skip")
    }

    #[test]
    fn errors_are_lines_or_json_objects() {
        let (mut text, err) = ui(Settings::default(), &Sink::default());
        text.error(problem());
        let expected = "error: data/orders-0/0.log: batch at position 81920 (base offset 4021): stored CRC 0x1, computed 0x2\n\
                        hint: read what is sound with: logdir consume data/orders-0 --on-corrupt skip\n";
        assert_eq!(err.text(), expected);

        let (mut json, err) = ui(Settings { json: true, ..Settings::default() }, &Sink::default());
        json.error(problem());
        json.hint("not a line of its own");
        let head = "{\"type\":\"error\",\"code\":\"crc_mismatch\",\"path\":\"data/orders-0/0.log\",\"position\":81920,";
        assert!(err.text().starts_with(head), "{}", err.text());
        let line: serde_json::Value = serde_json::from_str(&err.text()).unwrap();
        assert_eq!(
            (&line["code"], &line["position"], &line["base_offset"]),
            (&"crc_mismatch".into(), &81_920.into(), &4_021.into())
        );
        assert_eq!((&line["path"], line["hint"].is_string()), (&"data/orders-0/0.log".into(), true));
    }

    #[test]
    fn quiet_leaves_errors_and_verbose_adds_details() {
        for (quiet, verbose, expected) in [
            (0, 0, "error: e\nwarning: w\nhint: h\nn\n"),
            (0, 1, "error: e\nwarning: w\nhint: h\nn\nd\n"),
            (1, 0, "error: e\nwarning: w\n"),
            (2, 0, "error: e\n"),
        ] {
            let (mut ui, err) = ui(Settings { quiet, verbose, ..Settings::default() }, &Sink::default());
            ui.error("e");
            ui.warning("w");
            ui.hint("h");
            ui.note("n");
            ui.detail("d");
            assert_eq!(err.text(), expected, "quiet {quiet} verbose {verbose}");
        }
    }

    #[test]
    fn a_repeated_warning_is_shown_once_and_counted() {
        let (mut ui, err) = ui(Settings::default(), &Sink::default());
        for n in 1..=3 {
            ui.warn_once("orders-0 clamped", format!("orders-0: offset {n} is before the log start"));
        }
        ui.warn_once("orders-1 clamped", "orders-1: offset 1 is before the log start");
        assert_eq!(ui.finish(Outcome::Done), Outcome::Done);
        let expected = "warning: orders-0: offset 1 is before the log start\n\
                        warning: orders-1: offset 1 is before the log start\n\
                        warning: 2 more like this: orders-0: offset 1 is before the log start\n";
        assert_eq!(err.text(), expected);
    }

    #[test]
    fn stdout_leaves_in_large_writes_and_a_closed_pipe_is_success() {
        let out = Sink::default();
        let (mut open, _) = ui(Settings::default(), &out);
        open.out().buffer().extend_from_slice(b"row\n");
        assert_eq!(open.out().drain().unwrap(), Pipe::Open);
        assert_eq!(out.text(), "");
        assert_eq!(open.finish(Outcome::Findings), Outcome::Findings);
        assert_eq!(out.text(), "row\n");

        for (kind, pipe, outcome) in [
            (io::ErrorKind::BrokenPipe, Some(Pipe::Closed), Outcome::Done),
            (io::ErrorKind::StorageFull, None, Outcome::Failed),
        ] {
            let (mut closed, err) = ui(Settings::default(), &Sink { fail: Some(kind), ..Sink::default() });
            closed.out().buffer().resize(FLUSH_BYTES, b'x');
            assert_eq!(closed.out().drain().ok(), pipe, "{kind}");
            closed.out().buffer().push(b'x');
            assert_eq!(closed.finish(Outcome::Done), outcome, "{kind}");
            assert_eq!(err.text().is_empty(), outcome == Outcome::Done, "{}", err.text());
        }
    }
}
