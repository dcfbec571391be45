//! The balancing policy: its network, and how it is trained.
//!
//! [`train`] reads top to bottom: imitation ([`collect`], [`dagger`]), fine-tuning
//! ([`ppo`] with [`rollout`] and [`critic`], or [`es`]), and after each stage a verdict
//! ([`judge`]) on the validation split.

pub mod collect;
pub mod critic;
pub mod dagger;
pub mod embedded;
pub mod es;
pub mod export;
pub mod judge;
pub mod network;
pub mod objective;
pub mod ppo;
pub mod rollout;
pub mod samples;
pub mod task;
pub mod train;
