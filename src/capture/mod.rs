//! From changes to commits, and from commits back to files.

pub mod failpoint;
pub mod journal;
pub mod observe;
pub mod restore;
