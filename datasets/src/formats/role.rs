//! The meanings that fields have in a trace, and the names they go by in each format.

use crate::{ColumnMap, Format, TimeUnit};

/// The meaning of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Arrival,
    Done,
    Took,
    Service,
    FirstByte,
    Upstream,
    Prompt,
    MorePrompt,
    Output,
    Session,
    Chat,
    Parent,
    Delay,
    Blocks,
    Status,
    Method,
    Path,
    Request,
    Protocol,
    Agent,
    Error,
    Cancelled,
    Phase,
}

impl Role {
    pub(crate) const ALL: [Self; 23] = [
        Self::Arrival,
        Self::Done,
        Self::Took,
        Self::Service,
        Self::FirstByte,
        Self::Upstream,
        Self::Prompt,
        Self::MorePrompt,
        Self::Output,
        Self::Session,
        Self::Chat,
        Self::Parent,
        Self::Delay,
        Self::Blocks,
        Self::Status,
        Self::Method,
        Self::Path,
        Self::Request,
        Self::Protocol,
        Self::Agent,
        Self::Error,
        Self::Cancelled,
        Self::Phase,
    ];

    /// The meaning in words, as it is shown.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Done => "completion",
            Self::Took => "whole duration",
            Self::Service => "response time",
            Self::FirstByte => "first byte",
            Self::Upstream => "host",
            Self::Prompt => "prompt tokens",
            Self::MorePrompt => "more of the prompt",
            Self::Output => "output tokens",
            Self::Session => "session",
            Self::Chat => "turn's identifier",
            Self::Parent => "turn before",
            Self::Delay => "think time",
            Self::Blocks => "prefix blocks",
            Self::Status => "status",
            Self::Method => "method",
            Self::Path => "path",
            Self::Request => "request line",
            Self::Protocol => "protocol",
            Self::Agent => "user agent",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Phase => "phase",
        }
    }

    /// Whether the field is a duration.
    pub(crate) const fn is_duration(self) -> bool {
        matches!(self, Self::Took | Self::Service | Self::FirstByte | Self::Delay)
    }
}

/// A name that a field with a role goes by; of several in one row the lowest rank counts.
#[derive(Clone, Debug)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) rank: u8,
    /// Nanoseconds in a unit of the field; 0 where it is no time or its unit is to be found out.
    pub(crate) unit_ns: i64,
}

const S: i64 = TimeUnit::Seconds.nanoseconds();
const MS: i64 = TimeUnit::Milliseconds.nanoseconds();
const NS: i64 = 1;

type Row = (&'static str, Role, u8, i64);

/// Token counts, in every log.
const TOKENS: &[Row] = &[
    ("prompt_tokens", Role::Prompt, 0, 0),
    ("input_tokens", Role::Prompt, 1, 0),
    ("gen_ai.usage.input_tokens", Role::Prompt, 2, 0),
    ("genai_tokens_input", Role::Prompt, 3, 0),
    ("gen_ai.usage.prompt_tokens", Role::Prompt, 4, 0),
    ("llm.usage.prompt_tokens", Role::Prompt, 5, 0),
    ("usage.prompt_tokens", Role::Prompt, 6, 0),
    ("usage.input_tokens", Role::Prompt, 7, 0),
    ("llm_input_token", Role::Prompt, 8, 0),
    ("input_token", Role::Prompt, 9, 0),
    ("request_tokens", Role::Prompt, 10, 0),
    ("output_tokens", Role::Output, 0, 0),
    ("completion_tokens", Role::Output, 1, 0),
    ("gen_ai.usage.output_tokens", Role::Output, 2, 0),
    ("genai_tokens_output", Role::Output, 3, 0),
    ("gen_ai.usage.completion_tokens", Role::Output, 4, 0),
    ("llm.usage.completion_tokens", Role::Output, 5, 0),
    ("usage.completion_tokens", Role::Output, 6, 0),
    ("usage.output_tokens", Role::Output, 7, 0),
    ("llm_output_token", Role::Output, 8, 0),
    ("output_token", Role::Output, 9, 0),
    ("response_tokens", Role::Output, 10, 0),
    ("session_id", Role::Session, 0, 0),
    ("conversation_id", Role::Session, 1, 0),
    ("gen_ai.conversation.id", Role::Session, 2, 0),
];

/// Signs of being work or not, in every log.
const WORK: &[Row] = &[
    ("status", Role::Status, 0, 0),
    ("response_code", Role::Status, 1, 0),
    ("status_code", Role::Status, 2, 0),
    ("http_status", Role::Status, 3, 0),
    ("request_method", Role::Method, 0, 0),
    ("method", Role::Method, 1, 0),
    (":method", Role::Method, 2, 0),
    ("http_method", Role::Method, 3, 0),
    ("x-envoy-origin-path", Role::Path, 0, 0),
    ("x-envoy-original-path", Role::Path, 1, 0),
    ("request_uri", Role::Path, 2, 0),
    ("path", Role::Path, 3, 0),
    (":path", Role::Path, 4, 0),
    ("uri", Role::Path, 5, 0),
    ("request", Role::Request, 0, 0),
    ("server_protocol", Role::Protocol, 0, 0),
    ("protocol", Role::Protocol, 1, 0),
    ("http_user_agent", Role::Agent, 0, 0),
    ("user_agent", Role::Agent, 1, 0),
    ("user-agent", Role::Agent, 2, 0),
];

const NGINX: &[Row] = &[
    ("msec", Role::Done, 0, 0),
    ("time_msec", Role::Done, 1, 0),
    ("timestamp", Role::Done, 2, 0),
    ("ts", Role::Done, 3, 0),
    ("@timestamp", Role::Done, 4, 0),
    ("time_iso8601", Role::Done, 5, 0),
    ("time", Role::Done, 6, 0),
    ("time_local", Role::Done, 7, 0),
    ("date", Role::Done, 8, 0),
    ("start_time", Role::Arrival, 0, 0),
    ("request_time", Role::Took, 0, S),
    ("upstream_response_time", Role::Service, 0, S),
    ("upstream_header_time", Role::FirstByte, 0, S),
    ("upstream_addr", Role::Upstream, 0, 0),
    ("upstream", Role::Upstream, 1, 0),
    ("upstream_address", Role::Upstream, 2, 0),
    ("upstream_host", Role::Upstream, 3, 0),
];

const ENVOY: &[Row] = &[
    ("start_time", Role::Arrival, 0, 0),
    ("@timestamp", Role::Arrival, 1, 0),
    ("timestamp", Role::Arrival, 2, 0),
    ("time", Role::Arrival, 3, 0),
    ("duration", Role::Service, 0, MS),
    ("response_duration", Role::FirstByte, 0, MS),
    ("upstream_service_time", Role::FirstByte, 1, MS),
    ("x-envoy-upstream-service-time", Role::FirstByte, 2, MS),
    ("upstream_host", Role::Upstream, 0, 0),
    ("upstream_remote_address", Role::Upstream, 1, 0),
];

const MOONCAKE: &[Row] = &[
    ("timestamp", Role::Arrival, 0, 0),
    ("input_length", Role::Prompt, 0, 0),
    ("output_length", Role::Output, 0, 0),
    ("hash_ids", Role::Blocks, 0, 0),
    ("session_id", Role::Session, 0, 0),
    ("delay", Role::Delay, 0, MS),
];

const BAILIAN: &[Row] = &[
    ("timestamp", Role::Arrival, 0, 0),
    ("input_length", Role::Prompt, 0, 0),
    ("output_length", Role::Output, 0, 0),
    ("hash_ids", Role::Blocks, 0, 0),
    ("chat_id", Role::Chat, 0, 0),
    ("parent_chat_id", Role::Parent, 0, 0),
];

const AZURE: &[Row] = &[
    ("TIMESTAMP", Role::Arrival, 0, 0),
    ("ContextTokens", Role::Prompt, 0, 0),
    ("GeneratedTokens", Role::Output, 0, 0),
];

const BURSTGPT: &[Row] = &[
    ("Timestamp", Role::Arrival, 0, 0),
    ("Request tokens", Role::Prompt, 0, 0),
    ("Response tokens", Role::Output, 0, 0),
    ("Elapsed time", Role::Service, 0, S),
    ("Session ID", Role::Session, 0, 0),
];

/// What `evenkeel dataset ingest` writes.
const LAKE: &[Row] = &[
    ("arrival_s", Role::Arrival, 0, 0),
    ("prompt_tokens", Role::Prompt, 0, 0),
    ("output_tokens", Role::Output, 0, 0),
    ("service_s", Role::Service, 0, S),
    ("first_byte_s", Role::FirstByte, 0, S),
    ("session", Role::Session, 0, 0),
    ("upstream", Role::Upstream, 0, 0),
];

const AIPERF: &[Row] = &[
    ("metadata.request_start_ns", Role::Arrival, 0, NS),
    ("metrics.input_sequence_length.value", Role::Prompt, 0, 0),
    ("metrics.output_sequence_length.value", Role::Output, 0, 0),
    ("metrics.output_token_count.value", Role::Output, 1, 0),
    ("metrics.time_to_first_token.value", Role::FirstByte, 0, MS),
    ("metrics.request_latency.value", Role::Service, 0, MS),
    ("metadata.conversation_id", Role::Session, 0, 0),
    ("metadata.x_correlation_id", Role::Session, 1, 0),
    ("metadata.was_cancelled", Role::Cancelled, 0, 0),
    ("metadata.benchmark_phase", Role::Phase, 0, 0),
    ("error", Role::Error, 0, 0),
];

const COMBINED: &[Row] = &[("time_local", Role::Arrival, 0, 0)];

/// The columns that a format must have: one of each group.
pub(crate) fn needed(format: Format) -> &'static [&'static [Role]] {
    match format {
        Format::Azure | Format::BurstGpt | Format::Bailian | Format::Lake => {
            &[&[Role::Arrival], &[Role::Prompt], &[Role::Output]]
        }
        _ => &[&[Role::Arrival, Role::Done]],
    }
}

/// The names that a format's fields go by, those of the map first.
pub(crate) fn aliases(format: Format, map: Option<&ColumnMap>) -> Vec<Alias> {
    let tables: &[&[Row]] = match format {
        Format::NginxJson => &[NGINX, TOKENS, WORK],
        Format::EnvoyJson => &[ENVOY, TOKENS, WORK],
        Format::NginxCombined => &[COMBINED, WORK],
        Format::EnvoyText => &[ENVOY, WORK],
        Format::Mooncake => &[MOONCAKE],
        Format::Bailian => &[BAILIAN],
        Format::Azure => &[AZURE],
        Format::BurstGpt => &[BURSTGPT],
        Format::AiPerf => &[AIPERF],
        Format::Lake => &[LAKE],
        Format::Json | Format::Csv => &[WORK],
        _ => &[],
    };
    let named = map.map_or_else(Vec::new, mapped);
    let is_free = |role: Role| named.iter().all(|alias| alias.role != role);
    let known = tables.iter().copied().flatten().filter(|(_, role, ..)| is_free(*role));
    let known: Vec<Alias> = known
        .map(|&(name, role, rank, unit_ns)| Alias { name: name.to_owned(), role, rank: rank + 1, unit_ns })
        .collect();
    named.into_iter().chain(known).collect()
}

/// What a map names.
fn mapped(map: &ColumnMap) -> Vec<Alias> {
    let arrival = (!map.arrival.is_empty()).then(|| map.arrival.clone());
    let roles = [
        (&arrival, Role::Arrival),
        (&map.done, Role::Done),
        (&map.took, Role::Took),
        (&map.service, Role::Service),
        (&map.first_byte, Role::FirstByte),
        (&map.upstream, Role::Upstream),
        (&map.prompt, Role::Prompt),
        (&map.output, Role::Output),
        (&map.session, Role::Session),
        (&map.delay, Role::Delay),
        (&map.blocks, Role::Blocks),
        (&map.status, Role::Status),
        (&map.method, Role::Method),
        (&map.path, Role::Path),
        (&map.protocol, Role::Protocol),
    ];
    let alias = |(name, role): (&Option<String>, Role)| {
        let unit_ns = if role.is_duration() { S } else { 0 };
        name.clone().map(|name| Alias { name, role, rank: 0, unit_ns })
    };
    roles.into_iter().filter_map(alias).collect()
}

/// Whether a field that no format knows looks as if it held something of use.
pub(crate) fn looks_useful(name: &[u8]) -> bool {
    const WORDS: [&str; 13] = [
        "image", "token", "time", "latency", "duration", "ttft", "host", "addr", "session", "length", "status",
        "delay", "code",
    ];
    const NOT: [&str; 6] = ["timeout", "encoding", "total_tokens", "tokens_total", "bytes", "tls"];
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !NOT.iter().any(|word| name.contains(word))
}
