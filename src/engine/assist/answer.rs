//! Reading a model's answer: strict about what it says, lenient about fences around it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Confidence, Error};
use crate::model::{Ordinal, neutral};

/// Most proposals that are looked at.
const MOST: usize = 8;

/// A proposal as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) text: String,
    pub(super) explanation: String,
    pub(super) cites: Vec<Ordinal>,
    pub(super) drops: Vec<String>,
    pub(super) confidence: Confidence,
    /// What is odd about it.
    pub(super) notes: Vec<String>,
}

/// What becomes of each entry: it can be read, or why not.
pub(super) type Read = Result<Raw, String>;

/// Reads `{"proposals": [...]}`.
pub(super) fn proposals(answer: &str) -> Result<Vec<Read>, Error> {
    let bad = |why: &str| Error::Unreadable(why.to_owned());
    let value = json(answer).ok_or_else(|| bad("it is no JSON object"))?;
    let Value::Object(top) = value else {
        return Err(bad("it is no JSON object"));
    };
    if let Some(key) = top.keys().find(|k| k.as_str() != "proposals") {
        return Err(bad(&format!(
            "it has {:?}, which was not asked for",
            short(key)
        )));
    }
    let Some(Value::Array(list)) = top.get("proposals") else {
        return Err(bad("it has no list of proposals"));
    };
    if list.is_empty() {
        return Err(bad("it proposes nothing"));
    }
    Ok(list.iter().take(MOST).map(one).collect())
}

fn one(value: &Value) -> Read {
    let Value::Object(map) = value else {
        return Err("it is no object".to_owned());
    };
    const KNOWN: [&str; 5] = ["text", "explanation", "cites", "drops", "confidence"];
    if let Some(key) = map.keys().find(|k| !KNOWN.contains(&k.as_str())) {
        return Err(format!(
            "it says {:?}: only the text of this part may be proposed, nothing else",
            short(key)
        ));
    }
    let Some(Value::String(text)) = map.get("text") else {
        return Err("it has no text".to_owned());
    };
    let mut notes = Vec::new();
    let explanation = match map.get("explanation") {
        Some(Value::String(said)) => said.clone(),
        _ => {
            notes.push("it does not explain itself".to_owned());
            String::new()
        }
    };
    let mut cites = BTreeSet::new();
    for cite in list(map.get("cites")) {
        let said = match cite {
            Value::Number(n) => n.to_string(),
            Value::String(s) => s.trim().trim_start_matches("step").trim().to_owned(),
            _ => continue,
        };
        match said.parse() {
            Ok(step) => {
                cites.insert(step);
            }
            Err(_) => notes.push(format!("it cites {:?}, which is no step", short(&said))),
        }
    }
    let drops = list(map.get("drops"))
        .iter()
        .filter_map(|v| v.as_str())
        .map(str::to_owned)
        .take(20)
        .collect();
    let confidence = match map.get("confidence") {
        Some(Value::String(s)) if s.eq_ignore_ascii_case("high") => Confidence::High,
        Some(Value::String(s)) if s.eq_ignore_ascii_case("medium") => Confidence::Medium,
        Some(Value::String(s)) if s.eq_ignore_ascii_case("low") => Confidence::Low,
        _ => {
            notes.push("it does not say how sure it is".to_owned());
            Confidence::Low
        }
    };
    notes.truncate(10);
    Ok(Raw {
        text: text.clone(),
        explanation,
        cites: cites.into_iter().take(50).collect(),
        drops,
        confidence,
        notes,
    })
}

fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(list)) => list,
        _ => &[],
    }
}

fn short(text: &str) -> String {
    neutral(text.chars().take(40).collect::<String>().as_bytes())
}

/// The JSON in an answer: all of it, what is in a fence, or what is between the outermost braces.
fn json(answer: &str) -> Option<Value> {
    let text = answer.trim().trim_start_matches('\u{feff}');
    let fenced = text
        .strip_prefix("```")
        .and_then(|t| t.split_once('\n'))
        .and_then(|(_, t)| t.trim_end().strip_suffix("```"));
    let braces = || text.get(text.find('{')?..=text.rfind('}')?);
    [Some(text), fenced, braces()]
        .into_iter()
        .flatten()
        .find_map(|t| serde_json::from_str(t).ok())
}

/// The steps that an answer in words cites as `[142]`, `[step 142.1]`, `[12, 13]`.
pub(super) fn cited(text: &str) -> BTreeSet<Ordinal> {
    let mut out = BTreeSet::new();
    for part in text.split('[').skip(1) {
        let Some((inner, _)) = part.split_once(']') else {
            continue;
        };
        if inner.len() > 200 {
            continue;
        }
        for word in inner.split([',', ' ', ';']) {
            let word = word
                .trim()
                .trim_start_matches("step:")
                .trim_start_matches('#');
            if let Ok(step) = word.parse() {
                out.insert(step);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GOOD: &str = r#"{"proposals":[{"text":"a\n","explanation":"why","cites":[142,"step 7.1","x"],"drops":["b"],"confidence":"Medium"}]}"#;

    #[test]
    fn fences_and_words_around_are_tolerated() {
        let raw = proposals(GOOD).unwrap().remove(0).unwrap();
        assert_eq!(raw.text, "a\n");
        assert_eq!(raw.confidence, Confidence::Medium);
        assert_eq!(
            raw.cites
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["7.1", "142"]
        );
        assert_eq!(raw.notes.len(), 1);
        for around in [
            format!("```json\n{GOOD}\n```"),
            format!("```\n{GOOD}\n```\n"),
            format!("Here it is:\n{GOOD}\nGood luck."),
            format!("<think>hm</think>{GOOD}"),
        ] {
            assert_eq!(proposals(&around).unwrap()[0], Ok(raw.clone()), "{around}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for (bad, word) in [
            ("I will not.", "no JSON"),
            ("[1]", "no JSON object"),
            ("}{", "no JSON"),
            ("{}", "no list"),
            ("{\"proposals\":[]}", "nothing"),
            ("{\"proposals\":[{\"text\":\"a", "no JSON"),
            ("{\"proposals\":[],\"files\":{}}", "files"),
        ] {
            let e = proposals(bad).unwrap_err().to_string();
            assert!(e.contains(word), "{bad}: {e}");
        }
        for (bad, word) in [
            (r#"{"proposals":[{"text":"a","path":"../x"}]}"#, "path"),
            (r#"{"proposals":[{"explanation":"a"}]}"#, "no text"),
            (r#"{"proposals":["a"]}"#, "no object"),
            (r#"{"proposals":[{"text":["a"]}]}"#, "no text"),
        ] {
            let e = proposals(bad).unwrap().remove(0).unwrap_err();
            assert!(e.contains(word), "{bad}: {e}");
        }
    }

    #[test]
    fn steps_cited_in_words() {
        let steps =
            cited("It broke at [142]; see [step 7.1, 8] and [#9] but not a[i] or [x 1.2.3].");
        let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(steps, ["7.1", "8", "9", "142"]);
    }

    mod laws {
        use super::super::super::peek::Peek;
        use super::super::*;
        use proptest::prelude::*;

        proptest! {
            /// Hostile answers end in an error or in proposals, never otherwise; what streams is the same however it is cut.
            #[test]
            fn nothing_is_too_odd_to_be_read(
                text in "([{}\\[\\]\":,\\\\ ]|u[0-9a-fA-F]{4}|proposals|text|explanation|confidence|[a-z\n\u{0}\u{1b}é])*",
                at in 0_usize..64,
            ) {
                let _ = proposals(&text);
                let _ = cited(&text);
                let cut = text.char_indices().nth(at).map_or(text.len(), |(i, _)| i);
                let mut peek = Peek::default();
                let parts = peek.push(&text[..cut]) + &peek.push(&text[cut..]);
                prop_assert_eq!(Peek::default().push(&text), parts);
            }
        }
    }
}
