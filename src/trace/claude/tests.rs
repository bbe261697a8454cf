//! Every shape of line that was met, and the real recordings where they are there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::model::CallKind;
use crate::trace::event::{Before, Body, Ending, Event, MarkerKind, Span, Stage, What};

/// The directory of real recordings, where there is one.
fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
        PathBuf::from,
    );
    let there = dir.join("INDEX.json").is_file();
    if !there {
        eprintln!("skipped: no real recordings here (BACKTRAIL_TRACES names their directory)");
    }
    there.then_some(dir)
}

fn record(bytes: &[u8]) -> Record<'_> {
    Record {
        bytes,
        span: Span::default(),
        tag: "",
    }
}

fn events(line: &str) -> Vec<Event<'_>> {
    let mut out = Out::default();
    Claude.events(record(line.as_bytes()), &mut State::default(), &mut out);
    assert_eq!(out.counted, 1);
    for (at, event) in out.events.iter().enumerate() {
        assert_eq!(usize::from(event.part), at, "parts are unique");
    }
    out.events
}

fn effects(line: &str) -> Vec<FileEffect> {
    let mut out = Vec::new();
    Claude.effects(record(line.as_bytes()), &State::default(), &mut out);
    assert!(
        out.is_empty() || Claude.has_effects(record(line.as_bytes())),
        "{line}"
    );
    out
}

/// The bytes of each object of a file, as `records::lines` would cut them.
fn objects(bytes: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    for line in bytes.split(|b| *b == b'\n') {
        let mut stream =
            serde_json::Deserializer::from_slice(line).into_iter::<serde::de::IgnoredAny>();
        let mut from = 0;
        while let Some(Ok(_)) = stream.next() {
            out.push(line[from..stream.byte_offset()].trim_ascii());
            from = stream.byte_offset();
        }
    }
    out
}

fn word(body: &Body<'_>) -> String {
    match body {
        Body::Session(_) => "session".into(),
        Body::Prompt(_) => "prompt".into(),
        Body::Thought(_) => "thought".into(),
        Body::Message(_) => "message".into(),
        Body::Image { .. } => "image".into(),
        Body::Call(_) => "call".into(),
        Body::Result(_) => "result".into(),
        Body::About(_) => "about".into(),
        Body::Usage(_) => "usage".into(),
        Body::Marker { kind, .. } => kind.word().into(),
        Body::Rewind { .. } => "rewind".into(),
        Body::Leaf(_) => "leaf".into(),
        Body::Link => "link".into(),
        Body::Unknown { name } => format!("UNKNOWN {name}"),
    }
}

#[test]
fn real_recordings() {
    let Some(dir) = shared() else { return };
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("INDEX.json")).unwrap()).unwrap();
    let mut seen = 0;
    for entry in index.as_array().unwrap() {
        if entry["agent"] != "claude-code" {
            continue;
        }
        seen += 1;
        let file = entry["file"].as_str().unwrap();
        let bytes = std::fs::read(dir.join(file)).unwrap();
        let objects = objects(&bytes);
        let heads: Vec<Value> = objects
            .iter()
            .take(20)
            .map(|o| serde_json::from_slice(o).unwrap())
            .collect();
        let head = Head {
            bytes: &bytes[..bytes.len().min(65536)],
            whole: false,
            lines: &heads,
            name: "x",
        };
        assert!(Claude.sniff(&head) >= 90, "{file}");
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        let mut counted = 0;
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for object in &objects {
            let text = std::str::from_utf8(object).unwrap();
            let mut out = Out::default();
            Claude.events(record(object), &mut State::default(), &mut out);
            counted += u64::from(out.counted);
            for event in &out.events {
                *count.entry(word(&event.body)).or_default() += 1;
                match &event.body {
                    Body::Call(c) => *calls.entry(c.id.clone().into_owned()).or_default() += 1,
                    Body::Result(r) => {
                        assert!(
                            calls.contains_key(&*r.id),
                            "{file}: a result without a call"
                        );
                    }
                    _ => {}
                }
            }
            for effect in effects(text) {
                let name = match (&effect.stage, &effect.what) {
                    (Stage::Declared, _) => "~declared",
                    (_, What::Seen(_)) => "~seen",
                    (_, What::SeenPart { .. }) => "~part",
                    (_, What::Write(_)) => "~write",
                    (_, What::Replace(_)) => "~replace",
                    (_, what) => panic!("{file}: {what:?}"),
                };
                *count.entry(name.into()).or_default() += 1;
            }
        }
        println!("{file} {count:?}");
        assert_eq!(counted, entry["events"].as_u64().unwrap(), "{file}");
        assert!(!count.keys().any(|k| k.starts_with("UNKNOWN")), "{file}");
    }
    assert!(seen >= 12);
}

/// A line of the conversation with these further fields.
fn talk(kind: &str, fields: &str) -> String {
    format!(
        r#"{{"parentUuid":"p","isSidechain":false,"cwd":"/w","sessionId":"s","version":"2.1.9","gitBranch":"main","type":"{kind}","uuid":"u","timestamp":"2026-01-02T03:04:05.678Z",{fields}}}"#
    )
}

fn bodies(line: &str) -> Vec<Body<'_>> {
    events(line).into_iter().map(|e| e.body).collect()
}

fn words(line: &str) -> Vec<String> {
    bodies(line).iter().map(word).collect()
}

#[test]
fn an_answer_is_told_block_by_block() {
    let line = talk(
        "assistant",
        r#""message":{"id":"m1","model":"opus","role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"so"},{"type":"tool_use","id":"c1","name":"Task","input":{"subagent_type":"Explore","description":"look","prompt":"go"}}],"usage":{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":4}}"#,
    );
    let all = events(&line);
    let kinds: Vec<String> = all.iter().map(|e| word(&e.body)).collect();
    assert_eq!(
        kinds,
        ["session", "thought", "message", "call", "about", "usage"]
    );
    for event in &all {
        assert_eq!((&*event.native, &*event.answer), ("u", "m1"));
        assert_eq!(event.parent.as_deref(), Some("p"));
        assert_eq!(
            event.time,
            crate::model::Time::parse("2026-01-02T03:04:05.678Z")
        );
        assert_eq!(&*event.thread, "");
    }
    let Body::Call(call) = &all[3].body else {
        panic!("a call")
    };
    assert_eq!(call.kind, Some(CallKind::Agent));
    assert_eq!(call.title.as_deref(), Some("look"));
    assert!(call.input.starts_with("{\"subagent_type\""));
    let Body::About(about) = &all[4].body else {
        panic!("about the call")
    };
    assert_eq!(about.agent.as_deref(), Some("Explore"));
    assert_eq!(about.end, Ending::Open);
    let Body::Usage(usage) = &all[5].body else {
        panic!("usage")
    };
    assert_eq!(
        (
            usage.input,
            usage.output,
            usage.cache_write,
            usage.cache_read
        ),
        (1, 2, 3, 4)
    );
}

#[test]
fn results_end_well_or_not() {
    let end = |fields: &str| {
        let line = talk("user", fields);
        match bodies(&line).swap_remove(0) {
            Body::Result(r) => (r.end, r.exit_code, r.output.into_owned()),
            other => panic!("{other:?}"),
        }
    };
    let of = |block: &str, told: &str| {
        end(&format!(
            r#""message":{{"content":[{{"type":"tool_result","tool_use_id":"c",{block}}}]}},"toolUseResult":{told}"#
        ))
    };
    assert_eq!(
        of(
            r#""content":"ok""#,
            r#"{"stdout":"ok","interrupted":false}"#
        ),
        (Ending::Ok, None, "ok".into())
    );
    assert_eq!(
        of(
            r#""content":"Exit code 2\nbad","is_error":true"#,
            r#""Error: Exit code 2""#
        ),
        (Ending::Error, Some(2), "Exit code 2\nbad".into())
    );
    assert_eq!(
        of(
            r#""content":"The user doesn't want to proceed","is_error":true"#,
            r#""User rejected tool use""#
        )
        .0,
        Ending::Aborted
    );
    assert_eq!(
        of(
            r#""content":[{"type":"text","text":"a"},{"type":"tool_reference","tool_name":"B"}]"#,
            "null"
        ),
        (Ending::Ok, None, "a\nB".into())
    );
}

#[test]
fn prompts_come_before_their_images_and_after_results() {
    let line = talk(
        "user",
        r#""message":{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAAAAAA"}},{"type":"text","text":"look"},{"type":"tool_result","tool_use_id":"c","content":"no"},{"type":"text","text":"closely"}]}"#,
    );
    let all = bodies(&line);
    assert_eq!(
        all[1..],
        [
            Body::Result(crate::trace::event::Outcome {
                id: "c".into(),
                output: "no".into(),
                ..Default::default()
            }),
            Body::Prompt("look\n\nclosely".into()),
            Body::Image {
                media: "image/png".into(),
                bytes: 6
            },
        ]
    );
}

#[test]
fn what_the_program_says_is_no_prompt() {
    for (fields, kind) in [
        (
            r#""isMeta":true,"message":{"content":"text of a skill"}"#,
            MarkerKind::Context,
        ),
        (
            r#""isCompactSummary":true,"message":{"content":"so far"}"#,
            MarkerKind::Compaction,
        ),
        (
            r#""promptSource":"system","message":{"content":"an agent ended"}"#,
            MarkerKind::Note,
        ),
    ] {
        let line = talk("user", fields);
        let last = bodies(&line).pop().unwrap();
        assert!(
            matches!(last, Body::Marker { kind: k, .. } if k == kind),
            "{last:?}"
        );
    }
    assert_eq!(
        words(&talk("user", r#""message":{"content":"hello"}"#)),
        ["session", "prompt"]
    );
    let told =
        r#""attachment":{"type":"queued_command","prompt":"also this","commandMode":"prompt"}"#;
    assert_eq!(words(&talk("attachment", told)), ["prompt"]);
}

#[test]
fn subagents_speak_in_their_threads() {
    let line = r#"{"type":"progress","uuid":"u","parentUuid":"p","sessionId":"s","parentToolUseID":"c0","data":{"type":"agent_progress","agentId":"a1","message":{"type":"assistant","uuid":"v","timestamp":"2026-01-02T03:04:05Z","message":{"id":"m","content":[{"type":"tool_use","id":"c1","name":"Write","input":{"file_path":"/w/a","content":"x"}}]}}}}"#;
    let all = events(line);
    assert_eq!(
        all.iter().map(|e| word(&e.body)).collect::<Vec<_>>(),
        ["link", "about", "call"]
    );
    assert_eq!((&*all[0].native, &*all[0].thread), ("u", ""));
    assert!(
        matches!(&all[1].body, Body::About(o) if &*o.id == "c0" && o.child.as_deref() == Some("a1"))
    );
    assert_eq!(
        (&*all[2].native, &*all[2].thread, &*all[2].answer),
        ("v", "a1", "m")
    );
    assert_eq!(effects(line)[0].stage, Stage::Declared);
    let old = talk("user", r#""message":{"content":"x"}"#)
        .replace("Sidechain\":false", "Sidechain\":true");
    assert_eq!(&*events(&old)[0].thread, "sidechain");
}

#[test]
fn states_and_markers() {
    let boundary = r#"{"type":"system","subtype":"compact_boundary","uuid":"u","parentUuid":null,"logicalParentUuid":"q","content":"Conversation compacted","compactMetadata":{"trigger":"auto","preTokens":7}}"#;
    let event = events(boundary).swap_remove(0);
    assert_eq!(event.parent.as_deref(), Some("q"));
    assert_eq!(
        event.body,
        Body::Marker {
            kind: MarkerKind::Compaction,
            text: "Conversation compacted (auto, 7 tokens before)".into()
        }
    );
    let root = r#"{"type":"user","uuid":"u","parentUuid":null,"message":{"content":"x"}}"#;
    assert_eq!(events(root)[0].parent.as_deref(), Some(""));
    assert_eq!(words(r#"{"type":"last-prompt","leafUuid":"u"}"#), ["leaf"]);
    assert_eq!(
        words(r#"{"type":"file-history-snapshot","messageId":"m"}"#),
        [""; 0]
    );
    assert_eq!(
        words(r#"{"type":"tomorrow","uuid":"u"}"#),
        ["UNKNOWN tomorrow"]
    );
    assert_eq!(words("{\"type\":\"user\",\"mess"), ["UNKNOWN not JSON"]);
    assert_eq!(words("[1]"), ["UNKNOWN not a line of a transcript"]);
    let odd =
        r#"{"type":"assistant","uuid":"u","message":{"content":[{"type":"hologram"},3,"bare"]}}"#;
    assert_eq!(words(odd), ["session", "UNKNOWN hologram", "message"]);
}

/// The effect of a result with this structured part.
fn told(told: &str) -> Vec<FileEffect> {
    effects(&talk(
        "user",
        &format!(
            r#""message":{{"content":[{{"type":"tool_result","tool_use_id":"c","content":"done"}}]}},"toolUseResult":{told}"#
        ),
    ))
}

#[test]
fn what_results_say_about_files() {
    let one = |t: &str| {
        let mut all = told(t);
        assert_eq!(all.len(), 1, "{t}");
        let e = all.swap_remove(0);
        assert_eq!(
            (&*e.call, e.cwd.as_deref(), e.stage),
            ("c", Some("/w"), Stage::Applied)
        );
        (e.before, e.what)
    };
    assert_eq!(
        one(
            r#"{"type":"create","filePath":"/w/a","content":"x\n","structuredPatch":[],"originalFile":null}"#
        ),
        (Before::Absent, What::Write("x\n".into()))
    );
    assert_eq!(
        one(r#"{"type":"update","filePath":"/w/a","content":"y\n","originalFile":"x\n"}"#),
        (Before::Content("x\n".into()), What::Write("y\n".into()))
    );
    let edit = |old: &str, new: &str, original: &str, removed: usize| {
        let (before, what) = one(&format!(
            r#"{{"filePath":"/w/a","oldString":"{old}","newString":"{new}","originalFile":{original},"replaceAll":false,"userModified":false,"structuredPatch":[{{"oldStart":1,"oldLines":{},"newStart":1,"newLines":3,"lines":[]}}]}}"#,
            3 + removed
        ));
        let What::Replace(mut all) = what else {
            panic!("{what:?}")
        };
        (before, all.swap_remove(0).old)
    };
    assert_eq!(
        edit("b", "c", "\"a\\nb\\n\"", 0),
        (Before::Content("a\nb\n".into()), "b".into())
    );
    // A text replaced by nothing takes the end of its line with it.
    assert_eq!(edit("b", "", "\"a\\nb\\n\"", 1).1, "b\n");
    assert_eq!(edit("b", "", "\"a\\nbc\\n\"", 0).1, "b");
    assert_eq!(edit("b", "", "null", 1), (Before::NotTold, "b\n".into()));
    assert_eq!(edit("b", "", "null", 0).1, "b");
    let (before, what) = one(
        r#"{"filePath":"/w/a","edits":[{"old_string":"a","new_string":"b"},{"old_string":"b","new_string":"","replace_all":true}],"originalFileContents":"a\nz","structuredPatch":[]}"#,
    );
    assert_eq!(before, Before::Content("a\nz".into()));
    let What::Replace(all) = what else {
        panic!("{what:?}")
    };
    assert_eq!(
        (all[0].old.as_str(), all[1].old.as_str(), all[1].all),
        ("a", "b\n", true)
    );
    assert!(told("\"Error: no\"").is_empty());
}

#[test]
fn what_was_read() {
    let file = |content: &str, from: usize, lines: usize, of: usize| {
        told(&format!(
            r#"{{"type":"text","file":{{"filePath":"/w/a","content":"{content}","numLines":{lines},"startLine":{from},"totalLines":{of}}}}}"#
        ))
        .pop()
        .map(|e| e.what)
    };
    assert_eq!(file("a\\nb\\n", 1, 3, 3), Some(What::Seen("a\nb\n".into())));
    assert_eq!(file("", 1, 1, 1), Some(What::Seen(String::new())));
    let part = |text: &str, from| {
        Some(What::SeenPart {
            text: text.into(),
            from,
            of: 9,
        })
    };
    assert_eq!(file("a\\nb", 1, 2, 9), part("a\nb\n", 1));
    assert_eq!(file("y\\nz", 8, 2, 9), part("y\nz", 8));
}

/// A file's content after an effect on `before`; `None` where that is not known.
fn after(before: Option<&str>, what: &What) -> Option<String> {
    match what {
        What::Write(text) | What::Seen(text) => Some(text.clone()),
        What::Replace(all) => {
            let mut text = before?.to_owned();
            for one in all {
                assert!(text.contains(&one.old), "{:?}", one.old);
                text = if one.all {
                    text.replace(&one.old, &one.new)
                } else {
                    text.replacen(&one.old, &one.new, 1)
                };
            }
            Some(text)
        }
        _ => None,
    }
}

/// Each file-changing call of the recordings whose files' true contents are known, by git's ids of them.
#[test]
fn effects_are_what_happened() {
    let Some(dir) = shared() else { return };
    let id = |text: &str| {
        crate::model::git_sha1(text.as_bytes())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let (mut exact, mut untold) = (0, 0);
    for entry in std::fs::read_dir(dir.join("oracle")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let transcript = dir.join("claude-code").join(format!("{name}.jsonl"));
        let Ok(bytes) = std::fs::read(transcript) else {
            continue;
        };
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut told: BTreeMap<String, Vec<FileEffect>> = BTreeMap::new();
        for object in objects(&bytes) {
            for effect in effects(std::str::from_utf8(object).unwrap()) {
                if effect.stage == Stage::Applied {
                    told.entry(effect.call.clone()).or_default().push(effect);
                }
            }
        }
        for step in oracle["steps"].as_array().unwrap() {
            let call = step["tool_use_id"].as_str().unwrap();
            let [effect] = told[call].as_slice() else {
                panic!("{name} {call}: not one effect")
            };
            assert!(effect.path.ends_with(step["path"].as_str().unwrap()));
            let before = match &effect.before {
                Before::Content(text) => {
                    assert_eq!(step["before"], id(text), "{name} {call}");
                    Some(text.as_str())
                }
                Before::Absent => None,
                Before::NotTold => None,
            };
            match after(before, &effect.what) {
                Some(text) => {
                    // Outside of the repository the program adds to what the call asks for, and only the call was
                    // looked at for the true contents.
                    if step["check"] != "outside" && !step["after"].is_null() {
                        assert_eq!(step["after"], id(&text), "{name} {call}");
                    }
                    exact += 1;
                }
                None => untold += 1,
            }
        }
    }
    println!("{exact} exact, {untold} without the content before");
    assert!(exact >= 130, "{exact}");
}

#[test]
fn side_files_of_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("0a1b.jsonl");
    let below = dir.path().join("0a1b/subagents");
    std::fs::create_dir_all(below.join("workflows/wf1")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(below.join(name), text).unwrap();
    std::fs::write(&main, "").unwrap();
    write("agent-a1.jsonl", "");
    write(
        "agent-a1.meta.json",
        r#"{"agentType":"Explore","description":"d","toolUseId":"toolu_1"}"#,
    );
    write("agent-b2.jsonl", "");
    write("agent-b2.meta.json", "[nonsense");
    write("notes.txt", "");
    write("workflows/wf1/agent-c3.jsonl", "");
    write("workflows/wf1/journal.jsonl", "");
    // As earlier versions did it; one of another session lies there too.
    for (id, session) in [("d4", "0a1b"), ("e5", "ffff")] {
        let line = format!(r#"{{"type":"user","sessionId":"{session}"}}"#);
        std::fs::write(dir.path().join(format!("agent-{id}.jsonl")), line).unwrap();
    }
    let sides = Claude.sides(&main);
    let told: Vec<_> = sides
        .iter()
        .map(|s| (s.thread.as_str(), s.call.as_deref(), s.agent.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("a1", Some("toolu_1"), "Explore"),
            ("b2", None, ""),
            ("c3", None, ""),
            ("d4", None, "")
        ]
    );
    assert!(Claude.sides(&dir.path().join("other.jsonl")).is_empty());
    assert!(Claude.is_recording(&main));
    for side in &sides {
        assert!(!Claude.is_recording(&side.path));
    }
    let home = Home {
        dir: "/home/me".into(),
        ..Home::default()
    };
    assert_eq!(
        Claude.places(&home),
        [Path::new("/home/me/.claude/projects")]
    );
}
