//! Which known name was probably meant.

/// The name that is least different from `word`, if it is near enough to have been meant.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Whoever writes a novel as a key meant none of them.
    let word: String = word.to_lowercase().chars().take(64).collect();
    let limit = word.chars().count().div_ceil(3).clamp(1, 4);
    names
        .into_iter()
        .map(|name| (distance(&word, &name.to_lowercase()), name))
        .filter(|(far, name)| *far <= limit || name.ends_with(&format!(".{word}")))
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// Letters that have to be put in, taken out or replaced to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let here = (corner + usize::from(x != *y))
                .min(*above + 1)
                .min(left + 1);
            corner = std::mem::replace(above, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["theme", "mouse", "which_key_delay", "view.operations"];
        assert_eq!(nearest("thme", names), Some("theme"));
        assert_eq!(nearest("Mouse", names), Some("mouse"));
        assert_eq!(nearest("which_key_dely", names), Some("which_key_delay"));
        assert_eq!(nearest("operations", names), Some("view.operations"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
