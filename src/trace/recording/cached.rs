//! The index as it is kept in a cache file.

use super::super::index::{self, Index};

/// Another version of the program may read the same file better: it makes its own index.
const MAGIC: &[u8] = concat!("backtrail ", env!("CARGO_PKG_VERSION"), " index\n").as_bytes();

/// The cached form of an index.
pub fn to_cache(index: &Index) -> Option<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&index::VERSION.to_le_bytes());
    postcard::to_extend(index, bytes).ok()
}

/// Reads the cached form; `None` for another version or a damaged file.
#[must_use]
pub fn from_cache(bytes: &[u8]) -> Option<Index> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != index::VERSION {
        return None;
    }
    postcard::from_bytes(rest).ok()
}
