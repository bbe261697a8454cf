//! The operation log: every change to the workspace, branches and labels, newest first; what one of them moved; and going
//! back over it.

use std::collections::{HashMap, HashSet};

use ratatui::text::{Line, Span};

use crate::engine::api::{ApiError, OpDetail, OpInfo, Request, Response};
use crate::model::{OpKind, Time};

use super::action::Action;
use super::app::App;
use super::cache::Cache;
use super::desk::{self, Deed, DeskTag, List, Sheet};
use super::draw::key_of;
use super::msg::{Effect, Slot, Tag};
use super::text;
use super::theme::Token;

/// Operations in a page.
const PAGE: usize = 200;

/// Operations whose details are kept.
const KEPT: usize = 64;

/// The operations.
#[derive(Debug)]
pub(crate) struct Ops {
    /// Newest first.
    items: Vec<OpInfo>,
    /// Places of those that are listed.
    shown: Vec<usize>,
    /// Those that an undo took back and no redo did again.
    undone: HashSet<u64>,
    /// The first one is there.
    done: bool,
    paging: bool,
    problem: Option<String>,
    details: Cache<u64, Result<OpDetail, String>>,
    asked: Option<u64>,
    filter: String,
    /// Checkpoints are listed too.
    checkpoints: bool,
}

impl Default for Ops {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            shown: Vec::new(),
            undone: HashSet::new(),
            done: false,
            // The first page is asked for when the list is opened.
            paging: true,
            problem: None,
            details: Cache::new(KEPT),
            asked: None,
            filter: String::new(),
            checkpoints: true,
        }
    }
}

/// Asks for a page.
pub(crate) fn page(before: Option<u64>) -> Request {
    Request::Operations {
        before,
        limit: PAGE,
    }
}

impl Ops {
    /// How many are listed.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    fn item(&self, at: usize) -> Option<&OpInfo> {
        self.items.get(*self.shown.get(at)?)
    }

    /// The number of an operation by its place.
    pub(crate) fn number(&self, at: usize) -> Option<u64> {
        self.item(at).map(|op| op.seq)
    }

    /// The place of an operation, or of the next older one.
    pub(crate) fn place_of(&self, number: u64) -> usize {
        let older = |at: &usize| self.items.get(*at).is_some_and(|op| op.seq > number);
        self.shown.partition_point(older)
    }

    /// What is said while there is nothing.
    pub(crate) fn state(&self) -> Result<&'static str, String> {
        match &self.problem {
            Some(why) => Err(why.clone()),
            None if self.done => Ok("no operation yet"),
            None => Ok("loading"),
        }
    }

    /// Below the list.
    pub(crate) fn bottom(&self, app: &App) -> String {
        let mut parts = Vec::new();
        if !self.checkpoints {
            let key = key_of(app, Action::OpCheckpoints);
            parts.push(format!("checkpoints hidden ({key})"));
        }
        if !self.done && self.problem.is_none() {
            parts.push("more to come".to_owned());
        }
        parts.join(&format!(" {} ", app.look.glyphs.dot))
    }

    /// Lists what fits.
    pub(crate) fn sift(&mut self, filter: &str) {
        filter.clone_into(&mut self.filter);
        self.shown = (0..self.items.len())
            .filter(|at| {
                self.items.get(*at).is_some_and(|op| {
                    (self.checkpoints || op.kind != OpKind::Checkpoint)
                        && desk::holds(
                            &format!(
                                "{} {} {} {}",
                                op.seq,
                                op.kind.word(),
                                op.who,
                                op.description
                            ),
                            filter,
                        )
                })
            })
            .collect();
    }

    /// The newest word on each operation says whether it stands.
    fn count_undone(&mut self) {
        let mut last: HashMap<u64, bool> = HashMap::new();
        for op in &self.items {
            if let (OpKind::Undo | OpKind::Redo, Some(of)) = (op.kind, op.of) {
                last.entry(of).or_insert(op.kind == OpKind::Undo);
            }
        }
        let undone = last.into_iter().filter(|(_, undone)| *undone);
        self.undone = undone.map(|(of, _)| of).collect();
    }

    /// One was done just now.
    pub(crate) fn came(&mut self, op: OpInfo) {
        if self.items.first().is_none_or(|first| first.seq < op.seq) {
            self.items.insert(0, op);
        }
        // What stood alone may be stood on now.
        self.details.retain(|_| false);
        self.asked = None;
        self.count_undone();
    }

    /// An answer came.
    pub(crate) fn answer(&mut self, tag: DeskTag, result: Result<Response, ApiError>) {
        let why = |e: &ApiError| text::one_line(&e.message);
        match (tag, result) {
            (DeskTag::Operations(before), Ok(Response::Operations(page))) => {
                self.paging = false;
                self.problem = None;
                if before.is_none() {
                    self.items.clear();
                    self.details.retain(|_| false);
                    self.asked = None;
                }
                self.done = page.last().is_none_or(|op| op.seq <= 1);
                let oldest = self.items.last().map(|op| op.seq);
                let new = page
                    .into_iter()
                    .filter(|op| oldest.is_none_or(|o| op.seq < o));
                self.items.extend(new);
                self.count_undone();
            }
            (DeskTag::Operations(_), Err(error)) => {
                self.paging = false;
                self.done = true;
                self.problem = Some(why(&error));
            }
            (DeskTag::Operation(seq), result) => {
                let detail = match result {
                    Ok(Response::Operation(detail)) => Ok(*detail),
                    Ok(_) => Err("an answer of another kind came".to_owned()),
                    Err(error) => Err(why(&error)),
                };
                if self.asked == Some(seq) {
                    self.asked = None;
                    self.details.put(seq, detail);
                }
            }
            _ => {}
        }
    }

    /// Asks for what is not there.
    pub(crate) fn sync(&mut self, cursor: usize, end: usize, out: &mut Vec<Effect>) {
        if !self.paging && !self.done && end + PAGE / 4 >= self.shown.len() {
            self.paging = true;
            let before = self.items.last().map(|op| op.seq);
            let tag = Tag::Desk(DeskTag::Operations(before));
            out.push(Effect::Ask(None, tag, page(before)));
        }
        let Some(seq) = self.number(cursor) else {
            return;
        };
        if self.details.peek(&seq).is_none() && self.asked != Some(seq) {
            self.asked = Some(seq);
            let request = Request::OpShow {
                op: seq.to_string(),
            };
            let tag = Tag::Desk(DeskTag::Operation(seq));
            out.push(Effect::Ask(Some(Slot::Desk), tag, request));
        }
    }

    fn detail(&self, at: usize) -> Option<&Result<OpDetail, String>> {
        self.details.peek(&self.number(at)?)
    }
}

fn selected(app: &App) -> Option<(&Ops, usize)> {
    let desk = desk::open(app)?;
    match &desk.list {
        List::Operations(ops) => Some((ops, desk.cursor)),
        _ => None,
    }
}

/// Why going back over the selected operation cannot be done.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let Some((ops, at)) = selected(app) else {
        return Ok(());
    };
    let Some(op) = ops.item(at) else {
        return Err("there is no operation".to_owned());
    };
    if action == Action::OpRestore && op.seq <= 1 {
        return Err("before the first operation there was nothing".to_owned());
    }
    match ops.detail(at) {
        Some(Ok(detail)) if action == Action::OpRevert => match &detail.stays {
            Some(why) => Err(text::one_line(why)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Restores, reverts, or hides the checkpoints.
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    if action == Action::OpCheckpoints {
        if let Some(desk) = desk::open_mut(app)
            && let List::Operations(ops) = &mut desk.list
        {
            let number = ops.number(desk.cursor);
            ops.checkpoints = !ops.checkpoints;
            let filter = ops.filter.clone();
            ops.sift(&filter);
            desk.cursor = number.map_or(0, |n| ops.place_of(n));
        }
        return;
    }
    let Some(op) = selected(app).and_then(|(ops, at)| ops.item(at)).cloned() else {
        return;
    };
    let what = text::one_line(&op.description);
    if action == Action::OpRestore {
        let words = format!(
            "Set files, branches and labels back to before operation {} ({what})",
            op.seq
        );
        desk::want(app, Deed::Restore(op.seq), &words, out);
    } else {
        let words = format!("Reverse operation {} alone ({what})", op.seq);
        desk::want(app, Deed::Revert(op.seq), &words, out);
    }
}

/// Over the list.
pub(crate) fn headings(width: usize) -> String {
    let cells = desk::time_cells(width);
    format!(" {:>5} {:>cells$}  {:<10}  what", "op", "time", "kind")
}

fn kind_token(kind: OpKind) -> Token {
    match kind {
        OpKind::Checkpoint | OpKind::Init | OpKind::Gc => Token::Dim,
        OpKind::Undo | OpKind::Redo => Token::Thought,
        OpKind::Rollback
        | OpKind::Switch
        | OpKind::Merge
        | OpKind::Restore
        | OpKind::OpRestore
        | OpKind::OpRevert => Token::Workspace,
        OpKind::Label => Token::Label,
        OpKind::Branch | OpKind::Import => Token::Kind,
    }
}

/// An operation as a line.
pub(crate) fn row(app: &App, ops: &Ops, at: usize, width: usize) -> Vec<Span<'static>> {
    let look = &app.look;
    let Some(op) = ops.item(at) else {
        return Vec::new();
    };
    let newest = ops.items.first().map_or(Time::default(), |op| op.time);
    let dim = look.theme.style(Token::Dim);
    let undone = ops.undone.contains(&op.seq);
    let mut spans = vec![
        Span::styled(format!("{:>5} ", op.seq), dim),
        Span::styled(
            desk::when(look, newest, op.time, desk::time_cells(width)),
            dim,
        ),
        Span::styled(
            format!("  {:<10}  ", op.kind.word()),
            look.theme.style(kind_token(op.kind)),
        ),
    ];
    let used: usize = 1 + spans.iter().map(Span::width).sum::<usize>();
    let who = match op.who.as_str() {
        "" | "person" => String::new(),
        who => text::one_line(who),
    };
    let tail = match (undone, who.is_empty()) {
        (true, _) => "undone".to_owned(),
        (false, false) => text::clip(&who, 12, look.glyphs.ellipsis).into_owned(),
        (false, true) => String::new(),
    };
    let room = width.saturating_sub(used + 1);
    let taken = if tail.is_empty() {
        0
    } else {
        text::width(&tail) + 2
    };
    let what = text::one_line(&op.description);
    let quiet = undone || op.kind == OpKind::Checkpoint;
    let style = look
        .theme
        .style(if quiet { Token::Dim } else { Token::Text });
    spans.push(Span::styled(
        desk::cell(look, &what, room.saturating_sub(taken)),
        style,
    ));
    if !tail.is_empty() {
        spans.push(Span::styled(format!("  {tail}"), dim));
    }
    spans
}

/// What is known of an operation.
pub(crate) fn preview(app: &App, ops: &Ops, at: usize, width: usize) -> Vec<Line<'static>> {
    let look = &app.look;
    let mut sheet = Sheet::new(look, width);
    let Some(op) = ops.item(at) else {
        return Vec::new();
    };
    sheet.bold(&text::one_line(&op.description));
    sheet.say(
        &format!("operation {}, {}", op.seq, op.kind.word()),
        Token::Dim,
    );
    sheet.gap();
    sheet.fact("when", &op.time.local());
    if !op.who.is_empty() {
        sheet.fact("who", &text::one_line(&op.who));
    }
    if let Some(of) = op.of {
        sheet.fact("of", &format!("operation {of}"));
    }
    if ops.undone.contains(&op.seq) {
        sheet.fact("state", "undone");
    }
    let detail = match ops.detail(at) {
        None => return sheet.lines,
        Some(Err(why)) => {
            sheet.gap();
            sheet.say(why, Token::Bad);
            return sheet.lines;
        }
        Some(Ok(detail)) => detail,
    };
    for (i, one) in detail.refs.iter().enumerate() {
        let name = if i == 0 { "moved" } else { "" };
        sheet.fact(name, &text::one_line(&one.words(look.glyphs.arrow)));
    }
    if !detail.changes.is_empty() {
        sheet.files(&detail.changes);
    }
    sheet.gap();
    if op.seq > 1 {
        let key = key_of(app, Action::OpRestore);
        sheet.key(&key, "everything back to before it");
    }
    match &detail.stays {
        None => sheet.key(&key_of(app, Action::OpRevert), "reverse it alone"),
        Some(why) => {
            sheet.gap();
            sheet.say(&text::one_line(why), Token::Warn);
        }
    }
    sheet.lines
}
