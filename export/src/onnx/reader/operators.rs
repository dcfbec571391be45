//! The registry: which operators are read, and by which family.

mod activation;
mod arithmetic;
mod columns;
mod linear;
mod mean;
mod unchanged;

use onnx_ir::Node;

use super::Reading;
use super::error::Refusal;

/// The operators that can be read, by their ONNX names.
pub const SUPPORTED_OPERATORS: [&str; 20] = [
    "Add",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Flatten",
    "Gather",
    "Gemm",
    "Identity",
    "LeakyRelu",
    "MatMul",
    "Mul",
    "Neg",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Sub",
    "Tanh",
];

/// Adds a typed node to the graph.
pub(super) fn add(node: &Node, reading: &mut Reading) -> Result<(), Refusal> {
    let inputs = node.inputs();
    let value = match node {
        // The readers of a constant have it already.
        Node::Constant(_) => return Ok(()),
        Node::Linear(linear) => linear::linear(reading, inputs, linear.config.transpose_weight),
        Node::Gemm(gemm) => linear::gemm(reading, inputs, &gemm.config),
        Node::MatMul(_) => linear::linear(reading, inputs, false),
        Node::Add(_) => arithmetic::add(reading, inputs),
        Node::Sub(_) => arithmetic::subtract(reading, inputs),
        Node::Mul(_) => arithmetic::multiply(reading, inputs),
        Node::Div(_) => arithmetic::divide(reading, inputs),
        Node::Neg(_) => arithmetic::negate(reading, inputs),
        Node::Tanh(_) => activation::tanh(reading, inputs),
        Node::Relu(_) => activation::relu(reading, inputs),
        Node::Sigmoid(_) => activation::sigmoid(reading, inputs),
        Node::Clip(clip) => activation::clip(reading, inputs, &clip.config),
        Node::LeakyRelu(leaky) => activation::leaky_relu(reading, inputs, leaky.config.alpha as f32),
        Node::ReduceMean(reduce) => mean::mean(reading, inputs, &reduce.config),
        Node::Concat(concat) => columns::concat(reading, inputs, concat.config.axis),
        Node::Slice(slice) => columns::slice(reading, inputs, &slice.config),
        Node::Gather(gather) => columns::gather(reading, inputs, gather.config.axis),
        Node::Identity(_) => reading.value(inputs, 0),
        Node::Flatten(flatten) => unchanged::flatten(reading, inputs, flatten.config.axis),
        Node::Reshape(reshape) => unchanged::reshape(reading, inputs, &reshape.config.shape),
        other => Err(Refusal::new(format!("operator {} is not supported", other.node_type()))),
    }?;
    reading.define(node.outputs(), value)
}
