//! Nothing that is in a fork, and in no commit, is lost by what becomes of its branch or of its own notes.

use super::*;

/// Where the fork of a branch keeps what is its own.
fn kept_dir(place: &Place, branch: &str) -> PathBuf {
    let mut todo = vec![place.path("data")];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).unwrap().flatten() {
            if entry.path().join(branch).join("branch.json").exists() {
                return entry.path().join(branch);
            }
            if entry.file_type().unwrap().is_dir() && entry.file_name() != "project" {
                todo.push(entry.path());
            }
        }
    }
    panic!("no fork {branch}");
}

fn exclude(place: &Place, what: &str) {
    place.write("backtrail.toml", format!("[capture]\nexclude = [{what}]\n"));
    place.ok(&["checkpoint", "-m", "rules"]);
}

fn warnings(place: &Place) -> String {
    place.json(&["status", "--json"])[0]["warnings"].to_string()
}

/// Closed, so that nothing of it is in memory.
fn stop(place: &Place, mut engine: common::Engine) {
    place.ok(&["stop"]);
    assert!(engine.gone(LONG), "the engine goes on");
}

const OWN_COMMIT: &str = "git -c user.name=t -c user.email=t@e commit -qm own --allow-empty";

#[test]
fn what_capture_leaves_out_stays_when_a_branch_moves() {
    if !fuse() {
        return;
    }
    let place = project();
    exclude(&place, r#"".env", "*.db", "*.bin""#);
    let _engine = place.engine(None);
    run(
        &place,
        "try",
        "echo secret > .env; echo rows > d1/own.db; mkdir -p node_modules/x; echo m > node_modules/x/m
         echo mine > target/mine; rm target/built; mv d3 target/d3; mkdir new; echo n > new/n.db; echo taken > d2/t.bin
         echo captured > captured; git -c user.name=t -c user.email=t@e commit -qm own --allow-empty",
    );
    // On the other side a directory goes, and a file takes the place of one that was left out.
    std::fs::remove_dir_all(place.project.join("d4")).unwrap();
    std::fs::remove_dir_all(place.project.join("d3")).unwrap();
    place.write("later", "later\n");
    place.write("d2/t.bin", "of main\n");
    exclude(&place, r#"".env", "*.db""#);
    let merged = place.bt(&["merge", "main", "--into", "try"]);
    assert!(merged.status.success(), "{}", said(&merged));
    let tip = fork(&place, "try").tip.id;
    let text = run(
        &place,
        "try",
        "cat later captured .env d1/own.db node_modules/x/m target/mine target/d3/f3.txt new/n.db d2/t.bin
         git log -1 --format=%s; ls target d3 d4 2>&1 | tr '\\n' ' '",
    );
    let words: Vec<&str> = text.lines().collect();
    assert_eq!(
        words[..10],
        [
            "later",
            "captured",
            "secret",
            "rows",
            "m",
            "mine",
            "content 3",
            "n",
            "of main",
            "own"
        ],
        "{text}"
    );
    assert!(!text.contains("built"), "{text}");
    let warned = warnings(&place);
    assert!(
        warned.contains("d2/t.bin") && warned.contains("kept in"),
        "{warned}"
    );
    let aside = kept_dir(&place, "try").with_file_name("%aside-1-try");
    assert_eq!(
        std::fs::read_to_string(aside.join("d2/t.bin")).unwrap(),
        "taken\n"
    );
    // Nothing of that is a change of what the branch has, but for the directory that leads to a kept file.
    let now = fork(&place, "try").tip.id;
    if now != tip {
        let diff = place.ok(&["diff", &tip.to_hex(), &now.to_hex(), "--stat"]);
        assert!(diff.contains("new") && !diff.contains("d2"), "{diff}");
    }
}

#[test]
fn a_removed_branch_keeps_what_is_in_no_commit() {
    if !fuse() {
        return;
    }
    let place = project();
    exclude(&place, r#"".env""#);
    let _engine = place.engine(None);
    run(&place, "own", "echo secret > .env; echo x > file");
    run(
        &place,
        "made",
        "mkdir -p node_modules; echo m > node_modules/m; echo x > target/x",
    );
    let text = place.ok(&["branch", "delete", "own"]);
    assert!(text.contains("in no commit (.env)"), "{text}");
    let text = place.ok(&["branch", "delete", "made"]);
    assert!(!text.contains("stays in"), "{text}");
    place.ok(&["undo"]);
    place.ok(&["undo"]);
    assert_eq!(run(&place, "own", "cat .env file"), "secret\nx\n");
}

#[test]
fn a_note_that_cannot_be_read_destroys_nothing() {
    if !fuse() {
        return;
    }
    let place = project();
    let engine = place.engine(None);
    run(&place, "a", &format!("echo mine > mine; {OWN_COMMIT}"));
    stop(&place, engine);
    let dir = kept_dir(&place, "a");
    let note = std::fs::read(dir.join("fork.json")).unwrap();
    // It cannot be read now: refused, and all is as it was.
    std::fs::remove_file(dir.join("fork.json")).unwrap();
    std::fs::create_dir(dir.join("fork.json")).unwrap();
    let engine = place.engine(None);
    let refused = place.bt(&["run", "--branch", "a", "--", "true"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("fork.json"), "{}", said(&refused));
    std::fs::remove_dir(dir.join("fork.json")).unwrap();
    std::fs::write(dir.join("fork.json"), &note).unwrap();
    assert_eq!(run(&place, "a", "git log -1 --format=%s"), "own\n");
    stop(&place, engine);
    // It is damaged for good: the view is kept aside.
    std::fs::write(dir.join("fork.json"), "").unwrap();
    let _engine = place.engine(None);
    assert_eq!(run(&place, "a", "cat mine"), "mine\n");
    assert!(warnings(&place).contains("could not be taken up again"));
    assert!(dir.with_file_name("%aside-1-a").join("names").exists());
}

#[test]
fn what_cannot_be_noted_is_not_published() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    run(&place, "a", "echo one > one");
    let tip = fork(&place, "a").tip.id;
    let blocked = kept_dir(&place, "a").join("fork.json.new");
    std::fs::create_dir(&blocked).unwrap();
    run(&place, "a", "echo two > two");
    until("the failure to be told", || {
        warnings(&place).contains("could not be noted")
    });
    assert_eq!(fork(&place, "a").tip.id, tip);
    std::fs::remove_dir(&blocked).unwrap();
    until("the commit", || fork(&place, "a").tip.id != tip);
    assert_eq!(place.ok(&["cat", "a:two"]), "two\n");
}

#[test]
fn a_view_older_than_its_branch_is_not_published_over_it() {
    if !fuse() {
        return;
    }
    let place = project();
    let engine = place.engine(None);
    run(&place, "a", "echo good-content > file");
    stop(&place, engine);
    let dir = kept_dir(&place, "a");
    // As after a power cut: the content of the file never came to the disk.
    let mut lost = 0;
    for entry in std::fs::read_dir(dir.join("upper")).unwrap().flatten() {
        if std::fs::read(entry.path()).is_ok_and(|t| t == b"good-content\n") {
            std::fs::write(entry.path(), "").unwrap();
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
    let text = std::fs::read_to_string(dir.join("fork.json")).unwrap();
    let mut note: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(note["boot"].is_string(), "{text}");
    note["boot"] = "another".into();
    std::fs::write(dir.join("fork.json"), note.to_string()).unwrap();
    let _engine = place.engine(None);
    assert_eq!(run(&place, "a", "cat file"), "good-content\n");
    assert_eq!(place.ok(&["cat", "a:file"]), "good-content\n");
    assert!(warnings(&place).contains("the machine was started anew"));
}

#[test]
fn no_branch_gets_the_repository_of_another() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    run(&place, "a", &format!("echo mine > mine; {OWN_COMMIT}"));
    let tip = fork(&place, "a").tip.id.to_hex();
    place.ok(&["branch", "delete", "a"]);
    place.ok(&["branch", "create", "b", &tip]);
    assert_eq!(
        run(&place, "b", "cat mine; git log -1 --format=%s"),
        "mine\nfirst\n"
    );
}

#[test]
fn one_view_in_use_keeps_no_other_branch_from_being_pruned() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    run(&place, "busy", "echo mine > mine");
    place.ok(&["fork", "main", "--name", "idle"]);
    let at = fork(&place, "busy").mounted.unwrap();
    let mut person = Command::new("sleep")
        .arg("60")
        .current_dir(&at)
        .spawn()
        .unwrap();
    let pruned = place.ok(&["branch", "prune"]);
    assert!(pruned.contains("idle"), "{pruned}");
    let left = fork(&place, "busy").mounted;
    person.kill().unwrap();
    person.wait().unwrap();
    assert_eq!(
        left,
        Some(at),
        "it has commits of its own: nobody touches it"
    );
}

#[test]
fn a_fork_of_the_workspaces_tip_by_any_name_has_its_last_changes() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    for (n, rev) in ["@", "main", "HEAD"].into_iter().enumerate() {
        let (name, text) = (format!("f{n}"), format!("last {n}\n"));
        if !place.bt(&["show", rev]).status.success() {
            continue;
        }
        place.write("last", &text);
        place.ok(&["fork", rev, "--name", &name]);
        assert_eq!(run(&place, &name, "cat last"), text, "{rev}");
    }
}

#[test]
fn undo_goes_on_past_what_can_no_longer_be_undone() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    run(&place, "try", "echo one > one");
    place.write("later", "later\n");
    place.ok(&["checkpoint", "-m", "later"]);
    place.ok(&["label", "before", "@"]);
    place.ok(&["merge", "main", "--into", "try"]);
    run(&place, "try", "echo two > two");
    for _ in 0..2 {
        let refused = place.bt(&["undo"]);
        assert!(!refused.status.success(), "{}", said(&refused));
        assert!(said(&refused).contains("undo --skip"), "{}", said(&refused));
    }
    let text = place.ok(&["undo", "--skip"]);
    assert!(text.contains("passed over: merged main into try"), "{text}");
    assert!(place.ok(&["label"]).contains("before"));
    place.ok(&["undo"]);
    assert!(!place.ok(&["label"]).contains("before"));
    assert_eq!(place.ok(&["cat", "try:two"]), "two\n");
    // Taken back, it stands in the way again.
    place.ok(&["redo"]);
    let text = place.ok(&["redo"]);
    assert!(text.contains("no longer passed over"), "{text}");
    assert!(said(&place.bt(&["undo"])).contains("has gone on since"));
}
