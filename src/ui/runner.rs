//! Carries out effects: asks the source, compares and recognises off the UI's thread, keeps time. Results come back as
//! messages; in a slot only the newest request counts, and what it replaces is cancelled.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::diff::text::{Outcome, Space, hunks_with};
use crate::engine::api::{ApiError, EntryInfo, ErrorCode, FileChange, Request, Response};
use crate::engine::assist::Assistant;
use crate::engine::source::Source;
use crate::model::{BlobId, StepId};

use super::app::diff_key;
use super::light;
use super::load;
use super::merge_view::check;
use super::merge_view::jobs::{self, Job};
use super::msg::{Compared, DiffKey, Effect, LightKey, Msg, Slot, Tag};
use super::raw_view::{self, RawLines};
use super::text;

/// Unchanged lines around a change.
const AROUND: usize = 4;

/// Longer lines are shown only when asked for, in bytes.
const LONG_LINE: usize = 10_000;

/// Longest file that is read for the state browser, in bytes.
const MAX_READ: u64 = 16 << 20;

/// Longest file that is handed to an editor, in bytes.
const MAX_FETCH: u64 = 64 << 20;

/// Bytes asked for at a time.
const PART: u64 = 4 << 20;

/// Carries out effects on tasks of the current runtime.
pub(crate) struct Runner {
    source: Option<Arc<dyn Source>>,
    send: UnboundedSender<Msg>,
    slots: HashMap<Slot, AbortHandle>,
    /// Carries the source's notices.
    notices: Option<AbortHandle>,
    /// Who asks models: one for all questions, since it keeps the budget.
    assistant: Option<Assistant>,
    /// The agent's terminal: watched for as long as it is shown, so it does not count as something that will end.
    terminal: super::live::jobs::Desk,
    /// Tasks that have not ended, timers aside: zero means that nothing will change by itself.
    open: Arc<AtomicUsize>,
}

/// Counts a task for as long as it lives, however it ends.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Marks a future as one whose panic is caught by the task it runs in: it must not take the screen down.
pub(crate) async fn shielded<T>(future: impl Future<Output = T> + Send) -> T {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| super::terminal::in_task(|| future.as_mut().poll(context))).await
}

/// Tells a blocking job to stop when the task that waits for it is gone.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Runner {
    /// One that has no source yet.
    pub(crate) fn new(send: UnboundedSender<Msg>) -> Self {
        Self {
            source: None,
            send,
            slots: HashMap::new(),
            notices: None,
            assistant: None,
            terminal: super::live::jobs::Desk::default(),
            open: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// The source is there: its notices become messages.
    pub(crate) fn connect(&mut self, source: Arc<dyn Source>) {
        let mut notices = source.notices();
        let send = self.send.clone();
        let carrier = tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                if send.send(Msg::Notice(notice)).is_err() {
                    return;
                }
            }
            let _ = send.send(Msg::Gone);
        });
        self.notices = Some(carrier.abort_handle());
        self.source = Some(source);
    }

    /// Tasks that have not ended: what a test waits for.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn task(&mut self, slot: Option<Slot>, task: impl Future<Output = ()> + Send + 'static) {
        let open = Open::new(&self.open);
        let send = self.send.clone();
        let handle = tokio::spawn(async move {
            let _open = open;
            if AssertUnwindSafe(shielded(task))
                .catch_unwind()
                .await
                .is_err()
            {
                let _ = send.send(Msg::Broken);
            }
        });
        if let Some(slot) = slot
            && let Some(old) = self.slots.insert(slot, handle.abort_handle())
        {
            old.abort();
        }
    }

    /// Who is asked; the settings are read again as long as they name nobody.
    fn assistant(&mut self, root: Option<&Path>) -> Option<Assistant> {
        let known = self.assistant.as_ref().filter(|a| a.setup().is_ok());
        if known.is_none() {
            self.assistant = Some(Assistant::new(self.source.clone()?, root));
        }
        self.assistant.clone()
    }

    /// Asks this one from now on.
    #[cfg(test)]
    pub(crate) fn ask_with(&mut self, assistant: Assistant) {
        self.assistant = Some(assistant);
    }

    /// Begins an effect. Those that are about the terminal itself are given back.
    pub(crate) fn run(&mut self, effect: Effect) -> Option<Effect> {
        let send = self.send.clone();
        match effect {
            Effect::Ask(slot, tag, request) => {
                let source = self.source.clone()?;
                self.task(slot, async move {
                    let result = source.ask(request).await;
                    let _ = send.send(Msg::Answer(tag, result));
                });
            }
            Effect::Load(stamp) => {
                let source = self.source.clone()?;
                self.task(Some(Slot::Rows), async move {
                    load::all(source.as_ref(), stamp, &send).await;
                });
            }
            Effect::Compare(changes, space) => {
                let source = self.source.clone()?;
                self.task(Some(Slot::Compare), async move {
                    compare_all(source, changes, space, send).await;
                });
            }
            Effect::Read(entry) => {
                let source = self.source.clone()?;
                self.task(Some(Slot::Read), async move {
                    read(source, entry, send).await;
                });
            }
            Effect::Fetch(entry) => {
                let source = self.source.clone()?;
                self.task(Some(Slot::Fetch), async move {
                    let Some(id) = entry.blob else { return };
                    let bytes = match entry.size {
                        0..=MAX_FETCH => blob(source.as_ref(), id, MAX_FETCH).await,
                        size => {
                            let message = format!("{} is too much", text::bytes(size));
                            Err(ApiError::new(ErrorCode::Refused, message))
                        }
                    };
                    let result = bytes.map(Arc::new).map_err(|e| text::one_line(&e.message));
                    let _ = send.send(Msg::Fetched(entry, result));
                });
            }
            Effect::Raw(step, width) => {
                let source = self.source.clone()?;
                self.task(Some(Slot::Raw), async move {
                    let lines = raw(source.as_ref(), step, width).await;
                    let _ = send.send(Msg::Raw((step, width), lines));
                });
            }
            Effect::Merge(work) => {
                let slot = match &work {
                    Job::Words(..) => Slot::Words,
                    Job::Light(..) => Slot::Light,
                };
                self.task(Some(slot), async move {
                    if let Some(news) = job(move |stop| jobs::compute(work, stop)).await {
                        let _ = send.send(Msg::Merge(news));
                    }
                });
            }
            Effect::Check(stamp, command) => {
                let source = self.source.clone()?;
                self.task(Some(Slot::Check), async move {
                    check::run(source, stamp, command, send).await;
                });
            }
            Effect::Assist(stamp, ask, root) => {
                let assistant = self.assistant(root.as_deref())?;
                self.task(Some(Slot::Ask), async move {
                    let mut asking = assistant.ask(ask);
                    while let Some(news) = asking.next().await {
                        if send.send(Msg::Assist(stamp, news)).is_err() {
                            return;
                        }
                    }
                });
            }
            Effect::Accept(tag, what) => {
                let assistant = self.assistant.clone()?;
                self.task(None, async move {
                    let (path, part, proposal) = *what;
                    let result = assistant.accept(&path, part, &proposal, true).await;
                    let result = result
                        .map(|info| Response::Merging(Some(info)))
                        .map_err(|e| ApiError::new(ErrorCode::Refused, e.to_string()));
                    let _ = send.send(Msg::Answer(Tag::Merge(tag), result));
                });
            }
            Effect::Live(work) => {
                let source = self.source.clone()?;
                self.terminal.run(work, &source, &send);
            }
            Effect::Cancel(slot) => {
                if let Some(task) = self.slots.remove(&slot) {
                    task.abort();
                }
            }
            Effect::Later(time, timer) => {
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    let _ = send.send(Msg::Timer(timer));
                });
            }
            effect @ (Effect::Copy(_)
            | Effect::Edit(..)
            | Effect::Lend(_)
            | Effect::Redraw
            | Effect::Suspend
            | Effect::Back
            | Effect::Open(_)
            | Effect::Quit) => {
                return Some(effect);
            }
        }
        None
    }
}

impl Drop for Runner {
    /// A screen that was left wants no answers; its source may end.
    fn drop(&mut self) {
        for task in self.slots.values().chain(&self.notices) {
            task.abort();
        }
    }
}

/// Reads a whole blob, part by part.
async fn blob(source: &dyn Source, id: BlobId, limit: u64) -> Result<Vec<u8>, ApiError> {
    let mut out: Vec<u8> = Vec::new();
    loop {
        let offset = out.len() as u64;
        let request = Request::Blob {
            id,
            offset,
            len: PART.min(limit.saturating_sub(offset)),
        };
        let part = match source.ask(request).await? {
            Response::Blob(part) => part,
            _ => {
                let message = "the engine gave no content; is it of another version?";
                return Err(ApiError::new(ErrorCode::Failed, message));
            }
        };
        let empty = part.bytes.is_empty();
        out.extend_from_slice(&part.bytes);
        let so_far = out.len() as u64;
        if empty || so_far >= part.len || so_far >= limit {
            return Ok(out);
        }
    }
}

/// A blocking job that is told to stop when this future is dropped.
pub(crate) async fn job<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Option<T> {
    let stop = Arc::new(AtomicBool::new(false));
    let guard = Stop(Arc::clone(&stop));
    let result = tokio::task::spawn_blocking(move || super::terminal::in_task(|| work(&stop)))
        .await
        .ok();
    drop(guard);
    result
}

async fn compare_all(
    source: Arc<dyn Source>,
    changes: Vec<(FileChange, bool)>,
    space: Space,
    send: UnboundedSender<Msg>,
) {
    let mut lit: Vec<(LightKey, Arc<Vec<u8>>)> = Vec::new();
    for (change, long) in changes {
        let key: DiffKey = diff_key(&change, space);
        let side = async |id: Option<BlobId>| match id {
            Some(id) => blob(source.as_ref(), id, u64::MAX).await,
            None => Ok(Vec::new()),
        };
        let (before, after) = match (side(key.0).await, side(key.1).await) {
            (Ok(before), Ok(after)) => (Arc::new(before), Arc::new(after)),
            (Err(error), _) | (_, Err(error)) => {
                let _ = send.send(Msg::Compared(key, Compared::Failed(error.message)));
                continue;
            }
        };
        let (a, b) = (Arc::clone(&before), Arc::clone(&after));
        let compared = match job(move |_| compare(&a, &b, space, long)).await {
            Some(compared) => compared,
            None => Compared::Failed("the comparison failed".to_owned()),
        };
        let _ = send.send(Msg::Compared(key, compared));
        for (entry, bytes) in [(&change.before, before), (&change.after, after)] {
            if let Some(key) = entry.as_ref().and_then(LightKey::of) {
                lit.push((key, bytes));
            }
        }
    }
    // Lines first, colours afterwards.
    for (key, bytes) in lit {
        let name = key.name.clone();
        if let Some(light) = job(move |stop| light::light(&name, &bytes, stop)).await {
            let _ = send.send(Msg::Lit(key, Arc::new(light)));
        }
    }
}

/// Compares two contents. With lines that are too long for any screen they are shown only when asked for.
fn compare(before: &[u8], after: &[u8], space: Space, long: bool) -> Compared {
    let is_long = |content: &[u8]| content.split(|b| *b == b'\n').any(|l| l.len() > LONG_LINE);
    let diff = hunks_with(before, after, AROUND, space);
    if diff.outcome == Outcome::Binary {
        let size = |content: &[u8]| imagesize::blob_size(content).ok();
        let sizes = [before, after]
            .map(size)
            .map(|s| s.map(|s| (s.width, s.height)));
        if sizes.iter().any(Option::is_some) {
            return Compared::Pictures(sizes[0], sizes[1]);
        }
    }
    if diff.outcome == Outcome::Text && !long && (is_long(before) || is_long(after)) {
        return Compared::Large;
    }
    Compared::Ready(Arc::new(diff))
}

async fn raw(source: &dyn Source, step: StepId, width: usize) -> RawLines {
    match source.ask(Request::Raw { id: step }).await {
        Ok(Response::Raw(records)) => job(move |_| raw_view::lines(&records, width))
            .await
            .map(Arc::new)
            .ok_or_else(|| "the records cannot be shown".to_owned()),
        Ok(_) => Err("no records were given; is the engine of another version?".to_owned()),
        Err(error) => Err(text::one_line(&error.message)),
    }
}

async fn read(source: Arc<dyn Source>, entry: EntryInfo, send: UnboundedSender<Msg>) {
    let Some(key) = LightKey::of(&entry) else {
        return;
    };
    let bytes = match blob(source.as_ref(), key.blob, MAX_READ).await {
        Ok(bytes) => Arc::new(bytes),
        Err(error) => {
            let _ = send.send(Msg::Read(key.blob, Err(error.message)));
            return;
        }
    };
    let _ = send.send(Msg::Read(key.blob, Ok(Arc::clone(&bytes))));
    let name = key.name.clone();
    if let Some(light) = job(move |stop| light::light(&name, &bytes, stop)).await {
        let _ = send.send(Msg::Lit(key, Arc::new(light)));
    }
}
