//! The `meta.properties` of several log directories against each other (`MetaPropertiesEnsemble.verify`).
//!
//! The directories of one broker name one cluster and one node, and each has an id of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::meta_properties::MetaProperties;
use crate::types::Uuid;

/// Why a broker does not start with a log directory beside those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// Another cluster than the first directory that names one.
    Cluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster it names.
        found: String,
        /// The cluster of those before it.
        expected: String,
        /// The first of those.
        first: PathBuf,
    },
    /// Another node than the broker's settings, or than the first directory that names one.
    Node {
        /// The directory.
        dir: PathBuf,
        /// The node it names.
        found: i32,
        /// The broker, or the node of those before it.
        expected: i32,
    },
    /// An id that stands for no directory.
    ReservedId {
        /// The directory.
        dir: PathBuf,
        /// Its id.
        id: Uuid,
    },
    /// The id of another directory: one is a copy of the other.
    SameId {
        /// The directory.
        dir: PathBuf,
        /// Their id.
        id: Uuid,
        /// The one before it.
        other: PathBuf,
    },
}

impl Contradiction {
    /// The directory that does not fit to those before it.
    pub fn dir(&self) -> &Path {
        match self {
            Contradiction::Cluster { dir, .. }
            | Contradiction::Node { dir, .. }
            | Contradiction::ReservedId { dir, .. }
            | Contradiction::SameId { dir, .. } => dir,
        }
    }
}

/// Every contradiction, in the order a broker meets them when it goes through `found` as given; it stops at the first.
///
/// `node`: the broker's `node.id`, where it is known.
pub fn contradictions<'a>(
    found: impl IntoIterator<Item = (&'a Path, &'a MetaProperties)>,
    mut node: Option<i32>,
) -> Vec<Contradiction> {
    let mut cluster: Option<(&str, &Path)> = None;
    let mut seen: HashMap<Uuid, &Path> = HashMap::new();
    let mut contradictions = Vec::new();
    for (dir, meta) in found {
        if let Some(id) = meta.cluster_id() {
            let (expected, first) = *cluster.get_or_insert((id, dir));
            if id != expected {
                contradictions.push(Contradiction::Cluster {
                    dir: dir.to_owned(),
                    found: id.to_owned(),
                    expected: expected.to_owned(),
                    first: first.to_owned(),
                });
            }
        }
        if let Some(id) = meta.node_id() {
            let expected = *node.get_or_insert(id);
            if id != expected {
                contradictions.push(Contradiction::Node { dir: dir.to_owned(), found: id, expected });
            }
        }
        let Some(id) = meta.directory_id() else { continue };
        if is_reserved(id) {
            contradictions.push(Contradiction::ReservedId { dir: dir.to_owned(), id });
        } else if let Some(other) = seen.insert(id, dir) {
            contradictions.push(Contradiction::SameId { dir: dir.to_owned(), id, other: other.to_owned() });
        }
    }
    contradictions
}

/// Which broker each log directory belongs to, by their node ids: numbers from 0, in the order of the directories.
///
/// A directory that names no node belongs to the only broker there is, else to one of its own with all such.
pub fn brokers(node_ids: &[Option<i32>]) -> Vec<usize> {
    let mut known: Vec<Option<i32>> = Vec::new();
    for id in node_ids.iter().filter(|id| id.is_some()) {
        if !known.contains(id) {
            known.push(*id);
        }
    }
    let of = |id: &Option<i32>| match known.len() {
        0 | 1 => 0,
        _ => known.iter().position(|known| known == id).unwrap_or(known.len()),
    };
    node_ids.iter().map(of).collect()
}

/// The first hundred ids stand for something else (`DirectoryId.reserved`).
pub fn is_reserved(id: Uuid) -> bool {
    u128::from_be_bytes(id.0) < 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(cluster: &str, node: i32, directory: u8) -> MetaProperties {
        let mut id = [0; 16];
        (id[0], id[15]) = (directory, 1);
        let text = format!("version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={}\n", Uuid(id));
        crate::storage::meta_properties::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_named_in_order() {
        let (a, b, c) = (Path::new("a"), Path::new("b"), Path::new("c"));
        let (first, twin, alien) = (meta("x", 1, 7), meta("x", 1, 7), meta("y", 2, 0));
        let all = contradictions([(a, &first), (b, &twin), (c, &alien)], None);
        assert!(
            matches!(
                &all[..],
                [
                    Contradiction::SameId { dir: same, other, .. },
                    Contradiction::Cluster { dir: cluster, first, .. },
                    Contradiction::Node { dir: node, found: 2, expected: 1 },
                    Contradiction::ReservedId { dir: reserved, .. },
                ] if same == b && other == a && cluster == c && first == a && node == c && reserved == c
            ),
            "{all:?}"
        );
        assert_eq!(contradictions([(a, &first), (b, &meta("x", 1, 8))], Some(1)), []);
        assert_eq!(contradictions([(a, &first)], Some(9)).len(), 1);
    }

    #[test]
    fn a_directory_without_a_node_joins_the_only_broker() {
        let cases: [(&[Option<i32>], &[usize]); 4] = [
            (&[None, None], &[0, 0]),
            (&[None, Some(5), Some(5)], &[0, 0, 0]),
            (&[Some(1), Some(2), Some(1)], &[0, 1, 0]),
            (&[Some(1), None, Some(2), None], &[0, 2, 1, 2]),
        ];
        for (ids, expected) in cases {
            assert_eq!(brokers(ids), expected, "{ids:?}");
        }
    }
}
