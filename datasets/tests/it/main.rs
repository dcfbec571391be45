//! The crate's behaviour as its users see it.

mod cases;
mod errors;
#[cfg(feature = "fetch")]
mod fetch;
mod fixtures;
mod kinds;
mod properties;
mod real;
mod series_kinds;
mod sessions;
mod support;
