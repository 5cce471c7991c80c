//! The log's files in memory, behind a gate: while it is shut the log's writer stands still, so that the simulation alone says what is
//! durable when.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::files::{FileHandle, Files};
use parking_lot::{Condvar, Mutex};

use super::memory::{Faults, Memory};

/// The one thread of the log whose pace decides what is acknowledged.
const WRITER: &str = "log-writer";

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    waiting: bool,
}

/// A disk with a gate.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    memory: Memory,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Handle {
    inner: Arc<dyn FileHandle>,
    gate: Arc<Gate>,
}

impl Disk {
    pub fn new(seed: u64) -> Disk {
        Disk { memory: Memory::new(seed), gate: Arc::default() }
    }

    pub fn open_gate(&self) {
        self.gate.state.lock().shut = false;
        self.gate.changed.notify_all();
    }

    pub fn shut_gate(&self) {
        self.gate.state.lock().shut = true;
    }

    /// Whether the writer comes to stand before the shut gate within a moment.
    pub fn writer_waits(&self) -> bool {
        let mut state = self.gate.state.lock();
        if !state.waiting {
            self.gate.changed.wait_for(&mut state, Duration::from_millis(1));
        }
        state.waiting
    }

    /// What the writer writes to the journal from now on fails, or does no more.
    pub fn fail_writes(&self, fail: bool) {
        self.memory.set_faults(Faults { write: fail.then(|| "journal".to_owned()), ..Faults::default() });
    }

    /// The process is gone, or the machine with all that was not synced. Gives the disk as the next process finds it.
    pub fn crash(&self, power_cut: bool) -> Disk {
        let memory = if power_cut { self.memory.power_cut() } else { self.memory.kill() };
        self.open_gate();
        Disk { memory, gate: Arc::default() }
    }
}

impl Gate {
    fn pass(&self) {
        if std::thread::current().name() != Some(WRITER) {
            return;
        }
        let mut state = self.state.lock();
        while state.shut {
            state.waiting = true;
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
        state.waiting = false;
    }
}

impl Files for Disk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FileHandle>> {
        let inner = self.memory.open(path, create)?;
        Ok(Arc::new(Handle { inner, gate: self.gate.clone() }))
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.memory.modified_ms(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.memory.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.memory.list(path)
    }
    fn length(&self, path: &Path) -> io::Result<u64> {
        self.memory.length(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.memory.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.memory.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.memory.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.memory.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.memory.lock(path)
    }
}

impl FileHandle for Handle {
    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }
    fn read_at(&self, out: &mut Vec<u8>, length: usize, position: u64) -> io::Result<()> {
        self.inner.read_at(out, length, position)
    }
    fn write_at(&self, slices: &[&[u8]], position: u64) -> io::Result<()> {
        self.gate.pass();
        self.inner.write_at(slices, position)
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.inner.set_length(length)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }
}
