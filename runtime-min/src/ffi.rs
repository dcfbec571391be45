//! The C interface of the runtime: what `include/evenkeel.h` declares.
//!
//! Every function checks its pointers, returns an [`EkCode`] and writes its outputs only
//! on success. Memory is the caller's: nothing is allocated, nothing is kept but what the
//! caller handed over for that purpose. Nothing unwinds into C, since nothing panics.
//!
//! | Part | Functions |
//! |---|---|
//! | [`code`] | `ek_version`, `ek_strerror`, `ek_reason_name` |
//! | [`model`] | `ek_model_size`, `ek_model_load`, `ek_model_metadata` |
//! | [`state`] | `ek_state_size`, `ek_state_init`, `ek_state_attach` |
//! | [`hosts`] | `ek_host_*`, `ek_hosts_warm` |
//! | [`processes`] | `ek_shared_state_size`, `ek_state_open`, `ek_process_*` |
//! | [`decide`] | `ek_scratch_size`, `ek_decide`, `ek_scores`, `ek_decisions` |
//! | [`explain`] | `ek_explain`, `ek_counters_read` |
//! | [`record`] | `ek_record_*` |
//! | [`requests`] | `ek_begin`, `ek_first_token`, `ek_finish`, `ek_report`, `ek_report_orca` |
//! | [`forecast`] | `ek_history_*`, `ek_forecast_*` |
//! | [`telemetry_file`] | `ek_host_key`, `ek_telemetry_file_*` |
//! | [`affinity`] | `ek_affinity_*` |
//! | [`body`] | `ek_body_request_*`, `ek_body_response_*` |
//! | [`classes`] | `ek_classes_*` |
//! | [`histogram`] | `ek_histogram_*` |
//! | [`demand`] | `ek_demand_*`, `ek_model_scale`, `ek_scale_check` |

#![allow(unsafe_code, reason = "C hands over raw pointers; each is checked before it is used")]

pub mod affinity;
pub mod body;
pub mod classes;
pub mod code;
pub mod decide;
pub mod demand;
pub mod explain;
pub mod forecast;
pub mod histogram;
pub mod hosts;
mod memory;
pub mod model;
pub mod processes;
pub mod record;
pub mod requests;
pub mod state;
mod table;
pub mod telemetry_file;
pub mod types;

pub use affinity::{ek_affinity_lookup, ek_affinity_note, ek_affinity_size};
pub use body::{
    EkBodyKind, EkRequestBody, EkRequestReader, EkResponseBody, EkResponseReader, ek_body_request_accepts,
    ek_body_request_feed, ek_body_request_init, ek_body_request_read, ek_body_request_size, ek_body_request_tokens,
    ek_body_response_feed, ek_body_response_init, ek_body_response_kind, ek_body_response_read, ek_body_response_size,
};
pub use classes::{ek_classes_expected, ek_classes_note, ek_classes_size};
pub use code::{EkCode, ek_reason_name, ek_strerror, ek_version};
pub use decide::{ek_decide, ek_decisions, ek_scores, ek_scratch_size};
pub use demand::{
    EkDemand, EkDemandReading, EkScale, ek_demand_arrived, ek_demand_attach, ek_demand_init, ek_demand_read,
    ek_demand_size, ek_demand_tick, ek_model_scale, ek_scale_check,
};
pub use explain::{ek_counters_read, ek_explain};
pub use forecast::{
    EkHistory, ek_forecast_horizons, ek_forecast_predict, ek_forecast_scratch_size, ek_history_attach, ek_history_init,
    ek_history_push, ek_history_size,
};
pub use histogram::{EkHistogram, ek_histogram_bucket, ek_histogram_record, ek_histogram_size, ek_histogram_summary};
pub use hosts::{
    ek_host_find, ek_host_register, ek_host_remove, ek_host_restarted, ek_host_stats, ek_host_weight, ek_hosts_warm,
};
pub use model::{EkModel, ek_model_load, ek_model_metadata, ek_model_size};
pub use processes::{ek_process_begin, ek_process_join, ek_shared_state_size, ek_state_open};
pub use record::{
    EkRing, ek_record_attach, ek_record_counts, ek_record_decision, ek_record_init, ek_record_outcome, ek_record_size,
};
pub use requests::{ek_begin, ek_booked_prompt_tokens, ek_finish, ek_first_token, ek_report, ek_report_orca};
pub use state::{EkState, ek_state_attach, ek_state_init, ek_state_size};
pub use telemetry_file::{ek_host_key, ek_telemetry_file_apply, ek_telemetry_file_heartbeat};
pub use types::{
    EkCounters, EkDecision, EkExplanation, EkForecast, EkHorizons, EkHostExplanation, EkHostScore, EkIfOther,
    EkOutcome, EkReason, EkRequest, EkRingCounts, EkStateOptions, EkStats, EkStatus, EkTelemetry, EkTicket,
};
