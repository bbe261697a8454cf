//! The help: the keys of the view below it, grouped, filtered by what is typed; and the manual, which has all of it at
//! length. Both come from the table of actions.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::action::{Action, Context, Entry, Group, TABLE};
use super::app::{App, Overlay};
use super::draw::key_of;
use super::keymap::section;
use super::keys::{self, Key};
use super::overlay::popup;
use super::paint;
use super::text;
use super::theme::Token;

/// Longest filter.
const MOST: usize = 40;

/// Cells of the keys before a title.
const KEYS: usize = 11;

/// The help as it is open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HelpView {
    /// First line shown.
    pub scroll: usize,
    /// What is typed: only what holds it is shown.
    pub filter: String,
    /// The manual, not the keys of a view.
    pub manual: bool,
}

impl HelpView {
    /// A key was pressed. `true` when it was for the filter; others are actions.
    pub(crate) fn key(&mut self, key: Key) -> bool {
        match (key.code, key.typed()) {
            (KeyCode::Char('?'), _) => false,
            (KeyCode::Backspace, _) if !self.filter.is_empty() => {
                self.filter.pop();
                self.scroll = 0;
                true
            }
            (KeyCode::Esc, _) if !self.filter.is_empty() => {
                self.filter.clear();
                self.scroll = 0;
                true
            }
            (KeyCode::Char('u'), _) if key.ctrl => {
                self.filter.clear();
                true
            }
            // The manual is read, like any long text.
            (_, Some(c)) if !self.manual && (c != ' ' || !self.filter.is_empty()) => {
                if self.filter.chars().count() < MOST {
                    self.filter.push(c);
                }
                self.scroll = 0;
                true
            }
            _ => false,
        }
    }

    /// Text was pasted: into the filter.
    pub(crate) fn paste(&mut self, pasted: &str) {
        let line = pasted.lines().next().unwrap_or_default();
        let room = MOST.saturating_sub(self.filter.chars().count());
        self.filter
            .extend(line.chars().filter(|c| !c.is_control()).take(room));
    }

    /// Lines up or down.
    pub(crate) fn scrolled(&mut self, n: usize, forward: bool) {
        self.scroll = if forward {
            self.scroll.saturating_add(n).min(4000)
        } else {
            self.scroll.saturating_sub(n)
        };
    }
}

/// One line of the help: an action, or one with its counterpart.
struct Item {
    keys: String,
    title: String,
    off: bool,
}

fn bound(app: &App, entry: &Entry, context: Context) -> Vec<String> {
    let ascii = app.look.glyphs.cursor == ">";
    app.feel
        .keymap
        .keys(entry.action, context)
        .map(|b| keys::shown_strokes(&b.strokes, ascii))
        .collect()
}

/// Whether the second key is the other direction of the first: `s` and `S`, `]c` and `[c`.
fn opposite(a: &str, b: &str) -> bool {
    let pairs = [
        ("j", "k"),
        ("h", "l"),
        ("gg", "G"),
        ("(", ")"),
        ("{", "}"),
        ("f", "F"),
        ("PgDn", "PgUp"),
        ("Tab", "S-Tab"),
        (".", ","),
    ];
    let brackets = a
        .strip_prefix(']')
        .zip(b.strip_prefix('['))
        .is_some_and(|(x, y)| x == y);
    let case = a.chars().count() == 1 && a.to_uppercase() == *b && a != b;
    brackets || case || pairs.contains(&(a, b))
}

/// The words for both of a pair: what they share is said once.
fn both(a: &str, b: &str) -> String {
    if let (Some(x), Some(y)) = (a.strip_prefix("next "), b.strip_prefix("previous "))
        && x == y
    {
        return format!("next, prev {x}");
    }
    let mut shared = 0;
    for (x, y) in a.split(' ').zip(b.split(' ')) {
        if x != y {
            break;
        }
        shared += x.len() + 1;
    }
    let (first, rest) = (a.get(shared..).unwrap_or(""), b.get(shared..).unwrap_or(""));
    // "step over / back": what both end with is said once, too.
    let rest = match rest.strip_suffix(first) {
        Some(own) if !first.is_empty() && own.ends_with(' ') => own.trim_end(),
        _ => rest,
    };
    let rest = rest.replace("previous", "prev");
    if rest.is_empty() {
        format!("{a} / {b}")
    } else {
        format!("{a} / {rest}")
    }
}

fn items(app: &App, group: Group, context: Context, filter: &str) -> Vec<Item> {
    let here: Vec<(&Entry, Vec<String>)> = TABLE
        .iter()
        .filter(|e| e.group == group && e.contexts.contains(&context))
        .map(|e| (e, bound(app, e, context)))
        .filter(|(_, keys)| !keys.is_empty())
        .filter(|(e, keys)| fits(e, keys, filter))
        .collect();
    let mut out = Vec::new();
    let mut at = here.iter().peekable();
    while let Some((entry, keys)) = at.next() {
        let off = app.enabled(entry.action).is_err();
        if let Some((other, theirs)) = at.peek()
            && keys
                .first()
                .zip(theirs.first())
                .is_some_and(|(a, b)| opposite(a, b))
            && app.enabled(other.action).is_err() == off
        {
            let title = both(entry.title, other.title);
            let mut shown = vec![keys[0].clone(), theirs[0].clone()];
            let more = keys.get(1).zip(theirs.get(1));
            if let Some((a, b)) = more
                && keys[0].len() + theirs[0].len() + a.len() + b.len() + 3 < KEYS
            {
                shown.extend([a.clone(), b.clone()]);
            }
            out.push(Item {
                keys: shown.join(" "),
                title,
                off,
            });
            at.next();
            continue;
        }
        out.push(Item {
            keys: keys.join(" "),
            title: entry.title.to_owned(),
            off,
        });
    }
    out
}

/// Whether an entry holds what is typed: in its words, its name or its keys.
fn fits(entry: &Entry, keys: &[String], filter: &str) -> bool {
    if filter.is_empty() {
        return true;
    }
    // A key is meant exactly; a word anywhere.
    if keys.iter().any(|k| k == filter) {
        return true;
    }
    let filter = filter.to_lowercase();
    filter.split_whitespace().all(|word| {
        entry.title.to_lowercase().contains(word)
            || entry.id.contains(word)
            || entry.description.to_lowercase().contains(word)
    })
}

/// One group as lines, headed by its name.
fn group(app: &App, group: Group, context: Context, filter: &str) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let title = match group {
        Group::World => format!("{} (all undoable)", group.title()),
        _ => group.title().to_owned(),
    };
    let mut out = vec![Line::from(Span::styled(title, theme.style(Token::Focus)))];
    for item in items(app, group, context, filter) {
        let style = |token| theme.style(if item.off { Token::Dim } else { token });
        out.push(Line::from(vec![
            Span::styled(format!("{:<KEYS$} ", item.keys), style(Token::Key)),
            Span::styled(item.title.clone(), style(Token::Text)),
        ]));
    }
    out
}

/// Why keys of this view do nothing now.
fn disabled(app: &App, context: Context) -> Vec<String> {
    let mut seen: Vec<(String, String)> = Vec::new();
    for entry in TABLE.iter().filter(|e| e.contexts.contains(&context)) {
        if let Err(why) = app.enabled(entry.action) {
            let key = key_of(app, entry.action);
            if key.is_empty() {
                continue;
            }
            match seen.iter_mut().find(|(_, w)| *w == why) {
                Some((keys, _)) => {
                    keys.push(' ');
                    keys.push_str(&key);
                }
                None => seen.push((key, why)),
            }
        }
    }
    seen.into_iter()
        .map(|(keys, why)| format!("{keys} ({why})"))
        .collect()
}

/// Puts groups of lines into columns of about the same height. In a column, and from column to column, they keep their
/// order as far as that goes.
fn stacked(groups: Vec<Vec<Line<'static>>>, columns: usize) -> Vec<Vec<Line<'static>>> {
    let mut tallest_first: Vec<usize> = (0..groups.len()).collect();
    tallest_first.sort_by_key(|g| std::cmp::Reverse(groups.get(*g).map_or(0, Vec::len)));
    let mut stacks: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); columns];
    for g in tallest_first {
        if let Some(stack) = stacks.iter_mut().min_by_key(|(height, _)| *height) {
            stack.0 += groups.get(g).map_or(0, Vec::len) + 1;
            stack.1.push(g);
        }
    }
    for (_, held) in &mut stacks {
        held.sort_unstable();
    }
    stacks.sort_by_key(|(_, held)| held.first().copied().unwrap_or(usize::MAX));
    stacks
        .into_iter()
        .map(|(_, held)| {
            let parts: Vec<Vec<Line<'static>>> = held
                .into_iter()
                .filter_map(|g| groups.get(g).cloned())
                .collect();
            parts.join(&Line::default())
        })
        .collect()
}

/// The help set out in columns.
struct Laid {
    stacks: Vec<Vec<Line<'static>>>,
    /// Cells of a column.
    width: usize,
    /// Lines below the columns.
    tail: Vec<Line<'static>>,
}

impl Laid {
    /// Lines of the columns.
    fn tall(&self) -> usize {
        self.stacks.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn total(&self) -> usize {
        self.tall() + self.tail.len()
    }
}

/// Keeps the scrolling within what there is.
pub(crate) fn arrange(app: &mut App, body: Rect) {
    let Some(Overlay::Help(help)) = &app.overlay else {
        return;
    };
    let visible = usize::from(body.height.saturating_sub(2));
    let total = if help.manual {
        manual_lines(app, usize::from(body.width.saturating_sub(4))).len()
    } else {
        lay_out(app, help, body).total()
    };
    if let Some(Overlay::Help(help)) = &mut app.overlay {
        help.scroll = help.scroll.min(total.saturating_sub(visible));
    }
}

fn lay_out(app: &App, help: &HelpView, body: Rect) -> Laid {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let context = app.view_context();
    let inner_width = usize::from(body.width.saturating_sub(4));
    let columns = (inner_width / 30).clamp(1, 4);
    let width = inner_width / columns;
    let groups: Vec<_> = Group::ALL
        .into_iter()
        .map(|g| group(app, g, context, &help.filter))
        .filter(|lines| lines.len() > 1)
        .collect();
    let nothing = groups.is_empty();
    let stacks = stacked(groups, columns);
    let mut tail: Vec<Line<'static>> = Vec::new();
    if nothing {
        let words = "No key of this view is about that. The palette (:) knows all of them.";
        tail.push(Line::from(Span::styled(words, dim)));
    }
    if help.filter.is_empty() {
        tail.push(Line::default());
        let words = "Lower case goes forward, Shift back. A number before a key repeats it: 5s. 142G goes to step 142.";
        for line in text::wrap(words, inner_width) {
            tail.push(Line::from(Span::styled(line, dim)));
        }
        let off = disabled(app, context);
        if !off.is_empty() {
            let words = format!("disabled now:  {}", off.join("   "));
            for line in text::wrap(&words, inner_width) {
                tail.push(Line::from(Span::styled(line, dim)));
            }
        }
        for warning in app.status.iter().flat_map(|s| &s.warnings) {
            let words = format!("! {}", text::one_line(warning));
            for line in text::wrap(&words, inner_width) {
                let warn = look.theme.style(Token::Warn);
                tail.push(Line::from(Span::styled(line, warn)));
            }
        }
    }
    Laid {
        stacks,
        width,
        tail,
    }
}

/// Draws the help, or the manual.
pub(crate) fn draw(app: &App, help: &HelpView, buf: &mut Buffer, body: Rect) {
    if help.manual {
        return manual(app, help, buf, body);
    }
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let context = app.view_context();
    let laid = lay_out(app, help, body);
    let (tall, total) = (laid.tall(), laid.total());
    let Laid {
        stacks,
        width,
        tail,
    } = laid;
    let height = u16::try_from(total + 2).unwrap_or(u16::MAX).max(5);
    let area = Rect::new(body.x, body.y, body.width, height.min(body.height));
    let visible = usize::from(area.height.saturating_sub(2));
    let scroll = help.scroll.min(total.saturating_sub(visible));
    let dot = look.glyphs.dot;
    let more = if total > visible {
        let arrows = if look.glyphs.cursor == ">" {
            "Up Down"
        } else {
            "↑↓"
        };
        format!("{arrows} scroll {dot} ")
    } else {
        String::new()
    };
    let mut bottom = format!("{more}? or Esc closes {dot} F1 manual");
    if body.width >= 90 {
        let file = &app.feel.file;
        if !file.is_empty() {
            bottom.push_str(&format!(" {dot} keymap: {}", text::one_line(file)));
        }
    }
    let title = format!("Help  {}  {dot}  {}", context.heading(), typed(help));
    let inner = popup(app, buf, area, &title, &[Span::styled(bottom, dim)]);
    for y in 0..inner.height {
        let at = scroll + usize::from(y);
        let place = Rect::new(inner.x + 1, inner.y + y, inner.width.saturating_sub(2), 1);
        if at >= tall {
            if let Some(line) = tail.get(at - tall) {
                paint::line(buf, place, line, 0, look.glyphs.ellipsis);
            }
            continue;
        }
        for (i, stack) in stacks.iter().enumerate() {
            let Some(line) = stack.get(at) else { continue };
            let x = place.x + u16::try_from(i * width).unwrap_or(0);
            let cell = Rect::new(x, place.y, u16::try_from(width - 1).unwrap_or(0), 1);
            paint::line(buf, cell, line, 0, look.glyphs.ellipsis);
        }
    }
}

fn typed(help: &HelpView) -> String {
    if help.filter.is_empty() {
        "type to filter".to_owned()
    } else {
        format!("filter: {}", text::one_line(&help.filter))
    }
}

/// The whole manual as lines of that width.
fn manual_lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let ascii = app.look.glyphs.cursor == ">";
    let mut out = Vec::new();
    for (title, words) in INTRODUCTION {
        out.push(Line::from(Span::styled(*title, theme.style(Token::Focus))));
        for line in text::wrap(words, width.saturating_sub(2)) {
            out.push(Line::from(format!("  {line}")));
        }
        out.push(Line::default());
    }
    for group in Group::ALL {
        let mut entries = TABLE.iter().filter(|e| e.group == group).peekable();
        if entries.peek().is_none() {
            continue;
        }
        out.push(Line::from(Span::styled(
            group.title(),
            theme.style(Token::Focus),
        )));
        for entry in entries {
            let mut keys: Vec<String> = Vec::new();
            for context in entry.contexts {
                for binding in app.feel.keymap.keys(entry.action, *context) {
                    let shown = keys::shown_strokes(&binding.strokes, ascii);
                    if !keys.contains(&shown) {
                        keys.push(shown);
                    }
                }
            }
            let keys = if keys.is_empty() {
                "no key".to_owned()
            } else {
                keys.join("  ")
            };
            out.push(Line::from(vec![
                Span::styled(format!("  {keys:<14} "), theme.style(Token::Key)),
                Span::styled(entry.title, bold),
                Span::styled(format!("   {}", entry.id), dim),
            ]));
            let undo = if entry.world {
                " Can be taken back."
            } else {
                ""
            };
            let words = format!("{}{undo}", entry.description);
            for line in text::wrap(&words, width.saturating_sub(17)) {
                out.push(Line::from(format!("                 {line}")));
            }
            let views: Vec<String> = entry.contexts.iter().map(|c| section(*c)).collect();
            let views = if views.len() == super::action::EVERYWHERE.len() {
                "everywhere".to_owned()
            } else {
                views.join(", ")
            };
            for line in text::wrap(&views, width.saturating_sub(17)) {
                let line = format!("                 {line}");
                out.push(Line::from(Span::styled(line, dim)));
            }
        }
        out.push(Line::default());
    }
    out
}

/// What the manual says before the keys.
const INTRODUCTION: &[(&str, &str)] = &[
    (
        "WHAT YOU LOOK AT, AND WHAT IS ON DISK",
        "The header shows both: the step that you look at, and after \"workspace =\" the step whose files are on disk. Going through steps never changes a file. Only verbs under \"change the world\" do; what is there is saved first, and undo takes them back.",
    ),
    (
        "HOW KEYS ARE MADE",
        "Lower case goes forward in time, Shift goes back. ] and [ with a letter find the next and the previous thing of a kind. g goes to a list, z changes how a view looks, y copies. A number before a key repeats it; 142G goes to step 142, as :142 does. After a prefix has waited, what may follow is shown.",
    ),
    (
        "THE MOUSE",
        "The wheel scrolls the pane below it, a click selects, a double click is Enter, a click on the line below the header goes to that part of the run, the border between panes can be dragged. % gives the mouse back to the terminal, so that text can be selected there.",
    ),
    (
        "SETTINGS",
        "backtrail config says where the file is, and whether it can be followed; backtrail config --default prints everything that can be set, also all keys. A change is taken over at once.",
    ),
];

fn manual(app: &App, help: &HelpView, buf: &mut Buffer, body: Rect) {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let dot = look.glyphs.dot;
    let bottom = [Span::styled(
        format!(
            "{} {} scroll {dot} F1 keys of this view {dot} Esc closes",
            key_of(app, Action::Down),
            key_of(app, Action::Up)
        ),
        dim,
    )];
    let inner = popup(app, buf, body, "Manual", &bottom);
    let width = usize::from(inner.width.saturating_sub(2));
    let lines = manual_lines(app, width);
    let scroll = help
        .scroll
        .min(lines.len().saturating_sub(usize::from(inner.height)));
    for (y, line) in (inner.y..inner.bottom()).zip(lines.iter().skip(scroll)) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
    }
}
