//! Which call made a change when nobody told at that moment: the rules, as plain functions over what is known.
//!
//! A transcript's lines come after the changes that they speak of, so the question is asked when a checkpoint is cut, and
//! again when more is known. The evidence, best first:
//!
//! 1. *Content*: the call declared these very bytes for this path.
//! 2. *Process*: the writer, or a process above it, runs the call's command, or was born while only that call could have
//!    started it. That holds for what a command leaves running in the background too, long after its result.
//! 3. *Path*: of the calls open at that time only one names the path. An edit tool writes the paths that it names (and
//!    temporary files beside them) and no others, and it writes them in the agent's own process.
//! 4. *Time*: what is left, with little confidence where several calls are.
//!
//! A change by a process outside the session is never a call's, whatever the time says. Times of calls are those in the
//! transcript (when a line was made), never those of its arrival; both clocks are this machine's.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::model::{BlobId, CallKind, LinkRule, SessionId, StepId, Time};

/// How far apart two clocks of one machine may be, in microseconds: those of file systems and process tables tick slowly.
pub const SLACK: i64 = 50_000;
/// Longest command text that is compared.
pub const COMMAND: usize = 8 << 10;
/// No more sure than this is nothing but a guess.
pub const GUESS: u8 = 30;
/// A declared content may be found a while after its call's end.
const CONTENT_WITHIN: i64 = 5_000_000;

/// A call as far as linking needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Its step.
    pub step: StepId,
    /// Its session.
    pub session: SessionId,
    /// The cgroup of the `run` that the session belongs to; empty while that is not known.
    pub host: String,
    /// The subagent that called; 0 for the main agent.
    pub thread: u32,
    /// The model's answer that it is part of: calls of one answer may run at the same time, others do not.
    pub answer: u32,
    /// What kind of call.
    pub kind: CallKind,
    /// Paths that it names, relative to the project.
    pub paths: Vec<String>,
    /// Its command, [`squeezed`]; empty where it has none.
    pub command: String,
    /// The contents that it declares, by path.
    pub contents: Vec<(String, BlobId)>,
    /// When it was made.
    pub start: Time,
    /// When its result was made.
    pub end: Option<Time>,
}

/// A process that may have started a writer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it was born.
    pub born: Time,
    /// Its command line, [`squeezed`].
    pub command: String,
}

/// What one process did at one path in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Begin.
    pub first: Time,
    /// End.
    pub last: Time,
    /// Its cgroup; empty when not known.
    pub cgroup: String,
    /// The writer and those that it descends from, the writer first, as far as they are in its session's cgroup. Empty
    /// when it was gone before it was looked at.
    pub line: Arc<[Process]>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The call's step.
    pub step: StepId,
    /// Its session.
    pub session: SessionId,
    /// The rule that decided.
    pub rule: LinkRule,
    /// 0 to 100.
    pub sure: u8,
    /// The call has no known end: it may have ended long before, and the change be that of a call not told yet.
    pub open: bool,
}

impl Verdict {
    /// Whether more that is told later may well say otherwise.
    #[must_use]
    pub fn is_shaky(&self) -> bool {
        self.sure < 60 || (self.open && self.sure < 99)
    }
}

/// A command as it can be compared: without white space and whatever shells and formats add to quote it.
#[must_use]
pub fn squeezed(text: &str) -> String {
    let mut out: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '\'' | '"' | '\\'))
        .take(COMMAND)
        .collect();
    out.shrink_to_fit();
    out
}

/// Whether a process with the command line `process` runs `command`, both squeezed: a shell that was given it, or the
/// program that a simple command became.
#[must_use]
pub fn runs(process: &str, command: &str) -> bool {
    (command.len() >= 2 && process.contains(command))
        || (process.len() >= 6 && command.contains(process))
}

/// Whether a call of this kind changes files of the project by itself.
#[must_use]
pub fn may_change(kind: CallKind) -> bool {
    !matches!(
        kind,
        CallKind::Read | CallKind::Search | CallKind::Fetch | CallKind::Think
    )
}

fn is_edit(deed: &Deed) -> bool {
    matches!(
        deed.kind,
        CallKind::Edit | CallKind::Delete | CallKind::Move
    ) && !deed.paths.is_empty()
}

/// Whether an edit tool that names `named` may write `path`: it, or a temporary file beside it whose name holds the
/// file's name.
fn edits(named: &str, path: &str) -> bool {
    if named == path {
        return true;
    }
    let split = |p: &str| {
        p.rsplit_once('/')
            .map_or((String::new(), p.to_owned()), |(d, n)| {
                (d.to_owned(), n.to_owned())
            })
    };
    let ((dir, name), (of, other)) = (split(named), split(path));
    dir == of && !name.is_empty() && other.len() > name.len() && other.contains(&name)
}

/// Whether the act's time lies in the call's, give or take `slack`.
fn in_time(deed: &Deed, end: Option<Time>, act: &Act, slack: i64) -> bool {
    act.last.0 >= deed.start.0 - slack && end.is_none_or(|e| act.first.0 <= e.0 + slack)
}

fn born_in(deed: &Deed, end: Option<Time>, process: &Process) -> bool {
    process.born.0 >= deed.start.0 - SLACK && end.is_none_or(|e| process.born.0 <= e.0 + SLACK)
}

/// When a call must have ended at the latest: its result, or the first call of a later answer of the same agent, which
/// the model makes only when it has all results.
fn latest_end(deed: &Deed, all: &[Deed]) -> Option<Time> {
    deed.end.or_else(|| {
        all.iter()
            .filter(|d| d.session == deed.session && d.thread == deed.thread)
            .filter(|d| d.answer > deed.answer && d.start >= deed.start)
            .map(|d| d.start)
            .min()
    })
}

/// Whether a process in cgroup `of` belongs to the session whose cgroup is `host`; while that is not known, it may.
fn may_belong(of: &str, host: &str) -> bool {
    host.is_empty() || of.is_empty() || super::calls::within(of, host)
}

/// A call that may have made the change, with when it ended at the latest.
#[derive(Clone, Copy)]
struct Able<'a> {
    deed: &'a Deed,
    end: Option<Time>,
}

impl Able<'_> {
    fn holds(&self, act: &Act, slack: i64) -> bool {
        in_time(self.deed, self.end, act, slack)
    }

    fn verdict(&self, rule: LinkRule, sure: u8) -> Option<Verdict> {
        Some(Verdict {
            step: self.deed.step,
            session: self.deed.session,
            rule,
            sure,
            open: self.end.is_none(),
        })
    }
}

/// Which of `deeds` made the change of `path` that `acts` are all the traces of (oldest first), when it became `after`.
/// What a path holds in the end is the work of the last act. If no call explains that one, an earlier one's call is no
/// more than a guess.
#[must_use]
pub fn judge(path: &str, acts: &[Act], after: Option<BlobId>, deeds: &[Deed]) -> Option<Verdict> {
    let able: Vec<Able<'_>> = deeds
        .iter()
        .filter(|d| may_change(d.kind))
        .filter(|d| !is_edit(d) || d.paths.iter().any(|p| edits(p, path)))
        .map(|deed| Able {
            deed,
            end: latest_end(deed, deeds),
        })
        .collect();
    acts.iter().rev().enumerate().find_map(|(i, act)| {
        let at_home = |a: &Able<'_>| may_belong(&act.cgroup, &a.deed.host);
        let able: Vec<Able<'_>> = able.iter().copied().filter(at_home).collect();
        by_content(path, act, after, &able)
            .or_else(|| by_process(path, act, &able))
            .or_else(|| by_path_and_time(path, act, &able))
            .map(|v| Verdict {
                sure: if i == 0 { v.sure } else { v.sure.min(GUESS) },
                ..v
            })
    })
}

fn by_content(path: &str, act: &Act, after: Option<BlobId>, able: &[Able<'_>]) -> Option<Verdict> {
    let after = after?;
    let mut declaring = able.iter().filter(|a| {
        a.holds(act, CONTENT_WITHIN)
            && act.last.0 >= a.deed.start.0 - SLACK
            && a.deed
                .contents
                .iter()
                .any(|(p, blob)| p == path && *blob == after)
    });
    match (declaring.next(), declaring.next()) {
        (Some(one), None) => one.verdict(LinkRule::Content, 99),
        _ => None,
    }
}

fn by_process(path: &str, act: &Act, able: &[Able<'_>]) -> Option<Verdict> {
    // From the outermost process down: what a command started belongs to the command.
    for process in act.line.iter().rev() {
        let fitting: Vec<Able<'_>> = able
            .iter()
            .copied()
            .filter(|a| !is_edit(a.deed) && a.deed.kind != CallKind::Agent)
            .filter(|a| born_in(a.deed, a.end, process))
            .collect();
        let running: Vec<Able<'_>> = fitting
            .iter()
            .copied()
            .filter(|a| runs(&process.command, &a.deed.command))
            .collect();
        match (running.as_slice(), fitting.as_slice()) {
            (_, []) => {}
            ([one], _) => return one.verdict(LinkRule::Process, 99),
            // A call whose result is not known may have ended long before.
            ([], [one]) => {
                // One that was born a little after may be the next call's, which is not told yet.
                let surely = one.end.is_some_and(|e| process.born <= e);
                let sure = if surely { 95 } else { 85 };
                return one.verdict(LinkRule::Process, sure);
            }
            ([], several) => {
                let mut named = several.iter().filter(|a| names(a.deed, path));
                return match (named.next(), named.next()) {
                    (Some(one), None) => one.verdict(LinkRule::Path, 85),
                    _ => in_turn(several, act),
                };
            }
            // The same command several times.
            (several, _) => return in_turn(several, act),
        }
    }
    None
}

fn names(deed: &Deed, path: &str) -> bool {
    if deed.paths.iter().any(|p| edits(p, path)) {
        return true;
    }
    let name = path.rsplit_once('/').map_or(path, |(_, n)| n);
    name.len() >= 3 && deed.command.contains(&squeezed(name))
}

/// One of several that fit: of the latest answer's the first one that has not ended before the act, as an agent that does
/// one thing after the other would have it.
fn in_turn(several: &[Able<'_>], act: &Act) -> Option<Verdict> {
    several
        .iter()
        .max_by_key(|a| {
            (
                a.deed.start.0 <= act.last.0,
                a.end.is_none_or(|e| e.0 >= act.last.0),
                a.deed.answer,
                Reverse(a.deed.start),
            )
        })?
        .verdict(LinkRule::Time, 40)
}

fn by_path_and_time(path: &str, act: &Act, able: &[Able<'_>]) -> Option<Verdict> {
    let within = |slack| -> Vec<Able<'_>> {
        able.iter()
            .copied()
            .filter(|a| a.holds(act, slack))
            .collect()
    };
    let near = within(SLACK);
    for (set, less) in [(within(0), 0), (near.clone(), 5)] {
        let pick = |of: &dyn Fn(&Able<'_>) -> bool| -> Vec<Able<'_>> {
            set.iter().copied().filter(|a| of(a)).collect()
        };
        let exactly = pick(&|a| a.deed.paths.iter().any(|p| p == path));
        let named = pick(&|a| names(a.deed, path));
        match (exactly.as_slice(), named.as_slice()) {
            ([one], _) => return one.verdict(LinkRule::Path, 92 - less),
            ([], [one]) => return one.verdict(LinkRule::Path, 85 - less),
            ([], []) => {}
            ([], several) | (several, _) => return in_turn(several, act),
        }
    }
    // An agent's own call spans all that its subagent does: only if nothing else was going on.
    let (outer, mut rest): (Vec<_>, Vec<_>) = near
        .into_iter()
        .partition(|a| a.deed.kind == CallKind::Agent);
    if rest.is_empty() {
        rest = outer;
    }
    match rest.as_slice() {
        [] => None,
        [one] => {
            let sure = match one.deed.kind {
                // What a command does is done by a process that it started.
                CallKind::Execute if !act.line.is_empty() => GUESS,
                CallKind::Agent => 50,
                _ => 60,
            };
            one.verdict(LinkRule::Time, sure)
        }
        several => in_turn(several, act),
    }
}

/// How much an act speaks for the call's session being at home in the act's cgroup; 0 for nothing.
#[must_use]
pub fn vouches(deed: &Deed, path: &str, act: &Act) -> u32 {
    let by_command = !deed.command.is_empty()
        && act
            .line
            .iter()
            .any(|p| born_in(deed, deed.end, p) && runs(&p.command, &deed.command));
    if by_command {
        return 4;
    }
    let by_path = is_edit(deed)
        && deed.paths.iter().any(|p| p == path)
        && in_time(deed, deed.end, act, SLACK);
    u32::from(by_path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const CG: &str = "/bt-a";

    fn deed(name: &str, kind: CallKind, start: i64, end: Option<i64>) -> Deed {
        let session = SessionId::of("s");
        Deed {
            step: StepId::of(session, name),
            session,
            host: CG.into(),
            thread: 0,
            answer: 1,
            kind,
            paths: Vec::new(),
            command: String::new(),
            contents: Vec::new(),
            start: Time(start * 1000),
            end: end.map(|e| Time(e * 1000)),
        }
    }

    fn bash(name: &str, command: &str, start: i64, end: Option<i64>) -> Deed {
        Deed {
            command: squeezed(command),
            ..deed(name, CallKind::Execute, start, end)
        }
    }

    fn edit(name: &str, path: &str, start: i64, end: Option<i64>) -> Deed {
        Deed {
            paths: vec![path.into()],
            ..deed(name, CallKind::Edit, start, end)
        }
    }

    fn process(born: i64, command: &str) -> Process {
        Process {
            pid: 7,
            born: Time(born * 1000),
            command: squeezed(command),
        }
    }

    /// An act at `at` milliseconds by a process below the agent (or by the agent itself).
    fn act(at: i64, by: &[Process]) -> Act {
        let mut line = by.to_vec();
        line.push(process(-100_000, "node claude -p run: sed -i s/a/b/ f.txt"));
        Act {
            first: Time(at * 1000),
            last: Time(at * 1000),
            cgroup: CG.into(),
            line: line.into(),
        }
    }

    fn found(path: &str, act: Act, deeds: &[Deed]) -> Option<(String, LinkRule)> {
        let v = judge(path, &[act], None, deeds)?;
        let name = ["a", "b", "c"]
            .into_iter()
            .find(|n| StepId::of(SessionId::of("s"), n) == v.step)
            .unwrap();
        Some((name.into(), v.rule))
    }

    fn is(name: &str, rule: LinkRule) -> Option<(String, LinkRule)> {
        Some((name.into(), rule))
    }

    #[test]
    fn a_process_tells_its_call() {
        let quick = "bash -c -l eval 'sed -i s/a/b/ f.txt'";
        let a = bash("a", "sed -i \"s/a/b/\" f.txt", 0, Some(1000));
        let b = bash("b", "make fmt", 1, Some(2000));
        let both = [a, b];
        let by = |p: &str| act(500, &[process(20, p)]);
        assert_eq!(found("f.txt", by(quick), &both), is("a", LinkRule::Process));
        assert_eq!(
            found("x", by("sh -c make fmt"), &both),
            is("b", LinkRule::Process)
        );
        // It became another program.
        assert_eq!(
            found("y", by("sed -i s/a/b/ f.txt"), &both),
            is("a", LinkRule::Process)
        );
        // Born in the second one's time only.
        let late = act(1500, &[process(1400, "rustfmt")]);
        assert_eq!(found("z", late, &both), is("b", LinkRule::Process));
    }

    #[test]
    fn what_goes_on_in_the_background_belongs_to_who_started_it() {
        let a = bash("a", "(sleep 3; echo > log) &", 0, Some(100));
        let b = Deed {
            answer: 2,
            ..bash("b", "sleep 60", 2000, None)
        };
        let late = act(3000, &[process(2900, "cp x log"), process(20, "bash")]);
        assert_eq!(found("log", late, &[a, b]), is("a", LinkRule::Process));
    }

    #[test]
    fn edit_tools_write_what_they_name() {
        let a = edit("a", "src/a.rs", 0, Some(100));
        let b = edit("b", "src/b.rs", 1, Some(200));
        let c = bash("c", "cargo build", 0, None);
        let all = [a, b, c];
        assert_eq!(
            found("src/b.rs", act(50, &[]), &all),
            is("b", LinkRule::Path)
        );
        assert_eq!(
            found("src/a.rs.tmp.7", act(50, &[]), &all),
            is("a", LinkRule::Path)
        );
        // Nobody names it: what is left is the command.
        assert_eq!(found("out/x", act(50, &[]), &all), is("c", LinkRule::Time));
        let guess = judge("out/x", &[act(50, &[])], None, &all).unwrap();
        assert_eq!(guess.sure, GUESS, "commands have processes of their own");
        assert_eq!(found("out/x", act(50, &[]), &all[..2]), None);
        assert_eq!(found("src/a.rs", act(400, &[]), &all[..2]), None);
    }

    #[test]
    fn edits_of_one_file_one_after_the_other() {
        let a = edit("a", "f", 0, Some(90));
        let b = Deed {
            answer: 2,
            ..edit("b", "f", 100, Some(200))
        };
        let both = [a.clone(), b.clone()];
        assert_eq!(found("f", act(80, &[]), &both), is("a", LinkRule::Path));
        assert_eq!(found("f", act(110, &[]), &both), is("b", LinkRule::Path));
        // The first one's result has not come yet, but a later answer has.
        let open = [
            Deed {
                end: None,
                ..a.clone()
            },
            b,
        ];
        assert_eq!(found("f", act(180, &[]), &open), is("b", LinkRule::Path));
        // In one answer, not ended: in their turn.
        let c = edit("c", "f", 1, Some(300));
        assert_eq!(
            found("f", act(80, &[]), &[a.clone(), c.clone()]),
            is("a", LinkRule::Time)
        );
        assert_eq!(found("f", act(95, &[]), &[a, c]), is("c", LinkRule::Path));
    }

    #[test]
    fn another_act_of_a_path_is_another_call() {
        let a = bash("a", "mv x f", 0, Some(100));
        let mv = act(50, &[process(20, "mv x f")]);
        let sed = act(250, &[process(240, "sed -i s/a/b/ f")]);
        let both = [mv, sed];
        let early = judge("f", &both, None, std::slice::from_ref(&a)).unwrap();
        assert_eq!(
            (early.step, early.sure),
            (a.step, GUESS),
            "no more is told yet"
        );
        let b = Deed {
            answer: 2,
            ..bash("b", "sed -i s/a/b/ f", 230, None)
        };
        let later = judge("f", &both, None, &[a, b.clone()]).unwrap();
        assert_eq!((later.step, later.sure), (b.step, 99));
    }

    #[test]
    fn contents_are_the_best_evidence() {
        let one = BlobId([1; 32]);
        let mut a = edit("a", "f", 0, Some(90));
        let mut c = edit("c", "f", 1, Some(300));
        a.contents = vec![("f".into(), BlobId([2; 32]))];
        c.contents = vec![("f".into(), one)];
        let v = judge("f", &[act(50, &[])], Some(one), &[a, c.clone()]).unwrap();
        assert_eq!((v.step, v.rule), (c.step, LinkRule::Content));
    }

    #[test]
    fn strangers_and_readers_make_nothing() {
        let a = bash("a", "make", 0, None);
        let b = deed("b", CallKind::Read, 0, None);
        let mut stranger = act(10, &[]);
        stranger.cgroup = "/elsewhere".into();
        assert_eq!(found("f", stranger, &[a]), None);
        assert_eq!(found("f", act(10, &[]), &[b]), None);
    }

    #[test]
    fn who_vouches_for_a_home() {
        let a = bash("a", "sed -i s/a/b/ f.txt", 0, Some(100));
        let c = edit("c", "g", 0, Some(100));
        let by = act(20, &[process(10, "bash -c sed -i s/a/b/ f.txt")]);
        assert_eq!(vouches(&a, "f.txt", &by), 4);
        assert_eq!(
            vouches(&a, "f.txt", &act(20, &[])),
            0,
            "a prompt is no command"
        );
        assert_eq!(vouches(&c, "g", &act(20, &[])), 1);
        assert_eq!(vouches(&c, "g", &act(300, &[])), 0);
    }
}
