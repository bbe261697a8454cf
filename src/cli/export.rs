//! `export`: what was recorded as a patch in a file, or as a branch in the project's git repository.

use std::fs::{File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;

use super::args::{self, ExportPer};
use super::diff::print_change;
use super::out::{Out, Tone, count};
use super::{Context, Ended, Fail, say};
use crate::engine::api::FileChange;
use crate::engine::export::patch::{For, Printed};
use crate::engine::export::{
    self, BranchMade, BranchWish, Error, LeftOut, Per, Repository, Sides, Span, Start,
};
use crate::model::{CommitId, neutral};

impl From<Error> for Fail {
    fn from(e: Error) -> Self {
        match e {
            Error::Api(e) => Self::Api(e),
            other => Self::Message(other.to_string()),
        }
    }
}

/// What came of a patch.
#[derive(Debug, Serialize)]
struct Patched {
    patch: String,
    base: Option<CommitId>,
    tip: CommitId,
    files: usize,
    left_out: LeftOut,
}

/// `export`
pub async fn export(
    cx: &Context,
    args: &args::Export,
    trace: &args::Trace,
    out: &mut Out,
) -> Ended {
    let recording = trace.trace.is_some();
    let span = export::span(&*cx.source, args.rev.as_deref(), args.from.as_deref()).await?;
    let repo = repository(cx, trace);
    if let Some(file) = &args.patch {
        // Without a repository there is nothing that git would ignore.
        patch(cx, args, file, &span, repo.as_ref().ok(), recording, out).await?;
    }
    if let Some(name) = &args.git_branch {
        let repo = repo.map_err(|e| no_repository(e, recording))?;
        let wish = BranchWish {
            name: name.clone(),
            per: match args.per {
                ExportPer::Step => Per::Step,
                ExportPer::Turn => Per::Turn,
            },
            force: args.force,
            ignored: args.ignored,
            // Its states hold only the files that it tells of.
            partial: recording,
        };
        let made = export::branch(&*cx.source, &span, &repo, &wish).await?;
        if args.json {
            out.json(&made)?;
        } else {
            print_branch(&made, out)?;
        }
    }
    Ok(0)
}

/// The repository of the project; that of a recording is the one that was named, or lies in its working directory.
fn repository(cx: &Context, trace: &args::Trace) -> Result<Repository, Error> {
    match (&trace.trace, &trace.repository) {
        (Some(_), Some(named)) => {
            // Relative to where we are: the context's directory is the session's.
            let here = std::env::current_dir().unwrap_or_default();
            Repository::find(&here.join(named))
        }
        _ => Repository::find(&cx.project.root),
    }
}

fn no_repository(e: Error, recording: bool) -> Fail {
    if recording {
        return Fail::Message(format!(
            "{e}; a branch needs the repository that the recording is of: --repo DIR names it"
        ));
    }
    e.into()
}

async fn patch(
    cx: &Context,
    args: &args::Export,
    file: &Path,
    span: &Span,
    repo: Option<&Repository>,
    recording: bool,
    out: &mut Out,
) -> Result<(), Fail> {
    let base = span.base.as_ref().map(|b| b.id);
    let tip = span.tip.id;
    let mut changes = export::changes(&*cx.source, base, tip).await?;
    let mut left_out = LeftOut::default();
    if let Some(repo) = repo {
        (changes, left_out) = export::kept(&*cx.source, repo, tip, changes, args.ignored).await?;
    }
    let sides = Sides {
        before: base,
        after: Some(tip),
    };
    let to_out = file == Path::new("-");
    let files = if to_out {
        write(cx, &changes, sides, &mut left_out, out).await?
    } else {
        // A recording's context is in the directory of its session.
        let here = std::env::current_dir().ok().filter(|_| recording);
        let path = here.as_ref().unwrap_or(&cx.cwd).join(file);
        to_file(cx, &path, &changes, sides, &mut left_out).await?
    };
    let patched = Patched {
        patch: neutral(file.as_os_str().as_encoded_bytes()),
        base,
        tip,
        files,
        left_out,
    };
    if args.json && !to_out {
        return out.json(&patched);
    }
    let mut lines = Vec::new();
    if !to_out {
        lines.push(format!(
            "{}: {} from {} to {}",
            patched.patch,
            count(files, "file"),
            span.base_word(),
            tip.short()
        ));
    }
    lines.extend(left_out.lines());
    if let Some(prefix) = repo.map(Repository::prefix).filter(|p| !p.is_empty()) {
        lines.push(format!(
            "its paths begin in {}: git apply --directory={} takes it at the repository's top",
            neutral(prefix),
            neutral(prefix)
        ));
    }
    for line in lines {
        if to_out {
            say(&line);
        } else {
            out.line(&line)?;
        }
    }
    Ok(())
}

/// All changes; gives how many files are in the patch.
async fn write(
    cx: &Context,
    changes: &[FileChange],
    sides: Sides,
    left_out: &mut LeftOut,
    out: &mut Out,
) -> Result<usize, Fail> {
    let mut files = 0;
    for change in changes {
        match print_change(cx, change, sides, For::Git, out).await? {
            Printed::Whole => files += 1,
            Printed::Noted => {}
            Printed::Unknown => left_out.unknown += 1,
            Printed::TooLarge => left_out.large += 1,
        }
    }
    out.flush()?;
    Ok(files)
}

/// Into a file, which is there only once it is whole.
async fn to_file(
    cx: &Context,
    path: &Path,
    changes: &[FileChange],
    sides: Sides,
    left_out: &mut LeftOut,
) -> Result<usize, Fail> {
    let cannot = |e: std::io::Error| {
        let name = neutral(path.as_os_str().as_encoded_bytes());
        Fail::Message(format!("cannot write {name}: {e}"))
    };
    // What is no plain file (a pipe, a terminal) is written to, not replaced.
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        let to = File::options().write(true).open(path).map_err(cannot)?;
        let mut out = Out::to(Box::new(BufWriter::new(to)), false, false);
        return write(cx, changes, sides, left_out, &mut out).await;
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    let to = tempfile::Builder::new()
        .prefix(".backtrail-export-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(cannot)?;
    let copy = to.as_file().try_clone().map_err(cannot)?;
    let mut out = Out::to(Box::new(BufWriter::new(copy)), false, false);
    let files = write(cx, changes, sides, left_out, &mut out).await?;
    to.persist(path).map_err(|e| cannot(e.error))?;
    Ok(files)
}

fn print_branch(made: &BranchMade, out: &mut Out) -> Result<(), Fail> {
    let short = |id: &str| id.get(..10).unwrap_or(id).to_owned();
    let per = match made.per {
        Per::Step => "step",
        Per::Turn => "turn",
    };
    out.line(&format!(
        "branch {} at {}: {}, one for each {per}",
        out.paint(Tone::Name, &neutral(made.branch.as_bytes())),
        out.paint(Tone::Id, &short(&made.commit)),
        count(made.commits, "commit"),
    ))?;
    let named = |parent: &str, head: bool| match head {
        true => format!("HEAD ({})", short(parent)),
        false => format!("{}, where HEAD was at that time", short(parent)),
    };
    out.line(&match &made.start {
        Start::Fits { parent, head } => {
            format!("it begins at {}: the same files", named(parent, *head))
        }
        Start::Difference {
            parent,
            head,
            changed,
            removed,
        } => format!(
            "it begins at {}, whose files are not those of the base: the first commit changes {} and removes {}",
            named(parent, *head),
            count(*changed, "file"),
            count(*removed, "file"),
        ),
        Start::Orphan { files } => format!(
            "it begins at nothing, as the repository has no commit: the first commit holds {}",
            count(*files, "file")
        ),
    })?;
    if made.line_ends > 0 {
        out.line(&format!(
            "{} with the line ends that the repository has",
            count(made.line_ends, "file")
        ))?;
    }
    if let Some(was) = &made.replaced {
        out.line(&format!("it was at {} before", short(was)))?;
    }
    if made.redacted > 0 {
        out.line(&format!(
            "{} taken out of the messages (what the files hold is as it was)",
            count(made.redacted, "secret")
        ))?;
    }
    for line in made.left_out.lines() {
        out.line(&line)?;
    }
    Ok(())
}
