//! How commands, tools and patches ended, as events tell it. What a script of code mode did has no other record, so its
//! end makes the whole call.

use std::borrow::Cow;

use super::edits;
use crate::model::CallKind;
use crate::trace::emit::first_line;
use crate::trace::event::{Body, Call, Ending, Outcome};
use crate::trace::raw::{self, Field, Teller};

/// Whether a call was made by a script of code mode: no other record tells that it began.
fn is_nested(id: &str) -> bool {
    id.starts_with("exec-")
}

/// How it ended, by the words of `status`.
fn ended(status: Field<'_>) -> Option<Ending> {
    match raw::string(status)?.as_ref() {
        "completed" | "success" => Some(Ending::Ok),
        "failed" | "error" => Some(Ending::Error),
        "declined" | "cancelled" | "canceled" => Some(Ending::Aborted),
        _ => None,
    }
}

/// A command's end: its exit code, and the whole of it where it began in a script.
pub(super) fn command<'a>(
    id: Field<'a>,
    line: Cow<'a, str>,
    output: Field<'a>,
    (exit, status): (Field<'a>, Field<'a>),
    teller: &mut Teller<'a, '_>,
) {
    let id = raw::string(id).unwrap_or_default();
    let exit_code = raw::number(exit).map(|n| n as i32);
    let end = ended(status).unwrap_or(match exit_code {
        Some(0) => Ending::Ok,
        Some(_) => Ending::Error,
        None => Ending::Open,
    });
    let mut outcome = Outcome {
        id: id.clone(),
        end,
        exit_code,
        ..Outcome::default()
    };
    if !is_nested(&id) {
        teller.say(Body::About(outcome));
        return;
    }
    teller.say(Body::Call(Call {
        id,
        name: Cow::Borrowed("exec_command"),
        kind: Some(CallKind::Execute),
        title: Some(Cow::Owned(first_line(&line))),
        input: line,
        ..Call::default()
    }));
    outcome.output = raw::text(output);
    teller.say(Body::Result(outcome));
}

/// A tool's end, by server, name and arguments.
pub(super) fn tool<'a>(
    id: Field<'a>,
    (server, name, arguments): (Field<'a>, Field<'a>, Field<'a>),
    result: Field<'a>,
    status: Field<'a>,
    teller: &mut Teller<'a, '_>,
) {
    let id = raw::string(id).unwrap_or_default();
    let output = raw::text(result);
    let failed = output.starts_with("{\"Err\"") || output.contains("\"isError\":true");
    let end = ended(status).unwrap_or(if failed { Ending::Error } else { Ending::Ok });
    let mut outcome = Outcome {
        id: id.clone(),
        end,
        ..Outcome::default()
    };
    if !is_nested(&id) {
        teller.say(Body::About(outcome));
        return;
    }
    let [server, name] = [server, name].map(raw::owned);
    teller.say(Body::Call(Call {
        id,
        name: Cow::Owned(format!("{server}.{name}")),
        input: raw::text(arguments),
        ..Call::default()
    }));
    outcome.output = output;
    teller.say(Body::Result(outcome));
}

/// A patch's end.
pub(super) fn patch<'a>(whole: Field<'a>, teller: &mut Teller<'a, '_>) {
    let Some(done) = edits::Done::read(whole) else {
        return;
    };
    let id = done.id();
    let mut outcome = Outcome {
        id: id.clone(),
        end: done.end(),
        ..Outcome::default()
    };
    if !is_nested(&id) {
        teller.say(Body::About(outcome));
        return;
    }
    let (title, paths) = done.names();
    teller.say(Body::Call(Call {
        id,
        name: Cow::Borrowed("apply_patch"),
        kind: Some(CallKind::Edit),
        input: raw::text(done.changes),
        title: Some(Cow::Owned(title)),
        paths,
        ended: false,
    }));
    outcome.output = raw::join([done.stdout, done.stderr].map(raw::text).into_iter(), "\n");
    teller.say(Body::Result(outcome));
}
