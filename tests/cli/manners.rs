//! What every command does the same way.

use std::io::BufRead;

use super::support::{copied, logdir, run};

#[test]
fn no_command_prints_the_short_help_on_stdout_and_exits_2() {
    let (code, stdout, stderr) = run(&[]);
    assert_eq!((code, stderr.as_str()), (2, ""));
    assert!(stdout.contains("Usage: logdir") && stdout.contains("consume"), "{stdout}");
}

#[test]
fn short_help_fits_a_screen_and_long_help_starts_with_examples() {
    for command in [
        &[][..],
        &["consume"],
        &["log-dirs"],
        &["offsets"],
        &["dump-segment"],
        &["partition-of"],
        &["completions"],
        &["man"],
    ] {
        let (code, short, _) = run(&[command, &["-h"]].concat());
        assert_eq!(code, 0, "{command:?}");
        assert!(short.lines().count() <= 40, "{command:?}: {} lines\n{short}", short.lines().count());
        assert!(short.lines().all(|line| line.chars().count() <= 100), "{command:?}\n{short}");
        let (code, long, _) = run(&[command, &["--help"]].concat());
        assert_eq!(code, 0, "{command:?}");
        assert!(long.starts_with("Examples:\n  logdir "), "{command:?}: {long}");
    }
}

#[test]
fn mistakes_get_a_suggestion_and_exit_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["consum"], "a similar subcommand exists: 'consume'"),
        (&["consume", "--folow"], "a similar argument exists: '--follow'"),
        (
            &["consume", "-o", "10:5"],
            "error: invalid value '10:5' for '--offset <RANGE>': the end (5) is before the start (10)",
        ),
        (&["consume", "-f", "%o\\t%z"], "unknown token '%z' at column 5"),
        (&["consume", "-p", "5-3"], "the range '5-3' ends before it starts"),
        (&["consume", "--key-re", "("], "for '--key-re <RE>'"),
        (&["consume", "--property", "print.keys=true"], "unknown property 'print.keys'"),
        (&["consume", "-J", "--json"], "cannot be used with"),
        (&["consume", "--follow", "-e"], "cannot be used with"),
        (&["consume", "--max-batch-bytes", "lots"], "expected a number of bytes"),
        (&["dump-segment"], "required"),
        (&["dump-segment", "x", "--hex", "--summary"], "cannot be used with"),
    ];
    for (args, expected) in cases {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
}

#[test]
fn usage_errors_are_json_when_the_output_is() {
    for args in [&["consume", "-o", "10:5", "--json"][..], &["--output", "json", "consume", "-o", "10:5"]] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{stderr}");
        let line: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!((&line["type"], &line["code"]), (&"error".into(), &"usage".into()));
        assert!(line["message"].as_str().unwrap().contains("the end (5) is before the start (10)"), "{line}");
    }
}

#[test]
fn version_is_on_stdout() {
    let (code, stdout, stderr) = run(&["-V"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, concat!("logdir ", env!("CARGO_PKG_VERSION"), "\n"), ""));
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("magic 0, 1, 2"), "{stdout}");
}

#[test]
fn five_shells_get_completions() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef logdir"),
        ("fish", "complete -c logdir"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let (code, stdout, stderr) = run(&["completions", shell]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{shell}");
        assert!(stdout.contains(sign) && stdout.contains("dump-segment"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).0, 2);
    let script = run(&["completions", "bash"]).1;
    if let Ok(check) = std::process::Command::new("bash").args(["-n", "-c", &script]).status() {
        assert!(check.success(), "bash does not parse its script");
    }
}

#[test]
fn the_page_of_logdir_goes_to_stdout() {
    let (code, stdout, stderr) = run(&["man"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for section in ["NAME", "SYNOPSIS", "EXAMPLES", "EXIT STATUS", "ERROR CODES", "ENVIRONMENT", "KAFKA EQUIVALENT"] {
        let quoted = format!(".SH \"{section}\"");
        assert!(stdout.contains(&format!(".SH {section}\n")) || stdout.contains(&quoted), "{section}\n{stdout}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    use std::process::Stdio;
    for args in [&["completions", "bash"][..], &["--help"]] {
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
    }
}

#[test]
fn settings_come_from_the_environment_unless_an_option_says_otherwise() {
    let stderr = |command: &mut assert_cmd::Command| String::from_utf8(command.output().unwrap().stderr).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("file").join("man");
    std::fs::write(dir.path().join("file"), "").unwrap();
    let args = ["man", missing.to_str().unwrap()];
    assert!(stderr(&mut logdir(&args)).starts_with("error: "));
    assert!(stderr(logdir(&args).env("LOGDIR_OUTPUT", "json")).starts_with("{\"type\":\"error\",\"code\":\"io\""));
    assert!(stderr(logdir(&args).env("LOGDIR_OUTPUT", "json").args(["--output", "tsv"])).starts_with("error: "));
    assert!(
        stderr(logdir(&args).env("LOGDIR_OUTPUT", "xml")).contains("LOGDIR_OUTPUT")
            || logdir(&args).env("LOGDIR_OUTPUT", "xml").output().unwrap().status.code() == Some(2)
    );
    assert_eq!(logdir(&args).output().unwrap().status.code(), Some(3));
    let verbose = stderr(logdir(&["completions", "fish", "-v"]).env("LOGDIR_THREADS", "3"));
    assert_eq!(verbose, "from the environment: LOGDIR_THREADS=3\n");
}

/// A broker's kind of lock, held by perl, as a JVM holds it.
struct Broker(std::process::Child);

impl Broker {
    /// `None` where there is no perl.
    fn on(dir: &std::path::Path) -> Option<Broker> {
        let script = "use Fcntl; open(F, '+>', $ARGV[0]) or die; my $l = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); \
                      fcntl(F, F_SETLK, $l) or die; $| = 1; print \"held\\n\"; sleep 60";
        let mut command = std::process::Command::new("perl");
        let mut child =
            command.args(["-e", script]).arg(dir.join(".lock")).stdout(std::process::Stdio::piped()).spawn().ok()?;
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Some(Broker(child))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn readers_warn_once_of_a_running_broker() {
    let (_temp, dir) = copied("codecs/data");
    let path = |below: &str| dir.join(below).display().to_string();
    let (whole, partition) = (path(""), path("edge-0"));
    let readers: [&[&str]; 10] = [
        &["consume", &partition, "-c", "1"],
        &["dump-segment", &partition, "-c", "1"],
        &["verify-index", &partition],
        &["verify", &partition],
        &["log-dirs", &whole, "-t", "edge"],
        &["offsets", &partition],
        &["metadata", "tree", &whole],
        &["topics", "list", "-d", &whole],
        &["topics", "describe", "-d", &whole, "-t", "edge"],
        &["transactions", "list", "-d", &whole],
    ];
    let warned = |args: &[&str]| run(args).2.matches("is open in a running process, perl (pid ").count();
    for args in readers {
        assert_eq!(warned(args), 0, "{args:?}");
    }
    let Some(broker) = Broker::on(&dir) else {
        eprintln!("skipped: no perl to hold a broker's lock");
        return;
    };
    for args in readers {
        assert_eq!(warned(args), 1, "{args:?}: {}", run(args).2);
        assert_eq!(warned(&[args, &["-qq"]].concat()), 0, "{args:?}");
    }
    drop(broker);
}
