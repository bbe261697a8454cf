//! Where settings files are, and how they are read: never waiting for a pipe, never more than [`MAX_FILE`].

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest settings file that is read.
const MAX_FILE: u64 = 1 << 20;

/// The person's configuration file; `None` where the environment names no home.
#[must_use]
pub fn user_file() -> Option<PathBuf> {
    let dir = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|d| d.is_absolute())
    };
    let config = dir("XDG_CONFIG_HOME").or_else(|| Some(dir("HOME")?.join(".config")))?;
    Some(config.join("backtrail").join("config.toml"))
}

/// The file of the person's own theme of that name. `None` for a name that is not one of a file.
#[must_use]
pub fn theme_file(name: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return None;
    }
    let dir = user_file()?.parent()?.join("themes");
    Some(dir.join(format!("{name}.toml")))
}

/// The text of a settings file; `None` where there is none.
pub fn read(file: &Path) -> Result<Option<String>, String> {
    // A pipe in a project would be waited for, already when it is opened.
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(file);
    let opened = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("it cannot be read: {e}; check its permissions")),
    };
    if !opened.metadata().is_ok_and(|m| m.is_file()) {
        return Err("it is no ordinary file".to_owned());
    }
    let mut text = String::new();
    opened
        .take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|e| format!("it cannot be read: {e}"))?;
    Ok(Some(text))
}

/// How the file is named to a person: with `~` for their home.
#[must_use]
pub fn shown(file: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let below = home.and_then(|home| file.strip_prefix(home).ok().map(Path::to_owned));
    let text = match below {
        Some(below) => format!("~/{}", below.display()),
        None => file.display().to_string(),
    };
    crate::model::neutral(text.as_bytes())
}
