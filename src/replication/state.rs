//! The state of one partition: what the controller has decided, and what each broker holds and believes.

use smallvec::SmallVec;

use super::broker_set::{Broker, BrokerSet};
use super::epochs::Epochs;
use super::log::{Log, Record};
use super::rules::{Rules, Strategy, Truncation};

/// Most replicas that are played through.
pub const REPLICAS_MAX: usize = 9;

/// One partition: the controller's records and its replicas. `N` is the room for brokers; the rules say how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State<const N: usize = REPLICAS_MAX> {
    /// The controller, assumed to be replicated and right.
    pub controller: Controller<N>,
    /// Brokers b0, b1, ...
    pub brokers: [Replica<N>; N],
    /// Number of the next new record.
    pub next_record: Record,
}

/// What the controller has decided (`PartitionRegistration`, `BrokerRegistration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller<const N: usize> {
    /// Leader, if there is one.
    pub leader: Option<Broker>,
    /// One more whenever the leader changes, also to none.
    pub leader_epoch: u32,
    /// One more on every change of the partition.
    pub partition_epoch: u32,
    /// In-sync replicas.
    pub isr: BrokerSet,
    /// Eligible leader replicas.
    pub elr: BrokerSet,
    /// The last leader, kept when ISR and ELR are empty.
    pub last_known: Option<Broker>,
    /// Brokers that may lead and join the ISR.
    pub unfenced: BrokerSet,
    /// Epoch of each broker's registration.
    pub broker_epoch: [u32; N],
    /// The last epoch given.
    pub last_broker_epoch: u32,
}

/// What a broker does for the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It has heard nothing since it started.
    #[default]
    None,
    /// Leader.
    Leader,
    /// Follower of this broker; of none while there is no leader.
    Follower(Option<Broker>),
}

/// An ISR that a leader has asked the controller for (`AlterPartition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrRequest {
    /// The ISR asked for.
    pub isr: BrokerSet,
    /// Who is to join, with the broker epoch of its fetch; none: somebody is to leave.
    pub joins: Option<(Broker, u32)>,
    /// Partition epoch that it was asked in.
    pub partition_epoch: u32,
}

/// A producer's request that waits for the high watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The record.
    pub record: Record,
    /// High watermark from which on it is committed.
    pub end: u64,
}

/// One broker's replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica<const N: usize> {
    /// Whether its process runs.
    pub up: bool,
    /// The log.
    pub log: Log,
    /// End of what is on the disk for sure.
    pub flushed: u64,
    /// High watermark it believes; kept for show while the broker is down.
    pub hw: u64,
    /// Last one written to `replication-offset-checkpoint`.
    pub hw_checkpoint: u64,
    /// The leader-epoch checkpoint.
    pub epochs: Epochs,
    /// Broker epoch in the clean-shutdown marker, if there is one.
    pub clean: Option<u32>,
    /// What it does.
    pub role: Role,
    /// Leader epoch it believes.
    pub leader_epoch: u32,
    /// Partition epoch it believes; none when it has heard nothing since it started.
    pub partition_epoch: Option<u32>,
    /// Whether it must ask the leader where to cut before it may fetch.
    pub asks: bool,
    /// Leader: the committed ISR it knows.
    pub isr: BrokerSet,
    /// Leader: the ISR it has asked for.
    pub pending: Option<IsrRequest>,
    /// Leader: log end offset when it took this epoch.
    pub epoch_start: u64,
    /// Leader: last fetch offset of each follower; none while unknown.
    pub fetched: [Option<u64>; N],
    /// Leader: followers outside the ISR that were caught up within the lag limit, as told by whoever keeps the time.
    pub joining: BrokerSet,
    /// Leader: producers that wait.
    pub waiting: SmallVec<[Waiting; 4]>,
}

impl<const N: usize> Replica<N> {
    /// An empty replica on a broker that runs and has heard nothing.
    pub fn empty() -> Replica<N> {
        Replica {
            up: true,
            log: Log::default(),
            flushed: 0,
            hw: 0,
            hw_checkpoint: 0,
            epochs: Epochs::default(),
            clean: None,
            role: Role::None,
            leader_epoch: 0,
            partition_epoch: None,
            asks: false,
            isr: BrokerSet::NONE,
            pending: None,
            epoch_start: 0,
            fetched: [None; N],
            joining: BrokerSet::NONE,
            waiting: SmallVec::new(),
        }
    }

    /// Log end offset.
    pub fn leo(&self) -> u64 {
        self.log.end()
    }

    /// Whether it runs and believes to lead.
    pub fn leads(&self) -> bool {
        self.up && self.role == Role::Leader
    }

    /// Those whom its high watermark waits for: its ISR and whom it has asked to add (`PartitionState.maximalIsr`).
    pub fn maximal_isr(&self, rules: &Rules) -> BrokerSet {
        match self.pending {
            Some(request) if rules.switches.maximal_isr => self.isr.or(request.isr),
            _ => self.isr,
        }
    }

    /// Forgets what lives in memory only.
    pub(super) fn forget(&mut self) {
        *self = Replica {
            up: self.up,
            log: std::mem::take(&mut self.log),
            flushed: self.flushed,
            hw: self.hw,
            hw_checkpoint: self.hw_checkpoint,
            epochs: std::mem::take(&mut self.epochs),
            clean: self.clean,
            ..Replica::empty()
        };
    }
}

impl<const N: usize> State<N> {
    /// All replicas empty and alive, b0 leads in epoch 0, and all are in sync.
    ///
    /// # Panics
    ///
    /// When there are more replicas than the state has room for.
    pub fn initial(rules: &Rules) -> State<N> {
        assert!(usize::from(rules.replicas) <= N, "more replicas than room for them");
        let all = rules.all();
        let mut brokers: [Replica<N>; N] = std::array::from_fn(|_| Replica::empty());
        for broker in all.iter() {
            let replica = &mut brokers[usize::from(broker)];
            replica.role = if broker == 0 { Role::Leader } else { Role::Follower(Some(0)) };
            replica.partition_epoch = Some(0);
        }
        brokers[0].isr = all;
        if matches!(rules.era.truncation(), Truncation::AskEpochAndEnd | Truncation::OnFetch) {
            brokers[0].epochs.assign(0, 0);
        }
        let controller = Controller {
            leader: Some(0),
            leader_epoch: 0,
            partition_epoch: 0,
            isr: all,
            elr: BrokerSet::NONE,
            last_known: None,
            unfenced: all,
            broker_epoch: [0; N],
            last_broker_epoch: 0,
        };
        State { controller, brokers, next_record: 0 }
    }

    /// The broker that leads in the newest leader epoch, if it runs and knows that it does.
    pub fn true_leader(&self) -> Option<Broker> {
        let leader = self.controller.leader?;
        let replica = self.replica(leader);
        (replica.leads() && replica.leader_epoch == self.controller.leader_epoch).then_some(leader)
    }

    /// A broker's replica.
    #[inline]
    pub fn replica(&self, broker: Broker) -> &Replica<N> {
        &self.brokers[usize::from(broker)]
    }

    /// A broker's replica.
    #[inline]
    pub fn replica_mut(&mut self, broker: Broker) -> &mut Replica<N> {
        &mut self.brokers[usize::from(broker)]
    }

    /// Brokers that run.
    pub fn up(&self, rules: &Rules) -> BrokerSet {
        rules.all().iter().filter(|&broker| self.replica(broker).up).collect()
    }

    /// Whether somebody could be asked to lead at all: there is a leader, or in the majority strategy enough run to choose one.
    pub fn is_available(&self, rules: &Rules) -> bool {
        match rules.strategy {
            Strategy::AllIsr => self.controller.leader.is_some_and(|leader| self.replica(leader).up),
            Strategy::Majority => self.up(rules).len() >= rules.majority(),
        }
    }
}
