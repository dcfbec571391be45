//! What happens to real fleets, and what policies make of it.

use std::path::Path;

use evenkeel_env::fleet::{Antagonists, Crash, Crashes, Fleet};
use evenkeel_env::liar::{Liar, Lie};
use evenkeel_env::life::{Claims, Exchanges, Join, Life, LifeKind, Nights, Patience, Retries, Spell, Spells};
use evenkeel_env::metrics::{Metrics, MetricsOptions, fair_share};
use evenkeel_env::policies::Learned;
use evenkeel_env::policy::TelemetryEvent;
use evenkeel_env::telemetry::TelemetryOptions;
use evenkeel_env::{Decision, Outcome, Policy, Record, Scenario, Status, Workload, simulate};
use evenkeel_runtime::Model;

use crate::common::{conversations, run, scenarios, workload};

/// Eight equal hosts that nothing slows down, at a load of 60 %.
fn quiet(life: Life) -> Scenario {
    Scenario { life, antagonists: Antagonists::NONE, load: 0.6, ..Scenario::llm(Fleet::hom(8)) }
}

fn general() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/general.ekm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a rule, or the trained policy as `evenkeel`.
fn run_any(scenario: &Scenario, workload: &Workload, policy: &str, seed: u64) -> Outcome {
    if policy == "evenkeel" {
        let artifact = general();
        let model = Model::parse(&artifact).expect("the general model is an artifact");
        return simulate(scenario, workload, &mut Learned::new(model), seed);
    }
    run(scenario, workload, policy, seed)
}

fn count(outcome: &Outcome, status: Status) -> usize {
    outcome.records.iter().filter(|record| record.status == status).count()
}

/// Share of the requests of a time that went to a host, over that of an equal share.
fn share_of(outcome: &Outcome, host: usize, time: std::ops::Range<f64>) -> f64 {
    let within: Vec<&Record> = outcome.records.iter().filter(|record| time.contains(&record.arrival_s)).collect();
    assert!(within.len() > 200, "{} requests say little", within.len());
    let here = within.iter().filter(|record| usize::from(record.host) == host).count();
    here as f64 / within.len() as f64 * outcome.hosts.len() as f64
}

#[test]
fn a_host_that_was_slow_gets_its_share_again() {
    let workload = workload(12_000);
    let spell = Spell { host: 3, at_s: 60.0, lasts_s: 60.0, slowness: 20.0 };
    let spells = Spells { scheduled: vec![spell], ..Spells::NONE };
    for telemetry in [TelemetryOptions::none(), TelemetryOptions::polled(0.25)] {
        let scenario = Scenario { telemetry, ..quiet(Life { spells: spells.clone(), ..Life::NONE }) };
        for policy in ["least_request", "ext", "evenkeel"] {
            let outcome = run_any(&scenario, &workload, policy, 1);
            let during = share_of(&outcome, 3, 80.0..120.0);
            assert!(during < 0.7, "{policy}: a host 20 times as slow gets {during} of an equal share");
            let after = share_of(&outcome, 3, 240.0..f64::INFINITY);
            assert!(after > 0.8, "{policy}, {telemetry:?}: two minutes after the spell it gets {after}");
        }
    }
}

#[test]
fn spells_at_random_come_and_go() {
    let spells = Spells { every_mean_s: 60.0, lasts_min_s: 1.0, lasts_max_s: 60.0, ..Spells::NONE };
    let slowed = quiet(Life { spells, ..Life::NONE });
    let mut slowness = Vec::new();
    simulate(
        &slowed,
        &workload(4_000),
        &mut Watcher(|decision: &Decision<'_>| slowness.push(decision.truth.hosts()[0].slowness())),
        1,
    );
    let slow = slowness.iter().filter(|slowness| **slowness > 1.0).count() as f64 / slowness.len() as f64;
    assert!((0.02..0.6).contains(&slow), "slow for {slow} of the time");
    assert!(slowness.iter().all(|slowness| *slowness == 1.0 || (1.2..=50.0).contains(slowness)));
}

/// Looks at every decision, and chooses the host with the fewest requests.
struct Watcher<F>(F);

impl<F: FnMut(&Decision<'_>)> Policy for Watcher<F> {
    fn name(&self) -> &'static str {
        "watcher"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        (self.0)(decision);
        let state = decision.state;
        decision.choose_lowest(|host| state.host(host).map_or(f64::NAN, |slot| f64::from(slot.in_flight())))
    }
}

#[test]
fn a_host_that_answers_without_work_is_neither_praised_nor_blamed() {
    let workload = workload(6_000);
    let liars = vec![Liar { host: 2, lie: Lie::NO_WORK }];
    let scenario = Scenario { liars, telemetry: TelemetryOptions::none(), ..quiet(Life::NONE) };
    for policy in ["ext", "evenkeel"] {
        let outcome = run_any(&scenario, &workload, policy, 1);
        let share = fair_share(&outcome, 2);
        assert!(share < 1.1, "{policy} sends it {share} of its fair share");
        let unworked = outcome.records.iter().filter(|record| record.status == Status::NoWork);
        assert!(unworked.clone().all(|record| record.host == 2 && (record.latency_s - 0.004).abs() < 1e-9));
        assert_eq!(unworked.count() as u64, outcome.hosts[2].sent);
        assert_eq!((count(&outcome, Status::Failed), outcome.hosts[2].answered), (0, 0));
        let metrics = Metrics::of(&outcome, &MetricsOptions::default());
        assert!(metrics.no_work_share > 0.0 && metrics.failed_share == 0.0);
        let answered = outcome.measured().iter().filter(|record| record.status == Status::Answered);
        let fastest_s = answered.map(|record| record.latency_s).fold(f64::INFINITY, f64::min);
        assert!(fastest_s > 0.004 && metrics.latency_p50_s > fastest_s, "refusals are in no figure of speed");
    }
    let drawn = fair_share(&run(&scenario, &workload, "least_request", 1), 2);
    assert!(drawn > 2.0, "who counts requests alone is drawn there: {drawn}");
}

#[test]
fn errors_are_tried_again_at_other_hosts() {
    let liars = vec![Liar { host: 2, lie: Lie::FAILS_FAST }];
    let retries = Retries { on_error: true, untried_only: true };
    let base = Scenario { liars, ..quiet(Life::NONE) };
    let plain = run(&base, &workload(2_000), "least_request", 1);
    assert!(count(&plain, Status::Failed) as u64 == plain.hosts[2].sent);
    let again = Scenario { life: Life { retries, ..Life::NONE }, ..base };
    let outcome = run(&again, &workload(2_000), "least_request", 1);
    assert_eq!(count(&outcome, Status::Failed), 0, "there are seven others");
    let repeated = outcome.records.iter().filter(|record| record.attempts > 1);
    assert_eq!(repeated.count() as u64, outcome.hosts[2].sent, "one attempt there, one elsewhere");
    // With nobody to try that has not been tried, all are again.
    let all = (0..8).map(|host| Liar { host, lie: Lie::FAILS_FAST }).collect();
    let outcome = run(&Scenario { liars: all, retries_max: 20, ..again }, &workload(100), "least_request", 1);
    assert!(outcome.records.iter().all(|record| record.attempts == 21 && record.status == Status::Failed));
}

#[test]
fn a_restart_that_is_announced_is_a_new_beginning() {
    const HOST: usize = 1;
    let crashes = Crashes { down_s: 5.0, ..Crashes::once(HOST, 60.0, 5.0) };
    let base = Scenario { crashes, balancers: 1, load: 0.9, ..quiet(Life::NONE) };
    // After the restart, before its first answer: is anything still known, or believed cached?
    let remembered = |restarts_announced| {
        let scenario = Scenario { life: Life { restarts_announced, ..Life::NONE }, ..base.clone() };
        let mut remembered = Vec::new();
        let mut sent = 0;
        let look = |decision: &Decision<'_>| {
            let slot = decision.state.host(HOST as u32).expect("it is registered");
            if decision.now_s < 65.0 {
                sent = slot.sent_total();
            } else if slot.sent_total() == sent {
                let cached = decision.request.cached_tokens.get(HOST).copied().unwrap_or(0);
                remembered.push(slot.latency_ewma_s().is_finite() || cached > 0);
            }
        };
        simulate(&scenario, &conversations(3_000), &mut Watcher(look), 1);
        assert!(!remembered.is_empty(), "it is looked at before it is sent anything");
        remembered.contains(&true)
    };
    assert!(remembered(false), "who does not hear of it goes by what was");
    assert!(!remembered(true));
}

#[test]
fn hosts_that_join_late_get_their_share_from_then_on() {
    let workload = workload(8_000);
    let joins = vec![Join { host: 5, at_s: 50.0 }, Join { host: 0, at_s: 70.0 }];
    let scenario = quiet(Life { joins, ..Life::NONE });
    for policy in ["least_request", "prequal", "ext", "evenkeel"] {
        let outcome = run_any(&scenario, &workload, policy, 2);
        let before = |host: u16, until_s: f64| {
            outcome.records.iter().any(|record| record.host == host && record.arrival_s < until_s)
        };
        assert!(!before(5, 50.0) && !before(0, 70.0), "{policy}: nobody knows of them");
        assert_eq!(count(&outcome, Status::Answered), 8_000, "{policy}");
        for host in [0, 5] {
            let share = share_of(&outcome, host, 150.0..f64::INFINITY);
            assert!((0.7..1.4).contains(&share), "{policy}: host {host} gets {share}");
        }
    }
}

#[test]
fn claims_are_wrong_or_missing_as_often_as_they_are_to_be() {
    let claims = Claims { wrong_share: 0.2, factor_max: 1e6, unknown_share: 0.25 };
    let scenario = quiet(Life { claims, ..Life::NONE });
    let (mut wrong, mut unknown, mut all) = (0, 0, 0);
    let look = |decision: &Decision<'_>| {
        let (claimed, has) = (decision.request.prompt_tokens, decision.truth.job().prompt_tokens);
        all += 1;
        unknown += u32::from(claimed == 0);
        wrong += u32::from(claimed != 0 && claimed != has);
    };
    simulate(&scenario, &workload(4_000), &mut Watcher(look), 1);
    let share = |count: u32| f64::from(count) / f64::from(all);
    assert!((0.17..0.23).contains(&share(wrong)), "{} claim something else", share(wrong));
    assert!((0.17..0.23).contains(&share(unknown)), "{} claim nothing", share(unknown));
}

#[test]
fn wrong_claims_cost_others_little() {
    let workload = workload(6_000);
    let mean_s = |claims| {
        let scenario = Scenario { load: 0.75, ..quiet(Life { claims, ..Life::NONE }) };
        let outcome = run_any(&scenario, &workload, "evenkeel", 1);
        Metrics::of(&outcome, &MetricsOptions::default()).latency_mean_s
    };
    let (truth_s, lies_s) =
        (mean_s(Claims::TRUE), mean_s(Claims { wrong_share: 0.05, factor_max: 1e6, unknown_share: 0.0 }));
    assert!(lies_s < 1.25 * truth_s, "{truth_s} s of true claims, {lies_s} s with one in twenty a lie");
}

/// Notes what a host says, and chooses in turn.
struct Ear {
    host: usize,
    said: Vec<(f64, f32, f32)>,
    decisions: usize,
}

impl Policy for Ear {
    fn name(&self) -> &'static str {
        "ear"
    }

    fn choose(&mut self, _decision: &mut Decision<'_>) -> usize {
        self.decisions += 1;
        self.decisions % 8
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        if event.host == self.host {
            self.said.push((event.measured_s, event.telemetry.running, event.telemetry.step_s));
        }
    }
}

fn hear(lie: Option<Lie>) -> Vec<(f64, f32, f32)> {
    let liars = lie.map(|lie| Liar { host: 2, lie }).into_iter().collect();
    let scenario = Scenario { liars, telemetry: TelemetryOptions::polled(0.5), ..quiet(Life::NONE) };
    let mut ear = Ear { host: 2, said: Vec::new(), decisions: 0 };
    simulate(&scenario, &workload(1_000), &mut ear, 1);
    ear.said
}

#[test]
fn reports_lie_as_they_are_to() {
    let truth = hear(None);
    for factor in [0.0, 1e-6, 1e-3, 1000.0] {
        let said = hear(Some(Lie::ReportsStep { factor }));
        let expected =
            truth.iter().map(|(at_s, running, step_s)| (*at_s, *running, (f64::from(*step_s) * factor) as f32));
        assert!(said.into_iter().eq(expected), "everything but the step is true");
    }
    let distinct = |said: &[(f64, f32, f32)]| {
        1 + said.windows(2).filter(|pair| (pair[0].1, pair[0].2) != (pair[1].1, pair[1].2)).count()
    };
    assert_eq!(distinct(&hear(Some(Lie::RepeatsReport { for_s: f64::INFINITY }))), 1);
    let (rare, all) = (distinct(&hear(Some(Lie::RepeatsReport { for_s: 10.0 }))), distinct(&truth));
    assert!(rare > 2 && 4 * rare < all, "{rare} of {all}");
}

#[test]
fn lies_about_the_step_draw_little() {
    let workload = workload(6_000);
    for policy in ["ext", "evenkeel"] {
        for factor in [0.0, 1e-6, 1e-3, 0.1] {
            let liars = vec![Liar { host: 2, lie: Lie::ReportsStep { factor } }];
            let scenario = Scenario { liars, telemetry: TelemetryOptions::polled(0.25), ..quiet(Life::NONE) };
            let share = fair_share(&run_any(&scenario, &workload, policy, 1), 2);
            assert!(share < 1.3, "{policy}: a step of {factor} times the true one draws {share} of the fair share");
        }
    }
}

#[test]
fn exchanges_stay_open_and_are_no_work() {
    let exchanges = Exchanges { share: 0.1, mean_s: 60.0 };
    let scenario = Scenario { timeout_s: 30.0, ..quiet(Life { exchanges, ..Life::NONE }) };
    let mut in_flight = 0.0f64;
    let look = |decision: &Decision<'_>| {
        let hosts = decision.truth.hosts().iter().map(evenkeel_env::host::Host::requests).sum::<usize>() as f64;
        let slots = decision.state.hosts().map(|(_, slot)| f64::from(slot.in_flight())).sum::<f64>();
        in_flight = in_flight.max(slots - hosts);
    };
    let outcome = simulate(&Scenario { balancers: 1, ..scenario.clone() }, &workload(3_000), &mut Watcher(look), 1);
    assert!(in_flight > 20.0, "balancers see them in flight, hosts do not: {in_flight}");
    let open: Vec<f64> = outcome.records.iter().filter(|r| r.status == Status::NoWork).map(|r| r.latency_s).collect();
    assert!((240..360).contains(&open.len()), "{} exchanges", open.len());
    let mean_s = open.iter().sum::<f64>() / open.len() as f64;
    assert!((50.0..70.0).contains(&mean_s), "open for {mean_s} s; requests time out, they do not");
    let longest_s = Metrics::of(&outcome, &MetricsOptions { failed_latency_s: 0.0, ..MetricsOptions::default() });
    assert!(longest_s.latency_p999_s <= 30.0, "they are in no figure of speed");
    // A crash cuts them off, and they are opened again elsewhere.
    let scheduled = (0..7).map(|host| Crash { host, at_s: 30.0 }).collect();
    let crashes = Crashes { scheduled, down_s: 1e6, ..Crashes::NONE };
    let outcome = run(&Scenario { crashes, ..scenario }, &workload(1_000), "round_robin", 1);
    let reopened = outcome.records.iter().filter(|r| r.status == Status::NoWork && r.attempts > 1);
    assert!(reopened.clone().count() > 0 && reopened.into_iter().all(|record| record.host == 7));
}

#[test]
fn clients_leave_when_their_patience_is_over() {
    let busy_s = |outcome: &Outcome| outcome.hosts.iter().map(|host| host.busy_s).sum::<f64>();
    for base in scenarios(6) {
        let typical_s = if crate::common::is_llm(&base) { 6.0 } else { 0.03 };
        let patience = Patience { leaving_share: 0.5, min_s: 0.1 * typical_s, max_s: typical_s, hosts_work_on: false };
        let run_with = |patience| {
            let life = Life { patience, ..Life::NONE };
            run(&Scenario { life, load: 0.9, ..base.clone() }, &workload(3_000), "least_request", 1)
        };
        let outcome = run_with(patience);
        let aborted = outcome.records.iter().filter(|record| record.status == Status::Aborted);
        let share = aborted.clone().count() as f64 / 3_000.0;
        assert!((0.1..0.5).contains(&share), "{share} leave");
        let bounds = patience.min_s - 1e-9..=patience.max_s + 1e-9;
        assert!(aborted.clone().all(|record| bounds.contains(&record.latency_s)));
        assert_eq!(count(&outcome, Status::Answered) + aborted.count(), 3_000);
        let metrics = Metrics::of(&outcome, &MetricsOptions::default());
        assert!(metrics.aborted_share > 0.1 && metrics.failed_share + metrics.timeout_share == 0.0);
        assert!(metrics.latency_mean_s < 60.0 * 0.1, "who leaves has waited so long, not a minute");
        let working_on = run_with(Patience { hosts_work_on: true, ..patience });
        assert!(busy_s(&outcome) < busy_s(&working_on), "dropped requests are no work");
        assert!(count(&outcome, Status::Aborted) < count(&working_on, Status::Aborted), "and make room for others");
    }
}

/// Ten sessions of twenty turns each, thought about for five seconds between them.
fn sessions() -> Workload {
    let mut trace = crate::common::trace(200, 3);
    for (number, request) in trace.requests.iter_mut().enumerate() {
        request.session = number as u64 % 10 + 1;
        if number >= 10 {
            request.think_s = 5.0;
        }
    }
    Workload::new(trace.clone(), &trace)
}

#[test]
fn a_closed_loop_waits_for_the_turn_before() {
    let workload = sessions();
    let scenario = quiet(Life { closed_loop: true, ..Life::NONE });
    let outcome = run(&scenario, &workload, "least_request", 1);
    assert_eq!(count(&outcome, Status::Answered), 200);
    let open = run(&quiet(Life::NONE), &workload, "least_request", 1);
    let span_s = |outcome: &Outcome| outcome.records.iter().map(|record| record.arrival_s).fold(0.0, f64::max);
    // Think times are stretched as the times of the trace are.
    let requests = &workload.trace().requests;
    let stretch = open.records[199].arrival_s / (requests[199].arrival_s - requests[0].arrival_s);
    for (before, turn) in outcome.records.iter().zip(&outcome.records[10..]) {
        let thought_s = turn.arrival_s - before.arrival_s - before.latency_s;
        assert!((thought_s - 5.0 * stretch).abs() < 1e-6, "{thought_s} s of {}", 5.0 * stretch);
    }
    let slow = Scenario { service: scenario.service, fleet: Fleet::cycle("slow", &[0.25], 8), ..scenario.clone() };
    let slowed = run(&slow, &workload, "least_request", 1);
    assert!(span_s(&slowed) > span_s(&outcome), "slow answers hold the next turns up");
    // Without sessions there is nothing to wait for.
    let plain = crate::common::workload(300);
    assert_eq!(run(&scenario, &plain, "p2c", 1).records, run(&quiet(Life::NONE), &plain, "p2c", 1).records);
}

#[test]
fn heads_that_come_early_are_no_first_tokens() {
    let crashes = Crashes { up_mean_s: 60.0, down_s: 5.0, ..Crashes::NONE };
    let early = |base: &Scenario, head_after_s| {
        let life = Life { head_after_s, ..Life::NONE };
        Scenario { crashes: crashes.clone(), load: 0.8, life, ..base.clone() }
    };
    let mut known_s = Vec::new();
    let look = |decision: &Decision<'_>| known_s.extend(decision.state.ttft_mean_s().map(f64::from));
    let scenario = Scenario { balancers: 1, ..early(&quiet(Life::NONE), 0.001) };
    let outcome = simulate(&scenario, &workload(3_000), &mut Watcher(look), 1);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let ttfts_s: Vec<f64> = outcome.records.iter().map(|r| r.ttft_s).filter(|ttft_s| ttft_s.is_finite()).collect();
    let (known_s, mean_s) = (mean(&known_s), mean(&ttfts_s));
    assert!((0.7..1.4).contains(&(known_s / mean_s)), "{known_s} s learned, the first token takes {mean_s} s");
    // What has a head cannot be tried again, even if it waits in a queue.
    let crashes = Crashes { up_mean_s: 2.0, down_s: 0.2, warm_up_s: 0.1, ..Crashes::NONE };
    let failed = |head_after_s| {
        let scenario = Scenario { ejection_s: 0.2, ..early(&Scenario::fifo(Fleet::hom(8)), head_after_s) };
        count(&run(&Scenario { crashes: crashes.clone(), ..scenario }, &workload(6_000), "p2c", 1), Status::Failed)
    };
    let (late, at_once) = (failed(f64::INFINITY), failed(0.001));
    assert!(at_once > 2 * late, "{at_once} of streams with early heads fail, {late} of others");
}

#[test]
fn nothing_arrives_at_night() {
    let nights = Nights { count: 3, lasts_s: 500.0 };
    let arrivals = |nights| -> Vec<f64> {
        let outcome = run(&quiet(Life { nights, ..Life::NONE }), &workload(2_000), "p2c", 1);
        outcome.records.iter().map(|record| record.arrival_s).collect()
    };
    let (with, without) = (arrivals(nights), arrivals(Nights::NONE));
    let gaps = with.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap_s| *gap_s >= 500.0).count();
    assert!((1..=3).contains(&gaps));
    assert!((with[1_999] - without[1_999] - 1500.0).abs() < 1e-6);
}

#[test]
fn every_kind_of_life_repeats_bit_for_bit_and_loses_no_request() {
    let traces = [workload(1_500), sessions()];
    for kind in LifeKind::ALL {
        let workload = &traces[usize::from(kind == LifeKind::ClosedLoop)];
        for base in scenarios(12) {
            let scenario = kind.applied_to(base.clone(), workload);
            assert!(scenario.life.check(12).is_ok() && scenario != base, "{}", kind.name());
            for policy in ["prequal", "ext"] {
                let outcome = run(&scenario, workload, policy, 7);
                let again = run(&scenario, workload, policy, 7);
                let bits = |outcome: &Outcome| -> Vec<_> {
                    let of = |r: &Record| (r.arrival_s.to_bits(), r.latency_s.to_bits(), r.ttft_s.to_bits(), r.host);
                    outcome.records.iter().map(of).collect()
                };
                assert_eq!(bits(&outcome), bits(&again), "{}", kind.name());
                assert_eq!(outcome.records.len(), workload.trace().requests.len());
                assert!(outcome.records.iter().all(|r| r.latency_s >= 0.0 && r.attempts >= 1), "{}", kind.name());
                let answered = count(&outcome, Status::Answered) as u64;
                assert_eq!(outcome.hosts.iter().map(|host| host.answered).sum::<u64>(), answered, "{}", kind.name());
                let refused = count(&outcome, Status::NoWork) as u64;
                assert!(
                    2 * (answered + refused) > outcome.records.len() as u64,
                    "{}: {answered} answered",
                    kind.name()
                );
            }
        }
    }
}

#[test]
fn random_settings_hold_some_of_each_kind() {
    use evenkeel_env::host::ServiceOptions;
    use evenkeel_env::host::llm::LlmOptions;
    const DRAWS: usize = 4_000;
    let service = ServiceOptions::Llm(LlmOptions::default());
    let mut rng = evenkeel_datasets::random::generator(3, 0);
    let mut plain_rng = evenkeel_datasets::random::generator(3, 0);
    let mut counts = [0usize; 11];
    let mut untouched = 0;
    for _ in 0..DRAWS {
        let drawn = Scenario::random(service, &mut rng);
        let reference = Scenario::random_reference(service, &mut plain_rng);
        let hosts = drawn.fleet.hosts();
        assert_eq!(drawn.life.check(hosts), Ok(()));
        untouched += usize::from(drawn == reference);
        let Scenario { life, liars, crashes, .. } = &drawn;
        let lies = |is: fn(&Lie) -> bool| liars.iter().any(|liar| is(&liar.lie));
        let has = [
            life.spells != Spells::NONE,
            life.nights != Nights::NONE,
            crashes != &Crashes::NONE,
            !life.joins.is_empty(),
            life.claims != Claims::TRUE,
            life.exchanges != Exchanges::NONE,
            life.patience != Patience::ENDLESS,
            life.closed_loop,
            lies(|lie| matches!(lie, Lie::FailsFast { .. })),
            lies(|lie| matches!(lie, Lie::NoWork { .. })),
            lies(|lie| !matches!(lie, Lie::FailsFast { .. } | Lie::NoWork { .. })),
        ];
        for (count, has) in counts.iter_mut().zip(has) {
            *count += usize::from(has);
        }
        let own = drawn.with_fleet(Fleet::het(2));
        assert_eq!(own.life.check(2), Ok(()), "what happens to hosts that are gone does not happen");
    }
    let share = |count: usize| count as f64 / DRAWS as f64;
    assert!(counts.iter().all(|count| (0.02..0.1).contains(&share(*count))), "{counts:?}");
    assert!((0.55..0.7).contains(&share(untouched)), "{} are as they were", share(untouched));
}

#[test]
#[should_panic(expected = "life.claims.wrong_share is 1.5, expected 0 to 1")]
fn options_out_of_bounds_are_refused() {
    let claims = Claims { wrong_share: 1.5, ..Claims::TRUE };
    let _ = run(&quiet(Life { claims, ..Life::NONE }), &workload(10), "p2c", 1);
}
