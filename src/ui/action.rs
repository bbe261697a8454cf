//! Everything a key can do: one table, from which dispatch, the footer, the help and the printed key list come.
//!
//! An entry lives in contexts; within a context no sequence of keys may mean two things, and none may begin another
//! (tests hold this). Lower case goes forward and Shift goes back, `]x` and `[x` find the next and the previous thing of
//! kind x, `z` changes how a view looks, `y` copies, and what changes the disk can be undone.

use std::sync::OnceLock;

use super::keys::{self, Key, Stroke};

/// What the keys go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Context {
    /// The list of steps.
    Timeline,
    /// The text of a step beside it.
    Detail,
    /// The full diff.
    Diff,
    /// The state browser.
    State,
    /// The records that a step was read from.
    Raw,
    /// The recordings of this machine.
    List,
    /// The conflict screen.
    Merge,
    /// A model's answer to a question.
    Answer,
    /// The branches that can be merged.
    Branches,
    /// The list of all conflicts.
    Conflicts,
    /// The question before a merge is written or given up.
    MergeDialog,
    /// The question before a rollback under a running agent.
    Dialog,
    /// The help.
    Help,
}

/// All contexts.
#[cfg(test)]
pub(crate) const CONTEXTS: [Context; 13] = [
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
    Context::MergeDialog,
    Context::Dialog,
    Context::Help,
];

const HOME: &[Context] = &[Context::Timeline, Context::Detail];
const VIEWS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
];
/// Views in which something is selected that can be opened, and panes.
const OPENING: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::List,
];
const PANES: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
];
/// The same, and what else has parts that keys go through.
const PARTS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Merge,
    Context::Answer,
];
const LISTS: &[Context] = &[
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
];
/// What has a help of its own: what lies over a view has not.
const HELPED: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
    Context::Help,
];
/// What can be scrolled sideways.
const WIDE: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Merge,
];
/// What a model can be asked about.
const ASKING: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::Merge,
    Context::Answer,
];
const MERGE: &[Context] = &[Context::Merge];
/// The views of a run, and the list of recordings.
const ALL: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Merge,
];

/// A heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Time,
    Merge,
    World,
    Look,
    Move,
    More,
}

impl Group {
    /// In the order of the help.
    pub(crate) const ALL: [Self; 6] = [
        Self::Time,
        Self::Merge,
        Self::Look,
        Self::World,
        Self::Move,
        Self::More,
    ];

    /// Its heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Time => "TIME",
            Self::Merge => "SETTLE A CONFLICT",
            Self::World => "CHANGE THE WORLD",
            Self::Look => "LOOK",
            Self::Move => "MOVE",
            Self::More => "MORE",
        }
    }
}

/// Something a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
    Left,
    Right,
    Step,
    Back,
    Over,
    BackOver,
    NextChange,
    PrevChange,
    NextError,
    PrevError,
    NextTurn,
    PrevTurn,
    NextLabel,
    PrevLabel,
    NextHunk,
    PrevHunk,
    NextFile,
    PrevFile,
    NextOfFile,
    PrevOfFile,
    Reason,
    WalkBack,
    Open,
    Close,
    ViewTimeline,
    ViewDiff,
    ViewState,
    NextPane,
    PrevPane,
    SideBySide,
    Fold,
    FoldAll,
    UnfoldAll,
    Thoughts,
    Dead,
    More,
    Raw,
    Centre,
    Rollback,
    Undo,
    Redo,
    Freeze,
    Label,
    Jump,
    Search,
    Filter,
    SearchNext,
    SearchPrev,
    CopyStep,
    CopyPath,
    Palette,
    Help,
    Quit,
    Redraw,
    Suspend,
    Interrupt,
    Confirm,
    ConfirmFrozen,
    Fork,
    Merge,
    Ask,
    MergeOurs,
    MergeTheirs,
    MergeBoth,
    MergeBase,
    MergeEdit,
    MergeEditor,
    MergeUndo,
    NextConflict,
    PrevConflict,
    MergeReasons,
    MergeList,
    MergeAccept,
    MergeDiscard,
    Offer1,
    Offer2,
    Offer3,
    AskAll,
    Instruct,
    MergeCheck,
    MergeFinish,
    MergeAbandon,
    MergeConfirm,
    ListOpen,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What it does.
    pub action: Action,
    /// A stable name.
    pub id: &'static str,
    /// Where the help lists it.
    pub group: Group,
    /// Its keys, the one to show first.
    pub keys: &'static [&'static str],
    /// Where they work.
    pub contexts: &'static [Context],
    /// Two or three words.
    pub title: &'static str,
    /// A sentence.
    pub description: &'static str,
    /// It changes the workspace, the refs or the agent.
    pub world: bool,
}

macro_rules! actions {
    ($($action:ident $id:literal $group:ident $contexts:expr, $keys:expr, $title:literal, $description:literal $(, $world:ident)?;)*) => {
        /// The table.
        pub(crate) const TABLE: &[Entry] = &[$(Entry {
            action: Action::$action,
            id: $id,
            group: Group::$group,
            keys: &$keys,
            contexts: $contexts,
            title: $title,
            description: $description,
            world: actions!(@world $($world)?),
        }),*];
    };
    (@world) => { false };
    (@world world) => { true };
}

actions! {
    Step "time.step" Time VIEWS, ["s", "."], "step forward", "Go one step forward, into a subagent; in the diff, to the next step that changed files.";
    Back "time.back" Time VIEWS, ["S", ","], "step back", "Go one step back, into a subagent; in the diff, to the previous step that changed files.";
    Over "time.over" Time VIEWS, ["o"], "step over", "Go one step forward, past all steps of a subagent.";
    BackOver "time.back-over" Time VIEWS, ["O"], "step back over", "Go one step back, past all steps of a subagent.";
    NextChange "time.next-change" Time VIEWS, ["]c"], "next change", "Go to the next step that changed files.";
    PrevChange "time.prev-change" Time VIEWS, ["[c"], "previous change", "Go to the previous step that changed files.";
    NextError "time.next-error" Time VIEWS, ["]e"], "next error", "Go to the next step that failed.";
    PrevError "time.prev-error" Time VIEWS, ["[e"], "previous error", "Go to the previous step that failed.";
    NextTurn "time.next-turn" Time VIEWS, ["]t"], "next turn", "Go to the next prompt.";
    PrevTurn "time.prev-turn" Time VIEWS, ["[t"], "previous turn", "Go to the previous prompt.";
    NextOfFile "time.next-of-file" Time &[Context::Timeline, Context::Detail, Context::Diff, Context::State], ["]f"], "file's next", "Go to the next step that changed the current file.";
    PrevOfFile "time.prev-of-file" Time &[Context::Timeline, Context::Detail, Context::Diff, Context::State], ["[f"], "file's previous", "Go to the previous step that changed the current file.";
    NextLabel "time.next-label" Time VIEWS, ["]m"], "next label", "Go to the next step with a label.";
    PrevLabel "time.prev-label" Time VIEWS, ["[m"], "previous label", "Go to the previous step with a label.";
    ViewDiff "look.diff" Look HOME, ["d", "2"], "diff", "Show in full what the step changed.";
    ViewState "look.state" Look &[Context::Timeline, Context::Detail, Context::Diff], ["3"], "state", "Browse all files as they were after the step.";
    ViewTimeline "look.timeline" Look &[Context::Diff, Context::State, Context::Raw], ["1"], "timeline", "Return to the timeline.";
    Open "look.open" Look OPENING, ["<enter>"], "open", "Go into what is selected.";
    Close "look.close" Look &[Context::Timeline, Context::Detail, Context::Diff, Context::State, Context::Raw, Context::List, Context::Merge, Context::Branches, Context::Answer, Context::Conflicts, Context::MergeDialog, Context::Dialog, Context::Help], ["<esc>"], "back", "Close what is open, or cancel; a recording, back to the list that it was opened from. Never quits.";
    Reason "look.reason" Look &[Context::Diff, Context::State], ["B"], "who wrote this", "In the diff, show the line in its file, with the step that each line is from; on a line of a file, go to the thought behind it.";
    WalkBack "look.walk-back" Look PANES, ["H"], "walk back", "Go back along the way from a line to its reasons.";
    NextPane "look.next-pane" Look PARTS, ["<tab>"], "next pane", "Give the keys to the next pane.";
    PrevPane "look.prev-pane" Look PARTS, ["<s-tab>"], "previous pane", "Give the keys to the previous pane.";
    SideBySide "look.side-by-side" Look &[Context::Diff], ["zs"], "side by side", "Show the diff side by side, or unified again.";
    Fold "look.fold" Look HOME, ["za"], "fold", "Fold or unfold the subagent that the selected step started or is part of, or else its turn.";
    FoldAll "look.fold-all" Look HOME, ["zm"], "fold all", "Fold every turn and subagent.";
    UnfoldAll "look.unfold-all" Look HOME, ["zr"], "unfold all", "Unfold every turn and subagent.";
    Thoughts "look.thoughts" Look HOME, ["zt"], "thoughts", "Hide or show the agent's thoughts.";
    Dead "look.dead" Look HOME, ["zd"], "left branches", "Show or hide the branches of the conversation that were left by a rewind or a retry.";
    More "look.more" Look HOME, ["zo"], "more text", "Show more of a long text: the next 64 KiB, or as many times that as the number before the key.";
    Raw "look.raw" Look HOME, ["z!"], "raw record", "Show the raw record: the lines of the trace that the step was read from.";
    Centre "look.centre" Look HOME, ["zz"], "centre", "Scroll so that the selected step is in the middle.";
    Rollback "world.rollback" World VIEWS, ["r"], "roll back", "Set the workspace back to this step; what is there is saved first.", world;
    Undo "world.undo" World VIEWS, ["u"], "undo", "Reverse the last rollback or label.", world;
    Redo "world.redo" World VIEWS, ["U", "<c-r>"], "redo", "Do again what was undone.", world;
    Freeze "world.freeze" World VIEWS, ["<space>"], "freeze", "Freeze the running agent, or let it go on.", world;
    Label "world.label" World VIEWS, ["m{a}"], "label", "Give the step a label of one letter.", world;
    Fork "world.fork" World VIEWS, ["t"], "fork", "Make a branch with a view of its own, beginning at this step.", world;
    Merge "world.merge" World VIEWS, ["M"], "merge", "Merge a branch into the workspace's, or go on with a merge that is not finished.";
    MergeOurs "merge.ours" Merge MERGE, ["o"], "ours", "Take what ours has.";
    MergeTheirs "merge.theirs" Merge MERGE, ["t"], "theirs", "Take what theirs has.";
    MergeBoth "merge.both" Merge MERGE, ["b"], "both", "Take what ours has, then what theirs has; never the base.";
    MergeBase "merge.base" Merge MERGE, ["0"], "base", "Take what was there before either changed it.";
    MergeEdit "merge.edit" Merge MERGE, ["e"], "edit", "Edit this part here.";
    MergeEditor "merge.editor" Merge MERGE, ["E"], "$EDITOR", "Edit the file in $EDITOR, with git's markers where it is not settled.";
    MergeUndo "merge.undo" Merge MERGE, ["u"], "undo a pick", "Take the last pick back.";
    NextConflict "merge.next-conflict" Merge MERGE, ["]x"], "next conflict", "To the next conflict.";
    PrevConflict "merge.previous-conflict" Merge MERGE, ["[x"], "prev. conflict", "To the previous conflict.";
    MergeList "merge.list" Merge MERGE, ["gx"], "all conflicts", "List all conflicts, and how they stand.";
    MergeReasons "merge.reasons" Merge MERGE, ["B"], "reasons", "Why either side is as it is: steps, thoughts and prompts; Enter goes to one.";
    MergeAccept "merge.accept" Merge MERGE, ["<enter>"], "accept", "Accept the proposal that is shown, or go to the selected step.";
    MergeDiscard "merge.discard" Merge MERGE, ["x"], "discard", "Show the proposal no longer.";
    Offer1 "merge.proposal-1" Merge MERGE, ["1"], "proposal 1", "Show the first proposal in the result.";
    Offer2 "merge.proposal-2" Merge MERGE, ["2"], "proposal 2", "Show the second proposal in the result.";
    Offer3 "merge.proposal-3" Merge MERGE, ["3"], "proposal 3", "Show the third proposal in the result.";
    AskAll "merge.ask-all" Merge MERGE, ["A"], "ask for all", "Ask a model about every part that is left; each proposal is still to be accepted.";
    Instruct "merge.instruct" Merge MERGE, ["i"], "instruct", "Tell the model what to mind, and ask again.";
    MergeCheck "merge.check" Merge MERGE, ["T"], "run the check", "Run the configured check on the result, in a view of its own.";
    MergeFinish "merge.finish" World MERGE, ["W"], "write", "Write the merge; what is left is named first.", world;
    MergeAbandon "merge.abandon" Merge MERGE, ["X"], "give up", "Forget the unfinished merge; no file was written.";
    MergeConfirm "merge.confirm" World &[Context::MergeDialog], ["y"], "yes", "Do what was asked about.", world;
    ListOpen "list.open" Look &[Context::Branches, Context::Conflicts, Context::Answer], ["<enter>"], "open", "Merge the selected branch, or go to the selected conflict or step.";
    Confirm "dialog.roll-back" World &[Context::Dialog], ["y"], "roll back", "Freeze the agent, roll back, and let it go on.", world;
    ConfirmFrozen "dialog.roll-back-frozen" World &[Context::Dialog], ["Y"], "and keep frozen", "Freeze the agent, roll back, and keep it frozen.", world;
    Down "move.down" Move LISTS, ["j", "<down>"], "down", "One line or step down.";
    Up "move.up" Move LISTS, ["k", "<up>"], "up", "One line or step up.";
    PageDown "move.page-down" Move LISTS, ["<pgdn>", "<c-f>"], "page down", "One screen down.";
    PageUp "move.page-up" Move LISTS, ["<pgup>", "<c-b>"], "page up", "One screen up.";
    First "move.first" Move LISTS, ["gg", "<home>"], "first", "To the first step or line.";
    Last "move.last" Move LISTS, ["G", "<end>"], "last", "To the last step or line, following what comes; {n}G goes to step n.";
    Left "move.left" Move WIDE, ["h", "<left>"], "left", "Scroll left, fold, or close a directory.";
    Right "move.right" Move WIDE, ["l", "<right>"], "right", "Scroll right, unfold, or open a directory.";
    NextHunk "move.next-hunk" Move &[Context::Detail, Context::Diff, Context::Merge], ["]h"], "next hunk", "To the next place that changed.";
    PrevHunk "move.prev-hunk" Move &[Context::Detail, Context::Diff, Context::Merge], ["[h"], "previous hunk", "To the previous place that changed.";
    NextFile "move.next-file" Move &[Context::Detail, Context::Diff, Context::State], ["]p"], "next file", "To the next changed file.";
    PrevFile "move.prev-file" Move &[Context::Detail, Context::Diff, Context::State], ["[p"], "previous file", "To the previous changed file.";
    Jump "move.jump" Move VIEWS, ["'{a}"], "go to label", "Go to the step with that label.";
    Search "more.search" More VIEWS, ["/"], "search", "Search titles, paths and the texts on the screen.";
    Filter "more.filter" More &[Context::List], ["/"], "filter", "Leave only the recordings in whose project, agent, model, prompt or path all these words are found.";
    SearchNext "more.search-next" More VIEWS, ["n"], "next match", "To the next match of the search.";
    SearchPrev "more.search-prev" More VIEWS, ["N"], "previous match", "To the previous match of the search.";
    CopyStep "more.copy-step" More VIEWS, ["yy"], "copy step", "Copy the step's number through the terminal.";
    CopyPath "more.copy-path" More ALL, ["yp"], "copy path", "Copy the selected path through the terminal.";
    Ask "more.ask" More ASKING, ["a"], "ask", "Ask a model about what is selected, or for proposals for a conflict.";
    Palette "more.palette" More ALL, [":", "<c-p>"], "palette", "Find an action by its words, or a step by its number.";
    Help "more.help" More HELPED, ["?", "<f1>"], "help", "Show or close the keys.";
    Quit "more.quit" More &[Context::Timeline, Context::Detail, Context::Diff, Context::State, Context::Raw, Context::List, Context::Merge, Context::Branches, Context::Answer, Context::Conflicts, Context::Help], ["q"], "close", "Close the view; on the timeline, quit, or go back to the list. An agent keeps running.";
    Redraw "more.redraw" More ALL, ["<c-l>"], "redraw", "Draw the whole screen again.";
    Suspend "more.suspend" More ALL, ["<c-z>"], "suspend", "Go to the background; `fg` brings it back.";
    Interrupt "more.interrupt" More &[Context::Timeline, Context::Detail, Context::Diff, Context::State, Context::Raw, Context::List, Context::Merge, Context::Branches, Context::Answer, Context::Conflicts, Context::MergeDialog, Context::Dialog, Context::Help], ["<c-c>"], "cancel", "Cancel; twice quits.";
}

/// The line of `action`.
pub(crate) fn entry(action: Action) -> Option<&'static Entry> {
    TABLE.iter().find(|e| e.action == action)
}

/// Keys with what they do.
pub(super) struct Binding {
    pub(super) strokes: Vec<Stroke>,
    pub(super) entry: &'static Entry,
}

/// All of them.
pub(super) fn bindings() -> &'static [Binding] {
    static PARSED: OnceLock<Vec<Binding>> = OnceLock::new();
    PARSED.get_or_init(|| {
        TABLE
            .iter()
            .flat_map(|entry| {
                entry.keys.iter().filter_map(move |text| {
                    keys::parse(text).map(|strokes| Binding { strokes, entry })
                })
            })
            .collect()
    })
}

/// What a run of keys means in a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// This, with the letter that was given to it.
    Action(Action, Option<char>),
    /// More keys are needed.
    Prefix,
    /// Nothing.
    Nothing,
}

/// Looks a run of keys up.
pub(crate) fn meaning(context: Context, pressed: &[Key]) -> Meaning {
    let mut prefix = false;
    for binding in bindings() {
        if !binding.entry.contexts.contains(&context) {
            continue;
        }
        let fits = binding.strokes.len() >= pressed.len()
            && binding
                .strokes
                .iter()
                .zip(pressed)
                .all(|(stroke, key)| stroke.takes(*key));
        if !fits {
            continue;
        }
        if binding.strokes.len() == pressed.len() {
            let letter = binding
                .strokes
                .iter()
                .zip(pressed)
                .find(|(stroke, _)| **stroke == Stroke::Letter)
                .and_then(|(_, key)| key.typed());
            return Meaning::Action(binding.entry.action, letter);
        }
        prefix = true;
    }
    if prefix {
        Meaning::Prefix
    } else {
        Meaning::Nothing
    }
}

/// What may follow the keys pressed so far: the rest of the sequence and the entry.
pub(crate) fn continuations(
    context: Context,
    pressed: &[Key],
) -> Vec<(&'static str, &'static Entry)> {
    let mut out = Vec::new();
    for entry in TABLE.iter().filter(|e| e.contexts.contains(&context)) {
        for text in entry.keys {
            let Some(strokes) = keys::parse(text) else {
                continue;
            };
            let fits = strokes.len() > pressed.len()
                && strokes.iter().zip(pressed).all(|(s, k)| s.takes(*k));
            if fits && let Some((at, _)) = text.char_indices().nth(pressed.len()) {
                out.push((text.get(at..).unwrap_or_default(), entry));
            }
        }
    }
    out
}

/// The key list as text: what `backtrail keys` prints.
#[must_use]
pub fn keys_text() -> String {
    let mut out = String::new();
    for group in Group::ALL {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(group.title());
        out.push('\n');
        for entry in TABLE.iter().filter(|e| e.group == group) {
            let keys: Vec<String> = entry.keys.iter().map(|k| keys::shown(k, true)).collect();
            let undoable = if entry.world {
                " Can be taken back."
            } else {
                ""
            };
            out.push_str(&format!(
                "  {:<14} {:<24} {}{undoable}\n",
                keys.join("  "),
                entry.id,
                entry.description
            ));
        }
    }
    out.push_str("\nA number before a key repeats it: 5s, 10j; 142G goes to step 142.\n");
    out
}
