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
    /// The question before a rollback under a running agent.
    Dialog,
    /// The help.
    Help,
}

/// All contexts.
#[cfg(test)]
pub(crate) const CONTEXTS: [Context; 8] = [
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
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
const LISTS: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
    Context::Help,
];
/// The views of a run, and the list of recordings.
const ALL: &[Context] = &[
    Context::Timeline,
    Context::Detail,
    Context::Diff,
    Context::State,
    Context::Raw,
    Context::List,
];

/// A heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Time,
    World,
    Look,
    Move,
    More,
}

impl Group {
    /// In the order of the help.
    pub(crate) const ALL: [Self; 5] = [Self::Time, Self::Look, Self::World, Self::Move, Self::More];

    /// Its heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Time => "TIME",
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
    Close "look.close" Look &[Context::Timeline, Context::Detail, Context::Diff, Context::State, Context::Raw, Context::List, Context::Dialog, Context::Help], ["<esc>"], "back", "Close what is open, or cancel; a recording, back to the list that it was opened from. Never quits.";
    Reason "look.reason" Look &[Context::Diff, Context::State], ["B"], "who wrote this", "In the diff, show the line in its file, with the step that each line is from; on a line of a file, go to the thought behind it.";
    WalkBack "look.walk-back" Look PANES, ["H"], "walk back", "Go back along the way from a line to its reasons.";
    NextPane "look.next-pane" Look PANES, ["<tab>"], "next pane", "Give the keys to the next pane.";
    PrevPane "look.prev-pane" Look PANES, ["<s-tab>"], "previous pane", "Give the keys to the previous pane.";
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
    Confirm "dialog.roll-back" World &[Context::Dialog], ["y"], "roll back", "Freeze the agent, roll back, and let it go on.", world;
    ConfirmFrozen "dialog.roll-back-frozen" World &[Context::Dialog], ["Y"], "and keep frozen", "Freeze the agent, roll back, and keep it frozen.", world;
    Down "move.down" Move LISTS, ["j", "<down>"], "down", "One line or step down.";
    Up "move.up" Move LISTS, ["k", "<up>"], "up", "One line or step up.";
    PageDown "move.page-down" Move LISTS, ["<pgdn>", "<c-f>"], "page down", "One screen down.";
    PageUp "move.page-up" Move LISTS, ["<pgup>", "<c-b>"], "page up", "One screen up.";
    First "move.first" Move LISTS, ["gg", "<home>"], "first", "To the first step or line.";
    Last "move.last" Move LISTS, ["G", "<end>"], "last", "To the last step or line, following what comes; {n}G goes to step n.";
    Left "move.left" Move VIEWS, ["h", "<left>"], "left", "Scroll left, fold, or close a directory.";
    Right "move.right" Move VIEWS, ["l", "<right>"], "right", "Scroll right, unfold, or open a directory.";
    NextHunk "move.next-hunk" Move &[Context::Detail, Context::Diff], ["]h"], "next hunk", "To the next place that changed.";
    PrevHunk "move.prev-hunk" Move &[Context::Detail, Context::Diff], ["[h"], "previous hunk", "To the previous place that changed.";
    NextFile "move.next-file" Move &[Context::Detail, Context::Diff, Context::State], ["]p"], "next file", "To the next changed file.";
    PrevFile "move.prev-file" Move &[Context::Detail, Context::Diff, Context::State], ["[p"], "previous file", "To the previous changed file.";
    Jump "move.jump" Move VIEWS, ["'{a}"], "go to label", "Go to the step with that label.";
    Search "more.search" More VIEWS, ["/"], "search", "Search titles, paths and the texts on the screen.";
    Filter "more.filter" More &[Context::List], ["/"], "filter", "Leave only the recordings in whose project, agent, model, prompt or path all these words are found.";
    SearchNext "more.search-next" More VIEWS, ["n"], "next match", "To the next match of the search.";
    SearchPrev "more.search-prev" More VIEWS, ["N"], "previous match", "To the previous match of the search.";
    CopyStep "more.copy-step" More VIEWS, ["yy"], "copy step", "Copy the step's number through the terminal.";
    CopyPath "more.copy-path" More ALL, ["yp"], "copy path", "Copy the selected path through the terminal.";
    Palette "more.palette" More ALL, [":", "<c-p>"], "palette", "Find an action by its words, or a step by its number.";
    Help "more.help" More LISTS, ["?", "<f1>"], "help", "Show or close the keys.";
    Quit "more.quit" More &[Context::Timeline, Context::Detail, Context::Diff, Context::State, Context::Raw, Context::List, Context::Help], ["q"], "close", "Close the view; on the timeline, quit, or go back to the list. An agent keeps running.";
    Redraw "more.redraw" More ALL, ["<c-l>"], "redraw", "Draw the whole screen again.";
    Suspend "more.suspend" More ALL, ["<c-z>"], "suspend", "Go to the background; `fg` brings it back.";
    Interrupt "more.interrupt" More &[Context::Timeline, Context::Detail, Context::Diff, Context::State, Context::Raw, Context::List, Context::Dialog, Context::Help], ["<c-c>"], "cancel", "Cancel; twice quits.";
}

/// The line of `action`.
pub(crate) fn entry(action: Action) -> Option<&'static Entry> {
    TABLE.iter().find(|e| e.action == action)
}

struct Binding {
    strokes: Vec<Stroke>,
    entry: &'static Entry,
}

fn bindings() -> &'static [Binding] {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_sequence_can_be_read() {
        for entry in TABLE {
            assert!(!entry.keys.is_empty(), "{}", entry.id);
            for key in entry.keys {
                assert!(keys::parse(key).is_some(), "{key} of {}", entry.id);
            }
        }
    }

    #[test]
    fn no_sequence_means_two_things_or_begins_another() {
        for context in CONTEXTS {
            let here: Vec<_> = bindings()
                .iter()
                .filter(|b| b.entry.contexts.contains(&context))
                .collect();
            for (i, a) in here.iter().enumerate() {
                for b in &here[i + 1..] {
                    let short = a.strokes.len().min(b.strokes.len());
                    assert_ne!(
                        a.strokes[..short],
                        b.strokes[..short],
                        "{} and {} in {context:?}",
                        a.entry.id,
                        b.entry.id
                    );
                }
            }
        }
    }

    #[test]
    fn every_action_is_described_once() {
        let mut ids = HashSet::new();
        let mut actions = HashSet::new();
        for entry in TABLE {
            assert!(ids.insert(entry.id), "{} twice", entry.id);
            assert!(actions.insert(entry.action), "{:?} twice", entry.action);
            assert!(entry.title.len() <= 16, "{}", entry.id);
            assert!(entry.description.ends_with('.'), "{}", entry.id);
            assert!(entry.description.len() > entry.title.len(), "{}", entry.id);
            assert!(!entry.contexts.is_empty(), "{}", entry.id);
        }
    }

    #[test]
    fn what_confirms_is_not_what_asked() {
        let keys = |a| entry(a).unwrap().keys;
        for confirm in [Action::Confirm, Action::ConfirmFrozen] {
            for key in keys(confirm) {
                assert!(!keys(Action::Rollback).contains(key));
            }
        }
    }

    #[test]
    fn meanings() {
        let key = |c| Key::char(c);
        let at = |keys: &[Key]| meaning(Context::Timeline, keys);
        assert_eq!(at(&[key('j')]), Meaning::Action(Action::Down, None));
        assert_eq!(at(&[key(']')]), Meaning::Prefix);
        assert_eq!(
            at(&[key(']'), key('c')]),
            Meaning::Action(Action::NextChange, None)
        );
        assert_eq!(at(&[key(']'), key('~')]), Meaning::Nothing);
        assert_eq!(
            at(&[key('m'), key('b')]),
            Meaning::Action(Action::Label, Some('b'))
        );
        assert_eq!(at(&[key('~')]), Meaning::Nothing);
        assert_eq!(meaning(Context::Dialog, &[key('r')]), Meaning::Nothing);
    }

    #[test]
    fn the_printed_list_names_every_action() {
        let text = keys_text();
        for entry in TABLE {
            assert!(text.contains(entry.description), "{}", entry.id);
        }
    }
}
