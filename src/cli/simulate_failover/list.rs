//! `simulate-failover list` and `show`.

use super::source;
use crate::cli::args::{GlobalArgs, OutputFormat};
use crate::cli::json_row::JsonRow;
use crate::cli::table::{Column, Listing, ListingStyle};
use crate::cli::ui::{Problem, Ui};
use crate::cli::{Outcome, man};
use crate::replication::scenario::{self, CATALOGUE, Scenario};

/// List the scenarios that come with the program
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover list"))]
pub struct ListArgs {}

/// Print a scenario that comes with the program as the file it is: what happens, why, and what is expected
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("simulate-failover show"))]
pub struct ShowArgs {
    /// Name or id, as list gives them
    #[arg(value_name = "NAME")]
    name: String,
}

const COLUMNS: &[Column] =
    &[Column::left("ID", 3), Column::left("NAME", 28), Column::right("VARIANTS", 8), Column::left("TITLE", 0)];

/// Lists them.
pub fn list(_: &ListArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[OutputFormat::Table, OutputFormat::Json, OutputFormat::Tsv])?;
    let scenarios = scenario::all()?;
    if global.output() == Some(OutputFormat::Json) {
        scenarios.iter().for_each(|scenario| row(scenario, ui));
        return Ok(Outcome::Done);
    }
    let style = if global.output() == Some(OutputFormat::Tsv) { ListingStyle::Tsv } else { ui.table_style() };
    let mut listing = Listing::new(COLUMNS, style);
    let out = ui.out().buffer();
    listing.header(out);
    for scenario in &scenarios {
        listing.text(scenario.id.as_deref().unwrap_or_default().as_bytes(), out);
        listing.text(scenario.name.as_bytes(), out);
        listing.number(scenario.variants.len(), out);
        listing.text(scenario.title.as_bytes(), out);
        listing.end_row(out);
    }
    Ok(Outcome::Done)
}

fn row(scenario: &Scenario, ui: &mut Ui) {
    let variants: Vec<serde_json::Value> = scenario
        .variants
        .iter()
        .map(|variant| serde_json::json!({"name": variant.name, "era": variant.rules.era.name()}))
        .collect();
    JsonRow::new("scenario")
        .some("id", scenario.id.clone())
        .field("name", scenario.name.clone())
        .field("title", scenario.title.clone())
        .field("about", scenario.about.clone())
        .field("variants", variants)
        .write(ui.out().buffer());
}

/// Prints one.
pub fn show(args: &ShowArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    super::only(global, &[])?;
    let wanted = source::read(&args.name)?;
    let is_it = |text: &&&str| Scenario::parse(text).is_ok_and(|scenario| scenario == wanted);
    match CATALOGUE.iter().find(is_it) {
        Some(text) => ui.out().buffer().extend_from_slice(text.as_bytes()),
        None => return Err(Problem::usage("show prints scenarios of the catalogue; this is a file already").into()),
    }
    Ok(Outcome::Done)
}
