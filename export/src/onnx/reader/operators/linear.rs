//! Layers with constant weights.

use crate::ir::{Combination, Operation, ValueId};
use crate::onnx::error::Refusal;
use crate::onnx::load::{Kind, Tensor};
use crate::onnx::reader::Reading;
use crate::onnx::reader::call::Call;
use crate::onnx::reader::fold::transpose;
use crate::onnx::reader::value::{Axis, Body, Computed, Value};

/// `alpha · x · W + beta · bias`.
pub(super) fn gemm(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    if call.flag("transA", false) {
        return Err(Refusal::new("found transA = 1, expected 0: rows of the first operand are hosts"));
    }
    let x = reading.computed(call, 0)?;
    let mut weights = matrix(reading, call, 1)?;
    if call.flag("transB", false) {
        weights = transpose(&weights, None)?;
    }
    let alpha = call.float("alpha", 1.0);
    weights.numbers.iter_mut().for_each(|weight| *weight *= alpha);
    let product = reading.product(&x, &weights)?;
    let beta = call.float("beta", 1.0);
    if call.input(2).is_none() || beta == 0.0 {
        return Ok(Value::Computed(product));
    }
    product.factor.expect_one()?;
    if let Value::Constant(_) = reading.operand(call, 2)? {
        let bias = reading.constant(call, 2)?;
        let sum = reading.by_columns(&product, &bias, |bias| (1.0, beta * bias))?;
        return if reading.width(&sum) == reading.width(&product) {
            Ok(Value::Computed(sum))
        } else {
            Err(Refusal::new(format!("found a bias of shape {:?} for one output", bias.shape)))
        };
    }
    let (bias, axes) = reading.plain(call, 2)?;
    let bias = Computed::new(reading.affine(bias, beta, 0.0)?, axes);
    let (left, right, axes) = reading.aligned(&product, &bias)?;
    let sum = reading.combine(Combination::Add, left, right)?;
    Ok(Value::Computed(Computed::new(sum, axes)))
}

pub(super) fn matmul(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    let x = reading.computed(call, 0)?;
    let weights = matrix(reading, call, 1)?;
    Ok(Value::Computed(reading.product(&x, &weights)?))
}

/// A layer that ONNX Runtime has put together with the activation behind it.
pub(super) fn fused_gemm(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    use crate::ir::Function;
    let Value::Computed(layer) = gemm(reading, call)? else { return Err(Refusal::new("found no layer")) };
    let function = match call.text("activation").as_deref() {
        Some("Tanh") => Function::Tanh,
        Some("Relu") => Function::Relu,
        Some("Sigmoid") => Function::Sigmoid,
        other => {
            return Err(Refusal::new(format!(
                "found activation {}, expected Tanh, Relu or Sigmoid: save ONNX Runtime's optimised model with \
                 graph_optimization_level = ORT_ENABLE_BASIC",
                other.unwrap_or("none")
            )));
        }
    };
    layer.factor.expect_one()?;
    let value = reading.whole(&layer)?;
    Ok(Value::Computed(Computed::new(reading.map(function, value)?, layer.axes)))
}

/// A product that ONNX Runtime has put together with a factor or a transposition.
pub(super) fn fused_matmul(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    for name in ["transA", "transBatchA", "transBatchB"] {
        if call.flag(name, false) {
            return Err(Refusal::new(format!("found {name} = 1, expected 0")));
        }
    }
    gemm(reading, call)
}

/// `x · coefficientsᵀ + intercepts` of scikit-learn's linear models.
pub(super) fn regressor(reading: &mut Reading, call: &Call<'_>) -> Result<Value, Refusal> {
    if let Some(transform) = call.text("post_transform").filter(|it| it != "NONE") {
        return Err(Refusal::new(format!("found post_transform = {transform:?}, expected \"NONE\"")));
    }
    let x = reading.computed(call, 0)?;
    x.factor.expect_one()?;
    let numbers = call.floats("coefficients");
    let outputs = call.integer("targets").and_then(|targets| usize::try_from(targets).ok()).unwrap_or(1).max(1);
    let shape = vec![outputs, numbers.len() / outputs];
    let weights = transpose(&Tensor { shape, numbers, kind: Kind::Float }, None)?;
    let product = reading.product(&x, &weights)?;
    let intercepts = call.floats("intercepts");
    if intercepts.is_empty() {
        return Ok(Value::Computed(product));
    }
    let bias = Tensor { shape: vec![intercepts.len()], numbers: intercepts, kind: Kind::Float };
    Ok(Value::Computed(reading.by_columns(&product, &bias, |bias| (1.0, bias))?))
}

/// The weights at `index`: a matrix, or a column given as a list.
fn matrix(reading: &Reading, call: &Call<'_>, index: usize) -> Result<Tensor, Refusal> {
    match reading.operand(call, index)? {
        Value::Constant(_) => reading.constant(call, index),
        _ => Err(Refusal::new(format!(
            "operand {index} is computed, expected constant weights: attention and other products of two values cannot \
             be compiled; export with weights as parameters and constant folding"
        ))),
    }
}

impl Reading {
    /// `x · weights`, the weights as `[in][out]` or as a list `[in]`.
    pub(in crate::onnx::reader) fn product(&mut self, x: &Computed, weights: &Tensor) -> Result<Computed, Refusal> {
        let width = self.width(x);
        let outputs = match weights.shape[..] {
            [inputs, outputs] if inputs == width => Some(outputs),
            [inputs] if inputs == width => None,
            _ => {
                return Err(Refusal::new(format!(
                    "found weights of shape {:?}, expected [{width}, outputs]",
                    weights.shape
                )));
            }
        };
        let mut axes = x.axes.clone();
        // What is multiplied is the last axis: one column may have been squeezed away.
        match axes.last() {
            Some(Axis::Columns) => {}
            Some(Axis::One) if width == 1 => {}
            _ => return Err(Refusal::new(format!("found a value of shape {} in front of weights", x.shape(width)))),
        }
        axes.pop();
        match outputs {
            Some(1) => axes.push(Axis::One),
            Some(_) => axes.push(Axis::Columns),
            None => {}
        }
        let outputs = outputs.unwrap_or(1);
        let numbers: Vec<f32> = weights.numbers.iter().map(|weight| *weight as f32).collect();
        let body = match &x.body {
            Body::One(value) => self.push(Operation::Linear { x: *value, weights: numbers, bias: None })?,
            Body::Beside(parts) => self.product_of_parts(&parts.clone(), &numbers, outputs)?,
        };
        Ok(Computed { body: Body::One(body), axes, factor: x.factor.clone() })
    }

    /// Each part by its own weights: what is the same for all rows is computed once.
    fn product_of_parts(&mut self, parts: &[ValueId], weights: &[f32], outputs: usize) -> Result<ValueId, Refusal> {
        let mut begin = 0;
        // One sum for the rows, one for what is uniform.
        let mut sums: [Option<ValueId>; 2] = [None, None];
        for part in parts {
            let shape = self.shape(*part);
            let end = begin + shape.width * outputs;
            let weights = weights.get(begin..end).unwrap_or_default().to_vec();
            let product = self.push(Operation::Linear { x: *part, weights, bias: None })?;
            let sum = &mut sums[usize::from(shape.uniform)];
            *sum = Some(match *sum {
                None => product,
                Some(before) => self.add(before, product)?,
            });
            begin = end;
        }
        match sums {
            [Some(rows), Some(uniform)] => self.push(Operation::Combine(Combination::Add, rows, uniform)),
            [Some(sum), None] | [None, Some(sum)] => Ok(sum),
            [None, None] => Err(Refusal::new("found no columns, expected at least one")),
        }
    }
}
