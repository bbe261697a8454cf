//! The program itself: palette, help, leaving, the terminal.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! program_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Palette "more.palette" More RUNS, [":", "<c-p>"], "palette", "Find an action, a step, a file, a branch, a label or a session by its words; a step also by its number.";
        Mouse "more.mouse" More RUNS, ["%"], "mouse", "Give the mouse back to the terminal, so that text can be selected there; or take it again.";
        Help "more.help" More HELPED, ["?"], "help", "Show the keys of this view, or close them; what is typed there filters them.";
        Manual "more.manual" More HELPED, ["<f1>"], "manual", "Show all actions at length, of all views; in the manual, the keys of this view.";
        Quit "more.quit" More CLOSED, ["q"], "close", "Close the view; on the timeline, quit, or go back to the list. An agent keeps running.";
        Redraw "more.redraw" More RUNS, ["<c-l>"], "redraw", "Draw the whole screen again.";
        Suspend "more.suspend" More RUNS, ["<c-z>"], "suspend", "Go to the background; `fg` brings it back.";
        Interrupt "more.interrupt" More EVERYWHERE, ["<c-c>"], "cancel", "Cancel; twice quits.";
    } };
}
