//! The C interface of the runtime: what `include/evenkeel.h` declares.
//!
//! Every function checks its pointers, returns an [`EkCode`] and writes its outputs only
//! on success. Memory is the caller's: nothing is allocated, nothing is kept but what the
//! caller handed over for that purpose. Nothing unwinds into C, since nothing panics.
//!
//! | Part | Functions |
//! |---|---|
//! | [`code`] | `ek_version`, `ek_strerror`, `ek_reason_name` |
//! | [`model`] | `ek_model_*` |
//! | [`upstream`] | `ek_upstream_size`, `ek_upstream_open`, `ek_upstream_attach`, `ek_upstream_join` |
//! | [`hosts`] | `ek_host_*` |
//! | [`choose`] | `ek_scratch_size`, `ek_upstream_choose`, `ek_upstream_explain` |
//! | [`requests`] | `ek_upstream_arrived`, `ek_upstream_begin`, `ek_upstream_first_token`, `ek_upstream_finish` |
//! | [`demand`] | `ek_upstream_tick`, `ek_upstream_demand`, `ek_upstream_forecast`, `ek_scale_check` |
//! | [`counters`] | `ek_upstream_counters`, `ek_upstream_timed`, `ek_upstream_time_bucket` |
//! | [`telemetry_file`] | `ek_host_key`, `ek_telemetry_file_*` |
//! | [`body`] | `ek_body_request_*`, `ek_body_response_*` |
//! | [`record`] | `ek_record_*` |

#![allow(unsafe_code, reason = "C hands over raw pointers; each is checked before it is used")]

pub mod body;
pub mod choose;
pub mod code;
pub mod counters;
pub mod demand;
pub mod hosts;
mod identity;
mod memory;
pub mod model;
pub mod record;
pub mod requests;
pub mod telemetry_file;
pub mod types;
pub mod upstream;

pub use body::{
    EkBodyKind, EkRequestBody, EkRequestReader, EkResponseBody, EkResponseReader, ek_body_request_accepts,
    ek_body_request_feed, ek_body_request_init, ek_body_request_read, ek_body_request_size, ek_body_request_tokens,
    ek_body_response_feed, ek_body_response_init, ek_body_response_kind, ek_body_response_read, ek_body_response_size,
};
pub use choose::{ek_scratch_size, ek_upstream_choose, ek_upstream_explain};
pub use code::{EkCode, ek_reason_name, ek_strerror, ek_version};
pub use counters::{ek_upstream_counters, ek_upstream_time_bucket, ek_upstream_timed};
pub use demand::{
    EkDemandReading, EkScale, ek_model_history, ek_model_scale, ek_scale_check, ek_upstream_demand,
    ek_upstream_forecast, ek_upstream_tick,
};
pub use hosts::{
    ek_host_find, ek_host_register, ek_host_remove, ek_host_report, ek_host_report_orca, ek_host_restarted,
    ek_host_stats, ek_host_weight,
};
pub use identity::{EK_IDENTITY_TEXT, EkIdentity, ek_model_identity};
pub use model::{EkModel, ek_model_load, ek_model_metadata, ek_model_size};
pub use record::{
    EkRing, ek_record_attach, ek_record_counts, ek_record_decision, ek_record_init, ek_record_outcome, ek_record_size,
};
pub use requests::{
    ek_upstream_arrived, ek_upstream_begin, ek_upstream_counted, ek_upstream_finish, ek_upstream_first_token,
    ek_upstream_prompt_tokens,
};
pub use telemetry_file::{ek_host_key, ek_telemetry_file_apply, ek_telemetry_file_heartbeat};
pub use types::{
    EkChoice, EkCounters, EkEligible, EkExplanation, EkFacts, EkForecast, EkHostExplanation, EkIfOther, EkOutcome,
    EkReason, EkRingCounts, EkStats, EkStatus, EkTelemetry, EkTicket, EkUpstreamOptions,
};
pub use upstream::{EkUpstream, ek_upstream_attach, ek_upstream_join, ek_upstream_open, ek_upstream_size};
