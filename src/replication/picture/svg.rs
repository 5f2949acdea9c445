//! A space-time diagram as SVG: lanes with logs drawn at every step, arrows above them, a dashed line for each high watermark.
//!
//! Colours come from a style block that knows light and dark; arrow heads are drawn, not referred to, so that several diagrams
//! can stand in one page.

use svg::Document;
use svg::node::element::{Group, Line, Path, Polygon, Rectangle, Style, Text, Title};

use super::lanes::{Arrow, ArrowKind, Diagram, Item, Lane, Mark, MarkKind, Shown, Step};
use crate::replication::play::Timeline;

/// Width of the steps' words, at the left.
const LEFT: usize = 190;
const HEAD: usize = 56;
/// Height of a line of arrows and marks.
const LINE: usize = 15;
/// Height of a log, and what is above and below it.
const LOG: usize = 13;
const ABOVE: usize = 4;
const BELOW: usize = 8;
/// Room for a letter of 10 px, a little more than most take.
const LETTER: usize = 6;
/// Between an axis and its log, and behind the log.
const MARGIN: usize = 9;

/// Style of all diagrams: for light, and what differs for dark. Without variables, which not every program that draws SVG knows.
pub const STYLE: &str = "\
.st text{font:10px sans-serif;fill:#1f2328;stroke:#fff;stroke-width:3px;paint-order:stroke}\
.st text.head{font-weight:bold;font-size:12px}.st text.faint{fill:#57606a}.st text.good{fill:#1a7f37}.st text.bad{fill:#c4162a}\
.st text.violation{fill:#c4162a;font-weight:bold}.st text.record{font-size:9px;fill:#111;stroke:none}\
.st .paper{fill:#fff}.st .rule{stroke:#e4e7eb}.st .band{fill:#0b62c4;fill-opacity:0}.st .now .band{fill-opacity:.12}\
.st .lane{stroke:#8b949e}.st .leads{stroke:#1f2328;stroke-width:4}.st .down{stroke:#8b949e;stroke-dasharray:1 4}\
.st .arrow{stroke:#1f2328;fill:none}.st .answer{stroke-dasharray:5 3}.st .refused{stroke:#c4162a}.st .news{stroke:#0b62c4}\
.st .tip{fill:#1f2328}.st .refused-tip{fill:#c4162a}.st .news-tip{fill:#0b62c4}\
.st path.good{fill:#1a7f37}.st path.bad{fill:#c4162a}\
.st .hw{stroke:#0b62c4;stroke-width:1.5;stroke-dasharray:4 3;fill:none}\
.st .cut{stroke:#c4162a;stroke-width:1.5;stroke-dasharray:3 2;fill:none}.st .flushed{stroke:#1f2328;stroke-width:2}\
.st .e0{fill:#56b4e9}.st .e1{fill:#e69f00}.st .e2{fill:#2fb98f}.st .e3{fill:#cc79a7}.st .e4{fill:#f0e442}.st .e5{fill:#b9a6ff}\
@media (prefers-color-scheme:dark){\
.st text{fill:#e6edf3;stroke:#0d1117}.st text.faint{fill:#8b949e}.st text.good{fill:#56d364}\
.st text.bad,.st text.violation{fill:#ff6b75}.st text.record{fill:#111}\
.st .paper{fill:#0d1117}.st .rule{stroke:#272d35}.st .leads,.st .arrow,.st .flushed{stroke:#e6edf3}.st .tip{fill:#e6edf3}\
.st .refused,.st .cut{stroke:#ff6b75}.st .news,.st .hw{stroke:#6cb6ff}.st .refused-tip,.st path.bad{fill:#ff6b75}\
.st .news-tip{fill:#6cb6ff}.st path.good{fill:#56d364}}";

/// How many colours epochs take in turn.
pub const EPOCH_COLOURS: u32 = 6;

/// Draws a timeline; a step is a group of class `step` with its number as `data-step`. Its height grows with the steps.
pub fn svg(timeline: &Timeline) -> String {
    let diagram = Diagram::of(timeline, false);
    Drawing::of(&diagram).draw()
}

struct Drawing<'a> {
    diagram: &'a Diagram,
    /// Left of each lane, and of what would be the next.
    axes: Vec<usize>,
    width: usize,
}

impl Drawing<'_> {
    fn of(diagram: &Diagram) -> Drawing<'_> {
        let replica = if diagram.lanes.len() <= 6 { 190 } else { 150 };
        let mut axes = vec![LEFT];
        for lane in &diagram.lanes {
            let last = axes.last().copied().unwrap_or(LEFT);
            axes.push(last + if matches!(lane, Lane::Broker(_)) { replica } else { 140 });
        }
        let width = axes.last().copied().unwrap_or(LEFT);
        Drawing { diagram, axes, width }
    }

    fn axis(&self, lane: Lane) -> usize {
        self.axes[self.diagram.place(lane)]
    }

    /// Room from a lane's axis to the next.
    fn room(&self, lane: Lane) -> usize {
        let place = self.diagram.place(lane);
        self.axes[place + 1] - self.axes[place]
    }

    fn draw(&self) -> String {
        let mut body = Group::new();
        let mut watermarks = vec![String::new(); self.diagram.lanes.len()];
        let mut top = HEAD;
        for step in &self.diagram.steps {
            let height = self.height(step);
            body = body.add(self.step(step, top, height));
            self.watermarks(step, top, height, &mut watermarks);
            top += height;
        }
        let height = top + BELOW;
        let mut lines = Group::new();
        for line in watermarks.into_iter().filter(|line| !line.is_empty()) {
            lines = lines.add(Path::new().set("class", "hw").set("d", line));
        }
        let mut picture = Document::new()
            .set("class", "st")
            .set("viewBox", (0, 0, self.width, height))
            .set("width", self.width)
            .set("height", height)
            .add(Style::new(STYLE))
            .add(Rectangle::new().set("class", "paper").set("width", self.width).set("height", height));
        picture = picture.add(lines).add(body);
        for lane in &self.diagram.lanes {
            picture = picture.add(label(self.axis(*lane), 44, "head", "start", &lane.name()));
        }
        let legend = "logs coloured by leader epoch; thick lane: leads; dotted: down; dashed blue: high watermark; \
                      tick: flushed; red box: cut; dashed arrow: answer";
        picture.add(label(10, 18, "faint", "start", legend)).to_string()
    }

    /// Violations of a step, broken into lines that fit.
    fn violations(&self, step: &Step) -> Vec<String> {
        let letters = self.width.saturating_sub(60) / LETTER;
        step.violations.iter().flat_map(|text| wrap(text, letters)).collect()
    }

    fn height(&self, step: &Step) -> usize {
        step.lines.max(1) * LINE + ABOVE + LOG + BELOW + self.violations(step).len() * LINE
    }

    /// Where a step's logs are drawn.
    fn log_top(step: &Step, top: usize) -> usize {
        top + step.lines.max(1) * LINE + ABOVE
    }

    fn step(&self, step: &Step, top: usize, height: usize) -> Group {
        let mut group = Group::new().set("class", "step").set("data-step", step.number);
        group = group
            .add(Rectangle::new().set("class", "band").set("y", top).set("width", self.width).set("height", height))
            .add(line("rule", (0, top), (self.width, top)))
            .add(label(30, top + 14, "faint", "end", &step.number.to_string()))
            .add(label(38, top + 14, "", "start", &fit(&step.words, (LEFT - 44) / LETTER)));
        // Violations stand across the lanes.
        let of_violations = self.violations(step).len() * LINE;
        for lane in &self.diagram.lanes {
            group = group.add(self.lane(step, *lane, top, height - of_violations));
        }
        for (line, item) in &step.items {
            let y = top + line * LINE + 11;
            group = match item {
                Item::Arrow(arrow) => group.add(self.arrow(arrow, y)),
                Item::Mark(mark) => group.add(self.mark(mark, y)),
            };
        }
        for (step, cut) in step.items.iter().filter_map(|(_, item)| cut(item).map(|cut| (step, cut))) {
            group = group.add(self.cut(cut, Self::log_top(step, top)));
        }
        let first = Self::log_top(step, top) + LOG + BELOW + 6;
        for (text, number) in self.violations(step).iter().zip(0..) {
            group = group.add(label(38, first + number * LINE, "violation", "start", text));
        }
        group
    }

    /// A lane's axis through a step, and the log of a replica.
    fn lane(&self, step: &Step, lane: Lane, top: usize, height: usize) -> Group {
        let x = self.axis(lane);
        let replica = match lane {
            Lane::Broker(broker) => step.replicas.get(usize::from(broker)),
            _ => None,
        };
        let class = match replica {
            Some(replica) if !replica.is_up => "down",
            Some(replica) if replica.leads => "leads",
            _ => "lane",
        };
        let group = Group::new().add(line(class, (x, top), (x, top + height)));
        match replica {
            Some(replica) => self.log(group, lane, replica, Self::log_top(step, top)),
            None => group,
        }
    }

    /// Where an offset is on a lane.
    fn at(&self, lane: Lane, offset: u64) -> usize {
        let (first, last) = self.diagram.offsets;
        let room = (self.room(lane) - 3 * MARGIN) as u64;
        // A few records are not drawn as wide as many.
        let span = (last - first).max(6);
        let along = offset.saturating_sub(first).saturating_mul(room) / span;
        self.axis(lane) + MARGIN + usize::try_from(along).unwrap_or(0)
    }

    fn log(&self, mut group: Group, lane: Lane, replica: &Shown, y: usize) -> Group {
        let names = format!("LEO {} HW {} flushed {}", replica.leo, replica.hw, replica.flushed);
        let mut log = Group::new().add(Title::new(names));
        for &(epoch, record, first, len) in &replica.runs {
            let class = format!("e{}", epoch % EPOCH_COLOURS);
            let apart = self.at(lane, first + 1).saturating_sub(self.at(lane, first));
            // Records are drawn one by one while there is room to tell them apart.
            let tiles = if apart >= 4 { len } else { 1 };
            let each = u64::from(len / tiles.max(1));
            for tile in 0..tiles {
                let from = first + u64::from(tile) * each;
                let (left, right) = (self.at(lane, from), self.at(lane, from + each));
                let tile_width = right.saturating_sub(left).saturating_sub(usize::from(apart >= 4)).max(1);
                let rectangle = Rectangle::new().set("class", class.as_str()).set("x", left).set("y", y);
                log = log.add(rectangle.set("width", tile_width).set("height", LOG));
                let name = format!("m{}", record + tile);
                if tiles == len && name.len() * LETTER <= tile_width {
                    log = log.add(label(left + tile_width / 2, y + 10, "record", "middle", &name));
                }
            }
        }
        if replica.flushed > self.diagram.offsets.0 {
            let x = self.at(lane, replica.flushed);
            log = log.add(line("flushed", (x, y + LOG - 4), (x, y + LOG + 2)));
        }
        group = group.add(log);
        group
    }

    fn cut(&self, (lane, from, to): (Lane, u64, u64), y: usize) -> Rectangle {
        let (left, right) = (self.at(lane, to), self.at(lane, from));
        let (width, height) = (right.saturating_sub(left).max(3), LOG + 2);
        Rectangle::new().set("class", "cut").set("x", left).set("y", y - 1).set("width", width).set("height", height)
    }

    /// Goes on with the dashed line of each replica's high watermark; it is broken while the broker is down.
    fn watermarks(&self, step: &Step, top: usize, height: usize, paths: &mut [String]) {
        for (replica, broker) in step.replicas.iter().zip(0..) {
            let lane = Lane::Broker(broker);
            let Some(path) = paths.get_mut(self.diagram.place(lane)) else { continue };
            if !replica.is_up {
                path.push(' ');
                continue;
            }
            // After a gap it begins anew.
            let begins = path.is_empty() || path.ends_with(' ');
            let x = self.at(lane, replica.hw);
            path.push_str(&format!("{}{x},{top}V{}", if begins { "M" } else { "L" }, top + height));
        }
    }

    fn arrow(&self, arrow: &Arrow, y: usize) -> Group {
        let (from, to) = (self.axis(arrow.from), self.axis(arrow.to));
        let rightwards = from < to;
        // Beside the axes, which are thick where somebody leads.
        let (from, to) = if rightwards { (from + 3, to - 3) } else { (from - 3, to + 3) };
        let length = from.abs_diff(to);
        let reach = if arrow.is_lost { length * 3 / 4 } else { length };
        let end = if rightwards { from + reach } else { from - reach };
        let (class, tip) = match arrow.kind {
            ArrowKind::Request => ("arrow", "tip"),
            ArrowKind::Answer => ("arrow answer", "tip"),
            ArrowKind::Refusal => ("arrow answer refused", "refused-tip"),
            ArrowKind::Metadata => ("arrow news", "news-tip"),
        };
        let lost = if arrow.is_lost { ", lost" } else { "" };
        let title = format!("{} to {}: {}{lost}", arrow.from.name(), arrow.to.name(), arrow.text);
        // The label lies beside the source, short of the next lane, and the line goes on behind it.
        let place = self.diagram.place(arrow.from);
        let room =
            if rightwards { self.axes[place + 1] - self.axes[place] } else { self.axes[place] - self.axes[place - 1] };
        // Names of errors are capitals, which are wider.
        let letter = if arrow.kind == ArrowKind::Refusal { LETTER + 2 } else { LETTER };
        let text = fit(&arrow.text, room.min(reach).saturating_sub(24) / letter);
        let gap = 10 + text.chars().count() * letter;
        let (x, anchor, behind) =
            if rightwards { (from + 6, "start", from + gap) } else { (from - 6, "end", from - gap) };
        let mut group = Group::new().add(Title::new(plain(&title))).add(label(x, y + 3, "", anchor, &text));
        if gap < reach {
            group = group.add(line(class, (behind, y), (end, y)));
        }
        if arrow.is_lost {
            let cross = format!("M{},{}l8,8m0,-8l-8,8", end - 4, y - 4);
            group.add(Path::new().set("class", "arrow refused").set("d", cross))
        } else {
            let back = if rightwards { end - 7 } else { end + 7 };
            group.add(
                Polygon::new().set("class", tip).set("points", format!("{end},{y} {back},{} {back},{}", y - 3, y + 3)),
            )
        }
    }

    fn mark(&self, mark: &Mark, y: usize) -> Group {
        let x = self.axis(mark.lane);
        let sign = Path::new();
        let (class, sign) = match mark.kind {
            MarkKind::Leads => ("good", Some(sign.set("d", format!("M{x},{}l6,6l-6,6l-6,-6z", y - 6)))),
            MarkKind::Unclean => ("bad", Some(sign.set("d", format!("M{x},{}l6,6l-6,6l-6,-6z", y - 6)))),
            MarkKind::Down => ("bad", Some(sign.set("d", format!("M{},{}h10v10h-10z", x - 5, y - 5)))),
            MarkKind::Up => ("good", Some(sign.set("d", format!("M{},{}l10,5l-10,5z", x - 4, y - 5)))),
            MarkKind::Cut { .. } => ("bad", None),
            MarkKind::HighWatermark | MarkKind::LogEnd | MarkKind::Note => ("", None),
        };
        let text = fit(&mark.text, self.room(mark.lane).saturating_sub(20) / LETTER);
        let mut group = Group::new().add(Title::new(plain(&mark.text)));
        if let Some(sign) = sign {
            group = group.add(sign.set("class", class));
        }
        group.add(label(x + 10, y + 3, class, "start", &text))
    }
}

/// A cut's lane and offsets.
fn cut(item: &Item) -> Option<(Lane, u64, u64)> {
    match item {
        Item::Mark(Mark { lane, kind: MarkKind::Cut { from, to }, .. }) => Some((*lane, *from, *to)),
        _ => None,
    }
}

fn line(class: &str, from: (usize, usize), to: (usize, usize)) -> Line {
    Line::new().set("class", class).set("x1", from.0).set("y1", from.1).set("x2", to.0).set("y2", to.1)
}

fn label(x: usize, y: usize, class: &str, anchor: &str, text: &str) -> Text {
    let text = Text::new(plain(text)).set("x", x).set("y", y).set("text-anchor", anchor);
    if class.is_empty() { text } else { text.set("class", class) }
}

/// The text, or as much of it as there is room for.
fn fit(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The text in lines of so many letters at most, broken between words.
fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > letters {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Without what XML has no place for.
fn plain(text: &str) -> String {
    text.chars().map(|it| if it.is_control() || matches!(it, '\u{fffe}' | '\u{ffff}') { '?' } else { it }).collect()
}
