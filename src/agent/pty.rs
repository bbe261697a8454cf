//! The pseudo-terminal between our own terminal and the command's.
//!
//! Ours is raw meanwhile, so that every key reaches the inside as a byte and the inner terminal decides what it means
//! (Ctrl-C, Ctrl-Z, Ctrl-D). [`RawMode`] puts it back when dropped, by whatever way we leave. The master is
//! non-blocking with a queue of its own towards the inside: a command that prints without reading would otherwise
//! stop us from reading what it prints.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

use super::signals::Wanted;
use super::terminal::{Command as Asked, Host};

/// How much typed input may wait for a command that does not read.
const QUEUE: usize = 64 << 10;

/// Columns and rows of a terminal that nobody sits before, until somebody attaches.
const UNSEEN: (u16, u16) = (80, 24);

/// Whether standard input is a terminal and we are in its foreground. (In its background, touching it would stop us.)
pub fn is_our_terminal() -> bool {
    isatty(stdin()) && tcgetpgrp(stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Whether this process has a controlling terminal.
pub fn has_controlling_terminal() -> bool {
    OpenOptions::new().read(true).open("/dev/tty").is_ok()
}

fn both() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let inner = ioctl_tiocgptpeer(&master, flags)?;
    Ok((master, inner))
}

fn size_of(terminal: impl AsFd) -> (u16, u16) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => UNSEEN,
    }
}

fn set_size(terminal: impl AsFd, cols: u16, rows: u16) {
    let size = Winsize {
        ws_col: cols,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let _ = tcsetwinsize(terminal, size);
}

/// Both sides of a new pseudo-terminal.
pub struct Pty {
    master: OwnedFd,
    inner: OwnedFd,
}

impl Pty {
    /// One with the settings and the size of our own terminal.
    pub fn like_ours() -> io::Result<Self> {
        let (master, inner) = both()?;
        tcsetattr(&inner, OptionalActions::Now, &tcgetattr(stdin())?)?;
        // A terminal without a size is possible (serial lines).
        if let Ok(size) = tcgetwinsize(stdin()) {
            tcsetwinsize(&master, size)?;
        }
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        Ok(Self { master, inner })
    }

    /// One of its own, for a command that nobody sits before.
    pub fn unseen() -> io::Result<Self> {
        let (master, inner) = both()?;
        set_size(&master, UNSEEN.0, UNSEEN.1);
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        Ok(Self { master, inner })
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        size_of(&self.master)
    }

    /// Makes the inner side all of the command's standard input, output and error.
    pub fn give_all_to(&self, command: &mut Command) -> io::Result<()> {
        command.stdin(Stdio::from(self.inner.try_clone()?));
        command.stdout(Stdio::from(self.inner.try_clone()?));
        command.stderr(Stdio::from(self.inner.try_clone()?));
        Ok(())
    }

    /// Makes the inner side the command's standard input, and its output and error where ours are terminals too
    /// (redirected output stays what it is).
    pub fn give_to(&self, command: &mut Command) -> io::Result<()> {
        command.stdin(Stdio::from(self.inner.try_clone()?));
        command.stdout(if isatty(stdout()) {
            Stdio::from(self.inner.try_clone()?)
        } else {
            Stdio::inherit()
        });
        command.stderr(if isatty(stderr()) {
            Stdio::from(self.inner.try_clone()?)
        } else {
            Stdio::inherit()
        });
        Ok(())
    }
}

/// Our own terminal in raw mode; as it was, once dropped.
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches.
    pub fn enter() -> io::Result<Self> {
        let mode = Self {
            before: tcgetattr(stdin())?,
        };
        mode.again()?;
        Ok(mode)
    }

    /// Switches again, after a shell had the terminal meanwhile.
    fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(())
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Carries bytes between the two terminals, and to and from those who watch.
pub struct Pump {
    /// Ours; `None` when nobody sits before it.
    raw: Option<RawMode>,
    master: OwnedFd,
    /// Kept open: with nobody on the inner side (a command that closes its terminal to open it again) reading would
    /// fail. That the command has ended is seen by its process.
    _inner: OwnedFd,
    /// Typed, not yet taken by the inside.
    queue: VecDeque<u8>,
    outer_open: bool,
    /// Who else sees it.
    host: Option<Host>,
}

impl Pump {
    /// Begins to carry.
    pub fn new(pty: Pty, raw: Option<RawMode>, host: Option<Host>) -> Self {
        Self {
            outer_open: raw.is_some(),
            raw,
            master: pty.master,
            _inner: pty.inner,
            queue: VecDeque::new(),
            host,
        }
    }

    /// Our terminal's descriptor.
    pub fn outer(&self) -> BorrowedFd<'static> {
        stdin()
    }

    /// The master's.
    pub fn inner(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Where those who watch say something.
    pub fn others(&self) -> Option<BorrowedFd<'_>> {
        self.host.as_ref().map(|h| h.descriptor().as_fd())
    }

    /// What to wait for.
    pub fn wanted(&self) -> Wanted {
        let room = self.queue.len() < QUEUE;
        Wanted {
            outer: self.outer_open && room,
            others: room,
            inner: if self.queue.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            },
        }
    }

    /// Takes what was typed. `false` once our terminal is gone.
    pub fn read_outer(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        match read(stdin(), &mut buffer) {
            Ok(0) | Err(Errno::IO) => {
                self.outer_open = false;
                if let Some(host) = &self.host {
                    host.alone();
                }
                Ok(false)
            }
            Ok(n) => {
                self.queue.extend(&buffer[..n]);
                self.feed();
                Ok(true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes what somebody said who is attached.
    pub fn read_others(&mut self) {
        let Some(host) = &self.host else { return };
        match host.command() {
            Some(Asked::Input(bytes)) => {
                self.queue.extend(&bytes);
                self.feed();
            }
            Some(Asked::Resize(cols, rows)) => {
                set_size(&self.master, cols, rows);
                let (cols, rows) = size_of(&self.master);
                host.size(cols, rows);
            }
            None => {}
        }
    }

    /// Carries on with the inside, whichever direction it is ready for.
    pub fn inner_ready(&mut self) {
        self.feed();
        self.show_once();
    }

    /// Shows what the command left behind: it is there at once, because reading flushes it, and it is little, because
    /// a terminal buffers little. Something left in the background may go on printing; nobody waits for that.
    pub fn drain(&mut self) {
        for _ in 0..64 {
            if !self.show_once() {
                break;
            }
        }
    }

    /// Passes our terminal's size on; the kernel tells the inside.
    pub fn resize(&self) {
        if self.raw.is_some()
            && let Ok(size) = tcgetwinsize(stdin())
        {
            let before = size_of(&self.master);
            let _ = tcsetwinsize(&self.master, size);
            let (cols, rows) = size_of(&self.master);
            if let Some(host) = self.host.as_ref().filter(|_| before != (cols, rows)) {
                host.size(cols, rows);
            }
        }
    }

    /// After we were stopped: the shell has put the terminal back, and it may have another size.
    pub fn resume(&self) {
        if let Some(raw) = &self.raw {
            let _ = raw.again();
        }
        self.resize();
    }

    /// Lets go of our terminal, and of those who watch, whom the exit code is told.
    pub fn end(mut self, code: i32) {
        drop(self.raw.take());
        if let Some(host) = self.host.take() {
            host.end(code);
        }
    }

    fn feed(&mut self) {
        while !self.queue.is_empty() {
            let (part, _) = self.queue.as_slices();
            match write(&self.master, part) {
                Ok(n) => drop(self.queue.drain(..n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.queue.clear();
                    return;
                }
            }
        }
    }

    /// Shows one piece; `false` when there is none now.
    fn show_once(&mut self) -> bool {
        let mut buffer = [0; 32 << 10];
        match read(&self.master, &mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                if self.raw.is_some() {
                    // A terminal that is gone is noticed by its hang-up.
                    let mut out = io::stdout().lock();
                    let _ = out.write_all(&buffer[..n]).and_then(|()| out.flush());
                }
                if let Some(host) = &self.host {
                    host.output(&buffer[..n]);
                }
                true
            }
            Err(Errno::INTR) => true,
            Err(_) => false,
        }
    }
}
