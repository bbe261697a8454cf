//! Whether a step fits a query.
//!
//! What is cheap is asked first, and texts only when nothing else has decided. A step that does not know a fact here says
//! so, and the verdict is then that it is not known: never a guess.

use std::cell::Cell;
use std::cmp::Reverse;

use crate::model::{CallKind, Ordinal, Status, StepKind, kind_word};

use super::keys::{Flag, Key};
use super::value::Value;
use super::{Query, Term};

/// What is said of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fits.
    Yes,
    /// It does not.
    No,
    /// What is known here does not decide.
    Unknown,
}

impl Verdict {
    fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }

    fn turned(self, round: bool) -> Self {
        match self {
            Self::Yes if round => Self::No,
            Self::No if round => Self::Yes,
            verdict => verdict,
        }
    }
}

/// Where in a step a text is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// What was asked for.
    Prompt,
    /// Reasoning.
    Thought,
    /// What the agent said.
    Message,
    /// A call's arguments: the command, the text of an edit.
    Command,
    /// A call's output.
    Output,
    /// A marker, or what was not understood.
    Note,
    /// A label.
    Label,
    /// A path that it changed or names.
    Path,
    /// A line that it added or removed.
    Change,
}

impl Place {
    /// As a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Thought => "thought",
            Self::Message => "message",
            Self::Command => "command",
            Self::Output => "output",
            Self::Note => "note",
            Self::Label => "label",
            Self::Path => "path",
            Self::Change => "change",
        }
    }

    /// Where the text of a step of that kind is.
    #[must_use]
    pub fn of_kind(kind: StepKind) -> Self {
        match kind {
            StepKind::Prompt => Self::Prompt,
            StepKind::Thought => Self::Thought,
            StepKind::Message => Self::Message,
            StepKind::Call => Self::Command,
            // Their titles are the paths that were changed.
            StepKind::Fs | StepKind::Outside => Self::Path,
            _ => Self::Note,
        }
    }
}

/// A piece of a step's text that fits.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    /// What kind of text.
    pub place: Place,
    /// Of a change: the file.
    pub path: Option<&'a [u8]>,
    /// The text (of a change, its line).
    pub text: &'a [u8],
    /// Where in the text.
    pub span: (usize, usize),
}

/// What is known of every step at once.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    /// Its number.
    pub ordinal: Ordinal,
    /// What it is.
    pub kind: StepKind,
    /// For calls, what kind of call.
    pub call: CallKind,
    /// For calls, the tool.
    pub tool: &'a str,
    /// One line.
    pub title: &'a str,
    /// How it stands.
    pub status: Status,
    /// Exit code of a command.
    pub exit: Option<i32>,
    /// Its turn.
    pub turn: u32,
    /// The subagent that speaks; 0 for the main agent.
    pub thread: u32,
    /// On a branch that was left.
    pub dead: bool,
    /// How long it took, in milliseconds.
    pub took: Option<i64>,
    /// What its answer cost.
    pub tokens: Option<u64>,
    /// It belongs to a session.
    pub in_session: bool,
}

/// Takes the texts of a step: where each is, of a change its file, and the text (of a change, a line). Says whether to go on.
pub type EachText<'a> = dyn FnMut(Place, Option<&[u8]>, &[u8]) -> bool + 'a;

/// What can be asked about a step. A method that gives or leaves `false` (or `None`) says that this is not known here.
pub trait Facts {
    /// Why a fact cannot be had.
    type Error;

    /// What is always known.
    fn plain(&self) -> Plain<'_>;

    /// Files changed, and lines added and removed together; zeros where nothing was changed.
    fn effect(&mut self) -> Result<Option<(u64, u64)>, Self::Error>;

    /// Its labels.
    fn labels(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Self::Error>;

    /// The names of its session: the agent's name, the agent's own id, and the id here.
    fn session(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Self::Error>;

    /// The branch that it was made on.
    fn branch(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Self::Error>;

    /// Files that it changed or names. `each` says whether to go on.
    fn paths(&mut self, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Self::Error>;

    /// Its texts beyond title, labels and paths, the cheap ones first. `each` says whether to go on.
    fn texts(&mut self, each: &mut EachText<'_>) -> Result<bool, Self::Error>;
}

impl Query {
    /// Whether a step fits. `note` is told where a text or path was found, for each such term that holds.
    pub fn test<F: Facts + ?Sized>(
        &self,
        facts: &mut F,
        note: &mut dyn FnMut(Match<'_>),
    ) -> Result<Verdict, F::Error> {
        let mut verdict = Verdict::Yes;
        for cost in 0..=DEAREST {
            for term in self.terms.iter().filter(|t| t.cost() == cost) {
                match term.test(facts, note)? {
                    Verdict::No => return Ok(Verdict::No),
                    Verdict::Unknown => verdict = Verdict::Unknown,
                    Verdict::Yes => {}
                }
            }
        }
        Ok(verdict)
    }
}

const DEAREST: u8 = 4;

/// Words that say who did something, whatever agents are called.
const WHO: [&str; 3] = ["agent", "outside", "person"];

impl Term {
    fn cost(&self) -> u8 {
        match self.key {
            Key::Text => DEAREST,
            Key::Path => 3,
            Key::Branch => 2,
            Key::Session | Key::By | Key::Label | Key::Files | Key::Lines | Key::Is => 1,
            _ => 0,
        }
    }

    /// Whether a row decides it.
    pub(super) fn is_of_row(&self) -> bool {
        match self.key {
            Key::Text | Key::Path | Key::Branch | Key::Session => false,
            Key::By => self
                .values
                .iter()
                .all(|v| v.pattern().is_some_and(|p| p.is_word(&WHO))),
            _ => true,
        }
    }

    fn test<F: Facts + ?Sized>(
        &self,
        facts: &mut F,
        note: &mut dyn FnMut(Match<'_>),
    ) -> Result<Verdict, F::Error> {
        Ok(self.fits(facts, note)?.turned(self.not))
    }

    fn fits<F: Facts + ?Sized>(
        &self,
        facts: &mut F,
        note: &mut dyn FnMut(Match<'_>),
    ) -> Result<Verdict, F::Error> {
        let plain = facts.plain();
        Ok(match self.key {
            Key::Text => return self.in_texts(facts, note),
            Key::Path => return self.in_paths(facts, note),
            Key::Kind => {
                let mut names = Names::new(self);
                kinds(&plain, &mut |word| names.see(word));
                names.verdict(true)
            }
            Key::Tool => {
                let mut names = Names::new(self);
                if !plain.tool.is_empty() {
                    names.see(plain.tool);
                }
                names.verdict(true)
            }
            Key::By => {
                let mut names = Names::new(self);
                let who = who(&plain);
                if let Some(who) = who {
                    names.see(who);
                }
                // The agent's name is asked for only where that matters.
                let known = names.found
                    || self.is_of_row()
                    || who != Some("agent")
                    || facts.session(&mut |name| names.see(name))?;
                names.verdict(known)
            }
            Key::Session => {
                let mut names = Names::new(self);
                names.prefixes = true;
                let known = !plain.in_session || facts.session(&mut |name| names.see(name))?;
                names.verdict(known)
            }
            Key::Branch => {
                let mut names = Names::new(self);
                let known = facts.branch(&mut |name| names.see(name))?;
                names.verdict(known)
            }
            Key::Label => {
                // Several facts, each by itself.
                let (mut one, mut fits) = (false, false);
                let known = facts.labels(&mut |name| {
                    one = true;
                    fits |= self.has(name.as_bytes()) != self.other;
                })?;
                if known {
                    Verdict::of(one && fits)
                } else {
                    Verdict::Unknown
                }
            }
            Key::Exit => self.number(plain.exit.map(i64::from)),
            Key::Turn => self.number(Some(i64::from(plain.turn))),
            Key::Took => self.number(plain.took),
            Key::Tokens => self.number(plain.tokens.map(|n| i64::try_from(n).unwrap_or(i64::MAX))),
            Key::Files | Key::Lines => match facts.effect()? {
                Some((files, lines)) => {
                    let n = if self.key == Key::Files { files } else { lines };
                    self.number((files > 0).then(|| i64::try_from(n).unwrap_or(i64::MAX)))
                }
                None => Verdict::Unknown,
            },
            Key::Step => {
                let here = self.values.iter().any(|v| match v {
                    Value::Steps(steps) => steps.has(plain.ordinal),
                    _ => false,
                });
                Verdict::of(here != self.other)
            }
            Key::Is => return self.flags(facts),
        })
    }

    fn has(&self, text: &[u8]) -> bool {
        let mut patterns = self.values.iter().filter_map(Value::pattern);
        patterns.any(|p| p.is_in(text))
    }

    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let patterns = self.values.iter().filter_map(Value::pattern);
        patterns
            .filter_map(|p| p.find(text))
            .min_by_key(|(from, to)| (*from, Reverse(*to)))
    }

    /// A step without such a number fits neither the number nor another one.
    fn number(&self, n: Option<i64>) -> Verdict {
        let Some(n) = n else { return Verdict::No };
        let here = self.values.iter().any(|v| match v {
            Value::Number(span) | Value::Time(span) => span.has(n),
            _ => false,
        });
        Verdict::of(here != self.other)
    }

    fn flags<F: Facts + ?Sized>(&self, facts: &mut F) -> Result<Verdict, F::Error> {
        let mut all = Verdict::No;
        for value in &self.values {
            let Value::Flag(flag) = value else { continue };
            let plain = facts.plain();
            let one = match flag {
                Flag::Failed => Verdict::of(plain.status == Status::Error),
                Flag::Running => Verdict::of(plain.status == Status::Running),
                Flag::Aborted => Verdict::of(plain.status == Status::Aborted),
                Flag::Dead => Verdict::of(plain.dead),
                Flag::Subagent => Verdict::of(plain.thread > 0),
                Flag::Change => facts
                    .effect()?
                    .map_or(Verdict::Unknown, |(files, _)| Verdict::of(files > 0)),
                Flag::Label => {
                    let mut one = false;
                    let known = facts.labels(&mut |_| one = true)?;
                    if known {
                        Verdict::of(one)
                    } else {
                        Verdict::Unknown
                    }
                }
            };
            match one {
                Verdict::Yes => return Ok(Verdict::Yes),
                Verdict::Unknown => all = Verdict::Unknown,
                Verdict::No => {}
            }
        }
        Ok(all)
    }

    fn in_paths<F: Facts + ?Sized>(
        &self,
        facts: &mut F,
        note: &mut dyn FnMut(Match<'_>),
    ) -> Result<Verdict, F::Error> {
        let mut found = false;
        let known = facts.paths(&mut |path| {
            found = self.has(path) != self.other;
            if found && !self.not {
                note(Match {
                    place: Place::Path,
                    path: Some(path),
                    text: path,
                    span: (0, path.len()),
                });
            }
            !found
        })?;
        Ok(if found || known {
            Verdict::of(found)
        } else {
            Verdict::Unknown
        })
    }

    fn in_texts<F: Facts + ?Sized>(
        &self,
        facts: &mut F,
        note: &mut dyn FnMut(Match<'_>),
    ) -> Result<Verdict, F::Error> {
        let plain = facts.plain();
        let place = Place::of_kind(plain.kind);
        let found = Cell::new(false);
        let mut look = |place, path: Option<&[u8]>, text: &[u8]| {
            if !found.get()
                && let Some(span) = self.find(text)
            {
                found.set(true);
                if !self.not {
                    note(Match {
                        place,
                        path,
                        text,
                        span,
                    });
                }
            }
            !found.get()
        };
        look(place, None, plain.title.as_bytes());
        let mut known = true;
        if !found.get() {
            known &= facts.labels(&mut |label| {
                look(Place::Label, None, label.as_bytes());
            })?;
        }
        if !found.get() {
            known &= facts.paths(&mut |path| look(Place::Path, Some(path), path))?;
        }
        if !found.get() {
            known &= facts.texts(&mut look)?;
        }
        Ok(if found.get() || known {
            Verdict::of(found.get())
        } else {
            Verdict::Unknown
        })
    }
}

/// Several names of one thing: one that fits is enough, another one is meant when none does.
struct Names<'a> {
    term: &'a Term,
    /// The beginning of a name is enough.
    prefixes: bool,
    any: bool,
    found: bool,
}

impl<'a> Names<'a> {
    fn new(term: &'a Term) -> Self {
        Self {
            term,
            prefixes: false,
            any: false,
            found: false,
        }
    }

    fn see(&mut self, name: &str) {
        self.any = true;
        let begins = |name: &str| {
            let mut patterns = self.term.values.iter().filter_map(Value::pattern);
            patterns.any(|p| p.source().len() >= 4 && name.starts_with(p.source()))
        };
        self.found |= self.term.has(name.as_bytes()) || (self.prefixes && begins(name));
    }

    fn verdict(&self, known: bool) -> Verdict {
        if !self.term.other {
            return match (self.found, known) {
                (true, _) => Verdict::Yes,
                (false, true) => Verdict::No,
                (false, false) => Verdict::Unknown,
            };
        }
        match (self.found, known) {
            (true, _) => Verdict::No,
            (false, true) => Verdict::of(self.any),
            (false, false) => Verdict::Unknown,
        }
    }
}

/// Every word for what a step is.
fn kinds(plain: &Plain<'_>, see: &mut dyn FnMut(&str)) {
    see(&kind_word(
        plain.kind,
        plain.call,
        plain.tool,
        plain.title,
        plain.thread,
    ));
    see(match plain.kind {
        StepKind::Prompt => "prompt",
        StepKind::Thought => "thought",
        StepKind::Message => "message",
        StepKind::Call => "call",
        StepKind::Fs => "fs",
        StepKind::Outside => "outside",
        StepKind::Marker => "marker",
        StepKind::Unknown => "unknown",
    });
    if plain.kind == StepKind::Call {
        see(match plain.call {
            CallKind::Read => "read",
            CallKind::Edit => "edit",
            CallKind::Delete => "delete",
            CallKind::Move => "move",
            CallKind::Search => "search",
            CallKind::Execute => "execute",
            CallKind::Fetch => "fetch",
            CallKind::Think => "think",
            CallKind::Agent => "agent",
            CallKind::Other => "other",
        });
    }
}

/// Who did it, as a word.
fn who(plain: &Plain<'_>) -> Option<&'static str> {
    match plain.kind {
        StepKind::Outside => Some("outside"),
        StepKind::Fs if !plain.in_session => Some("outside"),
        StepKind::Prompt if plain.thread == 0 => Some("person"),
        _ => plain.in_session.then_some("agent"),
    }
}
