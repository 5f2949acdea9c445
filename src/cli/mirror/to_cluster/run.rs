//! The run: looks at both sides, refuses what would go wrong, carries over, and says what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use super::copy::Copy;
use super::lane::{Lane, Reading};
use super::map::MapFile;
use super::offsets::Groups;
use super::problem::{failed, show_said};
use super::report::{self, Sum};
use super::standing::{self, Findings, Standing, TargetEnds};
use super::targets::{self, SourceTopic};
use super::{ToClusterArgs, plan};
use crate::cli::args::{GlobalArgs, now_ms};
use crate::cli::consume::select::{OfReplicas, Selected, Selection, select, storage_problem};
use crate::cli::interrupt::Interrupt;
use crate::cli::mirror::MirrorArgs;
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, dirs};
use crate::cluster::client::Cluster;
use crate::cluster::mm2::{checkpoints_topic, syncs_topic};
use crate::cluster::progress::Progress;
use crate::cluster::properties::Properties;
use crate::cluster::sender::{Sender, Tuning};
use crate::cluster::topics::{Admin, TargetTopic, Wanted, topics_of};
use crate::schema::image::MetadataImage;
use crate::storage::fs::PROPERTIES_BYTES_MAX;
use crate::storage::log_dir::LogDir;
use crate::storage::names::check_topic_name;
use crate::storage::partition::{Partition, present};
use crate::storage::partition_metadata;
use crate::types::TopicPartition;

/// Name of the consumers that read progress; they commit nothing.
const READER_GROUP: &str = "logdir-mirror";

/// Both sides, before anything is written.
struct Sides<'a> {
    args: &'a MirrorArgs,
    cluster: &'a Cluster,
    progress: Progress<'a>,
    transactional_id: String,
    /// Topics of progress.
    syncs: String,
    checkpoints: String,
    there: BTreeMap<String, TargetTopic>,
}

impl Sides<'_> {
    fn to(&self) -> &ToClusterArgs {
        &self.args.to_cluster
    }

    fn replication_factor(&self) -> i32 {
        self.to().replication_factor.unwrap_or(-1)
    }

    fn is_progress(&self, topic: &str) -> bool {
        topic == self.syncs || topic == self.checkpoints
    }

    fn missing_progress(&self) -> impl Iterator<Item = Wanted> {
        let missing = [&self.syncs, &self.checkpoints].into_iter().filter(|name| !self.there.contains_key(*name));
        missing.map(|name| targets::of_progress(name, self.replication_factor()))
    }
}

/// Carries topics into a cluster.
pub fn run(args: &MirrorArgs, servers: &str, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let listing = report::listing(global, ui)?;
    let properties = properties(&args.to_cluster, None)?;
    let cluster = Cluster::new(servers, properties).map_err(failed)?;
    let paths = global.log_dirs()?;
    let selection = Selection {
        paths: &[],
        log_dirs: &paths,
        topics: &args.topic,
        partitions: args.partition.as_ref(),
        internal: false,
        of_replicas: OfReplicas::Furthest,
    };
    let Selected { mut partitions, failures, messages, .. } = select(&selection)?;
    leave_out_mirrors(&mut partitions, ui);
    let mut outcome = dirs::show_all(failures, ui);
    messages.into_iter().for_each(|message| message.show(ui));
    // What cannot be opened was told.
    let opened: Vec<LogDir> = paths.iter().filter_map(|dir| LogDir::open(dir).ok()).collect();
    let (believed, told) = dirs::believed_metadata(&opened, ui);
    outcome |= told;
    let name = name(&args.to_cluster, &opened)?;
    let image = believed.map(|believed| believed.image);
    // Where nobody is fenced, somebody may be at it.
    let progress = Progress::open(&cluster, READER_GROUP, !args.dry_run).map_err(failed)?;
    let metadata = cluster.reach(progress.reader()).map_err(failed)?;
    let sides = Sides {
        args,
        cluster: &cluster,
        progress,
        transactional_id: format!("logdir-mirror-{name}"),
        syncs: syncs_topic(&name),
        checkpoints: checkpoints_topic(&name),
        there: topics_of(&metadata),
    };
    drop(metadata);
    let (lanes, done) = mirror(&sides, &partitions, &opened, image.as_ref(), global, ui)?;
    show_said(&cluster, ui);
    outcome |= done.outcome;
    if let Some(mut sum) = done.sum {
        sum.elapsed = started.elapsed();
        report::print(&lanes, listing, args.no_header, &sum, ui);
    }
    Ok(outcome)
}

/// How it ended; without a sum, nothing was begun.
struct Done {
    outcome: Outcome,
    sum: Option<Sum>,
}

fn mirror<'p>(
    sides: &Sides<'_>,
    partitions: &'p [Partition],
    log_dirs: &[LogDir],
    image: Option<&MetadataImage>,
    global: &GlobalArgs,
    ui: &mut Ui,
) -> anyhow::Result<(Vec<Lane<'p>>, Done)> {
    let (args, cluster) = (sides.args, sides.cluster);
    let refused = |outcome| Done { outcome, sum: None };
    let mut topics = plan::source_topics(partitions, log_dirs, image);
    let wrong = targets::wrong_counts(&topics, &sides.there);
    if !wrong.is_empty() {
        return Ok((Vec::new(), refused(dirs::show_all(wrong, ui))));
    }
    let (mut lanes, mut outcome) = lanes_of(partitions, &topics, args, ui);
    outcome |= dirs::show_all(targets::not_held(&topics, args.partition.as_ref()), ui);
    targets::say_taken_counts(&topics, &sides.there, ui);
    let mirrored: BTreeSet<TopicPartition> = lanes.iter().map(|lane| lane.name().clone()).collect();
    let (mut groups, told) = Groups::read(&sides.to().groups, log_dirs, &mirrored, ui)?;
    outcome |= told;

    let admin = Admin::open(cluster).map_err(failed)?;
    let existing: Vec<&str> =
        topics.iter().map(|topic| topic.name.as_str()).filter(|name| sides.there.contains_key(*name)).collect();
    let mut configs = admin.configs(&existing).map_err(failed)?;
    let few = targets::too_few_replicas(&topics, &sides.there, &configs, sides.replication_factor());
    if !few.is_empty() {
        return Ok((lanes, refused(dirs::show_all(few, ui))));
    }
    let codec = plan::sample(&lanes, &mut topics);
    let mut tuning = Tuning { codec: codec.name(), batch_bytes: targets::batch_bytes(&topics, &configs) };
    let map = sides.to().map.as_deref().filter(|_| !args.dry_run);
    let mut map = map.map(MapFile::open).transpose()?;
    // Whoever had the transactional id is fenced and its transaction ended, before the progress is read.
    let sender = if args.dry_run { None } else { Some(take_over(sides, lanes.len(), &tuning)?) };
    let unlearned = groups.translator.clone();
    let findings = place_all(sides, &sides.there, &mut lanes, &mut groups, map.as_mut())?;
    show_said(cluster, ui);
    if let Some(ends) = standing::go_on(findings, sides.args.on_gap, ui) {
        return Ok((lanes, refused(outcome.and(ends))));
    }
    targets::say_differences(&topics, &configs, ui);

    let mut wanted = targets::to_make(&topics, &sides.there, sides.replication_factor());
    let mut sum =
        Sum { topics_made: wanted.len(), transactions: 0, elapsed: std::time::Duration::ZERO, is_dry: args.dry_run };
    let Some(mut sender) = sender else {
        targets::say_undone(&topics, &configs, now_ms(), ui);
        for topic in &wanted {
            ui.note(&format!("topic '{}' is made, with {} partitions", topic.name, topic.partitions));
        }
        return Ok((lanes, Done { outcome, sum: Some(sum) }));
    };
    wanted.extend(sides.missing_progress());
    let made = make(&admin, sides, &wanted, &topics, ui)?;
    // What the source does not set, the brokers' defaults do.
    let of_sources = wanted.iter().map(|topic| topic.name.as_str()).filter(|name| !sides.is_progress(name));
    configs.extend(admin.configs_of_made(&of_sources.collect::<Vec<_>>()).map_err(failed)?);
    let few = targets::too_few_replicas(&topics, &made, &configs, -1);
    if !few.is_empty() {
        return Ok((lanes, refused(dirs::show_all(few, ui))));
    }
    targets::say_undone(&topics, &configs, now_ms(), ui);
    let batch_bytes = targets::batch_bytes(&topics, &configs);
    if batch_bytes < tuning.batch_bytes {
        tuning.batch_bytes = batch_bytes;
        drop(sender);
        sender = take_over(sides, lanes.len(), &tuning)?;
        // Somebody else may have taken over in between, and written: what was read before counts no more.
        groups.translator = unlearned;
        let findings = place_all(sides, &made, &mut lanes, &mut groups, map.as_mut())?;
        if let Some(ends) = standing::go_on(findings, sides.args.on_gap, ui) {
            return Ok((lanes, refused(outcome.and(ends))));
        }
    }

    let interrupt = Interrupt::listen()?;
    let total = lanes.iter().map(|lane| lane.bytes_left).sum();
    let mut progress = ui.progress(total, "mirroring");
    let mut copy = Copy {
        cluster,
        sender,
        syncs_topic: sides.syncs.clone(),
        checkpoints_topic: sides.checkpoints.clone(),
        throttle: args.throttle,
        transaction_bytes: sides.to().transaction_bytes.max(1),
        map,
        groups,
        interrupt,
        transactions: 0,
        sent_bytes: 0,
    };
    copy.claim(&mut lanes)?;
    let ended = copy.run(&mut lanes, &mut progress, ui)?;
    outcome |= ended;
    if ended != Outcome::Interrupted && !copy.groups.is_empty() {
        copy.write_checkpoints()?;
        outcome |=
            copy.groups.commit(cluster, &lanes, global.output() == Some(crate::cli::args::OutputFormat::Json), ui)?;
    }
    drop(progress);
    say_without_time(&lanes, ui);
    if outcome == Outcome::Interrupted {
        ui.note("interrupted: what was sent is committed; run again to go on");
    }
    sum.transactions = copy.transactions;
    Ok((lanes, Done { outcome, sum: Some(sum) }))
}

/// A producer with the mirror's transactional id: whoever had it is fenced, and its transaction ended.
fn take_over(sides: &Sides<'_>, slots: usize, tuning: &Tuning) -> anyhow::Result<Sender> {
    let sender = Sender::open(sides.cluster, &sides.transactional_id, slots, tuning).map_err(failed)?;
    sender.init().map_err(failed)?;
    Ok(sender)
}

/// Reads the progress, and puts each lane where it goes on; what is wrong there comes back.
fn place_all(
    sides: &Sides<'_>,
    there: &BTreeMap<String, TargetTopic>,
    lanes: &mut [Lane<'_>],
    groups: &mut Groups,
    mut map: Option<&mut MapFile>,
) -> anyhow::Result<Findings> {
    let mut standing = Standing::default();
    if there.contains_key(&sides.syncs) {
        let names: BTreeSet<&TopicPartition> = lanes.iter().map(Lane::name).collect();
        let mut compared = Ok(());
        standing = Standing::read(&sides.progress, &sides.syncs, |sync| {
            groups.translator.learn(&sync.partition, sync.topic_id, &sync.span);
            if let Some(map) = map.as_mut().filter(|_| compared.is_ok() && names.contains(&sync.partition)) {
                compared = map.compare(&sync.partition, &sync.span);
            }
        })?;
        compared?;
    }
    if let Some(map) = map {
        map.catch_up()?;
    }
    if !groups.is_empty() && there.contains_key(&sides.checkpoints) {
        groups.read_checkpoints(&sides.progress, &sides.checkpoints)?;
    }
    let mut findings = Findings::default();
    for lane in lanes {
        let name = lane.name();
        let mut ends = TargetEnds::default();
        if there.contains_key(&name.topic) {
            let (low, high) = sides.progress.ends(&name.topic, name.partition).map_err(failed)?;
            ends = TargetEnds { low, high };
        }
        standing::place(lane, standing.of(name), ends, sides.to().append, groups, &mut findings);
        lane.bytes_left = plan::bytes_left(lane);
    }
    Ok(findings)
}

/// What mirrors keep in a cluster is of that cluster: MirrorMaker leaves it out too.
fn leave_out_mirrors(partitions: &mut Vec<Partition>, ui: &mut Ui) {
    partitions.retain(|partition| {
        let topic = &partition.topic_partition().topic;
        let is_kept = !is_of_mirrors(topic);
        if !is_kept {
            ui.detail(&format!("topic '{topic}' is a mirror's own: left out"));
        }
        is_kept
    });
}

/// Whether a topic is one that mirrors keep for themselves.
pub fn is_of_mirrors(topic: &str) -> bool {
    (topic.starts_with("mm2") && topic.ends_with(".internal")) || topic.ends_with(".checkpoints.internal")
}

/// The user's settings, of a file and of the command line; what is wrong with them is told without their values.
pub fn properties(args: &ToClusterArgs, file: Option<&Path>) -> anyhow::Result<Properties> {
    let mut properties = Properties::default();
    if let Some(file) = args.command_config.as_deref().or(file) {
        let text = read_properties(file)?;
        properties.add_file(&text).map_err(|error| Problem::usage(error.to_string()).path(file))?;
    }
    for arg in &args.client_property {
        properties.add(&arg.0).map_err(|error| Problem::usage(format!("-X: {error}")))?;
    }
    Ok(properties)
}

/// The text of a file of settings, or of a pipe: passwords come by way of one.
fn read_properties(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|open| open.take(PROPERTIES_BYTES_MAX + 1).read_to_string(&mut text));
    read.with_context(|| file.display().to_string())?;
    if text.len() as u64 > PROPERTIES_BYTES_MAX {
        let problem = Problem::usage(format!("is longer than {PROPERTIES_BYTES_MAX} bytes: no file of settings is"));
        return Err(problem.path(file).into());
    }
    Ok(text)
}

/// The name that progress is kept under.
fn name(args: &ToClusterArgs, log_dirs: &[LogDir]) -> anyhow::Result<String> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let ids: BTreeSet<&str> = log_dirs.iter().filter_map(|dir| dir.meta()?.cluster_id()).collect();
            let mut ids = ids.into_iter();
            match (ids.next(), ids.next()) {
                (Some(id), None) => id.to_owned(),
                (None, _) => {
                    return Err(Problem::usage(
                        "no meta.properties in these directories says which cluster they are of",
                    )
                    .hint("say under which name progress is to be kept: --name NAME")
                    .into());
                }
                (Some(one), Some(other)) => {
                    let text = format!("the directories are of several clusters: {one} and {other}");
                    return Err(Problem::usage(text).hint("mirror them one by one").into());
                }
            }
        }
    };
    for topic in [syncs_topic(&name), checkpoints_topic(&name)] {
        if let Err(error) = check_topic_name(&topic) {
            return Err(Problem::usage(format!("--name {name:?}: no topic can be named '{topic}': {error}")).into());
        }
    }
    Ok(name)
}

/// A lane for each partition; those that cannot be read are told.
fn lanes_of<'p>(
    partitions: &'p [Partition],
    topics: &[SourceTopic],
    args: &MirrorArgs,
    ui: &mut Ui,
) -> (Vec<Lane<'p>>, Outcome) {
    let reading = Reading { isolation: args.to_cluster.isolation_level, on_gap: args.on_gap };
    let (mut lanes, mut outcome) = (Vec::with_capacity(partitions.len()), Outcome::Done);
    for partition in partitions {
        let mut lane = match Lane::new(partition, reading) {
            Ok(lane) => lane,
            Err(error) => {
                outcome |= dirs::show_all([storage_problem(&error)], ui);
                continue;
            }
        };
        let name = lane.name();
        let topic = topics.iter().find(|topic| topic.name == name.topic);
        lane.is_compacted |= topic.is_some_and(SourceTopic::is_compacted);
        let file = partition.dir().join(partition_metadata::FILE_NAME);
        lane.topic_id = present(partition_metadata::read(&file)).ok().flatten().map(|found| found.topic_id);
        if let Some(open) = partition.log_end().ok().filter(|log_end| *log_end > lane.end) {
            ui.warning(
                Problem::new(
                    "notice",
                    format!(
                        "{name}: a transaction is open at offset {}: offsets up to {open} are left for a later run",
                        lane.end
                    ),
                )
                .hint("see which with: logdir transactions find-hanging"),
            );
        }
        lanes.push(lane);
    }
    (lanes, outcome)
}

fn make(
    admin: &Admin<'_>,
    sides: &Sides<'_>,
    wanted: &[Wanted],
    topics: &[SourceTopic],
    ui: &mut Ui,
) -> anyhow::Result<BTreeMap<String, TargetTopic>> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    // All or none, as far as asking first can tell.
    admin.create(wanted, true).map_err(failed)?;
    admin.create(wanted, false).map_err(failed)?;
    let there = admin.wait_for(sides.progress.reader(), wanted).map_err(failed)?;
    for topic in wanted {
        ui.note(&format!("made topic '{}' with {} partitions", topic.name, topic.partitions));
    }
    let unknown: Vec<&str> = wanted
        .iter()
        .filter_map(|topic| topics.iter().find(|source| source.name == topic.name && !source.is_known))
        .map(|topic| topic.name.as_str())
        .collect();
    if !unknown.is_empty() {
        ui.note(&format!(
            "no metadata log here knows the settings of {}: made with the cluster's defaults",
            unknown.join(", ")
        ));
    }
    Ok(there)
}

fn say_without_time(lanes: &[Lane<'_>], ui: &mut Ui) {
    for lane in lanes.iter().filter(|lane| lane.without_time > 0) {
        let text = format!(
            "{}: {} records have the timestamp 0, which librdkafka replaces by the time of sending",
            lane.name(),
            lane.without_time
        );
        ui.warning(Problem::new("notice", text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_anything_that_ends() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.properties");
        std::fs::write(&file, "linger.ms=5\n").unwrap();
        assert_eq!(read_properties(&file).unwrap(), "linger.ms=5\n");
        let error = read_properties(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        assert!(read_properties(dir.path()).is_err());
    }
}
