//! What the adapter's methods have in common: who asks, how a change is passed on, how it is answered, and that no panic
//! ends a thread that serves everybody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use fuser::{Errno, FopenFlags, Generation, INodeNo, ReplyEmpty, ReplyEntry, ReplyXattr, Request};

use super::adapter::TTL;
use super::attribution::Attribution;
use super::invalidate::Queue;
use super::notify::Kernel;
use super::submit::{Attempt, Caller};
use super::translate::{entry_out, error, opened_flags};
use super::view::{Ctx, Entry, Fault, Opened, Target, View};
use crate::model::Touch;

/// Serves one view to one session.
pub(crate) struct Adapter {
    pub view: Arc<dyn View>,
    pub attribution: Attribution,
    pub kernel: Arc<Kernel>,
    pub queue: Arc<Queue>,
}

/// A panic in here must not end the thread that serves everybody; the reply it drops answers EIO.
pub(crate) fn shield(f: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        tracing::error!("a file system request panicked; it was answered with EIO");
    }
}

impl Adapter {
    pub fn caller(&self, req: &Request) -> Caller {
        Caller {
            who: self.attribution.of(req.pid()),
            uid: req.uid(),
            gid: req.gid(),
        }
    }

    /// Passes a change through preparation and the gate; `done` answers it.
    pub fn change<T: 'static>(
        &self,
        req: &Request,
        targets: Vec<(Target, Touch)>,
        op: impl FnMut(&dyn View, &Ctx) -> Result<T, Fault> + Send + 'static,
        done: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        shield(|| self.attempt(req, targets, op, done).run());
    }

    pub fn attempt<T: 'static>(
        &self,
        req: &Request,
        targets: Vec<(Target, Touch)>,
        op: impl FnMut(&dyn View, &Ctx) -> Result<T, Fault> + Send + 'static,
        done: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) -> Attempt<T> {
        Attempt {
            view: Arc::clone(&self.view),
            caller: self.caller(req),
            targets,
            write_back: false,
            tries: 0,
            op: Box::new(op),
            done: Box::new(move |r| done(r.map_err(error))),
        }
    }

    pub fn entry_reply(reply: ReplyEntry) -> impl FnOnce(Result<Entry, Errno>) + Send {
        move |r| match r {
            Ok(e) => reply.entry(&TTL, &entry_out(&e), Generation(e.generation)),
            Err(e) => reply.error(e),
        }
    }

    pub fn empty_reply(reply: ReplyEmpty) -> impl FnOnce(Result<(), Errno>) + Send {
        move |r| match r {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(e),
        }
    }
}

/// Does what can take as long as a disk does, on a thread of its own: a few waiting for the disk must not hold up all.
pub(crate) fn aside(
    reply: ReplyEmpty,
    work: impl FnOnce() -> Result<(), rustix::io::Errno> + Send + 'static,
) {
    let spawned = thread::Builder::new()
        .name("fuse-sync".to_owned())
        .spawn(move || {
            shield(|| match work() {
                Ok(()) => reply.ok(),
                Err(e) => reply.error(error(e)),
            });
        });
    if let Err(e) = spawned {
        // The reply was dropped with the work, which answers EIO: better than to claim that something is durable.
        tracing::error!("no thread for a sync: {e}");
    }
}

/// Flags for a file that was opened; what the kernel believes of it is corrected first, so that the caller's first read
/// already asks.
pub(crate) fn settle_open(kernel: &Kernel, ino: u64, opened: &Opened) -> FopenFlags {
    if opened.refresh
        && let Err(e) = kernel.attributes(ino)
    {
        tracing::debug!("attributes not refreshed: {e}");
    }
    opened_flags(opened)
}

pub(crate) fn node(ino: INodeNo, touch: Touch) -> Vec<(Target, Touch)> {
    vec![(Target::Node(ino.0), touch)]
}

pub(crate) fn name_in(parent: INodeNo, name: &[u8], touch: Touch) -> Vec<(Target, Touch)> {
    vec![(Target::Name(parent.0, name.to_vec()), touch)]
}

pub(crate) fn xattr_reply(reply: ReplyXattr, size: u32, value: Result<Vec<u8>, rustix::io::Errno>) {
    match value {
        Err(e) => reply.error(error(e)),
        Ok(v) => {
            let len = u32::try_from(v.len()).unwrap_or(u32::MAX);
            if size == 0 {
                reply.size(len);
            } else if len > size {
                reply.error(Errno::ERANGE);
            } else {
                reply.data(&v);
            }
        }
    }
}
