//! How much of a replica's log is on its disk.

/// Where the end of one replica's log was, as far back as it matters: straight lines over time.
///
/// The operating system writes a page some time after it got dirty, so what is on the disk now is what the log was then.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    marks: Vec<Mark>,
}

/// From `at_s` on the log grows by `per_s` from `end`.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at_s: f64,
    end: f64,
    per_s: f64,
}

/// Marks kept before old ones are looked at.
const MARKS_MAX: usize = 24;

impl Tail {
    /// It has grown evenly for long, and is at 0 at time 0.
    pub(super) fn grow_evenly(&mut self, per_s: f64, since_s: f64) {
        self.marks.clear();
        self.marks.push(Mark { at_s: -since_s, end: -since_s * per_s, per_s });
    }

    /// All of it is on the disk, up to `end`, and it has not grown.
    pub(super) fn is_durable(&mut self, at_s: f64, end: f64) {
        self.marks.clear();
        self.marks.push(Mark { at_s, end, per_s: 0.0 });
    }

    /// From now on it grows by `per_s`. What is older than `age_s` matters no more.
    pub(super) fn grow(&mut self, at_s: f64, end: f64, per_s: f64, age_s: f64) {
        let mark = Mark { at_s, end, per_s };
        match self.marks.last_mut() {
            #[expect(clippy::float_cmp, reason = "the same rate, not a computed one")]
            Some(last) if last.per_s == per_s => return,
            Some(last) if last.at_s >= at_s => *last = mark,
            _ => self.marks.push(mark),
        }
        if self.marks.len() > MARKS_MAX {
            let first = self.marks.iter().rposition(|mark| mark.at_s <= at_s - age_s).unwrap_or(0);
            self.marks.drain(..first);
        }
    }

    /// It was cut to `end`, and does not grow for now.
    pub(super) fn cut(&mut self, at_s: f64, end: f64) {
        self.marks.push(Mark { at_s, end, per_s: 0.0 });
    }

    /// How far it is today what it was at a time: its end then, or where it was cut to since.
    pub(super) fn end_at(&self, at_s: f64) -> f64 {
        let mut lowest = f64::INFINITY;
        for mark in self.marks.iter().rev() {
            if mark.at_s <= at_s {
                return lowest.min(mark.end + mark.per_s * (at_s - mark.at_s));
            }
            lowest = lowest.min(mark.end);
        }
        // Before the first mark nothing was written that is not on the disk.
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_where_the_log_was() {
        let mut tail = Tail::default();
        tail.grow_evenly(10.0, 30.0);
        tail.grow(5.0, 50.0, 0.0, 30.0);
        tail.grow(20.0, 50.0, 100.0, 30.0);
        for (at, expected) in [(-30.0, -300.0), (-25.0, -250.0), (0.0, 0.0), (5.0, 50.0), (12.0, 50.0), (21.0, 150.0)] {
            assert!((tail.end_at(at) - expected).abs() < 1e-9, "at {at}");
        }
        tail.cut(22.0, 40.0);
        tail.grow(22.0, 40.0, 10.0, 30.0);
        for (at, expected) in [(-30.0, -300.0), (4.0, 40.0), (12.0, 40.0), (23.0, 50.0)] {
            assert!((tail.end_at(at) - expected).abs() < 1e-9, "after a cut, at {at}");
        }
        tail.is_durable(21.0, 60.0);
        assert!((tail.end_at(3.0) - 60.0).abs() < 1e-9);
    }

    #[test]
    fn old_marks_go_and_new_ones_stay() {
        let mut tail = Tail::default();
        tail.is_durable(0.0, 0.0);
        for second in 0..1_000 {
            tail.grow(f64::from(second), f64::from((second + 1) / 2), f64::from(1 - second % 2), 10.0);
        }
        assert!(tail.marks.len() <= MARKS_MAX + 1);
        assert!((tail.end_at(990.5) - 495.5).abs() < 1e-9, "{}", tail.end_at(990.5));
    }
}
