//! Who has which partitions, and what changes from one assignment to the next.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The partitions of every member of a group; `T` names a topic: its name, or its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupAssignment<T> {
    members: BTreeMap<String, BTreeMap<T, Vec<i32>>>,
}

impl<T: Ord> GroupAssignment<T> {
    /// Nobody has anything.
    pub const fn new() -> GroupAssignment<T> {
        GroupAssignment { members: BTreeMap::new() }
    }

    /// Adds a member, without partitions if it is a new one.
    pub fn add_member(&mut self, member: &str) {
        if !self.members.contains_key(member) {
            self.members.insert(member.to_owned(), BTreeMap::new());
        }
    }

    /// Gives a partition to a member; a second time it changes nothing.
    pub fn add(&mut self, member: &str, topic: T, partition: i32) {
        self.add_member(member);
        let Some(topics) = self.members.get_mut(member) else { return };
        let partitions = topics.entry(topic).or_default();
        if let Err(place) = partitions.binary_search(&partition) {
            partitions.insert(place, partition);
        }
    }

    /// All members with their topics; members, topics and partitions in ascending order, no topic without partitions.
    pub fn members(&self) -> impl Iterator<Item = (&str, &BTreeMap<T, Vec<i32>>)> {
        self.members.iter().map(|(member, topics)| (member.as_str(), topics))
    }

    /// What a member has; `None` for one that is not in the group.
    pub fn member(&self, member: &str) -> Option<&BTreeMap<T, Vec<i32>>> {
        self.members.get(member)
    }

    /// The partitions of one topic that a member has, ascending.
    pub fn topic<Q>(&self, member: &str, topic: &Q) -> &[i32]
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.members.get(member).and_then(|topics| topics.get(topic)).map_or(&[], Vec::as_slice)
    }

    /// How many partitions a member has.
    pub fn size(&self, member: &str) -> usize {
        self.members.get(member).map_or(0, |topics| topics.values().map(Vec::len).sum())
    }
}

impl<T: Ord> Default for GroupAssignment<T> {
    fn default() -> GroupAssignment<T> {
        GroupAssignment::new()
    }
}

impl<T: Ord + fmt::Display> fmt::Display for GroupAssignment<T> {
    /// One line for each member: `C0: t0-0 t1-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (member, topics) in &self.members {
            write!(f, "{member}:")?;
            for (topic, partitions) in topics {
                for partition in partitions {
                    write!(f, " {topic}-{partition}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What one member gets, loses and keeps; partitions in ascending order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moves<T> {
    /// It has them after, not before.
    pub gained: Vec<(T, i32)>,
    /// It had them before, not after.
    pub lost: Vec<(T, i32)>,
    /// It has them before and after.
    pub kept: Vec<(T, i32)>,
}

/// What each member of either assignment gets, loses and keeps when the second follows the first.
///
/// ```
/// use logdir::group::assignor::{ClientAssignor, Member, Topics, moves};
///
/// let topics = Topics::new().with("t0", 4);
/// let before = ClientAssignor::Range.assign(&topics, &[Member::new("C0", ["t0"])]);
/// let after = ClientAssignor::Range.assign(&topics, &["C0", "C1"].map(|id| Member::new(id, ["t0"])));
/// let moves = moves(&before, &after);
/// assert_eq!(moves["C0"].lost, moves["C1"].gained);
/// assert_eq!(moves["C0"].kept, [("t0".to_owned(), 0), ("t0".to_owned(), 1)]);
/// ```
pub fn moves<T: Ord + Clone>(before: &GroupAssignment<T>, after: &GroupAssignment<T>) -> BTreeMap<String, Moves<T>> {
    let members: BTreeSet<&String> = before.members.keys().chain(after.members.keys()).collect();
    let of_member = |member: &String| {
        let flat = |assignment: &GroupAssignment<T>| -> Vec<(T, i32)> {
            let topics = assignment.members.get(member).into_iter().flatten();
            topics.flat_map(|(topic, partitions)| partitions.iter().map(|number| (topic.clone(), *number))).collect()
        };
        let (had, has) = (flat(before), flat(after));
        // Both lists ascend: a binary search tells what is in the other one.
        let (kept, lost) = had.into_iter().partition(|partition| has.binary_search(partition).is_ok());
        let kept: Vec<(T, i32)> = kept;
        let gained = has.into_iter().filter(|partition| kept.binary_search(partition).is_err()).collect();
        Moves { gained, lost, kept }
    };
    members.into_iter().map(|member| (member.clone(), of_member(member))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(members: &[(&str, &[(&'static str, i32)])]) -> GroupAssignment<&'static str> {
        let mut assignment = GroupAssignment::new();
        for (member, partitions) in members {
            assignment.add_member(member);
            for (topic, partition) in *partitions {
                assignment.add(member, *topic, *partition);
            }
        }
        assignment
    }

    #[test]
    fn moves_say_what_who_gains_loses_and_keeps() {
        let before = assignment(&[("stays", &[("t", 2), ("t", 0), ("u", 0)]), ("leaves", &[("t", 1)])]);
        let after = assignment(&[("stays", &[("t", 1), ("t", 2)]), ("joins", &[("t", 0)]), ("idle", &[])]);
        let moves = moves(&before, &after);
        type List = &'static [(&'static str, i32)];
        let cases: [(&str, List, List, List); 4] = [
            ("stays", &[("t", 1)], &[("t", 0), ("u", 0)], &[("t", 2)]),
            ("leaves", &[], &[("t", 1)], &[]),
            ("joins", &[("t", 0)], &[], &[]),
            ("idle", &[], &[], &[]),
        ];
        for (member, gained, lost, kept) in cases {
            assert_eq!(moves[member].gained, gained, "{member}");
            assert_eq!(moves[member].lost, lost, "{member}");
            assert_eq!(moves[member].kept, kept, "{member}");
        }
        assert_eq!(moves.len(), cases.len());
    }

    #[test]
    fn a_partition_given_twice_is_there_once() {
        let mut twice = assignment(&[("m", &[("t", 1), ("t", 0), ("t", 1)])]);
        twice.add_member("m");
        assert_eq!(twice.topic("m", "t"), [0, 1]);
        assert_eq!((twice.size("m"), twice.size("nobody")), (2, 0));
        assert_eq!(twice.to_string(), "m: t-0 t-1\n");
    }
}
