//! The screen that a terminal would show, kept from the bytes that were printed.
//!
//! The bytes are anybody's: whatever they are, this neither panics nor grows beyond the screen's cells.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in the parser: its panics are caught, and no words for the person's terminal.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Keeps what a caught panic says off the terminal.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if INSIDE.get() {
                tracing::error!("an agent's terminal was begun anew: {info}");
            } else {
                before(info);
            }
        }));
    });
}

/// Runs the parser. `false` when it failed.
fn guarded(work: impl FnOnce()) -> bool {
    INSIDE.set(true);
    let done = catch_unwind(AssertUnwindSafe(work)).is_ok();
    INSIDE.set(false);
    done
}

/// Fewest columns and rows: less than this the parser does not cope with.
pub const SMALLEST: (u16, u16) = (4, 2);
/// Most columns and rows.
pub const LARGEST: (u16, u16) = (1000, 500);

/// Bytes taken at a time, so that what one piece of output breaks is little.
const PIECE: usize = 64 << 10;

/// A terminal without a person before it.
pub struct Emulator {
    parser: vt100::Parser,
    /// How often its parser failed and was begun anew.
    failures: u32,
}

impl Emulator {
    /// An empty screen of that many columns and rows.
    #[must_use]
    pub fn new(cols: u16, rows: u16) -> Self {
        hush();
        let (cols, rows) = bounded(cols, rows);
        Self {
            parser: vt100::Parser::new(rows, cols, 0),
            failures: 0,
        }
    }

    /// One that goes on from a screen that was kept. What was printed of a sequence that had not ended is not in it, so a
    /// screen to be kept is taken where none is open.
    #[must_use]
    pub fn from_screen(screen: &vt100::Screen) -> Self {
        let (rows, cols) = screen.size();
        let mut new = Self::new(cols, rows);
        *new.parser.screen_mut() = screen.clone();
        new
    }

    /// Takes what was printed.
    pub fn print(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let parser = &mut self.parser;
            // The parser is a dependency that reads what an agent prints: its mistakes must cost a screen, not the run.
            if !guarded(|| parser.process(piece)) {
                let (rows, cols) = self.parser.screen().size();
                let (cols, rows) = bounded(cols, rows);
                self.parser = vt100::Parser::new(rows, cols, 0);
                self.failures += 1;
            }
        }
    }

    /// Gives it another size.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        let (cols, rows) = bounded(cols, rows);
        if self.size() == (cols, rows) {
            return;
        }
        let parser = &mut self.parser;
        if !guarded(|| parser.screen_mut().set_size(rows, cols)) {
            self.parser = vt100::Parser::new(rows, cols, 0);
            self.failures += 1;
        }
    }

    /// Columns and rows.
    #[must_use]
    pub fn size(&self) -> (u16, u16) {
        let (rows, cols) = self.parser.screen().size();
        (cols, rows)
    }

    /// The screen.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// What a terminal has to be sent to show this screen and take keys as this one does.
    #[must_use]
    pub fn formatted(&self) -> Vec<u8> {
        let screen = self.parser.screen();
        let mut out = Vec::new();
        if screen.alternate_screen() {
            out.extend_from_slice(b"\x1b[?1049h");
        }
        out.extend_from_slice(&screen.state_formatted());
        out
    }

    /// How often the parser had to be begun anew.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

fn bounded(cols: u16, rows: u16) -> (u16, u16) {
    (
        cols.clamp(SMALLEST.0, LARGEST.0),
        rows.clamp(SMALLEST.1, LARGEST.1),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_screen_is_sent_as_it_is() {
        let mut one = Emulator::new(20, 4);
        one.print(b"\x1b[31mred\x1b[m plain\r\n\x1b[?1049h\x1b[2J\x1b[Hother \x1b[7mwords");
        let mut other = Emulator::new(20, 4);
        other.print(&one.formatted());
        assert_eq!(other.screen().contents(), one.screen().contents());
        assert_eq!(other.screen().contents(), "other words");
        assert!(other.screen().alternate_screen());
        assert!(other.screen().cell(0, 6).unwrap().inverse());
        assert_eq!(
            other.screen().cursor_position(),
            one.screen().cursor_position()
        );
    }

    #[test]
    fn sizes_are_bounded() {
        let mut it = Emulator::new(0, 0);
        assert_eq!(it.size(), SMALLEST);
        it.print("\u{4f60}\u{597d}\u{4f60}\n\u{597d}".as_bytes());
        it.resize(u16::MAX, u16::MAX);
        assert_eq!(it.size(), LARGEST);
        assert_eq!(it.failures(), 0);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Print(Vec<u8>),
        Resize(u16, u16),
    }

    fn act() -> impl Strategy<Value = Act> {
        let pieces = prop::sample::select(vec![
            "\x1b[?1049h",
            "\x1b[?1049l",
            "\x1b[",
            "\x1b]0;title\x07",
            "\x1b]52;c;aGVsbG8=\x07",
            "\x1b[2;3r",
            "\x1b[1;1r",
            "\x1b[2;2r",
            "\x1b[1;1H",
            "\x1b[?1047h",
            "\x1b[?47l",
            "\x1b[3J",
            "\x1b[9S",
            "\x1b[9T",
            "\x1b[9M",
            "\x1b[9@",
            "\x1b[9X",
            "\x1b[?25l",
            "\x1b[?2004h",
            "\x1b[999;999H",
            "\x1b[999L",
            "\x1b[999P",
            "\x1b[99999999999999999999C",
            "\x1bM",
            "\x1bD",
            "\x1b7",
            "\x1b8",
            "\x1bc",
            "\x1b[?6h",
            "\x1b[38;2;1;2;3m",
            "\x1b[J",
            "\x1b[1K",
            "\u{4f60}\u{597d}",
            "e\u{301}\u{302}",
            "\u{202e}\u{200b}",
            "\r\n\n\n",
            "\t\x08\x08",
            "a long line of words that wraps around the edge of what there is ",
        ]);
        prop_oneof![
            6 => pieces.prop_map(|p| Act::Print(p.as_bytes().to_vec())),
            2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Act::Print),
            1 => (0u16..40, 0u16..9).prop_map(|(c, r)| Act::Resize(c, r)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn nothing_that_is_printed_harms_it(acts in prop::collection::vec(act(), 0..60)) {
            let mut it = Emulator::new(30, 8);
            let mut resized = false;
            for act in acts {
                resized |= matches!(act, Act::Resize(..));
                match act {
                    Act::Print(bytes) => it.print(&bytes),
                    Act::Resize(cols, rows) => it.resize(cols, rows),
                }
                let (cols, rows) = it.size();
                prop_assert!(cols >= SMALLEST.0 && rows >= SMALLEST.1);
                // A wide character that a new size cuts in two is too much for the parser: its screen begins anew, and
                // whoever prints draws it again, since it hears of the new size as well.
                prop_assert!(resized || it.failures() == 0);
                let (row, col) = it.screen().cursor_position();
                prop_assert!(row < rows && col <= cols);
            }
            let mut other = Emulator::new(it.size().0, it.size().1);
            other.print(&it.formatted());
            prop_assert_eq!(other.failures(), 0);
        }
    }
}
