//! Whole merges beside git: the same generated histories merged by both; where both are clean, the trees are the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::common::{Place, walk};
use crate::support::remove;

/// How many histories.
const CASES: u64 = 24;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn base(root: &Path, random: &mut Random) {
    for n in 0..8 {
        let dir = root.join(format!("d{}", n % 3));
        std::fs::create_dir_all(&dir).unwrap();
        let lines: String = (0..12 + random.below(12))
            .map(|l| format!("file {n} line {l}\n"))
            .collect();
        std::fs::write(dir.join(format!("f{n}.txt")), lines).unwrap();
    }
}

/// Some edits of one side.
fn change(root: &Path, random: &mut Random, word: &str) {
    for e in 0..1 + random.below(5) {
        let all: Vec<_> = walk(root, &[])
            .into_iter()
            .filter(|(_, (kind, ..))| kind == "file")
            .map(|(path, _)| path)
            .collect();
        let at = usize::try_from(random.below(all.len() as u64)).unwrap();
        let path = root.join(&all[at]);
        match random.below(10) {
            0..=5 => {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let at = usize::try_from(random.below(lines.len() as u64 + 1)).unwrap();
                match random.below(3) {
                    0 if at < lines.len() => lines[at] = format!("{word} {e} changed {at}"),
                    1 if at < lines.len() => drop(lines.remove(at)),
                    _ => lines.insert(at, format!("{word} {e} added")),
                }
                let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
                std::fs::write(&path, text).unwrap();
            }
            6 => std::fs::write(
                path.with_file_name(format!("{word}-{e}.txt")),
                format!("new {word} {e}\n"),
            )
            .unwrap(),
            7 if all.len() > 4 => remove(&path),
            8 => std::fs::rename(&path, path.with_file_name(format!("{word}-moved-{e}.txt")))
                .unwrap(),
            _ => {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            }
        }
    }
}

fn git(dir: &Path, args: &[&str]) -> bool {
    Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap()
        .status
        .success()
}

/// Path to (is executable, content): what git keeps.
fn kept(root: &Path) -> BTreeMap<std::path::PathBuf, (bool, Vec<u8>)> {
    walk(root, &[])
        .into_iter()
        .filter(|(_, (kind, ..))| kind == "file")
        .map(|(path, (_, mode, content))| (path, (mode & 0o100 != 0, content)))
        .collect()
}

fn replace(root: &Path, with: &Path) {
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|n| n != ".git") {
            remove(&path);
        }
    }
    let copied = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", with.display()))
        .arg(root)
        .status()
        .unwrap();
    assert!(copied.success());
}

#[test]
fn clean_merges_give_the_trees_of_git() {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("skipped: no git here");
        return;
    }
    let (mut both, mut only_git, mut only_ours, mut neither) = (0, 0, 0, 0);
    for case in 0..CASES {
        let mut random = Random(case * 7_919 + 17);
        let place = Place::new();
        let repo = place.path("repo");
        std::fs::create_dir(&repo).unwrap();
        let step = |from: &dyn Fn(&Path, &mut Random), random: &mut Random| {
            // The same files in both: made in git's directory, copied to the project.
            from(&repo, random);
            assert!(git(&repo, &["add", "-A"]));
            assert!(git(&repo, &["commit", "-q", "--allow-empty", "-m", "x"]));
            let plain = place.path("plain");
            remove(&plain);
            std::fs::create_dir(&plain).unwrap();
            assert!(
                Command::new("cp")
                    .arg("-a")
                    .arg(format!("{}/.", repo.display()))
                    .arg(&plain)
                    .status()
                    .unwrap()
                    .success()
            );
            remove(&plain.join(".git"));
            replace(&place.project, &plain);
        };
        assert!(git(&repo, &["init", "-q", "-b", "main"]));
        step(&base, &mut random);
        place.ok(&["init"]);
        assert!(git(&repo, &["branch", "try"]));
        place.ok(&["branch", "create", "try"]);
        // Up to three rounds: apart, and then one merge into the other, so that bases are merges and cross.
        for round in 0..2 + random.below(2) {
            for (branch, word) in [("try", "theirs"), ("main", "ours")] {
                place.ok(&["switch", branch]);
                assert!(git(&repo, &["checkout", "-q", branch]));
                let word = format!("{word}{round}");
                step(&|root, random| change(root, random, &word), &mut random);
                place.ok(&["checkpoint", "-m", &word]);
            }
            let clean_git = git(
                &repo,
                &[
                    "-c",
                    "merge.renames=true",
                    "merge",
                    "-q",
                    "--no-ff",
                    "-X",
                    "find-renames=100%",
                    "-m",
                    "m",
                    "try",
                ],
            );
            let out = place.bt(&["merge", "try"]);
            let clean_ours = out.status.success();
            match (clean_git, clean_ours) {
                (true, true) => {
                    both += 1;
                    assert!(
                        kept(&repo) == kept(&place.project),
                        "case {case}, round {round}: other trees: {:?}",
                        crate::common::differences(&walk(&repo, &[]), &walk(&place.project, &[]))
                    );
                }
                (true, false) => only_git += 1,
                (false, true) => only_ours += 1,
                (false, false) => neither += 1,
            }
            if !(clean_git && clean_ours) {
                break;
            }
        }
    }
    println!(
        "{both} merges clean in both, with the same trees; {only_git} clean in git only, {only_ours} here only, {neither} in neither"
    );
    assert!(both >= 20, "{both} is too few to say anything");
}
