//! `logdir log-dirs`: rows, sums, order, and what a broker would refuse or set aside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{copied, copy, fixture, run, state_of};

fn codecs() -> String {
    fixture("codecs/data").display().to_string()
}

fn rows(stdout: &str, kind: &str) -> Vec<Value> {
    let rows = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["type"] == kind).collect()
}

/// The codes of what was found, with the names of the files.
fn problems(dirs: &[&Path], args: &[&str]) -> (i32, BTreeSet<(String, String)>) {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let all: Vec<&str> =
        ["log-dirs", "--json"].into_iter().chain(args.iter().copied()).chain(dirs.iter().map(String::as_str)).collect();
    let (code, stdout, stderr) = run(&all);
    let file = |row: &Value| {
        let path = PathBuf::from(row["path"].as_str().unwrap());
        path.file_name().unwrap().to_string_lossy().into_owned()
    };
    let found = rows(&stdout, "problem");
    assert!(found.iter().all(|row| row["grade"].is_string() && row["message"].is_string()), "{stdout}{stderr}");
    (code, found.iter().map(|row| (row["code"].as_str().unwrap().to_owned(), file(row))).collect())
}

fn set(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    expected.iter().map(|(code, file)| ((*code).to_owned(), (*file).to_owned())).collect()
}

/// Changes one line of a `meta.properties`.
fn set_property(dir: &Path, name: &str, value: &str) {
    let path = dir.join("meta.properties");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| match line.starts_with(&format!("{name}=")) {
        true => format!("{name}={value}\n"),
        false => format!("{line}\n"),
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
}

#[test]
fn a_row_for_each_partition_and_nothing_is_touched() {
    let (_temp, dir) = copied("codecs/data");
    let before = state_of(&dir);
    let path = dir.display().to_string();
    let (code, stdout, stderr) = run(&["log-dirs", &path, "-t", "edge,oneper"]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[0][..8],
        ["TOPIC", "PARTITION", "KIND", "SEGMENTS", "SIZE", "ALLOCATED", "LOG-START", "HIGH-WATERMARK"]
    );
    assert_eq!(lines[1][..6], ["edge", "0", "live", "2", "120.7", "KiB"]);
    // Behind the allocated bytes, which depend on the file system.
    assert_eq!(lines[1][8..14], ["0", "52", "52", "52", "0", "-"]);
    assert_eq!((lines[1][14], lines[1][16..18].to_vec()), ("2023-12-14T22:13:20.000Z", vec!["2", "-"]));
    assert_eq!((lines[2][0], lines.len()), ("oneper", 3));
    assert!(stderr.starts_with("2 partition directories in 1 log directory, 161.8 KiB of logs, "), "{stderr}");
    assert!(stderr.ends_with(" allocated, no problems\n"), "{stderr}");
    for args in [&["--depth", "deep"][..], &["--json"], &["--by", "dir"], &["--output", "prometheus"]] {
        let (code, ..) = run(&[&["log-dirs", &path], args].concat());
        assert_eq!(code, 0, "{args:?}");
    }
    assert_eq!(state_of(&dir), before);
}

#[test]
fn codecs_and_ratios_take_more_depth() {
    let path = codecs();
    let of = |depth: &str, topic: &str| {
        let (code, stdout, stderr) = run(&["log-dirs", &path, "-t", topic, "--json", "--depth", depth]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        rows(&stdout, "partition").remove(0)
    };
    let quick = of("index", "edge");
    assert_eq!((&quick["codecs"], &quick["records"], &quick["magics"]), (&Value::Null, &Value::Null, &[2].into()));
    let headers = of("headers", "edge");
    assert_eq!(
        (&headers["records"], &headers["batches"], &headers["compression_ratio"]),
        (&52.into(), &12.into(), &Value::Null)
    );
    let names =
        |row: &Value| row["codecs"].as_array().unwrap().iter().map(|codec| codec["codec"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&headers), ["none", "zstd"]);
    let deep = of("deep", "edge");
    assert_eq!((names(&deep), &deep["records"]), (names(&headers), &52.into()));
    assert!(deep["codecs"][1]["ratio"].as_f64().unwrap() > 2.9, "{deep}");
    assert_eq!(deep["codecs"][0]["ratio"], 1.0);
    for row in [&quick, &headers, &deep] {
        assert_eq!((&row["size_bytes"], &row["log_end_offset"]), (&123_585.into(), &52.into()));
    }
    let (_, stdout, _) = run(&["log-dirs", &path, "-t", "edge", "--depth", "deep"]);
    assert!(stdout.contains("  none,zstd:2.97  "), "{stdout}");
}

#[test]
fn json_has_directories_first_and_a_summary_last() {
    let path = codecs();
    let (code, stdout, stderr) = run(&["log-dirs", &path, "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let kinds: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
    assert_eq!((&kinds[0], kinds.last().unwrap()), (&"log_dir".into(), &"summary".into()));
    assert!(kinds[1..kinds.len() - 1].iter().all(|kind| kind == "partition"), "{kinds:?}");
    assert!(stdout.lines().all(|line| line.starts_with("{\"type\":\"")));
    let (dir, summary) = (rows(&stdout, "log_dir").remove(0), rows(&stdout, "summary").remove(0));
    assert_eq!(
        (&dir["node_id"], &dir["clean_shutdown"], &dir["meta_properties_version"]),
        (&1.into(), &true.into(), &1.into())
    );
    assert!(dir["file_system_size_bytes"].as_u64() >= dir["file_system_free_bytes"].as_u64());
    let sum: u64 = rows(&stdout, "partition").iter().map(|row| row["size_bytes"].as_u64().unwrap()).sum();
    assert_eq!((summary["size_bytes"].as_u64(), dir["size_bytes"].as_u64()), (Some(sum), Some(sum)));
    assert_eq!(summary["directories"], rows(&stdout, "partition").len());
    let keyed = |args: &[&str], kind| rows(&run(&[&["log-dirs", &path, "--json"], args].concat()).1, kind);
    let topics = keyed(&["--by", "topic"], "topic");
    let names: BTreeSet<_> = topics.iter().map(|row| row["topic"].as_str().unwrap().to_owned()).collect();
    assert_eq!((names.len(), names.contains("__cluster_metadata")), (topics.len(), true));
    assert_eq!(topics.iter().map(|row| row["size_bytes"].as_u64().unwrap()).sum::<u64>(), sum);
    let brokers = keyed(&["--by", "broker"], "broker");
    assert_eq!((brokers.len(), &brokers[0]["size_bytes"]), (1, &summary["size_bytes"]));
    assert!(keyed(&["--by", "dir"], "partition").is_empty());
}

#[test]
fn rows_are_sorted_filtered_and_cut() {
    let path = codecs();
    let names = |args: &[&str]| -> Vec<(String, u64)> {
        let (code, stdout, stderr) = run(&[&["log-dirs", &path, "--json"], args].concat());
        assert_eq!(code, 0, "{stderr}");
        let name = |row: &Value| {
            (format!("{}-{}", row["topic"].as_str().unwrap(), row["partition"]), row["size_bytes"].as_u64().unwrap())
        };
        rows(&stdout, "partition").iter().map(name).collect()
    };
    let all = names(&[]);
    let mut by_name = all.clone();
    by_name.sort();
    assert_eq!(all, by_name);
    let largest = names(&["--sort", "size", "--top", "3"]);
    let mut sizes: Vec<u64> = all.iter().map(|(_, size)| *size).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(largest.iter().map(|(_, size)| *size).collect::<Vec<_>>(), sizes[..3]);
    let smallest = names(&["--sort", "size", "-r", "-c", "1"]);
    assert_eq!(smallest.iter().map(|(_, size)| *size).collect::<Vec<_>>(), sizes[sizes.len() - 1..]);
    let large = names(&["--min-size", "100KiB"]);
    assert_eq!(large.len(), sizes.iter().filter(|size| **size >= 102_400).count());
    assert!(!large.is_empty() && large.len() < all.len());
    assert_eq!(names(&["-t", "re:^c-", "-p", "0"]).len(), names(&["-t", "re:^c-"]).len());
    assert_eq!((names(&["--kind", "live"]), names(&["--kind", "stray,delete"]).len()), (all.clone(), 0));
    assert_eq!(names(&["--threads", "1"]), names(&["--threads", "4"]));
    let (_, tsv, _) = run(&["log-dirs", &path, "--output", "tsv", "-t", "edge"]);
    let cells: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((cells[0][0], cells[0].len(), cells[1].len(), cells[1][4]), ("topic", 17, 17, "123585"));
}

#[test]
fn strays_and_replicas_out_of_place_are_named() {
    let (_temp, dir) = copied("codecs/data");
    assert_eq!(problems(&[&dir], &[]), (0, set(&[])));
    // A topic that the cluster's metadata does not know under this name.
    std::fs::rename(dir.join("edge-0"), dir.join("nowhere-0")).unwrap();
    // A partition number that the topic does not have.
    std::fs::rename(dir.join("oneper-0"), dir.join("oneper-9")).unwrap();
    // No topic id at all.
    std::fs::remove_file(dir.join("single-0/partition.metadata")).unwrap();
    // A name that is none.
    std::fs::create_dir(dir.join("lostfound")).unwrap();
    let expected =
        set(&[("partition_metadata", "partition.metadata"), ("stray", "single-0"), ("bad_name", "lostfound")]);
    assert_eq!(problems(&[&dir], &[]), (1, expected));
    let (code, stdout, stderr) = run(&["log-dirs", &dir.display().to_string(), "-t", "single"]);
    assert_eq!(code, 1);
    let said = format!("loses data: {}/single-0: it has no partition.metadata", dir.display());
    assert!(stdout.contains(&said) && stdout.contains("  do: "), "{stdout}{stderr}");
    assert!(stderr.ends_with(", 2 problems\n"), "{stderr}");

    let (_temp, dir) = copied("codecs/data");
    set_property(&dir, "directory.id", "AAAAAAAAAAAAAAAAAAAAbA");
    assert_eq!(problems(&[&dir], &["-t", "edge"]), (1, set(&[("misplaced", "edge-0")])));
    set_property(&dir, "node.id", "7");
    assert_eq!(problems(&[&dir], &["-t", "edge"]), (1, set(&[("stray", "edge-0")])));
}

#[test]
fn duplicates_are_those_of_one_broker() {
    let (temp, one) = copied("codecs/data");
    let two = temp.path().join("two");
    copy(&one, &two);
    std::fs::remove_dir_all(two.join("__cluster_metadata-0")).unwrap();
    for entry in std::fs::read_dir(&two).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        if entry.file_name() != "edge-0" {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    // A copy of the whole directory: its id too.
    let (code, found) = problems(&[&one, &two], &["-t", "c-none"]);
    assert_eq!((code, found), (1, set(&[("meta_properties", "meta.properties"), ("duplicate", "edge-0")])));
    set_property(&two, "directory.id", "AAAAAAAAAAAAAAAAAAAAbA");
    let (code, found) = problems(&[&one, &two], &[]);
    assert_eq!((code, found), (1, set(&[("duplicate", "edge-0"), ("misplaced", "edge-0")])));
    // Another broker's replica is no duplicate; but this cluster has it on broker 1 alone.
    set_property(&two, "node.id", "2");
    assert_eq!(problems(&[&one, &two], &[]), (1, set(&[("stray", "edge-0")])));
    // Another cluster's has nothing to do with it.
    set_property(&two, "cluster.id", "another");
    assert_eq!(problems(&[&one, &two], &[]), (0, set(&[])));
    // In the wrong place, or another cluster's node of the same number: said, and its partitions are its own.
    set_property(&two, "node.id", "1");
    let (code, found) = problems(&[&one, &two], &["-t", "c-none"]);
    assert_eq!((code, found), (1, set(&[("meta_properties", "meta.properties")])));
    let (_, stdout, _) =
        run(&["log-dirs", "--json", "--by", "broker", &one.display().to_string(), &two.display().to_string()]);
    let brokers: Vec<_> = rows(&stdout, "broker").iter().map(|row| row["log_dirs"].clone()).collect();
    assert_eq!(brokers, [serde_json::json!([one]), serde_json::json!([two])], "one each");
}

#[test]
fn a_directory_named_twice_is_one() {
    let (temp, dir) = copied("codecs/data");
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    assert_eq!(problems(&[&dir, &link, &dir.join("../data")], &[]), (0, set(&[])));
    let (code, stdout, _) =
        run(&["log-dirs", "--output", "prometheus", "-d", link.to_str().unwrap(), "-d", dir.to_str().unwrap()]);
    assert_eq!((code, stdout.matches("\nlogdir_info{").count()), (0, 1), "{stdout}");
}

#[test]
fn files_that_stop_a_broker_are_problems() {
    let (_temp, dir) = copied("codecs/data");
    std::fs::write(dir.join("edge-0/before.log"), "").unwrap();
    std::fs::write(dir.join("oneper-0/before.snapshot"), "").unwrap();
    std::fs::write(dir.join("single-0/leader-epoch-checkpoint"), "0\n2\n0 0\n").unwrap();
    std::fs::write(dir.join("c-none-0/partition.metadata"), "version: 7\ntopic_id: x\n").unwrap();
    let expected = set(&[
        ("bad_name", "before.log"),
        ("bad_name", "before.snapshot"),
        ("epoch_file", "leader-epoch-checkpoint"),
        ("partition_metadata", "partition.metadata"),
    ]);
    assert_eq!(problems(&[&dir], &[]), (1, expected));
    let (_, stdout, _) = run(&["log-dirs", "--output", "prometheus", dir.to_str().unwrap()]);
    assert!(stdout.contains(",grade=\"stops_broker\"} 4\n"), "{stdout}");
    assert!(stdout.contains(",grade=\"loses_data\"} 0\n"), "zero is told too: {stdout}");
}

#[test]
fn damage_is_a_problem_where_the_log_was_looked_at() {
    let (_temp, dir) = copied("codecs/data");
    let log = dir.join("c-none-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 0x55;
    std::fs::write(&log, bytes).unwrap();
    let of = |depth| problems(&[&dir], &["--depth", depth, "-t", "c-none"]);
    assert_eq!(of("deep"), (1, set(&[("damage", "c-none-0")])));
    let (_, stdout, _) =
        run(&["log-dirs", "--output", "prometheus", "--depth", "deep", "-t", "c-none", dir.to_str().unwrap()]);
    let damaged = stdout.lines().find(|line| line.starts_with("logdir_partition_damaged_places{")).unwrap();
    assert!(damaged.ends_with(" 1"), "{damaged}");
}

#[test]
fn a_selection_of_nothing_is_said() {
    let (_temp, dir) = copied("codecs/data");
    let path = dir.to_str().unwrap();
    for args in [&["-t", "re:nothing"][..], &["-p", "99"], &["-t", "edge", "-p", "7"]] {
        let (code, stdout, stderr) = run(&[&["log-dirs", path], args].concat());
        assert_eq!((code, stdout.as_str()), (3, ""), "{args:?} {stderr}");
        assert!(stderr.starts_with("error: no "), "{args:?} {stderr}");
    }
    let (code, ..) = run(&["log-dirs", path, "--kind", "stray"]);
    assert_eq!(code, 0, "none of a kind is an answer");
}

#[test]
fn an_unreadable_directory_has_a_series_of_its_own() {
    let (temp, dir) = copied("codecs/data");
    let file = temp.path().join("no-directory");
    std::fs::write(&file, "").unwrap();
    let (code, stdout, _) =
        run(&["log-dirs", "--output", "prometheus", "-t", "edge", dir.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(code, 3);
    assert!(stdout.contains(&format!("logdir_readable{{log_dir=\"{}\"}} 0\n", file.display())), "{stdout}");
    assert!(
        stdout.contains(&format!("logdir_readable{{log_dir=\"{}\",node_id=\"1\"}} 1\n", dir.display())),
        "{stdout}"
    );
}

#[test]
fn a_brokers_settings_say_whose_the_directories_are() {
    let (temp, dir) = copied("codecs/data");
    let properties = temp.path().join("server.properties");
    std::fs::write(&properties, format!("node.id=5\nlog.dirs={}\n", dir.display())).unwrap();
    let (code, stdout, _) = run(&["log-dirs", "-F", properties.to_str().unwrap(), "-t", "edge"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("node.id 1, the broker is 5; it does not start [meta_properties]"), "{stdout}");
    std::fs::write(&properties, format!("node.id=1\nlog.dirs={}\n", dir.display())).unwrap();
    let (code, ..) = run(&["log-dirs", "-F", properties.to_str().unwrap(), "-t", "edge"]);
    assert_eq!(code, 0);
}

#[test]
fn an_open_transaction_and_a_torn_tail_show() {
    let path = fixture("transactions/data").display().to_string();
    let (code, stdout, stderr) = run(&["log-dirs", &path, "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let open: Vec<Value> = rows(&stdout, "partition").into_iter().filter(|row| row["open_transactions"] != 0).collect();
    assert!(!open.is_empty(), "{stdout}");
    assert!(open.iter().all(|row| row["first_open_offset"] == row["last_stable_offset"]), "{open:?}");
    assert!(open.iter().all(|row| row["last_stable_offset"].as_i64() < row["log_end_offset"].as_i64()), "{open:?}");

    let (_temp, dir) = copied("codecs/data");
    let partition = dir.join("oneper-0");
    let mut logs: Vec<PathBuf> = std::fs::read_dir(&partition)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    let last = std::fs::File::options().write(true).open(logs.last().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() - 5).unwrap();
    let (code, stdout, _) = run(&["log-dirs", &dir.display().to_string(), "--json", "-t", "oneper"]);
    let row = rows(&stdout, "partition").remove(0);
    assert_eq!((code, &row["torn_tail"], &row["log_end_offset"]), (0, &true.into(), &299.into()), "{row}");
    assert_eq!(row["high_watermark"], 299, "never above the log end");
}

#[test]
fn compacted_logs_have_a_dirty_ratio() {
    let path = fixture("compacted/data").display().to_string();
    let (code, stdout, stderr) = run(&["log-dirs", &path, "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let rows = rows(&stdout, "partition");
    let compacted: Vec<&Value> = rows.iter().filter(|row| row["cleaner_offset"].is_number()).collect();
    assert!(!compacted.is_empty());
    for row in compacted {
        let (clean, cleanable) = (row["clean_bytes"].as_f64().unwrap(), row["cleanable_bytes"].as_f64().unwrap());
        assert_eq!(
            row["dirty_ratio"].as_f64(),
            (clean + cleanable > 0.0).then(|| cleanable / (clean + cleanable)),
            "{row}"
        );
        assert!(clean + cleanable < row["size_bytes"].as_f64().unwrap() + 1.0, "{row}");
    }
    // As if it had never been cleaned: all but the active segment is dirty.
    let (_temp, dir) = copied("compacted/data");
    std::fs::write(dir.join("cleaner-offset-checkpoint"), "0\n0\n").unwrap();
    let (_, stdout, _) = run(&["log-dirs", &dir.display().to_string(), "--json", "-t", "compact"]);
    let all: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ratios: Vec<&Value> =
        all.iter().filter(|row| row["type"] == "partition").map(|row| &row["dirty_ratio"]).collect();
    assert!(ratios.iter().all(|ratio| **ratio == 1.0) && !ratios.is_empty(), "{ratios:?}");
}

#[test]
fn prometheus_has_each_family_once_and_escapes_labels() {
    let (temp, dir) = copied("codecs/data");
    let odd = temp.path().join("o\"d\\d");
    std::fs::rename(&dir, &odd).unwrap();
    set_property(&odd, "directory.id", "AAAAAAAAAAAAAAAAAAAAbA");
    let (code, stdout, stderr) = run(&["log-dirs", odd.to_str().unwrap(), "--output", "prometheus", "-t", "edge"]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with("warning: ") && stderr.contains("(slows)"), "{stderr}");
    let escaped = odd.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let line = format!(
        "logdir_partition_size_bytes{{log_dir=\"{escaped}\",node_id=\"1\",topic=\"edge\",partition=\"0\",kind=\"live\"}} 123585"
    );
    assert!(stdout.lines().any(|found| found == line), "{line}\n{stdout}");
    assert!(stdout.contains("grade=\"slows\",code=\"misplaced\"} 1\n"), "{stdout}");
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut current = String::new();
    let lines: Vec<&str> = stdout.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(current.clone()), "{current} comes twice");
            assert_eq!(lines[number + 1], format!("# TYPE {current} gauge"));
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(&format!("{current}{{")) && value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name), "{name} comes twice");
        }
    }
    assert!(families.len() > 15 && families.contains("logdir_file_system_free_bytes"), "{families:?}");
    let (_, deep, _) =
        run(&["log-dirs", odd.to_str().unwrap(), "--output", "prometheus", "-t", "edge", "--depth", "deep"]);
    assert!(
        deep.contains("logdir_partition_records{") && deep.contains("logdir_partition_compression_ratio{"),
        "{deep}"
    );
}

#[test]
fn mistakes_are_answered_with_a_way_out() {
    let path = codecs();
    let partition = format!("{path}/edge-0");
    let cases: [(&[&str], i32, &str); 8] = [
        (&["log-dirs", &path, "-d", &path], 2, "error: a PATH and -d or -F both say what to read\nhint: "),
        (&["log-dirs", &path, "--output", "kafka", "--by", "topic"], 2, "hint: use --output table, json or tsv"),
        (&["log-dirs", &path, "--output", "prometheus", "--top", "3"], 2, "this format has none"),
        (&["log-dirs", &path, "--by", "topic", "--sort", "dirty"], 2, "are of partitions, not of sums of them"),
        (&["log-dirs", &path, "-t", "egde"], 3, "hint: did you mean 'edge'?"),
        (
            &["log-dirs", &partition],
            3,
            "a partition directory, not a log directory\nhint: name the log directory around it: ",
        ),
        (&["log-dirs", "nowhere"], 3, "error: nowhere: No such file or directory"),
        (&["verify", &path, "--output", "prometheus"], 2, "hint: use --output table or json"),
    ];
    for (args, expected, said) in cases {
        let (code, _, stderr) = run(args);
        assert_eq!(code, expected, "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    // The others are shown, and a broker that has one offline says so.
    let (code, stdout, _) = run(&["log-dirs", &path, "nowhere", "--output", "kafka"]);
    assert_eq!(code, 3);
    assert!(
        stdout.contains(
            "{\"partitions\":[],\"error\":\"org.apache.kafka.common.errors.KafkaStorageException\",\"logDir\":"
        ),
        "{stdout}"
    );
}
