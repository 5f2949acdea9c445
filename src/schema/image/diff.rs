//! Two images told apart, leaf by leaf of their trees.

use std::cmp::Ordering;

use super::{Leaf, MetadataImage, Node, compare_names, escape};

/// A leaf that one image has and the other has not, or has otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// Where it is, `/image/topics/byName/orders/0`.
    pub path: String,
    /// What the first image has there.
    pub old: Option<Leaf<'a>>,
    /// What the second image has there; never the same as `old`.
    pub new: Option<Leaf<'a>>,
}

/// What of `from` is otherwise in `to`, in the order of the tree.
///
/// Left out are `/image/provenance`, and `/image/topics/byId`, which shows the topics a second time.
pub fn diff<'a>(from: &'a MetadataImage, to: &'a MetadataImage) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    compare(String::new(), Some(Node::root(from)), Some(Node::root(to)), &mut changes);
    changes
}

fn compare<'a>(path: String, from: Option<Node<'a>>, to: Option<Node<'a>>, changes: &mut Vec<Change<'a>>) {
    if matches!(path.as_str(), "/image/provenance" | "/image/topics/byId") {
        return;
    }
    let (old, new) = (from.and_then(|node| node.leaf()), to.and_then(|node| node.leaf()));
    if old != new {
        changes.push(Change { path: path.clone(), old, new });
    }
    let children = |node: Option<Node<'a>>| node.map(|node| node.children()).unwrap_or_default().into_iter().peekable();
    let (mut from, mut to) = (children(from), children(to));
    loop {
        let order = match (from.peek(), to.peek()) {
            (Some((a, _)), Some((b, _))) => compare_names(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let old = if order == Ordering::Greater { None } else { from.next() };
        let new = if order == Ordering::Less { None } else { to.next() };
        let name = old.as_ref().or(new.as_ref()).map(|(name, _)| escape(name)).unwrap_or_default();
        compare(format!("{path}/{name}"), old.map(|(_, node)| node), new.map(|(_, node)| node), changes);
    }
}
