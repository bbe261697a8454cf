//! The commit graph and the history of paths, as lists: `leaves`, `lineage`, `children`, `history`, `trace`.

use super::args;
use super::diff::in_project;
use super::history::{commit_line, effect_text, row_line};
use super::out::{Out, Tone, count, one_line};
use super::{Context, Ended, Fail};
use crate::engine::api::{
    ChangeOp, CommitInfo, GraphAnswer, GraphQuery, Request, Response, TextPart, TraceInfo,
    VersionInfo, rule_words,
};
use crate::model::{CommitId, Ordinal, neutral};

/// How many entries are asked for at a time.
const PAGE: usize = 500;
/// Lines and characters of a text that are printed.
const LINES: usize = 6;
const WIDTH: usize = 160;
/// Changes that are printed of a commit.
const CHANGES: usize = 12;

/// Asks about the graph.
pub async fn graph(cx: &Context, query: GraphQuery) -> Result<GraphAnswer, Fail> {
    match cx.ask(Request::Graph(query)).await? {
        Response::Graph(answer) => Ok(answer),
        other => Err(Fail::unexpected(&other)),
    }
}

async fn commits(cx: &Context, query: GraphQuery) -> Result<Vec<CommitInfo>, Fail> {
    match graph(cx, query).await? {
        GraphAnswer::Commits(commits) => Ok(commits),
        other => Err(unexpected(other)),
    }
}

/// The answer was to another question.
pub fn unexpected(answer: GraphAnswer) -> Fail {
    Fail::unexpected(&Response::Graph(answer))
}

fn print(commits: &[CommitInfo], json: bool, out: &mut Out) -> Result<(), Fail> {
    for commit in commits {
        if json {
            out.json(commit)?;
        } else {
            let line = commit_line(commit, out);
            out.line(&line)?;
        }
    }
    // What is there is shown while the next page is on its way.
    out.flush()
}

/// `leaves`
pub async fn leaves(cx: &Context, args: &args::Leaves, out: &mut Out) -> Ended {
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut before = None;
    while left > 0 {
        let limit = left.min(PAGE);
        let page = commits(cx, GraphQuery::Leaves { before, limit }).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        left -= page.len().min(left);
        print(&page, args.json, out)?;
    }
    Ok(0)
}

/// `lineage`
pub async fn lineage(cx: &Context, args: &args::Lineage, out: &mut Out) -> Ended {
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut next = Some(args.rev.clone());
    while let Some(rev) = next.filter(|_| left > 0) {
        let limit = left.min(PAGE);
        let page = commits(cx, GraphQuery::Lineage { rev, limit }).await?;
        left -= page.len().min(left);
        print(&page, args.json, out)?;
        let parent = page.last().and_then(|c| c.parents.first());
        next = parent.copied().map(CommitId::to_hex);
    }
    Ok(0)
}

/// `children`
pub async fn children(cx: &Context, args: &args::Children, out: &mut Out) -> Ended {
    let rev = args.rev.clone();
    let found = commits(cx, GraphQuery::Children { rev }).await?;
    print(&found, args.json, out)?;
    Ok(0)
}

/// `history`
pub async fn history(cx: &Context, args: &args::History, out: &mut Out) -> Ended {
    let path = in_project(&cx.project.root, &cx.cwd, &args.path)?;
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut before = None;
    while left > 0 {
        let query = GraphQuery::Path {
            path: path.clone(),
            rev: args.rev.clone(),
            before,
            limit: left.min(PAGE),
        };
        let page = match graph(cx, query).await? {
            GraphAnswer::Versions(page) => page,
            other => return Err(unexpected(other)),
        };
        let Some(last) = page.last() else { break };
        let first = before.is_none();
        before = Some(last.commit.seq);
        left -= page.len().min(left);
        for version in &page {
            if args.json {
                out.json(version)?;
            } else {
                let line = version_line(version, out);
                out.line(&line)?;
            }
        }
        if first {
            out.flush()?;
        }
    }
    if before.is_none() && args.limit != Some(0) {
        return Err(Fail::Message(match &args.rev {
            Some(rev) => format!(
                "nothing that led to {} changed {path}",
                neutral(rev.as_bytes())
            ),
            None => format!("no commit changed {path}"),
        }));
    }
    Ok(0)
}

fn version_line(version: &VersionInfo, out: &Out) -> String {
    let commit = &version.commit;
    let dir = version.after.as_ref().is_some_and(|e| e.kind == "dir");
    let (tone, word) = match version.op {
        Some(ChangeOp::Create) => (Tone::Good, "added"),
        Some(ChangeOp::Delete) => (Tone::Bad, "removed"),
        Some(ChangeOp::Mode) => (Tone::Plain, "mode"),
        Some(ChangeOp::Kind) => (Tone::Plain, "kind"),
        Some(_) if dir => (Tone::Plain, "below"),
        _ => (Tone::Plain, "changed"),
    };
    let size = match &version.after {
        Some(entry) if entry.kind == "file" => format!("{:>9}", entry.size),
        Some(entry) => format!("{:>9}", entry.kind),
        None => " ".repeat(9),
    };
    let mut parts = vec![
        out.paint(Tone::Id, &commit.id.short()),
        out.paint(Tone::Dim, &commit.time.local()),
        match commit.step {
            Some(step) => format!("step {:<5}", step.to_string()),
            None => " ".repeat(10),
        },
        out.paint(tone, &format!("{word:<7}")),
        size,
    ];
    let said = match (version.tool.as_str(), version.title.as_str()) {
        ("", "") => one_line(&commit.message, 80),
        ("", title) => one_line(title, 80),
        (tool, title) if title.starts_with(tool) => one_line(title, 80),
        (tool, title) => format!("{}: {}", one_line(tool, 24), one_line(title, 80)),
    };
    parts.push(said);
    parts.join("  ").trim_end().to_owned()
}

/// `trace`
pub async fn trace(cx: &Context, args: &args::TraceOf, out: &mut Out) -> Ended {
    let query = GraphQuery::Trace {
        rev: args.rev.clone(),
        depth: args.depth.max(1),
    };
    let found = match graph(cx, query).await? {
        GraphAnswer::Trace(found) => found,
        other => return Err(unexpected(other)),
    };
    for (i, one) in found.iter().enumerate() {
        if args.json {
            out.json(one)?;
            continue;
        }
        if i > 0 {
            out.line("")?;
        }
        print_trace(one, out)?;
    }
    Ok(0)
}

fn print_trace(one: &TraceInfo, out: &mut Out) -> Result<(), Fail> {
    let line = commit_line(&one.commit, out);
    out.line(&line)?;
    if let Some((step, text)) = &one.prompt {
        print_text("prompt", Some(*step), text, out)?;
    }
    if let Some((step, text)) = &one.thought {
        print_text("thought", Some(*step), text, out)?;
    }
    if let Some(row) = &one.step {
        let head = out.paint(Tone::Dim, "  step    ");
        let line = row_line(row, out);
        out.line(&format!("{head}{}", line.trim_start()))?;
        let is = |part: &Option<TextPart>, text: &str| {
            part.as_ref().is_some_and(|p| p.text.trim() == text.trim())
        };
        if let Some(call) = one.call.as_ref().filter(|_| !is(&one.call, &row.title)) {
            print_text("call", None, &call.text, out)?;
        }
        if let Some(result) = &one.result {
            print_text("result", None, &result.text, out)?;
        }
    }
    if let Some(link) = &one.link {
        let why = format!("{}, {} %", rule_words(link.rule), link.confidence);
        print_text("because", None, &why, out)?;
    }
    let total = one
        .commit
        .effect
        .filter(|e| e.files > 0)
        .map_or_else(|| count(one.changed, "path"), |e| effect_text(e, out));
    let head = out.paint(Tone::Dim, "  effect  ");
    out.line(&format!("{head}{total}"))?;
    for change in one.effect.iter().take(CHANGES) {
        let letter = match change.op {
            ChangeOp::Create => "A",
            ChangeOp::Delete => "D",
            ChangeOp::Rename => "R",
            ChangeOp::Mode => "m",
            ChangeOp::Kind => "K",
            ChangeOp::Modify => "M",
        };
        let from = change
            .from
            .as_ref()
            .map(|from| format!(" (was {from})"))
            .unwrap_or_default();
        out.line(&format!("          {letter} {}{from}", change.path))?;
    }
    if one.changed > CHANGES {
        out.line(&format!("          and {} more", one.changed - CHANGES))?;
    }
    Ok(())
}

/// The beginning of a text, harmless, under its word.
fn print_text(word: &str, step: Option<Ordinal>, text: &str, out: &mut Out) -> Result<(), Fail> {
    let mut head = out.paint(Tone::Dim, &format!("  {word:<8}"));
    if let Some(step) = step {
        head.push_str(&out.paint(Tone::Mark, &format!("{step}  ")));
    }
    let mut lines = text.lines().filter(|l| !l.trim().is_empty());
    for (i, line) in lines.by_ref().take(LINES).enumerate() {
        let line = one_line(line, WIDTH);
        match i {
            0 => out.line(&format!("{head}{line}"))?,
            _ => out.line(&format!("          {line}"))?,
        }
    }
    let more = lines.count();
    if more > 0 {
        let more = out.paint(Tone::Dim, &format!("({} more)", count(more, "line")));
        out.line(&format!("          {more}"))?;
    }
    Ok(())
}
