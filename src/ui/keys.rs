//! Keys as they are written in the action table (`]c`, `<c-l>`, `m{a}`), as they are pressed, and as they are shown.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// One key with what was held down. Shift is part of a character and of `BackTab`, and is dropped elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which.
    pub code: KeyCode,
    /// With Control.
    pub ctrl: bool,
    /// With Alt.
    pub alt: bool,
}

impl Key {
    /// A character without Control or Alt.
    #[must_use]
    pub fn char(c: char) -> Self {
        Self::code(KeyCode::Char(c))
    }

    /// A key without Control or Alt.
    #[must_use]
    pub fn code(code: KeyCode) -> Self {
        Self {
            code,
            ctrl: false,
            alt: false,
        }
    }

    /// What was pressed; `None` for a release, which some terminals report too.
    #[must_use]
    pub fn of(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        let shift = event.modifiers.contains(KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::F(n @ 1..=12) if shift => KeyCode::F(n + 12),
            // Control has no case, and terminals disagree about the letter's.
            KeyCode::Char(c) if ctrl => KeyCode::Char(c.to_ascii_lowercase()),
            KeyCode::Tab if shift => KeyCode::BackTab,
            code => code,
        };
        Some(Self {
            code,
            ctrl,
            alt: event.modifiers.contains(KeyModifiers::ALT),
        })
    }

    /// The character typed, when it is one for a text field.
    #[must_use]
    pub fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }
}

/// A place in a written sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stroke {
    /// Exactly this key.
    Key(Key),
    /// Any letter: the name of a label.
    Letter,
}

impl Stroke {
    /// Whether `key` fits here.
    pub(crate) fn takes(self, key: Key) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Letter => key.typed().is_some_and(|c| c.is_ascii_alphabetic()),
        }
    }
}

/// Reads a sequence as the table writes it. `None` for a word between angle brackets that names no key.
pub(crate) fn parse(text: &str) -> Option<Vec<Stroke>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("{a}") {
            out.push(Stroke::Letter);
            rest = &rest[3..];
            continue;
        }
        if c == '<'
            && let Some(end) = rest.find('>')
            && end > 1
        {
            out.push(Stroke::Key(named(&rest[1..end])?));
            rest = &rest[end + 1..];
            continue;
        }
        out.push(Stroke::Key(Key::char(c)));
        rest = &rest[c.len_utf8()..];
    }
    (!out.is_empty()).then_some(out)
}

fn named(name: &str) -> Option<Key> {
    if let Some(rest) = name.strip_prefix("c-") {
        let mut chars = rest.chars();
        let c = chars.next()?;
        return chars.next().is_none().then_some(Key {
            code: KeyCode::Char(c),
            ctrl: true,
            alt: false,
        });
    }
    let code = match name {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "s-tab" => KeyCode::BackTab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "f1" => KeyCode::F(1),
        "f10" => KeyCode::F(10),
        "f11" => KeyCode::F(11),
        // Terminals that know no modifiers of function keys count on with Shift.
        "s-f10" => KeyCode::F(22),
        "s-f11" => KeyCode::F(23),
        _ => return None,
    };
    Some(Key::code(code))
}

/// A sequence for people: `<c-l>` as `Ctrl-l`, `<down>` as `↓` (or `Down` in ASCII).
pub(crate) fn shown(text: &str, ascii: bool) -> String {
    let arrows = [
        ("<up>", "↑", "Up"),
        ("<down>", "↓", "Down"),
        ("<left>", "←", "Left"),
        ("<right>", "→", "Right"),
        ("<space>", "Space", "Space"),
        ("<enter>", "Enter", "Enter"),
        ("<esc>", "Esc", "Esc"),
        ("<tab>", "Tab", "Tab"),
        ("<s-tab>", "S-Tab", "S-Tab"),
        ("<home>", "Home", "Home"),
        ("<end>", "End", "End"),
        ("<pgup>", "PgUp", "PgUp"),
        ("<pgdn>", "PgDn", "PgDn"),
        ("<f1>", "F1", "F1"),
        ("<f10>", "F10", "F10"),
        ("<f11>", "F11", "F11"),
        ("<s-f10>", "S-F10", "S-F10"),
        ("<s-f11>", "S-F11", "S-F11"),
    ];
    for (written, nice, plain) in arrows {
        if text == written {
            return if ascii { plain } else { nice }.to_owned();
        }
    }
    if let Some(c) = text.strip_prefix("<c-").and_then(|t| t.strip_suffix('>')) {
        return format!("Ctrl-{c}");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sequences_are_read_and_shown() {
        assert_eq!(parse("]c").unwrap().len(), 2);
        assert_eq!(parse("m{a}").unwrap()[1], Stroke::Letter);
        assert_eq!(
            parse("<c-l>").unwrap(),
            [Stroke::Key(Key {
                code: KeyCode::Char('l'),
                ctrl: true,
                alt: false
            })]
        );
        assert_eq!(parse("<nothing>"), None);
        assert_eq!(parse("<").unwrap(), [Stroke::Key(Key::char('<'))]);
        assert_eq!(shown("<down>", false), "↓");
        assert_eq!(shown("<down>", true), "Down");
        assert_eq!(shown("<c-c>", true), "Ctrl-c");
        assert_eq!(shown("]c", false), "]c");
    }

    #[test]
    fn releases_and_shift_do_not_count() {
        let mut event = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(Key::of(event), Some(Key::char('G')));
        event.kind = KeyEventKind::Release;
        assert_eq!(Key::of(event), None);
        let event = KeyEvent::new(KeyCode::F(11), KeyModifiers::SHIFT);
        let meant = parse("<s-f11>").unwrap();
        assert!(meant[0].takes(Key::of(event).unwrap()));
        assert!(!parse("<f11>").unwrap()[0].takes(Key::of(event).unwrap()));
    }
}
