//! One entry of a log, of any magic and codec: framing, decompression under a cap, records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::batch::{Decompressor, Frame};
use logdir::types::Codec;

const CAP: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut decompressor = Decompressor::with_cap(CAP);
    if let Ok(frame) = Frame::parse(data) {
        let _ = (frame.verify_crc(), frame.check_magic(), frame.base_offset(), frame.last_offset(), frame.codec());
        if let Ok(records) = frame.records(&mut decompressor) {
            for record in records.map_while(Result::ok) {
                assert!(record.raw.len() <= data.len().max(CAP));
                assert_eq!(record.headers.iter().count() as u64, u64::from(record.headers.len()));
            }
        }
    }
    // The codecs by themselves: a checksum seldom lets the fuzzer in.
    if let Some((choice, payload)) = data.split_first() {
        let codec = Codec::ALL[usize::from(choice % 5)];
        let magic = i8::from(choice & 0x80 == 0) * 2;
        if let Ok(out) = decompressor.decompress(codec, magic, payload) {
            assert!(out.len() <= CAP.max(payload.len()));
        }
    }
});
