//! No fuzzer finds a CRC: the entries of a log get theirs.

use logdir::batch::Frame;
use logdir::crc::{crc32, crc32c};

/// Puts the checksum of every entry right, up to the first bytes that are none.
pub fn put_right(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..) {
        let (len, crc_at, crc) = match Frame::parse(rest) {
            Ok(Frame::Batch(batch)) => (batch.bytes().len(), 17, crc32c(&batch.bytes()[21..])),
            Ok(Frame::Message(message)) => (message.bytes().len(), 12, crc32(&message.bytes()[16..])),
            Err(_) => break,
        };
        rest[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
        at += len;
    }
}
