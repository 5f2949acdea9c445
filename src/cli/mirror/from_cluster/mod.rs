//! `logdir mirror --from-cluster`: topics of a running cluster, into a log directory under their own offsets.

#[cfg(feature = "cluster")]
mod copying;
#[cfg(feature = "cluster")]
mod lane;
#[cfg(feature = "cluster")]
mod last;
#[cfg(feature = "cluster")]
mod offsets;
#[cfg(feature = "cluster")]
mod run;
#[cfg(feature = "cluster")]
mod topics;

use std::path::Path;

use super::MirrorArgs;
use crate::cli::Outcome;
use crate::cli::args::GlobalArgs;
#[cfg(not(feature = "cluster"))]
use crate::cli::ui::Problem;
use crate::cli::ui::Ui;

/// Carries topics out of a cluster.
#[cfg(feature = "cluster")]
pub fn run(args: &MirrorArgs, servers: &str, to: &Path, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    run::run(args, servers, to, global, ui)
}

/// Says that this build cannot.
#[cfg(not(feature = "cluster"))]
pub fn run(_: &MirrorArgs, _: &str, _: &Path, _: &GlobalArgs, _: &mut Ui) -> anyhow::Result<Outcome> {
    let problem = Problem::usage("--from-cluster: this build has no client for clusters (feature 'cluster')");
    Err(problem.hint("install one that has: cargo install logdir --features cluster").into())
}
