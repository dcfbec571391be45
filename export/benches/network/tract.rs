//! The ONNX file in tract, optimised for a fixed number of rows.

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;

use tract_onnx::prelude::*;

use evenkeel_dev::measured::{Measured, Random, check, measure};

/// Times the file at `path`; `expected` is its last score for the first inputs.
pub(crate) fn run(path: &Path, rows: usize, width: usize, expected: f32) -> anyhow::Result<Measured> {
    let shape = [rows, width];
    let fact = f32::fact(shape).into();
    let model = tract_onnx::onnx().model_for_path(path)?.with_input_fact(0, fact)?.into_optimized()?;
    let mut state = model.into_runnable()?.spawn()?;
    let mut random = Random::default();
    let mut numbers = vec![0.0; rows * width];
    let mut fresh = || -> TractResult<TValue> {
        random.fill(&mut numbers);
        Ok(Tensor::from_shape(&shape, &numbers)?.into())
    };
    let output = state.run(tvec!(fresh()?))?;
    let score = output[0].to_plain_array_view::<f32>()?.iter().last().copied();
    check(score.unwrap_or(f32::NAN), expected)?;
    let input = RefCell::new(None);
    Ok(measure(
        || *input.borrow_mut() = fresh().ok(),
        || {
            if let Some(input) = input.take() {
                black_box(state.run(tvec!(input))).expect("it ran before");
            }
        },
    ))
}
