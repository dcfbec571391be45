//! Training the policy in other ways: going on from an artifact, fine-tuning by either
//! method, leaving parts out.

use evenkeel_train::metrics::Metrics;

use crate::support::{LLM_COLUMNS, SERVICE_COLUMNS, fail, succeed, text, write_llm_trace, write_service_trace};

#[test]
fn goes_on_from_an_artifact_of_the_same_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write_llm_trace(folder.path());
    let train = ["train", "--quick", "--device", "cpu", "--format", "csv", "--columns", LLM_COLUMNS];
    let (general, special) = (folder.path().join("general"), folder.path().join("special"));
    succeed(&[&train[..], &["--trace", text(&trace), "--fine-tune", "ppo", "--out", text(&general)]].concat());
    let artifact = general.join("evenkeel.ekm");
    let from = ["--from", text(&artifact), "--out", text(&special)];
    succeed(&[&train[..], &["--trace", text(&trace)], &from].concat());
    let stages = |out: &std::path::Path| {
        let bytes = std::fs::read(out.join("metrics.json")).expect("metrics.json");
        let metrics: Metrics = serde_json::from_slice(&bytes).expect("the documented form");
        metrics.policy_stages.into_iter().map(|stage| stage.stage).collect::<Vec<_>>()
    };
    assert_eq!(stages(&general), ["imitation", "ppo"]);
    assert_eq!(stages(&special), ["start", "imitation", "es"]);

    let service = write_service_trace(folder.path());
    let other = ["train", "--quick", "--device", "cpu", "--format", "csv", "--columns", SERVICE_COLUMNS];
    let (artifact, third) = (text(&artifact), folder.path().join("third"));
    let from = ["--from", artifact, "--out", text(&third)];
    let refused = fail(&[&other[..], &["--trace", text(&service)], &from].concat());
    assert!(refused.contains("same kind"), "{refused}");
}

#[test]
fn variants_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = write_llm_trace(folder.path());
    let json = folder.path().join("ablation.json");
    let arguments = ["ablate", "--quick", "--format", "csv", "--columns", LLM_COLUMNS, "--trace", text(&trace)];
    let brief = ["--variants", "no-residual,imitation,no-context", "--seeds", "2", "--replays", "1", "--loads", "0.7"];
    let table = succeed(&[&arguments[..], &brief, &["--json", text(&json)]].concat());
    assert!(["no-residual", "imitation", "no-context"].iter().all(|variant| table.contains(variant)), "{table}");
    let rows: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).expect("the file")).expect("valid JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(3));
    assert!(rows[1]["latency_mean_s"]["value"].as_f64().is_some_and(|seconds| seconds > 0.0), "{rows}");
}

#[test]
fn the_model_that_comes_with_the_project_is_of_this_runtime() {
    let general = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/general.ekm");
    let described = succeed(&["inspect", text(&general)]);
    assert!(described.contains("policy"), "make it again, as models/README.md says: {described}");
}
