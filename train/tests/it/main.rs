//! The binary `evenkeel`, run as a user runs it.

mod audit;
mod benchmark;
mod forecast;
mod guard;
mod pipeline;
mod policy;
mod scale;
mod support;
mod tools;
