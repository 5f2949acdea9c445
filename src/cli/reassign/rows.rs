//! A plan as JSON lines: brokers, racks, disks, moves, waves, and a summary.

use super::compare::state;
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Pipe, Ui};
use crate::reassign::changes::{Change, Layout, Place};
use crate::reassign::inventory::Inventory;
use crate::reassign::report::{Load, Report, Row};
use crate::reassign::waves::Wave;

/// All there is to print.
pub struct Rows<'a> {
    /// The cluster.
    pub inventory: &'a Inventory,
    /// Who is to have what.
    pub after: Layout<'a>,
    /// What changes.
    pub changes: &'a [Change],
    /// In which order; `None` where there is no room for all.
    pub waves: Option<&'a [Wave]>,
    /// Bytes a second between brokers.
    pub throttle: Option<u64>,
    /// What it comes to.
    pub report: &'a Report,
    /// What the rules keep from being done.
    pub shortfalls: &'a [String],
}

impl Rows<'_> {
    /// Prints them.
    pub fn print(&self, ui: &mut Ui) -> anyhow::Result<()> {
        let cluster = &self.inventory.cluster;
        let out = ui.out().buffer();
        for (broker, row) in cluster.brokers.iter().zip(&self.report.brokers) {
            let json = JsonRow::new("broker").field("broker", broker.id).field("rack", broker.rack.clone());
            loads(json.field("state", state(broker.state)), row).write(out);
        }
        for (rack, row) in &self.report.racks {
            loads(JsonRow::new("rack").field("rack", rack.clone()), row).write(out);
        }
        for (broker, rows) in cluster.brokers.iter().zip(&self.report.disks) {
            for (disk, row) in broker.disks.iter().zip(rows) {
                let json = JsonRow::new("disk").field("broker", broker.id).field("log_dir", disk.path.clone());
                loads(json.field("capacity_bytes", disk.capacity), row).write(out);
            }
        }
        let mut wave_of = vec![None; self.changes.len()];
        for (number, wave) in self.waves.into_iter().flatten().enumerate() {
            wave.changes.iter().for_each(|change| wave_of[*change] = Some(number + 1));
        }
        for (change, wave) in self.changes.iter().zip(wave_of) {
            self.change(change, wave, ui.out().buffer());
            if ui.out().drain()? == Pipe::Closed {
                return Ok(());
            }
        }
        for (number, wave) in self.waves.into_iter().flatten().enumerate() {
            JsonRow::new("wave")
                .field("wave", number + 1)
                .field("partitions", wave.changes.len())
                .field("replicas", wave.replicas)
                .field("size_bytes", wave.bytes)
                .field("largest_flow_bytes", wave.largest_flow)
                .field("seconds", self.throttle.map(|throttle| wave.seconds(throttle)))
                .write(ui.out().buffer());
        }
        self.summary(ui.out().buffer());
        Ok(())
    }

    fn change(&self, change: &Change, wave: Option<usize>, out: &mut Vec<u8>) {
        let cluster = &self.inventory.cluster;
        let (topic, number) = self.inventory.name(change.partition);
        let id = |place: &Place| cluster.brokers.get(place.broker.at()).map(|broker| broker.id);
        let path = |place: &Place| {
            let broker = cluster.brokers.get(place.broker.at())?;
            Some(broker.disks.get(usize::from(place.disk?))?.path.clone())
        };
        let ids = |layout: Layout<'_>| layout.places(cluster, change.partition).map(|it| id(&it)).collect::<Vec<_>>();
        let places = |places: &[Place]| {
            let one = |place: &Place| serde_json::json!({"broker": id(place), "log_dir": path(place)});
            places.iter().map(one).collect::<Vec<_>>()
        };
        JsonRow::new("move")
            .field("topic", topic.to_owned())
            .field("partition", number)
            .field("size_bytes", change.bytes)
            .field("before", ids(Layout::current(cluster)))
            .field("after", ids(self.after))
            .field("gains", places(&change.gains))
            .field("leaves", places(&change.leaves))
            .field("wave", wave)
            .write(out);
    }

    fn summary(&self, out: &mut Vec<u8>) {
        let Report { moves, bounds, .. } = self.report;
        let (replicas, bytes) = self.report.ratios();
        let seconds = self
            .waves
            .zip(self.throttle)
            .map(|(waves, throttle)| waves.iter().map(|wave| wave.seconds(throttle)).fold(0, u64::saturating_add));
        JsonRow::new("summary")
            .field("partitions", self.inventory.cluster.partitions())
            .field("changed_partitions", self.changes.len())
            .field("moved_replicas", moves.replicas)
            .field("moved_bytes", moves.bytes)
            .field("bound_replicas", bounds.replicas)
            .field("bound_bytes", bounds.bytes)
            .field("disk_replicas", moves.disk_replicas)
            .field("disk_bytes", moves.disk_bytes)
            .field("bound_disk_bytes", bounds.disk_bytes)
            .field("replicas_ratio", replicas)
            .field("bytes_ratio", bytes)
            .field("largest_inflow_bytes", moves.largest_inflow)
            .field("leader_changes", moves.leaders)
            .field("count_excess", self.report.count_excess)
            .field("breaches_before", self.report.breaches.0)
            .field("breaches_after", self.report.breaches.1)
            .field("waves", self.waves.map(<[Wave]>::len))
            .field("seconds", seconds)
            .field("shortfalls", self.shortfalls.to_vec())
            .write(out);
    }
}

fn loads(json: JsonRow, row: &Row) -> JsonRow {
    let load = |json: JsonRow, when: &str, load: &Load| {
        json.field(&format!("replicas_{when}"), load.replicas)
            .field(&format!("leaders_{when}"), load.leaders)
            .field(&format!("size_bytes_{when}"), load.bytes)
    };
    load(load(json, "before", &row.before), "after", &row.after).field("share", row.share())
}
