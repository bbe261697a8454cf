//! A merge that is not finished: kept over kills and restarts, made again when a side moves, taken back act by act.

use std::time::Duration;

use backtrail::engine::api::{MergeInfo, PickOrigin, ProposalRecord, Request, Response};
use backtrail::engine::source::Source;
use backtrail::merge::resolve::Pick;
use backtrail::model::{Bytes, RepoPath, Time};

use crate::common::{Place, ask, fuse};
use crate::support::*;

fn numbered(change: &[(usize, &str)]) -> String {
    (0..40)
        .map(|n| match change.iter().find(|(at, _)| *at == n) {
            Some((_, text)) => format!("{text}\n"),
            None => format!("line {n}\n"),
        })
        .collect()
}

fn two_hunks() -> Place {
    parted(
        |p| {
            p.write("f.txt", numbered(&[]));
            p.write("g.txt", "g\n");
        },
        |p| {
            p.write("f.txt", numbered(&[(5, "theirs"), (30, "their end")]));
            p.write("g.txt", "theirs\n");
            p.write("new.txt", "n\n");
        },
        |p| {
            p.write("f.txt", numbered(&[(5, "ours"), (30, "our end")]));
            p.write("g.txt", "ours\n");
        },
    )
}

fn record_of(place: &Place) -> std::path::PathBuf {
    let dir = place.path("data").join("projects");
    let dir = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap();
    dir.path().join("merge")
}

#[test]
fn picks_are_kept_over_processes_and_taken_back_one_by_one() {
    let place = two_hunks();
    let before = (files(&place), tips(&place));
    let info = json_of(&place, &["merge", "try"], 1);
    assert_eq!(
        (info["left"].as_u64(), info["undoable"].as_u64()),
        (Some(2), Some(0))
    );
    // Every one of these is a process of its own.
    let info = json_of(&place, &["merge", "--pick", "f.txt#2=theirs"], 0);
    assert_eq!(info["conflicts"][0]["settled"], 1);
    assert_ne!(
        info["id"],
        json_of(&place, &["merge", "--pick", "g.txt=base"], 0)["id"]
    );
    place.write("edited", "by hand\n");
    std::fs::rename(place.project.join("edited"), place.path("edited")).unwrap();
    let edited = format!("f.txt#1={}", place.path("edited").display());
    let info = json_of(&place, &["merge", "--pick", &edited], 0);
    assert_eq!(
        (info["left"].as_u64(), info["undoable"].as_u64()),
        (Some(0), Some(3))
    );
    let info = json_of(&place, &["merge", "--unpick"], 0);
    assert_eq!(
        (info["left"].as_u64(), info["undoable"].as_u64()),
        (Some(1), Some(2))
    );
    json_of(&place, &["merge", "--pick", "g.txt="], 0);
    let info = json_of(&place, &["merge", "--status"], 0);
    assert_eq!(info["left"], 2, "g.txt is unsettled again");
    json_of(&place, &["merge", "--unpick"], 0);
    // All of a file, then one hunk of it otherwise.
    json_of(&place, &["merge", "--pick", "f.txt=ours"], 0);
    let info = json_of(&place, &["merge", "--pick", "f.txt#2=both"], 0);
    assert_eq!(info["left"], 0);
    assert_eq!(
        (files(&place), tips(&place)),
        before,
        "nothing is written yet"
    );
    let status = place.json(&["status", "--json"]).remove(0);
    assert_eq!(status["merging"]["branch"], "try");
    assert!(refused(&place, &["merge", &before.1["try"]]).contains("another merge is unfinished"));
    // A bad number, a bad path, a pick that cannot be.
    for (pick, word) in [
        ("f.txt#3=ours", "2 hunks"),
        ("none=ours", "no conflict"),
        ("g.txt=nofile", "no file"),
    ] {
        let said = refused(&place, &["merge", "--pick", pick]);
        assert!(said.contains(word), "{pick}: {said}");
    }
    place.ok(&["merge", "--continue", "-m", "done"]);
    assert_eq!(
        read(&place, "f.txt"),
        numbered(&[(5, "ours"), (30, "our end\ntheir end")])
    );
    assert_eq!(read(&place, "g.txt"), "g\n");
    assert!(!record_of(&place).exists());
    let shown = show(&place, "@");
    assert_eq!(shown["commit"]["message"], "done");
    assert!(
        shown["meta"]["settled"]
            .as_str()
            .unwrap()
            .contains("person")
    );
    place.ok(&["undo"]);
    assert_eq!(files(&place), before.0);
}

#[test]
fn a_side_that_moves_keeps_the_picks_that_fit() {
    let place = two_hunks();
    json_of(&place, &["merge", "try"], 1);
    json_of(
        &place,
        &[
            "merge",
            "--pick",
            "f.txt#2=theirs",
            "--pick",
            "g.txt=theirs",
        ],
        0,
    );
    // Ours: lines come before, one hunk changes; theirs: another file.
    place.write(
        "f.txt",
        format!("top\n{}", numbered(&[(5, "ours again"), (30, "our end")])),
    );
    place.ok(&["checkpoint", "-m", "moved"]);
    let info = json_of(&place, &["merge", "--status"], 0);
    assert_eq!(info["remade"], true);
    assert_eq!(
        (info["left"].as_u64(), info["undoable"].as_u64()),
        (Some(1), Some(2))
    );
    json_of(&place, &["merge", "--pick", "f.txt#1=theirs"], 0);
    place.ok(&["switch", "try"]);
    place.write("g.txt", "theirs again\n");
    place.ok(&["switch", "main"]);
    let info = json_of(&place, &["merge", "--status"], 0);
    assert_eq!(info["left"], 1, "{info}");
    assert!(
        !conflicts(&info)["g.txt"].1,
        "what was picked is not what is there now"
    );
    json_of(&place, &["merge", "--pick", "g.txt=theirs"], 0);
    // What is not committed when it is finished is a side of it as well.
    place.write("unsaved.txt", "u\n");
    place.ok(&["merge", "--continue"]);
    let wanted = format!("top\n{}", numbered(&[(5, "theirs"), (30, "their end")]));
    assert_eq!(read(&place, "f.txt"), wanted);
    assert_eq!(read(&place, "g.txt"), "theirs again\n");
    assert_eq!(read(&place, "unsaved.txt"), "u\n");
    assert_eq!(place.ok(&["cat", "@~1:unsaved.txt"]), "u\n");
    sound(&place);
}

/// As [`two_hunks`], with a line between them that only theirs changed: when ours changes it too, it is hunk 2 of 3.
fn one_to_come() -> Place {
    parted(
        |p| p.write("f.txt", numbered(&[])),
        |p| {
            p.write(
                "f.txt",
                numbered(&[(5, "theirs"), (17, "their middle"), (30, "their end")]),
            );
        },
        |p| p.write("f.txt", numbered(&[(5, "ours"), (30, "our end")])),
    )
}

fn ours_moves(place: &Place, first: &str) {
    let change = [(5, first), (17, "our middle"), (30, "our end")];
    place.write("f.txt", numbered(&change));
    place.ok(&["checkpoint", "-m", "moved"]);
}

#[test]
fn a_number_of_an_earlier_list_picks_nothing_else() {
    let place = one_to_come();
    assert_eq!(json_of(&place, &["merge", "try"], 1)["left"], 1);
    ours_moves(&place, "ours");
    let out = place.bt(&["merge", "--pick", "f.txt#2=theirs"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !out.status.success() && said.contains("a side has moved"),
        "{said}"
    );
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(shown.contains("f.txt"), "it is shown as it is now: {shown}");
    let info = json_of(&place, &["merge", "--status"], 0);
    assert_eq!(
        (
            info["undoable"].as_u64(),
            info["conflicts"][0]["hunks"].as_u64()
        ),
        (Some(0), Some(3)),
        "{info}"
    );
    // Now it has been seen.
    json_of(&place, &["merge", "--pick", "f.txt#3=theirs"], 0);
    // A move that leaves the numbers as they are is in nobody's way, and a whole file has none.
    place.write("other.txt", "o\n");
    place.ok(&["checkpoint", "-m", "elsewhere"]);
    json_of(&place, &["merge", "--pick", "f.txt#2=ours"], 0);
    ours_moves(&place, "ours again");
    json_of(&place, &["merge", "--pick", "f.txt=theirs"], 0);
    place.ok(&["merge", "--continue"]);
    let wanted = [(5, "theirs"), (17, "their middle"), (30, "their end")];
    assert_eq!(read(&place, "f.txt"), numbered(&wanted));
}

async fn detail(client: &dyn Source, path: &RepoPath) -> backtrail::engine::api::ConflictDetail {
    let path = path.clone();
    match ask(client, Request::MergeConflict { path }).await {
        Response::MergeConflict(detail) => *detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_looked_at_is_what_is_picked_though_others_have_looked_since() {
    let place = one_to_come();
    json_of(&place, &["merge", "try"], 1);
    let path = RepoPath::try_from("f.txt").unwrap();
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let seen = detail(client, &path).await;
    let propose = |hunk, text: &str, of| Request::MergeProposal {
        path: path.clone(),
        hunk,
        of,
        record: ProposalRecord {
            model: "m".into(),
            prompt_hash: "hash".into(),
            text: Bytes(text.as_bytes().to_vec()),
            explanation: String::new(),
            cites: Vec::new(),
            drops: Vec::new(),
            confidence: "high".into(),
            tokens: (1, 1),
            time: Time(1),
            accepted: false,
        },
    };
    ask(client, propose(0, "for the first\n", None)).await;
    ours_moves(&place, "ours again");
    // Another client is told of it first.
    assert_eq!(
        json_of(&place, &["merge", "--status"], 0)["conflicts"][0]["hunks"],
        3
    );
    let pick = |hunk, of| Request::MergePick {
        path: path.clone(),
        hunk: Some(hunk),
        pick: Some(Pick::Theirs),
        origin: PickOrigin::Person,
        of,
    };
    ask(client, pick(1, seen.of)).await;
    let Response::Bytes(result) = ask(client, Request::MergeResult { path: path.clone() }).await
    else {
        panic!()
    };
    let wanted = [(5, "ours again"), (17, "our middle"), (30, "their end")];
    assert_eq!(String::from_utf8_lossy(&result), numbered(&wanted));
    // The first is another one now: nothing is picked, and who moved is said.
    let said = client.ask(pick(0, seen.of)).await.unwrap_err().message;
    assert!(said.contains("main has moved since"), "{said}");
    // So is what was proposed for it; what is proposed late for what was looked at then finds its hunk.
    ask(client, propose(1, "for the end\n", seen.of)).await;
    let now = detail(client, &path).await;
    assert_ne!(now.of, seen.of);
    let proposals: Vec<_> = now
        .proposals
        .iter()
        .map(|(n, p)| (*n, String::from_utf8_lossy(&p.text).into_owned()))
        .collect();
    assert_eq!(proposals, [(2, "for the end\n".to_owned())]);
    // Commits that are not there are refused, not taken for others.
    let nowhere = Some((backtrail::model::CommitId([7; 32]), seen.of.unwrap().1));
    assert!(client.ask(pick(0, nowhere)).await.is_err());
}

#[test]
fn a_damaged_record_is_kept_and_said() {
    let place = two_hunks();
    json_of(&place, &["merge", "try"], 1);
    let file = record_of(&place);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let before = files(&place);
    assert!(place.ok(&["merge", "--status"]).contains("no merge"));
    let aside = file.with_file_name("merge.damaged-1");
    assert_eq!(std::fs::read(aside).unwrap(), whole[..whole.len() / 2]);
    assert_eq!(files(&place), before);
    json_of(&place, &["merge", "try"], 1);
    place.ok(&["merge", "--abort"]);
    assert!(!file.exists());
    // One of a later version is let alone.
    std::fs::write(&file, "backtrail-merge 9 0 x\n\n").unwrap();
    assert!(refused(&place, &["merge", "try"]).contains("format 9"));
    assert!(file.exists());
}

async fn merging(client: &dyn Source) -> Option<Box<MergeInfo>> {
    match ask(client, Request::Merging).await {
        Response::Merging(info) => info,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_a_killed_engine_with_its_proposals() {
    let place = two_hunks();
    let path = RepoPath::try_from("f.txt").unwrap();
    let shown = ProposalRecord {
        model: "a model".into(),
        prompt_hash: "hash".into(),
        text: Bytes(b"proposed\n".to_vec()),
        explanation: "because".into(),
        cites: Vec::new(),
        drops: Vec::new(),
        confidence: "high".into(),
        tokens: (10, 2),
        time: Time(1),
        accepted: false,
    };
    let mut engine = place.engine(None);
    {
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        let begin = Request::Merge {
            branch: "try".into(),
            into: None,
            resolver: Default::default(),
            dry_run: false,
            finish: true,
            message: None,
            keep_conflicts: false,
        };
        assert!(matches!(
            ask(client, begin).await,
            Response::Merging(Some(_))
        ));
        for accepted in [false, true] {
            let record = ProposalRecord {
                accepted,
                ..shown.clone()
            };
            let path = path.clone();
            ask(
                client,
                Request::MergeProposal {
                    path,
                    hunk: 0,
                    record,
                    of: None,
                },
            )
            .await;
        }
        let pick = Request::MergePick {
            path: path.clone(),
            hunk: Some(0),
            pick: Some(Pick::Edited(b"proposed\n".to_vec())),
            origin: PickOrigin::Llm {
                model: "a model".into(),
                reviewed: false,
            },
            of: None,
        };
        ask(client, pick).await;
    }
    engine.kill();
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let info = merging(client).await.unwrap();
    assert_eq!((info.left, info.undoable), (2, 1));
    let f = info.conflicts.iter().find(|c| c.path == path).unwrap();
    assert!(f.unreviewed && f.settled == 1 && f.hunks == 2, "{f:?}");
    let Response::MergeConflict(detail) =
        ask(client, Request::MergeConflict { path: path.clone() }).await
    else {
        panic!()
    };
    assert_eq!(detail.proposals.len(), 1);
    assert!(detail.proposals[0].1.accepted);
    let Response::Bytes(result) = ask(client, Request::MergeResult { path: path.clone() }).await
    else {
        panic!()
    };
    let wanted = numbered(&[(5, "proposed"), (30, "our end")]);
    assert_eq!(
        String::from_utf8_lossy(&result),
        wanted,
        "what is left reads as ours"
    );
    // A tree of it for a check: the files as they would be.
    let Response::Resolved(tree) = ask(client, Request::MergeTree).await else {
        panic!()
    };
    assert_ne!(tree.tree, info.ours.tree);
    for (path, hunk) in [("f.txt", Some(1)), ("g.txt", None)] {
        let pick = Request::MergePick {
            path: RepoPath::try_from(path).unwrap(),
            hunk,
            pick: Some(Pick::Ours),
            origin: PickOrigin::Person,
            of: None,
        };
        ask(client, pick).await;
    }
    let finish = Request::MergeFinish {
        message: None,
        keep_conflicts: false,
    };
    let Response::Merged(report) = ask(client, finish).await else {
        panic!()
    };
    assert_eq!(report.unreviewed, [path]);
    assert_eq!(merging(client).await, None);
    assert_eq!(
        std::fs::read_to_string(place.project.join("f.txt")).unwrap(),
        wanted
    );
    let Response::Commit(shown) = ask(client, Request::Show { rev: "@".into() }).await else {
        panic!()
    };
    assert!(
        shown.meta["unreviewed"].contains("f.txt"),
        "{:?}",
        shown.meta
    );
    assert!(shown.meta["proposals"].contains("hash"));
    // An agent may look at none of it, and surely not merge: only a person's socket may.
    tokio::time::timeout(Duration::from_secs(30), ask(client, Request::Undo))
        .await
        .unwrap();
}

#[test]
fn both_reasons_are_told() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    let edit = |word: &str| {
        let script = format!(
            r#"
            say() {{ printf '%s\n' "$1" | $BT emit; }}
            say '{{"type":"prompt","text":"make it {word}"}}'
            say '{{"type":"thought","text":"{word} is better"}}'
            say '{{"type":"call","id":"c-{word}","name":"Edit","input":{{"file_path":"f.txt"}}}}'
            echo {word} > f.txt
            say '{{"type":"result","id":"c-{word}","output":"ok"}}'
            "#
        );
        let out = place.run(&script);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    place.ok(&["switch", "-c", "try"]);
    edit("theirs");
    place.ok(&["switch", "main"]);
    edit("ours");
    json_of(&place, &["merge", "try"], 1);
    let detail = json_of(&place, &["merge", "--show", "f.txt"], 0);
    for (side, word) in [(0, "ours"), (1, "theirs")] {
        let reasons = detail["reasons"][side].as_array().unwrap();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        let text = reasons[0].to_string();
        assert!(text.contains(&format!("make it {word}")), "{text}");
        assert!(text.contains(&format!("{word} is better")), "{text}");
        assert!(!reasons[0]["step"].is_null());
    }
    let text = place.ok(&["merge", "--show", "f.txt"]);
    assert!(
        text.contains("prompt (") && text.contains("thought ("),
        "{text}"
    );
}
