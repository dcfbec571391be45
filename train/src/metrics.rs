//! What a training run found out: the contents of `metrics.json`, and the source of the
//! table on the terminal and of the report.

use serde::{Deserialize, Serialize};

/// A mean over seeds with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over seeds.
    pub value: f64,
    /// 95 % confidence interval.
    pub ci95: [f64; 2],
}

/// Everything of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metrics {
    /// How it was run.
    pub run: Run,
    /// Result of each policy at each load, on the test split.
    pub policies: Vec<PolicyResult>,
    /// Result of the forecaster on each series, on the test split.
    pub forecasts: Vec<ForecastResult>,
    /// Loss over steps, one curve for each network.
    pub curves: Vec<Curve>,
    /// What each stage of the policy's training added, on the validation split.
    #[serde(default)]
    pub policy_stages: Vec<PolicyStage>,
    /// The policy's fine-tuning, iteration by iteration.
    #[serde(default)]
    pub fine_tuning: Vec<FineTunePoint>,
    /// Largest relative differences between implementations.
    pub parity: Vec<ParityResult>,
    /// What each stage took.
    pub stages: Vec<StageTime>,
}

/// How a run was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Version of evenkeel.
    pub version: String,
    /// Seed of everything random.
    pub seed: u64,
    /// `cpu` or `wgpu`, and why.
    pub device: String,
    /// Short training, for a first look or a test.
    pub quick: bool,
    /// Names of the traces trained on.
    pub traces: Vec<String>,
    /// Names of the series trained on.
    pub series: Vec<String>,
    /// Shares of the time span: train, validation, test.
    pub split: [f64; 3],
    /// Hosts, balancers, telemetry and antagonists of the evaluation, in words.
    pub scenario: String,
    /// Seeds of the evaluation.
    pub evaluation_seeds: usize,
    /// Reason for the artifact's lack of a forecaster, and how to add one; absent if it has one.
    #[serde(default)]
    pub no_forecaster: Option<String>,
}

/// One policy at one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyResult {
    /// Trace whose test split was replayed.
    pub trace: String,
    /// `round_robin`, `p2c`, `least_request`, `least_request_of_N` (of N hosts at random, the best N on
    /// the validation split), `peak_ewma`, `ext`, `evenkeel`, or an oracle's name.
    pub policy: String,
    /// Offered load as a share of the fleet's capacity.
    pub load: f64,
    /// Mean latency in seconds.
    pub latency_mean_s: Estimate,
    /// Median latency in seconds.
    pub latency_p50_s: Estimate,
    /// 99th percentile of the latency in seconds.
    pub latency_p99_s: Estimate,
    /// Mean time to first token (LLM) or first byte (FIFO) in seconds.
    pub ttft_mean_s: Estimate,
    /// 99th percentile of the time to first token in seconds.
    pub ttft_p99_s: Estimate,
    /// Share of the requests that failed or timed out.
    pub failed_share: Estimate,
    /// Mean over maximum of the hosts' work done per unit of speed: 1 if all bore alike.
    pub balance_efficiency: Estimate,
    /// Latency in seconds at evenly spaced quantiles from 0 to 1, for the CDF.
    pub latency_quantiles_s: Vec<f64>,
}

/// The forecaster on one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForecastResult {
    /// Name of the series.
    pub series: String,
    /// Seconds between points.
    pub step_s: f64,
    /// What serves this series: the network or a fallback, chosen on validation.
    pub served_by: String,
    /// Weighted quantile loss over the nine quantiles.
    pub wql: f64,
    /// Weighted quantile loss over that of the seasonal naive forecast.
    pub wql_over_seasonal_naive: f64,
    /// Mean absolute scaled error of the median.
    pub mase: f64,
    /// Share of the actual values at or under each quantile 0.1 … 0.9.
    pub coverage: [f64; 9],
    /// A stretch of the test split: forecast against actual.
    pub plot: ForecastPlot,
}

/// Forecasts made a fixed horizon ahead, against what came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ForecastPlot {
    /// How far ahead each forecast was made, in seconds.
    pub horizon_s: f64,
    /// Time of each point, in seconds since the epoch (or since the start, if unknown).
    pub time_s: Vec<f64>,
    /// What came; null where missing.
    pub actual: Vec<Option<f64>>,
    /// Forecast quantile 0.1.
    pub q10: Vec<f64>,
    /// Forecast quantile 0.5.
    pub q50: Vec<f64>,
    /// Forecast quantile 0.9.
    pub q90: Vec<f64>,
}

/// A training curve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// `policy` or `forecast`.
    pub network: String,
    /// Points in order.
    pub points: Vec<CurvePoint>,
}

/// A point of a training curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimiser steps so far.
    pub step: usize,
    /// Training loss.
    pub train: f64,
    /// Validation loss, where it was computed.
    pub validation: Option<f64>,
}

/// The policy after one stage of its training, on the validation split, against the
/// analytic rule EXT in the same settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyStage {
    /// `imitation`, `ppo` or `es`.
    pub stage: String,
    /// How much better than EXT: the difference of the objectives, about the share by which
    /// latencies are shorter.
    pub gain: Estimate,
    /// Mean latency over EXT's: geometric mean over the settings.
    pub latency_mean_ratio: Estimate,
    /// 99th percentile of the latency over EXT's.
    pub latency_p99_ratio: Estimate,
    /// Mean time to first token over EXT's.
    pub ttft_mean_ratio: Estimate,
    /// 99th percentile of the time to first token over EXT's.
    pub ttft_p99_ratio: Estimate,
}

/// An iteration of fine-tuning. What the method does not have is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FineTunePoint {
    /// Iterations (PPO) or generations (ES) so far.
    pub iteration: usize,
    /// Mean objective of the replays: of the actor with its dice (PPO), of the perturbed
    /// policies (ES). Each iteration has settings of its own, so it wanders.
    pub objective: f64,
    /// PPO: mean reward of a decision.
    pub reward: Option<f64>,
    /// PPO: mean entropy of the choices, in nats.
    pub entropy: Option<f64>,
    /// PPO: divergence of the policy from the one that acted, in nats, over the last epoch.
    pub divergence: Option<f64>,
    /// PPO: share of the probability ratios beyond the clip, over the last epoch.
    pub clipped_share: Option<f64>,
    /// PPO: share of the returns' variance that the critic foresaw.
    pub value_explained: Option<f64>,
    /// ES: length of the step in weight space.
    pub step_norm: Option<f64>,
    /// How much better than the imitated policy on the validation split (difference of the
    /// objectives), where it was judged.
    pub validation_gain: Option<f64>,
}

/// Parity of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParityResult {
    /// `policy` or `forecast`.
    pub network: String,
    /// Largest relative difference between tract and the runtime.
    pub tract_runtime: f64,
    /// Largest relative difference between burn and the runtime.
    pub burn_runtime: f64,
    /// Largest relative difference between burn and tract.
    pub burn_tract: f64,
}

impl ParityResult {
    /// The largest of the three differences.
    pub fn worst(&self) -> f64 {
        self.tract_runtime.max(self.burn_runtime).max(self.burn_tract)
    }
}

/// Wall-clock time of a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageTime {
    /// Name of the stage.
    pub stage: String,
    /// Seconds.
    pub wall_s: f64,
}
