//! What can happen to the UI, and what it can ask of the world. Both are plain values, so that a test can play either side.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::MouseEvent;

use crate::diff::text::{Space, TextDiff};
use crate::engine::api::{ApiError, EntryInfo, FileChange, Notice, Request, Response, Row};
use crate::engine::assist::{self, Ask, Proposal};
use crate::model::{BlobId, Ordinal, RepoPath, StepId, Time};

use super::desk::DeskTag;
use super::diffing;
use super::errand::Errand;
use super::feel::Loaded;
use super::keys::Key;
use super::light::Light;
use super::live::jobs::{News as LiveNews, Work};
use super::merge_view::MergeTag;
use super::merge_view::jobs::{Job, News};
use super::merge_view::subject::About;
use super::raw_view::RawLines;
use super::why::BlameKey;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Msg {
    /// A key was pressed.
    Key(Key),
    /// Something was done with the mouse, and when.
    Mouse(MouseEvent, Instant),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// The source is there (and whether an engine is behind it), or cannot be had.
    Connected(Result<bool, ApiError>),
    /// The engine has news.
    Notice(Notice),
    /// The engine is gone.
    Gone,
    /// Rows that were asked for, by the number of the asking.
    Rows(u64, Listed),
    /// An answer came.
    Answer(Tag, Result<Response, ApiError>),
    /// Two contents were compared.
    Compared(DiffKey, Compared),
    /// A content's words were recognised.
    Lit(LightKey, Arc<Light>),
    /// A file was read.
    Read(BlobId, Result<Arc<Vec<u8>>, String>),
    /// A step's records were read and set out.
    Raw((StepId, usize), RawLines),
    /// Something that the conflict screen had done is there.
    Merge(News),
    /// What was opened in the person's own editor came back: `None` when nothing was changed.
    Edited(About, Result<Option<Vec<u8>>, String>),
    /// A file that somebody else is to show was read.
    Fetched(EntryInfo, Result<Arc<Vec<u8>>, String>),
    /// What the terminal was lent for is over.
    Errand(Result<(), String>),
    /// A model that was asked has said something.
    Assist(u64, assist::News),
    /// A terminal has news.
    Live(LiveNews),
    /// A background task failed: a mistake of this program.
    Broken,
    /// A recording was left for the list that it was opened from; the time it is now.
    Returned(Time),
    /// The person's settings were read again.
    Settings(Box<Loaded>),
    /// A time has passed.
    Timer(Timer),
}

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The status asked for at the start.
    Status,
    /// A step's texts and changes.
    Step(StepId),
    /// A step beside the one that is looked at.
    Ahead(StepId),
    /// What a rollback would do; for the dialog.
    Preview(Ordinal),
    /// A rollback to a step.
    Rollback(Ordinal),
    /// An undo.
    Undo,
    /// A redo.
    Redo,
    /// A freeze (or thaw).
    Freeze(bool),
    /// The agent of that name was stopped.
    StopAgent(String),
    /// All sessions, to tell those of one run.
    LiveSessions,
    /// A label that was set on a step.
    Label(char, Ordinal),
    /// More of a text, from this byte on.
    More(BlobId, u64),
    /// A page of the recordings of this machine, from this one on.
    Recordings(usize),
    /// What is in one of them.
    Recording(String),
    /// A directory of a past state.
    List(String, RepoPath),
    /// The branches, for the name of a fork.
    ForkNames,
    /// A fork at a step.
    Fork(Ordinal),
    /// The branches that can be merged.
    Branches,
    /// How a branch stands to the workspace's.
    Compared(String),
    /// What a merge of it would come to.
    Trial(String),
    /// Something of the lists over the timeline.
    Desk(DeskTag),
    /// The branches, or the sessions, for the palette.
    PaletteBranches,
    PaletteSessions,
    /// Something of the conflict screen.
    Merge(MergeTag),
    /// When the entries of a directory changed last.
    Lasts(String, RepoPath),
    /// A slice of a search through the steps.
    Search(u64),
    /// A slice of what a filter looks at.
    Filter(u64),
    /// Where the lines of a file are from.
    Blame(Box<BlameKey>),
    /// The versions of a file, to go so many forward or back.
    OfFile(RepoPath, bool, usize),
    /// Something of differences and restoring.
    Diffing(Box<diffing::About>),
}

/// A pair of contents (`None` is an absent side), and which white space counts.
pub(crate) type DiffKey = (Option<BlobId>, Option<BlobId>, Space);

/// A content with the name that tells its language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LightKey {
    /// Which content.
    pub blob: BlobId,
    /// Its file's name.
    pub name: Vec<u8>,
}

impl LightKey {
    /// For an entry with content.
    pub(crate) fn of(entry: &EntryInfo) -> Option<Self> {
        Some(Self {
            blob: entry.blob?,
            name: entry.path.name().to_vec(),
        })
    }
}

/// How a comparison stands.
#[derive(Debug, Clone)]
pub(crate) enum Compared {
    /// It was asked for.
    Waiting,
    /// Here it is.
    Ready(Arc<TextDiff>),
    /// A side is large, or has very long lines: it is shown only when asked for.
    Large,
    /// Pictures, where a side is one: how wide and how high.
    Pictures(Option<(usize, usize)>, Option<(usize, usize)>),
    /// It failed; why.
    Failed(String),
}

/// What comes while rows are loaded.
#[derive(Debug)]
pub(crate) enum Listed {
    /// Some of them.
    Page(Box<RowsPage>),
    /// All are there, or no more can be had.
    End(Result<(), ApiError>),
}

/// All rows of a range, as the source had them.
#[derive(Debug)]
pub(crate) struct RowsPage {
    /// In order.
    pub rows: Vec<Row>,
    /// The same, packed.
    pub packed: Box<[u8]>,
    /// The range.
    pub range: RangeInclusive<Ordinal>,
}

/// A time that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The pressed prefix has waited long enough: show what may follow, or take a lone digit for a view.
    Prefix(u64),
    /// A toast has been there long enough.
    Toast(u64),
    /// A second has passed for the live view's clock.
    Second(u64),
    /// What plays goes on.
    Play(u64),
}

/// A purpose of which only the newest request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// All rows.
    Rows,
    /// The step under the cursor.
    Step,
    /// The step after it, and the one before.
    Ahead(bool),
    /// Its comparisons.
    Compare,
    /// The file shown by the state browser.
    Read,
    /// The records shown as they are.
    Raw,
    /// Where the lines of the shown file are from.
    Blame,
    /// The step that wrote the line under the cursor.
    Why,
    /// The versions of a file.
    OfFile,
    /// A search through the steps.
    Search,
    /// What the filter has to ask.
    Filter,
    /// The selected line of a list.
    Desk,
    /// A rollback's preview, or a restoring's.
    Preview,
    /// The plan that an agent had made.
    Plan,
    /// A file for the person's own editor.
    Fetch,
    /// A past state as a directory.
    Shell,
    /// The steps that touch a file.
    Touching,
    /// What lies at the top of the state that is compared.
    Same,
    /// The difference of two states.
    Against,
    /// The conflict that is looked at.
    Conflict,
    /// The words of its sides that differ.
    Words,
    /// The words of its result.
    Light,
    /// A check of its result.
    Check,
    /// A model that is asked.
    Ask,
}

/// Something for the world to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask the source; an earlier question in the same slot is dropped.
    Ask(Option<Slot>, Tag, Request),
    /// Load all rows, the newest first; the number comes back with them.
    Load(u64),
    /// Compare the contents of these changes (with long lines too, if so) and recognise their words.
    Compare(Vec<(FileChange, bool)>, Space),
    /// Read a file and recognise its words.
    Read(EntryInfo),
    /// Read a step's records and set them out in lines of this width.
    Raw(StepId, usize),
    /// Read a file, to have it shown by somebody else.
    Fetch(EntryInfo),
    /// Lend the terminal for this.
    Lend(Errand),
    /// Have something done for the conflict screen.
    Merge(Job),
    /// Open a text in the person's own editor, under a name that tells its language.
    Edit(About, String, Vec<u8>),
    /// Run a check on the result of the merge.
    Check(u64, String),
    /// Ask a model; the directory is the project's, whose settings may say which.
    Assist(u64, Ask, Option<PathBuf>),
    /// Pick a model's proposal that a person has accepted, and note it in the record.
    Accept(MergeTag, Box<(RepoPath, usize, Proposal)>),
    /// Have something done for the live view.
    Live(Work),
    /// End what is under way in a slot.
    Cancel(Slot),
    /// Say so after a while.
    Later(Duration, Timer),
    /// Send a text to the terminal's clipboard.
    Copy(String),
    /// Draw everything again.
    Redraw,
    /// Go to the background.
    Suspend,
    /// Go back to where this was opened from.
    Back,
    /// Open this recording.
    Open(String),
    /// End.
    Quit,
}
