//! `fork` and `forks`: branches with a view of their own, in which agents run beside the workspace.

use std::collections::BTreeSet;

use super::args;
use super::out::{Out, Tone, count};
use super::{Context, Ended, Fail};
use crate::engine::api::{ForkInfo, MergeTry, Request, Response};
use crate::model::{RepoPath, neutral};

/// Most forks that are made at once.
const MOST: u32 = 100;
/// Paths of drift that are printed for a fork.
const DRIFT: usize = 5;

/// `fork`
pub async fn fork(cx: &Context, args: &args::Fork, out: &mut Out) -> Ended {
    let made = make(cx, args).await?;
    for fork in &made {
        if args.json {
            out.json(fork)?;
        } else {
            let name = neutral(fork.branch.as_bytes());
            out.line(&format!(
                "forked {} from {}",
                out.paint(Tone::Name, &name),
                state(fork, out)
            ))?;
        }
    }
    if let (false, Some(first)) = (args.json, made.first()) {
        let name = neutral(first.branch.as_bytes());
        out.line(&format!("run in it: backtrail run --branch {name} -- CMD"))?;
        out.line("undo with: backtrail undo")?;
    }
    Ok(0)
}

/// Makes the forks that were asked for.
pub async fn make(cx: &Context, args: &args::Fork) -> Result<Vec<ForkInfo>, Fail> {
    let count = args.count.unwrap_or(1);
    if count == 0 || count > MOST {
        return Err(Fail::Usage(format!("--count is from 1 to {MOST}")));
    }
    let mut names: Vec<Option<String>> = vec![args.name.clone()];
    if args.count.is_some() || args.prefix.is_some() {
        let prefix = args.prefix.as_deref().unwrap_or("try");
        names = free_names(cx, prefix, count).await?;
    }
    let mut made = Vec::new();
    for name in names {
        let rev = args.rev.clone();
        match cx.ask(Request::Fork { rev, name }).await? {
            Response::Forked(fork) => made.push(*fork),
            other => return Err(Fail::unexpected(&other)),
        }
    }
    Ok(made)
}

/// So many names that no branch has: the prefix with a number.
async fn free_names(cx: &Context, prefix: &str, count: u32) -> Result<Vec<Option<String>>, Fail> {
    let taken: BTreeSet<String> = match cx.ask(Request::Branches).await? {
        Response::Branches(branches) => branches.into_iter().map(|b| b.name).collect(),
        other => return Err(Fail::unexpected(&other)),
    };
    Ok((1_u64..)
        .map(|n| format!("{prefix}-{n}"))
        .filter(|name| !taken.contains(name))
        .take(count as usize)
        .map(Some)
        .collect())
}

fn state(fork: &ForkInfo, out: &Out) -> String {
    let id = out.paint(Tone::Id, &fork.base.commit.short());
    match fork.base.step {
        Some(step) => format!("{id} (step {step})"),
        None => id,
    }
}

/// `forks`
pub async fn forks(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let forks = match cx.ask(Request::Forks).await? {
        Response::Forks(forks) => forks,
        other => return Err(Fail::unexpected(&other)),
    };
    for fork in &forks {
        if json {
            out.json(fork)?;
        } else {
            print(fork, out)?;
        }
    }
    if forks.is_empty() && !json {
        out.line("no forks yet: backtrail fork REV, or backtrail run --branch NAME -- CMD")?;
    }
    if !json && !forks.is_empty() {
        print_meetings(cx, out).await?;
    }
    Ok(0)
}

/// Which of those that are open meet, as far as the engine has looked.
async fn print_meetings(cx: &Context, out: &mut Out) -> Result<(), Fail> {
    let Response::Status(status) = cx.ask(Request::Status).await? else {
        return Ok(());
    };
    for meeting in &status.overlaps {
        let tone = match meeting.merge {
            MergeTry::Clean => Tone::Dim,
            MergeTry::Conflicts { .. } | MergeTry::NotTried { .. } => Tone::Bad,
        };
        let text = out.paint(tone, &meeting.words());
        out.line(&text)?;
    }
    Ok(())
}

fn print(fork: &ForkInfo, out: &mut Out) -> Result<(), Fail> {
    let name = neutral(fork.branch.as_bytes());
    let mut parts = vec![
        out.paint(Tone::Name, &format!("{name:<12}")),
        out.paint(Tone::Id, &fork.tip.id.short()),
        format!(
            "{} changed since {}",
            count(fork.changed, "path"),
            state(fork, out)
        ),
        out.paint(Tone::Dim, &size(fork.disk)),
    ];
    if !fork.sessions.is_empty() {
        let ids: Vec<String> = fork.sessions.iter().map(|s| s.short()).collect();
        parts.push(out.paint(Tone::Good, &format!("running {}", ids.join(", "))));
    }
    out.line(&parts.join("  "))?;
    if let Some(at) = &fork.mounted {
        out.line(&format!("  at {}", neutral(at.as_bytes())))?;
    }
    if !fork.drift.is_empty() {
        let some: Vec<String> = fork
            .drift
            .iter()
            .take(DRIFT)
            .map(RepoPath::to_string)
            .collect();
        let more = match fork.drift.len().saturating_sub(DRIFT) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        out.line(&format!(
            "  left out of commits, and changed in the project since: {}{more}",
            some.join(", ")
        ))?;
    }
    Ok(())
}

/// `12 KiB`.
fn size(bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    if kib < 10 * 1024 {
        format!("{kib} KiB")
    } else {
        format!("{} MiB", kib / 1024)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::super::testing::{Scripted, commit, path, wait};
    use super::*;
    use crate::engine::api::{BranchInfo, Resolved};
    use crate::model::{CommitId, SessionId, TreeId};

    fn info(name: &str) -> ForkInfo {
        ForkInfo {
            branch: name.to_owned(),
            base: Resolved {
                commit: CommitId([7; 32]),
                tree: TreeId([7; 32]),
                step: None,
            },
            tip: commit(9, &[7]),
            mounted: Some("/run/x\x1b[2J".to_owned()),
            sessions: vec![SessionId([0xab; 32])],
            changed: 3,
            drift: vec![path(b"target/\x1b[2J")],
            disk: 20_000,
        }
    }

    fn arguments() -> args::Fork {
        args::Fork {
            rev: "@".into(),
            name: None,
            count: None,
            prefix: None,
            race: args::Race::default(),
            json: false,
        }
    }

    #[test]
    fn a_list_says_all_and_is_harmless() {
        let (cx, _) = Scripted::new(|_| Some(Response::Forks(vec![info("a\x1b[2J")]))).context();
        let seen = Captured::default();
        assert_eq!(wait(forks(&cx, false, &mut seen.out())).unwrap(), 0);
        let text = seen.text();
        for part in [
            "a\\x1b[2J",
            "3 paths changed",
            "20 KiB",
            "running abababab",
            "/run/x",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn several_get_free_names() {
        let (cx, source) = Scripted::new(|request| {
            Some(match request {
                Request::Branches => Response::Branches(vec![BranchInfo {
                    name: "p-2".into(),
                    current: false,
                    commit: commit(1, &[]),
                }]),
                Request::Fork { name, .. } => {
                    Response::Forked(Box::new(info(name.as_deref().unwrap())))
                }
                _ => return None,
            })
        })
        .context();
        let args = args::Fork {
            count: Some(2),
            prefix: Some("p".into()),
            ..arguments()
        };
        let seen = Captured::default();
        assert_eq!(wait(fork(&cx, &args, &mut seen.out())).unwrap(), 0);
        let text = seen.text();
        assert!(text.contains("forked p-1 from 07070707"), "{text}");
        assert!(text.contains("forked p-3"), "{text}");
        assert!(text.contains("run --branch p-1"), "{text}");
        assert_eq!(source.asked.lock().unwrap().len(), 3);
        let none = args::Fork {
            count: Some(0),
            ..arguments()
        };
        assert!(matches!(wait(make(&cx, &none)), Err(Fail::Usage(_))));
    }
}
