//! `freeze`, `thaw` and `kill`: what is done to the processes of a running session.

use super::args;
use super::out::Out;
use super::{Context, Ended, Fail};
use crate::engine::api::{LiveSession, Request, Response};
use crate::model::{SessionId, neutral};

/// Shortest beginning of an id that names a session.
const DIGITS: usize = 4;

/// `freeze` and `thaw`
pub async fn freeze(cx: &Context, args: &args::OneSession, frozen: bool, out: &mut Out) -> Ended {
    let which = named(cx, &args.session).await?;
    let asked: Vec<Option<SessionId>> = match which {
        Named::All(_) => vec![None],
        Named::Some(some) => some.into_iter().map(Some).collect(),
    };
    for session in asked {
        let request = Request::Freeze { session, frozen };
        said(cx.ask(request).await?, args.json, out)?;
    }
    Ok(0)
}

/// `kill`
pub async fn kill(cx: &Context, args: &args::OneSession, out: &mut Out) -> Ended {
    let (Named::All(which) | Named::Some(which)) = named(cx, &args.session).await?;
    if which.is_empty() {
        return Err(Fail::Message("no session is running".to_owned()));
    }
    for session in which {
        said(cx.ask(Request::Kill { session }).await?, args.json, out)?;
    }
    Ok(0)
}

fn said(answer: Response, json: bool, out: &mut Out) -> Result<(), Fail> {
    match answer {
        Response::Done(text) if json => out.json(&serde_json::json!({ "done": text })),
        Response::Done(text) => out.line(&neutral(text.as_bytes())),
        other => Err(Fail::unexpected(&other)),
    }
}

enum Named {
    All(Vec<SessionId>),
    Some(Vec<SessionId>),
}

/// The running sessions that a word means.
async fn named(cx: &Context, word: &str) -> Result<Named, Fail> {
    let running = match cx.ask(Request::Status).await? {
        Response::Status(status) => status.sessions,
        other => return Err(Fail::unexpected(&other)),
    };
    if word == "all" {
        return Ok(Named::All(running.iter().map(|s| s.session.id).collect()));
    }
    find(&running, word).map(Named::Some)
}

fn find(running: &[LiveSession], word: &str) -> Result<Vec<SessionId>, Fail> {
    let is = |fits: &dyn Fn(&LiveSession) -> bool| -> Vec<&LiveSession> {
        running.iter().filter(|s| fits(s)).collect()
    };
    // A branch is a place where several may be at work: all of them are meant.
    let on_branch = is(&|s| s.branch.as_deref() == Some(word));
    if !on_branch.is_empty() {
        return Ok(on_branch.iter().map(|s| s.session.id).collect());
    }
    let digits = word.len() >= DIGITS && word.bytes().all(|b| b.is_ascii_hexdigit());
    let ways = [
        is(&|s| s.session.native == word),
        is(&|s| {
            digits
                && s.session
                    .id
                    .to_hex()
                    .starts_with(&word.to_ascii_lowercase())
        }),
        is(&|s| s.session.agent == word),
    ];
    let Some(found) = ways.into_iter().find(|w| !w.is_empty()) else {
        return Err(Fail::Message(format!(
            "no running session is called {:?}; {}",
            neutral(word.as_bytes()),
            list(&is(&|_| true))
        )));
    };
    match found.as_slice() {
        [one] => Ok(vec![one.session.id]),
        several => Err(Fail::Message(format!(
            "{:?} names several sessions; {}",
            neutral(word.as_bytes()),
            list(several)
        ))),
    }
}

fn list(sessions: &[&LiveSession]) -> String {
    if sessions.is_empty() {
        return "none is running".to_owned();
    }
    let lines: Vec<String> = sessions
        .iter()
        .map(|s| {
            let place = match &s.branch {
                Some(branch) => format!(" on {}", neutral(branch.as_bytes())),
                None => String::new(),
            };
            format!(
                "{} {}{place}",
                s.session.id.short(),
                neutral(s.session.agent.as_bytes())
            )
        })
        .collect();
    format!("running: {}", lines.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{Session, Time};

    fn one(native: &str, agent: &str, branch: Option<&str>) -> LiveSession {
        LiveSession {
            session: Session {
                id: SessionId::of(native),
                native: native.into(),
                agent: agent.into(),
                command: agent.into(),
                cgroup: String::new(),
                start: Time(0),
                end: None,
                exit_code: None,
                imported: false,
                branch: branch.map(str::to_owned),
            },
            frozen: false,
            contained: true,
            branch: branch.map(str::to_owned),
        }
    }

    #[test]
    fn sessions_are_found_by_what_lists_show_of_them() {
        let all = [
            one("run-1", "claude", None),
            one("run-2", "codex", Some("try-1")),
            one("run-3", "codex", Some("try-2")),
        ];
        let ids: Vec<SessionId> = all.iter().map(|s| s.session.id).collect();
        assert_eq!(find(&all, "claude").unwrap(), [ids[0]]);
        assert_eq!(find(&all, "run-3").unwrap(), [ids[2]]);
        assert_eq!(find(&all, "try-1").unwrap(), [ids[1]]);
        assert_eq!(find(&all, &ids[1].short()).unwrap(), [ids[1]]);
        let said = find(&all, "codex").unwrap_err().to_string();
        assert!(
            said.contains("several") && said.contains("on try-2"),
            "{said}"
        );
        let said = find(&all, "x\x1b").unwrap_err().to_string();
        assert!(
            said.contains("running:") && !said.contains('\x1b'),
            "{said}"
        );
        assert!(
            find(&[], "x")
                .unwrap_err()
                .to_string()
                .contains("none is running")
        );
    }
}
