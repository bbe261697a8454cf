//! The files of a session's subagents: `SESSION/subagents/agent-ID.jsonl` beside `SESSION.jsonl`, with a small
//! `agent-ID.meta.json` each, and those of workflows one directory deeper. Earlier versions put `agent-ID.jsonl` beside
//! the sessions; whose they are is in their lines only.
//!
//! Nothing here fails: a directory that cannot be read has no files, a description that cannot be read says nothing.

use std::io::Read as _;
use std::path::Path;

use memchr::memmem::Finder;

use crate::trace::event::Side;
use crate::trace::lenient::Text;

/// As many files as a session may have here; more are left out.
const MOST: usize = 10_000;

/// How much of a file is searched for the session's name.
const BEGINNING: u64 = 4 << 10;

/// A description longer than this is none.
const LONGEST: u64 = 64 << 10;

/// What a subagent's description tells.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    agent_type: Text<'a>,
    #[serde(borrow)]
    tool_use_id: Text<'a>,
}

/// The files of the subagents of the session in `main`, in the order of their names.
pub fn sides(main: &Path) -> Vec<Side> {
    let below = main.with_extension("").join("subagents");
    // A recording without an ending would be its own directory.
    if main.extension().is_none() {
        return Vec::new();
    }
    let mut out = Vec::new();
    gather(&below, &mut |_| true, &mut out);
    if let (Some(dir), Some(session)) = (main.parent(), main.file_stem().and_then(|s| s.to_str())) {
        // The name alone may stand anywhere, above all a short one.
        let said = format!("\"sessionId\":{}", serde_json::Value::from(session));
        let own = Finder::new(&said);
        gather(dir, &mut |path| own.find(&head(path)).is_some(), &mut out);
    }
    for workflow in entries(&below.join("workflows")) {
        gather(&workflow, &mut |_| true, &mut out);
    }
    out.sort_by(|a: &Side, b: &Side| a.path.cmp(&b.path));
    out
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(list) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    list.flatten().map(|e| e.path()).collect()
}

/// The beginning of a file: its first line names its session.
fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read names no session.
        let _ = file.take(BEGINNING).read_to_end(&mut bytes);
    }
    bytes
}

/// Adds the subagents' files in a directory that `belongs` takes.
fn gather(dir: &Path, belongs: &mut dyn FnMut(&Path) -> bool, out: &mut Vec<Side>) {
    for path in entries(dir) {
        if out.len() >= MOST {
            return;
        }
        let Some(id) = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_prefix("agent-"))
            .and_then(|n| n.strip_suffix(".jsonl"))
        else {
            continue;
        };
        // A link may lead anywhere: only plain files are read.
        if !path.symlink_metadata().is_ok_and(|m| m.is_file()) || !belongs(&path) {
            continue;
        }
        let id = id.to_owned();
        let (call, agent) = meta(&path.with_extension("meta.json"));
        out.push(Side {
            path,
            thread: id,
            call,
            agent,
        });
    }
}

fn meta(path: &Path) -> (Option<String>, String) {
    let mut text = String::new();
    let plain = path.symlink_metadata().is_ok_and(|m| m.is_file());
    let read = plain
        .then(|| std::fs::File::open(path).ok())
        .flatten()
        .and_then(|f| f.take(LONGEST).read_to_string(&mut text).ok());
    let meta: Meta<'_> = match read {
        Some(_) => serde_json::from_str(&text).unwrap_or_default(),
        None => Meta::default(),
    };
    let call = (!meta.tool_use_id.is_empty()).then(|| (*meta.tool_use_id).to_owned());
    (call, (*meta.agent_type).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_agent_beside_a_session_belongs_to_it_by_its_session_id() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.jsonl", "{}");
        write("b.jsonl", "{}");
        write(
            "agent-1.jsonl",
            r#"{"type":"user","sessionId":"a","message":"b"}"#,
        );
        write("agent-2.jsonl", r#"{"type":"user","sessionId":"ab"}"#);
        let of = |name: &str| -> Vec<String> {
            let sides = sides(&dir.path().join(name));
            sides.into_iter().map(|s| s.thread).collect()
        };
        assert_eq!(of("a.jsonl"), ["1"]);
        assert_eq!(of("b.jsonl"), [""; 0]);
    }
}
