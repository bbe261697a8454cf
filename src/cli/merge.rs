//! `merge`, `land`, `conflicts`, `resolve`: merging branches, and settling what they disagree about.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::args::{self, ResolverArg};
use super::diff::print_stat;
use super::markers::Place;
use super::merge_out;
use super::out::{Out, count, one_line};
use super::{Context, Ended, Fail, say};
use crate::engine::api::{
    Bytes, ConflictDetail, ErrorCode, MergeInfo, MergeReport, OpenConflict, PickOrigin, Request,
    Resolver, Response,
};
use crate::engine::assist::{Assistant, Progress};
use crate::merge::resolve::Pick;
use crate::model::{RepoPath, neutral};

/// How conflicts of the agent's state are named where a path stands.
const STATE: &[u8] = b"@state";
/// Largest file that a pick is read from.
const MOST: u64 = 16 << 20;

async fn info(cx: &Context, request: Request) -> Result<Option<Box<MergeInfo>>, Fail> {
    match cx.ask(request).await? {
        Response::Merging(info) => Ok(info),
        other => Err(Fail::unexpected(&other)),
    }
}

async fn unfinished(cx: &Context) -> Result<Box<MergeInfo>, Fail> {
    info(cx, Request::Merging).await?.ok_or_else(|| {
        Fail::Message("no merge is unfinished; backtrail merge BRANCH begins one".to_owned())
    })
}

fn resolver(arg: ResolverArg) -> Resolver {
    match arg {
        ResolverArg::Manual | ResolverArg::Llm => Resolver::Manual,
        ResolverArg::Ours => Resolver::Ours,
        ResolverArg::Theirs => Resolver::Theirs,
    }
}

/// `merge`
pub async fn merge(cx: &Context, args: &args::Merge, out: &mut Out) -> Ended {
    if args.dry_run && args.branch.is_none() {
        return dry_run(cx, args, out).await;
    }
    let picks = !args.pick.is_empty() || args.read_markers.is_some();
    let mut shown = None;
    let assistant = match args.resolver {
        ResolverArg::Llm if !args.dry_run => {
            let root = Some(cx.project.root.as_path());
            let assistant = Assistant::with_model(cx.source.clone(), root, args.model.as_deref());
            // Nobody to ask: said before anything is begun.
            assistant
                .setup()
                .map_err(|e| Fail::Message(e.to_string()))?;
            Some(assistant)
        }
        _ => None,
    };
    if let Some(branch) = &args.branch {
        let request = Request::Merge {
            branch: branch.clone(),
            into: args.into.clone(),
            resolver: resolver(args.resolver),
            dry_run: args.dry_run,
            finish: !args.dry_run && !picks && args.markers.is_none(),
            message: args.message.clone(),
            // What a model cannot settle is only known when it was asked.
            keep_conflicts: args.keep_conflicts && assistant.is_none(),
        };
        match cx.ask(request).await? {
            Response::Merged(report) => return merged(&report, args.json, out),
            Response::Merging(Some(info)) if args.dry_run => {
                show(&info, args.json, out)?;
                if args.resolver == ResolverArg::Llm && info.left > 0 {
                    say(
                        "what a model would be asked is known once the merge is begun: backtrail merge without --resolver, then backtrail merge --resolver llm --dry-run prints it",
                    );
                }
                return Ok(0);
            }
            Response::Merging(Some(info)) => shown = Some(info),
            other => return Err(Fail::unexpected(&other)),
        }
    } else if args.abort {
        return match cx.ask(Request::MergeAbandon).await? {
            Response::Done(said) if args.json => {
                out.json(&serde_json::json!({ "done": said }))?;
                Ok(0)
            }
            Response::Done(said) => {
                out.line(&neutral(said.as_bytes()))?;
                Ok(0)
            }
            other => Err(Fail::unexpected(&other)),
        };
    }
    // Whether a number that the person gave may be of a list that they have not seen.
    let mut renumbered = shown.as_ref().is_some_and(|info| info.renumbered);
    if args.unpick {
        shown = info(cx, Request::MergeUnpick).await?;
        renumbered |= shown.as_ref().is_some_and(|info| info.renumbered);
    }
    if let Some(dir) = &args.read_markers {
        let read = read_markers(cx, dir, args.json, &mut renumbered, out).await?;
        shown = Some(read);
    }
    for pick in &args.pick {
        match apply(cx, pick, &mut renumbered).await? {
            Picked::Now(info) => shown = Some(info),
            Picked::OtherNumbers(info) => {
                show(&info, args.json, out)?;
                return Err(Fail::Message(format!(
                    "{}: not picked: a side has moved, and the numbers are others than when they were last shown; this is how it stands now",
                    neutral(pick.as_bytes())
                )));
            }
        }
    }
    if let Some(dir) = &args.markers {
        return write_markers(cx, dir, args.json, out).await;
    }
    if let Some(path) = &args.show {
        return show_conflict(cx, path, args.json, out).await;
    }
    let now = match shown {
        Some(info) => info,
        None if args.status && args.branch.is_none() => {
            return match info(cx, Request::Merging).await? {
                Some(info) => {
                    show(&info, args.json, out)?;
                    Ok(0)
                }
                None => {
                    if !args.json {
                        out.line("no merge is unfinished")?;
                    }
                    Ok(0)
                }
            };
        }
        None => unfinished(cx).await?,
    };
    let now = match &assistant {
        Some(assistant) => by_model(assistant, now).await?,
        None => now,
    };
    // A person at a terminal looks at what a model made before it is written.
    let by_itself = assistant.is_some() && !out.is_terminal();
    let wants_end = args.go_on
        || (args.branch.is_some() && (picks || by_itself) && now.left == 0)
        || (by_itself && args.keep_conflicts);
    if wants_end && (now.left == 0 || args.keep_conflicts) {
        let request = Request::MergeFinish {
            message: args.message.clone(),
            keep_conflicts: args.keep_conflicts,
        };
        return match cx.ask(request).await? {
            Response::Merged(report) => merged(&report, args.json, out),
            other => Err(Fail::unexpected(&other)),
        };
    }
    show(&now, args.json, out)?;
    // As with other tools, a merge that stops at conflicts has not succeeded.
    Ok(u8::from(
        (args.go_on || args.branch.is_some()) && now.left > 0,
    ))
}

/// Prints what a model would be asked about the unfinished merge.
async fn dry_run(cx: &Context, args: &args::Merge, out: &mut Out) -> Ended {
    if args.resolver != ResolverArg::Llm {
        return Err(Fail::Usage(
            "what is to be merged? backtrail merge BRANCH --dry-run looks; without BRANCH, --resolver llm --dry-run prints what a model would be asked about the unfinished merge"
                .to_owned(),
        ));
    }
    unfinished(cx).await?;
    let root = Some(cx.project.root.as_path());
    let assistant = Assistant::with_model(cx.source.clone(), root, args.model.as_deref());
    for warning in assistant.warnings() {
        say(warning);
    }
    let all = assistant
        .dry_run_all()
        .await
        .map_err(|e| Fail::Message(e.to_string()))?;
    if all.is_empty() {
        say("nothing is left that a model could be asked about");
    }
    for (path, hunk, dry) in &all {
        say(&format!("{path}, hunk {}:", hunk + 1));
        super::ask::print_dry(dry, args.json, out)?;
    }
    Ok(0)
}

/// Lets a language model settle what is left.
async fn by_model(assistant: &Assistant, now: Box<MergeInfo>) -> Result<Box<MergeInfo>, Fail> {
    let mut tell = |progress: Progress| match progress {
        Progress::Asking { path, hunk, left } => {
            say(&format!(
                "asking about {path}, hunk {} ({left} left)",
                hunk + 1
            ));
        }
        Progress::Waiting(time) => say(&format!(
            "the provider wants us to wait {} s",
            time.as_secs()
        )),
        Progress::Done(settled) => {
            let hunk = settled
                .hunk
                .map_or_else(String::new, |n| format!(", hunk {}", n + 1));
            let what = match &settled.what {
                Ok(proposal) => format!("settled: {}", one_line(&proposal.explanation, 100)),
                Err(why) => format!("left: {}", neutral(why.as_bytes())),
            };
            say(&format!("{}{hunk}: {what}", settled.path));
        }
    };
    let outcome = assistant
        .resolve_all(&mut tell)
        .await
        .map_err(|e| Fail::Message(e.to_string()))?;
    for warning in &outcome.warnings {
        say(warning);
    }
    Ok(outcome.merge.unwrap_or(now))
}

/// `land`
pub async fn land(cx: &Context, args: &args::Land, out: &mut Out) -> Ended {
    let merge = args::Merge {
        branch: Some(args.branch.clone()),
        message: args.message.clone(),
        dry_run: args.dry_run,
        resolver: args.resolver,
        json: args.json,
        ..args::Merge::default()
    };
    self::merge(cx, &merge, out).await
}

/// `resolve`
pub async fn resolve(cx: &Context, args: &args::Resolve, out: &mut Out) -> Ended {
    let rev = args.rev.clone();
    let Some(info) = info(cx, Request::MergeResume { rev }).await? else {
        return Err(Fail::Message("nothing was taken up".to_owned()));
    };
    show(&info, args.json, out)?;
    Ok(0)
}

/// `conflicts`
pub async fn conflicts(cx: &Context, args: &args::Conflicts, out: &mut Out) -> Ended {
    let rev = args.rev.clone();
    let open: Vec<OpenConflict> = match cx.ask(Request::Conflicts { rev }).await? {
        Response::Conflicts(open) => open,
        other => return Err(Fail::unexpected(&other)),
    };
    if args.json {
        for one in &open {
            out.json(one)?;
        }
        return Ok(0);
    }
    merge_out::print_open(&open, out)?;
    Ok(0)
}

fn show(info: &MergeInfo, json: bool, out: &mut Out) -> Result<(), Fail> {
    if json {
        return out.json(info);
    }
    merge_out::print_info(info, out)
}

fn merged(report: &MergeReport, json: bool, out: &mut Out) -> Ended {
    if json {
        out.json(report)?;
    } else {
        merge_out::print_report(report, out)?;
    }
    Ok(0)
}

async fn detail(cx: &Context, path: RepoPath) -> Result<Box<ConflictDetail>, Fail> {
    match cx.ask(Request::MergeConflict { path }).await? {
        Response::MergeConflict(detail) => Ok(detail),
        other => Err(Fail::unexpected(&other)),
    }
}

async fn show_conflict(cx: &Context, path: &OsString, json: bool, out: &mut Out) -> Ended {
    let path = RepoPath::new(path.as_bytes().to_vec()).map_err(|e| Fail::Usage(e.to_string()))?;
    let detail = detail(cx, path).await?;
    if json {
        out.json(&*detail)?;
    } else {
        merge_out::print_conflict(&detail, out)?;
    }
    Ok(0)
}

/// What a `--pick` names: a path or [`STATE`], and perhaps a number from 1.
struct Wanted<'a> {
    name: &'a [u8],
    number: Option<usize>,
    value: &'a [u8],
}

/// Finds the conflict among `names` that `text` (`NAME=VALUE` or `NAME#N=VALUE`) begins with: names may hold any of these
/// characters, so that the longest that fits is meant.
fn parse<'a>(text: &'a [u8], names: &[&[u8]]) -> Option<Wanted<'a>> {
    let mut best: Option<Wanted<'a>> = None;
    for name in names {
        let Some(rest) = text.strip_prefix(*name) else {
            continue;
        };
        let (number, value) = if let Some(value) = rest.strip_prefix(b"=") {
            (None, value)
        } else if let Some(rest) = rest.strip_prefix(b"#") {
            let Some(at) = rest.iter().position(|b| *b == b'=') else {
                continue;
            };
            let digits = std::str::from_utf8(&rest[..at]).ok();
            let Some(number) = digits.and_then(|d| d.parse().ok()).filter(|n| *n > 0) else {
                continue;
            };
            (Some(number), &rest[at + 1..])
        } else {
            continue;
        };
        if best.as_ref().is_none_or(|b| b.name.len() < name.len()) {
            best = Some(Wanted {
                name: &text[..name.len()],
                number,
                value,
            });
        }
    }
    best
}

fn pick_of(cx: &Context, value: &[u8]) -> Result<Option<Pick>, Fail> {
    Ok(Some(match value {
        b"ours" => Pick::Ours,
        b"theirs" => Pick::Theirs,
        b"both" => Pick::Both,
        b"base" => Pick::Base,
        b"" => return Ok(None),
        file => {
            use std::io::Read;
            let path = cx.cwd.join(std::ffi::OsStr::from_bytes(file));
            let mut text = Vec::new();
            std::fs::File::open(&path)
                .and_then(|f| f.take(MOST + 1).read_to_end(&mut text))
                .map_err(|e| {
                    Fail::Message(format!(
                        "{} is neither ours, theirs, both nor base, and no file that can be read: {e}",
                        neutral(file)
                    ))
                })?;
            if text.len() as u64 > MOST {
                return Err(Fail::Message(format!(
                    "{} is too large: 16 MiB at most",
                    neutral(file)
                )));
            }
            Pick::Edited(text)
        }
    }))
}

/// What became of a `--pick`.
enum Picked {
    /// The merge with it.
    Now(Box<MergeInfo>),
    /// It names a number, and numbers are other ones than the person saw: the merge without it.
    OtherNumbers(Box<MergeInfo>),
}

/// One `--pick`.
async fn apply(cx: &Context, text: &OsString, renumbered: &mut bool) -> Result<Picked, Fail> {
    let now = unfinished(cx).await?;
    *renumbered |= now.renumbered;
    let of = Some(now.of());
    let mut names: Vec<&[u8]> = now.conflicts.iter().map(|c| c.path.as_bytes()).collect();
    if now.state.is_some() {
        names.push(STATE);
    }
    let text = text.clone().into_vec();
    let wanted = parse(&text, &names).ok_or_else(|| {
        Fail::Message(format!(
            "{}: no conflict of this merge is named so; wanted: PATH=ours|theirs|both|base|FILE, or PATH#HUNK=...; backtrail merge --status lists the conflicts",
            neutral(&text)
        ))
    })?;
    if *renumbered && wanted.number.is_some() {
        return Ok(Picked::OtherNumbers(now));
    }
    let pick = pick_of(cx, wanted.value)?;
    let origin = PickOrigin::Person;
    let is_state =
        wanted.name == STATE && !now.conflicts.iter().any(|c| c.path.as_bytes() == STATE);
    let request = if is_state {
        let n = now.state.iter().map(|s| s.conflicts.len()).sum();
        let number = match (wanted.number, n) {
            (Some(number), _) => number,
            (None, 1) => 1,
            (None, n) => {
                return Err(Fail::Message(format!(
                    "the agent's state has {}: say which, as @state#1=...",
                    count(n, "conflict")
                )));
            }
        };
        Request::MergeStatePick {
            conflict: number - 1,
            pick,
            origin,
            of,
        }
    } else {
        Request::MergePick {
            path: RepoPath::new(wanted.name.to_vec()).map_err(|e| Fail::Usage(e.to_string()))?,
            hunk: wanted.number.map(|n| n - 1),
            pick,
            origin,
            of,
        }
    };
    let now = info(cx, request).await?;
    now.map(Picked::Now)
        .ok_or_else(|| Fail::Message("the merge is gone".to_owned()))
}

/// A directory for markers must not be captured: writing there would change what is merged into.
fn outside(cx: &Context, dir: &Path) -> Result<std::path::PathBuf, Fail> {
    let full = cx.cwd.join(dir);
    let mut there = full.as_path();
    while !there.exists() {
        match there.parent() {
            Some(parent) => there = parent,
            None => break,
        }
    }
    let real = there.canonicalize()?;
    let root = cx
        .project
        .root
        .canonicalize()
        .unwrap_or_else(|_| cx.project.root.clone());
    if real.starts_with(&root) {
        return Err(Fail::Message(format!(
            "{} lies in the project, so that the files would become part of it: take a directory elsewhere",
            neutral(dir.as_os_str().as_encoded_bytes())
        )));
    }
    Ok(full)
}

async fn write_markers(cx: &Context, dir: &Path, json: bool, out: &mut Out) -> Ended {
    let now = unfinished(cx).await?;
    let place = Place::open(&outside(cx, dir)?, true)?;
    let (mut written, mut skipped) = (0, 0);
    for conflict in now.conflicts.iter().filter(|c| !c.done) {
        let path = &conflict.path;
        let said = if conflict.hunks == 0 {
            skipped += 1;
            format!(
                "{path}: {}: settle it as a whole with --pick",
                conflict.words
            )
        } else {
            let request = Request::MergeMarkers {
                path: path.clone(),
                text: None,
            };
            let text = match cx.ask(request).await? {
                Response::Bytes(text) => text,
                other => return Err(Fail::unexpected(&other)),
            };
            place.write(path, &text)?;
            written += 1;
            format!(
                "{path}: {}",
                count(conflict.hunks - conflict.settled, "conflict")
            )
        };
        if json {
            out.json(&serde_json::json!({ "path": path, "written": conflict.hunks > 0, "words": conflict.words }))?;
        } else {
            out.line(&said)?;
        }
    }
    if !json {
        let shown = neutral(dir.as_os_str().as_encoded_bytes());
        out.line(&format!(
            "{} written to {shown}; settle them there, then: backtrail merge --read-markers {shown}",
            count(written, "file")
        ))?;
        if skipped > 0 {
            out.line(&format!(
                "{} cannot be written so",
                count(skipped, "conflict")
            ))?;
        }
    }
    Ok(0)
}

async fn read_markers(
    cx: &Context,
    dir: &Path,
    json: bool,
    renumbered: &mut bool,
    out: &mut Out,
) -> Result<Box<MergeInfo>, Fail> {
    let mut now = unfinished(cx).await?;
    *renumbered |= now.renumbered;
    let place = Place::open(&cx.cwd.join(dir), false)?;
    let mut found = 0;
    let paths: Vec<RepoPath> = now
        .conflicts
        .iter()
        .filter(|c| c.hunks > 0)
        .map(|c| c.path.clone())
        .collect();
    for path in paths {
        let Some(text) = place.read(&path)? else {
            continue;
        };
        found += 1;
        let request = Request::MergeMarkers {
            path: path.clone(),
            text: Some(Bytes(text)),
        };
        match info(cx, request).await {
            Ok(Some(info)) => {
                *renumbered |= info.renumbered;
                now = info;
            }
            Ok(None) => {}
            // One that is not ready must not keep the others from being read.
            Err(Fail::Api(e)) if e.code == ErrorCode::Refused && !json => {
                out.line(&neutral(e.message.as_bytes()))?;
            }
            Err(e) => return Err(e),
        }
    }
    if found == 0 {
        return Err(Fail::Message(format!(
            "{} holds none of the files that are in conflict: backtrail merge --markers DIR writes them",
            neutral(dir.as_os_str().as_encoded_bytes())
        )));
    }
    Ok(now)
}

/// The changes as `diff --stat` prints them.
pub(super) fn print_changes(
    changes: &[crate::engine::api::FileChange],
    out: &mut Out,
) -> Result<(), Fail> {
    if changes.is_empty() {
        return Ok(());
    }
    print_stat(changes, out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_pick_names_the_longest_conflict_that_fits() {
        let names: [&[u8]; 5] = [b"a", b"a#1", b"a=b", b"d/\xff\n", STATE];
        let of = |text: &'static [u8]| {
            parse(text, &names).map(|w| (w.name.to_vec(), w.number, w.value.to_vec()))
        };
        let v = |s: &[u8]| s.to_vec();
        assert_eq!(of(b"a=ours"), Some((v(b"a"), None, v(b"ours"))));
        assert_eq!(of(b"a#2=both"), Some((v(b"a"), Some(2), v(b"both"))));
        assert_eq!(of(b"a#1=both"), Some((v(b"a#1"), None, v(b"both"))));
        assert_eq!(of(b"a#1#3=x=y"), Some((v(b"a#1"), Some(3), v(b"x=y"))));
        assert_eq!(of(b"a=b=theirs"), Some((v(b"a=b"), None, v(b"theirs"))));
        assert_eq!(
            of(b"d/\xff\n=base"),
            Some((v(b"d/\xff\n"), None, v(b"base")))
        );
        assert_eq!(of(b"@state#1=ours"), Some((v(STATE), Some(1), v(b"ours"))));
        assert_eq!(of(b"a#0=ours"), None);
        assert_eq!(of(b"b=ours"), None);
        assert_eq!(of(b"a"), None);
    }
}
