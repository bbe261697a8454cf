//! What the keys of the conflict screen do, and what answers change.
//!
//! A pick is shown at once and told to the engine in the order in which it was made: one request is under way at a time.
//! When the engine refuses one, what is shown is asked for again.

use std::sync::Arc;

use crate::engine::api::{
    ApiError, MergeInfo, MergeReport, PickOrigin, Request, Resolver, Response,
};
use crate::merge::resolve::Pick;
use crate::ui::action::Action;
use crate::ui::app::{App, Overlay, Tone, View};
use crate::ui::keys::Key;
use crate::ui::msg::{Effect, Slot, Tag};
use crate::ui::screen;
use crate::ui::text;
use crate::ui::travel;
use crate::ui::update::{failed, toast};

use super::check::{self, Check};
use super::editor::{Done, Editor};
use super::jobs::News;
use super::questions::Question;
use super::subject::{About, Subject};
use super::{Focus, MergeTag, MergeView, Right, assist, offers, open, open_mut, view_mut};

/// Cells that a key scrolls sideways.
const SIDEWAYS: usize = 8;

/// Opens the screen: as it was left, or with what is to be asked for.
pub(crate) fn enter(app: &mut App, out: &mut Vec<Effect>) {
    let view = app.parked.take();
    app.view = Some(View::Merge(
        view.unwrap_or_else(|| Box::new(MergeView::new(None))),
    ));
    ask(MergeTag::Standing, Request::Merging, out);
}

/// Leaves it; the merge stays as it is.
pub(crate) fn leave(app: &mut App) {
    if let Some(View::Merge(view)) = app.view.take_if(|v| matches!(v, View::Merge(_))) {
        app.parked = Some(view);
    }
}

/// Begins to merge a branch into the workspace's.
pub(crate) fn begin(app: &mut App, branch: String, out: &mut Vec<Effect>) {
    app.busy = Some("a merge");
    let request = Request::Merge {
        branch: branch.clone(),
        into: None,
        resolver: Resolver::Manual,
        dry_run: false,
        finish: false,
        message: None,
        keep_conflicts: false,
    };
    ask(MergeTag::Begun(branch), request, out);
}

fn ask(tag: MergeTag, request: Request, out: &mut Vec<Effect>) {
    out.push(Effect::Ask(None, Tag::Merge(tag), request));
}

/// Puts a request behind those that are to be told before it.
pub(super) fn tell(view: &mut MergeView, tag: MergeTag, request: Request, out: &mut Vec<Effect>) {
    view.queue.push_back((tag, request));
    pump(view, out);
}

fn pump(view: &mut MergeView, out: &mut Vec<Effect>) {
    if !view.sending
        && let Some((tag, request)) = view.queue.pop_front()
    {
        view.sending = true;
        ask(tag, request, out);
    }
}

/// Why one of the screen's own actions cannot be done now.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    let Some(view) = open(app) else {
        return no("no merge is shown");
    };
    let Some(info) = &view.info else {
        return no("the merge is not there yet");
    };
    let subject = view.subject.as_ref();
    match action {
        Action::MergeOurs | Action::MergeTheirs | Action::MergeBoth | Action::MergeBase
            if subject.is_none() =>
        {
            no("there is no conflict")
        }
        Action::MergeEdit if subject.is_none_or(Subject::is_whole) => {
            no("it has no lines to be edited: take a side")
        }
        Action::MergeEditor if subject.is_none_or(Subject::is_whole) => {
            no("it has no lines to be edited: take a side")
        }
        Action::NextConflict | Action::PrevConflict if view.len() == 0 => {
            no("there is no conflict")
        }
        Action::MergeUndo if info.undoable == 0 && view.queue.is_empty() && !view.sending => {
            no("no pick was made")
        }
        Action::MergeCheck if info.check.is_none() => {
            no("no check is configured: [merge] check = \"...\" in backtrail.toml")
        }
        Action::MergeFinish if app.busy.is_some() => Err(format!(
            "{} is under way",
            app.busy.unwrap_or("something else")
        )),
        _ => Ok(()),
    }
}

/// Does one of the screen's own actions.
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    match action {
        Action::MergeOurs => pick(app, Pick::Ours, PickOrigin::Person, out),
        Action::MergeTheirs => pick(app, Pick::Theirs, PickOrigin::Person, out),
        Action::MergeBoth => pick(app, Pick::Both, PickOrigin::Person, out),
        Action::MergeBase => pick(app, Pick::Base, PickOrigin::Person, out),
        Action::MergeUndo => {
            if let Some(view) = open_mut(app) {
                tell(view, MergeTag::Unpicked, Request::MergeUnpick, out);
            }
        }
        Action::NextConflict => conflict(app, true, out),
        Action::PrevConflict => conflict(app, false, out),
        Action::MergeEdit => edit(app, out),
        Action::MergeEditor => editor(app, out),
        Action::MergeReasons => {
            if let Some(view) = open_mut(app) {
                view.right = Right::Reasons;
                view.focus = Focus::Right;
            }
        }
        Action::MergeList => {
            if let Some(view) = open(app) {
                app.overlay = Some(Overlay::Conflicts { cursor: view.at });
            }
        }
        Action::MergeAccept => accept(app, out),
        Action::MergeDiscard => discard(app, out),
        Action::Offer1 => show(app, 0, out),
        Action::Offer2 => show(app, 1, out),
        Action::Offer3 => show(app, 2, out),
        Action::Ask => assist::ask(app, out),
        Action::AskAll => assist::ask_all(app, out),
        Action::Instruct => assist::instruct(app, out),
        Action::MergeCheck => run_check(app, out),
        Action::MergeFinish => finish(app, out),
        Action::MergeAbandon => app.overlay = Some(Overlay::Merge(Question::Abandon)),
        Action::MergeConfirm => confirm(app, out),
        _ => {}
    }
}

/// Settles the part that is looked at, or the conflict as a whole.
pub(crate) fn pick(app: &mut App, pick: Pick, origin: PickOrigin, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    let n = view.part;
    let Some(subject) = &mut view.subject else {
        return;
    };
    if let Some(why) = subject.refuses(n, &pick) {
        return toast(app, Tone::Note, why.to_owned(), &[], out);
    }
    let request = match &subject.about {
        About::File(path) => Request::MergePick {
            path: path.clone(),
            hunk: (!subject.is_whole()).then_some(n),
            pick: Some(pick.clone()),
            origin: origin.clone(),
        },
        About::State(number) => Request::MergeStatePick {
            conflict: *number,
            pick: Some(pick.clone()),
            origin: origin.clone(),
        },
    };
    subject.settle(n, Some(pick), origin);
    view.shown = None;
    tell(view, MergeTag::Picked, request, out);
}

/// To the next or previous conflict.
fn conflict(app: &mut App, forward: bool, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    let to = if forward {
        Some(view.at + 1).filter(|to| *to < view.len())
    } else {
        view.at.checked_sub(1)
    };
    match to {
        Some(to) => view.go(to, None),
        None => {
            let which = if forward { "later" } else { "earlier" };
            toast(app, Tone::Note, format!("no {which} conflict"), &[], out);
        }
    }
}

/// To the next or previous part, going on in the next conflict.
pub(crate) fn part(view: &mut MergeView, n: usize, forward: bool) {
    for _ in 0..n.min(100_000) {
        let len = view.subject.as_ref().map_or(0, Subject::len);
        if forward && view.part.saturating_add(1) < len {
            view.to_part(view.part + 1);
        } else if forward && view.at + 1 < view.len() {
            return view.go(view.at + 1, Some(0));
        } else if !forward && view.part > 0 && view.part != usize::MAX {
            view.to_part(view.part - 1);
        } else if !forward && view.at > 0 {
            // Once it is here, this is its last one.
            return view.go(view.at - 1, Some(usize::MAX - 1));
        } else {
            return;
        }
    }
}

/// Scrolls what has the keys.
pub(crate) fn scroll(app: &mut App, n: usize, forward: bool) {
    let moved = |at: usize| {
        if forward {
            at.saturating_add(n)
        } else {
            at.saturating_sub(n)
        }
    };
    let targets = super::targets(app);
    let Some(view) = open_mut(app) else { return };
    match view.focus {
        Focus::Ours | Focus::Base | Focus::Theirs => view.sides.top = moved(view.sides.top),
        Focus::Result => view.result.top = moved(view.result.top),
        Focus::Right if targets > 0 => {
            view.target = moved(view.target).min(targets - 1);
        }
        Focus::Right => view.right_top = moved(view.right_top).min(100_000),
    }
}

/// Scrolls it sideways.
pub(crate) fn sideways(view: &mut MergeView, right: bool) {
    let left = match view.focus {
        Focus::Ours | Focus::Base | Focus::Theirs => &mut view.sides.left,
        Focus::Result => &mut view.result.left,
        Focus::Right => return,
    };
    *left = if right {
        (*left + SIDEWAYS).min(4096)
    } else {
        left.saturating_sub(SIDEWAYS)
    };
}

/// Gives the keys to another pane.
pub(crate) fn pane(app: &mut App, forward: bool) {
    let panes: &[Focus] = if super::draw::stacked(app) {
        &[
            Focus::Ours,
            Focus::Base,
            Focus::Theirs,
            Focus::Result,
            Focus::Right,
        ]
    } else {
        &[Focus::Ours, Focus::Result, Focus::Right]
    };
    let Some(view) = open_mut(app) else { return };
    let at = panes.iter().position(|p| *p == view.focus).unwrap_or(0);
    let by = if forward { 1 } else { panes.len() - 1 };
    view.focus = panes
        .get((at + by) % panes.len())
        .copied()
        .unwrap_or(Focus::Ours);
}

fn edit(app: &mut App, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    let Some(part) = view.subject.as_ref().and_then(|s| s.part(view.part)) else {
        return;
    };
    // What is shown is edited: a proposal, or what stands there.
    let offer = view
        .shown
        .and_then(|n| offers::offers(view).into_iter().nth(n));
    let begin = offer.map_or_else(|| part.text(), |o| o.text);
    match Editor::new(view.part, &begin, part.sides.crlf) {
        Some(mut editor) => {
            if view.shown.is_some() {
                editor.is_new();
            }
            view.editor = Some(editor);
            view.focus = Focus::Result;
        }
        None => {
            let words = "this part is not UTF-8: E edits the file in $EDITOR".to_owned();
            toast(app, Tone::Note, words, &[Action::MergeEditor], out);
        }
    }
}

/// A key was pressed while a part is edited.
pub(crate) fn edit_key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    let page = screen::list_height(app) / 2;
    let Some(view) = open_mut(app) else { return };
    let Some(editor) = &mut view.editor else {
        return;
    };
    let done = editor.key(key, page);
    if done == Done::No {
        return;
    }
    let Some(edited) = view.editor.take() else {
        return;
    };
    if done == Done::Forget {
        return toast(
            app,
            Tone::Note,
            "the edit is forgotten".to_owned(),
            &[],
            out,
        );
    }
    if !edited.changed() {
        return;
    }
    let written = edited.text();
    let value = view
        .subject
        .as_ref()
        .is_some_and(|s| matches!(s.about, About::State(_)));
    if value && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&written) {
        view.editor = Some(edited);
        let words = format!("that is no JSON: {error}; Ctrl-c forgets the edit");
        return toast(app, Tone::Bad, text::one_line(&words), &[], out);
    }
    view.part = edited.part;
    let before = view.subject.as_ref().map(|s| s.version);
    pick(app, Pick::Edited(written), PickOrigin::Person, out);
    // What was refused is not lost.
    if let Some(view) = open_mut(app)
        && view.subject.as_ref().map(|s| s.version) == before
    {
        view.editor = Some(edited);
    }
}

/// Text was pasted into the editor.
pub(crate) fn paste(app: &mut App, pasted: &str) -> bool {
    match open_mut(app).and_then(|v| v.editor.as_mut()) {
        Some(editor) => {
            editor.insert(pasted, false);
            true
        }
        None => false,
    }
}

/// Opens the file with markers, or the value, in the person's own editor.
fn editor(app: &mut App, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    let Some(subject) = &view.subject else { return };
    match &subject.about {
        About::File(path) => {
            let request = Request::MergeMarkers {
                path: path.clone(),
                text: None,
            };
            let tag = MergeTag::Markers(path.clone());
            tell(view, tag, request, out);
        }
        About::State(_) => {
            if let Some(part) = subject.part(view.part) {
                out.push(Effect::Edit(
                    subject.about.clone(),
                    "value.json".to_owned(),
                    part.text(),
                ));
            }
        }
    }
}

/// What was opened in the person's own editor came back.
pub(crate) fn edited(
    app: &mut App,
    about: About,
    result: Result<Option<Vec<u8>>, String>,
    out: &mut Vec<Effect>,
) {
    let written = match result {
        Ok(Some(written)) => written,
        Ok(None) => return toast(app, Tone::Note, "nothing was changed".to_owned(), &[], out),
        Err(why) => return toast(app, Tone::Bad, text::one_line(&why), &[], out),
    };
    match about {
        About::File(path) => {
            let Some(view) = view_mut(app) else { return };
            let request = Request::MergeMarkers {
                path: path.clone(),
                text: Some(written.into()),
            };
            tell(view, MergeTag::ReadBack(path), request, out);
        }
        About::State(_) => {
            let written = written.strip_suffix(b"\n").unwrap_or(&written);
            if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(written) {
                let words = format!("that is no JSON: {error}");
                return toast(app, Tone::Bad, text::one_line(&words), &[], out);
            }
            if open(app).and_then(|v| v.subject.as_ref()).map(|s| &s.about) == Some(&about) {
                pick(app, Pick::Edited(written.to_vec()), PickOrigin::Person, out);
            }
        }
    }
}

/// Shows a proposal in the result.
fn show(app: &mut App, n: usize, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    if n < offers::offers(view).len() {
        view.shown = Some(n);
        view.right = Right::Assist;
        view.right_top = 0;
        view.target = 0;
        view.seek();
    } else {
        let words = format!("there is no proposal {}", n + 1);
        toast(app, Tone::Note, words, &[Action::Ask], out);
    }
}

/// Shows the proposal no longer.
fn discard(app: &mut App, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    if view.shown.take().is_none() {
        let words = "no proposal is shown".to_owned();
        toast(app, Tone::Note, words, &[], out);
    }
}

/// Takes the proposal that is shown, or goes to the step that is selected.
fn accept(app: &mut App, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    let shown = view.shown;
    if view.focus == Focus::Right
        && let Some(at) = super::target(app)
    {
        return jump(app, at, out);
    }
    let Some(view) = open_mut(app) else { return };
    let offer = shown.and_then(|n| offers::offers(view).into_iter().nth(n));
    let Some(offer) = offer else {
        view.focus = Focus::Right;
        return;
    };
    let before = view.subject.as_ref().map(|s| s.version);
    let origin = match &offer.from {
        offers::From::Within => PickOrigin::Person,
        offers::From::Model(proposal) => PickOrigin::Llm {
            model: proposal.by.model.clone(),
            reviewed: true,
        },
        offers::From::Record(record) => PickOrigin::Llm {
            model: record.model.clone(),
            reviewed: true,
        },
    };
    pick(app, Pick::Edited(offer.text.clone()), origin, out);
    if let Some(view) = open_mut(app)
        && view.subject.as_ref().map(|s| s.version) != before
    {
        view.shown = None;
        if let offers::From::Model(proposal) = &offer.from {
            assist::accepted(view, proposal, out);
        }
    }
}

/// Runs the configured check on the result, in a view of its own.
fn run_check(app: &mut App, out: &mut Vec<Effect>) {
    app.stamp += 1;
    let stamp = app.stamp;
    let Some(view) = open_mut(app) else { return };
    let Some((command, of)) = view
        .info
        .as_ref()
        .and_then(|i| Some((i.check.clone()?, i.id)))
    else {
        return;
    };
    view.right = Right::Check;
    view.right_top = 0;
    view.check = Some(Check {
        stamp,
        state: check::State::Running,
        lines: Vec::new(),
        of,
    });
    out.push(Effect::Check(stamp, command));
}

/// Cancels what is under way in the right pane. `false` when there is nothing.
pub(crate) fn cancel(app: &mut App, out: &mut Vec<Effect>) -> bool {
    let Some(view) = open_mut(app) else {
        return false;
    };
    if assist::cancel(view, out) {
        return true;
    }
    if let Some(check) = view
        .check
        .as_mut()
        .filter(|c| c.state == check::State::Running)
    {
        check.state = check::State::Cancelled;
        out.push(Effect::Cancel(Slot::Check));
        return true;
    }
    view.shown.take().is_some()
}

/// Leaves the screen for a step that it tells of.
pub(crate) fn jump(app: &mut App, at: crate::model::Ordinal, out: &mut Vec<Effect>) {
    let Ok(index) = app.rows.position(at) else {
        let words = format!("step {at} is not in the timeline");
        return toast(app, Tone::Note, words, &[], out);
    };
    leave(app);
    app.view = None;
    app.overlay = None;
    app.pane = crate::ui::app::Pane::Timeline;
    travel::to_index(app, index);
    if app.parked.is_some() {
        let words = format!("step {at}; the merge stays as it is");
        toast(app, Tone::Note, words, &[Action::Merge], out);
    }
}

/// Writes the merge, or asks first.
fn finish(app: &mut App, out: &mut Vec<Effect>) {
    let agent = app.agent_runs();
    let Some(view) = open(app) else { return };
    let left = view.info.as_ref().map_or(0, |i| i.left);
    if left > 0 || agent {
        app.overlay = Some(Overlay::Merge(Question::Finish { left, agent }));
    } else {
        send_finish(app, false, out);
    }
}

fn send_finish(app: &mut App, keep_conflicts: bool, out: &mut Vec<Effect>) {
    app.busy = Some("a merge");
    let request = Request::MergeFinish {
        message: None,
        keep_conflicts,
    };
    if let Some(view) = open_mut(app) {
        tell(view, MergeTag::Finished, request, out);
    }
}

/// The person said yes.
fn confirm(app: &mut App, out: &mut Vec<Effect>) {
    match app.overlay.take() {
        Some(Overlay::Merge(Question::Finish { left, .. })) => send_finish(app, left > 0, out),
        Some(Overlay::Merge(Question::Abandon)) => {
            if let Some(view) = open_mut(app) {
                tell(view, MergeTag::Abandoned, Request::MergeAbandon, out);
            }
        }
        other => app.overlay = other,
    }
}

/// Something that was worked on elsewhere is there.
pub(crate) fn news(app: &mut App, news: News) {
    let Some(view) = view_mut(app) else { return };
    match news {
        News::Words(stamp, words) => {
            if let Some((wanted, known)) = &mut view.words
                && *wanted == stamp
            {
                *known = Some(words);
            }
        }
        News::Light(stamp, light) => {
            if view.lit == stamp {
                view.light = Some(light);
            }
        }
        News::Check(stamp, progress) => {
            if let Some(check) = view.check.as_mut().filter(|c| c.stamp == stamp) {
                check.take(progress);
            }
        }
    }
}

/// An answer came.
pub(crate) fn answer(
    app: &mut App,
    tag: MergeTag,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    let queued = !matches!(
        tag,
        MergeTag::Standing | MergeTag::Begun(_) | MergeTag::Conflict(_)
    );
    if matches!(tag, MergeTag::Finished | MergeTag::Begun(_)) {
        app.busy = None;
    }
    if queued && let Some(view) = view_mut(app) {
        view.sending = false;
        pump(view, out);
    }
    match (tag, result) {
        (MergeTag::Begun(branch), Ok(Response::Merging(Some(info)))) => {
            begun(app, &branch, *info, out)
        }
        (MergeTag::Begun(_) | MergeTag::Finished, Ok(Response::Merged(report))) => {
            merged(app, &report, out);
        }
        (MergeTag::Conflict(path), result) => {
            let Some(view) = view_mut(app) else { return };
            if view.about(view.at) != Some(About::File(path.clone())) {
                return;
            }
            match result {
                Ok(Response::MergeConflict(detail)) => view.have(Subject::file(*detail)),
                Ok(_) => view.missing = Some((path, OTHER.to_owned())),
                Err(error) => view.missing = Some((path, text::one_line(&error.message))),
            }
        }
        (tag, Ok(Response::Merging(info))) => standing(app, &tag, info.map(|i| *i), out),
        (MergeTag::Markers(path), Ok(Response::Bytes(bytes))) => {
            let name = String::from_utf8_lossy(path.name()).into_owned();
            out.push(Effect::Edit(About::File(path), name, bytes.0));
        }
        (MergeTag::Recorded, Ok(_)) => {}
        (MergeTag::Abandoned, Ok(_)) => {
            close(app, out);
            let words = "The merge is given up; nothing was written".to_owned();
            toast(app, Tone::Good, words, &[], out);
        }
        (MergeTag::Standing, Err(error)) => {
            if let Some(view) = view_mut(app) {
                view.problem = Some(text::one_line(&error.message));
            }
        }
        (tag, Err(error)) => {
            let what = match tag {
                MergeTag::Begun(_) => "no merge",
                MergeTag::Finished => "the merge was not written",
                MergeTag::ReadBack(_) => "what the editor wrote cannot be read back",
                MergeTag::Unpicked => "nothing was taken back",
                MergeTag::Recorded => "the proposal was taken, but not noted in the record",
                _ => "that was not taken",
            };
            if let Some(view) = view_mut(app) {
                view.stale = true;
            }
            failed(app, what, &error, out);
        }
        (_, Ok(_)) => toast(app, Tone::Bad, OTHER.to_owned(), &[], out),
    }
}

const OTHER: &str = "the engine gave an answer of another kind; is it of another version?";

fn begun(app: &mut App, branch: &str, info: MergeInfo, out: &mut Vec<Effect>) {
    app.overlay = None;
    let clean = info.conflicts.is_empty() && info.left == 0;
    let view = MergeView::new(Some(Arc::new(info)));
    app.parked = None;
    app.view = Some(View::Merge(Box::new(view)));
    if clean {
        let words = format!("{} merges without a conflict", text::one_line(branch));
        toast(app, Tone::Good, words, &[Action::MergeFinish], out);
    }
}

/// How the merge stands: after a pick, or when the screen is opened.
fn standing(app: &mut App, tag: &MergeTag, info: Option<MergeInfo>, out: &mut Vec<Effect>) {
    let Some(info) = info else {
        let shown = matches!(app.view, Some(View::Merge(_)));
        close(app, out);
        if shown {
            let words = "no merge is unfinished: M begins one".to_owned();
            toast(app, Tone::Note, words, &[Action::Merge], out);
        }
        return;
    };
    let Some(view) = view_mut(app) else { return };
    let before = view.info.clone();
    let undone = *tag == MergeTag::Unpicked;
    let again = undone || matches!(tag, MergeTag::ReadBack(_) | MergeTag::Standing) || info.remade;
    let left = info.left;
    let was = before.as_ref().map_or(0, |i| i.left);
    let moved = info.remade && before.as_ref().is_some_and(|b| b.id != info.id);
    if again {
        view.stale = true;
    }
    // What was taken back is shown.
    let back = before.as_ref().filter(|_| undone).and_then(|b| {
        info.conflicts.iter().position(|c| {
            let old = b.conflicts.iter().find(|o| o.path == c.path);
            old.is_some_and(|o| o.settled > c.settled)
        })
    });
    view.take(Arc::new(info));
    if let Some(at) = back
        && at != view.at
    {
        view.go(at, None);
    }
    if moved {
        assist::forget(view, out);
        let words = "a branch has moved: the merge was made again, with the picks that still fit";
        toast(app, Tone::Note, words.to_owned(), &[], out);
    } else if left == 0 && was > 0 {
        let words = "all is settled; nothing is written yet".to_owned();
        toast(
            app,
            Tone::Good,
            words,
            &[Action::MergeFinish, Action::MergeUndo],
            out,
        );
    }
}

/// The merge is no more.
fn close(app: &mut App, out: &mut Vec<Effect>) {
    if let Some(view) = view_mut(app) {
        assist::forget(view, out);
    }
    app.parked = None;
    app.view.take_if(|v| matches!(v, View::Merge(_)));
}

fn merged(app: &mut App, report: &MergeReport, out: &mut Vec<Effect>) {
    close(app, out);
    app.overlay = None;
    let (branch, into) = (text::one_line(&report.branch), text::one_line(&report.into));
    if report.up_to_date {
        let words = format!("{into} has all of {branch} already");
        return toast(app, Tone::Note, words, &[], out);
    }
    let mut words = format!(
        "Merged {branch} into {into}: {} changed",
        text::plural(report.changes.len() as u64, "file")
    );
    if report.fast_forward {
        words.push_str(", nothing had to be put together");
    }
    if !report.open.is_empty() {
        let n = text::plural(report.open.len() as u64, "conflict");
        words.push_str(&format!(", {n} kept open"));
    }
    if !report.unreviewed.is_empty() {
        let n = report.unreviewed.len();
        words.push_str(&format!(", {n} not reviewed"));
    }
    let kept = report.rollback.as_ref().map_or(0, |r| r.kept.len());
    if kept > 0 {
        words.push_str(&format!(
            ", {} left as they were",
            text::plural(kept as u64, "path")
        ));
    }
    let tone = if kept == 0 && report.open.is_empty() {
        Tone::Good
    } else {
        Tone::Note
    };
    // Where no engine sends news, what was changed is asked for.
    if !app.live() {
        out.push(Effect::Ask(None, Tag::Status, Request::Status));
    }
    toast(app, tone, words, &[Action::Undo], out);
}
