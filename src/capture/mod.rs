//! From changes to commits, and from commits back to files.

mod dirty;
mod disk;
pub mod ignore_rules;
pub mod observe;
pub mod settings;
mod subtree;
mod sweep;
mod tracked;
pub mod workspace;
