//! The baselines and the oracles, one file each, and a registry of them by name.

mod c3;
mod cache_aware;
mod ext;
mod grid;
mod join_idle_queue;
mod learned;
mod least_request;
mod least_time;
mod oracle;
mod peak_ewma;
mod power_of_two;
mod prequal;
mod queue_kv;
mod random;
mod registry;
mod round_robin;
mod token_aware;
mod weighted_round_robin;

pub use c3::{C3, C3Options};
pub use cache_aware::{CacheAware, CacheAwareOptions};
pub use ext::{Ext, ExtWeights};
pub use join_idle_queue::{JoinIdleQueue, JoinIdleQueueOptions};
pub use learned::Learned;
pub use least_request::LeastRequest;
pub use least_time::{LeastTime, LeastTimeOptions};
pub use oracle::{MarginalCost, ShortestQueue};
pub use peak_ewma::{PeakEwma, PeakEwmaOptions};
pub use power_of_two::PowerOfTwo;
pub use prequal::{Prequal, PrequalOptions};
pub use queue_kv::{QueueKv, QueueKvWeights};
pub use random::Random;
pub use registry::REGISTRY;
pub use round_robin::RoundRobin;
pub use token_aware::{TokenAware, TokenAwareOptions};
pub use weighted_round_robin::{WeightedRoundRobin, WeightedRoundRobinOptions};

use crate::policy::Policy;

/// A number that a policy can be tuned by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Name, unit last.
    pub name: &'static str,
    /// The published value.
    pub default: f64,
    /// Least value worth trying.
    pub min: f64,
    /// Greatest value worth trying.
    pub max: f64,
}

/// A policy that can be built by name.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The policy's [`name`](Policy::name).
    pub name: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// Whether it looks at what no balancer can know.
    pub is_oracle: bool,
    /// What it can be tuned by.
    pub parameters: &'static [Parameter],
    build: fn(&[f64]) -> Box<dyn Policy>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Entry {
    /// The policy with its default parameters.
    pub fn build_default(&self) -> Box<dyn Policy> {
        let defaults: Vec<f64> = self.parameters.iter().map(|parameter| parameter.default).collect();
        self.build(&defaults)
    }

    /// The policy with these parameters, in the order of [`parameters`](Self::parameters).
    ///
    /// # Panics
    /// If there are more or fewer of them.
    pub fn build(&self, parameters: &[f64]) -> Box<dyn Policy> {
        assert_eq!(parameters.len(), self.parameters.len(), "policy {} has other parameters", self.name);
        (self.build)(parameters)
    }
}

/// Finds a policy by name.
pub fn find(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.name == name)
}

/// Weight of the time to first token in the reward and in the teacher's cost.
pub const TTFT_WEIGHT: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::REGISTRY;

    #[test]
    fn entries_build_policies_of_their_name() {
        for entry in REGISTRY {
            assert_eq!(entry.build_default().name(), entry.name);
            assert!(entry.parameters.iter().all(|p| p.min <= p.default && p.default <= p.max), "{}", entry.name);
        }
    }
}
