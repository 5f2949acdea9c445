//! A real Kafka of several brokers with several log directories each, on loopback, for as long as a test lasts.
//!
//! To be declared beside `support/broker.rs`. Node 1 is the controller too. Processes end when their owner is dropped.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::broker::{CLUSTER_ID, Clients, Kafka, free_ports, terminate};

const START_MAX: Duration = Duration::from_secs(180);
const STOP_MAX: Duration = Duration::from_secs(90);

/// Brokers 1 to as many as there are.
pub struct Cluster {
    kafka: Kafka,
    dir: tempfile::TempDir,
    nodes: Vec<Node>,
    disks: usize,
    /// Another file system, for the second disk of each broker, where there is one.
    other: Option<tempfile::TempDir>,
}

struct Node {
    port: u16,
    process: Option<Child>,
}

impl Cluster {
    /// Formats and starts three brokers with so many log directories each; racks are `a`, `b` and `c`.
    pub fn start(kafka: &Kafka, disks: usize, settings: &str) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let ports: [u16; 3] = free_ports();
        let [controller] = free_ports();
        let nodes = ports.iter().map(|port| Node { port: *port, process: None }).collect();
        let other = tempfile::tempdir_in("/dev/shm").ok();
        let mut cluster = Cluster { kafka: kafka.clone(), dir, nodes, disks, other };
        for id in 1..=3 {
            let dirs: Vec<String> = cluster.log_dirs(id).iter().map(|dir| dir.display().to_string()).collect();
            let (roles, also) = match id {
                1 => ("broker,controller", format!(",CONTROLLER://127.0.0.1:{controller}")),
                _ => ("broker", String::new()),
            };
            let properties = format!(
                "process.roles={roles}\nnode.id={id}\nbroker.rack={}\n\
                 controller.quorum.voters=1@127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
                 listeners=PLAINTEXT://127.0.0.1:{}{also}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
                 offsets.topic.replication.factor=1\noffsets.topic.num.partitions=3\n\
                 transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                 transaction.state.log.num.partitions=3\ngroup.initial.rebalance.delay.ms=500\n\
                 log.cleaner.dedupe.buffer.size=20000000\nlog.segment.delete.delay.ms=1000\n{settings}",
                ["a", "b", "c"][id - 1],
                cluster.nodes[id - 1].port,
                dirs.join(","),
            );
            fs::create_dir_all(cluster.folder(id)).unwrap();
            fs::write(cluster.properties(id), properties).unwrap();
            let mut format = cluster.java(id, "kafka.tools.StorageTool");
            let formatted = format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(cluster.properties(id)).status();
            assert!(formatted.expect("java runs").success(), "format: {}", cluster.said(id));
        }
        cluster.restart();
        cluster
    }

    fn folder(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("broker{id}"))
    }

    fn properties(&self, id: usize) -> PathBuf {
        self.folder(id).join("server.properties")
    }

    fn java(&self, id: usize, class: &str) -> std::process::Command {
        let log = File::options().create(true).append(true).open(self.folder(id).join("broker.log")).unwrap();
        let mut java = self.kafka.java(&self.kafka.jars());
        java.arg(class).stdout(log.try_clone().unwrap()).stderr(log);
        java
    }

    /// The end of what a broker said.
    pub fn said(&self, id: usize) -> String {
        let text = fs::read(self.folder(id).join("broker.log")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
    }

    /// The log directories of a broker.
    pub fn log_dirs(&self, id: usize) -> Vec<PathBuf> {
        let path = |disk: usize| match &self.other {
            Some(other) if disk == 2 => other.path().join(format!("broker{id}-d2")),
            _ => self.folder(id).join(format!("d{disk}")),
        };
        (1..=self.disks).map(path).collect()
    }

    /// Those of all brokers, for `-d`.
    pub fn all_log_dirs(&self) -> String {
        let all = (1..=self.nodes.len()).flat_map(|id| self.log_dirs(id));
        all.map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(",")
    }

    /// Starts the brokers that do not run, and waits until all serve.
    pub fn restart(&mut self) {
        let mut waits = Vec::new();
        for id in 1..=self.nodes.len() {
            if self.nodes[id - 1].process.is_none() {
                let start = fs::metadata(self.folder(id).join("broker.log")).map_or(0, |log| log.len());
                let mut java = self.java(id, "kafka.Kafka");
                self.nodes[id - 1].process = Some(java.arg(self.properties(id)).spawn().expect("java runs"));
                waits.push((id, usize::try_from(start).unwrap()));
            }
        }
        let started = Instant::now();
        for (id, start) in waits {
            loop {
                let log = fs::read(self.folder(id).join("broker.log")).unwrap_or_default();
                if String::from_utf8_lossy(&log[start.min(log.len())..]).contains("Kafka Server started") {
                    break;
                }
                let ended = self.nodes[id - 1].process.as_mut().unwrap().try_wait().unwrap();
                let waits = ended.is_none() && started.elapsed() < START_MAX;
                assert!(waits, "broker {id} does not start: {}", self.said(id));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Stops all brokers cleanly, the controller last.
    pub fn stop(&mut self) {
        (1..=self.nodes.len()).rev().for_each(|id| self.stop_one(id));
    }

    /// Stops a broker cleanly.
    pub fn stop_one(&mut self, id: usize) {
        let Some(mut process) = self.nodes[id - 1].process.take() else { return };
        terminate(&process);
        let started = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if started.elapsed() > STOP_MAX {
                let _ = process.kill();
                let _ = process.wait();
                panic!("broker {id} does not stop: {}", self.said(id));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All that a broker said since it was last started.
    pub fn said_since_start(&self, id: usize) -> String {
        let text = fs::read_to_string(self.folder(id).join("broker.log")).unwrap_or_default();
        let at = text.rfind("KafkaConfig values").unwrap_or(0);
        text[at..].to_owned()
    }

    /// Where clients find it.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.nodes[0].port)
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a command-line tool of Kafka prints when it asks this cluster.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        let bootstrap = self.bootstrap();
        self.kafka.tool(class, &[&["--bootstrap-server", &bootstrap], args].concat())
    }

    /// Kafka's clients, connected to it.
    pub fn clients(&self) -> Clients {
        self.kafka.clients(self.nodes[0].port, Path::new(&self.file("clients.log")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.nodes.iter_mut().filter_map(|node| node.process.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
