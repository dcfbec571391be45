//! The binary `evenkeel`, run as a user runs it.

mod audit;
mod benchmark;
mod calibrate;
mod forecast;
mod guard;
mod pipeline;
mod policy;
mod scale;
mod support;
mod tools;
