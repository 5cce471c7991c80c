//! A record as JSON, the same for `consume` and `produce`: what one prints, the other sends again byte for byte.
//!
//! ```text
//! {"topic":"t","partition":0,"offset":7,"timestamp":"2024-01-12T23:49:52.123Z","key":"k","value":{"a":1},"headers":{"h":"x"}}
//! ```
//!
//! - A key or value that is a JSON object or array stands there as it is (line ends in it, which mean nothing, left out).
//! - Other text is a string; null is null, a tombstone if it is the value.
//! - Bytes that are no UTF-8 are base64, and a field beside them says so: `"value_encoding":"base64"`.
//! - Headers are an object; a name that occurs several times has an array of its values. A binary value is `{"base64":"…"}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millstream_client::ProducerRecord;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::human;
use crate::when::time_ms;

/// A record that is shown. Borrowed: a million of them a second may pass.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// ms since 1970; -1 = none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl Shown<'_> {
    /// Appends the record as one line of JSON, without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"topic\":");
        push_string(out, self.topic);
        push(out, &format!(",\"partition\":{},\"offset\":{},\"timestamp\":", self.partition, self.offset));
        push_timestamp(out, self.timestamp);
        push_bytes(out, "key", self.key);
        push_bytes(out, "value", self.value);
        push(out, ",\"headers\":");
        push_headers(out, self.headers);
        out.push(b'}');
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always JSON and memory takes it");
}

/// The time, or what else the number is: beyond the calendar, or -1 for none.
fn push_timestamp(out: &mut Vec<u8>, ms: i64) {
    let text = human::iso(ms);
    match text.ends_with('Z') && ms != -1 {
        true => push_string(out, &text),
        false => push(out, &ms.to_string()),
    }
}

fn push_bytes(out: &mut Vec<u8>, name: &str, bytes: Option<&[u8]>) {
    push(out, &format!(",\"{name}\":"));
    let Some(bytes) = bytes else { return push(out, "null") };
    match std::str::from_utf8(bytes) {
        Ok(text) if is_document(text) => out.extend(bytes.iter().filter(|byte| !matches!(byte, b'\n' | b'\r'))),
        Ok(text) => push_string(out, text),
        Err(_) => push(out, &format!("\"{}\",\"{name}_encoding\":\"base64\"", STANDARD.encode(bytes))),
    }
}

/// Whether it is a JSON object or array, and nothing before or behind it.
fn is_document(text: &str) -> bool {
    matches!(text.as_bytes(), [b'{', .., b'}'] | [b'[', .., b']']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Headers as an object.
pub fn push_headers(out: &mut Vec<u8>, headers: &[(&str, Option<&[u8]>)]) {
    out.push(b'{');
    let mut first = true;
    for (index, (name, value)) in headers.iter().enumerate() {
        if headers[..index].iter().any(|(before, _)| before == name) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        let mut more = headers[index + 1..].iter().filter(|(other, _)| other == name).peekable();
        if more.peek().is_none() {
            push_header_value(out, *value);
            continue;
        }
        out.push(b'[');
        push_header_value(out, *value);
        for (_, value) in more {
            out.push(b',');
            push_header_value(out, *value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn push_header_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value.map(|value| (value, std::str::from_utf8(value))) {
        None => push(out, "null"),
        Some((_, Ok(text))) => push_string(out, text),
        Some((bytes, Err(_))) => push(out, &format!("{{\"base64\":\"{}\"}}", STANDARD.encode(bytes))),
    }
}

/// A line of JSON on its way in. `topic` and `offset` are what they were elsewhere: not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    key_encoding: Option<Encoding>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    value_encoding: Option<Encoding>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
    partition: Option<i32>,
    timestamp: Option<Time>,
    #[serde(default, rename = "topic")]
    _topic: IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: IgnoredAny,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Base64,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Time {
    Number(i64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum HeaderValue {
    One(Option<String>),
    Binary { base64: String },
    Many(Vec<HeaderValue>),
}

/// A record from a line that [`Shown::write_json`] wrote, or one like it; its topic is the caller's.
pub fn from_json(line: &str, now_ms: i64) -> Result<ProducerRecord, String> {
    let given: Given<'_> = serde_json::from_str(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        _ => format!("not JSON: {error}"),
    })?;
    let timestamp = match given.timestamp {
        None | Some(Time::Number(-1)) => None,
        Some(Time::Number(ms)) => Some(ms),
        Some(Time::Text(text)) => Some(time_ms(&text, now_ms)?),
    };
    Ok(ProducerRecord {
        partition: given.partition,
        key: bytes("key", given.key, given.key_encoding)?,
        value: bytes("value", given.value, given.value_encoding)?,
        headers: given.headers.map(headers).transpose()?.unwrap_or_default(),
        timestamp,
        ..ProducerRecord::default()
    })
}

fn bytes(name: &str, raw: Option<&RawValue>, encoding: Option<Encoding>) -> Result<Option<Bytes>, String> {
    let Some(raw) = raw.map(RawValue::get) else { return Ok(None) };
    if !raw.starts_with('"') {
        return Ok(Some(Bytes::copy_from_slice(raw.as_bytes())));
    }
    let text: String = serde_json::from_str(raw).map_err(|error| format!("{name}: {error}"))?;
    match encoding {
        Some(Encoding::Base64) => {
            let bytes = STANDARD.decode(text).map_err(|error| format!("{name} is not base64: {error}"))?;
            Ok(Some(bytes.into()))
        }
        Some(Encoding::Text) | None => Ok(Some(text.into())),
    }
}

/// Headers of an object that [`push_headers`] wrote. Read in order, which a map would lose.
pub fn headers(raw: &RawValue) -> Result<Vec<(String, Option<Bytes>)>, String> {
    if raw.get() == "null" {
        return Ok(Vec::new());
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get())
        .map_err(|_| "headers: write an object of names and texts, as in {\"trace\":\"a1\"}".to_owned())?;
    let mut headers = Vec::with_capacity(object.len());
    for (name, value) in object {
        let value: HeaderValue = serde_json::from_value(value)
            .map_err(|_| format!("header {name}: write a text, null, {{\"base64\":\"…\"}} or an array of these"))?;
        let values = match value {
            HeaderValue::Many(values) => values,
            one => vec![one],
        };
        for value in values {
            let value = match value {
                HeaderValue::One(text) => text.map(Bytes::from),
                HeaderValue::Binary { base64 } => {
                    let bytes =
                        STANDARD.decode(base64).map_err(|error| format!("header {name} is not base64: {error}"));
                    Some(bytes?.into())
                }
                HeaderValue::Many(_) => return Err(format!("header {name}: an array in an array")),
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> String {
        let shown = Shown { topic: "t", partition: 3, offset: 7, timestamp: 1_700_000_000_123, key, value, headers };
        let mut out = Vec::new();
        shown.write_json(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn what_is_printed_reads_well() {
        let lines = [
            json(Some(b"k"), Some(b"hello \"you\""), &[]),
            json(Some(b"{\"id\":1}"), Some(b"{\"a\": [1.50,\n 12345678901234567890]}"), &[("h", Some(b"x"))]),
            json(None, None, &[("a", Some(b"1")), ("b", None), ("a", Some(b"\xff"))]),
            json(Some(b"\xff\xfe"), Some(b"17"), &[]),
            json(Some(b""), Some(b"{broken"), &[]),
        ];
        crate::golden::check("records.json", &(lines.join("\n") + "\n"));
    }

    #[test]
    fn lines_by_hand_are_taken_and_nonsense_is_refused() {
        let record = from_json(r#"{"value": 17, "timestamp": "2023-11-14", "headers": null}"#, 0).expect("a record");
        assert_eq!((record.value.as_deref(), record.timestamp), (Some(&b"17"[..]), Some(1_699_920_000_000)));
        for (line, words) in [
            ("", "not JSON"),
            ("[1]", "invalid"),
            ("17", "invalid"),
            (r#"{"vlaue":1}"#, "vlaue"),
            (r#"{"value":"%","value_encoding":"base64"}"#, "base64"),
            (r#"{"timestamp":"soon"}"#, "no time"),
            (r#"{"headers":[1]}"#, "headers"),
            (r#"{"headers":{"a":{"b":1}}}"#, "header a"),
        ] {
            let error = from_json(line, 0).expect_err(line);
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    fn field() -> impl Strategy<Value = Option<Vec<u8>>> {
        let texts = prop_oneof![
            any::<String>().prop_map(String::into_bytes),
            any::<Vec<u8>>(),
            Just(b"{\"a\": {\"b\" : [1, 2.0e5, null]}}".to_vec()),
            Just(b"null".to_vec()),
            Just(b"[]".to_vec()),
        ];
        prop::option::of(texts)
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_sent_again(
            key in field(), value in field(), headers in prop::collection::vec(("[a-z]{0,6}", field()), 0..4),
        ) {
            // Of one name, values keep their order; names stand where they first occurred.
            let mut ordered: Vec<(&str, Option<&[u8]>)> = Vec::new();
            for (name, _) in &headers {
                if ordered.iter().all(|(known, _)| known != name) {
                    ordered.extend(headers.iter().filter(|(n, _)| n == name).map(|(n, v)| (n.as_str(), v.as_deref())));
                }
            }
            let borrowed: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let line = json(key.as_deref(), value.as_deref(), &borrowed);
            prop_assert!(!line.contains('\n'));
            let record = from_json(&line, 0).expect("our own line");
            prop_assert_eq!(record.key.as_deref(), key.as_deref());
            prop_assert_eq!(record.value.as_deref(), value.as_deref());
            prop_assert_eq!((record.timestamp, record.partition), (Some(1_700_000_000_123), Some(3)));
            let back: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            prop_assert_eq!(back, ordered);
        }
    }
}
