//! From what a sweep found to the workspace: each path's answer becomes what is known of it.

use super::cut::Notes;
use super::disk::Type;
use super::found::{Content, Findings, Found, Seen};
use super::ignore_rules::Reach;
use super::recorder::{Recorder, State};
use super::subtree;
use super::workspace::{Node, Other, What, Workspace};
use crate::model::{Kind, RepoPath};

/// What the workspace keeps of a thing that was looked at.
pub(super) fn node_of(seen: &Seen) -> Node {
    let (stat, stamp) = (&seen.stat, seen.stamp);
    let other = |kind| What::Other(Box::new(Other { kind, stamp }));
    let what = match (&seen.content, stat.kind) {
        (Content::Blob { blob, size, .. }, _) => What::File {
            blob: *blob,
            size: *size,
            dev: stamp.dev,
            ino: stamp.ino,
            mtime_ns: stamp.mtime_ns,
            ctime_ns: if stamp.size == *size {
                stamp.ctime_ns
            } else {
                i64::MIN
            },
        },
        (Content::Target(target), _) => other(Kind::Symlink(target.clone())),
        (Content::Nothing, Type::Fifo) => other(Kind::Fifo),
        (Content::Nothing, Type::Socket) => other(Kind::Socket),
        (Content::Nothing, Type::Device { block }) => other(Kind::Device {
            block,
            rdev: stat.rdev,
        }),
        (Content::Nothing, _) => What::Dir {
            dev: stamp.dev,
            ino: stamp.ino,
        },
    };
    let mode = if stat.kind == Type::Symlink {
        0o777
    } else {
        stat.mode as u16
    };
    Node {
        what,
        mode,
        uid: stat.uid,
        gid: stat.gid,
    }
}

/// What the state learns of a path besides the workspace.
enum Lesson {
    /// It is not there, nor anything below it.
    Gone,
    /// It is left out; whether it is a directory.
    LeftOut(bool),
    /// It is captured; the inode, if it has several names.
    Captured(Option<(u64, u64)>),
}

impl State {
    fn learn(&mut self, path: RepoPath, lesson: Lesson) {
        match lesson {
            Lesson::Gone => {
                self.dirty.link(&path, None);
                self.dirty.unlink_below(&path);
                for below in subtree::keys_below(&self.left_out, &path) {
                    self.left_out.remove(&below);
                }
                self.left_out.remove(&path);
            }
            Lesson::LeftOut(is_dir) => {
                self.left_out.insert(path, is_dir);
            }
            Lesson::Captured(inode) => {
                self.dirty.link(&path, inode);
                self.left_out.remove(&path);
            }
        }
    }
}

impl Recorder {
    /// Brings what was found into the workspace. The paths that did not hold still while they were read.
    pub(super) fn apply(
        &self,
        workspace: &mut Workspace,
        findings: Findings,
        notes: &mut Notes,
    ) -> Vec<RepoPath> {
        notes.problems.extend(findings.problems);
        let mut restless = Vec::new();
        // The state is not held meanwhile: whoever changes something needs it.
        let plain = {
            let state = self.state();
            state.left_out.is_empty() && !state.dirty.has_links()
        };
        let mut lessons = Vec::new();
        for (dir, names) in findings.names {
            if findings.listed.contains(&dir) {
                workspace.retain(&dir, |name| names.contains_key(name));
            }
            let blank = workspace.is_blank(&dir);
            let mut nodes = Vec::new();
            for (name, found) in names {
                let Ok(path) = dir.join(&name) else { continue };
                match found {
                    Found::Absent => {
                        workspace.remove(&path);
                        if !plain {
                            lessons.push((path, Lesson::Gone));
                        }
                    }
                    Found::LeftOut(is_dir) => {
                        workspace.remove(&path);
                        lessons.push((path, Lesson::LeftOut(is_dir)));
                    }
                    Found::Unreadable(why) => notes.problems.push(why),
                    Found::There(seen) => {
                        let mut inode = None;
                        if let Content::Blob { still, .. } = seen.content {
                            if seen.stat.nlink > 1 {
                                inode = Some((seen.stamp.dev, seen.stamp.ino));
                            }
                            if !still {
                                restless.push(path.clone());
                            }
                        }
                        if blank {
                            nodes.push((name, node_of(&seen)));
                        } else {
                            workspace.set(&path, node_of(&seen));
                        }
                        if inode.is_some() || !plain {
                            lessons.push((path, Lesson::Captured(inode)));
                        }
                    }
                }
            }
            if !nodes.is_empty() {
                workspace.fill(&dir, nodes);
            }
        }
        if !lessons.is_empty() {
            let mut state = self.state();
            for (path, lesson) in lessons {
                state.learn(path, lesson);
            }
        }
        restless
    }

    /// Forgets what the changed rules leave out now.
    pub(super) fn drop_left_out(&self, workspace: &mut Workspace, notes: &Notes) {
        let rules = self.rules();
        let limit = rules.settings().ignored_file_limit;
        let plain = rules.settings().exclude.is_empty();
        let mut out = Vec::new();
        for top in &notes.reconsider {
            for dir in workspace.dirs_within(top) {
                let reach = rules.reach(&dir);
                if reach == Reach::Out {
                    out.push((dir, true));
                    continue;
                }
                for (name, node) in workspace.children(&dir) {
                    let size = node.stamp().map_or(0, |s| s.size);
                    if node.is_dir() || (reach == Reach::Whole && plain && size <= limit) {
                        continue;
                    }
                    if let Ok(path) = dir.join(name)
                        && !rules.captures(&path, false, size)
                    {
                        out.push((path, false));
                    }
                }
            }
        }
        let mut state = self.state();
        for (path, is_dir) in out {
            if workspace.remove(&path).is_some() {
                state.left_out.insert(path, is_dir);
            }
        }
    }
}
