//! Standard output: colours where they are wanted, JSON lines, text from projects made harmless.
//!
//! Colours are used only on a terminal and without `NO_COLOR`. Whatever comes from a project or an agent goes through
//! [`neutral`] or [`Out::content`]; only `cat` and file content in a pipe are written as they are.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use super::Fail;
use crate::model::neutral;

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// Less important.
    Dim,
    /// Stands out.
    Bold,
    /// An id.
    Id,
    /// A name of a branch or label.
    Name,
    /// Added, well.
    Good,
    /// Removed, failed.
    Bad,
    /// A place in a file, a kind of step.
    Mark,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Id => "33",
            Self::Name => "35",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Mark => "36",
        }
    }
}

/// Where a verb prints to.
pub struct Out {
    to: Box<dyn Write>,
    terminal: bool,
    colour: bool,
}

impl Out {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            to: Box::new(BufWriter::with_capacity(64 << 10, io::stdout())),
            terminal,
            colour: terminal && !no_colour && !dumb,
        }
    }

    /// Anywhere else, for tests.
    #[must_use]
    pub fn to(to: Box<dyn Write>, terminal: bool, colour: bool) -> Self {
        Self {
            to,
            terminal,
            colour,
        }
    }

    /// Whether a person is looking.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// `text` in its colour. The text must be harmless already.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", tone.code())
    }

    /// One line. The text must be harmless already.
    pub fn line(&mut self, text: &str) -> Result<(), Fail> {
        self.to.write_all(text.as_bytes())?;
        self.to.write_all(b"\n")?;
        Ok(())
    }

    /// One JSON object as a line.
    pub fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Fail> {
        serde_json::to_writer(&mut self.to, value).map_err(io::Error::from)?;
        self.to.write_all(b"\n")?;
        Ok(())
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Fail> {
        Ok(self.to.write_all(bytes)?)
    }

    /// A line of a file's content after `sign`: as it is in a pipe (a patch must apply), harmless on a terminal.
    pub fn content(&mut self, tone: Tone, sign: char, bytes: &[u8]) -> Result<(), Fail> {
        if self.terminal {
            let text = format!("{sign}{}", harmless(bytes));
            let painted = self.paint(tone, &text);
            return self.line(&painted);
        }
        write!(self.to, "{sign}")?;
        self.to.write_all(bytes)?;
        Ok(self.to.write_all(b"\n")?)
    }

    /// A line of a file's content behind a prefix that is harmless already: as it is in a pipe, harmless on a terminal.
    pub fn behind(&mut self, prefix: &str, bytes: &[u8]) -> Result<(), Fail> {
        if self.terminal {
            return self.line(&format!("{prefix}{}", harmless(bytes)));
        }
        self.to.write_all(prefix.as_bytes())?;
        self.to.write_all(bytes)?;
        Ok(self.to.write_all(b"\n")?)
    }

    /// Everything out.
    pub fn flush(&mut self) -> Result<(), Fail> {
        Ok(self.to.flush()?)
    }
}

/// A line of text without what a terminal would act on; tabs stay.
fn harmless(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (i, part) in bytes.split(|b| *b == b'\t').enumerate() {
        if i > 0 {
            out.push('\t');
        }
        out.push_str(&neutral(part));
    }
    out
}

/// The first line of a text from an agent, harmless and at most `width` characters long.
#[must_use]
pub fn one_line(text: &str, width: usize) -> String {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let mut out = neutral(first.trim_end().as_bytes());
    if out.chars().count() > width {
        out = out.chars().take(width.saturating_sub(1)).collect();
        out.push('…');
    }
    out
}

/// `1 file`, `2 files`.
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    let mut out = format!("{n} {one}");
    if n != 1 {
        if one.ends_with('y') {
            out.pop();
            out.push_str("ies");
        } else {
            out.push('s');
        }
    }
    out
}

/// A duration for people: `850 ms`, `12 s`, `3 min`, `2 h`.
#[must_use]
pub fn duration(d: std::time::Duration) -> String {
    let s = d.as_secs();
    let mut out = String::new();
    let _ = match s {
        0 => write!(out, "{} ms", d.as_millis()),
        1..=119 => write!(out, "{s} s"),
        120..=7199 => write!(out, "{} min", s / 60),
        7200..=172_799 => write!(out, "{} h", s / 3600),
        _ => write!(out, "{} days", s / 86_400),
    };
    out
}

#[cfg(test)]
pub mod testing {
    //! An [`Out`] whose text can be read back.
    #![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Collects what is printed.
    #[derive(Clone, Default)]
    pub struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub fn out(&self) -> Out {
            Out::to(Box::new(self.clone()), false, false)
        }

        pub fn terminal(&self) -> Out {
            Out::to(Box::new(self.clone()), true, true)
        }

        pub fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        pub fn text(&self) -> String {
            String::from_utf8(self.bytes()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::testing::Captured;
    use super::*;

    #[test]
    fn content_is_harmless_on_a_terminal_and_exact_in_a_pipe() {
        let line = b"a\tb\x1b[2J\xff";
        let seen = Captured::default();
        seen.terminal().content(Tone::Good, '+', line).unwrap();
        assert_eq!(seen.text(), "\x1b[32m+a\tb\\x1b[2J\\xff\x1b[0m\n");
        let seen = Captured::default();
        seen.out().content(Tone::Good, '+', line).unwrap();
        assert_eq!(seen.bytes(), b"+a\tb\x1b[2J\xff\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "entry"), "0 entries");
        assert_eq!(duration(std::time::Duration::from_secs(150)), "2 min");
        assert_eq!(one_line("  a\x1bb\nc", 80), "a\\x1bb");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
