//! Every byte of small real segments is flipped and every cut is made: the walk over the log never
//! panics, says that something is wrong, and still yields every batch that was not touched.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::Range;
use std::path::{Path, PathBuf};

use logdir::batch::Frame;
use logdir::batch::scan::{Doubt, ScanOptions, Scanner, Step, Tail};
use logdir::types::{Offset, Position};

/// Batches, messages, wrappers; several batches in each.
const SEGMENTS: [&str; 6] = [
    "transactions/data/txn-b-0/00000000000000000134.log",
    "compacted/data/compact-txn-0/00000000000000000000.log",
    "compacted/data/retained-1/00000000000000000395.log",
    "legacy/data/v1-none-0/00000000000000000210.log",
    "legacy/data/v1-lz4-0/00000000000000000182.log",
    "legacy/data/v0-snappy-0/00000000000000000191.log",
];

struct Segment {
    path: PathBuf,
    base: Offset,
    bytes: Vec<u8>,
    entries: Vec<Range<usize>>,
    spans: Vec<Span>,
}

/// First and last offset, and leader epoch.
type Span = (i64, i64, i32);

#[derive(Debug, Default)]
struct Walk {
    entries: Vec<Range<usize>>,
    spans: Vec<Span>,
    complaints: usize,
    tail: Option<Tail>,
    end: Option<Offset>,
}

fn walk(bytes: &[u8], base: Offset) -> Walk {
    let options = ScanOptions { base_offset: Some(base), ..ScanOptions::default() };
    let mut scanner = Scanner::new(bytes, Position::ZERO, options);
    let mut walk = Walk::default();
    // Each step but the last moves on by at least one byte: more steps than bytes is a hang.
    for _ in 0..=bytes.len() {
        match scanner.next().unwrap() {
            Step::Entry(entry) => {
                let start = usize::try_from(entry.position.get()).unwrap();
                walk.entries.push(start..start + entry.frame.bytes().len());
                let last = entry.frame.last_offset().get();
                let first = entry.frame.base_offset().map_or(last, Offset::get);
                walk.spans.push((first, last, entry.frame.leader_epoch().0));
                walk.complaints += usize::from(entry.doubt.is_some());
            }
            Step::Damage(damage) => {
                assert!(damage.end > damage.position, "damage without bytes");
                walk.complaints += 1;
            }
            Step::End(_, tail) => {
                walk.tail = Some(tail);
                walk.end = scanner.next_offset();
                return walk;
            }
        }
    }
    panic!("the walk does not end");
}

fn segments() -> Vec<Segment> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let open = |name: &str| {
        let path = fixtures.join(name);
        let base = Offset::new(path.file_stem().unwrap().to_str().unwrap().parse().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        let walk = walk(&bytes, base);
        assert_eq!((walk.complaints, walk.tail), (0, Some(Tail::Clean)), "{name} is sound");
        assert!(walk.entries.len() >= 2, "{name} has {} entries", walk.entries.len());
        Segment { path, base, bytes, entries: walk.entries, spans: walk.spans }
    };
    SEGMENTS.map(open).into_iter().collect()
}

#[test]
fn every_flipped_byte_is_noticed_and_costs_no_other_batch() {
    let (mut flips, mut blind) = (0, 0);
    for segment in segments() {
        let name = segment.path.display();
        for at in 0..segment.bytes.len() {
            for mask in [0x01u8, 0x10, 0x80, 0xff] {
                let mut bytes = segment.bytes.clone();
                bytes[at] ^= mask;
                let walk = walk(&bytes, segment.base);
                flips += 1;
                let label = format!("{name}: byte {at} ^ {mask:#04x}");
                for entry in segment.entries.iter().filter(|entry| !entry.contains(&at)) {
                    assert!(walk.entries.contains(entry), "{label}: the batch at {} is lost", entry.start);
                }
                if walk.complaints > 0 || walk.tail != Some(Tail::Clean) {
                    continue;
                }
                // No checksum covers offset and leader epoch of a batch, or the offset of a message: neighbours
                // give a wrong one away, unless it fits between them as after compaction or an election.
                let number = segment.entries.iter().position(|entry| entry.contains(&at)).unwrap();
                let (first, last, epoch) = walk.spans[number];
                let below = number.checked_sub(1).map_or((0, segment.base.get() - 1, -1), |n| segment.spans[n]);
                let above = segment.spans.get(number + 1).copied().unwrap_or((i64::MAX, i64::MAX, i32::MAX));
                let fits = below.1 < first && last < above.0 && below.2 <= epoch && epoch <= above.2;
                let field = at - segment.entries[number].start;
                assert!(fits && matches!(field, 0..=7 | 12..=15), "{label}: not noticed");
                blind += 1;
            }
        }
    }
    println!("{flips} flips; {blind} gave a batch another offset or epoch that fits where it stands");
}

#[test]
fn every_cut_is_a_torn_tail_and_keeps_the_batches_before_it() {
    let mut cuts = 0;
    for segment in segments() {
        for cut in 0..segment.bytes.len() {
            let walk = walk(&segment.bytes[..cut], segment.base);
            let whole: Vec<_> = segment.entries.iter().filter(|entry| entry.end <= cut).cloned().collect();
            let label = format!("{}: cut at {cut}", segment.path.display());
            assert_eq!((&walk.entries, walk.complaints), (&whole, 0), "{label}");
            let behind = cut - whole.last().map_or(0, |entry| entry.end);
            match walk.tail {
                Some(Tail::Clean) => assert_eq!(behind, 0, "{label}"),
                Some(Tail::Torn { bytes, .. } | Tail::Zeros { bytes }) => {
                    assert_eq!(bytes, behind as u64, "{label}");
                }
                None => panic!("{label}: no end"),
            }
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
}

#[test]
fn a_lying_length_does_not_swallow_the_batches_inside_it() {
    for segment in segments() {
        let second = segment.entries[1].clone();
        for third_end in segment.entries[2..].iter().map(|entry| entry.end) {
            // The length claims everything up to the end of a later batch: framing alone would skip them.
            let mut bytes = segment.bytes.clone();
            let length = i32::try_from(third_end - second.start - 12).unwrap();
            bytes[second.start + 8..second.start + 12].copy_from_slice(&length.to_be_bytes());
            let walk = walk(&bytes, segment.base);
            let label = format!("{}: length {length} at {}", segment.path.display(), second.start);
            assert!(walk.complaints > 0, "{label}");
            for entry in segment.entries.iter().filter(|entry| **entry != second) {
                assert!(walk.entries.contains(entry), "{label}: the batch at {} is lost", entry.start);
            }
        }
    }
}

#[test]
fn swapped_and_copied_batches_are_all_read_and_said() {
    let segment = &segments()[0];
    let part = |number: usize| &segment.bytes[segment.entries[number].clone()];
    let count = segment.entries.len();
    let order =
        |numbers: &[usize]| walk(&numbers.iter().flat_map(|n| part(*n)).copied().collect::<Vec<_>>(), segment.base);
    let mut swapped: Vec<_> = (0..count).collect();
    swapped.swap(1, 2);
    let found = order(&swapped);
    assert_eq!((found.entries.len(), found.complaints), (count, 1), "swapped");
    let mut copied: Vec<_> = (0..count).collect();
    copied.insert(2, 1);
    let found = order(&copied);
    assert_eq!((found.entries.len(), found.complaints), (count + 1, 1), "copied");

    // A copy is surplus; a batch whose offset was damaged is not.
    let bytes: Vec<u8> = copied.iter().flat_map(|n| part(*n)).copied().collect();
    let options = ScanOptions { base_offset: Some(segment.base), ..ScanOptions::default() };
    let mut scanner = Scanner::new(&bytes[..], Position::ZERO, options);
    let mut doubts = Vec::new();
    while let Step::Entry(entry) = scanner.next().unwrap() {
        doubts.extend(entry.doubt);
    }
    assert!(matches!(doubts[..], [Doubt::OffsetOrder { surplus: true, .. }]), "{doubts:?}");
}

#[test]
fn bytes_in_front_of_a_log_do_not_hide_it() {
    for segment in segments() {
        let mut bytes = vec![0xa5; 777];
        bytes.extend_from_slice(&segment.bytes);
        let walk = walk(&bytes, segment.base);
        let moved: Vec<_> = segment.entries.iter().map(|entry| entry.start + 777..entry.end + 777).collect();
        assert_eq!(walk.entries, moved, "{}", segment.path.display());
        assert_eq!(walk.complaints, 1);
        assert!(Frame::parse(&bytes).is_err());
    }
}

#[test]
fn garbage_behind_a_log_is_damage_and_no_torn_batch() {
    for segment in segments() {
        for garbage in [&[b'y'; 5_000][..], &[0x11; 300], &[0xff; 100], &[7; 20]] {
            let bytes = [&segment.bytes[..], garbage].concat();
            let walk = walk(&bytes, segment.base);
            let label = format!("{}: {} bytes {:#04x}", segment.path.display(), garbage.len(), garbage[0]);
            assert_eq!((&walk.entries, walk.complaints), (&segment.entries, 1), "{label}");
            assert_eq!(walk.tail, Some(Tail::Clean), "{label}");
        }
    }
}

/// A sparse file: what it has, and where it was asked for bytes.
struct Sparse {
    bytes: Vec<u8>,
    len: u64,
    asked: u64,
    zeros: Vec<u8>,
}

impl logdir::batch::scan::Source for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn window(&mut self, position: u64, want: usize) -> std::io::Result<&[u8]> {
        self.asked += 1;
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let at = usize::try_from(position).unwrap();
        // The last of `bytes` are zeros as well: a window is as long as it is asked to be.
        self.zeros.resize(self.zeros.len().max(want.min(left)), 0);
        Ok(match self.bytes.get(at..).filter(|rest: &&[u8]| <[u8]>::len(rest) >= want) {
            Some(rest) => rest,
            None => &self.zeros[..want.min(left)],
        })
    }

    fn skip_hole(&mut self, position: u64) -> std::io::Result<u64> {
        Ok(if position < self.bytes.len() as u64 { position } else { self.len })
    }
}

/// A preallocated log of a broker that was killed, with and without a torn batch in front of the zeros: what is a hole
/// is not read, however long it is.
#[test]
fn a_hole_to_the_end_is_told_from_its_first_bytes() {
    for segment in segments() {
        for cut in [0, 30] {
            let mut bytes = segment.bytes[..segment.bytes.len() - cut].to_vec();
            if cut > 0 {
                // Values of zeros would be whole again.
                *bytes.last_mut().unwrap() ^= 0x55;
            }
            // What the source has ends in zeros of its own, as the last block of a file does.
            bytes.resize(bytes.len().next_multiple_of(4096) + (128 << 10), 0);
            let len = 1 << 40;
            let source = Sparse { bytes, len, asked: 0, zeros: Vec::new() };
            let options = ScanOptions { base_offset: Some(segment.base), ..ScanOptions::default() };
            let mut scanner = Scanner::new(source, Position::ZERO, options);
            let (mut entries, mut damaged) = (0, 0);
            let tail = loop {
                match scanner.next().unwrap() {
                    Step::Entry(_) => entries += 1,
                    Step::Damage(_) => damaged += 1,
                    Step::End(_, tail) => break tail,
                }
            };
            let name = segment.path.display();
            assert_eq!(entries, segment.entries.len() - usize::from(cut > 0), "{name} cut by {cut}");
            assert_eq!(damaged, usize::from(cut > 0), "{name} cut by {cut}");
            assert!(cut > 0 || matches!(tail, Tail::Zeros { .. }), "{name}: {tail:?}");
            let asked = scanner.source().asked;
            assert!(asked < 1_000, "{name} cut by {cut}: {asked} reads");
        }
    }
}
