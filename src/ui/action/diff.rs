//! What the diff and the state browser can do with what is selected.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! diff_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
    } };
}
