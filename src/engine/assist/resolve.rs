//! Settling what is left of an unfinished merge without a person: for each hunk the first sound proposal that is at least
//! rather sure, picked under the model's name as *unreviewed*, so that the merge's commit lists it. What no proposal
//! settles is left and said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::evidence::{self, HunkEvidence};
use super::{Ask, Assistant, Confidence, DryRun, Error, HunkAsk, News, Proposal};
use crate::engine::api::{ErrorCode, MergeInfo, PieceInfo};
use crate::engine::source::Source;
use crate::llm;
use crate::model::RepoPath;

/// Longest wait that a provider may ask for.
const WAIT: Duration = Duration::from_secs(60);

/// So many failures one after the other, and the rest is not tried.
const FAILURES: usize = 3;

/// What is going on, for people.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A hunk is being asked about.
    Asking {
        /// Which conflict.
        path: RepoPath,
        /// Which hunk.
        hunk: usize,
        /// How many hunks are left, with this one.
        left: usize,
    },
    /// The provider wants us to wait.
    Waiting(Duration),
    /// A hunk is done.
    Done(Box<Settled>),
}

/// What became of a hunk.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which conflict.
    pub path: RepoPath,
    /// Which hunk; `None` for a conflict that has none.
    pub hunk: Option<usize>,
    /// What was picked, or why nothing was.
    pub what: Result<Proposal, String>,
}

/// What became of all.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Hunk by hunk.
    pub hunks: Vec<Settled>,
    /// The merge as it is now.
    pub merge: Option<Box<MergeInfo>>,
    /// What the person should know of the settings.
    pub warnings: Vec<String>,
    /// Tokens: in, out.
    pub tokens: (u64, u64),
}

/// Asks about every hunk of the unfinished merge that is not settled, and picks what is proposed. `root` is the project's
/// directory, for its settings; `model` another model than the one configured.
pub async fn resolve_all(
    source: &Arc<dyn Source>,
    root: Option<&Path>,
    model: Option<&str>,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcome, Error> {
    let assistant = Assistant::with_model(Arc::clone(source), root, model);
    assistant.resolve_all(tell).await
}

impl Assistant {
    /// See [`resolve_all`].
    pub async fn resolve_all(
        &self,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Outcome, Error> {
        // Nobody to ask: said before anything is begun.
        self.setup()?;
        let mut out = Outcome {
            hunks: Vec::new(),
            merge: evidence::merge(&*self.source).await?,
            warnings: self.warnings().to_vec(),
            tokens: (0, 0),
        };
        let open = self.open(out.merge.as_deref()).await?;
        let mut failures = 0;
        let mut stopped: Option<String> = None;
        let mut settled_by_others = false;
        for (i, (path, hunk)) in open.iter().enumerate() {
            let what = match (hunk, &stopped) {
                (None, _) => Err("it is settled as a whole only, by hand".to_owned()),
                (Some(_), Some(why)) => Err(why.clone()),
                (Some(hunk), None) => {
                    if !self.is_open(path, *hunk).await? {
                        settled_by_others = true;
                        continue;
                    }
                    tell(Progress::Asking {
                        path: path.clone(),
                        hunk: *hunk,
                        left: open.len() - i,
                    });
                    match self.one(path, *hunk, &mut out, tell).await {
                        Ok(Some(found)) => {
                            failures = 0;
                            found
                        }
                        Ok(None) => {
                            settled_by_others = true;
                            continue;
                        }
                        Err(e) => {
                            failures += 1;
                            let why = e.to_string();
                            if ends_all(&e) || failures >= FAILURES {
                                stopped = Some(format!("not asked: {why}"));
                            }
                            Err(why)
                        }
                    }
                }
            };
            let settled = Settled {
                path: path.clone(),
                hunk: *hunk,
                what,
            };
            tell(Progress::Done(Box::new(settled.clone())));
            out.hunks.push(settled);
        }
        if settled_by_others {
            out.merge = evidence::merge(&*self.source).await?;
        }
        Ok(out)
    }

    /// Whether a hunk is still there and not settled: a person may be at it while a model is asked.
    async fn is_open(&self, path: &RepoPath, hunk: usize) -> Result<bool, Error> {
        let now = match evidence::conflict(&*self.source, path).await {
            Ok(now) => now,
            // The merge was finished or given up, or the path settled as a whole.
            Err(Error::Source(e)) if matches!(e.code, ErrorCode::NotFound | ErrorCode::Refused) => {
                return Ok(false);
            }
            Err(e) => return Err(e),
        };
        let done = now.info.done;
        let mut picks = now.pieces.iter().filter_map(|p| match p {
            PieceInfo::Hunk { pick, .. } => Some(pick.is_none()),
            PieceInfo::Text { .. } => None,
        });
        Ok(!done && picks.nth(hunk).unwrap_or(false))
    }

    /// What would be sent for each hunk that is not settled. Nothing is.
    pub async fn dry_run_all(&self) -> Result<Vec<(RepoPath, usize, DryRun)>, Error> {
        let merge = evidence::merge(&*self.source).await?;
        let mut out = Vec::new();
        for (path, hunk) in self.open(merge.as_deref()).await? {
            if let Some(hunk) = hunk {
                let ask = Ask::Hunk(HunkAsk::new(path.clone(), hunk));
                let dry = self.dry_run(&ask).await?;
                out.push((path, hunk, dry));
            }
        }
        Ok(out)
    }

    /// What is not settled: hunks, and conflicts without.
    async fn open(
        &self,
        merge: Option<&MergeInfo>,
    ) -> Result<Vec<(RepoPath, Option<usize>)>, Error> {
        let mut open = Vec::new();
        for conflict in merge.iter().flat_map(|m| &m.conflicts) {
            if conflict.done {
                continue;
            }
            if conflict.hunks == 0 {
                open.push((conflict.path.clone(), None));
                continue;
            }
            let detail = evidence::conflict(&*self.source, &conflict.path).await?;
            let picks = detail.pieces.iter().filter_map(|p| match p {
                PieceInfo::Hunk { pick, .. } => Some(pick.is_none()),
                PieceInfo::Text { .. } => None,
            });
            for (n, _) in picks.enumerate().filter(|(_, left)| *left) {
                open.push((conflict.path.clone(), Some(n)));
            }
        }
        Ok(open)
    }

    /// Asks about one hunk, and picks; `None` when somebody else has settled it meanwhile.
    async fn one(
        &self,
        path: &RepoPath,
        hunk: usize,
        out: &mut Outcome,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Result<Proposal, String>>, Error> {
        let mut waited = false;
        loop {
            let ask = HunkAsk::new(path.clone(), hunk);
            let mut asking = self.ask(Ask::Hunk(ask));
            let (mut found, mut failed) = (None, None);
            while let Some(news) = asking.next().await {
                match news {
                    News::Usage(usage) => {
                        out.tokens.0 += usage.input;
                        out.tokens.1 += usage.output;
                    }
                    News::Proposals(proposals) => found = Some(proposals),
                    News::Failed(e) => failed = Some(e),
                    News::Prompt(_) | News::Text(_) | News::Answer(_) => {}
                }
            }
            if let Some(e) = failed {
                match wait(&e) {
                    Some(after) if !waited => {
                        waited = true;
                        tell(Progress::Waiting(after));
                        tokio::time::sleep(after).await;
                        continue;
                    }
                    _ => return Err(e),
                }
            }
            let Some(found) = found else {
                return Err(Error::Unreadable("there is none".to_owned()));
            };
            let sure = found
                .proposals
                .iter()
                .find(|p| p.confidence >= Confidence::Medium);
            let Some(proposal) = sure else {
                return Ok(Some(Err(format!(
                    "the model is not sure enough of any of {} proposals",
                    found.proposals.len()
                ))));
            };
            if !self.is_open(path, hunk).await? {
                return Ok(None);
            }
            let sides = evidence::of_hunk(&*self.source, path, hunk).await?;
            if let Some(why) = loses_both(&sides, &proposal.text) {
                return Ok(Some(Err(why.to_owned())));
            }
            out.merge = Some(self.accept(path, hunk, proposal, false).await?);
            return Ok(Some(Ok(proposal.clone())));
        }
    }
}

/// Whether a proposal throws away what both sides did: that may be right, but nobody would see it.
fn loses_both(hunk: &HunkEvidence, text: &[u8]) -> Option<&'static str> {
    if hunk.ours.trim().is_empty() || hunk.theirs.trim().is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    if text.trim().is_empty() {
        return Some(
            "the model proposes to remove what both sides have: a person must decide that",
        );
    }
    (text.trim_end() == hunk.base.trim_end()).then_some(
        "the model proposes what stood there before either side changed it: a person must decide that",
    )
}

/// How long to wait before the one other try.
fn wait(e: &Error) -> Option<Duration> {
    match e {
        Error::Llm(
            llm::Error::RateLimited { retry_after, .. }
            | llm::Error::Overloaded { retry_after, .. },
        ) => Some(retry_after.unwrap_or(Duration::from_secs(5))).filter(|w| *w <= WAIT),
        _ => None,
    }
}

/// Whether no other question would fare better.
fn ends_all(e: &Error) -> bool {
    matches!(
        e,
        Error::Unguarded
            | Error::Llm(
                llm::Error::NotConfigured { .. }
                    | llm::Error::Config { .. }
                    | llm::Error::NoKey { .. }
                    | llm::Error::KeyRefused { .. }
                    | llm::Error::NoModel { .. }
                    | llm::Error::Budget { .. }
                    | llm::Error::RateLimited { .. }
                    | llm::Error::Unreachable { .. }
            )
    )
}
