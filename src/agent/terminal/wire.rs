//! What is said on a terminal's socket: a kind, a length, that many bytes.
//!
//! Bytes of a terminal are no text, and there are many of them; so this is not the engine's protocol of lines. Either side
//! refuses what is longer than it ever needs to be, and never takes memory for bytes that have not come.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::About;

/// Longest message, in bytes.
pub const LONGEST: usize = 8 << 20;

/// Number of this protocol's meaning.
pub const VERSION: u8 = 1;

/// From who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToHost {
    /// The first message: how many columns and rows there are, and whether it will type.
    Hello {
        /// It wants to type.
        attach: bool,
        /// Columns and rows that it has for the terminal.
        size: (u16, u16),
    },
    /// Typed bytes.
    Input(Vec<u8>),
    /// It has another size now.
    Resize(u16, u16),
}

/// From the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromHost {
    /// The first message.
    Hello(About),
    /// The terminal has that many columns and rows now. Always before a `Screen`.
    Size(u16, u16),
    /// All of the screen: what came before is void.
    Screen(Vec<u8>),
    /// What was printed since.
    Output(Vec<u8>),
    /// The agent ended with this exit code.
    End(i32),
}

/// What the hello of who watches says.
#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    version: u8,
    attach: bool,
    cols: u16,
    rows: u16,
}

fn odd(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn pair(bytes: &[u8]) -> io::Result<(u16, u16)> {
    match bytes {
        [a, b, c, d] => Ok((u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))),
        _ => Err(odd("a size has four bytes")),
    }
}

fn two(a: u16, b: u16) -> Vec<u8> {
    [a.to_le_bytes(), b.to_le_bytes()].concat()
}

impl ToHost {
    fn parts(&self) -> io::Result<(u8, Vec<u8>)> {
        Ok(match self {
            Self::Hello { attach, size } => {
                let greeting = Greeting {
                    version: VERSION,
                    attach: *attach,
                    cols: size.0,
                    rows: size.1,
                };
                (b'h', serde_json::to_vec(&greeting)?)
            }
            Self::Input(bytes) => (b'i', bytes.clone()),
            Self::Resize(cols, rows) => (b'r', two(*cols, *rows)),
        })
    }

    /// Reads one; `None` at the end.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let Some((kind, bytes)) = frame(from).await? else {
            return Ok(None);
        };
        Ok(Some(match kind {
            b'h' => {
                let greeting: Greeting = serde_json::from_slice(&bytes)?;
                if greeting.version != VERSION {
                    return Err(odd("another version of Backtrail"));
                }
                Self::Hello {
                    attach: greeting.attach,
                    size: (greeting.cols, greeting.rows),
                }
            }
            b'i' => Self::Input(bytes),
            b'r' => {
                let (cols, rows) = pair(&bytes)?;
                Self::Resize(cols, rows)
            }
            _ => return Err(odd("not a message of a terminal's socket")),
        }))
    }

    /// Writes it.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let (kind, bytes) = self.parts()?;
        put(to, kind, &bytes).await
    }
}

impl FromHost {
    /// Reads one; `None` at the end.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let Some((kind, bytes)) = frame(from).await? else {
            return Ok(None);
        };
        Ok(Some(match kind {
            b'H' => Self::Hello(serde_json::from_slice(&bytes)?),
            b'Z' => {
                let (cols, rows) = pair(&bytes)?;
                Self::Size(cols, rows)
            }
            b'S' => Self::Screen(bytes),
            b'O' => Self::Output(bytes),
            b'E' => match bytes.as_slice() {
                [a, b, c, d] => Self::End(i32::from_le_bytes([*a, *b, *c, *d])),
                _ => return Err(odd("an exit code has four bytes")),
            },
            _ => return Err(odd("not a message of a terminal's socket")),
        }))
    }

    /// Writes it.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match self {
            Self::Hello(about) => put(to, b'H', &serde_json::to_vec(about)?).await,
            Self::Size(cols, rows) => put(to, b'Z', &two(*cols, *rows)).await,
            Self::Screen(bytes) => put(to, b'S', bytes).await,
            Self::Output(bytes) => put(to, b'O', bytes).await,
            Self::End(code) => put(to, b'E', &code.to_le_bytes()).await,
        }
    }
}

/// Writes what was printed without copying it first.
pub async fn put_output(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    put(to, b'O', bytes).await
}

async fn put(to: &mut (impl AsyncWrite + Unpin), kind: u8, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len())
        .ok()
        .filter(|n| *n as usize <= LONGEST)
        .ok_or_else(|| odd("too long for one message"))?;
    let [a, b, c, d] = len.to_le_bytes();
    to.write_all(&[kind, a, b, c, d]).await?;
    to.write_all(bytes).await?;
    to.flush().await
}

async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(u8, Vec<u8>)>> {
    let kind = match from.read_u8().await {
        Ok(kind) => kind,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    };
    let len = from.read_u32_le().await? as usize;
    if len > LONGEST {
        return Err(odd("a message that is too long"));
    }
    let mut bytes = Vec::with_capacity(len.min(64 << 10));
    from.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{SessionId, Time};

    #[tokio::test]
    async fn messages_come_as_they_were_sent() {
        let about = About {
            session: SessionId::of("x"),
            agent: "a".to_owned(),
            command: "a b".to_owned(),
            pid: 3,
            start: Time(9),
            outer: false,
        };
        let all = [
            FromHost::Hello(about),
            FromHost::Size(80, 24),
            FromHost::Screen(vec![27, 91]),
            FromHost::Output(vec![0, 255]),
            FromHost::End(-1),
        ];
        let mut bytes = Vec::new();
        for one in &all {
            one.write(&mut bytes).await.unwrap();
        }
        let mut from = bytes.as_slice();
        for one in all {
            assert_eq!(FromHost::read(&mut from).await.unwrap(), Some(one));
        }
        assert_eq!(FromHost::read(&mut from).await.unwrap(), None);
        let mine = [
            ToHost::Hello {
                attach: true,
                size: (60, 11),
            },
            ToHost::Input(b"\x03".to_vec()),
            ToHost::Resize(1, 65535),
        ];
        let mut bytes = Vec::new();
        for one in &mine {
            one.write(&mut bytes).await.unwrap();
        }
        let mut from = bytes.as_slice();
        for one in mine {
            assert_eq!(ToHost::read(&mut from).await.unwrap(), Some(one));
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        for bytes in [
            &b"i\xff\xff\xff\xffabc"[..],
            b"i\x05\0\0\0abc",
            b"q\0\0\0\0",
            b"r\x01\0\0\0a",
            b"h\x02\0\0\0{}",
            b"i\x01",
        ] {
            assert!(ToHost::read(&mut &*bytes).await.is_err(), "{bytes:?}");
        }
    }
}
