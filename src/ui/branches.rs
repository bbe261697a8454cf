//! The branches that can be merged: how each stands to the workspace's, and what a merge would come to.
//!
//! Comparisons and trial merges are asked for one after the other, those on the screen first; a trial merge keeps nothing.

use std::collections::HashSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::engine::api::{ApiError, Comparison, MergeInfo, Request, Resolver, Response};

use super::action::Action;
use super::app::{App, Overlay};
use super::draw::key_of;
use super::merge_view;
use super::msg::{Effect, Tag};
use super::overlay::{centred, popup};
use super::paint;
use super::screen;
use super::text;
use super::theme::Token;
use super::words;

/// Questions under way at a time.
const AT_ONCE: usize = 2;

/// Conflicts that the preview names.
const NAMED: usize = 5;

/// How a branch stands to the workspace's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub ahead: u64,
    pub behind: u64,
    /// Paths that both sides changed, differently.
    pub both: usize,
}

/// What a merge of it would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trial {
    pub files: usize,
    pub joined: usize,
    pub left: usize,
    /// The first conflicts, in words.
    pub conflicts: Vec<String>,
    pub fast_forward: bool,
    pub up_to_date: bool,
}

/// A branch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub name: String,
    pub commit: crate::engine::api::CommitInfo,
    pub standing: Option<Result<Standing, String>>,
    pub trial: Option<Result<Trial, String>>,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Picker {
    /// `None` while they are asked for.
    pub items: Option<Result<Vec<Item>, String>>,
    pub current: String,
    pub cursor: usize,
    asked: HashSet<(String, bool)>,
}

/// `M`: the unfinished merge, or the list of branches.
pub(crate) fn open(app: &mut App, out: &mut Vec<Effect>) {
    if app.status.as_ref().is_some_and(|s| s.merging.is_some()) || app.parked.is_some() {
        return merge_view::update::enter(app, out);
    }
    app.overlay = Some(Overlay::Branches(Box::default()));
    out.push(Effect::Ask(None, Tag::Branches, Request::Branches));
}

/// Merges the selected branch.
pub(crate) fn choose(app: &mut App, out: &mut Vec<Effect>) {
    let Some(Overlay::Branches(picker)) = &app.overlay else {
        return;
    };
    let Some(Ok(items)) = &picker.items else {
        return;
    };
    if let Some(name) = items.get(picker.cursor).map(|i| i.name.clone()) {
        merge_view::update::begin(app, name, out);
    }
}

impl Picker {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match &self.items {
            Some(Ok(items)) => items.len(),
            _ => 0,
        }
    }

    fn item(&mut self, name: &str) -> Option<&mut Item> {
        match &mut self.items {
            Some(Ok(items)) => items.iter_mut().find(|i| i.name == name),
            _ => None,
        }
    }

    /// Asks for what is not known: of the selected branch first, then of the others in order.
    pub(crate) fn sync(&mut self, out: &mut Vec<Effect>) {
        let Some(Ok(items)) = &self.items else { return };
        let mut wanted = Vec::new();
        let selected = items.iter().skip(self.cursor).take(1);
        for item in selected.chain(items.iter().take(200)) {
            for (trial, known) in [
                (false, item.standing.is_some()),
                (true, item.trial.is_some()),
            ] {
                let key = (item.name.clone(), trial);
                if !known && !self.asked.contains(&key) && !wanted.contains(&key) {
                    wanted.push(key);
                }
            }
        }
        for key in wanted {
            if self.asked.len() >= AT_ONCE {
                break;
            }
            let (name, trial) = key.clone();
            let (tag, request) = if trial {
                let request = Request::Merge {
                    branch: name.clone(),
                    into: None,
                    resolver: Resolver::Manual,
                    dry_run: true,
                    finish: false,
                    message: None,
                    keep_conflicts: false,
                };
                (Tag::Trial(name), request)
            } else {
                let request = Request::Compare {
                    a: self.current.clone(),
                    b: name.clone(),
                };
                (Tag::Compared(name), request)
            };
            self.asked.insert(key);
            out.push(Effect::Ask(None, tag, request));
        }
    }
}

/// The branches, or what is known of one, came.
pub(crate) fn answer(app: &mut App, tag: Tag, result: Result<Response, ApiError>) {
    let Some(Overlay::Branches(picker)) = &mut app.overlay else {
        return;
    };
    let why = |e: &ApiError| text::one_line(&e.message);
    let other = || "an answer of another kind came".to_owned();
    match tag {
        Tag::Branches => {
            picker.items = Some(match result {
                Ok(Response::Branches(branches)) => {
                    let current = branches.iter().find(|b| b.current);
                    picker.current = current.map(|b| b.name.clone()).unwrap_or_default();
                    let mut items: Vec<Item> = branches
                        .into_iter()
                        .filter(|b| !b.current)
                        .map(|b| Item {
                            name: b.name,
                            commit: b.commit,
                            standing: None,
                            trial: None,
                        })
                        .collect();
                    // What was worked on last is most likely what is wanted.
                    items.sort_by_key(|i| std::cmp::Reverse(i.commit.time));
                    Ok(items)
                }
                Ok(_) => Err(other()),
                Err(error) => Err(why(&error)),
            });
        }
        Tag::Compared(name) => {
            picker.asked.remove(&(name.clone(), false));
            let standing = match result {
                Ok(Response::Comparison(found)) => Ok(standing(&found)),
                Ok(_) => Err(other()),
                Err(error) => Err(why(&error)),
            };
            if let Some(item) = picker.item(&name) {
                item.standing = Some(standing);
            }
        }
        Tag::Trial(name) => {
            picker.asked.remove(&(name.clone(), true));
            let trial = match result {
                Ok(Response::Merging(Some(info))) => Ok(trial(&info)),
                Ok(Response::Merged(report)) => Ok(Trial {
                    files: report.changes.len(),
                    joined: 0,
                    left: 0,
                    conflicts: Vec::new(),
                    fast_forward: report.fast_forward,
                    up_to_date: report.up_to_date,
                }),
                Ok(_) => Err(other()),
                Err(error) => Err(why(&error)),
            };
            if let Some(item) = picker.item(&name) {
                item.trial = Some(trial);
            }
        }
        _ => {}
    }
}

fn standing(found: &Comparison) -> Standing {
    Standing {
        ahead: found.b.ahead,
        behind: found.a.ahead,
        both: found.both.iter().filter(|o| !o.alike).count(),
    }
}

fn trial(info: &MergeInfo) -> Trial {
    let files = info
        .conflicts
        .iter()
        .map(|c| format!("{}: {}", text::path(&c.path), text::one_line(&c.words)));
    let state = info.state.iter().flat_map(|s| &s.conflicts);
    let state = state.map(|(c, _)| format!("agent state: {}", c.kind.words()));
    Trial {
        files: info.changes.len(),
        joined: info.joined.len(),
        left: info.left,
        conflicts: files.chain(state).take(NAMED).collect(),
        fast_forward: info.fast_forward,
        up_to_date: false,
    }
}

/// What a trial merge came to, in a few words.
fn verdict(item: &Item) -> (String, Token) {
    match &item.trial {
        None => (String::new(), Token::Dim),
        Some(Err(_)) => ("cannot be merged".to_owned(), Token::Bad),
        Some(Ok(t)) if t.up_to_date => ("all of it is here".to_owned(), Token::Dim),
        Some(Ok(t)) if t.left > 0 => (text::plural(t.left as u64, "conflict"), Token::Warn),
        Some(Ok(t)) => (
            format!("clean, {}", text::plural(t.files as u64, "file")),
            Token::Good,
        ),
    }
}

fn item_line(app: &App, item: &Item, width: usize, selected: bool) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let mark = if selected { look.glyphs.cursor } else { " " };
    let name = text::one_line(&item.name);
    let cells = (width / 3).clamp(10, 32);
    let name = text::clip(&name, cells, look.glyphs.ellipsis).into_owned();
    let pad = cells.saturating_sub(text::width(&name)) + 1;
    let counts = match &item.standing {
        Some(Ok(s)) => format!("+{} -{}", s.ahead, s.behind),
        _ => String::new(),
    };
    let both = match &item.standing {
        Some(Ok(s)) if s.both > 0 => {
            format!("{} on both sides  ", text::plural(s.both as u64, "file"))
        }
        _ => String::new(),
    };
    let (verdict, token) = verdict(item);
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::raw(format!(" {name}{}", " ".repeat(pad))),
        Span::styled(format!("{counts:<9} "), dim),
    ];
    let used = cells + 13;
    if used + text::width(&both) + text::width(&verdict) <= width {
        spans.push(Span::styled(both, theme.style(Token::Warn)));
    }
    spans.push(Span::styled(verdict, theme.style(token)));
    Line::from(spans)
}

/// What would come of the selected branch.
fn preview(app: &App, picker: &Picker, item: &Item, width: usize) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let step = item
        .commit
        .step
        .map_or_else(String::new, |s| format!(" at step {s}"));
    let clock = words::clock(&app.look.zone, item.commit.time, false);
    let mut out = vec![Line::from(Span::styled(
        format!("{}{step}, {clock}", text::one_line(&item.name)),
        dim,
    ))];
    let into = text::one_line(&picker.current);
    let mut say = |words: String, token: Token| {
        for line in text::wrap(&words, width) {
            out.push(Line::from(Span::styled(line, theme.style(token))));
        }
    };
    match &item.trial {
        None => say("trying the merge".to_owned(), Token::Dim),
        Some(Err(why)) => say(why.clone(), Token::Bad),
        Some(Ok(t)) if t.up_to_date => say(format!("{into} has all of it already"), Token::Dim),
        Some(Ok(t)) => {
            let mut words = format!(
                "would change {} in {into}",
                text::plural(t.files as u64, "file")
            );
            if t.fast_forward {
                words.push_str("; it follows what is there, so nothing has to be put together");
            } else if t.joined > 0 {
                let joined = text::plural(t.joined as u64, "file");
                words.push_str(&format!(
                    "; {joined} changed on both sides merge by themselves"
                ));
            }
            say(words, Token::Text);
            for conflict in &t.conflicts {
                say(format!("! {conflict}"), Token::Warn);
            }
            if t.left > t.conflicts.len() {
                say(
                    format!("and {} more", t.left - t.conflicts.len()),
                    Token::Warn,
                );
            }
        }
    }
    // What it meets, other than the branch that it would be merged into.
    let met = app.status.iter().flat_map(|s| &s.overlaps);
    for meeting in met.filter(|m| m.a == item.name || m.b == item.name) {
        let other = if meeting.a == item.name {
            &meeting.b
        } else {
            &meeting.a
        };
        if *other != picker.current {
            let words = text::one_line(&meeting.words());
            for line in text::wrap(&words, width) {
                out.push(Line::from(Span::styled(line, theme.style(Token::Warn))));
            }
        }
    }
    out
}

/// Draws the list.
pub(crate) fn draw(app: &App, picker: &Picker, buf: &mut Buffer, body: Rect) {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let width = body.width.saturating_sub(4).min(100);
    let rows = u16::try_from(picker.len()).unwrap_or(u16::MAX).clamp(1, 12);
    let height = rows.saturating_add(10).min(body.height);
    let area = centred(body, width, height);
    let bottom = paint::hints(
        look,
        &[
            (
                key_of(app, Action::ListOpen),
                "merge; nothing is written yet".to_owned(),
            ),
            (key_of(app, Action::Close), "close".to_owned()),
        ],
        usize::from(width.saturating_sub(6)),
    );
    let title = if picker.current.is_empty() {
        "Merge a branch".to_owned()
    } else {
        format!("Merge a branch into {}", text::one_line(&picker.current))
    };
    let inner = popup(app, buf, area, &title, &bottom);
    let say = |buf: &mut Buffer, words: &str, token: Token| {
        let style = look.theme.style(token);
        for (y, line) in (inner.y..inner.bottom()).zip(text::wrap(
            words,
            usize::from(inner.width.saturating_sub(2)),
        )) {
            let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
            paint::line(
                buf,
                place,
                &Line::from(Span::styled(line, style)),
                0,
                look.glyphs.ellipsis,
            );
        }
    };
    let items = match &picker.items {
        None => return say(buf, "loading", Token::Dim),
        Some(Err(why)) => return say(buf, why, Token::Bad),
        Some(Ok(items)) if items.is_empty() => {
            return say(
                buf,
                "there is no other branch; t makes one at a step",
                Token::Dim,
            );
        }
        Some(Ok(items)) => items,
    };
    let list = rows.min(inner.height.saturating_sub(3).max(1));
    let top = screen::scrolled(0, picker.cursor, items.len(), usize::from(list));
    for (y, (n, item)) in (inner.y..inner.y + list).zip(items.iter().enumerate().skip(top)) {
        let place = Rect::new(inner.x, y, inner.width, 1);
        let selected = n == picker.cursor;
        let line = item_line(app, item, usize::from(inner.width), selected);
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, look.theme.selection(true));
        }
    }
    let rule = Rect::new(inner.x, inner.y + list, inner.width, 1);
    if rule.y < inner.bottom() {
        let words = look.glyphs.rule.repeat(usize::from(rule.width));
        paint::line(buf, rule, &Line::from(Span::styled(words, dim)), 0, "");
    }
    let below = inner.y + list + 1..inner.bottom();
    if let Some(item) = items.get(picker.cursor) {
        let room = usize::from(inner.width.saturating_sub(3));
        for (y, line) in below.zip(preview(app, picker, item, room)) {
            let place = Rect::new(inner.x + 2, y, inner.width.saturating_sub(3), 1);
            paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        }
    }
}
