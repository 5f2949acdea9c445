//! The lightest and the heaviest subscribers of a topic, one after the other (`MemberAssignmentBalancer`).

/// Gives out members from both ends of their order by size.
///
/// ```text
/// sizes    2 2 3 4 6 6        the lightest range grows up from the left, the heaviest down from the right;
///          [-]       [-]      members of a range take turns while it brings them all to the next size
/// ```
pub(super) struct Balancer {
    /// By size, then by place in the group.
    members: Vec<usize>,
    /// Members before this are brought to `light_size` in turn.
    light_end: usize,
    light_size: i64,
    next_light: usize,
    /// Members from `heavy_start` to `heavy_end` are brought to `heavy_size` in turn, from the right; those behind are excluded.
    heavy_start: usize,
    heavy_end: usize,
    heavy_size: i64,
    /// One above the next to be given; 0 at the end.
    next_heavy: usize,
}

fn size_of(sizes: &[usize], member: usize) -> i64 {
    i64::try_from(sizes[member]).unwrap_or(i64::MAX)
}

impl Balancer {
    /// `subscribers`: at least one.
    pub(super) fn new(subscribers: &[usize], sizes: &[usize]) -> Balancer {
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (sizes[*member], *member));
        let ends = members.first().zip(members.last());
        let (least, most) = ends.map_or((0, 0), |(first, last)| (size_of(sizes, *first), size_of(sizes, *last)));
        let end = members.len();
        Balancer {
            members,
            light_end: 0,
            light_size: least - 1,
            next_light: 0,
            heavy_start: end,
            heavy_end: end,
            heavy_size: most + 1,
            next_heavy: end,
        }
    }

    /// The difference between the heaviest and the lightest.
    pub(super) fn imbalance(&self, sizes: &[usize]) -> i64 {
        let ends = self.members.first().zip(self.members.last());
        ends.map_or(0, |(first, last)| size_of(sizes, *last) - size_of(sizes, *first))
    }

    /// Whether the two ranges have met, give or take one partition.
    pub(super) const fn is_balanced(&self) -> bool {
        self.heavy_size - self.light_size <= 1
    }

    /// The next member to give a partition to.
    pub(super) fn next_lightest(&mut self, sizes: &[usize]) -> usize {
        if self.next_light >= self.light_end {
            self.light_size += 1;
            while self.light_end < self.members.len() && size_of(sizes, self.members[self.light_end]) == self.light_size
            {
                self.light_end += 1;
            }
            self.next_light = 0;
        }
        self.next_light += 1;
        self.members[self.next_light - 1]
    }

    /// The next member to take a partition from; `None` when no member is left that has some.
    pub(super) fn next_heaviest(&mut self, sizes: &[usize]) -> Option<usize> {
        if self.next_heavy <= self.heavy_start {
            let below = self.heavy_start.checked_sub(1).map(|place| size_of(sizes, self.members[place]));
            self.heavy_size = match below {
                // The whole range is excluded: on to the next size that a member has.
                Some(size) if self.heavy_end <= self.heavy_start => size,
                _ => self.heavy_size - 1,
            };
            while self.heavy_start > 0 && size_of(sizes, self.members[self.heavy_start - 1]) == self.heavy_size {
                self.heavy_start -= 1;
            }
            self.next_heavy = self.heavy_end;
        }
        self.next_heavy = self.next_heavy.checked_sub(1)?;
        Some(self.members[self.next_heavy])
    }

    /// Takes the member that [`Balancer::next_heaviest`] gave last out of the range: it has nothing to give.
    pub(super) fn exclude_heaviest(&mut self) {
        self.heavy_end -= 1;
        self.members.swap(self.next_heavy, self.heavy_end);
    }
}
