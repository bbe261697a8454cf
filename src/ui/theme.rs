//! Colours and glyphs by meaning.
//!
//! Code names what a thing is ([`Token`]); only this file knows how it looks. The default is the terminal's own 16
//! colours on its own background, so every scheme a person has chosen keeps working; finer tints are used only where the
//! terminal says that it has the colours *and* which background they will lie on. No fact is told by colour alone: signs,
//! markers and weight remain when there is none.

use ratatui::style::{Color, Modifier, Style};

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

/// How things look here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// How many colours.
    pub depth: Depth,
    /// On what.
    pub backdrop: Backdrop,
}

impl Theme {
    /// From `NO_COLOR`, `COLORTERM` and `TERM`.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).unwrap_or_default();
        let colors = var("COLORTERM");
        let term = var("TERM");
        let depth = if !var("NO_COLOR").is_empty() || term == "dumb" {
            Depth::None
        } else if colors == "truecolor" || colors == "24bit" {
            Depth::Full
        } else if term.contains("256color") {
            Depth::Indexed
        } else {
            Depth::Ansi
        };
        Self {
            depth,
            backdrop: Backdrop::Unknown,
        }
    }

    /// Whether tints may be used: the colours are there, and what they lie on is known.
    fn tinted(self) -> bool {
        self.depth >= Depth::Indexed && self.backdrop != Backdrop::Unknown
    }

    /// One of four: dark full, dark indexed, light full, light indexed.
    fn pick(self, dark: (u32, u8), light: (u32, u8)) -> Color {
        let (rgb, index) = if self.backdrop == Backdrop::Light {
            light
        } else {
            dark
        };
        if self.depth == Depth::Full {
            Color::from_u32(rgb)
        } else {
            Color::Indexed(index)
        }
    }

    /// A foreground: a tint where they may be used, else one of the 16.
    fn ink(self, ansi: Color, dark: (u32, u8), light: (u32, u8)) -> Style {
        if self.depth == Depth::None {
            Style::new()
        } else if self.tinted() {
            Style::new().fg(self.pick(dark, light))
        } else {
            Style::new().fg(ansi)
        }
    }

    /// Quieter than text. Bright black is the background itself in some schemes, so without tints it is the attribute.
    fn quiet(self) -> Style {
        if self.tinted() {
            Style::new().fg(self.pick((0x8b93a1, 246), (0x6a7280, 243)))
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    fn red(self) -> Style {
        self.ink(Color::Red, (0xf0788a, 210), (0xc0283c, 124))
    }

    fn green(self) -> Style {
        self.ink(Color::Green, (0x8fd08a, 114), (0x2e7d32, 28))
    }

    fn yellow(self) -> Style {
        self.ink(Color::Yellow, (0xe5c07b, 180), (0x8a6100, 94))
    }

    fn blue(self) -> Style {
        self.ink(Color::Blue, (0x7fb4f5, 111), (0x1f5fbf, 25))
    }

    fn cyan(self) -> Style {
        self.ink(Color::Cyan, (0x6fcad2, 80), (0x0b7285, 30))
    }

    fn magenta(self) -> Style {
        self.ink(Color::Magenta, (0xcb9df0, 183), (0x8430b0, 91))
    }

    /// How `token` looks.
    pub(crate) fn style(self, token: Token) -> Style {
        let bold = Modifier::BOLD;
        match token {
            Token::Text => Style::new(),
            Token::Dim => self.quiet(),
            Token::Frame => {
                if self.tinted() {
                    Style::new().fg(self.pick((0x4a5160, 239), (0xb4bac4, 250)))
                } else {
                    Style::new().add_modifier(Modifier::DIM)
                }
            }
            Token::FrameActive => self.cyan(),
            Token::Title => Style::new(),
            Token::Brand => Style::new().add_modifier(bold),
            Token::Focus => self.cyan().add_modifier(bold),
            Token::Workspace => self.yellow().add_modifier(bold),
            Token::Live => self.green().add_modifier(bold),
            Token::Replay => self.blue().add_modifier(bold),
            Token::Prompt => self.cyan().add_modifier(bold),
            Token::Thought => self.quiet().add_modifier(Modifier::ITALIC),
            Token::Kind => self.blue(),
            Token::Foreign => self.magenta(),
            Token::Added | Token::Good => self.green(),
            Token::Removed => self.red(),
            Token::Bad => self.red().add_modifier(bold),
            Token::Warn => self.yellow(),
            Token::Label => self.magenta().add_modifier(bold),
            Token::Key => Style::new().add_modifier(bold),
            Token::Match => Style::new().add_modifier(Modifier::REVERSED),
            Token::Lane(n) => match n % 4 {
                0 => self.quiet(),
                1 => self.magenta(),
                2 => self.yellow(),
                _ => self.blue(),
            },
        }
    }

    /// How a selected row looks; patched over what is drawn on it.
    pub(crate) fn selection(self, active: bool) -> Style {
        match (active, self.tinted()) {
            (true, true) => Style::new()
                .bg(self.pick((0x2c3444, 237), (0xdce6f5, 254)))
                .add_modifier(Modifier::BOLD),
            // A reversed bar of one colour: words that keep their own would be spots in it.
            (true, false) => Style::new()
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
        if !self.tinted() {
            return Style::new();
        }
        Style::new().bg(if added {
            self.pick((0x1b2f24, 22), (0xe3f5e6, 194))
        } else {
            self.pick((0x37212a, 52), (0xfbe6e8, 224))
        })
    }

    /// What marks the words that changed within a line.
    pub(crate) fn word_tint(self, added: bool) -> Style {
        if self.tinted() {
            return Style::new()
                .bg(if added {
                    self.pick((0x2b5a3c, 28), (0xb4e6bd, 157))
                } else {
                    self.pick((0x6b2f3c, 88), (0xf5b8bf, 217))
                })
                .add_modifier(Modifier::BOLD);
        }
        let ink = if added { self.green() } else { self.red() };
        ink.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// How a word of source code looks.
    pub(crate) fn syntax(self, syntax: Syntax) -> Style {
        match syntax {
            Syntax::Plain | Syntax::Sign => Style::new(),
            Syntax::Keyword => self.magenta(),
            Syntax::Type | Syntax::Attribute => self.yellow(),
            Syntax::Function | Syntax::Tag => self.blue(),
            Syntax::Text => self.green(),
            Syntax::Number | Syntax::Constant => self.cyan(),
            Syntax::Comment => self.quiet().add_modifier(Modifier::ITALIC),
        }
    }
}

/// The characters that screens are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glyphs {
    /// Whether panes have frames.
    pub boxes: bool,
    /// Top left, top right, bottom left, bottom right, horizontal, vertical.
    pub frame: [&'static str; 6],
    pub cursor: &'static str,
    pub change: &'static str,
    pub turn: &'static str,
    pub other: &'static str,
    pub note: &'static str,
    pub lane: &'static str,
    /// Right, down-left corner, down-right corner, crossing: how a new line leaves its parent.
    pub branch: [&'static str; 4],
    pub open: &'static str,
    pub shut: &'static str,
    /// The first, a middle and the last step of an answer.
    pub answer: [&'static str; 3],
    /// A step on a branch that was left.
    pub dead: &'static str,
    pub label: &'static str,
    pub failed: &'static str,
    pub done: &'static str,
    pub here: &'static str,
    pub focus: &'static str,
    /// A step in which something was found.
    pub hit: &'static str,
    pub ellipsis: &'static str,
    pub dot: &'static str,
    pub bars: [&'static str; 8],
    pub rule: &'static str,
    pub separator: &'static str,
    pub arrow: &'static str,
    pub live: &'static str,
}

/// For terminals with a common font.
pub(crate) const UNICODE: Glyphs = Glyphs {
    boxes: true,
    frame: ["┌", "┐", "└", "┘", "─", "│"],
    cursor: "▌",
    change: "●",
    turn: "○",
    other: "│",
    note: "◇",
    lane: "│",
    branch: ["─", "╭", "╮", "┼"],
    open: "▾",
    shut: "▸",
    answer: ["┌", "│", "└"],
    dead: "┊",
    label: "◆",
    failed: "✗",
    done: "✓",
    here: "◀",
    focus: "▲",
    hit: "•",
    ellipsis: "…",
    dot: "·",
    bars: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    rule: "─",
    separator: "│",
    arrow: "→",
    live: "●",
};

/// For terminals that have nothing but ASCII.
pub(crate) const ASCII: Glyphs = Glyphs {
    boxes: true,
    frame: ["+", "+", "+", "+", "-", "|"],
    cursor: ">",
    change: "*",
    turn: "o",
    other: "|",
    note: "~",
    lane: "|",
    branch: ["-", ".", ".", "+"],
    open: "v",
    shut: ">",
    answer: [".", "|", "'"],
    dead: ":",
    label: "#",
    failed: "x",
    done: "*",
    here: "<",
    focus: "^",
    hit: "@",
    ellipsis: "~",
    dot: "-",
    bars: ["_", "_", ".", ".", "-", "-", "=", "#"],
    rule: "-",
    separator: "|",
    arrow: "->",
    live: "*",
};

/// For screen readers: words and ASCII, no frames.
pub(crate) const PLAIN: Glyphs = Glyphs {
    boxes: false,
    frame: [" ", " ", " ", " ", " ", " "],
    rule: " ",
    ..ASCII
};

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [Token; 24] = [
        Token::Text,
        Token::Dim,
        Token::Frame,
        Token::FrameActive,
        Token::Title,
        Token::Brand,
        Token::Focus,
        Token::Workspace,
        Token::Live,
        Token::Replay,
        Token::Prompt,
        Token::Thought,
        Token::Kind,
        Token::Foreign,
        Token::Added,
        Token::Removed,
        Token::Good,
        Token::Bad,
        Token::Warn,
        Token::Label,
        Token::Key,
        Token::Match,
        Token::Lane(0),
        Token::Lane(1),
    ];

    fn rank(color: Option<Color>) -> Depth {
        match color {
            None | Some(Color::Reset) => Depth::None,
            Some(Color::Rgb(..)) => Depth::Full,
            Some(Color::Indexed(_)) => Depth::Indexed,
            Some(_) => Depth::Ansi,
        }
    }

    #[test]
    fn no_token_uses_more_colours_than_there_are() {
        for depth in [Depth::None, Depth::Ansi, Depth::Indexed, Depth::Full] {
            for backdrop in [Backdrop::Unknown, Backdrop::Dark, Backdrop::Light] {
                let theme = Theme { depth, backdrop };
                let mut styles: Vec<Style> = TOKENS.iter().map(|t| theme.style(*t)).collect();
                for flag in [true, false] {
                    styles.extend([
                        theme.selection(flag),
                        theme.line_tint(flag),
                        theme.word_tint(flag),
                    ]);
                }
                styles.push(theme.syntax(Syntax::Comment));
                styles.push(theme.syntax(Syntax::Keyword));
                for style in styles {
                    for color in [style.fg, style.bg] {
                        assert!(rank(color) <= depth, "{theme:?} {style:?}");
                        if backdrop == Backdrop::Unknown {
                            assert!(rank(color) <= Depth::Ansi, "{theme:?} {style:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn without_colours_the_selection_and_words_still_show() {
        let theme = Theme {
            depth: Depth::None,
            backdrop: Backdrop::Unknown,
        };
        assert!(!theme.selection(true).add_modifier.is_empty());
        assert!(!theme.word_tint(true).add_modifier.is_empty());
        assert!(!theme.style(Token::Match).add_modifier.is_empty());
    }
}
