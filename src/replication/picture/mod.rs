//! Pictures of a [`Timeline`]: a table, a verdict, a space-time diagram, a page to step through, rows of JSON.
//!
//! - [`table()`]: a row a step, for terminals; [`LEGEND`] explains its glyphs;
//! - [`verdict()`]: what was lost, doubled, forked, and the one-sentence [`Cause`] of each violation;
//! - [`text()`]: a space-time diagram for terminals; [`Diagram`] is its drawing as data;
//! - [`svg()`]: the same diagram for documents;
//! - [`html()`]: a page to step through several timelines;
//! - [`json()`]: an object a step, and one for the verdict.
//!
//! All are functions of the timeline alone: the same timeline gives the same bytes.

mod cause;
mod explain;
mod grid;
mod history;
mod html;
mod items;
mod json;
mod lanes;
mod svg;
mod table;
mod text;
mod tolerance;
mod verdict;
mod why;

pub use explain::Finding;
pub use grid::LEGEND;
pub use html::html;
pub use json::json;
pub use lanes::{Arrow, ArrowKind, Diagram, Item, Lane, Mark, MarkKind, Shown, Step};
pub use svg::svg;
pub use table::{TableOptions, table};
pub use text::{TextOptions, text};
pub use tolerance::{Reliance, Tolerance};
pub use verdict::{Counts, Verdict, verdict};
pub use why::{Cause, Kept, Why};

#[cfg(doc)]
use super::play::Timeline;

#[cfg(test)]
mod tests;
