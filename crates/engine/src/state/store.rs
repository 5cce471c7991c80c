//! Writes and reads snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use super::manifest::{Manifest, Place, Run, VERSION};
use crate::error::EngineError;
use crate::flow_log::Progress;

const MANIFEST: &str = "MANIFEST.json";
const RUNS: &str = "runs";
const LOCK: &str = "LOCK";

/// A flow's folder of state.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
    /// Runs that the manifest names.
    runs: BTreeMap<String, Run>,
    /// Held by every copy: also by one that still writes when its flow is gone.
    lock: Option<Arc<File>>,
}

/// What is to be written.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub progress: Progress,
    pub plan: String,
    /// New runs: name, columns, record batches.
    pub runs: Vec<(String, SchemaRef, Vec<RecordBatch>)>,
    pub operators: Vec<Vec<Place>>,
}

impl Store {
    /// The folder; nothing is touched yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, runs: BTreeMap::new(), lock: None }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps others out of the folder as long as this or a copy of it lives: a snapshot that is still being written for a flow that fell over
    /// would take away files of the one that was begun after it.
    pub fn lock(&mut self) -> Result<(), EngineError> {
        let path = self.folder.join(LOCK);
        fs::create_dir_all(&self.folder).map_err(|error| failed(&path, error))?;
        let file = File::create(&path).map_err(|error| failed(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(failed(&path, "the state is still being written by the flow's earlier run"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
        self.lock = Some(Arc::new(file));
        Ok(())
    }

    /// The newest snapshot, if there is one.
    pub fn manifest(&mut self) -> Result<Option<Manifest>, EngineError> {
        let path = self.folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, error)),
        };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| failed(&path, error))?;
        if manifest.version > VERSION {
            let message = format!("written by a newer Millstream (version {} of this file)", manifest.version);
            return Err(EngineError::State { path, message });
        }
        self.runs = manifest.runs.iter().map(|run| (run.name.clone(), run.clone())).collect();
        Ok(Some(manifest))
    }

    /// The groups of one operator, bucket by bucket. Each file is checked as a whole before anything in it is believed.
    pub fn read(
        &self,
        places: &[Place],
        schema: &SchemaRef,
        mut each: impl FnMut(RecordBatch) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut by_run: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for place in places {
            by_run.entry(&place.run).or_default().insert(place.batch);
        }
        for (name, batches) in by_run {
            let path = self.folder.join(RUNS).join(name);
            let content = fs::read(&path).map_err(|error| failed(&path, error))?;
            let known = self.runs.get(name).ok_or_else(|| failed(&path, "no run of this name in the manifest"))?;
            if content.len() as u64 != known.bytes || crc32c(&content) != known.crc32c {
                return Err(failed(&path, "the file is damaged: its checksum is not the one in the manifest"));
            }
            let mut reader =
                FileReader::try_new(io::Cursor::new(content), None).map_err(|error| failed(&path, error))?;
            let types =
                |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
            if types(&reader.schema()) != types(schema) {
                return Err(failed(&path, "its columns are not those of the query"));
            }
            for batch in batches {
                reader.set_index(batch).map_err(|error| failed(&path, error))?;
                let batch = reader.next().ok_or_else(|| failed(&path, "a record batch is missing"))?;
                each(batch.map_err(|error| failed(&path, error))?)?;
            }
        }
        Ok(())
    }

    /// Writes a snapshot; when it returns, it is the one that is found after a crash. Runs that it does not name are gone.
    pub fn write(&mut self, snapshot: Snapshot) -> Result<(), EngineError> {
        let folder = self.folder.join(RUNS);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        let mut runs = self.runs.clone();
        for (name, schema, batches) in snapshot.runs {
            let path = folder.join(&name);
            let run = write_run(&path, &name, &schema, &batches).map_err(|error| failed(&path, error))?;
            runs.insert(name, run);
        }
        let used: BTreeSet<&str> = snapshot.operators.iter().flatten().map(|place| place.run.as_str()).collect();
        runs.retain(|name, _| used.contains(name.as_str()));
        sync_folder(&folder).map_err(|error| failed(&folder, error))?;
        let manifest = Manifest {
            version: VERSION,
            progress: snapshot.progress,
            plan: snapshot.plan,
            runs: runs.values().cloned().collect(),
            operators: snapshot.operators,
        };
        let path = self.folder.join(MANIFEST);
        let put = |text: Vec<u8>| -> io::Result<()> {
            let temporary = self.folder.join(format!("{MANIFEST}.new"));
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            sync_folder(&self.folder)
        };
        put(serde_json::to_vec_pretty(&manifest).map_err(|error| failed(&path, error))?)
            .map_err(|error| failed(&path, error))?;
        self.runs = runs;
        self.remove_unused();
        Ok(())
    }

    /// What cannot be removed now is tried again after the next snapshot.
    fn remove_unused(&self) {
        let Ok(entries) = fs::read_dir(self.folder.join(RUNS)) else { return };
        for entry in entries.flatten() {
            if !self.runs.contains_key(&*entry.file_name().to_string_lossy())
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "a run that is not used any more stays");
            }
        }
    }
}

fn write_run(path: &Path, name: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> io::Result<Run> {
    let mut content = Vec::new();
    let write = |content: &mut Vec<u8>| -> Result<(), arrow::error::ArrowError> {
        let mut writer = FileWriter::try_new(content, schema)?;
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish()
    };
    write(&mut content).map_err(io::Error::other)?;
    let mut file = File::create(path)?;
    file.write_all(&content)?;
    file.sync_all()?;
    Ok(Run { name: name.to_owned(), bytes: content.len() as u64, crc32c: crc32c(&content) })
}

fn crc32c(content: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, content) as u32
}

/// Makes renames and new files in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: impl ToString) -> EngineError {
    EngineError::State { path: path.to_owned(), message: error.to_string() }
}
