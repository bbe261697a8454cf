//! `config`: where the person's settings are, whether they can be followed, and what there is to be set.

use super::args;
use super::out::{Out, Tone};
use super::{Ended, Fail};
use crate::config::{file, table};
use crate::ui;

/// `config`
pub fn config(args: &args::Config, out: &mut Out) -> Ended {
    if args.default {
        out.raw(table::default_text(&ui::keys_settings()).as_bytes())?;
        out.flush()?;
        return Ok(0);
    }
    let Some(path) = file::user_file() else {
        return Err(Fail::Message(
            "there is no place for settings: neither XDG_CONFIG_HOME nor HOME is set to an absolute path".into(),
        ));
    };
    let shown = file::shown(&path);
    if !path.exists() {
        let none = out.paint(Tone::Dim, "is not there: the defaults count");
        out.line(&format!("{shown} {none}"))?;
        out.line(
            "To begin one: backtrail config --default, and take over what you want to be different",
        )?;
        out.flush()?;
        return Ok(0);
    }
    let problems = ui::settings_problems();
    if problems.is_empty() {
        let well = out.paint(Tone::Good, "can be followed");
        out.line(&format!("{shown} {well}"))?;
        out.flush()?;
        return Ok(0);
    }
    for problem in &problems {
        let bad = out.paint(Tone::Bad, problem);
        out.line(&bad)?;
    }
    out.flush()?;
    Ok(1)
}
