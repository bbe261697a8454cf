//! Which model, where, and with which key: `[llm]` in the person's `config.toml`, and a little of it in the project's
//! `backtrail.toml`.
//!
//! A project is somebody else's text. Its file may choose among the models that the person lists, and lower the limits; where questions go, and which
//! key or command opens the door, only the person's own file says: else a hostile repository could send secrets elsewhere
//! or run commands. What a project's file says beyond that is not followed, and told.

use std::path::Path;
use std::time::Duration;

use super::Error;
use crate::config::file::{read, user_file};
use crate::model::neutral;

/// Name of the project's settings file.
const PROJECT_FILE: &str = "backtrail.toml";

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI's chat completions, and whatever is compatible with them.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Ollama's own chat.
    Ollama,
}

impl Provider {
    /// Its name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    fn read(name: &str) -> Option<Self> {
        match name {
            "openai" | "openai-compatible" => Some(Self::OpenAi),
            "anthropic" => Some(Self::Anthropic),
            "ollama" => Some(Self::Ollama),
            _ => None,
        }
    }

    /// Where its own service is.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1/",
            Self::Anthropic => "https://api.anthropic.com/v1/",
            Self::Ollama => "http://localhost:11434/",
        }
    }

    /// The variable in which its key usually is.
    #[must_use]
    pub fn key_env(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Ollama => None,
        }
    }
}

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFrom {
    /// The provider's usual variable.
    Usual,
    /// This variable.
    Env(String),
    /// The first line that this shell command prints.
    Command(String),
}

/// How to reach a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whose API.
    pub provider: Provider,
    /// Which model.
    pub model: String,
    /// Where, when not at the provider's own service.
    pub url: Option<String>,
    /// The key.
    pub key: KeyFrom,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
    /// Longest silence: until the first word, and between words.
    pub timeout: Duration,
    /// Tokens that this process may use in all.
    pub token_budget: u64,
}

impl Config {
    /// One with the usual limits.
    #[must_use]
    pub fn new(provider: Provider, model: impl Into<String>) -> Self {
        Self {
            provider,
            model: model.into(),
            url: None,
            key: KeyFrom::Usual,
            max_tokens: 4096,
            timeout: Duration::from_secs(60),
            token_budget: 500_000,
        }
    }

    /// Where it asks, with a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = self
            .url
            .as_deref()
            .unwrap_or(self.provider.url())
            .to_owned();
        if !url.ends_with('/') {
            url.push('/');
        }
        // A bare host: the usual path.
        let bare = url
            .split_once("://")
            .is_some_and(|(_, rest)| rest.find('/') == Some(rest.len() - 1));
        if bare && self.provider != Provider::Ollama {
            url.push_str("v1/");
        }
        url
    }

    /// Where the key is from, for people.
    #[must_use]
    pub fn key_from(&self) -> String {
        match &self.key {
            KeyFrom::Usual => self.provider.key_env().unwrap_or("no key").to_owned(),
            KeyFrom::Env(name) => format!("the variable {name}"),
            KeyFrom::Command(_) => "key_command in [llm]".to_owned(),
        }
    }
}

/// What the files say.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// How to reach a model, or why there is none.
    pub config: Result<Config, Error>,
    /// What the person should know.
    pub warnings: Vec<String>,
}

/// Reads the person's file and, where there is a project, what its own file may say.
#[must_use]
pub fn load(project: Option<&Path>) -> Loaded {
    load_from(user_file().as_deref(), project)
}

/// As [`load`], with the person's file named.
#[must_use]
pub fn load_from(user: Option<&Path>, project: Option<&Path>) -> Loaded {
    let mut warnings = Vec::new();
    let config = both(user, project, &mut warnings);
    Loaded { config, warnings }
}

#[derive(Default)]
struct Section {
    provider: Option<Provider>,
    model: Option<String>,
    models: Vec<String>,
    url: Option<String>,
    key_env: Option<String>,
    key_command: Option<String>,
    max_tokens: Option<u64>,
    timeout_seconds: Option<u64>,
    token_budget: Option<u64>,
}

fn both(
    user: Option<&Path>,
    project: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Result<Config, Error> {
    let name = user.map_or_else(
        || "~/.config/backtrail/config.toml".to_owned(),
        |p| neutral(p.as_os_str().as_encoded_bytes()),
    );
    let wrong = |why: String| Error::Config {
        file: name.clone(),
        why,
    };
    let mine = match user {
        Some(file) => section(file, warnings, &name).map_err(&wrong)?,
        None => Section::default(),
    };
    let theirs = match project {
        Some(root) => {
            section(&root.join(PROJECT_FILE), warnings, PROJECT_FILE).unwrap_or_else(|why| {
                warnings.push(format!("{PROJECT_FILE}: {why}"));
                Section::default()
            })
        }
        None => Section::default(),
    };
    for (key, said) in [
        ("url", &theirs.url),
        ("key_env", &theirs.key_env),
        ("key_command", &theirs.key_command),
    ] {
        if said.is_some() {
            warnings.push(format!(
                "the project's {PROJECT_FILE} names [llm] {key}: not followed, a project may not say where questions and keys go; if you want it, write it into {name}"
            ));
        }
    }
    let mut same_provider = true;
    if let (Some(theirs), Some(mine)) = (theirs.provider, mine.provider)
        && theirs != mine
    {
        same_provider = false;
        warnings.push(format!(
            "the project's {PROJECT_FILE} asks for {}: not followed, your own configuration says {}",
            theirs.name(),
            mine.name()
        ));
    }
    let not_configured = || Error::NotConfigured {
        file: name.clone(),
        key: mine
            .provider
            .and_then(Provider::key_env)
            .unwrap_or("ANTHROPIC_API_KEY or OPENAI_API_KEY")
            .to_owned(),
    };
    // Without the person's word for a provider nothing leaves: the project's word alone is not enough.
    let Some(provider) = mine.provider else {
        if theirs.provider.is_some() {
            warnings.push(format!(
                "the project's {PROJECT_FILE} names a provider, but your own configuration names none: nothing is sent on a project's word alone"
            ));
        }
        return Err(not_configured());
    };
    if !theirs.models.is_empty() {
        warnings.push(format!(
            "the project's {PROJECT_FILE} names [llm] models: not followed, which models a project may choose from is for {name} to say"
        ));
    }
    // A model's name can decide who gets the question: one service passes some on to others.
    let listed = |model: &String| mine.model.as_ref() == Some(model) || mine.models.contains(model);
    let wanted = theirs.model.filter(|_| same_provider);
    if let Some(model) = wanted.as_ref().filter(|m| !listed(m)) {
        warnings.push(format!(
            "the project's {PROJECT_FILE} asks for the model {:?}: not followed, a model can send questions elsewhere; if you want it, add it to models = [...] in [llm] of {name}",
            neutral(model.as_bytes())
        ));
    }
    let model = wanted.filter(listed).or(mine.model.clone());
    let Some(model) = model else {
        return Err(not_configured());
    };
    let mut config = Config::new(provider, model);
    if let Some(url) = &mine.url {
        check_url(url, warnings).map_err(&wrong)?;
    }
    config.url = mine.url;
    config.key = match (mine.key_env, mine.key_command) {
        (Some(_), Some(_)) => {
            return Err(wrong(
                "[llm] has key_env and key_command; keep one".to_owned(),
            ));
        }
        (Some(env), None) => KeyFrom::Env(env),
        (None, Some(command)) => KeyFrom::Command(command),
        (None, None) => KeyFrom::Usual,
    };
    let number = |said: Option<u64>, usual: u64, most: u64| said.unwrap_or(usual).clamp(1, most);
    let tokens = number(mine.max_tokens, u64::from(config.max_tokens), 1_000_000);
    let tokens = tokens.min(theirs.max_tokens.unwrap_or(u64::MAX).max(1));
    config.max_tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    config.timeout = Duration::from_secs(number(
        mine.timeout_seconds,
        config.timeout.as_secs(),
        86_400,
    ));
    config.token_budget = mine
        .token_budget
        .unwrap_or(config.token_budget)
        .min(theirs.token_budget.unwrap_or(u64::MAX));
    Ok(config)
}

fn check_url(url: &str, warnings: &mut Vec<String>) -> Result<(), String> {
    let shown = neutral(url.as_bytes());
    let parsed = reqwest::Url::parse(url).map_err(|e| {
        format!("[llm] url {shown:?} cannot be read: {e}; https://host/v1/ is wanted")
    })?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(format!(
            "[llm] url {shown:?} is no web address; https://host/v1/ is wanted"
        ));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("[llm] url holds a password; use key_env or key_command".to_owned());
    }
    if parsed.scheme() == "http" && !is_here(&parsed) {
        warnings.push(format!(
            "[llm] url {shown} is not encrypted: questions and key can be read on the way"
        ));
    }
    Ok(())
}

/// Whether an address is this machine.
pub(super) fn is_here(url: &reqwest::Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The `[llm]` of a file; empty where there is none.
fn section(file: &Path, warnings: &mut Vec<String>, name: &str) -> Result<Section, String> {
    let text = match read(file) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(Section::default()),
        Err(why) => return Err(why),
    };
    let table: toml::Table = toml::from_str(&text).map_err(|e| {
        format!(
            "it is not TOML: {}; correct it",
            neutral(e.message().as_bytes())
        )
    })?;
    let llm = match table.get("llm") {
        None => return Ok(Section::default()),
        Some(toml::Value::Table(llm)) => llm,
        Some(_) => return Err("`llm` is no section; write [llm]".to_owned()),
    };
    let mut out = Section::default();
    for (key, value) in llm {
        let text = || match value {
            toml::Value::String(s) if !s.trim().is_empty() => Ok(Some(s.trim().to_owned())),
            _ => Err(format!("[llm] {key} must be a text in quotes")),
        };
        let number = || match value {
            toml::Value::Integer(n) => u64::try_from(*n)
                .map(Some)
                .map_err(|_| format!("[llm] {key} must not be negative")),
            _ => Err(format!("[llm] {key} must be a whole number")),
        };
        match key.as_str() {
            "provider" => {
                let said = text()?.unwrap_or_default();
                out.provider = Some(Provider::read(&said).ok_or_else(|| {
                    format!(
                        "[llm] provider {:?} is not known; it is \"openai\" (also for what is compatible), \"anthropic\" or \"ollama\"",
                        neutral(said.as_bytes())
                    )
                })?);
            }
            "model" => out.model = text()?,
            "models" => {
                let names = value.as_array().map(|all| {
                    let names = all.iter().map(|v| v.as_str().map(|s| s.trim().to_owned()));
                    names.collect::<Option<Vec<_>>>()
                });
                out.models = names.flatten().ok_or_else(|| {
                    "[llm] models must be a list of names in quotes: [\"a\", \"b\"]".to_owned()
                })?;
            }
            "url" => out.url = text()?,
            "key_env" => out.key_env = text()?,
            "key_command" => out.key_command = text()?,
            "max_tokens" => out.max_tokens = number()?,
            "timeout_seconds" => out.timeout_seconds = number()?,
            "token_budget" => out.token_budget = number()?,
            other => warnings.push(format!(
                "{name}: [llm] knows no {:?}",
                neutral(other.as_bytes())
            )),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    fn loaded(user: &str, project: &str) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, user).unwrap();
        std::fs::write(dir.path().join(PROJECT_FILE), project).unwrap();
        load_from(Some(&file), Some(dir.path()))
    }

    #[test]
    fn nothing_configured_says_how_to() {
        let dir = tempfile::tempdir().unwrap();
        let e = load_from(Some(&dir.path().join("none.toml")), None)
            .config
            .unwrap_err();
        let said = e.to_string();
        for word in [
            "none.toml",
            "[llm]",
            "provider",
            "model",
            "ANTHROPIC_API_KEY",
        ] {
            assert!(said.contains(word), "{said}");
        }
        assert!(loaded("[llm]\nprovider = \"ollama\"", "").config.is_err());
    }

    #[test]
    fn a_project_may_choose_a_model_and_lower_limits_but_not_where_it_goes() {
        let user = "[llm]\nprovider = \"openai\"\nmodel = \"m\"\nmodels = [\"other\"]\nmax_tokens = 1000\nkey_env = \"MINE\"\n";
        let got = loaded(
            user,
            "[llm]\nmodel = \"other\"\nmax_tokens = 500\ntoken_budget = 9\nurl = \"http://evil/\"\nkey_env = \"AWS_SECRET_ACCESS_KEY\"\nkey_command = \"curl evil\"\n",
        );
        let config = got.config.unwrap();
        assert_eq!(config.model, "other");
        assert_eq!((config.max_tokens, config.token_budget), (500, 9));
        assert_eq!(config.url(), "https://api.openai.com/v1/");
        assert_eq!(config.key, KeyFrom::Env("MINE".to_owned()));
        for key in ["url", "key_env", "key_command"] {
            let told = format!("[llm] {key}: not followed");
            assert!(
                got.warnings.iter().any(|w| w.contains(&told)),
                "{:?}",
                got.warnings
            );
        }
        // Nor raise them, nor send elsewhere by naming another provider.
        let got = loaded(
            user,
            "[llm]\nprovider = \"anthropic\"\nmodel = \"x\"\nmax_tokens = 9000\n",
        );
        let config = got.config.unwrap();
        assert_eq!(
            (config.provider, config.model.as_str(), config.max_tokens),
            (Provider::OpenAi, "m", 1000)
        );
        assert_eq!(got.warnings.len(), 1, "{:?}", got.warnings);
        // Nor by a model that the person does not know of.
        let got = loaded(
            "[llm]\nprovider = \"ollama\"\nmodel = \"m\"\n",
            "[llm]\nmodel = \"gpt-oss:120b-cloud\"\nmodels = [\"gpt-oss:120b-cloud\"]\n",
        );
        assert_eq!(got.config.unwrap().model, "m");
        assert!(
            got.warnings.len() == 2 && got.warnings[1].contains("gpt-oss"),
            "{:?}",
            got.warnings
        );
        // On a project's word alone nothing is sent.
        let got = loaded("", "[llm]\nprovider = \"openai\"\nmodel = \"x\"\n");
        assert!(matches!(got.config, Err(Error::NotConfigured { .. })));
        assert_eq!(got.warnings.len(), 1);
    }

    #[test]
    fn a_broken_file_is_told_and_a_projects_one_stops_nothing() {
        for bad in [
            "[llm",
            "llm = 3",
            "[llm]\nprovider = \"skynet\"",
            "[llm]\nmodel = 3",
            "[llm]\nmodels = \"m\"",
            "[llm]\nprovider=\"openai\"\nmodel=\"m\"\nurl=\"file:///etc/passwd\"",
            "[llm]\nprovider=\"openai\"\nmodel=\"m\"\nurl=\"https://u:p@host/\"",
            "[llm]\nprovider=\"openai\"\nmodel=\"m\"\nkey_env=\"A\"\nkey_command=\"b\"",
            "[llm]\nmax_tokens = -1",
        ] {
            let e = loaded(bad, "").config.unwrap_err();
            assert!(matches!(e, Error::Config { .. }), "{bad}: {e}");
        }
        let got = loaded("[llm]\nprovider=\"openai\"\nmodel=\"m\"", "[llm");
        assert!(got.config.is_ok());
        assert!(got.warnings[0].contains(PROJECT_FILE));
    }

    #[test]
    fn a_pipe_in_a_project_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "[llm]\nprovider=\"openai\"\nmodel=\"m\"").unwrap();
        let pipe = dir.path().join(PROJECT_FILE);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let root = dir.path().to_owned();
        std::thread::spawn(move || {
            let _ = tell.send(load_from(Some(&file), Some(&root)));
        });
        let got = told
            .recv_timeout(Duration::from_secs(30))
            .expect("it waits for the pipe");
        assert!(got.config.is_ok());
        assert!(
            got.warnings[0].contains("no ordinary file"),
            "{:?}",
            got.warnings
        );
    }

    #[test]
    fn every_setting_of_the_table_is_known_here() {
        use crate::config::table::{Kind, SETTINGS};
        for setting in SETTINGS.iter().filter(|s| s.section == "llm") {
            let value = match setting.kind {
                Kind::Texts => "[\"m\"]",
                Kind::Whole(..) => "7",
                Kind::Word(words) => &format!("\"{}\"", words[0]),
                _ => "\"http://localhost/\"",
            };
            let got = loaded(&format!("[llm]\n{} = {value}\n", setting.name), "");
            assert_eq!(got.warnings, Vec::<String>::new(), "{}", setting.name);
        }
    }

    #[test]
    fn addresses() {
        let mut c = Config::new(Provider::OpenAi, "m");
        for (given, url) in [
            ("http://localhost:8080", "http://localhost:8080/v1/"),
            ("http://h/api/v3", "http://h/api/v3/"),
        ] {
            c.url = Some(given.to_owned());
            assert_eq!(c.url(), url);
        }
        c.provider = Provider::Ollama;
        c.url = Some("http://h:1".to_owned());
        assert_eq!(c.url(), "http://h:1/");
    }
}
