//! The changed files of a step as lines of a pane: each with its counts, what else is to be said of it, and its hunks.

use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::diff::text::Outcome;
use crate::engine::api::{EntryInfo, FileChange};

use super::app::App;
use super::code::{self, Lights};
use super::detail::Pen;
use super::diff_draw;
use super::msg::{Compared, LightKey};
use super::text;
use super::theme::Token;

/// Lines of difference shown in a pane.
const MAX_DIFF: usize = 600;

/// Changed files listed in a pane.
const MAX_FILES: usize = 100;

impl Pen<'_> {
    /// Every changed file with its difference.
    pub(crate) fn changes(&mut self, app: &App, changes: &[FileChange]) {
        let mut shown = 0;
        for (i, change) in changes.iter().enumerate() {
            if i == MAX_FILES {
                let more = text::plural((changes.len() - i) as u64, "file");
                self.blank();
                return self.dim(&format!("{} {more} more: d", self.look.glyphs.ellipsis));
            }
            if i > 0 {
                self.blank();
            }
            self.doc.files.push(self.doc.lines.len());
            self.file_head(change);
            for note in code::notes(self.look, change) {
                self.dim(&format!("  {note}"));
            }
            if shown >= MAX_DIFF {
                continue;
            }
            let before = self.doc.lines.len();
            self.difference(app, change, MAX_DIFF - shown);
            shown += self.doc.lines.len() - before;
        }
    }

    fn file_head(&mut self, change: &FileChange) {
        let (added, removed) = change.lines.unwrap_or((0, 0));
        let counts = code::counts(self.look, added.into(), removed.into());
        let counts_width: usize = counts.iter().map(Span::width).sum();
        let path = text::path(&change.path);
        let room = self.width.saturating_sub(counts_width + 3).max(4);
        let path = text::clip_start(&path, room, self.look.glyphs.ellipsis).into_owned();
        let pad = room.saturating_sub(text::width(&path));
        let bold = self
            .look
            .theme
            .style(Token::Text)
            .add_modifier(Modifier::BOLD);
        let mut spans = vec![
            self.span(
                format!("{} ", code::letter(change.op)),
                code::letter_token(change.op),
            ),
            Span::styled(path, bold),
            Span::raw(" ".repeat(pad)),
        ];
        spans.extend(counts);
        self.push(Line::from(spans));
    }

    fn difference(&mut self, app: &App, change: &FileChange, limit: usize) {
        let diff = match app.compared(change) {
            None | Some(Compared::Waiting) => return,
            Some(Compared::Large) => {
                let sizes = code::sizes(self.look, change);
                return self.dim(&format!("  large ({sizes}): d, then Enter, shows it"));
            }
            Some(Compared::Failed(why)) => {
                let why = text::one_line(why);
                let line = self.span(format!("  {why}"), Token::Bad);
                return self.push(Line::from(line));
            }
            Some(Compared::Pictures(before, after)) => {
                let words = diff_draw::pictures(app, change, *before, *after);
                return self.dim(&format!("  {words}"));
            }
            Some(Compared::Ready(diff)) => diff,
        };
        match diff.outcome {
            Outcome::Text => {}
            Outcome::Binary => {
                let sizes = code::sizes(self.look, change);
                return self.dim(&format!("  binary ({sizes})"));
            }
            Outcome::TooLarge => {
                let sizes = code::sizes(self.look, change);
                return self.dim(&format!("  too large to compare ({sizes})"));
            }
        }
        let lights = lights(app, change);
        let digits = code::digits(&diff.hunks);
        let mut used = 0;
        for hunk in &diff.hunks {
            self.doc.hunks.push(self.doc.lines.len());
            if code::has_heading(hunk) {
                self.push(code::heading(self.look, hunk));
            }
            for line in &hunk.lines {
                if used >= limit {
                    let more = format!("{} d shows the rest", self.look.glyphs.ellipsis);
                    return self.dim(&more);
                }
                used += 1;
                let line = code::unified(self.look, line, lights, digits);
                self.push(line);
            }
        }
    }
}

/// The recognised words of both sides of a change.
pub(crate) fn lights<'a>(app: &'a App, change: &FileChange) -> Lights<'a> {
    let of = |entry: &Option<EntryInfo>| {
        let key = LightKey::of(entry.as_ref()?)?;
        app.shelf.lights.peek(&key).map(std::sync::Arc::as_ref)
    };
    Lights {
        before: of(&change.before),
        after: of(&change.after),
    }
}
