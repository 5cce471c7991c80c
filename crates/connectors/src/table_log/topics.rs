//! The internal topics of tables and flows: names and configurations.

use crate::embedded::TopicSpec;

/// Topic of a table's rows.
pub fn table_topic(table: &str) -> String {
    format!("__millstream.table.{table}")
}

/// Topic of a flow's progress.
pub fn flow_topic(flow: &str) -> String {
    format!("__millstream.flow.{flow}")
}

/// Bytes of a segment of a table's log: pruning frees whole segments.
const TABLE_SEGMENT_BYTES: u64 = 32 << 20;
/// Bytes of a segment of progress records.
const FLOW_SEGMENT_BYTES: u64 = 1 << 20;
/// Bytes of a record batch at most: one row may be as large as a large Kafka record.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;

fn internal(segment_bytes: u64) -> TopicSpec {
    // Followers and flows say when records may go; time and size alone never do.
    let configs = [
        ("segment.bytes", segment_bytes.to_string()),
        ("max.message.bytes", MESSAGE_BYTES_MAX.to_string()),
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        ("cleanup.policy", "delete".to_owned()),
    ];
    TopicSpec { partitions: 1, configs: configs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }
}

/// How a table's topic is made.
pub fn table_spec() -> TopicSpec {
    internal(TABLE_SEGMENT_BYTES)
}

/// How a topic of progress records is made.
pub fn flow_spec() -> TopicSpec {
    internal(FLOW_SEGMENT_BYTES)
}
