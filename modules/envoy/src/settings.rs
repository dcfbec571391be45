//! One configuration of the policy, as all workers use it.

use std::sync::Arc;

use crate::artifact::{Artifact, LoadError};
use crate::config::{ConfigError, Options};
use crate::envoy::{LoadBalancerMetrics, MetricError, MetricId};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("field \"artifact\": {0}")]
    Artifact(#[from] LoadError),
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Options, the artifact and the metrics.
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) artifact: Arc<Artifact>,
    pub(crate) metrics: LoadBalancerMetrics,
    pub(crate) decision_ns: MetricId,
    pub(crate) decisions: MetricId,
    pub(crate) fallbacks: MetricId,
}

impl Settings {
    /// Reads and checks everything that can be wrong.
    pub(crate) fn new(json: &[u8], metrics: LoadBalancerMetrics) -> Result<Self, SettingsError> {
        let options = Options::parse(json)?;
        Ok(Self {
            artifact: Artifact::open(&options.artifact)?,
            decision_ns: metrics.define_histogram("evenkeel_decision_ns")?,
            decisions: metrics.define_counter("evenkeel_decisions", &[])?,
            fallbacks: metrics.define_counter("evenkeel_fallbacks", &[])?,
            options,
            metrics,
        })
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("options", &self.options).finish_non_exhaustive()
    }
}
