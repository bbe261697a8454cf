//! Keys in, screens out: the real update and drawing over a scripted source.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "tests"
)]

mod actions;
mod again;
mod desk;
mod diffing;
mod feel;
mod flows;
mod fuzz;
mod graph;
mod hostile;
mod hunting;
mod live;
mod machine;
mod merge_assist;
mod merge_flows;
mod merge_screens;
mod merging;
mod mouse;
mod places;
mod play;
mod recorded;
mod rows;
mod screens;
mod script;
mod search;
mod source;
mod stage;
mod story;
mod talk;
mod through_a_terminal;
mod why;
mod world;
