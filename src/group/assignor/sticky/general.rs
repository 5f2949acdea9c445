//! Sticky when members want different topics (`GeneralAssignmentBuilder`).
//!
//! Members keep what they own; every free partition goes to the member with the fewest, topics with the fewest
//! subscribers first. Then partitions move from members with more to members with fewer, one at a time, until no
//! move makes the group more even.
//!
//! Kafka keeps members in a sorted set and looks through it; here the lightest member is found among the subscribers
//! of a topic, and a topic is looked at again only where a move may have changed its state. The answers are the same.

use std::collections::HashMap;

use super::super::roster::{Partitions, Roster};
use super::Claims;
use super::movements::{Moved, Movements};
use super::racks::Racks;
use crate::java_map;

pub(super) fn assign(roster: &Roster<'_>, racks: &Racks<'_>, claims: Claims) -> Partitions {
    let previous = previous_owners(roster, claims.generation);
    let mut builder = Builder {
        roster,
        owner: vec![None; roster.partitions()],
        sizes: vec![0; roster.members.len()],
        movable: (0..roster.topics.len()).filter(|topic| roster.topics[*topic].subscribers.len() > 1).collect(),
        suspect: 0,
        movements: Movements::default(),
    };
    let mut revoked = false;
    for (member, owned) in claims.owned.into_iter().enumerate() {
        for partition in owned {
            if roster.wants(member, partition) && !racks.mismatch(member, partition) {
                builder.set_owner(partition, member);
            } else {
                revoked = true;
            }
        }
    }
    let first_assignment = builder.sizes.iter().all(|size| *size == 0);

    let mut topics: Vec<usize> = (0..roster.topics.len()).collect();
    topics.sort_by_key(|topic| (roster.topics[*topic].subscribers.len(), *topic));
    let all = topics.into_iter().flat_map(|topic| roster.topics[topic].numbers());
    let mut all: Vec<usize> = all.collect();
    let mut unassigned: Vec<usize> = all.iter().copied().filter(|number| builder.owner[*number].is_none()).collect();
    if racks.matter() {
        for &partition in &unassigned {
            builder.give_to_lightest(partition, |member| !racks.mismatch(member, partition));
        }
    }
    for &partition in &unassigned {
        if builder.owner[partition].is_none() {
            builder.give_to_lightest(partition, |_| true);
        }
    }

    let movable = |partition: &usize| roster.topic_of(*partition).subscribers.len() > 1;
    all.retain(movable);
    unassigned.retain(movable);
    let taking_part: Vec<usize> = (0..roster.members.len()).filter(|member| builder.takes_part(*member)).collect();
    let before = (builder.owner.clone(), unevenness(&builder.sizes, &taking_part));
    if !revoked {
        builder.even_out(&unassigned, &previous);
    }
    let moved = builder.even_out(&all, &previous);
    // Moves that made nothing better are not worth their price.
    if moved && !first_assignment && unevenness(&builder.sizes, &taking_part) >= before.1 {
        builder.owner = before.0;
    }
    let mut partitions = vec![Vec::new(); roster.members.len()];
    for (partition, owner) in builder.owner.into_iter().enumerate() {
        if let Some(member) = owner {
            partitions[member].push(partition);
        }
    }
    partitions
}

/// Who owned a partition in a generation that is over: of several the last such generation, and of those of one
/// generation the first in the order of Kafka's hash map.
fn previous_owners(roster: &Roster<'_>, newest: i32) -> HashMap<usize, usize> {
    let mut previous: HashMap<usize, (i32, usize)> = HashMap::new();
    for &member in &roster.visits {
        let generation = roster.members[member].generation;
        if generation.unwrap_or(-1) >= newest {
            continue;
        }
        let generation = generation.unwrap_or(-1);
        for partition in roster.numbers(&roster.members[member].owned) {
            let known = previous.entry(partition).or_insert((generation, member));
            if generation > known.0 {
                *known = (generation, member);
            }
        }
    }
    previous.into_iter().map(|(partition, (_, member))| (partition, member)).collect()
}

struct Builder<'a> {
    roster: &'a Roster<'a>,
    owner: Vec<Option<usize>>,
    /// Partitions of each member.
    sizes: Vec<usize>,
    /// Topics that more than one member wants.
    movable: Vec<usize>,
    /// Place in `movable` of the topic that was last seen uneven; those before it, round to it, may have changed.
    suspect: usize,
    movements: Movements,
}

impl Builder<'_> {
    fn set_owner(&mut self, partition: usize, member: usize) {
        if let Some(owner) = self.owner[partition].replace(member) {
            self.sizes[owner] -= 1;
        }
        self.sizes[member] += 1;
    }

    fn size_of_owner(&self, partition: usize) -> usize {
        self.owner[partition].map_or(0, |owner| self.sizes[owner])
    }

    /// Of the members that want a topic the one with the fewest partitions; of several the first by id.
    fn lightest(&self, topic: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let subscribers = self.roster.topics[topic].subscribers.iter().copied();
        subscribers.filter(|member| fits(*member)).min_by_key(|member| (self.sizes[*member], *member))
    }

    fn give_to_lightest(&mut self, partition: usize, fits: impl Fn(usize) -> bool) {
        if let Some(member) = self.lightest(self.roster.topic_number(partition), fits) {
            self.set_owner(partition, member);
        }
    }

    /// Whether partitions may move to or from a member (`canConsumerParticipateInReassignment`).
    fn takes_part(&self, member: usize) -> bool {
        let topics = || self.roster.subscribed[member].iter().map(|topic| &self.roster.topics[*topic]);
        let most: usize = topics().map(|topic| topic.partitions).sum();
        // A member that owns all it wants owns some of each of its topics.
        self.sizes[member] < most || topics().any(|topic| topic.subscribers.len() > 1)
    }

    /// Whether some subscriber of a topic has two partitions fewer than an owner of one of its partitions.
    fn uneven(&self, topic: usize) -> bool {
        let most = self.roster.topics[topic].numbers().map(|partition| self.size_of_owner(partition)).max();
        let least = self.lightest(topic, |_| true).map(|member| self.sizes[member]);
        most.zip(least).is_some_and(|(most, least)| most > least + 1)
    }

    /// Whether no move makes the group more even (`isBalanced`). Begins with the topic that was uneven last time.
    fn balanced(&mut self) -> bool {
        for _ in 0..self.movable.len() {
            if self.uneven(self.movable[self.suspect]) {
                return false;
            }
            self.suspect = (self.suspect + 1) % self.movable.len();
        }
        true
    }

    /// Moves partitions to members with fewer, going through the list until a round moves nothing or the group is
    /// even. Says whether anything moved.
    fn even_out(&mut self, partitions: &[usize], previous: &HashMap<usize, usize>) -> bool {
        let mut any_moved = false;
        let mut patience = Patience::new(&self.sizes, self.owner.len());
        loop {
            let mut moved = false;
            for &partition in partitions {
                if self.balanced() {
                    break;
                }
                let size = self.size_of_owner(partition);
                let home = previous.get(&partition).copied().filter(|member| self.roster.wants(*member, partition));
                let home = home.filter(|member| size > self.sizes[*member] + 1);
                let lightest = || self.lightest(self.roster.topic_number(partition), |_| true);
                let Some(to) = home.or_else(lightest) else { continue };
                if size > self.sizes[to] + 1 {
                    self.move_to(partition, to);
                    moved = true;
                    if !patience.holds(&self.sizes) {
                        return true;
                    }
                }
            }
            any_moved |= moved;
            if !moved {
                return any_moved;
            }
        }
    }

    /// Moves the partition, or one of its topic that goes home by it.
    fn move_to(&mut self, partition: usize, to: usize) {
        let Some(from) = self.owner[partition] else { return };
        let partition = self.movements.instead_of(self.moved(partition), from, to);
        if let Some(from) = self.owner[partition] {
            self.movements.note(self.moved(partition), from, to);
            self.set_owner(partition, to);
        }
    }

    fn moved(&self, partition: usize) -> Moved {
        let topic = self.roster.topic_of(partition);
        let number = i32::try_from(partition - topic.first).unwrap_or(i32::MAX);
        let hash = java_map::partition_hash(topic.name, number);
        Moved { partition, topic: self.roster.topic_number(partition), hash }
    }
}

/// The sum of the differences of any two members (`getBalanceScore`), in a Java `int`, which may overflow.
fn unevenness(sizes: &[usize], members: &[usize]) -> i32 {
    let mut sizes: Vec<i64> = members.iter().map(|member| i64::try_from(sizes[*member]).unwrap_or(i64::MAX)).collect();
    sizes.sort_unstable();
    // In ascending order each size is subtracted from those behind it and added for those before it.
    let (mut sum, mut below) = (0i64, 0i64);
    for (place, size) in (0i64..).zip(&sizes) {
        sum = sum.wrapping_add(size.wrapping_mul(place).wrapping_sub(below));
        below = below.wrapping_add(*size);
    }
    #[expect(clippy::cast_possible_truncation, reason = "Java adds in 32 bits, and overflows in the same way")]
    let score = sum as i32;
    score
}

/// How long moves may go on that make nothing more even.
///
/// A partition that goes home instead of another may come from a member other than the one that has too many. Nothing
/// in Kafka's code says that this ends; here it does.
struct Patience {
    best: usize,
    left: usize,
    rounds: usize,
}

impl Patience {
    const ROUNDS_MAX: usize = 16;

    fn new(sizes: &[usize], partitions: usize) -> Patience {
        let rounds = partitions.saturating_mul(Patience::ROUNDS_MAX);
        Patience { best: Patience::squares(sizes), left: rounds, rounds }
    }

    fn squares(sizes: &[usize]) -> usize {
        sizes.iter().fold(0usize, |sum, size| sum.saturating_add(size.saturating_mul(*size)))
    }

    /// Whether another move may follow the one that led to these sizes.
    fn holds(&mut self, sizes: &[usize]) -> bool {
        let squares = Patience::squares(sizes);
        if squares < self.best {
            (self.best, self.left) = (squares, self.rounds);
        } else {
            self.left -= 1;
        }
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unevenness_is_the_sum_of_the_differences_of_all_pairs() {
        let cases: [(&[usize], &[usize], i32); 4] =
            [(&[], &[], 0), (&[5], &[0], 0), (&[3, 9, 1], &[0, 2], 2), (&[3, 9, 1], &[0, 1, 2], 16)];
        for (sizes, members, expected) in cases {
            assert_eq!(unevenness(sizes, members), expected, "{sizes:?} {members:?}");
        }
        // As Java's `int`: 3,000,000,000 is -1,294,967,296.
        assert_eq!(unevenness(&[0, 3_000_000_000], &[0, 1]), -1_294_967_296);
    }

    #[test]
    fn patience_ends_when_nothing_gets_better() {
        let mut patience = Patience::new(&[4, 0], 1);
        assert!(patience.holds(&[3, 1]));
        let moves = (0..1_000).take_while(|_| patience.holds(&[4, 0])).count();
        assert_eq!(moves, Patience::ROUNDS_MAX - 1);
    }
}
