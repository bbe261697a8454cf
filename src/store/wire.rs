//! The primitives of the canonical encodings: little-endian integers, counted byte strings, optional values.
//!
//! Canonical means that one value has exactly one encoding: readers refuse anything that a writer would not have
//! written, including trailing bytes. No reader allocates by a claimed count: a count is checked against the bytes
//! that are left.

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad(pub &'static str);

/// An encoding in the making.
#[derive(Default)]
pub(crate) struct Out(pub Vec<u8>);

impl Out {
    pub fn u8(&mut self, v: u8) {
        self.0.push(v);
    }

    pub fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub fn i64(&mut self, v: i64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub fn raw(&mut self, v: &[u8]) {
        self.0.extend_from_slice(v);
    }

    /// A count of things that follow. More than 2^32 of anything does not fit in memory before it gets here.
    pub fn count(&mut self, n: usize) {
        self.u32(u32::try_from(n).unwrap_or(u32::MAX));
    }

    pub fn bytes(&mut self, v: &[u8]) {
        self.count(v.len());
        self.raw(v);
    }

    pub fn opt(&mut self, v: Option<&[u8; 32]>) {
        match v {
            None => self.u8(0),
            Some(id) => {
                self.u8(1);
                self.raw(id);
            }
        }
    }
}

/// An encoding being read.
pub(crate) struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn raw(&mut self, n: usize) -> Result<&'a [u8], Bad> {
        let (head, rest) = self
            .0
            .split_at_checked(n)
            .ok_or(Bad("ends in the middle"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Bad("ends in the middle"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Bad> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Bad> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Bad> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Bad> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn id(&mut self) -> Result<[u8; 32], Bad> {
        self.array()
    }

    /// A count of things that take at least `least` bytes each.
    pub fn count(&mut self, least: usize) -> Result<usize, Bad> {
        let n = self.u32()? as usize;
        if n.saturating_mul(least.max(1)) > self.0.len() {
            return Err(Bad("a count is larger than what follows"));
        }
        Ok(n)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Bad> {
        let n = self.count(1)?;
        self.raw(n)
    }

    pub fn text(&mut self) -> Result<String, Bad> {
        std::str::from_utf8(self.bytes()?)
            .map(str::to_owned)
            .map_err(|_| Bad("a text is not UTF-8"))
    }

    pub fn opt(&mut self) -> Result<Option<[u8; 32]>, Bad> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(self.id()?)),
            _ => Err(Bad("neither absent nor present")),
        }
    }

    /// Only version 1 of an encoding is known.
    pub fn version(&mut self) -> Result<(), Bad> {
        match self.u8()? {
            1 => Ok(()),
            _ => Err(Bad("an encoding of another version")),
        }
    }

    /// Whatever is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    pub fn end(self) -> Result<(), Bad> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Bad("bytes follow the end"))
        }
    }
}
