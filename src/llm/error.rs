//! Why a model did not answer, in words that say what to do.

use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody said which model.
    #[error(
        "no model is configured, everything else works without one; to have one, write into {file}:\n[llm]\nprovider = \"anthropic\"   # or \"openai\" (and what is compatible, with url = \"...\"), \"ollama\"\nmodel = \"...\"\nand set {key} (or key_env, key_command there); nothing is sent before you ask"
    )]
    NotConfigured {
        /// The person's configuration file.
        file: String,
        /// Where the key is looked for.
        key: String,
    },
    /// The configuration cannot be used.
    #[error("{file}: {why}")]
    Config {
        /// Which file.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// There is no key.
    #[error("there is no key for {provider}: {why}")]
    NoKey {
        /// For whom.
        provider: &'static str,
        /// Where it was looked for, and what to do.
        why: String,
    },
    /// The key was refused.
    #[error("{provider} refuses the key ({status}): {said}; check {from}")]
    KeyRefused {
        /// Who.
        provider: &'static str,
        /// The HTTP status.
        status: u16,
        /// Its words.
        said: String,
        /// Where the key is from.
        from: String,
    },
    /// Nobody answers there.
    #[error("{url} cannot be reached: {why}; check `url` and the network")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        why: String,
    },
    /// Too long nothing.
    #[error("{url}: {what} for {} s, so it was given up; ask again, or raise timeout_seconds in [llm]", after.as_secs_f32())]
    Silent {
        /// Where.
        url: String,
        /// `no answer came`, `nothing more came`, ...
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// Too many questions.
    #[error("{provider} takes no more questions now{}: {said}", wait(.retry_after))]
    RateLimited {
        /// Who.
        provider: &'static str,
        /// When it says that it will.
        retry_after: Option<Duration>,
        /// Its words.
        said: String,
    },
    /// It is overloaded.
    #[error("{provider} is overloaded{}: {said}", wait(.retry_after))]
    Overloaded {
        /// Who.
        provider: &'static str,
        /// When it says that it will answer.
        retry_after: Option<Duration>,
        /// Its words.
        said: String,
    },
    /// No such model there.
    #[error("{provider} has no model {model:?}: {said}; set `model` in [llm], or give --model")]
    NoModel {
        /// Who.
        provider: &'static str,
        /// Which model.
        model: String,
        /// Its words.
        said: String,
    },
    /// Any other error of the provider.
    #[error("{provider} says no{}: {said}", .status.map(|s| format!(" ({s})")).unwrap_or_default())]
    Provider {
        /// Who.
        provider: &'static str,
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// Its words.
        said: String,
    },
    /// The model will not.
    #[error("the model refuses to answer: {said}; instruct it otherwise, or settle it by hand")]
    Refused {
        /// Its words, or the provider's.
        said: String,
    },
    /// What came is not what such a server sends.
    #[error("the answer is damaged: {why}; ask again, and check that `provider` and `url` fit")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// The connection ended before the answer did.
    #[error("the answer was cut off after {received} bytes: {why}; ask again")]
    Cut {
        /// How much had come.
        received: usize,
        /// How.
        why: String,
    },
    /// Longer than was asked for.
    #[error("the answer is too long: {why}; ask for less, or raise max_tokens in [llm]")]
    TooLong {
        /// Which limit.
        why: String,
    },
    /// An answer without words.
    #[error("the answer is empty; ask again, or try another model")]
    Empty,
    /// The prompt does not fit.
    #[error("the question is too long for the model: {said}; ask about less")]
    PromptTooLong {
        /// The provider's words.
        said: String,
    },
    /// The token budget is used up.
    #[error(
        "the token budget stops this: {spent} of {budget} tokens are used, the question needs about {needs}; raise token_budget in [llm]"
    )]
    Budget {
        /// Used so far in this process.
        spent: u64,
        /// The limit.
        budget: u64,
        /// Estimated.
        needs: u64,
    },
}

fn wait(after: &Option<Duration>) -> String {
    match after {
        Some(d) if d.as_secs() == 0 => format!("; it says to wait {} ms", d.as_millis()),
        Some(d) => format!("; it says to wait {} s", d.as_secs()),
        None => String::new(),
    }
}
