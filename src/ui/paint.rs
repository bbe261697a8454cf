//! Brushes: frames, lines cut to their place, marks on what was searched for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::Look;
use super::find::Query;
use super::text;
use super::theme::Token;

/// Draws a line into a row of cells, leaving out its first `left` cells. What does not fit is marked as cut. Returns the
/// cells used.
pub(crate) fn line(buf: &mut Buffer, area: Rect, line: &Line<'_>, left: usize, cut: &str) -> u16 {
    if area.width == 0 || area.height == 0 {
        return 0;
    }
    let area = Rect { height: 1, ..area };
    buf.set_style(area, line.style);
    let mut skip = left;
    let mut x = area.x;
    let end = area.right();
    for span in &line.spans {
        let style = line.style.patch(span.style);
        let mut run = String::new();
        let mut cells = 0u16;
        for c in span.content.chars() {
            let w = text::char_width(c);
            if skip > 0 && w > 0 {
                skip = skip.saturating_sub(w);
                continue;
            }
            let w16 = u16::try_from(w).unwrap_or(0);
            if x + cells + w16 > end {
                put(buf, x, area.y, &run, style, end);
                let at = end.saturating_sub(1);
                if !cut.is_empty() && at >= area.x {
                    buf.set_stringn(at, area.y, cut, 1, style);
                }
                return area.width;
            }
            run.push(c);
            cells += w16;
        }
        put(buf, x, area.y, &run, style, end);
        x += cells;
    }
    x - area.x
}

/// Breaks styled text into lines of at most `cells`, and so many lines at most.
pub(crate) fn wrapped(spans: &[Span<'static>], cells: usize, most: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let mut line: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for span in spans {
        let mut run = String::new();
        for c in span.content.chars() {
            let wide = text::char_width(c);
            if used + wide > cells && used > 0 {
                line.push(Span::styled(std::mem::take(&mut run), span.style));
                out.push(Line::from(std::mem::take(&mut line)));
                used = 0;
                if out.len() >= most {
                    return out;
                }
            }
            run.push(c);
            used += wide;
        }
        line.push(Span::styled(run, span.style));
    }
    out.push(Line::from(line));
    out
}

fn put(buf: &mut Buffer, x: u16, y: u16, run: &str, style: Style, end: u16) {
    if x < end && !run.is_empty() {
        buf.set_stringn(x, y, run, usize::from(end - x), style);
    }
}

/// Draws a pane's frame with words in its upper and lower edge; returns what is inside.
pub(crate) fn frame(
    buf: &mut Buffer,
    area: Rect,
    look: &Look,
    active: bool,
    title: &[Span<'static>],
    bottom: &[Span<'static>],
) -> Rect {
    if area.width < 2 || area.height < 2 {
        return Rect::new(area.x, area.y, 0, 0);
    }
    let style = look.theme.style(if active {
        Token::FrameActive
    } else {
        Token::Frame
    });
    let [tl, tr, bl, br, h, v] = look.glyphs.frame;
    let (right, last) = (area.right() - 1, area.bottom() - 1);
    for x in area.x + 1..right {
        buf.set_string(x, area.y, h, style);
        buf.set_string(x, last, h, style);
    }
    for y in area.y + 1..last {
        buf.set_string(area.x, y, v, style);
        buf.set_string(right, y, v, style);
    }
    for (x, y, corner) in [
        (area.x, area.y, tl),
        (right, area.y, tr),
        (area.x, last, bl),
        (right, last, br),
    ] {
        buf.set_string(x, y, corner, style);
    }
    edge(buf, area, area.y, look, title);
    edge(buf, area, last, look, bottom);
    super::screen::inner(area)
}

/// Words in an edge, with a blank on either side.
fn edge(buf: &mut Buffer, area: Rect, y: u16, look: &Look, words: &[Span<'static>]) {
    let room = area.width.saturating_sub(4);
    if words.is_empty() || room < 4 {
        return;
    }
    let words = Line::from(words.to_vec());
    let cells = u16::try_from(words.width()).unwrap_or(room).min(room - 1);
    if cells == 0 {
        return;
    }
    // The frame's style must not shine through.
    for x in area.x + 1..area.x + 3 + cells {
        if let Some(cell) = buf.cell_mut((x, y)) {
            cell.reset();
        }
    }
    let place = Rect::new(area.x + 2, y, cells, 1);
    line(buf, place, &words, 0, look.glyphs.ellipsis);
}

/// Marks every match of a search within an area.
pub(crate) fn matches(buf: &mut Buffer, area: Rect, look: &Look, query: Option<&Query>) {
    let Some(query) = query else { return };
    let style = look.theme.style(Token::Match);
    for y in area.top()..area.bottom() {
        let mut text = String::new();
        let mut starts = Vec::new();
        for x in area.left()..area.right() {
            let Some(cell) = buf.cell((x, y)) else {
                continue;
            };
            starts.push((text.len(), x));
            text.push_str(cell.symbol());
        }
        let mut from = 0;
        while let Some((start, end)) = query.find(&text, from) {
            for (at, x) in &starts {
                if (start..end).contains(at) {
                    buf.set_style(Rect::new(*x, y, 1, 1), style);
                }
            }
            from = end;
        }
    }
}

/// Hints for keys, as many as there is room for: each a key and a word.
pub(crate) fn hints(look: &Look, hints: &[(String, String)], room: usize) -> Vec<Span<'static>> {
    placed(look, hints, room).0
}

/// The same, with which of them stand where: from which cell, and how many.
pub(crate) fn placed(
    look: &Look,
    hints: &[(String, String)],
    room: usize,
) -> (Vec<Span<'static>>, Vec<(usize, usize, usize)>) {
    let mut spans = Vec::new();
    let mut places = Vec::new();
    let mut used = 0;
    for (i, (key, word)) in hints.iter().enumerate() {
        // Bound to nothing here.
        if key.is_empty() {
            continue;
        }
        let gap = if spans.is_empty() { 0 } else { 2 };
        let cells = gap + text::width(key) + 1 + text::width(word);
        if used + cells > room {
            continue;
        }
        places.push((i, used + gap, cells - gap));
        used += cells;
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(Span::styled(key.clone(), look.theme.style(Token::Key)));
        spans.push(Span::raw(" "));
        spans.push(Span::styled(word.clone(), look.theme.style(Token::Dim)));
    }
    (spans, places)
}
