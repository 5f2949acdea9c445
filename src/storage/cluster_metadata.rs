//! Which of the metadata logs in several log directories tells what the cluster is.
//!
//! Every node of a KRaft cluster has a copy of the metadata log, and they are not equally new. A sound one is believed before
//! a damaged one, which is cut where its damage begins; of equals the one that reaches furthest. In which order the
//! directories are named makes no difference.

use std::path::{Path, PathBuf};

use super::forecast::{METADATA_DIR, Reason, metadata_log};
use super::partition::{Checkpoints, Partition};
use super::replicas::{Reach, by_reach};
use crate::schema::image::MetadataImage;

/// The metadata log that is believed.
#[derive(Debug)]
pub struct ClusterMetadata {
    /// What it knows of the cluster.
    pub image: MetadataImage,
    /// The log directory it is in.
    pub log_dir: PathBuf,
    /// It is damaged, and what stood behind that is not known.
    pub is_damaged: bool,
}

/// What is wrong with a metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataProblem {
    /// The log directory it is in.
    pub log_dir: PathBuf,
    /// File, place and reason.
    pub reason: Reason,
    /// It cannot be read at all; else it is damaged.
    pub is_unreadable: bool,
}

/// What the metadata logs of some log directories come to.
#[derive(Debug, Default)]
pub struct Choice {
    /// The one that is believed; `None` where there is none that can be read.
    pub believed: Option<ClusterMetadata>,
    /// What is wrong with it and with those that reach further.
    pub problems: Vec<MetadataProblem>,
}

/// Chooses among the metadata logs in `log_dirs`, which are all of one cluster. Reads only; those that reach less far than a
/// sound one are not read.
pub fn choose<'d>(log_dirs: impl IntoIterator<Item = &'d Path>) -> Choice {
    let mut found: Vec<(&Path, Reach)> = Vec::new();
    for log_dir in log_dirs {
        let dir = log_dir.join(METADATA_DIR);
        if dir.is_dir() {
            let reach = Partition::open(&dir, Checkpoints::default()).and_then(|log| Reach::of(&log));
            // One that cannot be listed is last, and the error is met again when it is read.
            let nothing = Reach { epoch: None, log_end: crate::types::Offset::ZERO };
            found.push((log_dir, reach.unwrap_or(nothing)));
        }
    }
    // Of equals the first by name.
    found.sort_by_key(|(log_dir, _)| *log_dir);
    let reaches: Vec<Reach> = found.iter().map(|(_, reach)| *reach).collect();
    let mut choice = Choice::default();
    for number in by_reach(&reaches) {
        let log_dir = found[number].0.to_owned();
        let problem = |reason, is_unreadable| MetadataProblem { log_dir: log_dir.clone(), reason, is_unreadable };
        let opened = match metadata_log(&log_dir) {
            Ok(None) => continue,
            Ok(Some(opened)) => opened,
            Err(reason) => {
                choice.problems.push(problem(reason, true));
                continue;
            }
        };
        let is_damaged = !opened.damage.is_empty();
        choice.problems.extend(opened.damage.into_iter().map(|reason| problem(reason, false)));
        if !is_damaged || choice.believed.is_none() {
            choice.believed = Some(ClusterMetadata { image: opened.image, log_dir, is_damaged });
        }
        if !is_damaged {
            break;
        }
    }
    choice
}
