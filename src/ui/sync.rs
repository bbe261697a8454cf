//! After each message: asks for what the screen needs and does not have.

use crate::diff::text::Space;
use crate::engine::api::{EntryInfo, FileChange, Request};

use super::app::{App, Link, Overlay, View, diff_key};
use super::code;
use super::desk;
use super::diffing;
use super::live;
use super::msg::{Compared, Effect, Slot, Tag};
use super::raw_view;
use super::state_tabs;
use super::why;

/// Sides longer than this are compared and read only when asked for.
pub(crate) const LARGE: u64 = 1 << 20;

/// Files of a step that are compared without being selected.
const MAX_FILES: usize = 40;

/// Asks for what the screen needs and does not have.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    if !matches!(app.link, Link::Open { .. }) {
        return;
    }
    if let Some(Overlay::Branches(picker)) = &mut app.overlay {
        picker.sync(out);
    }
    if let Some(View::Merge(merge)) = &mut app.view {
        merge.wanted(out);
    }
    live::update::sync(app, out);
    desk::sync(app, out);
    sync_step(app, out);
    sync_view(app, out);
    state_tabs::sync(app, out);
    why::sync(app, out);
    sync_diffs(app, out);
    diffing::sync(app, out);
}

fn sync_step(app: &mut App, out: &mut Vec<Effect>) {
    let Some(step) = app.focus_row().map(|r| r.step) else {
        return;
    };
    app.shelf.details.touch(&step);
    let missing = app.shelf.details.peek(&step).is_none();
    let stale = app.shelf.stale.contains(&step);
    if stale || (missing && app.asked != Some(step)) {
        app.shelf.stale.remove(&step);
        app.asked = Some(step);
        out.push(Effect::Ask(
            Some(Slot::Step),
            Tag::Step(step),
            Request::Step { id: step },
        ));
    } else if !missing && app.ahead != Some(step) {
        app.ahead = Some(step);
        sync_ahead(app, out);
    }
}

/// Asks for the steps beside the one that is looked at, so that the next key finds them here.
fn sync_ahead(app: &App, out: &mut Vec<Effect>) {
    let Some(at) = app.focus_index() else { return };
    let line = app.line_of(at);
    let beside = [(true, line.checked_add(1)), (false, line.checked_sub(1))];
    for (forward, line) in beside {
        let index = line.and_then(|l| app.row_of(l));
        let step = index.and_then(|i| app.rows.get(i)).map(|r| r.step);
        if let Some(step) = step.filter(|s| app.shelf.details.peek(s).is_none()) {
            out.push(Effect::Ask(
                Some(Slot::Ahead(forward)),
                Tag::Ahead(step),
                Request::Step { id: step },
            ));
        }
    }
}

fn sync_view(app: &mut App, out: &mut Vec<Effect>) {
    let detail = app.focus_detail().cloned();
    let row = app.focus_row().cloned();
    let raw_width = raw_view::width(app);
    match &mut app.view {
        Some(View::Merge(_) | View::Desk(_) | View::Live(_)) => {}
        Some(View::List(list)) => list.sync(out),
        Some(View::Raw(raw)) => {
            let wanted = row.map(|r| (r.step, raw_width));
            if let Some((step, width)) = wanted.filter(|w| raw.asked != Some(*w)) {
                if raw.asked.map(|(s, _)| s) != Some(step) {
                    raw.lines = None;
                    raw.scroll = 0;
                    raw.left = 0;
                }
                raw.asked = wanted;
                out.push(Effect::Raw(step, width));
            }
        }
        Some(View::Diff(diff)) => {
            if let Some(detail) = detail.as_ref().filter(|_| diff.pair.is_none()) {
                diff.take(detail);
            }
        }
        Some(View::State(state)) => {
            let Some(row) = row else { return };
            state.go(&row);
            if let Some(detail) = &detail {
                state.take(detail);
            }
            let rev = state.rev.clone();
            for dir in state.wanted() {
                out.push(Effect::Ask(
                    None,
                    Tag::List(rev.clone(), dir.clone()),
                    Request::List {
                        rev: rev.clone(),
                        path: dir,
                    },
                ));
            }
            // While directories load, the file shown before stays.
            let selected = state.selected().filter(|n| n.note.is_none());
            if let Some(entry) = selected.map(|n| n.entry.clone())
                && state.shown != entry
            {
                // The same file at another step stays where it was scrolled to.
                let path = |e: &Option<EntryInfo>| e.as_ref().map(|e| e.path.clone());
                if path(&state.shown) != path(&entry) {
                    state.scroll = 0;
                    state.left = 0;
                    state.line = 0;
                    state.mark = None;
                }
                if path(&state.shown) != path(&entry)
                    || entry.as_ref().is_none_or(|e| e.size > LARGE)
                {
                    state.content = None;
                }
                state.shown = entry;
                state.reading = None;
            }
            let Some(entry) = state.shown.clone() else {
                return;
            };
            let wanted = entry.blob.filter(|blob| {
                state.content.as_ref().map(|(b, _)| b) != Some(blob)
                    && state.reading != Some(*blob)
                    && (entry.size <= LARGE || state.forced == Some(*blob))
            });
            if let Some(blob) = wanted {
                state.reading = Some(blob);
                out.push(Effect::Read(entry));
            }
        }
        None => {}
    }
}

/// Whether a change's sides are contents to be compared.
fn comparable(change: &FileChange) -> bool {
    let (before, after, _) = diff_key(change, Space::Show);
    before != after && !code::is_unknown(change)
}

fn is_large(change: &FileChange) -> bool {
    [&change.before, &change.after]
        .into_iter()
        .flatten()
        .any(|e| e.blob.is_some() && e.size > LARGE)
}

fn sync_diffs(app: &mut App, out: &mut Vec<Effect>) {
    let space = app.space();
    let mut wanted: Vec<(FileChange, bool)> = Vec::new();
    let mut large = Vec::new();
    let selected = match &app.view {
        Some(View::Diff(diff)) => diff.selected().cloned().map(|c| {
            let forced = diff.forced.contains(&diff_key(&c, space));
            (c, forced)
        }),
        _ => None,
    };
    let changes: Vec<FileChange> = app
        .focus_detail()
        .map(|d| d.changes.iter().take(MAX_FILES).cloned().collect())
        .unwrap_or_default();
    let all = selected
        .into_iter()
        .chain(changes.into_iter().map(|c| (c, false)));
    for (change, forced) in all.filter(|(c, _)| comparable(c)) {
        let key = diff_key(&change, space);
        app.shelf.diffs.touch(&key);
        match app.shelf.diffs.peek(&key) {
            Some(Compared::Large) if forced => wanted.push((change, true)),
            Some(_) => {}
            None if is_large(&change) && !forced => large.push(key),
            None => wanted.push((change, forced)),
        }
    }
    for key in large {
        app.shelf.diffs.put(key, Compared::Large);
        app.shelf.version += 1;
    }
    if wanted.is_empty() {
        return;
    }
    // The job that is running ends with this: what it has not done is to be asked for again.
    app.shelf.diffs.retain(|c| !matches!(c, Compared::Waiting));
    for (change, _) in &wanted {
        let key = diff_key(change, space);
        app.shelf.diffs.put(key, Compared::Waiting);
    }
    app.shelf.version += 1;
    out.push(Effect::Compare(wanted, space));
}
