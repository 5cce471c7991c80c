//! Records as text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Format;
use crate::human::{self, styled};
use crate::record::{Shown, push_headers};

/// Widest key that others are aligned to.
const KEY_WIDTH_MAX: usize = 24;

/// Prints records in one format. A table's columns grow with what was printed.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    key_separator: Option<String>,
    colour: bool,
    width: Option<usize>,
    place_width: usize,
    key_width: usize,
}

impl Printer {
    /// `width`: where lines of a table are cut.
    pub fn new(format: Format, key_separator: Option<String>, colour: bool, width: Option<usize>) -> Printer {
        Printer { format, key_separator, colour, width, place_width: 0, key_width: 0 }
    }

    /// Aligns to a place from the first line on.
    pub fn expect_place(&mut self, topic: &str, partition: i32, offset: i64) {
        self.place_width = self.place_width.max(place(topic, partition, offset).width());
    }

    /// Aligns to a record's key from the first line on.
    pub fn expect_key(&mut self, key: &[u8]) {
        self.key_width = self.key_width.max(legible(key).width().min(KEY_WIDTH_MAX));
    }

    /// What stands before the first record.
    pub fn begin(&self, out: &mut Vec<u8>) {
        if self.format == Format::Csv {
            out.extend_from_slice(b"topic,partition,offset,timestamp,key,value,headers\n");
        }
    }

    /// Appends a record, with a line end.
    pub fn write(&mut self, out: &mut Vec<u8>, record: &Shown<'_>) {
        match self.format {
            Format::Json => record.write_json(out),
            Format::Raw => {
                if let Some(separator) = &self.key_separator {
                    out.extend_from_slice(record.key.unwrap_or_default());
                    out.extend_from_slice(separator.as_bytes());
                }
                out.extend_from_slice(record.value.unwrap_or_default());
            }
            Format::Csv => csv(out, record),
            Format::Table => {
                let line = self.line(record);
                out.extend_from_slice(line.as_bytes());
            }
        }
        out.push(b'\n');
    }

    fn line(&mut self, record: &Shown<'_>) -> String {
        let time = timestamp(record.timestamp, human::time);
        let place = place(record.topic, record.partition, record.offset);
        self.place_width = self.place_width.max(place.width());
        record.key.into_iter().for_each(|key| self.expect_key(key));
        let key = record.key.map(legible).unwrap_or_default();
        let pad = |text: &str, width: usize| " ".repeat(width.saturating_sub(text.width()));
        let value = match record.value {
            Some(value) => legible(value),
            None => "(tombstone)".to_owned(),
        };
        let mut headers = Vec::new();
        if !record.headers.is_empty() {
            push_headers(&mut headers, record.headers);
        }
        let headers = String::from_utf8_lossy(&headers);
        let mut pieces = vec![
            (time.clone(), "2"),
            (pad(&time, 23) + "  ", ""),
            (place.clone(), "36"),
            (pad(&place, self.place_width) + "  ", ""),
        ];
        if self.key_width > 0 {
            pieces.push((key.clone(), "1"));
            pieces.push((pad(&key, self.key_width) + "  ", ""));
        }
        pieces.push((value, if record.value.is_none() { "2" } else { "" }));
        if !headers.is_empty() {
            pieces.push((format!("  {headers}"), "2"));
        }
        self.cut(&pieces)
    }

    /// Puts pieces and their styles together, up to the width.
    fn cut(&self, pieces: &[(String, &str)]) -> String {
        let whole: usize = pieces.iter().map(|(text, _)| text.width()).sum();
        let mut left = self.width.filter(|width| whole > *width).map_or(usize::MAX, |width| width.saturating_sub(1));
        let is_cut = left < usize::MAX;
        let mut line = String::new();
        for (text, style) in pieces {
            let end = text
                .char_indices()
                .find(|(_, c)| {
                    let fits = c.width().unwrap_or(0) <= left;
                    left = left.saturating_sub(if fits { c.width().unwrap_or(0) } else { left });
                    !fits
                })
                .map_or(text.len(), |(at, _)| at);
            line.push_str(&styled(&text[..end], style, self.colour && !style.is_empty()));
        }
        if is_cut {
            line.push('…');
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

fn place(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}-{partition} @{offset}")
}

/// Nothing for -1, which stands for no time stamp.
fn timestamp(ms: i64, text: fn(i64) -> String) -> String {
    if ms == -1 { String::new() } else { text(ms) }
}

/// Text in which nothing moves the cursor; bytes that are no text as what they are.
fn legible(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let head: String = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        return format!(
            "({} of binary: {head}{})",
            human::count(bytes.len() as i64, "byte"),
            if bytes.len() > 16 { "…" } else { "" }
        );
    };
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Where key and value stand in a row.
const KEY: usize = 4;
const VALUE: usize = 5;

/// A row as RFC 4180 has it. A null is nothing, an empty text `""`; bytes that are no UTF-8 are replaced: json keeps them.
fn csv(out: &mut Vec<u8>, record: &Shown<'_>) {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let empty = [record.key, record.value].map(|field| field.is_some_and(<[u8]>::is_empty));
    let mut headers = Vec::new();
    if !record.headers.is_empty() {
        push_headers(&mut headers, record.headers);
    }
    let fields = [
        record.topic.to_owned(),
        record.partition.to_string(),
        record.offset.to_string(),
        timestamp(record.timestamp, human::iso),
        text(record.key),
        text(record.value),
        text(Some(&headers)),
    ];
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let is_empty_text = index == KEY && empty[0] || index == VALUE && empty[1];
        if is_empty_text || field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
            out.push(b'"');
            out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(field.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: Format, colour: bool, width: Option<usize>) -> String {
        let mut printer = Printer::new(format, (format == Format::Raw).then(|| "\t".to_owned()), colour, width);
        let mut out = Vec::new();
        printer.begin(&mut out);
        let record = |partition, offset, key: Option<&'static [u8]>, value: Option<&'static [u8]>| Shown {
            topic: "orders",
            partition,
            offset,
            timestamp: 1_700_000_000_123,
            key,
            value,
            headers: &[],
        };
        printer.write(&mut out, &record(0, 7, Some(b"a"), Some(b"{\"amount\": 12.5}")));
        printer.write(&mut out, &record(11, 1_234, Some("Zürich 東京".as_bytes()), Some(b"two\nlines, \"quoted\"")));
        printer.write(&mut out, &record(0, 8, Some(b"a"), None));
        printer.write(&mut out, &record(0, 9, None, Some(b"\x00\xff\x01")));
        let headers: &[(&str, Option<&[u8]>)] = &[("trace", Some(b"a1")), ("null", None)];
        printer.write(
            &mut out,
            &Shown { headers, ..record(1, 2, None, Some("a long value, 東京 and more of it".as_bytes())) },
        );
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn every_format_reads_well() {
        crate::golden::check("consume.txt", &print(Format::Table, false, None));
        crate::golden::check("consume-80-colour.txt", &print(Format::Table, true, Some(80)));
        crate::golden::check("consume.csv", &print(Format::Csv, false, None));
        crate::golden::check("consume.json", &print(Format::Json, false, None));
        assert!(print(Format::Raw, false, None).starts_with("a\t{\"amount\": 12.5}\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..120 {
            for line in print(Format::Table, false, Some(width)).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }
}
