//! Which members of a request's body are what, in all the forms that are read.

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Ignored,
    /// The body itself.
    Body,
    /// Strings are texts, numbers token ids, objects messages or documents.
    Prompt,
    /// Strings are parts of a message's text, objects its parts.
    Content,
    /// A message, a document, an item of a conversation, or a part of one of these.
    Part,
    /// A part that is known to be, and was counted as, an image or audio.
    CountedPart,
    /// A message's role.
    Role,
    /// A part's type.
    PartType,
    /// All of it is text as it stands.
    Verbatim,
    /// Strings are data or addresses that are no text.
    Media,
    /// The same, and each string is an image, or audio.
    Images,
    Audios,
    /// Options in an object of their own.
    Options,
    /// Anthropic's object for the user.
    Metadata,
    MaxTokens,
    Choices,
    Stream,
    Model,
    CacheKey,
    User,
    MetadataUser,
}

/// What a part is, beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Image,
    Audio,
}

/// A member of the body.
pub(super) fn of_body(name: &[u8]) -> Place {
    match name {
        // OpenAI; Anthropic; llama.cpp; TGI and TEI.
        b"messages" | b"prompt" | b"input" | b"instructions" | b"system" | b"inputs" | b"suffix" | b"input_prefix"
        | b"input_suffix" | b"input_extra" | b"content"
        // Rerank and score, of Cohere, TEI, vLLM and SGLang.
        | b"query" | b"queries" | b"documents" | b"texts" | b"text_1" | b"text_2" | b"data_1" | b"data_2" | b"items"
        // SGLang and Triton; token ids, of SGLang and vLLM.
        | b"text" | b"text_input" | b"input_ids" | b"token_ids" | b"prompt_token_ids" | b"tokens" => Place::Prompt,
        b"tools" | b"functions" => Place::Verbatim,
        b"image_data" | b"images" => Place::Images,
        b"audio_data" => Place::Audios,
        b"model" => Place::Model,
        b"prompt_cache_key" => Place::CacheKey,
        b"user" => Place::User,
        b"metadata" => Place::Metadata,
        b"stream" => Place::Stream,
        b"parameters" | b"sampling_params" => Place::Options,
        name => of_options(name),
    }
}

/// A member of an object of options, or of the body.
pub(super) fn of_options(name: &[u8]) -> Place {
    match name {
        b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" | b"n_predict" | b"max_new_tokens" => {
            Place::MaxTokens
        }
        b"n" => Place::Choices,
        _ => Place::Ignored,
    }
}

/// A member of a message, a document, or a part, and what the part is known to be from it.
pub(super) fn of_part(name: &[u8]) -> (Place, Option<Medium>) {
    match name {
        b"role" => (Place::Role, None),
        b"type" => (Place::PartType, None),
        b"content" | b"text" | b"output" | b"refusal" | b"name" | b"prompt_string" => (Place::Content, None),
        // Calls of tools: OpenAI's chat and responses, Anthropic's.
        b"tool_calls" | b"function_call" | b"arguments" | b"input" => (Place::Verbatim, None),
        b"image_url" | b"image" | b"image_embeds" | b"image_pil" | b"video_url" | b"video" => {
            (Place::Media, Some(Medium::Image))
        }
        b"input_audio" | b"audio_url" | b"audio" | b"audio_embeds" => (Place::Media, Some(Medium::Audio)),
        b"source" | b"file" | b"file_data" | b"file_url" => (Place::Media, None),
        b"multimodal_data" => (Place::Images, None),
        _ => (Place::Ignored, None),
    }
}

/// What a part of this type is.
pub(super) fn medium_of_type(kind: &[u8]) -> Option<Medium> {
    match kind {
        b"image" | b"image_url" | b"input_image" | b"image_embeds" | b"image_pil" | b"video" | b"video_url" => {
            Some(Medium::Image)
        }
        b"audio" | b"audio_url" | b"input_audio" | b"audio_embeds" => Some(Medium::Audio),
        _ => None,
    }
}
