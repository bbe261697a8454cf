//! `backtrail enter` for real: namespaces as root and as an ordinary user, masks, the fallback, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An ordinary user, whoever that is here.
const USER: u32 = 1000;

/// A project, another directory to be seen in its place, and directories to be hidden.
struct Scene {
    dir: tempfile::TempDir,
    _socket: UnixListener,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        for sub in ["project/sub", "view/sub", "store", "runtime/session"] {
            fs::create_dir_all(at.join(sub)).unwrap();
        }
        fs::write(at.join("project/file"), "real").unwrap();
        fs::write(at.join("view/file"), "view").unwrap();
        fs::write(at.join("store/secret"), "secret").unwrap();
        // For the ordinary user.
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        let socket = UnixListener::bind(at.join("runtime/session/socket")).unwrap();
        fs::set_permissions(
            at.join("runtime/session/socket"),
            fs::Permissions::from_mode(0o777),
        )
        .unwrap();
        Self {
            dir,
            _socket: socket,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(below)
    }

    fn enter(&self, more: &[&str], command: &[&str]) -> Command {
        let mut enter = Command::new(env!("CARGO_BIN_EXE_backtrail"));
        enter
            .arg("enter")
            .arg("--view")
            .arg(self.path("view"))
            .arg("--at")
            .arg(self.path("project"))
            .args(more)
            .arg("--")
            .args(command)
            .stdin(Stdio::null());
        enter
    }

    /// What a script sees that looks around at the project's path and at the hidden directories.
    fn look_around(&self, user: Option<u32>) -> Output {
        let script = r#"
            pwd
            cat ../file; echo
            echo new > ../made-inside
            ls -A "$1/store"; echo "store: $?"
            ls -A "$1/runtime/session"
            touch "$1/store/x" 2>/dev/null || echo refused
            test -S "$1/runtime/session/socket" && echo socket
            grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status
            id -u
        "#;
        let top = self.path("");
        let mut enter = self.enter(
            &[
                "--below",
                "sub",
                "--mask",
                self.path("store").to_str().unwrap(),
                "--mask",
                self.path("runtime").to_str().unwrap(),
                "--socket",
                self.path("runtime/session/socket").to_str().unwrap(),
            ],
            &["sh", "-c", script, "sh", top.to_str().unwrap()],
        );
        if let Some(user) = user {
            fs::set_permissions(self.path("view"), fs::Permissions::from_mode(0o777)).unwrap();
            enter.uid(user).gid(user);
        }
        enter.output().unwrap()
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(
            fs::read_to_string(self.path("project/file")).unwrap(),
            "real"
        );
        assert!(!self.path("project/made-inside").exists());
        assert!(self.path("view/made-inside").exists());
        assert_eq!(
            fs::read_to_string(self.path("store/secret")).unwrap(),
            "secret"
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path("").to_str().unwrap()));
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Whether this system lets processes have the namespace, asked of a tool that is not ours.
fn can(unshare: &[&str], user: Option<u32>) -> bool {
    let mut command = Command::new("unshare");
    command.args(unshare).arg("true").stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.status().is_ok_and(|s| s.success())
}

#[test]
fn root_sees_the_view_and_nobody_outside_does() {
    if !is_root() || !can(&["-m"], None) {
        eprintln!("skipped: mount namespaces need root here");
        return;
    }
    let scene = Scene::new();
    let output = scene.look_around(None);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], scene.path("project/sub").to_str().unwrap());
    assert_eq!(
        lines[1..6],
        ["view", "store: 0", "socket", "refused", "socket"],
        "{text}"
    );
    assert_eq!(lines.last(), Some(&"0"));
    scene.assert_outside_untouched();
}

#[test]
fn an_ordinary_user_sees_the_same_without_rights_gained() {
    let as_user = is_root().then_some(USER);
    if !can(&["-Um"], as_user) || !readable_by_all(Path::new(env!("CARGO_BIN_EXE_backtrail"))) {
        eprintln!("skipped: no user namespaces, or the ordinary user cannot reach the binary");
        return;
    }
    let scene = Scene::new();
    let output = scene.look_around(as_user);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.first().copied(),
        scene.path("project/sub").to_str(),
        "{output:?}"
    );
    assert_eq!(
        lines[1..6],
        ["view", "store: 0", "socket", "refused", "socket"],
        "{text}"
    );
    let caps: Vec<&&str> = lines.iter().filter(|l| l.starts_with("Cap")).collect();
    assert_eq!(caps.len(), 4, "{text}");
    for cap in caps {
        assert!(cap.ends_with("\t0000000000000000"), "{cap}");
    }
    if let Some(user) = as_user {
        assert_eq!(lines.last(), Some(&user.to_string().as_str()));
    }
    scene.assert_outside_untouched();
}

/// Without namespaces the command works in the view itself, and is told so.
#[test]
fn where_namespaces_are_refused_the_view_is_used_by_its_own_path() {
    let scene = Scene::new();
    let output = scene
        .enter(
            &["--plain", "--below", "sub"],
            &["sh", "-c", "pwd; cat ../file"],
        )
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let view = scene.path("view/sub");
    assert_eq!(text, format!("{}\nview", view.to_str().unwrap()));

    // The kernel's own switch, inside a user namespace of the test's: none may be made below it.
    let as_user = is_root().then_some(USER);
    if !can(&["-Urm"], as_user) || !readable_by_all(Path::new(env!("CARGO_BIN_EXE_backtrail"))) {
        eprintln!("skipped: no user namespaces, or the ordinary user cannot reach the binary");
        return;
    }
    let mut inner = Command::new("unshare");
    inner
        .args(["-Ur", "sh", "-c"])
        .arg(
            "echo 0 > /proc/sys/user/max_user_namespaces && \
             echo 0 > /proc/sys/user/max_mnt_namespaces && exec \"$@\"",
        )
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_backtrail"))
        .args(scene.enter(&[], &["sh", "-c", "pwd; cat file"]).get_args());
    if let Some(user) = as_user {
        inner.uid(user).gid(user);
    }
    let output = inner.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        text,
        format!("{}\nview", scene.path("view").to_str().unwrap()),
        "{said}"
    );
    assert!(
        said.contains("no mount namespace can be had here"),
        "{said}"
    );
}

#[test]
fn a_directory_that_is_gone_in_the_view_gives_the_root() {
    let scene = Scene::new();
    let output = scene
        .enter(&["--plain", "--below", "gone"], &["pwd"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.trim(), scene.path("view").to_str().unwrap());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("starting in the project's root")
    );
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    let scene = Scene::new();
    for (command, code) in [
        (&["sh", "-c", "exit 7"][..], Some(7)),
        (&["no-such-command-here"], Some(127)),
        (&["./file"], Some(126)),
        (&["sh", "-c", "kill -TERM $$"], None),
    ] {
        let output = scene.enter(&["--plain"], command).output().unwrap();
        assert_eq!(output.status.code(), code, "{command:?}");
        let told = code.is_some_and(|c| c > 125);
        assert_eq!(!output.stderr.is_empty(), told, "{command:?}: {output:?}");
    }
}

/// Whether others may pass through every directory above `path`.
fn readable_by_all(path: &Path) -> bool {
    path.ancestors()
        .all(|p| fs::metadata(p).is_ok_and(|m| m.permissions().mode() & 0o001 != 0))
}
