//! Configuration under Kafka's own names: what there is, what it means, which values it takes.
//!
//! One table each for topics ([`topic::KEYS`]), groups ([`group::KEYS`]) and the broker ([`broker::KEYS`]); the file and the options of a start, DescribeConfigs, CreateTopics
//! and AlterConfigs all read them.

pub mod broker;
mod dynamic;
pub mod group;
pub mod listener;
pub mod properties;
pub mod topic;
pub(crate) mod without_effect;

pub use dynamic::{Dynamic, Settings};

/// Longest value: every version of every answer can carry it.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// The kind of a value, as DescribeConfigs names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit number, at least the one given.
    Int(i32),
    /// A 64-bit number, at least the one given.
    Long(i64),
    /// A number with a fraction.
    Double,
    /// A number from 0 to 1.
    Ratio,
    /// Free text.
    String,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Nothing but this.
    Exactly(&'static str),
    /// Any of these words, with commas between; an empty table takes any.
    List(&'static [&'static str]),
}

impl Kind {
    /// The number DescribeConfigs has for it (`ConfigDef.Type`, as `DescribeConfigsResponse` counts them).
    pub fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String | Kind::Choice(_) | Kind::Exactly(_) => 2,
            Kind::Int(_) => 3,
            Kind::Long(_) => 5,
            Kind::Double | Kind::Ratio => 6,
            Kind::List(_) => 7,
        }
    }

    /// `value` as it is kept and shown, if it is one of the kind: without spaces around its words, truth in small letters, as Kafka reads it.
    ///
    /// # Errors
    /// What would be one.
    pub fn check(self, value: &str) -> Result<String, String> {
        let value = value.trim();
        let whole = |least: i64, most: i64| match value.parse::<i64>() {
            Ok(number) if number < least => Err(format!("must be at least {least}")),
            Ok(number) if number > most => Err(format!("must be at most {most}")),
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err("must be a whole number".to_string()),
        };
        match self {
            Kind::Boolean => match value.to_ascii_lowercase() {
                truth if truth == "true" || truth == "false" => Ok(truth),
                _ => Err("must be true or false".to_string()),
            },
            Kind::Int(least) => whole(i64::from(least), i64::from(i32::MAX)),
            Kind::Long(least) => whole(least, i64::MAX),
            Kind::Double | Kind::Ratio => match value.parse::<f64>() {
                Ok(number) if self == Kind::Ratio && !(0.0..=1.0).contains(&number) => {
                    Err("must be from 0 to 1".to_string())
                }
                Ok(number) if number.is_finite() => Ok(value.to_string()),
                _ => Err("must be a number".to_string()),
            },
            Kind::String => Ok(value.to_string()),
            Kind::Choice(words) if words.contains(&value) => Ok(value.to_string()),
            Kind::Choice(words) => Err(format!("must be one of {}", words.join(", "))),
            Kind::Exactly(word) if value == word => Ok(value.to_string()),
            Kind::Exactly(word) => Err(format!("must be {word}")),
            Kind::List(_) if value.is_empty() => Ok(String::new()),
            Kind::List(words) => {
                let mut given: Vec<&str> = Vec::new();
                for word in value.split(',').map(str::trim) {
                    if !given.contains(&word) {
                        given.push(word);
                    }
                }
                match given.iter().find(|word| !words.is_empty() && !words.contains(word)) {
                    Some(word) => Err(format!("{word:?} is not one of {}", words.join(", "))),
                    None => Ok(given.join(",")),
                }
            }
        }
    }
}

/// The name in `names` that was probably meant by `name`, if one is near.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance; names from outside are cut so that the work stays small.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_held_against_their_kind() {
        assert!(Kind::Int(0).check("3000000000").is_err());
        assert!(Kind::Long(-1).check("-1").is_ok());
        assert!(Kind::Long(-1).check("-2").is_err());
        assert!(Kind::Boolean.check("yes").is_err());
        assert!(Kind::Ratio.check("1.5").is_err() && Kind::Ratio.check("NaN").is_err());
        assert!(Kind::List(&["delete", "compact"]).check("compact,delete").is_ok());
        assert!(Kind::List(&["delete", "compact"]).check("keep").is_err());
    }

    #[test]
    fn values_are_kept_in_one_form() {
        assert_eq!(Kind::Long(0).check(" 7000 ").as_deref(), Ok("7000"));
        assert_eq!(Kind::Boolean.check("TRUE").as_deref(), Ok("true"));
        assert_eq!(Kind::List(&["delete", "compact"]).check("delete , compact").as_deref(), Ok("delete,compact"));
        assert_eq!(Kind::List(&["delete", "compact"]).check("delete,delete").as_deref(), Ok("delete"));
        assert_eq!(Kind::List(&["delete", "compact"]).check("").as_deref(), Ok(""), "neither");
    }

    #[test]
    fn a_mistyped_name_finds_the_right_one() {
        let names = ["retention.ms", "retention.bytes", "segment.ms"];
        assert_eq!(nearest("retention.m", names.into_iter()), Some("retention.ms"));
        assert_eq!(nearest("colour", names.into_iter()), None);
    }
}
