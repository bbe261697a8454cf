//! The key table as text: for `backtrail keys`, the documentation, the manual and the printed settings.

use std::fmt::Write as _;

use super::action::{Action, Entry, Group, TABLE};
use super::keymap::section;
use super::keys;

/// About counts; belongs below every list of keys.
const COUNTS: &str = "A number before a key repeats it: 5s, 10j; 142G goes to step 142.";

fn of(group: Group) -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(move |e| e.group == group)
}

/// Its keys, the one to show first.
fn shown(entry: &Entry, ascii: bool) -> Vec<String> {
    entry.keys.iter().map(|k| keys::shown(k, ascii)).collect()
}

/// Every action with its keys, in plain text: what `backtrail keys` prints.
#[must_use]
pub fn keys_text() -> String {
    let mut out = String::new();
    for group in Group::ALL {
        if of(group).next().is_none() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", group.title());
        for entry in of(group) {
            let undoable = if entry.world {
                " Can be taken back."
            } else {
                ""
            };
            let _ = writeln!(
                out,
                "  {:<14} {:<24} {}{undoable}",
                shown(entry, true).join("  "),
                entry.id,
                entry.description
            );
        }
    }
    let _ = writeln!(out, "\n{COUNTS}");
    out
}

/// An action's keys, name and description.
pub type Described = (Vec<String>, String, String);

/// Every action under its heading.
#[must_use]
pub fn keys_grouped() -> Vec<(String, Vec<Described>)> {
    Group::ALL
        .into_iter()
        .map(|group| {
            let entries = of(group)
                .map(|e| (shown(e, true), e.id.to_owned(), e.description.to_owned()))
                .collect::<Vec<_>>();
            (group.title().to_owned(), entries)
        })
        .filter(|(_, entries)| !entries.is_empty())
        .collect()
}

/// Every action as an object: for programs.
#[must_use]
pub fn keys_json() -> Vec<serde_json::Value> {
    TABLE
        .iter()
        .map(|entry| {
            let views: Vec<String> = entry.contexts.iter().map(|c| section(*c)).collect();
            serde_json::json!({
                "id": entry.id,
                "title": entry.title,
                "description": entry.description,
                "group": entry.group.title().to_lowercase(),
                "keys": shown(entry, true),
                "views": views,
                "changes_the_world": entry.world,
            })
        })
        .collect()
}

/// A sequence in a cell of a table.
fn cell(text: &str) -> String {
    // A bar would end the cell, also between backticks.
    format!("`{}`", text.replace('|', "\\|"))
}

/// Every action as tables in Markdown: what `docs/keys.md` holds.
#[must_use]
pub fn keys_markdown() -> String {
    let mut out = String::new();
    for group in Group::ALL {
        if of(group).next().is_none() {
            continue;
        }
        let title = group.title();
        let (first, rest) = title.split_at(1);
        let _ = writeln!(out, "## {first}{}\n", rest.to_lowercase());
        out.push_str("| keys | name | what it does | where |\n|---|---|---|---|\n");
        for entry in of(group) {
            let keys: Vec<String> = shown(entry, false).iter().map(|k| cell(k)).collect();
            let views: Vec<String> = entry.contexts.iter().map(|c| section(*c)).collect();
            let everywhere = views.len() == super::action::EVERYWHERE.len();
            let views = if everywhere {
                "everywhere".to_owned()
            } else {
                views.join(", ")
            };
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {views} |",
                keys.join(" "),
                entry.id,
                entry.description.replace('|', "\\|")
            );
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{COUNTS}");
    out
}

/// The sections of keys for the printed settings: how they are written, and every binding as it is.
#[must_use]
pub fn keys_settings() -> String {
    let mut out = String::from(
        "# Keys: in [keys] wherever the action works, in [keys.VIEW] for one view. \"\" unbinds. Keys are written as\n\
         # \"x\", \"g o\", \"ctrl-x\", \"f5\", \"space\". The views: ",
    );
    let views: Vec<String> = super::action::EVERYWHERE
        .iter()
        .map(|c| section(*c))
        .collect();
    let mut column = 60;
    for (i, view) in views.iter().enumerate() {
        let comma = if i + 1 == views.len() { "." } else { ", " };
        if column + view.len() > 110 {
            out.push_str("\n# ");
            column = 2;
        }
        column += view.len() + comma.len();
        out.push_str(view);
        out.push_str(comma);
    }
    out.push_str("\n\n# [keys.timeline]\n# \"g h\" = \"look.state\"\n\n# [keys]\n");
    for entry in TABLE.iter().filter(|e| e.action != Action::Interrupt) {
        for key in entry.keys {
            let key = key.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(out, "# \"{key}\" = \"{}\"  # {}", entry.id, entry.title);
        }
    }
    out
}
