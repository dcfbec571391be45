//! The environment keeps gymnasium's promises.

use evenkeel_datasets::random;
use evenkeel_env::fleet::Fleet;
use evenkeel_env::gym::Space;
use evenkeel_env::{BalanceEnv, BalanceOptions, Environment, Scenario};

use crate::common::workload;

fn env(options: BalanceOptions) -> BalanceEnv {
    let scenario = Scenario { requests_max: 300, ..Scenario::llm(Fleet::het(5)) };
    BalanceEnv::new(scenario, workload(1_000), options)
}

#[test]
fn an_episode_earns_minus_its_latencies() {
    let mut env = env(BalanceOptions { ttft_weight: 4.0, ..BalanceOptions::default() });
    let (observation, info) = env.reset(7);
    assert!(env.observation_space().contains(&observation));
    assert_eq!(info.action_mask, [true; 5]);
    let mut rng = random::generator(1, 0);
    let (mut earned, mut steps) = (0.0, 0);
    loop {
        let action = env.action_space().sample(&mut rng);
        let step = env.step(action);
        assert!(env.observation_space().contains(&step.observation));
        assert!(step.reward <= 0.0 && !step.truncated);
        earned += step.reward;
        steps += 1;
        if step.terminated {
            break;
        }
    }
    assert_eq!(steps, 300);
    let simulation = env.simulation().expect("an episode was run");
    let accrued = simulation.accrued();
    let typical_s = f64::from(simulation.setting().service.latency_typical_s);
    let cost = (accrued.latency_s + 4.0 * accrued.ttft_s) / typical_s;
    assert!((earned + cost).abs() < 1e-9 * cost, "earned {earned}, cost {cost}");
}

#[test]
fn truncation_is_not_termination() {
    let mut env = env(BalanceOptions { decisions_max: 10, ..BalanceOptions::default() });
    env.reset(1);
    let steps: Vec<_> = (0..10).map(|_| env.step(0)).collect();
    assert!(steps[..9].iter().all(|step| !step.is_over()));
    assert!(steps[9].truncated && !steps[9].terminated);
    let (first, _) = env.reset(1);
    let (again, _) = env.reset(1);
    assert_eq!(first, again, "a seed gives one episode");
}
