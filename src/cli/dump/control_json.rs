//! Control records of the metadata log as Kafka's generated `JsonConverter`s print them.
//!
//! Kafka reads all of them as version 0 of their schema, whatever their own version field says.

use super::java_text::push_java_utf8;
use crate::batch::control::ControlType;
use crate::json_text;
use crate::types::Uuid;
use crate::wire::{Reader, WireError};

/// Why a control record's value cannot be shown.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum ControlError {
    /// The value ends early.
    #[error("control record value: {0}")]
    Wire(#[from] WireError),
    /// A field that may not be null is, or a length is impossible.
    #[error("control record value: impossible length of {0}")]
    Length(&'static str),
    /// No value at all.
    #[error("control record without a value")]
    NoValue,
}

/// The JSON text of a metadata log's control record; `None` for types that have none.
pub(super) fn control_json(kind: ControlType, value: Option<&[u8]>) -> Result<Option<Vec<u8>>, ControlError> {
    let read = match kind {
        ControlType::LeaderChange => leader_change,
        ControlType::SnapshotHeader => snapshot_header,
        ControlType::SnapshotFooter => snapshot_footer,
        ControlType::KRaftVersion => kraft_version,
        ControlType::KRaftVoters => kraft_voters,
        ControlType::Abort | ControlType::Commit | ControlType::Unknown(_) => return Ok(None),
    };
    let mut reader = Reader::new(value.ok_or(ControlError::NoValue)?);
    let mut out = Vec::new();
    read(&mut reader, &mut out)?;
    Ok(Some(out))
}

type Read = Result<(), ControlError>;

fn number(out: &mut Vec<u8>, name: &str, value: impl Into<i64>) {
    key(out, name);
    out.extend_from_slice(itoa::Buffer::new().format(value.into()).as_bytes());
}

fn key(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), None | Some(b'[' | b'{')) {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A compact array's length.
fn array_len(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, ControlError> {
    let len = reader.unsigned_varint()?.checked_sub(1).ok_or(ControlError::Length(what))?;
    usize::try_from(len).ok().filter(|len| *len <= reader.remaining()).ok_or(ControlError::Length(what))
}

fn tagged_fields(reader: &mut Reader<'_>) -> Read {
    for _ in 0..reader.unsigned_varint()? {
        reader.unsigned_varint()?;
        let len = reader.unsigned_varint()? as usize;
        reader.bytes(len)?;
    }
    Ok(())
}

fn array(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    name: &'static str,
    mut element: impl FnMut(&mut Reader<'_>, &mut Vec<u8>) -> Read,
) -> Read {
    key(out, name);
    out.push(b'[');
    for at in 0..array_len(reader, name)? {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'{');
        element(reader, out)?;
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

fn leader_change(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Read {
    let voter = |reader: &mut Reader<'_>, out: &mut Vec<u8>| {
        number(out, "voterId", reader.i32()?);
        tagged_fields(reader)
    };
    out.push(b'{');
    number(out, "version", reader.i16()?);
    number(out, "leaderId", reader.i32()?);
    array(reader, out, "voters", voter)?;
    array(reader, out, "grantingVoters", voter)?;
    tagged_fields(reader)?;
    out.push(b'}');
    Ok(())
}

fn snapshot_header(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Read {
    out.push(b'{');
    number(out, "version", reader.i16()?);
    number(out, "lastContainedLogTimestamp", reader.i64()?);
    tagged_fields(reader)?;
    out.push(b'}');
    Ok(())
}

fn snapshot_footer(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Read {
    out.push(b'{');
    number(out, "version", reader.i16()?);
    tagged_fields(reader)?;
    out.push(b'}');
    Ok(())
}

fn kraft_version(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Read {
    out.push(b'{');
    number(out, "version", reader.i16()?);
    number(out, "kRaftVersion", reader.i16()?);
    tagged_fields(reader)?;
    out.push(b'}');
    Ok(())
}

fn kraft_voters(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Read {
    out.push(b'{');
    number(out, "version", reader.i16()?);
    array(reader, out, "voters", |reader, out| {
        number(out, "voterId", reader.i32()?);
        key(out, "voterDirectoryId");
        let id: [u8; 16] = reader.bytes(16)?.try_into().map_err(|_| ControlError::Length("voterDirectoryId"))?;
        push_json_text(out, Uuid(id).to_string().as_bytes());
        array(reader, out, "endpoints", |reader, out| {
            for name in ["name", "host"] {
                let len = array_len(reader, name)?;
                key(out, name);
                push_json_text(out, reader.bytes(len)?);
            }
            number(out, "port", i64::from(reader.i16()?.cast_unsigned()));
            tagged_fields(reader)
        })?;
        key(out, "kRaftVersionFeature");
        out.push(b'{');
        number(out, "minSupportedVersion", reader.i16()?);
        number(out, "maxSupportedVersion", reader.i16()?);
        tagged_fields(reader)?;
        out.push(b'}');
        tagged_fields(reader)
    })?;
    tagged_fields(reader)?;
    out.push(b'}');
    Ok(())
}

/// A string as Jackson writes it.
fn push_json_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut text = Vec::with_capacity(bytes.len());
    push_java_utf8(&mut text, bytes);
    json_text::write(&text, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from the `JsonConverter`s of Kafka 4.3.0.
    #[test]
    fn metadata_control_records_are_printed_as_kafka_prints_them() {
        let cases = [
            (
                ControlType::KRaftVoters,
                "000003000000034716fa4cd62943028ff5001af866e80d020b434f4e54524f4c4c45520b68226f5c73097401c3a9fde80000000001000000000004000000000000000000000000000000000100000000000000",
                r#"{"version":0,"voters":[{"voterId":3,"voterDirectoryId":"Rxb6TNYpQwKP9QAa-GboDQ","endpoints":[{"name":"CONTROLLER","host":"h\"o\\s\tt\u0001é","port":65000}],"kRaftVersionFeature":{"minSupportedVersion":0,"maxSupportedVersion":1}},{"voterId":4,"voterDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","endpoints":[],"kRaftVersionFeature":{"minSupportedVersion":0,"maxSupportedVersion":0}}]}"#,
            ),
            (ControlType::KRaftVersion, "0000000100", r#"{"version":0,"kRaftVersion":1}"#),
            (
                ControlType::SnapshotHeader,
                "000000000199c82cc00000",
                r#"{"version":0,"lastContainedLogTimestamp":1760000000000}"#,
            ),
            (ControlType::SnapshotFooter, "000000", r#"{"version":0}"#),
            (
                ControlType::LeaderChange,
                "00000000000703000000010000000007000100",
                r#"{"version":0,"leaderId":7,"voters":[{"voterId":1},{"voterId":7}],"grantingVoters":[]}"#,
            ),
        ];
        for (kind, hex, expected) in cases {
            let value = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            let found = control_json(kind, Some(&value)).unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&found), expected, "{kind:?}");
            for cut in 0..value.len() {
                assert!(control_json(kind, Some(&value[..cut])).is_err(), "{kind:?} cut at {cut}");
            }
        }
        assert_eq!(control_json(ControlType::Commit, None), Ok(None));
    }
}
