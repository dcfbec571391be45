//! A loaded model in a form that tract takes: standard operators, float32 throughout, and
//! without what the file says of its own shapes, which tract reads more strictly than meant.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, attribute_proto::AttributeType,
    type_proto,
};

use crate::onnx::{Kind, Loaded, Tensor, without_shapes};

/// The model with its values rounded to integers where the file rounds them; `None` if it
/// does not.
pub(super) fn as_written(loaded: &Loaded) -> Option<ModelProto> {
    let rounds = |node: &NodeProto| match node.op_type.as_str() {
        "DynamicQuantizeLinear" => true,
        // Weights that are quantised in the graph are constants all the same.
        "QuantizeLinear" => node.input.first().is_some_and(|name| !is_constant(&loaded.graph, name)),
        _ => false,
    };
    loaded.graph.node.iter().any(rounds).then(|| prepare(loaded, false))
}

/// The model without rounding.
pub(super) fn exact(loaded: &Loaded) -> ModelProto {
    prepare(loaded, true)
}

fn prepare(loaded: &Loaded, exact: bool) -> ModelProto {
    let mut graph = loaded.graph.clone();
    without_shapes(&mut graph);
    let constants: Vec<bool> =
        graph.node.iter().map(|node| node.input.first().is_some_and(|name| is_constant(&loaded.graph, name))).collect();
    let nodes = std::mem::take(&mut graph.node);
    let mut rewriting = Rewriting { graph, made: 0 };
    for (node, of_constant) in nodes.into_iter().zip(constants) {
        rewriting.add(node, exact && !of_constant);
    }
    let mut graph = rewriting.graph;
    // tract wants names that no other node and no constant has.
    for (index, node) in graph.node.iter_mut().enumerate() {
        node.name = format!("evenkeel::node_{index}");
    }
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|it| it.t.as_mut());
    graph.initializer.iter_mut().chain(attributes).for_each(to_float32);
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|it| it.value.as_mut())
            && Kind::of(tensor.elem_type) == Some(Kind::Float)
        {
            tensor.elem_type = DataType::Float as i32;
        }
    }
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: loaded.opset }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn is_constant(graph: &GraphProto, name: &str) -> bool {
    let made_constant = |node: &NodeProto| node.op_type == "Constant" && node.output.iter().any(|it| it == name);
    graph.initializer.iter().any(|weight| weight.name == name) || graph.node.iter().any(made_constant)
}

/// Halves, doubles and bfloat16 as float32.
fn to_float32(proto: &mut TensorProto) {
    if Kind::of(proto.data_type) != Some(Kind::Float) {
        return;
    }
    if let Ok(tensor) = Tensor::decode(proto) {
        *proto = floats(&proto.name, &tensor.shape, &tensor.numbers);
    }
}

fn floats(name: &str, shape: &[usize], numbers: &[f64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|extent| *extent as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

struct Rewriting {
    graph: GraphProto,
    made: usize,
}

impl Rewriting {
    fn add(&mut self, mut node: NodeProto, exact: bool) {
        let input = |index: usize| node.input.get(index).cloned().unwrap_or_default();
        let output = |index: usize| node.output.get(index).cloned().unwrap_or_default();
        match node.op_type.as_str() {
            "Cast" => {
                for attribute in node.attribute.iter_mut().filter(|it| it.name == "to") {
                    if Kind::of(attribute.i as i32) == Some(Kind::Float) {
                        attribute.i = i64::from(DataType::Float as i32);
                    }
                }
                self.graph.node.push(node);
            }
            "Scaler" => {
                let (offset, scale) = (self.list(&node, "offset"), self.list(&node, "scale"));
                let shifted = self.binary("Sub", input(0), offset);
                self.push("Mul", vec![shifted, scale], output(0), Vec::new());
            }
            "FusedGemm" | "FusedMatMul" => {
                let activation = node.attribute.iter().find(|it| it.name == "activation").cloned();
                let result = output(0);
                let known = ["alpha", "beta", "transA", "transB"];
                let attributes = node.attribute.drain(..).filter(|it| known.contains(&it.name.as_str())).collect();
                let layer = if activation.is_some() { self.name() } else { result.clone() };
                self.push("Gemm", node.input, layer.clone(), attributes);
                if let Some(activation) = activation {
                    self.push(&String::from_utf8_lossy(&activation.s), vec![layer], result, Vec::new());
                }
            }
            "DynamicQuantizeLinear" if exact => {
                self.push("Identity", vec![input(0)], output(0), Vec::new());
                self.graph.initializer.push(floats(&output(1), &[], &[1.0]));
                self.graph.initializer.push(floats(&output(2), &[], &[0.0]));
            }
            "QuantizeLinear" if exact => {
                let (least, most) = self.range(&input(2));
                let quotient = self.binary("Div", input(0), input(1));
                let shifted = self.shifted("Add", quotient, input(2));
                let limits = [least, most].map(|limit| self.constant(&[], &[limit]));
                let mut inputs = vec![shifted];
                inputs.extend(limits);
                self.push("Clip", inputs, output(0), Vec::new());
            }
            "DequantizeLinear" if exact => {
                let shifted = self.shifted("Sub", input(0), input(2));
                self.push("Mul", vec![shifted, input(1)], output(0), Vec::new());
            }
            "MatMulInteger" if exact => {
                let a = self.shifted("Sub", input(0), input(2));
                let weights = self.cast(input(1));
                let weights = self.shifted("Sub", weights, input(3));
                self.push("MatMul", vec![a, weights], output(0), Vec::new());
            }
            _ => self.graph.node.push(node),
        }
    }

    /// `a` plus or minus a zero point, which may be missing.
    fn shifted(&mut self, op_type: &str, a: String, zero: String) -> String {
        if zero.is_empty() {
            return a;
        }
        let zero = self.cast(zero);
        self.binary(op_type, a, zero)
    }

    fn binary(&mut self, op_type: &str, a: String, b: String) -> String {
        let result = self.name();
        self.push(op_type, vec![a, b], result.clone(), Vec::new());
        result
    }

    fn cast(&mut self, x: String) -> String {
        let result = self.name();
        let to = AttributeProto {
            name: "to".to_owned(),
            i: i64::from(DataType::Float as i32),
            r#type: AttributeType::Int as i32,
            ..AttributeProto::default()
        };
        self.push("Cast", vec![x], result.clone(), vec![to]);
        result
    }

    /// What integers of the zero point's type reach.
    fn range(&self, zero: &str) -> (f64, f64) {
        let weight = self.graph.initializer.iter().find(|weight| weight.name == zero);
        match weight.and_then(|weight| Kind::of(weight.data_type)) {
            Some(Kind::Integer { bits, signed: true }) if bits <= 32 => {
                (-(2.0_f64.powi(bits as i32 - 1)), 2.0_f64.powi(bits as i32 - 1) - 1.0)
            }
            Some(Kind::Integer { bits, signed: false }) if bits <= 32 => (0.0, 2.0_f64.powi(bits as i32) - 1.0),
            _ => (0.0, 255.0),
        }
    }

    fn list(&mut self, node: &NodeProto, attribute: &str) -> String {
        let numbers = node.attribute.iter().find(|it| it.name == attribute).map(|it| it.floats.as_slice());
        let numbers: Vec<f64> = numbers.unwrap_or_default().iter().map(|number| f64::from(*number)).collect();
        self.constant(&[numbers.len()], &numbers)
    }

    fn constant(&mut self, shape: &[usize], numbers: &[f64]) -> String {
        let name = self.name();
        self.graph.initializer.push(floats(&name, shape, numbers));
        name
    }

    fn push(&mut self, op_type: &str, input: Vec<String>, output: String, attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            op_type: op_type.to_owned(),
            input,
            output: vec![output],
            attribute,
            ..NodeProto::default()
        });
    }

    /// A name that no file has.
    fn name(&mut self) -> String {
        self.made += 1;
        format!("evenkeel::prepared_{}", self.made)
    }
}
