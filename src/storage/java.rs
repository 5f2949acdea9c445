//! Java's notion of a line, of white space and of a number, where Kafka's text files depend on it.
//!
//! One difference is deliberate: `Integer.parseInt` also takes the digits of other scripts. No
//! broker writes those; here they are not numbers.

/// The characters of `\s` in a Java regular expression without flags.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// Lines as `BufferedReader.readLine` cuts them: at LF, CR or CRLF, with none after a final line end.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut rest));
        };
        let (line, tail) = rest.split_at(end);
        rest = tail.strip_prefix("\r\n").unwrap_or_else(|| &tail[1..]);
        Some(line)
    })
}

/// `Pattern.compile("\\s+").split(line)`: a leading empty part is kept, trailing ones are dropped.
///
/// At most `max + 1` parts come back, enough to see that there are too many.
pub(crate) fn split_spaces(line: &str, max: usize) -> Vec<&str> {
    let mut parts = Vec::with_capacity(max + 1);
    let mut rest = line;
    while parts.len() <= max {
        let Some(at) = rest.find(is_space) else {
            parts.push(rest);
            break;
        };
        parts.push(&rest[..at]);
        rest = rest[at..].trim_start_matches(is_space);
        if rest.is_empty() {
            break;
        }
    }
    // Java gives one empty part for an empty input, and none for white space alone.
    if parts.len() == 1 && parts[0].is_empty() && !line.is_empty() {
        parts.clear();
    }
    parts
}

/// The start of `text`, short enough for an error message.
pub(crate) fn clip(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_any_of_the_three_line_ends() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\r\nb\rc\n", &["a", "b", "c"]),
            ("\n\na", &["", "", "a"]),
            ("a\n\r", &["a", ""]),
        ];
        for (text, expected) in cases {
            assert_eq!(lines(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn splitting_keeps_a_leading_empty_part_only() {
        let cases: [(&str, &[&str]); 7] = [
            ("a 0 5", &["a", "0", "5"]),
            ("a\t 0\u{b}5 ", &["a", "0", "5"]),
            (" 0 5", &["", "0", "5"]),
            ("a\u{a0}0 5", &["a\u{a0}0", "5"]),
            ("", &[""]),
            ("  ", &[]),
            ("a b c d e", &["a", "b", "c", "d"]),
        ];
        for (line, expected) in cases {
            assert_eq!(split_spaces(line, 3), expected, "{line:?}");
        }
    }

    #[test]
    fn long_text_is_clipped_between_characters() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"é".repeat(81)), format!("{}...", "é".repeat(80)));
    }
}
