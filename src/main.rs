//! Entry point: parses, dispatches, sets the exit code.

fn main() {}
