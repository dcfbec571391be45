//! A language model's step time and its hosts' speeds.
//!
//! Between its first byte and its end a response takes part in one step for each further token.
//! Those steps last, by the step-time model, summed:
//!
//! ```text
//! speed · time = base·n + per_request·n·B + per_kv_token·n·K + per_prefill_token·P
//! ```
//!
//! with `n` steps, `B` requests decoding and `K` tokens in their contexts, on average over the
//! time, and `P` prompt tokens of requests whose first byte came meanwhile. `B`, `K` and `P` are
//! sums over the requests of the same host in the log. The coefficients by non-negative least
//! squares and the speeds as medians are fitted in turn, leaving out responses that took much
//! longer than their estimate: their host was slowed.

use super::{FitError, Observed, ObservedError, Visit, error, hosts, median};
use crate::calibration::{Row, least_squares};
use crate::host::ServiceOptions;
use crate::host::llm::{LlmOptions, StepModel};
use evenkeel_datasets::Trace;

/// Shorter responses tell little of the step time.
const OUTPUT_TOKENS_MIN: f64 = 8.0;
/// Responses needed.
const ROWS_MIN: usize = 100;
/// Rounds of fitting coefficients and speeds in turn.
const ROUNDS: usize = 12;
/// A response that took more than this many times its estimate met a slowed host.
const SLOWED: f64 = 1.3;

pub(super) fn observe(trace: &Trace, visits: &[Vec<Visit>]) -> Result<Observed, ObservedError> {
    let crowds: Vec<Crowd> = visits.iter().map(|visits| Crowd::new(visits)).collect();
    let rows: Vec<Vec<Row>> = visits
        .iter()
        .zip(&crowds)
        .map(|(visits, crowd)| visits.iter().filter_map(|visit| crowd.row(visit)).collect())
        .collect();
    let found = rows.iter().map(Vec::len).sum();
    if found < ROWS_MIN {
        return Err(ObservedError::Decoding { trace: trace.name.clone(), found, expected: ROWS_MIN });
    }
    let mut speeds = first_speeds(&rows);
    let mut step = [0.0; 4];
    for _ in 0..ROUNDS {
        let is_first = step == [0.0; 4];
        let at_speed_1 = rows
            .iter()
            .zip(&speeds)
            .flat_map(|(rows, speed)| rows.iter().map(move |(inputs, time_s)| (*inputs, time_s * speed)));
        let kept: Vec<Row> = at_speed_1
            .filter(|row| is_first || (1.0 / SLOWED..SLOWED).contains(&(row.1 / predicted_s(row, &step))))
            .collect();
        step = least_squares(if kept.is_empty() { &[] } else { &kept });
        for (speed, rows) in speeds.iter_mut().zip(&rows).filter(|(_, rows)| !rows.is_empty()) {
            *speed = median(rows.iter().map(|row| predicted_s(row, &step) / row.1).collect());
        }
    }
    let told: Vec<usize> = rows.iter().map(Vec::len).collect();
    let (hosts, slowest) = hosts(trace, &speeds, &told, visits)?;
    let ratios = rows
        .iter()
        .zip(&speeds)
        .flat_map(|(rows, speed)| rows.iter().map(move |row| row.1 * speed / predicted_s(row, &step)));
    let error: FitError = error(ratios);
    let [base_s, per_request_s, per_kv_token_s, per_prefill_token_s] = step.map(|seconds| seconds / slowest);
    let default = LlmOptions::default();
    let options = LlmOptions {
        step: StepModel { base_s, per_request_s, per_kv_token_s, per_prefill_token_s },
        // The log cannot tell limits that were not reached.
        batch_max: crowds.iter().map(|crowd| crowd.decoding_max).max().unwrap_or(0).max(default.batch_max),
        kv_capacity_tokens: crowds
            .iter()
            .map(|crowd| crowd.kv_tokens_max as u32)
            .max()
            .unwrap_or(0)
            .max(default.kv_capacity_tokens),
        ..default
    };
    Ok(Observed { service: ServiceOptions::Llm(options), hosts, error })
}

/// Time per token, where nothing is known of what it depends on.
fn first_speeds(rows: &[Vec<Row>]) -> Vec<f64> {
    let speed =
        |rows: &Vec<Row>| if rows.is_empty() { 1.0 } else { median(rows.iter().map(|row| row.0[0] / row.1).collect()) };
    let speeds: Vec<f64> = rows.iter().map(speed).collect();
    let slowest = speeds.iter().copied().fold(f64::INFINITY, f64::min);
    speeds.iter().map(|speed| speed / slowest).collect()
}

fn predicted_s((inputs, _): &Row, step: &[f64; 4]) -> f64 {
    inputs.iter().zip(step).map(|(input, seconds)| input * seconds).sum()
}

/// What a host's batch was like, as integrals over time up to each first byte and end.
struct Crowd {
    at_s: Vec<f64>,
    /// Requests decoding, integrated.
    decoding: Vec<f64>,
    /// Tokens in their contexts, integrated.
    kv_tokens: Vec<f64>,
    /// Prompt tokens of the requests whose first byte has come.
    prefilled: Vec<f64>,
    decoding_max: u32,
    kv_tokens_max: f64,
}

impl Crowd {
    fn new(visits: &[Visit]) -> Self {
        // Time, whether a response begins, and the response.
        let mut events: Vec<(f64, bool, &Visit)> = Vec::new();
        for visit in visits.iter().filter(|visit| visit.first_byte_s < visit.end_s) {
            events.push((visit.first_byte_s, true, visit));
            events.push((visit.end_s, false, visit));
        }
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut crowd = Self {
            at_s: Vec::new(),
            decoding: Vec::new(),
            kv_tokens: Vec::new(),
            prefilled: Vec::new(),
            decoding_max: 0,
            kv_tokens_max: 0.0,
        };
        let (mut last_s, mut batch, mut context, mut growth_per_s) = (0.0, 0u32, 0.0f64, 0.0);
        let (mut decoding, mut kv_tokens, mut prefilled) = (0.0, 0.0, 0.0);
        for (at_s, begins, visit) in events {
            let span_s: f64 = at_s - if crowd.at_s.is_empty() { at_s } else { last_s };
            decoding += f64::from(batch) * span_s;
            kv_tokens += (context + 0.5 * growth_per_s * span_s) * span_s;
            context += growth_per_s * span_s;
            let tokens_per_s = visit.output_tokens / (visit.end_s - visit.first_byte_s);
            if begins {
                batch += 1;
                context += visit.prompt_tokens;
                growth_per_s += tokens_per_s;
                prefilled += visit.prompt_tokens;
            } else {
                batch -= 1;
                context -= visit.prompt_tokens + visit.output_tokens;
                growth_per_s -= tokens_per_s;
            }
            crowd.decoding_max = crowd.decoding_max.max(batch);
            crowd.kv_tokens_max = crowd.kv_tokens_max.max(context);
            crowd.at_s.push(at_s);
            crowd.decoding.push(decoding);
            crowd.kv_tokens.push(kv_tokens);
            crowd.prefilled.push(prefilled);
            last_s = at_s;
        }
        crowd
    }

    /// What a response's decoding went through, and how long it took; `None` if it is not known,
    /// or too short to tell.
    fn row(&self, visit: &Visit) -> Option<Row> {
        let decode_s = visit.end_s - visit.first_byte_s;
        if visit.output_tokens < OUTPUT_TOKENS_MIN || decode_s.is_nan() || decode_s <= 0.0 {
            return None;
        }
        let place = |at_s: f64| self.at_s.partition_point(|known_s| *known_s < at_s);
        let (begin, end) = (place(visit.first_byte_s), place(visit.end_s));
        let over = |integral: &[f64]| (integral[end] - integral[begin]) / decode_s;
        let steps = visit.output_tokens - 1.0;
        let prefilled = (self.prefilled[end] - self.prefilled[begin]).max(0.0);
        Some(([steps, steps * over(&self.decoding), steps * over(&self.kv_tokens), prefilled], decode_s))
    }
}
