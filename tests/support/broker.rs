//! A real Kafka of one node, and its clients, for as long as a test lasts.
//!
//! `LOGDIR_KAFKA_LIBS` names the folder with Kafka's jars (`.ci/kafka-setup` makes it). Everything lives in
//! a temporary directory and on loopback ports; processes end when their owner is dropped, also by a panic.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const JVM: [&str; 3] = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);

/// Kafka's jars.
#[derive(Clone)]
pub struct Kafka {
    libs: PathBuf,
}

impl Kafka {
    /// `None`, and a word about it, when there are none.
    pub fn find() -> Option<Kafka> {
        let Some(libs) = std::env::var_os("LOGDIR_KAFKA_LIBS").map(PathBuf::from) else {
            println!("skipped: LOGDIR_KAFKA_LIBS is not set; set it with: LOGDIR_KAFKA_LIBS=$(.ci/kafka-setup)");
            return None;
        };
        assert!(libs.is_dir(), "LOGDIR_KAFKA_LIBS: no folder {}", libs.display());
        Some(Kafka { libs })
    }

    /// The class path of Kafka's jars.
    pub fn jars(&self) -> OsString {
        self.libs.join("*").into_os_string()
    }

    /// Kafka's clients for the broker at `port`; those that read files need none there.
    pub fn clients(&self, port: u16, log: &Path) -> Clients {
        self.program("LiveKafka", &[&format!("127.0.0.1:{port}")], log)
    }

    /// One of our Java programs (`tests/java`), which answers a line with a line.
    pub fn program(&self, class: &str, args: &[&str], log: &Path) -> Clients {
        let mut class_path = self.jars();
        class_path.push(":");
        class_path.push(self.classes());
        let mut command = self.java(&class_path);
        let stderr = File::options().create(true).append(true).open(log).unwrap();
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", class]).args(args);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().expect("java runs");
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Clients { process, commands, answers, log: log.to_owned() }
    }

    /// What Kafka's metadata shell prints for one command on one file.
    pub fn metadata_shell(&self, file: &Path, command: &[&str]) -> String {
        let mut java = self.java(&self.jars());
        java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "org.apache.kafka.shell.MetadataShell"]);
        let output = java.arg("--snapshot").arg(file).args(command).output().expect("java runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command-line tool of Kafka prints, stdout and stderr together.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        let mut java = self.java(&self.jars());
        let output =
            java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=off", class]).args(args).output().expect("java runs");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// A Java machine with this class path.
    pub fn java(&self, class_path: &OsString) -> Command {
        let mut command = Command::new("java");
        command.args(JVM).arg("-cp").arg(class_path).stdin(Stdio::null());
        command
    }

    /// Our Java programs, compiled once per run.
    fn classes(&self) -> &'static Path {
        static CLASSES: OnceLock<PathBuf> = OnceLock::new();
        CLASSES.get_or_init(|| {
            let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-kafka-{}", std::process::id()));
            let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java");
            let sources = ["LiveKafka.java", "LiveMetadata.java", "LiveProduce.java"].map(|name| sources.join(name));
            let mut javac = Command::new("javac");
            javac.arg("-cp").arg(self.jars()).arg("-d").arg(&classes).args(sources).stdin(Stdio::null());
            assert!(javac.status().expect("javac runs").success(), "tests/java compiles");
            classes
        })
    }
}

/// How the controllers of a broker know each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// By a setting: `kraft.version` 0.
    Static,
    /// By records of the metadata log: `kraft.version` 1.
    Dynamic,
}

/// A running or stopped broker.
pub struct Broker {
    kafka: Kafka,
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
    /// Where in its output the last start begins.
    start: u64,
}

/// Id of the cluster that a broker makes which is not told another.
pub const CLUSTER_ID: &str = "bG9nZGlyIGxpdmUgdGVzdA";

impl Broker {
    /// Formats a directory and starts a broker on it; `settings` are added to `server.properties`, `$DIR` in them
    /// is the directory everything of the broker is in, `$PORT` and `$CONTROLLER` are its ports.
    pub fn start(kafka: &Kafka, settings: &str) -> Broker {
        Broker::start_as(kafka, CLUSTER_ID, settings, Quorum::Static)
    }

    /// As [`Broker::start`], in the cluster with this id.
    pub fn start_in(kafka: &Kafka, cluster_id: &str, settings: &str) -> Broker {
        Broker::start_as(kafka, cluster_id, settings, Quorum::Static)
    }

    /// As [`Broker::start`], in the cluster with this id and with this kind of controller quorum.
    pub fn start_as(kafka: &Kafka, cluster_id: &str, settings: &str, quorum: Quorum) -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let [port, controller] = free_ports();
        let data = dir.path().join("data");
        let voters = match quorum {
            Quorum::Static => format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            Quorum::Dynamic => format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
        };
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n{voters}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=3\ngroup.initial.rebalance.delay.ms=500\n\
             log.cleaner.dedupe.buffer.size=20000000\n{settings}",
            data.display()
        );
        let properties = properties.replace("$DIR", &dir.path().display().to_string());
        let properties = properties.replace("$PORT", &port.to_string()).replace("$CONTROLLER", &controller.to_string());
        fs::write(dir.path().join("server.properties"), properties).unwrap();
        let mut broker = Broker { kafka: kafka.clone(), dir, port, process: None, start: 0 };
        let formatted = broker
            .main("kafka.tools.StorageTool")
            .args(["format", "-t", cluster_id, "-c"])
            .arg(broker.dir.path().join("server.properties"))
            .args((quorum == Quorum::Dynamic).then_some("--standalone"))
            .status()
            .expect("java runs");
        assert!(formatted.success(), "format: {}", broker.said());
        broker.restart();
        broker
    }

    fn main(&self, class: &str) -> Command {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.kafka.java(&self.kafka.jars());
        command.arg(class).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    /// The end of what the broker said.
    pub fn said(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
    }

    /// What it said since it was last started.
    pub fn said_since_start(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let new = log.get(usize::try_from(self.start).unwrap()..).unwrap_or_default();
        String::from_utf8_lossy(new).into_owned()
    }

    fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.start = fs::metadata(self.log()).map_or(0, |log| log.len());
        let properties = self.dir.path().join("server.properties");
        self.process = Some(self.main("kafka.Kafka").arg(properties).spawn().expect("java runs"));
    }

    /// Starts it again on the same directory, and waits until it serves.
    pub fn restart(&mut self) {
        self.spawn();
        let started = Instant::now();
        loop {
            let new = self.said_since_start();
            if new.contains("Kafka Server started") && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return;
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < START_MAX, "the broker does not start: {}", self.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts it where it cannot start, and gives what it said when it has ended.
    pub fn start_refused(&mut self) -> String {
        self.spawn();
        let mut process = self.process.take().unwrap();
        let started = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if started.elapsed() > START_MAX || self.said_since_start().contains("Kafka Server started") {
                let _ = process.kill();
                let _ = process.wait();
                panic!("the broker starts: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.said_since_start()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Stops it cleanly: indexes are cut, the marker is written.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        terminate(&process);
        let started = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if started.elapsed() > STOP_MAX {
                let _ = process.kill();
                let _ = process.wait();
                panic!("the broker does not stop: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its log directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Kafka's clients, connected to it.
    pub fn clients(&self) -> Clients {
        self.kafka.clients(self.port, &self.file("clients.log"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of `tests/java`, such as `LiveKafka.java`: Kafka's producer, consumer and admin client.
pub struct Clients {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Clients {
    /// Runs one command and gives its answer; a failure of Kafka's fails the test.
    pub fn run(&mut self, command: &str) -> String {
        self.try_run(command).unwrap_or_else(|error| {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            panic!("{command}: {error}\n{}", &said[said.len().saturating_sub(4_000)..])
        })
    }

    /// Runs one command; `Err` is what Kafka refused it with.
    pub fn try_run(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.commands, "{command}").expect("the clients run");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the clients answer");
        let answer = answer.trim_end();
        match answer.strip_prefix("ok") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(answer.to_owned()),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks a process to end.
pub fn terminate(process: &Child) {
    let pid = Pid::from_child(process);
    kill_process(pid, Signal::TERM).expect("the process is there");
}

/// Ports of the loopback that nobody listens at now.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All at once, so that they differ.
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
