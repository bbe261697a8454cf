//! What is known of a file's content at one moment: the content's two identities, that there is none, or nothing.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BlobId;

/// A file's content at one moment, as far as it is known. As JSON: an object, `null`, or `"unknown"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// This content.
    Content {
        /// Our id of it.
        blake3: BlobId,
        /// Git's blob id of it (SHA-1).
        git_sha1: [u8; 20],
        /// Length in bytes.
        size: u64,
    },
    /// There is no file.
    Absent,
    /// There is a file; its content is not known.
    Unknown,
}

impl Known {
    /// What is known of a file that holds `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::Content {
            blake3: BlobId::of(content),
            git_sha1: git_sha1(content),
            size: content.len() as u64,
        }
    }

    /// The content's identity, where it is known.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        match self {
            Self::Content { blake3, .. } => Some(*blake3),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// The id that git gives to a blob of this content, in a repository of SHA-1.
#[must_use]
pub fn git_sha1(content: &[u8]) -> [u8; 20] {
    let mut hasher = gix_index::hash::hasher(gix_index::hash::Kind::Sha1);
    hasher.update(format!("blob {}\0", content.len()).as_bytes());
    hasher.update(content);
    let mut id = [0; 20];
    // It refuses contents made to collide; those have no id that could be relied on.
    if let Ok(found) = hasher.try_finalize() {
        id.copy_from_slice(found.as_slice());
    }
    id
}

impl Serialize for Known {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        match self {
            Self::Absent => s.serialize_none(),
            Self::Unknown => s.serialize_str("unknown"),
            Self::Content {
                blake3,
                git_sha1,
                size,
            } => {
                let mut hex = String::with_capacity(40);
                for byte in git_sha1 {
                    // Writing to a string cannot fail.
                    let _ = write!(hex, "{byte:02x}");
                }
                let mut map = s.serialize_map(Some(3))?;
                map.serialize_entry("blake3", blake3)?;
                map.serialize_entry("git_sha1", &hex)?;
                map.serialize_entry("size", size)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Content {
                blake3: BlobId,
                git_sha1: String,
                size: u64,
            },
            Word(String),
            Absent(()),
        }
        use serde::de::Error as _;
        Ok(match Form::deserialize(d)? {
            Form::Absent(()) => Self::Absent,
            Form::Word(word) if word == "unknown" => Self::Unknown,
            Form::Word(word) => return Err(D::Error::custom(format!("not a content: {word:?}"))),
            Form::Content {
                blake3,
                git_sha1,
                size,
            } => {
                let bad = || D::Error::custom("git_sha1 is not 40 hexadecimal digits");
                let mut bytes = [0; 20];
                if git_sha1.len() != 40 {
                    return Err(bad());
                }
                for (i, byte) in bytes.iter_mut().enumerate() {
                    let digits = git_sha1.get(2 * i..2 * i + 2).ok_or_else(bad)?;
                    *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
                }
                Self::Content {
                    blake3,
                    git_sha1: bytes,
                    size,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_id_is_gits() {
        let hex = |bytes: [u8; 20]| bytes.map(|b| format!("{b:02x}")).concat();
        assert_eq!(
            hex(git_sha1(b"")),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
        assert_eq!(
            hex(git_sha1(b"hello\n")),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }

    #[test]
    fn three_forms_in_json() {
        for known in [Known::of(b"x"), Known::Absent, Known::Unknown] {
            let json = serde_json::to_string(&known).unwrap();
            assert_eq!(
                serde_json::from_str::<Known>(&json).unwrap(),
                known,
                "{json}"
            );
        }
        assert_eq!(serde_json::to_string(&Known::Absent).unwrap(), "null");
        assert_eq!(
            serde_json::to_string(&Known::Unknown).unwrap(),
            "\"unknown\""
        );
        assert!(serde_json::from_str::<Known>("\"maybe\"").is_err());
        let bad = r#"{"blake3":"00","git_sha1":"é","size":1}"#;
        assert!(serde_json::from_str::<Known>(bad).is_err());
    }
}
