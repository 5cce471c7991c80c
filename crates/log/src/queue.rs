//! The way from everybody to the one writer thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::append::AppendResult;
use crate::{Ack, Append, LogError, Partition};

/// An append on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) parts: Vec<(Arc<Partition>, Append)>,
    pub(crate) ack: Ack,
    pub(crate) reply: Option<oneshot::Sender<AppendResult>>,
}

impl Pending {
    pub(crate) fn answer(&mut self, result: AppendResult) {
        if let Some(reply) = self.reply.take() {
            // Nobody listens any more: the append holds all the same.
            let _ = reply.send(result);
        }
    }
}

pub(crate) type Reply<T> = mpsc::SyncSender<Result<T, LogError>>;

/// What the writer is asked to do, in this order.
#[derive(Debug)]
pub(crate) enum Command {
    Append(Pending),
    /// A partition was made: to be in the journal before any append to it.
    Create(Arc<Partition>),
    /// A partition was deleted; its folder has another name now and is to be removed.
    Delete {
        slot: u32,
        folder: PathBuf,
    },
    /// Moves log starts; answers when that is durable.
    LogStart(Vec<(Arc<Partition>, i64)>, Reply<()>),
    /// Changes between durable and relaxed.
    Mode(Arc<Partition>, bool, Reply<()>),
    /// Syncs all segments and frees the journal.
    Checkpoint(Reply<()>),
    Close(Reply<()>),
}

#[derive(Debug, Default)]
struct Waiting {
    commands: Vec<Command>,
    closed: bool,
    /// Something else than a command happened.
    poked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

impl Queue {
    /// Queues a command, or gives it back if the log is closed.
    pub(crate) fn push(&self, command: Command) -> Result<(), Box<Command>> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Box::new(command));
        }
        let was_empty = waiting.commands.is_empty();
        waiting.commands.push(command);
        drop(waiting);
        // While there are commands, the writer does not sleep.
        if was_empty {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Sends a command that answers, and waits for the answer.
    pub(crate) fn call<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, LogError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.push(command(reply)).map_err(|_| LogError::Closed)?;
        answer.recv().unwrap_or(Err(LogError::Closed))
    }

    /// Wakes the writer without a command.
    pub(crate) fn poke(&self) {
        self.waiting.lock().poked = true;
        self.ready.notify_one();
    }

    /// Everything that is queued, as soon as there is something or `deadline` has come.
    pub(crate) fn take(&self, deadline: Option<Instant>, commands: &mut Vec<Command>) {
        let mut waiting = self.waiting.lock();
        while waiting.commands.is_empty() && !waiting.poked {
            match deadline {
                Some(deadline) => {
                    if self.ready.wait_until(&mut waiting, deadline).timed_out() {
                        break;
                    }
                }
                None => self.ready.wait(&mut waiting),
            }
        }
        waiting.poked = false;
        std::mem::swap(&mut waiting.commands, commands);
    }

    /// Takes no more commands; gives those that were queued.
    pub(crate) fn close(&self) -> Vec<Command> {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        std::mem::take(&mut waiting.commands)
    }
}
