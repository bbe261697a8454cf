//! What a model is given about a hunk: the three forms, what stands around it, and why each side is as it is.

use super::Error;
use crate::engine::api::{
    ApiError, ConflictDetail, ErrorCode, MergeInfo, PieceInfo, Reason, Request, Response,
};
use crate::engine::source::Source;
use crate::merge::resolve::Pick;
use crate::model::{CommitId, RepoPath};

/// Bytes of the three sides together that a model is given at most.
const MAX_SIDES: usize = 60 << 10;

/// Bytes around the hunk in which secrets are looked for; far more than is shown, since one may begin above.
const AROUND: usize = 64 << 10;

/// A hunk with all that belongs to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HunkEvidence {
    /// The conflict's path, for people.
    pub(super) path: String,
    /// The hunk's number from 1, and how many there are.
    pub(super) place: (usize, usize),
    /// What is merged, and into what.
    pub(super) names: (String, String),
    /// What it is about, in words.
    pub(super) words: String,
    pub(super) ours: String,
    pub(super) base: String,
    pub(super) theirs: String,
    /// The file above and below, as it would be written now.
    pub(super) before: String,
    pub(super) after: String,
    pub(super) key: Option<String>,
    pub(super) crlf: bool,
    /// Why ours and theirs are as they are.
    pub(super) reasons: [Vec<Reason>; 2],
    /// In which merge that is: the latest commits of ours and theirs.
    pub(super) of: Option<(CommitId, CommitId)>,
}

impl HunkEvidence {
    /// Ours, base, theirs.
    pub(super) fn sides(&self) -> [&String; 3] {
        [&self.ours, &self.base, &self.theirs]
    }

    /// Length of the three sides.
    pub(super) fn len(&self) -> usize {
        self.sides().iter().map(|s| s.len()).sum()
    }

    /// What tells this hunk from what it may become.
    pub(super) fn id(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for part in [self.path.as_str()]
            .into_iter()
            .chain(self.sides().map(String::as_str))
        {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
}

/// The answer does not fit the question.
pub(super) fn unexpected(response: &Response) -> Error {
    let kind = format!("{response:?}");
    let kind: String = kind.chars().take_while(char::is_ascii_alphabetic).collect();
    Error::Source(ApiError::new(
        ErrorCode::Failed,
        format!("the engine gave an answer that does not fit ({kind}); is it of another version?"),
    ))
}

/// The unfinished merge.
pub(super) async fn merge(source: &dyn Source) -> Result<Option<Box<MergeInfo>>, Error> {
    match source.ask(Request::Merging).await? {
        Response::Merging(info) => Ok(info),
        other => Err(unexpected(&other)),
    }
}

/// One of its conflicts.
pub(super) async fn conflict(
    source: &dyn Source,
    path: &RepoPath,
) -> Result<Box<ConflictDetail>, Error> {
    let path = path.clone();
    match source.ask(Request::MergeConflict { path }).await? {
        Response::MergeConflict(detail) => Ok(detail),
        other => Err(unexpected(&other)),
    }
}

/// Gathers what belongs to a hunk of the unfinished merge.
pub(super) async fn of_hunk(
    source: &dyn Source,
    path: &RepoPath,
    hunk: usize,
) -> Result<HunkEvidence, Error> {
    let no = |why| Error::NoHunk {
        path: path.clone(),
        hunk,
        why,
    };
    let info = merge(source)
        .await?
        .ok_or_else(|| no("no merge is unfinished"))?;
    let detail = conflict(source, path).await?;
    of_detail(&info, &detail, path, hunk)
}

fn of_detail(
    info: &MergeInfo,
    detail: &ConflictDetail,
    path: &RepoPath,
    hunk: usize,
) -> Result<HunkEvidence, Error> {
    let unfit = |why: String| Error::Unfit {
        path: path.clone(),
        hunk,
        why,
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let (mut found, mut seen) = (None, 0);
    for piece in &detail.pieces {
        let around = if found.is_none() {
            &mut before
        } else {
            &mut after
        };
        match piece {
            PieceInfo::Text { text } => around.extend_from_slice(text),
            PieceInfo::Hunk { .. } if seen == hunk => {
                found = Some(piece);
                seen += 1;
            }
            PieceInfo::Hunk {
                ours,
                base,
                theirs,
                pick,
                ..
            } => {
                seen += 1;
                match pick {
                    Some(Pick::Theirs) => around.extend_from_slice(theirs),
                    Some(Pick::Base) => around.extend_from_slice(base),
                    Some(Pick::Edited(text)) => around.extend_from_slice(text),
                    Some(Pick::Both) => {
                        around.extend_from_slice(ours);
                        around.extend_from_slice(theirs);
                    }
                    _ => around.extend_from_slice(ours),
                }
            }
        }
    }
    let Some(PieceInfo::Hunk {
        ours,
        base,
        theirs,
        key,
        crlf,
        ..
    }) = found
    else {
        return Err(Error::NoHunk {
            path: path.clone(),
            hunk,
            why: if seen == 0 {
                "it is settled as a whole only"
            } else {
                "it has not so many hunks"
            },
        });
    };
    let all = ours.len() + base.len() + theirs.len();
    if all > MAX_SIDES {
        return Err(unfit(format!(
            "its sides have {} KiB together, a model is given {} KiB at most",
            all >> 10,
            MAX_SIDES >> 10
        )));
    }
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .map_err(|_| unfit("it is not UTF-8 text, which a model could not keep".to_owned()))
    };
    let before = &before[before.len().saturating_sub(AROUND)..];
    let after = &after[..after.len().min(AROUND)];
    Ok(HunkEvidence {
        path: path.to_string(),
        place: (hunk + 1, seen),
        names: (info.branch.clone(), info.into.clone()),
        words: detail.info.words.clone(),
        ours: text(ours)?,
        base: text(base)?,
        theirs: text(theirs)?,
        before: String::from_utf8_lossy(before).into_owned(),
        after: String::from_utf8_lossy(after).into_owned(),
        key: key.clone(),
        crlf: *crlf,
        reasons: detail.reasons.clone(),
        of: detail.of,
    })
}
