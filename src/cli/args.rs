//! Options that mean the same in every command, and values several commands read the same way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context as _;
use regex::Regex;

use super::range::{self, OffsetArg, RangeError};
use super::size::SizeStyle;
use super::ui::{Problem, Settings};
use crate::storage::log_dir::LogDir;
use crate::storage::properties;
use crate::types::TimestampMs;

/// Format of stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns
    Table,
    /// One JSON object a line
    Json,
    /// Tab-separated, with a header line
    Tsv,
    /// The text of the Kafka tool this command stands in for
    Kafka,
    /// Prometheus' text exposition format (log-dirs)
    Prometheus,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorMode {
    /// On a terminal, unless NO_COLOR, CLICOLOR=0 or TERM=dumb
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// When to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ProgressMode {
    /// On a terminal, without -q, when the work passes half a second
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of every command.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Log directory (repeatable, or a comma list)
    ///
    /// As log.dirs. Default: $LOGDIR_DIR, else the current directory if it holds meta.properties or
    /// NAME-N directories.
    #[arg(short, long, value_name = "DIR", global = true, value_delimiter = ',')]
    pub dir: Vec<PathBuf>,
    /// Read log.dirs, and what produce needs of the log.* settings, from a broker's server.properties
    #[arg(short = 'F', long, value_name = "FILE", global = true, conflicts_with = "dir", hide_short_help = true)]
    pub properties: Option<PathBuf>,
    /// Format of stdout
    #[arg(
        long,
        value_name = "FORMAT",
        global = true,
        env = "LOGDIR_OUTPUT",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub output: Option<OutputFormat>,
    /// Same as --output json
    #[arg(long, global = true, overrides_with = "output")]
    pub json: bool,
    /// Exact byte counts in tables
    #[arg(long, global = true, hide_short_help = true)]
    pub bytes: bool,
    /// Times in UTC (default)
    #[arg(long, global = true, overrides_with = "local", hide_short_help = true)]
    pub utc: bool,
    /// Times in the zone of this machine
    #[arg(long, global = true, overrides_with = "utc", hide_short_help = true)]
    pub local: bool,
    /// Threads to use; 1 gives the same output. Default: the cores available
    #[arg(
        long,
        value_name = "N",
        global = true,
        env = "LOGDIR_THREADS",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub threads: Option<NonZeroUsize>,
    /// Say less on stderr (-qq: errors only)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub quiet: u8,
    /// Say more on stderr
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_short_help = true)]
    pub color: ColorMode,
    /// When to show progress
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_short_help = true)]
    pub progress: ProgressMode,
}

impl GlobalArgs {
    /// The format asked for; `None`: the command's own.
    pub fn output(&self) -> Option<OutputFormat> {
        if self.json { Some(OutputFormat::Json) } else { self.output }
    }

    /// What of these concerns the streams.
    pub fn settings(&self) -> Settings {
        Settings {
            json: self.output() == Some(OutputFormat::Json),
            quiet: self.quiet,
            verbose: self.verbose,
            color: self.color,
            progress: self.progress,
            size: if self.bytes { SizeStyle::Exact } else { SizeStyle::Human },
            local: self.local,
        }
    }

    /// Threads to use.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    /// The broker's settings that `-F` names; none without it.
    pub fn broker_settings(&self) -> anyhow::Result<BTreeMap<String, String>> {
        self.properties.as_deref().map_or(Ok(BTreeMap::new()), read_properties)
    }

    /// The log directories the options, the environment or the current directory name, in that order; each once.
    pub fn log_dirs(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(each_once(self.named_dirs()?))
    }

    fn named_dirs(&self) -> anyhow::Result<Vec<PathBuf>> {
        if !self.dir.is_empty() {
            return Ok(self.dir.clone());
        }
        if let Some(file) = &self.properties {
            return log_dirs_of_properties(file);
        }
        if let Some(dirs) = std::env::var_os("LOGDIR_DIR").filter(|dirs| !dirs.is_empty()) {
            return Ok(split_dirs(dirs.as_bytes()));
        }
        let here = Path::new(".");
        if LogDir::is_one(here) {
            return Ok(vec![here.to_owned()]);
        }
        Err(Problem::usage("no log directory named, and the current directory is none")
            .hint("name it with -d DIR, -F server.properties or $LOGDIR_DIR, or give a path")
            .into())
    }
}

/// Without the directories that are named a second time, by whatever path.
pub fn each_once(dirs: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    let is_first = |dir: &PathBuf| match fs::metadata(dir) {
        Ok(metadata) => seen.insert((metadata.dev(), metadata.ino())),
        // Whoever opens it says what is wrong.
        Err(_) => true,
    };
    let mut dirs = dirs;
    dirs.retain(is_first);
    dirs
}

fn split_dirs(list: &[u8]) -> Vec<PathBuf> {
    let parts = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty());
    parts.map(|part| PathBuf::from(OsString::from_vec(part.to_vec()))).collect()
}

fn read_properties(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    properties::parse(&bytes).map_err(|error| Problem::new("malformed", error.to_string()).path(file).into())
}

fn log_dirs_of_properties(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = read_properties(file)?;
    let dirs = entries.get("log.dirs").or_else(|| entries.get("log.dir"));
    let dirs = dirs.map(|dirs| split_dirs(dirs.as_bytes())).unwrap_or_default();
    if dirs.is_empty() {
        return Err(Problem::new("wrong_kind", "names no log.dirs").path(file).hint("name them with -d DIR").into());
    }
    Ok(dirs)
}

/// One `-t`: names, or a pattern after `re:`.
#[derive(Debug, Clone)]
pub enum TopicArg {
    /// These topics.
    Names(Vec<String>),
    /// Topics whose name the pattern is found in.
    Pattern(Regex),
}

impl PartialEq for TopicArg {
    fn eq(&self, other: &TopicArg) -> bool {
        match (self, other) {
            (TopicArg::Names(ours), TopicArg::Names(theirs)) => ours == theirs,
            (TopicArg::Pattern(ours), TopicArg::Pattern(theirs)) => ours.as_str() == theirs.as_str(),
            _ => false,
        }
    }
}

impl TopicArg {
    /// Reads `orders`, `orders,payments` or `re:^ord`.
    pub fn parse(text: &str) -> Result<TopicArg, regex::Error> {
        match text.strip_prefix("re:") {
            Some(pattern) => Regex::new(pattern).map(TopicArg::Pattern),
            None => Ok(TopicArg::Names(text.split(',').map(|name| name.trim().to_owned()).collect())),
        }
    }

    /// Whether the topic is meant.
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            TopicArg::Names(names) => names.iter().any(|name| name == topic),
            TopicArg::Pattern(pattern) => pattern.is_match(topic),
        }
    }
}

/// When this process started, in ms since the epoch: what every duration of its options counts from.
pub fn now_ms() -> TimestampMs {
    static NOW: OnceLock<TimestampMs> = OnceLock::new();
    *NOW.get_or_init(|| jiff::Timestamp::now().as_millisecond())
}

/// Reads one `-o`.
pub fn offset_arg(text: &str) -> Result<OffsetArg, RangeError> {
    range::parse(text, now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_dirs_come_from_server_properties() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.properties");
        for (text, expected) in [
            ("log.dirs=/a,/b", Some(&["/a", "/b"][..])),
            ("# log.dirs=/x\r\n  log.dirs = /a , \\\n   /b\r\n", Some(&["/a", "/b"])),
            ("log.dirs=/k\\u0061fka, /b ", Some(&["/kafka", "/b"])),
            ("log.dir:/tmp/kafka-logs", Some(&["/tmp/kafka-logs"])),
            ("log.dir=/a\nlog.dirs=/b\nlog.dirs=/c", Some(&["/c"])),
            ("node.id=1", None),
            ("log.dirs=", None),
        ] {
            fs::write(&file, text).unwrap();
            let read = log_dirs_of_properties(&file).ok();
            assert_eq!(read, expected.map(|dirs| dirs.iter().map(PathBuf::from).collect()), "{text:?}");
        }
    }

    #[test]
    fn a_directory_named_twice_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&a).unwrap();
        std::os::unix::fs::symlink(&a, &b).unwrap();
        let (again, gone) = (a.join("../a/"), dir.path().join("gone"));
        let dirs = each_once(vec![a.clone(), gone.clone(), b, again, dir.path().to_owned()]);
        assert_eq!(dirs, [a, gone, dir.path().to_owned()]);
    }

    #[test]
    fn topics_by_name_list_or_pattern() {
        for (arg, topic, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders, payments", "payments", true),
            ("re:^ord", "orders", true),
            ("re:^o{1,2}r", "orders", true),
            ("re:x", "orders", false),
        ] {
            assert_eq!(TopicArg::parse(arg).unwrap().matches(topic), expected, "{arg} {topic}");
        }
        assert!(TopicArg::parse("re:(").is_err());
    }
}
