//! Keys as they are written in the action table and in the person's settings (`]c`, `<c-l>`, `m{a}`, `g o`, `ctrl-x`), as
//! they are pressed, and as they are shown.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// One key with what was held down. Shift counts with function keys only: it is part of a character and of `BackTab`, and
/// is dropped elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which.
    pub code: KeyCode,
    /// With Control.
    pub ctrl: bool,
    /// With Alt.
    pub alt: bool,
    /// With Shift, a function key.
    pub shift: bool,
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
            shift: false,
        }
    }

    /// What was pressed; `None` for a release, which some terminals report too.
    #[must_use]
    pub fn of(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        let held = event.modifiers.contains(KeyModifiers::SHIFT);
        let code = match event.code {
            // Control has no case, and terminals disagree about the letter's.
            KeyCode::Char(c) if ctrl => KeyCode::Char(c.to_ascii_lowercase()),
            KeyCode::Tab if held => KeyCode::BackTab,
            code => code,
        };
        Some(Self {
            code,
            ctrl,
            alt: event.modifiers.contains(KeyModifiers::ALT),
            shift: held && matches!(code, KeyCode::F(_)),
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

/// Names of keys, as they are written and as they are shown, with ASCII only and without.
const NAMES: &[(&str, KeyCode, &str, &str)] = &[
    ("space", KeyCode::Char(' '), "Space", "Space"),
    ("enter", KeyCode::Enter, "Enter", "Enter"),
    ("esc", KeyCode::Esc, "Esc", "Esc"),
    ("tab", KeyCode::Tab, "Tab", "Tab"),
    ("s-tab", KeyCode::BackTab, "S-Tab", "S-Tab"),
    ("up", KeyCode::Up, "Up", "↑"),
    ("down", KeyCode::Down, "Down", "↓"),
    ("left", KeyCode::Left, "Left", "←"),
    ("right", KeyCode::Right, "Right", "→"),
    ("home", KeyCode::Home, "Home", "Home"),
    ("end", KeyCode::End, "End", "End"),
    ("pgup", KeyCode::PageUp, "PgUp", "PgUp"),
    ("pgdn", KeyCode::PageDown, "PgDn", "PgDn"),
    ("bs", KeyCode::Backspace, "Backspace", "Backspace"),
    ("del", KeyCode::Delete, "Del", "Del"),
    ("ins", KeyCode::Insert, "Ins", "Ins"),
    ("lt", KeyCode::Char('<'), "<", "<"),
];

/// Other spellings that people use.
const ALIASES: &[(&str, &str)] = &[
    ("return", "enter"),
    ("cr", "enter"),
    ("escape", "esc"),
    ("backtab", "s-tab"),
    ("shift-tab", "s-tab"),
    ("pageup", "pgup"),
    ("page-up", "pgup"),
    ("pagedown", "pgdn"),
    ("page-down", "pgdn"),
    ("backspace", "bs"),
    ("delete", "del"),
    ("insert", "ins"),
];

/// Reads a sequence as the table writes it. `None` for a word between angle brackets that names no key.
pub(crate) fn parse(text: &str) -> Option<Vec<Stroke>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{a}") {
            out.push(Stroke::Letter);
            rest = after;
            continue;
        }
        if c == '<'
            && let Some((name, after)) = rest[1..].split_once('>')
            && !name.is_empty()
        {
            out.push(Stroke::Key(named(name)?));
            rest = after;
            continue;
        }
        out.push(Stroke::Key(Key::char(c)));
        rest = &rest[c.len_utf8()..];
    }
    (!out.is_empty()).then_some(out)
}

/// Reads a sequence as a person writes it: as the table does, also with blanks between the keys, and with the names of
/// keys without their brackets.
pub(crate) fn parse_typed(text: &str) -> Option<Vec<Stroke>> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        match named(&word.to_lowercase()) {
            Some(key) if word.chars().count() > 1 => out.push(Stroke::Key(key)),
            _ => out.extend(parse(word)?),
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The key of a name: `enter`, `f5`, `c-x`, `ctrl-alt-x`.
fn named(name: &str) -> Option<Key> {
    let bare = |name: &str| {
        let name = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name, |(_, name)| *name);
        if let Some((_, code, ..)) = NAMES.iter().find(|(n, ..)| *n == name) {
            return Some(Key::code(*code));
        }
        let number = name.strip_prefix('f')?.parse::<u8>().ok()?;
        (1..=24)
            .contains(&number)
            .then_some(Key::code(KeyCode::F(number)))
    };
    if let Some(key) = bare(name) {
        return Some(key);
    }
    let (held, rest) = name.split_once('-')?;
    let mut chars = rest.chars();
    let inner = match (chars.next(), chars.next()) {
        (Some(c), None) => Key::char(c),
        _ => named(rest)?,
    };
    match held {
        "c" | "ctrl" | "control" => Some(Key {
            code: match inner.code {
                KeyCode::Char(c) => KeyCode::Char(c.to_ascii_lowercase()),
                code => code,
            },
            ctrl: true,
            ..inner
        }),
        "a" | "alt" | "m" | "meta" => Some(Key { alt: true, ..inner }),
        "s" | "shift" if matches!(inner.code, KeyCode::F(_)) => Some(Key {
            shift: true,
            ..inner
        }),
        _ => None,
    }
}

/// How a key is written between brackets, or a plain character; how it is shown.
fn spelled(key: Key) -> (String, String, String) {
    let (written, plain, nice) = match key.code {
        KeyCode::Char(c) if c != ' ' && c != '<' => (c.to_string(), c.to_string(), c.to_string()),
        KeyCode::F(n) => (format!("f{n}"), format!("F{n}"), format!("F{n}")),
        code => match NAMES.iter().find(|(_, c, ..)| *c == code) {
            Some((name, _, plain, nice)) => {
                ((*name).to_owned(), (*plain).to_owned(), (*nice).to_owned())
            }
            None => (String::new(), String::new(), String::new()),
        },
    };
    let bare = matches!(key.code, KeyCode::Char(c) if c != ' ' && c != '<');
    if bare && !key.ctrl && !key.alt {
        return (written, plain, nice);
    }
    let mut held = String::new();
    let mut words = String::new();
    for (is, short, long) in [
        (key.ctrl, "c-", "Ctrl-"),
        (key.alt, "a-", "Alt-"),
        (key.shift, "s-", "S-"),
    ] {
        if is {
            held.push_str(short);
            words.push_str(long);
        }
    }
    (
        format!("<{held}{written}>"),
        format!("{words}{plain}"),
        format!("{words}{nice}"),
    )
}

/// A sequence as the table writes it.
#[cfg(test)]
pub(crate) fn written(strokes: &[Stroke]) -> String {
    let one = |stroke: &Stroke| match stroke {
        Stroke::Key(key) => spelled(*key).0,
        Stroke::Letter => "{a}".to_owned(),
    };
    strokes.iter().map(one).collect()
}

/// A sequence for people: `<c-l>` as `Ctrl-l`, `<down>` as `↓` (or `Down` in ASCII).
pub(crate) fn shown(text: &str, ascii: bool) -> String {
    let Some(strokes) = parse(text) else {
        return text.to_owned();
    };
    shown_strokes(&strokes, ascii)
}

/// The same of a sequence that was read.
pub(crate) fn shown_strokes(strokes: &[Stroke], ascii: bool) -> String {
    let mut out = String::new();
    let mut long = false;
    for stroke in strokes {
        let word = match stroke {
            Stroke::Letter => "{a}".to_owned(),
            Stroke::Key(key) => {
                let (_, plain, nice) = spelled(*key);
                if ascii { plain } else { nice }
            }
        };
        // Words stand apart; characters do not.
        let wide = word.chars().count() > 1 && *stroke != Stroke::Letter;
        if (long || wide) && !out.is_empty() {
            out.push(' ');
        }
        long = wide;
        out.push_str(&word);
    }
    out
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
                alt: false,
                shift: false
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
    fn what_a_person_writes_is_read_and_written_again() {
        for (typed, table, nice) in [
            ("g o", "go", "go"),
            ("go", "go", "go"),
            ("ctrl-x", "<c-x>", "Ctrl-x"),
            ("C-X", "<c-x>", "Ctrl-x"),
            ("<c-x> s", "<c-x>s", "Ctrl-x s"),
            ("g space", "g<space>", "g Space"),
            ("alt-enter", "<a-enter>", "Alt-Enter"),
            ("ctrl-alt-d", "<c-a-d>", "Ctrl-Alt-d"),
            ("F5", "<f5>", "F5"),
            ("shift-f10", "<s-f10>", "S-F10"),
            ("pagedown", "<pgdn>", "PgDn"),
            ("]c", "]c", "]c"),
            ("m{a}", "m{a}", "m{a}"),
            ("<", "<lt>", "<"),
            ("-", "-", "-"),
            ("ü", "ü", "ü"),
        ] {
            let strokes = parse_typed(typed).unwrap();
            assert_eq!(written(&strokes), table, "{typed}");
            assert_eq!(shown_strokes(&strokes, false), nice, "{typed}");
            assert_eq!(parse(table).unwrap(), strokes, "{typed}");
        }
        assert_eq!(parse_typed(""), None);
        assert_eq!(parse_typed("<nothing>"), None);
        assert_eq!(parse_typed("<f99>"), None);
    }

    #[test]
    fn releases_and_shift_do_not_count() {
        let mut event = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(Key::of(event), Some(Key::char('G')));
        event.kind = KeyEventKind::Repeat;
        assert_eq!(Key::of(event), Some(Key::char('G')));
        event.kind = KeyEventKind::Release;
        assert_eq!(Key::of(event), None);
        let f = KeyEvent::new(KeyCode::F(5), KeyModifiers::SHIFT);
        assert_eq!(Key::of(f).map(|k| k.shift), Some(true));
    }
}
