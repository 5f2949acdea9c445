//! An assessment for programs: a JSON object for each replica, divergence, candidate, truncation, and the best choice.

use std::ops::Range;

use serde_json::{Value, json};

use super::{Assessed, words};
use crate::cli::json_row::JsonRow;
use crate::replication::assess::Proof;
use crate::replication::assess::candidate::{Candidate, Follower, Instead, Lost, Standing};
use crate::replication::assess::choice::Reason;
use crate::storage::assess::{DamageFound, Fate};

/// Appends all rows.
pub fn write(assessed: &Assessed<'_>, out: &mut Vec<u8>) {
    for number in 0..assessed.target.replicas.len() {
        if let Some(row) = replica(assessed, number) {
            row.write(out);
        }
    }
    for fork in &assessed.assessment.forks {
        let branch = |branch: &crate::replication::assess::fork::Branch| {
            let epochs = branch.epochs.iter().map(|it| with_offsets(json!({ "leader_epoch": it.epoch }), &it.offsets));
            json!({ "replicas": named(assessed, &branch.replicas), "epochs": epochs.collect::<Vec<_>>() })
        };
        row(assessed, "divergence")
            .field("offset", fork.at)
            .field("same_epoch", fork.same_epoch)
            .field("branches", fork.branches.iter().map(branch).collect::<Vec<_>>())
            .write(out);
    }
    for &number in assessed.assessment.choice.iter().flat_map(|choice| choice.order()) {
        let Some(it) = assessed.assessment.candidates.get(number) else { continue };
        candidate(assessed, it).write(out);
        it.followers.iter().for_each(|follower| truncation(assessed, number, follower).write(out));
    }
    for gone in &assessed.assessment.gone {
        row(assessed, "gone")
            .field("first_offset", gone.offsets.start)
            .field("last_offset", gone.offsets.end.saturating_sub(1))
            .field("leader_epoch", gone.epoch)
            .field("known_to", assessed.names.json(gone.replica))
            .write(out);
    }
    best(assessed, out);
}

fn row(assessed: &Assessed<'_>, kind: &str) -> JsonRow {
    let partition = &assessed.target.partition;
    JsonRow::new(kind).field("topic", partition.topic.clone()).field("partition", partition.partition)
}

fn with_offsets(mut value: Value, range: &Range<u64>) -> Value {
    value["first_offset"] = Value::from(range.start);
    value["last_offset"] = Value::from(range.end.saturating_sub(1));
    value
}

fn named(assessed: &Assessed<'_>, replicas: &[usize]) -> Vec<Value> {
    replicas.iter().map(|&replica| assessed.names.json(replica)).collect()
}

fn replica(assessed: &Assessed<'_>, number: usize) -> Option<JsonRow> {
    let (dir, walked) = (assessed.target.replicas.get(number)?, assessed.found.walked.get(number)?);
    let replica = assessed.found.situation.replicas.get(number)?;
    let view = assessed.found.situation.newest.as_ref();
    let is_in = |brokers: &[i32]| replica.broker.map(|broker| brokers.contains(&broker));
    let epochs =
        replica.epochs.entries().iter().map(|it| json!({ "leader_epoch": it.epoch, "first_offset": it.start }));
    let row = row(assessed, "replica")
        .field("broker", replica.broker)
        .field("path", assessed.names.dir(number))
        .field("log_start_offset", replica.start)
        .field("log_end_offset", replica.end)
        .field("high_watermark", replica.high_watermark)
        .field("recovery_point", dir.partition.checkpoints().recovery_point.map(crate::types::Offset::get))
        .field("epochs", epochs.collect::<Vec<_>>())
        .field("in_isr", view.and_then(|view| is_in(&view.isr)))
        .field("in_elr", view.and_then(|view| is_in(&view.elr)))
        .field("clean_shutdown", dir.is_clean)
        .field("led_alone", replica.led_alone())
        .field("batches", walked.batches)
        .field("size_bytes", dir.size_bytes())
        .field("damage", walked.damage.as_ref().map(damage));
    Some(row)
}

fn damage(damage: &DamageFound) -> Value {
    json!({
        "path": damage.path.display().to_string(),
        "position": damage.position.get(),
        "message": damage.reason,
        "broker": match damage.fate {
            Fate::Cut => "cuts",
            Fate::Emptied => "empties_segment",
            Fate::Stays => "keeps",
        },
        "sound_behind_to": damage.behind.map(|end| end.get().saturating_sub(1)),
    })
}

fn candidate(assessed: &Assessed<'_>, candidate: &Candidate) -> JsonRow {
    let kept = candidate.kept.iter();
    let kept = kept.map(|it| with_offsets(json!({ "with": named(assessed, &it.with) }), &it.offsets));
    row(assessed, "candidate")
        .field("broker", assessed.names.json(candidate.replica))
        .field("path", assessed.names.dir(candidate.replica))
        .field("keeps_offsets", candidate.keeps())
        .field("loses_committed", candidate.loses_committed())
        .field("loses_perhaps_committed", candidate.loses_perhaps_committed())
        .field("loses_unreplicated", candidate.loses_unreplicated())
        .field("kept", kept.collect::<Vec<_>>())
        .field("lost", candidate.lost.iter().map(|it| lost(assessed, it)).collect::<Vec<_>>())
        .field("below_log_start", candidate.below_start.as_ref().map(|range| with_offsets(json!({}), range)))
}

fn lost(assessed: &Assessed<'_>, lost: &Lost) -> Value {
    let instead = match lost.instead {
        Instead::End => json!("log_end"),
        Instead::Gap => json!("gap"),
        Instead::Epoch(epoch) => json!({ "leader_epoch": epoch }),
    };
    let mut value = json!({
        "leader_epoch": lost.epoch,
        "on": named(assessed, &lost.holders),
        "instead": instead,
        "acks_1": "acknowledged",
    });
    match &lost.standing {
        Standing::Committed(proof) => {
            let (replica, how) = match proof {
                Proof::HighWatermark { replica, at } => (*replica, json!({ "high_watermark": at })),
                Proof::LedAlone { replica } => (*replica, json!("led_alone")),
            };
            value["acks_all"] = json!("committed");
            value["known_to"] = assessed.names.json(replica);
            value["known_by"] = how;
        }
        Standing::Open { in_sync_without } => {
            value["acks_all"] = json!(if in_sync_without.is_empty() { "open" } else { "unlikely" });
            value["in_sync_without"] = json!(named(assessed, in_sync_without));
        }
    }
    with_offsets(value, &lost.offsets)
}

fn truncation(assessed: &Assessed<'_>, leader: usize, follower: &Follower) -> JsonRow {
    let followed = &follower.followed;
    let mark = assessed.found.situation.replicas.get(follower.replica).and_then(|replica| replica.high_watermark);
    let differs = follower.differs.iter().map(|range| with_offsets(json!({}), range)).collect::<Vec<_>>();
    row(assessed, "truncation")
        .field("leader", assessed.names.json(leader))
        .field("broker", assessed.names.json(follower.replica))
        .field("path", assessed.names.dir(follower.replica))
        .field("truncates_to", followed.cuts.last().copied())
        .field("steps", followed.cuts.clone())
        .field("restarts_at", followed.restarts_at)
        .field("fetches_from", followed.end)
        .field("below_high_watermark", mark.is_some_and(|mark| followed.cut_to().is_some_and(|to| to < mark)))
        .field("differs", differs)
}

fn best(assessed: &Assessed<'_>, out: &mut Vec<u8>) {
    let Some(choice) = &assessed.assessment.choice else { return };
    let Some(best) = assessed.assessment.candidates.get(choice.best()) else { return };
    let view = assessed.found.situation.newest.as_ref();
    let reason = match choice.reason {
        Reason::Only => "only",
        Reason::Committed => "committed",
        Reason::PerhapsCommitted => "perhaps_committed",
        Reason::Unreplicated => "unreplicated",
        Reason::Reach => "reach",
        Reason::Electable => "electable",
        Reason::Order => "order",
    };
    row(assessed, "best")
        .field("broker", assessed.names.json(choice.best()))
        .field("path", assessed.names.dir(choice.best()))
        .field("loses_committed", best.loses_committed())
        .field("loses_perhaps_committed", best.loses_perhaps_committed())
        .field("loses_unreplicated", best.loses_unreplicated())
        .field("surely_loses", assessed.assessment.surely_loses())
        .field("reason", reason)
        .field("unclean", choice.is_unclean)
        .field("isr", view.map(|view| view.isr.clone()))
        .field("elr", view.map(|view| view.elr.clone()))
        .field("min_insync_replicas", view.and_then(|view| view.min_insync_replicas))
        .field("not_looked_at", {
            let missing = assessed.found.situation.not_looked_at();
            missing
                .into_iter()
                .map(|(broker, may_lead)| json!({ "broker": broker, "electable": may_lead }))
                .collect::<Vec<_>>()
        })
        .field("era", assessed.found.situation.era.name())
        .field("order", named(assessed, choice.order()))
        .field("why", words::best(assessed))
        .write(out);
}
