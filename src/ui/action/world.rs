//! What changes the disk, the branches or the agent, and the answers to the questions before it.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! world_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Rollback "world.rollback" World VIEWS, ["r"], "roll back", "Set the workspace back to this step; what is there is saved first.", world;
        Restore "world.restore" World PANES, ["R"], "restore", "Bring only what is selected back into the workspace: the files of a step, a file, a hunk or lines.", world;
        Undo "world.undo" World RUN, ["u"], "undo", "Reverse the last rollback, restoring or label.", world;
        Redo "world.redo" World RUN, ["U", "<c-r>"], "redo", "Do again what was undone.", world;
        Freeze "world.freeze" World VIEWS, ["<space>"], "freeze, play", "Freeze the running agent, or let it go on; where none runs, play what was recorded, or pause.", world;
        Label "world.label" World VIEWS, ["m{a}"], "label", "Give the step a label of one letter.", world;
        Fork "world.fork" World VIEWS, ["t"], "fork", "Make a branch with a view of its own, beginning at this step.", world;
        Merge "world.merge" World VIEWS, ["M"], "merge", "Merge a branch into the workspace's, or go on with a merge that is not finished.";
        Confirm "dialog.roll-back" World DIALOG, ["y"], "roll back", "Freeze the agent, roll back, and let it go on.", world;
        RestoreNow "dialog.restore" World RESTORE, ["y"], "restore", "Restore what was asked about.", world;
        RestoreFrozen "dialog.restore-frozen" World RESTORE, ["Y"], "and keep frozen", "Restore, and keep the agent frozen.", world;
        RestoreOther "dialog.restore-other" World RESTORE, ["<tab>"], "other side", "Ask about the other side of the difference: as it was before, or after.";
        ConfirmFrozen "dialog.roll-back-frozen" World DIALOG, ["Y"], "and keep frozen", "Freeze the agent, roll back, and keep it frozen.", world;
        ForkInstead "dialog.fork" World DIALOG, ["t"], "fork instead", "Make a branch with a view of its own at that step; the agent keeps running.", world;
    } };
}
