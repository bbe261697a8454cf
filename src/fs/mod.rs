//! The file system: views, the gate, mounts, invalidation.
//!
//! [`LiveView`] passes a real directory through; [`Mounted`] serves it by one FUSE session; every change passes the
//! [`Gate`] and is told to an [`Observer`](crate::capture::observe::Observer); [`Invalidate`] keeps the kernel's caches
//! right when something changes behind the mount. What the kernel does was tried; the tests named `fs_*` under `tests/`
//! keep what the design rests on.

mod acl;
mod adapter;
mod answer;
pub mod at;
mod attr;
mod attribution;
pub mod branch_view;
mod dirs;
mod error;
mod gate;
mod handle;
mod inode;
mod invalidate;
mod live;
mod live_names;
mod live_read;
mod live_view;
mod live_write;
mod mount;
mod mountpoint;
mod notify;
mod own;
mod resolve;
mod seat;
mod submit;
mod translate;
mod view;

pub use attr::{Attr, FileKind, OwnStat, When};
pub use attribution::Attribution;
pub use error::Error;
pub use gate::{After, Closed, DEADLINE, Expired, Gate};
pub use inode::ROOT;
pub use invalidate::Invalidate;
pub use live::LiveView;
pub use mount::{MountOptions, Mounted, Served, clean_stale};
pub use view::{
    CopyRange, Ctx, DirItem, Entry, Fault, Opened, RenameKind, SetAttr, SetTime, Space, Special,
    Target, View, WriteAt, Written,
};
