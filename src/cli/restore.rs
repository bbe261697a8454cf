//! `restore`: files of a past state brought back into the workspace, or the agent's own state written to a file.

use super::args;
use super::change::print_kept;
use super::diff::{in_project, print_stat};
use super::out::Out;
use super::{Context, Ended, Fail, facts};
use crate::engine::api::{Part, Request, Resolved, Response};

/// `restore`
pub async fn restore(cx: &Context, args: &args::Restore, out: &mut Out) -> Ended {
    if let Some(output) = &args.output {
        return facts::restore(cx, args, output, out).await;
    }
    let parts = args
        .paths
        .iter()
        .map(|typed| {
            let path = in_project(&cx.project.root, &cx.cwd, typed)?;
            Ok(Part::Whole { path })
        })
        .collect::<Result<Vec<_>, Fail>>()?;
    let request = Request::Restore {
        rev: args.rev.clone(),
        parts,
        dry_run: args.dry_run,
        keep_frozen: false,
    };
    let found = match cx.ask(request).await? {
        Response::Restored(found) => found,
        other => return Err(Fail::unexpected(&other)),
    };
    if args.json {
        out.json(&*found)?;
        return Ok(0);
    }
    print_kept(&found.report, out)?;
    let when = words(&found.past);
    if found.changes.is_empty() {
        out.line(&format!("all of it is as at {when} already"))?;
        return Ok(0);
    }
    print_stat(&found.changes, out)?;
    if args.dry_run {
        out.line(&format!("would be as at {when}"))?;
    } else {
        out.line(&format!("as at {when} again"))?;
        out.line("undo with: backtrail undo")?;
    }
    Ok(0)
}

fn words(past: &Resolved) -> String {
    match past.step {
        Some(step) => format!("step {step}"),
        None => past.commit.short(),
    }
}
