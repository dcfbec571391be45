//! What the protobuf says before anybody interprets it: names, operators, interface.

use std::collections::{BTreeMap, BTreeSet};

use onnx_ir::{Node, OnnxGraph};
use prost::Message;

use super::error::ReadError;
use super::operators::SUPPORTED_OPERATORS;
use crate::onnx::proto::{Extent, GraphProto, ModelProto, NodeProto, ValueInfoProto, data_type};

/// Names and interface of a model.
pub(super) struct Outline {
    pub(super) input: String,
    pub(super) input_width: usize,
    pub(super) output: String,
    nodes: Vec<Origin>,
}

/// A node as the file has it.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) op_type: String,
}

impl Outline {
    /// Reads the outline of a file, and checks interface and operators.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, ReadError> {
        let malformed = |reason: String| ReadError::Malformed { reason };
        let model = ModelProto::decode(bytes).map_err(|error| malformed(error.to_string()))?;
        let graph = model.graph.ok_or_else(|| malformed("it has no graph".to_owned()))?;
        let (input, input_width) = input_of(&graph)?;
        let output = output_of(&graph)?;
        let nodes: Vec<_> = graph.node.iter().enumerate().map(|(index, node)| origin(index, node)).collect();
        match nodes.iter().find(|node| !SUPPORTED_OPERATORS.contains(&node.op_type.as_str())) {
            Some(Origin { name, op_type }) => Err(ReadError::Operator { node: name.clone(), op_type: op_type.clone() }),
            None => Ok(Self { input, input_width, output, nodes }),
        }
    }

    /// Which node of the file each typed node comes from. onnx-ir names nodes after their
    /// operator and counts them, in the order of the file; what it turns into Linear
    /// (many a Gemm, and `MatMul` with the Add behind it) has a count of its own.
    pub(super) fn origins(&self, typed: &OnnxGraph) -> BTreeMap<String, Origin> {
        let names: BTreeSet<&str> = typed.nodes.iter().map(Node::name).collect();
        let with_addition: BTreeSet<&str> = typed
            .nodes
            .iter()
            .filter(|node| matches!(node, Node::Linear(n) if !n.config.transpose_weight && n.inputs.len() == 3))
            .map(Node::name)
            .collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut count = |kind| {
            let count = counts.entry(kind).or_insert(0);
            *count += 1;
            format!("{}{count}", kind.to_lowercase())
        };
        let mut origins = BTreeMap::new();
        let mut nodes = self.nodes.iter();
        while let Some(origin) = nodes.next() {
            let mut name = count(&origin.op_type);
            if matches!(origin.op_type.as_str(), "Gemm" | "MatMul") && !names.contains(name.as_str()) {
                name = count("Linear");
                if with_addition.contains(name.as_str()) {
                    nodes.next();
                }
            }
            origins.insert(name, origin.clone());
        }
        origins
    }
}

fn origin(index: usize, node: &NodeProto) -> Origin {
    let op_type = node.op_type.as_deref().unwrap_or_default();
    let op_type = match node.domain.as_deref() {
        None | Some("" | "ai.onnx") => op_type.to_owned(),
        Some(domain) => format!("{domain}::{op_type}"),
    };
    let name = match node.name.as_deref() {
        None | Some("") => format!("#{index}"),
        Some(name) => name.to_owned(),
    };
    Origin { name, op_type }
}

/// Name and width of the only input that is not a weight.
fn input_of(graph: &GraphProto) -> Result<(String, usize), ReadError> {
    let interface = |reason: String| ReadError::Interface { reason };
    // Old files list their weights among the inputs.
    let weights: BTreeSet<_> = graph.initializer.iter().filter_map(|weight| weight.name.as_deref()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|input| !weights.contains(name_of(input))).collect();
    let [input] = inputs[..] else {
        return Err(interface(format!("found {} inputs {}, expected one", inputs.len(), names(&inputs))));
    };
    let name = name_of(input);
    let tensor = input.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
    let element = tensor.and_then(|tensor| tensor.elem_type);
    if element != Some(data_type::FLOAT) {
        let found = element.map_or_else(|| "no element type".to_owned(), |code| format!("element type {code}"));
        return Err(interface(format!("input {name:?} has {found}, expected float32 (element type 1)")));
    }
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let width = match dims {
        [_, columns] => match columns.value {
            Some(Extent::Fixed(width)) => usize::try_from(width).ok().filter(|width| *width > 0),
            _ => None,
        },
        _ => None,
    };
    let width = width.ok_or_else(|| {
        let found = dims.iter().map(|dim| extent(dim.value.as_ref())).collect::<Vec<_>>().join(", ");
        interface(format!("input {name:?} has shape [{found}], expected [N, width] with a fixed width"))
    })?;
    Ok((name.to_owned(), width))
}

fn output_of(graph: &GraphProto) -> Result<String, ReadError> {
    let outputs: Vec<_> = graph.output.iter().collect();
    match outputs[..] {
        [output] => Ok(name_of(output).to_owned()),
        _ => Err(ReadError::Interface {
            reason: format!("found {} outputs {}, expected one", outputs.len(), names(&outputs)),
        }),
    }
}

fn extent(extent: Option<&Extent>) -> String {
    match extent {
        Some(Extent::Fixed(length)) => length.to_string(),
        Some(Extent::Named(name)) => name.clone(),
        None => "?".to_owned(),
    }
}

fn name_of(value: &ValueInfoProto) -> &str {
    value.name.as_deref().unwrap_or_default()
}

fn names(values: &[&ValueInfoProto]) -> String {
    let names: Vec<_> = values.iter().map(|value| format!("{:?}", name_of(value))).collect();
    format!("({})", names.join(", "))
}
