//! What an assessment is called in sentences.

use std::ops::Range;

use serde_json::Value;

use super::Assessed;
use crate::replication::assess::candidate::{Candidate, Lost, Standing};
use crate::replication::assess::choice::Reason;
use crate::replication::assess::{Proof, View};
use crate::storage::assess::{Fate, ReplicaDir};

/// Replicas by the names people have for them: the broker's id, or the directory where that is not known, or not one.
pub struct Names {
    dirs: Vec<String>,
    brokers: Vec<Option<i32>>,
}

impl Names {
    /// Of these replicas.
    pub fn of(replicas: &[ReplicaDir]) -> Names {
        let dirs = replicas.iter().map(|replica| replica.partition.dir().display().to_string()).collect();
        let is_one = |broker: &i32| replicas.iter().filter(|other| other.broker == Some(*broker)).count() == 1;
        let brokers = replicas.iter().map(|replica| replica.broker.filter(is_one)).collect();
        Names { dirs, brokers }
    }

    /// `broker 2`.
    pub fn one(&self, replica: usize) -> String {
        match self.brokers.get(replica).copied().flatten() {
            Some(broker) => format!("broker {broker}"),
            None => self.dir(replica).to_owned(),
        }
    }

    /// `brokers 1, 2`.
    pub fn several(&self, replicas: &[usize]) -> String {
        let brokers: Option<Vec<i32>> = replicas.iter().map(|&it| self.brokers.get(it).copied().flatten()).collect();
        match brokers {
            Some(brokers) if brokers.len() > 1 => {
                format!("brokers {}", brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            _ => replicas.iter().map(|&it| self.one(it)).collect::<Vec<_>>().join(", "),
        }
    }

    /// The directory.
    pub fn dir(&self, replica: usize) -> &str {
        self.dirs.get(replica).map_or("?", String::as_str)
    }

    /// The broker's id in JSON, or the directory.
    pub fn json(&self, replica: usize) -> Value {
        match self.brokers.get(replica).copied().flatten() {
            Some(broker) => Value::from(broker),
            None => Value::from(self.dir(replica)),
        }
    }
}

/// `57 to 81`, or `57`.
pub fn offsets(range: &Range<u64>) -> String {
    match range.end.saturating_sub(1) {
        last if last > range.start => format!("{} to {last}", range.start),
        _ => range.start.to_string(),
    }
}

/// `1 offset`, `25 offsets`.
pub fn count(offsets: u64) -> String {
    format!("{offsets} {}", if offsets == 1 { "offset" } else { "offsets" })
}

/// `1 committed offset`, `25 committed offsets`.
fn committed(offsets: u64) -> String {
    format!("{offsets} committed {}", if offsets == 1 { "offset" } else { "offsets" })
}

/// `leader epoch 3`.
pub fn epoch(epoch: Option<u32>) -> String {
    epoch.map_or("no leader epoch".to_owned(), |epoch| format!("leader epoch {epoch}"))
}

/// `[1, 2]`.
pub fn brokers(brokers: &[i32]) -> String {
    format!("{brokers:?}")
}

/// How bad it is that something is lost, and how that is known.
pub fn standing(lost: &Lost, names: &Names) -> String {
    match &lost.standing {
        Standing::Committed(Proof::HighWatermark { replica, at }) => {
            format!("committed, below the high watermark {at} of {}", names.one(*replica))
        }
        Standing::Committed(Proof::LedAlone { replica }) => {
            format!("committed, as {} led alone in the ISR and min.insync.replicas is 1", names.one(*replica))
        }
        Standing::Open { in_sync_without } if in_sync_without.is_empty() => {
            "acknowledged if sent with acks=1; with acks=all only if they were committed, which no checkpoint here shows".to_owned()
        }
        Standing::Open { in_sync_without } => format!(
            "acknowledged if sent with acks=1; with acks=all only if {}, in the ISR then, had them and lost them since",
            names.several(in_sync_without)
        ),
    }
}

/// What a broker does about damage when it starts.
pub const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Cut => "a broker that starts cuts the log there",
        Fate::Emptied => "a broker that starts empties the whole segment",
        Fate::Stays => "a broker that starts does not look there; consumers and followers stop at it",
    }
}

/// What a leader would lose, in one clause.
fn loss(candidate: &Candidate) -> String {
    let (sure, perhaps) = (candidate.loses_committed(), candidate.loses_perhaps_committed());
    let unreplicated = candidate.loses_unreplicated();
    let open: Vec<String> =
        [(perhaps, "that may have been committed"), (unreplicated, "acknowledged if sent with acks=1")]
            .into_iter()
            .filter(|(offsets, _)| *offsets > 0)
            .map(|(offsets, words)| format!("{} {words}", count(offsets)))
            .collect();
    let open = open.join(", and ");
    match (sure, open.is_empty()) {
        (0, true) => "it loses nothing that another replica has".to_owned(),
        (0, false) => format!("it loses nothing that is known to be committed, but {open}"),
        (_, true) => format!("it loses {}", committed(sure)),
        (_, false) => format!("it loses {}, and {open}", committed(sure)),
    }
}

/// Which replica is the best choice and why, in one sentence.
pub fn best(assessed: &Assessed<'_>) -> Option<String> {
    let Assessed { found, assessment, names, .. } = assessed;
    let choice = assessment.choice.as_ref()?;
    let best = assessment.candidates.get(choice.best())?;
    let next = choice.next().and_then(|next| assessment.candidates.get(next));
    let next_name = choice.next().map(|next| names.one(next)).unwrap_or_default();
    let why = match choice.reason {
        Reason::Only => "there is no other".to_owned(),
        Reason::Committed => {
            format!("{next_name} would lose {}", committed(next.map_or(0, Candidate::loses_committed)))
        }
        Reason::PerhapsCommitted => {
            let perhaps = count(next.map_or(0, Candidate::loses_perhaps_committed));
            format!("{next_name} would lose {perhaps} that may have been committed")
        }
        Reason::Unreplicated => {
            let unreplicated = count(next.map_or(0, Candidate::loses_unreplicated));
            format!("{next_name} would lose {unreplicated} acknowledged if sent with acks=1")
        }
        Reason::Reach => {
            let loaded = found.situation.replicas.get(choice.best())?.loaded();
            let reach = format!("{}, log end {}", epoch(loaded.epochs.last()), loaded.end);
            format!("the same goes for {next_name}, but this log reaches further ({reach})")
        }
        Reason::Electable => {
            format!("{next_name} loses no less of what can have been committed, and cannot be elected cleanly")
        }
        Reason::Order if found.situation.newest.is_some() => {
            format!("the same goes for {next_name}, which the assignment names later")
        }
        Reason::Order => format!("the same goes for {next_name}, which was named later"),
    };
    Some(format!("{}: {}; {why}", names.one(choice.best()), loss(best)))
}

/// How the best choice becomes leader, as far as the metadata tells.
pub fn election(view: &View, is_unclean: bool, broker: Option<i32>) -> String {
    let elr = if view.elr.is_empty() { String::new() } else { format!(" and the ELR {}", brokers(&view.elr)) };
    if !is_unclean {
        return format!("a clean election can choose it, from the ISR {}{elr}", brokers(&view.isr));
    }
    // `PartitionChangeBuilder.electAnyLeader`: whoever can be elected cleanly, then the first live replica.
    let before = view.replicas.iter().take_while(|it| Some(**it) != broker);
    let mut down: Vec<i32> = view.isr.iter().chain(&view.elr).chain(before).copied().collect();
    down.sort_unstable();
    down.dedup();
    let down = match down.is_empty() {
        true => String::new(),
        false => format!(", so keep {} down until it leads", brokers(&down)),
    };
    format!(
        "it is not in the ISR {}{elr}: only an unclean election makes it leader, which takes a live member of these before any \
         other, and then the first live replica of {}{down}",
        brokers(&view.isr),
        brokers(&view.replicas)
    )
}
