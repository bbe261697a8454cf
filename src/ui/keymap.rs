//! Which keys do what here: the table's own, with what the person's settings change about them.
//!
//! A line of the settings takes the place of what its keys did in that view. Lines for one view go before lines for all.
//! What a line may not do is make keys ambiguous: a sequence that begins another one would never be over, and which of the
//! two was meant nobody could say. Such a file is refused as a whole, with the names of both actions.

use crate::config::{KeyLine, Problem, nearest};
use crate::model::neutral;

use super::action::{Action, Context, EVERYWHERE, Entry, Meaning, TABLE};
use super::keys::{self, Key, Stroke};

/// Keys with what they do.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub strokes: Vec<Stroke>,
    pub entry: &'static Entry,
    /// Where.
    pub contexts: Vec<Context>,
    /// The line of the settings that says so, and whether it is for one view.
    from: Option<(usize, bool)>,
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Keymap {
    bindings: Vec<Binding>,
}

impl Default for Keymap {
    fn default() -> Self {
        let bindings = TABLE
            .iter()
            .flat_map(|entry| {
                entry.keys.iter().filter_map(move |text| {
                    let strokes = keys::parse(text)?;
                    let mut contexts = entry.contexts.to_vec();
                    // In the help what is typed filters it; only `?` closes it.
                    if let Some(Stroke::Key(key)) = strokes.first()
                        && key.typed().is_some_and(|c| c != '?')
                    {
                        contexts.retain(|c| *c != Context::Help);
                    }
                    Some(Binding {
                        strokes,
                        entry,
                        contexts,
                        from: None,
                    })
                })
            })
            .collect();
        Self { bindings }
    }
}

/// Whether two sequences can be meant by the same keys: one is the other, or its beginning.
fn meet(a: &[Stroke], b: &[Stroke]) -> bool {
    a.iter().zip(b).all(|(x, y)| match (x, y) {
        (Stroke::Key(key), other) | (other, Stroke::Key(key)) => other.takes(*key),
        (Stroke::Letter, Stroke::Letter) => true,
    })
}

/// The name of a context in the settings: `[keys.merge-dialog]`.
pub(crate) fn section(context: Context) -> String {
    let mut out = String::new();
    for c in format!("{context:?}").chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

impl Keymap {
    /// The table's, changed by these lines; or what is wrong with them.
    pub(crate) fn new(lines: &[KeyLine]) -> Result<Self, Vec<Problem>> {
        let mut map = Self::default();
        let mut problems = Vec::new();
        let mut own = Vec::new();
        // Lines for one view last: they go before those for all.
        let (all, one): (Vec<_>, Vec<_>) = lines.iter().partition(|l| l.view.is_none());
        for line in all.into_iter().chain(one) {
            if let Err(what) = map.bind(line, &mut own) {
                problems.push(Problem {
                    line: line.line,
                    what,
                });
            }
        }
        own.append(&mut map.bindings);
        map.bindings = own;
        map.check(&mut problems);
        problems.sort();
        if problems.is_empty() {
            Ok(map)
        } else {
            Err(problems)
        }
    }

    fn bind(&mut self, line: &KeyLine, own: &mut Vec<Binding>) -> Result<(), String> {
        let quoted = |text: &str| {
            let text: String = text.chars().take(60).collect();
            format!("\"{}\"", neutral(text.as_bytes()))
        };
        let mut strokes = keys::parse_typed(&line.keys).ok_or_else(|| {
            format!(
                "{} are no keys; write them as in \"g o\", \"ctrl-x\", \"f5\"",
                quoted(&line.keys)
            )
        })?;
        let view = match &line.view {
            None => None,
            Some(name) => {
                let known: Vec<String> = EVERYWHERE.iter().map(|c| section(*c)).collect();
                let found = EVERYWHERE.iter().find(|c| section(**c) == *name);
                Some(*found.ok_or_else(|| {
                    let near = nearest(name, known.iter().map(String::as_str));
                    let near = near.map_or_else(
                        || format!("; there are {}", known.join(", ")),
                        |n| format!("; is {n} meant?"),
                    );
                    format!("there is no view {}{near}", quoted(name))
                })?)
            }
        };
        let entry = match line.action.trim() {
            "" => None,
            id => Some(TABLE.iter().find(|e| e.id == id).ok_or_else(|| {
                let near = nearest(id, TABLE.iter().map(|e| e.id)).map_or_else(
                    || "; `backtrail keys` lists them".to_owned(),
                    |near| format!("; is {near} meant?"),
                );
                format!("there is no action {}{near}", quoted(id))
            })?),
        };
        let contexts: Vec<Context> = match (view, entry) {
            (Some(view), _) => vec![view],
            (None, Some(entry)) => entry.contexts.to_vec(),
            (None, None) => EVERYWHERE.to_vec(),
        };
        if let Some(entry) = entry {
            if let Some(view) = view
                && !entry.contexts.contains(&view)
            {
                let names: Vec<String> = entry.contexts.iter().map(|c| section(*c)).collect();
                return Err(format!(
                    "{} does not work in {}, only in {}",
                    entry.id,
                    section(view),
                    names.join(", ")
                ));
            }
            // It needs a letter, whatever its keys are.
            if entry.keys.iter().any(|k| k.ends_with("{a}"))
                && strokes.last() != Some(&Stroke::Letter)
            {
                strokes.push(Stroke::Letter);
            }
        }
        for held in self.bindings.iter_mut().chain(own.iter_mut()) {
            // To take keys away also takes a whole prefix away, so that it can be had for something else.
            let same = held.strokes == strokes
                || (entry.is_none() && held.from.is_none() && held.strokes.starts_with(&strokes));
            if !same || !held.contexts.iter().any(|c| contexts.contains(c)) {
                continue;
            }
            if let (Some((at, for_one)), Some(entry)) = (held.from, entry)
                && for_one == line.view.is_some()
                && held.entry.id != entry.id
            {
                return Err(format!(
                    "{} is {} and, in line {at}, {}: keep one of them",
                    quoted(&line.keys),
                    entry.id,
                    held.entry.id
                ));
            }
            held.contexts.retain(|c| !contexts.contains(c));
        }
        self.bindings.retain(|b| !b.contexts.is_empty());
        own.retain(|b| !b.contexts.is_empty());
        if let Some(entry) = entry {
            own.push(Binding {
                strokes,
                entry,
                contexts,
                from: Some((line.line, line.view.is_some())),
            });
        }
        Ok(())
    }

    /// Sequences of the person that begin others, or the other way round.
    fn check(&self, problems: &mut Vec<Problem>) {
        for (i, a) in self.bindings.iter().enumerate() {
            let Some((line, _)) = a.from else { continue };
            for (j, b) in self.bindings.iter().enumerate() {
                let told = b.from.is_some() && j <= i;
                if i == j || told || !meet(&a.strokes, &b.strokes) {
                    continue;
                }
                let Some(context) = a.contexts.iter().find(|c| b.contexts.contains(c)) else {
                    continue;
                };
                let (x, y) = (
                    keys::shown_strokes(&a.strokes, true),
                    keys::shown_strokes(&b.strokes, true),
                );
                problems.push(Problem {
                    line,
                    what: format!(
                        "in {} the keys {x} ({}) and {y} ({}) begin alike; unbind one with \"\"",
                        section(*context),
                        a.entry.id,
                        b.entry.id
                    ),
                });
                break;
            }
        }
    }

    /// All bindings.
    #[cfg(test)]
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// What a run of keys means in a context.
    pub(crate) fn meaning(&self, context: Context, pressed: &[Key]) -> Meaning {
        let mut prefix = false;
        for binding in &self.bindings {
            let fits = binding.strokes.len() >= pressed.len()
                && binding
                    .strokes
                    .iter()
                    .zip(pressed)
                    .all(|(stroke, key)| stroke.takes(*key));
            if !fits || !binding.contexts.contains(&context) {
                continue;
            }
            if binding.strokes.len() == pressed.len() {
                let letter = binding
                    .strokes
                    .iter()
                    .zip(pressed)
                    .find(|(stroke, _)| **stroke == Stroke::Letter)
                    .and_then(|(_, key)| key.typed());
                return Meaning::Action(binding.entry.action, letter);
            }
            prefix = true;
        }
        if prefix {
            Meaning::Prefix
        } else {
            Meaning::Nothing
        }
    }

    /// What may follow the keys pressed so far: the rest of the sequence and the entry.
    pub(crate) fn continuations(
        &self,
        context: Context,
        pressed: &[Key],
    ) -> Vec<(&[Stroke], &'static Entry)> {
        self.bindings
            .iter()
            .filter(|b| b.contexts.contains(&context) && b.strokes.len() > pressed.len())
            .filter(|b| b.strokes.iter().zip(pressed).all(|(s, k)| s.takes(*k)))
            .filter_map(|b| Some((b.strokes.get(pressed.len()..)?, b.entry)))
            .collect()
    }

    /// The keys of an action in a context, the one to show first.
    pub(crate) fn keys(&self, action: Action, context: Context) -> impl Iterator<Item = &Binding> {
        self.bindings
            .iter()
            .filter(move |b| b.entry.action == action && b.contexts.contains(&context))
    }

    /// The key that is shown for an action: here, or else wherever it works.
    pub(crate) fn key(&self, action: Action, context: Context) -> Option<&Binding> {
        self.keys(action, context).next().or_else(|| {
            self.bindings
                .iter()
                .find(|b| b.entry.action == action && !b.contexts.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::config::read;

    fn map(text: &str) -> Result<Keymap, Vec<String>> {
        let (_, lines, problems) = read(text);
        assert_eq!(problems, vec![]);
        Keymap::new(&lines).map_err(|p| p.iter().map(ToString::to_string).collect())
    }

    fn does(map: &Keymap, context: Context, typed: &str) -> Meaning {
        let pressed: Vec<Key> = keys::parse_typed(typed)
            .unwrap()
            .iter()
            .filter_map(|s| match s {
                Stroke::Key(key) => Some(*key),
                Stroke::Letter => None,
            })
            .collect();
        map.meaning(context, &pressed)
    }

    #[test]
    fn a_line_takes_the_place_of_what_its_keys_did() {
        let map = map("[keys.timeline]\n\"g o\" = \"look.state\"\ns = \"time.over\"\n").unwrap();
        let is = |action| Meaning::Action(action, None);
        assert_eq!(does(&map, Context::Timeline, "go"), is(Action::ViewState));
        assert_eq!(does(&map, Context::Timeline, "s"), is(Action::Over));
        // Elsewhere nothing has changed, nor for the other keys.
        assert_eq!(does(&map, Context::Diff, "s"), is(Action::Step));
        assert_eq!(does(&map, Context::Timeline, "."), is(Action::Step));
        assert_eq!(does(&map, Context::Timeline, "gg"), is(Action::First));
        // The person's key is the one to show.
        let key = map.key(Action::ViewState, Context::Timeline).unwrap();
        assert_eq!(keys::written(&key.strokes), "go");
    }

    #[test]
    fn empty_takes_keys_away_also_a_whole_prefix() {
        let map = map("[keys]\nr = \"\"\n[keys.timeline]\nz = \"\"\n").unwrap();
        assert_eq!(does(&map, Context::Timeline, "r"), Meaning::Nothing);
        assert_eq!(does(&map, Context::Diff, "r"), Meaning::Nothing);
        assert_eq!(does(&map, Context::Timeline, "z"), Meaning::Nothing);
        assert_eq!(does(&map, Context::Diff, "z"), Meaning::Prefix);
    }

    #[test]
    fn one_view_goes_before_all() {
        let map = map("[keys.diff]\nx = \"time.back\"\n[keys]\nx = \"time.step\"\n").unwrap();
        let is = |action| Meaning::Action(action, None);
        assert_eq!(does(&map, Context::Timeline, "x"), is(Action::Step));
        assert_eq!(does(&map, Context::Diff, "x"), is(Action::Back));
        // In the conflict screen it is what it was: stepping does not work there.
        assert_eq!(does(&map, Context::Merge, "x"), is(Action::MergeDiscard));
    }

    #[test]
    fn what_takes_a_letter_still_takes_one() {
        let map = map("[keys]\n\"ctrl-b\" = \"\"\n\"ctrl-b m\" = \"world.label\"\n").unwrap();
        assert_eq!(
            does(&map, Context::Timeline, "ctrl-b m q"),
            Meaning::Action(Action::Label, Some('q'))
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, said) in [
            (
                "[keys.timeline]\nx = \"time.stp\"",
                "line 2: there is no action \"time.stp\"; is time.step meant?",
            ),
            (
                "[keys.timelin]\nx = \"time.step\"",
                "line 2: there is no view \"timelin\"; is timeline meant?",
            ),
            (
                "[keys.timeline]\nx = \"merge.ours\"",
                "line 2: merge.ours does not work in timeline, only in merge",
            ),
            (
                "[keys]\n\"<bogus>\" = \"time.step\"",
                "line 2: \"<bogus>\" are no keys; write them as in \"g o\", \"ctrl-x\", \"f5\"",
            ),
            (
                "[keys.timeline]\n\"'\" = \"time.step\"",
                "line 2: in timeline the keys ' (time.step) and '{a} (move.jump) begin alike; unbind one with \"\"",
            ),
            (
                "[keys.timeline]\n\"g o\" = \"time.step\"\ngo = \"time.back\"",
                "line 3: \"go\" is time.back and, in line 2, time.step: keep one of them",
            ),
            (
                "[keys.timeline]\n\"x y\" = \"time.step\"\nx = \"time.back\"",
                "line 2: in timeline the keys xy (time.step) and x (time.back) begin alike; unbind one with \"\"",
            ),
            (
                "[keys.timeline]\n\"m a\" = \"time.step\"",
                "line 2: in timeline the keys ma (time.step) and m{a} (world.label) begin alike; unbind one with \"\"",
            ),
        ] {
            assert_eq!(map(text).unwrap_err(), [said], "{text}");
        }
    }

    #[test]
    fn every_view_has_a_name() {
        assert_eq!(section(Context::MergeDialog), "merge-dialog");
        assert_eq!(section(Context::Timeline), "timeline");
    }
}
