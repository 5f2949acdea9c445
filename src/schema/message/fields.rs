//! Fields of a message by their names, as the kinds that its table gives them.

use std::borrow::Cow;

use super::{Fields, Value};
use crate::types::Uuid;

/// Fields by the kind the tables give them; a name that is in no table is a mistake of ours, which the tests find.
impl<'a> Fields<'a> {
    fn known(&self, name: &str) -> &Value<'a> {
        self.get(name).unwrap_or_else(|| unreachable!("no field {name} in this table"))
    }

    pub(in crate::schema) fn long(&self, name: &str) -> i64 {
        match self.known(name) {
            Value::Number(number) => *number,
            _ => -1,
        }
    }

    pub(in crate::schema) fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or(-1)
    }

    pub(in crate::schema) fn flag(&self, name: &str) -> bool {
        *self.known(name) == Value::Bool(true)
    }

    pub(in crate::schema) fn float(&self, name: &str) -> f64 {
        match self.known(name) {
            Value::Float(number) => *number,
            _ => 0.0,
        }
    }

    pub(in crate::schema) fn nullable_text(&self, name: &str) -> Option<String> {
        match self.known(name) {
            Value::String(text) => Some(Cow::into_owned(text.clone())),
            _ => None,
        }
    }

    pub(in crate::schema) fn text(&self, name: &str) -> String {
        self.nullable_text(name).unwrap_or_default()
    }

    pub(in crate::schema) fn bytes(&self, name: &str) -> &'a [u8] {
        match self.known(name) {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    pub(in crate::schema) fn uuid(&self, name: &str) -> Uuid {
        match self.known(name) {
            Value::Uuid(id) => *id,
            _ => Uuid::ZERO,
        }
    }

    pub(in crate::schema) fn list<T>(&self, name: &str, element: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        match self.known(name) {
            Value::Array(values) => Some(values.iter().filter_map(element).collect()),
            _ => None,
        }
    }

    pub(in crate::schema) fn ints(&self, name: &str) -> Option<Vec<i32>> {
        self.list(name, |value| match value {
            Value::Number(number) => i32::try_from(*number).ok(),
            _ => None,
        })
    }

    pub(in crate::schema) fn uuids(&self, name: &str) -> Option<Vec<Uuid>> {
        self.list(name, |value| match value {
            Value::Uuid(id) => Some(*id),
            _ => None,
        })
    }

    pub(in crate::schema) fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: &Value<'a>| match value {
            Value::String(text) => Some(Cow::into_owned(text.clone())),
            _ => None,
        };
        self.list(name, text).unwrap_or_default()
    }

    /// The fields of a struct, or of each of an array of them.
    pub(in crate::schema) fn structs(&self, name: &str) -> impl Iterator<Item = &Fields<'a>> {
        let values = match self.known(name) {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        values.iter().filter_map(|value| match value {
            Value::Struct(fields) => Some(fields),
            _ => None,
        })
    }
}
