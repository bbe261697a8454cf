//! What changes the world: rollback, undo, redo, labels, freezing. Each is asked of the engine and reported in a toast
//! that says how to take it back.

use crate::engine::api::{ApiError, Request, Response, RollbackReport};
use crate::model::OpKind;

use super::action::Action;
use super::app::{App, Overlay, Tone};
use super::msg::{Effect, Slot, Tag};
use super::text;
use super::update::{failed, toast};

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

fn send_rollback(app: &mut App, keep_frozen: bool, out: &mut Vec<Effect>) {
    let Some(row) = app.focus_row() else { return };
    let (to, rev) = (row.ordinal, App::revision(row));
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

/// Freezes every agent, or lets all go on.
pub(crate) fn freeze(app: &mut App, out: &mut Vec<Effect>) {
    let frozen = !app.frozen();
    let request = Request::Freeze {
        session: None,
        frozen,
    };
    out.push(Effect::Ask(None, Tag::Freeze(frozen), request));
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
            let text = format!("Rolled back to {to}: {}", told(&report));
            toast(app, tone(&report), text, &[Action::Undo], out);
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
            let text = if frozen {
                "The agent is frozen"
            } else {
                "The agent goes on"
            };
            toast(app, Tone::Good, text.to_owned(), &[Action::Freeze], out);
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
