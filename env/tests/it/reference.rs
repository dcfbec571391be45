//! The settings without what happens in real life give the figures that they have always
//! given, bit for bit: what is compared over months stays comparable.

use evenkeel_datasets::random::{generator, uniform};
use evenkeel_env::fleet::{Crashes, Fleet};
use evenkeel_env::host::ServiceOptions;
use evenkeel_env::host::fifo::FifoOptions;
use evenkeel_env::host::llm::LlmOptions;
use evenkeel_env::liar::{Liar, Lie};
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Outcome, Scenario, Workload};
use evenkeel_numbers::fnv::Fnv1a;

use crate::common::{conversations, run, scenarios, workload};

/// Policies that look at no estimate of the runtime's: their choices change with the
/// simulator alone.
const POLICIES: [&str; 4] = ["round_robin", "p2c", "least_request", "oracle_shortest_queue"];

/// All bits of an outcome in one number.
fn fingerprint(outcome: &Outcome, mut hash: u64) -> u64 {
    let mut add = |word: u64| {
        hash = Fnv1a::resume(hash).bytes(&word.to_le_bytes()).finish();
    };
    for record in &outcome.records {
        add(record.arrival_s.to_bits());
        add(record.latency_s.to_bits());
        add(record.ttft_s.to_bits());
        add(u64::from(record.host) << 32 | u64::from(record.balancer) << 16 | u64::from(record.attempts));
        add(record.status as u64);
    }
    for host in &outcome.hosts {
        add(host.busy_s.to_bits());
        add(host.work_s.to_bits());
        add(host.sent);
    }
    hash
}

fn fingerprints(scenario: &Scenario, workload: &Workload) -> u64 {
    let of = |hash, policy: &&str| fingerprint(&run(scenario, workload, policy, 5), hash);
    POLICIES.iter().fold(0xcbf2_9ce4_8422_2325, of)
}

#[test]
fn the_reference_settings_stay_as_they_are() {
    let workload = workload(2_000);
    let found = scenarios(6).map(|base| {
        let span_s = base.span_s(&workload);
        let crashes =
            Crashes { up_mean_s: 0.3 * span_s, down_s: 0.02 * span_s, warm_up_s: 0.02 * span_s, ..Crashes::NONE };
        let liars = vec![Liar { host: 1, lie: Lie::ReportsIdle }, Liar { host: 2, lie: Lie::FAILS_FAST }];
        let polled = TelemetryOptions { loss: 0.1, ..TelemetryOptions::polled(0.5) };
        [
            fingerprints(&base, &workload),
            fingerprints(&Scenario { telemetry: polled, load: 0.95, timeout_s: 9.0, ..base.clone() }, &workload),
            fingerprints(&Scenario { crashes, ..base.clone() }, &workload),
            fingerprints(&Scenario { liars, ..base }, &workload),
        ]
    });
    let llm = [0x4efe_3cb9_7f86_d9bb, 0x9f2b_c7e4_0fd8_1230, 0xad61_1c43_38ca_964f, 0xa159_5b8c_f53a_2c8f];
    let fifo = [0x1740_831a_ecdc_8e54, 0xbe0b_346e_45ce_0e20, 0x5ec6_e2ce_ad27_6d84, 0xfc3a_2d82_0abd_a8c6];
    assert_eq!(found, [llm, fifo], "{found:#018x?}");
}

#[test]
fn prefixes_stay_as_they_are() {
    let scenario = Scenario { balancers: 2, ..Scenario::llm(Fleet::het(4)) };
    let found = fingerprints(&scenario, &conversations(1_500));
    assert_eq!(found, 0x6b76_6907_4ff4_5870, "{found:#018x}");
}

#[test]
fn random_settings_stay_as_they_are() {
    let workload = workload(1_000);
    let services = [ServiceOptions::Llm(LlmOptions::default()), ServiceOptions::Fifo(FifoOptions::default())];
    let found = services.map(|service| {
        let mut rng = generator(8, 0);
        let mut hash = 0;
        for _ in 0..12 {
            let scenario = Scenario { requests_max: 300, ..Scenario::random_reference(service, &mut rng) };
            hash = (hash ^ fingerprints(&scenario, &workload)).rotate_left(7);
        }
        hash ^ uniform(&mut rng).to_bits()
    });
    assert_eq!(found, [0xacc9_e27e_b567_951f, 0xd95d_d004_12fb_5663], "{found:#018x?}");
}
