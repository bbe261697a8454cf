//! SWE-agent's `.traj`: one document with the trajectory (thought, action, observation), the messages that the model was
//! given, and how it ended.
//!
//! A record is an item of the trajectory. The task stands among the messages, so those before the model's first are
//! records too. There are no times. An action's text is a command line; `edit 1:2 ... end_of_edit` changes the file that
//! the state names as open, in a window that only the tool knows: such changes are named, not told.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use super::emit::first_line;
use super::event::{
    Before, Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, Replacement,
    Stage, State, Usage, What,
};
use super::format::{About, Format, Head, Piece, Shape};
use super::raw::{self, Field, Teller};
use crate::model::CallKind;

/// The reader.
pub struct SweAgent;

const ITEM: &str = "item";
const TASK: &str = "task";
const INFO: &str = "info";
const ENVIRONMENT: &str = "environment";

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    action: Field<'a>,
    #[serde(borrow, default)]
    observation: Field<'a>,
    #[serde(borrow, default)]
    thought: Field<'a>,
    #[serde(borrow, default)]
    response: Field<'a>,
    #[serde(borrow, default)]
    state: Field<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    is_demo: Field<'a>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow, default)]
    exit_status: Field<'a>,
    #[serde(borrow, default)]
    model_stats: Field<'a>,
    #[serde(borrow, default)]
    swe_agent_version: Field<'a>,
}

#[derive(Deserialize)]
struct Stats<'a> {
    #[serde(borrow, default)]
    tokens_sent: Field<'a>,
    #[serde(borrow, default)]
    tokens_received: Field<'a>,
}

/// Where the tool stands: an object, or one as a text.
#[derive(Deserialize, Default)]
struct Place {
    #[serde(default)]
    open_file: Option<String>,
    #[serde(default)]
    working_dir: Option<String>,
}

impl Format for SweAgent {
    fn name(&self) -> &'static str {
        "swe-agent"
    }

    fn about(&self) -> About {
        About {
            title: "SWE-agent trajectories",
            basis: "real .traj documents of the function-calling and of the thought/action form",
            real: true,
            gives: "the task, thoughts, actions with what they gave, edits by strings, tokens in all",
            lacks: "times; what edits by line numbers changed; subagents",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(at) = raw::start(head.bytes).filter(|at| head.bytes.get(*at) == Some(&b'{'))
        else {
            return 0;
        };
        let has = |key: &[u8]| {
            raw::members(head.bytes, at).any(|(k, _)| k == key)
                || raw::open_member(head.bytes, at).is_some_and(|(k, _)| k == key)
        };
        match has(b"trajectory") {
            true if memchr::memmem::find(head.bytes, b"\"observation\"").is_some() => 95,
            true => 40,
            false => 0,
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, _state: &mut State, out: &mut Out<'a>) {
        out.counted = u32::from(record.tag == ITEM);
        let mut teller = Teller::new(out);
        let read = match record.tag {
            ITEM => item(record, &mut teller),
            TASK => task(record, &mut teller),
            INFO => info(record, &mut teller),
            _ => {
                let name: Option<&'a str> = serde_json::from_slice(record.bytes).ok();
                teller.say(Body::Session(Box::new(Facts {
                    agent: "swe-agent".to_owned(),
                    title: name.unwrap_or_default().to_owned(),
                    ..Facts::default()
                })));
                Some(())
            }
        };
        if read.is_none() {
            teller.unknown(raw::NOT_JSON);
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        record.tag == ITEM
    }

    fn effects(&self, record: Record<'_>, _state: &State, out: &mut Vec<FileEffect>) {
        if record.tag != ITEM {
            return;
        }
        let Ok(item) = serde_json::from_slice::<Item<'_>>(record.bytes) else {
            return;
        };
        let action = raw::text(item.action);
        let seen = raw::text(item.observation);
        let place = place(item.state);
        let Some((path, what)) = change(&action, &place) else {
            return;
        };
        if failed(&seen) {
            return;
        }
        let creates = matches!(what, What::Write(_));
        out.push(FileEffect {
            call: call_id(record.span.offset),
            path,
            cwd: place.working_dir,
            time: None,
            stage: Stage::Applied,
            before: if creates {
                Before::Absent
            } else {
                Before::NotTold
            },
            what,
        });
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "traj")
    }
}

fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    let Some(at) = raw::start(bytes) else {
        return out;
    };
    let (mut items, mut history, mut info, mut environment) = (None, None, None, None);
    for (key, range) in raw::members(bytes, at) {
        match key {
            b"trajectory" => items = Some(range.start),
            b"history" => history = Some(range.start),
            b"info" => info = Some(range),
            b"environment" => environment = Some(range),
            _ => {}
        }
    }
    // A document that is cut off has its last member open.
    match raw::open_member(bytes, at) {
        Some((b"trajectory", start)) => items = Some(start),
        Some((b"history", start)) => history = Some(start),
        _ => {}
    }
    let piece = |range: Range<usize>, tag| Piece { range, tag };
    out.extend(environment.map(|r| piece(r, ENVIRONMENT)));
    if let Some(start) = history {
        let first = raw::elements(bytes, start).take(8).take_while(|r| {
            let message: Option<Message<'_>> = serde_json::from_slice(&bytes[r.clone()]).ok();
            message.is_some_and(|m| raw::string(m.role).as_deref() != Some("assistant"))
        });
        out.extend(first.map(|r| piece(r, TASK)));
    }
    if let Some(start) = items {
        let all = raw::elements(bytes, start).take(raw::MOST_PIECES);
        out.extend(all.map(|r| piece(r, ITEM)));
    }
    out.extend(info.map(|r| piece(r, INFO)));
    out
}

/// Actions have no ids: they are named after their place.
fn call_id(offset: u64) -> String {
    format!("action-{offset}")
}

fn item<'a>(record: Record<'a>, teller: &mut Teller<'a, '_>) -> Option<()> {
    let item: Item<'a> = serde_json::from_slice(record.bytes).ok()?;
    teller.common.answer = Cow::Owned(call_id(record.span.offset));
    let action = raw::text(item.action);
    let mut thought = raw::text(item.thought);
    if thought.trim().is_empty() {
        thought = raw::text(item.response);
    }
    if !thought.trim().is_empty() {
        teller.say(Body::Thought(thought));
    }
    if action.trim().is_empty() {
        return Some(());
    }
    let id = call_id(record.span.offset);
    let tool = action.split_whitespace().next().unwrap_or("").to_owned();
    let seen = raw::text(item.observation);
    let end = if failed(&seen) {
        Ending::Error
    } else {
        Ending::Ok
    };
    let changed = change(&action, &place(item.state)).map(|(path, _)| path);
    let kind = match tool.as_str() {
        _ if changed.is_some() => CallKind::Edit,
        "open" | "goto" | "scroll_up" | "scroll_down" | "str_replace_editor" => CallKind::Read,
        "find_file" | "search_file" | "search_dir" => CallKind::Search,
        "submit" => CallKind::Other,
        _ => CallKind::Execute,
    };
    teller.say(Body::Call(Call {
        id: Cow::Owned(id.clone()),
        name: Cow::Owned(tool),
        kind: Some(kind),
        title: Some(Cow::Owned(first_line(&action))),
        paths: changed.into_iter().collect(),
        input: action,
        ended: true,
    }));
    teller.say(Body::Result(Outcome {
        id: Cow::Owned(id),
        output: seen,
        end,
        ..Outcome::default()
    }));
    Some(())
}

fn task<'a>(record: Record<'a>, teller: &mut Teller<'a, '_>) -> Option<()> {
    let message: Message<'a> = serde_json::from_slice(record.bytes).ok()?;
    let text = raw::message(message.content);
    let asks = raw::string(message.role).as_deref() == Some("user") && !raw::truth(message.is_demo);
    teller.say(if asks {
        Body::Prompt(text)
    } else {
        Body::Marker {
            kind: MarkerKind::Context,
            text,
        }
    });
    Some(())
}

fn info<'a>(record: Record<'a>, teller: &mut Teller<'a, '_>) -> Option<()> {
    let info: Info<'a> = serde_json::from_slice(record.bytes).ok()?;
    let version = raw::owned(info.swe_agent_version);
    if !version.is_empty() {
        teller.say(Body::Session(Box::new(Facts {
            version,
            ..Facts::default()
        })));
    }
    if let Some(stats) = raw::object::<Stats<'_>>(info.model_stats) {
        teller.say(Body::Usage(Usage {
            input: raw::count(stats.tokens_sent),
            output: raw::count(stats.tokens_received),
            total: true,
            ..Usage::default()
        }));
    }
    let how = raw::text(info.exit_status);
    if !how.is_empty() {
        teller.say(Body::Marker {
            kind: MarkerKind::Session,
            text: Cow::Owned(format!("ended: {how}")),
        });
    }
    Some(())
}

fn place(state: Field<'_>) -> Place {
    let text = match raw::string(state) {
        Some(text) => text,
        None => Cow::Borrowed(state.map_or("", serde_json::value::RawValue::get)),
    };
    serde_json::from_str(text.trim()).unwrap_or_default()
}

/// The tool's words for an edit that was not made.
fn failed(seen: &str) -> bool {
    const WORDS: [&str; 6] = [
        "Your proposed edit has introduced new syntax error",
        "No replacement was performed",
        "ERROR:",
        "Error:",
        "Usage: ",
        "No file open",
    ];
    let seen = seen.trim_start();
    WORDS.iter().any(|w| seen.starts_with(w))
}

/// The file that an action changes, and how.
fn change(action: &str, place: &Place) -> Option<(String, What)> {
    let tool = action.split_whitespace().next()?;
    match tool {
        "edit" | "insert" | "append" => {
            let open = place.open_file.as_deref()?;
            (open != "n/a" && !open.is_empty()).then(|| (open.to_owned(), What::Changed))
        }
        "create" => {
            let name = words(action)?.into_iter().nth(1)?;
            // An editor's new file: one empty line, or none.
            Some((name, What::Changed))
        }
        "str_replace_editor" => {
            let words = words(action)?;
            let option = |name: &str| {
                let at = words.iter().position(|w| w == name)?;
                words.get(at + 1).cloned()
            };
            let path = words.get(2)?.clone();
            let what = match words.get(1)?.as_str() {
                "create" => What::Write(option("--file_text")?),
                "str_replace" => What::Replace(vec![Replacement {
                    old: option("--old_str")?,
                    new: option("--new_str").unwrap_or_default(),
                    all: false,
                }]),
                "insert" | "undo_edit" => What::Changed,
                _ => return None,
            };
            Some((path, what))
        }
        _ => None,
    }
}

/// The words of a command line, with a shell's quotes taken off. `None` where a quote does not end.
fn words(line: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            '\n' => {}
                            c => {
                                word.push('\\');
                                word.push(c);
                            }
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_whitespace() => out.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn quotes_are_taken_off() {
        assert_eq!(
            words(r#"a 'b c' "d\"e" f\ g '' "'"'"'"#).unwrap(),
            ["a", "b c", "d\"e", "f g", "", "'\""]
        );
        assert_eq!(words("a 'b"), None);
    }

    #[test]
    fn changes_of_the_editors() {
        let open = Place {
            open_file: Some("/w/a.py".into()),
            working_dir: None,
        };
        let of = |action: &str| change(action, &open);
        assert_eq!(of("edit 1:2\nx\nend_of_edit").unwrap().0, "/w/a.py");
        assert_eq!(of("create b.py").unwrap(), ("b.py".into(), What::Changed));
        assert_eq!(
            of("str_replace_editor create /w/c --file_text 'it'\"'\"'s\n'").unwrap(),
            ("/w/c".into(), What::Write("it's\n".into()))
        );
        assert_eq!(of("str_replace_editor view /w/c"), None);
        assert_eq!(of("python x.py"), None);
        assert_eq!(change("edit 1:2", &Place::default()), None);
    }
}
