//! What the tests share.

use std::path::Path;

use evenkeel_export::onnx::{self, OnnxModel, Translation};
use evenkeel_export::{Parity, Program, ROW_COUNTS, verify};
use evenkeel_runtime::{Engine, Llm, ServiceModel};

/// Largest relative difference that counts as equal.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// A plausible language-model service.
pub(crate) fn service() -> ServiceModel {
    ServiceModel {
        engine: Engine::Llm(Llm {
            step_base_s: 0.012,
            step_per_request_s: 0.0002,
            step_per_kv_token_s: 2.5e-8,
            step_per_prefill_token_s: 9e-5,
            batch_max: 256.0,
            kv_capacity_tokens: 400_000.0,
        }),
        prompt_tokens_mean: 1155.0,
        output_tokens_mean: 211.0,
        step_typical_s: 0.02,
        latency_typical_s: 4.5,
        ttft_typical_s: 0.3,
        queue_weight: 1.0,
        kv_weight: 1.0,
        delay_weight: 1.0,
        herding_weight: 0.0,
    }
}

/// Deterministic weights of order 1 / √`fan_in`.
pub(crate) fn weights(count: usize, fan_in: usize) -> Vec<f32> {
    let scale = 1.0 / (fan_in as f32).sqrt();
    (0..count).map(|i| (i as f32 * 0.737 + 0.3).sin() * scale).collect()
}

/// The program of an ONNX file's bytes, and how far it is from tract's answers.
pub(crate) fn compare(bytes: &[u8]) -> (Program, Parity) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    let (translation, parity) = compare_file(&path);
    (translation.program, parity)
}

/// As [`compare`], of a file, with the notes on it.
pub(crate) fn compare_file(path: &Path) -> (Translation, Parity) {
    let translation = onnx::translate(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let section = translation.program.encode().unwrap();
    let view = evenkeel_runtime::Program::parse(&section).unwrap();
    let parity = verify(path, &view, &ROW_COUNTS, 3, 7, None).unwrap();
    (translation, parity)
}

/// Asserts that tract and the runtime agree on a model; returns its program.
pub(crate) fn assert_parity(model: &OnnxModel) -> Program {
    let (program, parity) = compare(&model.to_bytes());
    assert!(parity.largest() < TOLERANCE, "{parity:?}");
    program
}
