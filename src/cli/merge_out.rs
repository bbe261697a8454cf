//! How merges are printed: one that is looked at, one conflict of it with both reasons, one that is finished.

use super::Fail;
use super::merge::print_changes;
use super::out::{Out, Tone, count, one_line};
use crate::engine::api::{
    ConflictDetail, ConflictInfo, EntryInfo, MergeInfo, MergeReport, OpenConflict, PickOrigin,
    PieceInfo, Reason, Resolved, StateMergeInfo,
};
use crate::merge::resolve::Pick;
use crate::merge::state::{Place, StateConflict};
use crate::model::neutral;

/// Longest value or text that is printed on a line.
const WIDTH: usize = 100;

fn name(text: &str, out: &Out) -> String {
    out.paint(Tone::Name, &neutral(text.as_bytes()))
}

fn state(state: &Resolved, out: &Out) -> String {
    let id = out.paint(Tone::Id, &state.commit.short());
    match state.step {
        Some(step) => format!("{id} (step {step})"),
        None => id,
    }
}

/// A merge that is looked at, or unfinished.
pub fn print_info(info: &MergeInfo, out: &mut Out) -> Result<(), Fail> {
    let (branch, into) = (name(&info.branch, out), name(&info.into, out));
    let bases: Vec<String> = info.bases.iter().map(|b| state(b, out)).collect();
    let base = match bases.as_slice() {
        [] => "they have no commit in common: the base is the empty project".to_owned(),
        [one] => format!("base {one}"),
        several => format!("base {}, put together", several.join(" and ")),
    };
    out.line(&match info.resumed {
        Some(commit) => format!(
            "conflicts that {} left open, of {branch} into {into}",
            out.paint(Tone::Id, &commit.short())
        ),
        None if info.fast_forward => format!("{branch} into {into}: it follows {into}"),
        None => format!("{branch} into {into}: {base}"),
    })?;
    if info.remade {
        out.line("a side has moved: the merge was made again, picks that still fit were kept")?;
    }
    print_changes(&info.changes, out)?;
    for (path, how) in &info.joined {
        let word = out.paint(Tone::Dim, "joined");
        out.line(&format!("{word} {path} {}", neutral(how.as_bytes())))?;
    }
    for conflict in &info.conflicts {
        print_conflict_line(conflict, out)?;
    }
    if let Some(state) = &info.state {
        print_state(state, out)?;
    }
    if info.conflicts.is_empty() && info.state.as_ref().is_none_or(|s| s.conflicts.is_empty()) {
        out.line("no conflict")?;
    } else {
        out.line(&format!("{} left", count(info.left, "conflict")))?;
    }
    if !info.kept {
        return out.line("nothing was written: this was a dry run");
    }
    out.line("nothing is written yet")?;
    out.line(match info.left {
        0 => "finish with: backtrail merge --continue",
        _ => "settle with: backtrail merge --pick PATH[#HUNK]=ours|theirs|both|base|FILE\nlook with: backtrail merge --show PATH; go back with: --unpick; forget it with: --abort; then: backtrail merge --continue",
    })
}

fn print_conflict_line(conflict: &ConflictInfo, out: &mut Out) -> Result<(), Fail> {
    let (tone, word) = match (conflict.done, conflict.unreviewed) {
        (true, true) => (Tone::Mark, "unreviewed"),
        (true, false) => (Tone::Good, "settled   "),
        _ => (Tone::Bad, "conflict  "),
    };
    let mut line = format!(
        "{} {}: {}",
        out.paint(tone, word),
        conflict.path,
        neutral(conflict.words.as_bytes())
    );
    if conflict.hunks > 0 && !conflict.done {
        line.push_str(&format!(
            " ({} of {} settled)",
            conflict.settled,
            count(conflict.hunks, "hunk")
        ));
    }
    for (side, path) in ["ours", "theirs"].into_iter().zip(&conflict.paths) {
        if let Some(path) = path {
            line.push_str(&format!(", {side} has it at {path}"));
        }
    }
    if let Some(why) = &conflict.why {
        line.push_str(&format!("; {}", neutral(why.as_bytes())));
    }
    out.line(&line)
}

fn value(place: Option<&Place>) -> String {
    place.map_or_else(|| "nothing".to_owned(), |p| one_line(&p.json, WIDTH))
}

fn pointer(conflict: &StateConflict) -> String {
    let place = [&conflict.ours, &conflict.theirs, &conflict.base];
    let pointer = place
        .into_iter()
        .flatten()
        .next()
        .map(|p| p.pointer.as_str());
    match pointer {
        None | Some("") => "/".to_owned(),
        Some(pointer) => neutral(pointer.as_bytes()),
    }
}

fn print_state(state: &StateMergeInfo, out: &mut Out) -> Result<(), Fail> {
    if let Some(problem) = &state.problem {
        out.line(&neutral(problem.as_bytes()))?;
    }
    for (n, (conflict, pick)) in state.conflicts.iter().enumerate() {
        let (tone, word) = match pick {
            Some(_) => (Tone::Good, "settled   "),
            None => (Tone::Bad, "conflict  "),
        };
        let methods: Vec<String> = conflict
            .methods
            .iter()
            .flatten()
            .map(|m| m.words())
            .collect();
        let how = match methods.first() {
            Some(how) => format!(" (taken for one by {how})"),
            None => String::new(),
        };
        out.line(&format!(
            "{} @state#{} {}: {}{how}",
            out.paint(tone, word),
            n + 1,
            pointer(conflict),
            conflict.kind.words()
        ))?;
        for (word, place) in [
            ("ours  ", &conflict.ours),
            ("base  ", &conflict.base),
            ("theirs", &conflict.theirs),
        ] {
            let word = out.paint(Tone::Dim, word);
            out.line(&format!("    {word} {}", value(place.as_ref())))?;
        }
    }
    for note in &state.notes {
        let word = if note.joined { "joined" } else { "one   " };
        out.line(&format!(
            "{} @state {}: {} ({})",
            out.paint(Tone::Dim, word),
            neutral(note.pointer.as_bytes()),
            one_line(&note.fact, WIDTH),
            note.method.words()
        ))?;
    }
    for change in &state.changes {
        let (sign, tone) = match (&change.before, &change.after) {
            (None, _) => ("+", Tone::Good),
            (_, None) => ("-", Tone::Bad),
            _ => ("~", Tone::Mark),
        };
        let place = change.after.as_ref().or(change.before.as_ref());
        let values: Vec<String> = [&change.before, &change.after]
            .into_iter()
            .flatten()
            .map(|p| one_line(&p.json, WIDTH))
            .collect();
        out.line(&format!(
            "{} @state {}  {}",
            out.paint(tone, sign),
            place.map_or_else(String::new, |p| neutral(p.pointer.as_bytes())),
            values.join(" -> ")
        ))?;
    }
    Ok(())
}

/// A merge that is finished.
pub fn print_report(report: &MergeReport, out: &mut Out) -> Result<(), Fail> {
    let (branch, into) = (name(&report.branch, out), name(&report.into, out));
    if report.up_to_date {
        return out.line(&format!("{into} has all of {branch} already"));
    }
    print_changes(&report.changes, out)?;
    if let Some(rollback) = &report.rollback {
        for (path, reason) in &rollback.kept {
            let word = out.paint(Tone::Dim, "keep   ");
            out.line(&format!("{word} {path} ({})", neutral(reason.as_bytes())))?;
        }
    }
    let id = match &report.commit {
        Some(commit) => out.paint(Tone::Id, &commit.id.short()),
        None => String::new(),
    };
    let how = if report.fast_forward {
        " (it followed: nothing had to be put together)"
    } else {
        ""
    };
    out.line(&format!("merged {branch} into {into}: {id}{how}"))?;
    if !report.unreviewed.is_empty() {
        out.line(&format!(
            "{} resolved by a language model, and nobody has looked at it:",
            count(report.unreviewed.len(), "file")
        ))?;
        for path in &report.unreviewed {
            out.line(&format!("  {} {path}", out.paint(Tone::Mark, "unreviewed")))?;
        }
    }
    if !report.open.is_empty() {
        for conflict in &report.open {
            print_conflict_line(conflict, out)?;
        }
        out.line("conflicts are kept open in this commit; the files have ours there. Settle them with: backtrail resolve")?;
    }
    out.line("undo with: backtrail undo")
}

/// Conflicts that commits left open.
pub fn print_open(open: &[OpenConflict], out: &mut Out) -> Result<(), Fail> {
    if open.is_empty() {
        return out.line("no conflict is open");
    }
    for one in open {
        out.line(&format!(
            "{} {} into {}, {}",
            out.paint(Tone::Id, &one.commit.id.short()),
            name(&one.theirs, out),
            name(&one.branch, out),
            out.paint(Tone::Dim, &one.commit.time.local())
        ))?;
        for conflict in &one.conflicts {
            print_conflict_line(conflict, out)?;
        }
        if one.state > 0 {
            out.line(&format!(
                "{} the agent's state: {}",
                out.paint(Tone::Bad, "conflict  "),
                count(one.state, "conflict")
            ))?;
        }
    }
    out.line("settle with: backtrail resolve [REV]")
}

/// One conflict: both sides, what was there before, and why each is as it is.
pub fn print_conflict(detail: &ConflictDetail, out: &mut Out) -> Result<(), Fail> {
    print_conflict_line(&detail.info, out)?;
    if let Some((pick, origin)) = &detail.whole {
        out.line(&format!(
            "picked: {} ({})",
            pick_word(pick),
            origin_word(origin)
        ))?;
    }
    for (side, reasons) in ["ours", "theirs"].into_iter().zip(&detail.reasons) {
        print_reasons(side, reasons, out)?;
    }
    if detail.pieces.is_empty() {
        for (side, entry) in [
            ("ours  ", &detail.ours),
            ("base  ", &detail.base),
            ("theirs", &detail.theirs),
        ] {
            let side = out.paint(Tone::Dim, side);
            out.line(&format!("{side} {}", entry_words(entry.as_ref())))?;
        }
    }
    let mut n = 0;
    for piece in &detail.pieces {
        let PieceInfo::Hunk {
            ours,
            base,
            theirs,
            key,
            pick,
            origin,
            propose,
            ..
        } = piece
        else {
            continue;
        };
        n += 1;
        let key = key
            .as_ref()
            .map_or_else(String::new, |k| format!(" {}", neutral(k.as_bytes())));
        let picked = match pick {
            Some(pick) => format!(": {} ({})", pick_word(pick), origin_word(origin)),
            None => String::new(),
        };
        let title = format!("hunk {n}{key}{picked}");
        out.line(&out.paint(Tone::Mark, &title))?;
        for (side, tone, text) in [
            ("ours", Tone::Good, ours),
            ("base", Tone::Dim, base),
            ("theirs", Tone::Good, theirs),
        ] {
            print_text(side, tone, text, out)?;
        }
        if let Some(text) = propose {
            print_text("both changes in one, if you like", Tone::Mark, text, out)?;
        }
    }
    Ok(())
}

fn print_text(side: &str, tone: Tone, text: &[u8], out: &mut Out) -> Result<(), Fail> {
    out.line(&format!("  {}", out.paint(Tone::Dim, side)))?;
    if text.is_empty() {
        return out.line("    (nothing)");
    }
    for line in text.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let shown: Vec<String> = line.split(|b| *b == b'\t').map(neutral).collect();
        let shown = out.paint(tone, &shown.join("\t"));
        out.line(&format!("    {shown}"))?;
    }
    Ok(())
}

fn print_reasons(side: &str, reasons: &[Reason], out: &mut Out) -> Result<(), Fail> {
    for reason in reasons {
        let step = match reason.step {
            Some(step) => format!("step {step}"),
            None => reason.commit.short(),
        };
        out.line(&format!(
            "{side}: {} {} {}",
            out.paint(Tone::Id, &step),
            out.paint(Tone::Dim, &neutral(reason.author.as_bytes())),
            one_line(&reason.title, WIDTH)
        ))?;
        for (word, told) in [("thought", &reason.thought), ("prompt", &reason.prompt)] {
            if let Some((step, text)) = told {
                let word = out.paint(Tone::Dim, word);
                out.line(&format!("    {word} ({step}) {}", one_line(text, WIDTH)))?;
            }
        }
    }
    Ok(())
}

fn entry_words(entry: Option<&EntryInfo>) -> String {
    let Some(entry) = entry else {
        return "nothing".to_owned();
    };
    let what = match &entry.target {
        Some(target) => format!(" to {}", neutral(target.as_bytes())),
        None if entry.kind == "file" => format!(", {} bytes", entry.size),
        None => String::new(),
    };
    format!(
        "{} {}, mode {:o}{what}",
        neutral(entry.kind.as_bytes()),
        entry.path,
        entry.mode
    )
}

fn pick_word(pick: &Pick) -> &'static str {
    match pick {
        Pick::Ours => "ours",
        Pick::Theirs => "theirs",
        Pick::Both => "both",
        Pick::Base => "base",
        Pick::Edited(_) => "edited",
    }
}

fn origin_word(origin: &PickOrigin) -> String {
    match origin {
        PickOrigin::Person => "by you".to_owned(),
        PickOrigin::Rule => "by rule".to_owned(),
        PickOrigin::Markers => "by markers".to_owned(),
        PickOrigin::Llm { model, reviewed } => {
            let word = if *reviewed { "accepted" } else { "unreviewed" };
            format!("{}, {word}", neutral(model.as_bytes()))
        }
    }
}
