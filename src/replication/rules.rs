//! Which rules hold: the era of the protocol, its switches one by one, and the settings of topic and brokers.

use std::fmt;

use super::broker_set::BrokerSet;

/// A generation of Kafka's replication protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Era {
    /// Before 0.11: a follower cuts its log to its own high watermark.
    Hw,
    /// 0.11 to 1.1 (KIP-101): it asks the leader where its last epoch ends.
    Epoch,
    /// 2.0 (KIP-279): the answer names the epoch that it is of.
    Epoch2,
    /// 2.1 to 2.6 (KIP-320): fetches and questions carry the leader epoch, and are refused when it is another.
    Fenced,
    /// 2.7 to 4.x: the fetch itself finds out where the logs diverge; KIP-497, KIP-903.
    Fetch,
    /// 4.x with eligible leader replicas (KIP-966).
    Elr,
}

impl Era {
    /// All, oldest first.
    pub const ALL: [Era; 6] = [Era::Hw, Era::Epoch, Era::Epoch2, Era::Fenced, Era::Fetch, Era::Elr];

    /// Its name in scenario files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Era::Hw => "hw",
            Era::Epoch => "epoch",
            Era::Epoch2 => "epoch2",
            Era::Fenced => "fenced",
            Era::Fetch => "fetch",
            Era::Elr => "elr",
        }
    }

    /// Releases it is of, about.
    pub const fn releases(self) -> &'static str {
        match self {
            Era::Hw => "before 0.11",
            Era::Epoch => "0.11 to 1.1 (KIP-101)",
            Era::Epoch2 => "2.0 (KIP-279)",
            Era::Fenced => "2.1 to 2.6 (KIP-320)",
            Era::Fetch => "2.7 to 4.x (KIP-497, KIP-903)",
            Era::Elr => "4.x with eligible leader replicas (KIP-966)",
        }
    }

    /// The era of this name.
    pub fn parse(name: &str) -> Option<Era> {
        Era::ALL.into_iter().find(|era| era.name() == name)
    }

    /// How a follower of this era finds where to cut its log.
    pub const fn truncation(self) -> Truncation {
        match self {
            Era::Hw => Truncation::ToHighWatermark,
            Era::Epoch => Truncation::AskEnd,
            Era::Epoch2 | Era::Fenced => Truncation::AskEpochAndEnd,
            Era::Fetch | Era::Elr => Truncation::OnFetch,
        }
    }

    /// The switches of this era.
    pub const fn switches(self) -> Switches {
        let era = self as u8;
        Switches {
            fence: era >= Era::Fenced as u8,
            leso: era >= Era::Fenced as u8,
            broker_epoch_check: era >= Era::Fetch as u8,
            maximal_isr: era >= Era::Fetch as u8,
            hw_needs_min_isr: era >= Era::Fetch as u8,
            elr: era >= Era::Elr as u8,
            clear_rem: false,
            bump_on_shrink: false,
            wait_for_joining: false,
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a follower finds where to cut its log when there is a new leader epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truncation {
    /// To its high watermark, at once.
    ToHighWatermark,
    /// It asks for the end of its last epoch (KIP-101).
    AskEnd,
    /// It asks so, and the answer names its epoch (KIP-279).
    AskEpochAndEnd,
    /// A fetch that does not fit is answered with where the logs diverge.
    OnFetch,
}

/// Protective rules, each of which can be switched off to see what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Switches {
    /// Fetches and questions carry the leader epoch, and are refused when it differs (KIP-320).
    pub fence: bool,
    /// A follower joins the ISR only from the leader epoch's start offset on.
    pub leso: bool,
    /// The controller compares the broker epochs of those who join (KIP-903).
    pub broker_epoch_check: bool,
    /// The high watermark waits for those whom the leader has asked to add (KIP-497).
    pub maximal_isr: bool,
    /// The high watermark stands still below min.insync.replicas (KIP-966).
    pub hw_needs_min_isr: bool,
    /// Eligible leader replicas (KIP-966).
    pub elr: bool,
    /// A leader forgets its followers' offsets in every new leader epoch. On in no era: scenario S25.
    pub clear_rem: bool,
    /// A shrinking ISR raises the leader epoch (metadata versions before 3.6).
    pub bump_on_shrink: bool,
    /// A follower outside the ISR that was caught up within the lag limit holds the high watermark back.
    pub wait_for_joining: bool,
}

impl Switches {
    /// Name and value of each, in a fixed order.
    pub fn named(&mut self) -> [(&'static str, &mut bool); 9] {
        [
            ("fence", &mut self.fence),
            ("leso", &mut self.leso),
            ("broker_epoch_check", &mut self.broker_epoch_check),
            ("maximal_isr", &mut self.maximal_isr),
            ("hw_needs_min_isr", &mut self.hw_needs_min_isr),
            ("elr", &mut self.elr),
            ("clear_rem", &mut self.clear_rem),
            ("bump_on_shrink", &mut self.bump_on_shrink),
            ("wait_for_joining", &mut self.wait_for_joining),
        ]
    }
}

/// Who decides when a record is committed, and who may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Strategy {
    /// Kafka's: every member of the in-sync replica set.
    #[default]
    AllIsr,
    /// A majority of all replicas, leader included.
    Majority,
}

impl Strategy {
    /// Both.
    pub const ALL: [Strategy; 2] = [Strategy::AllIsr, Strategy::Majority];

    /// Its name in scenario files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::AllIsr => "all-isr",
            Strategy::Majority => "majority",
        }
    }

    /// The strategy of this name.
    pub fn parse(name: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|strategy| strategy.name() == name)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When a replica's log reaches its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flush {
    /// When the system pleases (Kafka's default).
    #[default]
    Never,
    /// Before anything is acknowledged, every so many records (`log.flush.interval.messages`).
    Every(u64),
}

/// What is fixed while a partition is played through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Era, which says how followers cut their logs.
    pub era: Era,
    /// Its protective rules, or those wanted instead.
    pub switches: Switches,
    /// Sync strategy.
    pub strategy: Strategy,
    /// Replicas: brokers b0 to b(n-1), preferred in this order.
    pub replicas: u8,
    /// `min.insync.replicas` as configured.
    pub min_insync_replicas: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// When logs are flushed.
    pub flush: Flush,
    /// Records in one fetch response at most; none: as many as there are.
    pub records_per_fetch: Option<u64>,
    /// `enable.idempotence` of the producers.
    pub idempotence: bool,
    /// Producers that take turns: record r is number r / producers of producer r mod producers.
    pub producers: u32,
}

impl Rules {
    /// An era's rules for so many replicas, everything else at Kafka's defaults but idempotence, which is off.
    pub fn of(era: Era, replicas: u8) -> Rules {
        Rules {
            era,
            switches: era.switches(),
            strategy: Strategy::AllIsr,
            replicas,
            min_insync_replicas: 1,
            unclean_leader_election: false,
            flush: Flush::Never,
            records_per_fetch: None,
            idempotence: false,
            producers: 1,
        }
    }

    /// `min.insync.replicas`, never above the number of replicas.
    pub fn min_isr(&self) -> u32 {
        self.min_insync_replicas.min(u32::from(self.replicas))
    }

    /// All replicas.
    pub fn all(&self) -> BrokerSet {
        BrokerSet::first(self.replicas)
    }

    /// Replicas that must answer in the majority strategy.
    pub fn majority(&self) -> u32 {
        u32::from(self.replicas) / 2 + 1
    }
}
