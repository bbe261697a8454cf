//! The loop: waits for whatever comes first, lets [`apply`] take it, draws when there is something new.
//!
//! Nothing is polled. A burst of messages is taken as one; frames are at least 16 ms apart (one that a key asks for 4 ms);
//! when nothing happens, nothing wakes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use ratatui::crossterm::event::{Event, EventStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::api::{ApiError, ErrorCode};
use crate::engine::source::Source;
use crate::model::Time;

use super::again::Again;
use super::app::{App, Link, Look};
use super::errand::Errand;
use super::feel::{self, Loaded, Watch};
use super::keys::Key;
use super::merge_view::subject::About;
use super::msg::{Effect, Msg};
use super::outside;
use super::query;
use super::runner::{Runner, shielded};
use super::terminal::Guard;
use super::text;
use super::theme::{Theme, UNICODE};
use super::update::{apply, finish};
use super::{Error, Options};

/// Shortest time between frames.
const FRAME: Duration = Duration::from_millis(16);

/// The same for a frame that a key asks for: news may have been drawn just before it.
const KEY_FRAME: Duration = Duration::from_millis(4);

/// Messages taken before a frame is drawn in between.
const BURST: usize = 512;

/// How things are drawn before the settings are read.
fn look() -> Look {
    Look {
        theme: Theme::from_env(),
        glyphs: UNICODE,
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

    /// An interrupt while an editor had the terminal was meant for it.
    fn forget_interrupts(&mut self) {
        let [_, _, int] = &mut self.end;
        while int.recv().now_or_never().flatten().is_some() {}
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

/// What ended a screen.
enum End {
    /// The person wants out, or the terminal is gone.
    Quit,
    /// Back to where it was opened from.
    Back,
    /// This recording is to be opened.
    Open(String),
}

/// Something that the terminal is to be lent for.
enum Lend {
    /// A text that is to be opened in the person's own editor, with its name and what it is for.
    Edit(About, String, Vec<u8>),
    Errand(Errand),
}

type ToEdit = Option<Lend>;

/// A screen with what it is made of: it can be left and come back to.
struct Screen {
    app: App,
    runner: Runner,
    messages: UnboundedReceiver<Msg>,
    connecting: Option<Connecting>,
    /// How to go on after the engine has ended.
    again: Option<Again>,
}

impl Screen {
    fn new(
        app: App,
        connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    ) -> Self {
        let (send, messages) = mpsc::unbounded_channel();
        Self {
            app,
            runner: Runner::new(send),
            messages,
            connecting: Some(tokio::spawn(shielded(connect))),
            again: None,
        }
    }
}

/// The terminal and what is heard from it, for as many screens as are shown one after the other.
struct Desk {
    guard: Guard,
    signals: Signals,
    /// `None` only while somebody else has the terminal.
    keys: Option<EventStream>,
    /// Keys that were pressed while the terminal was asked about its colours.
    typed: Vec<Key>,
    look: Look,
    /// Settings as they were read last, for the next screen.
    loaded: Loaded,
    watch: Watch,
}

impl Desk {
    /// Takes the terminal over, draws a first frame, and begins to connect.
    fn open(
        options: &Options,
        mut app: App,
        connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    ) -> Result<(Self, Screen), Error> {
        // One small file of the person's own: colours and characters of the first frame depend on it.
        let mut loaded = feel::load(options, true);
        let mut effects = Vec::new();
        settle(&mut app, &loaded, &mut effects);
        loaded.problems.clear();
        let mut guard = Guard::new()?;
        guard.draw(&mut app)?;
        let signals = Signals::new()?;
        let mut screen = Screen::new(app, connect);
        carry_out(effects, &mut screen.runner, &mut guard, &mut None)?;
        let look = &mut screen.app.look;
        let mut typed = Vec::new();
        if !options.no_query
            && look.theme.wants_backdrop()
            && let Ok(reply) = query::backdrop()
        {
            look.theme.backdrop = reply.backdrop;
            typed = reply.keys;
        }
        let desk = Self {
            guard,
            signals,
            // Kept while the job is stopped, too: nothing of it reads then, and a new stream may miss the first key.
            keys: Some(EventStream::new()),
            typed,
            look: look.clone(),
            loaded,
            watch: Watch::new(options),
        };
        Ok((desk, screen))
    }

    /// Shows a screen until it ends.
    async fn show(&mut self, screen: &mut Screen) -> Result<End, Error> {
        let Screen {
            app,
            runner,
            messages,
            connecting,
            again,
        } = screen;
        let guard = &mut self.guard;
        let mut edit: ToEdit = None;
        for key in std::mem::take(&mut self.typed) {
            if let Some(end) = carry_out(apply(app, Msg::Key(key)), runner, guard, &mut edit)? {
                return Ok(end);
            }
        }
        guard.draw(app)?;
        let mut last_frame = Instant::now();
        let mut dirty = false;
        // When the next frame should be there.
        let mut due = last_frame;
        loop {
            let msg = tokio::select! {
                biased;
                signalled = self.signals.next() => match signalled {
                    Signalled::End => return Ok(End::Quit),
                    Signalled::Resumed => {
                        guard.clear()?;
                        dirty = true;
                        continue;
                    }
                },
                event = pressed(&mut self.keys) => match event {
                    Some(Ok(event)) => match message(event) {
                        Some(msg) => msg,
                        None => continue,
                    },
                    // The terminal is gone.
                    Some(Err(_)) | None => return Ok(End::Quit),
                },
                source = connected(connecting) => {
                    *connecting = None;
                    Msg::Connected(source.map(|source| {
                        let live = source.is_live();
                        runner.connect(source);
                        live
                    }))
                },
                Some(msg) = messages.recv() => msg,
                Some(loaded) = self.watch.news.recv() => {
                    if loaded.problems.is_empty() {
                        text::set_tab(loaded.settings.tab_width);
                        self.loaded = Loaded { first: true, ..loaded.clone() };
                    }
                    Msg::Settings(Box::new(loaded))
                },
                () = tokio::time::sleep_until(last_frame + FRAME), if dirty => {
                    guard.draw(app)?;
                    last_frame = Instant::now();
                    dirty = app.live.drawn(Time::now(), missed(due, last_frame));
                    due = last_frame + FRAME;
                    continue;
                },
            };
            if !dirty {
                due = Instant::now().max(last_frame + FRAME);
            }
            dirty = true;
            app.live.now = Time::now();
            let least = if matches!(msg, Msg::Key(_) | Msg::Mouse(..)) {
                KEY_FRAME
            } else {
                FRAME
            };
            for msg in burst(msg, messages) {
                if let Some(end) = carry_out(apply(app, msg), runner, guard, &mut edit)? {
                    return Ok(end);
                }
            }
            if let Some(end) = carry_out(finish(app), runner, guard, &mut edit)? {
                return Ok(end);
            }
            if app.link == Link::Gone
                && connecting.is_none()
                && let Some(again) = again
            {
                *connecting = Some(tokio::spawn(shielded(again.clone().connected())));
            }
            if let Some(lend) = edit.take() {
                // Whoever reads the terminal now takes keys away from the editor; and a new stream waits for the old one to
                // let go of it, which without this would be at the next key.
                self.keys = None;
                let over = guard.lent(|| match lend {
                    Lend::Edit(about, name, text) => {
                        Msg::Edited(about, outside::edit(&name, &text))
                    }
                    Lend::Errand(errand) => Msg::Errand(errand.run()),
                })?;
                self.keys = Some(EventStream::new());
                self.signals.forget_interrupts();
                let effects = apply(app, over);
                if let Some(end) = carry_out(effects, runner, guard, &mut edit)? {
                    return Ok(end);
                }
            }
            // A person waits for what a key does, not for a frame's time to pass.
            if last_frame.elapsed() >= least {
                guard.draw(app)?;
                last_frame = Instant::now();
                dirty = app.live.drawn(Time::now(), missed(due, last_frame));
                due = last_frame + FRAME;
            }
        }
    }
}

/// How many frames could have been drawn between the time for one and its end.
fn missed(due: Instant, drawn: Instant) -> u64 {
    let late = drawn.saturating_duration_since(due).as_millis();
    u64::try_from(late / FRAME.as_millis()).unwrap_or(0)
}

/// Takes settings over into a screen.
fn settle(app: &mut App, loaded: &Loaded, out: &mut Vec<Effect>) {
    text::set_tab(loaded.settings.tab_width);
    out.extend(apply(app, Msg::Settings(Box::new(loaded.clone()))));
}

/// Carries out what the state asks for.
fn carry_out(
    effects: Vec<Effect>,
    runner: &mut Runner,
    guard: &mut Guard,
    edit: &mut ToEdit,
) -> Result<Option<End>, Error> {
    for effect in effects {
        match runner.run(effect) {
            Some(Effect::Quit) => return Ok(Some(End::Quit)),
            Some(Effect::Back) => return Ok(Some(End::Back)),
            Some(Effect::Open(path)) => return Ok(Some(End::Open(path))),
            Some(Effect::Edit(about, name, text)) => *edit = Some(Lend::Edit(about, name, text)),
            Some(Effect::Lend(errand)) => *edit = Some(Lend::Errand(errand)),
            Some(Effect::Copy(text)) => guard.copy(&text)?,
            Some(Effect::Redraw) => guard.clear()?,
            Some(Effect::Suspend) => guard.suspend()?,
            Some(_) | None => {}
        }
    }
    Ok(None)
}

/// See [`super::run`].
pub(crate) async fn run(
    connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    options: Options,
) -> Result<(), Error> {
    let (mut desk, mut screen) = Desk::open(&options, App::new(look()), connect)?;
    screen.again = options.again.clone();
    desk.show(&mut screen).await?;
    drop(desk);
    farewell(&screen.app);
    Ok(())
}

/// See [`super::browse`].
pub(crate) async fn browse<F>(
    connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    open: impl Fn(String) -> F,
    options: Options,
) -> Result<(), Error>
where
    F: Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
{
    let app = App::list(look(), Time::now());
    let (mut desk, mut list) = Desk::open(&options, app, connect)?;
    loop {
        let End::Open(path) = desk.show(&mut list).await? else {
            return Ok(());
        };
        let mut app = App::new(desk.look.clone());
        app.back = true;
        settle(&mut app, &desk.loaded, &mut Vec::new());
        let mut screen = Screen::new(app, open(path));
        if !matches!(desk.show(&mut screen).await?, End::Back) {
            return Ok(());
        }
        drop(screen);
        settle(&mut list.app, &desk.loaded, &mut Vec::new());
        let effects = apply(&mut list.app, Msg::Returned(Time::now()));
        carry_out(effects, &mut list.runner, &mut desk.guard, &mut None)?;
    }
}

async fn pressed(keys: &mut Option<EventStream>) -> Option<io::Result<Event>> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
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
        Event::Mouse(event) => Some(Msg::Mouse(event, std::time::Instant::now())),
        Event::FocusGained | Event::FocusLost => None,
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
