//! What the diff and the state browser can do with what is selected.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! diff_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Against "look.against" Look COMPARED, ["D"], "diff with", "Compare the step's state with a label, a branch, a step or any revision that is typed; Tab completes.";
        Select "look.select" Look RANGES, ["v"], "select", "Select from here on, steps or lines; again, or Esc, ends it. d compares the selected steps.";
        Editor "look.editor" Look PANES, ["e"], "in $EDITOR", "Open a read-only copy of that version of the file in $EDITOR.";
        Shell "look.shell" Look PANES, ["!"], "shell here", "Open $SHELL in the state as a read-only directory.";
        NextTab "look.next-tab" Look STATE, ["zp"], "plan, context", "In the state browser, show the plan that the agent had made, what it had read until then, where it ran, or the files again.";
        Wrap "look.wrap" Look DIFF, ["zw"], "wrap", "Wrap long lines of the diff, or cut them again.";
        WhiteSpace "look.whitespace" Look DIFF, ["zi"], "white space", "Show all differences of white space, or not how much of it there is, or none of them.";
    } };
}
