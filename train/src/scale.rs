//! Autoscaling: tuning and comparing the scalers of [`evenkeel_env::scale`] on real demand.
//!
//! ```text
//! series ─► Service (demand of a part, forecasts of the artifact at each step)
//!              │ validation part: a search tunes each scaler, the same number of runs each
//!              └ test part: evaluate
//! ```

mod cma_es;
pub mod compare;
pub mod duel;
pub mod evaluation;
pub mod foresight;
mod genetic_swarm;
pub mod memory;
pub mod needed;
mod nsga2;
pub mod objective;
pub mod outcome;
pub mod pareto;
pub mod search;
pub mod service;

pub use compare::{Comparison, compare};
pub use evaluation::{Budget, Tried, Worth};
pub use foresight::Foreseen;
pub use memory::Memory;
pub use needed::Needed;
pub use objective::{Objective, Trial};
pub use outcome::{NeededOn, Outcome};
pub use search::{Found, Search};
pub use service::{Part, Service, needed_capacity};
