//! A space-time diagram for terminals, in box characters or in ASCII.

use super::lanes::{Arrow, ArrowKind, Diagram, Item, Lane, Mark, MarkKind, Step};
use crate::replication::play::Timeline;

/// How a diagram is to look in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns to draw in; more are taken where lanes would be less than ten apart.
    pub width: usize,
    /// Whether to draw with ASCII alone.
    pub ascii: bool,
}

/// The characters that lines are made of.
struct Pen {
    leader: char,
    running: char,
    down: char,
    request: char,
    answer: char,
    right: char,
    left: char,
    lost: char,
    cross: char,
    leads: char,
    unclean: char,
    stops: char,
    starts: char,
    high_watermark: &'static str,
    more: char,
}

const BOXES: Pen = Pen {
    leader: '┃',
    running: '│',
    down: '┊',
    request: '─',
    answer: '╌',
    right: '▶',
    left: '◀',
    lost: '✗',
    cross: '┼',
    leads: '◆',
    unclean: '◇',
    stops: '■',
    starts: '□',
    high_watermark: "╌╌",
    more: '…',
};

const ASCII: Pen = Pen {
    leader: '#',
    running: '|',
    down: ':',
    request: '-',
    answer: '.',
    right: '>',
    left: '<',
    lost: 'x',
    cross: '+',
    leads: '*',
    unclean: '?',
    stops: '!',
    starts: '^',
    high_watermark: "- -",
    more: '~',
};

/// Draws a timeline downwards, a lane for the clients, each replica and the controller.
///
/// A leader's lane is thick, that of a broker that is down dotted. Requests are solid, answers dashed; what is lost ends in x.
/// High watermarks stand behind dashes, cut ranges in brackets.
pub fn text(timeline: &Timeline, options: &TextOptions) -> String {
    let diagram = Diagram::of(timeline, true);
    let pen = if options.ascii { &ASCII } else { &BOXES };
    let number = diagram.steps.len().saturating_sub(1).to_string().len();
    let words = diagram.steps.iter().map(|step| step.words.chars().count()).max().unwrap_or(0);
    let left = number + 2 + words + 2;
    let apart = (options.width.saturating_sub(left) / diagram.lanes.len().max(1)).max(10);
    let canvas = Canvas { diagram: &diagram, pen, left, apart };
    let mut out = String::new();
    let mut heading = canvas.blank();
    for (place, lane) in diagram.lanes.iter().enumerate() {
        put(&mut heading, canvas.axis(place), &lane.name());
    }
    push(&mut out, &heading);
    for step in &diagram.steps {
        for line in 0..step.lines.max(1) {
            let mut chars = canvas.line(step, line);
            if line == 0 {
                put(&mut chars, 0, &format!("{:>number$}  {}", step.number, step.words));
            }
            push(&mut out, &chars);
        }
        for violation in &step.violations {
            out.push_str(&format!("{}{violation}\n", " ".repeat(number + 2)));
        }
    }
    out
}

struct Canvas<'a> {
    diagram: &'a Diagram,
    pen: &'a Pen,
    left: usize,
    apart: usize,
}

impl Canvas<'_> {
    fn axis(&self, place: usize) -> usize {
        self.left + place * self.apart
    }

    fn blank(&self) -> Vec<char> {
        vec![' '; self.axis(self.diagram.lanes.len())]
    }

    fn line(&self, step: &Step, line: usize) -> Vec<char> {
        let mut chars = self.blank();
        for (place, lane) in self.diagram.lanes.iter().enumerate() {
            chars[self.axis(place)] = match lane {
                Lane::Broker(broker) => match step.replicas.get(usize::from(*broker)) {
                    Some(replica) if !replica.is_up => self.pen.down,
                    Some(replica) if replica.leads => self.pen.leader,
                    _ => self.pen.running,
                },
                _ => self.pen.running,
            };
        }
        for (_, item) in step.items.iter().filter(|(at, _)| *at == line) {
            match item {
                Item::Arrow(arrow) => self.arrow(&mut chars, arrow),
                Item::Mark(mark) => self.mark(&mut chars, mark),
            }
        }
        chars
    }

    fn arrow(&self, chars: &mut [char], arrow: &Arrow) {
        let (from, to) = (self.axis(self.diagram.place(arrow.from)), self.axis(self.diagram.place(arrow.to)));
        let stroke = match arrow.kind {
            ArrowKind::Request | ArrowKind::Metadata => self.pen.request,
            ArrowKind::Answer | ArrowKind::Refusal => self.pen.answer,
        };
        // Columns between the two axes, from the source on.
        let columns: Vec<usize> = if from < to { (from + 1..to).collect() } else { (to + 1..from).rev().collect() };
        let reach = if arrow.is_lost { columns.len() - columns.len() / 4 } else { columns.len() };
        let axes: Vec<usize> = (0..self.diagram.lanes.len()).map(|place| self.axis(place)).collect();
        for &column in columns.iter().take(reach) {
            chars[column] = if axes.contains(&column) { self.pen.cross } else { stroke };
        }
        let head = if from < to { self.pen.right } else { self.pen.left };
        if let Some(&last) = columns.get(reach.saturating_sub(1)) {
            chars[last] = if arrow.is_lost { self.pen.lost } else { head };
        }
        // The label lies beside the source, within the first segment, and leaves some stroke on both sides.
        let room = self.apart.min(reach).saturating_sub(5);
        let label = format!(" {} ", self.fit(&arrow.text, room.saturating_sub(1)));
        let start = if from < to { from + 2 } else { from.saturating_sub(1 + label.chars().count()) };
        put(chars, start, &label);
    }

    fn mark(&self, chars: &mut [char], mark: &Mark) {
        let at = self.axis(self.diagram.place(mark.lane)) + 1;
        let text = match mark.kind {
            MarkKind::Leads => format!("{} {}", self.pen.leads, mark.text),
            MarkKind::Unclean => format!("{} {}", self.pen.unclean, mark.text),
            MarkKind::Down => format!("{} {}", self.pen.stops, mark.text),
            MarkKind::Up => format!("{} {}", self.pen.starts, mark.text),
            MarkKind::Cut { .. } => format!("[{}]", mark.text),
            MarkKind::HighWatermark => format!("{}{}", self.pen.high_watermark, mark.text),
            MarkKind::LogEnd | MarkKind::Note => format!(" {}", mark.text),
        };
        put(chars, at, &self.fit(&text, self.apart.saturating_sub(2)));
    }

    /// The text, or as much of it as there is room for.
    fn fit(&self, text: &str, room: usize) -> String {
        if text.chars().count() <= room {
            return text.to_owned();
        }
        let kept: String = text.chars().take(room.saturating_sub(1)).collect();
        format!("{kept}{}", self.pen.more)
    }
}

fn put(chars: &mut [char], at: usize, text: &str) {
    for (place, letter) in chars.iter_mut().skip(at).zip(text.chars()) {
        *place = letter;
    }
}

fn push(out: &mut String, chars: &[char]) {
    let line: String = chars.iter().collect();
    out.push_str(line.trim_end());
    out.push('\n');
}
