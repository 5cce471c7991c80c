//! What must differ between two brokers, and why. Everything else is compared as it came.

/// How a field is made comparable.
#[derive(Clone, Copy)]
enum How {
    /// Only whether there is a value: `null`, empty, 0 and -1 are none.
    Presence,
    /// Only whether there is a text: an empty one says as little as `null`.
    Words,
    /// Numbers within a day of now are `now`.
    Now,
}

struct Rule {
    /// The API, or `*`.
    api: &'static str,
    field: &'static str,
    how: How,
    /// Why the values differ.
    #[allow(dead_code, reason = "it is read by people")]
    why: &'static str,
}

const fn rule(api: &'static str, field: &'static str, how: How, why: &'static str) -> Rule {
    Rule { api, field, how, why }
}

const RULES: &[Rule] = &[
    rule("*", "error_message", How::Words, "each broker has its own words"),
    rule("*", "batch_index_error_message", How::Words, "each broker has its own words"),
    rule("*", "documentation", How::Words, "each broker has its own words"),
    rule("*", "host", How::Presence, "addresses are the brokers' own"),
    rule("*", "port", How::Presence, "addresses are the brokers' own"),
    rule("*", "cluster_id", How::Presence, "made by chance when the data folder is made"),
    rule("*", "producer_id", How::Presence, "numbers are given out in the order in which a broker is asked"),
    rule("*", "member_id", How::Presence, "made by chance"),
    rule("*", "topic_id", How::Presence, "made by chance; where it matters, scripts give ids a name"),
    rule("*", "leader", How::Presence, "a member's id"),
    rule("*", "session_id", How::Presence, "made by chance"),
    rule("*", "log_append_time_ms", How::Now, "a time"),
    rule("*", "timestamp", How::Now, "a time, where the broker gave it"),
    rule("*", "base_timestamp", How::Now, "a time, where the broker gave it"),
    rule("*", "max_timestamp", How::Now, "a time, where the broker gave it"),
    rule("*", "last_timestamp", How::Now, "a time, where the broker gave it"),
    rule("*", "transaction_start_time_ms", How::Now, "a time"),
    rule("*", "log_dir", How::Presence, "a folder"),
    rule("*", "partition_size", How::Presence, "each log has its own files"),
    rule("*", "total_bytes", How::Presence, "the disk changes meanwhile"),
    rule("*", "usable_bytes", How::Presence, "the disk changes meanwhile"),
    rule("*", "finalized_features_epoch", How::Presence, "the offset of a record of the metadata log"),
    rule("DescribeQuorum", "leader_epoch", How::Presence, "counts starts"),
    rule("DescribeQuorum", "high_watermark", How::Presence, "each metadata log has its own records"),
    rule("DescribeQuorum", "log_end_offset", How::Presence, "each metadata log has its own records"),
    rule("DescribeQuorum", "last_fetch_timestamp", How::Now, "a time"),
    rule("DescribeQuorum", "last_caught_up_timestamp", How::Now, "a time"),
    rule("DescribeQuorum", "replica_directory_id", How::Presence, "made by chance"),
];

const DAY_MS: i64 = 86_400_000;

/// The value of a field, comparable.
pub fn normal(api: &str, field: &str, value: String, now_ms: i64) -> String {
    let Some(rule) = RULES.iter().find(|rule| rule.field == field && (rule.api == "*" || rule.api == api)) else {
        return value;
    };
    match rule.how {
        How::Words if matches!(value.as_str(), "None" | "\"\"") => "none".to_owned(),
        How::Presence if matches!(value.as_str(), "None" | "\"\"" | "0" | "-1" | crate::side::NIL) => value,
        How::Presence | How::Words => "some".to_owned(),
        How::Now => match value.parse::<i64>() {
            Ok(time) if (time - now_ms).abs() < DAY_MS => "now".to_owned(),
            _ => value,
        },
    }
}
