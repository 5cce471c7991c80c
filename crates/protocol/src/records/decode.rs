//! Reading the records of a batch. Nothing is allocated per record: keys, values and headers are slices of the batch, or of the
//! scratch memory it was decompressed into.

use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, Scratch, header, varint};

/// The smallest record: seven fields of one byte each.
const RECORD_BYTES_MIN: usize = 7;

/// A record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Time stamp, ms since 1970.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, read when asked for.
    pub headers: Headers<'a>,
}

/// Opens the whole batch in `batch` (nothing may stand behind it): checks its CRC and decompresses it.
///
/// ```
/// use millstream_protocol::records::{BatchBuilder, Codec, Scratch, decode_batch};
///
/// let mut builder = BatchBuilder::new(Codec::Zstd);
/// builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
/// let batch = builder.finish().expect("one record");
///
/// let mut scratch = Scratch::default();
/// for record in decode_batch(&batch, &mut scratch).expect("a valid batch") {
///     assert_eq!(record.expect("a valid record").value, Some(&b"value"[..]));
/// }
/// ```
pub fn decode_batch<'a>(batch: &'a [u8], scratch: &'a mut Scratch) -> Result<Records<'a>, BatchError> {
    let header = super::check(batch)?;
    decode_checked(&header, batch, scratch)
}

/// As [`decode_batch`], for bytes whose CRC was checked already: `header` must be that of `batch`.
pub fn decode_checked<'a>(
    header: &BatchHeader,
    batch: &'a [u8],
    scratch: &'a mut Scratch,
) -> Result<Records<'a>, BatchError> {
    let body = batch
        .get(HEADER_BYTES..header.size())
        .ok_or(BatchError::Truncated { needed: header.size(), left: batch.len() })?;
    let body = match header.codec()? {
        Codec::None => body,
        codec => scratch.decompress(codec, body)?,
    };
    Ok(Records::new(header, body))
}

/// The records of one batch, in order. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
    base_offset: i64,
    base_timestamp: i64,
    /// Time stamp of all records, where the log gave it.
    log_append_time: Option<i64>,
}

impl<'a> Records<'a> {
    /// The records in `body`, the decompressed bytes behind `header`.
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Records<'a> {
        Records {
            rest: body,
            index: 0,
            count: header.record_count,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time: header.is_log_append_time().then_some(header.max_timestamp),
        }
    }

    /// Bytes not yet read.
    pub fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    #[cold]
    fn fail(&mut self, what: &'static str) -> Option<Result<Record<'a>, BatchError>> {
        let index = self.index;
        self.count = 0;
        self.index = 0;
        self.rest = &[];
        Some(Err(BatchError::Record { index, what }))
    }

    /// Reads one record and its offset delta.
    #[inline(always)]
    fn read(&mut self) -> Result<Record<'a>, &'static str> {
        let (length, behind) = varint::read_i32(self.rest).ok_or("its length is no number")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let (bytes, rest) = behind.split_at_checked(length).ok_or("it is longer than the batch")?;
        // The attributes of a record mean nothing today and are passed over, as Kafka does.
        let (_, bytes) = bytes.split_first().ok_or("it is empty")?;
        let (timestamp_delta, bytes) = varint::read_i64(bytes).ok_or("its time stamp is no number")?;
        let (offset_delta, bytes) = varint::read_i32(bytes).ok_or("its offset is no number")?;
        let (key, bytes) = slice(bytes).ok_or("its key is longer than the record")?;
        let (value, bytes) = slice(bytes).ok_or("its value is longer than the record")?;
        let (header_count, bytes) = varint::read_i32(bytes).ok_or("its number of headers is no number")?;
        // A header has two lengths of a byte at least.
        if header_count < 0 || header_count as usize > bytes.len() / 2 {
            return Err("it states more headers than its bytes can hold");
        }
        if header_count == 0 && !bytes.is_empty() {
            return Err("bytes are left behind its last field");
        }
        self.rest = rest;
        Ok(Record {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: match self.log_append_time {
                Some(timestamp) => timestamp,
                None => self.base_timestamp.wrapping_add(timestamp_delta),
            },
            key,
            value,
            headers: Headers { rest: bytes, count: header_count },
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return if self.rest.is_empty() { None } else { self.fail("bytes are left behind the last record") };
        }
        match self.read() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(what) => self.fail(what),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Held against the bytes, so that a caller may reserve by it.
        let most = (self.count - self.index).max(0) as usize;
        (most.min(self.rest.len() / RECORD_BYTES_MIN), None)
    }
}

/// A length and that many bytes; -1 is null.
#[inline(always)]
fn slice(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = varint::read_i32(bytes)?;
    if length < 0 {
        return (length == -1).then_some((None, rest));
    }
    let (slice, rest) = rest.split_at_checked(length as usize)?;
    Some((Some(slice), rest))
}

/// The headers of a record, in order: names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    rest: &'a [u8],
    count: i32,
}

impl<'a> Headers<'a> {
    /// How many headers the record has.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The headers as they stand in the record, if none was read yet.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether the record has no headers.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Yields `(name, value)`. After an error there is nothing more.
impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, Option<&'a [u8]>), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        let read = || {
            let (name, rest) = slice(self.rest).ok_or("a header's name is longer than the record")?;
            let name = std::str::from_utf8(name.ok_or("a header has no name")?);
            let (value, rest) = slice(rest).ok_or("a header's value is longer than the record")?;
            if self.count == 1 && !rest.is_empty() {
                return Err("bytes are left behind its last header");
            }
            Ok((name.map_err(|_| "a header's name is not UTF-8")?, value, rest))
        };
        match read() {
            Ok((name, value, rest)) => {
                self.rest = rest;
                self.count -= 1;
                Some(Ok((name, value)))
            }
            Err(what) => {
                self.count = 0;
                Some(Err(BatchError::Record { index: 0, what }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.count as usize))
    }
}

/// Walks the batches in `bytes`, as a fetch or a segment has them: cut behind each other, the last one perhaps cut off, which is told
/// by [`BatchError::Truncated`]. Checks no CRC.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, at: 0 }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Batches<'_> {
    /// Where the next batch begins: after an error, where the bytes stop being batches.
    pub fn position(&self) -> usize {
        self.at.min(self.bytes.len())
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let result = BatchHeader::read(rest).and_then(|header| match rest.get(..header.size()) {
            Some(batch) => Ok((header, batch)),
            None => Err(BatchError::Truncated { needed: header.size(), left: rest.len() }),
        });
        match &result {
            Ok((header, _)) => self.at += header.size(),
            Err(_) => self.bytes = &self.bytes[..self.at],
        }
        Some(result)
    }
}

/// Walks an uncompressed body and holds every record and its offset delta against the header.
pub(super) fn check_records(header: &BatchHeader, body: &[u8]) -> Result<(), BatchError> {
    let plain = BatchHeader { base_offset: 0, attributes: header.attributes & !header::LOG_APPEND_TIME_BIT, ..*header };
    for (index, record) in (0..).zip(Records::new(&plain, body)) {
        if record?.offset != i64::from(index) {
            return Err(BatchError::Record { index, what: "its offset delta is not its number" });
        }
    }
    Ok(())
}
