//! A whole log: the walk ends, each step moves on, and what it yields lies inside the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::batch::scan::{Depth, ScanOptions, Scanner, Step};
use logdir::types::{Offset, Position};

fuzz_target!(|data: (bool, Option<i64>, &[u8])| {
    let (headers, base, bytes) = data;
    let depth = if headers { Depth::Headers } else { Depth::Crc };
    let options = ScanOptions { depth, base_offset: base.map(Offset::new), max_batch_bytes: 1 << 20 };
    let mut scanner = Scanner::new(bytes, Position::ZERO, options);
    let mut at = 0;
    loop {
        match scanner.next().expect("a slice has no I/O errors") {
            Step::Entry(entry) => {
                assert_eq!(entry.position.get(), at);
                at += entry.frame.size_bytes();
            }
            Step::Damage(damage) => {
                assert_eq!(damage.position.get(), at);
                assert!(damage.end > damage.position);
                at = damage.end.get();
            }
            Step::End(position, _) => {
                assert_eq!(position.get(), at);
                break;
            }
        }
        assert!(at <= bytes.len() as u64);
    }
});
