//! JSON lines, written by hand: a record's fields are few and known, and their bytes many.
//!
//! ```text
//! {"topic":"orders","partition":0,"offset":  41  ,"timestamp_ms":  1760000000041
//! |-------- once a partition -------------|
//! ,"timestamp_type":"create","leader_epoch":0,"headers":[  ...  ],"key": ... ,"value": ... }
//! |------------------- once a batch --------------------|
//! ```

use data_encoding::BASE64;

use super::{BatchContext, Row, control_name};
use crate::batch::record::RecordRef;
use crate::json_text;
use crate::types::TimestampType;

/// The constant pieces of a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    topic: String,
    partition: i32,
    /// Up to the offset.
    head: Vec<u8>,
    /// From the timestamp to the headers (lossless), or from the offset to the timestamp (kcat).
    middle: Vec<u8>,
    middle_of: Option<(TimestampType, i32)>,
}

impl Parts {
    /// Whether anything changed since the last batch.
    fn begin(&mut self, batch: &BatchContext<'_>) -> bool {
        if self.head.is_empty() || self.partition != batch.partition || self.topic != batch.topic {
            self.topic.clear();
            self.topic.push_str(batch.topic);
            self.partition = batch.partition;
            self.head.clear();
            self.head.extend_from_slice(b"{\"topic\":");
            json_text::write(batch.topic.as_bytes(), &mut self.head);
            self.head.extend_from_slice(b",\"partition\":");
            integer(batch.partition, &mut self.head);
            self.head.extend_from_slice(b",\"offset\":");
        }
        let middle_of = Some((batch.timestamp_type, batch.leader_epoch.0));
        std::mem::replace(&mut self.middle_of, middle_of) != middle_of
    }

    pub(super) fn begin_lossless(&mut self, batch: &BatchContext<'_>) {
        if !self.begin(batch) {
            return;
        }
        let middle = &mut self.middle;
        middle.clear();
        middle.extend_from_slice(b",\"timestamp_type\":");
        match batch.timestamp_type.json_name() {
            Some(name) => json_text::write(name.as_bytes(), middle),
            None => middle.extend_from_slice(b"null"),
        }
        middle.extend_from_slice(b",\"leader_epoch\":");
        integer(batch.leader_epoch.0, middle);
        middle.extend_from_slice(b",\"headers\":[");
    }

    pub(super) fn begin_kcat(&mut self, batch: &BatchContext<'_>) {
        if !self.begin(batch) {
            return;
        }
        // kcat leaves both keys out when the message has no timestamp.
        self.middle.clear();
        self.middle.extend_from_slice(match batch.timestamp_type {
            TimestampType::None => b"",
            TimestampType::Create => b",\"tstype\":\"create\",\"ts\":",
            TimestampType::LogAppend => b",\"tstype\":\"logappend\",\"ts\":",
        });
    }

    #[inline]
    pub(super) fn lossless(&self, row: Row<'_>, meta_only: bool, out: &mut Vec<u8>) {
        let record = row.record;
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        out.reserve(self.head.len() + self.middle.len() + bytes + 96);
        out.extend_from_slice(&self.head);
        integer(record.offset.get(), out);
        out.extend_from_slice(b",\"timestamp_ms\":");
        integer(record.timestamp_ms, out);
        out.extend_from_slice(&self.middle);
        if !record.headers.is_empty() {
            for (index, (key, value)) in record.headers.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
                named(b"\"key\":", b"\"key_base64\":", Some(key), out);
                named(b",\"value\":", b",\"value_base64\":", value, out);
                out.push(b'}');
            }
        }
        out.push(b']');
        named(b",\"key\":", b",\"key_base64\":", record.key, out);
        if meta_only {
            out.extend_from_slice(b",\"value_size_bytes\":");
            match record.value {
                Some(value) => integer(value.len(), out),
                None => out.extend_from_slice(b"null"),
            }
        } else {
            named(b",\"value\":", b",\"value_base64\":", record.value, out);
        }
        if row.batch.control {
            out.extend_from_slice(b",\"control\":");
            json_text::write(control_name(record.key).as_bytes(), out);
        }
        out.extend_from_slice(b"}\n");
    }

    /// One line as kcat's `-J` writes it: headers only where there are some, bytes that are not UTF-8 as
    /// they are, and -1 for the broker, which a log does not know.
    pub(super) fn kcat(&self, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        let string = |bytes: Option<&[u8]>, out: &mut Vec<u8>| match bytes {
            Some(bytes) => json_text::write(bytes, out),
            None => out.extend_from_slice(b"null"),
        };
        out.extend_from_slice(&self.head);
        integer(record.offset.get(), out);
        if !self.middle.is_empty() {
            out.extend_from_slice(&self.middle);
            integer(record.timestamp_ms, out);
        }
        out.extend_from_slice(b",\"broker\":-1");
        if !record.headers.is_empty() {
            out.extend_from_slice(b",\"headers\":");
            for (index, (key, value)) in record.headers.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                json_text::write(key, out);
                out.push(b',');
                string(value, out);
            }
            out.push(b']');
        }
        out.extend_from_slice(b",\"key\":");
        string(record.key, out);
        out.extend_from_slice(b",\"payload\":");
        string(record.value, out);
        out.extend_from_slice(b"}\n");
    }
}

#[inline]
fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `"name":"text"` when the bytes are UTF-8, `"name_base64":"..."` when not, `"name":null` for null.
#[inline]
fn named(name: &[u8], name_base64: &[u8], bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(bytes) = bytes else {
        out.extend_from_slice(name);
        out.extend_from_slice(b"null");
        return;
    };
    if std::str::from_utf8(bytes).is_ok() {
        out.extend_from_slice(name);
        json_text::write(bytes, out);
    } else {
        out.extend_from_slice(name_base64);
        base64(bytes, out);
    }
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    append_base64(bytes, out);
    out.push(b'"');
}

/// Appends `bytes` in base64, padded.
pub(super) fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + BASE64.encode_len(bytes.len()), 0);
    BASE64.encode_mut(bytes, &mut out[start..]);
}

/// Appends bytes as a JSON string, or as its base64 when they are not UTF-8 (`%v{json}`).
pub(super) fn json_string(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => out.extend_from_slice(b"null"),
        Some(bytes) if std::str::from_utf8(bytes).is_ok() => json_text::write(bytes, out),
        Some(bytes) => base64(bytes, out),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::RecordFormat;
    use super::super::test_records::{CONTEXT, Header, printed, record};
    use super::*;
    use crate::types::LeaderEpoch;

    const JSON: RecordFormat = RecordFormat::Json { meta_only: false };

    fn text(
        format: RecordFormat,
        context: &BatchContext<'_>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> String {
        String::from_utf8(printed(format, context, &record(41, 1_760_000_000_041, key, value, headers))).unwrap()
    }

    #[test]
    fn lossless_lines() {
        let head = r#"{"topic":"orders","partition":0,"offset":41,"timestamp_ms":1760000000041,"timestamp_type":"create","leader_epoch":0,"headers":["#;
        type Case<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>], &'a str);
        let cases: &[Case<'_>] = &[
            (
                Some(b"k000041"),
                Some(b"{\"qty\":3}"),
                &[(b"trace", Some(b"a1"))],
                r#"{"key":"trace","value":"a1"}],"key":"k000041","value":"{\"qty\":3}"}"#,
            ),
            (None, None, &[], r#"],"key":null,"value":null}"#),
            (Some(b""), Some(b""), &[], r#"],"key":"","value":""}"#),
            (Some(b"\xff"), Some(b"\xe2\x80\xa8"), &[], "],\"key_base64\":\"/w==\",\"value\":\"\u{2028}\"}"),
            (None, Some(b"a\x00\t\x1f\x7f\\"), &[], "],\"key\":null,\"value\":\"a\\u0000\\t\\u001F\u{7f}\\\\\"}"),
            (
                None,
                None,
                &[(b"h", Some(b"1")), (b"h", None), (b"\xff", Some(b"\xfe"))],
                r#"{"key":"h","value":"1"},{"key":"h","value":null},{"key_base64":"/w==","value_base64":"/g=="}],"key":null,"value":null}"#,
            ),
        ];
        for (key, value, headers, expected) in cases {
            assert_eq!(text(JSON, &CONTEXT, *key, *value, headers), format!("{head}{expected}\n"));
        }
    }

    #[test]
    fn old_messages_control_records_and_odd_topics() {
        let old = BatchContext {
            timestamp_type: TimestampType::None,
            leader_epoch: LeaderEpoch::NONE,
            topic: "a\"b",
            ..CONTEXT
        };
        let line = text(JSON, &old, None, Some(b"v"), &[]);
        let expected = r#"{"topic":"a\"b","partition":0,"offset":41,"timestamp_ms":1760000000041,"timestamp_type":null,"leader_epoch":-1,"headers":[],"key":null,"value":"v"}"#;
        assert_eq!(line.trim_end(), expected);

        let control = BatchContext { control: true, ..CONTEXT };
        let line = text(JSON, &control, Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\x05"), &[]);
        assert!(line.ends_with(",\"control\":\"commit\"}\n"), "{line}");
        let line = text(RecordFormat::Json { meta_only: true }, &CONTEXT, Some(b"k"), Some(b"12345"), &[]);
        assert!(line.ends_with("\"key\":\"k\",\"value_size_bytes\":5}\n"), "{line}");
    }

    #[test]
    fn kcat_envelope() {
        type Case<'a> = (TimestampType, Option<&'a [u8]>, Option<&'a [u8]>, &'a [Header<'a>], &'a str);
        let cases: &[Case<'_>] = &[
            (
                TimestampType::Create,
                None,
                None,
                &[],
                r#""tstype":"create","ts":1760000000041,"broker":-1,"key":null,"payload":null}"#,
            ),
            (
                TimestampType::LogAppend,
                Some(b"k"),
                Some(b"\"\n/"),
                &[(b"a", Some(b"1")), (b"a", None)],
                r#""tstype":"logappend","ts":1760000000041,"broker":-1,"headers":["a","1","a",null],"key":"k","payload":"\"\n/"}"#,
            ),
            (TimestampType::None, Some(b""), Some(b"v"), &[], r#""broker":-1,"key":"","payload":"v"}"#),
        ];
        for (timestamp_type, key, value, headers, expected) in cases {
            let context = BatchContext { timestamp_type: *timestamp_type, ..CONTEXT };
            let line = text(RecordFormat::KcatJson, &context, *key, *value, headers);
            assert_eq!(line, format!("{{\"topic\":\"orders\",\"partition\":0,\"offset\":41,{expected}\n"));
        }
    }

    /// The bytes a JSON line gives for `name`.
    fn bytes(object: &Value, name: &str) -> Option<Vec<u8>> {
        match (&object[name], &object[format!("{name}_base64")]) {
            (Value::String(text), Value::Null) => Some(text.clone().into_bytes()),
            (Value::Null, Value::String(text)) => Some(BASE64.decode(text.as_bytes()).unwrap()),
            (Value::Null, Value::Null) if object.get(name).is_some() => None,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn content() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any::<u8>(), 0..80),
            "\\PC{0,40}".prop_map(String::into_bytes),
            "[a-z\"\\\\\\x00-\\x1f]{0,80}".prop_map(String::into_bytes)
        ]
    }

    proptest! {
        #[test]
        fn every_byte_comes_back_from_a_line(
            key in option::of(content()),
            value in option::of(content()),
            headers in vec((content(), option::of(content())), 0..4),
        ) {
            let given: Vec<Header<'_>> = headers.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
            let stored = record(5, 6, key.as_deref(), value.as_deref(), &given);
            let line = printed(JSON, &CONTEXT, &stored);
            prop_assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
            let object: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(bytes(&object, "key"), key);
            prop_assert_eq!(bytes(&object, "value"), value);
            let read: Vec<_> = object["headers"].as_array().unwrap().iter()
                .map(|header| (bytes(header, "key").unwrap(), bytes(header, "value"))).collect();
            prop_assert_eq!(read, headers);
        }
    }
}
