//! How the store is kept: looked over and mended.

use super::args;
use super::out::{Out, Tone, count};
use super::{Context, Ended, Fail};
use crate::engine::api::{KeepAnswer, KeepQuery, Request, Response, VerifyInfo};
use crate::model::neutral;

async fn ask(cx: &Context, query: KeepQuery) -> Result<KeepAnswer, Fail> {
    match cx.ask(Request::Keep(query)).await? {
        Response::Kept(answer) => Ok(*answer),
        other => Err(Fail::unexpected(&other)),
    }
}

async fn verified(cx: &Context, query: KeepQuery) -> Result<VerifyInfo, Fail> {
    match ask(cx, query).await? {
        KeepAnswer::Verified(info) => Ok(info),
        #[allow(unreachable_patterns, reason = "until there is another answer")]
        other => Err(Fail::unexpected(&Response::Kept(Box::new(other)))),
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
