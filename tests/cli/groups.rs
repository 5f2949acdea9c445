//! `logdir groups`: what a person and a script see.

use std::path::Path;

use serde_json::Value;

use super::support::{copied, run, run_in, state_of};

/// A directory without a metadata log, with a topic of two partitions and three partitions of `__consumer_offsets`.
fn made() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let input = temp.path().join("records");
    std::fs::write(&input, (0..40).map(|number| format!("k{number}:v\n")).collect::<String>()).unwrap();
    let (code, _, stderr) = run_in(
        temp.path(),
        &["produce", "-d", "data", "-t", "orders", "--create", "2", "-K", ":", "-l", input.to_str().unwrap()],
    );
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) =
        run_in(temp.path(), &["topics", "create", "__consumer_offsets", "--partitions", "3", "-d", "data"]);
    assert_eq!(code, 0, "{stderr}");
    temp
}

fn groups(dir: &Path, args: &[&str]) -> (i32, String, String) {
    run_in(dir, &[&["groups"][..], args, &["-d", "data"]].concat())
}

fn rows(dir: &Path, args: &[&str]) -> Vec<Value> {
    let (_, stdout, stderr) = groups(dir, &[args, &["--json"]].concat());
    assert!(!stdout.is_empty(), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn offsets_are_set_moved_and_deleted() {
    let temp = made();
    let dir = temp.path();
    let ends: Vec<i64> = {
        let (_, stdout, _) = run_in(dir, &["offsets", "-d", "data", "-t", "orders", "--json"]);
        stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_i64().unwrap()).collect()
    };
    assert_eq!(ends.iter().sum::<i64>(), 40);

    // A dry run changes no byte.
    let before = state_of(&dir.join("data"));
    let (code, stdout, stderr) = groups(dir, &["reset-offsets", "billing", "-t", "orders", "--to-latest"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("GROUP ") && stderr.contains("nothing written"), "{stdout}{stderr}");
    assert_eq!(state_of(&dir.join("data")), before);

    let set = |args: &[&str]| {
        let (code, stdout, stderr) = groups(dir, &[args, &["--execute"]].concat());
        assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
    };
    set(&["reset-offsets", "billing", "-t", "orders", "--to-latest"]);
    let described = rows(dir, &["describe", "billing"]);
    let offsets: Vec<i64> = described.iter().map(|row| row["current_offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, ends);
    assert!(described.iter().all(|row| row["lag"] == 0 && row["trouble"].is_null()), "{described:?}");

    set(&["reset-offsets", "billing", "-t", "orders:0", "--shift-by", "-3"]);
    assert_eq!(rows(dir, &["describe", "billing"])[0]["lag"], 3);
    set(&["reset-offsets", "billing", "-t", "orders:1", "--to-offset", "999"]);
    assert_eq!(rows(dir, &["describe", "billing"])[1]["current_offset"], ends[1], "the nearest end");

    let (code, csv, _) = groups(dir, &["reset-offsets", "billing", "--all-topics", "--to-current", "--export"]);
    assert_eq!((code, csv.as_str()), (0, format!("orders,0,{}\norders,1,{}\n", ends[0] - 3, ends[1]).as_str()));
    std::fs::write(dir.join("plan.csv"), &csv).unwrap();
    set(&["reset-offsets", "copy", "--from-file", "plan.csv"]);
    assert_eq!(rows(dir, &["describe", "copy"])[0]["current_offset"], ends[0] - 3);

    let (code, kafka, _) =
        groups(dir, &["reset-offsets", "copy", "--all-topics", "--to-earliest", "--output", "kafka"]);
    let expected = "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n\
                    copy            orders          0          0\n\
                    copy            orders          1          0\n";
    assert_eq!((code, kafka.as_str()), (0, expected));

    set(&["delete-offsets", "copy", "-t", "orders", "-p", "1"]);
    assert_eq!(rows(dir, &["describe", "copy"]).len(), 1);
    set(&["delete", "copy"]);
    let (_, listed, _) = groups(dir, &["list", "--output", "kafka"]);
    assert_eq!(listed, "billing\n");
    let (code, stdout, stderr) = run_in(dir, &["verify", "-d", "data"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn what_is_not_there_is_said() {
    let temp = made();
    let dir = temp.path();
    groups(dir, &["reset-offsets", "billing", "-t", "orders", "--to-latest", "--execute"]);
    for (args, code, said) in [
        (&["describe", "biling"][..], 3, "hint: did you mean 'billing'?"),
        (&["delete", "nobody"], 3, "error: group 'nobody' not found in data"),
        (&["reset-offsets", "g", "-t", "ordres", "--to-latest"], 3, "hint: did you mean 'orders'?"),
        (&["reset-offsets", "g", "-t", "orders:7", "--to-latest"], 3, "topic 'orders' has none of these partitions"),
        (&["reset-offsets", "g", "--all-topics", "--to-latest"], 3, "these groups have committed nothing"),
        (&["reset-offsets", "g", "-t", "orders", "--shift-by", "1"], 3, "nothing is committed there"),
        (&["reset-offsets", "g", "-t", "orders"], 2, "required"),
        (&["delete-offsets", "billing", "-t", "users"], 3, "has committed nothing there"),
        (&["list", "--state", "Dead"], 2, "no state of groups"),
    ] {
        let (found, stdout, stderr) = groups(dir, args);
        assert!(found == code && stderr.contains(said), "{args:?}: {found} {stdout}{stderr}");
    }
}

/// Names of directories, sorted.
fn directories(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_topic_is_made_by_whoever_commits_first() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::write(dir.join("records"), "a\nb\n").unwrap();
    let (code, _, stderr) = run_in(dir, &["produce", "-d", "data", "-t", "orders", "--create", "1", "-l", "records"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(groups(dir, &["list", "--json"]).1, "");
    let before = state_of(&dir.join("data"));
    let reset = ["reset-offsets", "g", "-t", "orders", "--to-latest"];
    let (code, _, stderr) = groups(dir, &reset);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("would make topic '__consumer_offsets' with 50 partitions first"), "{stderr}");
    assert_eq!(state_of(&dir.join("data")), before, "a dry run makes nothing");

    let (code, _, stderr) = groups(dir, &[&reset[..], &["--execute"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("made topic '__consumer_offsets' with 50 partitions, id "), "{stderr}");
    assert!(stderr.contains("no metadata log is in these directories"), "{stderr}");
    assert_eq!(directories(&dir.join("data")).len(), 51);
    assert_eq!(rows(dir, &["describe", "g"])[0]["current_offset"], 2);
    let (code, stdout, stderr) = run_in(dir, &["verify", "-d", "data"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (_, stdout, _) = run_in(dir, &["topics", "describe", "__consumer_offsets", "-d", "data", "--json"]);
    assert!(stdout.contains("\"topic_id\":\""), "{stdout}");

    // As a run leaves it that ended while the partitions got their names: the next one makes the rest, under the same id.
    let id =
        |partition: &str| std::fs::read_to_string(dir.join("data").join(partition).join("partition.metadata")).unwrap();
    let made = id("__consumer_offsets-49");
    for number in 0..40 {
        std::fs::remove_dir_all(dir.join(format!("data/__consumer_offsets-{number}"))).unwrap();
    }
    // "g" stands in one that has records: it cannot be told whether the rest were lost.
    let reset = |args: &[&str]| groups(dir, &[&["reset-offsets", "h", "-t", "orders", "--execute"][..], args].concat());
    let holds = (40..50).find(|number| {
        let log = dir.join(format!("data/__consumer_offsets-{number}/00000000000000000000.log"));
        std::fs::metadata(log).unwrap().len() > 0
    });
    if let Some(number) = holds {
        let (code, _, stderr) = reset(&["--to-latest"]);
        assert!(code == 3 && stderr.contains("how many it has is not known"), "{code} {stderr}");
        let name = format!("data/__consumer_offsets-{number}/00000000000000000000.log");
        std::fs::write(dir.join(name), "").unwrap();
    }
    let (code, _, stderr) = reset(&["--to-latest"]);
    assert!(code == 0 && stderr.contains("of topic '__consumer_offsets' with 50 partitions"), "{code} {stderr}");
    assert_eq!(directories(&dir.join("data")).len(), 51);
    assert_eq!(id("__consumer_offsets-0"), made);

    // With what a broker's settings say, on several directories.
    let (code, _, stderr) = run_in(dir, &["produce", "-d", "a", "-t", "orders", "--create", "1", "-l", "records"]);
    assert_eq!(code, 0, "{stderr}");
    std::fs::create_dir(dir.join("b")).unwrap();
    let properties = format!("log.dirs={0}/a,{0}/b\noffsets.topic.num.partitions=4\n", dir.display());
    std::fs::write(dir.join("server.properties"), properties).unwrap();
    let (code, _, stderr) = run_in(
        dir,
        &["groups", "reset-offsets", "g", "-t", "orders", "--to-latest", "--execute", "-F", "server.properties"],
    );
    assert_eq!(code, 0, "{stderr}");
    let made: Vec<String> = ["a", "b"].iter().flat_map(|name| directories(&dir.join(name))).collect();
    assert_eq!(made.iter().filter(|name| name.starts_with("__consumer_offsets-")).count(), 4, "{made:?}");
}

#[test]
fn a_topic_that_its_cluster_does_not_know_is_made_with_a_warning() {
    let (_temp, dir) = copied("codecs/data");
    let path = dir.display().to_string();
    let before = state_of(&dir);
    let (code, stdout, _) = run(&["groups", "list", "-d", &path, "--json"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    let reset = ["groups", "reset-offsets", "g", "-t", "edge", "--to-latest", "-d", &path];
    let (code, _, stderr) = run(&reset);
    let said = "the cluster's metadata does not know topic '__consumer_offsets'";
    assert!(code == 0 && stderr.contains(said), "{code} {stderr}");
    assert_eq!(state_of(&dir), before);
    let (code, _, stderr) = run(&[&reset[..], &["--execute"]].concat());
    assert!(code == 0 && stderr.contains(said) && stderr.contains("logdir groups import FILE"), "{code} {stderr}");
    let (_, stdout, _) = run(&["groups", "list", "-d", &path, "--output", "kafka"]);
    assert_eq!(stdout, "g\n");
}

#[test]
fn assignors_decide_as_kafkas_do() {
    let assigned = |args: &[&str]| -> Vec<(String, Vec<String>)> {
        let (code, stdout, stderr) = run(&[&["groups", "assign", "--json"][..], args].concat());
        assert_eq!(code, 0, "{args:?}: {stderr}");
        let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names = |row: &Value| {
            row["assignment"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let members = rows.iter().filter(|row| row["type"] == "member");
        members.map(|row| (row["member"].as_str().unwrap().to_owned(), names(row))).collect()
    };
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let range = assigned(&["-t", "t0=10", "--members", "3", "--assignor", "range"]);
    assert_eq!(range[0], ("C0".to_owned(), strings(&["t0-0", "t0-1", "t0-2", "t0-3"])));
    assert_eq!(range[2].1, strings(&["t0-7", "t0-8", "t0-9"]));
    let robin = assigned(&["-t", "t0=3,t1=3", "--members", "3", "--assignor", "roundrobin"]);
    assert_eq!(robin[1].1, strings(&["t0-1", "t1-1"]));
    for assignor in ["sticky", "cooperative-sticky", "uniform", "server-range"] {
        let sizes: Vec<usize> = assigned(&["-t", "t0=10", "--members", "3", "--assignor", assignor])
            .iter()
            .map(|(_, all)| all.len())
            .collect();
        assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (10, Some(&4)), "{assignor} {sizes:?}");
    }
    // One more joins: it takes from those that have most, and nothing else moves.
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("members");
    std::fs::write(
        &file,
        "{\"id\":\"a\",\"topics\":[\"t\"],\"owned\":{\"t\":[0,1,2]},\"generation\":4}\n\
         {\"id\":\"b\",\"topics\":[\"t\"],\"owned\":{\"t\":[3,4,5]},\"generation\":4}\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let (code, stdout, _) =
        run(&["groups", "assign", "-t", "t=6", "--members", file, "--add", "1", "--assignor", "sticky"]);
    let kept: Vec<Vec<&str>> = stdout.lines().skip(1).map(|line| line.split_whitespace().take(5).collect()).collect();
    assert_eq!(
        (code, kept),
        (0, vec![vec!["N0", "2", "0", "2", "0"], vec!["a", "2", "2", "0", "1"], vec!["b", "2", "2", "0", "1"]])
    );
    for (args, code, said) in [
        (&["-t", "t=x", "--members", "2"][..], 2, "is no number of partitions"),
        (&["-t", "t=2", "--members", "2", "--assignor", "rang"], 2, "no assignor of Kafka"),
        (&["-t", "t=2", "--members", "2", "--remove", "C7"], 3, "there are: C0 C1"),
        (&["-t", "t=2"], 2, "required"),
    ] {
        let (found, _, stderr) = run(&[&["groups", "assign"], args].concat());
        assert!(found == code && stderr.contains(said), "{args:?}: {found} {stderr}");
    }
}
