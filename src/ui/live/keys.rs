//! Keys as the bytes that a terminal sends for them, for an agent that the person is attached to.

use ratatui::crossterm::event::KeyCode;

use crate::ui::keys::Key;

/// What a terminal sends for a key. `application`: cursor keys are to be sent as an application asked for them.
pub(crate) fn bytes(key: Key, application: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if key.alt {
        out.push(0x1b);
    }
    let cursor = |letter: char, out: &mut Vec<u8>| {
        if key.ctrl {
            out.extend_from_slice(format!("\x1b[1;5{letter}").as_bytes());
        } else {
            let lead = if application { "\x1bO" } else { "\x1b[" };
            out.extend_from_slice(format!("{lead}{letter}").as_bytes());
        }
    };
    let tilde = |n: u8, out: &mut Vec<u8>| out.extend_from_slice(format!("\x1b[{n}~").as_bytes());
    match key.code {
        KeyCode::Char(c) if key.ctrl => out.push(control(c)),
        KeyCode::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        KeyCode::Enter => out.push(b'\r'),
        KeyCode::Tab => out.push(b'\t'),
        KeyCode::BackTab => out.extend_from_slice(b"\x1b[Z"),
        KeyCode::Backspace => out.push(if key.ctrl { 0x08 } else { 0x7f }),
        KeyCode::Esc => out.push(0x1b),
        KeyCode::Up => cursor('A', &mut out),
        KeyCode::Down => cursor('B', &mut out),
        KeyCode::Right => cursor('C', &mut out),
        KeyCode::Left => cursor('D', &mut out),
        KeyCode::Home => cursor('H', &mut out),
        KeyCode::End => cursor('F', &mut out),
        KeyCode::Insert => tilde(2, &mut out),
        KeyCode::Delete => tilde(3, &mut out),
        KeyCode::PageUp => tilde(5, &mut out),
        KeyCode::PageDown => tilde(6, &mut out),
        KeyCode::F(n @ 1..=4) => out.extend_from_slice(&[0x1b, b'O', b'P' + n - 1]),
        KeyCode::F(n @ 5..=12) => {
            let code = [15, 17, 18, 19, 20, 21, 23, 24].get(usize::from(n - 5));
            tilde(code.copied().unwrap_or(15), &mut out);
        }
        _ => out.clear(),
    }
    out
}

/// The byte of a character with Control. What older terminals send for some of them is read as a digit.
fn control(c: char) -> u8 {
    match c {
        ' ' | '2' | '@' => 0,
        '3' | '[' => 0x1b,
        '4' | '\\' => 0x1c,
        '5' | ']' => 0x1d,
        '6' | '^' => 0x1e,
        '7' | '_' | '/' => 0x1f,
        '8' | '?' => 0x7f,
        c => u8::try_from(c).map_or(0, |b| b.to_ascii_uppercase() & 0x1f),
    }
}

/// A pasted text, marked as one where the agent asked for that. What would end the mark is taken out of it.
pub(crate) fn pasted(text: &str, marked: bool) -> Vec<u8> {
    let text = text.replace("\x1b[201~", "").replace('\n', "\r");
    if marked {
        format!("\x1b[200~{text}\x1b[201~").into_bytes()
    } else {
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_what_terminals_send() {
        let ctrl = |c| Key {
            ctrl: true,
            ..Key::char(c)
        };
        for (key, application, sent) in [
            (Key::char('a'), false, &b"a"[..]),
            (Key::char('é'), false, "é".as_bytes()),
            (ctrl('c'), false, b"\x03"),
            (ctrl(' '), false, b"\0"),
            (ctrl('4'), false, b"\x1c"),
            (Key::code(KeyCode::Enter), false, b"\r"),
            (Key::code(KeyCode::Up), false, b"\x1b[A"),
            (Key::code(KeyCode::Up), true, b"\x1bOA"),
            (Key::code(KeyCode::BackTab), false, b"\x1b[Z"),
            (Key::code(KeyCode::F(1)), false, b"\x1bOP"),
            (Key::code(KeyCode::F(12)), false, b"\x1b[24~"),
            (Key::code(KeyCode::Delete), false, b"\x1b[3~"),
            (Key::code(KeyCode::Menu), false, b""),
        ] {
            assert_eq!(bytes(key, application), sent, "{key:?}");
        }
        let alt = Key {
            alt: true,
            ..Key::char('x')
        };
        assert_eq!(bytes(alt, false), b"\x1bx");
        assert_eq!(pasted("a\nb\x1b[201~c", true), b"\x1b[200~a\rbc\x1b[201~");
        assert_eq!(pasted("a\nb", false), b"a\rb");
    }
}
