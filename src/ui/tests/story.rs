//! The recording that screens are drawn from: an agent mends the expiry of tokens, goes wrong once, is rolled back, and
//! goes on. Contents are real, so that every difference is.

use crate::model::{CallKind, StepKind};

use super::script::World;

const TOKEN: &str = r#"//! Access tokens and when they end.

use crate::clock::Clock;

/// A token as the server issued it.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose.
    pub subject: String,
    /// Seconds since the epoch.
    pub exp: u64,
}

impl Token {
    /// Parses the claims of a JWT.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (_, claims) = (parts.next()?, parts.next()?);
        let (subject, exp) = claims.split_once(':')?;
        Some(Self {
            subject: subject.to_owned(),
            exp: exp.parse().ok()?,
        })
    }

    /// True once past expiry.
    pub fn is_expired(&self, clock: &dyn Clock) -> bool {
        let now = clock.now_ms();
        if self.exp < now {
            return true;
        }
        false
    }
}
"#;

const AUTH: &str = r#"//! Who may do what.

pub mod token;

pub use token::Token;

/// The header that carries the token.
pub const HEADER: &str = "authorization";
"#;

const TESTS: &str = r#"use demo::auth::Token;
use demo::clock::Fixed;

#[test]
fn a_fresh_token_is_accepted() {
    let token = Token { subject: "ada".into(), exp: 1_700_000_060 };
    assert!(!token.is_expired(&Fixed(1_700_000_000_000)));
}

#[test]
fn an_old_token_is_refused() {
    let token = Token { subject: "ada".into(), exp: 1_699_999_000 };
    assert!(token.is_expired(&Fixed(1_700_000_000_000)));
}
"#;

const FAILED: &str = "   Compiling demo v0.1.0 (/home/ada/fix-login)
    Finished `test` profile [unoptimized] target(s) in 1.82s
     Running tests/auth.rs

running 2 tests
test a_fresh_token_is_accepted ... FAILED
test an_old_token_is_refused ... ok

failures:

---- a_fresh_token_is_accepted stdout ----

thread 'a_fresh_token_is_accepted' panicked at tests/auth.rs:7:5:
assertion failed: !token.is_expired(&Fixed(1_700_000_000_000))

failures:
    a_fresh_token_is_accepted

test result: FAILED. 1 passed; 1 failed; 0 ignored
";

const PASSED: &str = "\x1b[0m\x1b[1m\x1b[32m   Compiling\x1b[0m demo v0.1.0 (/home/ada/fix-login)
     Running tests/auth.rs

running 2 tests
test a_fresh_token_is_accepted ... ok
test an_old_token_is_refused ... ok

test result: ok. 2 passed; 0 failed; 0 ignored
";

/// The files before anything happened.
fn project(w: &mut World) {
    w.put(
        "Cargo.toml",
        "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    w.put(
        "README.md",
        "# demo\n\nA small server with tokens.\n\n## Run\n\n    cargo run\n",
    );
    w.put(
        "src/lib.rs",
        "pub mod auth;\npub mod clock;\npub mod http;\n",
    );
    w.put("src/main.rs", "fn main() {\n    demo::http::serve();\n}\n");
    w.put("src/clock.rs", "/// What time it is.\npub trait Clock {\n    /// Milliseconds since the epoch.\n    fn now_ms(&self) -> u64;\n}\n\n/// A clock that stands still.\npub struct Fixed(pub u64);\n\nimpl Clock for Fixed {\n    fn now_ms(&self) -> u64 {\n        self.0\n    }\n}\n");
    w.put("src/auth/mod.rs", AUTH);
    w.put("src/auth/token.rs", TOKEN);
    w.put("src/http/mod.rs", "//! Requests.\n\n/// Serves until killed.\npub fn serve() {\n    loop {\n        std::thread::park();\n    }\n}\n");
    w.put("tests/auth.rs", TESTS);
    w.put(
        "assets/logo.png",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10",
    );
}

/// The whole recording.
pub(super) fn story() -> World {
    let mut w = World::new("fix-login");
    project(&mut w);
    w.step(
        StepKind::Marker,
        CallKind::Other,
        "",
        "Recording begins: 10 files",
        "",
        None,
        None,
        0.2,
    );
    w.wait(60.0);
    w.prompt("Users are logged out right after refresh. Find out why, fix the expiry check, and keep the tests honest.");
    w.think("The report says right after refresh. Either the refresh token is not stored, or expiry is computed wrongly. Look at the token first.");
    w.bash(
        "rg -n 'is_expired' src tests",
        0,
        "src/auth/token.rs:28:    pub fn is_expired(&self, clock: &dyn Clock) -> bool {\ntests/auth.rs:7:    assert!(!token.is_expired(&Fixed(1_700_000_000_000)));\ntests/auth.rs:13:    assert!(token.is_expired(&Fixed(1_700_000_000_000)));\n",
        0.2,
    );
    w.read("src/auth/token.rs");
    w.read("tests/auth.rs");
    w.wait(20.0);
    w.bash("cargo test --test auth", 101, FAILED, 4.1);
    w.think("exp comes from the JWT in seconds but now_ms() is milliseconds, so every token looks expired. Convert once, at the comparison.");
    let good = w.edit(
        "src/auth/token.rs",
        "        if self.exp < now {\n            return true;\n        }\n        false\n",
        "        // exp is in seconds, the clock in milliseconds\n        let exp = self.exp * 1000;\n        exp < now\n",
    );
    w.bash("cargo test --test auth", 0, PASSED, 3.4);
    w.say("The expiry compared seconds with milliseconds. Both tests pass now.");
    w.wait(95.0);
    w.prompt(
        "Good. Now rotate refresh tokens: a refresh must give a new token and end the old one.",
    );
    w.think("A store of live tokens by subject is the smallest thing that can end an old one. Put it in src/auth/store.rs.");
    w.write("src/auth/store.rs", "//! Which tokens are alive.\n\nuse std::collections::HashMap;\n\nuse super::Token;\n\n/// The newest token of each subject.\n#[derive(Debug, Default)]\npub struct Store {\n    live: HashMap<String, Token>,\n}\n\nimpl Store {\n    /// Takes a new token; the old one of its subject ends.\n    pub fn rotate(&mut self, token: Token) -> Option<Token> {\n        self.live.insert(token.subject.clone(), token)\n    }\n}\n");
    w.edit(
        "src/auth/mod.rs",
        "pub mod token;\n\npub use token::Token;",
        "pub mod store;\npub mod token;\n\npub use store::Store;\npub use token::Token;",
    );
    w.step(
        StepKind::Fs,
        CallKind::Other,
        "",
        "rustfmt looked at src/auth/mod.rs",
        "",
        None,
        None,
        0.1,
    );
    w.put(
        "assets/logo.png",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20 and more of it",
    );
    w.replace(
        "README.md",
        "A small server with tokens.",
        "A small server with rotating tokens.",
    );
    w.step(
        StepKind::Outside,
        CallKind::Other,
        "",
        "README.md, assets/logo.png",
        "",
        None,
        None,
        0.1,
    );
    let label = w.bash("cargo test", 0, PASSED, 5.2);
    w.label(label, "a");
    w.wait(40.0);
    w.prompt("Simplify: drop the old auth module layout, one file is enough.");
    w.think("One file: move everything into src/auth.rs and remove the directory.");
    let joined = "//! Who may do what.\n\npub struct Token;\n";
    w.put("src/auth.rs", joined);
    for name in ["src/auth/mod.rs", "src/auth/token.rs", "src/auth/store.rs"] {
        w.tree.remove(name);
    }
    w.bash(
        "cat src/auth/*.rs > src/auth.rs && rm -rf src/auth",
        0,
        "",
        0.1,
    );
    w.edit(
        "src/auth.rs",
        "pub struct Token;\n",
        "pub struct Token {\n    pub exp: u64,\n}\n",
    );
    w.bash("cargo test", 101, "error[E0432]: unresolved import `demo::auth::Token`\n --> tests/auth.rs:1:5\n  |\n1 | use demo::auth::Token;\n  |     ^^^^^^^^^^^^^^^^^ no `Token` in `auth`\n\nerror: could not compile `demo` (test \"auth\") due to 1 previous error\n", 2.2);
    w.think("This lost the parser and the store. It would be better to go back.");
    w.wait(15.0);
    w.back(good);
    w.wait(9.0);
    w.prompt("That went wrong, I rolled back. Keep the layout; only document the unit of exp.");
    w.think("Only documentation, then. The field's comment is the place that readers see.");
    w.edit(
        "src/auth/token.rs",
        "    /// Seconds since the epoch.\n",
        "    /// Seconds since the epoch, as in the JWT: compare with `now_ms() / 1000`.\n",
    );
    w.edit(
        "README.md",
        "## Run\n",
        "## Tokens\n\nThey end by `exp`, in seconds.\n\n## Run\n",
    );
    w.bash("cargo test", 0, PASSED, 4.8);
    w.tree.get_mut("src/main.rs").unwrap().mode = 0o755;
    w.link("docs/latest", "../README.md");
    w.bash(
        "chmod +x src/main.rs && ln -s ../README.md docs/latest",
        0,
        "",
        0.1,
    );
    w.say("Documented the unit of exp in the field and in the README. Nothing else changed; all tests pass.");
    w
}

/// The same with an agent running and a call that has not ended.
pub(super) fn live() -> World {
    let mut w = story();
    w.live = true;
    w.running = true;
    w.prompt("Run the whole suite once more.");
    w.begin("cargo test --workspace");
    w
}
