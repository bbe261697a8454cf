//! Checks what a model proposes before anybody sees it: it may replace this hunk and nothing else, and it may not bring in
//! what a person would not see.

use std::collections::{BTreeSet, HashMap};

use serde::de::IgnoredAny;

use super::answer::Raw;
use super::evidence::HunkEvidence;
use super::{By, Proposal};
use crate::llm::redact::Redactor;
use crate::model::{Ordinal, is_hidden, neutral};

/// A proposal may always be so long, in bytes.
const SHORT: usize = 64 << 10;

/// ... and else so many times what it replaces.
const TIMES: usize = 4;

/// Longest words of a model that are shown, in characters.
const WORDS: usize = 4_000;

/// A proposal that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the answer, from 1.
    pub number: usize,
    /// Why; harmless for a terminal.
    pub why: String,
}

/// What a proposal is held against.
pub(super) struct Against<'a> {
    pub(super) hunk: &'a HunkEvidence,
    pub(super) redactor: &'a Redactor,
    /// The sides as they were sent: ours, base, theirs.
    pub(super) sent: [&'a str; 3],
    /// The steps that were given.
    pub(super) steps: &'a BTreeSet<Ordinal>,
    pub(super) by: &'a By,
}

/// The proposal, if it is sound.
pub(super) fn check(raw: Raw, against: &Against<'_>) -> Result<Proposal, String> {
    let hunk = against.hunk;
    let mut notes: Vec<String> = raw.notes.iter().map(|n| neutral(n.as_bytes())).collect();
    let text = against
        .redactor
        .restore(&raw.text, &against.sent)
        .map_err(|e| e.to_string())?;
    let most = SHORT.max(TIMES * hunk.len());
    if text.len() > most {
        return Err(format!(
            "it is {} KiB long, where {} KiB are the most",
            text.len() >> 10,
            most >> 10
        ));
    }
    let text = if hunk.key.is_some() {
        value(hunk, &text)?
    } else {
        lines(hunk, &text, &mut notes)?
    };
    for (name, side) in ["ours", "the base", "theirs"].iter().zip(hunk.sides()) {
        if side == &text {
            notes.push(format!("the same as {name}"));
        }
    }
    let made_up: Vec<String> = raw
        .cites
        .iter()
        .filter(|c| !against.steps.contains(c))
        .map(ToString::to_string)
        .collect();
    if !made_up.is_empty() {
        notes.push(format!(
            "it cites {}, which it was not given",
            made_up.join(", ")
        ));
    }
    let mut drops: Vec<String> = raw.drops.iter().map(|d| words(d)).collect();
    drops.retain(|d| !d.trim().is_empty());
    Ok(Proposal {
        text: text.into_bytes(),
        explanation: words(&raw.explanation),
        cites: raw
            .cites
            .into_iter()
            .filter(|c| against.steps.contains(c))
            .collect(),
        drops,
        confidence: raw.confidence,
        notes,
        by: against.by.clone(),
    })
}

/// A model's words made harmless, their lines kept.
pub(super) fn words(text: &str) -> String {
    let short: String = text.trim().chars().take(WORDS).collect();
    harmless(&short)
}

/// Text without what a terminal would act on; lines and tabs stay, as blanks.
pub(super) fn harmless(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let lines: Vec<String> = text.split('\n').map(|l| neutral(l.as_bytes())).collect();
    lines.join("\n")
}

/// One JSON value.
fn value(hunk: &HunkEvidence, text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        if hunk.ours.is_empty() || hunk.theirs.is_empty() {
            return Ok(String::new());
        }
        return Err("it has no value for this key".to_owned());
    }
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err("it is not one JSON value, which this key must have".to_owned());
    }
    if let Some(line) = strange(hunk, text, &HashMap::new()) {
        return Err(line);
    }
    let text = text.replace("\r\n", "\n");
    Ok(if hunk.crlf {
        text.replace('\n', "\r\n")
    } else {
        text
    })
}

/// Whole lines, with the file's own line ends.
fn lines(hunk: &HunkEvidence, text: &str, notes: &mut Vec<String>) -> Result<String, String> {
    // Each line as one of the sides ends it.
    let mut ends: HashMap<&str, &str> = HashMap::new();
    for side in hunk.sides() {
        for line in side.split_inclusive('\n') {
            let (body, end) = parted(line);
            ends.entry(body).or_insert(end);
        }
    }
    if let Some(why) = strange(hunk, text, &ends) {
        return Err(why);
    }
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if is_marker(line) && !ends.contains_key(line) {
            return Err(format!("it leaves a conflict marker: {}", short(line)));
        }
    }
    let usual = if hunk.crlf { "\r\n" } else { "\n" };
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = parted(line);
        out.push_str(body);
        if !end.is_empty() {
            let known = ends.get(body).copied().filter(|e| !e.is_empty());
            out.push_str(known.unwrap_or(usual));
        }
    }
    let filled: Vec<&str> = hunk
        .sides()
        .into_iter()
        .filter(|s| !s.is_empty())
        .map(String::as_str)
        .collect();
    let all_end = filled.iter().all(|s| s.ends_with('\n'));
    let none_ends = !filled.is_empty() && filled.iter().all(|s| !s.ends_with('\n'));
    if all_end && !out.is_empty() && !out.ends_with('\n') {
        out.push_str(usual);
    } else if none_ends && hunk.after.is_empty() && out.ends_with('\n') {
        out.pop();
        if out.ends_with('\r') {
            out.pop();
        }
        notes.push("the file has no line end at its end, so it gets none".to_owned());
    } else if !hunk.after.is_empty() && !out.is_empty() && !out.ends_with('\n') {
        // Else its last line and the next one would become one.
        out.push_str(usual);
    }
    outside(hunk, &out)?;
    Ok(out)
}

fn parted(line: &str) -> (&str, &str) {
    for end in ["\r\n", "\n"] {
        if let Some(body) = line.strip_suffix(end) {
            return (body, end);
        }
    }
    (line, "")
}

/// Characters that a person would not see, in lines that no side has; those of scripts and signs may be where a side has them.
fn strange(hunk: &HunkEvidence, text: &str, known: &HashMap<&str, &str>) -> Option<String> {
    for (i, line) in text.split_inclusive('\n').enumerate() {
        // A carriage return alone is no line end: what comes after it would be shown over the line.
        let (line, _) = parted(line);
        if known.contains_key(line) {
            continue;
        }
        let theirs = |c: char| is_of_writing(c) && hunk.sides().iter().any(|s| s.contains(c));
        let bad = line
            .chars()
            .find(|c| *c != '\t' && is_hidden(*c) && !theirs(*c));
        if let Some(c) = bad {
            return Some(format!(
                "line {} has a control or invisible character ({})",
                i + 1,
                c.escape_default()
            ));
        }
    }
    None
}

/// Invisible, but it has its place in some writing: soft hyphens, joiners, fillers, variation selectors; nothing that a
/// terminal acts on or that turns the direction.
fn is_of_writing(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    let tag = matches!(c, '\u{e0000}'..='\u{e007f}' | '\u{2028}' | '\u{2029}');
    !(c.is_control() || turns || tag)
}

/// Git's markers: seven or more of one sign, alone or before a blank.
fn is_marker(line: &str) -> bool {
    ['<', '=', '>', '|'].iter().any(|sign| {
        let rest = line.trim_start_matches(*sign);
        line.len() - rest.len() >= 7 && (rest.is_empty() || rest.starts_with(' '))
    })
}

/// A model that repeats what stands around the hunk would have it twice.
fn outside(hunk: &HunkEvidence, text: &str) -> Result<(), String> {
    let solid = |lines: &[&str]| {
        lines
            .iter()
            .flat_map(|l| l.chars())
            .filter(|c| c.is_alphanumeric())
            .count()
    };
    let body = |t: &str| -> Vec<String> {
        t.split_inclusive('\n')
            .map(|l| parted(l).0.trim_end().to_owned())
            .collect()
    };
    let (own, before, after) = (body(text), body(&hunk.before), body(&hunk.after));
    let sides: Vec<Vec<String>> = hunk.sides().iter().map(|s| body(s)).collect();
    let refs = |lines: &[String]| -> Vec<String> { lines.to_vec() };
    for n in (1..=own.len().min(before.len()).min(40)).rev() {
        let head = refs(&own[..n]);
        if head == before[before.len() - n..]
            && solid(&head.iter().map(String::as_str).collect::<Vec<_>>()) >= 8
            && !sides.iter().any(|s| s.starts_with(&head))
        {
            return Err("it repeats lines that stand before the hunk".to_owned());
        }
    }
    for n in (1..=own.len().min(after.len()).min(40)).rev() {
        let tail = refs(&own[own.len() - n..]);
        if tail == after[..n]
            && solid(&tail.iter().map(String::as_str).collect::<Vec<_>>()) >= 8
            && !sides.iter().any(|s| s.ends_with(&tail))
        {
            return Err("it repeats lines that stand after the hunk".to_owned());
        }
    }
    Ok(())
}

fn short(line: &str) -> String {
    neutral(line.chars().take(40).collect::<String>().as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::Confidence;
    use super::*;

    fn hunk(ours: &str, base: &str, theirs: &str) -> HunkEvidence {
        HunkEvidence {
            ours: ours.to_owned(),
            base: base.to_owned(),
            theirs: theirs.to_owned(),
            before: "fn expired(&self) -> bool {\n".to_owned(),
            after: "    return true_at_last;\n}\n".to_owned(),
            ..HunkEvidence::default()
        }
    }

    fn checked(hunk: &HunkEvidence, text: &str) -> Result<Proposal, String> {
        let raw = Raw {
            text: text.to_owned(),
            explanation: "be\x1b[2Jcause\nof it".to_owned(),
            cites: vec!["7".parse().unwrap(), "99".parse().unwrap()],
            drops: Vec::new(),
            confidence: Confidence::High,
            notes: Vec::new(),
        };
        let steps = BTreeSet::from(["7".parse().unwrap()]);
        let by = By {
            model: "m".to_owned(),
            prompt_hash: String::new(),
            usage: crate::llm::Usage::default(),
            hunk: String::new(),
        };
        check(
            raw,
            &Against {
                hunk,
                redactor: &Redactor::default(),
                sent: [&hunk.ours, &hunk.base, &hunk.theirs],
                steps: &steps,
                by: &by,
            },
        )
    }

    fn text(hunk: &HunkEvidence, text: &str) -> String {
        String::from_utf8(checked(hunk, text).unwrap().text).unwrap()
    }

    #[test]
    fn a_sound_one_passes_with_its_words_made_harmless() {
        let h = hunk("a\n", "b\n", "c\n");
        let p = checked(&h, "    a and c\n").unwrap();
        assert_eq!(p.text, b"    a and c\n");
        assert_eq!(p.explanation, "be\\x1b[2Jcause\nof it");
        assert_eq!(p.cites, ["7".parse().unwrap()]);
        assert!(p.notes.iter().any(|n| n.contains("99")), "{:?}", p.notes);
        assert!(checked(&h, "c\n").unwrap().notes[0].contains("theirs"));
        assert_eq!(text(&h, ""), "", "to drop all is a proposal too");
    }

    #[test]
    fn what_a_person_would_not_see_is_refused() {
        let h = hunk("a\n\x0c\n", "b\n", "c\n");
        for bad in [
            "a\x1b[2Jb\n",
            "a\0\n",
            "\u{202e}evil\n",
            "a\u{200b}b\n",
            "a\rb\n",
            "a\r",
            "a\u{3164}b\n",
            "a\u{115f}\u{1160}\n",
            "\u{ffa0}\n",
            "a\u{ad}b\n",
            "a\u{34f}\n",
            "a\u{180e}\n",
            "a\u{2061}\n",
            "a\u{206a}\n",
            "a\u{2800}b\n",
            "a\u{fe00}\u{fe0f}\n",
            "a\u{e0100}\n",
            "a\u{fff9}b\n",
        ] {
            let e = checked(&h, bad).unwrap_err();
            assert!(e.contains("character"), "{bad:?}: {e}");
        }
        assert_eq!(
            text(&h, "a\n\x0c\n"),
            "a\n\x0c\n",
            "what a side has may stay"
        );
        assert_eq!(text(&h, "\tx\n"), "\tx\n");
        let h = hunk("say(\"\u{2764}\u{fe0f}\")\n", "b\n", "\u{202e}c\n");
        let heart = "shout(\"\u{2764}\u{fe0f}\")\n";
        assert_eq!(text(&h, heart), heart, "a side has the character");
        assert!(checked(&h, "x\u{fe0e}\n").is_err());
        assert!(checked(&h, "x\u{202e}\n").is_err(), "it turns the text");
    }

    #[test]
    fn markers_are_refused_unless_a_side_has_them() {
        let h = hunk("a\n=======\n", "b\n", "c\n");
        for bad in [
            "<<<<<<< ours\na\n",
            "a\n>>>>>>> x\n",
            "||||||| b\n",
            "<<<<<<<<<\n",
        ] {
            let e = checked(&h, bad).unwrap_err();
            assert!(e.contains("marker"), "{bad:?}: {e}");
        }
        assert!(checked(&h, "c\n=======\n").is_ok());
        assert!(checked(&h, "a <<<<<<< b\n").is_ok());
    }

    #[test]
    fn lines_around_the_hunk_are_not_repeated() {
        let h = hunk("a\n", "b\n", "c\n");
        assert!(
            checked(&h, "fn expired(&self) -> bool {\na\n")
                .unwrap_err()
                .contains("before")
        );
        assert!(
            checked(&h, "a\n    return true_at_last;\n}\n")
                .unwrap_err()
                .contains("after")
        );
        let same = hunk("fn expired(&self) -> bool {\na\n", "b\n", "c\n");
        assert!(checked(&same, "fn expired(&self) -> bool {\nc\n").is_ok());
        assert!(checked(&h, "}\n").is_ok(), "a bracket says nothing");
    }

    #[test]
    fn line_ends_are_the_files() {
        let mut h = hunk("a\r\nn\n", "b\r\n", "c\r\n");
        h.crlf = true;
        assert_eq!(text(&h, "a\nn\nnew\n"), "a\r\nn\nnew\r\n");
        let h = hunk("a\n", "b\n", "c\n");
        assert_eq!(text(&h, "x\r\ny"), "x\ny\n");
        let mut h = hunk("a", "b", "c");
        h.after = String::new();
        assert_eq!(text(&h, "x\n"), "x");
        h.ours = "a\n".to_owned();
        assert_eq!(text(&h, "x\n"), "x\n");
        assert_eq!(text(&h, "x"), "x");
    }

    #[test]
    fn a_key_has_one_value_and_giants_are_refused() {
        let mut h = hunk("1", "2", "3");
        h.key = Some("/a".to_owned());
        assert_eq!(text(&h, " {\"x\": 1}\n"), "{\"x\": 1}");
        assert!(checked(&h, "1, \"b\": 2").unwrap_err().contains("one JSON"));
        assert!(checked(&h, "").is_err());
        let h = hunk("a\n", "b\n", "c\n");
        let e = checked(&h, &"x\n".repeat(40_000)).unwrap_err();
        assert!(e.contains("KiB"), "{e}");
    }
}
