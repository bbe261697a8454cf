//! Recordings of a terminal: asciicast v2 (times from the start) and v3 (times between events).
//!
//! A cast has an event for each few bytes that were printed. One record is a *burst* of them here: what was printed
//! without a pause, so that an outline has a line for each thing that happened. What was typed up to Enter is a prompt,
//! where the cast has input at all. The text of a burst is what a person could read of it: control sequences are left
//! out, since they mean nothing outside a terminal.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use super::event::{Body, Event, Facts, MarkerKind, Out, Record, State};
use super::format::{About, Format, Head, Piece, Shape};
use super::lenient::{Count, Maybe, Text};
use crate::model::Time;

/// A pause that ends a burst, in seconds.
const PAUSE: f64 = 1.0;
/// A burst is no longer than this, in seconds ...
const LONGEST: f64 = 30.0;
/// ... or in bytes of the file.
const MOST: usize = 256 << 10;

const HEADER: &str = "header";
const OUTPUT: &str = "output";
const INPUT: &str = "input";
const MARKER: &str = "marker";
const EXIT: &str = "exit";
const ODD: &str = "odd";

/// The reader.
pub struct Asciicast;

/// The first line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header<'a> {
    version: Count,
    timestamp: Count,
    #[serde(borrow)]
    title: Text<'a>,
    #[serde(borrow)]
    command: Text<'a>,
}

/// One event: when, what kind, what. Further fields are left out.
struct Tick<'a> {
    time: f64,
    code: Cow<'a, str>,
    data: Cow<'a, str>,
}

fn tick(line: &[u8]) -> Option<Tick<'_>> {
    #[derive(Deserialize)]
    struct Three<'a>(f64, #[serde(borrow)] Text<'a>, #[serde(borrow)] Text<'a>);
    let Three(time, code, data) = serde_json::from_slice(line).ok()?;
    (time.is_finite() && time >= 0.0).then_some(Tick {
        time,
        code: code.0,
        data: data.0,
    })
}

fn header(line: &[u8]) -> Option<Header<'_>> {
    let Maybe(header) = serde_json::from_slice::<Maybe<Header<'_>>>(line).ok()?;
    header.filter(|h| matches!(h.version.0, 2 | 3))
}

/// Whether a line is nothing: blank, or a comment.
fn is_nothing(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"#")
}

impl Format for Asciicast {
    fn name(&self) -> &'static str {
        "asciicast"
    }

    fn about(&self) -> About {
        About {
            title: "asciinema recordings of a terminal",
            basis: "casts of version 2; version 3 from its specification",
            real: true,
            gives: "what was printed, in bursts; what was typed, markers and the exit status where they were recorded",
            lacks: "calls, thoughts, tokens, file states",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(first) = head.lines.first() else {
            return 0;
        };
        let version = first.get("version").and_then(serde_json::Value::as_u64);
        let sized = first.get("width").is_some() && first.get("height").is_some();
        match version {
            Some(2) if sized => 98,
            Some(3) if first.get("term").is_some() => 98,
            Some(2 | 3)
                if Path::new(head.name)
                    .extension()
                    .is_some_and(|e| e == "cast") =>
            {
                80
            }
            _ => 0,
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        let mut told = Told::default();
        for line in record.bytes.split(|b| *b == b'\n') {
            if is_nothing(line) {
                continue;
            }
            told.lines += 1;
            match tick(line) {
                Some(tick) => told.take(&tick, state),
                None => told.odd = Some(line),
            }
        }
        out.counted += told.lines;
        let time = told.first.and_then(|at| after(state.start, at));
        let body = match record.tag {
            HEADER => told.odd.and_then(header).map(|h| begin(&h, state)),
            OUTPUT => {
                let text = plain(&told.printed);
                (!text.trim().is_empty()).then(|| Body::Message(text.into()))
            }
            INPUT => {
                let text = typed(&told.typed);
                (!text.is_empty()).then(|| Body::Prompt(text.into()))
            }
            MARKER => {
                let text = if told.label.is_empty() {
                    "marker".to_owned()
                } else {
                    told.label
                };
                Some(Body::Marker {
                    kind: MarkerKind::Note,
                    text: text.into(),
                })
            }
            EXIT => Some(Body::Marker {
                kind: MarkerKind::Session,
                text: format!("exit status {}", told.label).into(),
            }),
            _ => Some(Body::Unknown {
                name: "no event of a cast".into(),
            }),
        };
        if let Some(body) = body {
            let mut event = Event::new(0, body);
            event.time = time;
            if record.tag == HEADER {
                event.time = state.start;
            }
            out.events.push(event);
        }
    }
}

fn begin<'a>(header: &Header<'_>, state: &mut State) -> Body<'a> {
    state.version = u32::try_from(header.version.0).unwrap_or(0);
    state.elapsed = 0.0;
    state.start = i64::try_from(header.timestamp.0)
        .ok()
        .filter(|s| *s > 0)
        .and_then(|s| s.checked_mul(1_000_000))
        .map(Time);
    Body::Session(Box::new(Facts {
        agent: "terminal".to_owned(),
        version: format!("asciicast {}", header.version.0),
        title: if header.title.is_empty() {
            (*header.command).to_owned()
        } else {
            (*header.title).to_owned()
        },
        start: state.start,
        ..Facts::default()
    }))
}

fn after(start: Option<Time>, seconds: f64) -> Option<Time> {
    // A cast to an integer saturates: a time that no clock has is the end of time, not a wrong one.
    let micros = (seconds * 1e6) as i64;
    start.map(|s| Time(s.0.saturating_add(micros)))
}

/// What the lines of one record say together.
#[derive(Default)]
struct Told<'a> {
    lines: u32,
    first: Option<f64>,
    printed: String,
    typed: String,
    label: String,
    odd: Option<&'a [u8]>,
}

impl Told<'_> {
    fn take(&mut self, tick: &Tick<'_>, state: &mut State) {
        if state.version == 3 {
            state.elapsed += tick.time;
        } else {
            state.elapsed = tick.time;
        }
        self.first.get_or_insert(state.elapsed);
        match &*tick.code {
            "o" => self.printed.push_str(&tick.data),
            "i" => self.typed.push_str(&tick.data),
            "m" | "x" => self.label.push_str(&tick.data),
            _ => {}
        }
    }
}

/// Finds the bursts of a cast.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut cut = Cut {
        out: Vec::new(),
        open: None,
    };
    let mut version = 0;
    let mut clock = 0.0;
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let range = at..at + line.trim_ascii_end().len();
        at += line.len();
        if is_nothing(line) {
            continue;
        }
        if version == 0
            && let Some(header) = header(line)
        {
            version = header.version.0;
            cut.alone(range, HEADER);
            continue;
        }
        let Some(tick) = tick(line) else {
            cut.alone(range, ODD);
            continue;
        };
        let before = clock;
        clock = if version == 3 {
            before + tick.time
        } else {
            tick.time
        };
        cut.take(range, &tick, before, clock);
    }
    cut.close();
    cut.out
}

/// A piece that may go on.
struct Open {
    range: std::ops::Range<usize>,
    tag: &'static str,
    since: f64,
}

struct Cut {
    out: Vec<Piece>,
    open: Option<Open>,
}

impl Cut {
    fn close(&mut self) {
        if let Some(Open { range, tag, .. }) = self.open.take() {
            self.out.push(Piece { range, tag });
        }
    }

    fn alone(&mut self, range: std::ops::Range<usize>, tag: &'static str) {
        self.close();
        self.out.push(Piece { range, tag });
    }

    /// Begins a piece of that tag with the line, or makes the line part of the open one.
    fn join(&mut self, range: std::ops::Range<usize>, tag: &'static str, clock: f64) {
        match &mut self.open {
            Some(open) if open.tag == tag => open.range.end = range.end,
            _ => {
                self.close();
                self.open = Some(Open {
                    range,
                    tag,
                    since: clock,
                });
            }
        }
    }

    fn take(&mut self, range: std::ops::Range<usize>, tick: &Tick<'_>, before: f64, clock: f64) {
        let typing = self.open.as_ref().is_some_and(|o| o.tag == INPUT);
        match &*tick.code {
            "m" => self.alone(range, MARKER),
            "x" => self.alone(range, EXIT),
            "i" => {
                let enter = tick.data.contains(['\r', '\n']);
                self.join(range, INPUT, clock);
                if enter {
                    self.close();
                }
            }
            // While something is typed, what is printed is its echo, and a change of size is nothing.
            _ if typing => self.join(range, INPUT, clock),
            "o" => {
                let ends = self.open.as_ref().is_some_and(|o| {
                    clock - before > PAUSE
                        || clock - o.since > LONGEST
                        || range.end - o.range.start > MOST
                });
                if ends {
                    self.close();
                }
                self.join(range, OUTPUT, clock);
            }
            // A change of size, or a kind that is not known: it stays with what is around it.
            _ => self.join(range, OUTPUT, clock),
        }
    }
}

/// What a person could read: without control sequences, with what was overwritten left out.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    // A return to the line's beginning clears the line only if something else than its end follows.
    let mut returned = false;
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\r' => returned = true,
            '\n' => {
                returned = false;
                out.push('\n');
            }
            '\u{8}' => {
                if !out.ends_with('\n') {
                    out.pop();
                }
            }
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => {
                if std::mem::take(&mut returned) {
                    out.truncate(out.rfind('\n').map_or(0, |at| at + 1));
                }
                out.push(c);
            }
        }
    }
    let mut lines = String::with_capacity(out.len());
    for line in out.split('\n') {
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines.trim_matches('\n').to_owned()
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What follows an escape character.
fn skip_sequence(chars: &mut Chars<'_>) {
    match chars.next() {
        Some('[') => skip_csi(chars),
        // Strings for the terminal: they end with BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                match c {
                    '\u{7}' | '\u{9c}' => break,
                    '\u{1b}' => {
                        chars.next_if_eq(&'\\');
                        break;
                    }
                    _ => {}
                }
            }
        }
        // Two more characters: a set of characters, a size of lines.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            chars.next();
        }
        _ => {}
    }
}

fn skip_csi(chars: &mut Chars<'_>) {
    for c in chars {
        if ('@'..='~').contains(&c) {
            break;
        }
    }
}

/// What was typed, as it stands when Enter is pressed.
fn typed(keys: &str) -> String {
    let mut out = String::new();
    let mut chars = keys.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.peek() {
                // A cursor key in application mode is three characters.
                Some('O') => {
                    chars.next();
                    chars.next();
                }
                _ => skip_sequence(&mut chars),
            },
            '\u{7f}' | '\u{8}' => {
                out.pop();
            }
            // Interrupt, and kill the line.
            '\u{3}' | '\u{15}' => out.clear(),
            // Kill the word.
            '\u{17}' => {
                let end = out
                    .trim_end()
                    .rfind(char::is_whitespace)
                    .map_or(0, |at| at + 1);
                out.truncate(end);
            }
            '\r' | '\n' => out.push('\n'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
#[path = "asciicast_tests.rs"]
mod tests;
