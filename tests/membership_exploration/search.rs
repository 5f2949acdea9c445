//! Everything that can happen, breadth first, by the number of external events it needs.
//!
//! In two layers: first the worlds of the group and its processes, each run once with the real code; then each partition's
//! records through the graph of those. What is reached with fewer events can do all that it can do with more, so each
//! state is visited with the fewest that lead to it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use super::laws;
use super::records::Records;
use super::world::{Effect, Fault, PARTITIONS, SLOTS, Setting, Step, World, bits};

/// How much there was.
pub struct Explored {
    worlds: usize,
    world_steps: usize,
    states: usize,
    steps: usize,
    seconds: f64,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explored { worlds, world_steps, states, steps, seconds } = self;
        write!(f, "{states} states, {steps} transitions (of {worlds} worlds with {world_steps}), {seconds:.1} s")
    }
}

/// A broken law, and the steps to it.
#[derive(Debug)]
pub struct Violation {
    pub law: String,
    pub trace: Vec<String>,
}

/// Explores all of it.
pub fn explore(setting: &Setting) -> Result<Explored, Violation> {
    let start = Instant::now();
    let graph = Graph::explore(setting)?;
    graph.settles()?;
    let (states, steps) = graph.records(setting)?;
    let (worlds, world_steps) = (graph.nodes.len(), graph.edges.len());
    Ok(Explored { worlds, world_steps, states, steps, seconds: start.elapsed().as_secs_f64() })
}

struct Node {
    edges: std::ops::Range<u32>,
    /// Partitions that each slot's process reads.
    owned: [u8; SLOTS],
    /// Slots whose process may commit.
    committers: u8,
    events: u8,
    parent: u32,
    step: Step,
}

#[derive(Clone, Copy)]
struct Edge {
    target: u32,
    step: Step,
    effect: Effect,
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Graph {
    fn explore(setting: &Setting) -> Result<Graph, Violation> {
        let mut graph = Graph::default();
        let mut numbers: HashMap<Box<[u8]>, u32> = HashMap::new();
        let mut worlds: Vec<Option<World>> = Vec::new();
        let (mut queue, mut next) = (VecDeque::new(), VecDeque::new());
        let initial = World::new();
        numbers.insert(initial.key().into(), 0);
        graph.push(&initial, 0, 0, Step::Complete);
        worlds.push(Some(initial));
        queue.push_back(0);
        for events in 0..=setting.events {
            while let Some(number) = queue.pop_front() {
                // Reached again by a shorter way, it was in the queue twice.
                let Some(world) = worlds[number as usize].take() else { continue };
                let first_edge = graph.edges.len() as u32;
                let mut is_quiet = true;
                for step in world.steps() {
                    let cost = u8::from(step.is_external());
                    if events + cost > setting.events {
                        continue;
                    }
                    let Some((after, effect)) = world.after(step, setting) else { continue };
                    is_quiet &= step.is_external() || matches!(step, Step::Read(_));
                    let key = after.key();
                    let target = match numbers.get(key.as_slice()) {
                        Some(target) => *target,
                        None => {
                            let target = graph.push(&after, events + cost, number, step);
                            numbers.insert(key.into(), target);
                            if let Some(law) = laws::broken(&after, setting) {
                                return Err(graph.violation(target, law));
                            }
                            let queue = if cost == 0 { &mut queue } else { &mut next };
                            queue.push_back(target);
                            worlds.push(Some(after.clone()));
                            target
                        }
                    };
                    if let Some(law) = laws::broken_by(&world, step, &after) {
                        return Err(graph.violation_after(number, step, law));
                    }
                    let known = &mut graph.nodes[target as usize];
                    if events + cost < known.events {
                        (known.events, known.parent, known.step) = (events, number, step);
                        queue.push_back(target);
                    }
                    graph.edges.push(Edge { target, step, effect });
                }
                graph.nodes[number as usize].edges = first_edge..graph.edges.len() as u32;
                if let Some(law) = laws::unsettled(&world).filter(|_| is_quiet) {
                    return Err(graph.violation(number, law));
                }
            }
            std::mem::swap(&mut queue, &mut next);
        }
        Ok(graph)
    }

    fn push(&mut self, world: &World, events: u8, parent: u32, step: Step) -> u32 {
        let mut node = Node { edges: 0..0, owned: [0; SLOTS], committers: 0, events, parent, step };
        for (slot, process) in world.processes.iter().enumerate() {
            let Some(member) = process.as_ref().map(|process| &process.attendance) else { continue };
            node.owned[slot] = bits(member.owned());
            let may = world.group.check(member.id(), member.instance_id(), member.generation()).is_ok();
            node.committers |= u8::from(may) << slot;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn trace(&self, mut number: u32) -> Vec<String> {
        let mut trace = Vec::new();
        while number != 0 {
            let node = &self.nodes[number as usize];
            trace.push(node.step.to_string());
            number = node.parent;
        }
        trace.reverse();
        trace
    }

    fn violation(&self, number: u32, law: String) -> Violation {
        Violation { law, trace: self.trace(number) }
    }

    fn violation_after(&self, number: u32, step: Step, law: String) -> Violation {
        let mut trace = self.trace(number);
        trace.push(step.to_string());
        Violation { law, trace }
    }

    /// What happens by itself goes nowhere in circles: in whatever order, it ends. Where it ends all is settled.
    fn settles(&self) -> Result<(), Violation> {
        let inner = |node: &Node| {
            let edges = &self.edges[node.edges.start as usize..node.edges.end as usize];
            edges.iter().filter(|edge| !edge.step.is_external() && !matches!(edge.step, Step::Read(_)))
        };
        let mut incoming = vec![0_u32; self.nodes.len()];
        for edge in self.nodes.iter().flat_map(inner) {
            incoming[edge.target as usize] += 1;
        }
        let mut free: Vec<u32> =
            (0..self.nodes.len() as u32).filter(|number| incoming[*number as usize] == 0).collect();
        while let Some(number) = free.pop() {
            for edge in inner(&self.nodes[number as usize]) {
                incoming[edge.target as usize] -= 1;
                if incoming[edge.target as usize] == 0 {
                    free.push(edge.target);
                }
            }
        }
        match incoming.iter().position(|edges| *edges > 0) {
            Some(number) => Err(self.violation(number as u32, "settles: it goes on for ever from here".to_owned())),
            None => Ok(()),
        }
    }

    /// Follows each partition's records; says how many states and steps there are.
    fn records(&self, setting: &Setting) -> Result<(usize, usize), Violation> {
        let mut search = RecordSearch::default();
        let mut steps = 0;
        let mut next: Vec<Visit> = Vec::new();
        for partition in 0..PARTITIONS {
            next.push(Visit {
                world: 0,
                records: Records::unread(partition).pack(),
                parent: u32::MAX,
                step: Step::Complete,
            });
        }
        for events in 0..=setting.events {
            let mut at = search.visits.len();
            std::mem::take(&mut next).into_iter().for_each(|visit| search.visit(visit));
            while let Some(visit) = search.visits.get(at).copied() {
                let parent = at as u32;
                at += 1;
                let node = &self.nodes[visit.world as usize];
                let records = Records::unpack(visit.records);
                for edge in &self.edges[node.edges.start as usize..node.edges.end as usize] {
                    let cost = u8::from(edge.step.is_external());
                    if events + cost > setting.events {
                        continue;
                    }
                    let after = records.after(edge.effect, setting.fault == Fault::LoadsNothing);
                    let after = after.map_err(|law| search.violation(parent, edge.step, law))?;
                    let is_change = edge.target != visit.world || after != records;
                    if !is_change {
                        continue;
                    }
                    steps += 1;
                    let target = &self.nodes[edge.target as usize];
                    let partition = visit.records >> 10 & 3;
                    let readers = (0..SLOTS).fold(0, |all, slot| all | (target.owned[slot] >> partition & 1) << slot);
                    if let Some(law) = after.broken(readers, target.committers) {
                        return Err(search.violation(parent, edge.step, law));
                    }
                    let visit = Visit { world: edge.target, records: after.pack(), parent, step: edge.step };
                    match cost {
                        0 => search.visit(visit),
                        _ => next.push(visit),
                    }
                }
            }
        }
        Ok((search.visits.len(), steps))
    }
}

#[derive(Clone, Copy)]
struct Visit {
    world: u32,
    records: u16,
    step: Step,
    parent: u32,
}

#[derive(Default)]
struct RecordSearch {
    visits: Vec<Visit>,
    seen: HashSet<u64, BuildHasherDefault<NumberHasher>>,
}

impl RecordSearch {
    fn visit(&mut self, visit: Visit) {
        if self.seen.insert(u64::from(visit.world) << 16 | u64::from(visit.records)) {
            self.visits.push(visit);
        }
    }

    fn violation(&self, mut at: u32, last: Step, law: String) -> Violation {
        let mut trace = vec![last.to_string()];
        while let Some(visit) = self.visits.get(at as usize).filter(|visit| visit.parent != u32::MAX) {
            trace.push(visit.step.to_string());
            at = visit.parent;
        }
        trace.reverse();
        Violation { law, trace }
    }
}

/// Spreads one number; the standard hasher would take most of the time.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("numbers only");
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
