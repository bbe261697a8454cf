//! `D`, and `d` over selected steps: the difference of two states, whichever they are.

use crate::engine::api::{ApiError, Request, Response, Row};
use crate::model::{Ordinal, RefTarget};

use super::app::{App, Overlay, Tone, View};
use super::diff_view::DiffView;
use super::diffing::{self, About};
use super::line::{LineInput, Purpose};
use super::msg::{Effect, Slot, Tag};
use super::text;
use super::update::{failed, toast};
use super::words;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// As it is asked of the engine.
    pub rev: String,
    /// As a person called it, where that says more than the step.
    pub name: String,
    /// The step, once it is known.
    pub step: Option<Ordinal>,
}

impl Named {
    /// `118 (a)`.
    pub(crate) fn words(&self) -> String {
        match (self.step, self.name.is_empty()) {
            (Some(step), true) => step.to_string(),
            (Some(step), false) => format!("{step} ({})", self.name),
            (None, false) => self.name.clone(),
            (None, true) => text::one_line(&self.rev),
        }
    }
}

/// Two states that are compared: one that was named, and the one that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub a: Named,
    pub b: Named,
    /// The step that is looked at is the first of them.
    pub turned: bool,
    /// Neither of them moves with the focus.
    pub fixed: bool,
    /// The step that was looked at when it was asked for.
    pub at: Ordinal,
}

impl Pair {
    /// A side, for the words of a question.
    pub(crate) fn words(&self, before: bool) -> String {
        let side = if before { &self.a } else { &self.b };
        match side.step {
            Some(step) => format!("at step {step}"),
            None => format!("at {}", side.words()),
        }
    }

    /// The same with the step that is looked at now; `None` when that is the same.
    pub(crate) fn follow(&mut self, row: &Row) -> Option<Self> {
        if self.fixed || row.ordinal == self.at {
            return None;
        }
        self.at = row.ordinal;
        let here = here(row);
        let mut next = self.clone();
        if next.turned {
            next.a = here;
        } else {
            next.b = here;
        }
        Some(next)
    }
}

fn here(row: &Row) -> Named {
    let name = row
        .labels
        .first()
        .map(|l| format!("label {}", words::label(l)));
    Named {
        rev: App::revision(row),
        name: name.unwrap_or_default(),
        step: Some(row.ordinal),
    }
}

/// `D`: asks with what.
pub(crate) fn ask(app: &mut App, out: &mut Vec<Effect>) {
    let mut line = LineInput::new(Purpose::Against { names: Vec::new() });
    line.ghost = nearest_label(app).unwrap_or_else(|| "@".to_owned());
    app.overlay = Some(Overlay::Line(line));
    let tag = Tag::Diffing(Box::new(About::Names));
    out.push(Effect::Ask(None, tag, Request::Refs));
}

/// The last label before the step that is looked at.
fn nearest_label(app: &App) -> Option<String> {
    let index = app.focus_index()?;
    let labelled = app.rows.labelled();
    let before = labelled.iter().rev().find(|i| **i < index);
    let nearest = before.or_else(|| labelled.iter().find(|i| **i > index))?;
    app.rows.get(*nearest)?.labels.first().cloned()
}

/// The names are there.
pub(crate) fn names(app: &mut App, result: Result<Response, ApiError>) {
    if let Some(Overlay::Line(line)) = &mut app.overlay
        && let Purpose::Against { names } = &mut line.purpose
        && let Ok(Response::Refs(refs)) = result
    {
        let bare = |name: &str| {
            let name = name.strip_prefix("label/").or(name.strip_prefix("branch/"));
            name.map(str::to_owned)
        };
        *names = refs
            .iter()
            .filter(|(_, target)| !matches!(target, RefTarget::Branch(_)))
            .filter_map(|(name, _)| bare(name))
            .collect();
        // What is typed most is short.
        names.sort_by_key(|n| (n.len(), n.clone()));
    }
}

/// Tab: what was typed becomes the next name that begins so.
pub(crate) fn complete(line: &mut LineInput) {
    let Purpose::Against { names } = &line.purpose else {
        return;
    };
    if line.text.is_empty() {
        line.text.clone_from(&line.ghost);
        return;
    }
    // Once more: the name after the one that stands there.
    let typed = line.stem.clone().unwrap_or_else(|| line.text.clone());
    let fits: Vec<&String> = names.iter().filter(|n| n.starts_with(&typed)).collect();
    let now = fits.iter().position(|n| **n == line.text);
    let next = match now {
        Some(at) if line.stem.is_some() => (at + 1) % fits.len().max(1),
        _ => 0,
    };
    if let Some(name) = fits.get(next) {
        line.text = (*name).clone();
        line.stem = Some(typed);
    }
}

/// A line was typed.
pub(crate) fn typed(app: &mut App, typed: &str, out: &mut Vec<Effect>) {
    let Some(row) = app.focus_row() else { return };
    if typed.is_empty() {
        return;
    }
    let number = typed.trim_start_matches('\'');
    let rev = match number.parse::<Ordinal>() {
        Ok(step) => format!("step:{step}"),
        Err(_) => number.to_owned(),
    };
    let name = if rev.starts_with("step:") {
        String::new()
    } else {
        text::one_line(number)
    };
    let other = Named {
        rev,
        name,
        step: None,
    };
    let pair = Pair {
        a: other,
        b: here(row),
        turned: false,
        fixed: false,
        at: row.ordinal,
    };
    send(pair, out);
}

/// `d` over selected steps: what they changed together.
pub(crate) fn of_range(app: &mut App, out: &mut Vec<Effect>) -> bool {
    let Some((first, last)) = diffing::range(app) else {
        return false;
    };
    let at = |o| app.rows.position(o).ok();
    let (Some(start), Some(end)) = (at(first), at(last)) else {
        return false;
    };
    // The state before the first of them is the one after the last step before it.
    let before = app
        .rows
        .before(start)
        .find(|r| r.commit.is_some())
        .map(here)
        .or_else(|| {
            let row = app.rows.get(start)?;
            let parent = row.parent.or(row.commit)?;
            Some(Named {
                rev: parent.to_hex(),
                name: "the start".to_owned(),
                step: None,
            })
        });
    let after = app.rows.before(end + 1).find(|r| r.commit.is_some());
    let (Some(a), Some(b)) = (before, after.map(here)) else {
        let text = "no state is known of these steps".to_owned();
        toast(app, Tone::Note, text, &[], out);
        return true;
    };
    let Some(focus) = app.focus else { return false };
    app.diffing.range = None;
    let pair = Pair {
        a,
        b,
        turned: false,
        fixed: true,
        at: focus,
    };
    send(pair, out);
    true
}

/// Asks for what differs.
pub(crate) fn send(pair: Pair, out: &mut Vec<Effect>) {
    let request = Request::Diff {
        a: pair.a.rev.clone(),
        b: Some(pair.b.rev.clone()),
        paths: Vec::new(),
    };
    let tag = Tag::Diffing(Box::new(About::Pair(pair)));
    out.push(Effect::Ask(Some(Slot::Against), tag, request));
}

/// What differs is there: it is shown, the older state first.
pub(crate) fn answer(
    app: &mut App,
    mut pair: Pair,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    let found = match result {
        Ok(Response::Changes(found)) => found,
        Ok(_) => {
            let text = "the engine gave an answer of another kind; is it of another version?";
            return toast(app, Tone::Bad, text.to_owned(), &[], out);
        }
        Err(error) => return failed(app, "no comparison", &error, out),
    };
    pair.a.step = pair.a.step.or(found.a.step);
    pair.b.step = pair.b.step.or(found.b.step);
    if !pair.fixed && pair.a.step > pair.b.step && pair.b.step.is_some() {
        std::mem::swap(&mut pair.a, &mut pair.b);
        pair.turned = !pair.turned;
        return send(pair, out);
    }
    if !matches!(&app.view, Some(View::Diff(diff)) if diff.pair.is_some()) {
        app.view = Some(View::Diff(Box::new(DiffView::new())));
    }
    if let Some(View::Diff(diff)) = &mut app.view {
        diff.revs = (Some(found.a.commit.to_hex()), Some(found.b.commit.to_hex()));
        diff.pair = Some(pair);
        diff.put(found.changes, false);
    }
}
