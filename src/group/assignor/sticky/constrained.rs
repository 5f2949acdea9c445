//! Sticky when all members want the same topics (`ConstrainedAssignmentBuilder`).
//!
//! Every member ends with the average rounded down, some with one more. First members keep what they own up to
//! that; what is left goes round those that have less, by id.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::roster::{Partitions, Roster};
use super::racks::Racks;
use super::{Claims, Sticky};

pub(super) fn assign(roster: &Roster<'_>, racks: &Racks<'_>, claims: Claims) -> Sticky {
    let members = roster.members.len();
    if members == 0 {
        return Sticky { partitions: Vec::new(), transfers: Some(HashSet::new()) };
    }
    let mut builder = Builder {
        racks,
        share: roster.partitions() / members,
        full: roster.partitions().div_ceil(members),
        extra: roster.partitions() % members,
        partitions: vec![Vec::new(); members],
        below: Vec::new(),
        at_share: VecDeque::new(),
        let_go: HashMap::new(),
        contested: claims.contested,
        transfers: HashSet::new(),
    };
    builder.keep_owned(roster, claims.owned);
    let mut kept = vec![false; roster.partitions()];
    for partition in builder.partitions.iter().flatten() {
        kept[*partition] = true;
    }
    let mut unassigned: Vec<usize> = (0..roster.partitions()).filter(|partition| !kept[*partition]).collect();
    builder.below.sort_unstable();
    builder.at_share.make_contiguous().sort_unstable();
    racks.rarest_first(&mut unassigned);
    if racks.matter() {
        builder.assign_within_racks(&mut unassigned);
    }
    builder.assign_in_turn(&unassigned);
    Sticky { partitions: builder.partitions, transfers: Some(builder.transfers) }
}

struct Builder<'a> {
    racks: &'a Racks<'a>,
    /// What every member gets at least.
    share: usize,
    /// What a member gets at most.
    full: usize,
    /// How many members may still come above `share`.
    extra: usize,
    partitions: Partitions,
    /// Members below `share`.
    below: Vec<usize>,
    /// Members at `share` that may get one more.
    at_share: VecDeque<usize>,
    /// What members owned and could not keep, with the member.
    let_go: HashMap<usize, usize>,
    contested: HashSet<usize>,
    /// Partitions that go from one member to another.
    transfers: HashSet<usize>,
}

impl Builder<'_> {
    /// Members keep what they own, up to their share, and as many as there are extras keep one more. Those that are
    /// met first do: the order is that of Kafka's hash map.
    fn keep_owned(&mut self, roster: &Roster<'_>, mut owned: Partitions) {
        for &member in &roster.visits {
            let mut owned = std::mem::take(&mut owned[member]);
            owned.retain(|partition| {
                let mismatch = self.racks.mismatch(member, *partition);
                if mismatch {
                    self.let_go.insert(*partition, member);
                }
                !mismatch && !self.contested.contains(partition)
            });
            // By number, then by topic: what is kept is spread over the topics.
            owned.sort_by_key(|partition| (partition - roster.topic_of(*partition).first, *partition));
            if owned.len() < self.share {
                self.below.push(member);
            } else if owned.len() >= self.full && self.extra > 0 {
                self.take_extra();
                self.let_go.extend(owned.drain(self.full..).map(|partition| (partition, member)));
            } else {
                self.let_go.extend(owned.drain(self.share..).map(|partition| (partition, member)));
                if self.extra > 0 {
                    self.at_share.push_back(member);
                }
            }
            self.partitions[member] = owned;
        }
    }

    /// One more member is above its share; nobody else may be after the last.
    fn take_extra(&mut self) {
        self.extra = self.extra.saturating_sub(1);
        if self.extra == 0 {
            self.at_share.clear();
        }
    }

    /// Partitions for which some member in a rack of theirs has room; they are taken out of `unassigned`.
    fn assign_within_racks(&mut self, unassigned: &mut Vec<usize>) {
        let mut next = 0;
        unassigned.retain(|&partition| {
            let from_next = (next..self.below.len()).chain(0..next);
            let mut places = from_next.filter(|place| self.racks.shared(self.below[*place], partition));
            if let Some(place) = places.next() {
                drop(places);
                let member = self.below[place];
                let count = self.partitions[member].len() + 1;
                next = place;
                if count < self.share {
                    next += 1;
                } else {
                    self.below.remove(place);
                    if count < self.full && self.extra > 0 {
                        self.at_share.push_back(member);
                    }
                }
                next = if self.below.is_empty() { 0 } else { next % self.below.len() };
                self.give(partition, member);
                return false;
            }
            drop(places);
            let Some(place) = self.at_share.iter().position(|member| self.racks.shared(*member, partition)) else {
                return true;
            };
            let member = self.at_share[place];
            if self.partitions[member].len() + 1 == self.full {
                self.at_share.remove(place);
                self.take_extra();
            }
            self.give(partition, member);
            false
        });
    }

    /// What is left: round the members below their share, then one more to members at it.
    fn assign_in_turn(&mut self, unassigned: &[usize]) {
        let mut next = 0;
        for &partition in unassigned {
            if next == self.below.len() {
                next = 0;
            }
            let Some(&member) = self.below.get(next) else {
                // There are as many extras as partitions left: some member is at its share.
                let Some(member) = self.at_share.pop_front() else { return };
                self.give(partition, member);
                continue;
            };
            self.give(partition, member);
            if self.partitions[member].len() == self.share {
                self.below.remove(next);
                self.at_share.push_back(member);
            } else {
                next += 1;
            }
        }
    }

    fn give(&mut self, partition: usize, member: usize) {
        self.partitions[member].push(partition);
        let was_with_another = self.let_go.get(&partition).is_some_and(|owner| *owner != member);
        if was_with_another || self.contested.contains(&partition) {
            self.transfers.insert(partition);
        }
    }
}
