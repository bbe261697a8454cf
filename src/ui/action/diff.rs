//! What the diff and the state browser can do with what is selected.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! diff_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Against "look.against" Look COMPARED, ["D"], "diff with", "Compare the step's state with a label, a branch, a step or any revision that is typed; Tab completes.";
        Select "look.select" Look RANGES, ["v"], "select", "Select from here on, steps or lines; again, or Esc, ends it. d compares the selected steps.";
        Wrap "look.wrap" Look DIFF, ["zw"], "wrap", "Wrap long lines of the diff, or cut them again.";
        WhiteSpace "look.whitespace" Look DIFF, ["zi"], "white space", "Show all differences of white space, or not how much of it there is, or none of them.";
    } };
}
