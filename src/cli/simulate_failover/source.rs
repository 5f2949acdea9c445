//! Scenarios by file or by name.

use std::path::Path;

use crate::cli::ui::Problem;
use crate::replication::event::nearest;
use crate::replication::scenario::{self, Scenario, ScenarioError};

/// Most bytes of a scenario file.
const BYTES_MAX: u64 = 16 << 20;

/// The scenario of this name in the catalogue, or in the file of this path (`-`: stdin).
pub fn read(source: &str) -> anyhow::Result<Scenario> {
    if let Some(found) = scenario::find(source)? {
        return Ok(found);
    }
    let path = Path::new(source);
    if source != "-" && !path.exists() {
        let all = scenario::all()?;
        let near = nearest(source, all.iter().map(|scenario| scenario.name.as_str()));
        let problem = Problem::new("not_found", format!("{source}: no file, and no scenario of this name"));
        let hint = near.map_or_else(
            || "names are listed by: logdir simulate-failover list".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        return Err(problem.hint(hint).into());
    }
    let text = text(path, source)?;
    let malformed = |error: ScenarioError| Problem::new("malformed", error.to_string()).path(path);
    Ok(Scenario::parse(&text).map_err(malformed)?)
}

fn text(path: &Path, source: &str) -> anyhow::Result<String> {
    use std::io::Read as _;
    let (mut text, mut reader): (String, Box<dyn std::io::Read>) = if source == "-" {
        (String::new(), Box::new(std::io::stdin()))
    } else {
        let file = std::fs::File::open(path).map_err(|error| anyhow::Error::new(error).context(source.to_owned()))?;
        (String::new(), Box::new(file))
    };
    let read = reader.by_ref().take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| anyhow::Error::new(error).context(source.to_owned()))?;
    if text.len() as u64 > BYTES_MAX {
        let problem = Problem::new("too_large", format!("more than {} MiB, which no scenario has", BYTES_MAX >> 20));
        return Err(problem.path(path).into());
    }
    Ok(text)
}
