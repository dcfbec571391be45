//! The adapter to gym-rs.

use evenkeel_env::fleet::Fleet;
use evenkeel_env::gym_rs_adapter::GymBalanceEnv;
use evenkeel_env::{BalanceEnv, BalanceOptions, Scenario};
use gym_rs::core::{Env, EnvProperties};

use crate::common::workload;

#[test]
fn a_clone_goes_on_as_the_original_would() {
    let scenario = Scenario { requests_max: 50, ..Scenario::llm(Fleet::het(4)) };
    let mut env = GymBalanceEnv::new(BalanceEnv::new(scenario, workload(500), BalanceOptions::default()), 1);
    let (observation, info) = env.reset(Some(3), true, None);
    assert_eq!(Vec::<f64>::from(observation).len(), env.observation_space().low.0.len());
    assert_eq!(info.map(|info| info.action_mask), Some(vec![true; 4]));
    for action in [0, 1, 2, 3, 1] {
        assert!(!env.step(action).done);
    }
    let mut copy = env.clone();
    assert_eq!(copy.step(2), env.step(2));
    assert_eq!(*env.action_space(), gym_rs::spaces::Discrete(4));
}
