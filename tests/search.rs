//! Searching what was recorded: a real project under the program, a recording in its file, the command line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;

use backtrail::engine::api::{Found, Hit, Request, Response, Search};
use backtrail::engine::source::Source;
use common::{Place, fuse};
use serde_json::{Value, json};

/// One agent at work: everything that can be found, and things that must not break a search.
const RUN: &str = r#"
say() { printf '%s\n' "$1" | $BT emit; }
say '{"type":"prompt","text":"Please mend the zebra crossing.\nQuickly."}'
say '{"type":"thought","text":"The giraffe test\nmust come first."}'
say '{"type":"call","id":"c1","name":"Write","input":{"file_path":"src/road.txt","content":"a \"quoted\" line"}}'
printf 'kept\nold lane\nlast\n' > src/road.txt
say '{"type":"result","id":"c1"}'
say '{"type":"call","id":"c2","name":"Bash","input":{"command":"make walrus"}}'
printf 'kept\nnew pavement\nlast\n' > src/road.txt
printf '\000binary otter\n' > blob.bin
head -c 2000000 /dev/zero | tr '\000' 'z' > large.txt; echo hippo >> large.txt
say '{"type":"result","id":"c2","output":"running\n   found a na\u00efve \u001b[31mPANGOLIN\u001b[0m here\n","exit_code":2,"is_error":true}'
say '{"type":"message","text":"Nobody saw the lemur. \u202eevil"}'
"#;

/// Records it, without an engine left behind.
fn recorded() -> Option<Place> {
    if !fuse() {
        return None;
    }
    let place = Place::new();
    place.write("src/road.txt", "kept\nold lane\nlast\n\n");
    place.write("README.md", "the badger was always here\n");
    // In a file: the step that says what is run must not hold all of it.
    std::fs::write(place.path("script"), RUN).unwrap();
    let out = place.run(&format!(". {}", place.path("script").display()));
    assert!(out.status.success(), "{out:?}");
    Some(place)
}

fn hits(place: &Place, query: &str) -> Vec<Hit> {
    let found = place.json(&["search", "--json", query]);
    found
        .into_iter()
        .map(|h| serde_json::from_value(h).unwrap())
        .collect()
}

/// Kind of step, where, file, and what was found.
fn told(hit: &Hit) -> (String, String, String, String) {
    let row = hit.row.as_ref().unwrap();
    let kind = serde_json::to_value(row.kind).unwrap();
    (
        kind.as_str().unwrap().to_owned(),
        hit.place.map(|p| p.word().to_owned()).unwrap_or_default(),
        hit.path.clone().unwrap_or_default(),
        hit.excerpt[hit.span.0..hit.span.1].to_owned(),
    )
}

#[test]
fn every_kind_of_text_is_found_where_it_is() {
    let Some(place) = recorded() else { return };
    let only = |query: &str| {
        let all = hits(&place, query);
        assert_eq!(all.len(), 1, "{query}: {all:?}");
        let (kind, at, path, found) = told(&all[0]);
        (kind, at, path, found, all[0].excerpt.clone())
    };
    let parts = |query: &str| {
        let (kind, at, path, found, _) = only(query);
        [kind, at, path, found].join(" ")
    };
    assert_eq!(parts("zebra"), "prompt prompt  zebra");
    assert_eq!(parts("giraffe"), "thought thought  giraffe");
    // Below the first line, too.
    assert_eq!(parts("\"must come\""), "thought thought  must come");
    assert_eq!(parts("walrus"), "call command  walrus");
    assert_eq!(parts("lemur"), "message message  lemur");
    // As it was meant, not as JSON writes it.
    assert_eq!(parts("\"a \\\"quoted\""), "call command  a \"quoted");
    let (_, at, _, found, excerpt) = only("naïve");
    assert_eq!((at.as_str(), found.as_str()), ("output", "naïve"));
    assert_eq!(excerpt, "found a naïve \u{1b}[31mPANGOLIN\u{1b}[0m here");
    assert_eq!(parts("pangolin"), "call output  PANGOLIN");
    // Lines that were added or removed, and no others.
    assert_eq!(parts("pavement"), "call change src/road.txt pavement");
    assert!(hits(&place, "text:~^kept$").is_empty());
    assert!(hits(&place, "badger").is_empty(), "it was there before");
    assert_eq!(
        hits(&place, "\"old lane\"")
            .iter()
            .map(told)
            .map(|t| t.1)
            .collect::<Vec<_>>(),
        ["change"],
        "removed"
    );
    // Binary and large files are named, not looked into.
    assert!(hits(&place, "otter").is_empty());
    assert!(hits(&place, "hippo").is_empty());
    assert_eq!(parts("blob.bin"), "call path blob.bin blob.bin");
    let out = place.bt(&["search", "hippo"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("1 changed file above 1 MiB"), "{said}");
    // By row, by path, by who.
    assert_eq!(parts("exit:!0"), "call   ");
    assert_eq!(
        parts("path:src/** kind:bash"),
        "call path src/road.txt src/road.txt"
    );
    assert_eq!(hits(&place, "by:person").len(), 1);
    assert_eq!(hits(&place, "session:sh kind:call").len(), 2);
    assert_eq!(hits(&place, "branch:main kind:call").len(), 2);
    assert!(hits(&place, "branch:other").is_empty());
    assert_eq!(hits(&place, "!kind:call !kind:marker").len(), 3);
    assert_eq!(hits(&place, "is:change files:>1").len(), 1);
    place.ok(&["label", "ok", "step:1"]);
    assert_eq!(hits(&place, "label:ok").len(), 1);
    assert_eq!(hits(&place, "is:label").len(), 1);
}

#[test]
fn the_command_line_lists_what_fits() {
    let Some(place) = recorded() else { return };
    let text = place.ok(&["search", "kind:bash", "pangolin"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains("make walrus") && lines[0].contains("[exit 2]"),
        "{text}"
    );
    assert!(lines[1].trim_start().starts_with("output"), "{text}");
    assert!(lines[1].contains("na\u{ef}ve \\x1b[31mPANGOLIN"), "{text}");
    assert!(!text.contains('\x1b'));
    let steps = place.ok(&["steps", "--filter", "is:change"]);
    assert_eq!(steps.lines().count(), 2, "{steps}");
    let last = place.ok(&["steps", "--filter", "is:change", "-n", "1"]);
    assert_eq!(
        last.lines().collect::<Vec<_>>(),
        [steps.lines().last().unwrap()]
    );
    let rows = place.json(&["steps", "--json", "--filter", "kind:bash"]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["tool"], "Bash");
    let log = place.json(&["log", "--json", "--filter", "kind:bash"]);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(log[0]["step"], rows[0]["ordinal"]);
    assert!(place.ok(&["log", "--filter", "lemur"]).is_empty());
    assert_eq!(
        place.ok(&["log", "--filter", "step:1.."]),
        place.ok(&["log"])
    );
    // A mistake is pointed at.
    for args in [
        &["search", "kind:bash", "knd:x"][..],
        &["steps", "--filter", "kind:bash knd:x"],
        &["log", "--filter", "kind:bash knd:x"],
    ] {
        let out = place.bt(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&out.stderr);
        let mut lines = said.lines().skip(1);
        assert_eq!(lines.next(), Some("  kind:bash knd:x"), "{said}");
        let below = lines.next().unwrap();
        assert!(
            below.starts_with("            ^^^ there is no key knd"),
            "{said}"
        );
        assert!(below.contains("did you mean kind?"), "{said}");
    }
    assert_eq!(place.bt(&["search", "  "]).status.code(), Some(2));
}

async fn ask(client: &dyn Source, search: Search) -> Found {
    match client.ask(Request::Search(search)).await.unwrap() {
        Response::Found(found) => *found,
        other => panic!("{other:?}"),
    }
}

/// In slices, forward and backward, cut by number and by time; what was not asked for again is over.
#[tokio::test]
async fn a_search_goes_slice_by_slice() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let mut engine = place.engine(None);
    let client = place.client().await;
    let mut events = Vec::new();
    for n in 0..1200 {
        let word = if n % 100 == 7 { "needle" } else { "hay" };
        events.push(
            json!({"type": "thought", "text": format!("{word} {n}"), "session": "s"}).to_string(),
        );
    }
    let input = events.join("\n");
    let file = place.path("events");
    std::fs::write(&file, input).unwrap();
    let status = place
        .command(["emit"])
        .stdin(std::fs::File::open(&file).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    for backward in [false, true] {
        for (limit, budget_ms) in [(1, 2_000), (5_000, 0), (3, 2_000)] {
            let mut search = Search {
                query: "needle".to_owned(),
                backward,
                limit,
                budget_ms,
                ..Search::default()
            };
            let (mut all, mut slices, mut looked) = (Vec::new(), 0, 0);
            loop {
                let found = ask(&*client, search.clone()).await;
                assert!(found.hits.len() <= limit);
                slices += 1;
                looked += found.looked;
                all.extend(found.hits.iter().map(|h| h.ordinal.major));
                match found.next {
                    Some(next) => search.after = Some(next),
                    None => break,
                }
            }
            let mut expected: Vec<u64> = (0..12).map(|n| n * 100 + 8).collect();
            if backward {
                expected.reverse();
            }
            let steps = ask(
                &*client,
                Search {
                    limit: 5_000,
                    budget_ms: 2_000,
                    ..Search::default()
                },
            )
            .await
            .looked;
            assert_eq!(looked, steps, "each step once");
            let first = all[0].min(*all.last().unwrap()) - 8;
            let all: Vec<u64> = all.iter().map(|n| n - first).collect();
            assert_eq!(all, expected);
            assert!(
                slices
                    >= if budget_ms == 0 {
                        1_200
                    } else {
                        12 / limit as u64
                    }
            );
        }
    }
    let error = client
        .ask(Request::Search(Search {
            query: "knd:x".to_owned(),
            ..Search::default()
        }))
        .await
        .unwrap_err();
    assert!(error.message.contains("did you mean kind?"), "{error}");
    client.ask(Request::Stop { force: true }).await.unwrap();
    assert!(engine.gone(std::time::Duration::from_secs(30)));
}

/// The lines of a recording by its number.
fn recording() -> String {
    let base = |uuid: u32, n: u32, rest: Value| {
        let mut line = json!({"uuid": uuid.to_string(), "parentUuid": (uuid > 1).then(|| (uuid - 1).to_string()),
            "timestamp": format!("2026-01-01T10:00:{n:02}Z"), "sessionId": "s-1", "cwd": "/w/app", "version": "1.0.0",
            "isSidechain": false, "userType": "external"});
        line.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        line.to_string()
    };
    let call = |id: &str, name: &str, input: Value| {
        json!({"type": "assistant", "message": {"id": id, "role": "assistant", "model": "m",
            "content": [{"type": "tool_use", "id": id, "name": name, "input": input}]}})
    };
    let result = |id: &str, text: &str, error: bool| {
        json!({"type": "user", "message": {"role": "user",
            "content": [{"type": "tool_result", "tool_use_id": id, "content": text, "is_error": error}]}})
    };
    [
        base(1, 0, json!({"type": "user", "message": {"role": "user", "content": "Count the zebras."}})),
        base(2, 1, call("t1", "Write", json!({"file_path": "/w/app/src/count.txt", "content": "one\ntwo walrus\n"}))),
        base(3, 2, result("t1", "File created successfully at: /w/app/src/count.txt", false)),
        base(4, 3, call("t2", "Bash", json!({"command": "make check"}))),
        base(5, 4, result("t2", "Exit code 1\nno giraffe\there", true)),
        base(6, 5, call("t3", "Edit", json!({"file_path": "/w/app/src/count.txt", "old_string": "one", "new_string": "three"}))),
        base(7, 6, result("t3", "The file /w/app/src/count.txt has been updated.", false)),
    ]
    .join("\n")
        + "\n"
}

#[test]
fn a_recording_is_searched_as_a_project_is() {
    let place = Place::new();
    let file = place.path("run.jsonl");
    std::fs::write(&file, recording()).unwrap();
    let file = file.to_str().unwrap();
    let found = |query: &str| -> Vec<String> {
        let all = place.json(&["search", "--json", "--trace", file, query]);
        all.into_iter()
            .map(|h| {
                let hit: Hit = serde_json::from_value(h).unwrap();
                let (_, at, path, text) = told(&hit);
                format!("{} {at} {path} {text}", hit.ordinal)
            })
            .collect()
    };
    assert_eq!(found("zebra"), ["1 prompt  zebra"]);
    assert_eq!(found("giraffe"), ["3 output  giraffe"]);
    assert_eq!(found("text:~^three$"), ["4 command  three"]);
    assert_eq!(found("kind:edit,write two"), ["2 command  two"]);
    // Files are named from the agent's directory.
    let of: BTreeMap<&str, usize> = [
        "path:src/**",
        "path:/src",
        "path:w",
        "path:count.txt is:change",
        "path:!src/**",
    ]
    .into_iter()
    .map(|q| (q, found(q).len()))
    .collect();
    let expected = [
        ("path:src/**", 2),
        ("path:/src", 2),
        ("path:w", 0),
        ("path:count.txt is:change", 2),
        ("path:!src/**", 0),
    ];
    assert_eq!(of, expected.into_iter().collect());
    assert_eq!(
        place
            .json(&["steps", "--json", "--filter", "is:failed", "--trace", file])
            .len(),
        1
    );
    assert_eq!(
        place
            .json(&["log", "--json", "--filter", "lines:>0", "--trace", file])
            .len(),
        2
    );
    assert_eq!(found("session:s-1").len(), 4);
    assert_eq!(found("by:claude*").len(), found("by:agent").len());
    let out = place.bt(&["search", "--trace", file, "exit:x"]);
    assert_eq!(out.status.code(), Some(2));
}

/// What the failing test of the demo said is found in the output that said it.
#[test]
fn the_failing_test_of_the_demo_is_found() {
    if !fuse() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let run = |args: &[&str], dir: &std::path::Path, top: Option<&std::path::Path>| {
        let mut c = std::process::Command::new(env!("CARGO_BIN_EXE_backtrail"));
        c.args(args)
            .current_dir(dir)
            .env("TMPDIR", tmp.path())
            .stdin(std::process::Stdio::null());
        for name in [
            "BACKTRAIL_SOCKET",
            "BACKTRAIL_PROJECT",
            "BACKTRAIL_DEMO_PACE",
        ] {
            c.env_remove(name);
        }
        if let Some(top) = top {
            c.env("BACKTRAIL_DATA", top.join("data"));
            c.env("BACKTRAIL_RUNTIME", top.join("run"));
        }
        let out = c.output().unwrap();
        assert!(out.status.success(), "{args:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    run(&["demo", "--keep"], tmp.path(), None);
    let top = std::fs::read_dir(tmp.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let project = top.join("tokens");
    let text = run(
        &["search", "--json", "text:~^FAIL", "exit:!0"],
        &project,
        Some(&top),
    );
    let hits: Vec<Hit> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(hits.len(), 3, "{text}");
    for hit in &hits {
        assert_eq!(told(hit).1, "output");
        assert!(hit.row.as_ref().unwrap().title.contains("tests/run.sh"));
    }
}
