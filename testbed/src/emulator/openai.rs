//! Requests and responses in the form of `OpenAI`'s interface, as vLLM extends it.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use super::prompt::Prompt;

/// Which of the two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    Chat,
}

/// What is used of a request's body; further fields are taken and ignored.
#[derive(Debug, Deserialize)]
struct Body {
    prompt: Option<Text>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    min_tokens: u32,
    #[serde(default)]
    ignore_eos: bool,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Several(Vec<String>),
    Ids(Vec<u32>),
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The interface that it came through, and goes back through.
    pub interface: Interface,
    /// Its prompt.
    pub prompt: Prompt,
    /// Tokens that will be generated.
    pub output_tokens: u32,
    /// Whether generation ends by itself before the limit.
    pub stops: bool,
    /// Whether the response is streamed.
    pub stream: bool,
    /// Whether the stream ends with the token counts.
    pub include_usage: bool,
}

/// Limit of tokens where a request has none: the default of `OpenAI`'s completions.
const MAX_TOKENS: u32 = 16;
/// The same of chats.
const CHAT_MAX_TOKENS: u32 = 1024;
/// Mean of the lengths at which generation ends by itself.
const STOP_MEAN_TOKENS: f64 = 200.0;

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(interface: Interface, body: &[u8], block_tokens: u32) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let prompt = match (interface, body.prompt, body.messages) {
            (Interface::Completions, Some(Text::One(text)), _) => Prompt::of_text(&text, block_tokens),
            (Interface::Completions, Some(Text::Ids(ids)), _) => Prompt::of_ids(&ids, block_tokens),
            (Interface::Completions, Some(Text::Several(texts)), _) => match texts.as_slice() {
                [text] => Prompt::of_text(text, block_tokens),
                _ => return Err(format!("prompt: {} prompts in one request, expected 1", texts.len())),
            },
            (Interface::Completions, None, _) => return Err("prompt: missing".to_owned()),
            (Interface::Chat, _, Some(messages)) if !messages.is_empty() => {
                Prompt::of_text(&chat_text(&messages), block_tokens)
            }
            (Interface::Chat, ..) => return Err("messages: missing or empty".to_owned()),
        };
        let default = if interface == Interface::Chat { CHAT_MAX_TOKENS } else { MAX_TOKENS };
        let limit = body.max_completion_tokens.or(body.max_tokens).unwrap_or(default);
        if limit == 0 {
            return Err("max_tokens: found 0, expected at least 1".to_owned());
        }
        let own = if body.ignore_eos { limit } else { stop_tokens(&prompt).max(body.min_tokens) };
        Ok(Self {
            interface,
            prompt,
            output_tokens: own.min(limit),
            stops: own < limit,
            stream: body.stream,
            include_usage: body.stream_options.is_some_and(|options| options.include_usage),
        })
    }
}

/// Roles and contents, one after the other; of content in parts, the texts.
fn chat_text(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        text.push_str(&message.role);
        text.push('\n');
        match &message.content {
            Value::String(content) => text.push_str(content),
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part.get("text")?.as_str()).for_each(|part| text.push_str(part));
            }
            _ => {}
        }
        text.push('\n');
    }
    text
}

/// Where generation would end by itself: geometrically distributed over prompts, the same for
/// the same prompt.
fn stop_tokens(prompt: &Prompt) -> u32 {
    let seed = prompt.prefix.last().copied().unwrap_or_else(|| u64::from(prompt.tokens));
    let uniform = evenkeel_numbers::random::unit(evenkeel_numbers::random::mix(seed));
    (-STOP_MEAN_TOKENS * (1.0 - uniform).ln()).ceil().max(1.0) as u32
}

/// Writes responses to a request.
#[derive(Clone, Debug)]
pub struct Writer {
    /// What is the same in all chunks, without the closing brace.
    head: String,
    interface: Interface,
    model: String,
    id: String,
    created_epoch_s: u64,
    prompt_tokens: u32,
    stops: bool,
}

impl Writer {
    /// `serial` tells requests of a host apart.
    pub fn new(request: &Request, model: &str, serial: u64, created_epoch_s: u64) -> Self {
        let (prefix, object) = match request.interface {
            Interface::Completions => ("cmpl", "text_completion"),
            Interface::Chat => ("chatcmpl", "chat.completion.chunk"),
        };
        let id = format!("{prefix}-{serial:016x}");
        let head =
            format!("{{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{created_epoch_s},\"model\":{model:?}");
        Self {
            head,
            interface: request.interface,
            model: model.to_owned(),
            id,
            created_epoch_s,
            prompt_tokens: request.prompt.tokens,
            stops: request.stops,
        }
    }

    /// A whole response.
    pub fn whole(&self, output_tokens: u32) -> Vec<u8> {
        let text = text(0, output_tokens);
        let (object, choice) = match self.interface {
            Interface::Completions => ("text_completion", json!({"index": 0, "text": text, "logprobs": null})),
            Interface::Chat => {
                ("chat.completion", json!({"index": 0, "message": {"role": "assistant", "content": text}}))
            }
        };
        let mut response = json!({
            "id": self.id,
            "object": object,
            "created": self.created_epoch_s,
            "model": self.model,
            "choices": [choice],
            "usage": self.usage(output_tokens),
        });
        response["choices"][0]["finish_reason"] = json!(self.finish_reason());
        response.to_string().into_bytes()
    }

    /// The event that a chat's stream begins with; completions have none.
    pub fn opening(&self) -> String {
        match self.interface {
            Interface::Completions => String::new(),
            Interface::Chat => {
                self.event(r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#)
            }
        }
    }

    /// The event with tokens number `from` to `to`, the first being 0.
    pub fn tokens(&self, from: u32, to: u32) -> String {
        let text = text(from, to);
        self.event(&match self.interface {
            Interface::Completions => {
                format!("{{\"index\":0,\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":null}}")
            }
            Interface::Chat => format!("{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}"),
        })
    }

    /// The events that a stream ends with.
    pub fn closing(&self, output_tokens: u32, include_usage: bool) -> String {
        let reason = self.finish_reason();
        let mut closing = self.event(&match self.interface {
            Interface::Completions => {
                format!("{{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"{reason}\"}}")
            }
            Interface::Chat => format!("{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{reason}\"}}"),
        });
        if include_usage {
            let usage = self.usage(output_tokens);
            // Writing to a string cannot fail.
            let _ = write!(closing, "data: {},\"choices\":[],\"usage\":{usage}}}\n\n", self.head);
        }
        closing + "data: [DONE]\n\n"
    }

    fn event(&self, choice: &str) -> String {
        format!("data: {},\"choices\":[{choice}]}}\n\n", self.head)
    }

    fn usage(&self, output_tokens: u32) -> Value {
        let prompt_tokens = self.prompt_tokens;
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": u64::from(prompt_tokens) + u64::from(output_tokens),
        })
    }

    fn finish_reason(&self) -> &'static str {
        if self.stops { "stop" } else { "length" }
    }
}

/// What the hosts say, one word a token.
const WORDS: [&str; 8] = [" the", " keel", " of", " a", " ship", " keeps", " it", " even"];

fn text(from: u32, to: u32) -> String {
    (from..to).map(|token| WORDS[token as usize % WORDS.len()]).collect()
}

/// An error in the form in which vLLM sends it.
pub fn error(status: u16, message: &str) -> Vec<u8> {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": status}})
        .to_string()
        .into_bytes()
}
