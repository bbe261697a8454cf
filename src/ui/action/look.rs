//! Opening, closing and changing how views look.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! look_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        ViewDiff "look.diff" Look TO_DIFF, ["d", "2"], "diff", "Show in full what the step changed.";
        ViewState "look.state" Look STATED, ["3"], "state", "Browse all files as they were after the step.";
        ViewTimeline "look.timeline" Look OVER_HOME, ["1"], "timeline", "Return to the timeline.";
        Open "look.open" Look OPENING, ["<enter>"], "open", "Go into what is selected.";
        Close "look.close" Look EVERYWHERE, ["<esc>"], "back", "Close what is open, or cancel; a recording, back to the list that it was opened from. Never quits.";
        Reason "look.reason" Look LINES, ["B"], "who wrote this", "In the diff, show the line in its file, with the step that each line is from; on a line of a file, go to the thought behind it.";
        WalkBack "look.walk-back" Look RUN, ["H", "<c-o>"], "place before", "Go back to the place that was looked at before: step, view, file and line.";
        WalkForward "look.walk-forward" Look RUN, ["L"], "place after", "Go forward again to the place that was gone back from.";
        Wider "look.wider" Look SIZED, ["+"], "wider", "Make the pane with the keys wider.";
        Narrower "look.narrower" Look SIZED, ["_"], "narrower", "Make the pane with the keys narrower.";
        ClockAxis "look.clock-axis" Look HOME, ["zT"], "by the clock", "Lay the overview out by the clock, or by steps again.";
        NextPane "look.next-pane" Look PARTS, ["<tab>"], "next pane", "Give the keys to the next pane.";
        PrevPane "look.prev-pane" Look PARTS, ["<s-tab>"], "previous pane", "Give the keys to the previous pane.";
        SideBySide "look.side-by-side" Look DIFF, ["zs"], "side by side", "Show the diff side by side, or unified again.";
        Fold "look.fold" Look FOLDING, ["za"], "fold", "Fold or unfold the subagent that the selected step started or is part of, or else its turn; in the diff, the unchanged lines here.";
        FoldAll "look.fold-all" Look FOLDING, ["zm"], "fold all", "Fold every turn and subagent; in the diff, all unchanged lines.";
        UnfoldAll "look.unfold-all" Look FOLDING, ["zr"], "unfold all", "Unfold every turn and subagent; in the diff, all unchanged lines.";
        Thoughts "look.thoughts" Look HOME, ["zt"], "thoughts", "Hide or show the agent's thoughts.";
        Dead "look.dead" Look HOME, ["zd"], "left branches", "Show or hide the branches of the conversation that were left by a rewind or a retry.";
        More "look.more" Look HOME, ["zo"], "more text", "Show more of a long text: the next 64 KiB, or as many times that as the number before the key.";
        Raw "look.raw" Look HOME, ["z!"], "raw record", "Show the raw record: the lines of the trace that the step was read from.";
        Centre "look.centre" Look PANES, ["zz"], "centre", "Scroll so that the selected step or line is in the middle.";
        ListOpen "list.open" Look PICKERS, ["<enter>"], "open", "Merge the selected branch, or go to the selected conflict or step.";
    } };
}
