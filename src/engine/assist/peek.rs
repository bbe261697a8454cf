//! The explanations in an answer that is still coming: proposals come as JSON, which nobody wants to read as it grows.

/// Finds the values of `"explanation"` in JSON that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Peek {
    state: State,
    /// The text of the string that is being read, when it may be a key; else what is given out.
    word: String,
    /// The last whole string was the key that is looked for.
    wanted: bool,
    shown: bool,
    /// Digits of a `\u` escape.
    hex: String,
    /// The first half of a pair.
    high: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Inside,
    Escape,
    Hex,
}

const KEY: &str = "explanation";

impl Peek {
    /// Takes a piece; gives what it adds to the explanations.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let mut out = String::new();
        for c in piece.chars() {
            self.one(c, &mut out);
        }
        out
    }

    fn one(&mut self, c: char, out: &mut String) {
        match self.state {
            State::Outside => match c {
                '"' => {
                    self.state = State::Inside;
                    self.word.clear();
                }
                ':' => self.wanted = self.word == KEY,
                c if c.is_whitespace() => {}
                _ => {
                    self.wanted = false;
                    self.word.clear();
                }
            },
            State::Inside => match c {
                '"' => {
                    self.state = State::Outside;
                    if self.wanted {
                        out.push('\n');
                        self.shown = true;
                        self.wanted = false;
                        self.word.clear();
                    }
                }
                '\\' => self.state = State::Escape,
                c => self.put(c, out),
            },
            State::Escape => {
                self.state = State::Inside;
                match c {
                    'n' => self.put('\n', out),
                    't' => self.put('\t', out),
                    'r' | 'b' | 'f' => {}
                    'u' => {
                        self.hex.clear();
                        self.state = State::Hex;
                    }
                    c => self.put(c, out),
                }
            }
            State::Hex => {
                self.hex.push(c);
                if self.hex.chars().count() == 4 {
                    self.state = State::Inside;
                    let code = u32::from_str_radix(&self.hex, 16).unwrap_or(0xfffd);
                    self.code(code, out);
                }
            }
        }
    }

    fn code(&mut self, code: u32, out: &mut String) {
        match (self.high.take(), code) {
            (_, 0xd800..0xdc00) => self.high = Some(code),
            (Some(high), 0xdc00..0xe000) => {
                let both = 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00);
                self.put(char::from_u32(both).unwrap_or('\u{fffd}'), out);
            }
            (_, code) => self.put(char::from_u32(code).unwrap_or('\u{fffd}'), out),
        }
    }

    fn put(&mut self, c: char, out: &mut String) {
        if self.wanted {
            if self.shown && self.word.is_empty() {
                out.push('\n');
            }
            out.push(c);
            self.word.push('.');
            self.word.truncate(1);
        } else if self.word.len() <= KEY.len() {
            self.word.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_come_out_however_the_text_is_cut() {
        let json = r#"{"proposals":[{"text":"\"explanation\": no","explanation":"a \"b\"\nc \u00e9\ud83d\ude00"},{ "explanation" : "second", "x": ["explanation", "no"]}]}"#;
        let whole = "a \"b\"\nc é😀\n\nsecond\n";
        assert_eq!(Peek::default().push(json), whole);
        let mut peek = Peek::default();
        let parts: String = json.chars().map(|c| peek.push(&c.to_string())).collect();
        assert_eq!(parts, whole);
        assert_eq!(Peek::default().push("no JSON at all: x"), "");
    }
}
