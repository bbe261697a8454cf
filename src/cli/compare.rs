//! `compare`: how two branches stand to each other.

use super::args;
use super::diff::print_stat;
use super::history::commit_line;
use super::out::{Out, Tone, count};
use super::{Context, Ended, Fail};
use crate::engine::api::{Comparison, Request, Response, Side};
use crate::model::neutral;

/// Commits that are printed for a side.
const COMMITS: usize = 20;

/// `compare`
pub async fn compare(cx: &Context, args: &args::Compare, out: &mut Out) -> Ended {
    let request = Request::Compare {
        a: args.a.clone(),
        b: args.b.clone(),
    };
    let found = match cx.ask(request).await? {
        Response::Comparison(found) => found,
        other => return Err(Fail::unexpected(&other)),
    };
    if args.json {
        out.json(&*found)?;
    } else {
        print(&found, out)?;
    }
    Ok(0)
}

fn name(side: &Side, out: &Out) -> String {
    out.paint(Tone::Name, &neutral(side.rev.as_bytes()))
}

fn print(found: &Comparison, out: &mut Out) -> Result<(), Fail> {
    let (a, b) = (&found.a, &found.b);
    let (of_a, of_b) = (name(a, out), name(b, out));
    out.line(&match (a.ahead, b.ahead) {
        (0, 0) => format!("{of_a} and {of_b} are the same commit"),
        (ahead, 0) => format!("{of_a} is ahead of {of_b} by {}", commits(ahead)),
        (0, behind) => format!("{of_a} is behind {of_b} by {}", commits(behind)),
        (ahead, behind) => format!(
            "{of_a} is ahead of {of_b} by {} and behind by {behind}",
            commits(ahead)
        ),
    })?;
    let bases: Vec<String> = found
        .bases
        .iter()
        .map(|base| {
            let id = out.paint(Tone::Id, &base.commit.short());
            match base.step {
                Some(step) => format!("{id} (step {step})"),
                None => id,
            }
        })
        .collect();
    out.line(&match bases.as_slice() {
        [] => "they have no commit in common: changes are counted from nothing".to_owned(),
        [one] => format!("they parted at {one}"),
        several => format!(
            "they parted at {}, after merges that cross: changes are counted from the first",
            several.join(" and ")
        ),
    })?;
    for side in [a, b] {
        print_side(side, out)?;
    }
    if a.ahead == 0 || b.ahead == 0 {
        return Ok(());
    }
    out.line("")?;
    if found.both.is_empty() {
        return out.line("no file was changed on both sides");
    }
    out.line(&format!(
        "{} changed on both sides:",
        count(found.both.len(), "file")
    ))?;
    for overlap in &found.both {
        let (tone, word) = if overlap.alike {
            (Tone::Dim, "alike ")
        } else {
            (Tone::Bad, "differs")
        };
        let word = out.paint(tone, &format!("{word:<7}"));
        out.line(&format!("  {word}  {}", overlap.path))?;
    }
    Ok(())
}

fn commits(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), "commit")
}

fn print_side(side: &Side, out: &mut Out) -> Result<(), Fail> {
    if side.ahead == 0 {
        return Ok(());
    }
    out.line("")?;
    let title = format!("only on {}: {}", name(side, out), commits(side.ahead));
    out.line(&title)?;
    for commit in side.commits.iter().take(COMMITS) {
        let line = commit_line(commit, out);
        out.line(&format!("  {line}"))?;
    }
    let more = side.ahead.saturating_sub(COMMITS as u64);
    if more > 0 {
        out.line(&format!("  and {more} more"))?;
    }
    print_stat(&side.changes, out)
}
