//! Records of a payload, with whatever count the batch claims.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::batch::Records;
use logdir::batch::record::RecordContext;
use logdir::types::Offset;

fuzz_target!(|data: (i32, i64, i64, Option<i64>, i32, &[u8])| {
    let (count, base_offset, base_timestamp_ms, log_append_ms, base_sequence, payload) = data;
    let base_offset = Offset::new(base_offset);
    let context = RecordContext { base_offset, base_timestamp_ms, log_append_ms, base_sequence, count };
    let mut read = 0;
    for record in Records::new(context, payload) {
        let Ok(record) = record else { break };
        read += record.raw.len();
        assert_eq!(record.headers.iter().count() as u64, u64::from(record.headers.len()));
    }
    assert!(read <= payload.len());
});
