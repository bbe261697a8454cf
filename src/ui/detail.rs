//! The panes beside the timeline: what happened at a step and why, what it printed, and what it changed.
//!
//! They are built as lists of lines when something in them changes, not on every frame. Of a text the first 64 KiB are
//! shown, and more when it is asked for; of differences a few hundred lines, beyond which the full diff view takes over.

use std::sync::Arc;

use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::engine::api::{Row, StepDetail, TextPart, rule_words};
use crate::model::{BlobId, CallKind, Status, StepKind};

use super::app::{App, Look};
use super::cache::Cache;
use super::text;
use super::theme::Token;
use super::whole::{self, Whole};
use super::words;

/// Lines of the thought that led to a step.
const WHY_LINES: usize = 4;

/// A pane's text.
#[derive(Debug, Default)]
pub(crate) struct Doc {
    pub lines: Vec<Line<'static>>,
    /// Where hunks begin.
    pub hunks: Vec<usize>,
    /// Where files begin.
    pub files: Vec<usize>,
    /// Texts of which more can be had: the line that says so, the text, and the byte to go on from.
    pub more: Vec<(usize, BlobId, u64)>,
}

/// What a pane's text was built from; it is built again when this differs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DocKey {
    pub row: Option<Row>,
    pub shelf: u64,
    pub width: u16,
    pub parts: Parts,
}

/// What a pane shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    Info,
    Changes,
    Both,
}

/// A pane with where it is scrolled to.
#[derive(Debug, Default)]
pub(crate) struct DocPane {
    pub doc: Doc,
    pub key: Option<DocKey>,
    pub scroll: usize,
    pub left: usize,
}

impl DocPane {
    /// Scrolls so that `height` lines are full where there are so many.
    pub(crate) fn clamp(&mut self, height: usize) {
        let most = self.doc.lines.len().saturating_sub(height);
        self.scroll = self.scroll.min(most);
    }
}

/// Builds a pane's text for the step that is looked at.
pub(crate) fn build(app: &App, parts: Parts, width: u16) -> Doc {
    let mut doc = Doc::default();
    let Some(row) = app.focus_row() else {
        return doc;
    };
    let width = usize::from(width).max(8);
    let detail = app.focus_detail().map(std::sync::Arc::as_ref);
    let mut pen = Pen {
        look: &app.look,
        more: &app.shelf.more,
        width,
        doc: &mut doc,
        ruled: 0,
    };
    if parts != Parts::Changes {
        pen.facts(app, row, detail);
        // Until the rest is there, nothing is said: it would only flicker.
        if let Some(detail) = detail {
            pen.body(row, detail);
        }
    }
    if parts != Parts::Info
        && let Some(detail) = detail
    {
        if parts == Parts::Changes && detail.changes.is_empty() {
            pen.dim("no files changed");
        }
        pen.changes(app, &detail.changes);
    }
    if pen.ruled == pen.doc.lines.len() {
        pen.doc.lines.pop();
    }
    doc
}

/// Writes a pane's lines.
pub(crate) struct Pen<'a> {
    pub look: &'a Look,
    more: &'a Cache<BlobId, Arc<Vec<u8>>>,
    pub width: usize,
    pub doc: &'a mut Doc,
    /// Lines there were after the last rule.
    ruled: usize,
}

impl Pen<'_> {
    pub(crate) fn push(&mut self, line: Line<'static>) {
        self.doc.lines.push(line);
    }

    pub(crate) fn span(&self, text: impl Into<String>, token: Token) -> Span<'static> {
        Span::styled(text.into(), self.look.theme.style(token))
    }

    pub(crate) fn dim(&mut self, text: &str) {
        let span = self.span(text, Token::Dim);
        self.push(Line::from(span));
    }

    pub(crate) fn blank(&mut self) {
        let under_rule = self.ruled == self.doc.lines.len();
        if !under_rule && self.doc.lines.last().is_some_and(|l| l.width() > 0) {
            self.push(Line::default());
        }
    }

    /// `label  text`, wrapped, at most `limit` lines; `end` stands at the right of the last one where there is room.
    fn field(&mut self, label: &str, value: &str, token: Token, limit: usize, end: Option<String>) {
        const LABEL: usize = 6;
        let room = self.width.saturating_sub(LABEL).max(4);
        let mut lines = text::wrap(value, room);
        let cut = lines.len() > limit;
        lines.truncate(limit);
        if lines.len() == limit
            && let Some(last) = lines.last_mut()
        {
            // The last line shares its place with what stands at its end.
            let end = end.as_ref().map_or(0, |e| e.len() + 2);
            let mark = self.look.glyphs.ellipsis;
            let room = room.saturating_sub(end);
            if cut || text::width(last) > room {
                let cut = text::clip(last, room.saturating_sub(1), "").into_owned();
                *last = cut.trim_end().to_owned() + mark;
            }
        }
        let count = lines.len();
        for (i, line) in lines.into_iter().enumerate() {
            let head = if i == 0 { label } else { "" };
            let used = text::width(&line);
            let mut spans = vec![
                self.span(format!("{head:<LABEL$}"), Token::Dim),
                self.span(line, token),
            ];
            if i + 1 == count
                && let Some(end) = &end
            {
                let free = room.saturating_sub(used);
                if free > end.len() {
                    spans.push(Span::raw(" ".repeat(free - end.len())));
                    spans.push(self.span(end.clone(), Token::Dim));
                } else {
                    self.push(Line::from(spans));
                    let pad = self.width.saturating_sub(end.len());
                    spans = vec![
                        Span::raw(" ".repeat(pad)),
                        self.span(end.clone(), Token::Dim),
                    ];
                }
            }
            self.push(Line::from(spans));
        }
    }

    fn rule(&mut self, name: &str) {
        let rule = self.look.glyphs.rule;
        let mut spans = Vec::new();
        let mut used = 0;
        if !name.is_empty() {
            used = text::width(name) + 1;
            spans.push(self.span(format!("{name} "), Token::Dim));
        }
        let rest = rule.repeat(self.width.saturating_sub(used));
        spans.push(self.span(rest, Token::Frame));
        self.push(Line::from(spans));
        self.ruled = self.doc.lines.len();
    }

    /// Why, by which tool, to which state, and how that is known.
    fn facts(&mut self, app: &App, row: &Row, detail: Option<&StepDetail>) {
        let dot = format!(" {} ", self.look.glyphs.dot);
        if let Some(detail) = detail {
            if let Some((at, thought)) = &detail.thought {
                let quoted = format!("\"{}\"", text::one_line(thought));
                self.field(
                    "why",
                    &quoted,
                    Token::Text,
                    WHY_LINES,
                    Some(format!("step {at}")),
                );
            }
            if let Some((at, prompt)) = &detail.prompt
                && row.kind != StepKind::Prompt
            {
                let quoted = format!("\"{}\"", text::one_line(prompt));
                let limit = if detail.thought.is_some() { 1 } else { 3 };
                self.field(
                    "asked",
                    &quoted,
                    Token::Text,
                    limit,
                    Some(format!("step {at}")),
                );
            }
        }
        let mut how = vec![words::what(row)];
        match row.status {
            Status::Running => how.push("running".to_owned()),
            Status::Aborted => how.push("never answered".to_owned()),
            Status::Error if row.exit_code.is_none() => how.push("failed".to_owned()),
            Status::None | Status::Ok | Status::Error => {}
        }
        if let Some(code) = row.exit_code {
            how.push(format!("exit {code}"));
        }
        if let Some(end) = row.end.filter(|_| words::told(row.time)) {
            how.push(words::duration(end.since(row.time)));
        }
        if words::told(row.time) {
            how.push(words::clock(&self.look.zone, row.time, true));
        }
        if let Some(author) = detail
            .and_then(|d| d.commits.last())
            .map(|(c, _)| text::one_line(&c.author))
            .filter(|a| !a.is_empty())
        {
            how.push(author);
        }
        self.field("step", &how.join(&dot), Token::Text, 2, None);
        if row.talk.thread > 0 {
            let of = app.folds.call_above(row).map(|o| format!("step {o}"));
            self.field("by", "a subagent", Token::Text, 1, of);
        }
        if row.talk.dead {
            let text = "on a branch of the conversation that was left";
            self.field("left", text, Token::Warn, 2, None);
        }
        if let Some(tokens) = &row.talk.tokens {
            self.field("cost", &words::tokens(tokens, &dot), Token::Text, 2, None);
        }
        if let Some((commit, link)) = detail.and_then(|d| d.commits.last()) {
            let mut tree = vec![commit.tree.short()];
            if let Some(parent) = row.parent {
                let index = app.focus_index().unwrap_or(0);
                let known = app
                    .rows
                    .before(index)
                    .take(5000)
                    .filter(|r| r.commit == Some(parent))
                    // The first is where it was made; later ones are rollbacks to it.
                    .last();
                tree.push(known.map_or_else(
                    || format!("parent {}", parent.short()),
                    |r| format!("parent {}", r.ordinal),
                ));
            }
            if !commit.branch.is_empty() {
                tree.push(text::one_line(&commit.branch));
            }
            self.field("tree", &tree.join(&dot), Token::Text, 2, None);
            let sure = if link.confidence >= 100 {
                rule_words(link.rule).to_owned()
            } else {
                format!("{}{dot}{} %", rule_words(link.rule), link.confidence)
            };
            self.field("link", &sure, Token::Text, 2, None);
        }
        if !row.labels.is_empty() {
            let names: Vec<String> = row.labels.iter().map(|l| words::label(l)).collect();
            self.field("label", &names.join(" "), Token::Label, 2, None);
        }
    }

    /// The texts: words said, the call's arguments, its output.
    fn body(&mut self, row: &Row, detail: &StepDetail) {
        match row.kind {
            StepKind::Prompt | StepKind::Thought | StepKind::Message | StepKind::Unknown => {
                self.rule("");
                match &detail.body {
                    Some(part) => self.prose(part),
                    None => self.prose_text(&row.title),
                }
            }
            StepKind::Call => {
                self.rule("");
                self.arguments(row, detail);
                if let Some(output) = &detail.output {
                    self.output(row, output);
                }
            }
            StepKind::Fs | StepKind::Outside | StepKind::Marker => {
                self.rule("");
                // A marker's title is the beginning of its text, with its word before it.
                let title = words::marker(&row.title).map_or(row.title.as_str(), |(_, rest)| rest);
                let body = detail.body.as_ref();
                if body.is_none_or(|b| !b.text.trim_start().starts_with(title)) {
                    self.prose_text(&row.title);
                    self.blank();
                }
                if let Some(part) = body {
                    self.prose(part);
                }
            }
        }
        if !detail.changes.is_empty() {
            self.blank();
        }
    }

    fn prose_text(&mut self, prose: &str) {
        for line in text::clean_lines(prose, usize::MAX) {
            let token = if is_image(&line) {
                Token::Kind
            } else {
                Token::Text
            };
            for part in text::wrap(&line, self.width) {
                let span = self.span(part, token);
                self.push(Line::from(span));
            }
        }
    }

    fn prose(&mut self, part: &TextPart) {
        let whole = Whole::of(part, self.more);
        self.prose_text(&whole.text);
        self.rest(part, &whole);
    }

    /// Says how much of a text is not shown, and what shows it.
    fn rest(&mut self, part: &TextPart, whole: &Whole<'_>) {
        let left = part.len.saturating_sub(whole.end);
        if left > 0 {
            let line = self.doc.lines.len();
            self.doc.more.push((line, part.blob, whole.end));
            let left = text::bytes(left);
            self.dim(&format!("{} {left} more: zo", self.look.glyphs.ellipsis));
        }
    }

    fn arguments(&mut self, row: &Row, detail: &StepDetail) {
        let Some(part) = &detail.body else {
            self.prose_text(&row.title);
            return;
        };
        let whole = Whole::of(part, self.more);
        let Some(map) = whole::object(&whole.text, whole.end < part.len) else {
            return self.prose(part);
        };
        if let Some(command) = map.get("command").and_then(serde_json::Value::as_str) {
            for (i, line) in text::clean_lines(command, usize::MAX).iter().enumerate() {
                for (k, piece) in text::wrap(line, self.width.saturating_sub(2))
                    .into_iter()
                    .enumerate()
                {
                    let sign = if i == 0 && k == 0 { "$ " } else { "  " };
                    let sign = self.span(sign, Token::Dim);
                    let bold = self
                        .look
                        .theme
                        .style(Token::Text)
                        .add_modifier(Modifier::BOLD);
                    self.push(Line::from(vec![sign, Span::styled(piece, bold)]));
                }
            }
            return self.rest(part, &whole);
        }
        // What an edit was told to change is shown better by what it changed.
        let told = matches!(row.call, CallKind::Edit | CallKind::Move | CallKind::Delete)
            && !detail.changes.is_empty();
        for (name, value) in &map {
            let value = match value {
                serde_json::Value::String(s) => s.clone(),
                other => other.to_string(),
            };
            // So is what the title says already.
            if value == row.title || told && (value.len() > 60 || value.contains('\n')) {
                continue;
            }
            let label = format!("{} ", text::one_line(name));
            let lines = text::clean_lines(&value, usize::MAX);
            let many = lines.len() > 1;
            let first = if many {
                String::new()
            } else {
                lines.first().cloned().unwrap_or_default()
            };
            let wrapped = text::wrap(&format!("{label}{first}"), self.width);
            for (i, line) in wrapped.into_iter().enumerate() {
                let split = if i == 0 { label.trim_end().len() } else { 0 };
                let head = line.get(..split).unwrap_or_default().to_owned();
                let tail = line.get(split..).unwrap_or_default().to_owned();
                let head = self.span(head, Token::Dim);
                self.push(Line::from(vec![head, Span::raw(tail)]));
            }
            if many {
                for line in lines {
                    self.push(Line::from(format!("  {line}")));
                }
            }
        }
        self.rest(part, &whole);
    }

    fn output(&mut self, row: &Row, part: &TextPart) {
        let whole = Whole::of(part, self.more);
        let mut lines = text::printed_lines(&whole.text, usize::MAX);
        while lines.last().is_some_and(|l| l.trim().is_empty()) {
            lines.pop();
        }
        if lines.is_empty() {
            return;
        }
        self.blank();
        let name = match row.exit_code {
            Some(code) if code != 0 => format!("output {} exit {code}", self.look.glyphs.dot),
            _ => "output".to_owned(),
        };
        self.rule(&name);
        for line in lines {
            let token = if is_image(&line) {
                Token::Kind
            } else {
                words::output_token(&line)
            };
            let span = self.span(line, token);
            self.push(Line::from(span));
        }
        self.rest(part, &whole);
    }
}

/// Whether a line stands for an image.
fn is_image(line: &str) -> bool {
    line.starts_with("<image ") && line.ends_with('>') && line.len() < 80
}
