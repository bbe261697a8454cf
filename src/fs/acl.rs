//! Access control lists that say no more than the permissions do.
//!
//! `sed -i`, `cp -p` and others copy a file's permissions as such a list. The file systems below take it as a chmod, but the
//! kernel would not learn of it: after setting an extended attribute it goes on showing the permissions that it knew. So
//! these lists are answered with "not supported", and the programs go on to chmod, as they do on file systems without lists.

/// The attribute that holds a file's list.
const ACCESS: &[u8] = b"system.posix_acl_access";
/// Its format: a version and entries of tag, permissions and id, all little-endian (Linux, `posix_acl_xattr.h`).
const VERSION: [u8; 4] = 2u32.to_le_bytes();
/// The three entries that are the permissions: owner, group, others.
const TAGS: [u16; 3] = [0x01, 0x04, 0x20];

/// Whether the attribute is a list of access rights of any kind.
pub(crate) fn is_list(name: &[u8]) -> bool {
    name == ACCESS || name == b"system.posix_acl_default"
}

/// Whether setting the attribute `name` to `value` is no more than a chmod.
pub(crate) fn is_chmod(name: &[u8], value: &[u8]) -> bool {
    let Some(entries) = value.strip_prefix(&VERSION) else {
        return false;
    };
    let tags = entries.chunks(8).map(|e| match e {
        [a, b, ..] if e.len() == 8 => u16::from_le_bytes([*a, *b]),
        _ => 0,
    });
    name == ACCESS && tags.eq(TAGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_permissions_alone_are_a_chmod() {
        let entry = |tag: u16| [&tag.to_le_bytes()[..], &[6, 0, 255, 255, 255, 255]].concat();
        let list = |tags: &[u16]| {
            let entries: Vec<u8> = tags.iter().flat_map(|t| entry(*t)).collect();
            [&VERSION[..], &entries].concat()
        };
        assert!(is_chmod(ACCESS, &list(&TAGS)));
        assert!(!is_chmod(ACCESS, &list(&[0x01, 0x02, 0x04, 0x10, 0x20])));
        assert!(!is_chmod(b"user.x", &list(&TAGS)));
        assert!(!is_chmod(ACCESS, &list(&TAGS)[..27]));
        assert!(!is_chmod(ACCESS, b""));
    }
}
