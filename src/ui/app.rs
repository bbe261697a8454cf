//! All that the UI knows, and the questions that both its logic and its drawing ask about it.
//!
//! Nothing here waits, reads a clock or touches a terminal: [`super::update::update`] changes it, and drawing reads it.

use std::collections::HashSet;
use std::sync::Arc;

use ratatui::layout::Size;

use crate::diff::text::Space;
use crate::engine::api::{ApiError, EngineStatus, FileChange, Row, StepDetail};
use crate::model::{BlobId, CommitId, Ordinal, SessionId, StepId, Time};

use super::action::{Action, Context};
use super::answer::Answer;
use super::branches::Picker;
use super::cache::Cache;
use super::desk::{self, Desk};
use super::detail::DocPane;
use super::diff_view::DiffView;
use super::diffing::{self, Diffing};
use super::feel::Feel;
use super::filter::{self, Filter};
use super::folds::Folds;
use super::help_view::HelpView;
use super::hits::Hunt;
use super::keys::Key;
use super::lanes::Lanes;
use super::light::Light;
use super::line::LineInput;
use super::list::ListView;
use super::live::{self, Live, LiveView};
use super::merge_view;
use super::merge_view::MergeView;
use super::merge_view::questions::Question;
use super::msg::{Compared, DiffKey, LightKey};
use super::palette::Palette;
use super::places::{self, Places};
use super::raw_view::RawView;
use super::restoring::Asked;
use super::rows::{self, Rows};
use super::sizes::{self, Sizes};
use super::state_view::StateView;
use super::theme::{Glyphs, Theme};
use super::why;

/// How a recording says what it is, where an engine says how it captures.
const RECORDING: &str = "recording";

/// How everything is drawn.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub theme: Theme,
    pub glyphs: Glyphs,
    /// The zone that clocks are shown in.
    pub zone: jiff::tz::TimeZone,
}

/// How the source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not there yet.
    Connecting,
    /// There; with an engine behind it or not.
    Open {
        /// Things can change under us.
        live: bool,
    },
    /// It cannot be had.
    Failed(ApiError),
    /// The engine went away.
    Gone,
}

/// A pane of the home screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    /// The steps.
    Timeline,
    /// Why and what.
    Detail,
    /// The diff, where there is room for it beside the rest.
    Changes,
}

/// What lies over the home screen.
#[derive(Debug)]
pub(crate) enum View {
    /// The recordings of this machine: a first screen, over which others lie.
    List(Box<ListView>),
    /// The full diff.
    Diff(Box<DiffView>),
    /// The state browser.
    State(Box<StateView>),
    /// The records that the step was read from.
    Raw(Box<RawView>),
    /// The conflict screen.
    Merge(Box<MergeView>),
    /// Events and the agent's terminal.
    Live(Box<LiveView>),
    /// Operations, branches, sessions or labels.
    Desk(Box<Desk>),
}

/// What lies over a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Overlay {
    /// Every action by its words.
    Palette(Palette),
    /// The keys.
    Help(HelpView),
    /// A question to a model, with its answer.
    Answer(Box<Answer>),
    /// A line that is typed.
    Line(LineInput),
    /// The branches that can be merged.
    Branches(Box<Picker>),
    /// All conflicts of the merge.
    Conflicts {
        /// The selected one.
        cursor: usize,
    },
    /// The question before a merge is written or given up.
    Merge(Question),
    /// A question that is answered with yes or not at all.
    Question(Box<desk::Question>),
    /// The question before parts of a past state are restored.
    Restore(Box<Asked>),
    /// The question before a rollback under a running agent.
    Rollback {
        /// To which step.
        to: Ordinal,
        /// Files that come back or change, and files that go, once known.
        preview: Option<Result<(usize, usize), String>>,
    },
    /// The question before an agent is stopped.
    Stop {
        /// Its session.
        session: SessionId,
        /// Its name.
        name: String,
    },
}

/// A line at the bottom that goes away by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toast {
    pub tone: Tone,
    pub text: String,
    /// What can be done now.
    pub hints: Vec<Action>,
    /// Which one it is, for its timer.
    pub stamp: u64,
}

/// How a toast is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Note,
    Bad,
}

/// Loading of rows.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    /// Something is still to come.
    pub busy: bool,
    /// It was stopped, or failed, before all was there.
    pub partial: bool,
    /// Which loading it is: pages of an earlier one are of no use any more.
    pub stamp: u64,
    /// The newest rows are there (so the list can be shown).
    pub tail: bool,
    /// Rows came, and what follows from them was not done yet.
    pub unsettled: bool,
    /// The row at the top of the list before they came.
    pub anchor: Option<Ordinal>,
    /// Rows that notices brought since loading began.
    pub noticed: HashSet<Ordinal>,
    /// Rows that notices took away since then.
    pub gone: HashSet<Ordinal>,
}

/// What has been loaded of steps and files.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub details: Cache<StepId, Arc<StepDetail>>,
    /// Details that may be out of date: shown until the new ones are there.
    pub stale: HashSet<StepId>,
    pub diffs: Cache<DiffKey, Compared>,
    pub lights: Cache<LightKey, Arc<Light>>,
    /// What was read of long texts beyond their beginnings.
    pub more: Cache<BlobId, Arc<Vec<u8>>>,
    /// Changes with everything that is put here.
    pub version: u64,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct App {
    pub look: Look,
    pub size: Size,
    pub link: Link,
    pub status: Option<Box<EngineStatus>>,
    pub rows: Rows,
    pub lanes: Lanes,
    pub loading: Loading,
    /// The step that is looked at.
    pub focus: Option<Ordinal>,
    /// The focus goes with what comes.
    pub follow: bool,
    /// The first row of the list on the screen, as a place among the visible ones.
    pub top: usize,
    pub folds: Folds,
    pub pane: Pane,
    pub view: Option<View>,
    /// The conflict screen as it was left: its merge is not finished.
    pub parked: Option<Box<MergeView>>,
    pub overlay: Option<Overlay>,
    /// The search being typed.
    pub prompt: Option<String>,
    pub search: Option<String>,
    /// What the search has found, and what was typed before.
    pub hunt: Hunt,
    /// Only rows that fit are shown.
    pub filter: Filter,
    /// Keys of a sequence that is not complete.
    pub pending: Vec<Key>,
    pub count: Option<u64>,
    /// What may follow is shown.
    pub hint: bool,
    /// Numbers timers, so that an old one changes nothing.
    pub stamp: u64,
    /// The timer that the keys of an unfinished sequence wait for.
    pub waits: u64,
    pub toast: Option<Toast>,
    /// Ctrl-c was pressed once.
    pub interrupted: bool,
    /// The step that was asked for last and has not come.
    pub asked: Option<StepId>,
    /// The text of which more was asked for.
    pub asked_more: Option<BlobId>,
    /// The step whose neighbours were asked for.
    pub ahead: Option<StepId>,
    /// Something that changes the world is under way.
    pub busy: Option<&'static str>,
    /// Warnings that were shown.
    pub warned: HashSet<String>,
    pub shelf: Shelf,
    pub detail: DocPane,
    pub changes: DocPane,
    /// The recording has grown since it was read.
    pub grows: bool,
    /// This was opened from a list, to which the person can go back.
    pub back: bool,
    /// Places that were visited.
    pub places: Places,
    /// How wide panes were made.
    pub sizes: Sizes,
    /// The agent at work: its terminal, playback.
    pub live: Live,
    /// What was chosen for differences, selected, and is being restored.
    pub diffing: Diffing,
    /// The person's settings, and what follows from them.
    pub feel: Feel,
}

impl App {
    /// Before anything is known.
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            size: Size::new(80, 24),
            link: Link::Connecting,
            status: None,
            rows: Rows::default(),
            lanes: Lanes::default(),
            loading: Loading::default(),
            focus: None,
            follow: true,
            top: 0,
            folds: Folds::default(),
            pane: Pane::Timeline,
            view: None,
            parked: None,
            overlay: None,
            prompt: None,
            search: None,
            hunt: Hunt::default(),
            filter: Filter::default(),
            pending: Vec::new(),
            count: None,
            hint: false,
            stamp: 0,
            waits: 0,
            toast: None,
            interrupted: false,
            asked: None,
            asked_more: None,
            ahead: None,
            busy: None,
            warned: HashSet::new(),
            shelf: Shelf {
                details: Cache::new(128),
                stale: HashSet::new(),
                diffs: Cache::new(256),
                lights: Cache::new(128),
                more: Cache::new(16),
                version: 0,
            },
            detail: DocPane::default(),
            changes: DocPane::default(),
            grows: false,
            back: false,
            places: Places::default(),
            sizes: Sizes::default(),
            live: Live::default(),
            diffing: Diffing::default(),
            feel: Feel::default(),
        }
    }

    /// Before anything is known of the recordings of this machine.
    pub(crate) fn list(look: Look, now: Time) -> Self {
        let mut app = Self::new(look);
        app.view = Some(View::List(Box::new(ListView::new(now))));
        app
    }

    /// Where the keys go.
    pub(crate) fn context(&self) -> Context {
        match &self.overlay {
            Some(Overlay::Help(help)) if help.manual => Context::Manual,
            Some(Overlay::Help(_)) => Context::Help,
            Some(Overlay::Rollback { .. }) => Context::Dialog,
            Some(Overlay::Stop { .. }) => Context::StopDialog,
            Some(Overlay::Restore(_)) => Context::Restore,
            Some(Overlay::Answer(_)) => Context::Answer,
            Some(Overlay::Branches(_)) => Context::Branches,
            Some(Overlay::Conflicts { .. }) => Context::Conflicts,
            Some(Overlay::Merge(_)) => Context::MergeDialog,
            Some(Overlay::Question(_)) => Context::Question,
            Some(Overlay::Palette(_) | Overlay::Line(_)) | None => self.view_context(),
        }
    }

    /// Where the keys go when nothing lies over the view.
    pub(crate) fn view_context(&self) -> Context {
        match &self.view {
            Some(View::List(_)) => Context::List,
            Some(View::Diff(_)) => Context::Diff,
            Some(View::State(_)) => Context::State,
            Some(View::Raw(_)) => Context::Raw,
            Some(View::Merge(_)) => Context::Merge,
            Some(View::Live(_)) => Context::Live,
            Some(View::Desk(desk)) => desk.context(),
            None if self.pane == Pane::Timeline => Context::Timeline,
            None => Context::Detail,
        }
    }

    /// Whether an engine is there, so that things go on; or a recording that has grown under our eyes.
    pub(crate) fn live(&self) -> bool {
        self.link == Link::Open { live: true } && (!self.recording() || self.grows)
    }

    /// Whether this is a recording that lies in its own file, not a project.
    pub(crate) fn recording(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.capture == RECORDING)
    }

    /// Whether an agent is running.
    pub(crate) fn agent_runs(&self) -> bool {
        self.live() && self.status.as_ref().is_some_and(|s| !s.sessions.is_empty())
    }

    /// Whether every running agent is frozen.
    pub(crate) fn frozen(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|s| !s.sessions.is_empty() && s.sessions.iter().all(|l| l.frozen))
    }

    /// The place of the focus among all rows.
    pub(crate) fn focus_index(&self) -> Option<usize> {
        if self.rows.is_empty() {
            return None;
        }
        let at = match self.rows.position(self.focus?) {
            Ok(i) => i,
            Err(i) => i.min(self.rows.len() - 1),
        };
        Some(at)
    }

    /// The row that is looked at.
    pub(crate) fn focus_row(&self) -> Option<&Row> {
        self.rows.get(self.focus_index()?)
    }

    /// What is known of the step that is looked at.
    pub(crate) fn focus_detail(&self) -> Option<&Arc<StepDetail>> {
        self.shelf.details.peek(&self.focus_row()?.step)
    }

    /// The newest step known of.
    pub(crate) fn last_ordinal(&self) -> Option<Ordinal> {
        let row = self.rows.ends().map(|(_, last)| last);
        let status = self.status.as_ref().and_then(|s| s.last);
        row.max(status)
    }

    /// The step whose state is on disk.
    pub(crate) fn workspace(&self) -> Option<Ordinal> {
        // A recording's states are not on disk.
        let status = self.status.as_ref().filter(|_| !self.recording());
        status?.workspace
    }

    /// How many rows the list has.
    pub(crate) fn visible_len(&self) -> usize {
        self.rows.shown_len()
    }

    /// The place among all rows of a row of the list.
    pub(crate) fn row_of(&self, line: usize) -> Option<usize> {
        self.rows.nth_shown(line)
    }

    /// The row of the list at which a place lies, or into which it is folded.
    pub(crate) fn line_of(&self, index: usize) -> usize {
        self.rows.shown_before(index + 1).saturating_sub(1)
    }

    /// Takes a row that is new or has changed into the list. Afterwards [`App::refold`] is due.
    pub(crate) fn put_row(&mut self, row: Row) {
        self.lanes.see(&row);
        self.folds.see(&row, self.rows.brief_at(row.ordinal));
        self.filter.see(&row);
        self.hunt.see(&row);
        let hidden = filter::hides(&self.folds, &self.filter, row.ordinal, &row);
        self.rows.put(row, hidden);
    }

    /// Lists the rows that are not folded away, after folds have changed. The focus goes where it was folded into.
    pub(crate) fn refold(&mut self) {
        let Some(range) = self.folds.take_changed() else {
            return;
        };
        let (folds, filter) = (&self.folds, &self.filter);
        if filter.is_on() {
            self.rows
                .rehide(&range, |row| filter::hides(folds, filter, row.ordinal, row));
        } else {
            self.rows.rehide(&range, folds.hider());
        }
        if let Some(index) = self.focus_index()
            && self.rows.is_hidden(index)
            && let Some(row) = self
                .row_of(self.line_of(index))
                .and_then(|i| self.rows.brief(i))
        {
            self.focus = Some(row.ordinal);
        }
    }

    /// How a revision of a row is written for the engine.
    pub(crate) fn revision(row: &Row) -> String {
        row.commit
            .map_or_else(|| format!("step:{}", row.ordinal), CommitId::to_hex)
    }

    /// The path that is selected where the keys go, or the first that the step changed.
    pub(crate) fn selected_path(&self) -> Option<String> {
        let first = || {
            let change = self.focus_detail()?.changes.first()?;
            Some(change.path.to_string())
        };
        match &self.view {
            Some(View::Diff(diff)) => diff.selected().map(|c| c.path.to_string()),
            Some(View::State(state)) => state.selected().map(|n| n.path.to_string()),
            Some(View::List(list)) => list.selected().map(|r| r.path.clone()),
            Some(View::Merge(merge)) => merge_view::draw::path(merge),
            Some(View::Desk(desk)) => desk.path(),
            Some(View::Raw(_) | View::Live(_)) | None => first(),
        }
    }

    /// How the comparison of a change stands; `None` when it was not asked for.
    pub(crate) fn compared(&self, change: &FileChange) -> Option<&Compared> {
        // The key holds contents only: what is not known would look like what is not there.
        if super::code::is_unknown(change) {
            return None;
        }
        self.shelf.diffs.peek(&diff_key(change, self.space()))
    }

    /// Which white space counts in what is on the screen.
    pub(crate) fn space(&self) -> Space {
        match self.view {
            Some(View::Diff(_)) => self.diffing.space,
            _ => Space::Show,
        }
    }

    /// Whether an action needs a project that can change.
    fn changes_project(action: Action) -> bool {
        matches!(
            action,
            Action::Rollback
                | Action::Undo
                | Action::Redo
                | Action::Label
                | Action::Fork
                | Action::Merge
                | Action::Restore
        )
    }

    /// Why an action cannot be done now.
    pub(crate) fn enabled(&self, action: Action) -> Result<(), String> {
        let no = |why: &str| Err(why.to_owned());
        match action {
            action if Self::changes_project(action) && self.recording() => {
                no("this is a recording; backtrail import keeps it in a project")
            }
            action if Self::changes_project(action) && !matches!(self.link, Link::Open { .. }) => {
                no("there is no connection to a recording")
            }
            Action::Rollback
            | Action::Restore
            | Action::Undo
            | Action::Redo
            | Action::Fork
            | Action::Merge
                if self.busy.is_some() =>
            {
                Err(format!(
                    "{} is under way",
                    self.busy.unwrap_or("something else")
                ))
            }
            Action::Freeze
            | Action::Slower
            | Action::Faster
            | Action::StopAgent
            | Action::NextSession
            | Action::PrevSession
            | Action::Attach
            | Action::Detach
            | Action::Zoom => live::update::enabled(self, action),
            Action::Rollback
            | Action::Label
            | Action::ViewState
            | Action::CopyStep
            | Action::Fork
                if self.focus_row().is_none() =>
            {
                no("no step is recorded yet")
            }
            action if diffing::OWN.contains(&action) => diffing::enabled(self, action),
            Action::ViewDiff if self.diffing.range.is_some() => Ok(()),
            Action::ViewDiff => match (self.focus_row(), self.focus_detail()) {
                (None, _) => no("no step is recorded yet"),
                (Some(row), None) if !rows::changed(row) => Err(unchanged(row)),
                (Some(row), Some(detail)) if detail.changes.is_empty() => Err(unchanged(row)),
                _ => Ok(()),
            },
            Action::SearchNext | Action::SearchPrev if self.search.is_none() => {
                no("nothing was searched for: / asks")
            }
            Action::SearchWord if super::find::word(self).is_none() => {
                no("there is no word under the cursor")
            }
            Action::FilterSteps if self.rows.is_empty() => no("no step is recorded yet"),
            Action::Fold | Action::FoldAll | Action::UnfoldAll if self.filter.is_on() => {
                no("a filter shows what fits, folded or not: Esc ends it")
            }
            Action::Raw if self.focus_row().is_none() => no("no step is recorded yet"),
            Action::More if self.detail.doc.more.is_empty() => no("all of it is shown"),
            Action::Dead if self.folds.dead_rows() == 0 => {
                no("no branch of the conversation was left")
            }
            Action::WalkBack | Action::WalkForward | Action::Again => places::enabled(self, action),
            Action::Wider | Action::Narrower => sizes::enabled(self),
            Action::Reason | Action::NextOfFile | Action::PrevOfFile => why::enabled(self, action),
            Action::CopyPath if self.selected_path().is_none() => no("no path is selected"),
            Action::Ask if merge_view::open(self).is_some() => {
                merge_view::update::enabled(self, action)
            }
            action if desk::OWN.contains(&action) => desk::enabled(self, action),
            action if merge_view::OWN.contains(&action) => {
                merge_view::update::enabled(self, action)
            }
            _ => Ok(()),
        }
    }
}

fn unchanged(row: &Row) -> String {
    format!("step {} changed no files", row.ordinal)
}

/// The pair of contents that a change compares.
pub(crate) fn diff_key(change: &FileChange, space: Space) -> DiffKey {
    let blob = |e: &Option<crate::engine::api::EntryInfo>| e.as_ref().and_then(|e| e.blob);
    (blob(&change.before), blob(&change.after), space)
}
