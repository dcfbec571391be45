//! The summary of an artifact.

use evenkeel_export::artifact::with_scale;
use evenkeel_export::{Forecast, compile, inspect};
use evenkeel_runtime::Model;
use evenkeel_runtime::demand::ScaleModel;
use evenkeel_runtime::forecast::Calibration;
use insta::assert_snapshot;

use crate::support::service;

fn artifact() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.onnx");
    crate::round_trip::policy().write(&path).unwrap();
    let forecast_path = folder.path().join("forecast.onnx");
    crate::round_trip::forecaster().write(&forecast_path).unwrap();
    let mut calibration = Calibration::new(600.0);
    calibration.offsets[1] = [-0.05, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.125];
    let forecast = Forecast { onnx: &forecast_path, calibration: &calibration.encode() };
    let metadata = r#"{"tool": "evenkeel 0.1.0", "trained_on": {"name": "synthetic service", "days": 28,
        "split": [0.6, 0.15, 0.25]}, "seed": 7, "date": "2025-01-31"}"#;
    let scale = ScaleModel { replica_requests_per_s: 2.5, lead_s: 85.0, quantile: 0.9, headroom: 1.1, trend: 0.5 };
    with_scale(&compile(Some(&path), Some(forecast), &service(), metadata).unwrap(), &scale).unwrap()
}

#[test]
fn a_summary_shows_everything_in_80_columns() {
    let bytes = artifact();
    let summary = inspect(&bytes).unwrap().to_string();
    assert!(summary.lines().all(|line| line.chars().count() <= 80), "{summary}");
    // Hashes change with every feature and weight, which is not what this test is about.
    let hidden = |line: &str| {
        let hash = line.starts_with("  feature schema") || line.starts_with("  checksum");
        if hash { format!("{} ...", line[..18].trim_end()) } else { line.to_owned() }
    };
    assert_snapshot!(summary.lines().map(hidden).collect::<Vec<_>>().join("\n"));
}

#[test]
fn damaged_artifacts_are_refused() {
    let bytes = artifact();
    for at in [0, 9, 17, 25, 33, 70, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(inspect(&damaged).is_err(), "byte {at}");
    }
    assert!(inspect(&bytes[..bytes.len() - 1]).is_err());
    assert!(inspect(b"").is_err());
}

#[test]
fn another_scale_replaces_the_one_before() {
    let scale = ScaleModel { replica_requests_per_s: 7.0, lead_s: 4.0, quantile: 0.8, headroom: 1.0, trend: 0.5 };
    let before = artifact();
    let after = with_scale(&before, &scale).unwrap();
    let model = Model::parse(&after).unwrap();
    assert_eq!(model.scale(), Some(&scale));
    assert_eq!(model.metadata_json(), Model::parse(&before).unwrap().metadata_json());
    assert_eq!(with_scale(&after, &scale).unwrap(), after);
}
