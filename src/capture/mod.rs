//! From changes to commits, and from commits back to files.

mod adopt;
mod cut;
mod dirty;
mod disk;
mod error;
mod group;
pub mod ignore_rules;
pub mod observe;
pub mod recorder;
mod outside;
mod scan;
pub mod settings;
mod subtree;
mod sweep;
mod tracked;
mod turn;
pub mod watch;
mod workspace;
