//! Runs questions: each on a task of its own, its news on a channel, ended by dropping what was given for it.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::check::{self, Against, Refused, harmless};
use super::evidence::{self, HunkEvidence};
use super::peek::Peek;
use super::prompt::{self, Made};
use super::{
    Answered, Ask, By, DryRun, Error, HunkAsk, News, Proposal, Proposals, Sent, Setup, answer,
    question,
};
use crate::engine::api::{Bytes, MergeInfo, PickOrigin, ProposalRecord, Request, Response};
use crate::engine::source::Source;
use crate::llm::{self, Client, Config, Prompt, Usage, estimate};
use crate::merge::resolve::Pick;
use crate::model::{CommitId, RepoPath, Time, neutral};

/// Who asks a model for a person. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct Assistant {
    pub(super) source: Arc<dyn Source>,
    client: Result<Arc<Client>, llm::Error>,
    warnings: Arc<Vec<String>>,
}

/// A question under way. Dropping it ends the question at once.
pub struct Asking {
    news: mpsc::UnboundedReceiver<News>,
    task: AbortHandle,
}

impl Asking {
    /// What comes next; `None` after the last.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Waits for the last news.
    pub async fn last(mut self) -> Option<News> {
        let mut last = None;
        while let Some(news) = self.next().await {
            last = Some(news);
        }
        last
    }

    /// Ends it. Nothing more comes.
    pub fn cancel(&mut self) {
        self.task.abort();
        self.news.close();
        while self.news.try_recv().is_ok() {}
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Assistant {
    /// For the project at `root` (its settings are read now), or for a recording. Never fails: that no model is configured
    /// is told when it is asked.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, root: Option<&Path>) -> Self {
        Self::with_model(source, root, None)
    }

    /// The same, with another model than the one configured.
    #[must_use]
    pub fn with_model(source: Arc<dyn Source>, root: Option<&Path>, model: Option<&str>) -> Self {
        let loaded = llm::config::load(root);
        let client = loaded.config.map(|mut config| {
            if let Some(model) = model {
                model.clone_into(&mut config.model);
            }
            Arc::new(Client::new(config))
        });
        Self {
            source,
            client,
            warnings: Arc::new(loaded.warnings),
        }
    }

    /// With a configuration at hand.
    #[must_use]
    pub fn with_config(source: Arc<dyn Source>, config: Config) -> Self {
        Self::with_client(source, Arc::new(Client::new(config)))
    }

    /// With a client at hand.
    #[must_use]
    pub fn with_client(source: Arc<dyn Source>, client: Arc<Client>) -> Self {
        Self {
            source,
            client: Ok(client),
            warnings: Arc::default(),
        }
    }

    /// Who would be asked; the error says how to configure somebody.
    pub fn setup(&self) -> Result<Setup, llm::Error> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let config = client.config();
        Ok(Setup {
            to: to(config),
            model: neutral(config.model.as_bytes()),
            tokens: (client.spent(), config.token_budget),
        })
    }

    /// What the person should know of the settings.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Asks. Must be called within a runtime.
    #[must_use = "dropping it ends the question"]
    pub fn ask(&self, ask: Ask) -> Asking {
        let (tell, news) = mpsc::unbounded_channel();
        let this = self.clone();
        let task = tokio::spawn(async move {
            if let Err(e) = this.run(ask, &tell).await {
                let _ = tell.send(News::Failed(e));
            }
        });
        Asking {
            news,
            task: task.abort_handle(),
        }
    }

    /// What would be sent for it. Nothing is.
    pub async fn dry_run(&self, ask: &Ask) -> Result<DryRun, Error> {
        let (made, _) = self.make(ask).await?;
        Ok(DryRun {
            sent: self.sent(&made),
            prompt: made.prompt,
        })
    }

    async fn make(&self, ask: &Ask) -> Result<(Made, Option<HunkEvidence>), Error> {
        match ask {
            Ask::Hunk(ask) => {
                let hunk = evidence::of_hunk(&*self.source, &ask.path, ask.hunk).await?;
                let sides = hunk.sides().map(String::as_bytes);
                if ask.seen.as_ref().is_some_and(|seen| *seen != sides) {
                    return Err(Error::Stale {
                        path: ask.path.clone(),
                        hunk: ask.hunk,
                    });
                }
                Ok((prompt::of_hunk(&hunk, ask)?, Some(hunk)))
            }
            Ask::Question { question, about } => {
                let found = question::gather(&*self.source, about).await?;
                let made = prompt::of_question(
                    &found.sections,
                    &found.around,
                    question::ALL,
                    question,
                    found.steps,
                    found.left_out,
                )?;
                Ok((made, None))
            }
        }
    }

    fn sent(&self, made: &Made) -> Sent {
        let (to, model) = match &self.client {
            Ok(client) => (
                to(client.config()),
                neutral(client.config().model.as_bytes()),
            ),
            Err(_) => ("nobody (no model is configured)".to_owned(), String::new()),
        };
        let bytes = made.prompt.len();
        Sent {
            to,
            model,
            hash: hash(&made.prompt),
            bytes,
            tokens: estimate(bytes),
            redacted: made
                .redactor
                .counts()
                .iter()
                .map(|(kind, n)| ((*kind).to_owned(), *n))
                .collect(),
            left_out: made.left_out.clone(),
        }
    }

    async fn run(&self, ask: Ask, tell: &mpsc::UnboundedSender<News>) -> Result<(), Error> {
        // Before anything is looked up: the pane says at once that nobody is there.
        let client = Arc::clone(self.client.as_ref().map_err(Clone::clone)?);
        let (made, hunk) = self.make(&ask).await?;
        let sent = self.sent(&made);
        let (model, prompt_hash) = (sent.model.clone(), sent.hash.clone());
        let _ = tell.send(News::Prompt(sent));
        let mut peek = hunk.is_some().then(Peek::default);
        let mut on_text = |piece: &str| {
            let text = match &mut peek {
                Some(peek) => peek.push(piece),
                None => piece.to_owned(),
            };
            if !text.is_empty() {
                let _ = tell.send(News::Text(harmless(&text)));
            }
        };
        let answer = client.stream(&made.prompt, &mut on_text).await?;
        let _ = tell.send(News::Usage(answer.usage));
        let last = match (ask, hunk) {
            (Ask::Hunk(ask), Some(hunk)) => {
                let by = By {
                    model,
                    prompt_hash,
                    usage: answer.usage,
                    hunk: hunk.id(),
                };
                let found = judge(&answer.text, &made, &hunk, &ask, &by)?;
                for proposal in &found.proposals {
                    // Shown is shown, whether the record can be kept or not.
                    let place = (&ask.path, ask.hunk, hunk.of);
                    let _ = self.record(place, proposal, false).await;
                }
                News::Proposals(found)
            }
            _ => News::Answer(answered(&answer.text, &made)),
        };
        let _ = tell.send(last);
        Ok(())
    }

    /// Picks a proposal for its hunk: `reviewed` by a person, or not.
    pub async fn accept(
        &self,
        path: &RepoPath,
        hunk: usize,
        proposal: &Proposal,
        reviewed: bool,
    ) -> Result<Box<MergeInfo>, Error> {
        let now = evidence::of_hunk(&*self.source, path, hunk).await?;
        if now.id() != proposal.by.hunk {
            return Err(Error::Stale {
                path: path.clone(),
                hunk,
            });
        }
        let request = Request::MergePick {
            path: path.clone(),
            hunk: Some(hunk),
            pick: Some(Pick::Edited(proposal.text.clone())),
            origin: PickOrigin::Llm {
                model: proposal.by.model.clone(),
                reviewed,
            },
            // That a side moves from here on does not make it another hunk's.
            of: now.of,
        };
        let info = match self.source.ask(request).await? {
            Response::Merging(Some(info)) => info,
            other => return Err(evidence::unexpected(&other)),
        };
        // It is picked under the model's name; that the record is full does not take that back.
        let _ = self.record((path, hunk, now.of), proposal, true).await;
        Ok(info)
    }

    async fn record(
        &self,
        (path, hunk, of): (&RepoPath, usize, Option<(CommitId, CommitId)>),
        proposal: &Proposal,
        accepted: bool,
    ) -> Result<(), Error> {
        let request = Request::MergeProposal {
            path: path.clone(),
            hunk,
            record: proposal.record(accepted),
            of,
        };
        self.source.ask(request).await?;
        Ok(())
    }
}

impl Proposal {
    /// As it is kept in the merge's record.
    #[must_use]
    pub fn record(&self, accepted: bool) -> ProposalRecord {
        ProposalRecord {
            model: self.by.model.clone(),
            prompt_hash: self.by.prompt_hash.clone(),
            text: Bytes(self.text.clone()),
            explanation: self.explanation.clone(),
            cites: self.cites.clone(),
            drops: self.drops.clone(),
            confidence: self.confidence.to_string(),
            tokens: (self.by.usage.input, self.by.usage.output),
            time: Time::now(),
            accepted,
        }
    }
}

fn to(config: &Config) -> String {
    format!(
        "{} at {}",
        config.provider.name(),
        neutral(config.url().as_bytes())
    )
}

/// Hash of all that is sent.
fn hash(prompt: &Prompt) -> String {
    let mut hash = blake3::Hasher::new();
    for text in [&prompt.system]
        .into_iter()
        .chain(prompt.said.iter().map(|(_, t)| t))
    {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

fn judge(
    answer: &str,
    made: &Made,
    hunk: &HunkEvidence,
    ask: &HunkAsk,
    by: &By,
) -> Result<Proposals, Error> {
    let sent = [&made.sent[0], &made.sent[1], &made.sent[2]].map(String::as_str);
    let against = Against {
        hunk,
        redactor: &made.redactor,
        sent,
        steps: &made.steps,
        by,
    };
    let (mut proposals, mut refused): (Vec<Proposal>, Vec<Refused>) = (Vec::new(), Vec::new());
    for (i, raw) in answer::proposals(answer)?.into_iter().enumerate() {
        let number = i + 1;
        match raw.and_then(|raw| check::check(raw, &against)) {
            Ok(found) if proposals.iter().any(|p| p.text == found.text) => refused.push(Refused {
                number,
                why: "it is the same as another one".to_owned(),
            }),
            Ok(found) => proposals.push(found),
            Err(why) => refused.push(Refused { number, why }),
        }
    }
    if proposals.is_empty() {
        let why: Vec<String> = refused
            .iter()
            .map(|r| format!("proposal {}: {}", r.number, r.why))
            .collect();
        return Err(Error::Unreadable(why.join("; ")));
    }
    Ok(Proposals {
        path: ask.path.clone(),
        hunk: ask.hunk,
        proposals,
        refused,
    })
}

fn answered(text: &str, made: &Made) -> Answered {
    let cited = answer::cited(text);
    let made_up: Vec<String> = cited
        .difference(&made.steps)
        .take(20)
        .map(ToString::to_string)
        .collect();
    let mut notes = Vec::new();
    if !made_up.is_empty() {
        notes.push(format!(
            "it cites {}, which it was not given",
            made_up.join(", ")
        ));
    }
    if cited.is_empty() {
        notes.push("it cites no step".to_owned());
    }
    Answered {
        text: harmless(text.trim()),
        cites: cited.intersection(&made.steps).copied().collect(),
        notes,
    }
}

/// What a question cost, for people.
impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = if self.estimated { "about " } else { "" };
        write!(f, "{about}{} tokens in, {} out", self.input, self.output)
    }
}
