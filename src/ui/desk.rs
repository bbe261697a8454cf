//! Lists of a run that lie over the timeline: its operations, branches, sessions and labels. What they have in common:
//! a list, beside it (or, where there is room for one only, behind Enter) what is known of the selected line, a filter,
//! questions before something that is not done at once, and how an answer is told.
//!
//! Nothing is kept that the engine tells: a list is asked for when it is opened, and again when an operation says that it
//! has changed. The selected line stays selected by what it is, wherever it has moved.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::api::{ApiError, OpInfo, Request, Response, RollbackReport};
use crate::model::{Ordinal, Time};

use super::action::{Action, Context};
use super::app::{App, Link, Look, Overlay, Tone, View};
use super::branches_view::Branches;
use super::draw::key_of;
use super::labels_view::Labels;
use super::line::{LineInput, Purpose};
use super::msg::{Effect, Tag};
use super::ops_view::Ops;
use super::overlay::{centred, popup};
use super::paint;
use super::screen::{self, Shape};
use super::sessions_view::Sessions;
use super::sizes;
use super::text;
use super::theme::Token;
use super::travel;
use super::update::{failed, toast};
use super::world;
use super::{branches_view, labels_view, ops_view, sessions_view};

/// What is done here.
pub(crate) const OWN: &[Action] = &[
    Action::ViewBranches,
    Action::ViewOperations,
    Action::ViewSessions,
    Action::ViewLabels,
    Action::OpRestore,
    Action::OpRevert,
    Action::OpCheckpoints,
    Action::BranchSwitch,
    Action::BranchRename,
    Action::BranchDelete,
    Action::BranchPrune,
    Action::BranchMerge,
    Action::BranchDiff,
    Action::BranchFork,
    Action::BranchLeaves,
    Action::BranchDisk,
    Action::LabelDelete,
    Action::DeskFilter,
    Action::Yes,
];

/// Lines that a page of a list moves at least.
const LONGEST_PREVIEW: usize = 600;

/// Which list.
#[derive(Debug)]
pub(crate) enum List {
    Operations(Ops),
    Branches(Branches),
    Sessions(Sessions),
    Labels(Labels),
}

/// A list over the timeline.
#[derive(Debug)]
pub(crate) struct Desk {
    pub list: List,
    /// A place among the lines that the filter leaves.
    pub cursor: usize,
    /// The first one on the screen.
    pub top: usize,
    /// Lines on the screen.
    pub height: usize,
    /// What is known of the selected line has the keys.
    pub in_preview: bool,
    /// Its first line on the screen.
    pub scroll: usize,
    /// Words that all lines hold.
    pub filter: String,
}

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeskTag {
    /// A page of operations before this number.
    Operations(Option<u64>),
    /// One operation.
    Operation(u64),
    /// All branches.
    Branches,
    /// How a branch stands to the workspace's.
    Compared(String),
    /// The branches with a view of their own; with what they take up on disk.
    Forks(bool),
    /// The commits that nothing follows.
    Leaves,
    /// All sessions.
    Sessions,
    /// What was asked for here is done.
    Done(Deed),
}

/// Something that changes the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Everything as it was before an operation.
    Restore(u64),
    /// One operation reversed.
    Revert(u64),
    /// The workspace on another branch.
    Switch(String),
    /// Another name.
    Rename(String, String),
    /// A branch removed.
    Delete(String),
    /// Branches removed that others hold.
    Prune,
    /// What would be pruned: the question comes with the answer.
    WouldPrune,
    /// A label removed.
    Unlabel(String),
}

impl Deed {
    fn request(&self) -> Request {
        match self {
            Self::Restore(seq) => Request::OpRestore {
                op: seq.to_string(),
                before: true,
                dry_run: false,
            },
            Self::Revert(seq) => Request::OpRevert {
                op: seq.to_string(),
                dry_run: false,
            },
            Self::Switch(branch) => Request::Switch {
                branch: branch.clone(),
                create: false,
                dry_run: false,
            },
            Self::Rename(from, to) => Request::BranchRename {
                from: from.clone(),
                to: to.clone(),
            },
            Self::Delete(name) => Request::BranchDelete { name: name.clone() },
            Self::Prune => Request::BranchPrune { dry_run: false },
            Self::WouldPrune => Request::BranchPrune { dry_run: true },
            Self::Unlabel(name) => Request::Label {
                name: name.clone(),
                rev: None,
            },
        }
    }

    /// While it is under way.
    fn busy(&self) -> &'static str {
        match self {
            Self::Restore(_) => "restoring a state",
            Self::Revert(_) => "a revert",
            Self::Switch(_) => "a switch",
            _ => "a change of branches",
        }
    }

    /// When it failed.
    fn not(&self) -> &'static str {
        match self {
            Self::Restore(_) => "nothing restored",
            Self::Revert(_) => "not reverted",
            Self::Switch(_) => "no switch",
            Self::Rename(..) => "not renamed",
            Self::Delete(_) => "not removed",
            Self::Prune | Self::WouldPrune => "nothing pruned",
            Self::Unlabel(_) => "the label stays",
        }
    }
}

/// A question, with what is done when the answer is yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub title: String,
    pub lines: Vec<String>,
    /// What yes means.
    pub yes: String,
    pub deed: Deed,
}

impl Desk {
    fn new(list: List) -> Self {
        Self {
            list,
            cursor: 0,
            top: 0,
            height: 20,
            in_preview: false,
            scroll: 0,
            filter: String::new(),
        }
    }

    /// Where the keys go.
    pub(crate) fn context(&self) -> Context {
        match self.list {
            List::Operations(_) => Context::Operations,
            List::Branches(_) => Context::BranchList,
            List::Sessions(_) => Context::Sessions,
            List::Labels(_) => Context::Labels,
        }
    }

    /// How many lines the list has.
    pub(crate) fn len(&self) -> usize {
        match &self.list {
            List::Operations(ops) => ops.len(),
            List::Branches(branches) => branches.len(),
            List::Sessions(sessions) => sessions.len(),
            List::Labels(labels) => labels.len(),
        }
    }

    /// The path of what is selected.
    pub(crate) fn path(&self) -> Option<String> {
        match &self.list {
            List::Branches(branches) => branches.path(self.cursor),
            _ => None,
        }
    }

    /// Lines up or down: of the list, or of what is known of the selected one.
    pub(crate) fn scroll(&mut self, n: usize, forward: bool) {
        let (at, len) = if self.in_preview {
            (&mut self.scroll, LONGEST_PREVIEW)
        } else {
            let len = self.len();
            (&mut self.cursor, len)
        };
        *at = if forward {
            at.saturating_add(n)
        } else {
            at.saturating_sub(n)
        }
        .min(len.saturating_sub(1));
        if !self.in_preview {
            self.scroll = 0;
        }
    }

    /// To the line of that number: of the operations, the operation.
    pub(crate) fn select_number(&mut self, number: u64) {
        let at = match &self.list {
            List::Operations(ops) => ops.place_of(number),
            _ => usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX),
        };
        self.cursor = at.min(self.len().saturating_sub(1));
        self.scroll = 0;
    }

    /// Leaves only lines that hold all these words.
    pub(crate) fn set_filter(&mut self, filter: &str) {
        filter.clone_into(&mut self.filter);
        match &mut self.list {
            List::Operations(ops) => ops.sift(filter),
            List::Branches(branches) => branches.sift(filter),
            List::Sessions(sessions) => sessions.sift(filter),
            List::Labels(labels) => labels.sift(filter),
        }
        self.cursor = self.cursor.min(self.len().saturating_sub(1));
        self.scroll = 0;
    }
}

/// The list that is open.
pub(crate) fn open(app: &App) -> Option<&Desk> {
    match &app.view {
        Some(View::Desk(desk)) => Some(desk),
        _ => None,
    }
}

pub(crate) fn open_mut(app: &mut App) -> Option<&mut Desk> {
    match &mut app.view {
        Some(View::Desk(desk)) => Some(desk),
        _ => None,
    }
}

/// Whether all words are found, without a look at capitals.
pub(crate) fn holds(line: &str, filter: &str) -> bool {
    let line = line.to_lowercase();
    filter
        .split_whitespace()
        .all(|word| line.contains(&word.to_lowercase()))
}

/// Opens a list, or goes back to the timeline from it.
fn show(app: &mut App, list: List, out: &mut Vec<Effect>) {
    let desk = Desk::new(list);
    if open(app).is_some_and(|d| d.context() == desk.context()) {
        app.view = None;
        return;
    }
    app.view = Some(View::Desk(Box::new(desk)));
    ask_again(app, out);
}

/// Asks for the list that is open.
fn ask_again(app: &App, out: &mut Vec<Effect>) {
    let Some(desk) = open(app) else { return };
    let (tag, request) = match &desk.list {
        List::Operations(_) => (DeskTag::Operations(None), ops_view::page(None)),
        List::Branches(_) => (DeskTag::Branches, Request::Branches),
        List::Sessions(_) => (DeskTag::Sessions, Request::Sessions),
        // These are at their steps.
        List::Labels(_) => return,
    };
    out.push(Effect::Ask(None, Tag::Desk(tag), request));
}

/// Does one of [`OWN`].
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    match action {
        Action::ViewOperations => show(app, List::Operations(Ops::default()), out),
        Action::ViewBranches => {
            let current = app.status.as_ref().map(|s| s.branch.clone());
            let list = Branches::new(current.unwrap_or_default());
            show(app, List::Branches(list), out);
        }
        Action::ViewSessions => show(app, List::Sessions(Sessions::of(&app.rows)), out),
        Action::ViewLabels => show(app, List::Labels(Labels::of(app)), out),
        Action::DeskFilter => {
            if let Some(desk) = open(app) {
                let text = desk.filter.clone();
                let mut line = LineInput::new(Purpose::DeskFilter);
                line.text = text;
                app.overlay = Some(Overlay::Line(line));
            }
        }
        Action::Yes => {
            if let Some(Overlay::Question(question)) = app.overlay.take() {
                send(app, question.deed, out);
            }
        }
        Action::OpRestore | Action::OpRevert | Action::OpCheckpoints => {
            ops_view::act(app, action, out);
        }
        Action::LabelDelete => labels_view::delete(app, out),
        _ => branches_view::act(app, action, out),
    }
}

/// Why an action cannot be done now.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    let changes = !matches!(
        action,
        Action::ViewBranches
            | Action::ViewOperations
            | Action::ViewSessions
            | Action::ViewLabels
            | Action::OpCheckpoints
            | Action::BranchLeaves
            | Action::BranchDiff
            | Action::BranchDisk
            | Action::DeskFilter
            | Action::Yes
    );
    if app.recording() && (changes || action == Action::BranchDisk) {
        return no("this is a recording; backtrail import keeps it in a project");
    }
    if !matches!(app.link, Link::Open { .. }) && action != Action::ViewLabels {
        return no("there is no connection to a recording");
    }
    if changes && let Some(what) = app.busy {
        return Err(format!("{what} is under way"));
    }
    match (action, open(app).map(|d| &d.list)) {
        (Action::OpRestore | Action::OpRevert, Some(List::Operations(_))) => {
            ops_view::enabled(app, action)
        }
        (Action::LabelDelete, Some(List::Labels(labels))) if labels.len() == 0 => {
            no("there is no label")
        }
        (_, Some(List::Branches(_))) => branches_view::enabled(app, action),
        _ => Ok(()),
    }
}

/// Enter: goes where the selected line leads, or into what is known of it.
pub(crate) fn enter(app: &mut App, out: &mut Vec<Effect>) {
    let Some(desk) = open_mut(app) else { return };
    let cursor = desk.cursor;
    let to = match &desk.list {
        List::Operations(_) => {
            desk.in_preview = !desk.in_preview;
            return;
        }
        List::Branches(branches) => branches.step(cursor),
        List::Sessions(sessions) => sessions.first(cursor),
        List::Labels(labels) => labels.step(cursor),
    };
    match to {
        Ok(to) => to_step(app, to),
        Err(why) => toast(app, Tone::Note, why, &[], out),
    }
}

/// Leaves for a step.
pub(crate) fn to_step(app: &mut App, to: Ordinal) {
    app.view = None;
    let (Ok(at) | Err(at)) = app.rows.position(to);
    travel::to_index(app, at.min(app.rows.len().saturating_sub(1)));
}

/// Asks for something that changes the world; with an agent at work in the workspace only after a question.
pub(crate) fn want(app: &mut App, deed: Deed, what: &str, out: &mut Vec<Effect>) {
    if !app.agent_runs() {
        return send(app, deed, out);
    }
    app.overlay = Some(Overlay::Question(Box::new(Question {
        title: "An agent is running".to_owned(),
        lines: vec![format!("{what}?")],
        yes: "freeze the agent, do it, let it go on".to_owned(),
        deed,
    })));
}

pub(crate) fn send(app: &mut App, deed: Deed, out: &mut Vec<Effect>) {
    app.busy = Some(deed.busy());
    let request = deed.request();
    out.push(Effect::Ask(None, Tag::Desk(DeskTag::Done(deed)), request));
}

/// An answer came.
pub(crate) fn answer(
    app: &mut App,
    tag: DeskTag,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    if let DeskTag::Done(deed) = tag {
        return done(app, deed, result, out);
    }
    let Some(desk) = open_mut(app) else { return };
    match (&mut desk.list, tag) {
        (List::Operations(ops), tag) => {
            let selected = ops.number(desk.cursor);
            ops.answer(tag, result);
            ops.sift(&desk.filter);
            // At the newest one, what comes is followed.
            if let Some(number) = selected.filter(|_| desk.cursor > 0) {
                desk.cursor = ops.place_of(number);
            }
        }
        (List::Branches(branches), tag) => {
            let selected = branches.key(desk.cursor);
            branches.answer(tag, result);
            branches.sift(&desk.filter);
            if let Some(at) = selected.and_then(|key| branches.place_of(&key)) {
                desk.cursor = at;
            }
        }
        (List::Sessions(sessions), DeskTag::Sessions) => {
            sessions.answer(result);
            sessions.sift(&desk.filter);
        }
        _ => {}
    }
    desk.cursor = desk.cursor.min(desk.len().saturating_sub(1));
}

fn done(app: &mut App, deed: Deed, result: Result<Response, ApiError>, out: &mut Vec<Effect>) {
    app.busy = None;
    let response = match result {
        Ok(response) => response,
        Err(error) => return failed(app, deed.not(), &error, out),
    };
    if !app.live() {
        // Where no engine sends news, what was changed is asked for.
        out.push(Effect::Ask(None, Tag::Status, Request::Status));
        operation(app, None, out);
    }
    let files = |report: &RollbackReport| format!(": {}", world::told(report));
    let line = |text: &str| text::one_line(text);
    let words = match (&deed, response) {
        (Deed::WouldPrune, Response::Branched(report)) => {
            if report.changes.is_empty() {
                return toast(app, Tone::Note, line(&report.description), &[], out);
            }
            let mut lines = vec!["Another branch holds all of:".to_owned()];
            for change in &report.changes {
                let holder = change.held_by.as_deref().unwrap_or_default();
                lines.push(format!(
                    "  {} (held by {})",
                    line(&change.name),
                    line(holder)
                ));
            }
            app.overlay = Some(Overlay::Question(Box::new(Question {
                title: "Prune branches".to_owned(),
                lines,
                yes: "remove these; their commits stay".to_owned(),
                deed: Deed::Prune,
            })));
            return;
        }
        (_, Response::Branched(report)) => line(&report.description),
        (_, Response::OpDone(report)) => {
            let head = match &deed {
                Deed::Restore(seq) => format!("Everything is as before operation {seq}"),
                _ => line(&report.description),
            };
            let moved = report.rollback.as_deref().map(files).unwrap_or_default();
            format!("{head}{moved}")
        }
        (Deed::Switch(name), Response::Rollback(report)) => {
            format!("The workspace is on {}{}", line(name), files(&report))
        }
        (_, Response::Done(text)) => line(&text),
        _ => {
            let words = "the engine gave an answer of another kind; is it of another version?";
            return toast(app, Tone::Bad, words.to_owned(), &[], out);
        }
    };
    toast(app, Tone::Good, capital(&words), &[Action::Undo], out);
}

/// With a capital at its beginning.
fn capital(words: &str) -> String {
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// An operation was done: what the open list tells of may have changed.
pub(crate) fn operation(app: &mut App, op: Option<&OpInfo>, out: &mut Vec<Effect>) {
    let labels = Labels::of(app);
    let Some(desk) = open_mut(app) else { return };
    match (&mut desk.list, op) {
        (List::Operations(ops), Some(op)) => {
            let selected = ops.number(desk.cursor);
            ops.came(op.clone());
            ops.sift(&desk.filter);
            if let Some(number) = selected.filter(|_| desk.cursor > 0) {
                desk.cursor = ops.place_of(number);
            }
        }
        (List::Labels(held), _) => {
            *held = labels;
            held.sift(&desk.filter);
        }
        (List::Branches(_), Some(op)) if !branches_view::matters(op) => {}
        _ => ask_again(app, out),
    }
    if let Some(desk) = open_mut(app) {
        desk.cursor = desk.cursor.min(desk.len().saturating_sub(1));
    }
}

/// Rows changed: labels are on them, and sessions are counted from them.
pub(crate) fn rows_changed(app: &mut App) {
    let fresh = match open(app).map(|d| &d.list) {
        Some(List::Labels(held)) => {
            let mut fresh = Labels::of(app);
            if held.same(&fresh) {
                return;
            }
            fresh.sift(&open(app).map(|d| d.filter.clone()).unwrap_or_default());
            List::Labels(fresh)
        }
        Some(List::Sessions(held)) if held.rows != app.rows.len() => {
            let mut fresh = held.again(&app.rows);
            fresh.sift(&open(app).map(|d| d.filter.clone()).unwrap_or_default());
            List::Sessions(fresh)
        }
        _ => return,
    };
    if let Some(desk) = open_mut(app) {
        desk.list = fresh;
        desk.cursor = desk.cursor.min(desk.len().saturating_sub(1));
    }
}

/// Asks for what the screen needs and does not have.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    if app.view.is_none() {
        return;
    }
    rows_changed(app);
    let Some(desk) = open_mut(app) else { return };
    let (cursor, shown) = (desk.cursor, desk.top..desk.top + desk.height);
    match &mut desk.list {
        List::Operations(ops) => ops.sync(cursor, shown.end, out),
        List::Branches(branches) => branches.sync(cursor, &shown, out),
        List::Sessions(_) | List::Labels(_) => {}
    }
}

/// The list, and what is known of the selected line; of two that have no room beside each other, the one with the keys.
fn panes(app: &App, desk: &Desk) -> (Option<Rect>, Option<Rect>) {
    let body = screen::regions(app).body;
    if screen::shape(app.size) == Shape::One {
        return if desk.in_preview {
            (None, Some(body))
        } else {
            (Some(body), None)
        };
    }
    let left = (body.width * 58 / 100).clamp(46, 116);
    let left = sizes::width(left, app.sizes.side, body.width);
    let right = Rect {
        x: body.x + left,
        width: body.width - left,
        ..body
    };
    (
        Some(Rect {
            width: left,
            ..body
        }),
        Some(right),
    )
}

/// Fits it to the screen.
pub(crate) fn arrange(app: &mut App) {
    let Some(desk) = open(app) else { return };
    let (list, preview) = panes(app, desk);
    let rows = list.map(|r| usize::from(r.height.saturating_sub(3)));
    let lines = preview.map(|r| {
        let inner = screen::inner(r);
        let all = preview_of(app, desk, usize::from(inner.width.saturating_sub(2))).len();
        all.saturating_sub(usize::from(inner.height))
    });
    let Some(desk) = open_mut(app) else { return };
    if let Some(rows) = rows {
        desk.height = rows.max(1);
    }
    if let Some(most) = lines {
        desk.scroll = desk.scroll.min(most);
    }
    desk.cursor = desk.cursor.min(desk.len().saturating_sub(1));
    desk.top = screen::scrolled(desk.top, desk.cursor, desk.len(), desk.height);
}

fn preview_of(app: &App, desk: &Desk, width: usize) -> Vec<Line<'static>> {
    let width = width.max(8);
    let mut lines = match &desk.list {
        List::Operations(ops) => ops_view::preview(app, ops, desk.cursor, width),
        List::Branches(branches) => branches_view::preview(app, branches, desk.cursor, width),
        List::Sessions(sessions) => sessions_view::preview(app, sessions, desk.cursor, width),
        List::Labels(labels) => labels_view::preview(app, labels, desk.cursor, width),
    };
    lines.truncate(LONGEST_PREVIEW);
    lines
}

/// What the header says.
pub(crate) fn title(app: &App, desk: &Desk) -> Vec<Span<'static>> {
    let word = match desk.list {
        List::Operations(_) => "OPERATIONS",
        List::Branches(_) => "BRANCHES",
        List::Sessions(_) => "SESSIONS",
        List::Labels(_) => "LABELS",
    };
    vec![Span::styled(word, app.look.theme.style(Token::Focus))]
}

/// Draws it.
pub(crate) fn draw(app: &App, desk: &Desk, buf: &mut Buffer) {
    let look = &app.look;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let dim = look.theme.style(Token::Dim);
    let (list, preview) = panes(app, desk);
    if let Some(area) = list {
        let (name, headings, bottom) = match &desk.list {
            List::Operations(ops) => {
                let width = usize::from(area.width.saturating_sub(2));
                ("Operations", ops_view::headings(width), ops.bottom(app))
            }
            List::Branches(branches) => {
                let width = usize::from(area.width.saturating_sub(2));
                let bottom = branches.bottom(app);
                ("Branches", branches_view::headings(branches, width), bottom)
            }
            List::Sessions(_) => {
                let width = usize::from(area.width.saturating_sub(2));
                ("Sessions", sessions_view::headings(width), String::new())
            }
            List::Labels(_) => ("Labels", labels_view::headings(), String::new()),
        };
        let mut below = Vec::new();
        if desk.len() > 0 {
            below.push(format!(
                "{}/{}",
                text::grouped(desk.cursor as u64 + 1),
                text::grouped(desk.len() as u64)
            ));
        }
        if !desk.filter.is_empty() {
            below.push(format!("/{}", text::one_line(&desk.filter)));
        }
        if !bottom.is_empty() {
            below.push(bottom);
        }
        let dot = format!(" {} ", look.glyphs.dot);
        let below = [Span::styled(below.join(&dot), dim)];
        let title = [Span::styled(name, bold)];
        let inner = paint::frame(buf, area, look, !desk.in_preview, &title, &below);
        draw_list(app, desk, buf, inner, &headings);
    }
    if let Some(area) = preview {
        let inner = paint::frame(buf, area, look, desk.in_preview, &[], &[]);
        let width = usize::from(inner.width.saturating_sub(2));
        let lines = preview_of(app, desk, width);
        let shown = lines.iter().skip(desk.scroll);
        for (y, line) in (inner.y..inner.bottom()).zip(shown) {
            let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
            paint::line(buf, place, line, 0, look.glyphs.ellipsis);
        }
    }
}

fn draw_list(app: &App, desk: &Desk, buf: &mut Buffer, inner: Rect, headings: &str) {
    let look = &app.look;
    let width = usize::from(inner.width);
    if inner.height == 0 {
        return;
    }
    let say = |buf: &mut Buffer, words: &str, token: Token| {
        let room = width.saturating_sub(2);
        for (y, line) in (inner.y..inner.bottom()).zip(text::wrap(words, room)) {
            let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
            let line = Line::from(Span::styled(line, look.theme.style(token)));
            paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        }
    };
    if desk.len() == 0 {
        let state = match &desk.list {
            List::Operations(ops) => ops.state(),
            List::Branches(branches) => branches.state(),
            List::Sessions(sessions) => sessions.state(),
            List::Labels(_) => Ok("no label yet: m and a letter gives one to a step"),
        };
        return match state {
            Ok(_) if !desk.filter.is_empty() => say(buf, "nothing fits the filter", Token::Dim),
            Ok(words) => say(buf, words, Token::Dim),
            Err(why) => say(buf, &why, Token::Bad),
        };
    }
    let head = Rect::new(inner.x, inner.y, inner.width, 1);
    let line = Line::from(Span::styled(
        headings.to_owned(),
        look.theme.style(Token::Dim),
    ));
    paint::line(buf, head, &line, 0, look.glyphs.ellipsis);
    let rows = inner.y + 1..inner.bottom();
    for (y, at) in rows.zip(desk.top..desk.len()) {
        let selected = at == desk.cursor;
        let place = Rect::new(inner.x, y, inner.width, 1);
        let spans = match &desk.list {
            List::Operations(ops) => ops_view::row(app, ops, at, width),
            List::Branches(branches) => branches_view::row(app, branches, at, width),
            List::Sessions(sessions) => sessions_view::row(app, sessions, at, width),
            List::Labels(labels) => labels_view::row(app, labels, at, width),
        };
        let mark = if selected { look.glyphs.cursor } else { " " };
        let mut all = vec![Span::styled(mark, look.theme.style(Token::Focus))];
        all.extend(spans);
        paint::line(buf, place, &Line::from(all), 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, look.theme.selection(!desk.in_preview));
        }
    }
}

/// Draws a question.
pub(crate) fn draw_question(app: &App, question: &Question, buf: &mut Buffer, body: Rect) {
    let look = &app.look;
    let key = |action: Action, words: &str| {
        Line::from(vec![
            Span::styled(
                format!("  {:<5}", key_of(app, action)),
                look.theme.style(Token::Key),
            ),
            Span::raw(words.to_owned()),
        ])
    };
    let widest = usize::from(body.width.saturating_sub(8)).clamp(20, 80);
    let mut lines: Vec<Line<'static>> = Vec::new();
    for words in question.lines.iter().take(12) {
        lines.extend(text::wrap(words, widest).into_iter().map(Line::from));
    }
    if question.lines.len() > 12 {
        lines.push(Line::from(format!(
            "  and {} more",
            question.lines.len() - 12
        )));
    }
    lines.push(Line::default());
    lines.push(key(Action::Yes, &question.yes));
    lines.push(key(Action::Close, "do nothing"));
    lines.push(Line::default());
    lines.push(Line::from(Span::styled(
        "What is there now is kept; u brings it back.",
        look.theme.style(Token::Dim),
    )));
    let width = lines.iter().map(Line::width).max().unwrap_or(40);
    let width = u16::try_from(width).unwrap_or(40).saturating_add(6).max(48);
    let height = u16::try_from(lines.len()).unwrap_or(8) + 2;
    let area = centred(body, width, height);
    let inner = popup(app, buf, area, &question.title, &[]);
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x + 2, y, inner.width.saturating_sub(3), 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
    }
}

/// Cells of a time: a list that is not wide gives up the clock of other days.
pub(crate) fn time_cells(width: usize) -> usize {
    if width < 72 { 8 } else { 12 }
}

/// A time in so many cells: the clock, or for another day than `of` the date.
pub(crate) fn when(look: &Look, of: Time, time: Time, cells: usize) -> String {
    let zoned = |t: Time| {
        jiff::Timestamp::from_microsecond(t.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(look.zone.clone())
    };
    if time.0 == 0 {
        return " ".repeat(cells);
    }
    let (day, then) = (zoned(of), zoned(time));
    if day.date() == then.date() {
        format!("{:>cells$}", then.strftime("%H:%M:%S").to_string())
    } else if cells < 12 {
        format!("{:>cells$}", then.strftime("%d %b").to_string())
    } else {
        then.strftime("%d %b %H:%M").to_string()
    }
}

/// A text in exactly so many cells.
pub(crate) fn cell(look: &Look, value: &str, width: usize) -> String {
    let value = text::clip(value, width, look.glyphs.ellipsis);
    let pad = width.saturating_sub(text::width(&value));
    format!("{value}{}", " ".repeat(pad))
}

/// Writes what is known of a line: words under headings, broken to the width.
pub(crate) struct Sheet<'a> {
    look: &'a Look,
    width: usize,
    pub lines: Vec<Line<'static>>,
}

impl<'a> Sheet<'a> {
    pub(crate) fn new(look: &'a Look, width: usize) -> Self {
        Self {
            look,
            width,
            lines: Vec::new(),
        }
    }

    /// Words in a colour.
    pub(crate) fn say(&mut self, words: &str, token: Token) {
        let style = self.look.theme.style(token);
        for line in text::wrap(words, self.width) {
            self.lines.push(Line::from(Span::styled(line, style)));
        }
    }

    /// A title.
    pub(crate) fn bold(&mut self, words: &str) {
        let style = Style::new().add_modifier(Modifier::BOLD);
        for line in text::wrap(words, self.width) {
            self.lines.push(Line::from(Span::styled(line, style)));
        }
    }

    /// A word and what it is, such as `tip   step 12`.
    pub(crate) fn fact(&mut self, name: &str, words: &str) {
        const NAME: usize = 8;
        let dim = self.look.theme.style(Token::Dim);
        let room = self.width.saturating_sub(NAME).max(8);
        for (i, line) in text::wrap(words, room).into_iter().enumerate() {
            let head = if i == 0 { name } else { "" };
            self.lines.push(Line::from(vec![
                Span::styled(format!("{head:<NAME$}"), dim),
                Span::raw(line),
            ]));
        }
    }

    /// An empty line, unless there is one.
    pub(crate) fn gap(&mut self) {
        if self.lines.last().is_some_and(|l| !l.spans.is_empty()) {
            self.lines.push(Line::default());
        }
    }

    /// A heading below a gap.
    pub(crate) fn head(&mut self, words: &str) {
        self.gap();
        self.say(words, Token::Dim);
    }

    /// Files with what became of each, and how much in all.
    pub(crate) fn files(&mut self, changes: &[crate::engine::api::FileChange]) {
        const MOST: usize = 200;
        let theme = self.look.theme;
        let (mut added, mut removed) = (0u64, 0u64);
        for (a, r) in changes.iter().filter_map(|c| c.lines) {
            added += u64::from(a);
            removed += u64::from(r);
        }
        self.gap();
        self.lines.push(Line::from(vec![
            Span::styled(
                format!("{} ", text::plural(changes.len() as u64, "file")),
                theme.style(Token::Dim),
            ),
            Span::styled(
                format!("+{} ", text::grouped(added)),
                theme.style(Token::Added),
            ),
            Span::styled(
                format!("-{}", text::grouped(removed)),
                theme.style(Token::Removed),
            ),
        ]));
        for change in changes.iter().take(MOST) {
            let lines = change.lines.unwrap_or_default();
            let (plus, minus) = (format!("+{}", lines.0), format!("-{}", lines.1));
            let room = self.width.saturating_sub(14);
            let path = text::path(&change.path);
            let path = text::clip_start(&path, room, self.look.glyphs.ellipsis);
            let pad = room.saturating_sub(text::width(&path));
            let mut spans = vec![
                Span::styled(
                    format!("{} ", super::code::letter(change.op)),
                    theme.style(super::code::letter_token(change.op)),
                ),
                Span::raw(format!("{path}{}", " ".repeat(pad))),
            ];
            if change.lines.is_some() {
                spans.push(Span::styled(
                    format!(" {plus:>5}"),
                    theme.style(Token::Added),
                ));
                spans.push(Span::styled(
                    format!(" {minus:>5}"),
                    theme.style(Token::Removed),
                ));
            }
            self.lines.push(Line::from(spans));
        }
        if changes.len() > MOST {
            let more = text::grouped((changes.len() - MOST) as u64);
            self.say(&format!("and {more} more"), Token::Dim);
        }
    }

    /// What a key does here.
    pub(crate) fn key(&mut self, key: &str, words: &str) {
        self.lines.push(Line::from(vec![
            Span::styled(format!("{key:<6}"), self.look.theme.style(Token::Key)),
            Span::styled(words.to_owned(), self.look.theme.style(Token::Dim)),
        ]));
    }
}
