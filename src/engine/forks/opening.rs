//! Opening forks and closing them: a view taken up as it was left, made anew where there is none, put on its branch's tip
//! where somebody else has moved that, and what is found in it committed.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::capture::beside::Beside;
use crate::capture::ignore_rules::{self, Rules};
use crate::debug::rev;
use crate::engine::api::{ApiError, ErrorCode};
use crate::engine::core::{Core, Failure};
use crate::engine::project::private_dir;
use crate::engine::ties::Ties;
use crate::engine::touches::Touches;
use crate::fs::branch_view::{self, Base, BranchError, BranchView, Ground};
use crate::fs::{Gate, MountOptions, Mounted, clean_stale};
use crate::model::{Cause, CommitId, RepoPath, TreeId, neutral};

use super::place::{self, Note, failed};
use super::{Fork, Head, lock};

/// A fork stays open for so long at least: who has just opened it may be about to begin a session in it.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long the last process of a session that is over may take to let go of its view: the kernel tells of its end before
/// its mounts are gone.
const LEAVING: Duration = Duration::from_millis(500);

pub(super) fn of_view(e: &BranchError) -> ApiError {
    ApiError::new(ErrorCode::Failed, e.to_string())
}

/// What became of a fork that was let go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::engine) struct Released {
    /// There is a view on disk.
    pub there: bool,
    /// The repository in it has objects or refs that the project's has not.
    pub own_history: bool,
    /// A file in it that is in no commit, as capture leaves it out, and that no tool makes again.
    pub own_file: Option<RepoPath>,
}

impl Released {
    fn of(fork: &Fork) -> Self {
        Self {
            there: true,
            own_history: fork.view.has_own_history(),
            own_file: fork.view.own_left_out(&|name| made_again(name)),
        }
    }
}

impl Core {
    fn fork_rules(&self, tree: TreeId) -> Result<Rules, Failure> {
        Ok(self.recorder()?.rules_then(tree)?)
    }

    /// What views stand on, with what `beside` leaves out.
    pub(super) fn ground(&self, beside: &Arc<Beside>) -> Result<Ground, ApiError> {
        let dir = self.project.forks_dir();
        private_dir(&dir)?;
        let rules = Arc::clone(beside);
        Ok(Ground {
            store: Arc::clone(&self.store),
            project: self.project.root.clone(),
            dir,
            left_out: Arc::new(move |path, is_dir, size| rules.leaves_out(path, is_dir, size)),
        })
    }

    pub(super) fn beside(&self, branch: &str, tree: TreeId) -> Result<Arc<Beside>, Failure> {
        let rules = self.fork_rules(tree)?;
        Ok(Arc::new(Beside::new(
            Arc::clone(&self.store),
            branch,
            rules,
        )))
    }

    /// The commit, as a view begins with it.
    pub(super) fn base(&self, commit: CommitId) -> Result<Base, Failure> {
        let present = match rev::head(&self.store)? {
            Some(head) => Some(self.store.commit(head)?.tree),
            None => None,
        };
        Ok(Base {
            tree: self.store.commit(commit)?.tree,
            commit: Some(commit),
            present,
        })
    }

    /// Makes the view of a branch that begins at `commit`. What lies in its place is moved aside.
    pub(super) fn fork_make(&self, branch: &str, commit: CommitId) -> Result<(), Failure> {
        let dir = self.project.fork_dir(branch);
        if let Some(_note) = self.note_in(&dir)? {
            place::set_aside(&dir)?;
        }
        let base = self.base(commit)?;
        let beside = self.beside(branch, base.tree)?;
        let ground = self.ground(&beside)?;
        let name = place::dir_name(branch);
        let observer = Arc::new(crate::capture::observe::Unobserved);
        BranchView::create(&ground, &name, base, observer, Gate::new()).map_err(|e| of_view(&e))?;
        Note::new(branch, commit, vec![commit]).write(&dir)?;
        self.pin_objects();
        Ok(())
    }

    /// The note of the fork in `dir`. A directory without one that says anything is put out of the way; it is removed only
    /// when it was cut off while it was made, so that nobody was ever in it.
    fn note_in(&self, dir: &Path) -> Result<Option<Note>, ApiError> {
        let why = match Note::read(dir) {
            Ok(Some(note)) => return Ok(Some(note)),
            Err(place::Unread::Failed(e)) => return Err(e),
            Ok(None) => "it has no note".to_owned(),
            Err(place::Unread::Damaged(why)) => why,
        };
        if dir.symlink_metadata().is_err() {
            return Ok(None);
        }
        let whole = dir.join("branch.json");
        match whole.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                std::fs::remove_dir_all(dir).map_err(|e| failed("remove", dir, &e))?;
            }
            Err(e) => return Err(failed("look at", &whole, &e)),
            Ok(_) => {
                let kept = place::set_aside(dir)?;
                self.warn(format!(
                    "a fork could not be taken up again ({why}): what it held that is in no commit, and its repository, is kept in {}",
                    neutral(kept.as_os_str().as_encoded_bytes())
                ));
            }
        }
        Ok(None)
    }

    /// Pins the objects of the project's repository, aside: a clean-up there must take nothing away from a fork.
    fn pin_objects(&self) {
        if self.forks.pinning.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = self.me();
        let pin = move || {
            let Some(core) = core.upgrade() else { return };
            let pins = core.project.forks_dir().join("pins");
            if let Err(e) = branch_view::pin(&core.project.root, &pins) {
                core.warn(format!(
                    "the objects of the project's repository could not be pinned for its forks: {e}"
                ));
            }
            core.forks.pinning.store(false, Ordering::Release);
        };
        if std::thread::Builder::new()
            .name("pin".to_owned())
            .spawn(pin)
            .is_err()
        {
            self.forks.pinning.store(false, Ordering::Release);
        }
    }

    /// The view of a branch that was set aside, or that was to get this name when the engine ended: it stands where the
    /// branch does. Never another branch's, whatever it stands on: what is in it is somebody else's.
    fn adopt_view(&self, branch: &str, tip: CommitId) -> Result<(), Failure> {
        let tips = self.answers().tips()?;
        for (dir, note) in place::all(&self.project) {
            let renamed =
                note.renaming.as_deref() == Some(branch) && !tips.contains_key(&note.branch);
            let ours = renamed || note.branch == branch;
            let taken = tips.keys().any(|b| self.project.fork_dir(b) == dir);
            let open = self.forks.get(&note.branch).is_some();
            if ours && !taken && !open && note.at.contains(&tip) && note.rebasing.is_none() {
                let to = self.project.fork_dir(branch);
                std::fs::rename(&dir, &to).map_err(|e| failed("take over", &dir, &e))?;
                let note = Note {
                    branch: branch.to_owned(),
                    renaming: None,
                    ..note
                };
                note.write(&to)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Opens what is kept of a fork, not mounted yet, as its branch has it: what is found in it is committed, and one
    /// that somebody else has moved is put on the branch's tip. `None` where there is none.
    fn take_up(&self, branch: &str, ties: Arc<Ties>) -> Result<Option<Fork>, Failure> {
        let tip = self.answers().tip(branch)?;
        let dir = self.project.fork_dir(branch);
        let mut found = self.note_in(&dir)?;
        if found.is_none() {
            self.adopt_view(branch, tip)?;
            found = self.note_in(&dir)?;
        }
        let Some(mut note) = found else {
            return Ok(None);
        };
        if !note.at.contains(&tip) || note.rebasing.is_some() || note.is_of_another_boot() {
            note = self.put_on(branch, tip, note, &dir)?;
        }
        let fork = self.view_of(branch, tip, &note, ties)?;
        self.fork_cut(&fork, Cause::Found, None)?;
        Ok(Some(fork))
    }

    fn view_of(
        &self,
        branch: &str,
        at: CommitId,
        note: &Note,
        ties: Arc<Ties>,
    ) -> Result<Fork, Failure> {
        let tree = self.store.commit(at)?.tree;
        let beside = self.beside(branch, tree)?;
        let ground = self.ground(&beside)?;
        let gate = Gate::new();
        let of = Arc::clone(&beside);
        let observer = Touches::before(
            Arc::clone(&beside) as _,
            Box::new(move |path| of.out(path)),
            Arc::clone(&ties.log),
        );
        let name = place::dir_name(branch);
        let view = BranchView::open(&ground, &name, Arc::new(observer), Arc::clone(&gate))
            .map_err(|e| of_view(&e))?;
        Ok(Fork {
            branch: branch.to_owned(),
            at: self.project.fork_mount(branch),
            dir: self.project.fork_dir(branch),
            base: note.base,
            view,
            beside,
            ties,
            gate,
            mounts: Mutex::default(),
            kernel: Mutex::default(),
            head: Mutex::new(Head {
                commit: at,
                tree,
                adrift: false,
            }),
            used: Mutex::new(Instant::now()),
            over: false.into(),
        })
    }

    /// Puts the view on `tip`, where somebody else has moved its branch. What it holds that was not committed yet becomes
    /// commits beside the branch; what capture leaves out stays in it. Likewise where the machine was started anew and the
    /// view is not what was committed of it: it may be the older one.
    fn put_on(
        &self,
        branch: &str,
        tip: CommitId,
        mut note: Note,
        dir: &Path,
    ) -> Result<Note, Failure> {
        let same = note.at.contains(&tip);
        // Of two the newer one may never have been stored.
        let mut stood = same.then_some(tip);
        for at in note.at.iter().rev() {
            if stood.is_none() && self.store.seq(*at)?.is_some() {
                stood = Some(*at);
            }
        }
        let (base_of_all, rebasing) = (note.base, note.rebasing);
        if let (Some(at), None) = (stood, rebasing) {
            let old = self.view_of(branch, at, &note, Arc::default())?;
            lock(&old.head).adrift = true;
            let made = self.fork_cut(&old, Cause::Found, None)?;
            match made.commits.last() {
                None if same => {
                    // It is what was committed of it.
                    let note = Note::new(branch, base_of_all, vec![tip]);
                    note.write(dir)?;
                    return Ok(note);
                }
                None => {}
                Some(id) => {
                    let why = if same {
                        "the machine was started anew while the fork of"
                    } else {
                        "somebody else moved the branch while the fork of"
                    };
                    self.warn(format!(
                        "{why} {branch} held something else than its latest commit; that is kept as commit {}, which is on no branch",
                        id.short()
                    ));
                }
            }
        }
        // What was captured until now, by the rules of then, is in commits.
        let before = match stood {
            Some(at) => self.store.commit(at)?.tree,
            None => self.store.commit(tip)?.tree,
        };
        note.rebasing = Some(tip);
        note.boot = Note::new(branch, tip, Vec::new()).boot;
        note.write(dir)?;
        let base = self.base(tip)?;
        let ground = self.ground(&self.beside(branch, before)?)?;
        let aside = place::aside(dir)?;
        let displaced = BranchView::rebase(&ground, &place::dir_name(branch), base, &aside)
            .map_err(|e| of_view(&e))?;
        self.displaced(branch, &displaced, &aside);
        let note = Note::new(branch, base_of_all, vec![tip]);
        note.write(dir)?;
        Ok(note)
    }

    fn displaced(&self, branch: &str, paths: &[RepoPath], aside: &Path) {
        let Some(first) = paths.first() else { return };
        let more = match paths.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        self.warn(format!(
            "the branch {branch} now has {}{more} itself; what the fork had there is kept in {}",
            neutral(first.as_bytes()),
            neutral(aside.as_os_str().as_encoded_bytes())
        ));
    }

    /// The fork of a branch, mounted; its view is made where there is none.
    pub(in crate::engine) fn fork_open(&self, branch: &str) -> Result<Arc<Fork>, Failure> {
        let _one = self.forks.opening();
        if let Some(fork) = self.forks.get(branch) {
            fork.touch();
            if lock(&fork.head).commit == self.answers().tip(branch)? {
                self.mount_fork(&fork)?;
                return Ok(fork);
            }
            // Somebody else has moved the branch.
            self.refuse_used(branch)?;
            if !self.close_fork(&fork)? {
                return Err(Self::occupied(&fork).into());
            }
        }
        let ties = self.timeline.open_space(branch);
        let opened = self.open_anew(branch, ties);
        if opened.is_err() {
            self.timeline.close_space(branch);
        }
        let fork = opened?;
        lock(&self.forks.open).insert(branch.to_owned(), Arc::clone(&fork));
        self.tell_status();
        Ok(fork)
    }

    fn open_anew(&self, branch: &str, ties: Arc<Ties>) -> Result<Arc<Fork>, Failure> {
        let fork = match self.take_up(branch, Arc::clone(&ties))? {
            Some(fork) => fork,
            None => {
                self.fork_make(branch, self.answers().tip(branch)?)?;
                self.take_up(branch, ties)?.ok_or_else(|| {
                    ApiError::new(
                        ErrorCode::Failed,
                        format!("the fork of {branch} went away while it was made"),
                    )
                })?
            }
        };
        let fork = Arc::new(fork);
        self.mount_fork(&fork)?;
        let started = self
            .me()
            .upgrade()
            .map_or(Ok(()), |core| core.fork_watch(&fork));
        if let Err(e) = started {
            fork.over.store(true, Ordering::Release);
            return Err(ApiError::new(
                ErrorCode::Failed,
                format!("no thread could be started for a fork: {e}"),
            )
            .into());
        }
        Ok(fork)
    }

    fn mount_fork(&self, fork: &Fork) -> Result<(), ApiError> {
        let mut mounts = lock(&fork.mounts);
        if mounts.iter().any(|m| m.has_place() && m.is_alive()) {
            return Ok(());
        }
        let said = |e: crate::fs::Error| ApiError::new(ErrorCode::Failed, e.to_string());
        clean_stale(&fork.at).map_err(said)?;
        private_dir(&fork.at)?;
        let mounted = Mounted::mount(Arc::clone(&fork.view), &fork.at, MountOptions::default())
            .map_err(said)?;
        *lock(&fork.kernel) = Some(mounted.invalidator());
        mounts.push(mounted);
        Ok(())
    }

    /// Has a branch's fork let go of, before the branch is moved, renamed or removed: what it holds is committed, and its
    /// view is closed. Refused while somebody is in it.
    pub(in crate::engine) fn fork_release(&self, branch: &str) -> Result<Released, Failure> {
        let _one = self.forks.opening();
        self.refuse_used(branch)?;
        if let Some(fork) = self.forks.get(branch) {
            let begun = Instant::now();
            while !self.close_fork(&fork)? {
                if begun.elapsed() > LEAVING {
                    return Err(Self::occupied(&fork).into());
                }
                std::thread::sleep(LEAVING / 20);
            }
            self.tell_status();
            return Ok(Released::of(&fork));
        }
        if !self.project.forks_dir().exists() {
            return Ok(Released::default());
        }
        let fork = self.take_up(branch, Arc::default())?;
        Ok(fork.map_or_else(Released::default, |fork| Released::of(&fork)))
    }

    /// Commits what is in a branch's fork, open or not, for somebody who wants all of what is there now.
    pub(in crate::engine) fn fork_settle(&self, branch: &str) -> Result<(), Failure> {
        let _one = self.forks.opening();
        if let Some(fork) = self.forks.get(branch) {
            self.fork_cut(&fork, Cause::Safety, None)?;
        } else if self.project.forks_dir().exists() {
            self.take_up(branch, Arc::default())?;
        }
        Ok(())
    }

    fn occupied(fork: &Fork) -> ApiError {
        ApiError::new(
            ErrorCode::Refused,
            format!(
                "somebody is still in the view of {} ({}): leave it first",
                fork.branch,
                neutral(fork.at.as_os_str().as_encoded_bytes())
            ),
        )
    }

    /// Refuses when an agent runs on the fork of that branch.
    pub(in crate::engine) fn refuse_used(&self, branch: &str) -> Result<(), ApiError> {
        let inside = self.sessions.in_fork(branch);
        let Some(first) = inside.first() else {
            return Ok(());
        };
        let more = match inside.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "{} (session {}){more} runs on the fork of {branch}: wait for its end, or end it with `backtrail kill {}`",
                first.agent,
                first.id.short(),
                first.id.short()
            ),
        ))
    }

    /// After a branch was removed: takes its view away, or says where it is kept.
    pub(in crate::engine) fn fork_drop(&self, branch: &str, was: Released) -> Option<String> {
        if !was.there {
            return None;
        }
        let dir = self.project.fork_dir(branch);
        let own = match was.own_file {
            _ if was.own_history => {
                Some("the fork's repository has commits or refs of its own".to_owned())
            }
            Some(path) => Some(format!(
                "the fork holds what is in no commit ({})",
                neutral(path.as_bytes())
            )),
            None => None,
        };
        if let Some(own) = own {
            // Out of the way of another branch of that name.
            let kept: PathBuf = place::set_aside(&dir).unwrap_or_else(|e| {
                self.warn(e.message);
                dir
            });
            return Some(format!(
                "{own}, so its view stays in {}; it is there again when the branch is brought back",
                neutral(kept.as_os_str().as_encoded_bytes())
            ));
        }
        // First: a half-removed one is none.
        let removed = std::fs::remove_file(dir.join("branch.json"))
            .and_then(|()| std::fs::remove_dir_all(&dir));
        if let Err(e) = removed {
            self.warn(format!(
                "the view of {branch} was not removed, which only takes up space: {e}"
            ));
        }
        None
    }

    /// After a branch was given another name: its view goes along.
    pub(in crate::engine) fn fork_renamed(&self, from: &str, to: &str) {
        let dir = self.project.fork_dir(from);
        let there = self.project.fork_dir(to);
        let moved = || -> Result<(), ApiError> {
            let Some(note) = Note::read(&dir)? else {
                return Ok(());
            };
            if there.exists() {
                place::set_aside(&there)?;
            }
            std::fs::rename(&dir, &there).map_err(|e| failed("rename", &dir, &e))?;
            Note {
                branch: to.to_owned(),
                renaming: None,
                ..note
            }
            .write(&there)
        };
        if let Err(e) = moved() {
            self.warn(format!("the view of {from} did not go along to {to}: {e}"));
        }
    }

    /// Before a branch is given another name: should the engine end in between, its view is known to be the other's.
    pub(in crate::engine) fn fork_renames(&self, from: &str, to: &str) -> Result<(), Failure> {
        let dir = self.project.fork_dir(from);
        if let Some(mut note) = Note::read(&dir).map_err(ApiError::from)? {
            note.renaming = Some(to.to_owned());
            note.write(&dir)?;
        }
        Ok(())
    }

    /// Commits what an open fork holds and closes it. `false` if somebody is still in it: then it stays open.
    fn close_fork(&self, fork: &Arc<Fork>) -> Result<bool, Failure> {
        // First, while mappings can still be written back.
        self.fork_cut(fork, Cause::Quiet, None)?;
        if !take_away(fork) {
            return Ok(false);
        }
        let cut = self.fork_cut(fork, Cause::Quiet, None);
        self.forget_fork(fork);
        cut?;
        Ok(true)
    }

    fn forget_fork(&self, fork: &Fork) {
        {
            // Who still has it may be committing, or about to: not once its view can be opened again.
            let _head = lock(&fork.head);
            fork.over.store(true, Ordering::Release);
        }
        fork.beside.hurry();
        lock(&self.forks.open).remove(&fork.branch);
        self.flush_reads();
        self.timeline.close_space(&fork.branch);
        // It would only confuse.
        let _ = std::fs::remove_dir(&fork.at);
    }

    /// Looks after open forks: closes those that nobody uses for `idle`, and buries those whose view was taken away.
    pub(in crate::engine) fn tend_forks(&self, idle: Duration) {
        let idle = idle.max(SHORTEST);
        for fork in self.forks.all() {
            let dead = {
                let mounts = lock(&fork.mounts);
                mounts.iter().any(|m| m.has_place() && !m.is_alive())
            };
            if dead {
                self.bury(&fork);
                continue;
            }
            if !self.sessions.in_fork(&fork.branch).is_empty() {
                fork.touch();
            }
            if lock(&fork.used).elapsed() < idle {
                continue;
            }
            let Ok(_one) = self.forks.opening.try_lock() else {
                continue;
            };
            if !self.sessions.in_fork(&fork.branch).is_empty() || lock(&fork.used).elapsed() < idle
            {
                continue;
            }
            match self.close_fork(&fork) {
                Ok(true) => self.tell_status(),
                Ok(false) => fork.touch(),
                Err(e) => {
                    fork.touch();
                    self.warn(format!("the fork of {} stays open: {e}", fork.branch));
                }
            }
        }
    }

    /// The view of a fork was taken away under whoever is in it: they come to a clear end, and what they did is kept.
    fn bury(&self, fork: &Arc<Fork>) {
        let _one = self.forks.opening();
        let inside = self.sessions.in_fork(&fork.branch);
        for session in &inside {
            if let Err(e) = self.sessions.kill(session.id) {
                self.warn(e.message);
            }
        }
        take_away(fork);
        if let Err(e) = self.fork_cut(fork, Cause::Quiet, None) {
            self.warn(format!(
                "what was last changed in the fork of {} is committed when it is opened again: {e}",
                fork.branch
            ));
        }
        self.forget_fork(fork);
        let ended = match inside.len() {
            0 => String::new(),
            1 => "; the session in it was ended".to_owned(),
            n => format!("; the {n} sessions in it were ended"),
        };
        self.warn(format!(
            "the view of {} was unmounted from outside{ended}. What was done in it is kept on its branch",
            fork.branch
        ));
        self.tell_status();
    }

    /// At the end of the engine: commits what forks hold and takes their mounts away, in use or not.
    pub(in crate::engine) fn close_forks(&self) {
        let _one = self.forks.opening();
        for fork in self.forks.all() {
            let first = self.fork_cut(&fork, Cause::Quiet, None);
            for mounted in lock(&fork.mounts).drain(..) {
                if let Err(e) = mounted.unmount() {
                    tracing::warn!("{e}");
                }
            }
            if let Err(e) = first.and_then(|_| self.fork_cut(&fork, Cause::Quiet, None)) {
                tracing::warn!(
                    "what was last changed in the fork of {} is committed at the next start: {e}",
                    fork.branch
                );
            }
            self.forget_fork(&fork);
        }
        self.discard_all_scratch();
    }
}

/// Whether tools make what lies in a directory of that name, and make it again. Other tools' own stores are none of those.
fn made_again(name: &[u8]) -> bool {
    ignore_rules::is_built_in(name) && ![&b".hg"[..], b".svn", b".jj"].contains(&name)
}

/// Takes a fork's mounts away. `false` if somebody still uses one.
fn take_away(fork: &Fork) -> bool {
    let mut mounts = lock(&fork.mounts);
    mounts.retain_mut(|mounted| match mounted.try_unmount() {
        Ok(gone) => !gone,
        Err(e) => {
            tracing::warn!("{e}");
            mounted.is_alive()
        }
    });
    mounts.is_empty()
}
