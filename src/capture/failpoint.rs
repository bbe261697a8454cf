//! Named places at which a test can kill the process, as `kill -9` or a power cut would: no destructor runs, no buffer
//! is flushed.
//!
//! `BACKTRAIL_FAIL=name` kills at the first passage of that point, `BACKTRAIL_FAIL=name:3` at the third. The variable
//! is read once; without it a point costs one load. Every name stands in [`NAMES`], [`WORLD`], [`SELECTION`] or [`MERGE`], so that a crash test
//! can go through all of them and a new point cannot be forgotten.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that arms a point.
pub const VARIABLE: &str = "BACKTRAIL_FAIL";

/// The points of the journal, of the restoring of files and of the recovery, in the order in which they are passed.
pub const NAMES: &[&str] = &[
    "restore.before-intent",
    "journal.temporary-written",
    "journal.renamed",
    "restore.after-intent",
    "restore.staging-one",
    "restore.staged-one",
    "restore.staged-all",
    "restore.synced",
    "restore.named-one",
    "restore.before-swap",
    "restore.swapped-one",
    "restore.compared-one",
    "restore.put-back-one",
    "restore.removed-one",
    "restore.mode-one",
    "restore.in-place-begin",
    "restore.in-place-half",
    "restore.in-place-written",
    "restore.in-place-cut",
    "restore.swapped-all",
    "restore.applied",
    "journal.removed",
    "recover.begin",
    "recover.swept-one",
    "recover.swept",
    "recover.finished",
];

/// The points of a change of the world around them, in the order in which they are passed.
pub const WORLD: &[&str] = &["world.before-refs", "world.refs-moved", "world.adopted"];

/// The points of restoring a selection before it becomes a change of the world.
pub const SELECTION: &[&str] = &["selection.commit-stored"];

/// The points of an unfinished merge and of the commit that it becomes.
pub const MERGE: &[&str] = &[
    "merge.written",
    "merge.kept",
    "merge.commit-stored",
    "merge.ref-moved",
    "merge.before-forgotten",
];

struct Armed {
    name: String,
    hit: u64,
    passed: AtomicU64,
}

/// `name` or `name:N`; anything else arms nothing.
fn parse(text: &str) -> Option<Armed> {
    let (name, hit) = match text.rsplit_once(':') {
        Some((name, n)) => (name, n.parse().ok().filter(|n| *n > 0)?),
        None => (text, 1),
    };
    (!name.is_empty()).then(|| Armed {
        name: name.to_owned(),
        hit,
        passed: AtomicU64::new(0),
    })
}

impl Armed {
    /// Whether this passage of `name` is the fatal one.
    fn strikes(&self, name: &str) -> bool {
        self.name == name && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.hit
    }
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Passes the point `name`: kills this process with SIGKILL when it is armed, else does nothing.
pub fn point(name: &str) {
    let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).ok().as_deref().and_then(parse));
    if armed.as_ref().is_some_and(|a| a.strikes(name)) {
        die();
    }
}

#[cold]
fn die() -> ! {
    // A refused signal (there is no case known) still ends without unwinding.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn counts_hits() {
        let a = parse("x.y:3").unwrap();
        assert!(!a.strikes("x.y"));
        assert!(!a.strikes("other"));
        assert!(!a.strikes("x.y"));
        assert!(a.strikes("x.y"));
        assert!(!a.strikes("x.y"), "only that one passage");
    }

    #[test]
    fn takes_a_bare_name_and_refuses_nonsense() {
        assert!(parse("a").unwrap().strikes("a"));
        for bad in ["", ":1", "a:", "a:0", "a:b"] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = [NAMES, WORLD, MERGE].concat();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len() + WORLD.len() + MERGE.len());
    }
}
