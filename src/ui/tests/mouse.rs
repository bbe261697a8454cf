//! The mouse through the real update and draw code: where things are is taken from what was drawn.

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use crate::ui::action::Context;
use crate::ui::app::Pane;
use crate::ui::msg::Msg;

use super::stage::Stage;
use super::story::story;

struct Hand {
    stage: Stage,
    now: Instant,
}

impl Hand {
    async fn at(width: u16, height: u16) -> Self {
        let mut stage = Stage::open(story(), width, height).await;
        stage.app.feel.mouse.on = true;
        Self {
            stage,
            now: Instant::now(),
        }
    }

    async fn keys(&mut self, keys: &str) -> &mut Self {
        self.stage.keys(keys).await;
        self
    }

    /// Where a text stands.
    fn find(&mut self, text: &str) -> (u16, u16) {
        let screen = self.stage.screen();
        for (y, line) in screen.lines().enumerate() {
            if let Some(at) = line.find(text) {
                let x = crate::ui::text::width(&line[..at]);
                return (u16::try_from(x).unwrap(), u16::try_from(y).unwrap());
            }
        }
        panic!("{text} is not in\n{screen}");
    }

    async fn does(&mut self, kind: MouseEventKind, (column, row): (u16, u16)) {
        // What lies where is known from the drawing.
        self.stage.buffer();
        let event = MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        };
        self.stage.take(Msg::Mouse(event, self.now));
        self.stage.settle().await;
    }

    async fn click(&mut self, at: (u16, u16)) {
        self.now += Duration::from_secs(2);
        self.does(MouseEventKind::Down(MouseButton::Left), at).await;
        self.does(MouseEventKind::Up(MouseButton::Left), at).await;
    }

    async fn again(&mut self, at: (u16, u16)) {
        self.now += Duration::from_millis(100);
        self.does(MouseEventKind::Down(MouseButton::Left), at).await;
    }
}

#[tokio::test]
async fn a_click_selects_and_a_double_click_opens() {
    let mut hand = Hand::at(100, 30).await;
    hand.keys("9G").await;
    let at = hand.find(" 14 ");
    hand.click(at).await;
    assert_eq!(hand.stage.focus(), 14);
    assert_eq!(hand.stage.app.pane, Pane::Timeline);
    hand.again(at).await;
    assert_eq!(
        hand.stage.app.pane,
        Pane::Detail,
        "Enter goes into the step"
    );
    // Twice slowly is no double click.
    hand.click(at).await;
    hand.now += Duration::from_secs(1);
    hand.click(at).await;
    assert_eq!(hand.stage.app.pane, Pane::Timeline);
}

#[tokio::test]
async fn the_wheel_scrolls_what_is_below_it() {
    let mut hand = Hand::at(100, 30).await;
    hand.keys("14G").await;
    let focus = hand.stage.focus();
    hand.does(MouseEventKind::ScrollDown, (80, 10)).await;
    assert_eq!(hand.stage.app.detail.scroll, 3);
    assert_eq!(
        (hand.stage.focus(), hand.stage.app.pane),
        (focus, Pane::Timeline)
    );
    hand.does(MouseEventKind::ScrollUp, (80, 10)).await;
    assert_eq!(hand.stage.app.detail.scroll, 0);
    hand.does(MouseEventKind::ScrollUp, (10, 10)).await;
    assert!(hand.stage.focus() < focus);
}

#[tokio::test]
async fn the_line_of_the_whole_run_is_clicked_and_dragged_along() {
    let mut hand = Hand::at(100, 30).await;
    hand.keys("G").await;
    let last = hand.stage.focus();
    hand.click((4, 1)).await;
    assert!(hand.stage.focus() <= 2, "{}", hand.stage.focus());
    hand.does(MouseEventKind::Drag(MouseButton::Left), (50, 1))
        .await;
    let middle = hand.stage.focus();
    assert!(middle > last / 3 && middle < last, "{middle} of {last}");
}

#[tokio::test]
async fn the_border_is_dragged_and_both_panes_keep_some_room() {
    let mut hand = Hand::at(100, 30).await;
    let border = hand.find("┐┌");
    hand.does(MouseEventKind::Down(MouseButton::Left), (border.0, 10))
        .await;
    hand.does(MouseEventKind::Drag(MouseButton::Left), (40, 10))
        .await;
    assert_eq!(hand.find("┐┌").0, 39);
    hand.does(MouseEventKind::Drag(MouseButton::Left), (0, 10))
        .await;
    assert_eq!(hand.find("┐┌").0, 19);
    hand.does(MouseEventKind::Drag(MouseButton::Left), (99, 10))
        .await;
    assert_eq!(hand.find("┐┌").0, 79);
    hand.does(MouseEventKind::Up(MouseButton::Left), (99, 10))
        .await;
    hand.does(MouseEventKind::Drag(MouseButton::Left), (50, 10))
        .await;
    assert_eq!(hand.find("┐┌").0, 79, "it was let go");
}

#[tokio::test]
async fn hints_are_buttons_and_messages_can_be_put_away() {
    let mut hand = Hand::at(100, 30).await;
    hand.keys("9G").await;
    let (x, y) = hand.find("s/S step");
    hand.click((x, y)).await;
    assert_eq!(hand.stage.focus(), 10);
    hand.click((x + 2, y)).await;
    assert_eq!(hand.stage.focus(), 9);
    let at = hand.find("? help");
    hand.click((at.0 + 3, at.1)).await;
    assert_eq!(hand.stage.app.context(), Context::Help);
    // What lies below the help is out of reach.
    hand.click((10, 1)).await;
    assert_eq!(hand.stage.focus(), 9);
    hand.keys("<esc>").await;
    hand.keys("%").await;
    hand.stage.app.feel.mouse.on = true;
    let at = hand.find("×");
    hand.click(at).await;
    assert!(hand.stage.app.toast.is_none());
}

#[tokio::test]
async fn given_back_to_the_terminal_it_does_nothing() {
    let mut hand = Hand::at(100, 30).await;
    hand.keys("9G%").await;
    assert!(hand.stage.screen().contains("the mouse is the terminal's"));
    let at = hand.find(" 14 ");
    hand.click(at).await;
    assert_eq!(hand.stage.focus(), 9);
    hand.keys("%").await;
    hand.click(at).await;
    assert_eq!(hand.stage.focus(), 14);
}

#[tokio::test]
async fn lists_over_a_view_and_files_are_clicked_too() {
    let mut hand = Hand::at(100, 30).await;
    hand.keys("9G:step").await;
    let at = hand.find("step back");
    hand.click(at).await;
    hand.again(at).await;
    assert_eq!(hand.stage.focus(), 8);
    hand.keys("21Gd").await;
    let files = hand.stage.screen();
    assert!(files.contains("1 of "), "{files}");
    let Some(crate::ui::app::View::Diff(diff)) = &hand.stage.app.view else {
        panic!("no diff");
    };
    let last = diff.changes.last().unwrap().path.to_string();
    let name = last.rsplit('/').next().unwrap().to_owned();
    let at = hand.find(&name);
    hand.click(at).await;
    let selected = hand.stage.app.selected_path().unwrap();
    assert!(selected.ends_with(&name), "{selected} for {name}");
}
