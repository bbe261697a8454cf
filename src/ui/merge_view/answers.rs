//! What answers and news change on the conflict screen.

use std::sync::Arc;

use crate::engine::api::{ApiError, ErrorCode, MergeInfo, MergeReport, Request, Response};
use crate::ui::action::Action;
use crate::ui::app::{App, Tone, View};
use crate::ui::msg::{Effect, Tag};
use crate::ui::text;
use crate::ui::update::{failed, toast};

use super::jobs::News;
use super::subject::{About, Subject};
use super::update::pump;
use super::{MergeTag, MergeView, assist, view_mut};

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
            begun(app, &branch, *info, out);
        }
        (MergeTag::Begun(_) | MergeTag::Finished, Ok(Response::Merged(report))) => {
            merged(app, &report, out);
        }
        (MergeTag::Conflict(path), result) => {
            let Some(view) = view_mut(app) else { return };
            if view.about(view.at) != Some(About::File(path.clone())) {
                return;
            }
            view.asked = None;
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
            let is_pick = matches!(tag, MergeTag::Picked);
            let what = match tag {
                MergeTag::Begun(_) => "no merge",
                MergeTag::Finished => "the merge was not written",
                MergeTag::ReadBack(_) => "what the editor wrote cannot be read back",
                MergeTag::Unpicked => "nothing was taken back",
                _ => "that was not taken",
            };
            if let Some(view) = view_mut(app) {
                view.refused();
            }
            failed(app, what, &error, out);
            // It may have been for what is no more as it was: the list is looked at again too.
            if is_pick && error.code == ErrorCode::Refused {
                let tag = Tag::Merge(MergeTag::Standing);
                out.push(Effect::Ask(None, tag, Request::Merging));
            }
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
    // Another merge than the one that is shown, whoever was told of it first.
    let other = before.as_ref().is_some_and(|b| b.of() != info.of());
    let again =
        undone || matches!(tag, MergeTag::ReadBack(_) | MergeTag::Standing) || info.remade || other;
    let left = info.left;
    let was = before.as_ref().map_or(0, |i| i.left);
    let moved = other || (info.remade && before.as_ref().is_some_and(|b| b.id != info.id));
    if again {
        view.missing = None;
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
