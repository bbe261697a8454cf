//! The engine: one background process per project, which owns the store and the mounts and serves the socket.

mod answer;
pub mod api;
pub mod assist;
mod at;
mod blame;
mod branch_name;
mod branches;
pub mod client;
mod compare;
pub mod connect;
pub mod core;
pub mod doctor;
pub mod export;
mod follow;
mod forks;
mod heard;
mod import;
mod intake;
mod keeping;
mod labels;
mod lineage;
mod merging;
mod ops;
#[cfg(test)]
mod ops_laws;
mod overlap;
pub mod project;
mod reads;
pub mod recorded;
mod replay;
mod replay_order;
#[cfg(test)]
mod replay_tests;
mod restore;
pub(crate) mod restore_lines;
mod serve;
mod server;
mod sessions;
pub mod shelf;
mod snapshot;
pub mod source;
pub mod stats;
mod switch;
pub mod terminal;
mod ties;
pub mod timeline;
mod told;
mod touches;
mod undo;
mod wire;
mod world;

pub use at::clean_mount;
pub use connect::{Want, open};
pub use project::Project;
pub use serve::serve;
