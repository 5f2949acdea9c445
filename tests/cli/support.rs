//! Running the binary with a clean environment.

use assert_cmd::Command;

/// `logdir` with nothing of this machine's environment.
pub fn logdir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(args);
    command
}

/// Exit code, stdout and stderr of a run.
pub fn run(args: &[&str]) -> (i32, String, String) {
    let output = logdir(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
