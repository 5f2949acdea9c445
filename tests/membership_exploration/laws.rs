//! What holds in every world, after every step, and where nothing more is to happen.

use logdir::group::membership::State;

use super::world::{PARTITIONS, SLOTS, Setting, Step, World, bits, named};

const ALL: u8 = (1 << PARTITIONS) - 1;

/// The law that this world breaks.
pub fn broken(world: &World, setting: &Setting) -> Option<String> {
    let group = &world.group;
    let processes: Vec<_> = world.processes.iter().flatten().collect();
    let may_commit = |at: usize| {
        let member = &processes[at].attendance;
        group.check(member.id(), member.instance_id(), member.generation())
    };
    for (at, process) in processes.iter().enumerate() {
        let (member, checked) = (&process.attendance, may_commit(at));
        let id = member.id();
        if checked.is_ok() != process.is_current {
            let is = if process.is_current { "has taken" } else { "has not taken" };
            return Some(format!("commits: {id} {is} the assignment of the last rebalance, and is told {checked:?}"));
        }
        let assigned = group.member(id).map_or(0, |member| bits(&member.assignment));
        if checked.is_ok() && bits(member.owned()) & !assigned != 0 {
            return Some(format!("assignments: {id} may commit what it was not assigned"));
        }
        for (other_at, other) in processes.iter().enumerate().skip(at + 1) {
            let other = &other.attendance;
            let Some(partition) = member.owned().intersection(other.owned()).next() else { continue };
            let both =
                format!("{id} of generation {} and {} of {}", member.generation(), other.id(), other.generation());
            if checked.is_ok() && may_commit(other_at).is_ok() {
                return Some(format!("one owner: {both} read {partition}, and both may commit"));
            }
            // The successor of a static member has its generation, too.
            if member.generation() == other.generation() && setting.is_dynamic() {
                return Some(format!("one owner: {both} read {partition} in one generation"));
            }
            // A static member that was not there in time stays in the group with what it had.
            if setting.is_dynamic() && group.member(id).is_some() && group.member(other.id()).is_some() {
                return Some(format!("one owner: {both} read {partition}, and both are in the group"));
            }
        }
    }
    let mut seen = 0;
    for (id, member) in group.members() {
        let assigned = bits(&member.assignment);
        if seen & assigned != 0 {
            return Some(format!("assignments: {id} was assigned what another one has"));
        }
        seen |= assigned;
    }
    let leads = group.leader().is_some_and(|leader| group.member(leader).is_some());
    if !leads && (group.leader().is_some() || group.state() == State::Stable) {
        return Some(format!("leader: {:?} is not in the group", group.leader()));
    }
    None
}

/// The law that this step breaks.
pub fn broken_by(before: &World, step: Step, after: &World) -> Option<String> {
    let (old, new) = (before.group.generation(), after.group.generation());
    let is_completed =
        matches!(step, Step::Complete | Step::TimeOut) && after.group.state() != State::PreparingRebalance;
    (new != old + i32::from(is_completed)).then(|| format!("generations: from {old} to {new}"))
}

/// Where nothing more happens by itself: what is wrong with it.
pub fn unsettled(world: &World) -> Option<String> {
    let living: Vec<_> =
        (0..SLOTS as u8).filter(|slot| world.is_awake(*slot)).filter_map(|slot| world.process(slot)).collect();
    if living.is_empty() {
        return None;
    }
    if world.group.state() != State::Stable {
        return Some(format!("settles: the group is {:?}", world.group.state()));
    }
    if let Some(id) = world.group.members().keys().find(|id| !living.iter().any(|it| it.attendance.id() == **id)) {
        return Some(format!("settles: {id} is in the group and away (slot {})", named(id).0));
    }
    if let Some(out) = living.iter().find(|process| !process.is_current) {
        return Some(format!("settles: {} is not in the last generation", out.attendance.id()));
    }
    let owned: Vec<u8> = living.iter().map(|process| bits(process.attendance.owned())).collect();
    let is_shared = owned.iter().map(|bits| bits.count_ones()).sum::<u32>() == ALL.count_ones();
    (!is_shared || owned.iter().fold(0, |all, bits| all | bits) != ALL)
        .then(|| format!("settles: partitions read, in bits: {owned:?}"))
}
