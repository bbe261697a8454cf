//! The commit point: commits, an operation, steps and links become durable and visible together.

use std::collections::{BTreeMap, HashSet};

use crate::model::{
    Attr, Commit, CommitId, Entry, Link, OpId, OpKind, Operation, RefChange, RefTarget, RepoPath,
    Step, Time, TreeId,
};

use super::error::{Error, Result};
use super::record::{self, GROUPED, Kind};
use super::tables::{self, Rec};
use super::tomb::{self, Tomb};
use super::{Store, commit_code, op_code};

/// What is published together.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// Parents before children.
    pub commits: Vec<NewCommit>,
    /// Moves the refs.
    pub operation: Option<NewOperation>,
    /// Steps; the newest record of an id wins.
    pub steps: Vec<Step>,
    /// Links; a newer one of the same commit replaces the older.
    pub links: Vec<Link>,
}

/// A commit with what travels beside it.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// The commit.
    pub commit: Commit,
    /// Times and owners of the paths that it changed.
    pub attrs: Vec<Attr>,
    /// The paths that it changed and what they became (`None`: removed), for the history of each path.
    pub paths: Vec<(RepoPath, Option<Entry>)>,
}

/// An operation without its parent, which the store fills in.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// What.
    pub kind: OpKind,
    /// A line for people.
    pub description: String,
    /// The refs that move. `before` must be where each points now.
    pub refs: Vec<RefChange>,
    /// For undo and redo: the operation that is reversed or done again.
    pub target: Option<OpId>,
    /// The workspace's commit before and after, where the operation wrote the workspace.
    pub workspace: Option<(CommitId, CommitId)>,
    /// When.
    pub time: Time,
}

/// What was published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// The commits' ids, in the order given.
    pub commits: Vec<CommitId>,
    /// The operation's sequence number and id.
    pub operation: Option<(u64, OpId)>,
}

/// A record to be appended and then taken into the index.
struct New {
    kind: Kind,
    id: [u8; 32],
    raw: Vec<u8>,
}

impl Store {
    /// Appends all of it, makes it durable with one sync, and then visible. After a crash all of it is there, or
    /// nothing if it was not acknowledged. What was put before is durable too when this returns.
    ///
    /// [`Error::RefMoved`] if a ref is not where the operation says it was; nothing is written then.
    pub fn publish(&self, p: Publication) -> Result<Published> {
        self.publish_with(p, &[], true)
    }

    /// Writes down what is not to be there any more (or is back), together with an operation. It does not remove anything.
    pub fn bury(&self, tombs: &[Tomb], operation: Option<NewOperation>) -> Result<Published> {
        let p = Publication {
            operation,
            ..Publication::default()
        };
        self.publish_with(p, tombs, true)
    }

    /// Takes in a commit of another store, whose content may be gone in part there.
    pub fn take_commit(
        &self,
        commit: NewCommit,
        partial: bool,
        tombs: &[Tomb],
    ) -> Result<Published> {
        let p = Publication {
            commits: vec![commit],
            ..Publication::default()
        };
        self.publish_with(p, tombs, !partial)
    }

    /// The same with tombstones, which come last. `whole`: what the commits hold must be there.
    fn publish_with(&self, p: Publication, tombs: &[Tomb], whole: bool) -> Result<Published> {
        let writer = self.core.writer();
        self.core.ready_with(&writer)?;
        let mut new = Vec::new();
        let mut out = Published::default();
        let mut known = HashSet::new();
        for c in &p.commits {
            out.commits
                .push(self.new_commit(c, whole, &mut known, &mut new)?);
        }
        if let Some(op) = p.operation {
            out.operation = Some(self.new_operation(op, &known, &mut new)?);
        }
        for step in &p.steps {
            new.push(New {
                kind: Kind::Step,
                id: step.id.0,
                raw: json("a step", step)?,
            });
        }
        for link in &p.links {
            self.known_commit(link.commit, &known)?;
            new.push(New {
                kind: Kind::Link,
                id: link.commit.0,
                raw: json("a link", link)?,
            });
        }
        for tomb in tombs {
            let [_, id @ ..] = tomb.gone.key();
            new.push(New {
                kind: Kind::Tombstone,
                id,
                raw: tomb::encode(tomb),
            });
        }
        if new.is_empty() {
            drop(writer);
            self.sync()?;
            return Ok(out);
        }

        let mut records: Vec<Vec<u8>> = new
            .iter()
            .map(|n| record::encode(n.kind, GROUPED, &n.id, &n.raw))
            .collect();
        let mut moving = None;
        let appended = self.core.packs.append_group(&mut records, |_| {
            moving = Some(self.core.take_pending());
        })?;
        drop(records);
        let moving = moving.unwrap_or_default();
        if let Err(e) = self.core.packs.sync() {
            self.core.doubt();
            return Err(e);
        }
        self.core
            .index_with(&moving, Some(appended.end), |tables| {
                for (n, place) in new.iter().zip(&appended.places) {
                    tables.apply(&Rec {
                        kind: n.kind,
                        flags: GROUPED,
                        id: &n.id,
                        place: *place,
                        len: n.raw.len() as u64,
                        raw: &n.raw,
                    })?;
                }
                Ok(())
            })?;
        if out.operation.is_some() {
            self.core.refs_moved();
        }
        Ok(out)
    }

    fn new_commit(
        &self,
        c: &NewCommit,
        whole: bool,
        known: &mut HashSet<CommitId>,
        new: &mut Vec<New>,
    ) -> Result<CommitId> {
        let raw = commit_code::encode(&c.commit);
        let id = commit_code::id_of(&raw);
        if known.contains(&id) || self.seq(id)?.is_some() {
            return Ok(id);
        }
        for parent in &c.commit.parents {
            self.known_commit(*parent, known)?;
        }
        let trees = [Some(c.commit.tree), c.commit.git];
        for tree in trees
            .into_iter()
            .flatten()
            .chain(c.commit.conflict.iter().copied())
            .filter(|_| whole)
        {
            self.known_tree(tree)?;
        }
        if let Some(state) = c.commit.state
            && whole
            && !self.has_blob(state)?
        {
            return Err(Error::NotFound {
                what: "blob",
                id: state.to_hex(),
            });
        }
        known.insert(id);
        new.push(New {
            kind: Kind::Commit,
            id: id.0,
            raw,
        });
        if !c.attrs.is_empty() {
            new.push(New {
                kind: Kind::Attrs,
                id: id.0,
                raw: commit_code::encode_attrs(&c.attrs),
            });
        }
        if !c.paths.is_empty() {
            new.push(New {
                kind: Kind::Changes,
                id: id.0,
                raw: commit_code::encode_changes(&c.paths),
            });
        }
        Ok(id)
    }

    fn new_operation(
        &self,
        op: NewOperation,
        known: &HashSet<CommitId>,
        new: &mut Vec<New>,
    ) -> Result<(u64, OpId)> {
        let mut refs: BTreeMap<String, Option<RefTarget>> = BTreeMap::new();
        for change in &op.refs {
            let now = match refs.get(&change.name) {
                Some(now) => now.clone(),
                None => self.get_ref(&change.name)?,
            };
            if now != change.before {
                if self.log_says(&change.name)? == change.before {
                    // A damaged page can be misread without a sign: the caller is right, the table of refs is not. It is
                    // made anew before the next write.
                    self.core.doubt();
                }
                return Err(Error::RefMoved {
                    name: change.name.clone(),
                });
            }
            if let Some(RefTarget::Commit(id)) = &change.after {
                self.known_commit(*id, known)?;
            }
            refs.insert(change.name.clone(), change.after.clone());
        }
        let last = self.core.index.read(|tx| {
            use redb::ReadableTable as _;
            let log = tx.open_table(tables::OPLOG)?;
            let last = log.last()?;
            Ok(last.map(|(seq, v)| (seq.value(), v.value().first_chunk::<32>().copied())))
        })?;
        let raw = op_code::encode(&Operation {
            parent: last.and_then(|(_, id)| id).map(OpId),
            time: op.time,
            kind: op.kind,
            description: op.description,
            refs: op.refs,
            target: op.target,
            workspace: op.workspace,
        });
        let id = op_code::id_of(&raw);
        new.push(New {
            kind: Kind::Operation,
            id: id.0,
            raw,
        });
        Ok((last.map_or(0, |(seq, _)| seq) + 1, id))
    }

    /// Where the operation log says that `name` points: slow, for when the table of refs is in question.
    fn log_says(&self, name: &str) -> Result<Option<RefTarget>> {
        let mut before = None;
        loop {
            let page = self.operations(before, 256)?;
            let moved = page
                .iter()
                .find_map(|(_, _, op)| op.refs.iter().rev().find(|r| r.name == name));
            if let Some(change) = moved {
                return Ok(change.after.clone());
            }
            match page.last() {
                Some((seq, _, _)) => before = Some(*seq),
                None => return Ok(None),
            }
        }
    }

    fn known_commit(&self, id: CommitId, known: &HashSet<CommitId>) -> Result<()> {
        if known.contains(&id) || self.seq(id)?.is_some() {
            return Ok(());
        }
        Err(Error::NotFound {
            what: "commit",
            id: id.to_hex(),
        })
    }

    fn known_tree(&self, id: TreeId) -> Result<()> {
        if self.has_tree(id)? {
            return Ok(());
        }
        Err(Error::NotFound {
            what: "tree",
            id: id.to_hex(),
        })
    }
}

pub(crate) fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Invalid {
        what,
        why: e.to_string(),
    })
}
