//! `logdir metadata find`: paths of nodes.

use super::{MomentArgs, SourceArgs, glob, leaf_json, source};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::ui::{Pipe, Ui};
use crate::cli::{Outcome, man};
use crate::schema::image::{Node, Secrets, escape};

/// Find nodes: the paths of all below a path, or of a name anywhere
///
/// A path as in find of kafka-metadata-shell.sh, with everything below it. A pattern without a / that is no path from
/// the root is a name, and may be anywhere in the tree.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("metadata find"))]
pub struct FindArgs {
    /// Path or name; * ? {a,b} match several
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// Where the metadata comes from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One moment of it.
    #[command(flatten)]
    pub moment: MomentArgs,
}

/// Prints the paths.
pub fn run(args: &FindArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let (image, outcome) = source::open_image(&args.source, &args.moment, global, ui)?;
    let root = Node::root(&image);
    let json = (global.output() == Some(OutputFormat::Json)).then(|| args.source.secrets());
    let found = glob::find(root, &args.pattern);
    if !found.is_empty() {
        for glob::Found { path, node } in &found {
            if below(*node, path, json, ui)? == Pipe::Closed {
                break;
            }
        }
        return Ok(outcome);
    }
    let named = if args.pattern.contains('/') { Vec::new() } else { glob::find_named(root, &args.pattern) };
    if named.is_empty() {
        return Err(glob::not_found(root, &args.pattern).into());
    }
    for glob::Found { path, node } in &named {
        if one(*node, path, json, ui)? == Pipe::Closed {
            break;
        }
    }
    Ok(outcome)
}

fn below(node: Node<'_>, path: &str, json: Option<Secrets>, ui: &mut Ui) -> anyhow::Result<Pipe> {
    if one(node, path, json, ui)? == Pipe::Closed {
        return Ok(Pipe::Closed);
    }
    for (name, child) in node.children() {
        if below(child, &format!("{path}/{}", escape(&name)), json, ui)? == Pipe::Closed {
            return Ok(Pipe::Closed);
        }
    }
    Ok(Pipe::Open)
}

fn one(node: Node<'_>, path: &str, json: Option<Secrets>, ui: &mut Ui) -> anyhow::Result<Pipe> {
    let path = if path.is_empty() { "/" } else { path };
    let out = ui.out().buffer();
    match json {
        Some(secrets) => {
            let value = node.leaf().map(|leaf| leaf_json::leaf(&leaf, secrets));
            let kind = if node.is_directory() { "directory" } else { "leaf" };
            JsonRow::new(kind).field("path", path).some("value", value).write(out);
        }
        None => {
            out.extend_from_slice(path.as_bytes());
            out.push(b'\n');
        }
    }
    Ok(ui.out().drain()?)
}
