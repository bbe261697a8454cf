//! Merges of branches by the real program: every kind of conflict, unfinished ones, crashes, conflicts that commits keep,
//! markers, the agent's state, and whole merges beside git.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod beside_git;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod forks;
mod kinds;
mod markers;
mod open;
mod state;
mod support;
mod unfinished;
