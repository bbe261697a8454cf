//! Backtrail: a time-travel debugger for AI coding agents, in the terminal.
//!
//! ARCHITECTURE.md is the map. Imports go down only: `model` < `config` < `store` < `diff`, `trace`, `llm` < `merge`, `capture`, `debug` <
//! `fs`, `agent` < `engine` < `cli`, `ui`.

pub mod agent;
pub mod capture;
pub mod cli;
pub mod config;
pub mod debug;
pub mod diff;
pub mod engine;
pub mod fs;
pub mod llm;
pub mod merge;
pub mod model;
pub mod store;
pub mod trace;
pub mod ui;
