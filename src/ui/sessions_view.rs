//! The sessions of a project or a recording: who ran, when and where, and what came of it, counted from the steps.

use std::collections::HashMap;

use ratatui::text::{Line, Span};

use crate::engine::api::{ApiError, Response};
use crate::model::{Ordinal, Session, Time, Tokens};

use super::action::Action;
use super::app::App;
use super::brief::session_key;
use super::desk::{self, Sheet};
use super::draw::key_of;
use super::rows::{self, Rows};
use super::text;
use super::theme::Token;
use super::words;

/// Runs of more steps than these do not tell their tokens.
const COUNTED: usize = 20_000;

/// What the steps of a session come to.
#[derive(Debug, Clone, Default)]
struct Sum {
    first: Option<Ordinal>,
    last: Option<Ordinal>,
    end: Time,
    steps: u64,
    turns: u64,
    failed: u64,
    changed: u64,
    tokens: Tokens,
}

/// The sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    items: Option<Result<Vec<Session>, String>>,
    shown: Vec<usize>,
    /// By what is kept of a session with each row.
    sums: HashMap<u32, Sum>,
    /// How many rows were counted.
    pub rows: usize,
}

impl Sessions {
    /// Counts the steps of each.
    pub(crate) fn of(all: &Rows) -> Self {
        let mut sums: HashMap<u32, Sum> = HashMap::new();
        for row in all.briefs().filter(|r| r.session != 0) {
            let sum = sums.entry(row.session).or_default();
            sum.first.get_or_insert(row.ordinal);
            sum.last = Some(row.ordinal);
            sum.steps += 1;
            sum.turns += u64::from(rows::begins_turn(&row));
            sum.failed += u64::from(rows::failed(&row));
            sum.changed += u64::from(rows::changed(&row));
        }
        for sum in sums.values_mut() {
            let last = sum.last.and_then(|at| all.at(at));
            sum.end = last.map_or(Time(0), |r| r.end.unwrap_or(r.time));
        }
        // Tokens are told by whole rows only, which are unpacked for it.
        let whole = if all.len() <= COUNTED { all.len() } else { 0 };
        for row in (0..whole).filter_map(|at| all.get(at)) {
            if let (Some(tokens), Some(sum)) =
                (&row.talk.tokens, sums.get_mut(&session_key(row.session)))
            {
                let of = &mut sum.tokens;
                of.input = of.input.saturating_add(tokens.input);
                of.output = of.output.saturating_add(tokens.output);
                of.cache_read = of.cache_read.saturating_add(tokens.cache_read);
                of.cache_write = of.cache_write.saturating_add(tokens.cache_write);
            }
        }
        Self {
            items: None,
            shown: Vec::new(),
            sums,
            rows: all.len(),
        }
    }

    /// The same sessions, counted anew.
    pub(crate) fn again(&self, all: &Rows) -> Self {
        Self {
            items: self.items.clone(),
            ..Self::of(all)
        }
    }

    /// They came.
    pub(crate) fn answer(&mut self, result: Result<Response, ApiError>) {
        self.items = Some(match result {
            Ok(Response::Sessions(sessions)) => Ok(sessions),
            Ok(_) => Err("an answer of another kind came".to_owned()),
            Err(error) => Err(text::one_line(&error.message)),
        });
    }

    /// What is said while there is nothing.
    pub(crate) fn state(&self) -> Result<&'static str, String> {
        match &self.items {
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(_)) => Ok("no session yet: backtrail run -- CMD begins one"),
            None => Ok("loading"),
        }
    }

    /// How many are listed.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    fn item(&self, at: usize) -> Option<&Session> {
        match &self.items {
            Some(Ok(all)) => all.get(*self.shown.get(at)?),
            _ => None,
        }
    }

    fn sum(&self, session: &Session) -> Sum {
        let key = session_key(Some(session.id));
        self.sums.get(&key).cloned().unwrap_or_default()
    }

    /// Where one begins.
    pub(crate) fn first(&self, at: usize) -> Result<Ordinal, String> {
        let session = self.item(at).ok_or("there is no session")?;
        let first = self.sum(session).first;
        first.ok_or_else(|| "no step of it is recorded".to_owned())
    }

    /// Lists what fits.
    pub(crate) fn sift(&mut self, filter: &str) {
        let Some(Ok(all)) = &self.items else { return };
        let fits = |s: &Session| {
            let branch = s.branch.as_deref().unwrap_or("workspace");
            let line = format!("{} {} {} {branch}", s.agent, s.command, s.native);
            desk::holds(&line, filter)
        };
        self.shown = (0..all.len())
            .filter(|at| all.get(*at).is_some_and(fits))
            .collect();
    }
}

/// How a session stands: running, frozen, or how it ended.
fn state(app: &App, session: &Session) -> (String, Token) {
    let live = app.status.iter().flat_map(|s| &s.sessions);
    match live.into_iter().find(|l| l.session.id == session.id) {
        Some(live) if live.frozen => ("frozen".to_owned(), Token::Warn),
        Some(_) => ("running".to_owned(), Token::Live),
        None => match session.exit_code {
            Some(0) => ("ok".to_owned(), Token::Good),
            Some(code) => (format!("{}{code}", app.look.glyphs.failed), Token::Bad),
            None if session.imported => ("imported".to_owned(), Token::Dim),
            None => ("ended".to_owned(), Token::Dim),
        },
    }
}

fn lasted(app: &App, session: &Session, sum: &Sum) -> String {
    let runs = app.status.iter().flat_map(|s| &s.sessions);
    let running = runs.into_iter().any(|l| l.session.id == session.id);
    let end = session.end.filter(|_| !running).unwrap_or(sum.end);
    if session.start.0 == 0 || end < session.start {
        return String::new();
    }
    words::span(end.since(session.start))
}

/// Wider lists have more columns: its heading, cells, and from which width on.
const COLUMNS: [(&str, usize, usize); 6] = [
    ("length", 7, 48),
    ("turns", 5, 54),
    ("steps", 7, 0),
    ("failed", 6, 62),
    ("tokens", 6, 76),
    ("branch", 14, 92),
];

/// Over the list.
pub(crate) fn headings(width: usize) -> String {
    let time = desk::time_cells(width);
    let mut out = format!(" {:>time$}  {:<10}", "began", "agent");
    for (name, cells, _) in COLUMNS.iter().filter(|(.., from)| width >= *from) {
        let cell = match *name {
            "branch" => format!("{name:<cells$}"),
            _ => format!("{name:>cells$}"),
        };
        out.push_str(&format!(" {cell}"));
    }
    out
}

/// A session as a line.
pub(crate) fn row(app: &App, sessions: &Sessions, at: usize, width: usize) -> Vec<Span<'static>> {
    let look = &app.look;
    let Some(session) = sessions.item(at) else {
        return Vec::new();
    };
    let theme = look.theme;
    let sum = sessions.sum(session);
    let newest = sessions.item(0).map_or(Time::default(), |s| s.start);
    let mut spans = vec![
        Span::styled(
            desk::when(look, newest, session.start, desk::time_cells(width)),
            theme.style(Token::Dim),
        ),
        Span::styled(
            format!(
                "  {}",
                desk::cell(look, &text::one_line(&session.agent), 10)
            ),
            theme.style(Token::Kind),
        ),
    ];
    let number = |n: u64| match n {
        0 => String::new(),
        n => text::grouped(n),
    };
    for (name, cells, _) in COLUMNS.iter().filter(|(.., from)| width >= *from) {
        let cells = *cells;
        let (value, token) = match *name {
            "length" => (lasted(app, session, &sum), Token::Text),
            "turns" => (number(sum.turns), Token::Text),
            "steps" => (number(sum.steps), Token::Text),
            "failed" => (number(sum.failed), Token::Bad),
            "tokens" => match words::all_tokens(&sum.tokens) {
                0 => (String::new(), Token::Text),
                n => (words::count(n), Token::Text),
            },
            _ => {
                let branch = session.branch.as_deref().unwrap_or("workspace");
                let name = desk::cell(look, &text::one_line(branch), cells);
                spans.push(Span::styled(format!(" {name}"), theme.style(Token::Dim)));
                continue;
            }
        };
        spans.push(Span::styled(
            format!(" {value:>cells$}"),
            theme.style(token),
        ));
    }
    let (words, token) = state(app, session);
    spans.push(Span::styled(format!("  {words}"), theme.style(token)));
    spans
}

/// What is known of a session.
pub(crate) fn preview(
    app: &App,
    sessions: &Sessions,
    at: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let look = &app.look;
    let mut sheet = Sheet::new(look, width);
    let Some(session) = sessions.item(at) else {
        return Vec::new();
    };
    let sum = sessions.sum(session);
    sheet.bold(&text::one_line(&session.agent));
    let (words, token) = state(app, session);
    sheet.say(&words, token);
    sheet.gap();
    if !session.command.is_empty() {
        sheet.fact("command", &text::one_line(&session.command));
    }
    sheet.fact("id", &text::one_line(&session.native));
    if session.start.0 != 0 {
        sheet.fact("began", &session.start.local());
    }
    let length = lasted(app, session, &sum);
    if !length.is_empty() {
        sheet.fact("length", &length);
    }
    let place = session.branch.as_deref().unwrap_or("the workspace");
    sheet.fact("in", &text::one_line(place));
    sheet.gap();
    match (sum.first, sum.last) {
        (Some(first), Some(last)) => {
            let all = text::grouped(sum.steps);
            sheet.fact("steps", &format!("{all}, {first} to {last}"));
        }
        _ => sheet.fact("steps", "none recorded"),
    }
    for (name, n) in [
        ("turns", sum.turns),
        ("changed", sum.changed),
        ("failed", sum.failed),
    ] {
        if n > 0 {
            let words = match name {
                "changed" => format!("files in {}", text::plural(n, "step")),
                _ => text::grouped(n),
            };
            sheet.fact(name, &words);
        }
    }
    if words::all_tokens(&sum.tokens) > 0 {
        let dot = format!(" {} ", look.glyphs.dot);
        sheet.fact("tokens", &words::tokens(&sum.tokens, &dot));
    }
    sheet.gap();
    if sum.first.is_some() {
        sheet.key(&key_of(app, Action::Open), "go to its first step");
    }
    sheet.lines
}
