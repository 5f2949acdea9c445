//! Memory does not grow with the log.

use logdir::types::Codec;

use super::support::measured;

#[path = "../../benches/support/generate.rs"]
mod generate;

/// Beyond what the program takes by itself, of which the binary of a test run is the most: the least of all runs has it too.
const LIMIT_KIB: u64 = 24 << 10;

#[test]
fn a_large_log_is_read_in_little_memory() {
    let temp = tempfile::tempdir().unwrap();
    let mut peaks = Vec::new();
    // The binary of a test run is hardly optimised: 64 MiB show a leak as well as 300 do, in a fifth of the time.
    for (name, codec) in [("plain-0", Codec::None), ("packed-0", Codec::Zstd)] {
        let dir = temp.path().join(name);
        let log = dir.join("00000000000000000000.log");
        generate::log(&log, 64 << 20, codec);
        let (dir, log) = (dir.to_str().unwrap(), log.to_str().unwrap());
        let forms: &[&[&str]] = &[
            &["consume", dir],
            &["consume", dir, "--json"],
            &["consume", dir, "--merge", "--isolation-level", "read_committed", "-f", "%o"],
            &["consume", dir, "-o", "-10"],
            &["consume", dir, "-o", "@1700000300000"],
            &["dump-segment", log],
            &["dump-segment", dir, "--records"],
            &["dump-segment", log, "--json"],
            &["dump-segment", log, "--json", "--records"],
            &["dump-segment", log, "--summary"],
            &["dump-segment", log, "--output", "kafka", "--print-data-log"],
            &["dump-segment", log, "--hex", "-c", "2000"],
        ];
        for args in forms {
            let ran = measured(&[*args, &["-qq"]].concat(), false);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
            println!("{:>6} KiB {:>5} ms  {} {name}", ran.peak_kib, ran.took.as_millis(), args[2..].join(" "));
            peaks.push((format!("{args:?}"), ran.peak_kib));
        }
    }
    let floor_kib = peaks.iter().map(|(_, peak)| *peak).min().unwrap();
    for (args, peak) in peaks {
        assert!(peak - floor_kib < LIMIT_KIB, "{args}: {peak} KiB, {floor_kib} of them the program's");
    }
}
