//! Restoring files: every law of `capture::restore`, on real files with a real store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod crash;
mod hostile;
mod law;
mod race;
mod support;
