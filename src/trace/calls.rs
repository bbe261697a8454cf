//! Which open call made a change: the rules, as a plain function over what is known at that moment.
//!
//! The order of the rules: a process outside every session is nobody's call; the only open call of the writer's
//! session; the only open call that names the path; else the call that was opened last, with little confidence. Which
//! rule decided is kept with the link and shown.

use crate::model::{LinkRule, RepoPath, SessionId, StepId, Writer};

/// A call that has begun and has no result yet.
#[derive(Debug, Clone)]
pub struct OpenCall {
    /// Its step.
    pub step: StepId,
    /// Its session.
    pub session: SessionId,
    /// The id its agent gave it.
    pub native: String,
    /// Paths named in its arguments.
    pub paths: Vec<String>,
}

/// A session whose agent runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Which.
    pub session: SessionId,
    /// The agent's name.
    pub agent: String,
    /// Its cgroup v2 path; empty where it has none.
    pub cgroup: String,
    /// The `run` in which it goes on, for one that an agent names itself.
    pub host: Option<SessionId>,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The session, when the writer belongs to one.
    pub session: Option<SessionId>,
    /// The call, with the rule that found it and a confidence from 0 to 100.
    pub step: Option<(StepId, LinkRule, u8)>,
}

/// Whether a process in cgroup `of` belongs to a session whose cgroup is `session` (it, or one below it).
#[must_use]
pub fn within(of: &str, session: &str) -> bool {
    !session.is_empty()
        && (of == session || of.strip_prefix(session).is_some_and(|r| r.starts_with('/')))
}

/// Finds the call that a change of `path` by `writer` belongs to. `calls` in the order they were opened.
#[must_use]
pub fn claim(path: &RepoPath, writer: &Writer, running: &[Running], calls: &[OpenCall]) -> Found {
    let by_cgroup = running.iter().find(|r| within(&writer.cgroup, &r.cgroup));
    // Where sessions have no cgroup of their own, only the number of candidates can tell.
    let session = by_cgroup.or_else(|| {
        let mut loose = running.iter().filter(|r| r.cgroup.is_empty());
        match (loose.next(), loose.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    });
    // Sessions that share a cgroup (an agent that names its own session inside `run`) are one candidate together.
    let family: Vec<SessionId> = match session {
        Some(s) => running
            .iter()
            .filter(|r| r.cgroup == s.cgroup)
            .map(|r| r.session)
            .collect(),
        None => {
            return Found {
                session: None,
                step: None,
            };
        }
    };
    let known = by_cgroup.is_some();
    let open: Vec<&OpenCall> = calls
        .iter()
        .filter(|c| family.contains(&c.session))
        .collect();
    let step = match open.as_slice() {
        [] => None,
        [one] if known => Some((*one, LinkRule::Process, 98)),
        [one] => Some((*one, LinkRule::OnlyOpenCall, 80)),
        several => {
            let text = String::from_utf8_lossy(path.as_bytes());
            let mut naming = several
                .iter()
                .filter(|c| c.paths.iter().any(|p| *p == text));
            match (naming.next(), naming.next()) {
                (Some(one), None) => Some((*one, LinkRule::Path, 90)),
                _ => several.last().map(|c| (*c, LinkRule::Time, 40)),
            }
        }
    };
    Found {
        session: step.map_or(session.map(|s| s.session), |(c, _, _)| Some(c.session)),
        step: step.map(|(c, rule, sure)| (c.step, rule, sure)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::Origin;

    fn writer(cgroup: &str) -> Writer {
        Writer {
            origin: Origin::Inside,
            pid: 7,
            comm: "sed".into(),
            cgroup: cgroup.into(),
        }
    }

    fn running(name: &str, cgroup: &str) -> Running {
        Running {
            session: SessionId::of(name),
            agent: name.into(),
            cgroup: cgroup.into(),
            host: None,
        }
    }

    fn call(session: &str, id: &str, paths: &[&str]) -> OpenCall {
        let session = SessionId::of(session);
        OpenCall {
            step: StepId::of(session, id),
            session,
            native: id.into(),
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        }
    }

    #[test]
    fn each_rule_in_its_turn() {
        let path = RepoPath::try_from("src/a.rs").unwrap();
        let two = [running("a", "/bt-a"), running("b", "/bt-b")];
        let c1 = call("a", "1", &["src/a.rs"]);
        let c2 = call("a", "2", &["src/b.rs"]);
        let c3 = call("b", "3", &["src/a.rs"]);
        let of = |w: &str, calls: &[OpenCall]| claim(&path, &writer(w), &two, calls);

        assert_eq!(of("/elsewhere", std::slice::from_ref(&c1)).session, None);
        assert_eq!(of("/bt-a", &[]).step, None);
        assert_eq!(of("/bt-a", &[]).session, Some(two[0].session));
        assert_eq!(
            of("/bt-a/sub", &[c1.clone(), c3]).step,
            Some((c1.step, LinkRule::Process, 98))
        );
        assert_eq!(
            of("/bt-a", &[c1.clone(), c2.clone()]).step,
            Some((c1.step, LinkRule::Path, 90))
        );
        let c4 = call("a", "4", &[]);
        assert_eq!(
            of("/bt-a", &[c2, c4.clone()]).step,
            Some((c4.step, LinkRule::Time, 40))
        );
        assert!(!within("/bt-ab", "/bt-a"));
    }

    #[test]
    fn without_cgroups_a_single_session_is_the_one() {
        let path = RepoPath::try_from("x").unwrap();
        let c = call("a", "1", &[]);
        let one = [running("a", "")];
        let found = claim(&path, &writer("/any"), &one, std::slice::from_ref(&c));
        assert_eq!(found.step, Some((c.step, LinkRule::OnlyOpenCall, 80)));
        let both = [running("a", ""), running("b", "")];
        assert_eq!(claim(&path, &writer("/any"), &both, &[c]).session, None);
    }
}
