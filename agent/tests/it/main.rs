//! The agent against hosts of all kinds.

mod discovery;
mod hostile;
mod lifetime;
mod servers;
