//! `logdir verify`: what a person and a script see of findings.

use serde_json::Value;

use super::support::{copied, fixture, run, state_of};

fn data(name: &str) -> String {
    fixture(name).join("data").display().to_string()
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_sound_directory_is_ok_and_is_left_alone() {
    let (_temp, dir) = copied("codecs/data");
    let before = state_of(&dir);
    let dir = dir.display().to_string();
    for depth in ["headers", "crc", "deep"] {
        let (code, stdout, stderr) = run(&["verify", "-d", &dir, "--depth", depth]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(
            stdout.starts_with("TOPIC                 PARTITION  SEGMENTS     RECORDS        SIZE  RESULT\n"),
            "{stdout}"
        );
        assert!(stdout.lines().skip(1).all(|line| line.ends_with(" ok")), "{stdout}");
        assert!(stderr.contains(", no problems, "), "{stderr}");
        assert!(stderr.contains(" cosmetic (-v shows them)"), "{stderr}");
    }
    assert_eq!(state_of(std::path::Path::new(&dir)), before);
    let (code, stdout, _) = run(&["verify", "-d", &dir, "-v"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("cosmetic: ") && stdout.contains("[checkpoint]"), "{stdout}");
}

#[test]
fn findings_are_data_on_stdout_in_both_formats() {
    let damaged = data("damaged");
    let partition = format!("{damaged}/v-bitflip-body-mid-0");
    let (code, stdout, stderr) = run(&["verify", &partition]);
    let expected = format!(
        "TOPIC                 PARTITION  SEGMENTS     RECORDS        SIZE  RESULT\n\
         v-bitflip-body-mid            0         5         126    23.2 KiB  1 problem (loses data)\n\
         loses data: {partition}/00000000000000000033.log: position 2640, offset 48: \
         stored CRC 0x8034b4a8, computed 0x9b9c01ff; 626 bytes hold no sound batch, offsets 48..52 cannot be read [damage]\n\
         \u{20}\u{20}do: see what can be kept with: logdir recover {partition} --mode salvage\n"
    );
    assert_eq!((code, stdout.as_str()), (1, expected.as_str()), "{stderr}");
    assert!(stderr.starts_with("1 partition, 23.2 KiB checked in "), "{stderr}");

    let (code, stdout, stderr) = run(&["verify", &partition, "--json"]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    let rows = rows(&stdout);
    let of = |kind: &str| rows.iter().filter(|row| row["type"] == kind).cloned().collect::<Vec<_>>();
    let found = of("finding").into_iter().find(|row| row["code"] == "damage").unwrap();
    assert_eq!(
        (&found["grade"], &found["position"], &found["offset"]),
        (&"loses_data".into(), &2640.into(), &48.into())
    );
    assert_eq!(of("partition")[0]["records"], 126);
    let summary = rows.last().unwrap();
    assert_eq!(
        (&summary["type"], &summary["problems"], &summary["loses_data"]),
        (&"summary".into(), &1.into(), &1.into())
    );
}

#[test]
fn topics_partitions_and_the_first_problem() {
    let damaged = data("damaged");
    let count = |args: &[&str]| {
        let (code, stdout, _) = run(&[&["verify", "-d", &damaged, "--json"][..], args].concat());
        (code, rows(&stdout).iter().filter(|row| row["type"] == "partition").count())
    };
    assert_eq!(count(&["-t", "v-control-untouched", "-p", "0"]), (0, 1));
    assert_eq!(count(&["-t", "re:^v-truncated"]), (1, 3));
    let (_, all) = count(&[]);
    let (code, some) = count(&["--fail-fast"]);
    assert_eq!(code, 1);
    assert!(some < all, "{some} of {all}");
    let (code, _, stderr) = run(&["verify", "-d", &damaged, "-t", "v-control-untuched"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("hint: did you mean 'v-control-untouched'?"), "{stderr}");
    let (code, _, stderr) = run(&["verify", "-d", &damaged, &damaged]);
    assert_eq!(code, 2, "{stderr}");
    let (code, _, stderr) = run(&["verify", "no/such/place"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("no/such/place"), "{stderr}");
}

#[test]
fn one_segment_alone_is_checked_with_its_indexes() {
    let log = format!("{}/v-index-position-beyond-end-0/00000000000000000028.log", data("damaged"));
    let (code, stdout, _) = run(&["verify", &log, "--json"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("position 10000000 is behind the last batch"), "{stdout}");
    let (code, _, stderr) = run(&["verify", &format!("{}/meta.properties", data("codecs"))]);
    assert_eq!(code, 3);
    assert!(stderr.contains("neither a segment's log nor one of its indexes"), "{stderr}");
}
