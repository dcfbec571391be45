//! The telemetry agent: scrapes inference hosts' own metrics many times a second, and puts
//! them where every proxy of the machine can read them without asking anybody.
//!
//! ```text
//! hosts' /metrics ──► scrape ──► exposition ──► mapping ──► file ──► NGINX, Envoy (mapped)
//!        ▲                                                   ▲
//!     discovery (file, DNS, EDS)                     telemetry_file (evenkeel-runtime)
//! ```
//!
//! - [`scrape`] gets a page over a connection that is kept, within limits of time and size.
//! - [`exposition`] finds the metrics in it; [`names`] says which, for each engine.
//! - [`discovery`] says which hosts there are.
//! - [`target`] scrapes one host again and again, with jitter and back-off.
//! - [`mod@file`] is the mapped file; its layout is the runtime's.
//! - [`status`] is the agent's own `/metrics`.
//!
//! When the agent dies the file stays, its ages grow, and proxies lean on what they see
//! themselves.

pub mod agent;
pub mod clock;
pub mod discovery;
pub mod exposition;
pub mod file;
mod mapped;
pub mod names;
pub mod scrape;
pub mod status;
pub mod target;
