//! The way to an engine: the only place where the command line names what is behind a [`Source`].
//!
//! [`Source`]: crate::engine::source::Source

pub use crate::engine::doctor::before as before_doctor;
pub use crate::engine::portable::{is_trail, open_trail};
pub use crate::engine::shelf::{
    Opening, formats, open_recording, opened, recordings_in, recordings_told, shelf, shelf_of,
};
pub use crate::engine::terminal::client as terminal;
pub use crate::engine::{Project, Want, clean_mount, open, serve};
