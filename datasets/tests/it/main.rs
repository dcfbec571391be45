//! The crate's behaviour as its users see it.

mod cases;
mod errors;
#[cfg(feature = "fetch")]
mod fetch;
mod fixtures;
mod properties;
mod real;
mod support;
