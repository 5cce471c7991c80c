//! `/metrics`: the pipeline's totals in Prometheus' text format, before the backend's own. Names are stable; to add one, add a line here and
//! one in `docs/metrics.md`.

use std::fmt::Write;

use crate::model::{FlowInfo, FlowStatus, Overview, TableInfo};

type Gauge<T> = (&'static str, &'static str, &'static str, fn(&T) -> Option<f64>);

const FLOWS: [Gauge<FlowInfo>; 10] = [
    ("millstream_flow_rows_in_total", "counter", "Rows read from sources.", |f| Some(f.rows_in as f64)),
    ("millstream_flow_rows_out_total", "counter", "Rows appended to the table.", |f| Some(f.rows_out as f64)),
    ("millstream_flow_late_rows_total", "counter", "Rows the watermark had passed.", |f| Some(f.late as f64)),
    ("millstream_flow_dead_rows_total", "counter", "Rows taken out into the dead letters.", |f| Some(f.dead as f64)),
    ("millstream_flow_epoch", "gauge", "Last committed epoch.", |f| Some(f.epoch as f64)),
    ("millstream_flow_lag_records", "gauge", "Records not yet read.", |f| f.lag.map(|lag| lag as f64)),
    ("millstream_flow_watermark_seconds", "gauge", "Watermark, seconds since 1970.", |f| {
        f.watermark_us.map(|us| us as f64 / 1e6)
    }),
    ("millstream_flow_state_rows", "gauge", "Rows held in state.", |f| Some(f.state_rows as f64)),
    ("millstream_flow_state_bytes", "gauge", "Bytes held in state.", |f| Some(f.state_bytes as f64)),
    ("millstream_flow_healthy", "gauge", "1 unless the flow waits or failed.", |f| {
        Some(f64::from(u8::from(!matches!(f.status, FlowStatus::Waiting | FlowStatus::Failed))))
    }),
];

const TABLES: [Gauge<TableInfo>; 2] = [
    ("millstream_table_rows_total", "counter", "Rows since the table began.", |t| Some(t.rows_total as f64)),
    ("millstream_table_files", "gauge", "Files written.", |t| Some(t.files as f64)),
];

/// The page of metrics.
pub fn render(overview: &Overview) -> String {
    let mut page = String::new();
    let mut alone = |name: &str, kind: &str, help: &str, labels: &str, value: f64| {
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}");
    };
    let version = format!("{{version=\"{}\"}}", escaped(&overview.version));
    alone("millstream_info", "gauge", "What runs.", &version, 1.0);
    alone("millstream_start_time_seconds", "gauge", "When it started.", "", overview.started_at_ms as f64 / 1e3);
    alone("millstream_memory_bytes", "gauge", "Resident memory.", "", overview.memory_bytes as f64);
    if let Some(bytes) = overview.data_bytes {
        alone("millstream_data_bytes", "gauge", "Bytes of the log on disk.", "", bytes as f64);
    }
    family(&mut page, "flow", &overview.flows, |flow| &flow.name, &FLOWS);
    family(&mut page, "table", &overview.tables, |table| &table.name, &TABLES);
    page
}

fn family<T>(page: &mut String, label: &str, things: &[T], name_of: fn(&T) -> &String, gauges: &[Gauge<T>]) {
    for (name, kind, help, value_of) in gauges {
        let mut values = things.iter().filter_map(|thing| Some((name_of(thing), value_of(thing)?))).peekable();
        if values.peek().is_some() {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        for (thing, value) in values {
            let _ = writeln!(page, "{name}{{{label}=\"{}\"}} {value}", escaped(thing));
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_prometheus_reads() {
        let flow =
            FlowInfo { name: "odd\"name".to_owned(), rows_in: 7, watermark_us: Some(1_500_000), ..FlowInfo::default() };
        let page = render(&Overview { flows: vec![flow], ..Overview::default() });
        assert!(page.contains(
            "# TYPE millstream_flow_rows_in_total counter\nmillstream_flow_rows_in_total{flow=\"odd\\\"name\"} 7\n"
        ));
        assert!(page.contains("millstream_flow_watermark_seconds{flow=\"odd\\\"name\"} 1.5\n"));
        assert!(!page.contains("millstream_flow_lag_records"), "what is not known is not there");
        assert!(!page.contains("millstream_table"));
    }
}
