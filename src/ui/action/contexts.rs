//! What keys can go to, and the sets of these that entries of the table name. All sets are here, one context a line.

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident $heading:literal,)*) => {
        /// What the keys go to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Context {
            $($(#[$doc])* $name,)*
        }

        /// All contexts.
        pub(crate) const EVERYWHERE: &[Context] = &[$(Context::$name),*];

        impl Context {
            /// Its name over the help.
            pub(crate) fn heading(self) -> &'static str {
                match self {
                    $(Self::$name => $heading,)*
                }
            }
        }
    };
}

contexts! {
    /// The list of steps.
    Timeline "Timeline",
    /// The text of a step beside it.
    Detail "Step",
    /// The full diff.
    Diff "Diff",
    /// The state browser.
    State "State",
    /// The records that a step was read from.
    Raw "Raw record",
    /// The recordings of this machine.
    List "Recordings",
    /// Events and the agent's terminal.
    Live "Live",
    /// The conflict screen.
    Merge "Merge",
    /// A model's answer to a question.
    Answer "Answer",
    /// The branches that can be merged.
    Branches "Merge a branch",
    /// The list of all conflicts.
    Conflicts "Conflicts",
    /// The question before a merge is written or given up.
    MergeDialog "Merge question",
    /// The question before a rollback under a running agent.
    Dialog "Question",
    /// The operation log.
    Operations "Operations",
    /// The branches.
    BranchList "Branches",
    /// The sessions.
    Sessions "Sessions",
    /// The labels.
    Labels "Labels",
    /// A question that is answered with yes or not at all.
    Question "Question",
    /// The question before an agent is stopped.
    StopDialog "Stop question",
    /// The question before parts of a past state are restored.
    Restore "Restore question",
    /// The help: what is typed there filters it.
    Help "Help",
    /// The manual.
    Manual "Manual",
}

/// The timeline and the step beside it.
pub(crate) const HOME: &[Context] = &[Context::Timeline, Context::Detail];

/// The views of a run in which steps are gone through.
pub(crate) const VIEWS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Live,
];

/// Views that lie over the timeline.
pub(crate) const OVER_HOME: &[Context] = &[
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Live,
];

/// Views in which something is selected that can be opened.
pub(crate) const OPENING: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::List,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
];

/// Views from which the state browser opens.
pub(crate) const STATED: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::Live,
];

/// Views with files and panes.
pub(crate) const PANES: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
];

/// The same, and what else has parts that keys go through.
pub(crate) const PARTS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Merge,
    Context::Answer,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Live,
];

/// What moves up and down.
pub(crate) const LISTS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
    Context::Answer,
    Context::Branches,
    Context::Conflicts,
    Context::Help,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Manual,
    Context::Live,
];

/// What has a help of its own: what lies over a view has not.
pub(crate) const HELPED: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
    Context::Help,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Manual,
    Context::Live,
];

/// What can be scrolled sideways.
pub(crate) const WIDE: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Merge,
    Context::Live,
];

/// What a model can be asked about.
pub(crate) const ASKING: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Merge,
    Context::Answer,
    Context::Live,
];

/// The views of a run, and the list of recordings.
pub(crate) const RUNS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Live,
];

/// What `q` closes: everything but questions, which want an answer.
pub(crate) const CLOSED: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
    Context::Answer,
    Context::Branches,
    Context::Conflicts,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Manual,
    Context::Live,
];

/// Lists that lie over a view, from which something is taken.
pub(crate) const PICKERS: &[Context] = &[Context::Branches, Context::Conflicts, Context::Answer];

/// Texts with places that changed.
pub(crate) const HUNKS: &[Context] = &[Context::Detail, Context::Diff, Context::Merge];

/// Texts of several files.
pub(crate) const FILES: &[Context] = &[Context::Detail, Context::Diff, Context::State];

/// Views with lines of files.
pub(crate) const LINES: &[Context] = &[Context::Diff, Context::State];

/// The diff alone.
pub(crate) const DIFF: &[Context] = &[Context::Diff];

/// The list of recordings alone.
pub(crate) const LIST: &[Context] = &[Context::List];

/// The conflict screen alone.
pub(crate) const MERGE: &[Context] = &[Context::Merge];

/// The question before a merge is written or given up.
pub(crate) const MERGE_DIALOG: &[Context] = &[Context::MergeDialog];

/// The question before a rollback.
pub(crate) const DIALOG: &[Context] = &[Context::Dialog];

/// Lists of a run that lie over the timeline.
pub(crate) const DESK: &[Context] = &[
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
];

/// The views of a run, and the lists that lie over them.
pub(crate) const RUN: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
    Context::Live,
];

/// What can have a path selected.
pub(crate) const PATHS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
    Context::BranchList,
];

/// Views of panes whose widths can be chosen.
pub(crate) const SIZED: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
];

/// The operation log alone.
pub(crate) const OPERATIONS: &[Context] = &[Context::Operations];

/// The branches alone.
pub(crate) const BRANCHES: &[Context] = &[Context::BranchList];

/// The labels alone.
pub(crate) const LABELS: &[Context] = &[Context::Labels];

/// A question.
pub(crate) const QUESTION: &[Context] = &[Context::Question];
/// The question before parts of a past state are restored.
pub(crate) const RESTORE: &[Context] = &[Context::Restore];

/// Where what can be selected is a range.
pub(crate) const RANGES: &[Context] = &[Context::Timeline, Context::Diff, Context::State];

/// What can be compared with something else.
pub(crate) const COMPARED: &[Context] = &[Context::Timeline, Context::Detail, Context::Diff];

/// What folds.
pub(crate) const FOLDING: &[Context] = &[Context::Timeline, Context::Detail, Context::Diff];

/// The state browser.
pub(crate) const STATE: &[Context] = &[Context::State];

/// The live view alone.
pub(crate) const LIVE: &[Context] = &[Context::Live];

/// Views from which the live view opens.
pub(crate) const BEFORE_LIVE: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Operations,
    Context::BranchList,
    Context::Sessions,
    Context::Labels,
];

/// The question before an agent is stopped.
pub(crate) const STOP_DIALOG: &[Context] = &[Context::StopDialog];

/// From where the diff of a step opens.
pub(crate) const TO_DIFF: &[Context] = &[Context::Timeline, Context::Detail, Context::Live];
