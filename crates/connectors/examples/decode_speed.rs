//! How fast Kafka's record batches become Arrow's, by codec: `cargo run --release -p millstream-connectors --example decode_speed`.

use std::time::Instant;

use millstream_connectors::decode::{Columns, Decoder, kafka_schema};
use millstream_protocol::records::{BatchBuilder, Codec, set_base_offset};

const BATCHES: i64 = 200;
const RECORDS: i64 = 5_000;

fn main() {
    let line = "A002,R051,02-00-00,59 ST,NQR456W,BMT,12/30/2023,03:00:00,REGULAR,102019,73801";
    let columns = Columns::new(&kafka_schema(false), Some(&[1])).expect("value is a column");
    for codec in Codec::ALL {
        let mut bytes = Vec::new();
        for batch in 0..BATCHES {
            let mut builder = BatchBuilder::new(codec);
            for record in 0..RECORDS {
                let value = format!("{line}{record}");
                builder.push(1_700_000_000_000 + record, None, Some(value.as_bytes()), &[]);
            }
            let mut one = builder.finish().expect("there are records").to_vec();
            set_base_offset(&mut one, batch * RECORDS);
            bytes.extend_from_slice(&one);
        }
        let mut best = f64::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            let mut decoder = Decoder::new(&columns, "t", 0);
            let mut out = Vec::new();
            decoder.push(&bytes, 0, i64::MAX, &mut out).expect("valid batches");
            decoder.flush(&mut out).expect("valid batches");
            let rows: usize = out.iter().map(|b| b.rows.num_rows()).sum();
            assert_eq!(rows as i64, BATCHES * RECORDS);
            best = best.min(begun.elapsed().as_secs_f64());
        }
        println!("{codec:>8}: {:5.1} M records/s", (BATCHES * RECORDS) as f64 / best / 1e6);
    }
}
