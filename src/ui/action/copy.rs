//! Copying through the terminal.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! copy_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        CopyStep "more.copy-step" More VIEWS, ["yy"], "copy step", "Copy the step's number through the terminal.";
        CopyLine "more.copy-line" More RANGES, ["yl"], "copy lines", "Copy the line under the cursor, or those that are selected, through the terminal.";
        CopyDiff "more.copy-diff" More COMPARED, ["yd"], "copy diff", "Copy the difference, in the diff that of the selected file, through the terminal.";
        CopyCommand "more.copy-command" More VIEWS, ["yc"], "copy command", "Copy the command that the step ran through the terminal.";
        CopyReason "more.copy-reason" More VIEWS, ["yr"], "copy reasoning", "Copy the thought that led to the step through the terminal.";
        CopyPath "more.copy-path" More PATHS, ["yp"], "copy path", "Copy the selected path through the terminal.";
    } };
}
