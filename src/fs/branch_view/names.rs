//! A branch view: what makes, removes and moves names.
//!
//! Nothing below a directory is copied or visited when it is renamed: its children name it by number, and what was not
//! changed in it is found through its origin.

use rustix::io::Errno;

use super::super::attr::FileKind;
use super::super::inode::ROOT;
use super::super::view::{Ctx, Entry, Fault, Opened, RenameKind, Special};
use super::nodes::{Link, Nodes};
use super::table::{Facts, Op, Saved};
use super::view::BranchView;
use crate::capture::restore::is_staging_name;
use crate::model::{RepoPath, Touch};

/// O_EXCL as it comes in a CREATE request.
const EXCLUSIVE: i32 = rustix::fs::OFlags::EXCL.bits().cast_signed();

/// What is to be made.
struct Make<'a> {
    kind: FileKind,
    mode: u32,
    rdev: (u32, u32),
    content: &'a [u8],
}

fn allowed(name: &[u8]) -> Result<(), Errno> {
    if name.len() > 255 {
        return Err(Errno::NAMETOOLONG);
    }
    // Such names are shown nowhere: a file made under one would be lost.
    if is_staging_name(name) {
        return Err(Errno::ACCESS);
    }
    Ok(())
}

impl BranchView {
    /// Makes a node and its name, and returns its number.
    fn make_node(
        &self,
        nodes: &mut Nodes,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
        what: &Make<'_>,
    ) -> Result<u64, Errno> {
        if self.child(nodes, dir, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let times = self.own_times(nodes, dir)?;
        self.commit(nodes, &times)?;
        let above = nodes.get(dir)?.facts;
        let inherits = above.mode & 0o2000 != 0;
        let mut mode = what.mode & 0o7777;
        if inherits && what.kind == FileKind::Dir {
            mode |= 0o2000;
        }
        let id = nodes.fresh();
        let file = self.make_upper(id)?;
        let mut done = 0;
        let made = loop {
            let rest = &what.content[done..];
            if rest.is_empty() {
                break Ok(());
            }
            match rustix::io::pwrite(&file, rest, done as u64) {
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(e) => break Err(e),
            }
        };
        let saved = Saved {
            facts: Facts {
                kind: what.kind,
                mode,
                uid: ctx.uid,
                gid: if inherits { above.gid } else { ctx.gid },
                rdev: what.rdev,
            },
            origin: None,
            upper: true,
            copied: None,
        };
        let made = made.and_then(|()| {
            self.commit(
                nodes,
                &[
                    Op::Node { id, saved },
                    Op::Name {
                        dir,
                        name: name.to_vec(),
                        id,
                    },
                ],
            )
        });
        if let Err(e) = made {
            self.drop_upper(id);
            return Err(e);
        }
        self.touch(dir);
        Ok(id)
    }

    fn make(&self, ctx: &Ctx, dir: u64, name: &[u8], what: &Make<'_>) -> Result<Entry, Fault> {
        allowed(name)?;
        let _space = self.steady();
        let path = self.prepared_name(ctx, dir, name)?;
        let entry = {
            let mut nodes = self.nodes();
            let id = self.make_node(&mut nodes, ctx, dir, name, what)?;
            self.enter(&mut nodes, id)
        };
        self.observer.changed(&path, Touch::Create, &ctx.who);
        Ok(entry?)
    }

    pub(super) fn do_mknod(
        &self,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
        mode: u32,
        kind: Special,
    ) -> Result<Entry, Fault> {
        let (kind, rdev) = match kind {
            Special::File => (FileKind::File, (0, 0)),
            Special::Fifo => (FileKind::Fifo, (0, 0)),
            Special::Socket => (FileKind::Socket, (0, 0)),
            Special::Char(a, b) => (FileKind::Char, (a, b)),
            Special::Block(a, b) => (FileKind::Block, (a, b)),
        };
        let what = Make {
            kind,
            mode,
            rdev,
            content: &[],
        };
        self.make(ctx, dir, name, &what)
    }

    pub(super) fn do_mkdir(
        &self,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
        mode: u32,
    ) -> Result<Entry, Fault> {
        let what = Make {
            kind: FileKind::Dir,
            mode,
            rdev: (0, 0),
            content: &[],
        };
        self.make(ctx, dir, name, &what)
    }

    pub(super) fn do_symlink(
        &self,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry, Fault> {
        if target.is_empty() {
            return Err(Errno::NOENT.into());
        }
        let what = Make {
            kind: FileKind::Symlink,
            mode: 0o777,
            rdev: (0, 0),
            content: target,
        };
        self.make(ctx, dir, name, &what)
    }

    pub(super) fn do_create(
        &self,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
        mode: u32,
        flags: i32,
    ) -> Result<(Entry, Opened), Fault> {
        let what = Make {
            kind: FileKind::File,
            mode,
            rdev: (0, 0),
            content: &[],
        };
        let entry = match self.make(ctx, dir, name, &what) {
            // Came to be behind the kernel's back, below: it looks again.
            Err(Fault::Os(Errno::EXIST)) if flags & EXCLUSIVE == 0 => {
                return Err(Errno::STALE.into());
            }
            other => other?,
        };
        let writes = super::super::live_write::backing_flags(flags).1;
        match self.opened(ctx, entry.attr.ino, writes) {
            Ok(opened) => Ok((entry, opened)),
            Err(e) => {
                self.do_forget(entry.attr.ino, 1);
                Err(e.into())
            }
        }
    }

    pub(super) fn do_link(
        &self,
        ctx: &Ctx,
        id: u64,
        dir: u64,
        name: &[u8],
    ) -> Result<Entry, Fault> {
        allowed(name)?;
        let _space = self.steady();
        let path = self.prepared_name(ctx, dir, name)?;
        // What has two names is the branch's own: the layers below know nothing of the second.
        self.own(id, u64::MAX)?;
        let entry = {
            let mut nodes = self.nodes();
            let node = nodes.get(id)?;
            if node.is_dir() {
                return Err(Errno::PERM.into());
            }
            if node.names.is_empty() {
                return Err(Errno::NOENT.into());
            }
            if self.child(&mut nodes, dir, name)?.is_some() {
                return Err(Errno::EXIST.into());
            }
            let times = self.own_times(&nodes, dir)?;
            self.commit(&mut nodes, &times)?;
            let name = name.to_vec();
            self.commit(&mut nodes, &[Op::Name { dir, name, id }])?;
            self.touch(dir);
            self.bump(&nodes, id);
            self.enter(&mut nodes, id)
        };
        self.observer.changed(&path, Touch::Create, &ctx.who);
        Ok(entry?)
    }

    pub(super) fn do_unlink(
        &self,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
        directory: bool,
    ) -> Result<(), Fault> {
        let _space = self.steady();
        let path = self.prepared_name(ctx, dir, name)?;
        let moved = {
            let mut nodes = self.nodes();
            let id = self.child(&mut nodes, dir, name)?.ok_or(Errno::NOENT)?;
            match (nodes.get(id)?.is_dir(), directory) {
                (true, false) => return Err(Errno::ISDIR.into()),
                (false, true) => return Err(Errno::NOTDIR.into()),
                (true, true) if !self.listing(&nodes, id)?.is_empty() => {
                    return Err(Errno::NOTEMPTY.into());
                }
                _ => {}
            }
            let times = self.own_times(&nodes, dir)?;
            self.commit(&mut nodes, &times)?;
            let was = self.before_removal(&nodes, id, dir, name);
            let op = nodes.removal(dir, name);
            self.commit(&mut nodes, &[op])?;
            self.touch(dir);
            self.removed(&mut nodes, id, was)
        };
        self.tell_moved(ctx, moved);
        self.observer.changed(&path, Touch::Remove, &ctx.who);
        Ok(())
    }

    /// The path under which `id` is open for writing, if it is by this name.
    fn before_removal(&self, nodes: &Nodes, id: u64, dir: u64, name: &[u8]) -> Option<RepoPath> {
        let link = Link {
            dir,
            name: name.into(),
        };
        let open = nodes.get(id).ok()?.open_name.as_ref()?;
        (*open == link).then(|| nodes.link_path(&link)).flatten()
    }

    /// `id` has lost a name. Returns under which path it is not open for writing any more, and under which it is now.
    fn removed(
        &self,
        nodes: &mut Nodes,
        id: u64,
        was: Option<RepoPath>,
    ) -> (Option<RepoPath>, Option<RepoPath>) {
        self.bump(nodes, id);
        let mut now = None;
        if was.is_some()
            && let Ok(node) = nodes.get_mut(id)
        {
            node.open_name = node.names.first().cloned();
            let link = node.open_name.clone();
            now = link.and_then(|l| nodes.link_path(&l));
        }
        self.reap(nodes, id);
        (was, now)
    }

    fn tell_moved(&self, ctx: &Ctx, (was, now): (Option<RepoPath>, Option<RepoPath>)) {
        if let Some(path) = was {
            self.observer.closed_for_write(&path);
        }
        if let Some(path) = now {
            self.observer.opened_for_write(&path, &ctx.who);
        }
    }

    pub(super) fn do_rename(
        &self,
        ctx: &Ctx,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        kind: RenameKind,
    ) -> Result<(), Fault> {
        allowed(to.1)?;
        let _space = self.moving();
        let from_path = self.prepared_name(ctx, from.0, from.1)?;
        let to_path = self.prepared_name(ctx, to.0, to.1)?;
        let exchange = kind == RenameKind::Exchange;
        let moved = {
            let mut nodes = self.nodes();
            let source = self
                .child(&mut nodes, from.0, from.1)?
                .ok_or(Errno::NOENT)?;
            let there = self.child(&mut nodes, to.0, to.1)?;
            match (there, kind) {
                (Some(_), RenameKind::NoReplace) => return Err(Errno::EXIST.into()),
                (None, RenameKind::Exchange) => return Err(Errno::NOENT.into()),
                // Two names of one file: nothing changes.
                (Some(t), _) if t == source => return Ok(()),
                (Some(t), RenameKind::Replace) => self.may_replace(&nodes, source, t)?,
                _ => {}
            }
            Self::no_loop(&nodes, source, to.0)?;
            if let (true, Some(there)) = (exchange, there) {
                Self::no_loop(&nodes, there, from.0)?;
            }
            for dir in [from.0, to.0] {
                let times = self.own_times(&nodes, dir)?;
                self.commit(&mut nodes, &times)?;
            }
            for id in [Some(source), there.filter(|_| exchange)]
                .into_iter()
                .flatten()
            {
                let ops = nodes.save(id)?;
                self.commit(&mut nodes, &ops)?;
            }
            let was = match there {
                Some(t) if !exchange => self.before_removal(&nodes, t, to.0, to.1),
                _ => None,
            };
            let name = |(dir, name): (u64, &[u8]), id| Op::Name {
                dir,
                name: name.to_vec(),
                id,
            };
            let ops = match there {
                Some(t) if exchange => vec![name(from, t), name(to, source)],
                _ => vec![nodes.removal(from.0, from.1), name(to, source)],
            };
            self.commit(&mut nodes, &ops)?;
            self.renamed_open(&mut nodes, source, from, to);
            if let (true, Some(t)) = (exchange, there) {
                self.renamed_open(&mut nodes, t, to, from);
            }
            self.touch(from.0);
            self.touch(to.0);
            self.bump(&nodes, source);
            match there {
                Some(t) if !exchange => self.removed(&mut nodes, t, was),
                _ => (None, None),
            }
        };
        self.tell_moved(ctx, moved);
        self.observer
            .renamed(&from_path, &to_path, exchange, &ctx.who);
        Ok(())
    }

    /// Whether `there` may give way to `source`.
    fn may_replace(&self, nodes: &Nodes, source: u64, there: u64) -> Result<(), Errno> {
        match (nodes.get(source)?.is_dir(), nodes.get(there)?.is_dir()) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            (true, true) if !self.listing(nodes, there)?.is_empty() => Err(Errno::NOTEMPTY),
            _ => Ok(()),
        }
    }

    /// A directory cannot go into itself.
    fn no_loop(nodes: &Nodes, moved: u64, into: u64) -> Result<(), Errno> {
        let mut at = into;
        while at != ROOT {
            if at == moved {
                return Err(Errno::INVAL);
            }
            match nodes.get(at)?.names.first() {
                Some(up) => at = up.dir,
                None => return Err(Errno::NOENT),
            }
        }
        Ok(())
    }

    fn renamed_open(&self, nodes: &mut Nodes, id: u64, from: (u64, &[u8]), to: (u64, &[u8])) {
        if let Ok(node) = nodes.get_mut(id)
            && let Some(open) = &mut node.open_name
            && open.dir == from.0
            && *open.name == *from.1
        {
            *open = Link {
                dir: to.0,
                name: to.1.into(),
            };
        }
    }

    /// Makes a directory whose unchanged content is `origin`'s; for the making of a branch, before anybody sees it.
    pub(super) fn plant_dir(
        &self,
        dir: u64,
        name: &[u8],
        below: super::layers::Below,
    ) -> Result<u64, Errno> {
        let mut nodes = self.nodes();
        let id = nodes.number(&below.origin, below.facts.kind, below.which);
        let saved = Saved {
            facts: below.facts,
            origin: Some(below.origin),
            upper: false,
            copied: None,
        };
        self.commit(
            &mut nodes,
            &[
                Op::Node { id, saved },
                Op::Name {
                    dir,
                    name: name.to_vec(),
                    id,
                },
            ],
        )?;
        if let Ok(node) = nodes.get_mut(id) {
            node.lower = below.lower;
        }
        Ok(id)
    }

    /// What is planted there already.
    pub(super) fn planted(&self, dir: u64, name: &[u8]) -> Option<u64> {
        self.nodes().known(dir, name)
    }

    /// Makes a file of this content; for the making of a branch.
    pub(super) fn plant_file(
        &self,
        dir: u64,
        name: &[u8],
        facts: &Facts,
        content: &[u8],
    ) -> Result<u64, Errno> {
        let ctx = Ctx::new(crate::model::Writer::outside(), facts.uid, facts.gid, None);
        let what = Make {
            kind: facts.kind,
            mode: facts.mode,
            rdev: facts.rdev,
            content,
        };
        let mut nodes = self.nodes();
        self.make_node(&mut nodes, &ctx, dir, name, &what)
    }
}
