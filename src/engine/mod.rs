//! The engine: one background process per project, which owns the store and the mounts and serves the socket.

pub mod api;
pub mod source;
