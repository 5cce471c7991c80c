//! From a relation of a plan to the connector that reads it.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, TableSource};
use millstream_connectors::EmbeddedLog;
use millstream_connectors::kafka::{Bootstrap, EmbeddedSource, KafkaOptions};
use millstream_connectors::table_log::{TableHub, TableSource as TableLogSource};
use millstream_engine::{Source, StaticTables};
use millstream_sql::{Relation, RelationKind};

/// Makes sources.
#[derive(Clone)]
pub struct Sources {
    log: Arc<dyn EmbeddedLog>,
    /// Addresses that mean the log of this process.
    listeners: Vec<String>,
    project: PathBuf,
    lake: PathBuf,
}

impl Sources {
    /// For a project folder and its lake.
    pub fn new(log: Arc<dyn EmbeddedLog>, listeners: Vec<String>, project: PathBuf, lake: PathBuf) -> Self {
        Self { log, listeners, project, lake }
    }

    /// The source of a streaming relation.
    pub fn stream(
        &self,
        flow: &str,
        relation: &Relation,
        hubs: &BTreeMap<String, Arc<TableHub>>,
    ) -> Result<Arc<dyn Source>> {
        let schema = Arc::clone(&relation.schema);
        Ok(match &relation.kind {
            RelationKind::Kafka(options) => {
                let options = KafkaOptions::parse(options)?;
                match Bootstrap::decide(options.bootstrap.as_deref(), &self.listeners) {
                    Bootstrap::Embedded => Arc::new(EmbeddedSource::new(Arc::clone(&self.log), schema, options)?),
                    Bootstrap::Cluster(addresses) => anyhow::bail!("cluster {addresses}"),
                }
            }
            RelationKind::Files { format, location, options } => {
                anyhow::bail!("files {location} {format:?} {options:?}")
            }
            RelationKind::Table(name) => {
                let hub = hubs.get(name).with_context(|| format!("table {name} has no log to stream from"))?;
                Arc::new(TableLogSource::new(Arc::clone(hub), flow, schema))
            }
        })
    }

    /// Relations as they stand.
    pub fn statics(&self) -> Arc<dyn StaticTables> {
        Arc::new(self.clone())
    }
}

impl StaticTables for Sources {
    fn table(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        Err(DataFusionError::NotImplemented(format!("{relation:?} {:?} {:?}", self.project, self.lake)))
    }
}

/// All relations that a plan reads.
pub fn relations(plan: &LogicalPlan) -> Vec<Relation> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let source: &dyn TableSource = scan.source.as_ref();
            let source: &dyn Any = source;
            found.extend(source.downcast_ref::<Relation>().cloned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the closure does not fail");
    found
}
