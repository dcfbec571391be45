//! The smaller subcommands, and what they say of bad input.

use std::fs;
#[cfg(unix)]
use std::process::Stdio;

use evenkeel_runtime::HOST_FEATURES;

#[cfg(unix)]
use crate::support::evenkeel;
use crate::support::{LLM_COLUMNS, fail, succeed, text, write_llm_trace};

#[test]
fn compiles_and_inspects_a_policy_from_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let (onnx, artifact) = (folder.path().join("policy.onnx"), folder.path().join("policy.ekm"));
    let mut graph = evenkeel_export::onnx::GraphBuilder::new("elsewhere");
    let features = graph.input("features", HOST_FEATURES);
    let hidden = graph.linear(features, &[0.1; HOST_FEATURES * 4], HOST_FEATURES, 4, Some(&[0.0; 4]));
    let hidden = graph.relu(hidden);
    let score = graph.linear(hidden, &[0.5; 4], 4, 1, Some(&[0.1]));
    graph.finish(score, "score", &[]).expect("a sound graph").write(&onnx).expect("a writable folder");
    let said = succeed(&["compile", text(&onnx), "-o", text(&artifact)]);
    assert!(said.contains("weights"), "{said}");
    let listing = succeed(&["inspect", text(&artifact)]);
    assert!(listing.contains("policy.onnx") && listing.lines().all(|line| line.chars().count() <= 80), "{listing}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child =
        evenkeel(&["dataset", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let junk = folder.path().join("junk.ekm");
    fs::write(&junk, "not an artifact").expect("a writable folder");
    let inspect = fail(&["inspect", text(&junk)]);
    assert!(inspect.contains("junk.ekm"), "{inspect}");
    let missing = fail(&["inspect", "nowhere.ekm"]);
    assert!(missing.contains("nowhere.ekm"), "{missing}");

    let trace = write_llm_trace(folder.path());
    let out = folder.path().join("out");
    let wrong = fail(&["train", "--quick", "--format", "mooncake", "--trace", text(&trace), "--out", text(&out)]);
    assert!(wrong.contains("requests.csv") && wrong.contains("mooncake"), "{wrong}");
    let column = fail(&[
        "train",
        "--quick",
        "--format",
        "csv",
        "--columns",
        "arrival=when",
        "--trace",
        text(&trace),
        "--out",
        text(&out),
    ]);
    assert!(column.contains("when"), "{column}");
    let resume = fail(&["train", "--resume", text(folder.path())]);
    assert!(resume.contains("no interrupted run"), "{resume}");
}

#[test]
fn a_trace_is_described() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write_llm_trace(folder.path());
    let said = succeed(&["dataset", "stats", text(&trace), "--format", "csv", "--columns", LLM_COLUMNS]);
    assert!(said.contains("3000") && said.contains("p99"), "{said}");
    let sets = succeed(&["dataset", "list"]);
    assert!(sets.contains("CC-BY-4.0") && sets.contains("https://"), "{sets}");
    let unknown = fail(&["dataset", "fetch", "no-such-set"]);
    assert!(unknown.contains("no-such-set") && unknown.contains("dataset list"), "{unknown}");
}
