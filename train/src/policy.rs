//! The balancing policy: its network, and how it is trained.

pub mod collect;
pub mod dagger;
pub mod export;
pub mod network;
pub mod samples;
pub mod train;
