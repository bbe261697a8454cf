//! `y`: lines, differences, commands and reasons copied through the terminal.

use crate::diff::text::{Side, TextDiff};
use crate::engine::api::FileChange;
use crate::model::{CallKind, StepKind};

use super::action::Action;
use super::app::{App, Tone, View};
use super::diff_rows::BodyRow;
use super::diff_view::text_of;
use super::diffing;
use super::msg::Effect;
use super::state_view::{Content, line_at};
use super::text;
use super::update::toast;
use super::whole;
use super::words;

/// More than this no terminal takes.
const MOST: usize = 512 << 10;

/// Why something cannot be copied now: quick, since every frame asks.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    match action {
        Action::CopyLine => match &app.view {
            Some(View::Diff(diff)) if diff.in_files || diff.body.is_empty() => {
                no("the keys are not in lines of a file")
            }
            Some(View::State(state)) if !state.in_file || state.line_count() == 0 => {
                no("the keys are not in lines of a file")
            }
            None if app.focus_row().is_none() => no("no step is recorded yet"),
            _ => Ok(()),
        },
        Action::CopyDiff => {
            let any = match &app.view {
                Some(View::Diff(diff)) => diff
                    .selected()
                    .is_some_and(|c| text_of(app.compared(c)).is_some()),
                _ => app
                    .focus_detail()
                    .is_some_and(|d| d.changes.iter().any(|c| text_of(app.compared(c)).is_some())),
            };
            if any {
                Ok(())
            } else {
                no("no lines differ here")
            }
        }
        Action::CopyCommand => match app.focus_row() {
            Some(row) if row.kind == StepKind::Call && row.call == CallKind::Execute => Ok(()),
            _ => no("the step ran no command"),
        },
        Action::CopyReason => {
            let known = app
                .focus_detail()
                .is_some_and(|d| d.thought.is_some() || d.row.kind == StepKind::Thought);
            if known {
                Ok(())
            } else {
                no("no thought led to the step")
            }
        }
        _ => Ok(()),
    }
}

/// Copies.
pub(crate) fn copy(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    let text = match action {
        Action::CopyLine => lines(app),
        Action::CopyDiff => differences(app),
        Action::CopyCommand => command(app),
        Action::CopyReason => reason(app),
        _ => None,
    };
    let Some(text) = text else { return };
    diffing::unselect(app);
    send(app, text, out);
}

/// Nobody can know whether the terminal took it: so that is what the toast says.
pub(crate) fn send(app: &mut App, text: String, out: &mut Vec<Effect>) {
    if text.len() > MOST {
        let said = format!(
            "not copied: {} is more than a terminal takes",
            text::bytes(text.len() as u64)
        );
        return toast(app, Tone::Note, said, &[], out);
    }
    let count = text.lines().count();
    let what = match text.lines().next() {
        Some(line) if count == 1 => text::clip(&text::one_line(line), 48, "..").into_owned(),
        _ => text::plural(count as u64, "line"),
    };
    let said = format!("{what} sent to the terminal's clipboard");
    toast(app, Tone::Good, said, &[], out);
    out.push(Effect::Copy(text));
}

/// The selected lines, as they are in their file.
fn lines(app: &App) -> Option<String> {
    let mut out: Vec<String> = Vec::new();
    let text_of_bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match &app.view {
        Some(View::Diff(diff)) => {
            let change = diff.selected()?;
            let compared = text_of(app.compared(change))?;
            for row in diff.body.get(diff.range())? {
                if let BodyRow::Plain(_, new) = row
                    && let Some((_, Content::Ready(bytes, starts))) = &diff.content
                {
                    out.extend(line_at(bytes, starts, *new).map(text_of_bytes));
                }
                out.extend(row.lines(compared).map(|l| text_of_bytes(&l.text)));
            }
        }
        Some(View::State(state)) => {
            let Some((_, Content::Ready(bytes, starts))) = &state.content else {
                return None;
            };
            let mark = state.mark.unwrap_or(state.line);
            for n in mark.min(state.line)..=mark.max(state.line) {
                out.extend(line_at(bytes, starts, n).map(text_of_bytes));
            }
        }
        Some(_) => return None,
        None => {
            let focus = app.focus_row()?.ordinal;
            let (first, last) = diffing::range(app).unwrap_or((focus, focus));
            let (Ok(from) | Err(from)) = app.rows.position(first);
            for row in app.rows.from(from).take_while(|r| r.ordinal <= last) {
                let kind = words::kind(row);
                out.push(format!(
                    "{} {kind} {}",
                    row.ordinal,
                    text::one_line(&row.title)
                ));
            }
        }
    }
    (!out.is_empty()).then(|| out.join("\n"))
}

/// The difference of the selected file, or of all files of the step.
fn differences(app: &App) -> Option<String> {
    let of = |change: &FileChange| text_of(app.compared(change)).map(|diff| unified(change, diff));
    let parts: Vec<String> = match &app.view {
        Some(View::Diff(diff)) => diff.selected().and_then(of).into_iter().collect(),
        _ => app.focus_detail()?.changes.iter().filter_map(of).collect(),
    };
    (!parts.is_empty()).then(|| parts.concat())
}

/// As `patch` takes it.
fn unified(change: &FileChange, diff: &TextDiff) -> String {
    let name = |side: &str, there: bool, path: &crate::model::RepoPath| {
        if there {
            format!("{side}/{}", String::from_utf8_lossy(path.as_bytes()))
        } else {
            "/dev/null".to_owned()
        }
    };
    let old = name(
        "a",
        change.before.is_some(),
        change.from.as_ref().unwrap_or(&change.path),
    );
    let new = name("b", change.after.is_some(), &change.path);
    let mut out = format!("--- {old}\n+++ {new}\n");
    for hunk in &diff.hunks {
        let range = |r: &std::ops::Range<usize>| {
            let from = if r.is_empty() { r.start } else { r.start + 1 };
            format!("{from},{}", r.len())
        };
        out.push_str(&format!(
            "@@ -{} +{} @@\n",
            range(&hunk.before),
            range(&hunk.after)
        ));
        for line in &hunk.lines {
            out.push(match line.side {
                Side::Both => ' ',
                Side::Removed => '-',
                Side::Added => '+',
            });
            out.push_str(&String::from_utf8_lossy(&line.text));
            out.push('\n');
            if !line.newline {
                out.push_str("\\ No newline at end of file\n");
            }
        }
    }
    out
}

fn command(app: &App) -> Option<String> {
    let row = app.focus_row()?;
    let body = app.focus_detail().and_then(|d| d.body.as_ref());
    let told = body.and_then(|part| {
        let cut = (part.text.len() as u64) < part.len;
        let map = whole::object(&part.text, cut)?;
        Some(map.get("command")?.as_str()?.to_owned())
    });
    Some(told.unwrap_or_else(|| row.title.clone()))
}

fn reason(app: &App) -> Option<String> {
    let detail = app.focus_detail()?;
    match &detail.thought {
        Some((_, thought)) => Some(thought.clone()),
        None => detail.body.as_ref().map(|b| b.text.clone()),
    }
}
