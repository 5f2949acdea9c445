//! `logdir consume`: records of partitions, on stdout.

mod dead_letter;
mod group;
mod merge;
mod pieces;
pub(super) mod select;
pub(super) mod stream;
mod workers;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use self::merge::Cursor;
use self::pieces::{Slot, format_all};
pub(crate) use self::select::storage_problem;
use self::select::{OfReplicas, Selection, gone, select};
use self::stream::{PartitionStream, StreamOptions};
use crate::batch::Decompressor;
use crate::cli::message::Message;
use crate::storage::fs::StorageError;
use crate::storage::partition::Partition;
use crate::types::{Offset, TimestampMs};

use crate::cli::args::{GlobalArgs, OutputFormat, TopicArg, offset_arg};
use crate::cli::decode::Decode;
use crate::cli::filter::{FilterArgs, RecordFilter};
use crate::cli::range::{Bound, OffsetArg, Offsets, Partitions};
use crate::cli::record_format::{
    Console, ConsoleError, FormatError, Formatter, RecordFormat, Row, TextFormat, unescape,
};
use crate::cli::table::ListingStyle;
use crate::cli::ui::{Pipe, Problem, Progress, Ui};
use crate::cli::{Outcome, dirs, man, size};

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

/// Reads a delimiter.
pub(super) fn delimiter(text: &str) -> Result<Delimiter, FormatError> {
    unescape(text).map(Delimiter)
}

fn property(text: &str) -> Result<String, ConsoleError> {
    Console::default().set(text).map(|()| text.to_owned())
}

/// Print records of partitions, topics or files
///
/// Reads up to the end and stops, unless --follow. With the directories of several brokers, the replica of a partition is
/// read whose log reaches furthest. Nothing is written, locked or repaired, so a broker
/// may run meanwhile.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("consume"), after_long_help = FORMAT_HELP)]
pub struct ConsumeArgs {
    /// Partition directories, log directories or .log files, instead of -d
    ///
    /// -t and -p choose among them.
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
    /// Allow internal topics (__*), whose records are not text
    #[arg(long, hide_short_help = true)]
    pub include_internal: bool,
    /// Show what the records of internal topics say, field by field
    ///
    /// As the formatters of kafka-console-consumer.sh do; in --json the fields are "decoded" beside the bytes.
    /// Allows internal topics.
    #[arg(
        long,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        hide_short_help = true
    )]
    pub decode: Option<Decode>,
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

    /// How a group is read.
    #[command(flatten)]
    pub group: group::GroupArgs,

    /// Who processes its records.
    #[command(flatten)]
    pub workers: workers::WorkerArgs,
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
        let offsets = Offsets::new(&self.offset).map_err(|error| Problem::usage(format!("--offset: {error}")))?;
        if offsets.ranges().any(|range| range.start == Bound::Stored) {
            return Err(Problem::usage("--offset: 'stored' is a group's committed offset, and no group is named")
                .hint("name it with -G NAME, or give a number, -N, start, end or @TIME (see --help)")
                .into());
        }
        Ok(offsets)
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
            None if self.decode.is_some() && self.key_delimiter.is_none() && !self.print_offset => {
                RecordFormat::Decoded
            }
            Some(OutputFormat::Kafka | OutputFormat::Prometheus) => RecordFormat::Text(Console::default().format()),
            None => {
                let key = self.key_delimiter.as_ref().map(|delimiter| delimiter.0.as_slice());
                RecordFormat::Text(with_null(TextFormat::raw(key, &self.delimiter.0, self.print_offset)))
            }
        })
    }
}

/// Prints the records asked for.
pub fn run(args: &ConsumeArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    if args.merge && args.follow {
        return Err(Problem::usage("--merge needs the end of every partition, --follow has none").into());
    }
    if let Some(name) = &args.group.group {
        return group::run(name, args, global, ui);
    }
    args.workers.check(None, &args.topic)?;
    let log_dirs = dirs::of_options(&args.paths, global)?;
    let offsets = args.offsets()?;
    let format = args.record_format(global.output(), ui.table_style())?;
    let selection = Selection {
        paths: &args.paths,
        log_dirs: &log_dirs,
        topics: &args.topic,
        partitions: args.partition.as_ref(),
        internal: args.include_internal || args.decode.is_some(),
        of_replicas: OfReplicas::Furthest,
    };
    let selected = select(&selection)?;
    let mut consumer = Consumer::new(args, offsets, Formatter::new(format, ui.time_text()).decoding(args.decode));
    consumer.share_work(global.threads().get());
    for message in selected.messages {
        message.show(ui);
    }
    for problem in selected.failures {
        consumer.outcome |= dirs::show_all([problem], ui);
        if args.fail_fast {
            return Ok(consumer.outcome);
        }
    }
    if !args.no_header {
        consumer.formatter.header(ui.out().buffer());
    }
    let mut partitions = selected.partitions;
    if args.merge {
        consumer.merge(&partitions, ui)?;
    } else if args.follow {
        consumer.follow(&mut partitions, &selection, ui)?;
    } else {
        consumer.each(&partitions, ui)?;
    }
    let written =
        consumer.formatter.written() + consumer.slots.iter().chain(&consumer.spare).map(Slot::written).sum::<u64>();
    ui.detail(&format!("{written} records"));
    Ok(consumer.outcome)
}

fn max_batch_bytes(args: &ConsumeArgs) -> usize {
    usize::try_from(args.max_batch_bytes).unwrap_or(usize::MAX)
}

/// Whether to go on with the next partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

/// What is kept over all partitions.
struct Consumer<'a> {
    args: &'a ConsumeArgs,
    offsets: Offsets,
    formatter: Formatter,
    filter: RecordFilter,
    decompressor: Decompressor,
    /// Records still wanted.
    left: u64,
    /// One for each thread that formats; none where records must be counted one by one.
    slots: Vec<Slot>,
    /// As many again, which are filled meanwhile.
    spare: Vec<Slot>,
    /// The spare slots are filled, and this is how their reading ended.
    ahead: Option<Result<BatchRead, StorageError>>,
    outcome: Outcome,
}

impl<'a> Consumer<'a> {
    fn new(args: &'a ConsumeArgs, offsets: Offsets, formatter: Formatter) -> Consumer<'a> {
        Consumer {
            args,
            offsets,
            formatter,
            filter: args.filter.filter(),
            decompressor: Decompressor::with_cap(max_batch_bytes(args)),
            left: args.count.unwrap_or(u64::MAX),
            slots: Vec::new(),
            spare: Vec::new(),
            ahead: None,
            outcome: Outcome::Done,
        }
    }

    fn options(&self, partition: &Partition) -> StreamOptions {
        StreamOptions {
            range: self.offsets.for_partition(partition.topic_partition().partition),
            isolation: self.args.isolation_level,
            until_high_watermark: self.args.until_hw,
            control: self.args.print_control_records,
            on_corrupt: self.args.on_corrupt,
            max_batch_bytes: max_batch_bytes(self.args),
            follow: self.args.follow,
            skip_gone: self.args.merge,
        }
    }

    /// Formats on `threads` threads, unless what is printed depends on the record before.
    fn share_work(&mut self, threads: usize) {
        let one_by_one = self.args.count.is_some()
            || self.args.unbuffered
            || self.args.follow
            || self.args.merge
            || self.formatter.is_numbered();
        if threads > 1 && !one_by_one {
            let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            let slot = || Slot::new(&self.formatter, max_batch_bytes(self.args));
            self.slots = std::iter::repeat_with(slot).take(threads).collect();
            self.spare = std::iter::repeat_with(slot).take(threads).collect();
        }
    }

    /// Partition by partition.
    fn each(&mut self, partitions: &[Partition], ui: &mut Ui) -> anyhow::Result<()> {
        let total = partitions.iter().flat_map(Partition::segments).map(|segment| segment.log_len).sum();
        let mut progress = ui.progress_if_apart(total, "consume");
        for partition in partitions {
            let (flow, _) = self.read(partition, self.options(partition), &mut progress, ui)?;
            if flow == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Prints what is wanted of one partition; says where the next read would start, unless damage ended this one.
    ///
    /// An unreadable file is an outcome, not an error: the other partitions are still to be read.
    fn read(
        &mut self,
        partition: &Partition,
        options: StreamOptions,
        progress: &mut Progress,
        ui: &mut Ui,
    ) -> anyhow::Result<(Flow, Option<Offset>)> {
        let mut said = Vec::new();
        let mut options = options;
        let mut relisted: Option<Partition> = None;
        let mut relistings = 0;
        loop {
            let partition = relisted.as_ref().unwrap_or(partition);
            let opened = PartitionStream::open(partition, options, &mut |message| said.push(message));
            show(&mut said, ui);
            let mut stream = match opened {
                Ok(stream) => stream,
                Err(error) => return Ok((self.fail(&error, ui), None)),
            };
            loop {
                let read = if self.slots.is_empty() {
                    self.read_batch(&mut stream, &mut said, progress, ui)
                } else {
                    self.read_slots(&mut stream, &mut said, progress, ui)
                };
                show(&mut said, ui);
                match read? {
                    Ok(BatchRead::Done) => {}
                    // Enough was printed; damage in front of it was met all the same.
                    Ok(BatchRead::Stop) => {
                        self.count_damage(&stream);
                        return Ok((Flow::Stop, Some(stream.position())));
                    }
                    Ok(BatchRead::End) => break,
                    Err(error) => {
                        self.count_damage(&stream);
                        return Ok((self.fail(&error, ui), Some(stream.position())));
                    }
                }
            }
            let flow = self.count_damage(&stream);
            if !stream.is_outdated() {
                return Ok((flow, (!stream.is_stopped()).then(|| stream.position())));
            }
            // Segments were deleted or merged meanwhile: go on in those that are there now.
            let next = stream.position();
            options.range.start = Bound::At(next);
            relistings += 1;
            options.skip_gone = relistings == RELISTINGS_MAX;
            let mut now = partition.clone();
            if let Err(error) = now.refresh() {
                return Ok((self.fail(&error, ui), Some(next)));
            }
            relisted = Some(now);
        }
    }

    /// Puts the stream's damage into the outcome; says whether that is the end of it all.
    fn count_damage(&mut self, stream: &PartitionStream<'_>) -> Flow {
        if !stream.is_damaged() {
            return Flow::GoOn;
        }
        self.outcome |= Outcome::Findings;
        if self.args.fail_fast { Flow::Stop } else { Flow::GoOn }
    }

    /// One batch. The outer error is stdout's, the inner one the partition's.
    fn read_batch(
        &mut self,
        stream: &mut PartitionStream<'_>,
        said: &mut Vec<Message>,
        progress: &mut Progress,
        ui: &mut Ui,
    ) -> anyhow::Result<Result<BatchRead, StorageError>> {
        let unbuffered = self.args.unbuffered;
        let visited = self.visit_batch(stream, said, progress, |formatter, row| {
            formatter.write(row, ui.out().buffer());
            match if unbuffered { ui.out().send() } else { ui.out().drain() } {
                Ok(Pipe::Open) => ControlFlow::Continue(()),
                closed_or_failed => ControlFlow::Break(closed_or_failed),
            }
        });
        Ok(Ok(match visited {
            Ok(Visited { broken: Some(Err(error)), .. }) => return Err(error.into()),
            Ok(Visited { broken: Some(Ok(_)), .. }) => BatchRead::Stop,
            Ok(Visited { read, .. }) => read,
            Err(error) => return Ok(Err(error)),
        }))
    }

    /// One batch: `each` has the records that are wanted of it, until it breaks or there were enough of them.
    fn visit_batch<B>(
        &mut self,
        stream: &mut PartitionStream<'_>,
        said: &mut Vec<Message>,
        progress: &mut Progress,
        mut each: impl FnMut(&mut Formatter, Row<'_>) -> ControlFlow<B>,
    ) -> Result<Visited<B>, StorageError> {
        let Some(batch) = stream.next(&mut |message| said.push(message))? else {
            return Ok(Visited { read: BatchRead::End, next: None, broken: None });
        };
        progress.add(batch.frame.size_bytes());
        self.formatter.begin_batch(&batch.context);
        let every_record = self.filter.is_empty();
        let mut next = batch.first_wanted();
        let behind = batch.frame.last_offset().next();
        let mut is_enough = false;
        let visited = batch.records(&mut self.decompressor).and_then(|records| {
            records.visit(|record| {
                if !batch.wanted(record.offset) || !(every_record || self.filter.matches(record)) {
                    next = record.offset.next();
                    return ControlFlow::Continue(());
                }
                if self.left == 0 {
                    is_enough = true;
                    return ControlFlow::Break(None);
                }
                self.left -= 1;
                next = record.offset.next();
                match each(&mut self.formatter, Row { batch: &batch.context, record }) {
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                    ControlFlow::Break(why) => ControlFlow::Break(Some(why)),
                }
            })
        });
        let (broken, bad) = match visited {
            Ok(broken) => (broken.flatten(), None),
            Err(error) => (None, Some(batch.payload_damage(&error, next))),
        };
        if let Some(message) = bad {
            stream.meet_bad_payload(message, behind, &mut |message| said.push(message));
        } else if broken.is_none() && !is_enough {
            next = behind;
        }
        let read = if self.left == 0 { BatchRead::Stop } else { BatchRead::Done };
        Ok(Visited { read, next: Some(next), broken })
    }

    /// As many batches as the slots take, formatted on all threads and printed in order, while the batches
    /// behind them are read.
    fn read_slots(
        &mut self,
        stream: &mut PartitionStream<'_>,
        said: &mut Vec<Message>,
        progress: &mut Progress,
        ui: &mut Ui,
    ) -> anyhow::Result<Result<BatchRead, StorageError>> {
        let mut end = match self.ahead.take() {
            Some(end) => {
                std::mem::swap(&mut self.slots, &mut self.spare);
                end
            }
            None => fill(&mut self.slots, stream, said, progress),
        };
        let stop = self.args.on_corrupt == OnCorrupt::Stop;
        let (partition, filter, spare) = (stream.partition(), &self.filter, &mut self.spare);
        format_all(&mut self.slots, partition, filter, stop, || {
            if matches!(end, Ok(BatchRead::Done)) {
                self.ahead = Some(fill(spare, stream, said, progress));
            }
        });
        for slot in &mut self.slots {
            loop {
                let pipe = ui.out().pass_on(&slot.out)?;
                slot.out.clear();
                if pipe == Pipe::Closed {
                    return Ok(Ok(BatchRead::Stop));
                }
                if !slot.has_more() {
                    break;
                }
                slot.format(partition, filter, stop);
            }
            let bad = std::mem::take(&mut slot.bad);
            let ends_here = stop && !bad.is_empty();
            for (message, behind) in bad {
                stream.meet_bad_payload(message, behind, &mut |message| said.push(message));
            }
            if ends_here {
                self.spare.iter_mut().for_each(Slot::clear);
                self.ahead = None;
                end = Ok(BatchRead::End);
                break;
            }
        }
        self.slots.iter_mut().for_each(Slot::clear);
        Ok(if self.ahead.is_some() { Ok(BatchRead::Done) } else { end })
    }

    fn fail(&mut self, error: &StorageError, ui: &mut Ui) -> Flow {
        if error.is_not_found() {
            gone(error).show(ui);
            return Flow::GoOn;
        }
        self.outcome |= Outcome::Failed;
        ui.error(storage_problem(error));
        if self.args.fail_fast { Flow::Stop } else { Flow::GoOn }
    }

    /// All partitions at once, by timestamp.
    fn merge(&mut self, partitions: &[Partition], ui: &mut Ui) -> anyhow::Result<()> {
        let mut said = Vec::new();
        let mut cursors = Vec::new();
        for partition in partitions {
            let opened = PartitionStream::open(partition, self.options(partition), &mut |message| said.push(message));
            show(&mut said, ui);
            match opened {
                Ok(stream) => cursors.push(Cursor::new(stream)),
                Err(error) if self.fail(&error, ui) == Flow::Stop => return Ok(()),
                Err(_) => {}
            }
        }
        // Earliest first; partitions are in order, so their number settles equal timestamps.
        let mut heads = BinaryHeap::new();
        for number in 0..cursors.len() {
            if self.push_head(&mut cursors, number, &mut heads, ui) == Flow::Stop {
                break;
            }
        }
        while self.left > 0
            && let Some(Reverse((_, number))) = heads.pop()
        {
            if let Some((batch, record)) = cursors[number].take()
                && self.filter.matches(&record)
            {
                self.left -= 1;
                self.formatter.begin_batch(&batch);
                self.formatter.write(Row { batch: &batch, record: &record }, ui.out().buffer());
                let pipe = if self.args.unbuffered { ui.out().send()? } else { ui.out().drain()? };
                if pipe == Pipe::Closed || self.left == 0 {
                    break;
                }
            }
            if self.push_head(&mut cursors, number, &mut heads, ui) == Flow::Stop {
                break;
            }
        }
        for cursor in &cursors {
            self.count_damage(cursor.stream());
        }
        Ok(())
    }

    /// Puts the next record of cursor `number` among the heads. A cursor at its end, or at a file that
    /// cannot be read, has none.
    fn push_head(
        &mut self,
        cursors: &mut [Cursor<'_>],
        number: usize,
        heads: &mut BinaryHeap<Reverse<(TimestampMs, usize)>>,
        ui: &mut Ui,
    ) -> Flow {
        let cursor = &mut cursors[number];
        let mut said = Vec::new();
        let peeked = cursor.peek(&mut self.decompressor, &mut |message| said.push(message));
        show(&mut said, ui);
        match peeked {
            Ok(Some((timestamp_ms, _))) => heads.push(Reverse((timestamp_ms, number))),
            Ok(None) => {}
            Err(error) => return self.fail(&error, ui),
        }
        if cursor.stream().is_damaged() && self.args.fail_fast { Flow::Stop } else { Flow::GoOn }
    }

    /// Reads to the end, then again whatever came, until stdout closes, the count is reached or a signal comes.
    ///
    /// New segments and new partitions of the selected topics are picked up.
    fn follow(
        &mut self,
        partitions: &mut Vec<Partition>,
        selection: &Selection<'_>,
        ui: &mut Ui,
    ) -> anyhow::Result<()> {
        let mut progress = Progress::none();
        let mut followed: Vec<Followed> = Vec::new();
        let mut round = 0u64;
        loop {
            for (number, partition) in partitions.iter_mut().enumerate() {
                let mut options = self.options(partition);
                // Before the listing: what changes behind it is seen at the next look.
                let stamp = Stamp::of(partition);
                if let Some(known) = followed.get(number) {
                    let (Some(next), true) = (known.next, known.stamp.is_fresh || known.stamp != stamp) else {
                        continue;
                    };
                    options.range.start = Bound::At(next);
                }
                if partition.refresh().is_err() && number < followed.len() {
                    continue;
                }
                let (flow, next) = self.read(partition, options, &mut progress, ui)?;
                let now = Followed { next, stamp };
                match followed.get_mut(number) {
                    Some(known) => *known = Followed { next: next.or(known.next), ..now },
                    None => followed.push(now),
                }
                if flow == Flow::Stop || ui.out().send()? == Pipe::Closed {
                    return Ok(());
                }
            }
            round += 1;
            std::thread::sleep(FOLLOW_EVERY);
            if ui.out().look() == Pipe::Closed {
                return Ok(());
            }
            // Topics and partitions that were created meanwhile.
            if round.is_multiple_of(FOLLOW_LIST_EVERY)
                && let Ok(now) = select(selection)
            {
                let is_new = |found: &Partition| {
                    // A replica that overtook the one that is followed holds the same records.
                    let is_same =
                        |known: &Partition| known.topic_partition() == found.topic_partition() && known.dir().is_dir();
                    !partitions.iter().any(|known| known.dir() == found.dir() || is_same(known))
                };
                let new: Vec<_> = now.partitions.into_iter().filter(is_new).collect();
                partitions.extend(new);
            }
        }
    }
}

/// How often one partition is listed again while its segments vanish under the reader; then they are skipped.
const RELISTINGS_MAX: u32 = 100;
/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// File times are no finer than this.
const FILE_TIME_STEP_MAX: Duration = Duration::from_millis(50);
/// Every how many looks the directories are listed again.
const FOLLOW_LIST_EVERY: u64 = 20;

/// Where a followed partition stands.
struct Followed {
    /// `None` when it could not be read at all.
    next: Option<Offset>,
    stamp: Stamp,
}

/// What changes when a partition does: its directory, or its last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    listed: Option<SystemTime>,
    last: Option<(u64, Option<SystemTime>)>,
    /// The directory changed just before: file times are coarse, so the next change may leave the same one.
    is_fresh: bool,
}

impl Stamp {
    fn of(partition: &Partition) -> Stamp {
        let listed = std::fs::metadata(partition.dir()).and_then(|metadata| metadata.modified()).ok();
        let last = partition.segments().last().and_then(|segment| {
            let metadata = std::fs::metadata(&segment.log).ok()?;
            Some((metadata.len(), metadata.modified().ok()))
        });
        let is_fresh = listed.is_some_and(|at| at.elapsed().is_ok_and(|age| age < FILE_TIME_STEP_MAX));
        Stamp { listed, last, is_fresh }
    }
}

/// Fills slots with the next batches of the stream.
fn fill(
    slots: &mut [Slot],
    stream: &mut PartitionStream<'_>,
    said: &mut Vec<Message>,
    progress: &mut Progress,
) -> Result<BatchRead, StorageError> {
    for slot in slots {
        while !slot.is_full() {
            match stream.next(&mut |message| said.push(message))? {
                Some(batch) => {
                    progress.add(batch.frame.size_bytes());
                    slot.push(&batch);
                }
                None => return Ok(BatchRead::End),
            }
        }
    }
    Ok(BatchRead::Done)
}

/// What came of a batch.
struct Visited<B> {
    read: BatchRead,
    /// Behind the last record that was taken or passed over; `None`: there was no batch.
    next: Option<Offset>,
    /// What broke it off.
    broken: Option<B>,
}

enum BatchRead {
    Done,
    Stop,
    End,
}

fn show(said: &mut Vec<Message>, ui: &mut Ui) {
    for message in said.drain(..) {
        message.show(ui);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

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
