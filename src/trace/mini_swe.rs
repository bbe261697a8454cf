//! mini-swe-agent: a list of messages, or a document that holds one. Each answer has one command in a code block, the next
//! message is what it gave.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use super::emit::first_line;
use super::event::{Body, Call, Ending, Facts, MarkerKind, Out, Outcome, Record, State, Usage};
use super::format::{About, Format, Head, Piece, Shape};
use super::raw::{self, Field, Teller};
use crate::model::{CallKind, Time};

/// The reader.
pub struct MiniSwe;

const MESSAGE: &str = "message";
/// A message before the first answer.
const TASK: &str = "task";
const INFO: &str = "info";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    extra: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Extra<'a> {
    #[serde(borrow, default)]
    actions: Field<'a>,
    #[serde(borrow, default)]
    returncode: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    response: Field<'a>,
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow, default)]
    command: Field<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    usage: Field<'a>,
    #[serde(borrow, default)]
    model: Field<'a>,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Field<'a>,
    #[serde(borrow, default)]
    completion_tokens: Field<'a>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow, default)]
    exit_status: Field<'a>,
    #[serde(borrow, default)]
    mini_version: Field<'a>,
}

impl Format for MiniSwe {
    fn name(&self) -> &'static str {
        "mini-swe-agent"
    }

    fn about(&self) -> About {
        About {
            title: "mini-swe-agent trajectories",
            basis: "a real list of messages; the later document by description",
            real: true,
            gives: "the task, answers, commands with what they gave and exit codes",
            lacks: "file states: all changes are made by commands",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(at) = raw::start(head.bytes) else {
            return 0;
        };
        let has = |text: &str| memchr::memmem::find(head.bytes, text.as_bytes()).is_some();
        let list = head.bytes.get(at) == Some(&b'[');
        let messages = has("\"role\"") && has("\"content\"");
        if !list && (has("\"trajectory_format\"") && has("mini-swe-agent")) {
            return 96;
        }
        if !messages || !(list || has("\"messages\"")) {
            return 0;
        }
        if has("mswea_bash_command") || has("<returncode>") {
            90
        } else if head.name.ends_with(".traj.json") {
            70
        } else {
            0
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        out.counted = u32::from(record.tag != INFO);
        let mut teller = Teller::new(out);
        let read = if record.tag == INFO {
            info(record, &mut teller)
        } else {
            message(record, state, &mut teller)
        };
        if read.is_none() {
            teller.unknown(raw::NOT_JSON);
        }
    }

    fn is_recording(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|n| n.to_str());
        name.is_some_and(|n| n.ends_with(".traj.json"))
    }
}

fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    let Some(at) = raw::start(bytes) else {
        return out;
    };
    let mut messages = (bytes.get(at) == Some(&b'[')).then_some(at);
    for (key, range) in raw::members(bytes, at) {
        match key {
            b"messages" => messages = Some(range.start),
            b"info" => out.push(Piece { range, tag: INFO }),
            _ => {}
        }
    }
    if let Some((b"messages", start)) = raw::open_member(bytes, at) {
        messages = Some(start);
    }
    if let Some(start) = messages {
        let mut tag = TASK;
        for range in raw::elements(bytes, start).take(raw::MOST_PIECES) {
            if tag == TASK {
                let message: Option<Message<'_>> = bytes
                    .get(range.clone())
                    .and_then(|b| serde_json::from_slice(b).ok());
                if message.is_none_or(|m| raw::string(m.role).as_deref() == Some("assistant")) {
                    tag = MESSAGE;
                }
            }
            out.push(Piece { range, tag });
        }
    }
    out
}

fn info<'a>(record: Record<'a>, teller: &mut Teller<'a, '_>) -> Option<()> {
    let info: Info<'a> = serde_json::from_slice(record.bytes).ok()?;
    teller.say(Body::Session(Box::new(Facts {
        agent: "mini-swe-agent".to_owned(),
        version: raw::owned(info.mini_version),
        title: raw::owned(info.exit_status),
        ..Facts::default()
    })));
    Some(())
}

fn message<'a>(record: Record<'a>, state: &mut State, teller: &mut Teller<'a, '_>) -> Option<()> {
    let message: Message<'a> = serde_json::from_slice(record.bytes).ok()?;
    let extra: Extra<'a> = raw::object(message.extra).unwrap_or_default();
    teller.common.time = seconds(extra.timestamp);
    let text = raw::message(message.content);
    match raw::string(message.role).as_deref() {
        Some("system") => teller.say(Body::Marker {
            kind: MarkerKind::Context,
            text,
        }),
        Some("assistant") => {
            let id = format!("command-{}", record.span.offset);
            state.turn.clone_from(&id);
            teller.common.answer = Cow::Owned(id.clone());
            answer(text, &extra, &id, teller);
        }
        Some("exit") => teller.say(Body::Marker {
            kind: MarkerKind::Session,
            text: Cow::Owned(format!("ended: {text}")),
        }),
        Some("user" | "tool") => {
            if record.tag == TASK {
                teller.say(Body::Prompt(text));
                return Some(());
            }
            let exit = match extra.returncode {
                Some(code) => raw::number(Some(code)).map(|n| n as i32),
                None => raw::number_after(text.lines().next().unwrap_or(""), "<returncode>"),
            };
            teller.say(Body::Result(Outcome {
                id: Cow::Owned(std::mem::take(&mut state.turn)),
                output: text,
                end: match exit {
                    None | Some(0) => Ending::Ok,
                    Some(_) => Ending::Error,
                },
                exit_code: exit,
                ..Outcome::default()
            }));
        }
        role => {
            let role = role.unwrap_or("without a role").to_owned();
            teller.unknown(Cow::Owned(format!("message {role}")));
        }
    }
    Some(())
}

fn seconds(field: Field<'_>) -> Option<Time> {
    let s = raw::number(field)?;
    (s > 0.0 && s < 1e11).then_some(Time((s * 1e6) as i64))
}

fn answer<'a>(text: Cow<'a, str>, extra: &Extra<'a>, id: &str, teller: &mut Teller<'a, '_>) {
    let told: Vec<Action<'a>> = raw::list(extra.actions)
        .into_iter()
        .filter_map(|a| raw::object(Some(a)))
        .collect();
    // An answer without a command gets an answer too: that there must be one.
    let command = match told.first() {
        Some(action) => raw::text(action.command),
        None => Cow::Owned(block(&text).unwrap_or_default().to_owned()),
    };
    if !text.trim().is_empty() {
        teller.say(Body::Message(text));
    }
    let title = match first_line(&command) {
        line if line.is_empty() => "no command".to_owned(),
        line => line,
    };
    teller.say(Body::Call(Call {
        id: Cow::Owned(id.to_owned()),
        name: Cow::Borrowed("bash"),
        kind: Some(CallKind::Execute),
        title: Some(Cow::Owned(title)),
        input: command,
        ..Call::default()
    }));
    if let Some(response) = raw::object::<Response<'a>>(extra.response) {
        let model = raw::owned(response.model);
        if !model.is_empty() {
            teller.say(Body::Session(Box::new(Facts {
                model,
                ..Facts::default()
            })));
        }
        if let Some(tokens) = raw::object::<Tokens<'a>>(response.usage) {
            teller.say(Body::Usage(Usage {
                input: raw::count(tokens.prompt_tokens),
                output: raw::count(tokens.completion_tokens),
                ..Usage::default()
            }));
        }
    }
}

/// The command in an answer's code block.
fn block(text: &str) -> Option<&str> {
    let (_, rest) = ["```mswea_bash_command\n", "```bash\n", "```sh\n"]
        .iter()
        .find_map(|fence| text.split_once(fence))?;
    let (command, _) = rest.split_once("\n```")?;
    Some(command)
}
