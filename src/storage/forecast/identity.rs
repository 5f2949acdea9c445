//! Whose directories these are: `meta.properties` of each, and what a server checks in them before anything else
//! (`KafkaRaftServer.initializeLogDirs`, `MetaPropertiesEnsemble.verify`).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::reason::Reason;
use super::settings::BrokerSettings;
use crate::batch::Frame;
use crate::batch::compression::Decompressor;
use crate::batch::walk::{Stop, Walker};
use crate::schema::metadata::{self, Decoded, Record};
use crate::storage::ensemble::{self, Contradiction};
use crate::storage::file_source::FileSource;
use crate::storage::fs::StorageError;
use crate::storage::meta_properties::{self, MetaProperties};
use crate::storage::partition::present;
use crate::types::{Offset, Position, Uuid};

/// Name of the metadata partition's directory.
pub use crate::storage::metadata_log::DIR_NAME as METADATA_DIR;
/// What the first controller of a cluster starts from.
pub(super) const BOOTSTRAP: &str = "bootstrap.checkpoint";

/// What is known of the directories once a server has looked at their identities.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// This node.
    pub node_id: Option<i32>,
    /// Where the metadata log is.
    pub metadata_log_dir: PathBuf,
    /// `directory.id` of each directory that has one.
    pub directory_ids: HashMap<PathBuf, Uuid>,
    /// Directories that are offline from the start, and why.
    pub offline: BTreeMap<PathBuf, Reason>,
    /// Directories whose `meta.properties` gets an id.
    pub get_an_id: Vec<PathBuf>,
    /// Why no server starts on them.
    pub refusals: Vec<Reason>,
}

/// Looks at the identities of `dirs`.
pub(super) fn of(dirs: &[PathBuf], settings: &BrokerSettings) -> Identity {
    let metadata_log_dir = metadata_log_dir(dirs, settings);
    let mut identity = Identity { metadata_log_dir: metadata_log_dir.clone(), ..Identity::default() };
    if let Err(reason) = identity.look(dirs, settings) {
        identity.refusals.push(reason);
    }
    identity
}

/// The one configured; else the first, unless another is the only one that has a metadata log.
fn metadata_log_dir(dirs: &[PathBuf], settings: &BrokerSettings) -> PathBuf {
    if let Some(dir) = &settings.metadata_log_dir {
        return dir.clone();
    }
    let with_log = dirs.iter().filter(|dir| dir.join(METADATA_DIR).is_dir());
    let mut candidates: Vec<&PathBuf> = if settings.dirs_in_order { Vec::new() } else { with_log.collect() };
    match candidates.len() {
        1 => candidates.remove(0).clone(),
        _ => dirs.first().cloned().unwrap_or_default(),
    }
}

impl Identity {
    fn look(&mut self, dirs: &[PathBuf], settings: &BrokerSettings) -> Result<(), Reason> {
        // Kafka goes through them by name.
        let mut all: Vec<&PathBuf> = dirs.iter().chain([&self.metadata_log_dir]).collect();
        all.sort();
        all.dedup();
        let mut empty = Vec::new();
        let mut found: Vec<(PathBuf, MetaProperties)> = Vec::new();
        for dir in all {
            let path = dir.join(meta_properties::FILE_NAME);
            match present(meta_properties::read(&path)) {
                Ok(Some(meta)) => found.push((dir.clone(), meta)),
                Ok(None) => empty.push(dir.clone()),
                Err(error) => {
                    self.offline.insert(dir.clone(), Reason::of_storage(&error));
                }
            }
        }
        if found.is_empty() {
            let dir = dirs.first().cloned().unwrap_or_default();
            return Err(Reason::new(dir, "No readable meta.properties files found."));
        }
        let by_name = found.iter().map(|(dir, meta)| (dir.as_path(), meta));
        if let Some(first) = ensemble::contradictions(by_name, settings.node_id).first() {
            return Err(reason_of(first));
        }
        if let Some(reason) = self.offline.get(&self.metadata_log_dir) {
            let message = format!(
                "Encountered I/O error in metadata log directory {}. Cannot continue. ({})",
                self.metadata_log_dir.display(),
                reason.message
            );
            return Err(Reason::new(&reason.path, message));
        }
        for (dir, _) in &found {
            let metadata = dir.join(METADATA_DIR);
            if *dir != self.metadata_log_dir && metadata.exists() {
                let message = format!(
                    "Found unexpected metadata location in data directory `{}` (the configured metadata directory is {}).",
                    metadata.display(),
                    self.metadata_log_dir.display()
                );
                return Err(Reason::new(metadata, message));
            }
        }
        if let Some(dir) = empty.first() {
            let message = format!(
                "No `meta.properties` found in {} (have you run `kafka-storage.sh` to format the directory?)",
                dir.display()
            );
            return Err(Reason::new(dir.join(meta_properties::FILE_NAME), message));
        }
        for (dir, meta) in &found {
            let path = dir.join(meta_properties::FILE_NAME);
            if meta.node_id().is_none() {
                return Err(Reason::new(path, format!("Error: node ID not found in {}", dir.display())));
            }
            if meta.cluster_id().is_none() {
                return Err(Reason::new(path, format!("Error: cluster ID not found in {}", dir.display())));
            }
            match meta.directory_id() {
                Some(id) => drop(self.directory_ids.insert(dir.clone(), id)),
                None => self.get_an_id.push(dir.clone()),
            }
        }
        self.node_id = found.iter().find_map(|(_, meta)| meta.node_id());
        check_bootstrap(&self.metadata_log_dir.join(BOOTSTRAP))
    }
}

/// A contradiction in a broker's words.
fn reason_of(contradiction: &Contradiction) -> Reason {
    let path = contradiction.dir().join(meta_properties::FILE_NAME);
    let message = match contradiction {
        Contradiction::Cluster { found, expected, .. } => {
            format!("Invalid cluster.id in: {}. Expected {expected}, but read {found}", path.display())
        }
        Contradiction::Node { found, expected, .. } => format!(
            "Stored node id {found} doesn't match previous node id {expected} in {}. If you moved your data, make \
             sure your configured node id matches.",
            path.display()
        ),
        Contradiction::ReservedId { dir, id } => {
            format!("Invalid reserved directory ID {id} found in {}", dir.display())
        }
        Contradiction::SameId { dir, id, other } => format!(
            "Duplicate directory ID {id} found. It was the ID of {}, but also of {}",
            other.display(),
            dir.display()
        ),
    };
    Reason::new(path, message)
}

/// `BootstrapDirectory.read`: it may be missing, but not unreadable.
fn check_bootstrap(path: &Path) -> Result<(), Reason> {
    let Some(file) = present(File::open(path).map_err(|error| StorageError::new(path, error)))
        .map_err(|error| Reason::of_storage(&error))?
    else {
        return Ok(());
    };
    let io = |error| Reason::of_storage(&StorageError::new(path, error));
    let mut walker = Walker::trusting(FileSource::new(file).map_err(io)?, Position::ZERO);
    let mut decompressor = Decompressor::default();
    let mut has_version = false;
    loop {
        let position = walker.position();
        let walked = match walker.step().map_err(io)? {
            Ok(walked) => walked,
            Err(Stop::End | Stop::Cut { .. }) => break,
            Err(Stop::Corrupt(reason)) => return Err(Reason::new(path, format!("position {position}: {reason}"))),
        };
        if walked.frame.is_control() {
            continue;
        }
        let wrong = |reason: String| Reason::new(path, format!("batch at position {position}: {reason}"));
        for record in records(&walked.frame, &mut decompressor).map_err(&wrong)? {
            has_version |= matches!(record, Record::FeatureLevel { name, .. } if name == "metadata.version");
        }
    }
    if has_version {
        return Ok(());
    }
    let message = format!(
        "No FeatureLevelRecord for metadata.version was found in the bootstrap metadata from the binary bootstrap \
         metadata file: {}",
        path.display()
    );
    Err(Reason::new(path, message))
}

/// The metadata records of a batch; in words, why they cannot be read.
fn records(frame: &Frame<'_>, decompressor: &mut Decompressor) -> Result<Vec<Record>, String> {
    let payload = frame.records(decompressor).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let stopped = payload.visit(|record| {
        let decoded = match metadata::decode(record.value.unwrap_or_default()) {
            Ok(decoded) => decoded,
            Err(error) => return ControlFlow::Break(format!("offset {}: {error}", record.offset)),
        };
        match decoded {
            Decoded::Known(known) => {
                found.push(known.typed());
                ControlFlow::Continue(())
            }
            Decoded::Unknown { api_key, name, version, .. } => {
                ControlFlow::Break(unknown_record(record.offset, api_key, name, version))
            }
        }
    });
    match stopped.map_err(|error| error.to_string())? {
        Some(wrong) => Err(wrong),
        None => Ok(found),
    }
}

/// What is said of a record that a server cannot read.
pub(super) fn unknown_record(offset: Offset, api_key: u32, name: Option<&str>, version: u32) -> String {
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "offset {offset}: a metadata record of type {api_key}{name} and version {version}, which Kafka 4.3 does not know"
    )
}
