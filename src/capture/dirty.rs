//! What has changed since the last checkpoint: paths with their writers, renames in order, files open for writing.
//!
//! Invariant: whatever the disk and the [`super::workspace::Workspace`] disagree about, after the renames noted here,
//! is marked here, itself or (with [`Mark::tree`]) a directory around it. Marks carry present names: a rename moves
//! them along with the files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::subtree::{keys_below, rename, renamed};
use crate::model::{RepoPath, Writer};

/// At most so many different writers are kept for a path.
const WRITERS: usize = 32;
/// At most so many writers are shared between marks before that memory is let go.
const SHARED: usize = 4096;

/// How far the content that was stored last may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Read {
    /// The content was not touched (mode, owner, name), unless its length or modification time say so.
    #[default]
    Trust,
    /// It was not touched unless the file's stamp says so.
    Check,
    /// It was touched.
    Always,
}

/// What is known of a changed path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Who changed it, distinct.
    pub writers: Vec<Arc<Writer>>,
    /// Whether its content must be read.
    pub read: Read,
    /// If it is a directory, everything below may have changed as well.
    pub tree: bool,
    /// It got or lost its name by a rename: its writers are those of everything below.
    pub moved: bool,
}

impl Mark {
    fn absorb(&mut self, other: Self) {
        self.read = self.read.max(other.read);
        self.tree |= other.tree;
        self.moved |= other.moved;
        for w in other.writers {
            self.add_writer(w);
        }
    }

    fn add_writer(&mut self, who: Arc<Writer>) {
        if self.writers.len() < WRITERS
            && !self
                .writers
                .iter()
                .any(|w| Arc::ptr_eq(w, &who) || *w == who)
        {
            self.writers.push(who);
        }
    }
}

/// One rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The old name.
    pub from: RepoPath,
    /// The new name.
    pub to: RepoPath,
    /// The two swapped.
    pub exchange: bool,
}

/// All that changed between two swaps.
#[derive(Debug, Default)]
pub struct Epoch {
    /// Changed paths, by their names at its end.
    pub marks: BTreeMap<RepoPath, Mark>,
    /// Renames, in order.
    pub moves: Vec<Move>,
}

/// Files with descriptors that can write.
#[derive(Debug, Default)]
struct Open {
    count: usize,
    writers: Vec<Arc<Writer>>,
}

/// Files with several names: a write through one changes them all.
#[derive(Debug, Default)]
struct Links {
    inode: BTreeMap<RepoPath, (u64, u64)>,
    names: HashMap<(u64, u64), BTreeSet<RepoPath>>,
}

/// The dirty set.
#[derive(Debug, Default)]
pub struct Dirty {
    epoch: Epoch,
    burst: Option<(Instant, Instant)>,
    open: BTreeMap<RepoPath, Open>,
    links: Links,
    shared: HashSet<Arc<Writer>>,
}

impl Dirty {
    fn share(&mut self, who: &Writer) -> Arc<Writer> {
        if let Some(w) = self.shared.get(who) {
            return Arc::clone(w);
        }
        if self.shared.len() >= SHARED {
            self.shared.clear();
        }
        let w = Arc::new(who.clone());
        self.shared.insert(Arc::clone(&w));
        w
    }

    /// Marks `path`. `true` if this begins a burst.
    pub fn mark(&mut self, path: &RepoPath, read: Read, tree: bool, who: &Writer) -> bool {
        let who = self.share(who);
        let content = read == Read::Always;
        for other in if content {
            self.siblings(path)
        } else {
            Vec::new()
        } {
            self.put(other, read, false, Arc::clone(&who));
        }
        self.put(path.clone(), read, tree, who);
        self.pulse()
    }

    fn put(&mut self, path: RepoPath, read: Read, tree: bool, who: Arc<Writer>) {
        let mark = self.epoch.marks.entry(path).or_default();
        mark.read = mark.read.max(read);
        mark.tree |= tree;
        mark.add_writer(who);
    }

    fn pulse(&mut self) -> bool {
        let now = Instant::now();
        let first = self.burst.is_none();
        self.burst = Some((self.burst.map_or(now, |(first, _)| first), now));
        first
    }

    /// Takes note of a rename. `unknown`: what came to `to` was not captured at its old name.
    pub fn rename(&mut self, m: Move, unknown: bool, who: &Writer) -> bool {
        let who = self.share(who);
        rename(
            &mut self.epoch.marks,
            &m.from,
            &m.to,
            m.exchange,
            Mark::absorb,
        );
        if !m.exchange {
            self.forget_open(&m.to);
        }
        rename(&mut self.open, &m.from, &m.to, m.exchange, |there, o| {
            there.count += o.count;
        });
        self.links.rename(&m);
        for path in [&m.from, &m.to] {
            let read = if unknown { Read::Always } else { Read::Trust };
            self.put(path.clone(), read, unknown, Arc::clone(&who));
            if let Some(mark) = self.epoch.marks.get_mut(path) {
                mark.moved = true;
            }
        }
        self.epoch.moves.push(m);
        self.pulse()
    }

    /// Ends the epoch, but for these paths: their changes belong to the next one. One that has to do with a rename ends
    /// all the same, because the renames of an epoch are one. Files open for writing are added, to be checked.
    pub fn swap_but(&mut self, later: &HashSet<RepoPath>) -> Epoch {
        let mut epoch = std::mem::take(&mut self.epoch);
        self.burst = None;
        for path in later {
            if epoch.marks.get(path).is_some_and(|m| !m.moved)
                && let Some(mark) = epoch.marks.remove(path)
            {
                self.epoch.marks.insert(path.clone(), mark);
                self.pulse();
            }
        }
        for (path, open) in &self.open {
            epoch.marks.entry(path.clone()).or_default().absorb(Mark {
                writers: open.writers.clone(),
                read: Read::Check,
                ..Mark::default()
            });
        }
        epoch
    }

    /// Gives back marks of an epoch that could not be stored; their names are those at its end.
    pub fn give_back(&mut self, marks: BTreeMap<RepoPath, Mark>) {
        if marks.is_empty() {
            return;
        }
        for (path, mark) in marks {
            let now = self.present_name(&path);
            self.epoch.marks.entry(now).or_default().absorb(mark);
        }
        self.pulse();
    }

    /// What `path`, a name at the last swap, is called now.
    #[must_use]
    pub fn present_name(&self, path: &RepoPath) -> RepoPath {
        self.epoch
            .moves
            .iter()
            .fold(path.clone(), |p, m| renamed(&p, &m.from, &m.to, m.exchange))
    }

    /// What `path`, a present name, was called at the last swap.
    #[must_use]
    pub fn former_name(&self, path: &RepoPath) -> RepoPath {
        self.epoch
            .moves
            .iter()
            .rev()
            .fold(path.clone(), |p, m| renamed(&p, &m.to, &m.from, m.exchange))
    }

    /// Whether `path` or, for all below it, a directory around it is marked.
    #[must_use]
    pub fn is_marked(&self, path: &RepoPath) -> bool {
        if self.epoch.marks.contains_key(path) {
            return true;
        }
        let mut at = path.parent();
        while let Some(dir) = at {
            if self
                .epoch
                .marks
                .get(&dir)
                .is_some_and(|m| m.tree || m.moved)
            {
                return true;
            }
            at = dir.parent();
        }
        false
    }

    /// How many paths are marked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.epoch.marks.len()
    }

    /// First and last change of the present burst.
    #[must_use]
    pub fn burst(&self) -> Option<(Instant, Instant)> {
        self.burst
    }

    /// A descriptor that can write was opened.
    pub fn opened(&mut self, path: &RepoPath, who: &Writer) {
        let who = self.share(who);
        let open = self.open.entry(path.clone()).or_default();
        open.count += 1;
        if open.writers.len() < WRITERS && !open.writers.contains(&who) {
            open.writers.push(who);
        }
    }

    /// A descriptor that could write was released. What it did late, through a mapping, is looked for once more.
    pub fn closed(&mut self, path: &RepoPath) -> bool {
        let Some(open) = self.open.get_mut(path) else {
            return false;
        };
        open.count -= 1;
        let writers = open.writers.clone();
        if open.count == 0 {
            self.open.remove(path);
        }
        self.epoch
            .marks
            .entry(path.clone())
            .or_default()
            .absorb(Mark {
                writers,
                read: Read::Check,
                ..Mark::default()
            });
        self.pulse()
    }

    /// The name went away, with all below: whoever holds a file open writes to no captured path any more.
    pub fn forget_open(&mut self, path: &RepoPath) {
        if self.open.is_empty() {
            return;
        }
        for below in keys_below(&self.open, path) {
            self.open.remove(&below);
        }
        self.open.remove(path);
    }

    /// The files open for writing.
    #[must_use]
    pub fn open(&self) -> Vec<RepoPath> {
        self.open.keys().cloned().collect()
    }

    /// The other names of the file at `path`.
    #[must_use]
    pub fn siblings(&self, path: &RepoPath) -> Vec<RepoPath> {
        let Some(names) = self
            .links
            .inode
            .get(path)
            .and_then(|i| self.links.names.get(i))
        else {
            return Vec::new();
        };
        names.iter().filter(|n| *n != path).cloned().collect()
    }

    /// What the known names of that inode were at the last swap; `None` if it was not known to have several.
    #[must_use]
    pub fn names_of(&self, inode: (u64, u64)) -> Option<Vec<RepoPath>> {
        let names = self.links.names.get(&inode)?;
        Some(names.iter().map(|n| self.former_name(n)).collect())
    }

    /// Whether any file is known to have several names.
    #[must_use]
    pub fn has_links(&self) -> bool {
        !self.links.inode.is_empty()
    }

    /// `path` is one name of `inode`, which has several; `None`: it is the only one. A name at the last swap.
    pub fn link(&mut self, path: &RepoPath, inode: Option<(u64, u64)>) {
        if inode.is_none() && self.links.inode.is_empty() {
            return;
        }
        let path = self.present_name(path);
        self.links.set(path, inode);
    }

    /// Names below `dir` are no names any more.
    pub fn unlink_below(&mut self, dir: &RepoPath) {
        for path in keys_below(&self.links.inode, dir) {
            self.links.set(path, None);
        }
    }
}

impl Links {
    fn set(&mut self, path: RepoPath, inode: Option<(u64, u64)>) {
        if let Some(old) = self.inode.remove(&path)
            && let Some(names) = self.names.get_mut(&old)
        {
            names.remove(&path);
            if names.is_empty() {
                self.names.remove(&old);
            }
        }
        if let Some(inode) = inode {
            self.names.entry(inode).or_default().insert(path.clone());
            self.inode.insert(path, inode);
        }
    }

    fn rename(&mut self, m: &Move) {
        if self.inode.is_empty() {
            return;
        }
        let mut keys = keys_below(&self.inode, &m.from);
        keys.push(m.from.clone());
        if m.exchange {
            keys.extend(keys_below(&self.inode, &m.to));
            keys.push(m.to.clone());
        }
        let values: Vec<_> = keys
            .into_iter()
            .filter_map(|k| Some((k.clone(), *self.inode.get(&k)?)))
            .collect();
        for (path, _) in &values {
            self.set(path.clone(), None);
        }
        for (path, inode) in values {
            self.set(renamed(&path, &m.from, &m.to, m.exchange), Some(inode));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    impl Dirty {
        fn swap(&mut self) -> Epoch {
            self.swap_but(&HashSet::new())
        }
    }

    fn who(comm: &str) -> Writer {
        Writer {
            comm: comm.to_owned(),
            ..Writer::outside()
        }
    }

    fn rename_in(dirty: &mut Dirty, from: &str, to: &str, exchange: bool) {
        let m = Move {
            from: p(from),
            to: p(to),
            exchange,
        };
        dirty.rename(m, false, &who("mv"));
    }

    #[test]
    fn marks_follow_renames_and_names_can_be_traced_back() {
        let mut d = Dirty::default();
        assert!(d.mark(&p("a/x"), Read::Always, false, &who("w")));
        assert!(!d.mark(&p("a/x"), Read::Trust, false, &who("w")));
        rename_in(&mut d, "a", "b", false);
        rename_in(&mut d, "b/x", "c", false);
        rename_in(&mut d, "c", "e", true);
        assert_eq!(d.former_name(&p("e")), p("a/x"));
        assert_eq!(d.former_name(&p("c")), p("e"));
        assert_eq!(d.present_name(&p("a/x")), p("e"));
        assert!(d.is_marked(&p("b/anything")), "all below a moved directory");
        assert!(!d.is_marked(&p("z")));
        let epoch = d.swap();
        let mark = &epoch.marks[&p("e")];
        assert_eq!(mark.read, Read::Always);
        assert_eq!(mark.writers.len(), 2);
        assert_eq!(epoch.moves.len(), 3);
        assert!(d.burst().is_none() && d.len() == 0);
    }

    #[test]
    fn what_is_given_back_has_its_present_name() {
        let mut d = Dirty::default();
        d.mark(&p("a/x"), Read::Check, true, &who("w"));
        let epoch = d.swap();
        rename_in(&mut d, "a", "b", false);
        d.mark(&p("b/x"), Read::Trust, false, &who("v"));
        d.give_back(epoch.marks);
        let again = d.swap().marks;
        let mark = &again[&p("b/x")];
        assert_eq!((mark.read, mark.tree), (Read::Check, true));
        assert_eq!(mark.writers.len(), 2);
    }

    #[test]
    fn open_files_are_checked_until_they_are_closed() {
        let mut d = Dirty::default();
        d.opened(&p("f"), &who("db"));
        d.opened(&p("f"), &who("db"));
        assert_eq!(d.len(), 0, "opening changes nothing");
        assert_eq!(d.swap().marks[&p("f")].read, Read::Check);
        rename_in(&mut d, "f", "g", false);
        d.closed(&p("g"));
        d.swap();
        assert_eq!(d.open(), [p("g")]);
        d.closed(&p("g"));
        assert_eq!(d.swap().marks[&p("g")].read, Read::Check);
        assert!(d.swap().marks.is_empty() && d.open().is_empty());
        assert!(!d.closed(&p("g")), "once more is no harm");
        d.opened(&p("d/f"), &who("db"));
        d.forget_open(&p("d"));
        assert!(d.open().is_empty());
    }

    #[test]
    fn what_is_left_for_later_is_still_marked() {
        let mut d = Dirty::default();
        for name in ["a", "b"] {
            d.mark(&p(name), Read::Always, false, &who("w"));
        }
        rename_in(&mut d, "c", "d", false);
        let later = ["b", "d", "x"].map(p).into_iter().collect();
        let epoch = d.swap_but(&later);
        let names: Vec<String> = epoch.marks.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "c", "d"]);
        assert!(d.burst().is_some() && d.len() == 1 && d.is_marked(&p("b")));
    }

    #[test]
    fn names_of_one_file_are_marked_together() {
        let mut d = Dirty::default();
        d.link(&p("a"), Some((1, 2)));
        d.link(&p("d/b"), Some((1, 2)));
        rename_in(&mut d, "d", "e", false);
        d.swap();
        d.mark(&p("a"), Read::Always, false, &who("w"));
        assert!(d.is_marked(&p("e/b")));
        assert_eq!(d.names_of((1, 2)).unwrap(), [p("a"), p("e/b")]);
        d.unlink_below(&p("e"));
        assert!(d.siblings(&p("a")).is_empty());
        d.link(&p("a"), None);
        assert!(!d.has_links());
    }
}
