#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]
//! What both notations of patches must do.

use proptest::prelude::*;
use similar::TextDiff;

use super::*;
use crate::trace::unified::{FileDiff, parse_unified};

fn update(text: &str) -> Vec<Hunk> {
    let text = format!("*** Begin Patch\n*** Update File: f\n{text}\n*** End Patch\n");
    match parse(&text).unwrap().remove(0).patch {
        FilePatch::Update { hunks } => hunks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_part_of_the_grammar_is_read() {
    let text = "*** Begin Patch\n*** Add File: a b.txt\n+one\n+\n*** Delete File: old\n*** Update File: x\n\
                *** Move to: y\n@@ class A\n@@ fn b\n keep\n-out\n+in\n\n@@\n+tail\n*** End of File\n*** End Patch";
    let parts = parse(text).unwrap();
    assert_eq!(
        parts[0].patch,
        FilePatch::Add {
            content: "one\n\n".into()
        }
    );
    assert_eq!(parts[0].path, "a b.txt");
    assert_eq!(parts[1].patch, FilePatch::Delete);
    assert_eq!(parts[2].move_to.as_deref(), Some("y"));
    let FilePatch::Update { hunks } = &parts[2].patch else {
        panic!()
    };
    assert_eq!(hunks[0].context, ["class A", "fn b"]);
    assert_eq!(hunks[0].old, ["keep", "out", ""]);
    assert_eq!(hunks[0].new, ["keep", "in", ""]);
    assert!(!hunks[0].at_end && hunks[1].at_end);
    assert_eq!(hunks[1].new, ["tail"]);
}

#[test]
fn lenient_forms_are_read_as_codex_reads_them() {
    let body = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch";
    let plain = parse(body).unwrap();
    for text in [
        format!("<<'EOF'\n{body}\nEOF\n"),
        format!("apply_patch <<\"EOF\"\n{body}\nEOF"),
        format!("cd src && apply_patch <<PATCH\n{body}\nPATCH\n"),
        format!("\n  {}  \n\n", body.replace("*** Add", "  *** Add")),
        body.replace('\n', "\r\n"),
        body.replace("*** Add", "*** Environment ID: e1\n*** Add"),
    ] {
        assert_eq!(parse(&text).as_ref(), Ok(&plain), "{text}");
    }
    // The first hunk needs no @@.
    assert_eq!(update(" a\n+b")[0].new, ["a", "b"]);
    // A file is only given another name.
    let renamed =
        parse("*** Begin Patch\n*** Update File: a\n*** Move to: b\n*** End Patch").unwrap();
    assert_eq!(renamed[0].patch, FilePatch::Update { hunks: vec![] });
}

#[test]
fn errors_name_the_line() {
    let line = |text: &str| match parse(text) {
        Err(Error::Grammar { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(line("hello"), 1);
    assert_eq!(line("*** Begin Patch\n*** Add File: a\n+x"), 3);
    assert_eq!(
        line("*** Begin Patch\n*** Add File: a\nx\n*** End Patch"),
        3
    );
    assert_eq!(
        line("*** Begin Patch\n*** Update File: a\n*** End Patch"),
        2
    );
    assert_eq!(
        line("*** Begin Patch\n*** Update File: a\n@@\n-x\n@@ y\n*** End Patch"),
        6
    );
    let fails = apply("a\nb\n", &update("@@\n-a\n+c\n@@\n-zz\n+y")).unwrap_err();
    assert_eq!(
        fails,
        Error::NoPlace {
            hunk: 2,
            line: "zz".into()
        }
    );
    assert!(fails.to_string().contains("hunk 2"));
}

#[test]
fn hunks_are_placed_as_codex_places_them() {
    let apply = |content: &str, patch: &str| apply(content, &update(patch)).unwrap();
    // In order, after the context.
    assert_eq!(
        apply("fn a\n x\nfn b\n x\n", "@@ fn b\n- x\n+ y"),
        "fn a\n x\nfn b\n x\n".replacen("fn b\n x", "fn b\n y", 1)
    );
    assert_eq!(
        apply(
            "class A\ndef f\n1\nclass B\ndef f\n1\n",
            "@@ class B\n@@ def f\n-1\n+2"
        ),
        "class A\ndef f\n1\nclass B\ndef f\n2\n"
    );
    // An exact place later wins over a near one before.
    assert_eq!(apply("a  \na\n", "@@\n-a\n+b"), "a  \nb\n");
    assert_eq!(apply("a  \n", "@@\n-a\n+b"), "b\n");
    assert_eq!(apply("\t a\n", "@@\n-a\n+b"), "b\n");
    assert_eq!(
        apply("it\u{2019}s \u{2014} a\n", "@@\n-it's - a\n+b"),
        "b\n"
    );
    // The file's end.
    assert_eq!(
        apply("x\ny\nx\n", "@@\n-x\n+z\n*** End of File"),
        "x\ny\nz\n"
    );
    assert_eq!(apply("x\n", "@@\n+y"), "x\ny\n");
    assert_eq!(apply("x\n\n", "@@\n+y"), "x\ny\n");
    assert_eq!(apply("x", "@@\n x\n+y"), "x\ny\n");
    assert_eq!(apply("x\n", "@@\n-x\n-\n+y\n+"), "y\n");
    assert_eq!(apply("x\n", "@@\n-x"), "");
    assert_eq!(apply("", "@@\n+y"), "y\n");
}

#[test]
fn what_is_taken_back_is_certain() {
    let hunks = update("@@\n a\n-b\n+c");
    assert_eq!(revert("0\na\nc\n1\n", &hunks).unwrap(), "0\na\nb\n1\n");
    // Applying takes the first place, so only the first can have been it - unless the second was it because the first
    // already was as it is now: two answers.
    assert!(matches!(
        revert("a\nc\na\nc\n", &hunks),
        Err(Error::Ambiguous { .. })
    ));
    assert!(matches!(
        revert("x\n", &hunks),
        Err(Error::NoPlace { hunk: 1, .. })
    ));
    // Where lines were only taken out, nothing tells where.
    assert!(matches!(
        revert("x\ny\n", &update("@@\n-b")),
        Err(Error::Ambiguous { .. })
    ));
    assert_eq!(revert("x\ny\n", &update("@@\n+y")).unwrap(), "x\n");
}

#[test]
fn unified_diffs_with_all_their_corners() {
    let diff = "diff --git a/f b/f\nindex 1..2 100644\n--- a/f\t2020\n+++ b/f\n@@ -1,2 +1,2 @@ fn\n-- a\n+++ a\n b\n\
                \\ No newline at end of file\n";
    assert_eq!(apply_unified("- a\nb", diff).unwrap(), "++ a\nb");
    assert_eq!(revert_unified("++ a\nb", diff).unwrap(), "- a\nb");
    let files = parse_unified(diff).unwrap();
    assert_eq!(files[0].old.as_deref(), Some("f"));
    // Only one of the sides lacks an end.
    let diff = "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n";
    assert_eq!(apply_unified("a", diff).unwrap(), "a\n");
    assert_eq!(revert_unified("a\n", diff).unwrap(), "a");
    assert_eq!(
        apply_unified("", "@@ -0,0 +1,2 @@\n+a\n+b\n").unwrap(),
        "a\nb\n"
    );
    assert_eq!(
        apply_unified("1\n2\n", "@@ -1,0 +2 @@\n+a").unwrap(),
        "1\na\n2\n"
    );
    // At its numbers or not at all.
    assert_eq!(
        apply_unified("0\na\n", "@@ -1 +1 @@\n-a\n+b\n"),
        Err(Error::NoPlace {
            hunk: 1,
            line: "a\n".into()
        })
    );
    // Without numbers: where it stands, if that is one place.
    assert_eq!(
        apply_unified("0\na\n", "@@ @@\n-a\n+b\n").unwrap(),
        "0\nb\n"
    );
    assert_eq!(
        apply_unified("a\na\n", "@@\n-a\n+b\n"),
        Err(Error::Ambiguous { hunk: 1 })
    );
    assert_eq!(apply_unified("a\n", "").unwrap(), "a\n");
    assert!(matches!(
        apply_unified("a\n", "@@ -1,3 +1 @@\n-a\n"),
        Err(Error::Grammar { .. })
    ));
    let two = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+c\n";
    assert_eq!(apply_unified("a\n", two), Err(Error::Files(2)));
    let files = parse_unified(two).unwrap();
    assert_eq!((&files[1].old, files[1].hunks.len()), (&None, 1));
    assert_eq!(files[0].hunks.len(), 1);
    assert!(matches!(
        apply_unified("a\n", "hello"),
        Err(Error::Grammar { line: 1, .. })
    ));
    assert_ne!(files[0], FileDiff::default());
}

/// The hunks that a careful agent would write for the change of `a` to `b`.
fn hunks_of(a: &str, b: &str) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(a, b);
    let bare = |line: &str| line.trim_end_matches('\n').to_owned();
    diff.grouped_ops(2)
        .iter()
        .map(|group| {
            let mut hunk = Hunk::default();
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                use similar::ChangeTag::{Delete, Equal, Insert};
                if matches!(change.tag(), Delete | Equal) {
                    hunk.old.push(bare(change.value()));
                }
                if matches!(change.tag(), Insert | Equal) {
                    hunk.new.push(bare(change.value()));
                }
            }
            hunk
        })
        .collect()
}

/// Two texts: of lines that occur once each, with some dropped and some put in between.
fn two_texts() -> impl Strategy<Value = (String, String)> {
    prop::collection::vec((0u8..4, any::<bool>()), 1..40).prop_map(|lines| {
        let (mut a, mut b) = ("top\n".to_owned(), "top\n".to_owned());
        for (i, (what, wide)) in lines.iter().enumerate() {
            let line = format!("{}line {i}\n", if *wide { "    " } else { "" });
            if *what != 1 {
                a.push_str(&line);
            }
            if *what != 2 {
                b.push_str(&line);
            }
        }
        (a, b)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_patch_leads_there_and_back((a, b) in two_texts()) {
        let hunks = hunks_of(&a, &b);
        prop_assert_eq!(&apply(&a, &hunks).unwrap(), &b);
        match revert(&b, &hunks) {
            Ok(before) => prop_assert_eq!(before, a),
            Err(e) => prop_assert!(matches!(e, Error::Ambiguous { .. }), "{}", e),
        }
    }

    #[test]
    fn a_unified_diff_leads_there_and_back(a in "([ab-]?[+ ]?\n?){0,12}", b in "([ab-]?[+ ]?\n?){0,12}", radius in 0usize..3) {
        let diff = TextDiff::from_lines(&a, &b).unified_diff().context_radius(radius).to_string();
        prop_assert_eq!(apply_unified(&a, &diff), Ok(b.clone()));
        prop_assert_eq!(revert_unified(&b, &diff), Ok(a));
    }

    #[test]
    fn nothing_makes_it_panic(text in "(\\*\\*\\* (Begin|End|Update File|Add File|Move to|End of File|End Patch|Begin Patch)(: [a\u{e9}])?|[-+ @\\\\]{0,3}[0-9,@ \u{e9}]{0,6}\r?\n|.){0,30}", content in "([ab\u{e9}]?\n){0,9}") {
        let whole = format!("*** Begin Patch\n*** Update File: a\n{text}\n*** End Patch");
        for text in [&text, &whole] {
            for part in parse(text).unwrap_or_default() {
                if let FilePatch::Update { hunks } = part.patch {
                    let _ = apply(&content, &hunks);
                    let _ = revert(&content, &hunks);
                }
            }
            let _ = apply_unified(&content, text);
            let _ = revert_unified(&content, text);
        }
        let numbered = format!("@@ -{} +18446744073709551615,18446744073709551615 @@\n{text}", "18446744073709551615,0");
        let _ = apply_unified(&content, &numbered);
    }
}
