//! `evenkeel train` from a trace to the five files.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use evenkeel_runtime::{Model, ServiceKind};
use evenkeel_train::metrics::Metrics;

use crate::support::{
    LLM_COLUMNS, SERVICE_COLUMNS, evenkeel, succeed, text, write_llm_trace, write_series, write_service_trace,
};

fn train(trace: &Path, columns: &str, series: Option<&Path>, out: &Path, seed: &str) -> String {
    let series = series.map_or(Vec::new(), |series| vec!["--series", text(series)]);
    let arguments = [
        "train",
        "--quick",
        "--device",
        "cpu",
        "--format",
        "csv",
        "--columns",
        columns,
        "--trace",
        text(trace),
        "--seed",
        seed,
        "--out",
        text(out),
    ];
    succeed(&[&arguments, series.as_slice()].concat())
}

fn metrics(out: &Path) -> Metrics {
    let bytes = std::fs::read(out.join("metrics.json")).expect("metrics.json");
    serde_json::from_slice(&bytes).expect("the documented form")
}

#[test]
fn makes_the_five_files_and_repeats_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write_llm_trace(folder.path());
    let (first, again, other) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    let series = write_series(folder.path());
    let table = train(&trace, LLM_COLUMNS, Some(&series), &first, "3");
    for policy in ["round robin", "P2C", "least request", "Peak-EWMA", "EXT", "Evenkeel"] {
        assert!(table.contains(policy), "{policy} is not in the table:\n{table}");
    }
    train(&trace, LLM_COLUMNS, Some(&series), &again, "3");
    for file in ["evenkeel.ekm", "policy.onnx", "forecast.onnx"] {
        let read = |out: &Path| std::fs::read(out.join(file)).expect(file);
        assert!(read(&first) == read(&again), "{file} differs between two runs of one seed");
    }
    train(&trace, LLM_COLUMNS, Some(&series), &other, "4");
    let read = |out: &Path| std::fs::read(out.join("policy.onnx")).expect("policy.onnx");
    assert!(read(&first) != read(&other), "another seed gave the same policy");

    let metrics = metrics(&first);
    assert!(metrics.parity.iter().all(|parity| parity.worst() <= 1e-5), "{:?}", metrics.parity);
    assert!(metrics.policies.iter().all(|result| result.latency_mean_s.value > 0.0));
    let report = std::fs::read_to_string(first.join("report.html")).expect("report.html");
    assert!(report.contains("</html>"));
}

#[test]
fn learns_a_service_without_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write_service_trace(folder.path());
    let out = folder.path().join("out");
    train(&trace, SERVICE_COLUMNS, None, &out, "1");
    let artifact = std::fs::read(out.join("evenkeel.ekm")).expect("the artifact");
    let model = Model::parse(&artifact).expect("valid");
    assert_eq!(model.service().kind(), ServiceKind::Fifo);
    assert!(model.policy().is_some());
    assert!(model.forecaster().is_none(), "half a minute of requests is no demand to learn from");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write_llm_trace(folder.path());
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let series = write_series(folder.path());
    train(&trace, LLM_COLUMNS, Some(&series), &whole, "5");

    let arguments = [
        "train",
        "--quick",
        "--device",
        "cpu",
        "--format",
        "csv",
        "--columns",
        LLM_COLUMNS,
        "--trace",
        text(&trace),
        "--series",
        text(&series),
        "--seed",
        "5",
        "--out",
        text(&broken),
    ];
    let mut child = evenkeel(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let checkpoint = broken.join("checkpoint/forecast.json");
    let begin = Instant::now();
    while !checkpoint.is_file() && begin.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_millis(5));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.is_ok_and(|status| status.success()));
    let status = child.wait().expect("the run ends");
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut stderr).expect("text");
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("--resume"), "it must say how to go on:\n{stderr}");
    assert!(!broken.join("evenkeel.ekm").exists(), "the run was over before it was interrupted");

    succeed(&["train", "--resume", text(&broken), "--device", "cpu"]);
    for file in ["evenkeel.ekm", "policy.onnx", "forecast.onnx"] {
        let read = |out: &Path| std::fs::read(out.join(file)).expect(file);
        assert!(read(&whole) == read(&broken), "{file} differs after --resume");
    }
}
