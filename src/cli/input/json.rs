//! JSON lines: what `consume --json` prints, and kcat's `-J` envelope.
//!
//! ```text
//!  ours  topic partition offset timestamp_ms timestamp_type leader_epoch
//!        headers [{key|key_base64, value|value_base64}]  key|key_base64  value|value_base64
//!  kcat  topic partition offset ts tstype  headers [key, value, ...]  key  payload
//! ```
//!
//! Other fields are not looked at. A key may be left out, a value may not: `"value":null` deletes at compaction.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Fault, HeaderBytes, InputProblem, InputRecord, Place, Scratch};
use crate::types::{LeaderEpoch, Offset, TimestampType};

/// A string, borrowed from the line where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A field that was there: `Some(None)` for null.
type Given<'a> = Option<Option<Text<'a>>>;

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given<'de>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    topic: Option<Text<'a>>,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp_ms: Option<i64>,
    ts: Option<i64>,
    #[serde(borrow, default)]
    timestamp_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    tstype: Option<Text<'a>>,
    leader_epoch: Option<i32>,
    #[serde(borrow, default)]
    headers: Option<Vec<HeaderItem<'a>>>,
    #[serde(borrow, default, deserialize_with = "given")]
    key: Given<'a>,
    #[serde(borrow, default)]
    key_base64: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Given<'a>,
    #[serde(borrow, default)]
    value_base64: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "given")]
    payload: Given<'a>,
    control: Option<IgnoredAny>,
}

#[derive(serde::Deserialize)]
struct Header<'a> {
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    key_base64: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(borrow, default)]
    value_base64: Option<Text<'a>>,
}

/// One element of `headers`: an object of ours, or a key or a value of kcat's.
enum HeaderItem<'a> {
    Object(Header<'a>),
    Flat(Option<Cow<'a, str>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for HeaderItem<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Item;
        impl<'de> Visitor<'de> for Item {
            type Value = HeaderItem<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, a string or null")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Header::deserialize(de::value::MapAccessDeserializer::new(map)).map(HeaderItem::Object)
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(HeaderItem::Flat(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(HeaderItem::Flat(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(HeaderItem::Flat(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(de::Error::invalid_type(de::Unexpected::Seq, &self))
            }
        }
        deserializer.deserialize_any(Item)
    }
}

/// Reads one line.
pub(super) fn parse<'a>(line: &'a [u8], scratch: &'a mut Scratch) -> Result<InputRecord<'a>, Fault> {
    let parsed: Line<'a> = serde_json::from_slice(line).map_err(|error| json_fault(line, &error))?;
    if parsed.control.is_some() {
        return Err(InputProblem::Control.into());
    }
    scratch.bytes.clear();
    scratch.headers.clear();
    let timestamp_type = match parsed.timestamp_type.or(parsed.tstype) {
        None => None,
        Some(Text(word)) => match &*word {
            "create" => Some(TimestampType::Create),
            "log_append" | "logappend" => Some(TimestampType::LogAppend),
            _ => return Err(InputProblem::TimestampType.into()),
        },
    };
    put_headers(parsed.headers.unwrap_or_default(), &mut scratch.headers)?;
    if parsed.value.is_some() && parsed.payload.is_some() {
        return Err(InputProblem::Twice { fields: "value and payload" }.into());
    }
    let value = parsed.value.or(parsed.payload);
    if value.is_none() && parsed.value_base64.is_none() {
        return Err(InputProblem::Missing { expected: "value, value_base64 or payload (null deletes the key)" }.into());
    }
    let bytes = &mut scratch.bytes;
    let topic = parsed.topic.map(|Text(topic)| place(topic, bytes));
    let key = nullable(parsed.key.flatten(), parsed.key_base64, "key_base64", "key and key_base64", bytes)?;
    let value = nullable(value.flatten(), parsed.value_base64, "value_base64", "value and value_base64", bytes)?;
    let bytes: &'a [u8] = &scratch.bytes;
    Ok(InputRecord {
        // It was text when it was placed.
        topic: topic.and_then(|topic| std::str::from_utf8(topic.bytes(bytes)).ok()),
        partition: parsed.partition,
        offset: parsed.offset.map(Offset::new),
        timestamp_ms: parsed.timestamp_ms.or(parsed.ts),
        timestamp_type,
        leader_epoch: parsed.leader_epoch.map(LeaderEpoch),
        ..InputRecord::new(
            key.map(|key| key.bytes(bytes)),
            value.map(|value| value.bytes(bytes)),
            scratch.headers.view(),
        )
    })
}

/// serde's words, which quote at most one string, and that escaped; cut, since it may be the whole value.
fn json_fault(line: &[u8], error: &serde_json::Error) -> Fault {
    const SHOWN: usize = 120;
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let text = text.chars().take(SHOWN).filter(|letter| !letter.is_control()).collect();
    let at = error.column().saturating_sub(1).min(line.len());
    Fault { problem: InputProblem::Json(text), at }
}

fn place<'a>(text: Cow<'a, str>, scratch: &mut Vec<u8>) -> Place<'a> {
    match text {
        Cow::Borrowed(text) => Place::Input(text.as_bytes()),
        Cow::Owned(text) => {
            let start = scratch.len();
            scratch.extend_from_slice(text.as_bytes());
            Place::Scratch(start..scratch.len())
        }
    }
}

fn nullable<'a>(
    text: Option<Text<'a>>,
    base64: Option<Text<'a>>,
    field: &'static str,
    fields: &'static str,
    scratch: &mut Vec<u8>,
) -> Result<Option<Place<'a>>, InputProblem> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(Text(text)), None) => Ok(Some(place(text, scratch))),
        (None, Some(Text(base64))) => {
            let start = scratch.len();
            let bad = InputProblem::Base64 { field };
            let len = BASE64.decode_len(base64.len()).map_err(|_| bad.clone())?;
            scratch.resize(start + len, 0);
            let out = scratch.get_mut(start..).unwrap_or_default();
            let len = BASE64.decode_mut(base64.as_bytes(), out).map_err(|_| bad)?;
            scratch.truncate(start + len);
            Ok(Some(Place::Scratch(start..start + len)))
        }
        (Some(_), Some(_)) => Err(InputProblem::Twice { fields }),
    }
}

fn put_headers(items: Vec<HeaderItem<'_>>, out: &mut HeaderBytes) -> Result<(), InputProblem> {
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        match item {
            HeaderItem::Flat(Some(key)) => match items.next() {
                Some(HeaderItem::Flat(value)) => out.push(key.as_bytes(), value.as_deref().map(str::as_bytes)),
                _ => return Err(InputProblem::Headers),
            },
            HeaderItem::Flat(None) => return Err(InputProblem::NullHeaderKey),
            HeaderItem::Object(header) => {
                let mut decoded = Vec::new();
                let fields = "key and key_base64 of a header";
                let key = nullable(header.key, header.key_base64, "key_base64", fields, &mut decoded)?
                    .ok_or(InputProblem::NullHeaderKey)?;
                let fields = "value and value_base64 of a header";
                let value = nullable(header.value, header.value_base64, "value_base64", fields, &mut decoded)?;
                out.push(key.bytes(&decoded), value.as_ref().map(|value| value.bytes(&decoded)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{Record, by_every_cut, read};
    use super::super::{Grammar, Input};
    use super::*;
    use crate::cli::record_format::test_records::{CONTEXT, printed, record};
    use crate::cli::record_format::{BatchContext, RecordFormat};

    #[test]
    fn both_envelopes_are_read() {
        let ours = Record {
            topic: Some("orders".to_owned()),
            partition: Some(0),
            offset: Some(41),
            timestamp_ms: Some(1_760_000_000_041),
            timestamp_type: Some(TimestampType::Create),
            leader_epoch: Some(3),
            headers: vec![(b"h".to_vec(), Some(b"1".to_vec())), (b"h".to_vec(), None), (vec![0xff], Some(vec![0xfe]))],
            ..Record::of(Some(b"k"), Some(b"{\"q\":3}"))
        };
        let kcat = Record {
            leader_epoch: None,
            headers: vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), None)],
            timestamp_type: Some(TimestampType::LogAppend),
            ..ours.clone()
        };
        let cases = [
            (
                r#"{"topic":"orders","partition":0,"offset":41,"timestamp_ms":1760000000041,"timestamp_type":"create","leader_epoch":3,"headers":[{"key":"h","value":"1"},{"key":"h","value":null},{"key_base64":"/w==","value_base64":"/g=="}],"key":"k","value":"{\"q\":3}"}"#,
                ours,
            ),
            (
                r#"{"topic":"orders","partition":0,"offset":41,"tstype":"logappend","ts":1760000000041,"broker":-1,"headers":["a","1","a",null],"key":"k","payload":"{\"q\":3}"}"#,
                kcat,
            ),
            (r#" {"value":null,"more":{"key":[1,"x"]}} "#, Record::of(None, None)),
            (r#"{"key":"","value":""}"#, Record::of(Some(b""), Some(b""))),
            (r#"{"key":null,"value_base64":"AP8="}"#, Record::of(None, Some(b"\0\xff"))),
            (
                r#"{"payload":"\u00e9\n","timestamp_type":null,"headers":null}"#,
                Record::of(None, Some("\u{e9}\n".as_bytes())),
            ),
            (
                r#"{"topic":"a\u0062","value":"x"}"#,
                Record { topic: Some("ab".to_owned()), ..Record::of(None, Some(b"x")) },
            ),
        ];
        for (line, expected) in cases {
            let input = format!("\n{line}\r\n  \n{line}");
            for found in by_every_cut(input.as_bytes(), || Grammar::Json) {
                assert_eq!(found, [Ok(expected.clone()), Ok(expected.clone())], "{line}");
            }
        }
    }

    #[test]
    fn a_line_that_is_no_record_says_why_and_spoils_no_other() {
        let cases = [
            (r#"{"key":"k"}"#, "0: expected value, value_base64 or payload (null deletes the key), found none of them"),
            (r#"{"value":1}"#, "9: expected a JSON object: invalid type: integer `1`, expected a string"),
            (r#"{"value":"a""#, "11: expected a JSON object: EOF while parsing an object"),
            (r#"["value"]"#, "1: expected a JSON object: invalid type: string \"value\", expected i32"),
            (r#"{"value":"a","payload":"b"}"#, "0: expected one of value and payload, found both"),
            (r#"{"value":"a","value_base64":"YQ=="}"#, "0: expected one of value and value_base64, found both"),
            (r#"{"value_base64":"YQ"}"#, "0: field value_base64: expected padded base64"),
            (
                r#"{"value":"","timestamp_type":"often"}"#,
                "0: expected timestamp type create or log_append, found another word",
            ),
            (r#"{"value":"","headers":["a"]}"#, "0: expected headers as objects, or as pairs of key and value"),
            (r#"{"value":"","headers":[{"value":"a"}]}"#, "0: header key is null, expected text"),
            (r#"{"value":"","control":"commit"}"#, "0: is a control record, expected data"),
            (
                r#"{"value":"","partition":3000000000}"#,
                "33: expected a JSON object: invalid value: integer `3000000000`, expected i32",
            ),
        ];
        for (line, expected) in cases {
            let found = read(Input::new(format!("{line}\n{{\"value\":\"v\"}}").as_bytes(), Grammar::Json));
            let [Err(error), Ok(_)] = &found[..] else { panic!("{line}: {found:?}") };
            let shown = error.strip_prefix("record 1 at byte ").unwrap();
            if line.starts_with('[') {
                assert!(shown.contains("expected a JSON object"), "{shown}");
            } else {
                assert_eq!(shown, expected, "{line}");
            }
        }
        let long = format!("{{\"partition\":\"\u{1b}{}\"}}", "x".repeat(1_000));
        let found = read(Input::new(long.as_bytes(), Grammar::Json));
        let [Err(error)] = &found[..] else { panic!("{found:?}") };
        assert!(error.len() < 250 && !error.contains('\u{1b}'), "{error}");
    }

    fn content() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "\\PC{0,40}".prop_map(String::into_bytes),
            "[a-z\"\\\\\\x00-\\x1f]{0,80}".prop_map(String::into_bytes)
        ]
    }

    proptest! {
        #[test]
        fn what_consume_prints_is_read_back(
            key in proptest::option::of(content()),
            value in proptest::option::of(content()),
            headers in proptest::collection::vec((content(), proptest::option::of(content())), 0..4),
            topic in "[a-z\"\\\\.]{1,9}",
            (offset, timestamp_ms, partition) in (any::<i64>(), any::<i64>(), any::<i32>()),
            timestamp_type in prop_oneof![
                Just(TimestampType::None), Just(TimestampType::Create), Just(TimestampType::LogAppend),
            ],
        ) {
            let given: Vec<_> = headers.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
            let stored = record(offset, timestamp_ms, key.as_deref(), value.as_deref(), &given);
            let context = BatchContext { topic: &topic, partition, timestamp_type, ..CONTEXT };
            let mut lines = printed(RecordFormat::Json { meta_only: false }, &context, &stored);
            lines.extend_from_within(..);
            let expected = Record {
                headers,
                topic: Some(topic.clone()),
                partition: Some(partition),
                offset: Some(offset),
                timestamp_ms: Some(timestamp_ms),
                timestamp_type: Some(timestamp_type).filter(|known| *known != TimestampType::None),
                leader_epoch: Some(0),
                ..Record::of(key.as_deref(), value.as_deref())
            };
            prop_assert_eq!(read(Input::new(&lines[..], Grammar::Json)), [Ok(expected.clone()), Ok(expected)]);
        }
    }
}
