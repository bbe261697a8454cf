//! What the client crate and the providers say when something goes wrong, as our own errors. Their words are hostile text:
//! cut, made harmless, and without anything that looks like a key.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::{Config, Error, redact};
use crate::model::{Time, neutral};

/// Longest that is repeated of a provider's words, in characters.
const WORDS: usize = 400;

/// Who was asked.
pub(super) struct Where<'a> {
    pub(super) config: &'a Config,
    pub(super) url: String,
    pub(super) key: Option<&'a str>,
}

/// Our error for theirs; `received` bytes of the answer had come.
pub(super) fn of(at: &Where<'_>, received: usize, error: genai::Error) -> Error {
    use genai::Error as E;
    match error {
        E::HttpError {
            status,
            body,
            headers,
            ..
        } => status_of(at, status.as_u16(), &body, &headers),
        E::WebStream { error, cause, .. } => match error.downcast::<genai::Error>() {
            Ok(inner) => of(at, received, *inner),
            Err(error) => match error.downcast::<reqwest::Error>() {
                Ok(error) => of_web(at, received, &error),
                Err(_) => Error::Malformed {
                    why: words(&cause, at.key),
                },
            },
        },
        E::WebModelCall { webc_error, .. } | E::WebAdapterCall { webc_error, .. } => {
            use genai::webc::Error as W;
            match webc_error {
                W::ResponseFailedStatus {
                    status,
                    body,
                    headers,
                } => status_of(at, status.as_u16(), &body, &headers),
                W::Reqwest(error) => of_web(at, received, &error),
                other => Error::Malformed {
                    why: words(&other.to_string(), at.key),
                },
            }
        }
        E::ChatResponse { body, .. } => in_stream(at, &body),
        E::StreamParse { serde_error, .. } => Error::Malformed {
            why: format!("a piece of it is no JSON ({serde_error})"),
        },
        E::JsonValueExt(_) | E::SerdeJson(_) | E::InvalidJsonResponseElement { .. } => {
            Error::Malformed {
                why: "a piece of it has not the form that it should have".to_owned(),
            }
        }
        other => Error::Provider {
            provider: at.config.provider.name(),
            status: None,
            said: words(&other.to_string(), at.key),
        },
    }
}

fn of_web(at: &Where<'_>, received: usize, error: &reqwest::Error) -> Error {
    let mut why = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(error);
    // The innermost says what happened; the outer ones repeat the address.
    while let Some(e) = source {
        why = e.to_string();
        source = e.source();
    }
    let why = words(&why, at.key);
    if error.is_timeout() && error.is_connect() {
        return Error::Unreachable {
            url: at.url.clone(),
            why: "no connection in time".to_owned(),
        };
    }
    if error.is_connect() || error.is_builder() {
        return Error::Unreachable {
            url: at.url.clone(),
            why,
        };
    }
    Error::Cut { received, why }
}

fn status_of(at: &Where<'_>, status: u16, body: &str, headers: &HeaderMap) -> Error {
    let provider = at.config.provider.name();
    let said = said(body, at.key);
    let retry_after = retry_after(headers);
    match status {
        300..=399 => Error::Provider {
            provider,
            status: Some(status),
            said: "it sends us elsewhere, which is not followed; check `url` in [llm]".to_owned(),
        },
        401 | 403 => Error::KeyRefused {
            provider,
            status,
            said,
            from: at.config.key_from(),
        },
        404 => Error::NoModel {
            provider,
            model: neutral(at.config.model.as_bytes()),
            said,
        },
        429 => Error::RateLimited {
            provider,
            retry_after,
            said,
        },
        503 | 529 => Error::Overloaded {
            provider,
            retry_after,
            said,
        },
        400 | 413 | 422 if too_long(&said) => Error::PromptTooLong { said },
        _ => Error::Provider {
            provider,
            status: Some(status),
            said,
        },
    }
}

fn too_long(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    [
        "too long",
        "too large",
        "context length",
        "context_length",
        "context window",
        "maximum context",
    ]
    .iter()
    .any(|w| said.contains(w))
}

/// An error that came as a piece of the answer.
fn in_stream(at: &Where<'_>, body: &serde_json::Value) -> Error {
    let provider = at.config.provider.name();
    let said = said(&body.to_string(), at.key);
    let kind = body
        .pointer("/error/type")
        .or_else(|| body.pointer("/type"))
        .and_then(|t| t.as_str())
        .unwrap_or_default();
    let retry_after = None;
    match kind {
        "overloaded_error" => Error::Overloaded {
            provider,
            retry_after,
            said,
        },
        "rate_limit_error" | "rate_limit_exceeded" => Error::RateLimited {
            provider,
            retry_after,
            said,
        },
        _ => Error::Provider {
            provider,
            status: None,
            said,
        },
    }
}

/// What the provider says in an error's body.
fn said(body: &str, key: Option<&str>) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let inner = json.as_ref().and_then(|json| {
        ["/error/message", "/message", "/error", "/detail"]
            .iter()
            .find_map(|at| json.pointer(at)?.as_str())
    });
    let text = words(inner.unwrap_or(body), key);
    if text.is_empty() {
        "it gives no reason".to_owned()
    } else {
        text
    }
}

/// Somebody else's words: one harmless line without secrets.
pub(super) fn words(text: &str, key: Option<&str>) -> String {
    let short: String = text.chars().take(WORDS * 4).collect();
    let mut text = short.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(key) = key.filter(|k| k.len() > 3) {
        text = text.replace(key, "[the key]");
    }
    let mut redactor = redact::Redactor::default();
    redactor.learn(&[&text]);
    let text = neutral(redactor.text(&text).as_bytes());
    if text.chars().count() > WORDS {
        text.chars().take(WORDS).chain("…".chars()).collect()
    } else {
        text
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let get = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = get("retry-after-ms").and_then(|v| v.parse().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let said = get("retry-after")?;
    if let Ok(seconds) = said.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(said).ok()?;
    let left = at.timestamp().as_microsecond() - Time::now().0;
    Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn words_of_others_are_cut_and_harmless() {
        let said = words("bad key sk-own\x1b[31m\nsecond line", Some("sk-own"));
        assert_eq!(said, "bad key [the key]\\x1b[31m second line");
        assert!(words(&"x".repeat(100_000), None).chars().count() <= WORDS + 1);
    }

    #[test]
    fn waits_are_read_in_all_their_forms() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert("retry-after", "7".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(
            "retry-after",
            "Fri, 01 Jan 2010 00:00:00 GMT".parse().unwrap(),
        );
        assert_eq!(retry_after(&headers), Some(Duration::ZERO));
        headers.insert("retry-after", "-1".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
        headers.insert("retry-after-ms", "1500".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(1500)));
    }
}
