//! Against herding: where many balancers decide on old reports, all of them see the same
//! best host, and all of them send there. A balancer that knows how much it does not see
//! spreads its choices instead.
//!
//! What the others have sent since the reports is estimated from the balancer's own rate
//! and from the share of the fleet's requests that are its own. If `u` unseen requests a
//! host arrive at hosts with `q` requests each, the hosts that should take them are those
//! within about `√(2u / (1 + q))` of the best in ln cost: so much do the costs at the best
//! hosts rise before they are the best no more. Choices are drawn from
//! `softmax(−score / temperature)`, the temperature being that width times
//! [`ServiceModel::herding_weight`], which training chooses.

use crate::candidates::Eligible;
use crate::math;
use crate::service::ServiceModel;
use crate::state::State;

/// At a temperature of 1 shares go with the inverse of the cost: on reports that say
/// nothing, by speed. More randomness than that helps nobody.
const TEMPERATURE_MAX: f32 = 1.0;

/// Below this temperature the lowest score is as good as certain.
const TEMPERATURE_MIN: f32 = 1e-3;

/// How far choices should be spread, in ln cost, per unit of the weight; 0 where a balancer
/// sees all that matters. Also 0 without reports: then balancers have nothing in common to
/// herd by.
pub fn width(state: &State<'_>, eligible: Eligible<'_>, now_us: u64) -> f32 {
    let (mut hosts, mut reported, mut own, mut age_s) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for (_, slot) in eligible.hosts(state) {
        let telemetry = slot.telemetry();
        let requests = telemetry.running + if telemetry.waiting.is_nan() { 0.0 } else { telemetry.waiting };
        if let Some(report_age_s) = slot.telemetry_age_s(now_us)
            && !requests.is_nan()
        {
            hosts += 1.0;
            reported += requests;
            own += (slot.in_flight() as f32).min(requests);
            age_s += report_age_s;
        }
    }
    if hosts == 0.0 || reported <= own {
        return 0.0;
    }
    // A balancer with nothing under way is one of many; how many cannot be told.
    let others_per_own = (reported - own) / own.max(0.5);
    let unseen = state.arrivals_per_s() * others_per_own * age_s / hosts;
    let squared = 2.0 * unseen / (hosts + reported);
    if squared > 0.0 { math::exp(0.5 * math::ln(squared)) } else { 0.0 }
}

/// The temperature of a decision; `None` where the lowest score is to be taken. Costs
/// nothing with a model that does not ask for it.
pub fn temperature(service: &ServiceModel, state: &State<'_>, eligible: Eligible<'_>, now_us: u64) -> Option<f32> {
    if service.herding_weight <= 0.0 {
        return None;
    }
    let temperature = (service.herding_weight * width(state, eligible, now_us)).min(TEMPERATURE_MAX);
    (temperature >= TEMPERATURE_MIN).then_some(temperature)
}

/// Row and score of a draw from `softmax(−score / temperature)` by the state's generator;
/// `None` if a score is not finite.
pub fn draw(scores: &[f32], temperature: f32, state: &State<'_>) -> Option<(usize, f32)> {
    if !scores.iter().all(|score| score.is_finite()) {
        return None;
    }
    let best = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let weight = |score: f32| math::exp((best - score) / temperature);
    let mut left = state.random_unit() * scores.iter().map(|score| weight(*score)).sum::<f32>();
    let mut lowest = None;
    for (row, score) in scores.iter().copied().enumerate() {
        left -= weight(score);
        if left < 0.0 {
            return Some((row, score));
        }
        if score == best {
            lowest = Some((row, score));
        }
    }
    // Rounding may leave a little over: then the best host.
    lowest
}
