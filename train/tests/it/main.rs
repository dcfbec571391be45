//! The binary `evenkeel`, run as a user runs it.

mod audit;
mod benchmark;
mod guard;
mod pipeline;
mod support;
mod tools;
