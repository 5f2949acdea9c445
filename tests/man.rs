//! The pages in `man/` are those the command would write.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn pages(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn man_pages_are_up_to_date() {
    let fresh = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(["man", "-q"]).arg(fresh.path()).assert().success();
    let (fresh, stored) = (pages(fresh.path()), pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("man")));
    let differing: Vec<&String> =
        fresh.keys().chain(stored.keys()).filter(|name| fresh.get(*name) != stored.get(*name)).collect();
    assert!(
        differing.is_empty(),
        "stale: {differing:?}; regenerate with: cargo run -- man man/ (and remove pages of commands that are gone)"
    );
}
