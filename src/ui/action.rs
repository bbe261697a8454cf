//! Everything a key can do: one table, from which dispatch, the footer, the help, the palette, the printed key list and
//! the manual come.
//!
//! The table is written in parts, a file each: [`time`], [`look`] and so on. To add an action, add its line to one of them,
//! what it does to `input::act` (or an arm that leads to your own file), and, when it cannot always be done,
//! `App::enabled`. Sets of contexts are in [`contexts`].
//!
//! An entry lives in contexts; within a context no sequence of keys may mean two things, and none may begin another
//! (tests hold this). Lower case goes forward and Shift goes back, `]x` and `[x` find the next and the previous thing of
//! kind x, `z` changes how a view looks, `y` copies, and what changes the disk can be undone.

mod contexts;

pub(crate) use contexts::*;

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

/// Each part adds its lines to those that it was given, and hands them to the next part; the last one to [`actions`].
macro_rules! chain {
    ([$part:ident $($rest:ident)*] $($held:tt)*) => { $part! { [$($rest)*] $($held)* } };
    ([] $($held:tt)*) => { actions! { $($held)* } };
}

macro_rules! actions {
    ($($action:ident $id:literal $group:ident $contexts:expr, $keys:expr, $title:literal, $description:literal $(, $world:ident)?;)*) => {
        /// Something a person can ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Action {
            $(#[doc = $description] $action,)*
        }

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

#[macro_use]
mod time;
#[macro_use]
mod look;
#[macro_use]
mod diff;
#[macro_use]
mod views;
#[macro_use]
mod live;
#[macro_use]
mod world;
#[macro_use]
mod merge;
#[macro_use]
mod moves;
#[macro_use]
mod find;
#[macro_use]
mod copy;
#[macro_use]
mod program;

chain! { [
    time_actions
    look_actions
    diff_actions
    views_actions
    live_actions
    world_actions
    merge_actions
    moves_actions
    find_actions
    copy_actions
    program_actions
] }

/// The line of `action`.
pub(crate) fn entry(action: Action) -> Option<&'static Entry> {
    TABLE.iter().find(|e| e.action == action)
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
