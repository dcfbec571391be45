//! One configuration of the policy, as all workers use it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_runtime::Reason;

use crate::artifact::{Artifact, LoadError};
use crate::config::Options;
use crate::envoy::{LoadBalancerMetrics, MetricError, MetricId};
use crate::fields::ConfigError;
use crate::region::{Region, Used};

/// Reason for refusing a configuration.
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
    decisions: MetricId,
    fallbacks: MetricId,
    shadow_agreed: MetricId,
    shadow_differed: MetricId,
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
            shadow_agreed: metrics.define_counter("evenkeel_shadow_agreed", &[])?,
            shadow_differed: metrics.define_counter("evenkeel_shadow_differed", &[])?,
            options,
            metrics,
        })
    }

    /// The part that concerns the cluster as a whole.
    pub(crate) fn used(&self) -> Used {
        let Options { scale, slow_start, ref telemetry, .. } = self.options;
        Used { artifact: self.artifact.clone(), scale, slow_start, telemetry: telemetry.clone() }
    }

    /// Counts a decision.
    pub(crate) fn count(&self, reason: Reason) {
        self.metrics.add(self.decisions, [], 1);
        if matches!(reason, Reason::NoPolicy | Reason::NoScore) {
            self.metrics.add(self.fallbacks, [], 1);
        }
    }

    /// Counts a decision in shadow mode: whether the policy chose the host that served.
    pub(crate) fn count_shadow(&self, region: &Region, agreed: bool) {
        let (metric, count) = if agreed {
            (self.shadow_agreed, &region.shadow_agreed)
        } else {
            (self.shadow_differed, &region.shadow_differed)
        };
        count.fetch_add(1, Relaxed);
        self.metrics.add(metric, [], 1);
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("options", &self.options).finish_non_exhaustive()
    }
}
