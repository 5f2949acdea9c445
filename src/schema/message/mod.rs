//! Kafka's generated messages: fields in the order of a table, by a version (`MessageGenerator`).
//!
//! ```text
//!                  not flexible                flexible
//! integers         big-endian                  the same; bool is a byte, uuid 16
//! string, bytes    i16 or i32 length, -1 null  uvarint length + 1, 0 null
//! array            i32 count, -1 null          uvarint count + 1, 0 null
//! struct           its fields                  its fields, then: uvarint count of tagged fields,
//!                                              each uvarint tag, uvarint size, value
//! nullable struct  i8: -1 null, 1 there        the same; as a tagged field uvarint: 0 null, 1 there
//! ```
//!
//! A [`Message`] is data: adding a record type is adding a table. Tables come from the message definitions of
//! Kafka 4.3. No length or count is believed before the bytes are there.

mod decode;
mod encode;
mod fields;
mod json;

use std::borrow::Cow;

use thiserror::Error;

use self::decode::Decoder;
use self::encode::Encoder;
pub use self::json::{Instead, java_double};
use crate::types::{TopicPartition, Uuid};
use crate::wire::{Reader, WireError};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One byte; any but 0 is true.
    Bool,
    /// `int8`.
    I8,
    /// `int16`.
    I16,
    /// `uint16`.
    U16,
    /// `int32`.
    I32,
    /// `uint32`.
    U32,
    /// `int64`.
    I64,
    /// `float64`.
    F64,
    /// 16 bytes.
    Uuid,
    /// UTF-8.
    String,
    /// Bytes.
    Bytes,
    /// Fields of their own.
    Struct(&'static [Field]),
    /// Any number of one kind.
    Array(&'static Kind),
}

/// Value of a field that is not there, where it is not zero, empty or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// 0, `""`, no elements, no bytes, false.
    Zero,
    /// Null.
    Null,
    /// True.
    True,
    /// A number.
    Number(i64),
}

/// One field of a message: a line of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name, as Kafka's JSON form has it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// First and last version that has it.
    pub versions: (i16, i16),
    /// First version in which it may be null.
    pub nullable_from: Option<i16>,
    /// Its tag, and the first version in which it is a tagged field.
    pub tag: Option<(u32, i16)>,
    /// Its value where it is not there.
    pub default: Default,
}

impl Field {
    /// A field of every version, never null, not tagged.
    pub const fn new(name: &'static str, kind: Kind) -> Field {
        Field { name, kind, versions: (0, i16::MAX), nullable_from: None, tag: None, default: Default::Zero }
    }

    /// Of this and later versions.
    pub const fn since(mut self, version: i16) -> Field {
        self.versions.0 = version;
        self
    }

    /// Of no version after this one.
    pub const fn until(mut self, version: i16) -> Field {
        self.versions.1 = version;
        self
    }

    /// May be null from this version on.
    pub const fn nullable(mut self, from: i16) -> Field {
        self.nullable_from = Some(from);
        self
    }

    /// Is a tagged field from this version on.
    pub const fn tagged(mut self, tag: u32, from: i16) -> Field {
        self.tag = Some((tag, from));
        self
    }

    /// Has this value where it is not there.
    pub const fn or(mut self, default: Default) -> Field {
        self.default = default;
        self
    }

    fn is_in(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }

    fn tag_in(&self, version: i16) -> Option<u32> {
        self.tag.filter(|(_, from)| version >= *from && self.is_in(version)).map(|(tag, _)| tag)
    }

    fn may_be_null(&self, version: i16) -> bool {
        self.nullable_from.is_some_and(|from| version >= from)
    }

    fn default_value<'a>(&self) -> Value<'a> {
        match (self.default, self.kind) {
            (Default::Null, _) => Value::Null,
            (Default::True, _) => Value::Bool(true),
            (Default::Number(number), _) => Value::Number(number),
            (Default::Zero, kind) => match kind {
                Kind::Bool => Value::Bool(false),
                Kind::I8 | Kind::I16 | Kind::U16 | Kind::I32 | Kind::U32 | Kind::I64 => Value::Number(0),
                Kind::F64 => Value::Float(0.0),
                Kind::Uuid => Value::Uuid(Uuid::ZERO),
                Kind::String => Value::String(Cow::Borrowed("")),
                Kind::Bytes => Value::Bytes(&[]),
                Kind::Array(_) => Value::Array(Vec::new()),
                Kind::Struct(fields) => Value::Struct(Fields::of_defaults(fields, 0)),
            },
        }
    }
}

/// A message and its versions: one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its number among the messages of its topic.
    pub api_key: u32,
    /// Its name.
    pub name: &'static str,
    /// First and last version this table describes.
    pub versions: (i16, i16),
    /// First flexible version; `i16::MAX` where there is none.
    pub flexible_from: i16,
    /// Its fields, in their order.
    pub fields: &'static [Field],
}

/// A field's value, borrowed from the bytes it was read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Null.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number of any width.
    Number(i64),
    /// A floating-point number.
    Float(f64),
    /// An id.
    Uuid(Uuid),
    /// Text; what is not UTF-8 in it is U+FFFD, as Java decodes it.
    String(Cow<'a, str>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Elements.
    Array(Vec<Value<'a>>),
    /// Fields.
    Struct(Fields<'a>),
}

/// The fields of a message or a struct in it, each with its value or its default, in the order of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields<'a> {
    values: Vec<(&'static Field, Value<'a>)>,
    /// Tagged fields that the table does not have.
    unknown: Vec<(u32, &'a [u8])>,
    version: i16,
}

/// Longest text of Kafka's messages, also where its length could say more.
const MAX_STRING_BYTES: usize = i16::MAX as usize;

/// Why bytes are not a message of the version they claim.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SchemaError {
    /// The bytes end inside a field.
    #[error("{field}: {reason}")]
    Wire {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: WireError,
    },
    /// Null, where the version does not allow it.
    #[error("{field}: null, expected a value")]
    Null {
        /// The field.
        field: &'static str,
    },
    /// More bytes than are there.
    #[error("{field}: {claimed} bytes claimed, {available} remain")]
    Length {
        /// The field.
        field: &'static str,
        /// The stored number.
        claimed: u64,
        /// Bytes that remain.
        available: usize,
    },
    /// More elements than there are bytes.
    #[error("{field}: {claimed} elements claimed, {available} bytes remain")]
    Count {
        /// The field.
        field: &'static str,
        /// The stored number.
        claimed: u64,
        /// Bytes that remain.
        available: usize,
    },
    /// Text or bytes longer than their length field can say: 32,767 bytes of text.
    #[error("{field}: {len} bytes are too long")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        len: usize,
    },
    /// Bytes behind the last field.
    #[error("{left} bytes left over behind the last field")]
    LeftOver {
        /// How many.
        left: usize,
    },
}

impl SchemaError {
    /// What Kafka's own reader says of it (`ByteBufferAccessor` and the generated `read`); "null" is the message of
    /// a `BufferUnderflowException`.
    pub fn kafka_text(&self) -> String {
        match self {
            SchemaError::Null { field } => format!("non-nullable field {field} was serialized as null"),
            SchemaError::Length { claimed, available, .. } => {
                format!("Error reading byte array of {claimed} byte(s): only {available} byte(s) available")
            }
            SchemaError::Count { claimed, available, .. } => {
                let available = format!("but there are only {available} bytes remaining.");
                format!("Tried to allocate a collection of size {claimed}, {available}")
            }
            SchemaError::TooLong { field, len } => format!("string field {field} had invalid length {len}"),
            SchemaError::Wire { .. } | SchemaError::LeftOver { .. } => "null".into(),
        }
    }
}

impl Message {
    /// A message of this version, every field with its default.
    pub fn fields<'a>(&self, version: i16) -> Fields<'a> {
        Fields::of_defaults(self.fields, version)
    }

    /// Appends the bytes of `fields`, a message of this table, in the version they are of. A value that the version
    /// has no field for is left out.
    pub fn encode(&self, fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<(), SchemaError> {
        Encoder { version: fields.version, flexible: fields.version >= self.flexible_from }.fields(fields, out)
    }

    /// Whether the table describes this version.
    pub const fn knows(&self, version: i16) -> bool {
        self.versions.0 <= version && version <= self.versions.1
    }

    /// Its fields, of a version that [`Message::knows`]; bytes behind them stay in the reader.
    pub fn decode<'a>(&self, version: i16, reader: &mut Reader<'a>) -> Result<Fields<'a>, SchemaError> {
        Decoder { version, flexible: version >= self.flexible_from }.fields(self.fields, reader)
    }

    /// As [`Message::decode`], and nothing may be left behind the last field.
    pub fn decode_all<'a>(&self, version: i16, bytes: &'a [u8]) -> Result<Fields<'a>, SchemaError> {
        let mut reader = Reader::new(bytes);
        let fields = self.decode(version, &mut reader)?;
        match reader.remaining() {
            0 => Ok(fields),
            left => Err(SchemaError::LeftOver { left }),
        }
    }
}

impl<'a> Fields<'a> {
    /// A message or a struct in one of this version, every field with its default.
    pub fn of_defaults(table: &'static [Field], version: i16) -> Fields<'a> {
        let values = table.iter().map(|field| (field, field.default_value())).collect();
        Fields { values, unknown: Vec::new(), version }
    }

    /// The same with another value in this field, which is one of the table.
    pub fn with(mut self, name: &str, value: Value<'a>) -> Fields<'a> {
        match self.values.iter_mut().find(|(field, _)| field.name == name) {
            Some((_, old)) => *old = value,
            None => unreachable!("no field {name} in this table"),
        }
        self
    }

    /// Version of the message they are of.
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// Tagged fields that the table does not have, by tag.
    pub fn unknown(&self) -> &[(u32, &'a [u8])] {
        &self.unknown
    }

    /// The field's value, or its default in a version without it; `None` for a name that is not in the table.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.values.iter().find(|(field, _)| field.name == name).map(|(_, value)| value)
    }

    /// The partitions of a list of structs, each a `topic` and a list `numbers` of its partitions; none for null.
    pub fn partitions(&self, list: &str, numbers: &str) -> Vec<TopicPartition> {
        let Some(Value::Array(topics)) = self.get(list) else { return Vec::new() };
        let mut partitions = Vec::new();
        for topic in topics {
            let Value::Struct(fields) = topic else { continue };
            let (Some(Value::String(topic)), Some(Value::Array(of_topic))) = (fields.get("topic"), fields.get(numbers))
            else {
                continue;
            };
            partitions.extend(of_topic.iter().filter_map(|number| match number {
                Value::Number(number) => Some(TopicPartition::new(topic.as_ref(), i32::try_from(*number).ok()?)),
                _ => None,
            }));
        }
        partitions
    }

    /// Names and values, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value<'a>)> {
        self.values.iter().map(|(field, value)| (field.name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &[Field] = &[Field::new("x", Kind::I16)];
    const TABLE: Message = Message {
        api_key: 0,
        name: "Test",
        versions: (0, 3),
        flexible_from: 2,
        fields: &[
            Field::new("name", Kind::String).nullable(1),
            Field::new("old", Kind::I32).until(1).or(Default::Number(-1)),
            Field::new("many", Kind::Array(&Kind::Struct(INNER))),
            Field::new("raw", Kind::Bytes).since(1),
            Field::new("inner", Kind::Struct(INNER)).since(1).nullable(1),
            Field::new("late", Kind::I8).since(2).tagged(1, 3).or(Default::Number(7)),
            Field::new("box", Kind::Struct(INNER)).since(3).nullable(3).tagged(0, 3).or(Default::Null),
        ],
    };

    #[test]
    fn every_version_is_read_by_one_table() {
        let cases: &[(i16, &[u8], &str)] = &[
            (0, b"\0\x01a\0\0\0\x05\0\0\0\x01\0\x02", r#"{"name":"a","old":5,"many":[{"x":2}]}"#),
            (
                1,
                b"\xff\xff\0\0\0\x05\0\0\0\0\0\0\0\x02ab\xff",
                r#"{"name":null,"old":5,"many":[],"raw":"YWI=","inner":null}"#,
            ),
            (
                2,
                b"\x02a\x02\0\x02\0\x01\x01\0\x03\0\x09\0",
                r#"{"name":"a","many":[{"x":2}],"raw":"","inner":{"x":3},"late":9}"#,
            ),
            (3, b"\0\x01\x01\xff\0", r#"{"name":null,"many":[],"raw":"","inner":null}"#),
            (
                3,
                b"\0\x01\x01\xff\x03\0\x04\x01\0\x05\0\x01\x01\x08\x05\x02zz",
                r#"{"name":null,"many":[],"raw":"","inner":null,"late":8,"box":{"x":5}}"#,
            ),
        ];
        for (version, bytes, expected) in cases {
            let fields = TABLE.decode_all(*version, bytes).unwrap();
            let mut json = Vec::new();
            fields.write_json(&mut json);
            assert_eq!(String::from_utf8(json).unwrap(), *expected, "version {version}");
            let mut encoded = Vec::new();
            TABLE.encode(&fields, &mut encoded).unwrap();
            assert_eq!(encoded, *bytes, "version {version}");
            for cut in 0..bytes.len() {
                assert!(TABLE.decode_all(*version, &bytes[..cut]).is_err(), "version {version} cut at {cut}");
            }
            let longer = [*bytes, b"\0"].concat();
            assert_eq!(TABLE.decode_all(*version, &longer), Err(SchemaError::LeftOver { left: 1 }));
        }
        let absent = TABLE.decode_all(3, b"\0\x01\x01\xff\0").unwrap();
        assert_eq!(absent.get("late"), Some(&Value::Number(7)), "a field that is not there has its default");
        assert_eq!(absent.get("none"), None);
    }

    #[test]
    fn null_and_lying_lengths_are_refused_where_they_cannot_be() {
        use SchemaError as E;
        let cases: &[(i16, &[u8], E)] = &[
            (0, b"\xff\xff\0\0\0\0\0\0\0\0", E::Null { field: "name" }),
            (0, b"\0\0\0\0\0\0\x7f\xff\xff\xff", E::Count { field: "many", claimed: 0x7fff_ffff, available: 0 }),
            (2, b"\x01\xff\xff\xff\xff\x0f", E::Count { field: "many", claimed: 0xffff_fffe, available: 0 }),
            (2, b"\x01\0", E::Null { field: "many" }),
        ];
        for (version, bytes, expected) in cases {
            assert_eq!(TABLE.decode_all(*version, bytes), Err(expected.clone()), "version {version} {bytes:?}");
        }
    }
}
