//! The simulator in the setting of a comparison.

use evenkeel_env::metrics::{Metrics, MetricsOptions};
use evenkeel_env::policies::{self, Learned};
use evenkeel_env::{Outcome, Policy, Workload, simulate};
use evenkeel_runtime::Model;
use evenkeel_runtime::artifact::ArtifactError;

use super::Setting;

/// Name of the trained policy.
pub const TRAINED: &str = "evenkeel";

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The simulator has no such policy.
    #[error("the simulator has no policy called {0:?}")]
    Policy(String),
    /// There is no artifact for the trained policy, or it is refused.
    #[error("the trained policy needs its artifact: {0}")]
    Artifact(#[from] ArtifactError),
}

/// Figures of a policy under a seed, in service time. `artifact` is the one that the proxies
/// use, fitted to the time scale.
pub fn predict(setting: &Setting, policy: &str, artifact: &[u8], seed: u64) -> Result<Metrics, PredictError> {
    let mut instance: Box<dyn Policy + '_> = if policy == TRAINED {
        Box::new(Learned::new(Model::parse(artifact)?))
    } else {
        let entry = policies::find(policy).ok_or_else(|| PredictError::Policy(policy.to_owned()))?;
        entry.build_default()
    };
    let workload = Workload::new(setting.window(seed), &setting.training());
    let outcome = simulate(&setting.wall_scenario(), &workload, instance.as_mut(), seed);
    Ok(Metrics::of(&in_service_time(outcome, setting.time_scale), &MetricsOptions::default()))
}

/// An outcome in wall time, told in service time.
fn in_service_time(mut outcome: Outcome, time_scale: f64) -> Outcome {
    for record in &mut outcome.records {
        record.arrival_s *= time_scale;
        record.latency_s *= time_scale;
        record.ttft_s *= time_scale;
    }
    outcome.span_s *= time_scale;
    outcome
}
