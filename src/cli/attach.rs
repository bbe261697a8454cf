//! `attach`: the agent's terminal in this one, or its screen printed.
//!
//! While attached, what the agent prints reaches this terminal as it is, control sequences and all, as under `run` itself:
//! that is what attaching means. Everywhere else (the screen, `attach --print`) it is text.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use rustix::stdio::stdin;
use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::link::Project;
use super::link::terminal::{About, Emulator, FromHost, RawMode, Seat, ToHost, join, terminals};
use super::out::Out;
use super::{Ended, Fail, args, locate, runtime, say};
use crate::model::neutral;

/// Ctrl-], by which one detaches: as a byte, and as terminals send it that were asked for unambiguous keys.
const DETACH: [&[u8]; 3] = [b"\x1d", b"\x1b[93;5u", b"\x1b[27;5;93~"];

/// What an agent may have switched on in a terminal is switched off again; last, the screen from before.
const LEAVE: &[u8] =
    b"\x1b[0m\x1b[r\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\
\x1b[?2004l\x1b[?2026l\x1b[?1l\x1b>\x1b[<u\x1b[>4;0m\x1b[?7h\x1b[?25h\x1b[0 q\x1b[?1049l";

/// What ended it.
enum End {
    Detached,
    Over(i32),
    /// The agent's terminal is gone without a word.
    Lost,
    /// We are to end.
    Signal,
}

/// `attach`
pub fn attach(cwd: PathBuf, args: &args::Attach, out: &mut Out) -> Ended {
    let (project, _) = locate(cwd)?;
    let runtime = runtime(false)?;
    let ended = runtime.block_on(async {
        let (socket, about) = choose(&project, args.session.as_deref()).await?;
        if args.print {
            return print(join(&socket, false, (80, 24)).await?, out).await;
        }
        if !stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Fail::Usage(
                "attach needs a terminal; --print prints the agent's screen as text".to_owned(),
            ));
        }
        let size = own_size();
        let seat = join(&socket, true, size).await?;
        let end = sit(seat, size).await?;
        let name = neutral(about.agent.as_bytes());
        match end {
            End::Detached => say(&format!("detached; {name} goes on")),
            End::Over(code) => say(&format!("{name} ended with exit code {code}")),
            End::Lost => say(&format!("the terminal of {name} is gone")),
            End::Signal => {}
        }
        Ok(match end {
            End::Detached | End::Signal => 0,
            End::Over(code) => super::code_byte(code),
            End::Lost => 1,
        })
    });
    // A thread still reads our input.
    runtime.shutdown_background();
    ended
}

/// The terminal that is meant: the one of that name, or the only one.
async fn choose(project: &Project, word: Option<&str>) -> Result<(PathBuf, About), Fail> {
    let all = terminals(project).await;
    let list = || {
        let lines: Vec<String> = all
            .iter()
            .map(|(_, a)| format!("{} {}", a.session.short(), neutral(a.agent.as_bytes())))
            .collect();
        lines.join(", ")
    };
    let fits = |about: &About| match word {
        None => true,
        Some(word) => {
            about.agent == word
                || (word.len() >= 4
                    && about
                        .session
                        .to_hex()
                        .starts_with(&word.to_ascii_lowercase()))
        }
    };
    let mut found = all.iter().filter(|(_, about)| fits(about));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => Err(Fail::Message(format!(
            "several agents have a terminal: {}; name one by its first letters",
            list()
        ))),
        (None, _) if all.is_empty() => Err(Fail::Message(
            "no agent has a terminal here; backtrail run -- CMD gives it one, and with -d it stays when you go"
                .to_owned(),
        )),
        (None, _) => Err(Fail::Message(format!(
            "no agent's terminal is called {:?}; there are: {}",
            neutral(word.unwrap_or_default().as_bytes()),
            list()
        ))),
    }
}

/// The screen as it is now, as text.
async fn print(seat: Seat, out: &mut Out) -> Ended {
    let Seat { mut from, .. } = seat;
    let mut size = (80, 24);
    while let Some(message) = FromHost::read(&mut from).await? {
        match message {
            FromHost::Size(cols, rows) => size = (cols, rows),
            FromHost::Screen(bytes) => {
                let mut screen = Emulator::new(size.0, size.1);
                screen.print(&bytes);
                for line in screen.screen().contents().lines() {
                    out.line(&neutral(line.as_bytes()))?;
                }
                out.flush()?;
                return Ok(0);
            }
            _ => {}
        }
    }
    Err(Fail::Message("the agent ended just now".to_owned()))
}

fn own_size() -> (u16, u16) {
    tcgetwinsize(stdin()).map_or((80, 24), |s| (s.ws_col.max(2), s.ws_row.max(1)))
}

/// This terminal, given to the agent; as it was, once dropped.
struct Lent {
    _raw: RawMode,
}

impl Lent {
    fn new() -> io::Result<Self> {
        let raw = RawMode::enter()?;
        show(b"\x1b[?1049h\x1b[2J\x1b[H")?;
        Ok(Self { _raw: raw })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = show(LEAVE);
    }
}

fn show(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

async fn sit(seat: Seat, size: (u16, u16)) -> Result<End, Fail> {
    let Seat {
        mut from, mut to, ..
    } = seat;
    let mut resized = signal(SignalKind::window_change())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    let lent = Lent::new()?;
    let (give, mut typed) = mpsc::channel::<Vec<u8>>(16);
    // A thread of its own, since reading a terminal cannot be given up; it ends with the program.
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = io::stdin().lock().read(&mut buffer) {
            if give.blocking_send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    // Reading a message must not be given up in the middle of it.
    let shown = tokio::spawn(async move {
        let mut own = size;
        loop {
            match FromHost::read(&mut from).await {
                Ok(Some(FromHost::Screen(bytes))) => {
                    show(b"\x1b[0m\x1b[2J\x1b[H").and_then(|()| show(&bytes))?;
                }
                Ok(Some(FromHost::Output(bytes))) => show(&bytes)?,
                Ok(Some(FromHost::Size(cols, rows))) => own = (cols, rows),
                Ok(Some(FromHost::Hello(_))) => {}
                Ok(Some(FromHost::End(code))) => return Ok((End::Over(code), own)),
                Ok(None) | Err(_) => return Ok((End::Lost, own)),
            }
        }
    });
    let mut shown = shown;
    let end = loop {
        tokio::select! {
            over = &mut shown => match over {
                Ok(Ok((end, _))) => break end,
                Ok(Err(e)) => return Err(Fail::Io(e)),
                Err(_) => break End::Lost,
            },
            bytes = typed.recv() => {
                let Some(bytes) = bytes else { break End::Signal };
                let (before, leaves) = until_detach(&bytes);
                if !before.is_empty() && ToHost::Input(before.to_vec()).write(&mut to).await.is_err() {
                    break End::Lost;
                }
                if leaves {
                    break End::Detached;
                }
            }
            _ = resized.recv() => {
                let (cols, rows) = own_size();
                let _ = ToHost::Resize(cols, rows).write(&mut to).await;
            }
            _ = term.recv() => break End::Signal,
            _ = hup.recv() => break End::Signal,
        }
    };
    shown.abort();
    drop(lent);
    Ok(end)
}

/// What was typed before the key that detaches, and whether that was typed.
fn until_detach(bytes: &[u8]) -> (&[u8], bool) {
    let at = DETACH
        .iter()
        .filter_map(|key| memchr::memmem::find(bytes, key))
        .min();
    match at {
        Some(at) => (bytes.get(..at).unwrap_or_default(), true),
        None => (bytes, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_detaches_is_not_passed_on() {
        assert_eq!(until_detach(b"ls\r"), (&b"ls\r"[..], false));
        assert_eq!(until_detach(b"ls\x1drm"), (&b"ls"[..], true));
        assert_eq!(until_detach(b"\x1b[93;5u"), (&b""[..], true));
        // Escape itself is the agent's.
        assert_eq!(until_detach(b"\x1b"), (&b"\x1b"[..], false));
    }
}
