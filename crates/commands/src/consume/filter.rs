//! Which records are printed.

use regex::bytes::Regex;

use super::Consume;
use crate::when::time_ms;

/// What a record must be like.
#[derive(Debug, Default)]
pub struct Filter {
    since_ms: Option<i64>,
    until_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Regex>,
}

impl Filter {
    /// What the flags say.
    pub fn new(args: &Consume, now_ms: i64) -> Result<Filter, String> {
        let time = |text: &Option<String>| text.as_deref().map(|text| time_ms(text, now_ms)).transpose();
        let regex = |text: &String| Regex::new(text).map_err(|error| format!("--grep: {error}"));
        Ok(Filter {
            since_ms: time(&args.since)?,
            until_ms: time(&args.until)?,
            key: args.key.as_ref().map(|key| key.clone().into_bytes()),
            value: args.grep.as_ref().map(regex).transpose()?,
        })
    }

    /// From when on, ms since 1970.
    pub fn since(&self) -> Option<i64> {
        self.since_ms
    }

    /// Whether a record is one of those. Times are held against each record: those of a producer need not be in order.
    pub fn wants(&self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        self.since_ms.is_none_or(|since| timestamp >= since)
            && self.until_ms.is_none_or(|until| timestamp < until)
            && self.key.as_deref().is_none_or(|wanted| key == Some(wanted))
            && self.value.as_ref().is_none_or(|regex| value.is_some_and(|value| regex.is_match(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_must_hold() {
        let filter = Filter {
            since_ms: Some(10),
            until_ms: Some(20),
            key: Some(b"k".to_vec()),
            value: Some(Regex::new("^a.c$").expect("legal")),
        };
        let (key, value) = (Some(&b"k"[..]), Some(&b"abc"[..]));
        assert!(filter.wants(10, key, value) && filter.wants(19, key, value));
        for (timestamp, key, value) in [
            (9, key, value),
            (20, key, value),
            (10, None, value),
            (10, Some(&b"kk"[..]), value),
            (10, key, None),
            (10, key, Some(&b"ab"[..])),
        ] {
            assert!(!filter.wants(timestamp, key, value));
        }
        assert!(Filter::default().wants(-1, None, None));
    }
}
