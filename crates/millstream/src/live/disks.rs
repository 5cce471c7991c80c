//! Room on the disks that a process writes to. A disk is called full a little before it is, so that somebody can act while all goes on.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

/// Less than this is too little: the journal, a batch of records and a file each need some of it. On a small disk, a tenth of it.
const FREE_MIN: u64 = 16 << 20;
/// How often disks are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Disks that are kept an eye on.
pub struct Disks {
    watched: Vec<Watched>,
}

struct Watched {
    /// What is kept there, for people.
    what: &'static str,
    /// What a full disk means there.
    means: &'static str,
    folder: PathBuf,
    /// While there is too little: what to say.
    full: RwLock<Option<String>>,
}

impl Disks {
    /// The data folder, and the lake of a project if that is on another disk.
    pub fn new(data: &Path, lake: Option<&Path>) -> Arc<Self> {
        let watched = |what, means, folder: &Path| {
            let disk = Watched { what, means, folder: folder.to_owned(), full: RwLock::default() };
            disk.look();
            disk
        };
        let mut disks = vec![watched("data folder", "records are refused", data)];
        if let Some(lake) = lake.filter(|lake| device(lake) != device(data)) {
            disks.push(watched("lake", "files are not written", lake));
        }
        Arc::new(Self { watched: disks })
    }

    /// A sentence or two for each disk without room: where, what it means, and what to do.
    pub fn full(&self) -> Vec<String> {
        self.watched.iter().filter_map(|disk| disk.full.read().clone()).collect()
    }

    /// Looks at them for ever. What changes is told in the log, once.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let disks = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || disks.watched.iter().for_each(Watched::look));
            if looked.await.is_err() {
                return;
            }
        }
    }
}

impl Watched {
    fn look(&self) {
        let Some(Room { free, size }) = room(&self.folder) else { return };
        let was = self.full.read().is_some();
        let is = too_little(free, size, was);
        if is && !was {
            tracing::error!("{}", self.says(free));
        } else if was && !is {
            tracing::warn!("there is room again on the disk of the {} {}", self.what, self.folder.display());
        }
        *self.full.write() = is.then(|| self.says(free));
    }

    fn says(&self, free: u64) -> String {
        let (what, folder, means) = (self.what, self.folder.display(), self.means);
        let free = if free < 1_000_000 { format!("{} kB", free / 1000) } else { format!("{} MB", free / 1_000_000) };
        format!(
            "the disk of the {what} {folder} is full: {free} are free, and {means} that do not fit. Free some space; writing goes on by \
             itself then"
        )
    }
}

/// Is that too little? A disk that was full needs a little more, so that nobody is told twice.
fn too_little(free: u64, size: u64, was: bool) -> bool {
    let least = FREE_MIN.min(size / 10);
    free < if was { least + least / 4 } else { least }
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder)
}

fn device(folder: &Path) -> Option<u64> {
    existing(folder).metadata().ok().map(|metadata| metadata.dev())
}

/// A disk, in bytes.
pub struct Room {
    /// Free for this process.
    pub free: u64,
    /// The whole.
    pub size: u64,
}

/// Of the disk of a folder.
pub fn room(folder: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(existing(folder)).ok()?;
    Some(Room { free: stat.f_bavail * stat.f_frsize, size: stat.f_blocks * stat.f_frsize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_once_and_has_room_again_once() {
        let mut was = false;
        let told: Vec<bool> = [40 << 20, 15 << 20, 17 << 20, 36 << 10, 19 << 20, 20 << 20, 17 << 20]
            .into_iter()
            .map(|free| {
                was = too_little(free, 1 << 40, was);
                was
            })
            .collect();
        assert_eq!(told, [false, true, true, true, true, false, false]);
        assert!(!too_little(1 << 20, 8 << 20, false), "an eighth of a small disk");
    }

    #[test]
    fn a_full_disk_says_where_and_what_to_do() {
        let disk = Watched {
            what: "data folder",
            means: "records are refused",
            folder: "/srv/data".into(),
            full: RwLock::default(),
        };
        let said = disk.says(36_864);
        assert!(said.starts_with("the disk of the data folder /srv/data is full: 36 kB are free"), "{said}");
        assert!(said.contains("Free some space"), "{said}");
    }

    #[test]
    fn a_lake_that_is_not_there_yet_is_on_the_disk_of_its_parent() {
        let folder = tempfile::tempdir().expect("a folder");
        let disks = Disks::new(folder.path(), Some(&folder.path().join("lake/of/it")));
        assert_eq!(disks.watched.len(), 1);
        assert!(room(&folder.path().join("not/there")).is_some());
    }
}
