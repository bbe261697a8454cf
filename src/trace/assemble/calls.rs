//! Calls with their results, and the answers of the model that steps belong to, with what they cost.

use super::super::emit::{call_title, first_line, kind_of};
use super::super::event::{Call, Ending, Outcome, Usage};
use super::super::index::{Answer, Entry};
use super::{Assembler, Cursor, Here, REDACTED, below, hash, shorten};
use crate::model::{CallKind, Status, StepKind, Time};

impl Assembler {
    /// The newest call of that id.
    pub(super) fn find_call(&self, id: &str) -> Option<u32> {
        self.calls.get(&hash(&["call", id]))?.last().copied()
    }

    pub(super) fn call(
        &mut self,
        call: &Call<'_>,
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

    pub(super) fn about(&mut self, outcome: &Outcome<'_>, here: &mut Here<'_>) {
        if let Some(at) = self.find_call(&outcome.id) {
            if let Some(entry) = self.index.entries.get_mut(at as usize) {
                entry.exit = outcome.exit_code.or(entry.exit);
            }
            self.ending(at, outcome);
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
}
