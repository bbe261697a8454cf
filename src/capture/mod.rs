//! From changes to commits, and from commits back to files.

pub mod observe;
