//! The page over made-up data, to design it without an engine: `cargo run -p millstream-console --example demo -- [PORT] [empty|fresh|waiting]`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use millstream_console::{
    Backend, BackendError, Column, ConsoleOptions, FlowInfo, FlowStatus, Overview, Problem, Record, Rows, StepInfo,
    TableInfo, TopicInfo,
};
use serde_json::{Value, json};

const STATIONS: [&str; 24] = [
    "34 ST-PENN STA",
    "GRD CNTRL-42 ST",
    "34 ST-HERALD SQ",
    "23 ST",
    "TIMES SQ-42 ST",
    "14 ST-UNION SQ",
    "FULTON ST",
    "86 ST",
    "42 ST-PORT AUTH",
    "125 ST",
    "CANAL ST",
    "59 ST COLUMBUS",
    "59 ST",
    "96 ST",
    "CHAMBERS ST",
    "14 ST",
    "72 ST",
    "FLUSHING-MAIN",
    "BEDFORD AV",
    "JKSN HT-ROOSVLT",
    "ATL AV-BARCLAY",
    "JAY ST-METROTEC",
    "SPRING ST",
    "ASTORIA DITMARS",
];
/// Event time that passes in a second.
const FULL: &str = "the disk of turnstiles/.millstream is full (12 KiB free); free some space, it goes on by itself";
const SPEED: f64 = 1_200.0;
const WINDOW_MS: i64 = 4 * 3_600_000;
const BASE_MS: i64 = 1_685_750_400_000;

struct Demo {
    mode: String,
    address: String,
    started: Instant,
    started_at_ms: i64,
    state: parking_lot::Mutex<State>,
}

#[derive(Default)]
struct State {
    until: f64,
    seed: u64,
    records: VecDeque<Record>,
    produced: u64,
    bytes: u64,
    late: u64,
    dead: VecDeque<Record>,
    dead_total: u64,
    traffic: VecDeque<Vec<Value>>,
    traffic_total: u64,
    fives: VecDeque<Vec<Value>>,
    fives_total: u64,
    window: i64,
    five: i64,
}

impl State {
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    fn advance(&mut self, now: f64) {
        while self.until < now {
            self.until += 0.1;
            let event_ms = BASE_MS + (self.until * SPEED * 1_000.0) as i64;
            let wave = 1.0 + 0.35 * (self.until / 9.0).sin() + 0.15 * (self.until / 2.3).sin();
            let count = (74.0 * wave + 14.0 * self.chance()) as u64;
            self.produced += count;
            self.bytes += count * 92;
            for nth in 0..count.min(12) {
                let record = self.record(event_ms, nth);
                keep(&mut self.records, record, 500);
            }
            if self.chance() < 0.06 {
                self.late += 1 + (self.chance() * 4.0) as u64;
            }
            if self.chance() < 0.012 {
                self.dead_total += 1;
                let offset = self.dead_total as i64;
                let at = self.produced.to_string().into_bytes();
                let record = Record {
                    partition: 0,
                    offset,
                    timestamp_ms: now_ms(),
                    key: Some(b"A002".to_vec()),
                    value: Some(b"A002,R051,02-00-00,59 ST,NQR456W,BMT,06/03/2023,8:0x:00,REGULAR,,2731".to_vec()),
                    headers: vec![
                        ("flow".to_owned(), Some(b"station_traffic".to_vec())),
                        ("error.class".to_owned(), Some(b"CAST_INVALID_INPUT".to_vec())),
                        ("message".to_owned(), Some("'' cannot be cast to BIGINT in column ENTRIES".into())),
                        ("source.topic".to_owned(), Some(b"mta-turnstile".to_vec())),
                        ("source.offset".to_owned(), Some(at)),
                    ],
                };
                keep(&mut self.dead, record, 200);
            }
            while self.window * WINDOW_MS + BASE_MS + WINDOW_MS + 600_000 < event_ms {
                self.close_window(self.window);
                self.window += 1;
            }
            while self.five * 300_000 + BASE_MS + 900_000 < event_ms {
                let start = BASE_MS + self.five * 300_000;
                for _ in 0..4 {
                    let at = (self.chance() * 24.0) as usize;
                    let scp = format!("02-0{}-00", (self.chance() * 6.0) as u32);
                    let hour = (start / 3_600_000).rem_euclid(24) as f64;
                    let busy = (0.25 + (hour / 24.0 * std::f64::consts::PI).sin()) * 900.0 / (1.0 + at as f64 * 0.2);
                    let (entries, exits) =
                        ((busy * (0.8 + 0.4 * self.chance())) as i64, (busy * (0.5 + 0.4 * self.chance())) as i64);
                    let row = vec![
                        json!(stamp(start)),
                        json!(stamp(start + 300_000)),
                        json!(format!("A{:03}", at * 7 + 2)),
                        json!(format!("R{:03}", 51 + at)),
                        json!(scp),
                        json!(STATIONS[at]),
                        json!("NQR456W"),
                        json!("BMT"),
                        json!("06/03/2023"),
                        json!("REGULAR"),
                        json!(entries),
                        json!(exits),
                    ];
                    keep_rows(&mut self.fives, row);
                    self.fives_total += 1;
                }
                self.five += 1;
            }
        }
    }

    fn close_window(&mut self, window: i64) {
        let start = BASE_MS + window * WINDOW_MS;
        let shape = [0.12, 0.55, 1.0, 0.9, 1.15, 0.5][(window % 6) as usize];
        for (rank, station) in STATIONS.iter().enumerate() {
            let size = 52_000.0 / (1.0 + rank as f64 * 0.42) * shape * (0.86 + 0.28 * self.chance());
            let exits = (size * (0.7 + 0.2 * self.chance())) as i64;
            let row = vec![
                json!(stamp(start)),
                json!(stamp(start + WINDOW_MS)),
                json!(station),
                json!(24 + rank as i64 * 2),
                json!(size as i64),
                json!(exits),
            ];
            keep_rows(&mut self.traffic, row);
            self.traffic_total += 1;
        }
    }

    fn record(&mut self, event_ms: i64, nth: u64) -> Record {
        let at = (self.chance() * 24.0) as usize;
        let time = stamp(event_ms);
        let (date, clock) = time.split_at(10);
        let value = format!(
            "A{:03},R{:03},02-0{}-00,{},NQR456W,BMT,{}/{}/{},{},REGULAR,{},{}",
            at * 7 + 2,
            51 + at,
            (self.chance() * 6.0) as u32,
            STATIONS[at],
            &date[5..7],
            &date[8..10],
            &date[0..4],
            clock.trim(),
            7_800_000 + (self.chance() * 90_000.0) as u64,
            2_700_000 + (self.chance() * 50_000.0) as u64,
        );
        Record {
            partition: (at % 3) as i32,
            offset: (self.produced + nth * 3) as i64 / 3,
            timestamp_ms: now_ms(),
            key: Some(format!("A{:03}", at * 7 + 2).into_bytes()),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
        }
    }
}

fn keep(ring: &mut VecDeque<Record>, record: Record, most: usize) {
    ring.push_front(record);
    ring.truncate(most);
}

fn keep_rows(ring: &mut VecDeque<Vec<Value>>, row: Vec<Value>) {
    ring.push_front(row);
    ring.truncate(5_000);
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn stamp(ms: i64) -> String {
    let days = ms.div_euclid(86_400_000);
    let second = ms.rem_euclid(86_400_000) / 1_000;
    // Good enough for the few months from June 2023 on that a demo lives.
    let mut day = days - 19_509;
    let mut month = 6;
    for length in [30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("2023-{month:02}-{:02} {:02}:{:02}:{:02}", day + 1, second / 3600, second / 60 % 60, second % 60)
}

fn columns(list: &[(&str, &str)]) -> Vec<Column> {
    list.iter()
        .map(|(name, data_type)| Column { name: (*name).to_owned(), data_type: (*data_type).to_owned() })
        .collect()
}

fn traffic_columns() -> Vec<Column> {
    columns(&[
        ("start", "timestamp"),
        ("end", "timestamp"),
        ("station", "string"),
        ("audits", "bigint"),
        ("entries", "bigint"),
        ("exits", "bigint"),
    ])
}

fn five_columns() -> Vec<Column> {
    columns(&[
        ("start", "timestamp"),
        ("end", "timestamp"),
        ("C/A", "string"),
        ("UNIT", "string"),
        ("SCP", "string"),
        ("STATION", "string"),
        ("LINENAME", "string"),
        ("DIVISION", "string"),
        ("DATE", "string"),
        ("DESC", "string"),
        ("ENTRIES", "bigint"),
        ("EXITS", "bigint"),
    ])
}

impl Demo {
    fn elapsed(&self) -> f64 {
        // Some windows are there from the start.
        let ahead = if self.mode == "fresh" { 0.0 } else { 250.0 };
        self.started.elapsed().as_secs_f64() + ahead
    }

    fn empty(&self) -> bool {
        self.mode == "empty"
    }
}

#[async_trait]
impl Backend for Demo {
    fn overview(&self) -> Overview {
        let mut state = self.state.lock();
        let now = self.elapsed();
        state.advance(now);
        let waiting = self.mode == "waiting" && (self.started.elapsed().as_secs() / 20) % 2 == 1;
        let event_us = BASE_MS * 1_000 + (now * SPEED * 1e6) as i64;
        let produced = state.produced;
        let mut overview = Overview {
            started_at_ms: self.started_at_ms,
            project: Some("turnstiles".to_owned()),
            kafka_address: "127.0.0.1:9092".to_owned(),
            http_address: self.address.clone(),
            data_dir: "turnstiles/.millstream".to_owned(),
            data_bytes: Some(38_400_000 + state.bytes % 25_000_000),
            free_bytes: Some(78_000_000_000),
            memory_bytes: 44_000_000 + (now as u64 * 37_000) % 6_000_000,
            ..Overview::default()
        };
        if self.empty() {
            overview.project = None;
            overview.data_dir = ".millstream".to_owned();
            overview.memory_bytes = 21_400_000;
            if self.started.elapsed().as_secs() >= 12 {
                let total = (self.started.elapsed().as_secs() - 11) * 3;
                overview.topics.push(topic("hello", 1, total, total * 31));
            }
            return overview;
        }
        let mut source = topic("mta-turnstile", 3, produced, state.bytes);
        source.records_kept = produced.min(400_000);
        source.feed = Some("replay turnstiles.csv.gz at 1,200×, looping".to_owned());
        let mut dead = topic("turnstiles.dead-letters", 1, state.dead_total, state.dead_total * 240);
        dead.dead_letters = true;
        let mut table_log =
            topic("__millstream.table.station_traffic", 1, state.traffic_total / 24, state.traffic_total * 40);
        table_log.internal = true;
        let busy = topic("busy-stations", 1, state.traffic_total / 6, state.traffic_total * 20);
        overview.topics = vec![source, busy, dead, table_log];
        let filtered = produced * 96 / 100;
        let watermark_us = Some(event_us - 600_000_000);
        let step = |id: &str, kind: &str, label: &str, input: &str, rows_in: u64, rows_out: u64| StepInfo {
            id: id.to_owned(),
            kind: kind.to_owned(),
            label: label.to_owned(),
            inputs: vec![input.to_owned()],
            rows_in,
            rows_out,
            ..StepInfo::default()
        };
        let mut decode = step(
            "decode",
            "decode",
            "from_csv, 11 columns",
            "topic:mta-turnstile",
            produced,
            produced - state.dead_total,
        );
        decode.dead = state.dead_total;
        let filter = step("filter", "filter", "DESC = 'REGULAR'", "decode", produced - state.dead_total, filtered);
        let mut window = step("window", "aggregate", "4 hours by station", "filter", filtered, state.traffic_total);
        (window.late, window.watermark_wall_ms) = (state.late, watermark_us.map(|us| us / 1000));
        (window.state_rows, window.state_bytes) = (379 * 2, 379 * 2 * 88);
        if waiting {
            let text = format!("waits: {FULL}");
            let (section, name) = (Some("flows".to_owned()), Some("station_traffic".to_owned()));
            overview.problems.push(Problem { bad: false, section, name, text });
        }
        overview.flows.push(FlowInfo {
            name: "station_traffic".to_owned(),
            target: "station_traffic".to_owned(),
            status: if waiting { FlowStatus::Waiting } else { FlowStatus::Running },
            waiting: waiting.then(|| FULL.to_owned()),
            epoch: produced / 30,
            rows_in: produced,
            rows_out: state.traffic_total,
            late: state.late,
            dead: state.dead_total,
            lag: (!waiting).then_some(produced % 17),
            watermark_us,
            watermark_wall_ms: watermark_us.map(|us| us / 1000),
            state_rows: window.state_rows,
            state_bytes: window.state_bytes,
            steps: vec![decode.clone(), filter.clone(), window.clone()],
            sql: "CREATE STREAMING TABLE station_traffic USING csv\nAS SELECT\n  w.start, w.end, station,\n  count(*) AS audits,\n  sum(entries) AS entries,\n  sum(exits) AS exits -- people who came out\nFROM STREAM(audits) WATERMARK ts DELAY OF INTERVAL 10 MINUTES\nWHERE `DESC` = 'REGULAR'\nGROUP BY window(ts, '4 hours') AS w, station".to_owned(),
            file: "transformations/traffic.sql".to_owned(),
            line: 18,
        });
        let mut window = step(
            "window",
            "aggregate",
            "5 minutes by 8 columns",
            "decode",
            produced - state.dead_total,
            state.fives_total,
        );
        (window.late, window.watermark_wall_ms) = (state.late / 3, watermark_us.map(|us| us / 1000));
        (window.state_rows, window.state_bytes) = (5_026 + produced % 900, (5_026 + produced % 900) * 196);
        overview.flows.push(FlowInfo {
            name: "turnstile_5m".to_owned(),
            target: "turnstile_5m".to_owned(),
            status: FlowStatus::Running,
            epoch: produced / 30,
            rows_in: produced,
            rows_out: state.fives_total,
            late: window.late,
            dead: 0,
            lag: Some(produced % 11),
            watermark_us,
            watermark_wall_ms: watermark_us.map(|us| us / 1000),
            state_rows: window.state_rows,
            state_bytes: window.state_bytes,
            steps: vec![decode, window],
            sql: "CREATE STREAMING TABLE turnstile_5m USING csv\nAS SELECT …".to_owned(),
            file: "transformations/turnstile_5m.sql".to_owned(),
            line: 1,
            ..FlowInfo::default()
        });
        let busy = step(
            "filter",
            "filter",
            "entries > 20000",
            "table:station_traffic",
            state.traffic_total,
            state.traffic_total / 6,
        );
        overview.flows.push(FlowInfo {
            name: "busy_stations".to_owned(),
            target: "busy_stations".to_owned(),
            status: FlowStatus::Running,
            rows_in: state.traffic_total,
            rows_out: state.traffic_total / 6,
            steps: vec![busy],
            sql: "CREATE STREAMING TABLE busy_stations\nTBLPROPERTIES ('millstream.topic' = 'busy-stations')\nAS SELECT * FROM STREAM(station_traffic) WHERE entries > 20000".to_owned(),
            file: "transformations/alerts.sql".to_owned(),
            line: 3,
            ..FlowInfo::default()
        });
        let table = |name: &str, schema: Vec<Column>, rows_total: u64| TableInfo {
            name: name.to_owned(),
            kind: "streaming table".to_owned(),
            format: "csv.gz".to_owned(),
            folder: Some(format!("lake/{name}")),
            schema,
            rows_total,
            files: rows_total / 96,
            ..TableInfo::default()
        };
        let mut alerts = table("busy_stations", traffic_columns(), state.traffic_total / 6);
        (alerts.topic, alerts.folder) = (Some("busy-stations".to_owned()), None);
        overview.tables = vec![
            table("station_traffic", traffic_columns(), state.traffic_total),
            table("turnstile_5m", five_columns(), state.fives_total),
            alerts,
        ];
        overview
    }

    async fn topic_records(&self, topic: &str, limit: usize) -> Result<Vec<Record>, BackendError> {
        let state = self.state.lock();
        match topic {
            "mta-turnstile" => Ok(state.records.iter().take(limit).cloned().collect()),
            "turnstiles.dead-letters" => Ok(state.dead.iter().take(limit).cloned().collect()),
            "busy-stations" | "hello" | "__millstream.table.station_traffic" => Ok((0..limit.min(20))
                .map(|n| Record {
                    partition: 0,
                    offset: 40 - n as i64,
                    timestamp_ms: now_ms() - n as i64 * 1_700,
                    key: None,
                    value: Some(
                        json!({"station": STATIONS[n], "entries": 21_000 + n * 311, "note": "<b>not markup</b>"})
                            .to_string()
                            .into(),
                    ),
                    headers: Vec::new(),
                })
                .collect()),
            _ => Err(BackendError::NotFound(format!("topic {topic}"))),
        }
    }

    async fn table_rows(&self, table: &str, limit: usize) -> Result<Rows, BackendError> {
        let state = self.state.lock();
        let (columns, rows) = match table {
            "station_traffic" => (traffic_columns(), &state.traffic),
            "turnstile_5m" => (five_columns(), &state.fives),
            "busy_stations" => {
                let busy =
                    state.traffic.iter().filter(|row| row[4].as_i64() > Some(20_000)).take(limit).cloned().collect();
                return Ok(Rows { columns: traffic_columns(), rows: busy });
            }
            _ => return Err(BackendError::NotFound(format!("table {table}"))),
        };
        Ok(Rows { columns, rows: rows.iter().take(limit).cloned().collect() })
    }
}

fn topic(name: &str, partitions: u32, records_total: u64, bytes_total: u64) -> TopicInfo {
    TopicInfo {
        name: name.to_owned(),
        partitions,
        records_total,
        bytes_total,
        records_kept: records_total,
        bytes_kept: bytes_total,
        ..TopicInfo::default()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = arguments.first().map_or("0", String::as_str);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?.to_string();
    println!("http://{address}");
    let demo = Demo {
        mode: arguments.get(1).cloned().unwrap_or_default(),
        address,
        started: Instant::now(),
        started_at_ms: now_ms(),
        state: parking_lot::Mutex::new(State { seed: 7, ..State::default() }),
    };
    millstream_console::serve(listener, Arc::new(demo), ConsoleOptions::default(), std::future::pending()).await
}
