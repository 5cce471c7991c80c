//! From a relation of a plan to the connector that reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use datafusion::error::DataFusionError;
use millstream_connectors::EmbeddedLog;
use millstream_connectors::files::{FileSource, Statics};
use millstream_connectors::kafka::{Bootstrap, ClusterSource, EmbeddedSource, KafkaOptions};
use millstream_connectors::table_log::{TableHub, TableSource as TableLogSource};
use millstream_engine::{Source, StaticTables};
use millstream_functions::Session;
use millstream_sql::{Pipeline, Relation, RelationKind, relations_of};

use crate::settings::Loaded;

/// How long `run` waits for a cluster that is not there.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Makes sources.
#[derive(Clone)]
pub struct Sources {
    /// The log of this process.
    pub log: Arc<dyn EmbeddedLog>,
    /// Addresses that mean it. None where nobody is served (`run`): who ends by itself does not wait for ever for a cluster.
    pub listeners: Vec<String>,
    /// Folder of the project.
    pub project: PathBuf,
    /// Its time zone.
    pub session: Session,
}

impl Sources {
    /// The source of a streaming relation of a flow.
    pub fn stream(
        &self,
        flow: &str,
        relation: &Relation,
        hubs: &BTreeMap<String, Arc<TableHub>>,
    ) -> Result<Arc<dyn Source>> {
        let schema = Arc::clone(&relation.schema);
        Ok(match &relation.kind {
            RelationKind::Kafka(options) => self.kafka(relation, options)?,
            RelationKind::Files { format, location, options } => {
                Arc::new(FileSource::new(&self.project, location, *format, schema, options, &self.session)?)
            }
            RelationKind::Table(name) => {
                let hub = hubs.get(name).with_context(|| format!("table {name} has no log to stream from"))?;
                Arc::new(TableLogSource::new(Arc::clone(hub), flow, schema))
            }
        })
    }

    fn kafka(&self, relation: &Relation, options: &BTreeMap<String, String>) -> Result<Arc<dyn Source>> {
        let schema = Arc::clone(&relation.schema);
        let options = KafkaOptions::parse(options)?;
        Ok(match Bootstrap::decide(options.bootstrap.as_deref(), &self.listeners) {
            Bootstrap::Embedded => Arc::new(EmbeddedSource::new(Arc::clone(&self.log), schema, options)?),
            Bootstrap::Cluster(addresses) => {
                let patience = self.listeners.is_empty().then_some(PATIENCE);
                Arc::new(ClusterSource::new(&addresses, schema, options, patience)?)
            }
        })
    }

    /// Topics that flows read from other clusters, as a person is told at the start: a line for each cluster.
    pub fn elsewhere(&self, pipeline: &Pipeline) -> Vec<String> {
        let mut clusters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for relation in pipeline.flows.iter().flat_map(|flow| relations_of(&flow.plan)) {
            let RelationKind::Kafka(options) = &relation.kind else { continue };
            // What is wrong with options is said where they are used.
            let bootstrap = KafkaOptions::parse(options).ok().and_then(|options| options.bootstrap);
            if let Bootstrap::Cluster(addresses) = Bootstrap::decide(bootstrap.as_deref(), &self.listeners) {
                let topics = ["subscribe", "subscribepattern", "assign"].iter().find_map(|name| options.get(*name));
                clusters.entry(addresses).or_default().extend(topics.cloned());
            }
        }
        let variable = std::env::var("KAFKA_BOOTSTRAP").ok();
        let line = |(addresses, topics): (String, BTreeSet<String>)| {
            let by = if variable.as_deref() == Some(&addresses) { "  (KAFKA_BOOTSTRAP)" } else { "" };
            format!("{} from {addresses}{by}", topics.into_iter().collect::<Vec<_>>().join(", "))
        };
        clusters.into_iter().map(line).collect()
    }

    /// The cluster that rows of a table go to which is fed by plans over `relations`; none for the log of this process. With the options
    /// of the client that reads there, without their prefix.
    pub fn cluster(
        &self,
        named: Option<&str>,
        relations: &[Relation],
    ) -> Result<Option<(String, BTreeMap<String, String>)>> {
        let mut kafka = relations.iter().filter_map(|relation| match &relation.kind {
            RelationKind::Kafka(options) => Some(KafkaOptions::parse(options)),
            _ => None,
        });
        let read = kafka.next().transpose()?;
        let addresses = named.or_else(|| read.as_ref().and_then(|options| options.bootstrap.as_deref()));
        Ok(match Bootstrap::decide(addresses, &self.listeners) {
            Bootstrap::Embedded => None,
            Bootstrap::Cluster(addresses) => Some((addresses, read.map(|options| options.client).unwrap_or_default())),
        })
    }

    /// Relations as they stand.
    pub fn statics(&self, project: &Loaded) -> Arc<dyn StaticTables> {
        let sources = self.clone();
        let statics = Statics::new(&project.pipeline, &project.dir, &project.lake(), &self.session);
        Arc::new(statics.with_kafka(move |relation| {
            let RelationKind::Kafka(options) = &relation.kind else {
                return Err(DataFusionError::Internal(format!("{} is no topic", relation.name)));
            };
            sources.kafka(relation, options).map_err(|error| DataFusionError::Plan(format!("{error:#}")))
        }))
    }
}
