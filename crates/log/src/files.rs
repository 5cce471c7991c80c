//! The file system as the log uses it, behind a trait, so that a test can tear writes, fill the disk and lose what was not synced.

use std::any::Any;
use std::fmt;
use std::fs;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustix::buffer::spare_capacity;
use rustix::fs::FlockOperation;

/// Folders and names.
pub trait Files: Send + Sync + fmt::Debug + 'static {
    /// Opens a file for reading and writing; makes it if `create`.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FileHandle>>;
    /// Makes a folder and those above it; no error if it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Length of a file in bytes.
    fn length(&self, path: &Path) -> io::Result<u64>;
    /// When a file was last written to, in milliseconds since 1970.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// Renames a file or folder; what had the new name is replaced if it is a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a folder durable: what was created, renamed and removed.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Locks a file against other processes until the guard is dropped; `None` if another has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
}

/// An open file. Positions are given with each call, so that many threads share it.
pub trait FileHandle: Send + Sync + fmt::Debug {
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads up to `length` bytes from `position` to the end of `out`; fewer only at the end of the file.
    fn read_at(&self, out: &mut Vec<u8>, length: usize, position: u64) -> io::Result<()>;
    /// Writes all of `slices`, one behind the other, from `position` on.
    fn write_at(&self, slices: &[&[u8]], position: u64) -> io::Result<()>;
    /// Cuts or extends.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Reserves space up to `length` bytes, which read as zeros, and makes the file so long.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FileHandle>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        // Nothing the log makes has a name that is not UTF-8, so such names are not the log's.
        fs::read_dir(path)?
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|metadata| metadata.len())
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let since = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH);
        Ok(since.map_or(0, |since| since.as_millis() as i64))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug)]
struct SystemFile(fs::File);

/// Most slices the system takes in one call.
const SLICES_MAX: usize = 1024;

impl FileHandle for SystemFile {
    fn length(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, out: &mut Vec<u8>, length: usize, position: u64) -> io::Result<()> {
        let before = out.len();
        out.reserve_exact(length);
        while out.len() - before < length {
            let at = position + (out.len() - before) as u64;
            let read = match rustix::io::pread(&self.0, spare_capacity(out), at) {
                Ok(read) => read,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if read == 0 {
                break;
            }
        }
        out.truncate(before + length);
        Ok(())
    }

    fn write_at(&self, slices: &[&[u8]], mut position: u64) -> io::Result<()> {
        for slices in slices.chunks(SLICES_MAX) {
            let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let mut left = slices.as_mut_slice();
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match rustix::io::pwritev(&self.0, left, position) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        position += written as u64;
                        IoSlice::advance_slices(&mut left, written);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, length) {
            // Not every file system can; then the space is taken as it is written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            result => return result.map_err(io::Error::from),
        }
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        // On macOS std asks for F_FULLFSYNC, without which the drive's cache would keep the bytes.
        self.0.sync_data()
    }
}
