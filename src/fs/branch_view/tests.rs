//! Tests of the logic without a mount.
