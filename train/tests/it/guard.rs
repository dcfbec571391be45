//! The guard: whatever happens to the weights or is reported by hosts, the policy stays
//! near the analytic rule.

use std::path::Path;

use evenkeel_datasets::random::{generator, normal};
use evenkeel_datasets::{LoadOptions, Split, Trace, load_trace};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::liar::{Liar, Lie};
use evenkeel_env::policies::{Ext, Learned, LeastRequest};
use evenkeel_env::{Outcome, Policy, Scenario, Status, Workload, simulate};
use evenkeel_runtime::{Model, ServiceModel};
use evenkeel_train::layers::Weights;
use evenkeel_train::output::RunFolder;
use evenkeel_train::policy::embedded;
use evenkeel_train::policy::network::PolicyWeights;
use evenkeel_train::policy::task::{Means, Task};

use crate::support::{LLM_COLUMNS, succeed, text, write_llm_trace};

/// A quickly trained policy, and the workload that it was trained for.
struct Trained {
    folder: tempfile::TempDir,
    weights: PolicyWeights,
    workload: Workload,
    service: ServiceModel,
}

fn hosts() -> ServiceOptions {
    ServiceOptions::Llm(LlmOptions::default())
}

fn trained() -> Trained {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write_llm_trace(folder.path());
    let out = folder.path().join("out");
    let arguments = ["train", "--quick", "--device", "cpu", "--fine-tune", "none", "--format", "csv"];
    succeed(&[&arguments[..], &["--columns", LLM_COLUMNS, "--trace", text(&path), "--out", text(&out)]].concat());
    let weights = embedded::read(&out.join("evenkeel.ekm")).expect("the artifact holds its policy").weights;
    let trace = read(&path);
    let [training, ..] = trace.split(&Split::default());
    let workload = Workload::new(trace, &training);
    let service = workload.service_model(&hosts());
    Trained { folder, weights, workload, service }
}

fn read(path: &Path) -> Trace {
    let options = LoadOptions { columns: Some(LLM_COLUMNS.parse().expect("columns")), ..LoadOptions::default() };
    load_trace(path, Some("csv".parse().expect("a format")), &options).expect("the trace")
}

impl Trained {
    fn task<'a>(&'a self, folder: &'a RunFolder) -> Task<'a> {
        Task {
            folder,
            training: std::slice::from_ref(&self.workload),
            validation: std::slice::from_ref(&self.workload),
            hosts: hosts(),
            fleet: None,
            service: &self.service,
            means: Means::ALL,
        }
    }
}

fn mean_latency_s(outcome: &Outcome) -> f64 {
    let measured = outcome.measured();
    measured.iter().map(|record| record.latency_s).sum::<f64>() / measured.len() as f64
}

/// A layer with noise of this share of its root mean square on every number.
fn shaken(layer: &Weights, share: f64, rng: &mut rand_pcg::Pcg64Mcg) -> Weights {
    let squares: f32 = layer.weights.iter().map(|weight| weight * weight).sum();
    let deviation = share * f64::from((squares / layer.weights.len() as f32).sqrt());
    let mut shake = |numbers: &[f32]| numbers.iter().map(|n| n + normal(rng, 0.0, deviation) as f32).collect();
    Weights { weights: shake(&layer.weights), bias: shake(&layer.bias), ..*layer }
}

#[test]
fn perturbed_weights_stay_within_a_fifth_of_the_analytic_rule() {
    let trained = trained();
    let folder = RunFolder::create(Some(trained.folder.path())).expect("a folder");
    let task = trained.task(&folder);
    let scenario = task.standard_scenario(0.8, 2000);
    let rule_s = mean_latency_s(&simulate(&scenario, &trained.workload, &mut Ext::default(), 5));
    for (index, share) in [0.0, 0.03, 0.1, 0.1, 0.1, 0.1].into_iter().enumerate() {
        let rng = &mut generator(11, index as u64);
        let old = &trained.weights;
        let weights = PolicyWeights {
            host: shaken(&old.host, share, rng),
            context: shaken(&old.context, share, rng),
            second: shaken(&old.second, share, rng),
            output: shaken(&old.output, share, rng),
            ..old.clone()
        };
        let artifact = task.compile(&weights, "shaken").expect("compiles");
        let mut policy = Learned::new(Model::parse(&artifact).expect("valid"));
        let latency_s = mean_latency_s(&simulate(&scenario, &trained.workload, &mut policy, 5));
        assert!(latency_s <= 1.2 * rule_s, "noise {share}: {latency_s} s against {rule_s} s");
    }
}

#[test]
fn a_lying_host_gets_at_most_half_more_than_its_share() {
    let trained = trained();
    let folder = RunFolder::create(Some(trained.folder.path())).expect("a folder");
    let task = trained.task(&folder);
    let artifact = task.compile(&trained.weights, "honest").expect("compiles");
    for lie in [Lie::ReportsIdle, Lie::FAILS_FAST] {
        let scenario = Scenario { liars: vec![Liar { host: 4, lie }], ..task.standard_scenario(0.7, 2000) };
        let mut policy = Learned::new(Model::parse(&artifact).expect("valid"));
        let share = share_of(4, &scenario, &trained.workload, &mut policy);
        // Its share of the fleet's speed is what it would deserve.
        let speeds = &scenario.fleet.speeds;
        let fair = speeds[4] / speeds.iter().sum::<f64>();
        let least_request = share_of(4, &scenario, &trained.workload, &mut LeastRequest::default());
        assert!(share <= 1.5 * fair, "{lie:?}: {share:.3}, fair {fair:.3}, least request {least_request:.3}");
    }
}

/// Share of the measured requests that went to a host.
fn share_of(host: u16, scenario: &Scenario, workload: &Workload, policy: &mut dyn Policy) -> f64 {
    let outcome = simulate(scenario, workload, policy, 5);
    let measured = outcome.measured();
    assert!(measured.iter().any(|record| record.status == Status::Answered));
    measured.iter().filter(|record| record.host == host).count() as f64 / measured.len() as f64
}
