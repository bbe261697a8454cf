//! What can be wrong around an engine: a stranger on its socket, a second engine, a full disk, a damaged store, huge and
//! odd files. A clear message each time; nothing lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::Duration;

use common::{Place, fuse, walk};

#[test]
fn an_engine_of_another_version_is_named() {
    let place = Place::new();
    place.write("a", "a\n");
    place.ok(&["checkpoint", "-m", "x"]);
    place.bt(&["stop"]);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(place.runtime())
        .unwrap();
    let socket = place.runtime().join("engine.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"{\"backtrail\":99,\"version\":\"9.9.9\"}\n")
            .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
    });
    let out = place.bt(&["log"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success());
    assert!(
        said.contains("9.9.9") && said.contains("protocol 99"),
        "{said}"
    );
    server.join().unwrap();
    std::fs::remove_file(&socket).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_engine_and_nonsense_on_the_socket() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("a", "a\n");
    let _engine = place.engine(None);
    let client = place.client().await;
    let out = place
        .command(["engine", "--project"])
        .arg(&place.project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success());
    assert!(said.contains("another engine already serves"), "{said}");

    for nonsense in [
        &b"\n"[..],
        b"hello\n",
        b"{\"backtrail\":1,\"version\":\"x\"}\nnot json\n",
        b"{\"backtrail\":1,\"version\":\"x\"}\n{\"id\":7,\"request\":{\"fly\":{}}}\n",
    ] {
        let mut stream = UnixStream::connect(place.runtime().join("engine.sock")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(nonsense).unwrap();
        let mut lines = BufReader::new(&stream).lines();
        if nonsense.len() > 20 {
            lines.next().unwrap().unwrap();
            let answer = lines.next().unwrap().unwrap();
            assert!(answer.contains("unsupported"), "{answer}");
        }
    }
    // The engine is still there.
    common::ask(client.as_ref(), backtrail::engine::api::Request::Status).await;
}

#[test]
fn a_damaged_store_says_so_and_keeps_what_it_can() {
    let place = Place::new();
    place.write(
        "a.txt",
        "precious content that will not compress away 0123456789 abcdefghijkl\n",
    );
    place.ok(&["checkpoint", "-m", "one"]);
    place.ok(&["label", "one", "@"]);
    place.write("a.txt", "changed\n");
    place.ok(&["checkpoint", "-m", "two"]);
    let key = std::fs::read_dir(place.path("data/projects"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let pack = key.join("packs/00000001.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    let at = bytes.windows(8).position(|w| w == b"precious").unwrap();
    bytes[at] ^= 0x20;
    std::fs::write(&pack, &bytes).unwrap();
    let out = place.bt(&["cat", "one:a.txt"]);
    assert!(!out.status.success());
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("damaged"),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert_eq!(place.ok(&["cat", "@:a.txt"]), "changed\n");
    let out = place.bt(&["verify"]);
    assert!(!out.status.success());
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(said.contains("00000001.pack"), "{said}");
    // A rollback to the damaged state does what can be done, says what cannot, and loses nothing.
    let out = place.bt(&["rollback", "one"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        said.contains("keep    a.txt (damaged") && said.contains("0 files restored"),
        "{said}"
    );
    assert_eq!(
        std::fs::read_to_string(place.project.join("a.txt")).unwrap(),
        "changed\n"
    );
    place.ok(&["undo"]);
    let commits = place.json(&["log", "--json"]).len();
    // A torn tail costs nothing that was acknowledged.
    place.bt(&["stop"]);
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[at] ^= 0x20;
    bytes.extend_from_slice(b"torn");
    std::fs::write(&pack, &bytes).unwrap();
    assert_eq!(place.json(&["log", "--json"]).len(), commits);
    assert!(place.ok(&["cat", "one:a.txt"]).starts_with("precious"));
}

#[test]
fn a_full_disk_harms_nothing() {
    if !fuse() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a small file system can be mounted by root only");
        return;
    }
    let place = Place::new();
    let data = place.path("data");
    std::fs::create_dir(&data).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
        .arg(&data)
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: no tmpfs can be mounted here");
        return;
    }
    place.write("a.txt", "one\n");
    place.ok(&["checkpoint", "-m", "one"]);
    let mut noise = vec![0_u8; 120 << 20];
    let mut x = 1_u64;
    for chunk in noise.chunks_mut(8) {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chunk.copy_from_slice(&x.to_le_bytes());
    }
    place.write("big.bin", &noise);
    place.write("a.txt", "two\n");
    let before = walk(&place.project, &[]);
    for verb in [&["checkpoint", "-m", "two"][..], &["rollback", "@"]] {
        let out = place.bt(verb);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{verb:?}");
        assert!(said.contains("no space"), "{said}");
        assert_eq!(walk(&place.project, &[]), before, "{verb:?}");
    }
    assert_eq!(place.ok(&["cat", "@:a.txt"]), "one\n");
    // With the large file gone, all goes on.
    std::fs::remove_file(place.project.join("big.bin")).unwrap();
    place.ok(&["checkpoint", "-m", "three"]);
    assert_eq!(place.ok(&["cat", "@:a.txt"]), "two\n");
    place.bt(&["stop", "--force"]);
    let _ = Command::new("umount").arg("-l").arg(&data).status();
}

#[test]
fn odd_files_are_shown_as_what_they_are() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    // 3 GB, sparse: read in a stream, never held.
    let huge = std::fs::File::create(place.project.join("huge.bin")).unwrap();
    huge.set_len(3 << 30).unwrap();
    let out = place.run(
        r#"
        mkfifo pipe
        python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("sock")'
        printf x > "$(printf 'bad\377name')"
        printf x > "$(printf 'esc\033[2Jape')"
        chmod 000 pipe
        "#,
    );
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = place.ok(&["show", "@"]);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    for word in ["pipe", "sock", "bad\\377name", "esc\\033"] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    let shown = place.json(&["show", "--json", "@"]);
    assert!(shown[0].to_string().contains("\"fifo\""));
    let first = place.json(&["log", "--json"]).last().unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let size = place.json(&["diff", "--json", &first, "@"]);
    assert!(!size.is_empty());
    place.ok(&["rollback", &first]);
    assert!(!place.project.join("pipe").exists());
    assert_eq!(
        std::fs::metadata(place.project.join("huge.bin"))
            .unwrap()
            .len(),
        3 << 30
    );
}
