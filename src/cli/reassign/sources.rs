//! Where a cluster is read from: log directories, an instance file, Kafka's JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::storage_problem;
use crate::cli::dirs::show_all;
use crate::cli::log_dirs::open_dirs;
use crate::cli::ui::{Problem, Ui};
use crate::reassign::cluster::{Disk, Rules};
use crate::reassign::instance::Instance;
use crate::reassign::inventory::{FoundDir, Inventory, Known, ReplicaLists};
use crate::reassign::plan_json::{ANY_LOG_DIR, PlanJsonError, parse_plan};
use crate::schema::image::MetadataImage;
use crate::storage::forecast::METADATA_DIR;
use crate::storage::fs::StorageError;
use crate::storage::inventory::{LogDirFacts, LogDirs};
use crate::storage::names::DirKind;
use crate::storage::partition::{Checkpoints, Partition as PartitionDir};

/// The largest JSON file that is read: a million partitions take a tenth of it.
const JSON_BYTES_MAX: u64 = 1 << 30;

/// A cluster and the rules that came with it.
pub struct Source {
    /// The cluster.
    pub inventory: Inventory,
    /// The rules of an instance file; `None` of anything else.
    pub rules: Option<Rules>,
    /// Bounds that an instance file knows.
    pub bounds: BTreeMap<String, f64>,
    /// What could not be read, and was told, makes of the run.
    pub outcome: Outcome,
}

/// Reads what `--cluster` and the options name.
pub fn read(cluster: Option<&Path>, reads_dirs: bool, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Source> {
    let mut outcome = Outcome::Done;
    let mut known = Known::default();
    if reads_dirs {
        let found = look_into_dirs(global, ui)?;
        outcome |= found.outcome;
        known = found.known;
        if found.moving > 0 {
            let text = format!("{} partitions are being reassigned: they are taken for as they will be", found.moving);
            ui.warning(Problem::new("notice", text).hint("let that end, or cancel it, before a new plan is executed"));
        }
    }
    let Some(path) = cluster else {
        return Ok(Source { inventory: Inventory::put_together(known), rules: None, bounds: BTreeMap::new(), outcome });
    };
    let text = read_json(path)?;
    let malformed = |error: &dyn std::fmt::Display| Problem::new("malformed", error.to_string()).path(shown(path));
    if is_instance(&text) {
        let instance = Instance::parse(&text).map_err(|error| malformed(&error))?;
        let mut inventory = Inventory::of(instance.cluster);
        inventory.take_sizes(&known.dirs);
        return Ok(Source { inventory, rules: Some(instance.rules), bounds: instance.bounds, outcome });
    }
    let plan = parse_plan(&text).map_err(|error| {
        let problem = malformed(&error);
        match error {
            PlanJsonError::Shape(_) | PlanJsonError::Nothing => problem
                .hint("expected is what kafka-reassign-partitions.sh --generate prints, or an instance of reassign-instance/1"),
            _ => problem,
        }
    })?;
    let mut replicas = ReplicaLists::new();
    for it in plan {
        let log_dirs = it.log_dirs.unwrap_or_default();
        let log_dirs = log_dirs.into_iter().map(|path| (path != ANY_LOG_DIR).then_some(path));
        let list = it.replicas.into_iter().zip(log_dirs.chain(std::iter::repeat(None))).collect();
        replicas.insert((it.topic, it.partition), list);
    }
    known.replicas = Some(replicas);
    Ok(Source { inventory: Inventory::put_together(known), rules: None, bounds: BTreeMap::new(), outcome })
}

/// Reads a JSON file, or stdin for `-`.
pub fn read_json(path: &Path) -> anyhow::Result<String> {
    let error = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::InvalidData => Problem::new("malformed", "it is no UTF-8").path(shown(path)),
        _ => storage_problem(&StorageError::new(shown(path), error)),
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(JSON_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(JSON_BYTES_MAX + 1).read_to_string(&mut text))
    };
    if read.map_err(error)? as u64 > JSON_BYTES_MAX {
        let text = format!("it is larger than {JSON_BYTES_MAX} bytes");
        return Err(Problem::new("too_large", text).path(shown(path)).into());
    }
    Ok(text)
}

/// A path for messages.
pub fn shown(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("stdin") } else { path.to_owned() }
}

/// Whether the first object of a text says that it is an instance.
fn is_instance(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        schema: Option<serde::de::IgnoredAny>,
    }
    let start = text.find('{').unwrap_or(0);
    let mut objects = serde_json::Deserializer::from_str(text.get(start..).unwrap_or_default()).into_iter::<Kind>();
    matches!(objects.next(), Some(Ok(Kind { schema: Some(_) })))
}

/// What the log directories of the options tell.
pub struct Found {
    /// Brokers, partitions and sizes.
    pub known: Known,
    /// The log directories.
    pub dirs: LogDirs,
    /// Partitions whose replicas are on their way in or out.
    pub moving: usize,
    /// What could not be read, and was told, makes of the run.
    pub outcome: Outcome,
}

/// Looks into the log directories of the options.
pub fn look_into_dirs(global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Found> {
    let opened = open_dirs(&[], global, ui)?;
    let (dirs, mut outcome) = (opened.dirs, opened.outcome);
    if let Some(stranger) = dirs.facts().iter().find(|facts| facts.cluster != 0) {
        let clusters = |facts: &LogDirFacts| facts.cluster_id.clone().unwrap_or_else(|| "none".to_owned());
        let text = format!("its cluster.id is {}, not {}", clusters(stranger), clusters(&dirs.facts()[0]));
        return Err(Problem::new("wrong_kind", text)
            .path(&stranger.path)
            .hint("name the directories of one cluster")
            .into());
    }
    let mut found: Vec<FoundDir> = Vec::new();
    let free = free_parts(dirs.facts());
    for (facts, free) in dirs.facts().iter().zip(free) {
        let Some(broker) = facts.node_id else {
            let problem =
                Problem::new("wrong_kind", "its meta.properties names no node.id, so whose it is is not known");
            return Err(problem.path(&facts.path).hint("say it with node.id in a file for -F").into());
        };
        let disk = Disk { path: as_broker_names(&facts.path), capacity: free };
        found.push(FoundDir { broker, disk, partitions: Vec::new() });
    }
    let all = dirs.partitions();
    let live: Vec<_> = all
        .filter(|(_, name, path)| name.kind == DirKind::Live && path.file_name().is_none_or(|it| it != METADATA_DIR))
        .collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads().get()).build()?;
    let sizes: Vec<Result<u64, StorageError>> =
        pool.install(|| live.par_iter().map(|(_, _, path)| log_bytes(path)).collect());
    let mut seen = BTreeSet::new();
    for ((log_dir, name, path), size) in live.iter().zip(sizes) {
        let bytes = match size {
            Ok(bytes) => bytes,
            // A topic deleted in a running broker.
            Err(error) if error.is_not_found() => continue,
            Err(error) => {
                outcome |= show_all([storage_problem(&error)], ui);
                continue;
            }
        };
        let Some(dir) = found.get_mut(*log_dir) else { continue };
        let partition = (name.topic_partition.topic.clone(), name.topic_partition.partition);
        if !seen.insert((dir.broker, partition.clone())) {
            let text =
                format!("broker {} has the partition in another log directory too, and does not start", dir.broker);
            ui.warning(Problem::new("duplicate", text).path(path));
            outcome |= Outcome::Findings;
        }
        dir.disk.capacity = dir.disk.capacity.map(|capacity| capacity.saturating_add(bytes));
        dir.partitions.push((partition, bytes));
    }
    let mut known = Known { dirs: found, ..Known::default() };
    let moving = image(&dirs).map_or(0, |image| take_metadata(image, &mut known));
    Ok(Found { known, dirs, moving, outcome })
}

/// A log directory as its broker names it: by its absolute path.
pub fn as_broker_names(dir: &Path) -> String {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string()
}

/// The cluster's metadata, where one of the directories has it.
pub fn image(dirs: &LogDirs) -> Option<&MetadataImage> {
    (0..dirs.facts().len()).find_map(|number| dirs.image(number))
}

/// Bytes of a partition's logs: what a broker calls its size (`UnifiedLog.size`).
fn log_bytes(dir: &Path) -> Result<u64, StorageError> {
    let partition = PartitionDir::open(dir, Checkpoints::default())?;
    Ok(partition.segments().iter().map(|segment| segment.log_len).sum())
}

/// What may be added to each log directory: of what its file system has left the same part for all directories on it.
fn free_parts(facts: &[LogDirFacts]) -> Vec<Option<u64>> {
    let mut on_device: BTreeMap<u64, u64> = BTreeMap::new();
    for system in facts.iter().filter_map(|facts| facts.file_system) {
        *on_device.entry(system.device).or_default() += 1;
    }
    let part = |facts: &LogDirFacts| {
        let system = facts.file_system?;
        Some(system.free_bytes / on_device.get(&system.device).copied().unwrap_or(1).max(1))
    };
    facts.iter().map(part).collect()
}

/// Takes brokers, racks and replica lists from the metadata; answers how many partitions have replicas on their way in or out.
fn take_metadata(image: &MetadataImage, known: &mut Known) -> usize {
    known.brokers = image.brokers().map(|broker| (broker.broker_id, broker.rack.clone())).collect();
    let mut replicas = ReplicaLists::new();
    let mut moving = 0;
    for topic in image.topics() {
        for record in topic.partitions.values() {
            moving += usize::from(!record.adding_replicas.is_empty() || !record.removing_replicas.is_empty());
            // Those on their way out are gone when what is planned here begins.
            let stays = |id: &&i32| !record.removing_replicas.contains(id);
            let list = record.replicas.iter().filter(stays).map(|id| (*id, None)).collect();
            replicas.insert((topic.name.clone(), record.partition), list);
        }
    }
    known.replicas = Some(replicas);
    moving
}
