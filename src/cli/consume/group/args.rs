//! The options of `consume --group`, and which of the others go with them.

use std::time::Duration;

use crate::cli::consume::ConsumeArgs;
use crate::cli::range::{self, Bound, Offsets};
use crate::cli::ui::Problem;
use crate::group::assignor::ClientAssignor;

/// When the offsets of records are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum CommitWhen {
    /// After output: a crash repeats records, and loses none
    #[default]
    After,
    /// Before output: a crash loses records, and repeats none
    Before,
    /// Not at all
    Never,
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = range::parse_duration(text).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or_else(|| format!("'{text}' is not a duration; expected 500ms, 45s, 5m, ..."))
}

fn assignor(name: &str) -> Result<ClientAssignor, String> {
    let known = || ClientAssignor::ALL.map(ClientAssignor::name).join(", ");
    ClientAssignor::from_name(name).ok_or_else(|| format!("'{name}' is no assignor; there are: {}", known()))
}

/// How a group is read.
#[derive(clap::Args, Debug, Clone)]
pub struct GroupArgs {
    /// Read as a member of this consumer group: share partitions, start at committed offsets, commit
    ///
    /// Processes with the same group share the partitions of its topics, and take over from each other. Offsets and
    /// generations are in __consumer_offsets, as a broker has them. -o is where to start without a committed offset, or when
    /// that is outside of the log: start (default), end, @TIME, ...; stored: not at all. Without --follow a member leaves when
    /// its partitions are read to their ends.
    #[arg(short = 'G', long, value_name = "NAME", help_heading = "Group")]
    pub group: Option<String>,
    /// When to commit: after output, before, or never
    #[arg(long, value_name = "WHEN", default_value = "after", requires = "group", help_heading = "Group")]
    pub commit: CommitWhen,
    /// How often to commit; also when partitions change hands, and at the end
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, requires = "group", help_heading = "Group", hide_short_help = true)]
    pub commit_interval: Duration,
    /// Commit after every N records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "group", help_heading = "Group", hide_short_help = true)]
    pub commit_records: Option<u64>,
    /// What to store beside committed offsets
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        requires = "group",
        help_heading = "Group",
        hide_short_help = true
    )]
    pub commit_metadata: String,
    /// How partitions are shared, best first: range, roundrobin, sticky, cooperative-sticky
    #[arg(long, value_name = "LIST", default_value = "range,cooperative-sticky", value_delimiter = ',', value_parser = assignor, requires = "group", help_heading = "Group", hide_short_help = true)]
    pub assignor: Vec<ClientAssignor>,
    /// Be a static member: keep the partitions over a restart within the session timeout
    #[arg(long, value_name = "ID", requires = "group", help_heading = "Group", hide_short_help = true)]
    pub instance_id: Option<String>,
    /// client.id, of which member ids are made
    #[arg(
        long,
        value_name = "ID",
        default_value = "logdir",
        requires = "group",
        help_heading = "Group",
        hide_short_help = true
    )]
    pub client_id: String,
    /// client.rack, for the assignors that look at racks
    #[arg(long, value_name = "RACK", requires = "group", help_heading = "Group", hide_short_help = true)]
    pub rack: Option<String>,
    /// After how much silence a member that is stopped, or a static one that is away, is out
    #[arg(long, value_name = "DURATION", default_value = "45s", value_parser = duration, requires = "group", help_heading = "Group", hide_short_help = true)]
    pub session_timeout: Duration,
    /// How long a member may be held up by the reader of its output before it is out
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, requires = "group", help_heading = "Group", hide_short_help = true)]
    pub max_poll_interval: Duration,
}

/// Largest `offset.metadata.max.bytes` of a broker that is not told otherwise.
const METADATA_BYTES_MAX: usize = 4096;

impl GroupArgs {
    /// Refuses what makes no sense together.
    pub fn check(&self, args: &ConsumeArgs) -> anyhow::Result<()> {
        let refused = |text: &str, hint: &str| Err(Problem::usage(text).hint(hint).into());
        if self.group.as_deref() == Some("") {
            return refused("--group: a group's id cannot be empty", "give it a name, such as -G billing");
        }
        if !args.paths.is_empty() {
            return refused(
                "a group reads topics, not a PATH: its offsets are in the log directory",
                "name log directories with -d, and topics with -t",
            );
        }
        if args.topic.is_empty() {
            return refused("--group needs topics", "name them with -t; -t 're:.*' for all");
        }
        if args.partition.is_some() {
            return refused("--partition: a group shares its partitions out itself", "leave -p or -G out");
        }
        if args.merge {
            return refused("--merge: a group reads its partitions as they come", "leave --merge or -G out");
        }
        if args.until_hw {
            return refused("--until-hw: a group reads to the log end", "leave --until-hw or -G out");
        }
        if args.workers.exec.is_some() && self.commit == CommitWhen::Before {
            return refused(
                "--commit before: what --exec processes is committed when it is done",
                "leave one of them out",
            );
        }
        if self.commit_metadata.len() > METADATA_BYTES_MAX {
            return refused("--commit-metadata is longer than the 4096 bytes that a broker takes", "make it shorter");
        }
        let instance = self.instance_id.as_deref().unwrap_or("it");
        if instance.is_empty() || instance.len() > 249 {
            return refused("--instance-id has 1 to 249 characters", "give it a name, such as --instance-id reader-1");
        }
        for (name, value) in [("session-timeout", self.session_timeout), ("max-poll-interval", self.max_poll_interval)]
        {
            if value.is_zero() || i32::try_from(value.as_millis()).is_err() {
                return Err(Problem::usage(format!("--{name} must be between 1ms and 24d")).into());
            }
        }
        Ok(())
    }

    /// Where to start where there is no committed offset.
    pub fn reset_policy(&self, args: &ConsumeArgs) -> anyhow::Result<Offsets> {
        let offsets = Offsets::new(&args.offset).map_err(|error| Problem::usage(format!("--offset: {error}")))?;
        if offsets.ranges().any(|range| range.end != Bound::LogEnd) {
            return Err(Problem::usage(
                "--offset: with --group it says where to start without a committed offset, and has no end",
            )
            .hint("stop after N records with -c N")
            .into());
        }
        Ok(offsets)
    }
}
