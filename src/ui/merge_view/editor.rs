//! A small editor for one part of a file: lines, a cursor, undo and redo.
//!
//! It works on text in UTF-8; line ends are kept as they were. Every change replaces some lines by others, and is kept as
//! that, so that undoing costs what was changed, however long the text is.

use ratatui::crossterm::event::KeyCode;

use crate::ui::keys::Key;

/// Changes that can be undone.
const KEPT: usize = 1000;

/// Most bytes that a paste may bring.
const MAX_PASTE: usize = 1 << 20;

/// A place in the text: a line, and a byte in it (at a character's beginning).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub row: usize,
    pub at: usize,
}

#[derive(Debug, Clone)]
struct Change {
    row: usize,
    before: Vec<String>,
    after: Vec<String>,
    from: Place,
    to: Place,
    /// It was typed: what is typed next to it joins it.
    typed: bool,
}

/// What a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Go on.
    No,
    /// The text is to be taken.
    Take,
    /// It is to be forgotten.
    Forget,
}

/// The editor.
#[derive(Debug, Clone)]
pub(crate) struct Editor {
    /// Which part it edits.
    pub part: usize,
    lines: Vec<String>,
    pub cursor: Place,
    /// The first line on the screen.
    pub top: usize,
    crlf: bool,
    /// The text ended with a line end.
    ended: bool,
    undo: Vec<Change>,
    redo: Vec<Change>,
    was: Option<Vec<u8>>,
}

impl Editor {
    /// For a text; `None` where it is not UTF-8.
    pub(crate) fn new(part: usize, text: &[u8], crlf: bool) -> Option<Self> {
        let whole = std::str::from_utf8(text).ok()?;
        // Mixed line ends stay visible, as characters.
        let crlf = crlf
            && whole
                .split_inclusive('\n')
                .all(|l| !l.ends_with('\n') || l.ends_with("\r\n"));
        let ended = whole.ends_with('\n');
        let body = whole.strip_suffix('\n').unwrap_or(whole);
        let lines = body
            .split('\n')
            .map(|l| {
                if crlf {
                    l.strip_suffix('\r').unwrap_or(l)
                } else {
                    l
                }
            })
            .map(str::to_owned)
            .collect();
        Some(Self {
            part,
            lines,
            cursor: Place::default(),
            top: 0,
            crlf,
            // What is written into an empty part is a line.
            ended: ended || text.is_empty(),
            undo: Vec::new(),
            redo: Vec::new(),
            was: Some(text.to_vec()),
        })
    }

    /// The text as it is now.
    pub(crate) fn text(&self) -> Vec<u8> {
        let end = if self.crlf { "\r\n" } else { "\n" };
        let mut out = self.lines.join(end);
        let empty = self.lines.iter().all(String::is_empty) && self.lines.len() <= 1;
        if self.ended && !empty {
            out.push_str(end);
        }
        out.into_bytes()
    }

    /// What it begins with is not in the result: it is taken even when nothing is typed.
    pub(crate) fn is_new(&mut self) {
        self.was = None;
    }

    /// Whether anything is different from what it began with.
    pub(crate) fn changed(&self) -> bool {
        self.was.as_deref() != Some(self.text().as_slice())
    }

    /// The lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    fn line(&self) -> &str {
        self.lines.get(self.cursor.row).map_or("", String::as_str)
    }

    /// Keeps the cursor within `height` lines.
    pub(crate) fn scroll(&mut self, height: usize) {
        let row = self.cursor.row;
        self.top = self
            .top
            .min(row)
            .max((row + 1).saturating_sub(height.max(1)));
    }

    /// Puts `after` in place of the lines from `row`, `count` of them.
    fn change(&mut self, row: usize, count: usize, after: Vec<String>, to: Place, typed: bool) {
        let end = (row + count).min(self.lines.len());
        let before: Vec<String> = self.lines.splice(row..end, after.iter().cloned()).collect();
        let from = self.cursor;
        self.cursor = to;
        self.redo.clear();
        if typed
            && let Some(last) = self.undo.last_mut()
            && last.typed
            && last.to == from
            && last.row == row
            && last.after.len() == 1
            && before.len() == 1
        {
            last.after = after;
            last.to = to;
            return;
        }
        self.undo.push(Change {
            row,
            before,
            after,
            from,
            to,
            typed,
        });
        if self.undo.len() > KEPT {
            self.undo.remove(0);
        }
    }

    fn take_back(&mut self) {
        if let Some(change) = self.undo.pop() {
            let end = change.row + change.after.len();
            self.lines
                .splice(change.row..end, change.before.iter().cloned());
            self.cursor = change.from;
            self.redo.push(change);
        }
    }

    fn again(&mut self) {
        if let Some(change) = self.redo.pop() {
            let end = change.row + change.before.len();
            self.lines
                .splice(change.row..end, change.after.iter().cloned());
            self.cursor = change.to;
            self.undo.push(change);
        }
    }

    /// Puts a text in, as if it were typed or pasted.
    pub(crate) fn insert(&mut self, text: &str, typed: bool) {
        let mut cut = text.len().min(MAX_PASTE);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let text = text
            .get(..cut)
            .unwrap_or_default()
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        let Place { row, at } = self.cursor;
        let line = self.line().to_owned();
        let (head, tail) = line.split_at(at.min(line.len()));
        let joined = format!("{head}{text}{tail}");
        let after: Vec<String> = joined.split('\n').map(str::to_owned).collect();
        let last = after.last().map_or(0, String::len);
        let to = Place {
            row: row + after.len() - 1,
            at: last - tail.len(),
        };
        self.change(row, 1, after, to, typed);
    }

    fn before(&self) -> Option<Place> {
        let Place { row, at } = self.cursor;
        let line = self.line();
        match line.get(..at).and_then(|l| l.char_indices().next_back()) {
            Some((at, _)) => Some(Place { row, at }),
            None if row > 0 => Some(Place {
                row: row - 1,
                at: self.lines.get(row - 1).map_or(0, String::len),
            }),
            None => None,
        }
    }

    fn after(&self) -> Option<Place> {
        let Place { row, at } = self.cursor;
        match self.line().get(at..).and_then(|l| l.chars().next()) {
            Some(c) => Some(Place {
                row,
                at: at + c.len_utf8(),
            }),
            None if row + 1 < self.lines.len() => Some(Place {
                row: row + 1,
                at: 0,
            }),
            None => None,
        }
    }

    /// Removes what lies between two places.
    fn remove(&mut self, from: Place, to: Place) {
        let head = self.lines.get(from.row).and_then(|l| l.get(..from.at));
        let tail = self.lines.get(to.row).and_then(|l| l.get(to.at..));
        let joined = [head.unwrap_or_default(), tail.unwrap_or_default()].concat();
        self.change(from.row, to.row - from.row + 1, vec![joined], from, false);
    }

    fn vertical(&mut self, rows: usize, down: bool) {
        let column = self
            .line()
            .get(..self.cursor.at)
            .map_or(0, |l| l.chars().count());
        let row = if down {
            self.cursor.row.saturating_add(rows)
        } else {
            self.cursor.row.saturating_sub(rows)
        };
        self.cursor.row = row.min(self.lines.len().saturating_sub(1));
        let line = self.line();
        self.cursor.at = line
            .char_indices()
            .nth(column)
            .map_or(line.len(), |(i, _)| i);
    }

    /// A key was pressed; `page` is how many lines are on the screen.
    pub(crate) fn key(&mut self, key: Key, page: usize) -> Done {
        match key.code {
            KeyCode::Esc => return Done::Take,
            KeyCode::Char('c') if key.ctrl => return Done::Forget,
            KeyCode::Char('z') if key.ctrl => self.take_back(),
            KeyCode::Char('y' | 'r') if key.ctrl => self.again(),
            KeyCode::Char('a') if key.ctrl => self.cursor.at = 0,
            KeyCode::Char('e') if key.ctrl => self.cursor.at = self.line().len(),
            KeyCode::Char('k') if key.ctrl => {
                let row = self.cursor.row;
                if self.lines.len() == 1 {
                    self.change(0, 1, vec![String::new()], Place::default(), false);
                } else {
                    let to = Place {
                        row: row.min(self.lines.len() - 2),
                        at: 0,
                    };
                    self.change(row, 1, Vec::new(), to, false);
                }
            }
            KeyCode::Left => self.cursor = self.before().unwrap_or(self.cursor),
            KeyCode::Right => self.cursor = self.after().unwrap_or(self.cursor),
            KeyCode::Up => self.vertical(1, false),
            KeyCode::Down => self.vertical(1, true),
            KeyCode::PageUp => self.vertical(page.max(1), false),
            KeyCode::PageDown => self.vertical(page.max(1), true),
            KeyCode::Home => self.cursor.at = 0,
            KeyCode::End => self.cursor.at = self.line().len(),
            KeyCode::Backspace => {
                if let Some(from) = self.before() {
                    self.remove(from, self.cursor);
                }
            }
            KeyCode::Delete => {
                if let Some(to) = self.after() {
                    self.remove(self.cursor, to);
                }
            }
            KeyCode::Enter => {
                // The new line begins where this one does.
                let line = self.line();
                let head = line.get(..self.cursor.at).unwrap_or_default();
                let indent: String = head
                    .chars()
                    .take_while(|c| *c == ' ' || *c == '\t')
                    .collect();
                self.insert(&format!("\n{indent}"), false);
            }
            KeyCode::Tab => self.insert("\t", true),
            _ => {
                if let Some(c) = key.typed() {
                    self.insert(c.encode_utf8(&mut [0; 4]), true);
                }
            }
        }
        Done::No
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn press(editor: &mut Editor, text: &str) {
        for c in text.chars() {
            editor.key(Key::char(c), 10);
        }
    }

    fn ctrl(c: char) -> Key {
        Key {
            ctrl: true,
            ..Key::char(c)
        }
    }

    fn now(editor: &Editor) -> String {
        String::from_utf8(editor.text()).unwrap()
    }

    #[test]
    fn typing_and_taking_back() {
        let mut e = Editor::new(0, b"    one\ntwo\n", false).unwrap();
        assert!(!e.changed());
        e.key(Key::code(KeyCode::End), 10);
        press(&mut e, " and");
        e.key(Key::code(KeyCode::Enter), 10);
        press(&mut e, "more");
        assert_eq!(now(&e), "    one and\n    more\ntwo\n");
        e.key(ctrl('z'), 10);
        e.key(ctrl('z'), 10);
        assert_eq!(now(&e), "    one and\ntwo\n");
        e.key(ctrl('z'), 10);
        assert_eq!(now(&e), "    one\ntwo\n");
        e.key(ctrl('y'), 10);
        assert_eq!(now(&e), "    one and\ntwo\n");
        e.key(Key::code(KeyCode::Down), 10);
        e.key(ctrl('k'), 10);
        assert_eq!(now(&e), "    one and\n");
        assert_eq!(e.key(Key::code(KeyCode::Esc), 10), Done::Take);
    }

    #[test]
    fn line_ends_are_kept() {
        for (text, crlf) in [
            ("a\r\nb\r\n", true),
            ("a\nb", false),
            ("a\r\nb\n", true),
            ("x", false),
        ] {
            let mut e = Editor::new(0, text.as_bytes(), crlf).unwrap();
            assert_eq!(now(&e), text);
            press(&mut e, "é");
            e.key(Key::code(KeyCode::Backspace), 10);
            assert_eq!(now(&e), text);
        }
        let mut e = Editor::new(0, b"a\r\nb\r\n", true).unwrap();
        e.insert("x\ny", false);
        assert_eq!(now(&e), "x\r\nya\r\nb\r\n");
        let mut e = Editor::new(0, b"", false).unwrap();
        assert_eq!(now(&e), "");
        press(&mut e, "new");
        assert_eq!(now(&e), "new\n");
        assert!(Editor::new(0, b"\xff", false).is_none());
    }

    proptest! {
        #[test]
        fn all_can_be_taken_back(text in "[a-zé\n]{0,40}", keys in proptest::collection::vec(0usize..14, 0..60)) {
            let mut e = Editor::new(0, text.as_bytes(), false).unwrap();
            let first = now(&e);
            for key in keys {
                let key = match key {
                    0 => Key::char('x'),
                    1 => Key::char('日'),
                    2 => Key::code(KeyCode::Enter),
                    3 => Key::code(KeyCode::Backspace),
                    4 => Key::code(KeyCode::Delete),
                    5 => Key::code(KeyCode::Left),
                    6 => Key::code(KeyCode::Right),
                    7 => Key::code(KeyCode::Up),
                    8 => Key::code(KeyCode::Down),
                    9 => Key::code(KeyCode::Home),
                    10 => Key::code(KeyCode::End),
                    11 => ctrl('k'),
                    12 => Key::code(KeyCode::PageDown),
                    _ => Key::code(KeyCode::Tab),
                };
                e.key(key, 3);
                prop_assert!(e.cursor.row < e.lines.len());
                prop_assert!(e.line().is_char_boundary(e.cursor.at));
            }
            while !e.undo.is_empty() {
                e.key(ctrl('z'), 3);
            }
            prop_assert_eq!(now(&e), first);
        }
    }
}
