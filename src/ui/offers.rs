//! What the footer offers in each context.

use super::action::{Action, Context};

/// What the footer offers in each context, the most useful first.
pub(crate) fn offers(context: Context) -> &'static [(&'static [Action], &'static str)] {
    use Action as A;
    match context {
        Context::Timeline => &[
            (&[A::Step, A::Back], "step"),
            (&[A::NextChange], "next change"),
            (&[A::NextError], "next error"),
            (&[A::Rollback], "roll back"),
            (&[A::Undo], "undo"),
            (&[A::ViewDiff], "diff"),
            (&[A::ViewState], "state"),
            (&[A::Freeze], "freeze"),
            (&[A::Search], "search"),
            (&[A::Last], "follow"),
            (&[A::Help], "help"),
            (&[A::Palette], "palette"),
            (&[A::Quit], "quit"),
        ],
        Context::Detail => &[
            (&[A::Down, A::Up], "scroll"),
            (&[A::NextHunk], "next hunk"),
            (&[A::Close], "timeline"),
            (&[A::Step, A::Back], "step"),
            (&[A::ViewDiff], "diff"),
            (&[A::ViewState], "state"),
            (&[A::Rollback], "roll back"),
            (&[A::Help], "help"),
        ],
        Context::Diff => &[
            (&[A::NextHunk, A::PrevHunk], "hunk"),
            (&[A::NextFile, A::PrevFile], "file"),
            (&[A::Step, A::Back], "step"),
            (&[A::SideBySide], "side by side"),
            (&[A::Close], "back"),
            (&[A::Help], "help"),
            (&[A::Search], "search"),
            (&[A::Rollback], "roll back"),
            (&[A::ViewState], "state"),
        ],
        Context::State => &[
            (&[A::Down, A::Up], "line"),
            (&[A::Open], "open"),
            (&[A::NextFile, A::PrevFile], "changed file"),
            (&[A::Step, A::Back], "step"),
            (&[A::NextPane], "pane"),
            (&[A::Close], "back"),
            (&[A::Help], "help"),
            (&[A::CopyPath], "copy path"),
            (&[A::Rollback], "roll back"),
        ],
        Context::Raw => &[
            (&[A::Down, A::Up], "scroll"),
            (&[A::Step, A::Back], "step"),
            (&[A::Search], "search"),
            (&[A::Close], "back"),
            (&[A::Help], "help"),
        ],
        Context::List => &[
            (&[A::Down, A::Up], "select"),
            (&[A::Open], "open"),
            (&[A::Filter], "filter"),
            (&[A::Help], "help"),
            (&[A::Palette], "palette"),
            (&[A::Quit], "quit"),
        ],
        Context::Merge => &[
            (&[A::MergeOurs], "ours"),
            (&[A::MergeTheirs], "theirs"),
            (&[A::MergeBoth], "both"),
            (&[A::MergeBase], "base"),
            (&[A::Ask], "ask"),
            (&[A::NextConflict, A::PrevConflict], "conflict"),
            (&[A::MergeUndo], "undo"),
            (&[A::MergeFinish], "write"),
            (&[A::Close], "leave"),
            (&[A::NextHunk], "next part"),
            (&[A::Help], "help"),
            (&[A::MergeReasons], "reasons"),
            (&[A::MergeList], "all"),
        ],
        Context::Branches => &[
            (&[A::Down, A::Up], "select"),
            (&[A::ListOpen], "merge"),
            (&[A::Close], "close"),
        ],
        Context::Conflicts => &[
            (&[A::Down, A::Up], "select"),
            (&[A::ListOpen], "go there"),
            (&[A::Close], "close"),
        ],
        Context::MergeDialog => &[(&[A::MergeConfirm], "yes"), (&[A::Close], "do nothing")],
        Context::Dialog => &[
            (&[A::Confirm], "roll back"),
            (&[A::ConfirmFrozen], "and keep frozen"),
            (&[A::Close], "do nothing"),
        ],
        Context::Help => &[(&[A::Down, A::Up], "scroll"), (&[A::Close], "close")],
    }
}
