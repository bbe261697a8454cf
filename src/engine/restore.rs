//! Restoring a selection: files, hunks or lines of a past state come back into the workspace, and nothing else changes.
//!
//! It goes the way of a rollback (frozen agents, closed gate, safety commit, journal, one operation that undo reverses).
//! As with a merge, the state to go to is made after the safety commit, of the files as they are then: what an agent wrote
//! until the last moment stays. The commit is stored first, then the journal, the files, the ref.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::capture::failpoint::point;
use crate::debug::rev;
use crate::diff::text::{MAX_BYTES, is_binary};
use crate::diff::tree::trees;
use crate::merge::objects::{Made, lookup, with_entries};
use crate::model::{
    Cause, Commit, CommitId, Entry, Kind, OpKind, Ordinal, RepoPath, Time, Tree, TreeId,
};
use crate::store::{self, NewCommit, Publication, Store};

use super::api::{ApiError, ErrorCode, Part, Resolved, RestoreReport};
use super::core::{Core, Failure};
use super::restore_lines::graft;
use super::world::{Move, report};

/// Most parts of one request.
const MOST: usize = 10_000;

/// What is wanted, of which state.
struct Wanted<'a> {
    past: TreeId,
    /// In words, for people.
    when: String,
    /// The state holds only what a recording tells of: what is not in it may have been there.
    told_only: bool,
    parts: &'a [Part],
}

impl Core {
    /// Brings parts of a past state back.
    pub(super) fn restore(
        &self,
        text: &str,
        parts: &[Part],
        dry_run: bool,
        keep_frozen: bool,
    ) -> Result<RestoreReport, Failure> {
        let _one = self.world();
        // Named before anything is cut: `@~1` and `10m ago` mean what the person saw.
        let named = rev::resolve(&self.store, &*self.store, text, Time::now())?;
        let past = self.answers().resolved(named.commit, named.step)?;
        let wanted = Wanted {
            past: past.tree,
            when: when(&past),
            told_only: self.refuse_imported(named.commit).is_err(),
            parts,
        };
        self.recover()?;
        self.cut(Cause::Safety, None, None)?;
        let recorder = self.scanned()?;
        let (head, tree) = recorder.head().ok_or(rev::Error::Empty)?;
        let new = wanted.tree(&self.store, tree)?;
        if dry_run || new == tree {
            let plan = self.plan(&recorder, tree, new)?;
            let target = Resolved {
                commit: head,
                tree: new,
                step: None,
            };
            let from = self.answers().resolved(head, None)?;
            return Ok(RestoreReport {
                changes: self.answers().changes(tree, new, &[])?,
                report: report(dry_run, from, target, plan, None),
                past,
            });
        }
        let description = described(parts, &wanted.when);
        let made = RefCell::new((tree, new));
        let make = |head: CommitId| -> Result<CommitId, Failure> {
            let tree = self.store.commit(head)?.tree;
            // What was changed until this moment is part of it.
            let new = wanted.tree(&self.store, tree)?;
            *made.borrow_mut() = (tree, new);
            self.restored_commit(head, tree, new, &description)
        };
        let report = self.go(&Move {
            kind: OpKind::Restore,
            target: None,
            description: &description,
            reverses: None,
            keep_mtime: false,
            keep_frozen,
            of: None,
            switch: None,
            make: Some(&make),
        })?;
        if let Some(counter) = self.counter.get() {
            counter.count(&[report.target.commit]);
        }
        let (tree, new) = made.into_inner();
        Ok(RestoreReport {
            changes: self.answers().changes(tree, new, &[])?,
            report,
            past,
        })
    }

    /// Stores the commit that has `new` after `head`; that itself, when nothing differs any more.
    fn restored_commit(
        &self,
        head: CommitId,
        tree: TreeId,
        new: TreeId,
        description: &str,
    ) -> Result<CommitId, Failure> {
        if new == tree {
            return Ok(head);
        }
        let before = self.store.commit(head)?;
        let mut meta = BTreeMap::new();
        meta.insert("branch".to_owned(), rev::branch(&self.store)?);
        let commit = Commit {
            parents: vec![head],
            tree: new,
            git: before.git,
            state: before.state,
            author: "person".to_owned(),
            session: None,
            time: Time::now(),
            cause: Cause::Manual,
            message: description.to_owned(),
            meta,
            conflict: Vec::new(),
        };
        let id = store::commit_id(&commit);
        let changes = trees(&self.store, tree, new, &[])?;
        self.store.publish(Publication {
            commits: vec![NewCommit {
                commit,
                attrs: Vec::new(),
                paths: changes.into_iter().map(|c| (c.path, c.after)).collect(),
            }],
            ..Publication::default()
        })?;
        point("selection.commit-stored");
        Ok(id)
    }
}

fn when(past: &Resolved) -> String {
    step_or_commit(past.step, past.commit)
}

fn step_or_commit(step: Option<Ordinal>, commit: CommitId) -> String {
    step.map_or_else(|| commit.short(), |s| format!("step {s}"))
}

/// What the operation is called.
fn described(parts: &[Part], when: &str) -> String {
    let paths: BTreeSet<&RepoPath> = parts.iter().map(Part::path).collect();
    let only = paths.first().filter(|_| paths.len() == 1);
    let lines = parts.iter().any(|p| matches!(p, Part::Lines { .. }));
    match only {
        Some(path) if lines => format!("restored lines of {path} as at {when}"),
        Some(path) => format!("restored {path} as at {when}"),
        None => format!("restored {} files as at {when}", paths.len()),
    }
}

fn refused(message: String) -> Failure {
    ApiError::new(ErrorCode::Refused, message).into()
}

impl Wanted<'_> {
    /// The tree `now` with what is wanted. What it is made of is in the store afterwards.
    fn tree(&self, store: &Store, now: TreeId) -> Result<TreeId, Failure> {
        if self.parts.is_empty() || self.parts.len() > MOST {
            return Err(refused(format!(
                "{} parts were named to be restored: name 1 to {MOST}",
                self.parts.len()
            )));
        }
        let mut made = Made::default();
        let mut entries = BTreeMap::new();
        let mut nowhere = None;
        for part in self.parts {
            let path = part.path();
            if path.is_root() {
                return Err(refused(
                    "the whole project cannot be restored as a part of itself: roll back to that state"
                        .to_owned(),
                ));
            }
            let there = lookup(store, self.past, path)?;
            let here = lookup(store, now, path)?;
            if there.is_none() && here.is_none() {
                // It is as it was already; but when nothing else is asked for, it was mistyped.
                nowhere.get_or_insert(path);
                continue;
            }
            self.known(path, there.as_ref(), here.as_ref())?;
            let entry = match part {
                Part::Whole { .. } => there,
                Part::Lines { of, lines, .. } => {
                    let past = self.text(store, path, there.as_ref(), &self.when)?;
                    if there.as_ref().and_then(|e| e.kind.blob()) != Some(*of) {
                        return Err(refused(format!(
                            "{path} at {} is not the content that the lines were picked of: look at it again",
                            self.when
                        )));
                    }
                    let present = match &here {
                        // Its lines come back into nothing.
                        None => Vec::new(),
                        here => self.text(store, path, here.as_ref(), "now")?,
                    };
                    let content = graft(&present, &past, lines);
                    here.or(there).map(|entry| Entry {
                        kind: made.blob(content),
                        ..entry
                    })
                }
            };
            entries.insert(path.clone(), entry);
        }
        if let Some(path) = nowhere.filter(|_| entries.is_empty()) {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("{path} is neither at {} nor in the workspace", self.when),
            )
            .into());
        }
        let mut root = with_entries(&mut made, store, now, &entries)?;
        root = self.directories(&mut made, store, (now, root), entries.keys())?;
        made.keep(store, root)?;
        Ok(root)
    }

    /// Refuses what is not known.
    fn known(
        &self,
        path: &RepoPath,
        there: Option<&Entry>,
        here: Option<&Entry>,
    ) -> Result<(), Failure> {
        match (there, here) {
            (None, Some(_)) if self.told_only => Err(refused(format!(
                "the recording tells nothing of {path} at {}, so that it cannot be taken away",
                self.when
            ))),
            (Some(entry), _) if self.told_only && entry.kind.tree().is_some() => Err(refused(
                format!("the recording tells only of some files in {path}: name the files"),
            )),
            (
                Some(Entry {
                    kind: Kind::Unknown { .. },
                    ..
                }),
                _,
            ) => Err(refused(format!(
                "the content of {path} at {} is not known",
                self.when
            ))),
            _ => Ok(()),
        }
    }

    /// The content of a text file.
    fn text(
        &self,
        store: &Store,
        path: &RepoPath,
        entry: Option<&Entry>,
        when: &str,
    ) -> Result<Vec<u8>, Failure> {
        let Some(Entry {
            kind: Kind::File { blob, size },
            ..
        }) = entry
        else {
            return Err(refused(format!(
                "{path} is no file {when}: restore it as a whole"
            )));
        };
        let limit = MAX_BYTES as u64;
        if *size > limit {
            return Err(refused(format!(
                "{path} is too long to be compared by lines {when} ({size} bytes, at most {limit}): restore it as a whole"
            )));
        }
        let bytes = store.blob(*blob)?;
        if is_binary(&bytes) {
            return Err(refused(format!(
                "{path} is binary {when}: restore it as a whole"
            )));
        }
        Ok(bytes)
    }

    /// Directories above what came or went: new ones get the mode that they had, and one that was there at both times
    /// stays although it holds nothing now.
    fn directories<'a>(
        &self,
        made: &mut Made,
        store: &Store,
        (now, mut root): (TreeId, TreeId),
        paths: impl Iterator<Item = &'a RepoPath>,
    ) -> Result<TreeId, Failure> {
        let mut dirs = BTreeSet::new();
        for path in paths {
            let mut at = path.parent();
            while let Some(dir) = at.filter(|d| !d.is_root()) {
                at = dir.parent();
                dirs.insert(dir);
            }
        }
        // What is above comes first.
        for dir in dirs {
            let is_dir = |e: &Entry| e.kind.tree().is_some();
            let then = lookup(store, self.past, &dir)?.filter(is_dir);
            let before = lookup(store, now, &dir)?.filter(is_dir);
            let after = lookup(&made.over(store), root, &dir)?;
            let entry = match (then, before, after) {
                (Some(_), Some(before), None) => Entry {
                    kind: Kind::Dir(made.tree(Tree::default())),
                    ..before
                },
                (Some(then), None, Some(after)) if is_dir(&after) && after.mode != then.mode => {
                    Entry {
                        mode: then.mode,
                        ..after
                    }
                }
                _ => continue,
            };
            root = with_entries(made, store, root, &BTreeMap::from([(dir, Some(entry))]))?;
        }
        Ok(root)
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
