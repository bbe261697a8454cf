//! How the screen feels to this person: their settings and keys, read at the start and again whenever the file changes.
//!
//! A file with a mistake in it never takes anything away: at the start what is right in it counts, later everything
//! stays as it was; a line at the bottom says what is wrong, and where.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use crate::config::{self, GlyphSet, Settings, file};

use super::Options;
use super::app::{App, Tone};
use super::keymap::Keymap;
use super::mouse::{Hits, Mouse};
use super::msg::Effect;
use super::palette::Places;
use super::text;
use super::theme::{self, ASCII, Choice, Colours, Glyphs, PLAIN, UNICODE};
use super::update::toast;

/// An editor saves in several steps: the file is read when it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(80);

/// What the person has settled, in use.
#[derive(Debug, Default)]
pub(crate) struct Feel {
    pub settings: Settings,
    pub keymap: Arc<Keymap>,
    pub mouse: Mouse,
    /// What was drawn where.
    pub hits: Hits,
    /// The settings file's name, for people.
    pub file: String,
    /// What the palette can go to.
    pub places: Places,
    /// Where the border between the first two panes was put, in thousandths of the width: of the home screen, and of
    /// views with a list.
    pub borders: [Option<u16>; 2],
}

/// What was read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub settings: Settings,
    pub keymap: Arc<Keymap>,
    pub glyphs: Glyphs,
    pub theme: Choice,
    /// The file's name, for people.
    pub file: String,
    /// What is wrong with the file, with its name and line.
    pub problems: Vec<String>,
    /// At the start: there is nothing yet that could stay.
    pub first: bool,
}

/// Reads the person's settings, and puts what was typed and what the environment says before them.
pub(crate) fn load(options: &Options, first: bool) -> Loaded {
    let path = file::user_file();
    let name = path.as_deref().map_or_else(String::new, file::shown);
    let mut problems = Vec::new();
    let text = match path.as_deref().map(file::read) {
        Some(Ok(Some(text))) => text,
        Some(Err(why)) => {
            problems.push(format!("{name}: {why}"));
            String::new()
        }
        Some(Ok(None)) | None => String::new(),
    };
    let mut loaded = of_text(&text, &name, options);
    problems.append(&mut loaded.problems);
    Loaded {
        problems,
        first,
        ..loaded
    }
}

/// What a settings file of that name and text comes to, were it read later.
pub(crate) fn of_text(text: &str, name: &str, options: &Options) -> Loaded {
    let (mut settings, lines, wrong) = config::read(text);
    let (keymap, mut bad_keys) = match Keymap::new(&lines) {
        Ok(map) => (map, Vec::new()),
        Err(bad) => (Keymap::default(), bad),
    };
    bad_keys.extend(wrong);
    bad_keys.sort();
    let mut problems: Vec<String> = bad_keys
        .iter()
        .map(|p| format!("{name}:{}: {}", p.line, p.what))
        .collect();
    let theme = options.theme.as_ref().unwrap_or(&settings.theme);
    let theme = theme_of(theme).unwrap_or_else(|why| {
        problems.push(why);
        Choice::Auto
    });
    let glyphs = glyphs(options, settings.glyphs);
    // Who listens to the screen would hear every change of it.
    settings.reduce_motion |= !glyphs.boxes;
    Loaded {
        glyphs,
        theme,
        settings,
        keymap: Arc::new(keymap),
        file: name.to_owned(),
        problems,
        first: false,
    }
}

/// The colours of that name: the person's own file goes before a theme that comes along.
fn theme_of(name: &str) -> Result<Choice, String> {
    match name {
        "auto" => return Ok(Choice::Auto),
        "ansi" => return Ok(Choice::Ansi),
        _ => {}
    }
    if let Some(path) = file::theme_file(name) {
        let shown = file::shown(&path);
        match file::read(&path) {
            Ok(Some(text)) => {
                return Colours::read(&text)
                    .map(|colours| Choice::Theme(theme::kept(colours)))
                    .map_err(|why| format!("{shown}:{why}"));
            }
            Ok(None) => {}
            Err(why) => return Err(format!("{shown}: {why}")),
        }
    }
    theme::named(name).map(Choice::Theme).ok_or_else(|| {
        let known: Vec<&str> = theme::names().collect();
        let near = config::nearest(name, known.iter().copied()).map_or_else(
            || {
                format!(
                    "; there are auto, ansi, {}, and files in themes/",
                    known.join(", ")
                )
            },
            |near| format!("; is {near} meant?"),
        );
        format!("there is no theme {:?}{near}", text::one_line(name))
    })
}

/// The characters to draw with: as it was typed, as the environment says, as the person settled it, by the terminal.
fn glyphs(options: &Options, settled: GlyphSet) -> Glyphs {
    let accessible = std::env::var_os("ACCESSIBLE").is_some_and(|v| !v.is_empty() && v != *"0");
    let bare = || std::env::var_os("TERM").is_some_and(|t| t == *"linux" || t == *"dumb");
    if options.plain || accessible {
        PLAIN
    } else if options.ascii {
        ASCII
    } else {
        match settled {
            GlyphSet::Plain => PLAIN,
            GlyphSet::Ascii => ASCII,
            GlyphSet::Unicode => UNICODE,
            GlyphSet::Auto if bare() => ASCII,
            GlyphSet::Auto => UNICODE,
        }
    }
}

/// Takes settings over that were read.
pub(crate) fn take(app: &mut App, loaded: Box<Loaded>, out: &mut Vec<Effect>) {
    let wrong = loaded.problems.first().map(|first| {
        let more = loaded.problems.len() - 1;
        let first = text::one_line(first);
        match more {
            0 => first,
            n => format!("{first} (and {n} more: backtrail config)"),
        }
    });
    if let Some(wrong) = &wrong
        && !loaded.first
    {
        return toast(app, Tone::Bad, format!("settings kept: {wrong}"), &[], out);
    }
    let first = loaded.first;
    app.look.glyphs = loaded.glyphs;
    app.look.theme = app.look.theme.with(loaded.theme);
    if first || app.feel.settings.mouse != loaded.settings.mouse {
        app.feel.mouse.on = loaded.settings.mouse;
    }
    app.feel.settings = loaded.settings;
    app.feel.keymap = loaded.keymap;
    app.feel.file = loaded.file;
    app.pending.clear();
    // Everything that was set out may look different now.
    app.shelf.version += 1;
    match wrong {
        Some(wrong) => toast(app, Tone::Bad, wrong, &[], out),
        None if !first => toast(app, Tone::Good, "settings read".to_owned(), &[], out),
        None => {}
    }
}

/// Looks after the settings file; what was read anew comes out of [`Watch::news`].
pub(crate) struct Watch {
    pub news: UnboundedReceiver<Loaded>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins, in the background.
    pub(crate) fn new(options: &Options) -> Self {
        let (send, news) = mpsc::unbounded_channel();
        let options = options.clone();
        let task = tokio::spawn(async move {
            if let Some(path) = file::user_file() {
                watch(path, options, send).await;
            }
        });
        Self { news, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(path: PathBuf, options: Options, send: UnboundedSender<Loaded>) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let own = path.parent().map(Path::to_owned);
    let real = path.canonicalize().ok();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let ours = event.is_ok_and(|e| {
            !e.kind.is_access()
                && e.paths.iter().any(|p| {
                    own.as_ref().is_some_and(|own| p.starts_with(own)) || real.as_ref() == Some(p)
                })
        });
        if ours {
            let _ = tell.send(());
        }
    });
    let Ok(mut watcher) = watcher else {
        return;
    };
    arm(&mut watcher, &path);
    let mut before = read_all(&path);
    while told.recv().await.is_some() {
        while let Ok(Some(())) = tokio::time::timeout(QUIET, told.recv()).await {}
        // Directories may be there now that were not.
        arm(&mut watcher, &path);
        let now = read_all(&path);
        if now == before {
            continue;
        }
        before = now;
        let options = options.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || load(&options, false)).await else {
            continue;
        };
        if send.send(loaded).is_err() {
            return;
        }
    }
}

/// Watches what is there of the directories in which settings can be: where there is none yet, the one in which it
/// would be made.
fn arm(watcher: &mut RecommendedWatcher, path: &Path) {
    let Some(dir) = path.parent() else { return };
    let mut places = vec![dir.to_owned(), dir.join("themes")];
    if !dir.is_dir() {
        places.extend(dir.parent().map(Path::to_owned));
    }
    // A link into somebody's collection of settings.
    let real = path.canonicalize().ok();
    places.extend(real.and_then(|real| Some(real.parent()?.to_owned())));
    for place in places {
        let _ = watcher.watch(&place, RecursiveMode::NonRecursive);
    }
}

/// The texts of the settings and the themes: what has to differ for anything to have changed.
fn read_all(path: &Path) -> Vec<(PathBuf, String)> {
    let mut files = vec![path.to_owned()];
    if let Some(dir) = path.parent()
        && let Ok(themes) = std::fs::read_dir(dir.join("themes"))
    {
        files.extend(themes.take(64).filter_map(|t| Some(t.ok()?.path())));
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = match file::read(&file) {
                Ok(text) => text.unwrap_or_default(),
                Err(why) => why,
            };
            (file, text)
        })
        .collect()
}
