//! Which offsets of several logs hold the same records, from one walk over all of them in step.
//!
//! Followers store what they fetch byte for byte, so a batch is the same when its offsets, its leader epoch and its checksum
//! are. Only what is the same over a whole run of batches is kept, a [`Stretch`]: memory does not grow with the logs.
//!
//! The log cleaner works on every replica by itself and leaves other bytes and other gaps behind. Below the point up to which
//! it may have been, the leader epoch alone decides: two logs with the same epoch at the same offset were written by the same
//! leader, and were the same up to there.

use smallvec::SmallVec;

/// Most stretches that are told apart; behind them all replicas count as different. Only damaged logs come near it.
pub const STRETCHES_MAX: usize = 1 << 16;

/// One batch, or one message of the old formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First offset it may hold.
    pub first: u64,
    /// Last one.
    pub last: u64,
    /// Leader epoch it was appended in; none before magic 2.
    pub epoch: Option<u32>,
    /// Its stored checksum, which the offsets and the epoch are not part of.
    pub crc: u32,
}

/// What comes next in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A batch above those before it.
    Piece(Piece),
    /// Nothing more that is sound; the log ends here.
    End(u64),
}

/// What a replica has on a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Number of the first replica that has the same records there: itself, if no earlier one has.
    pub copy: usize,
    /// Leader epoch they were written in; none before magic 2.
    pub epoch: Option<u32>,
}

/// Offsets over which it does not change who has the same as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// First offset.
    pub from: u64,
    /// One above the last.
    pub to: u64,
    /// By replica; none where its log has not begun yet, has ended, or lacks these offsets.
    pub held: SmallVec<[Option<Held>; 4]>,
}

impl Stretch {
    /// How many offsets.
    pub const fn len(&self) -> u64 {
        self.to - self.from
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// What is there, each once: the number of the first replica that has it, and the leader epoch.
    pub fn copies(&self) -> impl Iterator<Item = Held> + '_ {
        self.held.iter().enumerate().filter_map(|(number, held)| held.filter(|held| held.copy == number))
    }

    /// Replicas that have `copy`, in their order.
    pub fn holders(&self, copy: usize) -> impl Iterator<Item = usize> + '_ {
        let has = move |held: &Option<Held>| held.is_some_and(|held| held.copy == copy);
        self.held.iter().enumerate().filter(move |(_, held)| has(held)).map(|(number, _)| number)
    }
}

/// Several logs side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// In the order of their offsets. Offsets that no log has are in none.
    pub stretches: Vec<Stretch>,
    /// Batches that were taken for the same by their leader epoch although their bytes differ, as the cleaner leaves them.
    pub cleaned: u64,
    /// There were more than [`STRETCHES_MAX`]: the last one stands for many, and says of nothing that it is the same.
    pub is_coarse: bool,
}

impl Comparison {
    /// The same with a boundary at each of `points`.
    #[must_use]
    pub fn split_at(&self, points: &[u64]) -> Vec<Stretch> {
        let mut points = points.to_vec();
        points.sort_unstable();
        points.dedup();
        let mut split = Vec::with_capacity(self.stretches.len() + points.len());
        for stretch in &self.stretches {
            let mut from = stretch.from;
            for &point in points.iter().filter(|&&point| stretch.from < point && point < stretch.to) {
                split.push(Stretch { from, to: point, held: stretch.held.clone() });
                from = point;
            }
            split.push(Stretch { from, ..stretch.clone() });
        }
        split
    }
}

/// Where the walk stands in one log.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The batch here or ahead.
    ahead: Option<Piece>,
    /// Leader epoch of the one passed last.
    behind: Option<u32>,
    /// Where the log ends, once that is known.
    end: Option<u64>,
}

/// What a replica has at one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    /// Nothing: before its start, behind its end, or a gap that compaction does not explain.
    Nothing,
    /// This batch.
    Batch(Piece),
    /// A gap that the cleaner may have left, between batches of these leader epochs.
    Cleaned(Option<u32>, Option<u32>),
}

/// Walks over the logs of `starts.len()` replicas, which begin at these offsets. `next` gives a replica's next batch, in the
/// order of offsets; those that end below its start may come first. Below `cleaned_below` the cleaner may have been.
pub fn compare<E>(
    starts: &[u64],
    cleaned_below: u64,
    mut next: impl FnMut(usize) -> Result<Next, E>,
) -> Result<Comparison, E> {
    let mut walk = Walk {
        starts,
        cleaned_below,
        places: vec![Place { ahead: None, behind: None, end: None }; starts.len()],
        found: Comparison::default(),
    };
    let mut at = starts.iter().copied().min().unwrap_or(0);
    loop {
        for (number, place) in walk.places.iter_mut().enumerate() {
            while place.end.is_none() && place.ahead.is_none_or(|piece| piece.last < at) {
                place.behind = place.ahead.map_or(place.behind, |piece| piece.epoch);
                match next(number)? {
                    Next::Piece(piece) => place.ahead = Some(piece),
                    Next::End(end) => {
                        place.ahead = None;
                        place.end = Some(end);
                    }
                }
            }
        }
        let Some(to) = walk.boundary(at) else { return Ok(walk.found) };
        walk.take(at, to);
        at = to;
    }
}

struct Walk<'a> {
    starts: &'a [u64],
    cleaned_below: u64,
    places: Vec<Place>,
    found: Comparison,
}

impl Walk<'_> {
    /// The first offset above `at` where something may change; none behind the end of all.
    fn boundary(&self, at: u64) -> Option<u64> {
        let of_places = self.places.iter().flat_map(|place| {
            let ahead = place.ahead.map(|piece| [piece.first, piece.last.saturating_add(1)]);
            ahead.into_iter().flatten().chain(place.end)
        });
        let ends = self.places.iter().any(|place| place.ahead.is_some() || place.end.is_some_and(|end| end > at));
        let fixed = self.starts.iter().copied().chain([self.cleaned_below]);
        of_places.chain(fixed).filter(|&offset| offset > at).min().filter(|_| ends)
    }

    fn here(&self, number: usize, at: u64) -> Here {
        let (Some(place), Some(&start)) = (self.places.get(number), self.starts.get(number)) else {
            return Here::Nothing;
        };
        match place.ahead {
            _ if at < start || place.end.is_some_and(|end| at >= end) => Here::Nothing,
            Some(piece) if piece.first <= at => Here::Batch(piece),
            ahead if at < self.cleaned_below => Here::Cleaned(place.behind, ahead.and_then(|piece| piece.epoch)),
            _ => Here::Nothing,
        }
    }

    /// Notes who has the same as whom from `at` to `to`, where nothing changes.
    fn take(&mut self, at: u64, to: u64) {
        let here: SmallVec<[Here; 4]> = (0..self.places.len()).map(|number| self.here(number, at)).collect();
        let mut held: SmallVec<[Option<Held>; 4]> = SmallVec::from_elem(None, here.len());
        let is_cleaned = at < self.cleaned_below;
        for number in 0..here.len() {
            let Here::Batch(piece) = here[number] else { continue };
            let same = (0..number).find_map(|earlier| match here[earlier] {
                Here::Batch(other) if piece == other => Some((earlier, false)),
                Here::Batch(other) if is_cleaned && piece.epoch.is_some() && piece.epoch == other.epoch => {
                    Some((earlier, true))
                }
                _ => None,
            });
            // Counted once, where the batch begins.
            self.found.cleaned += u64::from(same.is_some_and(|(_, by_epoch)| by_epoch) && at <= piece.first);
            let copy = same.and_then(|(earlier, _)| held[earlier]).map_or(number, |held| held.copy);
            held[number] = Some(Held { copy, epoch: piece.epoch });
        }
        for number in 0..here.len() {
            let Here::Cleaned(behind, ahead) = here[number] else { continue };
            held[number] = self.of_gap(number, behind, ahead, &held);
        }
        normalize(&mut held);
        if held.iter().any(Option::is_some) {
            self.push(Stretch { from: at, to, held });
        }
    }

    /// A gap that the cleaner left fits what was written there in any epoch between those around it; rather to what it had
    /// before.
    fn of_gap(&self, number: usize, behind: Option<u32>, ahead: Option<u32>, held: &[Option<Held>]) -> Option<Held> {
        let fits = |other: &Held| {
            other.epoch.is_none_or(|epoch| behind.is_none_or(|it| it <= epoch) && ahead.is_none_or(|it| epoch <= it))
        };
        let before = self.found.stretches.last().and_then(|stretch| {
            let copy = stretch.held.get(number).copied().flatten()?.copy;
            stretch.holders(copy).find_map(|other| held.get(other).copied().flatten())
        });
        before.filter(fits).or_else(|| held.iter().flatten().copied().find(fits))
    }

    fn push(&mut self, stretch: Stretch) {
        let count = self.found.stretches.len();
        if let Some(last) = self.found.stretches.last_mut() {
            if last.to == stretch.from && last.held == stretch.held {
                last.to = stretch.to;
                return;
            }
            if count >= STRETCHES_MAX {
                self.found.is_coarse = true;
                last.to = stretch.to;
                for (number, (held, new)) in last.held.iter_mut().zip(stretch.held).enumerate() {
                    *held = new.or(*held).map(|held| Held { copy: number, ..held });
                }
                return;
            }
        }
        self.found.stretches.push(stretch);
    }
}

/// Names each copy by the first replica that has it.
fn normalize(held: &mut [Option<Held>]) {
    let copies: SmallVec<[Option<usize>; 4]> = held.iter().map(|held| held.map(|held| held.copy)).collect();
    for held in held.iter_mut().flatten() {
        held.copy = copies.iter().position(|copy| *copy == Some(held.copy)).unwrap_or(held.copy);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// `(first, last, epoch, crc)`.
    type Log = &'static [(u64, u64, u32, u32)];

    fn compared(logs: &[(u64, Log, u64)], cleaned_below: u64) -> Comparison {
        let starts: Vec<u64> = logs.iter().map(|log| log.0).collect();
        let mut places = vec![0; logs.len()];
        let next = |number: usize| -> Result<Next, Infallible> {
            let (_, log, end) = logs[number];
            let found = log.get(places[number]);
            places[number] += 1;
            Ok(found.map_or(Next::End(end), |&(first, last, epoch, crc)| {
                Next::Piece(Piece { first, last, epoch: Some(epoch), crc })
            }))
        };
        compare(&starts, cleaned_below, next).unwrap_or_else(|never| match never {})
    }

    /// Offsets, and of each replica the copy and the epoch.
    fn told(comparison: &Comparison) -> Vec<String> {
        let of = |held: &Option<Held>| match held {
            Some(Held { copy, epoch: Some(epoch) }) => format!("{copy}e{epoch}"),
            Some(Held { copy, epoch: None }) => format!("{copy}"),
            None => "-".to_owned(),
        };
        let line =
            |it: &Stretch| format!("{}..{} {}", it.from, it.to, it.held.iter().map(of).collect::<Vec<_>>().join(" "));
        comparison.stretches.iter().map(line).collect()
    }

    #[test]
    fn runs_of_equal_batches_are_one_stretch() {
        const A: Log = &[(0, 4, 0, 1), (5, 9, 0, 2), (10, 14, 1, 3), (15, 19, 1, 4)];
        type Case<'a> = (&'a str, &'a [(u64, Log, u64)], &'a [&'a str]);
        let cases: [Case<'_>; 8] = [
            ("equal", &[(0, A, 20), (0, A, 20)], &["0..10 0e0 0e0", "10..20 0e1 0e1"]),
            ("one empty", &[(0, A, 20), (0, &[], 0)], &["0..10 0e0 -", "10..20 0e1 -"]),
            ("one behind", &[(0, A, 20), (0, &[(0, 4, 0, 1)], 5)], &["0..5 0e0 0e0", "5..10 0e0 -", "10..20 0e1 -"]),
            ("starts differ", &[(0, A, 20), (7, &A[1..], 20)], &["0..7 0e0 -", "7..10 0e0 0e0", "10..20 0e1 0e1"]),
            (
                "fork with other boundaries",
                &[(0, A, 20), (0, &[(0, 4, 0, 1), (5, 9, 0, 2), (10, 11, 2, 3), (12, 21, 2, 9)], 22)],
                &["0..10 0e0 0e0", "10..20 0e1 1e2", "20..22 - 1e2"],
            ),
            (
                "same epoch, other bytes",
                &[(0, A, 20), (0, &[(0, 4, 0, 1), (5, 9, 0, 7), (10, 14, 1, 3), (15, 19, 1, 4)], 20)],
                &["0..5 0e0 0e0", "5..10 0e0 1e0", "10..20 0e1 0e1"],
            ),
            (
                "a gap that nothing explains",
                &[(0, A, 20), (0, &[(0, 4, 0, 1), (10, 14, 1, 3), (15, 19, 1, 4)], 20)],
                &["0..5 0e0 0e0", "5..10 0e0 -", "10..20 0e1 0e1"],
            ),
            ("apart", &[(0, &A[..1], 5), (10, &A[2..], 20)], &["0..5 0e0 -", "10..20 - 1e1"]),
        ];
        for (name, logs, expected) in cases {
            let comparison = compared(logs, 0);
            assert_eq!(told(&comparison), expected, "{name}");
            assert!(comparison.cleaned == 0 && !comparison.is_coarse, "{name}");
        }
    }

    #[test]
    fn what_the_cleaner_left_is_the_same_by_its_epoch() {
        const WHOLE: Log = &[(0, 4, 0, 1), (5, 9, 0, 2), (10, 14, 1, 3), (15, 19, 1, 4)];
        const CLEANED: Log = &[(5, 9, 0, 77), (10, 14, 1, 3), (15, 19, 1, 4)];
        let comparison = compared(&[(0, WHOLE, 20), (0, CLEANED, 20)], 10);
        assert_eq!(told(&comparison), ["0..10 0e0 0e0", "10..20 0e1 0e1"]);
        assert_eq!(comparison.cleaned, 1);
        // What was written in a later epoch does not fit into a gap before an earlier one.
        const FORKED: Log = &[(0, 4, 0, 1), (5, 19, 3, 9)];
        let comparison = compared(&[(0, CLEANED, 20), (0, FORKED, 20)], 10);
        assert_eq!(told(&comparison), ["0..5 0e0 0e0", "5..10 0e0 1e3", "10..20 0e1 1e3"]);
    }

    #[test]
    fn copies_are_named_by_the_first_that_has_them() {
        const A: Log = &[(0, 9, 0, 1)];
        const B: Log = &[(0, 9, 1, 2)];
        let comparison = compared(&[(5, A, 10), (0, B, 10), (0, A, 10), (0, B, 10)], 0);
        assert_eq!(told(&comparison), ["0..5 - 1e1 2e0 1e1", "5..10 0e0 1e1 0e0 1e1"]);
        let stretch = &comparison.stretches[1];
        assert_eq!(stretch.copies().map(|held| held.copy).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(stretch.holders(1).collect::<Vec<_>>(), [1, 3]);
        let split = comparison.split_at(&[7, 5, 7, 20]);
        assert_eq!(split.iter().map(|it| (it.from, it.to)).collect::<Vec<_>>(), [(0, 5), (5, 7), (7, 10)]);
    }

    #[test]
    fn memory_is_bounded_where_every_other_batch_differs() {
        let mut places = [0_u64; 2];
        let end = 4 * STRETCHES_MAX as u64;
        let next = |number: usize| -> Result<Next, Infallible> {
            let at = places[number];
            places[number] += 1;
            let crc = if at % 2 == 0 { 0 } else { u32::try_from(number).unwrap_or(9) };
            Ok(if at < end { Next::Piece(Piece { first: at, last: at, epoch: Some(0), crc }) } else { Next::End(end) })
        };
        let comparison = compare(&[0, 0], 0, next).unwrap_or_else(|never| match never {});
        assert!(comparison.is_coarse);
        assert_eq!(comparison.stretches.len(), STRETCHES_MAX);
        assert_eq!(comparison.stretches.last().map(|it| (it.to, it.copies().count())), Some((end, 2)));
    }
}
