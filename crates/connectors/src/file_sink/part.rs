//! Files being written: one or more a folder, hidden until a commit gives them their names.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use millstream_sql::FileFormat;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::config::{FileConfig, TextCodec};
use super::disk::{Disk, DiskFile};
use super::hive;
use crate::text::RowWriter;

/// Folders with a file open at once; beyond that the files are closed and begun anew.
const OPEN_FILES_MAX: usize = 64;
/// Memory of open Parquet row groups of one commit.
const PARQUET_BUFFER_BYTES: usize = 48 << 20;
/// Rows of a Parquet row group at most.
const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Text is handed to the compressor in pieces of this size.
const TEXT_BYTES: usize = 64 << 10;

/// A file that is whole and durable under its hidden name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finished {
    pub folder: PathBuf,
    pub hidden: PathBuf,
    pub size: u64,
}

/// A [`DiskFile`] that counts.
struct Counted {
    file: Box<dyn DiskFile>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

enum Packed {
    Plain(Counted),
    Gzip(GzEncoder<Counted>),
    Deflate(ZlibEncoder<Counted>),
}

impl Packed {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Deflate(out) => out.write_all(bytes),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Plain(out) => out.bytes,
            Self::Gzip(out) => out.get_ref().bytes,
            Self::Deflate(out) => out.get_ref().bytes,
        }
    }

    fn finish(self) -> io::Result<Counted> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(out) => out.finish(),
            Self::Deflate(out) => out.finish(),
        }
    }
}

// One of these a file that is being written: their size does not matter.
#[allow(clippy::large_enum_variant)]
enum Body {
    Text { rows: RowWriter, buffer: Vec<u8>, out: Packed },
    Parquet(Box<ArrowWriter<Counted>>),
}

struct OpenFile {
    hidden: PathBuf,
    body: Body,
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

/// A Parquet error that is the disk's is given back as that.
fn parquet_error(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(disk) => *disk,
            Err(other) => io::Error::other(other),
        },
        other => invalid(other),
    }
}

impl OpenFile {
    fn create(disk: &dyn Disk, config: &FileConfig, schema: &SchemaRef, hidden: PathBuf) -> io::Result<Self> {
        let file = Counted { file: disk.create(&hidden)?, bytes: 0 };
        let body = match config.format {
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(config.parquet_codec)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .set_created_by("millstream".to_owned())
                    .build();
                let writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)).map_err(parquet_error)?;
                Body::Parquet(Box::new(writer))
            }
            format => {
                let rows = match format {
                    FileFormat::Csv => RowWriter::csv(schema, &config.session),
                    _ => RowWriter::json(schema, &config.session),
                }
                .map_err(invalid)?;
                let mut buffer = Vec::with_capacity(TEXT_BYTES * 2);
                if config.header && format == FileFormat::Csv {
                    rows.header(&mut buffer);
                }
                let out = match config.text_codec {
                    TextCodec::None => Packed::Plain(file),
                    TextCodec::Gzip => Packed::Gzip(GzEncoder::new(file, Compression::default())),
                    TextCodec::Deflate => Packed::Deflate(ZlibEncoder::new(file, Compression::default())),
                };
                Body::Text { rows, buffer, out }
            }
        };
        Ok(Self { hidden, body })
    }

    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        match &mut self.body {
            Body::Text { rows, buffer, out } => {
                // In slices, so that a wide batch does not become one long text in memory.
                for from in (0..batch.num_rows()).step_by(1024) {
                    let slice = batch.slice(from, 1024.min(batch.num_rows() - from));
                    rows.write(&slice, buffer).map_err(invalid)?;
                    if buffer.len() >= TEXT_BYTES {
                        out.write_all(buffer)?;
                        buffer.clear();
                    }
                }
                Ok(())
            }
            Body::Parquet(writer) => writer.write(batch).map_err(parquet_error),
        }
    }

    /// Bytes on disk and on their way there.
    fn bytes(&self) -> u64 {
        match &self.body {
            Body::Text { buffer, out, .. } => out.bytes() + buffer.len() as u64 / 4,
            Body::Parquet(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
        }
    }

    fn buffered(&self) -> usize {
        match &self.body {
            Body::Text { .. } => 0,
            Body::Parquet(writer) => writer.memory_size(),
        }
    }

    fn finish(self, folder: PathBuf) -> io::Result<Finished> {
        let mut done = match self.body {
            Body::Text { buffer, mut out, .. } => {
                out.write_all(&buffer)?;
                out.finish()?
            }
            Body::Parquet(writer) => writer.into_inner().map_err(parquet_error)?,
        };
        done.flush()?;
        done.file.sync()?;
        Ok(Finished { folder, hidden: self.hidden, size: done.bytes })
    }
}

/// All files of one commit while they are written.
pub(super) struct Parts {
    disk: Arc<dyn Disk>,
    config: Arc<FileConfig>,
    schema: SchemaRef,
    file_columns: Vec<usize>,
    /// Below which the files lie; not always the table's own folder.
    root: PathBuf,
    open: BTreeMap<PathBuf, OpenFile>,
    finished: Vec<Finished>,
    begun: usize,
    rows: u64,
}

impl Parts {
    pub fn new(disk: Arc<dyn Disk>, config: Arc<FileConfig>, root: &Path) -> io::Result<Self> {
        let file_columns = config.file_columns();
        let schema = Arc::new(config.schema.project(&file_columns).map_err(invalid)?);
        Ok(Self {
            disk,
            config,
            schema,
            file_columns,
            root: root.to_owned(),
            open: BTreeMap::new(),
            finished: Vec::new(),
            begun: 0,
            rows: 0,
        })
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        for (folder, rows) in hive::split(batch, &self.config.partitioned_by, &self.file_columns, &self.config.session)
            .map_err(invalid)?
        {
            if !self.open.contains_key(&folder) {
                if self.open.len() >= OPEN_FILES_MAX {
                    self.close_all()?;
                }
                let dir = self.root.join(&folder);
                self.disk.create_dir_all(&dir)?;
                let hidden = dir.join(format!("{HIDDEN_PREFIX}{:05}.tmp", self.begun));
                self.begun += 1;
                let file = OpenFile::create(&*self.disk, &self.config, &self.schema, hidden)?;
                self.open.insert(folder.clone(), file);
            }
            let file = self.open.get_mut(&folder).expect("opened above");
            file.write(&rows)?;
            self.rows += rows.num_rows() as u64;
            if file.bytes() >= self.config.file_bytes_max {
                let file = self.open.remove(&folder).expect("opened above");
                self.finished.push(file.finish(folder)?);
            }
        }
        if self.open.values().map(OpenFile::buffered).sum::<usize>() > PARQUET_BUFFER_BYTES {
            for file in self.open.values_mut() {
                if let Body::Parquet(writer) = &mut file.body {
                    writer.flush().map_err(parquet_error)?;
                }
            }
        }
        Ok(())
    }

    fn close_all(&mut self) -> io::Result<()> {
        for (folder, file) in std::mem::take(&mut self.open) {
            self.finished.push(file.finish(folder)?);
        }
        Ok(())
    }

    /// Closes all files; a table without rows gets none.
    pub fn finish(mut self) -> io::Result<Vec<Finished>> {
        self.close_all()?;
        Ok(self.finished)
    }
}

/// What hidden files begin with: names that begin with a dot are passed over by Spark and pandas.
pub(super) const HIDDEN_PREFIX: &str = ".part-";
