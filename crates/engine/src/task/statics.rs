//! Static sides of joins, kept as their tables stand.

use std::sync::Arc;

use millstream_sql::{Relation, relations_of};

use super::FlowTask;
use super::pull::ended;
use crate::error::EngineError;
use crate::statics::StaticTables;

/// How often it is looked whether they changed, in µs.
const LOOK_EVERY_US: i64 = 1_000_000;
/// Reading them takes one part of so many of the time at most.
const REST: i64 = 20;

impl FlowTask {
    /// Reads the static sides of joins that changed since they were read last. While a table among them was never made, waits for it: a
    /// join with what is not there yet would lose every row.
    pub(super) async fn look_at_statics(&mut self) -> Result<(), EngineError> {
        let program = Arc::clone(&self.program);
        let mut loading_us = 0;
        for (index, side) in program.statics.iter().enumerate() {
            let relations = relations_of(side.plan());
            let Some(tables) = self.options.statics.clone() else {
                let missing = relations.into_iter().map(|relation| relation.name).next();
                return Err(EngineError::MissingSource(missing.unwrap_or_default()));
            };
            let mut attempt = 0;
            let mut failed: Option<(Vec<u64>, EngineError)> = None;
            loop {
                let found = match versions(Arc::clone(&tables), relations.clone()).await? {
                    Ok(found) => found,
                    Err(name) => {
                        let reason = format!("{name} is joined here and was never computed yet");
                        self.wait(&reason, &mut attempt).await?;
                        continue;
                    }
                };
                if self.static_versions[index].as_ref() == Some(&found) {
                    break;
                }
                // A table may be replaced while it is read; one that stands still and cannot be read cannot be read.
                if let Some((_, error)) = failed.take_if(|(version, _)| *version == found) {
                    return Err(error);
                }
                let began_us = self.options.clock.now_us();
                let loaded = crate::statics::load(side, tables.as_ref(), &self.options.session).await;
                loading_us += self.options.clock.now_us() - began_us;
                match loaded {
                    Ok(()) => {
                        self.static_versions[index] = Some(found);
                        break;
                    }
                    Err(error) => failed = Some((found, error)),
                }
            }
        }
        self.statics_due_us = self.options.clock.now_us() + LOOK_EVERY_US.max(loading_us.saturating_mul(REST));
        Ok(())
    }

    /// The same, unless it was done a moment ago.
    pub(super) async fn look_at_statics_sometimes(&mut self) -> Result<(), EngineError> {
        let now_us = self.options.clock.now_us();
        match !self.program.statics.is_empty() && now_us >= self.statics_due_us {
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
