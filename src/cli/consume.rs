//! `logdir consume`: records of partitions, on stdout.

use std::path::PathBuf;

use super::args::{GlobalArgs, OutputFormat, TopicArg, offset_arg};
use super::filter::FilterArgs;
use super::range::{OffsetArg, Offsets, Partitions};
use super::record_format::{Console, ConsoleError, FormatError, RecordFormat, TextFormat, unescape};
use super::table::ListingStyle;
use super::ui::{Problem, Ui};
use super::{Outcome, man, size};

/// Which records of transactions are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum IsolationLevel {
    /// All, up to the log end
    #[default]
    #[value(name = "read_uncommitted")]
    ReadUncommitted,
    /// Only committed ones, up to the last stable offset
    #[value(name = "read_committed")]
    ReadCommitted,
}

/// What to do at damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OnCorrupt {
    /// Stop there, naming the next readable offset
    #[default]
    Stop,
    /// Go on at the next sound batch, reporting each hole
    Skip,
}

/// A delimiter, its escapes replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiter(pub Vec<u8>);

fn delimiter(text: &str) -> Result<Delimiter, FormatError> {
    unescape(text).map(Delimiter)
}

fn property(text: &str) -> Result<String, ConsoleError> {
    Console::default().set(text).map(|()| text.to_owned())
}

/// Print records of partitions, topics or files
///
/// Reads up to the end and stops, unless --follow. Nothing is written, locked or repaired, so a broker
/// may run meanwhile.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("consume"), after_long_help = FORMAT_HELP)]
pub struct ConsumeArgs {
    /// Partition directories, log directories or .log files, instead of -d -t -p
    ///
    /// Stray, future and deleted directories and .deleted, .cleaned and .swap files are read when named.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Topic; re:PATTERN for several (repeatable)
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pub topic: Vec<TopicArg>,
    /// Partitions, such as 0,3-5; default all
    #[arg(short, long, value_name = "LIST", value_parser = Partitions::parse)]
    pub partition: Option<Partitions>,
    /// Where to start and end: 5, 5:10, -10, @-1h, ... (repeatable)
    ///
    /// start, end; N or N: (to the end), N:M (M exclusive), :M; -N the last N of each partition, +N all but
    /// the first N; @T, @T1:T2, @:T by timestamp, where T is 13 digits (ms), 10 digits (s), 2026-11-22,
    /// RFC 3339 (UTC without a zone) or -1h back from now, and T2 may be 10m after T1; kcat's s@MS and e@MS.
    /// P=RANGE or P,Q-R=RANGE is for those partitions only, next to a plain one for the others.
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, value_parser = offset_arg)]
    pub offset: Vec<OffsetArg>,
    /// Stop after N records
    #[arg(short, long, value_name = "N", aliases = ["max-messages", "num"])]
    pub count: Option<u64>,
    /// Go on as the files grow
    #[arg(long)]
    pub follow: bool,
    /// Stop at the end: the default, accepted for kcat's sake
    #[arg(short = 'e', long = "exit", hide = true, conflicts_with = "follow")]
    pub exit: bool,
    /// Stop at the high watermark instead of the log end
    #[arg(long, hide_short_help = true)]
    pub until_hw: bool,
    /// Order by timestamp over all partitions, instead of partition by partition
    #[arg(long, hide_short_help = true)]
    pub merge: bool,
    /// Allow internal topics (__*)
    #[arg(long, hide_short_help = true)]
    pub include_internal: bool,
    /// Which records of transactions are seen
    #[arg(long, value_name = "LEVEL", default_value = "read_uncommitted", hide_short_help = true)]
    pub isolation_level: IsolationLevel,
    /// Print commit and abort markers too
    #[arg(long, hide_short_help = true)]
    pub print_control_records: bool,
    /// What to do at damage; both end with exit code 1
    #[arg(long, value_name = "ACTION", default_value = "stop", hide_short_help = true)]
    pub on_corrupt: OnCorrupt,
    /// Stop at the first partition or file that cannot be read
    #[arg(long, hide_short_help = true)]
    pub fail_fast: bool,
    /// Largest batch, decompressed; one beyond it is damage
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::parse, hide_short_help = true)]
    pub max_batch_bytes: u64,

    /// Print by a format, such as '%o\t%k\t%s\n' (see --help)
    #[arg(
        short,
        long,
        value_name = "STR",
        allow_hyphen_values = true,
        value_parser = TextFormat::parse,
        conflicts_with_all = ["key_delimiter", "delimiter", "print_offset", "kcat_json", "property"],
        help_heading = "Format"
    )]
    pub format: Option<TextFormat>,
    /// Print the key and DELIM before the value
    #[arg(short = 'K', long, value_name = "DELIM", allow_hyphen_values = true, value_parser = delimiter, help_heading = "Format")]
    pub key_delimiter: Option<Delimiter>,
    /// End records with DELIM
    #[arg(short = 'D', long, value_name = "DELIM", allow_hyphen_values = true, default_value = "\\n", value_parser = delimiter, help_heading = "Format")]
    pub delimiter: Delimiter,
    /// Print the offset first, followed by the -K delimiter or a tab
    #[arg(short = 'O', long, help_heading = "Format")]
    pub print_offset: bool,
    /// kcat's JSON envelope; --json is lossless, this is not
    #[arg(short = 'J', long, conflicts_with_all = ["json", "output", "property", "meta_only"], help_heading = "Format")]
    pub kcat_json: bool,
    /// Print null keys and values as NULL
    #[arg(short = 'Z', long, help_heading = "Format")]
    pub null: bool,
    /// Flush after every record
    #[arg(short, long, help_heading = "Format", hide_short_help = true)]
    pub unbuffered: bool,
    /// console-consumer's formatting: print.key=true, key.separator=:, ...
    #[arg(
        long,
        value_name = "K=V",
        alias = "formatter-property",
        value_parser = property,
        conflicts_with_all = ["key_delimiter", "print_offset"],
        help_heading = "Format",
        hide_short_help = true
    )]
    pub property: Vec<String>,
    /// Everything but the value, whose size is given instead; with --json
    #[arg(long, help_heading = "Format", hide_short_help = true)]
    pub meta_only: bool,
    /// Leave the head off --output table and tsv
    #[arg(long, help_heading = "Format", hide_short_help = true)]
    pub no_header: bool,

    /// Which records to print.
    #[command(flatten)]
    pub filter: FilterArgs,
}

const FORMAT_HELP: &str = "\
Tokens of --format, kcat's letters first:
  %s %v  value            %S %V  value length (-1 null)   %R  the same, big-endian 32-bit
  %k     key              %K     key length               %t %p %o  topic, partition, offset
  %T %d  timestamp, ms    %d{strftime[%F %T]} %d{rfc3339} %H  number of headers
  %h     headers k=v,...  %h{ %k=%v }  headers by an inner format
  %e     leader epoch     %x %y %q  producer id, epoch, sequence
  %i     running number   %% %{ %}  themselves
  %a{compression} %a{timestamp-type} %a{transactional-bit} %a{control-bit}
Modifiers: text {hex} {base64} {json}; numbers {hex64} to {hex4}, {big64} to {big8}, {little64}
to {little8}, {byte}, {bool}. Escapes: \\n \\t \\r \\0 \\\\ \\xHH. No newline is added.";

impl ConsumeArgs {
    /// The range of each partition.
    pub fn offsets(&self) -> anyhow::Result<Offsets> {
        Offsets::new(&self.offset).map_err(|error| Problem::usage(format!("--offset: {error}")).into())
    }

    /// The format the options ask for; `table` is how tables go to this stdout.
    pub fn record_format(&self, output: Option<OutputFormat>, table: ListingStyle) -> anyhow::Result<RecordFormat> {
        let with_null = |format: TextFormat| if self.null { format.with_null(b"NULL") } else { format };
        if self.meta_only && output != Some(OutputFormat::Json) {
            return Err(Problem::usage("--meta-only needs --json").hint("lengths are also in -f '%K %S\\n'").into());
        }
        if self.kcat_json {
            return Ok(RecordFormat::KcatJson);
        }
        if let Some(format) = &self.format {
            return Ok(RecordFormat::Text(with_null(format.clone())));
        }
        if !self.property.is_empty() {
            let mut console = Console::default();
            for property in &self.property {
                console.set(property).map_err(|error| Problem::usage(format!("--property: {error}")))?;
            }
            return Ok(RecordFormat::Text(console.format()));
        }
        Ok(match output {
            Some(OutputFormat::Json) => RecordFormat::Json { meta_only: self.meta_only },
            Some(OutputFormat::Tsv) => RecordFormat::Listing(ListingStyle::Tsv),
            Some(OutputFormat::Table) => RecordFormat::Listing(table),
            Some(OutputFormat::Kafka) => RecordFormat::Text(Console::default().format()),
            None => {
                let key = self.key_delimiter.as_ref().map(|delimiter| delimiter.0.as_slice());
                RecordFormat::Text(with_null(TextFormat::raw(key, &self.delimiter.0, self.print_offset)))
            }
        })
    }
}

/// Prints the records asked for.
pub fn run(_args: &ConsumeArgs, _global: &GlobalArgs, _ui: &mut Ui) -> anyhow::Result<Outcome> {
    // MERGE: the body of the command goes here.
    anyhow::bail!("not wired")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn format(args: &[&str]) -> anyhow::Result<RecordFormat> {
        let cli = Cli::try_parse_from([&["logdir", "consume"], args].concat())?;
        let Some(Command::Consume(consume)) = &cli.command else { unreachable!("consume was asked for") };
        consume.record_format(cli.global.output(), ListingStyle::Table { bold: false })
    }

    #[test]
    fn the_options_choose_the_format() {
        let raw = |key: Option<&[u8]>, end: &[u8], offset| RecordFormat::Text(TextFormat::raw(key, end, offset));
        let console = |property: &str| {
            let mut console = Console::default();
            console.set(property).unwrap();
            RecordFormat::Text(console.format())
        };
        let cases: &[(&[&str], RecordFormat)] = &[
            (&[], raw(None, b"\n", false)),
            (&["-K:", "-D", "\\0", "-O"], raw(Some(b":"), b"\0", true)),
            (&["-K", "-"], raw(Some(b"-"), b"\n", false)),
            (&["-Z"], RecordFormat::Text(TextFormat::raw(None, b"\n", false).with_null(b"NULL"))),
            (&["-f", "%o"], RecordFormat::Text(TextFormat::parse("%o").unwrap())),
            (&["--property", "print.key=true"], console("print.key=true")),
            (&["--formatter-property", "print.key=true"], console("print.key=true")),
            (&["--output", "kafka"], console("print.key=false")),
            (&["-J"], RecordFormat::KcatJson),
            (&["--json"], RecordFormat::Json { meta_only: false }),
            (&["--json", "--meta-only"], RecordFormat::Json { meta_only: true }),
            (&["--output", "tsv"], RecordFormat::Listing(ListingStyle::Tsv)),
            (&["--output", "tsv", "--json"], RecordFormat::Json { meta_only: false }),
            (&["--output", "table"], RecordFormat::Listing(ListingStyle::Table { bold: false })),
        ];
        for (args, expected) in cases {
            let format = format(args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
            assert_eq!(&format, expected, "{args:?}");
        }
        assert_eq!(format(&["--meta-only"]).unwrap_err().to_string(), "--meta-only needs --json");
    }

    #[test]
    fn offsets_may_start_with_a_hyphen_and_come_twice() {
        let cli = Cli::try_parse_from(["logdir", "consume", "-o", "-10", "-o", "0=@-1h:10m", "-o", "1=s@5", "-o1=e@9"]);
        let Some(Command::Consume(consume)) = cli.unwrap().command else { unreachable!("consume was asked for") };
        assert_eq!(consume.offsets().unwrap().ranges().count(), 3);
        let twice = Cli::try_parse_from(["logdir", "consume", "-o", "1", "-o", "2"]).unwrap();
        let Some(Command::Consume(consume)) = twice.command else { unreachable!("consume was asked for") };
        assert_eq!(consume.offsets().unwrap_err().to_string(), "--offset: the range '2' is given twice");
    }
}
