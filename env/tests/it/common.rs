//! Workloads and scenarios that several tests share.

use evenkeel_datasets::{Request, Trace, random};
use evenkeel_env::fleet::Fleet;
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::{Outcome, Scenario, Workload, policies, simulate};

/// Poisson arrivals, lognormal prompts (mean 1200) and outputs (mean 250).
pub(crate) fn trace(requests: usize, seed: u64) -> Trace {
    let mut rng = random::generator(seed, 0);
    let mut arrival_s = 0.0;
    let requests = (0..requests).map(|_| {
        arrival_s += random::exponential(&mut rng, 1.0);
        let prompt = random::log_normal(&mut rng, 6.6, 1.0) as u32;
        let output = random::log_normal(&mut rng, 5.2, 0.8) as u32;
        Request::new(arrival_s, prompt, output)
    });
    Trace { requests: requests.collect(), ..Trace::default() }
}

pub(crate) fn workload(requests: usize) -> Workload {
    Workload::new(trace(requests, 2), &trace(5_000, 1))
}

/// One scenario of each kind of service, antagonists and all.
pub(crate) fn scenarios(hosts: usize) -> [Scenario; 2] {
    [Scenario::llm(Fleet::het(hosts)), Scenario::fifo(Fleet::het(hosts))]
}

pub(crate) fn run(scenario: &Scenario, workload: &Workload, policy: &str, seed: u64) -> Outcome {
    let entry = policies::find(policy).expect("the policy is in the registry");
    simulate(scenario, workload, entry.build_default().as_mut(), seed)
}

pub(crate) fn is_llm(scenario: &Scenario) -> bool {
    matches!(scenario.service, ServiceOptions::Llm(_))
}

/// Conversations: each request of one shares the blocks before it, and adds one.
pub(crate) fn conversations(requests: usize) -> Workload {
    const BLOCK_TOKENS: u32 = 512;
    let mut rng = random::generator(3, 0);
    let mut trace = Trace { prefix_block_tokens: BLOCK_TOKENS, ..Trace::default() };
    let mut lengths = vec![4u64; 40];
    let mut arrival_s = 0.0;
    for _ in 0..requests {
        arrival_s += random::exponential(&mut rng, 1.0);
        let conversation = random::below(&mut rng, 40) as usize;
        lengths[conversation] = 4 + (lengths[conversation] - 3) % 8;
        let blocks = lengths[conversation];
        let output = random::log_normal(&mut rng, 4.0, 0.8) as u32;
        let begin = trace.prefix_blocks.len() as u32;
        trace.prefix_blocks.extend((0..blocks).map(|block| conversation as u64 * 1000 + block + 1));
        trace.requests.push(Request {
            prefix_begin: begin,
            prefix_len: blocks as u16,
            ..Request::new(arrival_s, blocks as u32 * BLOCK_TOKENS, output)
        });
    }
    Workload::new(trace.clone(), &trace)
}
