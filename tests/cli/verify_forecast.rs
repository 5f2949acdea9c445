//! `logdir verify --forecast` as a person or a script sees it.

use std::fs;

use serde_json::Value;

use crate::support::{copied, run, state_of};

const MARKER: &str = ".kafka_cleanshutdown";

fn rows(stdout: &str) -> Vec<Value> {
    assert!(stdout.lines().all(|line| line.starts_with("{\"type\":\"")), "{stdout}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_sound_directory_starts_and_nothing_is_written() {
    let (_temp, data) = copied("transactions/data");
    fs::write(data.join(MARKER), "").unwrap();
    let before = state_of(&data);
    let dir = data.to_str().unwrap();
    let (code, stdout, stderr) = run(&["verify", "--forecast", "-d", dir]);
    assert_eq!((code, stdout.lines().next().unwrap().split_whitespace().next()), (0, Some("PARTITION")), "{stderr}");
    assert!(stderr.contains("the broker starts: "), "{stderr}");
    let row = stdout.lines().find(|line| line.starts_with("txn-a-0 ")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("load"), "{row}");
    let (code, stdout, _) = run(&["verify", "--forecast", "--json", "--assume", "unclean", dir]);
    assert_eq!(code, 0);
    let rows = rows(&stdout);
    assert_eq!(rows[0]["type"], "forecast_dir");
    assert_eq!((&rows[0]["state"], &rows[0]["clean"]), (&Value::from("online"), &Value::from(false)));
    let partition = rows.iter().find(|row| row["topic"] == "txn-a" && row["partition"] == 0).unwrap();
    assert_eq!(partition["action"], "recover");
    let summary = rows.last().unwrap();
    assert_eq!((&summary["type"], &summary["starts"]), (&Value::from("summary"), &Value::from(true)));
    assert_eq!(state_of(&data), before);
}

#[test]
fn refusals_name_the_file_and_what_to_do() {
    let (_temp, data) = copied("transactions/data");
    fs::create_dir(data.join("foo")).unwrap();
    let dir = data.to_str().unwrap();
    let (code, _, stderr) = run(&["verify", "--forecast", "-d", dir]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("foo: the broker refuses to start: Found directory"), "{stderr}");
    assert!(stderr.contains("hint: move"), "{stderr}");
    let (code, stdout, stderr) = run(&["verify", "--forecast", "-d", dir, "--json"]);
    assert_eq!((code, &rows(&stdout).last().unwrap()["starts"]), (1, &Value::from(false)));
    assert!(stderr.contains(r#""code":"no_start""#), "{stderr}");
}

/// Of a snapshot too: `ProducerStateManager` makes numbers of the names of all of them.
#[test]
fn a_file_whose_name_should_be_a_number_stops_the_broker() {
    for name in ["before.snapshot", "copy of 000.log", "x.timeindex", "old.log.cleaned", "old.snapshot.swap"] {
        let (_temp, data) = copied("transactions/data");
        fs::write(data.join("txn-a-0").join(name), "").unwrap();
        let (code, stdout, stderr) = run(&["verify", "--forecast", "-d", data.to_str().unwrap(), "--json"]);
        let rows = rows(&stdout);
        let summary = rows.last().unwrap();
        assert_eq!((code, &summary["starts"]), (1, &Value::from(false)), "{name}: {stderr}");
        let said = summary["refusals"].to_string();
        let digits = name.split('.').next().unwrap();
        assert!(said.contains("NumberFormatException") && said.contains(digits), "{name}: {said}");
    }
}

#[test]
fn what_would_be_lost_is_a_finding() {
    let (_temp, data) = copied("transactions/data");
    let dir = data.to_str().unwrap();
    let log = data.join("txn-a-0/00000000000000000000.log");
    let len = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(len - 1).unwrap();
    for name in [MARKER, "recovery-point-offset-checkpoint"] {
        let _ = fs::remove_file(data.join(name));
    }
    let (code, stdout, stderr) = run(&["verify", "--forecast", "-v", "-d", dir]);
    assert_eq!(code, 1, "{stderr}");
    let row = stdout.lines().find(|line| line.starts_with("txn-a-0 ")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("truncate"), "{row}");
    assert!(stderr.contains("txn-a-0: cut 00000000000000000000.log to "), "{stderr}");
    assert!(stderr.contains("lose data"), "{stderr}");
}

#[test]
fn what_is_no_log_directory_is_said() {
    let (_temp, data) = copied("transactions/data");
    let partition = data.join("txn-a-0");
    let (code, _, stderr) = run(&["verify", "--forecast", partition.to_str().unwrap()]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("hint: name the log directory around it"), "{stderr}");
    let (code, _, stderr) = run(&["verify", "--forecast", "no-such-directory"]);
    assert_eq!(code, 3, "{stderr}");
    let (code, _, stderr) = run(&["verify", "--forecast", "-t", "txn-a", data.to_str().unwrap()]);
    assert_eq!(code, 2, "{stderr}");
    let (code, _, stderr) = run(&["verify", "--assume", "clean", data.to_str().unwrap()]);
    assert_eq!(code, 2, "{stderr}");
}
