//! A node of the file: its operator, operands and attributes.

use tract_onnx::pb::{AttributeProto, NodeProto};

use crate::onnx::error::Refusal;
use crate::onnx::load::Tensor;

/// One application of an operator.
pub(super) struct Call<'a> {
    pub(super) node: &'a NodeProto,
}

impl<'a> Call<'a> {
    /// The node's name, or its place in the graph.
    pub(super) fn name(node: &NodeProto, index: usize) -> String {
        if node.name.is_empty() { format!("#{index}") } else { node.name.clone() }
    }

    /// The operator, with its domain unless it is ONNX's own.
    pub(super) fn op_type(node: &NodeProto) -> String {
        match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type.clone(),
            domain => format!("{domain}::{}", node.op_type),
        }
    }

    /// Name of the operand at `index`; `None` where it is left out.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        self.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn float(&self, name: &str, otherwise: f64) -> f64 {
        self.attribute(name).map_or(otherwise, |attribute| f64::from(attribute.f))
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i)
    }

    pub(super) fn flag(&self, name: &str, otherwise: bool) -> bool {
        self.integer(name).map_or(otherwise, |number| number != 0)
    }

    pub(super) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Vec<f64> {
        let numbers = self.attribute(name).map(|attribute| attribute.floats.as_slice()).unwrap_or_default();
        numbers.iter().map(|number| f64::from(*number)).collect()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.attribute(name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor>, Refusal> {
        let tensor = self.attribute(name).and_then(|attribute| attribute.t.as_ref());
        Ok(tensor.map(Tensor::decode).transpose()?)
    }
}
