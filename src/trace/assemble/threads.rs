//! Whose words they are: sessions with what is told of them, and the agents in them.

use super::super::event::{Event, Facts, MarkerKind};
use super::super::index::Thread;
use super::{Assembler, Here, SIDECHAIN, hash};
use crate::model::StepKind;

impl Assembler {
    pub(super) fn session_of(&mut self, native: &str) -> u16 {
        let key = hash(&["session", native]);
        if let Some(n) = self.by_native.get(&key) {
            return *n;
        }
        // The first id names what came before it without one.
        if let [only] = self.index.sessions.as_mut_slice()
            && only.id.is_empty()
        {
            native.clone_into(&mut only.id);
            self.by_native.insert(key, 0);
            return 0;
        }
        // More than there are numbers for are taken for the last one.
        let Ok(n) = u16::try_from(self.index.sessions.len()) else {
            return u16::MAX;
        };
        self.by_native.insert(key, n);
        self.index.sessions.push(Facts {
            id: native.to_owned(),
            ..Facts::default()
        });
        n
    }

    pub(super) fn facts(
        &mut self,
        new: Facts,
        session: &str,
        thread: u16,
        part: u16,
        here: &mut Here<'_>,
    ) {
        let id = if new.id.is_empty() { session } else { &new.id };
        if !id.is_empty() {
            self.session = self.session_of(id);
        } else if self.index.sessions.is_empty() {
            self.index.sessions.push(Facts::default());
        }
        let Some(old) = self.index.sessions.get_mut(usize::from(self.session)) else {
            return;
        };
        let mut change = None;
        if thread == 0 && !new.model.is_empty() && !old.model.is_empty() && new.model != old.model {
            change = Some((
                MarkerKind::ModelChange,
                format!("{} instead of {}", new.model, old.model),
            ));
        } else if thread == 0
            && !new.mode.is_empty()
            && !old.mode.is_empty()
            && new.mode != old.mode
        {
            change = Some((
                MarkerKind::ModeChange,
                format!("{} instead of {}", new.mode, old.mode),
            ));
        }
        let set = |old: &mut String, new: String| {
            if !new.is_empty() {
                *old = new;
            }
        };
        // A subagent may work elsewhere and with another model: that says nothing of the session.
        if thread == 0 {
            set(&mut old.agent, new.agent);
            set(&mut old.version, new.version);
            set(&mut old.model, new.model);
            if old.cwd.is_empty() {
                old.cwd = new.cwd;
            }
            set(&mut old.title, new.title);
            set(&mut old.mode, new.mode);
            if old.branch.is_empty() {
                old.branch = new.branch;
            }
            if old.commit.is_empty() {
                old.commit = new.commit;
            }
            set(&mut old.parent, new.parent);
            old.start = old.start.or(new.start);
        }
        if let Some((kind, text)) = change {
            let title = format!("{}: {text}", kind.word());
            self.step(StepKind::Marker, &title, ("", 0), thread, part, here);
        }
    }

    /// Which agent speaks.
    pub(super) fn thread_of(
        &mut self,
        event: &Event<'_>,
        node: u64,
        parent: u64,
        here: &Here<'_>,
    ) -> u16 {
        let name: &str = match here.side {
            Some(side) if event.thread.is_empty() || event.thread == SIDECHAIN => &side.thread,
            _ => &event.thread,
        };
        if name.is_empty() {
            return 0;
        }
        if name == SIDECHAIN {
            if let Some(above) = self.nodes.get(&parent).filter(|n| n.thread != 0) {
                return above.thread;
            }
            if let Some(same) = self.nodes.get(&node).filter(|n| n.thread != 0) {
                return same.thread;
            }
            return self.new_thread(&format!("{SIDECHAIN}:{}", event.native), None, "");
        }
        match here.side {
            Some(side) if side.thread == name => {
                let call = side.call.as_deref().and_then(|id| self.find_call(id));
                self.new_thread(name, call, &side.agent)
            }
            _ => self.new_thread(name, None, ""),
        }
    }

    /// The number of the thread of that name, made when it is new; `call` and `agent` are taken over when they were not
    /// known.
    pub(super) fn new_thread(&mut self, name: &str, call: Option<u32>, agent: &str) -> u16 {
        let key = hash(&["thread", name]);
        let n = match self.threads.get(&key) {
            Some(n) => *n,
            None => {
                let Ok(n) = u16::try_from(self.index.threads.len()) else {
                    return u16::MAX;
                };
                self.index.threads.push(Thread {
                    native: name.to_owned(),
                    depth: 1,
                    ..Thread::default()
                });
                self.threads.insert(key, n);
                n
            }
        };
        if let Some(call) = call {
            self.tie(n, call);
        }
        if let Some(thread) = self.index.threads.get_mut(usize::from(n))
            && thread.agent.is_empty()
        {
            agent.clone_into(&mut thread.agent);
        }
        n
    }

    /// Ties a thread to the call that started it.
    pub(super) fn tie(&mut self, thread: u16, call: u32) {
        let Some(entry) = self.index.entries.get_mut(call as usize) else {
            return;
        };
        // Neither its own call nor one of an agent below it.
        if entry.thread == thread || (entry.child != 0 && entry.child != thread) {
            return;
        }
        entry.child = thread;
        let dead = entry.dead;
        let depth = self
            .index
            .threads
            .get(usize::from(entry.thread))
            .map_or(0, |t| t.depth)
            .saturating_add(1);
        if let Some(t) = self.index.threads.get_mut(usize::from(thread))
            && t.call.is_none()
        {
            t.call = Some(call);
            t.depth = depth;
            self.unsettled |= dead;
            if t.agent.is_empty()
                && let Some(kind) = self.kinds.get(&call)
            {
                kind.clone_into(&mut t.agent);
            }
        }
        self.touch(call);
    }

    /// A subagent's first words are what its call gave it.
    pub(super) fn join_task(&mut self, thread: u16, text: &str) {
        let known = self
            .index
            .threads
            .get(usize::from(thread))
            .is_some_and(|t| t.call.is_some() || t.steps > 0);
        if thread == 0 || known {
            return;
        }
        // Several may be given the same words: each call starts one.
        let Some(calls) = self.tasks.get_mut(&hash(&["task", text.trim()])) else {
            return;
        };
        while let Some(call) = calls.pop_front() {
            if self.index.get(call).is_some_and(|e| e.child == 0) {
                self.tie(thread, call);
                return;
            }
        }
    }
}
