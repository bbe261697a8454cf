//! The key: from the environment or from a command that the person's own configuration names. It is kept in memory only
//! and never shown.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{Config, Error, KeyFrom};

/// How long a key command may take: it may ask for a passphrase in a window of its own.
const COMMAND: Duration = Duration::from_secs(60);

/// Longest key.
const MAX: u64 = 16 << 10;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(pub(super) String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Finds the key; `None` where none is needed.
pub(super) async fn find(config: &Config) -> Result<Option<Key>, Error> {
    let no = |why: String| Error::NoKey {
        provider: config.provider.name(),
        why,
    };
    let (name, usual) = match &config.key {
        KeyFrom::Command(command) => {
            let text = run(command).await.map_err(no)?;
            return checked(&text, "key_command").map(Some).map_err(no);
        }
        KeyFrom::Env(name) => (name.as_str(), false),
        KeyFrom::Usual => match config.provider.key_env() {
            Some(name) => (name, true),
            None => return Ok(None),
        },
    };
    match std::env::var(name) {
        Ok(text) if !text.trim().is_empty() => checked(text.trim(), name).map(Some).map_err(no),
        // A server of one's own often wants none.
        _ if usual && config.url.is_some() => Ok(None),
        _ => Err(no(format!(
            "the variable {name} is not set; set it, or name another with key_env or a command with key_command in [llm] of your configuration"
        ))),
    }
}

fn checked(text: &str, from: &str) -> Result<Key, String> {
    let key = text.lines().next().unwrap_or_default().trim();
    if key.is_empty() {
        return Err(format!("{from} gives an empty one"));
    }
    // Anything else would not be a header's value.
    if !key.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return Err(format!(
            "what {from} gives has blanks or strange characters in its first line"
        ));
    }
    Ok(Key(key.to_owned()))
}

async fn run(command: &str) -> Result<String, String> {
    let mut child = tokio::process::Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("key_command cannot be run: {e}"))?;
    let mut text = Vec::new();
    let all = async {
        if let Some(out) = child.stdout.take() {
            out.take(MAX).read_to_end(&mut text).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(COMMAND, all)
        .await
        .map_err(|_| format!("key_command did not end within {} s", COMMAND.as_secs()))?
        .map_err(|e| format!("key_command failed: {e}"))?;
    if !status.success() {
        return Err(format!("key_command failed ({status}); run it by hand"));
    }
    String::from_utf8(text).map_err(|_| "what key_command prints is no text".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::llm::Provider;

    fn config(command: &str) -> Config {
        Config {
            key: KeyFrom::Command(command.to_owned()),
            ..Config::new(Provider::OpenAi, "m")
        }
    }

    #[tokio::test]
    async fn a_command_gives_its_first_line_and_failures_are_told_without_it() {
        let key = find(&config("printf 'sk-1\\nmore\\n'")).await.unwrap();
        assert_eq!(key, Some(Key("sk-1".to_owned())));
        assert_eq!(format!("{key:?}"), "Some(Key(***))");
        for (command, word) in [
            ("echo hidden; exit 3", "exit status: 3"),
            ("true", "empty"),
            ("printf 'a b'", "strange"),
        ] {
            let e = find(&config(command)).await.unwrap_err().to_string();
            assert!(e.contains(word) && !e.contains("hidden"), "{e}");
        }
    }

    #[tokio::test]
    async fn a_missing_variable_is_named() {
        let mut c = Config::new(Provider::Anthropic, "m");
        c.key = KeyFrom::Env("BACKTRAIL_TEST_NO_SUCH_KEY".to_owned());
        let e = find(&c).await.unwrap_err().to_string();
        assert!(e.contains("BACKTRAIL_TEST_NO_SUCH_KEY"), "{e}");
        let c = Config::new(Provider::Ollama, "m");
        assert_eq!(find(&c).await.unwrap(), None);
    }
}
