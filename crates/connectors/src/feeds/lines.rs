//! Lines of a file, and where the fields of a csv line are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// A line at most; longer ones are an error, not memory.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Lines of a file, one at a time, without their ends (`\n`; a `\r` stays, as it is part of what the file holds).
pub struct Lines {
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
}

/// Opens a file; gzip is told by its first bytes.
pub fn open_lines(path: &Path) -> io::Result<Lines> {
    let mut file = BufReader::with_capacity(128 << 10, File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn BufRead + Send> =
        if gzip { Box::new(BufReader::with_capacity(128 << 10, MultiGzDecoder::new(file))) } else { Box::new(file) };
    Ok(Lines { input, line: Vec::new() })
}

impl Lines {
    /// The next line.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if read as u64 == LINE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line is longer than {LINE_BYTES_MAX} bytes"),
            ));
        }
        Ok(Some(&self.line))
    }
}

/// Where the fields of a csv line are; quotes belong to their field.
pub fn csv_ranges(line: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut from, mut quoted) = (0, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                ranges.push(from..at);
                from = at + 1;
            }
            _ => {}
        }
    }
    let end = if line.ends_with(b"\r") { line.len() - 1 } else { line.len() };
    ranges.push(from..end.max(from));
    ranges
}

/// A field's text without its quotes.
pub fn unquote(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let text = text.trim();
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => text.to_owned(),
    }
}

/// The fields of a csv line.
pub fn csv_fields(line: &[u8]) -> Vec<String> {
    csv_ranges(line).into_iter().map(|range| unquote(&line[range])).collect()
}

/// Appends a csv field, quoted if it must be.
pub fn write_csv_field(text: &str, out: &mut Vec<u8>) {
    if text.contains([',', '"', '\n', '\r']) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_together() {
        assert_eq!(csv_fields(b"1,\"a, \"\"b\"\"\",,x\r"), ["1", "a, \"b\"", "", "x"]);
        assert_eq!(csv_fields(b""), [""]);
        let mut out = Vec::new();
        write_csv_field("a, \"b\"", &mut out);
        assert_eq!(out, b"\"a, \"\"b\"\"\"");
    }
}
