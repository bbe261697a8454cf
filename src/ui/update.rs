//! The heart of the UI: a message changes the state and asks for effects. No terminal, no clock, no waiting.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::api::{ApiError, EngineStatus, ErrorCode, Notice, Response};
use crate::model::{OpKind, Ordinal};

use super::again;
use super::answer;
use super::app::{App, Link, Overlay, Toast, Tone, View};
use super::branches;
use super::brief::Brief;
use super::desk;
use super::diffing;
use super::errand;
use super::feel;
use super::input;
use super::line;
use super::live;
use super::merge_view;
use super::mouse;
use super::msg::{Effect, Listed, Msg, RowsPage, Tag, Timer};
use super::palette;
use super::play;
use super::rows::ZERO;
use super::state_view::Content;
use super::sync::sync;
use super::text;
use super::whole;
use super::why;
use super::world;
use super::{filter, hits};

/// Takes a message and what follows from it; says what is to be done.
#[cfg(test)]
pub(crate) fn update(app: &mut App, msg: Msg) -> Vec<Effect> {
    let mut out = apply(app, msg);
    out.extend(finish(app));
    out
}

/// Takes a message; says what is to be done about it. After the last of a burst, [`finish`] is due.
pub(crate) fn apply(app: &mut App, msg: Msg) -> Vec<Effect> {
    let mut out = Vec::new();
    // Many thousands of rows may come at once: what follows from them is done once for all of them.
    if !matches!(msg, Msg::Notice(Notice::Row(_))) {
        settle(app);
    }
    match msg {
        Msg::Key(key) => input::key(app, key, &mut out),
        Msg::Mouse(event, now) => mouse::event(app, event, now, &mut out),
        Msg::Paste(text) => {
            if !live::update::paste(app, &text, &mut out) {
                input::paste(app, &text, &mut out);
            }
        }
        Msg::Merge(news) => merge_view::answers::news(app, news),
        Msg::Assist(stamp, news) => {
            if !merge_view::assist::news(app, stamp, news.clone(), &mut out) {
                answer::news(app, stamp, news);
            }
        }
        Msg::Fetched(entry, result) => errand::fetched(app, &entry, result, &mut out),
        Msg::Errand(result) => errand::over(app, result, &mut out),
        Msg::Edited(about, result) => merge_view::editing::edited(app, about, result, &mut out),
        Msg::Resize(width, height) => {
            app.size = ratatui::layout::Size::new(width, height);
            live::update::resized(app, &mut out);
        }
        Msg::Connected(Ok(live)) => again::connected(app, live, &mut out),
        Msg::Connected(Err(error)) => app.link = Link::Failed(error),
        Msg::Notice(notice) => notice_came(app, notice, &mut out),
        Msg::Gone => {
            if app.recording() {
                // It has been read to its end, and nobody writes to it.
                app.link = Link::Open { live: false };
                app.grows = false;
            } else if app.live() && !matches!(app.view, Some(View::List(_))) {
                again::gone(app, &mut out);
            }
        }
        Msg::Rows(stamp, loaded) => rows_came(app, stamp, loaded, &mut out),
        Msg::Answer(tag, result) => answered(app, tag, result, &mut out),
        Msg::Compared(key, compared) => {
            app.shelf.diffs.put(key, compared);
            app.shelf.version += 1;
        }
        Msg::Lit(key, light) => {
            app.shelf.lights.put(key, light);
            app.shelf.version += 1;
        }
        Msg::Read(blob, result) => {
            if let Some(View::Diff(diff)) = &mut app.view {
                diff.read(blob, result);
                app.shelf.version += 1;
            } else if let Some(View::State(state)) = &mut app.view
                && state.reading == Some(blob)
            {
                state.reading = None;
                let content = match result {
                    Ok(bytes) => {
                        let starts = Arc::new(super::state_view::line_starts(&bytes));
                        Content::Ready(bytes, starts)
                    }
                    Err(why) => Content::Failed(why),
                };
                state.content = Some((blob, content));
                state.settle_line();
            }
        }
        Msg::Raw(what, lines) => {
            if let Some(View::Raw(raw)) = &mut app.view
                && raw.asked == Some(what)
            {
                raw.lines = Some(lines);
            }
        }
        Msg::Returned(now) => {
            if let Some(View::List(list)) = &mut app.view {
                list.refresh(now, &mut out);
            }
        }
        Msg::Live(news) => live::update::news(app, news, &mut out),
        Msg::Broken => {
            app.busy = None;
            app.asked = None;
            let text = "a part of the screen failed; the log says where".to_owned();
            toast(app, Tone::Bad, text, &[], &mut out);
        }
        Msg::Settings(loaded) => feel::take(app, loaded, &mut out),
        Msg::Timer(Timer::Prefix(stamp)) => input::prefix_timer(app, stamp, &mut out),
        Msg::Timer(Timer::Second(stamp)) => live::update::second(app, stamp),
        Msg::Timer(Timer::Play(stamp)) => play::timer(app, stamp, &mut out),
        Msg::Timer(Timer::Toast(stamp)) => {
            app.toast.take_if(|t| t.stamp == stamp);
        }
    }
    out
}

/// After messages were taken: brings the list up to date, and asks for what the screen needs and does not have.
pub(crate) fn finish(app: &mut App) -> Vec<Effect> {
    let mut out = Vec::new();
    settle(app);
    sync(app, &mut out);
    hits::sync(app, &mut out);
    filter::sync(app, &mut out);
    app.rows.trim();
    out
}

/// Shows a line at the bottom for a while.
pub(crate) fn toast(
    app: &mut App,
    tone: Tone,
    text: String,
    hints: &[super::action::Action],
    out: &mut Vec<Effect>,
) {
    app.stamp += 1;
    let time = app.feel.settings.toast;
    let time = if tone == Tone::Bad { time * 2 } else { time };
    out.push(Effect::Later(time, Timer::Toast(app.stamp)));
    app.toast = Some(Toast {
        tone,
        text,
        hints: hints.to_vec(),
        stamp: app.stamp,
    });
}

fn notice_came(app: &mut App, notice: Notice, out: &mut Vec<Effect>) {
    match notice {
        Notice::Row(row) => {
            if app.loading.busy {
                app.loading.noticed.insert(row.ordinal);
                app.loading.gone.remove(&row.ordinal);
            }
            if app.recording()
                && !app.loading.busy
                && app.status.as_ref().is_some_and(|s| s.scan.done)
            {
                app.grows = true;
            }
            if app.shelf.details.peek(&row.step).is_some() {
                app.shelf.stale.insert(row.step);
            }
            app.put_row(*row);
            app.loading.unsettled = true;
        }
        Notice::Gone { ordinal, .. } => {
            if app.loading.busy {
                app.loading.gone.insert(ordinal);
                app.loading.noticed.remove(&ordinal);
            }
            if let Some(row) = app.rows.brief_at(ordinal) {
                app.folds.forget(&row);
            }
            app.filter.forget(ordinal);
            app.hunt.forget(ordinal);
            app.rows.remove(ordinal);
            if app.focus == Some(ordinal) {
                let (Ok(at) | Err(at)) = app.rows.position(ordinal);
                app.focus = app.rows.brief(at.saturating_sub(1)).map(|r| r.ordinal);
            }
            app.loading.unsettled = true;
        }
        Notice::Status(status) => take_status(app, status, out),
        Notice::Told { at } => app.live.heard = app.live.heard.or(Some(at)),
        Notice::Operation(op) => {
            desk::operation(app, Some(&op), out);
            // What this client did itself is said by its answer.
            let told = matches!(
                op.kind,
                OpKind::Rollback
                    | OpKind::Switch
                    | OpKind::Merge
                    | OpKind::Undo
                    | OpKind::Redo
                    | OpKind::Restore
                    | OpKind::OpRestore
                    | OpKind::OpRevert
            );
            if told && app.busy.is_none() && app.toast.is_none() {
                let text = text::one_line(&op.description);
                toast(app, Tone::Note, text, &[], out);
            }
        }
        Notice::Lagged { .. } => {
            // Whatever is kept may have changed unheard.
            let focus = app.focus_row().map(|r| r.step);
            app.shelf.details.retain(|d| Some(d.row.step) == focus);
            app.shelf.stale.extend(focus);
            app.filter.restart(out);
            load(app, out);
        }
    }
}

fn take_status(app: &mut App, status: Box<EngineStatus>, out: &mut Vec<Effect>) {
    let news: Vec<String> = status
        .warnings
        .iter()
        .filter(|w| !app.warned.contains(*w))
        .cloned()
        .collect();
    app.status = Some(status);
    app.folds.one_source = app.recording();
    if let Some(first) = news.first() {
        let text = text::one_line(first);
        toast(app, Tone::Bad, text, &[], out);
        app.warned.extend(news);
    }
}

/// Asks for all rows, the newest first.
pub(crate) fn load(app: &mut App, out: &mut Vec<Effect>) {
    let last = app.status.as_ref().and_then(|s| s.last);
    if app.recording() && app.rows.ends().map(|(_, end)| end) > last {
        // Its file was replaced by a shorter one: what is here is of the old one.
        app.rows = super::rows::Rows::default();
        app.lanes = super::lanes::Lanes::default();
        app.folds.restart();
    }
    app.loading.busy = true;
    app.loading.partial = false;
    app.loading.noticed.clear();
    app.loading.gone.clear();
    app.loading.stamp += 1;
    out.push(Effect::Load(app.loading.stamp));
}

/// After rows are new or have changed.
fn settle(app: &mut App) {
    if !std::mem::take(&mut app.loading.unsettled) {
        return;
    }
    app.lanes.settle(&app.rows, !app.loading.busy);
    app.refold();
    if app.follow || app.focus.is_none() {
        let last = app.visible_len().checked_sub(1).and_then(|l| app.row_of(l));
        app.focus = last.and_then(|i| app.rows.brief(i)).map(|r| r.ordinal);
    }
    // What came before the rows on the screen does not move them.
    if let Some(anchor) = app.loading.anchor.take()
        && let Ok(index) = app.rows.position(anchor)
    {
        app.top = app.line_of(index);
    }
}

/// Rows of the loading that goes on.
fn rows_came(app: &mut App, stamp: u64, loaded: Listed, out: &mut Vec<Effect>) {
    if stamp != app.loading.stamp {
        return;
    }
    match loaded {
        Listed::Page(page) => page_came(app, *page),
        Listed::End(result) => {
            app.loading.busy = false;
            app.loading.partial = result.is_err();
            app.loading.tail |= result.is_ok();
            app.loading.noticed = HashSet::new();
            app.loading.gone = HashSet::new();
            if let Err(error) = result {
                failed(app, "the steps cannot be listed", &error, out);
            }
        }
    }
    app.loading.unsettled = true;
}

/// Rows that notices brought or took meanwhile are newer than those of the page.
fn page_came(app: &mut App, mut page: RowsPage) {
    if app.loading.anchor.is_none() && !app.rows.is_empty() {
        let top = app.row_of(app.top).and_then(|i| app.rows.brief(i));
        app.loading.anchor = top.map(|b| b.ordinal);
    }
    let before = page.rows.len();
    let gone = &app.loading.gone;
    page.rows.retain(|r| !gone.contains(&r.ordinal));
    let packed = (page.rows.len() == before).then_some(page.packed);
    // What is known of subagents decides what of them is hidden: so the whole page is seen first.
    for row in &page.rows {
        let old = app.rows.brief_at(row.ordinal);
        if old.is_none() || !app.loading.noticed.contains(&row.ordinal) {
            app.lanes.see(row);
            app.folds.see(row, old);
        }
    }
    app.folds.settle_now();
    let (folds, filter) = (&app.folds, &app.filter);
    let hides = |row: &Brief| filter::hides(folds, filter, row.ordinal, row);
    let keep = &app.loading.noticed;
    let lost = app
        .rows
        .take_page(page.rows, packed, page.range, keep, hides);
    for row in lost {
        app.folds.forget(&row);
    }
    app.loading.tail = true;
}

fn answered(app: &mut App, tag: Tag, result: Result<Response, ApiError>, out: &mut Vec<Effect>) {
    match (tag, result) {
        (Tag::Status, Ok(Response::Status(status))) => {
            take_status(app, status, out);
            load(app, out);
        }
        // It ended again at once: the news of that is on its way.
        (Tag::Status, Err(e)) if e.code == ErrorCode::Gone && !app.rows.is_empty() => {}
        (Tag::Status, Err(error)) => app.link = Link::Failed(error),
        (Tag::Step(id), Ok(Response::Step(detail))) => {
            app.asked = app.asked.filter(|a| *a != id);
            app.shelf.details.put(id, Arc::from(detail));
            app.shelf.version += 1;
        }
        (Tag::Ahead(id), Ok(Response::Step(detail))) => {
            app.shelf.details.put(id, Arc::from(detail));
        }
        // It is asked for again when it is looked at.
        (Tag::Ahead(_), _) => {}
        (Tag::Step(_), Err(error)) => failed(app, "the step cannot be read", &error, out),
        (Tag::More(blob, from), result) => {
            app.asked_more = None;
            match result {
                Ok(Response::Blob(part)) => whole::more_came(app, blob, from, &part.bytes),
                Ok(_) => failed(app, MORE, &other_answer(), out),
                Err(error) => failed(app, MORE, &error, out),
            }
        }
        (Tag::Preview(to), result) => {
            if let Some(Overlay::Rollback { to: asked, preview }) = &mut app.overlay
                && *asked == to
            {
                *preview = Some(match result {
                    Ok(Response::Rollback(report)) => Ok((
                        report.restored.len() + report.modes.len(),
                        report.removed.len(),
                    )),
                    Ok(_) => Err("no preview was given".to_owned()),
                    Err(error) => Err(text::one_line(&error.message)),
                });
            }
        }
        (Tag::List(rev, dir), result) => {
            if let Some(View::State(state)) = &mut app.view {
                let entries = match result {
                    Ok(Response::Listing(entries)) => Ok(entries),
                    Ok(_) => Err("the engine gave no listing".to_owned()),
                    Err(error) => Err(text::one_line(&error.message)),
                };
                state.list(&rev, dir, entries);
            }
        }
        (Tag::Recordings(skip), result) => {
            if let Some(View::List(list)) = &mut app.view {
                let page = match result {
                    Ok(Response::Recordings { total, items }) => Ok((total, items)),
                    Ok(_) => Err(other_answer()),
                    Err(error) => Err(error),
                };
                list.page(skip, page);
            }
        }
        (Tag::Recording(path), result) => {
            if let Some(View::List(list)) = &mut app.view {
                let info = match result {
                    Ok(Response::Recording(info)) => Ok(*info),
                    Ok(_) => Err(other_answer()),
                    Err(error) => Err(error),
                };
                list.looked_into(&path, info);
            }
        }
        (Tag::StopAgent(name), result) => live::update::stopped(app, &name, result, out),
        (Tag::LiveSessions, result) => live::update::told_sessions(app, result),
        (Tag::ForkNames, result) => line::names(app, result),
        (Tag::Fork(at), result) => line::forked(app, at, result, out),
        (tag @ (Tag::Branches | Tag::Compared(_) | Tag::Trial(_)), result) => {
            branches::answer(app, tag, result);
        }
        (Tag::Search(stamp), result) => hits::answer(app, stamp, result, out),
        (Tag::Filter(stamp), result) => filter::answer(app, stamp, result, out),
        (Tag::Desk(tag), result) => desk::answer(app, tag, result, out),
        (Tag::PaletteBranches | Tag::PaletteSessions, result) => palette::answer(app, result),
        (Tag::Merge(tag), result) => merge_view::answers::answer(app, tag, result, out),
        (tag @ (Tag::Lasts(..) | Tag::Blame(_) | Tag::OfFile(..)), result) => {
            why::answer(app, tag, result, out);
        }
        (Tag::Diffing(about), result) => diffing::answer(app, *about, result, out),
        (tag, result) => world::answer(app, tag, result, out),
    }
}

const MORE: &str = "no more of it can be read";

fn other_answer() -> ApiError {
    let message = "an answer of another kind came; is the engine of another version?";
    ApiError::new(ErrorCode::Failed, message)
}

/// Says what failed.
pub(crate) fn failed(app: &mut App, what: &str, error: &ApiError, out: &mut Vec<Effect>) {
    // That nobody answers any more is said once.
    if app.link == Link::Gone && error.code == ErrorCode::Gone {
        return;
    }
    let text = format!("{what}: {}", text::one_line(&error.message));
    toast(app, Tone::Bad, text, &[], out);
}

/// The ordinal that a person means by a number.
pub(crate) fn numbered(n: u64) -> Ordinal {
    Ordinal { major: n, ..ZERO }
}
