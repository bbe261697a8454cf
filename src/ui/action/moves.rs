//! Moving in lists and texts.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! moves_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Down "move.down" Move LISTS, ["j", "<down>"], "down", "One line or step down.";
        Up "move.up" Move LISTS, ["k", "<up>"], "up", "One line or step up.";
        PageDown "move.page-down" Move LISTS, ["<pgdn>", "<c-f>"], "page down", "One screen down.";
        PageUp "move.page-up" Move LISTS, ["<pgup>", "<c-b>"], "page up", "One screen up.";
        First "move.first" Move LISTS, ["gg", "<home>"], "first", "To the first step or line.";
        Last "move.last" Move LISTS, ["G", "<end>"], "last", "To the last step or line, following what comes; {n}G goes to step n.";
        Left "move.left" Move WIDE, ["h", "<left>"], "left", "Scroll left, fold, or close a directory.";
        Right "move.right" Move WIDE, ["l", "<right>"], "right", "Scroll right, unfold, or open a directory.";
        NextHunk "move.next-hunk" Move HUNKS, ["]h"], "next hunk", "To the next place that changed.";
        PrevHunk "move.prev-hunk" Move HUNKS, ["[h"], "previous hunk", "To the previous place that changed.";
        NextFile "move.next-file" Move FILES, ["]p"], "next file", "To the next changed file.";
        PrevFile "move.prev-file" Move FILES, ["[p"], "previous file", "To the previous changed file.";
        Jump "move.jump" Move VIEWS, ["'{a}"], "go to label", "Go to the step with that label.";
    } };
}
