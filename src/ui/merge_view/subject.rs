//! One conflict as the screen shows it: a file's or one of the agent's state, in the same shape.
//!
//! Picks made here are shown at once and told to the engine; what the engine then says is what counts.

use crate::engine::api::{
    ConflictDetail, EntryInfo, PickOrigin, PieceInfo, ProposalRecord, Reason,
};
use crate::merge::conflict::{ConflictKind, Hunk};
use crate::merge::resolve::{Pick, picked_text};
use crate::merge::state::StateConflict;
use crate::model::{CommitId, RepoPath};

/// What is in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum About {
    /// The file (or other entry) of that path.
    File(RepoPath),
    /// The conflict of that number in the agent's state.
    State(usize),
}

/// A part in conflict, and how it is settled.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The three forms.
    pub sides: Hunk,
    /// What stands there; `None`: nobody has said.
    pub pick: Option<Pick>,
    /// Who said so.
    pub origin: PickOrigin,
    /// The sides merged within the line: only ever a shown proposal.
    pub within: Option<Vec<u8>>,
}

impl Part {
    /// The text that stands there; ours where nobody has said.
    pub(crate) fn text(&self) -> Vec<u8> {
        self.pick
            .as_ref()
            .and_then(|p| picked_text(&self.sides, p))
            .unwrap_or_else(|| self.sides.ours.clone())
    }
}

/// A piece of a file.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// Settled by itself.
    Text(Vec<u8>),
    /// In conflict.
    Part(Box<Part>),
}

/// The whole of it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub about: About,
    /// In which merge that is, by the latest commits of ours and theirs: numbers of parts are of that one.
    pub of: Option<(CommitId, CommitId)>,
    /// What kind of disagreement it is, in words.
    pub words: String,
    /// For a file's conflict.
    pub kind: Option<ConflictKind>,
    /// Empty where there is nothing to be taken apart.
    pub pieces: Vec<Piece>,
    /// What ours, the base and theirs have at the path.
    pub entries: [Option<EntryInfo>; 3],
    /// The path on either side, where it is another one.
    pub paths: [Option<RepoPath>; 2],
    /// How it is settled as a whole.
    pub whole: Option<(Pick, PickOrigin)>,
    /// Why either side is as it is, newest first.
    pub reasons: [Vec<Reason>; 2],
    /// Proposals that were shown before, with the part that each is for.
    pub proposals: Vec<(usize, ProposalRecord)>,
    /// What else is to be known of it.
    pub notes: Vec<String>,
    /// Both may stand one after the other.
    pub both: bool,
    /// Changes with every pick.
    pub version: u64,
}

impl Subject {
    /// A file's conflict.
    pub(crate) fn file(detail: ConflictDetail) -> Self {
        let pieces = detail
            .pieces
            .into_iter()
            .map(|piece| match piece {
                PieceInfo::Text { text } => Piece::Text(text.0),
                PieceInfo::Hunk {
                    ours,
                    base,
                    theirs,
                    key,
                    crlf,
                    pick,
                    origin,
                    propose,
                } => Piece::Part(Box::new(Part {
                    sides: Hunk {
                        ours: ours.0,
                        base: base.0,
                        theirs: theirs.0,
                        key,
                        crlf,
                    },
                    pick,
                    origin,
                    within: propose.map(|p| p.0),
                })),
            })
            .collect();
        Self {
            of: detail.of,
            about: About::File(detail.info.path),
            words: detail.info.words,
            kind: Some(detail.info.kind),
            pieces,
            entries: [detail.ours, detail.base, detail.theirs],
            paths: detail.info.paths,
            whole: detail.whole,
            reasons: detail.reasons,
            proposals: detail.proposals,
            notes: detail.info.why.into_iter().collect(),
            both: true,
            version: 0,
        }
    }

    /// A conflict of the agent's state: one value with three forms.
    pub(crate) fn state(
        number: usize,
        conflict: &StateConflict,
        pick: Option<&Pick>,
        of: (CommitId, CommitId),
    ) -> Self {
        let json = |place: &Option<crate::merge::state::Place>| {
            place.as_ref().map(|p| p.json.clone().into_bytes())
        };
        let mut notes = Vec::new();
        for (side, method) in ["ours", "theirs"].iter().zip(&conflict.methods) {
            if let Some(method) = method {
                notes.push(format!("{side} was found by {}", method.words()));
            }
        }
        let part = Part {
            sides: Hunk {
                ours: json(&conflict.ours).unwrap_or_default(),
                base: json(&conflict.base).unwrap_or_default(),
                theirs: json(&conflict.theirs).unwrap_or_default(),
                // Of a list both may stand; at a key there is one value.
                key: (!conflict.both).then(|| pointer(conflict)),
                crlf: false,
            },
            pick: pick.cloned(),
            origin: PickOrigin::Person,
            within: None,
        };
        Self {
            about: About::State(number),
            of: Some(of),
            words: conflict.kind.words().to_owned(),
            kind: None,
            pieces: vec![Piece::Part(Box::new(part))],
            entries: [None, None, None],
            paths: [None, None],
            whole: None,
            reasons: [Vec::new(), Vec::new()],
            proposals: Vec::new(),
            notes,
            both: conflict.both,
            version: 0,
        }
    }

    /// The parts that are in conflict, first to last.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.pieces.iter().filter_map(|p| match p {
            Piece::Part(part) => Some(part.as_ref()),
            Piece::Text(_) => None,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.parts().count()
    }

    /// One of them.
    pub(crate) fn part(&self, n: usize) -> Option<&Part> {
        self.parts().nth(n)
    }

    fn part_mut(&mut self, n: usize) -> Option<&mut Part> {
        let mut parts = self.pieces.iter_mut().filter_map(|p| match p {
            Piece::Part(part) => Some(part.as_mut()),
            Piece::Text(_) => None,
        });
        parts.nth(n)
    }

    /// Whether it is settled as a whole only.
    pub(crate) fn is_whole(&self) -> bool {
        self.len() == 0
    }

    /// What stands at a part, or in place of all of it.
    pub(crate) fn picked(&self, n: usize) -> Option<(&Pick, &PickOrigin)> {
        match self.part(n) {
            Some(part) => part.pick.as_ref().map(|p| (p, &part.origin)),
            None => self.whole.as_ref().map(|(p, o)| (p, o)),
        }
    }

    /// Why a pick cannot be.
    pub(crate) fn refuses(&self, n: usize, pick: &Pick) -> Option<&'static str> {
        match (self.part(n), pick) {
            (Some(_), Pick::Both) if matches!(self.about, About::State(_)) && !self.both => {
                Some("it is one value: both cannot stand there")
            }
            (Some(part), _) if matches!(self.about, About::File(_)) => {
                match picked_text(&part.sides, pick) {
                    Some(_) => None,
                    None if *pick == Pick::Both => Some("it is one value: both cannot stand there"),
                    None => Some("the base has no value there"),
                }
            }
            (None, Pick::Both) if self.kind == Some(ConflictKind::Mode) => {
                Some("it has one set of permissions: pick one")
            }
            _ => None,
        }
    }

    /// Puts a pick there, or takes it away.
    pub(crate) fn settle(&mut self, n: usize, pick: Option<Pick>, origin: PickOrigin) {
        self.version += 1;
        match self.part_mut(n) {
            Some(part) => {
                part.pick = pick;
                part.origin = origin;
            }
            None => self.whole = pick.map(|p| (p, origin)),
        }
    }

    /// The name by which the words of the result are recognised.
    pub(crate) fn name(&self) -> Vec<u8> {
        match &self.about {
            About::File(path) => path.name().to_vec(),
            About::State(_) => b"state.json".to_vec(),
        }
    }
}

/// Where a conflict of the state is: in the first side that has it.
pub(crate) fn pointer(conflict: &StateConflict) -> String {
    [&conflict.ours, &conflict.theirs, &conflict.base]
        .into_iter()
        .flatten()
        .next()
        .map(|p| p.pointer.clone())
        .unwrap_or_default()
}
