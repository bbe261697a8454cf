//! Facts as words: kinds of steps, outcomes, clocks, durations.

use std::time::Duration;

use crate::engine::api::Row;
use crate::model::{StepKind, Time, Tokens, kind_word, marker_word};

use super::text;
use super::theme::Token;

/// The kind of a step, in at most seven characters, so that it can be read down a column and searched for.
pub(crate) fn kind(row: &Row) -> String {
    kind_word(row.kind, row.call, &row.tool, &row.title, row.talk.thread).into_owned()
}

/// The word that a marker's line begins with, and the rest of it.
pub(crate) fn marker(title: &str) -> Option<(&str, &str)> {
    marker_word(title)
}

/// The colour of a kind.
pub(crate) fn kind_token(row: &Row) -> Token {
    match row.kind {
        StepKind::Prompt => Token::Prompt,
        StepKind::Thought | StepKind::Message => Token::Dim,
        StepKind::Fs | StepKind::Outside => Token::Foreign,
        StepKind::Marker => Token::Warn,
        StepKind::Call => Token::Kind,
        StepKind::Unknown => Token::Dim,
    }
}

/// What a step was, in words, for its pane.
pub(crate) fn what(row: &Row) -> String {
    match row.kind {
        StepKind::Prompt if row.talk.thread > 0 => "what a subagent was asked".to_owned(),
        StepKind::Prompt => format!("prompt of turn {}", row.turn),
        StepKind::Thought => "thought".to_owned(),
        StepKind::Message => "message".to_owned(),
        StepKind::Call if row.tool.is_empty() => kind(row),
        StepKind::Call => text::one_line(&row.tool),
        StepKind::Fs => "change that no call claims".to_owned(),
        StepKind::Outside => "change made outside".to_owned(),
        StepKind::Marker => kind(row),
        StepKind::Unknown => "unknown record".to_owned(),
    }
}

/// A label's own name.
pub(crate) fn label(name: &str) -> String {
    text::one_line(name.strip_prefix("label/").unwrap_or(name))
}

/// Whether a trace told this time: where it tells none, it is 1970.
pub(crate) fn told(time: Time) -> bool {
    time.0 != 0
}

/// `12:04`, or `12:04:31`, in a zone; blanks for a time that was not told.
pub(crate) fn clock(zone: &jiff::tz::TimeZone, time: Time, seconds: bool) -> String {
    if !told(time) {
        return " ".repeat(if seconds { 8 } else { 5 });
    }
    let stamp = jiff::Timestamp::from_microsecond(time.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let local = stamp.to_zoned(zone.clone());
    let format = if seconds { "%H:%M:%S" } else { "%H:%M" };
    local.strftime(format).to_string()
}

/// A duration in the unit that says most.
pub(crate) fn duration(d: Duration) -> String {
    let ms = d.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A duration in at most six cells.
pub(crate) fn span(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{}.{} h", s / 3_600, s % 3_600 / 360),
        _ => format!("{}.{} d", s / 86_400, s % 86_400 / 8_640),
    }
}

/// How long ago, in at most six cells.
pub(crate) fn age(now: Time, then: Time) -> String {
    let s = now.since(then).as_secs();
    match s {
        0..60 => "now".to_owned(),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h", s / 3_600),
        86_400..5_184_000 => format!("{} d", s / 86_400),
        5_184_000..63_072_000 => format!("{} mon", s / 2_592_000),
        _ => format!("{} y", s / 31_536_000),
    }
}

/// A number in at most five cells.
pub(crate) fn count(n: u64) -> String {
    let short = |n: u64, unit: u64, sign: &str| {
        if n < 10 * unit {
            format!("{}.{}{sign}", n / unit, n % unit * 10 / unit)
        } else {
            format!("{}{sign}", n / unit)
        }
    };
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => short(n, 1_000, "k"),
        1_000_000..1_000_000_000 => short(n, 1_000_000, "M"),
        _ => short(n, 1_000_000_000, "G"),
    }
}

/// All tokens that were worked on, without what came from the cache.
pub(crate) fn all_tokens(tokens: &Tokens) -> u64 {
    tokens
        .input
        .saturating_add(tokens.output)
        .saturating_add(tokens.cache_write)
}

/// What an answer cost, in short: what the model wrote, or all when that was not told.
pub(crate) fn cost(tokens: &Tokens) -> String {
    let n = if tokens.output > 0 {
        tokens.output
    } else {
        all_tokens(tokens)
    };
    format!("{} tok", count(n))
}

/// What an answer cost, in full.
pub(crate) fn tokens(tokens: &Tokens, dot: &str) -> String {
    let parts = [
        (tokens.output, "out"),
        (tokens.input, "in"),
        (tokens.cache_read, "from cache"),
        (tokens.cache_write, "to cache"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", text::grouped(n)))
        .collect();
    parts.join(dot)
}

/// A model's name without what all of its kind have in common.
pub(crate) fn model(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.strip_prefix("claude-").unwrap_or(name);
    // A date at the end says little.
    match name.rsplit_once('-') {
        Some((head, date)) if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) => {
            head.to_owned()
        }
        _ => name.to_owned(),
    }
}

/// Which lines of an output deserve a colour: what test runners and compilers say first in a line.
pub(crate) fn output_token(line: &str) -> Token {
    let start = line.trim_start();
    let bad = [
        "error",
        "FAILED",
        "FAIL",
        "failures:",
        "panicked at",
        "Traceback",
        "fatal:",
    ];
    if bad.iter().any(|w| start.starts_with(w)) || line.ends_with("FAILED") {
        Token::Bad
    } else if start.starts_with("warning") {
        Token::Warn
    } else if start.starts_with("test ") && line.ends_with("ok") || start.starts_with("PASS") {
        Token::Good
    } else {
        Token::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let d = |ms| duration(Duration::from_millis(ms));
        assert_eq!(d(42), "42 ms");
        assert_eq!(d(2_340), "2.3 s");
        assert_eq!(d(75_000), "1 min 15 s");
        assert_eq!(d(3_720_000), "1 h 02 min");
    }

    #[test]
    fn outputs_say_what_matters() {
        assert_eq!(output_token("error[E0308]: mismatched"), Token::Bad);
        assert_eq!(output_token("test auth::expiry ... FAILED"), Token::Bad);
        assert_eq!(output_token("test auth::expiry ... ok"), Token::Good);
        assert_eq!(output_token("   Compiling demo"), Token::Text);
    }
}
