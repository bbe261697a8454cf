//! Makes steps of events: numbers, turns, answers, subagents, results at their calls, branches that were left.
//!
//! One pass, in the order in which records come, so that the same code indexes a file and follows one that grows. What a
//! format says by ids is found again by 64-bit hashes of them: ids are kept as text only where a person may ask for them.
//!
//! * Main steps are numbered 1, 2, 3 ...; a subagent's steps lie behind the call that started it: 136.1, 136.2 ... So the
//!   numbers of the main conversation are the same whether the subagents' files are there or not.
//! * An event whose id was there before is the same event told again (a copy in a resumed file, an update): it replaces.
//! * A branch is dead when the current leaf does not come from it. Only formats that give parents have such.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{CallKind, Status, StepKind, Time};

use super::emit::{call_title, first_line, kind_of};
use super::event::{Body, Ending, Event, Facts, MarkerKind, Out, Outcome, Record, Side};
use super::index::{Answer, EffectAt, Entry, Index, NO_TIME, Spot, Thread};

/// What readers call the inlined subagent of a format that gives it no id.
const SIDECHAIN: &str = "sidechain";
/// What tools that hide secrets leave of an id: it names nothing.
const REDACTED: &str = "REDACTED";

fn hash(parts: &[&str]) -> u64 {
    let mut h = DefaultHasher::new();
    parts.hash(&mut h);
    // 0 means none.
    h.finish().max(1)
}

/// A node of the conversation tree.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u64,
    thread: u16,
}

/// Where an agent stands.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    /// Its answer.
    answer: u32,
    /// Something came since that ends an answer of a format without answer ids.
    ended: bool,
}

/// Makes an index.
#[derive(Debug, Default)]
pub struct Assembler {
    /// What was made so far.
    pub index: Index,
    /// Entries that are new or have changed since they were last taken.
    changed: Vec<u32>,
    marked: HashSet<u32>,
    nodes: HashMap<u64, Node>,
    /// For each entry the node it belongs to; 0 for none.
    owners: Vec<u64>,
    told: HashMap<u64, u32>,
    calls: HashMap<u64, Vec<u32>>,
    answers: HashMap<u64, u32>,
    threads: HashMap<u64, u16>,
    /// The kind of agent that a call starts, where that is told before the agent itself is.
    kinds: HashMap<u32, String>,
    /// Calls that start an agent, by the words they give it.
    tasks: HashMap<u64, u32>,
    echoes: HashSet<u64>,
    cursors: HashMap<u16, Cursor>,
    tools: HashMap<String, u16>,
    tags: HashMap<String, u8>,
    leaf: u64,
    last_node: u64,
    has_parents: bool,
    next: u32,
    turn: u32,
    time: i64,
    session: u16,
    /// Where each session's running total of tokens stands.
    totals: HashMap<u16, super::event::Usage>,
    /// Ids of calls whose records say what they do to files.
    declared: HashSet<u64>,
    /// The last prompt of the main agent: its text and its entry.
    prompt: Option<(u64, u32)>,
}

/// What a record is to the assembler, besides its events.
struct Here<'a> {
    record: Record<'a>,
    tag: u8,
    side: Option<&'a Side>,
    /// How often each (event id, kind) occurred in this record.
    seen: HashMap<(u64, u8), u16>,
    /// The last entry that this record made or touched.
    last: Option<u32>,
}

impl Assembler {
    /// For a format.
    #[must_use]
    pub fn new(format: &str) -> Self {
        Self {
            index: Index::new(format),
            next: 1,
            time: NO_TIME,
            ..Self::default()
        }
    }

    /// Entries that are new or have changed since this was last asked, in no order.
    pub fn take_changed(&mut self) -> Vec<u32> {
        self.marked.clear();
        std::mem::take(&mut self.changed)
    }

    fn touch(&mut self, at: u32) {
        if self.marked.insert(at) {
            self.changed.push(at);
        }
    }

    /// Takes the events of one record. `side`: the side file that it comes from. `effects`: it may say something about
    /// files.
    pub fn take(&mut self, record: Record<'_>, out: Out<'_>, effects: bool, side: Option<&Side>) {
        self.index.records += u64::from(out.counted);
        let tag = self.tag(record.tag);
        let mut here = Here {
            record,
            tag,
            side,
            seen: HashMap::new(),
            last: None,
        };
        let mut closes = false;
        for event in out.events {
            match &event.body {
                Body::Call(call) if effects => {
                    self.declared.insert(hash(&["call", &call.id]));
                }
                Body::Result(outcome) if !self.declared.is_empty() => {
                    closes |= self.declared.contains(&hash(&["call", &outcome.id]));
                }
                _ => {}
            }
            self.event(event, &mut here);
        }
        // A result without an effect of its own ends a call that may have declared one.
        if effects || closes {
            self.index.effects.push(EffectAt {
                span: record.span,
                tag,
                time: self.time,
                session: self.session,
                closes,
            });
        }
    }

    fn tag(&mut self, tag: &str) -> u8 {
        if tag.is_empty() {
            return 0;
        }
        if let Some(n) = self.tags.get(tag) {
            return *n;
        }
        let n = u8::try_from(self.index.tags.len() + 1).unwrap_or(u8::MAX);
        self.index.tags.push(tag.to_owned());
        self.tags.insert(tag.to_owned(), n);
        n
    }

    fn event(&mut self, event: Event<'_>, here: &mut Here<'_>) {
        if let Some(time) = event.time {
            self.time = time.0;
        }
        if !event.session.is_empty() {
            self.session = self.session_of(&event.session);
        }
        let native: &str = if event.native == REDACTED {
            ""
        } else {
            &event.native
        };
        let node = if native.is_empty() {
            0
        } else {
            hash(&["node", native])
        };
        let parent = event
            .parent
            .as_deref()
            .filter(|p| !p.is_empty())
            .map_or(0, |p| hash(&["node", p]));
        let thread = self.thread_of(&event, node, parent, here);
        if node != 0 {
            self.has_parents |= parent != 0;
            // A copy may have lost its parent; what was known stays.
            let known = self.nodes.get(&node).map_or(0, |n| n.parent);
            let parent = if parent == 0 || parent == node {
                known
            } else {
                parent
            };
            self.nodes.insert(node, Node { parent, thread });
            if thread == 0 {
                self.last_node = node;
            }
        }
        match event.body {
            Body::Session(facts) => self.facts(*facts, &event.session, thread, event.part, here),
            Body::Link => {}
            Body::Leaf(leaf) => self.leaf = hash(&["node", &leaf]),
            Body::Usage(usage) => self.usage(usage, &event.answer, thread),
            Body::About(outcome) => self.about(&outcome, here),
            Body::Result(outcome) => self.result(&outcome, event.part, event.time, thread, here),
            Body::Rewind { to } => self.rewind(&to),
            Body::Image { media, bytes } => {
                if here.last.is_none() {
                    let title = image_line(&media, bytes);
                    self.step(
                        StepKind::Marker,
                        &title,
                        (native, node),
                        thread,
                        event.part,
                        here,
                    );
                }
            }
            Body::Prompt(ref text) => {
                let key = hash(&["prompt", text.trim()]);
                if thread == 0 && event.echo && self.is_last_prompt(key) {
                    return;
                }
                let fresh = self.told_before(StepKind::Prompt, node, here).is_none();
                if thread == 0 && fresh {
                    self.echoes.clear();
                    self.turn += 1;
                }
                self.cursors.entry(thread).or_default().ended = true;
                self.join_task(thread, text);
                let at = self.step(
                    StepKind::Prompt,
                    text,
                    (native, node),
                    thread,
                    event.part,
                    here,
                );
                if thread == 0 {
                    self.prompt = Some((key, at));
                }
            }
            Body::Thought(ref text) | Body::Message(ref text) => {
                let kind = match &event.body {
                    Body::Thought(_) => StepKind::Thought,
                    _ => StepKind::Message,
                };
                if self.is_echo(kind, text, thread, event.echo) {
                    return;
                }
                let at = self.step(kind, text, (native, node), thread, event.part, here);
                self.join_answer(at, &event.answer, thread);
            }
            Body::Call(ref call) => {
                let at = self.call(call, (native, node), thread, event.part, here);
                self.join_answer(at, &event.answer, thread);
            }
            Body::Marker { kind, ref text } => {
                self.cursors.entry(thread).or_default().ended = true;
                let line = first_line(text);
                let title = if line.is_empty() {
                    kind.word().to_owned()
                } else {
                    format!("{}: {line}", kind.word())
                };
                self.step(
                    StepKind::Marker,
                    &title,
                    (native, node),
                    thread,
                    event.part,
                    here,
                );
            }
            Body::Unknown { name } => {
                *self.index.unknown.entry(name.to_string()).or_default() += 1;
                let title = format!("{name} (not understood)");
                self.step(
                    StepKind::Unknown,
                    &title,
                    (native, node),
                    thread,
                    event.part,
                    here,
                );
            }
        }
    }

    fn session_of(&mut self, native: &str) -> u16 {
        if let Some(at) = self.index.sessions.iter().position(|s| s.id == native) {
            return u16::try_from(at).unwrap_or(0);
        }
        // The first id names what came before it without one.
        if let [only] = self.index.sessions.as_mut_slice()
            && only.id.is_empty()
        {
            native.clone_into(&mut only.id);
            return 0;
        }
        self.index.sessions.push(Facts {
            id: native.to_owned(),
            ..Facts::default()
        });
        u16::try_from(self.index.sessions.len() - 1).unwrap_or(0)
    }

    fn facts(&mut self, new: Facts, session: &str, thread: u16, part: u16, here: &mut Here<'_>) {
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
    fn thread_of(&mut self, event: &Event<'_>, node: u64, parent: u64, here: &Here<'_>) -> u16 {
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
    fn new_thread(&mut self, name: &str, call: Option<u32>, agent: &str) -> u16 {
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
    fn tie(&mut self, thread: u16, call: u32) {
        let Some(entry) = self.index.entries.get_mut(call as usize) else {
            return;
        };
        // Neither its own call nor one of an agent below it.
        if entry.thread == thread || (entry.child != 0 && entry.child != thread) {
            return;
        }
        entry.child = thread;
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
            if t.agent.is_empty()
                && let Some(kind) = self.kinds.get(&call)
            {
                kind.clone_into(&mut t.agent);
            }
        }
        self.touch(call);
    }

    /// A subagent's first words are what its call gave it.
    fn join_task(&mut self, thread: u16, text: &str) {
        let known = self
            .index
            .threads
            .get(usize::from(thread))
            .is_some_and(|t| t.call.is_some() || t.steps > 0);
        if thread == 0 || known {
            return;
        }
        if let Some(call) = self.tasks.get(&hash(&["task", text.trim()])).copied() {
            self.tie(thread, call);
        }
    }

    /// Whether that prompt is the last thing that the main conversation has, besides markers: the same one in another form.
    /// Asking the same again after an answer is no repetition.
    fn is_last_prompt(&self, key: u64) -> bool {
        let Some((last, at)) = self.prompt else {
            return false;
        };
        last == key
            && self.index.entries[at as usize + 1..]
                .iter()
                .all(|e| e.thread != 0 || e.kind == StepKind::Marker)
    }

    fn is_echo(&mut self, kind: StepKind, text: &str, thread: u16, echo: bool) -> bool {
        if !echo {
            return false;
        }
        let key = hash(&[
            "echo",
            &format!("{kind:?}"),
            &thread.to_string(),
            text.trim(),
        ]);
        !self.echoes.insert(key)
    }

    fn spot(here: &Here<'_>, part: u16) -> Spot {
        Spot {
            span: here.record.span,
            part,
            tag: here.tag,
        }
    }

    /// The entry of an event that was told before, by its id, its kind and its place among those of its record.
    fn told_before(&self, kind: StepKind, node: u64, here: &Here<'_>) -> Option<u32> {
        if node == 0 {
            return None;
        }
        let nth = here.seen.get(&(node, kind as u8)).copied().unwrap_or(0);
        self.told.get(&told_key(node, kind, nth)).copied()
    }

    /// Makes a step, or renews the one that this event made before.
    fn step(
        &mut self,
        kind: StepKind,
        text: &str,
        (native, node): (&str, u64),
        thread: u16,
        part: u16,
        here: &mut Here<'_>,
    ) -> u32 {
        let title = first_line(text);
        let spot = Self::spot(here, part);
        let nth = {
            let n = here.seen.entry((node, kind as u8)).or_default();
            *n += 1;
            *n - 1
        };
        if node != 0
            && let Some(at) = self.told.get(&told_key(node, kind, nth)).copied()
            && let Some(entry) = self.index.entries.get_mut(at as usize)
        {
            entry.title = title.into();
            entry.body = Some(spot);
            entry.dead = false;
            here.last = Some(at);
            self.touch(at);
            return at;
        }
        let own = match (native.is_empty(), nth) {
            (true, _) => format!(
                "record:{}:{}:{part}",
                here.record.span.file, here.record.span.offset
            ),
            (false, 0) => format!("{native}:{}", word(kind)),
            (false, n) => format!("{native}:{}:{n}", word(kind)),
        };
        let number = self.number(thread);
        let entry = self.blank(kind, title, own, thread, number, Some(spot));
        let at = self.add(entry, node);
        if node != 0 {
            self.told.insert(told_key(node, kind, nth), at);
        }
        here.last = Some(at);
        at
    }

    fn blank(
        &mut self,
        kind: StepKind,
        title: String,
        native: String,
        thread: u16,
        (major, minor, turn): (u32, u32, u32),
        body: Option<Spot>,
    ) -> Entry {
        if self.index.sessions.is_empty() {
            self.index.sessions.push(Facts::default());
        }
        Entry {
            major,
            minor,
            kind,
            call: CallKind::Other,
            status: Status::None,
            dead: false,
            thread,
            session: self.session,
            tool: 0,
            child: 0,
            answer: 0,
            turn,
            time: self.time,
            end: NO_TIME,
            exit: None,
            title: title.into(),
            native: native.into(),
            paths: Box::default(),
            body,
            output: None,
        }
    }

    fn add(&mut self, entry: Entry, node: u64) -> u32 {
        let at = self.index.push(entry);
        self.owners.resize(at as usize, 0);
        self.owners.push(node);
        self.touch(at);
        at
    }

    /// The next number in a thread, with the turn.
    fn number(&mut self, thread: u16) -> (u32, u32, u32) {
        if thread == 0 {
            let n = self.next;
            self.next += 1;
            return (n, 0, self.turn);
        }
        let call = self
            .index
            .threads
            .get(usize::from(thread))
            .and_then(|t| t.call)
            .and_then(|c| self.index.get(c));
        let (major, turn) = match call {
            Some(call) => (call.major, call.turn),
            None => (self.next.saturating_sub(1), self.turn),
        };
        (major, self.index.next_minor(major).max(1), turn)
    }

    /// The newest call of that id.
    fn find_call(&self, id: &str) -> Option<u32> {
        self.calls.get(&hash(&["call", id]))?.last().copied()
    }

    fn call(
        &mut self,
        call: &super::event::Call<'_>,
        (native, node): (&str, u64),
        thread: u16,
        part: u16,
        here: &mut Here<'_>,
    ) -> u32 {
        let key = hash(&["call", &call.id]);
        let spot = Self::spot(here, part);
        let input: serde_json::Value = if call.title.is_none() || call.kind == Some(CallKind::Agent)
        {
            serde_json::from_str(&call.input)
                .unwrap_or_else(|_| serde_json::Value::String(call.input.to_string()))
        } else {
            serde_json::Value::Null
        };
        // Inside the working directory paths are said from there.
        let cwd = self
            .index
            .sessions
            .get(usize::from(self.session))
            .map_or("", |s| s.cwd.as_str());
        let title = match &call.title {
            Some(title) => first_line(title),
            None => call_title(&call.name, &input),
        };
        let title = shorten(title, cwd);
        let paths: Box<[Box<str>]> = call
            .paths
            .iter()
            .take(64)
            .map(|p| below(p, cwd).into())
            .collect();
        let known = !call.id.is_empty() && call.id != REDACTED;
        let same = if known {
            self.calls.get(&key).and_then(|all| all.last().copied())
        } else {
            None
        };
        // The same call told again: in a copy, or as it went on.
        if let Some(at) = same
            && self
                .index
                .get(at)
                .is_some_and(|e| e.thread == thread || node == 0)
            && let Some(entry) = self.index.entries.get_mut(at as usize)
        {
            entry.title = title.into();
            entry.body = Some(spot);
            entry.dead = false;
            here.last = Some(at);
            self.touch(at);
            return at;
        }
        let own = match (known, same.is_some()) {
            (true, false) => format!("call:{}", call.id),
            (true, true) => format!("call:{}#{thread}", call.id),
            _ => format!(
                "record:{}:{}:{part}",
                here.record.span.file, here.record.span.offset
            ),
        };
        let kind = call.kind.unwrap_or_else(|| kind_of(&call.name));
        let number = self.number(thread);
        let mut entry = self.blank(StepKind::Call, title, own, thread, number, Some(spot));
        entry.call = kind;
        entry.status = if call.ended {
            Status::Ok
        } else {
            Status::Running
        };
        entry.tool = self.tool(&call.name);
        entry.paths = paths;
        let at = self.add(entry, node);
        self.calls.entry(key).or_default().push(at);
        if kind == CallKind::Agent
            && let Some(prompt) = ["prompt", "message", "task", "instructions"]
                .iter()
                .find_map(|k| input.get(*k)?.as_str())
        {
            self.tasks.insert(hash(&["task", prompt.trim()]), at);
        }
        let _ = native;
        here.last = Some(at);
        at
    }

    fn tool(&mut self, name: &str) -> u16 {
        if let Some(n) = self.tools.get(name) {
            return *n;
        }
        let line = first_line(name);
        let n = u16::try_from(self.index.tools.len() + 1).unwrap_or(0);
        if n != 0 {
            self.index.tools.push(line);
            self.tools.insert(name.to_owned(), n);
        }
        n
    }

    fn result(
        &mut self,
        outcome: &Outcome<'_>,
        part: u16,
        time: Option<Time>,
        thread: u16,
        here: &mut Here<'_>,
    ) {
        self.cursors.entry(thread).or_default().ended = true;
        let spot = Self::spot(here, part);
        let list = self.calls.get(&hash(&["call", &outcome.id]));
        // Where ids are not unique, results come in the order of their calls.
        let open = list.and_then(|all| {
            all.iter()
                .copied()
                .find(|at| self.index.get(*at).is_some_and(|e| e.output.is_none()))
                .or_else(|| all.last().copied())
        });
        let Some(at) = open else {
            let title = format!(
                "result of a call that is not in the recording: {}",
                outcome.id
            );
            self.step(
                StepKind::Unknown,
                &title,
                (&format!("result:{}", outcome.id), 0),
                thread,
                part,
                here,
            );
            return;
        };
        if let Some(entry) = self.index.entries.get_mut(at as usize) {
            entry.output = Some(spot);
            if let Some(time) = time {
                entry.end = time.0;
            }
            entry.exit = outcome.exit_code.or(entry.exit);
        }
        self.ending(at, outcome);
        here.last = Some(at);
        self.touch(at);
    }

    fn about(&mut self, outcome: &Outcome<'_>, here: &mut Here<'_>) {
        if let Some(at) = self.find_call(&outcome.id) {
            if let Some(entry) = self.index.entries.get_mut(at as usize) {
                entry.exit = outcome.exit_code.or(entry.exit);
            }
            self.ending(at, outcome);
            here.last = here.last.or(Some(at));
            self.touch(at);
        }
    }

    fn ending(&mut self, at: u32, outcome: &Outcome<'_>) {
        if let Some(entry) = self.index.entries.get_mut(at as usize) {
            let failed = entry.exit.is_some_and(|c| c != 0);
            entry.status = match outcome.end {
                Ending::Open if failed => Status::Error,
                Ending::Open => entry.status,
                Ending::Ok if failed => Status::Error,
                Ending::Ok => Status::Ok,
                Ending::Error => Status::Error,
                Ending::Aborted => Status::Aborted,
            };
        }
        let kind = outcome.agent.as_deref().unwrap_or("");
        if let Some(child) = outcome.child.as_deref().filter(|c| !c.is_empty()) {
            self.new_thread(child, Some(at), kind);
        } else if !kind.is_empty() {
            self.kinds.insert(at, kind.to_owned());
        }
    }

    /// Puts an entry into its answer.
    fn join_answer(&mut self, at: u32, answer: &str, thread: u16) {
        let n = self.answer(answer, thread, Some(at));
        if let Some(entry) = self.index.entries.get_mut(at as usize)
            && entry.answer == 0
        {
            entry.answer = n;
        }
    }

    /// The number of an answer, made when it is new and `first` begins it.
    fn answer(&mut self, answer: &str, thread: u16, first: Option<u32>) -> u32 {
        let named = !answer.is_empty() && answer != REDACTED;
        let cursor = self.cursors.get(&thread).copied().unwrap_or_default();
        let key = hash(&["answer", &thread.to_string(), answer]);
        let known = if named {
            self.answers.get(&key).copied()
        } else if cursor.ended && first.is_some() {
            None
        } else {
            Some(cursor.answer).filter(|n| *n != 0)
        };
        let n = match (known, first) {
            (Some(n), _) => n,
            (None, None) => return 0,
            (None, Some(first)) => {
                self.index.answers.push(Answer {
                    first,
                    ..Answer::default()
                });
                u32::try_from(self.index.answers.len()).unwrap_or(0)
            }
        };
        if named {
            self.answers.insert(key, n);
        }
        self.cursors.insert(
            thread,
            Cursor {
                answer: n,
                ended: false,
            },
        );
        n
    }

    fn usage(&mut self, mut usage: super::event::Usage, answer: &str, thread: u16) {
        if usage.total {
            let before = self.totals.insert(self.session, usage).unwrap_or_default();
            usage.input = usage.input.saturating_sub(before.input);
            usage.output = usage.output.saturating_sub(before.output);
            usage.cache_read = usage.cache_read.saturating_sub(before.cache_read);
            usage.cache_write = usage.cache_write.saturating_sub(before.cache_write);
            usage.total = false;
        }
        let ended = self.cursors.get(&thread).is_some_and(|c| c.ended);
        let n = self.answer(answer, thread, None);
        if let Some(cursor) = self.cursors.get_mut(&thread) {
            // Being told what an answer cost does not make it go on.
            cursor.ended = ended;
        }
        if n == 0 {
            return;
        }
        if let Some(a) = self.index.answers.get_mut(n as usize - 1)
            && a.usage != usage
        {
            a.usage = usage;
            let first = a.first;
            self.touch(first);
        }
    }

    /// Everything after `to` is dead. `turns:N` means the last N turns, `before:ID` also that event itself.
    fn rewind(&mut self, to: &str) {
        let from = if let Some(n) = to
            .strip_prefix("turns:")
            .and_then(|n| n.parse::<u32>().ok())
        {
            let keep = self.live_turns(n);
            self.index
                .entries
                .iter()
                .position(|e| e.thread == 0 && e.turn > keep && !e.dead)
        } else if to.is_empty() {
            Some(0)
        } else if let Some(id) = to.strip_prefix("before:") {
            let node = hash(&["node", id]);
            self.owners.iter().position(|n| *n == node)
        } else {
            let node = hash(&["node", to]);
            self.owners
                .iter()
                .rposition(|n| *n == node)
                .map(|last| last + 1)
        };
        let Some(from) = from else { return };
        for at in from..self.index.entries.len() {
            if !self.index.entries[at].dead {
                self.index.entries[at].dead = true;
                self.touch(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    /// The last turn that stays when the last `n` live ones go.
    fn live_turns(&self, n: u32) -> u32 {
        let mut turns: Vec<u32> = self
            .index
            .entries
            .iter()
            .filter(|e| e.thread == 0 && !e.dead && e.turn > 0)
            .map(|e| e.turn)
            .collect();
        turns.dedup();
        let keep = turns.len().saturating_sub(n as usize);
        keep.checked_sub(1)
            .and_then(|i| turns.get(i))
            .copied()
            .unwrap_or(0)
    }

    /// Finds which branches of the conversation are dead, from its current leaf. To be called when what was there has been
    /// read, and again after more came.
    pub fn settle(&mut self) {
        if !self.has_parents {
            self.kill_children();
            return;
        }
        let leaf = if self.nodes.contains_key(&self.leaf) && !self.is_behind(self.leaf) {
            self.leaf
        } else {
            self.last_node
        };
        let mut live = HashSet::new();
        let mut at = leaf;
        // A chain that bites its own tail ends where it does.
        while at != 0 && live.insert(at) {
            at = self.nodes.get(&at).map_or(0, |n| n.parent);
        }
        // The blocks of one answer, and the results of its calls, live and die together: parallel calls are siblings.
        let mut answers = HashSet::new();
        for (entry, node) in self.index.entries.iter().zip(&self.owners) {
            if live.contains(node) && entry.answer != 0 {
                answers.insert(entry.answer);
            }
        }
        let roots = self.roots(&live);
        for at in 0..self.index.entries.len() {
            let (entry, node) = (&self.index.entries[at], self.owners[at]);
            if entry.thread != 0 || node == 0 {
                continue;
            }
            let dead = !live.contains(&node)
                && !answers.contains(&entry.answer)
                && roots.get(&node).copied().unwrap_or(false);
            if entry.dead != dead {
                self.index.entries[at].dead = dead;
                self.touch(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        self.kill_children();
    }

    /// The told leaf may be old: the conversation went on below it.
    fn is_behind(&self, leaf: u64) -> bool {
        let mut seen = HashSet::new();
        let mut at = self.last_node;
        while at != 0 && seen.insert(at) {
            if at == leaf {
                return true;
            }
            at = self.nodes.get(&at).map_or(0, |n| n.parent);
        }
        false
    }

    /// For each main node that is not live: whether its branch leaves a live one (then it is dead) or hangs in the air
    /// (its parent is missing: it may well be a part of the conversation whose beginning was cut off).
    fn roots(&self, live: &HashSet<u64>) -> HashMap<u64, bool> {
        let mut known: HashMap<u64, bool> = HashMap::new();
        for start in self.nodes.keys() {
            let mut path = Vec::new();
            let mut seen = HashSet::new();
            let mut at = *start;
            let verdict = loop {
                if live.contains(&at) {
                    break true;
                }
                if let Some(v) = known.get(&at) {
                    break *v;
                }
                if at == 0 || !seen.insert(at) {
                    break false;
                }
                path.push(at);
                at = self.nodes.get(&at).map_or(0, |n| n.parent);
            };
            for node in path {
                known.insert(node, verdict);
            }
        }
        known
    }

    /// A subagent is as dead as the call that started it.
    fn kill_children(&mut self) {
        let dead: Vec<bool> = self
            .index
            .threads
            .iter()
            .map(|t| {
                t.call
                    .and_then(|c| self.index.get(c))
                    .is_some_and(|e| e.dead)
            })
            .collect();
        for at in 0..self.index.entries.len() {
            let entry = &mut self.index.entries[at];
            let is = dead
                .get(usize::from(entry.thread))
                .copied()
                .unwrap_or(false);
            if entry.thread != 0 && entry.dead != is {
                entry.dead = is;
                self.touch(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    /// The newest call of that id, and its entry: for whoever reads what records say about files.
    #[must_use]
    pub fn entry_of_call(&self, id: &str) -> Option<(u32, &Entry)> {
        let at = self.find_call(id)?;
        Some((at, self.index.get(at)?))
    }

    /// Adds a step that no record tells: a change that was inferred, before the entry at `before` (at the end where there
    /// is none).
    pub fn insert(&mut self, before: Option<u32>, title: &str, time: i64) -> u32 {
        let (major, minor, session, turn) = match before.and_then(|at| self.index.get(at)) {
            Some(entry) => {
                let major = entry.major.saturating_sub(1);
                let minor = self.index.next_minor(major).max(1);
                (major, minor, entry.session, entry.turn)
            }
            None => {
                let n = self.next;
                self.next += 1;
                (n, 0, self.session, self.turn)
            }
        };
        let native = format!("outside:{major}.{minor}");
        let mut entry = self.blank(
            StepKind::Outside,
            first_line(title),
            native,
            0,
            (major, minor, turn),
            None,
        );
        entry.session = session;
        entry.time = time;
        self.add(entry, 0)
    }
}

/// A title with its paths as said from the working directory.
fn shorten(title: String, cwd: &str) -> String {
    if cwd.len() < 2 || !title.contains(cwd) {
        return title;
    }
    title.replace(&format!("{}/", cwd.trim_end_matches('/')), "")
}

/// A path as said from the working directory, where it lies in it.
fn below<'p>(path: &'p str, cwd: &str) -> &'p str {
    match path.strip_prefix(cwd).and_then(|r| r.strip_prefix('/')) {
        Some(rest) if !cwd.is_empty() && !rest.is_empty() => rest,
        _ => path,
    }
}

fn told_key(node: u64, kind: StepKind, nth: u16) -> u64 {
    let mut h = DefaultHasher::new();
    (node, kind as u8, nth).hash(&mut h);
    h.finish()
}

fn word(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Prompt => "prompt",
        StepKind::Thought => "thought",
        StepKind::Message => "message",
        StepKind::Marker => "marker",
        _ => "step",
    }
}

/// How an image is shown: `<image/png 412 KB>`.
#[must_use]
pub fn image_line(media: &str, bytes: u64) -> String {
    let media = if media.is_empty() { "image" } else { media };
    if bytes < 1024 {
        format!("<{media} {bytes} B>")
    } else {
        format!("<{media} {} KB>", bytes.div_ceil(1024))
    }
}
