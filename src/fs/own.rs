//! The last own change at each path, so that watch events caused by the view itself are recognised and dropped.
//!
//! Bounded: the path noted longest ago is forgotten first. A forgotten one costs a needless comparison of content, no
//! more.

use std::collections::{HashMap, VecDeque};

use super::attr::OwnStat;
use crate::model::RepoPath;

/// How many paths are remembered.
const LIMIT: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct OwnStats {
    at: HashMap<RepoPath, OwnStat>,
    order: VecDeque<RepoPath>,
}

impl OwnStats {
    pub fn note(&mut self, path: &RepoPath, stat: OwnStat) {
        if let Some(known) = self.at.get_mut(path) {
            *known = stat;
            return;
        }
        self.at.insert(path.clone(), stat);
        self.order.push_back(path.clone());
        while self.at.len() > LIMIT {
            match self.order.pop_front() {
                Some(old) => self.at.remove(&old),
                None => break,
            };
        }
        // Paths that were removed leave an entry in the order behind; sweep before they pile up.
        if self.order.len() > 2 * LIMIT {
            let mut seen = std::collections::HashSet::new();
            self.order
                .retain(|p| self.at.contains_key(p) && seen.insert(p.clone()));
        }
    }

    pub fn remove(&mut self, path: &RepoPath) {
        self.at.remove(path);
    }

    pub fn get(&self, path: &RepoPath) -> Option<OwnStat> {
        self.at.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn stat(n: u64) -> OwnStat {
        OwnStat {
            dev: 1,
            ino: n,
            size: n,
            mtime_ns: 0,
            ctime_ns: 0,
        }
    }

    #[test]
    fn keeps_the_latest_and_stays_bounded() {
        let mut own = OwnStats::default();
        let p = |n: usize| RepoPath::new(n.to_string()).unwrap();
        for n in 0..LIMIT + 10 {
            own.note(&p(n), stat(n as u64));
        }
        assert_eq!(own.at.len(), LIMIT);
        assert_eq!(own.get(&p(0)), None);
        assert_eq!(own.get(&p(LIMIT)), Some(stat(LIMIT as u64)));
        for n in 0..3 * LIMIT {
            own.note(&p(7_000_000), stat(n as u64));
            own.remove(&p(7_000_000));
        }
        assert!(own.order.len() <= 2 * LIMIT + 1);
    }
}
