//! From keys to actions: sequences, counts, the search line, and what each action does where.

use ratatui::crossterm::event::KeyCode;

use super::action::{Action, Context, Meaning};
use super::again;
use super::against;
use super::answer;
use super::app::{App, Link, Overlay, Pane, Tone, View};
use super::asking::{self, Asking};
use super::branches;
use super::desk;
use super::diff_view::DiffView;
use super::diffing;
use super::filter;
use super::find;
use super::help_view::HelpView;
use super::hits;
use super::keys::Key;
use super::line;
use super::live;
use super::merge_view;
use super::mouse;
use super::msg::{Effect, Timer};
use super::palette;
use super::places;
use super::rows;
use super::screen;
use super::sizes;
use super::state_tabs::Tab;
use super::state_view::StateView;
use super::travel;
use super::update::{load, toast};
use super::whole;
use super::why;
use super::world;
use super::yank;

/// Longest text of a search.
const MAX_QUERY: usize = 200;

/// Most times that a count repeats.
const MAX_COUNT: u64 = 1_000_000_000;

/// A key was pressed.
pub(crate) fn key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    let interrupt = key.ctrl && key.code == KeyCode::Char('c');
    if !interrupt {
        app.interrupted = false;
    }
    app.hint = false;
    if app.prompt.is_some() && !interrupt {
        return asking::key(app, key, out);
    }
    if matches!(app.overlay, Some(Overlay::Palette(_))) && !interrupt {
        return palette::key(app, key, out);
    }
    if matches!(app.overlay, Some(Overlay::Line(_))) && !interrupt {
        return line::key(app, key, out);
    }
    if app.overlay.is_none() && merge_view::edits(app) {
        return merge_view::editing::edit_key(app, key, out);
    }
    if live::attached(app) {
        return live::update::attached_key(app, key, out);
    }
    if let Some(Overlay::Help(help)) = &mut app.overlay
        && app.pending.is_empty()
        && help.key(key)
    {
        return;
    }
    let context = app.context();
    let counts = !matches!(
        context,
        Context::Dialog
            | Context::StopDialog
            | Context::Help
            | Context::Manual
            | Context::Merge
            | Context::MergeDialog
    );
    if app.pending.is_empty()
        && counts
        && let Some(digit) = key.typed().and_then(|c| c.to_digit(10))
        && (digit > 0 || app.count.is_some())
    {
        let before = app.count.unwrap_or(0);
        app.count = Some((before * 10 + u64::from(digit)).min(MAX_COUNT));
        wait(app, out);
        return;
    }
    app.pending.push(key);
    match app.feel.keymap.meaning(context, &app.pending) {
        Meaning::Action(action, letter) => {
            app.pending.clear();
            let count = app.count.take();
            act(app, action, letter, count, out);
        }
        Meaning::Prefix => wait(app, out),
        Meaning::Nothing => {
            app.pending.clear();
            app.count = None;
        }
    }
}

fn wait(app: &mut App, out: &mut Vec<Effect>) {
    app.stamp += 1;
    app.waits = app.stamp;
    let delay = app.feel.settings.which_key_delay;
    out.push(Effect::Later(delay, Timer::Prefix(app.waits)));
}

/// A prefix has waited: show what may follow. A digit alone has waited: it is the key of a view.
pub(crate) fn prefix_timer(app: &mut App, stamp: u64, out: &mut Vec<Effect>) {
    // Of its own: toasts and clocks, which take numbers too, must not make a key that waits be forgotten.
    if stamp != app.waits {
        return;
    }
    if !app.pending.is_empty() {
        app.hint = true;
        return;
    }
    if let Some(digit) = app.count.and_then(|n| u32::try_from(n).ok())
        && let Some(c) = char::from_digit(digit, 10)
        && let Meaning::Action(action, _) = app.feel.keymap.meaning(app.context(), &[Key::char(c)])
    {
        app.count = None;
        act(app, action, None, None, out);
    }
}

/// Text was pasted: it belongs into a text field and nowhere else, or it would be a row of commands.
pub(crate) fn paste(app: &mut App, text: &str, out: &mut Vec<Effect>) {
    if let Some(Overlay::Palette(palette)) = &mut app.overlay {
        let line = text.lines().next().unwrap_or_default();
        palette
            .query
            .extend(line.chars().filter(|c| !c.is_control()).take(MAX_QUERY));
        return;
    }
    if let Some(Overlay::Line(line)) = &mut app.overlay {
        return line.paste(text);
    }
    if let Some(Overlay::Help(help)) = &mut app.overlay {
        return help.paste(text);
    }
    if app.overlay.is_none() && merge_view::editing::paste(app, text) {
        return;
    }
    asking::paste(app, text, out);
}

/// Does an action, or says why it cannot be done.
pub(crate) fn act(
    app: &mut App,
    action: Action,
    letter: Option<char>,
    count: Option<u64>,
    out: &mut Vec<Effect>,
) {
    if let Err(why) = app.enabled(action) {
        let hints: &[Action] = match action {
            Action::ViewDiff => &[Action::NextChange],
            _ => &[],
        };
        return toast(app, Tone::Note, why, hints, out);
    }
    if action != Action::Interrupt {
        app.toast = None;
    }
    if !matches!(action, Action::SearchNext | Action::SearchPrev) {
        app.hunt.strip = false;
        app.hunt.show = None;
    }
    let n = usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX);
    let place = places::before(app, action);
    match action {
        Action::Down => travel::scroll(app, n, true),
        Action::Up => travel::scroll(app, n, false),
        Action::PageDown => travel::page(app, n, true),
        Action::PageUp => travel::page(app, n, false),
        Action::First => travel::end(app, false),
        Action::Last => match count {
            Some(number) => travel::to_number(app, number),
            None => travel::end(app, true),
        },
        Action::Left => sideways(app, false),
        Action::Right => sideways(app, true),
        Action::Step => travel::step(app, n, true, false, out),
        Action::Back => travel::step(app, n, false, false, out),
        Action::Over => travel::step(app, n, true, true, out),
        Action::BackOver => travel::step(app, n, false, true, out),
        Action::NextChange => travel::next(app, n, true, "change", rows::changed, out),
        Action::PrevChange => travel::next(app, n, false, "change", rows::changed, out),
        Action::NextError => travel::next(app, n, true, "error", rows::failed, out),
        Action::PrevError => travel::next(app, n, false, "error", rows::failed, out),
        Action::NextTurn => travel::next(app, n, true, "turn", rows::begins_turn, out),
        Action::PrevTurn => travel::next(app, n, false, "turn", rows::begins_turn, out),
        Action::NextLabel => travel::next(app, n, true, "label", |r| r.labelled, out),
        Action::PrevLabel => travel::next(app, n, false, "label", |r| r.labelled, out),
        Action::NextHunk => travel::hunk(app, n, true),
        Action::PrevHunk => travel::hunk(app, n, false),
        Action::NextOfFile => why::of_file(app, true, n, out),
        Action::PrevOfFile => why::of_file(app, false, n, out),
        Action::Reason => why::reason(app),
        Action::WalkBack => places::walk(app, n, false, out),
        Action::WalkForward => places::walk(app, n, true, out),
        Action::Finish => travel::finish(app, n, true, out),
        Action::BackToStart => travel::finish(app, n, false, out),
        Action::Again => {
            if let Some((action, count)) = places::again(app, count) {
                act(app, action, None, count, out);
            }
        }
        Action::Wider => sizes::change(app, n, true),
        Action::Narrower => sizes::change(app, n, false),
        Action::ClockAxis => app.sizes.clock = !app.sizes.clock,
        Action::NextFile => travel::file(app, n, true),
        Action::PrevFile => travel::file(app, n, false),
        Action::Open => open(app, out),
        Action::Close => close(app, out),
        Action::ViewTimeline => {
            app.live.behind = false;
            app.view = None;
        }
        Action::ViewDiff if against::of_range(app, out) => {}
        Action::ViewDiff => {
            app.live.behind = live::open(app).is_some();
            app.view = Some(View::Diff(Box::new(DiffView::new())));
        }
        Action::ViewState => {
            if let Some(state) = app.focus_row().map(StateView::new) {
                app.live.behind = live::open(app).is_some();
                app.view = Some(View::State(Box::new(state)));
            }
        }
        Action::NextPane => pane(app, true),
        Action::PrevPane => pane(app, false),
        Action::SideBySide => {
            let now = screen::split(app);
            app.diffing.split = Some(!now);
        }
        Action::Fold | Action::FoldAll | Action::UnfoldAll
            if matches!(app.view, Some(View::Diff(_))) =>
        {
            if let Some(View::Diff(diff)) = &mut app.view {
                match action {
                    Action::Fold => diff.fold(),
                    own => diff.unfolded.set_all(own == Action::UnfoldAll),
                }
            }
        }
        Action::Fold => fold(app, None),
        Action::FoldAll => {
            app.folds.fold_all();
            app.refold();
        }
        Action::UnfoldAll => {
            app.folds.unfold_all();
            app.refold();
        }
        Action::Thoughts => {
            app.folds.toggle_thoughts();
            app.refold();
        }
        Action::Dead => {
            app.folds.toggle_dead();
            app.refold();
        }
        Action::More => whole::ask_more(app, n, out),
        Action::Raw => app.view = Some(View::Raw(Box::default())),
        Action::Centre => travel::centre(app),
        Action::Rollback => world::rollback(app, out),
        Action::Confirm => world::confirm(app, false, out),
        Action::ConfirmFrozen => world::confirm(app, true, out),
        Action::ForkInstead => world::fork_instead(app, out),
        Action::Undo => world::undo(app, out),
        Action::Redo => world::redo(app, out),
        Action::Freeze => live::update::freeze(app, out),
        Action::ViewLive
        | Action::Attach
        | Action::Detach
        | Action::Zoom
        | Action::NextSession
        | Action::PrevSession
        | Action::Slower
        | Action::Faster
        | Action::StopAgent
        | Action::StopYes => live::update::act(app, action, out),
        Action::Label => world::label(app, letter, out),
        Action::Jump => travel::to_label(app, letter, out),
        Action::Search => asking::begin(app, Asking::Search),
        Action::FilterSteps => asking::begin(app, Asking::Filter),
        Action::SearchWord => hits::word(app, out),
        Action::Filter => {
            if let Some(View::List(list)) = &app.view {
                app.prompt = Some(list.filter.clone());
            }
        }
        Action::SearchNext => find::next(app, true, false, n, out),
        Action::SearchPrev => find::next(app, false, false, n, out),
        Action::CopyStep => {
            if let Some(row) = app.focus_row() {
                let text = format!("step:{}", row.ordinal);
                yank::send(app, text, out);
            }
        }
        Action::CopyPath => {
            if let Some(text) = app.selected_path() {
                yank::send(app, text, out);
            }
        }
        Action::Palette => palette::open(app, out),
        Action::Help => {
            app.overlay = match app.overlay {
                Some(Overlay::Help(_)) => None,
                _ => Some(Overlay::Help(HelpView::default())),
            };
        }
        Action::Manual => {
            let manual = !matches!(&app.overlay, Some(Overlay::Help(help)) if help.manual);
            app.overlay = Some(Overlay::Help(HelpView {
                manual,
                ..HelpView::default()
            }));
        }
        Action::Mouse => {
            let words = mouse::toggle(app).to_owned();
            toast(app, Tone::Note, words, &[], out);
        }
        Action::Fork => line::fork(app, out),
        Action::Ask if merge_view::open(app).is_none() => answer::ask(app),
        Action::Merge => branches::open(app, out),
        Action::ListOpen => list_open(app, out),
        Action::Quit => quit(app, out),
        Action::Redraw => {
            out.push(Effect::Redraw);
            if app.loading.partial && matches!(app.link, Link::Open { .. }) {
                load(app, out);
            }
        }
        Action::Suspend => out.push(Effect::Suspend),
        Action::Interrupt => interrupt(app, out),
        own if desk::OWN.contains(&own) => desk::act(app, own, out),
        own if diffing::OWN.contains(&own) => diffing::act(app, own, out),
        own => merge_view::update::act(app, own, out),
    }
    places::note(app, action, count);
    places::after(app, place);
}

fn open(app: &mut App, out: &mut Vec<Effect>) {
    match &mut app.view {
        Some(View::List(list)) => {
            if let Some(item) = list.selected() {
                out.push(Effect::Open(item.path.clone()));
            }
        }
        Some(View::Raw(_) | View::Merge(_) | View::Live(_)) => {}
        Some(View::Desk(_)) => desk::enter(app, out),
        Some(View::Diff(diff)) => {
            if diff.in_files {
                diff.in_files = false;
            } else {
                diff.enter(app.diffing.space);
            }
        }
        // What these say is not to be gone into.
        Some(View::State(state)) if !state.in_file && state.tabs.tab != Tab::Files => {}
        Some(View::State(state)) => {
            if state.in_file {
                if !why::forward(app)
                    && let Some(View::State(state)) = &mut app.view
                {
                    state.forced = state.shown.as_ref().and_then(|e| e.blob);
                }
            } else if !state.toggle(None) {
                state.in_file = state.shown.is_some();
            }
        }
        None if app.pane == Pane::Timeline => {
            if app.focus_row().is_some() {
                app.pane = Pane::Detail;
            }
        }
        None => {
            if app.enabled(Action::ViewDiff).is_ok() {
                app.view = Some(View::Diff(Box::new(DiffView::new())));
            } else if app.enabled(Action::More).is_ok() {
                whole::ask_more(app, 1, out);
            }
        }
    }
}

/// Takes what is selected in a list that lies over a view.
fn list_open(app: &mut App, out: &mut Vec<Effect>) {
    match app.overlay {
        Some(Overlay::Branches(_)) => branches::choose(app, out),
        Some(Overlay::Answer(_)) => answer::go(app, out),
        Some(Overlay::Conflicts { cursor }) => {
            app.overlay = None;
            if let Some(merge) = merge_view::open_mut(app) {
                merge.go(cursor, None);
            }
        }
        _ => {}
    }
}

fn close(app: &mut App, out: &mut Vec<Effect>) {
    if let Some(overlay) = app.overlay.take() {
        return answer::closed(&overlay, out);
    }
    if merge_view::update::cancel(app, out)
        || live::update::close(app, out)
        || diffing::unselect(app)
    {
        return;
    }
    if hits::over_steps(app) && hits::stop(app, out) {
        return;
    }
    match &mut app.view {
        Some(View::List(list)) => list.filter(""),
        Some(View::State(state)) if state.in_file => {
            state.in_file = false;
            state.walk = None;
        }
        Some(View::Desk(desk)) if desk.in_preview => desk.in_preview = false,
        Some(View::Desk(desk)) if !desk.filter.is_empty() => desk.set_filter(""),
        Some(View::Merge(_)) => merge_view::update::leave(app),
        Some(_) => app.view = live::update::behind(app),
        None if app.pane != Pane::Timeline => app.pane = Pane::Timeline,
        None if app.search.is_some() => find::set(app, None),
        None if app.filter.is_on() => filter::set(app, "", out),
        None if app.loading.busy => again::stop_loading(app, out),
        None if app.back => out.push(Effect::Back),
        None => {}
    }
}

fn quit(app: &mut App, out: &mut Vec<Effect>) {
    if let Some(overlay) = app.overlay.take() {
        return answer::closed(&overlay, out);
    }
    if matches!(app.view, Some(View::Merge(_))) {
        return merge_view::update::leave(app);
    }
    if !matches!(app.view, Some(View::List(_))) && app.view.take().is_some() {
        app.view = live::update::behind(app);
        return;
    }
    if app.pane != Pane::Timeline && screen::shape(app.size) == screen::Shape::One {
        app.pane = Pane::Timeline;
        return;
    }
    out.push(if app.back { Effect::Back } else { Effect::Quit });
}

fn interrupt(app: &mut App, out: &mut Vec<Effect>) {
    if app.interrupted {
        return out.push(Effect::Quit);
    }
    asking::cancel(app, out);
    hits::stop(app, out);
    if let Some(overlay) = app.overlay.take() {
        answer::closed(&overlay, out);
    }
    merge_view::update::cancel(app, out);
    app.pending.clear();
    app.count = None;
    toast(app, Tone::Note, "Ctrl-c again quits".to_owned(), &[], out);
    app.interrupted = true;
}

fn pane(app: &mut App, forward: bool) {
    if let Some(Overlay::Answer(answer)) = &mut app.overlay {
        return answer.select(forward);
    }
    match &mut app.view {
        Some(View::List(_) | View::Raw(_)) => {}
        Some(View::Desk(desk)) => desk.in_preview = !desk.in_preview,
        Some(View::Live(_)) => live::update::pane(app),
        Some(View::Merge(_)) => merge_view::update::pane(app, forward),
        Some(View::Diff(diff)) => diff.in_files = !diff.in_files,
        Some(View::State(state)) => state.in_file = !state.in_file && state.shown.is_some(),
        None => {
            let panes: &[Pane] = if screen::shape(app.size) == screen::Shape::Three {
                &[Pane::Timeline, Pane::Detail, Pane::Changes]
            } else {
                &[Pane::Timeline, Pane::Detail]
            };
            let at = panes.iter().position(|p| *p == app.pane).unwrap_or(0);
            let by = if forward { 1 } else { panes.len() - 1 };
            app.pane = panes[(at + by) % panes.len()];
        }
    }
}

/// Folds what the selected step holds or is part of: the subagent that it started, the one that speaks, or its turn.
fn fold(app: &mut App, want: Option<bool>) {
    let Some(row) = app.focus_row().cloned() else {
        return;
    };
    let child = app.folds.child(&row).map(|(shut, _)| shut);
    match (child, want) {
        (Some(shut), want) if want.is_none_or(|w| w != shut) => {
            app.folds.fold_child(&row, !shut);
        }
        // It is open already.
        (Some(_), Some(false)) => {}
        _ => {
            let above = app.folds.call_above(&row).and_then(|o| app.rows.at(o));
            match above.cloned() {
                Some(call) if want != Some(false) => {
                    app.focus = Some(call.ordinal);
                    app.follow = false;
                    app.folds.fold_child(&call, true);
                }
                Some(_) => {}
                None => {
                    let shut = app.folds.turn_folded(&row);
                    app.folds.fold_turn(&row, want.unwrap_or(!shut));
                }
            }
        }
    }
    app.refold();
}

fn sideways(app: &mut App, right: bool) {
    const BY: usize = 8;
    let shift = |left: &mut usize| {
        *left = if right {
            (*left + BY).min(4096)
        } else {
            left.saturating_sub(BY)
        };
    };
    match &mut app.view {
        Some(View::List(_) | View::Desk(_)) => {}
        Some(View::Live(_)) => live::update::sideways(app, right),
        Some(View::Merge(merge)) => merge_view::update::sideways(merge, right),
        Some(View::Raw(raw)) => shift(&mut raw.left),
        Some(View::Diff(diff)) => {
            if diff.in_files {
                diff.in_files = !right;
            } else if !right && diff.left == 0 {
                diff.in_files = true;
            } else {
                shift(&mut diff.left);
            }
        }
        Some(View::State(state)) => {
            if state.in_file {
                if !right && state.left == 0 {
                    state.in_file = false;
                } else {
                    shift(&mut state.left);
                }
            } else if right {
                let opened = state.selected().is_some_and(|n| n.open);
                if opened || !state.toggle(Some(true)) {
                    state.in_file = !opened && state.shown.is_some();
                }
            } else if !state.selected().is_some_and(|n| n.open) || !state.toggle(Some(false)) {
                state.select_parent();
            }
        }
        None => match app.pane {
            Pane::Timeline => fold(app, Some(!right)),
            Pane::Detail => shift(&mut app.detail.left),
            Pane::Changes => shift(&mut app.changes.left),
        },
    }
}
