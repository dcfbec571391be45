//! Do the trainer's network, the ONNX file and the compiled program give the same answers?
//!
//! Three implementations run on the same random inputs: tract reads the ONNX file, the
//! runtime runs the program of the artifact, and the caller may bring a reference (the
//! network in the framework that trained it).
//!
//! tract runs the model in float32 and without the rounding of a quantised file, as the
//! program does; the difference that the rounding makes is measured apart from that.

mod prepared;

use std::path::Path;

use evenkeel_numbers::random::{self, SplitMix64};

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use crate::error::ExportError;
use crate::onnx::{Interface, Loaded};

/// Numbers of rows worth trying: one, few, one below, at and above whole lanes.
pub const ROW_COUNTS: [usize; 5] = [1, 2, 7, 16, 33];

/// A network in the form that was trained: takes the input row by row and the number of
/// rows, returns the output row by row.
pub type Reference<'a> = &'a dyn Fn(&[f32], usize) -> Vec<f32>;

/// Random inputs are drawn uniformly from ±this: features are of order 1.
const INPUT_RANGE: f32 = 3.0;

/// Largest relative differences found, see [`relative_difference`]. Infinite where one
/// side is not a number, or where outputs differ in size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parity {
    /// ONNX file against program; a quantised file without its rounding.
    pub tract_vs_runtime: f64,
    /// ONNX file as it is written against program, where the file rounds values to integers
    /// on their way and tract can run it. It is no mistake of either, and does not count for
    /// [`largest`](Self::largest).
    pub rounding_of_file: Option<f64>,
    /// Reference against program, where there is a reference.
    pub reference_vs_runtime: Option<f64>,
    /// Reference against ONNX file, where there is a reference.
    pub reference_vs_tract: Option<f64>,
}

impl Parity {
    /// The largest of the differences.
    pub fn largest(&self) -> f64 {
        [Some(self.tract_vs_runtime), self.reference_vs_runtime, self.reference_vs_tract]
            .into_iter()
            .flatten()
            .fold(0.0, f64::max)
    }
}

/// `|a − b| / max(1, |a|, |b|)`: relative for large numbers, absolute for small ones.
/// Infinite where either is not finite.
pub fn relative_difference(a: f32, b: f32) -> f64 {
    if !(a.is_finite() && b.is_finite()) {
        return f64::INFINITY;
    }
    let (a, b) = (f64::from(a), f64::from(b));
    (a - b).abs() / 1.0_f64.max(a.abs()).max(b.abs())
}

/// Compares the ONNX file at `onnx` with the `program` made from it, and with `reference`
/// if given: `samples` random inputs for each number of rows in `rows` (see
/// [`ROW_COUNTS`]), or for the number that the file fixes. Equal seeds give equal inputs.
///
/// # Errors
/// If tract cannot load or run the file.
pub fn verify(
    onnx: impl AsRef<Path>,
    program: &evenkeel_runtime::Program<'_>,
    rows: &[usize],
    samples: usize,
    seed: u64,
    reference: Option<Reference<'_>>,
) -> Result<Parity, ExportError> {
    let path = onnx.as_ref();
    let tract = |error: TractError| ExportError::Tract { path: path.to_owned(), reason: format!("{error:#}") };
    let width = program.input_width();
    let read = |error| ExportError::Read { path: path.to_owned(), error };
    let loaded = Loaded::file(path).map_err(read)?;
    let interface = Interface::of(&loaded.graph).map_err(read)?;
    let fixed = interface.rows.map(|rows| [rows]);
    let rows = fixed.as_ref().map_or(rows, |fixed| fixed);
    let template = template(&prepared::exact(&loaded)).map_err(tract)?;
    let rounded = prepared::as_written(&loaded).and_then(|model| self::template(&model).ok());
    let mut random = SplitMix64::new(seed);
    let mut parity = Parity {
        tract_vs_runtime: 0.0,
        rounding_of_file: None,
        reference_vs_runtime: reference.map(|_| 0.0),
        reference_vs_tract: reference.map(|_| 0.0),
    };
    for &rows in rows {
        let model = Tract::new(template.clone(), rows, width).map_err(tract)?;
        let rounded = rounded.clone().and_then(|template| Tract::new(template, rows, width).ok());
        for _ in 0..samples {
            let input: Vec<f32> = (0..rows * width).map(|_| uniform(&mut random, INPUT_RANGE)).collect();
            let by_tract = model.run(&input).map_err(tract)?;
            let by_runtime = run_rows(program, &input, rows);
            raise(&mut parity.tract_vs_runtime, &by_tract, &by_runtime);
            if let Some(by_rounded) = rounded.as_ref().and_then(|model| model.run(&input).ok()) {
                raise(parity.rounding_of_file.get_or_insert(0.0), &by_rounded, &by_runtime);
            }
            if let (Some(reference), Some(vs_runtime), Some(vs_tract)) =
                (reference, &mut parity.reference_vs_runtime, &mut parity.reference_vs_tract)
            {
                let by_reference = reference(&input, rows);
                raise(vs_runtime, &by_reference, &by_runtime);
                raise(vs_tract, &by_reference, &by_tract);
            }
        }
    }
    Ok(parity)
}

/// Runs a program on an input of `rows` rows, one behind the other, and returns the
/// output the same way (a single row if it is uniform). Empty if `input` does not hold
/// `rows` rows or there are none. Allocates: for tests and tools.
pub fn run_rows(program: &evenkeel_runtime::Program<'_>, input: &[f32], rows: usize) -> Vec<f32> {
    let width = program.input_width();
    if rows == 0 || input.len() != rows * width {
        return Vec::new();
    }
    let stride = evenkeel_runtime::stride(rows);
    let mut scratch = vec![0.0; program.scratch_len(rows)];
    for (row, numbers) in input.chunks_exact(width).enumerate() {
        for (column, number) in numbers.iter().enumerate() {
            scratch[column * stride + row] = *number;
        }
    }
    let output = program.run(rows, &mut scratch).unwrap_or_default();
    if program.output_is_uniform() {
        return output.to_vec();
    }
    (0..rows).flat_map(|row| output.iter().skip(row).step_by(stride).copied()).collect()
}

/// A model in tract, for any number of rows.
fn template(model: &ModelProto) -> TractResult<InferenceModel> {
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    Ok(onnx.parse(model, None)?.model)
}

/// The ONNX file in tract, for a fixed number of rows.
struct Tract {
    plan: Arc<TypedRunnableModel>,
    shape: [usize; 2],
}

impl Tract {
    fn new(template: InferenceModel, rows: usize, width: usize) -> TractResult<Self> {
        let shape = [rows, width];
        let model = template.with_input_fact(0, f32::fact(shape).into())?;
        // Its optimiser gives up on some graphs that it can run, such as a layer behind values
        // put beside a broadcast one.
        let plan = model.clone().into_optimized().or_else(|_| model.into_typed())?.into_runnable()?;
        Ok(Self { plan, shape })
    }

    fn run(&self, input: &[f32]) -> TractResult<Vec<f32>> {
        let outputs = self.plan.run(tvec!(Tensor::from_shape(&self.shape, input)?.into()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

/// Raises `largest` to the largest difference between two outputs.
fn raise(largest: &mut f64, a: &[f32], b: &[f32]) {
    let difference = if a.len() == b.len() {
        a.iter().zip(b).map(|(a, b)| relative_difference(*a, *b)).fold(0.0, f64::max)
    } else {
        f64::INFINITY
    };
    *largest = largest.max(difference);
}

/// Draws a number uniformly from `[-range, range)`.
fn uniform(random: &mut SplitMix64, range: f32) -> f32 {
    (2.0 * random::unit_f32(random.bits()) - 1.0) * range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_beyond_one() {
        assert_eq!(relative_difference(0.5, 0.25), 0.25);
        assert_eq!(relative_difference(-8.0, -4.0), 0.5);
        assert_eq!(relative_difference(3.0, 3.0), 0.0);
        assert_eq!(relative_difference(f32::NAN, f32::NAN), f64::INFINITY);
        assert_eq!(relative_difference(f32::INFINITY, 1.0), f64::INFINITY);
    }

    #[test]
    fn outputs_of_other_sizes_differ_infinitely() {
        let mut largest = 0.0;
        raise(&mut largest, &[1.0, 2.0], &[1.0, 2.0]);
        assert_eq!(largest, 0.0);
        raise(&mut largest, &[1.0], &[1.0, 2.0]);
        assert_eq!(largest, f64::INFINITY);
    }
}
