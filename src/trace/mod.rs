//! Reasoning of agents: the events of `emit`, and which change belongs to which call.

pub mod calls;
pub mod emit;
