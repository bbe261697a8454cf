//! A terminal's screen in a pane: its cells, as far as there is room.
//!
//! The agent's own colours are data, as text is; how many of them this terminal can show is the theme's to say. What a cell
//! holds goes through [`text`] like everything else that an agent wrote.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::text;
use super::theme::{Depth, Theme};

/// Where a screen is cut to fit: row and column of the first cell that is shown. Without a wish of the person's, so that the
/// cursor is on it.
pub(crate) fn cut(screen: &vt100::Screen, area: Rect, wish: Option<(u16, u16)>) -> (u16, u16) {
    let (rows, cols) = screen.size();
    let (row, col) = screen.cursor_position();
    let most = (
        rows.saturating_sub(area.height),
        cols.saturating_sub(area.width),
    );
    match wish {
        Some((top, left)) => (top.min(most.0), left.min(most.1)),
        None => {
            // A line or two below the cursor often belong to it: a prompt's frame, a status line.
            let top = (row + 3).min(rows).saturating_sub(area.height);
            let left = (col + 1).min(cols).saturating_sub(area.width);
            (top.min(most.0), left.min(most.1))
        }
    }
}

/// Draws a screen. Returns where its cursor is, if that is shown.
pub(crate) fn draw(
    screen: &vt100::Screen,
    theme: Theme,
    buf: &mut Buffer,
    area: Rect,
    wish: Option<(u16, u16)>,
) -> Option<(u16, u16)> {
    let (top, left) = cut(screen, area, wish);
    let (rows, cols) = screen.size();
    for y in 0..area.height.min(rows.saturating_sub(top)) {
        let mut x = 0;
        while x < area.width.min(cols.saturating_sub(left)) {
            let Some(cell) = screen.cell(top + y, left + x) else {
                break;
            };
            let wide = cell.is_wide() && x + 1 < area.width;
            let taken = if wide { 2 } else { 1 };
            let style = style(cell, theme);
            let shown = symbol(cell, usize::from(taken));
            buf.set_stringn(area.x + x, area.y + y, &shown, usize::from(taken), style);
            x += taken;
        }
    }
    let (row, col) = screen.cursor_position();
    let at = (row.checked_sub(top)?, col.checked_sub(left)?);
    let inside = at.0 < area.height && at.1 < area.width && !screen.hide_cursor();
    inside.then(|| (area.x + at.1, area.y + at.0))
}

/// What a cell shows, in just so many cells.
fn symbol(cell: &vt100::Cell, cells: usize) -> String {
    let contents = cell.contents();
    if contents.is_empty() || cell.is_wide_continuation() {
        return " ".to_owned();
    }
    let mut column = 1;
    let clean = text::piece(contents.as_bytes(), &mut column);
    if text::width(&clean) == cells {
        return clean;
    }
    // Something invisible hangs on it, or it is wider than it says: its first character, if that fits.
    let first = contents
        .chars()
        .next()
        .map(String::from)
        .unwrap_or_default();
    let first = text::piece(first.as_bytes(), &mut 1);
    if text::width(&first) == cells {
        first
    } else {
        "?".repeat(cells)
    }
}

fn style(cell: &vt100::Cell, theme: Theme) -> Style {
    let mut style = Style::new();
    if let Some(color) = color(cell.fgcolor(), theme.depth) {
        style = style.fg(color);
    }
    if let Some(color) = color(cell.bgcolor(), theme.depth) {
        style = style.bg(color);
    }
    for (is, modifier) in [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ] {
        if is {
            style = style.add_modifier(modifier);
        }
    }
    style
}

const SIXTEEN: [Color; 16] = [
    Color::Black,
    Color::Red,
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::Magenta,
    Color::Cyan,
    Color::Gray,
    Color::DarkGray,
    Color::LightRed,
    Color::LightGreen,
    Color::LightYellow,
    Color::LightBlue,
    Color::LightMagenta,
    Color::LightCyan,
    Color::White,
];

/// A colour that the agent chose, as near as this terminal has it.
fn color(color: vt100::Color, depth: Depth) -> Option<Color> {
    if depth == Depth::None {
        return None;
    }
    match color {
        vt100::Color::Default => None,
        vt100::Color::Idx(n) if n < 16 => SIXTEEN.get(usize::from(n)).copied(),
        vt100::Color::Idx(n) if depth >= Depth::Indexed => Some(Color::Indexed(n)),
        vt100::Color::Idx(n) => Some(nearest(cube(n))),
        vt100::Color::Rgb(r, g, b) if depth == Depth::Full => Some(Color::Rgb(r, g, b)),
        vt100::Color::Rgb(r, g, b) if depth == Depth::Indexed => {
            let part = |v: u8| (u16::from(v) * 5 + 127) / 255;
            let n = 16 + 36 * part(r) + 6 * part(g) + part(b);
            Some(Color::Indexed(u8::try_from(n).unwrap_or(15)))
        }
        vt100::Color::Rgb(r, g, b) => Some(nearest((r, g, b))),
    }
}

/// What a number of the 256 colours looks like.
fn cube(n: u8) -> (u8, u8, u8) {
    if n >= 232 {
        let v = 8 + 10 * (n - 232);
        return (v, v, v);
    }
    let n = n.saturating_sub(16);
    let part = |v: u8| if v == 0 { 0 } else { 55 + 40 * v };
    (part(n / 36), part(n / 6 % 6), part(n % 6))
}

/// The one of the terminal's own colours that is most like it: hue by what stands out, then how bright it is.
fn nearest((r, g, b): (u8, u8, u8)) -> Color {
    let most = r.max(g).max(b);
    let least = r.min(g).min(b);
    if most - least < 40 {
        return match most {
            0..=50 => Color::Black,
            51..=140 => Color::DarkGray,
            141..=210 => Color::Gray,
            _ => Color::White,
        };
    }
    let middle = least + (most - least) / 2;
    let bit = |v: u8| usize::from(v > middle);
    let at = bit(r) + 2 * bit(g) + 4 * bit(b) + if most > 200 { 8 } else { 0 };
    SIXTEEN.get(at).copied().unwrap_or(Color::White)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::engine::terminal::client::Emulator;
    use crate::ui::theme::Backdrop;

    fn theme(depth: Depth) -> Theme {
        Theme::new(depth, Backdrop::Unknown)
    }

    fn drawn(bytes: &str, cols: u16, rows: u16, area: Rect, depth: Depth) -> Buffer {
        let mut it = Emulator::new(cols, rows);
        it.print(bytes.as_bytes());
        let mut buf = Buffer::empty(area);
        draw(it.screen(), theme(depth), &mut buf, area, None);
        buf
    }

    fn line(buf: &Buffer, y: u16) -> String {
        let area = *buf.area();
        (0..area.width).map(|x| buf[(x, y)].symbol()).collect()
    }

    #[test]
    fn the_cursor_is_on_what_is_shown() {
        let area = Rect::new(0, 0, 10, 3);
        let mut text = String::new();
        for n in 0..20 {
            text.push_str(&format!("line {n}\r\n"));
        }
        text.push_str("prompt");
        let buf = drawn(&text, 40, 24, area, Depth::Ansi);
        assert_eq!(line(&buf, 0).trim(), "prompt");
        let mut it = Emulator::new(40, 24);
        it.print(text.as_bytes());
        assert_eq!(cut(it.screen(), area, Some((99, 99))), (21, 30));
        assert_eq!(cut(it.screen(), Rect::new(0, 0, 80, 30), None), (0, 0));
    }

    #[test]
    fn cells_hold_nothing_that_steers() {
        let area = Rect::new(0, 0, 30, 2);
        let text = "a\u{202e}b\u{200b}c e\u{301}\u{302}\u{303}\u{304} \u{4f60}\u{597d} \u{1f600}\u{fe0f} \u{e0101}x\u{feff}";
        let buf = drawn(text, 30, 2, area, Depth::Full);
        let all: String = (0..2).map(|y| line(&buf, y)).collect();
        for bad in [
            '\u{202e}',
            '\u{200b}',
            '\u{feff}',
            '\u{e0101}',
            '\u{fe0f}',
            '\u{304}',
        ] {
            assert!(!all.contains(bad), "{bad:?} in {all:?}");
        }
        assert!(all.contains('\u{4f60}') && all.contains('c'), "{all:?}");
    }

    #[test]
    fn a_wide_character_at_the_edge_breaks_no_cell() {
        let area = Rect::new(0, 0, 3, 1);
        let buf = drawn("\u{4f60}\u{597d}\u{4f60}", 20, 1, area, Depth::Ansi);
        let mut it = Emulator::new(20, 2);
        it.print("\u{4f60}\u{597d}\u{4f60}\r".as_bytes());
        let mut other = Buffer::empty(area);
        draw(
            it.screen(),
            theme(Depth::Ansi),
            &mut other,
            area,
            Some((0, 1)),
        );
        for buf in [buf, other] {
            let cells: usize = (0..3).map(|x| text::width(buf[(x, 0)].symbol())).sum();
            assert!(cells <= 4, "{}", line(&buf, 0));
        }
    }

    #[test]
    fn colours_are_as_near_as_the_terminal_has_them() {
        for n in 0..=255u8 {
            for depth in [Depth::None, Depth::Ansi, Depth::Indexed, Depth::Full] {
                for c in [vt100::Color::Idx(n), vt100::Color::Rgb(n, 255 - n, n / 2)] {
                    let shown = color(c, depth);
                    let fits = match shown {
                        None => depth == Depth::None,
                        Some(Color::Rgb(..)) => depth == Depth::Full,
                        Some(Color::Indexed(_)) => depth >= Depth::Indexed,
                        Some(_) => depth >= Depth::Ansi,
                    };
                    assert!(fits, "{c:?} {depth:?} {shown:?}");
                }
            }
        }
        assert_eq!(nearest((250, 40, 30)), Color::LightRed);
        assert_eq!(nearest((10, 120, 20)), Color::Green);
    }
}
