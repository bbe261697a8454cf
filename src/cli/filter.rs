//! Queries on the command line: `search`, and `--filter` of `steps` and `log`.

use std::collections::HashSet;

use super::args;
use super::history::{print_row, row_line};
use super::out::{Out, Tone, count, one_line};
use super::{Context, Ended, Fail};
use crate::engine::api::search::{Place, Query};
use crate::engine::api::{CommitInfo, Found, Hit, Request, Response, Search};
use crate::model::{Ordinal, neutral};

/// Hits asked for at a time.
const PAGE: usize = 500;
/// How long a slice may take: what was found until then is printed.
const SLICE: u64 = 250;

/// Reads a query, or points at what is wrong with it.
pub fn query(text: &str) -> Result<Query, Fail> {
    text.parse::<Query>().map_err(|e| {
        Fail::Usage(format!(
            "this query cannot be read (docs/query.md has the language):\n{}",
            e.pointed(text)
        ))
    })
}

async fn ask(cx: &Context, search: Search) -> Result<Found, Fail> {
    match cx.ask(Request::Search(search)).await? {
        Response::Found(found) => Ok(*found),
        other => Err(Fail::unexpected(&other)),
    }
}

/// All hits in the order of the timeline, or the last `limit` ones; each is given as soon as it is found where that is
/// possible. Says how many files were passed over.
async fn each_hit(
    cx: &Context,
    query: &str,
    limit: Option<usize>,
    give: &mut dyn FnMut(&Hit) -> Result<(), Fail>,
) -> Result<u64, Fail> {
    let mut search = Search {
        query: query.to_owned(),
        backward: limit.is_some(),
        limit: PAGE,
        budget_ms: SLICE,
        rows: true,
        ..Search::default()
    };
    let mut last = Vec::new();
    let mut passed_over = 0;
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        search.limit = PAGE.min(left);
        let found = ask(cx, search.clone()).await?;
        left -= found.hits.len().min(left);
        passed_over += found.passed_over;
        for hit in found.hits {
            if search.backward {
                last.push(hit);
            } else {
                give(&hit)?;
            }
        }
        match found.next {
            Some(next) => search.after = Some(next),
            None if found.waiting => {}
            None => break,
        }
    }
    for hit in last.iter().rev() {
        give(hit)?;
    }
    Ok(passed_over)
}

fn passed(files: u64) {
    if files > 0 {
        let files = count(usize::try_from(files).unwrap_or(usize::MAX), "changed file");
        super::say(&format!("not looked into: {files} above 1 MiB"));
    }
}

/// `search`
pub async fn search(cx: &Context, args: &args::SearchFor, out: &mut Out) -> Ended {
    let text = args.query.join(" ");
    if query(&text)?.is_empty() {
        return Err(Fail::Usage(
            "nothing is searched for: a text, or terms such as kind:bash exit:!0".to_owned(),
        ));
    }
    let files = each_hit(cx, &text, args.limit, &mut |hit| {
        if args.json {
            return out.json(hit);
        }
        if let Some(row) = &hit.row {
            let line = row_line(row, out);
            out.line(&line)?;
        }
        if let Some(line) = excerpt(hit, out) {
            out.line(&line)?;
        }
        Ok(())
    })
    .await?;
    passed(files);
    Ok(0)
}

/// Where in a step it was found; `None` where its title says so already.
fn excerpt(hit: &Hit, out: &Out) -> Option<String> {
    let place = hit.place?;
    let (from, to) = hit.span;
    let part = |a: usize, b: usize| hit.excerpt.get(a..b).unwrap_or_default();
    let words = part(0, hit.excerpt.len());
    let in_title = |row: &crate::engine::api::Row| row.title.contains(words.trim());
    if !matches!(place, Place::Output | Place::Change | Place::Label)
        && hit.row.as_deref().is_some_and(in_title)
    {
        return None;
    }
    let line = |text: &str| neutral(text.replace(['\t', '\r'], " ").as_bytes());
    let file = match (&hit.path, place) {
        (Some(path), Place::Change) => format!("{}: ", one_line(path, 80)),
        _ => String::new(),
    };
    Some(format!(
        "       {}  {file}{}{}{}",
        out.paint(Tone::Dim, &format!("{:<8}", place.word())),
        line(part(0, from)),
        out.paint(Tone::Bold, &line(part(from, to))),
        line(part(to, hit.excerpt.len())),
    ))
}

/// `steps --filter`
pub async fn steps(
    cx: &Context,
    text: &str,
    json: bool,
    limit: Option<usize>,
    out: &mut Out,
) -> Ended {
    query(text)?;
    let files = each_hit(cx, text, limit, &mut |hit| match &hit.row {
        Some(row) => print_row(row, json, out),
        None => Ok(()),
    })
    .await?;
    passed(files);
    Ok(0)
}

/// Leaves those commits whose steps fit, for `log --filter`.
pub async fn commits(
    cx: &Context,
    text: &str,
    commits: Vec<CommitInfo>,
) -> Result<Vec<CommitInfo>, Fail> {
    let mut fitting: HashSet<Ordinal> = HashSet::new();
    let steps: Vec<Ordinal> = commits.iter().filter_map(|c| c.step).collect();
    for some in steps.chunks(PAGE) {
        let found = ask(
            cx,
            Search {
                query: text.to_owned(),
                only: Some(some.to_vec()),
                limit: PAGE,
                budget_ms: SLICE,
                ..Search::default()
            },
        )
        .await?;
        fitting.extend(found.hits.iter().map(|h| h.ordinal));
    }
    let fits = |c: &CommitInfo| c.step.is_some_and(|s| fitting.contains(&s));
    Ok(commits.into_iter().filter(fits).collect())
}
