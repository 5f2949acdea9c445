//! Events: what can happen to a partition, one transition each, in the words of a scenario's steps.

use std::fmt;

use thiserror::Error;

use super::broker_set::Broker;
use super::log::Record;

/// When a producer takes a record for stored (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Acks {
    /// At once; it never hears of it.
    None,
    /// When the leader has it.
    Leader,
    /// When the in-sync replicas have it.
    All,
}

impl Acks {
    /// All three.
    pub const ALL: [Acks; 3] = [Acks::None, Acks::Leader, Acks::All];

    /// As in producer settings.
    pub const fn name(self) -> &'static str {
        match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        }
    }

    /// From producer settings; `-1` is `all`.
    pub fn parse(text: &str) -> Option<Acks> {
        match text {
            "-1" => Some(Acks::All),
            _ => Acks::ALL.into_iter().find(|acks| acks.name() == text),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A client sends a new record, to the controller's leader or to a broker it takes for it.
    Produce {
        /// Level.
        acks: Acks,
        /// Where to.
        at: Option<Broker>,
    },
    /// A client sends a record again.
    Retry {
        /// Which.
        record: Record,
        /// Level.
        acks: Acks,
        /// Where to.
        at: Option<Broker>,
    },
    /// A follower fetches from its leader.
    Fetch {
        /// The follower.
        broker: Broker,
        /// The leader answers and the answer is lost.
        lost: bool,
    },
    /// A follower asks its leader where its last epoch ends, and cuts its log (`OffsetsForLeaderEpoch`).
    EpochQuery(Broker),
    /// A broker applies the controller's newest state.
    Metadata(Broker),
    /// The ISR that a leader has asked for reaches the controller; of the only or the newest leader that waits unless one is named.
    AlterPartition(Option<Broker>),
    /// A follower has not been caught up for `replica.lag.time.max.ms`: its leader asks to remove it.
    Lag(Broker),
    /// A clean election of this broker (preferred, or forced); in the majority strategy of whoever has most.
    Elect(Option<Broker>),
    /// The controller takes a broker for dead.
    Fence(Broker),
    /// The controller takes a registered broker for alive.
    Unfence(Broker),
    /// The process dies, the page cache stays.
    Kill(Broker),
    /// The machine loses power.
    PowerLoss {
        /// Which broker's.
        broker: Broker,
        /// Log end that had reached the disk by chance; what was flushed stays anyway.
        keep: u64,
    },
    /// A controlled shutdown.
    Stop(Broker),
    /// The process starts and registers.
    Start(Broker),
    /// The disk is replaced by an empty one.
    Wipe(Broker),
    /// The log reaches the disk.
    Flush(Broker),
    /// The high watermark is written to its checkpoint.
    Checkpoint(Broker),
    /// A consumer reads what is below the high watermark of the controller's leader.
    Consume,
}

/// Why a step cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StepError {
    /// Not a word that begins a step.
    #[error("{word:?} begins no step{}", near(.nearest))]
    Word {
        /// What stands there.
        word: String,
        /// A word like it.
        nearest: Option<&'static str>,
    },
    /// Something is missing.
    #[error("{word} needs {needs}")]
    Missing {
        /// The step's word.
        word: &'static str,
        /// What.
        needs: &'static str,
    },
    /// Something that does not belong there.
    #[error("{word} does not take {found:?}; it takes {takes}")]
    Argument {
        /// The step's word.
        word: &'static str,
        /// What stands there.
        found: String,
        /// What can.
        takes: &'static str,
    },
    /// A broker that is none of the replicas.
    #[error("{found:?} is no replica: they are b0 to b{last}")]
    Broker {
        /// What stands there.
        found: String,
        /// The last one there is.
        last: u8,
    },
    /// A repetition that is none.
    #[error("{found:?} is no repetition: write x2 to x{max}")]
    Repeat {
        /// What stands there.
        found: String,
        /// The most there can be.
        max: u32,
    },
}

fn near(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |word| format!("; did you mean {word}?"))
}

/// Words that begin a step, and what may follow them.
pub const WORDS: [(&str, &str); 18] = [
    ("produce", "acks=0|1|all [at=bN]"),
    ("retry", "mN acks=0|1|all [at=bN]"),
    ("fetch", "bN [response=lost]"),
    ("epoch-query", "bN"),
    ("metadata", "bN"),
    ("alter-partition", "[bN]"),
    ("lag", "bN"),
    ("elect", "bN (none in the majority strategy)"),
    ("fence", "bN"),
    ("unfence", "bN"),
    ("kill", "bN"),
    ("power-loss", "bN keep=OFFSET"),
    ("stop", "bN"),
    ("start", "bN"),
    ("wipe", "bN"),
    ("flush", "bN"),
    ("checkpoint", "bN"),
    ("consume", "nothing"),
];

/// Most repetitions of one step.
pub const REPEAT_MAX: u32 = 100_000;

impl Event {
    /// One step, with how often it is taken: `fetch b1 x2`.
    ///
    /// # Errors
    ///
    /// What it cannot be read for.
    pub fn parse(step: &str, replicas: u8) -> Result<(Event, u32), StepError> {
        let mut words: Vec<&str> = step.split_whitespace().collect();
        let repeat = match words.last() {
            Some(last) if words.len() > 1 && last.starts_with('x') => {
                let times = last[1..].parse().ok().filter(|times| (1..=REPEAT_MAX).contains(times));
                let times = times.ok_or_else(|| StepError::Repeat { found: (*last).into(), max: REPEAT_MAX })?;
                words.pop();
                times
            }
            _ => 1,
        };
        let (first, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
        let Some(&(word, takes)) = WORDS.iter().find(|(word, _)| *word == first) else {
            return Err(StepError::Word {
                word: first.into(),
                nearest: nearest(first, WORDS.iter().map(|word| word.0)),
            });
        };
        let mut arguments = Arguments { word, takes, rest, replicas };
        let event = match word {
            "produce" => {
                let acks = arguments.acks()?;
                Event::Produce { acks, at: arguments.at()? }
            }
            "retry" => {
                let record = arguments.record()?;
                let acks = arguments.acks()?;
                Event::Retry { record, acks, at: arguments.at()? }
            }
            "fetch" => Event::Fetch { broker: arguments.broker()?, lost: arguments.take("response=lost") },
            "epoch-query" => Event::EpochQuery(arguments.broker()?),
            "metadata" => Event::Metadata(arguments.broker()?),
            "alter-partition" => Event::AlterPartition(arguments.broker_if_any()?),
            "lag" => Event::Lag(arguments.broker()?),
            "elect" => Event::Elect(arguments.broker_if_any()?),
            "fence" => Event::Fence(arguments.broker()?),
            "unfence" => Event::Unfence(arguments.broker()?),
            "kill" => Event::Kill(arguments.broker()?),
            "power-loss" => Event::PowerLoss { broker: arguments.broker()?, keep: arguments.keep()? },
            "stop" => Event::Stop(arguments.broker()?),
            "start" => Event::Start(arguments.broker()?),
            "wipe" => Event::Wipe(arguments.broker()?),
            "flush" => Event::Flush(arguments.broker()?),
            "checkpoint" => Event::Checkpoint(arguments.broker()?),
            _ => Event::Consume,
        };
        match arguments.rest.first() {
            Some(found) => Err(StepError::Argument { word, found: (*found).into(), takes }),
            None => Ok((event, repeat)),
        }
    }

    /// The word that begins it.
    pub const fn word(self) -> &'static str {
        match self {
            Event::Produce { .. } => "produce",
            Event::Retry { .. } => "retry",
            Event::Fetch { .. } => "fetch",
            Event::EpochQuery(_) => "epoch-query",
            Event::Metadata(_) => "metadata",
            Event::AlterPartition(_) => "alter-partition",
            Event::Lag(_) => "lag",
            Event::Elect(_) => "elect",
            Event::Fence(_) => "fence",
            Event::Unfence(_) => "unfence",
            Event::Kill(_) => "kill",
            Event::PowerLoss { .. } => "power-loss",
            Event::Stop(_) => "stop",
            Event::Start(_) => "start",
            Event::Wipe(_) => "wipe",
            Event::Flush(_) => "flush",
            Event::Checkpoint(_) => "checkpoint",
            Event::Consume => "consume",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        let place = |f: &mut fmt::Formatter<'_>, at: Option<Broker>| at.map_or(Ok(()), |at| write!(f, " at=b{at}"));
        match *self {
            Event::Produce { acks, at } => {
                write!(f, " acks={}", acks.name())?;
                place(f, at)
            }
            Event::Retry { record, acks, at } => {
                write!(f, " m{record} acks={}", acks.name())?;
                place(f, at)
            }
            Event::Fetch { broker, lost } => write!(f, " b{broker}{}", if lost { " response=lost" } else { "" }),
            Event::PowerLoss { broker, keep } => write!(f, " b{broker} keep={keep}"),
            Event::AlterPartition(broker) | Event::Elect(broker) => {
                broker.map_or(Ok(()), |broker| write!(f, " b{broker}"))
            }
            Event::EpochQuery(broker)
            | Event::Metadata(broker)
            | Event::Lag(broker)
            | Event::Fence(broker)
            | Event::Unfence(broker)
            | Event::Kill(broker)
            | Event::Stop(broker)
            | Event::Start(broker)
            | Event::Wipe(broker)
            | Event::Flush(broker)
            | Event::Checkpoint(broker) => write!(f, " b{broker}"),
            Event::Consume => Ok(()),
        }
    }
}

/// What follows a step's word.
struct Arguments<'a> {
    word: &'static str,
    takes: &'static str,
    rest: &'a [&'a str],
    replicas: u8,
}

impl<'a> Arguments<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn missing<T>(&self) -> Result<T, StepError> {
        Err(StepError::Missing { word: self.word, needs: self.takes })
    }

    fn wrong<T>(&self, found: &str) -> Result<T, StepError> {
        Err(StepError::Argument { word: self.word, found: found.into(), takes: self.takes })
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest.first() == Some(&word);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// What follows `name=`, if that is next.
    fn value(&mut self, name: &str) -> Option<&'a str> {
        let value = self.rest.first()?.strip_prefix(name)?.strip_prefix('=')?;
        self.rest = &self.rest[1..];
        Some(value)
    }

    fn named_broker(&self, text: &str) -> Result<Broker, StepError> {
        let index = text.strip_prefix('b').and_then(|digits| digits.parse::<u8>().ok());
        let last = self.replicas.saturating_sub(1);
        index.filter(|&index| index <= last).ok_or_else(|| StepError::Broker { found: text.into(), last })
    }

    fn broker(&mut self) -> Result<Broker, StepError> {
        match self.next() {
            Some(text) => self.named_broker(text),
            None => self.missing(),
        }
    }

    fn broker_if_any(&mut self) -> Result<Option<Broker>, StepError> {
        if self.rest.is_empty() { Ok(None) } else { self.broker().map(Some) }
    }

    fn acks(&mut self) -> Result<Acks, StepError> {
        match self.value("acks") {
            Some(text) => Acks::parse(text).map_or_else(|| self.wrong(&format!("acks={text}")), Ok),
            None => self.missing(),
        }
    }

    fn at(&mut self) -> Result<Option<Broker>, StepError> {
        self.value("at").map(|text| self.named_broker(text)).transpose()
    }

    fn record(&mut self) -> Result<Record, StepError> {
        let Some(text) = self.next() else { return self.missing() };
        let number = text.strip_prefix('m').and_then(|digits| digits.parse().ok());
        number.map_or_else(|| self.wrong(text), Ok)
    }

    fn keep(&mut self) -> Result<u64, StepError> {
        match self.value("keep") {
            Some(text) => text.parse().map_or_else(|_| self.wrong(&format!("keep={text}")), Ok),
            None => Ok(0),
        }
    }
}

/// The word of `words` that is at most two letters away from `found`, the nearest first.
pub fn nearest<'a>(found: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = words.into_iter().map(|word| (distance(found, word), word)).min_by_key(|&(far, _)| far)?;
    (near.0 <= 2 && near.0 < found.len().max(1)).then_some(near.1)
}

/// Letters to put in, take out or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, &b) in b.iter().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_written_as_it_is_read() {
        let steps = [
            "produce acks=all",
            "produce acks=1 at=b0",
            "retry m3 acks=0",
            "fetch b1 response=lost",
            "epoch-query b2",
            "alter-partition",
            "alter-partition b1",
            "elect b2",
            "elect",
            "power-loss b1 keep=7",
            "consume",
        ];
        for step in steps {
            let (event, times) = Event::parse(step, 3).unwrap();
            assert_eq!((event.to_string().as_str(), times), (step, 1));
        }
        assert_eq!(Event::parse("fetch b1 x3", 3).unwrap(), (Event::Fetch { broker: 1, lost: false }, 3));
        assert_eq!(Event::parse("power-loss b1", 3).unwrap().0, Event::PowerLoss { broker: 1, keep: 0 });
    }

    #[test]
    fn what_is_wrong_with_a_step_is_said() {
        let cases = [
            ("fetsh b1", "\"fetsh\" begins no step; did you mean fetch?"),
            ("explode b1", "\"explode\" begins no step"),
            ("", "\"\" begins no step"),
            ("fetch", "fetch needs bN [response=lost]"),
            ("fetch b3", "\"b3\" is no replica: they are b0 to b2"),
            ("fetch b1 twice", "fetch does not take \"twice\"; it takes bN [response=lost]"),
            ("produce acks=2", "produce does not take \"acks=2\"; it takes acks=0|1|all [at=bN]"),
            ("fetch b1 x0", "\"x0\" is no repetition: write x2 to x100000"),
            ("fetch b1 x99999999999", "\"x99999999999\" is no repetition: write x2 to x100000"),
        ];
        for (step, message) in cases {
            assert_eq!(Event::parse(step, 3).unwrap_err().to_string(), message);
        }
    }
}
