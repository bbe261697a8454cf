//! Calls with their results, and the answers of the model that steps belong to, with what they cost.

use super::super::emit::{call_title, first_line, kind_of};
use super::super::event::{Call, Ending, Outcome, Span, Usage};
use super::super::index::{Answer, Entry};
use super::{Assembler, Cursor, Here, REDACTED, below, hash, key, shorten};
use crate::model::{CallKind, Status, StepKind, Time};

/// Ids that are at least so long are random: nobody uses them again for another call.
const RANDOM: usize = 16;
/// Of the calls of one id, so many are looked at for a record.
const NEAR: usize = 64;

/// The calls of one id in one session.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Their entries, oldest first.
    all: Vec<u32>,
    /// All before this one have results.
    open: usize,
    /// Hash of the newest one's arguments; 0 while they are empty.
    input: u64,
}

impl Assembler {
    /// The newest call of that id.
    pub(super) fn find_call(&self, id: &str) -> Option<u32> {
        self.told_calls(id)?.all.last().copied()
    }

    /// The key of what is told of an id: in the session that speaks, else where it was used last.
    fn call_key(&self, id: &str) -> u64 {
        let own = key("call", self.session, id);
        if self.calls.contains_key(&own) {
            return own;
        }
        let any = self.sessions_of_calls.get(&hash(&["call", id]));
        any.copied().unwrap_or(own)
    }

    fn told_calls(&self, id: &str) -> Option<&Told> {
        self.calls.get(&self.call_key(id))
    }

    /// Remembers which of several calls of one id a record is about.
    fn about_record(&mut self, id: &str, at: u32, span: Span) {
        if self.told_calls(id).is_some_and(|told| told.all.len() > 1) {
            self.at_records.insert(at_record(id, span), at);
        }
    }

    pub(super) fn call(
        &mut self,
        call: &Call<'_>,
        (native, node): (&str, u64),
        thread: u16,
        part: u16,
        here: &mut Here<'_>,
    ) -> u32 {
        let own_key = key("call", self.session, &call.id);
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
        let told = match call.input.trim() {
            "" | "{}" | "null" => 0,
            input => hash(&["input", input]),
        };
        // The same call told again: in a copy, or as it went on.
        if known && let Some(at) = self.same_call(&call.id, told, thread, node) {
            if let Some(entry) = self.index.entries.get_mut(at as usize) {
                entry.title = title.into();
                entry.body = Some(spot);
            }
            self.revive(at);
            if node != 0 {
                self.calls_of_nodes.insert(call_of_node(node, &call.id), at);
            }
            self.about_record(&call.id, at, here.record.span);
            here.last = Some(at);
            self.touch(at);
            return at;
        }
        let own = match known {
            true => self.call_name(&call.id, own_key),
            false => format!(
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
        let calls = self.calls.entry(own_key).or_default();
        calls.all.push(at);
        calls.input = told;
        self.sessions_of_calls
            .insert(hash(&["call", &call.id]), own_key);
        if known {
            if node != 0 {
                self.calls_of_nodes.insert(call_of_node(node, &call.id), at);
            }
            self.about_record(&call.id, at, here.record.span);
        }
        if kind == CallKind::Agent
            && let Some(prompt) = ["prompt", "message", "task", "instructions"]
                .iter()
                .find_map(|k| input.get(*k)?.as_str())
        {
            let task = hash(&["task", prompt.trim()]);
            self.tasks.entry(task).or_default().push_back(at);
        }
        let _ = native;
        here.last = Some(at);
        at
    }

    /// The call that is told again. Some agents use an id again for another call (`call_0` in each turn): the same one is
    /// told by the same event, or with the same arguments while it has no result.
    fn same_call(&mut self, id: &str, told: u64, thread: u16, node: u64) -> Option<u32> {
        if node != 0
            && let Some(at) = self.calls_of_nodes.get(&call_of_node(node, id))
        {
            return Some(*at);
        }
        let calls = self.calls.get_mut(&key("call", self.session, id))?;
        let at = *calls.all.last()?;
        let entry = self.index.get(at)?;
        if entry.thread != thread && node != 0 {
            return None;
        }
        let open = entry.output.is_none() && entry.status == Status::Running;
        let same = told == calls.input || (open && (told == 0 || calls.input == 0));
        if same && (open || id.len() >= RANDOM) {
            calls.input = if told == 0 { calls.input } else { told };
            return Some(at);
        }
        None
    }

    /// What a new call of that id is called: `call:ID`, and `call:ID#2` when it is the second.
    fn call_name(&mut self, id: &str, own_key: u64) -> String {
        let mut n = self.calls.get(&own_key).map_or(1, |c| c.all.len() + 1);
        loop {
            let name = match n {
                1 => format!("call:{id}"),
                n => format!("call:{id}#{n}"),
            };
            if self.call_names.insert(key("name", self.session, &name)) {
                return name;
            }
            n += 1;
        }
    }

    pub(super) fn tool(&mut self, name: &str) -> u16 {
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

    pub(super) fn result(
        &mut self,
        outcome: &Outcome<'_>,
        part: u16,
        time: Option<Time>,
        thread: u16,
        here: &mut Here<'_>,
    ) {
        self.cursors.entry(thread).or_default().ended = true;
        let spot = Self::spot(here, part);
        let call_key = self.call_key(&outcome.id);
        // Where ids are not unique, results come in the order of their calls.
        let open = self.calls.get_mut(&call_key).and_then(|calls| {
            while let Some(at) = calls.all.get(calls.open)
                && self.index.get(*at).is_some_and(|e| e.output.is_some())
            {
                calls.open += 1;
            }
            calls.all.get(calls.open).or(calls.all.last()).copied()
        });
        let Some(at) = open else {
            let title = format!(
                "result of a call that is not in the recording: {}",
                outcome.id
            );
            self.step(StepKind::Unknown, &title, ("", 0), thread, part, here);
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
        self.about_record(&outcome.id, at, here.record.span);
        here.last = Some(at);
        self.touch(at);
    }

    pub(super) fn about(&mut self, outcome: &Outcome<'_>, here: &mut Here<'_>) {
        if let Some(at) = self.find_call(&outcome.id) {
            if let Some(entry) = self.index.entries.get_mut(at as usize) {
                entry.exit = outcome.exit_code.or(entry.exit);
            }
            self.ending(at, outcome);
            self.about_record(&outcome.id, at, here.record.span);
            here.last = here.last.or(Some(at));
            self.touch(at);
        }
    }

    pub(super) fn ending(&mut self, at: u32, outcome: &Outcome<'_>) {
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
    pub(super) fn join_answer(&mut self, at: u32, answer: &str, thread: u16) {
        let n = self.answer(answer, thread, Some(at));
        // The steps of one answer live and die together.
        let first = self.index.answers.get((n as usize).wrapping_sub(1));
        self.unsettled |= first
            .and_then(|a| self.index.get(a.first))
            .is_some_and(|e| e.dead);
        if let Some(entry) = self.index.entries.get_mut(at as usize)
            && entry.answer == 0
        {
            entry.answer = n;
        }
    }

    /// The number of an answer, made when it is new and `first` begins it.
    pub(super) fn answer(&mut self, answer: &str, thread: u16, first: Option<u32>) -> u32 {
        let named = !answer.is_empty() && answer != REDACTED;
        let cursor = self.cursors.get(&thread).copied().unwrap_or_default();
        let key = key("answer", self.session, &format!("{thread}:{answer}"));
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

    pub(super) fn usage(&mut self, mut usage: Usage, answer: &str, thread: u16) {
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

    /// The newest call of that id, and its entry: for whoever reads what records say about files.
    #[must_use]
    pub fn entry_of_call(&self, id: &str) -> Option<(u32, &Entry)> {
        let at = self.find_call(id)?;
        Some((at, self.index.get(at)?))
    }

    /// The call of that id that the record at `span` is about: where ids are used again, not always the newest.
    #[must_use]
    pub fn entry_of_call_in(&self, id: &str, session: u16, span: Span) -> Option<(u32, &Entry)> {
        let told = self
            .calls
            .get(&key("call", session, id))
            .or_else(|| self.told_calls(id))?;
        let is_here = |at: &u32| {
            self.index.get(*at).is_some_and(|e| {
                let spots = [e.body, e.output];
                spots.into_iter().flatten().any(|s| s.span == span)
            })
        };
        let at = match told.all.as_slice() {
            [only] => *only,
            [first, ..] if is_here(first) => *first,
            all => match self.at_records.get(&at_record(id, span)) {
                Some(at) => *at,
                // Told by a record that is neither: the newest call before it.
                None => *all
                    .iter()
                    .rev()
                    .take(NEAR)
                    .find(|at| {
                        self.index.get(**at).and_then(|e| e.body).is_some_and(|s| {
                            s.span.file == span.file && s.span.offset <= span.offset
                        })
                    })
                    .or(all.last())?,
            },
        };
        Some((at, self.index.get(at)?))
    }
}

fn call_of_node(node: u64, id: &str) -> u64 {
    hash(&["call of", &node.to_string(), id])
}

fn at_record(id: &str, span: Span) -> u64 {
    hash(&["at", &format!("{}:{}", span.file, span.offset), id])
}
