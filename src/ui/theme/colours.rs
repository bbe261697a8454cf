//! Sets of colours: those that come along, and those that a person has written. Each is a file of the same form.
//!
//! Every colour has one of the 256 that takes its place where there are no more; on a terminal with 16, its own are used.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use ratatui::style::Color;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::nearest;
use crate::model::neutral;

use super::{Depth, Token};

/// The themes that come along, by name.
pub(crate) const BUILT_IN: &[(&str, &str)] = &[
    ("dark", include_str!("../../../assets/themes/dark.toml")),
    ("light", include_str!("../../../assets/themes/light.toml")),
    ("night", include_str!("../../../assets/themes/night.toml")),
    ("paper", include_str!("../../../assets/themes/paper.toml")),
    (
        "high-contrast",
        include_str!("../../../assets/themes/high-contrast.toml"),
    ),
    (
        "colour-blind",
        include_str!("../../../assets/themes/colour-blind.toml"),
    ),
    (
        "colour-blind-light",
        include_str!("../../../assets/themes/colour-blind-light.toml"),
    ),
];

/// A colour of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hue {
    Text,
    Quiet,
    Frame,
    Red,
    Green,
    Yellow,
    Blue,
    Cyan,
    Magenta,
}

/// Their names, in their order.
pub(super) const HUES: [(&str, Hue); 9] = [
    ("text", Hue::Text),
    ("quiet", Hue::Quiet),
    ("frame", Hue::Frame),
    ("red", Hue::Red),
    ("green", Hue::Green),
    ("yellow", Hue::Yellow),
    ("blue", Hue::Blue),
    ("cyan", Hue::Cyan),
    ("magenta", Hue::Magenta),
];

/// What can lie behind text, in its order.
pub(super) const GROUNDS: [&str; 6] = [
    "ground",
    "selection",
    "added_line",
    "removed_line",
    "added_word",
    "removed_word",
];

/// A colour with the one that takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ink {
    pub rgb: [u8; 3],
    pub index: u8,
}

impl Ink {
    fn at(self, depth: Depth) -> Color {
        let [r, g, b] = self.rgb;
        if depth == Depth::Full {
            Color::Rgb(r, g, b)
        } else {
            Color::Indexed(self.index)
        }
    }
}

/// A set of colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Colours {
    pub(super) inks: [Ink; 9],
    pub(super) grounds: [Ink; 6],
    paint: bool,
    tokens: BTreeMap<String, Hue>,
}

impl Colours {
    /// The colour of text of that hue.
    pub(super) fn ink(&self, hue: Hue, depth: Depth) -> Color {
        let at = HUES.iter().position(|(_, h)| *h == hue).unwrap_or(0);
        self.inks[at.min(8)].at(depth)
    }

    /// Behind the selected row.
    pub(super) fn selection(&self, depth: Depth) -> Color {
        self.grounds[1].at(depth)
    }

    /// Behind an added or a removed line.
    pub(super) fn line(&self, added: bool, depth: Depth) -> Color {
        self.grounds[if added { 2 } else { 3 }].at(depth)
    }

    /// Behind the words that changed in it.
    pub(super) fn word(&self, added: bool, depth: Depth) -> Color {
        self.grounds[if added { 4 } else { 5 }].at(depth)
    }

    /// Text and ground, when the whole screen is to be painted with them.
    pub(super) fn painted(&self, depth: Depth) -> Option<(Color, Color)> {
        self.paint
            .then(|| (self.inks[0].at(depth), self.grounds[0].at(depth)))
    }

    /// The colour that this theme gives a token.
    pub(super) fn token(&self, name: &str) -> Option<Hue> {
        self.tokens.get(name).copied()
    }

    /// Reads a theme's file. What is wrong is said with its line.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let line = |at: usize| {
            let before = text.as_bytes().get(..at).unwrap_or_default();
            memchr::memchr_iter(b'\n', before).count() + 1
        };
        let table = DeTable::parse(text).map_err(|e| {
            let at = line(e.span().map_or(0, |s| s.start));
            format!("{at}: it is not TOML: {}", neutral(e.message().as_bytes()))
        })?;
        let mut out = Self {
            inks: Default::default(),
            grounds: Default::default(),
            paint: false,
            tokens: BTreeMap::new(),
        };
        let mut missing: Vec<&str> = HUES
            .iter()
            .map(|(n, _)| *n)
            .chain(GROUNDS.iter().copied())
            .collect();
        for (key, value) in table.get_ref() {
            let at = line(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("paint", DeValue::Boolean(paint)) => out.paint = *paint,
                ("colors", DeValue::Table(colors)) => {
                    for (key, value) in colors {
                        let name = key.get_ref().as_ref();
                        let at = line(key.span().start);
                        let ink = value.get_ref().as_str().and_then(colour).ok_or_else(|| {
                            format!(
                                "{at}: {} must be a colour such as \"#1a2b3c\" or \"#1a2b3c/17\"",
                                quoted(name)
                            )
                        })?;
                        out.set(name, ink).map_err(|why| format!("{at}: {why}"))?;
                        missing.retain(|m| *m != name);
                    }
                }
                ("tokens", DeValue::Table(tokens)) => {
                    for (key, value) in tokens {
                        let at = line(key.span().start);
                        let (token, hue) =
                            token(key, value).map_err(|why| format!("{at}: {why}"))?;
                        out.tokens.insert(token, hue);
                    }
                }
                (other, _) => {
                    let near = nearest(other, ["paint", "colors", "tokens"])
                        .map_or_else(String::new, |n| format!("; is {n} meant?"));
                    return Err(format!(
                        "{at}: {} is nothing that a theme has: paint = true, [colors], [tokens]{near}",
                        quoted(other)
                    ));
                }
            }
        }
        match missing.as_slice() {
            [] => Ok(out),
            some => Err(format!("1: [colors] lacks {}", some.join(", "))),
        }
    }

    fn set(&mut self, name: &str, ink: Ink) -> Result<(), String> {
        let hue = HUES.iter().position(|(n, _)| *n == name);
        let ground = GROUNDS.iter().position(|n| *n == name);
        let place = match (hue, ground) {
            (Some(at), _) => self.inks.get_mut(at),
            (None, Some(at)) => self.grounds.get_mut(at),
            (None, None) => None,
        };
        let Some(place) = place else {
            let names = HUES.iter().map(|(n, _)| *n).chain(GROUNDS);
            let near =
                nearest(name, names).map_or_else(String::new, |n| format!("; is {n} meant?"));
            return Err(format!("a theme has no colour {}{near}", quoted(name)));
        };
        *place = ink;
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    let word: String = word.chars().take(40).collect();
    format!("\"{}\"", neutral(word.as_bytes()))
}

fn token(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
) -> Result<(String, Hue), String> {
    let name = key.get_ref().as_ref();
    let known: Vec<String> = TOKENS.iter().map(|t| t.name()).collect();
    if !known.iter().any(|t| t == name) {
        let near = nearest(name, known.iter().map(String::as_str)).map_or_else(
            || format!("; there are {}", known.join(", ")),
            |n| format!("; is {n} meant?"),
        );
        return Err(format!("there is no token {}{near}", quoted(name)));
    }
    let hue = value
        .get_ref()
        .as_str()
        .and_then(|v| HUES.iter().find(|(n, _)| *n == v));
    match hue {
        Some((_, hue)) => Ok((name.to_owned(), *hue)),
        None => {
            let names: Vec<&str> = HUES.iter().map(|(n, _)| *n).collect();
            Err(format!("{name} must be one of {}", names.join(", ")))
        }
    }
}

/// All tokens.
pub(super) const TOKENS: [Token; 26] = [
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
    Token::Lane(2),
    Token::Lane(3),
];

/// `#rrggbb` or `#rrggbb/N`.
fn colour(text: &str) -> Option<Ink> {
    let (hex, index) = match text.split_once('/') {
        Some((hex, index)) => (hex, Some(index.parse::<u8>().ok().filter(|i| *i >= 16)?)),
        None => (text, None),
    };
    let hex = hex
        .strip_prefix('#')
        .filter(|h| h.len() == 6 && h.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let value = u32::from_str_radix(hex, 16).ok()?;
    let [_, r, g, b] = value.to_be_bytes();
    let rgb = [r, g, b];
    Some(Ink {
        rgb,
        index: index.unwrap_or_else(|| nearest_index(rgb)),
    })
}

/// What a colour of the 256 looks like; the first 16 are the person's own.
pub(super) fn indexed(index: u8) -> [u8; 3] {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    if index >= 232 {
        return [8 + 10 * (index - 232); 3];
    }
    let at = usize::from(index.saturating_sub(16));
    [STEPS[at / 36 % 6], STEPS[at / 6 % 6], STEPS[at % 6]]
}

/// The colour of the 256 that looks most like it.
fn nearest_index(rgb: [u8; 3]) -> u8 {
    let far = |index: u8| {
        let other = indexed(index);
        let part = |i: usize, weight: u32| u32::from(rgb[i].abs_diff(other[i])).pow(2) * weight;
        part(0, 3) + part(1, 4) + part(2, 2)
    };
    (16..=255).min_by_key(|i| far(*i)).unwrap_or(16)
}

/// The names of the themes that come along.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// A theme that comes along.
pub(crate) fn named(name: &str) -> Option<&'static Colours> {
    static READ: OnceLock<Vec<(&str, Colours)>> = OnceLock::new();
    let all = READ.get_or_init(|| {
        BUILT_IN
            .iter()
            .filter_map(|(name, text)| Some((*name, Colours::read(text).ok()?)))
            .collect()
    });
    all.iter().find(|(n, _)| *n == name).map(|(_, c)| c)
}

/// Keeps a theme for as long as the program runs: styles are asked for everywhere, and carry no lifetime. The same
/// colours are kept once, so what a person changes while trying takes a few hundred bytes each time.
pub(crate) fn kept(colours: Colours) -> &'static Colours {
    static KEPT: Mutex<Vec<&'static Colours>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = kept.iter().find(|k| ***k == colours) {
        return same;
    }
    let new: &'static Colours = Box::leak(Box::new(colours));
    kept.push(new);
    new
}
