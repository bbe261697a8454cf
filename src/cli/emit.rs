//! `emit`: an agent's reasoning as NDJSON from standard input to the engine.
//!
//! A thread of its own reads, because a read cannot be cancelled. Everything that one read brings goes to the engine
//! as one batch: nothing waits for more input while the pipe is quiet, and a fast writer costs few round trips. The
//! engine answers a batch when it is durable. A line that is no event is reported with its number and left out; one
//! that is too long is skipped without being kept.

use std::io::{self, Read};

use tokio::sync::mpsc;

use super::{Context, Ended, args, say};
use crate::engine::api::{ErrorCode, Request};
use crate::model::{EmitBody, EmitEvent};

/// Longest line that is taken, in bytes.
pub const MAX_LINE: usize = 16 << 20;

/// A batch is sent on at this size even when more has been read.
const BATCH_BYTES: usize = 1 << 20;

/// Events that were read together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Number of the first and the last line.
    pub lines: (u64, u64),
    /// In order.
    pub events: Vec<EmitEvent>,
}

/// `emit`
pub async fn emit(cx: &Context, args: &args::Emit) -> Ended {
    let session = args.session.clone();
    let (send, mut receive) = mpsc::channel(2);
    let reader = std::thread::Builder::new()
        .name("emit-input".into())
        .spawn(move || {
            read_batches(
                io::stdin().lock(),
                MAX_LINE,
                |batch| send.blocking_send(batch).is_ok(),
                |line, what| say(&format!("line {line}: {what}")),
            )
        })?;
    let mut well = true;
    while let Some(mut batch) = receive.recv().await {
        if let Some(session) = &session {
            for event in &mut batch.events {
                event.session.get_or_insert_with(|| session.clone());
            }
        }
        let (first, last) = batch.lines;
        if let Err(e) = cx
            .source
            .ask(Request::Emit {
                events: batch.events,
            })
            .await
        {
            well = false;
            say(&format!("lines {first} to {last} were not recorded: {e}"));
            if e.code == ErrorCode::Gone {
                return Ok(1); // Nobody will take the rest.
            }
        }
    }
    match reader.join() {
        Ok(Ok(true)) if well => Ok(0),
        Ok(Ok(_)) => Ok(1),
        Ok(Err(e)) => {
            say(&format!("cannot read standard input: {e}"));
            Ok(1)
        }
        Err(_) => Ok(1),
    }
}

/// Reads `input` to its end, giving batches to `take` (which says `false` to stop) and bad lines to `complain`.
/// `true` when every line was an event.
pub fn read_batches(
    mut input: impl Read,
    max_line: usize,
    mut take: impl FnMut(Batch) -> bool,
    mut complain: impl FnMut(u64, String),
) -> io::Result<bool> {
    let mut well = true;
    let mut number = 1;
    // The line that is being read; `None` while an overlong one is skipped.
    let mut line = Some(Vec::new());
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = match input.read(&mut chunk) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut rest = &chunk[..n];
        loop {
            let end = rest.iter().position(|b| *b == b'\n');
            let piece = &rest[..end.unwrap_or(rest.len())];
            if let Some(whole) = &mut line {
                if whole.len() + piece.len() > max_line {
                    complain(
                        number,
                        format!("longer than {max_line} bytes; it was left out"),
                    );
                    well = false;
                    line = None;
                } else {
                    whole.extend_from_slice(piece);
                }
            }
            // At the end of input a last line may lack its line feed.
            if end.is_none() && n > 0 {
                break;
            }
            if let Some(whole) = line.replace(Vec::new()) {
                match parse(&whole, number) {
                    Ok(Some(event)) => {
                        if batch.events.is_empty() {
                            batch.lines.0 = number;
                        }
                        batch.lines.1 = number;
                        batch.events.push(event);
                        bytes += whole.len();
                    }
                    Ok(None) => {}
                    Err(what) => {
                        complain(number, what);
                        well = false;
                    }
                }
            }
            if bytes >= BATCH_BYTES {
                bytes = 0;
                if !take(std::mem::take(&mut batch)) {
                    return Ok(well);
                }
            }
            match end {
                Some(end) => rest = &rest[end + 1..],
                None => break,
            }
            number += 1;
        }
        if !batch.events.is_empty() && !take(batch) {
            return Ok(well);
        }
        if n == 0 {
            return Ok(well);
        }
    }
}

/// One line as an event; `None` for a blank one.
fn parse(line: &[u8], number: u64) -> Result<Option<EmitEvent>, String> {
    let line = match number {
        1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
        _ => line,
    };
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Read as a value first: it tells a malformed line from one that lacks a field, and an object of an unknown type
    // is kept as it is.
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|e| format!("not JSON: {e}"))?;
    if !value.is_object() {
        return Err("not an event: a JSON object with a \"type\" is wanted".into());
    }
    let kind = value
        .get("type")
        .and_then(|t| t.as_str())
        .unwrap_or_default()
        .to_owned();
    let event: EmitEvent =
        serde_json::from_value(value).map_err(|e| format!("not an event: {e}"))?;
    if matches!(event.body, EmitBody::Unknown(_))
        && matches!(
            kind.as_str(),
            "prompt" | "thought" | "message" | "call" | "result" | "marker"
        )
    {
        return Err(format!(
            "a {kind:?} event lacks a field that it must have, or one is of the wrong type; see docs/emit.md"
        ));
    }
    Ok(Some(event))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Gives its pieces one a read.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buf[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    /// First line, last line, events.
    type Seen = (u64, u64, usize);

    fn read(pieces: &[&str], max: usize) -> (bool, Vec<Seen>, Vec<(u64, String)>) {
        let mut batches = Vec::new();
        let mut bad = Vec::new();
        let well = read_batches(
            Pieces(pieces.iter().map(|p| p.as_bytes().to_vec()).collect()),
            max,
            |b| {
                batches.push((b.lines.0, b.lines.1, b.events.len()));
                true
            },
            |line, what| bad.push((line, what)),
        )
        .unwrap();
        (well, batches, bad)
    }

    const P: &str = r#"{"type":"prompt","text":"hi"}"#;

    #[test]
    fn what_one_read_brings_is_one_batch() {
        let two = format!("{P}\n{P}\n");
        let (well, batches, _) = read(&[&two, &two[..10], &two[10..], P], MAX_LINE);
        assert!(well);
        assert_eq!(batches, [(1, 2, 2), (3, 4, 2), (5, 5, 1)]);
    }

    #[test]
    fn a_bad_line_is_named_and_the_rest_goes_on() {
        let text = format!(
            "{P}\n{{broken\n\n[1]\n{{\"type\":\"call\",\"name\":\"x\"}}\n{{\"type\":\"weather\"}}\r\n{P}"
        );
        let (well, batches, bad) = read(&[&text], MAX_LINE);
        assert!(!well);
        assert_eq!(batches, [(1, 6, 2), (7, 7, 1)]);
        let lines: Vec<u64> = bad.iter().map(|b| b.0).collect();
        assert_eq!(lines, [2, 4, 5]);
        assert!(bad[2].1.contains("lacks a field"), "{}", bad[2].1);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_counted() {
        let long = "x".repeat(50);
        let exact = format!("{P}{}", " ".repeat(40 - P.len()));
        let text = format!("{P}\n{long}{long}\n{exact}\n{exact} \n{P}\n");
        let (well, batches, bad) = read(&[&text[..60], &text[60..]], 40);
        assert!(!well);
        let taken: usize = batches.iter().map(|b| b.2).sum();
        assert_eq!(taken, 3);
        let lines: Vec<u64> = bad.iter().map(|b| b.0).collect();
        assert_eq!(lines, [2, 4]);
    }

    /// A line of gigabytes must not be kept: what is held stays under twice the limit.
    #[test]
    fn an_endless_line_is_not_kept() {
        let mut input = io::repeat(b'x').take(200 << 20);
        let mut bad = Vec::new();
        let well = read_batches(&mut input, MAX_LINE, |_| true, |line, _| bad.push(line)).unwrap();
        assert!(!well);
        assert_eq!(bad, [1]);
    }
}
