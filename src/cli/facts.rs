//! The agent's own state: read to be kept, written to a file, and two of them compared.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::args;
use super::cat::copy;
use super::out::{Out, Tone, one_line};
use super::{Context, Ended, Fail};
use crate::diff::facts::{FactOp, facts};
use crate::engine::api::{Request, Response, StateInfo};
use crate::model::neutral;

/// More is refused anyway; a file that never ends is not read on.
const MOST: u64 = 32 << 20;
/// Longest value that is printed.
const WIDTH: usize = 100;

fn said(path: &Path) -> String {
    neutral(path.as_os_str().as_encoded_bytes())
}

/// The text of a state, from a file or (`-`) from standard input.
pub fn read(cwd: &Path, from: &Path) -> Result<String, Fail> {
    let cannot = |e: std::io::Error| Fail::Message(format!("cannot read {}: {e}", said(from)));
    let mut bytes = Vec::new();
    if from == Path::new("-") {
        std::io::stdin().take(MOST).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(cwd.join(from)).and_then(|f| f.take(MOST).read_to_end(&mut bytes))
    }
    .map_err(cannot)?;
    String::from_utf8(bytes)
        .map_err(|_| Fail::Message(format!("{} is not JSON: it is not UTF-8", said(from))))
}

async fn state_of(cx: &Context, rev: &str) -> Result<Option<StateInfo>, Fail> {
    let rev = rev.to_owned();
    match cx.ask(Request::Show { rev }).await? {
        Response::Commit(detail) => Ok(detail.state),
        other => Err(Fail::unexpected(&other)),
    }
}

async fn bytes_of(cx: &Context, state: &StateInfo) -> Result<Vec<u8>, Fail> {
    let mut bytes = Vec::new();
    copy(cx, state.blob, |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .await?;
    Ok(bytes)
}

/// `restore REV -o FILE`
pub async fn restore(cx: &Context, args: &args::Restore, output: &Path, out: &mut Out) -> Ended {
    let Some(state) = state_of(cx, &args.rev).await? else {
        return Err(Fail::Message(format!(
            "no state of an agent is kept at {}: backtrail snapshot --state FILE keeps one",
            neutral(args.rev.as_bytes())
        )));
    };
    let bytes = bytes_of(cx, &state).await?;
    if output == Path::new("-") {
        out.raw(&bytes)?;
    } else {
        std::fs::write(cx.cwd.join(output), &bytes)
            .map_err(|e| Fail::Message(format!("cannot write {}: {e}", said(output))))?;
    }
    Ok(0)
}

async fn value(cx: &Context, rev: &str) -> Result<Option<Value>, Fail> {
    let Some(state) = state_of(cx, rev).await? else {
        return Ok(None);
    };
    let bytes = bytes_of(cx, &state).await?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        let rev = neutral(rev.as_bytes());
        Fail::Message(format!("the state at {rev} is not JSON: {e}"))
    })
}

/// `diff --state`
pub async fn diff(cx: &Context, args: &args::Diff, out: &mut Out) -> Ended {
    let b = args.b.as_deref().unwrap_or("@");
    let (before, after) = (value(cx, &args.a).await?, value(cx, b).await?);
    if before.is_none() && after.is_none() {
        return Err(Fail::Message(format!(
            "no state of an agent is kept at {} or {}: backtrail snapshot --state FILE keeps one",
            neutral(args.a.as_bytes()),
            neutral(b.as_bytes())
        )));
    }
    for fact in facts(before.as_ref(), after.as_ref()) {
        if args.json {
            out.json(&fact)?;
            continue;
        }
        let (sign, tone) = match fact.op {
            FactOp::Added => ("+", Tone::Good),
            FactOp::Removed => ("-", Tone::Bad),
            FactOp::Changed => ("~", Tone::Mark),
        };
        let values: Vec<String> = [&fact.before, &fact.after]
            .into_iter()
            .flatten()
            .map(|v| one_line(&v.to_string(), WIDTH))
            .collect();
        let path = neutral(fact.path.as_bytes());
        let path = if path.is_empty() { "/" } else { &path };
        let line = format!("{} {path}  {}", out.paint(tone, sign), values.join(" -> "));
        out.line(&line)?;
    }
    Ok(0)
}
