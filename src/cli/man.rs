//! `man`: manual pages, from the same tables as the help: commands from the parser, keys from the screen's actions.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::{self, Cli};
use super::out::Out;
use super::{Ended, Fail};
use crate::model::neutral;
use crate::ui;

/// `man`
pub fn man(args: &args::Man, out: &mut Out) -> Ended {
    let mut command = Cli::command();
    command.build();
    match &args.dir {
        None => out.raw(&main_page(&command)?)?,
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| cannot(dir, &e))?;
            write(&dir.join("backtrail.1"), &main_page(&command)?)?;
            let mut count = 1;
            pages(&command, dir, &mut count)?;
            let dir = neutral(dir.as_os_str().as_encoded_bytes());
            out.line(&format!(
                "{count} pages in {dir}; read one: man {dir}/backtrail.1"
            ))?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn cannot(path: &Path, error: &std::io::Error) -> Fail {
    let path = neutral(path.as_os_str().as_encoded_bytes());
    Fail::Message(format!("{path} cannot be written: {error}"))
}

fn write(path: &Path, page: &[u8]) -> Result<(), Fail> {
    std::fs::write(path, page).map_err(|e| cannot(path, &e))
}

/// The pages of the commands below this one.
fn pages(command: &Command, dir: &Path, count: &mut usize) -> Result<(), Fail> {
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let Some(name) = below.get_display_name() else {
            continue;
        };
        let mut page = Vec::new();
        Man::new(below.clone()).render(&mut page)?;
        write(&dir.join(format!("{name}.1")), &page)?;
        *count += 1;
        pages(below, dir, count)?;
    }
    Ok(())
}

/// The page of the program itself: its commands, and then its screen.
fn main_page(command: &Command) -> Result<Vec<u8>, Fail> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    page.extend_from_slice(keys().as_bytes());
    page.extend_from_slice(REST.as_bytes());
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A text in roff: nothing of it is a command or an escape.
fn roff(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c => out.push(c),
        }
    }
    if out.starts_with('.') {
        out.insert_str(0, "\\&");
    }
    out
}

fn keys() -> String {
    let mut out = String::from(".SH KEYS OF THE SCREEN\n");
    let _ = writeln!(
        out,
        "{}",
        roff(
            "Lower case goes forward, Shift goes back. ] and [ find the next and the previous thing of a kind. A number before a key repeats it: 5s, 10j; 142G goes to step 142. What changes the disk is saved first and can be taken back."
        )
    );
    for (title, entries) in ui::keys_grouped() {
        let _ = writeln!(out, ".SS {}", roff(&title));
        for (keys, name, description) in entries {
            let _ = writeln!(
                out,
                ".TP\n\\fB{}\\fR\n{} (\\fI{}\\fR)",
                roff(&keys.join("  ")),
                roff(&description),
                roff(&name)
            );
        }
    }
    out
}

/// What the parser does not know.
const REST: &str = "\
.SH FILES
.TP
\\fI~/.config/backtrail/config.toml\\fR
Settings and keys: backtrail config \\-\\-default prints all of them. Never made unasked; a change is taken over at once.
.TP
\\fI~/.config/backtrail/themes/NAME.toml\\fR
A theme of your own.
.TP
\\fI~/.local/share/backtrail\\fR
What was recorded.
.TP
\\fIbacktrail.toml\\fR
In a project: what is left out of checkpoints, and the check of a merge.
.SH ENVIRONMENT
.TP
\\fBNO_COLOR\\fR
No colours; weight, underline and reversal stay.
.TP
\\fBACCESSIBLE\\fR
Anything but 0: for screen readers, as with \\-\\-plain.
.TP
\\fBEDITOR\\fR, \\fBVISUAL\\fR
What a text is edited with.
";
