//! What balancers remember of the prompts that they sent where.

use evenkeel_env::fleet::Fleet;
use evenkeel_env::{Decision, Policy, Scenario, simulate};

use crate::common::{conversations, workload};

/// Follows the estimate, and compares it with the truth.
#[derive(Default)]
struct Comparison {
    estimated: f64,
    cached: f64,
    /// Cached and estimated so.
    agreed: f64,
    looks: usize,
}

impl Policy for Comparison {
    fn name(&self) -> &'static str {
        "comparison"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let (truth, estimates) = (decision.truth, decision.request.cached_tokens);
        for (host, estimate) in truth.hosts().iter().zip(estimates) {
            let cached = f64::from(host.cached_tokens(truth.job()));
            self.estimated += f64::from(*estimate);
            self.cached += cached;
            self.agreed += cached.min(f64::from(*estimate));
            self.looks += 1;
        }
        let state = decision.state;
        decision.choose_lowest(|host| {
            let in_flight = state.host(host).map_or(f64::NAN, |slot| f64::from(slot.in_flight()));
            in_flight - 0.001 * f64::from(estimates.get(host as usize).copied().unwrap_or(0))
        })
    }
}

fn compare(balancers: usize, requests: usize) -> Comparison {
    let scenario = Scenario { balancers, load: 0.9, ..Scenario::llm(Fleet::hom(4)) };
    let mut comparison = Comparison::default();
    simulate(&scenario, &conversations(requests), &mut comparison, 1);
    comparison
}

/// What is guessed and right, of what is cached and of what is guessed.
fn shares(balancers: usize, requests: usize) -> (f64, f64) {
    let Comparison { estimated, cached, agreed, looks } = compare(balancers, requests);
    assert_eq!(looks, 4 * requests);
    println!(
        "{balancers}: {:.2} of what is cached is known, {:.2} of what is said is right",
        agreed / cached,
        agreed / estimated
    );
    (agreed / cached, agreed / estimated)
}

#[test]
fn a_lone_balancer_knows_what_is_cached() {
    let (known, right) = shares(1, 2_000);
    assert!(known > 0.85 && right > 0.8, "{known} {right}");
}

#[test]
fn one_of_several_balancers_knows_its_share() {
    let (known, right) = shares(4, 4_000);
    assert!(known > 0.25 && right > 0.6, "the others' prompts are unknown, and push out one's own: {known} {right}");
}

#[test]
fn without_prefixes_nothing_is_looked_up() {
    let mut comparison = Comparison::default();
    simulate(&Scenario::llm(Fleet::hom(4)), &workload(200), &mut comparison, 1);
    assert_eq!(comparison.looks, 0);
}
