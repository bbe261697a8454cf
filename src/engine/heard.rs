//! One recording that is followed: its records become steps of the project, its calls become known to the ties.
//!
//! The same reader and the same assembler work here that index a recorded run; what differs is that steps get the project's
//! numbers, that their texts are stored, and that only what is new since the session began is taken: a resumed or forked
//! recording begins with what was said before.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::{BlobId, CallKind, Ordinal, SessionId, Step, StepKind, Time};
use crate::trace::assemble::Assembler;
use crate::trace::event::{Before, Body, Event, FileEffect, Out, Record, Side, Span, State, What};
use crate::trace::format::Format;
use crate::trace::index::FileMark;
use crate::trace::link::{Deed, squeezed};
use crate::trace::records;

use super::core::{Core, Failure};

/// Longest text kept of one event, in bytes.
const LONGEST: usize = 16 << 20;
/// Dead branches are looked for at most this often.
const SETTLE: Duration = Duration::from_millis(500);
/// Largest content that is worked out to be compared with what was captured.
const COMPARED: usize = 4 << 20;

/// Where its sessions go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    /// The `run`'s session; `None` while several are possible.
    pub session: Option<SessionId>,
    /// Its cgroup.
    pub cgroup: String,
    /// Its command line.
    pub command: String,
}

/// One recording.
pub struct Heard {
    /// Its reader.
    pub format: &'static dyn Format,
    /// Its files, the main one first.
    pub files: Vec<PathBuf>,
    /// Where its sessions go on.
    pub home: Home,
    sides: Vec<Option<Side>>,
    states: Vec<State>,
    /// For each file: the last record with a time was new.
    fresh: Vec<bool>,
    assembler: Assembler,
    since: Time,
    /// What was stored, by entry.
    kept: HashMap<u32, Step>,
    texts: HashMap<u32, (Option<BlobId>, Option<BlobId>)>,
    commands: HashMap<u32, String>,
    /// Turns and answers of its sessions that were stored by an earlier run.
    base: HashMap<SessionId, (u32, u32)>,
    settled: Option<Instant>,
    tree: bool,
}

/// What came of some records.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct News {
    /// Steps that are new or have changed.
    pub steps: usize,
    /// A call has ended.
    pub ended: bool,
    /// A call has begun or was told more of.
    pub calls: bool,
}

impl News {
    /// Both.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.ended |= other.ended;
        self.calls |= other.calls;
    }
}

impl Heard {
    /// A recording whose main file is `main`; records older than `since` are not taken.
    #[must_use]
    pub fn new(format: &'static dyn Format, main: &Path, since: Time, home: Home) -> Self {
        let mut heard = Self {
            format,
            files: Vec::new(),
            home,
            sides: Vec::new(),
            states: Vec::new(),
            fresh: Vec::new(),
            assembler: Assembler::new(format.name()),
            since,
            kept: HashMap::new(),
            texts: HashMap::new(),
            commands: HashMap::new(),
            base: HashMap::new(),
            settled: None,
            tree: false,
        };
        heard.file(main, None);
        heard
    }

    /// The main file.
    #[must_use]
    pub fn main(&self) -> &Path {
        self.files.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// The number of a file, which gets one if it has none.
    pub fn file(&mut self, path: &Path, side: Option<Side>) -> usize {
        if let Some(n) = self.files.iter().position(|f| f == path) {
            return n;
        }
        self.files.push(path.to_owned());
        self.sides.push(side);
        self.states.push(State::default());
        self.fresh.push(false);
        self.assembler.index.files.push(FileMark {
            path: crate::model::neutral(path.as_os_str().as_encoded_bytes()),
            ..FileMark::default()
        });
        self.files.len() - 1
    }

    /// The side file at `path`, if it is one.
    #[must_use]
    pub fn side(&self, path: &Path) -> Option<Side> {
        let dir = self.main().parent()?;
        path.starts_with(dir)
            .then(|| self.format.sides(self.main()))?
            .into_iter()
            .find(|s| s.path == path)
    }

    /// The sessions in it that have steps.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        let mut all: Vec<SessionId> = Vec::new();
        for kept in self.kept.values() {
            all.extend(kept.session.filter(|s| !all.contains(s)));
        }
        all
    }

    /// The agent's own id of a session.
    #[must_use]
    pub fn native_of(&self, id: SessionId) -> String {
        let all = &self.assembler.index.sessions;
        all.iter()
            .map(|s| s.id.as_str())
            .find(|native| SessionId::of(native) == id)
            .map_or_else(
                || crate::model::neutral(self.main().as_os_str().as_encoded_bytes()),
                str::to_owned,
            )
    }

    /// The agent's name, as it is known.
    #[must_use]
    pub fn agent(&self) -> String {
        self.assembler
            .index
            .sessions
            .iter()
            .map(|s| s.agent.as_str())
            .find(|a| !a.is_empty())
            .unwrap_or_else(|| self.format.name())
            .to_owned()
    }

    /// Reads the beginning of a file that is followed from a later place: for what formats write once.
    pub fn head(&mut self, file: usize, bytes: &[u8]) {
        self.each(file, 0, bytes, &mut |heard, record| {
            let mut out = Out::default();
            heard
                .format
                .events(record, &mut heard.states[file], &mut out);
            out.events.retain(|e| matches!(e.body, Body::Session(_)));
            heard
                .assembler
                .take(record, out, false, heard.sides[file].clone().as_ref());
        });
        self.assembler.take_changed();
    }

    /// A new file of this recording, told from its start.
    pub fn begins(&mut self, file: usize) {
        if let Some(fresh) = self.fresh.get_mut(file) {
            *fresh = true;
        }
    }

    fn each(
        &mut self,
        file: usize,
        offset: u64,
        bytes: &[u8],
        each: &mut dyn FnMut(&mut Self, Record<'_>),
    ) {
        let number = u16::try_from(file).unwrap_or(u16::MAX);
        let mut spans: Vec<Span> = Vec::new();
        records::lines(bytes, number, offset, &mut |r| spans.push(r.span));
        for span in spans {
            let from = usize::try_from(span.offset - offset).unwrap_or(usize::MAX);
            if let Some(bytes) = bytes.get(from..from.saturating_add(span.len as usize)) {
                let tag = "";
                each(self, Record { bytes, span, tag });
            }
        }
    }

    /// Takes whole lines that a file has from `offset` on.
    pub fn take(
        &mut self,
        core: &Core,
        file: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<News, Failure> {
        let mut news = News::default();
        let mut failed = None;
        self.each(
            file,
            offset,
            bytes,
            &mut |heard, record| match heard.record(core, file, record) {
                Ok(more) => news.add(&more),
                Err(e) => failed = Some(e),
            },
        );
        if self.tree
            && self
                .settled
                .is_none_or(|t| t.elapsed() > SETTLE || self.assembler.index.entries.len() < 500)
        {
            self.settled = Some(Instant::now());
            self.assembler.settle();
            news.add(&self.publish(core)?);
        }
        match failed {
            Some(e) => Err(e),
            None => Ok(news),
        }
    }

    fn record(&mut self, core: &Core, file: usize, record: Record<'_>) -> Result<News, Failure> {
        let mut out = Out::default();
        self.format.events(record, &mut self.states[file], &mut out);
        let time = out.events.iter().filter_map(|e| e.time).max();
        if let Some(time) = time {
            self.fresh[file] = time >= self.since;
        }
        let new = self.fresh[file];
        if !new {
            out.events.retain(|e| matches!(e.body, Body::Session(_)));
        }
        self.tree |= out.events.iter().any(|e| e.parent.is_some());
        let effects = new && self.format.has_effects(record);
        let events = out.events.clone();
        let side = self.sides[file].clone();
        self.assembler.take(record, out, effects, side.as_ref());
        if !new {
            // A model that changed between then and now is no step of this run.
            self.assembler.take_changed();
            return Ok(News::default());
        }
        self.keep_texts(core, record, &events)?;
        let news = self.publish(core)?;
        if effects {
            self.declare(core, file, record);
        }
        Ok(news)
    }

    /// Stores the texts that the record has for the steps that changed.
    fn keep_texts(
        &mut self,
        core: &Core,
        record: Record<'_>,
        events: &[Event<'_>],
    ) -> Result<(), Failure> {
        for event in events {
            let (text, call) = match &event.body {
                Body::Prompt(t) | Body::Thought(t) | Body::Message(t) => (t.as_bytes(), None),
                Body::Marker { text, .. } => (text.as_bytes(), None),
                Body::Call(c) => (c.input.as_bytes(), Some(&*c.id)),
                Body::Result(o) => (o.output.as_bytes(), Some(&*o.id)),
                Body::Unknown { .. } => (record.bytes, None),
                _ => continue,
            };
            let found = match call.and_then(|id| self.assembler.entry_of_call(id)) {
                Some((at, _)) => Some(at),
                None => self.entry_at(record.span, event.part),
            };
            let Some(at) = found else { continue };
            if let Body::Call(c) = &event.body {
                self.commands.insert(at, command(&c.input));
            }
            if text.is_empty() {
                continue;
            }
            let blob = core.store.put_blob(&text[..text.len().min(LONGEST)])?;
            let texts = self.texts.entry(at).or_default();
            if matches!(event.body, Body::Result(_)) {
                texts.1 = Some(blob);
            } else {
                texts.0 = Some(blob);
            }
        }
        Ok(())
    }

    /// The entry whose text is there: one of the last ones.
    fn entry_at(&self, span: Span, part: u16) -> Option<u32> {
        let entries = &self.assembler.index.entries;
        entries
            .iter()
            .enumerate()
            .rev()
            .take(256)
            .find(|(_, e)| e.body.is_some_and(|s| s.span == span && s.part == part))
            .and_then(|(at, _)| u32::try_from(at).ok())
    }

    /// Stores and tells what has changed.
    fn publish(&mut self, core: &Core) -> Result<News, Failure> {
        let mut news = News::default();
        let mut changed = self.assembler.take_changed();
        if changed.is_empty() {
            return Ok(news);
        }
        changed.sort_unstable();
        // What `emit` tells meanwhile of the same calls waits, and so do we for it.
        let _turn = core.emit_turn();
        for at in changed {
            let Some(step) = self.step(core, at)? else {
                continue;
            };
            let old = self.kept.get(&at);
            if old == Some(&step) {
                continue;
            }
            news.steps += 1;
            if step.kind == StepKind::Call {
                news.calls = true;
                news.ended |= step.end.is_some() && old.is_none_or(|o| o.end.is_none());
                self.tell_call(core, at, &step);
            }
            if let (StepKind::Prompt, Some(session)) = (step.kind, step.session) {
                core.timeline.turn(session, step.turn);
            }
            core.keep(&step)?;
            self.kept.insert(at, step);
        }
        Ok(news)
    }

    /// The step as it is to be stored.
    fn step(&mut self, core: &Core, at: u32) -> Result<Option<Step>, Failure> {
        let Some(mut step) = self.assembler.index.step(at) else {
            return Ok(None);
        };
        let session = step.session.unwrap_or(SessionId([0; 32]));
        let (turns, answers) = self.base_of(core, session)?;
        step.turn += turns;
        if step.talk.answer > 0 {
            step.talk.answer += answers;
        }
        if step.time == Time(0) {
            step.time = Time::now();
        }
        let (body, output) = self.texts.get(&at).copied().unwrap_or_default();
        (step.body, step.output) = (body, output);
        let cwd = self.cwd(at);
        step.paths = step
            .paths
            .iter()
            .map(|p| in_project(p, &cwd, core))
            .collect();
        if let Some(kept) = self.kept.get(&at) {
            let old = kept;
            (step.id, step.session, step.ordinal) = (old.id, old.session, old.ordinal);
            return Ok(Some(step));
        }
        // Perhaps `emit` has told it already, or an earlier run of the same session.
        let mut known = core.store.step(step.id)?;
        if known.is_none() && step.kind == StepKind::Call {
            known = core.call_in_family(self.home.session, &step.native)?;
        }
        if let Some(old) = known {
            (step.id, step.session, step.ordinal) = (old.id, old.session, old.ordinal);
            step.native = old.native;
            step.turn = old.turn;
            step.body = step.body.or(old.body);
            step.output = step.output.or(old.output);
            if step.end.is_none() && old.end.is_some() {
                (step.end, step.status, step.exit_code) = (old.end, old.status, old.exit_code);
            }
        } else {
            step.ordinal = core.timeline.number(self.number_of_call(at));
            core.session_heard(session, self, &step)?;
        }
        Ok(Some(step))
    }

    /// The number of the call that started the subagent which the entry belongs to.
    fn number_of_call(&self, at: u32) -> Option<Ordinal> {
        let index = &self.assembler.index;
        let thread = index.get(at)?.thread;
        let call = index
            .threads
            .get(usize::from(thread))
            .filter(|_| thread > 0)?
            .call?;
        self.kept.get(&call).map(|s| s.ordinal)
    }

    /// Turns and answers that the store has of the session already.
    fn base_of(&mut self, core: &Core, session: SessionId) -> Result<(u32, u32), Failure> {
        if let Some(base) = self.base.get(&session) {
            return Ok(*base);
        }
        let mut base = (0, 0);
        if core.store.session(session)?.is_some() {
            let mut before = None;
            for _ in 0..20 {
                let page = core.store.steps_before(before, 512)?;
                for step in page.iter().filter(|s| s.session == Some(session)) {
                    base = (base.0.max(step.turn), base.1.max(step.talk.answer));
                }
                match page.last() {
                    Some(last) if base.0 == 0 => before = Some(last.ordinal),
                    _ => break,
                }
            }
        }
        self.base.insert(session, base);
        Ok(base)
    }

    fn cwd(&self, at: u32) -> String {
        let index = &self.assembler.index;
        index
            .get(at)
            .and_then(|e| index.sessions.get(usize::from(e.session)))
            .map(|s| s.cwd.clone())
            .unwrap_or_default()
    }

    fn tell_call(&self, core: &Core, at: u32, step: &Step) {
        let Some(session) = step.session else { return };
        let deed = Deed {
            step: step.id,
            session,
            host: self.home.cgroup.clone(),
            thread: step.talk.thread,
            answer: step.talk.answer,
            kind: step.call,
            paths: step.paths.clone(),
            command: match step.call {
                CallKind::Execute | CallKind::Other => {
                    self.commands.get(&at).cloned().unwrap_or_default()
                }
                _ => String::new(),
            },
            contents: Vec::new(),
            start: step.time,
            end: step.end,
        };
        for ties in core.timeline.ties_of(self.home.session) {
            ties.put(deed.clone());
        }
    }

    /// Tells the ties which contents a call declares.
    fn declare(&self, core: &Core, file: usize, record: Record<'_>) {
        let mut effects = Vec::new();
        self.format
            .effects(record, &self.states[file], &mut effects);
        for effect in effects {
            let Some((at, _)) = self.assembler.entry_of_call(&effect.call) else {
                continue;
            };
            let Some(kept) = self.kept.get(&at) else {
                continue;
            };
            if let Some(content) = content(&effect) {
                let cwd = effect.cwd.clone().unwrap_or_else(|| self.cwd(at));
                let path = in_project(&effect.path, &cwd, core);
                let blob = BlobId::of(content.as_bytes());
                for ties in core.timeline.ties_of(self.home.session) {
                    ties.declare(kept.id, &path, blob);
                }
            }
        }
    }
}

/// The content that an effect leaves, where it can be told from the record alone.
fn content(effect: &FileEffect) -> Option<String> {
    match (&effect.what, &effect.before) {
        (What::Write(text), _) => Some(text.clone()),
        (What::Replace(pairs), Before::Content(before)) if before.len() <= COMPARED => {
            let mut text = before.clone();
            for pair in pairs {
                if pair.old.is_empty() || !text.contains(&pair.old) {
                    return None;
                }
                let times = if pair.all { usize::MAX } else { 1 };
                text = text.replacen(&pair.old, &pair.new, times);
                if text.len() > COMPARED {
                    return None;
                }
            }
            Some(text)
        }
        _ => None,
    }
}

/// The command in a call's arguments, squeezed: all texts that may be one, since tools name them as they like.
fn command(input: &str) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(input) else {
        return squeezed(input);
    };
    let words = |v: &serde_json::Value| -> Option<String> {
        match v {
            serde_json::Value::String(s) => Some(s.clone()),
            serde_json::Value::Array(list) => Some(
                list.iter()
                    .filter_map(|v| v.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            _ => None,
        }
    };
    ["command", "cmd", "script", "code", "input"]
        .iter()
        .find_map(|key| words(value.get(*key)?))
        .map(|text| squeezed(&text))
        .unwrap_or_default()
}

/// A path as a call names it, relative to the project also where its agent is in a view.
fn in_project(path: &str, cwd: &str, core: &Core) -> String {
    let own = |path: &str| {
        let own = core.project.own_path(Path::new(path));
        own.to_string_lossy().into_owned()
    };
    relative(&own(path), &own(cwd), &core.project.root)
}

/// A path as a call names it, relative to the project where it lies in it, without `.` and `..`.
fn relative(path: &str, cwd: &str, project: &Path) -> String {
    let joined = Path::new(cwd).join(path);
    let mut parts: Vec<std::path::Component<'_>> = Vec::new();
    for part in joined.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if parts.len() > 1 => _ = parts.pop(),
            other => parts.push(other),
        }
    }
    let whole: PathBuf = parts.iter().collect();
    whole
        .strip_prefix(project)
        .map_or_else(|_| path.to_owned(), |p| p.to_string_lossy().into_owned())
}

/// The directory that a recording says its agent works in, and the name it gives its agent, from its beginning.
#[must_use]
pub fn whose(format: &dyn Format, bytes: &[u8]) -> BTreeMap<&'static str, String> {
    let mut state = State::default();
    let mut found = BTreeMap::new();
    records::lines(bytes, 0, 0, &mut |record| {
        let mut out = Out::default();
        format.events(record, &mut state, &mut out);
        for event in out.events {
            if let Body::Session(facts) = event.body {
                for (key, value) in [("cwd", facts.cwd), ("agent", facts.agent)] {
                    if !value.is_empty() {
                        found.entry(key).or_insert(value);
                    }
                }
            }
        }
    });
    if !state.cwd.is_empty() {
        found.entry("cwd").or_insert(state.cwd);
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_as_they_lie_in_the_project() {
        let p = Path::new("/w/p");
        assert_eq!(relative("/w/p/a/../b", "/w/p", p), "b");
        assert_eq!(relative("./a", "/w/p/sub", p), "sub/a");
        assert_eq!(relative("../a", "/w/p/sub", p), "a");
        assert_eq!(relative("/etc/passwd", "/w/p", p), "/etc/passwd");
        assert_eq!(relative("../../../../x", "/w/p", p), "../../../../x");
    }

    #[test]
    fn commands_however_they_are_given() {
        assert_eq!(
            command(r#"{"command":"sed -i 's/a/b/' f"}"#),
            "sed-is/a/b/f"
        );
        assert_eq!(
            command(r#"{"command":["bash","-lc","ls 'x'"]}"#),
            "bash-lclsx"
        );
        assert_eq!(command(r#"{"cmd":"ls"}"#), "ls");
        assert_eq!(command("ls -l"), "ls-l");
        assert_eq!(command(r#"{"n":1}"#), "");
    }
}
