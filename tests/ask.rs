//! `backtrail ask` as its user runs it: a project with steps, a provider on a real socket, configuration files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
mod llm_common;

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::Place;
use llm_common::{FakeLlm, KEY, Say, Speaks};

/// A project in which a file was changed: step 2 is the prompt, 3 the call, @ the change.
fn place() -> Place {
    let place = Place::new();
    place.write("a.txt", "one\n");
    place.ok(&["init"]);
    let emit = r#"{"type":"prompt","session":"s","text":"convert the expiry; the db password: hunter22!"}
{"type":"call","session":"s","id":"c1","name":"Edit","kind":"edit","input":{"path":"a.txt"}}
"#;
    send(&place, emit);
    place.write(
        "a.txt",
        "two\nAPI_KEY=ghp_0123456789abcdefABCDEF0123456789abcd\n",
    );
    send(
        &place,
        "{\"type\":\"result\",\"session\":\"s\",\"id\":\"c1\",\"output\":\"ok\"}\n",
    );
    place.ok(&["checkpoint"]);
    place
}

fn send(place: &Place, lines: &str) {
    use std::io::Write as _;
    let mut child = place
        .command(["emit"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
}

fn configure(place: &Place, toml: &str) {
    let dir = place.path("home/.config/backtrail");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.toml"), toml).unwrap();
}

fn command(place: &Place, args: &[&str]) -> Command {
    let mut c = place.command(args);
    c.env_remove("XDG_CONFIG_HOME")
        .env_remove("OPENAI_API_KEY")
        .env_remove("ANTHROPIC_API_KEY");
    c
}

fn run(place: &Place, args: &[&str]) -> Output {
    command(place, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_answer_streams_and_cites_steps() {
    let place = place();
    for speaks in [Speaks::OpenAi, Speaks::Anthropic, Speaks::Ollama] {
        let llm = FakeLlm::scripted(
            speaks,
            [Say::text(
                "It was asked for [2] and done\x1b[2J in [3]; see [99].",
            )],
        );
        configure(&place, &llm.toml());
        let out = run(&place, &["ask", "3", "@", "why is a.txt so?"]);
        let (said, told) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "{told}");
        assert!(
            said.starts_with("It was asked for [2] and done\\x1b[2J in [3]; see [99].\n"),
            "{said}"
        );
        assert!(said.contains("\ncites 2 3\n"), "{said}");
        assert!(said.contains("99, which it was not given"), "{said}");
        assert!(told.contains("812 tokens in, 34 out"), "{told}");
        assert!(told.contains("github-token taken out"), "{told}");
        let sent = llm.requests().remove(0).text;
        for part in [
            "why is a.txt so?",
            "convert the expiry",
            "+two",
            "API_KEY=[redacted:github-token]",
            "-one",
        ] {
            assert!(sent.contains(part), "{speaks:?}: no {part} in {sent}");
        }
        for secret in ["ghp_0123", "hunter22", KEY] {
            assert!(!sent.contains(secret), "{sent}");
        }
    }
}

#[test]
fn words_come_as_they_are_said() {
    let place = place();
    let llm = FakeLlm::scripted(
        Speaks::Anthropic,
        [Say::Stalls("The first line.\n".to_owned())],
    );
    configure(&place, &llm.toml());
    let mut child = command(&place, &["ask", "what happened?"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    // The provider is still silent in the middle of its answer.
    assert_eq!(line, "The first line.\n");
    child.kill().unwrap();
    child.wait().unwrap();
    llm.wait_for_hang_up();
}

#[test]
fn a_dry_run_prints_what_would_be_sent_and_sends_nothing() {
    let place = place();
    let unset = run(&place, &["ask", "--dry-run", "3", "@", "why?"]);
    assert!(unset.status.success(), "{}", text(&unset.stderr));
    assert!(text(&unset.stderr).contains("no model is configured"));
    let llm = FakeLlm::scripted(Speaks::OpenAi, [Say::text("[2]")]);
    configure(&place, &llm.toml());
    let dry = run(&place, &["ask", "--dry-run", "3", "@", "why?"]);
    let printed = text(&dry.stdout);
    assert_eq!(printed, text(&unset.stdout));
    assert!(printed.contains("[redacted:github-token]") && !printed.contains("ghp_"));
    assert_eq!(llm.requests().len(), 0);
    assert!(run(&place, &["ask", "3", "@", "why?"]).status.success());
    let sent = llm.requests().remove(0).body;
    let texts: Vec<&str> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["content"].as_str().unwrap())
        .collect();
    assert_eq!(printed, format!("{}\n", texts.join("\n\n")));
}

#[test]
fn json_has_all_of_it() {
    let place = place();
    let llm = FakeLlm::scripted(Speaks::OpenAi, [Say::text("Because of [1].")]);
    configure(&place, &llm.toml());
    let out = run(&place, &["ask", "--json", "--model", "other", "1", "why?"]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["answer"], "Because of [1].");
    assert_eq!(json["cites"], serde_json::json!(["1"]));
    assert_eq!(json["model"], "other");
    assert_eq!(json["usage"]["input"], 812);
    assert_eq!(llm.requests()[0].body["model"], "other");
}

#[test]
fn without_a_model_it_says_how_and_a_projects_word_sends_nothing() {
    let place = place();
    let out = run(&place, &["ask", "why?"]);
    let told = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1));
    for word in ["[llm]", "provider", "home/.config/backtrail/config.toml"] {
        assert!(told.contains(word), "{told}");
    }
    // A hostile repository.
    let evil = FakeLlm::scripted(Speaks::OpenAi, [Say::text("[1]")]);
    let marker = place.path("ran");
    place.write(
        "backtrail.toml",
        format!(
            "[llm]\nprovider = \"openai\"\nmodel = \"x\"\nurl = \"{}\"\nkey_env = \"SECRET\"\nkey_command = \"touch {}\"\n",
            evil.url(),
            marker.display()
        ),
    );
    for own in [
        "",
        "[llm]\nprovider = \"openai\"\nmodel = \"m\"\nurl = \"http://127.0.0.1:9/\"\nkey_command = \"echo k\"\n",
    ] {
        configure(&place, own);
        let out = command(&place, &["ask", "why?"])
            .env("SECRET", "s3cr3t-s3cr3t")
            .output()
            .unwrap();
        let told = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{told}");
        for key in ["url", "key_env", "key_command"] {
            assert!(
                told.contains(&format!("[llm] {key}: not followed")),
                "{told}"
            );
        }
    }
    assert_eq!(evil.requests().len(), 0);
    assert!(!marker.exists());
}

#[test]
fn what_goes_wrong_is_an_error_in_words() {
    let place = place();
    for (say, word) in [
        (
            Say::Status(429, vec![("retry-after", "30".to_owned())], "{}".to_owned()),
            "wait 30 s",
        ),
        (
            Say::Refuse("I will not".to_owned()),
            "refuses to answer: I will not",
        ),
        (Say::Cut("Half an ans".to_owned()), "cut off"),
    ] {
        let llm = FakeLlm::scripted(Speaks::OpenAi, [say]);
        configure(&place, &llm.toml());
        let out = run(&place, &["ask", "why?"]);
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out.stderr).contains(word), "{}", text(&out.stderr));
    }
    let out = run(&place, &["ask", "99", "why?"]);
    assert!(
        text(&out.stderr).contains("no step 99"),
        "{}",
        text(&out.stderr)
    );
    let out = run(&place, &["ask", "2"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("step 2"));
}

#[test]
fn recordings_can_be_asked_about_and_left_at_once() {
    let place = Place::new();
    let file = place.path("run.jsonl");
    std::fs::write(
        &file,
        concat!(
            r#"{"type":"user","uuid":"1","sessionId":"s","cwd":"/w","timestamp":"2026-01-01T00:00:00Z","message":{"role":"user","content":"say hello"}}"#,
            "\n",
            r#"{"type":"assistant","uuid":"2","parentUuid":"1","sessionId":"s","cwd":"/w","timestamp":"2026-01-01T00:00:01Z","message":{"id":"m1","role":"assistant","model":"x","content":[{"type":"text","text":"hello from the recording"}]}}"#,
            "\n"
        ),
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let llm = FakeLlm::scripted(Speaks::Ollama, [Say::text("It greets [2]."), Say::Never]);
    configure(&place, &llm.toml());
    let out = run(&place, &["ask", "--trace", file, "2", "what does it do?"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(
        text(&out.stdout).contains("cites 2"),
        "{}",
        text(&out.stdout)
    );
    assert!(llm.requests()[0].text.contains("hello from the recording"));

    let mut child = command(&place, &["ask", "--trace", file, "2", "and now?"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    llm.wait_for(2);
    let started = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    let mut rest = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut rest)
        .unwrap();
    assert_eq!(rest, "");
    llm.wait_for_hang_up();
}

/// Emits a call whose arguments hold files, and changes a key in its middle.
#[test]
fn secrets_in_arguments_and_in_parts_of_files_stay_here() {
    let place = Place::new();
    let line = |n: u8| format!("{n:02}MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn3yg\n");
    let key = |seed: u8| -> String {
        let mut key = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned();
        for n in 0..20 {
            key.push_str(&line(if n == 10 { seed } else { n + 30 }));
        }
        key + "-----END RSA PRIVATE KEY-----\n"
    };
    place.write("key.pem", key(10));
    place.ok(&["init"]);
    let inner = serde_json::json!({"db_password": "correcthorse"}).to_string();
    let tail = format!(
        "{}password = \"trombone {}\"",
        "x ".repeat(3_950),
        "staple ".repeat(20)
    );
    let mut lines =
        serde_json::json!({"type": "prompt", "session": "s", "text": "do it"}).to_string();
    for (n, content) in [
        "# app\nDB_PASSWORD=swordfish9\n",
        inner.as_str(),
        "tok:\nghp_0123456789abcdefABCDEF0123456789abcd",
        tail.as_str(),
    ]
    .iter()
    .enumerate()
    {
        lines.push_str(&format!(
            "\n{}",
            serde_json::json!({
                "type": "call", "session": "s", "id": format!("c{n}"), "name": "Write", "kind": "edit",
                "input": {"path": "a", "content": content},
            })
        ));
    }
    send(&place, &format!("{lines}\n"));
    place.write("key.pem", key(11));
    place.ok(&["checkpoint"]);
    let dry = run(
        &place,
        &["ask", "--dry-run", "3", "4", "5", "6", "@", "why?"],
    );
    let sent = text(&dry.stdout);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    assert!(sent.contains("# app") && sent.contains("key.pem"), "{sent}");
    for secret in ["swordfish9", "correcthorse", "ghp_", "trombone", "MIIEpAIB"] {
        assert!(!sent.contains(secret), "{secret} in {sent}");
    }
}
