//! Contents in a patch as git writes them where they are no text: deflated, in its own base 85.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// Bytes in a line: the letter before it says how many.
const LINE: usize = 52;

/// `literal SIZE` with the lines of `content` and the empty line that ends them.
pub(super) fn literal(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(content)?;
    let deflated = deflated.finish()?;
    let mut out = format!("literal {}\n", content.len()).into_bytes();
    for line in deflated.chunks(LINE) {
        let n = u8::try_from(line.len()).unwrap_or(0);
        out.push(match n {
            0..=26 => b'A' + n.saturating_sub(1),
            _ => b'a' + n - 27,
        });
        for four in line.chunks(4) {
            let mut bytes = [0; 4];
            bytes[..four.len()].copy_from_slice(four);
            let mut rest = u32::from_be_bytes(bytes);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(rest % 85) as usize];
                rest /= 85;
            }
            out.extend_from_slice(&digits);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// What git's own decoder would read (that it does is tried with git in `tests/export.rs`).
    fn decode(text: &[u8]) -> Vec<u8> {
        let mut deflated = Vec::new();
        for line in text
            .split(|b| *b == b'\n')
            .skip(1)
            .filter(|l| !l.is_empty())
        {
            let n = match line[0] {
                b @ b'A'..=b'Z' => usize::from(b - b'A') + 1,
                b => usize::from(b - b'a') + 27,
            };
            let mut bytes = Vec::new();
            for five in line[1..].chunks(5) {
                let value = five.iter().fold(0_u32, |v, d| {
                    let digit = DIGITS.iter().position(|x| x == d).unwrap();
                    v.wrapping_mul(85)
                        .wrapping_add(u32::try_from(digit).unwrap())
                });
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            deflated.extend_from_slice(&bytes[..n]);
        }
        let mut out = Vec::new();
        io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&*deflated), &mut out).unwrap();
        out
    }

    #[test]
    fn reads_back() {
        let mut state = 1_u64;
        for len in [0, 1, 3, 4, 5, 51, 52, 53, 1000, 70_000] {
            let content: Vec<u8> = (0..len)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 33).to_le_bytes()[0]
                })
                .collect();
            let text = literal(&content).unwrap();
            assert!(text.starts_with(format!("literal {len}\n").as_bytes()));
            assert!(text.ends_with(b"\n\n"));
            assert_eq!(decode(&text), content, "{len}");
        }
    }
}
