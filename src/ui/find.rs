//! Searching in what is shown: texts by their lines. The steps are searched by [`super::hits`].

use crate::engine::api::search::{self, Pattern};

use super::app::{App, Pane, Tone, View};
use super::diff_rows::BodyRow;
use super::hits;
use super::msg::{Compared, Effect};
use super::state_view::{Content, line_at};
use super::update::toast;

/// A search made ready. Without a capital letter in it, it minds no case; `~` begins a regular expression.
#[derive(Debug, Clone)]
pub(crate) struct Query(Option<Pattern>);

impl Query {
    /// From what was typed.
    pub(crate) fn new(text: &str) -> Self {
        let query = search::Query::text(text).ok();
        Self(query.and_then(|q| q.texts().next().cloned()))
    }

    /// Where the next match in `text` is, from a byte on.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let found = self.0.as_ref()?.find_at(text.as_bytes(), from)?;
        // One of no length would be found for ever, and nobody would see it.
        (found.0 < found.1).then_some(found)
    }

    /// Whether `text` has a match.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.is_in_bytes(text.as_bytes())
    }

    fn is_in_bytes(&self, bytes: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|p| p.is_in(bytes))
    }
}

/// Sets what is searched for, and marked on the screen.
pub(crate) fn set(app: &mut App, text: Option<String>) {
    if app.search != text {
        app.hunt.marks = text.as_ref().map(|t| (t.clone(), Query::new(t)));
        app.hunt.count = None;
        app.hunt.line = None;
    }
    // What was found of another text is no more.
    app.hunt.run.take_if(|run| Some(&run.text) != text.as_ref());
    app.search = text;
}

/// Goes to the n-th next (or previous) match. With `here`, a match at the top of the text on the screen will do.
pub(crate) fn next(app: &mut App, forward: bool, here: bool, n: usize, out: &mut Vec<Effect>) {
    let Some((typed, query)) = app.hunt.marks.clone() else {
        return;
    };
    if hits::over_steps(app) {
        return hits::next(app, forward, n, out);
    }
    if !std::mem::replace(&mut app.hunt.strip, true) {
        app.hunt.line = None;
    }
    let mut found = false;
    for _ in 0..n.clamp(1, 1_000) {
        found = match &app.view {
            Some(View::Diff(_)) => in_diff(app, &query, forward, here),
            Some(View::Raw(_)) => in_raw(app, &query, forward, here),
            Some(View::State(_)) => in_state(app, &query, forward, here),
            Some(_) => false,
            None => in_doc(app, &query, forward, here),
        };
        if !found {
            break;
        }
    }
    if !found {
        let text = format!("not found: {}", super::text::one_line(&typed));
        toast(app, Tone::Note, text, &[], out);
    }
}

/// A line that was found, with which of how many it is, where they could be counted.
struct Found {
    at: usize,
    count: Option<(usize, usize)>,
}

/// Lines of a text in which matches are counted: a key must not wait for more.
const COUNTED: usize = 50_000;

/// The next line of `len` that fits, from `at`, once around.
fn line(
    at: usize,
    len: usize,
    forward: bool,
    here: bool,
    fits: impl Fn(usize) -> bool,
) -> Option<Found> {
    let first = usize::from(!here);
    let found = (first..=len).find_map(|k| {
        let i = if forward {
            (at + k) % len.max(1)
        } else {
            (at + len - k % len.max(1)) % len.max(1)
        };
        (i < len && fits(i)).then_some(i)
    })?;
    let count = (len <= COUNTED).then(|| {
        let all = (0..len).filter(|i| fits(*i));
        let (mut before, mut of) = (0, 0);
        for i in all {
            of += 1;
            before += usize::from(i <= found);
        }
        (before, of)
    });
    Some(Found { at: found, count })
}

fn in_doc(app: &mut App, query: &Query, forward: bool, here: bool) -> bool {
    let pane = if app.pane == Pane::Changes {
        &mut app.changes
    } else {
        &mut app.detail
    };
    let lines = &pane.doc.lines;
    let at = app.hunt.line.unwrap_or(pane.scroll);
    let found = line(at, lines.len(), forward, here, |i| {
        let text: String = lines[i].spans.iter().map(|s| s.content.as_ref()).collect();
        query.is_in(&text)
    });
    if let Some(found) = &found {
        pane.scroll = found.at;
        app.hunt.count = found.count;
        app.hunt.line = Some(found.at);
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
    let at = app.hunt.line.unwrap_or(raw.scroll);
    let found = line(at, lines.len(), forward, here, |i| {
        lines.get(i).is_some_and(|l| query.is_in(&l.text()))
    });
    if let Some(found) = &found {
        raw.scroll = found.at;
        app.hunt.count = found.count;
        app.hunt.line = Some(found.at);
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
        if let (Some(found), Some(View::Diff(view))) = (&found, &mut app.view) {
            view.select(found.at);
            app.hunt.count = found.count;
            app.hunt.line = Some(found.at);
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
    if let (Some(found), Some(View::Diff(view))) = (&found, &mut app.view) {
        view.line = found.at;
        app.hunt.count = found.count;
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
        if let Some(found) = &found {
            state.select(found.at);
            app.hunt.count = found.count;
            app.hunt.line = Some(found.at);
        }
        return found.is_some();
    }
    let Some((_, Content::Ready(bytes, starts))) = &state.content else {
        return false;
    };
    let found = line(state.line, starts.len(), forward, here, |i| {
        line_at(bytes, starts, i).is_some_and(|l| query.is_in_bytes(l))
    });
    if let Some(found) = &found {
        state.walk = None;
        state.line = found.at;
        app.hunt.count = found.count;
        app.hunt.line = Some(found.at);
    }
    found.is_some()
}

/// The word under the cursor: of a text, in the line that the cursor is on or that is the first on the screen; of the list
/// of steps, in the title.
pub(crate) fn word(app: &App) -> Option<String> {
    match &app.view {
        Some(View::Live(_)) => word_of_title(&app.focus_row()?.title),
        None if app.pane == Pane::Timeline => word_of_title(&app.focus_row()?.title),
        None => {
            let pane = if app.pane == Pane::Changes {
                &app.changes
            } else {
                &app.detail
            };
            let line = pane.doc.lines.get(pane.scroll)?;
            let text: String = line.spans.iter().map(|s| s.content.as_ref()).collect();
            word_of_line(&text)
        }
        Some(View::Diff(view)) if view.in_files => name_of(view.selected()?.path.name()),
        Some(View::Diff(view)) => {
            let Compared::Ready(diff) = app.compared(view.selected()?)? else {
                return None;
            };
            let text = |h: usize, i: usize| Some(diff.hunks.get(h)?.lines.get(i)?.text.as_slice());
            let bytes = match *view.body.get(view.line)? {
                BodyRow::Gap(..) => return None,
                BodyRow::Plain(_, new) => match &view.content {
                    Some((_, Content::Ready(bytes, starts))) => line_at(bytes, starts, new)?,
                    _ => return None,
                },
                BodyRow::Heading(h) => diff.hunks.get(h)?.heading.as_slice(),
                BodyRow::Line(h, i) => text(h, i)?,
                BodyRow::Pair(h, a, b) => text(h, b.or(a)?)?,
            };
            word_of_line(&String::from_utf8_lossy(bytes))
        }
        Some(View::State(state)) if !state.in_file => name_of(&state.selected()?.name),
        Some(View::State(state)) => {
            let (_, Content::Ready(bytes, starts)) = state.content.as_ref()? else {
                return None;
            };
            word_of_line(&String::from_utf8_lossy(line_at(
                bytes, starts, state.line,
            )?))
        }
        Some(View::Raw(raw)) => {
            let Some(Ok(lines)) = &raw.lines else {
                return None;
            };
            word_of_line(&lines.get(raw.scroll)?.text())
        }
        Some(_) => None,
    }
}

fn name_of(name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name).into_owned();
    (!name.is_empty()).then_some(name)
}

/// Letters of a word that says something.
const LEAST: usize = 3;
/// Longest word that is searched for.
const LONGEST: usize = 80;

/// Of a title the last word: a file's name, what a command is about.
fn word_of_title(title: &str) -> Option<String> {
    title
        .split_whitespace()
        .rev()
        .map(|word| {
            let word = word.trim_end_matches('/');
            let name = word.rsplit('/').next().unwrap_or(word);
            name.trim_matches(|c: char| !c.is_alphanumeric())
        })
        .find(|word| word.chars().count() >= LEAST && word.len() <= LONGEST)
        .map(str::to_owned)
}

/// Of a line of text the longest name: there is no column to go by, and long names say most.
fn word_of_line(line: &str) -> Option<String> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.chars().count() >= LEAST && word.len() <= LONGEST)
        .max_by_key(|word| (word.chars().any(char::is_alphabetic), word.len()))
        .map(str::to_owned)
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
        assert!(Query::new("~^a+$").is_in("aaa") && !Query::new("~^a+$").is_in("aab"));
        assert_eq!(Query::new("~x*").find("aaa", 0), None);
        assert!(!Query::new("~(").is_in("~("));
    }

    #[test]
    fn lines_are_searched_once_around() {
        let fits = |i: usize| i == 1;
        let at = |found: Option<Found>| found.map(|f| f.at);
        assert_eq!(at(line(3, 5, true, false, fits)), Some(1));
        assert_eq!(at(line(3, 5, false, false, fits)), Some(1));
        assert_eq!(at(line(1, 5, true, true, fits)), Some(1));
        assert_eq!(at(line(1, 5, true, false, fits)), Some(1));
        assert_eq!(at(line(0, 0, true, true, fits)), None);
        assert_eq!(at(line(0, 3, true, true, |_| false)), None);
        let even = |i: usize| i.is_multiple_of(2);
        let found = line(2, 9, true, false, even);
        assert_eq!(found.map(|f| (f.at, f.count)), Some((4, Some((3, 5)))));
    }

    #[test]
    fn words_are_what_says_most() {
        for (title, word) in [
            ("src/auth/token.rs", Some("token.rs")),
            ("cargo test auth", Some("auth")),
            ("rm -rf build/", Some("build")),
            ("ms vs s mismatch\".", Some("mismatch")),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(word_of_title(title).as_deref(), word, "{title}");
        }
        for (line, word) in [
            ("  let now = clock.now_ms();", Some("now_ms")),
            ("pub fn is_expired(&self) -> bool {", Some("is_expired")),
            ("42 | 1234567 + ab", Some("1234567")),
            ("} //", None),
        ] {
            assert_eq!(word_of_line(line).as_deref(), word, "{line}");
        }
    }
}
