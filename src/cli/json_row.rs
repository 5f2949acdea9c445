//! One JSON object a line, its fields in the order a person wants to read them.

use serde_json::Value;

/// A row under construction. `serde_json`'s own map would sort the fields.
#[derive(Debug, Clone)]
pub struct JsonRow {
    text: String,
}

impl JsonRow {
    /// A row of this type, which is its first field.
    pub fn new(kind: &str) -> JsonRow {
        JsonRow { text: format!("{{\"type\":{}", Value::from(kind)) }
    }

    /// One more field; `null` for what is absent.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> JsonRow {
        self.text.push_str(&format!(",{}:{}", Value::from(name), value.into()));
        self
    }

    /// One more field, if it has a value.
    pub fn some(self, name: &str, value: Option<impl Into<Value>>) -> JsonRow {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// The object, without a line end.
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    /// Appends the object and a line end.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.finish().as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_are_escaped() {
        let row = JsonRow::new("x").field("b", 1).field("a", Value::Null).some("c", None::<i64>).field("d", "\"\n");
        assert_eq!(row.finish(), r#"{"type":"x","b":1,"a":null,"d":"\"\n"}"#);
    }
}
