//! Paths measured in interleaved rounds, and the table of their medians beside their limits.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One line of the table.
pub struct Measured {
    pub name: String,
    pub bytes: u64,
    pub records: u64,
    pub run: Box<dyn Fn()>,
    /// Line whose time this one is compared with.
    pub limit: Option<usize>,
    pub aim: &'static str,
    /// Too slow for every round.
    pub once: bool,
    pub times: Vec<Duration>,
}

impl Measured {
    /// The middle one of its times, in seconds.
    pub fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort();
        times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// Runs every path once a round; round 0 warms the page cache and does not count.
pub fn measure(paths: &mut [Measured], rounds: usize) {
    for round in 0..=rounds {
        for path in paths.iter_mut() {
            if path.once && round != 1 {
                continue;
            }
            let start = Instant::now();
            (path.run)();
            if round > 0 {
                path.times.push(start.elapsed());
            }
        }
        eprint!(".");
        std::io::stderr().flush().unwrap();
    }
}

/// The table.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn report(paths: &[Measured]) {
    println!("\n{:<44} {:>9} {:>9} {:>9}  {:>22}  aim", "path", "s", "MB/s", "M rec/s", "time / limit");
    for path in paths {
        let seconds = path.median();
        let ratio = path.limit.map_or(String::new(), |limit| {
            let name = paths[limit].name.split(':').next().unwrap_or("");
            format!("{:.2} x {name}", seconds / paths[limit].median())
        });
        println!(
            "{:<44} {seconds:>9.3} {:>9.0} {:>9.2}  {ratio:>22}  {}",
            path.name,
            path.bytes as f64 / seconds / 1e6,
            path.records as f64 / seconds / 1e6,
            path.aim,
        );
    }
}

/// Median of the first path whose name starts with `name`, in seconds.
pub fn median_of(paths: &[Measured], name: &str) -> f64 {
    paths.iter().find(|path| path.name.starts_with(name)).unwrap().median()
}

/// A number from the environment.
pub fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs a program, its output thrown away.
pub fn command(program: &Path, args: &[&str]) -> Box<dyn Fn()> {
    let program = program.to_owned();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    Box::new(move || {
        let status = Command::new(&program).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.code().is_some_and(|code| code <= 1), "{program:?} {args:?}: {status}");
    })
}

/// Largest resident memory of a run, in MiB.
pub fn peak_memory_mib(program: &Path, args: &[&str]) -> Option<f64> {
    let out =
        Command::new("/usr/bin/time").args(["-f", "%M"]).arg(program).args(args).stdout(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&out.stderr).trim().lines().last()?.parse::<f64>().ok()?;
    Some(text / 1024.0)
}
