//! Before and after as an SVG picture: two bars for each broker, those after divided by disk, brokers grouped by rack.

use std::collections::BTreeMap;

use svg::Document;
use svg::node::element::{Group, Line, Rectangle, Style, Text, Title};

use super::cluster::{BrokerState, Cluster, Disk};
use super::quota::to_f64;
use super::report::{Load, Report, Row};

/// Where bars begin, and how long the longest is.
const LEFT: f64 = 140.0;
const LENGTH: f64 = 620.0;
const WIDTH: f64 = 960.0;
/// Height of what stands above the bars.
const HEAD: f64 = 64.0;
const RACK_HEIGHT: f64 = 26.0;

/// Colours of disks, taken in turn: told apart by those who see no red or green too (after Okabe and Ito).
const DISKS: [&str; 6] = ["#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#d55e00"];

const STYLE: &str = "text{font:12px sans-serif;fill:#222}.head{font-weight:bold}.small{font-size:10px;fill:#666}\
                     .before{fill:#bbb}.free{fill:#888}.fair{stroke:#222;stroke-width:1.5}.rule{stroke:#ddd}";

/// Draws a report; `size` writes bytes.
///
/// Where no size is known bars stand for replicas. The same report gives the same picture.
pub fn draw(cluster: &Cluster, report: &Report, size: &dyn Fn(u64) -> String) -> String {
    let of_bytes = report.brokers.iter().any(|row| row.before.bytes > 0 || row.after.bytes > 0);
    let drawing = Drawing { cluster, report, of_bytes, size };
    drawing.draw()
}

struct Drawing<'a> {
    cluster: &'a Cluster,
    report: &'a Report,
    of_bytes: bool,
    size: &'a dyn Fn(u64) -> String,
}

impl Drawing<'_> {
    fn value(&self, load: &Load) -> u64 {
        if self.of_bytes { load.bytes } else { load.replicas }
    }

    fn text(&self, value: u64) -> String {
        if self.of_bytes { (self.size)(value) } else { format!("{value} replicas") }
    }

    fn draw(&self) -> String {
        let mut racks: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (number, broker) in self.cluster.brokers.iter().enumerate() {
            racks.entry(broker.rack.as_deref()).or_default().push(number);
        }
        let most = self.report.brokers.iter().flat_map(|row| [row.before, row.after]);
        let most = to_f64(most.map(|load| self.value(&load)).max().unwrap_or(0)).max(1.0);
        // Many brokers stand closer.
        let step = if self.cluster.brokers.len() > 60 { 16.0 } else { 26.0 };
        let height =
            HEAD + RACK_HEIGHT * to_f64(racks.len() as u64) + step * to_f64(self.cluster.brokers.len() as u64) + 12.0;
        let mut picture = Document::new()
            .set("viewBox", (0.0, 0.0, WIDTH, height))
            .set("width", WIDTH)
            .set("height", height)
            .add(Style::new(STYLE))
            .add(Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#fff"));
        picture = self.head(picture);
        let mut top = HEAD;
        for (rack, brokers) in racks {
            if let Some(rack) = rack {
                let row = self.report.racks.get(rack).copied().unwrap_or_default();
                let (before, after) = (self.text(self.value(&row.before)), self.text(self.value(&row.after)));
                let name = plain(&format!("rack {rack}: {before} before, {after} after"));
                picture = picture.add(label(10.0, top + 17.0, "head", &name));
            }
            let rule = Line::new().set("class", "rule").set("x1", 10).set("x2", WIDTH - 10.0);
            picture = picture.add(rule.set("y1", top + RACK_HEIGHT - 4.0).set("y2", top + RACK_HEIGHT - 4.0));
            top += RACK_HEIGHT;
            for broker in brokers {
                picture = picture.add(self.broker(broker, top, step, LENGTH / most));
                top += step;
            }
        }
        picture.to_string()
    }

    fn head(&self, picture: Document) -> Document {
        let moves = &self.report.moves;
        let moved = if self.of_bytes { format!(", {}", (self.size)(moves.bytes)) } else { String::new() };
        let (replicas, bounds) = (moves.replicas, self.report.bounds.replicas);
        let text = format!("{replicas} replicas move{moved}; any plan must move {bounds}");
        let mut legend = Group::new();
        let mut x = 10.0;
        for (class, fill, text) in [
            ("before", "", "before"),
            ("", DISKS[0], "after, a colour for each disk"),
            ("free", "", "on a disk that the broker chooses"),
        ] {
            let mut mark = Rectangle::new().set("x", x).set("y", 34).set("width", 12).set("height", 10);
            mark = if class.is_empty() { mark.set("fill", fill) } else { mark.set("class", class) };
            legend = legend.add(mark).add(label(x + 16.0, 43.0, "small", text));
            x += 60.0 + 5.0 * to_f64(text.len() as u64);
        }
        let mark = Line::new().set("class", "fair").set("x1", x).set("x2", x).set("y1", 32).set("y2", 46);
        let legend = legend.add(mark).add(label(x + 8.0, 43.0, "small", "fair share"));
        picture.add(label(10.0, 20.0, "head", &text)).add(legend)
    }

    fn broker(&self, number: usize, top: f64, step: f64, scale: f64) -> Group {
        let (broker, row) = (&self.cluster.brokers[number], &self.report.brokers[number]);
        let (thin, thick) = (step * 0.26, step * 0.46);
        let state = match broker.state {
            BrokerState::Keep => "",
            BrokerState::New => " (new)",
            BrokerState::Drain | BrokerState::Dead => " (leaves)",
        };
        let before = self.value(&row.before);
        let title = format!(
            "broker {}{state}: {} before, {} after; {} replicas before, {} after; leads {} before, {} after",
            broker.id,
            self.text(before),
            self.text(self.value(&row.after)),
            row.before.replicas,
            row.after.replicas,
            row.before.leaders,
            row.after.leaders
        );
        let mut group = Group::new()
            .add(Title::new(plain(&title)))
            .add(label(10.0, top + step * 0.6, "", &format!("{}{state}", broker.id)))
            .add(bar(LEFT, top, to_f64(before) * scale, thin).set("class", "before"));
        let mut left = LEFT;
        let mut rest = self.value(&row.after);
        let disks: &[Row] = self.report.disks.get(number).map_or(&[], Vec::as_slice);
        for (at, (disk, of_disk)) in broker.disks.iter().zip(disks).enumerate() {
            let value = self.value(&of_disk.after);
            rest = rest.saturating_sub(value);
            let width = to_f64(value) * scale;
            let part = bar(left, top + thin, width, thick).set("fill", DISKS[at % DISKS.len()]);
            group = group.add(Group::new().add(Title::new(self.disk(disk, of_disk))).add(part));
            left += width;
        }
        let part = bar(left, top + thin, to_f64(rest) * scale, thick);
        group = group.add(if disks.is_empty() { part.set("fill", DISKS[0]) } else { part.set("class", "free") });
        if let Some(fair) = row.fair_bytes.filter(|fair| self.of_bytes && *fair > 0.0) {
            let x = LEFT + fair * scale;
            let mark = Line::new().set("class", "fair").set("x1", x).set("x2", x);
            group = group.add(mark.set("y1", top - 1.0).set("y2", top + thin + thick + 1.0));
        }
        let share = row.share().map_or_else(String::new, |share| format!(" ({share:.2})"));
        let said = format!("{}{share}", self.text(self.value(&row.after)));
        group.add(label(LEFT + LENGTH + 14.0, top + step * 0.6, "small", &said))
    }

    fn disk(&self, disk: &Disk, row: &Row) -> String {
        let of = disk.capacity.map_or_else(String::new, |capacity| format!(" of {}", (self.size)(capacity)));
        let (before, after) = (self.text(self.value(&row.before)), self.text(self.value(&row.after)));
        plain(&format!("{}: {before} before, {after} after{of}", disk.path))
    }
}

fn bar(x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    let short = |number: f64| (number * 100.0).round() / 100.0;
    Rectangle::new()
        .set("x", short(x))
        .set("y", short(y))
        .set("width", short(width.max(0.0)))
        .set("height", short(height))
}

fn label(x: f64, y: f64, class: &str, text: &str) -> Text {
    Text::new(text).set("x", x).set("y", y).set("class", class)
}

/// Without what XML has no place for: names are a cluster's own.
fn plain(text: &str) -> String {
    text.chars().map(|it| if it.is_control() || matches!(it, '\u{fffe}' | '\u{ffff}') { '?' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::changes::Layout;
    use super::super::cluster::{Assignment, Broker, BrokerIndex, Problem, Rules, Topic};
    use super::super::quota::Quotas;
    use super::*;

    fn picture(brokers: u16, size: u64) -> String {
        let disk = |path: &str| Disk { path: path.to_owned(), capacity: Some(1_000) };
        let broker = |id: u16| Broker {
            id: i32::from(id),
            rack: Some(format!("<r&{}\u{1}>", id % 3)),
            state: if id == 0 { BrokerState::Drain } else { BrokerState::Keep },
            disks: vec![disk("/a"), disk("/\"b\"")],
        };
        let mut current = Assignment::new();
        (0..brokers).for_each(|it| current.push(&[BrokerIndex(it)]));
        let count = usize::from(brokers);
        let cluster = Cluster {
            brokers: (0..brokers).map(broker).collect(),
            topics: vec![Topic { name: "t".to_owned(), partitions: 0..count }],
            sizes: vec![size; count],
            disks: vec![Some(1); count],
            current,
        };
        let rules = Rules::default();
        let problem = Problem::new(&cluster, &rules);
        let report = Report::of(&problem, &Quotas::of(&problem), Layout::current(&cluster));
        draw(&cluster, &report, &|bytes| format!("{bytes} B"))
    }

    #[test]
    fn every_broker_and_disk_has_a_bar_and_names_are_escaped() {
        for (brokers, size) in [(1, 7), (3, 0), (300, 7)] {
            let drawn = picture(brokers, size);
            assert_eq!(drawn, picture(brokers, size), "{brokers}: the same picture");
            assert_eq!(
                drawn.matches("class=\"before\"").count(),
                usize::from(brokers) + 1,
                "{brokers}: and the legend"
            );
            assert_eq!(drawn.matches("fill=\"#56b4e9\"").count(), usize::from(brokers), "{brokers}");
            assert!(drawn.contains("rack &lt;r&amp;0?&gt;") && !drawn.contains('\u{1}'), "{drawn}");
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
