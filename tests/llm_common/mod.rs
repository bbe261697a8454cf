//! A stand-in for a provider of language models: a real socket that speaks the real streaming formats (OpenAI's chat
//! completions as server-sent events, Anthropic's messages, Ollama's lines of JSON) and says what a test wants, well or badly.
//!
//! ```ignore
//! let llm = FakeLlm::scripted(Speaks::OpenAi, [Say::text("hello")]);
//! std::fs::write(config, llm.toml())?;        // [llm] for a config.toml
//! ...
//! assert_eq!(llm.requests().len(), 1);
//! ```
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; not every test uses all of it"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The key that [`FakeLlm::toml`] gives to the client.
pub const KEY: &str = "sk-test-0123456789abcdef";

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(30);

/// Whose format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    OpenAi,
    Anthropic,
    Ollama,
}

/// One answer.
#[derive(Debug, Clone)]
pub enum Say {
    /// The text in small pieces, with what it cost.
    Text(String),
    /// The same with a pause before each piece.
    Slow(String, Duration),
    /// The text, but the model was stopped by the limit.
    Limit(String),
    /// The model refuses.
    Refuse(String),
    /// An HTTP error with headers and a body in the provider's form.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The beginning of the text, then an error as a piece of the stream: kind, message.
    Breaks(String, &'static str, String),
    /// The beginning of the text, then the connection ends in the middle of a piece.
    Cut(String),
    /// The beginning of the text, then a proper end of the connection without the end of the answer.
    Ends(String),
    /// The beginning of the text, then nothing for ever.
    Stalls(String),
    /// Nothing for ever.
    Never,
    /// Pieces of the text again and again.
    Endless(String),
    /// Signs of life for ever, but no word.
    Pings,
    /// These bytes after the headers of a good answer, whole or not.
    Raw(Vec<u8>),
}

impl Say {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Proposals as the assist wants them.
    pub fn proposals(proposals: &[Value]) -> Self {
        Self::Text(json!({ "proposals": proposals }).to_string())
    }
}

/// A sound proposal.
pub fn proposal(text: &str, explanation: &str, cites: &[&str], confidence: &str) -> Value {
    json!({
        "explanation": explanation, "text": text, "cites": cites, "drops": [], "confidence": confidence,
    })
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// From 0.
    pub number: usize,
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    /// All that was written for the model.
    pub text: String,
}

struct Shared {
    speaks: Speaks,
    answer: Box<dyn Fn(&Seen) -> Say + Send + Sync>,
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    hung_up: AtomicUsize,
    stop: AtomicBool,
}

/// The server; it ends when it is dropped.
pub struct FakeLlm {
    shared: Arc<Shared>,
    address: String,
}

impl FakeLlm {
    /// Answers each request by `answer`.
    pub fn start(speaks: Speaks, answer: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            speaks,
            answer: Box::new(answer),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            hung_up: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let ours = Arc::clone(&ours);
                std::thread::spawn(move || {
                    ours.open.fetch_add(1, Ordering::SeqCst);
                    if serve(&ours, stream).is_err() {
                        ours.hung_up.fetch_add(1, Ordering::SeqCst);
                    }
                    ours.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { shared, address }
    }

    /// Gives these answers in order; after the last one an error.
    pub fn scripted(speaks: Speaks, script: impl IntoIterator<Item = Say>) -> Self {
        let script: Mutex<VecDeque<Say>> = Mutex::new(script.into_iter().collect());
        Self::start(speaks, move |_| {
            let next = script.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Say::Status(500, Vec::new(), "the script has ended".to_owned()))
        })
    }

    /// The base address, as `url` in the configuration.
    pub fn url(&self) -> String {
        match self.shared.speaks {
            Speaks::Ollama => format!("http://{}/", self.address),
            _ => format!("http://{}/v1/", self.address),
        }
    }

    /// The section of a configuration file that leads here.
    pub fn toml(&self) -> String {
        let provider = match self.shared.speaks {
            Speaks::OpenAi => "openai",
            Speaks::Anthropic => "anthropic",
            Speaks::Ollama => "ollama",
        };
        format!(
            "[llm]\nprovider = \"{provider}\"\nmodel = \"test-model\"\nurl = \"{}\"\nkey_command = \"echo {KEY}\"\ntimeout_seconds = 30\n",
            self.url()
        )
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until `n` requests have come.
    pub fn wait_for(&self, n: usize) {
        self.wait("requests", || self.requests().len() >= n);
    }

    /// Waits until the client has closed a connection before its answer was whole.
    pub fn wait_for_hang_up(&self) {
        self.wait("a closed connection", || {
            self.shared.hung_up.load(Ordering::SeqCst) > 0
        });
    }

    fn wait(&self, what: &str, is: impl Fn() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is() {
            assert!(Instant::now() < until, "no {what} in time");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for FakeLlm {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

/// Answers one request; an error when the client has gone before the end.
fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(seen) = read(shared, &mut reader)? else {
        return Ok(());
    };
    let say = (shared.answer)(&seen);
    let mut out = Out {
        stream,
        chunked: true,
        shared,
    };
    match say {
        Say::Text(text) => out.whole(&text, Duration::ZERO, "stop"),
        Say::Slow(text, pause) => out.whole(&text, pause, "stop"),
        Say::Limit(text) => out.whole(&text, Duration::ZERO, "length"),
        Say::Refuse(words) => {
            out.head()?;
            match shared.speaks {
                Speaks::OpenAi => {
                    out.data(&chunk(json!({"role": "assistant", "refusal": words}), None))?;
                    out.finish("stop", 1)
                }
                _ => {
                    out.begin()?;
                    out.pieces(&words, Duration::ZERO)?;
                    out.finish("refusal", 1)
                }
            }
        }
        Say::Status(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
            out.stream.write_all(text.as_bytes())
        }
        Say::Breaks(text, kind, message) => {
            out.head()?;
            out.begin()?;
            out.pieces(&text, Duration::ZERO)?;
            let error = json!({"type": "error", "error": {"type": kind, "message": message}});
            match shared.speaks {
                Speaks::Anthropic => out.event("error", &error)?,
                _ => out.data(&error)?,
            }
            out.end()
        }
        Say::Cut(text) => {
            out.head()?;
            out.begin()?;
            out.pieces(&text, Duration::ZERO)?;
            // Half of a chunk.
            out.stream.write_all(b"400\r\ndata: {\"choi")?;
            out.stream.flush()?;
            out.stream.shutdown(Shutdown::Both)
        }
        Say::Ends(text) => {
            out.head()?;
            out.begin()?;
            out.pieces(&text, Duration::ZERO)?;
            out.end()
        }
        Say::Stalls(text) => {
            out.head()?;
            out.begin()?;
            out.pieces(&text, Duration::ZERO)?;
            out.until_gone()
        }
        Say::Never => out.until_gone(),
        Say::Endless(text) => {
            out.head()?;
            out.begin()?;
            loop {
                out.pieces(&text, Duration::ZERO)?;
            }
        }
        Say::Pings => {
            out.head()?;
            loop {
                out.data(&json!({"choices": [], "type": "ping"}))?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Say::Raw(bytes) => {
            out.chunked = false;
            out.head()?;
            out.stream.write_all(&bytes)?;
            out.stream.shutdown(Shutdown::Write)
        }
    }
}

fn read(shared: &Shared, from: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers["content-length"].parse().unwrap();
    let mut body = vec![0; len];
    from.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut seen = shared.seen.lock().unwrap();
    let one = Seen {
        number: seen.len(),
        path,
        headers,
        text: texts(&body),
        body,
    };
    seen.push(one.clone());
    Ok(Some(one))
}

/// All texts in a request: the rules and the messages.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(list) => list.iter().map(texts).collect(),
        Value::Object(map) => ["system", "messages", "content", "text"]
            .iter()
            .filter_map(|key| map.get(*key))
            .map(texts)
            .collect(),
        _ => String::new(),
    }
}

fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "test-model",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}], "usage": null,
    })
}

struct Out<'a> {
    stream: TcpStream,
    chunked: bool,
    shared: &'a Shared,
}

impl Out<'_> {
    fn speaks(&self) -> Speaks {
        self.shared.speaks
    }

    fn head(&mut self) -> std::io::Result<()> {
        let kind = match self.speaks() {
            Speaks::Ollama => "application/x-ndjson",
            _ => "text/event-stream; charset=utf-8",
        };
        let chunked = if self.chunked {
            "transfer-encoding: chunked\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{chunked}cache-control: no-cache\r\nconnection: close\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes())
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        let text = if self.chunked {
            format!("{:x}\r\n{text}\r\n", text.len())
        } else {
            text.to_owned()
        };
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()
    }

    /// An unnamed event, or a line.
    fn data(&mut self, value: &Value) -> std::io::Result<()> {
        match self.speaks() {
            Speaks::OpenAi => self.write(&format!("data: {value}\n\n")),
            Speaks::Anthropic => {
                let name = value["type"].as_str().unwrap_or_default().to_owned();
                self.event(&name, value)
            }
            Speaks::Ollama => self.write(&format!("{value}\n")),
        }
    }

    fn event(&mut self, name: &str, value: &Value) -> std::io::Result<()> {
        self.write(&format!("event: {name}\ndata: {value}\n\n"))
    }

    fn begin(&mut self) -> std::io::Result<()> {
        match self.speaks() {
            Speaks::OpenAi => self.data(&chunk(json!({"role": "assistant", "content": ""}), None)),
            Speaks::Anthropic => {
                self.data(&json!({"type": "message_start", "message": {
                    "id": "msg_1", "type": "message", "role": "assistant", "model": "test-model", "content": [],
                    "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 812, "output_tokens": 1},
                }}))?;
                self.data(&json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}))?;
                self.data(&json!({"type": "ping"}))
            }
            Speaks::Ollama => Ok(()),
        }
    }

    fn pieces(&mut self, text: &str, pause: Duration) -> std::io::Result<()> {
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(7) {
            let piece: String = piece.iter().collect();
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
            let value = match self.speaks() {
                Speaks::OpenAi => chunk(json!({"content": piece}), None),
                Speaks::Anthropic => {
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
                }
                Speaks::Ollama => json!({
                    "model": "test-model", "created_at": "2026-01-01T00:00:00Z",
                    "message": {"role": "assistant", "content": piece}, "done": false,
                }),
            };
            self.data(&value)?;
        }
        Ok(())
    }

    fn whole(&mut self, text: &str, pause: Duration, reason: &str) -> std::io::Result<()> {
        self.head()?;
        self.begin()?;
        self.pieces(text, pause)?;
        self.finish(reason, 34)
    }

    /// The end of an answer, with what it cost: 812 in.
    fn finish(&mut self, reason: &str, output: u32) -> std::io::Result<()> {
        match self.speaks() {
            Speaks::OpenAi => {
                self.data(&chunk(json!({}), Some(reason)))?;
                self.data(&json!({
                    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model",
                    "choices": [], "usage": {"prompt_tokens": 812, "completion_tokens": output, "total_tokens": 812 + output},
                }))?;
                self.write("data: [DONE]\n\n")?;
            }
            Speaks::Anthropic => {
                let reason = match reason {
                    "stop" => "end_turn",
                    "length" => "max_tokens",
                    other => other,
                };
                self.data(&json!({"type": "content_block_stop", "index": 0}))?;
                self.data(&json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": output}}))?;
                self.data(&json!({"type": "message_stop"}))?;
            }
            Speaks::Ollama => self.data(&json!({
                "model": "test-model", "created_at": "2026-01-01T00:00:00Z",
                "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason,
                "total_duration": 1, "load_duration": 1, "prompt_eval_count": 812, "prompt_eval_duration": 1,
                "eval_count": output, "eval_duration": 1,
            }))?,
        }
        self.end()
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.write("")
    }

    /// Says nothing until the client goes: that is the error.
    fn until_gone(&mut self) -> std::io::Result<()> {
        self.stream
            .set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut buffer = [0; 64];
        while !self.shared.stop.load(Ordering::SeqCst) {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                Ok(_) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
