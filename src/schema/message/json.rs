//! Messages as Kafka's own JSON form has them (the `JsonConverter`s of the generated messages).

use super::{Fields, Value};
use crate::json_text;

impl Fields<'_> {
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
            json_text::write(field.name.as_bytes(), out);
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
            Value::Uuid(id) => json_text::write(id.to_string().as_bytes(), out),
            Value::String(text) => json_text::write(text.as_bytes(), out),
            Value::Bytes(bytes) => json_text::write(data_encoding::BASE64.encode(bytes).as_bytes(), out),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
