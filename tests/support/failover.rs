//! A real Kafka whose brokers can be killed, paused, stopped and started one by one, and what is seen of it from outside.
//!
//! To be declared beside `support/broker.rs`. Node 0 is the controller and is left alone; brokers are 1 to 3. Their logs tell
//! of every append, fetch, truncation and change of leader with its time. Processes end when their owner is dropped.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{CLUSTER_ID, Clients, Kafka, free_ports};

/// Brokers there are.
pub const BROKERS: usize = 3;
const START_MAX: Duration = Duration::from_secs(180);
const STOP_MAX: Duration = Duration::from_secs(90);

/// What the brokers log, and with which time.
const LOGGING: [&str; 6] = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.kafka.cluster.Partition=debug",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.ReplicaFetcherThread=trace",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log.UnifiedLog=trace",
];

/// Waits until something is so, `limit` at most; whether it is.
pub fn poll(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if started.elapsed() > limit {
            return false;
        }
        // The window of a skipped epoch is a second: it has to be looked at closely.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A controller and three brokers.
pub struct Failover {
    kafka: Kafka,
    dir: tempfile::TempDir,
    ports: [u16; BROKERS + 1],
    processes: [Option<Child>; BROKERS + 1],
    /// Where in its log the last start of each begins.
    starts: [u64; BROKERS + 1],
}

impl Failover {
    /// Formats and starts all four; `settings` are added to each `server.properties`.
    pub fn start(kafka: &Kafka, settings: &str) -> Failover {
        let dir = tempfile::tempdir().unwrap();
        let processes = std::array::from_fn(|_| None);
        let starts = [0; BROKERS + 1];
        let mut cluster = Failover { kafka: kafka.clone(), dir, ports: free_ports(), processes, starts };
        let controller = cluster.ports[0];
        for node in 0..=BROKERS {
            let (role, listener) = match node {
                0 => ("controller", format!("CONTROLLER://127.0.0.1:{controller}")),
                _ => ("broker", format!("PLAINTEXT://127.0.0.1:{}", cluster.ports[node])),
            };
            let properties = format!(
                "process.roles={role}\nnode.id={node}\ncontroller.quorum.voters=0@127.0.0.1:{controller}\n\
                 controller.listener.names=CONTROLLER\nlisteners={listener}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
                 offsets.topic.replication.factor=1\nlog.cleaner.dedupe.buffer.size=20000000\n\
                 auto.leader.rebalance.enable=false\nlog.retention.ms=-1\nnum.network.threads=2\nnum.io.threads=2\n\
                 {settings}",
                cluster.log_dir(node).display(),
            );
            fs::create_dir_all(cluster.folder(node)).unwrap();
            fs::write(cluster.properties(node), properties).unwrap();
        }
        let format = |node: usize| {
            let mut java = cluster.java(node, "kafka.tools.StorageTool");
            java.args(["format", "-t", CLUSTER_ID, "-c"]).arg(cluster.properties(node)).spawn().expect("java runs")
        };
        let formats: Vec<Child> = (0..=BROKERS).map(format).collect();
        for (node, mut process) in formats.into_iter().enumerate() {
            assert!(process.wait().unwrap().success(), "format: {}", cluster.said(node));
        }
        (0..=BROKERS).for_each(|node| cluster.launch(node));
        (0..=BROKERS).for_each(|node| cluster.wait_started(node));
        cluster
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    fn properties(&self, node: usize) -> PathBuf {
        self.folder(node).join("server.properties")
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.folder(node).join("server.log")
    }

    fn java(&self, node: usize, class: &str) -> std::process::Command {
        let log = File::options().create(true).append(true).open(self.log_file(node)).unwrap();
        let mut java = self.kafka.java(&self.kafka.jars());
        java.args(LOGGING).arg(class).stdout(log.try_clone().unwrap()).stderr(log);
        java
    }

    /// The log directory of a node.
    pub fn log_dir(&self, node: usize) -> PathBuf {
        self.folder(node).join("data")
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// All that a node said so far.
    pub fn log(&self, node: usize) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file(node)).unwrap_or_default()).into_owned()
    }

    /// The end of what a node said.
    pub fn said(&self, node: usize) -> String {
        let text = fs::read(self.log_file(node)).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
    }

    /// All that a node said since it was last started.
    pub fn said_since_start(&self, node: usize) -> String {
        let text = fs::read(self.log_file(node)).unwrap_or_default();
        let start = usize::try_from(self.starts[node]).unwrap().min(text.len());
        String::from_utf8_lossy(&text[start..]).into_owned()
    }

    /// Starts a node's process, and does not wait for it.
    pub fn launch(&mut self, node: usize) {
        self.starts[node] = fs::metadata(self.log_file(node)).map_or(0, |log| log.len());
        let mut java = self.java(node, "kafka.Kafka");
        self.processes[node] = Some(java.arg(self.properties(node)).spawn().expect("java runs"));
    }

    /// Waits until a node that was launched serves.
    pub fn wait_started(&mut self, node: usize) {
        let started = Instant::now();
        while !self.said_since_start(node).contains("Kafka Server started") {
            let ended = self.processes[node].as_mut().expect("it was launched").try_wait().unwrap();
            let waits = ended.is_none() && started.elapsed() < START_MAX;
            assert!(waits, "node {node} does not start: {}", self.said(node));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether a node has a process: it may be paused, or on its way to stop.
    pub fn has_process(&self, node: usize) -> bool {
        self.processes[node].is_some()
    }

    fn signal(&self, node: usize, signal: Signal) {
        if let Some(process) = &self.processes[node] {
            kill_process(Pid::from_child(process), signal).expect("the process is there");
        }
    }

    /// Stops a broker's process where it is (SIGSTOP).
    pub fn pause(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    /// Asks it to stop in its own time (SIGTERM).
    pub fn ask_to_stop(&self, node: usize) {
        self.signal(node, Signal::TERM);
    }

    /// Ends it as a crash does (SIGKILL).
    pub fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.processes[node].take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Whether a process that was asked to stop has ended, and is waited for.
    pub fn has_ended(&mut self, node: usize) -> bool {
        let Some(process) = &mut self.processes[node] else { return true };
        let Some(status) = process.try_wait().unwrap() else { return false };
        // 128 + 15 is how Java ends on SIGTERM after its shutdown hooks have run.
        assert!(status.code() == Some(143) || status.signal().is_none(), "node {node}: {status}");
        self.processes[node] = None;
        true
    }

    /// Waits until a process that was asked to stop has ended.
    pub fn wait_ended(&mut self, node: usize) {
        let started = Instant::now();
        while !self.has_ended(node) {
            assert!(started.elapsed() < STOP_MAX, "node {node} does not stop: {}", self.said(node));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A producer and an admin client (`LiveFailover.java`).
    pub fn clients(&self) -> Clients {
        let servers: Vec<String> = self.ports[1..].iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/LiveFailover.java");
        let program = program.to_str().expect("a path that is text");
        self.kafka.program(program, &[&servers.join(",")], &self.file("clients.log"))
    }
}

impl Drop for Failover {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().filter_map(Option::as_mut) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
