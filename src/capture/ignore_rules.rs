//! Which paths are captured, decided for any path without walking.
//!
//! Left out are: `.git` always; directories with a name of the built-in list or matched by a `.gitignore`; ignored
//! files above a limit. What git tracks is never left out, and `backtrail.toml` has the last word. The same rules can
//! be asked of a *past* tree, which brings its own `.gitignore` files: a rollback must not touch what that state left
//! out.
//!
//! What is decided for a directory is kept until [`Rules::forget`] says that a rule in or above it changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::disk::Disk;
use super::restore::is_staging_name;
use super::settings::{self, Settings};
use super::subtree::keys_below;
use super::tracked::{self, Repository, Tracked};
use crate::model::{Kind, RepoPath, TreeId, neutral};
use crate::store::{self, Store};

/// Directories that tools make and make again. `dist`, `build` and `out` are not here: where they are made by a tool,
/// a `.gitignore` says so; elsewhere they are somebody's work.
const BUILT_IN: [&[u8]; 29] = [
    b"node_modules",
    b"bower_components",
    b"target",
    b".venv",
    b"venv",
    b"__pycache__",
    b".tox",
    b".nox",
    b".eggs",
    b".mypy_cache",
    b".pytest_cache",
    b".ruff_cache",
    b".ipynb_checkpoints",
    b".gradle",
    b".next",
    b".nuxt",
    b".svelte-kit",
    b".parcel-cache",
    b".turbo",
    b".cache",
    b".direnv",
    b".terraform",
    b".dart_tool",
    b".build-cache",
    b"zig-cache",
    b".zig-cache",
    // Other tools' own stores: turning them back behind their owners' back would damage them.
    b".hg",
    b".svn",
    b".jj",
];

/// Whether directories of that name are left out without anybody asking for it.
#[must_use]
pub fn is_built_in(name: &[u8]) -> bool {
    BUILT_IN.contains(&name)
}

/// A `.gitignore` larger than this is read up to here.
const GITIGNORE_LIMIT: u64 = 1 << 20;

/// How far capture reaches into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It and what it holds, as the rules say.
    Whole,
    /// It is left out, but for what git tracks or the settings include below it.
    Partly,
    /// Left out with everything below.
    Out,
}

/// One ignore file in force, and the next one further out.
#[derive(Debug)]
struct Level {
    globs: Gitignore,
    at: Place,
    outer: Option<Arc<Self>>,
}

/// From where an ignore file's patterns count.
#[derive(Debug)]
enum Place {
    /// A directory of the project.
    In(RepoPath),
    /// A directory above: the project's root lies at this path from there.
    Above(RepoPath),
}

#[derive(Debug, Clone)]
struct Info {
    reach: Reach,
    levels: Option<Arc<Level>>,
}

enum Source {
    Disk(Arc<Disk>),
    Tree(Arc<Store>, TreeId),
}

/// What was decided for directories. `round` counts what was forgotten: an answer worked out before must not be kept
/// after.
#[derive(Default)]
struct Decided {
    round: u64,
    dirs: BTreeMap<RepoPath, Info>,
}

/// The rules in force for one state of the project: the present one, or a past tree.
pub struct Rules {
    settings: Settings,
    include: Gitignore,
    exclude: Gitignore,
    /// The fixed beginnings of anchored include patterns: left-out directories on the way there are entered.
    wanted: Vec<RepoPath>,
    outermost: Option<Arc<Level>>,
    repository: Option<Repository>,
    tracked: RwLock<Arc<Tracked>>,
    source: Source,
    decided: Mutex<Decided>,
    problems: Vec<String>,
}

/// Makes a matcher of an ignore file's text; lines that are no patterns are passed over, as git does.
fn globs(text: &[u8]) -> Gitignore {
    let mut b = GitignoreBuilder::new("");
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for line in text.split(|c| *c == b'\n') {
        let line = String::from_utf8_lossy(line);
        // A bad line counts as no line.
        let _ = b.add_line(None, &line);
    }
    b.build().unwrap_or_else(|_| Gitignore::empty())
}

fn patterns(key: &str, lines: &[String], problems: &mut Vec<String>) -> Gitignore {
    let mut b = GitignoreBuilder::new("");
    for line in lines {
        if let Err(e) = b.add_line(None, line) {
            problems.push(format!(
                "backtrail.toml: {key} holds \"{}\", which is no pattern: {}",
                neutral(line.as_bytes()),
                neutral(e.to_string().as_bytes())
            ));
        }
    }
    b.build().unwrap_or_else(|_| Gitignore::empty())
}

/// The leading parts of an anchored pattern that hold no wildcard; `None` for one that may match anywhere.
fn fixed_beginning(pattern: &str) -> Option<RepoPath> {
    let p = pattern.trim_end();
    if p.starts_with(['!', '#']) {
        return None;
    }
    let body = p.strip_suffix("/**").or(p.strip_suffix('/')).unwrap_or(p);
    if !body.contains('/') {
        return None;
    }
    let fixed: Vec<&str> = body
        .trim_start_matches('/')
        .split('/')
        .take_while(|part| !part.contains(['*', '?', '[', '\\', '{']))
        .collect();
    RepoPath::new(fixed.join("/").into_bytes())
        .ok()
        .filter(|p| !p.is_root())
}

impl Rules {
    /// The rules of the project as it lies on disk.
    #[must_use]
    pub fn of_disk(disk: Arc<Disk>, settings: Settings) -> Self {
        let repository = Repository::of(disk.path());
        let tracked = repository.as_ref().map(Tracked::read).unwrap_or_default();
        let outermost = outer_levels(repository.as_ref());
        Self::new(
            settings,
            repository,
            Arc::new(tracked),
            outermost,
            Source::Disk(disk),
        )
    }

    /// The rules that a past state brings: its own `.gitignore` files and `backtrail.toml`. What git tracked then is not
    /// known; [`Rules::then`] uses what it tracks now.
    pub fn of_tree(store: &Arc<Store>, tree: TreeId) -> store::Result<Self> {
        Ok(Self::new(
            settings_of(store, tree)?,
            None,
            Arc::default(),
            None,
            Source::Tree(Arc::clone(store), tree),
        ))
    }

    /// The rules of a past state of this project, together with what lies outside the tree: what git tracks now, and
    /// the person's own ignore file.
    pub fn then(&self, store: &Arc<Store>, tree: TreeId) -> store::Result<Self> {
        let tracked = self.tracked();
        Ok(Self::new(
            settings_of(store, tree)?,
            None,
            tracked,
            self.outermost.clone(),
            Source::Tree(Arc::clone(store), tree),
        ))
    }

    fn new(
        settings: Settings,
        repository: Option<Repository>,
        tracked: Arc<Tracked>,
        outermost: Option<Arc<Level>>,
        source: Source,
    ) -> Self {
        let mut problems = Vec::new();
        problems.extend(tracked.problem().map(str::to_owned));
        Self {
            include: patterns("include", &settings.include, &mut problems),
            exclude: patterns("exclude", &settings.exclude, &mut problems),
            wanted: settings
                .include
                .iter()
                .filter_map(|p| fixed_beginning(p))
                .collect(),
            settings,
            outermost,
            repository,
            tracked: RwLock::new(tracked),
            source,
            decided: Mutex::default(),
            problems,
        }
    }

    /// What is wrong with the settings or with git's index, for people.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn tracked(&self) -> Arc<Tracked> {
        Arc::clone(&self.tracked.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the path is captured. `size` counts for files only.
    #[must_use]
    pub fn captures(&self, path: &RepoPath, is_dir: bool, size: u64) -> bool {
        if is_dir {
            return self.reach(path) != Reach::Out;
        }
        let Some(parent) = path.parent() else {
            return true;
        };
        let info = self.info(&parent);
        self.captures_file(&info, path, size)
    }

    /// The opposite of [`Rules::captures`], in the shape that the planner of a rollback asks.
    #[must_use]
    pub fn leaves_out(&self, path: &RepoPath, is_dir: bool, size: u64) -> bool {
        !self.captures(path, is_dir, size)
    }

    /// How far capture reaches into the directory `dir`.
    #[must_use]
    pub fn reach(&self, dir: &RepoPath) -> Reach {
        self.info(dir).reach
    }

    /// Forgets what was decided for `dir` and below, because a rule there changed.
    pub fn forget(&self, dir: &RepoPath) {
        let mut decided = self.decided();
        decided.round += 1;
        if dir.is_root() {
            decided.dirs.clear();
        } else {
            for below in keys_below(&decided.dirs, dir) {
                decided.dirs.remove(&below);
            }
            decided.dirs.remove(dir);
        }
    }

    fn decided(&self) -> MutexGuard<'_, Decided> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads git's index again if it is another one by now; `true` if so.
    pub fn refresh_tracked(&self) -> bool {
        let Some(repository) = &self.repository else {
            return false;
        };
        if !self.tracked().is_stale(repository) {
            return false;
        }
        let fresh = Arc::new(Tracked::read(repository));
        *self.tracked.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.forget(&RepoPath::root());
        true
    }

    fn info(&self, dir: &RepoPath) -> Info {
        let mut missing = Vec::new();
        let mut at = Some(dir.clone());
        let (round, known) = {
            let decided = self.decided();
            let mut known = None;
            while let Some(d) = at {
                known = decided.dirs.get(&d).cloned();
                if known.is_some() {
                    break;
                }
                at = d.parent();
                missing.push(d);
            }
            (decided.round, known)
        };
        let mut info = known.unwrap_or_else(|| Info {
            reach: Reach::Whole,
            levels: self.outermost.clone(),
        });
        for d in missing.into_iter().rev() {
            info = self.enter(&info, &d);
            let mut decided = self.decided();
            if decided.round == round {
                decided.dirs.insert(d, info.clone());
            }
        }
        info
    }

    /// What holds in `dir`, given what holds in the directory around it.
    fn enter(&self, around: &Info, dir: &RepoPath) -> Info {
        let reach = if dir.is_root() {
            Reach::Whole
        } else {
            self.reach_of(around, dir)
        };
        let mut levels = around.levels.clone();
        if reach == Reach::Whole
            && let Some(text) = self.gitignore(dir)
        {
            let globs = globs(&text);
            if !globs.is_empty() {
                levels = Some(Arc::new(Level {
                    globs,
                    at: Place::In(dir.clone()),
                    outer: levels,
                }));
            }
        }
        Info { reach, levels }
    }

    fn reach_of(&self, around: &Info, dir: &RepoPath) -> Reach {
        let name = dir.name();
        if around.reach == Reach::Out || name == b".git" || is_staging_name(name) {
            return Reach::Out;
        }
        if self.exclude.matched(dir.as_path(), true).is_ignore() {
            return Reach::Out;
        }
        if self.settings.all || self.include.matched(dir.as_path(), true).is_ignore() {
            return Reach::Whole;
        }
        let left_out = around.reach == Reach::Partly
            || match ignored(around.levels.as_deref(), dir, true) {
                Some(yes) => yes,
                None => BUILT_IN.contains(&name),
            };
        if !left_out {
            return Reach::Whole;
        }
        if self.wanted.iter().any(|w| w.is_within(dir)) || self.tracked().below(dir) {
            return Reach::Partly;
        }
        Reach::Out
    }

    fn captures_file(&self, around: &Info, path: &RepoPath, size: u64) -> bool {
        let name = path.name();
        if around.reach == Reach::Out || name == b".git" || is_staging_name(name) {
            return false;
        }
        if self.exclude.matched(path.as_path(), false).is_ignore() {
            return false;
        }
        if self.settings.all {
            return true;
        }
        let small = size <= self.settings.ignored_file_limit;
        if around.reach == Reach::Whole
            && (small || ignored(around.levels.as_deref(), path, false) != Some(true))
        {
            return true;
        }
        self.include.matched(path.as_path(), false).is_ignore() || self.tracked().contains(path)
    }

    fn gitignore(&self, dir: &RepoPath) -> Option<Vec<u8>> {
        let path = dir.join(b".gitignore").ok()?;
        match &self.source {
            Source::Disk(disk) => disk.small_file(&path, GITIGNORE_LIMIT).ok()?,
            Source::Tree(store, root) => {
                let mut tree = store.tree(*root).ok()?;
                for part in dir.parts() {
                    tree = store.tree(tree.get(part)?.kind.tree()?).ok()?;
                }
                let blob = tree.get(b".gitignore")?.kind.blob()?;
                store.blob_range(blob, 0, GITIGNORE_LIMIT as usize).ok()
            }
        }
    }
}

fn settings_of(store: &Store, tree: TreeId) -> store::Result<Settings> {
    let root = store.tree(tree)?;
    let Some(Kind::File { blob, .. }) = root.get(settings::FILE.as_bytes()).map(|e| &e.kind) else {
        return Ok(Settings::default());
    };
    let text = store.blob_range(*blob, 0, GITIGNORE_LIMIT as usize)?;
    // That state's recorder could not use a broken file either.
    Ok(Settings::parse(&text).map(|(s, _)| s).unwrap_or_default())
}

/// Whether the ignore files in force say that `path` is ignored; `None` when they do not say. The innermost wins.
fn ignored(levels: Option<&Level>, path: &RepoPath, is_dir: bool) -> Option<bool> {
    let mut next = levels;
    while let Some(level) = next {
        let found = match &level.at {
            Place::In(dir) => {
                let below = path.moved(dir, &RepoPath::root())?;
                matched(&level.globs, &below, is_dir)
            }
            Place::Above(prefix) => path
                .moved(&RepoPath::root(), prefix)
                .and_then(|p| matched(&level.globs, &p, is_dir)),
        };
        if found.is_some() {
            return found;
        }
        next = level.outer.as_deref();
    }
    None
}

fn matched(globs: &Gitignore, path: &RepoPath, is_dir: bool) -> Option<bool> {
    match globs.matched(path.as_path(), is_dir) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

/// Ignore files that lie outside the project: the person's own, the repository's `info/exclude`, and the `.gitignore`
/// files of the directories between the repository's top and the project.
fn outer_levels(repository: Option<&Repository>) -> Option<Arc<Level>> {
    let mut levels = None;
    let mut push = |text: Vec<u8>, prefix: RepoPath| {
        let globs = globs(&text);
        if !globs.is_empty() {
            levels = Some(Arc::new(Level {
                globs,
                at: Place::Above(prefix),
                outer: levels.take(),
            }));
        }
    };
    let prefix = repository.map(|r| r.prefix.clone()).unwrap_or_default();
    if let Some(text) = tracked::personal_excludes() {
        push(text, prefix.clone());
    }
    let Some(repository) = repository else {
        return levels;
    };
    if let Ok(text) = std::fs::read(repository.common_dir.join("info/exclude")) {
        push(text, prefix.clone());
    }
    let mut dir = repository.top.clone();
    let mut rest = prefix;
    while !rest.is_root() {
        if let Ok(text) = std::fs::read(dir.join(".gitignore")) {
            push(text, rest.clone());
        }
        let Some(first) = rest.parts().next().map(<[u8]>::to_vec) else {
            break;
        };
        let Ok(first_path) = RepoPath::new(first.clone()) else {
            break;
        };
        rest = rest
            .moved(&first_path, &RepoPath::root())
            .unwrap_or_default();
        dir.push(tracked::os_path(first));
    }
    levels
}
