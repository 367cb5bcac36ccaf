//! A strict reader of answers: what a stock client reads must be there, of its type, and not null.
//!
//! It refuses what would crash or mislead a stock client: numbers with a fraction, numbers beyond 2^53, null where a
//! string is expected, base64 that is not padded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The largest integer that JavaScript counts without loss.
const INTEGER_MAX: i64 = 1 << 53;

/// 2020 and 2100 in microseconds: a time outside was not told in microseconds.
const PLAUSIBLE_MICROS: std::ops::Range<i64> = 1_577_836_800_000_000..4_102_444_800_000_000;

/// One JSON object of an answer, and where it stands in it.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The members of `value`, which must be an object; `at` names it in messages.
    pub fn of(at: &str, value: &'a Value) -> Self {
        let Value::Object(map) = value else { panic!("{at} is not an object: {value}") };
        Self { at: at.to_owned(), map }
    }

    /// Whether the member is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the member is missing altogether.
    pub fn lacks(&self, name: &str) -> bool {
        !self.map.contains_key(name)
    }

    /// A member as it came, which must be there and not null.
    pub fn value(&self, name: &str) -> &'a Value {
        match self.map.get(name) {
            None => panic!("{}.{name} is missing from {:?}", self.at, self.map),
            Some(Value::Null) => panic!("{}.{name} is null", self.at),
            Some(value) => value,
        }
    }

    /// An integer that every client can count.
    pub fn integer(&self, name: &str) -> i64 {
        let value = self.value(name);
        let number =
            value.as_i64().unwrap_or_else(|| panic!("{}.{name} is not an integer: {value}", self.at));
        assert!(number.abs() < INTEGER_MAX, "{}.{name} is beyond 2^53: {number}", self.at);
        number
    }

    /// A positive integer: an id.
    pub fn id(&self, name: &str) -> i64 {
        let id = self.integer(name);
        assert!(id > 0, "{}.{name} is not positive: {id}", self.at);
        id
    }

    /// A time in microseconds since the epoch.
    pub fn micros(&self, name: &str) -> i64 {
        let time = self.integer(name);
        assert!(PLAUSIBLE_MICROS.contains(&time), "{}.{name} is no time in microseconds: {time}", self.at);
        time
    }

    /// A string, maybe empty.
    pub fn text(&self, name: &str) -> &'a str {
        let value = self.value(name);
        value.as_str().unwrap_or_else(|| panic!("{}.{name} is not a string: {value}", self.at))
    }

    /// A string that says something.
    pub fn words(&self, name: &str) -> &'a str {
        let text = self.text(name);
        assert!(!text.is_empty(), "{}.{name} is empty", self.at);
        text
    }

    /// `true` or `false`.
    pub fn boolean(&self, name: &str) -> bool {
        let value = self.value(name);
        value.as_bool().unwrap_or_else(|| panic!("{}.{name} is not a boolean: {value}", self.at))
    }

    /// Standard base64 with padding.
    pub fn base64(&self, name: &str) -> Vec<u8> {
        let text = self.text(name);
        STANDARD.decode(text).unwrap_or_else(|_| panic!("{}.{name} is not base64: {text}", self.at))
    }

    /// Standard base64 of exactly `length` bytes.
    pub fn bytes(&self, name: &str, length: usize) -> Vec<u8> {
        let bytes = self.base64(name);
        assert_eq!(bytes.len(), length, "{}.{name} has the wrong length", self.at);
        bytes
    }

    /// A member that is an object.
    pub fn object(&self, name: &str) -> Fields<'a> {
        Fields::of(&format!("{}.{name}", self.at), self.value(name))
    }

    /// A member that is a list of objects: `[]` when empty, never null.
    pub fn objects(&self, name: &str) -> Vec<Fields<'a>> {
        let list = self.list(name);
        let at = |index| format!("{}.{name}[{index}]", self.at);
        list.iter().enumerate().map(|(index, item)| Fields::of(&at(index), item)).collect()
    }

    /// A member that is a list of anything.
    pub fn list(&self, name: &str) -> &'a [Value] {
        let value = self.value(name);
        value.as_array().unwrap_or_else(|| panic!("{}.{name} is not a list: {value}", self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use serde_json::{Value, json};

    fn check(value: &Value, read: impl Fn(&Fields<'_>) + std::panic::RefUnwindSafe, accepted: bool) {
        let outcome = std::panic::catch_unwind(|| read(&Fields::of("answer", value)));
        assert_eq!(outcome.is_ok(), accepted, "{value}");
    }

    #[test]
    fn it_refuses_what_would_crash_a_client() {
        check(&json!({"n": 1}), |f| _ = f.integer("n"), true);
        check(&json!({"n": 1.0}), |f| _ = f.integer("n"), false);
        check(&json!({"n": "1"}), |f| _ = f.integer("n"), false);
        check(&json!({"n": null}), |f| _ = f.integer("n"), false);
        check(&json!({}), |f| _ = f.integer("n"), false);
        check(&json!({"n": 9_007_199_254_740_993_i64}), |f| _ = f.integer("n"), false);
        check(&json!({"n": 0}), |f| _ = f.id("n"), false);
        check(&json!({"t": 1_700_000_000_000_i64}), |f| _ = f.micros("t"), false);
        check(&json!({"t": 1_700_000_000_000_000_i64}), |f| _ = f.micros("t"), true);
        check(&json!({"s": ""}), |f| _ = f.text("s"), true);
        check(&json!({"s": ""}), |f| _ = f.words("s"), false);
        check(&json!({"b": "YQ"}), |f| _ = f.base64("b"), false);
        check(&json!({"b": "YQ=="}), |f| _ = f.bytes("b", 2), false);
        check(&json!({"b": "YQ=="}), |f| _ = f.bytes("b", 1), true);
        check(&json!({"l": null}), |f| _ = f.objects("l"), false);
        check(&json!({"l": [{}]}), |f| _ = f.objects("l"), true);
        check(&json!({"l": [1]}), |f| _ = f.objects("l"), false);
    }
}
