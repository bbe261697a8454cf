//! What recordings have that projects do not: subagents, answers of several steps, markers.

use crate::model::{CallKind, Ordinal, StepId, StepKind, Tokens};

use super::script::World;

impl World {
    /// A call that starts a subagent, with what that does.
    pub(super) fn agent(
        &mut self,
        thread: u32,
        kind: &str,
        asked: &str,
        act: impl FnOnce(&mut Self),
    ) -> Ordinal {
        let body = serde_json::json!({ "subagent_type": kind, "prompt": asked }).to_string();
        let at = self.step(
            StepKind::Call,
            CallKind::Agent,
            "Task",
            &format!("{kind}: {asked}"),
            &body,
            Some("It is in src/auth."),
            None,
            60.0,
        );
        let first = self.rows.len();
        let depth = self.rows[first - 1].talk.depth + 1;
        self.rows[first - 1].talk.child = Some(thread);
        let (turn, thought) = (self.turn, self.thought.clone());
        act(self);
        (self.turn, self.thought) = (turn, thought);
        let mut details = Vec::new();
        for (row, minor) in self.rows[first..].iter_mut().zip(1..) {
            let mut detail = self.details.remove(&row.ordinal).unwrap();
            row.ordinal = Ordinal { minor, ..at };
            row.step = StepId::of(self.session, &row.ordinal.to_string());
            row.turn = turn;
            row.talk.depth += 1;
            if row.talk.thread == 0 {
                row.talk.thread = thread;
            }
            detail.row = row.clone();
            details.push((row.ordinal, detail));
        }
        // Those of agents below it were counted from the wrong depth.
        for row in &mut self.rows[first..] {
            if row.talk.thread == thread {
                row.talk.depth = depth;
            }
        }
        self.details.extend(details);
        at
    }

    /// Marks what was added since a place as one answer of the model.
    pub(super) fn one_answer(&mut self, number: u32, from: usize, output: u64) {
        for (i, row) in self.rows[from..].iter_mut().enumerate() {
            row.talk.answer = number;
            row.talk.tokens = (i == 0).then_some(Tokens {
                input: 340,
                output,
                cache_read: 85_000,
                cache_write: 0,
            });
        }
    }

    /// A marker.
    pub(super) fn marker(&mut self, title: &str, body: &str) -> Ordinal {
        self.step(
            StepKind::Marker,
            CallKind::Other,
            "",
            title,
            body,
            None,
            None,
            0.0,
        )
    }
}
