//! The agent against hosts of all kinds.

mod access;
mod check;
mod discovery;
mod documented;
mod engines;
mod hostile;
mod lifetime;
mod llamacpp;
mod servers;
