//! Which branches of the conversation are dead: those that the current leaf does not come from.

use std::collections::{HashMap, HashSet};

use super::{Assembler, NONE, Node, key};

/// In so many sessions an event is looked for that is not in its own.
const NEAR: u16 = 16;

impl Assembler {
    /// The key of the event of that id: in the session that speaks, else in one of the first others that has it.
    pub(super) fn node_of(&self, native: &str) -> u64 {
        let own = key("node", self.session, native);
        if self.index.sessions.len() < 2 || self.nodes.contains_key(&own) {
            return own;
        }
        let all = u16::try_from(self.index.sessions.len()).unwrap_or(u16::MAX);
        (0..all.min(NEAR))
            .map(|session| key("node", session, native))
            .find(|key| self.nodes.contains_key(key))
            .unwrap_or(own)
    }

    /// Enters an event into the tree.
    pub(super) fn node(&mut self, node: u64, parent: u64, thread: u16) {
        if parent != 0 && !self.has_parents {
            self.has_parents = true;
            self.unsettled = true;
        }
        let known = self.nodes.get(&node).copied();
        // A copy may have lost its parent; what was known stays.
        let parent = match known {
            Some(known) if parent == 0 || parent == node => known.parent,
            _ if parent == node => 0,
            _ => parent,
        };
        let entries = known.map_or((NONE, NONE), |n| n.entries);
        let new = Node {
            parent,
            thread,
            entries,
        };
        match known {
            // What only goes on from the leaf changes nothing of the branches.
            None if thread == 0 && parent == self.tip && self.tip == self.last_node => {
                self.tip = node;
            }
            None => self.unsettled |= thread == 0,
            Some(old) => self.unsettled |= (old.parent, old.thread) != (parent, thread),
        }
        self.nodes.insert(node, new);
        if thread == 0 {
            // Where the conversation goes on from another place, another answer begins.
            if parent != self.last_node {
                self.cursors.entry(0).or_default().ended = true;
            }
            self.unsettled |= self.tip != node;
            self.last_node = node;
        }
    }

    /// An event that is told again is on no branch that was left.
    pub(super) fn revive(&mut self, at: u32) {
        if self.index.get(at).is_some_and(|e| e.dead) {
            self.unsettled = true;
            self.set_dead(at, false);
        }
    }

    pub(super) fn set_dead(&mut self, at: u32, dead: bool) {
        let Some(entry) = self.index.entries.get_mut(at as usize) else {
            return;
        };
        if entry.dead == dead {
            return;
        }
        entry.dead = dead;
        if let Some(live) = &mut self.live {
            if dead {
                live.remove(&at);
            } else {
                live.insert(at);
            }
        }
        self.touch(at);
    }

    pub(super) fn is_dead_thread(&self, thread: u16) -> bool {
        let call = self.index.threads.get(usize::from(thread));
        call.and_then(|t| self.index.get(t.call?))
            .is_some_and(|e| e.dead)
    }

    /// Everything after `to` is dead. `turns:N` means the last N turns, `before:ID` also that event itself.
    pub(super) fn rewind(&mut self, to: &str) {
        if self.live.is_none() {
            let all = self.index.entries.iter().zip(0_u32..);
            self.live = Some(all.filter(|(e, _)| !e.dead).map(|(_, at)| at).collect());
        }
        let place = |n: Option<&Node>| n.map(|n| n.entries).filter(|e| e.0 != NONE);
        let from = if let Some(n) = to
            .strip_prefix("turns:")
            .and_then(|n| n.parse::<u32>().ok())
        {
            self.last_turns(n)
        } else if to.is_empty() {
            Some(0)
        } else if let Some(id) = to.strip_prefix("before:") {
            place(self.nodes.get(&self.node_of(id))).map(|(first, _)| first)
        } else {
            place(self.nodes.get(&self.node_of(to))).map(|(_, last)| last + 1)
        };
        let Some(from) = from else { return };
        let Some(live) = &mut self.live else { return };
        // Only what is alive is looked at, so that many rewinds cost no more than what they end.
        for at in live.split_off(&from) {
            if let Some(entry) = self.index.entries.get_mut(at as usize) {
                entry.dead = true;
            }
            self.touch(at);
        }
        self.unsettled = true;
    }

    /// Where the last `n` live turns begin.
    pub(super) fn last_turns(&self, n: u32) -> Option<u32> {
        if n == 0 {
            return None;
        }
        let (mut from, mut turn, mut seen) = (None, 0, 0);
        for at in self.live.iter().flatten().rev() {
            let Some(entry) = self.index.get(*at) else {
                continue;
            };
            if entry.thread != 0 || entry.turn == 0 {
                continue;
            }
            if entry.turn != turn {
                if seen == n {
                    break;
                }
                (turn, seen) = (entry.turn, seen + 1);
            }
            from = Some(*at);
        }
        from
    }

    /// Finds which branches of the conversation are dead, from its current leaf. To be called when what was there has been
    /// read, and again after more came.
    pub fn settle(&mut self) {
        if !std::mem::take(&mut self.unsettled) {
            return;
        }
        // Other entries live than were noted for rewinds.
        self.live = None;
        if !self.has_parents {
            self.kill_children();
            return;
        }
        let leaf = if self.nodes.contains_key(&self.leaf) && !self.is_behind(self.leaf) {
            self.leaf
        } else {
            self.last_node
        };
        self.tip = leaf;
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
