//! Recordings: opening them, what they tell of files, the formats that are known, the recordings of this machine.

use std::io::{IsTerminal, Read as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::args;
use super::link::{self, Opening, Project};
use super::out::{Out, Tone, count, duration, one_line};
use super::{Context, Ended, Fail, runtime};
use crate::engine::api::{EffectInfo, Known, RawRecord, RecordingInfo, Request, Response, Rows};
use crate::engine::source::Source;
use crate::model::{Ordinal, Time, neutral};
use crate::ui;

/// How a recording that was named is to be opened.
fn opening(cwd: &Path, trace: &args::Trace, follow: bool) -> Opening {
    Opening {
        format: trace.format.clone(),
        base: trace.base.clone(),
        repository: trace.repository.as_ref().map(|r| cwd.join(r)),
        follow,
        once: false,
    }
}

/// A source for a verb that reads, on the recording that `--trace` names. It waits until all of it is read.
pub fn context(cwd: PathBuf, trace: &args::Trace, file: &Path) -> Result<Context, Fail> {
    let kept = spooled(file)?;
    let path = kept
        .as_ref()
        .map_or(cwd.join(file), |k| k.path().to_owned());
    if link::is_trail(&path) {
        let trail = link::open_trail(&path)?;
        let root = trail.root();
        return Ok(Context {
            cwd: root.clone(),
            project: Project {
                root,
                store_dir: PathBuf::new(),
                runtime_dir: PathBuf::new(),
            },
            source: Arc::new(trail),
            _kept: kept,
        });
    }
    let how = Opening {
        // Standard input will not be there again.
        once: kept.is_some(),
        ..opening(&cwd, trace, false)
    };
    let recorded = link::open_recording(&path, &how)?;
    let source = link::opened(Arc::clone(&recorded));
    recorded.wait_whole()?;
    // Paths on the command line are the session's: below its working directory, or relative to it.
    let root = match recorded.summary().project {
        dir if dir.starts_with('/') => PathBuf::from(dir),
        _ => PathBuf::from("/"),
    };
    Ok(Context {
        cwd: root.clone(),
        project: Project {
            root,
            store_dir: PathBuf::new(),
            runtime_dir: PathBuf::new(),
        },
        source,
        _kept: kept,
    })
}

/// Standard input as a file, when that is meant.
fn spooled(file: &Path) -> Result<Option<tempfile::NamedTempFile>, Fail> {
    if file.as_os_str() != "-" {
        return Ok(None);
    }
    let mut kept = tempfile::NamedTempFile::with_prefix("backtrail-stdin-")?;
    let mut input = stdin().lock().take(u64::MAX);
    std::io::copy(&mut input, kept.as_file_mut())?;
    Ok(Some(kept))
}

/// `open`
pub fn open(cwd: PathBuf, args: &args::Open, trace: &args::Trace) -> Ended {
    let kept = spooled(&args.what)?;
    let path = kept
        .as_ref()
        .map_or(cwd.join(&args.what), |k| k.path().to_owned());
    let how = Opening {
        once: kept.is_some(),
        ..opening(&cwd, trace, kept.is_none())
    };
    if !stdout().is_terminal() || (kept.is_none() && !stdin().is_terminal()) {
        return Err(Fail::Usage(
            "the screen needs a terminal. As text: backtrail steps --trace FILE (also log, show, diff, cat, effects, sessions)"
                .into(),
        ));
    }
    // A mistake in the name is said before the screen is taken.
    let list = path
        .is_dir()
        .then(|| link::recordings_in(&path))
        .transpose()?;
    let options = args.screen.options();
    if link::is_trail(&path) {
        let source: Arc<dyn Source> = Arc::new(link::open_trail(&path)?);
        let runtime = runtime(false)?;
        let result = runtime.block_on(ui::run(async move { Ok(source) }, options));
        runtime.shutdown_background();
        result.map_err(|e| Fail::Message(e.to_string()))?;
        return Ok(0);
    }
    let runtime = runtime(false)?;
    let result = match list {
        Some(list) if list.len() != 1 => {
            runtime.block_on(browse(link::shelf_of(list), how, options))
        }
        one => {
            let path = one
                .and_then(|l| l.into_iter().next().map(|f| f.path))
                .unwrap_or(path);
            let recorded = link::open_recording(&path, &how)?;
            let source: Arc<dyn Source> = link::opened(Arc::clone(&recorded));
            let result = runtime.block_on(ui::run(async move { Ok(source) }, options));
            // The screen's tasks may let go of it later than we end.
            recorded.leave();
            result
        }
    };
    runtime.shutdown_background();
    result.map_err(|e| Fail::Message(e.to_string()))?;
    Ok(0)
}

/// The list of recordings on the screen.
pub async fn browse(
    shelf: Arc<dyn Source>,
    how: Opening,
    options: ui::Options,
) -> Result<(), ui::Error> {
    // The screen's tasks may let go of them later than we end.
    let all = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&all);
    let result = ui::browse(
        async move { Ok(shelf) },
        move |path| {
            let how = how.clone();
            let seen = Arc::clone(&seen);
            async move {
                let opened = tokio::task::spawn_blocking(move || {
                    let recorded = link::open_recording(Path::new(&path), &how)?;
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push(Arc::downgrade(&recorded));
                    Ok(recorded)
                })
                .await;
                match opened {
                    Ok(recorded) => recorded.map(link::opened),
                    Err(e) => Err(crate::engine::api::ApiError::new(
                        crate::engine::api::ErrorCode::Failed,
                        e.to_string(),
                    )),
                }
            }
        },
        options,
    )
    .await;
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    for recorded in all.iter().filter_map(Weak::upgrade) {
        recorded.leave();
    }
    result
}

/// `import`
pub async fn import(
    cx: &Context,
    args: &args::Import,
    trace: &args::Trace,
    out: &mut Out,
) -> Ended {
    let mut files = Vec::new();
    for what in &args.what {
        let path = cx.cwd.join(what);
        if path.is_dir() {
            let all = link::recordings_told(&path, &mut super::say)?;
            files.extend(all.into_iter().map(|f| f.path));
        } else {
            files.push(path);
        }
    }
    let mut failed = 0;
    for file in &files {
        let shown = neutral(file.as_os_str().as_encoded_bytes());
        let Some(path) = file.to_str() else {
            failed += 1;
            super::say(&format!(
                "{shown}: its name is not UTF-8; rename it to import it"
            ));
            continue;
        };
        let request = Request::Import {
            path: path.to_owned(),
            format: trace.format.clone(),
            base: trace.base.clone(),
            repository: trace
                .repository
                .as_ref()
                .map(|r| cx.cwd.join(r).to_string_lossy().into_owned()),
        };
        match cx.ask(request).await {
            Ok(Response::Imported(imported)) if args.json => out.json(&*imported)?,
            Ok(Response::Imported(i)) => out.line(&format!(
                "{shown}: {} and {} new, on branch {}",
                count(usize::try_from(i.steps).unwrap_or(usize::MAX), "step"),
                count(usize::try_from(i.commits).unwrap_or(usize::MAX), "state"),
                out.paint(Tone::Name, &i.branch)
            ))?,
            Ok(other) => return Err(Fail::unexpected(&other)),
            // One bad file among many must not keep the others out.
            Err(Fail::Api(e)) => {
                failed += 1;
                super::say(&e.message);
            }
            Err(e) => return Err(e),
        }
        out.flush()?;
    }
    Ok(u8::from(failed > 0))
}

/// `formats`
pub fn formats(json: bool, out: &mut Out) -> Result<(), Fail> {
    for (name, about) in link::formats() {
        if json {
            out.json(&serde_json::json!({
                "name": name, "title": about.title, "basis": about.basis, "real": about.real,
                "gives": about.gives, "lacks": about.lacks,
            }))?;
            continue;
        }
        let basis = if about.real {
            out.paint(Tone::Good, "real samples")
        } else {
            out.paint(Tone::Dim, "from its documentation")
        };
        out.line(&format!(
            "{}  {}  ({basis}: {})",
            out.paint(Tone::Id, &format!("{name:<10}")),
            about.title,
            about.basis
        ))?;
        out.line(&format!("            gives {}", about.gives))?;
        if !about.lacks.is_empty() {
            out.line(&format!("            lacks {}", about.lacks))?;
        }
    }
    Ok(())
}

/// `effects`
pub async fn effects(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let effects = match cx.ask(Request::Effects).await? {
        Response::Effects(effects) => effects,
        other => return Err(Fail::unexpected(&other)),
    };
    for effect in &effects {
        if json {
            out.json(effect)?;
        } else {
            let line = effect_line(effect, out);
            out.line(&line)?;
        }
    }
    Ok(0)
}

fn effect_line(e: &EffectInfo, out: &Out) -> String {
    let known = |k: &Known| match k {
        Known::Absent => "-       ".to_owned(),
        Known::Unknown => "unknown ".to_owned(),
        Known::Content { blake3, .. } => blake3.short(),
    };
    let step = e.step.map_or_else(String::new, |s| s.to_string());
    let by: Vec<String> = e
        .writers
        .iter()
        .filter(|w| w.pid != 0)
        .take(3)
        .map(|w| format!("{} {}", one_line(&w.comm, 16), w.pid))
        .collect();
    let by = match by.len() {
        0 => String::new(),
        _ => out.paint(Tone::Dim, &format!("  by {}", by.join(", "))),
    };
    format!(
        "{}  {:<7} {:<11} {} -> {}  {}{by}",
        out.paint(Tone::Id, &format!("{step:>7}")),
        e.op,
        e.evidence,
        known(&e.before),
        known(&e.after),
        one_line(&e.path, 200)
    )
}

/// `show --raw`: the records of a step as they are.
pub async fn raw(cx: &Context, rev: &str, json: bool, out: &mut Out) -> Ended {
    let ordinal = step_of(cx, rev).await?;
    let row = row_at(cx, ordinal).await?;
    let records = match cx.ask(Request::Raw { id: row }).await? {
        Response::Raw(records) => records,
        other => return Err(Fail::unexpected(&other)),
    };
    if records.is_empty() {
        return Err(Fail::Message(format!(
            "step {ordinal} was not read from a record"
        )));
    }
    for RawRecord { source, bytes } in &records {
        if json {
            out.json(&serde_json::json!({
                "file": source.file, "offset": source.offset, "len": source.len,
                "record": String::from_utf8_lossy(bytes),
            }))?;
        } else {
            // The bytes go where they are wanted as they are; into a terminal they are made harmless.
            if stdout().is_terminal() {
                for line in String::from_utf8_lossy(bytes).lines() {
                    out.line(&neutral(line.as_bytes()))?;
                }
            } else {
                out.raw(bytes)?;
                out.raw(b"\n")?;
            }
        }
    }
    Ok(0)
}

/// The step that a revision or a number names.
async fn step_of(cx: &Context, rev: &str) -> Result<Ordinal, Fail> {
    // A step can be looked at even where no state is known at it.
    if let Some(ordinal) = rev.strip_prefix("step:").and_then(|n| n.parse().ok()) {
        return Ok(ordinal);
    }
    match cx
        .ask(Request::Resolve {
            rev: rev.to_owned(),
        })
        .await?
    {
        Response::Resolved(found) => found
            .step
            .ok_or_else(|| Fail::Message(format!("{rev} is tied to no step; name one as step:N"))),
        other => Err(Fail::unexpected(&other)),
    }
}

async fn row_at(cx: &Context, ordinal: Ordinal) -> Result<crate::model::StepId, Fail> {
    let before = if ordinal.minor > 0 {
        Ordinal {
            minor: ordinal.minor - 1,
            ..ordinal
        }
    } else {
        Ordinal {
            major: ordinal.major.saturating_sub(1),
            minor: u32::MAX,
        }
    };
    match cx
        .ask(Request::Rows {
            after: Some(before),
            limit: 1,
        })
        .await?
    {
        Response::Rows(Rows { rows, .. }) => rows
            .first()
            .filter(|r| r.ordinal == ordinal)
            .map(|r| r.step)
            .ok_or_else(|| Fail::Message(format!("no step has the number {ordinal}"))),
        other => Err(Fail::unexpected(&other)),
    }
}

/// `sessions --all`: the recordings of this machine.
pub async fn recordings(json: bool, limit: Option<usize>, out: &mut Out) -> Ended {
    let shelf = link::shelf();
    let limit = limit.unwrap_or(usize::MAX);
    let mut skip = 0;
    while skip < limit {
        let page = match shelf
            .ask(Request::Recordings {
                skip,
                limit: (limit - skip).min(50),
            })
            .await?
        {
            Response::Recordings { items, .. } => items,
            other => return Err(Fail::unexpected(&other)),
        };
        if page.is_empty() {
            break;
        }
        skip += page.len();
        for item in page {
            let path = item.path.clone();
            let full = match shelf.ask(Request::Recording { path }).await {
                Ok(Response::Recording(full)) => *full,
                // It vanished, or cannot be read: what is known of it is shown.
                _ => item,
            };
            if json {
                out.json(&full)?;
            } else {
                let line = recording_line(&full, out);
                out.line(&line)?;
            }
        }
        out.flush()?;
    }
    if skip == 0 && !json {
        out.line("no recordings found where agents keep theirs (backtrail formats says which are known; backtrail open FILE|DIR opens others)")?;
    }
    Ok(0)
}

fn recording_line(r: &RecordingInfo, out: &Out) -> String {
    let when = out.paint(Tone::Dim, &r.modified.local());
    let Some(s) = &r.summary else {
        return format!("{when}  {:<10}  {}", r.format, neutral(r.path.as_bytes()));
    };
    let project = Path::new(&s.project)
        .file_name()
        .map_or_else(|| "?".to_owned(), |n| n.to_string_lossy().into_owned());
    let lasted = match (s.start, s.end) {
        (Some(a), Some(b)) => duration(Time::since(b, a)),
        _ => "?".to_owned(),
    };
    let t = &s.tokens;
    let tokens = [t.output, t.cache_read, t.cache_write]
        .into_iter()
        .fold(t.input, u64::saturating_add);
    let prompt = if s.last_prompt.is_empty() {
        &s.title
    } else {
        &s.last_prompt
    };
    format!(
        "{when}  {:<10}  {}  {}  {lasted}, {}, {}, {}  {}\n    {}",
        one_line(&s.agent, 24),
        out.paint(Tone::Name, &one_line(&project, 30)),
        one_line(&s.model, 30),
        count(usize::try_from(s.steps).unwrap_or(usize::MAX), "step"),
        count(usize::try_from(tokens).unwrap_or(usize::MAX), "token"),
        count(usize::try_from(s.files).unwrap_or(usize::MAX), "file"),
        one_line(prompt, 80),
        out.paint(Tone::Dim, &neutral(r.path.as_bytes())),
    )
}
