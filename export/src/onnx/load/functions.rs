//! Functions of a model, put in place of their calls.

use std::collections::BTreeMap;

use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, NodeProto};

use crate::onnx::error::ReadError;

/// Deepest call of functions by functions.
const DEPTH_MAX: usize = 16;

/// Most nodes of a graph: far beyond what the runtime takes.
const NODES_MAX: usize = 1 << 16;

/// Replaces every call of one of `functions` by the function's nodes.
pub(super) fn inline(graph: &mut GraphProto, functions: &[FunctionProto]) -> Result<(), ReadError> {
    let by_name: BTreeMap<(&str, &str), &FunctionProto> =
        functions.iter().map(|function| ((function.domain(), function.name()), function)).collect();
    for _ in 0..DEPTH_MAX {
        let called = |node: &NodeProto| by_name.get(&(node.domain.as_str(), node.op_type.as_str())).copied();
        if !graph.node.iter().any(|node| called(node).is_some()) {
            return Ok(());
        }
        let calls = std::mem::take(&mut graph.node);
        for (index, node) in calls.into_iter().enumerate() {
            match called(&node) {
                Some(function) => graph.node.extend(body(function, &node, index)),
                None => graph.node.push(node),
            }
            if graph.node.len() > NODES_MAX {
                return Err(ReadError::Malformed { reason: format!("found more than {NODES_MAX} nodes") });
            }
        }
    }
    Err(ReadError::Malformed { reason: format!("its functions call each other more than {DEPTH_MAX} deep") })
}

/// The nodes of `function` for one call of it.
fn body<'a>(function: &'a FunctionProto, call: &'a NodeProto, index: usize) -> impl Iterator<Item = NodeProto> + 'a {
    let of_call = |formal: &[String], actual: &[String], name: &str| {
        formal.iter().position(|it| it == name).map(|at| actual.get(at).cloned().unwrap_or_default())
    };
    let label = if call.name.is_empty() { format!("#{index}") } else { call.name.clone() };
    let rename = {
        let label = label.clone();
        move |name: &String| {
            if name.is_empty() {
                return String::new();
            }
            of_call(&function.input, &call.input, name)
                .or_else(|| of_call(&function.output, &call.output, name).filter(|name| !name.is_empty()))
                .unwrap_or_else(|| format!("{label}#{index}/{name}"))
        }
    };
    function.node.iter().enumerate().map(move |(at, node)| NodeProto {
        input: node.input.iter().map(&rename).collect(),
        output: node.output.iter().map(&rename).collect(),
        name: if node.name.is_empty() { format!("{label}/#{at}") } else { format!("{label}/{}", node.name) },
        attribute: node.attribute.iter().filter_map(|attribute| of(attribute, call)).collect(),
        ..node.clone()
    })
}

/// An attribute of a function's node, which may refer to one of the call.
fn of(attribute: &AttributeProto, call: &NodeProto) -> Option<AttributeProto> {
    if attribute.ref_attr_name.is_empty() {
        return Some(attribute.clone());
    }
    let given = call.attribute.iter().find(|given| given.name == attribute.ref_attr_name)?;
    Some(AttributeProto { name: attribute.name.clone(), ..given.clone() })
}
