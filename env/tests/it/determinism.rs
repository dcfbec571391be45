//! Equal arguments give equal results, bit for bit, on any number of threads.

use evenkeel_datasets::random;
use evenkeel_env::fleet::{Crashes, Fleet};
use evenkeel_env::gym::Space;
use evenkeel_env::vector::VectorEnv;
use evenkeel_env::{BalanceEnv, BalanceOptions, Environment, Outcome, Scenario, policies};

use crate::common::{run, scenarios, workload};

/// Every bit of an outcome; comparing it directly would take NaN for a difference.
fn bits(outcome: &Outcome) -> Vec<u64> {
    let records = outcome.records.iter().flat_map(|record| {
        [record.latency_s.to_bits(), record.ttft_s.to_bits(), u64::from(record.host), u64::from(record.balancer)]
    });
    records.chain(outcome.hosts.iter().flat_map(|host| [host.busy_s.to_bits(), host.work_s.to_bits()])).collect()
}

#[test]
fn runs_repeat_bit_for_bit() {
    let workload = workload(1_000);
    for scenario in scenarios(5) {
        let crashes = Crashes { up_mean_s: 100.0, down_s: 2.0, ..Crashes::NONE };
        let scenario = Scenario { crashes, ..scenario };
        for entry in policies::REGISTRY {
            let first = bits(&run(&scenario, &workload, entry.name, 9));
            assert_eq!(first, bits(&run(&scenario, &workload, entry.name, 9)), "{}", entry.name);
            assert_ne!(first, bits(&run(&scenario, &workload, entry.name, 10)), "{}", entry.name);
        }
    }
}

#[test]
fn policies_meet_the_same_arrivals() {
    let workload = workload(5_000);
    for scenario in scenarios(5) {
        let scenario = Scenario { requests_max: 1_000, ..scenario };
        let arrivals =
            |policy| run(&scenario, &workload, policy, 4).records.iter().map(|r| r.arrival_s).collect::<Vec<_>>();
        assert_eq!(arrivals("random"), arrivals("ext"));
    }
}

#[test]
fn vectors_do_not_depend_on_the_number_of_threads() {
    let rewards = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        pool.install(|| {
            let scenario = Scenario { requests_max: 60, ..Scenario::llm(Fleet::het(4)) };
            let env = || BalanceEnv::new(scenario.clone(), workload(500), BalanceOptions::default());
            let mut vector = VectorEnv::new((0..6).map(|_| env()).collect(), 5);
            let mut trail: Vec<u64> = Vec::new();
            vector.reset();
            let mut rng = random::generator(1, 1);
            for _ in 0..80 {
                let actions: Vec<usize> = (0..vector.len()).map(|_| random::below(&mut rng, 4) as usize).collect();
                let steps = vector.step(actions);
                trail.extend(steps.iter().map(|step| step.step.reward.to_bits()));
                trail.extend(steps.iter().map(|step| u64::from(step.step.observation.values[0].to_bits())));
            }
            trail.extend(vector.run(|env, seed| {
                let (_, info) = env.reset(seed);
                let mut rng = random::generator(seed, 2);
                let action = env.action_space().sample(&mut rng);
                env.step(action).reward.to_bits() ^ info.now_s.to_bits()
            }));
            trail
        })
    };
    assert_eq!(rewards(1), rewards(4));
}
