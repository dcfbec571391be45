//! The file of tuned parameters that `tune` writes and `eval` reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use evenkeel_datasets::{Split, Trace};
use evenkeel_env::policies::{self, Entry};
use serde::{Deserialize, Serialize};

use super::setting::{Label, Setting};
use crate::output::write_whole;

/// Tuned parameters, and how they were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// How they were found.
    pub search: Search,
    /// The best parameters of each policy.
    pub policies: Vec<TunedPolicy>,
}

/// How parameters were searched for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Version of evenkeel.
    pub version: String,
    /// What was minimised.
    pub objective: String,
    /// Part of the traces that the candidates were replayed on.
    pub split: String,
    /// Requests of that part of each trace.
    pub trace_requests: Vec<usize>,
    /// What the candidates were replayed in.
    pub scenarios: Vec<Label>,
    /// Most requests of a replay.
    pub requests_max: usize,
    /// Candidates for each policy.
    pub budget: usize,
    /// Replays of a candidate in each scenario.
    pub seeds: u64,
    /// Seed of the search and of the first replay.
    pub seed: u64,
}

/// What was minimised, in words.
const OBJECTIVE: &str =
    "mean over scenarios and seeds of (ln latency_mean_s + ln latency_p99_s + ln ttft_mean_s) / 3, lower is better";

impl Search {
    /// A search in these settings of the validation part.
    pub fn new(settings: &[Setting], budget: usize, seeds: u64, seed: u64) -> Self {
        let mut trace_requests: Vec<(&str, usize)> = Vec::new();
        for setting in settings {
            let trace = setting.workload.trace();
            if !trace_requests.iter().any(|(name, _)| *name == trace.name) {
                trace_requests.push((&trace.name, trace.requests.len()));
            }
        }
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            objective: OBJECTIVE.to_owned(),
            split: "validation".to_owned(),
            trace_requests: trace_requests.into_iter().map(|(_, requests)| requests).collect(),
            scenarios: settings.iter().map(|setting| setting.label.clone()).collect(),
            requests_max: settings.first().map_or(0, |setting| setting.scenario.requests_max),
            budget,
            seeds,
            seed,
        }
    }
}

impl Search {
    /// A description of how these traces differ from those that were searched on, by name or by the
    /// requests of their validation part; none if they are the same.
    pub fn differs_from(&self, traces: &[Trace]) -> Option<String> {
        let mut searched: Vec<(&str, usize)> = Vec::new();
        for label in &self.scenarios {
            if !searched.iter().any(|(name, _)| *name == label.trace) {
                let requests = self.trace_requests.get(searched.len()).copied().unwrap_or_default();
                searched.push((&label.trace, requests));
            }
        }
        let here = traces.iter().map(|trace| {
            let [_, validation, _] = trace.split(&Split::default());
            (trace.name.as_str(), validation.requests.len())
        });
        let here: Vec<(&str, usize)> = here.collect();
        let describe = |traces: &[(&str, usize)]| {
            let each = traces.iter().map(|(name, requests)| format!("{name} ({requests} requests)"));
            each.collect::<Vec<_>>().join(", ")
        };
        (here.iter().any(|trace| !searched.contains(trace))).then(|| {
            format!("was searched on the validation part of {}, not of {}", describe(&searched), describe(&here))
        })
    }
}

/// The best parameters found for a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunedPolicy {
    /// Its name.
    pub policy: String,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, f64>,
    /// What they reach.
    pub objective: f64,
    /// What the published defaults reach.
    pub objective_default: f64,
    /// Replays that the search took, the same for every policy.
    pub simulations: u64,
}

impl Tuned {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// If it cannot be read, is no such file, or does not fit the policies of this version.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let tuned: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{}: expected a file that `evenkeel tune` wrote", path.display()))?;
        tuned.policies.iter().try_for_each(check).with_context(|| path.display().to_string())?;
        Ok(tuned)
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, &serde_json::to_vec_pretty(self)?)
    }

    /// Parameters of a policy, in the order of the registry, if they were tuned.
    pub fn parameters(&self, entry: &Entry) -> Option<Vec<f64>> {
        let own = self.policies.iter().find(|own| own.policy == entry.name)?;
        entry.parameters.iter().map(|parameter| own.parameters.get(parameter.name).copied()).collect()
    }
}

/// Whether the parameters are those that the policy has now, within their ranges.
fn check(tuned: &TunedPolicy) -> Result<()> {
    let name = &tuned.policy;
    let entry = policies::find(name).with_context(|| {
        format!("found tuned parameters of `{name}`, which is no policy of this version; tune again")
    })?;
    for parameter in entry.parameters {
        let Some(value) = tuned.parameters.get(parameter.name) else {
            bail!("policy `{name}`: parameter `{}` is missing; tune again", parameter.name);
        };
        ensure!(
            (parameter.min..=parameter.max).contains(value),
            "policy `{name}`, parameter `{}`: found {value}, expected a number from {} to {}",
            parameter.name,
            parameter.min,
            parameter.max
        );
    }
    if let Some(unknown) = tuned.parameters.keys().find(|key| entry.parameters.iter().all(|own| own.name != **key)) {
        bail!("policy `{name}` has no parameter `{unknown}`; tune again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::options::{Fault, TelemetryContents};
    use evenkeel_datasets::synth::Service;

    #[test]
    fn parameters_of_another_trace_are_noticed() {
        let (own, other) = (Service::new(1).trace(0.0, 600.0), Service::new(2).trace(0.0, 600.0));
        let [_, validation, _] = own.split(&Split::default());
        let label = Label {
            trace: own.name.clone(),
            service: String::new(),
            fleet: String::new(),
            hosts: 1,
            balancers: 1,
            telemetry_ms: None,
            telemetry_kind: TelemetryContents::default(),
            load: 0.7,
            polled_only: false,
            antagonists: false,
            fault: Fault::None,
        };
        let search = Search {
            version: String::new(),
            objective: String::new(),
            split: String::new(),
            trace_requests: vec![validation.requests.len()],
            scenarios: vec![label.clone(), label],
            requests_max: 0,
            budget: 0,
            seeds: 0,
            seed: 0,
        };
        assert_eq!(search.differs_from(std::slice::from_ref(&own)), None);
        let difference = search.differs_from(std::slice::from_ref(&other)).unwrap();
        assert!(difference.contains(&own.name) && difference.contains(&other.name), "{difference}");
        let longer = Trace { name: own.name.clone(), ..Service::new(1).trace(0.0, 1200.0) };
        assert!(search.differs_from(&[longer]).is_some(), "of another length");
    }
}
