//! Power is lost at any moment: is what was promised still there, and does a broker start on the rest?
//!
//! ```text
//!  a history of sessions  ->  journal: every change of a file  ->  disk: what is left at this moment, by
//!  (seeded)                   and every sync, in order             chance and at the extremes
//!                                                                        |
//!        verdict: what a broker would find, against what was acknowledged by then
//! ```
//!
//! `LOGDIR_POWER_SEEDS=N` plays more histories than the default; `LOGDIR_POWER_SEED=S` plays one again.

pub mod disk;
mod history;
pub mod journal;
mod moments;
mod verdict;
