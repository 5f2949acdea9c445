//! A timeline as JSON lines: its rules and first state, each step with the whole state after it, the verdict.
//!
//! Fields stand in a fixed order. Brokers are numbers, records are numbers too (3 for m3). Later versions may add fields.

use serde_json::Value;

use super::explain::{Finding, findings, lines};
use super::history::History;
use super::verdict::{Verdict, verdict};
use crate::replication::broker_set::{Broker, BrokerSet};
use crate::replication::effect::Effect;
use crate::replication::event::Acks;
use crate::replication::play::{Row, Timeline};
use crate::replication::rules::Flush;
use crate::replication::state::{REPLICAS_MAX, Replica, Role, State};

/// One object a line: of type `start` once, `step` for each step, `verdict` once.
pub fn json(timeline: &Timeline) -> String {
    let mut out = start(timeline);
    out.push('\n');
    for step in steps(timeline) {
        out.push_str(&step);
        out.push('\n');
    }
    out.push_str(&verdict_row(&verdict(timeline)));
    out.push('\n');
    out
}

/// An object while it grows; `serde_json`'s own would sort the fields.
pub(super) struct Object {
    text: String,
}

impl Object {
    /// Without fields yet.
    pub(super) fn new() -> Object {
        Object { text: "{".to_owned() }
    }

    /// Whose first field is its type.
    pub(super) fn of_type(kind: &str) -> Object {
        Object::new().field("type", kind)
    }

    /// One more field.
    pub(super) fn field(self, name: &str, value: impl Into<Value>) -> Object {
        let value: Value = value.into();
        self.raw(name, &value.to_string())
    }

    /// One more field, whose value is JSON already.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Object {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(&format!("{}:{json}", Value::from(name)));
        self
    }

    /// The object.
    pub(super) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// A list of what is JSON already.
pub(super) fn list(all: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", all.into_iter().collect::<Vec<_>>().join(","))
}

fn brokers(set: BrokerSet) -> Value {
    set.iter().collect::<Vec<Broker>>().into()
}

/// The rules, and the partition before the first step.
pub(super) fn start(timeline: &Timeline) -> String {
    let rules = &timeline.rules;
    let mut switches = rules.switches;
    let switches = switches.named().into_iter().fold(Object::new(), |object, (name, on)| object.field(name, *on));
    let flush = match rules.flush {
        Flush::Never => "never".to_owned(),
        Flush::Every(1) => "every-record".to_owned(),
        Flush::Every(records) => format!("every:{records}"),
    };
    let rules = Object::new()
        .field("era", rules.era.name())
        .field("strategy", rules.strategy.name())
        .field("replicas", rules.replicas)
        .field("min.insync.replicas", rules.min_insync_replicas)
        .field("unclean.leader.election.enable", rules.unclean_leader_election)
        .field("enable.idempotence", rules.idempotence)
        .field("producers", rules.producers)
        .field("flush", flush)
        .field("records_per_fetch", rules.records_per_fetch)
        .raw("switches", &switches.finish());
    let object = Object::of_type("start").raw("rules", &rules.finish());
    of_state(object, timeline, &timeline.initial).finish()
}

/// Each step.
pub(super) fn steps(timeline: &Timeline) -> impl Iterator<Item = String> + '_ {
    let history = History::new(timeline);
    let mut found = findings(&history).into_iter().peekable();
    timeline.rows.iter().zip(1..).map(move |(row, number)| {
        let mut violations = Vec::new();
        while let Some(finding) = found.next_if(|finding| finding.step == number) {
            violations.push(violation(&finding, Some(&history)));
        }
        step(timeline, row, number, &list(violations))
    })
}

fn step(timeline: &Timeline, row: &Row, number: usize, violations: &str) -> String {
    let object = Object::of_type("step")
        .field("step", number)
        .field("event", row.event.to_string())
        .raw("effects", &list(row.effects.iter().map(effect)))
        .field("changed", !row.idle)
        .field("available", !row.unavailable)
        .raw("violations", violations)
        .field("broken_rules", row.broken.clone());
    of_state(object, timeline, &row.state).finish()
}

/// The controller and all replicas.
fn of_state(object: Object, timeline: &Timeline, state: &State) -> Object {
    let controller = &state.controller;
    let epochs = timeline.rules.all().iter().map(|broker| controller.broker_epoch[usize::from(broker)]);
    let controller = Object::new()
        .field("leader", controller.leader)
        .field("leader_epoch", controller.leader_epoch)
        .field("partition_epoch", controller.partition_epoch)
        .field("isr", brokers(controller.isr))
        .field("elr", brokers(controller.elr))
        .field("last_known_leader", controller.last_known)
        .field("unfenced", brokers(controller.unfenced))
        .field("broker_epochs", epochs.collect::<Vec<u32>>());
    let replicas = timeline.rules.all().iter().map(|broker| replica(timeline, broker, state.replica(broker)));
    object.raw("controller", &controller.finish()).raw("replicas", &list(replicas))
}

fn replica(timeline: &Timeline, broker: Broker, replica: &Replica<REPLICAS_MAX>) -> String {
    let (role, follows) = match replica.role {
        Role::None => ("none", None),
        Role::Leader => ("leader", None),
        Role::Follower(leader) => ("follower", leader),
    };
    let runs = replica.log.runs().iter().map(|run| {
        let run = Object::new().field("epoch", run.epoch).field("record", run.record).field("records", run.len);
        run.finish()
    });
    let epochs = replica.epochs.entries().iter().map(|entry| {
        let entry = Object::new().field("epoch", entry.epoch).field("start", entry.start);
        entry.finish()
    });
    let object = Object::new()
        .field("broker", broker)
        .field("up", replica.up)
        .field("role", role)
        .field("follows", follows)
        .field("leader_epoch", replica.leader_epoch)
        .field("partition_epoch", replica.partition_epoch)
        .field("log_start", replica.log.start())
        .field("log_end", replica.leo())
        .field("high_watermark", replica.hw)
        .field("high_watermark_checkpoint", replica.hw_checkpoint)
        .field("flushed", replica.flushed)
        .raw("log", &list(runs))
        .raw("leader_epochs", &list(epochs))
        .field("asks_where_to_cut", replica.asks);
    if replica.role != Role::Leader {
        return object.finish();
    }
    let fetched = timeline.rules.all().iter().map(|other| replica.fetched[usize::from(other)]);
    let waiting = replica.waiting.iter().map(|waiting| {
        let waiting = Object::new().field("record", waiting.record).field("until", waiting.end);
        waiting.finish()
    });
    object
        .field("isr", brokers(replica.isr))
        .field("isr_asked_for", replica.pending.map(|pending| brokers(pending.isr)))
        .field("epoch_start", replica.epoch_start)
        .field("fetch_offsets", fetched.collect::<Vec<Option<u64>>>())
        .raw("waiting", &list(waiting))
        .finish()
}

fn effect(effect: &Effect) -> String {
    let of = |kind: &str| Object::new().field("effect", kind);
    let object = match *effect {
        Effect::Appended { broker, offset, stored, acks } => of("appended")
            .field("broker", broker)
            .field("record", stored.record)
            .field("offset", offset)
            .field("epoch", stored.epoch)
            .field("acks", acks.name()),
        Effect::Acked { record, offset, acks } => {
            of("acknowledged").field("record", record).field("offset", offset).field("acks", acks.name())
        }
        Effect::Refused { record, why } => of("refused").field("record", record).field("error", why.name()),
        Effect::Unknown { record, why } => of("unknown").field("record", record).field("error", why.name()),
        Effect::Known { broker, record, offset } => {
            of("known").field("broker", broker).field("record", record).field("offset", offset)
        }
        Effect::Copied { broker, leader, from, to } => {
            of("copied").field("broker", broker).field("leader", leader).field("from", from).field("to", to)
        }
        Effect::AnswerLost { broker, leader } => of("answer_lost").field("broker", broker).field("leader", leader),
        Effect::Idle { broker, leader } => of("nothing_new").field("broker", broker).field("leader", leader),
        Effect::NotServed { broker, leader, why } => {
            of("not_served").field("broker", broker).field("leader", leader).field("error", why.name())
        }
        Effect::HwMoved { broker, from, to } => {
            of("high_watermark").field("broker", broker).field("from", from).field("to", to)
        }
        Effect::Cut { broker, from, to, why } => {
            of("cut").field("broker", broker).field("from", from).field("to", to).field("why", why.name())
        }
        Effect::EpochsCut { broker, to } => of("epochs_cut").field("broker", broker).field("to", to),
        Effect::Leads { broker, epoch } => of("leads").field("broker", broker).field("epoch", epoch),
        Effect::Follows { broker, leader, epoch } => {
            of("follows").field("broker", broker).field("leader", leader).field("epoch", epoch)
        }
        Effect::IsrAsked { broker, isr } => of("isr_asked").field("broker", broker).field("isr", brokers(isr)),
        Effect::IsrRefused { broker, why } => of("isr_refused").field("broker", broker).field("error", why.name()),
        Effect::IsrChanged { isr, elr } => of("isr_changed").field("isr", brokers(isr)).field("elr", brokers(elr)),
        Effect::Elected { broker, epoch, unclean } => {
            of("elected").field("broker", broker).field("epoch", epoch).field("unclean", unclean)
        }
        Effect::NoLeader { epoch } => of("no_leader").field("epoch", epoch),
        Effect::Consumed { broker, to } => of("consumed").field("broker", broker).field("to", to),
    };
    object.field("text", effect.to_string()).finish()
}

fn violation(finding: &Finding, history: Option<&History<'_>>) -> String {
    let causes = finding.causes.iter().map(|cause| {
        let cause = Object::new().field("step", cause.root()).field("text", cause.to_string());
        cause.finish()
    });
    let object = Object::new()
        .field("violation", finding.violation.word())
        .field("text", finding.title())
        .field("step", finding.step)
        .raw("causes", &list(causes));
    match history {
        Some(history) => object.field("lines", lines(history, finding)).finish(),
        None => object.finish(),
    }
}

/// The verdict.
pub(super) fn verdict_row(verdict: &Verdict) -> String {
    let counts = Acks::ALL.iter().zip(&verdict.counts).map(|(acks, counts)| {
        let counts = Object::new()
            .field("acks", acks.name())
            .field("sent", counts.sent)
            .field("acknowledged", counts.acknowledged)
            .field("lost", verdict.has_leader.then_some(counts.lost))
            .field("duplicated", counts.duplicated)
            .field("reordered", counts.reordered);
        counts.finish()
    });
    let pairs = |pairs: &[(Broker, Broker)]| -> Value { pairs.iter().map(|(a, b)| vec![*a, *b]).collect() };
    let tolerance = Object::new()
        .field("lossy_restarts_tolerated", verdict.tolerance.tolerated)
        .field("lossy_restarts", verdict.tolerance.lossy)
        .field("step", verdict.tolerance.step)
        .field("exceeded", verdict.tolerance.is_exceeded())
        .field("text", verdict.tolerance.to_string());
    let at_end = verdict.at_end.iter().map(ToString::to_string).collect::<Vec<String>>();
    let lasting = verdict.lasting.iter().map(ToString::to_string).collect::<Vec<String>>();
    Object::of_type("verdict")
        .field("clean", verdict.is_clean())
        .field("steps", verdict.steps)
        .raw("records", &list(counts))
        .field("refused", verdict.refused)
        .field("unknown", verdict.unknown)
        .field("diverged", pairs(&verdict.diverged))
        .field("forked", pairs(&verdict.forked))
        .field("consumed", verdict.consumed)
        .field("consumer_changed", verdict.consumer_changed)
        .field("consumer_gap", verdict.consumer_gap)
        .field("steps_without_leader", verdict.unavailable)
        .field("without_leader_from_step", verdict.unavailable_from)
        .field("has_leader", verdict.has_leader)
        .raw("tolerance", &tolerance.finish())
        .raw("violations", &list(verdict.findings.iter().map(|finding| violation(finding, None))))
        .field("violations_in_the_end", at_end)
        .field("still_different", lasting)
        .finish()
}
