//! The baselines and the oracles, one file each, and a registry of them by name.

mod ext;
mod learned;
mod least_request;
mod oracle;
mod peak_ewma;
mod power_of_two;
mod prequal;
mod random;
mod round_robin;

pub use ext::{Ext, ExtWeights};
pub use learned::Learned;
pub use least_request::LeastRequest;
pub use oracle::{MarginalCost, ShortestQueue};
pub use peak_ewma::PeakEwma;
pub use power_of_two::PowerOfTwo;
pub use prequal::{Prequal, PrequalOptions};
pub use random::Random;
pub use round_robin::RoundRobin;

use crate::policy::Policy;
use crate::sizes::Sizes;

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

/// Weight of the time to first token in the oracles' cost.
pub const TTFT_WEIGHT: f64 = 4.0;

/// Every policy that needs no model.
pub const REGISTRY: &[Entry] = &[
    Entry { name: "random", source: "uniform choice", is_oracle: false, parameters: &[], build: |_| Box::new(Random) },
    Entry {
        name: "round_robin",
        source: "NGINX's default without weights",
        is_oracle: false,
        parameters: &[],
        build: |_| Box::new(RoundRobin::default()),
    },
    Entry {
        name: "p2c",
        source: "Mitzenmacher, IEEE TPDS 2001",
        is_oracle: false,
        parameters: &[],
        build: |_| Box::new(PowerOfTwo),
    },
    Entry {
        name: "least_request",
        source: "NGINX least_conn, Envoy least request over all hosts",
        is_oracle: false,
        parameters: &[],
        build: |_| Box::new(LeastRequest),
    },
    Entry {
        name: "peak_ewma",
        source: "Finagle's and Linkerd's Peak-EWMA over two choices",
        is_oracle: false,
        parameters: &[],
        build: |_| Box::new(PeakEwma),
    },
    Entry {
        name: "prequal",
        source: "Wydrowski et al., Load is not what you should balance, NSDI 2024",
        is_oracle: false,
        parameters: prequal::PARAMETERS,
        build: |p| Box::new(Prequal::new(PrequalOptions::from_parameters(p))),
    },
    Entry {
        name: "ext",
        source: "expected completion plus the delay inflicted: the runtime's analytic estimate",
        is_oracle: false,
        parameters: ext::PARAMETERS,
        build: |p| Box::new(Ext::new(ExtWeights { queue: p[0], kv: p[1], delay: p[2] })),
    },
    Entry {
        name: "oracle_shortest_queue",
        source: "join the shortest queue, on true state",
        is_oracle: true,
        parameters: &[],
        build: |_| Box::new(ShortestQueue),
    },
    Entry {
        name: "oracle_no_sizes",
        source: "least marginal cost, true state, expected sizes",
        is_oracle: true,
        parameters: &[],
        build: |_| Box::new(MarginalCost::new(Sizes::Expected, TTFT_WEIGHT)),
    },
    Entry {
        name: "oracle",
        source: "least marginal cost, true state, true sizes",
        is_oracle: true,
        parameters: &[],
        build: |_| Box::new(MarginalCost::new(Sizes::True, TTFT_WEIGHT)),
    },
];

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
