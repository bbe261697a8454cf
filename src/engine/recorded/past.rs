//! States of a recording as directories, for as long as somebody looks at it: mounted by the process that does.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::debug::rev;
use crate::engine::api::{ApiError, ErrorCode, PastPlace};
use crate::engine::at;
use crate::engine::core::Failure;
use crate::engine::project::{private_dir, runtime_base};
use crate::fs::at::{MountedPast, Owner, Past, PastView, Top};
use crate::model::{CommitId, Time};
use crate::store::Store;

use super::Recorded;

/// The mount with the directory that it is at. In this order: the directory goes last.
pub(super) struct Seat {
    mounted: MountedPast,
    _dir: tempfile::TempDir,
}

struct States {
    recorded: Weak<Recorded>,
    /// The store that there was last: a recording that grows may get another one.
    last: Mutex<Arc<Store>>,
}

impl Past for States {
    fn store(&self) -> Arc<Store> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recorded) = self.recorded.upgrade() {
            *last = recorded.store();
        }
        Arc::clone(&last)
    }

    fn find(&self, name: &[u8]) -> Option<CommitId> {
        let recorded = self.recorded.upgrade()?;
        at::find(&recorded.store(), &*recorded, name)
    }

    fn names(&self) -> Vec<Vec<u8>> {
        at::names(&self.store())
    }
}

/// Where a state of the recording can be read.
pub(super) fn path(recorded: &Arc<Recorded>, text: Option<&str>) -> Result<PastPlace, ApiError> {
    recorded.wait()?;
    let store = recorded.store();
    let commit = text
        .map(|text| rev::resolve(&store, &**recorded, text, Time::now()).map_err(Failure::from))
        .transpose()?
        .map(|named| named.commit);
    let mut seat = recorded.past.lock().unwrap_or_else(PoisonError::into_inner);
    if seat.as_ref().is_none_or(|s| !s.mounted.is_alive()) {
        *seat = Some(mount(recorded, store)?);
    }
    let mut path = seat.as_ref().map(|s| s.mounted.at()).unwrap_or_default();
    if let Some(commit) = commit {
        path.push(commit.to_hex());
    }
    Ok(PastPlace {
        path: path.to_string_lossy().into_owned(),
        commit,
    })
}

fn mount(recorded: &Arc<Recorded>, store: Arc<Store>) -> Result<Seat, ApiError> {
    let failed = |e: String| {
        let e = format!("the recording's states cannot be mounted: {e}");
        ApiError::new(ErrorCode::Failed, e)
    };
    let base = runtime_base();
    private_dir(&base)?;
    let dir = tempfile::Builder::new()
        .prefix("past-")
        .tempdir_in(&base)
        .map_err(|e| failed(e.to_string()))?;
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        root: 0o755,
    };
    let states = States {
        recorded: Arc::downgrade(recorded),
        last: Mutex::new(store),
    };
    let view =
        PastView::new(Arc::new(states), owner, Top::States).map_err(|e| failed(e.to_string()))?;
    let mounted = MountedPast::mount(view, dir.path(), true).map_err(|e| failed(e.to_string()))?;
    Ok(Seat { mounted, _dir: dir })
}
