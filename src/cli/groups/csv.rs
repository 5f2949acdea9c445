//! The CSV of `kafka-consumer-groups.sh`: `group,topic,partition,offset` a line, without the group where all are of one
//! (`CsvUtils` of Kafka 4.3, which is Jackson's CSV; `--reset-offsets --export` writes it, `--from-file` reads it).

use std::borrow::Cow;

use crate::types::{Offset, TopicPartition};

/// Longest cell that Jackson looks at before it puts quotes around it, in UTF-16 units.
const BARE_MAX: usize = 24;

/// A row: of `group`, if there is one.
pub fn write_row(group: Option<&str>, partition: &TopicPartition, offset: Offset, out: &mut Vec<u8>) {
    for cell in group.into_iter().chain([partition.topic.as_str()]) {
        out.extend_from_slice(cell_text(cell).as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(format!("{},{offset}\n", partition.partition).as_bytes());
}

/// A cell as Jackson writes it: in quotes where they may be needed, which it does not look at too closely
/// (`CsvEncoder._mayNeedQuotes`).
fn cell_text(text: &str) -> Cow<'_, str> {
    let is_bare = |character: char| character > ',' && character != '\\';
    if text.chars().all(is_bare) && text.encode_utf16().count() <= BARE_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
}

/// A line: the group, if it has one, the partition and the offset; else what is wrong with it.
pub fn parse_row(line: &str) -> Result<(Option<String>, TopicPartition, i64), String> {
    let cells = cells(line.strip_suffix('\r').unwrap_or(line))?;
    let (group, topic, partition, offset) = match cells.as_slice() {
        [topic, partition, offset] => (None, topic, partition, offset),
        [group, topic, partition, offset] => (Some(group), topic, partition, offset),
        _ => return Err(format!("{} cells, not [group,]topic,partition,offset", cells.len())),
    };
    let partition = partition.trim().parse().map_err(|_| format!("'{partition}' is no partition"))?;
    let offset = offset.trim().parse().map_err(|_| format!("'{offset}' is no offset"))?;
    let group = group.map(|group| group.to_string());
    Ok((group, TopicPartition::new(topic.trim(), partition), offset))
}

/// The cells of a line; a quote within quotes is doubled.
fn cells(line: &str) -> Result<Vec<Cow<'_, str>>, String> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, behind) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (cell, behind) = rest.split_at(end);
                (Cow::Borrowed(cell), behind)
            }
        };
        cells.push(cell);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(cells),
            None => return Err(format!("'{behind}' behind a closing quote")),
        }
    }
}

/// A cell and what stands behind it, of what stands behind the opening quote.
fn quoted_cell(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let (piece, behind) = rest.split_once('"').ok_or("a closing quote is missing")?;
        cell.push_str(piece);
        match behind.strip_prefix('"') {
            Some(next) => {
                cell.push('"');
                rest = next;
            }
            None => return Ok((Cow::Owned(cell), behind.trim_start_matches([' ', '\t']))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_as_kafkas_tool_writes_them() {
        // What `CsvUtils.writerFor(CsvRecordWithGroup.class)` of Kafka 4.3.0 prints.
        for (text, expected) in [
            ("plain", "plain"),
            ("a b", "\"a b\""),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a#b", "\"a#b\""),
            ("a+b", "\"a+b\""),
            ("a'b", "\"a'b\""),
            ("a-b", "a-b"),
            ("a/b:{c}", "a/b:{c}"),
            ("é", "é"),
            ("a\tb", "\"a\tb\""),
            ("a\\b", "\"a\\b\""),
            ("", ""),
            ("123456789012345678901234", "123456789012345678901234"),
            ("1234567890123456789012345", "\"1234567890123456789012345\""),
            ("12345678901234567890123\u{1f600}", "\"12345678901234567890123\u{1f600}\""),
        ] {
            assert_eq!(cell_text(text), expected, "{text:?}");
            let mut line = Vec::new();
            write_row(Some(text), &TopicPartition::new("t", 3), Offset::new(5), &mut line);
            let line = String::from_utf8(line).unwrap();
            let read = parse_row(line.trim_end_matches('\n'));
            assert_eq!(read, Ok((Some(text.to_owned()), TopicPartition::new("t", 3), 5)), "{line:?}");
        }
    }

    #[test]
    fn a_line_names_a_group_or_not() {
        let row = |line: &str| parse_row(line).map(|(group, partition, offset)| (group, partition.to_string(), offset));
        let of = |group: &str, partition: &str, offset| Ok((Some(group.to_owned()), partition.to_owned(), offset));
        assert_eq!(row("orders,0,42"), Ok((None, "orders-0".into(), 42)));
        assert_eq!(row("billing,orders,1,7\r"), of("billing", "orders-1", 7));
        assert_eq!(row("\"a,\"\"b\",orders,1,7"), of("a,\"b", "orders-1", 7));
        assert_eq!(row(" \"billing\" ,\"orders\",\"1\", 7"), of("billing", "orders-1", 7));
        assert_eq!(row("a\"b,orders,1,7"), of("a\"b", "orders-1", 7));
        for (bad, said) in [
            ("", "1 cells"),
            ("orders,0", "2 cells"),
            ("a,b,c,0,1", "5 cells"),
            ("orders,x,1", "'x' is no partition"),
            ("orders,0,", "'' is no offset"),
            ("orders,0,1.0", "'1.0' is no offset"),
            ("orders;0;1", "1 cells"),
            ("\"orders,0,1", "a closing quote is missing"),
            ("\"g\"x,orders,0,1", "'x,orders,0,1' behind a closing quote"),
        ] {
            let error = row(bad).unwrap_err();
            assert!(error.contains(said), "{bad:?}: {error}");
        }
    }
}
