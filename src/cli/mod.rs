//! The command line: types and printers, no logic.
