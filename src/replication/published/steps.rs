//! All steps out of a state.

use super::rules::{common_end, needs_cut};
use super::scope::Scope;
use super::state::{EPOCH, HIGH_WATERMARK, ISR, LEADER, NONE, QUORUM_ISR, RECORD_EPOCH_AT, State, WRITTEN};
use super::{Event, Rules};

/// Every step that the rules allow, and where it leads.
#[inline]
pub(super) fn steps(rules: Rules, scope: &Scope, state: &State, out: &mut impl FnMut(Event, State)) {
    if state.requests() <= u32::from(scope.epoch_max) {
        controller(scope, state, out);
    }
    for broker in 0..scope.replicas {
        hear(rules, state, broker, out);
        if state.presumes_leadership(broker) {
            lead(rules, scope, state, broker, out);
        }
    }
}

/// Elections, and brokers that fail.
#[inline]
fn controller(scope: &Scope, state: &State, out: &mut impl FnMut(Event, State)) {
    let (leader, isr) = (state.quorum_leader(), state.quorum_isr());
    for broker in 0..scope.replicas {
        let is_leader = leader == u32::from(broker);
        let others = isr & !(1 << broker);
        if is_leader {
            // The last one stays in the ISR.
            let left = if others == 0 { isr } else { others };
            out(Event::ControllerShrinkIsr(broker), state.with_request(NONE, left));
        } else if isr != others {
            out(Event::ControllerElectLeader(broker), state.with_request(u32::from(broker), isr));
            out(Event::ControllerShrinkIsr(broker), state.with_request(leader, others));
        }
    }
}

/// What a broker may hear: any request of a later epoch than its own, the newest or not.
#[inline]
fn hear(rules: Rules, state: &State, broker: u8, out: &mut impl FnMut(Event, State)) {
    // A broker's field is one more than its epoch.
    for (epoch, told) in (state.get(broker, EPOCH)..state.requests()).map(|it| (it, epoch_u8(it))) {
        let (leader, isr) = state.request(epoch);
        if leader == NONE {
            continue;
        }
        let heard = state.with(broker, EPOCH, epoch + 1).with(broker, ISR, isr).with(broker, LEADER, leader);
        if leader == u32::from(broker) {
            out(Event::BecomeLeader(broker, told), heard);
        } else if let Some(end) = rules.cut(state, broker, epoch_u8(leader), epoch) {
            let heard = if rules == Rules::Kip320FirstTry { heard } else { cut(&heard, broker, end) };
            out(Event::BecomeFollower(broker, told), heard);
        }
    }
}

/// What a broker may do that believes to lead, and others because of it.
#[inline]
fn lead(rules: Rules, scope: &Scope, state: &State, leader: u8, out: &mut impl FnMut(Event, State)) {
    let written = WRITTEN.of(state.shared);
    if written < u32::from(scope.records) && state.log_end(leader) < u32::from(scope.log_size) {
        let record = written | (state.get(leader, EPOCH) - 1) << RECORD_EPOCH_AT;
        let mut after = state.with_record(leader, record);
        after.shared = WRITTEN.set(after.shared, written + 1);
        out(Event::LeaderWrite(leader), after);
    }
    let isr = state.get(leader, ISR);
    let is_member = |broker: &u8| isr >> broker & 1 == 1;
    if rules.may_raise(state, scope.log_size, leader, (0..scope.replicas).filter(is_member)) {
        let raised = state.with(leader, HIGH_WATERMARK, state.high_watermark(leader) + 1);
        out(Event::LeaderIncHighWatermark(leader), raised);
    }
    let is_true = state.is_true_leader(leader);
    for broker in (0..scope.replicas).filter(|it| *it != leader) {
        if is_true && is_member(&broker) && rules.may_shrink(state, leader, broker) {
            out(Event::LeaderShrinkIsr(leader, broker), with_isr(state, leader, isr & !(1 << broker)));
        }
        if is_true && !is_member(&broker) && rules.may_expand(state, leader, broker) {
            out(Event::LeaderExpandIsr(leader, broker), with_isr(state, leader, isr | 1 << broker));
        }
        if rules.may_fetch(state, leader, broker) {
            let end = state.log_end(broker);
            let after = state.with_record(broker, state.record(leader, end));
            let high_watermark = state.high_watermark(leader).min(end + 1);
            out(Event::FollowerFetch(broker, leader), after.with(broker, HIGH_WATERMARK, high_watermark));
        }
        if rules == Rules::Kip320FirstTry && state.is_following(broker, leader) && needs_cut(state, broker, leader) {
            out(Event::FollowerTruncate(broker, leader), cut(state, broker, common_end(state, broker, leader)));
        }
    }
}

/// A leader changes the ISR, its own and that of the quorum at once.
#[inline]
const fn with_isr(state: &State, leader: u8, isr: u32) -> State {
    let mut after = state.with(leader, ISR, isr);
    after.shared = QUORUM_ISR.set(after.shared, isr);
    after
}

/// A broker cuts its log, and its high watermark with it.
#[inline]
fn cut(state: &State, broker: u8, end: u32) -> State {
    let high_watermark = state.high_watermark(broker).min(end);
    state.with_log_cut(broker, end).with(broker, HIGH_WATERMARK, high_watermark)
}

/// Epochs and brokers have three bits here.
#[expect(clippy::cast_possible_truncation, reason = "a field of three bits")]
const fn epoch_u8(field: u32) -> u8 {
    field as u8
}
