//! The branches: where each ends, how it stands to the workspace's, who runs on it, what it has that no other has; and
//! what can be done with one. Commits that nothing follows and no branch holds are listed when they are asked for.
//!
//! Comparisons are asked for one after the other, those on the screen first. What forks take up on disk is dear to find
//! out, so that is asked for only on demand.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use ratatui::text::{Line, Span};

use crate::engine::api::{
    ApiError, CommitInfo, Comparison, ForkInfo, GraphAnswer, GraphQuery, OpInfo, Request, Response,
};
use crate::model::{CommitId, OpKind, Ordinal};

use super::action::Action;
use super::against::{self, Named, Pair};
use super::app::{App, Overlay, Tone};
use super::desk::{self, Deed, DeskTag, List, Question, Sheet};
use super::draw::key_of;
use super::line::{LineInput, Purpose};
use super::merge_view;
use super::msg::{Effect, Tag};
use super::text;
use super::theme::Token;
use super::update::toast;

/// Comparisons under way at a time.
const AT_ONCE: usize = 2;

/// Most leaves that are listed.
const LEAVES: usize = 500;

/// Commits and paths that are named.
const NAMED: usize = 8;

/// What a line is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Branch(String),
    Leaf(CommitId),
}

#[derive(Debug, Clone)]
struct Item {
    key: Key,
    current: bool,
    commit: CommitInfo,
    compared: Option<Result<Box<Comparison>, String>>,
    /// It has moved since that was found out.
    stale: bool,
}

impl Item {
    fn name(&self) -> &str {
        match &self.key {
            Key::Branch(name) => name,
            Key::Leaf(_) => "",
        }
    }

    fn found(&self) -> Option<&Comparison> {
        match &self.compared {
            Some(Ok(found)) => Some(found),
            _ => None,
        }
    }

    /// The step at which it left the workspace's branch.
    fn base(&self) -> Option<Ordinal> {
        self.found()?.bases.first()?.step
    }
}

/// The branches.
#[derive(Debug)]
pub(crate) struct Branches {
    current: String,
    items: Vec<Item>,
    leaves: Vec<Item>,
    /// Commits without a branch are listed too.
    with_leaves: bool,
    shown: Vec<(bool, usize)>,
    loaded: Option<Result<(), String>>,
    asked: HashSet<String>,
    forks: HashMap<String, ForkInfo>,
    /// What the forks take up was asked for.
    disk: bool,
    /// Where the forks are was asked for.
    places: bool,
}

impl Branches {
    /// Before they are there; the workspace's is known.
    pub(crate) fn new(current: String) -> Self {
        Self {
            current,
            items: Vec::new(),
            leaves: Vec::new(),
            with_leaves: false,
            shown: Vec::new(),
            loaded: None,
            asked: HashSet::new(),
            forks: HashMap::new(),
            disk: false,
            places: false,
        }
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    fn item(&self, at: usize) -> Option<&Item> {
        let (leaf, at) = self.shown.get(at)?;
        if *leaf { &self.leaves } else { &self.items }.get(*at)
    }

    /// What a line is of.
    pub(crate) fn key(&self, at: usize) -> Option<Key> {
        self.item(at).map(|i| i.key.clone())
    }

    /// Where it is listed.
    pub(crate) fn place_of(&self, key: &Key) -> Option<usize> {
        (0..self.len()).find(|at| self.item(*at).is_some_and(|i| i.key == *key))
    }

    /// The step of its latest commit.
    pub(crate) fn step(&self, at: usize) -> Result<Ordinal, String> {
        let item = self.item(at).ok_or("there is no branch")?;
        let none = || format!("commit {} is at no step", item.commit.id.short());
        item.commit.step.ok_or_else(none)
    }

    /// Where the view of the selected branch is mounted.
    pub(crate) fn path(&self, at: usize) -> Option<String> {
        self.forks.get(self.item(at)?.name())?.mounted.clone()
    }

    /// What is said while there is nothing.
    pub(crate) fn state(&self) -> Result<&'static str, String> {
        match &self.loaded {
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(())) => Ok("nothing is recorded yet"),
            None => Ok("loading"),
        }
    }

    /// Below the list.
    pub(crate) fn bottom(&self, app: &App) -> String {
        if self.with_leaves {
            let n = text::plural(self.leaves.len() as u64, "leaf");
            let n = n.replace("leafs", "leaves");
            return format!("{n} without a branch");
        }
        format!("{} lists leaves", key_of(app, Action::BranchLeaves))
    }

    /// Lists what fits.
    pub(crate) fn sift(&mut self, filter: &str) {
        let fits = |item: &Item| {
            let step = item.commit.step.map(|s| s.to_string()).unwrap_or_default();
            let line = format!(
                "{} {step} {} {}",
                item.name(),
                item.commit.id.short(),
                item.commit.message
            );
            desk::holds(&line, filter)
        };
        let of = |leaf: bool, items: &[Item]| -> Vec<(bool, usize)> {
            let places = items.iter().enumerate().filter(|(_, i)| fits(i));
            places.map(|(at, _)| (leaf, at)).collect()
        };
        self.shown = of(false, &self.items);
        if self.with_leaves {
            self.shown.extend(of(true, &self.leaves));
        }
    }

    /// An answer came.
    pub(crate) fn answer(&mut self, tag: DeskTag, result: Result<Response, ApiError>) {
        let why = |e: &ApiError| text::one_line(&e.message);
        match (tag, result) {
            (DeskTag::Branches, Ok(Response::Branches(all))) => {
                self.loaded = Some(Ok(()));
                let ours = all.iter().find(|b| b.current);
                let name = ours.map(|b| b.name.clone()).unwrap_or_default();
                let before = std::mem::take(&mut self.items);
                let tip = |items: &[Item]| items.iter().find(|i| i.current).map(|i| i.commit.id);
                let moved = name != self.current || tip(&before) != ours.map(|b| b.commit.id);
                let other = name != self.current;
                self.current = name;
                for branch in all {
                    let key = Key::Branch(branch.name);
                    let old = before.iter().find(|i| i.key == key && !other);
                    let same = old.is_some_and(|o| o.commit.id == branch.commit.id);
                    self.items.push(Item {
                        compared: old.and_then(|o| o.compared.clone()),
                        stale: moved || !same || old.is_some_and(|o| o.stale),
                        key,
                        current: branch.current,
                        commit: branch.commit,
                    });
                }
                // The workspace's first, then what was worked on last.
                self.items
                    .sort_by_key(|i| (!i.current, std::cmp::Reverse(i.commit.time)));
                // A leaf may have got a branch.
                self.leaves
                    .retain(|l| !self.items.iter().any(|i| i.commit.id == l.commit.id));
            }
            (DeskTag::Branches, Err(error)) => self.loaded = Some(Err(why(&error))),
            (DeskTag::Compared(name), result) => {
                self.asked.remove(&name);
                let found = match result {
                    Ok(Response::Comparison(found)) => Ok(found),
                    Ok(_) => Err("an answer of another kind came".to_owned()),
                    Err(error) => Err(why(&error)),
                };
                let key = Key::Branch(name);
                if let Some(item) = self.items.iter_mut().find(|i| i.key == key) {
                    item.compared = Some(found);
                }
            }
            (DeskTag::Forks(_), Ok(Response::Forks(forks))) => {
                self.forks = forks.into_iter().map(|f| (f.branch.clone(), f)).collect();
            }
            (DeskTag::Leaves, Ok(Response::Graph(GraphAnswer::Commits(all)))) => {
                let tips: HashSet<CommitId> = self.items.iter().map(|i| i.commit.id).collect();
                let free = all.into_iter().filter(|c| !tips.contains(&c.id));
                self.leaves = free
                    .map(|commit| Item {
                        key: Key::Leaf(commit.id),
                        current: false,
                        commit,
                        compared: None,
                        stale: false,
                    })
                    .collect();
            }
            _ => {}
        }
    }

    /// Asks for what the screen needs and does not have.
    pub(crate) fn sync(&mut self, cursor: usize, shown: &Range<usize>, out: &mut Vec<Effect>) {
        if self.loaded.is_none() {
            return;
        }
        if !self.places {
            self.places = true;
            let tag = Tag::Desk(DeskTag::Forks(false));
            out.push(Effect::Ask(None, tag, Request::ForkPlaces));
        }
        let places = std::iter::once(cursor).chain(shown.clone());
        let wanted: Vec<String> = places
            .filter_map(|at| self.item(at))
            .filter(|i| !i.current && matches!(i.key, Key::Branch(_)))
            .filter(|i| i.compared.is_none() || i.stale)
            .map(|i| i.name().to_owned())
            .collect();
        for name in wanted {
            if self.asked.len() >= AT_ONCE || !self.asked.insert(name.clone()) {
                continue;
            }
            let key = Key::Branch(name.clone());
            if let Some(item) = self.items.iter_mut().find(|i| i.key == key) {
                item.stale = false;
            }
            let request = Request::Compare {
                a: self.current.clone(),
                b: name.clone(),
            };
            out.push(Effect::Ask(
                None,
                Tag::Desk(DeskTag::Compared(name)),
                request,
            ));
        }
    }
}

/// Whether an operation may change what is listed.
pub(crate) fn matters(op: &OpInfo) -> bool {
    op.kind != OpKind::Label
}

fn selected(app: &App) -> Option<(&Branches, &Item)> {
    let desk = desk::open(app)?;
    match &desk.list {
        List::Branches(branches) => Some((branches, branches.item(desk.cursor)?)),
        _ => None,
    }
}

/// Why something cannot be done with the selected branch.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    let own = matches!(
        action,
        Action::BranchSwitch
            | Action::BranchRename
            | Action::BranchDelete
            | Action::BranchMerge
            | Action::BranchFork
            | Action::BranchDiff
    );
    let Some((branches, item)) = selected(app) else {
        return if own {
            no("no branch is selected")
        } else {
            Ok(())
        };
    };
    let leaf = matches!(item.key, Key::Leaf(_));
    match action {
        Action::BranchFork if item.commit.step.is_none() => no("its latest commit is at no step"),
        Action::BranchSwitch
        | Action::BranchRename
        | Action::BranchDelete
        | Action::BranchMerge
            if leaf =>
        {
            no("no branch is here: t makes one")
        }
        Action::BranchSwitch | Action::BranchDelete if item.current => {
            no("the workspace is on this branch")
        }
        Action::BranchMerge if app.status.as_ref().is_some_and(|s| s.merging.is_some()) => Ok(()),
        Action::BranchDiff if item.current => {
            no("this is the branch that others are compared with")
        }
        Action::BranchDiff if app.focus.is_none() => no("no step is recorded yet"),
        Action::BranchMerge if item.current => no("this is the branch that others are merged into"),
        Action::BranchPrune if branches.items.len() < 2 => no("there is only one branch"),
        _ => Ok(()),
    }
}

/// Does something with the selected branch, or with what is listed.
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    let ask = |tag: DeskTag, request: Request| Effect::Ask(None, Tag::Desk(tag), request);
    match action {
        Action::BranchLeaves => {
            if let Some(desk) = desk::open_mut(app)
                && let List::Branches(branches) = &mut desk.list
            {
                branches.with_leaves = !branches.with_leaves;
                let filter = desk.filter.clone();
                desk.set_filter(&filter);
                let query = GraphQuery::Leaves {
                    before: None,
                    limit: LEAVES,
                };
                out.push(ask(DeskTag::Leaves, Request::Graph(query)));
            }
            return;
        }
        Action::BranchDisk => {
            if let Some(desk) = desk::open_mut(app)
                && let List::Branches(branches) = &mut desk.list
            {
                branches.disk = true;
                out.push(ask(DeskTag::Forks(true), Request::Forks));
                let words = "looking at what the forks take up on disk".to_owned();
                toast(app, Tone::Note, words, &[], out);
            }
            return;
        }
        Action::BranchPrune => return desk::send(app, Deed::WouldPrune, out),
        _ => {}
    }
    let Some((branches, item)) = selected(app) else {
        return;
    };
    let ours = branches.current.clone();
    let item = item.clone();
    let name = item.name().to_owned();
    match action {
        Action::BranchSwitch => {
            let words = format!("Set the workspace to the branch {}", text::one_line(&name));
            desk::want(app, Deed::Switch(name), &words, out);
        }
        Action::BranchRename => {
            let mut line = LineInput::new(Purpose::Rename { from: name.clone() });
            line.text = name;
            app.overlay = Some(Overlay::Line(line));
        }
        Action::BranchDelete => {
            let mut lines = vec![format!("Remove the branch {}?", text::one_line(&name))];
            if let Some(found) = item.found() {
                lines.push(match found.b.ahead {
                    0 => format!("{} has all of it.", text::one_line(&found.a.rev)),
                    n => format!(
                        "{} are on no other known branch; they stay in the store.",
                        text::plural(n, "commit")
                    ),
                });
            }
            app.overlay = Some(Overlay::Question(Box::new(Question {
                title: "Remove a branch".to_owned(),
                lines,
                yes: "remove it; its commits stay".to_owned(),
                deed: Deed::Delete(name),
            })));
        }
        Action::BranchMerge => {
            let unfinished = app.status.as_ref().is_some_and(|s| s.merging.is_some());
            if unfinished || app.parked.is_some() {
                merge_view::update::enter(app, out);
            } else {
                merge_view::update::begin(app, name, out);
            }
        }
        Action::BranchDiff => {
            let Some(at) = app.focus else { return };
            let side = |rev: String, name: &str, step| Named {
                rev,
                name: text::one_line(name),
                step,
            };
            let own = app.workspace();
            let named = match &item.key {
                Key::Branch(name) => name.clone(),
                Key::Leaf(id) => id.to_hex(),
            };
            let pair = Pair {
                a: side(ours.clone(), &ours, own),
                b: side(named, &name, item.commit.step),
                turned: false,
                fixed: true,
                at,
            };
            against::send(pair, out);
        }
        Action::BranchFork => {
            if let Some(at) = item.commit.step {
                let purpose = Purpose::Fork {
                    rev: item.commit.id.to_hex(),
                    at,
                };
                app.overlay = Some(Overlay::Line(LineInput::new(purpose)));
                out.push(Effect::Ask(None, Tag::ForkNames, Request::Branches));
            }
        }
        _ => {}
    }
}

/// Where things stand in a line.
struct Columns {
    name: usize,
    files: bool,
    when: bool,
}

fn columns(branches: &Branches, width: usize) -> Columns {
    let names = branches
        .items
        .iter()
        .map(|i| text::width(&text::one_line(i.name())));
    let longest = names.max().unwrap_or(0);
    Columns {
        name: longest.clamp(6, (width / 3).clamp(8, 28)),
        files: width >= 66,
        when: width >= 54,
    }
}

/// Over the list.
pub(crate) fn headings(branches: &Branches, width: usize) -> String {
    let columns = columns(branches, width);
    let name = columns.name;
    let mut out = format!("    {:<name$} {:>7}", "branch", "step");
    if columns.when {
        let cells = desk::time_cells(width);
        out.push_str(&format!(" {:>cells$}", "time"));
    }
    out.push_str(&format!("  {:<9}", "+ahead"));
    if columns.files {
        out.push_str(&format!(" {:<9}", "files"));
    }
    out
}

/// A branch as a line.
pub(crate) fn row(app: &App, branches: &Branches, at: usize, width: usize) -> Vec<Span<'static>> {
    let look = &app.look;
    let theme = look.theme;
    let Some(item) = branches.item(at) else {
        return Vec::new();
    };
    let dim = theme.style(Token::Dim);
    let columns = columns(branches, width);
    let newest = branches.items.iter().map(|i| i.commit.time).max();
    let ascii = look.glyphs.cursor == ">";
    let last = at + 1 >= branches.len();
    let leaf = matches!(item.key, Key::Leaf(_));
    let lane = match (item.current, ascii, last) {
        (true, ..) => format!("{}  ", look.glyphs.change),
        (_, true, _) => format!("{}-{}", look.glyphs.lane, look.glyphs.change),
        (_, false, false) => format!("├─{}", look.glyphs.change),
        (_, false, true) => format!("└─{}", look.glyphs.change),
    };
    let lane = if leaf {
        format!("  {}", look.glyphs.turn)
    } else {
        lane
    };
    let (name, token) = match &item.key {
        Key::Branch(name) if item.current => (text::one_line(name), Token::Workspace),
        Key::Branch(name) => (text::one_line(name), Token::Text),
        Key::Leaf(id) => (id.short(), Token::Dim),
    };
    let step = item.commit.step.map(|s| s.to_string()).unwrap_or_default();
    let lane_token = if item.current {
        Token::Workspace
    } else {
        Token::Lane(at)
    };
    let mut spans = vec![
        Span::styled(lane, theme.style(lane_token)),
        Span::styled(
            format!(" {}", desk::cell(look, &name, columns.name)),
            theme.style(token),
        ),
        Span::styled(format!(" {step:>7}"), theme.style(Token::Focus)),
    ];
    if columns.when {
        let newest = newest.unwrap_or_default();
        let when = desk::when(look, newest, item.commit.time, desk::time_cells(width));
        spans.push(Span::styled(format!(" {when}"), dim));
    }
    let counts = match (&item.compared, item.current) {
        (_, true) => String::new(),
        (Some(Ok(found)), _) => format!("+{} -{}", found.b.ahead, found.a.ahead),
        (Some(Err(_)), _) => "?".to_owned(),
        (None, _) if leaf => String::new(),
        (None, _) => look.glyphs.ellipsis.to_owned(),
    };
    spans.push(Span::raw(format!("  {counts:<9}")));
    if columns.files {
        let files = match item.found() {
            Some(found) if !item.current => text::plural(found.b.changes.len() as u64, "file"),
            _ => String::new(),
        };
        spans.push(Span::styled(format!(" {files:<9}"), dim));
    }
    for (words, token) in flags(app, item) {
        spans.push(Span::styled(format!(" {words}"), theme.style(token)));
    }
    spans
}

/// Who runs there, whether it is open, and whom it meets.
fn flags(app: &App, item: &Item) -> Vec<(String, Token)> {
    let mut out = Vec::new();
    let Some(status) = &app.status else {
        return out;
    };
    let Key::Branch(name) = &item.key else {
        return out;
    };
    for live in &status.sessions {
        let here = match &live.branch {
            Some(branch) => branch == name,
            None => item.current,
        };
        if here {
            let agent = text::one_line(&live.session.agent);
            out.push(if live.frozen {
                (format!("{agent} frozen"), Token::Warn)
            } else {
                (format!("{agent} {}", app.look.glyphs.live), Token::Live)
            });
        }
    }
    if out.is_empty() && status.forks.contains(name) {
        out.push(("open".to_owned(), Token::Dim));
    }
    let met = status
        .overlaps
        .iter()
        .filter(|m| m.a == *name || m.b == *name);
    if met
        .clone()
        .any(|m| m.merge != crate::engine::api::MergeTry::Clean)
    {
        out.push(("! conflicts".to_owned(), Token::Warn));
    } else if met.count() > 0 {
        out.push(("meets".to_owned(), Token::Dim));
    }
    out
}

/// What is known of a branch.
pub(crate) fn preview(
    app: &App,
    branches: &Branches,
    at: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let look = &app.look;
    let Some(item) = branches.item(at) else {
        return Vec::new();
    };
    let mut sheet = Sheet::new(look, width);
    let commit = &item.commit;
    match &item.key {
        Key::Branch(name) => sheet.bold(&text::one_line(name)),
        Key::Leaf(id) => {
            sheet.bold(&format!("commit {}", id.short()));
            sheet.say("nothing follows it, and no branch holds it", Token::Dim);
        }
    }
    if item.current {
        sheet.say("the workspace is on it", Token::Workspace);
    }
    for (words, token) in flags(app, item) {
        sheet.say(&words, token);
    }
    sheet.gap();
    let step = match commit.step {
        Some(step) => format!("step {step}, {}", commit.id.short()),
        None => commit.id.short(),
    };
    sheet.fact("tip", &step);
    sheet.fact("when", &commit.time.local());
    if !commit.message.is_empty() {
        sheet.fact("what", &text::one_line(&commit.message));
    }
    if let Some(fork) = branches.forks.get(item.name()) {
        facts_of_fork(&mut sheet, fork, branches.disk);
    }
    match &item.compared {
        Some(Err(why)) => {
            sheet.gap();
            sheet.say(why, Token::Bad);
        }
        Some(Ok(found)) if !item.current => facts_of_comparison(app, &mut sheet, item, found),
        _ => {}
    }
    let met = app.status.iter().flat_map(|s| &s.overlaps);
    for meeting in met.filter(|m| m.a == item.name() || m.b == item.name()) {
        sheet.gap();
        sheet.say(&text::one_line(&meeting.words()), Token::Warn);
    }
    sheet.lines
}

fn facts_of_fork(sheet: &mut Sheet<'_>, fork: &ForkInfo, disk: bool) {
    if let Some(path) = &fork.mounted {
        sheet.fact("view", &text::one_line(path));
    } else {
        sheet.fact("view", "closed; opened when somebody runs there");
    }
    if disk {
        sheet.fact("disk", &text::bytes(fork.disk));
    }
    let base = match fork.base.step {
        Some(step) => format!("step {step}"),
        None => fork.base.commit.short(),
    };
    let changed = text::plural(fork.changed as u64, "path");
    sheet.fact("forked", &format!("from {base}, {changed} otherwise"));
    if !fork.drift.is_empty() {
        let first = fork.drift.iter().take(NAMED).map(text::path);
        let words = first.collect::<Vec<_>>().join(", ");
        sheet.fact("drift", &format!("changed in the project since: {words}"));
    }
}

fn facts_of_comparison(app: &App, sheet: &mut Sheet<'_>, item: &Item, found: &Comparison) {
    let dot = format!(" {} ", app.look.glyphs.dot);
    let ours = text::one_line(&found.a.rev);
    let mut words = format!("{} ahead", found.b.ahead);
    words.push_str(&dot);
    words.push_str(&format!("{} behind {ours}", found.a.ahead));
    sheet.fact("stands", &words);
    if let Some(base) = item.base() {
        sheet.fact("from", &format!("step {base}"));
    }
    let both: Vec<String> = found
        .both
        .iter()
        .filter(|o| !o.alike)
        .map(|o| text::path(&o.path))
        .collect();
    if !both.is_empty() {
        let some = both.iter().take(NAMED).cloned().collect::<Vec<_>>();
        let more = match both.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        sheet.fact("both", &format!("{}{more}", some.join(", ")));
    }
    if !found.b.commits.is_empty() {
        sheet.head("only here");
        for commit in found.b.commits.iter().take(NAMED) {
            let step = commit.step.map(|s| s.to_string()).unwrap_or_default();
            let what = match commit.message.as_str() {
                "" => commit.cause.word().to_owned(),
                message => text::one_line(message),
            };
            let files = match commit.effect {
                Some(e) => format!("  +{} -{}", e.added, e.removed),
                None => String::new(),
            };
            sheet.say(&format!("{step:>6}  {what}{files}"), Token::Text);
        }
        let more = found.b.ahead.saturating_sub(NAMED as u64);
        if more > 0 {
            sheet.say(&format!("{:>6}  and {more} more", ""), Token::Dim);
        }
    }
    if !found.b.changes.is_empty() {
        sheet.files(&found.b.changes);
    }
}
