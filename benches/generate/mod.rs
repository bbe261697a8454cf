//! Makes a file shaped like a real transcript of Claude Code, of any size, the same for the same seed.
//!
//! The mix of lines, of blocks and of tools, the spread of sizes (half of the texts are short, one in a hundred is forty
//! times as long) and the tree of lines are those of real ones; texts are scaled so that the wanted number of bytes comes
//! out. What edits tell about files is consistent: replayed from the first line, it gives [`Made::files`]. Real
//! transcripts have five times as many edits, but also three times as many bytes a line; ids and envelopes are shorter than
//! real ones for the same reason.
#![allow(dead_code, reason = "each of its users takes what it needs")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Made {
    pub lines: u64,
    pub bytes: u64,
    pub prompts: u64,
    /// Calls of the main agent.
    pub calls: u64,
    /// Results that tell a change of a file.
    pub changes: u64,
    /// Changes of files that no line tells, but that a later line shows.
    pub outside: u64,
    /// Prompts that leave a branch behind.
    pub rewinds: u64,
    /// Every file in the end: by its absolute path, as far as lines tell it.
    pub files: BTreeMap<String, String>,
}

/// Writes so many lines of about so many bytes together.
pub fn claude(path: &Path, lines: u64, bytes: u64, seed: u64) -> io::Result<Made> {
    claude_with(path, lines, bytes, seed, 0)
}

/// The same with one line in the middle whose text is `long` bytes, which come on top.
pub fn claude_with(path: &Path, lines: u64, bytes: u64, seed: u64, long: u64) -> io::Result<Made> {
    let mut maker = Maker {
        out: BufWriter::with_capacity(1 << 20, File::create(path)?),
        made: Made::default(),
        random: Random(seed ^ 0x9e37_79b9_7f4a_7c15),
        want: (lines, bytes),
        line: String::new(),
        parent: String::new(),
        turn_start: String::new(),
        clock: 1_767_225_600_000,
        model: "claude-opus-4-5-20251101",
        seen: BTreeMap::new(),
        long: (long > 0).then_some(long),
        serial: 0,
        scaled: 0,
    };
    maker.all()?;
    maker.out.flush()?;
    maker.made.files = maker.seen.into_iter().map(|(k, f)| (k, f.told)).collect();
    Ok(maker.made)
}

const CWD: &str = "/home/me/project";

/// Pieces of text, as they stand in JSON.
const PHRASES: [&str; 16] = [
    "the index is read before the lock is taken, ",
    "so a second reader sees the old one.\\n",
    "    let entry = map.get(&key).ok_or(Error::Missing)?;\\n",
    "error[E0502]: cannot borrow `*self` as mutable\\n",
    "\\tif err != nil {\\n\\t\\treturn nil, err\\n\\t}\\n",
    "I will look at the tests first, then at the parser. ",
    "ok   github.com/example/tool/internal/parse   0.412s\\n",
    "\\\"name\\\": \\\"value\\\", ",
    "test result: ok. 128 passed; 0 failed; 0 ignored\\n",
    "naïve café — 日本語 ✓ ",
    "warning: unused variable: `state`\\n   --> src/lib.rs:88:9\\n",
    "The function returns early when the list is empty; ",
    "src/store/pack.rs:214:    pub fn append(&mut self)\\n",
    "diff --git a/src/a.rs b/src/a.rs\\nindex 83db48f..bf2a9c1\\n",
    "1. read the file\\n2. change it\\n3. run the tests\\n\\n",
    "const total = items.reduce((sum, item) => sum + item.n, 0);\\n",
];

/// A fixed stream of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn in_thousand(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }
}

/// A file as it is, and as the lines tell it.
#[derive(Default)]
struct Tracked {
    text: String,
    told: String,
}

struct Maker {
    out: BufWriter<File>,
    made: Made,
    random: Random,
    want: (u64, u64),
    line: String,
    parent: String,
    turn_start: String,
    clock: u64,
    model: &'static str,
    seen: BTreeMap<String, Tracked>,
    long: Option<u64>,
    serial: u64,
    /// Bytes of texts whose length is chosen for the sum to come out.
    scaled: u64,
}

impl Maker {
    fn full(&self) -> bool {
        self.made.lines >= self.want.0
    }

    fn all(&mut self) -> io::Result<()> {
        while !self.full() {
            self.turn()?;
        }
        Ok(())
    }

    // --- lines ------------------------------------------------------------------------------------------------------

    fn end_line(&mut self) -> io::Result<()> {
        if self.full() {
            self.line.clear();
            return Ok(());
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())?;
        self.made.lines += 1;
        self.made.bytes += self.line.len() as u64;
        self.line.clear();
        Ok(())
    }

    fn id(&mut self) -> String {
        let (a, b) = (self.random.next(), self.random.next());
        format!("{:08x}-4{:03x}-a{:03x}", a >> 32, a & 0xfff, b >> 52)
    }

    fn short(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!(
            "{prefix}_{:06}{:014x}",
            self.serial,
            self.random.next() >> 8
        )
    }

    fn tick(&mut self, most: u64) -> String {
        self.clock += 1 + self.random.below(most);
        stamp(self.clock)
    }

    /// Begins a line of the conversation, up to where its own fields come; the next line hangs on it.
    fn open(&mut self, kind: &str) {
        let uuid = self.id();
        let time = self.tick(9000);
        let parent = match self.parent.as_str() {
            "" => "null".to_owned(),
            parent => format!("\"{parent}\""),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            self.line,
            r#"{{"parentUuid":{parent},"isSidechain":false,"cwd":"{CWD}","sessionId":"5e551011","version":"2.1.41","gitBranch":"main","type":"{kind}","uuid":"{uuid}","timestamp":"{time}""#
        );
        self.parent = uuid;
    }

    /// How long the next text is, so that the wanted bytes come out in the end.
    fn size(&mut self) -> usize {
        let (lines, bytes) = self.want;
        let left = lines.saturating_sub(self.made.lines).max(1);
        // What a line has besides such texts, as far as was seen; few lines say nothing yet.
        let done = self.made.lines;
        let besides = (self.made.bytes.saturating_sub(self.scaled) + 400 * 450) / (done + 400);
        let room = bytes
            .saturating_sub(self.made.bytes)
            .saturating_sub(left * besides);
        // A third of the lines has a text; half of the texts are a third of the mean.
        let mean = room * 3 / left;
        let share = match self.random.below(1000) {
            0..500 => 10 + self.random.below(50),
            500..900 => 50 + self.random.below(120),
            900..990 => 150 + self.random.below(500),
            _ => 1000 + self.random.below(3000),
        };
        usize::try_from((mean * share / 125).min(room)).unwrap_or(0)
    }

    fn text(&mut self) {
        let size = self.size();
        let from = self.line.len();
        self.text_of(size.max(12));
        self.scaled += (self.line.len() - from) as u64;
    }

    fn text_of(&mut self, size: usize) {
        let from = self.line.len();
        while self.line.len() - from < size {
            let at = self.random.below(PHRASES.len() as u64);
            self.line
                .push_str(PHRASES[usize::try_from(at).unwrap_or(0)]);
        }
    }

    // --- the run ----------------------------------------------------------------------------------------------------

    fn turn(&mut self) -> io::Result<()> {
        if self.random.in_thousand(25) && !self.turn_start.is_empty() {
            self.parent.clone_from(&self.turn_start);
            self.made.rewinds += 1;
        }
        self.turn_start.clone_from(&self.parent);
        self.snapshot()?;
        self.open("user");
        self.line
            .push_str(r#","permissionMode":"acceptEdits","message":{"role":"user","content":""#);
        self.text_of(80);
        self.line.push_str("\"}}");
        self.made.prompts += u64::from(!self.full());
        self.end_line()?;
        let answers = 1 + self.random.below(30);
        for _ in 0..answers {
            if self.full() {
                return Ok(());
            }
            self.answer()?;
        }
        let id = self.short("msg");
        self.block(&id, "text")?;
        self.state()
    }

    fn snapshot(&mut self) -> io::Result<()> {
        let (id, time) = (self.id(), self.tick(5));
        let _ = write!(
            self.line,
            r#"{{"type":"file-history-snapshot","messageId":"{id}","snapshot":{{"messageId":"{id}","trackedFileBackups":{{"src/a.rs":{{"backupFileName":"0a1b2c3d4e5f@v1","version":1,"backupTime":"{time}"}}}},"timestamp":"{time}"}},"isSnapshotUpdate":false}}"#
        );
        self.end_line()
    }

    /// One block of an answer that is no call.
    fn block(&mut self, answer: &str, kind: &str) -> io::Result<()> {
        self.open("assistant");
        let model = self.model;
        let _ = write!(
            self.line,
            r#","message":{{"model":"{model}","id":"{answer}","role":"assistant","content":[{{"type":"{kind}","{kind}":""#
        );
        self.text();
        self.line.push('"');
        if kind == "thinking" {
            self.line.push_str(r#","signature":"EvwDCkYICxgCKkBQ""#);
        }
        self.end_answer()
    }

    fn end_answer(&mut self) -> io::Result<()> {
        let (a, b) = (self.random.below(3000), self.random.below(90_000));
        let _ = write!(
            self.line,
            r#"}}],"usage":{{"input_tokens":3,"cache_creation_input_tokens":{a},"cache_read_input_tokens":{b},"output_tokens":{}}}}}}}"#,
            a / 4
        );
        self.end_line()
    }

    fn answer(&mut self) -> io::Result<()> {
        let id = self.short("msg");
        if self.random.in_thousand(430) {
            self.block(&id, "thinking")?;
        }
        if self.random.in_thousand(380) {
            self.block(&id, "text")?;
        }
        let calls = 1 + u64::from(self.random.in_thousand(68));
        for _ in 0..calls {
            if self.full() {
                return Ok(());
            }
            self.made.calls += 1;
            match self.random.below(1000) {
                0..42 => self.edit(&id)?,
                42..46 => self.write(&id)?,
                46..54 => self.read(&id)?,
                54..70 => self.task(&id)?,
                70..400 => self.plain(&id, "Grep", "pattern")?,
                _ => self.plain(&id, "Bash", "command")?,
            }
        }
        Ok(())
    }

    fn open_call(&mut self, answer: &str, call: &str, tool: &str) {
        self.open("assistant");
        let model = self.model;
        let _ = write!(
            self.line,
            r#","message":{{"model":"{model}","id":"{answer}","role":"assistant","content":[{{"type":"tool_use","id":"{call}","name":"{tool}","input":"#
        );
    }

    fn open_result(&mut self, call: &str) {
        self.open("user");
        let _ = write!(
            self.line,
            r#","message":{{"role":"user","content":[{{"tool_use_id":"{call}","type":"tool_result","content":""#
        );
    }

    /// A call that says nothing about files.
    fn plain(&mut self, answer: &str, tool: &str, argument: &str) -> io::Result<()> {
        let call = self.short("toolu");
        self.open_call(answer, &call, tool);
        let _ = write!(self.line, r#"{{"{argument}":""#);
        self.text_of(25);
        self.line.push_str("\"}");
        self.end_answer()?;
        if tool == "Bash" {
            let news = self.random.below(5);
            for n in 0..news {
                self.open("progress");
                let _ = write!(
                    self.line,
                    r#","data":{{"type":"bash_progress","output":"","elapsedTimeSeconds":{n},"totalLines":0}},"toolUseID":"bash-progress-{n}","parentToolUseID":"{call}"}}"#
                );
                self.end_line()?;
            }
        }
        if self.random.in_thousand(130) {
            self.open("attachment");
            let _ = write!(
                self.line,
                r#","attachment":{{"type":"hook_success","hookName":"PostToolUse:{tool}","toolUseID":"{call}","hookEvent":"PostToolUse","content":"","stdout":"","stderr":"","exitCode":0,"durationMs":12}}}}"#
            );
            self.end_line()?;
        }
        let failed = self.random.in_thousand(50);
        self.open_result(&call);
        match self.long {
            Some(long) if self.made.lines >= self.want.0 / 2 && tool == "Bash" => {
                self.long = None;
                self.text_of(usize::try_from(long).unwrap_or(0));
                self.want.1 += long;
                self.scaled += long;
            }
            _ if failed => self.line.push_str("Exit code 1\\nno such file"),
            _ => self.text(),
        }
        let _ = write!(self.line, r#"","is_error":{failed}}}]}}"#);
        self.line.push_str(if failed {
            r#","toolUseResult":"Error: Exit code 1"}"#
        } else {
            r#","toolUseResult":{"stdout":"","stderr":"","interrupted":false,"isImage":false}}"#
        });
        self.end_line()
    }

    /// A call that starts another agent, whose messages are news of the call.
    fn task(&mut self, answer: &str) -> io::Result<()> {
        let (call, agent) = (
            self.short("toolu"),
            format!("a{:06x}", self.random.below(1 << 24)),
        );
        self.open_call(answer, &call, "Task");
        self.line
            .push_str(r#"{"description":"Look around","subagent_type":"Explore","prompt":""#);
        self.text_of(200);
        self.line.push_str("\"}");
        self.end_answer()?;
        let steps = 1 + self.random.below(10);
        for _ in 0..steps {
            let (inner, id) = (self.short("toolu"), self.short("msg"));
            for (kind, open, close) in [
                (
                    "assistant",
                    format!(
                        r#""id":"{id}","role":"assistant","content":[{{"type":"tool_use","id":"{inner}","name":"Grep","input":{{"pattern":""#
                    ),
                    "\"}}]",
                ),
                (
                    "user",
                    format!(
                        r#""role":"user","content":[{{"type":"tool_result","tool_use_id":"{inner}","content":""#
                    ),
                    "\"}]",
                ),
            ] {
                self.open("progress");
                let (uuid, time) = (self.id(), self.tick(900));
                let _ = write!(
                    self.line,
                    r#","data":{{"type":"agent_progress","agentId":"{agent}","message":{{"type":"{kind}","uuid":"{uuid}","timestamp":"{time}","message":{{{open}"#
                );
                self.text_of(40);
                let _ = write!(
                    self.line,
                    r#"{close}}}}},"prompt":""}},"toolUseID":"agent_{id}","parentToolUseID":"{call}"}}"#
                );
                self.end_line()?;
            }
        }
        self.open_result(&call);
        self.text();
        let _ = write!(
            self.line,
            r#""}}]}},"toolUseResult":{{"status":"completed","agentId":"{agent}","agentType":"Explore","totalToolUseCount":{steps}}}}}"#
        );
        self.end_line()
    }

    /// Lines at the end of a turn.
    fn state(&mut self) -> io::Result<()> {
        self.open("system");
        self.line.push_str(r#","subtype":"stop_hook_summary","hookCount":1,"hookErrors":[],"preventedContinuation":false,"stopReason":"","hasOutput":false,"level":"suggestion"}"#);
        self.end_line()?;
        self.open("system");
        let ms = self.random.below(900_000);
        let _ = write!(
            self.line,
            r#","subtype":"turn_duration","durationMs":{ms},"isMeta":false}}"#
        );
        self.end_line()?;
        let leaf = self.parent.clone();
        let _ = write!(
            self.line,
            r#"{{"type":"last-prompt","leafUuid":"{leaf}","sessionId":"5e551011"}}"#
        );
        self.end_line()?;
        self.line.push_str(
            r#"{"type":"ai-title","aiTitle":"Make the parser faster","sessionId":"5e551011"}"#,
        );
        self.end_line()
    }

    // --- files ------------------------------------------------------------------------------------------------------

    fn path(&mut self) -> String {
        format!("{CWD}/src/part_{:02}.rs", self.random.below(16))
    }

    fn source(&mut self) -> String {
        let mut text = String::from("//! A part of it.\n\n");
        for _ in 0..8 + self.random.below(12) {
            let n = self.unique();
            let _ = writeln!(text, "fn step_{n}(at: usize) -> usize {{ at + {n} }}");
        }
        text
    }

    fn unique(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Keeps what a line says that a file holds now.
    fn tell(&mut self, path: &str, text: &str) {
        let file = self.seen.entry(path.to_owned()).or_default();
        text.clone_into(&mut file.text);
        text.clone_into(&mut file.told);
    }

    fn write(&mut self, answer: &str) -> io::Result<()> {
        let path = self.path();
        let old = self.seen.get(&path).map(|f| f.text.clone());
        let new = self.source();
        let call = self.short("toolu");
        self.open_call(answer, &call, "Write");
        let _ = write!(
            self.line,
            r#"{{"file_path":"{path}","content":{}}}"#,
            json(&new)
        );
        self.end_answer()?;
        self.open_result(&call);
        let kind = if old.is_some() { "update" } else { "create" };
        let _ = write!(
            self.line,
            r#"done"}}]}},"toolUseResult":{{"type":"{kind}","filePath":"{path}","content":{},"structuredPatch":[],"originalFile":{}}}}}"#,
            json(&new),
            old.as_deref().map_or("null".to_owned(), json)
        );
        self.changed(&path, &new)
    }

    /// Ends the line that tells a change.
    fn changed(&mut self, path: &str, new: &str) -> io::Result<()> {
        if !self.full() {
            self.made.changes += 1;
            self.tell(path, new);
        }
        self.end_line()
    }

    fn edit(&mut self, answer: &str) -> io::Result<()> {
        let path = self.path();
        let Some(file) = self.seen.get(&path) else {
            return self.write(answer);
        };
        let mut old = file.text.clone();
        // Now and then something that no line tells has changed the file.
        let outside = self.random.in_thousand(80);
        if outside {
            let n = self.unique();
            let _ = writeln!(old, "// formatted {n}");
        }
        let lines: Vec<&str> = old.lines().collect();
        let at = 2 + self.random.below(lines.len() as u64 - 2);
        let at = usize::try_from(at).unwrap_or(2);
        let from = lines[at].to_owned();
        let n = self.unique();
        let to = match self.random.below(4) {
            0 if lines.len() > 6 => String::new(),
            1 if lines.len() < 40 => {
                format!("{from}\nfn also_{n}() -> usize {{ {n} }}")
            }
            _ => format!("fn step_{n}(at: usize) -> usize {{ at - {n} }}"),
        };
        // As the tool does it: nothing in place of a line takes the line's end as well.
        let new = if to.is_empty() {
            old.replacen(&format!("{from}\n"), "", 1)
        } else {
            old.replacen(&from, &to, 1)
        };
        let (jfrom, jto) = (json(&from), json(&to));
        let call = self.short("toolu");
        self.open_call(answer, &call, "Edit");
        let _ = write!(
            self.line,
            r#"{{"replace_all":false,"file_path":"{path}","old_string":{jfrom},"new_string":{jto}}}"#
        );
        self.end_answer()?;
        self.open_result(&call);
        let (a, b) = (lines.len(), new.lines().count());
        let _ = write!(
            self.line,
            r#"done"}}]}},"toolUseResult":{{"filePath":"{path}","oldString":{jfrom},"newString":{jto},"originalFile":{},"structuredPatch":[{{"oldStart":1,"oldLines":{a},"newStart":1,"newLines":{b},"lines":[]}}],"userModified":false,"replaceAll":false}}}}"#,
            json(&old)
        );
        self.made.outside += u64::from(outside && !self.full());
        self.changed(&path, &new)
    }

    fn read(&mut self, answer: &str) -> io::Result<()> {
        let path = self.path();
        let Some(file) = self.seen.get(&path) else {
            return self.plain(answer, "Grep", "pattern");
        };
        let text = json(&file.text);
        let lines = file.text.split('\n').count();
        let call = self.short("toolu");
        self.open_call(answer, &call, "Read");
        let _ = write!(self.line, r#"{{"file_path":"{path}"}}"#);
        self.end_answer()?;
        self.open_result(&call);
        let _ = write!(
            self.line,
            r#"shown"}}]}},"toolUseResult":{{"type":"text","file":{{"filePath":"{path}","content":{text},"numLines":{lines},"startLine":1,"totalLines":{lines}}}}}}}"#
        );
        self.end_line()
    }
}

/// A text as JSON.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Milliseconds since 1970 as the transcripts write them.
fn stamp(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    // Days to a date of the civil calendar, in eras of 400 years that begin in March.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (s, milli) = (rest / 1000, rest % 1000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{milli:03}Z",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}
