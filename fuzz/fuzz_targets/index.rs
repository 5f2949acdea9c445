//! Offset, time and transaction indexes made of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::storage::index::{offset::OffsetIndex, time::TimeIndex, txn::TxnIndex};
use logdir::types::Offset;

fuzz_target!(|data: (i64, i64, &[u8])| {
    let (base, target, bytes) = data;
    let (base, offset) = (Offset::new(base), Offset::new(target));
    let index = OffsetIndex::new(base, bytes);
    let _ = (index.lookup(offset), index.raw_lookup(offset), index.sanity_check(), index.first_violation());
    assert!(index.len() <= index.raw_entries());
    assert_eq!(index.entries().count(), index.len());
    let index = TimeIndex::new(base, bytes);
    let _ = (index.lookup(target), index.raw_lookup(target), index.sanity_check(), index.first_violation(), index.last());
    assert!(index.len() <= index.raw_entries());
    let index = TxnIndex::new(base, bytes);
    let _ = (index.collect_aborted(offset, base), index.sanity_check(), index.first_violation());
    let _ = index.len_truncated_to(offset);
    assert_eq!(index.entries().count(), index.len());
});
