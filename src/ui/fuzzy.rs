//! How well words that are typed fit a text: in the order of what a person most probably meant.

/// A text that is searched in, in small letters.
pub(crate) fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// How well all of the words fit; more is better. `None` when one does not fit at all. Both are in small letters.
pub(crate) fn score(words: &[&str], text: &str) -> Option<u32> {
    let mut sum = 0;
    for word in words {
        sum += one(word, text)?;
    }
    // Among equals the one with less else in it.
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    Some(sum * 64 + 63_u32.saturating_sub(length.min(63)))
}

fn one(word: &str, text: &str) -> Option<u32> {
    if word.is_empty() {
        return Some(0);
    }
    if let Some(at) = text.find(word) {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let begins = before.is_none_or(|c| !c.is_alphanumeric());
        let whole = text
            .get(at + word.len()..)
            .and_then(|t| t.chars().next())
            .is_none_or(|c| !c.is_alphanumeric());
        return Some(match (at, begins, whole) {
            (0, _, true) => 100,
            (0, ..) => 90,
            (_, true, true) => 80,
            (_, true, false) => 70,
            _ => 50,
        });
    }
    // The first letters of its words: `nc` for next change.
    let initials: String = text
        .split(|c: char| !c.is_alphanumeric())
        .filter_map(|w| w.chars().next())
        .collect();
    let typed = word.chars().count();
    if typed > 1 && initials.starts_with(word) {
        return Some(60);
    }
    scattered(word, text)
}

/// Letters in their order with others between them, when they lie close enough to have been meant.
fn scattered(word: &str, text: &str) -> Option<u32> {
    let typed = word.chars().count();
    if typed < 3 {
        return None;
    }
    let mut wanted = word.chars();
    let mut next = wanted.next();
    let mut span = 0;
    let mut begun = false;
    for c in text.chars() {
        let Some(want) = next else { break };
        if c == want {
            next = wanted.next();
            begun = true;
        }
        span += usize::from(begun);
    }
    if next.is_some() || span > typed * 3 {
        return None;
    }
    Some(
        u32::try_from(30_usize.saturating_sub(span - typed))
            .unwrap_or(0)
            .max(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_fit_comes_first() {
        let order = |word: &str, texts: &[&str]| {
            let scores: Vec<Option<u32>> = texts.iter().map(|t| score(&[word], t)).collect();
            assert!(
                scores.windows(2).all(|w| w[0] > w[1]),
                "{word}: {scores:?} of {texts:?}"
            );
        };
        order("roll", &["roll back", "scroll down", "rest of all", "undo"]);
        order(
            "step",
            &["step back", "a step forward", "footsteps", "undo"],
        );
        order("nc", &["next change", "undo"]);
        order("fold", &["fold", "fold all", "unfold all"]);
        assert_eq!(score(&["roll", "nope"], "roll back"), None);
        assert!(score(&["back", "roll"], "roll back").is_some());
        assert_eq!(score(&["xy"], "x and far away y"), None);
        assert!(score(&[], "anything").is_some());
    }
}
