//! What was recorded, as lists: commits, steps, sessions.

use super::args;
use super::filter;
use super::graph::{Charset, Graph};
use super::out::{Out, Tone, count, duration, one_line};
use super::{Context, Ended, Fail};
use crate::engine::api::{CommitInfo, Effect, Request, Response, Row};
use crate::model::{Session, Status, StepKind, Time, neutral};

/// How many entries are asked for at a time.
const PAGE: usize = 500;

/// `log`
pub async fn log(cx: &Context, args: &args::Log, out: &mut Out) -> Ended {
    let mut graph = args.graph.then(|| Graph::new(Charset::of_locale()));
    let mut before = None;
    let mut left = args.limit.unwrap_or(usize::MAX);
    if let Some(text) = &args.filter {
        filter::query(text)?;
    }
    while left > 0 {
        // Of those that are asked for, a filter may leave none.
        let limit = if args.filter.is_some() {
            PAGE
        } else {
            left.min(PAGE)
        };
        let commits = match cx.ask(Request::Log { before, limit }).await? {
            Response::Log(commits) => commits,
            other => return Err(Fail::unexpected(&other)),
        };
        let last = commits.last().map(|c| c.seq);
        let commits = match &args.filter {
            Some(text) => filter::commits(cx, text, commits).await?,
            None => commits,
        };
        for commit in commits.iter().take(left) {
            if args.json {
                out.json(commit)?;
            } else if let Some(graph) = &mut graph {
                let (above, own, below) = graph.next(commit.id, &commit.parents);
                for row in above {
                    out.line(&row)?;
                }
                let text = commit_line(commit, out);
                out.line(&format!("{own}  {text}"))?;
                for row in below {
                    out.line(&row)?;
                }
            } else {
                let text = commit_line(commit, out);
                out.line(&text)?;
            }
        }
        left -= commits.len().min(left);
        match last {
            // A page may be shorter than was asked for; only an empty one is the end.
            Some(last) => before = Some(last),
            None => break,
        }
        // What is there is shown while the next page is on its way.
        out.flush()?;
    }
    Ok(0)
}

/// A commit as one line.
pub fn commit_line(commit: &CommitInfo, out: &Out) -> String {
    let mut parts = vec![
        out.paint(Tone::Id, &commit.id.short()),
        out.paint(Tone::Dim, &date(commit.time)),
        format!("{:<11}", commit.cause.word()),
        match commit.step {
            Some(step) => format!("step {:<5}", step.to_string()),
            None => " ".repeat(10),
        },
    ];
    if let Some(effect) = commit.effect.filter(|effect| effect.files > 0) {
        parts.push(effect_text(effect, out));
    }
    let message = one_line(&commit.message, 72);
    if !message.is_empty() {
        parts.push(message);
    }
    let names = ref_names(&commit.refs);
    if !names.is_empty() {
        parts.push(out.paint(Tone::Name, &format!("({})", names.join(", "))));
    }
    parts.join("  ").trim_end().to_owned()
}

/// When, in the width of a date; nothing for what does not tell (some recordings have no times).
fn date(time: Time) -> String {
    let told = time != Time::default();
    format!("{:19}", if told { time.local() } else { String::new() })
}

/// As [`date`], the time of day.
fn clock(time: Time) -> String {
    let told = time != Time::default();
    format!("{:8}", if told { time.clock() } else { String::new() })
}

/// Names as people give them: branches as they are, labels with a `#`.
pub fn ref_names(refs: &[String]) -> Vec<String> {
    refs.iter()
        .map(|name| {
            let name = neutral(name.as_bytes());
            match name.strip_prefix("branch/") {
                Some(branch) => branch.to_owned(),
                None => match name.strip_prefix("label/") {
                    Some(label) => format!("#{label}"),
                    None => name,
                },
            }
        })
        .collect()
}

/// `2 files +3 -1`.
pub fn effect_text(effect: Effect, out: &Out) -> String {
    let mut text = count(effect.files as usize, "file");
    if effect.added > 0 {
        text.push(' ');
        text.push_str(&out.paint(Tone::Good, &format!("+{}", effect.added)));
    }
    if effect.removed > 0 {
        text.push(' ');
        text.push_str(&out.paint(Tone::Bad, &format!("-{}", effect.removed)));
    }
    text
}

/// `steps`
pub async fn steps(cx: &Context, json: bool, limit: Option<usize>, out: &mut Out) -> Ended {
    let mut after = None;
    let mut kept = std::collections::VecDeque::new();
    loop {
        let page = match cx.ask(Request::Rows { after, limit: PAGE }).await? {
            Response::Rows(page) => page,
            other => return Err(Fail::unexpected(&other)),
        };
        let Some(last) = page.rows.last() else { break };
        after = Some(last.ordinal);
        for row in page.rows {
            match limit {
                None => print_row(&row, json, out)?,
                Some(limit) => {
                    kept.push_back(row);
                    if kept.len() > limit {
                        kept.pop_front();
                    }
                }
            }
        }
        out.flush()?;
    }
    for row in &kept {
        print_row(row, json, out)?;
    }
    Ok(0)
}

/// A step as it is listed.
pub fn print_row(row: &Row, json: bool, out: &mut Out) -> Result<(), Fail> {
    if json {
        return out.json(row);
    }
    let line = row_line(row, out);
    out.line(&line)
}

/// A step as one line.
pub fn row_line(row: &Row, out: &Out) -> String {
    let kind = match row.kind {
        StepKind::Prompt => "prompt",
        StepKind::Thought => "thought",
        StepKind::Message => "message",
        StepKind::Call => "call",
        StepKind::Fs => "change",
        StepKind::Outside => "outside",
        StepKind::Marker => "marker",
        StepKind::Unknown => "unknown",
    };
    let mut title = one_line(&row.title, 80);
    if !row.tool.is_empty() {
        let tool = one_line(&row.tool, 24);
        // Many titles begin with the tool's name already.
        if !title.starts_with(&tool) {
            title = format!("{tool}: {title}");
        }
    }
    let mut parts = vec![
        format!("{:>5}", row.ordinal.to_string()),
        out.paint(Tone::Dim, &clock(row.time)),
        out.paint(Tone::Mark, &format!("{kind:<7}")),
    ];
    if row.kind == StepKind::Prompt {
        title = out.paint(Tone::Bold, &title);
    }
    parts.push(title);
    match (row.status, row.exit_code) {
        (Status::Error, Some(code)) => parts.push(out.paint(Tone::Bad, &format!("[exit {code}]"))),
        (Status::Error, None) => parts.push(out.paint(Tone::Bad, "[failed]")),
        (Status::Running, _) => parts.push(out.paint(Tone::Mark, "[running]")),
        (Status::Aborted, _) => parts.push(out.paint(Tone::Bad, "[no result]")),
        _ => {}
    }
    if let Some(commit) = row.commit {
        let mut text = format!("-> {}", out.paint(Tone::Id, &commit.short()));
        if row.commits > 1 {
            text.push_str(&format!(" and {} more", row.commits - 1));
        }
        parts.push(text);
        if let Some(effect) = row.effect.filter(|effect| effect.files > 0) {
            parts.push(effect_text(effect, out));
        }
    }
    if !row.labels.is_empty() {
        let names: Vec<_> = row
            .labels
            .iter()
            .map(|l| format!("#{}", neutral(l.as_bytes())))
            .collect();
        parts.push(out.paint(Tone::Name, &format!("({})", names.join(", "))));
    }
    parts.join("  ").trim_end().to_owned()
}

/// `sessions`
pub async fn sessions(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let sessions = match cx.ask(Request::Sessions).await? {
        Response::Sessions(sessions) => sessions,
        other => return Err(Fail::unexpected(&other)),
    };
    for session in &sessions {
        if json {
            out.json(session)?;
        } else {
            let line = session_line(session, out);
            out.line(&line)?;
        }
    }
    if sessions.is_empty() && !json {
        out.line("no sessions yet: backtrail run -- CMD")?;
    }
    Ok(0)
}

fn session_line(session: &Session, out: &Out) -> String {
    let state = match (session.end, session.exit_code) {
        (_, None) if session.start == Time::default() => String::new(),
        (None, _) => out.paint(Tone::Good, "running"),
        (Some(end), code) => {
            let lasted = duration(end.since(session.start));
            match code {
                Some(0) => lasted,
                Some(code) => format!(
                    "{lasted}, {}",
                    out.paint(Tone::Bad, &format!("exit {code}"))
                ),
                None => lasted,
            }
        }
    };
    let command = if session.command.is_empty() {
        &session.native
    } else {
        &session.command
    };
    let state = match state.as_str() {
        "" => state,
        state => format!("  ({state})"),
    };
    let place = match &session.branch {
        Some(branch) => format!("  on {}", out.paint(Tone::Name, &one_line(branch, 40))),
        None => String::new(),
    };
    format!(
        "{}  {}  {:<10}  {}{place}{state}",
        out.paint(Tone::Id, &session.id.short()),
        out.paint(Tone::Dim, &date(session.start)),
        one_line(&session.agent, 24),
        one_line(command, 80),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::super::testing::{Scripted, commit, wait};
    use super::*;

    /// 120 commits in a row, given in pages.
    fn run(args: &args::Log, most: usize) -> (String, usize) {
        let source = Scripted::new(move |request| match request {
            Request::Log { before, limit } => {
                let newest = before.map_or(120, |b| b - 1);
                let page = (1..=newest)
                    .rev()
                    .take((*limit).min(most))
                    .map(|n| {
                        let n = u8::try_from(n).unwrap();
                        commit(n, &[n - 1][..usize::from(n > 1)])
                    })
                    .collect();
                Some(Response::Log(page))
            }
            _ => None,
        });
        let (cx, source) = source.context();
        let seen = Captured::default();
        let mut out = seen.out();
        wait(log(&cx, args, &mut out)).unwrap();
        let asked = source.asked.lock().unwrap().len();
        (seen.text(), asked)
    }

    fn arguments() -> args::Log {
        args::Log {
            graph: false,
            json: false,
            limit: None,
            filter: None,
        }
    }

    #[test]
    fn json_has_what_scripts_need_newest_first() {
        let args = args::Log {
            json: true,
            limit: Some(3),
            ..arguments()
        };
        let (text, asked) = run(&args, 500);
        assert_eq!(asked, 1);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        for key in [
            "id", "parents", "tree", "branch", "time", "cause", "message", "step",
        ] {
            assert!(lines[0].get(key).is_some(), "{key}");
        }
        assert_eq!(lines[0]["parents"][0], lines[1]["id"]);
        assert_eq!(lines[0]["cause"], "quiet");
    }

    #[test]
    fn all_pages_are_listed_and_control_characters_are_shown() {
        let (text, asked) = run(&arguments(), 50);
        assert_eq!(asked, 4, "three pages and the end");
        assert_eq!(text.lines().count(), 120);
        assert!(text.lines().next().unwrap().contains("commit \\x1b[31m120"));
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn the_graph_has_a_node_for_each_commit() {
        let args = args::Log {
            graph: true,
            ..arguments()
        };
        let (text, _) = run(&args, 500);
        assert_eq!(text.lines().count(), 120);
        assert!(text.lines().all(|l| l.starts_with(['●', '*'])));
    }
}
