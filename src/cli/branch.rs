//! `branch`: listing, making, renaming, removing and pruning branches.

use super::args;
use super::out::{Out, Tone, one_line};
use super::{Context, Ended, Fail};
use crate::engine::api::{BranchInfo, BranchReport, Request, Response};
use crate::model::neutral;

/// `branch`
pub async fn branch(cx: &Context, verb: Option<args::BranchVerb>, out: &mut Out) -> Ended {
    use args::BranchVerb as Verb;
    let verb = verb.unwrap_or(Verb::List { json: false });
    let (request, json) = match verb {
        Verb::List { json } => return list(cx, json, out).await,
        Verb::Create { name, rev, json } => (Request::BranchCreate { name, rev }, json),
        Verb::Rename { from, to, json } => (Request::BranchRename { from, to }, json),
        Verb::Delete { name, json } => (Request::BranchDelete { name }, json),
        Verb::Prune { dry_run, json } => (Request::BranchPrune { dry_run }, json),
    };
    let report = match cx.ask(request).await? {
        Response::Branched(report) => report,
        other => return Err(Fail::unexpected(&other)),
    };
    if json {
        out.json(&*report)?;
    } else {
        print_report(&report, out)?;
    }
    Ok(0)
}

async fn list(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let branches = match cx.ask(Request::Branches).await? {
        Response::Branches(branches) => branches,
        other => return Err(Fail::unexpected(&other)),
    };
    let width = branches
        .iter()
        .map(|b| neutral(b.name.as_bytes()).chars().count())
        .max()
        .unwrap_or(0)
        .min(40);
    for branch in &branches {
        if json {
            out.json(branch)?;
        } else {
            let line = line(branch, width, out);
            out.line(&line)?;
        }
    }
    Ok(0)
}

fn line(branch: &BranchInfo, width: usize, out: &Out) -> String {
    let commit = &branch.commit;
    let name = format!("{:<width$}", neutral(branch.name.as_bytes()));
    let step = commit
        .step
        .map_or_else(String::new, |s| format!("step {s}"));
    let parts = [
        if branch.current { "*" } else { " " }.to_owned(),
        out.paint(Tone::Name, &name),
        out.paint(Tone::Id, &commit.id.short()),
        out.paint(Tone::Dim, &commit.time.local()),
        format!("{step:<10}"),
        one_line(&commit.message, 72),
    ];
    parts.join("  ").trim_end().to_owned()
}

fn print_report(report: &BranchReport, out: &mut Out) -> Result<(), Fail> {
    for change in &report.changes {
        if let (Some(holder), Some(tip)) = (&change.held_by, change.before) {
            out.line(&format!(
                "{} {} ({}, all of it is on {})",
                out.paint(Tone::Bad, "prune"),
                neutral(change.name.as_bytes()),
                out.paint(Tone::Id, &tip.short()),
                neutral(holder.as_bytes())
            ))?;
        }
    }
    let text = neutral(report.description.as_bytes());
    out.line(&if report.dry_run && !report.changes.is_empty() {
        format!("would have: {text}")
    } else {
        text
    })?;
    if report.operation.is_some() {
        out.line("undo with: backtrail undo")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::super::testing::{Scripted, commit, wait};
    use super::*;
    use crate::engine::api::BranchChange;
    use crate::model::{CommitId, OpId};

    fn printed(verb: Option<args::BranchVerb>, answer: Response) -> String {
        let (cx, _) = Scripted::new(move |_| Some(answer.clone())).context();
        let seen = Captured::default();
        let mut out = seen.out();
        assert_eq!(wait(branch(&cx, verb, &mut out)).unwrap(), 0);
        seen.text()
    }

    #[test]
    fn a_list_marks_where_the_workspace_is_and_is_harmless() {
        let of = |name: &str, current, n| BranchInfo {
            name: name.to_owned(),
            current,
            commit: commit(n, &[]),
        };
        let all = vec![of("a", false, 1), of("long\x1b[2J", true, 2)];
        let text = printed(None, Response::Branches(all.clone()));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("   a            01010101"), "{text}");
        assert!(lines[1].starts_with("*  long\\x1b[2J  02020202"), "{text}");
        let json = args::BranchVerb::List { json: true };
        let text = printed(Some(json), Response::Branches(all));
        let one: BranchInfo = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(one.name, "a");
    }

    #[test]
    fn pruning_says_which_and_why() {
        let report = |dry_run| {
            Response::Branched(Box::new(BranchReport {
                dry_run,
                description: "pruned the branch b".to_owned(),
                changes: vec![BranchChange {
                    name: "b".to_owned(),
                    before: Some(CommitId([7; 32])),
                    after: None,
                    held_by: Some("main".to_owned()),
                }],
                operation: (!dry_run).then_some(OpId([1; 32])),
            }))
        };
        let prune = |dry_run| {
            let verb = args::BranchVerb::Prune {
                dry_run,
                json: false,
            };
            printed(Some(verb), report(dry_run))
        };
        let text = prune(true);
        assert!(text.contains("prune b (07070707"), "{text}");
        assert!(text.contains("all of it is on main"), "{text}");
        assert!(text.contains("would have: pruned the branch b"), "{text}");
        assert!(prune(false).ends_with("undo with: backtrail undo\n"));
    }
}
