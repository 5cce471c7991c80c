//! Lines of a text file, as Hadoop cuts them: at `\n`, `\r\n` and `\r`, or at one separator that is given.

use std::io::{self, BufRead};

/// A longer line is an error: it would be held in memory whole.
const LINE_BYTES_MAX: usize = 256 << 20;

/// Reads lines without their ends.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    separator: Option<Vec<u8>>,
    /// The last line ended in `\r`: a `\n` that follows belongs to it.
    after_cr: bool,
    at_start: bool,
}

impl<R: BufRead> Lines<R> {
    /// Lines of an input; with a separator (`lineSep`) they end there only. A byte order mark at the start is left out.
    pub fn new(input: R, separator: Option<&str>) -> Self {
        let separator = separator.map(|s| s.as_bytes().to_vec());
        Self { input, separator, after_cr: false, at_start: true }
    }

    /// Puts the next line into `line` (cleared first); `false` at the end of the input.
    pub fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let found = self.read(line)?;
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(found)
    }

    fn read(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        let mut any = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(any);
            }
            if std::mem::take(&mut self.after_cr) && available[0] == b'\n' {
                self.input.consume(1);
                continue;
            }
            any = true;
            let end = match &self.separator {
                None => memchr::memchr2(b'\n', b'\r', available),
                Some(separator) => memchr::memchr(separator[separator.len() - 1], available),
            };
            let Some(end) = end else {
                let len = available.len();
                line.extend_from_slice(available);
                self.input.consume(len);
                if line.len() > LINE_BYTES_MAX {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("a line is longer than {} MiB; is this a text file?", LINE_BYTES_MAX >> 20),
                    ));
                }
                continue;
            };
            line.extend_from_slice(&available[..end]);
            match &self.separator {
                None => {
                    self.after_cr = available[end] == b'\r';
                    self.input.consume(end + 1);
                    return Ok(true);
                }
                Some(separator) => {
                    let last = available[end];
                    self.input.consume(end + 1);
                    let head = &separator[..separator.len() - 1];
                    if line.ends_with(head) {
                        line.truncate(line.len() - head.len());
                        return Ok(true);
                    }
                    line.push(last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(text: &str, separator: Option<&str>) -> Vec<String> {
        // A buffer of three bytes, so that ends fall on its edges.
        let mut lines = Lines::new(BufReader::with_capacity(3, text.as_bytes()), separator);
        let (mut line, mut out) = (Vec::new(), Vec::new());
        while lines.next_line(&mut line).unwrap() {
            out.push(String::from_utf8(line.clone()).unwrap());
        }
        out
    }

    #[test]
    fn lines_end_as_hadoop_ends_them() {
        assert_eq!(all("a\r\nbcd\n\ne", None), ["a", "bcd", "", "e"]);
        assert_eq!(all("ab\r\ncd\rx\n", None), ["ab", "cd", "x"]);
        assert_eq!(all("\u{feff}a\n", None), ["a"]);
        assert_eq!(all("a;b\nc;;", Some(";")), ["a", "b\nc", ""]);
        assert_eq!(all("a--b-c--", Some("--")), ["a", "b-c"]);
        assert!(all("", None).is_empty());
    }
}
