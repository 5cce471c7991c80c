//! How the files of a table are written: from the table and the pipeline's configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::text::session_of;
use arrow::datatypes::{DataType, SchemaRef};
use millstream_functions::Session;
use millstream_functions::interval::parse_interval;
use millstream_sql::{FileFormat, Table};
use parquet::basic::{Compression as ParquetCodec, ZstdLevel};

/// A new file is begun at about this size.
const FILE_BYTES: u64 = 128 << 20;
/// How often `up` commits files.
const TRIGGER: Duration = Duration::from_secs(10);

/// What is wrong with a table's file settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {problem}; {remedy}")]
pub struct ConfigError {
    /// Table.
    pub table: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// Compression of text files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextCodec {
    /// None.
    None,
    /// gzip, `.gz`.
    Gzip,
    /// zlib, `.deflate`: Hadoop's default codec.
    Deflate,
}

impl TextCodec {
    /// What file names end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Deflate => ".deflate",
        }
    }
}

/// How a table's files are written.
#[derive(Debug, Clone)]
pub struct FileConfig {
    /// Table.
    pub table: String,
    /// The table's folder, absolute.
    pub dir: PathBuf,
    /// Format.
    pub format: FileFormat,
    /// All columns of the table.
    pub schema: SchemaRef,
    /// Columns that become folders, as positions in the schema.
    pub partitioned_by: Vec<usize>,
    /// Compression of csv and json.
    pub text_codec: TextCodec,
    /// Compression of Parquet.
    pub parquet_codec: ParquetCodec,
    /// A first line of names in csv files.
    pub header: bool,
    /// A file is closed and the next begun at about this many bytes.
    pub file_bytes_max: u64,
    /// How often `up` commits.
    pub trigger: Duration,
    /// The pipeline's time zone.
    pub session: Session,
}

impl FileConfig {
    /// Of a table whose folder is `lake/NAME`; `lake` is made absolute.
    pub fn of(table: &Table, configuration: &BTreeMap<String, String>, lake: &Path) -> Result<Self, ConfigError> {
        let wrong = |problem: String, remedy: &str| ConfigError {
            table: table.name.clone(),
            problem,
            remedy: remedy.to_owned(),
        };
        let lake = std::path::absolute(lake).map_err(|e| {
            wrong(format!("the lake {} has no absolute path: {e}", lake.display()), "set millstream.lake")
        })?;
        let setting = |name: &str| table.properties.get(name).or_else(|| configuration.get(name)).map(|v| v.trim());
        let partitioned_by = table
            .partitioned_by
            .iter()
            .map(|column| {
                table.schema.index_of(column).map_err(|_| {
                    wrong(
                        format!("PARTITIONED BY ({column}) names a column it does not have"),
                        "name one of its columns",
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !partitioned_by.is_empty() && partitioned_by.len() == table.schema.fields().len() {
            return Err(wrong("PARTITIONED BY names every column".into(), "leave at least one for the files"));
        }
        if table.format == FileFormat::Csv
            && let Some(field) = table.schema.fields().iter().find(|f| is_nested(f.data_type()))
        {
            return Err(wrong(
                format!("csv files cannot hold column {} of type {}", field.name(), field.data_type()),
                "select its parts (window.start, window.end), or use json or parquet",
            ));
        }
        if table.format == FileFormat::Text {
            return Err(wrong("USING text is for reading".into(), "use csv, json or parquet"));
        }
        let flag = |name: &str| -> Result<bool, ConfigError> {
            match setting(name) {
                None => Ok(false),
                Some(v) if v.eq_ignore_ascii_case("true") => Ok(true),
                Some(v) if v.eq_ignore_ascii_case("false") => Ok(false),
                Some(v) => Err(wrong(format!("{name} = '{v}'"), "write 'true' or 'false'")),
            }
        };
        let text_codec = match (
            flag("mapreduce.output.fileoutputformat.compress")?,
            setting("mapreduce.output.fileoutputformat.compress.codec"),
        ) {
            (false, _) => TextCodec::None,
            (true, None) => TextCodec::Deflate,
            (true, Some(codec)) => match codec.rsplit('.').next().unwrap_or(codec).to_ascii_lowercase().as_str() {
                "gzipcodec" | "gzip" => TextCodec::Gzip,
                "defaultcodec" | "deflatecodec" | "deflate" => TextCodec::Deflate,
                _ => {
                    return Err(wrong(
                        format!("mapreduce.output.fileoutputformat.compress.codec = '{codec}' is not supported"),
                        "use org.apache.hadoop.io.compress.GzipCodec",
                    ));
                }
            },
        };
        let codec = setting("spark.sql.parquet.compression.codec").unwrap_or("snappy");
        let parquet_codec = match codec.to_ascii_lowercase().as_str() {
            "snappy" => ParquetCodec::SNAPPY,
            "none" | "uncompressed" => ParquetCodec::UNCOMPRESSED,
            "gzip" => ParquetCodec::GZIP(Default::default()),
            "zstd" => ParquetCodec::ZSTD(ZstdLevel::default()),
            "lz4_raw" | "lz4raw" | "lz4" => ParquetCodec::LZ4_RAW,
            _ => {
                return Err(wrong(
                    format!("spark.sql.parquet.compression.codec = '{codec}' is not supported"),
                    "use snappy, zstd, gzip, lz4_raw or none",
                ));
            }
        };
        let trigger = match setting("millstream.trigger") {
            None => TRIGGER,
            Some(text) => parse_interval(text)
                .ok()
                .and_then(|interval| interval.fixed_us().ok())
                .and_then(|us| u64::try_from(us).ok())
                .map(Duration::from_micros)
                .ok_or_else(|| wrong(format!("millstream.trigger = '{text}'"), "write a duration as '10 seconds'"))?,
        };
        Ok(Self {
            table: table.name.clone(),
            dir: lake.join(&table.name),
            format: table.format,
            schema: table.schema.clone(),
            partitioned_by,
            text_codec,
            parquet_codec,
            header: flag("millstream.csv.header")?,
            file_bytes_max: FILE_BYTES,
            trigger,
            session: session_of(configuration).map_err(|e| wrong(e, "correct the configuration"))?,
        })
    }

    /// What file names end in, as Spark's do.
    pub fn extension(&self) -> String {
        match self.format {
            FileFormat::Csv => format!(".csv{}", self.text_codec.extension()),
            FileFormat::Json => format!(".json{}", self.text_codec.extension()),
            FileFormat::Text => format!(".txt{}", self.text_codec.extension()),
            FileFormat::Parquet => {
                let codec = match self.parquet_codec {
                    ParquetCodec::SNAPPY => ".snappy",
                    ParquetCodec::GZIP(_) => ".gz",
                    ParquetCodec::ZSTD(_) => ".zstd",
                    ParquetCodec::LZ4_RAW => ".lz4raw",
                    _ => "",
                };
                format!("{codec}.parquet")
            }
        }
    }

    /// Columns that stand in the files, as positions in the schema.
    pub fn file_columns(&self) -> Vec<usize> {
        (0..self.schema.fields().len()).filter(|c| !self.partitioned_by.contains(c)).collect()
    }
}

fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || matches!(data_type, DataType::Binary | DataType::BinaryView | DataType::LargeBinary)
}
