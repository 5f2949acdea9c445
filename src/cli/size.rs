//! Sizes as people write and read them: `128MiB`, `16.1 KiB`.

/// Why a text is not a size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// No digits, or something other than a number before the unit.
    #[error("expected a number of bytes, such as 1048576, 64KiB or 128MiB")]
    NotANumber,
    /// The unit is none of those known.
    #[error("unknown unit '{0}', expected B, KiB, MiB, GiB or TiB (kB, MB, GB, TB for powers of 1000)")]
    Unit(String),
    /// Larger than 64 bits hold.
    #[error("does not fit in 64 bits")]
    TooLarge,
}

/// Reads `1048576`, `64KiB`, `64K`, `64 kib` (powers of 1024) or `64kB` (powers of 1000).
///
/// A lone letter is a power of 1024, as in `dd` and in Kafka's own documentation.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::NotANumber);
    }
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    let unit = unit.trim_start();
    let scale: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(SizeError::Unit(unit.to_owned())),
    };
    number.checked_mul(scale).ok_or(SizeError::TooLarge)
}

/// How tables write sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SizeStyle {
    /// `16.1 KiB`: one decimal, powers of 1024.
    #[default]
    Human,
    /// `16472` (`--bytes`).
    Exact,
}

impl SizeStyle {
    /// Appends `bytes` in this style.
    pub fn write(self, bytes: u64, out: &mut Vec<u8>) {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self == SizeStyle::Exact {
            out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
            return;
        }
        if bytes < 1024 {
            out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
            out.extend_from_slice(b" B");
            return;
        }
        // Tenths of the unit, rounded half up; a value that rounds to 1024.0 moves to the next unit.
        let mut shift = 10;
        for (index, unit) in UNITS.iter().enumerate() {
            let tenths = (u128::from(bytes) * 10 + (1u128 << (shift - 1))) >> shift;
            if tenths < 10_240 || index == UNITS.len() - 1 {
                let mut buffer = itoa::Buffer::new();
                out.extend_from_slice(buffer.format(tenths / 10).as_bytes());
                out.push(b'.');
                out.extend_from_slice(buffer.format(tenths % 10).as_bytes());
                out.push(b' ');
                out.extend_from_slice(unit.as_bytes());
                return;
            }
            shift += 10;
        }
    }

    /// `bytes` in this style.
    pub fn text(self, bytes: u64) -> String {
        let mut out = Vec::new();
        self.write(bytes, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        let cases = [
            ("0", Ok(0)),
            ("1048576", Ok(1 << 20)),
            ("64K", Ok(64 << 10)),
            ("64kib", Ok(64 << 10)),
            ("128 MiB", Ok(128 << 20)),
            ("2GiB", Ok(2 << 30)),
            ("5kB", Ok(5_000)),
            ("", Err(SizeError::NotANumber)),
            ("MiB", Err(SizeError::NotANumber)),
            ("-1", Err(SizeError::NotANumber)),
            ("5 parsecs", Err(SizeError::Unit("parsecs".into()))),
            ("99999999999999999999", Err(SizeError::TooLarge)),
            ("99999999999TiB", Err(SizeError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_written_with_one_decimal_or_exactly() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (16_472, "16.1 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (3_221_231_376, "3.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(SizeStyle::Human.text(bytes), expected, "{bytes}");
            assert_eq!(SizeStyle::Exact.text(bytes), bytes.to_string());
        }
    }
}
