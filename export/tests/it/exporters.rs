//! Policies in the forms in which exporters write them: each compiles, and the runtime answers
//! what tract answers. docs/training.md has a table of the same forms; the Python tests run
//! those exporters that are small.

use std::path::{Path, PathBuf};

use evenkeel_export::onnx::{Translation, read_bytes};
use evenkeel_export::verify::{relative_difference, run_rows};
use evenkeel_runtime::{HOST_FEATURES, Program};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{FunctionProto, NodeProto};

use crate::hand_made::{Attribute, HandMade, integers, raw, value};
use crate::support::{TOLERANCE, compare_file, weights};
use Attribute::{Float, Floats, Integer, Integers, Tensor, Text};

const HIDDEN: i64 = 16;
const FEATURES: i64 = HOST_FEATURES as i64;

/// Compiles a model, compares it with tract, and returns what was assumed.
fn assert_compiles(form: &str, model: HandMade) -> Translation {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model.bytes()).unwrap();
    let (translation, parity) = compare_file(&path);
    assert!(parity.largest() < TOLERANCE, "{form}: {parity:?}");
    translation
}

/// A network of two layers as `PyTorch` names it: weights `[out, in]`.
fn torch() -> HandMade {
    HandMade::new(FEATURES)
        .floats("net.0.weight", &[HIDDEN, FEATURES], &weights(16 * 24, 24))
        .floats("net.0.bias", &[HIDDEN], &weights(16, 4))
        .floats("net.2.weight", &[1, HIDDEN], &weights(16, 16))
        .floats("net.2.bias", &[1], &weights(1, 1))
}

fn torch_layer(model: HandMade, name: &str, x: &str, layer: &str, y: &str) -> HandMade {
    let (weight, bias) = (format!("{layer}.weight"), format!("{layer}.bias"));
    let attributes = [Float("alpha", 1.0), Float("beta", 1.0), Integer("transB", 1)];
    model.node(name, "Gemm", &[x, &weight, &bias], y, &attributes)
}

/// The two layers with `middle` between `h` and `a`.
fn torch_around(middle: impl FnOnce(HandMade) -> HandMade) -> HandMade {
    let model = torch_layer(torch(), "node_linear", "x", "net.0", "h");
    torch_layer(middle(model), "node_linear_1", "a", "net.2", "y")
}

#[test]
fn pytorch_dynamo_with_shapes_of_its_own() {
    let mut model = torch_around(|model| model.node("node_relu", "Relu", &["h"], "a", &[])).opset(18);
    // Named dimensions that tract takes for contradictions.
    model.graph.value_info =
        vec![value("h", DataType::Float, &[None, Some(16)]), value("a", DataType::Float, &[None, Some(16)])];
    assert_compiles("dynamo", model);
}

#[test]
fn inputs_of_any_name() {
    for name in ["X", "obs.1", "input:0", "onnx::Gemm_0", "keras input", "x", "input"] {
        let mut model = torch_around(|model| model.node("", "Tanh", &["h"], "a", &[])).input_name(name);
        name.clone_into(&mut model.graph.node[0].input[0]);
        assert_compiles(name, model);
    }
}

#[test]
fn every_operator_set_and_format_version() {
    for opset in 9..=26 {
        let model = torch_around(|model| model.node("", "Tanh", &["h"], "a", &[])).opset(opset);
        assert_compiles(&format!("opset {opset}"), model);
    }
    for opset in [8, 27] {
        let model = torch_around(|model| model.node("", "Tanh", &["h"], "a", &[])).opset(opset);
        let error = read_bytes(&model.bytes()).unwrap_err().to_string();
        assert!(error.contains(&format!("found opset {opset}, expected 9 to 26")), "{error}");
    }
}

#[test]
fn nodes_in_any_order() {
    let mut model = with_expanded_context();
    model.graph.node.reverse();
    assert_compiles("reversed", model);
    let circle = torch_around(|model| model.node("a", "Tanh", &["b"], "a", &[]).node("b", "Tanh", &["a"], "b", &[]));
    let error = read_bytes(&circle.bytes()).unwrap_err().to_string();
    assert!(error.contains("nor computed by a node before"), "{error}");
}

/// `h` beside its mean, broadcast over the rows by `expand`, in front of a layer.
fn with_context(expand: impl FnOnce(HandMade) -> HandMade) -> HandMade {
    let model = torch_layer(torch(), "encoder", "x", "net.0", "h")
        .floats("head", &[1, 2 * HIDDEN], &weights(32, 32))
        .integers("zero", &[0])
        .node("mean", "ReduceMean", &["h"], "m", &[Integers("axes", vec![0])]);
    expand(model).node("both", "Concat", &["h", "wide"], "c", &[Integer("axis", -1)]).node(
        "head",
        "Gemm",
        &["c", "head"],
        "y",
        &[Integer("transB", 1)],
    )
}

/// [`with_context`] in the shortest form.
pub(crate) fn with_expanded_context() -> HandMade {
    with_context(|model| {
        model
            .integers("columns", &[HIDDEN])
            .node("rows", "Shape", &["x"], "n", &[Integer("start", 0), Integer("end", 1)])
            .node("target", "Concat", &["n", "columns"], "target", &[Integer("axis", 0)])
            .node("expand", "Expand", &["m", "target"], "wide", &[])
    })
}

#[test]
fn context_by_expand() {
    let direct = with_expanded_context();
    // The mean goes through its half of the head once, not once per host.
    let translation = assert_compiles("Expand", direct);
    assert!(translation.program.registers.iter().any(|register| register.uniform && register.width == 1));
    let gathered = with_context(|model| {
        model
            .tensor(raw("first", DataType::Int64, &[], 0_i64.to_le_bytes().to_vec()))
            .integers("columns", &[HIDDEN])
            .node("shape", "Shape", &["h"], "shape", &[])
            .node("rows", "Gather", &["shape", "first"], "n", &[Integer("axis", 0)])
            .node("list", "Unsqueeze", &["n", "zero"], "list", &[])
            .node("target", "Concat", &["list", "columns"], "target", &[Integer("axis", 0)])
            .node("expand", "Expand", &["m", "target"], "wide", &[])
    });
    assert_compiles("Gather", gathered);
    let tiled = with_context(|model| {
        model
            .integers("one", &[1])
            .integers("begin", &[0])
            .node("shape", "Shape", &["h"], "shape", &[])
            .node("rows", "Slice", &["shape", "begin", "one"], "n", &[])
            .node("repeats", "Concat", &["n", "one"], "repeats", &[Integer("axis", 0)])
            .node("tile", "Tile", &["m", "repeats"], "wide", &[])
    });
    assert_compiles("Tile", tiled);
}

/// `context.expand(h.shape[0], -1)`, as `TorchScript`'s exporter writes it.
#[test]
fn context_by_expand_of_torchscript() {
    let model = with_context(|model| {
        model
            .tensor(raw("first", DataType::Int64, &[], 0_i64.to_le_bytes().to_vec()))
            .integers("keep", &[-1])
            .integers("two", &[2])
            .tensor(raw("minus", DataType::Int64, &[], (-1_i64).to_le_bytes().to_vec()))
            .node("shape", "Shape", &["h"], "shape", &[])
            .node("rows", "Gather", &["shape", "first"], "n", &[Integer("axis", 0)])
            .node("list", "Unsqueeze", &["n", "zero"], "list", &[])
            .node("sizes", "Concat", &["list", "keep"], "sizes", &[Integer("axis", 0)])
            .node("ones", "ConstantOfShape", &["two"], "ones", &[Tensor("value", Box::new(integers("", &[1])))])
            .node("minus ones", "Mul", &["ones", "minus"], "minus ones", &[])
            .node("keeps", "Equal", &["sizes", "minus ones"], "keeps", &[])
            .node("target", "Where", &["keeps", "ones", "sizes"], "target", &[])
            .node("expand", "Expand", &["m", "target"], "wide", &[])
    });
    assert_compiles("TorchScript expand", model);
}

#[test]
fn context_as_a_sum_divided_by_the_number_of_rows() {
    let model = torch_around(|model| {
        model
            .integers("axes", &[0])
            .tensor(raw("scalar", DataType::Int64, &[0], Vec::new()))
            .integers("matrix", &[1, HIDDEN])
            .node("tanh", "Tanh", &["h"], "t", &[])
            .node("shape", "Shape", &["t"], "shape", &[])
            .node("rows", "Gather", &["shape", "axes"], "list", &[Integer("axis", 0)])
            .node("row", "Reshape", &["list", "scalar"], "n", &[])
            .node("int", "Cast", &["n"], "i", &[Integer("to", 6)])
            .node("float", "Cast", &["i"], "f", &[Integer("to", 1)])
            .node("sum", "ReduceSum", &["t", "axes"], "s", &[Integer("keepdims", 0)])
            .node("matrix", "Reshape", &["s", "matrix"], "sm", &[])
            .node("mean", "Div", &["sm", "f"], "mean", &[])
            .node("centre", "Sub", &["t", "mean"], "a", &[])
    });
    assert_compiles("sum", model.opset(23));
    let grows = torch_around(|model| {
        model.integers("axes", &[0]).node("sum", "ReduceSum", &["h", "axes"], "s", &[]).node(
            "add",
            "Add",
            &["h", "s"],
            "a",
            &[],
        )
    });
    let error = read_bytes(&grows.bytes()).unwrap_err().to_string();
    assert!(error.starts_with("node \"add\" (Add): found a sum over the rows"), "{error}");
}

#[test]
fn squeezed_context_and_scores() {
    let model = HandMade::new(FEATURES)
        .floats("w", &[FEATURES, HIDDEN], &weights(24 * 16, 24))
        .floats("v", &[HIDDEN], &weights(16, 16))
        .integers("zero", &[0])
        .integers("one", &[1])
        .node("layer", "MatMul", &["x", "w"], "h", &[])
        .node("mean", "ReduceMean", &["h"], "m", &[Integers("axes", vec![0]), Integer("keepdims", 0)])
        .node("row", "Unsqueeze", &["m", "zero"], "row", &[])
        .node("sum", "Add", &["h", "row"], "s", &[])
        .node("tanh", "Tanh", &["s"], "t", &[])
        .node("scores", "MatMul", &["t", "v"], "flat", &[])
        .node("column", "Unsqueeze", &["flat", "one"], "column", &[])
        .node("list", "Squeeze", &["column", "one"], "y", &[]);
    assert_compiles("squeezed", model);
}

#[test]
fn activations_by_formula() {
    let around = |middle: &dyn Fn(HandMade) -> HandMade| torch_around(middle);
    for op_type in ["Gelu", "Elu", "Celu", "Selu", "Softplus", "HardSwish", "HardSigmoid", "Mish", "Erf", "Abs"] {
        let model = around(&|model| model.node("f", op_type, &["h"], "a", &[])).opset(20);
        let translation = assert_compiles(op_type, model);
        let exact = ["HardSwish", "HardSigmoid", "Abs"].contains(&op_type);
        assert_eq!((translation.tolerance, translation.notes.len()), if exact { (1e-5, 0) } else { (1e-4, 1) });
    }
    let silu =
        around(&|model| model.node("gate", "Sigmoid", &["h"], "g", &[]).node("silu", "Mul", &["h", "g"], "a", &[]));
    assert_compiles("SiLU", silu);
    // As exporters wrote it before there was an operator.
    let gelu = around(&|model| {
        model
            .floats("root", &[], &[std::f32::consts::SQRT_2])
            .floats("one", &[], &[1.0])
            .floats("half", &[], &[0.5])
            .node("", "Div", &["h", "root"], "d", &[])
            .node("", "Erf", &["d"], "e", &[])
            .node("", "Add", &["e", "one"], "p", &[])
            .node("", "Mul", &["h", "p"], "q", &[])
            .node("", "Mul", &["q", "half"], "a", &[])
    });
    assert_compiles("GELU by Erf", gelu);
}

#[test]
fn normalisation_over_the_columns() {
    let parts =
        |model: HandMade| model.floats("gamma", &[HIDDEN], &weights(16, 1)).floats("beta", &[HIDDEN], &weights(16, 4));
    let operator = torch_around(|model| {
        parts(model).node("norm", "LayerNormalization", &["h", "gamma", "beta"], "a", &[Integer("axis", -1)])
    });
    assert_compiles("LayerNormalization", operator);
    let root_mean_square = torch_around(|model| {
        parts(model).node("norm", "RMSNormalization", &["h", "gamma"], "a", &[Integer("axis", -1)])
    });
    assert_compiles("RMSNormalization", root_mean_square.opset(23));
    let columns = || [Integers("axes", vec![-1])];
    let written_out = torch_around(|model| {
        parts(model)
            .floats("two", &[], &[2.0])
            .floats("epsilon", &[], &[1e-5])
            .node("mean", "ReduceMean", &["h"], "m", &columns())
            .node("centre", "Sub", &["h", "m"], "c", &[])
            .node("square", "Pow", &["c", "two"], "s", &[])
            .node("variance", "ReduceMean", &["s"], "v", &columns())
            .node("safe", "Add", &["v", "epsilon"], "e", &[])
            .node("root", "Sqrt", &["e"], "r", &[])
            .node("divide", "Div", &["c", "r"], "n", &[])
            .node("scale", "Mul", &["n", "gamma"], "g", &[])
            .node("shift", "Add", &["g", "beta"], "a", &[])
    });
    assert_compiles("LayerNorm written out", written_out);
    let batch = torch_around(|model| {
        parts(model).floats("mu", &[HIDDEN], &weights(16, 2)).floats("var", &[HIDDEN], &[0.7; 16]).node(
            "norm",
            "BatchNormalization",
            &["h", "gamma", "beta", "mu", "var"],
            "a",
            &[],
        )
    });
    assert_compiles("BatchNormalization", batch);
}

#[test]
fn scikit_learn_pipelines() {
    let numbers = |count| weights(count, 1);
    let pipeline = HandMade::new(FEATURES)
        .floats("coefficient", &[FEATURES, HIDDEN], &weights(24 * 16, 24))
        .floats("intercepts", &[1, HIDDEN], &weights(16, 4))
        .floats("coefficient1", &[HIDDEN, 1], &weights(16, 16))
        .floats("intercepts1", &[1, 1], &weights(1, 1))
        .integers("shape_tensor", &[-1, 1])
        .node("Scaler", "Scaler", &["x"], "v", &[Floats("offset", numbers(24)), Floats("scale", numbers(24))])
        .of_domain("ai.onnx.ml")
        .node("Cast", "Cast", &["v"], "cast_input", &[Integer("to", 1)])
        .node("MatMul", "MatMul", &["cast_input", "coefficient"], "mul_result", &[])
        .node("Add", "Add", &["mul_result", "intercepts"], "add_result", &[])
        .node("Relu", "Relu", &["add_result"], "next", &[])
        .node("MatMul1", "MatMul", &["next", "coefficient1"], "mul_result1", &[])
        .node("Add1", "Add", &["mul_result1", "intercepts1"], "add_result1", &[])
        .node("Reshape", "Reshape", &["add_result1", "shape_tensor"], "y", &[]);
    assert_compiles("pipeline", pipeline);
    let attributes = [Floats("coefficients", numbers(24)), Floats("intercepts", vec![0.25])];
    let linear = HandMade::new(FEATURES)
        .node("LinearRegressor", "LinearRegressor", &["x"], "y", &attributes)
        .of_domain("ai.onnx.ml");
    let translation = assert_compiles("linear model", linear);
    assert_eq!(translation.program.instructions.len(), 1);
}

#[test]
fn halves_and_doubles_are_converted() {
    let numbers = weights(24 * 16, 24);
    let half = |numbers: &[f32]| -> Vec<u8> {
        numbers.iter().flat_map(|it| tract_onnx::prelude::f16::from_f32(*it).to_le_bytes()).collect()
    };
    let double = |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|it| f64::from(*it).to_le_bytes()).collect() };
    let model = |element, code: i64, encode: &dyn Fn(&[f32]) -> Vec<u8>| {
        let mut model = HandMade::new(FEATURES)
            .tensor(raw("w", element, &[FEATURES, HIDDEN], encode(&numbers)))
            .tensor(raw("v", element, &[HIDDEN, 1], encode(&weights(16, 16))))
            .node("in", "Cast", &["x"], "c", &[Integer("to", code)])
            .node("layer", "MatMul", &["c", "w"], "h", &[])
            .node("tanh", "Tanh", &["h"], "t", &[])
            .node("head", "MatMul", &["t", "v"], "s", &[])
            .node("out", "Cast", &["s"], "y", &[Integer("to", 1)]);
        model.graph.output = vec![value("y", DataType::Float, &[None, Some(1)])];
        model
    };
    for (element, code, encode) in
        [(DataType::Float16, 10, &half as &dyn Fn(&[f32]) -> Vec<u8>), (DataType::Double, 11, &double)]
    {
        let translation = assert_compiles(element.as_str_name(), model(element, code, encode));
        assert!(translation.notes.iter().any(|note| note.contains("float32")), "{:?}", translation.notes);
        // Input and output in that type too.
        let mut whole = model(element, code, encode);
        whole.graph.input = vec![value("x", element, &[None, Some(FEATURES)])];
        whole.graph.output = vec![value("y", element, &[None, Some(1)])];
        whole.graph.node.retain(|node| node.op_type != "Cast");
        "x".clone_into(&mut whole.graph.node[0].input[0]);
        "y".clone_into(&mut whole.graph.node[2].output[0]);
        assert_compiles("interface too", whole);
    }
}

#[test]
fn functions_are_put_in_place() {
    let node = |op_type: &str, input: &[&str], output: &str| NodeProto {
        op_type: op_type.to_owned(),
        input: input.iter().map(|it| (*it).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let mut silu = FunctionProto {
        name: Some("silu".to_owned()),
        domain: Some("pkg.layers".to_owned()),
        input: vec!["in".to_owned()],
        output: vec!["out".to_owned()],
        node: vec![node("Sigmoid", &["in"], "gate"), node("Mul", &["in", "gate"], "out")],
        ..FunctionProto::default()
    };
    let call = |model: HandMade| {
        model
            .node("one", "silu", &["h"], "s", &[])
            .of_domain("pkg.layers")
            .node("two", "silu", &["s"], "a", &[])
            .of_domain("pkg.layers")
    };
    let mut model = torch_around(call);
    model.functions = vec![silu.clone()];
    assert_compiles("functions", model);
    // One that calls itself ends too.
    silu.node[0] = NodeProto { domain: "pkg.layers".to_owned(), ..node("silu", &["in"], "gate") };
    let mut endless = torch_around(call);
    endless.functions = vec![silu];
    assert!(read_bytes(&endless.bytes()).unwrap_err().to_string().contains("functions call each other"));
}

#[test]
fn onnx_runtimes_extended_optimisation() {
    let model = HandMade::new(FEATURES)
        .floats("w", &[FEATURES, HIDDEN], &weights(24 * 16, 24))
        .floats("b", &[HIDDEN], &weights(16, 4))
        .floats("v", &[HIDDEN, 1], &weights(16, 16))
        .node("fused g1", "FusedGemm", &["x", "w", "b"], "t", &[Text("activation", "Tanh"), Float("alpha", 1.0)])
        .of_domain("com.microsoft")
        .node("scaled", "FusedMatMul", &["t", "v"], "y", &[Float("alpha", 0.5)])
        .of_domain("com.microsoft");
    assert_compiles("extended", model);
}

#[test]
fn a_fixed_number_of_rows_is_said() {
    let mut model = torch_around(|model| {
        model.integers("target", &[8, HIDDEN]).node("same", "Reshape", &["h", "target"], "a", &[])
    });
    model.graph.input = vec![value("x", DataType::Float, &[Some(8), Some(FEATURES)])];
    let translation = assert_compiles("fixed rows", model);
    assert!(translation.notes[0].contains("fixes 8 rows"), "{:?}", translation.notes);
}

/// Files of exporters, where there are such: each compiles.
#[test]
fn files_of_exporters() {
    let folder = std::env::var_os("EVENKEEL_ONNX_CASES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/onnx"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    for path in &files {
        match with_data(path) {
            Ok(()) => {}
            Err(reason) => panic!("{}: {reason}", path.display()),
        }
    }
    println!("{} files of {} compile", files.len(), folder.display());
}

fn with_data(path: &Path) -> Result<(), String> {
    match evenkeel_export::onnx::translate(path) {
        // A file whose data was not kept is refused by the name of the file that is missing.
        Err(error) if error.to_string().contains("cannot read") => {
            assert!(error.to_string().contains(".data"), "{error}");
            println!("{}: {error}", path.display());
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
        Ok(_) => {}
    }
    let (translation, parity) = compare_file(path);
    let section = translation.program.encode().unwrap();
    let program = Program::parse(&section).unwrap();
    let scores = run_rows(&program, &weights(5 * HOST_FEATURES, 1), 5);
    if scores.len() != 5 || scores.iter().any(|score| relative_difference(*score, *score) > 0.0) {
        return Err(format!("its scores are {scores:?}"));
    }
    if parity.largest() < TOLERANCE { Ok(()) } else { Err(format!("{parity:?}")) }
}
