//! Lists of a run: branches, operations, sessions, labels, places visited; and panes.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! views_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        ViewBranches "look.branches" Look RUN, ["4"], "branches", "List the branches: where each ends, how it stands to the workspace's, who runs on it; again, close the list.";
        ViewOperations "look.operations" Look RUN, ["6", "go"], "operations", "List the operations, what each moved, and go back over them; again, close the list.";
        ViewSessions "look.sessions" Look RUN, ["gs"], "sessions", "List the sessions: who ran, how long, what came of it; again, close the list.";
        ViewLabels "look.labels" Look RUN, ["gm"], "list of labels", "List the labels; again, close the list.";
        DeskFilter "list.filter" More DESK, ["/", "&"], "filter", "Leave only the lines that hold all these words.";
        OpRestore "operations.restore" World OPERATIONS, ["r"], "restore before", "Set files, branches and labels back to what they were before the operation.", world;
        OpRevert "operations.revert" World OPERATIONS, ["x"], "revert", "Reverse this operation alone; refused when later ones stand on it.", world;
        OpCheckpoints "operations.checkpoints" Look OPERATIONS, ["zc"], "checkpoints", "Hide or show checkpoints.";
        BranchSwitch "branches.switch" World BRANCHES, ["s"], "switch", "Set the workspace to the branch; what is there is committed on the one that it leaves.", world;
        BranchDiff "branches.diff" Look BRANCHES, ["d"], "diff", "Show how the branch differs from the workspace's.";
        BranchMerge "branches.merge" World BRANCHES, ["M"], "merge", "Merge the branch into the workspace's; nothing is written yet.";
        BranchFork "branches.fork" World BRANCHES, ["t"], "fork", "Make a branch with a view of its own, beginning where this one ends.", world;
        BranchRename "branches.rename" World BRANCHES, ["R"], "rename", "Give the branch another name.", world;
        BranchDelete "branches.delete" World BRANCHES, ["x"], "remove", "Remove the branch, after a question; its commits stay.", world;
        BranchPrune "branches.prune" World BRANCHES, ["P"], "prune", "Remove the branches that others hold, after a question.", world;
        BranchLeaves "branches.leaves" Look BRANCHES, ["zl"], "leaves", "List the commits that nothing follows and no branch holds, or hide them.";
        BranchDisk "branches.disk" Look BRANCHES, ["zu"], "disk usage", "Find out what the forks take up on disk.";
        LabelDelete "labels.delete" World LABELS, ["x"], "remove", "Take the label away.", world;
        Yes "question.yes" World QUESTION, ["y"], "yes", "Do what was asked about.", world;
    } };
}
