//! `R`: what is selected comes back into the workspace. First the engine says what that would change. When nobody works
//! there it is done at once; under a running agent, or when it is another side of the difference than the one looked at,
//! it is asked about.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::diff::text::{Hunk, Side, TextDiff};
use crate::engine::api::{
    ApiError, EntryInfo, FileChange, Part, PastLines, Request, Response, RestoreReport,
};
use crate::model::RepoPath;

use super::action::Action;
use super::app::{App, Overlay, Tone, View};
use super::code;
use super::diff_rows::BodyRow;
use super::diff_view::{DiffView, text_of};
use super::diffing::About;
use super::draw::key_of;
use super::msg::{Effect, Slot, Tag};
use super::overlay::{centred, popup};
use super::paint;
use super::state_view::StateView;
use super::text;
use super::theme::Token;
use super::update::{failed, toast};

/// Files that the question lists.
const LISTED: usize = 5;

/// Something that may come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    rev: String,
    parts: Vec<Part>,
    /// In words: what, and as it was when.
    what: String,
    when: String,
}

/// What was asked for, and what the engine says it would change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    stamp: u64,
    /// What is looked at; of a difference, the other side after it.
    sides: Vec<Wish>,
    at: usize,
    /// The side that is looked at is in the workspace already, so the other one is asked about.
    turned: bool,
    found: Option<Result<RestoreReport, String>>,
}

impl Asked {
    fn wish(&self) -> Option<&Wish> {
        self.sides.get(self.at)
    }

    fn changes(&self) -> Option<&RestoreReport> {
        self.found.as_ref()?.as_ref().ok()
    }
}

/// Whether there is something to be restored: quick, since every frame asks.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    if action == Action::Restore {
        return match &app.view {
            Some(View::Diff(diff)) if diff.selected().is_none() => no("no file is selected"),
            Some(View::Diff(_)) => Ok(()),
            Some(View::State(state)) => match state.selected() {
                Some(node) if node.note.is_none() => Ok(()),
                _ => no("no file is selected"),
            },
            Some(_) => no("nothing is here that could be restored"),
            None if app.diffing.range.is_some() => {
                no("steps are selected: d shows what they changed, and R there restores it")
            }
            None => match (app.focus_row(), app.focus_detail()) {
                (None, _) => no("no step is recorded yet"),
                (Some(row), Some(detail)) if detail.changes.is_empty() => Err(format!(
                    "step {} changed no files: 3 shows all files, and R there restores one",
                    row.ordinal
                )),
                _ => Ok(()),
            },
        };
    }
    let Some(Overlay::Restore(asked)) = &app.overlay else {
        return no("nothing was asked about");
    };
    match action {
        Action::RestoreOther if asked.sides.len() < 2 => no("there is no other side"),
        Action::RestoreFrozen if !app.agent_runs() => no("no agent is running"),
        Action::RestoreNow | Action::RestoreFrozen => match &asked.found {
            None => no("what that would change is still looked up"),
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(found)) if found.changes.is_empty() => no("nothing differs"),
            Some(Ok(_)) => Ok(()),
        },
        _ => Ok(()),
    }
}

/// `R`.
pub(crate) fn begin(app: &mut App, out: &mut Vec<Effect>) {
    let sides = wishes(app);
    if sides.is_empty() {
        let text = "no state is known in which it was".to_owned();
        return toast(app, Tone::Note, text, &[], out);
    }
    app.stamp += 1;
    let asked = Box::new(Asked {
        stamp: app.stamp,
        sides,
        at: 0,
        turned: false,
        found: None,
    });
    look(&asked, out);
    if app.agent_runs() {
        app.overlay = Some(Overlay::Restore(asked));
    } else {
        app.diffing.asked = Some(asked);
    }
}

/// Asks what it would change.
fn look(asked: &Asked, out: &mut Vec<Effect>) {
    if let Some(wish) = asked.wish() {
        let tag = Tag::Diffing(Box::new(About::Look(asked.stamp)));
        let request = request(wish, true, false);
        out.push(Effect::Ask(Some(Slot::Preview), tag, request));
    }
}

fn request(wish: &Wish, dry_run: bool, keep_frozen: bool) -> Request {
    Request::Restore {
        rev: wish.rev.clone(),
        parts: wish.parts.clone(),
        dry_run,
        keep_frozen,
    }
}

/// The engine has said what it would change.
pub(crate) fn looked(
    app: &mut App,
    stamp: u64,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    let found = match result {
        Ok(Response::Restored(report)) => Ok(*report),
        Ok(_) => Err("the engine gave an answer of another kind".to_owned()),
        Err(error) => Err(text::one_line(&error.message)),
    };
    let there = found.as_ref().is_ok_and(|f| f.changes.is_empty());
    if let Some(Overlay::Restore(asked)) = &mut app.overlay
        && asked.stamp == stamp
    {
        if there && !asked.turned && asked.sides.len() > 1 {
            asked.turned = true;
            asked.at = 1;
            return look(asked, out);
        }
        asked.found = Some(found);
        return;
    }
    let Some(mut asked) = app.diffing.asked.take_if(|a| a.stamp == stamp) else {
        return;
    };
    match found {
        Err(why) => toast(app, Tone::Bad, format!("nothing restored: {why}"), &[], out),
        Ok(report) if !report.changes.is_empty() && asked.at == 0 => {
            if let Some(wish) = asked.wish().cloned() {
                send(app, wish, false, out);
            }
        }
        // It is there already: so the other side is meant, but that is asked about.
        Ok(report) if report.changes.is_empty() && asked.at + 1 < asked.sides.len() => {
            asked.at += 1;
            asked.turned = true;
            look(&asked, out);
            app.diffing.asked = Some(asked);
        }
        Ok(report) if report.changes.is_empty() => {
            let words = match asked.sides.first() {
                Some(wish) => format!("{} is in the workspace as {}", wish.what, wish.when),
                None => "nothing differs".to_owned(),
            };
            toast(app, Tone::Note, words, &[], out);
        }
        Ok(report) => {
            asked.found = Some(Ok(report));
            app.overlay = Some(Overlay::Restore(asked));
        }
    }
}

/// The other side of the difference.
pub(crate) fn other(app: &mut App, out: &mut Vec<Effect>) {
    app.stamp += 1;
    let stamp = app.stamp;
    if let Some(Overlay::Restore(asked)) = &mut app.overlay {
        asked.at = (asked.at + 1) % asked.sides.len().max(1);
        asked.turned = true;
        asked.found = None;
        asked.stamp = stamp;
        look(asked, out);
    }
}

/// The person said yes.
pub(crate) fn confirm(app: &mut App, keep_frozen: bool, out: &mut Vec<Effect>) {
    let Some(Overlay::Restore(asked)) = app.overlay.take() else {
        return;
    };
    if let Some(wish) = asked.wish().cloned() {
        send(app, wish, keep_frozen, out);
    }
}

fn send(app: &mut App, wish: Wish, keep_frozen: bool, out: &mut Vec<Effect>) {
    app.busy = Some("restoring");
    let request = request(&wish, false, keep_frozen);
    let tag = Tag::Diffing(Box::new(About::Done(Box::new(wish))));
    out.push(Effect::Ask(None, tag, request));
}

/// It was done, or not.
pub(crate) fn done(
    app: &mut App,
    wish: &Wish,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    app.busy = None;
    match result {
        Ok(Response::Restored(found)) => {
            // Where no engine sends news, what was changed is asked for.
            if !app.live() {
                out.push(Effect::Ask(None, Tag::Status, Request::Status));
            }
            if let Some(View::Diff(diff)) = &mut app.view {
                diff.mark = None;
            }
            let (text, tone) = told(wish, &found);
            toast(app, tone, text, &[Action::Undo], out);
        }
        Ok(_) => {
            let text = "the engine gave an answer of another kind; is it of another version?";
            toast(app, Tone::Bad, text.to_owned(), &[], out);
        }
        Err(error) => failed(app, "nothing restored", &error, out),
    }
}

fn told(wish: &Wish, found: &RestoreReport) -> (String, Tone) {
    let mut text = format!("Restored {} as {}", wish.what, wish.when);
    let counts = counts(&found.changes);
    if !counts.is_empty() {
        text.push_str(&format!(": {counts}"));
    }
    if let Some((path, why)) = found.report.kept.first() {
        let path = text::path(path);
        text.push_str(&format!("; kept {path} ({})", text::one_line(why)));
        return (text, Tone::Note);
    }
    if let Some(step) = found.report.from.step {
        text.push_str(&format!(", was {step}"));
    }
    (text, Tone::Good)
}

/// `2 files, +3 -1`.
fn counts(changes: &[FileChange]) -> String {
    let lines = changes.iter().filter_map(|c| c.lines);
    let (added, removed) = lines.fold((0u64, 0u64), |(a, r), (x, y)| {
        (a + u64::from(x), r + u64::from(y))
    });
    let mut parts = Vec::new();
    if changes.len() > 1 {
        parts.push(format!("{},", text::plural(changes.len() as u64, "file")));
    }
    for (sign, n) in [('+', added), ('-', removed)] {
        if n > 0 {
            parts.push(format!("{sign}{}", text::grouped(n)));
        }
    }
    parts.join(" ").trim_end_matches(',').to_owned()
}

/// What is selected, as it is looked at, and the other side of the difference.
fn wishes(app: &App) -> Vec<Wish> {
    match &app.view {
        Some(View::Diff(diff)) => of_diff(app, diff),
        Some(View::State(state)) => of_state(state).into_iter().collect(),
        Some(_) => Vec::new(),
        None => of_step(app),
    }
}

fn whole(path: &RepoPath) -> Part {
    Part::Whole { path: path.clone() }
}

/// A file on both sides; a renamed one under both names.
fn paths(change: &FileChange) -> Vec<Part> {
    std::iter::once(&change.path)
        .chain(&change.from)
        .map(whole)
        .collect()
}

fn of_step(app: &App) -> Vec<Wish> {
    let (Some(row), Some(detail)) = (app.focus_row(), app.focus_detail()) else {
        return Vec::new();
    };
    let parts: Vec<Part> = detail.changes.iter().flat_map(paths).collect();
    let what = match detail.changes.as_slice() {
        [one] => text::path(&one.path),
        all => text::plural(all.len() as u64, "file"),
    };
    let first = detail.commits.first().map(|(c, _)| c);
    let last = detail.commits.last().map(|(c, _)| c.id);
    let before = first.and_then(|c| c.parents.first()).copied();
    let at = row.ordinal;
    [
        (last, format!("after step {at}")),
        (before, format!("before step {at}")),
    ]
    .into_iter()
    .filter_map(|(commit, when)| {
        Some(Wish {
            rev: commit?.to_hex(),
            parts: parts.clone(),
            what: what.clone(),
            when,
        })
    })
    .collect()
}

fn of_state(state: &StateView) -> Option<Wish> {
    let node = state.selected().filter(|n| n.note.is_none())?;
    let wish = |part: Part, what: String| Wish {
        rev: state.rev.clone(),
        parts: vec![part],
        what,
        when: format!("at step {}", state.ordinal),
    };
    if state.in_file
        && let Some(mark) = state.mark
        && let Some(entry) = &state.shown
        && let Some(of) = entry.blob
        && !node.gone
    {
        let (from, to) = (mark.min(state.line), mark.max(state.line));
        let lines = run(from, to, false);
        let what = lines_of(from, to, &entry.path);
        let part = Part::Lines {
            path: entry.path.clone(),
            of,
            lines: vec![lines],
        };
        return Some(wish(part, what));
    }
    let slash = if node.dir { "/" } else { "" };
    let what = format!("{}{slash}", text::path(&node.path));
    Some(wish(whole(&node.path), what))
}

fn run(from: usize, to: usize, edges: bool) -> PastLines {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    PastLines {
        first: small(from),
        count: small(to + 1 - from),
        edges,
    }
}

fn lines_of(from: usize, to: usize, path: &RepoPath) -> String {
    let path = text::path(path);
    if from == to {
        format!("line {} of {path}", from + 1)
    } else {
        format!("lines {}-{} of {path}", from + 1, to + 1)
    }
}

fn of_diff(app: &App, diff: &DiffView) -> Vec<Wish> {
    let Some(change) = diff.selected() else {
        return Vec::new();
    };
    let whens = match (&diff.pair, diff.step) {
        (Some(pair), _) => (pair.words(true), pair.words(false)),
        (None, Some((_, at))) => (format!("before step {at}"), format!("after step {at}")),
        (None, None) => return Vec::new(),
    };
    let compared = text_of(app.compared(change)).filter(|_| !diff.in_files);
    let side = |rev: &Option<String>, entry: &Option<EntryInfo>, when: String, after: bool| {
        let rev = rev.clone()?;
        let lines = compared.zip(entry.as_ref()).and_then(|(found, entry)| {
            let (lines, what) = selected(diff, found, after)?;
            let part = Part::Lines {
                path: change.path.clone(),
                of: entry.blob.filter(|_| entry.kind == "file")?,
                lines: vec![lines],
            };
            Some((
                vec![part],
                format!("{what} of {}", text::path(&change.path)),
            ))
        });
        let (parts, what) = lines.unwrap_or_else(|| (paths(change), text::path(&change.path)));
        Some(Wish {
            rev,
            parts,
            what,
            when,
        })
    };
    let (before, after) = whens;
    [
        side(&diff.revs.1, &change.after, after, true),
        side(&diff.revs.0, &change.before, before, false),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The selected lines, or else those of the hunk under the cursor that changed, as lines of one side; and in words.
fn selected(view: &DiffView, diff: &TextDiff, after: bool) -> Option<(PastLines, String)> {
    let number = |line: &crate::diff::text::DiffLine| {
        let n = if after { line.after } else { line.before };
        n.map(|n| n as usize - 1)
    };
    if view.mark.is_none() {
        let at = view.hunk();
        let hunk = diff.hunks.get(at)?;
        let changed: Vec<usize> = (0..hunk.lines.len())
            .filter(|i| hunk.lines[*i].side != Side::Both)
            .collect();
        let (first, last) = (*changed.first()?, *changed.last()?);
        let mut own = (first..=last).filter_map(|i| number(&hunk.lines[i]));
        let what = if diff.hunks.len() == 1 {
            "the hunk".to_owned()
        } else {
            format!("hunk {} of {}", at + 1, diff.hunks.len())
        };
        let lines = match own.next() {
            Some(from) => run(from, own.next_back().unwrap_or(from), true),
            None => place(hunk, first, after),
        };
        return Some((lines, what));
    }
    let mut own: Option<(usize, usize)> = None;
    let mut edges = false;
    let mut first = None;
    let mut count = 0u64;
    for row in view.body.get(view.range())? {
        if let BodyRow::Plain(old, new) = row {
            let n = if after { *new } else { *old };
            own = Some(own.map_or((n, n), |(a, b)| (a.min(n), b.max(n))));
            count += 1;
        }
        for line in row.lines(diff) {
            count += 1;
            match number(line) {
                Some(n) => own = Some(own.map_or((n, n), |(a, b)| (a.min(n), b.max(n)))),
                None => edges = true,
            }
        }
        if let BodyRow::Line(h, i)
        | BodyRow::Pair(h, Some(i), _)
        | BodyRow::Pair(h, None, Some(i)) = *row
        {
            first.get_or_insert((h, i));
        }
    }
    let lines = match own {
        Some((from, to)) => run(from, to, edges),
        None => {
            let (h, i) = first?;
            place(diff.hunks.get(h)?, i, after)
        }
    };
    Some((lines, text::plural(count, "selected line")))
}

/// The place on one side where the lines from `at` on are missing.
fn place(hunk: &Hunk, at: usize, after: bool) -> PastLines {
    let range = if after { &hunk.after } else { &hunk.before };
    let above = hunk.lines.iter().take(at);
    let own = above.filter(|l| if after { l.after } else { l.before }.is_some());
    PastLines {
        first: u32::try_from(range.start + own.count()).unwrap_or(u32::MAX),
        count: 0,
        edges: true,
    }
}

/// Draws the question.
pub(crate) fn draw(app: &App, asked: &Asked, buf: &mut Buffer, body: Rect) {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let Some(wish) = asked.wish() else { return };
    let width = usize::from(body.width.saturating_sub(8)).clamp(20, 66);
    let mut lines: Vec<Line<'static>> = Vec::new();
    let question = format!("Restore {} as {}?", wish.what, wish.when);
    lines.extend(text::wrap(&question, width).into_iter().map(Line::from));
    if let Some(first) = asked.sides.first().filter(|_| asked.turned && asked.at > 0) {
        let words = format!("As {} it is there already.", first.when);
        lines.push(Line::from(Span::styled(words, dim)));
    }
    match &asked.found {
        None => lines.push(Line::from(Span::styled(
            "looking up what that would change",
            dim,
        ))),
        Some(Err(why)) => {
            for line in text::wrap(why, width) {
                lines.push(Line::from(Span::styled(line, theme.style(Token::Bad))));
            }
        }
        Some(Ok(found)) => lines.extend(would(app, found, width)),
    }
    lines.push(Line::default());
    let mut key = |action: Action, words: &str| {
        lines.push(Line::from(vec![
            Span::styled(
                format!("  {:<5}", key_of(app, action)),
                theme.style(Token::Key),
            ),
            Span::raw(words.to_owned()),
        ]));
    };
    if asked.changes().is_some_and(|f| !f.changes.is_empty()) {
        if app.agent_runs() {
            key(
                Action::RestoreNow,
                "freeze the agent, restore, let it go on",
            );
            key(Action::RestoreFrozen, "the same, and keep it frozen");
        } else {
            key(Action::RestoreNow, "restore");
        }
    }
    let other = (asked.at + 1) % asked.sides.len().max(1);
    if let Some(other) = asked.sides.get(other).filter(|_| asked.sides.len() > 1) {
        key(Action::RestoreOther, &format!("rather as {}", other.when));
    }
    key(Action::Close, "do nothing");
    lines.push(Line::default());
    let saved = "What is there now is saved first; u brings it back.";
    lines.push(Line::from(Span::styled(saved, dim)));
    let height = u16::try_from(lines.len()).unwrap_or(8) + 2;
    let widest = lines.iter().map(Line::width).max().unwrap_or(60);
    let wide = u16::try_from(widest).unwrap_or(60) + 6;
    let area = centred(body, wide.max(58), height);
    let title = if app.agent_runs() {
        "An agent is running"
    } else {
        "Restore"
    };
    let inner = popup(app, buf, area, title, &[]);
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x + 2, y, inner.width.saturating_sub(3), 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
    }
}

/// What would change, a line a file.
fn would(app: &App, found: &RestoreReport, width: usize) -> Vec<Line<'static>> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    if found.changes.is_empty() {
        let words = "Nothing differs: the workspace has it so.";
        return vec![Line::from(Span::styled(words, dim))];
    }
    let mut out = Vec::new();
    for change in found.changes.iter().take(LISTED) {
        let (added, removed) = change.lines.unwrap_or((0, 0));
        let counts = code::counts(look, added.into(), removed.into());
        let room = width.saturating_sub(14);
        let path = text::path(&change.path);
        let path = text::clip_start(&path, room, look.glyphs.ellipsis).into_owned();
        let pad = room.saturating_sub(text::width(&path));
        let mut spans = vec![
            Span::styled(
                format!("  {} ", code::letter(change.op)),
                theme.style(code::letter_token(change.op)),
            ),
            Span::raw(path),
            Span::raw(" ".repeat(pad)),
        ];
        spans.extend(counts);
        out.push(Line::from(spans));
    }
    let more = found.changes.len().saturating_sub(LISTED);
    if more > 0 {
        let words = format!("  {} {more} more", look.glyphs.ellipsis);
        out.push(Line::from(Span::styled(words, dim)));
    }
    if let Some((path, why)) = found.report.kept.first() {
        let words = format!("  kept {} ({})", text::path(path), text::one_line(why));
        out.push(Line::from(Span::styled(words, theme.style(Token::Warn))));
    }
    out
}
