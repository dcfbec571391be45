//! The centralised critic: what a state is worth, from what no balancer sees.
//!
//! Only training has it (centralised training, decentralised execution: Lowe et al.,
//! NeurIPS 2017; Yu et al., NeurIPS 2022). Its input is a summary of the simulator's true
//! state that does not depend on the number or the order of hosts.

use burn::module::Module;
use burn::nn::Linear;
use burn::prelude::{Device, Tensor};
use burn::tensor::TensorData;
use burn::tensor::activation::tanh;
use evenkeel_env::Decision;
use evenkeel_env::policy::Setting;
use evenkeel_runtime::{Engine, ServiceModel};
use rand_pcg::Pcg64Mcg;

use crate::layers::{floats, seeded_linear};

/// Numbers per host that are summarised.
const PER_HOST: usize = 5;
/// Statistics of each over the hosts: mean, standard deviation, lowest, highest.
const STATISTICS: usize = 4;
/// Numbers about the request and the setting.
const SHARED: usize = 5;
/// Length of a summary.
pub const SUMMARY: usize = PER_HOST * STATISTICS + SHARED;

const HIDDEN: usize = 32;

/// The true state at a decision, in [`SUMMARY`] numbers of order 1.
pub fn summary(decision: &Decision<'_>, setting: &Setting) -> [f32; SUMMARY] {
    let (service, job) = (&setting.service, decision.truth.job());
    let hosts = decision.truth.hosts();
    let per_host = hosts.iter().map(|host| {
        let report = host.report(decision.now_s);
        let stretch = host.slowness() / host.speed();
        let requests = (host.requests() as f64).ln_1p();
        [
            requests,
            (report.pending_prefill_tokens as f64 / f64::from(service.prompt_tokens_mean)).ln_1p(),
            report.kv_use,
            stretch.ln(),
            // About the logarithm of the work ahead.
            requests + stretch.ln(),
        ]
    });
    let count = hosts.len() as f64;
    let (mut sums, mut squares) = ([0.0; PER_HOST], [0.0; PER_HOST]);
    let (mut lowest, mut highest) = ([f64::INFINITY; PER_HOST], [f64::NEG_INFINITY; PER_HOST]);
    for values in per_host {
        for (index, value) in values.into_iter().enumerate() {
            sums[index] += value;
            squares[index] += value * value;
            lowest[index] = lowest[index].min(value);
            highest[index] = highest[index].max(value);
        }
    }
    let mut summary = [0.0; SUMMARY];
    let (statistics, shared) = summary.split_at_mut(PER_HOST * STATISTICS);
    for (index, place) in statistics.as_chunks_mut::<STATISTICS>().0.iter_mut().enumerate() {
        let mean = sums[index] / count;
        let deviation = (squares[index] / count - mean * mean).max(0.0).sqrt();
        *place = [mean as f32, deviation as f32, lowest[index] as f32, highest[index] as f32];
    }
    shared.copy_from_slice(&[
        ((f64::from(job.prompt_tokens) + 1.0) / f64::from(service.prompt_tokens_mean)).ln() as f32,
        ((f64::from(job.output_tokens) + 1.0) / f64::from(service.output_tokens_mean)).ln() as f32,
        (job.service_s / service_mean_s(service) + 1e-2).ln() as f32,
        (count / 16.0).ln() as f32,
        (setting.balancers as f64 / 4.0).ln() as f32,
    ]);
    summary
}

/// Mean service time; of a language model, whose requests have none, any number does.
fn service_mean_s(service: &ServiceModel) -> f64 {
    match &service.engine {
        Engine::Llm(_) => 1.0,
        Engine::Fifo(fifo) => f64::from(fifo.service_mean_s.max(1e-9)),
    }
}

/// A summary → 32 → 32 → 1, tanh.
#[derive(Module, Debug)]
pub struct Critic {
    first: Linear,
    second: Linear,
    value: Linear,
}

impl Critic {
    /// A critic that thinks little of every state.
    pub fn new(rng: &mut Pcg64Mcg, device: &Device) -> Self {
        Self {
            first: seeded_linear(SUMMARY, HIDDEN, 1.0, rng, device),
            second: seeded_linear(HIDDEN, HIDDEN, 1.0, rng, device),
            value: seeded_linear(HIDDEN, 1, 0.1, rng, device),
        }
    }

    /// Values of states: `[states, SUMMARY]` in, `[states]` out.
    pub fn values(&self, summaries: Tensor<2>) -> Tensor<1> {
        let [states, _] = summaries.dims();
        let hidden = tanh(self.second.forward(tanh(self.first.forward(summaries))));
        self.value.forward(hidden).reshape([states])
    }

    /// The same for plain numbers, one summary after the other.
    pub fn evaluate(&self, summaries: &[[f32; SUMMARY]], device: &Device) -> Vec<f32> {
        summaries.chunks(4096).flat_map(|chunk| floats(self.values(states(chunk.iter(), device)))).collect()
    }
}

/// Summaries as a tensor `[states, SUMMARY]`.
pub fn states<'a>(summaries: impl ExactSizeIterator<Item = &'a [f32; SUMMARY]>, device: &Device) -> Tensor<2> {
    let count = summaries.len();
    Tensor::from_data(TensorData::new(summaries.flatten().copied().collect::<Vec<f32>>(), [count, SUMMARY]), device)
}
