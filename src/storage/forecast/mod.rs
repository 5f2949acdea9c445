//! What a Kafka 4.3 broker does at its next start with these log directories, decided without doing any of it.
//!
//! ```text
//!  meta.properties, bootstrap.checkpoint      whose are they?           else the broker refuses to start
//!   `- __cluster_metadata-0                   recovered, replayed       else the broker refuses to start
//!       `- topics and who holds them
//!   `- .lock, checkpoints, directory names    each log directory        else it goes offline, or all is refused
//!       `- orders-0 ...                       recovery::plan of each
//!           `- served, -stray, -delete, -future, made anew
//! ```
//!
//! [`forecast`] follows `KafkaRaftServer`, `KafkaRaftLog`, `LogManager` and `BrokerMetadataPublisher` in this order,
//! and [`recovery::plan`] for each log. It reads, and writes nothing. Memory grows with the number of partitions, not with
//! their size: of each plan only what it comes to is kept.
//!
//! What follows the start is not forecast: a follower may truncate to its leader, retention and cleaning begin half a
//! minute later, and a controller may have changed its mind about where partitions are.

mod changes;
mod identity;
mod metadata;
mod partition;
mod reason;
mod settings;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use self::changes::{FileChange, files_after};
pub use self::identity::METADATA_DIR;
pub use self::metadata::MetadataSource;
pub use self::partition::{Fate, Loaded, PartitionForecast};
pub use self::reason::{Reach, Reason};
pub use self::settings::{BrokerSettings, SettingError};
pub use super::placement::StrayReason;

use self::identity::Identity;
use self::reason::{of_load, reach_of_storage};
use super::checkpoint::{self, CLEANER, HIGH_WATERMARK, LOG_START, OffsetCheckpoint, RECOVERY_POINT};
use super::fs::StorageError;
use super::log_dir::REMOTE_CACHE;
use super::names::{DirKind, PartitionDirName};
use super::partition::present;
use super::placement::{self, Replicas, directory_of};
use super::recovery::{self, LoadOptions};
use super::{clean_shutdown, lock, meta_properties, metadata_log, partition_metadata};
use crate::schema::image::MetadataImage;
use crate::types::{Offset, TimestampMs, TopicPartition};

/// How to forecast.
#[derive(Debug, Clone, Default)]
pub struct ForecastOptions {
    /// The broker's settings.
    pub settings: BrokerSettings,
    /// Take every directory for cleanly shut down, or for none; `None`: as its marker says.
    pub assume_clean: Option<bool>,
    /// The time, for the expiry of producers.
    pub now_ms: TimestampMs,
    /// The cluster's metadata, instead of what a metadata log in the directories says.
    pub image: Option<MetadataImage>,
}

/// Hears how far a forecast is.
pub trait Observer: Sync {
    /// So many bytes of logs there are.
    fn total(&self, _bytes: u64) {}
    /// So many bytes more are done.
    fn done(&self, _bytes: u64) {}
}

impl Observer for () {}

/// What a broker would do.
#[derive(Debug)]
pub struct Forecast {
    /// Why it refuses to start; empty where it starts.
    pub refusals: Vec<Reason>,
    /// Its log directories, in the order given.
    pub log_dirs: Vec<LogDirForecast>,
    /// Partitions, by topic, number and kind of directory; the metadata log among them. None where the broker refuses
    /// before it comes to them; where it refuses because of one, some of the others may be loaded already.
    pub partitions: Vec<PartitionForecast>,
    /// This node, where it is known.
    pub node_id: Option<i32>,
    /// How the cluster's metadata is known.
    pub metadata: MetadataSource,
}

/// What becomes of a log directory.
#[derive(Debug, Clone)]
pub struct LogDirForecast {
    /// The directory.
    pub dir: PathBuf,
    /// Its logs are taken for cleanly closed.
    pub clean: bool,
    /// Why it goes offline; empty where it does not. Its logs may have been loaded, and cut, before that.
    pub offline: Vec<Reason>,
    /// What a broker warns of and gets around.
    pub warnings: Vec<Reason>,
    /// Changes of its own files.
    pub changes: Vec<FileChange>,
}

impl Forecast {
    /// Whether the broker starts.
    pub fn starts(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Whether all is as one would wish: it starts with every directory, loses nothing and sets nothing aside.
    pub fn is_harmless(&self) -> bool {
        let harmless = |partition: &PartitionForecast| {
            let stays = !matches!(partition.fate, Fate::Stray(_) | Fate::Failed { .. });
            let deleted = partition.fate == Fate::Deleted;
            stays && (deleted || partition.loaded.as_ref().is_none_or(|loaded| !loaded.loses_data()))
        };
        self.starts()
            && self.log_dirs.iter().all(|log_dir| log_dir.offline.is_empty())
            && self.partitions.iter().all(harmless)
    }
}

/// The metadata log of a log directory, as a server that starts would have it.
#[derive(Debug)]
pub struct OpenedMetadata {
    /// What it knows of the cluster, all its records taken for committed.
    pub image: MetadataImage,
    /// Where it is damaged: a server cuts it there, and learns again from the controllers what stood behind. Empty where it
    /// is sound; a torn last batch is no damage.
    pub damage: Vec<Reason>,
}

/// Opens the metadata log in `log_dir`; `None` where the directory has none.
pub fn metadata_log(log_dir: &Path) -> Result<Option<OpenedMetadata>, Reason> {
    let dir = log_dir.join(METADATA_DIR);
    if !dir.is_dir() {
        return Ok(None);
    }
    // Nothing in it is about time: it has no producers.
    let opened = metadata::load(&dir, &BrokerSettings::default(), 0)?;
    Ok(Some(OpenedMetadata { damage: metadata::damage(&opened.loaded), image: opened.image }))
}

/// Forecasts a start with the log directories `dirs`, in the order of `log.dirs`.
pub fn forecast(dirs: &[PathBuf], options: &ForecastOptions, observer: &dyn Observer) -> Forecast {
    let settings = &options.settings;
    let log_dirs = dirs.iter().map(|dir| LogDirForecast {
        dir: dir.clone(),
        clean: false,
        offline: Vec::new(),
        warnings: Vec::new(),
        changes: Vec::new(),
    });
    let mut run = Run {
        options,
        identity: identity::of(dirs, settings),
        image: options.image.clone(),
        forecast: Forecast {
            refusals: Vec::new(),
            log_dirs: log_dirs.collect(),
            partitions: Vec::new(),
            node_id: settings.node_id,
            metadata: if options.image.is_some() { MetadataSource::Given } else { MetadataSource::Unknown },
        },
    };
    run.forecast.refusals.append(&mut run.identity.refusals);
    run.forecast.node_id = run.forecast.node_id.or(run.identity.node_id);
    // In the order of a start: what refuses first keeps what follows from being looked at.
    if run.forecast.starts() {
        run.open_log_dirs();
    }
    if run.forecast.starts() {
        run.open_metadata();
    }
    if run.forecast.starts() && settings.is_broker() {
        run.load_logs(observer);
    }
    run.judge_log_dirs();
    run.forecast.partitions.sort_by(|a, b| {
        let key = |p: &PartitionForecast| (p.name.topic_partition.clone(), p.name.kind != DirKind::Live, p.dir.clone());
        key(a).cmp(&key(b))
    });
    run.forecast
}

struct Run<'a> {
    options: &'a ForecastOptions,
    identity: Identity,
    image: Option<MetadataImage>,
    forecast: Forecast,
}

/// A partition directory to load, and what the log directory's files say about it.
struct Job {
    log_dir: usize,
    name: PartitionDirName,
    dir: PathBuf,
    clean: bool,
    recovery_point: Offset,
    log_start: Offset,
    size_bytes: u64,
}

impl Run<'_> {
    /// `LogManager`'s constructor: which directories there are, and whether they can be had.
    fn open_log_dirs(&mut self) {
        let mut seen = HashSet::new();
        for log_dir in &mut self.forecast.log_dirs {
            let dir = &log_dir.dir;
            if let Some(reason) = self.identity.offline.get(dir) {
                let message = format!("Failed to load {} during broker startup: {}", dir.display(), reason.message);
                log_dir.offline.push(Reason::new(&reason.path, message));
                continue;
            }
            match dir.canonicalize() {
                Ok(canonical) => {
                    if !seen.insert(canonical) {
                        self.forecast.refusals.push(Reason::new(dir, "Duplicate log directory found"));
                    }
                }
                Err(error) => {
                    log_dir.offline.push(Reason::new(dir, format!("is not a readable log directory: {error}")));
                    continue;
                }
            }
            match lock::holder(dir) {
                Ok(None) => {}
                Ok(Some(holder)) => {
                    let message = format!(
                        "Failed to acquire lock on file .lock in {}. A Kafka instance in another process or thread \
                         is using this directory: {holder}",
                        dir.display()
                    );
                    self.forecast.refusals.push(Reason::new(dir.join(lock::FILE_NAME), message));
                }
                Err(error) => log_dir.offline.push(Reason::of_storage(&error)),
            }
            if self.identity.get_an_id.contains(dir) {
                let size_bytes = std::fs::metadata(dir.join(meta_properties::FILE_NAME)).map_or(0, |file| file.len());
                // directory.id=, its 22 characters and a line end.
                let size_bytes = size_bytes + 36;
                let file = meta_properties::FILE_NAME.to_owned();
                log_dir.changes.push(FileChange::Write { file, size_bytes });
            }
        }
        let live = self.forecast.log_dirs.iter().any(|log_dir| log_dir.offline.is_empty());
        if !live && self.options.settings.is_broker() {
            let dirs: Vec<String> = self.forecast.log_dirs.iter().map(|it| it.dir.display().to_string()).collect();
            let message = format!(
                "Shutdown broker because none of the specified log dirs from {} can be created or validated",
                dirs.join(", ")
            );
            let path = self.forecast.log_dirs.first().map(|it| it.dir.clone()).unwrap_or_default();
            self.forecast.refusals.push(Reason::new(path, message));
        }
    }

    /// Opens the metadata log, and takes the image from it.
    fn open_metadata(&mut self) {
        let settings = &self.options.settings;
        let dir = self.identity.metadata_log_dir.join(METADATA_DIR);
        if !dir.is_dir() {
            if self.image.is_none() && settings.is_controller() && settings.is_only_voter {
                self.image = Some(MetadataImage::default());
                self.forecast.metadata = MetadataSource::New;
            }
            return;
        }
        let log_dir = self.forecast.log_dirs.iter().position(|it| it.dir == self.identity.metadata_log_dir);
        let name = PartitionDirName::live(TopicPartition::new(metadata_log::TOPIC, 0));
        let mut entry = PartitionForecast {
            name,
            dir: dir.clone(),
            log_dir: log_dir.unwrap_or(0),
            topic_id: None,
            fate: Fate::Metadata,
            loaded: None,
        };
        match metadata::load(&dir, settings, self.options.now_ms) {
            Ok(log) => {
                entry.loaded = Some(log.loaded);
                if self.image.is_none() {
                    self.image = Some(log.image);
                    let is_committed = log.voters == Some(1);
                    self.forecast.metadata = MetadataSource::Log { dir: entry.dir.clone(), is_committed };
                }
            }
            Err(reason) => {
                self.forecast.refusals.push(reason.clone());
                entry.fate = Fate::Failed { reach: Reach::Broker, reason };
            }
        }
        self.forecast.partitions.push(entry);
    }

    /// `LogManager.loadLogs`, then what becomes of each log.
    fn load_logs(&mut self, observer: &dyn Observer) {
        let mut jobs = Vec::new();
        for at in 0..self.forecast.log_dirs.len() {
            if self.forecast.log_dirs[at].offline.is_empty() {
                let (recovery_points, log_starts) = self.read_checkpoints(at);
                self.list(at, &recovery_points, &log_starts, &mut jobs);
            }
        }
        // A name that is none is met before any log is.
        if !self.forecast.starts() {
            return;
        }
        let failed_before: Vec<bool> = self.forecast.log_dirs.iter().map(|it| !it.offline.is_empty()).collect();
        observer.total(jobs.iter().map(|job| job.size_bytes).sum());
        let loaded: Vec<PartitionForecast> = jobs
            .par_iter()
            .map(|job| {
                let partition = self.load(job);
                observer.done(job.size_bytes);
                partition
            })
            .collect();
        let mut replicas = Replicas::default();
        for partition in loaded {
            self.judge(&partition, &mut replicas);
            self.forecast.partitions.push(partition);
        }
        if self.forecast.starts() {
            self.promote();
            self.refuse_access(&failed_before);
        }
        if self.forecast.starts() {
            self.create(&replicas);
        }
    }

    /// A directory that was given up before its logs are loaded lets none of them be renamed, nor read for the start of an
    /// open transaction (`UnifiedLog.maybeIncrementFirstUnstableOffset`), and that stops the broker
    /// (`LocalLog.maybeHandleIOException`). One that is given up because of one log does so for those that are loaded
    /// after it; in which order they are is not known.
    fn refuse_access(&mut self, failed_before: &[bool]) {
        for partition in &self.forecast.partitions {
            let is_renamed = matches!(partition.fate, Fate::Stray(_) | Fate::Promoted);
            let is_read = partition.loaded.as_ref().is_some_and(|loaded| loaded.first_unstable.is_some());
            if partition.fate == Fate::Metadata || !(is_renamed || is_read) {
                continue;
            }
            let log_dir = &mut self.forecast.log_dirs[partition.log_dir];
            let message = format!(
                "KafkaStorageException: The log dir {} is already offline due to a previous IO exception.",
                log_dir.dir.display()
            );
            if failed_before.get(partition.log_dir) == Some(&true) {
                self.forecast.refusals.push(Reason::new(&partition.dir, message));
            } else if !log_dir.offline.is_empty() {
                let message = format!("the broker does not start, if this log is loaded late: {message}");
                log_dir.warnings.push(Reason::new(&partition.dir, message));
            }
        }
    }

    /// The marker and the checkpoints of a directory, as they are read before its logs are.
    fn read_checkpoints(&mut self, at: usize) -> (OffsetCheckpoint, OffsetCheckpoint) {
        let log_dir = &mut self.forecast.log_dirs[at];
        let marker = log_dir.dir.join(clean_shutdown::FILE_NAME);
        let is_there = marker.exists();
        log_dir.clean = self.options.assume_clean.unwrap_or(is_there);
        if is_there {
            log_dir.changes.push(FileChange::Remove { file: clean_shutdown::FILE_NAME.to_owned() });
        }
        let mut read = |name: &str, instead: &str| {
            let path = log_dir.dir.join(name);
            match present(checkpoint::read(&path)) {
                Ok(Some(offsets)) => offsets,
                Ok(None) => {
                    log_dir.changes.push(FileChange::Write { file: name.to_owned(), size_bytes: 0 });
                    OffsetCheckpoint::default()
                }
                Err(error) => {
                    let message = format!("{}; {instead}", error.kind);
                    match reach_of_storage(&error) {
                        Reach::LogDir => {
                            let message = format!("Error while reading checkpoint file: {message}");
                            log_dir.offline.push(Reason::new(&path, message));
                        }
                        Reach::Broker | Reach::Split => log_dir.warnings.push(Reason::new(&path, message)),
                    }
                    OffsetCheckpoint::default()
                }
            }
        };
        let recovery_points = read(RECOVERY_POINT, "resetting the recovery checkpoint to 0");
        let log_starts = read(LOG_START, "resetting to the base offset of the first segment");
        (recovery_points, log_starts)
    }

    /// The partition directories of a log directory, and names that are none.
    fn list(
        &mut self,
        at: usize,
        recovery_points: &OffsetCheckpoint,
        log_starts: &OffsetCheckpoint,
        jobs: &mut Vec<Job>,
    ) {
        let (root, clean) = (self.forecast.log_dirs[at].dir.clone(), self.forecast.log_dirs[at].clean);
        // Where a directory cannot be listed Kafka takes it for empty.
        let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
        let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        dirs.sort();
        for dir in dirs {
            let file_name = dir.file_name().unwrap_or_default();
            if file_name == REMOTE_CACHE {
                continue;
            }
            let name = match PartitionDirName::parse(file_name) {
                Ok(name) => name,
                Err(error) => {
                    let message = format!(
                        "Found directory {}, '{}' is not in the form of topic-partition or \
                         topic-partition.uniqueId-delete (if marked for deletion): {error}",
                        dir.display(),
                        file_name.display()
                    );
                    self.forecast.refusals.push(Reason::new(dir, message));
                    continue;
                }
            };
            if name.topic_partition.topic == metadata_log::TOPIC {
                continue;
            }
            let of = |offsets: &OffsetCheckpoint| offsets.get(&name.topic_partition).unwrap_or(Offset::ZERO);
            let (recovery_point, log_start) = (of(recovery_points), of(log_starts));
            let size_bytes = size_of(&dir);
            jobs.push(Job { log_dir: at, name, dir, clean, recovery_point, log_start, size_bytes });
        }
    }

    /// `LogManager.loadLog`.
    fn load(&self, job: &Job) -> PartitionForecast {
        let config = self.options.settings.log_of(&job.name.topic_partition.topic, self.image.as_ref());
        let load = LoadOptions {
            clean: job.clean,
            recovery_point: job.recovery_point,
            log_start: job.log_start,
            now_ms: self.options.now_ms,
            config,
        };
        let mut partition = PartitionForecast {
            name: job.name.clone(),
            dir: job.dir.clone(),
            log_dir: job.log_dir,
            topic_id: None,
            fate: Fate::Served,
            loaded: None,
        };
        let failed =
            |error: &StorageError| Fate::Failed { reach: reach_of_storage(error), reason: Reason::of_storage(error) };
        let plan = match job.name.kind {
            DirKind::Delete => recovery::plan_deleted(&job.dir, &load),
            _ => recovery::plan(&job.dir, &load),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                let (reach, reason) = of_load(&error);
                partition.fate = Fate::Failed { reach, reason };
                return partition;
            }
        };
        match Loaded::of_plan(&plan) {
            Ok(mut loaded) => {
                if job.clean && job.name.kind != DirKind::Delete && plan.losses.is_empty() {
                    loaded.look_behind_end(&job.dir);
                }
                partition.loaded = Some(loaded);
            }
            Err(error) => partition.fate = failed(&error),
        }
        drop(plan);
        match present(partition_metadata::read(&job.dir.join(partition_metadata::FILE_NAME))) {
            Ok(metadata) => partition.topic_id = metadata.map(|metadata| metadata.topic_id),
            Err(error) => partition.fate = failed(&error),
        }
        if matches!(partition.fate, Fate::Failed { .. }) {
            return partition;
        }
        partition.fate = match job.name.kind {
            DirKind::Delete => Fate::Deleted,
            DirKind::Stray => Fate::StaysStray,
            DirKind::Live | DirKind::Future => match self.stray(&partition) {
                Some(reason) => Fate::Stray(reason),
                None if job.name.kind == DirKind::Future => Fate::Future,
                None => Fate::Served,
            },
        };
        partition
    }

    fn stray(&self, partition: &PartitionForecast) -> Option<StrayReason> {
        let name = &partition.name.topic_partition;
        placement::stray(self.image.as_ref(), self.forecast.node_id, partition.topic_id, name)
    }

    /// What a loaded log, or one that failed, means for the rest.
    fn judge(&mut self, partition: &PartitionForecast, replicas: &mut Replicas) {
        match &partition.fate {
            Fate::Failed { reach: Reach::LogDir, reason } => {
                self.forecast.log_dirs[partition.log_dir].offline.push(reason.clone());
                return;
            }
            Fate::Failed { reach: Reach::Broker, reason } => {
                self.forecast.refusals.push(reason.clone());
                return;
            }
            Fate::Served | Fate::Future | Fate::Failed { reach: Reach::Split, .. } => {}
            _ => return,
        }
        let topic_partition = &partition.name.topic_partition;
        if let Some(previous) = replicas.add(&partition.name, &partition.dir) {
            let message = if partition.fate == Fate::Future {
                format!("Duplicate log directories found: {}, {}", partition.dir.display(), previous.display())
            } else {
                format!(
                    "Duplicate log directories for {topic_partition} are found in both {} and {}. It is likely \
                     because log directory failure happened while broker was replacing current replica with future \
                     replica. Recover broker from this failure by manually deleting one of the two directories for \
                     this partition.",
                    partition.dir.display(),
                    previous.display()
                )
            };
            self.forecast.refusals.push(Reason::new(&partition.dir, message));
        }
    }

    /// `LogManager.recoverAbandonedFutureLogs`: copies that the metadata takes for the partition already.
    fn promote(&mut self) {
        let (Some(image), Some(node_id)) = (&self.image, self.forecast.node_id) else { return };
        let mut promoted = Vec::new();
        for partition in self.forecast.partitions.iter_mut().filter(|partition| partition.fate == Fate::Future) {
            let id = self.identity.directory_ids.get(&self.forecast.log_dirs[partition.log_dir].dir);
            let (Some(id), Some(topic_id)) = (id, partition.topic_id) else { continue };
            let assigned = image
                .partition(topic_id, partition.name.topic_partition.partition)
                .and_then(|record| directory_of(record, node_id));
            if assigned == Some(*id) {
                partition.fate = Fate::Promoted;
                promoted.push((partition.name.topic_partition.clone(), topic_id));
            }
        }
        for partition in self.forecast.partitions.iter_mut().filter(|partition| partition.fate == Fate::Served) {
            let key = (partition.name.topic_partition.clone(), partition.topic_id);
            if promoted.iter().any(|(name, id)| *name == key.0 && Some(*id) == key.1) {
                partition.fate = Fate::Replaced;
            }
        }
    }

    /// Partitions the metadata assigns to this broker, and that have no directory (`ReplicaManager.applyDelta`).
    fn create(&mut self, replicas: &Replicas) {
        let (Some(image), Some(node_id)) = (&self.image, self.forecast.node_id) else { return };
        // With a directory offline a broker makes none: the partition may be there.
        if self.forecast.log_dirs.iter().any(|log_dir| !log_dir.offline.is_empty()) {
            return;
        }
        let promoted = self.forecast.partitions.iter().filter(|partition| partition.fate == Fate::Promoted);
        let promoted: HashSet<TopicPartition> = promoted.map(|it| it.name.topic_partition.clone()).collect();
        let mut made = Vec::new();
        for topic in image.topics() {
            for (number, record) in &topic.partitions {
                let name = TopicPartition::new(&topic.name, *number);
                let is_here = replicas.current(&name).is_some() || promoted.contains(&name);
                if is_here || !record.replicas.contains(&node_id) {
                    continue;
                }
                let assigned = directory_of(record, node_id);
                let with_id = |log_dir: &LogDirForecast| self.identity.directory_ids.get(&log_dir.dir).copied();
                let log_dir =
                    self.forecast.log_dirs.iter().position(|it| assigned.is_some() && with_id(it) == assigned);
                // Else the directory with the fewest logs: not known here.
                let log_dir = log_dir.unwrap_or(0);
                made.push(PartitionForecast {
                    dir: self.forecast.log_dirs[log_dir].dir.join(name.to_string()),
                    name: PartitionDirName::live(name),
                    log_dir,
                    topic_id: Some(topic.topic_id),
                    fate: Fate::Created,
                    loaded: Some(Loaded::empty()),
                });
            }
        }
        self.forecast.partitions.append(&mut made);
    }

    /// Checkpoints that are read later than the logs, and whether a directory is left.
    fn judge_log_dirs(&mut self) {
        if !self.options.settings.is_broker() || !self.forecast.starts() {
            return;
        }
        for log_dir in &mut self.forecast.log_dirs {
            for name in [HIGH_WATERMARK, CLEANER] {
                let path = log_dir.dir.join(name);
                if let Err(error) = present(checkpoint::read(&path)) {
                    let reason = Reason::new(&path, format!("Error while reading checkpoint file: {}", error.kind));
                    match reach_of_storage(&error) {
                        Reach::LogDir => log_dir.offline.push(reason),
                        Reach::Broker | Reach::Split => log_dir.warnings.push(reason),
                    }
                }
            }
        }
        let offline = |log_dir: &LogDirForecast| !log_dir.offline.is_empty();
        let metadata = self.forecast.log_dirs.iter().find(|it| it.dir == self.identity.metadata_log_dir && offline(it));
        let because =
            |log_dir: &LogDirForecast| log_dir.offline.first().map(|reason| reason.to_string()).unwrap_or_default();
        let refusal = if let Some(log_dir) = metadata {
            let dir = log_dir.dir.display();
            let message =
                format!("Shutdown broker because the metadata log dir {dir} has failed ({})", because(log_dir));
            Some(Reason::new(&log_dir.dir, message))
        } else if let (true, Some(first)) = (self.forecast.log_dirs.iter().all(offline), self.forecast.log_dirs.first())
        {
            let dirs: Vec<String> = self.forecast.log_dirs.iter().map(|it| it.dir.display().to_string()).collect();
            let message =
                format!("Shutdown broker because all log dirs in {} have failed ({})", dirs.join(", "), because(first));
            Some(Reason::new(&first.dir, message))
        } else {
            None
        };
        self.forecast.refusals.extend(refusal);
    }
}

/// Bytes of the files of a directory.
fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| entry.file_name().as_encoded_bytes().ends_with(b".log"));
    logs.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
