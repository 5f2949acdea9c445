//! What librdkafka tells of a message and its Rust binding does not: the leader epoch, and the keys of headers as they are.
//!
//! The binding panics at a key that is no UTF-8. Beside `storage::fs` this is the one page of unsafe code.
#![allow(unsafe_code, reason = "functions of librdkafka that its binding does not wrap")]

use std::ffi::CStr;
use std::ptr;
use std::slice;

use rdkafka::bindings;
use rdkafka::message::BorrowedMessage;

/// Key and value of a header.
pub type RawHeader<'m> = (&'m [u8], Option<&'m [u8]>);

/// The leader epoch of a message's batch; none where the broker is too old to tell.
pub fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the pointer is that of the message, which is there for as long as it is borrowed; it is read only.
    let epoch = unsafe { bindings::rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// The headers of a message, in order. A key with a NUL in it ends there: librdkafka tells no length.
pub fn headers<'m>(message: &'m BorrowedMessage<'_>) -> impl Iterator<Item = RawHeader<'m>> {
    let mut list = ptr::null_mut();
    // SAFETY: as above. The list belongs to the message, and lives as long.
    let error = unsafe { bindings::rd_kafka_message_headers(message.ptr(), &raw mut list) };
    let has_some = error as i32 == 0 && !list.is_null();
    (0..).map_while(move |number: usize| {
        if !has_some {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0_usize);
        // SAFETY: the list is there; a number beyond its end is answered with an error, and the three are left alone.
        let error =
            unsafe { bindings::rd_kafka_header_get_all(list, number, &raw mut name, &raw mut value, &raw mut size) };
        if error as i32 != 0 || name.is_null() {
            return None;
        }
        // SAFETY: librdkafka ends names with a NUL; both belong to the message, which `'m` borrows.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        // SAFETY: `value` points to `size` bytes, or to nothing.
        let value = (!value.is_null()).then(|| unsafe { slice::from_raw_parts(value.cast::<u8>(), size) });
        Some((name, value))
    })
}
