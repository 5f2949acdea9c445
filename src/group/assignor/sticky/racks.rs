//! Where members and replicas are (`AbstractStickyAssignor.RackInfo`).

use std::collections::{BTreeSet, HashMap};

use super::super::range::racks_matter;
use super::super::roster::Roster;

/// Racks of members and partitions.
pub(super) struct Racks<'a> {
    /// The rack of each member; all `None` when racks make no difference.
    members: Vec<Option<&'a str>>,
    /// The racks of each partition.
    partitions: Vec<&'a [String]>,
    /// For each partition how many members share a rack with it; empty when no member has a rack.
    near: Vec<usize>,
}

impl<'a> Racks<'a> {
    pub(super) fn new(roster: &Roster<'a>) -> Racks<'a> {
        let members: Vec<Option<&str>> = (0..roster.members.len()).map(|member| roster.rack(member)).collect();
        let mut in_rack: HashMap<&str, usize> = HashMap::new();
        for rack in members.iter().flatten() {
            *in_rack.entry(rack).or_default() += 1;
        }
        if in_rack.is_empty() {
            return Racks { members, partitions: Vec::new(), near: Vec::new() };
        }
        let partitions: Vec<&[String]> = (0..roster.partitions()).map(|number| roster.racks(number)).collect();
        let near = partitions.iter().map(|racks| {
            let racks: BTreeSet<&str> = racks.iter().map(String::as_str).collect();
            racks.into_iter().filter_map(|rack| in_rack.get(rack)).sum()
        });
        let near = near.collect();
        let member_racks = in_rack.into_keys().collect();
        if racks_matter(&member_racks, &partitions) {
            Racks { members, partitions, near }
        } else {
            Racks { members: vec![None; members.len()], partitions, near }
        }
    }

    /// Whether racks make a difference.
    pub(super) fn matter(&self) -> bool {
        self.members.iter().any(Option::is_some)
    }

    /// Whether a member is in a rack, and the partition has no replica there.
    pub(super) fn mismatch(&self, member: usize, partition: usize) -> bool {
        self.members[member].is_some() && !self.shared(member, partition)
    }

    /// Whether a member is in a rack in which the partition has a replica.
    pub(super) fn shared(&self, member: usize, partition: usize) -> bool {
        let racks = self.partitions.get(partition).copied().unwrap_or_default();
        self.members[member].is_some_and(|rack| racks.iter().any(|other| other == rack))
    }

    /// Partitions near few members first, else in their order; done also when racks make no difference.
    pub(super) fn rarest_first(&self, partitions: &mut [usize]) {
        partitions.sort_by_key(|partition| self.near.get(*partition).copied().unwrap_or(0));
    }
}
