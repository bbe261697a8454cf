//! The live view: following, the agent's terminal from a real socket, attaching, several agents, stopping one, and the
//! question before a rollback.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::net::UnixListener;
use tokio::sync::broadcast;

use crate::engine::api::{
    ApiError, ErrorCode, LiveSession, Notice, Request, TerminalAnswer, TerminalInfo, TerminalQuery,
};
use crate::engine::terminal::client::{About, FromHost, ToHost};
use crate::model::{CallKind, Session, SessionId, StepKind, Time};
use crate::ui::app::{Overlay, View};
use crate::ui::msg::{Msg, Timer};
use crate::ui::theme::{ASCII, PLAIN};

use super::flows::asked;
use super::script::{NOON, World};
use super::stage::{Stage, assert_screen};
use super::story::{live, story};

/// What the scripted world says of terminals.
#[derive(Default)]
pub(super) struct Terminals {
    pub info: Option<TerminalInfo>,
    pub cast: Vec<u8>,
    /// Agents that run beside the first one.
    pub more: Vec<LiveSession>,
}

impl Terminals {
    pub(super) fn answer(&self, query: TerminalQuery) -> Result<TerminalAnswer, ApiError> {
        Ok(match query {
            TerminalQuery::Of { .. } => TerminalAnswer::Info(self.info.clone().map(Box::new)),
            TerminalQuery::Read { offset, len, .. } => {
                let from = usize::try_from(offset).unwrap().min(self.cast.len());
                let to = from + usize::try_from(len).unwrap().min(self.cast.len() - from);
                TerminalAnswer::Part(self.cast[from..to].to_vec().into())
            }
            TerminalQuery::Stop { .. } => {
                TerminalAnswer::Done("it ended when it was asked to".into())
            }
            #[allow(unreachable_patterns, reason = "it grows")]
            _ => return Err(ApiError::new(ErrorCode::Unsupported, "no such question")),
        })
    }
}

/// A recording of a terminal, in which a line is printed at each of these seconds after noon.
pub(super) fn cast(lines: &[(f64, &str)]) -> Vec<u8> {
    let mut text = format!(
        "{{\"version\":2,\"width\":44,\"height\":12,\"backtrail\":{{\"start_us\":{NOON}}}}}\n"
    );
    for (at, line) in lines {
        text.push_str(&serde_json::json!([at, "o", line]).to_string());
        text.push('\n');
    }
    text.into_bytes()
}

pub(super) fn info(socket: Option<&PathBuf>, recorded: u64) -> TerminalInfo {
    TerminalInfo {
        session: SessionId::of("s1"),
        pid: socket.map(|_| 4121),
        socket: socket.map(|s| s.to_str().unwrap().to_owned()),
        start: Some(Time(NOON)),
        recorded,
    }
}

/// A terminal on a socket of its own.
pub(super) struct Host {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    print: broadcast::Sender<FromHost>,
    heard: Arc<Mutex<Vec<ToHost>>>,
}

impl Host {
    pub(super) fn start(screen: &str, size: (u16, u16)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("t.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (print, _) = broadcast::channel::<FromHost>(64);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (out, ears) = (print.clone(), Arc::clone(&heard));
        let screen = screen.as_bytes().to_vec();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                let (mut told, ears) = (out.subscribe(), Arc::clone(&ears));
                let screen = screen.clone();
                tokio::spawn(async move {
                    while let Ok(Some(message)) = ToHost::read(&mut from).await {
                        ears.lock().unwrap().push(message);
                    }
                });
                tokio::spawn(async move {
                    let about = About {
                        session: SessionId::of("s1"),
                        agent: "claude".to_owned(),
                        command: "claude".to_owned(),
                        pid: 4121,
                        start: Time(NOON),
                        outer: true,
                    };
                    let _ = FromHost::Hello(about).write(&mut to).await;
                    let _ = FromHost::Size(size.0, size.1).write(&mut to).await;
                    let _ = FromHost::Screen(screen).write(&mut to).await;
                    while let Ok(message) = told.recv().await {
                        let end = matches!(message, FromHost::End(_));
                        if message.write(&mut to).await.is_err() || end {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            _dir: dir,
            socket,
            print,
            heard,
        }
    }

    /// What a world says that has this terminal, and another agent without one.
    pub(super) fn terminals(&self) -> Terminals {
        Terminals {
            info: Some(info(Some(&self.socket), 100)),
            cast: cast(&[(1.0, "$ cargo test\r\n")]),
            more: vec![codex()],
        }
    }

    fn typed(&self) -> Vec<u8> {
        let heard = self.heard.lock().unwrap();
        let bytes = heard.iter().filter_map(|m| match m {
            ToHost::Input(bytes) => Some(bytes.clone()),
            _ => None,
        });
        bytes.flatten().collect()
    }
}

const SCREEN: &str = "\x1b[1m* Update(src/http/mod.rs)\x1b[0m\r\n  > Updated 4 lines\r\n* Bash(cargo test http)\r\n  Compiling demo v0.1.0\r\n  running 31 tests\r\n  test http::retry ... \x1b[32mok\x1b[0m\r\n  test http::timeout ... \x1b[31mFAILED\x1b[0m\r\n\r\n\x1b[2m~ Thinking... (14s)\x1b[0m\r\n> ";

async fn watched(width: u16, height: u16) -> (Stage, Host) {
    let host = Host::start(SCREEN, (44, 12));
    let mut world = live();
    world.terminal.info = Some(info(Some(&host.socket), 100));
    world.terminal.cast = cast(&[(1.0, "$ cargo test\r\n")]);
    let mut stage = Stage::open(world, width, height).await;
    stage.app.live.now = Time(NOON + 761_000_000);
    stage.keys("5").await;
    stage.pause().await;
    (stage, host)
}

#[tokio::test]
async fn the_agent_at_work() {
    for (width, height, name) in [(100, 30, ""), (200, 50, "_200x50")] {
        let (mut stage, _host) = watched(width, height).await;
        stage.until(|s| s.contains("test http::timeout")).await;
        assert_screen(&format!("live_view{name}"), &stage.screen());
    }
    let (mut stage, _host) = watched(60, 11).await;
    stage.until(|s| s.contains("Events")).await;
    assert_screen("live_view_60x11", &stage.screen());
    stage.keys("<tab>").await;
    stage.until(|s| s.contains("Thinking")).await;
    assert_screen("live_terminal_60x11", &stage.screen());
    // Too small for words, not for the program.
    stage.resize(20, 5).await;
    stage.screen();
}

#[tokio::test]
async fn colours_of_the_terminal_are_the_agents() {
    let (mut stage, _host) = watched(100, 30).await;
    stage.until(|s| s.contains("FAILED")).await;
    let styled = stage.styled();
    assert!(styled.contains("      red: FAILED"), "{styled}");
    assert!(styled.contains("      green: ok"), "{styled}");
    stage = stage.theme(
        crate::ui::theme::Depth::None,
        crate::ui::theme::Backdrop::Unknown,
    );
    let styled = stage.styled();
    assert!(!styled.contains("      red: FAILED"), "{styled}");
    for glyphs in [ASCII, PLAIN] {
        stage = stage.glyphs(glyphs);
        let screen = stage.screen();
        assert!(screen.is_ascii(), "{screen}");
    }
}

#[tokio::test]
async fn following_stops_when_somebody_moves_and_g_resumes_it() {
    let (mut stage, _host) = watched(100, 30).await;
    stage.until(|s| s.contains("Thinking")).await;
    assert!(
        stage.screen().contains("LIVE ● 00:12:41"),
        "{}",
        stage.screen()
    );
    stage.keys("kkk").await;
    let at = stage.focus();
    let screen = stage.screen();
    assert!(
        screen.contains(&format!("LIVE ● (viewing {at}, +")),
        "{screen}"
    );
    // The terminal is as it was then.
    stage
        .until(|s| s.contains("as of") && s.contains("$ cargo test"))
        .await;
    assert!(!stage.screen().contains("Thinking"));
    stage.script.with(|w| {
        w.think("and one more");
    });
    stage.settle().await;
    assert_eq!(stage.focus(), at);
    stage.keys("G").await;
    stage
        .until(|s| s.contains("and one more") && s.contains("Thinking"))
        .await;
    let last = stage.script.with(|w| w.rows.last().unwrap().ordinal.major);
    assert_eq!(stage.focus(), last);
}

#[tokio::test]
async fn attached_keys_go_to_the_agent_until_the_one_that_detaches() {
    let (mut stage, host) = watched(100, 30).await;
    stage.until(|s| s.contains("Enter attach")).await;
    stage.keys("<enter>").await;
    stage.until(|s| s.contains("attached to claude")).await;
    let focus = stage.focus();
    stage.keys("jq:5<esc><c-c><up>yes<enter>").await;
    stage.take(Msg::Paste("two\nlines".to_owned()));
    assert_screen("live_attached", &stage.screen());
    stage.keys("<c-]>").await;
    assert_eq!(stage.focus(), focus);
    assert!(!stage.quit);
    stage.keys("k").await;
    assert_ne!(stage.focus(), focus);
    stage
        .until(|_| host.typed() == b"jq:5\x1b\x03\x1b[Ayes\rtwo\rlines")
        .await;
    // It was attached with the size of the pane.
    let heard = host.heard.lock().unwrap();
    let hello = heard.iter().find_map(|m| match m {
        ToHost::Hello { attach: true, size } => Some(*size),
        _ => None,
    });
    assert!(
        hello.is_some_and(|(cols, rows)| cols > 40 && rows > 10),
        "{heard:?}"
    );
}

#[tokio::test]
async fn what_the_agent_prints_never_reaches_the_screen_raw() {
    let (mut stage, host) = watched(100, 30).await;
    stage.until(|s| s.contains("Thinking")).await;
    let evil = "\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1b[?1049h\x1b[2J\x1b[H\u{202e}dlrow\u{200b} \u{9b}31m\x1b[6n done";
    host.print
        .send(FromHost::Output(evil.as_bytes().to_vec()))
        .unwrap();
    for _ in 0..50 {
        let flood = vec![b'y'; 300_000];
        let _ = host.print.send(FromHost::Output(flood));
        tokio::task::yield_now().await;
    }
    host.print
        .send(FromHost::Output(b"\x1b[2J\x1b[Hthe end".to_vec()))
        .unwrap();
    stage.until(|s| s.contains("the end")).await;
    let screen = stage.screen();
    for bad in ['\x1b', '\x07', '\u{202e}', '\u{200b}', '\u{9b}'] {
        assert!(!screen.contains(bad), "{bad:?} in {screen}");
    }
    host.print.send(FromHost::End(3)).unwrap();
    stage.until(|s| s.contains("ended with exit code 3")).await;
    // What it showed last stays.
    assert!(stage.screen().contains("the end"));
}

#[tokio::test]
async fn the_terminal_is_zoomed_scrolled_and_left() {
    let (mut stage, _host) = watched(80, 12).await;
    stage.until(|s| s.contains("Thinking")).await;
    stage.keys("z").await;
    let screen = stage.screen();
    assert!(!screen.contains("Events"), "{screen}");
    assert!(!screen.contains("Update("), "{screen}");
    stage.keys("kkkkk").await;
    assert!(stage.screen().contains("Update("), "{}", stage.screen());
    assert!(
        stage.app.follow,
        "scrolling the terminal is no movement in time"
    );
    stage.keys("<esc>").await;
    assert!(stage.screen().contains("Events"));
    // From the diff one comes back to where one was.
    stage.keys("[cd").await;
    assert!(matches!(stage.app.view, Some(View::Diff(_))));
    stage.keys("<esc>").await;
    assert!(matches!(stage.app.view, Some(View::Live(_))));
    stage.keys("q").await;
    assert!(stage.app.view.is_none() && !stage.quit);
}

#[tokio::test]
async fn without_a_terminal_the_view_says_why() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("5").await;
    stage.pause().await;
    let screen = stage.screen();
    assert!(screen.contains("This run had no terminal"), "{screen}");
    stage.keys("<enter>").await;
    let screen = stage.screen();
    assert!(
        screen.contains("only an agent that backtrail run started"),
        "{screen}"
    );
    assert!(!stage.screen().contains("Enter attach"));
}

#[tokio::test]
async fn lag_and_open_calls_are_told_in_figures() {
    let (mut stage, _host) = watched(100, 30).await;
    assert!(stage.screen().contains("lag - "), "{}", stage.screen());
    stage.take(Msg::Notice(Notice::Told {
        at: Time(NOON + 1_000_000),
    }));
    assert!(stage.app.live.drawn(Time(NOON + 1_040_000), 2));
    assert!(!stage.app.live.drawn(Time(NOON + 1_050_000), 0));
    let screen = stage.screen();
    assert!(screen.contains("lag 40 ms │ dropped 2"), "{screen}");
    let begun = stage.script.with(|w| w.rows.last().unwrap().time);
    stage.app.live.now = Time(begun.0 + 14_300_000);
    assert!(stage.screen().contains("▸ 14 s"), "{}", stage.screen());
    // One timer a second while an agent runs, and none for those who want nothing to move.
    let seconds = |stage: &Stage| {
        let is = |(_, t): &&(_, Timer)| matches!(t, Timer::Second(_));
        stage.waits.iter().filter(is).count()
    };
    let before = seconds(&stage);
    stage.keys("kkjG").await;
    assert_eq!(seconds(&stage), before);
    let (_, timer) = *stage
        .waits
        .iter()
        .rfind(|(_, t)| matches!(t, Timer::Second(_)))
        .unwrap();
    stage.take(Msg::Timer(timer));
    assert_eq!(seconds(&stage), before + 1);
    stage = stage.glyphs(PLAIN);
    let (_, timer) = *stage
        .waits
        .iter()
        .rfind(|(_, t)| matches!(t, Timer::Second(_)))
        .unwrap();
    stage.take(Msg::Timer(timer));
    assert_eq!(seconds(&stage), before + 1);
}

fn codex() -> LiveSession {
    let session = Session {
        id: SessionId::of("other"),
        native: "s2".to_owned(),
        agent: "codex".to_owned(),
        command: "codex".to_owned(),
        cgroup: String::new(),
        start: Time(NOON),
        end: None,
        exit_code: None,
        imported: false,
        branch: None,
    };
    LiveSession {
        session,
        frozen: false,
        contained: true,
        branch: None,
    }
}

fn two() -> World {
    let mut world = live();
    world.terminal.more.push(codex());
    world
}

#[tokio::test]
async fn several_agents_have_letters_and_one_is_meant() {
    let mut stage = Stage::open(two(), 100, 30).await;
    stage.keys("5").await;
    stage.pause().await;
    let screen = stage.screen();
    assert!(screen.contains("a claude  b codex"), "{screen}");
    assert_screen("live_two_agents", &stage.styled());
    let frozen = |stage: &Stage| {
        asked(stage).into_iter().find_map(|r| match r {
            Request::Freeze { session, frozen } => Some((session, frozen)),
            _ => None,
        })
    };
    let first = stage.script.with(|w| w.session);
    stage.keys(" ").await;
    assert_eq!(frozen(&stage), Some((Some(first), true)));
    assert!(
        stage.screen().contains("claude (a) is frozen"),
        "{}",
        stage.screen()
    );
    stage.keys("]s ").await;
    assert_eq!(frozen(&stage), Some((Some(SessionId::of("other")), true)));
    stage.keys("[s ").await;
    assert_eq!(frozen(&stage), Some((Some(first), false)));
    assert!(stage.screen().contains("claude (a) goes on"));
    // Elsewhere all are meant, and it says so.
    stage.keys("q ").await;
    assert_eq!(frozen(&stage), Some((None, true)));
    assert!(
        stage.screen().contains("all 2 agents are frozen"),
        "{}",
        stage.screen()
    );
}

#[tokio::test]
async fn an_agent_is_stopped_after_a_question_only() {
    let mut stage = Stage::open(two(), 100, 30).await;
    stage.keys("5").await;
    stage.pause().await;
    asked(&stage);
    stage.keys("X").await;
    assert_screen("live_stop_question", &stage.screen());
    // Neither the key that asked nor Enter means yes, and Esc means no.
    for no in ["X", "<enter>", " ", "<esc>"] {
        stage.keys(no).await;
        let stops = asked(&stage)
            .into_iter()
            .any(|r| matches!(r, Request::Terminal(TerminalQuery::Stop { .. })));
        assert!(!stops, "{no}");
    }
    assert!(stage.app.overlay.is_none());
    stage.keys("]sXy").await;
    let stopped = asked(&stage).into_iter().find_map(|r| match r {
        Request::Terminal(TerminalQuery::Stop { session, patience }) => Some((session, patience)),
        _ => None,
    });
    assert_eq!(stopped, Some((SessionId::of("other"), 5000)));
    assert!(
        stage
            .screen()
            .contains("codex (b) was stopped: it ended when it was asked to")
    );
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("X").await;
    assert!(stage.screen().contains("no agent is running"));
}

#[tokio::test]
async fn the_question_before_a_rollback_and_what_is_said_afterwards() {
    let mut world = live();
    world.put("notes.md", "the person's own\n");
    world.step(
        StepKind::Outside,
        CallKind::Other,
        "",
        "notes.md",
        "",
        None,
        None,
        0.1,
    );
    let mut stage = Stage::open(world, 100, 30).await;
    let saved = stage.script.with(|w| w.rows.last().unwrap().ordinal.major);
    stage.keys("9Gr").await;
    assert_screen("rollback_asked", &stage.screen());
    let screen = stage.screen();
    assert!(screen.contains("Your own edits since 9 ("), "{screen}");
    assert!(screen.contains(&saved.to_string()), "{screen}");
    // A fork instead.
    asked(&stage);
    stage.keys("t").await;
    assert!(stage.app.overlay.is_none());
    let sent = asked(&stage);
    assert!(
        sent.iter()
            .any(|r| matches!(r, Request::Fork { name: None, .. })),
        "{sent:?}"
    );
    assert!(!sent.iter().any(|r| matches!(r, Request::Rollback { .. })));
    stage.app.busy = None;
    stage.keys("r").await;
    assert!(matches!(stage.app.overlay, Some(Overlay::Rollback { .. })));
    stage.keys("y").await;
    let screen = stage.screen();
    assert!(
        screen.contains("Rolled back") && screen.contains("to 9 (was "),
        "{screen}"
    );
    assert!(
        screen.contains("u undo") && screen.contains("d show diff"),
        "{screen}"
    );
    assert_screen("rollback_said", &stage.screen());
}
