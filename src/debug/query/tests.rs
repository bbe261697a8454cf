//! The language: what is read, what fits, what is printed, what is refused and where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::model::{CallKind, Ordinal, Status, StepKind};

/// A step written down.
struct Told {
    kind: StepKind,
    call: CallKind,
    tool: &'static str,
    title: &'static str,
    exit: Option<i32>,
    ordinal: Ordinal,
    dead: bool,
    in_session: bool,
    files: u64,
    labels: Vec<&'static str>,
    paths: Vec<&'static str>,
    texts: Vec<(Place, &'static str)>,
    asked: usize,
    row: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            kind: StepKind::Call,
            call: CallKind::Execute,
            tool: "Bash",
            title: "cargo test auth",
            exit: Some(101),
            ordinal: Ordinal {
                major: 142,
                minor: 0,
            },
            dead: false,
            in_session: true,
            files: 1,
            labels: vec!["a"],
            paths: vec!["src/auth/token.rs", "Cargo.lock"],
            texts: vec![
                (Place::Command, "cargo test auth"),
                (Place::Output, "running 2 tests\ntest fresh ... FAILED\n"),
            ],
            asked: 0,
            row: false,
        }
    }
}

impl Facts for Told {
    type Error = Infallible;

    fn plain(&self) -> Plain<'_> {
        Plain {
            ordinal: self.ordinal,
            kind: self.kind,
            call: self.call,
            tool: self.tool,
            title: self.title,
            status: if self.exit.is_some_and(|e| e != 0) {
                Status::Error
            } else {
                Status::Ok
            },
            exit: self.exit,
            turn: 9,
            thread: 0,
            dead: self.dead,
            took: Some(2_500),
            tokens: None,
            in_session: self.in_session,
        }
    }

    fn effect(&mut self) -> Result<Option<(u64, u64)>, Infallible> {
        Ok(Some((self.files, self.files * 10)))
    }

    fn labels(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        self.labels.iter().for_each(|l| each(l));
        Ok(true)
    }

    fn session(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        each("claude");
        each("0f3c9a7712");
        Ok(!self.row)
    }

    fn branch(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        each("try/2");
        Ok(!self.row)
    }

    fn paths(&mut self, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Infallible> {
        if !self.row {
            let _ = self.paths.iter().all(|p| each(p.as_bytes()));
        }
        Ok(!self.row)
    }

    fn texts(&mut self, each: &mut EachText<'_>) -> Result<bool, Infallible> {
        if self.row {
            return Ok(false);
        }
        self.asked += 1;
        let _ = self.texts.iter().all(|(p, t)| each(*p, None, t.as_bytes()));
        Ok(true)
    }
}

fn read(text: &str) -> Query {
    text.parse()
        .unwrap_or_else(|e: QueryError| panic!("{}", e.pointed(text)))
}

fn verdict(text: &str, mut told: Told) -> Verdict {
    let Ok(verdict) = read(text).test(&mut told, &mut |_| {});
    verdict
}

fn fits(text: &str) -> bool {
    verdict(text, Told::default()) == Verdict::Yes
}

#[test]
fn terms_are_all_and_values_are_one_of() {
    for yes in [
        "",
        "  ",
        "kind:bash",
        "kind:run,bash",
        "kind:execute",
        "kind:call",
        "kind:b*",
        "tool:Bash",
        "tool:bash",
        "exit:101",
        "exit:!0",
        "exit:>100",
        "exit:100..",
        "exit:1,101",
        "exit:0|101",
        "path:src",
        "path:src/**",
        "path:*.rs",
        "path:token.rs",
        "path:auth",
        "path:/src/auth/",
        "path:src/{auth,http}/*.rs",
        "path:cargo.lock",
        "path:!src/**",
        "path:~^src/.*rs$",
        "by:agent",
        "by:claude",
        "session:claude",
        "session:0f3c",
        "branch:try/2",
        "branch:try*",
        "label:a",
        "label:*",
        "step:142",
        "step:100..200",
        "step:>141",
        "step:..142",
        "turn:9",
        "is:failed",
        "is:change,dead",
        "is:!dead",
        "is:label",
        "files:1",
        "lines:>=10",
        "took:>2s",
        "took:<3s",
        "took:2500ms",
        "kind:bash exit:!0",
        "!kind:edit",
        "!label:b",
        "cargo",
        "CARGO|cargo",
        "failed",
        "FAILED",
        "\"test auth\"",
        "text:~\"running \\d+ tests\"",
        "~fresh.*failed",
        "!missing",
        "text:!missing",
        "lock",
        "kind:!edit,read",
    ] {
        assert!(fits(yes), "{yes}");
    }
    for no in [
        "kind:edit",
        "kind:!bash",
        "exit:0",
        "exit:!101",
        "exit:<0",
        "path:src/http/**",
        "path:/auth",
        "path:!src,*.lock",
        "path:tok",
        "by:outside",
        "by:!agent",
        "by:!claude",
        "session:codex",
        "session:0f",
        "branch:main",
        "branch:!try/2",
        "label:b",
        "label:!a",
        "step:141",
        "step:>142",
        "step:<142",
        "is:dead",
        "is:!failed",
        "!is:failed",
        "!kind:bash",
        "kind:bash exit:0",
        "CARGO",
        "\"auth test\"",
        "missing",
        "tokens:>1",
        "tokens:!1",
        "!cargo",
        "lines:>10",
        "~^FAILED",
        "kind:!bash,edit",
    ] {
        assert!(!fits(no), "{no}");
    }
}

#[test]
fn a_step_without_a_fact_has_no_other_one() {
    let without = || Told {
        exit: None,
        labels: vec![],
        paths: vec![],
        ..Told::default()
    };
    for no in [
        "exit:0", "exit:!0", "label:a", "label:!a", "path:a", "path:!a",
    ] {
        assert_eq!(verdict(no, without()), Verdict::No, "{no}");
    }
    for yes in ["!exit:0", "!label:a", "!path:a"] {
        assert_eq!(verdict(yes, without()), Verdict::Yes, "{yes}");
    }
}

#[test]
fn who_did_it() {
    let by = |text: &str, kind, in_session| {
        let told = Told {
            kind,
            in_session,
            ..Told::default()
        };
        verdict(text, told) == Verdict::Yes
    };
    assert!(by("by:outside", StepKind::Outside, true));
    assert!(by("by:outside", StepKind::Fs, false));
    assert!(by("by:agent", StepKind::Fs, true));
    assert!(by("by:person", StepKind::Prompt, true));
    assert!(by("by:agent|outside", StepKind::Outside, false));
    assert!(!by("by:agent", StepKind::Prompt, true));
    assert!(by("by:!agent", StepKind::Prompt, true));
}

#[test]
fn numbers_take_what_was_found_later() {
    let at = |text: &str, major, minor| {
        let told = Told {
            ordinal: Ordinal { major, minor },
            ..Told::default()
        };
        verdict(text, told) == Verdict::Yes
    };
    assert!(at("step:136", 136, 2) && at("step:136.2", 136, 2) && !at("step:136.1", 136, 2));
    assert!(at("step:..136", 136, 7) && !at("step:<136", 136, 0) && at("step:<136", 135, 9));
    assert!(!at("step:>136", 136, 7) && at("step:>136.6", 136, 7) && at("step:>136", 137, 0));
}

#[test]
fn a_row_says_when_it_does_not_know() {
    let row = || Told {
        row: true,
        ..Told::default()
    };
    for (text, expected) in [
        ("kind:bash", Verdict::Yes),
        ("kind:edit failed", Verdict::No),
        ("kind:bash failed", Verdict::Unknown),
        ("auth", Verdict::Yes),
        ("!auth", Verdict::No),
        ("!failed", Verdict::Unknown),
        ("path:src", Verdict::Unknown),
        ("branch:!try/2", Verdict::No),
        ("by:agent", Verdict::Yes),
        ("by:claude", Verdict::Yes),
        ("by:codex", Verdict::Unknown),
    ] {
        assert_eq!(verdict(text, row()), expected, "{text}");
    }
    for (text, enough) in [
        (
            "kind:bash exit:!0 is:change step:3 label:a by:agent|outside",
            true,
        ),
        ("by:claude", false),
        ("kind:bash auth", false),
        ("path:src", false),
    ] {
        assert_eq!(read(text).needs_rows_only(), enough, "{text}");
    }
}

#[test]
fn texts_are_read_only_when_nothing_else_decides() {
    for (text, asked) in [
        ("failed kind:edit", 0),
        ("auth", 0),
        ("lock", 0),
        ("failed exit:0", 0),
        ("failed", 1),
        ("failed path:src", 1),
    ] {
        let mut told = Told::default();
        let Ok(_) = read(text).test(&mut told, &mut |_| {});
        assert_eq!(told.asked, asked, "{text}");
    }
}

#[test]
fn it_says_where_it_found_what() {
    let mut seen = Vec::new();
    let Ok(_) = read("~\"FAILED|nothing\" path:*.lock").test(&mut Told::default(), &mut |m| {
        let found = String::from_utf8_lossy(&m.text[m.span.0..m.span.1]).into_owned();
        seen.push((m.place, found));
    });
    assert_eq!(
        seen,
        [
            (Place::Path, "Cargo.lock".to_owned()),
            (Place::Output, "FAILED".to_owned())
        ]
    );
}

#[test]
fn mistakes_have_a_place_and_a_way_out() {
    for (text, at, end, part) in [
        ("knd:bash", 0, 3, "did you mean kind?"),
        ("kind:bash pth:src", 10, 13, "did you mean path?"),
        ("bogus:1", 0, 5, "there is no key bogus"),
        ("exit:zero", 5, 9, "a number is expected"),
        ("exit:!", 6, 6, "a number is expected, as in exit:!0"),
        ("kind:", 5, 5, "a name is expected, as in kind:bash"),
        ("kind:bash,", 10, 10, "a name is expected"),
        ("kind:|bash", 5, 5, "a name is expected before |"),
        ("is:chnage", 3, 9, "did you mean change?"),
        ("is:what", 3, 7, "one of these is expected"),
        ("took:soon", 5, 9, "a time is expected"),
        ("step:first", 5, 10, "a step's number is expected"),
        ("\"open", 0, 5, "not closed"),
        ("path:\"a\"b", 8, 9, "a blank"),
        ("text:~(", 6, 7, "unclosed group"),
        ("path:src/{a", 5, 11, "unclosed alternate"),
        ("!", 0, 1, "! turns the term behind it round"),
        ("! kind:bash", 0, 1, "! turns"),
        ("!!x", 0, 2, "one ! is enough"),
        ("kind:a,!b", 7, 9, "before the first value"),
        ("text:~.{500}{500}{500}", 6, 22, "too large"),
        ("exit:<-9223372036854775808", 5, 26, "a number is expected"),
        ("tokens:>99999999999999999M", 7, 26, "a number is expected"),
    ] {
        let error = text.parse::<Query>().unwrap_err();
        assert_eq!((error.at, error.end), (at, end), "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
    let long = "é".repeat(MAX_LEN);
    assert!(
        long.parse::<Query>()
            .unwrap_err()
            .message
            .contains("at most")
    );
    let many = "kind:a ".repeat(65);
    assert!(
        many.parse::<Query>()
            .unwrap_err()
            .message
            .contains("at most 64")
    );
}

#[test]
fn a_mistake_is_pointed_at() {
    let text = "é\u{202e} kind:bash knd:x";
    let error = text.parse::<Query>().unwrap_err();
    let pointed = error.pointed(text);
    let (line, below) = pointed.split_once('\n').unwrap();
    assert!(!pointed.contains('\u{202e}'));
    let at = line[..line.find("knd").unwrap()].chars().count();
    assert_eq!(below.find('^'), Some(at), "{pointed}");
}

#[test]
fn what_is_printed_is_short() {
    for (text, printed) in [
        ("  kind:bash   exit:!0 ", "kind:bash exit:!0"),
        ("text:foo", "foo"),
        ("text:\"kind:x\"", "\"kind:x\""),
        ("!text:\"a b\"", "!\"a b\""),
        ("~a|b", "text:~a|b"),
        ("exit:<5|>=7", "exit:..4,7.."),
        ("step:5..9.2", "step:5..9.2"),
        ("took:<2m", "took:..119999ms"),
        ("is:!dead", "!is:dead"),
        ("path:src/{a,b}", "path:\"src/{a,b}\""),
    ] {
        assert_eq!(read(text).to_string(), printed, "{text}");
    }
}

#[test]
fn plain_text_is_searched_for_as_it_is() {
    let text = Query::text("kind:bash | \"x\" !").unwrap();
    assert_eq!(read(&text.to_string()), text);
    let regex = Query::text("~a b").unwrap();
    assert_eq!(read(&regex.to_string()), regex);
    assert!(Query::text("").is_err());
    assert_eq!(Query::text("~").unwrap().terms[0].values.len(), 1);
    assert!(Query::text("~(").is_err());
    assert!(Query::text(&"x".repeat(MAX_LEN + 1)).is_err());
}

#[test]
fn every_key_and_word_has_its_line() {
    for key in [
        Key::Text,
        Key::Kind,
        Key::Tool,
        Key::Exit,
        Key::Path,
        Key::By,
        Key::Branch,
        Key::Session,
        Key::Label,
        Key::Step,
        Key::Turn,
        Key::Is,
        Key::Files,
        Key::Lines,
        Key::Tokens,
        Key::Took,
    ] {
        assert_eq!(key.info().key, key);
        assert_eq!(Key::named(key.name()), Some(key));
        let example = read(key.info().example);
        assert_eq!(example.terms[0].key, key);
    }
    for (name, flag, _) in FLAGS {
        assert_eq!(flag.name(), name);
        assert!(Key::Is.info().about.contains(name));
    }
}

/// `docs/query.md` has the tables that the parser reads by.
#[test]
fn the_documentation_has_the_table() {
    let doc =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/query.md")).unwrap();
    let bar = |text: &str| text.replace('|', "\\|");
    for info in KEYS {
        let line = format!(
            "| `{}` | {} | {} | `{}` |",
            info.name,
            info.takes.word(),
            info.about,
            bar(info.example)
        );
        assert!(
            doc.lines().any(|l| l == line),
            "docs/query.md lacks\n{line}"
        );
    }
    for (name, _, about) in FLAGS {
        let line = format!("| `is:{name}` | {about} |");
        assert!(
            doc.lines().any(|l| l == line),
            "docs/query.md lacks\n{line}"
        );
    }
    // Every term in it that is set as code and has a key can be read.
    let known = doc.split('`').skip(1).step_by(2);
    for text in known.filter(|t| t.contains(':') && !t.contains("...")) {
        let text = text.replace("\\|", "|");
        let text = text
            .trim_start_matches("backtrail search ")
            .trim_matches('\'');
        if let Err(e) = text.parse::<Query>() {
            panic!("{}", e.pointed(text));
        }
    }
}

fn pattern(how: How) -> impl Strategy<Value = Value> {
    let text = match how {
        How::Regex => "[a-z .|,\"\\\\()?é]{1,8}",
        How::Piece => "\\PC{1,12}",
        How::Name | How::Path => "[a-zA-Z0-9/*?!~\" ,|.{}\\\\é-]{1,10}",
    };
    text.prop_filter_map("no pattern", move |source| {
        // What begins with ! would stand before the values.
        if matches!(how, How::Name | How::Path) && source.starts_with('!') {
            return None;
        }
        Pattern::new(&source, how).ok().map(Value::Pattern)
    })
}

fn range() -> impl Strategy<Value = Span> {
    (any::<Option<i64>>(), any::<Option<i64>>()).prop_map(|(from, to)| Span { from, to })
}

fn steps() -> impl Strategy<Value = Steps> {
    let end = || {
        (
            any::<u64>(),
            prop_oneof![Just(0), Just(u32::MAX), any::<u32>()],
        )
            .prop_map(|(major, minor)| Ordinal { major, minor })
    };
    (prop::option::of(end()), prop::option::of(end())).prop_map(|(from, to)| Steps { from, to })
}

fn term() -> impl Strategy<Value = Term> {
    prop::sample::select(KEYS.to_vec()).prop_flat_map(|info| {
        let value = match info.takes {
            Takes::Text => prop_oneof![pattern(How::Piece), pattern(How::Regex)].boxed(),
            Takes::Name => prop_oneof![pattern(How::Name), pattern(How::Regex)].boxed(),
            Takes::Path => prop_oneof![pattern(How::Path), pattern(How::Regex)].boxed(),
            Takes::Number => range().prop_map(Value::Number).boxed(),
            Takes::Time => range().prop_map(Value::Time).boxed(),
            Takes::Step => steps().prop_map(Value::Steps).boxed(),
            Takes::Flag => prop::sample::select(FLAGS.to_vec())
                .prop_map(|(_, flag, _)| Value::Flag(flag))
                .boxed(),
        };
        let values = prop::collection::vec(value, 1..4);
        (any::<bool>(), any::<bool>(), values).prop_map(move |(not, other, values)| Term {
            not,
            key: info.key,
            other: other && !matches!(info.key, Key::Text | Key::Is),
            values,
        })
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in "\\PC{0,60}") {
        match text.parse::<Query>() {
            Ok(query) => {
                let printed = query.to_string();
                prop_assert_eq!(read(&printed), query);
            }
            Err(e) => {
                prop_assert!(e.at <= e.end && e.end <= text.len(), "{:?}", e);
                prop_assert!(text.is_char_boundary(e.at) && text.is_char_boundary(e.end));
                prop_assert!(!e.pointed(&text).is_empty());
            }
        }
    }

    #[test]
    fn what_looks_like_a_query_is_read_or_refused(
        text in "(!?(kind|exit|path|text|is|step|took|by|foo):?[!~<>\"]?[a-z0-9.*{\\[(|,\"\\\\ ]{0,6} ?){0,4}"
    ) {
        if let Ok(query) = text.parse::<Query>() {
            prop_assert_eq!(read(&query.to_string()), query);
        }
    }

    #[test]
    fn what_is_printed_reads_back(terms in prop::collection::vec(term(), 0..5)) {
        let query = Query { terms };
        let printed = query.to_string();
        let back = printed.parse::<Query>();
        prop_assert_eq!(back.as_ref(), Ok(&query), "{}", printed);
    }

    #[test]
    fn turning_a_term_round_turns_its_verdict(term in term()) {
        let test = |not| {
            let query = Query { terms: vec![Term { not, ..term.clone() }] };
            let Ok(verdict) = query.test(&mut Told::default(), &mut |_| {});
            verdict
        };
        prop_assert_ne!(test(false), test(true));
    }
}
