//! Input and output of a model.

use std::collections::BTreeSet;

use evenkeel_runtime::program::limits;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, TensorShapeProto, ValueInfoProto, type_proto};

use crate::onnx::error::ReadError;
use crate::onnx::load::{Kind, type_name};

/// What comes in and what goes out.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) input: String,
    /// The input's element type.
    pub(crate) element: i32,
    pub(crate) width: usize,
    /// The number of rows, where the file fixes it.
    pub(crate) rows: Option<usize>,
    pub(crate) output: String,
}

impl Interface {
    /// Finds and checks them.
    pub(crate) fn of(graph: &GraphProto) -> Result<Self, ReadError> {
        let (input, element, width, rows) = input_of(graph)?;
        Ok(Self { input, element, width, rows, output: output_of(graph)? })
    }
}

/// The only input that is not a weight.
fn input_of(graph: &GraphProto) -> Result<(String, i32, usize, Option<usize>), ReadError> {
    let interface = |reason: String| ReadError::Interface { reason };
    // Old files list their weights among the inputs.
    let weights: BTreeSet<_> = graph.initializer.iter().map(|weight| weight.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|input| !weights.contains(input.name.as_str())).collect();
    let [input] = inputs[..] else {
        let found = names(inputs.iter().copied());
        return Err(interface(format!(
            "found {} inputs {found}, expected one: export a module that takes the features alone",
            inputs.len()
        )));
    };
    let name = &input.name;
    let tensor = input.r#type.as_ref().and_then(|ty| ty.value.as_ref()).map(|type_proto::Value::TensorType(it)| it);
    let element = tensor.map_or(0, |tensor| tensor.elem_type);
    if Kind::of(element) != Some(Kind::Float) {
        return Err(interface(format!(
            "input {name:?} has type {}, expected float: export with a float32 example input",
            type_name(element)
        )));
    }
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let shape = match dims {
        [rows, columns] => fixed(columns).filter(|width| *width <= limits::WIDTH).map(|width| (width, fixed(rows))),
        _ => None,
    };
    let (width, rows) = shape.ok_or_else(|| {
        let found = dims.iter().map(extent).collect::<Vec<_>>().join(", ");
        interface(format!(
            "input {name:?} has shape [{found}], expected [N, width] with a fixed width of at most {}: export with \
             an example input of that shape and only the first axis dynamic",
            limits::WIDTH
        ))
    })?;
    Ok((name.clone(), element, width, rows))
}

fn output_of(graph: &GraphProto) -> Result<String, ReadError> {
    match &graph.output[..] {
        [output] => Ok(output.name.clone()),
        outputs => Err(ReadError::Interface {
            reason: format!(
                "found {} outputs {}, expected one: export a module that returns the scores alone",
                outputs.len(),
                names(outputs)
            ),
        }),
    }
}

/// Forgets what the file says of the shapes of its results.
pub(crate) fn without_shapes(graph: &mut GraphProto) {
    graph.value_info.clear();
    for output in &mut graph.output {
        if let Some(type_proto::Value::TensorType(tensor)) = output.r#type.as_mut().and_then(|it| it.value.as_mut()) {
            tensor.shape = None::<TensorShapeProto>;
        }
    }
}

fn fixed(dim: &Dimension) -> Option<usize> {
    match dim.value {
        Some(dimension::Value::DimValue(length)) => usize::try_from(length).ok().filter(|length| *length > 0),
        _ => None,
    }
}

fn extent(dim: &Dimension) -> String {
    match &dim.value {
        Some(dimension::Value::DimValue(length)) => length.to_string(),
        Some(dimension::Value::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    }
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfoProto>) -> String {
    let names: Vec<_> = values.into_iter().map(|value| format!("{:?}", value.name)).collect();
    format!("({})", names.join(", "))
}
