//! Producer snapshots made of any bytes, with the checksum as it came and put right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::crc::crc32c;
use logdir::storage::producer_state;

fuzz_target!(|bytes: &[u8]| {
    let _ = producer_state::parse(bytes);
    if let Some(covered) = bytes.get(6..) {
        let sound = [&bytes[..2], &crc32c(covered).to_be_bytes(), covered].concat();
        if let Ok(snapshot) = producer_state::parse(&sound) {
            assert!(snapshot.entries.len() <= bytes.len());
            let again = producer_state::parse(&producer_state::to_bytes(&snapshot.entries)).expect("what was written reads");
            assert_eq!(again.entries, snapshot.entries);
        }
    }
});
