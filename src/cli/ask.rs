//! `ask`: a question about steps to a language model. It reads only; the answer streams and cites steps.

use serde::Serialize;

use super::out::{Out, Tone};
use super::{Context, Ended, Fail, args, say};
use crate::engine::assist::{About, Answered, Ask, Assistant, DryRun, News, Sent};
use crate::llm::{Prompt, Usage};
use crate::model::{Ordinal, neutral};

/// `ask`; `recorded`: of a recording, which has no project whose settings count.
pub async fn ask(cx: &Context, args: &args::Ask, recorded: bool, out: &mut Out) -> Ended {
    let ask = asked(&args.words)?;
    let root = (!recorded).then_some(cx.project.root.as_path());
    let assistant = Assistant::with_model(cx.source.clone(), root, args.model.as_deref());
    for warning in assistant.warnings() {
        say(warning);
    }
    if args.dry_run {
        let dry = assistant.dry_run(&ask).await.map_err(failed)?;
        print_dry(&dry, args.json, out)?;
        return Ok(0);
    }
    let mut asking = assistant.ask(ask);
    let (mut sent, mut usage) = (None, None);
    // What was printed ends a line.
    let mut whole = true;
    while let Some(news) = asking.next().await {
        match news {
            News::Prompt(what) => {
                told(&what);
                sent = Some(what);
            }
            News::Text(_) if args.json => {}
            News::Text(text) => {
                whole = text.ends_with('\n');
                out.raw(text.as_bytes())?;
                out.flush()?;
            }
            News::Usage(used) => usage = Some(used),
            News::Answer(answer) if args.json => {
                out.json(&Json {
                    answer: &answer.text,
                    cites: &answer.cites,
                    notes: &answer.notes,
                    model: sent.as_ref().map_or("", |s| &s.model),
                    prompt_hash: sent.as_ref().map_or("", |s| &s.hash),
                    usage,
                })?;
            }
            News::Answer(answer) => {
                if !whole {
                    out.line("")?;
                }
                print_end(&answer, out)?;
                out.flush()?;
                if let (Some(sent), Some(usage)) = (&sent, usage) {
                    say(&format!("{}: {usage}", sent.model));
                }
            }
            News::Failed(e) => {
                if !whole {
                    out.line("")?;
                    out.flush()?;
                }
                return Err(failed(e));
            }
            News::Proposals(_) => {}
        }
    }
    Ok(0)
}

#[derive(Serialize)]
struct Json<'a> {
    answer: &'a str,
    cites: &'a [Ordinal],
    notes: &'a [String],
    model: &'a str,
    prompt_hash: &'a str,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct DryJson<'a> {
    to: &'a str,
    model: &'a str,
    prompt_hash: &'a str,
    tokens: u64,
    redacted: &'a [(String, usize)],
    left_out: &'a [String],
    prompt: &'a Prompt,
}

fn failed(e: crate::engine::assist::Error) -> Fail {
    Fail::Message(e.to_string())
}

/// What was typed: steps and revisions, then the question.
fn asked(words: &[String]) -> Result<Ask, Fail> {
    let Some((question, about)) = words.split_last() else {
        return Err(Fail::Usage("what is the question?".into()));
    };
    let step = |word: &str| word.strip_prefix("step:").unwrap_or(word).parse().ok();
    if about.is_empty() && step(question).is_some() {
        return Err(Fail::Usage(format!(
            "what do you want to know of step {question}? backtrail ask {question} 'why is this so?'"
        )));
    }
    if question.trim().is_empty() {
        return Err(Fail::Usage("the question is empty".into()));
    }
    let about = about
        .iter()
        .map(|word| match step(word) {
            Some(ordinal) => About::Step(ordinal),
            None => About::Rev(word.clone()),
        })
        .collect();
    Ok(Ask::Question {
        question: question.clone(),
        about,
    })
}

/// What goes out, on standard error.
fn told(sent: &Sent) {
    let mut taken = String::new();
    for (kind, n) in &sent.redacted {
        taken.push_str(&format!(", {n} {kind} taken out"));
    }
    let whom = match sent.model.as_str() {
        "" => sent.to.clone(),
        model => format!("{model}, {}", sent.to),
    };
    say(&format!(
        "asking {whom}: about {} tokens{taken}",
        sent.tokens
    ));
    for what in &sent.left_out {
        say(&format!("left out, too long: {what}"));
    }
}

pub(super) fn print_dry(dry: &DryRun, json: bool, out: &mut Out) -> Result<(), Fail> {
    let sent = &dry.sent;
    if json {
        return out.json(&DryJson {
            to: &sent.to,
            model: &sent.model,
            prompt_hash: &sent.hash,
            tokens: sent.tokens,
            redacted: &sent.redacted,
            left_out: &sent.left_out,
            prompt: &dry.prompt,
        });
    }
    say("nothing is sent; this would be:");
    told(sent);
    let texts = [&dry.prompt.system]
        .into_iter()
        .chain(dry.prompt.said.iter().map(|(_, text)| text));
    for (i, text) in texts.enumerate() {
        if i > 0 {
            out.line("")?;
        }
        if !out.is_terminal() {
            out.raw(text.as_bytes())?;
            out.line("")?;
            continue;
        }
        for line in text.lines() {
            out.line(&neutral(line.as_bytes()))?;
        }
    }
    Ok(())
}

fn print_end(answer: &Answered, out: &mut Out) -> Result<(), Fail> {
    if !answer.cites.is_empty() {
        let steps: Vec<String> = answer
            .cites
            .iter()
            .map(|step| out.paint(Tone::Id, &step.to_string()))
            .collect();
        out.line("")?;
        out.line(&format!("cites {}", steps.join(" ")))?;
    }
    for note in &answer.notes {
        let note = out.paint(Tone::Bad, note);
        out.line(&format!("! {note}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_last_word_is_the_question() {
        let words =
            |words: &[&str]| -> Vec<String> { words.iter().map(|w| (*w).to_owned()).collect() };
        let Ask::Question { question, about } =
            asked(&words(&["142", "step:7.1", "@~2", "why?"])).unwrap()
        else {
            panic!("no question");
        };
        assert_eq!(question, "why?");
        assert_eq!(
            about,
            [
                About::Step("142".parse().unwrap()),
                About::Step("7.1".parse().unwrap()),
                About::Rev("@~2".to_owned())
            ]
        );
        assert!(matches!(asked(&words(&["142"])), Err(Fail::Usage(_))));
        assert!(matches!(asked(&words(&["142", " "])), Err(Fail::Usage(_))));
    }
}
