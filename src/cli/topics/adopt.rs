//! `logdir topics adopt`: partition directories of another cluster, taken in under this one's ids and epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::storage_problem;
use crate::cli::json_row::JsonRow;
use crate::cli::recover::{say_holders, tend_interrupted};
use crate::cli::size::SizeStyle;
use crate::cli::table::{Column, Listing};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::schema::topic_configs::ConfigSource;
use crate::storage::adopt::{self, AdoptError, AdoptPlan, Existing, Limit, Moved, OpenTransactions, Remark, Wish};
use crate::storage::lock::{self, DirLock};
use crate::storage::names::{FileState, PartitionDirName, PartitionFile, SegmentFileKind, check_topic_name};
use crate::storage::node::{self, Node};
use crate::storage::partition::present;
use crate::storage::restore::Sharing;
use crate::storage::writer::LogConfig;
use crate::storage::{fs, meta_properties};
use crate::types::{TopicPartition, Uuid};

use super::problem::{adopt_problem, node_problem};

const COLUMNS: &[Column] = &[
    Column::left("PARTITION", 20),
    Column::left("ACTION", 6),
    Column::right("LOG_START", 9),
    Column::right("LOG_END", 9),
    Column::right("SIZE", 10),
    Column::left("TOPIC_ID", 22),
    Column::left("DETAIL", 6),
];

/// Take partition directories of another cluster into a log directory
///
/// From a backup, a snapshot or a directory that a broker set aside (-stray). The topic has to exist in the target's
/// cluster, whose topic id, node and log directory are checked; its broker has to be stopped. Prints what would be done;
/// --execute does it. A run that was interrupted leaves what was there or the result, and a rerun finishes it.
#[derive(clap::Args, Debug)]
#[command(before_long_help = man::examples("topics adopt"))]
pub struct AdoptArgs {
    /// Partition directories
    #[arg(value_name = "PARTITION_DIR", required = true)]
    pub paths: Vec<PathBuf>,
    /// The log directory they go to; others of its node are named with -d or -F
    #[arg(long, value_name = "LOG_DIR")]
    pub to: PathBuf,
    /// The topic, or the one partition, they become [default: what their names say]
    #[arg(long = "as", value_name = "TOPIC[-P]")]
    pub name: Option<String>,
    /// The topic's id, where there is no metadata log to take it from
    #[arg(long, value_name = "ID", value_parser = super::topic_id)]
    pub topic_id: Option<Uuid>,
    /// Remove the source when the target is on disk
    #[arg(long = "move")]
    pub moves: bool,
    /// End open transactions with abort markers
    #[arg(long, conflicts_with = "keep_open")]
    pub abort_open: bool,
    /// Leave open transactions open: consumers with read_committed wait before them
    #[arg(long)]
    pub keep_open: bool,
    /// Take the place of a partition that holds records: it gets a -delete name, and a broker removes it
    #[arg(long)]
    pub replace: bool,
    /// Adopt an internal topic, or a partition with several replicas
    #[arg(long)]
    pub force: bool,
    /// Do it
    #[arg(long, conflicts_with = "dry_run")]
    pub execute: bool,
    /// Say what would be done, which is what happens without --execute
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

/// Plans, and with `--execute` adopts.
pub fn run(args: &AdoptArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut listing = super::listing(COLUMNS, global, ui)?;
    let dirs = node_dirs(args, global, ui)?;
    let properties = global.broker_settings()?;
    let _locks = lock_or_warn(args, ui)?;
    tend_interrupted(std::iter::once(&args.to), args.execute, ui)?;
    let node = Node::open(&dirs).map_err(|error| node_problem(&error))?;
    let mut taken = BTreeSet::new();
    let (mut plans, mut moved) = (Vec::new(), Vec::new());
    let mut outcome = Outcome::Done;
    for path in &args.paths {
        match plan_one(args, path, &node, &properties, &mut taken) {
            Ok(Planned::Adopt(plan)) => plans.push(*plan),
            Ok(Planned::Moved(done)) => moved.push(done),
            Err(error) => {
                let problem = Problem::of(&error);
                outcome |= problem.ends_with();
                ui.error(problem);
            }
        }
    }
    if !args.no_header
        && let (Some(listing), false) = (&mut listing, plans.is_empty())
    {
        listing.header(ui.out().buffer());
    }
    for plan in &plans {
        row(args, plan, &mut listing, ui);
        if !plan.is_done() {
            plan.passed.iter().for_each(|passed| ui.warning(Problem::new("notice", passed.to_string())));
            plan.remarks.iter().for_each(|remark| say(plan, remark, ui));
        }
    }
    let planned = plans.len() + moved.len();
    let mut done = 0;
    // All or nothing: who asked for four partitions is not left with three.
    if outcome == Outcome::Done {
        adopt::check_space(&plans, sharing(args)).map_err(|error| adopt_problem(&error))?;
        for gone in &moved {
            done += usize::from(args.execute);
            end_move(args, gone, ui)?;
        }
        for plan in plans.iter().filter(|_| args.execute) {
            adopt_one(args, plan, ui)?;
            done += 1;
        }
    }
    if listing.is_none() {
        let waiting = plans.iter().filter(|plan| !plan.is_done()).count();
        JsonRow::new("summary")
            .field("partitions", planned)
            .field("to_adopt", waiting)
            .field("refused", args.paths.len() - planned)
            .field("executed", args.execute && done == args.paths.len())
            .write(ui.out().buffer());
    }
    if outcome != Outcome::Done {
        ui.note("nothing adopted");
    } else if !args.execute {
        ui.note("nothing adopted; run again with --execute");
    }
    Ok(outcome)
}

/// The target first, then what else of its node is named. What is another node's or another cluster's says nothing of
/// this one: neither what its topics are, nor which partitions it has.
fn node_dirs(args: &AdoptArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Vec<PathBuf>> {
    if !args.to.is_dir() {
        let hint = "name the log directory of the broker that is to serve them";
        return Err(Problem::new("not_found", "there is no such log directory").path(&args.to).hint(hint).into());
    }
    let mut dirs = vec![args.to.clone()];
    if !global.dir.is_empty() || global.properties.is_some() {
        let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        let meta = |dir: &Path| -> anyhow::Result<_> {
            let found = present(meta_properties::read(&dir.join(meta_properties::FILE_NAME)));
            Ok(found.map_err(|error| storage_problem(&error))?)
        };
        let ours = meta(&args.to)?;
        for dir in global.log_dirs()?.into_iter().filter(|dir| !same(dir, &args.to)) {
            let theirs = meta(&dir)?;
            let stranger = ours.as_ref().zip(theirs.as_ref()).and_then(|(ours, theirs)| node::stranger(ours, theirs));
            let Some(stranger) = stranger else {
                dirs.push(dir);
                continue;
            };
            let text = format!("{stranger}, as {} does: it is not looked at", args.to.display());
            let hint = "with -d or -F name the log directories of the node that --to is of";
            ui.warning(Problem::new("notice", text).path(dir).hint(hint));
        }
    }
    Ok(dirs)
}

/// The log directory a source is in, or was; `None` for a directory that stands alone.
fn log_dir_around(source: &Path) -> Option<PathBuf> {
    let parent = match source.canonicalize() {
        Ok(source) => fs::parent_of(&source).to_owned(),
        Err(_) => fs::parent_of(source).canonicalize().ok()?,
    };
    let is_one = parent.join(meta_properties::FILE_NAME).is_file() || parent.join(lock::FILE_NAME).is_file();
    is_one.then_some(parent)
}

fn lock_or_warn(args: &AdoptArgs, ui: &mut Ui) -> anyhow::Result<Vec<DirLock>> {
    let to = std::slice::from_ref(&args.to);
    let mut locks = if args.execute { super::lock_all(to)? } else { say_holders(to, ui)? };
    let target = args.to.canonicalize().ok();
    let sources: BTreeSet<PathBuf> = args.paths.iter().filter_map(|source| log_dir_around(source)).collect();
    for dir in sources.into_iter().filter(|dir| Some(dir) != target.as_ref()) {
        if args.execute && args.moves {
            locks.extend(super::lock_all(std::slice::from_ref(&dir))?);
        } else if let Some(holder) = lock::holder(&dir).map_err(|error| storage_problem(&error))? {
            return Err(Problem::new("locked", format!("is open in {holder}: its logs change while they are read"))
                .path(dir)
                .outcome(Outcome::Refused)
                .hint("stop it, or adopt from a snapshot of the volume")
                .into());
        }
    }
    Ok(locks)
}

/// A move removes its source: what it does not take along must not be there.
fn refuse_leaving_behind(source: &Path) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(source).map_err(|error| storage_problem(&fs::StorageError::new(source, error)))?;
    for entry in entries {
        let entry = entry.map_err(|error| storage_problem(&fs::StorageError::new(source, error)))?;
        let is_set_aside = matches!(
            PartitionFile::parse(&entry.file_name()),
            PartitionFile::Segment(file)
                if file.kind == SegmentFileKind::Log && matches!(file.state, FileState::Deleted | FileState::Cleaned)
        );
        let name = entry.file_name();
        let is_other = matches!(
            PartitionFile::parse(&name),
            PartitionFile::Other | PartitionFile::MetadataSnapshot { .. } | PartitionFile::QuorumState
        );
        let is_other = is_other && !name.as_encoded_bytes().starts_with(b".logdir-");
        if is_set_aside || is_other || entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let text = "is not adopted, and --move removes the directory it is in";
            let hint = "adopt a copy: leave --move out, and remove the source when nothing in it is needed";
            let problem = Problem::new("would_lose", text).path(entry.path()).outcome(Outcome::Refused);
            return Err(problem.hint(hint).into());
        }
    }
    Ok(())
}

/// What is to be done with one directory.
enum Planned {
    Adopt(Box<AdoptPlan>),
    /// It was adopted by a run that ended while it removed it.
    Moved(Moved),
}

fn plan_one(
    args: &AdoptArgs,
    path: &Path,
    node: &Node,
    properties: &BTreeMap<String, String>,
    taken: &mut BTreeSet<TopicPartition>,
) -> anyhow::Result<Planned> {
    if args.moves && path.symlink_metadata().is_err() {
        let name = path.file_name().unwrap_or_default();
        let partition = becomes(args, name, path, node)?;
        let moved = adopt::moved_before(path, &args.to, &partition).map_err(|error| storage_problem(&error))?;
        if let Some(moved) = moved {
            return Ok(Planned::Moved(moved));
        }
    }
    let absolute = path.canonicalize().map_err(|error| storage_problem(&fs::StorageError::new(path, error)))?;
    let partition = becomes(args, absolute.file_name().unwrap_or_default(), path, node)?;
    if args.moves {
        refuse_leaving_behind(path)?;
    }
    if !taken.insert(partition.clone()) {
        let text = format!("{}: another directory named before it becomes {partition} too", path.display());
        return Err(Problem::usage(text).hint("adopt them one by one, with --as").into());
    }
    let wish = Wish {
        source: path,
        log_dir: &args.to,
        partition,
        topic_id: args.topic_id,
        force: args.force,
        replace: args.replace,
        open: match (args.abort_open, args.keep_open) {
            (true, _) => OpenTransactions::Abort,
            (_, true) => OpenTransactions::Keep,
            _ => OpenTransactions::Refuse,
        },
        now_ms: now_ms(),
        config: LogConfig::default(),
        properties,
    };
    let plan = adopt::plan(&wish, node).map_err(|error| adopt_problem(&error))?;
    Ok(Planned::Adopt(Box::new(plan)))
}

/// The partition that the directory called `name`, at `path`, becomes: by its name, or by `--as`.
fn becomes(args: &AdoptArgs, name: &OsStr, path: &Path, node: &Node) -> anyhow::Result<TopicPartition> {
    let named = PartitionDirName::parse(name);
    let own = || match &named {
        Ok(name) => Ok(name.topic_partition.clone()),
        Err(reason) => {
            Err(anyhow::Error::from(adopt_problem(&AdoptError::Name { path: path.to_owned(), reason: reason.clone() })))
        }
    };
    let Some(wanted) = &args.name else {
        let own = own()?;
        // The name of a directory that is set aside is cut where it would be too long.
        if name.len() >= 255 {
            let text = format!("{}: the topic's name may be cut in it", path.display());
            return Err(Problem::new("bad_name", text).hint("say what it holds with: --as TOPIC-PARTITION").into());
        }
        return Ok(own);
    };
    // "a-1" is partition 1 of "a", unless the cluster has a topic of that name.
    let with_number = PartitionDirName::parse(wanted.as_ref()).ok().map(|name| name.topic_partition);
    let topic =
        with_number.as_ref().filter(|_| node.topic(wanted).is_none()).map_or(wanted, |partition| &partition.topic);
    check_topic_name(topic).map_err(|error| Problem::usage(format!("--as {wanted}: {error}")))?;
    match with_number {
        Some(partition) if node.topic(wanted).is_none() => {
            if args.paths.len() > 1 {
                let text = format!("--as {wanted} names one partition, and there are {} directories", args.paths.len());
                return Err(Problem::usage(text)
                    .hint(format!("name the topic alone: --as {}", partition.topic))
                    .into());
            }
            Ok(partition)
        }
        _ => Ok(TopicPartition::new(wanted, own()?.partition)),
    }
}

fn detail(args: &AdoptArgs, plan: &AdoptPlan) -> String {
    let mut parts = vec![format!("from {}", plan.source.display())];
    if plan.is_done() {
        parts.push("adopted before".to_owned());
        return parts.join("; ");
    }
    let highest = plan.survey.highest_epoch.filter(|_| plan.lowered() > 0);
    if let Some(highest) = highest {
        parts.push(format!("leader epochs up to {highest} become {} in {} batches", plan.epoch, plan.lowered()));
    }
    match plan.markers() {
        0 => {}
        1 => parts.push("1 abort marker".to_owned()),
        markers => parts.push(format!("{markers} abort markers")),
    }
    if !plan.open_transactions.is_empty() && args.keep_open {
        parts.push(format!("{} open transactions stay", plan.open_transactions.len()));
    }
    match plan.existing {
        Existing::Empty => parts.push("takes the place of an empty partition".to_owned()),
        Existing::Records => parts.push("the partition there becomes -delete".to_owned()),
        Existing::None | Existing::Adopted => {}
    }
    parts.join("; ")
}

fn action(args: &AdoptArgs, plan: &AdoptPlan) -> &'static str {
    match (plan.is_done(), args.moves) {
        (true, false) => "none",
        (true, true) => "remove",
        (false, true) => "move",
        (false, false) => "copy",
    }
}

fn row(args: &AdoptArgs, plan: &AdoptPlan, listing: &mut Option<Listing>, ui: &mut Ui) {
    let size: SizeStyle = ui.size_style();
    let out = ui.out().buffer();
    let Some(listing) = listing else {
        JsonRow::new("partition")
            .field("topic", plan.partition.topic.clone())
            .field("partition", plan.partition.partition)
            .field("action", action(args, plan))
            .field("source", plan.source.to_string_lossy().into_owned())
            .field("dir", plan.log_dir.to_string_lossy().into_owned())
            .field("topic_id", plan.topic_id.to_string())
            .field("log_start_offset", plan.ends.log_start.get())
            .field("log_end_offset", plan.ends.log_end.get())
            .field("size_bytes", plan.survey.size_bytes)
            .field("leader_epoch", plan.epoch.0)
            .field("highest_epoch", plan.survey.highest_epoch.map(|epoch| epoch.0))
            .field("batches_lowered", plan.lowered())
            .field("open_transactions", plan.open_transactions.len())
            .field("abort_markers", plan.markers())
            .field("existing", existing_word(plan.existing))
            .write(out);
        return;
    };
    listing.text(plan.partition.to_string().as_bytes(), out);
    listing.text(action(args, plan).as_bytes(), out);
    listing.number(plan.ends.log_start.get(), out);
    listing.number(plan.ends.log_end.get(), out);
    listing.text(size.text(plan.survey.size_bytes).as_bytes(), out);
    listing.text(plan.topic_id.to_string().as_bytes(), out);
    listing.text(detail(args, plan).as_bytes(), out);
    listing.end_row(out);
}

const fn existing_word(existing: Existing) -> Option<&'static str> {
    match existing {
        Existing::None => None,
        Existing::Empty => Some("empty"),
        Existing::Records => Some("records"),
        Existing::Adopted => Some("adopted"),
    }
}

fn say(plan: &AdoptPlan, remark: &Remark, ui: &mut Ui) {
    let (path, topic) = (&plan.source, &plan.partition.topic);
    let notice = |text: String| Problem::new("notice", text).path(path);
    ui.warning(match remark {
        Remark::Retention { segments, of, limit, value, source } => {
            let setting = if *limit == Limit::Age { "retention.ms" } else { "retention.bytes" };
            let source = source.map_or("DEFAULT_CONFIG", ConfigSource::name);
            notice(format!(
                "{segments} of {of} segments are beyond {setting} of topic '{topic}' ({value}, {source}): a broker removes \
                 them half a minute after its start"
            ))
            .hint(format!(
                "raise it before the broker has the data: kafka-configs.sh --bootstrap-server HOST:9092 --alter \
                 --entity-type topics --entity-name {topic} --add-config {setting}=-1"
            ))
        }
        Remark::Keyless { first } => notice(format!(
            "the record at offset {first} has no key, and topic '{topic}' is compacted: the cleaner drops records without \
             a key, and a broker takes none from producers"
        ))
        .hint("adopt it as a topic whose cleanup.policy is delete, with --as"),
        Remark::Holes { holes, first, next } => notice(format!(
            "offsets {first} to {} are in no batch{}: compaction leaves such holes, and so does a segment that is gone",
            next.plus(-1),
            if *holes > 1 { format!(" (and {} more)", holes - 1) } else { String::new() }
        ))
        .hint(format!("see where they are with: logdir verify {}", path.display())),
        Remark::LeftBehind { segments, first } => notice(format!(
            "{segments} segment{} from offset {first} on, which a broker had cut off (.log.deleted), {} not adopted",
            if *segments == 1 { "" } else { "s" },
            if *segments == 1 { "is" } else { "are" }
        ))
        .hint(format!(
            "to have {} too, recover it first: logdir recover {} --mode salvage --with-deleted --to DIR --execute",
            if *segments == 1 { "it" } else { "them" },
            path.display()
        )),
        Remark::EndsLower { was, log_end } => notice(format!(
            "the partition there has come to offset {was}, the adopted log ends at {log_end}: consumers that have committed \
             a higher offset start over, as auto.offset.reset has it"
        ))
        .hint("look at the groups' offsets once the broker runs: kafka-consumer-groups.sh --describe --all-groups"),
        Remark::AboveHighWatermark { high_watermark, log_end } => notice(format!(
            "offsets {high_watermark} to {} lie above the high watermark of its last checkpoint: they may never have been \
             replicated; they are adopted as if they had",
            log_end.plus(-1)
        ))
        .hint(format!(
            "cut them off first with: logdir recover {} --mode merge --from REPLICA --to-offset {high_watermark}",
            path.display()
        )),
        Remark::ProducersReplicated => notice(
            "its producers wrote within the last day: the other replicas learn of their ids when they fetch the batches, \
             and may refuse a producer of this cluster that has the same one"
                .to_owned(),
        )
        .hint("wait a day (producer.id.expiration.ms) before adopting, or add the replicas later"),
        Remark::NoMetadata => notice(format!(
            "there is no __cluster_metadata-0 in the log directories: id, node and number of partitions of topic '{topic}' are \
             not compared with the cluster's"
        ))
        .hint("name the log directory that has it with -d too"),
    });
}

/// A source that goes away shares its logs.
fn sharing(args: &AdoptArgs) -> Sharing {
    if args.moves { Sharing::Links } else { Sharing::Copies }
}

/// Says that a source was moved before, and with `--execute` removes what is left of it.
fn end_move(args: &AdoptArgs, moved: &Moved, ui: &mut Ui) -> anyhow::Result<()> {
    if args.execute {
        moved.finish().map_err(|error| storage_problem(&error))?;
    }
    ui.note(&format!("{}: moved before, to {}: nothing to do", moved.source.display(), moved.live.display()));
    Ok(())
}

fn adopt_one(args: &AdoptArgs, plan: &AdoptPlan, ui: &mut Ui) -> anyhow::Result<()> {
    let live = plan.execute(sharing(args)).map_err(|error| adopt_problem(&error))?;
    if plan.is_done() {
        ui.note(&format!("{}: adopted before, nothing to do", live.display()));
    } else {
        ui.note(&format!("{}: adopted as {}", plan.source.display(), live.display()));
    }
    if args.moves {
        plan.remove_source().map_err(|error| adopt_problem(&error))?;
        ui.note(&format!("{}: removed", plan.source.display()));
    }
    Ok(())
}
