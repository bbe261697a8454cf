//! The conflict screen: ours, base and theirs of a part in conflict, over the result and what speaks for either side.
//!
//! * [`subject`] is one conflict, with the picks made so far; [`result`] lays out what they give.
//! * [`update`] does what keys ask for; the engine keeps every pick, so the screen can be left and come back to.
//! * [`offers`] are proposals: shown as a difference in the result, never applied by themselves.
//! * [`draw`] and [`panes`] draw what is visible, whatever the length of the file.
//!
//! Nothing is written before the merge is finished, and no proposal is in the result before a person has accepted it.

pub(crate) mod answers;
pub(crate) mod assist;
pub(crate) mod check;
pub(crate) mod draw;
pub(crate) mod editing;
pub(crate) mod editor;
pub(crate) mod jobs;
pub(crate) mod offers;
pub(crate) mod panes;
pub(crate) mod questions;
pub(crate) mod result;
pub(crate) mod right;
pub(crate) mod subject;
pub(crate) mod update;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::api::{MergeInfo, Request};
use crate::engine::assist::Proposal;
use crate::merge::resolve::Pick;
use crate::merge::state::StateConflict;
use crate::model::{Ordinal, RepoPath};

use super::action::Action;
use super::app::{App, View};
use super::light::Light;
use assist::Talks;
use check::Check;
use editor::Editor;
use jobs::{Job, Words};
use result::Doc;
use subject::{About, Subject, pointer};

/// Lines above a part in the result, when it is gone to.
const ABOVE: usize = 2;

/// Where the keys that scroll go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    Ours,
    Base,
    Theirs,
    Result,
    Right,
}

/// What the pane beside the result shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Why either side is as it is.
    Reasons,
    /// What a model proposes.
    Assist,
    /// What the check said.
    Check,
}

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MergeTag {
    /// How the unfinished merge stands: at the start of the program, and when the screen is opened.
    Standing,
    /// A merge was begun, of this branch.
    Begun(String),
    /// A conflict in full.
    Conflict(RepoPath),
    /// A pick was made.
    Picked,
    /// The last act was taken back.
    Unpicked,
    /// The file with markers, for an editor.
    Markers(RepoPath),
    /// It came back from the editor.
    ReadBack(RepoPath),
    /// It is finished.
    Finished,
    /// It is given up.
    Abandoned,
}

/// What is told to the engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// This.
    Ask(Box<Request>),
    /// That a model's proposal was accepted for a part; it must still be the part that was asked about.
    Accept(Box<(RepoPath, usize, Proposal)>),
}

/// A place in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scroll {
    pub top: usize,
    pub left: usize,
}

/// A conflict in the list of all.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub name: String,
    pub words: String,
    /// Parts, and how many of them are settled.
    pub parts: (usize, usize),
    pub done: bool,
    pub unreviewed: bool,
}

/// What the result was laid out from.
type DocKey = (About, u64, Option<(usize, usize, u64)>);

/// Actions that belong to the conflict screen.
pub(crate) const OWN: &[Action] = &[
    Action::MergeOurs,
    Action::MergeTheirs,
    Action::MergeBoth,
    Action::MergeBase,
    Action::MergeEdit,
    Action::MergeEditor,
    Action::MergeUndo,
    Action::NextConflict,
    Action::PrevConflict,
    Action::MergeReasons,
    Action::MergeList,
    Action::MergeAccept,
    Action::MergeDiscard,
    Action::Offer1,
    Action::Offer2,
    Action::Offer3,
    Action::AskAll,
    Action::Instruct,
    Action::MergeCheck,
    Action::MergeFinish,
    Action::MergeAbandon,
    Action::MergeConfirm,
];

/// The screen's state.
#[derive(Debug)]
pub(crate) struct MergeView {
    /// How the merge stands, as the engine last said.
    pub info: Option<Arc<MergeInfo>>,
    /// Why there is nothing.
    pub problem: Option<String>,
    /// Which conflict, and which part of it.
    pub at: usize,
    pub part: usize,
    pub subject: Option<Subject>,
    /// What of the conflict is here may be out of date.
    pub stale: bool,
    /// The conflict that was asked for.
    pub asked: Option<RepoPath>,
    /// It could not be had.
    pub missing: Option<(RepoPath, String)>,
    pub focus: Focus,
    pub right: Right,
    pub sides: Scroll,
    pub result: Scroll,
    pub right_top: usize,
    /// The step that is selected in the right pane.
    pub target: usize,
    pub doc: Doc,
    doc_key: Option<DocKey>,
    /// The result is to be scrolled to the part.
    seek: bool,
    /// Words of the sides that differ from the base: for which part, and once they are known.
    pub words: Option<(u64, Option<Arc<Words>>)>,
    /// Recognised words of the result.
    pub light: Option<Arc<Light>>,
    /// Numbers what is worked on elsewhere.
    stamp: u64,
    /// The newest recognition that was asked for.
    pub lit: u64,
    words_for: Option<(About, usize)>,
    pub editor: Option<Editor>,
    /// The proposal that is shown in the result.
    pub shown: Option<usize>,
    /// Changes with the proposals.
    pub offers: u64,
    /// What models were asked.
    pub talks: Talks,
    pub check: Option<Check>,
    /// What is to be told to the engine, one after the other.
    queue: VecDeque<(MergeTag, Told)>,
    sending: bool,
}

impl MergeView {
    /// Before anything is known of the merge, or with what is known.
    pub(crate) fn new(info: Option<Arc<MergeInfo>>) -> Self {
        let mut view = Self {
            info: None,
            problem: None,
            at: 0,
            part: 0,
            subject: None,
            stale: false,
            asked: None,
            missing: None,
            focus: Focus::Ours,
            right: Right::Reasons,
            sides: Scroll::default(),
            result: Scroll::default(),
            right_top: 0,
            target: 0,
            doc: Doc::default(),
            doc_key: None,
            seek: true,
            words: None,
            light: None,
            stamp: 0,
            lit: 0,
            words_for: None,
            editor: None,
            shown: None,
            offers: 0,
            talks: Talks::default(),
            check: None,
            queue: VecDeque::new(),
            sending: false,
        };
        if let Some(info) = info {
            view.take(info);
        }
        view
    }

    /// How many conflicts there are: of files, then of the agent's state.
    pub(crate) fn len(&self) -> usize {
        self.info.as_ref().map_or(0, |info| {
            info.conflicts.len() + info.state.as_ref().map_or(0, |s| s.conflicts.len())
        })
    }

    /// What a conflict is about.
    pub(crate) fn about(&self, at: usize) -> Option<About> {
        let info = self.info.as_ref()?;
        match info.conflicts.get(at) {
            Some(conflict) => Some(About::File(conflict.path.clone())),
            None if at < self.len() => Some(About::State(at - info.conflicts.len())),
            None => None,
        }
    }

    /// A conflict of the agent's state, with its pick.
    pub(crate) fn state_conflict(&self, n: usize) -> Option<(&StateConflict, Option<&Pick>)> {
        let state = self.info.as_ref()?.state.as_ref()?;
        state.conflicts.get(n).map(|(c, p)| (c, p.as_ref()))
    }

    /// A conflict for lists.
    pub(crate) fn item(&self, at: usize) -> Option<Item> {
        let about = self.about(at)?;
        match &about {
            About::File(_) => {
                let info = self.info.as_ref()?.conflicts.get(at)?;
                Some(Item {
                    name: super::text::path(&info.path),
                    words: info.words.clone(),
                    parts: (info.hunks, info.settled),
                    done: info.done,
                    unreviewed: info.unreviewed,
                })
            }
            About::State(n) => {
                let (conflict, pick) = self.state_conflict(*n)?;
                let name = super::text::one_line(&pointer(conflict));
                Some(Item {
                    name: format!("agent state {name}"),
                    words: conflict.kind.words().to_owned(),
                    parts: (1, usize::from(pick.is_some())),
                    done: pick.is_some(),
                    unreviewed: false,
                })
            }
        }
    }

    /// The first conflict that is not settled.
    pub(crate) fn first_left(&self) -> Option<usize> {
        (0..self.len()).find(|at| self.item(*at).is_some_and(|i| !i.done))
    }

    /// How the merge stands now.
    pub(crate) fn take(&mut self, info: Arc<MergeInfo>) {
        let first = self.info.is_none();
        let here = self.about(self.at);
        self.problem = None;
        self.info = Some(info);
        if first {
            self.go(self.first_left().unwrap_or(0), None);
        } else if self.about(self.at) != here {
            // It was made again: the same conflict may be elsewhere in the list.
            let same =
                here.and_then(|h| (0..self.len()).find(|i| self.about(*i).as_ref() == Some(&h)));
            match same {
                Some(at) => self.at = at,
                None => self.go(0, None),
            }
        }
        if let Some(About::State(_)) = self.about(self.at) {
            self.stale = true;
        }
    }

    /// Goes to a conflict: to its first part that is left, or the one that is wanted.
    pub(crate) fn go(&mut self, at: usize, part: Option<usize>) {
        let other = at != self.at || self.subject.is_none();
        self.at = at;
        if other {
            self.subject = None;
            self.asked = None;
            self.missing = None;
            self.doc_key = None;
            self.light = None;
        }
        match (part, &self.subject) {
            (Some(part), _) => self.seek_part(part),
            (None, Some(_)) => self.seek_left(),
            // Once it is here.
            (None, None) => self.seek_part(usize::MAX),
        }
    }

    /// Scrolls the result to the part, once it is laid out.
    pub(crate) fn seek(&mut self) {
        self.seek = true;
    }

    /// To the first part that is left.
    fn seek_left(&mut self) {
        let left = self
            .subject
            .as_ref()
            .and_then(|s| s.parts().position(|p| p.pick.is_none()));
        self.seek_part(left.unwrap_or(0));
    }

    /// To a part of this conflict.
    pub(crate) fn seek_part(&mut self, part: usize) {
        self.part = part;
        self.sides = Scroll::default();
        self.right_top = 0;
        self.target = 0;
        self.seek = true;
        self.shown = None;
        if self.right == Right::Check {
            self.right = Right::Reasons;
        }
        self.words = None;
        self.words_for = None;
    }

    /// What is shown may not be what the engine has.
    pub(crate) fn refused(&mut self) {
        self.stale = true;
        self.missing = None;
        self.subject = None;
        self.doc_key = None;
        self.asked = None;
    }

    /// The conflict in full is here.
    pub(crate) fn have(&mut self, mut subject: Subject) {
        self.asked = None;
        self.missing = None;
        self.stale = false;
        let old = self.subject.as_ref().filter(|s| s.about == subject.about);
        let again = old.is_some();
        subject.version = old.map_or(0, |s| s.version) + 1;
        let len = subject.len();
        self.subject = Some(subject);
        if self.part == usize::MAX {
            self.seek_left();
        } else if self.part >= len.max(1) {
            self.seek_part(len.saturating_sub(1));
        }
        if !again {
            self.doc_key = None;
        }
    }

    /// What is still wanted: the conflict in full, what differs in its sides, ...
    pub(crate) fn wanted(&mut self, out: &mut Vec<super::msg::Effect>) {
        self.want_subject(out);
        let Some(subject) = &self.subject else { return };
        let about = (subject.about.clone(), self.part);
        if self.words_for.as_ref() != Some(&about)
            && let Some(part) = subject.part(self.part)
        {
            self.stamp += 1;
            let sides = &part.sides;
            let sides = [sides.ours.clone(), sides.base.clone(), sides.theirs.clone()];
            self.words = Some((self.stamp, None));
            self.words_for = Some(about);
            let job = Job::Words(self.stamp, Box::new(sides));
            out.push(super::msg::Effect::Merge(job));
        }
        self.lay_out(out);
    }

    fn want_subject(&mut self, out: &mut Vec<super::msg::Effect>) {
        let Some(about) = self.about(self.at) else {
            return;
        };
        let have = self.subject.as_ref().is_some_and(|s| s.about == about);
        if have && !self.stale {
            return;
        }
        match about {
            About::State(n) => {
                let of = self.info.as_ref().map(|i| i.of());
                let made = self
                    .state_conflict(n)
                    .zip(of)
                    .map(|((conflict, pick), of)| Subject::state(n, conflict, pick, of));
                if let Some(subject) = made {
                    self.have(subject);
                }
            }
            About::File(path) => {
                let failed = self.missing.as_ref().is_some_and(|(p, _)| *p == path);
                // What is still to be told would make the answer an old one.
                let waits = have && (self.sending || !self.queue.is_empty());
                if self.asked.as_ref() != Some(&path) && !failed && !waits {
                    self.asked = Some(path.clone());
                    out.push(super::msg::Effect::Ask(
                        Some(super::msg::Slot::Conflict),
                        super::msg::Tag::Merge(MergeTag::Conflict(path.clone())),
                        Request::MergeConflict { path },
                    ));
                }
            }
        }
    }

    /// Lays the result out again, if what it shows has changed.
    fn lay_out(&mut self, out: &mut Vec<super::msg::Effect>) {
        let Some(subject) = &self.subject else { return };
        let shown = self.shown.map(|n| (self.part, n, self.offers));
        let key: DocKey = (subject.about.clone(), subject.version, shown);
        if self.doc_key.as_ref() == Some(&key) {
            return;
        }
        let offers = offers::offers(self);
        let offer = self.shown.and_then(|n| offers.get(n));
        let doc = Doc::of(subject, offer.map(|o| (self.part, o.text.as_slice())));
        let same = doc.text == self.doc.text;
        self.doc = doc;
        self.doc_key = Some(key);
        if !same || self.light.is_none() {
            self.stamp += 1;
            self.lit = self.stamp;
            let name = subject.name();
            let job = Job::Light(self.stamp, name, Arc::clone(&self.doc.text));
            out.push(super::msg::Effect::Merge(job));
        }
    }

    /// Fits what is scrolled to panes of these heights: sides, result.
    pub(crate) fn fit(&mut self, sides: usize, result: usize) {
        let rows = self.doc.rows.len();
        if let Some(editor) = &mut self.editor {
            editor.scroll(result);
        }
        if std::mem::take(&mut self.seek) {
            if self.subject.is_none() {
                self.seek = true;
            } else {
                let start = self.doc.parts.get(self.part).map_or(0, |r| r.start);
                self.result.top = start.saturating_sub(ABOVE);
                self.result.left = 0;
            }
        }
        self.result.top = self.result.top.min(rows.saturating_sub(result));
        let longest = self
            .subject
            .as_ref()
            .and_then(|s| s.part(self.part))
            .map_or(0, |p| {
                let lines = |t: &[u8]| memchr::memchr_iter(b'\n', t).count() + 1;
                lines(&p.sides.ours)
                    .max(lines(&p.sides.base))
                    .max(lines(&p.sides.theirs))
            });
        self.sides.top = self.sides.top.min(longest.saturating_sub(sides));
    }
}

/// The screen, open or left open.
pub(crate) fn view_mut(app: &mut App) -> Option<&mut MergeView> {
    match &mut app.view {
        Some(View::Merge(view)) => Some(view),
        _ => app.parked.as_deref_mut(),
    }
}

/// The screen, if it is open.
pub(crate) fn open(app: &App) -> Option<&MergeView> {
    match &app.view {
        Some(View::Merge(view)) => Some(view),
        _ => None,
    }
}

/// The same, to be changed.
pub(crate) fn open_mut(app: &mut App) -> Option<&mut MergeView> {
    match &mut app.view {
        Some(View::Merge(view)) => Some(view),
        _ => None,
    }
}

/// The step that is selected in the right pane.
pub(crate) fn target(app: &App) -> Option<Ordinal> {
    let view = open(app)?;
    let text = right::text(app, view, ANY);
    text.targets.get(view.target).map(|(_, at)| *at)
}

/// How many steps can be gone to from there.
pub(crate) fn targets(app: &App) -> usize {
    open(app).map_or(0, |view| right::text(app, view, ANY).targets.len())
}

/// Which steps there are does not depend on the width.
const ANY: usize = 60;

/// Whether keys go to the editor.
pub(crate) fn edits(app: &App) -> bool {
    open(app).is_some_and(|v| v.editor.is_some())
}

/// How many conflicts the screen has, if it is open.
pub(crate) fn view_len(view: Option<&View>) -> usize {
    match view {
        Some(View::Merge(view)) => view.len(),
        _ => 0,
    }
}
