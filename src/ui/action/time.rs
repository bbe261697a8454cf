//! Going through time: from step to step, and to the next thing of a kind.
//!
//! An entry is one line: action, id, heading of the help, where it works, its keys, title, description, and `world` when
//! it changes the workspace, the refs or the agent.

macro_rules! time_actions {
    ([$($rest:ident)*] $($held:tt)*) => { chain! { [$($rest)*] $($held)*
        Step "time.step" Time VIEWS, ["s", ".", "<f11>"], "step forward", "Go one step forward, into a subagent; in the diff, to the next step that changed the file.";
        Back "time.back" Time VIEWS, ["S", ",", "<s-f11>"], "step back", "Go one step back, into a subagent; in the diff, to the previous step that changed the file.";
        Over "time.over" Time VIEWS, ["o", "<f10>"], "step over", "Go one step forward, past all steps of a subagent.";
        BackOver "time.back-over" Time VIEWS, ["O", "<s-f10>"], "step back over", "Go one step back, past all steps of a subagent.";
        Finish "time.finish" Time VIEWS, ["f", "}"], "finish turn", "Go to the end of the turn; within a subagent, to where it came back.";
        BackToStart "time.back-to-start" Time VIEWS, ["F", "{"], "back to start", "Go back to the start of the turn; within a subagent, to the step that started it.";
        Again "time.again" Time VIEWS, [";"], "again", "Go the last way through time again.";
        NextChange "time.next-change" Time VIEWS, ["]c"], "next change", "Go to the next step that changed files.";
        PrevChange "time.prev-change" Time VIEWS, ["[c"], "previous change", "Go to the previous step that changed files.";
        NextError "time.next-error" Time VIEWS, ["]e"], "next error", "Go to the next step that failed.";
        PrevError "time.prev-error" Time VIEWS, ["[e"], "previous error", "Go to the previous step that failed.";
        NextTurn "time.next-turn" Time VIEWS, ["]t"], "next turn", "Go to the next prompt.";
        PrevTurn "time.prev-turn" Time VIEWS, ["[t"], "previous turn", "Go to the previous prompt.";
        NextOfFile "time.next-of-file" Time PANES, ["]f"], "file's next", "Go to the next step that changed the current file.";
        PrevOfFile "time.prev-of-file" Time PANES, ["[f"], "file's previous", "Go to the previous step that changed the current file.";
        NextLabel "time.next-label" Time VIEWS, ["]m"], "next label", "Go to the next step with a label.";
        PrevLabel "time.prev-label" Time VIEWS, ["[m"], "previous label", "Go to the previous step with a label.";
    } };
}
