//! Where logs that were the same part, and how each branch goes on.

use std::ops::Range;

use super::compare::Stretch;

/// A stretch of a branch in one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRange {
    /// The leader epoch; none before magic 2.
    pub epoch: Option<u32>,
    /// Its offsets.
    pub offsets: Range<u64>,
}

/// Replicas that go on together behind a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// They.
    pub replicas: Vec<usize>,
    /// What they have from the fork on: up to where the branch forks again, or the longest of them ends.
    pub epochs: Vec<EpochRange>,
}

/// Logs that part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The first offset that is not the same.
    pub at: u64,
    /// Whoever goes on there, by what they have: two branches or more.
    pub branches: Vec<Branch>,
    /// Two branches have the same leader epoch there, and other bytes: no leader writes that, one of them is damaged or was
    /// left so by rules of before 2.0.
    pub same_epoch: bool,
}

/// Finds the forks of `replicas` logs, those nearer to the start first.
pub fn find(replicas: usize, stretches: &[Stretch]) -> Vec<Fork> {
    let mut forks = Vec::new();
    descend((0..replicas).collect(), stretches, &mut forks);
    forks.sort_by_key(|fork| fork.at);
    forks
}

/// Finds the forks of `group`, which is the same in all before `stretches`; says where the first one is.
fn descend(group: Vec<usize>, stretches: &[Stretch], forks: &mut Vec<Fork>) -> Option<u64> {
    let parts = |stretch: &&Stretch| branches_of(&group, stretch).len() > 1;
    let number = stretches.iter().position(|stretch| parts(&stretch))?;
    let (stretch, behind) = (&stretches[number], stretches.get(number..)?);
    let mut groups = branches_of(&group, stretch);
    // Whose log begins further on belongs to those it is the same as there.
    for &late in group.iter().filter(|&&it| stretch.held.get(it).is_none_or(Option::is_none)) {
        let first = behind.iter().find(|stretch| stretch.held.get(late).is_some_and(Option::is_some));
        let Some(first) = first else { continue };
        let mate = groups.iter().position(|it| it.iter().any(|&other| first.held.get(other) == first.held.get(late)));
        match mate {
            Some(mate) => groups[mate].push(late),
            None => groups.push(vec![late]),
        }
    }
    let mut branches: Vec<Branch> = Vec::new();
    for mut replicas in groups {
        replicas.sort_unstable();
        let ends = descend(replicas.clone(), behind, forks);
        branches.push(Branch { epochs: epochs_of(&replicas, behind, ends), replicas });
    }
    let firsts: Vec<_> = branches.iter().filter_map(|branch| branch.epochs.first()?.epoch).collect();
    let same_epoch = firsts.iter().enumerate().any(|(at, epoch)| firsts[..at].contains(epoch));
    forks.push(Fork { at: stretch.from, branches, same_epoch });
    Some(stretch.from)
}

/// Members of `group` that have something on `stretch`, by what they have.
fn branches_of(group: &[usize], stretch: &Stretch) -> Vec<Vec<usize>> {
    let mut branches: Vec<(usize, Vec<usize>)> = Vec::new();
    for &number in group {
        let Some(held) = stretch.held.get(number).copied().flatten() else { continue };
        match branches.iter_mut().find(|(copy, _)| *copy == held.copy) {
            Some((_, replicas)) => replicas.push(number),
            None => branches.push((held.copy, vec![number])),
        }
    }
    branches.into_iter().map(|(_, replicas)| replicas).collect()
}

/// Leader epochs of a branch, up to `ends`.
fn epochs_of(replicas: &[usize], stretches: &[Stretch], ends: Option<u64>) -> Vec<EpochRange> {
    let mut ranges: Vec<EpochRange> = Vec::new();
    for stretch in stretches.iter().filter(|stretch| ends.is_none_or(|ends| stretch.from < ends)) {
        let held = replicas.iter().find_map(|&number| stretch.held.get(number).copied().flatten());
        let Some(held) = held else { continue };
        match ranges.last_mut() {
            Some(last) if last.epoch == held.epoch => last.offsets.end = stretch.to,
            _ => ranges.push(EpochRange { epoch: held.epoch, offsets: stretch.from..stretch.to }),
        }
    }
    ranges
}
