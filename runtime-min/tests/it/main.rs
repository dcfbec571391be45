//! Behaviour of the runtime through its public interface.

mod artifact;
mod builder;
mod decide;
mod forecast;
mod program;
mod state;
