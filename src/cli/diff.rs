//! Differences as a patch that `git apply` takes, as counts, or as JSON; and a commit with what it changed.

use std::path::{Component, Path, PathBuf};

use super::args;
use super::history::{effect_text, ref_names};
use super::out::{Out, Tone, one_line};
use super::{Context, Ended, Fail};
use crate::diff::text::Side;
use crate::engine::api::{ChangeOp, CommitDetail, FileChange, Request, Response, rule_words};
use crate::engine::export::Sides;
use crate::engine::export::patch::{self, For, Piece, Printed};
use crate::model::{RepoPath, Writer, neutral};

/// `diff`
pub async fn diff(cx: &Context, args: &args::Diff, out: &mut Out) -> Ended {
    let paths = args
        .paths
        .iter()
        .map(|path| in_project(&cx.project.root, &cx.cwd, path))
        .collect::<Result<_, _>>()?;
    let found = match cx
        .ask(Request::Diff {
            a: args.a.clone(),
            b: args.b.clone(),
            paths,
        })
        .await?
    {
        Response::Changes(changes) => changes,
        other => return Err(Fail::unexpected(&other)),
    };
    let changes = found.changes;
    if args.json {
        for change in &changes {
            out.json(change)?;
        }
    } else if args.stat {
        print_stat(&changes, out)?;
    } else {
        let sides = Sides {
            before: Some(found.a.commit),
            after: Some(found.b.commit),
        };
        print_patch(cx, &changes, sides, out).await?;
    }
    Ok(0)
}

/// `show`
pub async fn show(cx: &Context, args: &args::Show, out: &mut Out) -> Ended {
    let detail = match cx
        .ask(Request::Show {
            rev: args.rev.clone(),
        })
        .await?
    {
        Response::Commit(detail) => detail,
        other => return Err(Fail::unexpected(&other)),
    };
    if args.json {
        let mut value = serde_json::to_value(&*detail).map_err(std::io::Error::from)?;
        if let (Some(object), Some(stored)) = (
            value.as_object_mut(),
            super::keep::stored_json(cx, &args.rev).await,
        ) {
            object.insert("stored".to_owned(), stored);
        }
        out.json(&value)?;
        return Ok(0);
    }
    let stored = super::keep::stored_rows(cx, &args.rev).await;
    print_head(&detail, stored, out)?;
    if args.stat {
        print_stat(&detail.changes, out)?;
    } else {
        let sides = Sides {
            before: detail.commit.parents.first().copied(),
            after: Some(detail.commit.id),
        };
        print_patch(cx, &detail.changes, sides, out).await?;
    }
    Ok(0)
}

fn print_head(
    detail: &CommitDetail,
    stored: Vec<(&'static str, String)>,
    out: &mut Out,
) -> Result<(), Fail> {
    let commit = &detail.commit;
    let names = ref_names(&commit.refs);
    let mut first = format!("commit {}", commit.id);
    if !names.is_empty() {
        first.push_str(&format!(" ({})", names.join(", ")));
    }
    out.line(&out.paint(Tone::Id, &first))?;
    let mut rows = vec![
        ("tree", commit.tree.to_string()),
        (
            "parents",
            commit
                .parents
                .iter()
                .map(|p| p.short())
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ("branch", neutral(commit.branch.as_bytes())),
        ("author", neutral(commit.author.as_bytes())),
        ("time", commit.time.local()),
        ("cause", commit.cause.word().to_owned()),
    ];
    if let Some(step) = commit.step {
        let why = detail
            .link
            .as_ref()
            .map(|l| format!(" ({}, {} %)", rule_words(l.rule), l.confidence))
            .unwrap_or_default();
        rows.push(("step", format!("{step}{why}")));
    }
    if let Some(state) = &detail.state {
        let when = if state.new { "new here" } else { "as before" };
        rows.push(("state", format!("{} bytes, {when}", state.size)));
    }
    rows.extend(stored);
    for (key, value) in &detail.meta {
        match serde_json::from_str::<Vec<Writer>>(value) {
            Ok(writers) if key == "writers" => {
                rows.extend(writers.iter().map(|w| ("writer", writer(w))));
            }
            // Said above.
            _ if key == "branch" => {}
            _ => rows.push(("", neutral(format!("{key}: {value}").as_bytes()))),
        }
    }
    for (name, text) in rows {
        if !text.is_empty() {
            let name = out.paint(Tone::Dim, &format!("{name:<8}"));
            out.line(&format!("{name} {}", one_line(&text, 160)))?;
        }
    }
    if !commit.message.is_empty() {
        out.line("")?;
        for line in commit.message.lines() {
            out.line(&format!("    {}", neutral(line.as_bytes())))?;
        }
    }
    out.line("")
}

fn writer(w: &Writer) -> String {
    let mut text = if w.comm.is_empty() {
        "unknown process".to_owned()
    } else {
        neutral(w.comm.as_bytes())
    };
    if w.pid != 0 {
        text.push_str(&format!(", pid {}", w.pid));
    }
    if !w.cgroup.is_empty() {
        text.push_str(&format!(", cgroup {}", neutral(w.cgroup.as_bytes())));
    }
    if *w == Writer::outside() {
        text = "outside the mount".into();
    }
    text
}

/// One line a file and a sum.
pub fn print_stat(changes: &[FileChange], out: &mut Out) -> Result<(), Fail> {
    let (mut added, mut removed) = (0, 0);
    for change in changes {
        let lines = match change.lines {
            Some((plus, minus)) => {
                added += plus;
                removed += minus;
                format!(
                    "{} {}",
                    out.paint(Tone::Good, &format!("{:>6}", format!("+{plus}"))),
                    out.paint(Tone::Bad, &format!("{:>6}", format!("-{minus}")))
                )
            }
            None => " ".repeat(13),
        };
        let (letter, tone) = match change.op {
            ChangeOp::Create => ('A', Tone::Good),
            ChangeOp::Modify => ('M', Tone::Plain),
            ChangeOp::Delete => ('D', Tone::Bad),
            ChangeOp::Mode => ('m', Tone::Mark),
            ChangeOp::Kind => ('T', Tone::Mark),
            ChangeOp::Rename => ('R', Tone::Mark),
        };
        let letter = out.paint(tone, &letter.to_string());
        let from = change
            .from
            .as_ref()
            .map(|from| format!("{from} => "))
            .unwrap_or_default();
        out.line(&format!("{letter} {lines}  {from}{}", change.path))?;
    }
    let sum = effect_text(
        crate::engine::api::Effect {
            files: u32::try_from(changes.len()).unwrap_or(u32::MAX),
            added,
            removed,
        },
        out,
    );
    out.line(&format!("{sum} changed"))
}

/// All changes as a patch for people.
async fn print_patch(
    cx: &Context,
    changes: &[FileChange],
    sides: Sides,
    out: &mut Out,
) -> Result<(), Fail> {
    for change in changes {
        print_change(cx, change, sides, For::People, out).await?;
    }
    Ok(())
}

/// One change as part of a patch.
pub async fn print_change(
    cx: &Context,
    change: &FileChange,
    sides: Sides,
    whom: For,
    out: &mut Out,
) -> Result<Printed, Fail> {
    let mut print = |piece: Piece<'_>| print_piece(piece, out);
    let printed = patch::change(&*cx.source, change, sides, whom, &mut print).await?;
    out.flush()?;
    Ok(printed)
}

fn print_piece(piece: Piece<'_>, out: &mut Out) -> Result<(), Fail> {
    let (tone, text) = match piece {
        Piece::Note(text) => (Tone::Dim, text),
        Piece::Head(text) => (Tone::Bold, text),
        Piece::Said(text) => (Tone::Plain, text),
        Piece::Place(place, heading) => {
            let place = out.paint(Tone::Mark, place);
            return out.line(format!("{place} {heading}").trim_end());
        }
        Piece::Line(side, bytes) => {
            let (sign, tone) = match side {
                Side::Both => (' ', Tone::Plain),
                Side::Removed => ('-', Tone::Bad),
                Side::Added => ('+', Tone::Good),
            };
            return out.content(tone, sign, bytes);
        }
        Piece::Whole(lines) => return out.raw(lines),
    };
    let text = out.paint(tone, text);
    out.line(&text)
}

/// A path as typed, relative to `cwd`, as a path in the project. It need not exist.
pub(super) fn in_project(root: &Path, cwd: &Path, typed: &Path) -> Result<RepoPath, Fail> {
    let mut full = PathBuf::new();
    for part in cwd.join(typed).components() {
        match part {
            Component::ParentDir => {
                full.pop();
            }
            Component::CurDir => {}
            part => full.push(part),
        }
    }
    let bad = || {
        Fail::Usage(format!(
            "{} is not in the project {}",
            neutral(typed.as_os_str().as_encoded_bytes()),
            neutral(root.as_os_str().as_encoded_bytes())
        ))
    };
    let inside = full.strip_prefix(root).map_err(|_| bad())?;
    RepoPath::new(inside.as_os_str().as_encoded_bytes()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::super::testing::{Scripted, change, file, link, path, resolved, wait};
    use super::*;
    use crate::diff::text::MAX_BYTES;
    use crate::engine::api::{Changes, EntryInfo};
    use std::ffi::OsStr;
    use std::fs;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};

    fn arguments() -> args::Diff {
        args::Diff {
            a: "@~1".into(),
            b: Some("@".into()),
            paths: Vec::new(),
            state: false,
            stat: false,
            json: false,
        }
    }

    fn run(mut source: Scripted, changes: Vec<FileChange>, args: &args::Diff) -> Vec<u8> {
        source.script = Some(Box::new(move |request| {
            matches!(request, Request::Diff { .. }).then(|| {
                Response::Changes(Changes {
                    a: resolved(1),
                    b: resolved(2),
                    changes: changes.clone(),
                })
            })
        }));
        let (cx, _) = source.context();
        let seen = Captured::default();
        let mut out = seen.out();
        wait(diff(&cx, args, &mut out)).unwrap();
        seen.bytes()
    }

    /// Every kind of change, with names and content that need care, taken back by git.
    #[test]
    fn git_applies_what_is_printed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
        let mut source = Scripted {
            part: Some(7), // Content comes in many parts.
            ..Scripted::default()
        };
        let s = &mut source;
        let many: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let fewer = many.replace("line 3\n", "").replace("line 30\n", "other");
        let odd: &[u8] = b"a \"b\"\t\\\x01\xff";
        let changes = vec![
            change(
                ChangeOp::Modify,
                Some(file(s, b"dir/many words.txt", 0o644, many.as_bytes())),
                Some(file(s, b"dir/many words.txt", 0o644, fewer.as_bytes())),
            ),
            change(
                ChangeOp::Modify,
                Some(file(s, odd, 0o644, b"caf\xe9\nno end")),
                Some(file(s, odd, 0o755, b"caf\xe8\nno end still")),
            ),
            change(
                ChangeOp::Create,
                None,
                Some(file(s, b"new", 0o755, b"#!/bin/sh\n")),
            ),
            change(ChangeOp::Create, None, Some(file(s, b"empty", 0o644, b""))),
            change(
                ChangeOp::Delete,
                Some(file(s, b"old", 0o644, b"bye\n")),
                None,
            ),
            change(
                ChangeOp::Rename,
                Some(file(s, b"from here", 0o644, b"same\n")),
                Some(file(s, "to\u{2192}there".as_bytes(), 0o644, b"same\n")),
            ),
            change(
                ChangeOp::Kind,
                Some(file(s, b"kind", 0o644, b"text\n")),
                Some(link(b"kind", "new")),
            ),
            change(
                ChangeOp::Modify,
                Some(link(b"link", "a")),
                Some(link(b"link", "b/c")),
            ),
            change(
                ChangeOp::Mode,
                Some(file(s, b"mode", 0o644, b"m\n")),
                Some(file(s, b"mode", 0o755, b"m\n")),
            ),
            change(
                ChangeOp::Mode,
                Some(file(s, b"fine", 0o644, b"m\n")),
                Some(file(s, b"fine", 0o600, b"m\n")),
            ),
            change(
                ChangeOp::Create,
                None,
                Some(EntryInfo {
                    path: path(b"void"),
                    kind: "dir".into(),
                    mode: 0o755,
                    size: 0,
                    blob: None,
                    target: None,
                }),
            ),
        ];
        fs::create_dir(at(b"dir")).unwrap();
        for (name, content) in [
            (&b"dir/many words.txt"[..], many.as_bytes()),
            (odd, b"caf\xe9\nno end"),
            (b"old", b"bye\n"),
            (b"from here", b"same\n"),
            (b"kind", b"text\n"),
            (b"mode", b"m\n"),
            (b"fine", b"m\n"),
        ] {
            fs::write(at(name), content).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        symlink("a", at(b"link")).unwrap();

        let patch = run(source, changes, &arguments());
        let mut git = Command::new("git")
            .args(["apply", "-v", "-"])
            .current_dir(dir.path())
            .env("GIT_CEILING_DIRECTORIES", dir.path().parent().unwrap())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        git.stdin.take().unwrap().write_all(&patch).unwrap();
        let output = git.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&patch)
        );
        assert_eq!(
            fs::read(at(b"dir/many words.txt")).unwrap(),
            fewer.as_bytes()
        );
        assert_eq!(fs::read(at(odd)).unwrap(), b"caf\xe8\nno end still");
        let mode = |name: &[u8]| fs::metadata(at(name)).unwrap().permissions().mode() & 0o100;
        assert_eq!(mode(odd), 0o100);
        assert_eq!(mode(b"mode"), 0o100);
        assert_eq!(mode(b"new"), 0o100);
        assert_eq!(fs::read(at(b"empty")).unwrap(), b"");
        assert!(!at(b"old").exists() && !at(b"from here").exists());
        assert_eq!(
            fs::read(at("to\u{2192}there".as_bytes())).unwrap(),
            b"same\n"
        );
        assert_eq!(fs::read_link(at(b"kind")).unwrap(), Path::new("new"));
        assert_eq!(fs::read_link(at(b"link")).unwrap(), Path::new("b/c"));
        let text = String::from_utf8_lossy(&patch);
        assert!(text.contains("# mode 0644 -> 0600: fine"), "{text}");
        assert!(text.contains("# new dir: void"), "{text}");
    }

    #[test]
    fn what_cannot_be_shown_as_lines_is_noted() {
        let mut source = Scripted::default();
        let s = &mut source;
        let mut large = file(s, b"large", 0o644, b"x");
        large.size = MAX_BYTES as u64 + 1;
        let changes = vec![
            change(
                ChangeOp::Modify,
                Some(file(s, b"image", 0o644, b"\0a")),
                Some(file(s, b"image", 0o644, b"\0b")),
            ),
            change(
                ChangeOp::Modify,
                Some(large),
                Some(file(s, b"large", 0o644, b"y\n")),
            ),
        ];
        let text = String::from_utf8(run(source, changes, &arguments())).unwrap();
        assert!(text.contains("Binary files a/image and b/image differ\n"));
        assert!(text.contains("Files a/large and b/large differ (too large to compare)\n"));
    }

    #[test]
    fn counts_and_json() {
        let mut source = Scripted::default();
        let mut changed = change(
            ChangeOp::Create,
            None,
            Some(file(&mut source, b"a\x1bb", 0o644, b"x\n")),
        );
        changed.lines = Some((1, 0));
        let args = args::Diff {
            stat: true,
            ..arguments()
        };
        let text = String::from_utf8(run(source, vec![changed.clone()], &args)).unwrap();
        assert_eq!(text, "A     +1     -0  a\\x1bb\n1 file +1 changed\n");
        let args = args::Diff {
            json: true,
            ..arguments()
        };
        let text =
            String::from_utf8(run(Scripted::default(), vec![changed.clone()], &args)).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_eq!(serde_json::from_str::<FileChange>(&text).unwrap(), changed);
    }

    #[test]
    fn paths_are_taken_from_where_we_are() {
        let (root, cwd) = (Path::new("/p"), Path::new("/p/sub"));
        let inside = |typed: &str| in_project(root, cwd, Path::new(typed));
        assert_eq!(inside("a/./b").unwrap(), path(b"sub/a/b"));
        assert_eq!(inside("../c").unwrap(), path(b"c"));
        assert_eq!(inside("..").unwrap(), RepoPath::root());
        assert_eq!(inside("/p/d").unwrap(), path(b"d"));
        assert!(inside("../../etc").is_err());
        assert!(inside("/pp").is_err());
    }
}
