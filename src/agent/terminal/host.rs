//! Keeps, records and serves one terminal, on tasks beside the thread that carries its bytes.
//!
//! That thread hands over what was printed and goes on. Watchers read from a ring of the last pieces: whoever is so slow
//! that the ring has gone round gets the whole screen and goes on from there. What watchers type comes back to the thread
//! as datagrams, so that its loop of polled descriptors takes them like everything else.
//!
//! Whose size counts: that of `run`'s own terminal, since a person may sit before it. Where `run` has none, that of the
//! one who is attached, as long as it is the only one: two of different size would take the screen from each other.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use super::cast::Cast;
use super::wire::{self, FromHost, ToHost};
use super::{About, Emulator, Spot};
use crate::model::Time;

/// Pieces of output that wait to be taken; beyond them the agent waits, as it would for a slow terminal.
const QUEUE: usize = 64;
/// Pieces that a watcher may be behind.
const RING: usize = 256;
/// How long a connection may take to say what it is.
const GREETING: Duration = Duration::from_secs(5);
/// How long the end waits for watchers to hear of it.
const FAREWELL: Duration = Duration::from_millis(300);
/// Most bytes of one command to the thread that carries.
const PIECE: usize = 4096;
/// Watchers at a time.
const WATCHERS: usize = 64;

/// What a host needs to begin.
pub struct Start {
    /// Where its tasks run.
    pub runtime: Handle,
    /// Its socket and its recording.
    pub spot: Spot,
    /// What it says of itself.
    pub about: About,
    /// Columns and rows now.
    pub size: (u16, u16),
}

/// What the carrying thread tells.
enum Event {
    Output(Arc<[u8]>),
    Size(u16, u16),
    /// `run` has no terminal of its own any more.
    Alone,
    End(i32),
}

/// What watchers are told.
#[derive(Clone)]
enum Told {
    Output(Arc<[u8]>),
    Size(u16, u16),
    End(i32),
}

struct Shared {
    about: About,
    screen: Mutex<Emulator>,
    told: broadcast::Sender<Told>,
    /// To the thread that carries.
    commands: UnixDatagram,
    outer: AtomicBool,
    attached: AtomicUsize,
    watchers: AtomicUsize,
}

impl Shared {
    fn screen(&self) -> MutexGuard<'_, Emulator> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole screen, and what follows it without a gap.
    fn joined(&self) -> (broadcast::Receiver<Told>, (u16, u16), Vec<u8>) {
        let screen = self.screen();
        // While the screen is held nothing is told.
        (self.told.subscribe(), screen.size(), screen.formatted())
    }
}

/// The carrying thread's end of a host.
pub struct Host {
    events: mpsc::Sender<Event>,
    commands: StdDatagram,
    task: JoinHandle<()>,
    runtime: Handle,
}

/// What watchers ask of the thread that carries.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Bytes for the agent.
    Input(Vec<u8>),
    /// Another size.
    Resize(u16, u16),
}

impl Host {
    /// Listens and begins to record.
    pub fn start(start: Start) -> io::Result<Self> {
        let Start {
            runtime,
            spot,
            about,
            size,
        } = start;
        let inside = runtime.enter();
        let socket = PathBuf::from(&spot.socket);
        let listener = listen(&socket)?;
        let (ours, theirs) = StdDatagram::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let cast = Cast::create(Path::new(&spot.cast), &about, size, spot.most);
        let (told, _) = broadcast::channel(RING);
        let shared = Arc::new(Shared {
            outer: AtomicBool::new(about.outer),
            about,
            screen: Mutex::new(Emulator::new(size.0, size.1)),
            told,
            commands: UnixDatagram::from_std(theirs)?,
            attached: AtomicUsize::new(0),
            watchers: AtomicUsize::new(0),
        });
        let (events, queue) = mpsc::channel(QUEUE);
        // Without a recording the terminal can still be watched.
        let task = tokio::spawn(serve(shared, listener, socket, queue, cast.ok()));
        drop(inside);
        Ok(Self {
            events,
            commands: ours,
            task,
            runtime,
        })
    }

    /// Something was printed.
    pub fn output(&self, bytes: &[u8]) {
        let _ = self.events.blocking_send(Event::Output(bytes.into()));
    }

    /// The terminal has another size.
    pub fn size(&self, cols: u16, rows: u16) {
        let _ = self.events.blocking_send(Event::Size(cols, rows));
    }

    /// There is no terminal outside any more: who is attached may say the size.
    pub fn alone(&self) {
        let _ = self.events.blocking_send(Event::Alone);
    }

    /// What to wait on for commands.
    pub fn descriptor(&self) -> &StdDatagram {
        &self.commands
    }

    /// The next command; `None` when there is none now.
    pub fn command(&self) -> Option<Command> {
        let mut buffer = [0; PIECE + 1];
        let n = self.commands.recv(&mut buffer).ok()?;
        match buffer.get(..n)?.split_first()? {
            (b'i', bytes) => Some(Command::Input(bytes.to_vec())),
            (b'r', &[a, b, c, d]) => Some(Command::Resize(
                u16::from_le_bytes([a, b]),
                u16::from_le_bytes([c, d]),
            )),
            _ => None,
        }
    }

    /// The agent ended. Waits until its last output is recorded, and a moment for watchers to hear of it.
    pub fn end(self, code: i32) {
        let _ = self.events.blocking_send(Event::End(code));
        drop(self.events);
        let task = self.task;
        let _ = self
            .runtime
            .block_on(async { tokio::time::timeout(FAREWELL * 4, task).await });
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(
    shared: Arc<Shared>,
    listener: UnixListener,
    socket: PathBuf,
    mut queue: mpsc::Receiver<Event>,
    mut cast: Option<Cast>,
) {
    loop {
        tokio::select! {
            event = queue.recv() => match event {
                Some(event) => {
                    if take(&shared, event, cast.as_mut()) {
                        break;
                    }
                }
                None => break,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if allowed(&stream) && shared.watchers.load(Ordering::Acquire) < WATCHERS {
                        tokio::spawn(watched(Arc::clone(&shared), stream));
                    }
                }
                // No descriptor is left, say: not to be tried again without end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    drop(listener);
    let _ = std::fs::remove_file(&socket);
    let patience = tokio::time::Instant::now() + FAREWELL;
    while shared.watchers.load(Ordering::Acquire) > 0 && tokio::time::Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Only this user, and root.
fn allowed(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|cred| cred.uid() == ours || cred.uid() == 0)
}

/// Takes what happened. `true` at the end.
fn take(shared: &Shared, event: Event, cast: Option<&mut Cast>) -> bool {
    let now = Time::now();
    match event {
        Event::Output(bytes) => {
            {
                let mut screen = shared.screen();
                screen.print(&bytes);
                let _ = shared.told.send(Told::Output(Arc::clone(&bytes)));
            }
            if let Some(cast) = cast {
                cast.output(now, &bytes);
            }
        }
        Event::Size(cols, rows) => {
            {
                let mut screen = shared.screen();
                screen.resize(cols, rows);
                let (cols, rows) = screen.size();
                let _ = shared.told.send(Told::Size(cols, rows));
            }
            if let Some(cast) = cast {
                cast.resize(now, cols, rows);
            }
        }
        Event::Alone => shared.outer.store(false, Ordering::Release),
        Event::End(code) => {
            let _ = shared.told.send(Told::End(code));
            if let Some(cast) = cast {
                cast.exit(now, code);
            }
            return true;
        }
    }
    false
}

/// Counts for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves one who watches, until it leaves or the agent ends.
async fn watched(shared: Arc<Shared>, stream: UnixStream) {
    let _counted = Counted::new(&shared.watchers);
    let (mut from, mut to) = stream.into_split();
    let hello = tokio::time::timeout(GREETING, ToHost::read(&mut from)).await;
    let Ok(Ok(Some(ToHost::Hello { attach, size }))) = hello else {
        return;
    };
    let _attached = attach.then(|| Counted::new(&shared.attached));
    let mut about = shared.about.clone();
    about.outer = shared.outer.load(Ordering::Acquire);
    if FromHost::Hello(about).write(&mut to).await.is_err() {
        return;
    }
    if attach {
        resize(&shared, size).await;
    }
    // Each direction by itself: who does not read may still type, and the other way round.
    tokio::select! {
        _ = show(&shared, &mut to) => {}
        () = hear(&shared, &mut from, attach) => {}
    }
}

async fn show(shared: &Shared, to: &mut (impl tokio::io::AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        let (mut told, size, screen) = shared.joined();
        FromHost::Size(size.0, size.1).write(to).await?;
        FromHost::Screen(screen).write(to).await?;
        loop {
            match told.recv().await {
                Ok(Told::Output(bytes)) => wire::put_output(to, &bytes).await?,
                Ok(Told::Size(cols, rows)) => FromHost::Size(cols, rows).write(to).await?,
                Ok(Told::End(code)) => return FromHost::End(code).write(to).await,
                Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
    }
}

async fn hear(shared: &Shared, from: &mut (impl tokio::io::AsyncRead + Unpin), attach: bool) {
    // Who only watches has nothing to say; its end is still heard.
    while let Ok(Some(message)) = ToHost::read(from).await {
        match message {
            ToHost::Input(bytes) if attach => {
                for piece in bytes.chunks(PIECE) {
                    if shared.commands.send(&[b"i", piece].concat()).await.is_err() {
                        return;
                    }
                }
            }
            ToHost::Resize(cols, rows) if attach => resize(shared, (cols, rows)).await,
            ToHost::Input(_) | ToHost::Resize(..) | ToHost::Hello { .. } => {}
        }
    }
}

async fn resize(shared: &Shared, (cols, rows): (u16, u16)) {
    let only = shared.attached.load(Ordering::Acquire) == 1;
    if shared.outer.load(Ordering::Acquire) || !only || cols < 2 || rows < 1 {
        return;
    }
    let [a, b] = cols.to_le_bytes();
    let [c, d] = rows.to_le_bytes();
    let _ = shared.commands.send(&[b'r', a, b, c, d]).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::model::SessionId;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Stand {
        _dir: tempfile::TempDir,
        socket: PathBuf,
        cast: PathBuf,
        runtime: tokio::runtime::Runtime,
    }

    fn stand(outer: bool) -> (Stand, Host) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("t/one.sock");
        let cast = dir.path().join("one.cast");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let host = Host::start(Start {
            runtime: runtime.handle().clone(),
            spot: Spot {
                socket: socket.to_str().unwrap().to_owned(),
                cast: cast.to_str().unwrap().to_owned(),
                most: 1 << 20,
            },
            about: About {
                session: SessionId::of("x"),
                agent: "sh".to_owned(),
                command: "sh".to_owned(),
                pid: 1,
                start: Time::now(),
                outer,
            },
            size: (20, 4),
        })
        .unwrap();
        let stand = Stand {
            _dir: dir,
            socket,
            cast,
            runtime,
        };
        (stand, host)
    }

    struct Watcher {
        stream: UnixStream,
        screen: Emulator,
    }

    impl Stand {
        fn join(&self, attach: bool, size: (u16, u16)) -> Watcher {
            self.runtime.block_on(async {
                let mut stream = UnixStream::connect(&self.socket).await.unwrap();
                ToHost::Hello { attach, size }
                    .write(&mut stream)
                    .await
                    .unwrap();
                Watcher {
                    stream,
                    screen: Emulator::new(1, 1),
                }
            })
        }

        /// Reads until the watcher's screen is so.
        fn until(&self, watcher: &mut Watcher, is: impl Fn(&Emulator) -> bool) {
            let reading = async {
                while !is(&watcher.screen) {
                    match FromHost::read(&mut watcher.stream).await.unwrap() {
                        Some(FromHost::Size(cols, rows)) => watcher.screen.resize(cols, rows),
                        Some(FromHost::Screen(bytes)) => {
                            let (cols, rows) = watcher.screen.size();
                            watcher.screen = Emulator::new(cols, rows);
                            watcher.screen.print(&bytes);
                        }
                        Some(FromHost::Output(bytes)) => watcher.screen.print(&bytes),
                        Some(FromHost::Hello(_)) => {}
                        other => panic!("{other:?}: {}", watcher.screen.screen().contents()),
                    }
                }
            };
            self.runtime
                .block_on(async { tokio::time::timeout(PATIENCE, reading).await })
                .unwrap();
        }
    }

    fn commanded(host: &Host) -> Command {
        let start = std::time::Instant::now();
        loop {
            if let Some(command) = host.command() {
                return command;
            }
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn watchers_see_the_screen_and_what_follows() {
        let (stand, host) = stand(true);
        host.output(b"one \x1b[1mtwo");
        let mut early = stand.join(false, (80, 24));
        stand.until(&mut early, |s| s.screen().contents() == "one two");
        host.output(b"\r\nthree");
        stand.until(&mut early, |s| s.screen().contents() == "one two\nthree");
        let mut late = stand.join(false, (80, 24));
        stand.until(&mut late, |s| s.screen().contents() == "one two\nthree");
        host.size(30, 5);
        stand.until(&mut late, |s| s.size() == (30, 5));
        host.end(4);
        assert!(!stand.socket.exists());
        let text = std::fs::read_to_string(&stand.cast).unwrap();
        assert!(text.ends_with("\"x\",\"4\"]\n"), "{text}");
        assert!(text.contains("\"r\",\"30x5\""), "{text}");
    }

    #[test]
    fn who_does_not_read_holds_nobody_up() {
        let (stand, host) = stand(true);
        let mut idle = stand.join(true, (80, 24));
        let mut awake = stand.join(false, (80, 24));
        stand.until(&mut awake, |s| s.size() == (20, 4));
        let start = std::time::Instant::now();
        for n in 0..2000 {
            host.output(format!("\r\n{n} {}", "x".repeat(8000)).as_bytes());
        }
        host.output(b"\x1b[2J\x1b[Hthe end");
        // 16 MB, and nobody had to read them.
        assert!(start.elapsed() < PATIENCE);
        stand.until(&mut awake, |s| s.screen().contents() == "the end");
        stand.until(&mut idle, |s| s.screen().contents() == "the end");
        host.end(0);
    }

    #[test]
    fn only_who_is_attached_types_and_only_the_only_one_says_the_size() {
        let (stand, host) = stand(false);
        let mut watcher = stand.join(false, (33, 7));
        stand.until(&mut watcher, |s| s.size() == (20, 4));
        let mut one = stand.join(true, (50, 10));
        assert_eq!(commanded(&host), Command::Resize(50, 10));
        let say = |watcher: &mut Watcher, what: ToHost| {
            stand
                .runtime
                .block_on(what.write(&mut watcher.stream))
                .unwrap();
        };
        say(&mut watcher, ToHost::Input(b"no".to_vec()));
        say(&mut one, ToHost::Input(b"yes".to_vec()));
        assert_eq!(commanded(&host), Command::Input(b"yes".to_vec()));
        // A second one: now nobody's size counts.
        let mut two = stand.join(true, (60, 12));
        stand.until(&mut two, |s| s.size() == (20, 4));
        say(&mut two, ToHost::Resize(61, 12));
        say(&mut one, ToHost::Resize(51, 10));
        say(&mut two, ToHost::Input(b"2".to_vec()));
        assert_eq!(commanded(&host), Command::Input(b"2".to_vec()));
        drop(two);
        // The other one is the only one again, once its end has been heard.
        let start = std::time::Instant::now();
        loop {
            say(&mut one, ToHost::Resize(52, 10));
            std::thread::sleep(Duration::from_millis(2));
            if host.command() == Some(Command::Resize(52, 10)) {
                break;
            }
            assert!(start.elapsed() < PATIENCE);
        }
        host.end(0);
    }

    #[test]
    fn the_size_is_the_own_terminals_while_there_is_one() {
        let (stand, host) = stand(true);
        let mut one = stand.join(true, (50, 10));
        let say = |watcher: &mut Watcher, what: ToHost| {
            stand
                .runtime
                .block_on(what.write(&mut watcher.stream))
                .unwrap();
        };
        say(&mut one, ToHost::Resize(51, 10));
        say(&mut one, ToHost::Input(b"x".to_vec()));
        assert_eq!(commanded(&host), Command::Input(b"x".to_vec()));
        host.alone();
        let start = std::time::Instant::now();
        loop {
            say(&mut one, ToHost::Resize(52, 10));
            std::thread::sleep(Duration::from_millis(2));
            if host.command() == Some(Command::Resize(52, 10)) {
                break;
            }
            assert!(start.elapsed() < PATIENCE);
        }
        host.end(0);
    }

    #[test]
    fn who_says_nothing_or_nonsense_is_let_go() {
        let (stand, host) = stand(true);
        let mut odd = stand.runtime.block_on(async {
            use tokio::io::AsyncWriteExt;
            let mut stream = UnixStream::connect(&stand.socket).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            stream
        });
        let end = stand
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, FromHost::read(&mut odd)).await });
        assert!(!matches!(end.unwrap(), Ok(Some(_))));
        let mut watcher = stand.join(false, (80, 24));
        host.output(b"still here");
        stand.until(&mut watcher, |s| s.screen().contents() == "still here");
        host.end(0);
    }
}
