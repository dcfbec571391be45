//! The balancing policy: its network, and how it is trained.

pub mod checkpoint;
pub mod dagger;
pub mod export;
pub mod network;
pub mod samples;
