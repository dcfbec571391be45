//! What a policy is trained on: workloads, random settings of the simulator, and what the
//! policy is allowed to use.

use anyhow::{Context, Result};
use evenkeel_datasets::random::uniform;
use evenkeel_env::fleet::Fleet;
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Scenario, Workload};
use evenkeel_export::artifact::with_guard;
use evenkeel_export::compile;
use evenkeel_runtime::ServiceModel;
use rand_pcg::Pcg64Mcg;

use super::export;
use super::network::PolicyWeights;
use crate::output::RunFolder;

/// What a policy is trained on, and where its files go.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// For checkpoints and for the ONNX files by way of which weights are compiled.
    pub folder: &'a RunFolder,
    /// The training part of each trace.
    pub training: &'a [Workload],
    /// The validation part of each trace.
    pub validation: &'a [Workload],
    /// How hosts work.
    pub hosts: ServiceOptions,
    /// The user's own hosts, if they are known.
    pub fleet: Option<&'a Fleet>,
    /// What balancers know of the service.
    pub service: &'a ServiceModel,
    /// What the policy may use.
    pub means: Means,
}

/// What a policy may use; all of it, unless something is left out to see what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each can be left out by itself")]
pub struct Means {
    /// The graph context: what the mean over the hosts looks like.
    pub context: bool,
    /// Probes sent beside requests.
    pub probes: bool,
    /// Any report of the hosts: polled, with responses, or probed.
    pub telemetry: bool,
    /// What happens to real fleets, in the settings that it is trained in.
    pub life: bool,
}

impl Means {
    /// Everything.
    pub const ALL: Self = Self { context: true, probes: true, telemetry: true, life: true };

    /// The setting without what the policy may not use.
    #[must_use]
    pub fn restrict(&self, scenario: Scenario) -> Scenario {
        let telemetry = match self {
            Self { telemetry: false, .. } => TelemetryOptions::none(),
            Self { probes: false, .. } => TelemetryOptions { probes_per_request: 0, ..scenario.telemetry },
            Self { .. } => scenario.telemetry,
        };
        Scenario { telemetry, ..scenario }
    }
}

impl Task<'_> {
    /// A random setting with at most so many requests; two in three with the user's own hosts,
    /// if they are known: a policy that has seen no others would be lost when some are replaced.
    pub fn random_scenario(&self, requests_max: usize, rng: &mut Pcg64Mcg) -> Scenario {
        let draw = if self.means.life { Scenario::random } else { Scenario::random_reference };
        let random = draw(self.hosts, rng);
        let scenario = match self.fleet {
            Some(own) if uniform(rng) < 2.0 / 3.0 => random.with_fleet(own.clone()),
            _ => random,
        };
        self.means.restrict(Scenario { requests_max, ..scenario })
    }

    /// The setting in which policies are compared: the user's own hosts, or 16 of three speeds, with
    /// antagonists, 4 balancers, telemetry every 250 ms, piggybacked and probed.
    pub fn standard_scenario(&self, load: f64, requests_max: usize) -> Scenario {
        let fleet = self.fleet.cloned().unwrap_or_else(|| Fleet::het(16));
        let base = match self.hosts {
            ServiceOptions::Llm(_) => Scenario::llm(fleet),
            ServiceOptions::Fifo(_) => Scenario::fifo(fleet),
        };
        self.means.restrict(Scenario { service: self.hosts, load, requests_max, ..base })
    }

    /// The policy as it will be served: by way of ONNX, so that training runs the same code
    /// as production. `name` tells files apart that are written at the same time.
    pub fn compile(&self, weights: &PolicyWeights, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.checkpoint(&format!("{name}.onnx"));
        export::onnx(weights, &[])?.write(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let artifact = compile(Some(&path), None, &self.served(weights), "{}")?;
        Ok(match weights.guard() {
            Some(guard) => with_guard(&artifact, &guard)?,
            None => artifact,
        })
    }

    /// The service model that goes into an artifact with these weights.
    pub fn served(&self, weights: &PolicyWeights) -> ServiceModel {
        ServiceModel { herding_weight: weights.herding_weight, ..*self.service }
    }
}
