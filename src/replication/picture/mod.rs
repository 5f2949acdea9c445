//! Pictures of a [`Timeline`]: a table, a verdict, a space-time diagram, a page to step through, rows of JSON.
//!
//! - [`table()`]: a row a step, for terminals; [`LEGEND`] explains its glyphs;
//!
//! All are functions of the timeline alone: the same timeline gives the same bytes.

mod cause;
mod explain;
mod grid;
mod history;
mod table;
mod why;

pub use explain::Finding;
pub use grid::LEGEND;
pub use table::{TableOptions, table};
pub use why::{Cause, Kept, Why};

#[cfg(doc)]
use super::play::Timeline;
