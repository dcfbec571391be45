//! The binary `evenkeel`, run as a user runs it.

mod pipeline;
mod support;
mod tools;
