//! A disk in memory that tells what was synced from what was not. A power cut throws away what was not, in part and torn: any of the
//! unsynced sectors of a file may have been written and any may not, names in a folder change in their order up to any point. A failed
//! sync loses what it was to write, as Linux does: the bytes are still read, but nothing writes them any more.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use millstream_log::files::{FileHandle, Files};

const SECTOR: usize = 512;

/// A small generator of its own: tests repeat by seed.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to before `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug)]
enum Node {
    File { seen: Vec<u8>, durable: Vec<u8>, changes: Vec<Change> },
    Folder { seen: BTreeMap<String, usize>, durable: BTreeMap<String, usize>, changes: Vec<NameChange> },
}

impl Node {
    fn folder() -> Node {
        Node::Folder { seen: BTreeMap::new(), durable: BTreeMap::new(), changes: Vec::new() }
    }
}

/// What goes wrong.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    /// Files with this in their path cannot grow.
    pub full: Option<String>,
    /// Writes to files with this in their path fail.
    pub write: Option<String>,
    /// So many syncs of files with this in their path fail.
    pub sync: Option<(String, usize)>,
    /// Syncs of files with this in their path take so long.
    pub slow: Option<(String, Duration)>,
    /// Syncs of files with this in their path panic.
    pub panic: Option<String>,
    /// Renames, removals and syncs of folders with this in their path: so many succeed, and so many after that fail.
    pub names: Option<(String, usize, usize)>,
}

#[derive(Debug)]
struct Disk {
    nodes: Vec<Node>,
    /// Machines before this one are dead: what they ask for fails.
    machine: u64,
    locked: bool,
    faults: Faults,
    /// Changes until the power goes.
    changes_left: Option<u64>,
    random: Random,
    syncs: u64,
}

/// A machine that has the disk. After a power cut only the new one works.
#[derive(Debug, Clone)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
    machine: u64,
}

#[derive(Debug)]
struct Handle {
    memory: Memory,
    node: usize,
    path: PathBuf,
}

struct Unlock(Memory);

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut disk = self.0.disk.lock().unwrap();
        if disk.machine == self.0.machine {
            disk.locked = false;
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the power is off")
}

impl Memory {
    pub fn new(seed: u64) -> Memory {
        let disk = Disk {
            nodes: vec![Node::folder()],
            machine: 0,
            locked: false,
            faults: Faults::default(),
            changes_left: None,
            random: Random(seed),
            syncs: 0,
        };
        Memory { disk: Arc::new(Mutex::new(disk)), machine: 0 }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.disk.lock().unwrap().faults = faults;
    }

    /// How many changes of names have yet to succeed before one fails.
    pub fn names_before_fault(&self) -> usize {
        self.disk.lock().unwrap().faults.names.as_ref().map_or(0, |(_, before, _)| *before)
    }

    /// Has the power go after so many more changes.
    pub fn cut_after(&self, changes: u64) {
        self.disk.lock().unwrap().changes_left = Some(changes);
    }

    pub fn is_dead(&self) -> bool {
        let disk = self.disk.lock().unwrap();
        disk.machine != self.machine || disk.changes_left == Some(0)
    }

    pub fn syncs(&self) -> u64 {
        self.disk.lock().unwrap().syncs
    }

    /// Flips a bit of a file, on the disk and in memory.
    pub fn damage(&self, path: &Path, at: usize) {
        let mut disk = self.disk.lock().unwrap();
        let node = disk.find(path).unwrap();
        let Node::File { seen, durable, .. } = &mut disk.nodes[node] else { panic!("{path:?} is a folder") };
        seen[at] ^= 1;
        // What was never synced is only seen.
        if let Some(byte) = durable.get_mut(at) {
            *byte ^= 1;
        }
    }

    /// A file as it is seen.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk.lock().unwrap();
        match &disk.nodes[disk.find(path).ok()?] {
            Node::File { seen, .. } => Some(seen.clone()),
            Node::Folder { .. } => None,
        }
    }

    /// The process is gone, the machine stays: all that was written is seen.
    pub fn kill(&self) -> Memory {
        let mut disk = self.disk.lock().unwrap();
        disk.machine += 1;
        disk.locked = false;
        disk.changes_left = None;
        disk.faults = Faults::default();
        Memory { disk: self.disk.clone(), machine: disk.machine }
    }

    /// The machine is gone, with what was not synced, more or less of it.
    pub fn power_cut(&self) -> Memory {
        let memory = self.kill();
        let mut disk = memory.disk.lock().unwrap();
        let disk = &mut *disk;
        // Sometimes nothing of it, sometimes all, mostly some.
        let percent = [0, 100, 50, 90, 10][disk.random.below(5) as usize];
        for node in &mut disk.nodes {
            match node {
                Node::File { seen, durable, changes } => {
                    for change in changes.drain(..) {
                        match change {
                            Change::Length(length) if disk.random.chance(percent) => durable.resize(length, 0),
                            Change::Length(_) => {}
                            Change::Write(at, bytes) => {
                                let mut from = 0;
                                while from < bytes.len() {
                                    let to = (((at + from) / SECTOR + 1) * SECTOR - at).min(bytes.len());
                                    if disk.random.chance(percent) {
                                        durable.resize(durable.len().max(at + to), 0);
                                        durable[at + from..at + to].copy_from_slice(&bytes[from..to]);
                                    }
                                    from = to;
                                }
                            }
                        }
                    }
                    seen.clone_from(durable);
                }
                Node::Folder { seen, durable, changes } => {
                    let kept = disk.random.below(changes.len() as u64 + 1) as usize;
                    for change in changes.drain(..).take(kept) {
                        apply(durable, change);
                    }
                    changes.clear();
                    seen.clone_from(durable);
                }
            }
        }
        memory.clone()
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock().unwrap();
        if disk.machine != self.machine || disk.changes_left == Some(0) { Err(dead()) } else { Ok(disk) }
    }

    /// As [`Memory::changing`], for a change of names.
    fn changing_names(&self, path: &Path) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.changing()?;
        if let Some((what, before, fail)) = &mut disk.faults.names
            && path.to_str().unwrap().contains(&*what)
        {
            match (*before, *fail) {
                (0, 0) => {}
                (0, _) => {
                    *fail -= 1;
                    return Err(io::Error::other("input/output error"));
                }
                _ => *before -= 1,
            }
        }
        Ok(disk)
    }

    /// As [`Memory::alive`], for a change.
    fn changing(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.alive()?;
        if let Some(left) = &mut disk.changes_left {
            *left -= 1;
        }
        Ok(disk)
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Link(name, node) => {
            names.insert(name, node);
        }
        NameChange::Unlink(name) => {
            names.remove(&name);
        }
        NameChange::Rename(from, to) => {
            if let Some(node) = names.remove(&from) {
                names.insert(to, node);
            }
        }
    }
}

fn split(path: &Path) -> (&Path, String) {
    (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap().to_owned())
}

impl Disk {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut node = 0;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Node::Folder { seen, .. } = &self.nodes[node] else { return Err(io::ErrorKind::NotADirectory.into()) };
            node = *seen.get(name.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn change_name(&mut self, folder: &Path, change: NameChange) -> io::Result<()> {
        let folder = self.find(folder)?;
        let Node::Folder { seen, changes, .. } = &mut self.nodes[folder] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        apply(seen, change.clone());
        changes.push(change);
        Ok(())
    }

    fn make(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (folder, name) = split(path);
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        self.change_name(folder, NameChange::Link(name, number))?;
        Ok(number)
    }
}

impl Files for Memory {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FileHandle>> {
        let mut disk = self.alive()?;
        let node = match disk.find(path) {
            Ok(node) => node,
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                drop(disk);
                disk = self.changing()?;
                disk.make(path, Node::File { seen: Vec::new(), durable: Vec::new(), changes: Vec::new() })?
            }
            Err(error) => return Err(error),
        };
        Ok(Arc::new(Handle { memory: self.clone(), node, path: path.to_owned() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.changing()?;
        let mut at = PathBuf::new();
        for part in path.components() {
            at.push(part);
            if disk.find(&at).is_err() {
                disk.make(&at, Node::folder())?;
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let disk = self.alive()?;
        match &disk.nodes[disk.find(path)?] {
            Node::Folder { seen, .. } => Ok(seen.keys().cloned().collect()),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let disk = self.alive()?;
        match &disk.nodes[disk.find(path)?] {
            Node::File { seen, .. } => Ok(seen.len() as u64),
            Node::Folder { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn modified_ms(&self, _path: &Path) -> io::Result<i64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.changing_names(from)?;
        disk.find(from)?;
        let ((folder, from), (to_folder, to)) = (split(from), split(to));
        assert_eq!(folder, to_folder, "the log renames within a folder");
        disk.change_name(folder, NameChange::Rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.changing_names(path)?;
        disk.find(path)?;
        let (folder, name) = split(path);
        disk.change_name(folder, NameChange::Unlink(name))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.changing_names(path)?;
        let node = disk.find(path)?;
        let Node::Folder { seen, durable, changes } = &mut disk.nodes[node] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        durable.clone_from(seen);
        changes.clear();
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut disk = self.alive()?;
        if std::mem::replace(&mut disk.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Unlock(self.clone()))))
    }
}

impl Handle {
    fn concerned(&self, what: Option<&str>) -> bool {
        what.is_some_and(|what| self.path.to_str().unwrap().contains(what))
    }

    /// As [`Handle::grow`], where sectors are written.
    fn change(&self, end: usize, change: Change) -> io::Result<()> {
        let faults = self.memory.alive()?.faults.clone();
        match self.concerned(faults.write.as_deref()) {
            true => Err(io::Error::other("bad sector")),
            false => self.grow(end, change),
        }
    }

    /// Does `change` to what is seen, and notes it as not synced.
    fn grow(&self, end: usize, change: Change) -> io::Result<()> {
        let mut disk = self.memory.changing()?;
        let faults = disk.faults.clone();
        let full = self.concerned(faults.full.as_deref());
        let Node::File { seen, changes, .. } = &mut disk.nodes[self.node] else { unreachable!() };
        if full && end > seen.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match &change {
            Change::Length(length) => seen.resize(*length, 0),
            Change::Write(at, bytes) => {
                seen.resize(seen.len().max(end), 0);
                seen[*at..end].copy_from_slice(bytes);
            }
        }
        changes.push(change);
        Ok(())
    }
}

impl FileHandle for Handle {
    fn length(&self) -> io::Result<u64> {
        let disk = self.memory.alive()?;
        let Node::File { seen, .. } = &disk.nodes[self.node] else { unreachable!() };
        Ok(seen.len() as u64)
    }

    fn read_at(&self, out: &mut Vec<u8>, length: usize, position: u64) -> io::Result<()> {
        let disk = self.memory.alive()?;
        let Node::File { seen, .. } = &disk.nodes[self.node] else { unreachable!() };
        let from = (position as usize).min(seen.len());
        out.extend_from_slice(&seen[from..(from + length).min(seen.len())]);
        Ok(())
    }

    fn write_at(&self, slices: &[&[u8]], position: u64) -> io::Result<()> {
        let bytes = slices.concat();
        self.change(position as usize + bytes.len(), Change::Write(position as usize, bytes))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change(length as usize, Change::Length(length as usize))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.grow(length as usize, Change::Length(length as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let faults = self.memory.alive()?.faults.clone();
        assert!(!self.concerned(faults.panic.as_deref()), "a test wants it so");
        if let Some((what, time)) = &faults.slow
            && self.concerned(Some(what))
        {
            std::thread::sleep(*time);
        }
        let mut disk = self.memory.changing()?;
        disk.syncs += 1;
        let fails = match &mut disk.faults.sync {
            Some((what, left)) if *left > 0 && self.path.to_str().unwrap().contains(&*what) => {
                *left -= 1;
                true
            }
            _ => false,
        };
        let Node::File { seen, durable, changes } = &mut disk.nodes[self.node] else { unreachable!() };
        changes.clear();
        if fails {
            return Err(io::Error::other("input/output error"));
        }
        durable.clone_from(seen);
        Ok(())
    }
}
