//! What restoring is: from any state to any other, exactly, and back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::OnceLock;

use backtrail::capture::restore::{Nobody, plan};
use backtrail::model::{Attr, Cause, Commit, RepoPath, Time};
use backtrail::store::{NewCommit, Publication};
use proptest::prelude::*;

use super::support::*;

const NAMES: [&[u8]; 6] = [b"a", b"b", b"c.txt", b"\xff\xfe", b"new\nline", b"-x"];

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 1..4),
        (any::<u8>(), 4000..9000_usize).prop_map(|(b, n)| vec![b; n]),
        (any::<u8>(), 130_000..300_000_usize).prop_map(|(b, n)| vec![b; n]),
    ]
}

#[derive(Debug, Clone)]
enum Grown {
    Leaf(Node),
    Dir(u32, BTreeMap<usize, Self>),
}

fn grown() -> impl Strategy<Value = BTreeMap<usize, Grown>> {
    let modes = prop::sample::select(vec![0o644, 0o755, 0o600, 0o4755, 0o000, 0o444]);
    let leaf = prop_oneof![
        4 => (content(), modes).prop_map(|(c, m)| Node::File(c, m)),
        1 => prop::sample::select(vec![&b"a"[..], b"/nowhere", b"../..", b"\xff"])
            .prop_map(|t| Node::Link(t.to_vec())),
        1 => prop::sample::select(vec![0o600, 0o644]).prop_map(Node::Fifo),
    ];
    let dirs = prop::sample::select(vec![0o755, 0o700, 0o555, 0o1777]);
    let tree = leaf
        .prop_map(Grown::Leaf)
        .prop_recursive(3, 20, 5, move |inner| {
            let inside = prop::collection::btree_map(0..NAMES.len(), inner, 0..4);
            (dirs.clone(), inside).prop_map(|(m, d)| Grown::Dir(m, d))
        });
    prop::collection::btree_map(0..NAMES.len(), tree, 0..5)
}

fn flat(dir: &RepoPath, grown: &BTreeMap<usize, Grown>, out: &mut State) {
    for (name, thing) in grown {
        let path = dir.join(NAMES[*name]).unwrap();
        match thing {
            Grown::Leaf(node) => {
                out.insert(path, node.clone());
            }
            Grown::Dir(mode, inside) => {
                out.insert(path.clone(), Node::Dir(*mode));
                flat(&path, inside, out);
            }
        }
    }
}

fn any_state() -> impl Strategy<Value = State> {
    grown().prop_map(|g| {
        let mut out = State::new();
        flat(&RepoPath::root(), &g, &mut out);
        out
    })
}

fn lab() -> std::sync::MutexGuard<'static, Lab> {
    static LAB: OnceLock<std::sync::Mutex<Lab>> = OnceLock::new();
    LAB.get_or_init(|| std::sync::Mutex::new(Lab::new()))
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(a in any_state(), b in any_state(), open: bool) {
        let lab = lab();
        lab.clear();
        write(&lab.root(), &a);
        let there = lab.plan(&a, &b);
        let world: &dyn backtrail::capture::restore::World = if open { &AllOpen } else { &Nobody };
        let applied = lab.apply(&there, world).unwrap();
        prop_assert_eq!(&applied.kept, &[]);
        prop_assert_eq!(&applied.displaced, &[]);
        prop_assert_eq!(&read(&lab.root()), &b);
        let mut touched = applied.touched.clone();
        touched.sort();
        let mut planned: Vec<_> = there.changes().iter().map(|c| c.path.clone()).collect();
        planned.sort();
        prop_assert_eq!(touched, planned);
        // Every path that was touched is named once for the kernel, one way or the other.
        prop_assert_eq!(applied.touched.len(), applied.content.len() + applied.entries.len());

        let back = lab.plan(&b, &a);
        let applied = lab.apply(&back, world).unwrap();
        prop_assert_eq!(&applied.kept, &[]);
        prop_assert_eq!(&read(&lab.root()), &a);
    }

    #[test]
    fn what_is_left_out_stays(a in any_state(), b in any_state(), out in 0..NAMES.len()) {
        let lab = lab();
        lab.clear();
        write(&lab.root(), &a);
        let (from, to) = (keep(&lab.store, &a), keep(&lab.store, &b));
        let left_out = |path: &RepoPath| path.parts().any(|p| p == NAMES[out]);
        let plan = plan(&lab.store, from, to, &|p, _, _| left_out(p)).unwrap();
        for c in plan.changes() {
            prop_assert!(!left_out(&c.path));
        }
        lab.apply(&plan, &Nobody).unwrap();
        let found = read(&lab.root());
        assert_no_staging(&found);
        let of = |s: &State| -> State {
            s.iter().filter(|(p, _)| left_out(p)).map(|(p, n)| (p.clone(), n.clone())).collect()
        };
        prop_assert_eq!(of(&found), of(&a));
        // The rest is as in b, as far as directories that had to stay allow it.
        for (path, node) in &b {
            let blocked = found.iter().any(|(q, _)| left_out(q) && q.is_within(path))
                || plan.kept.iter().any(|(k, _)| path.is_within(k));
            let below_blocked = path.parent().is_some_and(|up| !matches!(found.get(&up), None | Some(Node::Dir(_))));
            if !left_out(path) && !blocked && !below_blocked {
                prop_assert_eq!(found.get(path), Some(node), "{}", path);
            }
        }
        for path in found.keys() {
            let blocked = found.keys().any(|q| left_out(q) && q.is_within(path));
            prop_assert!(b.contains_key(path) || left_out(path) || blocked, "{}", path);
        }
    }
}

#[test]
fn the_plan_says_what_it_will_do() {
    let lab = Lab::new();
    let a = state(&[
        ("same", file("same")),
        ("edited", file("old")),
        ("mode", file("m")),
        ("gone", file("g")),
        ("was-dir/x", file("x")),
        ("was-empty", Node::Dir(0o755)),
        ("dirmode/f", file("f")),
    ]);
    let mut b = state(&[
        ("same", file("same")),
        ("edited", file("new")),
        ("mode", Node::File("m".into(), 0o755)),
        ("was-dir", file("now a file")),
        ("dirmode/f", file("f")),
        ("came/deep/f", file("f")),
        ("came-empty", Node::Dir(0o755)),
    ]);
    b.insert(p("dirmode"), Node::Dir(0o700));
    let plan = lab.plan(&a, &b);
    let list = |paths: &[RepoPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        list(&plan.restored),
        ["came/deep/f", "came-empty", "edited", "was-dir"]
    );
    assert_eq!(list(&plan.removed), ["gone", "was-dir/x", "was-empty"]);
    assert_eq!(list(&plan.modes), ["dirmode", "mode"]);
    assert_eq!(plan.kept, []);
    assert!(lab.plan(&a, &a).is_empty());
}

#[test]
fn open_descriptors_see_the_new_content_and_links_do_not() {
    let lab = Lab::new();
    let (long, short) = ("long ".repeat(60_000), "short".to_owned());
    let a = state(&[
        ("shrinks", file(&long)),
        ("grows", file(&short)),
        ("linked", file("1")),
    ]);
    let b = state(&[
        ("shrinks", file(&short)),
        ("grows", file(&long)),
        ("linked", file("2")),
    ]);
    write(&lab.root(), &a);
    fs::hard_link(lab.root().join("linked"), lab.dir.path().join("elsewhere")).unwrap();
    let open = |name: &str| File::open(lab.root().join(name)).unwrap();
    let (shrinks, grows, linked) = (open("shrinks"), open("grows"), open("linked"));
    let applied = lab.apply(&lab.plan(&a, &b), &AllOpen).unwrap();
    let all = |f: &File| {
        let mut bytes = vec![0; usize::try_from(f.metadata().unwrap().len()).unwrap()];
        f.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(all(&shrinks), short);
    assert_eq!(all(&grows), long);
    // Two names: rewriting would change the other one too.
    assert_eq!(all(&linked), "1");
    assert_eq!(fs::read(lab.dir.path().join("elsewhere")).unwrap(), b"1");
    assert_eq!(read(&lab.root()), b);
    assert_eq!(applied.content, [p("grows"), p("shrinks")]);
    assert_eq!(applied.entries, [p("linked")]);
}

#[test]
fn directories_keep_their_identity() {
    let lab = Lab::new();
    let mut a = state(&[("d/e/f", file("1")), ("d/e/g", file("1"))]);
    let mut b = state(&[("d/e/f", file("2")), ("d/e/h", file("2"))]);
    a.insert(p("d/e"), Node::Dir(0o755));
    b.insert(p("d/e"), Node::Dir(0o700));
    write(&lab.root(), &a);
    let ino = || fs::metadata(lab.root().join("d/e")).unwrap().ino();
    let before = ino();
    let applied = lab.apply(&lab.plan(&a, &b), &Nobody).unwrap();
    assert_eq!(ino(), before);
    assert_eq!(read(&lab.root()), b);
    assert_eq!(applied.content, [p("d/e")]);
}

#[test]
fn git_is_left_alone_at_any_depth() {
    let lab = Lab::new();
    let a = state(&[
        (".git/HEAD", file("now")),
        ("sub/.git/HEAD", file("now")),
        ("f", file("1")),
    ]);
    let b = state(&[
        (".git/HEAD", file("then")),
        ("f", file("2")),
        ("g/.git", file("x")),
    ]);
    write(&lab.root(), &a);
    let plan = lab.plan(&a, &b);
    assert!(
        plan.changes()
            .iter()
            .all(|c| !c.path.to_string().contains(".git"))
    );
    let applied = lab.apply(&plan, &Nobody).unwrap();
    let found = read(&lab.root());
    assert_eq!(found[&p(".git/HEAD")], file("now"));
    assert_eq!(found[&p("sub/.git/HEAD")], file("now"));
    assert_eq!(found[&p("f")], file("2"));
    assert!(!found.contains_key(&p("g/.git")));
    let kept: Vec<_> = applied
        .kept
        .iter()
        .map(|(p, why)| format!("{p}: {why}"))
        .collect();
    assert_eq!(kept, ["sub: it still holds .git"]);
}

#[test]
fn content_that_changes_gets_the_present_time_unless_asked() {
    let lab = Lab::new();
    let a = state(&[("f", file("1")), ("held", file("1")), ("gone", file("1"))]);
    let b = state(&[("f", file("2")), ("held", file("2"))]);
    let (tree_a, tree_b) = (keep(&lab.store, &a), keep(&lab.store, &b));
    let mut commits = Vec::new();
    for (tree, state, seconds) in [(tree_a, &a, 1_000_i64), (tree_b, &b, 2_000)] {
        let commit = Commit {
            parents: commits.last().copied().into_iter().collect(),
            tree,
            git: None,
            state: None,
            author: "test".into(),
            session: None,
            time: Time(seconds),
            cause: Cause::Manual,
            message: String::new(),
            meta: BTreeMap::new(),
            conflict: Vec::new(),
        };
        let tree = lab.store.tree(tree).unwrap();
        let paths = state
            .keys()
            .map(|p| (p.clone(), tree.get(p.as_bytes()).cloned()));
        let attrs = state.keys().map(|p| Attr {
            path: p.clone(),
            mtime_ns: seconds * 1_000_000_000 + 5,
            uid: 12_345,
            gid: 54_321,
        });
        let new = NewCommit {
            commit,
            attrs: attrs.collect(),
            paths: paths.collect(),
        };
        let published = lab.store.publish(Publication {
            commits: vec![new],
            operation: None,
            steps: Vec::new(),
            links: Vec::new(),
        });
        commits.extend(published.unwrap().commits);
    }
    write(&lab.root(), &b);
    let root = open_root(&lab.root());
    let mtime = |name: &str| fs::metadata(lab.root().join(name)).unwrap().mtime();
    let run = |from: &State, to: &State, target: usize, keep_mtime: bool| {
        let mut intent = intent(&lab.plan(from, to));
        intent.to_commit = commits[target];
        intent.options.keep_mtime = keep_mtime;
        let world = HeldOnly;
        use std::os::fd::AsFd;
        backtrail::capture::restore::apply(&lab.store, root.as_fd(), &lab.journal, &intent, &world)
            .unwrap();
        lab.journal.done(&intent).unwrap();
        assert_eq!(read(&lab.root()), *to);
    };
    let start = Time::now().0 / 1_000_000;
    run(&b, &a, 0, false);
    for name in ["f", "held", "gone"] {
        assert!(mtime(name) >= start, "{name} {}", mtime(name));
    }
    if rustix::process::geteuid().is_root() {
        // A file that comes back has its owner; one that is replaced keeps the present one.
        let owner = |name: &str| fs::metadata(lab.root().join(name)).unwrap().uid();
        assert_eq!((owner("gone"), owner("f")), (12_345, 0));
    }
    run(&a, &b, 1, true);
    assert_eq!((mtime("f"), mtime("held")), (2_000, 2_000));
    run(&b, &a, 0, true);
    assert_eq!(
        (mtime("f"), mtime("held"), mtime("gone")),
        (1_000, 1_000, 1_000)
    );
}

struct HeldOnly;

impl backtrail::capture::restore::World for HeldOnly {
    fn open_count(&self, path: &RepoPath) -> usize {
        usize::from(path.as_bytes() == b"held")
    }
}

#[test]
fn a_replaced_file_keeps_its_attributes() {
    let lab = Lab::new();
    let (a, b) = (state(&[("f", file("1"))]), state(&[("f", file("2"))]));
    write(&lab.root(), &a);
    let path = lab.root().join("f");
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&path, "user.note", b"mine", flags).is_err() {
        eprintln!("skipped: this file system has no user attributes");
        return;
    }
    lab.apply(&lab.plan(&a, &b), &Nobody).unwrap();
    let mut value = [0; 16];
    let n = rustix::fs::getxattr(&path, "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..n], b"mine");
    assert_eq!(read(&lab.root()), b);
}

#[test]
fn of_a_directory_that_is_left_out_only_the_directory_is_named() {
    let lab = Lab::in_memory();
    let a = state(&[("f", file("1")), ("there/x", file("1"))]);
    let b = state(&[
        ("f", file("2")),
        ("out/a/b", file("2")),
        ("out/c", file("2")),
        ("out/tracked", file("2")),
        ("there/x", file("2")),
    ]);
    let (from, to) = (keep(&lab.store, &a), keep(&lab.store, &b));
    let rule = |p: &RepoPath, _: bool, _: u64| {
        let text = p.to_string();
        (text.starts_with("out") && text != "out/tracked") || text == "there/x"
    };
    let plan = plan(&lab.store, from, to, &rule).unwrap();
    let kept: Vec<_> = plan
        .kept
        .iter()
        .map(|(p, why)| format!("{p}: {why}"))
        .collect();
    let why = "left out by the project's rules";
    assert_eq!(kept, [format!("out: {why}"), format!("there/x: {why}")]);
    assert_eq!(plan.restored, [p("f"), p("out/tracked")]);
    // Sizes and kinds of both sides are asked about.
    let asked = std::cell::RefCell::new(Vec::new());
    let note = |p: &RepoPath, dir: bool, size: u64| {
        asked.borrow_mut().push((p.to_string(), dir, size));
        false
    };
    let c = state(&[("f", file("a longer one")), ("there", file("1"))]);
    let other = keep(&lab.store, &c);
    backtrail::capture::restore::plan(&lab.store, from, other, &note).unwrap();
    let asked = asked.into_inner();
    for wanted in [
        ("f", false, 1),
        ("f", false, 12),
        ("there", true, 0),
        ("there", false, 1),
    ] {
        let wanted = (wanted.0.to_owned(), wanted.1, wanted.2);
        assert!(asked.contains(&wanted), "{wanted:?} in {asked:?}");
    }
}

#[test]
fn many_files_in_many_directories() {
    let lab = Lab::in_memory();
    let make = |version: &str, dirs: std::ops::Range<usize>| {
        let mut out = State::new();
        for d in dirs {
            out.insert(p(&format!("d{d}")), Node::Dir(0o755));
            for f in 0..4 {
                out.insert(
                    p(&format!("d{d}/f{f}")),
                    file(&format!("{version} {d} {f}")),
                );
            }
        }
        out
    };
    let (a, b) = (make("old", 0..400), make("new", 100..500));
    write(&lab.root(), &a);
    let applied = lab.apply(&lab.plan(&a, &b), &Nobody).unwrap();
    assert_eq!(applied.kept, []);
    assert!(read(&lab.root()) == b);
    lab.apply(&lab.plan(&b, &a), &AllOpen).unwrap();
    assert!(read(&lab.root()) == a);
}
