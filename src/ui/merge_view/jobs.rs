//! What the conflict screen has done elsewhere: comparing the sides with the base, recognising words.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::diff::text::{Side, hunks};
use crate::ui::light::{self, Light};

use super::check::Progress;

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Job {
    /// Compare ours, base and theirs.
    Words(u64, Box<[Vec<u8>; 3]>),
    /// Recognise the words of a file of that name.
    Light(u64, Vec<u8>, Arc<Vec<u8>>),
}

/// Something was done.
#[derive(Debug)]
pub(crate) enum News {
    /// See [`Job::Words`].
    Words(u64, Arc<Words>),
    /// See [`Job::Light`].
    Light(u64, Arc<Light>),
    /// Something came of a check.
    Check(u64, Progress),
}

/// The lines of a side that differ, from 0, each with its words that do; none for a line that is new as a whole.
pub(crate) type Changed = HashMap<u32, Vec<Range<usize>>>;

/// What differs between the sides and their base.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// In ours, in the base, in theirs.
    pub changed: [Changed; 3],
    /// Bytes of white space that every line of all three begins with.
    pub indent: usize,
}

/// White space that all lines begin with, in bytes.
fn indent(sides: &[Vec<u8>; 3]) -> usize {
    let mut common: Option<&[u8]> = None;
    let lines = sides.iter().flat_map(|s| s.split(|b| *b == b'\n'));
    for line in lines.filter(|l| !l.trim_ascii().is_empty()) {
        let end = line.iter().position(|b| !matches!(b, b' ' | b'\t'));
        let own = line.get(..end.unwrap_or(0)).unwrap_or_default();
        common = Some(match common {
            None => own,
            Some(other) => {
                let same = own.iter().zip(other).take_while(|(a, b)| a == b).count();
                own.get(..same).unwrap_or_default()
            }
        });
    }
    common.map_or(0, <[u8]>::len)
}

/// Compares both sides with the base.
pub(crate) fn words(sides: &[Vec<u8>; 3]) -> Words {
    let [ours, base, theirs] = sides;
    let mut out = Words {
        indent: indent(sides),
        ..Words::default()
    };
    let [in_ours, in_base, in_theirs] = &mut out.changed;
    for (side, changed) in [(ours, in_ours), (theirs, in_theirs)] {
        let diff = hunks(base, side, 0);
        for line in diff.hunks.iter().flat_map(|h| &h.lines) {
            match line.side {
                Side::Added => {
                    if let Some(n) = line.after {
                        changed.insert(n.saturating_sub(1), line.words.clone());
                    }
                }
                Side::Removed => {
                    if let Some(n) = line.before {
                        let words = in_base.entry(n.saturating_sub(1)).or_default();
                        words.extend(line.words.iter().cloned());
                    }
                }
                Side::Both => {}
            }
        }
    }
    out
}

/// Does a job that only computes.
pub(crate) fn compute(job: Job, stop: &AtomicBool) -> News {
    match job {
        Job::Words(stamp, sides) => News::Words(stamp, Arc::new(words(&sides))),
        Job::Light(stamp, name, text) => {
            News::Light(stamp, Arc::new(light::light(&name, &text, stop)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_found_in_all_three() {
        let sides = [
            b"a\nlet x = 2;\nc\n".to_vec(),
            b"a\nlet x = 1;\nc\n".to_vec(),
            b"a\nlet x = 1;\nnew\nc\n".to_vec(),
        ];
        let Words {
            changed: [ours, base, theirs],
            indent,
        } = words(&sides);
        assert_eq!(indent, 0);
        assert_eq!(ours.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(ours.get(&1).map(Vec::len), Some(1));
        assert_eq!(base.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(theirs.get(&2).map(Vec::len), Some(0));
        let sides = ["  a\n\n    b\n", "", "   c\n"].map(|s| s.as_bytes().to_vec());
        assert_eq!(super::indent(&sides), 2);
    }
}
