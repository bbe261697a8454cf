//! The recording of a terminal: asciicast lines (second version), each written whole as soon as its bytes came.
//!
//! Times are seconds after the header's, which also has them exactly (`start_us`), so that they can be held against those
//! of steps. A recording ends at its largest size; a mark in it says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::About;
use crate::model::Time;

/// Room that is kept for the lines that end a recording.
const LAST: u64 = 256;

/// A recording that is being written.
pub struct Cast {
    file: Option<File>,
    start: Time,
    last: i64,
    written: u64,
    most: u64,
    /// Bytes of a character that has not all come.
    rest: Vec<u8>,
}

impl Cast {
    /// Begins one in a new file that only its owner can read.
    pub fn create(path: &Path, about: &About, size: (u16, u16), most: u64) -> io::Result<Self> {
        let mut cast = Self {
            file: None,
            start: about.start,
            last: 0,
            written: 0,
            most,
            rest: Vec::new(),
        };
        if most == 0 {
            return Ok(cast);
        }
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        cast.file = Some(
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?,
        );
        cast.line(&json!({
            "version": 2,
            "width": size.0,
            "height": size.1,
            "timestamp": about.start.0 / 1_000_000,
            "title": about.command,
            "command": about.command,
            "backtrail": {
                "session": about.session.to_hex(),
                "agent": about.agent,
                "start_us": about.start.0,
            },
        }));
        Ok(cast)
    }

    /// What was printed.
    pub fn output(&mut self, now: Time, bytes: &[u8]) {
        if self.file.is_none() {
            return;
        }
        self.rest.extend_from_slice(bytes);
        let whole = whole_chars(&self.rest);
        if whole == 0 {
            return;
        }
        let later = self.rest.split_off(whole);
        let these = std::mem::replace(&mut self.rest, later);
        self.event(now, "o", &String::from_utf8_lossy(&these));
    }

    /// The terminal has another size.
    pub fn resize(&mut self, now: Time, cols: u16, rows: u16) {
        self.event(now, "r", &format!("{cols}x{rows}"));
    }

    /// The agent ended.
    pub fn exit(&mut self, now: Time, code: i32) {
        if !self.rest.is_empty() {
            let these = std::mem::take(&mut self.rest);
            self.event(now, "o", &String::from_utf8_lossy(&these));
        }
        // Short, and room was left for it.
        self.most = self.most.saturating_add(LAST);
        self.event(now, "x", &code.to_string());
        self.file = None;
    }

    fn event(&mut self, now: Time, code: &str, data: &str) {
        if self.file.is_none() {
            return;
        }
        // A clock that was set back must not make times that go back.
        self.last = self.last.max(now.0.saturating_sub(self.start.0));
        let seconds = self.last as f64 / 1e6;
        let line = json!([seconds, code, data]);
        let room = self.most.saturating_sub(LAST);
        if self.written + (data.len() as u64) > room && code != "x" {
            let words = format!("the recording ends here: it has {room} bytes");
            self.line(&json!([seconds, "m", words]));
            self.file = None;
            return;
        }
        self.line(&line);
    }

    fn line(&mut self, value: &serde_json::Value) {
        let Some(file) = &mut self.file else { return };
        let mut line = value.to_string();
        line.push('\n');
        self.written += line.len() as u64;
        // A full disk must not end the agent: what was recorded stays, nothing follows.
        if file.write_all(line.as_bytes()).is_err() {
            self.file = None;
        }
    }
}

/// How many of the bytes are whole characters, or no characters at all.
fn whole_chars(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let Some(tail) = bytes.get(from..) else {
        return bytes.len();
    };
    for (i, byte) in tail.iter().enumerate().rev() {
        let needs = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return bytes.len(),
        };
        return if tail.len() - i < needs {
            from + i
        } else {
            bytes.len()
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::SessionId;

    fn about() -> About {
        About {
            session: SessionId::of("s"),
            agent: "sh".to_owned(),
            command: "sh -c true".to_owned(),
            pid: 7,
            start: Time(5_000_000),
            outer: true,
        }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    #[test]
    fn characters_stay_whole_and_times_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/a.cast");
        let mut cast = Cast::create(&path, &about(), (80, 24), MANY).unwrap();
        let text = "é€😀".as_bytes();
        for (n, byte) in text.iter().enumerate() {
            cast.output(
                Time(5_000_000 + n as i64 * 1000),
                std::slice::from_ref(byte),
            );
        }
        cast.output(Time(1), b"\xff\x1b[31m");
        cast.resize(Time(5_500_000), 100, 30);
        cast.output(Time(5_600_000), b"\xe2\x82");
        cast.exit(Time(6_000_000), 3);
        let lines = lines(&path);
        assert_eq!(lines[0]["width"], 80);
        assert_eq!(lines[0]["backtrail"]["start_us"], 5_000_000);
        let out: String = lines[1..]
            .iter()
            .filter(|l| l[1] == "o")
            .map(|l| l[2].as_str().unwrap())
            .collect();
        assert_eq!(out, "é€😀\u{fffd}\x1b[31m\u{fffd}");
        let times: Vec<f64> = lines[1..].iter().map(|l| l[0].as_f64().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(lines.last().unwrap()[1], "x");
        assert_eq!(lines.last().unwrap()[2], "3");
    }

    const MANY: u64 = 1 << 20;

    #[test]
    fn it_ends_at_its_largest_size_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let mut cast = Cast::create(&path, &about(), (80, 24), 4096).unwrap();
        for _ in 0..100 {
            cast.output(Time(6_000_000), &[b'x'; 200]);
        }
        cast.exit(Time(7_000_000), 0);
        let lines = lines(&path);
        assert_eq!(lines.last().unwrap()[1], "m");
        assert!(std::fs::metadata(&path).unwrap().len() < 4400);
        // Nothing at all when nothing is wanted.
        let none = dir.path().join("none.cast");
        let mut cast = Cast::create(&none, &about(), (80, 24), 0).unwrap();
        cast.output(Time(6_000_000), b"x");
        assert!(!none.exists());
    }
}
