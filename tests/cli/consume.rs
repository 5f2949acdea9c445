//! `logdir consume`: what is selected, in which order, and what is said about damage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{copied, copy, fixture, logdir, measured, run, run_in, state_of};

/// Kinds of damage that `consume` answers with exit code 1; all others cost nothing, or are the end of a log.
pub const DAMAGED: [&str; 22] = [
    "batch-duplicated",
    "batches-swapped",
    "bitflip-attr-mid",
    "bitflip-body-last",
    "bitflip-body-mid",
    "bitflip-crc-last",
    "codec-7",
    "codec-mismatch",
    "count-lie",
    "count-low",
    "duplicate-segment",
    "garbage-appended",
    "leader-epoch-jump",
    "length-huge-last",
    "length-negative-mid",
    "length-plus7-last",
    "length-zero-last",
    "magic-9-last",
    "overlapping-segment",
    "record-length-lie",
    "segment-renamed",
    "truncated-mid-segment",
];

const WHERE: &str = "%t %p %o\n";

fn data(name: &str) -> String {
    fixture(name).join("data").display().to_string()
}

/// `topic partition offset` of what is printed.
fn places(args: &[&str]) -> (i32, Vec<String>, String) {
    let (code, stdout, stderr) = run(&[&["consume", "-f", WHERE], args].concat());
    (code, stdout.lines().map(str::to_owned).collect(), stderr)
}

fn partitions_of(lines: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in lines {
        let name = line.rsplit_once(' ').unwrap().0.replace(' ', "-");
        if found.last() != Some(&name) {
            found.push(name);
        }
    }
    found
}

#[test]
fn topics_and_partitions_are_chosen_by_name_list_pattern_and_path() {
    let dir = data("transactions");
    let in_dir = |name: &str| format!("{dir}/{name}");
    let (a, b1) = (in_dir("txn-a-0"), in_dir("txn-b-1"));
    let log = in_dir("txn-b-0/00000000000000000134.log");
    let cases: &[(&[&str], &[&str])] = &[
        (&["-d", &dir, "-t", "idem"], &["idem-0", "idem-1"]),
        (&["-d", &dir, "-t", "mixed,idem"], &["idem-0", "idem-1", "mixed-0"]),
        (&["-d", &dir, "-t", "mixed", "-t", "idem", "-p", "0"], &["idem-0", "mixed-0"]),
        (&["-d", &dir, "-t", "re:^txn-[ab]$", "-p", "1-2"], &["txn-a-1", "txn-a-2", "txn-b-1"]),
        (&["-d", &dir, "-p", "2"], &["txn-a-2"]),
        (&["-d", &dir], &["idem-0", "idem-1", "mixed-0", "txn-a-0", "txn-a-1", "txn-a-2", "txn-b-0", "txn-b-1"]),
        (&[&dir, "-t", "idem"], &["idem-0", "idem-1"]),
        (&[&b1, &a], &["txn-b-1", "txn-a-0"]),
        (&[&b1, &a, "-p", "0"], &["txn-a-0"]),
        (&[&b1, &a, "-t", "txn-b"], &["txn-b-1"]),
        (&[&log], &["txn-b-0"]),
    ];
    for (args, expected) in cases {
        let (code, lines, stderr) = places(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert_eq!(partitions_of(&lines), *expected, "{args:?}");
    }
}

#[test]
fn paths_are_taken_as_they_are_spelled() {
    let dir = fixture("transactions/data");
    let part = dir.join("txn-b-0");
    let cases: &[(&Path, &[&str], &str)] = &[
        (&part, &["."], "txn-b 0 0"),
        (&part, &["../txn-b-1/."], "txn-b 1 0"),
        (&part, &["../txn-b-1/"], "txn-b 1 0"),
        (&part, &["00000000000000000068.log"], "txn-b 0 69"),
        (&part, &["..", "-t", "mixed"], "mixed 0 0"),
        (&dir, &[], "idem 0 0"),
        (&dir, &["-t", "mixed"], "mixed 0 0"),
        (&dir, &["./txn-b-1"], "txn-b 1 0"),
    ];
    for (current, args, expected) in cases {
        let (code, stdout, stderr) = run_in(current, &[&["consume", "-c", "1", "-f", WHERE], *args].concat());
        assert_eq!((code, stdout.trim(), stderr.as_str()), (0, *expected, ""), "{args:?} in {}", current.display());
    }
}

#[test]
fn directories_and_files_set_aside_are_read_when_named() {
    let (_temp, dir) = copied("transactions/data");
    let log = dir.join("mixed-0/00000000000000000000.log");
    let deleted = dir.join("mixed-0/00000000000000000000.log.deleted");
    std::fs::copy(&log, &deleted).unwrap();
    for suffix in ["stray", "future", "delete"] {
        let aside = dir.join(format!("mixed-7.0123456789abcdef0123456789abcdef-{suffix}"));
        copy(&dir.join("mixed-0"), &aside);
        let (code, lines, stderr) = places(&[aside.to_str().unwrap()]);
        assert_eq!((code, lines.len(), stderr.as_str()), (0, 9, ""), "{suffix}");
        assert_eq!(lines[0], "mixed 7 0");
    }
    assert_eq!(places(&[deleted.to_str().unwrap()]).1.len(), 9);
    let (code, lines, _) = places(&["-d", dir.to_str().unwrap(), "-t", "mixed"]);
    assert_eq!((code, partitions_of(&lines)), (0, vec!["mixed-0".to_owned()]), "a log directory gives those in use");
}

#[test]
fn several_log_dirs_are_one_broker() {
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (temp.path().join("d1"), temp.path().join("d2"));
    for (to, parts) in [(&one, &["idem-1", "txn-b-0"][..]), (&two, &["idem-0", "txn-b-0"])] {
        for part in parts {
            copy(&fixture("transactions/data").join(part), &to.join(part));
        }
    }
    let both = format!("{},{}", one.display(), two.display());
    let expected = ["idem-0", "idem-1", "txn-b-0"];
    let properties = temp.path().join("server.properties");
    std::fs::write(&properties, format!("node.id=1\nlog.dirs={},\\\n  {}\n", one.display(), two.display())).unwrap();
    let forms: &[&[&str]] = &[
        &["-d", &both],
        &["-d", one.to_str().unwrap(), "-d", two.to_str().unwrap()],
        &["-F", properties.to_str().unwrap()],
    ];
    for args in forms {
        let (code, lines, stderr) = places(args);
        assert_eq!((code, partitions_of(&lines)), (0, expected.map(str::to_owned).to_vec()), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("txn-b-0 is also in") && stderr.contains("only this one is read"), "{stderr}");
    }
    let output = logdir(&["consume", "-f", WHERE]).env("LOGDIR_DIR", &both).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"idem 0 0\n"));
}

#[test]
fn every_form_of_a_range() {
    let dir = data("transactions");
    let cases: &[(&[&str], (i64, i64))] = &[
        (&["start"], (0, 238)),
        (&["beginning"], (0, 238)),
        (&["earliest"], (0, 238)),
        (&["5"], (5, 238)),
        (&["5:"], (5, 238)),
        (&["5:10"], (5, 9)),
        (&[":3"], (0, 2)),
        (&["5:+2"], (5, 6)),
        (&["-4"], (235, 238)),
        (&["-4:-1"], (235, 237)),
        (&["+230"], (230, 238)),
        (&["230:end"], (230, 238)),
        (&["1=3:5", "200:202"], (200, 201)),
        (&["0=3:5", "200:202"], (3, 4)),
        (&["0,2-4=3:5"], (3, 4)),
        (&["@1700000000000"], (2, 238)),
        (&["@1700000000"], (2, 238)),
        (&["@2023-11-14"], (0, 238)),
        (&["@2023-11-14T22:13:20Z"], (2, 238)),
        (&["@-1000w"], (0, 238)),
        (&["s@1700000000000", "e@9999999999999"], (2, 238)),
    ];
    for (ranges, (first, last)) in cases {
        let mut args = vec!["-d", dir.as_str(), "-t", "idem", "-p", "0"];
        ranges.iter().for_each(|range| args.extend(["-o", range]));
        let (code, lines, stderr) = places(&args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{ranges:?}");
        let ends = [lines.first().unwrap(), lines.last().unwrap()].map(|line| line.clone());
        assert_eq!(ends, [format!("idem 0 {first}"), format!("idem 0 {last}")], "{ranges:?}");
    }
    for nothing in ["end", "latest", "@9999999999999", "@:1600000000000"] {
        assert_eq!(places(&["-d", &dir, "-t", "idem", "-o", nothing]), (0, vec![], String::new()), "{nothing}");
    }
}

#[test]
fn offsets_outside_the_log_are_clamped_with_one_warning() {
    let dir = data("transactions");
    let compacted = data("compacted");
    let cases: &[(&[&str], &str, usize)] = &[
        (
            &["-d", &dir, "-t", "idem", "-p", "0", "-o", "99999"],
            "offset 99999 is above the end, 239; nothing to read",
            0,
        ),
        (
            &["-d", &dir, "-t", "idem", "-p", "0", "-o", "230:99999"],
            "offset 99999 is above the end, 239; reading up",
            9,
        ),
        (
            &["-d", &dir, "-t", "idem", "-p", "0", "-o", "99999", "--isolation-level", "read_committed"],
            "above the end",
            0,
        ),
        (&["-d", &dir, "-t", "idem", "-p", "0", "-o", ":99999", "--until-hw"], "above the end", 239),
        (
            &["-d", &compacted, "-t", "delrec", "-p", "0", "-o", "3:160"],
            "offset 3 is below the log start offset 156",
            4,
        ),
    ];
    for (args, warning, count) in cases {
        let (code, lines, stderr) = places(args);
        assert_eq!((code, lines.len(), stderr.lines().count()), (0, *count, 1), "{args:?}: {stderr}");
        assert!(stderr.starts_with("warning: ") && stderr.contains(warning), "{args:?}: {stderr}");
    }
    let (_temp, dir) = copied("transactions/data");
    std::fs::create_dir(dir.join("empty-0")).unwrap();
    let (code, lines, _) = places(&["-d", dir.to_str().unwrap(), "-t", "empty"]);
    assert_eq!((code, lines.len()), (0, 0), "an empty partition is no error");
}

#[test]
fn a_count_is_over_all_partitions() {
    let dir = data("transactions");
    for (args, expected) in [
        (&["-t", "mixed,txn-a", "-c", "12"][..], &["mixed-0", "txn-a-0"][..]),
        (&["-t", "mixed", "--max-messages", "9"], &["mixed-0"]),
        (&["-t", "mixed,txn-a", "-o", "-4", "--num", "3"], &["mixed-0"]),
    ] {
        let (code, lines, _) = places(&[&["-d", &dir], args].concat());
        assert_eq!((code, partitions_of(&lines)[0].as_str()), (0, expected[0]), "{args:?}");
    }
    assert_eq!(places(&["-d", &dir, "-c", "0"]).1.len(), 0);
    assert_eq!(places(&["-d", &dir, "-c", "5"]).1.len(), 5);
    assert_eq!(places(&["-d", &dir, "--merge", "-c", "5"]).1.len(), 5);
}

#[test]
fn a_merge_is_by_timestamp_then_topic_partition_and_offset() {
    let dir = data("transactions");
    let (code, stdout, _) = run(&["consume", "-d", &dir, "--merge", "-f", "%T %t %p %o\n"]);
    assert_eq!(code, 0);
    let mut rows: Vec<(i64, String, i64, i64)> = Vec::new();
    for line in stdout.lines() {
        let mut parts = line.split(' ');
        let mut next = || parts.next().unwrap();
        rows.push((next().parse().unwrap(), next().into(), next().parse().unwrap(), next().parse().unwrap()));
    }
    assert_eq!(rows.len(), 977);
    // Fixture partitions are in order by themselves, so the whole is.
    let mut last: std::collections::BTreeMap<(String, i64), (i64, i64)> = Default::default();
    let mut ordered = true;
    for (time, topic, partition, offset) in &rows {
        let before = last.insert((topic.clone(), *partition), (*time, *offset));
        assert!(before.is_none_or(|(_, before)| before < *offset), "{topic}-{partition} at {offset}");
        ordered &= before.is_none_or(|(before, _)| before <= *time);
    }
    if ordered {
        assert!(rows.is_sorted(), "equal timestamps go by topic, partition and offset");
    }
    let alone: BTreeSet<_> = places(&["-d", &dir]).1.into_iter().collect();
    let merged: BTreeSet<_> = places(&["-d", &dir, "--merge"]).1.into_iter().collect();
    assert_eq!(alone, merged);
}

#[test]
fn aborted_transactions_are_left_out_whatever_became_of_the_files_beside_the_log() {
    let committed = |dir: &Path| {
        let (code, lines, stderr) =
            places(&["-d", dir.to_str().unwrap(), "-t", "re:^txn", "--isolation-level", "read_committed"]);
        assert_eq!(code, 0, "{stderr}");
        (lines, stderr)
    };
    let (expected, said) = committed(&fixture("transactions/data"));
    assert_eq!(said, "");
    let all = places(&["-d", &data("transactions"), "-t", "re:^txn"]).1;
    assert!(expected.len() > 100 && expected.len() < all.len());
    let damages = [(".txnindex", false), (".txnindex", true), (".snapshot", false), (".snapshot", true)];
    for (number, (suffix, garbage)) in damages.iter().enumerate() {
        let (_temp, dir) = copied("transactions/data");
        for path in state_of(&dir).into_keys().filter(|path| path.to_str().unwrap().ends_with(suffix)) {
            match garbage {
                true => std::fs::write(&path, [0x5a; 40]).unwrap(),
                false => std::fs::remove_file(&path).unwrap(),
            }
        }
        let (lines, said) = committed(&dir);
        assert_eq!(lines, expected, "{number}: {suffix}");
        assert_eq!(said.contains("scanned instead"), *garbage, "{number}: {said}");
    }
}

#[test]
fn markers_and_internal_topics_only_when_asked_for() {
    let dir = data("transactions");
    let plain = places(&["-d", &dir, "-t", "txn-b", "-p", "0"]).1;
    let marked = places(&["-d", &dir, "-t", "txn-b", "-p", "0", "--print-control-records"]).1;
    assert_eq!((plain.len(), marked.len()), (120, 159));
    let internal = format!("{dir}/__transaction_state-0");
    for args in [&["-d", &dir, "-t", "__transaction_state"][..], &[&internal]] {
        let (code, lines, stderr) = places(args);
        assert_eq!((code, lines.len()), (2, 0), "{args:?}");
        assert!(stderr.contains("is internal to Kafka") && stderr.contains("--include-internal"), "{stderr}");
        assert!(places(&[args, &["--include-internal"]].concat()).1.len() > 50, "{args:?}");
    }
    let (code, _, stderr) = places(&["-d", &dir, "-t", "re:^__"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("only internal topics match"), "{stderr}");
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    let dir = data("transactions");
    let part = format!("{dir}/txn-b-0");
    let index = format!("{part}/00000000000000000134.index");
    let truth = fixture("transactions/truth").display().to_string();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["-d", &dir, "-t", "idm"], 3, &["topic 'idm' not found", "did you mean 'idem'?"]),
        (&["-d", &dir, "-t", "payments"], 3, &["topic 'payments' not found", "there are: "]),
        (&["-d", &dir, "-t", "idem", "-p", "7"], 3, &["has that number", "there are: idem-0 idem-1"]),
        (&["-d", &dir, "-t", "re:^zz"], 3, &["no topic in", "there are: "]),
        (&[&part, "-t", "foo"], 3, &["topic 'foo' not found"]),
        (&["/nonexistent"], 3, &["/nonexistent: No such file"]),
        (&["-d", "/nonexistent", "-t", "x"], 3, &["/nonexistent: No such file"]),
        (&["-F", "/nonexistent"], 3, &["/nonexistent"]),
        (&[&index], 3, &["not a segment's .log file", "logdir dump-segment"]),
        (&[&truth], 3, &["neither a log directory nor a partition directory"]),
        (&[&part, "-d", &dir], 2, &["both say what to read"]),
        (&["-d", &dir, "-o", "stored"], 2, &["'stored' is a group's committed offset"]),
        (&["-d", &dir, "-o", "0=stored"], 2, &["'stored' is a group's committed offset"]),
        (&["-d", &dir, "--merge", "--follow"], 2, &["--merge needs the end"]),
        (&["-d", &dir, "--meta-only"], 2, &["--meta-only needs --json"]),
    ];
    for (args, code, words) in cases {
        let (found, lines, stderr) = match args.contains(&"--meta-only") {
            true => {
                let (code, out, err) = run(&[&["consume"], *args].concat());
                (code, out.lines().map(str::to_owned).collect(), err)
            }
            false => places(args),
        };
        assert_eq!((found, lines.len()), (*code, 0), "{args:?}: {stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{args:?}: {stderr}");
        let (found, _, stderr) = run(&[&["consume", "--json"], *args].concat());
        if !args.contains(&"--meta-only") {
            assert_eq!(found, *code, "{args:?} --json");
            let line: Value = serde_json::from_str(stderr.lines().next().unwrap()).unwrap();
            assert_eq!(line["type"], "error", "{args:?}");
        }
    }
    let (code, lines, stderr) = places(&["-d", &format!("{dir},/nonexistent"), "-t", "mixed"]);
    assert_eq!((code, lines.len()), (3, 9), "the other directory is read: {stderr}");
    assert_eq!(places(&["-d", &format!("/nonexistent,{dir}"), "--fail-fast"]).1.len(), 0);
}

#[test]
fn filters_look_at_keys_values_and_headers() {
    let dir = data("codecs");
    let rows = |args: &[&str]| {
        let (code, stdout, stderr) = run(&[&["consume", "-d", &dir, "-t", "c-none", "--json"], args].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = rows(&[]);
    let keyed =
        all.iter().find(|row| row["key"].as_str().is_some_and(|key| key.len() > 2 && !key.contains('\\'))).unwrap();
    let key = keyed["key"].as_str().unwrap();
    let count = |test: &dyn Fn(&Value) -> bool| all.iter().filter(|row| test(row)).count();
    let by_key = count(&|row| row["key"] == keyed["key"]);
    assert_eq!(rows(&["--key", key]).len(), by_key);
    assert_eq!(rows(&["--key", key, "--key", "no such key"]).len(), by_key);
    let prefix: String = key.chars().take(2).collect();
    assert_eq!(
        rows(&["--key-prefix", &prefix]).len(),
        count(&|row| row["key"].as_str().is_some_and(|key| key.starts_with(&prefix)))
    );
    let digits = rows(&["--value-re", "[0-9]{2}"]);
    assert!(!digits.is_empty() && digits.len() <= all.len());
    let headed = all.iter().find(|row| row["headers"].as_array().is_some_and(|headers| !headers.is_empty())).unwrap();
    let header = headed["headers"][0]["key"].as_str().unwrap();
    let with_header = |row: &Value| row["headers"].as_array().unwrap().iter().any(|found| found["key"] == header);
    assert_eq!(rows(&["--header", header]).len(), count(&with_header));
    assert_eq!(rows(&["--key", key, "-c", "1"]).len(), 1);
    assert_eq!(rows(&["--meta-only", "-c", "1"])[0].get("value"), None);
}

#[test]
fn every_format_is_the_records_in_another_dress() {
    let dir = data("transactions");
    let out = |args: &[&str]| {
        let (code, stdout, stderr) =
            run(&[&["consume", "-d", &dir, "-t", "txn-b", "-p", "0", "-o", "69:71"], args].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        stdout
    };
    let rows: Vec<Value> = out(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("NULL").to_owned();
    let (keys, values): (Vec<_>, Vec<_>) = rows.iter().map(|row| (text(row, "key"), text(row, "value"))).unzip();
    let [k0, k1] = [keys[0].as_str(), keys[1].as_str()];
    let [v0, v1] = [values[0].as_str(), values[1].as_str()];
    assert_eq!(rows.iter().map(|row| row["offset"].as_i64().unwrap()).collect::<Vec<_>>(), [69, 70]);
    assert_eq!(out(&["-Z"]), format!("{v0}\n{v1}\n"));
    assert_eq!(out(&["-Z", "-K", ":"]), format!("{k0}:{v0}\n{k1}:{v1}\n"));
    assert_eq!(out(&["-Z", "-K", ":", "-O", "-D", ";"]), format!("69:{k0}:{v0};70:{k1}:{v1};"));
    assert_eq!(out(&["-Z", "-u", "-O"]), format!("69\t{v0}\n70\t{v1}\n"));
    let console = ["--property", "print.key=true", "--property", "key.separator=|"];
    assert_eq!(out(&console).replace("null", "NULL"), format!("{k0}|{v0}\n{k1}|{v1}\n"));
    assert_eq!(out(&["--output", "kafka"]).replace("null", "NULL"), format!("{v0}\n{v1}\n"));
    let envelope: Value = serde_json::from_str(out(&["-J"]).lines().next().unwrap()).unwrap();
    assert_eq!(
        (&envelope["topic"], &envelope["offset"], &envelope["payload"]),
        (&"txn-b".into(), &69.into(), &rows[0]["value"])
    );
    for output in ["tsv", "table"] {
        assert_eq!(out(&["--output", output]).lines().count(), 3, "{output}");
        assert_eq!(out(&["--output", output, "--no-header"]).lines().count(), 2, "{output}");
        assert_eq!(out(&["--output", output]), out(&["--output", output, "--color", "never"]), "{output}");
    }
}

#[test]
fn what_is_said_follows_quiet_verbose_and_json() {
    let (_temp, dir) = copied("damaged/data/v-truncated-11-0");
    let path = dir.to_str().unwrap();
    let said = |args: &[&str]| {
        let (code, stdout, stderr) = run(&[&["consume", path, "-f", "%o\n"], args].concat());
        assert_eq!((code, stdout.lines().count()), (0, 129), "{args:?}");
        stderr
    };
    assert!(said(&[]).starts_with("warning: ") && said(&[]).contains("torn write"));
    assert_eq!(said(&["-qq"]), "");
    assert!(said(&["-v"]).contains("129 records"));
    assert!(said(&["--color", "always"]).contains("\u{1b}["));
    assert!(!said(&["--color", "never"]).contains('\u{1b}'));
    let (_, _, stderr) = run(&["consume", path, "--json"]);
    let line: Value = serde_json::from_str(stderr.trim_end()).unwrap();
    assert_eq!((&line["type"], &line["code"]), (&"warning".into(), &"torn_tail".into()));
}

#[test]
fn a_reader_that_went_away_ends_it_quickly() {
    let dir = data("codecs");
    for args in [&["consume", "-d", &dir][..], &["consume", "-d", &dir, "--merge", "--json"], &["dump-segment", &dir]] {
        let started = Instant::now();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_logdir"))
            .env_clear()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{args:?}");
    }
}

#[test]
fn nothing_is_written_by_reading() {
    let (_temp, dir) = copied("transactions/data");
    std::fs::remove_file(dir.join("txn-b-0/00000000000000000134.index")).unwrap();
    let before = state_of(&dir);
    let path = dir.to_str().unwrap();
    for form in [
        &["--include-internal"][..],
        &["--isolation-level", "read_committed", "--merge"],
        &["--until-hw", "-o", "-3"],
        &["-o", "@1700000030000"],
    ] {
        let (code, _, stderr) = run(&[&["consume", path], form].concat());
        assert_eq!(code, 0, "{form:?}: {stderr}");
    }
    assert!(state_of(&dir) == before, "a file or its time has changed");
}

#[test]
fn enough_records_do_not_hide_the_damage_in_front_of_them() {
    let dir = fixture("damaged/data/v-bitflip-body-mid-0");
    let args = ["--on-corrupt", "skip", "-c", "100"];
    let (code, lines, stderr) = places(&[&[dir.to_str().unwrap()], &args[..]].concat());
    assert_eq!((code, lines.len()), (1, 100), "{stderr}");
    let (code, lines, _) = places(&[dir.to_str().unwrap(), "-c", "20"]);
    assert_eq!((code, lines.len()), (0, 20), "damage behind them is not looked at");
}

#[test]
fn a_hint_leads_behind_the_damage() {
    let dir = fixture("damaged/data/v-bitflip-body-mid-0");
    let path = dir.to_str().unwrap();
    let (code, lines, stderr) = places(&[path]);
    assert_eq!((code, lines.len()), (1, 48));
    let hint = stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
    let next = hint.split(" -o ").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(next, "52:");
    let (code, lines, stderr) = places(&[path, "-o", next]);
    assert_eq!((code, lines.len()), (0, 78), "{stderr}");
    assert!(!stderr.contains("error: "), "{stderr}");
}

#[test]
fn a_log_under_a_wrong_name_is_not_passed_over() {
    let (_temp, dir) = copied("transactions/data/txn-b-0");
    let wrong = dir.join("00000000000000000999.log.deleted");
    std::fs::rename(dir.join("00000000000000000134.log"), &wrong).unwrap();
    let (code, lines, stderr) = places(&[wrong.to_str().unwrap()]);
    assert_eq!((code, lines.len()), (1, 0), "{stderr}");
    assert!(stderr.contains("out of order"), "{stderr}");
    let (code, lines, _) = places(&[wrong.to_str().unwrap(), "--on-corrupt", "skip"]);
    assert_eq!((code, lines.len()), (1, 17));
}

#[test]
fn bytes_between_batches_are_said_though_no_offset_is_lost() {
    let (_temp, dir) = copied("transactions/data/txn-b-0");
    let log = dir.join("00000000000000000134.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.splice(78..78, [0x5a; 33]);
    std::fs::write(&log, bytes).unwrap();
    let (code, lines, stderr) = places(&[dir.to_str().unwrap(), "--on-corrupt", "skip"]);
    assert_eq!((code, lines.len()), (1, 120), "{stderr}");
    assert!(stderr.contains("33 bytes are not readable"), "{stderr}");
}

#[test]
fn a_segment_that_is_away_is_said() {
    let (_temp, dir) = copied("transactions/data/txn-b-0");
    std::fs::remove_file(dir.join("00000000000000000068.log")).unwrap();
    let (code, _, stderr) = places(&[dir.to_str().unwrap()]);
    assert_eq!(code, 0, "a hole between segments is what compaction or retention leaves: {stderr}");
    assert!(
        stderr.contains("00000000000000000068.index") && stderr.contains("there is no log of this name"),
        "{stderr}"
    );
}

/// Records lost with each kind of damage; those of whole segments that are away are not counted.
fn lost(kind: &str) -> Option<usize> {
    Some(match kind {
        "bitflip-attr-mid" | "length-negative-mid" | "batch-removed" | "length-zero-last" => 3,
        "bitflip-body-last" | "bitflip-body-mid" | "bitflip-crc-last" | "length-huge-last" | "magic-9-last"
        | "truncated-header" | "empty-log-last" => 4,
        "length-plus7-last" | "truncated-mid-segment" => 2,
        "truncated-11" | "truncated-body" => 1,
        "zeroed-tail" => 6,
        "empty-log-mid"
        | "missing-log-first"
        | "missing-log-mid"
        | "segment-cleaned-suffix"
        | "segment-deleted-suffix"
        | "segment-swap-suffix" => return None,
        _ => 0,
    })
}

/// Reads every damaged partition of `dir` in both ways; the number of them.
fn damaged_partitions(dir: &Path) -> usize {
    let mut count = 0;
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(kind) = name.strip_prefix("v-").and_then(|name| name.strip_suffix("-0")) else { continue };
        let read = |action: &str, form: &[&str]| {
            let args = [&["consume", path.to_str().unwrap(), "--on-corrupt", action], form].concat();
            let ran = measured(&args, true);
            assert!(ran.took < Duration::from_secs(5), "{name}: {:?}", ran.took);
            assert!(ran.peak_kib < 200 << 10, "{name}: {} KiB", ran.peak_kib);
            let code = i32::from(DAMAGED.contains(&kind) || kind == "zstd-bomb");
            assert_eq!(ran.code, code, "{name} {action} {form:?}: {}", ran.stderr);
            assert_eq!(ran.stderr.contains("error: "), code == 1, "{name} {action} {form:?}: {}", ran.stderr);
            ran
        };
        let skip = read("skip", &["-f", "%o\n"]);
        read("skip", &["--merge", "-f", "%o\n"]);
        read("stop", &["-f", "%o\n"]);
        let offsets: Vec<i64> =
            String::from_utf8(skip.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        let found: BTreeSet<i64> = offsets.iter().copied().collect();
        assert_eq!(found.len(), offsets.len(), "{name}: no record twice");
        if let Some(lost) = lost(kind) {
            let sound = (0..130).filter(|offset| found.contains(offset)).count();
            assert_eq!(130 - sound, lost, "{name}: {found:?}");
        }
        count += 1;
    }
    count
}

#[test]
fn damage_costs_the_damaged_batch_and_nothing_else() {
    assert!(damaged_partitions(&fixture("damaged/data")) >= 29);
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/kafka-data");
    let cases = std::env::var_os("LOGDIR_KAFKA_DATA").map_or(default, PathBuf::from).join("cases");
    let Ok(listing) = std::fs::read_dir(cases) else { return };
    for case in listing.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("09")) {
        let temp = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(case.path().join("data.tar.gz")).unwrap();
        tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(temp.path()).unwrap();
        let count = damaged_partitions(&temp.path().join("data/corrupt"));
        println!("{count} damaged partitions of case 09");
    }
}

/// The end of a log is found from an index entry on: what stands there follows on batches that were jumped over, and
/// a copy of the first batch behind it does not make it one out of place. read_committed once ended after that copy.
#[test]
fn a_copy_of_the_first_batch_at_the_end_hides_nothing_from_readers_of_committed_records() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data").display().to_string();
    let input: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    let made =
        logdir(&["produce", "-d", &dir, "-t", "t", "--create", "1"]).write_stdin(input.clone()).output().unwrap();
    assert!(made.status.success());
    let log = temp.path().join("data/t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let first = usize::try_from(i32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap() + 12;
    bytes.extend_from_within(..first);
    std::fs::write(&log, bytes).unwrap();
    for level in ["read_uncommitted", "read_committed"] {
        let (code, stdout, stderr) = run(&["consume", "-d", &dir, "-t", "t", "--isolation-level", level]);
        assert_eq!(code, 1, "{level}");
        assert!(stdout == input, "{level}: {} lines", stdout.lines().count());
        assert!(stderr.contains("are out of order, expected 20000 or above"), "{level}: {stderr}");
    }
}

#[test]
fn internal_topics_are_decoded_as_console_consumer_does_it() {
    let data = fixture("transactions/data").display().to_string();
    let read = |args: &[&str]| {
        let (code, stdout, stderr) = run(&[&["consume", "-d", &data], args].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        stdout
    };
    let lines = read(&["-t", "__transaction_state", "--decode"]);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["key"]["type"], 0, "{first}");
    assert!(first["key"]["data"]["transactionalId"].is_string() && first["value"]["version"].is_i64(), "{first}");
    let offsets = read(&["-t", "__consumer_offsets", "--decode", "--json"]);
    let decoded: Vec<serde_json::Value> = offsets.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(decoded.iter().any(|row| row["decoded"]["type"] == "OffsetCommit"), "{offsets}");
    assert!(decoded.iter().all(|row| row["topic"] == "__consumer_offsets" && row["decoded"].is_object()));
    let metadata = read(&["-t", "__cluster_metadata", "--decode"]);
    assert!(
        metadata.lines().any(|line| line.starts_with("{\"type\":\"TopicRecord\",\"version\":0,\"value\":{\"name\":"))
    );
    let keys = read(&["-t", "__transaction_state", "--decode", "-f", "%k\\n"]);
    assert!(keys.starts_with("TransactionLog {\"transactionalId\":\""), "{keys}");
    // Other topics print what they always print.
    assert_eq!(read(&["-t", "txn-b", "--decode"]), read(&["-t", "txn-b"]));
    assert_eq!(read(&["-t", "txn-b", "--decode", "--json"]), read(&["-t", "txn-b", "--json"]));
}
