//! `blame`: which step each line of a file is from.

use serde::Serialize;

use super::args;
use super::cat::copy;
use super::diff::in_project;
use super::lineage::{graph, unexpected};
use super::out::{Out, Tone, one_line};
use super::{Context, Ended, Fail};
use crate::diff::text::lines;
use crate::engine::api::{BlameInfo, BlameProblem, GraphAnswer, GraphQuery, Origin};
use crate::model::{CommitId, Ordinal, RepoPath, Time, neutral};

/// A line as a script gets it.
#[derive(Serialize)]
struct BlamedLine<'a> {
    line: usize,
    commit: CommitId,
    step: Option<Ordinal>,
    time: Time,
    author: &'a str,
    tool: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a RepoPath>,
    older: bool,
    text: String,
}

/// `blame`
pub async fn blame(cx: &Context, args: &args::Blame, out: &mut Out) -> Ended {
    let path = in_project(&cx.project.root, &cx.cwd, &args.path)?;
    let query = GraphQuery::Blame {
        rev: args.rev.clone(),
        path: path.clone(),
        force: args.force,
    };
    let info = match graph(cx, query).await? {
        GraphAnswer::Blame(info) => info,
        other => return Err(unexpected(other)),
    };
    if let Some(problem) = info.problem {
        let hint = match problem {
            BlameProblem::Large => ": --force looks into it all the same",
            _ => "",
        };
        return Err(Fail::Message(format!("{path}: {}{hint}", problem.words())));
    }
    let mut content = Vec::new();
    if let Some(blob) = info.entry.blob {
        copy(cx, blob, |part| {
            content.extend_from_slice(part);
            Ok(())
        })
        .await?;
    }
    print(&info, &content, args.json, out)?;
    Ok(0)
}

fn print(info: &BlameInfo, content: &[u8], json: bool, out: &mut Out) -> Result<(), Fail> {
    let lines = lines(content);
    let digits = lines.len().to_string().len();
    let step = |origin: &Origin| origin.commit.step.map(|s| s.to_string());
    let wide = |len: &dyn Fn(&Origin) -> usize| info.origins.iter().map(len).max().unwrap_or(0);
    let steps = wide(&|o| step(o).map_or(0, |s| s.len())).max(4);
    let authors = wide(&|o| one_line(&o.commit.author, 12).chars().count());
    let mut runs = info.runs.iter();
    let mut run = runs.next();
    let mut left = run.map_or(0, |(count, _)| *count);
    for (at, line) in lines.iter().enumerate() {
        while left == 0 && run.is_some() {
            run = runs.next();
            left = run.map_or(0, |(count, _)| *count);
        }
        left = left.saturating_sub(1);
        let origin = run.and_then(|(_, of)| info.origins.get(usize::try_from(*of).ok()?));
        let Some(origin) = origin else { continue };
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if json {
            out.json(&BlamedLine {
                line: at + 1,
                commit: origin.commit.id,
                step: origin.commit.step,
                time: origin.commit.time,
                author: &origin.commit.author,
                tool: &origin.tool,
                title: &origin.title,
                path: origin.path.as_ref(),
                older: origin.older,
                text: String::from_utf8_lossy(text).into_owned(),
            })?;
            continue;
        }
        let mark = if origin.older { "<" } else { " " };
        let of = step(origin).unwrap_or_default();
        let named = origin
            .path
            .as_ref()
            .map(|p| format!("{p}  "))
            .unwrap_or_default();
        let prefix = format!(
            "{}{}  {}  {}  {:<authors$}  {}{}  ",
            mark,
            out.paint(Tone::Id, &origin.commit.id.short()),
            out.paint(Tone::Mark, &format!("{of:>steps$}")),
            out.paint(Tone::Dim, &origin.commit.time.local()),
            one_line(&neutral(origin.commit.author.as_bytes()), 12),
            out.paint(Tone::Dim, &named),
            out.paint(Tone::Dim, &format!("{:>digits$}", at + 1)),
        );
        out.behind(&prefix, text)?;
    }
    Ok(())
}
