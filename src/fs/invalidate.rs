//! Telling the kernel that something changed behind the mount.
//!
//! Invalidation can wait for requests under way (that of a name waits while something in its directory is parked; that of
//! content, while a write to the file is), so a thread of its own sends it and the callers only queue. Names are expired,
//! never detached: the kernel asks again at the next look-up, working directories and mounts below stay. What the kernel
//! cannot know, because it never looked it up, is skipped.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::mount::Served;
use super::notify::Kernel;
use crate::model::RepoPath;

/// Keeps the kernel's caches right. Not to be called from a thread that answers requests.
pub trait Invalidate: Send + Sync {
    /// Content and attributes of what is at `path` changed behind the mount.
    fn content(&self, path: &RepoPath);
    /// The name `path` now means something else (created, removed, replaced) behind the mount.
    fn entry(&self, path: &RepoPath);
    /// Brings in what shared mappings of `path` hold. Returns when it has arrived. The write requests that this causes are
    /// let through a closed gate.
    fn flush_mapping(&self, path: &RepoPath);
    /// Waits until everything queued so far is done.
    fn settle(&self);
}

pub(crate) enum Task {
    Content(RepoPath),
    Entry(RepoPath),
    Flush(RepoPath, Sender<()>),
    /// The kernel's pages of this node are wrong.
    Node(u64),
    Settle(Sender<()>),
}

/// The queue's front end.
pub(crate) struct Queue {
    tasks: Mutex<Sender<Task>>,
}

impl Queue {
    /// Starts the thread. It ends when the last front end is dropped.
    pub fn start(view: Arc<dyn Served>, kernel: Arc<Kernel>) -> std::io::Result<Arc<Self>> {
        let (tasks, receive) = channel();
        thread::Builder::new()
            .name("invalidate".to_owned())
            .spawn(move || work(&*view, &kernel, &receive))?;
        Ok(Arc::new(Self {
            tasks: Mutex::new(tasks),
        }))
    }

    pub fn send(&self, task: Task) {
        // The thread ends only after this front end; a failure means it panicked, and then there is nobody to tell.
        let _ = self
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(task);
    }

    fn send_and_wait(&self, task: impl FnOnce(Sender<()>) -> Task) {
        let (done, wait) = channel();
        self.send(task(done));
        let _ = wait.recv();
    }
}

impl Invalidate for Queue {
    fn content(&self, path: &RepoPath) {
        self.send(Task::Content(path.clone()));
    }

    fn entry(&self, path: &RepoPath) {
        self.send(Task::Entry(path.clone()));
    }

    fn flush_mapping(&self, path: &RepoPath) {
        self.send_and_wait(|done| Task::Flush(path.clone(), done));
    }

    fn settle(&self) {
        self.send_and_wait(Task::Settle);
    }
}

fn work(view: &dyn Served, kernel: &Kernel, tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        let sent = match task {
            Task::Content(path) => match view.known(&path).0 {
                Some(ino) => {
                    view.distrust(ino);
                    kernel.content(ino)
                }
                None => Ok(()),
            },
            Task::Entry(path) => {
                let (node, parent) = view.known(&path);
                let names = parent.map_or(Ok(()), |p| {
                    kernel.entry(p, path.name(), view.is_known_dir(&path))?;
                    // A name that the kernel does not hold takes nothing with it: the directory's cached listing and
                    // its times and count of links are dropped by themselves.
                    kernel.content(p)
                });
                if names.is_ok() {
                    view.recheck(&path);
                }
                // Links, owner or mode of what was there may have changed with the name.
                names.and_then(|()| node.map_or(Ok(()), |ino| kernel.attributes(ino)))
            }
            Task::Flush(path, done) => {
                let sent = match view.known(&path).0 {
                    Some(ino) => kernel.content(ino),
                    None => Ok(()),
                };
                drop(done);
                sent
            }
            Task::Node(ino) => kernel.content(ino),
            Task::Settle(done) => {
                drop(done);
                Ok(())
            }
        };
        if let Err(e) = sent {
            // The session is over, or about to be: nothing is cached any more.
            tracing::debug!("invalidation not sent: {e}");
        }
    }
}
