//! Past states, mounted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::Error;
use crate::fs::seat::{MountOptions, Seat};

use super::serve::Serve;
use super::view::PastView;

/// Mounted past states. Dropping it unmounts.
#[derive(Debug)]
pub struct MountedPast {
    seat: Seat,
}

impl MountedPast {
    /// Mounts `view` at the directory `at`, read-only. `unknown`: not every content is known, as in the states of a
    /// recording; opening such a file fails with ENODATA, for which the kernel must ask at every opening.
    pub fn mount(view: Arc<PastView>, at: &Path, unknown: bool) -> Result<Self, Error> {
        let options = MountOptions {
            read_only: true,
            ..MountOptions::default()
        };
        let make = || {
            Ok(Serve {
                view,
                asks_opens: unknown,
            })
        };
        let seat = Seat::take(at, &options, make, drop, || ())?;
        Ok(Self { seat })
    }

    /// False once the session has ended: it was unmounted from outside, or failed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.seat.is_alive()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn at(&self) -> PathBuf {
        self.seat.at()
    }

    /// Whether it has a place where it can be found.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.seat.has_place()
    }

    /// Takes the mount away; when somebody is in it, it is detached.
    pub fn unmount(self) -> Result<(), Error> {
        self.seat.unmount()
    }

    /// Takes the mount away unless somebody is in it; returns whether it is gone.
    pub fn try_unmount(&mut self) -> Result<bool, Error> {
        self.seat.try_unmount()
    }
}
