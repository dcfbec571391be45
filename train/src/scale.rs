//! Autoscaling: tuning and comparing the scalers of [`evenkeel_env::scale`] on real demand.
//!
//! ```text
//! series ─► Service (demand of a part, forecasts of the artifact at each step)
//!              │ validation part: GA-PSO tunes each scaler, the same number of runs each
//!              └ test part: evaluate
//! ```

pub mod foresight;
pub mod genetic_swarm;
pub mod objective;
pub mod service;

pub use foresight::Foreseen;
pub use genetic_swarm::{Budget, Found, genetic_swarm, random_search};
pub use objective::{Objective, Trial};
pub use service::{Part, Service};
