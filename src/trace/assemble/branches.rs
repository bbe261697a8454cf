//! Which branches of the conversation are dead: those that the current leaf does not come from.

use std::collections::{HashMap, HashSet};

use super::{Assembler, hash};

impl Assembler {
    /// Everything after `to` is dead. `turns:N` means the last N turns, `before:ID` also that event itself.
    pub(super) fn rewind(&mut self, to: &str) {
        let from = if let Some(n) = to
            .strip_prefix("turns:")
            .and_then(|n| n.parse::<u32>().ok())
        {
            let keep = self.live_turns(n);
            self.index
                .entries
                .iter()
                .position(|e| e.thread == 0 && e.turn > keep && !e.dead)
        } else if to.is_empty() {
            Some(0)
        } else if let Some(id) = to.strip_prefix("before:") {
            let node = hash(&["node", id]);
            self.owners.iter().position(|n| *n == node)
        } else {
            let node = hash(&["node", to]);
            self.owners
                .iter()
                .rposition(|n| *n == node)
                .map(|last| last + 1)
        };
        let Some(from) = from else { return };
        for at in from..self.index.entries.len() {
            if !self.index.entries[at].dead {
                self.index.entries[at].dead = true;
                self.touch(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    /// The last turn that stays when the last `n` live ones go.
    pub(super) fn live_turns(&self, n: u32) -> u32 {
        let mut turns: Vec<u32> = self
            .index
            .entries
            .iter()
            .filter(|e| e.thread == 0 && !e.dead && e.turn > 0)
            .map(|e| e.turn)
            .collect();
        turns.dedup();
        let keep = turns.len().saturating_sub(n as usize);
        keep.checked_sub(1)
            .and_then(|i| turns.get(i))
            .copied()
            .unwrap_or(0)
    }

    /// Finds which branches of the conversation are dead, from its current leaf. To be called when what was there has been
    /// read, and again after more came.
    pub fn settle(&mut self) {
        if !self.has_parents {
            self.kill_children();
            return;
        }
        let leaf = if self.nodes.contains_key(&self.leaf) && !self.is_behind(self.leaf) {
            self.leaf
        } else {
            self.last_node
        };
        let mut live = HashSet::new();
        let mut at = leaf;
        // A chain that bites its own tail ends where it does.
        while at != 0 && live.insert(at) {
            at = self.nodes.get(&at).map_or(0, |n| n.parent);
        }
        // The blocks of one answer, and the results of its calls, live and die together: parallel calls are siblings.
        let mut answers = HashSet::new();
        for (entry, node) in self.index.entries.iter().zip(&self.owners) {
            if live.contains(node) && entry.answer != 0 {
                answers.insert(entry.answer);
            }
        }
        let roots = self.roots(&live);
        for at in 0..self.index.entries.len() {
            let (entry, node) = (&self.index.entries[at], self.owners[at]);
            if entry.thread != 0 || node == 0 {
                continue;
            }
            let dead = !live.contains(&node)
                && !answers.contains(&entry.answer)
                && roots.get(&node).copied().unwrap_or(false);
            if entry.dead != dead {
                self.index.entries[at].dead = dead;
                self.touch(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        self.kill_children();
    }

    /// The told leaf may be old: the conversation went on below it.
    pub(super) fn is_behind(&self, leaf: u64) -> bool {
        let mut seen = HashSet::new();
        let mut at = self.last_node;
        while at != 0 && seen.insert(at) {
            if at == leaf {
                return true;
            }
            at = self.nodes.get(&at).map_or(0, |n| n.parent);
        }
        false
    }

    /// For each main node that is not live: whether its branch leaves a live one (then it is dead) or hangs in the air
    /// (its parent is missing: it may well be a part of the conversation whose beginning was cut off).
    pub(super) fn roots(&self, live: &HashSet<u64>) -> HashMap<u64, bool> {
        let mut known: HashMap<u64, bool> = HashMap::new();
        for start in self.nodes.keys() {
            let mut path = Vec::new();
            let mut seen = HashSet::new();
            let mut at = *start;
            let verdict = loop {
                if live.contains(&at) {
                    break true;
                }
                if let Some(v) = known.get(&at) {
                    break *v;
                }
                if at == 0 || !seen.insert(at) {
                    break false;
                }
                path.push(at);
                at = self.nodes.get(&at).map_or(0, |n| n.parent);
            };
            for node in path {
                known.insert(node, verdict);
            }
        }
        known
    }

    /// A subagent is as dead as the call that started it.
    pub(super) fn kill_children(&mut self) {
        let dead: Vec<bool> = self
            .index
            .threads
            .iter()
            .map(|t| {
                t.call
                    .and_then(|c| self.index.get(c))
                    .is_some_and(|e| e.dead)
            })
            .collect();
        for at in 0..self.index.entries.len() {
            let entry = &mut self.index.entries[at];
            let is = dead
                .get(usize::from(entry.thread))
                .copied()
                .unwrap_or(false);
            if entry.thread != 0 && entry.dead != is {
                entry.dead = is;
                self.touch(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }
}
