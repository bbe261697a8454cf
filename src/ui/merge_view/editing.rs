//! Editing a part: here, or as a file with markers in the person's own editor.

use crate::engine::api::{PickOrigin, Request};
use crate::merge::resolve::Pick;
use crate::ui::action::Action;
use crate::ui::app::{App, Tone};
use crate::ui::keys::Key;
use crate::ui::msg::Effect;
use crate::ui::screen;
use crate::ui::text;
use crate::ui::update::toast;

use super::editor::{Done, Editor};
use super::subject::About;
use super::update::{pick, tell};
use super::{Focus, MergeTag, offers, open, open_mut, view_mut};

pub(super) fn edit(app: &mut App, out: &mut Vec<Effect>) {
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
pub(super) fn editor(app: &mut App, out: &mut Vec<Effect>) {
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
