//! Python's view: onnx's checker and ONNX Runtime accept what we write, and we read what
//! onnx's Python API writes. Needs an interpreter with onnx, onnxruntime and numpy, named
//! by the environment variable `EVENKEEL_PYTHON`.

use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_export::onnx::{GraphBuilder, OnnxModel, read_file};
use evenkeel_export::verify::{relative_difference, run_rows};
use evenkeel_export::{compile, verify};
use evenkeel_runtime::{HOST_FEATURES, Model, Program};
use serde_json::{Value, json};

use crate::support::{TOLERANCE, service, weights};

/// Runs a script of `tests/python`; `None` (and a message) without an interpreter.
fn run_script(script: &str, arguments: &[&Path], options: &[&str]) -> Option<String> {
    let Some(python) = std::env::var_os("EVENKEEL_PYTHON").filter(|python| !python.is_empty()) else {
        println!("skipped: EVENKEEL_PYTHON does not name a Python with onnx, onnxruntime and numpy");
        return None;
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let output = Command::new(python).arg(script).args(arguments).args(options).output().expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

/// Uses everything that the builder can write.
fn everything() -> OnnxModel {
    let mut graph = GraphBuilder::new("everything");
    let x = graph.input("x", 6);
    let tanh = graph.tanh(x);
    let left = graph.slice_columns(tanh, 0, 2);
    let right = graph.slice_columns(x, 3, 6);
    let right = graph.sigmoid(right);
    let joined = graph.concat_columns(&[left, right, left]);
    let hidden = graph.linear(joined, &weights(28, 7), 7, 4, Some(&weights(4, 1)));
    let mean = graph.mean_rows(hidden);
    let mean = graph.linear(mean, &weights(16, 4), 4, 4, None);
    let centred = graph.subtract(hidden, mean);
    let positive = graph.relu(centred);
    let gated = graph.multiply(positive, mean);
    let sum = graph.add(gated, hidden);
    let y = graph.affine(sum, -0.5, 2.0);
    graph.finish(y, "y", &[("seed", "7")]).unwrap()
}

/// Answers of `program` to a few inputs, in the form that `check_onnx.py` compares.
fn answers(program: &Program<'_>) -> Value {
    let width = program.input_width();
    let matrix =
        |numbers: &[f32], width: usize| -> Vec<Vec<f32>> { numbers.chunks(width).map(<[f32]>::to_vec).collect() };
    [1, 2, 7, 16, 33]
        .into_iter()
        .map(|rows| {
            let input = weights(rows * width, 1);
            let output = run_rows(program, &input, rows);
            json!({ "input": matrix(&input, width), "output": matrix(&output, program.output_width()) })
        })
        .collect()
}

#[test]
fn python_accepts_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    for (name, model) in [("policy", crate::round_trip::policy()), ("everything", everything())] {
        let path = folder.path().join(name).with_extension("onnx");
        model.write(&path).unwrap();
        let section = read_file(&path).unwrap().encode().unwrap();
        let expected = folder.path().join("answers.json");
        std::fs::write(&expected, answers(&Program::parse(&section).unwrap()).to_string()).unwrap();
        let compare = ["--compare", expected.to_str().unwrap()];
        let Some(text) = run_script("check_onnx.py", &[&path], &compare) else { return };
        assert!(text.contains("OK"), "{text}");
    }
}

#[test]
fn we_compile_what_python_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.onnx");
    let width = HOST_FEATURES.to_string();
    if run_script("make_foreign_model.py", &[&path], &["--features", &width]).is_none() {
        return;
    }
    let bytes = compile(Some(&path), None, &service(), "{}").unwrap();
    let model = Model::parse(&bytes).unwrap();
    let program = model.policy().unwrap().program();
    let expected = std::fs::read(folder.path().join("expected.json")).unwrap();
    let answers: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(answers.len(), 5);
    for answer in &answers {
        let input = flat(&answer["input"]);
        let output = run_rows(program, &input, input.len() / HOST_FEATURES);
        let given = flat(&answer["output"]);
        assert_eq!(output.len(), given.len());
        for (ours, theirs) in output.iter().zip(&given) {
            assert!(relative_difference(*ours, *theirs) < TOLERANCE, "{ours} {theirs}");
        }
    }
    let parity = verify(&path, program, &[1, 33], 3, 7, None).unwrap();
    assert!(parity.largest() < TOLERANCE, "{parity:?}");
}

/// Real exporters and tools, as far as they are small: what they write compiles, and gives
/// ONNX Runtime's answers, to within what the file itself rounds.
#[test]
fn we_compile_what_exporters_write() {
    let folder = tempfile::tempdir().unwrap();
    let width = HOST_FEATURES.to_string();
    if !has_modules("skl2onnx, sklearn, onnxscript") {
        println!("skipped: EVENKEEL_PYTHON does not name a Python with skl2onnx, scikit-learn and onnxscript");
        return;
    }
    let Some(names) = run_script("make_exporter_models.py", &[folder.path()], &["--features", &width]) else { return };
    let names: Vec<&str> = names.lines().collect();
    assert!(names.len() >= 19, "{names:?}");
    for name in names {
        let path = folder.path().join(name).with_extension("onnx");
        let bytes = compile(Some(&path), None, &service(), "{}").unwrap();
        let model = Model::parse(&bytes).unwrap();
        let program = model.policy().unwrap().program();
        let parity = verify(&path, program, &[1, 33], 3, 7, None).unwrap();
        assert!(parity.largest() < TOLERANCE, "{name}: {parity:?}");
        let expected = std::fs::read(path.with_extension("json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let tolerance = expected["tolerance"].as_f64().unwrap();
        let mut largest = 0.0_f64;
        for answer in expected["answers"].as_array().unwrap() {
            let input = flat(&answer["input"]);
            let output = run_rows(program, &input, input.len() / HOST_FEATURES);
            let given = flat(&answer["output"]);
            assert_eq!(output.len(), given.len(), "{name}");
            largest = output.iter().zip(&given).map(|(a, b)| relative_difference(*a, *b)).fold(largest, f64::max);
        }
        assert!(largest < tolerance, "{name}: differs from ONNX Runtime by {largest:.1e}");
        println!("{name}: differs from ONNX Runtime by {largest:.1e}");
    }
}

/// Whether the interpreter has further packages than every test needs.
fn has_modules(modules: &str) -> bool {
    std::env::var_os("EVENKEEL_PYTHON").filter(|python| !python.is_empty()).is_some_and(|python| {
        let import = format!("import {modules}");
        Command::new(python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    })
}

/// The numbers of a matrix, row by row.
fn flat(matrix: &Value) -> Vec<f32> {
    let rows = matrix.as_array().unwrap().iter();
    rows.flat_map(|row| row.as_array().unwrap()).map(|number| number.as_f64().unwrap() as f32).collect()
}
