//! Colours and glyphs by meaning.
//!
//! Code names what a thing is ([`Token`]); only this file knows how it looks. The default is the terminal's own 16
//! colours on its own background, so every scheme a person has chosen keeps working; finer tints are used only where the
//! terminal has the colours, and says which background they will lie on or is given one by a theme. No fact is told by
//! colour alone: signs, markers and weight remain when there is none.

mod colours;
mod glyphs;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use colours::Hue;
pub(crate) use colours::{Colours, kept, named, names};
pub(crate) use glyphs::{ASCII, Glyphs, PLAIN, UNICODE};

/// How many colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None (`NO_COLOR`): weight, underline and reverse only.
    None,
    /// The terminal's own palette.
    Ansi,
    /// 256 colours.
    Indexed,
    /// Any colour.
    Full,
}

/// What lies behind the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backdrop {
    /// The terminal did not say.
    Unknown,
    /// Light on dark.
    Dark,
    /// Dark on light.
    Light,
}

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// Ordinary text.
    Text,
    /// Secondary text.
    Dim,
    /// Frames and rules.
    Frame,
    /// The frame and title of the pane that has the keys.
    FrameActive,
    /// A pane's title.
    Title,
    /// The program's name.
    Brand,
    /// What is being looked at.
    Focus,
    /// The workspace on disk.
    Workspace,
    /// A running session.
    Live,
    /// A recording.
    Replay,
    /// A person's words.
    Prompt,
    /// The agent's reasoning.
    Thought,
    /// A kind of call.
    Kind,
    /// A change that nobody's call made.
    Foreign,
    /// Added lines.
    Added,
    /// Removed lines.
    Removed,
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// It needs a look.
    Warn,
    /// A label.
    Label,
    /// A key in a hint.
    Key,
    /// A match of the search.
    Match,
    /// A graph lane.
    Lane(usize),
}

/// What a word of source code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Syntax {
    /// Nothing special.
    #[default]
    Plain,
    Keyword,
    Type,
    Function,
    Text,
    Number,
    Constant,
    Comment,
    Tag,
    Attribute,
    Sign,
}

/// Whose colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The dark or the light ones, where the terminal says which; else its own 16.
    Auto,
    /// The terminal's own 16.
    Ansi,
    /// These.
    Theme(&'static Colours),
}

/// How things look here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// How many colours.
    pub depth: Depth,
    /// On what.
    pub backdrop: Backdrop,
    choice: Choice,
}

impl Theme {
    /// The terminal's own colours, with tints where the backdrop is known.
    #[must_use]
    pub fn new(depth: Depth, backdrop: Backdrop) -> Self {
        Self {
            depth,
            backdrop,
            choice: Choice::Auto,
        }
    }

    /// From `NO_COLOR`, `COLORTERM` and `TERM`.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).unwrap_or_default();
        Self::new(
            depth(&var("NO_COLOR"), &var("COLORTERM"), &var("TERM")),
            Backdrop::Unknown,
        )
    }

    /// The same with other colours.
    pub(crate) fn with(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// Whether it matters what the terminal's background is.
    pub(crate) fn wants_backdrop(self) -> bool {
        self.choice == Choice::Auto && self.depth >= Depth::Indexed
    }

    /// The tints, if they may be used: there are colours enough, and what they lie on is known.
    fn colours(self) -> Option<&'static Colours> {
        if self.depth < Depth::Indexed {
            return None;
        }
        match (self.choice, self.backdrop) {
            (Choice::Theme(colours), _) => Some(colours),
            (Choice::Auto, Backdrop::Dark) => named("dark"),
            (Choice::Auto, Backdrop::Light) => named("light"),
            _ => None,
        }
    }

    /// The foreground of a hue: a tint where they may be used, else one of the 16.
    fn ink(self, hue: Hue) -> Style {
        if let Some(colours) = self.colours() {
            return Style::new().fg(colours.ink(hue, self.depth));
        }
        let ansi = match hue {
            Hue::Text => return Style::new(),
            // Bright black is the background itself in some schemes, so it is the attribute.
            Hue::Quiet | Hue::Frame => return Style::new().add_modifier(Modifier::DIM),
            _ if self.depth == Depth::None => return Style::new(),
            Hue::Red => Color::Red,
            Hue::Green => Color::Green,
            Hue::Yellow => Color::Yellow,
            Hue::Blue => Color::Blue,
            Hue::Cyan => Color::Cyan,
            Hue::Magenta => Color::Magenta,
        };
        Style::new().fg(ansi)
    }

    /// The hue of a token: the usual one, or the theme's.
    fn hue(self, token: Token) -> Option<Hue> {
        let chosen = match self.choice {
            Choice::Theme(colours) => colours.token(&token.name()),
            _ => None,
        };
        chosen.or(match token {
            Token::Text | Token::Title | Token::Brand | Token::Key | Token::Match => None,
            Token::Dim | Token::Thought => Some(Hue::Quiet),
            Token::Frame => Some(Hue::Frame),
            Token::FrameActive | Token::Focus | Token::Prompt => Some(Hue::Cyan),
            Token::Workspace | Token::Warn => Some(Hue::Yellow),
            Token::Live | Token::Added | Token::Good => Some(Hue::Green),
            Token::Replay | Token::Kind => Some(Hue::Blue),
            Token::Foreign | Token::Label => Some(Hue::Magenta),
            Token::Removed | Token::Bad => Some(Hue::Red),
            Token::Lane(n) => Some(match n % 4 {
                0 => Hue::Quiet,
                1 => Hue::Magenta,
                2 => Hue::Yellow,
                _ => Hue::Blue,
            }),
        })
    }

    /// How `token` looks.
    pub(crate) fn style(self, token: Token) -> Style {
        let ink = self.hue(token).map_or(Style::new(), |hue| self.ink(hue));
        match token {
            Token::Brand
            | Token::Focus
            | Token::Workspace
            | Token::Live
            | Token::Replay
            | Token::Prompt
            | Token::Bad
            | Token::Label
            | Token::Key => ink.add_modifier(Modifier::BOLD),
            Token::Thought => ink.add_modifier(Modifier::ITALIC),
            Token::Match => ink.add_modifier(Modifier::REVERSED),
            _ => ink,
        }
    }

    /// How a selected row looks; patched over what is drawn on it.
    pub(crate) fn selection(self, active: bool) -> Style {
        match (active, self.colours()) {
            (true, Some(colours)) => Style::new()
                .bg(colours.selection(self.depth))
                .add_modifier(Modifier::BOLD),
            // A reversed bar of one colour: words that keep their own would be spots in it.
            (true, None) => Style::new()
                .fg(Color::Reset)
                .remove_modifier(Modifier::DIM)
                .add_modifier(Modifier::REVERSED | Modifier::BOLD),
            (false, _) => Style::new()
                .remove_modifier(Modifier::DIM)
                .add_modifier(Modifier::BOLD),
        }
    }

    /// What lies behind a whole added or removed line.
    pub(crate) fn line_tint(self, added: bool) -> Style {
        match self.colours() {
            Some(colours) => Style::new().bg(colours.line(added, self.depth)),
            None => Style::new(),
        }
    }

    /// What marks the words that changed within a line.
    pub(crate) fn word_tint(self, added: bool) -> Style {
        let Some(colours) = self.colours() else {
            let token = if added { Token::Added } else { Token::Removed };
            return self
                .style(token)
                .add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
        };
        let style = Style::new()
            .bg(colours.word(added, self.depth))
            .add_modifier(Modifier::BOLD);
        // The 256 have few dark greens and reds: the word's may be the line's.
        if self.depth == Depth::Full {
            style
        } else {
            style.add_modifier(Modifier::UNDERLINED)
        }
    }

    /// How a word of source code looks.
    pub(crate) fn syntax(self, syntax: Syntax) -> Style {
        match syntax {
            Syntax::Plain | Syntax::Sign => Style::new(),
            Syntax::Keyword => self.ink(Hue::Magenta),
            Syntax::Type | Syntax::Attribute => self.ink(Hue::Yellow),
            Syntax::Function | Syntax::Tag => self.ink(Hue::Blue),
            Syntax::Text => self.ink(Hue::Green),
            Syntax::Number | Syntax::Constant => self.ink(Hue::Cyan),
            Syntax::Comment => self.ink(Hue::Quiet).add_modifier(Modifier::ITALIC),
        }
    }

    /// Puts the theme's own ground below everything that has been drawn, where it has one.
    pub(crate) fn paint(self, buf: &mut Buffer) {
        let Some((text, ground)) = self.colours().and_then(|c| c.painted(self.depth)) else {
            return;
        };
        for cell in &mut buf.content {
            if cell.fg == Color::Reset {
                cell.fg = text;
            }
            if cell.bg == Color::Reset {
                cell.bg = ground;
            }
        }
    }
}

impl Token {
    /// Its name in a theme's file.
    fn name(self) -> String {
        match self {
            Self::Lane(n) => format!("lane-{}", n % 4),
            token => {
                let mut out = String::new();
                for c in format!("{token:?}").chars() {
                    if c.is_ascii_uppercase() && !out.is_empty() {
                        out.push('-');
                    }
                    out.push(c.to_ascii_lowercase());
                }
                out
            }
        }
    }
}

/// How many colours there are, by what the environment says.
fn depth(no_color: &str, colorterm: &str, term: &str) -> Depth {
    if !no_color.is_empty() || term == "dumb" {
        Depth::None
    } else if matches!(colorterm, "truecolor" | "24bit") || term.contains("direct") {
        Depth::Full
    } else if term.contains("256color") {
        Depth::Indexed
    } else {
        Depth::Ansi
    }
}
