//! The loop: waits for whatever comes first, lets [`update`] take it, draws when there is something new.
//!
//! Nothing is polled. A burst of messages is taken as one; frames are at least 16 ms apart (one that a key asks for 4 ms);
//! when nothing happens, nothing wakes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use ratatui::crossterm::event::{Event, EventStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::api::{ApiError, ErrorCode};
use crate::engine::source::Source;

use super::app::{App, Look};
use super::keys::Key;
use super::msg::{Effect, Msg};
use super::query;
use super::runner::{Runner, shielded};
use super::terminal::Guard;
use super::theme::{ASCII, Depth, PLAIN, Theme, UNICODE};
use super::update::update;
use super::{Error, Options};

/// Shortest time between frames.
const FRAME: Duration = Duration::from_millis(16);

/// The same for a frame that a key asks for: news may have been drawn just before it.
const KEY_FRAME: Duration = Duration::from_millis(4);

/// Messages taken before a frame is drawn in between.
const BURST: usize = 512;

/// How things are drawn, by the options and the environment.
fn look(options: &Options) -> Look {
    let theme = Theme::from_env();
    let accessible = std::env::var_os("ACCESSIBLE").is_some_and(|v| !v.is_empty() && v != *"0");
    let ascii = options.ascii || std::env::var_os("TERM").is_some_and(|t| t == *"linux");
    let glyphs = if options.plain || accessible {
        PLAIN
    } else if ascii {
        ASCII
    } else {
        UNICODE
    };
    Look {
        theme,
        glyphs,
        zone: jiff::tz::TimeZone::system(),
    }
}

/// Signals after which the terminal must be given back, and the one after which it must be drawn again.
struct Signals {
    end: [Signal; 3],
    resumed: Signal,
}

enum Signalled {
    End,
    Resumed,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            end: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ],
            resumed: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Signalled {
        let [term, hup, int] = &mut self.end;
        tokio::select! {
            _ = term.recv() => Signalled::End,
            _ = hup.recv() => Signalled::End,
            _ = int.recv() => Signalled::End,
            _ = self.resumed.recv() => Signalled::Resumed,
        }
    }
}

type Connecting = JoinHandle<Result<Arc<dyn Source>, ApiError>>;

/// See [`super::run`].
pub(crate) async fn run(
    connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    options: Options,
) -> Result<(), Error> {
    let mut app = App::new(look(&options));
    let mut guard = Guard::new()?;
    guard.draw(&mut app)?;
    let mut signals = Signals::new()?;
    let (send, mut messages) = mpsc::unbounded_channel();
    let mut runner = Runner::new(send.clone());
    let mut connecting = Some(tokio::spawn(shielded(connect)));
    if !options.no_query
        && app.look.theme.depth >= Depth::Indexed
        && let Ok(reply) = query::backdrop()
    {
        app.look.theme.backdrop = reply.backdrop;
        for key in reply.keys {
            let _ = send.send(Msg::Key(key));
        }
    }
    // Kept while the job is stopped, too: nothing of it reads then, and a new stream may miss the first key.
    let mut keys = EventStream::new();
    let mut last_frame = Instant::now();
    let mut dirty = true;
    loop {
        let msg = tokio::select! {
            biased;
            signalled = signals.next() => match signalled {
                Signalled::End => break,
                Signalled::Resumed => {
                    guard.clear()?;
                    dirty = true;
                    continue;
                }
            },
            event = keys.next() => match event {
                Some(Ok(event)) => match message(event) {
                    Some(msg) => msg,
                    None => continue,
                },
                // The terminal is gone.
                Some(Err(_)) | None => break,
            },
            source = connected(&mut connecting) => {
                connecting = None;
                Msg::Connected(source.map(|source| {
                    let live = source.is_live();
                    runner.connect(source);
                    live
                }))
            },
            Some(msg) = messages.recv() => msg,
            () = tokio::time::sleep_until(last_frame + FRAME), if dirty => {
                guard.draw(&mut app)?;
                last_frame = Instant::now();
                dirty = false;
                continue;
            },
        };
        dirty = true;
        let least = if matches!(msg, Msg::Key(_)) {
            KEY_FRAME
        } else {
            FRAME
        };
        for msg in burst(msg, &mut messages) {
            for effect in update(&mut app, msg) {
                match runner.run(effect) {
                    Some(Effect::Quit) => {
                        drop(guard);
                        farewell(&app);
                        return Ok(());
                    }
                    Some(Effect::Copy(text)) => guard.copy(&text)?,
                    Some(Effect::Redraw) => guard.clear()?,
                    Some(Effect::Suspend) => guard.suspend()?,
                    Some(_) | None => {}
                }
            }
        }
        // A person waits for what a key does, not for a frame's time to pass.
        if last_frame.elapsed() >= least {
            guard.draw(&mut app)?;
            last_frame = Instant::now();
            dirty = false;
        }
    }
    Ok(())
}

async fn connected(connecting: &mut Option<Connecting>) -> Result<Arc<dyn Source>, ApiError> {
    match connecting {
        Some(task) => task.await.unwrap_or_else(|error| {
            let message = format!("connecting failed: {error}");
            Err(ApiError::new(ErrorCode::Failed, message))
        }),
        None => std::future::pending().await,
    }
}

/// The message and what has come after it, so that a flood of news is drawn once.
fn burst(first: Msg, messages: &mut UnboundedReceiver<Msg>) -> Vec<Msg> {
    let mut out = vec![first];
    while out.len() < BURST
        && let Ok(msg) = messages.try_recv()
    {
        out.push(msg);
    }
    out
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(event) => Key::of(event).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(width, height) => Some(Msg::Resize(width, height)),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

/// A person who leaves while an agent runs should know that it still does.
fn farewell(app: &App) {
    if app.agent_runs() {
        let _ = io::Write::write_all(
            &mut io::stderr(),
            b"The agent keeps running, recorded; `backtrail` shows it again.\n",
        );
    }
}
