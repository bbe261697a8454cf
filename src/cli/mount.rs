//! `at`, `mount` and `umount`: past states as directories.

use std::path::{Path, PathBuf};

use super::args;
use super::link::clean_mount;
use super::out::Out;
use super::{Context, Ended, Fail};
use crate::engine::api::{ApiError, ErrorCode, PastPlace, Request, Response};
use crate::model::neutral;

async fn place(cx: &Context, request: Request) -> Result<PastPlace, Fail> {
    match cx.ask(request).await? {
        Response::Past(place) => Ok(place),
        other => Err(Fail::unexpected(&other)),
    }
}

/// A directory as the engine, which works elsewhere, has to be told.
fn absolute(cwd: &Path, dir: &Path) -> String {
    let full: PathBuf = cwd.join(dir);
    full.to_string_lossy().into_owned()
}

/// `at`
pub async fn at(cx: &Context, args: &args::At, out: &mut Out) -> Ended {
    let rev = args.rev.clone();
    let place = place(cx, Request::PastPath { rev }).await?;
    if args.json {
        out.json(&place)?;
    } else {
        out.line(&neutral(place.path.as_bytes()))?;
    }
    Ok(0)
}

/// `mount`
pub async fn mount(cx: &Context, args: &args::Mount, out: &mut Out) -> Ended {
    let dir = absolute(&cx.cwd, &args.dir);
    let place = place(cx, Request::PastMount { dir }).await?;
    if args.json {
        out.json(&place)?;
        return Ok(0);
    }
    let path = neutral(place.path.as_bytes());
    out.line(&format!("{path}/at/REV  past states, read-only"))?;
    out.line(&format!("{path}/live    the project as agents see it"))?;
    out.line(&format!("{path}/branches/NAME  forks that are in use now"))?;
    out.line("take it away with: backtrail umount DIR")?;
    Ok(0)
}

/// `umount`
pub async fn umount(cx: &Context, args: &args::Umount, out: &mut Out) -> Ended {
    let request = Request::PastUnmount {
        dir: absolute(&cx.cwd, &args.dir),
        force: args.force,
    };
    match cx.ask(request).await? {
        Response::Done(text) => out.line(&neutral(text.as_bytes()))?,
        other => return Err(Fail::unexpected(&other)),
    }
    Ok(0)
}

/// `umount` where no engine runs: one that was killed leaves a dead mount, everything else went with it.
pub fn dead(cwd: &Path, args: &args::Umount, error: &ApiError, out: &mut Out) -> Ended {
    if !matches!(error.code, ErrorCode::Gone | ErrorCode::NotFound) {
        return Err(error.clone().into());
    }
    let dir = cwd.join(&args.dir);
    let shown = neutral(args.dir.as_os_str().as_encoded_bytes());
    if clean_mount(&dir)? {
        out.line(&format!("{shown}: a dead mount was taken away"))?;
    } else {
        out.line(&format!("nothing is mounted at {shown}"))?;
    }
    out.flush()?;
    Ok(0)
}
