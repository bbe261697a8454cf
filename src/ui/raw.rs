//! A record of a trace as lines to read: JSON set out with one value a line, anything else as it is.
//!
//! Nothing is parsed into a tree and nothing has to be well-formed: the bytes are walked once, so a torn line or one of
//! sixteen megabytes is as good as any. Long strings and long records are cut, and it is said where.

use super::text;
use super::theme::Syntax;

/// Longest part of a string that is shown, in bytes.
const STRING: usize = 8 << 10;

/// Most lines of all records of a step together.
pub(crate) const LINES: usize = 20_000;

/// Deepest level that is indented further.
const DEEPEST: usize = 24;

/// A line: runs of one kind each, cleaned.
pub(crate) type Runs = Vec<(Syntax, String)>;

/// Sets a record out in lines of at most `width` cells, at most `limit` of them.
pub(crate) fn set_out(bytes: &[u8], width: usize, limit: usize) -> Vec<Runs> {
    let mut pen = Pen {
        width: width.max(20),
        limit,
        lines: Vec::new(),
        line: Vec::new(),
        used: 0,
        depth: 0,
    };
    let json = bytes
        .iter()
        .find(|b| !b.is_ascii_whitespace())
        .is_some_and(|b| matches!(b, b'{' | b'['));
    let rest = if json {
        pen.json(bytes)
    } else {
        pen.plain(bytes)
    };
    pen.end_line();
    if rest > 0 {
        pen.limit += 1;
        pen.put(Syntax::Comment, &more(rest));
        pen.end_line();
    }
    pen.lines
}

fn more(bytes: usize) -> String {
    format!("... {} more", text::bytes(bytes as u64))
}

struct Pen {
    width: usize,
    limit: usize,
    lines: Vec<Runs>,
    line: Runs,
    used: usize,
    depth: usize,
}

impl Pen {
    fn full(&self) -> bool {
        self.lines.len() >= self.limit
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() && !self.full() {
            self.lines.push(std::mem::take(&mut self.line));
        }
        self.line.clear();
        self.used = 0;
    }

    fn indent(&mut self, by: usize) {
        let cells = (self.depth.min(DEEPEST) * 2 + by).min(self.width / 2);
        if cells > 0 {
            self.line.push((Syntax::Plain, " ".repeat(cells)));
        }
        self.used = cells;
    }

    /// A new line at the present depth.
    fn turn(&mut self) {
        self.end_line();
        self.indent(0);
    }

    /// Writes a cleaned text, going on in further lines where it does not fit.
    fn put(&mut self, syntax: Syntax, words: &str) {
        let mut run = String::new();
        for c in words.chars() {
            let w = text::char_width(c);
            if self.used + w > self.width {
                self.line.push((syntax, std::mem::take(&mut run)));
                self.end_line();
                if self.full() {
                    return;
                }
                self.indent(2);
            }
            run.push(c);
            self.used += w;
        }
        if !run.is_empty() {
            self.line.push((syntax, run));
        }
    }

    fn put_bytes(&mut self, syntax: Syntax, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(STRING)];
        // Not at the beginning of a line: a lone combining mark has something to sit on.
        let words = text::piece(shown, &mut 1);
        self.put(syntax, &words);
        if bytes.len() > STRING {
            let note = format!(" {}", more(bytes.len() - STRING));
            if self.used + note.len() > self.width {
                self.end_line();
                self.indent(2);
            }
            self.put(Syntax::Comment, &note);
        }
    }

    /// Gives back how many bytes were not shown.
    fn plain(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if self.full() {
                return bytes.len() - at;
            }
            at += line.len();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.put_bytes(Syntax::Plain, line.strip_suffix(b"\r").unwrap_or(line));
            self.end_line();
        }
        0
    }

    /// Gives back how many bytes were not shown.
    fn json(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(b) = bytes.get(at).copied() {
            if self.full() {
                return bytes.len() - at;
            }
            match b {
                b if b.is_ascii_whitespace() => at += 1,
                b'{' | b'[' => {
                    let close = if b == b'{' { b'}' } else { b']' };
                    let next = after_blanks(bytes, at + 1);
                    if bytes.get(next) == Some(&close) {
                        self.put(Syntax::Sign, if b == b'{' { "{}" } else { "[]" });
                        at = next + 1;
                    } else {
                        self.put(Syntax::Sign, if b == b'{' { "{" } else { "[" });
                        self.depth += 1;
                        self.turn();
                        at += 1;
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.turn();
                    self.put(Syntax::Sign, if b == b'}' { "}" } else { "]" });
                    at += 1;
                }
                b',' => {
                    self.put(Syntax::Sign, ",");
                    self.turn();
                    at += 1;
                }
                b':' => {
                    self.put(Syntax::Sign, ": ");
                    at += 1;
                }
                b'"' => {
                    let end = string_end(bytes, at);
                    let is_key = bytes.get(after_blanks(bytes, end)) == Some(&b':');
                    let syntax = if is_key {
                        Syntax::Attribute
                    } else {
                        Syntax::Text
                    };
                    self.put_bytes(syntax, &bytes[at..end]);
                    at = end;
                }
                _ => {
                    let ends = |b: &u8| b.is_ascii_whitespace() || b",:{}[]\"".contains(b);
                    let end = bytes[at..]
                        .iter()
                        .position(ends)
                        .map_or(bytes.len(), |n| at + n);
                    let syntax = if b.is_ascii_digit() || b == b'-' {
                        Syntax::Number
                    } else {
                        Syntax::Constant
                    };
                    self.put_bytes(syntax, &bytes[at..end]);
                    at = end;
                }
            }
        }
        0
    }
}

fn after_blanks(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// The place after the string that begins at `from`; the end where nothing ends it.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(b) = bytes.get(at) {
        match b {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(bytes: &[u8], width: usize, limit: usize) -> Vec<String> {
        set_out(bytes, width, limit)
            .iter()
            .map(|runs| runs.iter().map(|(_, t)| t.as_str()).collect())
            .collect()
    }

    #[test]
    fn json_is_set_out() {
        let json = br#"{"a":1,"b":[true,{}],"c":{"d":"x\"y","e":[]}}"#;
        assert_eq!(
            shown(json, 80, 100),
            [
                "{",
                "  \"a\": 1,",
                "  \"b\": [",
                "    true,",
                "    {}",
                "  ],",
                "  \"c\": {",
                "    \"d\": \"x\\\"y\",",
                "    \"e\": []",
                "  }",
                "}",
            ]
        );
    }

    #[test]
    fn what_is_torn_or_long_is_shown_as_far_as_it_goes() {
        assert_eq!(
            shown(br#"{"a":"never ends \"#, 80, 100),
            ["{", "  \"a\": \"never ends \\"]
        );
        assert_eq!(shown(b"plain\nlines\r\n", 80, 100), ["plain", "lines"]);
        let long = format!("{{\"a\":\"{}\",\"b\":1}}", "x".repeat(100_000));
        let lines = shown(long.as_bytes(), 80, 1000);
        assert!(lines.iter().any(|l| l.contains("91 KB more")), "{lines:?}");
        assert!(lines.iter().any(|l| l.contains("\"b\": 1")));
        let many = format!("[{}1]", "1,".repeat(1000));
        let lines = shown(many.as_bytes(), 80, 10);
        assert_eq!(lines.len(), 11);
        assert!(lines[10].ends_with("KB more"), "{lines:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_within_bounds(bytes in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b','), Just(b':'), any::<u8>()], 0..400), width in 0usize..60, limit in 1usize..50) {
            let lines = shown(&bytes, width, limit);
            prop_assert!(lines.len() <= limit + 1);
            for line in &lines {
                prop_assert!(text::width(line) <= width.max(20) + 1, "{line:?}");
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
