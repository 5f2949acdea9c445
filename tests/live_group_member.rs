//! One group, read in turn by consumers of a running Kafka 4.3 and by `logdir consume --group` on the directory of the stopped
//! broker: every record is read once, whoever goes on after whom.
//!
//! Skipped without `LOGDIR_KAFKA_LIBS`. `LOGDIR_LIVE_REPEATS` multiplies the rounds (a thorough run: 10), `LOGDIR_LIVE_SEED`
//! chooses them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/chance.rs"]
mod chance;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use broker::{Broker, Kafka};
use chance::{Chance, number};

const TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdir"));
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

fn logdir(args: &[&str]) -> String {
    let output = command(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of the broker's tool, sorted, and what logdir says in the same form.
fn told(kafka: &Kafka, broker: &Broker, args: &[&str]) -> Vec<String> {
    let address = format!("127.0.0.1:{}", broker.port());
    sorted(&kafka.tool(TOOL, &[&["--bootstrap-server", &address][..], args].concat()))
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

type Seen = BTreeMap<(i64, i64), Vec<String>>;

fn note(seen: &mut Seen, text: &str, by: &str) -> usize {
    for line in text.lines() {
        let (partition, offset) = line.split_once(' ').unwrap();
        seen.entry((partition.parse().unwrap(), offset.parse().unwrap())).or_default().push(by.to_owned());
    }
    text.lines().count()
}

#[test]
fn consumers_and_logdir_go_on_after_each_other() {
    let Some(kafka) = Kafka::find() else { return };
    let rounds = 4 * number("LOGDIR_LIVE_REPEATS", 1);
    let seed = number("LOGDIR_LIVE_SEED", 1);
    let mut chance = Chance::of(seed);
    let mut broker = Broker::start(&kafka, "group.min.session.timeout.ms=1000");
    let data = broker.data().display().to_string();
    let mut clients = broker.clients();
    clients.run("create orders 4");
    let total: u64 = clients.run("produce orders 4 11 600").parse().unwrap();
    let mut seen = Seen::new();
    let (mut by_kafka, mut by_logdir, mut killed) = (0, 0, 0);
    for round in 0..rounds {
        let last = round + 1 == rounds;
        // A consumer of Kafka's, which leaves or is still a member when its broker goes down.
        let stays = chance.below(2) == 0;
        let max = if last { u64::MAX >> 40 } else { 1 + chance.below(total / (2 * rounds)) };
        let file = broker.file("taken");
        let assignor = ["RangeAssignor", "RoundRobinAssignor", "CooperativeStickyAssignor"]
            [usize::try_from(chance.below(3)).unwrap()];
        let by_server = chance.below(3) == 0;
        let protocol = if by_server { "consumer" } else { "classic" };
        let mut order =
            format!("take-part shared orders {max} {} stay={stays} group.protocol={protocol}", file.display());
        if !by_server {
            order += &format!(
                " partition.assignment.strategy=org.apache.kafka.clients.consumer.{assignor} session.timeout.ms=6000 heartbeat.interval.ms=500"
            );
        }
        let stays = stays && !by_server;
        if by_server {
            order = order.replace("stay=true", "stay=false");
        }
        clients.run(&order);
        by_kafka += note(&mut seen, &std::fs::read_to_string(&file).unwrap(), &format!("round {round}, kafka"));
        if stays {
            // The member is in the group's record for ever.
            broker.kill();
            killed += 1;
            drop(clients);
        } else {
            drop(clients);
            broker.stop();
        }
        if last {
            break;
        }
        // Two of ours side by side, or one.
        let count = (1 + chance.below(total / (4 * rounds))).to_string();
        let args = ["consume", "-d", &data, "-t", "orders", "-G", "shared", "-f", "%p %o\\n", "-c", &count];
        let assignor =
            ["range", "roundrobin", "sticky", "cooperative-sticky"][usize::try_from(chance.below(4)).unwrap()];
        let mine = [&args[..], &["--assignor", assignor, "-q"]].concat();
        if chance.below(2) == 0 {
            let spawned: Vec<_> =
                (0..2).map(|_| command(&mine).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).collect();
            for child in spawned {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                by_logdir +=
                    note(&mut seen, &String::from_utf8(output.stdout).unwrap(), &format!("round {round}, two"));
            }
        } else {
            by_logdir += note(&mut seen, &logdir(&mine), &format!("round {round}, one"));
        }
        let text = command(&["groups", "describe", "shared", "-d", &data, "--output", "kafka"]).output().unwrap();
        let expected = sorted(&(String::from_utf8(text.stdout).unwrap() + &String::from_utf8(text.stderr).unwrap()));
        broker.restart();
        assert_eq!(told(&kafka, &broker, &["--describe", "--group", "shared"]), expected, "round {round}");
        clients = broker.clients();
    }
    let twice: Vec<_> = seen.iter().filter(|(_, by)| by.len() > 1).take(5).collect();
    assert!(twice.is_empty(), "read twice: {twice:?}");
    assert_eq!(seen.len() as u64, total, "{by_kafka} by consumers, {by_logdir} by logdir");
    println!(
        "{rounds} rounds, {killed} of them with a member that was killed with its broker: {by_kafka} records read by consumers, \
         {by_logdir} by logdir, none twice, none missing"
    );
}

#[test]
fn a_broker_has_the_members_that_logdir_has_left_there() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let data = broker.data().display().to_string();
    let mut clients = broker.clients();
    clients.run("create orders 4");
    let total: u64 = clients.run("produce orders 4 3 50").parse().unwrap();
    // The cluster makes __consumer_offsets when somebody asks for it.
    clients.run("resume other orders");
    drop(clients);
    broker.stop();
    // A static member stays for its session timeout, wherever its group is.
    let args = ["consume", "-d", &data, "-t", "orders", "-G", "fixed", "--instance-id", "reader-1", "-f", "%p %o\\n"];
    let read = logdir(&[&args[..], &["--session-timeout", "30m", "-q"]].concat());
    assert_eq!(read.lines().count() as u64, total);
    let mine = |args: &[&str]| {
        let all = [&["groups", "describe", "fixed", "-d", &data, "--output", "kafka"], args].concat();
        let output = command(&all).output().unwrap();
        sorted(&(String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()))
    };
    let (described, members) = (mine(&[]), mine(&["--members"]));
    broker.restart();
    assert_eq!(told(&kafka, &broker, &["--describe", "--group", "fixed"]), described);
    assert_eq!(told(&kafka, &broker, &["--describe", "--group", "fixed", "--members"]), members);
    let verbose = told(&kafka, &broker, &["--describe", "--group", "fixed", "--members", "--verbose"]);
    assert!(verbose.iter().any(|line| line.contains("reader-1") && line.contains("orders:0,1,2,3")), "{verbose:?}");
    // A consumer with the same instance id takes its place, in the same generation.
    let mut clients = broker.clients();
    let order = format!(
        "take-part fixed orders 1000 {} group.instance.id=reader-1 partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor",
        broker.file("taken").display()
    );
    assert_eq!(clients.run(&order), "0");
    println!("{total} records, {} and {} lines as the broker's", described.len(), members.len());
}
