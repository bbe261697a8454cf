//! Where a line is from: which step wrote each line of the file that is shown, the way from a line to the step that wrote
//! it, to the thought behind that and to the prompt, and walking along it and back.

use std::sync::Arc;

use crate::diff::text::Side;
use crate::engine::api::{
    ApiError, BlameInfo, BlameProblem, GraphAnswer, GraphQuery, Origin, Request, Response,
};
use crate::model::{BlobId, Ordinal, RepoPath, StepKind};

use super::action::Action;
use super::app::{App, Tone, View};
use super::diff_rows::BodyRow;
use super::diff_view::DiffView;
use super::msg::{Compared, Effect, Slot, Tag};
use super::places;
use super::state_view::{Content, StateView};
use super::text;
use super::travel;
use super::update::{failed, toast};

/// Versions of a file among which the next and the previous one are looked for.
const VERSIONS: usize = 2_000;

/// What was asked: a file of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlameKey {
    pub rev: String,
    pub path: RepoPath,
    pub blob: BlobId,
    /// Also if it is large.
    pub force: bool,
}

/// Where the lines of a file are from, for drawing.
#[derive(Debug, Clone)]
pub(crate) struct Blamed {
    info: BlameInfo,
    /// The first line of each run.
    starts: Vec<usize>,
}

impl Blamed {
    pub(crate) fn new(info: BlameInfo) -> Self {
        let mut at = 0usize;
        let starts = info
            .runs
            .iter()
            .map(|(count, _)| {
                let start = at;
                at = at.saturating_add(usize::try_from(*count).unwrap_or(usize::MAX));
                start
            })
            .collect();
        Self { info, starts }
    }

    /// What a line (from 0) is from.
    pub(crate) fn origin(&self, line: usize) -> Option<&Origin> {
        let run = self.starts.partition_point(|s| *s <= line).checked_sub(1)?;
        let (count, of) = self.info.runs.get(run)?;
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        if line - self.starts.get(run)? >= count {
            return None;
        }
        self.info.origins.get(usize::try_from(*of).ok()?)
    }

    pub(crate) fn origins(&self) -> &[Origin] {
        &self.info.origins
    }

    pub(crate) fn problem(&self) -> Option<BlameProblem> {
        self.info.problem
    }
}

/// How it stands with the lines of the shown file.
#[derive(Debug, Clone)]
pub(crate) enum Lines {
    /// Here it is.
    Known(Arc<Blamed>),
    /// It cannot be had; why.
    Failed(String),
}

/// A place on the way from a line to its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// In the chain: `step 142 edit`.
    pub words: String,
    /// Where it leads.
    pub step: Option<Ordinal>,
    /// What is said there.
    pub text: String,
    pub kind: Option<StepKind>,
}

/// A way that is being walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    pub chain: Vec<Link>,
    /// Where on it.
    pub at: usize,
}

/// The shown file, if its lines can be asked about.
pub(crate) fn wanted(state: &StateView) -> Option<BlameKey> {
    let entry = state.shown.as_ref().filter(|e| e.kind == "file")?;
    let blob = entry.blob?;
    let gone = state
        .selected()
        .is_some_and(|n| n.gone && n.path == entry.path);
    // What the step removed is in no listing of this state.
    (!gone).then(|| BlameKey {
        rev: state.rev.clone(),
        path: entry.path.clone(),
        blob,
        force: state.forced == Some(blob),
    })
}

/// Asks for what the bar and the gutter need and do not have.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    let Some(View::State(state)) = &mut app.view else {
        return;
    };
    for dir in state.lasts_wanted() {
        let rev = state.rev.clone();
        let query = GraphQuery::LastChanges {
            rev: rev.clone(),
            dir: dir.clone(),
        };
        out.push(Effect::Ask(
            None,
            Tag::Lasts(rev, dir),
            Request::Graph(query),
        ));
    }
    let readable = matches!(state.content, Some((_, Content::Ready(..))));
    if let Some(key) = wanted(state).filter(|_| readable)
        && state.blame.as_ref().map(|(k, _)| k) != Some(&key)
        && state.blaming.as_ref() != Some(&key)
    {
        state.blaming = Some(key.clone());
        let query = GraphQuery::Blame {
            rev: key.rev.clone(),
            path: key.path.clone(),
            force: key.force,
        };
        out.push(Effect::Ask(
            Some(Slot::Blame),
            Tag::Blame(Box::new(key)),
            Request::Graph(query),
        ));
    }
    let step = state.blamed().and_then(|b| b.origin(state.line)?.step);
    let known = step.is_some_and(|s| app.shelf.details.peek(&s).is_some());
    if known {
        state.why_asked = None;
    } else if let Some(step) = step.filter(|s| state.why_asked != Some(*s)) {
        state.why_asked = Some(step);
        out.push(Effect::Ask(
            Some(Slot::Why),
            Tag::Ahead(step),
            Request::Step { id: step },
        ));
    }
}

/// Takes an answer.
pub(crate) fn answer(
    app: &mut App,
    tag: Tag,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    match tag {
        Tag::Lasts(rev, dir) => {
            // Without it the column stays empty.
            if let (Some(View::State(state)), Ok(Response::Graph(GraphAnswer::LastChanges(all)))) =
                (&mut app.view, result)
            {
                state.take_lasts(&rev, &dir, all);
            }
        }
        Tag::Blame(key) => {
            let Some(View::State(state)) = &mut app.view else {
                return;
            };
            if state.blaming.as_ref() != Some(&*key) {
                return;
            }
            state.blaming = None;
            let lines = match result {
                Ok(Response::Graph(GraphAnswer::Blame(info))) => {
                    Lines::Known(Arc::new(Blamed::new(*info)))
                }
                Ok(_) => Lines::Failed("the engine gave no answer to that".to_owned()),
                Err(error) => Lines::Failed(text::one_line(&error.message)),
            };
            state.blame = Some((*key, lines));
        }
        Tag::OfFile(path, forward, n) => match result {
            Ok(Response::Graph(GraphAnswer::Versions(versions))) => {
                let steps = versions.iter().filter_map(|v| v.commit.step).collect();
                to_change(app, &path, steps, forward, n, out);
            }
            Ok(_) => {}
            Err(error) => failed(app, "the file's history cannot be read", &error, out),
        },
        _ => {}
    }
}

/// The file that is selected or shown where the keys go.
fn current_file(app: &App) -> Option<RepoPath> {
    match &app.view {
        Some(View::Diff(diff)) => diff.selected().map(|c| c.path.clone()),
        Some(View::State(state)) => {
            let shown = state.shown.as_ref().map(|e| e.path.clone());
            match state.selected().filter(|_| !state.in_file) {
                Some(node) => Some(node.path.clone()),
                None => shown,
            }
        }
        Some(_) => None,
        None => {
            let change = app.focus_detail()?.changes.first()?;
            Some(change.path.clone())
        }
    }
}

/// Asks for the steps that changed the current file, to go to the next or the previous one.
pub(crate) fn of_file(app: &App, forward: bool, n: usize, out: &mut Vec<Effect>) {
    let Some(path) = current_file(app) else {
        return;
    };
    let query = GraphQuery::Path {
        path: path.clone(),
        rev: None,
        before: None,
        limit: VERSIONS,
    };
    out.push(Effect::Ask(
        Some(Slot::OfFile),
        Tag::OfFile(path, forward, n),
        Request::Graph(query),
    ));
}

/// Whether there is a file whose changes could be gone along.
pub(crate) fn has_file(app: &App) -> bool {
    current_file(app).is_some()
}

fn to_change(
    app: &mut App,
    path: &RepoPath,
    mut steps: Vec<Ordinal>,
    forward: bool,
    n: usize,
    out: &mut Vec<Effect>,
) {
    let Some(now) = app.focus else { return };
    steps.sort_unstable();
    steps.dedup();
    let at = if forward {
        let first = steps.partition_point(|s| *s <= now);
        let last = first.saturating_add(n.max(1) - 1);
        (first < steps.len()).then(|| last.min(steps.len() - 1))
    } else {
        let end = steps.partition_point(|s| *s < now);
        (end > 0).then(|| end.saturating_sub(n.max(1)))
    };
    let found = at
        .and_then(|at| steps.get(at))
        .and_then(|step| app.rows.position(*step).ok());
    match found {
        Some(index) => {
            places::leave(app);
            travel::to_index(app, index);
        }
        None => {
            let which = if forward { "later" } else { "earlier" };
            let text = format!("no {which} change of {}", text::path(path));
            toast(app, Tone::Note, text, &[], out);
        }
    }
}

/// The way from the line under the cursor to its reasons, as far as it is known.
pub(crate) fn chain(app: &App, state: &StateView) -> Vec<Link> {
    if let Some(walk) = &state.walk {
        return walk.chain.clone();
    }
    let Some(origin) = state.blamed().and_then(|b| b.origin(state.line)) else {
        return Vec::new();
    };
    let mut out = vec![Link {
        words: format!("line {}", state.line + 1),
        step: None,
        text: String::new(),
        kind: None,
    }];
    let older = if origin.older { "before " } else { "" };
    let tool = text::one_line(&origin.tool).to_lowercase();
    let words = match (origin.commit.step, origin.kind) {
        (None, _) => format!("{older}the start"),
        (Some(step), Some(StepKind::Call)) if !tool.is_empty() => {
            format!("{older}step {step} {tool}")
        }
        (Some(step), Some(StepKind::Outside)) => format!("{older}step {step} outside"),
        (Some(step), _) => format!("{older}step {step}"),
    };
    let was = origin
        .path
        .as_ref()
        .map(|p| format!(" (as {})", text::path(p)))
        .unwrap_or_default();
    out.push(Link {
        words: format!("{words}{was}"),
        step: origin.commit.step,
        text: origin.title.clone(),
        kind: origin.kind,
    });
    let detail = origin.step.and_then(|id| app.shelf.details.peek(&id));
    let Some(detail) = detail else { return out };
    let reasons = [
        (&detail.thought, StepKind::Thought, "thought"),
        (&detail.prompt, StepKind::Prompt, "prompt"),
    ];
    for (reason, kind, word) in reasons {
        if let Some((step, text)) = reason {
            out.push(Link {
                words: format!("{word} {step}"),
                step: Some(*step),
                text: text.clone(),
                kind: Some(kind),
            });
        }
    }
    out
}

/// Whether there is a reason to be gone to: the action can be done.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    match (action, &app.view) {
        (Action::Reason, Some(View::Diff(diff))) => match line_of_diff(app, diff) {
            Some(_) => Ok(()),
            None => no("no line is here that a file has"),
        },
        (Action::Reason, Some(View::State(state))) => match chain(app, state).len() {
            0 if state.blaming.is_some() => no("still finding out who wrote it"),
            0 => no("no line is here whose writer is known"),
            _ => Ok(()),
        },
        (Action::NextOfFile | Action::PrevOfFile, _) if !has_file(app) => no("no file is selected"),
        _ => Ok(()),
    }
}

/// Enter on a line: one link further. `false` when there is nothing to be walked along.
pub(crate) fn forward(app: &mut App) -> bool {
    let Some(View::State(state)) = &app.view else {
        return false;
    };
    let chain = chain(app, state);
    let at = state.walk.as_ref().map_or(0, |walk| walk.at);
    // What has no step, the state at the start, cannot be gone to.
    let next = (at + 1..chain.len()).find(|i| chain[*i].step.is_some());
    let Some(next) = next else { return at > 0 };
    go(app, Walk { chain, at: next });
    true
}

fn go(app: &mut App, walk: Walk) {
    let step = walk.chain.get(walk.at).and_then(|l| l.step);
    if let Some(View::State(state)) = &mut app.view {
        state.walk = Some(walk);
    }
    if let Some(step) = step {
        to_ordinal(app, step);
    }
}

fn to_ordinal(app: &mut App, step: Ordinal) {
    let (Ok(at) | Err(at)) = app.rows.position(step);
    travel::to_index(app, at);
}

/// `B`: from the diff to the line in its file; from a line to the thought behind it, or else to the prompt, or the step.
pub(crate) fn reason(app: &mut App) {
    if let Some(View::Diff(diff)) = &app.view {
        let Some((path, line)) = line_of_diff(app, diff) else {
            return;
        };
        let Some(row) = app.focus_row() else { return };
        let mut state = StateView::new(row);
        state.seek_to(path, line);
        app.view = Some(View::State(Box::new(state)));
        return;
    }
    let Some(View::State(state)) = &app.view else {
        return;
    };
    let chain = chain(app, state);
    let by_kind = |kind| {
        chain
            .iter()
            .find(|l| l.kind == Some(kind) && l.step.is_some())
    };
    let found = by_kind(StepKind::Thought)
        .or_else(|| by_kind(StepKind::Prompt))
        .or_else(|| chain.iter().find(|l| l.step.is_some()));
    let Some(step) = found.and_then(|l| l.step) else {
        return;
    };
    app.view = None;
    to_ordinal(app, step);
}

/// The line of the new file under the cursor of the diff; where that is on the old side only or on none, the first one that
/// was added in the hunk there, or else any.
fn line_of_diff(app: &App, diff: &DiffView) -> Option<(RepoPath, usize)> {
    let change = diff.selected()?;
    let entry = change.after.as_ref().filter(|e| e.kind == "file")?;
    let Some(Compared::Ready(compared)) = app.compared(change) else {
        return Some((entry.path.clone(), 0));
    };
    let row = diff.body.get(diff.line)?;
    if let BodyRow::Plain(_, new) = row {
        return Some((entry.path.clone(), *new));
    }
    let number = row.lines(compared).filter_map(|l| l.after).last();
    if let Some(number) = number {
        let line = usize::try_from(number).ok()?.saturating_sub(1);
        return Some((entry.path.clone(), line));
    }
    let below = diff.body.iter().skip(diff.line);
    let hunk = below
        .filter_map(|row| match row {
            BodyRow::Line(hunk, _) | BodyRow::Pair(hunk, ..) | BodyRow::Heading(hunk) => {
                Some(*hunk)
            }
            BodyRow::Gap(..) | BodyRow::Plain(..) => None,
        })
        .next()
        .unwrap_or_else(|| diff.hunk());
    let lines = &compared.hunks.get(hunk)?.lines;
    let added = lines.iter().find(|l| l.side == Side::Added);
    let number = added
        .or_else(|| lines.iter().find(|l| l.after.is_some()))
        .and_then(|l| l.after)?;
    let line = usize::try_from(number).ok()?.saturating_sub(1);
    Some((entry.path.clone(), line))
}
