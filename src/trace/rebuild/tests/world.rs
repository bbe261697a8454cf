//! Sessions at random, held against a world where the truth is known; and effects that make no sense at all.

use proptest::prelude::*;

use super::*;

/// One thing that happens in a session, to the file of that number.
#[derive(Debug, Clone)]
enum Event {
    /// An edit of the line of that number; does its record tell what was there?
    Edit(usize, usize, bool),
    /// The file is written anew (its record tells what was there).
    Write(usize, u8),
    /// The whole file is read.
    Read(usize),
    /// One line is read.
    ReadPart(usize, usize),
    /// It is removed (told).
    Delete(usize),
    /// Somebody else adds a line, or changes the one of that number.
    Outside(usize, Option<usize>),
}

fn event() -> impl Strategy<Value = Event> {
    let file = 0..3_usize;
    prop_oneof![
        6 => (file.clone(), 0..6_usize, any::<bool>()).prop_map(|(f, l, t)| Event::Edit(f, l, t)),
        1 => (file.clone(), any::<u8>()).prop_map(|(f, n)| Event::Write(f, n)),
        1 => file.clone().prop_map(Event::Read),
        1 => (file.clone(), 0..6_usize).prop_map(|(f, l)| Event::ReadPart(f, l)),
        1 => file.clone().prop_map(Event::Delete),
        1 => (file, prop::option::of(0..6_usize)).prop_map(|(f, l)| Event::Outside(f, l)),
    ]
}

/// The truth beside which the rebuilt states are held.
struct World {
    lab: Lab,
    files: [Option<String>; 3],
    unique: usize,
    /// What each told change did: call, before, after.
    truth: Vec<(String, Option<String>, Option<String>)>,
}

impl World {
    fn text(&mut self) -> String {
        self.unique += 1;
        format!("line <{}>", self.unique)
    }

    fn before(&self, file: usize) -> Before {
        match &self.files[file] {
            Some(text) => Before::Content(text.clone()),
            None => Before::Absent,
        }
    }

    fn run(&mut self, event: &Event) {
        let path = |file: usize| format!("/w/d{file}/f");
        match *event {
            Event::Edit(file, line, told) => {
                let Some(text) = self.files[file].clone() else {
                    return;
                };
                let lines: Vec<&str> = text.lines().collect();
                if lines.is_empty() {
                    return;
                }
                let old = lines[line % lines.len()].to_owned();
                let new = self.text();
                let before = if told { had(&text) } else { Before::NotTold };
                self.change(
                    file,
                    before,
                    pair(&old, &new),
                    Some(text.replacen(&old, &new, 1)),
                );
            }
            Event::Write(file, n) => {
                let text: String = (0..n % 7).map(|_| self.text() + "\n").collect();
                let before = self.before(file);
                self.change(file, before, What::Write(text.clone()), Some(text));
            }
            Event::Delete(file) => {
                if self.files[file].is_some() {
                    let before = self.before(file);
                    self.change(file, before, What::Delete, None);
                }
            }
            Event::Read(file) => {
                if let Some(text) = self.files[file].clone() {
                    let what = What::Seen(text);
                    self.lab
                        .take(effect("", &path(file), Before::NotTold, what));
                }
            }
            Event::ReadPart(file, line) => {
                if let Some(text) = self.files[file].clone()
                    && let Some(shown) = text.lines().nth(line)
                {
                    let what = What::SeenPart {
                        text: shown.to_owned(),
                        from: line + 1,
                        of: text.lines().count() + 1,
                    };
                    self.lab
                        .take(effect("", &path(file), Before::NotTold, what));
                }
            }
            Event::Outside(file, line) => {
                let new = self.text();
                let text = self.files[file].get_or_insert_default();
                let mut lines: Vec<&str> = text.lines().collect();
                match line {
                    Some(line) if line < lines.len() => lines[line] = &new,
                    _ => lines.push(&new),
                }
                *text = lines.iter().map(|l| format!("{l}\n")).collect();
            }
        }
    }

    fn change(&mut self, file: usize, before: Before, what: What, after: Option<String>) {
        let call = format!("call {}", self.truth.len());
        let was = std::mem::replace(&mut self.files[file], after.clone());
        self.truth.push((call.clone(), was, after));
        self.lab
            .take(effect(&call, &format!("/w/d{file}/f"), before, what));
    }
}

/// Every content that is said to be known is the one that was there, whatever records forget and whoever else writes,
/// once every file has been read at the end.
#[test]
fn nothing_known_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = |events: Vec<Event>| {
        let mut world = World {
            lab: Lab::on(Arc::clone(&store), "claude", None),
            files: std::array::from_fn(|i| (i < 2).then(|| format!("a{i}\nb{i}\nc{i}\n"))),
            unique: 0,
            truth: Vec::new(),
        };
        for event in &events {
            world.run(event);
        }
        for file in 0..3 {
            world.run(&Event::Read(file));
        }
        world.check(&events)
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&prop::collection::vec(event(), 1..40), run)
        .unwrap();
    assert!(store.verify().unwrap().faults.is_empty());
}

impl World {
    fn check(&mut self, events: &[Event]) -> Result<(), TestCaseError> {
        let settled = self.lab.rebuild.settle().unwrap();
        let effects = self.lab.rebuild.effects();
        prop_assert_eq!(&settled.effects, &effects);
        let told: Vec<_> = effects
            .iter()
            .filter(|e| e.evidence == Evidence::Transcript)
            .collect();
        prop_assert_eq!(told.len(), self.truth.len());
        let known = |text: &Option<String>| match text {
            Some(text) => Known::of(text.as_bytes()),
            None => Known::Absent,
        };
        for (effect, (call, before, after)) in told.into_iter().zip(&self.truth) {
            prop_assert_eq!(effect.call.as_deref(), Some(call.as_str()));
            for (said, was) in [(effect.before, before), (effect.after, after)] {
                let right = said == Known::Unknown || said == known(was);
                prop_assert!(right, "{said:?} of {call}: {was:?}");
            }
        }
        // The last state is what is there.
        let mut state = BTreeMap::new();
        let (_, tree) = self.lab.rebuild.head().unwrap();
        self.lab.walk(tree, "", &mut state);
        for (file, text) in self.files.iter().enumerate() {
            if let Some(said) = state.get(&format!("d{file}/f")) {
                prop_assert_eq!(Some(said), text.as_ref());
            }
        }
        prop_assert!(settled.commits.len() <= 2 * events.len() + 8);
        Ok(())
    }
}

/// Any text that a recording may hold, and now and then one that something else in it matches.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ab\n]{0,8}",
        "[ab\r\n]{0,8}",
        ".{0,12}",
        Just("@@ -1 +1 @@\n-a\n+b\n".to_owned()),
        Just("@@ -0,0 +1 @@\n+b\n".to_owned()),
        Just("{\"cells\":[{\"id\":\"a\"}],\"nbformat\":4}".to_owned()),
    ]
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/w/a".to_owned()),
        Just("/w/a/b".to_owned()),
        Just("a/b/c".to_owned()),
        Just("/w".to_owned()),
        Just("../../x".to_owned()),
        Just("C:\\x".to_owned()),
        ".{0,8}",
    ]
}

fn any_what() -> impl Strategy<Value = What> {
    let pairs = prop::collection::vec(
        (any_text(), any_text(), any::<bool>()).prop_map(|(old, new, all)| Replacement {
            old,
            new,
            all,
        }),
        0..3,
    );
    let hunk =
        (prop::collection::vec(any_text(), 0..2), any::<bool>()).prop_map(|(old, at_end)| {
            crate::trace::patch::Hunk {
                context: Vec::new(),
                new: vec!["x".into()],
                old,
                at_end,
            }
        });
    use crate::trace::patch::FilePatch;
    prop_oneof![
        any_text().prop_map(What::Seen),
        (any_text(), any::<usize>(), 0..5_usize).prop_map(|(text, from, of)| What::SeenPart {
            text,
            from,
            of
        }),
        any_text().prop_map(What::Write),
        pairs.prop_map(What::Replace),
        any_text().prop_map(What::Unified),
        any_text().prop_map(|content| What::Patch(FilePatch::Add { content })),
        hunk.prop_map(|h| What::Patch(FilePatch::Update { hunks: vec![h] })),
        Just(What::Patch(FilePatch::Delete)),
        (any_text(), any_text()).prop_map(|(cell, source)| What::Notebook {
            mode: "replace".into(),
            cell,
            kind: String::new(),
            source,
        }),
        Just(What::Delete),
        (any_path(), prop::option::of(any_text())).prop_map(|(to, text)| What::Rename {
            to,
            change: text.map(|t| Box::new(What::Write(t))),
        }),
        Just(What::Changed),
    ]
}

fn any_effect() -> impl Strategy<Value = FileEffect> {
    let before = prop_oneof![
        Just(Before::NotTold),
        Just(Before::Absent),
        any_text().prop_map(Before::Content),
    ];
    let stage = prop_oneof![Just(Stage::Declared), Just(Stage::Applied)];
    ("[abc]?", any_path(), before, any_what(), stage).prop_map(
        |(call, path, before, what, stage)| FileEffect {
            stage,
            ..effect(&call, &path, before, what)
        },
    )
}

/// Whatever is told, in whatever order, the ledger stays whole: each file's effects follow each other, and the last
/// state is what they left.
#[test]
fn any_effects_make_a_whole_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let config = ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = |records: Vec<(Vec<FileEffect>, bool, bool)>| {
        let mut lab = Lab::on(Arc::clone(&store), "claude", None);
        for (effects, ok, settle) in records {
            let calls: Vec<String> = effects.iter().map(|e| e.call.clone()).collect();
            lab.rebuild.take(effects, &mut lab.told).unwrap();
            for call in calls {
                lab.rebuild.closed(&call, ok, &mut lab.told).unwrap();
            }
            if settle {
                lab.rebuild.settle().unwrap();
            }
        }
        lab.rebuild.settle().unwrap();
        let mut last: BTreeMap<String, Known> = BTreeMap::new();
        for effect in lab.rebuild.effects() {
            if let Some(left) = last.insert(effect.path.clone(), effect.after) {
                let follows = left == effect.before
                    || left == Known::Unknown
                    || effect.before == Known::Unknown;
                prop_assert!(follows, "{effect:?} after {left:?}");
            }
        }
        let mut state = BTreeMap::new();
        let (_, tree) = lab.rebuild.head().unwrap();
        lab.walk(tree, "", &mut state);
        for path in state.keys() {
            prop_assert!(last.get(path) != Some(&Known::Absent), "{path} is gone");
        }
        Ok(())
    };
    let record = (
        prop::collection::vec(any_effect(), 1..4),
        any::<bool>(),
        prop::bool::weighted(0.1),
    );
    proptest::test_runner::TestRunner::new(config)
        .run(&prop::collection::vec(record, 1..8), run)
        .unwrap();
}
