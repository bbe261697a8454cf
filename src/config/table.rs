//! Every setting there is, section by section: its name, what it may be, its default, and what it does.

use super::read::Said;
use super::{GlyphSet, Settings};
use std::fmt::Write as _;
use std::time::Duration;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
    /// A list of texts.
    Texts,
    /// True or false.
    Flag,
    /// A whole number from here to there.
    Whole(i64, i64),
    /// Seconds, from here to there.
    Seconds(f64, f64),
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its section; empty for the top of the file.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it is when it is not said, as it would be written. `None`: nothing.
    pub default: Option<&'static str>,
    /// An example, where there is no default.
    pub example: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Takes it over. The value is one of its kind.
    pub(super) set: fn(&mut Settings, &Said),
}

/// Settings that this room only checks: those who use them read them.
fn elsewhere(_: &mut Settings, _: &Said) {}

const fn top(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
    set: fn(&mut Settings, &Said),
) -> Setting {
    Setting {
        section: "",
        name,
        kind,
        default: Some(default),
        example: "",
        about,
        set,
    }
}

const fn llm(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    example: &'static str,
    about: &'static str,
) -> Setting {
    Setting {
        section: "llm",
        name,
        kind,
        default,
        example,
        about,
        set: elsewhere,
    }
}

/// All of them, in the order in which they are printed.
pub const SETTINGS: &[Setting] = &[
    top(
        "theme",
        Kind::Text,
        "\"auto\"",
        "auto: the terminal's own 16 colours, with finer tints where the terminal says what its background is.\nansi: the 16 colours only. dark, light: without asking. Also night, paper, high-contrast, colour-blind,\ncolour-blind-light, or NAME for themes/NAME.toml beside this file.",
        |s, v| s.theme = v.text(),
    ),
    top(
        "glyphs",
        Kind::Word(&["auto", "unicode", "ascii", "plain"]),
        "\"auto\"",
        "Characters to draw with. plain is for screen readers: no frames, nothing moves.",
        |s, v| {
            s.glyphs = match v.text().as_str() {
                "unicode" => GlyphSet::Unicode,
                "ascii" => GlyphSet::Ascii,
                "plain" => GlyphSet::Plain,
                _ => GlyphSet::Auto,
            }
        },
    ),
    top(
        "mouse",
        Kind::Word(&["auto", "off"]),
        "\"auto\"",
        "auto: the wheel scrolls, a click selects; % gives the mouse back to the terminal for a while.",
        |s, v| s.mouse = v.text() != "off",
    ),
    top(
        "reduce_motion",
        Kind::Flag,
        "false",
        "Nothing moves by itself.",
        |s, v| s.reduce_motion = v.flag(),
    ),
    top(
        "tab_width",
        Kind::Whole(1, 16),
        "4",
        "Columns between tab stops in files and outputs.",
        |s, v| s.tab_width = u8::try_from(v.whole()).unwrap_or(4),
    ),
    top(
        "idle_gap",
        Kind::Seconds(0.05, 3600.0),
        "1.0",
        "Seconds: longer pauses are cut to this when a recorded session is played.",
        |s, v| s.idle_gap = v.seconds(),
    ),
    top(
        "which_key_delay",
        Kind::Seconds(0.0, 60.0),
        "0.35",
        "Seconds before a prefix such as ] or g says what may follow, and before a lone digit is the key of a view.",
        |s, v| s.which_key_delay = v.seconds(),
    ),
    top(
        "toast",
        Kind::Seconds(1.0, 3600.0),
        "8.0",
        "Seconds that a message stays at the bottom; what failed stays twice as long.",
        |s, v| s.toast = v.seconds(),
    ),
    top(
        "double_click",
        Kind::Seconds(0.05, 5.0),
        "0.4",
        "Seconds within which two clicks are one double click, which is Enter.",
        |s, v| s.double_click = v.seconds(),
    ),
    llm(
        "provider",
        Kind::Word(&["anthropic", "openai", "openai-compatible", "ollama"]),
        None,
        "\"anthropic\"",
        "Whose model is asked; openai is also for every compatible server. Nothing is sent before you ask.",
    ),
    llm("model", Kind::Text, None, "\"...\"", "Which model."),
    llm(
        "models",
        Kind::Texts,
        None,
        "[\"...\"]",
        "Others that a project's backtrail.toml may choose.",
    ),
    llm(
        "url",
        Kind::Text,
        None,
        "\"http://localhost:8080/v1/\"",
        "Where, when not at the provider's own service.",
    ),
    llm(
        "key_env",
        Kind::Text,
        None,
        "\"MY_KEY\"",
        "The variable with the key; else ANTHROPIC_API_KEY or OPENAI_API_KEY.",
    ),
    llm(
        "key_command",
        Kind::Text,
        None,
        "\"pass show llm/key\"",
        "A command whose first line is the key; instead of a variable.",
    ),
    llm(
        "max_tokens",
        Kind::Whole(1, 1_000_000),
        Some("4096"),
        "",
        "Longest answer.",
    ),
    llm(
        "timeout_seconds",
        Kind::Whole(1, 86_400),
        Some("60"),
        "",
        "Longest silence.",
    ),
    llm(
        "token_budget",
        Kind::Whole(0, i64::MAX),
        Some("500000"),
        "",
        "Of one run of the program.",
    ),
];

/// The setting of that name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|s| s.section == section && s.name == name)
}

/// The names of a section.
pub(super) fn names(section: &str) -> impl Iterator<Item = &'static str> {
    SETTINGS
        .iter()
        .filter(move |s| s.section == section)
        .map(|s| s.name)
}

/// All settings with their defaults, as a file in which everything is commented out: what it says is what is so anyway.
/// `keys` says what stands in the sections of keys.
#[must_use]
pub fn default_text(keys: &str) -> String {
    let mut out = String::from(
        "# The settings of backtrail, with their defaults. None of it is needed. A change is taken over at once.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(out, "\n[{section}]\n");
        }
        out.push('\n');
        for line in setting.about.lines() {
            let _ = writeln!(out, "# {line}");
        }
        let value = setting.default.unwrap_or(setting.example);
        let _ = writeln!(out, "# {} = {value}", setting.name);
    }
    out.push('\n');
    out.push_str(keys);
    out
}

impl Said {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            _ => String::new(),
        }
    }

    fn flag(&self) -> bool {
        matches!(self, Self::Flag(true))
    }

    fn whole(&self) -> i64 {
        match self {
            Self::Whole(n) => *n,
            _ => 0,
        }
    }

    fn seconds(&self) -> Duration {
        let seconds = match self {
            Self::Number(n) => *n,
            Self::Whole(n) => f64::from(i32::try_from(*n).unwrap_or(0)),
            _ => 0.0,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}
