//! What the keys of the conflict screen do.
//!
//! A pick is shown at once and told to the engine in the order in which it was made: one request is under way at a time.
//! When the engine refuses one, what is shown is asked for again.

use crate::engine::api::{PickOrigin, Request, Resolver};
use crate::engine::assist::Proposal;
use crate::merge::resolve::Pick;
use crate::ui::action::Action;
use crate::ui::app::{App, Overlay, Tone, View};
use crate::ui::msg::{Effect, Slot, Tag};
use crate::ui::travel;
use crate::ui::update::toast;

use super::check::{self, Check};
use super::questions::Question;
use super::subject::{About, Subject};
use super::{
    Focus, MergeTag, MergeView, Right, Told, assist, draw, editing, offers, open, open_mut,
};

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
    view.queue.push_back((tag, Told::Ask(Box::new(request))));
    pump(view, out);
}

pub(super) fn pump(view: &mut MergeView, out: &mut Vec<Effect>) {
    if !view.sending
        && let Some((tag, told)) = view.queue.pop_front()
    {
        view.sending = true;
        match told {
            Told::Ask(request) => ask(tag, *request, out),
            Told::Accept(what) => out.push(Effect::Accept(tag, what)),
        }
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
        Action::Ask | Action::Instruct => assist::place(view).map(|_| ()).map_err(str::to_owned),
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
        Action::MergeEdit => editing::edit(app, out),
        Action::MergeEditor => editing::editor(app, out),
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
            of: subject.of,
        },
        About::State(number) => Request::MergeStatePick {
            conflict: *number,
            pick: Some(pick.clone()),
            origin: origin.clone(),
            of: subject.of,
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
            view.seek_part(view.part + 1);
        } else if forward && view.at + 1 < view.len() {
            return view.go(view.at + 1, Some(0));
        } else if !forward && view.part > 0 && view.part != usize::MAX {
            view.seek_part(view.part - 1);
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

/// Shows a proposal in the result.
fn show(app: &mut App, n: usize, out: &mut Vec<Effect>) {
    let stacked = draw::stacked(app);
    let Some(view) = open_mut(app) else { return };
    if n < offers::offers(view).len() {
        if stacked {
            view.focus = Focus::Result;
        }
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
    // What cannot be seen is not accepted: where panes lie one behind the other, the result comes to the front first.
    let seen = open(app).is_some_and(|v| draw::areas(app, v).result.is_some());
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
    if !seen {
        view.focus = Focus::Result;
        return;
    }
    let origin = match offer.from {
        offers::From::Within => PickOrigin::Person,
        offers::From::Model(proposal) => return take(view, *proposal, out),
        offers::From::Record(record) => PickOrigin::Llm {
            model: record.model,
            reviewed: true,
        },
    };
    pick(app, Pick::Edited(offer.text), origin, out);
}

/// Takes a model's proposal that a person has seen.
fn take(view: &mut MergeView, proposal: Proposal, out: &mut Vec<Effect>) {
    let (Ok((path, part)), Some(subject)) = (assist::place(view), &mut view.subject) else {
        return;
    };
    let origin = PickOrigin::Llm {
        model: proposal.by.model.clone(),
        reviewed: true,
    };
    subject.settle(part, Some(Pick::Edited(proposal.text.clone())), origin);
    view.shown = None;
    let told = Told::Accept(Box::new((path, part, proposal)));
    view.queue.push_back((MergeTag::Picked, told));
    pump(view, out);
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
