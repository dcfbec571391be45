//! Fits the step-time model to measured times, and keeps the results as presets; estimates a
//! fleet and its service from a log ([`observed`]).
//!
//! The measurements are those of Splitwise (Patel et al., ISCA 2024;
//! `data/perf_model.csv` of splitwise-sim, MIT): for a batch of equal prompts the time to
//! prefill all of them at once, and the mean time of the decoding steps after it.

pub mod observed;
mod presets;

use std::io::Read;

use crate::host::llm::StepModel;
use crate::metrics::Sample;

pub use presets::{PRESETS, Preset};

/// One measured batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The language model.
    pub model: String,
    /// The accelerator.
    pub hardware: String,
    /// Accelerators that the model is spread over.
    pub tensor_parallel: u32,
    /// Length of each prompt in tokens.
    pub prompt_tokens: u32,
    /// Prompts in the batch.
    pub batch: u32,
    /// Tokens to generate for each prompt, as asked for.
    pub output_tokens: u32,
    /// Time of the prefill of the whole batch, in seconds.
    pub prompt_s: f64,
    /// Mean time of a decoding step, in seconds.
    pub token_s: f64,
    /// Time of the whole run, in seconds.
    pub total_s: f64,
}

/// Why measurements could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The file could not be read as CSV.
    #[error("measurements: {0}; expected CSV with a header line, decompressed")]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("measurements have no column {column:?}; expected the columns of splitwise-sim's perf_model.csv")]
    Column {
        /// Its name.
        column: &'static str,
    },
    /// A field is not a number that makes sense.
    #[error("measurements, line {line}, column {column:?}: found {found:?}, expected a positive number")]
    Field {
        /// Line of the file, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// What is there.
        found: String,
    },
}

/// Columns in the order in which [`read`] looks for them.
const COLUMNS: [&str; 9] = [
    "model",
    "hardware",
    "tensor_parallel",
    "prompt_size",
    "batch_size",
    "token_size",
    "prompt_time",
    "token_time",
    "e2e_time",
];

/// Reads measurements from decompressed CSV with the columns of splitwise-sim (times in
/// milliseconds); the order of the columns does not matter.
pub fn read(source: impl Read) -> Result<Vec<Measurement>, CalibrationError> {
    let mut reader = csv::Reader::from_reader(source);
    let header = reader.headers()?.clone();
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|name| name == column);
        *place = found.ok_or(CalibrationError::Column { column })?;
    }
    let mut measurements = Vec::new();
    for record in reader.records() {
        let record = record?;
        let text = |column: usize| record.get(places[column]).unwrap_or_default();
        let number = |column: usize| {
            let value = text(column).trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
            value.ok_or_else(|| CalibrationError::Field {
                line: record.position().map_or(0, csv::Position::line),
                column: COLUMNS[column],
                found: text(column).to_owned(),
            })
        };
        measurements.push(Measurement {
            model: text(0).to_owned(),
            hardware: text(1).to_owned(),
            tensor_parallel: number(2)? as u32,
            prompt_tokens: number(3)? as u32,
            batch: number(4)? as u32,
            output_tokens: number(5)? as u32,
            prompt_s: number(6)? * 1e-3,
            token_s: number(7)? * 1e-3,
            total_s: number(8)? * 1e-3,
        });
    }
    Ok(measurements)
}

/// A fitted step-time model and how far it is off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The model.
    pub step: StepModel,
    /// Error of the prefill times.
    pub prefill: FitError,
    /// Error of the decoding times.
    pub decode: FitError,
}

/// Relative error over measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitError {
    /// Median of |predicted / measured − 1|.
    pub median: f64,
    /// Its 90th percentile.
    pub p90: f64,
}

/// Fits one configuration by non-negative least squares on relative errors. `None` if there
/// are no measurements of it.
pub fn fit(measurements: &[Measurement], model: &str, hardware: &str, tensor_parallel: u32) -> Option<Fit> {
    let ours: Vec<_> = measurements
        .iter()
        .filter(|m| m.model == model && m.hardware == hardware && m.tensor_parallel == tensor_parallel)
        .collect();
    if ours.is_empty() {
        return None;
    }
    let rows: Vec<_> = ours.iter().flat_map(|m| [prefill_row(m), decode_row(m)]).collect();
    let [base_s, per_request_s, per_kv_token_s, per_prefill_token_s] = least_squares(&rows);
    let step = StepModel { base_s, per_request_s, per_kv_token_s, per_prefill_token_s };
    let error = |row: fn(&Measurement) -> Row| {
        let errors = ours.iter().map(|m| {
            let (inputs, measured_s) = row(m);
            let predicted_s = base_s * inputs[0]
                + per_request_s * inputs[1]
                + per_kv_token_s * inputs[2]
                + per_prefill_token_s * inputs[3];
            (predicted_s / measured_s - 1.0).abs()
        });
        let errors = Sample::new(errors.collect());
        FitError { median: errors.quantile(0.5), p90: errors.quantile(0.9) }
    };
    Some(Fit { step, prefill: error(prefill_row), decode: error(decode_row) })
}

/// What multiplies base, per request, per KV token, per prefill token; and the time.
type Row = ([f64; 4], f64);

fn prefill_row(m: &Measurement) -> Row {
    ([1.0, 0.0, 0.0, f64::from(m.batch) * f64::from(m.prompt_tokens)], m.prompt_s)
}

fn decode_row(m: &Measurement) -> Row {
    // Some runs ended before the tokens asked for; the times tell how many there were.
    let generated = ((m.total_s - m.prompt_s) / m.token_s).clamp(1.0, f64::from(m.output_tokens));
    let batch = f64::from(m.batch);
    ([1.0, batch, batch * (f64::from(m.prompt_tokens) + 0.5 * generated), 0.0], m.token_s)
}

/// Non-negative least squares on relative errors: of all subsets of the four coefficients
/// (the others 0) the best whose solution is not negative. With four there are only 15.
fn least_squares(rows: &[Row]) -> [f64; 4] {
    let mut best = ([0.0; 4], f64::INFINITY);
    for subset in 1u32..16 {
        let chosen: Vec<usize> = (0..4).filter(|column| subset >> column & 1 == 1).collect();
        let Some(solution) = solve_subset(rows, &chosen) else { continue };
        if solution.iter().any(|coefficient| *coefficient < 0.0) {
            continue;
        }
        let residual: f64 = rows
            .iter()
            .map(|(inputs, time_s)| {
                let predicted_s: f64 = inputs.iter().zip(&solution).map(|(x, c)| x * c).sum();
                let error = predicted_s / time_s - 1.0;
                error * error
            })
            .sum();
        if residual < best.1 {
            best = (solution, residual);
        }
    }
    best.0
}

/// Least squares over some columns by the normal equations; `None` if they are singular.
fn solve_subset(rows: &[Row], chosen: &[usize]) -> Option<[f64; 4]> {
    let n = chosen.len();
    // Columns differ by orders of magnitude: scale each to 1.
    let scale: Vec<f64> = chosen
        .iter()
        .map(|&column| rows.iter().map(|(inputs, time_s)| (inputs[column] / time_s).powi(2)).sum::<f64>().sqrt())
        .collect();
    let mut matrix = vec![vec![0.0; n + 1]; n];
    for (inputs, time_s) in rows {
        for i in 0..n {
            let x = inputs[chosen[i]] / time_s / scale[i];
            for j in 0..n {
                matrix[i][j] += x * inputs[chosen[j]] / time_s / scale[j];
            }
            matrix[i][n] += x;
        }
    }
    // Gauss–Jordan elimination with the largest pivot.
    for column in 0..n {
        let pivot = (column..n).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        let leading = matrix[column].clone();
        if leading[column].is_nan() || leading[column].abs() <= 1e-12 {
            return None;
        }
        for (index, row) in matrix.iter_mut().enumerate() {
            if index != column {
                let factor = row[column] / leading[column];
                row.iter_mut().zip(&leading).for_each(|(x, l)| *x -= factor * l);
            }
        }
    }
    let mut solution = [0.0; 4];
    for (index, &column) in chosen.iter().enumerate() {
        solution[column] = matrix[index][n] / matrix[index][index] / scale[index];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::{CalibrationError, Measurement, fit, read};

    fn measurement(prompt_tokens: u32, batch: u32, [base, request, kv, prefill]: [f64; 4]) -> Measurement {
        let (b, p) = (f64::from(batch), f64::from(prompt_tokens));
        let token_s = base + request * b + kv * b * (p + 50.0);
        let prompt_s = base + prefill * b * p;
        Measurement {
            model: "m".into(),
            hardware: "h".into(),
            tensor_parallel: 1,
            prompt_tokens,
            batch,
            output_tokens: 100,
            prompt_s,
            token_s,
            total_s: prompt_s + 100.0 * token_s,
        }
    }

    #[test]
    fn recovers_known_coefficients() {
        for truth in [[0.015, 1e-4, 3e-7, 1e-4], [0.02, 0.0, 1e-7, 2e-4]] {
            let sizes = [(128, 1), (512, 1), (4096, 1), (512, 8), (1024, 16), (512, 64)];
            let measurements: Vec<_> = sizes.iter().map(|(p, b)| measurement(*p, *b, truth)).collect();
            let fit = fit(&measurements, "m", "h", 1).expect("there are measurements");
            let step = fit.step;
            for (found, true_value) in
                [step.base_s, step.per_request_s, step.per_kv_token_s, step.per_prefill_token_s].iter().zip(truth)
            {
                assert!((found - true_value).abs() <= 1e-6 * true_value.max(1e-6), "{found} instead of {true_value}");
            }
            assert!(fit.decode.p90 < 1e-6 && fit.prefill.p90 < 1e-6);
        }
        assert_eq!(fit(&[], "m", "h", 1), None);
    }

    #[test]
    fn bad_input_is_named() {
        let header =
            "model,hardware,prompt_size,batch_size,token_size,prompt_time,token_time,e2e_time,tensor_parallel\n";
        let bad = format!("{header}m,h,512,1,128,1.5,2.5,300,2\nm,h,512,-1,128,1.5,2.5,300,2\n");
        match read(bad.as_bytes()) {
            Err(CalibrationError::Field { line: 3, column: "batch_size", found }) => assert_eq!(found, "-1"),
            other => panic!("unexpected: {other:?}"),
        }
        assert!(matches!(read("model\nm\n".as_bytes()), Err(CalibrationError::Column { column: "hardware" })));
    }
}
