//! Everything that reads bytes which somebody else wrote, a function each: it is given bytes of anybody's choice, and neither panics nor hangs
//! nor takes what it would not give back the same.
//!
//! cargo-fuzz runs them with coverage on a nightly compiler (`cargo +nightly fuzz run requests`), a file each in `fuzz_targets/`. The same functions run on
//! stable in `crates/broker/tests/fuzz.rs`, over their own samples and damage done to these. A new one is a line in [`TARGETS`], a file, and a
//! `[[bin]]` in `Cargo.toml`.

#[allow(dead_code, missing_docs, clippy::unwrap_used)]
#[path = "../../crates/log/tests/support/memory.rs"]
mod memory;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memory::Memory;
use millstream_broker::BrokerConfig;
use millstream_broker::configs::properties;
use millstream_broker::groups::record::{Entry, GroupRecord, MemberRecord, OffsetRecord};
use millstream_log::files::Files;
use millstream_log::{Append, Log, LogOptions, PartitionConfig, TopicPartition};
use millstream_protocol::codec::{Reader, Writer};
use millstream_protocol::messages::Message;
use millstream_protocol::records::{
    BatchBuilder, Codec, EndMarker, HEADER_BYTES, ProducerStamp, Scratch, batches, decode_batch, recompress, retain,
    validate,
};
use millstream_protocol::sasl::{Secret, parse_plain, plain, scram};
use millstream_protocol::{RequestHeader, decode_request, decode_response, for_each_api};

/// A reader of bytes.
pub struct Target {
    /// As the file in `fuzz_targets/` is called.
    pub name: &'static str,
    /// Reads.
    pub run: fn(&[u8]),
    /// Bytes that are good, to begin with.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "requests", run: requests, samples: samples_of_requests },
    Target { name: "responses", run: responses, samples: samples_of_responses },
    Target { name: "batches", run: record_batches, samples: samples_of_batches },
    Target { name: "recovery", run: recovery, samples: samples_of_recovery },
    Target { name: "group_records", run: group_records, samples: samples_of_group_records },
    Target { name: "properties", run: properties, samples: samples_of_properties },
    Target { name: "sasl", run: sasl, samples: samples_of_sasl },
    Target { name: "pem", run: pem, samples: samples_of_pem },
];

/// What is a message is written and read again the same.
fn comes_back<M: Message>(message: &M, version: i16) {
    let write = |message: &M| {
        let mut writer = Writer::new();
        message.write(&mut writer, version);
        writer.finish().into_bytes()
    };
    let once = write(message);
    let again = M::read(&mut Reader::new(&once), version).expect("our own bytes");
    assert_eq!(write(&again), once, "{} {version}", M::NAME);
}

/// A request as a broker gets it, behind its length.
pub fn requests(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let mut reader = Reader::new(&frame);
    let Ok(header) = RequestHeader::read(&mut reader) else { return };
    macro_rules! one {
        ($request:ty, $response:ty) => {
            if header.api_key == <$request as Message>::KEY.code()
                && let Ok(request) = decode_request::<$request>(&mut reader, &header)
            {
                comes_back(&request, header.api_version);
            }
        };
    }
    for_each_api!(one);
}

/// A response as a client gets it: key and version of the request it answers, then the frame.
pub fn responses(data: &[u8]) {
    let [a, b, c, d, frame @ ..] = data else { return };
    let (key, version) = (i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d]));
    let frame = Bytes::copy_from_slice(frame);
    macro_rules! one {
        ($request:ty, $response:ty) => {
            if key == <$request as Message>::KEY.code()
                && <$request as Message>::VERSIONS.contains(&version)
                && let Ok((_, response)) = decode_response::<$request>(&frame, version)
            {
                comes_back(&response, version);
            }
        };
    }
    for_each_api!(one);
}

/// Lines of Kafka's own bytes: name, version, body.
fn golden() -> impl Iterator<Item = (&'static str, i16, Vec<u8>)> {
    let lines = include_str!("../../crates/protocol/tests/golden/messages.txt").lines();
    lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        (words[0], words[1].parse().expect("a version"), words[2].as_bytes().chunks(2).map(byte).collect())
    })
}

fn samples_of_requests() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for (name, version, body) in golden() {
        macro_rules! one {
            ($request:ty, $response:ty) => {
                if name == <$request as Message>::NAME {
                    let header = RequestHeader {
                        api_key: <$request as Message>::KEY.code(),
                        api_version: version,
                        correlation_id: 7,
                        client_id: Some("me".to_owned()),
                    };
                    let mut writer = Writer::new();
                    header.write(&mut writer, version >= <$request as Message>::FLEXIBLE_SINCE);
                    writer.raw(&body);
                    samples.push(writer.finish().into_bytes().to_vec());
                }
            };
        }
        for_each_api!(one);
    }
    samples
}

fn samples_of_responses() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for (name, version, body) in golden() {
        macro_rules! one {
            ($request:ty, $response:ty) => {
                if name == <$response as Message>::NAME {
                    let key = <$request as Message>::KEY;
                    let mut sample = [key.code().to_be_bytes(), version.to_be_bytes(), [0, 0], [0, 7]].concat();
                    // ApiVersions is answered with the oldest header.
                    let has_tags = version >= <$request as Message>::FLEXIBLE_SINCE;
                    sample.extend((has_tags && key != millstream_protocol::ApiKey::ApiVersions).then_some(0));
                    sample.extend(&body);
                    samples.push(sample);
                }
            };
        }
        for_each_api!(one);
    }
    samples
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// A payload of Produce, as it is and with length and check sum put right: only so the readers behind these see it.
pub fn record_batches(data: &[u8]) {
    read_batches(data);
    if data.len() > HEADER_BYTES {
        let mut sealed = data.to_vec();
        let length = sealed.len() as i32 - 12;
        sealed[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&sealed[21..]);
        sealed[17..21].copy_from_slice(&crc.to_be_bytes());
        read_batches(&sealed);
    }
}

fn read_batches(bytes: &[u8]) {
    // What comes out of a few bytes may be long; a target should be quick.
    const DECOMPRESSED_MAX: usize = 1 << 20;
    let mut scratch = Scratch::new(DECOMPRESSED_MAX);
    let is_valid = validate(bytes).is_ok();
    for batch in batches(bytes) {
        let Ok((_, batch)) = batch else { break };
        let _ = EndMarker::read(batch);
        let Ok(records) = decode_batch(batch, &mut scratch) else { continue };
        let mut count = 0;
        let is_whole = records.clone().all(|record| record.is_ok());
        for record in records.map_while(Result::ok) {
            count += record.headers.take_while(Result::is_ok).count() + 1;
        }
        assert!(count <= DECOMPRESSED_MAX, "more records and headers than bytes");
        if !is_valid || !is_whole {
            continue;
        }
        let mut every_other = false;
        let _ = retain(batch, &mut scratch, 1, |_| {
            every_other = !every_other;
            every_other
        });
        for codec in Codec::ALL {
            if let Ok(changed) = recompress(batch, codec, &mut scratch) {
                assert!(validate(&changed).is_ok(), "our own batch");
            }
        }
    }
}

fn batch(codec: Codec, records: i64) -> Bytes {
    let mut builder = BatchBuilder::new(codec).transactional(records % 2 == 1);
    for at in 0..records {
        let value = (at % 3 > 0).then_some(&b"a value, a value, a value"[..]);
        builder.push(1000 + at, Some(b"key"), value, &[("name", Some(b"x")), ("none", None)]);
    }
    builder.set_producer(ProducerStamp { producer_id: 7, producer_epoch: 2, base_sequence: 9 });
    builder.finish().expect("there are records")
}

fn samples_of_batches() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for codec in Codec::ALL {
        samples.extend([1, 2, 50].map(|records| batch(codec, records).to_vec()));
        samples.push([batch(codec, 3), batch(codec, 1)].concat());
    }
    let marker = EndMarker { producer_id: 1, producer_epoch: 0, committed: true, coordinator_epoch: 0 };
    samples.push(marker.batch(5).to_vec());
    samples
}

/// A data folder with something in each of its files, as a process that was killed leaves it.
fn folder() -> Memory {
    let memory = Memory::new(1);
    let (log, _) = Log::open_with(Path::new("data"), options(), Arc::new(memory.clone())).expect("a folder");
    for number in 0..2 {
        let name = TopicPartition::new("t", number);
        let config = PartitionConfig { segment_bytes: 2000, ..PartitionConfig::default() };
        log.create_partition(&name, uuid_of(number), config).expect("a partition");
    }
    let append = |records: i64| {
        let parts = [0, 1].map(|number| {
            let mut builder = BatchBuilder::new(Codec::None).transactional(true);
            (0..records).for_each(|at| builder.push(at, Some(b"k"), Some(b"a value"), &[]));
            // One batch each of a producer of its own: the sequences are right.
            builder.set_producer(ProducerStamp { producer_id: records, producer_epoch: 0, base_sequence: 0 });
            Append::new(TopicPartition::new("t", number), builder.finish().expect("records"))
        });
        log.append(parts.to_vec()).wait().expect("appended");
    };
    (1..20).for_each(append);
    log.checkpoint().expect("synced");
    (20..30).for_each(append);
    let after = memory.kill();
    drop(log);
    after
}

fn uuid_of(number: i32) -> uuid::Uuid {
    uuid::Uuid::from_u128(number as u128 + 1)
}

fn options() -> LogOptions {
    LogOptions { journal_file_bytes: 16 << 10, journal_files: 2, direct_bytes_min: 1 << 10, ..LogOptions::default() }
}

/// All files of a folder, in order.
fn files(memory: &Memory, dir: &Path) -> Vec<PathBuf> {
    let mut names = memory.list(dir).expect("a folder");
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let path = dir.join(name);
        match memory.length(&path) {
            Ok(_) => found.push(path),
            Err(_) => found.extend(files(memory, &path)),
        }
    }
    found
}

/// Damage to the files of a data folder. Each piece of it is: which file, where (three bytes), how many bytes, and these; no bytes: the file is cut
/// there. A journal entry's check sum is put right, or nobody would read what is in it.
pub fn recovery(data: &[u8]) {
    let memory = folder();
    let all = files(&memory, Path::new("data"));
    let mut rest = data;
    let mut in_journal = Vec::new();
    while let [file, a, b, c, length, behind @ ..] = rest {
        let path = &all[*file as usize % all.len()];
        let (bytes, behind) = behind.split_at((*length as usize).min(behind.len()));
        rest = behind;
        let open = memory.open(path, false).expect("it is there");
        let size = open.length().expect("it has one");
        let at = u64::from(u32::from_be_bytes([0, *a, *b, *c])) % (size + 1);
        if bytes.is_empty() {
            open.set_length(at).expect("it is cut");
        } else {
            open.write_at(&[bytes], at).expect("it is written");
        }
        if path.extension().is_some_and(|extension| extension == "journal") {
            in_journal.push(path.clone());
        }
    }
    in_journal.iter().for_each(|path| seal_entries(&memory, path));
    let Ok((log, _)) = Log::open_with(Path::new("data"), options(), Arc::new(memory)) else { return };
    for partition in log.partitions() {
        let mut offset = partition.log_start_offset();
        while let Ok(bytes) = partition.read(offset, 1 << 20) {
            let ends = batches(&bytes).map_while(Result::ok).map(|(header, _)| header.next_offset());
            match ends.max().filter(|end| *end > offset) {
                Some(end) => offset = end,
                None => break,
            }
        }
        let _ = (partition.last_stable_offset(), partition.producers(), partition.offset_for_timestamp(3));
        let appended = log.append(vec![Append::new(partition.topic_partition().clone(), batch(Codec::None, 2))]);
        let _ = appended.wait();
    }
}

fn seal_entries(memory: &Memory, path: &Path) {
    let open = memory.open(path, false).expect("it is there");
    let mut bytes = Vec::new();
    open.read_at(&mut bytes, open.length().expect("it has one") as usize, 0).expect("it is read");
    let mut at = 512;
    while let Some(head) = bytes.get(at..at + 24) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(end) = at.checked_add(24 + length).filter(|end| *end <= bytes.len() && length > 0) else { break };
        let crc = crc32c(&bytes[at + 8..end]);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    open.write_at(&[&bytes], 0).expect("it is written");
}

fn samples_of_recovery() -> Vec<Vec<u8>> {
    let memory = folder();
    let count = files(&memory, Path::new("data")).len() as u8;
    let mut samples = vec![Vec::new()];
    for file in 0..count {
        samples.extend([
            vec![file, 0, 0, 0, 0],
            vec![file, 0, 0, 40, 0],
            vec![file, 0, 0, 30, 4, 1, 2, 3, 4],
            vec![file, 0, 2, 24, 8, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0],
        ]);
    }
    samples
}

/// A record of `__consumer_offsets`: the key's length, key, value.
pub fn group_records(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at((*length as usize).min(rest.len()));
    for value in [None, Some(value)] {
        if let Some(entry) = Entry::decode(Some(key), value) {
            let (key, value) = entry.encode();
            assert_eq!(Entry::decode(Some(&key), value.as_deref()), Some(entry), "our own record");
        }
    }
}

fn samples_of_group_records() -> Vec<Vec<u8>> {
    let offset = OffsetRecord { offset: 5, leader_epoch: 0, metadata: "m".to_owned(), commit_ms: 1 };
    let member = MemberRecord { id: "m-1".to_owned(), instance_id: Some("i".to_owned()), ..MemberRecord::default() };
    let record = GroupRecord { generation: 3, members: vec![member], ..GroupRecord::default() };
    let group = "g".to_owned();
    let entries = [
        Entry::Offset { group: group.clone(), topic: "t".to_owned(), partition: 1, value: Some(offset) },
        Entry::Group { group: group.clone(), value: Some(record) },
        Entry::ConsumerGroup { group: group.clone(), value: Some(Default::default()) },
        Entry::ConsumerMember { group, member: "m".to_owned(), value: Some(Default::default()) },
    ];
    let sample = |entry: Entry| {
        let (key, value) = entry.encode();
        [&[key.len() as u8], &key[..], &value.unwrap_or_default()].concat()
    };
    entries.map(sample).to_vec()
}

/// A broker's configuration file.
pub fn properties(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(settings) = properties::parse(&text, "server.properties") {
        let _ = BrokerConfig::from_settings(settings);
    }
}

fn samples_of_properties() -> Vec<Vec<u8>> {
    let texts = [
        "# a comment\nnode.id=7\nlisteners=PLAINTEXT://:9092,SSL://[::1]:9093\nnum.partitions : 3\n",
        "advertised.listeners=PLAINTEXT://a:1\\\n  ,SSL://b:2\nlog.retention.hours 168\nname\\ with\\==\\u00e9\\t\n",
        "ssl.principal.mapping.rules=RULE:^CN=(.*?),.*$/$1/L,DEFAULT\nsuper.users=User:a;User:b\nlog.segment.bytes=-1\n",
        "listener.security.protocol.map=A:PLAINTEXT,B:SASL_SSL\nlisteners=A://:1,B://:2\nsasl.enabled.mechanisms=PLAIN\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A message of a log-in: whose it is, then the message.
pub fn sasl(data: &[u8]) {
    const NONCE: &str = "abc";
    let Some((whose, message)) = data.split_first() else { return };
    let hash = if whose & 1 == 0 { scram::Hash::Sha256 } else { scram::Hash::Sha512 };
    let password = Secret::new("pencil");
    let client = |nonce: &str| scram::Client::begin(hash, "user", password.clone(), nonce);
    let credential = || scram::Credential::from_salted(hash, b"salted", b"salt".to_vec(), scram::ITERATIONS_MIN);
    match whose >> 1 & 3 {
        0 => {
            if let Ok((user, secret)) = parse_plain(message) {
                assert_eq!(parse_plain(&plain(&user, &secret)), Ok((user, secret)));
            }
        }
        1 => {
            if let Ok(first) = scram::ClientFirst::parse(message) {
                let (_, answer) = scram::Server::begin(credential(), first, "server");
                assert!(answer.starts_with(b"r="));
            }
        }
        2 => {
            let (_, first) = client(NONCE);
            let first = scram::ClientFirst::parse(&first).expect("our own message");
            let (server, _) = scram::Server::begin(credential(), first, "server");
            assert!(server.finish(message).is_err(), "nobody knows the password");
        }
        _ => {
            // Iterations cost time: few of them are asked for here.
            if !message.windows(4).any(|four| four.starts_with(b"i=") && four[2..] != *b"40") {
                let _ = client(NONCE).0.answer(message).map(|(proof, _)| proof.check(message));
            }
        }
    }
}

fn samples_of_sasl() -> Vec<Vec<u8>> {
    let texts: [(u8, &[u8]); 6] = [
        (0, b"\0user\0pencil"),
        (2, b"n,,n=user,r=abc"),
        (3, b"y,a=us=2Cer,n=us=2Cer,r=abc,ext=1"),
        (4, b"c=biws,r=abcserver,p=AAAA"),
        (6, b"r=abcserver,s=c2FsdA==,i=4096"),
        (7, b"v=AAAA"),
    ];
    texts.map(|(whose, text)| [&[whose], text].concat()).to_vec()
}

/// Certificates and a key.
pub fn pem(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), data).expect("it is written");
    let _ = millstream_client::Tls::new(Some(file.path()), Some((file.path(), file.path())));
}

fn samples_of_pem() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let files = millstream_broker::security::certificate::development(dir.path(), &["a".to_owned()], Some("me"));
    let files = files.expect("they are made");
    let paths = [Some(files.authority), Some(files.server), files.client];
    paths.into_iter().flatten().map(|path| std::fs::read(path).expect("it is there")).collect()
}
