//! Starting the disk early: a thread that syncs a growing log while it grows.
//!
//! The kernel keeps written pages for a while before it starts on them; whoever waits for them at the end
//! waits for the whole disk time then. Started every few megabytes, the disk works while the log is filled.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::storage::fs::StorageError;

/// The thread, and the way to it.
#[derive(Debug)]
pub struct WriteBack {
    files: Option<SyncSender<File>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    failed: bool,
}

impl WriteBack {
    /// Starts the thread.
    pub fn start() -> WriteBack {
        let (files, work) = sync_channel(1);
        WriteBack { files: Some(files), thread: Some(std::thread::spawn(move || run(&work))), failed: false }
    }

    /// Begins to write `file` back; does nothing while enough is under way.
    ///
    /// The error is that of an earlier one: after a sync that failed a later one may succeed and prove nothing.
    pub fn begin(&mut self, file: File) -> Result<(), StorageError> {
        match self.files.as_ref().map(|files| files.try_send(file)) {
            Some(Err(TrySendError::Disconnected(_))) => self.wait(),
            _ => Ok(()),
        }
    }

    /// Waits for what is under way, and ends the thread's work for a moment; the error is that of any sync so far.
    pub fn wait(&mut self) -> Result<(), StorageError> {
        self.files = None;
        let failed = || io::Error::other("an earlier sync has failed");
        let done = match self.thread.take() {
            Some(thread) if !self.failed => thread.join().unwrap_or_else(|_| Err(failed())),
            _ => Err(failed()),
        };
        self.failed = done.is_err();
        done.map_err(|error| StorageError::new("write-back of a log", error))?;
        *self = WriteBack::start();
        Ok(())
    }
}

fn run(work: &Receiver<File>) -> io::Result<()> {
    work.iter().try_for_each(|file| file.sync_data())
}

impl Drop for WriteBack {
    fn drop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
