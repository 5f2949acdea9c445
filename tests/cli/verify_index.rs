//! `logdir verify-index`: three results, and a rebuild that changes nothing unasked.

use serde_json::Value;

use super::support::{copied, fixture, run, state_of};

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_index_has_its_result_and_only_bad_ones_end_with_1() {
    let damaged = fixture("damaged/data").display().to_string();
    let partition = format!("{damaged}/v-index-position-beyond-end-0");
    let (code, stdout, stderr) = run(&["verify-index", &partition]);
    assert_eq!(code, 1);
    let corrupt = format!(
        "{partition}/00000000000000000028.index        10  corrupt     entry 9: position 10000000 is behind the last batch, the log is 5759 bytes long"
    );
    assert!(stdout.contains(&corrupt), "{stdout}");
    assert_eq!(stderr, "10 indexes: 9 exact, 0 equivalent, 1 corrupt, 0 missing\n");

    let (code, stdout, stderr) = run(&["verify-index", &format!("{damaged}/v-control-untouched-0"), "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let rows = rows(&stdout);
    assert!(rows.iter().filter(|row| row["type"] == "index").all(|row| row["result"] == "exact"), "{stdout}");
    assert_eq!(rows.last().unwrap()["corrupt"], 0);
    // An index stands for its segment.
    let one = format!("{partition}/00000000000000000028.index");
    let (code, stdout, _) = run(&["verify-index", &one, "--no-header"]);
    assert_eq!((code, stdout.lines().count()), (1, 2), "{stdout}");
}

#[test]
fn a_rebuild_says_what_it_would_do_and_does_it_when_told() {
    let (_temp, dir) = copied("codecs/data");
    let partition = dir.join("c-none-0");
    let sound = state_of(&dir);
    let index = partition.join("00000000000000000000.index");
    let bytes = std::fs::read(&index).unwrap();
    std::fs::remove_file(&index).unwrap();
    std::fs::write(partition.join("00000000000000000070.timeindex"), [0x7f; 24]).unwrap();
    let before = state_of(&dir);
    let name = partition.display().to_string();
    let interval = ["--rebuild", "--index-interval-bytes", "1024"];

    let (code, stdout, stderr) = run(&[&["verify-index", &name][..], &interval].concat());
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stdout.contains("00000000000000000000.index  create"), "{stdout}");
    assert!(stdout.contains("00000000000000000070.timeindex  rebuild"), "{stdout}");
    assert!(stderr.contains("nothing written; run again with --execute"), "{stderr}");
    assert_eq!(state_of(&dir), before);

    let (code, stdout, stderr) = run(&[&["verify-index", &name, "--execute"][..], &interval].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(std::fs::read(&index).unwrap(), bytes);
    let contents = |state: &std::collections::BTreeMap<std::path::PathBuf, (Vec<u8>, std::time::SystemTime)>| {
        state.iter().map(|(path, (bytes, _))| (path.clone(), bytes.clone())).collect::<Vec<_>>()
    };
    let mut after = state_of(&dir);
    after.remove(&dir.join(".lock"));
    assert_eq!(contents(&after), contents(&sound));
    let (code, _, stderr) = run(&["verify-index", &name]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn nothing_is_rebuilt_under_a_broker_or_on_damage() {
    let (_temp, dir) = copied("damaged/data");
    let partition = dir.join("v-bitflip-body-mid-0");
    let index = partition.join("00000000000000000033.index");
    std::fs::remove_file(&index).unwrap();
    let name = partition.display().to_string();
    let lock = logdir::storage::lock::DirLock::exclusive(&dir).unwrap();
    let (code, _, stderr) = run(&["verify-index", &name, "--rebuild", "--execute"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(!index.exists());
    drop(lock);
    let (code, _, stderr) = run(&["verify-index", &name, "--rebuild", "--execute"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("the log is damaged"), "{stderr}");
    assert!(!index.exists());
}
