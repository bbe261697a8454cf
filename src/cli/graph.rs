//! The lines of a commit graph beside a list, newest first: which commit follows which.
//!
//! Commits come one by one with children before parents (the order of storing, reversed). A column is a line that
//! waits for a commit; where several wait for the same one, they join above it.

use crate::model::CommitId;

/// The characters drawn with.
#[derive(Debug, Clone, Copy)]
pub struct Charset {
    node: char,
    line: char,
    across: char,
    cross: char,
    /// On the line that is joined.
    joint: char,
    /// End of a line that joins one on its left, when going down.
    close: char,
    /// Begin of a line that leaves one on its left, when going down.
    open: char,
}

impl Charset {
    /// Box drawing.
    pub const BOXES: Self = Self {
        node: '●',
        line: '│',
        across: '─',
        cross: '┼',
        joint: '├',
        close: '╯',
        open: '╮',
    };
    /// For terminals that are not UTF-8.
    pub const ASCII: Self = Self {
        node: '*',
        line: '|',
        across: '-',
        cross: '+',
        joint: '|',
        close: '\'',
        open: '.',
    };

    /// What the locale allows.
    #[must_use]
    pub fn of_locale() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::BOXES
        } else {
            Self::ASCII
        }
    }
}

/// Draws.
pub struct Graph {
    chars: Charset,
    columns: Vec<Option<CommitId>>,
}

impl Graph {
    /// An empty one.
    #[must_use]
    pub fn new(chars: Charset) -> Self {
        Self {
            chars,
            columns: Vec::new(),
        }
    }

    /// The rows for the next commit: rows to print alone, the commit's own, and rows to print alone after it.
    pub fn next(
        &mut self,
        id: CommitId,
        parents: &[CommitId],
    ) -> (Vec<String>, String, Vec<String>) {
        let waiting: Vec<usize> = (0..self.columns.len())
            .filter(|i| self.columns[*i] == Some(id))
            .collect();
        let at = waiting.first().copied().unwrap_or_else(|| self.free(0));
        let mut above = Vec::new();
        for &from in waiting.iter().skip(1).rev() {
            above.push(self.bridge(at, from, self.chars.close));
            self.columns[from] = None;
        }
        self.trim();
        self.columns.resize(self.columns.len().max(at + 1), None);
        let own = self.row(|i| {
            if i == at {
                self.chars.node
            } else {
                self.column(i)
            }
        });
        self.columns[at] = parents.first().copied();
        let mut below = Vec::new();
        for parent in parents.iter().skip(1) {
            let to = match self.columns.iter().position(|c| *c == Some(*parent)) {
                Some(known) if known > at => known,
                // A line on the left already waits for it: another one on the right will join it there.
                _ => self.free(at + 1),
            };
            self.columns[to] = Some(*parent);
            below.push(self.bridge(at, to, self.chars.open));
        }
        self.trim();
        (above, own, below)
    }

    /// The first column from `from` on that nothing waits in.
    fn free(&mut self, from: usize) -> usize {
        let found = (from..self.columns.len()).find(|i| self.columns[*i].is_none());
        found.unwrap_or_else(|| {
            self.columns.resize(self.columns.len().max(from) + 1, None);
            self.columns.len() - 1
        })
    }

    fn trim(&mut self) {
        while self.columns.last() == Some(&None) {
            self.columns.pop();
        }
    }

    fn column(&self, i: usize) -> char {
        match self.columns.get(i) {
            Some(Some(_)) => self.chars.line,
            _ => ' ',
        }
    }

    fn row(&self, cell: impl Fn(usize) -> char) -> String {
        let mut out = String::new();
        for i in 0..self.columns.len() {
            out.push(cell(i));
            out.push(' ');
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// A row where the column `right` joins or leaves `left`.
    fn bridge(&self, left: usize, right: usize, end: char) -> String {
        let mut out = String::new();
        for i in 0..self.columns.len() {
            let inside = i > left && i < right;
            out.push(match self.column(i) {
                _ if i == left => self.chars.joint,
                _ if i == right => end,
                ' ' if inside => self.chars.across,
                _ if inside => self.chars.cross,
                c => c,
            });
            out.push(if i >= left && i < right {
                self.chars.across
            } else {
                ' '
            });
        }
        out.truncate(out.trim_end().len());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(commits: &[(u8, &[u8])]) -> String {
        let id = |n: u8| CommitId([n; 32]);
        let mut graph = Graph::new(Charset::BOXES);
        let mut out = String::from("\n");
        for (commit, parents) in commits {
            let parents: Vec<_> = parents.iter().map(|p| id(*p)).collect();
            let (above, own, below) = graph.next(id(*commit), &parents);
            for row in above
                .into_iter()
                .chain([format!("{own}  {commit}")])
                .chain(below)
            {
                out.push_str(&row);
                out.push('\n');
            }
        }
        out
    }

    #[test]
    fn a_straight_line() {
        assert_eq!(draw(&[(2, &[1]), (1, &[])]), "\n●  2\n●  1\n");
    }

    #[test]
    fn a_rollback_leaves_the_old_line_as_a_leaf() {
        // 4 follows 1; 3 was left.
        let drawn = draw(&[(4, &[1]), (3, &[2]), (2, &[1]), (1, &[])]);
        assert_eq!(
            drawn,
            "
●  4
│ ●  3
│ ●  2
├─╯
●  1
"
        );
    }

    #[test]
    fn three_lines_join_and_one_passes_between() {
        let drawn = draw(&[
            (9, &[1]),
            (8, &[2]),
            (7, &[1]),
            (2, &[1]),
            (1, &[]),
            (5, &[]),
        ]);
        assert_eq!(
            drawn,
            "
●  9
│ ●  8
│ │ ●  7
│ ● │  2
├─┼─╯
├─╯
●  1
●  5
"
        );
    }

    #[test]
    fn a_merge_opens_a_line() {
        let drawn = draw(&[(4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[])]);
        assert_eq!(
            drawn,
            "
●  4
├─╮
│ ●  3
● │  2
├─╯
●  1
"
        );
    }
}
