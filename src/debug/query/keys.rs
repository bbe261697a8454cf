//! The table of the language: its keys, what they take and what they ask. Help, documentation and error messages come
//! from it.

/// What a term asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Any text of the step.
    Text,
    /// What it is.
    Kind,
    /// A call's tool.
    Tool,
    /// A command's exit code.
    Exit,
    /// Files that it changed or names.
    Path,
    /// Who did it.
    By,
    /// On which branch.
    Branch,
    /// In which session.
    Session,
    /// Labels on it.
    Label,
    /// Its number.
    Step,
    /// Its turn.
    Turn,
    /// How it stands.
    Is,
    /// How many files it changed.
    Files,
    /// How many lines it changed.
    Lines,
    /// What its answer cost.
    Tokens,
    /// How long it took.
    Took,
}

/// What a key's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A piece of text, anywhere in what is looked at.
    Text,
    /// A whole name, in which `*` and `?` stand for anything.
    Name,
    /// A path, in which `*`, `**` and `?` stand for anything.
    Path,
    /// A number or a range.
    Number,
    /// The number of a step, or a range.
    Step,
    /// A duration or a range.
    Time,
    /// One of [`FLAGS`].
    Flag,
}

impl Takes {
    /// As words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "name",
            Self::Path => "path",
            Self::Number => "number",
            Self::Step => "step",
            Self::Time => "time",
            Self::Flag => "word",
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct KeyInfo {
    /// Which.
    pub key: Key,
    /// As it is typed.
    pub name: &'static str,
    /// What its values are.
    pub takes: Takes,
    /// A term with it.
    pub example: &'static str,
    /// What it asks.
    pub about: &'static str,
}

const fn key(
    key: Key,
    name: &'static str,
    takes: Takes,
    example: &'static str,
    about: &'static str,
) -> KeyInfo {
    KeyInfo {
        key,
        name,
        takes,
        example,
        about,
    }
}

/// All keys, the most useful first.
pub const KEYS: [KeyInfo; 16] = [
    key(
        Key::Text,
        "text",
        Takes::Text,
        "text:~\"error|panic\"",
        "a text of the step: prompt, thought, message, command, output, paths, labels, lines that it added or removed",
    ),
    key(
        Key::Kind,
        "kind",
        Takes::Name,
        "kind:bash",
        "what it is: the word that the list shows (bash, edit, think, say, turn, fs, outside), the kind of call (read, edit, search, execute), prompt, thought, message, call, marker",
    ),
    key(
        Key::Exit,
        "exit",
        Takes::Number,
        "exit:!0",
        "the exit code of its command",
    ),
    key(
        Key::Path,
        "path",
        Takes::Path,
        "path:src/**",
        "a file that it changed or that its call names; without / a name in any directory; a directory stands for all in it",
    ),
    key(
        Key::By,
        "by",
        Takes::Name,
        "by:agent",
        "who did it: agent, outside (nobody's call), person (who asked), or an agent's name",
    ),
    key(
        Key::Is,
        "is",
        Takes::Flag,
        "is:failed",
        "how it stands: change, failed, running, aborted, dead, subagent, label",
    ),
    key(
        Key::Branch,
        "branch",
        Takes::Name,
        "branch:try-2",
        "the branch that it was made on",
    ),
    key(
        Key::Session,
        "session",
        Takes::Name,
        "session:claude",
        "its session: the agent's name, the agent's own id of it, or the beginning of its id here",
    ),
    key(
        Key::Tool,
        "tool",
        Takes::Name,
        "tool:mcp__*",
        "the name of the tool as the agent gave it",
    ),
    key(Key::Label, "label", Takes::Name, "label:a", "a label on it"),
    key(Key::Step, "step", Takes::Step, "step:10..20", "its number"),
    key(
        Key::Turn,
        "turn",
        Takes::Number,
        "turn:>3",
        "the turn that it belongs to",
    ),
    key(
        Key::Files,
        "files",
        Takes::Number,
        "files:>5",
        "how many files it changed",
    ),
    key(
        Key::Lines,
        "lines",
        Takes::Number,
        "lines:>100",
        "how many lines it added and removed together",
    ),
    key(
        Key::Took,
        "took",
        Takes::Time,
        "took:>30s",
        "how long its call took",
    ),
    key(
        Key::Tokens,
        "tokens",
        Takes::Number,
        "tokens:>50k",
        "the tokens of the answer that it begins: input, output and what was written to the cache",
    ),
];

impl Key {
    /// Its line of the table.
    #[must_use]
    pub fn info(self) -> &'static KeyInfo {
        // Every key has a line (a test holds it); the first one stands in for what cannot be.
        KEYS.iter().find(|k| k.key == self).unwrap_or(&KEYS[0])
    }

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The key of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KEYS.iter().find(|k| k.name == name).map(|k| k.key)
    }
}

/// How a step can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// It changed files.
    Change,
    /// It ended badly.
    Failed,
    /// It has not ended.
    Running,
    /// It never got a result.
    Aborted,
    /// It is on a branch of the conversation that was left.
    Dead,
    /// A subagent did it.
    Subagent,
    /// It has a label.
    Label,
}

/// The flags by name, with what they say.
pub const FLAGS: [(&str, Flag, &str); 7] = [
    ("change", Flag::Change, "it changed files"),
    ("failed", Flag::Failed, "it ended badly"),
    ("running", Flag::Running, "it has not ended"),
    ("aborted", Flag::Aborted, "it never got a result"),
    (
        "dead",
        Flag::Dead,
        "it is on a branch of the conversation that was left",
    ),
    ("subagent", Flag::Subagent, "a subagent did it"),
    ("label", Flag::Label, "it has a label"),
];

impl Flag {
    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        FLAGS
            .iter()
            .find(|(_, flag, _)| *flag == self)
            .map_or("", |(name, ..)| name)
    }
}

/// The name of `all` that is nearest to what was typed, if one is near: the same beginning, or few letters off.
pub fn nearest<'a>(typed: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    let far = |name: &str| {
        if typed.len() >= 2 && name.starts_with(&typed) {
            0
        } else {
            distance(typed.as_bytes(), name.as_bytes())
        }
    };
    all.map(|name| (far(name), name))
        .min_by_key(|(far, _)| *far)
        .filter(|(far, name)| *far <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    // Names are short; what is typed need not be.
    if a.len() > 24 {
        return usize::MAX;
    }
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(table[(i - 2) * width + j - 2] + 1);
                }
                least
            };
        }
    }
    table[a.len() * width + b.len()]
}
