//! The simulator in the setting of a comparison.

use evenkeel_env::metrics::{Metrics, MetricsOptions};
use evenkeel_env::policies::{self, Learned};
use evenkeel_env::{Outcome, Policy, Scenario, Workload, simulate};
use evenkeel_runtime::Model;
use evenkeel_runtime::artifact::ArtifactError;

use super::setting::{Setting, TRAINED};

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

/// Simulated runs of a replay.
///
/// Which host a request goes to hangs on microseconds, and what comes of it on all that follow: two
/// runs of one window differ by a tenth in the mean. Proxies replay it once; the simulator can say
/// what is to be expected of it.
const RUNS: u64 = 16;

/// Loads of two runs differ by this share: too little for the figures, enough for other choices.
const LOAD_STEP: f64 = 1e-3;

/// Figures of a policy under a seed, in service time, of each of several runs. `artifact` is the one
/// that the proxies use, fitted to the time scale.
///
/// # Errors
/// [`PredictError`] if there is no such policy, or no artifact for it.
pub fn predict(setting: &Setting, policy: &str, artifact: &[u8], seed: u64) -> Result<Vec<Metrics>, PredictError> {
    let workload = Workload::new(setting.window(seed), &setting.training());
    let scenario = setting.wall_scenario();
    let one = |run: u64| {
        let mut policy = build(policy, artifact)?;
        let load = scenario.load * (1.0 + LOAD_STEP * (run as f64 - 0.5 * (RUNS - 1) as f64));
        let outcome = simulate(&Scenario { load, ..scenario.clone() }, &workload, policy.as_mut(), seed);
        Ok(Metrics::of(&in_service_time(outcome, setting.time_scale), &MetricsOptions::default()))
    };
    (0..RUNS).map(one).collect()
}

fn build<'a>(policy: &str, artifact: &'a [u8]) -> Result<Box<dyn Policy + 'a>, PredictError> {
    if policy == TRAINED {
        return Ok(Box::new(Learned::new(Model::parse(artifact)?)));
    }
    let entry = policies::find(policy).ok_or_else(|| PredictError::Policy(policy.to_owned()))?;
    Ok(entry.build_default())
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
