//! Signals while a command runs: none ends us, each is passed on.
//!
//! They are blocked and read from a descriptor, so that no handler runs and no disposition changes: what was ignored
//! (`nohup`) stays ignored, for the command too. Blocking counts per thread, which is why helper threads must have
//! been started with [`block_in_helper_threads`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use super::pty::Pump;

/// What is passed on. `CONT` is only noted: it says that a shell gave us the terminal back.
const TAKEN: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];

fn taken() -> SigSet {
    TAKEN.into_iter().collect()
}

/// Blocks in this thread what [`super::run`] takes over. For threads other than the one that will run the command, at
/// their start.
pub fn block_in_helper_threads() {
    // Fails only for an invalid set.
    let _ = taken().thread_block();
}

/// Undoes in a child what its parent blocked in itself: a mask is inherited, also by programs.
pub fn unblock_inherited() {
    let _ = taken().thread_unblock();
}

/// The signals, taken over; given back when dropped.
pub struct Relay {
    signals: SignalFd,
    before: SigSet,
}

impl Relay {
    /// Blocks them in this thread and opens the descriptor that they arrive on.
    pub fn take_over() -> io::Result<Self> {
        let before = SigSet::thread_get_mask()?;
        let set = taken();
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .inspect_err(|_| {
                let _ = before.thread_set_mask();
            })?;
        Ok(Self { signals, before })
    }

    /// Passes signals and, with a pseudo-terminal, bytes on until `child` has ended (it is left to be waited for).
    /// `own_group`: the child leads a process group; otherwise it shares ours.
    pub fn watch(
        &self,
        child: &Child,
        own_group: bool,
        mut pump: Option<&mut Pump>,
    ) -> io::Result<()> {
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let target = Target {
            pid: Pid::from_raw(pid),
            group: own_group,
            pty: pump.is_some(),
        };
        let ended = pidfd(pid)?;
        loop {
            let wanted = pump.as_ref().map(|p| p.wanted());
            let mut fds = vec![
                PollFd::new(&ended, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            // Which of them are our terminal and those who watch: either may be left out.
            let (mut outer_at, mut others_at) = (usize::MAX, usize::MAX);
            if let (Some(pump), Some(wanted)) = (&pump, wanted) {
                fds.push(PollFd::from_borrowed_fd(pump.inner(), wanted.inner));
                if wanted.outer {
                    outer_at = fds.len();
                    fds.push(PollFd::from_borrowed_fd(pump.outer(), PollFlags::IN));
                }
                if let Some(others) = pump.others().filter(|_| wanted.others) {
                    others_at = fds.len();
                    fds.push(PollFd::from_borrowed_fd(others, PollFlags::IN));
                }
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
            let (has_ended, signalled, inner) = (ready(0), ready(1), ready(2));
            let (outer, others) = (ready(outer_at), ready(others_at));
            drop(fds);
            if signalled {
                while let Some(info) = self.signals.read_signal()? {
                    let number = i32::try_from(info.ssi_signo).unwrap_or_default();
                    if let Ok(signal) = Signal::try_from(number) {
                        target.pass(signal, info.ssi_code, pump.as_deref());
                    }
                }
            }
            if let Some(pump) = &mut pump {
                if outer && !pump.read_outer()? {
                    // The terminal is gone: what a modem's hang-up does.
                    target.send(Signal::SIGHUP);
                    target.send(Signal::SIGCONT);
                }
                if others {
                    pump.read_others();
                }
                if inner {
                    pump.inner_ready();
                }
            }
            if has_ended {
                if let Some(pump) = &mut pump {
                    pump.drain();
                }
                return Ok(());
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // What is still pending came too late to be passed on and must not end us now.
        while let Ok(Some(_)) = self.signals.read_signal() {}
        let _ = self.before.thread_set_mask();
    }
}

/// A descriptor that becomes readable when the process ends.
fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whom signals go to.
struct Target {
    pid: Pid,
    group: bool,
    pty: bool,
}

impl Target {
    fn pass(&self, signal: Signal, code: i32, pump: Option<&Pump>) {
        match signal {
            Signal::SIGWINCH if self.pty => {
                if let Some(pump) = pump {
                    pump.resize();
                }
            }
            Signal::SIGCONT => {
                if let Some(pump) = pump {
                    pump.resume();
                }
            }
            // Positive codes come from the kernel: from the terminal, which told the command as well.
            _ if !self.group && code > 0 => {}
            _ => self.send(signal),
        }
    }

    fn send(&self, signal: Signal) {
        // Before the child has made its group there is only itself.
        if !self.group || killpg(self.pid, signal).is_err() {
            let _ = kill(self.pid, signal);
        }
    }
}

/// Which directions a pump wants to be woken for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Input from our own terminal.
    pub outer: bool,
    /// What is said by those who watch.
    pub others: bool,
    /// The pseudo-terminal's master.
    pub inner: PollFlags,
}
