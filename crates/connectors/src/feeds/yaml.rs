//! Reading YAML so that a slip of the pen is named, with its place and with what was probably meant.

use serde::de::DeserializeOwned;

/// Reads `text`; the error names line and column, and for an unknown key the nearest known one.
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| with_suggestion(&error.to_string()))
}

/// The message says "unknown field `x`, expected one of a, b"; this adds which of them is meant.
fn with_suggestion(message: &str) -> String {
    let unknown = message.lines().find_map(|line| {
        let (_, rest) = line.split_once("unknown field `").or_else(|| line.split_once("unknown variant `"))?;
        let (wrong, rest) = rest.split_once('`')?;
        let (_, known) = rest.split_once("expected ")?;
        Some((wrong, known.trim_start_matches("one of ")))
    });
    let meant = unknown.and_then(|(wrong, known)| nearest(wrong, known.split(',').map(|k| k.trim().trim_matches('`'))));
    match meant {
        Some(meant) => format!("{message}\nhelp: did you mean `{meant}`?"),
        None => message.to_owned(),
    }
}

/// The name that is nearest to `wrong`, if it is near at all.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        assert_eq!(nearest("sped", ["rate", "speed", "start"]), Some("speed"));
        assert_eq!(nearest("quite another", ["seed", "speed"]), None);
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Some {
            speed: f64,
            topic: String,
        }
        let error = from_yaml::<Some>("topic: a\nsped: 3\n").unwrap_err();
        assert!(error.contains("did you mean `speed`"), "{error}");
        assert!(error.contains('2'), "the line: {error}");
    }
}
