//! Bytes of records as something to read. The page only ever puts them on screen as text.

use serde::Serialize;

use crate::model::Record;

/// Longest value sent to the page, in bytes; the rest is cut and said so.
const VALUE_BYTES_MAX: usize = 8 * 1024;
/// Longest key or header value.
const SMALL_BYTES_MAX: usize = 512;
/// Bytes of a binary value that are shown as hexadecimal digits.
const HEX_BYTES_MAX: usize = 96;
/// Headers shown of one record.
const HEADERS_MAX: usize = 32;

/// A record to read.
#[derive(Debug, Serialize)]
pub struct ShownRecord {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Shown>,
    value: Option<Shown>,
    headers: Vec<(String, Option<Shown>)>,
}

/// Bytes to read.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Text, or hexadecimal digits.
    text: String,
    /// `json`, `text` or `binary`.
    kind: &'static str,
    /// Length of the whole in bytes.
    bytes: usize,
    /// Is this only its beginning?
    cut: bool,
}

/// A record as the page gets it.
pub fn shown_record(record: Record) -> ShownRecord {
    let Record { partition, offset, timestamp_ms, key, value, headers } = record;
    ShownRecord {
        partition,
        offset,
        timestamp_ms,
        key: key.map(|key| shown(&key, SMALL_BYTES_MAX)),
        value: value.map(|value| shown(&value, VALUE_BYTES_MAX)),
        headers: headers
            .into_iter()
            .take(HEADERS_MAX)
            .map(|(name, value)| (name.chars().take(128).collect(), value.map(|value| shown(&value, SMALL_BYTES_MAX))))
            .collect(),
    }
}

fn shown(bytes: &[u8], bytes_max: usize) -> Shown {
    let cut = bytes.len() > bytes_max;
    let head = &bytes[..bytes.len().min(bytes_max)];
    let readable = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // A character may have been cut in two.
        Err(error) if cut && error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match readable.filter(|text| !text.contains('\0')) {
        Some(text) => {
            let structured = matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'['));
            let kind = if structured && !cut && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
                "json"
            } else {
                "text"
            };
            Shown { text: text.to_owned(), kind, bytes: bytes.len(), cut }
        }
        None => {
            let digits: Vec<String> = bytes.iter().take(HEX_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect();
            Shown { text: digits.join(" "), kind: "binary", bytes: bytes.len(), cut: bytes.len() > HEX_BYTES_MAX }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_apart() {
        assert_eq!(shown(b"{\"a\": 1}", 100).kind, "json");
        assert_eq!(shown(b"{a: 1}", 100).kind, "text");
        assert_eq!(shown(b"A002,R051", 100).text, "A002,R051");
        assert_eq!(
            shown(&[0xff, 0x00, 0x10], 100),
            Shown { text: "ff 00 10".to_owned(), kind: "binary", bytes: 3, cut: false }
        );
    }

    #[test]
    fn a_character_cut_in_two_does_not_make_text_binary() {
        let shown = shown("aaé".as_bytes(), 3);
        assert_eq!((shown.text.as_str(), shown.kind, shown.bytes, shown.cut), ("aa", "text", 4, true));
    }
}
