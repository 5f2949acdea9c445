//! `logdir metadata tree`: everything, or everything below a node.

use super::{MomentArgs, SourceArgs, glob, leaf_json, source};
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::escape_tsv;
use crate::cli::ui::{Pipe, Ui};
use crate::cli::{Outcome, man};
use crate::schema::image::{Node, Secrets, escape};

/// Show the metadata as a tree
///
/// As tree of kafka-metadata-shell.sh does; --output kafka gives its text, --json one object for each leaf.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("metadata tree"))]
pub struct TreeArgs {
    /// Where the metadata comes from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One moment of it.
    #[command(flatten)]
    pub moment: MomentArgs,
    /// Only what is below this node; * ? {a,b} match several
    #[arg(long, value_name = "NODE", default_value = "/")]
    pub node: String,
}

/// Prints the tree.
pub fn run(args: &TreeArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let (image, outcome) = source::open_image(&args.source, &args.moment, global, ui)?;
    let found = glob::find_any(Node::root(&image), &args.node)?;
    let format = Format::of(global.output());
    for glob::Found { path, node } in &found {
        if show(*node, path, 0, format, args.source.secrets(), ui)? == Pipe::Closed {
            break;
        }
    }
    Ok(outcome)
}

/// How a tree is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Indented, a leaf on one line.
    Indented,
    /// Indented as Kafka's shell does, a leaf on two.
    Kafka,
    /// One object a leaf.
    Json,
    /// Path and text of each leaf.
    Tsv,
}

impl Format {
    /// The one asked for.
    pub fn of(output: Option<OutputFormat>) -> Format {
        match output {
            None | Some(OutputFormat::Table) => Format::Indented,
            Some(OutputFormat::Kafka | OutputFormat::Prometheus) => Format::Kafka,
            Some(OutputFormat::Json) => Format::Json,
            Some(OutputFormat::Tsv) => Format::Tsv,
        }
    }
}

/// Prints what is below a node, or the leaf it is.
pub fn show(
    node: Node<'_>,
    path: &str,
    depth: usize,
    format: Format,
    secrets: Secrets,
    ui: &mut Ui,
) -> anyhow::Result<Pipe> {
    if let Some(leaf) = node.leaf() {
        let out = ui.out().buffer();
        match format {
            Format::Indented | Format::Kafka => line(depth, &leaf.text(secrets), out),
            Format::Json => {
                JsonRow::new("leaf").field("path", path).field("value", leaf_json::leaf(&leaf, secrets)).write(out);
            }
            Format::Tsv => {
                escape_tsv(path.as_bytes(), out);
                out.push(b'\t');
                escape_tsv(leaf.text(secrets).as_bytes(), out);
                out.push(b'\n');
            }
        }
        return Ok(ui.out().drain()?);
    }
    for (name, child) in node.children() {
        if matches!(format, Format::Indented | Format::Kafka) {
            let out = ui.out().buffer();
            if let (Format::Indented, Some(leaf)) = (format, child.leaf()) {
                line(depth, &format!("{name}: {}", leaf.text(secrets)), out);
                continue;
            }
            line(depth, &format!("{name}:"), out);
        }
        let path = format!("{path}/{}", escape(&name));
        if show(child, &path, depth + 1, format, secrets, ui)? == Pipe::Closed {
            return Ok(Pipe::Closed);
        }
    }
    Ok(ui.out().drain()?)
}

fn line(depth: usize, text: &str, out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * depth, b' ');
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}
