//! Asks the terminal what its background is, so that tints fit it.
//!
//! Asked once, in raw mode, before keys are read. The second question (what are you?) is one that every terminal
//! answers, so one that does not know the first is not waited for; nothing is waited for longer than [`LIMIT`]. Keys
//! that were typed meanwhile are not lost.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::keys::Key;
use super::theme::Backdrop;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_millis(200);

/// What the terminal said, and the keys that came in between.
pub(crate) struct Reply {
    pub backdrop: Backdrop,
    pub keys: Vec<Key>,
}

/// Asks, and waits for the answer.
pub(crate) fn backdrop() -> io::Result<Reply> {
    let mut out = io::stdout();
    out.write_all(b"\x1b]11;?\x1b\\\x1b[c")?;
    out.flush()?;
    let until = Instant::now() + LIMIT;
    let mut bytes = Vec::new();
    let stdin = rustix::stdio::stdin();
    while !answered(&bytes) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout))? == 0 {
            break;
        }
        let mut buffer = [0u8; 256];
        let n = rustix::io::read(stdin, &mut buffer)?;
        if n == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..n]);
    }
    Ok(read(&bytes))
}

/// Whether the answer to the second question is there.
fn answered(bytes: &[u8]) -> bool {
    sequences(bytes).any(|part| matches!(part, Part::Csi(body) if body.ends_with(b"c")))
}

enum Part<'a> {
    Csi(&'a [u8]),
    Osc(&'a [u8]),
    Byte(u8),
}

/// Splits input into control sequences and bytes typed.
fn sequences(bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if let Some(body) = rest.strip_prefix(b"\x1b[") {
            let end = body.iter().position(|b| (0x40..=0x7e).contains(b));
            let end = end.map_or(body.len(), |e| e + 1);
            rest = &body[end..];
            return Some(Part::Csi(&body[..end]));
        }
        if let Some(body) = rest.strip_prefix(b"\x1b]") {
            let bell = body.iter().position(|b| *b == 0x07);
            let st = body.windows(2).position(|w| w == b"\x1b\\");
            let (end, skip) = match (bell, st) {
                (Some(b), Some(s)) if b < s => (b, 1),
                (_, Some(s)) => (s, 2),
                (Some(b), None) => (b, 1),
                (None, None) => (body.len(), 0),
            };
            rest = &body[end + skip..];
            return Some(Part::Osc(&body[..end]));
        }
        let (first, tail) = rest.split_first()?;
        rest = tail;
        Some(Part::Byte(*first))
    })
}

fn read(bytes: &[u8]) -> Reply {
    let mut reply = Reply {
        backdrop: Backdrop::Unknown,
        keys: Vec::new(),
    };
    for part in sequences(bytes) {
        match part {
            Part::Osc(body) => {
                if let Some(light) = body.strip_prefix(b"11;").and_then(is_light) {
                    reply.backdrop = if light {
                        Backdrop::Light
                    } else {
                        Backdrop::Dark
                    };
                }
            }
            Part::Byte(b @ 0x20..0x7f) => reply.keys.push(Key::char(char::from(b))),
            Part::Csi(_) | Part::Byte(_) => {}
        }
    }
    reply
}

/// Whether `rgb:RRRR/GGGG/BBBB` is light.
fn is_light(color: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(color).ok()?;
    let text = text.strip_prefix("rgb:").or(text.strip_prefix("rgba:"))?;
    let mut parts = text.split('/').map(|p| {
        let digits = p.get(..2).or(p.get(..1))?;
        u32::from_str_radix(digits, 16).ok()
    });
    let (r, g, b) = (parts.next()??, parts.next()??, parts.next()??);
    Some(r * 299 + g * 587 + b * 114 > 128 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_keys_kept() {
        let reply = read(b"j\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\k\x1b[?62;4c");
        assert_eq!(reply.backdrop, Backdrop::Dark);
        assert_eq!(reply.keys, [Key::char('j'), Key::char('k')]);
        let reply = read(b"\x1b]11;rgb:ffff/ffff/ffff\x07\x1b[?1;2c");
        assert_eq!(reply.backdrop, Backdrop::Light);
        assert_eq!(read(b"\x1b[?1;2c").backdrop, Backdrop::Unknown);
        assert_eq!(read(b"\x1b]11;nonsense").backdrop, Backdrop::Unknown);
    }

    #[test]
    fn only_the_second_answer_ends_the_wait() {
        assert!(!answered(b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\"));
        assert!(answered(b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1b[?62;4c"));
        assert!(!answered(b"c"));
    }
}
