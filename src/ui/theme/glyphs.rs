//! The characters that screens are drawn with.

/// The characters that screens are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glyphs {
    /// Whether panes have frames.
    pub boxes: bool,
    /// Top left, top right, bottom left, bottom right, horizontal, vertical.
    pub frame: [&'static str; 6],
    pub cursor: &'static str,
    pub change: &'static str,
    pub turn: &'static str,
    pub other: &'static str,
    pub note: &'static str,
    pub lane: &'static str,
    /// Right, down-left corner, down-right corner, crossing: how a new line leaves its parent.
    pub branch: [&'static str; 4],
    pub open: &'static str,
    pub shut: &'static str,
    /// The first, a middle and the last step of an answer.
    pub answer: [&'static str; 3],
    /// A step on a branch that was left.
    pub dead: &'static str,
    pub label: &'static str,
    pub failed: &'static str,
    pub done: &'static str,
    pub here: &'static str,
    pub focus: &'static str,
    /// A step in which something was found.
    pub hit: &'static str,
    pub ellipsis: &'static str,
    pub dot: &'static str,
    pub bars: [&'static str; 8],
    pub rule: &'static str,
    pub separator: &'static str,
    pub arrow: &'static str,
    pub live: &'static str,
    /// Takes something away.
    pub close: &'static str,
}

/// For terminals with a common font.
pub(crate) const UNICODE: Glyphs = Glyphs {
    boxes: true,
    frame: ["┌", "┐", "└", "┘", "─", "│"],
    cursor: "▌",
    change: "●",
    turn: "○",
    other: "│",
    note: "◇",
    lane: "│",
    branch: ["─", "╭", "╮", "┼"],
    open: "▾",
    shut: "▸",
    answer: ["┌", "│", "└"],
    dead: "┊",
    label: "◆",
    failed: "✗",
    done: "✓",
    here: "◀",
    focus: "▲",
    hit: "•",
    ellipsis: "…",
    dot: "·",
    bars: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    rule: "─",
    separator: "│",
    arrow: "→",
    live: "●",
    close: "×",
};

/// For terminals that have nothing but ASCII.
pub(crate) const ASCII: Glyphs = Glyphs {
    boxes: true,
    frame: ["+", "+", "+", "+", "-", "|"],
    cursor: ">",
    change: "*",
    turn: "o",
    other: "|",
    note: "~",
    lane: "|",
    branch: ["-", ".", ".", "+"],
    open: "v",
    shut: ">",
    answer: [".", "|", "'"],
    dead: ":",
    label: "#",
    failed: "x",
    done: "*",
    here: "<",
    focus: "^",
    hit: "@",
    ellipsis: "~",
    dot: "-",
    bars: ["_", "_", ".", ".", "-", "-", "=", "#"],
    rule: "-",
    separator: "|",
    arrow: "->",
    live: "*",
    close: "x",
};

/// For screen readers: words and ASCII, no frames.
pub(crate) const PLAIN: Glyphs = Glyphs {
    boxes: false,
    frame: [" ", " ", " ", " ", " ", " "],
    rule: " ",
    ..ASCII
};
