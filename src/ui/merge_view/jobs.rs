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

/// What differs between the sides and their base: in ours, in the base, in theirs.
#[derive(Debug, Default)]
pub(crate) struct Words(pub [Changed; 3]);

/// Compares both sides with the base.
pub(crate) fn words(sides: &[Vec<u8>; 3]) -> Words {
    let [ours, base, theirs] = sides;
    let mut out = Words::default();
    let [in_ours, in_base, in_theirs] = &mut out.0;
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
        let Words([ours, base, theirs]) = words(&sides);
        assert_eq!(ours.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(ours.get(&1).map(Vec::len), Some(1));
        assert_eq!(base.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(theirs.get(&2).map(Vec::len), Some(0));
    }
}
