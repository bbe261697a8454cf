//! Asking one model: the connection, the time-outs, the caps. The wire formats are the client crate's.
//!
//! Everything that comes is bounded: silence by time, length by what was asked for (a line that never ends makes no news,
//! so it is silence). Redirects are not followed (a question
//! and its key go where the configuration says, nowhere else) and nothing is unpacked. Dropping the future of
//! [`Client::stream`] closes the connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use genai::adapter::AdapterKind;
use genai::chat::{
    ChatFrameSink, ChatMessage, ChatOptions, ChatRequest, ChatStreamEvent, FrameCtx, RawFrameRef,
    ReasoningEffort, StopReason, StreamEnd,
};
use genai::resolver::{AuthData, Endpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use tokio::sync::OnceCell;

use super::budget::{Budget, estimate};
use super::faults::{self, Where};
use super::key::{self, Key};
use super::{Answer, Config, Error, Prompt, Provider, Speaker, Usage, config};

/// Longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// So many times the longest silence is the longest answer.
const WHOLE: u32 = 10;

/// One model.
pub struct Client {
    config: Config,
    budget: Arc<Budget>,
    key: OnceCell<Option<Key>>,
    inner: OnceLock<genai::Client>,
}

impl Client {
    /// A client of the budget of this process. Nothing is looked up or connected yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_budget(config, Budget::of_process())
    }

    /// A client of another budget.
    #[must_use]
    pub fn with_budget(config: Config, budget: Arc<Budget>) -> Self {
        Self {
            config,
            budget,
            key: OnceCell::new(),
            inner: OnceLock::new(),
        }
    }

    /// How it asks.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tokens that its process has used.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.budget.spent()
    }

    /// Sends `prompt` and gives the pieces of the answer to `on_text` as they come. Cancelled by dropping the future.
    pub async fn stream(
        &self,
        prompt: &Prompt,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        let input = estimate(prompt.len());
        let (mut hold, output) = self.budget.take(
            self.config.token_budget,
            input,
            u64::from(self.config.max_tokens),
        )?;
        let key = self
            .key
            .get_or_try_init(|| key::find(&self.config))
            .await?
            .clone();
        let at = Where {
            config: &self.config,
            url: self.config.url(),
            key: key.as_ref().map(|k| k.0.as_str()),
        };
        let sink = Arc::new(Sink::default());
        let options = self.options(key.as_ref(), output, Arc::clone(&sink));
        let asked = self.connection()?.exec_chat_stream(
            self.target(key.clone()),
            request(prompt),
            Some(&options),
        );
        let mut stream = asked.await.map_err(|e| faults::of(&at, 0, e))?.stream;

        let cap = (self.config.max_tokens as usize)
            .saturating_mul(16)
            .clamp(64 << 10, 4 << 20);
        let until = Instant::now() + self.config.timeout * WHOLE;
        let (mut text, mut thought) = (String::new(), 0);
        let end = loop {
            let left = until.saturating_duration_since(Instant::now());
            let silent = |after, what| Error::Silent {
                url: at.url.clone(),
                what,
                after,
            };
            let whole = self.config.timeout * WHOLE;
            // A time-out of nothing would still take what is ready, for ever.
            if left.is_zero() {
                return Err(silent(whole, "the answer did not end"));
            }
            let event =
                match tokio::time::timeout(self.config.timeout.min(left), stream.next()).await {
                    Ok(event) => event,
                    Err(_) if left <= self.config.timeout => {
                        return Err(silent(whole, "the answer did not end"));
                    }
                    Err(_) if sink.seen() == 0 => {
                        return Err(silent(self.config.timeout, "no answer came"));
                    }
                    Err(_) => return Err(silent(self.config.timeout, "nothing more came")),
                };
            match event {
                Some(Ok(ChatStreamEvent::Chunk(chunk))) => {
                    text.push_str(&chunk.content);
                    on_text(&chunk.content);
                }
                Some(Ok(ChatStreamEvent::ReasoningChunk(chunk))) => thought += chunk.content.len(),
                Some(Ok(ChatStreamEvent::End(end))) => break end,
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(faults::of(&at, text.len(), e)),
                None if sink.seen() == 0 => {
                    return Err(Error::Malformed {
                        why: format!(
                            "{} does not answer as {} does",
                            at.url,
                            self.config.provider.name()
                        ),
                    });
                }
                None => {
                    return Err(Error::Cut {
                        received: text.len(),
                        why: "the connection ended before the answer did".to_owned(),
                    });
                }
            }
            hold.used(input + estimate(text.len() + thought));
            if text.len() + thought > cap || sink.seen() > cap * 64 {
                return Err(Error::TooLong {
                    why: format!("more than {} KiB came", cap >> 10),
                });
            }
        };
        let usage = used(&end, input, estimate(text.len() + thought));
        hold.used(usage.input + usage.output);
        self.whole(&end, text, usage, &sink)
    }

    /// Whether the end that came is a good one.
    fn whole(
        &self,
        end: &StreamEnd,
        text: String,
        usage: Usage,
        sink: &Sink,
    ) -> Result<Answer, Error> {
        let refusal = sink.refusal();
        if !refusal.is_empty() {
            return Err(Error::Refused {
                said: faults::words(&refusal, None),
            });
        }
        match &end.captured_stop_reason {
            Some(StopReason::ContentFilter(_)) => Err(Error::Refused {
                said: if text.trim().is_empty() {
                    format!("{} gives no reason", self.config.provider.name())
                } else {
                    faults::words(&text, None)
                },
            }),
            Some(StopReason::MaxTokens(_)) => Err(Error::TooLong {
                why: format!("it was not finished within {} tokens", usage.output),
            }),
            // The client makes an end up where this provider's stream just stopped; a real one says what it cost.
            None if self.config.provider == Provider::Ollama && !tells_usage(end) => {
                Err(Error::Cut {
                    received: text.len(),
                    why: "the connection ended before the answer did".to_owned(),
                })
            }
            _ if text.trim().is_empty() => Err(Error::Empty),
            _ => Ok(Answer { text, usage }),
        }
    }

    fn connection(&self) -> Result<&genai::Client, Error> {
        if let Some(made) = self.inner.get() {
            return Ok(made);
        }
        let failed = |why: String| Error::Unreachable {
            url: self.config.url(),
            why,
        };
        // Another part of the program may have chosen a provider already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut web = reqwest::Client::builder()
            .connect_timeout(CONNECT.min(self.config.timeout))
            .redirect(reqwest::redirect::Policy::none())
            .gzip(false)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("backtrail/", env!("CARGO_PKG_VERSION")));
        // A proxy has no way to this machine's own services.
        if reqwest::Url::parse(&self.config.url()).is_ok_and(|url| config::is_here(&url)) {
            web = web.no_proxy();
        }
        let web = web
            .build()
            .map_err(|e| failed(format!("no encrypted connections can be made: {e}")))?;
        let made = genai::Client::builder()
            .with_reqwest(web)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        Ok(self.inner.get_or_init(|| made))
    }

    fn target(&self, key: Option<Key>) -> ServiceTarget {
        let kind = match self.config.provider {
            Provider::OpenAi => AdapterKind::OpenAI,
            Provider::Anthropic => AdapterKind::Anthropic,
            Provider::Ollama => AdapterKind::Ollama,
        };
        ServiceTarget {
            endpoint: Endpoint::from_owned(self.config.url()),
            // The header is always sent; a server that wants no key does not look.
            auth: AuthData::from_single(key.map_or_else(|| "none".to_owned(), |k| k.0)),
            model: ModelIden::new(
                kind,
                self.named().unwrap_or_else(|| self.config.model.clone()),
            ),
        }
    }

    /// The name that the client crate is given in place of one in which it would read more than a name: `-high` at its end, a
    /// namespace before `::`. The right one is then put into what is sent.
    fn named(&self) -> Option<String> {
        let name = &self.config.model;
        let read = ReasoningEffort::from_model_name(name).0.is_some() || name.contains("::");
        (read && self.config.provider != Provider::Ollama)
            .then(|| format!("{}-", name.replace("::", "-")))
    }

    fn options(&self, key: Option<&Key>, output: u64, sink: Arc<Sink>) -> ChatOptions {
        let mut options = ChatOptions::default()
            .with_max_tokens(u32::try_from(output).unwrap_or(u32::MAX))
            .with_capture_usage(true)
            .with_raw_frame_sink_arc(sink);
        if self.named().is_some() {
            options = options.with_extra_body(serde_json::json!({"model": self.config.model}));
        }
        if let (Provider::Ollama, Some(key)) = (self.config.provider, key) {
            options = options.with_extra_headers(Headers::from((
                "Authorization".to_owned(),
                format!("Bearer {}", key.0),
            )));
        }
        options
    }
}

fn request(prompt: &Prompt) -> ChatRequest {
    let said = prompt.said.iter().map(|(who, text)| match who {
        Speaker::User => ChatMessage::user(text.clone()),
        Speaker::Model => ChatMessage::assistant(text.clone()),
    });
    ChatRequest::new(said.collect()).with_system(prompt.system.clone())
}

/// Whether the end says what the answer cost, be it nothing.
fn tells_usage(end: &StreamEnd) -> bool {
    end.captured_usage
        .as_ref()
        .is_some_and(|u| u.prompt_tokens.is_some() || u.completion_tokens.is_some())
}

/// What it cost. A provider that counts nothing (some count no prompt that they have seen before) is not believed: else the
/// budget would never end.
fn used(end: &StreamEnd, input: u64, output: u64) -> Usage {
    let told = |n: Option<i32>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    let said = end.captured_usage.as_ref();
    let (told_in, told_out) = (
        said.and_then(|u| told(u.prompt_tokens)),
        said.and_then(|u| told(u.completion_tokens)),
    );
    Usage {
        input: told_in.unwrap_or(input),
        output: told_out.unwrap_or(output),
        estimated: told_in.is_none() && told_out.is_none(),
    }
}

/// Looks at what comes as it is: how much it is, and refusals, which the client crate does not tell.
#[derive(Default)]
struct Sink {
    seen: AtomicUsize,
    refusal: Mutex<String>,
}

impl Sink {
    fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    fn refusal(&self) -> String {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ChatFrameSink for Sink {
    fn on_frame(&self, _: &FrameCtx, frame: RawFrameRef<'_>) {
        self.seen
            .fetch_add(frame.data.len().max(1), Ordering::Relaxed);
        if !frame.data.contains("\"refusal\"") {
            return;
        }
        let said = frame.json().and_then(|json| {
            let said = json.pointer("/choices/0/delta/refusal")?.as_str()?;
            Some(said.to_owned())
        });
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = said
            && refusal.len() < 4096
        {
            refusal.push_str(&said);
        }
    }
}
