//! What balancers know, and how old it is.

use evenkeel_env::fleet::{Antagonists, Fleet};
use evenkeel_env::policy::TelemetryEvent;
use evenkeel_env::telemetry::{Source, TelemetryOptions};
use evenkeel_env::{Decision, Policy, Scenario, simulate};

use crate::common::{run, workload};

/// Chooses at random, and notes the ages of what it was told.
#[derive(Default)]
struct Listener {
    ages_s: Vec<f64>,
    sources: Vec<Source>,
    telemetry_ages_s: Vec<f32>,
}

impl Policy for Listener {
    fn name(&self) -> &'static str {
        "listener"
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let slot = decision.state.host(0).expect("host 0 is registered");
        self.telemetry_ages_s.extend(slot.telemetry_age_s(decision.now_us));
        decision.draw_two().0 as usize
    }

    fn on_telemetry(&mut self, event: &TelemetryEvent) {
        self.ages_s.push(event.now_s - event.measured_s);
        self.sources.push(event.source);
    }
}

fn listen(telemetry: TelemetryOptions) -> Listener {
    let scenario = Scenario { telemetry, requests_max: 2_000, ..Scenario::llm(Fleet::het(4)) };
    let mut listener = Listener::default();
    simulate(&scenario, &workload(2_000), &mut listener, 1);
    listener
}

#[test]
fn reports_are_as_old_as_they_must_be() {
    let listener = listen(TelemetryOptions { delay_s: 0.1, ..TelemetryOptions::polled(0.5) });
    assert!(listener.sources.iter().all(|source| *source == Source::Poll));
    assert!(listener.ages_s.iter().all(|age_s| (age_s - 0.1).abs() < 1e-9));
    let (oldest_s, youngest_s) =
        listener.telemetry_ages_s.iter().fold((0f32, 9f32), |(o, y), age| (o.max(*age), y.min(*age)));
    assert!(youngest_s >= 0.0999 && (0.55..0.601).contains(&oldest_s), "{youngest_s} to {oldest_s}");
}

#[test]
fn no_telemetry_means_none_and_perfect_telemetry_has_no_age() {
    let listener = listen(TelemetryOptions::none());
    assert!(listener.ages_s.is_empty() && listener.telemetry_ages_s.is_empty());
    let listener = listen(TelemetryOptions::polled(0.0));
    assert_eq!(listener.telemetry_ages_s.len(), 2_000);
    assert!(listener.telemetry_ages_s.iter().all(|age_s| *age_s == 0.0));
}

#[test]
fn probes_and_piggybacked_reports_arrive() {
    let telemetry =
        TelemetryOptions { period_s: f64::INFINITY, probe_round_trip_s: 0.02, ..TelemetryOptions::default() };
    let listener = listen(telemetry);
    let count = |source| listener.sources.iter().filter(|s| **s == source).count();
    assert_eq!(count(Source::Poll), 0);
    assert!(count(Source::Piggyback) == 4_000, "first and last token of each: {}", count(Source::Piggyback));
    assert!((5_900..=6_000).contains(&count(Source::Probe)), "3 for each: {}", count(Source::Probe));
    let probes = listener.ages_s.iter().zip(&listener.sources).filter(|(_, source)| **source == Source::Probe);
    assert!(probes.map(|(age_s, _)| age_s).all(|age_s| (age_s - 0.01).abs() < 1e-9));
}

#[test]
fn lost_reports_do_not_arrive() {
    let kept = listen(TelemetryOptions { loss: 0.5, ..TelemetryOptions::polled(0.25) }).ages_s.len() as f64;
    let all = listen(TelemetryOptions::polled(0.25)).ages_s.len() as f64;
    assert!((0.47..0.53).contains(&(kept / all)), "{kept} of {all}");
}

#[test]
fn staler_telemetry_makes_ext_worse() {
    let latency_s = |period_s: f64| {
        let base = Scenario::llm(Fleet::het(8));
        let telemetry = TelemetryOptions::polled(period_s);
        let scenario = Scenario { telemetry, balancers: 8, load: 0.8, antagonists: Antagonists::standard(5.0), ..base };
        (0..3).map(|seed| mean_latency_s(&run(&scenario, &workload(6_000), "ext", seed))).sum::<f64>()
    };
    let (fresh, stale) = (latency_s(0.05), latency_s(20.0));
    assert!(fresh < stale, "every 50 ms {fresh}, every 20 s {stale}");
}

fn mean_latency_s(outcome: &evenkeel_env::Outcome) -> f64 {
    outcome.measured().iter().map(|record| record.latency_s).sum::<f64>() / outcome.measured().len() as f64
}
