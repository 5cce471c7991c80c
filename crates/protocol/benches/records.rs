//! How fast record batches are checked, read and built, on one core: `cargo bench -p millstream-protocol`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use millstream_protocol::records::{BatchBuilder, Codec, Scratch, check, decode_batch, validate};

const RECORDS: usize = 1000;

fn rate(what: &str, records: usize, bytes: usize, mut work: impl FnMut()) {
    work();
    let (mut rounds, start) = (0u32, Instant::now());
    while start.elapsed() < Duration::from_millis(400) {
        work();
        rounds += 1;
    }
    let seconds = start.elapsed().as_secs_f64() / f64::from(rounds);
    println!(
        "{what:<28} {:>8.2} M records/s {:>9.0} MB/s",
        records as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );
}

fn main() {
    let line = |n: usize| {
        format!(
            "A058,R001,01-00-{:02},WHITEHALL S-FRY,R1W,BMT,07/{:02}/2019,08:00:00,REGULAR,{:010},{:010}",
            n % 90,
            n % 28,
            n * 37,
            n * 31
        )
    };
    let lines: Vec<String> = (0..RECORDS).map(line).collect();
    println!("{RECORDS} records of {} bytes a batch", lines[0].len());
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(codec);
        let build = |builder: &mut BatchBuilder| {
            for (n, line) in lines.iter().enumerate() {
                builder.push(1_700_000_000_000 + n as i64, None, Some(line.as_bytes()), &[]);
            }
            builder.finish().expect("records")
        };
        let batch = build(&mut builder);
        let size = builder.size().max(RECORDS * lines[0].len());
        println!("{codec}: {} bytes", batch.len());
        rate("  build", RECORDS, size, || drop(black_box(build(&mut builder))));
        rate("  CRC and header", RECORDS, batch.len(), || drop(black_box(check(&batch))));
        rate("  validate as a producer's", RECORDS, size, || drop(black_box(validate(&batch))));
        let mut scratch = Scratch::default();
        rate("  CRC, open and read", RECORDS, size, || {
            let mut bytes = 0;
            for record in decode_batch(&batch, &mut scratch).expect("valid") {
                bytes += record.expect("valid").value.map_or(0, <[u8]>::len);
            }
            black_box(bytes);
        });
    }
}
