//! `reads`: who opened which file for reading.

use super::args;
use super::out::{Out, Tone, one_line};
use super::{Context, Ended, Fail};
use crate::engine::api::{ReadInfo, Request, Response};
use crate::model::neutral;

/// `reads`
pub async fn reads(cx: &Context, args: &args::Reads, out: &mut Out) -> Ended {
    let step = args
        .step
        .as_deref()
        .map(|text| text.strip_prefix("step:").unwrap_or(text).parse())
        .transpose()
        .map_err(Fail::Usage)?;
    let all = match cx.ask(Request::Reads { step }).await? {
        Response::Reads(all) => all,
        other => return Err(Fail::unexpected(&other)),
    };
    let skip = all.len().saturating_sub(args.limit.unwrap_or(usize::MAX));
    for read in all.iter().skip(skip) {
        if args.json {
            out.json(read)?;
        } else {
            let line = line(read, out);
            out.line(&line)?;
        }
    }
    if all.is_empty() && !args.json {
        out.line("nothing was read through the mount, as far as it was noted")?;
    }
    Ok(0)
}

fn line(read: &ReadInfo, out: &Out) -> String {
    let steps: Vec<String> = read.steps.iter().map(ToString::to_string).collect();
    let steps = if steps.is_empty() {
        "-".to_owned()
    } else {
        steps.join(",")
    };
    let comm = one_line(&read.comm, 16);
    let who = format!("{comm} {}", read.pid);
    let who = if read.inside {
        format!("{who:<22}")
    } else {
        // It only happened during that call.
        out.paint(Tone::Bad, &format!("{:<22}", format!("{who} outside")))
    };
    let place = read
        .branch
        .as_deref()
        .map_or_else(String::new, |b| format!("  ({})", neutral(b.as_bytes())));
    format!(
        "{}  {}  {who}  {}{place}",
        out.paint(Tone::Id, &format!("{steps:>7}")),
        out.paint(Tone::Dim, &read.time.clock()),
        read.path
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::super::testing::{Scripted, path, wait};
    use super::*;
    use crate::model::{Ordinal, Time};

    #[test]
    fn a_line_says_who_and_when_and_is_harmless() {
        let read = |inside, steps: &[u64]| ReadInfo {
            time: Time(0),
            path: path(b"a\x1b[2J"),
            pid: 7,
            comm: "c\x1bat".into(),
            exe: "/bin/cat".into(),
            cgroup: String::new(),
            inside,
            steps: steps
                .iter()
                .map(|n| Ordinal {
                    major: *n,
                    minor: 0,
                })
                .collect(),
            branch: None,
        };
        let all = vec![read(true, &[3]), read(false, &[3, 4]), read(true, &[])];
        let (cx, source) = Scripted::new(move |_| Some(Response::Reads(all.clone()))).context();
        let seen = Captured::default();
        let args = |step: Option<&str>, limit| args::Reads {
            step: step.map(str::to_owned),
            json: false,
            limit,
        };
        assert_eq!(
            wait(reads(&cx, &args(Some("step:3"), None), &mut seen.out())).unwrap(),
            0
        );
        let text = seen.text();
        assert!(!text.contains('\x1b'), "{text:?}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains("      3") && lines[0].contains("7"),
            "{text}"
        );
        assert!(
            lines[1].contains("3,4") && lines[1].contains("outside"),
            "{text}"
        );
        assert!(lines[2].trim_start().starts_with('-'), "{text}");
        let asked = source.asked.lock().unwrap().pop();
        let three = Ordinal { major: 3, minor: 0 };
        assert_eq!(asked, Some(Request::Reads { step: Some(three) }));
        let bad = wait(reads(&cx, &args(Some("x"), None), &mut seen.out()));
        assert!(matches!(bad, Err(Fail::Usage(_))));
    }
}
