//! `consume --group --exec`: which workers process the records, and what becomes of one that fails.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::args::TopicArg;
use crate::cli::range::parse_duration;
use crate::cli::ui::Problem;
use crate::workers::process::{Ack, ProcessOptions};
use crate::workers::{OnFailure, Options, Then};

/// Workers of one consumer, at most.
const WORKERS_MAX: i64 = 1_024;
/// Further attempts unless said otherwise.
const RETRIES: u32 = 3;
/// The pause before the first of them.
const BACKOFF: Duration = Duration::from_secs(1);

/// Who processes the records, instead of printing them.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Workers")]
pub struct WorkerArgs {
    /// With --group: have CMD, run by /bin/sh -c, process each record, and commit what is done
    ///
    /// The offsets of a partition are committed up to the first record that is not done: a crash repeats what was under
    /// way, and skips nothing. CMD finds the record in LOGDIR_TOPIC, LOGDIR_PARTITION, LOGDIR_OFFSET, LOGDIR_TIMESTAMP
    /// (ms), LOGDIR_KEY (LOGDIR_KEY_BASE64 when it is not UTF-8), LOGDIR_KEY_SIZE and LOGDIR_VALUE_SIZE (-1: null).
    #[arg(long, value_name = "CMD", hide_short_help = true)]
    pub exec: Option<OsString>,
    /// With --exec: so many of them at a time [default: 1]
    ///
    /// Records of one key go to the same one, in order; those without a key to any.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=WORKERS_MAX), hide_short_help = true)]
    pub workers: Option<u32>,
    /// How CMD says that a record is done [default: exit]
    #[arg(long, value_name = "HOW", hide_short_help = true)]
    pub ack: Option<AckBy>,
    /// What to do with a record that failed [default: stop]
    ///
    /// What is behind it is never committed before it is done or stored in the dead-letter topic.
    #[arg(long, value_name = "ACTION", hide_short_help = true)]
    pub on_failure: Option<FailureAction>,
    /// With --on-failure retry: how often [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    pub retries: Option<u32>,
    /// With --on-failure retry: the pause before the first time; it doubles, up to 30s [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration, hide_short_help = true)]
    pub backoff: Option<Duration>,
    /// Topic for records that failed, with Kafka Connect's headers; of --on-failure retry: after the last attempt
    #[arg(long, value_name = "TOPIC", hide_short_help = true)]
    pub dead_letter_topic: Option<String>,
}

/// How a command says that a record is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AckBy {
    /// One process per record, the value on its stdin: exit status 0
    Exit,
    /// One process for all, a record on its stdin in the output format: a line "ok" or "error TEXT" on its stdout
    Line,
}

/// What to do with a record that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailureAction {
    /// Commit what is done and end
    Stop,
    /// Try it again, then end or put it into the dead-letter topic
    Retry,
    /// Put it into the dead-letter topic
    DeadLetter,
}

/// What the options ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPlan {
    /// How many workers, and what to do with a record that failed.
    pub options: Options,
    /// What each of them runs.
    pub process: ProcessOptions,
    /// Where records that failed go.
    pub dead_letter_topic: Option<String>,
}

/// Reads `500ms`, `2s`, `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_duration(text).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or_else(|| "expected a duration such as 500ms, 2s or 1m30s".to_owned())
}

impl WorkerArgs {
    /// Options that are given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("--exec", self.exec.is_some()),
            ("--workers", self.workers.is_some()),
            ("--ack", self.ack.is_some()),
            ("--on-failure", self.on_failure.is_some()),
            ("--retries", self.retries.is_some()),
            ("--backoff", self.backoff.is_some()),
            ("--dead-letter-topic", self.dead_letter_topic.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Refuses options that make no sense together; `group`: the one consumed for, `topics`: those consumed.
    pub fn check(&self, group: Option<&str>, topics: &[TopicArg]) -> anyhow::Result<()> {
        let action = self.on_failure.unwrap_or(FailureAction::Stop);
        let of_retry = [("--retries", self.retries.is_some()), ("--backoff", self.backoff.is_some())];
        let of_retry = of_retry.into_iter().find(|(_, given)| *given).filter(|_| action != FailureAction::Retry);
        let problem = if let (Some(name), None) = (self.given().next(), group) {
            Problem::usage(format!("{name} needs a group, whose offsets say what is done"))
                .hint("name it with: --group NAME")
        } else if let (Some(name), None) = (self.given().next(), &self.exec) {
            Problem::usage(format!("{name} needs --exec")).hint("say what processes the records with: --exec CMD")
        } else if self.exec.as_ref().is_some_and(|command| command.is_empty()) {
            Problem::usage("--exec: the command is empty").hint("one that does nothing is: --exec true")
        } else if let Some((name, _)) = of_retry {
            let mut hint = "--on-failure retry".to_owned();
            if let Some(topic) = &self.dead_letter_topic {
                hint += &format!(" --dead-letter-topic {topic}");
            }
            Problem::usage(format!("{name} needs --on-failure retry")).hint(format!("say: {hint}"))
        } else {
            match (action, &self.dead_letter_topic) {
                (FailureAction::DeadLetter, None) => Problem::usage("--on-failure dead-letter needs a topic")
                    .hint("name one that is there with: --dead-letter-topic TOPIC"),
                (FailureAction::Stop, Some(_)) => {
                    Problem::usage("--dead-letter-topic: nothing is put there with --on-failure stop")
                        .hint("say: --on-failure dead-letter, or retry for further attempts before")
                }
                (_, Some(topic)) if topics.iter().any(|consumed| consumed.matches(topic)) => {
                    let text =
                        format!("--dead-letter-topic: '{topic}' is consumed itself, so what failed would come back");
                    Problem::usage(text).hint("name another one")
                }
                _ => return Ok(()),
            }
        };
        Err(problem.into())
    }

    /// What to run, checked; `None` when nothing is to be run.
    pub fn plan(&self, group: Option<&str>, topics: &[TopicArg]) -> anyhow::Result<Option<WorkerPlan>> {
        self.check(group, topics)?;
        let (Some(command), Some(group)) = (&self.exec, group) else { return Ok(None) };
        let then = if self.dead_letter_topic.is_some() { Then::DeadLetter } else { Then::Stop };
        let on_failure = match self.on_failure.unwrap_or(FailureAction::Stop) {
            FailureAction::Stop => OnFailure::Stop,
            FailureAction::DeadLetter => OnFailure::DeadLetter,
            FailureAction::Retry => OnFailure::Retry {
                retries: self.retries.unwrap_or(RETRIES),
                backoff: self.backoff.unwrap_or(BACKOFF),
                then,
            },
        };
        let ack = match self.ack.unwrap_or(AckBy::Exit) {
            AckBy::Exit => Ack::Exit,
            AckBy::Line => Ack::Line,
        };
        let workers = usize::try_from(self.workers.unwrap_or(1)).unwrap_or(1);
        Ok(Some(WorkerPlan {
            options: Options { workers, on_failure, ..Options::default() },
            process: ProcessOptions { command: command.clone(), ack, group: group.to_owned() },
            dead_letter_topic: self.dead_letter_topic.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        workers: WorkerArgs,
    }

    fn plan(args: &str, group: Option<&str>) -> Result<Option<WorkerPlan>, String> {
        let line = Line::try_parse_from(std::iter::once("x").chain(args.split_whitespace()));
        let line = line.map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        let topics = [TopicArg::parse("orders").unwrap(), TopicArg::parse("re:^pay").unwrap()];
        line.workers.plan(group, &topics).map_err(|error| error.to_string())
    }

    #[test]
    fn the_options_say_what_is_run() {
        let planned = |args: &str| plan(args, Some("g")).unwrap().unwrap();
        assert_eq!(plan("", Some("g")), Ok(None));
        assert_eq!(plan("", None), Ok(None));
        let least = planned("--exec true");
        assert_eq!(least.options, Options::default());
        assert_eq!(least.process, ProcessOptions { command: "true".into(), ack: Ack::Exit, group: "g".to_owned() });
        let retry = |retries, ms, then| OnFailure::Retry { retries, backoff: Duration::from_millis(ms), then };
        let cases = [
            ("--on-failure stop", OnFailure::Stop),
            ("--on-failure retry", retry(3, 1_000, Then::Stop)),
            ("--on-failure retry --retries 9 --backoff 1m500ms", retry(9, 60_500, Then::Stop)),
            ("--on-failure retry --backoff 0s --dead-letter-topic d", retry(3, 0, Then::DeadLetter)),
            ("--on-failure dead-letter --dead-letter-topic d", OnFailure::DeadLetter),
        ];
        for (args, expected) in cases {
            let planned = planned(&format!("--exec cat --workers 5 --ack line {args}"));
            assert_eq!(planned.options.on_failure, expected, "{args}");
            assert_eq!((planned.options.workers, planned.process.ack), (5, Ack::Line), "{args}");
            assert_eq!(planned.dead_letter_topic.is_some(), args.contains("topic"), "{args}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases = [
            ("--workers 2", None, "--workers needs a group, whose offsets say what is done"),
            ("--exec true", None, "--exec needs a group, whose offsets say what is done"),
            ("--workers 2", Some("g"), "--workers needs --exec"),
            ("--dead-letter-topic d", Some("g"), "--dead-letter-topic needs --exec"),
            ("--exec=", Some("g"), "--exec: the command is empty"),
            ("--exec true --retries 2", Some("g"), "--retries needs --on-failure retry"),
            (
                "--exec true --backoff 2s --on-failure dead-letter --dead-letter-topic d",
                Some("g"),
                "--backoff needs --on-failure retry",
            ),
            ("--exec true --on-failure dead-letter", Some("g"), "--on-failure dead-letter needs a topic"),
            (
                "--exec true --dead-letter-topic d",
                Some("g"),
                "--dead-letter-topic: nothing is put there with --on-failure stop",
            ),
            (
                "--exec true --on-failure retry --backoff soon",
                Some("g"),
                "error: invalid value 'soon' for '--backoff <DURATION>': expected a duration such as 500ms, 2s or 1m30s",
            ),
            (
                "--exec true --workers 0",
                Some("g"),
                "error: invalid value '0' for '--workers <N>': 0 is not in 1..=1024",
            ),
        ];
        for (args, group, expected) in cases {
            assert_eq!(plan(args, group), Err(expected.to_owned()), "{args}");
        }
    }
}
