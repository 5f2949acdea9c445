//! `--output kafka` against recorded output of Kafka's own `DumpLogSegments`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use logdir::cli::decode::Decode;
use logdir::cli::dump::{self, DumpOptions, DumpOutcome, Output, Report};
use support::kafka_data::{Case, unpack};

/// Paths are relative to the data directory, and there is only one working directory.
static WORKING_DIR: Mutex<()> = Mutex::new(());

/// Where our output differs from the recorded one, and why: a file's end of path, the reason.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "corrupt/v-index-not-multiple-of-8-0/00000000000000000030.index.sanity.txt",
        "the tool had cut the index in an earlier run and so finds it sound; we do not write, and find it is not",
    ),
    (
        "v-zstd-bomb-0/00000000000000000099.log.dump.txt",
        "one record of 256 MiB, over the default cap of a decompressed batch; the tool ran out of memory on it",
    ),
];

struct Ran {
    stdout: Vec<u8>,
    outcome: DumpOutcome,
    reports: Vec<Report>,
}

fn run(options: &DumpOptions) -> Ran {
    let mut reports = Vec::new();
    let mut stdout = Vec::new();
    let outcome = dump::run(options, &mut stdout, &mut |report| reports.push(report)).unwrap();
    Ran { stdout, outcome, reports }
}

/// The data file and the options that made a recorded dump.
fn made_by(name: &str) -> Option<(&str, DumpOptions)> {
    let base = DumpOptions { output: Output::Kafka, ..DumpOptions::default() };
    if let Some(file) = name.strip_suffix(".decoded.txt") {
        let decode = Some(Decode::Auto);
        // The tool shows a control record's metadata, or skips it: only the bootstrap snapshot was dumped so.
        let skip_record_metadata = file.ends_with("bootstrap.checkpoint");
        return Some((file, DumpOptions { decode, print_data_log: true, skip_record_metadata, ..base }));
    }
    if let Some(file) = name.strip_suffix(".sanity.txt") {
        return Some((file, DumpOptions { index_sanity_check: true, ..base }));
    }
    let file = name.strip_suffix(".dump.txt")?;
    let is_log = file.ends_with(".log");
    Some((file, DumpOptions { deep_iteration: is_log, print_data_log: is_log, ..base }))
}

/// The tool's stdout, its stderr and whether an exception ended it. Stderr was appended to stdout.
fn recorded(text: &[u8]) -> (Vec<u8>, bool) {
    let mark = b"EXCEPTION: ";
    match text.windows(mark.len()).position(|window| window == mark) {
        Some(at) => (text[..at].to_vec(), true),
        None => (text.to_vec(), false),
    }
}

/// Our text with lines cut where the recorded ones were: above 2 MB, each with a note of its length.
fn cut_as_recorded(ours: Vec<u8>, expected: &[u8]) -> Vec<u8> {
    if find_last(expected, b" bytes cut here]").is_none() {
        return ours;
    }
    let mut out = Vec::new();
    let mut theirs = expected.split(|byte| *byte == b'\n');
    for line in ours.split_inclusive(|byte| *byte == b'\n') {
        let note = format!(" ...[line of {} bytes cut here]", line.len() - 1);
        match theirs.next().and_then(|theirs| theirs.strip_suffix(note.as_bytes())) {
            Some(start) => {
                out.extend_from_slice(&line[..start.len()]);
                out.extend_from_slice(note.as_bytes());
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Takes the tool's remark on the first record of a log out of its stderr.
fn without_false_gap(text: &[u8]) -> Vec<u8> {
    let Some(at) = find_last(text, b"\nNon-consecutive offsets in ") else { return text.to_vec() };
    let (before, section) = text.split_at(at + 1);
    let mut lines: Vec<&[u8]> = section.split_inclusive(|byte| *byte == b'\n').collect();
    lines.retain(|line| !line.starts_with(b"  -1 is followed by "));
    if lines.len() == 1 { before.to_vec() } else { [before, &lines.concat()].concat() }
}

fn find_last(text: &[u8], mark: &[u8]) -> Option<usize> {
    (0..text.len().saturating_sub(mark.len())).rev().find(|at| text[*at..].starts_with(mark))
}

/// The recorded paths are relative; `File.getAbsolutePath` of ours is not.
fn relative(stderr: &[u8], dir: &Path) -> Vec<u8> {
    let dir = format!("{}/", dir.display());
    String::from_utf8(stderr.to_vec()).unwrap().replace(&dir, "").into_bytes()
}

fn first_difference(ours: &[u8], theirs: &[u8]) -> String {
    let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let show = |bytes: &[u8]| {
        let from = at.saturating_sub(60);
        String::from_utf8_lossy(&bytes[from.min(bytes.len())..bytes.len().min(at + 80)]).into_owned()
    };
    format!(
        "at byte {at} of {}/{}:\n  ours   …{:?}\n  theirs …{:?}",
        ours.len(),
        theirs.len(),
        show(ours),
        show(theirs)
    )
}

#[test]
fn the_text_is_that_of_kafkas_tool() {
    let _guard = WORKING_DIR.lock().unwrap();
    let home = std::env::current_dir().unwrap();
    let mut compared: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut exceptions = 0;
    let mut wrong = Vec::new();
    for case in Case::all() {
        let archive = case.truth.join("dump.tar.gz");
        if !archive.is_file() {
            continue;
        }
        let truth = tempfile::tempdir().unwrap();
        unpack(&archive, truth.path());
        let root = truth.path().join("dump");
        let data = case.data().canonicalize().unwrap();
        std::env::set_current_dir(&data).unwrap();
        for file in files_below(&root) {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
            let Some((data_file, mut options)) = made_by(name) else { panic!("what is {name}?") };
            options.paths = vec![PathBuf::from(data_file)];
            let text = std::fs::read(&file).unwrap();
            let (expected, threw) = recorded(&text);
            let ran = run(&options);
            let label = format!("{}/{name}", case.name);
            let ours = [ran.stdout, relative(&ran.outcome.kafka_stderr, &data)].concat();
            let ours = cut_as_recorded(ours, &expected);
            let kind = name.rsplit('.').take(3).collect::<Vec<_>>();
            let entry = compared.entry(format!("{}.{}", kind[2], kind[1])).or_default();
            entry.0 += 1;
            entry.1 += expected.iter().filter(|byte| **byte == b'\n').count();
            let expected = without_false_gap(&expected);
            let same = if threw { ours.starts_with(&expected) } else { ours == expected };
            exceptions += usize::from(threw);
            if !same && !DIFFERENCES.iter().any(|(end, _)| label.ends_with(end)) {
                wrong.push(format!(
                    "{label}{}: {}",
                    if threw { " (threw)" } else { "" },
                    first_difference(&ours, &expected)
                ));
            }
            if threw
                && ran.reports.is_empty()
                && find_last(&text, b"EXCEPTION: java.util.NoSuchElementException").is_none()
            {
                wrong.push(format!("{label}: the tool threw, we said nothing"));
            }
            if !threw && ran.outcome.damage && std::env::var_os("SHOW_DAMAGE").is_some() {
                println!("{label}: {:?}", ran.reports);
            }
        }
        std::env::set_current_dir(&home).unwrap();
    }
    for (kind, (files, lines)) in &compared {
        println!("{kind}: {files} files, {lines} lines compared");
    }
    println!("{exceptions} of them up to an exception");
    if support::kafka_data_dir().is_some() {
        assert!(compared.values().map(|(files, _)| files).sum::<usize>() > 3_000, "{compared:?}");
        assert!(compared.get("log.decoded").is_some_and(|(files, _)| *files > 50), "{compared:?}");
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A log of batches of about 16 KiB with records of 100 bytes, `bytes` long.
fn log_of_small_records(path: &Path, bytes: usize) {
    use logdir::wire::{put_varint, put_varlong};
    use std::io::Write;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let (mut written, mut offset) = (0, 0i64);
    while written < bytes {
        let count = 145i32;
        let mut payload = Vec::new();
        for n in 0..count {
            let mut body = vec![0];
            put_varlong(&mut body, i64::from(n));
            put_varint(&mut body, n);
            let key = format!("k{:06}", (offset + i64::from(n)) % 1_000_000);
            put_varint(&mut body, i32::try_from(key.len()).unwrap());
            body.extend_from_slice(key.as_bytes());
            put_varint(&mut body, 92);
            body.extend_from_slice(&[b'v'; 92]);
            put_varint(&mut body, 0);
            put_varint(&mut payload, i32::try_from(body.len()).unwrap());
            payload.extend_from_slice(&body);
        }
        let mut covered = Vec::new();
        covered.extend_from_slice(&0i16.to_be_bytes());
        covered.extend_from_slice(&(count - 1).to_be_bytes());
        for timestamp in [1_760_000_000_000 + offset, 1_760_000_000_000 + offset + i64::from(count) - 1] {
            covered.extend_from_slice(&timestamp.to_be_bytes());
        }
        covered.extend_from_slice(&(-1i64).to_be_bytes());
        covered.extend_from_slice(&(-1i16).to_be_bytes());
        covered.extend_from_slice(&(-1i32).to_be_bytes());
        covered.extend_from_slice(&count.to_be_bytes());
        covered.extend_from_slice(&payload);
        let mut batch = offset.to_be_bytes().to_vec();
        batch.extend_from_slice(&i32::try_from(covered.len() + 9).unwrap().to_be_bytes());
        batch.extend_from_slice(&0i32.to_be_bytes());
        batch.push(2);
        batch.extend_from_slice(&crc32c::crc32c(&covered).to_be_bytes());
        batch.extend_from_slice(&covered);
        file.write_all(&batch).unwrap();
        written += batch.len();
        offset += i64::from(count);
    }
    file.into_inner().unwrap();
}

/// The lines of the tool's stderr in an order that does not depend on its hash maps, without its false gap.
fn findings(stderr: &str) -> Vec<String> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in stderr.lines().filter(|line| !line.starts_with("  -1 is followed by ")) {
        match sections.last_mut() {
            Some(section) if line.starts_with(' ') || line.starts_with("Indexed") => section.push(line),
            _ => sections.push(vec![line]),
        }
    }
    sections.retain(|section| section.len() > 1 || !section[0].starts_with("Non-consecutive"));
    let mut found: Vec<String> = sections.iter().map(|section| section.join("\n")).collect();
    found.sort();
    found
}

/// Runs the tool itself: `LOGDIR_KAFKA_LIBS` is the `libs` folder of a Kafka 4.3 installation.
#[test]
fn every_option_prints_what_the_tool_prints() {
    let Ok(libs) = std::env::var("LOGDIR_KAFKA_LIBS") else {
        println!("skipped: no Kafka to compare with (set LOGDIR_KAFKA_LIBS, see .ci/kafka-setup)");
        return;
    };
    let _guard = WORKING_DIR.lock().unwrap();
    let temp = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let base = DumpOptions { output: Output::Kafka, ..DumpOptions::default() };
    let print = DumpOptions { print_data_log: true, ..base.clone() };
    let sets: [(&[&str], DumpOptions); 9] = [
        (&[], base.clone()),
        (&["--deep-iteration"], DumpOptions { deep_iteration: true, ..base.clone() }),
        (&["--print-data-log"], print.clone()),
        (&["--print-data-log", "--skip-record-metadata"], DumpOptions { skip_record_metadata: true, ..print.clone() }),
        (
            &["--deep-iteration", "--skip-record-metadata"],
            DumpOptions { deep_iteration: true, skip_record_metadata: true, ..base.clone() },
        ),
        (&["--print-data-log", "--max-bytes", "3000"], DumpOptions { max_bytes: 3_000, ..print.clone() }),
        (&["--max-bytes", "0"], DumpOptions { max_bytes: 0, ..base.clone() }),
        (&["--verify-index-only"], DumpOptions { verify_index_only: true, ..base.clone() }),
        (&["--index-sanity-check"], DumpOptions { index_sanity_check: true, ..base.clone() }),
    ];
    let decode = |decode| DumpOptions { decode: Some(decode), ..print.clone() };
    let decoders: [(&[&str], DumpOptions); 4] = [
        (&["--offsets-decoder"], decode(Decode::Offsets)),
        (&["--transaction-log-decoder"], decode(Decode::TransactionLog)),
        (&["--share-group-state-decoder"], decode(Decode::ShareGroupState)),
        (&["--cluster-metadata-decoder"], decode(Decode::ClusterMetadata)),
    ];
    let books = temp.path().join("books");
    log_of_vectors(&books.join("books-0"));
    let mut compared = 0;
    let sources = ["codecs", "compacted", "legacy", "transactions"].map(|name| root.join(name).join("data"));
    let extra = std::env::var_os("LOGDIR_DUMP_DIRS").map(|dirs| std::env::split_paths(&dirs).collect::<Vec<_>>());
    let sources = sources.into_iter().chain(extra.into_iter().flatten()).map(|source| (source, &sets[..]));
    for (number, (source, sets)) in sources.chain([(books.clone(), &decoders[..])]).enumerate() {
        // The tool writes to what it dumps.
        let copy = temp.path().join(number.to_string());
        assert!(std::process::Command::new("cp").arg("-r").arg(&source).arg(&copy).status().unwrap().success());
        std::env::set_current_dir(&copy).unwrap();
        let mut files: Vec<PathBuf> =
            files_below(&copy).iter().map(|file| file.strip_prefix(&copy).unwrap().to_owned()).collect();
        files.retain(|file| !file.to_string_lossy().contains(','));
        let list = files.iter().map(|file| file.to_str().unwrap()).collect::<Vec<_>>().join(",");
        for (flags, options) in sets {
            let options = DumpOptions { paths: files.clone(), ..options.clone() };
            let theirs = std::process::Command::new("java")
                .args(["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", &format!("{libs}/*")])
                .args(["org.apache.kafka.tools.DumpLogSegments", "--files", &list])
                .args(*flags)
                .output()
                .unwrap();
            let label = format!("{} {flags:?}", source.display());
            let stderr = String::from_utf8_lossy(&theirs.stderr);
            assert!(theirs.status.success(), "{label}: {stderr}");
            let ours = run(&options);
            assert!(ours.stdout == theirs.stdout, "{label}: {}", first_difference(&ours.stdout, &theirs.stdout));
            let own = findings(&String::from_utf8_lossy(&ours.outcome.kafka_stderr));
            assert_eq!(own, findings(&stderr), "{label}");
            compared += files.len();
        }
    }
    println!("{compared} dumps compared");
}

/// A log of every record in the vectors of the coordinators, good and bad, and of bytes that are none: each decoder
/// has something to say of each of them.
fn log_of_vectors(dir: &Path) {
    use logdir::batch::builder::{BatchBuilder, BatchSpec, NewRecord};
    use logdir::batch::compression::Compressor;
    use logdir::types::{LeaderEpoch, Offset};
    std::fs::create_dir_all(dir).unwrap();
    let cases = ["coordinator-records", "transaction-log"].into_iter().filter_map(support::lines).flatten();
    let bytes = |case: &serde_json::Value, name: &str| case[name].as_str().map(|_| support::hex(case, name));
    let mut records: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        cases.map(|case| (support::hex(&case, "key"), bytes(&case, "value"))).collect();
    // Share state: a snapshot and an update, and metadata frames: good, cut, unknown, with bytes left over.
    let (group, rest) = (b"\0\x01g".to_vec(), [[7u8; 16].as_slice(), &[0, 0, 0, 3]].concat());
    let snapshot = b"\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x02\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0b\x02\0\x01\0\0";
    let update = b"\0\0\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\x0a\x01\x01\0\x04\0\0\0\x05";
    for (kind, value) in [(0u8, &snapshot[..]), (1, &update[..]), (0, &update[..]), (2, &update[..])] {
        records.push(([&[0, kind][..], &group, &rest].concat(), Some(value.to_vec())));
        records.push(([&[0, kind][..], &group, &rest].concat(), Some(value[..value.len() - 1].to_vec())));
        records.push(([&[0, kind][..], &group].concat(), None));
    }
    let frames: [&[u8]; 9] = [
        b"\x01\x0c\0\x02m\0\x07\0",
        b"\x01\x0c\0\x02m\0\x07\0\0\0",
        b"\x01\x0c\0\x02m\0",
        b"\x01\xc8\x01\0\0",
        b"\x02\x0c\0",
        b"\0",
        b"\x01",
        b"\x01\x0c",
        b"",
    ];
    records.extend(frames.iter().map(|frame| (b"\0\0\0\x01k".to_vec(), Some(frame.to_vec()))));
    let (mut log, mut offset) = (Vec::new(), 0i64);
    for batch in records.chunks(40) {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        for (key, value) in batch {
            let record =
                NewRecord { timestamp_ms: 1_760_000_000_000, key: Some(key), value: value.as_deref(), headers: &[] };
            builder.push(&record).unwrap();
        }
        let mut sealed = builder.seal(&mut Compressor::default()).unwrap();
        sealed.assign(Offset::new(offset), LeaderEpoch(0));
        offset += i64::try_from(batch.len()).unwrap();
        log.extend_from_slice(sealed.bytes());
    }
    std::fs::write(dir.join("00000000000000000000.log"), log).unwrap();
}

/// Large uncompressed logs are printed in pieces: the seams must not show.
#[test]
fn one_thread_and_many_print_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000000.log");
    log_of_small_records(&path, 6 << 20);
    let mut bytes = std::fs::read(&path).unwrap();
    let batch_len = 12 + usize::try_from(u32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    // A flipped byte, and a gap in front of every eighth batch: base offsets are outside the checksum.
    bytes[batch_len * 40 + 300] ^= 1;
    let mut at = 0;
    for number in 0.. {
        let Some(head) = bytes.get(at..at + 12) else { break };
        let len = 12 + usize::try_from(u32::from_be_bytes(head[8..12].try_into().unwrap())).unwrap();
        let base = i64::from_be_bytes(head[..8].try_into().unwrap()) + number / 8;
        bytes[at..at + 8].copy_from_slice(&base.to_be_bytes());
        at += len;
    }
    std::fs::write(&path, &bytes).unwrap();
    let options =
        DumpOptions { paths: vec![path], output: Output::Kafka, print_data_log: true, ..DumpOptions::default() };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&options))
    };
    let (one, many) = (with(1), with(4));
    assert!(one.stdout.len() > 10 << 20, "{}", one.stdout.len());
    assert!(one.stdout == many.stdout, "{}", first_difference(&many.stdout, &one.stdout));
    assert_eq!(one.outcome, many.outcome);
    assert!(one.outcome.kafka_stderr.split(|byte| *byte == b'\n').count() > 40);
    assert_eq!(one.reports, many.reports);
    assert_eq!(one.reports[0].code, "crc_mismatch");
}
