//! The program itself: palette, help, leaving, the terminal.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! program_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Palette "more.palette" More RUNS, [":", "<c-p>"], "palette", "Find an action by its words, or a step by its number.";
        Help "more.help" More HELPED, ["?", "<f1>"], "help", "Show or close the keys.";
        Quit "more.quit" More CLOSED, ["q"], "close", "Close the view; on the timeline, quit, or go back to the list. An agent keeps running.";
        Redraw "more.redraw" More RUNS, ["<c-l>"], "redraw", "Draw the whole screen again.";
        Suspend "more.suspend" More RUNS, ["<c-z>"], "suspend", "Go to the background; `fg` brings it back.";
        Interrupt "more.interrupt" More EVERYWHERE, ["<c-c>"], "cancel", "Cancel; twice quits.";
    } };
}
