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
            Kind::Double => 6,
            Kind::List(_) => 7,
        }
    }

    /// Whether `value` is one of the kind; the error says what would be.
    pub fn check(self, value: &str) -> Result<(), String> {
        let number = |least: i64| match value.trim().parse::<i64>() {
            Ok(number) if number >= least => Ok(number),
            Ok(_) => Err(format!("must be at least {least}")),
            Err(_) => Err("must be a whole number".to_string()),
        };
        match self {
            Kind::Boolean if value == "true" || value == "false" => Ok(()),
            Kind::Boolean => Err("must be true or false".to_string()),
            Kind::Int(least) => match number(i64::from(least))? {
                value if value <= i64::from(i32::MAX) => Ok(()),
                _ => Err(format!("must be at most {}", i32::MAX)),
            },
            Kind::Long(least) => number(least).map(|_| ()),
            Kind::Double => match value.trim().parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(()),
                _ => Err("must be a number".to_string()),
            },
            Kind::String => Ok(()),
            Kind::Choice(words) if words.contains(&value) => Ok(()),
            Kind::Choice(words) => Err(format!("must be one of {}", words.join(", "))),
            Kind::Exactly(word) if value.trim() == word => Ok(()),
            Kind::Exactly(word) => Err(format!("must be {word}")),
            Kind::List([]) => Ok(()),
            Kind::List(words) => match value.split(',').map(str::trim).find(|word| !words.contains(word)) {
                Some(word) => Err(format!("{word:?} is not one of {}", words.join(", "))),
                None => Ok(()),
            },
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
        assert!(Kind::List(&["delete", "compact"]).check("compact,delete").is_ok());
        assert!(Kind::List(&["delete", "compact"]).check("keep").is_err());
    }

    #[test]
    fn a_mistyped_name_finds_the_right_one() {
        let names = ["retention.ms", "retention.bytes", "segment.ms"];
        assert_eq!(nearest("retention.m", names.into_iter()), Some("retention.ms"));
        assert_eq!(nearest("colour", names.into_iter()), None);
    }
}
