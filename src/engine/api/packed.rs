//! Rows in few bytes: a page of them column by column, compressed. So they cross the socket, and so the screen keeps those
//! of a million that are not looked at.
//!
//! The encoding is not kept on disk; an engine and a program of other versions say so by [`VERSION`]. Whatever the bytes are,
//! reading them gives rows or an error: nothing is allocated by a claimed length.

use serde::{Deserialize, Serialize};

use crate::model::{
    Bytes, CallKind, CommitId, Ordinal, SessionId, Status, StepId, StepKind, Talk, Time, Tokens,
};

use super::{Effect, Row};

/// Of the encoding.
const VERSION: u8 = 1;

/// Longest page before it is compressed: five thousand rows whose titles are as long as can be are shorter.
const LONGEST: usize = 64 << 20;

/// Fast: a page is made for every question.
const LEVEL: i32 = 1;

/// A page of rows, packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRows {
    /// See [`unpack`].
    pub rows: Bytes,
    /// The first step that was looked at, whether it is a row or not: the page before this one ends there. `None` when
    /// there is none before it.
    pub from: Option<Ordinal>,
    /// Steps in all.
    pub total: u64,
}

/// Why bytes are no rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Of another version of the program.
    #[error(
        "rows of version {0} were given, {VERSION} is understood; end the engine of the other version"
    )]
    Version(u8),
    /// Damaged, or not rows at all.
    #[error("rows were given that cannot be read: {0}")]
    Bad(&'static str),
}

use UnpackError::Bad;

const KINDS: [StepKind; 8] = [
    StepKind::Prompt,
    StepKind::Thought,
    StepKind::Message,
    StepKind::Call,
    StepKind::Fs,
    StepKind::Outside,
    StepKind::Marker,
    StepKind::Unknown,
];

/// The number of a kind in a byte.
pub(crate) fn kind_code(kind: StepKind) -> u8 {
    match kind {
        StepKind::Prompt => 0,
        StepKind::Thought => 1,
        StepKind::Message => 2,
        StepKind::Call => 3,
        StepKind::Fs => 4,
        StepKind::Outside => 5,
        StepKind::Marker => 6,
        StepKind::Unknown => 7,
    }
}

/// The kind of that number.
pub(crate) fn kind_of(code: u8) -> StepKind {
    let kind = KINDS.get(usize::from(code)).copied();
    kind.unwrap_or(StepKind::Unknown)
}

const CALLS: [CallKind; 10] = [
    CallKind::Read,
    CallKind::Edit,
    CallKind::Delete,
    CallKind::Move,
    CallKind::Search,
    CallKind::Execute,
    CallKind::Fetch,
    CallKind::Think,
    CallKind::Agent,
    CallKind::Other,
];

fn call_code(call: CallKind) -> u8 {
    match call {
        CallKind::Read => 0,
        CallKind::Edit => 1,
        CallKind::Delete => 2,
        CallKind::Move => 3,
        CallKind::Search => 4,
        CallKind::Execute => 5,
        CallKind::Fetch => 6,
        CallKind::Think => 7,
        CallKind::Agent => 8,
        CallKind::Other => 9,
    }
}

const STATUSES: [Status; 5] = [
    Status::None,
    Status::Running,
    Status::Ok,
    Status::Error,
    Status::Aborted,
];

/// The number of a status in a byte.
pub(crate) fn status_code(status: Status) -> u8 {
    match status {
        Status::None => 0,
        Status::Running => 1,
        Status::Ok => 2,
        Status::Error => 3,
        Status::Aborted => 4,
    }
}

/// The status of that number.
pub(crate) fn status_of(code: u8) -> Status {
    let status = STATUSES.get(usize::from(code)).copied();
    status.unwrap_or_default()
}

/// Packs rows.
#[must_use]
pub fn pack(rows: &[Row]) -> Vec<u8> {
    let mut w = Writer::default();
    w.number(rows.len() as u64);
    for row in rows {
        w.bytes.extend_from_slice(&row.step.0);
    }
    let mut last = 0_u64;
    for row in rows {
        w.signed(row.ordinal.major.wrapping_sub(last).cast_signed());
        last = row.ordinal.major;
        w.number(row.ordinal.minor.into());
    }
    w.sessions(rows);
    for row in rows {
        w.bytes.extend([
            kind_code(row.kind),
            call_code(row.call),
            status_code(row.status),
        ]);
    }
    for row in rows {
        w.text(&row.tool);
    }
    for row in rows {
        w.text(&row.title);
    }
    let mut clock = 0_i64;
    for row in rows {
        w.signed(row.time.0.wrapping_sub(clock));
        clock = row.time.0;
        w.option(row.end, |w, end| w.signed(end.0.wrapping_sub(row.time.0)));
    }
    for row in rows {
        w.option(row.exit_code, |w, code| w.signed(code.into()));
        w.number(row.turn.into());
        w.number(row.line.into());
        w.option(row.from_line, |w, line| w.number(line.into()));
    }
    w.commits(rows);
    for row in rows {
        w.number(row.commits.into());
        w.option(row.effect, |w, effect| {
            for n in [effect.files, effect.added, effect.removed] {
                w.number(n.into());
            }
        });
        w.number(row.labels.len() as u64);
        for label in &row.labels {
            w.text(label);
        }
    }
    for row in rows {
        w.talk(&row.talk);
    }
    let raw = w.bytes;
    let mut out = vec![VERSION];
    out.extend_from_slice(&u32::try_from(raw.len()).unwrap_or(u32::MAX).to_le_bytes());
    // It fails for want of memory only, and then what was written is not read as rows.
    out.extend(zstd::bulk::compress(&raw, LEVEL).unwrap_or_default());
    out
}

/// Reads what [`pack`] made.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Row>, UnpackError> {
    let (head, packed) = bytes.split_first_chunk::<5>().ok_or(Bad("it is cut off"))?;
    let [version, len @ ..] = *head;
    if version != VERSION {
        return Err(UnpackError::Version(version));
    }
    let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
    // A frame of so many bytes cannot hold more; what it claims is not taken on trust.
    if len > LONGEST || len > packed.len().saturating_mul(32_768) {
        return Err(Bad("it is too long"));
    }
    let raw = zstd::bulk::decompress(packed, len).map_err(|_| Bad("it is damaged"))?;
    Reader { rest: &raw }.rows()
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n.to_le_bytes()[0] | 0x80);
            n >>= 7;
        }
        self.bytes.push(n.to_le_bytes()[0]);
    }

    fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)).cast_unsigned());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bytes.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Each session once, then which one each row is of.
    fn sessions(&mut self, rows: &[Row]) {
        let mut all: Vec<SessionId> = Vec::new();
        let mut which = Vec::with_capacity(rows.len());
        for row in rows {
            which.push(row.session.map_or(0, |id| {
                let at = all.iter().rposition(|s| *s == id);
                let at = at.unwrap_or_else(|| {
                    all.push(id);
                    all.len() - 1
                });
                at as u64 + 1
            }));
        }
        self.number(all.len() as u64);
        for id in all {
            self.bytes.extend_from_slice(&id.0);
        }
        for n in which {
            self.number(n);
        }
    }

    /// A commit's parent is most often the commit before it.
    fn commits(&mut self, rows: &[Row]) {
        let mut last: Option<CommitId> = None;
        for row in rows {
            for id in [row.parent, row.commit] {
                match id {
                    None => self.bytes.push(0),
                    Some(id) if last == Some(id) => self.bytes.push(1),
                    Some(id) => {
                        self.bytes.push(2);
                        self.bytes.extend_from_slice(&id.0);
                    }
                }
                last = id.or(last);
            }
        }
    }

    fn talk(&mut self, talk: &Talk) {
        let Talk {
            answer,
            thread,
            depth,
            child,
            dead,
            tokens,
        } = *talk;
        if talk.is_plain() {
            self.bytes.push(0);
            return;
        }
        self.bytes.push(1 | u8::from(dead) << 1);
        self.number(answer.into());
        self.number(thread.into());
        self.bytes.push(depth);
        self.option(child, |w, child| w.number(child.into()));
        self.option(tokens, |w, tokens| {
            for n in [
                tokens.input,
                tokens.output,
                tokens.cache_read,
                tokens.cache_write,
            ] {
                w.number(n);
            }
        });
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

type Read<T> = Result<T, UnpackError>;

impl Reader<'_> {
    fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Bad("it is cut off"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Read<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Bad("a number is too long"))
    }

    fn short(&mut self) -> Read<u32> {
        u32::try_from(self.number()?).map_err(|_| Bad("a number is too large"))
    }

    fn signed(&mut self) -> Read<i64> {
        let n = self.number()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        match self.byte()? {
            0 => Ok(None),
            _ => read(self).map(Some),
        }
    }

    fn id(&mut self) -> Read<[u8; 32]> {
        let (id, rest) = self.rest.split_first_chunk().ok_or(Bad("it is cut off"))?;
        self.rest = rest;
        Ok(*id)
    }

    fn text(&mut self) -> Read<String> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (text, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(Bad("it is cut off"))?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| Bad("a text is not UTF-8"))
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Read<usize> {
        let n = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if n > self.rest.len() / least {
            return Err(Bad("it is cut off"));
        }
        Ok(n)
    }

    fn rows(mut self) -> Read<Vec<Row>> {
        let n = self.count(32)?;
        let mut rows = Vec::with_capacity(n);
        for _ in 0..n {
            rows.push(empty(StepId(self.id()?)));
        }
        let mut last = 0_u64;
        for row in &mut rows {
            last = last.wrapping_add(self.signed()?.cast_unsigned());
            row.ordinal = Ordinal {
                major: last,
                minor: self.short()?,
            };
        }
        let sessions = self.count(32)?;
        let sessions: Vec<SessionId> = (0..sessions)
            .map(|_| self.id().map(SessionId))
            .collect::<Read<_>>()?;
        for row in &mut rows {
            let at = usize::try_from(self.number()?).unwrap_or(usize::MAX);
            row.session = match at.checked_sub(1) {
                None => None,
                Some(at) => Some(*sessions.get(at).ok_or(Bad("no such session"))?),
            };
        }
        for row in &mut rows {
            row.kind = kind_of(self.byte()?);
            let call = CALLS.get(usize::from(self.byte()?)).copied();
            row.call = call.unwrap_or_default();
            row.status = status_of(self.byte()?);
        }
        for row in &mut rows {
            row.tool = self.text()?;
        }
        for row in &mut rows {
            row.title = self.text()?;
        }
        let mut clock = 0_i64;
        for row in &mut rows {
            clock = clock.wrapping_add(self.signed()?);
            row.time = Time(clock);
            let end = self.option(Self::signed)?;
            row.end = end.map(|after| Time(clock.wrapping_add(after)));
        }
        for row in &mut rows {
            let code = self.option(Self::signed)?;
            row.exit_code = code.map(|c| i32::try_from(c).unwrap_or(i32::MAX));
            row.turn = self.short()?;
            row.line = self.short()?;
            row.from_line = self.option(Self::short)?;
        }
        let mut last: Option<CommitId> = None;
        for row in &mut rows {
            for id in [&mut row.parent, &mut row.commit] {
                *id = match self.byte()? {
                    0 => None,
                    1 => last,
                    _ => Some(CommitId(self.id()?)),
                };
                last = id.or(last);
            }
        }
        for row in &mut rows {
            row.commits = self.short()?;
            row.effect = self.option(|r| {
                Ok(Effect {
                    files: r.short()?,
                    added: r.short()?,
                    removed: r.short()?,
                })
            })?;
            let labels = self.count(1)?;
            for _ in 0..labels {
                row.labels.push(self.text()?);
            }
        }
        for row in &mut rows {
            row.talk = self.talk()?;
        }
        Ok(rows)
    }

    fn talk(&mut self) -> Read<Talk> {
        let flags = self.byte()?;
        if flags == 0 {
            return Ok(Talk::default());
        }
        Ok(Talk {
            dead: flags & 2 != 0,
            answer: self.short()?,
            thread: self.short()?,
            depth: self.byte()?,
            child: self.option(Self::short)?,
            tokens: self.option(|r| {
                Ok(Tokens {
                    input: r.number()?,
                    output: r.number()?,
                    cache_read: r.number()?,
                    cache_write: r.number()?,
                })
            })?,
        })
    }
}

fn empty(step: StepId) -> Row {
    Row {
        step,
        ordinal: Ordinal { major: 0, minor: 0 },
        session: None,
        kind: StepKind::Unknown,
        call: CallKind::Other,
        tool: String::new(),
        title: String::new(),
        time: Time(0),
        end: None,
        status: Status::None,
        exit_code: None,
        turn: 0,
        commit: None,
        parent: None,
        commits: 0,
        line: 0,
        from_line: None,
        effect: None,
        labels: Vec::new(),
        talk: Talk::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Row> {
        let ids = (any::<[u8; 32]>(), any::<Option<[u8; 4]>>());
        let words = (any::<String>(), any::<String>(), any::<Vec<String>>());
        let numbers = (
            any::<u64>(),
            any::<u32>(),
            any::<i64>(),
            any::<Option<i64>>(),
            any::<Option<i32>>(),
            any::<Option<u32>>(),
        );
        let small = (0_u8..8, 0_u8..10, 0_u8..5, any::<bool>(), 0_u8..3);
        let tokens = any::<Option<(u64, u64, u64, u64)>>();
        (ids, words, numbers, small, tokens).prop_map(|(ids, words, n, small, tokens)| Row {
            step: StepId(ids.0),
            session: ids.1.map(|b| SessionId::of(&format!("{b:?}"))),
            ordinal: Ordinal {
                major: n.0,
                minor: n.1,
            },
            tool: words.0,
            title: words.1,
            labels: words.2,
            kind: kind_of(small.0),
            call: CALLS[usize::from(small.1)],
            status: status_of(small.2),
            time: Time(n.2),
            end: n.3.map(Time),
            exit_code: n.4,
            turn: n.1 / 7,
            commit: ids.1.map(|b| CommitId::from(blake3::hash(&b))),
            parent: (small.4 > 0).then(|| CommitId::from(blake3::hash(&small.4.to_le_bytes()))),
            commits: u32::from(small.4),
            line: n.1 % 9,
            from_line: n.5,
            effect: n.5.map(|files| Effect {
                files,
                added: n.1,
                removed: 3,
            }),
            talk: Talk {
                answer: n.1 % 5,
                thread: n.1 % 3,
                depth: small.1,
                child: n.5,
                dead: small.3,
                tokens: tokens.map(|t| Tokens {
                    input: t.0,
                    output: t.1,
                    cache_read: t.2,
                    cache_write: t.3,
                }),
            },
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_packed_is_unpacked(rows in proptest::collection::vec(row(), 0..20)) {
            prop_assert_eq!(unpack(&pack(&rows)).unwrap(), rows);
        }

        #[test]
        fn damage_is_an_error_or_rows(
            rows in proptest::collection::vec(row(), 1..6),
            at in any::<prop::sample::Index>(),
            with in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = pack(&rows);
            let place = at.index(bytes.len());
            bytes[place] ^= with;
            let _ = unpack(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(unpack(&bytes).is_err());
        }

        #[test]
        fn so_are_bytes_that_were_never_rows(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Reader { rest: &raw }.rows();
        }
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        let mut bytes = pack(&[]);
        bytes[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack(&bytes).is_err());
        bytes[0] = VERSION + 1;
        assert!(matches!(unpack(&bytes), Err(UnpackError::Version(2))));
    }
}
