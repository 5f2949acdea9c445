//! `logdir dump-segment`: what is selected, refused and said.

use super::support::{copied, fixture, logdir, measured, run, run_in, state_of};

fn data() -> String {
    fixture("transactions/data").display().to_string()
}

/// Offsets of the rows that `--json --records` gives.
fn offsets(args: &[&str]) -> (i32, Vec<i64>, String) {
    let (code, stdout, stderr) = run(&[&["dump-segment", "--json", "--records"], args].concat());
    let rows = stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let offsets = rows.filter(|row| row["type"] == "record").map(|row| row["offset"].as_i64().unwrap());
    (code, offsets.collect(), stderr)
}

#[test]
fn ranges_choose_records_of_files_directories_and_patterns() {
    let dir = format!("{}/txn-b-0", data());
    let log = format!("{dir}/00000000000000000134.log");
    let pattern = format!("{dir}/*.log");
    let all: Vec<i64> = (0..159).collect();
    let cases: &[(&[&str], &[i64])] = &[
        (&[&dir], &all),
        (&[&pattern], &all),
        (&[&dir, "-o", "126:131"], &all[126..131]),
        (&[&pattern, "-o", "126:131"], &all[126..131]),
        (&[&dir, "-o", "-3"], &all[156..]),
        (&[&log, "-o", "-3"], &all[156..]),
        (&[&log, "-o", "+23"], &all[157..]),
        (&[&dir, "-o", "+157"], &all[157..]),
        (&[&dir, "-o", "-3:-1"], &all[156..158]),
        (&[&dir, "-o", "end"], &[]),
        (&[&dir, "-o", ":3"], &all[..3]),
        (&[&dir, "-o", "1=:3", "-o", "7:9"], &all[7..9]),
        (&[&dir, "-o", "0=:3", "-o", "7:9"], &all[..3]),
        (&[&dir, "-o", "130:", "-c", "2"], &all[130..132]),
        (&[&pattern, "-c", "4"], &all[..4]),
    ];
    for (args, expected) in cases {
        let (code, found, stderr) = offsets(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert_eq!(&found, expected, "{args:?}");
    }
    // Each partition of a log directory has its own end.
    let (code, found, _) = offsets(&[&data(), "-o", "-1", "-o", "1,2=end"]);
    assert_eq!(code, 0);
    for last in [238, 126, 158] {
        assert!(found.contains(&last), "{last} in {found:?}");
    }
}

#[test]
fn a_range_leaves_out_files_that_hold_nothing_of_it() {
    let dir = format!("{}/txn-b-0", data());
    let (code, stdout, _) = run(&["dump-segment", &dir, "-o", "135:137"]);
    assert_eq!(code, 0);
    let named: Vec<_> = stdout.lines().filter(|line| line.contains("txn-b-0")).collect();
    assert!(named.len() <= 1 && !stdout.contains("index"), "{stdout}");
    assert_eq!(stdout.lines().filter(|line| line.ends_with(" ok")).count(), 2, "{stdout}");
}

#[test]
fn what_has_no_effect_is_refused() {
    let dir = format!("{}/txn-b-0", data());
    for args in [
        &["--output", "kafka", "-o", "5:10"][..],
        &["--output", "kafka", "-c", "1"],
        &["--output", "kafka", "--records"],
        &["--output", "kafka", "--hex"],
        &["--output", "kafka", "--summary"],
        &["--output", "kafka", "--control"],
        &["--hex", "--json"],
        &["--output", "tsv"],
        &["-o", "stored"],
        &["-d", "x"],
        &["--hex", "--records"],
    ] {
        let (code, stdout, stderr) = run(&[&["dump-segment", &dir], args].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") || stderr.contains("\"code\":\"usage\""), "{args:?}: {stderr}");
    }
}

#[test]
fn missing_and_unknown_files_end_with_3_and_the_others_are_dumped() {
    let log = format!("{}/txn-b-0/00000000000000000134.log", data());
    let readme = format!("{}/../truth/offsets.json", data());
    for (bad, word) in
        [("/nonexistent", "No such file"), (&readme, "not the name of a file of Kafka's"), ("/x*", "no file matches")]
    {
        for form in [&["--records"][..], &["--summary"], &["--hex"], &["--json"], &[]] {
            let (code, stdout, stderr) = run(&[&["dump-segment", bad, &log], form].concat());
            assert_eq!(code, 3, "{bad} {form:?}");
            assert!(stderr.contains(word), "{bad} {form:?}: {stderr}");
            assert!(!stdout.is_empty(), "{bad} {form:?}: the other file is dumped");
            let (code, stdout, _) = run(&[&["dump-segment", bad, &log, "--fail-fast"], form].concat());
            assert_eq!(code, 3);
            assert!(!stdout.contains("134"), "{bad} {form:?} --fail-fast: {stdout}");
        }
    }
    let (code, stdout, stderr) = run(&["dump-segment", "/nonexistent", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((code, stdout.as_str(), &line["code"]), (3, "", &"not_found".into()));
}

#[test]
fn log_dirs_come_from_options_and_paths_are_taken_as_they_are() {
    let dir = fixture("transactions/data");
    let count = |args: &[&str]| {
        let (code, stdout, stderr) = run_in(&dir, &[&["dump-segment", "--summary", "--json"], args].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        let total: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        total["batches"].as_u64().unwrap()
    };
    let all = count(&["."]);
    assert!(all > 500);
    assert_eq!(count(&["-d", "."]), all);
    assert_eq!(count(&["-d", dir.to_str().unwrap()]), all);
    let part = count(&["txn-b-0"]);
    assert_eq!((count(&["./txn-b-0/"]), count(&["txn-b-1/../txn-b-0"]), count(&["txn-b-0/*.log"])), (part, part, part));
    assert_eq!(count(&["--files", "txn-b-0/00000000000000000134.log,txn-b-0/00000000000000000134.index"]), 18);
}

#[test]
fn files_set_aside_are_dumped_when_named_and_do_not_hide_the_end() {
    let (_temp, dir) = copied("transactions/data/txn-b-0");
    let last = dir.join("00000000000000000134.log");
    std::fs::copy(&last, dir.join("00000000000000000200.log.deleted")).unwrap();
    let mut torn = std::fs::read(&last).unwrap();
    torn.truncate(torn.len() - 5);
    std::fs::write(&last, torn).unwrap();
    let (code, _, stderr) = run(&["dump-segment", dir.to_str().unwrap(), "--summary"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("warning: ") && stderr.contains("torn write"), "{stderr}");
    let deleted = dir.join("00000000000000000200.log.deleted");
    let (code, stdout, _) = run(&["dump-segment", deleted.to_str().unwrap(), "--json"]);
    assert_eq!((code, stdout.lines().filter(|line| line.contains("\"type\":\"batch\"")).count()), (1, 18));
}

#[test]
fn nothing_is_written_by_reading() {
    let (_temp, dir) = copied("transactions/data");
    let before = state_of(&dir);
    let path = dir.to_str().unwrap();
    for form in [
        &["--summary"][..],
        &["--records", "--json"],
        &["--hex", "-c", "3"],
        &["--output", "kafka", "--print-data-log"],
        &["--output", "kafka", "--verify-index-only"],
        &["--output", "kafka", "--index-sanity-check"],
        &["-o", "-5"],
    ] {
        let (code, _, stderr) = run(&[&["dump-segment", path], form].concat());
        assert_eq!(code, 0, "{form:?}: {stderr}");
    }
    assert!(state_of(&dir) == before, "a file or its time has changed");
}

#[test]
fn damage_ends_with_1_in_every_form_and_costs_little() {
    for entry in std::fs::read_dir(fixture("damaged/data")).unwrap().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        let mut codes = Vec::new();
        for form in [&[][..], &["--records"], &["--json"], &["--records", "--json"], &["--summary"]] {
            let ran = measured(&[&["dump-segment", path.to_str().unwrap()], form].concat(), false);
            assert!(ran.took.as_secs() < 5 && ran.peak_kib < 200 << 10, "{name} {form:?}");
            assert!(ran.code <= 1, "{name} {form:?}: {}", ran.stderr);
            codes.push(ran.code);
        }
        // Rows of batches do not look into payloads, a summary looks at logs only; the form makes no difference.
        assert_eq!((codes[0], codes[1]), (codes[2], codes[3]), "{name}: {codes:?}");
        assert!(codes[1] >= codes[0] && codes[1] >= codes[4], "{name}: {codes:?}");
        if super::consume::DAMAGED.iter().any(|damaged| name == format!("v-{damaged}-0"))
            && !["duplicate-segment", "overlapping-segment"].iter().any(|kind| name.contains(kind))
        {
            assert_eq!(codes[1], 1, "{name}");
        }
    }
}

#[test]
fn the_environment_names_the_output() {
    let log = format!("{}/txn-b-0/00000000000000000134.log", data());
    let output = logdir(&["dump-segment", &log, "-c", "1"]).env("LOGDIR_OUTPUT", "json").output().unwrap();
    assert!(output.stdout.starts_with(b"{\"type\":\"batch\""));
}

fn rows(args: &[&str]) -> Vec<serde_json::Value> {
    let (code, stdout, stderr) = run(args);
    assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn records_of_internal_topics_are_shown_field_by_field() {
    let dir = format!("{}/__transaction_state-0", data());
    let by_name = rows(&["dump-segment", "--json", "--decode", &dir]);
    let records: Vec<_> = by_name.iter().filter(|row| row["type"] == "record").collect();
    assert!(records.len() > 3);
    for row in &records {
        assert_eq!(row["decoded"]["type"], "TransactionLog", "{row}");
        assert!(row["decoded"]["key"]["transactionalId"].is_string(), "{row}");
        assert!(row["key_base64"].is_string() || row["key"].is_string(), "the bytes stay: {row}");
    }
    let said = rows(&["dump-segment", "--json", "--decode=transaction-log", &dir]);
    assert_eq!(by_name, said);
    // A topic that is not internal is as it was.
    let plain = rows(&["dump-segment", "--json", "--decode", &format!("{}/txn-b-0", data())]);
    assert!(plain.iter().all(|row| row["decoded"].is_null()));
    // What cannot be read that way is said of each record, and is no damage.
    let wrong = rows(&["dump-segment", "--json", "--decode=offsets", &format!("{}/txn-b-0", data())]);
    let wrong: Vec<_> = wrong.iter().filter(|row| row["type"] == "record" && row["control"] == false).collect();
    assert!(!wrong.is_empty());
    assert!(wrong.iter().all(|row| row["decoded"]["error"].is_string() || row["decoded"]["type_id"].is_i64()));
}

#[test]
fn the_decoder_options_of_kafkas_tool_print_its_text() {
    let log = format!("{}/__cluster_metadata-0/00000000000000000000.log", data());
    let (code, stdout, _) = run(&["dump-segment", "--output", "kafka", "--cluster-metadata-decoder", "--files", &log]);
    assert_eq!(code, 0);
    assert!(stdout.contains(" payload: {\"type\":\"TOPIC_RECORD\",\"version\":0,\"data\":{\"name\":"), "{stdout}");
    let (_, same, _) = run(&["dump-segment", "--output", "kafka", "--decode", &log]);
    assert_eq!(stdout, same);
    let (_, table, _) = run(&["dump-segment", "--decode", &log]);
    assert!(table.contains("TopicRecord   {\"name\":"), "{table}");
}
