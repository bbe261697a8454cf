//! The operation log: listed, one shown, the state at one restored, one reverted.

use super::args::OpVerb;
use super::change::{print_done, print_preview};
use super::diff::print_stat;
use super::out::{Out, Tone, one_line};
use super::{Context, Ended, Fail};
use crate::engine::api::{OpDetail, OpInfo, OpReport, RefMove, Request, Response};
use crate::model::neutral;

/// How many entries are asked for at a time.
const PAGE: usize = 500;

/// `op ...`
pub async fn op(cx: &Context, verb: OpVerb, out: &mut Out) -> Ended {
    match verb {
        OpVerb::Log { json, limit } => log(cx, json, limit, out).await,
        OpVerb::Show { op, json } => match cx.ask(Request::OpShow { op }).await? {
            Response::Operation(detail) if json => {
                out.json(&*detail)?;
                Ok(0)
            }
            Response::Operation(detail) => show(&detail, out),
            other => Err(Fail::unexpected(&other)),
        },
        OpVerb::Restore {
            op,
            before,
            dry_run,
            json,
        } => {
            let request = Request::OpRestore {
                op,
                before,
                dry_run,
            };
            act(cx, request, "restored", json, out).await
        }
        OpVerb::Revert { op, dry_run, json } => {
            act(cx, Request::OpRevert { op, dry_run }, "reverted", json, out).await
        }
    }
}

/// `op log`
async fn log(cx: &Context, json: bool, limit: Option<usize>, out: &mut Out) -> Ended {
    let mut before = None;
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        let limit = left.min(PAGE);
        let operations = match cx.ask(Request::Operations { before, limit }).await? {
            Response::Operations(operations) => operations,
            other => return Err(Fail::unexpected(&other)),
        };
        for op in &operations {
            if json {
                out.json(op)?;
            } else {
                let line = operation_line(op, out);
                out.line(&line)?;
            }
        }
        left -= operations.len().min(left);
        match operations.last() {
            Some(last) => before = Some(last.seq),
            None => break,
        }
    }
    Ok(0)
}

fn operation_line(op: &OpInfo, out: &Out) -> String {
    // That a person asked for it is the rule.
    let who = match op.who.as_str() {
        "" | "person" => String::new(),
        who => format!("  {}", out.paint(Tone::Dim, &one_line(who, 24))),
    };
    format!(
        "{:>5}  {}  {}  {:<10}  {}{}",
        op.seq,
        out.paint(Tone::Id, &op.id.short()),
        out.paint(Tone::Dim, &op.time.local()),
        op.kind.word(),
        one_line(&op.description, 100),
        who,
    )
    .trim_end()
    .to_owned()
}

/// `op show`
fn show(detail: &OpDetail, out: &mut Out) -> Ended {
    let op = &detail.op;
    let kind = out.paint(Tone::Mark, op.kind.word());
    let id = out.paint(Tone::Id, &op.id.short());
    out.line(&format!("operation {}  {id}  {kind}", op.seq))?;
    out.line(&format!("  what  {}", one_line(&op.description, 200)))?;
    out.line(&format!("  when  {}", op.time.local()))?;
    if !op.who.is_empty() {
        out.line(&format!("  who   {}", one_line(&op.who, 80)))?;
    }
    if let Some(of) = op.of {
        out.line(&format!("  of    operation {of}"))?;
    }
    refs(&detail.refs, out)?;
    if !detail.changes.is_empty() {
        out.line("")?;
        print_stat(&detail.changes, out)?;
    }
    out.line("")?;
    match &detail.stays {
        None => out.line(&format!("revert it with: backtrail op revert {}", op.seq))?,
        Some(why) => out.line(&format!("it stays: {}", neutral(why.as_bytes())))?,
    }
    Ok(0)
}

fn refs(moves: &[RefMove], out: &mut Out) -> Result<(), Fail> {
    for (i, one) in moves.iter().enumerate() {
        let head = if i == 0 { "refs" } else { "" };
        out.line(&format!("  {head:<4}  {}", one.words("->")))?;
    }
    Ok(())
}

async fn act(cx: &Context, request: Request, word: &str, json: bool, out: &mut Out) -> Ended {
    let report = match cx.ask(request).await? {
        Response::OpDone(report) => report,
        other => return Err(Fail::unexpected(&other)),
    };
    if json {
        out.json(&*report)?;
        return Ok(0);
    }
    done(&report, word, out)?;
    Ok(0)
}

fn done(report: &OpReport, word: &str, out: &mut Out) -> Result<(), Fail> {
    let said = neutral(report.description.as_bytes());
    if report.dry_run {
        out.line(&format!("would have: {said}"))?;
        refs(&report.refs, out)?;
        if let Some(rollback) = &report.rollback {
            print_preview(rollback, out)?;
        }
        return Ok(());
    }
    out.line(&said)?;
    refs(&report.refs, out)?;
    if let Some(rollback) = &report.rollback {
        print_done(word, rollback, out)?;
    }
    out.line("undo with: backtrail undo")
}
