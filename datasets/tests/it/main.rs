//! The crate's behaviour as its users see it.

mod errors;
mod fixtures;
mod properties;
mod real;
mod support;
