//! One parser a format.

pub(crate) mod azure;
pub(crate) mod burstgpt;
pub(crate) mod columns;
pub(crate) mod envoy;
pub(crate) mod json;
pub(crate) mod mooncake;
pub(crate) mod nginx_combined;
pub(crate) mod nginx_json;
pub(crate) mod series;
pub(crate) mod servegen;
pub(crate) mod sniff;
