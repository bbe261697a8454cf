//! A machine with recordings of agents, as a list shows them; and what its keys do.

use crate::engine::api::{RecordingInfo, RecordingSummary};
use crate::model::{Time, Tokens};
use crate::ui::msg::Msg;
use crate::ui::tests::stage::assert_screen;

use super::script::{NOON, World};
use super::stage::Stage;

const SECOND: i64 = 1_000_000;

/// A recording that ended so many seconds before noon.
fn recording(n: i64, project: &str, agent: &str, model: &str, prompt: &str) -> RecordingInfo {
    let ago = (n * n * n * 97 + 20) * SECOND;
    let size = u64::try_from(n * 123_457 + 4_000).unwrap();
    let number = u64::try_from(n).unwrap();
    RecordingInfo {
        path: format!("/home/ada/.{agent}/projects/-home-ada-{project}/{n:08}.jsonl"),
        format: agent.to_owned(),
        modified: Time(NOON - ago),
        size,
        summary: Some(RecordingSummary {
            project: format!("/home/ada/{project}"),
            agent: agent.to_owned(),
            version: "2.1".to_owned(),
            model: model.to_owned(),
            branch: "main".to_owned(),
            start: Some(Time(NOON - ago - n * 611 * SECOND)),
            end: Some(Time(NOON - ago)),
            records: number * 40,
            steps: number * 31 + 2,
            turns: number,
            tokens: Tokens {
                input: number * 1_900,
                output: number * 4_321,
                cache_read: 9_000_000,
                cache_write: number * 20_000,
            },
            files: number % 7,
            last_prompt: prompt.to_owned(),
            title: String::new(),
            sessions: vec![format!("s{n}")],
        }),
    }
}

/// A machine with some.
pub(super) fn machine() -> World {
    let mut w = World::new("machine");
    let told = [
        (
            "token-service",
            "claude",
            "claude-opus-4-1-20250805",
            "Users are logged out right after refresh",
        ),
        (
            "backtrail",
            "codex",
            "gpt-5-codex",
            "Make the list of recordings quick with ten thousand of them",
        ),
        (
            "demo",
            "opencode",
            "anthropic/claude-sonnet-4-5",
            "review this change",
        ),
        (
            "日本語",
            "gemini",
            "gemini-2.5-pro",
            "全部のファイルを読んでください",
        ),
        (
            "evil\u{1b}[31m",
            "pi",
            "",
            "\u{1b}]0;owned\u{7} \u{202e}gnp",
        ),
    ];
    for n in 0..40i64 {
        let (project, agent, model, prompt) = told[usize::try_from(n).unwrap() % told.len()];
        w.recordings
            .push(recording(n, project, agent, model, prompt));
    }
    // One that cannot be looked into.
    w.recordings[6].summary = None;
    w
}

#[tokio::test]
async fn the_list_at_every_size() {
    let mut stage = Stage::list(machine(), 100, 30).await;
    assert_screen("list", &stage.screen());
    stage.resize(160, 40).await.keys("jjj").await;
    assert_screen("list_160x40", &stage.screen());
    stage.resize(60, 11).await;
    assert_screen("list_60x11", &stage.screen());
}

#[tokio::test]
async fn a_filter_finds_what_is_in_them() {
    let mut stage = Stage::list(machine(), 100, 30).await;
    stage.keys("/refresh").await;
    assert_screen("list_filter", &stage.screen());
    stage.keys(" nothing of the kind").await;
    assert_eq!(stage.opened, Vec::<String>::new());
    stage.keys("<enter><enter>").await;
    assert_eq!(
        stage.opened,
        Vec::<String>::new(),
        "there is nothing to open"
    );
    stage.keys("<esc>5G<enter>").await;
    assert_eq!(stage.opened.len(), 1);
    assert!(
        stage.opened[0].ends_with("00000004.jsonl"),
        "{:?}",
        stage.opened
    );
    stage.keys("<esc><esc>").await;
    assert!(!stage.quit, "Esc never quits");
    stage.keys("q").await;
    assert!(stage.quit);
}

#[tokio::test]
async fn only_what_is_seen_is_looked_into() {
    let mut w = machine();
    let base = w.recordings[1].clone();
    w.recordings = (0..3000i64)
        .map(|n| RecordingInfo {
            path: format!("/r/{n}"),
            ..base.clone()
        })
        .collect();
    let mut stage = Stage::list(w, 100, 30).await;
    let looked = |stage: &Stage| {
        stage.script.with(|w| {
            w.asked
                .iter()
                .filter(|r| matches!(r, crate::engine::api::Request::Recording { .. }))
                .count()
        })
    };
    assert!(stage.screen().contains("1/3,000"), "all are listed");
    let first = looked(&stage);
    assert!((10..40).contains(&first), "{first}");
    stage.keys("G").await;
    let all = looked(&stage);
    assert!((first + 10..first + 60).contains(&all), "{all}");
    let known = stage.screen().matches("10 min").count();
    assert_eq!(known, 21, "all that is seen is known:\n{}", stage.screen());
}

#[tokio::test]
async fn what_is_new_is_there_after_a_recording_was_left() {
    let mut stage = Stage::list(machine(), 100, 30).await;
    stage.keys("jj").await;
    let selected = |stage: &Stage| match &stage.app.view {
        Some(crate::ui::app::View::List(list)) => list.selected().map(|r| r.path.clone()),
        _ => None,
    };
    let before = selected(&stage);
    stage.script.with(|w| {
        let mut new = w.recordings[0].clone();
        new.path = "/home/ada/new.jsonl".to_owned();
        if let Some(summary) = &mut new.summary {
            summary.last_prompt = "the newest of all".to_owned();
        }
        // One has gone on: it comes first, and is looked into again.
        let mut grown = w.recordings.remove(3);
        grown.size += 1;
        if let Some(summary) = &mut grown.summary {
            summary.last_prompt = "and it went on".to_owned();
        }
        w.recordings.insert(0, grown);
        w.recordings.insert(0, new);
    });
    stage.take(Msg::Returned(Time(NOON + 3_600_000_000)));
    stage.settle().await;
    let screen = stage.screen();
    assert!(screen.contains("41 recordings"), "{screen}");
    let lines: Vec<&str> = screen.lines().skip(3).collect();
    assert!(lines[0].contains("the newest of all"), "{screen}");
    assert!(lines[1].contains("and it went on"), "{screen}");
    assert!(lines[0].contains("1 h"), "{screen}");
    assert_eq!(selected(&stage), before, "the selected one stays selected");
}

#[tokio::test]
async fn a_machine_without_recordings() {
    let mut stage = Stage::list(World::new("machine"), 100, 30).await;
    assert_screen("list_empty", &stage.screen());
    stage.keys("jG/x<enter><enter>?").await;
    assert!(stage.opened.is_empty());
}

#[tokio::test]
async fn back_to_the_list() {
    let mut stage = Stage::open(super::story::story(), 100, 30).await;
    stage.app.back = true;
    stage.keys("9Gd<esc><tab><esc>").await;
    assert!(!stage.back, "the timeline was not left yet");
    stage.keys("<esc>").await;
    assert!(stage.back && !stage.quit);
    stage.back = false;
    stage.keys("q").await;
    assert!(stage.back && !stage.quit);
}
