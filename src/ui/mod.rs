//! The terminal UI: App, Msg, update, draw.
