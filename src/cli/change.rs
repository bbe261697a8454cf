//! Verbs that change something: rollback, undo, redo, checkpoint, label, init.

use super::args;
use super::history::commit_line;
use super::out::{Out, Tone, count};
use super::{Context, Ended, Fail};
use crate::engine::api::{CommitInfo, Request, Resolved, Response, RollbackReport};
use crate::model::{RefTarget, RepoPath, neutral};

/// `rollback`
pub async fn rollback(cx: &Context, args: &args::Rollback, out: &mut Out) -> Ended {
    let report = match cx
        .ask(Request::Rollback {
            rev: args.rev.clone(),
            dry_run: args.dry_run,
            keep_mtime: args.keep_mtime,
            keep_frozen: false,
        })
        .await?
    {
        Response::Rollback(report) => report,
        other => return Err(Fail::unexpected(&other)),
    };
    if args.json {
        out.json(&*report)?;
    } else if report.dry_run {
        print_preview(&report, out)?;
    } else {
        print_done("rolled back", &report, out)?;
        out.line("undo with: backtrail undo")?;
    }
    Ok(0)
}

/// `switch`
pub async fn switch(cx: &Context, args: &args::Switch, out: &mut Out) -> Ended {
    let request = Request::Switch {
        branch: args.branch.clone(),
        create: args.create,
        dry_run: args.dry_run,
    };
    match cx.ask(request).await? {
        Response::Rollback(report) if args.json => out.json(&*report)?,
        Response::Rollback(report) if report.dry_run => print_preview(&report, out)?,
        Response::Rollback(report) => {
            print_done("switched", &report, out)?;
            out.line("undo with: backtrail undo")?;
        }
        Response::Done(said) if args.json => out.json(&serde_json::json!({ "done": said }))?,
        Response::Done(said) => out.line(&neutral(said.as_bytes()))?,
        other => return Err(Fail::unexpected(&other)),
    }
    Ok(0)
}

/// Every path that would change, with counts at the end.
pub(super) fn print_preview(report: &RollbackReport, out: &mut Out) -> Result<(), Fail> {
    let lists: [(&str, Tone, &[RepoPath]); 3] = [
        ("restore", Tone::Good, &report.restored),
        ("remove ", Tone::Bad, &report.removed),
        ("mode   ", Tone::Mark, &report.modes),
    ];
    for (word, tone, paths) in lists {
        for path in paths {
            out.line(&format!("{} {path}", out.paint(tone, word)))?;
        }
    }
    print_kept(report, out)?;
    let branch = match &report.switched {
        Some(s) => format!("the branch {} at ", painted(&s.to, out)),
        None => String::new(),
    };
    out.line(&format!(
        "would go to {branch}{}: {}",
        state(&report.target, out),
        counts(report)
    ))
}

pub(super) fn print_done(word: &str, report: &RollbackReport, out: &mut Out) -> Result<(), Fail> {
    print_kept(report, out)?;
    out.line(&format!(
        "{word} to {} (from {}): {}",
        state(&report.target, out),
        state(&report.from, out),
        counts(report)
    ))?;
    if let Some(s) = &report.switched {
        out.line(&format!(
            "the workspace is on {} now; it was on {}",
            painted(&s.to, out),
            painted(&s.from, out)
        ))?;
    }
    if report.frozen > 0 {
        out.line(&format!(
            "{} stood still meanwhile",
            count(report.frozen, "session")
        ))?;
    }
    Ok(())
}

pub(super) fn print_kept(report: &RollbackReport, out: &mut Out) -> Result<(), Fail> {
    for (path, reason) in &report.kept {
        let word = out.paint(Tone::Dim, "keep   ");
        out.line(&format!("{word} {path} ({})", neutral(reason.as_bytes())))?;
    }
    Ok(())
}

fn painted(branch: &str, out: &Out) -> String {
    out.paint(Tone::Name, &neutral(branch.as_bytes()))
}

fn counts(report: &RollbackReport) -> String {
    let mut parts = Vec::new();
    for (n, word) in [
        (report.restored.len(), "restored"),
        (report.removed.len(), "removed"),
    ] {
        parts.push(format!("{} {word}", count(n, "file")));
    }
    if !report.modes.is_empty() {
        parts.push(format!("{} changed", count(report.modes.len(), "mode")));
    }
    if !report.kept.is_empty() {
        parts.push(format!("{} kept", report.kept.len()));
    }
    let nothing = [&report.restored, &report.removed, &report.modes];
    if nothing.iter().all(|paths| paths.is_empty()) && report.kept.is_empty() {
        return "nothing differs".to_owned();
    }
    parts.join(", ")
}

fn state(state: &Resolved, out: &Out) -> String {
    let id = out.paint(Tone::Id, &state.commit.short());
    match state.step {
        Some(step) => format!("{id} (step {step})"),
        None => id,
    }
}

/// `undo`
pub async fn undo(cx: &Context, args: args::Undo, out: &mut Out) -> Ended {
    let request = match args.skip {
        true => Request::UndoSkip,
        false => Request::Undo,
    };
    let response = cx.ask(request).await?;
    reversed(
        response,
        "undone",
        "redo with: backtrail redo",
        args.json,
        out,
    )
}

/// `redo`
pub async fn redo(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let response = cx.ask(Request::Redo).await?;
    reversed(
        response,
        "done again",
        "undo with: backtrail undo",
        json,
        out,
    )
}

fn reversed(response: Response, word: &str, hint: &str, json: bool, out: &mut Out) -> Ended {
    match response {
        Response::Rollback(report) if json => out.json(&*report)?,
        Response::Rollback(report) => {
            let word = match report.of {
                Some(kind) => format!("{word} ({}): back", kind.word()),
                None => format!("{word}: back"),
            };
            print_done(&word, &report, out)?;
            out.line(hint)?;
        }
        Response::Done(said) if json => out.json(&serde_json::json!({ "done": said }))?,
        Response::Done(said) if said.is_empty() => out.line(word)?,
        Response::Done(said) => out.line(&neutral(said.as_bytes()))?,
        other => return Err(Fail::unexpected(&other)),
    }
    Ok(0)
}

async fn cut(cx: &Context, message: Option<String>) -> Result<Vec<CommitInfo>, Fail> {
    match cx.ask(Request::Checkpoint { message }).await? {
        Response::Checkpoint(commits) => Ok(commits),
        other => Err(Fail::unexpected(&other)),
    }
}

fn print_commits(commits: &[CommitInfo], json: bool, out: &mut Out) -> Result<(), Fail> {
    for commit in commits {
        if json {
            out.json(commit)?;
        } else {
            let line = commit_line(commit, out);
            out.line(&line)?;
        }
    }
    Ok(())
}

/// `checkpoint`
pub async fn checkpoint(cx: &Context, args: &args::Checkpoint, out: &mut Out) -> Ended {
    let commits = match &args.state {
        None => cut(cx, args.message.clone()).await?,
        Some(file) => {
            let request = Request::Snapshot {
                message: args.message.clone(),
                state: super::facts::read(&cx.cwd, file)?,
            };
            match cx.ask(request).await? {
                Response::Checkpoint(commits) => commits,
                other => return Err(Fail::unexpected(&other)),
            }
        }
    };
    print_commits(&commits, args.json, out)?;
    if commits.is_empty() && !args.json {
        out.line("nothing has changed")?;
    }
    Ok(0)
}

/// `init`
pub async fn init(cx: &Context, existed: bool, json: bool, out: &mut Out) -> Ended {
    let mut commits = cut(cx, None).await?;
    if commits.is_empty() {
        // The first one is made when the tree has been read, not because it was asked for.
        let newest = Request::Log {
            before: None,
            limit: 1,
        };
        commits = match cx.ask(newest).await? {
            Response::Log(commits) => commits,
            other => return Err(Fail::unexpected(&other)),
        };
    }
    print_commits(&commits, json, out)?;
    if !json {
        let root = neutral(cx.project.root.as_os_str().as_encoded_bytes());
        let store = neutral(cx.project.store_dir.as_os_str().as_encoded_bytes());
        out.line(&if existed {
            format!("{root} was under Backtrail already; its history is in {store}")
        } else {
            format!("{root} is under Backtrail now; its history is in {store}")
        })?;
    }
    Ok(0)
}

/// `label`
pub async fn label(cx: &Context, args: &args::Label, out: &mut Out) -> Ended {
    let Some(name) = &args.name else {
        return list_refs(cx, args.json, out).await;
    };
    let rev = (!args.remove).then(|| args.rev.clone());
    match cx
        .ask(Request::Label {
            name: name.clone(),
            rev,
        })
        .await?
    {
        Response::Done(said) if args.json => out.json(&serde_json::json!({ "done": said }))?,
        Response::Done(said) if said.is_empty() => {
            let word = if args.remove { "removed" } else { "set" };
            out.line(&format!("label {} {word}", neutral(name.as_bytes())))?;
        }
        Response::Done(said) => out.line(&neutral(said.as_bytes()))?,
        other => return Err(Fail::unexpected(&other)),
    }
    Ok(0)
}

async fn list_refs(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let refs = match cx.ask(Request::Refs).await? {
        Response::Refs(refs) => refs,
        other => return Err(Fail::unexpected(&other)),
    };
    for (name, target) in &refs {
        if json {
            out.json(&serde_json::json!({ "name": name, "target": target }))?;
            continue;
        }
        let target = match target {
            RefTarget::Commit(id) => out.paint(Tone::Id, &id.short()),
            RefTarget::Branch(name) => neutral(name.as_bytes()),
            RefTarget::Step(id) => format!("step {}", id.short()),
        };
        let name = out.paint(Tone::Name, &format!("{:<24}", neutral(name.as_bytes())));
        out.line(&format!("{name} {target}"))?;
    }
    Ok(0)
}
