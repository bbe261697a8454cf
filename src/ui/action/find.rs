//! Searching, filtering and asking.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! find_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Search "more.search" More VIEWS, ["/"], "search", "Search: on the timeline in all texts of all steps, elsewhere in what is shown; ~ begins a regular expression.";
        Filter "more.filter" More LIST, ["/"], "filter", "Leave only the recordings in whose project, agent, model, prompt or path all these words are found.";
        SearchNext "more.search-next" More VIEWS, ["n"], "next match", "To the next match of the search.";
        SearchPrev "more.search-prev" More VIEWS, ["N"], "previous match", "To the previous match of the search.";
        SearchWord "more.search-word" More VIEWS, ["*"], "search word", "Search for the word under the cursor, or of the step.";
        FilterSteps "more.filter-steps" More HOME, ["&"], "filter steps", "Show only steps that fit a query, such as kind:bash exit:!0; an empty one shows all again.";
        Ask "more.ask" More ASKING, ["a"], "ask", "Ask a model about what is selected, or for proposals for a conflict.";
    } };
}
