//! The terminal itself: taken over, and given back however the program ends.
//!
//! Invariant: after [`Guard`] is dropped, after a panic on the UI's thread, and while the program is suspended, the
//! terminal is as it was found: cooked, on its first screen, with its cursor and its mouse, and without bracketed paste.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::clipboard::CopyToClipboard;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::{Position, Rect};

use super::app::App;
use super::draw::draw;
use super::screen;

/// How long a stop may take to reach all threads.
const STOPPING: Duration = Duration::from_millis(150);

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread is running a task whose panic is caught: the screen stays as it is.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` as part of a task whose panic is caught and reported by other means than the screen.
pub(crate) fn in_task<T>(work: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            IN_TASK.set(self.0);
        }
    }
    let _reset = Reset(IN_TASK.replace(true));
    work()
}

/// Whether the mouse is ours now: kept while the terminal is lent.
static MOUSE: AtomicBool = AtomicBool::new(false);

/// Clicks, drags and the wheel, as numbers of any size; not every movement, which would wake us all the time.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1002l\x1b[?1000l";

/// Takes the mouse, or gives it back to the terminal.
fn mouse(on: bool) -> io::Result<()> {
    if MOUSE.swap(on, Ordering::SeqCst) == on {
        return Ok(());
    }
    let mut out = io::stdout();
    out.write_all(if on { MOUSE_ON } else { MOUSE_OFF })?;
    out.flush()
}

/// Takes the terminal over.
fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    // Bracketed paste: pasted text must never be a row of commands.
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        Hide
    )?;
    if MOUSE.load(Ordering::SeqCst) {
        io::stdout().write_all(MOUSE_ON)?;
        io::stdout().flush()?;
    }
    Ok(())
}

/// Gives the terminal back. Does nothing when it is not ours; goes on after an error, since half is better than nothing.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = out.write_all(MOUSE_OFF);
    let _ = queue!(
        out,
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = out.flush();
    let _ = disable_raw_mode();
}

/// On a panic of the UI itself, gives the terminal back before the message is printed. A panic of a background task is
/// kept off the screen and logged: the task says that it failed.
fn hook(ui: ThreadId) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let fatal = thread::current().id() == ui && !IN_TASK.get();
            if fatal || !TAKEN.load(Ordering::SeqCst) {
                give_back();
                before(info);
            } else {
                tracing::error!("a background job failed: {info}");
            }
        }));
    });
}

/// Holds the terminal; gives it back when dropped.
pub(crate) struct Guard {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
}

impl Guard {
    /// Takes the terminal over.
    pub(crate) fn new() -> io::Result<Self> {
        hook(thread::current().id());
        // Before anything is changed: what is dropped now would give nothing back.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let guard = Self { terminal };
        take()?;
        Ok(guard)
    }

    /// Draws the state in one go: the terminal shows the old screen or the new one, nothing between.
    pub(crate) fn draw(&mut self, app: &mut App) -> io::Result<()> {
        mouse(app.feel.mouse.on)?;
        let size = self.terminal.size()?;
        app.size = size;
        screen::arrange(app);
        queue!(io::stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| draw(app, frame))?;
        execute!(io::stdout(), EndSynchronizedUpdate)
    }

    /// Forgets what is on the screen, so that all of it is drawn again.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        // Not `Terminal::clear`: that asks the terminal for its cursor and waits for the answer.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Sends a text to the terminal's clipboard.
    pub(crate) fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(
            io::stdout(),
            CopyToClipboard::to_clipboard_from(text.as_bytes())
        )
    }

    /// Gives the terminal back while `work` runs, and takes it over again.
    pub(crate) fn lent<T>(&mut self, work: impl FnOnce() -> T) -> io::Result<T> {
        give_back();
        let done = work();
        take()?;
        self.clear()?;
        Ok(done)
    }

    /// Gives the terminal back, stops this job as Ctrl-z does, and takes the terminal over again when it goes on.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        let stopped = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        // The signal may be taken by another thread, while this one runs on for a moment: it must not take the terminal
        // over in that moment. Of this sleep, what follows the stop is over when the job goes on.
        thread::sleep(STOPPING);
        take()?;
        self.clear()?;
        stopped.map_err(io::Error::from)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}
