//! A state in 128 bits.
//!
//! ```text
//!  a replica, 32 bits          at  bits          what all share, 32 bits       at  bits
//!   log, a record each          0  4 x 4          request of each epoch         0  4 x 5
//!     id                           2                leader, 3: none                2
//!     leader epoch                 2                ISR                            3
//!   log end offset             16  3              number of requests           20  3
//!   high watermark             19  3              ISR of the quorum            23  3
//!   leader epoch + 1, 0: none  22  3              records written              26  3
//!   ISR it believes in         25  3
//!   leader it believes in      28  2
//! ```
//! Requests are those of the controller (`LeaderAndIsr`), which any broker may hear of at any time; there is one for
//! each leader epoch. Leader and epoch of the quorum are those of the newest one. Bits beyond the end of a log are
//! zeros.

use crate::replication::explorer::Packed;
use crate::replication::explorer::packed::mix;

/// No leader.
pub(super) const NONE: u32 = 3;

/// A field of so many bits at a place of a word.
#[derive(Clone, Copy)]
pub(super) struct Field {
    at: u32,
    mask: u32,
}

impl Field {
    const fn new(at: u32, bits: u32) -> Field {
        Field { at, mask: (1 << bits) - 1 }
    }

    #[inline]
    pub(super) const fn of(self, word: u32) -> u32 {
        (word >> self.at) & self.mask
    }

    #[inline]
    pub(super) const fn set(self, word: u32, value: u32) -> u32 {
        word & !(self.mask << self.at) | (value << self.at)
    }
}

pub(super) const LOG: Field = Field::new(0, 16);
pub(super) const LOG_END: Field = Field::new(16, 3);
pub(super) const HIGH_WATERMARK: Field = Field::new(19, 3);
/// One more than the leader epoch.
pub(super) const EPOCH: Field = Field::new(22, 3);
pub(super) const ISR: Field = Field::new(25, 3);
pub(super) const LEADER: Field = Field::new(28, 2);

pub(super) const REQUESTS: Field = Field::new(20, 3);
pub(super) const QUORUM_ISR: Field = Field::new(23, 3);
pub(super) const WRITTEN: Field = Field::new(26, 3);

/// Bits of a record, and of the epoch in it.
pub(super) const RECORD_BITS: u32 = 4;
pub(super) const RECORD_EPOCH_AT: u32 = 2;
/// Bits of a request, and of the ISR in it.
pub(super) const REQUEST_BITS: u32 = 5;
pub(super) const REQUEST_ISR_AT: u32 = 2;

/// All brokers, and what the controller has said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct State {
    pub(super) replicas: [u32; 3],
    pub(super) shared: u32,
}

impl Packed for State {
    #[inline]
    fn hash(&self) -> u64 {
        let [first, second, third] = self.replicas.map(u64::from);
        mix([first << 32 | second, third << 32 | u64::from(self.shared)])
    }
}

impl State {
    /// Logs are empty, all are in sync, nobody leads.
    pub(super) fn initial(replicas: u8) -> State {
        State { replicas: [LEADER.set(0, NONE); 3], shared: QUORUM_ISR.set(0, (1 << replicas) - 1) }
    }

    #[inline]
    pub(super) const fn get(&self, broker: u8, field: Field) -> u32 {
        field.of(self.replicas[broker as usize])
    }

    /// The state with a field of a broker changed.
    #[inline]
    pub(super) const fn with(mut self, broker: u8, field: Field, value: u32) -> State {
        self.replicas[broker as usize] = field.set(self.replicas[broker as usize], value);
        self
    }

    #[inline]
    pub(super) const fn quorum_isr(&self) -> u32 {
        QUORUM_ISR.of(self.shared)
    }

    #[inline]
    pub(super) const fn requests(&self) -> u32 {
        REQUESTS.of(self.shared)
    }

    /// Leader and ISR of a request.
    #[inline]
    pub(super) const fn request(&self, epoch: u32) -> (u32, u32) {
        let request = self.shared >> (epoch * REQUEST_BITS);
        (request & 0b11, (request >> REQUEST_ISR_AT) & 0b111)
    }

    #[inline]
    pub(super) const fn quorum_leader(&self) -> u32 {
        match self.requests() {
            0 => NONE,
            requests => self.request(requests - 1).0,
        }
    }

    /// The state after one more request of the controller.
    #[inline]
    pub(super) const fn with_request(mut self, leader: u32, isr: u32) -> State {
        let requests = self.requests();
        self.shared |= (leader | isr << REQUEST_ISR_AT) << (requests * REQUEST_BITS);
        self.shared = QUORUM_ISR.set(REQUESTS.set(self.shared, requests + 1), isr);
        self
    }

    #[inline]
    pub(super) const fn presumes_leadership(&self, broker: u8) -> bool {
        self.get(broker, LEADER) == broker as u32
    }

    #[inline]
    pub(super) const fn is_following(&self, follower: u8, leader: u8) -> bool {
        self.get(follower, LEADER) == leader as u32
    }

    /// Whether the broker leads, and in the newest epoch.
    #[inline]
    pub(super) const fn is_true_leader(&self, broker: u8) -> bool {
        self.quorum_leader() == broker as u32
            && self.presumes_leadership(broker)
            && self.get(broker, EPOCH) == self.requests()
    }

    #[inline]
    pub(super) const fn log_end(&self, broker: u8) -> u32 {
        self.get(broker, LOG_END)
    }

    #[inline]
    pub(super) const fn high_watermark(&self, broker: u8) -> u32 {
        self.get(broker, HIGH_WATERMARK)
    }

    /// The record at an offset, id and epoch; zeros beyond the end.
    #[inline]
    pub(super) const fn record(&self, broker: u8, offset: u32) -> u32 {
        (self.get(broker, LOG) >> (offset * RECORD_BITS)) & 0b1111
    }

    #[inline]
    pub(super) const fn record_epoch(&self, broker: u8, offset: u32) -> u32 {
        self.record(broker, offset) >> RECORD_EPOCH_AT
    }

    /// The state with one more record in a log.
    #[inline]
    pub(super) const fn with_record(mut self, broker: u8, record: u32) -> State {
        let word = self.replicas[broker as usize];
        let end = LOG_END.of(word);
        self.replicas[broker as usize] = LOG_END.set(word | record << (end * RECORD_BITS), end + 1);
        self
    }

    /// The state with a log cut to an offset, which is not above its end.
    #[inline]
    pub(super) const fn with_log_cut(mut self, broker: u8, end: u32) -> State {
        let word = self.replicas[broker as usize];
        let kept = LOG.of(word) & ((1 << (end * RECORD_BITS)) - 1);
        self.replicas[broker as usize] = LOG_END.set(LOG.set(word, kept), end);
        self
    }

    /// Whether both logs hold the same records below an offset.
    #[inline]
    pub(super) const fn is_same_below(&self, left: u8, right: u8, offset: u32) -> bool {
        let below = (1 << (offset * RECORD_BITS)) - 1;
        self.log_end(left) >= offset
            && self.log_end(right) >= offset
            && (self.replicas[left as usize] ^ self.replicas[right as usize]) & below == 0
    }
}
