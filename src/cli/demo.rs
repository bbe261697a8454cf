//! `backtrail demo`.
use super::{Ended, Fail, args};

/// Runs it.
pub fn demo(_: &args::Demo) -> Ended {
    Err(Fail::Message("the demo is not there yet".into()))
}
