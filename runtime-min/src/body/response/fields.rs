//! Which members of a response's body are what, in all the forms that are read.

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Ignored,
    /// A document: a response or an event.
    Body,
    /// A string here is generated if it is not empty.
    Content,
    Choices,
    /// What a choice adds, or an event of Anthropic's or of the responses API.
    Delta,
    /// A delta's calls of tools, at any depth.
    Calls,
    /// Counts of tokens: `usage`, `timings`, `details`, `meta_info`.
    Usage,
    UsageDetails,
    /// The response inside of an event.
    Inner,
    /// TGI's token.
    Token,
    TokenId,
    Type,
    Object,
    Error,
    /// llama.cpp's mark of the last event.
    Stop,
    /// TGI's text, which only the last event has.
    GeneratedText,
    Count(Count),
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Output,
    Prompt,
    Cached,
    /// Anthropic's prompt is without these two.
    CacheRead,
    CacheWritten,
    /// llama.cpp's prompt, without what was cached, which is the other.
    Processed,
    Reused,
}

/// A member of a document.
pub(super) fn of_body(name: &[u8]) -> Place {
    match name {
        b"choices" => Place::Choices,
        b"delta" => Place::Delta,
        // llama.cpp and Triton; SGLang.
        b"content" | b"text_output" | b"text" => Place::Content,
        b"response" | b"message" => Place::Inner,
        b"token" => Place::Token,
        b"type" => Place::Type,
        b"object" => Place::Object,
        b"error" => Place::Error,
        b"stop" => Place::Stop,
        b"generated_text" => Place::GeneratedText,
        b"usage" | b"timings" | b"details" | b"meta_info" => Place::Usage,
        b"tokens_predicted" => Place::Count(Count::Output),
        b"tokens_evaluated" => Place::Count(Count::Prompt),
        _ => Place::Ignored,
    }
}

/// A member of the response inside of an event.
pub(super) fn of_inner(name: &[u8]) -> Place {
    match name {
        b"usage" => Place::Usage,
        b"error" => Place::Error,
        _ => Place::Ignored,
    }
}

/// A member of a choice.
pub(super) fn of_choice(name: &[u8]) -> Place {
    match name {
        b"delta" => Place::Delta,
        b"text" => Place::Content,
        b"usage" => Place::Usage,
        _ => Place::Ignored,
    }
}

/// A member of a delta: OpenAI's and vLLM's, then Anthropic's.
pub(super) fn of_delta(name: &[u8]) -> Place {
    match name {
        b"content" | b"reasoning_content" | b"reasoning" | b"refusal" | b"text" | b"thinking" | b"partial_json" => {
            Place::Content
        }
        b"tool_calls" | b"function_call" => Place::Calls,
        _ => Place::Ignored,
    }
}

/// A member of a call of a tool.
pub(super) fn of_call(name: &[u8]) -> Place {
    match name {
        b"function" => Place::Calls,
        b"name" | b"arguments" => Place::Content,
        _ => Place::Ignored,
    }
}

/// A member of an object with counts.
pub(super) fn of_usage(name: &[u8]) -> Place {
    let count = match name {
        b"completion_tokens" | b"output_tokens" | b"predicted_n" | b"generated_tokens" => Count::Output,
        b"prompt_tokens" | b"input_tokens" | b"input_length" => Count::Prompt,
        b"cached_tokens" | b"prompt_cache_hit_tokens" => Count::Cached,
        b"cache_read_input_tokens" => Count::CacheRead,
        b"cache_creation_input_tokens" => Count::CacheWritten,
        b"prompt_n" => Count::Processed,
        b"cache_n" => Count::Reused,
        b"prompt_tokens_details" | b"input_tokens_details" => return Place::UsageDetails,
        _ => return Place::Ignored,
    };
    Place::Count(count)
}

/// What the type of an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventType {
    /// The last of a stream.
    End,
    /// The last, and the response failed.
    Failed,
    Error,
    Other,
}

/// The type of an event of Anthropic's or of the responses API.
pub(super) fn of_type(name: &[u8]) -> EventType {
    match name {
        b"message_stop" | b"response.completed" | b"response.incomplete" => EventType::End,
        b"response.failed" => EventType::Failed,
        b"error" => EventType::Error,
        _ => EventType::Other,
    }
}
