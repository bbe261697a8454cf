//! Settling conflicts.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! merge_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
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
        MergeConfirm "merge.confirm" World MERGE_DIALOG, ["y"], "yes", "Do what was asked about.", world;
    } };
}
