//! Numbers of steps: those that records tell, and those that were inferred and come between two others.

use super::super::emit::first_line;
use super::super::event::Span;
use super::{Assembler, hash};
use crate::model::StepKind;

impl Assembler {
    /// The next number in a thread, with the turn.
    pub(super) fn number(&mut self, thread: u16) -> (u32, u32, u32) {
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

    /// Adds a step that no record tells: a change that was inferred, before the entry at `before` (at the end where there
    /// is none).
    pub fn insert(&mut self, before: Option<u32>, title: &str, time: i64) -> u32 {
        self.insert_at(before, None, title, time)
    }

    /// The same, where `record` is the one that shows the change.
    ///
    /// Its id says what it stands before and not its number, which may be another one when the recording has grown.
    pub fn insert_at(
        &mut self,
        before: Option<u32>,
        record: Option<Span>,
        title: &str,
        time: i64,
    ) -> u32 {
        let (major, minor, session, turn, mut native) =
            match before.and_then(|at| self.index.get(at)) {
                Some(entry) => {
                    // Before a subagent's step, and still behind the call that started the subagent.
                    let (major, minor) = if entry.minor > 0 {
                        (entry.major, self.index.minor_before(entry.ordinal()))
                    } else {
                        let major = entry.major.saturating_sub(1);
                        (major, self.index.next_minor(major))
                    };
                    let native = format!("outside:{}", entry.native);
                    (major, minor.max(1), entry.session, entry.turn, native)
                }
                None => {
                    let n = self.next;
                    self.next += 1;
                    let native = match record {
                        Some(span) => format!("outside:record:{}:{}", span.file, span.offset),
                        None => "outside:end".to_owned(),
                    };
                    (n, 0, self.session, self.turn, native)
                }
            };
        let key = hash(&["outside", &session.to_string(), &native]);
        let nth = self.outsides.entry(key).or_default();
        *nth += 1;
        if *nth > 1 {
            native = format!("{native}#{nth}");
        }
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
