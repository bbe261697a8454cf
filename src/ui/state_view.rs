//! The files of the project as they were after the step that is looked at.
//!
//! Directories are listed when they are opened. Going to another step keeps what is open and what is selected; the old
//! listings stay on the screen until the new ones are there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::engine::api::{ChangeOp, EntryInfo, LastChange, Row, StepDetail};
use crate::model::{BlobId, Ordinal, RepoPath, StepId};

use super::app::App;
use super::state_tabs::Tabs;
use super::why::{BlameKey, Blamed, Lines, Walk};

/// A line of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub path: RepoPath,
    /// What it is called in its directory; of what went with its directory, the rest of the path.
    pub name: Vec<u8>,
    pub depth: usize,
    pub entry: Option<EntryInfo>,
    pub open: bool,
    pub dir: bool,
    /// The step removed it: this is what it was before.
    pub gone: bool,
    /// What the step did to it.
    pub mark: Option<ChangeOp>,
    /// Something below it changed.
    pub below: bool,
    /// A line that says something instead of an entry.
    pub note: Option<String>,
}

/// A file's content as it is shown.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Here it is, with where its lines begin.
    Ready(Arc<Vec<u8>>, Arc<Vec<usize>>),
    /// It cannot be had; why.
    Failed(String),
}

/// The view's state.
#[derive(Debug)]
pub(crate) struct StateView {
    pub step: StepId,
    pub ordinal: Ordinal,
    /// The revision that is listed.
    pub rev: String,
    dirs: HashMap<RepoPath, Result<Vec<EntryInfo>, String>>,
    /// Directories of this revision that were asked for.
    asked: HashSet<RepoPath>,
    open: HashSet<RepoPath>,
    changes: BTreeMap<RepoPath, (ChangeOp, Option<EntryInfo>)>,
    /// Where the changes are from.
    taken: Option<Arc<StepDetail>>,
    pub nodes: Vec<Node>,
    pub cursor: usize,
    pub top: usize,
    /// The keys go to the file.
    pub in_file: bool,
    pub shown: Option<EntryInfo>,
    /// What is shown of it. At another step the old content stays until the new one is there.
    pub content: Option<(BlobId, Content)>,
    /// The content that was asked for.
    pub reading: Option<BlobId>,
    pub scroll: usize,
    pub left: usize,
    /// A large file that was asked for although it is.
    pub forced: Option<BlobId>,
    /// What is still to be selected.
    seek: Seek,
    /// The line of the file that the cursor is on.
    pub line: usize,
    /// The line at which the selection begins.
    pub mark: Option<usize>,
    /// What else is known of the state.
    pub tabs: Tabs,
    /// The line to go to once the file is there.
    want_line: Option<usize>,
    /// When paths changed last, and at which step.
    lasts: HashMap<RepoPath, LastChange>,
    /// Directories of this revision of which that was asked.
    lasts_asked: HashSet<RepoPath>,
    /// Where lines are from, for the file that it was asked of last.
    pub blame: Option<(BlameKey, Lines)>,
    /// What was asked of.
    pub blaming: Option<BlameKey>,
    /// The step of a line that was asked for.
    pub why_asked: Option<StepId>,
    /// The way from a line to its reasons, while it is walked along.
    pub walk: Option<Walk>,
}

/// What the cursor is to be put on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seek {
    /// Nothing: a person has chosen.
    Nothing,
    /// The first file that the step changed.
    Changed,
    /// This one.
    Path(RepoPath),
}

impl StateView {
    /// For a row.
    pub(crate) fn new(row: &Row) -> Self {
        Self {
            step: row.step,
            ordinal: row.ordinal,
            rev: App::revision(row),
            dirs: HashMap::new(),
            asked: HashSet::new(),
            open: HashSet::from([RepoPath::root()]),
            changes: BTreeMap::new(),
            taken: None,
            nodes: Vec::new(),
            cursor: 0,
            top: 0,
            in_file: false,
            shown: None,
            content: None,
            reading: None,
            scroll: 0,
            left: 0,
            forced: None,
            seek: Seek::Changed,
            line: 0,
            mark: None,
            tabs: Tabs::default(),
            want_line: None,
            lasts: HashMap::new(),
            lasts_asked: HashSet::new(),
            blame: None,
            blaming: None,
            why_asked: None,
            walk: None,
        }
    }

    /// Puts the cursor on a line of a file as soon as that is there.
    pub(crate) fn seek_to(&mut self, path: RepoPath, line: usize) {
        let mut at = path.parent();
        while let Some(dir) = at {
            at = dir.parent();
            self.open.insert(dir);
        }
        self.seek = Seek::Path(path);
        self.want_line = Some(line);
        self.in_file = true;
    }

    /// The file has come: the cursor goes where it was to go.
    pub(crate) fn settle_line(&mut self) {
        if let Some(line) = self.want_line.take() {
            self.line = line;
        }
    }

    /// How many lines the shown file has.
    pub(crate) fn line_count(&self) -> usize {
        match &self.content {
            Some((_, Content::Ready(_, starts))) => starts.len(),
            _ => 0,
        }
    }

    /// Where the lines of the shown file are from, if that is known.
    pub(crate) fn blamed(&self) -> Option<&Blamed> {
        let (key, lines) = self.blame.as_ref()?;
        let shown = self.shown.as_ref()?;
        match lines {
            // Of the same content the lines are the same: what is known of them stays until better is.
            Lines::Known(blamed) if shown.blob == Some(key.blob) && shown.path == key.path => {
                Some(blamed)
            }
            _ => None,
        }
    }

    /// Directories that are listed and of whose entries it is not known when they changed.
    pub(crate) fn lasts_wanted(&mut self) -> Vec<RepoPath> {
        let mut out: Vec<RepoPath> = self
            .asked
            .iter()
            .filter(|d| !self.lasts_asked.contains(*d))
            .filter(|d| matches!(self.dirs.get(*d), Some(Ok(_))))
            .cloned()
            .collect();
        out.sort();
        self.lasts_asked.extend(out.iter().cloned());
        out
    }

    /// Takes when the entries of a directory changed last.
    pub(crate) fn take_lasts(&mut self, rev: &str, dir: &RepoPath, all: Vec<LastChange>) {
        if rev != self.rev {
            return;
        }
        self.lasts
            .retain(|path, _| path.parent().as_ref() != Some(dir));
        self.lasts
            .extend(all.into_iter().map(|l| (l.path.clone(), l)));
    }

    /// The step at which a line of the tree changed last.
    pub(crate) fn last_step(&self, node: &Node) -> Option<Ordinal> {
        if node.gone {
            return Some(self.ordinal);
        }
        self.lasts.get(&node.path)?.step
    }

    /// Goes to another step.
    pub(crate) fn go(&mut self, row: &Row) {
        if row.step == self.step && App::revision(row) == self.rev {
            return;
        }
        self.step = row.step;
        self.ordinal = row.ordinal;
        self.rev = App::revision(row);
        self.asked.clear();
        self.lasts_asked.clear();
        self.why_asked = None;
        self.changes.clear();
        self.taken = None;
    }

    /// Takes note of what the step changed: opens the directories that lead there.
    pub(crate) fn take(&mut self, detail: &Arc<StepDetail>) {
        let same = self.taken.as_ref().is_some_and(|t| Arc::ptr_eq(t, detail));
        if same || detail.row.step != self.step {
            return;
        }
        self.taken = Some(Arc::clone(detail));
        self.changes = detail
            .changes
            .iter()
            .map(|c| (c.path.clone(), (c.op, c.before.clone())))
            .collect();
        if self.seek == Seek::Changed {
            for path in self.changes.keys().take(50) {
                let mut at = path.parent();
                while let Some(dir) = at {
                    at = dir.parent();
                    self.open.insert(dir);
                }
            }
        }
        self.flatten();
    }

    /// Takes a directory's entries.
    pub(crate) fn list(
        &mut self,
        rev: &str,
        dir: RepoPath,
        entries: Result<Vec<EntryInfo>, String>,
    ) {
        if rev == self.rev {
            self.dirs.insert(dir, entries);
            self.flatten();
        }
    }

    /// Open directories that are still to be listed at this revision.
    pub(crate) fn wanted(&mut self) -> Vec<RepoPath> {
        let mut out: Vec<RepoPath> = self
            .open
            .iter()
            .filter(|d| !self.asked.contains(*d))
            .filter(|d| d.is_root() || self.nodes.iter().any(|n| n.dir && n.path == **d))
            .cloned()
            .collect();
        out.sort();
        self.asked.extend(out.iter().cloned());
        out
    }

    /// The line under the cursor.
    pub(crate) fn selected(&self) -> Option<&Node> {
        self.nodes.get(self.cursor)
    }

    /// Puts the cursor on a line: from now on it is the person who chooses.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = at.min(self.nodes.len().saturating_sub(1));
        self.seek = Seek::Nothing;
    }

    /// Opens or closes the directory under the cursor. `false` when it is not a directory.
    pub(crate) fn toggle(&mut self, want: Option<bool>) -> bool {
        let Some(node) = self.selected().filter(|n| n.dir) else {
            return false;
        };
        let path = node.path.clone();
        if want.unwrap_or(!node.open) {
            self.open.insert(path);
        } else {
            self.open.remove(&path);
        }
        self.flatten();
        true
    }

    /// Moves the cursor to the directory that holds the line under it.
    pub(crate) fn select_parent(&mut self) {
        let parent = self.selected().and_then(|n| n.path.parent());
        if let Some(at) = self
            .nodes
            .iter()
            .position(|n| Some(&n.path) == parent.as_ref())
        {
            self.cursor = at;
        }
    }

    /// The next or previous changed file.
    pub(crate) fn select_change(&mut self, forward: bool) -> bool {
        let fits = |n: &Node| n.mark.is_some() && !n.dir;
        let found = if forward {
            (self.cursor + 1..self.nodes.len()).find(|i| fits(&self.nodes[*i]))
        } else {
            (0..self.cursor.min(self.nodes.len()))
                .rev()
                .find(|i| fits(&self.nodes[*i]))
        };
        if let Some(at) = found {
            self.cursor = at;
        }
        found.is_some()
    }

    /// Makes the lines of the tree again; keeps the cursor on its path.
    fn flatten(&mut self) {
        let path = self.selected().map(|n| n.path.clone());
        let mut nodes = Vec::new();
        self.flatten_dir(&RepoPath::root(), 0, &mut nodes);
        self.nodes = nodes;
        let kept = path.and_then(|p| self.nodes.iter().position(|n| n.path == p));
        self.cursor = kept.unwrap_or(self.cursor.min(self.nodes.len().saturating_sub(1)));
        let sought = match &self.seek {
            Seek::Nothing => None,
            Seek::Changed => self.nodes.iter().position(|n| n.mark.is_some() && !n.dir),
            Seek::Path(path) => {
                let is_it = |n: &Node| n.path == *path && n.note.is_none() && !n.gone;
                self.nodes.iter().position(is_it)
            }
        };
        if let Some(at) = sought {
            self.cursor = at;
            self.seek = Seek::Nothing;
        }
    }

    fn flatten_dir(&self, dir: &RepoPath, depth: usize, out: &mut Vec<Node>) {
        let note = |text: String| Node {
            path: dir.clone(),
            name: Vec::new(),
            depth,
            entry: None,
            open: false,
            dir: false,
            mark: None,
            gone: false,
            below: false,
            note: Some(text),
        };
        let entries = match self.dirs.get(dir) {
            None => return out.push(note("loading".to_owned())),
            Some(Err(why)) => return out.push(note(why.clone())),
            Some(Ok(entries)) => entries,
        };
        let mut nodes: Vec<Node> = entries
            .iter()
            .map(|e| self.node(e.path.clone(), Some(e.clone()), depth))
            .collect();
        for (path, (op, before)) in &self.changes {
            let gone = *op == ChangeOp::Delete
                && path.is_within(dir)
                && !entries.iter().any(|e| path.is_within(&e.path));
            if gone {
                let mut node = self.node(path.clone(), before.clone(), depth);
                node.gone = true;
                node.dir = false;
                let skip = if dir.is_root() {
                    0
                } else {
                    dir.as_bytes().len() + 1
                };
                node.name = path.as_bytes().get(skip..).unwrap_or_default().to_vec();
                nodes.push(node);
            }
        }
        if nodes.is_empty() && depth == 0 {
            return out.push(note("no files".to_owned()));
        }
        nodes.sort_by(|a, b| (!a.dir, &a.path).cmp(&(!b.dir, &b.path)));
        for node in nodes {
            let (path, open) = (node.path.clone(), node.open);
            out.push(node);
            // A path that is deeper than any real tree would only be an attack.
            if open && depth < 200 {
                self.flatten_dir(&path, depth + 1, out);
            }
        }
    }

    fn node(&self, path: RepoPath, entry: Option<EntryInfo>, depth: usize) -> Node {
        let dir = entry.as_ref().is_some_and(|e| e.kind == "dir");
        let below = dir
            && self
                .changes
                .range(path.clone()..)
                .take_while(|(p, _)| p.as_bytes().starts_with(path.as_bytes()))
                .any(|(p, _)| *p != path && p.is_within(&path));
        Node {
            mark: self.changes.get(&path).map(|(op, _)| *op),
            gone: false,
            open: dir && self.open.contains(&path),
            below,
            dir,
            name: path.name().to_vec(),
            path,
            depth,
            entry,
            note: None,
        }
    }
}

/// Where the lines of a content begin.
pub(crate) fn line_starts(content: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(
        content
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
            .map(|(i, _)| i + 1),
    );
    if starts.last() == Some(&content.len()) && starts.len() > 1 {
        starts.pop();
    }
    starts
}

/// A line of a content, without its line feed.
pub(crate) fn line_at<'a>(content: &'a [u8], starts: &[usize], line: usize) -> Option<&'a [u8]> {
    let start = *starts.get(line)?;
    let end = starts.get(line + 1).copied().unwrap_or(content.len());
    let bytes = content.get(start..end)?;
    Some(bytes.strip_suffix(b"\n").unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_content() {
        let lines = |content: &[u8]| {
            let starts = line_starts(content);
            (0..starts.len())
                .filter_map(|i| line_at(content, &starts, i))
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(b"a\nb\n"), ["a", "b"]);
        assert_eq!(lines(b"a\n\nb"), ["a", "", "b"]);
        assert_eq!(lines(b""), [""]);
        assert_eq!(lines(b"\n"), [""]);
    }
}
