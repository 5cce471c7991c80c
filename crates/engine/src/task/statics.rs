//! Static sides of joins, kept as their tables stand.

use std::sync::Arc;

use millstream_sql::Relation;

use super::FlowTask;
use super::pull::ended;
use crate::error::EngineError;
use crate::statics::StaticTables;

/// How often it is looked whether they changed, in µs.
const LOOK_EVERY_US: i64 = 1_000_000;

impl FlowTask {
    /// Reads the static sides of joins that changed since they were read last. While a table among them was never made, waits for it: a
    /// join with what is not there yet would lose every row.
    pub(super) async fn look_at_statics(&mut self) -> Result<(), EngineError> {
        let program = Arc::clone(&self.program);
        for (index, side) in program.statics.iter().enumerate() {
            let relations = crate::statics::relations(side.plan());
            let Some(tables) = self.options.statics.clone() else {
                let missing = relations.into_iter().map(|relation| relation.name).next();
                return Err(EngineError::MissingSource(missing.unwrap_or_default()));
            };
            let mut attempt = 0;
            let versions = loop {
                match versions(Arc::clone(&tables), relations.clone()).await? {
                    Ok(versions) => break versions,
                    Err(name) => {
                        let reason = format!("{name} is joined here and was never computed yet");
                        self.wait(&reason, &mut attempt).await?;
                    }
                }
            };
            if self.static_versions[index].as_ref() != Some(&versions) {
                crate::statics::load(side, tables.as_ref(), &self.options.session).await?;
                self.static_versions[index] = Some(versions);
            }
        }
        self.statics_at_us = self.options.clock.now_us();
        Ok(())
    }

    /// The same, unless it was done a moment ago.
    pub(super) async fn look_at_statics_sometimes(&mut self) -> Result<(), EngineError> {
        let now_us = self.options.clock.now_us();
        match !self.program.statics.is_empty() && now_us - self.statics_at_us >= LOOK_EVERY_US {
            true => self.look_at_statics().await,
            false => Ok(()),
        }
    }
}

/// The version of each relation, or the name of the first one that was never computed.
async fn versions(
    tables: Arc<dyn StaticTables>,
    relations: Vec<Relation>,
) -> Result<Result<Vec<u64>, String>, EngineError> {
    let look = move || {
        let version = |relation: &Relation| Ok(tables.version(relation)?.ok_or_else(|| relation.name.clone()));
        relations.iter().map(version).collect::<Result<Result<Vec<u64>, String>, EngineError>>()
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(versions) => versions,
        Err(error) => Err(ended(error)),
    }
}
