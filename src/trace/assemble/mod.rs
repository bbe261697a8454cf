//! Makes steps of events: numbers, turns, answers, subagents, results at their calls, branches that were left.
//!
//! One pass, in the order in which records come, so that the same code indexes a file and follows one that grows. What a
//! format says by ids is found again by 64-bit hashes of them: ids are kept as text only where a person may ask for them.
//!
//! * Main steps are numbered 1, 2, 3 ...; a subagent's steps lie behind the call that started it: 136.1, 136.2 ... So the
//!   numbers of the main conversation are the same whether the subagents' files are there or not.
//! * An event whose id was there before is the same event told again (a copy in a resumed file, an update): it replaces.
//! * A branch is dead when the current leaf does not come from it. Only formats that give parents have such.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

mod branches;
mod calls;
#[cfg(test)]
mod laws;
mod numbers;
#[cfg(test)]
mod tests;
mod threads;

use crate::model::{CallKind, Status, StepKind, Time};

use super::emit::first_line;
use super::event::{Body, Event, Facts, Out, Record, Side};
use super::index::{EffectAt, Entry, Index, NO_TIME, Spot};
use calls::Told;

/// What readers call the inlined subagent of a format that gives it no id.
const SIDECHAIN: &str = "sidechain";
/// What tools that hide secrets leave of an id: it names nothing.
const REDACTED: &str = "REDACTED";
/// As many events of one record are taken: their numbers have 16 bits.
const MOST: usize = u16::MAX as usize;
/// No entry.
const NONE: u32 = u32::MAX;

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
    /// The first and the last entry that it made.
    entries: (u32, u32),
}

/// A key of what a session calls by that id: ids may be used again in another session.
fn key(what: &str, session: u16, id: &str) -> u64 {
    let mut h = DefaultHasher::new();
    (what, session, id).hash(&mut h);
    h.finish().max(1)
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
    /// The calls of each id, by session and id.
    calls: HashMap<u64, Told>,
    /// Under which of those keys an id was used last.
    sessions_of_calls: HashMap<u64, u64>,
    /// Calls by the event that told them: the same one told again is the same call.
    calls_of_nodes: HashMap<u64, u32>,
    /// Names of calls that are given away.
    call_names: HashSet<u64>,
    /// Which call a record is about, where its id is used more than once.
    at_records: HashMap<u64, u32>,
    /// Sessions by their ids.
    by_native: HashMap<u64, u16>,
    answers: HashMap<u64, u32>,
    threads: HashMap<u64, u16>,
    /// The kind of agent that a call starts, where that is told before the agent itself is.
    kinds: HashMap<u32, String>,
    /// Calls that start an agent, by the words they give it.
    tasks: HashMap<u64, VecDeque<u32>>,
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
    /// How many inferred steps stand before the same thing.
    outsides: HashMap<u64, u32>,
    /// Something came that may make a branch dead or alive.
    unsettled: bool,
    /// The leaf that the branches were settled for, moved on by what continues it.
    tip: u64,
    /// The entries that are not dead, kept from the first rewind on.
    live: Option<BTreeSet<u32>>,
}

/// What a record is to the assembler, besides its events.
struct Here<'a> {
    record: Record<'a>,
    tag: u8,
    side: Option<&'a Side>,
    /// How often each (event id, kind) occurred in this record.
    seen: HashMap<(u64, u8), u32>,
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
        let more = out.events.len().saturating_sub(MOST);
        for event in out.events.into_iter().take(MOST) {
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
        if more > 0 {
            let name = format!("{more} more parts of one record").into();
            let mut event = Event::new(u16::MAX, Body::Unknown { name });
            event.time = (self.time != NO_TIME).then_some(Time(self.time));
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
            key("node", self.session, native)
        };
        let parent = event
            .parent
            .as_deref()
            .filter(|p| !p.is_empty())
            .map_or(0, |p| self.node_of(p));
        let thread = self.thread_of(&event, node, parent, here);
        if node != 0 {
            self.node(node, parent, thread);
        }
        match event.body {
            Body::Session(facts) => self.facts(*facts, &event.session, thread, event.part, here),
            Body::Link => {}
            Body::Leaf(leaf) => {
                self.leaf = self.node_of(&leaf);
                self.unsettled |= self.leaf != self.tip;
            }
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
            self.revive(at);
            here.last = Some(at);
            self.touch(at);
            return at;
        }
        let own = match (native.is_empty(), nth) {
            (true, nth) => {
                let span = here.record.span;
                format!("record:{}:{}:{part}:{nth}", span.file, span.offset)
            }
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
        if let Some(n) = self.nodes.get_mut(&node) {
            if n.entries.0 == NONE {
                n.entries.0 = at;
            }
            n.entries.1 = at;
        }
        if let Some(live) = &mut self.live {
            live.insert(at);
        }
        // A subagent is as dead as the call that started it.
        let thread = self.index.get(at).map_or(0, |e| e.thread);
        if thread != 0 && self.is_dead_thread(thread) {
            self.set_dead(at, true);
        }
        self.touch(at);
        at
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

fn told_key(node: u64, kind: StepKind, nth: u32) -> u64 {
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
