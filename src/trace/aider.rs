//! aider's chat history: Markdown that a person can read, `.aider.chat.history.md`, all runs in one directory one after
//! the other.
//!
//! There are no ids and no times but each run's start. Lines that begin with `#### ` are the person's, lines that begin
//! with `> ` the tool's, the rest is the model's. A record is a prompt, or an answer together with what the tool said of
//! it: only there stands whether the edits in the answer were applied. An answer that quotes such lines cannot be told
//! from them, except within its code fences.

use std::borrow::Cow;
use std::path::Path;

use super::event::{
    Before, Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, Replacement,
    Stage, State, Usage, What,
};
use super::format::{About, Format, Head, Piece, Shape};
use super::raw::Teller;
use crate::model::{CallKind, Time};

/// The reader.
pub struct Aider;

const START: &str = "start";
const PROMPT: &str = "prompt";
const ANSWER: &str = "answer";

const STARTED: &str = "# aider chat started at ";
const TYPED: &str = "#### ";

impl Format for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn about(&self) -> About {
        About {
            title: "aider chat histories",
            basis: "real histories of 0.47 and 0.48",
            real: true,
            gives: "runs, prompts, answers, edits that were applied, commits, tokens",
            lacks: "times within a run; edits that are not written as SEARCH/REPLACE blocks are named only",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let begins = |bytes: &[u8]| bytes.starts_with(STARTED.as_bytes());
        let first = head.bytes.iter().position(|b| !b.is_ascii_whitespace());
        if first.is_some_and(|at| begins(&head.bytes[at..])) {
            98
        } else if memchr::memmem::find(head.bytes, b"\n# aider chat started at ").is_some() {
            80
        } else if head.name.ends_with("aider.chat.history.md") {
            60
        } else {
            0
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        let text = String::from_utf8_lossy(record.bytes);
        let mut teller = Teller::new(out);
        match record.tag {
            START => {
                let line = first_line_of(&text, STARTED);
                state.start = local(&line);
                state.session = format!("aider {line}");
                teller.common.time = state.start;
                teller.say(Body::Session(Box::new(Facts {
                    id: state.session.clone(),
                    agent: "aider".to_owned(),
                    start: state.start,
                    ..Facts::default()
                })));
                teller.say(Body::Marker {
                    kind: MarkerKind::Session,
                    text: Cow::Owned(format!("started at {line}")),
                });
            }
            PROMPT => {
                teller.common.time = state.start;
                let lines: Vec<&str> = text
                    .lines()
                    .map(|l| l.strip_prefix(TYPED).unwrap_or("").trim_end())
                    .collect();
                teller.say(Body::Prompt(Cow::Owned(lines.join("\n"))));
                // Every line that was typed is one event of aider's own.
                out.counted = u32::try_from(lines.len()).unwrap_or(u32::MAX);
                return;
            }
            _ => {
                teller.common.time = state.start;
                answer(&text, record.span.offset, &mut teller);
            }
        }
        out.counted = 0;
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        record.tag == ANSWER
            && memchr::memmem::find(record.bytes, b"\n> Applied edit to ").is_some()
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        if record.tag != ANSWER {
            return;
        }
        let text = String::from_utf8_lossy(record.bytes);
        let (said, tool) = parts(&text);
        let mut edits = edits(said);
        for path in applied(tool) {
            // A file named as edited without a block that says how: another way of writing edits.
            if !edits.iter().any(|e| same(&e.path, path)) {
                edits.push(Edit::named(path));
            }
        }
        for (n, edit) in edits.into_iter().enumerate() {
            if !applied(tool).any(|path| same(&edit.path, path)) {
                continue;
            }
            let creates = edit.pairs.iter().any(|p| p.old.is_empty());
            out.push(FileEffect {
                call: call_id(record.span.offset, n),
                path: edit.path,
                cwd: None,
                time: state.start,
                stage: Stage::Applied,
                before: Before::NotTold,
                what: if edit.pairs.is_empty() || creates {
                    // An empty block creates a file or adds to one: which, the file alone knows.
                    What::Changed
                } else {
                    What::Replace(edit.pairs)
                },
            });
        }
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.file_name()
            .is_some_and(|n| n == ".aider.chat.history.md")
    }
}

/// Cuts the history: starts, prompts, answers with the tool's words.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut at = 0;
    let mut fenced = false;
    // The tool has spoken in the piece that is open: words of the model after that are another answer.
    let mut closing = false;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let range = at..at + line.len();
        at = range.end;
        let starts = |text: &str| line.starts_with(text.as_bytes());
        let tag = if starts(STARTED) {
            START
        } else if starts(TYPED) {
            PROMPT
        } else {
            ANSWER
        };
        let blank = line.trim_ascii().is_empty();
        if tag != ANSWER {
            fenced = false;
            closing = false;
        }
        let tool = !fenced && is_tool(line);
        if tag == ANSWER && !tool && starts("```") {
            fenced = !fenced;
        }
        let goes_on = match out.last() {
            Some(last) if last.tag == ANSWER => tag == ANSWER && (tool || !closing || blank),
            Some(last) if last.tag == PROMPT => tag == PROMPT && last.range.end == range.start,
            _ => false,
        };
        closing = tag == ANSWER && (tool || (closing && blank));
        if goes_on {
            if let Some(last) = out.last_mut()
                && !blank
            {
                last.range.end = range.end;
            }
        } else if !blank {
            out.push(Piece { range, tag });
        }
    }
    out
}

fn is_tool(line: &[u8]) -> bool {
    line.starts_with(b"> ") || line.trim_ascii() == b">"
}

fn first_line_of(text: &str, prefix: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix(prefix)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A local time, as its machine wrote it; taken for one of this machine.
fn local(text: &str) -> Option<Time> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::system()).ok()?;
    Some(Time(zoned.timestamp().as_microsecond()))
}

/// What the model said, and the lines of the tool that follow.
fn parts(text: &str) -> (&str, &str) {
    let mut fenced = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if !fenced && is_tool(line.as_bytes()) {
            return text.split_at(at);
        }
        if line.starts_with("```") {
            fenced = !fenced;
        }
        at += line.len();
    }
    (text, "")
}

/// The tool's lines without their marks.
fn lines(tool: &str) -> impl Iterator<Item = &str> {
    tool.lines()
        .map(|l| l.strip_prefix('>').unwrap_or(l).trim())
        .filter(|l| !l.is_empty())
}

fn applied(tool: &str) -> impl Iterator<Item = &str> {
    lines(tool).filter_map(|l| l.strip_prefix("Applied edit to "))
}

fn same(a: &str, b: &str) -> bool {
    a.trim_start_matches("./") == b.trim_start_matches("./")
}

/// Edits have no ids: they are named after their record and place.
fn call_id(offset: u64, n: usize) -> String {
    format!("edit-{offset}-{n}")
}

/// The blocks of one file in an answer.
struct Edit {
    path: String,
    pairs: Vec<Replacement>,
    /// As written.
    text: String,
}

impl Edit {
    fn named(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            pairs: Vec::new(),
            text: String::new(),
        }
    }
}

/// The SEARCH/REPLACE blocks, by file. The file's name stands on the line before the fence, or before the block.
fn edits(said: &str) -> Vec<Edit> {
    let mut out: Vec<Edit> = Vec::new();
    let mut path = String::new();
    let mut before = "";
    let mut lines = said.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let bare = line.trim_end();
        if !(bare.starts_with("<<<<<<<") && bare.ends_with("SEARCH")) {
            if !bare.is_empty() && !bare.starts_with("```") {
                before = bare;
            }
            continue;
        }
        let name = before.trim().trim_matches(['*', '`', '#', ' ', ':']);
        if !name.is_empty() && !name.starts_with(">>>>>>>") {
            name.clone_into(&mut path);
        }
        let mut pair = Replacement {
            old: String::new(),
            new: String::new(),
            all: false,
        };
        let mut text = line.to_owned();
        let (mut second, mut whole) = (false, false);
        for line in lines.by_ref() {
            text.push_str(line);
            let bare = line.trim_end();
            if bare == "=======" && !second {
                second = true;
            } else if bare.starts_with(">>>>>>>") && bare.ends_with("REPLACE") {
                whole = second;
                before = ">>>>>>>";
                break;
            } else if second {
                pair.new.push_str(line);
            } else {
                pair.old.push_str(line);
            }
        }
        if !whole || path.is_empty() {
            continue;
        }
        match out.iter_mut().find(|e| e.path == path) {
            Some(edit) => {
                edit.pairs.push(pair);
                edit.text.push_str(&text);
            }
            None => out.push(Edit {
                path: path.clone(),
                pairs: vec![pair],
                text,
            }),
        }
    }
    out
}

fn answer(text: &str, offset: u64, teller: &mut Teller<'_, '_>) {
    let (said, tool) = parts(text);
    if !said.trim().is_empty() {
        teller.common.answer = Cow::Owned(offset.to_string());
        teller.say(Body::Message(Cow::Owned(said.trim().to_owned())));
    }
    let mut edits = edits(said);
    for path in applied(tool) {
        if !edits.iter().any(|e| same(&e.path, path)) {
            edits.push(Edit::named(path));
        }
    }
    for (n, edit) in edits.into_iter().enumerate() {
        let id = call_id(offset, n);
        let done = applied(tool).any(|path| same(&edit.path, path));
        teller.say(Body::Call(Call {
            id: Cow::Owned(id.clone()),
            name: Cow::Borrowed("edit"),
            kind: Some(CallKind::Edit),
            input: Cow::Owned(edit.text),
            title: Some(Cow::Owned(edit.path.clone())),
            paths: vec![edit.path.clone()],
            ended: true,
        }));
        let output = if done {
            format!("Applied edit to {}", edit.path)
        } else {
            "The history does not tell that it was applied.".to_owned()
        };
        teller.say(Body::Result(Outcome {
            id: Cow::Owned(id),
            output: Cow::Owned(output),
            end: if done { Ending::Ok } else { Ending::Error },
            ..Outcome::default()
        }));
    }
    said_by_tool(tool, teller);
}

fn said_by_tool(tool: &str, teller: &mut Teller<'_, '_>) {
    let mut facts = Facts::default();
    let mut rest: Vec<&str> = Vec::new();
    for line in lines(tool) {
        if let Some(version) = line.strip_prefix("Aider v") {
            version.clone_into(&mut facts.version);
        } else if let Some(model) = line
            .strip_prefix("Models: ")
            .or_else(|| line.strip_prefix("Model: "))
            .or_else(|| line.strip_prefix("Main model: "))
        {
            let name = model.split([' ', ',']).next().unwrap_or(model);
            name.clone_into(&mut facts.model);
        } else if let Some(usage) = line.strip_prefix("Tokens: ").and_then(tokens) {
            teller.say(Body::Usage(usage));
        } else if line.starts_with("Commit ") {
            note(&mut rest, teller);
            rest.push(line);
            note(&mut rest, teller);
        } else if !line.starts_with("Applied edit to ") && !line.starts_with("You can use /undo") {
            rest.push(line);
        }
    }
    note(&mut rest, teller);
    if facts != Facts::default() {
        teller.say(Body::Session(Box::new(facts)));
    }
}

/// What the tool said so far, as one marker.
fn note(rest: &mut Vec<&str>, teller: &mut Teller<'_, '_>) {
    if rest.is_empty() {
        return;
    }
    let stopped = rest.iter().any(|l| l.ends_with("KeyboardInterrupt"));
    teller.say(Body::Marker {
        kind: if stopped {
            MarkerKind::Interrupt
        } else {
            MarkerKind::Note
        },
        text: Cow::Owned(rest.join("\n")),
    });
    rest.clear();
}

/// `5,244 sent, 604 received. Cost: ...`, also `12k sent, 1.5k cache hit, 604 received.`
fn tokens(text: &str) -> Option<Usage> {
    let mut usage = Usage::default();
    let text = text.split(". Cost").next().unwrap_or(text);
    for part in text.split(", ") {
        let (n, what) = part.trim_end_matches('.').split_once(' ')?;
        let n = n.replace(',', "");
        let (n, factor) = match n.strip_suffix('k') {
            Some(n) => (n.to_owned(), 1000.0),
            None => (n, 1.0),
        };
        let n = (n.parse::<f64>().ok()?.clamp(0.0, 1e12) * factor) as u64;
        match what {
            "sent" => usage.input = n,
            "received" => usage.output = n,
            "cache hit" => usage.cache_read = n,
            "cache write" => usage.cache_write = n,
            _ => {}
        }
    }
    Some(usage)
}
