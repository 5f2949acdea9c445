//! `logdir recover`: the plan, writing in place and elsewhere, refusals and exit codes.

use std::path::Path;

use logdir::storage::lock::DirLock;
use serde_json::Value;

use super::support::{copied, run, state_of};

const CUT: &str = "v-truncated-mid-segment-0";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Records of one partition, as many as can be read.
fn records(dir: &Path) -> usize {
    run(&["consume", text(dir), "--json", "--on-corrupt", "skip"]).1.lines().count()
}

#[test]
fn a_plan_names_every_file_and_writes_nothing() {
    let (_temp, data) = copied("damaged/data");
    let before = state_of(&data);
    let dir = data.join(CUT);
    let (code, out, said) = run(&["recover", text(&dir), "--mode", "salvage"]);
    let row = format!("{CUT}  00000000000000000030.log        truncate  5587 → 5203 bytes (9 batches stay)");
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        out.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["PARTITION", "FILE", "ACTION", "DETAIL"]
    );
    assert_eq!(out.lines().nth(1), Some(row.as_str()), "{out}");
    assert!(said.contains("offsets 58 to 59: a batch cut short"), "{said}");
    assert!(said.ends_with("nothing written; run again with --in-place --execute or --to DIR --execute\n"), "{said}");
    let (code, out, _) = run(&["recover", text(&dir), "--mode", "kafka", "--full", "--json"]);
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(code, 0);
    let cut = rows.iter().find(|row| row["action"] == "truncate").unwrap();
    assert_eq!((&cut["bytes_before"], &cut["bytes_after"]), (&5587.into(), &5203.into()));
    let lost: Vec<_> = rows.iter().filter(|row| row["type"] == "lost").collect();
    assert_eq!((lost.len(), &lost[0]["first_offset"]), (4, &58.into()));
    assert_eq!(rows.last().unwrap()["type"], "summary");
    assert_eq!(state_of(&data), before, "nothing is written, not even a lock file");
}

#[test]
fn in_place_keeps_the_original_until_commit() {
    let (_temp, data) = copied("damaged/data");
    let dir = data.join(CUT);
    let original = state_of(&dir);
    let salvage = ["recover", text(&dir), "--mode", "salvage", "--in-place", "--execute"];
    let (code, _, said) = run(&salvage);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(": recovered; the original is in "), "{said}");
    assert_eq!(records(&dir), 128);
    let kept = dir.join(".logdir-kept");
    let bytes = |state: std::collections::BTreeMap<std::path::PathBuf, (Vec<u8>, std::time::SystemTime)>,
                 root: &Path| {
        let files = state.into_iter().map(|(path, (bytes, _))| (path.strip_prefix(root).unwrap().to_owned(), bytes));
        files.collect::<Vec<_>>()
    };
    assert_eq!(bytes(state_of(&kept), &kept), bytes(original, &dir));
    let (code, out, said) = run(&salvage);
    assert_eq!((code, out.as_str(), said.as_str()), (0, "", "nothing to do\n"));
    // There is no second original.
    let log = dir.join("00000000000000000126.log");
    std::fs::write(&log, b"nothing of a batch").unwrap();
    let (code, _, said) = run(&salvage);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("holds the originals of an earlier run\nhint: look whether"), "{said}");
    assert_eq!(std::fs::read(&log).unwrap(), b"nothing of a batch");
    let (code, _, said) = run(&["recover", text(&dir), "--commit"]);
    assert_eq!((code, kept.is_dir()), (0, true), "{said}");
    let (code, _, said) = run(&["recover", text(&dir), "--commit", "--execute"]);
    assert_eq!((code, kept.is_dir()), (0, false), "{said}");
    let (code, _, said) = run(&[&salvage[..], &["--no-backup"]].concat());
    assert_eq!((code, kept.is_dir()), (0, false), "{said}");
}

#[test]
fn another_directory_gets_the_result_and_an_identity() {
    let (temp, data) = copied("damaged/data");
    let before = state_of(&data);
    let to = temp.path().join("new/dir");
    let args =
        ["recover", "-d", text(&data), "-t", "re:truncated-mid", "--mode", "salvage", "--to", text(&to), "--execute"];
    let (code, _, said) = run(&args);
    assert_eq!(code, 0, "{said}");
    assert_eq!(records(&to.join(CUT)), 128);
    let after: Vec<_> = state_of(&data).into_iter().filter(|(path, _)| !path.ends_with(".lock")).collect();
    assert_eq!(after, before.into_iter().collect::<Vec<_>>(), "the source is as it was");
    let checkpoint = std::fs::read_to_string(to.join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\nv-truncated-mid-segment 0 130\n");
    assert!(to.join(".kafka_cleanshutdown").is_file(), "a broker has nothing to recover");
    let (code, _, said) = run(&args);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("is there already\nhint: name another directory with --to"), "{said}");
}

#[test]
fn small_files_are_written_anew_from_what_is_known() {
    let (_temp, data) = copied("damaged/data");
    let checkpoint = data.join("recovery-point-offset-checkpoint");
    std::fs::write(&checkpoint, "0\n7\nv-truncated-mid-segment 0 12\ngarbage\n").unwrap();
    let metadata = data.join(CUT).join("partition.metadata");
    std::fs::write(&metadata, "half of").unwrap();
    let recover = |more: &[&str]| {
        run(&[&["recover", "-d", text(&data), "--mode", "salvage", "-t", "re:truncated-mid"], more].concat())
    };
    let (code, out, said) = recover(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("recovery-point-offset-checkpoint  write"), "{out}");
    assert!(said.contains("the topic's id is not known"), "{said}");
    let id = "Rxb6TNYpQwKP9QAa-GboDQ";
    let (code, _, said) = recover(&["--topic-id", id, "--in-place", "--execute"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(std::fs::read_to_string(&metadata).unwrap(), format!("version: 0\ntopic_id: {id}"));
    assert_eq!(std::fs::read_to_string(&checkpoint).unwrap(), "0\n1\nv-truncated-mid-segment 0 130\n");
}

#[test]
fn refusals_and_usage_say_what_to_do() {
    let (_temp, data) = copied("damaged/data");
    let dir = data.join(CUT);
    let lock = DirLock::exclusive(&data).unwrap();
    let (code, _, said) = run(&["recover", text(&dir), "--mode", "salvage", "--in-place", "--execute"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("\nhint: stop it first"), "{said}");
    let (code, _, said) = run(&["recover", text(&dir), "--mode", "salvage"]);
    assert_eq!(code, 0, "a plan is shown meanwhile: {said}");
    drop(lock);
    for (args, expected) in [
        (&["--execute"][..], "--execute needs to know where to write"),
        (&["--mode", "merge"], "--mode merge needs --from"),
        (&["--from", "x"], "--from and --to-offset are for --mode merge"),
        (&["--mode", "salvage", "--full"], "--unclean and --full are for --mode kafka"),
        (&["--topic-id", "Rxb6TNYpQwKP9QAa-GboDQ"], "--topic-id is for --mode salvage or merge"),
        (&["--topic-id", "short"], "expected 22 characters of base64"),
        (&["--in-place", "--to", "x"], "cannot be used with"),
        (&["--no-backup"], "--in-place"),
    ] {
        let (code, _, said) = run(&[&["recover", text(&dir)], args].concat());
        assert_eq!(code, 2, "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let (code, _, said) = run(&["recover", text(&dir), "--mode", "merge", "--from", text(&dir.join("none"))]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("v-truncated-mid-segment-0 not found in"), "{said}");
    let malformed = data.join("v-leader-epoch-malformed-0");
    let (code, _, said) = run(&["recover", text(&malformed)]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("hint: keep what is sound of it with: --mode salvage"), "{said}");
    let (code, out, said) = run(&["recover", text(&malformed), "--mode", "salvage"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("leader-epoch-checkpoint         write     1 epochs, from the batches"), "{out}");
}
