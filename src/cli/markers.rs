//! Files with conflict markers for other tools: written below a directory and read back. Names come from agents, so every
//! step of the way is opened without following links, and nothing but plain files is written or read.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;

use super::Fail;
use crate::model::{RepoPath, neutral};

/// A longer file is not read back: nothing of that size was written.
const MOST: u64 = 256 << 20;

/// A directory for files with markers.
pub struct Place {
    dir: OwnedFd,
    said: String,
}

impl Place {
    /// Opens it; it is made where `make` says so.
    pub fn open(path: &Path, make: bool) -> Result<Self, Fail> {
        let said = neutral(path.as_os_str().as_encoded_bytes());
        let failed = |e: std::io::Error| Fail::Message(format!("cannot open {said}: {e}"));
        if make {
            std::fs::create_dir_all(path).map_err(failed)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self { dir, said })
    }

    fn failed(&self, what: &str, path: &RepoPath, e: Errno) -> Fail {
        let why = match e {
            Errno::LOOP | Errno::NOTDIR => {
                "something that is no directory is in its way".to_owned()
            }
            e => std::io::Error::from(e).to_string(),
        };
        Fail::Message(format!("cannot {what} {path} in {}: {why}", self.said))
    }

    /// The directory that `path` lies in.
    fn parent(&self, path: &RepoPath, make: bool) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut dir = openat(&self.dir, ".", flags, Mode::empty())?;
        for part in path.parent().iter().flat_map(|p| p.parts()) {
            if make {
                match mkdirat(&dir, part, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e),
                }
            }
            dir = openat(&dir, part, flags, Mode::empty())?;
        }
        Ok(dir)
    }

    /// Writes a file; one that is there is replaced.
    pub fn write(&self, path: &RepoPath, content: &[u8]) -> Result<(), Fail> {
        let write = || -> Result<(), Errno> {
            let dir = self.parent(path, true)?;
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK
                | OFlags::CLOEXEC;
            let mut file = File::from(openat(
                &dir,
                path.name(),
                flags,
                Mode::from_raw_mode(0o666),
            )?);
            let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
            if !file.metadata().map_err(errno)?.is_file() {
                return Err(Errno::EXIST);
            }
            file.set_len(0).map_err(errno)?;
            file.write_all(content).map_err(errno)
        };
        write().map_err(|e| self.failed("write", path, e))
    }

    /// Reads a file; `None` if it is not there.
    pub fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, Fail> {
        let read = || -> Result<Vec<u8>, Errno> {
            let dir = self.parent(path, false)?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = File::from(openat(&dir, path.name(), flags, Mode::empty())?);
            let errno = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
            let meta = file.metadata().map_err(errno)?;
            if !meta.is_file() {
                return Err(Errno::INVAL);
            }
            if meta.len() > MOST {
                return Err(Errno::FBIG);
            }
            let mut bytes = Vec::new();
            file.take(MOST).read_to_end(&mut bytes).map_err(errno)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.failed("read", path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn links_are_not_followed_out() {
        let temp = tempfile::tempdir().unwrap();
        let (dir, out) = (temp.path().join("d"), temp.path().join("out"));
        std::fs::create_dir(&out).unwrap();
        let place = Place::open(&dir, true).unwrap();
        let path = |name: &[u8]| RepoPath::new(name.to_vec()).unwrap();
        place.write(&path(b"a/b\xff"), b"x\r\n").unwrap();
        assert_eq!(
            place.read(&path(b"a/b\xff")).unwrap().unwrap(),
            b"x\r\n".to_vec()
        );
        assert_eq!(place.read(&path(b"a/none")).unwrap(), None);
        std::os::unix::fs::symlink(&out, dir.join("l")).unwrap();
        std::fs::write(out.join("f"), "secret").unwrap();
        std::os::unix::fs::symlink(out.join("f"), dir.join("m")).unwrap();
        for name in [&b"l/f"[..], b"m"] {
            assert!(place.write(&path(name), b"y").is_err());
            assert!(place.read(&path(name)).is_err());
        }
        assert_eq!(std::fs::read(out.join("f")).unwrap(), b"secret");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(place.write(&path(b"fifo"), b"y").is_err());
        assert!(place.read(&path(b"fifo")).is_err());
    }
}
