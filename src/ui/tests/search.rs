//! Searching and filtering as a person does it: keys in, screens and questions out.

use crate::engine::api::Request;
use crate::ui::action::Action;
use crate::ui::app::View;
use crate::ui::msg::Msg;
use crate::ui::theme::{ASCII, Depth};

use super::flows::{asked, open};
use super::script::World;
use super::stage::{Stage, assert_screen};
use super::story::{live, story};

/// The story, of which a search looks at so many steps at a time.
fn sliced(slice: usize) -> World {
    let mut world = story();
    world.slice = slice;
    world
}

fn searches(stage: &Stage) -> Vec<(Option<u64>, Option<usize>)> {
    asked(stage)
        .into_iter()
        .filter_map(|r| match r {
            Request::Search(s) => Some((s.after.map(|a| a.major), s.only.map(|o| o.len()))),
            _ => None,
        })
        .collect()
}

fn shown(stage: &Stage) -> Vec<u64> {
    let app = &stage.app;
    (0..app.visible_len())
        .filter_map(|l| app.rows.get(app.row_of(l)?))
        .map(|r| r.ordinal.major)
        .collect()
}

#[tokio::test]
async fn every_text_of_a_step_is_found() {
    for (text, step) in [
        // Prompt, output, added line, removed line, path.
        ("logged out", 2),
        ("passed; 1 failed", 7),
        ("rotating tokens", 17),
        ("Seconds since the epoch, as in", 28),
        ("docs/latest", 31),
        ("~unresolved.*demo::auth", 23),
    ] {
        let stage = open(&format!("gg/{text}<enter>")).await;
        assert_eq!(stage.focus(), step, "{text}");
    }
}

#[tokio::test]
async fn the_nearest_hit_is_gone_to_while_it_is_typed() {
    let mut stage = open("9G/cargo test").await;
    assert_eq!(stage.focus(), 10, "the next one after 9");
    assert_screen("search_live", &stage.screen());
    stage.keys("<esc>").await;
    assert_eq!(stage.focus(), 9, "back to where the person was");
    assert_eq!(stage.app.search, None);
    stage.keys("/cargo test<enter>").await;
    for (keys, step) in [
        ("n", 18),
        ("n", 23),
        ("N", 18),
        ("2n", 30),
        ("n", 7),
        ("N", 30),
    ] {
        stage.keys(keys).await;
        assert_eq!(stage.focus(), step, "{keys}");
    }
    assert_screen("search_hits_styles", &stage.styled());
    // Another key puts the keys back into the footer; Esc ends the search.
    stage.keys("j").await;
    assert!(stage.screen().contains("s/S step"));
    stage.keys("<esc>").await;
    assert_eq!(stage.app.search, None);
    assert!(!stage.screen().contains('•'), "nothing is marked any more");
}

#[tokio::test]
async fn a_search_streams_and_can_be_stopped() {
    let mut stage = Stage::open(sliced(4), 100, 30).await;
    stage.keys("20G").await;
    asked(&stage);
    stage.keys("/token<enter>").await;
    // Each letter began anew; the last one went on.
    let sent = searches(&stage);
    let begins = sent
        .iter()
        .rposition(|(after, _)| *after == Some(19))
        .unwrap();
    let sent = &sent[begins..];
    // From here to the end, then from the beginning up to here.
    let last = sent.iter().position(|(after, _)| after.is_none()).unwrap();
    assert!(
        sent[..last].iter().all(|(after, _)| after.unwrap() >= 19),
        "{sent:?}"
    );
    assert!(
        sent[last + 1..]
            .iter()
            .all(|(after, _)| after.unwrap() < 20),
        "{sent:?}"
    );
    assert_eq!(stage.focus(), 21);
    let whole = stage.app.hunt.number(stage.app.focus.unwrap()).unwrap();
    // The same when all comes at once.
    let mut at_once = open("20G/token<enter>").await;
    assert_eq!(
        at_once.app.hunt.number(at_once.app.focus.unwrap()),
        Some(whole)
    );
    at_once.keys("n").await;
    // Half-way: Esc stops it, and nothing more is asked.
    let mut stage = Stage::open(sliced(3), 100, 30).await;
    stage.keys("gg").await;
    stage.press("/cargo<enter>");
    stage.until(|screen| screen.contains("2 hits")).await;
    assert!(stage.app.hunt.goes_on());
    assert_screen("search_streams", &stage.screen());
    stage.press("<esc>");
    stage.settle().await;
    asked(&stage);
    assert!(!stage.app.hunt.goes_on());
    stage.keys("j").await;
    assert_eq!(searches(&stage), []);
}

#[tokio::test]
async fn what_comes_is_searched_too() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("gg/zebra<enter>").await;
    assert!(stage.screen().contains("not found: zebra"));
    stage.script.with(|w| w.think("A zebra crossed the road."));
    stage.settle().await;
    stage.keys("n").await;
    assert_eq!(stage.focus(), 35);
    assert_eq!(
        stage.app.hunt.number(stage.app.focus.unwrap()),
        Some((1, 1))
    );
}

#[tokio::test]
async fn a_word_is_searched_for() {
    let mut stage = open("9G").await;
    let title = stage.app.focus_row().unwrap().title.clone();
    stage.keys("*").await;
    assert_eq!(title.rsplit('/').next(), stage.app.search.as_deref());
    assert!(stage.focus() > 9);
    // In the state of a file: the name in its line.
    let mut stage = open("9G3").await;
    stage.pause().await;
    assert!(matches!(stage.app.view, Some(View::State(_))));
    stage.keys("<enter>5j*").await;
    assert!(stage.app.search.is_some());
    let count = stage.app.hunt.count.unwrap();
    assert!(count.0 >= 1 && count.0 <= count.1, "{count:?}");
}

#[tokio::test]
async fn texts_that_are_shown_are_searched_with_a_count() {
    let mut stage = open("9Gd/exp<enter>").await;
    assert!(stage.app.hunt.count.is_some());
    assert_screen("search_diff", &stage.screen());
    let first = stage.app.hunt.count.unwrap();
    stage.keys("n").await;
    assert_ne!(stage.app.hunt.count.unwrap().0, first.0);
    stage.keys("<esc>").await;
    // On the timeline the same search goes through the steps.
    stage.keys("gg").await;
    asked(&stage);
    stage.keys("n").await;
    assert!(!searches(&stage).is_empty());
    assert!(stage.app.hunt.number(stage.app.focus.unwrap()).is_some());
}

#[tokio::test]
async fn what_was_typed_before_comes_back() {
    let mut stage = open("gg/first<enter>/second<enter>&kind:bash<enter>").await;
    stage.keys("/<up>").await;
    assert_eq!(stage.app.prompt.as_deref(), Some("second"));
    stage.keys("<up><up>").await;
    assert_eq!(stage.app.prompt.as_deref(), Some("first"));
    stage.keys("<down><down>").await;
    assert_eq!(stage.app.prompt.as_deref(), Some(""));
    stage.keys("dra<up><down>").await;
    assert_eq!(stage.app.prompt.as_deref(), Some("dra"));
    stage.keys("<esc>&<up>").await;
    assert_eq!(stage.app.prompt.as_deref(), Some("kind:bash"));
}

#[tokio::test]
async fn a_filter_shows_what_fits() {
    let mut stage = open("9G&kind:bash<enter>").await;
    assert_eq!(shown(&stage), [4, 7, 10, 18, 21, 23, 30, 31]);
    assert_screen("filter", &stage.screen());
    // Moving, jumping and counting work on what is shown.
    stage.keys("gg").await;
    assert_eq!(stage.focus(), 4);
    stage.keys("s").await;
    assert_eq!(stage.focus(), 7);
    stage.keys("]e").await;
    assert_eq!(stage.focus(), 23);
    stage.keys("]c").await;
    assert_eq!(stage.focus(), 31);
    stage.keys("12G").await;
    assert_eq!(stage.focus(), 10, "the nearest that is shown");
    stage.keys("G").await;
    assert_eq!(stage.focus(), 31);
    // A search goes through what is shown only.
    stage.keys("gg/token<enter>").await;
    let on = stage.focus();
    assert!(shown(&stage).contains(&on));
    stage.keys("<esc>").await;
    assert!(stage.app.filter.is_on(), "first the search ends");
    stage.keys("<esc>").await;
    assert!(!stage.app.filter.is_on());
    assert_eq!(shown(&stage).len(), 32);
    assert_eq!(stage.focus(), on);
}

#[tokio::test]
async fn an_empty_filter_shows_all_again() {
    let mut stage = open("&exit:!0<enter>").await;
    assert_eq!(shown(&stage), [7, 23]);
    stage.keys("&<esc>").await;
    assert_eq!(shown(&stage).len(), 2, "nothing was changed");
    stage.keys("&<enter>").await;
    assert_eq!(shown(&stage).len(), 32);
    stage.keys("&!kind:bash is:change<enter>").await;
    assert!(shown(&stage).iter().all(|s| ![4, 7, 21, 31].contains(s)));
    stage.keys("&is:dead<enter>").await;
    assert!(shown(&stage).is_empty());
    assert!(stage.screen().contains("& is:dead · 0 of 32"));
}

#[tokio::test]
async fn a_filter_asks_for_texts_when_it_has_to() {
    let mut stage = Stage::open(sliced(5), 100, 30).await;
    asked(&stage);
    stage.keys("&kind:bash text:\"1 failed\"<enter>").await;
    assert!(searches(&stage).len() >= 6);
    assert_eq!(shown(&stage), [7]);
    stage.keys("&path:README.md<enter>").await;
    assert_eq!(shown(&stage), [1, 17, 29]);
    stage.keys("&kind:bash exit:!0<enter>").await;
    assert_eq!(shown(&stage), [7, 23]);
}

#[tokio::test]
async fn what_comes_is_filtered() {
    for (query, asks) in [
        ("&kind:bash<enter>", false),
        ("&\"cargo test\"<enter>", true),
    ] {
        let mut stage = Stage::open(live(), 100, 30).await;
        stage.keys(query).await;
        let before = shown(&stage);
        asked(&stage);
        stage.script.with(|w| {
            w.think("Nothing of the kind.");
            w.bash("cargo test again", 0, "", 1.0);
        });
        stage.settle().await;
        let after = shown(&stage);
        assert_eq!(after[..before.len()], before[..]);
        assert_eq!(after[before.len()..], [36]);
        assert_eq!(stage.focus(), 36, "followed");
        assert_eq!(!searches(&stage).is_empty(), asks, "{query}");
    }
}

#[tokio::test]
async fn a_step_that_is_jumped_to_is_shown() {
    let mut stage = open("&kind:bash<enter>").await;
    let label = stage
        .app
        .rows
        .from(0)
        .find(|r| !r.labels.is_empty())
        .unwrap()
        .ordinal;
    stage.keys("&kind:think<enter>").await;
    stage.keys("'a").await;
    assert_eq!(stage.app.focus, Some(label));
    assert!(shown(&stage).contains(&label.major));
    assert!(stage.app.enabled(Action::Fold).is_err());
}

#[tokio::test]
async fn a_filter_that_is_typed_says_what_it_can_be() {
    let mut stage = open("9G&").await;
    assert_screen("filter_typing", &stage.screen());
    stage.keys("kind:bash exit:!0").await;
    assert!(
        stage
            .screen()
            .contains("exit: the exit code of its command")
    );
    stage.keys(" pth:src").await;
    assert_screen("filter_mistake", &stage.screen());
    stage.keys("<enter>").await;
    assert!(!stage.app.filter.is_on());
    assert!(stage.screen().contains("did you mean path?"));
    // However small the terminal, whatever is typed.
    for (width, height) in [(60, 11), (40, 8), (20, 5), (200, 50)] {
        let mut stage = Stage::open(story(), width, height).await;
        stage
            .keys("&kind:bash \u{202e}é pth:src/**/x.rs and some more words")
            .await;
        let screen = stage.screen();
        assert!(!screen.contains('\u{202e}'));
        if width == 60 {
            assert_screen("filter_mistake_60x11", &screen);
        }
        stage.keys("<esc>/~(<enter>/~x+<enter>nN*").await;
        stage.screen();
    }
}

#[tokio::test]
async fn hits_are_marked_without_colours() {
    let mut stage = Stage::open(story(), 60, 11).await.glyphs(ASCII);
    let backdrop = stage.app.look.theme.backdrop;
    stage = stage.theme(Depth::None, backdrop);
    stage.keys("gg/token<enter>").await;
    assert_screen("search_60x11_ascii", &stage.screen());
    stage.resize(200, 50).await;
    assert_screen("search_200x50_ascii", &stage.screen());
}

/// Many rows: what a filter has to look at is looked at in parts, and keys are taken in between.
#[tokio::test]
async fn a_long_run_is_filtered_in_parts() {
    let mut world = World::new("long");
    for n in 0..20_000 {
        world.think(&format!("thought {n}"));
    }
    world.slice = 1_500;
    let mut stage = Stage::open(world, 100, 30).await;
    stage.press("&step:>19990<enter>");
    assert!(stage.app.filter.goes_on());
    stage.press("k");
    stage.settle().await;
    assert!(!stage.app.filter.goes_on());
    assert_eq!(shown(&stage).len(), 10);
    stage.take(Msg::Resize(100, 20));
    assert!(stage.screen().contains("& step:>19990 · 10 of 20,000"));
}
