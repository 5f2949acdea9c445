//! Brokers exchanged for one another.

use super::state::{
    EPOCH, HIGH_WATERMARK, ISR, LEADER, LOG, LOG_END, NONE, QUORUM_ISR, REQUEST_BITS, REQUEST_ISR_AT, State,
};

/// A way to exchange brokers.
struct Exchange {
    /// The new number of each.
    to: [u8; 3],
    /// Leaders, ISRs and requests after it.
    leader: [u32; 4],
    isr: [u32; 8],
    request: [u32; 32],
}

impl Exchange {
    fn new(to: [u8; 3]) -> Exchange {
        let leader = [u32::from(to[0]), u32::from(to[1]), u32::from(to[2]), NONE];
        let isr: [u32; 8] =
            std::array::from_fn(|isr| (0..3).filter(|it| isr >> it & 1 == 1).map(|it| 1 << to[it]).sum());
        let request = std::array::from_fn(|it| leader[it & 0b11] | isr[it >> REQUEST_ISR_AT] << REQUEST_ISR_AT);
        Exchange { to, leader, isr, request }
    }

    #[inline]
    fn apply(&self, state: &State) -> State {
        let mut replicas = [0; 3];
        for (word, to) in state.replicas.iter().zip(self.to) {
            let leader = self.leader[LEADER.of(*word) as usize];
            let isr = self.isr[ISR.of(*word) as usize];
            replicas[usize::from(to)] = ISR.set(LEADER.set(*word, leader), isr);
        }
        let mut shared = QUORUM_ISR.set(state.shared, self.isr[state.quorum_isr() as usize]);
        for epoch in 0..state.requests() {
            let at = epoch * REQUEST_BITS;
            let request = self.request[(shared >> at & 0b1_1111) as usize];
            shared = shared & !(0b1_1111 << at) | request << at;
        }
        State { replicas, shared }
    }
}

/// All ways to exchange the brokers there are.
pub(super) struct Symmetry {
    exchanges: Vec<Exchange>,
    replicas: u8,
}

impl Symmetry {
    pub(super) fn of(replicas: u8) -> Symmetry {
        let orders = [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let stays = |to: &[u8; 3]| (replicas..3).all(|it| to[usize::from(it)] == it);
        Symmetry { exchanges: orders.into_iter().filter(stays).map(Exchange::new).collect(), replicas }
    }

    /// The least state that exchanging brokers can make of this one, of those that put them in the order of what does
    /// not depend on their numbers. Most often that is one exchange, and no other has to be tried.
    #[inline]
    pub(super) fn canonical(&self, state: State) -> State {
        let mut ranks = [u64::MAX; 3];
        for (rank, broker) in ranks.iter_mut().zip(0..self.replicas) {
            *rank = rank_of(&state, broker);
        }
        let is_sorted = |it: &&Exchange| {
            let mut sorted = [0; 3];
            for (rank, to) in ranks.iter().zip(it.to) {
                sorted[usize::from(to)] = *rank;
            }
            sorted[0] <= sorted[1] && sorted[1] <= sorted[2]
        };
        let candidates = self.exchanges.iter().filter(is_sorted).map(|it| it.apply(&state));
        candidates.min().unwrap_or(state)
    }
}

/// What is to be known of a broker but for its number.
#[inline]
fn rank_of(state: &State, broker: u8) -> u64 {
    let word = state.replicas[usize::from(broker)];
    let own = [LOG, LOG_END, HIGH_WATERMARK, EPOCH].iter().fold(0, |rank, field| field.set(rank, field.of(word)));
    // Where it is named: by the quorum, in each request, and by itself.
    let is_named = |named: u32| u64::from(named == u32::from(broker));
    let is_in = |isr: u32| u64::from(isr >> broker & 1);
    let mut rank = u64::from(own);
    rank = rank << 1 | is_in(state.quorum_isr());
    rank = rank << 1 | is_in(ISR.of(word));
    rank = rank << 2 | u64::from(ISR.of(word).count_ones());
    rank = rank << 1 | is_named(LEADER.of(word));
    for epoch in 0..state.requests() {
        let (leader, isr) = state.request(epoch);
        rank = rank << 2 | is_named(leader) << 1 | is_in(isr);
    }
    rank
}
