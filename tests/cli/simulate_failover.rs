//! `logdir simulate-failover`.

use std::fs;

use crate::support::{logdir, state_of};

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = logdir(&[&["simulate-failover"], args].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_catalogue_is_listed_and_shown() {
    let (code, out, _) = run(&["list"]);
    assert_eq!(code, Some(0));
    assert!(out.lines().count() > 25 && out.contains("hw-truncation-loss"), "{out}");
    let (code, file, _) = run(&["show", "s04"]);
    assert_eq!(code, Some(0));
    assert!(file.starts_with("schema = 1\n"), "{file}");
    let (code, _, err) = run(&["run", "hw-truncation-los"]);
    assert_eq!(code, Some(3));
    assert!(err.contains("did you mean hw-truncation-loss?"), "{err}");
}

#[test]
fn a_scenario_that_ends_as_expected_is_no_failure_and_one_that_does_not_is() {
    let (code, out, _) = run(&["run", "hw-truncation-loss"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("ACKED-LOST"), "{out}");
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("mine.toml");
    let steps = "produce acks=1\nelect b1\nmetadata b1\n";
    fs::write(&path, format!("schema = 1\nname = \"mine\"\nsteps = \"\"\"\n{steps}\"\"\"\n")).unwrap();
    let (code, out, _) = run(&["run", path.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{out}");
    fs::write(
        &path,
        format!("schema = 1\nname = \"mine\"\nsteps = \"\"\"\n{steps}\"\"\"\n[expect]\nacked_lost = [\"m0\"]\n"),
    )
    .unwrap();
    assert_eq!(run(&["run", path.to_str().unwrap()]).0, Some(0));
    fs::write(&path, "schema = 1\nname = \"mine\"\nsteps = \"fetsh b1\"\n").unwrap();
    let (code, _, err) = run(&["run", path.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(err.contains("line 1 of steps: \"fetsh\" begins no step; did you mean fetch?"), "{err}");
    fs::write(&path, "schema = 1\nname = \"mine\"\nsteps = \"start b1\"\n").unwrap();
    let (code, _, err) = run(&["run", path.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(err.contains("step 1 (start b1): b1 runs; it must be down for that"), "{err}");
}

#[test]
fn other_rules_tell_another_story() {
    let (code, out, _) = run(&["run", "hw-truncation-loss", "--variant", "hw", "--era", "fetch", "-q"]);
    assert_eq!(code, Some(0), "{out}");
    let (code, _, err) = run(&["run", "S04", "--set", "min.isync.replicas=2"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("did you mean \"min.insync.replicas\"?"), "{err}");
    let (code, out, _) = run(&["compare", "S04", "--era", "hw,epoch,fetch"]);
    assert_eq!(code, Some(1));
    assert_eq!(out.lines().count(), 4, "{out}");
    assert_eq!(out.matches("ACKED-LOST m1").count(), 1, "{out}");
}

#[test]
fn what_is_found_can_be_played() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("found.toml");
    let scope =
        ["--era", "fetch", "--set", "min.insync.replicas=2", "--faults", "fence=2,power=1", "--find", "acked-lost"];
    let (code, _, err) = run(&[&["explore"], &scope[..], &["--out", path.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1), "{err}");
    let (code, out, _) = run(&["run", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}");
    let (code, out, _) = run(&["explore", "--era", "elr", "--faults", "fence=1"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("no violation in ") && out.ends_with("exhausted\n"), "{out}");
    let (code, out, _) = run(&["explore", "--era", "elr", "--faults", "fence=2,power=1", "--max-states", "1000"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("not exhausted"), "{out}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let args = ["random", "--acks", "1", "--runs", "300", "--seed", "7", "--swarm"];
    let (code, out, _) = run(&args);
    assert_eq!(code, Some(1));
    assert_eq!(run(&[&args[..], &["--threads", "1"]].concat()).1, out);
    // Written down: on every machine and in every later version.
    is_as_ever(&out);
    let repeat = out.lines().last().unwrap().split("repeat with: logdir simulate-failover ").nth(1).unwrap().to_owned();
    let words: Vec<&str> = repeat.split(' ').collect();
    let (code, again, _) = run(&words);
    assert_eq!(code, Some(1), "{repeat}: {again}");
    let (code, small, _) = run(&[&args[..], &["--shrink"]].concat());
    assert_eq!(code, Some(1));
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("small.toml");
    fs::write(&path, &small).unwrap();
    assert_eq!(run(&["run", path.to_str().unwrap()]).0, Some(0), "{small}");
}

/// What this seed has always given.
fn is_as_ever(out: &str) {
    let first = out.lines().next().unwrap();
    assert_eq!(
        first, "300 runs  acknowledged 36126  lost 2373 in 72 runs  diverged 0  max unavailable 42.3 s",
        "the runs of a seed have changed"
    );
}

#[test]
fn pictures_and_rows_are_written() {
    let temp = tempfile::tempdir().unwrap();
    let (svg, html) = (temp.path().join("a.svg"), temp.path().join("a.html"));
    let args = ["run", "S25", "--variant", "4.3 rules as read, ELR", "--svg", svg.to_str().unwrap(), "--html"];
    let (code, _, err) = run(&[&args[..], &[html.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    assert!(fs::read_to_string(&html).unwrap().contains("</html>"));
    let (code, _, err) = run(&["run", "S25", "--svg", svg.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(err.contains("choose one with --variant"), "{err}");
    let (code, rows, _) = run(&["run", "S01", "--json"]);
    assert_eq!(code, Some(0));
    for row in rows.lines() {
        serde_json::from_str::<serde_json::Value>(row).unwrap();
    }
    assert!(rows.contains("\"type\":\"step\"") && rows.contains("\"type\":\"verdict\""));
}

#[test]
fn directories_are_made_and_not_written_over() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("played");
    let args = ["run", "leader-failure", "--variant", "fetch", "--dirs", dir.to_str().unwrap()];
    let (code, _, err) = run(&args);
    assert_eq!(code, Some(0), "{err}");
    assert!(dir.join("broker-2/topic-0/00000000000000000000.log").exists());
    let (code, _, err) = run(&args);
    assert_eq!(code, Some(4), "{err}");
}

#[test]
fn statistics_say_whose_the_rates_are() {
    let args = ["stats", "--years", "1e4", "--acks", "1,all"];
    let (code, out, _) = run(&args);
    assert_eq!(code, Some(0));
    assert!(out.contains("rates are yours"), "{out}");
    assert_eq!(run(&[&args[..], &["--threads", "1"]].concat()).1, out);
    let (code, out, _) = run(&["stats", "--years", "1e3", "--json"]);
    assert_eq!(code, Some(0));
    assert!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["losses_per_year"].is_number());
}

#[test]
fn a_scenario_goes_on_from_real_directories() {
    let temp = tempfile::tempdir().unwrap();
    let (played, file) = (temp.path().join("played"), temp.path().join("mine.toml"));
    let args = ["run", "acks-one-loss", "--variant", "acks=1", "--until", "18", "--dirs"];
    assert!(run(&[&args[..], &[played.to_str().unwrap()]].concat()).0 <= Some(1));
    // Beside the file, wherever this is run.
    let steps = "start b1; start b2; start b0; unfence b1; metadata b0; metadata b1; unfence b0; fetch b0 x2";
    std::fs::write(
        &file,
        format!(
            "schema = 1\nname = \"mine\"\ntitle = \"what next\"\nera = \"fetch\"\nsteps = \"{steps}\"\n[init]\n\
             from = [\"played/broker-0/topic-0\", \"played/broker-1/topic-0\", \"played/broker-2/topic-0\"]\n"
        ),
    )
    .unwrap();
    let before = state_of(&played);
    let (code, stdout, stderr) = run(&["run", file.to_str().unwrap()]);
    assert_eq!(before, state_of(&played), "nothing is written there");
    assert!(stderr.contains("the controller has no leader e1, ISR {b0,b1,b2}; all are fenced"), "{stderr}");
    assert!(
        stdout.contains("b0 is broker 0, b1 is broker 1, b2 is broker 2\noffsets in the table: 0 is 0, 1 is 1"),
        "{stdout}"
    );
    assert!(stdout.contains("b0 cut "), "{stdout}");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let two =
        ["played/broker-0/topic-0", "played/broker-1/topic-0"].map(|dir| temp.path().join(dir).display().to_string());
    let (code, _, stderr) = run(&["run", file.to_str().unwrap(), "--from", &two.join(",")]);
    assert!(code == Some(0) && stderr.contains("all are taken for in sync"), "{code:?} {stderr}");
    let (code, _, stderr) = run(&["run", file.to_str().unwrap(), "--from", temp.path().to_str().unwrap()]);
    assert_ne!(code, Some(0), "{stderr}");
}
