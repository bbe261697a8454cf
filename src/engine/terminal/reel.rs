//! A recorded terminal, shown as it was at any time.
//!
//! Going on costs what is printed until then; going back costs at most one stretch between two kept screens. Screens are
//! kept at even distances, and every second one is given up when there are too many, so that memory stays bounded however
//! long the recording is. The recording may be anybody's file: what is no event is passed over.

use std::sync::Arc;

use serde::Deserialize;

use crate::agent::terminal::Emulator;
use crate::model::{SessionId, Time};

use super::super::api::{
    ApiError, ErrorCode, Request, Response, TerminalAnswer, TerminalInfo, TerminalQuery,
};
use super::super::source::Source;

/// Bytes that are asked for at a time.
const PIECE: u64 = 1 << 20;

/// Longest line that is read; beyond it the recording counts as ended.
const LONGEST: usize = 32 << 20;

/// Bytes of the recording between two kept screens, to begin with.
const EVERY: u64 = 256 << 10;

/// Most screens that are kept.
const KEPT: usize = 48;

/// Bytes of output that are taken before somebody else has a turn.
const TURN: usize = 64 << 10;

/// What there is of a session's terminal.
pub async fn about(
    source: &dyn Source,
    session: Option<SessionId>,
) -> Result<Option<TerminalInfo>, ApiError> {
    let query = TerminalQuery::Of { session };
    match source.ask(Request::Terminal(query)).await? {
        Response::Terminal(TerminalAnswer::Info(info)) => Ok(info.map(|i| *i)),
        _ => Err(odd()),
    }
}

fn odd() -> ApiError {
    ApiError::new(
        ErrorCode::Failed,
        "an answer of another kind came; is the engine of another version?",
    )
}

/// A screen with the place after which it was so.
struct Kept {
    clock: i64,
    offset: u64,
    screen: vt100::Screen,
}

/// A recording that is being looked at.
pub struct Reel {
    source: Arc<dyn Source>,
    session: Option<SessionId>,
    start: Time,
    /// Times are after the event before, not after the start.
    gaps: bool,
    emulator: Emulator,
    /// Where the first event is, and the size at the start.
    first: (u64, (u16, u16)),
    /// Microseconds after the start.
    clock: i64,
    /// The next byte to read.
    at: u64,
    /// Bytes that were read, and where they are.
    held: (u64, Vec<u8>),
    kept: Vec<Kept>,
    every: u64,
    /// What is printed just now is inside a control sequence.
    inside: bool,
}

/// The first line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    version: u64,
    width: u16,
    height: u16,
    term: Term,
    backtrail: Own,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Term {
    cols: u16,
    rows: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Own {
    start_us: Option<i64>,
}

impl Reel {
    /// Opens the recording of a session's terminal; `start` is when it began, where the recording does not say so itself.
    pub async fn open(
        source: Arc<dyn Source>,
        session: Option<SessionId>,
        start: Time,
    ) -> Result<Self, ApiError> {
        let mut reel = Self {
            source,
            session,
            start,
            gaps: false,
            emulator: Emulator::new(80, 24),
            first: (0, (80, 24)),
            clock: 0,
            at: 0,
            held: (0, Vec::new()),
            kept: Vec::new(),
            every: EVERY,
            inside: false,
        };
        let line = reel.line().await?.unwrap_or_default();
        let header: Header = serde_json::from_slice(&line).map_err(|e| {
            ApiError::new(
                ErrorCode::Failed,
                format!("the recorded terminal cannot be read: {e}"),
            )
        })?;
        let size = if header.version == 3 {
            (header.term.cols, header.term.rows)
        } else {
            (header.width, header.height)
        };
        reel.gaps = header.version == 3;
        reel.start = header.backtrail.start_us.map_or(start, Time);
        reel.emulator = Emulator::new(size.0, size.1);
        reel.first = (reel.at, size);
        Ok(reel)
    }

    /// Goes to a time. `stop` is asked now and then whether that is still wanted; where it says no, this is somewhere
    /// between. `true` when the time was reached.
    pub async fn seek(
        &mut self,
        to: Time,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, ApiError> {
        let wanted = to.0.saturating_sub(self.start.0);
        if wanted < self.clock || self.nearest(wanted).is_some_and(|k| k.offset > self.at) {
            self.back(wanted);
        }
        let mut taken = 0;
        loop {
            let before = self.at;
            let Some(line) = self.line().await? else {
                return Ok(true);
            };
            let Some((time, code, data)) = event(&line) else {
                continue;
            };
            let micros = (time * 1e6) as i64;
            let clock = if self.gaps {
                self.clock.saturating_add(micros)
            } else {
                micros
            };
            if clock > wanted {
                self.at = before;
                return Ok(true);
            }
            self.clock = clock.max(self.clock);
            taken += data.len();
            match code.as_str() {
                "o" => {
                    self.emulator.print(data.as_bytes());
                    self.inside = open_sequence(&data);
                }
                "r" => {
                    if let Some((cols, rows)) = size(&data) {
                        self.emulator.resize(cols, rows);
                    }
                }
                _ => {}
            }
            self.keep();
            if taken > TURN {
                taken = 0;
                tokio::task::yield_now().await;
                if stop() {
                    return Ok(false);
                }
            }
        }
    }

    /// The screen at the time that was gone to.
    #[must_use]
    pub fn screen(&self) -> Arc<vt100::Screen> {
        Arc::new(self.emulator.screen().clone())
    }

    fn nearest(&self, clock: i64) -> Option<&Kept> {
        let after = self.kept.partition_point(|k| k.clock <= clock);
        self.kept.get(after.checked_sub(1)?)
    }

    fn back(&mut self, clock: i64) {
        self.inside = false;
        let (at, clock, emulator) = match self.nearest(clock) {
            Some(kept) => (kept.offset, kept.clock, Emulator::from_screen(&kept.screen)),
            None => {
                let (at, (cols, rows)) = self.first;
                (at, 0, Emulator::new(cols, rows))
            }
        };
        (self.at, self.clock, self.emulator) = (at, clock, emulator);
    }

    fn keep(&mut self) {
        let last = self.kept.last().map_or(self.first.0, |k| k.offset);
        if self.inside || self.at < last.saturating_add(self.every) {
            return;
        }
        self.kept.push(Kept {
            clock: self.clock,
            offset: self.at,
            screen: self.emulator.screen().clone(),
        });
        if self.kept.len() > KEPT {
            let mut odd = false;
            self.kept.retain(|_| {
                odd = !odd;
                !odd
            });
            self.every = self.every.saturating_mul(2);
        }
    }

    /// The next line; `None` at the end, also when that has not all been written.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let mut searched = 0;
        loop {
            let (from, bytes) = &self.held;
            let skip = self
                .at
                .checked_sub(*from)
                .and_then(|n| usize::try_from(n).ok());
            let rest = skip.and_then(|n| bytes.get(n..)).unwrap_or_default();
            if let Some(end) = rest
                .get(searched..)
                .and_then(|r| memchr::memchr(b'\n', r))
                .map(|n| searched + n)
            {
                let line = rest.get(..end).unwrap_or_default().to_vec();
                self.at += end as u64 + 1;
                return Ok(Some(line));
            }
            searched = rest.len();
            if searched > LONGEST {
                return Ok(None);
            }
            let mut bytes = rest.to_vec();
            let more = self.read(self.at + bytes.len() as u64).await?;
            if more.is_empty() {
                return Ok(None);
            }
            bytes.extend_from_slice(&more);
            self.held = (self.at, bytes);
        }
    }

    async fn read(&self, offset: u64) -> Result<Vec<u8>, ApiError> {
        let query = TerminalQuery::Read {
            session: self.session,
            offset,
            len: PIECE,
        };
        match self.source.ask(Request::Terminal(query)).await? {
            Response::Terminal(TerminalAnswer::Part(bytes)) => Ok(bytes.0),
            _ => Err(odd()),
        }
    }
}

fn event(line: &[u8]) -> Option<(f64, String, String)> {
    let (time, code, data): (f64, String, String) = serde_json::from_slice(line).ok()?;
    (time.is_finite() && time >= 0.0).then_some((time, code, data))
}

fn size(text: &str) -> Option<(u16, u16)> {
    let (cols, rows) = text.split_once('x')?;
    Some((cols.parse().ok()?, rows.parse().ok()?))
}

/// Whether a control sequence may go on after this output: a screen taken now would lose its beginning.
fn open_sequence(data: &str) -> bool {
    match data.rfind('\x1b') {
        Some(at) => data.len() - at < 64,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::engine::api::Notice;
    use crate::engine::source::Answer;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::mpsc;

    struct File {
        text: Vec<u8>,
        read: AtomicU64,
    }

    impl Source for File {
        fn ask(&self, request: Request) -> Answer<'_> {
            Box::pin(async move {
                let Request::Terminal(TerminalQuery::Read { offset, len, .. }) = request else {
                    panic!("{request:?}");
                };
                let from = usize::try_from(offset).unwrap().min(self.text.len());
                let to = (from + usize::try_from(len).unwrap()).min(self.text.len());
                self.read.fetch_add((to - from) as u64, Ordering::Relaxed);
                let part = self.text[from..to].to_vec();
                Ok(Response::Terminal(TerminalAnswer::Part(part.into())))
            })
        }

        fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
            mpsc::unbounded_channel().1
        }

        fn is_live(&self) -> bool {
            false
        }
    }

    fn file(text: impl Into<Vec<u8>>) -> Arc<File> {
        Arc::new(File {
            text: text.into(),
            read: AtomicU64::new(0),
        })
    }

    async fn at(reel: &mut Reel, seconds: f64) -> String {
        let to = Time((seconds * 1e6) as i64);
        assert!(reel.seek(to, &|| false).await.unwrap());
        reel.screen().contents()
    }

    #[tokio::test]
    async fn any_time_can_be_gone_to_in_any_order() {
        let v2 = "{\"version\":2,\"width\":20,\"height\":3}\n[1.0,\"o\",\"one\"]\nrubbish\n[2.0,\"i\",\"x\"]\n[2.5,\"o\",\" two\"]\n[3,\"r\",\"30x4\"]\n[4.0,\"o\",\"\\r\\nthree\"]\n[5.0,\"o\",\"half a li";
        let mut reel = Reel::open(file(v2), None, Time(0)).await.unwrap();
        assert_eq!(at(&mut reel, 2.6).await, "one two");
        assert_eq!(reel.screen().size(), (3, 20));
        assert_eq!(at(&mut reel, 0.5).await, "");
        assert_eq!(at(&mut reel, 99.0).await, "one two\nthree");
        assert_eq!(reel.screen().size(), (4, 30));
        assert_eq!(at(&mut reel, 1.0).await, "one");
        assert_eq!(reel.screen().size(), (3, 20));
        let v3 = "{\"version\":3,\"term\":{\"cols\":20,\"rows\":3}}\n[1.0,\"o\",\"one\"]\n[1.5,\"o\",\" two\"]\n[1.5,\"o\",\" three\"]\n";
        let mut reel = Reel::open(file(v3), None, Time(0)).await.unwrap();
        assert_eq!(at(&mut reel, 3.0).await, "one two");
        assert_eq!(at(&mut reel, 4.0).await, "one two three");
        assert_eq!(at(&mut reel, 2.0).await, "one");
        assert!(Reel::open(file("no cast"), None, Time(0)).await.is_err());
        assert!(Reel::open(file(""), None, Time(0)).await.is_err());
    }

    #[tokio::test]
    async fn going_back_reads_little_and_keeps_little() {
        let mut text = String::from("{\"version\":2,\"width\":40,\"height\":4}\n");
        for n in 0..40_000 {
            let line = format!("[{n}.0,\"o\",\"\\r\\n{n} {}\"]\n", "words ".repeat(100));
            text.push_str(&line);
        }
        let len = text.len() as u64;
        let file = file(text);
        let mut reel = Reel::open(Arc::clone(&file) as Arc<dyn Source>, None, Time(0))
            .await
            .unwrap();
        assert!(at(&mut reel, 40_000.0).await.contains("words"));
        assert!(reel.kept.len() <= KEPT, "{}", reel.kept.len());
        assert!(reel.kept.len() > KEPT / 3, "{}", reel.kept.len());
        file.read.store(0, Ordering::Relaxed);
        let mut fresh = Reel::open(Arc::clone(&file) as Arc<dyn Source>, None, Time(0))
            .await
            .unwrap();
        for second in [20_000.0, 3.0, 39_999.5, 12_345.0] {
            let before = file.read.load(Ordering::Relaxed);
            let here = at(&mut reel, second).await;
            let cost = file.read.load(Ordering::Relaxed) - before;
            assert!(cost <= reel.every + 2 * PIECE, "{cost} of {len}");
            assert_eq!(here, at(&mut fresh, second).await, "{second}");
        }
        // What is not wanted any more is left, and can be taken up again.
        let fresh = &mut Reel::open(file, None, Time(0)).await.unwrap();
        assert!(!fresh.seek(Time(i64::MAX), &|| true).await.unwrap());
        assert_eq!(at(fresh, 12_345.0).await, at(&mut reel, 12_345.0).await);
    }
}
