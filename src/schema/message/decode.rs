//! Messages from their bytes.

use super::{Field, Fields, Kind, MAX_STRING_BYTES, SchemaError, Value};
use crate::types::Uuid;
use crate::wire::Reader;

/// Reads the fields of one version.
#[derive(Clone, Copy)]
pub(super) struct Decoder {
    pub version: i16,
    pub flexible: bool,
}

impl Decoder {
    pub fn fields<'a>(self, table: &'static [Field], reader: &mut Reader<'a>) -> Result<Fields<'a>, SchemaError> {
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
