//! What a commit of an exported branch says: what was asked, what the agent thought, what it called.
//!
//! Whatever an agent or a person wrote is indented and has no control characters, so that none of it can pass for one of the
//! trailers, for a mail's end, or for what a terminal acts on.

use super::super::api::{Request, Response, Row, StepDetail};
use super::super::source::Source;
use super::Error;
use crate::llm::redact::Redactor;
use crate::model::{CommitId, Ordinal, Session, Status, StepKind, neutral};

/// Longest subject, in characters.
const SUBJECT: usize = 72;
/// Longest prompt and thought, and longest arguments of a call, in bytes.
const TEXT: usize = 6 << 10;
const CALL: usize = 1 << 10;
/// Longest message; what is left out is said.
const WHOLE: usize = 48 << 10;
/// Steps that a message tells of.
const STEPS: usize = 60;

/// What a commit is made of.
#[derive(Debug, Default)]
pub(super) struct Story<'a> {
    /// Its subject, if it is not that of its steps.
    pub(super) subject: Option<String>,
    /// The prompt of its turn, for one that is a whole turn.
    pub(super) prompt: Option<&'a Row>,
    pub(super) session: Option<&'a Session>,
    /// The steps that changed something, in order.
    pub(super) steps: Vec<&'a Row>,
    /// What else was said, a harmless line each.
    pub(super) notes: &'a [String],
    pub(super) commit: Option<CommitId>,
}

/// The message, without the secrets that the texts hold: it goes where the recording does not.
pub(super) async fn message(
    source: &dyn Source,
    story: &Story<'_>,
    redactor: &mut Redactor,
) -> Result<String, Error> {
    let mut details = Vec::new();
    for row in story.prompt.iter().chain(story.steps.iter().take(STEPS)) {
        let detail = detail(source, row).await?;
        redactor.learn(&[&row.title]);
        for (_, text) in detail.prompt.iter().chain(&detail.thought) {
            redactor.learn(&[text]);
        }
        if let Some(body) = &detail.body {
            redactor.learn(&[&body.text]);
            redactor.learn(&[&arguments(&body.text)]);
        }
        details.push(detail);
    }
    for text in story.notes.iter().chain(&story.subject) {
        redactor.learn(&[text]);
    }
    let mut details = details.into_iter();
    let mut out = String::new();
    let mut last_thought = None;
    let mut told_prompt = None;
    if let Some(row) = story.prompt
        && let Some(detail) = details.next()
    {
        let text = redactor.text(&body(&detail, &row.title));
        tell_prompt(row.ordinal, &text, &mut out);
        told_prompt = Some(row.ordinal);
    }
    for (n, row) in story.steps.iter().enumerate() {
        let detail = details.next().filter(|_| out.len() <= WHOLE);
        let Some(detail) = detail else {
            let more = story.steps.len() - n;
            out.push_str(&format!("And {more} more steps.\n\n"));
            break;
        };
        if let Some((ordinal, text)) = &detail.prompt
            && told_prompt != Some(*ordinal)
        {
            tell_prompt(*ordinal, &redactor.text(text), &mut out);
            told_prompt = Some(*ordinal);
        }
        if let Some((ordinal, text)) = &detail.thought
            && last_thought != Some(*ordinal)
        {
            out.push_str(&format!("Thought (step {ordinal}):\n\n"));
            quote(&redactor.text(text), TEXT, &mut out);
            last_thought = Some(*ordinal);
        }
        out.push_str(&format!("{}\n\n", headline(row, redactor)));
        if row.kind == StepKind::Call
            && let Some(body) = &detail.body
        {
            let text = redactor.text(&arguments(&body.text));
            quote(&text, CALL, &mut out);
        }
    }
    for note in story.notes {
        out.push_str(&format!("Checkpoint: {}\n\n", redactor.text(note)));
    }
    let mut message = format!("{}\n\n{out}", subject(story, redactor));
    message.push_str(&trailers(story));
    Ok(message)
}

async fn detail(source: &dyn Source, row: &Row) -> Result<Box<StepDetail>, Error> {
    match source.ask(Request::Step { id: row.step }).await? {
        Response::Step(detail) => Ok(detail),
        other => Err(Error::unexpected(&other)),
    }
}

fn body(detail: &StepDetail, title: &str) -> String {
    detail
        .body
        .as_ref()
        .map_or_else(|| title.to_owned(), |part| part.text.clone())
}

fn tell_prompt(ordinal: Ordinal, text: &str, out: &mut String) {
    out.push_str(&format!("Prompt (step {ordinal}):\n\n"));
    quote(text, TEXT, out);
}

/// A step in a line, with its outcome where that is bad.
fn headline(row: &Row, redactor: &mut Redactor) -> String {
    let how = match (row.status, row.exit_code) {
        (_, Some(code)) if code != 0 => format!(", exit {code}"),
        (Status::Error, _) => ", failed".to_owned(),
        (Status::Aborted, _) => ", without a result".to_owned(),
        _ => String::new(),
    };
    format!(
        "{} (step {}{how})",
        first_line(&redactor.text(&titled(row)), 120),
        row.ordinal
    )
}

/// The step's title, with the tool before it.
fn titled(row: &Row) -> String {
    let (tool, title) = (row.tool.trim(), row.title.trim());
    match (tool.is_empty(), title.is_empty()) {
        (true, true) => "a step".to_owned(),
        (true, false) => title.to_owned(),
        (false, true) => tool.to_owned(),
        (false, false) if title.starts_with(tool) => title.to_owned(),
        (false, false) => format!("{tool}: {title}"),
    }
}

fn subject(story: &Story<'_>, redactor: &mut Redactor) -> String {
    let named = story
        .subject
        .clone()
        .or_else(|| story.prompt.map(|p| p.title.clone()))
        .or_else(|| match story.steps.as_slice() {
            [one] => Some(titled(one)),
            [] => None,
            several => match story.session {
                Some(s) if !s.command.is_empty() => Some(s.command.clone()),
                Some(s) => Some(s.agent.clone()),
                None => several.first().map(|r| titled(r)),
            },
        });
    let line = first_line(&redactor.text(&named.unwrap_or_default()), SUBJECT);
    if line.is_empty() {
        "A recorded state".to_owned()
    } else {
        line
    }
}

fn trailers(story: &Story<'_>) -> String {
    let mut out = String::new();
    let steps: Vec<String> = story
        .steps
        .iter()
        .take(200)
        .map(|r| r.ordinal.to_string())
        .collect();
    if !steps.is_empty() {
        out.push_str(&format!("Backtrail-Step: {}\n", steps.join(", ")));
    }
    if let Some(session) = story.session {
        let native = first_line(&session.native, 120);
        let agent = first_line(&session.agent, 60);
        out.push_str(format!("Backtrail-Session: {agent} {native}").trim_end());
        out.push('\n');
    }
    if let Some(commit) = story.commit {
        out.push_str(&format!("Backtrail-Commit: {commit}\n"));
    }
    out
}

/// Arguments of a call as people read them: a value a line.
fn arguments(text: &str) -> String {
    let Ok(serde_json::Value::Object(map)) = serde_json::from_str(text) else {
        return text.to_owned();
    };
    map.iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(s) => format!("{name}: {s}"),
            other => format!("{name}: {other}"),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first line that says something, harmless and short.
pub(super) fn first_line(text: &str, width: usize) -> String {
    let line = text.lines().map(str::trim).find(|l| !l.is_empty());
    let line = neutral(line.unwrap_or_default().as_bytes());
    if line.chars().count() <= width {
        return line;
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A text behind an indent, harmless, of at most `most` bytes.
fn quote(text: &str, most: usize, out: &mut String) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    for line in kept.trim_end().split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let parts: Vec<String> = line.split('\t').map(|p| neutral(p.as_bytes())).collect();
        let line = format!("    {}", parts.join("\t"));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if end < text.len() {
        out.push_str(&format!("    [{} more bytes]\n", text.len() - end));
    }
    out.push('\n');
}

/// A name as git's author lines take it, with an address that leads nowhere.
pub(super) fn person(name: &str) -> String {
    let shown: String = neutral(name.as_bytes())
        .chars()
        .filter(|c| !matches!(c, '<' | '>'))
        .take(80)
        .collect();
    // git drops these at the ends, and refuses a name of nothing else.
    let crud = |c: char| c.is_whitespace() || ".,:;\"\\'".contains(c);
    let shown = match shown.trim_matches(crud) {
        "" => "unknown",
        name => name,
    };
    let address: String = shown
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            _ => '-',
        })
        .collect();
    let address = match address.trim_matches('-') {
        "" => "agent",
        address => address,
    };
    format!("{shown} <{address}@backtrail.invalid>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_pass_for_anything_else() {
        let mut out = String::new();
        quote("a\x1b[2J\r\n\nSigned-off-by: x\n\tb\n", 100, &mut out);
        assert_eq!(out, "    a\\x1b[2J\n\n    Signed-off-by: x\n    \tb\n\n");
        out.clear();
        quote("äöü", 3, &mut out);
        assert_eq!(out, "    ä\n    [4 more bytes]\n\n");
        assert_eq!(first_line("\n  one\x07 two \nthree", 80), "one\\x07 two");
        assert_eq!(first_line("abcdef", 4), "abc…");
        assert_eq!(
            arguments(r#"{"command":"ls\nx","n":1}"#),
            "command: ls\nx\nn: 1"
        );
    }

    #[test]
    fn names_for_git() {
        assert_eq!(
            person("Claude Code"),
            "Claude Code <claude-code@backtrail.invalid>"
        );
        assert_eq!(person(" <x>\n"), "x\\n <x-n@backtrail.invalid>");
        assert_eq!(person("..."), "unknown <unknown@backtrail.invalid>");
        assert_eq!(person("ü"), "ü <agent@backtrail.invalid>");
    }
}
