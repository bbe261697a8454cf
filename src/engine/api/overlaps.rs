//! What is said of branches at work side by side, before anybody merges them: where two of them meet.

use serde::{Deserialize, Serialize};

use crate::model::RepoPath;

/// Two branches that changed the same paths since they parted, or could not be merged without somebody who settles it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// One branch.
    pub a: String,
    /// The other.
    pub b: String,
    /// How many paths both changed.
    pub count: usize,
    /// The first of them.
    pub paths: Vec<RepoPath>,
    /// How a merge of the two would go.
    pub merge: MergeTry,
}

impl Meeting {
    /// A line for people: `a and b both changed 3 files; a merge would conflict in src/x`.
    #[must_use]
    pub fn words(&self) -> String {
        let files = |n: usize| match n {
            1 => "1 path".to_owned(),
            n => format!("{n} paths"),
        };
        let name = |n: &str| crate::model::neutral(n.as_bytes());
        let mut out = format!(
            "{} and {} both changed {}",
            name(&self.a),
            name(&self.b),
            files(self.count)
        );
        match &self.merge {
            MergeTry::Clean => out.push_str(", a merge would be clean"),
            MergeTry::Conflicts { count, paths } => {
                out.push_str(&format!(", a merge would conflict in {}", files(*count)));
                let some: Vec<String> = paths.iter().take(3).map(RepoPath::to_string).collect();
                if !some.is_empty() {
                    out.push_str(&format!(": {}", some.join(", ")));
                }
                if *count > some.len() && !some.is_empty() {
                    out.push_str(&format!(" and {} more", count - some.len()));
                }
            }
            MergeTry::NotTried { why } => {
                out.push_str(&format!(", a merge was not tried ({})", name(why)));
            }
        }
        out
    }
}

/// How a merge would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeTry {
    /// By itself.
    Clean,
    /// With conflicts.
    Conflicts {
        /// In how many paths.
        count: usize,
        /// The first of them.
        paths: Vec<RepoPath>,
    },
    /// It was not tried.
    NotTried {
        /// Why.
        why: String,
    },
}
