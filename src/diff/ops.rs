//! Which runs of lines are equal, removed, added or replaced.
//!
//! What comes out covers both sides completely and in order; equal runs and changes alternate. A change between equal
//! lines lies where a reader expects it.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline};

/// How long the search for the shortest difference may take.
const LINE_TIME: Duration = Duration::from_millis(400);

/// Operations over lines. Equal beginnings and ends are cut off first: most edits touch a few lines of a long file.
pub(super) fn of_lines(old: &[&[u8]], new: &[&[u8]]) -> Vec<DiffOp> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut ops = Vec::new();
    if head > 0 {
        ops.push(DiffOp::Equal {
            old_index: 0,
            new_index: 0,
            len: head,
        });
    }
    let old_mid = &old[head..old.len() - tail];
    let new_mid = &new[head..new.len() - tail];
    if !old_mid.is_empty() || !new_mid.is_empty() {
        let until = Instant::now() + LINE_TIME;
        for op in capture_diff_slices_deadline(Algorithm::Histogram, old_mid, new_mid, Some(until))
        {
            push_op(&mut ops, shifted(op, head));
        }
    }
    if tail > 0 {
        push_op(
            &mut ops,
            DiffOp::Equal {
                old_index: old.len() - tail,
                new_index: new.len() - tail,
                len: tail,
            },
        );
    }
    slide(&mut ops, old, new);
    ops
}

fn shifted(op: DiffOp, by: usize) -> DiffOp {
    let (tag, old, new) = op.as_tag_tuple();
    make_op(
        tag,
        old.start + by..old.end + by,
        new.start + by..new.end + by,
    )
}

fn make_op(tag: DiffTag, old: Range<usize>, new: Range<usize>) -> DiffOp {
    match tag {
        DiffTag::Equal => DiffOp::Equal {
            old_index: old.start,
            new_index: new.start,
            len: old.len(),
        },
        DiffTag::Delete => DiffOp::Delete {
            old_index: old.start,
            old_len: old.len(),
            new_index: new.start,
        },
        DiffTag::Insert => DiffOp::Insert {
            old_index: old.start,
            new_index: new.start,
            new_len: new.len(),
        },
        DiffTag::Replace => DiffOp::Replace {
            old_index: old.start,
            old_len: old.len(),
            new_index: new.start,
            new_len: new.len(),
        },
    }
}

/// Appends, joining neighbouring equal runs (grouping by context wants them whole) and neighbouring changes.
fn push_op(ops: &mut Vec<DiffOp>, op: DiffOp) {
    if let Some(last) = ops.last_mut() {
        let (last_equal, equal) = (last.tag() == DiffTag::Equal, op.tag() == DiffTag::Equal);
        if last_equal == equal {
            let old = last.old_range().start..op.old_range().end;
            let new = last.new_range().start..op.new_range().end;
            let tag = match (equal, old.is_empty(), new.is_empty()) {
                (true, ..) => DiffTag::Equal,
                (false, true, _) => DiffTag::Insert,
                (false, _, true) => DiffTag::Delete,
                (false, ..) => DiffTag::Replace,
            };
            *last = make_op(tag, old, new);
            return;
        }
    }
    ops.push(op);
}

/// Moves a pure insertion or deletion between equal lines to where a reader expects it: an added function begins with
/// its own first line, not with the closing brace of the one before.
fn slide(ops: &mut [DiffOp], old: &[&[u8]], new: &[&[u8]]) {
    for i in 1..ops.len().saturating_sub(1) {
        let lines = match ops[i].tag() {
            DiffTag::Insert => new,
            DiffTag::Delete => old,
            DiffTag::Equal | DiffTag::Replace => continue,
        };
        let insert = ops[i].tag() == DiffTag::Insert;
        let range = if insert {
            ops[i].new_range()
        } else {
            ops[i].old_range()
        };
        let (before, after) = (ops[i - 1].old_range().len(), ops[i + 1].old_range().len());
        // One equal line must stay on either side, or two changes would touch.
        let up = (1..before)
            .take_while(|k| lines[range.start - k] == lines[range.end - k])
            .count();
        let down = (0..after.saturating_sub(1))
            .take_while(|k| lines[range.start + k] == lines[range.end + k])
            .count();
        let score = |shift: isize| {
            let at = |i: usize| lines.get(i.wrapping_add_signed(shift)).copied();
            boundary(at(range.start)) + boundary(at(range.end))
        };
        let best = (-signed(up)..=signed(down))
            .min_by_key(|shift| (score(*shift), shift.unsigned_abs()))
            .unwrap_or(0);
        if best == 0 {
            continue;
        }
        let moved =
            |r: Range<usize>| r.start.wrapping_add_signed(best)..r.end.wrapping_add_signed(best);
        let (tag, old_range, new_range) = ops[i].as_tag_tuple();
        ops[i] = make_op(tag, moved(old_range), moved(new_range));
        let (_, a, b) = ops[i - 1].as_tag_tuple();
        ops[i - 1] = make_op(
            DiffTag::Equal,
            a.start..a.end.wrapping_add_signed(best),
            b.start..b.end.wrapping_add_signed(best),
        );
        let (_, a, b) = ops[i + 1].as_tag_tuple();
        ops[i + 1] = make_op(
            DiffTag::Equal,
            a.start.wrapping_add_signed(best)..a.end,
            b.start.wrapping_add_signed(best)..b.end,
        );
    }
}

fn signed(n: usize) -> isize {
    isize::try_from(n).unwrap_or(isize::MAX)
}

/// How badly a change fits before this line: blank and deeply indented lines, and closing brackets, begin nothing.
fn boundary(line: Option<&[u8]>) -> usize {
    let Some(line) = line else { return 0 };
    let indent = line
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .map(|b| if *b == b'\t' { 4 } else { 1 })
        .sum::<usize>();
    match line.trim_ascii().first() {
        None => 60,
        Some(b'}' | b')' | b']') => 40 + indent,
        Some(_) => indent,
    }
}
