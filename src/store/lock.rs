//! One process at a time has a store open. The lock is an flock, so it goes with its process, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::{Error, Result};

/// Held while a store is open.
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being started at this moment has a copy of the descriptor until it
        // has begun.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Takes the lock of `dir`, trying for at most `wait`.
    pub fn take(dir: &Path, wait: Duration) -> Result<Self> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        let deadline = Instant::now() + wait;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    if Instant::now() >= deadline {
                        return Err(Error::Locked {
                            dir: dir.to_owned(),
                            pid: holder(&mut file),
                        });
                    }
                    // flock cannot be waited for with a time-out.
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => return Err(Error::io("lock", &path, e.into())),
            }
        }
        // Who holds it is a courtesy: a full disk must not keep the store from being read.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
