//! Reasoning of agents: the lines of `emit`, and which change belongs to which call.
