//! What the live view has done for it: watching a terminal, typing into it, and looking at a recorded one.
//!
//! One terminal is watched at a time, and one recorded one looked at. Screens are told at most sixty times a second, however
//! much is printed; of times that are asked for while one is being gone to, only the last counts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::engine::api::TerminalInfo;
use crate::engine::source::Source;
use crate::engine::terminal::client::{Emulator, FromHost, Seat, ToHost, join};
use crate::engine::terminal::reel::{self, Reel};
use crate::model::{SessionId, Time};
use crate::ui::msg::Msg;
use crate::ui::runner::shielded;
use crate::ui::text;

/// Shortest time between two screens.
const FRAME: Duration = Duration::from_millis(16);

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Watch this session's terminal, instead of another; with a size: attached, with so many columns and rows.
    Watch(SessionId, Option<(u16, u16)>),
    /// Type.
    Type(Vec<u8>),
    /// There are so many columns and rows now.
    Size(u16, u16),
    /// Show the recorded terminal of a session at this time.
    Seek(SessionId, Time),
    /// Watch nothing any more.
    Leave,
}

/// Something that came of it.
#[derive(Debug)]
pub(crate) enum News {
    /// What there is of a terminal.
    Info(SessionId, Result<Option<TerminalInfo>, String>),
    /// The screen as it is now.
    Now(SessionId, Arc<vt100::Screen>),
    /// The screen as it was at that time.
    Then(SessionId, Time, Arc<vt100::Screen>),
    /// The agent ended with this exit code.
    Over(SessionId, i32),
    /// It cannot be watched (any more), or the recording cannot be read.
    Lost(SessionId, String),
}

/// A task that ends with this.
struct Held(AbortHandle);

/// How long what was typed last may take to be sent, once nobody watches any more.
const LAST: Duration = Duration::from_secs(2);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Desk {
    /// The task that watches ends when nobody can type any more, and when what was typed has been sent.
    watching: Option<UnboundedSender<ToHost>>,
    looking: Option<(SessionId, Held, watch::Sender<Time>)>,
}

impl Desk {
    /// Begins a piece of work.
    pub(crate) fn run(
        &mut self,
        work: Work,
        source: &Arc<dyn Source>,
        send: &UnboundedSender<Msg>,
    ) {
        match work {
            Work::Watch(who, attach) => {
                let (give, typed) = mpsc::unbounded_channel();
                let task = see(Arc::clone(source), who, attach, typed, send.clone());
                begun(task, send.clone());
                self.watching = Some(give);
            }
            Work::Type(bytes) => self.say(ToHost::Input(bytes)),
            Work::Size(cols, rows) => self.say(ToHost::Resize(cols, rows)),
            Work::Seek(who, to) => {
                if let Some((held, _, wanted)) = &self.looking
                    && *held == who
                    && wanted.send(to).is_ok()
                {
                    return;
                }
                let (wanted, times) = watch::channel(to);
                let task = look(Arc::clone(source), who, times, send.clone());
                self.looking = Some((who, held(task, send.clone()), wanted));
            }
            Work::Leave => *self = Self::default(),
        }
    }

    fn say(&self, message: ToHost) {
        if let Some(typed) = &self.watching {
            let _ = typed.send(message);
        }
    }
}

fn held(task: impl Future<Output = ()> + Send + 'static, send: UnboundedSender<Msg>) -> Held {
    Held(begun(task, send))
}

fn begun(
    task: impl Future<Output = ()> + Send + 'static,
    send: UnboundedSender<Msg>,
) -> AbortHandle {
    let task = tokio::spawn(async move {
        let done = std::panic::AssertUnwindSafe(shielded(task));
        if done.catch_unwind().await.is_err() {
            let _ = send.send(Msg::Broken);
        }
    });
    task.abort_handle()
}

async fn see(
    source: Arc<dyn Source>,
    who: SessionId,
    attach: Option<(u16, u16)>,
    typed: UnboundedReceiver<ToHost>,
    send: UnboundedSender<Msg>,
) {
    let tell = |news| send.send(Msg::Live(news)).is_ok();
    let info = reel::about(source.as_ref(), Some(who)).await;
    let socket = info.as_ref().ok().and_then(|i| i.as_ref()?.socket.clone());
    let info = info.map_err(|e| text::one_line(&e.message));
    if !tell(News::Info(who, info)) {
        return;
    }
    let Some(socket) = socket else { return };
    let joined = join(
        socket.as_ref(),
        attach.is_some(),
        attach.unwrap_or((80, 24)),
    )
    .await;
    let news = match joined {
        Ok(seat) => sit(seat, who, typed, &send).await,
        Err(e) => Some(News::Lost(who, text::one_line(&e.message))),
    };
    if let Some(news) = news {
        tell(news);
    }
}

/// Shows a terminal until it is over or lost, or (`None`) nobody watches it any more.
async fn sit(
    seat: Seat,
    who: SessionId,
    mut typed: UnboundedReceiver<ToHost>,
    send: &UnboundedSender<Msg>,
) -> Option<News> {
    let Seat {
        mut from, mut to, ..
    } = seat;
    let screen = Mutex::new(Emulator::new(80, 24));
    let held = || screen.lock().unwrap_or_else(PoisonError::into_inner);
    let changed = Notify::new();
    let reading = async {
        loop {
            match FromHost::read(&mut from).await {
                Ok(Some(FromHost::Size(cols, rows))) => held().resize(cols, rows),
                Ok(Some(FromHost::Screen(bytes))) => {
                    let mut screen = held();
                    let (cols, rows) = screen.size();
                    *screen = Emulator::new(cols, rows);
                    screen.print(&bytes);
                }
                Ok(Some(FromHost::Output(bytes))) => held().print(&bytes),
                Ok(Some(FromHost::Hello(_))) => {}
                Ok(Some(FromHost::End(code))) => return News::Over(who, code),
                Ok(None) => return News::Lost(who, "it is gone".to_owned()),
                Err(e) => return News::Lost(who, e.to_string()),
            }
            changed.notify_one();
        }
    };
    let telling = async {
        loop {
            changed.notified().await;
            let shot = Arc::new(held().screen().clone());
            if send.send(Msg::Live(News::Now(who, shot))).is_err() {
                return;
            }
            tokio::time::sleep(FRAME).await;
        }
    };
    let typing = async {
        while let Some(message) = typed.recv().await {
            let written = message.write(&mut to);
            let sent = if typed.is_closed() {
                tokio::time::timeout(LAST, written).await.unwrap_or(Ok(()))
            } else {
                written.await
            };
            if sent.is_err() {
                // Its end is heard by who reads.
                return std::future::pending::<()>().await;
            }
        }
    };
    let news = tokio::select! {
        news = reading => news,
        () = telling => return None,
        () = typing => return None,
    };
    // The last words are there before the end is told.
    let shot = Arc::new(held().screen().clone());
    let _ = send.send(Msg::Live(News::Now(who, shot)));
    Some(news)
}

/// Shows a recorded terminal at the times that are wanted.
async fn look(
    source: Arc<dyn Source>,
    who: SessionId,
    mut times: watch::Receiver<Time>,
    send: UnboundedSender<Msg>,
) {
    let tell = |news| send.send(Msg::Live(news)).is_ok();
    let open = async {
        let info = reel::about(source.as_ref(), Some(who)).await?;
        match info.filter(|i| i.recorded > 0) {
            Some(info) => {
                let start = info.start.unwrap_or_default();
                Reel::open(Arc::clone(&source), Some(who), start)
                    .await
                    .map(Some)
            }
            None => Ok(None),
        }
    };
    let mut reel = match open.await {
        Ok(Some(reel)) => reel,
        Ok(None) => return,
        Err(e) => {
            tell(News::Lost(who, text::one_line(&e.message)));
            return;
        }
    };
    loop {
        let to = *times.borrow_and_update();
        let newer = times.clone();
        let stop = move || newer.has_changed().unwrap_or(true);
        match reel.seek(to, &stop).await {
            Ok(true) => {
                if !tell(News::Then(who, to, reel.screen())) {
                    return;
                }
            }
            Ok(false) => continue,
            Err(e) => {
                tell(News::Lost(who, text::one_line(&e.message)));
                return;
            }
        }
        if times.changed().await.is_err() {
            return;
        }
    }
}
