//! `logdir produce`: what is written, where it goes, what is refused, and what is said about it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use logdir::storage::lock::DirLock;
use serde_json::Value;

use super::support::{copied, fixture, logdir, run, state_of};

/// Runs with this on stdin.
fn fed(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let output = logdir(args).write_stdin(input).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn produce(dir: &Path, args: &[&str], input: &[u8]) -> (i32, String, String) {
    fed(&[&["produce", "-d", dir.to_str().unwrap()], args].concat(), input)
}

/// What `consume` prints of the directory, by this format.
fn consumed(dir: &Path, format: &str) -> String {
    let (code, stdout, stderr) = run(&["consume", "-d", dir.to_str().unwrap(), "--include-internal", "-f", format]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    stdout
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The summary without the time it took.
fn without_time(stderr: &str) -> String {
    stderr.lines().map(|line| line.rsplit_once(", 0.").map_or(line, |(start, _)| start)).collect::<Vec<_>>().join("\n")
}

#[test]
fn lines_become_records_and_the_directory_is_left_clean() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let (code, stdout, stderr) =
        produce(&dir, &["-t", "numbers", "--create", "1", "--timestamp", "1700000000000"], b"one\ntwo\n\nfour");
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert!(without_time(&stderr).ends_with("4 records to 1 partition, 1 batch, 99 B"), "{stderr}");
    assert_eq!(consumed(&dir, "%p %o %K [%s]\n"), "0 0 -1 [one]\n0 1 -1 [two]\n0 2 -1 []\n0 3 -1 [four]\n");
    assert!(dir.join(".kafka_cleanshutdown").is_file());
    let checkpoint = std::fs::read_to_string(dir.join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\nnumbers 0 4\n");
    // A second run appends, and reads nothing but the end of the log.
    let (code, _, stderr) = produce(&dir, &["-t", "numbers"], b"five\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("recovered"), "{stderr}");
    assert_eq!(consumed(&dir, "%o "), "0 1 2 3 4 ");
}

#[test]
fn keys_headers_and_nulls_are_what_the_options_say() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = ["-t", "t", "--create", "1", "-K:", "-Z", "-H", "a=1", "-H", "b", "--timestamp", "1700000000000"];
    let (code, _, stderr) = produce(dir, &args, b"k:v\nk:\n:v\nv\n");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        consumed(dir, "%K %S %T %h\n"),
        "1 1 1700000000000 a=1,b=NULL\n1 -1 1700000000000 a=1,b=NULL\n-1 1 1700000000000 a=1,b=NULL\n-1 1 1700000000000 a=1,b=NULL\n"
    );
    let (code, ..) = produce(dir, &["-t", "f", "--create", "1", "-f", "%k,%T,%s;"], b"a,5,x;b,6,y;");
    assert_eq!(code, 0);
    let (_, stdout, _) = run(&["consume", "-d", dir.to_str().unwrap(), "-t", "f", "-f", "%k %T %s\n"]);
    assert_eq!(stdout, "a 5 x\nb 6 y\n");
}

#[test]
fn whole_files_are_values() {
    let temp = tempfile::tempdir().unwrap();
    let (one, two) = (temp.path().join("one"), temp.path().join("two"));
    std::fs::write(&one, b"a\nb\n").unwrap();
    std::fs::write(&two, b"").unwrap();
    let dir = temp.path().join("data");
    let files = [one.to_str().unwrap(), two.to_str().unwrap()];
    let (code, _, stderr) = produce(&dir, &[&["-t", "t", "--create", "1", "-k", "file"], &files[..]].concat(), b"");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(consumed(&dir, "%k %S\n"), "file 4\nfile 0\n");
    let (code, _, _) = produce(&dir, &["-t", "t", "-l", one.to_str().unwrap()], b"not this");
    assert_eq!(code, 0);
    assert_eq!(consumed(&dir, "%S "), "4 0 1 1 ");
}

/// Every fixture: what `consume --json` prints, `produce --input json` writes, and `consume` prints again.
#[test]
fn json_goes_round_without_loss() {
    let mut compared = 0;
    for name in ["codecs", "transactions", "legacy", "compacted"] {
        let from = fixture(name).join("data");
        let (_, printed, _) = run(&["consume", "-d", from.to_str().unwrap(), "--json"]);
        for keep in [false, true] {
            let temp = tempfile::tempdir().unwrap();
            let to = temp.path().join("data");
            let args = ["--create", "3", "--input", "json", "-z", if keep { "none" } else { "lz4" }];
            let keep_offsets: &[&str] = if keep { &["--keep-offsets"] } else { &[] };
            let (code, _, stderr) = produce(&to, &[&args, keep_offsets].concat(), printed.as_bytes());
            assert_eq!(code, 0, "{name}: {stderr}");
            let (code, again, stderr) = run(&["consume", "-d", to.to_str().unwrap(), "--json"]);
            assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
            let records = |text: &str| {
                let mut by_partition: BTreeMap<String, Vec<Value>> = BTreeMap::new();
                for mut line in json_lines(text) {
                    let fields = line.as_object_mut().unwrap();
                    if !keep {
                        fields.remove("offset");
                        fields.remove("leader_epoch");
                    }
                    // Before magic 2 there may have been neither; what is written is magic 2.
                    if fields.get("timestamp_type") == Some(&Value::Null) {
                        fields.insert("timestamp_type".into(), "create".into());
                    }
                    if fields.get("leader_epoch") == Some(&Value::from(-1)) {
                        fields.insert("leader_epoch".into(), 0.into());
                    }
                    let key = format!("{}-{}", line["topic"], line["partition"]);
                    by_partition.entry(key).or_default().push(line);
                }
                by_partition
            };
            let (before, after) = (records(&printed), records(&again));
            compared += before.values().map(Vec::len).sum::<usize>();
            assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{name}");
            for (partition, records) in before {
                for (at, (before, after)) in records.iter().zip(&after[&partition]).enumerate() {
                    assert_eq!(before, after, "{name}, {partition}, record {at}, offsets kept: {keep}");
                }
            }
        }
    }
    println!("{compared} records compared");
    assert!(compared > 10_000);
}

#[test]
fn with_offsets_kept_and_a_batch_a_segment_the_bytes_are_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    let input: String = (0..400).map(|n| format!("key-{n}:{}\n", "v".repeat(n % 90))).collect();
    // Each batch is about 1000 bytes, and two do not fit into a segment.
    let sizes = ["--batch-size", "1000", "--segment-bytes", "1100"];
    let args = [&["-t", "t", "--create", "2", "-K:"], &sizes[..]].concat();
    let (code, _, stderr) = produce(&from, &args, input.as_bytes());
    assert_eq!(code, 0, "{stderr}");
    let (_, printed, _) = run(&["consume", "-d", from.to_str().unwrap(), "--json"]);
    let args = [&["--create", "2", "--input", "json", "--keep-offsets"], &sizes[..]].concat();
    let (code, _, stderr) = produce(&to, &args, printed.as_bytes());
    assert_eq!(code, 0, "{stderr}");
    let files = |dir: &Path| -> BTreeMap<String, Vec<u8>> {
        state_of(dir)
            .into_iter()
            .filter(|(path, _)| {
                path.is_file() && !path.ends_with("partition.metadata") && !path.ends_with("meta.properties")
            })
            .map(|(path, (bytes, _))| (path.strip_prefix(dir).unwrap().display().to_string(), bytes))
            .collect()
    };
    let (before, after) = (files(&from), files(&to));
    assert!(before.len() > 60, "many segments: {}", before.len());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in before {
        assert!(bytes == after[&name], "{name} differs");
    }
}

#[test]
fn a_bad_line_stops_with_its_number_and_what_is_before_it_is_stored() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let input = b"{\"value\":\"a\"}\n{\"value\":\"b\"}\nnot json\n{\"value\":\"c\"}\n";
    let args = ["-t", "t", "--create", "1", "--input", "json"];
    let (code, _, stderr) = produce(dir, &args, input);
    assert_eq!(code, 1);
    assert!(stderr.contains("error: stdin: record 3: expected a JSON object"), "{stderr}");
    assert!(stderr.contains("the input from byte 28 on"), "{stderr}");
    assert_eq!(consumed(dir, "%s "), "a b ");
    let (code, stdout, stderr) = produce(dir, &[&args[..], &["--on-error", "skip", "--json"]].concat(), input);
    assert_eq!(code, 1);
    let rows = json_lines(&stdout);
    assert_eq!((&rows[1]["records"], &rows[1]["skipped"]), (&3.into(), &1.into()), "{stdout}");
    assert!(stderr.contains("\"type\":\"warning\""), "{stderr}");
    assert_eq!(consumed(dir, "%s "), "a b a b c ");
    // A record that no batch may hold.
    let long = [b"x".repeat(2_000), b"\nshort\n".to_vec()].concat();
    let args = ["-t", "t", "--max-message-bytes", "1000", "--on-error", "skip"];
    let (code, _, stderr) = produce(dir, &args, &long);
    assert_eq!(code, 1);
    assert!(stderr.contains("record 1: takes 2012 bytes, a batch may have 1000"), "{stderr}");
    assert_eq!(consumed(dir, "%s "), "a b a b c short ");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (code, ..) = produce(dir, &["-t", "orders", "--create", "2"], b"x\n");
    assert_eq!(code, 0);
    let before = state_of(dir);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["-t", "ordrs"], 3, "did you mean 'orders'?"),
        (&["-t", "orders", "-p", "2"], 1, "partition 2 of topic 'orders' does not exist, it has 2"),
        (&["-t", "a b", "--create", "1"], 2, "topic 'a b': topic name contains ' '"),
        (&["-t", "__cluster_metadata", "--create", "1"], 4, "written by the controllers only"),
        (&[], 2, "no topic named"),
        (&["-t", "orders", "--keep-offsets", "--input", "lines"], 2, "--keep-offsets needs an input that says them"),
        (&["-t", "orders", "--acks", "0", "--output-format", "%o"], 2, "--acks 0"),
        (&["-t", "orders", "--output", "kafka"], 2, "--output kafka is not offered"),
        (&["-t", "orders", "-z", "lz5"], 2, "lz5"),
        (&["-t", "orders", "-z", "gzip:11"], 2, "gzip"),
        (&["-t", "orders", "-f", "%k%s"], 2, "--format"),
    ];
    for (args, expected, said) in cases {
        let (code, stdout, stderr) = produce(dir, args, b"x\n");
        assert_eq!((code, stdout.as_str()), (*expected, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    let collision = produce(dir, &["-t", "a.b", "--create", "1"], b"x\n");
    assert_eq!(collision.0, 0);
    let (code, _, stderr) = produce(dir, &["-t", "a_b", "--create", "1"], b"x\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("topic 'a_b' differs from 'a.b'"), "{stderr}");
    for (path, state) in before.iter().filter(|(path, _)| path.starts_with(dir.join("orders-0"))) {
        assert!(state_of(dir).get(path) == Some(state), "{} changed", path.display());
    }
}

#[test]
fn a_topic_that_was_half_made_is_completed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    assert_eq!(produce(dir, &["-t", "t", "--create", "4", "-p", "3"], b"x\n").0, 0);
    let id = std::fs::read(dir.join("t-3/partition.metadata")).unwrap();
    for partition in ["t-0", "t-1"] {
        std::fs::remove_dir_all(dir.join(partition)).unwrap();
    }
    let (code, _, stderr) = produce(dir, &["-t", "t", "--create", "4", "-p", "0"], b"y\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("made 2 more of topic 't' with 4 partitions"), "{stderr}");
    for partition in 0..4 {
        assert_eq!(std::fs::read(dir.join(format!("t-{partition}/partition.metadata"))).unwrap(), id);
    }
    // Another number than it has is no reason to change it.
    assert_eq!(produce(dir, &["-t", "t", "--create", "9"], b"z\n").0, 0);
    assert!(!dir.join("t-8").exists());
}

#[test]
fn a_held_directory_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    assert_eq!(produce(dir, &["-t", "t", "--create", "1"], b"x\n").0, 0);
    let held = DirLock::exclusive(dir).unwrap();
    let before = state_of(dir);
    let (code, _, stderr) = produce(dir, &["-t", "t"], b"y\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("is open in another logdir process which holds"), "{stderr}");
    assert!(state_of(dir) == before, "nothing changed");
    drop(held);
    assert_eq!(produce(dir, &["-t", "t"], b"y\n").0, 0);
}

#[test]
fn a_log_that_recovery_shortens_is_opened_only_on_request() {
    let (_temp, dir) = copied("damaged/data");
    let log = dir.join("v-truncated-body-0/00000000000000000000.log");
    let before = state_of(&dir);
    let (code, _, stderr) = produce(&dir, &["-t", "v-truncated-body"], b"more\n");
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("needs a recovery, which removes data"), "{stderr}");
    assert!(stderr.contains("--allow-truncate"), "{stderr}");
    let mut after = state_of(&dir);
    after.retain(|path, _| !path.ends_with(".lock") && *path != dir);
    let unchanged = before.iter().filter(|(path, _)| **path != dir).all(|(path, state)| after.get(path) == Some(state));
    assert!(unchanged, "nothing but the lock file is new");
    let (code, _, stderr) = produce(&dir, &["-t", "v-truncated-body", "--allow-truncate"], b"more\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("are gone"), "{stderr}");
    let (code, stdout, stderr) = run(&["consume", log.parent().unwrap().to_str().unwrap(), "-o", "-1", "-f", "%s"]);
    assert_eq!((code, stdout.as_str()), (0, "more"), "{stderr}");
    // Zeros behind the last batch are nothing to lose.
    let (code, _, stderr) = produce(&dir, &["-t", "v-zeros-appended"], b"more\n");
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_rerun_with_its_state_adds_only_what_is_missing() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, state) = (temp.path().join("data"), temp.path().join("state.json"));
    let input: String = (0..5_000).map(|n| format!("{n}:value {n}\n")).collect();
    let half = &input[..input.len() / 2];
    let half = &half[..half.rfind('\n').unwrap() + 1];
    let args = ["-t", "t", "--create", "3", "-K:", "--state", state.to_str().unwrap()];
    assert_eq!(produce(&dir, &args, half.as_bytes()).0, 0);
    let (code, _, stderr) = produce(&dir, &args, input.as_bytes());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("{} there already", half.lines().count())), "{stderr}");
    let (code, _, stderr) = produce(&dir, &args, input.as_bytes());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("0 records to 0 partitions"), "{stderr}");
    let mut keys: Vec<u32> = consumed(&dir, "%k\n").lines().map(|key| key.parse().unwrap()).collect();
    keys.sort_unstable();
    assert!(keys.iter().copied().eq(0..5_000), "each once");
    // A gap in the sequences, and an old epoch, are answers.
    let id = json_lines(&std::fs::read_to_string(&state).unwrap())[0]["producer_id"].as_i64().unwrap().to_string();
    let same = ["-t", "t", "-p", "0", "--producer-id", &id];
    let (code, _, stderr) = produce(&dir, &[&same[..], &["--from-sequence", "100000"]].concat(), b"x\n");
    assert_eq!(code, 1);
    assert!(stderr.contains("--from-sequence"), "{stderr}");
    assert_eq!(produce(&dir, &[&same[..], &["--producer-epoch", "1"]].concat(), b"x\n").0, 0);
    let (code, _, stderr) =
        produce(&dir, &[&same[..], &["--producer-epoch", "0", "--from-sequence", "5"]].concat(), b"x\n");
    assert_eq!(code, 1);
    assert!(stderr.contains("--producer-epoch"), "{stderr}");
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let (code, stdout, stderr) = produce(&dir, &["-t", "t", "--create", "1", "-n", "--json"], b"a\nb\n");
    assert_eq!(code, 0, "{stderr}");
    assert!(!dir.exists());
    let rows = json_lines(&stdout);
    assert_eq!(
        (&rows[0]["first_offset"], &rows[0]["last_offset"], &rows[0]["dry_run"]),
        (&0.into(), &1.into(), &true.into())
    );
    assert_eq!(produce(&dir, &["-t", "t", "--create", "1"], b"a\nb\n").0, 0);
    let before = state_of(&dir);
    let (_, stdout, _) = produce(&dir, &["-t", "t", "-n", "--output-format", "%p %o %s\n"], b"c\nd\n");
    assert_eq!(stdout, "0 2 c\n0 3 d\n");
    assert!(state_of(&dir) == before);
}

#[test]
fn reports_name_partition_offset_and_size() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = ["-t", "t", "--create", "2", "-K:", "--fsync", "batch", "--output-format", "%p %o %k=%s\n"];
    let (code, stdout, _) = produce(dir, &args, b"a:1\nb:2\nc:3\n");
    assert_eq!(code, 0);
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable();
    let stored = consumed(dir, "%p %o %k=%s\n");
    let mut expected: Vec<&str> = stored.lines().collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let (code, stdout, _) = produce(dir, &["-t", "t", "-p", "1", "--output", "table"], b"x\n");
    assert_eq!(code, 0);
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..3], ["TOPIC", "PARTITION", "FIRST_OFFSET"]);
    assert_eq!(rows[1][..2], ["t", "1"]);
    let (code, stdout, _) = produce(dir, &["-t", "t", "--acks", "0", "--json"], b"x\n");
    assert_eq!(code, 0);
    assert_eq!(json_lines(&stdout)[0]["first_offset"], Value::Null, "nobody learns it");
    let (code, stdout, _) = produce(dir, &["-t", "t", "-T"], b"copied\n");
    assert_eq!((code, stdout.as_str()), (0, "copied\n"));
}

#[test]
fn the_same_key_goes_to_the_same_partition_and_the_seed_decides_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (code, ..) = produce(dir, &["-t", "t", "--create", "7", "-K:"], b"customer-77:1\ncustomer-77:2\nother:3\n");
    assert_eq!(code, 0);
    let (_, told, _) = run(&["partition-of", "customer-77", "--partitions", "7", "--json"]);
    let partition = json_lines(&told)[0]["partition"].clone();
    let stored = consumed(dir, "%k %p\n");
    let of = |key: &str| {
        let lines = stored.lines().filter(|line| line.starts_with(key));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("customer-77"), [partition.to_string(), partition.to_string()]);
    for strategy in ["sticky", "round-robin", "random"] {
        let offsets = |topic: &str| {
            let args = ["-t", topic, "--create", "5", "--partitioner", strategy, "--seed", "42", "--batch-size", "200"];
            let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
            let (code, ..) = produce(dir, &args, lines.as_bytes());
            assert_eq!(code, 0);
            let (_, stdout, _) = run(&["consume", "-d", dir.to_str().unwrap(), "-t", topic, "-f", "%p %s\n"]);
            stdout
        };
        let (one, two) = (offsets(&format!("{strategy}-1")), offsets(&format!("{strategy}-2")));
        assert_eq!(one, two, "{strategy}");
        let used: std::collections::BTreeSet<&str> = one.lines().map(|line| line.split_once(' ').unwrap().0).collect();
        assert!(used.len() > 2, "{strategy} uses {used:?}");
    }
}

fn spawned(dir: &Path, args: &[&str]) -> Child {
    Process::new(env!("CARGO_BIN_EXE_logdir"))
        .env_clear()
        .args(["produce", "-d", dir.to_str().unwrap()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_slow_input_is_stored_while_it_pauses_and_an_interrupt_ends_it_in_good_order() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    assert_eq!(produce(dir, &["-t", "t", "--create", "1"], b"").0, 0);
    assert_eq!(produce(dir, &["-t", "t", "--create", "1"], b"first\n").0, 0);
    let mut child = spawned(dir, &["-t", "t", "--output-format", "%o %s\n"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for n in 1..4 {
        input.write_all(format!("slow {n}\n").as_bytes()).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{n} slow {n}\n"));
        assert!(consumed(dir, "%s\n").ends_with(&format!("slow {n}\n")), "a reader sees it at once");
        assert!(!dir.join(".kafka_cleanshutdown").exists(), "not while it is open");
    }
    input.write_all(b"no newline yet").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(dir.join(".kafka_cleanshutdown").exists(), "closed in good order");
    assert_eq!(consumed(dir, "%s,"), "first,slow 1,slow 2,slow 3,");
}

#[test]
fn two_processes_take_turns() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    assert_eq!(produce(dir, &["-t", "t", "--create", "3"], b"start:0\n").0, 0);
    let small = ["-t", "t", "-K:", "--batch-size", "300", "--segment-bytes", "20000"];
    let mut children: Vec<Child> = (0..3).map(|_| spawned(dir, &small)).collect();
    let writers: Vec<_> = children
        .iter_mut()
        .enumerate()
        .map(|(process, child)| {
            let mut input = child.stdin.take().unwrap();
            std::thread::spawn(move || {
                for n in 0..3_000 {
                    writeln!(input, "{process}-{}:{process} {n}", n % 50).unwrap();
                    if n % 500 == 0 {
                        std::thread::sleep(std::time::Duration::from_millis(15));
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut next: BTreeMap<(String, String), i64> = BTreeMap::new();
    let (code, stdout, stderr) = run(&["consume", "-d", dir.to_str().unwrap(), "-f", "%p %o %s\n"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let mut offsets: BTreeMap<String, i64> = BTreeMap::new();
    let mut count = 0;
    for line in stdout.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let offset = offsets.entry(fields[0].to_owned()).or_insert(0);
        assert_eq!(fields[1].parse::<i64>().unwrap(), *offset, "offsets without a gap: {line}");
        *offset += 1;
        if let [partition, _, process, n] = fields[..] {
            count += 1;
            let n: i64 = n.parse().unwrap();
            let last = next.insert((partition.to_owned(), process.to_owned()), n);
            assert!(last.is_none_or(|last| n > last), "the order of each process is kept: {line}");
        }
    }
    assert_eq!(count, 9_000, "none lost, none twice");
    assert!(dir.join(".kafka_cleanshutdown").exists(), "the last one puts the marker back");
    assert!(!dir.join(".kafka_cleanshutdown.logdir").exists());
    let (code, _, stderr) = produce(dir, &["-t", "t"], b"x\n");
    assert_eq!(code, 0);
    assert!(!stderr.contains("recovered") && !stderr.contains("warning"), "{stderr}");
}

#[test]
fn a_brokers_properties_say_where_and_how() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = (temp.path().join("data"), temp.path().join("server.properties"));
    let text =
        format!("log.dirs={}\nlog.segment.bytes=2000\nlog.preallocate=true\nmessage.max.bytes=900\n", dir.display());
    std::fs::write(&file, text).unwrap();
    let args = ["produce", "-F", file.to_str().unwrap(), "-t", "t", "--create", "1", "--batch-size", "500"];
    let lines: String = (0..100).map(|n| format!("{n} {}\n", "x".repeat(60))).collect();
    let (code, _, stderr) = fed(&args, lines.as_bytes());
    assert_eq!(code, 0, "{stderr}");
    let logs: Vec<u64> = std::fs::read_dir(dir.join("t-0"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().ends_with(".log"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert!(logs.len() > 3 && logs.iter().all(|len| *len < 2000), "rolled, and no zeros left: {logs:?}");
    let (code, _, stderr) = fed(&args, "y".repeat(1_000).as_bytes());
    assert_eq!(code, 1, "{stderr}");
    std::fs::write(&file, format!("log.dirs={}\nlog.segment.bytes=many\n", dir.display())).unwrap();
    let (code, _, stderr) = fed(&args, b"z\n");
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("log.segment.bytes is 'many'"), "{stderr}");
}
