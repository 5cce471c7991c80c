//! Relations as they stand: files, tables of the lake, and topics from end to end. Rows are streamed, not loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session as CatalogSession;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt};
use millstream_engine::{Source, StaticTables};
use millstream_functions::Session;
use millstream_sql::{FileFormat, Pipeline, Relation, RelationKind, TableKind};

use super::listing::{FileEntry, Location};
use super::rows::{FileRows, ReadOptions};
use crate::file_sink::SUCCESS;

/// Batches read ahead of a query.
const PREFETCH_BATCHES: usize = 2;

/// Makes a source of a Kafka relation.
pub type KafkaOpener = dyn Fn(&Relation) -> Result<Arc<dyn Source>> + Send + Sync;

/// Finds static relations.
pub struct Statics {
    project: PathBuf,
    lake: PathBuf,
    tables: BTreeMap<String, LakeTable>,
    session: Session,
    kafka: Option<Box<KafkaOpener>>,
}

struct LakeTable {
    format: FileFormat,
    header: bool,
    materialized: bool,
}

impl Statics {
    /// Of a pipeline whose project is at `project` and whose tables are in `lake`.
    pub fn new(pipeline: &Pipeline, project: &Path, lake: &Path, session: &Session) -> Self {
        let header = |table: &millstream_sql::Table| {
            let setting = table
                .properties
                .get("millstream.csv.header")
                .or_else(|| pipeline.configuration.get("millstream.csv.header"));
            setting.is_some_and(|v| v.trim().eq_ignore_ascii_case("true"))
        };
        let tables = pipeline.tables.iter();
        let materialized = |table: &millstream_sql::Table| matches!(table.kind, TableKind::Materialized(_));
        let table = |t: &millstream_sql::Table| LakeTable {
            format: t.format,
            header: header(t),
            materialized: materialized(t),
        };
        let tables = tables.map(|t| (t.name.clone(), table(t))).collect();
        Self { project: project.to_owned(), lake: lake.to_owned(), tables, session: session.clone(), kafka: None }
    }

    /// Topics are read through the sources that `open` makes, from their start to where they end when the query begins.
    pub fn with_kafka(mut self, open: impl Fn(&Relation) -> Result<Arc<dyn Source>> + Send + Sync + 'static) -> Self {
        self.kafka = Some(Box::new(open));
        self
    }
}

impl StaticTables for Statics {
    /// Files change when their names, sizes or times do. A topic is read once.
    fn version(&self, relation: &Relation) -> Result<Option<u64>> {
        let location = match &relation.kind {
            RelationKind::Kafka(_) => return Ok(Some(0)),
            RelationKind::Files { location, .. } => Location::new(&self.project, location),
            RelationKind::Table(name) => {
                let location = Location::new(&self.lake, name);
                let materialized = self.tables.get(name).is_some_and(|table| table.materialized);
                if materialized && !location.path().join(SUCCESS).exists() {
                    return Ok(None);
                }
                location
            }
        };
        let mut hasher = DefaultHasher::new();
        for file in location.list()? {
            (file.path, file.size, file.modified_ms).hash(&mut hasher);
        }
        Ok(Some(hasher.finish()))
    }

    fn table(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>> {
        let schema = Arc::clone(&relation.schema);
        let no = |problem: String| DataFusionError::Plan(problem);
        match &relation.kind {
            RelationKind::Files { format, location, options } => {
                let pairs = options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let options = ReadOptions::new(*format, schema, pairs, &self.session)
                    .map_err(|e| no(format!("{}: {e}", relation.name)))?;
                let location = Location::new(&self.project, location);
                Ok(Arc::new(FileTable { location, options: Arc::new(options), must_exist: true }))
            }
            RelationKind::Table(name) => {
                let table =
                    self.tables.get(name).ok_or_else(|| no(format!("there is no table {name} in the pipeline")))?;
                let header = [("header", if table.header { "true" } else { "false" })];
                let options = ReadOptions::new(table.format, schema, header, &self.session).map_err(no)?;
                let location = Location::new(&self.lake, name);
                Ok(Arc::new(FileTable { location, options: Arc::new(options), must_exist: false }))
            }
            RelationKind::Kafka(_) => {
                let open =
                    self.kafka.as_ref().ok_or_else(|| no(format!("topics cannot be read here ({})", relation.name)))?;
                Ok(Arc::new(SourceTable { source: open(relation)? }))
            }
        }
    }
}

/// Files of a location as a table.
#[derive(Debug)]
struct FileTable {
    location: Location,
    options: Arc<ReadOptions>,
    must_exist: bool,
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.options.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn CatalogSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let location = self.location.clone();
        let files = tokio::task::spawn_blocking(move || location.list()).await;
        let files = files.map_err(|e| DataFusionError::External(Box::new(e)))??;
        if files.is_empty() && self.must_exist {
            return Err(DataFusionError::Plan(format!("there are no files at {}", self.location.path().display())));
        }
        let columns = projection.cloned().unwrap_or_else(|| (0..self.options.schema.fields().len()).collect());
        let schema = Arc::new(self.options.schema.project(&columns)?);
        let groups = state.config().target_partitions().clamp(1, files.len().max(1));
        let mut shares: Vec<Vec<FileEntry>> = vec![Vec::new(); groups];
        for (number, file) in files.into_iter().enumerate() {
            shares[number % groups].push(file);
        }
        let partition = |files| {
            let (schema, options) = (Arc::clone(&schema), Arc::clone(&self.options));
            Arc::new(FileGroup { schema, options, columns: columns.clone(), files }) as Arc<dyn PartitionStream>
        };
        let partitions = shares.into_iter().map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}

#[derive(Debug)]
struct FileGroup {
    schema: SchemaRef,
    options: Arc<ReadOptions>,
    columns: Vec<usize>,
    files: Vec<FileEntry>,
}

impl PartitionStream for FileGroup {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), PREFETCH_BATCHES);
        let sender = builder.tx();
        let (options, columns, files) = (Arc::clone(&self.options), self.columns.clone(), self.files.clone());
        builder.spawn_blocking(move || {
            let failed = |e| DataFusionError::External(Box::new(e));
            for file in files {
                let mut rows = FileRows::open(&file, &options, Some(&columns)).map_err(failed)?;
                while let Some(batch) = rows.next_batch().map_err(failed)? {
                    if sender.blocking_send(Ok(batch)).is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        builder.build()
    }
}

/// A source from its start to its end as a table.
struct SourceTable {
    source: Arc<dyn Source>,
}

impl fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceTable").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn CatalogSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.source.schema().project(columns)?),
            None => self.source.schema(),
        };
        let partition = SourceRange {
            source: Arc::clone(&self.source),
            schema: Arc::clone(&schema),
            projection: projection.cloned(),
        };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(partition)], None, [], false, limit)?))
    }
}

struct SourceRange {
    source: Arc<dyn Source>,
    schema: SchemaRef,
    projection: Option<Vec<usize>>,
}

impl fmt::Debug for SourceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceRange").finish_non_exhaustive()
    }
}

impl PartitionStream for SourceRange {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (source, projection) = (Arc::clone(&self.source), self.projection.clone());
        let failed = |e: millstream_engine::SourceError| DataFusionError::External(Box::new(e));
        let rows = async move {
            let from = source.start().await.map_err(failed)?;
            let to = match source.latest(&from).await.map_err(failed)? {
                Some(latest) => latest,
                None => source.end(&from).await.map_err(failed)?,
            };
            Ok::<_, DataFusionError>(
                source.read(from, to, projection).map(move |batch| Ok(batch.map_err(failed)?.rows)),
            )
        };
        let stream = futures::stream::once(rows).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}
