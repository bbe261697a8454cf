//! From the text of a settings file to settings, lines about keys, and what is wrong with it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{self, Kind};
use super::{Problem, Settings, nearest};
use crate::model::neutral;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// In quotes.
    Text(String),
    /// A list of texts.
    Texts,
    /// `true` or `false`.
    Flag(bool),
    /// Without a point.
    Whole(i64),
    /// With a point.
    Number(f64),
}

/// A line that binds keys, as it was written: the screen knows what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// The view that it is for; `None` for all.
    pub view: Option<String>,
    /// The keys.
    pub keys: String,
    /// The action's name; empty for none.
    pub action: String,
    /// Where it stands.
    pub line: usize,
}

/// Reads a settings file. What is wrong is left out and told.
#[must_use]
pub fn read(text: &str) -> (Settings, Vec<KeyLine>, Vec<Problem>) {
    let mut reader = Reader {
        text,
        settings: Settings::default(),
        keys: Vec::new(),
        problems: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.top(table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |s| s.start);
            let message = neutral(error.message().as_bytes());
            reader.problem(at, format!("it is not TOML: {message}"));
        }
    }
    reader.problems.sort();
    reader.keys.sort_by_key(|k| k.line);
    (reader.settings, reader.keys, reader.problems)
}

struct Reader<'a> {
    text: &'a str,
    settings: Settings,
    keys: Vec<KeyLine>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        memchr::memchr_iter(b'\n', before).count() + 1
    }

    fn problem(&mut self, at: usize, what: String) {
        let line = self.line(at);
        self.problems.push(Problem { line, what });
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            match (name, value.get_ref()) {
                ("keys", DeValue::Table(keys)) => self.keys(keys),
                ("llm", DeValue::Table(llm)) => {
                    for (key, value) in llm {
                        self.setting("llm", key, value);
                    }
                }
                ("keys" | "llm", _) => {
                    self.problem(at, format!("{name} is a section; write [{name}]"));
                }
                (_, DeValue::Table(_)) => {
                    let near = suggestion(name, ["llm", "keys"]);
                    let what = format!("there is no section [{}]{near}", quoted(name));
                    self.problem(at, what);
                }
                _ => self.setting("", key, value),
            }
        }
    }

    fn setting(
        &mut self,
        section: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref().as_ref();
        let Some(setting) = table::find(section, name) else {
            let near = suggestion(name, table::names(section));
            let place = if section.is_empty() {
                String::new()
            } else {
                format!(" in [{section}]")
            };
            let what = format!("there is no setting {}{place}{near}", quoted(name));
            return self.problem(key.span().start, what);
        };
        match said(setting.kind, value.get_ref()) {
            Ok(said) => (setting.set)(&mut self.settings, &said),
            Err(want) => {
                self.problem(value.span().start, format!("{name} {want}"));
            }
        }
    }

    fn keys(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            match value.get_ref() {
                DeValue::Table(view) => {
                    for (keys, action) in view {
                        self.key(Some(key.get_ref()), keys, action);
                    }
                }
                _ => self.key(None, key, value),
            }
        }
    }

    fn key(
        &mut self,
        view: Option<&str>,
        keys: &Spanned<std::borrow::Cow<'_, str>>,
        action: &Spanned<DeValue<'_>>,
    ) {
        let at = keys.span().start;
        let DeValue::String(action) = action.get_ref() else {
            let keys = quoted(keys.get_ref());
            let what = format!(
                "{keys} needs the name of an action in quotes, or \"\" for none; `backtrail keys` lists them"
            );
            return self.problem(at, what);
        };
        self.keys.push(KeyLine {
            view: view.map(str::to_owned),
            keys: keys.get_ref().to_string(),
            action: action.to_string(),
            line: self.line(at),
        });
    }
}

/// Somebody's word in a message.
fn quoted(word: &str) -> String {
    let word: String = word.chars().take(60).collect();
    format!("\"{}\"", neutral(word.as_bytes()))
}

fn suggestion<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or_else(
        || "; backtrail config --default prints all settings".to_owned(),
        |near| format!("; is {near} meant?"),
    )
}

/// A value of that kind, or what is wanted.
fn said(kind: Kind, value: &DeValue<'_>) -> Result<Said, String> {
    let whole = || {
        value
            .as_integer()
            .and_then(|n| i64::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok())
    };
    let number = || {
        value
            .as_float()
            .and_then(|n| n.as_str().parse::<f64>().ok())
    };
    match (kind, value) {
        (Kind::Text, DeValue::String(text)) if !text.trim().is_empty() => {
            Ok(Said::Text(text.trim().to_owned()))
        }
        (Kind::Text, _) => Err("wants a text in quotes".to_owned()),
        (Kind::Texts, DeValue::Array(all)) if all.iter().all(|v| v.get_ref().is_str()) => {
            Ok(Said::Texts)
        }
        (Kind::Texts, _) => Err("wants a list of texts: [\"a\", \"b\"]".to_owned()),
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Said::Flag(*flag)),
        (Kind::Flag, _) => Err("wants true or false".to_owned()),
        (Kind::Word(words), value) => {
            let listed = || words.join(", ");
            match value.as_str() {
                Some(word) if words.contains(&word) => Ok(Said::Text(word.to_owned())),
                Some(word) => {
                    let near = nearest(word, words.iter().copied())
                        .map_or_else(String::new, |near| format!("; is \"{near}\" meant?"));
                    Err(format!(
                        "knows no {}, only {}{near}",
                        quoted(word),
                        listed()
                    ))
                }
                None => Err(format!("wants one of {}, in quotes", listed())),
            }
        }
        (Kind::Whole(least, most), _) => match whole() {
            Some(n) if (least..=most).contains(&n) => Ok(Said::Whole(n)),
            _ => Err(format!("wants a whole number from {least} to {most}")),
        },
        (Kind::Seconds(least, most), _) => {
            let exact = whole().and_then(|n| i32::try_from(n).ok()).map(f64::from);
            match number().or(exact) {
                Some(n) if n >= least && n <= most => Ok(Said::Number(n)),
                _ => Err(format!("wants seconds from {least} to {most}")),
            }
        }
    }
}
