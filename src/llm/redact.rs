//! Takes secrets out of texts before they leave, and puts them back into what comes back.
//!
//! Each secret becomes `[redacted:KIND]`; a second one of its kind `[redacted:KIND-2]`, so that each placeholder stands for
//! one secret and can be put back exactly. A secret that was seen in one text is taken out of all. Placeholders that
//! the texts themselves contain are never given out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::escapes;
use super::secrets::{self, Found};

/// Shortest secret that is looked for elsewhere too.
const ELSEWHERE: usize = 8;

/// Most secrets that are looked for elsewhere.
const MOST: usize = 2_000;

/// Shortest line of a key that is looked for by itself.
const KEY_LINE: usize = 16;

/// Shortest beginning of a secret that is known again where a text was cut, in characters.
const BEGINNING: usize = 8;

/// Longest secret whose beginning is looked for, in bytes.
const CUT: usize = 400;

/// Knows the secrets of one prompt.
#[derive(Debug, Default)]
pub struct Redactor {
    by_secret: HashMap<String, String>,
    by_placeholder: BTreeMap<String, String>,
    /// Secrets that are looked for everywhere, with their kinds, longest first.
    known: Vec<(String, &'static str)>,
    /// Those of `known`.
    seen: HashSet<String>,
    /// Placeholders that stand in the texts as they are.
    taken: BTreeSet<String>,
    counts: BTreeMap<&'static str, usize>,
}

/// A text whose placeholders cannot be put back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it uses {0}, which stands for nothing in the part that it replaces")]
pub struct Unknown(pub String);

/// Whether secrets can be found at all; without that nothing may be sent.
#[must_use]
pub fn ready() -> bool {
    secrets::ready()
}

impl Redactor {
    /// Looks at a text that will be part of the prompt; neighbouring parts of one text belong together. All texts must be
    /// learned before the first is redacted.
    pub fn learn(&mut self, parts: &[&str]) {
        let whole = parts.concat();
        for placeholder in placeholders(&whole) {
            self.taken.insert(placeholder.to_owned());
        }
        self.note(&whole, secrets::find(&whole));
        for meant in escapes::meant(&whole) {
            let found = secrets::find(&meant.text);
            for found in &found {
                // As it stands, too: other texts may have it in the same spelling.
                let raw = whole.get(meant.back(&found.at)).unwrap_or_default();
                self.know(raw, found.kind);
            }
            self.note(&meant.text, found);
        }
        self.known.sort_by_key(|(s, _)| std::cmp::Reverse(s.len()));
    }

    fn note(&mut self, text: &str, all: Vec<Found>) {
        for found in all {
            let secret = text.get(found.at).unwrap_or_default();
            self.know(secret, found.kind);
            if found.kind != "private-key" {
                continue;
            }
            // A part of a key is one as well.
            for line in secret.lines() {
                let line = line.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/');
                let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
                if line.len() >= KEY_LINE && line.bytes().all(base64) {
                    self.know(line, found.kind);
                }
            }
        }
    }

    fn know(&mut self, secret: &str, kind: &'static str) {
        if secret.len() >= ELSEWHERE
            && self.known.len() < MOST
            && self.seen.insert(secret.to_owned())
        {
            self.known.push((secret.to_owned(), kind));
        }
    }

    /// Where secrets stand in a text.
    fn places(&self, whole: &str) -> Vec<Found> {
        let mut all = self.plain(whole);
        for meant in escapes::meant(whole) {
            all.extend(self.plain(&meant.text).into_iter().map(|found| Found {
                at: meant.back(&found.at),
                kind: found.kind,
            }));
        }
        secrets::merged(all)
    }

    fn plain(&self, text: &str) -> Vec<Found> {
        let mut all = secrets::find(text);
        for (secret, kind) in &self.known {
            all.extend(text.match_indices(secret.as_str()).map(|(at, s)| Found {
                at: at..at + s.len(),
                kind,
            }));
        }
        let ends = text.match_indices('…').map(|(at, _)| at);
        for end in ends.chain([text.len()]) {
            self.cut(text, end, &mut all);
        }
        all
    }

    /// The beginning of a secret at the end of a text that was cut.
    fn cut(&self, text: &str, end: usize, all: &mut Vec<Found>) {
        let mut from = end.saturating_sub(CUT);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let tail = text.get(from..end).unwrap_or_default();
        for (secret, kind) in self.known.iter().filter(|(s, _)| s.len() <= CUT) {
            let Some((n, _)) = secret.char_indices().nth(BEGINNING) else {
                continue;
            };
            let (begin, _) = secret.split_at(n);
            let found = tail
                .match_indices(begin)
                .find(|(at, _)| tail.get(*at..).is_some_and(|t| secret.starts_with(t)));
            if let Some((at, _)) = found {
                all.push(Found {
                    at: from + at..end,
                    kind,
                });
            }
        }
    }

    /// A text without its secrets.
    pub fn text(&mut self, text: &str) -> String {
        self.parts(&[text]).concat()
    }

    /// Neighbouring parts of one text without their secrets; one that lies across a border is taken out of both parts.
    pub fn parts(&mut self, parts: &[&str]) -> Vec<String> {
        let whole = parts.concat();
        let all = self.places(&whole);
        let mut out = Vec::new();
        let mut start = 0;
        for part in parts {
            let end = start + part.len();
            let mut text = String::with_capacity(part.len());
            let mut at = start;
            for found in &all {
                let (from, to) = (found.at.start.max(start), found.at.end.min(end));
                if from >= to {
                    continue;
                }
                // Blanks at its ends are no secret, and keep the lines apart.
                let piece = &whole[from..to];
                let secret = piece.trim();
                if secret.is_empty() {
                    continue;
                }
                let from = from + piece.len() - piece.trim_start().len();
                text.push_str(&whole[at..from]);
                text.push_str(&self.placeholder(secret, found.kind));
                at = from + secret.len();
            }
            text.push_str(&whole[at..end]);
            out.push(text);
            start = end;
        }
        out
    }

    fn placeholder(&mut self, secret: &str, kind: &'static str) -> String {
        *self.counts.entry(kind).or_default() += 1;
        if let Some(known) = self.by_secret.get(secret) {
            return known.clone();
        }
        let mut n = 1;
        let placeholder = loop {
            let name = match n {
                1 => format!("[redacted:{kind}]"),
                n => format!("[redacted:{kind}-{n}]"),
            };
            if !self.by_placeholder.contains_key(&name) && !self.taken.contains(&name) {
                break name;
            }
            n += 1;
        };
        self.by_secret
            .insert(secret.to_owned(), placeholder.clone());
        self.by_placeholder
            .insert(placeholder.clone(), secret.to_owned());
        placeholder
    }

    /// How many places were taken out, by kind.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    /// Puts the secrets back into `text`. Only placeholders in one of `within` (redacted texts) are: a model must not carry
    /// a secret to where it was not.
    pub fn restore(&self, text: &str, within: &[&str]) -> Result<String, Unknown> {
        let allowed: BTreeSet<&str> = within.iter().flat_map(|t| placeholders(t)).collect();
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        for placeholder in placeholders(text) {
            let Some(at) = rest.find(placeholder) else {
                continue;
            };
            out.push_str(&rest[..at]);
            rest = &rest[at + placeholder.len()..];
            if !allowed.contains(placeholder) {
                return Err(Unknown(crate::model::neutral(placeholder.as_bytes())));
            }
            out.push_str(
                self.by_placeholder
                    .get(placeholder)
                    .map_or(placeholder, String::as_str),
            );
        }
        out.push_str(rest);
        // One that was changed a little would be written as it is.
        if out.matches("[redacted:").count() != allowed_literals(&out, &self.taken) {
            return Err(Unknown("a damaged [redacted:...]".to_owned()));
        }
        Ok(out)
    }
}

/// How many of its placeholders are the text's own words.
fn allowed_literals(text: &str, taken: &BTreeSet<String>) -> usize {
    placeholders(text).filter(|p| taken.contains(*p)).count()
}

/// The `[redacted:...]` in a text, in order.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let from = at + text[at..].find("[redacted:")?;
            at = from + "[redacted:".len();
            let name = text[at..]
                .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            if let Some(len) = name
                && len > 0
                && text[at + len..].starts_with(']')
            {
                at += len + 1;
                return Some(&text[from..at]);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_taken_out_is_put_back_exactly() {
        let ours = "key = \"AKIAIOSFODNN7EXAMPLE\"\nother = \"AKIAIOSFODNN7EXAMPL2\"\n";
        let mut r = Redactor::default();
        r.learn(&[ours]);
        let out = r.text(ours);
        assert_eq!(
            out,
            "key = \"[redacted:aws-key]\"\nother = \"[redacted:aws-key-2]\"\n"
        );
        assert_eq!(r.restore(&out, &[&out]).unwrap(), ours);
        assert_eq!(r.counts()["aws-key"], 2);
        // Put together anew, with a line of the model's own.
        let answer = "// merged\nother = \"[redacted:aws-key-2]\"\n";
        assert_eq!(
            r.restore(answer, &[&out]).unwrap(),
            "// merged\nother = \"AKIAIOSFODNN7EXAMPL2\"\n"
        );
    }

    #[test]
    fn a_placeholder_from_elsewhere_or_a_damaged_one_is_refused() {
        let mut r = Redactor::default();
        let (here, there) = ("a = \"ghp_0123456789abcdefABCDEF0123456789abcd\"", "plain");
        r.learn(&[here]);
        let out = r.text(here);
        assert!(r.restore(&out, &[there]).is_err());
        assert!(r.restore("[redacted:made-up]", &[&out]).is_err());
        assert!(r.restore("[redacted:github token]", &[&out]).is_err());
        assert!(r.restore("[REDACTED]", &[&out]).is_ok());
    }

    #[test]
    fn a_text_that_speaks_of_redactions_keeps_its_words() {
        let text = "say(\"[redacted:jwt]\"); k = \"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc\"";
        let mut r = Redactor::default();
        r.learn(&[text]);
        let out = r.text(text);
        assert_eq!(out, "say(\"[redacted:jwt]\"); k = \"[redacted:jwt-2]\"");
        assert_eq!(r.restore(&out, &[&out]).unwrap(), text);
    }

    #[test]
    fn a_secret_seen_once_is_taken_out_everywhere_and_across_borders() {
        let mut r = Redactor::default();
        r.learn(&["DB_PASSWORD=correcthorse\n"]);
        r.learn(&["the agent said correcthorse works"]);
        assert_eq!(
            r.text("the agent said correcthorse works"),
            "the agent said [redacted:password] works"
        );
        let parts = [
            "x\n-----BEGIN PRIVATE KEY-----\nMIIa\n",
            "bcd\nefg\n",
            "hij\n-----END PRIVATE KEY-----\ny\n",
        ];
        let mut r = Redactor::default();
        r.learn(&parts);
        let out = r.parts(&parts);
        assert_eq!(
            out,
            [
                "x\n[redacted:private-key]\n",
                "[redacted:private-key-2]\n",
                "[redacted:private-key-3]\ny\n"
            ]
        );
        assert_eq!(r.restore(&out[1], &[&out[1]]).unwrap(), parts[1]);
        assert!(r.restore(&out[0], &[&out[1]]).is_err());
    }

    #[test]
    fn what_is_escaped_is_found_as_it_is_meant() {
        let pem =
            "-----BEGIN PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA0Z3VS5JJ\\n-----END PRIVATE KEY-----\\n";
        for (text, secret) in [
            (
                r##"{"content":"# app\nDB_PASSWORD=swordfish9\n"}"##,
                "swordfish9",
            ),
            (
                r#"{"content":"{\"db_password\": \"correcthorse\"}"}"#,
                "correcthorse",
            ),
            (
                r#"{"content":"tok:\nghp_0123456789abcdefABCDEF0123456789abcd"}"#,
                "ghp_0123",
            ),
            (
                r#"{"content":"SALT=9f8a7b6c5d4e3f2a1b0c9d8e\n"}"#,
                "9f8a7b6c",
            ),
            (
                r#"{"a":"{\"b\":\"{\\\"pass\\\": \\\"hunter22\\\"}\"}"}"#,
                "hunter22",
            ),
            (&format!("{{\"content\":\"{pem}\"}}"), "MIIEpAIB"),
            // Cut, so that it is no JSON any more.
            (r#"{"content":"x\nDB_PASSWORD=swordfish9\ny"#, "swordfish9"),
        ] {
            let mut r = Redactor::default();
            r.learn(&[text]);
            let out = r.text(text);
            assert!(!out.contains(secret), "{text}: {out}");
            assert_eq!(r.restore(&out, &[&out]).unwrap(), text);
            // And plain elsewhere.
            let said = format!("it was {secret} there");
            if secret.len() > 8 && !secret.starts_with("ghp") {
                assert!(!r.text(&said).contains(secret), "{text}");
            }
        }
    }

    #[test]
    fn a_part_of_a_secret_that_was_seen_whole_is_taken_out() {
        let line = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn3ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpP";
        let other = line.replace("MII", "Abc");
        let whole = format!(
            "-----BEGIN RSA PRIVATE KEY-----\n{line}\n{other}\n-----END RSA PRIVATE KEY-----\npassword = \"correct horse battery staple\"\n"
        );
        let mut r = Redactor::default();
        r.learn(&[&whole]);
        let out = r.text(&format!("+{other}\n"));
        assert_eq!(out, "+[redacted:private-key]\n");
        for cut in [
            "it is correct horse bat…",
            "it is correct horse bat",
            "correct horse bat… (cut)",
        ] {
            assert!(!r.text(cut).contains("horse"), "{cut}: {}", r.text(cut));
        }
    }

    mod laws {
        use super::super::*;
        use proptest::prelude::*;

        fn piece() -> impl Strategy<Value = String> {
            prop_oneof![
                Just(" AKIAIOSFODNN7EXAMPLE ".to_owned()),
                Just("password = \"hunter2\"".to_owned()),
                Just("DB_PASSWORD=correcthorse".to_owned()),
                Just("-----BEGIN PRIVATE KEY-----\n".to_owned()),
                Just("-----END PRIVATE KEY-----".to_owned()),
                Just("[redacted:password]".to_owned()),
                Just("[redacted:".to_owned()),
                Just("\r\n".to_owned()),
                Just("\\nTOKEN=\\\"ab12cd34ef\\\"\\n".to_owned()),
                Just("…".to_owned()),
                Just("\n".to_owned()),
                "[ -~é\u{1F600}]{0,12}",
            ]
        }

        proptest! {
            /// Whatever is taken out of a part is put back into it exactly, wherever the borders are.
            #[test]
            fn restoring_is_the_inverse(parts in proptest::collection::vec(
                proptest::collection::vec(piece(), 0..6).prop_map(|p| p.concat()), 1..5
            )) {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let mut redactor = Redactor::default();
                redactor.learn(&parts);
                let out = redactor.parts(&parts);
                prop_assert_eq!(out.len(), parts.len());
                for (out, part) in out.iter().zip(&parts) {
                    // A beginning of a placeholder in the text itself cannot be told from a damaged one.
                    if let Ok(back) = redactor.restore(out, &[out]) {
                        prop_assert_eq!(&back, part);
                    } else {
                        prop_assert!(part.contains("[redacted:"));
                    }
                    prop_assert!(!out.contains(" AKIAIOSFODNN7EXAMPLE "));
                }
            }
        }
    }
}
