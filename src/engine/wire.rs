//! JSON lines over a stream: reading with a bound, so that a peer cannot make us hold an endless line, and writing.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use super::api::MAX_LINE;

/// What came instead of a message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// A line over [`MAX_LINE`]; the connection cannot go on.
    #[error("a message over {MAX_LINE} bytes was refused")]
    TooLong,
    /// The line is not a message we know.
    #[error("not a message of this protocol: {0}")]
    NotUnderstood(serde_json::Error),
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Reads one line and what it says. `line` is scratch space, kept by the caller so that it is not allocated each time.
pub async fn read<T, R>(reader: &mut R, line: &mut Vec<u8>) -> Result<T, WireError>
where
    T: DeserializeOwned,
    R: AsyncBufRead + Unpin,
{
    read_line(reader, line).await?;
    serde_json::from_slice(line).map_err(WireError::NotUnderstood)
}

/// Reads one line, without its end.
pub async fn read_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
) -> Result<(), WireError> {
    line.clear();
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Err(WireError::Closed);
        }
        let (take, done) = match buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at, true),
            None => (buffer.len(), false),
        };
        if line.len() + take > MAX_LINE {
            return Err(WireError::TooLong);
        }
        line.extend_from_slice(&buffer[..take]);
        reader.consume(take + usize::from(done));
        if done {
            return Ok(());
        }
    }
}

/// Writes one message as one line.
pub async fn write<T, W>(writer: &mut W, message: &T) -> Result<(), WireError>
where
    T: Serialize,
    W: AsyncWrite + Unpin,
{
    let mut line = serde_json::to_vec(message).map_err(WireError::NotUnderstood)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn lines_and_their_absence() {
        let mut from = BufReader::new(&b"1\n\"x\"\nnope\n3"[..]);
        let mut line = Vec::new();
        assert_eq!(read::<u32, _>(&mut from, &mut line).await.unwrap(), 1);
        assert_eq!(read::<String, _>(&mut from, &mut line).await.unwrap(), "x");
        assert!(matches!(
            read::<u32, _>(&mut from, &mut line).await,
            Err(WireError::NotUnderstood(_))
        ));
        // A line without its end is a peer that died in the middle of it: never taken for a message.
        assert!(matches!(
            read::<u32, _>(&mut from, &mut line).await,
            Err(WireError::Closed)
        ));
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let endless = tokio::io::repeat(b'a');
        let mut from = BufReader::with_capacity(1 << 20, endless);
        let mut line = Vec::new();
        assert!(matches!(
            read::<u32, _>(&mut from, &mut line).await,
            Err(WireError::TooLong)
        ));
    }
}
