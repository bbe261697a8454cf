//! A small map that forgets what was not used for longest.

use std::collections::HashMap;
use std::hash::Hash;

/// At most so many values by key.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    map: HashMap<K, (u64, V)>,
    limit: usize,
    clock: u64,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// An empty one.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            map: HashMap::new(),
            limit,
            clock: 0,
        }
    }

    /// Looks a value up without keeping it any longer.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|(_, v)| v)
    }

    /// Keeps a value that is about to be used.
    pub(crate) fn touch(&mut self, key: &K) {
        self.clock += 1;
        if let Some((stamp, _)) = self.map.get_mut(key) {
            *stamp = self.clock;
        }
    }

    /// Stores a value, forgetting the oldest where there is no room.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.clock += 1;
        if self.map.len() >= self.limit && !self.map.contains_key(&key) {
            let oldest = self
                .map
                .iter()
                .min_by_key(|(_, (stamp, _))| *stamp)
                .map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                self.map.remove(&oldest);
            }
        }
        self.map.insert(key, (self.clock, value));
    }

    /// Keeps only the values that fit.
    pub(crate) fn retain(&mut self, fits: impl Fn(&V) -> bool) {
        self.map.retain(|_, (_, v)| fits(v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_goes_first() {
        let mut cache = Cache::new(2);
        cache.put(1, "a");
        cache.put(2, "b");
        cache.touch(&1);
        cache.put(3, "c");
        assert_eq!(cache.peek(&1), Some(&"a"));
        assert_eq!(cache.peek(&2), None);
        assert_eq!(cache.peek(&3), Some(&"c"));
    }
}
