//! Recognises the words of source code, off the UI's thread.
//!
//! The grammars tell scopes; scopes become a handful of meanings ([`Syntax`]), and the theme says how those look. So the
//! colours are the terminal's own where nothing better is known, and no theme of somebody else's background is drawn.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use two_face::re_exports::syntect::parsing::{
    ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet,
};

use super::theme::Syntax;

/// Longer contents are shown without colours.
const MAX_BYTES: usize = 1 << 20;

/// Longer lines are shown without colours, and what follows them too.
const MAX_LINE: usize = 4 << 10;

/// How long one content may take.
const TIME: Duration = Duration::from_secs(3);

/// Runs of equal meaning, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Light {
    /// The end of each run within its line, in bytes, with its meaning.
    runs: Vec<(u32, Syntax)>,
    /// Where each line's runs begin.
    lines: Vec<u32>,
}

impl Light {
    /// The runs of a line (from 0) as byte ranges; none where nothing is known.
    pub(crate) fn line(&self, line: usize) -> impl Iterator<Item = (Range<usize>, Syntax)> + '_ {
        let start = self
            .lines
            .get(line)
            .map_or(self.runs.len(), |n| *n as usize);
        let end = self
            .lines
            .get(line + 1)
            .map_or(self.runs.len(), |n| *n as usize);
        let mut at = 0;
        self.runs
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .map(move |(end, syntax)| {
                let range = at..*end as usize;
                at = range.end;
                (range, *syntax)
            })
    }
}

fn grammars() -> &'static SyntaxSet {
    static GRAMMARS: OnceLock<SyntaxSet> = OnceLock::new();
    GRAMMARS.get_or_init(two_face::syntax::extra_newlines)
}

fn grammar(name: &[u8], content: &[u8]) -> Option<&'static SyntaxReference> {
    let set = grammars();
    let name = std::str::from_utf8(name).ok()?;
    let extension = name.rsplit_once('.').map_or(name, |(_, e)| e);
    set.find_syntax_by_extension(name)
        .or_else(|| set.find_syntax_by_extension(extension))
        .or_else(|| {
            let first = content.split(|b| *b == b'\n').next()?;
            set.find_syntax_by_first_line(std::str::from_utf8(first).ok()?)
        })
        .filter(|s| s.name != "Plain Text")
}

/// Scopes by their beginnings, the more telling first.
fn meanings() -> &'static [(Scope, Syntax)] {
    static MEANINGS: OnceLock<Vec<(Scope, Syntax)>> = OnceLock::new();
    MEANINGS.get_or_init(|| {
        [
            ("comment", Syntax::Comment),
            ("punctuation.definition.comment", Syntax::Comment),
            ("constant.character.escape", Syntax::Constant),
            ("constant.other.placeholder", Syntax::Constant),
            ("punctuation.section.interpolation", Syntax::Sign),
            ("string", Syntax::Text),
            ("punctuation.definition.string", Syntax::Text),
            ("constant.numeric", Syntax::Number),
            ("constant", Syntax::Constant),
            ("entity.name.function", Syntax::Function),
            ("support.function", Syntax::Function),
            ("support.macro", Syntax::Function),
            ("variable.function", Syntax::Function),
            ("entity.name.tag", Syntax::Tag),
            ("entity.other.attribute-name", Syntax::Attribute),
            ("meta.annotation", Syntax::Attribute),
            ("variable.annotation", Syntax::Attribute),
            ("entity.name.section", Syntax::Tag),
            ("markup.heading", Syntax::Tag),
            ("markup.raw", Syntax::Text),
            ("markup.underline.link", Syntax::Constant),
            ("entity.name", Syntax::Type),
            ("entity.other.inherited-class", Syntax::Type),
            ("support.type", Syntax::Type),
            ("support.class", Syntax::Type),
            ("support.constant", Syntax::Constant),
            ("storage.type.numeric", Syntax::Type),
            ("storage.type.primitive", Syntax::Type),
            ("storage", Syntax::Keyword),
            ("keyword.operator.word", Syntax::Keyword),
            ("keyword.operator.logical.python", Syntax::Keyword),
            ("keyword.operator", Syntax::Sign),
            ("keyword", Syntax::Keyword),
            ("variable.language", Syntax::Keyword),
            ("variable.other.constant", Syntax::Constant),
            ("support.type.property-name", Syntax::Attribute),
            ("meta.mapping.key", Syntax::Attribute),
        ]
        .into_iter()
        .filter_map(|(name, syntax)| Scope::new(name).ok().map(|s| (s, syntax)))
        .collect()
    })
}

/// The meaning of the innermost scope that has one.
fn meaning(stack: &ScopeStack) -> Syntax {
    for scope in stack.as_slice().iter().rev() {
        let found = meanings().iter().find(|(p, _)| p.is_prefix_of(*scope));
        if let Some((_, syntax)) = found {
            return *syntax;
        }
    }
    Syntax::Plain
}

/// Recognises the words of `content`, whose file is called `name`. Gives what it has when `stop` is set, the time is
/// over, or a line is too long: lines without colours are still lines.
pub(crate) fn light(name: &[u8], content: &[u8], stop: &AtomicBool) -> Light {
    let mut out = Light::default();
    if content.len() > MAX_BYTES || content.contains(&0) {
        return out;
    }
    let Some(grammar) = grammar(name, content) else {
        return out;
    };
    let until = Instant::now() + TIME;
    let mut state = ParseState::new(grammar);
    let mut stack = ScopeStack::new();
    for (number, line) in content.split_inclusive(|b| *b == b'\n').enumerate() {
        if line.len() > MAX_LINE
            || (number % 32 == 0 && (stop.load(Ordering::Relaxed) || Instant::now() > until))
        {
            break;
        }
        out.lines
            .push(u32::try_from(out.runs.len()).unwrap_or(u32::MAX));
        // The grammars want UTF-8; a replaced byte would move what follows it.
        let Ok(text) = std::str::from_utf8(line) else {
            continue;
        };
        let Ok(ops) = state.parse_line(text, grammars()) else {
            break;
        };
        let mut at = 0;
        for (end, op) in ops {
            push(&mut out.runs, at, end, meaning(&stack));
            at = at.max(end);
            if stack.apply(&op).is_err() {
                return out;
            }
        }
        push(&mut out.runs, at, text.len(), meaning(&stack));
    }
    // What follows a break has no runs, rather than those of the last line.
    out.lines
        .push(u32::try_from(out.runs.len()).unwrap_or(u32::MAX));
    out
}

fn push(runs: &mut Vec<(u32, Syntax)>, start: usize, end: usize, syntax: Syntax) {
    if end > start {
        runs.push((u32::try_from(end).unwrap_or(u32::MAX), syntax));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn words(name: &str, content: &str) -> Vec<Vec<(String, Syntax)>> {
        let light = light(name.as_bytes(), content.as_bytes(), &AtomicBool::new(false));
        content
            .lines()
            .enumerate()
            .map(|(i, line)| {
                light
                    .line(i)
                    .filter_map(|(r, s)| {
                        Some((line.get(r.start..r.end.min(line.len()))?.to_owned(), s))
                    })
                    .filter(|(t, _)| !t.trim().is_empty())
                    .collect()
            })
            .collect()
    }

    fn is(line: &[(String, Syntax)], word: &str) -> Syntax {
        line.iter()
            .find(|(w, _)| w.trim() == word)
            .map(|(_, s)| *s)
            .unwrap_or_default()
    }

    #[test]
    fn rust_words_have_meanings() {
        let lines = words(
            "token.rs",
            "/// Doc.\npub fn expired(now: u64) -> bool {\n    let s = \"text\"; // why\n    now > 1_000\n}\n",
        );
        assert_eq!(is(&lines[0], "Doc."), Syntax::Comment);
        assert_eq!(is(&lines[1], "fn"), Syntax::Keyword);
        assert_eq!(is(&lines[1], "expired"), Syntax::Function);
        assert_eq!(is(&lines[2], "text"), Syntax::Text);
        assert_eq!(is(&lines[3], "1_000"), Syntax::Number);
    }

    #[test]
    fn common_languages_are_known() {
        for (name, content) in [
            ("a.toml", "[package]\nname = \"x\"\n"),
            ("a.ts", "const x: number = 1;\n"),
            ("a.py", "def f(x):\n    return x\n"),
            ("Makefile", "all:\n\techo\n"),
            ("Dockerfile", "FROM debian\n"),
            ("run", "#!/bin/sh\nif true; then exit 1; fi\n"),
            ("a.md", "# Title\n"),
            ("a.json", "{\"a\": 1}\n"),
        ] {
            let lines = words(name, content);
            assert!(
                lines.iter().flatten().any(|(_, s)| *s != Syntax::Plain),
                "{name}: {lines:?}"
            );
        }
    }

    #[test]
    fn odd_contents_end_quietly() {
        let stop = AtomicBool::new(false);
        for content in [&b"\xff\xfe\nfn x() {}\n"[..], b"a\0b", b""] {
            let light = light(b"x.rs", content, &stop);
            for line in 0..4 {
                assert!(light.line(line).all(|(r, _)| r.end <= content.len()));
            }
        }
        let long = format!("let x = \"{}\";\nfn y() {{}}\n", "a".repeat(MAX_LINE));
        assert_eq!(light(b"x.rs", long.as_bytes(), &stop).line(1).count(), 0);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(light(b"x.rs", b"fn x() {}\n", &stop).line(0).count(), 0);
    }
}
