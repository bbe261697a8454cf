//! From changes to commits, and from commits back to files.

mod adopt;
mod apply;
pub mod beside;
mod commit;
mod cut;
mod dirty;
mod disk;
mod error;
pub mod failpoint;
mod found;
mod group;
pub mod ignore_rules;
pub mod journal;
pub mod observe;
mod outside;
pub mod recorder;
pub mod restore;
mod scan;
pub mod settings;
pub(crate) mod subtree;
mod suspects;
mod sweep;
mod tracked;
mod turn;
pub mod watch;
mod workspace;
