//! The scripted world searched: the real language over its steps, in slices of as many steps as a test wants.

use std::convert::Infallible;

use crate::engine::api::search::{EachText, Facts, OfRow, Place, Plain, Query, Verdict};
use crate::engine::api::{ApiError, ErrorCode, Found, Hit, Search, StepDetail};

use super::script::World;

struct Told<'a> {
    world: &'a World,
    detail: &'a StepDetail,
}

impl Facts for Told<'_> {
    type Error = Infallible;

    fn plain(&self) -> Plain<'_> {
        self.detail.row.plain()
    }

    fn effect(&mut self) -> Result<Option<(u64, u64)>, Infallible> {
        OfRow(&self.detail.row).effect()
    }

    fn labels(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        OfRow(&self.detail.row).labels(each)
    }

    fn session(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        each("claude");
        Ok(true)
    }

    fn branch(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        each("main");
        Ok(true)
    }

    fn paths(&mut self, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Infallible> {
        let changes = &self.detail.changes;
        let _ = changes.iter().all(|c| each(c.path.as_bytes()));
        Ok(true)
    }

    fn texts(&mut self, each: &mut EachText<'_>) -> Result<bool, Infallible> {
        let place = Place::of_kind(self.detail.row.kind);
        if let Some(body) = &self.detail.body {
            each(place, None, body.text.as_bytes());
        }
        if let Some(output) = &self.detail.output {
            each(Place::Output, None, output.text.as_bytes());
        }
        for change in &self.detail.changes {
            let lines = |e: &Option<crate::engine::api::EntryInfo>| -> Vec<Vec<u8>> {
                let blob = e.as_ref().and_then(|e| e.blob);
                let bytes = blob.and_then(|b| self.world.blobs.get(&b));
                let lines = bytes.map(|b| b.split(|c| *c == b'\n').map(<[u8]>::to_vec).collect());
                lines.unwrap_or_default()
            };
            let (before, after) = (lines(&change.before), lines(&change.after));
            for (some, others) in [(&after, &before), (&before, &after)] {
                for line in some.iter().filter(|l| !others.contains(l)) {
                    each(Place::Change, Some(change.path.as_bytes()), line);
                }
            }
        }
        Ok(true)
    }
}

impl World {
    pub(super) fn search(&self, ask: &Search) -> Result<Found, ApiError> {
        let query: Query = ask
            .query
            .parse()
            .map_err(|e| ApiError::new(ErrorCode::Refused, format!("{e}")))?;
        let mut found = Found::default();
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .filter(|r| match (&ask.only, ask.after, ask.backward) {
                (Some(only), ..) => only.contains(&r.ordinal),
                (None, Some(after), false) => r.ordinal > after,
                (None, Some(after), true) => r.ordinal < after,
                (None, None, _) => true,
            })
            .collect();
        if ask.backward {
            rows.reverse();
        }
        let slice = if ask.only.is_some() {
            usize::MAX
        } else {
            self.slice
        };
        if rows.len() > slice {
            found.next = rows.get(slice - 1).map(|r| r.ordinal);
        }
        for row in rows.into_iter().take(slice) {
            found.looked += 1;
            let Some(detail) = self.details.get(&row.ordinal) else {
                continue;
            };
            let mut detail = detail.clone();
            detail.row = row.clone();
            let mut hit = Hit::new(row.step, row.ordinal);
            let mut told = Told {
                world: self,
                detail: &detail,
            };
            let Ok(verdict) = query.test(&mut told, &mut |m| hit.note(&m));
            if verdict == Verdict::Yes {
                found.hits.push(hit);
            }
        }
        Ok(found)
    }
}
