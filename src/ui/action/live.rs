//! The agent at work: its terminal, playback, several sessions.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! live_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Slower "play.slower" Time VIEWS, ["("], "play slower", "Play slower, down to a quarter of the speed that it was.";
        Faster "play.faster" Time VIEWS, [")"], "play faster", "Play faster, up to 64 times the speed that it was.";
        ViewLive "look.live" Look BEFORE_LIVE, ["5"], "live", "Show what happens beside the agent's terminal, or the terminal as it was at the step.";
        Attach "live.attach" Look LIVE, ["<enter>"], "attach", "Sit down at the agent's terminal: keys go to the agent until it is left.";
        Detach "live.detach" Look LIVE, ["<c-]>", "<c-5>"], "detach", "Leave the agent's terminal: keys are Backtrail's again.";
        Zoom "live.zoom" Look LIVE, ["z"], "zoom", "Show the agent's terminal alone, or everything again.";
        NextSession "live.next-session" Look LIVE, ["]s"], "next agent", "Show the terminal of the next running agent.";
        PrevSession "live.prev-session" Look LIVE, ["[s"], "previous agent", "Show the terminal of the previous running agent.";
        StopAgent "world.stop-agent" World VIEWS, ["X"], "stop the agent", "Stop the agent, after a question: it is asked to end, and killed when it does not.";
        StopYes "dialog.stop-agent" World STOP_DIALOG, ["y"], "stop it", "Stop the agent.";
    } };
}
