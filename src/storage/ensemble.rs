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

/// What `meta.properties` says of the broker that a log directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// `cluster.id`.
    pub cluster: Option<&'a str>,
    /// `node.id`, or `broker.id` of version 0.
    pub node: Option<i32>,
}

impl<'a> Identity<'a> {
    /// Of a log directory; nothing where it has no such file.
    pub fn of(meta: Option<&'a MetaProperties>) -> Identity<'a> {
        Identity { cluster: meta.and_then(MetaProperties::cluster_id), node: meta.and_then(MetaProperties::node_id) }
    }
}

/// Which broker each log directory belongs to, by cluster and node: numbers from 0, in the order of the directories.
///
/// Where a directory does not name one of the two, it belongs to the only broker that fits what it names, else to one of
/// its own with all that say the same.
pub fn brokers(identities: &[Identity<'_>]) -> Vec<usize> {
    let mut known: Vec<Identity<'_>> = Vec::new();
    for identity in identities.iter().filter(|it| it.cluster.is_some() && it.node.is_some()) {
        if !known.contains(identity) {
            known.push(*identity);
        }
    }
    let mut numbers = Vec::with_capacity(identities.len());
    for identity in identities {
        let fits = |broker: &Identity<'_>| {
            identity.cluster.is_none_or(|id| broker.cluster.is_none_or(|of| of == id))
                && identity.node.is_none_or(|id| broker.node.is_none_or(|of| of == id))
        };
        let mut fitting = known.iter().enumerate().filter(|(_, broker)| fits(broker)).map(|(number, _)| number);
        let number = match (fitting.next(), fitting.next()) {
            (Some(only), None) => only,
            _ => known.iter().position(|broker| broker == identity).unwrap_or_else(|| {
                known.push(*identity);
                known.len() - 1
            }),
        };
        numbers.push(number);
    }
    // In the order of the directories, whoever was known first.
    let mut order: Vec<usize> = Vec::new();
    for number in &numbers {
        if !order.contains(number) {
            order.push(*number);
        }
    }
    numbers.iter().map(|number| order.iter().position(|it| it == number).unwrap_or(0)).collect()
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
    fn brokers_are_told_apart_by_cluster_and_node() {
        let both = |cluster, node| Identity { cluster: Some(cluster), node: Some(node) };
        let (nothing, node) =
            (Identity { cluster: None, node: None }, |node| Identity { cluster: None, node: Some(node) });
        let of = |cluster| Identity { cluster: Some(cluster), node: None };
        let cases: [(&[Identity<'_>], &[usize]); 8] = [
            (&[nothing, nothing], &[0, 0]),
            (&[nothing, both("x", 5), both("x", 5)], &[0, 0, 0]),
            (&[both("x", 1), both("x", 2), both("x", 1)], &[0, 1, 0]),
            (&[both("x", 1), nothing, both("x", 2), nothing], &[0, 1, 2, 1]),
            // Two clusters have a node 1 each.
            (&[both("x", 1), both("y", 1), both("x", 1)], &[0, 1, 0]),
            (&[both("x", 1), of("y"), both("y", 1), node(1)], &[0, 1, 1, 2]),
            // Before clusters had ids.
            (&[node(1), node(2), node(1)], &[0, 1, 0]),
            (&[node(1), both("x", 1), node(2)], &[0, 0, 1]),
        ];
        for (identities, expected) in cases {
            assert_eq!(brokers(identities), expected, "{identities:?}");
        }
    }
}
