//! Many calls of the file system at once: syncs that come together it commits together, and names and lengths that are not in memory
//! are read from the disk side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

/// From so many on it is worth another thread.
const PER_THREAD: usize = 4;
const THREADS_MAX: usize = 8;

/// Does `work` to each item, several at a time, and gives the results in order.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = (items.len() / PER_THREAD).min(THREADS_MAX);
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let share = || {
        while let Some((number, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, items.get(n)?)))
        {
            let result = work(item);
            done.lock().push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without a thread the others do its share.
            let _ = thread::Builder::new().name("log-io".to_owned()).spawn_scoped(scope, share);
        }
        share();
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_in_its_place() {
        for count in [0, 1, 7, 8, 100] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(in_parallel(&items, |item| item * 2), expected);
        }
    }
}
