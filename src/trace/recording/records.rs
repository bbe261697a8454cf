//! Records read again: their bytes, and the texts of their events.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::super::assemble::image_line;
use super::super::event::{Body, Event, Out, Record, Span, State};
use super::super::format::Format;
use super::super::index::Spot;
use super::{Error, LONGEST, Recording, Which};

/// Reads records of a recording, keeping its files open meanwhile.
pub struct Records<'a> {
    pub(super) recording: &'a Recording,
    pub(super) files: HashMap<u16, (PathBuf, File)>,
    /// The records whose texts were asked for last.
    pub(super) texts: Vec<(Span, Texts)>,
}

/// Records whose texts are kept: a call's arguments and its output are in two.
const KEPT: usize = 2;

/// All texts of one record, by the numbers of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(HashMap<(u16, Which), String>);

impl Texts {
    /// The text of the event of that number; `None` where it has none.
    #[must_use]
    pub fn get(&self, part: u16, which: Which) -> Option<&str> {
        self.0.get(&(part, which)).map(String::as_str)
    }
}

impl Records<'_> {
    /// The bytes of a record; fewer where the file was cut since.
    pub fn read(&mut self, span: Span) -> Result<Vec<u8>, Error> {
        use std::collections::hash_map::Entry;
        let (path, file) = match self.files.entry(span.file) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => {
                let path = {
                    let inside = self.recording.read();
                    match inside.inputs.get(usize::from(span.file)) {
                        Some(input) => input.path.clone(),
                        None => return Ok(Vec::new()),
                    }
                };
                let file = super::open_file(&path)?;
                free.insert((path, file))
            }
        };
        let wrap = |source| Error::Read {
            path: path.clone(),
            source,
        };
        // Never more than there is: the file may have been cut since.
        let there = file.metadata().map_err(wrap)?.len();
        let len = u64::from(span.len).min(there.saturating_sub(span.offset));
        let mut bytes = vec![0; usize::try_from(len.min(LONGEST)).unwrap_or(0)];
        let got = read_at(file, &mut bytes, span.offset).map_err(wrap)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// A whole text, as [`Recording::text`] gives it. Several texts of one record that are asked for one after the other
    /// are read once.
    pub fn text(&mut self, at: u32, which: Which) -> Result<Option<String>, Error> {
        let Some((spot, tag)) = self.recording.spot(at, which) else {
            return Ok(None);
        };
        let known = self.texts.iter().position(|(span, _)| *span == spot.span);
        let known = match known {
            Some(known) => known,
            None => {
                let bytes = self.read(spot.span)?;
                let texts = texts_of(self.recording.format, &bytes, spot.span, &tag);
                self.texts.truncate(KEPT - 1);
                self.texts.insert(0, (spot.span, texts));
                0
            }
        };
        Ok(self
            .texts
            .get(known)
            .and_then(|(_, texts)| texts.get(spot.part, which))
            .map(str::to_owned))
    }
}

/// All texts of a record that is read again.
fn texts_of(format: &dyn Format, bytes: &[u8], span: Span, tag: &str) -> Texts {
    let mut out = Out::default();
    format.events(Record { bytes, span, tag }, &mut State::default(), &mut out);
    let mut texts = Texts::default();
    for (at, event) in out.events.iter().enumerate() {
        for which in [Which::Body, Which::Output] {
            if let Some(text) = whole_text(&out.events, at, bytes, which) {
                // Numbers are the record's own; should two be the same, the first has it.
                texts.0.entry((event.part, which)).or_insert(text);
            }
        }
    }
    texts
}

/// The text of an event of a record that is read again.
pub(super) fn text_of(
    format: &dyn Format,
    bytes: &[u8],
    spot: Spot,
    tag: &str,
    which: Which,
) -> Option<String> {
    let record = Record {
        bytes,
        span: spot.span,
        tag,
    };
    let mut out = Out::default();
    format.events(record, &mut State::default(), &mut out);
    let at = out.events.iter().position(|e| e.part == spot.part)?;
    whole_text(&out.events, at, bytes, which)
}

/// The text of the event at a place, with the images that follow it.
fn whole_text(events: &[Event<'_>], at: usize, bytes: &[u8], which: Which) -> Option<String> {
    let event = events.get(at)?;
    let mut text = event_text(event, which)?.into_owned();
    if matches!(&event.body, Body::Unknown { .. }) {
        return Some(String::from_utf8_lossy(bytes).into_owned());
    }
    for next in events.get(at + 1..).unwrap_or_default() {
        let Body::Image { media, bytes } = &next.body else {
            break;
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&image_line(media, *bytes));
    }
    (!text.is_empty()).then_some(text)
}

fn event_text<'e>(event: &'e Event<'_>, which: Which) -> Option<Cow<'e, str>> {
    use Cow::Borrowed;
    Some(match (&event.body, which) {
        (Body::Prompt(t) | Body::Thought(t) | Body::Message(t), Which::Body) => Borrowed(t),
        (Body::Call(call), Which::Body) => Borrowed(&call.input),
        (Body::Result(outcome), _) => Borrowed(&outcome.output),
        (Body::Marker { text, .. }, Which::Body) => Borrowed(text),
        (Body::Unknown { name }, Which::Body) => Borrowed(name),
        (Body::Image { media, bytes }, Which::Body) => image_line(media, *bytes).into(),
        _ => return None,
    })
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}
