//! Parsers of the formats.

pub(crate) mod bench;
pub(crate) mod columns;
pub(crate) mod guidellm;
pub(crate) mod inference_perf;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod mapper;
pub(crate) mod moment;
pub(crate) mod otel;
pub(crate) mod profile;
pub(crate) mod role;
pub(crate) mod series;
pub(crate) mod servegen;
pub(crate) mod sessions;
pub(crate) mod sniff;
pub(crate) mod timed;
pub(crate) mod tracelab;
pub(crate) mod units;
pub(crate) mod weka;
