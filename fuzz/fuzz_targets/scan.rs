//! A whole log: the walk ends, each step moves on, and what it yields lies inside the bytes.
//!
//! Walked as it came, and again with every checksum on the way put right: no fuzzer finds a CRC.
#![no_main]

#[path = "support/checksums.rs"]
mod checksums;

use libfuzzer_sys::fuzz_target;
use logdir::batch::scan::{Depth, ScanOptions, Scanner, Step};
use logdir::types::{Offset, Position};

fuzz_target!(|data: (bool, Option<i64>, u16, &[u8])| {
    let (headers, base, spoiled, bytes) = data;
    walk(bytes, headers, base);
    let mut sound = bytes.to_vec();
    checksums::put_right(&mut sound);
    walk(&sound, headers, base);
    // One byte of a log that is sound otherwise: the way on has to be searched.
    if let Some(byte) = sound.get_mut(usize::from(spoiled)) {
        *byte ^= 0x55;
        walk(&sound, headers, base);
    }
});

fn walk(bytes: &[u8], headers: bool, base: Option<i64>) {
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
}
