//! The text files of a log directory, made of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::storage::leader_epochs::LeaderEpochs;
use logdir::storage::{checkpoint, clean_shutdown, leader_epochs, meta_properties, partition_metadata, quorum_state};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(offsets) = checkpoint::parse(bytes) {
        assert!(offsets.len() <= bytes.len());
    }
    if let Ok(entries) = leader_epochs::parse(bytes) {
        assert!(entries.len() <= bytes.len());
        let _ = LeaderEpochs::from_entries(&entries);
    }
    let _ = meta_properties::parse(bytes);
    let _ = partition_metadata::parse(bytes);
    let _ = quorum_state::parse(bytes);
    let _ = clean_shutdown::parse(bytes);
});
