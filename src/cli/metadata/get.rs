//! `logdir metadata get`: one node, or those a glob matches.

use serde_json::{Map, Value};

use super::tree::{Format, show};
use super::{MomentArgs, SourceArgs, glob, leaf_json, source};
use crate::cli::args::GlobalArgs;
use crate::cli::ui::{Pipe, Ui};
use crate::cli::{Outcome, man};
use crate::schema::image::Node;

/// Show one node: a partition, a broker, a setting
///
/// As cat of kafka-metadata-shell.sh does; a directory is shown as a tree. --json makes one document of it, and of the
/// nodes that a glob matches an object by path.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("metadata get"))]
pub struct GetArgs {
    /// Path in the tree, /image/topics/byName/orders/0; * ? {a,b} match several
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Where the metadata comes from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One moment of it.
    #[command(flatten)]
    pub moment: MomentArgs,
}

/// Prints the node.
pub fn run(args: &GetArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let (image, outcome) = source::open_image(&args.source, &args.moment, global, ui)?;
    let found = glob::find_any(Node::root(&image), &args.node)?;
    let (format, secrets) = (Format::of(global.output()), args.source.secrets());
    let is_glob = args.node.contains(['*', '?', '{']);
    if format == Format::Json {
        let document = match found.as_slice() {
            [one] if !is_glob => leaf_json::node(one.node, secrets),
            many => {
                let values = many.iter().map(|found| (found.path.clone(), leaf_json::node(found.node, secrets)));
                Value::Object(values.collect::<Map<_, _>>())
            }
        };
        let out = ui.out().buffer();
        out.extend_from_slice(document.to_string().as_bytes());
        out.push(b'\n');
        return Ok(outcome);
    }
    for glob::Found { path, node } in &found {
        let is_leaf = !node.is_directory();
        let named = is_glob && format == Format::Indented;
        let out = ui.out().buffer();
        if named {
            out.extend_from_slice(path.as_bytes());
            out.extend_from_slice(if is_leaf { b": " } else { b":\n" });
        }
        let depth = usize::from(named && !is_leaf);
        if show(*node, path, depth, format, secrets, ui)? == Pipe::Closed {
            break;
        }
    }
    Ok(outcome)
}
