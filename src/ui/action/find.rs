//! Searching, filtering and asking.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! find_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Search "more.search" More VIEWS, ["/"], "search", "Search titles, paths and the texts on the screen.";
        Filter "more.filter" More LIST, ["/"], "filter", "Leave only the recordings in whose project, agent, model, prompt or path all these words are found.";
        SearchNext "more.search-next" More VIEWS, ["n"], "next match", "To the next match of the search.";
        SearchPrev "more.search-prev" More VIEWS, ["N"], "previous match", "To the previous match of the search.";
        Ask "more.ask" More ASKING, ["a"], "ask", "Ask a model about what is selected, or for proposals for a conflict.";
    } };
}
