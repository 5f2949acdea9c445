//! Which states were seen: a table of their numbers.
//!
//! ```text
//!  one slot, 32 bits:  | bits of the hash | number + 1 |      0: free
//! ```
//! A number takes as many bits as the table has slots; the others tell most other states apart without looking at them.
//! Slots are looked at one after the other from the place that the hash says.

/// Slots of the smallest table.
const SLOTS_MIN: usize = 1 << 8;

/// A table of numbers of states, found by their hashes.
pub(super) struct Seen {
    slots: Vec<u32>,
    /// The bits of a slot that hold a number.
    number: u32,
    taken: usize,
}

/// Where a state is, or would be.
pub(super) enum Place {
    /// It was seen.
    Known,
    /// It was not; this slot is its own.
    Free(usize),
}

impl Seen {
    /// An empty table.
    pub(super) fn new() -> Seen {
        Seen::of_slots(SLOTS_MIN)
    }

    fn of_slots(slots: usize) -> Seen {
        Seen { slots: vec![0; slots], number: low_half(slots.next_power_of_two() as u64 - 1), taken: 0 }
    }

    /// Looks for a state: `is_it` compares it with the one of this number.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Place {
        let mark = low_half(hash) & !self.number;
        let mut at = self.slot(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Place::Free(at);
            }
            if slot & !self.number == mark && is_it((slot & self.number) as usize - 1) {
                return Place::Known;
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    /// The number that a state has, if the table says that it may have one; for warming the caches.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<usize> {
        let slot = self.slots[self.slot(hash)];
        let is_alike = slot != 0 && (slot ^ low_half(hash)) & !self.number == 0;
        is_alike.then(|| (slot & self.number) as usize - 1)
    }

    /// Puts a number into a free slot.
    #[inline]
    pub(super) fn put(&mut self, at: usize, hash: u64, number: u32) {
        self.slots[at] = low_half(hash) & !self.number | (number + 1);
        self.taken += 1;
    }

    /// Whether one more number would crowd it: four slots of five are taken.
    pub(super) const fn is_full(&self) -> bool {
        self.taken >= self.slots.len() / 5 * 4
    }

    /// Slots of the next larger table: 4, 6, 8, 12, 16 ... so that at most half of a table is free after it has grown.
    const fn next_slots(&self) -> usize {
        let slots = self.slots.len();
        if slots.is_power_of_two() { slots / 2 * 3 } else { slots / 3 * 4 }
    }

    /// Makes it larger; `hashes` are those of all numbers, from 0 on.
    pub(super) fn grow(&mut self, hashes: impl Iterator<Item = u64>) {
        let mut larger = Seen::of_slots(self.next_slots());
        for (hash, number) in hashes.zip(0..) {
            if let Place::Free(at) = larger.find(hash, |_| false) {
                larger.put(at, hash, number);
            }
        }
        *self = larger;
    }

    /// Bytes taken.
    pub(super) const fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u32>()
    }

    /// Bytes of the next larger table.
    pub(super) const fn bytes_of_next(&self) -> usize {
        self.next_slots() * size_of::<u32>()
    }

    /// The slot a hash begins at. The highest bits have told the shard; those below decide here, the lowest make the
    /// mark.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is below the number of slots")]
    fn slot(&self, hash: u64) -> usize {
        let (_, at) = (hash << super::shard::SHARD_BITS).carrying_mul(self.slots.len() as u64, 0);
        at as usize
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the half is what is wanted")]
const fn low_half(bits: u64) -> u32 {
    bits as u32
}
