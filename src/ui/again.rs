//! An engine that went away, and one that is back; loading that was stopped, and goes on.
//!
//! While there is no engine, what is here can be read, and nothing asks. Whether one runs is looked at every half second:
//! only then, so that a screen with nothing to do does not wake.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::api::{ApiError, Request};
use crate::engine::source::Source;

use super::app::{App, Link, Tone, View};
use super::msg::{Compared, Effect, Slot, Tag};
use super::text;
use super::update::toast;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

type Connect = Pin<Box<dyn Future<Output = Result<Arc<dyn Source>, ApiError>> + Send>>;

/// How to connect to an engine that runs, when the one before has ended.
#[derive(Clone)]
pub struct Again(Arc<dyn Fn() -> Connect + Send + Sync>);

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

impl Again {
    /// `connect` fails while none runs; it must not start one.
    pub fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(connect())))
    }

    /// Waits for an engine.
    pub(crate) async fn connected(self) -> Result<Arc<dyn Source>, ApiError> {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Ok(source) = (self.0)().await {
                return Ok(source);
            }
        }
    }
}

/// The source is gone.
pub(crate) fn gone(app: &mut App, out: &mut Vec<Effect>) {
    app.link = Link::Gone;
    app.busy = None;
    let text =
        "the engine has ended: what is here can still be read, and the next one is waited for";
    toast(app, Tone::Bad, text.to_owned(), &[], out);
}

/// A source is there: the first, or the next one.
pub(crate) fn connected(app: &mut App, live: bool, out: &mut Vec<Effect>) {
    let before = std::mem::replace(&mut app.link, Link::Open { live });
    if matches!(app.view, Some(View::List(_))) {
        return;
    }
    if before == Link::Gone {
        // Whatever was asked is not answered any more, and whatever is kept may have changed unheard.
        app.busy = None;
        app.asked = None;
        app.asked_more = None;
        app.ahead = None;
        let focus = app.focus_row().map(|r| r.step);
        app.shelf.details.retain(|d| Some(d.row.step) == focus);
        app.shelf.stale.extend(focus);
        app.shelf
            .diffs
            .retain(|c| !matches!(c, Compared::Waiting | Compared::Failed(_)));
        let text = "connected again".to_owned();
        toast(app, Tone::Good, text, &[], out);
    }
    out.push(Effect::Ask(None, Tag::Status, Request::Status));
}

/// Stops loading rows; what is there stays.
pub(crate) fn stop_loading(app: &mut App, out: &mut Vec<Effect>) {
    app.loading.busy = false;
    app.loading.partial = true;
    app.loading.stamp += 1;
    app.loading.unsettled = true;
    out.push(Effect::Cancel(Slot::Rows));
    let all = app.status.as_ref().map_or(0, |s| s.steps);
    let text = format!(
        "{} of {} steps are loaded; Ctrl-l loads the rest",
        text::grouped(app.rows.len() as u64),
        text::grouped(all)
    );
    toast(app, Tone::Note, text, &[], out);
}
