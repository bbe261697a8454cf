//! Revisions as a person types them, and what they name.
//!
//! `@` (the branch's latest commit), a commit id or a prefix of at least four digits, a branch, a label, `step:N`, `10m ago`
//! (or `10m-ago`), `HH:MM[:SS]` today, an RFC 3339 time; each followed by any number of `~N` and `^` (first parents).
//! `call:ID` is the state after the tool call that its agent calls ID, `call:ID^` the state before it.
//! A name wins over an id prefix: a label `face` hides commits that begin with those digits, never the other way round.

use std::time::Duration;

use crate::model::{CommitId, Ordinal, RefTarget, Step, Time};
use crate::store::{self, Store};

use super::history::{History, own_state};

/// Why a revision names nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing of that name.
    #[error(
        "no commit, branch, label, step or time is called {0:?}; `backtrail log` lists the commits"
    )]
    NotFound(String),
    /// Several commits begin like that.
    #[error("{prefix:?} is the beginning of several commits: {}; give more digits", candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        prefix: String,
        /// Some that match.
        candidates: Vec<String>,
    },
    /// Several agents have a call of that id.
    #[error("{call:?} is the id of several calls: {}; name the step", candidates.join(", "))]
    ManyCalls {
        /// What was typed.
        call: String,
        /// Their steps, as revisions.
        candidates: Vec<String>,
    },
    /// `~N` goes beyond the first commit.
    #[error("{rev:?} goes back beyond the first commit")]
    TooFar {
        /// What was typed.
        rev: String,
    },
    /// The step is there, but no state is known at it.
    #[error("step {0} is before the first recorded state")]
    NoState(Ordinal),
    /// There are no commits yet.
    #[error("nothing is recorded yet")]
    Empty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a revision names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The commit.
    pub commit: CommitId,
    /// The step that was named, when one was.
    pub step: Option<Ordinal>,
}

/// Name of the branch that the workspace is on.
pub fn branch(store: &Store) -> Result<String, store::Error> {
    Ok(match store.get_ref("head")? {
        Some(RefTarget::Branch(name)) => name,
        _ => "main".to_owned(),
    })
}

/// The newest commit of the branch that the workspace is on.
pub fn head(store: &Store) -> Result<Option<CommitId>, store::Error> {
    let name = format!("branch/{}", branch(store)?);
    Ok(match store.get_ref(&name)? {
        Some(RefTarget::Commit(id)) => Some(id),
        _ => None,
    })
}

/// Finds what `text` names; `now` is the moment that `10m ago` counts from.
pub fn resolve(
    store: &Store,
    history: &dyn History,
    text: &str,
    now: Time,
) -> Result<Named, Error> {
    let text = text.trim();
    if let Some(call) = text.strip_prefix("call:") {
        return of_call(store, history, call, text);
    }
    let base_end = text.find(['~', '^']).unwrap_or(text.len());
    let (base, suffix) = text.split_at(base_end);
    let mut named = resolve_base(store, history, base, text, now)?;
    let back = parse_suffix(suffix).ok_or_else(|| Error::NotFound(text.to_owned()))?;
    for _ in 0..back {
        let commit = store.commit(named.commit)?;
        match commit.parents.first() {
            Some(parent) => {
                named = Named {
                    commit: *parent,
                    step: None,
                }
            }
            None => {
                return Err(Error::TooFar {
                    rev: text.to_owned(),
                });
            }
        }
    }
    Ok(named)
}

/// How many parents back `~3`, `^`, `^^`, `~2^` go; `None` if it is not such a suffix.
fn parse_suffix(mut s: &str) -> Option<u64> {
    let mut back = 0_u64;
    while let Some(rest) = s.strip_prefix(['~', '^']) {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let n = if digits == 0 || s.starts_with('^') {
            1
        } else {
            rest[..digits].parse().ok()?
        };
        back = back.checked_add(n)?;
        s = if s.starts_with('^') {
            rest
        } else {
            &rest[digits..]
        };
    }
    s.is_empty().then_some(back)
}

fn resolve_base(
    store: &Store,
    history: &dyn History,
    base: &str,
    whole: &str,
    now: Time,
) -> Result<Named, Error> {
    let not_found = || Error::NotFound(whole.to_owned());
    if base == "@" || base.eq_ignore_ascii_case("head") || (base.is_empty() && !whole.is_empty()) {
        let commit = head(store)?.ok_or(Error::Empty)?;
        return Ok(Named { commit, step: None });
    }
    if base.is_empty() {
        return Err(not_found());
    }
    if let Some(n) = base.strip_prefix("step:") {
        let ordinal: Ordinal = n.parse().map_err(|_| not_found())?;
        let step = history.step_by_ordinal(ordinal)?.ok_or_else(not_found)?;
        return state_at(store, history, &step)?
            .map(|commit| Named {
                commit,
                step: Some(ordinal),
            })
            .ok_or(Error::NoState(ordinal));
    }
    for name in [
        base.to_owned(),
        format!("label/{base}"),
        format!("branch/{base}"),
    ] {
        match store.get_ref(&name)? {
            Some(RefTarget::Commit(commit)) => return Ok(Named { commit, step: None }),
            Some(RefTarget::Step(id)) => {
                let step = history.step(id)?.ok_or_else(not_found)?;
                return state_at(store, history, &step)?
                    .map(|commit| Named {
                        commit,
                        step: Some(step.ordinal),
                    })
                    .ok_or(Error::NoState(step.ordinal));
            }
            _ => {}
        }
    }
    if let Some(t) = moment(base, now) {
        let commit = workspace_at(store, t)?.ok_or_else(not_found)?;
        return Ok(Named { commit, step: None });
    }
    if base.len() >= 4 && base.len() <= 64 && base.bytes().all(|b| b.is_ascii_hexdigit()) {
        let found = store.find_commits(&base.to_ascii_lowercase(), 5)?;
        return match found.as_slice() {
            [] => Err(not_found()),
            [one] => Ok(Named {
                commit: *one,
                step: None,
            }),
            several => Err(Error::Ambiguous {
                prefix: base.to_owned(),
                candidates: several
                    .iter()
                    .map(|c| c.to_hex()[..12].to_owned())
                    .collect(),
            }),
        };
    }
    Err(not_found())
}

/// The state after the call with that id, with `^` before it.
fn of_call(store: &Store, history: &dyn History, call: &str, whole: &str) -> Result<Named, Error> {
    let (call, before) = match call.strip_suffix('^') {
        Some(call) => (call, true),
        None => (call, false),
    };
    let steps = history.steps_of_call(call)?;
    let step = match steps.as_slice() {
        [] => return Err(Error::NotFound(whole.to_owned())),
        [one] => one,
        several => {
            return Err(Error::ManyCalls {
                call: call.to_owned(),
                candidates: several
                    .iter()
                    .map(|s| format!("step:{}", s.ordinal))
                    .collect(),
            });
        }
    };
    if !before {
        return state_at(store, history, step)?
            .map(|commit| Named {
                commit,
                step: Some(step.ordinal),
            })
            .ok_or(Error::NoState(step.ordinal));
    }
    // What the call itself made goes back to what it found; another call may have been at work in between.
    let commit = match store.links_of_step(step.id)?.first() {
        Some(link) => store.commit(link.commit)?.parents.first().copied(),
        None => history.state_before(store, step.ordinal, step.session)?,
    };
    commit
        .map(|commit| Named { commit, step: None })
        .ok_or(Error::NoState(step.ordinal))
}

/// The state after `step`: its last commit, else the state it moved to, else that of the nearest step before it.
pub fn state_at(
    store: &Store,
    history: &dyn History,
    step: &Step,
) -> Result<Option<CommitId>, store::Error> {
    if let Some(own) = own_state(store, step)? {
        return Ok(Some(own));
    }
    history.state_before(store, step.ordinal, step.session)
}

/// What the workspace equalled at `t`: where the newest operation not later than `t` left its branch. Going back through
/// the log, what it says of `head` tells which branch that was: others move too, by agents on them or by name.
pub fn workspace_at(store: &Store, t: Time) -> Result<Option<CommitId>, store::Error> {
    let mut on = branch(store)?;
    let mut before = None;
    loop {
        let page = store.operations(before, 256)?;
        for (_, _, op) in &page {
            if op.time <= t {
                let name = format!("branch/{on}");
                let to = op.refs.iter().rev().find_map(|r| match &r.after {
                    Some(RefTarget::Commit(id)) if r.name == name => Some(*id),
                    _ => None,
                });
                if let Some(id) = op.workspace.map(|(_, after)| after).or(to) {
                    return Ok(Some(id));
                }
            }
            for r in &op.refs {
                if let ("head", Some(RefTarget::Branch(left))) = (r.name.as_str(), &r.before) {
                    on.clone_from(left);
                }
            }
        }
        match page.last() {
            Some((seq, _, _)) => before = Some(*seq),
            None => return Ok(None),
        }
    }
}

/// Reads `10m ago`, `2h30m ago`, `1d-ago`, `14:05`, `14:05:30`, RFC 3339.
fn moment(text: &str, now: Time) -> Option<Time> {
    if let Some(span) = text.strip_suffix("ago") {
        let span = span.trim_end_matches(['-', ' ', '_']);
        let past = duration(span)?;
        let micros = i64::try_from(past.as_micros()).ok()?;
        return Some(Time(now.0.checked_sub(micros)?));
    }
    if let Some(t) = Time::parse(text) {
        return Some(t);
    }
    let clock: jiff::civil::Time = text.parse().ok().filter(|_| text.contains(':'))?;
    let zone = jiff::tz::TimeZone::system();
    let today = jiff::Timestamp::from_microsecond(now.0)
        .ok()?
        .to_zoned(zone.clone());
    let at = today.date().to_datetime(clock).to_zoned(zone).ok()?;
    // Late at night "23:50" means yesterday evening, not an hour that has not come.
    let at = if at > today {
        at.checked_sub(jiff::Span::new().days(1)).ok()?
    } else {
        at
    };
    Some(Time(at.timestamp().as_microsecond()))
}

fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let n: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let word = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let unit = match &rest[..word] {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(n.checked_mul(unit)?))?;
        rest = rest[word..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes() {
        assert_eq!(parse_suffix(""), Some(0));
        assert_eq!(parse_suffix("~"), Some(1));
        assert_eq!(parse_suffix("~3"), Some(3));
        assert_eq!(parse_suffix("^^"), Some(2));
        assert_eq!(parse_suffix("~2^"), Some(3));
        assert_eq!(parse_suffix("~x"), None);
        assert_eq!(parse_suffix("~99999999999999999999"), None);
    }

    #[test]
    fn moments() {
        let now = Time(1_760_000_000_000_000);
        let back = |s| moment(s, now).map(|t| now.since(t).as_secs());
        assert_eq!(back("10m ago"), Some(600));
        assert_eq!(back("10m-ago"), Some(600));
        assert_eq!(back("1h 30 minutes ago"), Some(5_400));
        assert_eq!(back("10x ago"), None);
        assert_eq!(back("ago"), None);
        assert!(moment("2025-10-09T08:53:20Z", now).is_some());
        assert!(moment("12:30", now).is_some_and(|t| t <= now));
        assert_eq!(moment("main", now), None);
        assert_eq!(moment("1234", now), None);
    }
}
