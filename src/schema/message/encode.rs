//! Bytes of messages.

use super::{Field, Fields, Kind, MAX_STRING_BYTES, SchemaError, Value};
use crate::wire::put_unsigned_varint;

/// Writes the fields of one version.
#[derive(Clone, Copy)]
pub(super) struct Encoder {
    pub version: i16,
    pub flexible: bool,
}

impl Encoder {
    pub fn fields(self, fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<(), SchemaError> {
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
