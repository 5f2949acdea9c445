//! Committed offsets of groups, in the target's numbers.
//!
//! Which offsets are asked for is known before the first span is seen, so spans are looked at once, in the order in which they
//! were written, and none is kept: memory grows with the groups, not with the log.

use std::collections::BTreeMap;

use super::mm2::Span;
use crate::types::{TopicPartition, Uuid};

/// Where a group goes on in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// At the first mirrored record at or after its offset in the source.
    Exact(i64),
    /// Not before this: it may get records again.
    AtLeast(i64),
    /// Nothing tells.
    Unknown,
}

/// What is known of the offsets that are asked for.
#[derive(Debug, Clone, Default)]
pub struct Translator {
    partitions: BTreeMap<TopicPartition, Asked>,
}

#[derive(Debug, Clone, Default)]
struct Asked {
    /// By offset in the source.
    answers: BTreeMap<i64, Answer>,
    topic_id: Option<Uuid>,
    /// The last span's end.
    last: Option<(i64, i64)>,
}

impl Asked {
    fn cut(&mut self, end: i64) {
        for answer in self.answers.values_mut() {
            if let Answer::Exact(target) | Answer::AtLeast(target) = *answer
                && target > end
            {
                *answer = Answer::AtLeast(end);
            }
        }
        self.last = self.last.map(|(upstream, downstream)| (upstream, downstream.min(end)));
    }
}

impl Translator {
    /// Asks for an offset.
    pub fn ask(&mut self, partition: &TopicPartition, offset: i64) {
        self.partitions.entry(partition.clone()).or_default().answers.insert(offset, Answer::Unknown);
    }

    /// Whether anything is asked for.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Looks at the next span of a partition.
    pub fn learn(&mut self, partition: &TopicPartition, topic_id: Option<Uuid>, span: &Span) {
        let Some(asked) = self.partitions.get_mut(partition) else { return };
        let is_other = asked.topic_id.zip(topic_id).is_some_and(|(old, new)| old != new);
        // Below what is told already: it starts anew. What was known is of other records.
        if is_other || asked.last.is_some_and(|(upstream, _)| span.upstream < upstream) {
            asked.answers.values_mut().for_each(|answer| *answer = Answer::Unknown);
        }
        // It was made again there: what lay behind is no more, and what comes takes its offsets.
        let begins = span.runs.first().map_or(span.downstream, |run| run.target);
        if asked.last.is_some_and(|(_, downstream)| begins < downstream) {
            asked.cut(begins);
        }
        asked.topic_id = topic_id.or(asked.topic_id);
        asked.last = Some((span.upstream, span.downstream));
        for (offset, answer) in asked.answers.range_mut(span.from..) {
            match span.translate(*offset) {
                // The end of one span is the start of the next, where there may be a nearer answer: after a marker.
                Some(_) if *offset == span.upstream => *answer = Answer::AtLeast(span.downstream),
                Some(target) => *answer = Answer::Exact(target),
                None => *answer = Answer::AtLeast(span.downstream),
            }
        }
    }

    /// The target's partition ends at `end`, in front of what was told of it: nothing behind it is where it was.
    pub fn cut(&mut self, partition: &TopicPartition, end: i64) {
        if let Some(asked) = self.partitions.get_mut(partition) {
            asked.cut(end);
        }
    }

    /// The answer for an offset of a partition of which everything below `source_end` is mirrored.
    pub fn answer(&self, partition: &TopicPartition, offset: i64) -> Answer {
        let Some(asked) = self.partitions.get(partition) else { return Answer::Unknown };
        match (asked.answers.get(&offset).copied().unwrap_or(Answer::Unknown), asked.last) {
            // The next record that is mirrored comes behind it.
            (Answer::AtLeast(target), Some((upstream, _))) if upstream == offset => Answer::Exact(target),
            (answer, _) => answer,
        }
    }

    /// What the last answers are for, where they are exact now: partition, offset, target.
    pub fn exact(&self, partition: &TopicPartition) -> Vec<(i64, i64)> {
        let Some(asked) = self.partitions.get(partition) else { return Vec::new() };
        let exact = asked.answers.keys().filter_map(|offset| match self.answer(partition, *offset) {
            Answer::Exact(target) => Some((*offset, target)),
            _ => None,
        });
        exact.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::mm2::tests::span;
    use super::*;

    fn translator(offsets: &[i64]) -> (Translator, TopicPartition) {
        let (mut translator, partition) = (Translator::default(), TopicPartition::new("t", 0));
        offsets.iter().for_each(|offset| translator.ask(&partition, *offset));
        (translator, partition)
    }

    #[test]
    fn answers_follow_from_every_span_that_was_seen() {
        let (mut translator, partition) = translator(&[0, 3, 10, 14, 30]);
        translator.learn(&partition, None, &span(0, 10, 8, &[(2, 0, 8)]));
        let answers = |translator: &Translator| [0, 3, 10, 14, 30].map(|offset| translator.answer(&partition, offset));
        use Answer::{AtLeast, Exact};
        assert_eq!(answers(&translator), [Exact(0), Exact(1), Exact(8), AtLeast(8), AtLeast(8)]);
        // A marker took offset 8.
        translator.learn(&partition, None, &span(10, 20, 18, &[(10, 9, 9)]));
        assert_eq!(answers(&translator), [Exact(0), Exact(1), Exact(9), Exact(13), AtLeast(18)]);
        // Compaction took the spans in between.
        translator.learn(&partition, None, &span(28, 40, 50, &[(28, 38, 12)]));
        assert_eq!(answers(&translator)[4], Exact(40));
    }

    #[test]
    fn without_the_spans_around_it_only_a_bound_is_known() {
        let (mut translator, partition) = translator(&[5, 15]);
        translator.learn(&partition, None, &span(10, 12, 9, &[(10, 7, 2)]));
        assert_eq!(translator.answer(&partition, 5), Answer::Unknown);
        assert_eq!(translator.answer(&partition, 15), Answer::AtLeast(9));
        translator.learn(&partition, None, &span(20, 22, 19, &[(20, 17, 2)]));
        assert_eq!(translator.answer(&partition, 15), Answer::AtLeast(9));
    }

    #[test]
    fn what_a_target_lost_is_where_it_ends_now() {
        use Answer::{AtLeast, Exact};
        let learned = || {
            let (mut translator, partition) = translator(&[3, 50, 100]);
            translator.learn(&partition, None, &span(0, 100, 100, &[(0, 0, 100)]));
            (translator, partition)
        };
        let answers =
            |translator: &Translator, partition: &_| [3, 50, 100].map(|offset| translator.answer(partition, offset));
        let (mut translator, partition) = learned();
        assert_eq!(answers(&translator, &partition), [Exact(3), Exact(50), Exact(100)]);
        // It was made again, and holds ten records: the next one that is mirrored comes behind them.
        translator.cut(&partition, 10);
        assert_eq!(answers(&translator, &partition), [Exact(3), AtLeast(10), Exact(10)]);
        translator.learn(&partition, None, &span(100, 110, 20, &[(100, 10, 10)]));
        assert_eq!(answers(&translator, &partition), [Exact(3), AtLeast(10), Exact(10)]);
        // A later run sees it by the spans alone, however far they go by then.
        let (mut translator, partition) = learned();
        translator.learn(&partition, None, &span(100, 300, 210, &[(100, 10, 200)]));
        assert_eq!(answers(&translator, &partition), [Exact(3), AtLeast(10), Exact(10)]);
    }

    #[test]
    fn a_topic_that_was_made_again_starts_anew() {
        let (mut translator, partition) = translator(&[3]);
        translator.learn(&partition, Some(Uuid([1; 16])), &span(0, 10, 10, &[(0, 0, 10)]));
        translator.learn(&partition, Some(Uuid([2; 16])), &span(0, 2, 13, &[(0, 11, 2)]));
        assert_eq!(translator.answer(&partition, 3), Answer::AtLeast(13));
        translator.learn(&partition, Some(Uuid([2; 16])), &span(2, 5, 17, &[(2, 14, 3)]));
        assert_eq!(translator.answer(&partition, 3), Answer::Exact(15));
    }
}
