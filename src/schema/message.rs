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

use std::borrow::Cow;

use thiserror::Error;

use crate::types::{TopicPartition, Uuid};
use crate::wire::{Reader, WireError, put_unsigned_varint};

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

#[derive(Clone, Copy)]
struct Decoder {
    version: i16,
    flexible: bool,
}

impl Decoder {
    fn fields<'a>(self, table: &'static [Field], reader: &mut Reader<'a>) -> Result<Fields<'a>, SchemaError> {
        let mut values = Vec::with_capacity(table.len());
        for field in table {
            let here = field.is_in(self.version) && field.tag_in(self.version).is_none();
            let value = if here { self.nullable(field, reader)? } else { field.default_value() };
            values.push((field, value));
        }
        let mut fields = Fields { values, unknown: Vec::new(), version: self.version };
        if self.flexible {
            self.tagged(&mut fields, reader)?;
        }
        Ok(fields)
    }

    /// The section of tagged fields. As in Kafka's generated code a known one is read as its kind asks, whatever
    /// the size before it says; one the table does not have is kept as it is.
    fn tagged<'a>(self, fields: &mut Fields<'a>, reader: &mut Reader<'a>) -> Result<(), SchemaError> {
        let wire = |reason| SchemaError::Wire { field: "tagged fields", reason };
        for _ in 0..reader.unsigned_varint().map_err(wire)?.cast_signed().max(0) {
            let tag = reader.unsigned_varint().map_err(wire)?;
            let size = reader.unsigned_varint().map_err(wire)?;
            let known = fields.values.iter_mut().find(|(field, _)| field.tag_in(self.version) == Some(tag));
            let Some((field, value)) = known else {
                let bytes = reader.bytes(usize::try_from(size).unwrap_or(usize::MAX)).map_err(wire)?;
                fields.unknown.push((tag, bytes));
                continue;
            };
            *value = if let (Kind::Struct(table), true) = (field.kind, field.may_be_null(self.version)) {
                match reader.unsigned_varint().map_err(wire)? {
                    0 => Value::Null,
                    _ => Value::Struct(self.fields(table, reader)?),
                }
            } else {
                self.nullable(field, reader)?
            };
        }
        Ok(())
    }

    fn nullable<'a>(self, field: &'static Field, reader: &mut Reader<'a>) -> Result<Value<'a>, SchemaError> {
        let value = match field.kind {
            Kind::Struct(fields) if field.may_be_null(self.version) => {
                let there = reader.i8().map_err(|reason| SchemaError::Wire { field: field.name, reason })?;
                if there < 0 { Value::Null } else { Value::Struct(self.fields(fields, reader)?) }
            }
            kind => self.value(field.name, kind, reader)?,
        };
        match value {
            Value::Null if !field.may_be_null(self.version) => Err(SchemaError::Null { field: field.name }),
            value => Ok(value),
        }
    }

    fn value<'a>(self, field: &'static str, kind: Kind, reader: &mut Reader<'a>) -> Result<Value<'a>, SchemaError> {
        let wire = |reason| SchemaError::Wire { field, reason };
        Ok(match kind {
            Kind::Bool => Value::Bool(reader.i8().map_err(wire)? != 0),
            Kind::I8 => Value::Number(reader.i8().map_err(wire)?.into()),
            Kind::I16 => Value::Number(reader.i16().map_err(wire)?.into()),
            Kind::U16 => Value::Number(reader.i16().map_err(wire)?.cast_unsigned().into()),
            Kind::I32 => Value::Number(reader.i32().map_err(wire)?.into()),
            Kind::U32 => Value::Number(reader.u32().map_err(wire)?.into()),
            Kind::I64 => Value::Number(reader.i64().map_err(wire)?),
            Kind::F64 => Value::Float(f64::from_bits(reader.i64().map_err(wire)?.cast_unsigned())),
            Kind::Uuid => {
                let mut id = [0; 16];
                id.copy_from_slice(reader.bytes(16).map_err(wire)?);
                Value::Uuid(Uuid(id))
            }
            Kind::String => match self.length(field, 2, reader)? {
                None => Value::Null,
                Some(len) if len > MAX_STRING_BYTES => return Err(SchemaError::TooLong { field, len }),
                Some(len) => Value::String(String::from_utf8_lossy(reader.bytes(len).map_err(wire)?)),
            },
            Kind::Bytes => match self.length(field, 4, reader)? {
                None => Value::Null,
                Some(len) => Value::Bytes(reader.bytes(len).map_err(wire)?),
            },
            Kind::Struct(fields) => Value::Struct(self.fields(fields, reader)?),
            Kind::Array(kind) => match self.count(field, reader)? {
                None => Value::Null,
                Some(count) => {
                    let mut elements = Vec::new();
                    for _ in 0..count {
                        elements.push(self.value(field, *kind, reader)?);
                    }
                    Value::Array(elements)
                }
            },
        })
    }

    /// A count; `None` is null. Every element takes a byte at least, so none exceeds what remains.
    fn count(self, field: &'static str, reader: &mut Reader<'_>) -> Result<Option<usize>, SchemaError> {
        self.length(field, 4, reader).map_err(|error| match error {
            SchemaError::Length { field, claimed, available } => SchemaError::Count { field, claimed, available },
            error => error,
        })
    }

    /// A length; `None` is null.
    fn length(self, field: &'static str, width: usize, reader: &mut Reader<'_>) -> Result<Option<usize>, SchemaError> {
        let wire = |reason| SchemaError::Wire { field, reason };
        let claimed = if self.flexible {
            i64::from(reader.unsigned_varint().map_err(wire)?) - 1
        } else if width == 2 {
            reader.i16().map_err(wire)?.into()
        } else {
            reader.i32().map_err(wire)?.into()
        };
        let Ok(claimed) = u64::try_from(claimed) else { return Ok(None) };
        match usize::try_from(claimed) {
            Ok(len) if len <= reader.remaining() => Ok(Some(len)),
            _ => Err(SchemaError::Length { field, claimed, available: reader.remaining() }),
        }
    }
}

#[derive(Clone, Copy)]
struct Encoder {
    version: i16,
    flexible: bool,
}

impl Encoder {
    fn fields(self, fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<(), SchemaError> {
        let mut tagged = Vec::new();
        for (field, value) in &fields.values {
            match field.tag_in(self.version) {
                Some(tag) if *value != field.default_value() => tagged.push((tag, self.tagged(field, value)?)),
                Some(_) => {}
                None if field.is_in(self.version) => self.nullable(field, value, out)?,
                None => {}
            }
        }
        if self.flexible {
            tagged.extend(fields.unknown.iter().map(|(tag, bytes)| (*tag, bytes.to_vec())));
            tagged.sort_by_key(|(tag, _)| *tag);
            put_varint(tagged.len(), out);
            for (tag, bytes) in tagged {
                put_unsigned_varint(out, tag);
                put_varint(bytes.len(), out);
                out.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn tagged(self, field: &'static Field, value: &Value<'_>) -> Result<Vec<u8>, SchemaError> {
        let mut out = Vec::new();
        match (value, field.may_be_null(self.version)) {
            (Value::Struct(fields), true) => {
                out.push(1);
                self.fields(fields, &mut out)?;
            }
            (Value::Null, true) if matches!(field.kind, Kind::Struct(_)) => out.push(0),
            _ => self.nullable(field, value, &mut out)?,
        }
        Ok(out)
    }

    fn nullable(self, field: &'static Field, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), SchemaError> {
        let may_be_null = field.may_be_null(self.version);
        match (field.kind, value) {
            (_, Value::Null) if !may_be_null => Err(SchemaError::Null { field: field.name }),
            (Kind::Struct(_), Value::Null) => {
                out.push(u8::MAX);
                Ok(())
            }
            (Kind::Struct(_), Value::Struct(fields)) if may_be_null => {
                out.push(1);
                self.fields(fields, out)
            }
            (kind, value) => self.value(field.name, kind, value, out),
        }
    }

    fn value(self, field: &'static str, kind: Kind, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), SchemaError> {
        match value {
            Value::Null => self.null(kind, out),
            Value::Bool(value) => out.push(u8::from(*value)),
            // The low bytes: a number is of its field's width.
            Value::Number(number) => out.extend_from_slice(&number.to_be_bytes()[8 - kind.width()..]),
            Value::Float(number) => out.extend_from_slice(&number.to_bits().to_be_bytes()),
            Value::Uuid(id) => out.extend_from_slice(&id.0),
            Value::String(text) if text.len() > MAX_STRING_BYTES => {
                return Err(SchemaError::TooLong { field, len: text.len() });
            }
            Value::String(text) => {
                self.length(field, 2, text.len(), out)?;
                out.extend_from_slice(text.as_bytes());
            }
            Value::Bytes(bytes) => {
                self.length(field, 4, bytes.len(), out)?;
                out.extend_from_slice(bytes);
            }
            Value::Array(elements) => {
                self.length(field, 4, elements.len(), out)?;
                let element_kind = if let Kind::Array(kind) = kind { *kind } else { kind };
                for element in elements {
                    self.value(field, element_kind, element, out)?;
                }
            }
            Value::Struct(fields) => self.fields(fields, out)?,
        }
        Ok(())
    }

    fn null(self, kind: Kind, out: &mut Vec<u8>) {
        match (self.flexible, kind) {
            (true, _) => out.push(0),
            (false, Kind::String) => out.extend_from_slice(&[u8::MAX; 2]),
            (false, _) => out.extend_from_slice(&[u8::MAX; 4]),
        }
    }

    fn length(self, field: &'static str, width: usize, len: usize, out: &mut Vec<u8>) -> Result<(), SchemaError> {
        let too_long = SchemaError::TooLong { field, len };
        let narrow = i32::try_from(len).map_err(|_| too_long)?;
        if self.flexible {
            put_unsigned_varint(out, narrow.cast_unsigned() + 1);
        } else {
            out.extend_from_slice(&narrow.to_be_bytes()[4 - width..]);
        }
        Ok(())
    }
}

/// A count of what is in memory.
fn put_varint(count: usize, out: &mut Vec<u8>) {
    put_unsigned_varint(out, u32::try_from(count).unwrap_or(u32::MAX));
}

impl Kind {
    /// Bytes of a number.
    const fn width(self) -> usize {
        match self {
            Kind::Bool | Kind::I8 => 1,
            Kind::I16 | Kind::U16 => 2,
            Kind::I32 | Kind::U32 => 4,
            _ => 8,
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

    /// Appends the fields as Kafka's own JSON form has them: those of the version, and of tagged ones those that
    /// differ from their default.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write_json_with(&|_, _, _| false, out);
    }

    /// The same, where `instead` may write the value of a field its own way and then says so; it is asked for the
    /// fields of structs too.
    pub fn write_json_with(&self, instead: Instead<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (field, value) in &self.values {
            let shown =
                field.is_in(self.version) && (field.tag_in(self.version).is_none() || *value != field.default_value());
            if !shown {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write_text(field.name, out);
            out.push(b':');
            if !instead(field.name, value, out) {
                value.write_json_with(instead, out);
            }
        }
        out.push(b'}');
    }
}

/// Writes the value of the field of this name and says so, or leaves it.
pub type Instead<'i> = &'i dyn Fn(&'static str, &Value<'_>, &mut Vec<u8>) -> bool;

impl Value<'_> {
    fn write_json_with(&self, instead: Instead<'_>, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Float(number) => out.extend_from_slice(java_double(*number).as_bytes()),
            Value::Uuid(id) => write_text(&id.to_string(), out),
            Value::String(text) => write_text(text, out),
            Value::Bytes(bytes) => write_text(&data_encoding::BASE64.encode(bytes), out),
            Value::Struct(fields) => fields.write_json_with(instead, out),
            Value::Array(elements) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    element.write_json_with(instead, out);
                }
                out.push(b']');
            }
        }
    }
}

/// Fields by the kind the tables give them; a name that is in no table is a mistake of ours, which the tests find.
impl<'a> Fields<'a> {
    fn known(&self, name: &str) -> &Value<'a> {
        self.get(name).unwrap_or_else(|| unreachable!("no field {name} in this table"))
    }

    pub(super) fn long(&self, name: &str) -> i64 {
        match self.known(name) {
            Value::Number(number) => *number,
            _ => -1,
        }
    }

    pub(super) fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or(-1)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        *self.known(name) == Value::Bool(true)
    }

    pub(super) fn float(&self, name: &str) -> f64 {
        match self.known(name) {
            Value::Float(number) => *number,
            _ => 0.0,
        }
    }

    pub(super) fn nullable_text(&self, name: &str) -> Option<String> {
        match self.known(name) {
            Value::String(text) => Some(Cow::into_owned(text.clone())),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.nullable_text(name).unwrap_or_default()
    }

    pub(super) fn bytes(&self, name: &str) -> &'a [u8] {
        match self.known(name) {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    pub(super) fn uuid(&self, name: &str) -> Uuid {
        match self.known(name) {
            Value::Uuid(id) => *id,
            _ => Uuid::ZERO,
        }
    }

    pub(super) fn list<T>(&self, name: &str, element: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        match self.known(name) {
            Value::Array(values) => Some(values.iter().filter_map(element).collect()),
            _ => None,
        }
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i32>> {
        self.list(name, |value| match value {
            Value::Number(number) => i32::try_from(*number).ok(),
            _ => None,
        })
    }

    pub(super) fn uuids(&self, name: &str) -> Option<Vec<Uuid>> {
        self.list(name, |value| match value {
            Value::Uuid(id) => Some(*id),
            _ => None,
        })
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: &Value<'a>| match value {
            Value::String(text) => Some(Cow::into_owned(text.clone())),
            _ => None,
        };
        self.list(name, text).unwrap_or_default()
    }

    /// The fields of a struct, or of each of an array of them.
    pub(super) fn structs(&self, name: &str) -> impl Iterator<Item = &Fields<'a>> {
        let values = match self.known(name) {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        values.iter().filter_map(|value| match value {
            Value::Struct(fields) => Some(fields),
            _ => None,
        })
    }
}

/// A number as Java's `Double.toString` writes it: `1048576.0`, and from 10^7 on `2.0E7`.
pub fn java_double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

/// A string as Jackson writes it: hexadecimal digits of an escape in capitals.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            0..0x20 => {
                out.extend_from_slice(format!("\\u{byte:04X}").as_bytes());
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.push(b'"');
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
    fn doubles_are_written_as_java_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1_048_576.0, "1048576.0"),
            (9_999_999.0, "9999999.0"),
            (2e7, "2.0E7"),
            (-12_345_678.5, "-1.23456785E7"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (1.5e300, "1.5E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, expected) in cases {
            assert_eq!(java_double(number), expected);
        }
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
