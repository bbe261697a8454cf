//! Copying content between descriptors that others use at the same time: no position is ever moved.

use std::fs::File;

use rustix::fs;
use rustix::io::Errno;

use super::super::live_read::retry;

/// Writes all of `bytes` at the start.
pub(super) fn write_all(file: &File, bytes: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        done += retry(|| rustix::io::pwrite(file, &bytes[done..], done as u64))?;
    }
    Ok(())
}

/// Copies the first `len` bytes, sharing them where the file system can.
pub(super) fn copy(from: &File, to: &File, len: u64) -> Result<(), Errno> {
    let (mut read_at, mut write_at) = (0, 0);
    while write_at < len {
        let rest = usize::try_from((len - write_at).min(1 << 30)).unwrap_or(1 << 30);
        match retry(|| fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), rest))
        {
            Ok(0) => break,
            Ok(_) => {}
            // From another file system, or from one that cannot.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_by_hand(from, to, write_at, len);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, mut at: u64, len: u64) -> Result<(), Errno> {
    let mut buffer = vec![0; 256 * 1024];
    while at < len {
        let want = usize::try_from((len - at).min(buffer.len() as u64)).unwrap_or(0);
        let got = retry(|| rustix::io::pread(from, &mut buffer[..want], at))?;
        if got == 0 {
            break;
        }
        let mut put = 0;
        while put < got {
            put += retry(|| rustix::io::pwrite(to, &buffer[put..got], at + put as u64))?;
        }
        at += got as u64;
    }
    Ok(())
}
