//! The columns against the same features written out naively, host by host.

use std::vec;
use std::vec::Vec;

use super::{HOST_FEATURES, LN_RATIO_MAX, NAMES, TELEMETRY_STALE_S, View, write_rows};
use crate::candidates::{Candidates, Eligible};
use crate::math;
use crate::outcome::{Outcome, Status};
use crate::program::stride;
use crate::request::Request;
use crate::service::{Engine, Fifo, Llm, ServiceModel};
use crate::simd::Level;
use crate::slot::{AVERAGING_TIME_S, HostSlot};
use crate::state::{State, StateHeader};
use crate::telemetry::Telemetry;

/// Worst error of a feature.
const ERROR_MAX: f64 = 6e-6;

/// One host's features, from what its slot says.
fn naive(
    service: &ServiceModel,
    state: &State<'_>,
    host: u32,
    slot: &HostSlot,
    request: &Request<'_>,
    now_us: u64,
) -> [f64; HOST_FEATURES] {
    let view = View::new(service, state, host, slot, request, now_us);
    let prompts = 1.0 / f64::from(service.prompt_tokens_mean);
    let kv_after = f64::from(service.kv_use_after(&view.load, view.prompt_tokens, view.output_tokens));
    let latency_s = f64::from(service.latency_typical_s);
    let age_s = f64::from(view.telemetry_age_s);
    let or_mean = |own_s: f32, mean_s: Option<f32>| if own_s.is_nan() { mean_s.unwrap_or(f32::NAN) } else { own_s };
    let sent = if view.telemetry_age_s < TELEMETRY_STALE_S { slot.sent_since_telemetry() } else { slot.in_flight() };
    let prompt_tokens_sent = slot.prompt_tokens_since_telemetry().min(slot.in_flight_prompt_tokens());
    let peak_s = slot.peak_latency_s(now_us);
    let fading = f64::from(math::exp(-slot.silence_s(now_us) / AVERAGING_TIME_S));
    let peak_s =
        if peak_s.is_nan() { f64::from(or_mean(peak_s, state.latency_mean_s())) * fading } else { f64::from(peak_s) };
    let ln_1p = |x: f64| x.max(0.0).ln_1p().min(10.0);
    let max = f64::from(LN_RATIO_MAX);
    let ln_ratio = |x: f64| if x > 0.0 { x.ln().clamp(-max, max) } else { 0.0 };
    [
        f64::from(view.estimate_s(service)).ln().clamp(-20.0, 20.0),
        0.0,
        ln_1p(f64::from(slot.in_flight())),
        ln_1p(f64::from(view.load.requests)),
        ln_1p(f64::from(view.waiting)),
        ln_1p(f64::from(view.load.pending_prefill_tokens) * prompts),
        ln_1p(f64::from(sent)),
        ln_1p(f64::from(prompt_tokens_sent) * prompts),
        f64::from(view.knowledge),
        ln_ratio(f64::from(view.load.step_s / service.step_typical_s)),
        ln_ratio(f64::from(or_mean(slot.latency_ewma_s(), state.latency_mean_s())) / latency_s),
        ln_ratio(f64::from(or_mean(slot.ttft_ewma_s(), state.ttft_mean_s())) / f64::from(service.ttft_typical_s)),
        ln_ratio(peak_s / latency_s),
        ln_ratio((f64::from(request.expected_prompt_tokens(service)) + 1.0) * prompts),
        ln_1p(f64::from(slot.in_flight_prompt_tokens()) * prompts),
        ln_1p(f64::from(slot.completions_per_s(now_us)) * latency_s),
        ln_1p(f64::from(slot.silence_s(now_us)) / latency_s),
        ln_1p(f64::from(state.arrivals_per_s()) * age_s),
        f64::from(view.load.kv_use),
        ln_1p(age_s * 10.0),
        (1.0 - kv_after).clamp(0.0, 1.0),
        (kv_after - 1.0).clamp(0.0, 1.0),
        f64::from(view.cached_share),
        f64::from(view.load.failure_share),
    ]
}

/// xorshift64* (Vigna, 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    fn share(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 20) as f32
    }
}

fn llm(random: &mut Random) -> Llm {
    Llm {
        step_base_s: 0.015,
        step_per_request_s: 1e-4,
        step_per_kv_token_s: 3e-7,
        step_per_prefill_token_s: if random.below(4) == 0 { 0.0 } else { 1e-4 },
        batch_max: 1.0 + random.below(64) as f32,
        kv_capacity_tokens: 1e4 + 1e5 * random.share(),
    }
}

fn fifo(random: &mut Random) -> Fifo {
    Fifo { service_mean_s: 1.0, servers: 1.0 + random.below(4) as f32 }
}

fn service(random: &mut Random) -> ServiceModel {
    ServiceModel {
        engine: if random.below(2) == 0 { Engine::Llm(llm(random)) } else { Engine::Fifo(fifo(random)) },
        prompt_tokens_mean: 100.0 + 2000.0 * random.share(),
        output_tokens_mean: 200.0,
        step_typical_s: 0.01 + random.share(),
        latency_typical_s: 0.1 + 10.0 * random.share(),
        ttft_typical_s: 0.2,
        queue_weight: 2.0 * random.share(),
        kv_weight: random.share(),
        delay_weight: random.share(),
        herding_weight: 0.0,
    }
}

/// Lets random things happen to random hosts; returns the present.
fn live(state: &State<'_>, service: &ServiceModel, hosts: u64, random: &mut Random) -> u64 {
    let mut now_us = if random.below(2) == 0 { 5_000_000 } else { (1 << 40) - 3_000_000 };
    for key in 1..=hosts {
        let _ = state.register(key, 0.5 + random.share(), now_us);
    }
    let mut open = Vec::new();
    for _ in 0..hosts * 6 {
        let magnitude = random.below(24);
        now_us += random.below(1 << magnitude);
        let host = random.below(hosts) as u32;
        match random.below(4) {
            0 | 1 => open.extend(state.begin(host, random.below(5000) as u32, now_us)),
            2 if !open.is_empty() => {
                let mut ticket = open.swap_remove(random.below(open.len() as u64) as usize);
                if random.below(2) == 0 {
                    let first_us = ticket.sent_us + random.below(1 + now_us - ticket.sent_us);
                    state.first_token(&mut ticket, first_us);
                }
                let status = match random.below(8) {
                    0 => Status::Failure,
                    1 => Status::NoWork,
                    _ => Status::Success,
                };
                state.finish(
                    &ticket,
                    &Outcome { status, output_tokens: random.below(300) as u32, cached_tokens: None },
                    Some(service),
                    now_us,
                );
            }
            _ => {
                state.age(now_us);
                let known = |value: f32, random: &mut Random| if random.below(3) == 0 { f32::NAN } else { value };
                let report = Telemetry {
                    running: known(random.below(40) as f32, random),
                    waiting: known(random.below(9) as f32, random),
                    pending_prefill_tokens: known(random.below(90_000) as f32, random),
                    kv_use: known(random.share(), random),
                    step_s: known(0.05 * random.share(), random),
                };
                state.report(host, &report, now_us, now_us);
            }
        }
    }
    for host in 0..hosts as u32 {
        if random.below(6) == 0 {
            state.restarted(host, now_us.saturating_sub(random.below(1 << 25)));
        }
    }
    state.warm(random.below(2) * 20_000_000, now_us);
    // Sometimes all reports are stale, or the clock went back.
    now_us + [0, 1000, 40_000_000, 9_000_000_000][random.below(4) as usize] - random.below(2) * 10_000
}

#[test]
fn columns_agree_with_the_naive_features_and_between_levels() {
    for seed in 1..=400 {
        let mut random = Random(seed * 0x9E37_79B9_7F4A_7C15);
        let hosts = 1 + random.below(70);
        let (header, slots) = (StateHeader::new(1), (0..hosts).map(|_| HostSlot::default()).collect::<Vec<_>>());
        let state = State::new(&header, &slots);
        let service = service(&mut random);
        let now_us = live(&state, &service, hosts, &mut random);
        if hosts > 3 {
            state.remove(1 + random.below(hosts));
        }
        let mask = [random.below(u64::MAX) << 32 | random.below(u64::MAX) | 1, u64::MAX];
        let eligible = if random.below(2) == 0 { Eligible::All } else { Eligible::Mask(&mask) };
        let cached_tokens: Vec<u32> = (0..random.below(1 + hosts)).map(|_| random.below(4000) as u32).collect();
        let output_tokens = random.below(2) as u32 * random.below(3000) as u32;
        // A third of the prompts are of unknown length.
        let prompt_tokens = random.below(3).min(1) as u32 * random.below(4000) as u32;
        let request = Request { prompt_tokens, cached_tokens: &cached_tokens, output_tokens, ..Request::default() };

        let candidates = Candidates::new(&state, eligible);
        let rows = eligible.hosts(&state).count();
        assert_eq!(candidates.count, rows);
        let columns = |level| {
            let mut out = vec![f32::NAN; HOST_FEATURES * stride(rows)];
            write_rows(level, &service, &state, &request, &candidates, rows, now_us, &mut out);
            out
        };
        let widest = columns(Level::detect());
        for level in Level::available() {
            let same = columns(level).iter().zip(&widest).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "seed {seed}: {} differs from {}", level.name(), Level::detect().name());
        }
        let mut naive: Vec<_> =
            eligible.hosts(&state).map(|(host, slot)| naive(&service, &state, host, slot, &request, now_us)).collect();
        let best = naive.iter().map(|features| features[0]).fold(f64::INFINITY, f64::min);
        for features in &mut naive {
            features[1] = (features[0] - best).min(f64::from(LN_RATIO_MAX));
        }
        for (row, features) in naive.iter().enumerate() {
            assert_eq!(candidates.host(row), eligible.hosts(&state).nth(row).map(|(host, _)| host));
            for (column, expected) in features.iter().enumerate() {
                let found = f64::from(widest[column * stride(rows) + row]);
                let error = (found - expected).abs();
                assert!(error <= ERROR_MAX, "seed {seed}, {}: {found} {expected}", NAMES[column]);
            }
        }
        for column in widest.chunks_exact(stride(rows).max(1)) {
            assert!(column[rows..].iter().all(|padding| padding.to_bits() == 0), "padding is zero");
        }
    }
}

#[test]
fn a_prompt_of_unknown_length_is_like_the_others() {
    let mut random = Random(3);
    let service =
        ServiceModel { engine: Engine::Llm(llm(&mut random)), prompt_tokens_mean: 700.0, ..service(&mut random) };
    let (header, slots) = (StateHeader::new(1), (0..9).map(|_| HostSlot::default()).collect::<Vec<_>>());
    let state = State::new(&header, &slots);
    let now_us = live(&state, &service, 9, &mut random);
    let features = |prompt_tokens| {
        let mut out = vec![f32::NAN; HOST_FEATURES * stride(9)];
        let request = Request { prompt_tokens, ..Request::default() };
        super::write(&service, &state, &request, Eligible::All, 9, now_us, &mut out);
        out
    };
    assert_eq!(features(0), features(700));
    assert_ne!(features(0), features(1));
}

#[test]
fn without_reports_what_was_answered_is_no_work_ahead() {
    let mut random = Random(7);
    let service = ServiceModel {
        engine: Engine::Llm(Llm { step_per_prefill_token_s: 1e-3, ..llm(&mut random) }),
        ..service(&mut random)
    };
    let (header, slots) = (StateHeader::new(1), [HostSlot::default()]);
    let state = State::new(&header, &slots);
    let _ = state.register(1, 1.0, 1);
    let features = |now_us| {
        let request = Request { prompt_tokens: 100, ..Request::default() };
        let mut out = vec![f32::NAN; HOST_FEATURES * stride(1)];
        super::write(&service, &state, &request, Eligible::All, 1, now_us, &mut out);
        let column = |name| out[NAMES.iter().position(|known| *known == name).unwrap_or(0) * stride(1)];
        ["ln_estimate", "ln1p_pending_prefill", "ln1p_sent_since_telemetry"].map(column)
    };
    let pass = |now_us: u64, count| {
        for _ in 0..count {
            let ticket = state.begin(0, 5000, now_us).expect("the host is registered");
            let outcome = Outcome { status: Status::Success, output_tokens: 100, cached_tokens: None };
            state.finish(&ticket, &outcome, Some(&service), now_us + 1_000_000);
        }
    };
    pass(1_000_000, 1);
    let after_one = features(2_000_000);
    pass(1_000_000, 5000);
    assert_eq!(features(2_000_000), after_one, "reports never came");
    let report = Telemetry { running: 0.0, waiting: 0.0, ..Telemetry::UNKNOWN };
    state.report(0, &report, 2_000_000, 2_000_000);
    pass(2_000_000, 3000);
    let stale_us = 2_000_000 + (TELEMETRY_STALE_S * 1e6) as u64;
    assert_eq!(features(stale_us), after_one, "reports came once and then stopped");
}
