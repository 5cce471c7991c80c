//! A JSON text as a flat list of tokens, checked once; columns are then filled from it without reading the text again.
//! Lenient where Jackson is in Spark: texts in single quotes, `NaN` and the infinities.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    /// A name in an object; its value follows.
    Key,
    String,
    Integer,
    Float,
    /// `NaN`, `Infinity`, `-Infinity`, `+Infinity`, `INF`, …
    Special,
    True,
    False,
    Null,
}

/// A token: the bytes `start..end` of the text (of a string, without its quotes), and the place on the tape after it and all it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// The string has a backslash in it.
    pub(crate) escaped: bool,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) next: u32,
}

/// Jackson's limit of nesting.
const DEPTH_MAX: usize = 1000;

/// Reads texts into tokens; keeps its memory from one text to the next.
#[derive(Default)]
pub(crate) struct Tape {
    pub(crate) tokens: Vec<Token>,
    single_quotes: bool,
    non_numeric: bool,
}

impl Tape {
    pub(crate) fn new(single_quotes: bool, non_numeric: bool) -> Self {
        Self { tokens: Vec::new(), single_quotes, non_numeric }
    }

    /// Reads one value from the start of the text; gives where it ends, or where it stops making sense.
    /// A text without a value gives no tokens.
    pub(crate) fn read(&mut self, text: &str) -> Result<usize, usize> {
        self.tokens.clear();
        let bytes = text.as_bytes();
        if u32::try_from(bytes.len()).is_err() {
            return Err(0);
        }
        let at = blanks(bytes, 0);
        if at == bytes.len() {
            return Ok(at);
        }
        self.value(bytes, at, 0)
    }

    fn push(&mut self, kind: Kind, escaped: bool, start: usize, end: usize) {
        let next = self.tokens.len() as u32 + 1;
        self.tokens.push(Token { kind, escaped, start: start as u32, end: end as u32, next });
    }

    fn value(&mut self, bytes: &[u8], at: usize, depth: usize) -> Result<usize, usize> {
        match bytes.get(at) {
            Some(b'"') => self.string(bytes, at, Kind::String),
            Some(b'0'..=b'9' | b'-') => self.number(bytes, at),
            Some(b'{') => self.object(bytes, at, depth),
            Some(b'[') => self.array(bytes, at, depth),
            Some(b't') => self.word(bytes, at, b"true", Kind::True),
            Some(b'f') => self.word(bytes, at, b"false", Kind::False),
            Some(b'n') => self.word(bytes, at, b"null", Kind::Null),
            Some(b'\'') if self.single_quotes => self.string(bytes, at, Kind::String),
            Some(b'N') if self.non_numeric => self.word(bytes, at, b"NaN", Kind::Special),
            Some(b'I' | b'+') if self.non_numeric => self.infinity(bytes, at),
            _ => Err(at),
        }
    }

    fn infinity(&mut self, bytes: &[u8], at: usize) -> Result<usize, usize> {
        for name in [b"Infinity".as_slice(), b"+Infinity", b"-Infinity", b"INF", b"+INF", b"-INF"] {
            if bytes[at..].starts_with(name) {
                return self.word(bytes, at, name, Kind::Special);
            }
        }
        Err(at)
    }

    fn word(&mut self, bytes: &[u8], at: usize, word: &[u8], kind: Kind) -> Result<usize, usize> {
        let end = at + word.len();
        if !bytes[at..].starts_with(word) || bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
            return Err(at);
        }
        self.push(kind, false, at, end);
        Ok(end)
    }

    #[inline]
    fn string(&mut self, bytes: &[u8], at: usize, kind: Kind) -> Result<usize, usize> {
        let quote = bytes[at];
        let start = at + 1;
        let mut from = start;
        let mut escaped = false;
        loop {
            let rest = bytes.get(from..).ok_or(bytes.len())?;
            // Most strings are short: a plain loop beats a call for them.
            let len = rest.iter().position(|b| *b == quote || *b == b'\\' || *b < 0x20).ok_or(bytes.len())?;
            let end = from + len;
            match bytes[end] {
                b'\\' => {
                    escaped = true;
                    from = match bytes.get(end + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => end + 2,
                        Some(b'\'') if self.single_quotes => end + 2,
                        Some(b'u')
                            if bytes.get(end + 2..end + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
                        {
                            end + 6
                        }
                        _ => return Err(end),
                    };
                }
                b if b == quote => {
                    self.push(kind, escaped, start, end);
                    return Ok(end + 1);
                }
                // A bare control character.
                _ => return Err(end),
            }
        }
    }

    #[inline]
    fn number(&mut self, bytes: &[u8], start: usize) -> Result<usize, usize> {
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let whole = start + usize::from(bytes[start] == b'-');
        if bytes.get(whole) == Some(&b'I') && self.non_numeric {
            return self.infinity(bytes, start);
        }
        let mut end = digits(whole);
        if end == whole || (bytes[whole] == b'0' && end > whole + 1) {
            return Err(whole);
        }
        let mut kind = Kind::Integer;
        if bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            end = digits(fraction);
            if end == fraction {
                return Err(end);
            }
            kind = Kind::Float;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let mut exponent = end + 1;
            if matches!(bytes.get(exponent), Some(b'+' | b'-')) {
                exponent += 1;
            }
            end = digits(exponent);
            if end == exponent {
                return Err(end);
            }
            kind = Kind::Float;
        }
        if !matches!(bytes.get(end), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b'}' | b']' | b'/')) {
            return Err(end);
        }
        self.push(kind, false, start, end);
        Ok(end)
    }

    fn open(&mut self, kind: Kind, at: usize, depth: usize) -> Result<usize, usize> {
        if depth >= DEPTH_MAX {
            return Err(at);
        }
        self.push(kind, false, at, at);
        Ok(self.tokens.len() - 1)
    }

    fn close(&mut self, opened: usize, end: usize) -> usize {
        let next = self.tokens.len() as u32;
        let token = &mut self.tokens[opened];
        token.end = end as u32;
        token.next = next;
        end
    }

    fn object(&mut self, bytes: &[u8], at: usize, depth: usize) -> Result<usize, usize> {
        let opened = self.open(Kind::Object, at, depth)?;
        let mut at = blanks(bytes, at + 1);
        if bytes.get(at) == Some(&b'}') {
            return Ok(self.close(opened, at + 1));
        }
        loop {
            at = match bytes.get(at) {
                Some(b'"') => self.string(bytes, at, Kind::Key)?,
                Some(b'\'') if self.single_quotes => self.string(bytes, at, Kind::Key)?,
                _ => return Err(at),
            };
            at = blanks(bytes, at);
            if bytes.get(at) != Some(&b':') {
                return Err(at);
            }
            at = self.value(bytes, blanks(bytes, at + 1), depth + 1)?;
            at = blanks(bytes, at);
            match bytes.get(at) {
                Some(b',') => at = blanks(bytes, at + 1),
                Some(b'}') => return Ok(self.close(opened, at + 1)),
                _ => return Err(at),
            }
        }
    }

    fn array(&mut self, bytes: &[u8], at: usize, depth: usize) -> Result<usize, usize> {
        let opened = self.open(Kind::Array, at, depth)?;
        let mut at = blanks(bytes, at + 1);
        if bytes.get(at) == Some(&b']') {
            return Ok(self.close(opened, at + 1));
        }
        loop {
            at = self.value(bytes, at, depth + 1)?;
            at = blanks(bytes, at);
            match bytes.get(at) {
                Some(b',') => at = blanks(bytes, at + 1),
                Some(b']') => return Ok(self.close(opened, at + 1)),
                _ => return Err(at),
            }
        }
    }
}

#[inline]
pub(crate) fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Appends the text that a string with backslashes stands for. Half of a surrogate pair becomes U+FFFD.
pub(crate) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or("");
        match code {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = |text: &str| text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
                let first = unit(rest).unwrap_or(0xfffd);
                rest = rest.get(4..).unwrap_or("");
                let second = rest.strip_prefix("\\u").and_then(unit);
                match (first, second) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                        let code = 0x10000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
                        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                        rest = &rest[6..];
                    }
                    _ => out.push(char::from_u32(u32::from(first)).unwrap_or('\u{fffd}')),
                }
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_holds_what_the_text_says() {
        let mut tape = Tape::new(true, true);
        let text = r#" {"a": [1, -2.5e3, {"b": "x\"y"}], 'c': null, "d": NaN, "e": -Infinity} tail"#;
        let end = tape.read(text).unwrap();
        assert_eq!(&text[end..], " tail");
        let kinds: Vec<Kind> = tape.tokens.iter().map(|t| t.kind).collect();
        use Kind::*;
        assert_eq!(
            kinds,
            [Object, Key, Array, Integer, Float, Object, Key, String, Key, Null, Key, Special, Key, Special]
        );
        assert_eq!(tape.tokens[2].next, 8);
        let mut out = std::string::String::new();
        unescape(r"x\u00e9\uD83D\uDE00\n", &mut out);
        assert_eq!(out, "xé😀\n");
    }

    #[test]
    fn bad_texts_are_refused() {
        let mut tape = Tape::new(true, true);
        for bad in [
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            "+1",
            "tru",
            "\"\\x\"",
            "\"a\nb\"",
            "x",
            "-",
            "1x",
        ] {
            assert!(tape.read(bad).is_err(), "{bad}");
        }
        assert!(tape.read(&"[".repeat(100_000)).is_err());
        assert_eq!(tape.read("  "), Ok(2));
    }
}
