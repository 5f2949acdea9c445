//! From the options to the planner: which brokers, which rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::sources::{Source, read_json, shown};
use crate::cli::Outcome;
use crate::cli::args::TopicArg;
use crate::cli::ui::{Problem as Said, Ui};
use crate::reassign::changes::{Layout, settled};
use crate::reassign::cluster::{Assignment, Broker, BrokerState, Cluster, Problem, Replication, Rules};
use crate::reassign::inventory::Inventory;
use crate::reassign::plan_json::{PlanJsonError, parse_topics};
use crate::reassign::planner::{self, Shortfall};
use crate::reassign::quota::Quotas;

/// How far bytes may be from fair where nobody says.
const TOLERANCE: f64 = 0.1;
/// The same where balance counts for more than what is moved.
const BALANCED: f64 = 0.02;

/// What counts most, once every rule is kept and counts are level.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Objective {
    /// Move as few bytes as can be: bytes within 10 % of fair are level enough
    #[default]
    MinMove,
    /// Bytes within 2 % of fair
    Balance,
}

impl Objective {
    const fn tolerance(self) -> f64 {
        match self {
            Objective::MinMove => TOLERANCE,
            Objective::Balance => BALANCED,
        }
    }
}

/// What a plan has to keep to.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
#[command(next_help_heading = "Rules")]
pub struct RuleArgs {
    /// Brokers that shall have replicas: new ones join, those of the cluster that are not named are emptied
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = broker_id)]
    broker_list: Vec<i32>,
    /// A broker that joins, and its rack (repeatable)
    #[arg(long, value_name = "ID[=RACK]", value_parser = broker_and_rack)]
    add: Vec<(i32, Option<String>)>,
    /// A broker that is to be emptied (repeatable, or a comma list)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = broker_id)]
    drain: Vec<i32>,
    /// A broker that does not come back: as --drain, and nothing is copied from it (repeatable, or a comma list)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = broker_id)]
    dead: Vec<i32>,
    /// A broker that neither gives nor takes replicas (repeatable, or a comma list)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = broker_id)]
    exclude_broker: Vec<i32>,
    /// Topics of which nothing changes (repeatable, or a comma list; re:PATTERN)
    #[arg(long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    pin: Vec<TopicArg>,
    /// Change only the topics that this file lists, as kafka-reassign-partitions.sh reads it (-: stdin)
    #[arg(long, value_name = "FILE")]
    topics_to_move_json_file: Option<PathBuf>,
    /// The rack of a broker, where it is not known or another one (repeatable)
    #[arg(long, value_name = "ID=RACK", value_parser = rack_of_broker)]
    rack: Vec<(i32, String)>,
    /// Do not spread replicas over racks
    #[arg(long)]
    disable_rack_aware: bool,
    /// Replicas of every partition, or of those of a topic (repeatable). Default: as many as there are
    #[arg(long, value_name = "N|TOPIC=N", value_parser = factor)]
    replication_factor: Vec<(Option<String>, usize)>,
    /// What counts most, once every rule is kept and replicas are level
    #[arg(long, value_name = "WHAT", value_enum)]
    objective: Option<Objective>,
    /// How far a broker's bytes may be from its fair share: 0.1 or 10%
    ///
    /// Default: as --objective has it, or an instance file; where sizes are not known replicas are counted only.
    #[arg(long, value_name = "PART", value_parser = part)]
    bytes_tolerance: Option<f64>,
    /// How far a disk's bytes may be from its share of its broker's: 0.1 or 10%
    #[arg(long, value_name = "PART", value_parser = part)]
    disk_tolerance: Option<f64>,
    /// Part of each disk's capacity that stays free: 0.05 or 5%
    #[arg(long, value_name = "PART", value_parser = part)]
    headroom: Option<f64>,
    /// Move replicas between the disks of a broker only
    #[arg(long)]
    disks: bool,
}

fn broker_id(text: &str) -> Result<i32, String> {
    let id = text.trim().parse().ok().filter(|id| *id >= 0);
    id.ok_or_else(|| format!("expected the id of a broker, such as 3, not '{text}'"))
}

fn broker_and_rack(text: &str) -> Result<(i32, Option<String>), String> {
    match text.split_once('=') {
        Some((id, rack)) => Ok((broker_id(id)?, Some(rack.to_owned()))),
        None => Ok((broker_id(text)?, None)),
    }
}

fn rack_of_broker(text: &str) -> Result<(i32, String), String> {
    let (id, rack) = text.split_once('=').ok_or("expected a broker and its rack, such as 3=eu-1a")?;
    Ok((broker_id(id)?, rack.to_owned()))
}

fn factor(text: &str) -> Result<(Option<String>, usize), String> {
    let (topic, count) = match text.rsplit_once('=') {
        Some((topic, count)) => (Some(topic.to_owned()), count),
        None => (None, text),
    };
    // Kafka's own limit is a short.
    let count = count.parse().ok().filter(|count| (1..=usize::from(i16::MAX.unsigned_abs())).contains(count));
    Ok((topic, count.ok_or_else(|| format!("expected a number of replicas from 1, not '{text}'"))?))
}

fn part(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    let part = number.ok().filter(|part| (0.0..=10.0).contains(part));
    part.ok_or_else(|| format!("expected a part such as 0.1 or 10%, not '{text}'"))
}

impl RuleArgs {
    /// Whether nothing is asked for: what an instance file knows of its bounds holds for its own rules only.
    pub fn is_nothing(&self) -> bool {
        *self == RuleArgs::default()
    }

    /// Brings what was read to what the options say.
    pub fn apply(&self, source: &mut Source, ui: &mut Ui) -> anyhow::Result<Rules> {
        let inventory = &mut source.inventory;
        self.change_brokers(inventory, ui)?;
        check_sizes(&inventory.cluster)?;
        let is_instance = source.rules.is_some();
        let mut rules = source.rules.clone().unwrap_or_default();
        rules.spreads_racks = (rules.spreads_racks || !is_instance) && !self.disable_rack_aware;
        rules.only_disks |= self.disks;
        rules.disk_tolerance = self.disk_tolerance.or(rules.disk_tolerance).or(self.disks.then_some(TOLERANCE));
        let has_sizes = inventory.cluster.sizes.iter().any(|size| *size > 0);
        rules.bytes_tolerance = match self.bytes_tolerance {
            Some(tolerance) => Some(tolerance),
            None if is_instance && self.objective.is_none() => rules.bytes_tolerance,
            None => has_sizes.then_some(self.objective.unwrap_or_default().tolerance()),
        };
        if let Some(replication) = self.replication(&inventory.cluster)? {
            rules.replication = replication;
        }
        rules.headroom = self.headroom.or(rules.headroom);
        rules.excluded.extend(&self.exclude_broker);
        rules.pinned.extend(self.pinned(&inventory.cluster)?);
        if rules.spreads_racks {
            self.say_racks(&inventory.cluster, ui);
        }
        Ok(rules)
    }

    fn change_brokers(&self, inventory: &mut Inventory, ui: &mut Ui) -> anyhow::Result<()> {
        let there: BTreeSet<i32> = inventory.cluster.brokers.iter().map(|broker| broker.id).collect();
        let joins = self.add.iter().map(|(id, _)| *id).chain(self.broker_list.iter().copied());
        let joins: BTreeSet<i32> = joins.filter(|id| !there.contains(id)).collect();
        inventory.add_brokers(joins.iter().map(|id| (*id, None)));
        let cluster = &mut inventory.cluster;
        if cluster.brokers.len() > usize::from(u16::MAX) {
            let text = format!("{} brokers are more than {}", cluster.brokers.len(), u16::MAX);
            return Err(Said::new("too_large", text).into());
        }
        if !inventory.strangers.is_empty() {
            let ids = inventory.strangers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let text = format!("replicas are on brokers that the metadata does not know any more: {ids}");
            ui.warning(Said::new("notice", text).hint("have their replicas made elsewhere with --dead ID"));
        }
        let racks = self.rack.iter().map(|(id, rack)| (*id, Some(rack)));
        for (id, rack) in self.add.iter().map(|(id, rack)| (*id, rack.as_ref())).chain(racks) {
            let Some(broker) = cluster.brokers.iter_mut().find(|broker| broker.id == id) else {
                return Err(no_broker("--rack", id, &there).into());
            };
            if rack.is_some() {
                broker.rack = rack.cloned();
            }
        }
        for (option, ids) in
            [("--drain", &self.drain), ("--dead", &self.dead), ("--exclude-broker", &self.exclude_broker)]
        {
            if let Some(id) = ids.iter().find(|id| cluster.broker(**id).is_none()) {
                return Err(no_broker(option, *id, &there).into());
            }
        }
        for broker in &mut cluster.brokers {
            let is_left_out = !self.broker_list.is_empty()
                && !self.broker_list.contains(&broker.id)
                && self.add.iter().all(|(id, _)| *id != broker.id);
            if self.dead.contains(&broker.id) {
                broker.state = BrokerState::Dead;
            } else if is_left_out || self.drain.contains(&broker.id) {
                broker.state = BrokerState::Drain;
            } else if self.broker_list.contains(&broker.id) && broker.state == BrokerState::Drain {
                broker.state = BrokerState::Keep;
            }
        }
        Ok(())
    }

    /// Partitions of topics that are pinned, or that are not to be moved.
    fn pinned(&self, cluster: &Cluster) -> anyhow::Result<Vec<usize>> {
        let names: BTreeSet<&str> = cluster.topics.iter().map(|topic| topic.name.as_str()).collect();
        let outright = self.pin.iter().filter_map(|arg| match arg {
            TopicArg::Names(names) => Some(names),
            TopicArg::Pattern(_) => None,
        });
        let mut named: Vec<&String> = outright.flatten().collect();
        let to_move = self.topics_to_move_json_file.as_deref().map(topics_to_move).transpose()?;
        named.extend(to_move.iter().flatten());
        if let Some(name) = named.into_iter().find(|name| !names.contains(name.as_str())) {
            let problem = Said::new("not_found", format!("there is no topic '{name}' ({} topics)", names.len()));
            return Err(problem.hint("the cluster that is planned for is that of --cluster and -d").into());
        }
        let to_move: Option<BTreeSet<String>> = to_move.map(|topics| topics.into_iter().collect());
        let is_pinned = |name: &str| {
            self.pin.iter().any(|arg| arg.matches(name))
                || to_move.as_ref().is_some_and(|topics| !topics.contains(name))
        };
        let pinned = cluster.topics.iter().filter(|topic| is_pinned(&topic.name));
        Ok(pinned.flat_map(|topic| topic.partitions.clone()).collect())
    }

    fn replication(&self, cluster: &Cluster) -> anyhow::Result<Option<Replication>> {
        let mut of_topics: BTreeMap<String, usize> = BTreeMap::new();
        let all = self.replication_factor.iter().rev().find(|(topic, _)| topic.is_none()).map(|(_, count)| *count);
        for (topic, count) in &self.replication_factor {
            let Some(topic) = topic else { continue };
            if !cluster.topics.iter().any(|it| it.name == *topic) {
                let problem = Said::new("not_found", format!("--replication-factor: there is no topic '{topic}'"));
                return Err(problem.into());
            }
            of_topics.insert(topic.clone(), *count);
        }
        Ok(match (all, of_topics.is_empty()) {
            (None, true) => None,
            (Some(count), true) => Some(Replication::All(count)),
            (None, false) => Some(Replication::Topics(of_topics)),
            (Some(count), false) => {
                for topic in &cluster.topics {
                    of_topics.entry(topic.name.clone()).or_insert(count);
                }
                Some(Replication::Topics(of_topics))
            }
        })
    }

    /// Racks count only where every broker that is to have replicas has one, as for Kafka's own `--generate`.
    fn say_racks(&self, cluster: &Cluster, ui: &mut Ui) {
        let targets = || cluster.targets().map(|broker| &cluster.brokers[broker.at()]);
        let without: Vec<String> =
            targets().filter(|broker| broker.rack.is_none()).map(|broker| broker.id.to_string()).collect();
        if without.is_empty() || without.len() == targets().count() {
            return;
        }
        let text = format!("replicas are not spread over racks: no rack is known of {}", without.join(", "));
        ui.warning(Said::new("notice", text).hint(format!("say it with --rack {}=RACK", without[0])));
    }

    /// Plans. That nobody is left to have replicas is an answer.
    pub fn solve(&self, problem: &Problem<'_>, quotas: &Quotas) -> anyhow::Result<Planned> {
        if !problem.is_target.contains(&true) {
            return Err(Said::new("no_plan", "no plan: no broker is left to have replicas")
                .outcome(Outcome::Findings)
                .hint("name more with --broker-list")
                .into());
        }
        let plan = planner::plan(problem, quotas);
        let mut chosen = plan.disks;
        if problem.rules.disk_tolerance.is_none() {
            leave_unknown_disks(problem.cluster, &plan.assignment, &mut chosen);
        }
        let disks = settled(problem.cluster, &plan.assignment, &chosen);
        // Kafka's own --generate leaves topics that are not to be moved where they are, whatever brokers it is given.
        let is_asked_for = |shortfall: &&Shortfall| {
            self.topics_to_move_json_file.is_some() && matches!(shortfall, Shortfall::Stays { .. })
        };
        let shortfalls = plan.shortfalls.iter().filter(|it| !is_asked_for(it)).map(ToString::to_string).collect();
        Ok(Planned { assignment: plan.assignment, disks, shortfalls })
    }
}

/// Of disks whose capacity is not known there may be others that nobody named: which one to take is left to the broker.
fn leave_unknown_disks(cluster: &Cluster, assignment: &Assignment, disks: &mut [Option<u16>]) {
    let is_known = |broker: &Broker| broker.disks.iter().all(|disk| disk.capacity.is_some());
    let known: Vec<bool> = cluster.brokers.iter().map(is_known).collect();
    for (broker, disk) in assignment.iter().flatten().zip(disks) {
        *disk = disk.filter(|_| known.get(broker.at()) == Some(&true));
    }
}

fn topics_to_move(file: &Path) -> anyhow::Result<Vec<String>> {
    let malformed = |error: PlanJsonError| Said::new("malformed", error.to_string()).path(shown(file));
    Ok(parse_topics(&read_json(file)?).map_err(malformed)?)
}

fn no_broker(option: &str, id: i32, there: &BTreeSet<i32>) -> Said {
    let ids: Vec<String> = there.iter().take(20).map(ToString::to_string).collect();
    let more = if there.len() > ids.len() { ", ..." } else { "" };
    Said::usage(format!("{option} {id}: there is no such broker"))
        .hint(format!("there are {}{more}; a new one joins with --add {id}", ids.join(", ")))
}

/// All replicas together have to be a number of bytes.
fn check_sizes(cluster: &Cluster) -> anyhow::Result<()> {
    let brokers = cluster.brokers.len() as u64;
    let total = cluster.sizes.iter().try_fold(0u64, |sum, size| sum.checked_add(*size));
    match total.and_then(|total| total.checked_mul(brokers.max(1))).filter(|total| i64::try_from(*total).is_ok()) {
        Some(_) => Ok(()),
        None => Err(Said::new("malformed", "the sizes of all partitions come to more than a disk could hold").into()),
    }
}

/// A plan, made.
pub struct Planned {
    /// Who is to have what.
    pub assignment: Assignment,
    /// The disk of each replica, where it is known or chosen.
    pub disks: Vec<Option<u16>>,
    /// What a rule keeps from being done, in words.
    pub shortfalls: Vec<String>,
}

impl Planned {
    /// Both together.
    pub fn layout(&self) -> Layout<'_> {
        Layout { assignment: &self.assignment, disks: &self.disks }
    }
}
