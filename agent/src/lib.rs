//! The telemetry agent: scrapes inference hosts' own metrics many times a second, and puts
//! them where every proxy of the machine can read them without asking anybody.
//!
//! ```text
//! hosts' /metrics ──► probe ──► page ──► reading ──► file ──► NGINX, Envoy (mapped)
//!        ▲            scrape    engines  step         ▲
//!     discovery (file, DNS, EDS)              telemetry_file (evenkeel-runtime)
//! ```
//!
//! - [`scrape`] gets a page over a connection that is kept, within limits of time and size;
//!   [`http`], [`tls`] and [`access`] are what it needs for that.
//! - [`probe`] asks a host in the way that its engine wants; [`llamacpp`] has its own.
//! - [`exposition`] reads lines; [`engines`] says which metrics mean what, and how they are
//!   aggregated; [`page`] does that.
//! - [`reading`] is what a host says of itself; [`step`] measures time per token over pages.
//! - [`discovery`] says which hosts there are.
//! - [`target`] scrapes one host again and again, with jitter and back-off; [`account`] keeps
//!   its books and the log.
//! - [`mod@file`] is the mapped file; its layout is the runtime's.
//! - [`status`] is the agent's own `/metrics`; [`check`] shows people what is understood.
//!
//! When the agent dies the file stays, its ages grow, and proxies lean on what they see
//! themselves.

pub mod access;
pub mod account;
pub mod agent;
pub mod check;
pub mod clock;
pub mod discovery;
pub mod engines;
pub mod exposition;
pub mod file;
pub mod http;
pub mod llamacpp;
mod mapped;
pub mod page;
pub mod probe;
pub mod reading;
pub mod scrape;
pub mod status;
pub mod step;
pub mod target;
pub mod tls;
