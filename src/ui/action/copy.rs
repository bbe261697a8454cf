//! Copying through the terminal.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! copy_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        CopyStep "more.copy-step" More VIEWS, ["yy"], "copy step", "Copy the step's number through the terminal.";
        CopyPath "more.copy-path" More RUNS, ["yp"], "copy path", "Copy the selected path through the terminal.";
    } };
}
