//! The file system: views, the gate, mounts, invalidation.
