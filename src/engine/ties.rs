//! Ties between changes and the calls that a transcript tells: judged when a checkpoint is cut, and again when more is
//! known.
//!
//! A commit is tied as a whole. What makes that good enough: the changes of one checkpoint are split by call before
//! they are committed, a checkpoint waits a moment for a transcript that lags behind, and one is cut when a call's result
//! has come. So only what no transcript told of within that moment is committed without a call; it is kept here, and
//! tied later as a whole to the call that explains most of it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capture::recorder::Made;
use crate::model::{BlobId, CommitId, Entry, Link, LinkRule, RepoPath, SessionId, StepId, Time};
use crate::trace::calls::within;
use crate::trace::link::{Act, Deed, GUESS, SLACK, Verdict, judge, vouches};

use super::touches::Log;

/// Calls kept: ended ones are forgotten first, and at all after this long (in microseconds). Something that a call left
/// running may write long after its end.
const DEEDS: usize = 4_000;
const ENDED: i64 = 3_600_000_000;
/// Commits kept that better evidence may tie anew, and for how long.
const LOOSE: usize = 500;
const STALE: i64 = 600_000_000;
/// As sure as this is sure enough.
const SURE: u8 = 95;
/// Into how many commits the unclaimed changes of one checkpoint are split.
const PARTS: usize = 12;
/// Paths that are looked at to say whether all is explained.
const LOOKED: usize = 200;
/// Calls that are looked at for that.
const RECENT: usize = 400;

/// A changed path with what is known of it.
#[derive(Debug, Clone)]
struct Change {
    path: String,
    acts: Vec<Act>,
    after: Option<BlobId>,
}

/// A commit whose tie may become better.
#[derive(Debug)]
struct Loose {
    commit: CommitId,
    step: StepId,
    sure: u8,
    time: Time,
    changes: Vec<Change>,
}

/// A tie that has become better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Better {
    /// The step that had the commit.
    pub from: StepId,
    /// The new tie.
    pub link: Link,
}

#[derive(Default)]
struct Held {
    deeds: Vec<Deed>,
    /// What was judged in the checkpoint under way, and its commits with their paths.
    judged: Vec<Change>,
    made: HashMap<CommitId, HashSet<String>>,
    parts: HashSet<u64>,
    loose: VecDeque<Loose>,
    /// Calls that are new or of which more was told.
    news: Vec<StepId>,
    /// Sessions of which it is not known yet in which `run` they go on.
    homeless: HashSet<SessionId>,
}

/// Calls, and what they may have made.
#[derive(Default)]
pub struct Ties {
    /// Who touched what.
    pub log: Arc<Log>,
    held: Mutex<Held>,
}

impl Ties {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a call, or of more about one.
    pub fn put(&self, deed: Deed) {
        let mut held = self.lock();
        held.news.push(deed.step);
        match held.deeds.iter_mut().rev().find(|d| d.step == deed.step) {
            Some(old) => {
                let contents = if deed.contents.is_empty() {
                    std::mem::take(&mut old.contents)
                } else {
                    deed.contents.clone()
                };
                *old = Deed { contents, ..deed };
            }
            None => held.deeds.push(deed),
        }
        if held.deeds.len() > DEEDS {
            let now = Time::now().0;
            held.deeds
                .retain(|d| d.end.is_none_or(|e| now - e.0 < ENDED));
            let surplus = held.deeds.len().saturating_sub(DEEDS);
            held.deeds.drain(..surplus);
        }
    }

    /// A call declares the content of a path.
    pub fn declare(&self, step: StepId, path: &str, content: BlobId) {
        let mut held = self.lock();
        if let Some(deed) = held.deeds.iter_mut().rev().find(|d| d.step == step)
            && deed.contents.len() < 64
        {
            let new = (path.to_owned(), content);
            if !deed.contents.contains(&new) {
                deed.contents.push(new);
                held.news.push(step);
            }
        }
    }

    /// It is not known in which `run` that session goes on.
    pub fn homeless(&self, session: SessionId) {
        self.lock().homeless.insert(session);
    }

    /// That session goes on in the `run` with this cgroup.
    pub fn settle(&self, session: SessionId, cgroup: &str) {
        let mut held = self.lock();
        held.homeless.remove(&session);
        let Held { deeds, news, .. } = &mut *held;
        for deed in deeds.iter_mut().filter(|d| d.session == session) {
            cgroup.clone_into(&mut deed.host);
            news.push(deed.step);
        }
    }

    /// A session has ended: its calls make nothing any more.
    pub fn end(&self, session: SessionId, at: Time) {
        let mut held = self.lock();
        held.homeless.remove(&session);
        for deed in held.deeds.iter_mut().filter(|d| d.session == session) {
            deed.end = deed.end.or(Some(at));
        }
    }

    /// That session goes on elsewhere: its calls have made nothing here.
    pub fn disown(&self, session: SessionId) {
        let mut held = self.lock();
        held.homeless.remove(&session);
        held.deeds.retain(|d| d.session != session);
    }

    /// For sessions without a known home: what speaks for which of `runs` (each with its cgroup, which may be empty if it
    /// is the only one here).
    #[must_use]
    pub fn votes(&self, runs: &[(SessionId, String)]) -> Vec<(SessionId, SessionId, u32)> {
        let held = self.lock();
        if held.homeless.is_empty() || runs.is_empty() {
            return Vec::new();
        }
        let of = |cgroup: &str| match runs {
            [(one, own)] if own.is_empty() => Some(*one),
            _ => runs
                .iter()
                .find(|(_, own)| within(cgroup, own))
                .map(|(run, _)| *run),
        };
        let (present, _) = self.log.present(LOOKED);
        let recent = held.loose.iter().flat_map(|l| &l.changes);
        let seen: Vec<(String, Vec<Act>)> = present
            .into_iter()
            .map(|(path, acts)| (path.to_string(), acts))
            .chain(
                recent
                    .chain(&held.judged)
                    .map(|c| (c.path.clone(), c.acts.clone())),
            )
            .collect();
        let mut found = Vec::new();
        for session in &held.homeless {
            let mut votes: BTreeMap<SessionId, u32> = BTreeMap::new();
            for deed in held.deeds.iter().filter(|d| d.session == *session) {
                for (path, acts) in &seen {
                    for act in acts {
                        if let Some(home) = of(&act.cgroup) {
                            let vote = vouches(deed, path, act);
                            if vote > 0 {
                                *votes.entry(home).or_default() += vote;
                            }
                        }
                    }
                }
            }
            found.extend(votes.into_iter().map(|(run, n)| (*session, run, n)));
        }
        found
    }

    /// A checkpoint begins to be judged.
    pub fn begin(&self) {
        let mut held = self.lock();
        held.judged.clear();
        held.made.clear();
        held.parts.clear();
    }

    /// For a change of the checkpoint under way that no call claims: when it began, and what keeps it apart from others.
    /// A child that the agent started is a call of its own, as like as not; what the agent wrote itself, each path.
    #[must_use]
    pub fn apart(&self, path: &RepoPath) -> (i64, u64) {
        let acts = self.log.of(path);
        let Some(act) = acts.last() else {
            return (0, 0);
        };
        let mut held = self.lock();
        let own = held
            .deeds
            .iter()
            .filter(|d| d.host.is_empty() || within(&act.cgroup, &d.host));
        let began = own.map(|d| d.start.0).min().unwrap_or(i64::MAX - SLACK);
        let child = act.line.iter().rev().find(|p| p.born.0 >= began - SLACK);
        let mut hash = DefaultHasher::new();
        match child {
            Some(process) => process.pid.hash(&mut hash),
            None => path.hash(&mut hash),
        }
        let part = hash.finish();
        if held.parts.len() >= PARTS && !held.parts.contains(&part) {
            return (act.first.0, 1);
        }
        held.parts.insert(part);
        (act.first.0, part)
    }

    /// A commit of these changes is made.
    pub fn made(&self, commit: CommitId, paths: &[(RepoPath, Option<Entry>)]) {
        let paths = paths.iter().map(|(p, _)| p.to_string()).collect();
        self.lock().made.insert(commit, paths);
    }

    /// Which call made a change of the checkpoint under way, and when that call began.
    #[must_use]
    pub fn judge(&self, path: &RepoPath, after: Option<BlobId>) -> Option<(Verdict, Time)> {
        let acts = self.log.of(path);
        let path = path.to_string();
        let mut held = self.lock();
        let verdict = judge(&path, &acts, after, &held.deeds);
        held.judged.push(Change { path, acts, after });
        let verdict = verdict?;
        let begun = held.deeds.iter().find(|d| d.step == verdict.step)?.start;
        Some((verdict, begun))
    }

    /// The checkpoint is over.
    pub fn over<E>(&self, made: &Result<Made, E>) {
        self.log.over(made.is_ok());
        if let Ok(made) = made {
            self.stored(&made.links);
        }
    }

    /// Ties that may become better are kept.
    fn stored(&self, links: &[Link]) {
        let mut held = self.lock();
        let judged = std::mem::take(&mut held.judged);
        let paths = std::mem::take(&mut held.made);
        let now = Time::now();
        for link in links {
            let unclaimed = link.rule == LinkRule::Unclaimed;
            if !unclaimed && link.confidence >= SURE {
                continue;
            }
            let changes: Vec<Change> = judged
                .iter()
                .filter(|c| !c.acts.is_empty())
                .filter(|c| paths.get(&link.commit).is_some_and(|p| p.contains(&c.path)))
                .cloned()
                .collect();
            if !changes.is_empty() {
                held.loose.push_back(Loose {
                    commit: link.commit,
                    step: link.step,
                    sure: if unclaimed { 0 } else { link.confidence },
                    time: now,
                    changes,
                });
            }
        }
        while held.loose.len() > LOOSE {
            held.loose.pop_front();
        }
    }

    /// Ties that what is known now makes better.
    pub fn better(&self) -> Vec<Better> {
        let mut held = self.lock();
        let now = Time::now();
        held.loose
            .retain(|l| now.0 - l.time.0 < STALE && l.sure < SURE);
        let Held {
            deeds, loose, news, ..
        } = &mut *held;
        let news = std::mem::take(news);
        // Only what had begun by then can have made a change.
        let begun = deeds
            .iter()
            .rev()
            .filter(|d| news.contains(&d.step))
            .map(|d| d.start.0 - SLACK)
            .min();
        let Some(begun) = begun else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for one in loose.iter_mut() {
            let acts = one.changes.iter().flat_map(|c| &c.acts);
            if acts.map(|a| a.last.0).max().is_none_or(|t| t < begun) {
                continue;
            }
            let mut votes: HashMap<StepId, (usize, u8, LinkRule)> = HashMap::new();
            for change in &one.changes {
                if let Some(v) = judge(&change.path, &change.acts, change.after, deeds) {
                    let entry = votes.entry(v.step).or_insert((0, 100, v.rule));
                    entry.0 += 1;
                    if v.sure <= entry.1 {
                        (entry.1, entry.2) = (v.sure, v.rule);
                    }
                }
            }
            let best = votes
                .into_iter()
                .max_by_key(|(step, (n, sure, _))| (*n, *sure, *step));
            let Some((step, (n, sure, rule))) = best else {
                continue;
            };
            // What explains a part is as sure as that part is large.
            let part = u8::try_from(n * 100 / one.changes.len().max(1)).unwrap_or(100);
            let sure = sure.min(part);
            // What is known now is always more than what was known then.
            if sure > one.sure || step != one.step {
                if step != one.step || one.sure == 0 {
                    out.push(Better {
                        from: one.step,
                        link: Link {
                            step,
                            commit: one.commit,
                            rule,
                            confidence: sure,
                        },
                    });
                }
                one.step = step;
                one.sure = sure;
            }
        }
        out
    }

    /// Whether the calls that are known (with `ended`: those that have a result) explain all that was changed since the last
    /// checkpoint by processes for which `ours` holds.
    #[must_use]
    pub fn explain_all(&self, ended: bool, ours: &dyn Fn(&str) -> bool) -> bool {
        let (present, _) = self.log.present(LOOKED);
        let held = self.lock();
        let deeds = &held.deeds[held.deeds.len().saturating_sub(RECENT)..];
        present.iter().all(|(path, acts)| {
            let strange = acts.iter().all(|a| !ours(&a.cgroup));
            let verdict = || judge(&path.to_string(), acts, None, deeds);
            let done = |step| deeds.iter().any(|d| d.step == step && d.end.is_some());
            strange || verdict().is_some_and(|v| v.sure > GUESS && (!ended || done(v.step)))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::CallKind;

    fn deed(native: &str, path: &str, start: Time) -> Deed {
        let session = SessionId::of("s");
        Deed {
            step: StepId::of(session, native),
            session,
            host: String::new(),
            thread: 0,
            answer: 1,
            kind: CallKind::Edit,
            paths: vec![path.into()],
            command: String::new(),
            contents: Vec::new(),
            start,
            end: None,
        }
    }

    fn loose(path: &str, step: StepId, acts: Vec<Act>) -> Loose {
        Loose {
            commit: CommitId([1; 32]),
            step,
            sure: 0,
            time: Time::now(),
            changes: vec![Change {
                path: path.into(),
                acts,
                after: None,
            }],
        }
    }

    fn act(at: Time, cgroup: &str) -> Act {
        Act {
            first: at,
            last: at,
            cgroup: cgroup.into(),
            line: Arc::from([]),
        }
    }

    #[test]
    fn a_call_told_late_takes_what_nobody_claimed_once() {
        let ties = Ties::default();
        let (fs, now) = (StepId([9; 32]), Time::now());
        ties.lock()
            .loose
            .push_back(loose("f", fs, vec![act(now, "/a")]));
        assert!(ties.better().is_empty());
        let call = deed("c", "f", Time(now.0 - 1000));
        ties.put(call.clone());
        let better = ties.better();
        assert_eq!(better.len(), 1);
        assert_eq!((better[0].from, better[0].link.step), (fs, call.step));
        assert_eq!(better[0].link.rule, LinkRule::Path);
        assert!(ties.better().is_empty(), "once");
    }

    #[test]
    fn each_commit_has_its_own_changes() {
        let ties = Ties::default();
        let now = Time::now();
        let guess = deed("guess", "other", now).step;
        for (n, path) in [(1, "f"), (2, "g")] {
            let mut held = ties.lock();
            held.judged
                .extend(loose(path, guess, vec![act(now, "/a")]).changes);
            let paths = HashSet::from([path.to_owned()]);
            held.made.insert(CommitId([n; 32]), paths);
        }
        // Both were taken for the work of one call, as it seemed then.
        let link = |n| Link {
            step: guess,
            commit: CommitId([n; 32]),
            rule: LinkRule::Time,
            confidence: 30,
        };
        ties.stored(&[link(1), link(2)]);
        let (f, g) = (deed("f", "f", now), deed("g", "g", now));
        ties.put(f.clone());
        ties.put(g.clone());
        let better: Vec<_> = ties.better().into_iter().map(|b| b.link).collect();
        let found: Vec<_> = better.iter().map(|l| (l.commit.0[0], l.step)).collect();
        assert_eq!(found, [(1, f.step), (2, g.step)]);
    }

    #[test]
    fn homes_are_found_by_what_was_done() {
        let ties = Ties::default();
        let now = Time::now();
        let (a, b) = (SessionId::of("a"), SessionId::of("b"));
        let homes = [(a, "/a".to_owned()), (b, "/b".to_owned())];
        let call = deed("c", "f", Time(now.0 - 1000));
        ties.put(call.clone());
        ties.homeless(call.session);
        assert!(ties.votes(&homes).is_empty());
        let acts = vec![act(now, "/b/below"), act(now, "/other")];
        ties.lock()
            .loose
            .push_back(loose("f", StepId([9; 32]), acts));
        let votes = ties.votes(&homes);
        assert!(
            matches!(votes.as_slice(), [(s, run, 1..)] if (*s, *run) == (call.session, b)),
            "{votes:?}"
        );
        ties.settle(call.session, "/b");
        assert!(ties.votes(&homes).is_empty());
        assert_eq!(ties.lock().deeds[0].host, "/b");
    }

    #[test]
    fn nothing_done_is_explained() {
        let ties = Ties::default();
        assert!(ties.explain_all(true, &|_| true));
    }
}
