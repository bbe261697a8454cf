//! Following what running agents write of themselves: one thread that finds their transcripts, decides whose they are, and
//! has them heard.
//!
//! A recording is ours when its agent works in the project and it was written to since a `run` began whose environment puts
//! its agent's recordings there. With one such `run` it belongs to that; with several it belongs to the one whose processes
//! have it open, or which alone runs that agent. Else the recording's steps are shown at once, as a session whose home
//! is not known yet, until what its calls do is seen being done by the processes of one of them. Time alone never decides.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::model::{Link, Session, SessionId, Step, StepId, StepKind};
use crate::trace::calls::Running;
use crate::trace::format::{FORMATS, Format, Head, Home as Env, Shape};
use crate::trace::tail::{Chunk, Tail, Waker};

use super::api::Notice;
use super::core::{Core, Failure};
use super::heard::{Heard, Home, News, whose};
use super::ties::Ties;

/// How much of a recording's beginning is read to know whose it is.
const HEAD: usize = 256 << 10;
/// Lines kept of a recording of which it is not known yet whose it is, in bytes.
const WAITING: usize = 64 << 20;
/// The longest wait for what a transcript holds at the end of a session.
const PATIENCE: Duration = Duration::from_secs(2);
/// A change that came a moment ago is not the last one of its call, perhaps.
const STILL: Duration = Duration::from_millis(10);
/// How often steps are made durable.
const DURABLE: Duration = Duration::from_secs(1);

enum Order {
    Begin(Box<Run>),
    /// Read everything now, then answer.
    HearOut(Sender<()>),
    End(SessionId, Sender<()>),
}

/// A `run` whose transcripts are looked for.
struct Run {
    session: Session,
    places: Vec<(PathBuf, &'static dyn Format)>,
}

/// The thread that follows.
pub struct Follower {
    orders: Mutex<Sender<Order>>,
    waker: Waker,
}

impl Follower {
    /// Starts the thread. It ends when the core does.
    pub fn start(core: &Arc<Core>) -> std::io::Result<Self> {
        let tail = Tail::new(|path| {
            path.extension().is_some_and(|e| e == "jsonl")
                || growing().any(|f| f.is_recording(path))
        });
        let waker = tail.waker();
        let (orders, queue) = channel();
        let mut following = Following {
            core: Arc::downgrade(core),
            tail,
            queue,
            runs: Vec::new(),
            heard: Vec::new(),
            of: HashMap::new(),
            waiting: BTreeMap::new(),
            stored: None,
        };
        thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || following.run())?;
        Ok(Self {
            orders: Mutex::new(orders),
            waker,
        })
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread is gone only when the engine ends.
        let _ = orders.send(order);
        self.waker.wake();
    }

    /// A `run` begins, with these directories in its environment.
    pub fn begin(&self, session: &Session, mut vars: BTreeMap<String, String>) {
        let dir = vars.remove("HOME").map(PathBuf::from).unwrap_or_default();
        let vars = vars.into_iter().map(|(k, v)| (k, PathBuf::from(v)));
        let env = Env {
            dir,
            vars: vars.collect(),
        };
        let mut places = Vec::new();
        for format in growing() {
            for place in format.places(&env) {
                // Without a home a place could be anywhere.
                if place.is_absolute() {
                    let place = std::fs::canonicalize(&place).unwrap_or(place);
                    places.push((place, format));
                }
            }
        }
        if !places.is_empty() {
            let session = session.clone();
            self.order(Order::Begin(Box::new(Run { session, places })));
        }
    }

    /// Has everything read that is in the transcripts by now.
    pub fn hear_out(&self) {
        let (done, wait) = channel();
        self.order(Order::HearOut(done));
        let _ = wait.recv_timeout(PATIENCE);
    }

    /// A `run` has ended: nothing more comes of it.
    pub fn end(&self, session: SessionId) {
        let (done, wait) = channel();
        self.order(Order::End(session, done));
        let _ = wait.recv_timeout(PATIENCE);
    }
}

/// The formats that grow line by line. A document that is written anew each time is not followed.
fn growing() -> impl Iterator<Item = &'static dyn Format> {
    FORMATS
        .iter()
        .copied()
        .filter(|f| matches!(f.shape(), Shape::Lines))
}

/// Whole lines of a file of which it is not known whose it is.
#[derive(Default)]
struct Waiting {
    lines: Vec<(u64, Vec<u8>)>,
    rest: bool,
    size: usize,
}

/// What the thread knows.
struct Following {
    core: Weak<Core>,
    tail: Tail,
    queue: Receiver<Order>,
    runs: Vec<Run>,
    heard: Vec<Heard>,
    /// Which of the recordings a file belongs to; `None`: none of ours.
    of: HashMap<PathBuf, Option<usize>>,
    waiting: BTreeMap<PathBuf, Waiting>,
    /// When steps were last made durable; `None` while all are.
    stored: Option<Instant>,
}

impl Following {
    fn run(&mut self) {
        loop {
            self.tail.wait(Duration::from_secs(1));
            let Some(core) = self.core.upgrade() else {
                return;
            };
            let mut done = Vec::new();
            while let Ok(order) = self.queue.try_recv() {
                match order {
                    Order::Begin(run) => self.begin(&core, *run),
                    Order::HearOut(tell) => done.push((None, tell)),
                    Order::End(session, tell) => done.push((Some(session), tell)),
                }
            }
            if !done.is_empty() {
                self.tail.hurry();
            }
            self.look(&core);
            for (session, tell) in done {
                self.finish(&core);
                if let Some(session) = session {
                    self.end(&core, session);
                }
                // Who asked may have lost patience.
                let _ = tell.send(());
            }
            self.make_durable(&core);
        }
    }

    fn begin(&mut self, core: &Core, run: Run) {
        for ties in core.timeline.ties_of(Some(run.session.id)) {
            ties.log.watch(Some(run.session.start));
        }
        let since = SystemTime::UNIX_EPOCH
            + Duration::from_micros(u64::try_from(run.session.start.0).unwrap_or(0));
        for (place, _) in &run.places {
            self.tail.add(place, since);
        }
        self.runs.push(run);
        // What was nobody's may be this one's, if it goes on.
        self.of.retain(|_, of| of.is_some());
    }

    fn end(&mut self, core: &Core, session: SessionId) {
        self.runs.retain(|r| r.session.id != session);
        if self.runs.is_empty() {
            self.tail.clear();
            self.heard.clear();
            self.of.clear();
            self.waiting.clear();
            for (_, ties) in core.timeline.all_ties() {
                ties.log.watch(None);
            }
        }
    }

    fn look(&mut self, core: &Core) {
        let mut chunks: Vec<(PathBuf, u64, Vec<u8>, bool)> = Vec::new();
        let mut size = 0;
        let mut news = News::default();
        // The tail is borrowed while it tells; what it tells is small, but for a file that is told whole.
        let mut tail = std::mem::replace(&mut self.tail, Tail::new(|_| false).deaf());
        tail.look(&mut |chunk| {
            if size > (8 << 20) {
                for (path, offset, bytes, rest) in chunks.drain(..) {
                    self.grown(core, &path, offset, bytes, rest, &mut news);
                }
                size = 0;
            }
            size += chunk.bytes.len();
            chunks.push(owned(chunk));
        });
        self.tail = tail;
        for (path, offset, bytes, rest) in chunks {
            self.grown(core, &path, offset, bytes, rest, &mut news);
        }
        self.tell(core, &news);
    }

    /// Takes the last lines that have no end, of files that nobody writes any more.
    fn finish(&mut self, core: &Core) {
        let mut news = News::default();
        let paths: Vec<PathBuf> = self
            .heard
            .iter()
            .flat_map(|h| h.files.iter().cloned())
            .collect();
        for path in paths {
            let mut chunks = Vec::new();
            self.tail.finish(&path, &mut |chunk| {
                // Half a record is worth nothing: it may still be written.
                if chunk.bytes.ends_with(b"\n") || crate::trace::records::is_json(chunk.bytes) {
                    chunks.push(owned(chunk));
                }
            });
            for (path, offset, bytes, rest) in chunks {
                self.grown(core, &path, offset, bytes, rest, &mut news);
            }
        }
        self.tell(core, &news);
    }

    /// What changed with all that.
    fn tell(&mut self, core: &Core, news: &News) {
        self.find_homes(core);
        if news.steps > 0 {
            self.stored.get_or_insert_with(Instant::now);
        }
        if news.calls {
            if let Err(e) = core.tie_better() {
                core.warn(format!("changes could not be tied to their calls: {e}"));
            }
            core.due.notify_one();
            core.forks.hurry();
        }
    }

    fn make_durable(&mut self, core: &Core) {
        if self.stored.is_some_and(|t| t.elapsed() >= DURABLE) {
            self.stored = None;
            if let Err(e) = core.store.sync() {
                core.warn(format!("what was said could not be made durable: {e}"));
            }
        }
    }

    fn grown(
        &mut self,
        core: &Core,
        path: &Path,
        offset: u64,
        bytes: Vec<u8>,
        rest: bool,
        news: &mut News,
    ) {
        match self.of.get(path) {
            Some(Some(n)) => {
                let n = *n;
                self.hear(core, n, path, offset, &bytes, news);
            }
            Some(None) => {}
            None => {
                let waiting = self.waiting.entry(path.to_owned()).or_default();
                if waiting.lines.is_empty() {
                    waiting.rest = rest;
                }
                waiting.size += bytes.len();
                if waiting.size < WAITING {
                    waiting.lines.push((offset, bytes));
                }
                self.sort_out(core, path, news);
            }
        }
    }

    /// Finds out whose a file is, if that can be told by now.
    fn sort_out(&mut self, core: &Core, path: &Path, news: &mut News) {
        if let Some((n, side)) = self
            .heard
            .iter()
            .enumerate()
            .find_map(|(n, h)| Some((n, h.side(path)?)))
        {
            self.heard[n].file(path, Some(side));
            self.take_up(core, n, path, news);
            return;
        }
        let named: Vec<&'static dyn Format> = self
            .runs
            .iter()
            .flat_map(|r| &r.places)
            .filter(|(place, format)| path.starts_with(place) && format.is_recording(path))
            .map(|(_, format)| *format)
            .collect();
        if named.is_empty() {
            // Perhaps a side file whose main file comes later.
            return;
        }
        let Some(head) = head(path) else { return };
        let Some(format) = surest(&named, path, &head) else {
            return;
        };
        let whose = whose(format, &head);
        let Some(cwd) = whose.get("cwd") else { return };
        let cwd = core.project.own_path(Path::new(cwd));
        let root = &core.project.root;
        let here = cwd.starts_with(root)
            || std::fs::canonicalize(&cwd).is_ok_and(|real| real.starts_with(root));
        let runs: Vec<&Run> = self
            .runs
            .iter()
            .filter(|r| r.places.iter().any(|(place, _)| path.starts_with(place)))
            .collect();
        if !here || runs.is_empty() {
            self.waiting.remove(path);
            self.of.insert(path.to_owned(), None);
            return;
        }
        let since = runs
            .iter()
            .map(|r| r.session.start)
            .min()
            .unwrap_or_default();
        let agent = whose.get("agent").map_or("", String::as_str);
        let home = home(&runs, path, &[agent, format.name()], &|run| {
            core.sessions.processes(run)
        });
        for ties in core.timeline.ties_of(home.session) {
            ties.log.finely();
        }
        let heard = Heard::new(format, path, since, home);
        self.heard.push(heard);
        let n = self.heard.len() - 1;
        self.take_up(core, n, path, news);
        // Files of its subagents may have been there first.
        for side in self.waiting.keys().cloned().collect::<Vec<_>>() {
            if let Some(of) = self.heard[n].side(&side) {
                self.heard[n].file(&side, Some(of));
                self.take_up(core, n, &side, news);
            }
        }
    }

    /// A file belongs to a recording: takes the lines that waited.
    fn take_up(&mut self, core: &Core, n: usize, path: &Path, news: &mut News) {
        self.of.insert(path.to_owned(), Some(n));
        let waited = self.waiting.remove(path).unwrap_or_default();
        let file = self.heard[n].file(path, None);
        match waited.lines.first() {
            Some((from, _)) if waited.rest => {
                if let Some(mut head) = head(path) {
                    head.truncate(usize::try_from(*from).unwrap_or(usize::MAX));
                    self.heard[n].head(file, &head);
                }
            }
            _ => self.heard[n].begins(file),
        }
        for (offset, bytes) in waited.lines {
            self.hear(core, n, path, offset, &bytes, news);
        }
    }

    fn hear(
        &mut self,
        core: &Core,
        n: usize,
        path: &Path,
        offset: u64,
        bytes: &[u8],
        news: &mut News,
    ) {
        let heard = &mut self.heard[n];
        let file = heard.file(path, None);
        match heard.take(core, file, offset, bytes) {
            Ok(more) => news.add(&more),
            Err(e) => core.warn(format!("a transcript could not be recorded: {e}")),
        }
    }

    /// For recordings whose home was not known: whether what they did tells by now.
    fn find_homes(&mut self, core: &Core) {
        if self.heard.iter().all(|h| h.home.session.is_some()) {
            return;
        }
        let runs: Vec<(SessionId, String)> = self
            .runs
            .iter()
            .map(|r| (r.session.id, r.session.cgroup.clone()))
            .collect();
        let found = core.timeline.homes(&runs);
        for heard in self.heard.iter_mut().filter(|h| h.home.session.is_none()) {
            let sessions = heard.sessions();
            let told = found.iter().find(|(s, _)| sessions.contains(s));
            let run = match told {
                Some((_, run)) => self.runs.iter().find(|r| r.session.id == *run),
                None => self
                    .runs
                    .iter()
                    .find(|r| holds_open(&core.sessions.processes(r.session.id), heard.main())),
            };
            let Some(run) = run else { continue };
            heard.home = Home {
                session: Some(run.session.id),
                cgroup: run.session.cgroup.clone(),
                command: run.session.command.clone(),
            };
            for session in sessions {
                if let Err(e) = core.session_home(session, &heard.home) {
                    core.warn(format!("a session could not be recorded: {e}"));
                }
            }
        }
    }
}

fn owned(chunk: Chunk<'_>) -> (PathBuf, u64, Vec<u8>, bool) {
    (
        chunk.path.to_owned(),
        chunk.offset,
        chunk.bytes.to_vec(),
        chunk.rest && !chunk.again,
    )
}

/// The beginning of a file: whole lines, if it has any end of one.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(HEAD as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    if let Some(end) = bytes.iter().rposition(|b| *b == b'\n') {
        bytes.truncate(end + 1);
    }
    Some(bytes)
}

/// The format whose place it is and which is surest of the content.
fn surest(named: &[&'static dyn Format], path: &Path, bytes: &[u8]) -> Option<&'static dyn Format> {
    let mut lines = Vec::new();
    for line in bytes.split(|b| *b == b'\n').take(20) {
        lines.extend(serde_json::from_slice::<serde_json::Value>(line).ok());
    }
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let head = Head {
        bytes: &bytes[..bytes.len().min(64 << 10)],
        whole: bytes.len() < 64 << 10,
        lines: &lines,
        name: &name,
    };
    named
        .iter()
        .copied()
        .map(|f| (f.sniff(&head), f))
        .filter(|(sure, _)| *sure > 0)
        .max_by_key(|(sure, _)| *sure)
        .map(|(_, f)| f)
}

/// The `run` that a recording belongs to, as far as that can be told from outside.
fn home(
    runs: &[&Run],
    path: &Path,
    names: &[&str],
    processes: &dyn Fn(SessionId) -> Vec<u32>,
) -> Home {
    let of = |run: &Run| Home {
        session: Some(run.session.id),
        cgroup: run.session.cgroup.clone(),
        command: run.session.command.clone(),
    };
    if let [one] = runs {
        return of(one);
    }
    if let Some(run) = runs
        .iter()
        .find(|r| holds_open(&processes(r.session.id), path))
    {
        return of(run);
    }
    let mut called = runs.iter().filter(|r| {
        let words = format!("{} {}", r.session.agent, r.session.command).to_lowercase();
        names.iter().any(|n| {
            let first = n.split(['-', '_', ' ']).next().unwrap_or_default();
            first.len() >= 2 && words.contains(&first.to_lowercase())
        })
    });
    match (called.next(), called.next()) {
        (Some(run), None) => of(run),
        _ => Home::default(),
    }
}

/// Whether one of the processes has the file open.
fn holds_open(processes: &[u32], path: &Path) -> bool {
    processes.iter().take(256).any(|pid| {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .take(1024)
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == path))
    })
}

impl Core {
    /// A step of that session was heard for the first time: the session has a row, and runs.
    pub(super) fn session_heard(
        &self,
        id: SessionId,
        heard: &Heard,
        first: &Step,
    ) -> Result<(), Failure> {
        let runs = self.timeline.running().iter().any(|r| r.session == id);
        let known = self.store.session(id)?;
        if runs || known.as_ref().is_some_and(|s| s.end.is_none()) {
            return Ok(());
        }
        let mut session = known.unwrap_or_else(|| Session {
            id,
            native: heard.native_of(id),
            agent: heard.agent(),
            command: String::new(),
            cgroup: String::new(),
            start: first.time,
            end: None,
            exit_code: None,
            imported: false,
            branch: None,
        });
        session.end = None;
        self.store.put_session(&session)?;
        if heard.home.session.is_some() {
            self.session_home(id, &heard.home)
        } else {
            for (_, ties) in self.timeline.all_ties() {
                ties.homeless(id);
            }
            Ok(())
        }
    }

    /// It is known in which `run` a session goes on.
    pub(super) fn session_home(&self, id: SessionId, home: &Home) -> Result<(), Failure> {
        let Some(mut session) = self.store.session(id)? else {
            return Ok(());
        };
        home.cgroup.clone_into(&mut session.cgroup);
        home.command.clone_into(&mut session.command);
        session.branch = home.session.and_then(|run| self.timeline.place_of(run));
        self.store.put_session(&session)?;
        for (branch, ties) in self.timeline.all_ties() {
            if branch == session.branch {
                ties.settle(id, &home.cgroup);
            } else {
                ties.disown(id);
            }
        }
        self.timeline.begin(Running {
            session: id,
            agent: session.agent,
            cgroup: session.cgroup,
            host: home.session,
        });
        Ok(())
    }

    /// A call of that id that was told of a session in the same `run`, by `emit` or by a transcript.
    pub(super) fn call_in_family(
        &self,
        host: Option<SessionId>,
        native: &str,
    ) -> Result<Option<Step>, Failure> {
        let Some(host) = host else { return Ok(None) };
        for running in self.timeline.running() {
            if running.session == host || running.host == Some(host) {
                let found = self.store.step(StepId::of(running.session, native))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Ties commits anew where more is known now.
    pub(super) fn tie_better(&self) -> Result<(), Failure> {
        let all = self.timeline.all_ties();
        for better in all.iter().flat_map(|(_, ties)| ties.better()) {
            let link: &Link = &better.link;
            self.store.put_link(link)?;
            if let Some(step) = self.store.step(link.step)? {
                self.tell_row(&step);
            }
            if better.from == link.step {
                continue;
            }
            if let Some(old) = self.store.step(better.from)? {
                let bare = self.store.links_of_step(old.id)?.is_empty();
                if bare && old.kind == StepKind::Fs {
                    self.tell(Notice::Gone {
                        step: old.id,
                        ordinal: old.ordinal,
                    });
                } else {
                    self.tell_row(&old);
                }
            }
        }
        Ok(())
    }

    /// Whether what was changed since the last checkpoint by agents whose transcripts are followed is explained by the
    /// calls that these tell (with `ended`: by those that have ended), in the workspace or in the fork `place`. `None` while
    /// nothing is followed there.
    fn explained(&self, place: Option<&str>, ties: &Ties, ended: bool) -> Option<bool> {
        let mut running = self.timeline.running();
        running.retain(|r| self.timeline.place_of(r.session).as_deref() == place);
        let told: Vec<&Running> = running.iter().filter(|r| r.host.is_some()).collect();
        if told.is_empty() {
            return None;
        }
        Some(ties.explain_all(ended, &|cgroup| {
            told.iter()
                .any(|r| r.cgroup.is_empty() || crate::trace::calls::within(cgroup, &r.cgroup))
        }))
    }

    /// Whether all calls that made what was changed since the last checkpoint have ended.
    pub(super) fn work_is_over(&self, place: Option<&str>, ties: &Ties, last: Instant) -> bool {
        last.elapsed() >= STILL && self.explained(place, ties, true) == Some(true)
    }

    /// Whether changes, the last of which came at `last`, should wait for a transcript that lags behind.
    pub(super) fn may_wait(
        &self,
        place: Option<&str>,
        ties: &Ties,
        last: Instant,
        longest: Duration,
    ) -> bool {
        last.elapsed() < longest && self.explained(place, ties, false) == Some(false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::Time;

    fn run(name: &str, command: &str) -> Run {
        Run {
            session: Session {
                id: SessionId::of(name),
                native: name.into(),
                agent: command.split(' ').next().unwrap().into(),
                command: command.into(),
                cgroup: String::new(),
                start: Time(0),
                end: None,
                exit_code: None,
                imported: false,
                branch: None,
            },
            places: Vec::new(),
        }
    }

    #[test]
    fn a_recording_belongs_to_the_run_of_its_agent() {
        let (a, b) = (run("a", "claude -p x"), run("b", "codex exec"));
        let c = run("c", "claude");
        let path = Path::new("/nowhere/x.jsonl");
        let of = |runs: &[&Run], name: &str| home(runs, path, &[name], &|_| Vec::new()).session;
        assert_eq!(of(&[&a], "other"), Some(a.session.id));
        assert_eq!(of(&[&a, &b], "claude-code"), Some(a.session.id));
        assert_eq!(of(&[&a, &b], "codex_cli"), Some(b.session.id));
        assert_eq!(of(&[&a, &c], "claude"), None);
        assert_eq!(of(&[&a, &b], "gemini"), None);
    }
}
