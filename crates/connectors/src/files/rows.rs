//! The rows of one file, batch by batch.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use millstream_functions::formats::FileReader;
use millstream_functions::{CastMode, CsvOptions, JsonOptions, Session, cast_array};
use millstream_sql::FileFormat;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::listing::FileEntry;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How files are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Format.
    pub format: FileFormat,
    /// Columns, those of folders too.
    pub schema: SchemaRef,
    csv: CsvOptions,
    json: JsonOptions,
    line_sep: Option<String>,
    session: Session,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FileError {
    /// The file.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl ReadOptions {
    /// By the options of a relation; the error names one that is not understood.
    pub fn new<'a>(
        format: FileFormat,
        schema: SchemaRef,
        options: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
        session: &Session,
    ) -> Result<Self, String> {
        let line_sep = options.clone().into_iter().find(|(name, _)| name.eq_ignore_ascii_case("linesep"));
        let (mut csv, mut json) = (CsvOptions::default(), JsonOptions::default());
        match format {
            FileFormat::Csv => csv = CsvOptions::parse(options).map_err(|e| e.to_string())?,
            FileFormat::Json => json = JsonOptions::parse(options).map_err(|e| e.to_string())?,
            FileFormat::Text | FileFormat::Parquet => {}
        }
        let line_sep = line_sep.map(|(_, value)| value.to_owned());
        Ok(Self { format, schema, csv, json, line_sep, session: session.clone() })
    }
}

type TextReader = FileReader<Box<dyn BufRead + Send>>;

enum Body {
    Text(Box<TextReader>),
    Parquet(ParquetRecordBatchReader),
}

/// Reads one file. Blocks.
pub struct FileRows {
    body: Body,
    path: String,
    session: Session,
    /// Columns to give.
    schema: SchemaRef,
    /// Where each column comes from.
    from: Vec<From>,
}

enum From {
    /// Column of the reader's batches.
    File(usize),
    /// The same for every row.
    Folder(Option<String>),
}

impl FileRows {
    /// Opens a file; `projection` are columns of the options' schema.
    pub fn open(file: &FileEntry, options: &ReadOptions, projection: Option<&[usize]>) -> Result<Self, FileError> {
        let path = file.path.display().to_string();
        let failed = |problem: String| FileError { path: path.clone(), problem };
        let all: Vec<usize> = (0..options.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(options.schema.project(wanted).map_err(|e| failed(e.to_string()))?);
        let folder = |column: &usize| file.partition_values.get(options.schema.field(*column).name());
        // The file itself has the columns that no folder gives.
        let in_file: Vec<usize> = all.iter().copied().filter(|c| folder(c).is_none()).collect();
        let file_schema = Arc::new(options.schema.project(&in_file).map_err(|e| failed(e.to_string()))?);
        let mut read: Vec<usize> = Vec::new();
        let mut from = Vec::new();
        for column in wanted {
            from.push(match folder(column) {
                Some(value) => From::Folder(value.clone()),
                None => {
                    read.push(in_file.binary_search(column).expect("a column is in the file or in a folder"));
                    From::File(read.len() - 1)
                }
            });
        }
        let body = match options.format {
            FileFormat::Parquet => {
                let input = File::open(&file.path).map_err(|e| failed(e.to_string()))?;
                parquet(input, &file_schema, &read, &mut from).map_err(|e| failed(e.to_string()))?
            }
            format => {
                let input = open(&file.path).map_err(|e| failed(e.to_string()))?;
                let reader = match format {
                    FileFormat::Csv => {
                        TextReader::csv(input, &file_schema, Some(&read), &options.csv, &options.session)
                    }
                    FileFormat::Json => {
                        TextReader::json(input, &file_schema, Some(&read), &options.json, &options.session)
                    }
                    _ => TextReader::text(input, &file_schema, Some(&read), options.line_sep.as_deref()),
                };
                Body::Text(Box::new(reader.map_err(|e| failed(e.to_string()))?.with_batch_rows(BATCH_ROWS)))
            }
        };
        Ok(Self { body, path, session: options.session.clone(), schema, from })
    }

    /// The next rows; nothing at the end.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, FileError> {
        let failed = |problem: String| FileError { path: self.path.clone(), problem };
        let batch = match &mut self.body {
            Body::Text(reader) => reader.next_batch().map_err(|e| failed(e.to_string()))?,
            Body::Parquet(reader) => reader.next().transpose().map_err(|e| failed(e.to_string()))?,
        };
        let Some(batch) = batch else { return Ok(None) };
        let rows = batch.num_rows();
        let fields = self.schema.fields().iter();
        let columns = fields.zip(&self.from).map(|(field, from)| match from {
            From::File(at) if *at == usize::MAX => Ok(new_null_array(field.data_type(), rows)),
            From::File(at) => self.fit(batch.column(*at), field.data_type()),
            From::Folder(None) => Ok(new_null_array(field.data_type(), rows)),
            From::Folder(Some(value)) => {
                let texts: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows)));
                self.fit(&texts, field.data_type())
            }
        });
        let columns = columns.collect::<Result<Vec<_>, String>>().map_err(failed)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        batch.map(Some).map_err(|e| failed(e.to_string()))
    }

    fn fit(&self, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
        if column.data_type() == to {
            return Ok(Arc::clone(column));
        }
        // Other encodings of the same values first, Spark's casts for the rest.
        if !matches!(column.data_type(), DataType::Utf8)
            && let Ok(fitted) = arrow::compute::cast(column, to)
        {
            return Ok(fitted);
        }
        cast_array(column, to, CastMode::Try, &self.session).map_err(|e| e.to_string())
    }
}

/// A text file; gzip and zlib are told by the first bytes.
fn open(path: &std::path::Path) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let start = file.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(file))));
    }
    if path.extension().is_some_and(|e| e == "deflate") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, ZlibDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// Opens a Parquet file; columns are found by name, and one that is not there is null.
fn parquet(
    input: File,
    schema: &SchemaRef,
    read: &[usize],
    from: &mut [From],
) -> Result<Body, parquet::errors::ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(input)?;
    let there = Arc::clone(builder.schema());
    let mut roots: Vec<usize> = read.iter().filter_map(|c| there.index_of(schema.field(*c).name()).ok()).collect();
    roots.sort_unstable();
    roots.dedup();
    for from in from {
        if let From::File(at) = from {
            let name = schema.field(read[*at]).name();
            let found = there.index_of(name).ok().and_then(|root| roots.binary_search(&root).ok());
            *at = found.unwrap_or(usize::MAX);
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    Ok(Body::Parquet(builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?))
}
