//! What else is known of a state than its files: the plan that the agent had made, what it had read until then, and where it
//! ran. A tab is there only when something is known for it.

use std::collections::HashSet;

use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::engine::api::{Request, Row};
use crate::model::{CallKind, Ordinal, Session, StepId, StepKind};

use super::app::{App, View};
use super::diffing::About;
use super::msg::{Effect, Slot, Tag};
use super::text;
use super::theme::Token;
use super::whole;
use super::words;

/// Steps that are looked through for plans and reads.
const BACK: usize = 3_000;
/// Files that are listed as read, and those of them whose size is asked for.
const READS: usize = 200;
const SIZED: usize = 24;
/// Lines of a fact: a command may be a whole script.
const FACT_LINES: usize = 4;

/// A tab of the state browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tab {
    #[default]
    Files,
    Plan,
    Context,
    Env,
}

impl Tab {
    fn title(self) -> &'static str {
        match self {
            Self::Files => "Files",
            Self::Plan => "Plan",
            Self::Context => "Context",
            Self::Env => "Env",
        }
    }
}

/// A file that the agent had read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub path: String,
    pub id: StepId,
    pub step: Ordinal,
    pub times: usize,
}

/// What is known, of which step.
#[derive(Debug, Default)]
pub(crate) struct Tabs {
    pub tab: Tab,
    pub scroll: usize,
    /// The step that all this is known of.
    at: Option<Ordinal>,
    /// The last step before that which told a plan.
    plan: Option<(StepId, Ordinal)>,
    pub reads: Vec<Read>,
    asked: HashSet<StepId>,
    pub sessions: Vec<Session>,
    sessions_asked: bool,
}

impl Tabs {
    /// Those that something is known for.
    pub(crate) fn there(&self) -> Vec<Tab> {
        let mut out = vec![Tab::Files];
        if self.plan.is_some() {
            out.push(Tab::Plan);
        }
        if !self.reads.is_empty() {
            out.push(Tab::Context);
        }
        if !self.sessions.is_empty() {
            out.push(Tab::Env);
        }
        out
    }

    /// The next one.
    pub(crate) fn turn(&mut self) {
        let all = self.there();
        let at = all.iter().position(|t| *t == self.tab).unwrap_or(0);
        self.tab = all.get((at + 1) % all.len()).copied().unwrap_or_default();
        self.scroll = 0;
    }
}

fn tells_plan(row: &Row) -> bool {
    let name: String = row
        .tool
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    row.kind == StepKind::Call && matches!(name.as_str(), "todowrite" | "updateplan" | "writetodos")
}

/// Looks through the steps before the one that is looked at, and asks for what the tab needs.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    let (Some(index), Some(focus)) = (app.focus_index(), app.focus_row()) else {
        return;
    };
    let (at, session) = (focus.ordinal, focus.session);
    let Some(View::State(state)) = &app.view else {
        return;
    };
    if state.tabs.at != Some(at) {
        let mut plan = None;
        let mut reads: Vec<Read> = Vec::new();
        for row in app.rows.before(index + 1).take(BACK) {
            if row.session != session || row.talk.dead {
                continue;
            }
            if plan.is_none() && tells_plan(row) {
                plan = Some((row.step, row.ordinal));
            }
            if row.kind == StepKind::Call && row.call == CallKind::Read && !row.title.is_empty() {
                match reads.iter().position(|r| r.path == row.title) {
                    Some(known) => reads[known].times += 1,
                    None if reads.len() < READS => reads.push(Read {
                        path: row.title.clone(),
                        id: row.step,
                        step: row.ordinal,
                        times: 1,
                    }),
                    None => {}
                }
            }
        }
        if let Some(View::State(state)) = &mut app.view {
            let tabs = &mut state.tabs;
            tabs.at = Some(at);
            tabs.plan = plan;
            tabs.reads = reads;
            if !tabs.there().contains(&tabs.tab) {
                tabs.tab = Tab::Files;
            }
        }
    }
    let Some(View::State(state)) = &mut app.view else {
        return;
    };
    let tabs = &mut state.tabs;
    if !tabs.sessions_asked {
        tabs.sessions_asked = true;
        let tag = Tag::Diffing(Box::new(About::Sessions));
        out.push(Effect::Ask(None, tag, Request::Sessions));
    }
    let wanted: Vec<StepId> = match tabs.tab {
        Tab::Plan => tabs.plan.iter().map(|(id, _)| *id).collect(),
        Tab::Context => tabs.reads.iter().take(SIZED).map(|r| r.id).collect(),
        Tab::Files | Tab::Env => Vec::new(),
    };
    for id in wanted {
        if app.shelf.details.peek(&id).is_none() && tabs.asked.insert(id) {
            let slot = (tabs.tab == Tab::Plan).then_some(Slot::Plan);
            out.push(Effect::Ask(slot, Tag::Ahead(id), Request::Step { id }));
        }
    }
}

/// The titles, the one that is shown in bold.
pub(crate) fn titles(app: &App, tabs: &Tabs) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let mut out = Vec::new();
    for (i, tab) in tabs.there().into_iter().enumerate() {
        if i > 0 {
            let dot = format!(" {} ", app.look.glyphs.dot);
            out.push(Span::styled(dot, theme.style(Token::Dim)));
        }
        let style = if tab == tabs.tab {
            theme.style(Token::Title).add_modifier(Modifier::BOLD)
        } else {
            theme.style(Token::Dim)
        };
        out.push(Span::styled(tab.title(), style));
    }
    out
}

/// What a tab says, in lines of that width.
pub(crate) fn lines(app: &App, tabs: &Tabs, width: usize) -> Vec<Line<'static>> {
    match tabs.tab {
        Tab::Files => Vec::new(),
        Tab::Plan => plan(app, tabs, width),
        Tab::Context => context(app, tabs, width),
        Tab::Env => env(app, tabs, width),
    }
}

/// The items of a plan with how they stand, as different agents write them.
fn items(text: &str, cut: bool) -> Vec<(String, String)> {
    let Some(map) = whole::object(text, cut) else {
        return Vec::new();
    };
    let word = |item: &Value, names: &[&str]| {
        let found = names.iter().find_map(|n| item.get(*n)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    ["todos", "plan", "items", "tasks"]
        .iter()
        .find_map(|name| map.get(*name)?.as_array())
        .map(|all| {
            all.iter()
                .map(|item| {
                    let words = ["content", "step", "text", "description", "title"];
                    (word(item, &words), word(item, &["status", "state"]))
                })
                .filter(|(text, _)| !text.is_empty())
                .collect()
        })
        .unwrap_or_default()
}

fn plan(app: &App, tabs: &Tabs, width: usize) -> Vec<Line<'static>> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let Some((id, at)) = tabs.plan else {
        return Vec::new();
    };
    let Some(body) = app.shelf.details.peek(&id).and_then(|d| d.body.as_ref()) else {
        return vec![Line::from(Span::styled(" loading", dim))];
    };
    let head = format!(" told at step {at}");
    let mut out = vec![Line::from(Span::styled(head, dim)), Line::default()];
    let cut = (body.text.len() as u64) < body.len;
    let found = items(&body.text, cut);
    if found.is_empty() {
        out.push(Line::from(Span::styled(" nothing is planned", dim)));
    }
    for (words, status) in found {
        let (mark, token) = match status.as_str() {
            "completed" | "done" => (look.glyphs.done, Token::Dim),
            "in_progress" | "active" | "in-progress" => (look.glyphs.shut, Token::Focus),
            "cancelled" | "canceled" => (look.glyphs.dead, Token::Dim),
            _ => (look.glyphs.other, Token::Text),
        };
        let words = text::one_line(&words);
        let wrapped = text::wrap(&words, width.saturating_sub(4));
        for (i, line) in wrapped.into_iter().enumerate() {
            let mark = if i == 0 { mark } else { " " };
            out.push(Line::from(vec![
                Span::styled(format!(" {mark} "), theme.style(token)),
                Span::styled(line, theme.style(token)),
            ]));
        }
    }
    out
}

fn context(app: &App, tabs: &Tabs, width: usize) -> Vec<Line<'static>> {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let size = |read: &Read| {
        let detail = app.shelf.details.peek(&read.id)?;
        detail.output.as_ref().map(|o| o.len)
    };
    let known: u64 = tabs.reads.iter().filter_map(size).sum();
    let mut head = format!(" {} read", text::plural(tabs.reads.len() as u64, "file"));
    if known > 0 {
        head.push_str(&format!(", {}", text::bytes(known)));
    }
    let mut out = vec![Line::from(Span::styled(head, dim)), Line::default()];
    for read in &tabs.reads {
        let mut end = size(read).map(text::bytes).unwrap_or_default();
        end.push_str(&format!(" {:>5}", read.step.to_string()));
        let times = if read.times > 1 {
            format!(" x{}", read.times)
        } else {
            String::new()
        };
        let path = text::one_line(&read.path);
        let room = width.saturating_sub(text::width(&end) + times.len() + 3);
        let path = text::clip_start(&path, room, look.glyphs.ellipsis).into_owned();
        let pad = room.saturating_sub(text::width(&path)) + 1;
        out.push(Line::from(vec![
            Span::raw(format!(" {path}")),
            Span::styled(times, dim),
            Span::raw(" ".repeat(pad)),
            Span::styled(end, dim),
        ]));
    }
    out
}

fn env(app: &App, tabs: &Tabs, width: usize) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let row = app.focus_row();
    let session = row
        .and_then(|r| r.session)
        .and_then(|id| tabs.sessions.iter().find(|s| s.id == id));
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(session) = session {
        facts.push(("agent", session.agent.clone()));
        facts.push(("command", session.command.clone()));
        facts.push(("session", session.native.clone()));
        if words::told(session.start) {
            facts.push(("since", words::clock(&app.look.zone, session.start, true)));
        }
        if let Some(branch) = &session.branch {
            facts.push(("fork", branch.clone()));
        }
        if let Some(code) = session.exit_code {
            facts.push(("exit", code.to_string()));
        }
    }
    if let Some(status) = &app.status {
        facts.push(("in", status.project.clone()));
    }
    if let Some((commit, _)) = app.focus_detail().and_then(|d| d.commits.last()) {
        facts.push(("branch", commit.branch.clone()));
        facts.push(("commit", commit.id.short()));
        facts.push(("tree", commit.tree.short()));
    }
    let mut out = Vec::new();
    for (name, value) in facts.into_iter().filter(|(_, v)| !v.is_empty()) {
        let value = text::one_line(&value);
        let wrapped = text::wrap(&value, width.saturating_sub(11).max(8));
        for (i, line) in wrapped.into_iter().take(FACT_LINES).enumerate() {
            let name = if i == 0 { name } else { "" };
            out.push(Line::from(vec![
                Span::styled(format!(" {name:<9}"), dim),
                Span::raw(line),
            ]));
        }
    }
    if out.is_empty() {
        out.push(Line::from(Span::styled(
            " of this step nothing is known",
            dim,
        )));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_of_different_agents_are_read() {
        let claude = r#"{"todos":[{"content":"Fix expiry","status":"completed","activeForm":"Fixing"},{"content":"Run tests","status":"in_progress"}]}"#;
        let codex = r#"{"explanation":"x","plan":[{"step":"Fix expiry","status":"completed"},{"step":"Run tests","status":"in_progress"}]}"#;
        for text in [claude, codex] {
            let found = items(text, false);
            assert_eq!(
                found,
                [
                    ("Fix expiry".to_owned(), "completed".to_owned()),
                    ("Run tests".to_owned(), "in_progress".to_owned())
                ]
            );
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"todos":5}"#,
            r#"{"plan":[1,null,{"step":7}]}"#,
        ] {
            assert!(items(text, false).is_empty(), "{text}");
        }
    }
}
