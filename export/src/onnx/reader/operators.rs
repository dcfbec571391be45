//! The registry: which operators are read, and by which family.

mod activation;
mod arithmetic;
mod columns;
mod linear;
mod normalise;
mod quantise;
mod reduce;
mod shape;
mod unchanged;

use super::Reading;
use super::call::Call;
use super::fold;
use super::value::{Constant, Value};
use crate::onnx::error::Refusal;
use crate::onnx::load::Tensor;

/// Reads a node. Those with one result return it; others define theirs.
type Read = fn(&mut Reading, &Call<'_>) -> Result<Value, Refusal>;

/// Every operator that is read, in the order of the names.
const OPERATORS: [(&str, Read); 69] = [
    ("Abs", arithmetic::abs),
    ("Add", arithmetic::add),
    ("BatchNormalization", normalise::batch),
    ("Cast", unchanged::cast),
    ("CastLike", unchanged::cast_like),
    ("Celu", activation::celu),
    ("Clip", activation::clip),
    ("Concat", columns::concat),
    ("Constant", unchanged::constant),
    ("ConstantOfShape", arithmetic::of_constants),
    ("DequantizeLinear", quantise::dequantise),
    ("Div", arithmetic::divide),
    ("Dropout", unchanged::dropout),
    ("DynamicQuantizeLinear", quantise::dynamic),
    ("Elu", activation::elu),
    ("Equal", arithmetic::of_constants),
    ("Erf", activation::erf),
    ("Expand", shape::expand),
    ("Flatten", shape::flatten),
    ("Gather", columns::gather),
    ("Gelu", activation::gelu),
    ("Gemm", linear::gemm),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Identity", unchanged::identity),
    ("LayerNormalization", normalise::layer),
    ("LeakyRelu", activation::leaky_relu),
    ("MatMul", linear::matmul),
    ("MatMulInteger", quantise::matmul),
    ("Max", arithmetic::max),
    ("Min", arithmetic::min),
    ("Mish", activation::mish),
    ("Mul", arithmetic::multiply),
    ("Neg", arithmetic::negate),
    ("PRelu", activation::p_relu),
    ("Pow", arithmetic::pow),
    ("QuantizeLinear", quantise::quantise),
    ("RMSNormalization", normalise::root_mean_square),
    ("Reciprocal", arithmetic::reciprocal),
    ("ReduceMean", reduce::mean),
    ("ReduceSum", reduce::sum),
    ("ReduceSumSquare", reduce::sum_of_squares),
    ("Relu", activation::relu),
    ("Reshape", shape::reshape),
    ("Selu", activation::selu),
    ("Shape", shape::shape),
    ("Sigmoid", activation::sigmoid),
    ("SimplifiedLayerNormalization", normalise::root_mean_square),
    ("Slice", columns::slice),
    ("Softplus", activation::softplus),
    ("Split", columns::split),
    ("Sqrt", arithmetic::root),
    ("Squeeze", shape::squeeze),
    ("Sub", arithmetic::subtract),
    ("Sum", arithmetic::sum),
    ("Swish", activation::swish),
    ("Tanh", activation::tanh),
    ("Tile", shape::tile),
    ("Transpose", shape::transpose),
    ("Unsqueeze", shape::unsqueeze),
    ("Where", arithmetic::of_constants),
    ("ai.onnx.ml::LinearRegressor", linear::regressor),
    ("ai.onnx.ml::Scaler", normalise::scaler),
    ("com.microsoft::BiasGelu", activation::bias_gelu),
    ("com.microsoft::FastGelu", activation::fast_gelu),
    ("com.microsoft::FusedGemm", linear::fused_gemm),
    ("com.microsoft::FusedMatMul", linear::fused_matmul),
    ("com.microsoft::Gelu", activation::exact_gelu),
    ("com.microsoft::QuickGelu", activation::quick_gelu),
];

/// The operators that can be read, by their ONNX names, with the domain where it is not ONNX's
/// own.
pub const SUPPORTED_OPERATORS: [&str; OPERATORS.len()] = {
    let mut names = [""; OPERATORS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = OPERATORS[at].0;
        at += 1;
    }
    names
};

/// Adds a node to the graph, or folds it.
pub(super) fn add(call: &Call<'_>, reading: &mut Reading) -> Result<(), Refusal> {
    if let Some(value) = reading.on_extents(call) {
        let value = value?;
        reading.define(call, value);
        return Ok(());
    }
    if let Some(folded) = on_constants(call, reading) {
        let value = Value::Constant(Constant::from(folded?));
        reading.define(call, value);
        return Ok(());
    }
    let op_type = Call::op_type(call.node);
    let read = OPERATORS.iter().find(|(name, _)| *name == op_type).map(|(_, read)| read);
    let value = read.ok_or_else(|| Refusal::new("the operator is not supported"))?(reading, call)?;
    reading.define(call, value);
    Ok(())
}

/// The result of a node whose operands are all constants.
fn on_constants(call: &Call<'_>, reading: &Reading) -> Option<Result<Tensor, Refusal>> {
    let operands: Vec<Option<Tensor>> = (0..call.node.input.len())
        .map(|index| match call.input(index) {
            None => Some(None),
            Some(name) => match reading.values.get(name)? {
                Value::Constant(constant) if constant.factor.is_one() => Some(Some(constant.tensor.clone())),
                _ => None,
            },
        })
        .collect::<Option<_>>()?;
    if operands.is_empty() { None } else { fold::fold(call, &operands) }
}
