//! The store: packs are the journal, redb is the index.
