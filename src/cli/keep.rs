//! How the store is kept: looked over and mended, cleaned up, and carried elsewhere.

use std::path::Path;

use super::args;
use super::diff::in_project;
use super::out::{Out, Tone, count};
use super::{Context, Ended, Fail};
use crate::engine::api::{
    CollectInfo, DuInfo, ErrorCode, ForgetInfo, GraphAnswer, GraphQuery, KeepAnswer, KeepQuery,
    Request, Response, StoredInfo, VerifyInfo,
};
use crate::model::{RepoPath, neutral};

async fn ask(cx: &Context, query: KeepQuery) -> Result<KeepAnswer, Fail> {
    match cx.ask(Request::Keep(query)).await? {
        Response::Kept(answer) => Ok(*answer),
        other => Err(Fail::unexpected(&other)),
    }
}

fn unexpected(answer: KeepAnswer) -> Fail {
    Fail::unexpected(&Response::Kept(Box::new(answer)))
}

async fn verified(cx: &Context, query: KeepQuery) -> Result<VerifyInfo, Fail> {
    match ask(cx, query).await? {
        KeepAnswer::Verified(info) => Ok(info),
        other => Err(unexpected(other)),
    }
}

/// `verify`
pub async fn verify(cx: &Context, args: &args::Verify, out: &mut Out) -> Ended {
    let info = verified(
        cx,
        KeepQuery::Verify {
            rev: args.rev.clone(),
            repair: args.repair,
        },
    )
    .await?;
    told(&info, args.json, out)
}

/// `doctor`
pub async fn doctor(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let info = verified(cx, KeepQuery::Doctor).await?;
    told(&info, json, out)
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

fn told(info: &VerifyInfo, json: bool, out: &mut Out) -> Ended {
    let ended = Ok(u8::from(!info.faults.is_empty()));
    if json {
        out.json(info)?;
        return ended;
    }
    for done in &info.done {
        out.line(&neutral(done.as_bytes()))?;
    }
    for fault in &info.faults {
        let what = format!("{} at byte {}: {}", fault.file, fault.offset, fault.what);
        out.line(&out.paint(Tone::Bad, &neutral(what.as_bytes())))?;
        if !fault.saved.is_empty() {
            out.line(&format!("  {}", neutral(fault.saved.as_bytes())))?;
        }
    }
    let verdict = if info.faults.is_empty() {
        "all well".to_owned()
    } else {
        count(info.faults.len(), "fault")
    };
    let mut line = format!("{} records read: {verdict}", info.records);
    for (n, what) in [
        (info.dropped, "let go"),
        (info.forgotten, "forgotten"),
        (info.lost, "lost"),
    ] {
        if n > 0 {
            line.push_str(&format!(", {n} {what}"));
        }
    }
    line.push_str(&format!(" ({})", size(info.bytes)));
    out.line(&line)?;
    ended
}

/// `gc`
pub async fn gc(cx: &Context, args: &args::Gc, out: &mut Out) -> Ended {
    let query = KeepQuery::Gc {
        dry_run: args.dry_run,
        keep_days: args.keep_days,
        thorough: args.thorough,
    };
    match ask(cx, query).await? {
        KeepAnswer::Collected(info) => collected(&info, args.json, out),
        other => Err(unexpected(other)),
    }
}

fn number(n: u64, what: &str) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), what)
}

fn collected(info: &CollectInfo, json: bool, out: &mut Out) -> Ended {
    if json {
        out.json(info)?;
        return Ok(0);
    }
    let (would, go) = if info.dry_run {
        ("would be ", "would go")
    } else {
        ("", "went")
    };
    if info.states > 0 {
        out.line(&format!(
            "the content of {} {go}{}; the history keeps them",
            number(info.states, "state"),
            match info.kept {
                0 => String::new(),
                n => format!(", {n} stay whole"),
            }
        ))?;
    }
    out.line(&format!(
        "{} {go}, {} {would}written anew: {} -> {}",
        number(info.removed, "object"),
        number(info.packs, "pack"),
        size(info.before),
        size(info.after)
    ))?;
    if info.waiting > 0 {
        out.line(&format!(
            "{} that nothing needs stay until they are more of a pack, or older (gc --thorough takes them sooner)",
            size(info.waiting)
        ))?;
    }
    for (name, bytes) in &info.beside {
        out.line(&format!(
            "{}: {} {go}",
            neutral(name.as_bytes()),
            size(*bytes)
        ))?;
    }
    Ok(0)
}

/// `du`
pub async fn du(cx: &Context, args: &args::Du, out: &mut Out) -> Ended {
    let info = match ask(cx, KeepQuery::Du { limit: args.limit }).await? {
        KeepAnswer::Du(info) => info,
        other => return Err(unexpected(other)),
    };
    if args.json {
        out.json(&info)?;
        return Ok(0);
    }
    print_du(&info, out)?;
    Ok(0)
}

fn print_du(info: &DuInfo, out: &mut Out) -> Result<(), Fail> {
    let row = |name: &str, bytes: u64, out: &mut Out| {
        out.line(&format!(
            "{:>10}  {}",
            size(bytes),
            neutral(name.as_bytes())
        ))
    };
    let all = info.packs + info.index;
    let budget = info
        .budget
        .map_or_else(String::new, |b| format!(" of {}", size(b)));
    row(&format!("in the store{budget}"), all, out)?;
    row("contents and history (packs)", info.packs, out)?;
    row("index", info.index, out)?;
    for (name, bytes) in &info.beside {
        row(&format!("{name} (beside it)"), *bytes, out)?;
    }
    for (title, rows) in [
        ("by session", &info.sessions),
        ("by branch", &info.branches),
        ("by path", &info.paths),
    ] {
        if rows.is_empty() {
            continue;
        }
        out.line("")?;
        out.line(&out.paint(Tone::Dim, &format!("{title}: what it brought first")))?;
        for (name, bytes) in rows {
            row(name, *bytes, out)?;
        }
    }
    Ok(())
}

/// `forget`
pub async fn forget(cx: &Context, args: &args::Forget, out: &mut Out) -> Ended {
    let (mut paths, mut rev) = (Vec::new(), None);
    for what in &args.what {
        match path_of(cx, what).await? {
            Some(path) => paths.push(path),
            None if rev.is_none() => {
                rev = Some(what.to_string_lossy().into_owned());
            }
            None => {
                return Err(Fail::Usage(
                    "one revision at a time can be forgotten".into(),
                ));
            }
        }
    }
    let query = KeepQuery::Forget {
        paths,
        rev,
        texts: args.texts,
        force: args.force,
        dry_run: args.dry_run,
    };
    let info = match ask(cx, query).await? {
        KeepAnswer::Forgotten(info) => info,
        other => return Err(unexpected(other)),
    };
    if args.json {
        out.json(&info)?;
        return Ok(0);
    }
    print_forgotten(&info, out)?;
    Ok(0)
}

/// The path, if anything was ever recorded there.
async fn path_of(cx: &Context, what: &Path) -> Result<Option<RepoPath>, Fail> {
    let Ok(path) = in_project(&cx.project.root, &cx.cwd, what) else {
        return Ok(None);
    };
    let query = GraphQuery::Path {
        path: path.clone(),
        rev: None,
        before: None,
        limit: 1,
    };
    Ok(match cx.ask(Request::Graph(query)).await {
        Ok(Response::Graph(GraphAnswer::Versions(found))) if !found.is_empty() => Some(path),
        _ => None,
    })
}

fn print_forgotten(info: &ForgetInfo, out: &mut Out) -> Result<(), Fail> {
    let go = if info.dry_run { "would go" } else { "went" };
    out.line(&format!(
        "{} {go} ({}), which {} had; {} written anew",
        number(info.contents, "content"),
        size(info.bytes),
        number(info.states, "version"),
        number(info.packs, "pack"),
    ))?;
    for path in &info.paths {
        out.line(&format!("  {}", neutral(path.as_bytes())))?;
    }
    for file in &info.removed {
        out.line(&format!("removed {}", neutral(file.as_bytes())))?;
    }
    for text in &info.texts {
        let line = format!("its text holds it: {text}");
        out.line(&out.paint(Tone::Mark, &neutral(line.as_bytes())))?;
    }
    for left in &info.left {
        out.line(&out.paint(Tone::Bad, &neutral(left.as_bytes())))?;
    }
    Ok(())
}

/// `delete`
pub async fn delete(cx: &Context, args: &args::Delete, out: &mut Out) -> Ended {
    let query = KeepQuery::Delete {
        rev: args.rev.clone(),
        force: args.force,
    };
    match ask(cx, query).await? {
        KeepAnswer::Collected(info) => collected(&info, args.json, out),
        other => Err(unexpected(other)),
    }
}

/// `exists`: 0 if the state is there with its content, 1 if not.
pub async fn exists(cx: &Context, args: &args::Exists, out: &mut Out) -> Ended {
    let found = match stored(cx, &args.rev).await {
        Ok(found) => Some(found),
        Err(Fail::Api(e)) if e.code == ErrorCode::NotFound => None,
        Err(e) => return Err(e),
    };
    let there = found.as_ref().is_some_and(|s| s.gone.is_none());
    if args.json {
        out.json(&serde_json::json!({
            "exists": there,
            "commit": found.as_ref().map(|s| s.commit),
            "gone": found.as_ref().and_then(|s| s.gone.clone()),
        }))?;
    }
    Ok(u8::from(!there))
}

async fn stored(cx: &Context, rev: &str) -> Result<StoredInfo, Fail> {
    let rev = rev.to_owned();
    match ask(cx, KeepQuery::Stored { rev }).await? {
        KeepAnswer::Stored(info) => Ok(info),
        other => Err(unexpected(other)),
    }
}

/// How a state lies in the store, for `show --json`; nothing where that is no store.
pub async fn stored_json(cx: &Context, rev: &str) -> Option<serde_json::Value> {
    let info = stored(cx, rev).await.ok()?;
    serde_json::to_value(info).ok()
}

/// How a state lies in the store, as rows for `show`; none where that is no store.
pub async fn stored_rows(cx: &Context, rev: &str) -> Vec<(&'static str, String)> {
    let Ok(info) = stored(cx, rev).await else {
        return Vec::new();
    };
    let mut rows = vec![(
        "stored",
        format!("number {}, format {}", info.index, info.format),
    )];
    if let Some((agent, session)) = &info.session {
        rows.push(("session", neutral(format!("{agent} {session}").as_bytes())));
    }
    if let Some(state) = &info.state {
        rows.push((
            "",
            format!(
                "agent's state: {} bytes, {} in the store ({}), hash {}",
                state.size, state.stored, state.codec, state.hash
            ),
        ));
    }
    if let Some(gone) = &info.gone {
        rows.push(("content", format!("not there any more: {gone}")));
    }
    rows
}

/// `export REV -o FILE`
pub async fn export(cx: &Context, args: &args::Export, out: &mut Out) -> Ended {
    let Some(output) = &args.output else {
        return Ok(0);
    };
    let path = cx.cwd.join(output);
    let Some(path) = path.to_str() else {
        return Err(Fail::Message("the name of the file is not UTF-8".into()));
    };
    let query = KeepQuery::Export {
        rev: args.rev.clone().unwrap_or_else(|| "@".to_owned()),
        path: path.to_owned(),
    };
    let info = match ask(cx, query).await? {
        KeepAnswer::Exported(info) => info,
        other => return Err(unexpected(other)),
    };
    if args.json {
        out.json(&info)?;
    } else {
        out.line(&format!(
            "{}: {} and {}, {}; it holds contents and texts as they were recorded, secrets too",
            neutral(output.as_os_str().as_encoded_bytes()),
            number(info.commits, "commit"),
            number(info.steps, "step"),
            size(info.bytes)
        ))?;
    }
    Ok(0)
}
