//! The policy inside Envoy: a dynamic module.
//!
//! ```text
//!           main thread                          each worker thread
//! bootstrap ─► artifact (swap) ──────────┐       request filter: body ─► facts
//!           ─► status page, metrics      ▼                                 │
//!                   ▲                   lb: table, facts, tickets ◄────────┘
//!                   │                    │ choose, begin        ▲ by host and start
//!                   │                    ▼                      │
//!                   └─── region: one Upstream for each cluster ◄┴─ feedback ◄─ response filter,
//!                                                                              access log
//! ```
//!
//! `exports` has the functions that Envoy calls, `abi` those of Envoy that are called, and
//! `envoy` makes them safe: unsafe code is in these three. What scores, averages, remembers and
//! reads bodies and reports is in `evenkeel_runtime`; this module knows Envoy: its hosts, their
//! health and counts, and how its requests live and end.

mod abi;
mod artifact;
mod bootstrap;
mod claims;
mod clock;
mod config;
mod decimal;
mod demand;
mod envoy;
mod exports;
mod facts;
mod feedback;
mod fields;
mod gauges;
mod http_filter;
mod identity;
mod lb;
mod least_request;
mod outcome;
mod panic_mode;
mod priority;
mod random;
mod reconcile;
mod region;
mod regular_file;
mod request_filter;
mod response_filter;
mod rotation;
mod settings;
mod status;
mod table;
mod telemetry;
mod tickets;
mod timeouts;
mod tried;
mod worker;
