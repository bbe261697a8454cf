//! A least-recently-used cache bounded by weight, so that one huge directory does not cost what a thousand small ones do.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// Decoded things by their key.
pub(crate) struct Cache<K: Hash + Eq, V> {
    inner: Mutex<Inner<K, V>>,
    limit: usize,
}

struct Inner<K: Hash + Eq, V> {
    lru: LruCache<K, (Arc<V>, usize)>,
    weight: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// Keeps things of together at most `limit`.
    pub fn new(limit: usize) -> Self {
        let inner = Inner {
            lru: LruCache::unbounded(),
            weight: 0,
        };
        Self {
            inner: Mutex::new(inner),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.lru.clear();
        inner.weight = 0;
    }

    /// What is kept under `key`.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.lock().lru.get(key).map(|(v, _)| Arc::clone(v))
    }

    /// Keeps `value`, unless it alone would fill a quarter of the cache.
    pub fn put(&self, key: K, value: &Arc<V>, weight: usize) {
        if weight > self.limit / 4 {
            return;
        }
        let mut inner = self.lock();
        if let Some((_, old)) = inner.lru.put(key, (Arc::clone(value), weight)) {
            inner.weight -= old;
        }
        inner.weight += weight;
        while inner.weight > self.limit {
            match inner.lru.pop_lru() {
                Some((_, (_, old))) => inner.weight -= old,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_bounded_and_the_oldest_goes() {
        let cache = Cache::new(8);
        for n in 0..5 {
            cache.put(n, &Arc::new(n), 2);
            cache.get(&0);
        }
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.get(&0), Some(Arc::new(0)));
        assert_eq!(cache.get(&4), Some(Arc::new(4)));
        cache.put(9, &Arc::new(9), 3);
        assert_eq!(cache.get(&9), None, "too heavy");
        cache.put(4, &Arc::new(5), 1);
        assert_eq!(cache.get(&4), Some(Arc::new(5)));
        assert!(cache.lock().weight <= 8);
    }
}
