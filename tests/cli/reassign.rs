//! `logdir reassign`: plans from JSON and from directories, their files, how far directories are from one, and every refusal.

#[path = "../support/reassign.rs"]
mod recorded;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::{copy, logdir, run};

const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Exit code, stdout and stderr with this on stdin.
fn piped(args: &[&str], stdin: &str) -> (i32, String, String) {
    let output = logdir(args).write_stdin(stdin).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A plan in Kafka's form: topic, partition, replicas.
fn plan(partitions: &[(&str, i32, &[i32])]) -> String {
    let one = |(topic, partition, replicas): &(&str, i32, &[i32])| json!({"topic": topic, "partition": partition, "replicas": replicas});
    json!({"version": 1, "partitions": partitions.iter().map(one).collect::<Vec<_>>()}).to_string()
}

/// An empty log directory of a broker.
fn log_dir(root: &Path, name: &str, node: i32) -> PathBuf {
    let dir = root.join(name);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("meta.properties"), format!("version=1\nnode.id={node}\ncluster.id={CLUSTER}\n")).unwrap();
    dir
}

/// A topic with records in a log directory.
fn produce(dir: &Path, topic: &str, partitions: usize, records: usize) {
    let lines: String = (0..records).map(|it| format!("{it} of {topic}\n")).collect();
    let args =
        ["produce", "-d", text(dir), "-t", topic, "--create", &partitions.to_string(), "--partitioner", "round-robin"];
    let (code, _, said) = piped(&args, &lines);
    assert_eq!(code, 0, "{said}");
}

/// Another replica of a partition.
fn replicate(from: &Path, to: &Path, partition: &str) {
    copy(&from.join(partition), &to.join(partition));
}

#[test]
fn the_tools_list_becomes_a_plan_for_the_tool() {
    let lists: Vec<(&str, i32, &[i32])> = (0..6).map(|it| ("a", it, &[1, 2][..])).collect();
    let generated = format!(
        "Current partition replica assignment\n{}\n\nProposed partition reassignment configuration\n{}\n",
        plan(&lists),
        plan(&[])
    );
    let args = ["reassign", "generate", "--cluster", "-", "--broker-list", "1,2,3"];
    let (code, stdout, stderr) = piped(&args, &generated);
    assert_eq!(code, 0, "{stderr}");
    let planned: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1);
    assert!(stdout.starts_with("{\"version\":1,\"partitions\":[{\"topic\":\"a\",\"partition\":"), "{stdout}");
    let mut leaders = [2, 2, 2];
    let mut counts = [0; 4];
    let mut lists: Vec<Vec<i64>> = vec![vec![1, 2]; 6];
    for it in planned["partitions"].as_array().unwrap() {
        assert_eq!(it["log_dirs"], json!(["any", "any"]));
        let replicas = it["replicas"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        lists[usize::try_from(it["partition"].as_i64().unwrap()).unwrap()] = replicas;
    }
    for list in &lists {
        list.iter().for_each(|id| counts[usize::try_from(*id).unwrap()] += 1);
        leaders[usize::try_from(list[0] - 1).unwrap()] -= 1;
    }
    assert_eq!((counts, leaders), ([0, 4, 4, 4], [0, 0, 0]), "{lists:?}");
    assert!(stderr.contains("sizes are not known: replicas are levelled by their number"), "{stderr}");
    assert!(stderr.contains("moved replicas           -           4           4"), "{stderr}");
    // The same once more, and quietly.
    let (code, again, said) = piped(&[&args[..], &["-q"]].concat(), &generated);
    assert_eq!((code, again, said.as_str()), (0, stdout, ""));

    let (code, stdout, stderr) =
        piped(&["reassign", "generate", "--cluster", "-"], &plan(&[("a", 0, &[1, 2]), ("a", 1, &[2, 1])]));
    assert_eq!((code, stdout.as_str()), (0, "{\"version\":1,\"partitions\":[]}\n"));
    assert!(stderr.contains("nothing to do: the plan is empty"), "{stderr}");
}

#[test]
fn output_kafka_is_the_text_of_the_tool() {
    let current =
        json!({"partitions": [{"topic": "a", "partition": 0, "replicas": [1], "log_dirs": ["/d1"]}]}).to_string();
    let args = ["reassign", "generate", "--cluster", "-", "--broker-list", "2", "--output", "kafka", "-q"];
    let (code, stdout, _) = piped(&args, &current);
    let expected = "Current partition replica assignment\n\
        {\"version\":1,\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[1],\"log_dirs\":[\"/d1\"]}]}\n\n\
        Proposed partition reassignment configuration\n\
        {\"version\":1,\"partitions\":[{\"topic\":\"a\",\"partition\":0,\"replicas\":[2],\"log_dirs\":[\"any\"]}]}\n";
    assert_eq!((code, stdout.as_str()), (0, expected));
}

#[test]
fn what_only_the_tools_json_names_is_left_to_the_broker() {
    let one =
        |partition: i32, dir: &str| json!({"topic": "a", "partition": partition, "replicas": [1], "log_dirs": [dir]});
    let current = json!({"partitions": [one(0, "/d1"), one(1, "/d2"), one(2, "/d1"), one(3, "/d1")]}).to_string();
    let (code, stdout, stderr) =
        piped(&["reassign", "generate", "--cluster", "-", "--replication-factor", "2", "--add", "2"], &current);
    assert_eq!((code, stdout.matches("\"log_dirs\":[\"any\",\"any\"]").count()), (0, 4), "{stdout}{stderr}");
}

#[test]
fn directories_give_sizes_disks_and_who_has_what() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = [("b1/d1", 1), ("b1/d2", 1), ("b2/d1", 2)].map(|(name, node)| log_dir(temp.path(), name, node));
    produce(&dirs[0], "big", 6, 6_000);
    produce(&dirs[1], "small", 2, 10);
    replicate(&dirs[1], &dirs[2], "small-0");
    let named = dirs.each_ref().map(|dir| text(dir)).join(",");
    let (code, stdout, stderr) =
        run(&["reassign", "generate", "-d", &named, "--add", "3=r3", "--json", "--throttle", "1KiB/s"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("which replica is preferred is not known"), "{stderr}");
    let rows = rows(&stdout);
    let of = |kind: &str| rows.iter().filter(|row| row["type"] == kind).collect::<Vec<_>>();
    let size = |dir: &Path| {
        let logs = fs::read_dir(dir)
            .unwrap()
            .map(|it| it.unwrap().path())
            .filter(|it| it.extension().is_some_and(|it| it == "log"));
        logs.map(|log| fs::metadata(log).unwrap().len()).sum::<u64>()
    };
    let big: u64 = (0..6).map(|it| size(&dirs[0].join(format!("big-{it}")))).sum();
    let disk = of("disk")[0];
    assert_eq!((&disk["broker"], &disk["log_dir"]), (&json!(1), &json!(text(&dirs[0]))));
    assert_eq!((&disk["size_bytes_before"], &disk["replicas_before"]), (&json!(big), &json!(6)));
    assert!(disk["capacity_bytes"].as_u64() > Some(big), "{disk}");
    let brokers: Vec<_> = of("broker")
        .iter()
        .map(|row| (row["broker"].clone(), row["state"].clone(), row["replicas_before"].clone()))
        .collect();
    assert_eq!(
        brokers,
        [(json!(1), json!("keep"), json!(8)), (json!(2), json!("keep"), json!(1)), (json!(3), json!("new"), json!(0))]
    );
    let summary = of("summary")[0];
    let moved: u64 = of("move").iter().map(|row| row["gains"].as_array().unwrap().len() as u64).sum();
    assert_eq!(summary["moved_replicas"], json!(moved));
    assert_eq!(summary["count_excess"], json!(0));
    assert_eq!(of("wave").len(), 1);
    let wave = of("wave")[0];
    assert_eq!(wave["seconds"], json!(wave["largest_flow_bytes"].as_u64().unwrap().div_ceil(1024)));
    assert_eq!(summary["seconds"], wave["seconds"]);
    assert!(summary["seconds"].as_u64() > Some(0), "{summary}");

    // What a file says of who has what goes before, and directories give sizes.
    let lists = plan(&[("big", 0, &[2, 1]), ("big", 3, &[1])]);
    let (code, stdout, stderr) =
        piped(&["reassign", "generate", "--cluster", "-", "-d", &named, "--json", "--bytes-tolerance", "10"], &lists);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("preferred"), "{stderr}");
    let summary: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["partitions"], json!(2));
}

#[test]
fn files_of_a_plan_are_waves_that_come_to_it_and_the_way_back() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("plan");
    let lists: Vec<(String, i32, Vec<i32>)> = (0..9).map(|it| ("t".to_owned(), it, vec![1, 2])).collect();
    let borrowed: Vec<(&str, i32, &[i32])> =
        lists.iter().map(|(topic, it, ids)| (topic.as_str(), *it, ids.as_slice())).collect();
    let picture = temp.path().join("plan.svg");
    let args = ["reassign", "generate", "--cluster", "-", "--drain", "2", "--add", "3", "--add", "4"];
    let more = ["--wave-partitions", "4", "--out-dir", text(&out), "--svg", text(&picture), "--throttle", "1MiB/s"];
    let (code, stdout, stderr) = piped(&[&args[..], &more].concat(), &plan(&borrowed));
    assert_eq!(code, 0, "{stderr}");
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let partitions =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["partitions"].as_array().unwrap().clone();
    assert_eq!(read("plan.json"), stdout);
    let mut waves: Vec<Value> = Vec::new();
    for number in 1..=3 {
        let wave = partitions(&read(&format!("wave-00{number}.json")));
        assert!((1..=4).contains(&wave.len()), "{wave:?}");
        waves.extend(wave);
    }
    waves.sort_by_key(|it| it["partition"].as_i64());
    assert_eq!(waves, partitions(&stdout));
    assert!(!out.join("wave-004.json").exists());
    let back = partitions(&read("rollback.json"));
    assert_eq!(back.len(), 9);
    assert!(back.iter().all(|it| it["replicas"] == json!([1, 2])), "{back:?}");
    assert!(fs::read_to_string(&picture).unwrap().starts_with("<svg "));
    assert!(stderr.contains("\n3 waves\n"), "{stderr}");

    let (code, _, stderr) = piped(&[&args[..], &more].concat(), &plan(&borrowed));
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("plan: there are waves of another plan\nhint: name an empty directory"), "{stderr}");
}

#[test]
fn a_replication_factor_goes_up_and_down() {
    let lists = plan(&[("a", 0, &[1, 2]), ("a", 1, &[2, 3]), ("a", 2, &[3, 1]), ("b", 0, &[1, 2, 3])]);
    let factors = |args: &[&str]| {
        let (code, stdout, stderr) = piped(&[&["reassign", "generate", "--cluster", "-", "-q"], args].concat(), &lists);
        let plan: Value = serde_json::from_str(&stdout).unwrap();
        let of = |it: &Value| (it["topic"].as_str().unwrap().to_owned(), it["replicas"].as_array().unwrap().len());
        (code, plan["partitions"].as_array().unwrap().iter().map(of).collect::<Vec<_>>(), stderr)
    };
    let a = |count: usize| ("a".to_owned(), count);
    assert_eq!(factors(&["--replication-factor", "3"]).1, [a(3), a(3), a(3)]);
    let (_, planned, _) = factors(&["--replication-factor", "a=3", "--replication-factor", "1"]);
    assert_eq!(planned, [a(3), a(3), a(3), ("b".to_owned(), 1)]);
    assert_eq!(factors(&["--replication-factor", "1"]).1.len(), 4);
}

#[test]
fn what_is_pinned_excluded_or_dead_is_left_alone_or_made_anew() {
    let temp = tempfile::tempdir().unwrap();
    let lists = plan(&[("a", 0, &[1, 2]), ("a", 1, &[1, 2]), ("b", 0, &[1, 2]), ("b", 1, &[1, 3]), ("c", 0, &[3])]);
    let planned = |args: &[&str]| {
        let (code, stdout, stderr) = piped(&[&["reassign", "generate", "--cluster", "-"], args].concat(), &lists);
        let plan: Value = serde_json::from_str(&stdout).unwrap();
        (code, plan["partitions"].as_array().unwrap().clone(), stderr)
    };
    let topics = temp.path().join("topics.json");
    fs::write(&topics, "{\"version\":1,\"topics\":[{\"topic\":\"b\"}]}").unwrap();
    for args in [&["--pin", "a", "--pin", "re:^c"][..], &["--topics-to-move-json-file", text(&topics)]] {
        let (_, changed, stderr) = planned(&[&["--add", "4"], args].concat());
        assert!(!changed.is_empty() && changed.iter().all(|it| it["topic"] == "b"), "{args:?}: {changed:?} {stderr}");
    }
    // As Kafka's own --generate: what is not to be moved may stay on brokers that are not named.
    let (_, changed, stderr) = planned(&["--broker-list", "2,4", "--topics-to-move-json-file", text(&topics)]);
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed.iter().all(|it| it["topic"] == "b") && !stderr.contains("to be emptied"), "{changed:?} {stderr}");
    let (code, _, stderr) = planned(&["--broker-list", "2,4", "--pin", "a"]);
    assert!(code == 1 && stderr.contains("broker 1: 2 replicas stay, though it is to be emptied"), "{stderr}");
    let (_, changed, stderr) = planned(&["--add", "4", "--exclude-broker", "2"]);
    let keeps_2 = |it: &Value| {
        it["replicas"].as_array().unwrap().contains(&json!(2)) == (it["topic"] == "a" || it["partition"] == 0)
    };
    assert!(!changed.is_empty() && changed.iter().filter(|it| it["topic"] != "c").all(keeps_2), "{changed:?} {stderr}");
    // All that broker 3 had is made elsewhere, but for what nobody else has.
    let (code, changed, stderr) = planned(&["--dead", "3"]);
    assert!(changed.iter().any(|it| it["topic"] == "b" && it["partition"] == 1), "{changed:?}");
    assert!(changed.iter().all(|it| it["topic"] != "c"), "{changed:?}");
    assert_eq!(code, 1);
    assert!(stderr.contains("warning: ") && stderr.contains("c-0"), "{stderr}");
    // More replicas than there are brokers for are as many as there are.
    let (code, changed, stderr) = planned(&["--replication-factor", "4"]);
    assert!(changed.iter().all(|it| it["replicas"].as_array().unwrap().len() == 3), "{changed:?}");
    assert_eq!((code, changed.len()), (1, 5), "{stderr}");
}

#[test]
fn verify_tells_what_is_done_in_the_words_of_the_tool() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = [("b1", 1), ("b2/d1", 2), ("b2/d2", 2)].map(|(name, node)| log_dir(temp.path(), name, node));
    produce(&dirs[0], "t", 3, 30);
    replicate(&dirs[0], &dirs[1], "t-0");
    fs::rename(dirs[0].join("t-1"), dirs[2].join("t-1")).unwrap();
    let named = dirs.each_ref().map(|dir| text(dir)).join(",");
    let file = temp.path().join("plan.json");
    let plan = json!({"partitions": [
        {"topic": "t", "partition": 0, "replicas": [2, 1], "log_dirs": [text(&dirs[1]), "any"]},
        {"topic": "t", "partition": 1, "replicas": [2], "log_dirs": [text(&dirs[1])]},
        {"topic": "t", "partition": 2, "replicas": [2, 1]},
    ]});
    fs::write(&file, plan.to_string()).unwrap();
    let args = ["reassign", "verify", "--reassignment-json-file", text(&file), "-d", &named];
    let (code, stdout, stderr) = run(&args);
    let expected = format!(
        "Status of partition reassignment:\n\
         Reassignment of partition t-0 is completed.\n\
         Reassignment of partition t-1 is completed.\n\
         There is no active reassignment of partition t-2, but replica set is 1 rather than 2,1.\n\
         Reassignment of replica t-0-2 completed successfully.\n\
         Partition t-1 on broker 2 is not being moved from log dir {} to {}.\n",
        text(&dirs[2]),
        text(&dirs[1])
    );
    assert_eq!((code, stdout.as_str()), (1, expected.as_str()), "{stderr}");
    assert!(stderr.contains("broker 2 is to have t-2, and no log directory of it here does"), "{stderr}");

    let (code, stdout, _) = run(&[&args[..], &["--json"]].concat());
    let rows = rows(&stdout);
    assert_eq!((code, rows.len()), (1, 6));
    assert_eq!(
        rows[2],
        json!({"type": "partition", "topic": "t", "partition": 2, "status": "differs", "replicas": [1], "wanted": [2, 1]})
    );
    assert_eq!(rows[5]["completed"], json!(false));

    replicate(&dirs[0], &dirs[2], "t-2");
    fs::rename(dirs[2].join("t-1"), dirs[1].join("t-1")).unwrap();
    let (code, stdout, stderr) = run(&args);
    assert_eq!(code, 0, "{stdout}{stderr}");
    // The same by other names of the directories.
    let (code, _, stderr) = run(&[
        "reassign",
        "verify",
        "--reassignment-json-file",
        text(&file),
        "-d",
        &named.replace("/b2/", "/b2/../b2/"),
    ]);
    assert_eq!(code, 0, "{stderr}");
    // Where some brokers are not looked into.
    let (code, _, stderr) = run(&["reassign", "verify", "--reassignment-json-file", text(&file), "-d", text(&dirs[0])]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no directory of the brokers 2 is here"), "{stderr}");
}

#[test]
fn what_cannot_be_planned_is_said_with_what_to_do() {
    let lists = plan(&[("a", 0, &[1, 2])]);
    let refused: [(&[&str], &str, i32, &str); 15] = [
        (
            &[],
            "nothing",
            3,
            "stdin: there is no JSON object in it\nhint: expected is what kafka-reassign-partitions.sh --generate prints",
        ),
        (&[], "{\"partitions\":[{\"topic\":1}]}", 3, "error: stdin: invalid type: integer `1`"),
        (&[], "{\"schema\":\"reassign-instance/9\"}", 3, "error: stdin: "),
        (
            &["--drain", "7"],
            &lists,
            2,
            "--drain 7: there is no such broker\nhint: there are 1, 2; a new one joins with --add 7",
        ),
        (&["--exclude-broker", "7"], &lists, 2, "--exclude-broker 7: there is no such broker"),
        (&["--pin", "b"], &lists, 3, "there is no topic 'b' (1 topics)"),
        (&["--rack", "7=x"], &lists, 2, "--rack 7: there is no such broker"),
        (
            &["--drain", "1,2"],
            &lists,
            1,
            "no plan: no broker is left to have replicas\nhint: name more with --broker-list",
        ),
        (&["--replication-factor", "x=1"], &lists, 3, "--replication-factor: there is no topic 'x'"),
        (&["--replication-factor", "0"], &lists, 2, "expected a number of replicas from 1, not '0'"),
        (&["--bytes-tolerance", "nan"], &lists, 2, "expected a part such as 0.1 or 10%, not 'nan'"),
        (&["--throttle", "0"], &lists, 2, "nothing moves at 0 bytes a second"),
        (&["--wave-partitions", "0"], &lists, 2, "expected a number from 1"),
        (&["--output", "tsv"], &lists, 2, "--output tsv is not offered"),
        (&["--add", "-3"], &lists, 2, "unexpected argument"),
    ];
    for (args, stdin, expected, said) in refused {
        let (code, stdout, stderr) = piped(&[&["reassign", "generate", "--cluster", "-"], args].concat(), stdin);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    let huge = json!({"schema": "reassign-instance/1", "name": "x", "rules": {}, "brokers": [{"id": 1, "state": "keep"}],
        "topics": [{"name": "a", "partitions": [[u64::MAX, [1]], [u64::MAX, [1]]]}]});
    let (code, _, stderr) = piped(&["reassign", "generate", "--cluster", "-"], &huge.to_string());
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("the sizes of all partitions come to more than a disk could hold"), "{stderr}");

    let temp = tempfile::tempdir().unwrap();
    let (one, other) = (log_dir(temp.path(), "one", 1), temp.path().join("other"));
    fs::create_dir(&other).unwrap();
    let (code, _, stderr) = run(&["reassign", "generate", "-d", text(&other)]);
    assert_eq!(code, 3);
    assert!(stderr.contains("other: its meta.properties names no node.id, so whose it is is not known"), "{stderr}");
    fs::write(other.join("meta.properties"), "version=1\nnode.id=2\ncluster.id=another\n").unwrap();
    let (code, _, stderr) = run(&["reassign", "generate", "-d", &format!("{},{}", text(&one), text(&other))]);
    assert_eq!(code, 3);
    assert!(stderr.contains(&format!("other: its cluster.id is another, not {CLUSTER}")), "{stderr}");
}

#[test]
fn nothing_that_is_read_brings_it_down() {
    let texts = [
        "{\"partitions\":[]}".to_owned(),
        plan(&[("", 0, &[1])]),
        plan(&[("a", i32::MAX, &[i32::MAX, -5, 0])]),
        plan(&[("a", 2_000_000_000, &[1]), ("a", 0, &[2])]),
        "{\"schema\":\"reassign-instance/1\",\"name\":\"x\",\"rules\":{},\"brokers\":[],\"topics\":[]}".to_owned(),
        "{\"schema\":\"reassign-instance/1\",\"name\":\"x\",\"rules\":{\"rack\":\"distinct\",\"bytes_tolerance\":0.0},\
          \"brokers\":[{\"id\":1,\"rack\":\"r\",\"state\":\"drain\"},{\"id\":2,\"rack\":null,\"state\":\"new\",\"log_dirs\":[{\"path\":\"/d\",\"capacity\":0}]}],\
          \"topics\":[{\"name\":\"t\",\"partitions\":[[5,[1],[9]],[0,[]]]},{\"name\":\"t\",\"partitions\":[]}]}"
            .to_owned(),
        "{".repeat(10_000),
    ];
    for stdin in &texts {
        for args in [
            &[][..],
            &["--json"],
            &["--output", "kafka"],
            &["--add", "9=x", "--replication-factor", "2", "--wave-bytes", "1"],
        ] {
            let (code, _, stderr) = piped(&[&["reassign", "generate", "--cluster", "-"], args].concat(), stdin);
            assert!(matches!(code, 0 | 1 | 3), "{code} of {args:?} on {stdin}: {stderr}");
        }
    }
}

#[test]
fn recorded_instances_are_planned_as_the_judge_wants_them() {
    let Some(dir) = recorded::reassign_dir() else { return };
    for name in ["s01-add-tiny", "s03-drain", "s04-rf2to3", "s08-uneven-racks", "s11-noop"] {
        let file = dir.join("instances").join(format!("{name}.json"));
        let (code, plan, stderr) = run(&["reassign", "generate", "--cluster", text(&file)]);
        assert_eq!(code, 0, "{name}: {stderr}");
        let temp = tempfile::tempdir().unwrap();
        let plan_file = temp.path().join("plan.json");
        fs::write(&plan_file, &plan).unwrap();
        match std::process::Command::new("python3")
            .arg(dir.join("check.py"))
            .arg(&file)
            .arg(&plan_file)
            .arg("--strict")
            .output()
        {
            Err(_) => eprintln!("not judged: no python3"),
            Ok(judged) => assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stdout)),
        }
        assert_eq!(plan == "{\"version\":1,\"partitions\":[]}\n", name == "s11-noop", "{name}");
    }
}

#[test]
fn who_wants_balance_gets_bytes_nearer_to_fair_for_more_that_is_moved() {
    let Some(dir) = recorded::reassign_dir() else { return };
    let file = dir.join("instances/s02-add-racks.json");
    let summary = |objective: &str| {
        let args = ["reassign", "generate", "--cluster", text(&file), "--objective", objective, "--json", "-q"];
        let (code, stdout, stderr) = run(&args);
        assert_eq!(code, 0, "{objective}: {stderr}");
        let rows = rows(&stdout);
        let bytes =
            rows.iter().filter(|row| row["type"] == "broker").map(|row| row["size_bytes_after"].as_f64().unwrap());
        let bytes: Vec<f64> = bytes.collect();
        let spread = bytes.iter().copied().fold(0.0, f64::max) / bytes.iter().copied().fold(f64::MAX, f64::min);
        let moved = rows.iter().find(|row| row["type"] == "summary").unwrap()["moved_bytes"].as_u64().unwrap();
        (spread, moved)
    };
    let (least, level) = (summary("min-move"), summary("balance"));
    assert!(level.0 < 1.05 && least.0 > 1.15, "{least:?}, {level:?}");
    assert!(level.1 > least.1 && level.1 < least.1 * 5 / 4, "{least:?}, {level:?}");
}
