//! Long listings, written as they are found: fixed columns, no memory that grows with the rows.
//!
//! A value wider than its column pushes what follows; two spaces always remain between columns, so
//! `awk '{print $3}'` works on any row whose cells hold no spaces. A cell is one line whatever is in it: control characters of
//! names and values are escaped.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use crate::types::{NO_TIMESTAMP, TimestampMs};

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text: padded behind.
    Left,
    /// Numbers: padded in front.
    Right,
}

/// One column of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Head, in capitals.
    pub name: &'static str,
    /// Least width, in characters.
    pub width: usize,
    /// Side the text stands on.
    pub align: Align,
}

impl Column {
    /// A column of text.
    pub const fn left(name: &'static str, width: usize) -> Column {
        Column { name, width, align: Align::Left }
    }

    /// A column of numbers.
    pub const fn right(name: &'static str, width: usize) -> Column {
        Column { name, width, align: Align::Right }
    }
}

/// The form a listing takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingStyle {
    /// Aligned columns; `bold` for the head on a terminal that has it.
    Table {
        /// Head in bold.
        bold: bool,
    },
    /// Tab-separated, `\t`, `\n` and `\\` escaped.
    Tsv,
}

/// Writes rows of fixed columns into a buffer.
#[derive(Debug, Clone)]
pub struct Listing {
    columns: &'static [Column],
    style: ListingStyle,
    /// Next column of the row being written.
    next: usize,
    /// Spaces owed before the next cell, so that no row ends in blanks.
    pending: usize,
    cell: Vec<u8>,
}

impl Listing {
    /// A listing with these columns.
    pub fn new(columns: &'static [Column], style: ListingStyle) -> Listing {
        Listing { columns, style, next: 0, pending: 0, cell: Vec::new() }
    }

    /// Writes the head.
    pub fn header(&mut self, out: &mut Vec<u8>) {
        let bold = self.style == ListingStyle::Table { bold: true };
        if bold {
            out.extend_from_slice(b"\x1b[1m");
        }
        for column in self.columns {
            let name =
                if self.style == ListingStyle::Tsv { column.name.to_lowercase() } else { column.name.to_owned() };
            self.text(name.as_bytes(), out);
        }
        if bold {
            out.extend_from_slice(b"\x1b[0m");
        }
        self.end_row(out);
    }

    /// Writes the next cell.
    pub fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let column = self.columns.get(self.next);
        let first = self.next == 0;
        self.next += 1;
        if self.style == ListingStyle::Tsv {
            if !first {
                out.push(b'\t');
            }
            escape_tsv(text, out);
            return;
        }
        let text = &*printable(text);
        let width = if text.is_ascii() { text.len() } else { String::from_utf8_lossy(text).chars().count() };
        let (least, align) = column.map_or((0, Align::Left), |c| (c.width.max(c.name.len()), c.align));
        let padding = least.saturating_sub(width);
        let before = if align == Align::Right { padding } else { 0 };
        pad(out, self.pending + before);
        out.extend_from_slice(text);
        self.pending = 2 + padding - before;
    }

    /// Writes the next cell as a whole number.
    pub fn number(&mut self, number: impl itoa::Integer, out: &mut Vec<u8>) {
        self.text(itoa::Buffer::new().format(number).as_bytes(), out);
    }

    /// Writes the next cell with what `fill` appends.
    pub fn with(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut cell = std::mem::take(&mut self.cell);
        cell.clear();
        fill(&mut cell);
        self.text(&cell, out);
        self.cell = cell;
    }

    /// Ends the row.
    pub fn end_row(&mut self, out: &mut Vec<u8>) {
        out.push(b'\n');
        self.next = 0;
        self.pending = 0;
    }
}

fn pad(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b' ');
}

/// `text` with control characters as `\n`, `\t`, `\r` or `\xHH`: in a table they would end the row, or tell the terminal
/// something. A backslash stays what it is.
pub fn printable(text: &[u8]) -> Cow<'_, [u8]> {
    let is_control = |at: usize, byte: u8| match byte {
        0..0x20 | 0x7f => true,
        // U+0080 to U+009F, which some terminals take for escape sequences.
        0xc2 => text.get(at + 1).is_some_and(|next| (0x80..0xa0).contains(next)),
        _ => false,
    };
    if !text.iter().enumerate().any(|(at, byte)| is_control(at, *byte)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = Vec::with_capacity(text.len() + 8);
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\t' => escaped.extend_from_slice(b"\\t"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            _ if is_control(at, byte) => {
                // Two bytes in UTF-8, of which the second is the character's number.
                let number = if byte == 0xc2 { bytes.next().map_or(byte, |(_, next)| next) } else { byte };
                escaped.extend_from_slice(format!("\\x{number:02x}").as_bytes());
            }
            _ => escaped.push(byte),
        }
    }
    Cow::Owned(escaped)
}

/// Appends `text` with tab, newline and backslash escaped: one cell of a TSV row.
pub fn escape_tsv(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'\t', b'\n', b'\\', rest) {
        let (clean, special) = rest.split_at(at);
        out.extend_from_slice(clean);
        out.extend_from_slice(match special.first() {
            Some(b'\t') => b"\\t",
            Some(b'\n') => b"\\n",
            _ => b"\\\\",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Timestamps as RFC 3339 with milliseconds: `2025-10-09T08:53:20.148Z`.
///
/// The text of the last second is kept: records come in order of time, or nearly.
#[derive(Debug, Clone)]
pub struct TimeText {
    zone: TimeZone,
    second: i64,
    prefix: String,
    suffix: String,
}

impl TimeText {
    /// In UTC, with `Z`.
    pub fn utc() -> TimeText {
        TimeText::in_zone(TimeZone::UTC)
    }

    /// In the zone of this machine, with its offset (`--local`).
    pub fn local() -> TimeText {
        TimeText::in_zone(TimeZone::system())
    }

    fn in_zone(zone: TimeZone) -> TimeText {
        TimeText { zone, second: i64::MIN, prefix: String::new(), suffix: String::new() }
    }

    /// The zone texts are in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Appends the text of `timestamp_ms`: `-` for none (-1), the bare number where the calendar ends.
    pub fn write(&mut self, timestamp_ms: TimestampMs, out: &mut Vec<u8>) {
        if timestamp_ms == NO_TIMESTAMP {
            out.push(b'-');
            return;
        }
        let second = timestamp_ms.div_euclid(1_000);
        if second != self.second && !self.set_second(second) {
            out.extend_from_slice(itoa::Buffer::new().format(timestamp_ms).as_bytes());
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of 1000 is below 1000")]
        let ms = timestamp_ms.rem_euclid(1_000) as u16;
        out.extend_from_slice(self.prefix.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "a digit is below 10")]
        let digit = |n: u16| b'0' + n as u8;
        out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10 % 10), digit(ms % 10)]);
        out.extend_from_slice(self.suffix.as_bytes());
    }

    /// Whether the calendar has this second.
    #[cold]
    fn set_second(&mut self, second: i64) -> bool {
        let Ok(timestamp) = jiff::Timestamp::from_second(second) else { return false };
        let zoned = timestamp.to_zoned(self.zone.clone());
        self.prefix = zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        self.suffix = if self.zone == TimeZone::UTC { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
        self.second = second;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::right("OFFSET", 8), Column::left("CODEC", 5), Column::left("FLAGS", 5)];

    fn rows(style: ListingStyle) -> String {
        let mut out = Vec::new();
        let mut listing = Listing::new(COLUMNS, style);
        listing.header(&mut out);
        for (offset, codec) in [(0_i64, "none"), (1_234_567_890, "snappyx"), (-1, "a\tb")] {
            listing.number(offset, &mut out);
            listing.text(codec.as_bytes(), &mut out);
            listing.with(&mut out, |cell| cell.push(b'-'));
            listing.end_row(&mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_align_and_wide_values_push() {
        let expected = "  OFFSET  CODEC  FLAGS\n       0  none   -\n1234567890  snappyx  -\n      -1  a\\tb   -\n";
        assert_eq!(rows(ListingStyle::Table { bold: false }), expected);
        assert_eq!(
            rows(ListingStyle::Table { bold: true }).lines().next(),
            Some("\x1b[1m  OFFSET  CODEC  FLAGS\x1b[0m")
        );
        assert_eq!(rows(ListingStyle::Tsv), "offset\tcodec\tflags\n0\tnone\t-\n1234567890\tsnappyx\t-\n-1\ta\\tb\t-\n");
    }

    #[test]
    fn a_cell_is_one_line_whatever_is_in_it() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"plain\\n", b"plain\\n"),
            (b"a\nb\rc\td", b"a\\nb\\rc\\td"),
            (b"\x1b[31m\x7f\0", b"\\x1b[31m\\x7f\\x00"),
            ("é\u{9b}31m ü".as_bytes(), "é\\x9b31m ü".as_bytes()),
            (b"\xff\xc2", b"\xff\xc2"),
            (b"", b""),
        ];
        for (text, expected) in cases {
            assert_eq!(&*printable(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        let mut time = TimeText::utc();
        let cases = [
            (1_760_000_000_148, "2025-10-09T08:53:20.148Z"),
            (1_760_000_000_007, "2025-10-09T08:53:20.007Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (-2, "1969-12-31T23:59:59.998Z"),
            (-1, "-"),
            (i64::MAX, "9223372036854775807"),
            (i64::MIN, "-9223372036854775808"),
        ];
        for (ms, expected) in cases {
            let mut out = Vec::new();
            time.write(ms, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{ms}");
        }
        let mut out = Vec::new();
        TimeText::in_zone(TimeZone::fixed(jiff::tz::offset(2))).write(1_760_000_000_148, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "2025-10-09T10:53:20.148+02:00");
    }
}
