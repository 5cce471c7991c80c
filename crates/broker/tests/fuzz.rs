//! The fuzz targets without a fuzzer: each over its own samples and damage done to them, always the same. `MILLSTREAM_SOAK` has it go on for longer.
//! Here, since this crate's tests know all the others that read bytes.

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::time::{Duration, Instant};

/// A small generator of its own, so that a failure can be repeated.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Bytes that are likely to lie about something.
const LIES: [&[u8]; 8] = [
    &[0],
    &[0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    b"\n",
    b"=",
];

fn damage(good: &[u8], other: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=noise.below(4) {
        let at = noise.below(bytes.len() + 1);
        let lie = LIES[noise.below(LIES.len())];
        match noise.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, lie.iter().copied())),
            2 => drop(bytes.splice(at..bytes.len().min(at + lie.len()), lie.iter().copied())),
            3 if at < bytes.len() => bytes[at] ^= 1 << noise.below(8),
            4 if at < bytes.len() => bytes[at] = noise.below(256) as u8,
            5 if !other.is_empty() => {
                let from = noise.below(other.len());
                let to = from + noise.below(other.len() - from + 1).min(200);
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
            _ => {
                let to = at + noise.below(bytes.len() - at + 1).min(20);
                drop(bytes.drain(at..to));
            }
        }
    }
    bytes
}

/// Says which bytes they were, if reading them panics.
struct Tells<'a>(&'a str, &'a [u8]);

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{}: {hex}", self.0);
        }
    }
}

fn run(target: &targets::Target, bytes: &[u8]) {
    let tells = Tells(target.name, bytes);
    let began = Instant::now();
    (target.run)(bytes);
    assert!(began.elapsed() < Duration::from_secs(60), "{} hangs", target.name);
    drop(tells);
}

#[test]
fn bytes_of_anybodys_choice_neither_panic_nor_hang() {
    let rounds = match std::env::var_os("MILLSTREAM_SOAK") {
        Some(_) => 300_000,
        None => 3_000,
    };
    std::thread::scope(|scope| {
        for target in targets::TARGETS {
            scope.spawn(move || {
                let samples = (target.samples)();
                assert!(!samples.is_empty());
                let mut noise = Noise(11);
                // A folder is opened for each; certificates are read by a file.
                let rounds = match target.name {
                    "recovery" => rounds / 20,
                    "pem" => rounds / 4,
                    _ => rounds,
                };
                for sample in samples.iter().take(rounds) {
                    run(target, sample);
                }
                for _ in 0..rounds {
                    let (good, other) = (&samples[noise.below(samples.len())], &samples[noise.below(samples.len())]);
                    run(target, &damage(good, other, &mut noise));
                }
            });
        }
    });
}

#[test]
fn every_target_is_one_of_cargo_fuzz() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
    let manifest = std::fs::read_to_string(format!("{dir}/Cargo.toml")).expect("it is there");
    for target in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} is no [[bin]]", target.name);
        assert!(std::fs::exists(format!("{dir}/fuzz_targets/{}.rs", target.name)).expect("it can be looked for"));
    }
}
