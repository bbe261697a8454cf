//! What changes the world: rollback, undo, redo, labels. Each is asked of the engine and reported in a toast
//! that says how to take it back.

use crate::engine::api::{ApiError, Request, Response, RollbackReport};
use crate::model::{OpKind, Ordinal, StepKind};

use super::action::Action;
use super::app::{App, Overlay, Tone};
use super::msg::{Effect, Slot, Tag};
use super::text;
use super::update::{failed, toast};

/// Steps that are looked through for the person's own edits.
const MOST_COUNTED: usize = 20_000;

/// Rolls back to the focus: at once, or after a question when an agent is running.
pub(crate) fn rollback(app: &mut App, out: &mut Vec<Effect>) {
    let Some(row) = app.focus_row() else { return };
    let (to, rev) = (row.ordinal, App::revision(row));
    if app.agent_runs() {
        app.overlay = Some(Overlay::Rollback { to, preview: None });
        let request = Request::Rollback {
            rev,
            dry_run: true,
            keep_mtime: false,
            keep_frozen: false,
        };
        out.push(Effect::Ask(Some(Slot::Preview), Tag::Preview(to), request));
    } else {
        send_rollback(app, false, out);
    }
}

/// The person said yes.
pub(crate) fn confirm(app: &mut App, keep_frozen: bool, out: &mut Vec<Effect>) {
    let Some(Overlay::Rollback { to, .. }) = app.overlay.take() else {
        return;
    };
    // The question was about this step, wherever following has gone since.
    app.focus = Some(to);
    app.follow = false;
    send_rollback(app, keep_frozen, out);
}

/// The person wants a fork at that step instead; the agent keeps running where it is.
pub(crate) fn fork_instead(app: &mut App, out: &mut Vec<Effect>) {
    let Some(Overlay::Rollback { to, .. }) = app.overlay.take() else {
        return;
    };
    let Some(rev) = app.rows.at(to).map(App::revision) else {
        return;
    };
    app.busy = Some("a fork");
    let request = Request::Fork { rev, name: None };
    out.push(Effect::Ask(None, Tag::Fork(to), request));
}

/// Steps after `to` that are the person's own edits: how many, the last, and how many files they changed. A rollback there
/// takes them away, and they are saved before.
pub(crate) fn own_edits(app: &App, to: Ordinal) -> Option<(usize, Ordinal, u64)> {
    let from = match app.rows.position(to) {
        Ok(at) => at + 1,
        Err(at) => at,
    };
    // A dialog is no place to count for long; what is further back than this was saved long ago.
    let from = from.max(app.rows.len().saturating_sub(MOST_COUNTED));
    let mut found: Option<(usize, Ordinal, u64)> = None;
    let own = app.rows.from(from).filter(|r| r.kind == StepKind::Outside);
    for row in own {
        let files = row.effect.map_or(1, |e| u64::from(e.files.max(1)));
        found = match found {
            Some((steps, _, sum)) => Some((steps + 1, row.ordinal, sum + files)),
            None => Some((1, row.ordinal, files)),
        };
    }
    found
}

fn send_rollback(app: &mut App, keep_frozen: bool, out: &mut Vec<Effect>) {
    let Some(row) = app.focus_row() else { return };
    let (to, rev) = (row.ordinal, App::revision(row));
    app.live.was = app.workspace();
    app.busy = Some("a rollback");
    let request = Request::Rollback {
        rev,
        dry_run: false,
        keep_mtime: false,
        keep_frozen,
    };
    out.push(Effect::Ask(None, Tag::Rollback(to), request));
}

/// Reverses the last operation.
pub(crate) fn undo(app: &mut App, out: &mut Vec<Effect>) {
    app.busy = Some("an undo");
    out.push(Effect::Ask(None, Tag::Undo, Request::Undo));
}

/// Does again what was undone.
pub(crate) fn redo(app: &mut App, out: &mut Vec<Effect>) {
    app.busy = Some("a redo");
    out.push(Effect::Ask(None, Tag::Redo, Request::Redo));
}

/// Gives the focus a label.
pub(crate) fn label(app: &mut App, letter: Option<char>, out: &mut Vec<Effect>) {
    let (Some(letter), Some(row)) = (letter, app.focus_row()) else {
        return;
    };
    let request = Request::Label {
        name: letter.to_string(),
        rev: Some(format!("step:{}", row.ordinal)),
    };
    out.push(Effect::Ask(None, Tag::Label(letter, row.ordinal), request));
}

/// An answer to one of these came.
pub(crate) fn answer(
    app: &mut App,
    tag: Tag,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    if matches!(tag, Tag::Rollback(_) | Tag::Undo | Tag::Redo) {
        app.busy = None;
    }
    // Where no engine sends news, what was changed is asked for.
    if result.is_ok() && !app.live() {
        out.push(Effect::Ask(None, Tag::Status, Request::Status));
    }
    match (tag, result) {
        (Tag::Rollback(to), Ok(Response::Rollback(report))) => {
            let text = rolled_back(to, app.live.was.take(), &report);
            toast(
                app,
                tone(&report),
                text,
                &[Action::Undo, Action::ViewDiff],
                out,
            );
        }
        (Tag::Undo, Ok(Response::Rollback(report))) => {
            let text = format!("Undid {}: {}", of(&report), told(&report));
            toast(app, tone(&report), text, &[Action::Redo], out);
        }
        (Tag::Redo, Ok(Response::Rollback(report))) => {
            let text = format!("Did {} again: {}", of(&report), told(&report));
            toast(app, tone(&report), text, &[Action::Undo], out);
        }
        (tag @ (Tag::Undo | Tag::Redo), Ok(Response::Done(line))) => {
            let (word, hint) = match tag {
                Tag::Undo => ("Undone", Action::Redo),
                _ => ("Done again", Action::Undo),
            };
            let text = if line.is_empty() {
                word.to_owned()
            } else {
                format!("{word}: {}", text::one_line(&line))
            };
            toast(app, Tone::Good, text, &[hint], out);
        }
        (Tag::Freeze(frozen), Ok(_)) => {
            let whom = std::mem::take(&mut app.live.meant);
            let several = whom.starts_with("all ");
            let text = match (frozen, several) {
                (true, false) => format!("{whom} is frozen"),
                (true, true) => format!("{whom} are frozen"),
                (false, false) => format!("{whom} goes on"),
                (false, true) => format!("{whom} go on"),
            };
            toast(app, Tone::Good, text, &[Action::Freeze], out);
        }
        (Tag::Label(letter, at), Ok(_)) => {
            let text = format!("Label {letter} is on step {at}; '{letter} goes there");
            toast(app, Tone::Good, text, &[Action::Undo], out);
        }
        (tag, Err(error)) => {
            let what = match tag {
                Tag::Rollback(_) => "no rollback",
                Tag::Undo => "no undo",
                Tag::Redo => "no redo",
                Tag::Freeze(true) => "the agent cannot be frozen",
                Tag::Freeze(false) => "the agent cannot be thawed",
                Tag::Label(..) => "no label",
                _ => "the engine refused",
            };
            failed(app, what, &error, out);
        }
        (_, Ok(_)) => {
            let text = "the engine gave an answer of another kind; is it of another version?";
            toast(app, Tone::Bad, text.to_owned(), &[], out);
        }
    }
}

/// What a rollback did: how many files, to where, from where, and under which step the state before it is kept.
fn rolled_back(to: Ordinal, was: Option<Ordinal>, report: &RollbackReport) -> String {
    let files = report.restored.len() + report.removed.len() + report.modes.len();
    if !report.kept.is_empty() || files == 0 {
        return format!("Rolled back to {to}: {}", told(report));
    }
    let gone = match report.removed.len() {
        0 => String::new(),
        n if n == files => format!(", {} removed", if n == 1 { "it was" } else { "all were" }),
        n => format!(", {} of them removed", text::grouped(n as u64)),
    };
    let from = match (was, report.from.step) {
        (Some(was), Some(saved)) if saved != was => format!(" (was {was}, saved as {saved})"),
        (Some(step), _) | (None, Some(step)) => format!(" (was {step})"),
        (None, None) => String::new(),
    };
    let files = text::plural(files as u64, "file");
    format!("Rolled back {files} to {to}{from}{gone}.")
}

fn tone(report: &RollbackReport) -> Tone {
    if report.kept.is_empty() {
        Tone::Good
    } else {
        Tone::Note
    }
}

fn of(report: &RollbackReport) -> &'static str {
    match report.of {
        Some(OpKind::Rollback) => "the rollback",
        Some(OpKind::Label) => "the label",
        Some(OpKind::Undo) => "the undo",
        Some(OpKind::Switch) => "the switch",
        Some(OpKind::Restore) => "the restoring",
        Some(OpKind::Merge) => "the merge",
        Some(OpKind::OpRestore) => "restoring the state",
        Some(OpKind::OpRevert) => "reverting an operation",
        _ => "the last change",
    }
}

/// What a rollback did, in numbers.
pub(crate) fn told(report: &RollbackReport) -> String {
    let mut parts = Vec::new();
    if !report.restored.is_empty() {
        parts.push(format!(
            "{} set back",
            text::plural(report.restored.len() as u64, "file")
        ));
    }
    if !report.removed.is_empty() {
        let n = report.removed.len() as u64;
        let n = if parts.is_empty() {
            text::plural(n, "file")
        } else {
            text::grouped(n)
        };
        parts.push(format!("{n} removed"));
    }
    if !report.modes.is_empty() {
        let n = text::plural(report.modes.len() as u64, "mode");
        parts.push(format!("{n} set"));
    }
    if parts.is_empty() {
        parts.push("nothing differed".to_owned());
    }
    if let Some((path, why)) = report.kept.first() {
        let n = report.kept.len();
        let more = if n > 1 {
            format!(" and {} more", n - 1)
        } else {
            String::new()
        };
        let path = text::path(path);
        parts.push(format!("kept {path}{more} ({})", text::one_line(why)));
    }
    if let Some(step) = report.from.step {
        parts.push(format!("was {step}"));
    }
    parts.join(", ")
}
