//! A broker that is started while a directory is half way to its place: it cuts nothing that lies aside, and what it serves
//! and writes stays.

use std::collections::BTreeMap;

use super::support::strace::{kill_at, strace};
use super::{Broker, Command, Kafka, Path, PathBuf, Stdio, copy, done, fs, log_end, logdir, names, served, text};

type Files = BTreeMap<String, Vec<u8>>;

/// Files of a partition directory; those of this program, and indexes, which a broker preallocates, apart.
fn files(dir: &Path) -> Files {
    let named = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file());
    let named = named.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| !name.starts_with(".logdir-")).collect()
}

fn logs(dir: &Path) -> Files {
    files(dir).into_iter().filter(|(name, _)| name.ends_with(".log")).collect()
}

fn wrapper(data: &Path) -> Option<PathBuf> {
    names(data).into_iter().find(|name| name.ends_with("-stray")).map(|name| data.join(name))
}

/// Runs `args` on `data` and kills it before or after the exchange; `false` where nothing can be traced.
fn kill_at_exchange(data: &Path, args: &[&str], after: bool) -> bool {
    let temp = tempfile::tempdir().unwrap();
    let (saved, log) = (temp.path().join("saved"), temp.path().join("calls"));
    copy(data, &saved);
    let traced = strace(&["-f", "-o", text(&log)], args);
    fs::remove_dir_all(data).unwrap();
    copy(&saved, data);
    if !traced.is_some_and(|status| status.success()) || !log.is_file() {
        println!("skipped: strace is not there, or may not trace");
        return false;
    }
    let kill = kill_at(&log, "renameat2", after).unwrap();
    let status = strace(&["-f", "-o", "/dev/null", "-e", &kill], args).unwrap();
    assert!(!status.success(), "killed at {kill}");
    true
}

/// What is in a wrapper is as it was, however the broker is stopped; its records are served, and more are produced.
fn used_meanwhile(broker: &mut Broker, expected: &[String], what: &str) -> Vec<String> {
    let inside = wrapper(&broker.data()).unwrap_or_else(|| panic!("{what}: {:?}", names(&broker.data()))).join("new");
    let before = files(&inside);
    broker.restart();
    let mut clients = broker.clients();
    assert_eq!(served(broker, &mut clients, "read_uncommitted", "mine"), expected, "{what}");
    clients.run("produce mine 1 5 6");
    drop(clients);
    // It recovers everything at its next start, under what its checkpoints say.
    broker.kill();
    broker.restart();
    let grown = served(broker, &mut broker.clients(), "read_uncommitted", "mine");
    assert_eq!(grown.len(), expected.len() + 60, "{what}");
    broker.stop();
    assert!(files(&inside) == before, "{what}: what lies aside is as it was");
    grown
}

#[test]
fn a_broker_started_half_way_cuts_nothing_and_loses_nothing() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    let (data, live) = (broker.data(), broker.data().join("mine-0"));
    let mut clients = broker.clients();
    clients.run("create mine 1 retention.ms=-1 internal.segment.bytes=14000");
    clients.run("produce mine 1 1 60");
    clients.run("delete-records mine 0 500");
    let truth = served(&broker, &mut clients, "read_uncommitted", "mine");
    drop(clients);
    broker.stop();
    let pristine = broker.file("pristine");
    copy(&data, &pristine);
    let restore = || {
        fs::remove_dir_all(&data).unwrap();
        copy(&pristine, &data);
    };
    for after in [false, true] {
        let what = format!("recover, killed {} the exchange", if after { "after" } else { "before" });
        restore();
        let index = fs::read_dir(&live).unwrap().map(|entry| entry.unwrap().path());
        let index = index.filter(|path| path.extension().is_some_and(|kind| kind == "index")).min().unwrap();
        fs::remove_file(index).unwrap();
        let original = files(&live);
        let args = ["recover", text(&live), "--mode", "salvage", "--in-place", "--execute"];
        if !kill_at_exchange(&data, &args, after) {
            return;
        }
        let grown = used_meanwhile(&mut broker, &truth, &what);
        let used = logs(&live);
        done(&args);
        assert!(logs(&live) == used, "{what}");
        assert_eq!(wrapper(&data), None, "{what}");
        assert!(!after || files(&live.join(".logdir-kept")) == original, "{what}: the original");
        broker.restart();
        assert_eq!(served(&broker, &mut broker.clients(), "read_uncommitted", "mine"), grown, "{what}");
        broker.stop();
        println!("{what}: {} records, then {}; the original is as it was", truth.len(), grown.len());
    }
    // A log that ends below the log start of the one whose place it takes: a broker would drop all of it.
    restore();
    let original = files(&live);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transactions/data/txn-a-1");
    assert!(log_end(&from) < 500);
    let args = ["topics", "adopt", text(&from), "--to", text(&data), "--as", "mine-0", "--replace", "--execute"];
    assert!(kill_at_exchange(&data, &args, true));
    let (_, adopted, _) = logdir(&["consume", "-d", text(&data), "-t", "mine", "--json"]);
    let adopted: Vec<String> = adopted.lines().map(str::to_owned).collect();
    assert!(adopted.len() > 50);
    let grown = used_meanwhile(&mut broker, &adopted, "adopt");
    done(&args);
    let aside = names(&data).into_iter().find(|name| name.ends_with("-delete")).unwrap();
    assert!(files(&data.join(aside)) == original, "the partition that was there, for a broker to remove");
    broker.restart();
    assert_eq!(served(&broker, &mut broker.clients(), "read_uncommitted", "mine"), grown);
    broker.stop();
    println!("adopt: {} records, then {}", adopted.len(), grown.len());
}

/// `ProducerStateManager.listSnapshotFiles` makes a number of every snapshot's name.
#[test]
fn a_snapshot_without_a_number_stops_the_broker_as_forecast() {
    let Some(kafka) = Kafka::find() else { return };
    let mut broker = Broker::start(&kafka, "");
    broker.clients().run("create mine 1");
    broker.stop();
    fs::write(broker.data().join("mine-0/before.snapshot"), "").unwrap();
    let mut forecast = Command::new(env!("CARGO_BIN_EXE_logdir"));
    forecast.args(["verify", "--forecast", "-F", text(&broker.file("server.properties"))]).stdin(Stdio::null());
    let forecast = forecast.output().unwrap();
    assert_eq!(forecast.status.code(), Some(1));
    let message = "NumberFormatException: For input string: \"before\"";
    assert!(String::from_utf8_lossy(&forecast.stderr).contains(message));
    let said = broker.start_refused();
    assert!(said.contains(message) && !said.contains("Kafka Server started"), "{said}");
}
