//! ONNX models written by hand, node by node: what other exporters could have made.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType,
    tensor_shape_proto, type_proto,
};

/// A model under construction; its input is `x`, its output `y`.
pub(crate) struct HandMade {
    pub(crate) graph: GraphProto,
    pub(crate) opset: i64,
    pub(crate) functions: Vec<FunctionProto>,
}

impl HandMade {
    /// A model with `width` columns coming in.
    pub(crate) fn new(width: i64) -> Self {
        Self {
            graph: GraphProto {
                name: "hand_made".to_owned(),
                input: vec![value("x", DataType::Float, &[None, Some(width)])],
                output: vec![value("y", DataType::Float, &[None, None])],
                ..GraphProto::default()
            },
            opset: 17,
            functions: Vec::new(),
        }
    }

    /// Adds a node called `name`.
    pub(crate) fn node(
        mut self,
        name: &str,
        op_type: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[Attribute],
    ) -> Self {
        self.graph.node.push(NodeProto {
            name: name.to_owned(),
            op_type: op_type.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes.iter().map(Attribute::encode).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// Puts the last node into a domain.
    pub(crate) fn of_domain(mut self, domain: &str) -> Self {
        domain.clone_into(&mut self.graph.node.last_mut().expect("a node").domain);
        self
    }

    /// Adds results to the last node.
    pub(crate) fn with_outputs(mut self, names: &[&str]) -> Self {
        let node = self.graph.node.last_mut().expect("a node");
        node.output.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Gives the input another name.
    pub(crate) fn input_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.graph.input[0].name);
        self
    }

    /// Gives the model another operator set.
    pub(crate) fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    /// Adds a tensor of any type.
    pub(crate) fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// Adds a float32 weight.
    pub(crate) fn floats(mut self, name: &str, dims: &[i64], numbers: &[f32]) -> Self {
        self.graph.initializer.push(floats(name, dims, numbers));
        self
    }

    /// Adds a list of whole numbers.
    pub(crate) fn integers(mut self, name: &str, numbers: &[i64]) -> Self {
        self.graph.initializer.push(integers(name, numbers));
        self
    }

    /// The file's bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            graph: Some(self.graph),
            functions: self.functions,
            ..ModelProto::default()
        }
        .encode_to_vec()
    }
}

/// An attribute of a node.
pub(crate) enum Attribute {
    Float(&'static str, f32),
    Integer(&'static str, i64),
    Integers(&'static str, Vec<i64>),
    Floats(&'static str, Vec<f32>),
    Text(&'static str, &'static str),
    Tensor(&'static str, Box<TensorProto>),
}

impl Attribute {
    fn encode(&self) -> AttributeProto {
        let (name, mut attribute, kind) = match self {
            Self::Float(name, f) => (name, AttributeProto { f: *f, ..Default::default() }, AttributeType::Float),
            Self::Integer(name, i) => (name, AttributeProto { i: *i, ..Default::default() }, AttributeType::Int),
            Self::Integers(name, ints) => {
                (name, AttributeProto { ints: ints.clone(), ..Default::default() }, AttributeType::Ints)
            }
            Self::Floats(name, floats) => {
                (name, AttributeProto { floats: floats.clone(), ..Default::default() }, AttributeType::Floats)
            }
            Self::Text(name, s) => {
                (name, AttributeProto { s: s.as_bytes().to_vec(), ..Default::default() }, AttributeType::String)
            }
            Self::Tensor(name, t) => {
                (name, AttributeProto { t: Some((**t).clone()), ..Default::default() }, AttributeType::Tensor)
            }
        };
        (*name).clone_into(&mut attribute.name);
        attribute.r#type = kind as i32;
        attribute
    }
}

/// A float32 tensor.
pub(crate) fn floats(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

/// A tensor of any type, its numbers in little-endian bytes.
pub(crate) fn raw(name: &str, element: DataType, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: element as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// A list of whole numbers.
pub(crate) fn integers(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![numbers.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

/// A value at the boundary; `None` is a dimension known at run time only.
pub(crate) fn value(name: &str, element: DataType, dims: &[Option<i64>]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension};
    let dim = |(index, dim): (usize, &Option<i64>)| Dimension {
        value: Some(match dim {
            Some(length) => dimension::Value::DimValue(*length),
            None => dimension::Value::DimParam(format!("{name}_{index}")),
        }),
        ..Dimension::default()
    };
    let shape = TensorShapeProto { dim: dims.iter().enumerate().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: element as i32, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
