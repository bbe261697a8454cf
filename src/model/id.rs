//! Identities: 256-bit blake3 hashes with one type per kind, so that a tree id is never passed for a blob id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0:?} (64 hexadecimal digits are wanted)")]
pub struct IdError(pub String);

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The raw 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// All 64 hexadecimal digits.
            #[must_use]
            pub fn to_hex(self) -> String {
                blake3::Hash::from_bytes(self.0).to_hex().to_string()
            }

            /// The first 8 digits, for people.
            #[must_use]
            pub fn short(self) -> String {
                self.to_hex()[..8].to_owned()
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(h: blake3::Hash) -> Self {
                Self(*h.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(s: &str) -> Result<Self, IdError> {
                blake3::Hash::from_hex(s)
                    .map(|h| Self(*h.as_bytes()))
                    .map_err(|_| IdError(s.chars().take(80).collect()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.to_hex())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = String::deserialize(d)?;
                s.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_id!(
    /// blake3-256 of a file's whole content.
    BlobId
);
hash_id!(
    /// Hash of a directory's encoded entries (names, kinds, modes, sizes, targets, content; no times).
    TreeId
);
hash_id!(
    /// Hash of an encoded commit. It covers the parents.
    CommitId
);
hash_id!(
    /// Hash of an encoded operation.
    OpId
);
hash_id!(
    /// Stable identity of a step: a hash of its session and of the id its source gave it.
    StepId
);
hash_id!(
    /// Identity of a session (one run of one agent).
    SessionId
);

impl BlobId {
    /// The id of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        blake3::hash(content).into()
    }
}

impl SessionId {
    /// The id of the session that its agent (or `backtrail run`) calls `native`.
    #[must_use]
    pub fn of(native: &str) -> Self {
        blake3::Hasher::new_derive_key("backtrail 2026 session id")
            .update(native.as_bytes())
            .finalize()
            .into()
    }
}

impl StepId {
    /// The id of the step that its source calls `native` in `session`.
    #[must_use]
    pub fn of(session: SessionId, native: &str) -> Self {
        blake3::Hasher::new_derive_key("backtrail 2026 step id")
            .update(session.as_bytes())
            .update(native.as_bytes())
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn hex_round_trip_and_rejects() {
        let id = BlobId::of(b"hello");
        assert_eq!(id.to_hex().parse::<BlobId>().unwrap(), id);
        assert_eq!(
            id.to_hex(),
            "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"
        );
        assert!("ea8f".parse::<BlobId>().is_err());
        assert!("z".repeat(64).parse::<BlobId>().is_err());
    }

    #[test]
    fn kinds_of_id_do_not_collide() {
        let s = SessionId::of("a");
        assert_ne!(s.0, StepId::of(s, "a").0);
    }
}
