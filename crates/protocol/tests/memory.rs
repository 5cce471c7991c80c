//! What bytes from outside may cost before they are refused: memory in proportion to their own length, never what they state.

// The one place that counts allocations; an allocator cannot be written otherwise.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use millstream_protocol::codec::Reader;
use millstream_protocol::messages::Message;
use millstream_protocol::records::{BatchBuilder, Codec, Scratch, batches, decode_batch, validate};
use millstream_protocol::{RequestHeader, for_each_api};

thread_local! {
    /// Bytes that this thread has allocated and not given back, and the most there ever were.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: impl FnOnce(usize) -> usize) {
    // A thread that ends has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call is handed to the system's allocator as it is; the counter neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|now| now + layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(|now| now.saturating_sub(layout.size()));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Both are there while it is copied.
        count(|now| now + bytes);
        count(|now| now.saturating_sub(layout.size()));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.realloc(place, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were held while `what` ran, beyond those before.
fn held_by<T>(what: impl FnOnce() -> T) -> usize {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let out = what();
    let (_, most) = HELD.get();
    drop(out);
    most - before
}

struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Most memory for a message of so many bytes: the reader's own bound, and vectors that grow by doubling while the smaller half is copied.
fn allowed(bytes: usize) -> usize {
    3 * (32 * bytes + (64 << 10)) + bytes
}

/// Bytes of a message with lengths and counts that say too much.
fn exaggerate(good: &[u8], noise: &mut Noise) -> Bytes {
    let mut bytes = good.to_vec();
    if noise.below(3) == 0 {
        // Many tiny elements, if a count comes before them.
        bytes.resize(bytes.len() + noise.below(3000), [0, 1, 2][noise.below(3)]);
    }
    for _ in 0..=noise.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = noise.below(bytes.len());
        let lie: &[u8] = [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x07], &[0x80, 0x10], &[0, 0, 8, 0]]
            [noise.below(4)];
        for (place, byte) in bytes[at..].iter_mut().zip(lie) {
            *place = *byte;
        }
    }
    bytes.into()
}

#[test]
fn a_message_takes_memory_in_proportion_to_its_bytes() {
    let mut noise = Noise(1);
    let mut golden: Vec<(&str, i16, Vec<u8>)> = Vec::new();
    for line in include_str!("golden/messages.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let hex = words[2].as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        golden.push((words[0], words[1].parse().expect("a version"), hex.map(byte).collect()));
    }
    fn one<M: Message>(golden: &[(&str, i16, Vec<u8>)], noise: &mut Noise) {
        for (_, version, good) in golden.iter().filter(|(name, _, _)| *name == M::NAME) {
            for _ in 0..30 {
                let bytes = exaggerate(good, noise);
                let held = held_by(|| M::read(&mut Reader::new(&bytes), *version));
                assert!(held <= allowed(bytes.len()), "{} {version}: {held} for {} bytes", M::NAME, bytes.len());
            }
        }
        for version in M::VERSIONS {
            let zeros = Bytes::from(vec![[0, 1, 2, 0xff][noise.below(4)]; noise.below(20_000)]);
            let held = held_by(|| M::read(&mut Reader::new(&zeros), version));
            assert!(held <= allowed(zeros.len()), "{} {version}: {held} for {} bytes", M::NAME, zeros.len());
        }
    }
    macro_rules! both {
        ($request:ty, $response:ty) => {
            one::<$request>(&golden, &mut noise);
            one::<$response>(&golden, &mut noise);
        };
    }
    for_each_api!(both);
}

#[test]
fn a_header_takes_memory_in_proportion_to_its_bytes() {
    let mut noise = Noise(2);
    for _ in 0..5000 {
        let key = noise.below(100) as u8;
        let good = [0, key, 0, noise.below(14) as u8, 0, 0, 0, 1, 0, 2, b'm', b'e', 0, 0, 0];
        let bytes = exaggerate(&good, &mut noise);
        let held = held_by(|| RequestHeader::read(&mut Reader::new(&bytes)));
        assert!(held <= allowed(bytes.len()), "{held} for {} bytes", bytes.len());
    }
}

/// Puts a batch's length and check sum right, so that what is behind these is read.
fn seal(batch: &mut [u8]) {
    if let Ok(length) = i32::try_from(batch.len() - 12) {
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

#[test]
fn a_batch_takes_no_more_memory_than_it_may_have_when_it_is_decompressed() {
    const DECOMPRESSED_MAX: usize = 1 << 20;
    let mut noise = Noise(3);
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(codec);
        // A few kilobytes that become eight megabytes.
        let zeros = vec![0; 8 << 20];
        builder.push(1, Some(b"k"), Some(&zeros), &[]);
        let bomb = builder.finish().expect("a record");
        let held = held_by(|| {
            let mut scratch = Scratch::new(DECOMPRESSED_MAX);
            assert_eq!(decode_batch(&bomb, &mut scratch).is_ok(), codec == Codec::None, "{codec}");
        });
        // The codecs' own state: zstd has a window.
        assert!(held <= 12 * DECOMPRESSED_MAX, "{codec}: {held}");
        let mut builder = BatchBuilder::new(codec);
        (0..100).for_each(|at| builder.push(at, Some(b"key"), Some(b"value"), &[("h", Some(b"x"))]));
        let good = builder.finish().expect("records");
        for _ in 0..300 {
            let mut bytes = exaggerate(&good, &mut noise).to_vec();
            if noise.below(2) == 0 {
                seal(&mut bytes);
            }
            let held = held_by(|| {
                let mut scratch = Scratch::new(DECOMPRESSED_MAX);
                let _ = validate(&bytes);
                for (_, batch) in batches(&bytes).map_while(Result::ok) {
                    let _ = decode_batch(batch, &mut scratch).map(|records| records.take_while(Result::is_ok).count());
                }
            });
            assert!(held <= 12 * DECOMPRESSED_MAX + allowed(bytes.len()), "{codec}: {held}");
        }
    }
}
