//! A client's rate over time: the week's shape, drift and bursts.

use super::client::Client;
use crate::random;
use evenkeel_numbers::random::mix;
use libm::{cos, exp};
use std::f64::consts::TAU;

/// The rate is constant within cells of this many seconds.
pub(super) const CELL_S: f64 = 30.0;

const DAY_S: f64 = 86_400.0;
/// Steps of a week in the table of its shape.
const SHAPE_STEPS: usize = 7 * 96;
const SHAPE_STEP_S: f64 = 7.0 * DAY_S / SHAPE_STEPS as f64;
/// How rates drift. ServeGen's `m-large` service as a whole has a coefficient of variation of 0.39
/// in ten-minute values and peaks at three times its mean, which the shape of the week alone does
/// not explain; that shape is kept more visible here than it is there.
const DRIFTS: [Octave; 4] = [
    Octave { knot_s: DAY_S, deviation: 0.18, is_shared: true },
    Octave { knot_s: 2.0 * 3600.0, deviation: 0.10, is_shared: true },
    Octave { knot_s: 8.0 * 3600.0, deviation: 0.35, is_shared: false },
    Octave { knot_s: 900.0, deviation: 0.15, is_shared: false },
];

/// One speed of drift.
struct Octave {
    /// Seconds from one knot to the next.
    knot_s: f64,
    /// Deviation of the rate's logarithm.
    deviation: f64,
    /// Whether all clients drift together.
    is_shared: bool,
}

/// Walks along a client's rate. It can be asked for any time, and is fast when asked in order.
pub(super) struct Demand<'a> {
    client: &'a Client,
    /// The shape of the week, with mean 1, at its steps' beginnings.
    shape: Vec<f64>,
    drifts: [Drift; 4],
    bursts: Bursts,
}

impl<'a> Demand<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, shape: week(client), drifts: Default::default(), bursts: Bursts::default() }
    }

    /// The rate in the cell that holds `time_s`, in requests per second.
    pub(super) fn rate_per_s(&mut self, time_s: f64) -> f64 {
        let middle_s = (time_s / CELL_S).floor() * CELL_S + 0.5 * CELL_S;
        let step = middle_s / SHAPE_STEP_S;
        let at = |step: f64| self.shape[(step as usize) % SHAPE_STEPS];
        let part = step - step.floor();
        let shape = at(step) * (1.0 - part) + at(step + 1.0) * part;
        let mut drift = 0.0;
        for (octave, &Octave { knot_s, deviation, is_shared }) in DRIFTS.iter().enumerate() {
            let seed = if is_shared { self.client.service_seed } else { self.client.seed };
            let level = self.drifts[octave].at(seed, octave, middle_s / knot_s);
            // The mean of exp(x) is exp(σ²/2); taken off, drift leaves the mean rate alone.
            drift += deviation * level - 0.5 * deviation * deviation;
        }
        self.client.rate_per_s * shape * exp(drift) * (1.0 + self.bursts.at(self.client, middle_s))
    }

    /// The expected number of requests between two times.
    pub(super) fn integral(&mut self, begin_s: f64, end_s: f64) -> f64 {
        let mut sum = 0.0;
        let mut cell = (begin_s / CELL_S).floor();
        while cell * CELL_S < end_s {
            let overlap_s = end_s.min((cell + 1.0) * CELL_S) - begin_s.max(cell * CELL_S);
            sum += overlap_s * self.rate_per_s(cell * CELL_S);
            cell += 1.0;
        }
        sum
    }
}

/// The shape of a client's week, from Monday 00:00.
fn week(client: &Client) -> Vec<f64> {
    let level = |step: usize| {
        let hour = (step % 96) as f64 / 4.0;
        let phase = TAU * (hour - client.peak_hour) / 24.0;
        let weekend = if step / 96 >= 5 { client.weekend } else { 1.0 };
        weekend * exp(client.daily_height * cos(phase) - client.noon_height * cos(2.0 * phase))
    };
    let shape: Vec<f64> = (0..SHAPE_STEPS).map(level).collect();
    let mean = shape.iter().sum::<f64>() / SHAPE_STEPS as f64;
    shape.into_iter().map(|value| value / mean).collect()
}

/// Noise that can be asked for any time: a standard normal at every knot, and between two knots
/// their mixture, scaled so that the variance stays 1.
#[derive(Default)]
struct Drift {
    knot: Option<i64>,
    levels: [f64; 2],
}

impl Drift {
    fn at(&mut self, seed: u64, octave: usize, position: f64) -> f64 {
        let knot = position.floor() as i64;
        if self.knot != Some(knot) {
            let level = |knot: i64| {
                let stream = mix(knot as u64 ^ ((octave as u64 + 1) << 56));
                random::normal(&mut random::generator(seed, stream), 0.0, 1.0)
            };
            self.levels = [level(knot), level(knot + 1)];
            self.knot = Some(knot);
        }
        let part = position - position.floor();
        let [left, right] = self.levels;
        (left * (1.0 - part) + right * part) / libm::sqrt(part * part + (1.0 - part) * (1.0 - part))
    }
}

/// The bursts of the current day and of the one before, which may reach into it.
#[derive(Default)]
struct Bursts {
    day: Option<i64>,
    bursts: Vec<Burst>,
}

/// A time in which the rate is higher: at once, then fading.
struct Burst {
    start_s: f64,
    height: f64,
    fade_s: f64,
}

impl Bursts {
    /// By how much the rate is raised, relative to what it would be.
    fn at(&mut self, client: &Client, time_s: f64) -> f64 {
        let day = (time_s / DAY_S).floor() as i64;
        if self.day != Some(day) {
            self.day = Some(day);
            self.bursts = (day - 1..=day).flat_map(|day| bursts(client, day)).collect();
        }
        let height = |burst: &Burst| {
            let age = (time_s - burst.start_s) / burst.fade_s;
            if (0.0..20.0).contains(&age) { burst.height * exp(-age) } else { 0.0 }
        };
        self.bursts.iter().map(height).sum()
    }
}

/// The bursts that begin on one day: at random times, two to eight times the usual rate, fading
/// within minutes. Bursts of this kind, beside the short ones that come from the inter-arrival
/// times, are what `BurstGPT` (arXiv 2401.17644) is named for.
fn bursts(client: &Client, day: i64) -> Vec<Burst> {
    let mut rng = random::generator(client.seed, mix(day as u64 ^ (7 << 56)));
    let mut bursts = Vec::new();
    let mut time_day = random::exponential(&mut rng, 1.0 / client.bursts_per_day);
    while time_day < 1.0 {
        bursts.push(Burst {
            start_s: (day as f64 + time_day) * DAY_S,
            height: 1.0 + random::exponential(&mut rng, 2.0).min(6.0),
            fade_s: random::log_normal(&mut rng, 5.6, 0.7).min(1800.0),
        });
        time_day += random::exponential(&mut rng, 1.0 / client.bursts_per_day);
    }
    bursts
}

#[cfg(test)]
mod tests {
    use super::super::client::clients;
    use super::*;

    #[test]
    fn any_order_of_asking_gives_the_same_rates() {
        let client = &clients(4)[0];
        let mut forward = Demand::new(client);
        let times: Vec<f64> = (0..2000).map(|i| f64::from(i) * 97.0).collect();
        let rates: Vec<f64> = times.iter().map(|&time_s| forward.rate_per_s(time_s)).collect();
        let mut backward = Demand::new(client);
        for (&time_s, &rate) in times.iter().zip(&rates).rev() {
            assert_eq!(backward.rate_per_s(time_s), rate);
        }
    }

    #[test]
    fn integrals_add_up_and_keep_the_mean() {
        let client = &clients(4)[1];
        let mut demand = Demand::new(client);
        let week_s = 7.0 * DAY_S;
        let whole = demand.integral(0.0, 3600.0);
        let parts = demand.integral(0.0, 1234.5) + demand.integral(1234.5, 3600.0);
        assert!((whole - parts).abs() < 1e-9 * whole);
        let mean = demand.integral(0.0, 8.0 * week_s) / (8.0 * week_s);
        assert!((mean / client.rate_per_s - 1.0).abs() < 0.15, "{mean} instead of {}", client.rate_per_s);
    }
}
