//! From options to a plan for one partition, and the log directory that `--to` names.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Mode, RecoverArgs, open_log_dir, time};
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::storage_problem;
use crate::cli::ui::{Problem, Ui};
use crate::storage::create::{self, CreateError};
use crate::storage::fs::{self, StorageError};
use crate::storage::log_dir::LogDir;
use crate::storage::meta_properties::{self, MetaProperties};
use crate::storage::names::{DirKind, PartitionDirName};
use crate::storage::partition::{Partition, present};
use crate::storage::partition_metadata;
use crate::storage::recovery::LoadOptions;
use crate::storage::restore::{Job, RestoreError, as_kafka};
use crate::storage::salvage::{self, job::Wishes};
use crate::storage::writer::LogConfig;
use crate::storage::{checkpoint, clean_shutdown};
use crate::types::{Offset, Uuid};

/// Makes plans as the options say.
pub struct Planner<'a> {
    args: &'a RecoverArgs,
    config: LogConfig,
}

impl<'a> Planner<'a> {
    pub fn new(args: &'a RecoverArgs, global: &GlobalArgs) -> anyhow::Result<Planner<'a>> {
        Ok(Planner { args, config: config(args, global)? })
    }

    /// What is to be done with `partition` of `log_dir`.
    pub fn plan(&self, partition: &Partition, log_dir: &Path, _ui: &mut Ui) -> anyhow::Result<Job> {
        let options = self.load_options(partition, log_dir)?;
        let job = match self.args.mode {
            Mode::Kafka => as_kafka::plan(partition.dir(), &options).map(|job| Job::Kafka(Box::new(job))),
            Mode::Salvage | Mode::Merge => {
                let wishes =
                    self.wishes(partition, log_dir, options.log_start.max(rescued_start(partition, log_dir)))?;
                salvage::job::plan(partition, wishes).map(|job| Job::Salvage(Box::new(job)))
            }
        };
        job.map_err(|error| restore_problem(&error).into())
    }

    fn wishes(&self, partition: &Partition, log_dir: &Path, log_start: Offset) -> anyhow::Result<Wishes> {
        let name = partition.topic_partition();
        let mut replicas = Vec::new();
        for from in &self.args.from {
            let inside = from.join(name.to_string());
            let named = from.canonicalize().is_ok_and(|path| path.file_name() == inside.file_name());
            match (inside.is_dir(), named) {
                (true, _) => replicas.push(inside),
                (false, true) => replicas.push(from.clone()),
                (false, false) => {}
            }
        }
        if self.args.mode == Mode::Merge && replicas.is_empty() {
            let places: Vec<String> = self.args.from.iter().map(|path| path.display().to_string()).collect();
            return Err(Problem::new("not_found", format!("{name} not found in {}", places.join(", ")))
                .hint("name the replica's log directory, or its partition directory, with --from")
                .into());
        }
        Ok(Wishes {
            config: self.config,
            log_start,
            max_batch_bytes: self.args.max_batch_bytes,
            replicas,
            to_offset: self.args.to_offset.map(Offset::new),
            topic_id: self.args.topic_id.or_else(|| id_of_siblings(&name.topic, log_dir)),
            insist_on_id: self.args.topic_id.is_some(),
            force: self.args.force,
            with_deleted: self.args.with_deleted,
        })
    }

    /// What a broker would know about the partition when it opens it.
    fn load_options(&self, partition: &Partition, log_dir: &Path) -> anyhow::Result<LoadOptions> {
        let opened = open_log_dir(log_dir)?;
        let checkpoints = opened.checkpoints(&PartitionDirName::live(partition.topic_partition().clone()));
        let recovery_point = checkpoints.recovery_point.filter(|_| !self.args.full);
        Ok(LoadOptions {
            clean: opened.clean_shutdown().is_some() && !self.args.unclean && !self.args.full,
            recovery_point: recovery_point.unwrap_or(Offset::ZERO),
            log_start: checkpoints.log_start.unwrap_or(Offset::ZERO),
            now_ms: time(),
            config: self.config,
        })
    }
}

/// The log start of a checkpoint that cannot be read as one: records that were deleted must not come back.
fn rescued_start(partition: &Partition, log_dir: &Path) -> Offset {
    let bytes = fs::read_small(&log_dir.join(checkpoint::LOG_START), fs::CHECKPOINT_BYTES_MAX).unwrap_or_default();
    checkpoint::rescue(&bytes).get(partition.topic_partition()).unwrap_or(Offset::ZERO)
}

/// The id that other partitions of the topic have beside this one.
fn id_of_siblings(topic: &str, log_dir: &Path) -> Option<Uuid> {
    let opened = LogDir::open(log_dir).ok()?;
    let siblings =
        opened.partitions().filter(|(name, _)| name.kind == DirKind::Live && name.topic_partition.topic == topic);
    let ids = siblings.filter_map(|(_, dir)| partition_metadata::read(&dir.join(partition_metadata::FILE_NAME)).ok());
    let ids: BTreeSet<[u8; 16]> =
        ids.map(|metadata| metadata.topic_id).filter(|id| !id.is_reserved()).map(|id| id.0).collect();
    // Two ids: neither can be believed.
    ids.first().filter(|_| ids.len() == 1).map(|id| Uuid(*id))
}

/// The log's settings, of a broker's properties or Kafka's defaults. A topic's own are in no file of a log directory.
fn config(args: &RecoverArgs, global: &GlobalArgs) -> anyhow::Result<LogConfig> {
    let settings = global.broker_settings()?;
    let defaults = LogConfig::default();
    let size = |name: &str, default: u32| -> anyhow::Result<u32> {
        let Some(text) = settings.get(name) else { return Ok(default) };
        text.trim().parse().map_err(|_| {
            Problem::new("malformed", format!("{name}: expected a number of bytes, found \"{text}\"")).into()
        })
    };
    let index_bytes = size("log.index.size.max.bytes", defaults.segment_index_bytes)?;
    let interval_bytes = size("log.index.interval.bytes", defaults.index_interval_bytes)?;
    Ok(LogConfig {
        segment_bytes: size("log.segment.bytes", defaults.segment_bytes)?,
        segment_index_bytes: args.segment_index_bytes.unwrap_or(index_bytes),
        index_interval_bytes: args.index_interval_bytes.unwrap_or(interval_bytes),
        ..defaults
    })
}

/// Why a partition cannot be recovered, as a person is told of it.
pub fn restore_problem(error: &RestoreError) -> Problem {
    match error {
        RestoreError::Storage(error) => storage_problem(error),
        RestoreError::Load(_) => Problem::new("malformed", error.to_string())
            .outcome(Outcome::Failed)
            .hint("keep what is sound of it with: --mode salvage"),
        RestoreError::Diverged(_) => Problem::new("refused", error.to_string())
            .outcome(Outcome::Refused)
            .hint("a follower cuts its log below the offset named and fetches again; merge below it with --to-offset"),
        RestoreError::TopicId { .. } => Problem::new("topic_id", error.to_string())
            .outcome(Outcome::Refused)
            .hint("the directories are of two topics of one name; if they are not, --force"),
        RestoreError::NotAsPlanned { .. } => Problem::new("error", error.to_string())
            .hint("the original is as it was; if it was not changed meanwhile, please report this"),
    }
}

/// Makes log directory `to` for what comes from `from`, if it is none yet: the same cluster and node, an id of its own.
pub fn make_log_dir(to: &Path, from: &Path) -> anyhow::Result<()> {
    let read = |dir: &Path| present(meta_properties::read(&dir.join(meta_properties::FILE_NAME)));
    let source = read(from).map_err(|error| storage_problem(&error))?;
    let target = read(to).map_err(|error| storage_problem(&error))?;
    let is_new = !to.is_dir() || open_log_dir(to)?.partitions().next().is_none();
    make_meta(to, from, source, target)?;
    let marker = to.join(clean_shutdown::FILE_NAME);
    if is_new && !marker.exists() {
        // True at every moment from now on: a partition gets its name when all of it is on disk.
        fs::replace_atomic(&marker, NEW_MARKER).map_err(|error| storage_problem(&error))?;
    }
    Ok(())
}

/// What a marker says of a directory that no broker had yet.
const NEW_MARKER: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;

fn make_meta(
    to: &Path,
    from: &Path,
    source: Option<MetaProperties>,
    target: Option<MetaProperties>,
) -> anyhow::Result<()> {
    match (source, target) {
        (Some(source), Some(target)) if source.cluster_id() != target.cluster_id() => {
            let text = format!(
                "belongs to cluster {}, {} to {}",
                target.cluster_id().unwrap_or("unknown"),
                from.display(),
                source.cluster_id().unwrap_or("unknown")
            );
            Err(Problem::new("wrong_kind", text)
                .path(to)
                .outcome(Outcome::Refused)
                .hint("name another directory with --to")
                .into())
        }
        (Some(MetaProperties::V1 { cluster_id, node_id, .. }), None) => {
            let id = create::random_uuid().map_err(|error| storage_problem(&StorageError::new(to, error)))?;
            match create::log_dir(to, &cluster_id, node_id, id) {
                Ok(()) | Err(CreateError::Exists { .. }) => Ok(()),
                Err(error) => Err(Problem::new("io", error.to_string()).into()),
            }
        }
        // Nothing to go by: a directory of partitions only, as the original is.
        _ => Ok(fs::create_dirs(to).map_err(|error| storage_problem(&error))?),
    }
}
