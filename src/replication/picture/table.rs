//! A timeline as a table for terminals: a row a step, what changed bright, violations under the step in which they begin.

use super::grid::{Cell, Line, grid};
use crate::replication::play::Timeline;

const DIM: &str = "\x1b[2m";
const BRIGHT: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// How a table is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// Whether changed cells are told from the rest by brightness, and violations by red, with ANSI escapes.
    pub colour: bool,
    /// How many rows to show at the beginning, and how many at the end; rows under which a violation stands are shown anyway.
    /// None: all rows.
    pub ends: Option<(usize, usize)>,
}

/// A heading, the partition before the first step, and a row a step; [`super::LEGEND`] says what the glyphs mean.
///
/// Columns are as wide as their widest cell, the last one has no end. Violations and their causes stand in lines of their own.
pub fn table(timeline: &Timeline, options: &TableOptions) -> String {
    let lines = grid(timeline);
    let shown: Vec<bool> = (0..lines.len()).map(|at| is_shown(at, &lines, options)).collect();
    let widths = Widths::of(lines.iter().zip(&shown).filter(|(_, shown)| **shown).map(|(line, _)| line));
    let mut out = Writer { text: String::new(), colour: options.colour };
    widths.heading(lines.first(), &mut out);
    let mut left_out = 0;
    for (line, shown) in lines.iter().zip(shown) {
        if !shown {
            left_out += 1;
            continue;
        }
        out.left_out(&mut left_out);
        widths.line(line, &mut out);
    }
    out.left_out(&mut left_out);
    out.text
}

fn is_shown(at: usize, lines: &[Line], options: &TableOptions) -> bool {
    let has_violation = lines.get(at).is_some_and(|line| !line.below.is_empty());
    options.ends.is_none_or(|(first, last)| at < first || at + last >= lines.len() || has_violation)
}

/// Widths of columns, in characters.
struct Widths {
    number: usize,
    step: usize,
    replicas: Vec<[usize; 5]>,
    isr: usize,
    elr: usize,
}

impl Widths {
    fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Widths {
        let mut widths = Widths { number: 1, step: "STEP".len(), replicas: Vec::new(), isr: 3, elr: 3 };
        for line in lines {
            widths.number = widths.number.max(line.number.to_string().len());
            widths.step = widths.step.max(line.step.chars().count());
            widths.replicas.resize(line.replicas.len(), [0; 5]);
            for (width, cell) in widths.replicas.iter_mut().flatten().zip(line.replicas.iter().flatten()) {
                *width = (*width).max(cell.text.len());
            }
            let width = |cell: &Option<Cell>| cell.as_ref().map_or(0, |cell| cell.text.len());
            widths.isr = widths.isr.max(width(&line.isr));
            widths.elr = widths.elr.max(width(&line.elr));
        }
        widths
    }

    /// Glyph, epoch and three numbers, with what stands between them.
    fn group(widths: &[usize; 5]) -> usize {
        widths.iter().sum::<usize>() + 4
    }

    fn heading(&self, first: Option<&Line>, out: &mut Writer) {
        let mut text = format!("{:>1$}  {2:<3$}", "#", self.number, "STEP", self.step);
        for (broker, widths) in self.replicas.iter().enumerate() {
            text.push_str(&format!("  {:<1$}", format!("B{broker}"), Widths::group(widths)));
        }
        for (name, width, cell) in
            [("ISR", self.isr, first.map(|line| &line.isr)), ("ELR", self.elr, first.map(|line| &line.elr))]
        {
            if cell.is_some_and(Option::is_some) {
                text.push_str(&format!("  {name:<width$}"));
            }
        }
        text.push_str("  WHAT HAPPENED");
        out.styled(BRIGHT, &text);
        out.end();
    }

    fn line(&self, line: &Line, out: &mut Writer) {
        let start = line.number == 0;
        out.styled(DIM, &format!("{:>1$}  ", line.number, self.number));
        out.plain(&format!("{:<1$}", line.step, self.step));
        for (group, widths) in line.replicas.iter().zip(&self.replicas) {
            out.plain("  ");
            let [glyph, epoch, leo, hw, flushed] = group;
            out.cell(glyph, widths[0], false, start);
            out.plain(" ");
            out.cell(epoch, widths[1], false, start);
            out.plain(" ");
            out.cell(leo, widths[2], true, start);
            out.styled(DIM, "/");
            out.cell(hw, widths[3], true, start);
            out.styled(DIM, "/");
            out.cell(flushed, widths[4], true, start);
        }
        for (cell, width) in [(&line.isr, self.isr), (&line.elr, self.elr)] {
            if let Some(cell) = cell {
                out.plain("  ");
                out.cell(cell, width, false, start);
            }
        }
        out.plain("  ");
        out.plain(&line.happened);
        out.end();
        for below in &line.below {
            out.plain(&" ".repeat(self.number + 2));
            out.styled(RED, below);
            out.end();
        }
    }
}

/// A table's text while it grows.
struct Writer {
    text: String,
    colour: bool,
}

impl Writer {
    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn styled(&mut self, style: &str, text: &str) {
        if self.colour {
            self.text.extend([style, text, PLAIN]);
        } else {
            self.text.push_str(text);
        }
    }

    /// A cell; in the first row there is nothing to differ from, and it stands in plain.
    fn cell(&mut self, cell: &Cell, width: usize, right: bool, start: bool) {
        let text = &cell.text;
        let padded = if right { format!("{text:>width$}") } else { format!("{text:<width$}") };
        match (start, cell.is_new) {
            (true, _) => self.plain(&padded),
            (false, true) => self.styled(BRIGHT, &padded),
            (false, false) => self.styled(DIM, &padded),
        }
    }

    fn left_out(&mut self, count: &mut usize) {
        if *count > 0 {
            let text = format!("... {count} steps ...");
            self.styled(DIM, &text);
            self.end();
            *count = 0;
        }
    }

    fn end(&mut self) {
        let kept = self.text.trim_end_matches(' ').len();
        self.text.truncate(kept);
        self.text.push('\n');
    }
}
