//! What a rollback may do while it has the turn: save what is there, and tell the recorder what it wrote.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use super::apply::node_of;
use super::cut::{Cut, Made};
use super::disk::{Stamp, Stat, Type};
use super::error::Result;
use super::found::{Content, Seen};
use super::recorder::Recorder;
use super::settings;
use super::workspace::Node;
use crate::model::{BlobId, CommitId, Entry, Kind, RepoPath, Tree, TreeId};
use crate::store::{self, Store};

/// The turn, for as long as the closure given to [`Recorder::exclusive`] runs.
pub struct Exclusive<'a> {
    recorder: &'a Recorder,
}

impl<'a> Exclusive<'a> {
    pub(super) fn new(recorder: &'a Recorder) -> Self {
        Self { recorder }
    }

    /// Cuts a checkpoint, as [`Recorder::cut`] does.
    pub fn cut(&self, cut: Cut<'_>) -> Result<Made> {
        self.recorder.cut_in_turn(&cut, &HashSet::new(), None)
    }

    /// Cuts a checkpoint that keeps the agent's own state, which is in the store already.
    pub fn cut_with_state(&self, cut: Cut<'_>, state: BlobId) -> Result<Made> {
        self.recorder
            .cut_in_turn(&cut, &HashSet::new(), Some(state))
    }

    /// Cuts a checkpoint, but leaves the changes of these paths for the next one.
    pub fn cut_but(&self, cut: Cut<'_>, later: &HashSet<RepoPath>) -> Result<Made> {
        self.recorder.cut_in_turn(&cut, later, None)
    }

    /// The branch was renamed while the workspace stayed as it is: its name is read again.
    pub fn refs_moved(&self) -> Result<()> {
        self.recorder.reposition()
    }

    /// The workspace was brought to `to`, whose tree is `tree`, by writing the paths `touched`; the refs say so
    /// already. Where the disk does not hold what the tree says, the path counts as changed from outside.
    pub fn adopt(&self, to: CommitId, tree: TreeId, touched: &[RepoPath]) -> Result<()> {
        let me = self.recorder;
        me.reposition()?;
        me.state().head = Some((to, tree));
        let mut then = Then {
            store: &me.store,
            root: tree,
            trees: HashMap::new(),
        };
        let mut paths: Vec<&RepoPath> = touched.iter().collect();
        paths.sort_unstable();
        let mut odd = Vec::new();
        let mut workspace = me.workspace.write().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            let entry = then.entry(path)?;
            let stat = me.ground.disk.stat(path).unwrap_or_default();
            match (&entry, &stat) {
                (None, None) => {
                    workspace.remove(path);
                }
                (Some(entry), Some(stat)) => match written(entry, stat) {
                    Some(node) => {
                        if !workspace.set(path, node) {
                            odd.push(path.clone());
                        }
                    }
                    None => odd.push(path.clone()),
                },
                _ => odd.push(path.clone()),
            }
        }
        drop(workspace);
        for path in touched {
            if path.name() == b".gitignore" {
                me.rules().forget(&path.parent().unwrap_or_default());
            }
            if path.as_bytes() == settings::FILE.as_bytes() {
                me.reload_settings();
            }
        }
        for path in odd {
            me.outside(&path);
        }
        Ok(())
    }
}

/// What `entry` is as the disk shows it; `None` if the disk cannot hold it.
fn written(entry: &Entry, stat: &Stat) -> Option<Node> {
    let content = match (&entry.kind, stat.kind) {
        (Kind::Dir(_), Type::Dir) | (Kind::Fifo, Type::Fifo) | (Kind::Socket, Type::Socket) => {
            Content::Nothing
        }
        (Kind::File { blob, size }, Type::File) if *size == stat.stamp.size => Content::Blob {
            blob: *blob,
            size: *size,
            still: true,
        },
        (Kind::Symlink(target), Type::Symlink) if target.len() as u64 == stat.stamp.size => {
            Content::Target(target.clone())
        }
        (Kind::Device { block, rdev }, Type::Device { block: b })
            if *block == b && *rdev == stat.rdev =>
        {
            Content::Nothing
        }
        _ => return None,
    };
    // Nobody read it back: should anything about it be reported as changed, then it is read.
    let stamp = Stamp {
        ctime_ns: i64::MIN,
        ..stat.stamp
    };
    Some(node_of(&Seen {
        stat: *stat,
        stamp,
        content,
    }))
}

/// Entries of one tree by path.
struct Then<'a> {
    store: &'a Store,
    root: TreeId,
    trees: HashMap<RepoPath, Option<Arc<Tree>>>,
}

impl Then<'_> {
    fn entry(&mut self, path: &RepoPath) -> store::Result<Option<Entry>> {
        let Some(parent) = path.parent() else {
            return Ok(None);
        };
        if !self.trees.contains_key(&parent) {
            let mut tree = Some(self.store.tree(self.root)?);
            for part in parent.parts() {
                let id = tree.and_then(|t| t.get(part)?.kind.tree());
                tree = match id {
                    Some(id) => Some(self.store.tree(id)?),
                    None => None,
                };
            }
            self.trees.insert(parent.clone(), tree);
        }
        let tree = self.trees.get(&parent).and_then(Option::as_ref);
        Ok(tree.and_then(|t| t.get(path.name())).cloned())
    }
}
