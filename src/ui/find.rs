//! Searching: steps by their words, texts by their lines. Without a capital letter in it a search minds no case.

use crate::engine::api::Row;

use super::app::{App, Pane, Tone, View};
use super::diff_rows::BodyRow;
use super::msg::{Compared, Effect};
use super::state_view::{Content, line_at};
use super::travel;
use super::update::toast;
use super::words;

/// A search made ready.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    text: String,
    exact: bool,
}

impl Query {
    /// From what was typed.
    pub(crate) fn new(text: &str) -> Self {
        let exact = text.chars().any(char::is_uppercase);
        Self {
            text: if exact {
                text.to_owned()
            } else {
                text.to_lowercase()
            },
            exact,
        }
    }

    /// Where the next match in `text` is, from a byte on.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let rest = text.get(from..)?;
        if self.text.is_empty() {
            return None;
        }
        if self.exact {
            let at = rest.find(&self.text)? + from;
            return Some((at, at + self.text.len()));
        }
        // Lowering may change lengths: compare character by character from every beginning.
        rest.char_indices().find_map(|(i, _)| {
            let mut wanted = self.text.chars();
            let mut end = 0;
            let mut next = wanted.next();
            for (k, c) in rest[i..].char_indices() {
                if next.is_none() {
                    break;
                }
                for lower in c.to_lowercase() {
                    if next != Some(lower) {
                        return None;
                    }
                    next = wanted.next();
                }
                end = k + c.len_utf8();
            }
            next.is_none().then_some((from + i, from + i + end))
        })
    }

    /// Whether `text` has a match.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        if !self.exact && text.is_ascii() && self.text.is_ascii() {
            let (text, wanted) = (text.as_bytes(), self.text.as_bytes());
            return !wanted.is_empty()
                && text
                    .windows(wanted.len())
                    .any(|w| w.eq_ignore_ascii_case(wanted));
        }
        self.find(text, 0).is_some()
    }

    fn is_in_bytes(&self, bytes: &[u8]) -> bool {
        self.is_in(&String::from_utf8_lossy(bytes))
    }
}

fn row_fits(app: &App, query: &Query, row: &Row) -> bool {
    if query.is_in(&row.title)
        || query.is_in(&words::kind(row))
        || row.labels.iter().any(|l| query.is_in(l))
    {
        return true;
    }
    let Some(detail) = app.shelf.details.peek(&row.step) else {
        return false;
    };
    let texts = [&detail.body, &detail.output];
    texts.into_iter().flatten().any(|t| query.is_in(&t.text))
        || detail
            .changes
            .iter()
            .any(|c| query.is_in(&c.path.to_string()))
}

/// Goes to the next (or previous) match. With `here`, a match at the top of the text on the screen will do.
pub(crate) fn next(app: &mut App, forward: bool, here: bool, out: &mut Vec<Effect>) {
    let Some(text) = app.search.clone() else {
        return;
    };
    let query = Query::new(&text);
    let found = match &app.view {
        Some(View::Diff(_)) => in_diff(app, &query, forward, here),
        Some(View::List(_) | View::Merge(_)) => false,
        Some(View::Raw(_)) => in_raw(app, &query, forward, here),
        Some(View::State(_)) => in_state(app, &query, forward, here),
        Some(View::Live(_)) => in_rows(app, &query, forward),
        None if app.pane == Pane::Timeline => in_rows(app, &query, forward),
        None => in_doc(app, &query, forward, here),
    };
    if !found {
        let text = format!("not found: {}", super::text::one_line(&text));
        toast(app, Tone::Note, text, &[], out);
    }
}

fn in_rows(app: &mut App, query: &Query, forward: bool) -> bool {
    let Some(at) = app.focus_index() else {
        return false;
    };
    let fits = |row: &Row| row_fits(app, query, row);
    let found = app.rows.find(at, forward, fits).or_else(|| {
        // Once around.
        if !forward {
            app.rows.find(app.rows.len(), false, fits)
        } else if app.rows.first().is_some_and(fits) {
            Some(0)
        } else {
            app.rows.find(0, true, fits)
        }
    });
    if let Some(found) = found {
        travel::to_index(app, found);
    }
    found.is_some()
}

/// The next line of `len` that fits, from `at`, once around.
fn line(
    at: usize,
    len: usize,
    forward: bool,
    here: bool,
    fits: impl Fn(usize) -> bool,
) -> Option<usize> {
    let first = usize::from(!here);
    (first..=len).find_map(|k| {
        let i = if forward {
            (at + k) % len.max(1)
        } else {
            (at + len - k % len.max(1)) % len.max(1)
        };
        (i < len && fits(i)).then_some(i)
    })
}

fn in_doc(app: &mut App, query: &Query, forward: bool, here: bool) -> bool {
    let pane = if app.pane == Pane::Changes {
        &mut app.changes
    } else {
        &mut app.detail
    };
    let lines = &pane.doc.lines;
    let found = line(pane.scroll, lines.len(), forward, here, |i| {
        let text: String = lines[i].spans.iter().map(|s| s.content.as_ref()).collect();
        query.is_in(&text)
    });
    if let Some(at) = found {
        pane.scroll = at;
    }
    found.is_some()
}

fn in_raw(app: &mut App, query: &Query, forward: bool, here: bool) -> bool {
    let Some(View::Raw(raw)) = &mut app.view else {
        return false;
    };
    let Some(Ok(lines)) = &raw.lines else {
        return false;
    };
    let found = line(raw.scroll, lines.len(), forward, here, |i| {
        lines.get(i).is_some_and(|l| query.is_in(&l.text()))
    });
    if let Some(at) = found {
        raw.scroll = at;
    }
    found.is_some()
}

fn in_diff(app: &mut App, query: &Query, forward: bool, here: bool) -> bool {
    let Some(View::Diff(view)) = &app.view else {
        return false;
    };
    if view.in_files {
        let found = line(view.cursor, view.changes.len(), forward, false, |i| {
            query.is_in(&view.changes[i].path.to_string())
        });
        if let (Some(at), Some(View::Diff(view))) = (found, &mut app.view) {
            view.select(at);
        }
        return found.is_some();
    }
    let Some(Compared::Ready(diff)) = view.selected().and_then(|c| app.compared(c)) else {
        return false;
    };
    let has = |h: usize, i: Option<usize>| {
        i.and_then(|i| diff.hunks.get(h)?.lines.get(i))
            .is_some_and(|l| query.is_in_bytes(&l.text))
    };
    let found = line(view.line, view.body.len(), forward, here, |i| {
        match view.body[i] {
            BodyRow::Gap(..) => false,
            BodyRow::Plain(_, new) => match &view.content {
                Some((_, Content::Ready(bytes, starts))) => {
                    line_at(bytes, starts, new).is_some_and(|l| query.is_in_bytes(l))
                }
                _ => false,
            },
            BodyRow::Heading(h) => diff
                .hunks
                .get(h)
                .is_some_and(|h| query.is_in_bytes(&h.heading)),
            BodyRow::Line(h, i) => has(h, Some(i)),
            BodyRow::Pair(h, a, b) => has(h, a) || has(h, b),
        }
    });
    if let (Some(at), Some(View::Diff(view))) = (found, &mut app.view) {
        view.line = at;
    }
    found.is_some()
}

fn in_state(app: &mut App, query: &Query, forward: bool, here: bool) -> bool {
    let Some(View::State(state)) = &mut app.view else {
        return false;
    };
    if !state.in_file {
        let found = line(state.cursor, state.nodes.len(), forward, false, |i| {
            query.is_in_bytes(&state.nodes[i].name)
        });
        if let Some(at) = found {
            state.select(at);
        }
        return found.is_some();
    }
    let Some((_, Content::Ready(bytes, starts))) = &state.content else {
        return false;
    };
    let found = line(state.scroll, starts.len(), forward, here, |i| {
        line_at(bytes, starts, i).is_some_and(|l| query.is_in_bytes(l))
    });
    if let Some(at) = found {
        state.scroll = at;
    }
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_minded_only_when_asked_for() {
        assert!(Query::new("token").is_in("Token.rs"));
        assert!(!Query::new("Token").is_in("token.rs"));
        assert!(Query::new("straße").is_in("STRASSE straße"));
        assert_eq!(Query::new("b").find("aBb", 0), Some((1, 2)));
        assert_eq!(Query::new("é").find("aÉ", 0), Some((1, 3)));
        assert!(!Query::new("").is_in("anything"));
    }

    #[test]
    fn lines_are_searched_once_around() {
        let fits = |i: usize| i == 1;
        assert_eq!(line(3, 5, true, false, fits), Some(1));
        assert_eq!(line(3, 5, false, false, fits), Some(1));
        assert_eq!(line(1, 5, true, true, fits), Some(1));
        assert_eq!(line(1, 5, true, false, fits), Some(1));
        assert_eq!(line(0, 0, true, true, fits), None);
        assert_eq!(line(0, 3, true, true, |_| false), None);
    }
}
