//! A typed builder of small networks, which writes them as ONNX.

mod error;
mod model;

pub use error::BuildError;
pub use model::OnnxModel;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};

/// A value of the graph under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    index: usize,
    width: usize,
    uniform: bool,
}

impl Value {
    /// Columns.
    pub fn width(self) -> usize {
        self.width
    }

    /// Whether it is one row which stands for all.
    pub fn is_uniform(self) -> bool {
        self.uniform
    }
}

/// Builds one graph, node by node.
///
/// Every value is a matrix of rank 2, float32: `[N, width]` with a row per host or
/// horizon (`N` is known only at run time), or `[1, width]`, *uniform*, which ONNX
/// broadcasts over the rows.
///
/// Methods return plain values, so that a network reads like its formula. The first
/// mistake (widths that do not fit, a wrong number of weights) is remembered, and
/// [`finish`](Self::finish) reports it.
///
/// ```
/// # use evenkeel_export::onnx::GraphBuilder;
/// let mut graph = GraphBuilder::new("policy");
/// let features = graph.input("features", 2);
/// let hidden = graph.linear(features, &[0.5, -1.0, 0.25, 2.0], 2, 2, Some(&[0.1, 0.0]));
/// let hidden = graph.tanh(hidden);
/// let score = graph.linear(hidden, &[1.0, -1.0], 2, 1, None);
/// let model = graph.finish(score, "score", &[("seed", "7")])?;
/// assert!(!model.to_bytes().is_empty());
/// # Ok::<(), evenkeel_export::onnx::BuildError>(())
/// ```
#[derive(Debug)]
pub struct GraphBuilder {
    name: String,
    /// Name of each value, by [`Value::index`]; the input is the first.
    values: Vec<String>,
    input_width: usize,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    error: Option<BuildError>,
}

impl GraphBuilder {
    /// An empty graph of this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: Vec::new(),
            input_width: 0,
            nodes: Vec::new(),
            constants: Vec::new(),
            error: None,
        }
    }

    /// Declares the graph's only input, `[N, width]`.
    pub fn input(&mut self, name: &str, width: usize) -> Value {
        if !self.values.is_empty() {
            self.fail(BuildError::SecondInput { name: name.to_owned() });
        }
        if width == 0 {
            self.fail(BuildError::NoColumns { node: name.to_owned() });
        }
        self.input_width = width;
        self.value(name.to_owned(), width, false)
    }

    /// `x · W + bias`: Gemm, or `MatMul` where there is no bias. `weight` is `W` row by
    /// row, `[in_width][out_width]`; `bias` has `out_width` numbers.
    pub fn linear(
        &mut self,
        x: Value,
        weight: &[f32],
        in_width: usize,
        out_width: usize,
        bias: Option<&[f32]>,
    ) -> Value {
        let node = self.next_name("linear");
        if x.width != in_width {
            self.fail(BuildError::InputWidth { node: node.clone(), found: x.width, expected: in_width });
        }
        if weight.len() != in_width * out_width {
            self.fail(BuildError::WeightCount { node: node.clone(), found: weight.len(), in_width, out_width });
        }
        if let Some(bias) = bias
            && bias.len() != out_width
        {
            self.fail(BuildError::BiasCount { node: node.clone(), found: bias.len(), expected: out_width });
        }
        let mut inputs = vec![self.name_of(&node, x), self.floats(&node, "weight", &[in_width, out_width], weight)];
        let Some(bias) = bias else {
            return self.node(node, "MatMul", inputs, Vec::new(), out_width, x.uniform);
        };
        inputs.push(self.floats(&node, "bias", &[out_width], bias));
        self.node(node, "Gemm", inputs, vec![integer("transB", 0)], out_width, x.uniform)
    }

    /// Hyperbolic tangent of each element.
    pub fn tanh(&mut self, x: Value) -> Value {
        self.elementwise("tanh", "Tanh", x)
    }

    /// `max(x, 0)` of each element.
    pub fn relu(&mut self, x: Value) -> Value {
        self.elementwise("relu", "Relu", x)
    }

    /// `1 / (1 + e^-x)` of each element.
    pub fn sigmoid(&mut self, x: Value) -> Value {
        self.elementwise("sigmoid", "Sigmoid", x)
    }

    /// `min(max(x, least), most)` of each element.
    pub fn clip(&mut self, x: Value, least: f32, most: f32) -> Value {
        let node = self.next_name("clip");
        let mut inputs = vec![self.name_of(&node, x)];
        inputs.extend([("least", least), ("most", most)].map(|(role, limit)| self.floats(&node, role, &[], &[limit])));
        self.node(node, "Clip", inputs, Vec::new(), x.width, x.uniform)
    }

    /// `a + b`; a uniform operand is added to every row of the other.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.binary("add", "Add", a, b)
    }

    /// `a − b`; uniform operands as in [`add`](Self::add).
    pub fn subtract(&mut self, a: Value, b: Value) -> Value {
        self.binary("subtract", "Sub", a, b)
    }

    /// `a · b`, element by element; uniform operands as in [`add`](Self::add).
    pub fn multiply(&mut self, a: Value, b: Value) -> Value {
        self.binary("multiply", "Mul", a, b)
    }

    /// `scale · x + offset` of each element: Mul and Add with scalar constants, each left
    /// out where it would do nothing.
    pub fn affine(&mut self, x: Value, scale: f32, offset: f32) -> Value {
        let scaled = if scale == 1.0 { x } else { self.with_scalar("scale", "Mul", x, scale) };
        if offset == 0.0 { scaled } else { self.with_scalar("offset", "Add", scaled, offset) }
    }

    /// Mean of each column over the rows: uniform.
    pub fn mean_rows(&mut self, x: Value) -> Value {
        let node = self.next_name("mean_rows");
        let inputs = vec![self.name_of(&node, x)];
        let axes = AttributeProto {
            name: Some("axes".to_owned()),
            ints: vec![0],
            r#type: Some(attribute_type::INTS),
            ..AttributeProto::default()
        };
        self.node(node, "ReduceMean", inputs, vec![axes, integer("keepdims", 1)], x.width, true)
    }

    /// Columns `begin .. end` of `x`.
    pub fn slice_columns(&mut self, x: Value, begin: usize, end: usize) -> Value {
        let node = self.next_name("slice");
        if begin >= end || end > x.width {
            self.fail(BuildError::Columns { node: node.clone(), begin, end, width: x.width });
        }
        let inputs = vec![
            self.name_of(&node, x),
            self.integer_constant(&node, "starts", begin as i64),
            self.integer_constant(&node, "ends", end as i64),
            self.integer_constant(&node, "axes", 1),
        ];
        self.node(node, "Slice", inputs, Vec::new(), end.saturating_sub(begin), x.uniform)
    }

    /// The values side by side: all uniform or none, since ONNX does not broadcast here.
    pub fn concat_columns(&mut self, values: &[Value]) -> Value {
        let node = self.next_name("concat");
        let uniform = values.first().is_some_and(|first| first.uniform);
        if values.is_empty() {
            self.fail(BuildError::NoColumns { node: node.clone() });
        }
        if values.iter().any(|value| value.uniform != uniform) {
            self.fail(BuildError::ConcatMixed { node: node.clone() });
        }
        let inputs = values.iter().map(|value| self.name_of(&node, *value)).collect();
        let width = values.iter().map(|value| value.width).sum();
        self.node(node, "Concat", inputs, vec![integer("axis", 1)], width, uniform)
    }

    /// Ends the graph with `output` under the name `output_name`; `metadata` becomes the
    /// model's `metadata_props`.
    ///
    /// # Errors
    /// The first mistake made while building, or a name used twice.
    pub fn finish(
        mut self,
        output: Value,
        output_name: &str,
        metadata: &[(&str, &str)],
    ) -> Result<OnnxModel, BuildError> {
        let made = if output.index == 0 { self.elementwise("identity", "Identity", output) } else { output };
        let old_name = self.name_of(output_name, made);
        if self.values.iter().any(|name| name == output_name) {
            self.fail(BuildError::NameTaken { name: output_name.to_owned() });
        }
        for name in self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
            if *name == old_name {
                output_name.clone_into(name);
            }
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let graph = GraphProto {
            node: self.nodes,
            name: Some(self.name),
            initializer: self.constants,
            input: vec![model::matrix(&self.values[0], self.input_width, false)],
            output: vec![model::matrix(output_name, made.width, made.uniform)],
        };
        Ok(OnnxModel::new(graph, metadata))
    }

    fn elementwise(&mut self, name: &str, op_type: &str, x: Value) -> Value {
        let node = self.next_name(name);
        let inputs = vec![self.name_of(&node, x)];
        self.node(node, op_type, inputs, Vec::new(), x.width, x.uniform)
    }

    fn binary(&mut self, name: &str, op_type: &str, a: Value, b: Value) -> Value {
        let node = self.next_name(name);
        if a.width != b.width {
            self.fail(BuildError::WidthsDiffer { node: node.clone(), left: a.width, right: b.width });
        }
        let inputs = vec![self.name_of(&node, a), self.name_of(&node, b)];
        self.node(node, op_type, inputs, Vec::new(), a.width, a.uniform && b.uniform)
    }

    fn with_scalar(&mut self, name: &str, op_type: &str, x: Value, scalar: f32) -> Value {
        let node = self.next_name(name);
        let inputs = vec![self.name_of(&node, x), self.floats(&node, "constant", &[], &[scalar])];
        self.node(node, op_type, inputs, Vec::new(), x.width, x.uniform)
    }

    /// Adds a node whose only output has the node's name with `_output` behind it.
    fn node(
        &mut self,
        name: String,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
        width: usize,
        uniform: bool,
    ) -> Value {
        let output = format!("{name}_output");
        self.nodes.push(NodeProto {
            input,
            output: vec![output.clone()],
            name: Some(name),
            op_type: Some(op_type.to_owned()),
            attribute,
            ..NodeProto::default()
        });
        self.value(output, width, uniform)
    }

    fn value(&mut self, name: String, width: usize, uniform: bool) -> Value {
        if self.values.contains(&name) {
            self.fail(BuildError::NameTaken { name: name.clone() });
        }
        self.values.push(name);
        Value { index: self.values.len() - 1, width, uniform }
    }

    fn next_name(&self, kind: &str) -> String {
        format!("{kind}_{}", self.nodes.len() + 1)
    }

    fn name_of(&mut self, node: &str, value: Value) -> String {
        let name = self.values.get(value.index).cloned();
        name.unwrap_or_else(|| {
            self.fail(BuildError::ForeignValue { node: node.to_owned() });
            String::new()
        })
    }

    fn floats(&mut self, node: &str, role: &str, dims: &[usize], numbers: &[f32]) -> String {
        let name = format!("{node}_{role}");
        if let Some(found) = numbers.iter().find(|number| !number.is_finite()) {
            self.fail(BuildError::NotFinite { constant: name.clone(), found: *found });
        }
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, data_type::FLOAT, dims, bytes)
    }

    fn integer_constant(&mut self, node: &str, role: &str, number: i64) -> String {
        self.constant(format!("{node}_{role}"), data_type::INT64, &[1], number.to_le_bytes().to_vec())
    }

    fn constant(&mut self, name: String, data_type: i32, dims: &[usize], raw_data: Vec<u8>) -> String {
        self.constants.push(TensorProto {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: Some(data_type),
            name: Some(name.clone()),
            raw_data: Some(raw_data),
        });
        name
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mistake_is_reported() {
        let mut graph = GraphBuilder::new("wrong");
        let x = graph.input("x", 3);
        let y = graph.linear(x, &[1.0; 8], 4, 2, None);
        let z = graph.add(x, y);
        let error = graph.finish(z, "z", &[]).unwrap_err();
        assert_eq!(error, BuildError::InputWidth { node: "linear_1".to_owned(), found: 3, expected: 4 });
        assert_eq!(error.to_string(), "linear_1: the input has 3 columns, expected in_width = 4");
    }

    #[test]
    fn names_are_not_given_twice() {
        let mut graph = GraphBuilder::new("twice");
        let x = graph.input("x", 1);
        let y = graph.tanh(x);
        assert_eq!(graph.finish(y, "x", &[]).unwrap_err(), BuildError::NameTaken { name: "x".to_owned() });
    }

    #[test]
    fn values_of_another_graph_are_noticed() {
        let mut other = GraphBuilder::new("other");
        let x = other.input("x", 1);
        let foreign = other.tanh(x);
        let mut graph = GraphBuilder::new("graph");
        let y = graph.input("y", 1);
        let sum = graph.add(y, foreign);
        assert_eq!(graph.finish(sum, "sum", &[]).unwrap_err(), BuildError::ForeignValue { node: "add_1".to_owned() });
    }

    #[test]
    fn rows_and_one_row_do_not_stand_side_by_side() {
        let mut graph = GraphBuilder::new("mixed");
        let x = graph.input("x", 2);
        let mean = graph.mean_rows(x);
        let both = graph.concat_columns(&[x, mean]);
        assert_eq!(graph.finish(both, "y", &[]).unwrap_err(), BuildError::ConcatMixed { node: "concat_2".to_owned() });
    }
}
