//! The recordings of this machine: which there are, which have been looked into, and which of them the filter leaves.
//!
//! Pages come newest first until all are listed. A recording is looked into when it is on the screen (or, while a filter
//! is on, when its turn comes), a few at a time: there may be ten thousand.

use std::collections::{HashMap, HashSet};

use crate::engine::api::{ApiError, RecordingInfo, Request};
use crate::model::Time;

use super::find::Query;
use super::msg::{Effect, Tag};
use super::screen;
use super::text;

/// Recordings in a page.
pub(crate) const PAGE: usize = 200;

/// Recordings that are looked into at a time.
const AT_ONCE: usize = 3;

/// Recordings that a filter has looked into.
const MOST_LOOKED: usize = 2_000;

/// The list.
#[derive(Debug)]
pub(crate) struct ListView {
    /// When it was read: ages are counted from here.
    pub now: Time,
    /// How many there are, once known.
    pub total: Option<usize>,
    pub items: Vec<RecordingInfo>,
    /// Places of the items that the filter leaves.
    pub shown: Vec<usize>,
    /// What is filtered for; empty for nothing.
    pub filter: String,
    /// A place among those shown.
    pub cursor: usize,
    /// The first one on the screen.
    pub top: usize,
    /// Rows that the list has on the screen.
    pub height: usize,
    /// Why there is no list.
    pub problem: Option<String>,
    /// A page was asked for.
    paging: bool,
    /// Being looked into.
    asked: HashSet<String>,
    /// Could not be looked into.
    pub failed: HashSet<String>,
    known: HashSet<String>,
}

impl ListView {
    /// An empty one.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            now,
            total: None,
            items: Vec::new(),
            shown: Vec::new(),
            filter: String::new(),
            cursor: 0,
            top: 0,
            height: 20,
            problem: None,
            paging: false,
            asked: HashSet::new(),
            failed: HashSet::new(),
            known: HashSet::new(),
        }
    }

    /// The recording under the cursor.
    pub(crate) fn selected(&self) -> Option<&RecordingInfo> {
        self.items.get(*self.shown.get(self.cursor)?)
    }

    /// Whether something is still to be listed.
    pub(crate) fn loading(&self) -> bool {
        self.problem.is_none() && self.total.is_none_or(|t| self.items.len() < t)
    }

    /// Leaves only what fits; the selected one stays selected where it fits.
    pub(crate) fn filter(&mut self, filter: &str) {
        let selected = self.selected().map(|i| i.path.clone());
        filter.clone_into(&mut self.filter);
        self.sift(selected.as_deref());
    }

    fn sift(&mut self, selected: Option<&str>) {
        let words: Vec<Query> = self.filter.split_whitespace().map(Query::new).collect();
        self.shown = (0..self.items.len())
            .filter(|i| self.items.get(*i).is_some_and(|item| fits(item, &words)))
            .collect();
        let place = selected.and_then(|path| {
            self.shown
                .iter()
                .position(|i| self.items.get(*i).is_some_and(|item| item.path == path))
        });
        let last = self.shown.len().saturating_sub(1);
        self.cursor = place.unwrap_or_else(|| self.cursor.min(last));
    }

    /// A page came.
    pub(crate) fn page(
        &mut self,
        skip: usize,
        result: Result<(usize, Vec<RecordingInfo>), ApiError>,
    ) {
        self.paging = false;
        let selected = self.selected().map(|i| i.path.clone());
        match result {
            Ok((total, items)) => {
                self.problem = None;
                if skip == 0 {
                    self.begin_anew(items, total);
                    return self.sift(selected.as_deref());
                }
                // A page without anything new ends the list: it has become shorter meanwhile.
                let before = self.items.len();
                for item in items {
                    if self.known.insert(item.path.clone()) {
                        self.items.push(item);
                    }
                }
                let done = self.items.len() == before && skip >= before;
                self.total = Some(if done { before } else { total });
            }
            Err(error) => {
                self.problem = Some(text::one_line(&error.message));
                self.total = Some(self.items.len());
            }
        }
        self.sift(selected.as_deref());
    }

    /// The newest ones: what is known of those that have not changed is kept, and the others are behind them.
    fn begin_anew(&mut self, items: Vec<RecordingInfo>, total: usize) {
        let mut before: HashMap<String, RecordingInfo> = std::mem::take(&mut self.items)
            .into_iter()
            .map(|item| (item.path.clone(), item))
            .collect();
        for item in items {
            let same = before
                .remove(&item.path)
                .filter(|b| (b.modified, b.size) == (item.modified, item.size));
            if same.is_none() {
                self.failed.remove(&item.path);
            }
            self.items.push(same.unwrap_or(item));
        }
        let mut rest: Vec<RecordingInfo> = before.into_values().collect();
        rest.sort_by_key(|item| std::cmp::Reverse(item.modified));
        self.items.extend(rest);
        self.known = self.items.iter().map(|i| i.path.clone()).collect();
        self.total = Some(total.max(self.items.len()));
    }

    /// After a while: what is new is at the beginning of the list.
    pub(crate) fn refresh(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.now = now;
        if !self.paging {
            self.paging = true;
            ask(0, out);
        }
    }

    /// One was looked into.
    pub(crate) fn looked_into(&mut self, path: &str, result: Result<RecordingInfo, ApiError>) {
        self.asked.remove(path);
        let Some(at) = self.items.iter().position(|i| i.path == path) else {
            return;
        };
        match result {
            Ok(info) if info.summary.is_some() => {
                if let Some(item) = self.items.get_mut(at) {
                    *item = RecordingInfo {
                        path: path.to_owned(),
                        ..info
                    };
                }
            }
            Ok(_) | Err(_) => {
                self.failed.insert(path.to_owned());
            }
        }
        if !self.filter.is_empty() {
            let selected = self.selected().map(|i| i.path.clone());
            self.sift(selected.as_deref());
        }
    }

    /// Asks for what the screen needs and does not have.
    pub(crate) fn sync(&mut self, out: &mut Vec<Effect>) {
        self.top = screen::scrolled(self.top, self.cursor, self.shown.len(), self.height);
        if self.loading() && !self.paging {
            self.paging = true;
            ask(self.items.len(), out);
        }
        if self.asked.len() >= AT_ONCE {
            return;
        }
        let on_screen = self.shown.iter().copied().skip(self.top).take(self.height);
        // A filter finds by what is in them: so all of them, one after the other.
        let rest = if self.filter.is_empty() {
            0
        } else {
            self.items.len().min(MOST_LOOKED)
        };
        let wanted: Vec<String> = on_screen
            .chain(0..rest)
            .filter_map(|i| self.items.get(i))
            .filter(|i| i.summary.is_none())
            .filter(|i| !self.asked.contains(&i.path) && !self.failed.contains(&i.path))
            .map(|i| i.path.clone())
            .take(AT_ONCE)
            .collect();
        for path in wanted {
            if self.asked.len() < AT_ONCE && self.asked.insert(path.clone()) {
                let request = Request::Recording { path: path.clone() };
                out.push(Effect::Ask(None, Tag::Recording(path), request));
            }
        }
    }
}

fn ask(skip: usize, out: &mut Vec<Effect>) {
    let request = Request::Recordings { skip, limit: PAGE };
    out.push(Effect::Ask(None, Tag::Recordings(skip), request));
}

/// Whether every word is found somewhere in what is known of a recording.
fn fits(item: &RecordingInfo, words: &[Query]) -> bool {
    words.iter().all(|word| {
        let told = item.summary.as_ref().is_some_and(|s| {
            [
                &s.project,
                &s.agent,
                &s.model,
                &s.branch,
                &s.last_prompt,
                &s.title,
            ]
            .into_iter()
            .any(|text| word.is_in(text))
        });
        told || word.is_in(&item.path) || word.is_in(&item.format)
    })
}
