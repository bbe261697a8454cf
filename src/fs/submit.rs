//! How a change gets from a request to the view: prepared outside the gate, done inside it, answered.
//!
//! Preparing lets the observer save old content, which may take as long as a copy of a file and so must not happen in the
//! gate. What was prepared holds for one epoch and for the paths it was prepared for: when the request was parked, when a
//! swap came in between, or when somebody renamed what it is about, it leaves the gate without having done anything and
//! is prepared again.

use std::sync::Arc;

use rustix::io::Errno;

use super::gate::After;
use super::view::{Ctx, Fault, Target, View};
use crate::model::{Touch, Writer};

/// After so many tries a change goes through unprepared: somebody renames faster than we can prepare.
const TRIES: u32 = 16;

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub who: Writer,
    pub uid: u32,
    pub gid: u32,
}

type Op<T> = Box<dyn FnMut(&dyn View, &Ctx) -> Result<T, Fault> + Send>;

/// One change on its way. It owns all that it needs, the reply included, so that it can be parked.
pub(crate) struct Attempt<T> {
    pub view: Arc<dyn View>,
    pub caller: Caller,
    pub targets: Vec<(Target, Touch)>,
    /// The kernel's own write-back of a mapping, which is never parked.
    pub write_back: bool,
    pub tries: u32,
    pub op: Op<T>,
    /// Called exactly once.
    pub done: Box<dyn FnOnce(Result<T, Errno>) + Send>,
}

impl<T: 'static> Attempt<T> {
    /// Does it now, or parks it.
    pub fn run(self) {
        let gate = Arc::clone(self.view.gate());
        let epoch = gate.epoch();
        let prepared = self.view.prepare(&self.targets);
        let write_back = self.write_back;
        let entered_gate = Arc::clone(&gate);
        let job = Box::new(move |entered: Result<(), super::gate::Expired>| {
            let mut this = self;
            if entered.is_err() {
                (this.done)(Err(Errno::AGAIN));
                return None;
            }
            let last = this.tries >= TRIES;
            if !last && entered_gate.epoch() != epoch {
                return Some(this.again());
            }
            let ctx = Ctx::new(
                this.caller.who.clone(),
                this.caller.uid,
                this.caller.gid,
                (!last).then_some(prepared),
            );
            match (this.op)(&*this.view, &ctx) {
                Ok(value) => (this.done)(Ok(value)),
                Err(Fault::Os(e)) => (this.done)(Err(e)),
                Err(Fault::Moved) if last => (this.done)(Err(Errno::AGAIN)),
                Err(Fault::Moved) => return Some(this.again()),
            }
            None
        });
        if write_back {
            gate.enter_always(job);
        } else {
            gate.enter(job);
        }
    }

    fn again(mut self) -> After {
        self.tries += 1;
        Box::new(move || self.run())
    }
}
