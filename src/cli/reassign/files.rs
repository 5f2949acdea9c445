//! The files of `--out-dir`: the plan, the way back, and one file for each wave.

use std::path::Path;

use crate::cli::Outcome;
use crate::cli::consume::select::storage_problem;
use crate::cli::ui::Problem;
use crate::reassign::changes::{Change, Layout, Place};
use crate::reassign::cluster::Cluster;
use crate::reassign::inventory::Inventory;
use crate::reassign::plan_json::{PlannedPartition, write_plan};
use crate::reassign::waves::Wave;
use crate::storage::fs::{StorageError, replace_atomic};

/// The partitions of a plan as the tool takes them, in the order of topics and numbers.
pub fn planned(inventory: &Inventory, after: Layout<'_>, changes: &[&Change]) -> Vec<PlannedPartition> {
    let one =
        |change: &&Change| change.planned(&inventory.cluster, after, inventory.name(change.partition).1, &change.gains);
    sorted(changes.iter().map(one).collect())
}

/// The same partitions as they are now: the way back.
pub fn way_back(inventory: &Inventory, changes: &[Change]) -> Vec<PlannedPartition> {
    let now = Layout::current(&inventory.cluster);
    let one =
        |change: &Change| change.planned(&inventory.cluster, now, inventory.name(change.partition).1, &change.leaves);
    sorted(changes.iter().map(one).collect())
}

/// Places whose log directory the tool has to be told: a broker with one has no choice.
pub fn to_name(cluster: &Cluster, places: &[Place]) -> Vec<Place> {
    let has_choice = |place: &&Place| cluster.brokers.get(place.broker.at()).is_some_and(|it| it.disks.len() > 1);
    places.iter().filter(has_choice).copied().collect()
}

/// As Kafka prints them: by topic, then by number.
pub fn sorted(mut partitions: Vec<PlannedPartition>) -> Vec<PlannedPartition> {
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    partitions
}

/// Writes `plan.json`, `rollback.json` and `wave-001.json` to as many as there are.
pub fn write(
    dir: &Path,
    inventory: &Inventory,
    after: Layout<'_>,
    changes: &[Change],
    waves: &[Wave],
) -> anyhow::Result<()> {
    let error = |error: std::io::Error| storage_problem(&StorageError::new(dir, error));
    std::fs::create_dir_all(dir).map_err(error)?;
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let name = entry.map_err(error)?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("wave-") && name.ends_with(".json")) {
            // Of another plan: a wave too many would be executed with the new ones.
            return Err(Problem::new("exists", "there are waves of another plan")
                .path(dir)
                .outcome(Outcome::Refused)
                .hint("name an empty directory")
                .into());
        }
    }
    let file = |name: &str, partitions: &[PlannedPartition]| -> anyhow::Result<()> {
        let text = write_plan(partitions) + "\n";
        Ok(replace_atomic(&dir.join(name), text.as_bytes()).map_err(|error| storage_problem(&error))?)
    };
    file("plan.json", &planned(inventory, after, &changes.iter().collect::<Vec<_>>()))?;
    file("rollback.json", &way_back(inventory, changes))?;
    for (number, wave) in waves.iter().enumerate() {
        let of_wave: Vec<&Change> = wave.changes.iter().filter_map(|change| changes.get(*change)).collect();
        file(&format!("wave-{:03}.json", number + 1), &planned(inventory, after, &of_wave))?;
    }
    Ok(())
}
