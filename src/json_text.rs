//! Bytes as a JSON string.
//!
//! Jackson, which Kafka's tools print with, and yajl, which kcat prints with, escape the same bytes in the same way: short
//! escapes where JSON has them, else four hexadecimal digits in capitals.

/// What a byte is escaped as: 0 as itself, `u` by its number.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Appends `bytes`, which are UTF-8 where the result is to be JSON, in quotes and escaped.
///
/// What needs no escape is copied in runs.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = first_special(rest) {
        let (clean, special) = rest.split_at(at);
        out.extend_from_slice(clean);
        let Some((byte, tail)) = special.split_first() else { break };
        match ESCAPES[usize::from(*byte)] {
            b'u' => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |nibble: u8| HEX[usize::from(nibble & 15)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(*byte)]);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte stands that JSON wants escaped: a control character, a quote or a backslash.
#[inline(always)]
fn first_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at once. A borrow can mark a byte above the first that is marked rightly, never one
    // below it, so the lowest mark is right; read as little-endian, the lowest is the first.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = below(word, 0x20) | below(word ^ (ONES * 0x22), 1) | below(word ^ (ONES * 0x5c), 1);
        if marks != 0 {
            return Some(number * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| ESCAPES[usize::from(*byte)] != 0)?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_does_not_allow_is_escaped_and_nothing_else() {
        let cases: [(&str, &str); 5] = [
            ("", r#""""#),
            ("a\"b\\c/é", r#""a\"b\\c/é""#),
            ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#),
            ("\0\u{1f}\u{7f}", "\"\\u0000\\u001F\u{7f}\""),
            ("0123456789012345678901234567890123\n5", r#""0123456789012345678901234567890123\n5""#),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            write(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
            assert_eq!(serde_json::from_str::<String>(expected).unwrap(), text);
        }
    }
}
