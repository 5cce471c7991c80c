//! Java's properties files, as Kafka's `server.properties` is one.

use crate::BrokerError;

/// A setting and where it stands, for the error that it may cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Kafka's name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// File and line, or the option that brought it.
    pub place: String,
}

impl Setting {
    /// Reads `name=value`, as an option of a command line has it.
    ///
    /// # Errors
    /// There is no `=`, or nothing before it.
    pub fn parse(text: &str) -> Result<Self, BrokerError> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Setting {
                name: name.trim().to_string(),
                value: value.trim().to_string(),
                place: "--set".to_string(),
            }),
            _ => Err(BrokerError::InvalidConfig(format!("--set {text}: write name=value"))),
        }
    }
}

/// Reads a properties file: `name=value`, `name: value` or `name value` a line, `#` and `!` begin a comment, a backslash at the end goes on in
/// the next line. `origin` is the file's name.
///
/// # Errors
/// An escape that is none, with its line.
pub fn parse(text: &str, origin: &str) -> Result<Vec<Setting>, BrokerError> {
    let mut settings = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut line = first.to_string();
        while ends_open(&line) {
            line.pop();
            match lines.next() {
                Some((_, next)) => line.push_str(next.trim_start()),
                None => break,
            }
        }
        let place = format!("{origin}:{}", index + 1);
        let (name, value) = split(&line);
        let name = unescape(name, &place)?;
        let value = unescape(value, &place)?;
        settings.push(Setting { name, value: value.trim_end().to_string(), place });
    }
    Ok(settings)
}

/// An odd number of backslashes at the end: the last one escapes the line's end.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The name ends at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = !escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start();
    (&line[..end], rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str, place: &str) -> Result<String, BrokerError> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                let wrong = || BrokerError::InvalidConfig(format!("{place}: \\u{digits} is no character"));
                out.push(code.ok_or_else(wrong)?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# a comment\n! another\n\na=1\n b : two words \nc three\nlong=x,\\\n   y\nd\\=e=f\\\\\nu=\\u00e9\nempty=\n";
        let all = parse(text, "f").expect("a good file");
        let found: Vec<(&str, &str, &str)> =
            all.iter().map(|one| (one.name.as_str(), one.value.as_str(), one.place.as_str())).collect();
        assert_eq!(
            found,
            [
                ("a", "1", "f:4"),
                ("b", "two words", "f:5"),
                ("c", "three", "f:6"),
                ("long", "x,y", "f:7"),
                ("d=e", "f\\", "f:9"),
                ("u", "é", "f:10"),
                ("empty", "", "f:11"),
            ]
        );
        assert!(parse("a=\\uzzzz", "f").is_err());
    }

    #[test]
    fn an_option_is_a_name_and_a_value() {
        let one = Setting::parse("log.retention.ms=5").expect("a good one");
        assert_eq!((one.name.as_str(), one.value.as_str()), ("log.retention.ms", "5"));
        assert!(Setting::parse("log.retention.ms").is_err() && Setting::parse("=5").is_err());
    }
}
